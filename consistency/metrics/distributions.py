"""Probabilities of a question's options: arrays in, one row or number per question out.

Every function takes log-probabilities of shape ``[n, k]``: one row per question, one column per option. A question with
fewer than ``k`` options is padded with NaN on the right. Minus infinity is a legal log-probability (the option is
impossible). A row that is all NaN, or whose options are all impossible, has no distribution: its result is NaN. Nothing
here reads a file or drops a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.metrics.rows import row_all, row_any, row_max, row_nansum
from consistency.support.arrays import Bools, Floats


def paired(before: ArrayLike, after: ArrayLike) -> tuple[Floats, Floats]:
    """Two arrays of one shape; a question that only one of them has scores for is undefined in both."""
    first, second = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(f"expected two arrays of one shape [n, k], got {first.shape} and {second.shape}")
    absent = np.isnan(first) != np.isnan(second)
    if absent.any():
        # A question that one run could not score has no distribution to compare.
        undefined = row_any(absent)[:, None]
        first, second = np.where(undefined, np.nan, first), np.where(undefined, np.nan, second)
    return first, second


def defined(total: Floats, *arrays: Floats) -> Floats:
    """Put NaN where a question has no distribution."""
    undefined = np.zeros(len(total), dtype=bool)
    for array in arrays:
        undefined |= row_all(np.isnan(array))
    return np.where(undefined, np.nan, total)


def log_probabilities(scores: ArrayLike) -> Floats:
    """Log-softmax over the options of each question.

    Parameters
    ----------
    scores : array_like, shape [n, k]
        Log-probabilities of the options in nats, not necessarily normalised, NaN-padded.

    Returns
    -------
    ndarray, shape [n, k]
        Log-probabilities that sum to one over each question's options; NaN stays NaN.

    Examples
    --------
    >>> np.exp(log_probabilities([[0.0, 0.0, np.nan]])).tolist()
    [[0.5, 0.5, nan]]
    """
    x = np.asarray(scores, dtype=np.float64)
    top = row_max(x)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        shifted = x - top
        return np.asarray(shifted - np.log(row_nansum(np.exp(shifted))[:, None]))


def probabilities(scores: ArrayLike) -> Floats:
    """Softmax over the options of each question, NaN-padded as the input.

    Examples
    --------
    >>> probabilities([[0.0, -np.inf], [np.log(3), 0.0]]).round(12).tolist()
    [[1.0, 0.0], [0.75, 0.25]]
    """
    return np.asarray(np.exp(log_probabilities(scores)))


def top_option(scores: ArrayLike) -> NDArray[np.int64]:
    """Index of each question's best option, the first of them at a tie, as lm_eval chooses; -1 without a distribution.

    Examples
    --------
    >>> top_option([[-2.0, -1.0, np.nan], [np.nan, np.nan, np.nan]]).tolist()
    [1, -1]
    """
    x = np.asarray(scores, dtype=np.float64)
    if x.shape[1] == 0:
        return np.full(len(x), -1, dtype=np.int64)
    filled = np.where(np.isnan(x), -np.inf, x)
    return np.where(row_max(filled) == -np.inf, -1, np.argmax(filled, axis=1)).astype(np.int64)


def any_tied(scores: ArrayLike) -> Bools:
    """Whether any two options of a question have the same score.

    Examples
    --------
    >>> any_tied([[-1.0, -2.0, -2.0], [-1.0, -2.0, -3.0]]).tolist()
    [True, False]
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64), axis=1)
    return row_any(ordered[:, 1:] == ordered[:, :-1])
