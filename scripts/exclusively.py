"""Run a command while holding a lock file: ``exclusively.py LOCK COMMAND ...``.

The operating system drops the lock when the process ends, however it ends. So a grid that was killed starts again
without being unlocked by hand; Snakemake's own lock is a file that outlives ``kill -9``.
"""

import fcntl
import os
import sys
from pathlib import Path


def main(arguments: list[str]) -> None:
    """Replace this process by the command, once the lock is held."""
    lock, *command = arguments
    with Path(lock).open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(
                f"{lock}: another run holds this lock. Wait until it ends, or stop it, then start again",
                file=sys.stderr,
            )
            sys.exit(2)
        os.set_inheritable(handle.fileno(), True)
        os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
