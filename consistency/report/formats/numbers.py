"""How figures are told in a table: rounded, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

DASH = "–"


def percent(figure: Mapping[str, Any] | None) -> str:
    """A fraction with its interval, in percent.

    Examples
    --------
    >>> percent({"value": 0.536, "ci_low": 0.474, "ci_high": 0.598})
    '53.6 [47.4, 59.8]'
    >>> percent({"value": None, "ci_low": None, "ci_high": None})
    '–'
    """
    return _told(figure, lambda x: fixed(100 * x, 1))


def number(figure: Mapping[str, Any] | None) -> str:
    """A correlation or a divergence with its interval."""
    return _told(figure, fixed)


def change(figure: Mapping[str, Any] | None) -> str:
    """A difference of accuracies with its interval, in percentage points."""
    return _told(figure, points)


def _told(figure: Mapping[str, Any] | None, form: Callable[[float], str]) -> str:
    if figure is None or figure["value"] is None:
        return DASH
    if figure["ci_low"] is None:
        return form(figure["value"])
    return f"{form(figure['value'])} [{form(figure['ci_low'])}, {form(figure['ci_high'])}]"


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with its digits behind the point, and a minus as printers set it.

    Examples
    --------
    >>> fixed(-0.5), fixed(None)
    ('−0.50', '–')
    """
    return DASH if value is None else f"{value:.{digits}f}".replace("-", "−")


def points(value: float | None) -> str:
    """A fraction as signed percentage points.

    Examples
    --------
    >>> points(0.1127), points(-0.05)
    ('+11.3', '−5.0')
    """
    return signed(None if value is None else 100 * value, 1)


def signed(value: float | None, digits: int = 2) -> str:
    """A number with its sign; "–" for None."""
    if value is None:
        return DASH
    return f"{value:+.{digits}f}".replace("-", "−")


def p_value(p: float | None) -> str:
    """A p-value as papers print it.

    Examples
    --------
    >>> p_value(0.00003), p_value(0.0421), p_value(None)
    ('< .001', '.042', '–')
    """
    if p is None:
        return DASH
    return "< .001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def share(count: int, of: int) -> str:
    """A count with its share.

    Examples
    --------
    >>> share(19, 200)
    '19 (9.5 %)'
    """
    return f"{count} ({100 * count / of:.1f} %)" if of else f"{count}"
