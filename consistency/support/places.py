"""Where an output goes: to a file behind links, which is replaced, or through a device, a pipe or an open descriptor."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from consistency.errors import InputError

# As Linux follows them in one path.
_MOST_LINKS = 40
# An entry that stands for an open descriptor, of this process or another. What it links to may have no path.
_DESCRIPTOR = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd/(\d+)|/dev/fd/(?P<own>\d+)")
# A program that is to read a pipe may be started a moment later.
PATIENCE = 10.0
_BLOCK = 1 << 20


def find_target(path: Path) -> tuple[Path, bool]:
    """What is written in place of a path, and whether it is written through.

    Parameters
    ----------
    path : Path
        It need not exist.

    Returns
    -------
    target : Path
        The end of all links; an open descriptor such as that of ``/dev/stdout`` is followed no further.
    through : bool
        Whether the target is a device, a pipe, a socket or an open descriptor, which no file takes the place of.

    Raises
    ------
    InputError
        If the target is a folder.
    OSError
        If the system cannot say what it is.

    Examples
    --------
    >>> find_target(Path("/dev/null"))
    (PosixPath('/dev/null'), True)
    """
    target = _end_of_links(path)
    if _DESCRIPTOR.fullmatch(str(target)):
        return target, True
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target, False
    if stat.S_ISDIR(mode):
        raise InputError("cannot be written (a folder of this name exists)", do="choose another place", path=path)
    return target, not stat.S_ISREG(mode)


def _end_of_links(path: Path) -> Path:
    for _ in range(_MOST_LINKS):
        path = Path(os.path.realpath(path.parent), path.name)
        if _DESCRIPTOR.fullmatch(str(path)) or not path.is_symlink():
            return path
        path = path.parent / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def write_through(target: Path, content: IO[bytes]) -> None:
    """Write a file's content into a device, a pipe or an open descriptor.

    A pipe that no program reads is waited for `PATIENCE` seconds.

    Parameters
    ----------
    target : Path
        As `find_target` gives it.
    content : file object
        At its beginning.

    Raises
    ------
    InputError
        If no program reads the pipe.
    BrokenPipeError
        If the program that reads it has ended.
    OSError
        If the system refuses.
    """
    handle = _open(target)
    try:
        while block := content.read(_BLOCK):
            left = memoryview(block)
            while left:
                try:
                    left = left[os.write(handle, left) :]
                except BlockingIOError:  # a shared descriptor that another program has set so
                    select.select([], [handle], [])
    finally:
        os.close(handle)


def _open(target: Path) -> int:
    found = _DESCRIPTOR.fullmatch(str(target))
    if found and (found["own"] or int(found[1]) == os.getpid()):
        # As a duplicate, which goes on where what was printed ends; opened again, a file would begin anew.
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        return os.dup(int(found["own"] or found[2]))
    if not stat.S_ISFIFO(target.stat().st_mode):
        return os.open(target, os.O_WRONLY | os.O_NOCTTY)
    patience = time.monotonic() + PATIENCE
    while True:
        try:
            handle = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > patience:
                raise InputError(
                    f"no program reads this pipe (waited {PATIENCE:g} s)",
                    do="start one that does, and run this again",
                    path=target,
                ) from None
            time.sleep(0.02)
        else:
            os.set_blocking(handle, True)
            return handle


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Let what the system refuses inside end in the `InputError` of a path; not a pipe whose reader has ended."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> InputError:
    """The error for a `path` that the system refuses to write."""
    occupied = isinstance(error, FileExistsError | NotADirectoryError)
    reason = "a file of this name is in the way" if occupied else error.strerror or str(error)
    return InputError(f"cannot be written ({reason})", do="choose another place", path=path)
