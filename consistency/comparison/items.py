"""A pair of logs question by question: what was asked and answered, and every column of a table of items."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.pairing import Pairs
from consistency.metrics.distributions import any_tied
from consistency.metrics.measures import measure_columns
from consistency.support.arrays import Floats


def answers(pairs: Pairs) -> dict[str, NDArray[Any]]:
    """Which question each pair is, and what the two runs answered: the beginning of a row of a table of items.

    Parameters
    ----------
    pairs : Pairs

    Returns
    -------
    dict of str to ndarray
        `doc_id` and `doc_hash` as `before` has them, the hash empty where it has none; with options also `gold` and
        `prediction_` before and after (an option's index, -1 without one), and `probs_` before and after (shape [n, k],
        NaN-padded).
    """
    before, after = pairs.before, pairs.after
    columns: dict[str, NDArray[Any]] = {
        "doc_id": before.doc_id,
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
        `tied_` before and after; without options each metric that both logs hold, as `before:NAME`, `after:NAME`.
    """
    before, after = pairs.before, pairs.after
    arrays = {"correct_before": before.correct, "correct_after": after.correct}
    if not before.has_options:
        name, unknown = accuracy_metric(pairs), np.full(len(pairs), np.nan)
        arrays["correct_before"] = unknown if name is None else before.metrics[name]
        arrays["correct_after"] = unknown if name is None else after.metrics[name]
        for metric in sorted(set(before.metrics) & set(after.metrics)):
            arrays[f"before:{metric}"], arrays[f"after:{metric}"] = before.metrics[metric], after.metrics[metric]
        return arrays
    arrays |= measure_columns(before.logprobs, after.logprobs, pairs.gold)
    for when, scores in (("before", before), ("after", after)):
        top = np.fmax.reduce(scores.probs, axis=1, initial=0.0)
        arrays[f"confidence_{when}"] = np.where(scores.prediction < 0, np.nan, top)
        arrays[f"tied_{when}"] = any_tied(scores.logprobs).astype(np.float64)
    return arrays


def accuracy_metric(pairs: Pairs) -> str | None:
    """The metric that says which answers are right, where a task has no options; None if the logs share none."""
    # A metric may be 0 or 1 throughout one log by chance: both sides are judged by one that is so in both.
    shared = [name for name in pairs.before.binary_metrics if name in pairs.after.binary_metrics]
    return shared[0] if shared else None
