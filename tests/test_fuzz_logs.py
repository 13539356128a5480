"""Slices of the campaigns of damaged logs and files; scripts/fuzz_logs.py and scripts/fuzz_files.py run the whole."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.mark.parametrize(
    ("program", "cases", "last"),
    [("fuzz_logs.py", 200, "200 pairs of logs: "), ("fuzz_files.py", 80, "80 damaged files: ")],
)
def test_damaged_files_end_in_a_right_result_or_one_clear_error(program: str, cases: int, last: str) -> None:
    command = [sys.executable, str(SCRIPTS / program), "--cases", str(cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(last)
