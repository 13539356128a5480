"""The figures of two runs compared: how far distributions moved, whether rankings held, and each task's change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from consistency.comparison.changed_most import changed_most
from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.metrics.measures import MEASURE
from consistency.report.drawings import Look, Plot, Point, errorbar, height_of_rows, set_rows, wide_limits
from consistency.report.items import Columns
from consistency.report.pair.tables import CORRECTED, PARTS, parts_of_change, selection_note
from consistency.support.figure_style import BLUE, GREY, INK, RED
from consistency.support.text import common_beginning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More tasks than these are drawn by those that changed most.
MOST_TASKS = 80
LEVEL = 0.05
SIGNS = {
    "holm": Look("p (Holm) < .05", RED, "D"),
    "bh": Look("p (BH) < .05", BLUE, "s"),
    "none": Look("p (BH) ≥ .05", GREY, "o"),
}


def pair_plots(comparison: Comparison, items: Columns) -> tuple[list[Plot], list[Plot], list[Plot]]:
    """What to draw of the distributions, of the rankings and of the tasks: nothing without options, or without tasks."""
    distributions = [_shift(items)] if "kl" in items else []
    rankings = [_ranking(items)] if "kl" in items else []
    known = [s for s in comparison.by_task.values() if s.estimates["delta_accuracy"].value is not None]
    tasks = [_tasks(comparison.by_task)] if len(known) > 1 else []
    return distributions, rankings, tasks


class Bin(Struct, rename={"low": "from", "high": "to"}):
    """A bar of a histogram: the questions between two values of a measure."""

    measure: str
    low: float
    high: float
    count: int
    share: float


def histogram(values: Columns, measure: str, edges: Sequence[float]) -> list[Bin]:
    """Counts of a measure's finite values between edges; the first and last bin hold what lies beyond them."""
    x = values[measure]
    inside = np.clip(x[np.isfinite(x)], edges[0], edges[-1])
    counts = np.histogram(inside, edges)[0]
    return [
        Bin(measure, float(low), float(high), int(n), float(n / max(len(inside), 1)))
        for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def _bars(axes: Axes, bins: Sequence[Bin], edges: Sequence[float], colours: Sequence[str], first: int = 0) -> None:
    """Draw bins between the given edges, which need not be those of the values; the first is that row of the data."""
    low, high = np.array(edges[:-1]), np.array(edges[1:])
    bars = axes.bar(low, [item.share for item in bins], width=high - low, align="edge", color=colours, linewidth=0)
    for number, bar in enumerate(bars, start=first):
        bar.set_gid(f"mark-{number}")
    axes.set_title("share of questions")
    axes.set_xlim(low[0], high[-1])


def _shift(items: Columns) -> Plot:
    # Eight bins for a factor of ten, from a thousandth of a nat on; what is less, is none.
    kl_edges = [0.0, *(float(f"{edge:.4g}") for edge in np.logspace(-3, 1, 33))]
    gold_edges = np.linspace(-1, 1, 41).round(6).tolist()
    of_kl, of_gold = histogram(items, "kl", kl_edges), histogram(items, "delta_gold", gold_edges)
    infinite = int(np.isinf(items["kl"]).sum())

    def draw(axes: Sequence[Axes], panel: str) -> None:
        (ax,) = axes
        if panel == "kl":
            _bars(ax, of_kl, range(len(kl_edges)), [GREY])
            ax.set_xticks([1, 9, 17, 25, 33], ["0.001", "0.01", "0.1", "1", "10"])
            ax.set_xlabel("KL(before ‖ after), nats")
        else:
            _bars(ax, of_gold, gold_edges, [RED if item.high <= 0 else BLUE for item in of_gold], len(of_kl))
            ax.axvline(0, color=INK, linewidth=0.6)
            ax.set_xticks([-1, -0.5, 0, 0.5, 1])
            ax.set_xlabel("change of the gold option's probability")

    return Plot(
        name="shift",
        title="KL divergence, and what the gold option lost and won",
        caption="First the KL divergence of each question's options, on a logarithmic scale; the outer bars hold what is "
        f"smaller or larger{f', but not the {infinite} infinite ones' if infinite else ''}. Then how much probability the "
        "gold option lost (left of 0) or won.",
        rows=[*of_kl, *of_gold],
        panels={"kl": "", "gold": ""},
        looks=(Look("gold option lost", RED, "s"), Look("gold option won", BLUE, "s")),
        heights=(1.7,),
        draw=draw,
    )


def _ranking(items: Columns) -> Plot:
    edges = np.linspace(-1, 1, 21).round(6).tolist()
    bins = histogram(items, "spearman", edges)
    undefined = int((~np.isfinite(items["spearman"])).sum())

    def draw(axes: Sequence[Axes], _: str) -> None:
        _bars(axes[0], bins, edges, [GREY])
        axes[0].set_xticks([-1, -0.5, 0, 0.5, 1])
        axes[0].set_xlabel(f"{MEASURE['spearman'].title} of the options")

    return Plot(
        name="ranking",
        title="Whether the order of the options held",
        caption="1: the options stand in the same order as before; −1: in the opposite one. With four options only a few "
        "values are possible."
        + (f" {undefined} questions have none, since all their options are tied." if undefined else ""),
        rows=bins,
        panels={"all": ""},
        looks=(),
        heights=(1.9,),
        draw=draw,
    )


def _sign(section: Section) -> str:
    for name, p in (("holm", section.p_holm), ("bh", section.p_bh)):
        if p is not None and p < LEVEL:
            return name
    return "none"


def _tasks(by_task: Mapping[str, Section]) -> Plot:
    found = changed_most(list(by_task.values()), MOST_TASKS)
    confidence, changes = (0.95, {}) if found is None else (found.confidence, found.changes)
    shown = sorted(found.sections if found else (), key=lambda section: changes[section.name].value or 0.0)
    parts = {section.name: parts_of_change(section, confidence) for section in shown}
    panels = {"delta_accuracy": "change of accuracy"}
    if any(parts.values()):
        panels |= dict(zip(PARTS, ("corrected for letter bias", "due to letter bias"), strict=True))
    estimates = {section.name: {"delta_accuracy": changes[section.name], **parts[section.name]} for section in shown}
    points = {
        panel: [
            (place, section, Point.of(estimates[section.name][panel], panel, section.n, task=section.name))
            for place, section in enumerate(shown)
            if panel in estimates[section.name]
        ]
        for panel in panels
    }
    low, high = (100 * end for end in wide_limits([point for of in points.values() for _, _, point in of]))
    names = [section.name for section in shown]
    common = common_beginning(names)

    def draw(axes: Sequence[Axes], panel: str) -> None:
        (ax,) = axes
        for sign, look in SIGNS.items():
            # The test is of the change alone.
            marks = [
                (float(place), point)
                for place, section, point in points[panel]
                if (_sign(section) if panel == "delta_accuracy" else "none") == sign
            ]
            errorbar(ax, marks, look, across=True, scale=100)
        ax.set_xlim(low, high)
        set_rows(ax, [name[len(common) :] for name in names], "points")

    left = len(by_task) - len(shown)
    return Plot(
        name="tasks",
        title="Each task's change",
        caption="Change of accuracy with intervals, in percentage points. The signs stand for the test of no change, "
        "corrected for the number of tasks: Holm keeps any false finding rare, BH (Benjamini and Hochberg) their share. "
        + (
            "Each interval is a 95 % one of its task alone: of those of the largest changes fewer hold. "
            if found is None or len(shown) == found.of
            else selection_note(found)
        )
        + (f" {CORRECTED}" if len(panels) > 1 else "")
        + (f" Names without their common beginning, {common}." if common else "")
        + (f" The {left} tasks that changed least, or have no accuracy, are left out." if left else ""),
        rows=[
            {
                "task": section.name,
                "n": section.n,
                "sign": _sign(section),
                **changes[section.name].to_dict(),
                "p_holm": section.p_holm,
                "p_bh": section.p_bh,
                **{name: part.to_dict() for name, part in parts[section.name].items()},
            }
            for section in shown
        ],
        panels=panels if len(panels) > 1 else {"delta_accuracy": ""},
        looks=tuple(SIGNS.values()),
        heights=(height_of_rows(len(shown)),),
        draw=draw,
    )
