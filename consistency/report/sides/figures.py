"""The figure of two sides: the change of each task, and where the single runs lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from consistency.comparison.sides.sections import SideSection
from consistency.report.drawings import Look, Plot, Point, errorbar, height_of_rows, set_rows
from consistency.support.figure_style import BLUE, GREY, RED
from consistency.support.text import common_beginning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More tasks than these are drawn by those that changed most.
MOST_TASKS = 80
_LEVEL = 0.05
_CHANGED, _UNCHANGED = Look("p (Holm) < .05", RED, "D"), Look("p (Holm) ≥ .05", BLUE, "o")
_RUNS = Look("single runs after, less the mean before", GREY, "p")


def side_plots(by_task: Mapping[str, SideSection]) -> list[Plot]:
    """What to draw: nothing without a task that has accuracy."""
    known = [item for item in by_task.values() if item.section.estimates["delta_accuracy"].value is not None]
    largest = sorted(known, key=lambda item: -abs(item.section.estimates["delta_accuracy"].value or 0.0))[:MOST_TASKS]
    shown = sorted(largest, key=lambda item: item.section.estimates["delta_accuracy"].value or 0.0)
    if not shown:
        return []
    points = [
        Point.of(item.section.estimates["delta_accuracy"], "delta_accuracy", item.section.n, task=item.section.name)
        for item in shown
    ]
    runs = [
        (
            float(place),
            Point({"task": item.section.name, "run": f"after {number}"}, "delta_accuracy", accuracy - before),
        )
        for place, item in enumerate(shown)
        if (before := item.section.estimates["accuracy_before"].value) is not None
        for number, accuracy in enumerate(item.runs[1], start=1)
        if accuracy == accuracy
    ]

    names = [item.section.name for item in shown]
    common = common_beginning(names)

    def draw(axes: Sequence[Axes], _: str) -> None:
        (ax,) = axes
        errorbar(ax, runs, _RUNS, across=True, scale=100)
        for look in (_CHANGED, _UNCHANGED):
            marks = [(float(place), points[place]) for place, item in enumerate(shown) if _look(item) is look]
            errorbar(ax, marks, look, across=True, scale=100)
        set_rows(ax, [name[len(common) :] for name in names], "points")

    left = len(by_task) - len(shown)
    return [
        Plot(
            name="tasks",
            title="Each task's change",
            caption="Change of accuracy from the mean of the runs before to that of the runs after, with intervals over runs and "
            "questions, in percentage points; and each run after by itself."
            + (f" Names without their common beginning, {common}." if common else "")
            + (f" The {left} tasks that changed least, or have no accuracy, are left out." if left else ""),
            rows=[*(point.row() for point in points), *(point.row() for _, point in runs)],
            panels={"all": ""},
            looks=(_CHANGED, _UNCHANGED, *([_RUNS] if runs else [])),
            heights=(height_of_rows(len(shown)),),
            draw=draw,
        )
    ]


def _look(item: SideSection) -> Look:
    p = item.section.sign_flip_p if item.section.p_holm is None else item.section.p_holm
    return _CHANGED if p is not None and p < _LEVEL else _UNCHANGED
