"""Estimates with intervals, and tests: arrays in, frozen results out. Nothing here reads a file.

What was sampled decides the interval. Questions of one task are sampled one by one. Over several tasks there are two
questions to ask: how would the mean change with other questions in *these* tasks (``strata``: tasks are fixed), and how
with other *tasks* of the kind (``clusters``: whole tasks are sampled). Every estimate says which it answers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.statistics.skewness import skewness, t_interval, too_skewed
from consistency.support.arrays import Floats

# Values with no more distinct numbers than this are in steps, and a mean of few of them too.
STEPS = 3
FEW = 30
SKEWED = "; skewed values, it covers less than it says"
UNEVEN = "; few questions, and values in few steps: it covers more or less than it says"


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    Attributes
    ----------
    value, se, ci_low, ci_high : float or None
        None where the data do not determine it.
    n : int
        Observations that entered.
    estimator : str
        What was sampled, and how the interval was made.
    df : float or None
        Degrees of freedom of the t interval.
    undefined : int
        Observations without a finite value, which did not enter.
    """

    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    estimator: str
    df: float | None = None
    undefined: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)

    def scaled(self, factor: float) -> Estimate:
        """The estimate in other units, such as percentage points.

        Examples
        --------
        >>> mean([0.0, 1.0]).scaled(100).value
        50.0
        """

        def times(x: float | None) -> float | None:
            return None if x is None else x * factor

        ends = (times(self.ci_low), times(self.ci_high))
        low, high = ends if factor >= 0 else (ends[1], ends[0])
        se = times(self.se)
        return Estimate(
            times(self.value),
            None if se is None else abs(se),
            low,
            high,
            self.n,
            self.estimator,
            self.df,
            self.undefined,
        )


def _labels(values: Floats, labels: ArrayLike | None) -> NDArray[np.int64] | None:
    if labels is None:
        return None
    codes = np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1)
    if len(codes) != len(values):
        raise ValueError(f"expected one label per value, got {len(codes)} for {len(values)}")
    return codes.astype(np.int64)


def mean(
    values: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    variance: Literal["CR3", "CR1"] = "CR3",
    confidence: float = 0.95,
) -> Estimate:
    """Mean over questions with a t interval.

    Where fewer questions than 25 times the squared skewness have values of more than three kinds, the interval is
    corrected for skewness (`skewness.t_interval`), and `estimator` says so; of other skewed values it says what the
    interval cannot promise.

    Parameters
    ----------
    values : array_like, shape [n]
        One number per question. Values that are not finite do not enter, and are counted in `undefined`.
    strata : array_like, shape [n], optional
        The task of each question, where the tasks are fixed and only their questions are sampled. The standard error
        adds the variances within tasks.
    clusters : array_like, shape [n], optional
        The subject of each question, where subjects are sampled.
    variance : {"CR3", "CR1"}
        Of clustered means. `CR3` is the delete-one-cluster jackknife, with the effective number of clusters (Kish's
        N² / Σ n²) less one as degrees of freedom. `CR1` is Liang and Zeger's (1986) times G / (G - 1), with G - 1. They
        are one for clusters of one size; for subjects as unequal as MMLU's, CR1 intervals cover too little.
    confidence : float
        Of the interval.

    Returns
    -------
    Estimate
        `se` and the interval are None for fewer than two questions, strata of which one has a single question, or fewer
        than two clusters.

    Raises
    ------
    ValueError
        If both `strata` and `clusters` are given, their lengths differ from `values`, or the variance is unknown.

    Examples
    --------
    >>> estimate = mean([1.0, 0.0, 1.0, 1.0])
    >>> estimate.value, round(estimate.se, 6), round(estimate.ci_low, 6)
    (0.75, 0.25, -0.045612)
    """
    if strata is not None and clusters is not None:
        raise ValueError("give strata or clusters, not both: tasks are either fixed or sampled")
    if variance not in ("CR3", "CR1"):
        raise ValueError(f"expected the variance 'CR3' or 'CR1', got {variance!r}")
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"expected one value per question, got an array of shape {x.shape}")
    groups = _labels(x, strata if strata is not None else clusters)
    finite = np.isfinite(x)
    undefined = int((~finite).sum())
    x = x[finite]
    n = len(x)
    if n == 0:
        return Estimate(None, None, None, None, 0, "no question has a value", None, undefined)
    value = float(x.mean())
    if np.abs(x).max() > 1e150:
        return Estimate(value, None, None, None, n, "mean, values too large for a variance", None, undefined)
    units = x - value
    if groups is None:
        name, df = "questions", float(n - 1)
        se = float(x.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    else:
        groups = np.unique(groups[finite], return_inverse=True)[1].reshape(-1)
        if strata is not None:
            name, (se, df) = "questions within fixed tasks", _stratified(x, groups)
        else:
            name, (se, df) = f"clusters ({variance})", _clustered(units, groups, variance)
            units = np.bincount(groups, weights=units)
    if se is None:
        return Estimate(value, None, None, None, n, f"mean, too few {name} for an interval", None, undefined)
    how = f"mean over {name}, t interval"
    skew = skewness(units)
    if se == 0:
        how += "; the values do not vary, and the interval has no width for that"
    elif groups is None and len(np.unique(x)) <= STEPS:
        # Right or wrong, or flips: a smooth correction does not fit.
        how += SKEWED if too_skewed(skew, n) else ""
        how += UNEVEN if n < FEW else ""
    elif too_skewed(skew, len(units)):
        # Sums over unequal clusters differ by size too, and the correction would take that for skewness.
        if groups is None:
            low, high = t_interval(value, se, df, confidence, skew=skew, n=n)
            return Estimate(value, se, low, high, n, f"{how} corrected for skewness (Hall 1992)", df, undefined)
        how += SKEWED
    low, high = t_interval(value, se, df, confidence)
    return Estimate(value, se, low, high, n, how, df, undefined)


def _stratified(x: Floats, groups: NDArray[np.int64]) -> tuple[float | None, float]:
    counts = np.bincount(groups).astype(np.float64)
    if counts.min() < 2:
        return None, 0.0
    means = np.bincount(groups, weights=x) / counts
    within = np.bincount(groups, weights=(x - means[groups]) ** 2)
    parts = (counts / len(x)) ** 2 * within / (counts - 1) / counts
    total = float(parts.sum())
    # Satterthwaite's approximation for a sum of independent variances.
    spread = float((parts**2 / (counts - 1)).sum())
    return math.sqrt(total), total**2 / spread if spread > 0 else float(len(x) - len(counts))


def _clustered(residuals: Floats, groups: NDArray[np.int64], variance: str) -> tuple[float | None, float]:
    sums = np.bincount(groups, weights=residuals)
    g, n = len(sums), len(residuals)
    if g < 2:
        return None, 0.0
    if variance == "CR1":
        return math.sqrt(g / (g - 1) * float((sums**2).sum())) / n, float(g - 1)
    share = np.bincount(groups) / n
    return math.sqrt((g - 1) / g * float(((sums / (1 - share)) ** 2).sum())) / n, 1 / float((share**2).sum()) - 1


def paired_difference(first: ArrayLike, second: ArrayLike, **how: Any) -> Estimate:
    """Mean of `second - first` over the same questions, with `mean`'s options.

    Examples
    --------
    >>> paired_difference([0.0, 1.0, 0.0], [1.0, 1.0, 0.0]).value
    0.3333333333333333
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"expected the same questions on both sides, got {a.shape} and {b.shape}")
    return mean(b - a, **how)


def independent_difference(first: Estimate, second: Estimate, confidence: float = 0.95) -> Estimate:
    """Difference `second - first` of two means over different questions (Welch's interval).

    Examples
    --------
    >>> difference = independent_difference(mean([0.0, 1.0, 0.0, 1.0]), mean([1.0, 1.0, 0.0, 1.0]))
    >>> difference.value, round(difference.se, 6)
    (0.25, 0.381881)
    """
    if first.value is None or second.value is None:
        return Estimate(None, None, None, None, 0, "one of the means has no value")
    value, n = second.value - first.value, first.n + second.n
    if first.se is None or second.se is None or first.df is None or second.df is None:
        return Estimate(value, None, None, None, n, "difference, one of the means has no interval")
    variance = first.se**2 + second.se**2
    spread = first.se**4 / first.df + second.se**4 / second.df
    df = variance**2 / spread if spread > 0 else first.df + second.df
    low, high = t_interval(value, math.sqrt(variance), df, confidence)
    return Estimate(value, math.sqrt(variance), low, high, n, "difference of independent means, Welch interval", df)


def root_mean_square(values: ArrayLike, **how: Any) -> Estimate:
    """Root of the mean square, with the interval of the mean square carried through the root (delta method for `se`).

    Examples
    --------
    >>> round(root_mean_square([3.0, -4.0]).value, 6)
    3.535534
    """
    square = mean(np.asarray(values, dtype=np.float64) ** 2, **how)
    if square.value is None:
        return square
    value = math.sqrt(square.value)
    if square.se is None or square.ci_low is None or square.ci_high is None:
        return Estimate(value, None, None, None, square.n, square.estimator, None, square.undefined)
    return Estimate(
        value,
        square.se / (2 * value) if value > 0 else 0.0,
        math.sqrt(max(square.ci_low, 0.0)),
        math.sqrt(square.ci_high),
        square.n,
        f"root of the {square.estimator}",
        square.df,
        square.undefined,
    )


def macro_mean(values: ArrayLike, groups: ArrayLike, *, fixed: bool = False, confidence: float = 0.95) -> Estimate:
    """Mean of the groups' means, each group with the same weight.

    Parameters
    ----------
    values, groups : array_like, shape [n]
        One number per question, and its task. Values that are not finite do not enter.
    fixed : bool
        Whether the groups are fixed and only their questions sampled; otherwise the groups are what was sampled.
    confidence : float
        Of the interval.

    Returns
    -------
    Estimate
        `n` counts groups.

    Examples
    --------
    >>> macro_mean([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]).value
    0.5
    """
    x = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(x)
    present = np.unique(np.asarray(groups)[finite], return_inverse=True)[1].reshape(-1)
    if not len(present):
        return mean(x)
    undefined = int((~finite).sum())
    counts = np.bincount(present)
    means = np.bincount(present, weights=x[finite]) / counts
    if not fixed:
        over = mean(means, confidence=confidence)
        return replace(over, estimator=over.estimator.replace("questions", "tasks' means"), undefined=undefined)
    # Weighted so that each group counts the same, the plain mean is the macro mean.
    balanced = mean(x[finite] * (len(x[finite]) / len(counts) / counts)[present], strata=present, confidence=confidence)
    return replace(balanced, n=len(counts), estimator=f"mean of fixed tasks, {balanced.estimator}", undefined=undefined)
