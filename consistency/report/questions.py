"""The questions whose answers changed most, with their texts: few enough for a page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from consistency.logs.documents import question_and_options
from consistency.logs.scores import Scores
from consistency.report.content import ChangedQuestion, GeneratedAnswers
from consistency.report.items import Columns
from consistency.report.word_diff import word_diff
from consistency.support.text import begun

# Of a grid, whose questions have many runs.
MOST = 600
# Of a pair. Beyond, in bytes of texts, the page would be larger than some five megabytes.
MOST_OF_PAIR, MOST_BYTES = 20_000, 12_000_000
# Generated texts whose words are compared one by one; of the others only what both begin and end with is found.
MOST_ALIGNED = 1000
LONGEST = 1500
LONGEST_OPTION = 300
LONGEST_ANSWER = 200
LONGEST_GENERATED = 1000
SHOWN = ("kl", "delta_gold", "spearman")
# The columns of items that `describe` takes.
DESCRIBED = {
    *("task", "scope", "doc_id", "gold", "target", "correct_before", "correct_after", "same_top", *SHOWN),
    *(f"{name}_{when}" for name in ("probs", "text", "answer", "unreadable") for when in ("before", "after")),
}
# Of a row: the question and the options.
Texts = Callable[[int], tuple[str, Sequence[str]]]


KINDS = ("harmful", "beneficial", "right", "wrong_to_wrong", "wrong")


def kinds(columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.str_]]:
    """How each answer turned: "harmful", "beneficial", "wrong_to_wrong", "right", "wrong", or "" where unknown."""
    return np.array([*KINDS, ""])[_codes(columns)]


def count_kinds(columns: Columns) -> dict[str, int]:
    """How many answers turned in each way of `KINDS`."""
    codes = _codes(columns)
    return {kind: int((codes == code).sum()) for code, kind in enumerate(KINDS)}


def _codes(columns: Columns) -> NDArray[np.int8]:
    """How each answer turned, as an index of `KINDS`, and -1 where unknown: names take 56 times as much memory."""
    before, after = columns["correct_before"], columns["correct_after"]
    moved = columns["same_top"] == 0 if "same_top" in columns else np.zeros(len(before), dtype=bool)
    conditions = (
        (before == 1) & (after == 0),
        (before == 0) & (after == 1),
        (before == 1) & (after == 1),
        (before == 0) & (after == 0) & moved,
        (before == 0) & (after == 0),
    )
    return np.select(conditions, list(np.arange(len(KINDS), dtype=np.int8)), default=np.int8(-1))


def changed_most(columns: Columns, most: int) -> list[int]:
    """Rows of the questions that changed most: all harmful flips by KL, then the others by KL.

    A question without a KL comes behind those that have one, and only if its answer turned right or wrong.
    """
    codes, harmful = _codes(columns), KINDS.index("harmful")
    kl = columns["kl"] if "kl" in columns else np.full(len(codes), np.nan)
    known = np.where(np.isnan(kl), -1.0, kl)
    turned = (codes == harmful) | (codes == KINDS.index("beneficial"))
    eligible = np.flatnonzero((codes >= 0) & ((known >= 0) | turned))
    order = np.lexsort((eligible, -known[eligible], codes[eligible] != harmful))
    return [int(row) for row in eligible[order[:most]]]


def every(columns: Columns, most: int) -> list[int]:
    """Rows of the questions, those that changed most first, then those that `changed_most` leaves out."""
    first = changed_most(columns, most)
    rest = np.setdiff1d(np.arange(len(columns["doc_id"])), first)
    return [*first, *rest[: most - len(first)].tolist()]


def texts_of(scores: Scores, place: int) -> tuple[str, tuple[str, ...]]:
    """The question and the options of a row of scores."""
    question, options = question_and_options(scores.documents[place])
    return question, scores.texts_beside(place, options)


def texts_in_logs(columns: Columns, find: Callable[[str], Scores]) -> Texts:
    """The texts of rows from the logs that they come from.

    Parameters
    ----------
    columns : dict of str to ndarray
        Of items: `task` and `doc_id`.
    find : callable
        The scores of a task of the first log.
    """

    def texts(row: int) -> tuple[str, Sequence[str]]:
        scores = find(str(columns["task"][row]))
        return texts_of(scores, int(np.flatnonzero(scores.doc_id == columns["doc_id"][row])[0]))

    return texts


def describe(
    columns: Columns, rows: Iterable[int], texts: Texts, run: str = "", scope: str = ""
) -> list[ChangedQuestion]:
    """The questions of some rows, with their texts.

    Parameters
    ----------
    columns : dict of str to ndarray
        Of items: `task`, `doc_id`, what `comparison.items` gives, `scope` if there is any, and what was generated.
    rows : iterable of int
    texts : callable
        The question and the options of a row.
    run, scope : str
        Where the questions were asked.
    """
    kind = kinds(columns)
    found = []
    for number, row in enumerate(rows):
        question, options = texts(row)
        gold = int(columns["gold"][row]) if "gold" in columns else -1
        found.append(
            ChangedQuestion(
                task=str(columns["task"][row]),
                doc_id=int(columns["doc_id"][row]),
                run=run,
                scope=str(columns["scope"][row]) if "scope" in columns else scope,
                flip=str(kind[row]),
                text=begun(question, LONGEST),
                options=tuple(begun(text, LONGEST_OPTION) for text in options),
                gold=gold if gold >= 0 else None,
                before=_probabilities(columns, "probs_before", row),
                after=_probabilities(columns, "probs_after", row),
                measures={name: _number(columns, name, row) for name in SHOWN},
                generated=None if options else _generated(columns, row, aligned=number < MOST_ALIGNED),
            )
        )
    return found


def _generated(columns: Columns, row: int, *, aligned: bool) -> GeneratedAnswers | None:
    """What was generated, where both sides have it."""
    if "text_before" not in columns or "text_after" not in columns:
        return None

    def both(name: str, longest: int) -> tuple[str, str]:
        before, after = (begun(columns[f"{name}_{when}"][row], longest) for when in ("before", "after"))
        return before, after

    return GeneratedAnswers(
        target=begun(columns["target"][row], LONGEST_OPTION),
        answers=both("answer", LONGEST_ANSWER),
        unreadable=both("unreadable", LONGEST_ANSWER),
        pieces=word_diff(columns["text_before"][row], columns["text_after"][row], LONGEST_GENERATED, aligned=aligned),
    )


def _probabilities(columns: Columns, name: str, row: int) -> tuple[float, ...]:
    values = columns[name][row] if name in columns else np.array([])
    return tuple(values[~np.isnan(values)].tolist())


def _number(columns: Columns, name: str, row: int) -> float | None:
    value = float(columns[name][row]) if name in columns else np.nan
    return None if np.isnan(value) else value


def strongest(questions: Iterable[ChangedQuestion], most: int = MOST) -> tuple[ChangedQuestion, ...]:
    """As many questions as a page can hold, harmful flips first, then by KL."""

    def order(question: ChangedQuestion) -> tuple[bool, float, bool]:
        kl = question.measures["kl"]
        return question.flip != "harmful", np.inf if kl is None else -kl, question.flip != "beneficial"

    kept, size = [], 0
    for question in sorted(questions, key=order)[:most]:
        size += _size(question)
        if size > MOST_BYTES:
            break
        kept.append(question)
    return tuple(kept)


def _size(question: ChangedQuestion) -> int:
    """Bytes of its texts."""
    texts = [question.text, *question.options]
    if question.generated is not None:
        texts += [question.generated.target, *question.generated.answers]
        # Each piece has a name, quotes and brackets.
        texts += [f'["before",""],{text}' for _, text in question.generated.pieces]
    return len("".join(texts).encode())


def note(shown: Sequence[ChangedQuestion], of: int, harmful: int, runs: int = 1) -> str:
    """How many questions of how many are shown, and how they were chosen."""
    what = "questions" if runs == 1 else f"answers of {runs} tuned models"
    turned = sum(question.flip == "harmful" for question in shown)
    counted = f"{turned:,}" if turned == harmful else f"{turned:,} of {harmful:,}"
    each = "" if runs == 1 else ", from each model the same number"
    generated = sum(question.generated is not None for question in shown)
    by_kl = ", those of larger KL divergence first" if generated < len(shown) or not shown else ""
    which = f"All {of:,} {what}" if len(shown) == of else f"{len(shown):,} of {of:,} {what}"
    shortened = (
        f"Of generated texts longer than {LONGEST_GENERATED} characters, what changed is shown"
        + (f"; the words are compared one by one in the first {MOST_ALIGNED:,}" if generated > MOST_ALIGNED else "")
        + ". "
        if generated
        else ""
    )
    return (
        f"{which}: the answers that turned from right to wrong ({counted}), then the "
        f"others{by_kl}{each}. Texts longer than {LONGEST} characters are cut. {shortened}Every digit of "
        "both distributions and every measure are in items.parquet."
    )
