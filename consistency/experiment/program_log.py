"""The log of a grid's program: its last attempt, and who is writing it."""

from __future__ import annotations

import fcntl
import os
import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

# Lines that scripts/supervise.py writes into a log.
_BEGUN = re.compile(rb"^begun (?P<since>[-+:\d]+T[-+:\d]+), PID \d+ on (?P<host>.+)\n", re.MULTILINE)
_EXIT_CODE = re.compile(r"^exit code (\d+)\n?\Z", re.MULTILINE)
_ENDING = 1 << 18  # bytes at the end of a log that are read


@dataclass(frozen=True)
class Attempt:
    """The last time that a program ran.

    Attributes
    ----------
    text : str
        What it printed, or the end of it, carriage returns included.
    since : datetime.datetime or None
        When it began; None where the log does not say.
    host : str or None
        Where it ran.
    exit_code : int or None
        With what it failed; None for one that is still running, that was stopped with the grid, or that went well.
    changed : float
        When the log was last written, in seconds since 1970.
    """

    text: str
    since: datetime | None
    host: str | None
    exit_code: int | None
    changed: float


def read_attempt(log: Path) -> Attempt | None:
    """The last attempt in a log; None if there is no log that can be read."""
    try:
        content = log.read_bytes()
        changed = log.stat().st_mtime
    except OSError:
        return None
    begun = deque(_BEGUN.finditer(content), maxlen=1)
    printed = content[begun[0].end() :] if begun else content
    text = printed[-_ENDING:].decode("utf-8", "replace")
    code = _EXIT_CODE.search(text)
    return Attempt(
        text=text[: code.start()] if code else text,
        since=_time(begun[0]["since"].decode()) if begun else None,
        host=begun[0]["host"].decode("utf-8", "replace") if begun else None,
        exit_code=int(code[1]) if code else None,
        changed=changed,
    )


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def is_locked(path: Path) -> bool:
    """Whether another process holds a lock on a file; False, too, where there is no file, or the system has no locks there."""
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def writers(log: Path) -> tuple[int, ...]:
    """The processes of this host that have a log open; empty on a system without ``/proc``."""
    try:
        wanted = log.stat()
    except OSError:
        return ()
    found = set()
    for handle in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            stat = handle.stat()
        except OSError:
            continue
        if (stat.st_dev, stat.st_ino) == (wanted.st_dev, wanted.st_ino):
            found.add(int(handle.parts[2]))
    return tuple(sorted(found - {os.getpid()}))
