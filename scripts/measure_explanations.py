"""How well the check of explanations agrees with a reader: ``python scripts/measure_explanations.py ROUNDS LABELS``.

ROUNDS is the folder of ``consistency rounds``. LABELS is a JSONL file of what a reader, who did not see the check's result, says
of its explanations: `domain`, `id`, `option`, `sha256` (of the explanation, so that a label cannot be taken for that of another
text) and `label`: `supports`, `other` (argues for another option), `denies` (denies its own), `restates` (only says it again) or
`elsewhere` (argues for none). Explanations of all rounds are looked up; labels of other texts are counted. ``--least`` takes
other thresholds than the check's own, for another base model. With ``--sheet`` the first round's explanations of a domain are
printed for reading instead, each with a line for LABELS.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from consistency.knowledge.simulatability import LEAST, read_judgements
from consistency.logs.runs import read_run
from consistency.statistics.shares import wilson
from consistency.support.json_files import read_rows
from consistency.tasks.prompts import LETTERS

LABELS = ("supports", "other", "denies", "restates", "elsewhere")
WRONG = ("other", "denies")
# A domain, a question's id, the option's index and the explanation's hash.
Text = tuple[str, str | int, int, str]


def sheet(rounds: Path, domain: str, count: int, seed: int) -> None:
    """Print a sample of explanations for reading, without what the check said."""
    found = [row for _, row in read_rows(rounds / "round-1" / "checks.jsonl", "an explanation")]
    rows = [row for row in found if row["subject"] == domain]
    for row in random.Random(seed).sample(rows, min(count, len(rows))):
        options = "\n".join(f"  {letter}. {choice}" for letter, choice in zip(LETTERS, row["choices"], strict=False))
        print(f"{row['question']}\n{options}\n  of {LETTERS[row['option']]}: {row['explanation']}")
        label = {"domain": domain, "id": row["id"], "option": row["option"], "sha256": _digest(row["explanation"])}
        print(json.dumps(label | {"label": "?"}), end="\n\n")


def measure(rounds: Path, labels: Path, thresholds: Sequence[float]) -> None:
    """Print a table: by domain and threshold what passed of each label, and precision and recall with 95 % intervals."""
    judged = _probabilities(rounds)
    found: dict[str, list[tuple[str, float]]] = {}
    missing = 0
    for number, row in read_rows(labels, "a label"):
        if row["label"] not in LABELS:
            raise SystemExit(f"{labels}:{number}: expected one of {', '.join(LABELS)}")
        text = row["domain"], row["id"], row["option"], row["sha256"]
        if text in judged:
            found.setdefault(row["domain"], []).append((row["label"], judged[text]))
        else:
            missing += 1
    print(
        "| domain | n | least | other, denies: found | supports: kept | precision before → after | restates, elsewhere: kept |"
    )
    print("|---" * 7 + "|")
    for domain, rows in found.items():
        for least in thresholds:
            total = Counter(label for label, _ in rows)
            kept = Counter(label for label, probability in rows if probability >= least)
            wrong = sum(total[label] for label in WRONG)
            caught = wilson(wrong - sum(kept[label] for label in WRONG), wrong).to_text()
            supports = wilson(kept["supports"], total["supports"]).to_text()
            precision = f"{total['supports'] / len(rows):.2f} → {kept['supports'] / max(kept.total(), 1):.2f}"
            rest = ", ".join(f"{kept[label]} of {total[label]}" for label in ("restates", "elsewhere"))
            print(f"| {domain} | {len(rows)} | {least} | {caught} | {supports} | {precision} | {rest} |")
    if missing:
        print(f"{missing} labels are of texts that are not in {rounds}")


def _probabilities(rounds: Path) -> dict[Text, float]:
    """What the reader gives each explanation's own option; 0 where it was not judged."""
    found = {}
    for place in sorted(rounds.glob("round-*")):
        if not (place / "check").is_dir():
            continue
        judged = {
            key: float(np.exp(row[key[2]]))
            for scores in read_run(place / "check").tasks.values()
            for judgements in [read_judgements(scores)]
            for key, row in zip(judgements.keys, judgements.logprobs, strict=True)
        }
        for _, row in read_rows(place / "checks.jsonl", "an explanation"):
            key = row["id"], row["question"], row["option"]
            found[row["subject"], row["id"], row["option"], _digest(row["explanation"])] = judged.get(key, 0.0)
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rounds", type=Path)
    parser.add_argument("labels", type=Path, nargs="?")
    parser.add_argument("--least", type=float, action="append", metavar="PROBABILITY")
    parser.add_argument("--sheet", metavar="DOMAIN")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.sheet:
        sheet(given.rounds, given.sheet, given.count, given.seed)
    elif given.labels:
        measure(given.rounds, given.labels, given.least or [LEAST])
    else:
        parser.error("LABELS, or --sheet DOMAIN")
