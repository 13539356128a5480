"""The figures of many runs: the change of each run, and small multiples of the tasks that changed most surely."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from consistency.comparison.many.result import ManyComparison
from consistency.comparison.many.values import Change
from consistency.report.drawings import Look, Plot, Point, band, errorbar, limits, numbered
from consistency.statistics.hypotheses import p_or_one
from consistency.support.figure_style import BLUE, INK, RED
from consistency.support.terminal import cut_in_middle
from consistency.support.text import common_beginning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RAW, CORRECTED = Look("as answered", BLUE, "o"), Look("corrected for letter bias", RED, "s")
# Tasks of the small multiples, in columns.
MOST_TASKS, COLUMNS = 12, 3
# Runs whose names stand below a small multiple.
_MOST_NAMED = 8
_LONGEST, _SHORTEST = 18, 10
# Characters of them that stand beside each other.
_ACROSS = 44


def many_plots(comparison: ManyComparison) -> list[Plot]:
    """The change of each run, and with several tasks the small multiples."""
    plots = [_runs(comparison)]
    if len(comparison.by_task) > 1:
        plots.append(_tasks(comparison))
    return plots


def _points(changes: Mapping[str, Change], name: str, positions: Mapping[str, float]) -> list[Point]:
    found = []
    for label, change in changes.items():
        for look, estimate in ((RAW, change.simultaneous), (CORRECTED, change.calibrated)):
            if estimate is not None:
                place = {"task": name, "run": label, "answers": look.label, "position": positions.get(label)}
                found.append(Point.of(estimate, "change", change.section.n, **place))
    return found


def _placed(comparison: ManyComparison) -> dict[str, float]:
    """Where each run is drawn: its position in the series, or its place in the ranking."""
    if comparison.series is not None:
        return {label: x for label, x in comparison.series.positions.items() if label in comparison.overall}
    ranked = [item.label for item in comparison.ranking if item.label in comparison.overall]
    return {label: float(place) for place, label in enumerate(ranked, start=1)}


def _runs(comparison: ManyComparison) -> Plot:
    places, series = _placed(comparison), comparison.series is not None
    points = numbered(_points(comparison.overall, comparison.main, places))
    looks = (RAW, CORRECTED) if any(point.at("answers") == CORRECTED.label for point in points) else (RAW,)
    low, high = limits(points, "change")

    def draw(axes: Sequence[Axes], panel: str) -> None:
        (ax,) = axes
        for number, look in enumerate(looks):
            here = [(places[str(p.at("run"))], p) for p in points if p.at("answers") == look.label]
            if not series:
                shift = 0.16 * (2 * number - (len(looks) - 1))
                errorbar(ax, [(place + shift, point) for place, point in here], look, across=True, scale=100.0)
            elif look.label == panel:
                band(ax, sorted(here, key=lambda item: item[0]), look, 100.0)
        if series:
            ax.axhline(0, color=INK, linewidth=0.6)
            ax.set_ylim(100 * low, 100 * high)
            ax.set_title("change of accuracy, points")
            ax.set_xlabel("position")
            _fall(ax, places)
        else:
            ax.axvline(0, color=INK, linewidth=0.6)
            ax.set_yticks(list(places.values()), [cut_in_middle(label, _LONGEST) for label in places], fontsize=7)
            ax.set_ylim(len(places) + 0.6, 0.4)
            ax.set_xlabel("change of accuracy, points")

    return Plot(
        name="runs",
        title="The change of each run",
        caption=f"Against {comparison.reference.label}, with intervals that hold together for all runs.",
        rows=[point.row() for point in points],
        panels={look.label: look.label for look in looks} if series and len(looks) > 1 else {looks[0].label: ""},
        looks=looks,
        heights=(2.4,) if series else (0.5 + 0.21 * len(places),),
        draw=draw,
    )


def _fall(ax: Axes, places: Mapping[str, float]) -> None:
    """A series that was given from large to small numbers goes from left to right as well."""
    steps = list(places.values())
    if steps[0] > steps[-1]:
        ax.invert_xaxis()


def _tasks(comparison: ManyComparison) -> Plot:
    places, series = _placed(comparison), comparison.series is not None
    ordered = sorted(
        comparison.by_task,
        key=lambda task: min(p_or_one(change.section.sign_flip_p) for change in comparison.by_task[task].values()),
    )
    shown = ordered[:MOST_TASKS]
    points = {task: _points(comparison.by_task[task], task, places) for task in shown}
    common = common_beginning(list(places))
    columns = {str(number + 1): shown[number::COLUMNS] for number in range(min(COLUMNS, len(shown)))}
    rows = max(map(len, columns.values()))
    low, high = limits([point for found in points.values() for point in found], "change")

    def draw(axes: Sequence[Axes], panel: str) -> None:
        for number, ax in enumerate(axes):
            if number >= len(columns[panel]):
                ax.set_axis_off()
                continue
            task = columns[panel][number]
            here = sorted(((places[str(p.at("run"))], p) for p in points[task]), key=lambda item: item[0])
            if series:
                band(ax, here, RAW, 100.0)
                _fall(ax, places)
            else:
                errorbar(ax, here, RAW, scale=100.0)
                ax.set_xlim(0.5, len(places) + 0.5)
                if len(places) <= _MOST_NAMED:
                    names = [cut_in_middle(label[len(common) :], _SHORTEST) for label in places]
                    across = len(places) * max(map(len, names)) <= _ACROSS
                    ax.set_xticks(list(places.values()), names, fontsize=7.5, rotation=0 if across else 30)
                else:
                    ax.set_xticks(np.unique(np.linspace(1, len(places), 5).round()).tolist())
            ax.axhline(0, color=INK, linewidth=0.6)
            ax.set_ylim(100 * low, 100 * high)
            ax.set_title(cut_in_middle(task, 34), fontsize=8)

    order = "position in the series" if series else "runs, the most accurate first"
    return Plot(
        name="tasks",
        title="Task by task" if len(shown) == len(ordered) else f"The {len(shown)} tasks that changed most surely",
        caption="Change of accuracy in points, with intervals that hold together for all runs and tasks; from left to right: "
        f"{order}." + (f" Runs without their common beginning, {common}." if common and not series else ""),
        rows=[point.row() for found in points.values() for point in found],
        panels=dict.fromkeys(columns, ""),
        looks=(),
        heights=(1.45,) * rows,
        draw=draw,
    )
