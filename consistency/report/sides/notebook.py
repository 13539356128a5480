"""Several runs a side in a notebook: the conclusion and the tasks that changed most, as HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from consistency.comparison.changed_most import MOST
from consistency.comparison.printed import choice_note, correction_note, largest
from consistency.comparison.sides.result import SideComparison
from consistency.comparison.sides.text import run_notes, task_rows
from consistency.report.notebook_changes import plot_changes, tasks_frame
from consistency.report.notebook_html import fewer, to_piece

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame


def to_html(comparison: SideComparison) -> str:
    """What was found, which runs were compared, and the largest changes, as a piece of HTML.

    Parameters
    ----------
    comparison : SideComparison

    Returns
    -------
    str
        Without scripts; whatever the names of models and tasks hold is text.
    """
    tasks, chosen = largest(comparison.changes.by_task, MOST)
    rows_of = comparison.with_pools([comparison.by_task[section.name] for section in tasks])
    (_, *head), *rows = task_rows(rows_of, {} if chosen is None else chosen.changes)
    caption = "Accuracies are means over the runs, in percent; changes in points."
    for remark in (choice_note(chosen, len(comparison.by_task)), correction_note(tasks, chosen)):
        caption += f" {remark[0].upper()}{remark[1:]}." if remark else ""
    return to_piece(
        (*comparison.conclusions, *((line,) for line in comparison.summaries)),
        comparison.to_lines(),
        ("task", *head),
        rows,
        caption,
        fewer((*run_notes(comparison.runs), *comparison.notes)),
    )


def plot(comparison: SideComparison, axes: Axes | None = None) -> Axes:
    """The axes on which the largest changes of accuracy are drawn with their intervals; new ones by default."""
    return plot_changes(comparison.changes.by_task, [item.section for item in comparison.with_pools([])], axes)


def to_frame(comparison: SideComparison) -> DataFrame:
    """A row for each task, with the columns of a comparison of two runs: see `consistency.report.pair.notebook.to_frame`."""
    return tasks_frame(comparison.changes.by_task)
