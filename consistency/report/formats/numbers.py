"""How numbers are formatted for readers: rounded, with their intervals."""

from __future__ import annotations

from consistency.metrics.measures import Measure
from consistency.report.document import Figure
from consistency.statistics.estimates import Estimate
from consistency.support.text import decimal

DASH = "–"
# In a column of changes, what they are changes from.
REFERENCE = "reference"


def formatted(
    figure: Figure | Estimate | None,
    measure: Measure,
    *,
    interval: bool = True,
    sign: bool = False,
    digits: int | None = None,
) -> str:
    """A number with its interval in the unit of its measure, changes (or with `sign`) with their sign; "–" where there is none.

    It has the measure's decimals, or `digits`.

    Examples
    --------
    >>> from consistency.metrics.measures import MEASURE
    >>> formatted(Estimate(0.536, 0.03, 0.474, 0.598, 250), MEASURE["accuracy_after"])
    '53.6 [47.4, 59.8]'
    >>> formatted(Estimate(-0.05, None, None, None, 250), MEASURE["delta_accuracy"])
    '−5.0'
    """
    if figure is None or figure.value is None:
        return DASH
    ends = (figure.ci_low, figure.ci_high) if interval else (None, None)
    form = signed if sign or measure.unit == "points" else fixed

    def text(value: float) -> str:
        return form(measure.scale * value, measure.digits if digits is None else digits)

    if ends[0] is None or ends[1] is None:
        return text(figure.value)
    return f"{text(figure.value)} [{text(ends[0])}, {text(ends[1])}]"


def fixed(value: float | None, digits: int = 2) -> str:
    """A number with its digits behind the point, with a typographic minus.

    Examples
    --------
    >>> fixed(-0.5), fixed(None)
    ('−0.50', '–')
    """
    return DASH if value is None else _typographic(decimal(value, digits))


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
    return _typographic(decimal(value, digits, "+"))


def _typographic(number: str) -> str:
    return number.replace("-", "−")


def with_share(count: int, of: int) -> str:
    """A count with its share.

    Examples
    --------
    >>> with_share(19, 200)
    '19 (9.5 %)'
    """
    return f"{count} ({100 * count / of:.1f} %)" if of else f"{count}"
