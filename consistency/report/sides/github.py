"""Several runs a side as Markdown for a pull request or a job's summary: the conclusion, the conditions, the largest changes."""

from __future__ import annotations

from consistency.comparison.checked import NO_CONDITIONS, Checked
from consistency.comparison.printed import choice_note, correction_note, largest
from consistency.comparison.sides.result import SideComparison
from consistency.comparison.sides.text import run_notes, task_rows
from consistency.report.formats.github import MOST_TASKS, code, conditions, page_of, plain, table_of


def to_markdown(comparison: SideComparison, checked: Checked = NO_CONDITIONS, *, folded: bool = False) -> str:
    """Verdict, conditions, the largest changes with their intervals, notes, signature.

    Parameters and result are those of `consistency.report.pair.github.to_markdown`.
    """
    tasks, chosen = largest(comparison.changes.by_task, MOST_TASKS)
    items = comparison.with_pools([comparison.by_task[section.name] for section in tasks])
    (_, *head), *rows = task_rows(items, {} if chosen is None else chosen.changes)
    cells = [[code(name, cell=True), *map(plain, numbers)] for name, *numbers in rows]
    remarks = filter(None, (choice_note(chosen, len(comparison.by_task)), correction_note(tasks, chosen)))
    parts = [
        *conditions(checked),
        table_of(["task", *head], cells),
        *(f"{plain(remark)}." for remark in remarks),
    ]
    notes = (*comparison.to_lines(), *comparison.summaries, *run_notes(comparison.runs), *comparison.notes)
    return page_of(comparison.verdicts, parts, [*map(plain, notes)], comparison.signature, folded=folded)
