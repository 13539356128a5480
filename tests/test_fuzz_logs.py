"""A slice of the campaign of damaged logs; `python scripts/fuzz_logs.py --logs 10000` runs the whole."""

import subprocess
import sys
from pathlib import Path

CAMPAIGN = Path(__file__).parents[1] / "scripts" / "fuzz_logs.py"


def test_damaged_logs_end_in_a_right_result_or_one_clear_error():
    done = subprocess.run([sys.executable, str(CAMPAIGN), "--logs", "300"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("300 damaged logs: ")
