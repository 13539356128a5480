"""Intervals of an estimate from its standard error: Student's, Hall's for skewed values, and those of another confidence."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np

from consistency.statistics.estimates import Estimate
from consistency.support.arrays import Floats


def at_confidence(estimate: Estimate, confidence: float) -> Estimate:
    """An estimate whose 95 % interval is made one of another confidence, by the quantiles of its distribution.

    Parameters
    ----------
    estimate : Estimate
        With an interval of Student's or a normal distribution; of another the same factor is an approximation. Of one that is
        "bounded" it is the factor of what Student's would be; the rest, for values that were not seen, grows with the
        logarithm of the error.
    confidence : float

    Examples
    --------
    >>> from consistency.statistics.means import mean
    >>> wide = at_confidence(mean([1.0, 2.0, 4.0]), 0.99)
    >>> round(wide.ci_high, 6) == round(mean([1.0, 2.0, 4.0], confidence=0.99).ci_high, 6)
    True
    """
    if estimate.value is None or estimate.ci_low is None or estimate.ci_high is None:
        return estimate
    factor = quantile(confidence, estimate.df) / quantile(0.95, estimate.df)
    arms = np.array([estimate.value - estimate.ci_low, estimate.ci_high - estimate.value])
    grown = arms * factor
    if estimate.method == "bounded":
        usual = quantile(0.95, estimate.df) * (estimate.se or 0.0)
        unseen = max(factor, math.log((1 - confidence) / 2) / math.log(0.025))
        grown += np.maximum(arms - usual, 0.0) * (unseen - factor)
    below, above = grown.tolist()
    return replace(estimate, ci_low=estimate.value - below, ci_high=estimate.value + above)


def longer_than_t(estimate: Estimate) -> bool:
    """Whether the 95 % interval reaches further than Student's, on one side at least.

    Examples
    --------
    >>> from consistency.statistics.means import mean
    >>> usual = mean([1.0, 2.0, 4.0])
    >>> longer_than_t(usual), longer_than_t(replace(usual, ci_low=-5.0))
    (False, True)
    """
    if estimate.value is None or estimate.se is None or estimate.ci_low is None or estimate.ci_high is None:
        return False
    usual = quantile(0.95, estimate.df) * estimate.se * (1 + 1e-9)
    return max(estimate.value - estimate.ci_low, estimate.ci_high - estimate.value) > usual


@lru_cache
def quantile(confidence: float, df: float | None = None) -> float:
    """What an interval is wide by on each side, in standard errors: of Student's t, or without degrees of freedom of a normal.

    Examples
    --------
    >>> round(quantile(0.95), 3), round(quantile(0.95, 10), 3)
    (1.96, 2.228)
    """
    from scipy.special import ndtri, stdtrit

    upper = (1 + confidence) / 2
    return float(ndtri(upper) if df is None or math.isinf(df) else stdtrit(df, upper))


def skewness(deviations: Floats) -> float:
    """Sample skewness of deviations from their mean, without its bias in normal samples.

    Returns
    -------
    float
        0 for fewer than three values, or values that do not vary.

    Examples
    --------
    >>> round(skewness(np.array([-1.0, -1.0, -1.0, 3.0])), 6)
    2.0
    """
    squares = deviations * deviations  # a power is ten times as slow as a product
    return skewness_of_moments(float(squares.mean()), float((squares * deviations).mean()), len(deviations))


def skewness_of_moments(second: float, third: float, n: int) -> float:
    """The skewness of n values from their central moments."""
    # Of the rounding of nothing the power is 0.
    scale = second**1.5
    return 0.0 if n < 3 or scale == 0 else third / scale * math.sqrt(n * (n - 1)) / (n - 2)


def too_skewed(skew: float, n: int) -> bool:
    """Whether n values are fewer than the normal approximation of their mean needs: 25 times the squared skewness.

    References
    ----------
    Cochran (1977), Sampling Techniques, section 2.15.
    """
    return n < 25 * skew**2


def t_interval(
    value: float, se: float, df: float, confidence: float, *, skew: float = 0.0, n: int = 1
) -> tuple[float, float]:
    """Student's interval; with a skewness, of the statistic that Hall's transformation makes symmetric.

    Parameters
    ----------
    value, se, df : float
        Estimate, its standard error and the degrees of freedom of that.
    confidence : float
    skew : float
        Sample skewness of the `n` values whose mean it is.

    Returns
    -------
    tuple of float
        The interval's ends.

    References
    ----------
    Hall (1992), On the removal of skewness by transformation. JRSS B 54, 221-228: for T = (mean - truth) / se,
    T + aT² + a²T³/3 + skew / (6 √n) with a = skew / (3 √n) is nearer to normal than T.

    Examples
    --------
    >>> [round(end, 3) for end in t_interval(1.0, 0.1, 20, 0.95)]
    [0.791, 1.209]
    >>> [round(end, 3) for end in t_interval(1.0, 0.1, 20, 0.95, skew=2.0, n=21)]
    [0.839, 1.422]
    """
    far = quantile(confidence, df)
    slope = skew / (3 * math.sqrt(n))

    def back(transformed: float) -> float:
        if abs(slope) < 1e-9:
            return transformed
        return float(np.cbrt(1 + 3 * slope * (transformed - skew / (6 * math.sqrt(n)))) - 1) / slope

    return value - back(far) * se, value - back(-far) * se
