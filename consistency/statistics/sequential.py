"""A test of harm that may be looked at again and again while the same questions are answered at every look.

Of a model in training the same n questions are looked at, each answer held against the one before the training. At look k a
share of them turned from right to wrong, another from wrong to right; the answers of one look and the next are alike. The null
is that at no look the true share (that of all questions of which the n are a sample) is above its limit. Each look has a p of its
own, which is exact for independent questions. What all looks may err is spent over them, and since they are alike, what one look
spent is not lost for the next: its level is that at which a false alarm *that no earlier look gave* has the probability that is
this look's to spend. The levels are approximate: that false alarms over a whole training keep to theirs is shown by simulation.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.statistics.paired_shares import greater_change
from consistency.statistics.shares import larger_share
from consistency.support.arrays import Floats

# What is kept for looks beyond the end that was planned, and how slowly that is spent.
_RESERVE = 0.1
_SLOW = 10
# Draws of the looks' statistics, and the most looks whose dependence is used.
_DRAWS = 1 << 17
MOST_LOOKS = 100
# Draws are made for so many looks at once.
_AT_ONCE = 10
# A part of each correlation is not believed: of few answers that turn it is found with an error.
_DOUBT = 0.02
# Where so many answers turn each way, the asymptotic p of the score test is within 5 % of the exact one, also at a level of .001.
_MANY = 100
# What a bound may be off by.
_FINE = 5e-4


def spending(progress: ArrayLike) -> Floats:
    """The part of the error probability that the looks so far may have spent, after each of them.

    Parameters
    ----------
    progress : array_like, shape [k]
        Of each look, which part of the training was done, from 0 to 1. When a look is taken may depend on what looks cost, and
        must not depend on the answers.

    Returns
    -------
    ndarray, shape [k]
        Below 1, whatever the looks. So much is spent as is done of the training, but for a tenth that is kept for looks at which
        no more is done than at one before: those of a training that was made longer.

    References
    ----------
    Lan and DeMets (1989), Group sequential procedures: calendar versus information time. Statistics in Medicine 8, 1191-1198.

    Examples
    --------
    >>> spending([0.1, 0.2, 0.5, 1.0]).round(3).tolist()
    [0.09, 0.18, 0.45, 0.9]
    >>> spending([0.5, 1.0, 0.6, 1.0]).round(3).tolist()
    [0.45, 0.9, 0.909, 0.917]
    """
    done = np.maximum.accumulate(np.clip(np.asarray(progress, dtype=np.float64), 0.0, 1.0))
    beyond = np.cumsum(np.diff(done, prepend=0.0) <= 0)
    return np.asarray((1 - _RESERVE) * done + _RESERVE * beyond / (beyond + _SLOW))


def levels(correlations: ArrayLike, alpha: float, progress: ArrayLike) -> Floats:
    """The level of each look so far: its p must be no larger for an alarm.

    Parameters
    ----------
    correlations : array_like, shape [k, k]
        Of what is counted, over the questions, between the looks so far; those of the first `MOST_LOOKS` are enough.
    alpha : float
        The chance of a false alarm that all looks together may have.
    progress : array_like, shape [k]
        See `spending`.

    Returns
    -------
    ndarray, shape [k]
        Those of earlier looks do not depend on later ones.

    Notes
    -----
    The p of a look is exact, so that the normal quantile of 1 - p is at most a standard normal under the null. Those of several
    looks are taken as jointly normal with the correlations of what is counted; the boundary of each look is found in draws of
    them that begin from a fixed seed. So alpha holds approximately, by simulation (docs/statistics.md). No level is below this
    look's own part of alpha; those parts alone, as Bonferroni's, would hold whatever the dependence. From look `MOST_LOOKS` on
    the level is that part.

    References
    ----------
    Lan and DeMets (1983), Discrete sequential boundaries for clinical trials. Biometrika 70, 659-663, with the correlations that
    are observed in place of those of independent increments, as in Slud and Wei (1982), Two-sample repeated significance tests
    based on the modified Wilcoxon statistic. JASA 77, 862-868.

    Examples
    --------
    >>> [round(float(level), 4) for level in levels(np.eye(2), 0.05, [0.5, 1])]
    [0.0225, 0.023]
    >>> [round(float(level), 4) for level in levels(np.ones((2, 2)), 0.05, [0.5, 1])]
    [0.0225, 0.0442]
    """
    from scipy.special import ndtr, ndtri

    given = np.asarray(correlations, dtype=np.float64)
    until = alpha * np.concatenate([[0.0], spending(progress)])
    found = np.diff(until)
    known = min(len(found), MOST_LOOKS)
    believed = (1 - _DOUBT) * given[:known, :known]
    np.fill_diagonal(believed, 1.0)
    scores = np.linalg.cholesky(believed).astype(np.float32) @ _normals(-(-known // _AT_ONCE) * _AT_ONCE)[:known]
    crossed = 0
    for look in range(known):
        crossing = round(until[look + 1] * _DRAWS) - crossed
        if crossing < 1:
            continue
        # No level is above what is spent until then; the search is much faster among few.
        likely = np.flatnonzero(scores[look] > ndtri(1 - until[look + 1]) - 0.1)
        if len(likely) < crossing:
            likely = np.arange(_DRAWS)
        over = likely[np.argpartition(scores[look, likely], len(likely) - crossing)[len(likely) - crossing :]]
        found[look] = max(found[look], float(ndtr(-float(scores[look, over].min()))))
        scores[:, over] = -np.inf
        crossed += crossing
    return found


@lru_cache(4)
def _normals(looks: int) -> NDArray[np.float32]:
    """Draws for each look, shape [looks, draws]: normal quantiles that are evenly spread, each time in an order of chance."""
    from scipy.special import ndtri

    quantiles = ndtri((np.arange(_DRAWS) + 0.5) / _DRAWS).astype(np.float32)
    return np.stack([np.random.default_rng([20240218, look]).permutation(quantiles) for look in range(looks)])


@dataclass(frozen=True)
class Turned:
    """The answers that turned at one look, of questions of which not all need be independent.

    Attributes
    ----------
    lost, won, n : int
        Answers that turned from right to wrong and from wrong to right, of how many questions.
    effective_n, df : float or None
        As in `paired_change`.
    """

    lost: int
    won: int
    n: int
    effective_n: float | None = None
    df: float | None = None

    @property
    def independent(self) -> tuple[int, int]:
        """Answers that turned from right to wrong, of how many independent questions: no more and no fewer than say as much."""
        if self.effective_n is None or not self.n:
            return self.lost, self.n
        weight = self.effective_n / self.n
        return math.floor(self.lost * weight), math.ceil(self.n * weight)


def p_of_loss(turned: Turned, limit: float) -> float:
    """Exact p of "the share of right answers fell by `limit` or less".

    The test of `greater_change`: a score test whose p is the largest over the chance that answers turn both ways. Where 100
    answers or more turn each way, and where p is above 0.2, it is the asymptotic one.

    Examples
    --------
    >>> p_of_loss(Turned(20, 2, 200), 0.01) < 0.001 < p_of_loss(Turned(12, 2, 200), 0.01)
    True
    """
    weight = 1.0 if turned.effective_n is None else turned.effective_n / max(turned.n, 1)
    enough = min(turned.lost, turned.won) * weight >= _MANY
    return greater_change(
        turned.won,
        turned.lost,
        turned.n,
        limit,
        effective_n=turned.effective_n,
        df=None if turned.effective_n is None else turned.df,
        doubt=1e-6,
        many=0 if enough else sys.maxsize,
    )


def p_of_turning(turned: Turned, limit: float) -> float:
    """Exact binomial p of "`limit` of the answers or fewer turn from right to wrong".

    Where questions are not independent, no smaller than that of the score by Student's t, as few passages need.

    Examples
    --------
    >>> round(p_of_turning(Turned(5, 0, 10), 0.2), 4)
    0.0328
    """
    exact = larger_share(*turned.independent, limit)
    if turned.effective_n is None or turned.df is None or not turned.n:
        return exact
    from scipy.special import stdtr

    score = (turned.lost / turned.n - limit) / math.sqrt(limit * (1 - limit) / turned.effective_n)
    return max(exact, float(stdtr(turned.df, -score)))


def correlation(outcomes: ArrayLike) -> Floats:
    """Correlations between looks over the questions; 0 where nothing turned at one of them.

    Parameters
    ----------
    outcomes : array_like, shape [k, n]
        Of each look what is counted of each question.

    Examples
    --------
    >>> correlation([[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 0, 0]]).round(6).tolist()
    [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    values = np.asarray(outcomes, dtype=np.float64)
    centred = values - values.mean(axis=1, keepdims=True)
    lengths = np.sqrt((centred**2).sum(axis=1))
    scaled = centred / np.where(lengths > 0, lengths, 1.0)[:, None]
    found = scaled @ scaled.T
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def at_least_lost(turned: Turned, level: float) -> float:
    """The largest limit of which `p_of_loss` is no larger than the level: what was lost on balance is at least so much.

    Examples
    --------
    >>> counts = Turned(20, 2, 200)
    >>> found = at_least_lost(counts, 0.01)
    >>> p_of_loss(counts, found) <= 0.01 < p_of_loss(counts, found + 0.002)
    True
    """
    return _largest_limit(p_of_loss, turned, level, -1.0, (turned.lost - turned.won) / max(turned.n, 1))


def at_least_turned(turned: Turned, level: float) -> float:
    """The largest limit of which `p_of_turning` is no larger than the level: the lower end of a one-sided interval.

    Examples
    --------
    >>> counts = Turned(8, 0, 10)
    >>> round(at_least_turned(counts, 0.025), 3), round(p_of_turning(counts, at_least_turned(counts, 0.025)), 6)
    (0.444, 0.025)
    """
    if turned.effective_n is not None and turned.df is not None:
        return _largest_limit(p_of_turning, turned, level, 0.0, turned.lost / max(turned.n, 1))
    from scipy.special import betaincinv

    lost, n = turned.independent
    return float(betaincinv(lost, n - lost + 1, level)) if lost else 0.0


def _largest_limit(p: Callable[[Turned, float], float], turned: Turned, level: float, low: float, high: float) -> float:
    """The largest limit between two of which p is no larger than the level; the lower one if there is none."""
    while high - low > _FINE:
        middle = (low + high) / 2
        low, high = (middle, high) if p(turned, middle) <= level else (low, middle)
    return low
