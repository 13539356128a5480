"""Whether answers are right, how surely, and how they turned: arrays in, one number per question out.

Shapes, padding and impossible options are as in `distributions`; options are compared by column, so both arrays must hold
the same options in the same order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from consistency.metrics.distributions import defined, paired, probabilities, top_option
from consistency.metrics.rows import row_any, row_max, row_nansum, row_sum
from consistency.support.arrays import Bools, Floats, Integers

QUANTILES = (1, 5, 25, 50, 75, 95, 99)
CALIBRATION_BINS = 15


def gold_probability(scores: ArrayLike, gold: Bools) -> Floats:
    """Probability of the right answer, summed where several options are right; NaN where none is known.

    Parameters
    ----------
    scores : array_like, shape [n, k]
        Log-probabilities, NaN-padded.
    gold : ndarray of bool, shape [n, k]
        Which options are right.

    Examples
    --------
    >>> gold_probability([[0.0, 0.0]], np.array([[True, False]])).tolist()
    [0.5]
    """
    p = probabilities(scores)
    total = row_sum(np.where(gold, np.nan_to_num(p), 0.0))
    return np.where(row_any(gold), defined(total, p), np.nan)


def margin(scores: ArrayLike, gold: Bools) -> Floats:
    """Log-probability of the best right option minus that of the best wrong one, in nats.

    Positive where the answer is right.

    Examples
    --------
    >>> margin([[-1.0, -3.0]], np.array([[False, True]])).tolist()
    [-2.0]
    """
    x = np.asarray(scores, dtype=np.float64)
    right = row_max(np.where(gold, x, np.nan))
    wrong = row_max(np.where(gold, np.nan, x))
    known = row_any(gold) & row_any(~gold & ~np.isnan(x))
    with np.errstate(invalid="ignore"):
        return np.where(known, defined(right - wrong, x), np.nan)


def same_top(before: ArrayLike, after: ArrayLike) -> Floats:
    """1 where both runs choose the same option, 0 where they do not, NaN where a run chooses none.

    Examples
    --------
    >>> same_top([[-1.0, -2.0]], [[-3.0, -2.0]]).tolist()
    [0.0]
    """
    x, y = paired(before, after)
    first, second = top_option(x), top_option(y)
    return np.where((first < 0) | (second < 0), np.nan, (first == second).astype(np.float64))


def harmful(before: Floats, after: Floats) -> Floats:
    """1 where an answer turned from right to wrong, else 0; NaN where it is not known whether an answer is right.

    Parameters
    ----------
    before, after : ndarray, shape [n]
        1 where the answer is right, 0 where it is wrong, NaN where that is not known.

    Examples
    --------
    >>> harmful(np.array([1.0, 0.0]), np.array([0.0, 1.0])).tolist()
    [1.0, 0.0]
    """
    return _known((before == 1) & (after == 0), before, after)


def beneficial(before: Floats, after: Floats) -> Floats:
    """1 where an answer turned from wrong to right, else 0; NaN as in `harmful`.

    Examples
    --------
    >>> beneficial(np.array([1.0, 0.0]), np.array([0.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    return _known((before == 0) & (after == 1), before, after)


def wrong_to_wrong(before: Floats, after: Floats, same: Floats) -> Floats:
    """1 where a wrong answer turned to another wrong one, else 0; NaN as in `harmful`.

    Parameters
    ----------
    before, after : ndarray, shape [n]
        As in `harmful`.
    same : ndarray, shape [n]
        1 where both answers are the same option.

    Examples
    --------
    >>> wrong_to_wrong(np.array([0.0, 0.0]), np.array([0.0, 1.0]), np.array([0.0, 0.0])).tolist()
    [1.0, 0.0]
    """
    return _known((before == 0) & (after == 0) & (same == 0), before, after)


def _known(happened: Bools, before: Floats, after: Floats) -> Floats:
    return np.where(np.isnan(before) | np.isnan(after), np.nan, happened.astype(np.float64))


def flips(before: Floats, after: Floats, same: Floats | None = None) -> dict[str, int]:
    """Count how many answers turned, by kind.

    Parameters
    ----------
    before, after : ndarray, shape [n]
        As in `harmful`.
    same : ndarray, shape [n], optional
        As in `wrong_to_wrong`, which is not counted without it.

    Returns
    -------
    dict of str to int
        ``harmful``, ``beneficial`` and, with `same`, ``wrong_to_wrong``.

    Examples
    --------
    >>> flips(np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 0.0]))
    {'harmful': 1, 'beneficial': 1, 'wrong_to_wrong': 1}
    """
    kinds = {"harmful": harmful(before, after), "beneficial": beneficial(before, after)}
    if same is not None:
        kinds["wrong_to_wrong"] = wrong_to_wrong(before, after, same)
    return {kind: int(np.nansum(happened)) for kind, happened in kinds.items()}


def quantiles(values: Floats) -> dict[str, float | None]:
    """Percentiles ``p01`` … ``p99`` of the finite values; None without any.

    Examples
    --------
    >>> quantiles(np.array([1.0, 2.0, 3.0, np.inf]))["p50"]
    2.0
    """
    finite = values[np.isfinite(values)]
    found = np.quantile(finite, np.array(QUANTILES) / 100).tolist() if len(finite) else [None] * len(QUANTILES)
    return {f"p{q:02d}": value for q, value in zip(QUANTILES, found, strict=True)}


def brier_score(scores: ArrayLike, gold: Bools) -> Floats:
    """Brier score of each question: squared distance between its probabilities and the right answer, between 0 and 2.

    NaN where the right answer is not known or there are several.

    Examples
    --------
    >>> brier_score([[0.0, 0.0]], np.array([[True, False]])).tolist()
    [0.5]
    """
    p = probabilities(scores)
    total = row_nansum((p - gold) ** 2)
    return np.where(row_sum(gold) == 1, defined(total, p), np.nan)


def calibration_bins(confidence: Floats, bins: int = CALIBRATION_BINS) -> Integers:
    """The bin of each confidence, from 0: bins of equal width, each with its upper edge.

    Examples
    --------
    >>> calibration_bins(np.array([0.0, 0.5, 0.51, 1.0]), 2).tolist()
    [0, 0, 1, 1]
    """
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
