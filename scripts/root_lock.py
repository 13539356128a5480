"""The lock on the folder of a grid: one Snakemake at a time makes it, and one that was killed leaves no lock behind."""

from __future__ import annotations

import atexit
import json
import os
import re
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from with_lock import lock

NAME = ".lock"
PATIENCE = 10  # seconds


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
    handle, written = lock(path), _read(path)
    if handle is None:
        sys.exit(f"{root}: {_named(written)} is making this grid; wait until it ends, or stop it, then start again")
    # Nothing is written there once a process has ended properly. The lock may not reach as far as the file system does.
    if written and written.get("host") != socket.gethostname():
        sys.exit(f"{root}: {_named(written)} may still be making this grid; if it has ended there: rm {path}")
    os.set_inheritable(handle, False)
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    own = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
    os.ftruncate(handle, 0)
    os.write(handle, json.dumps(own).encode())
    atexit.register(os.ftruncate, handle, 0)
    # A file that can be locked twice lies where there are no locks.
    if (again := lock(path)) is None:
        remove_stale(root, locks)
    else:
        os.close(again)
        print(f"{root}: no locks on this file system; after kill -9: snakemake … --unlock", file=sys.stderr)


def refuse_beside(status: list[str | Path]) -> None:
    """End this process in one line if programs of an earlier run still write below the folder of the grid.

    Parameters
    ----------
    status : list
        The command that prints the state of the grid as JSON. A program that was killed with Snakemake takes a moment to end.
    """
    for _ in range(PATIENCE):
        asked = subprocess.run(status, capture_output=True, text=True, check=False)
        if asked.returncode:
            sys.exit(asked.stderr.strip())
        writing = [job for job in json.loads(asked.stdout)["jobs"] if job["alive"]]
        if not writing:
            return
        time.sleep(1)
    job = writing[0]
    here = f"kill {' '.join(map(str, job['processes']))}"
    do = here if job["processes"] else f"end it on {job['host']} (scancel, if it is a job of Slurm)"
    more = f" (and {len(writing) - 1} more)" if len(writing) > 1 else ""
    sys.exit(f"{job['stage']} {job['name']} of an earlier run is still at work{more}; {do}, then start again")


def remove_stale(root: Path, locks: Path) -> None:
    """Remove Snakemake's locks on files below a folder."""
    inside = root.resolve()
    for path in sorted(locks.glob("*.lock")):
        if not re.fullmatch(r"\d+\.(input|output)\.lock", path.name):
            continue
        named = path.read_text(encoding="utf-8").splitlines()
        if any(Path(name).resolve().is_relative_to(inside) for name in named):
            path.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any]:
    """What the file of the lock says of the process that holds it, or held it and was killed; empty if nothing."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _named(written: dict[str, Any]) -> str:
    if not written:
        return "another Snakemake"
    return f"Snakemake (PID {written.get('pid')} on {written.get('host')}, since {written.get('since')})"
