"""Shares of a whole, with the interval that a count of so many allows."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.estimates import Estimate, mean


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
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = count / of
    centre = (p + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    low, high = (0.0 if count == 0 else centre - half), (1.0 if count == of else centre + half)
    return Share(count, of, p, low, high)


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


def rate(happened: ArrayLike, *, clusters: ArrayLike | None = None) -> Estimate:
    """Share of the questions to which something happened.

    Parameters
    ----------
    happened : array_like, shape [n]
        1 where it did, 0 where it did not, NaN where that is not known.
    clusters : array_like, shape [n], optional
        Tasks, where whole tasks were sampled.

    Returns
    -------
    Estimate
        Over questions, and where it happened to none or to all of them, with Wilson's interval, which has a width there;
        over clusters with that of `mean`.

    Examples
    --------
    >>> never = rate([0.0] * 100)
    >>> never.value, round(never.ci_high, 4)
    (0.0, 0.037)
    """
    found = mean(happened, clusters=clusters)
    if found.value is None or (clusters is not None and found.se):
        return found
    values = np.asarray(happened, dtype=np.float64)
    score = wilson(int((values == 1).sum()), found.n)
    return replace(
        found,
        ci_low=score.ci_low,
        ci_high=score.ci_high,
        unit="question",
        statistic="share",
        method="wilson",
        warnings=(),
    )
