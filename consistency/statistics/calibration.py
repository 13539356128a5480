"""The expected calibration error without its bias, with an interval: confidences and answers in, estimates out.

What is estimated is that of all questions like these, over the same bins: Σ |m_b|, where m_b is the mean of confidence
minus correctness over all questions, counted as 0 outside bin b. Its plug-in (Guo et al. 2017) puts the gaps |g_b| of the
sample in place of |m_b|. Noise makes an absolute value larger, never smaller, in the mean by the folded normal
distribution's μ_b(m) - |m|, at most σ_b √(2/π): with 100 questions a calibrated model has a plug-in of .12.

The estimate subtracts that, at gaps that are shrunk to what the noise allows. The interval assumes nothing of the gaps:

- Its lower end is the larger of two, each with half the error. The absolute mean gap, which is at most the error: no
  absolute values of noise. And the plug-in minus the largest bias that the gaps allow within their own 99.6 % intervals.
- Its upper end is the largest error whose smallest expected plug-in is within the sampling error of the observed one. The
  expectation is smallest where the gaps are in proportion to their standard errors.
- Standard errors of the bins are those of the answers, or of a calibrated model if larger: of 80 right answers in a bin it
  does not follow that the next must be right.

So it covers 95 % or more: near 0, and where some bins have gaps and others do not, more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from consistency.metrics.answers import CALIBRATION_BINS, calibration_bins
from consistency.statistics.absolute_means import folded
from consistency.statistics.estimates import Estimate, Unit, without_interval
from consistency.statistics.sampling import numbered
from consistency.support.arrays import Bools, Floats, Integers

STATISTIC = "expected calibration error"
# Of an interval's error, what may go to bins whose gaps are outside their own intervals.
_OF_GAPS = 0.004
_FOLD = math.sqrt(2 / math.pi)
# By whether whole tasks and whether clusters of questions were sampled.
_UNITS: dict[tuple[bool, bool], Unit] = {
    (False, False): "question",
    (True, False): "cluster",
    (False, True): "question cluster",
    (True, True): "both",
}


@dataclass(frozen=True)
class CalibrationError:
    """The expected calibration error of one run.

    Attributes
    ----------
    estimate : Estimate
        Without bias, with its interval.
    plug_in : float or None
        That of Guo et al. (2017), biased upwards; None where no question has both numbers.
    """

    estimate: Estimate
    plug_in: float | None


@dataclass(frozen=True)
class CalibrationChange:
    """The expected calibration errors of two runs over the same questions, and their difference."""

    before: CalibrationError
    after: CalibrationError
    delta: Estimate


@dataclass(frozen=True, eq=False)
class _Variances:
    """Variances of the bins' gaps: of their sum, of their sum with their signs, and over clusters of each.

    `df` are the degrees of freedom; infinite over questions.
    """

    total: float
    signed: float
    bins: Floats | None = None
    df: float = math.inf


@dataclass(frozen=True, eq=False)
class _Gaps:
    """Sums over the questions of each bin that has any, and the variances of its gaps.

    Attributes
    ----------
    gap : ndarray, shape [b]
        Sum of confidence minus correctness, over the number of all questions.
    variances : _Variances
        Of the gaps, from the questions' or the clusters' sums.
    count, confident, right : ndarray, shape [b]
        Questions of each bin, and sums of their confidence and correctness.
    towards : ndarray, shape [n]
        Of each question, confidence minus correctness with the sign of its bin's gap; NaN where either is not known.
    unit : str
        What was sampled.
    """

    gap: Floats
    variances: _Variances
    count: Floats
    confident: Floats
    right: Floats
    towards: Floats
    unit: Unit

    @property
    def n(self) -> int:
        return int(self.count.sum())


def calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    *,
    tasks: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    bins: int = CALIBRATION_BINS,
    confidence_level: float = 0.95,
) -> CalibrationError:
    """The expected calibration error, without bias and as the plug-in.

    Parameters
    ----------
    confidence, correct : array_like, shape [n]
        Probability of the chosen option; 1 where it is right, else 0. Questions with NaN in either do not count.
    tasks, clusters : array_like, shape [n], optional
        Whole tasks, clusters of questions, or both, where they were sampled: the gaps' variances are then those of their sums.
    bins : int
        Number of bins of [0, 1].
    confidence_level : float
        Of the interval.

    Examples
    --------
    >>> confidence = np.linspace(0.3, 0.99, 100)
    >>> found = calibration_error(confidence, (np.arange(100) * 0.618 % 1 < confidence) * 1.0)
    >>> round(found.plug_in, 3), round(found.estimate.value, 3), found.estimate.ci_low
    (0.035, 0.0, 0.0)
    """
    return _error_of(_gaps(confidence, correct, tasks, clusters, bins), 1 - confidence_level)


def calibration_change(
    before: tuple[ArrayLike, ArrayLike],
    after: tuple[ArrayLike, ArrayLike],
    *,
    tasks: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    bins: int = CALIBRATION_BINS,
) -> CalibrationChange:
    """The expected calibration errors of two runs over the same questions, and the change.

    The interval of the change is made of the ends of both (MOVER; Zou and Donner 2008), with the correlation of the two
    runs' gaps over the questions. Where a run's error may be 0, its estimate is still positive, and the end itself counts.

    Parameters
    ----------
    before, after : tuple of array_like, shape [n]
        Confidence and correctness as in `calibration_error`.
    tasks, clusters : array_like, shape [n], optional
        As in `calibration_error`.
    bins : int

    Examples
    --------
    >>> confidence = np.linspace(0.5, 0.99, 400)
    >>> right = (np.arange(400) * 0.618 % 1 < confidence - 0.2) * 1.0
    >>> change = calibration_change((confidence - 0.2, right), (confidence, right))
    >>> round(change.delta.value, 2), change.delta.ci_low > 0.1
    (0.2, True)
    """
    sides = [_gaps(*side, tasks, clusters, bins) for side in (before, after)]
    first, second = (_error_of(gaps, 0.05) for gaps in sides)
    one, two = first.estimate, second.estimate
    if one.value is None or two.value is None:
        return CalibrationChange(first, second, without_interval(None, 0, "no values", statistic="difference"))
    value, n = two.value - one.value, min(one.n, two.n)
    if one.ci_low is None or one.ci_high is None or two.ci_low is None or two.ci_high is None:
        return CalibrationChange(first, second, without_interval(value, n, "missing group", statistic="difference"))
    alike = _correlation(sides[0].towards, sides[1].towards, clusters if tasks is None else tasks)

    def reach(rising: float, falling: float, low: float) -> float:
        if low == 0:
            return rising + falling
        return math.sqrt(max(rising**2 + falling**2 - 2 * alike * rising * falling, 0.0))

    delta = Estimate(
        value,
        None,
        max(value - reach(two.value - two.ci_low, one.ci_high - one.value, two.ci_low), -1.0),
        min(value + reach(two.ci_high - two.value, one.value - one.ci_low, one.ci_low), 1.0),
        n,
        undefined=max(one.undefined, two.undefined),
        statistic="difference",
        unit=one.unit,
        method="mover",
    )
    return CalibrationChange(first, second, delta)


def _error_of(gaps: _Gaps, error: float) -> CalibrationError:
    plug_in, undefined = float(np.abs(gaps.gap).sum()), len(gaps.towards) - gaps.n
    unit = gaps.unit
    if not gaps.n:
        found = without_interval(None, 0, "no values", undefined=undefined, statistic=STATISTIC, unit=unit)
        return CalibrationError(found, None)
    errors, variance = _bin_errors(gaps), _of_total(gaps)
    value = _without_bias(gaps, plug_in, errors, variance)
    if gaps.variances.df <= 0:
        found = without_interval(value, gaps.n, "too few", undefined=undefined, statistic=STATISTIC, unit=unit)
        return CalibrationError(found, plug_in)
    low, high, se = _interval(gaps, plug_in, errors, variance, error)
    df = None if math.isinf(gaps.variances.df) else gaps.variances.df
    found = Estimate(min(max(value, low), high), se, low, high, gaps.n, df, undefined, STATISTIC, unit, "gaps")
    return CalibrationError(found, plug_in)


def _gaps(
    confidence: ArrayLike, correct: ArrayLike, tasks: ArrayLike | None, clusters: ArrayLike | None, bins: int
) -> _Gaps:
    c, y = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    gap = c - y
    known = np.isfinite(gap)
    all_known = bool(known.all())
    if not all_known:
        c, y, gap = c[known], y[known], gap[known]
    which, n = calibration_bins(c, bins), len(c)
    counts = np.bincount(which, minlength=bins)
    used = counts > 0
    sums = np.bincount(which, weights=gap, minlength=bins)
    mean, signs = sums[used] / max(n, 1), np.sign(sums)
    square = float((gap * gap).sum()) / max(n, 1)
    variances = _Variances(
        total=(square - float(mean.sum()) ** 2) / max(n, 1),
        signed=(square - float(np.abs(mean).sum()) ** 2) / max(n, 1),
    )
    sampled = [numbered(np.asarray(labels)[known]) for labels in (tasks, clusters) if labels is not None]
    if sampled and n:
        found = [_over_clusters(gap, which, labels, used, mean) for labels in sampled]
        variances = found[0]
        if len(found) == 2:
            cells = np.unique(np.stack(sampled), axis=1, return_inverse=True)[1].reshape(-1)
            variances = _crossed(found[0], found[1], _over_clusters(gap, which, cells, used, mean))
    towards = gap * signs[which]
    if not all_known:
        towards, placed = np.full(len(known), np.nan), towards
        towards[known] = placed
    confident = np.bincount(which, weights=c, minlength=bins)[used]
    right = np.bincount(which, weights=y, minlength=bins)[used]
    return _Gaps(
        gap=mean,
        variances=variances,
        count=counts[used].astype(np.float64),
        confident=confident.astype(np.float64),
        right=right.astype(np.float64),
        towards=towards,
        unit=_UNITS[tasks is not None, clusters is not None],
    )


def _over_clusters(gap: Floats, which: Integers, labels: Integers, used: Bools, mean: Floats) -> _Variances:
    """Variances from the sums of whole clusters: CR3 as in `consistency.statistics.sampling.over_clusters`."""
    sizes = np.bincount(labels).astype(np.float64)
    groups, n, bins = len(sizes), len(gap), len(used)
    if groups < 2:
        return _Variances(0.0, 0.0, np.zeros(len(mean)), 0.0)
    sums = np.bincount(labels * bins + which, weights=gap, minlength=groups * bins).reshape(groups, bins)[:, used]
    share = sizes / n
    off = (sums - sizes[:, None] * mean) / (1 - share)[:, None]
    scale = (groups - 1) / groups / n**2
    return _Variances(
        total=scale * float((off.sum(axis=1) ** 2).sum()),
        signed=scale * float(((off * np.sign(mean)).sum(axis=1) ** 2).sum()),
        bins=scale * (off**2).sum(axis=0),
        df=1 / float((share**2).sum()) - 1,
    )


def _crossed(one: _Variances, two: _Variances, both: _Variances) -> _Variances:
    """Variances over two kinds of clusters that cross each other: the sum less that of their cells, not less than either."""
    bins = [np.zeros(0) if each.bins is None else each.bins for each in (one, two, both)]
    return _Variances(
        total=max(one.total + two.total - both.total, one.total, two.total),
        signed=max(one.signed + two.signed - both.signed, one.signed, two.signed),
        bins=np.maximum(np.maximum(bins[0] + bins[1] - bins[2], bins[0]), bins[1]),
        df=min(one.df, two.df),
    )


def _bin_errors(gaps: _Gaps) -> Floats:
    """Standard error of each bin's gap: of its answers, of a calibrated model, or of its clusters, the largest."""
    calibrated = gaps.confident * (1 - gaps.confident / gaps.count)
    found = np.maximum(calibrated, _smoothed(gaps)) / gaps.n**2
    if gaps.variances.bins is not None:
        found = np.maximum(found, gaps.variances.bins)
    return np.asarray(np.sqrt(found))


def _smoothed(gaps: _Gaps) -> Floats:
    """Variance of each bin's number of right answers, one right and one wrong answer added (Laplace)."""
    share = (gaps.right + 1) / (gaps.count + 2)
    return gaps.count * share * (1 - share)


def _of_total(gaps: _Gaps) -> float:
    """Variance of the mean gap over all bins: of the answers, or of a calibrated model, the larger."""
    calibrated = float((gaps.confident * (1 - gaps.confident / gaps.count)).sum()) / gaps.n**2
    return max(gaps.variances.total, calibrated)


def _without_bias(gaps: _Gaps, plug_in: float, errors: Floats, variance: float) -> float:
    """The plug-in minus its bias at gaps that are shrunk towards one gap of all questions, and that towards 0."""
    total = float(gaps.gap.sum())
    common = total * max(0.0, 1 - variance / total**2) if total else 0.0
    expected = common * gaps.count / gaps.n
    rest = gaps.gap - expected
    spread = float(((rest / errors) ** 2).sum())
    kept = max(0.0, 1 - len(rest) / spread) if spread > 0 else 0.0
    size = np.abs(expected + kept * rest)
    return max(plug_in - float((folded(size, errors) - size).sum()), 0.0)


def _interval(gaps: _Gaps, plug_in: float, errors: Floats, variance: float, error: float) -> tuple[float, float, float]:
    """The ends of the interval, and the standard error of the sum of the gaps with their signs."""
    of_mean = abs(float(gaps.gap.sum())) - _quantile(error / 4, gaps.variances.df) * math.sqrt(variance)
    of_gaps = _OF_GAPS * error / 0.05
    least = np.maximum(np.abs(gaps.gap) - _quantile(of_gaps / 2 / len(errors), gaps.variances.df) * errors, 0.0)
    bias = float((folded(least, errors) - least).sum())
    spread = math.sqrt(max(float((errors**2).sum()), gaps.variances.signed))
    of_sum = plug_in - bias - _quantile(error / 4 - of_gaps / 2, gaps.variances.df) * spread
    # Questions vary within their bins, and fall into other bins.
    smoothed = float(_smoothed(gaps).sum()) / gaps.n + float((gaps.gap**2 * gaps.n / gaps.count).sum()) - plug_in**2
    se = math.sqrt(max(gaps.variances.signed, smoothed / gaps.n))
    reach = _quantile(error / 2, gaps.variances.df) * se
    total = float(errors.sum())
    high = max(total * _unfolded((plug_in + reach) / total), reach)
    return min(max(of_mean, of_sum, 0.0), 1.0), min(high, 1.0), se


@lru_cache(maxsize=256)
def _quantile(tail: float, df: float) -> float:
    """The upper quantile of Student's distribution, or of a normal one where the degrees of freedom are infinite."""
    from scipy.special import ndtri, stdtrit

    return float(-ndtri(tail) if math.isinf(df) else -stdtrit(df, tail))


def _unfolded(mean: float) -> float:
    """The m for which |m + Z|, Z standard normal, has this mean; 0 where even m = 0 has a larger one."""
    if mean <= _FOLD:
        return 0.0
    # Newton's method: the mean is convex in m, at least m, and near 0 about _FOLD (1 + m²/2).
    m = min(mean, math.sqrt(2 * (mean / _FOLD - 1)))
    for _ in range(60):
        slope = math.erf(m / math.sqrt(2))
        excess = _FOLD * math.exp(-m * m / 2) + m * slope - mean
        if slope <= 0 or abs(excess) < 1e-13:
            break
        m -= excess / slope
    return max(m, 0.0)


def _correlation(first: Floats, second: Floats, clusters: ArrayLike | None) -> float:
    """Correlation of two runs' numbers over the questions that both have, or over the clusters' sums; not below 0."""
    both = np.isfinite(first + second)
    x, y = first[both], second[both]
    if len(x) < 2:
        return 0.0
    x, y = x - x.mean(), y - y.mean()
    if clusters is not None:
        labels = numbered(np.asarray(clusters)[both])
        x, y = np.bincount(labels, weights=x), np.bincount(labels, weights=y)
    # Products of long arrays by @ start threads.
    scale = math.sqrt(float((x * x).sum()) * float((y * y).sum()))
    return max(float((x * y).sum()) / scale, 0.0) if scale > 0 else 0.0
