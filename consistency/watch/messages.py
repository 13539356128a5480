"""What a watch prints while a training draws its bar."""

from __future__ import annotations

import sys
from typing import NoReturn

from tqdm.auto import tqdm

from consistency.errors import InputError, one_line
from consistency.support.streams import tell

_MISTAKE = 2  # exit code


def tell_above(line: str) -> None:
    """Print a line to standard error, not behind the Trainer's bar, which is drawn again below it."""
    with tqdm.external_write_mode(file=sys.stderr):
        tell(line)


def end(error: Exception, say: bool = True) -> NoReturn:
    """Say in one line why a training cannot be watched, and end it with exit code 2."""
    if say:
        what = str(error) if isinstance(error, InputError) else f"watch: {type(error).__name__}: {one_line(error)}"
        tell_above(f"consistency: {what}")
    sys.exit(_MISTAKE)
