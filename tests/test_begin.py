"""What the shell does before the program of a rule: its log, its environment, and whether it is tried again."""

import subprocess
from pathlib import Path

import pytest

from consistency.support.resources import shipped

SCRIPT = shipped("scripts/begin.sh")


def run(folder: Path, again: int, program: str, *settings: str) -> "subprocess.CompletedProcess[str]":
    words = " ".join(["logs/a.log", "3", str(again), *settings])
    shell = f"set -euo pipefail; source '{SCRIPT}' {words}; {program}"
    return subprocess.run(["bash", "-c", shell], cwd=folder, capture_output=True, text=True, check=False)


def test_the_environment_and_the_log_of_a_program(tmp_path: Path) -> None:
    done = run(
        tmp_path,
        0,
        'echo "$OMP_NUM_THREADS,$CUDA_VISIBLE_DEVICES"; cd /; echo done >> "$log"',
        "CUDA_VISIBLE_DEVICES=2",
    )
    assert (done.returncode, done.stdout) == (0, "3,2\n")
    begun, last = (tmp_path / "logs" / "a.log").read_text().splitlines()
    assert begun.startswith("begun ")
    assert last == "done"
    assert run(tmp_path, 0, 'echo "[$CUDA_VISIBLE_DEVICES]"', "CUDA_VISIBLE_DEVICES=").stdout == "[]\n"


def test_a_program_that_fails_leaves_its_exit_code(tmp_path: Path) -> None:
    assert run(tmp_path, 0, "(exit 7)").returncode == 7
    assert (tmp_path / "logs" / "a.log").read_text().splitlines()[-1] == "exit code 7"


@pytest.mark.parametrize(
    ("last", "again", "runs"),
    [
        ("exit code 1", 0, True),
        ("exit code 1", 1, False),
        ("exit code 127", 2, False),
        ("exit code 137", 1, True),
        # The log of a job whose node failed ends anyhow.
        ("50%", 1, True),
    ],
)
def test_only_what_was_stopped_from_outside_is_tried_again(tmp_path: Path, last: str, again: int, runs: bool) -> None:
    log = tmp_path / "logs" / "a.log"
    log.parent.mkdir()
    log.write_text(f"begun\n{last}\n")
    done = run(tmp_path, again, "echo ran")
    assert done.stdout == ("ran\n" if runs else "")
    assert done.returncode == (0 if runs else int(last.split()[-1]))
    assert (log.read_text() != f"begun\n{last}\n") == runs
