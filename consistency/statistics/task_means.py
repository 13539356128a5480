"""Means over several tasks: of samples with questions in common, of the tasks themselves, and weighed ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.estimates import Caveat, Estimate, Method, Unit, without_interval
from consistency.statistics.intervals import quantile, t_interval
from consistency.statistics.means import FEW_CLUSTERS, mean
from consistency.statistics.sampling import numbered
from consistency.statistics.shares import score_interval
from consistency.support.arrays import Floats, Integers


def mean_of_means(samples: Sequence[Floats], question: Integers, stratum: Integers) -> Estimate:
    """Mean of several samples' means, each with the same weight, over questions within fixed tasks.

    A question that several samples hold is one draw: its contributions to the mean are added before their variance is
    taken.

    Parameters
    ----------
    samples : sequence of ndarray
        One number per question each. Values that are not finite do not enter, and are counted in `undefined`.
    question : ndarray of int64
        The question of each value, sample after sample, as a number from 0.
    stratum : ndarray of int64
        The task of each question.

    Returns
    -------
    Estimate
        `n` counts questions.

    Examples
    --------
    >>> sample, questions = np.array([0.0, 1.0, 1.0]), np.arange(3)
    >>> twice = mean_of_means([sample, sample], np.tile(questions, 2), np.zeros(3, dtype=int))
    >>> abs(twice.se - mean(sample).se) < 1e-12, twice.n
    (True, 3)
    """
    n = len(stratum)
    centres, deviations, undefined = [], [], 0
    for x in samples:
        finite = np.isfinite(x)
        undefined += int((~finite).sum())
        if not finite.any():
            return without_interval(None, 0, "no values", undefined=undefined, unit="stratum")
        centres.append(float(x[finite].mean()))
        # What a question adds to the error of the mean: nothing where it has no value.
        deviations.append(np.where(finite, x - centres[-1], 0.0) / finite.sum() / len(samples))
    totals = np.bincount(question, weights=np.concatenate(deviations), minlength=n)
    spread = mean(totals * n, strata=stratum)
    value = float(np.mean(centres))
    if spread.value is None or spread.ci_low is None or spread.ci_high is None:
        return replace(spread, value=value, undefined=undefined)
    ends = (spread.ci_low - spread.value + value, spread.ci_high - spread.value + value)
    return replace(spread, value=value, ci_low=ends[0], ci_high=ends[1], undefined=undefined)


def macro_mean(
    values: ArrayLike,
    tasks: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of the tasks' means, each task with the same weight.

    Parameters
    ----------
    values, tasks : array_like, shape [n]
        One number per question, and its task. Values that are not finite do not enter.
    strata, clusters : array_like, shape [n], optional
        As in `mean`. Without strata whole tasks are sampled.
    confidence : float
        Of the interval.

    Returns
    -------
    Estimate
        `n` counts tasks.

    Examples
    --------
    >>> macro_mean([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]).value
    0.5
    """
    x = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(x)
    present = numbered(np.asarray(tasks)[finite])
    if not len(present):
        return mean(x)
    counts = np.bincount(present)
    # Weighted so that each task counts the same, the plain mean is the macro mean.
    balanced = np.full(len(x), np.nan)
    balanced[finite] = x[finite] * (len(present) / len(counts) / counts)[present]
    if strata is None and clusters is None:
        means = np.bincount(present, weights=x[finite]) / counts
        found = mean(means, tasks=np.arange(len(means)), confidence=confidence)
    else:
        sampled = tasks if strata is None else None
        found = mean(balanced, strata=strata, tasks=sampled, clusters=clusters, confidence=confidence)
    return replace(found, n=len(counts), statistic="mean of the tasks", undefined=int((~finite).sum()))


def macro_share(
    values: ArrayLike, tasks: ArrayLike, *, strata: ArrayLike | None = None, clusters: ArrayLike | None = None
) -> Estimate:
    """Mean of the tasks' shares, each task with the same weight, with Wilson's interval.

    Parameters
    ----------
    values : array_like, shape [n]
        0 or 1; values that are not finite do not enter.
    tasks, strata, clusters
        As in `macro_mean`.

    Returns
    -------
    Estimate
        `n` counts tasks. The interval is that of as many independent questions as give the variance of `macro_mean`
        (`effective_n`); where nothing varies, of as many as there are.

    Examples
    --------
    >>> found = macro_share([1.0, 1.0, 1.0, 1.0], ["a", "a", "b", "b"], strata=["a", "a", "b", "b"])
    >>> found.value, round(found.ci_low, 3)
    (1.0, 0.51)
    """
    found = macro_mean(values, tasks, strata=strata, clusters=clusters)
    if found.value is None:
        return found
    known = int(np.isfinite(np.asarray(values, dtype=np.float64)).sum())
    effective, df = float(known), None
    if found.se and 0 < found.value < 1:
        effective, df = min(known, found.value * (1 - found.value) / found.se**2), found.df
    low, high = score_interval(found.value, effective, quantile(0.95, df))
    few = tuple(caveat for caveat in found.warnings if caveat == "few clusters")
    return replace(found, ci_low=low, ci_high=high, method="wilson", warnings=few, effective_n=effective)


def mean_of_changes(found: Estimate, changes: Sequence[Estimate], *, shared: bool = False) -> Estimate:
    """The mean of the tasks' changes of a share, with an interval from those of the tasks.

    Parameters
    ----------
    found : Estimate
        Of `macro_mean`.
    changes : sequence of Estimate
        Of each task, with an interval that has a width where nothing turned (`change_of_shares`).
    shared : bool
        Whether tasks have questions in common: their errors are then taken to go together wholly.

    Returns
    -------
    Estimate
        Without another interval where a task has none.

    References
    ----------
    Zou and Donner (2008), Construction of confidence limits about effect measures: a general approach. Statistics in Medicine
    27, 1693-1702.

    Examples
    --------
    >>> from consistency.statistics.paired_shares import paired_change
    >>> one = paired_change(0, 0, 50)
    >>> found = mean_of_changes(mean([0.0, 0.0]), [one, one])
    >>> round(found.ci_high, 3) == round(one.ci_high / math.sqrt(2), 3)
    True
    """
    known = [item for item in changes if item.value is not None]
    arms = np.array(
        [
            (item.value - item.ci_low, item.ci_high - item.value)
            for item in known
            if item.value is not None and item.ci_low is not None and item.ci_high is not None
        ]
    )
    if found.value is None or not len(known) or len(arms) < len(known):
        return found
    low, high = (arms.sum(axis=0) if shared else np.sqrt((arms**2).sum(axis=0))) / len(known)
    kept = tuple(caveat for caveat in found.warnings if caveat not in ("constant", "uneven", "skewed"))
    ends = max(-1.0, found.value - float(low)), min(1.0, found.value + float(high))
    return replace(found, ci_low=ends[0], ci_high=ends[1], method="mover", warnings=kept)


def weighted_mean(
    estimates: Sequence[Estimate],
    weights: Sequence[float],
    *,
    sampled: bool = False,
    shared: bool = False,
    confidence: float = 0.95,
) -> Estimate:
    """Mean of the estimates of several tasks, each over its own questions.

    Parameters
    ----------
    estimates : sequence of Estimate
        One for each task.
    weights : sequence of float
        Positive, of any sum.
    sampled : bool
        Whether the tasks are sampled; else they are fixed, and the interval is Welch's and Satterthwaite's.
    shared : bool
        Whether fixed tasks have questions in common: their errors are then taken to go together wholly, which is too wide
        rather than too narrow.
    confidence : float

    Returns
    -------
    Estimate
        `n` counts questions. No value where a task has none; no interval where a task has none.

    Examples
    --------
    >>> tasks = [mean([0.0, 1.0]), mean([1.0, 1.0, 1.0, 0.0])]
    >>> weighted_mean(tasks, [2, 4]).value == mean([0.0, 1.0, 1.0, 1.0, 1.0, 0.0]).value
    True
    """
    n, undefined = sum(item.n for item in estimates), sum(item.undefined for item in estimates)
    unit: Unit = "cluster" if sampled else "stratum"
    found = [item.value for item in estimates if item.value is not None]
    shares = np.asarray(weights, dtype=np.float64) / sum(weights)
    value = float(shares @ np.array(found)) if len(found) == len(estimates) else None
    told = dict.fromkeys(caveat for item in estimates for caveat in item.warnings if caveat != "constant")
    if value is None or (not sampled and any(item.se is None or item.df is None for item in estimates)):
        return without_interval(value, n, "missing group", undefined=undefined, statistic="weighted mean", unit=unit)
    if sampled:
        se, df = _of_sampled(np.array(found) - value, shares)
        told = {"few clusters": None} if df + 1 < FEW_CLUSTERS else {}
    else:
        errors = shares * np.array([item.se for item in estimates], dtype=np.float64)
        freedom = np.array([item.df for item in estimates], dtype=np.float64)
        spread = float((errors**4 / freedom).sum())
        se = float(errors.sum()) if shared else math.sqrt((errors**2).sum())
        df = float((errors**2).sum()) ** 2 / spread if spread > 0 else float(freedom.sum())
        df = float(freedom.min()) if shared else df
    if not df:
        return without_interval(value, n, "too few", undefined=undefined, statistic="weighted mean", unit=unit)
    low, high = t_interval(value, se, df, confidence)
    caveats: tuple[Caveat, ...] = ("constant", *told) if se == 0 else tuple(told)
    method: Method = "t-cr3" if sampled else "t"
    return Estimate(value, se, low, high, n, df, undefined, "weighted mean", unit, method, caveats)


def _of_sampled(deviations: Floats, shares: Floats) -> tuple[float, float]:
    """Standard error and degrees of freedom of a weighted mean of sampled tasks: leaving out one task after the other."""
    tasks = len(shares)
    if tasks < 2:
        return 0.0, 0.0
    left = shares * deviations / (1 - shares)
    return math.sqrt((tasks - 1) / tasks * float((left**2).sum())), 1 / float((shares**2).sum()) - 1
