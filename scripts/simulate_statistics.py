"""How often intervals contain the truth and tests reject a true null, by simulation; also for the paper's tests.

    python scripts/simulate_statistics.py                                 # all, 20,000 draws for each figure
    python scripts/simulate_statistics.py --draws 500                     # a look
    python scripts/simulate_statistics.py --only subjects --keep FILE     # some; figures in FILE are not drawn again
    python scripts/simulate_statistics.py --only of_parts --sizes 100 250 # with other sizes than the table's own

Prints Markdown tables; `simulations` has the draws and the names of their rows. An interval should cover in 93.5 to 96.5 %
of the draws, a test should reject in at most 5.5 %. The questions of a subject are alike, since each subject has a difficulty
of its own; unequal subjects have the sizes of MMLU's (scaled down), where one of 57 has a ninth of all questions.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from simulations import (
    alarms,
    clusters,
    gates,
    letters,
    many,
    options,
    plans,
    questions,
    runs,
    sides,
    slices,
    tails,
    tasks,
    trainings,
    verdicts,
)
from simulations.draws import Draw

from consistency.support.files import write_atomically

# In the order of docs/statistics.md.
MODULES = (
    questions,
    tasks,
    clusters,
    tails,
    verdicts,
    options,
    letters,
    gates,
    plans,
    slices,
    alarms,
    runs,
    sides,
    trainings,
    many,
)
TABLES = {title: table for module in MODULES for title, table in module.TABLES.items()}
CHUNKS = 40


def outcomes(draw: Draw, size: int, draws: int, chunk: int) -> list[float]:
    """Share of the draws in which each outcome holds, of those that have it (of 8 runs, one in 200 has no correlation)."""
    rng = np.random.default_rng([20240218, size, chunk])
    columns = zip(*(draw(rng, size) for _ in range(draws)), strict=True)
    known = [[outcome for outcome in column if outcome is not None] for column in columns]
    return [float(np.mean(column)) if column else math.nan for column in known]


def main() -> None:
    """Draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--draws", type=int, default=20_000, help=f"a multiple of {CHUNKS}, which are drawn side by side"
    )
    parser.add_argument("--only", metavar="TEXT", default="", help="only draws whose function and size hold this text")
    parser.add_argument("--keep", metavar="FILE", type=Path, help="a JSON file of finished figures, read and added to")
    parser.add_argument("--sizes", metavar="N", type=int, nargs="+", help="instead of each table's own sizes")
    arguments = parser.parse_args()
    if arguments.draws < CHUNKS or arguments.draws % CHUNKS:
        parser.error(f"--draws {arguments.draws}: give a multiple of {CHUNKS}")
    tables = {title: (tuple(arguments.sizes or sizes), parts) for title, (sizes, parts) in TABLES.items()}
    kept = json.loads(arguments.keep.read_text()) if arguments.keep and arguments.keep.exists() else {}
    # One process for each core: the linear algebra of each must not use them all.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    start = time.perf_counter()
    chosen = [
        (draw, size)
        for sizes, parts in tables.values()
        for draw, _ in parts
        for size in sizes
        if arguments.only in f"{draw.__name__} {size}"
    ]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {
            pool.submit(outcomes, draw, size, arguments.draws // CHUNKS, chunk): key
            for draw, size in chosen
            for chunk in range(CHUNKS)
            if (key := f"{draw.__name__} {size} {arguments.draws} {chunk}") not in kept
        }
        for done in as_completed(waiting):
            kept[waiting[done]] = done.result()
            if arguments.keep:
                write_atomically(arguments.keep, json.dumps(kept))
    for title, (sizes, parts) in tables.items():
        lines = []
        for draw, names in parts:
            if not all((draw, size) in chosen for size in sizes):
                continue
            columns = [
                np.mean([kept[f"{draw.__name__} {size} {arguments.draws} {chunk}"] for chunk in range(CHUNKS)], axis=0)
                for size in sizes
            ]
            for name, *values in zip(names, *columns, strict=True):
                cells = ("–" if math.isnan(value) else f"{100 * value:.1f} %" for value in values)
                lines.append(f"| {name} | {' | '.join(cells)} |")
        if lines:
            heading = f"| | {' | '.join(map(str, sizes))} |\n|---|{'---:|' * len(sizes)}"
            print(f"\n{title}:\n\n{heading}\n" + "\n".join(lines))
    print(f"\n{arguments.draws} draws for each figure, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
