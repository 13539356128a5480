"""What is odd about the scores of a log, which a real model's rarely are: broken weights, a broken backend, a broken task."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from consistency.logs.scores import Scores
from consistency.support.arrays import Bools, Floats

# Log-probabilities are rounded: a probability of 1 may be a little more.
_ABOVE_ZERO = 0.01
# So many questions with one right option, or options of one score, are no chance.
_FEWEST = 10


def doubts(scores: Scores) -> Iterator[str]:
    """Sentences on what is degenerate in a log, for a reader of results.

    Parameters
    ----------
    scores : Scores
        As logged, without a length normalisation.

    Yields
    ------
    str
    """
    n = len(scores)
    if n == 1:
        yield "it has 1 question, which says nothing about others"
    for name, values in scores.metrics.items():
        if n and np.isnan(values).all():
            yield f"{name} is null in all {n} questions"
    if not scores.has_options or not n:
        return
    logprobs, counts = scores.logprobs, scores.n_options
    impossible = _impossible(logprobs)
    for found, problem in (
        (impossible, "give no option any probability: all log-probabilities are minus infinity"),
        (_equal(logprobs) & (counts > 1) & ~impossible, "have the same log-probability for all options"),
        (_above_zero(logprobs) if scores.score == "raw" else np.zeros(n, dtype=bool), "have log-probabilities above 0"),
        (counts == 1, "have a single option, which is always the answer"),
        (np.array([bool(texts) and not any(texts) for texts in scores.continuations]), "have options without any text"),
    ):
        count = int(found.sum())
        # Two options may have the same score by chance.
        if count and ("same" not in problem or (count >= min(_FEWEST, n) and 2 * count >= n)):
            yield f"{count} questions {problem}"
    right = scores.gold
    if n >= _FEWEST and right.shape[1] > 1 and right[0].any() and (right == right[0]).all():
        yield f"the right option is number {int(right[0].argmax()) + 1} in all {n} questions"


def _impossible(logprobs: Floats) -> Bools:
    return np.asarray(np.fmax.reduce(logprobs, axis=1, initial=-np.inf) == -np.inf) & ~np.isnan(logprobs).all(axis=1)


def _equal(logprobs: Floats) -> Bools:
    return np.asarray(((logprobs == logprobs[:, :1]) | np.isnan(logprobs)).all(axis=1)) & np.isfinite(logprobs[:, 0])


def _above_zero(logprobs: Floats) -> Bools:
    return np.asarray((logprobs > _ABOVE_ZERO).any(axis=1))
