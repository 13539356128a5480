"""How fast logs are read, questions measured and a grid analysed, as ratios within one run.

    python scripts/benchmark_analysis.py                 # ratios, and a grid of 8 runs
    python scripts/benchmark_analysis.py --runs 160      # the grid of a whole paper
    python scripts/benchmark_analysis.py --reading       # reading alone

The logs are whole MMLU runs of 14,042 questions, 57 subjects, in lm_eval's own format, written to a temporary folder.
With CONSISTENCY_TEST_DATA set they hold the real questions, otherwise texts of the same length. Every ratio is of the
best of several repeats in one process, in seconds of its thread on a processor, so that it holds on any machine and
beside other work. The grid is timed by the clock.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import resource
import tempfile
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

from consistency.comparison.compare import compare
from consistency.comparison.items import question_arrays
from consistency.comparison.pairing import pair
from consistency.logs.rows import Expected, row_kind
from consistency.logs.runs import read_run
from consistency.metrics.measures import measure_columns

SUBJECTS, QUESTIONS = 57, 14_042
DATE = "2026-01-01T00-00-00.000000"
LETTERS = "ABCD"


def subjects() -> dict[str, list[dict[str, Any]]]:
    """The questions of MMLU by subject, or texts of their length."""
    data = os.environ.get("CONSISTENCY_TEST_DATA")
    if data:
        files = sorted((Path(data) / "mmlu" / "test").glob("*.jsonl"))
        return {file.stem: [json.loads(line) for line in file.open(encoding="utf-8")] for file in files}
    rng = np.random.default_rng(0)
    sizes = np.full(SUBJECTS, QUESTIONS // SUBJECTS)
    sizes[: QUESTIONS % SUBJECTS] += 1
    return {
        f"subject_{s}": [
            {
                "question": f"{s} {i} " + "lorem ipsum dolor " * 15,
                "subject": f"subject_{s}",
                "choices": [f"{letter} sit amet {i}" for letter in LETTERS],
                "answer": int(rng.integers(4)),
            }
            for i in range(size)
        ]
        for s, size in enumerate(sizes)
    }


def write_run(folder: Path, questions: dict[str, list[dict[str, Any]]], seed: int, shots: int, old: bool) -> None:
    """Write one run as lm_eval does: JSON lines, or for 0.4.0 one indented array per subject."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for subject, documents in questions.items():
        header = f"The following are multiple choice questions (with answers) about {subject}.\n\n"
        header += "\n\n".join(d["question"] + "\nA. …\nB. …\nC. …\nD. …\nAnswer: A" for d in documents[:shots])
        rows = []
        for i, document in enumerate(documents):
            options = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, document["choices"], strict=True))
            prompt = f"{header}\n\n{document['question']}\n{options}\nAnswer:"
            scores = np.round(rng.normal(-3, 2, 4), 6).tolist()
            row: dict[str, Any] = {"doc_id": i, "doc": document, "target": document["answer"]}
            if old:
                row["arguments"] = [[prompt, f" {letter}"] for letter in LETTERS]
                row["resps"] = [[[x, False]] for x in scores]
                row["filtered_resps"] = [[x, False] for x in scores]
            else:
                row["target"] = str(document["answer"])
                row["arguments"] = {
                    f"gen_args_{o}": {"arg_0": prompt, "arg_1": f" {letter}"} for o, letter in enumerate(LETTERS)
                }
                row["resps"] = [[[str(x), "False"]] for x in scores]
                row["filtered_resps"] = [[str(x), "False"] for x in scores]
                row |= {"filter": "none", "metrics": ["acc"]}
                row["doc_hash"] = hashlib.sha256(json.dumps(document).encode()).hexdigest()
                row["prompt_hash"] = hashlib.sha256(prompt.encode()).hexdigest()
                row["target_hash"] = hashlib.sha256(row["target"].encode()).hexdigest()
            row["acc"] = float(np.argmax(scores) == document["answer"])
            rows.append(row)
        if old:
            (folder / f"model_{subject}.jsonl").write_text(json.dumps(rows, indent=2, ensure_ascii=False))
        else:
            lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            (folder / f"samples_mmlu_{subject}_{DATE}.jsonl").write_text(lines)


def best(repeats: int, *works: Callable[[], object]) -> list[float]:
    """Processor seconds of each contestant's fastest repeat; they take turns, so that a slow moment hits them all."""
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, seconds in zip(works, times, strict=True):
            start = time.thread_time()
            work()
            seconds.append(time.thread_time() - start)
    return [min(seconds) for seconds in times]


class Whole(msgspec.Struct):
    """A logged document with all its fields, as one would type it."""

    doc_id: int
    doc: dict[str, Any]
    target: str | int
    arguments: dict[str, dict[str, str]] | list[tuple[str, str]]
    resps: list[list[tuple[float, str | bool]]]
    filtered_resps: list[tuple[float, str | bool]]
    acc: float
    doc_hash: str = ""
    prompt_hash: str = ""
    target_hash: str = ""
    filter: str = ""
    metrics: list[str] = []


def reading(name: str, folder: Path, old: bool) -> None:
    """Compare reading a run with json.loads, and with nothing but msgspec's typed decoding, on the same files.

    The loops of json.loads and msgspec do no more than decode: one line after the other, or for `whole` the
    whole file at once. Decoding only the fields that this package reads is the least that reading can take. What a loop
    keeps matters as well, since Python's collector looks through all that is kept: `kept` holds the rows of the run,
    as reading does, the others forget one file before the next.
    """
    files = sorted(folder.glob("*.jsonl"))
    with files[0].open(encoding="utf-8") as file:
        first = json.load(file)[0] if old else json.loads(file.readline())
    fields = row_kind(first, Expected(), line=1, path=files[0]).type

    def by_line(decode: Callable[[bytes], object], kept: bool) -> Callable[[], None]:
        def loop() -> None:
            rows: list[object] = []
            for file in files:
                with file.open("rb") as lines:
                    decoded = decode(lines.read()) if old else [decode(line) for line in lines]
                if kept:
                    rows.append(decoded)

        return loop

    def whole(row_type: Any) -> Callable[[], None]:
        decoder = msgspec.json.Decoder(list[row_type] if old else row_type, strict=False)

        def loop() -> None:
            for file in files:
                _ = decoder.decode(file.read_bytes()) if old else decoder.decode_lines(file.read_bytes())

        return loop

    decode = msgspec.json.Decoder(list[fields] if old else fields, strict=False).decode  # type: ignore[valid-type]
    contestants = {
        "json.loads, kept": by_line(json.loads, kept=True),
        "json.loads": by_line(json.loads, kept=False),
        "msgspec, all fields, whole": whole(Whole),
        "msgspec, kept": by_line(decode, kept=True),
        "msgspec": by_line(decode, kept=False),
        "msgspec, whole": whole(fields),
    }
    ours, *theirs = best(15, lambda: read_run(folder), *contestants.values())
    size = sum(file.stat().st_size for file in files) / 1e6
    print(f"reading {name}, {size:.0f} MB: {ours:.3f} s")
    for contestant, seconds in zip(contestants, theirs, strict=True):
        print(f"  {contestant}: {seconds:.3f} s, {seconds / ours:.2f} times as long")


def measuring(sample: int = 300) -> None:
    """Compare the vectorised measures with a loop over questions that calls scipy for the same numbers."""
    rng = np.random.default_rng(0)
    x = np.round(rng.normal(-3, 2, (QUESTIONS, 4)), 1)
    y = np.round(x + rng.normal(0, 1.5, x.shape), 1)
    gold = np.arange(4) == rng.integers(0, 4, QUESTIONS)[:, None]

    def loop() -> None:
        for a, b in zip(x[:sample], y[:sample], strict=True):
            p, q = np.exp(a - np.logaddexp.reduce(a)), np.exp(b - np.logaddexp.reduce(b))
            stats.spearmanr(a, b)
            stats.pearsonr(stats.rankdata(-a, "dense"), stats.rankdata(-b, "dense"))
            stats.kendalltau(a, b)
            stats.weightedtau(a, b)
            stats.entropy(p, q)
            stats.entropy(q, p)
            stats.entropy(p)
            stats.entropy(q)
            jensenshannon(p, q)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = best(1, loop)[0] / sample * QUESTIONS
    (ours,) = best(5, lambda: measure_columns(x, y, gold))
    print(
        f"measuring {QUESTIONS} questions: {ours:.3f} s; "
        f"scipy in a loop {theirs:.0f} s ({theirs / ours:.0f} times longer)"
    )


def analyse(before: Path, after: Path) -> dict[str, float]:
    """Read, pair, measure and compare one run with its base; seconds by stage."""
    seconds: dict[str, float] = {}
    start = time.perf_counter()
    base, tuned = read_run(before), read_run(after)
    seconds["read"] = time.perf_counter() - start
    start = time.perf_counter()
    pairs = [pair(scores, tuned.tasks[name]) for name, scores in base.tasks.items()]
    seconds["pair"] = time.perf_counter() - start
    start = time.perf_counter()
    question_arrays(pairs)
    seconds["measure"] = time.perf_counter() - start
    start = time.perf_counter()
    compare(base, tuned)
    # compare pairs and measures once more; the rest of its time is estimates and tests.
    seconds["estimate"] = max(time.perf_counter() - start - seconds["pair"] - seconds["measure"], 0.0)
    return seconds


def grid(folders: list[Path], runs: int, workers: int) -> None:
    """Analyse a grid of runs; a run is read, analysed and forgotten."""
    start = time.perf_counter()
    total: dict[str, float] = defaultdict(float)
    with ProcessPoolExecutor(workers) as pool:
        jobs = [pool.submit(analyse, folders[0], folders[1 + i % (len(folders) - 1)]) for i in range(runs)]
        for job in jobs:
            for stage, seconds in job.result().items():
                total[stage] += seconds
    wall = time.perf_counter() - start
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in total.items())
    print(f"grid of {runs} runs × {QUESTIONS} questions on {workers} processes: {wall:.1f} s ({stages})")
    # In kilobytes, of the processes of the grid alone: this process also holds the logs read for comparison.
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"largest process of the grid: {largest:.0f} MB")


def main() -> None:
    """Run all parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=8, help="runs of the grid (160 is a whole paper)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the grid")
    parser.add_argument("--reading", action="store_true", help="compare nothing but reading")
    arguments = parser.parse_args()
    questions = subjects()
    # The collector should not look through the questions from which the logs are written while they are read.
    gc.freeze()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, shots, old in (("0-shot", 0, False), ("5-shot", 5, False), ("0-shot of 0.4.0", 0, True)):
            write_run(root / name, questions, 0, shots, old)
            reading(name, root / name, old)
            if name == "5-shot":
                for file in (root / name).iterdir():
                    file.unlink()
        if arguments.reading:
            return
        measuring()
        folders = [root / "0-shot"]
        for seed in (1, 2, 3):
            folders.append(root / f"tuned-{seed}")
            write_run(folders[-1], questions, seed, 0, old=False)
        grid(folders, arguments.runs, arguments.workers)


if __name__ == "__main__":
    main()
