"""Numbers of a comparison as text: changes in points, divergences in nats, with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from consistency.statistics.estimates import Estimate
from consistency.support.text import counted, decimal

# More digits than one tell at most so many.
_FURTHER = 2


def points(x: float | None, digits: int = 1) -> str:
    """A fraction in points, with its sign: files hold all digits.

    Examples
    --------
    >>> points(-0.0125)
    '-1.2'
    """
    return "–" if x is None else decimal(100 * x, digits, "+")


def listed_changes(changes: Sequence[tuple[str, Estimate]], of: int, noun: str) -> str:
    """Names with their changes in points and intervals, and how many more such nouns there are.

    Examples
    --------
    >>> listed_changes([("law", Estimate(-0.1, 0.05, -0.2, -0.01, 40))], of=3, noun="task")
    'law -10.0 [-20.0, -1.0] points and 2 more tasks'
    """
    named = ", ".join(f"{name} {points_of(change)}" for name, change in changes)
    more = of - len(changes)
    return f"{named} points" + (f" and {counted(more, f'more {noun}')}" if more else "")


def percent(x: float | None) -> str:
    """A fraction in percent, with one digit.

    Examples
    --------
    >>> percent(0.614), percent(None)
    ('61.4 %', '–')
    """
    return "–" if x is None else f"{decimal(100 * x, 1)} %"


def digits_beside(limits: Iterable[float], numbers: Iterable[float] = ()) -> int:
    """How many digits points or percent have beside limits.

    Parameters
    ----------
    limits, numbers : iterable of float
        What is compared with what, in points or percent.

    Returns
    -------
    int
        One, or as many as a limit has; up to two more where a number would read as a limit that it is not.

    Examples
    --------
    >>> digits_beside([2.0]), digits_beside([2.0, 1.25]), digits_beside([2.0], [2.04, 2.3])
    (1, 2, 2)
    """
    limits = list(limits)
    fewest = max([1, *(len(f"{limit:.10g}".partition(".")[2]) for limit in limits)])
    most = fewest + _FURTHER
    apart = [(x, limit) for x in numbers for limit in limits if round(x, most) != round(limit, most)]
    return next(
        digits
        for digits in range(fewest, most + 1)
        if all(round(x, digits) != round(limit, digits) for x, limit in apart)
    )


def digits_of(found: Estimate) -> int:
    """How many digits a change has in points, so that an end of its interval reads 0 only where it is 0.

    Examples
    --------
    >>> digits_of(Estimate(0.02, 0.01, 0.0004, 0.04, 900)), digits_of(Estimate(0.02, 0.01, 0.001, 0.04, 900))
    (2, 1)
    """
    return digits_beside([0.0], [100 * end for end in (found.ci_low, found.ci_high) if end is not None])


def points_of(found: Estimate) -> str:
    """A change in points with its interval."""
    return points(found.value, digits_of(found)) + points_interval(found)


def points_interval(found: Estimate) -> str:
    """The ends of a change's interval in points, in brackets, after a space; empty where there is none."""
    return interval(found, 100, digits_of(found), "+")


def with_interval(found: Estimate) -> str:
    """A divergence or a correlation with its interval."""
    return "–" if found.value is None else f"{decimal(found.value, 3)}{interval(found)}"


def interval(found: Estimate, scale: float = 1.0, digits: int = 3, sign: str = "") -> str:
    """The ends of an interval in brackets, after a space; empty where there is none."""
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return ""
    return f" [{decimal(scale * found.ci_low, digits, sign)}, {decimal(scale * found.ci_high, digits, sign)}]"
