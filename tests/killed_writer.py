"""Run a command of the program again and again, each time killed at another system call that makes, renames or removes.

    python killed_writer.py SPEC.json

The specification has `before` and `command`, arguments of the program, with paths relative to the current folder; `exchange`,
whether renames may exchange two folders; `most`, how many of the kills to make, or null. Every attempt has a folder of its own
in the current one. Prints as JSON the number of calls, what is in the folder before and after the command, and for each kill
what is there then, and after the same command ran once more.
"""

import contextlib
import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consistency.cli import main
from consistency.support import exchange

# What takes long to load is loaded once, before the processes fork.
for name in (
    *(f"matplotlib.backends.backend_{form}" for form in ("agg", "pdf", "svg")),
    "pyarrow.parquet",
    "consistency.knowledge.map_figure",
    "consistency.report.pair.report",
    "consistency.training_data.audit_page",
    "consistency.training_data.write",
):
    importlib.import_module(name)

CALLS = ("open", "mkdir", "rename", "replace", "link", "unlink", "remove", "rmdir")
_TIME = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d|\d{4}-\d\d-\d\d")


class Counter:
    """Counts calls, and kills this process before or after one of them."""

    def __init__(self, number: int, after: bool) -> None:
        self.seen: list[str] = []
        self._number, self._after = number, after

    def watch(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **options: Any) -> Any:
            # Reading is no call that counts.
            if name == "open" and not arguments[1] & os.O_CREAT:
                return function(*arguments, **options)
            self.seen.append(name)
            last = len(self.seen) == self._number
            if last and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return function(*arguments, **options)
            finally:
                if last:
                    os.kill(os.getpid(), signal.SIGKILL)

        return watched


def run(arguments: list[str], folder: Path, counter: Counter, exchanges: bool) -> tuple[int, str]:
    """Run the program in a folder: its exit code, negative for a signal, and its standard error."""
    folder.mkdir(exist_ok=True)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        for number, place in ((1, "../out.txt"), (2, "../err.txt")):
            os.dup2(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["consistency", *arguments]
        for name in CALLS:
            setattr(os, name, counter.watch(name, getattr(os, name)))
        function = exchange._renameat2() if exchanges else None
        watched = function and counter.watch("renameat2", function)
        exchange._renameat2 = lambda: watched  # type: ignore[assignment]
        code = 1
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
            Path("../calls.json").write_text(json.dumps(counter.seen))
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), (folder.parent / "err.txt").read_text()


def content(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file in a folder, without times and dates; of a folder nothing."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(_TIME.sub(b"", path.read_bytes())).hexdigest()
        if path.is_file()
        else ""
        for path in sorted(folder.rglob("*"))
    }


def never() -> Counter:
    return Counter(0, after=False)


def attempt(spec: dict[str, Any], root: Path) -> dict[str, Any]:
    command, exchanges = spec["command"], spec["exchange"]
    before, whole = root / "before", root / "whole"
    before.mkdir()
    if spec["before"]:
        code, said = run(spec["before"], before, never(), exchanges)
        assert code == 0, said
    shutil.copytree(before, whole)
    code, said = run(command, whole, never(), exchanges)
    assert code == 0, said
    calls = json.loads((root / "calls.json").read_text())
    # After a call is before the next one.
    wanted = [*((number, False) for number in range(1, len(calls) + 1)), (len(calls), True)]
    if spec["most"]:
        # Always before and after those that rename, and others from all parts.
        renames = {number for number, call in enumerate(calls, 1) if call in ("rename", "replace", "renameat2")}
        chosen = renames | {number + 1 for number in renames} | set(range(1, len(calls), len(calls) // spec["most"]))
        wanted = [item for item in wanted if item[0] in chosen]
    kills = []
    for number, after in wanted:
        tried = root / "tried"
        shutil.copytree(before, tried)
        code, _ = run(command, tried, Counter(number, after), exchanges)
        assert code == -signal.SIGKILL, (code, number, calls)
        left = content(tried)
        code, said = run(command, tried, never(), exchanges)
        end = {"code": code, "said": said, "again": content(tried)}
        kills.append({"call": calls[number - 1], "number": number, "after": after, "left": left, **end})
        shutil.rmtree(tried)
    return {"calls": calls, "old": content(before), "new": content(whole), "kills": kills}


if __name__ == "__main__":
    print(json.dumps(attempt(json.loads(Path(sys.argv[1]).read_text()), Path.cwd())))
