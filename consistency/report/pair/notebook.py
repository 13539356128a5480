"""A comparison in a notebook: what is shown of it, tables of pandas, and a figure of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from consistency.comparison.changed_most import MOST
from consistency.comparison.printed import choice_note, largest, row_of, run_date, tested
from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.comparison.sentences import accuracy_name
from consistency.errors import InputError, not_one_of
from consistency.logs.run_config import model_name
from consistency.metrics.measures import MEASURES
from consistency.report.drawings import Look, Point, errorbar
from consistency.report.notebook_html import fewer, to_piece
from consistency.report.pair.texts import text_columns
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


def to_html(comparison: Comparison) -> str:
    """The verdict, the two runs, a table of the largest changes and a figure, as a piece of HTML.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    str
        Without scripts; whatever the names of tasks and models hold is text.
    """
    runs = [
        f"{when}: {model_name(config)}{f', {run_date(config.date)}' if config.date else ''}"
        for when, config in (("before", comparison.before), ("after", comparison.after))
    ]
    shown, note = _shown(comparison.by_task, comparison.pooled)
    adjusted = _adjusted(shown)
    head = ("task", "n", "before", "after", "change", "interval", "p (Holm)" if adjusted else "p")
    rows = [
        (
            section.name,
            f"{section.n:,}",
            row.before,
            row.after,
            row.change,
            row.interval,
            tested(section, adjusted=adjusted),
        )
        for section, row in ((section, row_of(section, change)) for section, change in shown)
    ]
    figure = f'<div style="background:#fff;max-width:{_WIDE}in">{_svg(comparison)}</div>'
    caption = f"Changes in points; {note}."
    return to_piece(comparison.conclusions, runs, head, rows, caption, fewer(comparison.notes), figure)


def _shown(by_task: Mapping[str, Section], pooled: Sequence[Section]) -> tuple[list[tuple[Section, Estimate]], str]:
    """The tasks that changed most and what pools them, each with its change; and how the intervals are to be read."""
    tasks, most = largest(by_task, MOST)
    changes = {} if most is None else most.changes
    note = choice_note(most, len(by_task)) or "95 % intervals"
    sections = [*tasks, *pooled]
    return [(section, changes.get(section.name, section.estimates["delta_accuracy"])) for section in sections], note


def _adjusted(shown: Sequence[tuple[Section, Estimate]]) -> bool:
    return any(section.p_holm is not None for section, _ in shown)


def _drawn(by_task: Mapping[str, Section], pooled: Sequence[Section]) -> list[tuple[Section, Estimate]]:
    """What has a change of accuracy to be drawn."""
    return [(section, change) for section, change in _shown(by_task, pooled)[0] if change.value is not None]


def _size(drawn: Sequence[tuple[Section, Estimate]]) -> tuple[float, float]:
    return _WIDE, _HEAD + _ROW * len(drawn)


def _svg(comparison: Comparison) -> str:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    drawn = _drawn(comparison.by_task, comparison.pooled)
    if not drawn:
        return ""
    style: Any = STYLE | {"svg.hashsalt": "notebook"}
    with rc_context(style):
        figure = Figure(figsize=_size(drawn), layout="constrained")
        _draw(drawn, figure.subplots())
        return inline(to_svg(figure), "consistency", "change of accuracy, with intervals", themed=False)


def plot(comparison: Comparison, axes: Axes | None = None) -> Axes:
    """The axes on which the largest changes of accuracy are drawn with their intervals; new ones by default."""
    return plot_changes(comparison.by_task, comparison.pooled, axes)


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
    tested_by = "p (Holm)" if _adjusted(drawn) else "p"
    axes.set_xlabel(f"change of accuracy, points (▲ rose, ▼ fell: {tested_by} < .05)")


def to_frame(comparison: Comparison, of: str = "tasks") -> DataFrame:
    """A comparison as a table of pandas.

    Parameters
    ----------
    comparison : Comparison
    of : {"tasks", "questions", "slices"}

    Returns
    -------
    pandas.DataFrame
        A row for each task, question, or slice. Shares and changes are fractions. `ci_low` and `ci_high` are the ends of a 95 %
        interval of `change`. Questions have what `items` holds, and the texts, for which the logs are read again.

    Raises
    ------
    InputError
        If pandas is missing, or a log is no longer in place.
    """
    if of == "questions":
        tables = [frame_of(_questions(comparison, task)) for task in comparison.items]
        from pandas import concat

        return concat(tables, ignore_index=True)
    if of == "slices":
        return frame_of(_slices(comparison))
    if of != "tasks":
        raise not_one_of("table", of, ("tasks", "questions", "slices"))
    return tasks_frame(comparison.by_task)


def tasks_frame(by_task: Mapping[str, Section]) -> DataFrame:
    """A table of pandas with a row for each task: see `to_frame`."""
    return frame_of([_numbers(name, section) for name, section in by_task.items()])


def _numbers(name: str, section: Section) -> dict[str, Any]:
    found = section.estimates
    first = ("accuracy_before", "accuracy_after", "delta_accuracy")
    return {
        "task": name,
        "metric": accuracy_name(section),
        "n": section.n,
        **_change(found["accuracy_before"], found["accuracy_after"], found["delta_accuracy"]),
        "p": section.sign_flip_p,
        "p_holm": section.p_holm,
        **{name: found[name].value for measure in MEASURES if (name := measure.name) in found and name not in first},
    }


def _change(before: Estimate, after: Estimate, change: Estimate) -> dict[str, float | None]:
    ends = {"change": change.value, "ci_low": change.ci_low, "ci_high": change.ci_high}
    return {"before": before.value, "after": after.value, **ends}


def _slices(comparison: Comparison) -> list[dict[str, Any]]:
    if not comparison.slices:
        raise InputError("this comparison has no slices", do='compare(before, after, by="subject")')
    return [
        {
            "by": field,
            "slice": item.name,
            "n": item.n,
            "tasks": item.tasks,
            **_change(item.accuracy_before, item.accuracy_after, item.delta_accuracy),
            **{
                name: None if item.shrunk is None else getattr(item.shrunk, end)
                for name, end in (("shrunk", "value"), ("shrunk_low", "ci_low"), ("shrunk_high", "ci_high"))
            },
            "p": item.p,
            "p_holm": item.p_holm,
        }
        for field, found in comparison.slices.items()
        for item in found.slices
    ]


def _questions(comparison: Comparison, task: str) -> dict[str, Any]:
    """The columns of a task's questions; lists where a question has several numbers."""
    items = comparison.items[task]
    columns = {name: items[name] for name in items} | text_columns(comparison, task)
    return {"task": task} | {name: list(values) if values.ndim == 2 else values for name, values in columns.items()}
