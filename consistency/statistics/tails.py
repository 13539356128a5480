"""Means of values whose largest may not have been seen, and means that do not depend on them.

No interval for a mean can be right for every distribution: a sample without a rare, large value looks as if there were none
(Bahadur and Savage 1956). It can be right where it is known how large a value may be.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.estimates import Caveat, Estimate, without_interval
from consistency.statistics.intervals import t_interval
from consistency.statistics.means import FEW, MOST_VALUES, TOO_LARGE, centre, mean, means
from consistency.statistics.sampling import numbered
from consistency.statistics.task_means import macro_mean
from consistency.support.arrays import Bools, Floats, Integers

# The share that a trimmed mean leaves out at each end (Wilcox 2012).
TRIMMED = 0.2
_FEWEST = 5
_ROUNDING = 1e-9
_FAR = 1e100
# Of the search for an end: its steps, and how near the normal quantile has to come.
_STEPS = 60
_NEAR = 1e-4
# What a bounded interval needs not say: it holds whatever the values are.
MENDED = ("constant", "uneven", "skewed")


def bounded_ends(values: ArrayLike, low: ArrayLike, high: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """The intervals of means of values between two bounds, right whatever the values' distribution between them is.

    The upper end is the quantile of the sample's mean with one further value, the upper bound, under random weights that
    are uniform over all that sum to 1 (a Dirichlet distribution); the lower end likewise. So it reaches as far as unseen
    values up to the bound could move the mean: without any spread, as far as Clopper and Pearson's interval of a count of 0.

    Parameters
    ----------
    values : array_like, shape [m, n]
        A sample a row, between its bounds. Values that are not finite do not enter.
    low, high : array_like, shape [m]
        The smallest and largest possible value of each row.
    confidence : float

    Returns
    -------
    tuple of ndarray, shape [m]
        The intervals' lower and upper ends; NaN for a row without values.

    Raises
    ------
    ValueError
        If a value lies outside its bounds.

    References
    ----------
    Gaffke (2005), Three test statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable.
    Mathematical Methods of Statistics 14, 451-467. Learned-Miller and Thomas (2019), A new confidence interval for the mean
    of a bounded random variable, arXiv:1905.06208. The quantile is by Lugannani and Rice's (1980) saddlepoint approximation
    in the form of Barndorff-Nielsen (1986).

    Examples
    --------
    >>> low, high = bounded_ends([[0.0] * 10], [0.0], [1.0])
    >>> abs(low.item()), round(high.item(), 2), round(1 - 0.025 ** (1 / 10), 2)
    (0.0, 0.31, 0.31)
    """
    x = np.atleast_2d(np.asarray(values, dtype=np.float64))
    known = np.isfinite(x)
    least, most = (np.broadcast_to(np.asarray(end, dtype=np.float64), len(x)) for end in (low, high))
    smallest, largest = (
        pick(x, axis=1, where=True if known.all() else known, initial=far)
        for pick, far in ((np.min, math.inf), (np.max, -math.inf))
    )
    rounding = _ROUNDING * np.maximum(np.abs(least), np.abs(most))
    if (smallest < least - rounding).any() or (largest > most + rounding).any():
        raise ValueError("a value lies outside its bounds")
    from scipy.special import ndtri

    quantile = float(ndtri((1 + confidence) / 2))
    # A lower end is the upper one of the values with the other sign: both are searched at once.
    least, most = np.minimum(smallest, least), np.maximum(largest, most)
    ends = _upper_ends(np.concatenate([-x, x]), np.tile(known, (2, 1)), np.concatenate([-least, most]), quantile)
    ends[~np.tile(known.any(axis=1), 2)] = math.nan
    return -ends[: len(x)], ends[len(x) :]


def _upper_ends(x: Floats, known: Bools, high: Floats, quantile: float) -> Floats:
    """The upper end of each row, of a standard normal quantile.

    A random weight is exponential before all are made to sum to 1, so that the weighted mean is above t where a sum of
    (value - t) times exponential values is above 0. At its saddlepoint the values weigh 1 / (c - value), for a c beyond the
    bound, from which t and the probability follow: it is the distance of c from the bound that is searched.
    """
    n = known.sum(axis=1) + 1.0
    entering: Bools | bool = True if known.all() else known  # without a mask numpy is several times as fast
    values = x if entering is True else np.where(known, x, 0.0)
    centre = (values.sum(axis=1) + high) / n
    spread = np.sqrt(((values - centre[:, None]) ** 2).sum(axis=1, where=entering) / n)
    reach = high - centre
    from scipy.special import log_ndtr

    # Without a distance to the bound there is nothing to search.
    open_ = reach > 1e-12 * np.maximum(np.abs(high), np.abs(centre))
    reach = np.where(open_, reach, 1.0)
    below = high[:, None] - values if entering is True else np.where(known, high[:, None] - values, math.inf)
    # Many values fill more memory than their log did: from here on they take three arrays, overwritten at each step.
    del x, values
    gap, weight = np.empty_like(below), np.empty_like(below)
    # About where the quantile is if the values are not skewed, and if the bound is all that matters.
    place = np.log(np.maximum(np.sqrt(n) * spread / quantile - reach, reach / max(-log_ndtr(-quantile) - 1, 1.0)))
    t = high
    for _ in range(_STEPS):
        distance = np.exp(place)
        np.add(below, distance[:, None], out=gap)
        np.divide(1, gap, out=weight)
        total = weight.sum(axis=1) + 1 / distance
        squares = np.multiply(weight, weight, out=weight).sum(axis=1) + 1 / distance**2
        if entering is not True:
            weight.fill(0.0)
        logs = np.log(gap, where=entering, out=weight).sum(axis=1) + place
        t = high + distance - n / total
        root = np.sqrt(np.maximum(2 * (logs - n * np.log(n / total)), 1e-30))
        standard = np.sqrt(np.maximum((n / total) ** 2 * squares - n, 1e-30))
        found = root + np.log(standard / root) / root
        missing = np.log(np.maximum(found, 0.05 * quantile) / quantile)
        near = ~open_ | (np.abs(missing) < _NEAR)
        if near.all():
            break
        # Newton's step, of logarithms: the root's derivative by the place is total / root times that of t.
        slope = total / root**2 * (1 - n * squares / total**2) * distance
        place = np.where(near, place, place - np.clip(missing / np.minimum(slope, -1e-3), -2.0, 2.0))
    return np.where(open_, t, high)


def bounded_means(
    samples: Sequence[Floats],
    bounds: Sequence[tuple[float, float]],
    *,
    strata: ArrayLike | None = None,
    tasks: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> list[Estimate]:
    """Means of values between two bounds, with intervals that allow for values that were not seen (`bounded_ends`).

    Parameters
    ----------
    samples : sequence of ndarray, shape [n]
        Several measures of the same questions. Values that are not finite do not enter, and are counted in `undefined`.
    bounds : sequence of tuple of float
        The smallest and largest value that a question may have, of each measure.
    strata, tasks, clusters : array_like, shape [n], optional
        What was sampled, as in `mean`. The interval then contains both that of `mean` and that of sampled questions.
    confidence : float

    Returns
    -------
    list of Estimate
        `se` and `df` are those of `mean`.

    Examples
    --------
    >>> (few,) = bounded_means([np.array([0.01, 0.02, 0.03, 0.02])], [(0.0, 8.0)])
    >>> few.method, round(few.ci_low, 3), round(few.ci_high, 1)
    ('bounded', 0.007, 4.8)
    """
    labelled = strata is not None or tasks is not None or clusters is not None
    found = (
        [mean(x, strata=strata, tasks=tasks, clusters=clusters, confidence=confidence) for x in samples]
        if labelled
        else means(samples, confidence)
    )
    if clusters is not None:
        summed = [_over_clusters(x, ends, numbered(clusters)) for x, ends in zip(samples, bounds, strict=True)]
        totals, reach = [total for total, _ in summed], [ends for _, ends in summed]
        return _allowing(found, totals, reach, bounds, confidence, contained=True)
    return _allowing(found, samples, bounds, bounds, confidence, contained=labelled)


def _over_clusters(x: Floats, bounds: tuple[float, float], clusters: Integers) -> tuple[Floats, tuple[float, float]]:
    """One number for each cluster, with the same mean as the questions', and the bounds of these numbers."""
    finite = np.isfinite(x)
    sizes = np.bincount(clusters[finite], minlength=int(clusters.max()) + 1)
    weight = np.count_nonzero(sizes) / max(int(finite.sum()), 1)
    totals = np.bincount(clusters[finite], weights=x[finite], minlength=len(sizes)) * weight
    most = float(sizes.max(initial=1)) * weight
    return np.where(sizes > 0, totals, np.nan), (min(bounds[0], 0.0) * most, max(bounds[1], 0.0) * most)


def bounded_macro_means(
    samples: Sequence[Floats],
    bounds: Sequence[tuple[float, float]],
    tasks: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> list[Estimate]:
    """Means of the tasks' means, each task with the same weight, with intervals as those of `bounded_means`.

    Parameters
    ----------
    samples, bounds
        As `bounded_means` takes them.
    tasks : array_like, shape [n]
        The task of each question.
    strata, clusters : array_like, shape [n], optional
        As `macro_mean` takes them.
    confidence : float

    Returns
    -------
    list of Estimate
        `n` counts tasks. The interval contains that of `macro_mean`.

    Examples
    --------
    >>> (found,) = bounded_macro_means([np.array([0.1, 0.2, 0.1, 0.1, 0.2, 0.3])], [(0.0, 1.0)], [0, 0, 0, 0, 1, 1])
    >>> round(found.value, 4), found.n, found.method
    (0.1875, 2, 'bounded')
    """
    group = numbered(np.asarray(tasks))
    found, weighted, wide = [], [], []
    for x, (low, high) in zip(samples, bounds, strict=True):
        found.append(macro_mean(x, group, strata=strata, clusters=clusters, confidence=confidence))
        finite = np.isfinite(x)
        counts = np.bincount(group[finite], minlength=int(group[-1:].max(initial=0)) + 1)
        # So weighted, the plain mean is the macro mean; a question of the smallest task may move it most.
        weight = finite.sum() / max(np.count_nonzero(counts), 1) / np.maximum(counts, 1)
        most = float(weight[counts > 0].max(initial=1.0))
        weighted.append(np.where(finite, x, 0.0) * np.where(finite, weight[group], math.nan))
        wide.append((min(low, 0.0) * most, max(high, 0.0) * most))
    return _allowing(found, weighted, wide, bounds, confidence, contained=True)


def _allowing(
    found: Sequence[Estimate],
    samples: Sequence[Floats],
    reach: Sequence[tuple[float, float]],
    bounds: Sequence[tuple[float, float]],
    confidence: float,
    *,
    contained: bool,
) -> list[Estimate]:
    """The estimates with intervals that allow for unseen values within their reach; `contained`: beside their own."""
    estimates = list(found)
    # Without a bound that numbers can be made with, an interval stays what it is.
    rows = [
        row
        for row, (item, ends) in enumerate(zip(found, reach, strict=True))
        if item.ci_low is not None and max(map(abs, ends)) < _FAR
    ]
    if not rows:
        return estimates
    most = max(1, MOST_VALUES // max(len(samples[rows[0]]), 1))
    ends: list[tuple[float, float]] = []
    for part in (rows[start : start + most] for start in range(0, len(rows), most)):
        lower, upper = bounded_ends(
            np.stack([samples[row] for row in part]),
            np.array([reach[row][0] for row in part]),
            np.array([reach[row][1] for row in part]),
            confidence,
        )
        ends += zip(lower.tolist(), upper.tolist(), strict=True)
    for row, (low, high) in zip(rows, ends, strict=True):
        item = found[row]
        if contained and item.ci_low is not None and item.ci_high is not None:
            low, high = min(low, item.ci_low), max(high, item.ci_high)
        kept = tuple(caveat for caveat in item.warnings if caveat not in MENDED)
        cut = max(low, bounds[row][0]), min(high, bounds[row][1])
        estimates[row] = replace(item, ci_low=cut[0], ci_high=cut[1], method="bounded", warnings=kept)
    return estimates


def doubted(estimate: Estimate, low: float, high: float) -> Estimate:
    """A mean with the caveat "rare", where unseen values up to the bounds could move it by more than its interval is long.

    Parameters
    ----------
    estimate : Estimate
        A mean over questions.
    low, high : float
        The smallest and largest value that a question may have.

    Examples
    --------
    >>> doubted(mean([0.01, -0.01, 0.02, -0.02] * 10), -1.0, 1.0).warnings
    ('rare',)
    >>> doubted(mean([0.5, -0.5, 0.2, -0.2] * 10), -1.0, 1.0).warnings
    ()
    """
    if estimate.value is None or estimate.ci_low is None or estimate.ci_high is None:
        return estimate
    moved = _unseen(estimate.n, 0.95) * max(high - estimate.value, estimate.value - low)
    if moved <= estimate.ci_high - estimate.ci_low:
        return estimate
    return replace(estimate, warnings=(*estimate.warnings, "rare"))


def allowing_unseen(estimate: Estimate, low: float, high: float, confidence: float = 0.95) -> Estimate:
    """A mean with the caveat "rare" without it, its interval longer by what unseen values up to the bounds could move it.

    Parameters
    ----------
    estimate : Estimate
        As `doubted` returns it, its interval of this confidence; another is returned as it is.
    low, high : float
        The smallest and largest value that a question may have.
    confidence : float

    Examples
    --------
    >>> found = allowing_unseen(doubted(mean([0.01, -0.01, 0.02, -0.02] * 10), -1.0, 1.0), -1.0, 1.0)
    >>> round(found.ci_low, 3), round(found.ci_high, 3), found.warnings
    (-0.093, 0.093, ())
    """
    if "rare" not in estimate.warnings or estimate.value is None or estimate.ci_low is None or estimate.ci_high is None:
        return estimate
    unseen = _unseen(estimate.n, confidence)
    return replace(
        estimate,
        ci_low=estimate.ci_low - unseen * (estimate.value - low),
        ci_high=estimate.ci_high + unseen * (high - estimate.value),
        method="bounded",
        warnings=tuple(caveat for caveat in estimate.warnings if caveat != "rare"),
    )


def _unseen(n: int, confidence: float) -> float:
    """The largest share of questions of which n may well hold none: at 95 % in two directions 3.7 / n."""
    return 1 - float(((1 - confidence) / 2) ** (1 / n))


def trimmed_mean(
    values: ArrayLike,
    *,
    share: float = TRIMMED,
    strata: ArrayLike | None = None,
    tasks: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
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
    strata, tasks, clusters : array_like, shape [n], optional
        What was sampled, as in `mean`: the variance is then that of the mean of the winsorised values.
    confidence : float

    Returns
    -------
    Estimate
        `n` counts all values. No interval for fewer than 5; below 30 it covers a little less than 95 %, with a caveat.

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
    if not n:
        return without_interval(None, 0, "no values", undefined=undefined, statistic="trimmed mean")
    out = int(share * n)
    ordered = np.sort(x)
    value = centre(ordered[out : n - out])
    if n < _FEWEST:
        return without_interval(value, n, "too few", undefined=undefined, statistic="trimmed mean")
    if max(-ordered[out], ordered[n - out - 1]) > TOO_LARGE:
        return without_interval(value, n, "too large", undefined=undefined, statistic="trimmed mean")
    # The variance of the winsorised values, of which those left out are the nearest that is not.
    winsorised = np.full(len(finite), math.nan)
    winsorised[finite] = x.clip(ordered[out], ordered[n - out - 1]) / (1 - 2 * share)
    spread = mean(winsorised, strata=strata, tasks=tasks, clusters=clusters)
    if spread.se is None or spread.df is None:
        return replace(spread, value=value, statistic="trimmed mean")
    # Of questions one by one only those that are left tell the variance.
    df = spread.df - 2 * out if spread.unit == "question" else spread.df
    low, high = t_interval(value, spread.se, df, confidence)
    kept: tuple[Caveat, ...] = tuple(caveat for caveat in spread.warnings if caveat in ("constant", "few clusters"))
    if n < FEW:
        kept = (*kept, "few units")
    return replace(
        spread,
        value=value,
        ci_low=low,
        ci_high=high,
        df=df,
        statistic="trimmed mean",
        method="trimmed",
        warnings=kept,
    )
