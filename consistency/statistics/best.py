"""Which of several means of the same questions is the largest, how surely, and which cannot be told apart.

All of it is of one bootstrap over the questions, or clusters of them, in which every mean has the same resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from consistency.statistics.bootstrap import draw_counts
from consistency.statistics.simultaneous import critical, sums_of
from consistency.support.arrays import Bools, Floats, Integers

RESAMPLES = 5_000
_AT_ONCE = 4_000_000
# Differences of means that are as small come from rounding.
_SAME = 1e-12


def resampled_means(values: Floats, units: Integers, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """The means of the columns in each resample of the units, shape [resamples, k].

    Parameters
    ----------
    values : ndarray, shape [n, k]
        Finite.
    units : ndarray of int64, shape [n]
        What is drawn together.
    resamples, seed : int
    """
    sums, sizes = sums_of(units, values), np.unique(units, return_counts=True)[1]
    rng, step = np.random.default_rng(seed), max(1, _AT_ONCE // len(sizes))
    parts = []
    for start in range(0, resamples, step):
        counts = draw_counts(len(sizes), min(step, resamples - start), rng)
        parts.append((counts @ sums) / (counts @ sizes)[:, None])
    return np.concatenate(parts)


def shares_of_best(resampled: Floats) -> Floats:
    """In which share of the resamples each mean is the largest, shape [k]; ties are divided.

    Examples
    --------
    >>> shares_of_best(np.array([[0.5, 0.4], [0.3, 0.4], [0.5, 0.5]])).tolist()
    [0.5, 0.5]
    """
    best = resampled >= resampled.max(axis=1, keepdims=True) - _SAME
    return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))


class Differences:
    """The differences of several means, pair by pair, and of their resamples, standardized.

    Parameters
    ----------
    means : ndarray, shape [k]
    resampled : ndarray, shape [resamples, k]
    units : int
        How many were drawn. Where every unit has the same difference, the resamples do not vary, and 1 / `units` is taken for the
        standard error.
    """

    def __init__(self, means: Floats, resampled: Floats, units: int) -> None:
        self._first, self._second = np.triu_indices(len(means), 1)
        errors = (resampled - resampled.mean(axis=0)).astype(np.float32)
        self._errors = errors[:, self._first] - errors[:, self._second]
        spread = np.sqrt((self._errors.astype(np.float64) ** 2).mean(axis=0))
        varied = spread > 1e-7
        self._errors /= np.where(varied, spread, np.inf).astype(np.float32)
        np.abs(self._errors, out=self._errors)
        gaps = means[self._first] - means[self._second]
        self._t = np.where(np.abs(gaps) > _SAME, gaps, 0.0) / np.where(varied, spread, 1.0 / units)
        self._k = len(means)

    def told_apart(self, confidence: float = 0.95) -> Bools:
        """Which pairs differ, all of them tested together (the largest |t| of all pairs); shape [k, k]."""
        found = np.zeros((self._k, self._k), dtype=bool)
        if self._k > 1:
            differ = np.abs(self._t) > critical(self._errors.max(axis=1), confidence)
            found[self._first, self._second] = found[self._second, self._first] = differ
        return found

    def best_set(self) -> Floats:
        """The p of each mean in the model confidence set, shape [k]: those of .05 or more are the 95 % set of the best.

        As long as the hypothesis that all that are left are equal is tested (with the largest |t| of their pairs), the mean that
        is furthest below another is left out; the p of a mean is the largest of the tests up to that at which it leaves.

        References
        ----------
        Hansen, Lunde and Nason (2011), The model confidence set. Econometrica 79, 453-497.
        """
        p, left, largest = np.ones(self._k), np.ones(self._k, dtype=bool), 0.0
        while left.sum() > 1:
            pairs = np.flatnonzero(left[self._first] & left[self._second])
            t = self._t[pairs]
            statistic = float(np.abs(t).max())
            reached = self._errors[:, pairs].max(axis=1) >= statistic
            largest = max(largest, float((reached.sum() + 1) / (len(reached) + 1)))
            worst = pairs[int(np.abs(t).argmax())]
            leaves = int(self._second[worst] if self._t[worst] >= 0 else self._first[worst])
            p[leaves], left[leaves] = largest, False
        return p


def letters(differ: Bools, order: Sequence[int]) -> list[str]:
    """A compact letter display: two of k share a letter where they cannot be told apart.

    Parameters
    ----------
    differ : ndarray of bool, shape [k, k]
    order : sequence of int
        All k, the best first: the first letters are those of the best.

    Returns
    -------
    list of str
        Of each of k its letters.

    References
    ----------
    Piepho (2004), An algorithm for a letter-based representation of all-pairwise comparisons. Journal of Computational and
    Graphical Statistics 13, 456-466.

    Examples
    --------
    >>> differ = np.array([[False, False, True], [False, False, False], [True, False, False]])
    >>> letters(differ, [0, 1, 2])
    ['a', 'ab', 'b']
    """
    groups = [frozenset(range(len(differ)))]
    for i, j in zip(*np.nonzero(np.triu(differ)), strict=True):
        split = [group for group in groups if i in group and j in group]
        groups = [group for group in groups if group not in split]
        for group in split:
            for without in (group - {int(i)}, group - {int(j)}):
                if not any(without <= other for other in groups):
                    groups = [other for other in groups if not other <= without]
                    groups.append(without)
    rank = {number: place for place, number in enumerate(order)}
    groups.sort(key=lambda group: sorted(rank[number] for number in group))
    return [
        "".join(_letter(place) for place, group in enumerate(groups) if number in group)
        for number in range(len(differ))
    ]


def _letter(place: int) -> str:
    """The letters from a to z, then from A to Z, then a number in brackets."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return alphabet[place] if place < len(alphabet) else f"({place + 1})"
