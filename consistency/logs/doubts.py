"""What is odd about the scores of a log, which a real model's rarely are: broken weights, a broken backend, a broken task."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from consistency.logs.scores import Scores
from consistency.support.arrays import Bools, Floats
from consistency.support.text import counted

# Log-probabilities are rounded: a probability of 1 may be a little more.
ABOVE_ZERO = 0.01
# In a smaller share of the questions, options may have one score by chance.
_MOST = 0.5
# One right option in fewer questions may be chance.
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
            yield f"{name} is null in {'all ' * (n > 1)}{counted(n, 'question')}"
    if not scores.has_options or not n:
        return
    logprobs, counts = scores.logprobs, scores.n_options
    impossible = _impossible(logprobs)
    raw = scores.score == "raw"
    for found, verb, problem, share in (
        (impossible, "give", "no option any probability: all log-probabilities are minus infinity", 0.0),
        (
            equal_scores(logprobs) & (counts > 1) & ~impossible,
            "have",
            "the same log-probability for all options",
            _MOST,
        ),
        (_above_zero(logprobs) & raw, "have", "log-probabilities above 0, which no probability has", _MOST),
        (counts == 1, "have", "a single option, which is always the answer", 0.0),
        (
            np.array([bool(texts) and not any(texts) for texts in scores.continuations]),
            "have",
            "options without text",
            0.0,
        ),
    ):
        count = int(found.sum())
        if count and count >= share * n:
            yield f"{counted(count, 'question', verb)} {problem}"
    right = scores.gold
    if n >= _FEWEST and right.shape[1] > 1 and right[0].any() and (right == right[0]).all():
        yield f"the right option is number {int(right[0].argmax()) + 1} in all {n} questions"


def _impossible(logprobs: Floats) -> Bools:
    none = np.fmax.reduce(logprobs, axis=1, initial=-np.inf) == -np.inf
    return np.asarray(none & ~np.isnan(logprobs).all(axis=1))


def equal_scores(logprobs: Floats) -> Bools:
    """Which questions have one finite score for all of their options, shape [n]."""
    same = ((logprobs == logprobs[:, :1]) | np.isnan(logprobs)).all(axis=1)
    return np.asarray(same & np.isfinite(logprobs[:, 0]))


def _above_zero(logprobs: Floats) -> Bools:
    return np.asarray((logprobs > ABOVE_ZERO).any(axis=1))
