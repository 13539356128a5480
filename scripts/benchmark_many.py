"""How long the comparison of many runs takes, and how much memory.

    python scripts/benchmark_many.py                     # 40 runs of whole MMLU against one reference
    python scripts/benchmark_many.py --runs 8 --shots 5  # fewer, with five examples in every prompt
    python scripts/benchmark_many.py --keep FOLDER       # the logs stay there, and are used again

The logs are whole MMLU runs of 14,042 questions and 57 subjects in lm_eval's own format, with the real questions where
CONSISTENCY_TEST_DATA is set (see benchmark_analysis.py). A run answers as the reference does, but for noise that grows from run
to run, as it would along a training. Each command runs in a process of its own; its memory is the most that the system ever gave
it (the peak resident set).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from benchmark_analysis import QUESTIONS, subjects, write_run


def write_noisy(folder: Path, reference: Path, seed: int, noise: float) -> None:
    """Write a run whose scores are those of the reference with noise."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for file in sorted(reference.iterdir()):
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        for row in rows:
            scores = np.array([float(score) for score, _ in row["filtered_resps"]])
            scores = np.round(scores + rng.normal(0, noise, len(scores)), 6)
            row["resps"] = [[[str(x), "False"]] for x in scores.tolist()]
            row["filtered_resps"] = [[str(x), "False"] for x in scores.tolist()]
            row["acc"] = float(scores.argmax() == int(row["target"]))
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / file.name).write_text(text, encoding="utf-8")


def write_logs(root: Path, runs: int, shots: int) -> list[Path]:
    """The folders of the reference and of the runs, written where they are not there yet."""
    folders = [root / f"step-{step:04d}" for step in range(0, 100 * runs + 1, 100)]
    if not folders[0].exists():
        write_run(folders[0], subjects(), 0, shots, old=False)
    for number, folder in enumerate(folders[1:], 1):
        if not folder.exists():
            write_noisy(folder, folders[0], number, 0.2 + 0.8 * number / runs)
    return folders


def measured(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds by the clock, seconds of processors, and megabytes at most, of one command."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "consistency", *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(arguments[:3])} …: exit code {process.returncode}")
    return seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Write the logs, measure, print a row of a table for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--shots", type=int, default=0, help="examples in every prompt")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="where the logs are written, and stay")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = arguments.keep or Path(temporary)
        folders = write_logs(root, arguments.runs, arguments.shots)
        size = sum(file.stat().st_size for folder in folders for file in folder.iterdir()) / 1e9
        print(f"{arguments.runs} runs and their reference, {QUESTIONS} questions each, {size:.1f} GB of logs")
        print("| command | seconds | of processors | MB |\n|---|---:|---:|---:|")
        compare = ["compare", *map(str, folders)]
        for name, further in {
            "compare": [],
            "compare --order auto --all": ["--order", "auto", "--all"],
            "compare --order auto --out": ["--order", "auto", "--out", str(Path(temporary) / "report")],
        }.items():
            seconds, processors, memory = measured([*compare, *further])
            print(f"| {name} | {seconds:.1f} | {processors:.1f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
