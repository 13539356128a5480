"""Half the sum of the absolute means of several numbers that add up to 0: how many answers moved on balance, or too many.

Each question adds a vector, such as +1 for the option that won its answer and -1 for the one that lost it. Noise makes an
absolute value larger, never smaller: in the mean by the folded normal distribution. So an interval is made of all true values
whose expected sum, noise included, is within 1.96 standard errors of the observed one; the true means are taken in proportion
to the observed ones. A larger true value has as many more moves, and their variance (a score interval: where all moves go from
one option to another the upper end is Wilson's, but for the noise of the absolute values). A smaller one has as many moves as
were seen, more of which cancel. So the interval covers 95 % or more: near 0, more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from consistency.statistics.estimates import Estimate, without_interval
from consistency.support.arrays import Bools, Floats

STATISTIC = "share of answers"
_Z = 1.959963984540054
_FOLD = np.sqrt(2 / np.pi)
# Halvings of [0, 1]: the ends are right to 10⁻⁹.
_HALVINGS = 30


def absolute_means(
    sums: Sequence[Floats], squares: Sequence[Floats], n: Sequence[int], together: Sequence[float] | None = None
) -> list[Estimate]:
    """Half the sum of the absolute means, with a 95 % interval of that of all such questions; one for each set of questions.

    Parameters
    ----------
    sums : sequence of ndarray, shape [k]
        Of the questions' vectors, each of which adds up to 0; from 2 columns on, or none where there is no question.
    squares : sequence of ndarray, shape [k, k]
        Sums of the vectors' outer products with themselves; of questions in clusters, those of the clusters' sums.
    n : sequence of int
        Questions.
    together : sequence of float, optional
        How many questions count as one: the size of a question's cluster, in the mean over questions. Default: 1.

    Examples
    --------
    >>> move = np.array([1.0, -1.0])
    >>> found = absolute_means([10 * move], [10 * np.outer(move, move)], [100])[0]
    >>> found.value, round(found.ci_low, 3), round(found.ci_high, 3)
    (0.1, 0.034, 0.174)
    """
    known = [row for row, number in enumerate(n) if number and len(sums[row]) > 1]
    found = [without_interval(None, number, "no values", statistic=STATISTIC) for number in n]
    if not known:
        return found
    width = max(len(sums[row]) for row in known)
    mean, square = np.zeros((len(known), width)), np.zeros((len(known), width, width))
    for place, row in enumerate(known):
        k = len(sums[row])
        mean[place, :k] = sums[row] / n[row]
        square[place, :k, :k] = squares[row] / n[row]
    asked = np.array([n[row] for row in known], dtype=np.float64)
    alike = np.array([1.0 if together is None else together[row] for row in known])
    value, low, high = _interval(mean, square, asked, alike)
    for place, row in enumerate(known):
        found[row] = Estimate(
            *(float(value[place]), None, float(low[place]), float(high[place]), n[row]),
            statistic=STATISTIC,
            method="folded",
        )
    return found


def _interval(mean: Floats, square: Floats, n: Floats, together: Floats) -> tuple[Floats, Floats, Floats]:
    """The values and the ends, from the means [rows, k] of the vectors and of their squares [rows, k, k]."""
    value = np.abs(mean).sum(axis=1) / 2
    towards = _directions(mean, square, value)
    won, lost = np.maximum(towards, 0), np.maximum(-towards, 0)
    both = won[:, :, None] * lost[:, None]
    # Of one more move from a letter that lost to one that won.
    of_move = np.eye(mean.shape[1]) * np.abs(towards)[:, None] - both - both.transpose(0, 2, 1)
    outer = towards[:, :, None] * towards[:, None]
    sign = np.sign(towards)

    def reach(true: Floats, ends: float) -> Floats:
        """The expected value where the true one is `true`, and so many standard errors."""
        by = true[:, None, None]
        further = np.maximum(by - value[:, None, None], 0) * of_move - by**2 * outer
        variance = (square + together[:, None, None] * further) / n[:, None, None]
        each = np.sqrt(np.maximum(np.diagonal(variance, axis1=1, axis2=2), 1e-18))
        # Letters that neither won nor lost add the noise of their absolute values.
        total = np.einsum("ri,rij,rj->r", sign, variance, sign) + ((sign == 0) * each**2).sum(axis=1) * (1 - _FOLD**2)
        error = np.sqrt(np.maximum(total, 0)) / 2
        return np.asarray(folded(true[:, None] * np.abs(towards), each).sum(axis=1) / 2 + ends * error)

    high = _last(lambda true: reach(true, -_Z) <= value, len(n))
    low = _last(lambda true: reach(true, _Z) < value, len(n))
    return value, low, np.maximum(high, value)


def _directions(mean: Floats, square: Floats, value: Floats) -> Floats:
    """The means over their half sum [rows, k]; where all are 0, a move between the two letters with the most moves."""
    some = value > 0
    found = mean / np.where(some, value, 1.0)[:, None]
    most = np.argsort(np.diagonal(square, axis1=1, axis2=2), axis=1)[~some]
    found[~some] = np.eye(mean.shape[1])[most[:, -1]] - np.eye(mean.shape[1])[most[:, -2]]
    return np.asarray(found)


def _last(holds: Callable[[Floats], Bools], rows: int) -> Floats:
    """For each row the largest number in [0, 1] up to which a condition holds; 0 where it never does."""
    low, high = np.zeros(rows), np.ones(rows)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        inside = holds(middle)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.where(low > 2.0**-_HALVINGS, high, 0.0)


def folded(size: Floats, error: Floats) -> Floats:
    """Mean of the absolute value of a normal variable with this mean and standard deviation.

    Parameters
    ----------
    size, error : ndarray
        Its mean, not negative, and its standard deviation.

    Examples
    --------
    >>> folded(np.array([0.0, 3.0]), np.array([1.0, 1.0])).round(3).tolist()
    [0.798, 3.001]
    """
    from scipy.special import ndtr

    ratio = size / error
    return np.asarray(error * _FOLD * np.exp(-(ratio**2) / 2) + size * (2 * ndtr(ratio) - 1))
