"""Numbers of a comparison as text: changes in points, divergences in nats, with their intervals."""

from __future__ import annotations

from consistency.statistics.estimates import Estimate
from consistency.support.text import decimal


def points(x: float | None) -> str:
    """A fraction in points, with its sign and one digit: files hold all digits.

    Examples
    --------
    >>> points(-0.0125)
    '-1.2'
    """
    return "–" if x is None else decimal(100 * x, 1, "+")


def percent(x: float | None) -> str:
    """A fraction in percent, with one digit.

    Examples
    --------
    >>> percent(0.614), percent(None)
    ('61.4 %', '–')
    """
    return "–" if x is None else f"{decimal(100 * x, 1)} %"


def digits_beside(*limits: float) -> int:
    """How many digits points or percent have beside limits: one, or as many as a limit has.

    Examples
    --------
    >>> digits_beside(2.0), digits_beside(2.0, 1.25)
    (1, 2)
    """
    return max(1, *(len(f"{limit:.10g}".partition(".")[2]) for limit in limits))


def points_of(found: Estimate) -> str:
    """A change in points with its interval."""
    return points(found.value) + points_interval(found)


def points_interval(found: Estimate) -> str:
    """The ends of a change's interval in points, in brackets, after a space; empty where there is none."""
    return interval(found, 100, 1, "+")


def nats_of(found: Estimate) -> str:
    """A divergence with its interval."""
    return "–" if found.value is None else f"{decimal(found.value, 3)}{interval(found)}"


def interval(found: Estimate, scale: float = 1.0, digits: int = 3, sign: str = "") -> str:
    """The ends of an interval in brackets, after a space; empty where there is none."""
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return ""
    return f" [{decimal(scale * found.ci_low, digits, sign)}, {decimal(scale * found.ci_high, digits, sign)}]"
