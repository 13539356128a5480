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
        # In a file or a pipe a bar stays where it was drawn, at the beginning of the line.
        bars = any(not bar.disable for bar in getattr(tqdm, "_instances", ()))
        tell(*([""] if bars and sys.stderr is not None and not sys.stderr.isatty() else []), line)


class LookError(RuntimeError):
    """What went wrong at a look in one of several processes, with the name of its error."""


def reason(error: Exception) -> str:
    """Why something failed, in one line, with the name of an error that does not speak for itself."""
    if isinstance(error, InputError | LookError):
        return str(error)
    return f"{type(error).__name__}: {one_line(error)}"


def end(error: Exception, say: bool = True) -> NoReturn:
    """Say in one line why a training cannot be watched, and end it with exit code 2."""
    if say:
        tell_above(f"consistency: {'' if isinstance(error, InputError) else 'watch: '}{reason(error)}")
    sys.exit(_MISTAKE)
