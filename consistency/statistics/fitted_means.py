"""Estimates of what was fitted first: their intervals allow for the fit. Numbers by question in, estimates out."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from consistency.statistics.estimates import Caveat, Estimate, without_interval
from consistency.statistics.intervals import quantile
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.sampling import Labels, independent, numbered
from consistency.statistics.shares import rate, score_interval
from consistency.support.arrays import Bools, Floats

# In nats: what rounding leaves of nothing.
_ROUNDING = 1e-12
# Divergences, and rankings without the prior, of fewer questions or clusters of them have no interval: in simulations it would
# cover as little as 64 % where a few of them hold other beliefs.
FEWEST_UNITS = 100


def change_by_influence(change: Floats, influence: Floats, labels: Labels) -> Estimate:
    """The mean of changes most of which are 0 and the others 1 or -1, whose variance is that of their influences.

    A change of 2, which the prior can make where the answer without it changed the other way, counts as two of 1.
    """
    known = np.isfinite(change)
    lost, won, n = -float(change[change < 0].sum()), float(change[change > 0].sum()), int(known.sum())
    spread = mean(influence, **labels)
    if n == 0 or lost + won > n:
        return replace(spread, value=(won - lost) / n if n else None, undefined=len(change) - n)
    found = paired_change(lost, won, n)
    if found.se is None or spread.se is None:
        return replace(spread, value=found.value, undefined=len(change) - n)
    effective, df = _effective(found.se, spread, change, change != 0, labels)
    found = paired_change(lost, won, n, effective_n=effective, df=df)
    return replace(found, undefined=len(change) - n, unit=spread.unit, warnings=_few(spread))


def share_by_influence(right: Floats, influence: Floats, labels: Labels) -> Estimate:
    """A share of right answers, whose variance is that of their influences."""
    found, spread = rate(right), mean(influence, **labels)
    if found.value is None or found.se is None or spread.se is None:
        return replace(spread, value=found.value, statistic="share", undefined=found.undefined)
    effective, df = _effective(found.se, spread, right, right == (1.0 if found.value <= 0.5 else 0.0), labels)
    low, high = score_interval(found.value, effective, quantile(0.95, df))
    return replace(
        found, ci_low=low, ci_high=high, effective_n=effective, df=df, unit=spread.unit, warnings=_few(spread)
    )


def fitted_mean(found: Estimate, other: Estimate, fitted: int, units: int) -> Estimate:
    """The mean of a divergence, or of what so many fitted numbers explain of it: fitted to the other units, and to all.

    What is fitted to all questions explains too much, and what is fitted to the others too little: the interval reaches from the
    lower end of the one to the upper end of the other. Where an effect is hardly larger than its error, it grows with the square
    of what was fitted: the upper end is further by χ² / 2 of the difference of both, for each fitted number. Of fewer units
    (questions, or clusters of them: see `units_of`) than `FEWEST_UNITS` there is no interval.
    """
    if found.value is None or other.value is None:
        return found
    if units < FEWEST_UNITS:
        return _without_interval(found)
    if found.ci_low is None or found.ci_high is None or other.ci_low is None or other.ci_high is None:
        return found
    low, high = min(found.ci_low, other.ci_low), max(found.ci_high, other.ci_high)
    # What rounding leaves of nothing is nothing.
    low, high = (0.0 if abs(end) < _ROUNDING else end for end in (low, high))
    if fitted:
        from scipy.special import chdtri

        high += float(chdtri(fitted, 0.05)) / (2 * fitted) * abs(other.value - found.value)
    return replace(found, ci_low=low, ci_high=high, method="fit")


def ranking_without_prior(crossed: Floats, rougher: Floats, labels: Labels) -> Estimate:
    """The mean of ranking correlations without the prior; `rougher` as in `Parts`.

    An error of the offsets makes two rankings that are alike less alike, whatever its sign: what is found is too small by what
    shrinks with the root of the number of questions. Offsets of a quarter err twice as much: what the mean loses by them, over
    the quarters, is about what it lost by the error of its own, which varies by half as much; the interval reaches further down
    by that. Where its own error is large, by chance, the quarters lose little more or nothing; but the mean then moves from
    quarter to quarter, up and down, and the interval reaches further up by twice the root of the mean square. Of fewer questions,
    or clusters of them, than `FEWEST_UNITS` there is none.
    """
    found = mean(crossed, **labels)
    lost = [float(total / count) for total, count in rougher if count]
    if found.value is None or found.se is None or found.df is None or not lost:
        return found
    if units_of(crossed, labels) < FEWEST_UNITS:
        return _without_interval(found)
    t, moved = quantile(0.95, found.df), math.sqrt(sum(x * x for x in lost) / len(lost))
    low = found.value - t * math.hypot(found.se, max(sum(lost) / len(lost), 0.0) / 2)
    high = found.value + math.hypot(t * found.se, 2 * moved)
    return replace(found, ci_low=max(low, -1.0), ci_high=min(high, 1.0), method="fit")


def units_of(values: Floats, labels: Labels) -> int:
    """How many clusters of questions, or without clusters how many questions, have a value."""
    known = np.isfinite(values)
    return int(known.sum()) if labels["clusters"] is None else len(np.unique(labels["clusters"][known]))


def _without_interval(found: Estimate) -> Estimate:
    return replace(
        without_interval(found.value, found.n, "too few", undefined=found.undefined, unit=found.unit), se=found.se
    )


def _effective(
    alone: float, spread: Estimate, values: Floats, happened: Bools, labels: Labels
) -> tuple[float, float | None]:
    """How many independent questions say as much, and the degrees of freedom where it is not questions that are sampled.

    Parameters
    ----------
    alone : float
        Standard error, were the questions independent and nothing fitted.
    spread : Estimate
        With the standard error of what was sampled, and of what was fitted.
    values, happened : ndarray, shape [n]
        Those of which the mean is taken, and which are of the rarer kind.
    labels : dict
    """
    known = np.isfinite(values)
    n, ratio = int(known.sum()), (alone / spread.se) ** 2 if alone and spread.se else math.nan
    if labels["clusters"] is not None:
        return independent(n, ratio, numbered(labels["clusters"][known]), happened[known]), spread.df
    if labels["tasks"] is not None:
        return n * min(1.0, ratio) if ratio == ratio else float(len(np.unique(labels["tasks"][known]))), spread.df
    return n * min(1.0, ratio) if ratio == ratio else float(n), None


def _few(spread: Estimate) -> tuple[Caveat, ...]:
    return tuple(caveat for caveat in spread.warnings if caveat == "few clusters")
