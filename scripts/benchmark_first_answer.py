"""How long a comparison of two logs of 400 questions takes, from the command to the printed answer.

    python scripts/benchmark_first_answer.py
    python scripts/benchmark_first_answer.py --beside 'errorbars compare a={before} b={after}'

Whole processes, in turn, so that a slow moment hits all of them, after one of each that compiles its modules, as an
installation does. Printed are the medians by the clock and of the processor, beside those of Python with numpy, which
every such program pays.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark_analysis import subjects, write_run

TASKS, EACH = 4, 100


def seconds(command: list[str]) -> tuple[float, float]:
    """Seconds by the clock and of the processor that a process takes."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{shlex.join(command)}: exit status {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began, used.ru_utime + used.ru_stime


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--beside", action="append", default=[], help="another program's command line, with {before} and {after}"
    )
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = {name: documents[:EACH] for name, documents in list(subjects().items())[:TASKS]}
        runs = [str(Path(folder, name)) for name in ("before", "after")]
        for seed, run in enumerate(runs):
            write_run(Path(run), chosen, seed, shots=0, old=False)
        contestants = {
            "python with numpy": [sys.executable, "-c", "import numpy"],
            "consistency compare": [sys.executable, "-m", "consistency", "compare", *runs],
        }
        contestants |= {
            line: [part.format(before=runs[0], after=runs[1]) for part in shlex.split(line)] for line in asked.beside
        }
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder, "compiled"))
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for number in range(asked.repeats + 1):
            for name, command in contestants.items():
                found = seconds(command)
                if number:
                    taken[name].append(found)
    own = statistics.median(used for _, used in taken["consistency compare"])
    print(f"{'':<36}{'clock (s)':>10}{'processor (s)':>15}{'ratio':>8}")
    for name, pairs in taken.items():
        clock, used = (statistics.median(values) for values in zip(*pairs, strict=True))
        print(f"{name[:35]:<36}{clock:>10.2f}{used:>15.2f}{used / own:>8.2f}")


if __name__ == "__main__":
    main()
