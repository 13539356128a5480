"""How much memory a comparison takes, in sizes of the logs that it reads.

    python scripts/benchmark_memory.py                              # files of 64 MB, every kind of rows and command
    python scripts/benchmark_memory.py --size 1500 --rows usual     # two files of 1.5 GB
    python scripts/benchmark_memory.py --commands compare

Both logs are written to a temporary folder, a file each. A command runs in a process of its own; its memory is the most
that the system ever gave it (the peak resident set) less that of the same command on two logs of a few rows, which is what
Python and the libraries take. Rows are of these kinds:

    tiny       about 135 bytes: a number for a question, two options, no hashes
    usual      about 800 bytes: a question with two options, as lm_eval writes them without examples, with hashes
    five-shot  about 6,400 bytes: with five examples in every prompt
    nan        an array over many lines, as of lm_eval 0.4.0, with a NaN in every fifth row and texts outside Latin-1
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DATE = "2026-01-01T00-00-00.000000"
LETTERS = "AB"
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "compare": lambda folder: [],
    "compare --json": lambda folder: ["--json", str(folder / "comparison.json")],
    "compare --out": lambda folder: ["--out", str(folder / "report")],
}


def tiny(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """A row as small as a row can be."""
    one, other = rng.normal(-3, 2, 2).round(4).tolist()
    return {
        "doc_id": number,
        "doc": {"q": f"{number}?"},
        "target": "",
        "filtered_resps": [[str(one), "False"], [str(other), "False"]],
        "acc": 0.0,
    }


def usual(number: int, rng: np.random.Generator, examples: str = "") -> dict[str, Any]:
    """A row with a question of two options."""
    question = f"Is number {number} of the list like any other?"
    document = {"question": question, "choices": ["no", f"yes, {number}"]}
    scores = rng.normal(-3, 2, 2).round(6).tolist()
    prompt = examples + question + "\nA. no\nB. yes\nAnswer:"
    return {
        "doc_id": number,
        "doc": document,
        "target": "",
        "arguments": {f"gen_args_{i}": {"arg_0": prompt, "arg_1": f" {letter}"} for i, letter in enumerate(LETTERS)},
        "resps": [[[str(x), "False"]] for x in scores],
        "filtered_resps": [[str(x), "False"] for x in scores],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": "",
        "prompt_hash": hashlib.sha256(prompt.encode()).hexdigest(),
        "target_hash": hashlib.sha256(prompt.encode()).hexdigest(),
        "acc": 0.0,
    }


def five_shot(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """A row with examples in its prompts."""
    return usual(number, rng, "An example with a question, options and its answer. " * 54)


def with_nan(number: int, rng: np.random.Generator) -> dict[str, Any]:
    """A row of lm_eval 0.4.0 with texts that need two and four bytes a character in Python."""
    row = usual(number, rng)
    row["doc"]["question"] += "数学 и λόγος 🙂"
    row["arguments"] = [[request["arg_0"], request["arg_1"]] for request in row["arguments"].values()]
    scores = [float(x) for x, _ in row["filtered_resps"]]
    if number % 5 == 0:
        scores[1] = float("nan")
    row["resps"] = [[[x, False]] for x in scores]
    row["filtered_resps"] = [[x, False] for x in scores]
    return {name: value for name, value in row.items() if name not in ("filter", "metrics", "doc_hash", "prompt_hash")}


ROWS = {"tiny": tiny, "usual": usual, "five-shot": five_shot, "nan": with_nan}


def write_log(folder: Path, kind: str, size: float, seed: int) -> Path:
    """Write a log of about so many bytes, at least a few rows, into a new folder."""
    rng, make = np.random.default_rng(seed), ROWS[kind]
    gold = np.random.default_rng(0)

    def rows() -> Iterator[dict[str, Any]]:
        number = 0
        while True:
            row = make(number, rng)
            # Both logs ask the same: what is right does not depend on the log.
            right = int(gold.integers(2))
            row["target"] = str(right)
            if "doc_hash" in row:
                row["doc_hash"] = hashlib.sha256(json.dumps(row["doc"]).encode()).hexdigest()
            scores = [float(x) for x, _ in row["filtered_resps"]]
            row["acc"] = float(int(np.argmax(scores)) == right)
            yield row
            number += 1

    folder.mkdir(parents=True)
    file = folder / ("model_sums.jsonl" if kind == "nan" else f"samples_sums_{DATE}.jsonl")
    with file.open("w", encoding="utf-8") as lines:
        written, most = 0, max(12, int(min(size / 100, 1001)))
        for count, row in enumerate(rows()):
            if count == 1000:
                most = int(size / written * count)
            if count >= most:
                break
            if kind == "nan":
                indented = json.dumps([row], indent=2, ensure_ascii=False)[2:-2]
                text = ("[\n" if not count else ",\n") + indented
            else:
                text = json.dumps(row, ensure_ascii=False) + "\n"
            written += len(text.encode())
            lines.write(text)
        if kind == "nan":
            lines.write("\n]")
    return folder


def peak(logs: list[Path], further: list[str]) -> int:
    """The most bytes that a comparison had at once."""
    command = [sys.executable, "-m", "consistency", "compare", *map(str, logs), *further]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return used.ru_maxrss * 1024


def main() -> None:
    """Write the logs of each kind, measure, and print a row of a table for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=64, help="megabytes of a log")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--commands", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--folder", type=Path, help="where the logs are written; by default where temporary files are")
    arguments = parser.parse_args()
    print("| rows | file, MB | rows in it | command | peak, MB | without logs, MB | times one file | times both |")
    print("|---|---|---|---|---|---|---|---|")
    for kind in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
            root = Path(temporary)
            few = [write_log(root / f"few-{seed}", kind, 0, seed) for seed in (1, 2)]
            logs = [write_log(root / f"log-{seed}", kind, arguments.size * 1e6, seed) for seed in (1, 2)]
            sizes = [next(log.iterdir()).stat().st_size for log in logs]
            # Line by line: a process that is started counts what the one that started it had.
            with next(logs[0].iterdir()).open("rb") as lines:
                rows = sum(b'"doc_id"' in line for line in lines)
            for name in arguments.commands:
                least = peak(few, COMMANDS[name](root / "few"))
                most = peak(logs, COMMANDS[name](root / "all"))
                one, both = ((most - least) / size for size in (sizes[0], sum(sizes)))
                print(
                    f"| {kind} | {sizes[0] / 1e6:.0f} | {rows} | {name} | {most / 1e6:.0f} | {least / 1e6:.0f} "
                    f"| {one:.2f} | {both:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
