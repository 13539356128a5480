"""Nothing that a rule starts outlives Snakemake: the programs are real, and so is ``kill -9``."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consistency.experiment.program_log import is_locked, writers
from consistency.support.resources import shipped

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")

BEGIN = shipped("scripts/begin.sh")
# In place of Snakemake: a process that runs the shell of a rule and waits.
PARENT = "import subprocess, sys; sys.exit(subprocess.call(['bash', '-c', sys.argv[1]]))"
# A program that writes on and on; one in a session of its own, as torchrun starts its workers; and one without a parent.
WRITES = "while true; do date +%s.%N >> {name}; sleep 0.05; done"
PROGRAMS = {
    "a child": "bash -c '{writes}'",
    "a child of a program": 'python -c \'import subprocess; subprocess.call(["bash", "-c", "{writes}"])\'',
    "a session of its own": "setsid bash -c '{writes}' & wait",
    "an orphan": "(setsid bash -c '{writes}' &) ; sleep 60",
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Start the shell of a rule in `tmp_path` below a process that is to be killed."""
    started: list[subprocess.Popen[str]] = []
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(program: str) -> "subprocess.Popen[str]":
        shell = f"set -euo pipefail; source '{BEGIN}' logs/a.log 1 0; {program}"
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", PARENT, shell],
                cwd=tmp_path,
                env=environment,
                text=True,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()
    # What a test that failed has left writes on and on.
    for place in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(tmp_path).encode() in place.read_bytes():
                os.kill(int(place.parent.name), signal.SIGKILL)


def _until(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _stopped(path: Path) -> None:
    """Nothing is added to a file any more."""
    time.sleep(0.5)
    size = path.stat().st_size
    time.sleep(0.5)
    assert path.stat().st_size == size


def _supervisor(log: Path) -> int:
    return int(log.read_text().split(", PID ")[-1].split()[0])


@pytest.mark.parametrize(
    ("kind", "group"),
    [*((kind, False) for kind in PROGRAMS), ("a child", True), ("a child of a program", True)],
)
def test_it_ends_with_snakemake(
    start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path, kind: str, group: bool
) -> None:
    written, log = tmp_path / "written", tmp_path / "logs" / "a.log"
    parent = start(PROGRAMS[kind].format(writes=WRITES.format(name=written)))
    _until(written.exists)
    assert is_locked(log)
    if group:
        os.killpg(parent.pid, signal.SIGKILL)
    else:
        parent.kill()
    parent.wait()
    _stopped(written)
    assert not is_locked(log)
    # It did not fail: it is to start over.
    assert "exit code" not in log.read_text()


def test_what_has_left_a_killed_process_group_is_named(
    start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    """A program in a session of its own, which has closed the lock as Python does, whose supervisor is killed at once."""
    written, log = tmp_path / "written", tmp_path / "logs" / "a.log"
    loop = WRITES.format(name=written)
    program = f"import subprocess; subprocess.run(['bash', '-c', '{loop}'], start_new_session=True)"
    parent = start(f'python -c "{program}" >> "$log" 2>&1')
    _until(written.exists)
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    _until(lambda: not is_locked(log))
    left = writers(log)
    assert left
    for process in left:
        os.kill(process, signal.SIGKILL)
    _stopped(written)
    _until(lambda: not writers(log))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_supervisor(
    start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path, number: signal.Signals
) -> None:
    written, log = tmp_path / "written", tmp_path / "logs" / "a.log"
    lock = shipped("scripts/with_lock.py")
    parent = start(f"python '{lock}' --gpus 0 bash -c '{WRITES.format(name=written)}'; true")
    _until(written.exists)
    os.kill(_supervisor(log), number)
    code = parent.wait()
    _stopped(written)
    assert not is_locked(log)
    # A supervisor that is killed writes nothing, but Snakemake is told.
    assert code == (256 - 9 if number == signal.SIGKILL else 143)
    assert log.read_text().endswith("exit code 143\n") == (number == signal.SIGTERM)


def test_a_shell_that_is_killed_takes_its_program_along(
    start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path
) -> None:
    written, log = tmp_path / "written", tmp_path / "logs" / "a.log"
    parent = start(f"printf '50%%' >> \"$log\"; bash -c '{WRITES.format(name=written)}'; true")
    _until(written.exists)
    children = Path(f"/proc/{_supervisor(log)}/task/{_supervisor(log)}/children").read_text().split()
    assert len(children) == 1
    os.kill(int(children[0]), signal.SIGKILL)
    assert parent.wait() == 137
    _stopped(written)
    # The bar had no end of line.
    assert log.read_text().endswith("50%\nexit code 137\n")


def test_two_never_write_to_one_log(start: Callable[[str], "subprocess.Popen[str]"], tmp_path: Path) -> None:
    first = start(f"touch '{tmp_path}/begun'; sleep 60")
    _until((tmp_path / "begun").exists)
    second = start(f"touch '{tmp_path}/second'")
    assert "a program of an earlier run still writes here" in second.communicate(timeout=60)[1]
    assert second.returncode == 2
    assert not (tmp_path / "second").exists()
    first.kill()
    first.wait()
    assert start(f"touch '{tmp_path}/third'").wait() == 0
