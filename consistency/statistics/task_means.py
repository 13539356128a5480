"""Means over several tasks: of samples with questions in common, of the tasks themselves, and weighed ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.estimates import Caveat, Estimate, mean, t_interval, without_interval
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
    >>> twice.se == mean(sample).se, twice.n
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
        return replace(over, unit="cluster", statistic="mean of the tasks", undefined=undefined)
    # Weighted so that each group counts the same, the plain mean is the macro mean.
    balanced = mean(x[finite] * (len(x[finite]) / len(counts) / counts)[present], strata=present, confidence=confidence)
    return replace(balanced, n=len(counts), statistic="mean of the tasks", undefined=undefined)


def weighted_mean(estimates: Sequence[Estimate], weights: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Mean of the estimates of fixed tasks, each over its own questions, with an interval by Welch and Satterthwaite.

    Parameters
    ----------
    estimates : sequence of Estimate
        One for each task, independent of each other.
    weights : sequence of float
        Positive, of any sum.
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
    values = [item.value for item in estimates if item.value is not None]
    if len(values) < len(estimates):
        return without_interval(
            None, n, "missing group", undefined=undefined, statistic="weighted mean", unit="stratum"
        )
    shares = np.asarray(weights, dtype=np.float64) / sum(weights)
    value = float(shares @ np.array(values))
    parts = [
        ((share * item.se) ** 2, item.df)
        for share, item in zip(shares.tolist(), estimates, strict=True)
        if item.se is not None and item.df is not None
    ]
    if len(parts) < len(estimates):
        return without_interval(
            value, n, "missing group", undefined=undefined, statistic="weighted mean", unit="stratum"
        )
    variance = sum(part for part, _ in parts)
    spread = sum(part**2 / df for part, df in parts)
    df = variance**2 / spread if spread > 0 else sum(df for _, df in parts)
    low, high = t_interval(value, math.sqrt(variance), df, confidence)
    told = dict.fromkeys(caveat for item in estimates for caveat in item.warnings if caveat != "constant")
    caveats: tuple[Caveat, ...] = ("constant", *told) if variance == 0 else tuple(told)
    return Estimate(value, math.sqrt(variance), low, high, n, df, undefined, "weighted mean", "stratum", "t", caveats)
