"""Numbers of pairs of runs: among the runs of one side, and between two sides beyond that. Arrays in, estimates out.

Every number is a mean over pairs of runs, such as the share of answers that turn from one run to the other. What a run has in
such a mean is the average of the pairs that hold it, question by question: an array ``[runs, n]``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from consistency.statistics.crossed import CrossedMean, matching_df, over_runs
from consistency.statistics.estimates import Estimate
from consistency.statistics.intervals import quantile
from consistency.statistics.means import mean
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Floats, Integers


def among_runs(found: Estimate, runs: Floats, alike: float = 0.0, confidence: float = 0.95) -> Estimate:
    """How much two runs of one side differ, with what other runs would change in its interval.

    Parameters
    ----------
    found : Estimate
        The mean over questions and over all pairs of the runs, with its interval over questions.
    runs : ndarray, shape [runs, n]
        Of each run, the mean of its pairs. A question that is not finite in one run does not enter.
    alike : float
        What runs that do not differ have: the end of what the number can be.
    confidence : float

    Returns
    -------
    Estimate
        `found` itself, whose interval is over questions alone, where there are fewer than three runs: one pair tells nothing of
        other pairs.

    Notes
    -----
    The variance over runs is the jackknife's of a mean over pairs, which leaves out one run with all its pairs. How far runs are
    apart is skewed as a variance is, so that the interval over runs is that of its logarithm, with Student's t of as many degrees
    of freedom as there are pairs without a run in common, half the runs. Its arms and those over questions are added as in
    Banerjee's interval (`crossed_mean`). Both contain what single answers vary by: with few questions, or runs that differ
    little, the interval is too long.

    References
    ----------
    Arvesen (1969), Jackknifing U-statistics. Annals of Mathematical Statistics 40, 2076-2100.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> turned = (rng.random((4, 500)) < np.array([[0.1], [0.12], [0.1], [0.2]])) * 1.0
    >>> found = among_runs(mean(turned.mean(axis=0)), turned)
    >>> round(found.value, 2), found.unit, found.ci_high > mean(turned.mean(axis=0)).ci_high
    (0.14, 'run', True)
    """
    count = len(runs)
    if count < 3 or found.value is None or found.ci_low is None or found.ci_high is None or found.se is None:
        return found
    own = runs[:, np.isfinite(runs).all(axis=0)].mean(axis=1)
    # Without a run the mean over the pairs moves by 2 / (R - 2) of what its own pairs are off.
    variance = (count - 1) / count * (2 / (count - 2)) ** 2 * float(((own - own.mean()) ** 2).sum())
    # Runs that are all alike do not vary.
    apart = abs(found.value - alike)
    factor = math.exp(quantile(confidence, count / 2) * math.sqrt(variance) / apart) if variance > 0 else 1.0
    nearer, further = apart * (1 - 1 / factor), apart * (factor - 1)
    below, above = (nearer, further) if found.value >= alike else (further, nearer)
    arms = [math.hypot(found.value - found.ci_low, below), math.hypot(found.ci_high - found.value, above)]
    se = math.hypot(found.se, math.sqrt(variance))
    return replace(
        found,
        se=se,
        ci_low=found.value - arms[0],
        ci_high=found.value + arms[1],
        df=matching_df(sum(arms) / 2 / se, confidence) if se > 0 else found.df,
        unit="run",
        method=found.method if found.method == "bounded" else "t-crossed",
    )


def beyond_runs(
    between: tuple[Floats, Floats],
    within: tuple[Floats | None, Floats | None],
    labels: Labels,
    stratum: Integers | None = None,
    confidence: float = 0.95,
) -> CrossedMean:
    """By how much runs of two sides differ more than two runs of one side.

    Parameters
    ----------
    between : tuple of ndarray, shape [runs, n]
        Of each run of either side, the mean of its pairs with the runs of the other side.
    within : tuple of ndarray, shape [runs, n], or None
        Of each run, the mean of its pairs with the other runs of its side, in both directions; None for a side of a single run.
        Two runs of such a side are taken to differ as those of the other.
    labels : dict
        What was sampled, as `mean` takes it.
    stratum : ndarray of int64, shape [n], optional
        The task of each question.
    confidence : float

    Returns
    -------
    CrossedMean
        Without a value where neither side has two runs.

    Notes
    -----
    The mean over pairs between the sides, less the mean of the two sides' means over their own pairs: half the energy distance of
    the sides' runs, where the number is a distance. Its interval is that of `over_runs`, with what each run adds to both.

    References
    ----------
    Székely and Rizzo (2013), Energy statistics: a class of statistics based on distances. J. Statistical Planning and Inference
    143, 1249-1272.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> turned = (rng.random((2, 2, 400)) < np.array([0.2, 0.1])[:, None, None]) * 1.0
    >>> found = beyond_runs((turned[0], turned[0]), (turned[1], turned[1]), Labels(strata=None, tasks=None, clusters=None))
    >>> round(found.estimate.value, 1)
    0.1
    """
    known = [side for side in within if side is not None]
    if not known:
        return CrossedMean(mean([]), None, None)
    share = 1 / len(known)
    noise: Sequence[Floats] = [side.mean(axis=0) for side in known]
    found = mean(between[0].mean(axis=0) - share * np.sum(noise, axis=0), **labels, confidence=confidence)
    # A run is in two of the places of each pair of its own side.
    sides = [pairs if own is None else pairs - 2 * share * own for pairs, own in zip(between, within, strict=True)]
    return over_runs(found, sides, stratum, confidence)
