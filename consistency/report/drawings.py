"""From plots to files: each drawing as SVG and PDF, as panels for the page, and with the rows that it shows as CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.report.content import Drawing, Mark, Row
from consistency.report.formats.csv import write_csv
from consistency.support.figure_style import INK, STYLE, THEME, inline, settle, to_svg, write_pdf

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Draw = Callable[[Sequence[Axes], str], None]

GLYPHS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "v": "▼", "_": "―"}
PANEL_WIDTH = 3.5
# In an inch.
POINTS = 72


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


def _draw(plot: Plot, folder: Path) -> Drawing:
    names, panels = list(plot.panels), {}
    whole = _figure(plot, names)
    room = _add_legend(whole, plot.looks) if plot.looks else 0.0
    svg = to_svg(whole)
    for number, name in enumerate(names):
        told = f"{plot.title}{f', {plot.panels[name]}' if plot.panels[name] else ''}; its numbers: {plot.name}.csv"
        # The figure of a single panel is the panel, and the page has a legend of its own.
        of_panel, cut = (to_svg(_figure(plot, [name])), 0.0) if len(names) > 1 else (svg, POINTS * room)
        panels[name] = inline(of_panel, f"{plot.name}-{number}", told, cut)
    (folder / f"{plot.name}.svg").write_text(svg, encoding="utf-8")
    write_pdf(whole, folder / f"{plot.name}.pdf")
    write_csv(folder / f"{plot.name}.csv", plot.rows)
    return Drawing(plot.name, plot.title, plot.caption, plot.rows, panels, tuple(look.mark for look in plot.looks))


def _figure(plot: Plot, panels: Sequence[str]) -> Figure:
    """Panels side by side, laid out for good."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(PANEL_WIDTH * len(panels), sum(plot.heights) + 0.3), layout="constrained")
    axes = figure.subplots(len(plot.heights), len(panels), height_ratios=plot.heights, squeeze=False)
    for column, name in enumerate(panels):
        plot.draw(list(axes[:, column]), name)
        if plot.panels[name]:
            axes[0, column].set_title(plot.panels[name], loc="right", color=INK)
    settle(figure)
    return figure


def _add_legend(figure: Figure, looks: Sequence[Look]) -> float:
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


def errorbar(axes: Axes, points: Sequence[tuple[float, Row]], look: Look, line: str = "", across: bool = False) -> None:
    """Draw values with their intervals over positions, or beside them (`across`)."""
    known = [(place, row) for place, row in points if row["value"] is not None]
    if not known:
        return
    places, values = [place for place, _ in known], [row["value"] for _, row in known]
    lengths = [
        [abs(row["value"] - (row["value"] if row[end] is None else row[end])) for _, row in known]
        for end in ("ci_low", "ci_high")
    ]
    shown: Any = {"xerr": lengths} if across else {"yerr": lengths}
    ends = (values, places) if across else (places, values)
    axes.errorbar(
        *ends, **shown, color=look.colour, marker=look.marker, linestyle=line, markersize=4.5, linewidth=1, elinewidth=1
    )


def limits(rows: Iterable[Row], measure: str) -> tuple[float, float]:
    """One scale for a measure in all panels, so that they can be compared."""
    ends = [row[key] for row in rows if row["measure"] == measure for key in ("value", "ci_low", "ci_high")]
    known = [end for end in ends if end is not None] or [0.0, 1.0]
    room = 0.05 * (max(known) - min(known)) or 0.05
    return min(known) - room, max(known) + room
