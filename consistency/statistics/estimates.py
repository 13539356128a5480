"""Estimates with intervals, and tests: arrays in, frozen results out. Nothing here reads a file.

What was sampled decides the interval. Questions of one task are sampled one by one, or with all that share a passage. Over
several tasks there are two questions to ask: how would the mean change with other questions in *these* tasks (``strata``:
tasks are fixed), and how with other *tasks* of the kind (``tasks``: whole tasks are sampled). Every estimate's `unit` says
which it answers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.sampling import (
    Spread,
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

Unit = Literal["question", "stratum", "cluster", "question cluster", "question cluster in stratum", "both", "run"]
Method = Literal[
    "t",
    "t-hall",
    "t-cr3",
    "t-cr1",
    "t-jackknife",
    "t-crossed",
    "score",
    "wilson",
    "exact",
    "bounded",
    "trimmed",
    "welch",
    "normal",
    "bca",
    "bootstrap-t",
    "gaps",
    "mover",
    "noncentral",
    "run variance",
    "fit",
    "partial pooling",
    "none",
]
# What an interval cannot promise, or why there is none.
Caveat = Literal[
    "no values",
    "missing group",
    "too few",
    "too large",
    "constant",
    "skewed",
    "rare",
    "uneven",
    "few units",
    "few clusters",
    "uneven labels",
]

_UNITS = {
    "question": "questions",
    "stratum": "questions within fixed tasks",
    "cluster": "whole tasks",
    "question cluster": "clusters of questions",
    "question cluster in stratum": "clusters of questions within fixed tasks",
    "both": "whole tasks and clusters of questions",
    "run": "training runs and the questions that all of them answered",
}
_METHODS = {
    "t": "t interval",
    "t-hall": "t interval corrected for skewness (Hall 1992)",
    "t-cr3": "t interval with the CR3 variance",
    "t-cr1": "t interval with the CR1 variance",
    "t-jackknife": "t interval with the jackknife's variance",
    "t-crossed": "t interval over runs and questions (Banerjee 1960)",
    "score": "score interval of paired shares (Tango 1998)",
    "wilson": "Wilson's interval",
    "exact": "exact interval (Clopper and Pearson 1934)",
    "bounded": "interval that allows for unseen values up to the largest possible (Gaffke 2005)",
    "trimmed": "t interval of a trimmed mean (Yuen 1974)",
    "welch": "Welch's interval",
    "normal": "normal interval",
    "bca": "BCa bootstrap interval",
    "bootstrap-t": "symmetric bootstrap-t interval",
    "gaps": "interval of a sum of absolute gaps, which covers 95 % or more",
    "mover": "interval from the ends of both (MOVER)",
    "noncentral": "interval of a noncentral χ² distribution",
    "run variance": "interval with the variance between runs (Banerjee 1960)",
    "fit": "t intervals of a fit to all questions and of that to the others, from the lower end of one to the upper of the other",
    "partial pooling": "interval of a hierarchical normal model with Stein's harmonic prior (Morris and Tang 2011)",
    "none": "no interval",
}
CAVEATS: dict[Caveat, str] = {
    "no values": "no question has a value",
    "missing group": "one of the means has no value or no interval",
    "too few": "too few of them for an interval",
    "too large": "values too large for a variance",
    "constant": "the values do not vary, and the interval has no width for that",
    "skewed": "skewed values: it covers less than 95 %",
    "rare": "too few questions to exclude rare ones with much larger values, which would move it beyond the interval",
    "uneven": "few of them, with values in few steps: it covers more or less than 95 %",
    "few units": "few of them: it covers less than 95 %",
    "few clusters": "few of them: the interval is wide, and covers 95 % only if they are alike in size and spread",
    "uneven labels": "the right answers are uneven over the letters, which makes the number mislead",
}


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    Attributes
    ----------
    value, se, ci_low, ci_high : float or None
        The estimate, its standard error and the ends of its interval; None where the data do not determine it.
    n : int
        Observations that entered.
    df : float or None
        Degrees of freedom of a t interval.
    effective_n : float or None
        Of shares whose questions are not sampled one by one: how many independent questions would say as much.
    undefined : int
        Observations without a finite value, which did not enter.
    statistic : str
        What is estimated: "mean", "root mean square", "share", "mean of the tasks", "difference", ...
    unit : {"question", "stratum", "cluster", "question cluster", "question cluster in stratum", "both", "run"}
        What was taken as sampled: questions; the questions within fixed tasks; whole tasks; clusters of questions, such as
        those of one passage; such clusters within fixed tasks; whole tasks and clusters of questions that cross them; training
        runs, and the questions that all of them answered.
    method : str
        How the interval was made; "none" where there is none.
    warnings : tuple of str
        What the interval cannot promise, or why there is none.
    """

    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    df: float | None = None
    undefined: int = 0
    statistic: str = "mean"
    unit: Unit = "question"
    method: Method = "none"
    warnings: tuple[Caveat, ...] = ()
    effective_n: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        found = asdict(self) | {"warnings": list(self.warnings)}
        if self.effective_n is None:
            del found["effective_n"]
        return found

    def describe(self) -> str:
        """What was estimated, over what, and how the interval was made.

        Examples
        --------
        >>> mean([0.0, 1.0, 2.0, 3.0, 4.0]).describe()
        'mean over questions, t interval'
        """
        return "; ".join(
            [
                f"{self.statistic} over {_UNITS[self.unit]}, {_METHODS[self.method]}",
                *(CAVEATS[caveat] for caveat in self.warnings),
            ]
        )

    def scaled(self, factor: float) -> Estimate:
        """The estimate times a factor, such as 100 for percentage points; a negative one exchanges the ends.

        Examples
        --------
        >>> mean([0.0, 1.0]).scaled(100).value
        50.0
        """

        def times(x: float | None) -> float | None:
            return None if x is None else x * factor

        low, high = times(self.ci_low), times(self.ci_high)
        return replace(
            self,
            value=times(self.value),
            se=None if self.se is None else abs(self.se * factor),
            ci_low=low if factor >= 0 else high,
            ci_high=high if factor >= 0 else low,
        )


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


def without_interval(
    value: float | None,
    n: int,
    *warnings: Caveat,
    undefined: int = 0,
    statistic: str = "mean",
    unit: Unit = "question",
) -> Estimate:
    """An estimate whose data determine no interval.

    Examples
    --------
    >>> without_interval(None, 0, "no values").describe()
    'mean over questions, no interval; no question has a value'
    """
    return Estimate(value, None, None, None, n, None, undefined, statistic, unit, "none", warnings)


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
    return _skewness(float(squares.mean()), float((squares * deviations).mean()), len(deviations))


def _skewness(second: float, third: float, n: int) -> float:
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


def _labels(values: Floats, labels: ArrayLike | None) -> Integers | None:
    if labels is None:
        return None
    codes = np.asarray(labels)
    if codes.shape != values.shape:
        raise ValueError(f"expected one label per value, got {len(codes)} for {len(values)}")
    return numbered(codes)


def numbered(labels: ArrayLike) -> Integers:
    """Labels as numbers from 0 without a gap, equal ones alike.

    Examples
    --------
    >>> numbered(["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    codes = np.asarray(labels)
    if codes.dtype == np.int64 and codes.size and codes.min() >= 0 and codes.max() <= 4 * codes.size:
        # Counting is faster than sorting.
        number: Integers = np.cumsum(np.bincount(codes.reshape(-1)) > 0) - 1
        return np.asarray(number[codes.reshape(-1)])
    return np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1).astype(np.int64)


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
        found.append(_with_interval(plain, x, _skewness(moment, cubed, n), n, confidence))
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
