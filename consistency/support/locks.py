"""Locks of files and folders that end with the process that holds them, however it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from consistency.errors import InputError

# Seconds to wait for others, which hold a folder while they rename a few files.
PATIENCE = 60.0


def try_lock(handle: int) -> bool | None:
    """Lock an open file or folder without waiting, until its last descriptor is closed.

    Returns
    -------
    bool or None
        Whether it is ours; None where the file system has no locks.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file or folder is still what has this path."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except OSError:
        return False


@contextmanager
def alone_in(folders: Iterable[Path]) -> Iterator[None]:
    """Keep other writers out of some folders, one process at a time.

    Where the file system has no locks, or does not let the folder be opened, nothing is locked.

    Parameters
    ----------
    folders : iterable of Path

    Raises
    ------
    InputError
        If another process holds one for longer than `PATIENCE`.
    """
    with ExitStack() as stack:
        # In one order, so that no two wait for each other.
        for folder in sorted({os.path.realpath(folder) for folder in folders}):
            try:
                handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            stack.callback(os.close, handle)
            patience = time.monotonic() + PATIENCE
            while try_lock(handle) is False:
                if time.monotonic() > patience:
                    raise InputError(
                        f"another program has held this folder for {PATIENCE:g} s",
                        do="wait until it has ended, and run this again",
                        path=folder,
                    )
                time.sleep(0.01)
        yield
