"""How alike two models rank a question's options: arrays in, one number per question out.

Shapes, padding and impossible options are as in `distributions`; options are compared by column.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.metrics.distributions import defined, log_probabilities, paired
from consistency.metrics.rows import row_any, row_nansum, row_sum
from consistency.support.arrays import Floats

# Comparing all options with each other is fast for few of them.
WIDE = 50


def average_ranks(scores: ArrayLike) -> Floats:
    """Ranks of each question's options, 1 for the lowest score, ties share their mean rank (``scipy.stats.rankdata``).

    Examples
    --------
    >>> average_ranks([[-1.0, -2.0, -2.0]]).tolist()
    [[3.0, 1.5, 1.5]]
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.shape[1] > WIDE:
        order, step = _ordered(x)
        place = np.arange(x.shape[1])
        first = np.maximum.accumulate(np.where(step, place, 0), axis=1)
        ends = np.concatenate([step[:, 1:], np.ones((len(x), 1), dtype=bool)], axis=1)
        last = np.minimum.accumulate(np.where(ends, place, x.shape[1])[:, ::-1], axis=1)[:, ::-1]
        return _put_back(x, order, (first + last) / 2 + 1)
    ranks = np.full(x.shape, 0.5)
    for j in range(x.shape[1]):
        other = x[:, j, None]
        ranks += (x > other) + 0.5 * (x == other)
    return np.where(np.isnan(x), np.nan, ranks)


def dense_ranks(scores: ArrayLike) -> Floats:
    """Dense ranks of each question's options, 1 for the highest score, ties share a rank and leave no gap.

    Examples
    --------
    >>> dense_ranks([[-1.0, -2.0, -2.0, -3.0]]).tolist()
    [[1.0, 2.0, 2.0, 3.0]]
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.shape[1] > WIDE:
        order, step = _ordered(-x)
        return _put_back(x, order, step.cumsum(axis=1).astype(np.float64))
    ranks = np.ones(x.shape)
    for j in range(x.shape[1]):
        other = x[:, j, None]
        is_first = ~row_any(x[:, :j] == other)[:, None]
        ranks += (x < other) & is_first
    return np.where(np.isnan(x), np.nan, ranks)


def _ordered(x: Floats) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The order of each row's options, NaN last, and where in it a score differs from the one before."""
    order = np.argsort(x, axis=1, kind="stable")
    ordered = np.take_along_axis(x, order, axis=1)
    step = np.ones(x.shape, dtype=bool)
    step[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    return order, step


def _put_back(x: Floats, order: NDArray[np.intp], ranks: Floats) -> Floats:
    """Ranks in the order of the columns again, NaN where there is no score."""
    found = np.empty(x.shape)
    np.put_along_axis(found, order, ranks, axis=1)
    return np.where(np.isnan(x), np.nan, found)


def _row_by_row(of_row: Callable[[Floats, Floats], float], x: Floats, y: Floats) -> Floats:
    """A correlation of each question's scores, which takes time with their number and not with its square."""
    present = ~np.isnan(x)
    return np.array(
        [
            of_row(one[some], other[some]) if some.sum() > 1 else np.nan
            for one, other, some in zip(x, y, present, strict=True)
        ]
    )


def _rowwise_pearson(x: Floats, y: Floats) -> Floats:
    present = ~np.isnan(x)
    count = row_sum(present)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        dx = np.where(present, x - row_nansum(x)[:, None] / count, 0.0)
        dy = np.where(present, y - row_nansum(y)[:, None] / count, 0.0)
        r = row_sum(dx * dy) / np.sqrt(row_sum(dx * dx) * row_sum(dy * dy))
    return np.asarray(np.clip(r, -1.0, 1.0))


def spearman(before: ArrayLike, after: ArrayLike) -> Floats:
    """Pearson correlation of the average ranks of the options, which is Spearman's rho with ties.

    Parameters
    ----------
    before, after : array_like, shape [n, k]
        Log-probabilities of the same options, NaN-padded.

    Returns
    -------
    ndarray, shape [n]
        In [-1, 1]; NaN where either ranking is constant (all options tied), since no ranking exists there.

    Examples
    --------
    >>> spearman([[-1.0, -2.0, -3.0], [0.0, 0.0, 0.0]], [[-3.0, -2.0, -1.0], [0.0, -1.0, -2.0]]).tolist()
    [-1.0, nan]
    """
    x, y = paired(before, after)
    return _rowwise_pearson(average_ranks(x), average_ranks(y))


def spearman_paper(before: ArrayLike, after: ArrayLike) -> Floats:
    """Pearson correlation of dense ranks with NaN counted as 0: the ranking correlation as the paper released it.

    It differs from Spearman's rho where options tie, and calls a constant ranking "uncorrelated" (Ren et al. 2024,
    arXiv 2402.18243, released analysis code). Rows without a distribution are NaN still.

    Examples
    --------
    >>> spearman_paper([[0.0, 0.0, 0.0]], [[0.0, -1.0, -2.0]]).tolist()
    [0.0]
    """
    x, y = paired(before, after)
    r = _rowwise_pearson(dense_ranks(x), dense_ranks(y))
    return defined(np.nan_to_num(r, nan=0.0), log_probabilities(x), log_probabilities(y))


def _pair_signs(x: Floats, i: int) -> NDArray[np.int8]:
    # A difference would turn two impossible options (-inf - -inf) into NaN; comparisons call them tied.
    return (x[:, i, None] > x[:, :i]).astype(np.int8) - (x[:, i, None] < x[:, :i]).astype(np.int8)


def _weighted_concordance(x: Floats, y: Floats, weights: Floats) -> Floats:
    agreement, x_pairs, y_pairs = np.zeros(len(x)), np.zeros(len(x)), np.zeros(len(x))
    for i in range(1, x.shape[1]):
        weight = weights[:, i, None] + weights[:, :i]
        sx, sy = _pair_signs(x, i), _pair_signs(y, i)
        agreement += row_sum(sx * sy * weight)
        x_pairs += row_sum(np.abs(sx) * weight)
        y_pairs += row_sum(np.abs(sy) * weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(agreement / np.sqrt(x_pairs) / np.sqrt(y_pairs), -1.0, 1.0))


def tau_b(before: ArrayLike, after: ArrayLike) -> Floats:
    """Kendall's tau-b of the two rankings of each question's options (``scipy.stats.kendalltau``).

    Returns
    -------
    ndarray, shape [n]
        In [-1, 1]; NaN where either ranking is constant.

    Examples
    --------
    >>> tau_b([[-1.0, -2.0, -3.0]], [[-1.0, -3.0, -2.0]]).round(6).tolist()
    [0.333333]
    """
    x, y = paired(before, after)
    if x.shape[1] > WIDE:
        from scipy.stats import kendalltau

        return _row_by_row(lambda one, other: float(kendalltau(one, other).statistic), x, y)
    return _weighted_concordance(x, y, np.full(x.shape, 0.5))


def weighted_tau(before: ArrayLike, after: ArrayLike) -> Floats:
    """Kendall's tau with additive hyperbolic weights: disagreement at the top counts most.

    The mean of the two one-sided values, as ``scipy.stats.weightedtau`` with its defaults (Vigna 2015).

    Examples
    --------
    >>> weighted_tau([[-1.0, -2.0, -3.0]], [[-1.0, -3.0, -2.0]]).round(6).tolist()
    [0.545455]
    """
    x, y = paired(before, after)
    if x.shape[1] > WIDE:
        from scipy.stats import weightedtau

        return _row_by_row(lambda one, other: float(weightedtau(one, other).statistic), x, y)
    return np.asarray(
        (_weighted_concordance(x, y, _hyperbolic(x, y)) + _weighted_concordance(x, y, _hyperbolic(y, x))) / 2
    )


def _hyperbolic(major: Floats, minor: Floats) -> Floats:
    """1 / (1 + rank), rank 0 for the option that comes first by `major`, then by `minor`."""
    rank = np.zeros(major.shape)
    for j in range(major.shape[1]):
        a, b = major[:, j, None], minor[:, j, None]
        rank += (a > major) | ((a == major) & (b > minor))
        # Options equal in both orders may take their ranks in any order: their weights enter only in sums.
        rank[:, j + 1 :] += (major[:, j + 1 :] == a) & (minor[:, j + 1 :] == b)
    return np.where(np.isnan(major), 0.0, 1.0 / (1.0 + rank))
