"""The change of a share of right answers between two runs of the same questions, from the answers that turned.

Of n pairs, `lost` turned from right to wrong and `won` from wrong to right; the change is (won - lost) / n. A t interval of it
has no width where nothing turned, and is too narrow where few did. The score interval and the tests here hold their level.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.statistics.estimates import Estimate, mean, without_interval
from consistency.support.arrays import Floats, Integers

# Where at least so many answers turn, the score test keeps its level without further help; where its p is larger than this,
# nothing depends on it.
_MANY = 30
_LARGE = 0.2
# Chances at which the exact p is computed, and how surely they contain the true one.
_CHANCES = 16
_DOUBT = 1e-4


def paired_change(
    lost: int, won: int, n: int, confidence: float = 0.95, *, effective_n: float | None = None, df: float | None = None
) -> Estimate:
    """The change of a share with Tango's score interval.

    Parameters
    ----------
    lost, won : int
        Answers that turned from right to wrong, and from wrong to right.
    n : int
        Pairs.
    confidence : float
    effective_n, df : float, optional
        Where the questions are not independent of each other: how many independent ones would say as much, and the degrees
        of freedom of that. The counts are then taken as so many of so many (Rao and Scott 1992), with Student's quantile.

    Returns
    -------
    Estimate
        `value` is (won - lost) / n and `se` the standard error of a mean; the interval is not symmetric around it, and
        has a width where nothing turned.

    References
    ----------
    Tango (1998), Equivalence test and confidence interval for the difference in proportions for the paired-sample design.
    Statistics in Medicine 17, 891-908.
    Rao and Scott (1992), A simple method for the analysis of clustered binary data. Biometrics 48, 577-585.

    Examples
    --------
    >>> found = paired_change(0, 0, 100)
    >>> found.value, round(found.ci_low, 4), round(found.ci_high, 4)
    (0.0, -0.037, 0.037)
    """
    if n < 2:
        value = (won - lost) / n if n else None
        return without_interval(value, n, "too few" if n else "no values")
    from scipy.special import ndtri, stdtrit

    value, level = (won - lost) / n, (1 + confidence) / 2
    z = float(ndtri(level) if df is None else stdtrit(df, level))
    weight = 1.0 if effective_n is None else effective_n / n
    low, high = (_where(lost * weight, won * weight, n * weight, side) for side in (z, -z))
    se = math.sqrt(max((lost + won) / n - value**2, 0.0) / (n - 1) / weight)
    return Estimate(value, se, low, high, n, n - 1 if df is None else df, method="score", effective_n=effective_n)


def change_of_shares(
    before: Floats,
    after: Floats,
    *,
    strata: Integers | None = None,
    tasks: Integers | None = None,
    clusters: Integers | None = None,
) -> Estimate:
    """The change of a share between two runs, with the interval of `paired_change`, whatever was sampled.

    Parameters
    ----------
    before, after : ndarray, shape [n]
        1 where the answer is right, 0 where it is wrong; a question where either is NaN does not enter.
    strata, tasks, clusters : ndarray of int64, shape [n], optional
        What was sampled, as in `mean`. Clusters count as so many independent questions as give the variance of the mean of
        the changes, and never as more than there are questions; where nothing varies, as so many as there are clusters.

    Examples
    --------
    >>> right, later = np.repeat([1.0, 0.0], [60, 40]), np.repeat([0.0, 1.0, 0.0], [4, 58, 38])
    >>> passage = np.repeat(np.arange(50), 2)
    >>> one, two = change_of_shares(right, later), change_of_shares(right, later, clusters=passage)
    >>> one.value == two.value, two.ci_low < one.ci_low, round(two.effective_n)
    (True, True, 49)
    """
    differences = after - before
    lost, won = int((differences == -1).sum()), int((differences == 1).sum())
    change = mean(differences, strata=strata, tasks=tasks, clusters=clusters)
    if (tasks is None and clusters is None) or change.n < 2:
        return replace(paired_change(lost, won, change.n), undefined=change.undefined)
    alone, known = mean(differences, strata=strata), np.isfinite(differences)
    if change.se and alone.se:
        effective = change.n * min(1.0, (alone.se / change.se) ** 2)
    else:
        effective = float(min(len(np.unique(of[known])) for of in (tasks, clusters) if of is not None))
    found = paired_change(lost, won, change.n, effective_n=effective, df=change.df)
    few = tuple(caveat for caveat in change.warnings if caveat == "few clusters")
    return replace(found, undefined=change.undefined, unit=change.unit, warnings=few)


def equivalence_of_shares(
    lost: int, won: int, n: int, margin: float, *, effective_n: float | None = None, df: float | None = None
) -> float:
    """Exact unconditional p of "the share of right answers changes by at least `margin`, up or down".

    Both one-sided score tests at the margin, each with the largest p over the chance that answers turn both ways.

    Parameters
    ----------
    lost, won, n, effective_n, df
        As in `paired_change`.
    margin : float
        The largest change that counts as none, between 0 and 1.

    Returns
    -------
    float
        Below .05: the change is smaller than the margin. The asymptotic p of the score test, which keeps its level there, where
        30 answers turn each way or the margin is 30 questions, and where it is above 0.2.

    References
    ----------
    Berger and Boos (1994), P values maximized over a confidence set for the nuisance parameter. JASA 89, 1012-1016.

    Examples
    --------
    >>> equivalence_of_shares(0, 0, 400, 0.01) < 0.05 < equivalence_of_shares(0, 0, 200, 0.01)
    True
    >>> equivalence_of_shares(1, 0, 300, 0.01) > equivalence_of_shares(0, 0, 300, 0.01)
    True
    """
    from scipy.special import ndtr, stdtr

    weight = 1.0 if effective_n is None else effective_n / n
    rough = []
    for one, other in ((lost, won), (won, lost)):
        score = float(_score(one * weight, other * weight, n * weight, -margin))
        rough.append(float(ndtr(-score) if df is None else stdtr(df, -score)))
    if max(n * margin, min(lost, won)) * weight >= _MANY or max(rough) > _LARGE:
        return max(rough)
    # Of fractions of answers those whole numbers that make a change more likely.
    size = math.floor(n * weight)
    exact = [
        _reached(math.ceil(one * weight), math.floor(other * weight), size, margin)
        for one, other in ((lost, won), (won, lost))
    ]
    return max(rough + exact) if df is not None else max(exact)


def power_of_equivalence(n: int, flip_rate: float, margin: float) -> float:
    """Probability that a comparison shows the change to be smaller than the margin, where there is none.

    Parameters
    ----------
    n : int
        Questions.
    flip_rate : float
        Share of the answers that turn, half of them each way.
    margin : float
        The largest change that counts as none.

    Returns
    -------
    float
        Of both one-sided score tests at 5 %. With margins of fewer than 30 questions the exact test of
        `equivalence_of_shares` has a little less.

    Examples
    --------
    >>> power_of_equivalence(500, 0.05, 0.01) < 0.5 < 0.8 < power_of_equivalence(6000, 0.05, 0.01)
    True
    """
    from scipy.special import ndtri

    z = float(ndtri(0.95))
    lost, won, probability = _outcomes(n, flip_rate / 2, flip_rate / 2)
    shown = (_score(lost, won, n, -margin) >= z) & (_score(lost, won, n, margin) <= -z)
    return float(probability[shown].sum())


def differing_changes(lost: ArrayLike, won: ArrayLike, n: ArrayLike) -> float | None:
    """The p of "the share of right answers changes alike in all tasks".

    Cochran's Q of the tasks' changes, each with its variance where all change alike, as in the score test: the variance of a
    task with few flips is not taken from these few.

    Parameters
    ----------
    lost, won, n : array_like of int, shape [tasks]
        Of each task, as in `paired_change`.

    Returns
    -------
    float or None
        None where fewer than two tasks have a flip.

    References
    ----------
    Cochran (1954), The combination of estimates from different experiments. Biometrics 10, 101-129.

    Examples
    --------
    >>> differing_changes([10, 12], [11, 10], [100, 100]) > 0.5, differing_changes([40, 5], [5, 40], [100, 100]) < 1e-6
    (True, True)
    """
    from scipy.special import chdtrc

    b, c, size = (np.asarray(x, dtype=np.float64) for x in (lost, won, n))
    common = float((c.sum() - b.sum()) / size.sum())
    variance = _variance(b, c, size, common) / size**2
    known = variance > 0
    if known.sum() < 2:
        return None
    change, weight = ((c - b) / size)[known], 1 / variance[known]
    centre = float(weight @ change / weight.sum())
    return float(chdtrc(known.sum() - 1, float(weight @ (change - centre) ** 2)))


def _reached(lost: int, won: int, n: int, margin: float) -> float:
    """The p of "at least `margin` of the answers are lost on balance", against fewer."""
    from scipy.special import betaincinv

    observed = float(_score(lost, won, n, -margin))
    # The largest p over the chances that the answers won make likely (Berger and Boos 1994).
    lowest = float(betaincinv(won, n - won + 1, _DOUBT / 2)) if won else 0.0
    highest = min(float(betaincinv(won + 1, n - won, 1 - _DOUBT / 2)) if won < n else 1.0, (1 - margin) / 2)
    chances = np.linspace(lowest, highest, _CHANCES) if highest > lowest else np.array([highest])
    return min(1.0, max(_tail(n, chance + margin, chance, margin, observed) for chance in chances.tolist()) + _DOUBT)


def _tail(n: int, losing: float, winning: float, margin: float, observed: float) -> float:
    """Probability of a score at least as large, where answers are lost and won with these chances."""
    lost, won, probability = _outcomes(n, losing, winning)
    far = _score(lost, won, n, -margin) >= observed - 1e-9
    return min(1.0, float(probability[far].sum()))


def _outcomes(n: int, losing: float, winning: float) -> tuple[Integers, Integers, Floats]:
    """Numbers of answers lost and won, and the probability of each pair of them."""
    from scipy.special import gammaln, xlog1py, xlogy

    lost, won = np.meshgrid(_plausible(n, losing), _plausible(n, winning), indexing="ij")
    possible = lost + won <= n
    lost, won = lost[possible], won[possible]
    stay = n - lost - won
    ways = gammaln(n + 1) - gammaln(lost + 1) - gammaln(won + 1) - gammaln(stay + 1)
    return lost, won, np.exp(ways + xlogy(lost, losing) + xlogy(won, winning) + xlog1py(stay, -losing - winning))


def _plausible(n: int, chance: float) -> NDArray[np.int64]:
    """Counts out of n with this chance, but for the tails of less than 1e-9."""
    spread = math.sqrt(n * chance * (1 - chance)) + 1
    return np.arange(max(0, int(n * chance - 7 * spread)), min(n, int(n * chance + 9 * spread + 8)) + 1)


def _score(lost: ArrayLike, won: ArrayLike, n: float, change: float) -> Floats:
    """Tango's statistic of "the true change is `change`", which falls in it; standard normal where that is so."""
    b, c = np.asarray(lost, dtype=np.float64), np.asarray(won, dtype=np.float64)
    variance = _variance(b, c, n, change)
    distance = c - b - n * change
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, distance / np.sqrt(np.maximum(variance, 0.0)), np.sign(distance) * np.inf)


def _variance(lost: Floats, won: Floats, n: float | Floats, change: float) -> Floats:
    """Variance of won - lost where the true change is `change`, and all else is as the counts make most likely."""
    linear = -lost - won + (2 * n - won + lost) * change
    root = np.sqrt(np.maximum(linear**2 + 8 * n * lost * change * (1 - change), 0.0))
    chance = (root - linear) / (4 * n)
    return np.asarray(n * (2 * chance + change * (1 - change)))


def _where(lost: float, won: float, n: float, z: float) -> float:
    """The change at which the statistic is z."""
    from scipy.optimize import brentq

    def beyond(change: float) -> float:
        found: Any = _score(lost, won, n, change)
        return float(np.clip(found, -1e6, 1e6)) - z

    edge = 1 - 1e-12
    if beyond(-edge) <= 0:
        return -1.0
    if beyond(edge) >= 0:
        return 1.0
    return float(brentq(beyond, -edge, edge, xtol=1e-12))
