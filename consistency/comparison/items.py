"""A pair of logs question by question: what was asked and answered, and every column of a table of items."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.pairing import Pairs
from consistency.logs.generations import INVALID, UNREADABLE
from consistency.logs.scores import Scores
from consistency.metrics.distributions import any_tied
from consistency.metrics.measures import measure_columns
from consistency.support.arrays import Bools, Floats, Integers

# Questions whose measures are computed together.
_AT_ONCE = 3000
# Of one task.
_MOST_AT_ONCE = 30_000


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


def question_arrays(tasks: Sequence[Pairs]) -> list[dict[str, Floats]]:
    """Every per-question number of the pairs of each task, by name: one row of a table of items.

    Parameters
    ----------
    tasks : sequence of Pairs
        Of one task each. All questions of equally many options are measured at once, which is faster than task by task.

    Returns
    -------
    list of dict of str to ndarray, shape [n]
        For each task `correct_before`, `correct_after`; with options also every measure's (`measure_columns`), and
        `confidence_` and `tied_` before and after. Each logged metric that both logs hold, as `before:NAME`, `after:NAME`;
        with options without the one that says which answers are right. Where texts were generated, `unreadable_before`
        and `unreadable_after`: the index in `UNREADABLE` of why no answer can be read, 0 where one can.
    """
    found = list(map(_logged, tasks))
    # By number of options, and as many at once as fit into a processor's cache.
    batches: dict[tuple[int, int], list[int]] = defaultdict(list)
    questions: Counter[int] = Counter()
    for number, pairs in enumerate(tasks):
        if width := pairs.before.logprobs.shape[1]:
            questions[width] += len(pairs)
            batches[width, questions[width] // _AT_ONCE].append(number)
    for numbers in batches.values():
        chosen = [tasks[number] for number in numbers]
        columns = _of_options(*map(_joined, zip(*map(_distributions, chosen), strict=True)))
        ends = np.cumsum([len(pairs) for pairs in chosen])[:-1]
        parts = {name: np.split(values, ends) for name, values in columns.items()}
        for place, number in enumerate(numbers):
            found[number] |= {name: values[place] for name, values in parts.items()}
    return found


def _logged(pairs: Pairs) -> dict[str, Floats]:
    """What the logs say of each question: whether its answer is right, the metrics, and whether a text can be read."""
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
    return arrays


def _distributions(pairs: Pairs) -> tuple[NDArray[Any], ...]:
    """What `_of_options` takes."""
    before, after = pairs.before, pairs.after
    return (
        *(before.logprobs, before.probs, before.prediction),
        *(after.logprobs, after.probs, after.prediction),
        pairs.gold,
    )


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _of_options(*arrays: NDArray[Any]) -> dict[str, Floats]:
    """What the log-probabilities of the options say of each question, for tasks of equally many options together.

    Parameters
    ----------
    arrays : ndarray, shape [n, k] or [n]
        Of the run before the log-probabilities, the probabilities and the best options, of that after the same, and which
        options are right.
    """
    n = len(arrays[0])
    if n <= _MOST_AT_ONCE:
        return _of_part(*arrays)
    columns: dict[str, Floats] = {}
    for start in range(0, n, _MOST_AT_ONCE):
        rows = slice(start, start + _MOST_AT_ONCE)
        for name, values in _of_part(*(array[rows] for array in arrays)).items():
            columns.setdefault(name, np.empty(n))[rows] = values
    return columns


def _of_part(
    first: Floats, first_probs: Floats, first_best: Integers, second: Floats, probs: Floats, best: Integers, gold: Bools
) -> dict[str, Floats]:
    columns = measure_columns(first, second, gold)
    for when, logprobs, top, chosen in (
        ("before", first, first_probs, first_best),
        ("after", second, probs, best),
    ):
        columns[f"confidence_{when}"] = np.where(
            chosen < 0, np.nan, np.fmax.reduce(top, axis=1, initial=0.0)
        )
        columns[f"tied_{when}"] = any_tied(logprobs).astype(np.float64)
    return columns


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
