"""Which of several means of the same questions is the largest, how surely, and which cannot be told apart.

Which cannot be told apart is found by one bootstrap over the questions, or clusters of them, with the same resamples for all.
How surely each is the largest is found by a posterior: in resamples, one of many equal means is the largest too often.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from consistency.statistics.bootstrap import draw_counts
from consistency.statistics.simultaneous import sums_of
from consistency.support.arrays import Bools, Floats, Integers

RESAMPLES = 5_000
_ALPHA = 0.05
# Of the posterior of the true means, and variances of their population.
POSTERIOR_DRAWS = 10_000
_GRID = 60
# The variance that all differences share counts as that of so many units for each mean.
_PULL = 4
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


def covariance_of_means(values: Floats, units: Integers) -> Floats:
    """The covariance of the means of the columns over the units, shape [k, k].

    Parameters
    ----------
    values : ndarray, shape [n, k]
        Finite.
    units : ndarray of int64, shape [n]
        What is sampled together.

    Examples
    --------
    >>> covariance_of_means(np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]), np.arange(4)).round(3).tolist()
    [[0.083, 0.0], [0.0, 0.083]]
    """
    sums = sums_of(units, values - values.mean(axis=0))
    return np.asarray(sums.T @ sums * (len(sums) / max(len(sums) - 1, 1)) / len(values) ** 2)


def probabilities_of_best(
    values: Floats, units: Integers, draws: int = POSTERIOR_DRAWS, seed: int = 0, grid: int = _GRID
) -> Floats:
    """The probability that each of several means is the largest in truth, shape [k]; ties are divided.

    The true means have a posterior. The observed means are normal around them, with the covariance that they have over the units.
    Before looking, three cases are equally likely: all true means are equal; they are a sample of one normal population; the m
    largest are one draw of it, and the others a draw each (each m is equally likely, and so is each choice of m of the k; only
    the choice of those that are observed to be largest is computed). The population's mean has a flat prior. Its variance is such
    that each share of shrinkage is equally likely (Daniels 1999); the restricted likelihood is averaged over it on a grid.

    Parameters
    ----------
    values : ndarray, shape [n, k]
        Finite. Columns that are the same are one mean, and share its probability.
    units : ndarray of int64, shape [n]
        What is sampled together.
    draws, seed : int
        Of the posterior.
    grid : int
        Variances of the population.

    References
    ----------
    Röver (2020), Bayesian random-effects meta-analysis using the bayesmeta R package. Journal of Statistical Software 93(6).
    Daniels (1999), A prior for the variance in hierarchical models. Canadian Journal of Statistics 27, 567-578.
    Gronau, Heck, Berkhout, Haaf and Wagenmakers (2021), A primer on Bayesian model-averaged meta-analysis. Advances in Methods
    and Practices in Psychological Science 4(3).

    Examples
    --------
    >>> right = (np.arange(100)[:, None] < [90, 50]).astype(float)
    >>> probabilities_of_best(right, np.arange(100)).round(2).tolist()
    [1.0, 0.0]
    >>> probabilities_of_best(right[:, :1].repeat(4, axis=1), np.arange(100)).tolist()
    [0.25, 0.25, 0.25, 0.25]
    """
    different, place, copies = np.unique(values, axis=1, return_inverse=True, return_counts=True)
    place = place.reshape(-1)
    k, number = different.shape[1], len(np.unique(units))
    if k == 1:
        return np.full(len(place), 1 / len(place))
    means = different.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    noise = _pulled(covariance_of_means(different, units), _units_that_differ(different, units))[np.ix_(order, order)]
    # No difference is known better than to half of what one unit contributes.
    noise = noise + 0.5 / number**2 * np.eye(k)
    chances = _Posterior(means[order], noise, copies[order], grid).shares(draws, np.random.default_rng(seed))
    shared = np.empty(k)
    shared[order] = chances / copies[order]
    return shared[place]


def _units_that_differ(values: Floats, units: Integers) -> int:
    """In how many units the columns differ at all."""
    return int((np.ptp(sums_of(units, values), axis=1) > _SAME).sum())


def _pulled(covariance: Floats, differing: int) -> Floats:
    """A covariance pulled towards one in which all differences have the same variance, the more the fewer units differ.

    Of few units, its smallest eigenvalues are far too small, and the case that all means are equal would seem too probable.
    """
    k = len(covariance)
    total = covariance.sum() / k
    own = (np.trace(covariance) - total) / (k - 1)
    alike = own * np.eye(k) + (total - own) / k
    weight = _PULL * k / (_PULL * k + differing)
    return np.asarray((1 - weight) * covariance + weight * alike)


class _Posterior:
    """The posterior of several true means, as a mixture over how many of the largest are equal and how far the others differ.

    Parameters
    ----------
    means : ndarray, shape [k]
        The largest first.
    noise : ndarray, shape [k, k]
        Their covariance; positive definite.
    copies : ndarray of int64, shape [k]
        How many runs each stands for where a tie is divided.
    grid : int
    """

    def __init__(self, means: Floats, noise: Floats, copies: Integers, grid: int) -> None:
        self._means, self._noise, self._copies = means, noise, copies
        k = len(means)
        # Half of the mean variance of a difference; and of each share by which a mean is pulled the variance of the population.
        own = (np.trace(noise) - noise.sum() / k) / (k - 1)
        shrunk = (np.arange(grid) + 0.5) / grid
        self._variances = own * (1 - shrunk) / shrunk
        some = list(range(2, k))
        self._cases = [1, *some]
        prior = [0.0, *(-np.log(len(some)) - _log_choices(k, m) for m in some)]
        with_variance = [np.log(1 / grid) + at + self._likelihoods(m) for m, at in zip(self._cases, prior, strict=True)]
        equal = self._restricted(noise[None])
        logs = np.concatenate([equal, *with_variance])
        weights = np.exp(logs - logs.max())
        self._weights = weights / weights.sum()

    def _shape(self, m: int) -> Floats:
        """The covariance of the true means in a population of variance 1: the first m are one."""
        shape = np.eye(len(self._means))
        shape[:m, :m] = 1.0
        return shape

    def _likelihoods(self, m: int) -> Floats:
        return self._restricted(self._noise + self._variances[:, None, None] * self._shape(m))

    def _restricted(self, covariances: Floats) -> Floats:
        """The logarithms of the restricted likelihoods under these covariances of the observed means, shape [c, k, k]."""
        inverse: Floats = np.asarray(np.linalg.inv(covariances), dtype=np.float64)
        _, total = self._centre(inverse)
        quadratic = np.einsum("i,cij,j->c", self._means, inverse, self._means)
        centred = quadratic - (inverse.sum(axis=1) @ self._means) ** 2 / total
        return np.asarray(-0.5 * (np.linalg.slogdet(covariances)[1] + np.log(total) + centred))

    def _centre(self, inverse: Floats) -> tuple[Floats, Floats]:
        """The weighted mean under each inverse covariance, and the inverse of its variance."""
        total = inverse.sum(axis=(-2, -1))
        return inverse.sum(axis=-2) @ self._means / total, total

    def shares(self, draws: int, rng: np.random.Generator) -> Floats:
        """In which share of the draws each is the largest, shape [k]; ties are divided by copies."""
        counts = rng.multinomial(draws, self._weights)
        shares = counts[0] * self._copies / self._copies.sum()
        root: Floats = np.asarray(np.linalg.cholesky(self._noise), dtype=np.float64)
        for number in np.flatnonzero(counts[1:]).tolist():
            case, place = divmod(number, len(self._variances))
            drawn = self._drawn(self._cases[case], float(self._variances[place]), int(counts[1 + number]), root, rng)
            best = (drawn >= drawn.max(axis=1, keepdims=True) - _SAME) * self._copies
            shares = shares + (best / best.sum(axis=1, keepdims=True)).sum(axis=0)
        return np.asarray(shares / draws)

    def _drawn(self, m: int, variance: float, draws: int, root: Floats, rng: np.random.Generator) -> Floats:
        """True means given how many are equal and the variance: a draw of the prior, moved by what it misses of the data."""
        k = len(self._means)
        inverse: Floats = np.asarray(np.linalg.inv(self._noise + variance * self._shape(m)), dtype=np.float64)
        middle, total = self._centre(inverse)
        prior = rng.standard_normal((draws, k))
        prior[:, :m] = prior[:, :1]
        prior = (middle + rng.standard_normal(draws) / np.sqrt(total))[:, None] + np.sqrt(variance) * prior
        missed = self._means - prior - rng.standard_normal((draws, k)) @ root.T
        found = prior + missed @ (variance * inverse @ self._shape(m))
        found[:, :m] = found[:, :1]
        return np.asarray(found)


def _log_choices(k: int, m: int) -> float:
    return math.lgamma(k + 1) - math.lgamma(m + 1) - math.lgamma(k - m + 1)


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
        self._largest = np.flatnonzero(means >= means.max() - _SAME)

    def p_of_pairs(self) -> Floats:
        """The p of no difference of each pair, adjusted over all pairs in a single step (the largest |t|), shape [k, k].

        1 of a mean and itself. It is never below the normal p of the pair alone.
        """
        from scipy.special import ndtr

        found = np.ones((self._k, self._k))
        if self._k > 1:
            ordered, t = np.sort(self._errors.max(axis=1)), np.abs(self._t)
            reached = len(ordered) - np.searchsorted(ordered, t)
            p = np.maximum((reached + 1) / (len(ordered) + 1), 2 * ndtr(-t))
            found[self._first, self._second] = found[self._second, self._first] = p
        return found

    def told_apart(self) -> Bools:
        """Which pairs differ at 5 %, all of them tested together (`p_of_pairs`); shape [k, k]."""
        return self.p_of_pairs() < _ALPHA

    def best_set(self) -> Floats:
        """The p of each mean of being the largest in truth, shape [k]: those of .05 or more are the 95 % set of the best.

        It is that of its difference from the largest observed mean in `p_of_pairs`: the set holds those that are not told apart
        from it. The largest in truth is told apart from no smaller one with 95 %, and so is in the set. Of several observed means
        that are the largest, the smallest p counts.
        """
        return np.asarray(self.p_of_pairs()[self._largest].min(axis=0))


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
