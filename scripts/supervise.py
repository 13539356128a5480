"""Run the shell of a rule so that none of its programs outlives Snakemake, and keep its log locked as long as they run.

    supervise.py PARENT LOG COMMAND ...

PARENT is the process that started this one. When it ends, however it ends, so does the command with all processes below it;
what the command leaves running when it ends by itself, ends as well. The first line that a run adds to LOG says when it
began, and where; the last one is the exit code of a command that failed. Where the file system has no locks, and on a system
other than Linux, the command runs all the same, and may outlive a Snakemake that was killed.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from types import FrameType

from with_lock import die_with_parent, lock, prctl

ADOPT_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER
PATIENCE = 10  # seconds
LOST = 120
ENDING = 2


def main(parent: int, log: Path, command: list[str]) -> int:
    """The exit code of the command; 128 and the number of the signal if one ended it."""
    prctl(ADOPT_ORPHANS, 1)
    die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:  # it ended before this one was bound to it
        return 1
    handle = _lock_log(log)
    if handle is None:
        print(f"{log}: a program of an earlier run still writes here; consistency status names it", file=sys.stderr)
        return 2
    _add(
        log,
        f"begun {datetime.now().astimezone().isoformat(timespec='seconds')}, PID {os.getpid()} on {socket.gethostname()}",
    )

    stopped = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)
        if os.getppid() != parent:
            _end_all(signal.SIGKILL)
        else:
            _end_all(signal.SIGTERM)
            signal.alarm(PATIENCE)

    # Ctrl-C reaches the command, too, which may have something to put away. A nohup holds for all of them.
    signal.signal(signal.SIGINT, lambda *_: None)
    signal.signal(signal.SIGALRM, lambda *_: _end_all(signal.SIGKILL))
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    environment = os.environ | {"SUPERVISOR": str(os.getpid())}
    child = subprocess.Popen(command, env=environment, pass_fds=[handle], preexec_fn=die_with_parent)
    code = _wait(child.pid)
    if code and (_outlives(parent) if stopped else os.getppid() == parent):
        _add(log, f"exit code {code}")
    return code


def _outlives(parent: int) -> bool:
    """Whether the parent goes on after a signal to stop.

    The threads of a parent that is killed end one after the other, and the first to end sends the signal.
    """
    until = time.monotonic() + ENDING
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{parent}/stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        except OSError:
            return os.getppid() == parent
        if os.getppid() != parent or state in "ZX":
            return False
        time.sleep(0.05)
    return True


def _lock_log(log: Path) -> int | None:
    """The locked log, or None where another process keeps it.

    One that was killed with Snakemake takes a moment to end; a host that was lost, until its file server takes its locks away.
    """
    began = re.findall(rb"^begun \S+, PID \d+ on (.+)$", log.read_bytes() if log.exists() else b"", re.MULTILINE)
    until = time.monotonic() + (PATIENCE if began[-1:] == [socket.gethostname().encode()] else LOST)
    while (handle := lock(log)) is None and time.monotonic() < until:
        time.sleep(0.1)
    return handle


def _wait(child: int) -> int:
    """The exit code of the child, once it has ended and so have all processes that it left."""
    ended, status = 0, 0
    while ended != child:
        ended, status = os.waitpid(-1, 0)
    signal.alarm(0)
    code = os.waitstatus_to_exitcode(status)
    while True:
        _end_all(signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return code if code >= 0 else 128 - code


def _end_all(number: int) -> None:
    """Send a signal to all processes below this one."""
    for process in _below(os.getpid()):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            continue


def _below(process: int) -> list[int]:
    """The processes that this one started, directly or not; orphans among them belong to the one that is to adopt them."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name of the program, in parentheses, may hold anything.
            parents[int(stat.parent.name)] = int(stat.read_text(errors="replace").rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
    found: list[int] = []
    above = {process}
    while above := {child for child, parent in parents.items() if parent in above}:
        found += above
    return found


def _add(log: Path, line: str) -> None:
    """Add a line to a log, whose last line may be a progress bar without an end."""
    with log.open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
        stream.write(f"{line}\n".encode())


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
