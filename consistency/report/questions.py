"""The questions whose answers changed most, with their texts: few enough for a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from consistency.logs.documents import question_of
from consistency.logs.scores import Scores
from consistency.report.content import ChangedQuestion
from consistency.report.items import Columns

MOST = 600
# Of texts, in bytes; the page and its tables need the rest of its three megabytes.
MOST_BYTES = 1_000_000
LONGEST = 1500
LONGEST_OPTION = 300
SHOWN = ("kl", "delta_gold", "spearman")
Find = Callable[[str], Scores]


def kinds(columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """How each answer turned: "harmful", "beneficial", "wrong_to_wrong", "right", "wrong", or "" where unknown."""
    before, after = columns["correct_before"], columns["correct_after"]
    moved = columns["same_top"] == 0 if "same_top" in columns else np.zeros(len(before), dtype=bool)
    conditions = {
        "harmful": (before == 1) & (after == 0),
        "beneficial": (before == 0) & (after == 1),
        "right": (before == 1) & (after == 1),
        "wrong_to_wrong": (before == 0) & (after == 0) & moved,
        "wrong": (before == 0) & (after == 0),
    }
    return np.select(list(conditions.values()), list(conditions), default="")


def changed_most(columns: Columns, most: int) -> list[int]:
    """Rows of the questions that changed most: all harmful flips by KL, then the others by KL.

    A question without a KL comes behind those that have one, and only if its answer turned right or wrong.
    """
    kind = kinds(columns)
    kl = columns.get("kl", np.full(len(kind), np.nan))
    known = np.where(np.isnan(kl), -1.0, kl)
    eligible = np.flatnonzero((kind != "") & ((known >= 0) | np.isin(kind, ("harmful", "beneficial"))))
    order = np.lexsort((eligible, -known[eligible], kind[eligible] != "harmful"))
    return [int(row) for row in eligible[order[:most]]]


def describe(
    columns: Columns, rows: Iterable[int], find: Find, run: str = "", scope: str = ""
) -> list[ChangedQuestion]:
    """The questions of some rows, with the texts that their log holds.

    Parameters
    ----------
    columns : dict of str to ndarray
        Of items: `task`, `doc_id`, what `comparison.items` gives, and `scope`
        if there is any.
    rows : iterable of int
    find : callable
        The scores of a task of the first log.
    run, scope : str
        Where the questions were asked.
    """
    kind = kinds(columns)
    found = []
    for row in rows:
        scores = find(str(columns["task"][row]))
        place = int(np.flatnonzero(scores.doc_id == columns["doc_id"][row])[0])
        gold = int(columns["gold"][row]) if "gold" in columns else -1
        found.append(
            ChangedQuestion(
                task=str(columns["task"][row]),
                doc_id=int(columns["doc_id"][row]),
                run=run,
                scope=str(columns["scope"][row]) if "scope" in columns else scope,
                flip=str(kind[row]),
                text=_shortened(question_of(scores.documents[place]), LONGEST),
                options=tuple(_shortened(text, LONGEST_OPTION) for text in scores.option_texts(place)),
                gold=gold if gold >= 0 else None,
                before=_probabilities(columns, "probs_before", row),
                after=_probabilities(columns, "probs_after", row),
                measures={name: _number(columns, name, row) for name in SHOWN},
            )
        )
    return found


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def _probabilities(columns: Columns, name: str, row: int) -> tuple[float, ...]:
    values = columns[name][row] if name in columns else np.array([])
    return tuple(values[~np.isnan(values)].tolist())


def _number(columns: Columns, name: str, row: int) -> float | None:
    value = float(columns[name][row]) if name in columns else np.nan
    return None if np.isnan(value) else value


def strongest(questions: Iterable[ChangedQuestion]) -> tuple[ChangedQuestion, ...]:
    """As many questions as a page can hold, harmful flips first, then by KL."""

    def order(question: ChangedQuestion) -> tuple[bool, float]:
        kl = question.measures["kl"]
        return question.flip != "harmful", -np.inf if kl is None else -kl

    kept, size = [], 0
    for question in sorted(questions, key=order)[:MOST]:
        size += len("".join([question.text, *question.options]).encode())
        if size > MOST_BYTES:
            break
        kept.append(question)
    return tuple(kept)


def note(shown: Sequence[ChangedQuestion], of: int, harmful: int, runs: int = 1) -> str:
    """How many questions of how many are shown, and how they were chosen."""
    what = "questions" if runs == 1 else f"answers of {runs} tuned models"
    turned = sum(question.flip == "harmful" for question in shown)
    each = "" if runs == 1 else ", from each model the same number"
    return (
        f"{len(shown)} of {of} {what}: the answers that turned from right to wrong ({turned} of {harmful}), then the "
        f"others, those of larger KL divergence first{each}. Texts longer than {LONGEST} characters are cut. All of "
        "them, with both distributions and every measure, are in items.parquet."
    )
