"""Run a command while it holds a lock on GPUs of this host.

    with_lock.py --gpus N COMMAND ...     waits for N free GPUs and shows the command these alone

The operating system drops a lock when the process ends, however it ends. The command ends with the process that started it.
"""

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


def main(arguments: list[str]) -> None:
    """Replace this process by the command, once it holds the GPUs."""
    _, count, *command = arguments
    if int(count):
        held = claim(visible_gpus(), int(count))
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(held)
    die_with_parent()
    try:
        os.execvp(command[0], command)
    except FileNotFoundError:
        _exit(f"{command[0]}: no such program; install what it belongs to")


def die_with_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Have the system send this process a signal when the one that started it ends; on Linux."""
    prctl(DIE_WITH_PARENT, number)


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process that Linux knows; nothing on another system."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value)


def visible_gpus() -> list[str]:
    """The UUIDs of the GPUs that this process may use; an index names another GPU inside a Slurm job than outside of it."""
    query = ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        _exit(
            "nvidia-smi finds no GPU; expected an NVIDIA GPU, or device: cpu in the experiment, or --config device=cpu"
        )
    uuids = dict(line.split(", ") for line in listed.splitlines())
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    return list(uuids.values()) if shown is None else [uuids.get(name, name) for name in shown.split(",") if name]


def claim(gpus: list[str], count: int) -> list[str]:
    """Wait until `count` of the GPUs are free, and hold them until this process ends."""
    if count > len(gpus):
        _exit(
            f"{count} GPUs are asked for, {len(gpus)} are visible; ask for fewer: --set-resources RULE:gpu={len(gpus)}"
        )
    folder = Path(tempfile.gettempdir()) / f"consistency-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    while True:
        held: dict[str, int] = {}
        for gpu in gpus:
            if len(held) < count and (handle := lock(folder / gpu)) is not None:
                held[gpu] = handle
        if len(held) == count:
            return list(held)
        # A process that waits holds no GPU, so that two processes that want two each never wait for each other.
        for handle in held.values():
            os.close(handle)
        time.sleep(1)


def lock(path: Path) -> int | None:
    """The open file, locked for this process and the program that replaces it; None if another process holds the lock.

    A file system without locks is taken for one on which no other process holds it.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    except OSError:
        pass
    os.set_inheritable(handle, True)
    return handle


def _exit(message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1:])
