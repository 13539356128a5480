"""A folder that takes the place of another, so that one of the two is there at any time."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
from functools import cache
from pathlib import Path
from typing import Any

# From <fcntl.h> and <linux/fs.h>.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# How systems and file systems say that they cannot; the last is what the filters of some containers answer.
_CANNOT = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM)
# The end of a folder's name while another takes its place.
ASIDE = ".old"


def put_in_place(new: Path, place: Path) -> Path | None:
    """Let a folder take a place, and say where the one is that was there.

    Parameters
    ----------
    new : Path
        The folder, beside its place.
    place : Path
        What is there is exchanged with it in one step where the system can. Elsewhere it is set aside first, under a hidden
        name that ends with `ASIDE`.

    Returns
    -------
    Path or None
        The earlier folder; None if there was none.

    Raises
    ------
    OSError
        If the system refuses; what was there is there then.
    """
    if not place.exists():
        new.rename(place)
        return None
    if _exchange(new, place):
        return new
    aside = place.with_name(f"{hidden(place.name)}{secrets.token_hex(4)}{ASIDE}")
    place.rename(aside)
    try:
        new.rename(place)
    except OSError:
        aside.rename(place)
        raise
    return aside


def hidden(name: str) -> str:
    """The beginning of the names of what is made beside a place, short enough for a longer name."""
    return f".{os.fsdecode(os.fsencode(name)[:200])}."


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; False where the system or the file system cannot."""
    rename = _renameat2()
    if rename is None:
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    error = ctypes.get_errno()
    if error in _CANNOT:
        return False
    raise OSError(error, os.strerror(error), str(other))


@cache
def _renameat2() -> Any:
    """The C library's function; None where there is none."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function
