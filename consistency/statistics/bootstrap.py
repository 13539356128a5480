"""Bootstrap intervals, for statistics that have no formula: medians, quantiles, skewed means."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.statistics.estimates import Caveat, Estimate, Method, Unit, without_interval
from consistency.statistics.intervals import skewness, too_skewed
from consistency.support.arrays import Floats

# Below so many units simulated intervals cover 87 to 94 % where 95 % are promised.
FEW: dict[Method, int] = {"bca": 100, "bootstrap-t": 30}


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[..., Any] = np.mean,
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 9999,
    confidence: float = 0.95,
    seed: int = 0,
) -> Estimate:
    """Bootstrap interval of a statistic of paired differences or other per-question values.

    BCa (Efron 1987); of the mean over clusters the symmetric bootstrap-t (Hall 1988), for BCa covers too little where
    clusters are of unequal size.

    Parameters
    ----------
    values : array_like, shape [n]
        One number per question; values that are not finite do not enter.
    statistic : callable
        A function of an array and an `axis`, such as `numpy.median`.
    clusters : array_like, shape [n], optional
        Subjects, which are then resampled whole.

    Returns
    -------
    Estimate
        `se` is the bootstrap's; without interval for fewer than two units, or where the values do not vary.

    Examples
    --------
    >>> estimate = bootstrap_interval([0.0, 1.0, 2.0, 3.0, 4.0, 10.0], np.median)
    >>> estimate.value, estimate.ci_low <= 2.5 <= estimate.ci_high
    (2.5, True)
    """
    from scipy.stats import bootstrap

    x = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(x)
    undefined = int((~finite).sum())
    x = x[finite]
    if not len(x):
        return without_interval(None, 0, "no values", undefined=undefined)
    value, rng = float(statistic(x)), np.random.default_rng(seed)
    name = getattr(statistic, "__name__", "statistic")
    unit: Unit = "question" if clusters is None else "cluster"
    method: Method = "bootstrap-t" if clusters is not None and statistic is np.mean else "bca"
    codes = np.arange(len(x))
    if clusters is not None:
        codes = np.unique(np.asarray(clusters)[finite], return_inverse=True)[1].reshape(-1)
    units = int(codes.max()) + 1
    if units < 2 or np.ptp(x) == 0:
        return without_interval(value, len(x), "constant", undefined=undefined, statistic=name, unit=unit)
    if method == "bootstrap-t":
        se, half, warnings = _bootstrap_t(x, codes, resamples, confidence, rng)
        low, high = value - half, value + half
    else:
        data, measure, warnings = x, statistic, ()
        if clusters is not None:
            data = np.arange(units)

            def measure(chosen: NDArray[np.int64]) -> Any:
                return statistic(np.repeat(x, np.bincount(chosen, minlength=units)[codes]))

        drawn = bootstrap(
            (data,),
            measure,
            vectorized=clusters is None,
            n_resamples=resamples,
            batch=max(1, 5_000_000 // units),
            confidence_level=confidence,
            method="BCa",
            rng=rng,
        )
        se, (low, high) = float(drawn.standard_error), map(float, drawn.confidence_interval)
    if units < FEW[method]:
        warnings = ("few units", *warnings)
    ci_low, ci_high = (end if math.isfinite(end) else None for end in (low, high))
    return Estimate(value, se, ci_low, ci_high, len(x), None, undefined, name, unit, method, warnings)


def draw_counts(units: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each unit is drawn into a resample of as many, shape [resamples, units].

    Examples
    --------
    >>> draw_counts(4, 2, np.random.default_rng(0)).sum(axis=1).tolist()
    [4.0, 4.0]
    """
    chosen = rng.integers(0, units, (resamples, units)) + units * np.arange(resamples)[:, None]
    return np.bincount(chosen.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float64)


def _bootstrap_t(
    x: Floats, codes: NDArray[np.int64], resamples: int, confidence: float, rng: np.random.Generator
) -> tuple[float, float, tuple[Caveat, ...]]:
    """Of the mean: its standard error, the half width of its interval, and what the interval cannot promise."""
    sizes = np.bincount(codes).astype(np.float64)
    sums: Floats = np.bincount(codes, weights=x - x.mean()).astype(np.float64)
    # How often each cluster was drawn gives every resample's mean and its linearised variance, as products.
    terms = np.column_stack([sums, sizes, sums**2, sums * sizes, sizes**2])
    batch = max(1, 10_000_000 // len(sums))
    rounds = [min(batch, resamples - start) for start in range(0, resamples, batch)]
    parts = np.concatenate([draw_counts(len(sums), each, rng) @ terms for each in rounds])
    means = parts[:, 0] / parts[:, 1]
    spread = parts[:, 2] - 2 * means * parts[:, 3] + means**2 * parts[:, 4]
    # One cluster drawn throughout has no spread, and a t beyond all others.
    varied = spread > 1e-12 * (sums @ sums)
    t = np.full(resamples, np.inf)
    t[varied] = np.abs(means[varied]) * parts[varied, 1] / np.sqrt(spread[varied])
    half = float(np.quantile(t, confidence, method="higher")) * math.sqrt(sums @ sums) / len(x)
    return float(means.std(ddof=1)), half, ("skewed",) if too_skewed(skewness(sums), len(sums)) else ()
