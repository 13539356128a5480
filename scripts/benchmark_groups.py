"""How long a large pool takes from its log to the training rows of every group, and how much memory.

    python scripts/benchmark_groups.py                        # 1,000,000 questions
    python scripts/benchmark_groups.py --questions 100000 --guard

The log is one of lm_eval's, with questions, options and explanations about as long as the paper's, and prompts without
shots; it is written to a temporary folder (3 KB a question). Seconds and memory are those of the installed program, as
the system counts them for a process of its own.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

WORDS = [f"{a}{b}{c}" for a in "bdfklmnprstv" for b in ("ra", "lin", "tor", "ne", "ku") for c in ("", "s", "ing", "um")]
LETTERS = "ABCD"
DATE = "2026-01-01T00-00-00.000000"


def documents(count: int, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Questions of 20 words, four options of 4, and an explanation of 120."""
    for start in range(0, count, 10_000):
        numbers = rng.integers(len(WORDS), size=(min(10_000, count - start), 156))
        answers = rng.integers(4, size=len(numbers)).tolist()
        for place, (row, answer) in enumerate(zip(numbers.tolist(), answers, strict=True)):
            words = [WORDS[number] for number in row]
            yield {
                "id": f"q{start + place}",
                "question": " ".join(words[:20]) + "?",
                "choices": [" ".join(words[first : first + 4]) for first in (20, 24, 28, 32)],
                "answer": answer,
                "explanation": " ".join(words[36:]) + ".",
                "subject": f"field {place % 20}",
            }


def write_log(folder: Path, count: int) -> int:
    """Write the log of a probe and that of the explain task, and return the size of the first in bytes."""
    rng = np.random.default_rng(0)
    for name in ("probe", "explain"):
        (folder / name).mkdir(parents=True)
    path = folder / "probe" / f"samples_pool_{DATE}.jsonl"
    encoder = msgspec.json.Encoder()
    written = folder / "explain" / f"samples_consistency_explain_fields_{DATE}.jsonl"
    with path.open("wb") as stream, written.open("wb") as explained:
        for number, document in enumerate(documents(count, rng)):
            options = "".join(f"{letter}. {text}\n" for letter, text in zip(LETTERS, document["choices"], strict=True))
            prompt = f"{document['question']}\n{options}Answer:"
            # Half of the answers are right, and a third are confident and wrong; see the counts in a manifest.
            scores = rng.normal(-13, 1.3, 4).round(6).tolist()
            if number % 3 == 0:
                scores[document["answer"]] = -10.3
            hashes = dict.fromkeys(("doc_hash", "prompt_hash", "target_hash"), f"{number:064x}")
            row = {
                "doc_id": number,
                "doc": document,
                "target": str(document["answer"]),
                "arguments": {
                    f"gen_args_{i}": {"arg_0": prompt, "arg_1": f" {letter}"} for i, letter in enumerate(LETTERS)
                },
                "resps": [[[str(score), "False"]] for score in scores],
                "filtered_resps": [[str(score), "False"] for score in scores],
                "filter": "none",
                "metrics": ["acc"],
                **hashes,
                "acc": float(scores.index(max(scores)) == document["answer"]),
            }
            stream.write(encoder.encode(row) + b"\n")
            top = max(scores)
            if not row["acc"] and sum(math.exp(score - top) for score in scores) < 2:
                asked = {name: document[name] for name in ("id", "question", "choices", "subject")}
                text = f"{document['explanation'][:300]}.```"
                answered = {
                    "doc_id": number,
                    "doc": {**asked, "option": scores.index(top)},
                    "target": "",
                    "resps": [[text]],
                    "filtered_resps": [text],
                    "filter": "none",
                    "metrics": ["bypass"],
                    "bypass": 999,
                }
                explained.write(encoder.encode(answered) + b"\n")
    return path.stat().st_size


def write_evaluation(path: Path, count: int) -> None:
    """Write an evaluation set, with questions of its own."""
    rng = np.random.default_rng(1)
    lines = (msgspec.json.encode(document) + b"\n" for document in documents(count, rng))
    path.write_bytes(b"".join(lines))


def main() -> int:
    """Write the log, run the program on it, and print what it took."""
    parser = argparse.ArgumentParser(description="Time `consistency groups` on a large pool.")
    parser.add_argument("--questions", type=int, default=1_000_000)
    parser.add_argument(
        "--guard", action="store_true", help="also look for the questions of an evaluation set of 20,000"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        size = write_log(folder, arguments.questions)
        print(f"{arguments.questions:,} questions, {size / 1e9:.2f} GB of log, {os.cpu_count()} cores")
        command = [str(Path(sys.executable).with_name("consistency")), "groups", "--probe", str(folder / "probe")]
        command += [
            "--domain",
            "fields",
            "--general",
            "world",
            "--out",
            str(folder / "groups"),
            "--explanations",
            str(folder / "explain"),
        ]
        if arguments.guard:
            write_evaluation(folder / "test.jsonl", 20_000)
            command += ["--guard", str(folder / "test.jsonl")]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - start
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(done.stdout + done.stderr, end="")
        print(
            f"{seconds:.1f} s, {used.ru_utime + used.ru_stime:.1f} s of processor, {used.ru_maxrss / 1e6:.2f} GB at most"
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
