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

from consistency.statistics.estimates import Estimate, without_interval
from consistency.statistics.means import mean
from consistency.statistics.roots import root
from consistency.statistics.sampling import independent, numbered
from consistency.support.arrays import Floats, Integers

# Where at least so many answers turn, the score test keeps its level without further help; where its p is larger than this,
# nothing depends on it.
_MANY = 30
_LARGE = 0.2
# Where fewer answers are expected to turn, power is that of the exact test, over outcomes that are not as unlikely as this.
_FEW = 8
_UNLIKELY = 1e-4
# Where more answers are expected to turn, power is that of normal changes.
_NORMAL = 20_000
# Chances at which the exact p is computed, and how surely they contain the true one.
_CHANCES = 16
_DOUBT = 1e-4


def paired_change(
    lost: float,
    won: float,
    n: int,
    confidence: float = 0.95,
    *,
    effective_n: float | None = None,
    df: float | None = None,
) -> Estimate:
    """The change of a share with Tango's score interval.

    Parameters
    ----------
    lost, won : int or float
        Answers that turned from right to wrong, and from wrong to right; of a mean over samples no whole numbers.
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


def turned(change: Estimate) -> tuple[int, int]:
    """How many answers turned from right to wrong, and from wrong to right, by an estimate of `paired_change`.

    Examples
    --------
    >>> turned(paired_change(7, 3, 100)), turned(paired_change(7, 3, 100, effective_n=40))
    ((7, 3), (7, 3))
    """
    assert change.value is not None
    assert change.se is not None
    weight = 1.0 if change.effective_n is None else change.effective_n / change.n
    both = change.n * (change.se**2 * (change.n - 1) * weight + change.value**2)
    return round((both - change.n * change.value) / 2), round((both + change.n * change.value) / 2)


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
        the changes, and never as more than there are questions; where few clusters have a change, as fewer (`independent`).

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
    if change.se is None:
        return change
    alone, known = mean(differences, strata=strata), np.isfinite(differences)
    ratio = (alone.se / change.se) ** 2 if alone.se and change.se else math.nan
    if clusters is not None:
        effective = independent(change.n, ratio, numbered(clusters[known]), differences[known] != 0)
    else:
        effective = change.n * min(1.0, ratio) if change.se else float(len(np.unique(np.asarray(tasks)[known])))
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
    more, fewer = max(lost, won), min(lost, won)
    nearer = greater_change(more, fewer, n, -margin, effective_n=effective_n, df=df)
    if nearer > _LARGE:
        return nearer
    # The margin on the other side is further away.
    return max(nearer, greater_change(fewer, more, n, -margin, effective_n=effective_n, df=df))


def greater_change(
    lost: int,
    won: int,
    n: int,
    change: float,
    *,
    effective_n: float | None = None,
    df: float | None = None,
    doubt: float = _DOUBT,
    many: int = _MANY,
) -> float:
    """Exact unconditional p of "the share of right answers changes by `change` or less".

    With a negative change, the one-sided test of non-inferiority. With `lost` and `won` exchanged, that of harm: of "the share
    falls by `change` or less".

    Parameters
    ----------
    lost, won, n, effective_n, df
        As in `paired_change`.
    change : float
        As a fraction.
    doubt : float
        How surely the chances for which the largest p is taken contain the true one; it is added to the p, and should be far
        below the level at which the p is judged.
    many : int
        From so many answers on that turn each way, or that the change means, the p is the asymptotic one of the score test, as
        it is above 0.2. At levels far below 5 % the asymptotic p needs hundreds.

    Returns
    -------
    float
        Small: the share rises by more, or falls by less.

    Examples
    --------
    >>> greater_change(0, 0, 400, -0.01) < 0.05 < greater_change(0, 0, 200, -0.01)
    True
    >>> greater_change(2, 20, 100, 0.05) < 0.05 < greater_change(2, 12, 100, 0.05)
    True
    """
    from scipy.special import ndtr, stdtr

    weight = 1.0 if effective_n is None else effective_n / n
    score = float(_score(lost * weight, won * weight, n * weight, change))
    rough = float(ndtr(-score) if df is None else stdtr(df, -score))
    if max(n * abs(change), min(lost, won)) * weight >= many or rough > _LARGE:
        return rough
    # Of fractions of answers those whole numbers that make a larger change less likely.
    exact = _reached(math.ceil(lost * weight), math.floor(won * weight), math.floor(n * weight), change, doubt)
    return exact if df is None else max(rough, exact)


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
        Of both one-sided score tests at 5 %, and where fewer than 8 answers are expected to turn of the exact test of
        `equivalence_of_shares`.

    Examples
    --------
    >>> power_of_equivalence(500, 0.05, 0.01) < 0.5 < 0.8 < power_of_equivalence(6000, 0.05, 0.01)
    True
    """
    from scipy.special import ndtr, ndtri

    z = float(ndtri(0.95))
    if n * flip_rate > _NORMAL:
        # Both tests reject where the change is nearer to 0 than the margin less z standard errors.
        return max(0.0, 2 * float(ndtr(margin / math.sqrt(flip_rate / n) - z)) - 1)
    lost, won, probability = _outcomes(n, flip_rate / 2, flip_rate / 2)
    shown = (_score(lost, won, n, -margin) >= z) & (_score(lost, won, n, margin) <= -z)
    if n * flip_rate < _FEW:
        # The exact test rejects fewer of the few outcomes that there are.
        likely = np.flatnonzero(shown & (probability > _UNLIKELY))
        exact = [equivalence_of_shares(int(lost[i]), int(won[i]), n, margin) < 0.05 for i in likely]
        return float(probability[likely][exact].sum())
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


def _reached(lost: int, won: int, n: int, change: float, doubt: float) -> float:
    """The p of a score that is as large as the observed one, where the true change is `change`."""
    from scipy.special import betaincinv

    observed = float(_score(lost, won, n, change))
    # The largest p over the chances that the rarer kind of turn makes likely (Berger and Boos 1994).
    rarer, more = (won, (-change, 0.0)) if change < 0 else (lost, (0.0, change))
    lowest = float(betaincinv(rarer, n - rarer + 1, doubt / 2)) if rarer else 0.0
    highest = min(float(betaincinv(rarer + 1, n - rarer, 1 - doubt / 2)) if rarer < n else 1.0, (1 - abs(change)) / 2)
    chances = np.linspace(lowest, highest, _CHANCES) if highest > lowest else np.array([highest])
    tails = [_tail(n, chance + more[0], chance + more[1], change, observed) for chance in chances.tolist()]
    return min(1.0, max(tails) + doubt)


def _tail(n: int, losing: float, winning: float, change: float, observed: float) -> float:
    """Probability of a score at least as large, where answers are lost and won with these chances."""
    lost, won, probability = _outcomes(n, losing, winning)
    far = _score(lost, won, n, change) >= observed - 1e-9
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


def _variance(lost: Any, won: Any, n: Any, change: float) -> Any:
    """Variance of won - lost where the true change is `change`, and all else is as the counts make most likely.

    Of numbers or arrays: in the search for an end of an interval numbers are far faster.
    """
    linear = -lost - won + (2 * n - won + lost) * change
    # Below 0 by rounding alone.
    root = abs(linear * linear + 8 * n * lost * change * (1 - change)) ** 0.5
    chance = (root - linear) / (4 * n)
    return n * (2 * chance + change * (1 - change))


def _where(lost: float, won: float, n: float, z: float) -> float:
    """The change at which the statistic is z."""

    def beyond(change: float) -> float:
        variance, distance = _variance(lost, won, n, change), won - lost - n * change
        score = (
            distance / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, distance) if distance else 0.0
        )
        return max(-1e6, min(1e6, score)) - z

    edge = 1 - 1e-12
    if beyond(-edge) <= 0:
        return -1.0
    if beyond(edge) >= 0:
        return 1.0
    return root(beyond, -edge, edge, xtol=1e-12)
