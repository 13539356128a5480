"""How right the time left is that `consistency status` shows: what it said of each running job, against when the job ended.

    python scripts/measure_progress.py EXPERIMENT --out estimates.jsonl      while the grid of the experiment runs elsewhere

It looks every few seconds until the grid is done, or is no longer made, and prints for each job that ended meanwhile what was
said of it after one minute, and the largest factor by which it was wrong from then on while ten seconds or more were left.
The file has a line for each look at a job: `job`, `ran`, `said`, `left` (all in seconds but the first).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

from consistency.experiment.reading import read_experiment
from consistency.experiment.status import read_status

FROM = 60.0  # seconds
SHORTEST = 10.0  # seconds


def main() -> None:
    """Watch a grid and print how right its estimates were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", type=Path)
    parser.add_argument("--root", type=Path, help="folder of its artefacts; runs/NAME without it")
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two looks")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    root = arguments.root or Path("runs") / read_experiment(arguments.experiment, "runs").name
    looks = watch(arguments.experiment, root, arguments.every)
    arguments.out.write_text("".join(json.dumps(look) + "\n" for look in looks), encoding="utf-8")
    sys.stdout.write(summary(looks))


def watch(experiment: Path, root: Path, every: float) -> list[dict[str, float | str | None]]:
    """What was said of each job at each look, and how long it then took."""
    said: dict[str, list[tuple[float, float, float | None]]] = defaultdict(list)
    looks: list[dict[str, float | str | None]] = []
    waited = 0
    # The grid may not have begun.
    while waited < 100:
        found = read_status(read_experiment(experiment, root))
        now = time.time()
        waited = 0 if found.head else waited + 1
        for job in found.jobs:
            name = f"{job.stage} {job.name}"
            if job.state == "running" and job.seconds is not None:
                said[name].append((now, job.seconds, job.left if job.progress and job.progress.rate else None))
            elif job.state == "done" and name in said:
                looks += [{"job": name, "ran": ran, "said": left, "left": now - at} for at, ran, left in said.pop(name)]
        if all(job.state == "done" for job in found.jobs):
            break
        time.sleep(every)
    return looks


def summary(looks: list[dict[str, float | str | None]]) -> str:
    """A line for each job: how long it took, what was said after a minute, what was true, and the largest factor since."""
    lines = [f"{'job':50}  {'took':>6}  {'said':>6}  {'true':>6}  {'factor':>6}  {'worst':>6}"]
    for name in dict.fromkeys(str(look["job"]) for look in looks):
        rows = [
            (float(look["ran"] or 0), look["said"], float(look["left"] or 0)) for look in looks if look["job"] == name
        ]
        after = [
            (float(said), left) for ran, said, left in rows if ran >= FROM and said is not None and left >= SHORTEST
        ]
        took = rows[0][0] + rows[0][2]
        if not after:
            lines.append(f"{name:50}  {took:6.0f}  {'-':>6}  {'-':>6}  {'-':>6}  {'-':>6}")
            continue
        factors = [max(said, 1.0) / left for said, left in after]
        said, left = after[0]
        worst = max(factors, key=lambda factor: max(factor, 1 / factor))
        lines.append(f"{name:50}  {took:6.0f}  {said:6.0f}  {left:6.0f}  {factors[0]:6.2f}  {worst:6.2f}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
