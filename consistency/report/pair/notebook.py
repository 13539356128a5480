"""A comparison in a notebook: what is shown of it, tables of pandas, and a figure of matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consistency.comparison.printed import row_of, run_date, tested
from consistency.comparison.result import Comparison
from consistency.errors import InputError, not_one_of
from consistency.logs.run_config import model_name
from consistency.report.notebook_changes import (
    any_adjusted,
    changes_html,
    ends_of,
    plot_changes,
    shown_changes,
    tasks_frame,
)
from consistency.report.notebook_html import fewer, to_piece
from consistency.report.pair.texts import text_columns
from consistency.support.frames import frame_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


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
    shown, note = shown_changes(comparison.by_task, comparison.pooled)
    adjusted = any_adjusted(shown)
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
    figure = changes_html(comparison.by_task, comparison.pooled)
    caption = f"Changes in points; {note}."
    return to_piece(comparison.conclusions, runs, head, rows, caption, fewer(comparison.notes), figure)


def plot(comparison: Comparison, axes: Axes | None = None) -> Axes:
    """The axes on which the largest changes of accuracy are drawn with their intervals; new ones by default."""
    return plot_changes(comparison.by_task, comparison.pooled, axes)


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


def _slices(comparison: Comparison) -> list[dict[str, Any]]:
    if not comparison.slices:
        raise InputError("this comparison has no slices", do='compare(before, after, by="subject")')
    return [
        {
            "by": field,
            "slice": item.name,
            "n": item.n,
            "tasks": item.tasks,
            **ends_of(item.accuracy_before, item.accuracy_after, item.delta_accuracy),
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
