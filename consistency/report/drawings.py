"""From plots to files: each drawing as SVG and PDF, as panels for the page, and with the rows that it shows as CSV."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.errors import InputError
from consistency.report.content import Drawing, Mark, Row
from consistency.report.document import Figure
from consistency.report.formats.csv import write_csv
from consistency.statistics.estimates import Estimate
from consistency.support.figure_style import INK, STYLE, THEME, inline, save, settle, to_svg, write_pdf
from consistency.support.files import write_lines

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

    Draw = Callable[[Sequence[Axes], str], None]

GLYPHS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "_": "―", "p": "⬟", "P": "✚", "d": "♦"}
PANEL_WIDTH = 3.5
# In an inch.
POINTS = 72
FORMATS = ("svg", "pdf", "png")
# How opaque an interval behind a line is.
BAND = 0.18


@dataclass(frozen=True)
class Look:
    """How a series is drawn: its label, colour and marker."""

    label: str
    colour: str
    marker: str

    @property
    def mark(self) -> Mark:
        """The same in the page's legend."""
        return Mark(self.label, GLYPHS[self.marker], THEME[self.colour])


@dataclass(frozen=True)
class Plot:
    """What to draw: `draw(axes, panel)` fills one column of axes, one axes for each height.

    Attributes
    ----------
    name, title, caption, rows
        As of a `Drawing`.
    panels : dict of str to str
        Titles of the columns, by name.
    looks : tuple of Look
        The legend.
    heights : tuple of float
        In inches.
    draw : callable
    """

    name: str
    title: str
    caption: str
    rows: Sequence[Row]
    panels: Mapping[str, str]
    looks: tuple[Look, ...]
    heights: tuple[float, ...]
    draw: Draw


def draw_all(plots: Iterable[Plot], folder: Path) -> list[Drawing]:
    """Draw plots, each into `NAME.svg`, `NAME.pdf` and `NAME.csv` of a folder."""
    import matplotlib

    drawings = []
    for plot in plots:
        # An SVG's ids depend on its content and this salt, so that a drawing is the same bytes each time.
        style: Any = STYLE | {"svg.hashsalt": plot.name}
        with matplotlib.rc_context(style):
            drawings.append(_draw(plot, folder))
    return drawings


def draw_file(plot: Plot, path: Path) -> None:
    """Draw a plot into one file, in the format that its name ends with: svg, pdf or png.

    Raises
    ------
    InputError
        If the name ends with another, or the file cannot be written.
    """
    import matplotlib

    form = path.suffix.lower().removeprefix(".")
    if form not in FORMATS:
        raise InputError(f"no figure format {path.suffix!r}", expected=f"one of {', '.join(FORMATS)}", path=path)
    style: Any = STYLE | {"svg.hashsalt": plot.name}
    with matplotlib.rc_context(style):
        figure = _figure(plot, list(plot.panels))
        if plot.looks:
            _add_legend(figure, plot.looks)
            settle(figure)
        if form == "svg":
            content = to_svg(figure).encode()
        else:
            stream = io.BytesIO()
            if form == "pdf":
                write_pdf(figure, stream)
            else:
                save(figure, stream, format="png", dpi=200, transparent=False, metadata={"Software": None})
            content = stream.getvalue()
    write_lines(path, [content])


def _draw(plot: Plot, folder: Path) -> Drawing:
    names, panels = list(plot.panels), {}
    whole = _figure(plot, names)
    room = _add_legend(whole, plot.looks) if plot.looks else 0.0
    svg = to_svg(whole)
    for number, name in enumerate(names):
        described = f"{plot.title}{f', {plot.panels[name]}' if plot.panels[name] else ''}; its numbers: {plot.name}.csv"
        # The figure of a single panel is the panel, and the page has a legend of its own.
        of_panel, cut = (to_svg(_figure(plot, [name])), 0.0) if len(names) > 1 else (svg, POINTS * room)
        panels[name] = inline(of_panel, f"{plot.name}-{number}", described, cut)
    (folder / f"{plot.name}.svg").write_text(svg, encoding="utf-8")
    write_pdf(whole, folder / f"{plot.name}.pdf")
    write_csv(folder / f"{plot.name}.csv", plot.rows)
    return Drawing(plot.name, plot.title, plot.caption, plot.rows, panels, tuple(look.mark for look in plot.looks))


def _figure(plot: Plot, panels: Sequence[str]) -> Canvas:
    """Panels side by side, laid out for good."""
    from matplotlib.figure import Figure as Canvas

    figure = Canvas(figsize=(PANEL_WIDTH * len(panels), sum(plot.heights) + 0.3), layout="constrained")
    axes = figure.subplots(len(plot.heights), len(panels), height_ratios=plot.heights, squeeze=False)
    for column, name in enumerate(panels):
        plot.draw(list(axes[:, column]), name)
        if plot.panels[name]:
            axes[0, column].set_title(plot.panels[name], loc="right", color=INK)
    settle(figure)
    return figure


def _add_legend(figure: Canvas, looks: Sequence[Look]) -> float:
    """Make room below for a legend; how much, in inches."""
    from matplotlib.lines import Line2D

    width, height = figure.get_size_inches()
    columns = min(len(looks), max(1, round(width / 1.7)))
    room = 0.15 + 0.18 * -(-len(looks) // columns)
    for axes in figure.axes:
        left, bottom, across, up = axes.get_position().bounds
        axes.set_position((left, (bottom * height + room) / (height + room), across, up * height / (height + room)))
    figure.set_size_inches(width, height + room)
    handles = [Line2D([], [], color=look.colour, marker=look.marker, linestyle="", label=look.label) for look in looks]
    figure.legend(handles=handles, loc="lower center", ncols=columns)
    return float(room)


@dataclass(frozen=True)
class Point:
    """One mark of a drawing: its position, and its number with an interval where there is one.

    Attributes
    ----------
    place : dict of str to str or int
        Of which run, scope, task, ...: the first columns of the drawing's CSV.
    measure : str
    value, ci_low, ci_high, se : float or None
        In the units of the drawing.
    n, undefined : int or None
        Questions, and those without a finite value.
    number : int or None
        Its row in the drawing's CSV, which a page shows where the mark is pointed at: see `numbered`.
    """

    place: Mapping[str, str | int | float | None]
    measure: str
    value: float | None
    ci_low: float | None = None
    ci_high: float | None = None
    se: float | None = None
    n: int | None = None
    undefined: int | None = None
    number: int | None = None

    @classmethod
    def of(cls, figure: Figure | Estimate, measure: str, n: int, **place: str | int | float | None) -> Point:
        """A figure at its place."""
        return cls(place, measure, figure.value, figure.ci_low, figure.ci_high, figure.se, n, figure.undefined)

    def at(self, name: str) -> str | int | float | None:
        """One coordinate of its place; None where it has none of that name."""
        return self.place.get(name)

    def row(self) -> Row:
        """The row of the drawing's CSV."""
        numbers = {name: getattr(self, name) for name in ("n", "value", "se", "ci_low", "ci_high", "undefined")}
        known = {name: value for name, value in numbers.items() if name == "value" or value is not None}
        return {**self.place, "measure": self.measure, **(numbers if self.n is not None else known)}


def numbered(points: Iterable[Point]) -> list[Point]:
    """The points of a drawing with the numbers of their rows."""
    return [replace(point, number=number) for number, point in enumerate(points)]


def errorbar(
    axes: Axes,
    points: Sequence[tuple[float, Point]],
    look: Look,
    line: str = "",
    across: bool = False,
    scale: float = 1.0,
) -> None:
    """Draw values with their intervals over positions, or beside them (`across`), times a scale."""
    known = [(place, point, point.value) for place, point in points if point.value is not None]
    if not known:
        return
    places, values = [place for place, _, _ in known], [scale * value for _, _, value in known]
    lengths = [
        [
            scale * abs(value - (value if end is None else end))
            for _, point, value in known
            for end in [getattr(point, name)]
        ]
        for name in ("ci_low", "ci_high")
    ]
    marker: Any = {"color": look.colour, "marker": look.marker, "markersize": 4.5}
    shown: Any = {"xerr": lengths} if across else {"yerr": lengths}
    # Marks that a page can point at are drawn one by one.
    alone = all(point.number is not None for _, point, _ in known)
    shown |= {"color": look.colour} if alone else marker
    ends = (values, places) if across else (places, values)
    axes.errorbar(*ends, **shown, linestyle=line, linewidth=1, elinewidth=1)
    for x, y, (_, point, _) in zip(*ends, known, strict=True):
        if alone:
            axes.plot([x], [y], **marker, linestyle="", gid=f"mark-{point.number}", zorder=3)


def band(axes: Axes, points: Sequence[tuple[float, Point]], look: Look, scale: float = 1.0) -> None:
    """Draw a line through values over positions, with their intervals behind it, times a scale."""
    known = [(place, point, point.value) for place, point in points if point.value is not None]
    if not known:
        return
    places, values = [place for place, _, _ in known], [scale * value for _, _, value in known]
    low, high = (
        [scale * (value if end is None else end) for _, point, value in known for end in [getattr(point, name)]]
        for name in ("ci_low", "ci_high")
    )
    axes.fill_between(places, low, high, color=look.colour, alpha=BAND, linewidth=0)
    axes.plot(places, values, color=look.colour, marker=look.marker, markersize=3, linewidth=1.2)


def set_rows(axes: Axes, names: Sequence[str], label: str) -> None:
    """Name the rows of a drawing, the first below, with a line at 0 and the unit under them."""
    axes.axvline(0, color=INK, linewidth=0.6)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(label)


def height_of_rows(rows: int) -> float:
    """The height of a drawing with so many rows, in inches."""
    return 0.5 + 0.155 * rows


def limits(points: Iterable[Point], measure: str) -> tuple[float, float]:
    """One scale for a measure in all panels, so that they can be compared."""
    return wide_limits([point for point in points if point.measure == measure])


def wide_limits(points: Sequence[Point]) -> tuple[float, float]:
    """The ends of a scale that has room for all values and their intervals."""
    ends = [end for p in points for end in (p.value, p.ci_low, p.ci_high)]
    known = [end for end in ends if end is not None] or [0.0, 1.0]
    room = 0.05 * (max(known) - min(known)) or 0.05
    return min(known) - room, max(known) + room
