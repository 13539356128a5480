"""How well the check of explanations agrees with a reader: ``python scripts/measure_explanations.py ROUNDS LABELS``.

ROUNDS is the folder of ``consistency rounds``; its first round is measured. LABELS is a JSONL file of what a reader, who did not
see the check's result, says of each explanation: `domain`, `id`, `option`, `sha256` (of the explanation, so that a label cannot
be taken for that of another text) and `label`: `supports`, `other` (argues for another option), `denies` (denies its own),
`restates` (only says it again) or `elsewhere` (is about something else). With ``--sheet`` the explanations of a domain are
printed for reading instead, each with a line for LABELS.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections import Counter
from pathlib import Path

from consistency.knowledge.simulatability import read_judgements
from consistency.logs.runs import read_run
from consistency.support.json_files import read_rows
from consistency.tasks.prompts import LETTERS

LABELS = ("supports", "other", "denies", "restates", "elsewhere")
_FIRST = "round-1"


def sheet(rounds: Path, domain: str, count: int, seed: int) -> None:
    """Print a sample of explanations for reading, without what the check said."""
    rows = [row for _, row in read_rows(rounds / _FIRST / "checks.jsonl", "an explanation") if row["subject"] == domain]
    for row in random.Random(seed).sample(rows, min(count, len(rows))):
        options = "\n".join(f"  {letter}. {choice}" for letter, choice in zip(LETTERS, row["choices"], strict=False))
        print(f"{row['question']}\n{options}\n  of {LETTERS[row['option']]}: {row['explanation']}")
        label = {"domain": domain, "id": row["id"], "option": row["option"], "sha256": _digest(row["explanation"])}
        print(json.dumps(label | {"label": "?"}), end="\n\n")


def measure(rounds: Path, labels: Path) -> None:
    """Print a table: by domain, how many explanations of each label passed, and the check's precision and recall."""
    texts = {
        (row["subject"], row["id"], row["option"]): row
        for _, row in read_rows(rounds / _FIRST / "checks.jsonl", "an explanation")
    }
    passed = {
        key: value
        for scores in read_run(rounds / _FIRST / "check").tasks.values()
        for key, value in read_judgements(scores).passed.items()
    }
    counts: dict[str, Counter[tuple[str, bool]]] = {}
    for number, row in read_rows(labels, "a label"):
        text = texts[row["domain"], row["id"], row["option"]]
        if row["label"] not in LABELS or row["sha256"] != _digest(text["explanation"]):
            raise SystemExit(f"{labels}:{number}: expected one of {', '.join(LABELS)}, of this explanation")
        passes = passed.get((text["id"], text["question"], text["option"]), False)
        counts.setdefault(row["domain"], Counter())[row["label"], passes] += 1
    print(
        "| domain | "
        + " | ".join(f"{label}, pass" for label in LABELS)
        + " | precision before → after | found of other and denies |"
    )
    print("|---" * (len(LABELS) + 3) + "|")
    for domain, found in counts.items():
        cells = [f"{found[label, True]} of {found[label, True] + found[label, False]}" for label in LABELS]
        good = found["supports", True] + found["supports", False]
        kept = sum(found[label, True] for label in LABELS)
        wrong = sum(found[label, passes] for label in ("other", "denies") for passes in (True, False))
        caught = sum(found[label, False] for label in ("other", "denies"))
        precision = f"{good / found.total():.2f} → {found['supports', True] / kept:.2f}" if kept else "–"
        print(f"| {domain} | {' | '.join(cells)} | {precision} | {caught} of {wrong} |")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", type=Path)
    parser.add_argument("labels", type=Path, nargs="?")
    parser.add_argument("--sheet", metavar="DOMAIN")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.sheet:
        sheet(given.rounds, given.sheet, given.count, given.seed)
    elif given.labels:
        measure(given.rounds, given.labels)
    else:
        parser.error("LABELS, or --sheet DOMAIN")
