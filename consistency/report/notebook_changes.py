"""The changes of tasks in a notebook: which are shown, as a figure of matplotlib, and as a table of pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from consistency.comparison.changed_most import MOST
from consistency.comparison.printed import choice_note, largest, row_of
from consistency.comparison.section import Section
from consistency.comparison.sentences import accuracy_name
from consistency.errors import InputError
from consistency.metrics.measures import MEASURES
from consistency.report.drawings import Look, Point, errorbar
from consistency.statistics.estimates import Estimate
from consistency.support.figure_style import BLUE, GREY, INK, RED, STYLE, inline, to_svg
from consistency.support.frames import frame_of
from consistency.support.terminal import BETTER, WORSE
from consistency.support.text import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

_LOOKS = {WORSE: Look("fell", RED, "v"), BETTER: Look("rose", BLUE, "^"), "": Look("not beyond chance", GREY, "o")}
# In inches.
_WIDE, _HEAD, _ROW = 6.4, 0.9, 0.26


def shown_changes(
    by_task: Mapping[str, Section], pooled: Sequence[Section]
) -> tuple[list[tuple[Section, Estimate]], str]:
    """The tasks that changed most and what pools them, each with its change; and how the intervals are to be read."""
    tasks, most = largest(by_task, MOST)
    changes = {} if most is None else most.changes
    note = choice_note(most, len(by_task)) or "95 % intervals"
    sections = [*tasks, *pooled]
    return [(section, changes.get(section.name, section.estimates["delta_accuracy"])) for section in sections], note


def any_adjusted(shown: Sequence[tuple[Section, Estimate]]) -> bool:
    """Whether any of them has a p that is adjusted for the number of tasks."""
    return any(section.p_holm is not None for section, _ in shown)


def _drawn(by_task: Mapping[str, Section], pooled: Sequence[Section]) -> list[tuple[Section, Estimate]]:
    """What has a change of accuracy to be drawn."""
    return [(section, change) for section, change in shown_changes(by_task, pooled)[0] if change.value is not None]


def _size(drawn: Sequence[tuple[Section, Estimate]]) -> tuple[float, float]:
    return _WIDE, _HEAD + _ROW * len(drawn)


def changes_html(by_task: Mapping[str, Section], pooled: Sequence[Section]) -> str:
    """A figure of the largest changes of some tasks, and of those of what pools them; empty where nothing has an accuracy."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawn = _drawn(by_task, pooled)
    if not drawn:
        return ""
    style: Any = STYLE | {"svg.hashsalt": "notebook"}
    with rc_context(style):
        figure = Figure(figsize=_size(drawn), layout="constrained")
        _draw(drawn, figure.subplots())
        svg = inline(to_svg(figure), "consistency", "change of accuracy, with intervals", themed=False)
    return f'<div style="background:#fff;max-width:{_WIDE}in">{svg}</div>'


def plot_changes(by_task: Mapping[str, Section], pooled: Sequence[Section], axes: Axes | None) -> Axes:
    """The axes on which the largest changes of some tasks, and those of what pools them, are drawn.

    Raises
    ------
    InputError
        If nothing has an accuracy.
    """
    from matplotlib import pyplot, rc_context

    drawn = _drawn(by_task, pooled)
    if not drawn:
        raise InputError("no task has an accuracy that could be drawn", do="look at by_task, which has their metrics")
    style: Any = STYLE
    with rc_context(style):
        if axes is None:
            axes = pyplot.subplots(figsize=_size(drawn), layout="constrained")[1]
        _draw(drawn, axes)
    return axes


def _draw(drawn: Sequence[tuple[Section, Estimate]], axes: Axes) -> None:
    """The largest change above, what pools tasks below."""
    marks: dict[Look, list[tuple[float, Point]]] = {}
    for place, (section, change) in enumerate(reversed(drawn)):
        style = row_of(section, change).style
        look = _LOOKS[style]
        marks.setdefault(look, []).append((float(place), Point.of(change, "delta_accuracy", section.n)))
    for look, points in marks.items():
        errorbar(axes, points, look, across=True, scale=100)
    axes.axvline(0, color=INK, linewidth=0.6)
    axes.set_yticks(range(len(drawn)), [visible(section.name) for section, _ in reversed(drawn)], parse_math=False)
    axes.set_ylim(-0.7, len(drawn) - 0.3)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    tested_by = "p (Holm)" if any_adjusted(drawn) else "p"
    axes.set_xlabel(f"change of accuracy, points (▲ rose, ▼ fell: {tested_by} < .05)")


def tasks_frame(by_task: Mapping[str, Section]) -> DataFrame:
    """A table of pandas with a row for each task, its changes and its other measures as fractions."""
    return frame_of([_numbers(name, section) for name, section in by_task.items()])


def _numbers(name: str, section: Section) -> dict[str, Any]:
    found = section.estimates
    first = ("accuracy_before", "accuracy_after", "delta_accuracy")
    return {
        "task": name,
        "metric": accuracy_name(section),
        "n": section.n,
        **ends_of(found["accuracy_before"], found["accuracy_after"], found["delta_accuracy"]),
        "p": section.sign_flip_p,
        "p_holm": section.p_holm,
        **{name: found[name].value for measure in MEASURES if (name := measure.name) in found and name not in first},
    }


def ends_of(before: Estimate, after: Estimate, change: Estimate) -> dict[str, float | None]:
    """The columns of a change: both values, their change and the ends of its interval."""
    ends = {"change": change.value, "ci_low": change.ci_low, "ci_high": change.ci_high}
    return {"before": before.value, "after": after.value, **ends}
