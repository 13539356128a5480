"""The figure of a plan: power against the number of questions, with the numbers that are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from consistency.report.content import Row
from consistency.report.drawings import GLYPHS, Look, Plot
from consistency.support.figure_style import BLUE, GREEN, GREY, INK, MUTED, RED, VIOLET

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = ((BLUE, "o"), (RED, "s"), (GREEN, "D"), (VIOLET, "^"), (GREY, "v"))
_POINTS = 48


@dataclass(frozen=True)
class PowerCurve:
    """Power at one share of answers that turn anyway.

    Attributes
    ----------
    flips : float
        That share.
    power : dict of str to callable
        By panel: from a number of questions to the power.
    needed : dict of str to int or None
        By panel: the number of questions that is needed; None where ten million are too few.
    """

    flips: float
    power: Mapping[str, Callable[[int], float]]
    needed: Mapping[str, int | None]


def power_plot(curves: Sequence[PowerCurve], panels: Mapping[str, str], target: float, of: str) -> Plot:
    """The plot of a plan, a panel for each kind of power and a curve for each share of flips.

    Parameters
    ----------
    curves : sequence of PowerCurve
        At most five.
    panels : dict of str to str
        Titles.
    target : float
        The power that is wanted.
    of : str
        What the questions are counted in, for the axis.
    """
    known = [n for curve in curves for n in curve.needed.values() if n is not None] or [10_000]
    sizes = np.unique(np.geomspace(max(10, min(known) / 12), 2.5 * max(known), _POINTS).round().astype(int)).tolist()
    looks = [
        Look(f"{100 * curve.flips:g} % turn anyway", colour, marker)
        for curve, (colour, marker) in zip(curves, _LOOKS, strict=False)
    ]
    values = {(panel, row): [c.power[panel](n) for n in sizes] for panel in panels for row, c in enumerate(curves)}
    rows: list[Row] = [
        {"panel": panel, "flips": curves[row].flips, "questions": n, "power": power}
        for (panel, row), found in values.items()
        for n, power in zip(sizes, found, strict=True)
    ]

    def draw(axes: Sequence[Axes], panel: str) -> None:
        (ax,) = axes
        ax.set_xscale("log")
        ax.axhline(100 * target, color=INK, linewidth=0.6, linestyle=(0, (4, 3)))
        for row, (curve, look) in enumerate(zip(curves, looks, strict=True)):
            ax.plot(sizes, [100 * power for power in values[panel, row]], color=look.colour, linewidth=1.2)
            needed = curve.needed[panel]
            if needed is None:
                continue
            reached = 100 * curve.power[panel](needed)
            ax.plot([needed, needed], [0, reached], color=look.colour, linewidth=0.8, linestyle=(0, (1, 2)))
            ax.plot([needed], [reached], color=look.colour, marker=look.marker, markersize=4.5, linestyle="")
            # In the corner that no curve reaches; beside their marks, the numbers of near curves would overlap.
            label = f"{GLYPHS[look.marker]} {needed:,} needed"
            place = (0.03, 0.7 - 0.085 * row)
            ax.text(*place, label, transform=ax.transAxes, color=look.colour, fontsize=7.5)
        ax.set_ylim(0, 102)
        ax.set_xlim(sizes[0], sizes[-1])
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
        ax.xaxis.set_minor_formatter(lambda _x, _: "")
        ax.tick_params(which="minor", color=MUTED)
        ax.set_xlabel(of)
        ax.set_title("probability, %")

    return Plot(
        name="plan-eval",
        title="Power against the number of questions",
        caption="Probability that a comparison of so many questions finds the change, and that it shows the absence of one.",
        rows=rows,
        panels=panels,
        looks=tuple(looks),
        heights=(2.3,),
        draw=draw,
    )
