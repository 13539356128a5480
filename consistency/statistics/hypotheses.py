"""Tests of whether anything changed, of whether nothing did, and of what could have been found."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.statistics.estimates import Estimate
from consistency.statistics.intervals import at_confidence, longer_than_t
from consistency.statistics.roots import root
from consistency.support.arrays import Floats

_LEAST_P = 1e-12


def mcnemar_exact(harmful: int, beneficial: int) -> float:
    """Exact McNemar test of two paired accuracies: two-sided p of the flips under equal chances (McNemar 1947).

    Parameters
    ----------
    harmful, beneficial : int
        Answers that flipped right to wrong and wrong to right.

    Returns
    -------
    float
        1 where nothing flipped.

    Examples
    --------
    >>> round(mcnemar_exact(19, 30), 4)
    0.1524
    """
    if harmful + beneficial == 0:
        return 1.0
    from scipy.special import bdtr

    # Equal chances are symmetric: both tails are alike, and overlap in the middle.
    return min(1.0, float(2 * bdtr(min(harmful, beneficial), harmful + beneficial, 0.5)))


def sign_flip_test(
    differences: ArrayLike, *, clusters: ArrayLike | None = None, resamples: int = 9999, seed: int = 0
) -> float:
    """Sign-flip permutation test of a mean of paired differences: two-sided p.

    Under the null each difference (with `clusters`, each cluster's differences together) is as likely with either sign.
    All sign patterns are counted where they are no more than `resamples`, else random ones are drawn, and the observed
    one counts as one of them (Phipson and Smyth 2010).

    Parameters
    ----------
    differences : array_like, shape [n]
        After minus before; values that are not finite do not enter.
    clusters : array_like, shape [n], optional
        Subjects whose questions change together.

    Examples
    --------
    >>> sign_flip_test([1.0, 1.0, 1.0, 1.0, 1.0])
    0.0625
    """
    x = np.asarray(differences, dtype=np.float64)
    finite = np.isfinite(x)
    sums = x[finite]
    if clusters is not None:
        codes = np.unique(np.asarray(clusters)[finite], return_inverse=True)[1].reshape(-1)
        sums = np.bincount(codes, weights=sums)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    if np.ptp(np.abs(sums)) == 0:
        # Steps of one size: the sum counts the signs, whose distribution is exact whatever their number.
        return mcnemar_exact(int((sums < 0).sum()), int((sums > 0).sum()))
    # Sums that differ by rounding alone are equal.
    reached = abs(float(sums.sum())) - 1e-12 * float(np.abs(sums).sum())
    if 2 ** min(len(sums), 62) <= resamples:
        patterns = (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1
        return float((np.abs(_signed(patterns, sums)) >= reached).mean())
    rng = np.random.default_rng(seed)
    count, batch = 0, max(1, 10_000_000 // len(sums))
    for start in range(0, resamples, batch):
        size = (min(batch, resamples - start), -(-len(sums) // 8))
        patterns = np.unpackbits(rng.integers(0, 256, size, dtype=np.uint8), axis=1, count=len(sums))
        count += int((np.abs(_signed(patterns, sums)) >= reached).sum())
    return (count + 1) / (resamples + 1)


def _signed(patterns: NDArray[Any], sums: Floats) -> Floats:
    """Sums under patterns of 0 (minus) and 1 (plus), one a row."""
    return np.asarray(2 * (patterns.astype(np.float64) @ sums) - sums.sum())


def t_test(estimate: Estimate) -> float | None:
    """Two-sided p of "the mean is 0", from the same t distribution as the interval; None without a standard error.

    Examples
    --------
    >>> from consistency.statistics.means import mean
    >>> round(t_test(mean([1.0, 2.0, 3.0])), 4)
    0.0742
    """
    if estimate.value is None or estimate.se is None or estimate.df is None:
        return None
    if estimate.se == 0:
        return 1.0 if estimate.value == 0 else None
    from scipy.special import stdtr

    return float(2 * stdtr(estimate.df, -abs(estimate.value) / estimate.se))


def p_or_one(p: float | None) -> float:
    """A p beside others that are adjusted or sorted together: where none can be computed, nothing speaks for a difference.

    Examples
    --------
    >>> p_or_one(0.0), p_or_one(None)
    (0.0, 1.0)
    """
    return 1.0 if p is None else p


def no_change(estimate: Estimate) -> float | None:
    """Two-sided p of "the mean is 0" that agrees with the interval at any confidence (`at_confidence`).

    Parameters
    ----------
    estimate : Estimate
        With an interval of Student's, or one that is longer for values that were not seen. Then no p is below 2e-12.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from consistency.statistics.means import mean
    >>> usual = mean([1.0, 2.0, 3.0])
    >>> no_change(usual) == t_test(usual), round(no_change(replace(usual, ci_low=-4.0, method="bounded")), 2)
    (True, 0.44)
    """
    if estimate.value is None or estimate.ci_low is None or estimate.ci_high is None:
        return None
    if estimate.method != "bounded":
        return t_test(estimate)
    known = estimate.scaled(math.copysign(1.0, estimate.value))
    return min(1.0, 2 * smallest_level(lambda p: (at_confidence(known, 1 - 2 * p).ci_low or 0.0) > 0))


def smallest_level(excludes: Callable[[float], bool]) -> float:
    """The smallest level of a one-sided test whose interval excludes a limit, of those from 1e-12 to one half; else 1.

    Examples
    --------
    >>> round(smallest_level(lambda p: p > 0.02), 4)
    0.02
    """
    if not excludes(0.5 - 1e-9):
        return 1.0
    low, high = math.log(_LEAST_P), math.log(0.5)
    if excludes(_LEAST_P):
        return _LEAST_P
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if excludes(math.exp(middle)) else (middle, high)
    return math.exp(high)


def equivalence(estimate: Estimate, margin: float) -> float | None:
    """Two one-sided t tests (TOST, Schuirmann 1987): p of "the change is at least `margin`, up or down".

    Parameters
    ----------
    estimate : Estimate
        A mean difference with its standard error and degrees of freedom.
    margin : float
        The largest change that counts as none, in the estimate's units.

    Returns
    -------
    float or None
        Below .05: the change is smaller than the margin. None where the estimate has no standard error. Where no answer
        changed at all, the exact probability of that if a share of `margin` changes.

    Examples
    --------
    >>> from consistency.statistics.means import mean
    >>> round(equivalence(mean([0.1, -0.1, 0.05, -0.05]), 0.5), 6)
    0.000814
    """
    if margin <= 0:
        raise ValueError(f"expected a positive margin, got {margin}")
    if estimate.value is None or estimate.se is None or estimate.df is None:
        return None
    if estimate.se == 0:
        # A mean of answers that turn by 1 or not at all can reach the margin only if that share of them turns.
        return max(0.0, 1 - margin) ** estimate.n if abs(estimate.value) < margin else 1.0
    from scipy.special import stdtr

    lower = stdtr(estimate.df, -(estimate.value + margin) / estimate.se)
    upper = stdtr(estimate.df, (estimate.value - margin) / estimate.se)
    return float(max(lower, upper))


def minimum_detectable_effect(estimate: Estimate, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """Smallest true mean that a two-sided t test of this precision finds with the given power (noncentral t).

    None where the estimate has no standard error or a vanishing one, or fewer than 3 degrees of freedom. Where the 95 %
    interval is longer than t's, for unseen values between -1 and 1 (`bounded`), the smallest true mean that it tells from 0.

    Examples
    --------
    >>> from consistency.statistics.means import mean
    >>> round(minimum_detectable_effect(mean([0.0, 1.0] * 50)), 6)
    0.142169
    """
    if not estimate.se or estimate.df is None or estimate.df < 3:
        return None
    from scipy.special import nctdtr, stdtrit

    df = estimate.df
    critical = float(stdtrit(df, 1 - alpha / 2))

    def missing(noncentrality: float) -> float:
        upper, lower = nctdtr(df, noncentrality, critical), nctdtr(df, noncentrality, -critical)
        # A lower tail too thin for the routine comes back as NaN.
        return float(upper - np.nan_to_num(lower)) - (1 - power)

    high = critical + 1.0
    while missing(high) > 0:
        high *= 2
    least = root(missing, 0.0, high, xtol=1e-14) * estimate.se
    if estimate.method == "bounded" and longer_than_t(estimate):
        assert estimate.value is not None
        assert estimate.ci_low is not None
        assert estimate.ci_high is not None
        # The part of the way to a bound that an end lies away from the mean: it stays, wherever the mean is.
        part = max(
            (estimate.value - estimate.ci_low) / (1 + estimate.value),
            (estimate.ci_high - estimate.value) / (1 - estimate.value),
        )
        found = part / (1 - part) + float(stdtrit(df, power)) * estimate.se if part < 1 else math.inf
        return max(least, found) if found < 1 else None
    return least


# The two adjustments are written out: importing a library for them costs every comparison half a second.
def holm(p_values: ArrayLike) -> Floats:
    """Holm's step-down adjustment (Holm 1979): p-values that control the chance of any false finding.

    Parameters
    ----------
    p_values : array_like
        Shape [n]. NaN stays NaN and does not count.

    Returns
    -------
    numpy.ndarray
        Shape [n].

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(12).tolist()
    [0.03, 0.06, 0.06]
    """
    p, order, adjusted = _ascending(p_values)
    adjusted[order] = np.maximum.accumulate(p * np.arange(len(p), 0, -1)).clip(max=1.0)
    return adjusted


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Benjamini and Hochberg's adjustment (1995) of p-values, which controls the share of false findings; as `holm`.

    Examples
    --------
    >>> benjamini_hochberg([0.01, 0.04, 0.03]).round(12).tolist()
    [0.03, 0.04, 0.04]
    """
    p, order, adjusted = _ascending(p_values)
    adjusted[order[::-1]] = np.minimum.accumulate((p * len(p) / np.arange(1, len(p) + 1))[::-1]).clip(max=1.0)
    return adjusted


def _ascending(p_values: ArrayLike) -> tuple[Floats, NDArray[np.intp], Floats]:
    """The known p-values in ascending order, their positions, and an array of NaN for all."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN sorts last
    return p[order], order, np.full(p.shape, math.nan)
