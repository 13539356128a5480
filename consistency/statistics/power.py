"""What a comparison of so many questions can find: power of the exact test of flips, before and after a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from consistency.statistics.roots import root
from consistency.support.arrays import Floats, Integers

# From fewer flips their rate is known too badly to promise anything.
LEAST_FLIPS = 40
MOST_QUESTIONS = 10_000_000
# Of up to so many flips the critical numbers are kept.
_TABLED = 8000
MOST_SEEDS = 1000


def power_of_flips(n: int, flip_rate: float, change: float, alpha: float = 0.05) -> float:
    """Probability that McNemar's exact test finds a change of accuracy.

    Parameters
    ----------
    n : int
        Questions.
    flip_rate : float
        Share of the answers that turn without any change of accuracy, half of them each way.
    change : float
        The true change of accuracy, by answers that turn one way besides.
    alpha : float

    Returns
    -------
    float

    Examples
    --------
    >>> power_of_flips(1000, 0.1, 0.0) < 0.05 < 0.8 < power_of_flips(1000, 0.1, 0.05)
    True
    """
    turning = min(1.0, flip_rate + abs(change))
    if not turning:
        return 0.0
    one_way = (turning - abs(change)) / 2 + abs(change)
    flips = _plausible(n, turning)
    fewest = _critical(flips, alpha)
    from scipy.special import bdtr

    share = one_way / turning
    # Both tails: at most so few one way, or at most so few the other.
    low = fewest.clip(0)
    found = np.where(fewest < 0, 0.0, bdtr(low, flips, share) + bdtr(low, flips, 1 - share))
    return float((_binomial(flips, n, turning) * found).sum())


def detectable_change(lost: int, won: int, n: int, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """The smallest true change that another comparison of as many questions finds with the given power.

    Parameters
    ----------
    lost, won, n : int
        Answers that turned each way, of so many.
    power, alpha : float

    Returns
    -------
    float or None
        As a fraction. None for fewer than 40 flips, or where no change is found so often.

    Notes
    -----
    The answers that turn both ways, as many as the rarer kind twice, are what turns without any change.

    Examples
    --------
    >>> detectable_change(1, 0, 100) is None, round(detectable_change(700, 700, 14042), 4)
    (True, 0.0078)
    """
    if lost + won < LEAST_FLIPS:
        return None
    idle = (lost + won - abs(lost - won)) / n
    most = 1 - idle

    def lacking(change: float) -> float:
        return power_of_flips(n, idle, change, alpha) - power

    if most <= 0:
        return None
    # Around what the normal approximation gives, if that is around it: c = z √((idle + c) / n).
    z2 = _squared_distance(power, alpha)
    near = (z2 + math.sqrt(z2 * z2 + 4 * z2 * n * idle)) / (2 * n)
    low, high = 0.95 * near, min(1.2 * near, most)
    if lacking(high) < 0:
        low, high = high, most
        if lacking(high) < 0:
            return None
    elif lacking(low) > 0:
        low, high = 0.0, low
    return root(lacking, low, high, xtol=1e-7)


def power_of_seeds(
    seeds: int, change: float, run_sd: float, flip_rate: float = 0.0, n: int | None = None, alpha: float = 0.05
) -> float:
    """Probability that a two-sided t test over seeds finds a change of accuracy, the mean of one change for each seed.

    Parameters
    ----------
    seeds : int
        Trainings of one recipe, at least two, each compared with the same model before.
    change : float
        The recipe's true change of accuracy, in these questions.
    run_sd : float
        Standard deviation of that change between seeds, as a fraction.
    flip_rate : float
        As in `power_of_flips`: answers that turn in each seed besides.
    n : int, optional
        Questions; without it as many as are needed for their noise not to matter.
    alpha : float

    Returns
    -------
    float

    Examples
    --------
    >>> power_of_seeds(3, 0.02, 0.01) < 0.8 < power_of_seeds(5, 0.02, 0.01)
    True
    """
    of_questions = 0.0 if n is None else max(flip_rate + abs(change) - change**2, 0.0) / n
    sd = math.sqrt(run_sd**2 + of_questions)
    if seeds < 2:
        return 0.0
    if not sd:
        return 1.0
    from scipy.special import nctdtr, stdtrit

    df, shift = seeds - 1, abs(change) / sd * math.sqrt(seeds)
    critical = float(stdtrit(df, 1 - alpha / 2))
    # A lower tail too thin for the routine comes back as NaN.
    return float(1 - nctdtr(df, shift, critical) + np.nan_to_num(nctdtr(df, shift, -critical)))


def fewest_seeds(power_of: Callable[[int], float], power: float = 0.8) -> int | None:
    """The number of seeds from which a t test has the given power; None where a thousand are too few.

    Examples
    --------
    >>> fewest_seeds(lambda k: power_of_seeds(k, 0.02, 0.01))
    5
    """
    return next((seeds for seeds in range(2, MOST_SEEDS + 1) if power_of(seeds) >= power), None)


def fewest_questions(power_of: Callable[[int], float], power: float = 0.8, near: float = 0.0) -> int | None:
    """The number of questions from which a comparison has the given power.

    Parameters
    ----------
    power_of : callable
        From a number of questions to the power; it grows, but for small steps.
    power : float
    near : float
        About how many they are, which saves half of the time.

    Returns
    -------
    int or None
        None where ten million questions are too few.

    Examples
    --------
    >>> fewest_questions(lambda n: power_of_flips(n, 0.1, 0.05))
    498
    """
    least, enough = int(0.95 * near), math.ceil(1.2 * near)
    if not near or enough > MOST_QUESTIONS or not power_of(least) < power <= power_of(enough):
        enough = 10
        while power_of(enough) < power:
            enough *= 2
            if enough > MOST_QUESTIONS:
                return None
        least = enough // 2
    while enough - least > max(1, enough // 1000):
        middle = (least + enough) // 2
        least, enough = (least, middle) if power_of(middle) >= power else (middle, enough)
    return enough


def questions_near(flip_rate: float, change: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """About how many questions `power_of_flips` needs, by the normal approximation.

    Examples
    --------
    >>> round(questions_near(0.1, 0.05))
    471
    """
    return _squared_distance(power, alpha) * (flip_rate + abs(change)) / change**2


def _squared_distance(power: float, alpha: float) -> float:
    """Of a change that is found with this power from none, in its standard errors, squared."""
    from scipy.special import ndtri

    return (float(ndtri(1 - alpha / 2)) + float(ndtri(power))) ** 2


def _plausible(n: int, chance: float) -> Integers:
    """Counts out of n with this chance, but for the tails of less than 1e-5."""
    spread = math.sqrt(n * chance * (1 - chance)) + 1
    return np.arange(max(0, int(n * chance - 5 * spread)), min(n, int(n * chance + 5 * spread)) + 1)


def _binomial(counts: Integers, n: int, chance: float) -> Floats:
    from scipy.special import gammaln, xlog1py, xlogy

    ways = gammaln(n + 1) - gammaln(counts + 1) - gammaln(n - counts + 1)
    return np.asarray(np.exp(ways + xlogy(counts, chance) + xlog1py(n - counts, -chance)))


def _critical(flips: Integers, alpha: float) -> Integers:
    """The largest number one way at which the two-sided exact test rejects, -1 where none does."""
    most = int(flips[-1])
    return _critical_values(flips, alpha) if most > _TABLED else _critical_up_to(1 << most.bit_length(), alpha)[flips]


@lru_cache
def _critical_up_to(most: int, alpha: float) -> Integers:
    """The critical numbers of 0 to `most` flips, which comparisons of many tasks ask for again and again."""
    return _critical_values(np.arange(most + 1), alpha)


def _critical_values(flips: Integers, alpha: float) -> Integers:
    from scipy.special import bdtr, ndtri

    # Near the normal approximation, then step by step.
    found = np.floor(flips / 2 + float(ndtri(alpha / 2)) * np.sqrt(flips) / 2 - 1).astype(np.int64).clip(-1)
    for _ in range(3):
        higher = np.minimum(found + 1, flips)
        found = np.where(2 * bdtr(higher, flips, 0.5) <= alpha, higher, found)
    return found
