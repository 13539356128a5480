"""How much memory a comparison takes, in sizes of the logs that it reads.

    python scripts/benchmark_memory.py                              # files of 64 MB, every kind of rows and command
    python scripts/benchmark_memory.py --size 1500 --rows usual     # two files of 1.5 GB
    python scripts/benchmark_memory.py --commands compare

Both logs are written to a temporary folder, a file each. A command runs in a process of its own; its memory is the most
that the system ever gave it (the peak resident set). Of that the base is what the same command takes for two logs of a few
rows, which is Python and the libraries: beside files of less than 100 MB it counts, beside larger ones hardly. Rows are of
these kinds:

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


# What stands in a template for the values that differ from row to row.
_NUMBER, _SCORES, _TARGET, _RIGHT = "@number@", ("@first@", "@second@"), "@target@", "@right@"
_HASHES = ("@doc_hash@", "@prompt_hash@", "@target_hash@")
# Rows that are made at once: what this program has in memory counts for the processes that it starts.
_ROWS = 2_000


def tiny() -> dict[str, Any]:
    """A row as small as a row can be."""
    return {
        "doc_id": _NUMBER,
        "doc": {"q": f"{_NUMBER}?"},
        "target": _TARGET,
        "filtered_resps": [[score, "False"] for score in _SCORES],
        "acc": _RIGHT,
    }


def usual(examples: str = "") -> dict[str, Any]:
    """A row with a question of two options."""
    question = f"Is number {_NUMBER} of the list like any other?"
    prompt = examples + question + "\nA. no\nB. yes\nAnswer:"
    return {
        "doc_id": _NUMBER,
        "doc": {"question": question, "choices": ["no", f"yes, {_NUMBER}"]},
        "target": _TARGET,
        "arguments": {f"gen_args_{i}": {"arg_0": prompt, "arg_1": f" {letter}"} for i, letter in enumerate(LETTERS)},
        "resps": [[[score, "False"]] for score in _SCORES],
        "filtered_resps": [[score, "False"] for score in _SCORES],
        "filter": "none",
        "metrics": ["acc"],
        **dict(zip(("doc_hash", "prompt_hash", "target_hash"), _HASHES, strict=True)),
        "acc": _RIGHT,
    }


def five_shot() -> dict[str, Any]:
    """A row with examples in its prompts."""
    return usual("An example with a question, options and its answer. " * 54)


def with_nan() -> dict[str, Any]:
    """A row of lm_eval 0.4.0 with texts that need two and four bytes a character in Python."""
    row = usual()
    row["doc"]["question"] += "数学 и λόγος 🙂"
    row["arguments"] = [[request["arg_0"], request["arg_1"]] for request in row["arguments"].values()]
    # Numbers, without quotes.
    scores = [f"{score}n" for score in _SCORES]
    row["resps"] = [[[score, False]] for score in scores]
    row["filtered_resps"] = [[score, False] for score in scores]
    return {name: value for name, value in row.items() if name not in ("filter", "metrics") and "_hash" not in name}


ROWS = {"tiny": tiny, "usual": usual, "five-shot": five_shot, "nan": with_nan}


def template(kind: str) -> str:
    """The text of a row, to be filled with `%` by a mapping."""
    array = kind == "nan"
    text = json.dumps([ROWS[kind]()] if array else ROWS[kind](), indent=2 if array else None, ensure_ascii=False)
    text = (text[2:-2] if array else text).replace("%", "%%")
    for number in (_NUMBER, _RIGHT, *(f"{score}n" for score in _SCORES)):
        text = text.replace(f'"{number}"', number.removesuffix("n"))
    for value in (_NUMBER, *_SCORES, _TARGET, _RIGHT, *_HASHES):
        text = text.replace(value, f"%({value.strip('@')})s")
    return text


def rows_of(kind: str, seed: int, most: int) -> Iterator[list[str]]:
    """The texts of so many rows, many at once. What is asked and what is right does not depend on the seed."""
    rng, gold, text = np.random.default_rng(seed), np.random.default_rng(0), template(kind)
    hashed = _HASHES[0].strip("@") in text
    for start in range(0, most, _ROWS):
        numbers = range(start, min(start + _ROWS, most))
        scores = rng.normal(-3, 2, (len(numbers), 2)).round(4 if kind == "tiny" else 6)
        right = gold.integers(2, size=len(numbers))
        answers = np.where(scores.argmax(axis=1) == right, "1.0", "0.0").tolist()
        if kind == "nan":
            scores[::5, 1] = np.nan
        found = []
        for number, (one, other), target, answer in zip(numbers, scores.tolist(), right.tolist(), answers, strict=True):
            values = {
                "number": number,
                "first": one,
                "second": "NaN" if np.isnan(other) else other,
                "target": target,
                "right": answer,
            }
            if hashed:
                for name, what in zip(_HASHES, (b"doc", b"prompt", b"target"), strict=True):
                    values[name.strip("@")] = hashlib.sha256(b"%b %d" % (what, number)).hexdigest()
            found.append(text % values)
        yield found


def rows_in(kind: str, size: float) -> int:
    """How many rows a log of about so many bytes has, at least a few."""
    row = sum(len(text.encode()) + 2 for text in next(rows_of(kind, 0, _ROWS))) / _ROWS
    return max(12, int(size / row))


def write_log(folder: Path, kind: str, most: int, seed: int) -> Path:
    """Write a log of so many rows into a new folder."""
    folder.mkdir(parents=True)
    array = kind == "nan"
    file = folder / ("model_sums.jsonl" if array else f"samples_sums_{DATE}.jsonl")
    with file.open("w", encoding="utf-8") as lines:
        for count, texts in enumerate(rows_of(kind, seed, most)):
            before = "" if not array else ",\n" if count else "[\n"
            lines.write(before + (",\n" if array else "\n").join(texts) + ("" if array else "\n"))
        if array:
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
    print(
        "| rows | file, MB | rows in it | command | peak, MB | times one file | base, MB | times one file, without the base |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kind in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
            root = Path(temporary)
            rows = rows_in(kind, arguments.size * 1e6)
            few, logs = (
                [write_log(root / f"{name}-{seed}", kind, most, seed) for seed in (1, 2)]
                for name, most in (("few", rows_in(kind, 0)), ("log", rows))
            )
            size = next(logs[0].iterdir()).stat().st_size
            for name in arguments.commands:
                least = peak(few, COMMANDS[name](root / "few"))
                most = peak(logs, COMMANDS[name](root / "all"))
                print(
                    f"| {kind} | {size / 1e6:.0f} | {rows} | {name} | {most / 1e6:.0f} | {most / size:.2f} "
                    f"| {least / 1e6:.0f} | {(most - least) / size:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
