"""The figures of a watched training: the curves of what was kept and learned, and the plane of both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from consistency.report.drawings import Look, Plot, Point, band, limits
from consistency.support.figure_style import BLUE, GREY, INK, RED
from consistency.watch.frontier import plane
from consistency.watch.record import WatchRecord
from consistency.watch.rows import DriftRow, Pool

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEPT, LEARNED = "kept", "learned"
TITLES = {KEPT: "to be kept", LEARNED: "to be learned"}
# Each with the title of its axis, and what its numbers are multiplied with.
MEASURES = {
    "change": ("change of accuracy, points", 100.0),
    "harmful_flips": ("right → wrong, %", 100.0),
    "kl": ("KL(before ‖ after), nats", 1.0),
    "spearman": ("Spearman ρ of the options", 1.0),
}
RAW, CORRECTED = Look("as answered", BLUE, "o"), Look("corrected for letter bias", RED, "s")


def watch_plots(record: WatchRecord) -> list[Plot]:
    """The curves, and where tasks are to be learned the plane; of tasks without options there are none."""
    rows = record.rows
    return [
        *(
            [_curves(record)]
            if any(MEASURES.keys() & pool.figures for row in rows for pool in pools(row).values())
            else []
        ),
        *([_plane(record)] if any(row.kept is not None and row.learned is not None for row in rows) else []),
    ]


def pools(row: DriftRow) -> dict[str, Pool]:
    """The pools of a step, by name."""
    return {name: pool for name, pool in ((KEPT, row.kept), (LEARNED, row.learned)) if pool is not None}


def _curves(record: WatchRecord) -> Plot:
    points = [
        Point(
            {"step": row.step, "epoch": row.epoch, "tasks": name, "answers": look.label},
            measure,
            found.value,
            found.ci_low,
            found.ci_high,
            n=found.n,
        )
        for row in record.rows
        for name, pool in pools(row).items()
        for measure in MEASURES
        for look, figure in ((RAW, measure), (CORRECTED, f"{measure}_calibrated"))
        if (found := pool.figures.get(figure)) is not None
    ]
    shown = [measure for measure in MEASURES if any(point.measure == measure for point in points)]
    names = dict.fromkeys(str(point.at("tasks")) for point in points)
    corrected = any(point.at("answers") == CORRECTED.label for point in points)
    looks = (RAW, CORRECTED) if corrected else (RAW,)
    steps = [row.step for row in record.rows]

    def draw(axes: Sequence[Axes], panel: str) -> None:
        for ax, measure in zip(axes, shown, strict=True):
            title, scale = MEASURES[measure]
            for look in looks:
                here = [
                    point
                    for point in points
                    if (point.at("tasks"), point.measure, point.at("answers")) == (panel, measure, look.label)
                ]
                band(ax, [(float(str(point.at("step"))), point) for point in here], look, scale)
            ax.set_title(title)
            here = [point for point in points if point.at("tasks") == panel]
            ax.set_ylim(*(scale * end for end in limits(here, measure)))
            ax.set_xlim(min(steps), max(*steps, min(steps) + 1))
            if measure == "change":
                ax.axhline(0, color=INK, linewidth=0.6)
                _limit(ax, panel, "margin", -1)
            if measure == "harmful_flips":
                _limit(ax, panel, "harmful_flips", 1)
            if record.alarm is not None:
                ax.axvline(record.alarm.step, color=RED, linewidth=0.8, linestyle="--")
        axes[-1].set_xlabel("step")

    def _limit(ax: Axes, panel: str, condition: str, sign: int) -> None:
        if panel == KEPT and condition in record.limits:
            ax.axhline(sign * 100 * record.limits[condition], color=GREY, linewidth=0.8, linestyle=":")

    return Plot(
        name="drift",
        title="What was kept and what was learned, step by step",
        caption="Against the baseline, with 95 % intervals of each step alone. Dotted: the limits."
        + (" Dashed: the alarm." if record.alarm is not None else ""),
        rows=[point.row() for point in points],
        panels={name: TITLES[name] for name in names},
        looks=looks,
        heights=(1.6,) * len(shown),
        draw=draw,
    )


def _plane(record: WatchRecord) -> Plot:
    best = record.frontier
    rows = [
        {"step": row.step, "learned": place[0], "kept": place[1], "on_frontier": row.step in best}
        for row in record.rows
        if (place := plane(row)) is not None
    ]
    looks = (Look("on the frontier", BLUE, "o"), Look("beaten by another step", GREY, "s"))

    def draw(axes: Sequence[Axes], _: str) -> None:
        (ax,) = axes
        known = [
            (int(row["step"]), 100 * float(row["learned"]), 100 * float(row["kept"]), bool(row["on_frontier"]))
            for row in rows
        ]
        ax.axhline(0, color=INK, linewidth=0.6)
        ax.axvline(0, color=INK, linewidth=0.6)
        front = sorted((x, y) for _, x, y, on_it in known if on_it)
        if front:
            ax.plot(*zip(*front, strict=True), color=BLUE, linewidth=1)
        for look, on_frontier in zip(looks, (True, False), strict=True):
            here = [(x, y) for _, x, y, on_it in known if on_it is on_frontier]
            if here:
                ax.plot(*zip(*here, strict=True), color=look.colour, marker=look.marker, linestyle="", markersize=4.5)
        at: dict[tuple[float, float], list[str]] = {}
        for step, x, y, *_on_it in known:
            at.setdefault((x, y), []).append(str(step))
        for where, names in at.items():
            label = ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
            ax.annotate(label, where, xytext=(3, 3), textcoords="offset points", fontsize=7)
        ax.set_title("change in the tasks to be kept, points")
        ax.set_xlabel("change in the tasks to be learned, points")

    return Plot(
        name="plane",
        title="What was gained against what was lost",
        caption="Each step's change of accuracy in points: right is better, and up is better. The line joins the steps that no "
        "other step beats in both.",
        rows=rows,
        panels={"all": ""},
        looks=looks,
        heights=(3.0,),
        draw=draw,
    )
