"""The lock on the folder of a grid: one Snakemake at a time makes it, and one that was killed leaves no lock behind."""

from __future__ import annotations

import atexit
import json
import os
import re
import socket
import sys
from datetime import datetime
from pathlib import Path

from with_lock import lock

NAME = ".lock"


def hold(root: Path, locks: Path) -> None:
    """Lock the folder of a grid until this process ends, or end this process in one line if another makes the grid.

    Parameters
    ----------
    root : pathlib.Path
        The folder of the grid. Its file ``.lock`` says which process makes it, and since when.
    locks : pathlib.Path
        Snakemake's own locks, which outlive a Snakemake that was killed: those on files below `root` are removed.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / NAME
    handle = lock(path)
    written = path.read_text(encoding="utf-8")
    if handle is None:
        sys.exit(f"{root}: {_named(written)} is making this grid; wait until it ends, or stop it, then start again")
    # Nothing is written there once a process has ended properly. The lock may not reach as far as the file system does.
    if written and json.loads(written)["host"] != socket.gethostname():
        sys.exit(f"{root}: {_named(written)} may still be making this grid; if it has ended there: rm {path}")
    os.set_inheritable(handle, False)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    own = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps(own).encode())
    atexit.register(os.ftruncate, handle, 0)
    remove_stale(root, locks)


def remove_stale(root: Path, locks: Path) -> None:
    """Remove Snakemake's locks on files below a folder."""
    inside = os.path.abspath(root) + os.sep
    for path in sorted(locks.glob("*.lock")):
        if not re.fullmatch(r"\d+\.(input|output)\.lock", path.name):
            continue
        named = path.read_text(encoding="utf-8").splitlines()
        if any(os.path.abspath(name).startswith(inside) for name in named):
            path.unlink(missing_ok=True)


def _named(written: str) -> str:
    if not written:
        return "another Snakemake"
    head = json.loads(written)
    return f"Snakemake (PID {head['pid']} on {head['host']}, since {head['since']})"
