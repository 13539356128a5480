"""The root of a function between two ends where its signs differ.

`scipy.optimize` has it, but importing that costs a comparison of two logs a seventh of its time.
"""

from __future__ import annotations

from collections.abc import Callable

_MOST_STEPS = 200
_ROUNDING = 2.0**-50  # relative


def root(function: Callable[[float], float], low: float, high: float, xtol: float = 1e-12) -> float:
    """Where a continuous function of one number is 0.

    Parameters
    ----------
    function : callable
        Of a float; its values at `low` and `high` have different signs, or one of them is 0.
    low, high : float
        The ends.
    xtol : float
        How far from the root the result may be, beside the rounding of the result itself.

    Returns
    -------
    float
        Between the ends.

    Raises
    ------
    ValueError
        If the signs at the ends are the same.

    Notes
    -----
    Inverse quadratic interpolation where it is sure to converge, bisection elsewhere (Chandrupatla 1997, "A new hybrid
    quadratic/bisection algorithm for finding the zero of a nonlinear function without using derivatives").

    Examples
    --------
    >>> round(root(lambda x: x * x - 2, 0, 2), 12)
    1.414213562373
    """
    newest, other = high, low
    at_newest, at_other = function(newest), function(other)
    if at_newest * at_other > 0:
        raise ValueError(f"no change of sign between {low} and {high}")
    best = newest if at_newest == 0 else other
    if at_newest * at_other == 0:
        return best
    part = 0.5
    for _ in range(_MOST_STEPS):
        # The root lies between the newest point and the other; the third is the one before.
        asked = newest + part * (other - newest)
        value = function(asked)
        if (value > 0) == (at_newest > 0):
            third, at_third = newest, at_newest
        else:
            third, at_third = other, at_other
            other, at_other = newest, at_newest
        newest, at_newest = asked, value
        best, at_best = (newest, at_newest) if abs(at_newest) < abs(at_other) else (other, at_other)
        least = (xtol + _ROUNDING * abs(best)) / abs(other - newest)
        if at_best == 0 or least > 0.5:
            break
        part = _next_part(newest - other, third - other, at_newest, at_other, at_third)
        part = min(1 - least, max(least, part))
    return best


def _next_part(newest: float, third: float, at_newest: float, at_other: float, at_third: float) -> float:
    """How far from the newest point towards the other one to go, as a share; the points are distances from the other one."""
    place, level = newest / third, (at_newest - at_other) / (at_third - at_other)
    if not (level * level < place and (1 - level) ** 2 < 1 - place):
        return 0.5
    return at_newest / (at_other - at_newest) * at_third / (at_other - at_third) + (
        third - newest
    ) / -newest * at_newest / (at_third - at_newest) * at_other / (at_third - at_other)
