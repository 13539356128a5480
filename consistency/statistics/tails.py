"""Means of values whose largest may not have been seen, and means that do not depend on them.

No interval for a mean can be right for every distribution: a sample without a rare, large value looks as if there were none
(Bahadur and Savage 1956). It can be right where it is known how large a value may be.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.estimates import Estimate, Unit, mean, root_of, t_interval, without_interval
from consistency.statistics.task_means import macro_mean
from consistency.support.arrays import Floats

# The share that a trimmed mean leaves out at each end (Wilcox 2012).
TRIMMED = 0.2
_FEWEST = 5
_ROUNDING = 1e-9
# What a bounded interval needs not say: it holds whatever the values are.
_MENDED = ("constant", "uneven", "skewed")


def bounded_ends(values: ArrayLike, low: float, high: float, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of a mean of values between two bounds, right whatever their distribution is.

    The upper end is the quantile of the sample's mean with one further value, the upper bound, under random weights that
    are uniform over all that sum to 1 (a Dirichlet distribution); the lower end likewise. So it reaches as far as unseen
    values up to the bound could move the mean: without any spread, as far as Clopper and Pearson's interval of a count of 0.

    Parameters
    ----------
    values : array_like, shape [n]
        Finite, between the bounds.
    low, high : float
        The smallest and largest possible value.
    confidence : float

    Returns
    -------
    tuple of float
        The interval's ends.

    Raises
    ------
    ValueError
        If a value lies outside the bounds, or there is none.

    References
    ----------
    Gaffke (2005), Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable.
    Mathematical Methods of Statistics 14, 451-467. Learned-Miller and Thomas (2019), A new confidence interval for the mean
    of a bounded random variable, arXiv:1905.06208. The quantile is Lugannani and Rice's (1980) saddlepoint approximation in
    the form of Barndorff-Nielsen (1986).

    Examples
    --------
    >>> low, high = bounded_ends([0.0] * 10, 0.0, 1.0)
    >>> low, round(high, 3), round(1 - 0.025 ** (1 / 10), 3)
    (0.0, 0.31, 0.308)
    """
    x = np.asarray(values, dtype=np.float64)
    rounding = _ROUNDING * max(abs(low), abs(high))
    if not len(x) or not (low - rounding <= x.min() and x.max() <= high + rounding):
        raise ValueError(f"expected values between {low:g} and {high:g}")
    low, high = min(low, float(x.min())), max(high, float(x.max()))
    from scipy.special import ndtri

    quantile = float(ndtri((1 + confidence) / 2))
    return -_upper_end(-x, -low, quantile), _upper_end(x, high, quantile)


def _upper_end(x: Floats, high: float, quantile: float) -> float:
    """The upper end, of a standard normal quantile."""
    y = np.append(x, high)
    centre = float(y.mean())
    reach = high - centre
    if reach <= 1e-12 * max(abs(high), abs(centre)):
        return high
    from scipy.optimize import brentq

    def beyond(place: float) -> float:
        return _tilted(y, high + math.exp(place))[1] - quantile

    # Where the values are not skewed, the quantile is about here.
    low = top = math.log(max(math.sqrt(len(y)) * float(y.std()) / quantile - reach, reach / len(y)))
    step = 0.5
    while beyond(low) < 0:
        low, step = low - step, 2 * step
    step = 0.5
    while beyond(top) > 0:
        top, step = top + step, 2 * step
    return _tilted(y, high + math.exp(float(brentq(beyond, low, top, xtol=1e-4))))[0]


def _tilted(y: Floats, beyond: float) -> tuple[float, float]:
    """The mean with weights of 1 / (beyond - y), and the normal quantile of its probability under random weights.

    A random weight is exponential before all are made to sum to 1, so that a weighted mean below t is a sum of (y - t) times
    exponential values below 0. Its tilted distribution has these weights, of which the saddlepoint follows without a search.
    """
    gap = beyond - y
    weight = 1 / gap
    t = float(weight @ y / weight.sum())
    ratio = (beyond - t) * weight
    # K at the saddlepoint, and the saddlepoint times the root of the second derivative there.
    root = math.sqrt(max(-2 * float(np.log(ratio).sum()), 1e-300))
    standard = math.sqrt(float((((y - t) * weight) ** 2).sum()))
    return t, root + math.log(max(standard, 1e-300) / root) / root


def bounded_mean(
    values: ArrayLike, low: float, high: float, *, clusters: ArrayLike | None = None, confidence: float = 0.95
) -> Estimate:
    """Mean of values between two bounds, with an interval that allows for values that were not seen (`bounded_ends`).

    Parameters
    ----------
    values : array_like, shape [n]
        One number per question. Values that are not finite do not enter, and are counted in `undefined`.
    low, high : float
        The smallest and largest value that a question may have.
    clusters : array_like, shape [n], optional
        The task of each question, where tasks are sampled. The interval then contains both that of sampled tasks and that of
        sampled questions.
    confidence : float

    Returns
    -------
    Estimate
        `se` and `df` are those of `mean`.

    Examples
    --------
    >>> few = bounded_mean([0.01, 0.02, 0.03, 0.02], 0.0, 8.0)
    >>> few.method, round(few.ci_low, 3), round(few.ci_high, 1)
    ('bounded', 0.007, 4.8)
    """
    x = np.asarray(values, dtype=np.float64)
    found = mean(x, clusters=clusters, confidence=confidence)
    if found.ci_low is None or found.ci_high is None:
        return found
    ends = bounded_ends(x[np.isfinite(x)], low, high, confidence)
    kept = tuple(caveat for caveat in found.warnings if caveat not in _MENDED)
    if clusters is not None:
        ends = (min(ends[0], found.ci_low), max(ends[1], found.ci_high))
    return replace(found, ci_low=max(ends[0], low), ci_high=min(ends[1], high), method="bounded", warnings=kept)


def bounded_root_mean_square(values: ArrayLike, low: float, high: float, **how: Any) -> Estimate:
    """Root of the mean square of values between two bounds, with the interval of `bounded_mean` carried through the root.

    Examples
    --------
    >>> found = bounded_root_mean_square([0.01, -0.02, 0.03, 0.02], -1.0, 1.0)
    >>> round(found.value, 4), round(found.ci_high, 2)
    (0.0212, 0.78)
    """
    x = np.asarray(values, dtype=np.float64)
    return root_of(bounded_mean(x**2, 0.0, max(low**2, high**2), **how))


def bounded_macro_mean(
    values: ArrayLike, groups: ArrayLike, low: float, high: float, *, fixed: bool = False, confidence: float = 0.95
) -> Estimate:
    """Mean of the groups' means, each with the same weight, with an interval as that of `bounded_mean`.

    Parameters
    ----------
    values, groups : array_like, shape [n]
        One number per question, and its task. Values that are not finite do not enter.
    low, high : float
        The smallest and largest value that a question may have.
    fixed : bool
        Whether the groups are fixed and only their questions sampled.
    confidence : float

    Returns
    -------
    Estimate
        `n` counts groups. The interval contains that of `macro_mean`.

    Examples
    --------
    >>> found = bounded_macro_mean([0.1, 0.2, 0.1, 0.1, 0.2, 0.3], [0, 0, 0, 0, 1, 1], 0.0, 1.0, fixed=True)
    >>> round(found.value, 4), found.n, found.method
    (0.1875, 2, 'bounded')
    """
    x = np.asarray(values, dtype=np.float64)
    found = macro_mean(x, groups, fixed=fixed, confidence=confidence)
    if found.ci_low is None or found.ci_high is None:
        return found
    finite = np.isfinite(x)
    group = np.unique(np.asarray(groups)[finite], return_inverse=True)[1].reshape(-1)
    counts = np.bincount(group)
    # So weighted, the plain mean is the macro mean; a question of the smallest group may move it most.
    weight = finite.sum() / len(counts) / counts
    least, most = (end * float(weight.max()) for end in (min(low, 0.0), max(high, 0.0)))
    ends = bounded_ends(x[finite] * weight[group], least, most, confidence)
    kept = tuple(caveat for caveat in found.warnings if caveat not in _MENDED)
    return replace(
        found,
        ci_low=max(min(ends[0], found.ci_low), low),
        ci_high=min(max(ends[1], found.ci_high), high),
        method="bounded",
        warnings=kept,
    )


def doubted(estimate: Estimate, low: float, high: float, confidence: float = 0.95) -> Estimate:
    """A mean with the caveat "rare", where unseen values up to the bounds could move it by more than its interval is long.

    Parameters
    ----------
    estimate : Estimate
        A mean over questions.
    low, high : float
        The smallest and largest value that a question may have.
    confidence : float
        That so large a share of the questions would have been seen: 3.7 / n at 97.5 %.

    Examples
    --------
    >>> doubted(mean([0.01, -0.01, 0.02, -0.02] * 10), -1.0, 1.0).warnings
    ('rare',)
    >>> doubted(mean([0.5, -0.5, 0.2, -0.2] * 10), -1.0, 1.0).warnings
    ()
    """
    if estimate.value is None or estimate.ci_low is None or estimate.ci_high is None:
        return estimate
    unseen = 1 - ((1 - confidence) / 2) ** (1 / estimate.n)
    moved = unseen * max(high - estimate.value, estimate.value - low)
    if moved <= estimate.ci_high - estimate.ci_low:
        return estimate
    return replace(estimate, warnings=(*estimate.warnings, "rare"))


def trimmed_mean(
    values: ArrayLike, *, share: float = TRIMMED, clusters: ArrayLike | None = None, confidence: float = 0.95
) -> Estimate:
    """Mean without the smallest and the largest values, with Yuen's t interval.

    It estimates the mean of the middle of the distribution, on which rare values have no influence; of skewed values that is
    less than their mean.

    Parameters
    ----------
    values : array_like, shape [n]
        One number per question. Values that are not finite do not enter, and are counted in `undefined`.
    share : float
        What is left out at each end: that share of the values, rounded down to whole ones.
    clusters : array_like, shape [n], optional
        The task of each question, where tasks are sampled; the variance is then CR3 (`mean`) of the winsorised values.
    confidence : float

    Returns
    -------
    Estimate
        `n` counts all values. No interval for fewer than 5.

    References
    ----------
    Yuen (1974), The two-sample trimmed t for unequal population variances. Biometrika 61, 165-170. Wilcox (2012),
    Introduction to Robust Estimation and Hypothesis Testing, section 4.3.

    Examples
    --------
    >>> found = trimmed_mean([1.0, 2.0, 3.0, 4.0, 100.0])
    >>> found.value, round(found.se, 6)
    (3.0, 0.745356)
    """
    x = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(x)
    undefined = int((~finite).sum())
    x = x[finite]
    n = len(x)
    unit: Unit = "question" if clusters is None else "cluster"
    if not n:
        return without_interval(None, 0, "no values", undefined=undefined, statistic="trimmed mean", unit=unit)
    out = int(share * n)
    ordered = np.sort(x)
    value = float(ordered[out : n - out].mean())
    if n < _FEWEST:
        return without_interval(value, n, "too few", undefined=undefined, statistic="trimmed mean", unit=unit)
    # The variance of the winsorised values, of which those left out are the nearest that is not.
    winsorised = x.clip(ordered[out], ordered[n - out - 1]) / (1 - 2 * share)
    spread = mean(winsorised, clusters=None if clusters is None else np.asarray(clusters)[finite])
    if spread.se is None or spread.df is None:
        return replace(spread, value=value, undefined=undefined, statistic="trimmed mean")
    df = float(n - 2 * out - 1) if clusters is None else spread.df
    low, high = t_interval(value, spread.se, df, confidence)
    constant = tuple(caveat for caveat in spread.warnings if caveat == "constant")
    return Estimate(value, spread.se, low, high, n, df, undefined, "trimmed mean", unit, "trimmed", constant)
