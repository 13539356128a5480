"""What a comparison of so many questions can find: power of the exact test of flips, before and after a run."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from consistency.support.arrays import Floats, Integers

# From fewer flips their rate is known too badly to promise anything.
LEAST_FLIPS = 40
MOST_QUESTIONS = 10_000_000


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
    from scipy.optimize import brentq

    idle = (lost + won - abs(lost - won)) / n
    most = 1 - idle

    def lacking(change: float) -> float:
        return power_of_flips(n, idle, change, alpha) - power

    if most <= 0 or lacking(most) < 0:
        return None
    # Around what the normal approximation gives, if that is around it.
    near = 2.8 * math.sqrt(idle / n)
    low = 0.7 * near if lacking(0.7 * near) < 0 else 0.0
    high = 1.4 * near if 1.4 * near < most and lacking(1.4 * near) > 0 else most
    return float(brentq(lacking, low, high, xtol=1e-4))


def fewest_questions(power_of: Callable[[int], float], power: float = 0.8) -> int | None:
    """The number of questions from which a comparison has the given power.

    Parameters
    ----------
    power_of : callable
        From a number of questions to the power; it grows, but for small steps.
    power : float

    Returns
    -------
    int or None
        None where ten million questions are too few.

    Examples
    --------
    >>> fewest_questions(lambda n: power_of_flips(n, 0.1, 0.05))
    498
    """
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
    from scipy.special import bdtr, ndtri

    # Near the normal approximation, then step by step.
    found = np.floor(flips / 2 + float(ndtri(alpha / 2)) * np.sqrt(flips) / 2 - 1).astype(np.int64).clip(-1)
    for _ in range(3):
        higher = np.minimum(found + 1, flips)
        found = np.where(2 * bdtr(higher, flips, 0.5) <= alpha, higher, found)
    return found
