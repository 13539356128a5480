"""A pair of logs question by question: what was asked and answered, and every column of a table of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.pairing import Pairs
from consistency.logs.generations import INVALID, UNREADABLE
from consistency.logs.scores import Scores
from consistency.metrics.distributions import any_tied
from consistency.metrics.measures import measure_columns
from consistency.support.arrays import Floats

# Questions whose measures are computed together.
_AT_ONCE = 3000


def answers(pairs: Pairs) -> dict[str, NDArray[Any]]:
    """Which question each pair is, and what the two runs answered: the beginning of a row of a table of items.

    Parameters
    ----------
    pairs : Pairs

    Returns
    -------
    dict of str to ndarray
        `doc_id` and `doc_hash` as `before` has them, the hash empty where it has none; `doc_id_after`; with options also
        `gold` and `prediction_` before and after (an option's index, -1 without one), and `probs_` before and after
        (shape [n, k], NaN-padded).
    """
    before, after = pairs.before, pairs.after
    columns: dict[str, NDArray[Any]] = {
        "doc_id": before.doc_id,
        "doc_id_after": after.doc_id,
        "doc_hash": np.array(before.doc_hash, dtype=object),
    }
    if before.has_options:
        columns["gold"] = np.where(pairs.gold.any(axis=1), pairs.gold.argmax(axis=1), -1)
        for when, scores in (("before", before), ("after", after)):
            columns |= {f"prediction_{when}": scores.prediction, f"probs_{when}": scores.probs}
    return columns


def question_arrays(pairs: Pairs) -> dict[str, Floats]:
    """Every per-question number of a pair of logs, by name: one row of a table of items.

    Parameters
    ----------
    pairs : Pairs
        Of one task.

    Returns
    -------
    dict of str to ndarray, shape [n]
        `correct_before`, `correct_after`; with options also every measure's (`measure_columns`), and `confidence_` and
        `tied_` before and after. Each logged metric that both logs hold, as `before:NAME`, `after:NAME`; with options
        without the one that says which answers are right. Where texts were generated, `unreadable_before` and
        `unreadable_after`: the index in `UNREADABLE` of why no answer can be read, 0 where one can.
    """
    return question_arrays_of([pairs])[0]


def question_arrays_of(tasks: Sequence[Pairs]) -> list[dict[str, Floats]]:
    """`question_arrays` of several tasks, whose measures are computed together: of 57 tasks in a third of the time."""
    widths: dict[int, list[int]] = {}
    for number, pairs in enumerate(tasks):
        widths.setdefault(pairs.before.logprobs.shape[1], []).append(number)
    measures: dict[int, dict[str, Floats]] = {number: {} for number in widths.pop(0, ())}
    for numbers in widths.values():
        # As many at once as fit into a processor's cache.
        batch = np.cumsum([len(tasks[number]) for number in numbers]) // _AT_ONCE
        for which in np.unique(batch):
            members = [number for number, own in zip(numbers, batch, strict=True) if own == which]
            measures |= zip(members, _measured([tasks[number] for number in members]), strict=True)
    return [_arrays(pairs, measures[number]) for number, pairs in enumerate(tasks)]


def _measured(tasks: Sequence[Pairs]) -> list[dict[str, Floats]]:
    """The measures of tasks whose questions have equally many options."""
    found = measure_columns(
        np.concatenate([pairs.before.logprobs for pairs in tasks]),
        np.concatenate([pairs.after.logprobs for pairs in tasks]),
        np.concatenate([pairs.gold for pairs in tasks]),
    )
    ends = np.cumsum([len(pairs) for pairs in tasks])[:-1]
    split = {name: np.split(values, ends) for name, values in found.items()}
    return [{name: values[number] for name, values in split.items()} for number in range(len(tasks))]


def _arrays(pairs: Pairs, measures: dict[str, Floats]) -> dict[str, Floats]:
    """Every per-question number of a pair of logs, of which its measures are known."""
    before, after = pairs.before, pairs.after
    accuracy = accuracy_metric(pairs)
    arrays = {"correct_before": before.correct_by(accuracy), "correct_after": after.correct_by(accuracy)}
    for metric in before.metrics:
        if metric in after.metrics and (metric != accuracy or not before.has_options):
            arrays[f"before:{metric}"], arrays[f"after:{metric}"] = before.metrics[metric], after.metrics[metric]
    for when, scores in (("before", before), ("after", after)):
        if scores.generations is not None:
            # What was scored as right was read, whatever it looks like.
            arrays[f"unreadable_{when}"] = np.where(arrays[f"correct_{when}"] == 1, 0.0, _unreadable(scores))
    if not before.has_options:
        return arrays
    arrays |= measures
    for when, scores in (("before", before), ("after", after)):
        top = np.fmax.reduce(scores.probs, axis=1, initial=0.0)
        arrays[f"confidence_{when}"] = np.where(scores.prediction < 0, np.nan, top)
        arrays[f"tied_{when}"] = any_tied(scores.logprobs).astype(np.float64)
    return arrays


def _unreadable(scores: Scores) -> Floats:
    most, fallback = scores.settings.most_tokens, scores.settings.fallbacks.get(scores.filter, INVALID)
    reasons = [
        item.unreadable(tag=scores.tag, most_tokens=most, fallback=fallback) for item in scores.generations or ()
    ]
    return np.array(list(map(UNREADABLE.index, reasons)), dtype=np.float64)


def accuracy_metric(pairs: Pairs) -> str | None:
    """The metric that says which answers are right, the same for both sides; None if the logs share none.

    Without one, an answer to a question with options is right if the best option is gold.
    """
    shared = [name for name in pairs.before.accuracy_metrics if name in pairs.after.accuracy_metrics]
    return shared[0] if shared else None
