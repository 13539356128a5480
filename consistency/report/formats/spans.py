"""Values with their intervals, drawn in the rows of a table: SVG whose places are percentages, so that it fits any width."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from consistency.report.content import Span, Table
from consistency.report.formats.numbers import signed

# Of the width, in percent: room for half a label at either end.
_LEFT, _RIGHT = 4.0, 96.0
_MOST_TICKS = 5
# Between two series of a row, and above the first, in pixels.
_STEP, _TOP = 8, 8
_SHAPES = {
    "●": '<circle cx="{x}%" cy="{y}" r="4" class="dot"/>',
    "◆": '<svg x="{x}%" y="{y}" overflow="visible"><path d="M-4 0 0-4 4 0 0 4z" class="dot"/></svg>',
    "■": '<svg x="{x}%" y="{y}" overflow="visible"><path d="M-3.5-3.5h7v7h-7z" class="dot"/></svg>',
    "▲": '<svg x="{x}%" y="{y}" overflow="visible"><path d="M-4 3.5 0-4 4 3.5z" class="dot"/></svg>',
    "○": '<circle cx="{x}%" cy="{y}" r="3.2" class="ring"/>',
}


@dataclass(frozen=True)
class Drawn:
    """The drawings of a table: the axis, which stands in its head, and that of each row."""

    axis: str
    rows: tuple[str, ...]


def ticks(low: float, high: float, most: int = _MOST_TICKS) -> list[float]:
    """Round numbers between two ends, 0 among them where it lies between.

    Examples
    --------
    >>> ticks(-47.0, 12.0), ticks(-0.4, 0.3)
    ([-40.0, -20.0, 0.0], [-0.4, -0.2, 0.0, 0.2])
    """
    width = (high - low) or 1.0
    power = 10 ** math.floor(math.log10(width / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if width / (power * factor) <= most)
    return [round(step * n, 12) + 0.0 for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def drawn(table: Table) -> Drawn | None:
    """The drawings of a table whose rows have spans; None of another. The markup holds numbers and names of `legend` only."""
    known = [span for row in table.spans for span in row if span is not None]
    if not known:
        return None
    ends = [x for span in known for x in (span.value, span.low, span.high) if x is not None]
    low, high = min(0.0, *ends), max(0.0, *ends)
    if low == high:
        low, high = -1.0, 1.0
    at = ticks(low, high)

    def place(x: float) -> str:
        return f"{_LEFT + (_RIGHT - _LEFT) * (x - low) / (high - low):.2f}"

    height = 2 * _TOP + _STEP * (len(table.legend) - 1)
    grid = "".join(
        f'<line x1="{place(x)}%" x2="{place(x)}%" y1="0" y2="100%" class="{"zero" if x == 0 else "grid"}"/>' for x in at
    )
    labels = "".join(f'<text x="{place(x)}%" y="11">{_number(x)}</text>' for x in at)
    return Drawn(
        f'<svg class="axis" height="14" aria-hidden="true">{labels}</svg>',
        tuple(
            f'<svg class="spans" height="{height}" role="img" aria-label="{_said(table, row)}">{grid}'
            + "".join(_marks(table, row, place))
            + "</svg>"
            for row in table.spans
        ),
    )


def _marks(table: Table, row: Sequence[Span | None], place: Callable[[float], str]) -> Iterator[str]:
    from markupsafe import escape

    for number, (mark, span) in enumerate(zip(table.legend, row, strict=True)):
        if span is None:
            continue
        y = _TOP + _STEP * number
        line = ""
        if span.low is not None and span.high is not None:
            line = f'<line x1="{place(span.low)}%" x2="{place(span.high)}%" y1="{y}" y2="{y}" class="line"/>'
        dot = _SHAPES[mark.glyph].format(x=place(span.value), y=y)
        yield f'<g class="{mark.theme}" data-tip="{escape(_text(mark.label, span, table.unit))}">{line}{dot}</g>'


def _said(table: Table, row: Sequence[Span | None]) -> str:
    from markupsafe import escape

    pairs = zip(table.legend, row, strict=True)
    return escape("; ".join(_text(mark.label, span, table.unit) for mark, span in pairs if span is not None))


def _text(label: str, span: Span, unit: str) -> str:
    interval = "" if span.low is None or span.high is None else f" [{signed(span.low, 1)}, {signed(span.high, 1)}]"
    return f"{label} {signed(span.value, 1)}{interval} {unit}".rstrip()


def _number(x: float) -> str:
    return f"{x:+g}".replace("-", "−") if x else "0"
