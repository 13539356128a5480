"""Means over several samples, such as training runs or domains, whose intervals allow for what their questions did not show.

A t interval has no width where all answers are right or none turned, and misses rare, large values. The intervals here contain
it, and that of as many independent questions as say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from consistency.statistics.estimates import Estimate, Method
from consistency.statistics.intervals import quantile
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.shares import score_interval
from consistency.statistics.tails import MENDED, bounded_ends
from consistency.support.arrays import Floats, Integers


@dataclass(frozen=True, eq=False)
class Pool:
    """What each question adds to the mean of several samples' means, each sample with the same weight.

    Attributes
    ----------
    totals : ndarray, shape [n]
        Of each question with a value: the sum of its values, each times its share in the mean.
    shares : ndarray, shape [n]
        How much of the mean is that question's; they sum to 1.
    """

    totals: Floats
    shares: Floats

    @classmethod
    def of(cls, samples: Sequence[Floats], question: Integers) -> Pool:
        """The questions of some samples.

        Parameters
        ----------
        samples : sequence of ndarray
            One number per question each; those that are not finite do not enter. Each sample has a finite one.
        question : ndarray of int64
            The question of each value, sample after sample, as a number from 0.

        Examples
        --------
        >>> one, other = np.array([0.0, 1.0]), np.array([1.0])
        >>> pool = Pool.of([one, other], np.array([0, 1, 1]))
        >>> pool.totals.tolist(), pool.shares.tolist(), round(pool.independent, 2)
        ([0.0, 0.75], [0.25, 0.75], 1.6)
        """
        share = np.concatenate([np.isfinite(x) / np.isfinite(x).sum() / len(samples) for x in samples])
        values = np.concatenate([np.where(np.isfinite(x), x, 0.0) for x in samples])
        totals, shares = (
            np.bincount(question, weights=weights).astype(np.float64) for weights in (values * share, share)
        )
        return cls(totals[shares > 0], shares[shares > 0])

    @property
    def independent(self) -> float:
        """How many questions of one weight are as many as these (Kish)."""
        return 1 / float((self.shares**2).sum())


def pooled_share(found: Estimate, pool: Pool, se: float | None = None, df: float | None = None) -> Estimate:
    """A mean of several samples' shares, whose interval also contains Wilson's of the independent questions.

    Parameters
    ----------
    found : Estimate
        As `mean_of_means` or `crossed_mean` returns it.
    pool : Pool
        Of zeros and ones.
    se, df : float, optional
        Over questions alone, where `found` is over training runs as well.

    References
    ----------
    Korn and Graubard (1998), Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data. Survey Methodology 24, 193-201.

    Examples
    --------
    >>> from consistency.statistics.task_means import mean_of_means
    >>> right, questions = np.ones(50), np.arange(100)
    >>> found = mean_of_means([right, right], questions, np.zeros(100, dtype=int))
    >>> found.ci_low, round(pooled_share(found, Pool.of([right, right], questions)).ci_low, 3)
    (1.0, 0.963)
    """
    if found.value is None or found.ci_low is None:
        return found
    value = min(max(found.value, 0.0), 1.0)
    n, far = _independent(found, pool, value * (1 - value), se, df)
    return _containing(found, score_interval(value, n, quantile(0.95, far)), "wilson", (0.0, 1.0))


def pooled_change(found: Estimate, lost: Pool, won: Pool, se: float | None = None, df: float | None = None) -> Estimate:
    """A mean of several samples' changes of a share, whose interval also contains Tango's of the independent questions.

    Parameters
    ----------
    found : Estimate
        As `mean_of_means` or `crossed_mean` returns it.
    lost, won : Pool
        1 where the answer turned from right to wrong, and from wrong to right, else 0.
    se, df : float, optional
        Over questions alone, where `found` is over training runs as well.

    Examples
    --------
    >>> from consistency.statistics.task_means import mean_of_means
    >>> idle, questions = np.zeros(50), np.arange(100)
    >>> found, pool = mean_of_means([idle, idle], questions, np.zeros(100, dtype=int)), Pool.of([idle, idle], questions)
    >>> found.ci_high, round(pooled_change(found, pool, pool).ci_high, 3)
    (0.0, 0.037)
    """
    if found.value is None or found.ci_low is None:
        return found
    down, up = float(lost.totals.sum()), float(won.totals.sum())
    n, far = _independent(found, lost, max(down + up - (up - down) ** 2, 0.0), se, df)
    score = paired_change(down * found.n, up * found.n, found.n, effective_n=n, df=far)
    if score.ci_low is None or score.ci_high is None:
        return found
    return _containing(found, (score.ci_low, score.ci_high), "score", (-1.0, 1.0))


def pooled_within(found: Estimate, pool: Pool, low: float, high: float) -> Estimate:
    """A mean of several samples' means, whose interval also allows for unseen questions with values between two bounds.

    Parameters
    ----------
    found : Estimate
        As `mean_of_means` or `crossed_mean` returns it.
    pool : Pool
    low, high : float
        The smallest and largest value that a question may have.

    Examples
    --------
    >>> from consistency.statistics.task_means import mean_of_means
    >>> alike, questions = np.zeros(50), np.arange(100)
    >>> found = mean_of_means([alike, alike], questions, np.zeros(100, dtype=int))
    >>> round(pooled_within(found, Pool.of([alike, alike], questions), 0.0, 1.0).ci_high, 3)
    0.036
    """
    if found.value is None or found.ci_low is None:
        return found
    n, most = len(pool.totals), float(pool.shares.max())
    # So weighted, the plain mean of the questions is the mean; that of the largest weight may move it most.
    ends = bounded_ends([pool.totals * n], [min(low, 0.0) * most * n], [max(high, 0.0) * most * n])
    return _containing(found, (ends[0].item(), ends[1].item()), "bounded", (low, high))


def _independent(
    found: Estimate, pool: Pool, variance: float, se: float | None, df: float | None
) -> tuple[float, float | None]:
    """How many independent questions say as much, and the degrees of freedom of that."""
    se, df = (found.se, found.df) if se is None else (se, df)
    if not se:
        return pool.independent, None
    if variance <= 0:
        return pool.independent, df
    return min(pool.independent, variance / se**2), df


def _containing(found: Estimate, ends: tuple[float, float], method: Method, bounds: tuple[float, float]) -> Estimate:
    """The estimate with an interval that contains its own and another, within the bounds."""
    assert found.ci_low is not None
    assert found.ci_high is not None
    low, high = min(found.ci_low, ends[0]), max(found.ci_high, ends[1])
    kept = tuple(caveat for caveat in found.warnings if caveat not in MENDED)
    longer = low < found.ci_low or high > found.ci_high
    return replace(
        found,
        ci_low=max(low, bounds[0]),
        ci_high=min(high, bounds[1]),
        method=method if longer else found.method,
        warnings=kept,
    )
