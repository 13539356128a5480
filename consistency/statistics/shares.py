"""Shares of a whole, with the interval that a count of so many allows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.estimates import Estimate, without_interval
from consistency.statistics.intervals import quantile
from consistency.statistics.means import mean
from consistency.statistics.sampling import independent, numbered
from consistency.support.arrays import Floats


@dataclass(frozen=True)
class Share:
    """A share of a count, with Wilson's interval.

    Attributes
    ----------
    count, of : int
        How many of how many.
    share, ci_low, ci_high : float or None
        None if `of` is 0.
    """

    count: int
    of: int
    share: float | None
    ci_low: float | None
    ci_high: float | None

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def to_text(self) -> str:
        """The share and its interval in percent, as in a table."""
        if self.share is None or self.ci_low is None or self.ci_high is None:
            return "–"
        return f"{100 * self.share:.1f} % ({100 * self.ci_low:.1f} to {100 * self.ci_high:.1f})"


def wilson(count: int, of: int, confidence: float = 0.95) -> Share:
    """A share with Wilson's score interval.

    Parameters
    ----------
    count, of : int
        How many of how many; questions count as drawn one by one.
    confidence : float
        Coverage of the interval.

    Returns
    -------
    Share
        The interval's ends stay between 0 and 1, also where the count is 0 or all.

    References
    ----------
    Wilson (1927), Probable inference, the law of succession, and statistical inference. JASA 22, 209-212.

    Examples
    --------
    >>> wilson(8, 10).to_text()
    '80.0 % (49.0 to 94.3)'
    """
    if not of:
        return Share(count, of, None, None, None)
    return Share(count, of, count / of, *score_interval(count / of, of, NormalDist().inv_cdf(0.5 + confidence / 2)))


def clopper_pearson(count: int, of: int, confidence: float = 0.95) -> Share:
    """A share with the exact interval: it covers at least as often as it says, and each end errs at most half as often.

    Parameters
    ----------
    count, of : int
        How many of how many; questions count as drawn one by one.
    confidence : float
        Coverage of the interval.

    References
    ----------
    Clopper and Pearson (1934), The use of confidence or fiducial limits illustrated in the case of the binomial. Biometrika 26,
    404-413.

    Examples
    --------
    >>> clopper_pearson(8, 10).to_text()
    '80.0 % (44.4 to 97.5)'
    """
    if not of:
        return Share(count, of, None, None, None)
    from scipy.special import betaincinv

    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, of - count + 1, tail))
    high = 1.0 if count == of else float(betaincinv(count + 1, of - count, 1 - tail))
    return Share(count, of, count / of, low, high)


def larger_share(count: int, of: int, limit: float) -> float:
    """Exact p of "the true share is `limit` or less": small where the share is surely larger.

    Examples
    --------
    >>> round(larger_share(5, 10, 0.2), 4)
    0.0328
    """
    if not count:
        return 1.0
    from scipy.special import betainc

    return float(betainc(count, of - count + 1, limit))


def score_interval(share: float, n: float, quantile: float) -> tuple[float, float]:
    """Ends of Wilson's interval of a share of n, which may be an effective number, for a quantile such as 1.96.

    Examples
    --------
    >>> [round(end, 3) for end in score_interval(0.8, 10, 1.959964)]
    [0.49, 0.943]
    """
    centre = (share + quantile**2 / (2 * n)) / (1 + quantile**2 / n)
    half = quantile / (1 + quantile**2 / n) * sqrt(share * (1 - share) / n + quantile**2 / (4 * n * n))
    return (0.0 if share == 0 else centre - half), (1.0 if share == 1 else centre + half)


def rate(
    happened: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    tasks: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
) -> Estimate:
    """Share of the questions to which something happened.

    Parameters
    ----------
    happened : array_like, shape [n]
        1 where it did, 0 where it did not, NaN where that is not known.
    strata, tasks, clusters : array_like, shape [n], optional
        What was sampled, as in `mean`.

    Returns
    -------
    Estimate
        With Wilson's interval, which has a width also where it happened to none or to all. Where questions are not sampled
        one by one, it is that of as many independent questions as say the same (`effective_n`): the variance of so many
        equals that of `mean`, and they are never more than there are questions; where nothing varies, of as many as there are
        clusters.

    References
    ----------
    Korn and Graubard (1998), Confidence intervals for proportions with small expected number of positive counts estimated
    from survey data. Survey Methodology 24, 193-201.

    Examples
    --------
    >>> never = rate([0.0] * 100)
    >>> never.value, round(never.ci_high, 4)
    (0.0, 0.037)
    """
    if strata is None and tasks is None and clusters is None:
        return _over_questions(np.asarray(happened, dtype=np.float64))
    found = mean(happened, strata=strata, tasks=tasks, clusters=clusters)
    if found.value is None or (found.se is None and found.n > 1):
        return found
    effective = _effective(happened, found, tasks, clusters)
    low, high = score_interval(found.value, effective, quantile(0.95, found.df if found.se else None))
    few = tuple(caveat for caveat in found.warnings if caveat == "few clusters")
    return replace(
        found, ci_low=low, ci_high=high, statistic="share", method="wilson", warnings=few, effective_n=effective
    )


def _over_questions(values: Floats) -> Estimate:
    """The share of questions that were sampled one by one."""
    n = int(np.count_nonzero(np.isfinite(values)))
    undefined = len(values) - n
    if not n:
        return without_interval(None, 0, "no values", undefined=undefined)
    share = float(np.count_nonzero(values == 1)) / n
    low, high = score_interval(share, n, quantile(0.95))
    se = math.sqrt(share * (1 - share) / (n - 1)) if n > 1 else None
    return Estimate(share, se, low, high, n, float(n - 1), undefined, "share", method="wilson")


def _effective(happened: ArrayLike, found: Estimate, tasks: ArrayLike | None, clusters: ArrayLike | None) -> float:
    """Independent questions whose share varies as much, and no more than there are."""
    values = np.asarray(happened, dtype=np.float64)
    finite = np.isfinite(values)
    x = values[finite]
    ratio = float(x.var(ddof=1)) / len(x) / found.se**2 if found.se else math.nan
    if clusters is not None:
        rarer = x == (1.0 if x.mean() <= 0.5 else 0.0)
        return independent(len(x), ratio, numbered(np.asarray(clusters)[finite]), rarer)
    if found.se:
        return len(x) * min(1.0, ratio)
    return float(len(x) if tasks is None else len(np.unique(np.asarray(tasks)[finite])))
