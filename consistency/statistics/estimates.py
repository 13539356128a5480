"""Estimates with intervals, and tests: arrays in, frozen results out. Nothing here reads a file.

What was sampled decides the interval. Questions of one task are sampled one by one. Over several tasks there are two
questions to ask: how would the mean change with other questions in *these* tasks (``strata``: tasks are fixed), and how
with other *tasks* of the kind (``clusters``: whole tasks are sampled). Every estimate's `unit` says which it answers.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.support.arrays import Floats

# Values with no more distinct numbers than this are in steps, and a mean of few of them too.
STEPS = 3
FEW = 30

Unit = Literal["question", "stratum", "cluster", "run"]
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
    "welch",
    "normal",
    "bca",
    "bootstrap-t",
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
    "uneven",
    "few units",
    "few clusters",
    "unequal clusters",
]

_UNITS = {
    "question": "questions",
    "stratum": "questions within fixed tasks",
    "cluster": "clusters",
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
    "exact": "exact interval",
    "welch": "Welch's interval",
    "normal": "normal interval",
    "bca": "BCa bootstrap interval",
    "bootstrap-t": "symmetric bootstrap-t interval",
    "none": "no interval",
}
_CAVEATS = {
    "no values": "no question has a value",
    "missing group": "one of the means has no value or no interval",
    "too few": "too few of them for an interval",
    "too large": "values too large for a variance",
    "constant": "the values do not vary, and the interval has no width for that",
    "skewed": "skewed values: it covers less than 95 %",
    "uneven": "few of them, with values in few steps: it covers more or less than 95 %",
    "few units": "few of them: it covers less than 95 %",
    "few clusters": "the tasks are too few to be clusters",
    "unequal clusters": "the tasks are of too unequal sizes to be clusters",
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
    undefined : int
        Observations without a finite value, which did not enter.
    statistic : str
        What is estimated: "mean", "root mean square", "share", "mean of the tasks", "difference", ...
    unit : {"question", "stratum", "cluster", "run"}
        What was taken as sampled: questions; the questions within fixed tasks; whole tasks; training runs, and the
        questions that all of them answered.
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

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"warnings": list(self.warnings)}

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
                *(_CAVEATS[caveat] for caveat in self.warnings),
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
        With an interval of Student's or a normal distribution; of another the same factor is an approximation.
    confidence : float

    Examples
    --------
    >>> wide = at_confidence(mean([1.0, 2.0, 4.0]), 0.99)
    >>> round(wide.ci_high, 6) == round(mean([1.0, 2.0, 4.0], confidence=0.99).ci_high, 6)
    True
    """
    if estimate.value is None or estimate.ci_low is None or estimate.ci_high is None:
        return estimate
    from scipy.special import ndtri, stdtrit

    def quantile(level: float) -> float:
        upper = (1 + level) / 2
        return float(ndtri(upper) if estimate.df is None or math.isinf(estimate.df) else stdtrit(estimate.df, upper))

    factor = quantile(confidence) / quantile(0.95)
    return replace(
        estimate,
        ci_low=estimate.value - factor * (estimate.value - estimate.ci_low),
        ci_high=estimate.value + factor * (estimate.ci_high - estimate.value),
    )


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
    n, second = len(deviations), float(np.mean(deviations**2))
    if n < 3 or second == 0:
        return 0.0
    return float(np.mean(deviations**3) / second**1.5 * math.sqrt(n * (n - 1)) / (n - 2))


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
    from scipy.special import stdtrit

    quantile = float(stdtrit(df, (1 + confidence) / 2))
    slope = skew / (3 * math.sqrt(n))

    def back(transformed: float) -> float:
        if abs(slope) < 1e-9:
            return transformed
        return float(np.cbrt(1 + 3 * slope * (transformed - skew / (6 * math.sqrt(n)))) - 1) / slope

    return value - back(quantile) * se, value - back(-quantile) * se


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
    corrected for skewness (`t_interval`), and `method` is "t-hall"; for other skewed values `warnings` holds what the
    interval cannot promise.

    Parameters
    ----------
    values : array_like, shape [n]
        One number per question. Values that are not finite do not enter, and are counted in `undefined`.
    strata : array_like, shape [n], optional
        The task of each question, where the tasks are fixed and only their questions are sampled. The standard error
        adds the variances within tasks.
    clusters : array_like, shape [n], optional
        The task of each question, where tasks are sampled.
    variance : {"CR3", "CR1"}
        Of clustered means. `CR3` is the delete-one-cluster jackknife, with the effective number of clusters (Kish's
        N² / Σ n²) less one as degrees of freedom. `CR1` is Liang and Zeger's (1986) times G / (G - 1), with G - 1. They
        are one for clusters of one size; for tasks as unequal as MMLU's, CR1 intervals cover too little.
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
    unit: Unit = "question" if groups is None else "stratum" if strata is not None else "cluster"
    if n == 0:
        return without_interval(None, 0, "no values", undefined=undefined, unit=unit)
    value = float(x.mean())
    if np.abs(x).max() > 1e150:
        return without_interval(value, n, "too large", undefined=undefined, unit=unit)
    units, method = x - value, "t"
    if groups is None:
        df = float(n - 1)
        se = float(x.std(ddof=1) / math.sqrt(n)) if n > 1 else None
    else:
        groups = np.unique(groups[finite], return_inverse=True)[1].reshape(-1)
        if strata is not None:
            se, df = _stratified(x, groups)
        else:
            method = f"t-{variance.lower()}"
            se, df = _clustered(units, groups, variance)
            units = np.bincount(groups, weights=units)
    if se is None:
        return without_interval(value, n, "too few", undefined=undefined, unit=unit)
    warnings: list[Caveat] = []
    skew, corrected = skewness(units), 0.0
    if se == 0:
        warnings.append("constant")
    elif groups is None and len(np.unique(x)) <= STEPS:
        # Right or wrong, or flips: a smooth correction does not fit.
        warnings += ["skewed"] if too_skewed(skew, n) else []
        warnings += ["uneven"] if n < FEW else []
    elif too_skewed(skew, len(units)):
        # Sums over unequal clusters differ by size too, and the correction would take that for skewness.
        if groups is None:
            corrected, method = skew, "t-hall"
        else:
            warnings.append("skewed")
    low, high = t_interval(value, se, df, confidence, skew=corrected, n=n)
    return Estimate(value, se, low, high, n, df, undefined, "mean", unit, cast(Method, method), tuple(warnings))


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
    square = mean(np.asarray(values, dtype=np.float64) ** 2, **how)
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
