"""Means over questions with intervals, and what is computed from means: arrays in, an `Estimate` out.

What was sampled decides the interval. Questions of one task are sampled one by one, or with all that share a passage. Over
several tasks there are two questions to ask: how would the mean change with other questions in *these* tasks (``strata``:
tasks are fixed), and how with other *tasks* of the kind (``tasks``: whole tasks are sampled). Every estimate's `unit` says
which it answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.estimates import Caveat, Estimate, Method, Unit, without_interval
from consistency.statistics.intervals import skewness, skewness_of_moments, t_interval, too_skewed
from consistency.statistics.sampling import (
    Spread,
    numbered,
    of_questions,
    over_both,
    over_clusters,
    over_clusters_within,
    within_strata,
)
from consistency.support.arrays import Floats, Integers

# Values with no more distinct numbers than this are in steps, and a mean of few of them too.
STEPS = 3
FEW = 30
FEW_CLUSTERS = 10
# Of values, and of their squares, above which a variance cannot be made with numbers.
TOO_LARGE = 1e150
# Of a table of measures that is made at once: 2 MB.
MOST_VALUES = 250_000


def _labels(values: Floats, labels: ArrayLike | None) -> Integers | None:
    if labels is None:
        return None
    codes = np.asarray(labels)
    if codes.shape != values.shape:
        raise ValueError(f"expected one label per value, got {len(codes)} for {len(values)}")
    return numbered(codes)


def mean(
    values: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    tasks: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    variance: Literal["CR3", "CR1"] = "CR3",
    confidence: float = 0.95,
    always_corrected: bool = False,
) -> Estimate:
    """Mean over questions with a t interval.

    Where fewer questions (or clusters of them) than 25 times the squared skewness have values of more than three kinds, the
    interval is corrected for skewness (`t_interval`), and `method` is "t-hall"; for other skewed values `warnings` holds what the
    interval cannot promise.

    Parameters
    ----------
    values : array_like, shape [n]
        One number per question. Values that are not finite do not enter, and are counted in `undefined`.
    strata : array_like, shape [n], optional
        The task of each question, where the tasks are fixed and only what is in them is sampled. The standard error
        adds the variances within tasks.
    tasks : array_like, shape [n], optional
        The task of each question, where whole tasks are sampled.
    clusters : array_like, shape [n], optional
        What is sampled whole besides, such as the passage of each question, or the question itself where several tasks ask it.
    variance : {"CR3", "CR1"}
        Of means over one kind of clusters. `CR3` is the delete-one-cluster jackknife, with the effective number of clusters
        (Kish's N² / Σ n²) less one as degrees of freedom. `CR1` is Liang and Zeger's (1986) times G / (G - 1), with G - 1.
        They are one for clusters of one size; for tasks as unequal as MMLU's, CR1 intervals cover too little.
    confidence : float
        Of the interval.
    always_corrected : bool
        Whether to correct for skewness also where the sample has little of it, as one that missed the large values has.

    Returns
    -------
    Estimate
        `se` and the interval are None for fewer than two questions or clusters.

    Raises
    ------
    ValueError
        If their lengths differ from `values`, both `strata` and `tasks` are given, or the variance is unknown.

    Examples
    --------
    >>> estimate = mean([1.0, 0.0, 1.0, 1.0])
    >>> estimate.value, round(estimate.se, 6), round(estimate.ci_low, 6)
    (0.75, 0.25, -0.045612)
    """
    if strata is not None and tasks is not None:
        raise ValueError("give strata or tasks, not both: tasks are either fixed or sampled")
    if variance not in ("CR3", "CR1"):
        raise ValueError(f"expected the variance 'CR3' or 'CR1', got {variance!r}")
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"expected one value per question, got an array of shape {x.shape}")
    labels = [_labels(x, given) for given in (strata, tasks, clusters)]
    unit: Unit = "question" if strata is None else "stratum"
    if tasks is not None:
        unit = "cluster" if clusters is None else "both"
    elif clusters is not None:
        unit = "question cluster" if strata is None else "question cluster in stratum"
    clustered = tasks is not None or clusters is not None
    finite = np.isfinite(x)
    undefined = int((~finite).sum())
    if undefined:
        x, labels = x[finite], [None if given is None else numbered(given[finite]) for given in labels]
    n = len(x)
    if n == 0:
        return without_interval(None, 0, "no values", undefined=undefined, unit=unit)
    value = centre(x)
    if np.abs(x).max() > TOO_LARGE:
        return without_interval(value, n, "too large", undefined=undefined, unit=unit)
    found = _spread(x, labels[0], labels[1], labels[2], variance)
    # Clusters that count as fewer than two determine no variance.
    if found.se is None or (clustered and found.df < 1):
        return without_interval(value, n, "too few", undefined=undefined, unit=unit)
    method: Method = "t" if not clustered else "t-cr1" if variance == "CR1" else "t-cr3"
    plain = Estimate(value, found.se, None, None, n, found.df, undefined, "mean", unit, method)
    return _with_interval(plain, x, skewness(found.units), len(found.units), confidence, always=always_corrected)


def centre(values: Floats) -> float:
    """The mean of finite numbers, also where their sum is beyond what a number can be.

    Parameters
    ----------
    values : ndarray, shape [n]

    Examples
    --------
    >>> centre(np.array([1e308, 1e308, 1e308]))
    1e+308
    """
    largest = float(np.abs(values).max())
    return float(values.mean()) if largest <= TOO_LARGE else float((values / largest).mean()) * largest


def means(samples: Sequence[Floats], confidence: float = 0.95) -> list[Estimate]:
    """Means of several measures of the same questions, sampled one by one: each as `mean` gives it, in a third of the time.

    Parameters
    ----------
    samples : sequence of ndarray, shape [n]
    confidence : float

    Examples
    --------
    >>> x = np.array([0.1, 0.4, 0.2, 0.9])
    >>> means([x, 2 * x])[0] == mean(x)
    True
    """
    n = len(samples[0]) if samples else 0
    if len(samples) < 2 or n < 3 or n > MOST_VALUES:
        return [mean(x, confidence=confidence) for x in samples]
    # Of many questions a few measures at a time, whose tables fit into memory.
    most = max(1, MOST_VALUES // n)
    if len(samples) > most:
        parts = (samples[start : start + most] for start in range(0, len(samples), most))
        return [item for part in parts for item in means(part, confidence)]
    table = np.stack(samples)
    with np.errstate(invalid="ignore", over="ignore"):
        centres = table.mean(axis=1)
        units = table - centres[:, None]
        squares = units * units
        total, third = squares.sum(axis=1), (squares * units).mean(axis=1)
    second = total / n
    found = []
    for x, value, spread, moment, cubed in zip(
        samples, centres.tolist(), total.tolist(), second.tolist(), third.tolist(), strict=True
    ):
        # What is not finite, or too large for a variance, is left to `mean`.
        if not math.isfinite(cubed) or abs(value) > TOO_LARGE or spread > TOO_LARGE:
            found.append(mean(x, confidence=confidence))
            continue
        se = math.sqrt(spread / (n - 1) / n)
        plain = Estimate(value, se, None, None, n, float(n - 1), 0, method="t")
        found.append(_with_interval(plain, x, skewness_of_moments(moment, cubed, n), n, confidence))
    return found


def _with_interval(
    plain: Estimate, x: Floats, skew: float, units: int, confidence: float, *, always: bool = False
) -> Estimate:
    """A mean of the values with its interval, corrected for the skewness of so many units where that is great, or always."""
    value, se, df, unit, method = plain.value, plain.se, plain.df, plain.unit, plain.method
    assert value is not None
    assert se is not None
    assert df is not None
    warnings: list[Caveat] = []
    corrected = 0.0
    single = unit in ("question", "question cluster")
    if se == 0:
        warnings.append("constant")
    elif single and (too_skewed(skew, units) or plain.n < FEW) and _in_steps(x):
        # Right or wrong, or flips: a smooth correction does not fit.
        warnings += ["skewed"] if too_skewed(skew, units) else []
        warnings += ["uneven"] if plain.n < FEW else []
    # Sums over tasks of very unequal sizes differ by size too, and the correction would take that for skewness.
    elif single and (always or too_skewed(skew, units)):
        corrected, method = skew, "t-hall"
    elif too_skewed(skew, units):
        warnings.append("skewed")
    if unit not in ("question", "stratum") and df + 1 < FEW_CLUSTERS:
        warnings.append("few clusters")
    low, high = t_interval(value, se, df, confidence, skew=corrected, n=units)
    return replace(plain, ci_low=low, ci_high=high, method=method, warnings=tuple(warnings))


def _in_steps(x: Floats) -> bool:
    """Whether the values have hardly any distinct numbers; most have many among the first."""
    return len(set(x[:50].tolist())) <= STEPS and len(np.unique(x)) <= STEPS


def _spread(
    x: Floats, strata: Integers | None, tasks: Integers | None, clusters: Integers | None, variance: str
) -> Spread:
    if strata is not None:
        return within_strata(x, strata) if clusters is None else over_clusters_within(x, strata, clusters)
    if tasks is not None and clusters is not None:
        return over_both(x, tasks, clusters)
    sampled = clusters if tasks is None else tasks
    return of_questions(x) if sampled is None else over_clusters(x, sampled, variance)


def independent_difference(first: Estimate, second: Estimate, confidence: float = 0.95) -> Estimate:
    """Difference `second - first` of two means over different questions (Welch's interval).

    Examples
    --------
    >>> difference = independent_difference(mean([0.0, 1.0, 0.0, 1.0]), mean([1.0, 1.0, 0.0, 1.0]))
    >>> difference.value, round(difference.se, 6)
    (0.25, 0.381881)
    """
    if first.value is None or second.value is None:
        return without_interval(None, 0, "missing group", statistic="difference")
    value, n = second.value - first.value, first.n + second.n
    if first.se is None or second.se is None or first.df is None or second.df is None:
        return without_interval(value, n, "missing group", statistic="difference")
    variance = first.se**2 + second.se**2
    spread = first.se**4 / first.df + second.se**4 / second.df
    df = variance**2 / spread if spread > 0 else first.df + second.df
    low, high = t_interval(value, math.sqrt(variance), df, confidence)
    method: Method = "normal" if math.isinf(df) else "welch"
    return Estimate(value, math.sqrt(variance), low, high, n, df, statistic="difference", method=method)


def root_mean_square(values: ArrayLike, **how: Any) -> Estimate:
    """Root of the mean square, with the interval of the mean square carried through the root (delta method for `se`).

    Examples
    --------
    >>> round(root_mean_square([3.0, -4.0]).value, 6)
    3.535534
    """
    return root_of(mean(np.asarray(values, dtype=np.float64) ** 2, **how))


def root_of(square: Estimate) -> Estimate:
    """The root of an estimated mean square, with the ends of its interval carried through the root.

    Examples
    --------
    >>> round(root_of(mean([9.0, 16.0])).value, 6)
    3.535534
    """
    if square.value is None:
        return replace(square, statistic="root mean square")
    value = math.sqrt(square.value)
    if square.se is None or square.ci_low is None or square.ci_high is None:
        return replace(square, value=value, df=None, statistic="root mean square")
    return replace(
        square,
        value=value,
        se=square.se / (2 * value) if value > 0 else 0.0,
        ci_low=math.sqrt(max(square.ci_low, 0.0)),
        ci_high=math.sqrt(square.ci_high),
        statistic="root mean square",
    )
