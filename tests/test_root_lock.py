"""One Snakemake at a time makes a grid; one that was killed leaves nothing that has to be mended by hand."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consistency.support.resources import shipped

SCRIPTS = shipped("scripts/Snakefile").parent
HOLD = """
import sys, pathlib
sys.path.insert(0, sys.argv[1])
import root_lock
root_lock.hold(pathlib.Path(sys.argv[2]), pathlib.Path("locks"))
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    """Start a process that makes the grid in ``grid``."""
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", HOLD, str(SCRIPTS), "grid"]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _holds(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n", process.communicate()[1]


def test_a_second_one_is_refused_in_one_line(tmp_path: Path, hold: Callable[[], "subprocess.Popen[str]"]) -> None:
    first = hold()
    _holds(first)
    second = hold()
    out, error = second.communicate(timeout=30)
    assert (second.returncode, out, error.count("\n")) == (1, "", 1)
    assert error.startswith(f"grid: Snakemake (PID {first.pid} on {socket.gethostname()}, since 2")
    # It ends properly, and says so.
    first.communicate("", timeout=30)
    assert (tmp_path / "grid/.lock").read_text() == ""
    _holds(hold())


def test_one_that_was_killed_leaves_no_lock(tmp_path: Path, hold: Callable[[], "subprocess.Popen[str]"]) -> None:
    first = hold()
    _holds(first)
    locks = tmp_path / "locks"
    locks.mkdir()
    (locks / "0.input.lock").write_text("elsewhere/a\ngrid/world/base/model\n")
    (locks / "0.output.lock").write_text(f"{tmp_path}/grid/report\n")
    # Those of another grid, which may be running.
    (locks / "1.input.lock").write_text("grid2/world/base/model\n")
    (locks / "1.output.lock").write_text("grid2/report\n")
    first.send_signal(signal.SIGKILL)
    first.wait()
    _holds(hold())
    assert sorted(path.name for path in locks.iterdir()) == ["1.input.lock", "1.output.lock"]


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    code = HOLD.replace("sys.stdin.read()", "import subprocess; subprocess.Popen(['sleep', '30'], close_fds=False)")
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code, str(SCRIPTS), "grid"], cwd=tmp_path, check=True, timeout=30)


def test_where_there_are_no_locks_snakemake_s_own_stay(tmp_path: Path) -> None:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks/0.output.lock").write_text("grid/report\n")
    code = "import fcntl\ndef none(*_):\n    raise OSError(37, 'No locks available')\nfcntl.flock = none\n" + HOLD
    done = subprocess.run(
        [sys.executable, "-c", code, str(SCRIPTS), "grid"],
        cwd=tmp_path,
        input="",
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (0, "held\n")
    assert done.stderr == "grid: no locks on this file system; after kill -9: snakemake … --unlock\n"
    assert (tmp_path / "locks/0.output.lock").exists()


@pytest.mark.parametrize("written", ["[]", "{", "null", '{"pid": 1}\n\n{'])
def test_a_file_that_says_nothing(tmp_path: Path, hold: Callable[[], "subprocess.Popen[str]"], written: str) -> None:
    (tmp_path / "grid").mkdir()
    (tmp_path / "grid/.lock").write_text(written)
    _holds(hold())


def test_where_locks_do_not_reach_other_hosts(tmp_path: Path, hold: Callable[[], "subprocess.Popen[str]"]) -> None:
    (tmp_path / "grid").mkdir()
    path = tmp_path / "grid" / ".lock"
    path.write_text(json.dumps({"pid": 7, "host": "node7", "since": "2026-11-28T10:00:00+00:00"}))
    error = hold().communicate(timeout=30)[1]
    assert error.endswith("may still be making this grid; if it has ended there: rm grid/.lock\n")
    path.unlink()
    _holds(hold())


@pytest.mark.parametrize(
    ("processes", "do"),
    [([11, 12], "kill 11 12"), ([], "end it on node7 (scancel, if it is a job of Slurm)")],
)
def test_programs_of_an_earlier_run_are_named(tmp_path: Path, processes: list[int], do: str) -> None:
    job = {"stage": "train", "name": "world: a", "alive": True, "processes": processes, "host": "node7"}
    (tmp_path / "status.json").write_text(json.dumps({"jobs": [job, {**job, "alive": False}]}))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import root_lock; root_lock.PATIENCE = 1;"
        " root_lock.refuse_beside(sys.argv[2:])"
    )
    command = [sys.executable, "-c", code, str(SCRIPTS), "cat", str(tmp_path / "status.json")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=30)
    assert done.returncode == 1
    assert done.stderr == f"train world: a of an earlier run is still at work; {do}, then start again\n"
    (tmp_path / "status.json").write_text(json.dumps({"jobs": [{**job, "alive": False}]}))
    assert subprocess.run(command, timeout=30).returncode == 0
