"""Many runs as Markdown for a pull request or a job's summary: the conclusion, the conditions, and tasks × runs."""

from __future__ import annotations

from consistency.comparison.checked import NO_CONDITIONS, Checked
from consistency.comparison.many.result import ManyComparison
from consistency.comparison.many.values import Change
from consistency.report.formats.github import MOST_COLUMNS, MOST_TASKS, code, conditions, page_of, plain, table_of
from consistency.report.formats.numbers import DASH
from consistency.report.many.tables import in_points


def to_markdown(comparison: ManyComparison, checked: Checked = NO_CONDITIONS, *, folded: bool = False) -> str:
    """Verdict, conditions, the change of each run in each task with its simultaneous interval, notes, signature.

    Parameters and result are those of `consistency.report.pair.github.to_markdown`.
    """
    parts = [*conditions(checked), _matrix(comparison)]
    notes = [plain(note) for note in (*comparison.to_lines(), *comparison.notes)]
    return page_of(comparison.verdicts, parts, notes, comparison.signature, folded=folded)


def _matrix(comparison: ManyComparison) -> str:
    """The changes: all tasks together and the tasks with the surest and largest changes are rows, runs are columns."""
    labels = list(comparison.overall)[:MOST_COLUMNS]
    single = comparison.by_task if len(comparison.by_task) > 1 else {}

    def order(name: str) -> tuple[bool, float]:
        found = [(change.direction == 0, -abs(change.simultaneous.value or 0.0)) for change in single[name].values()]
        return min(found)

    shown = sorted(single, key=order)[:MOST_TASKS]
    rows = [
        [code(name, cell=True), f"{next(iter(changes.values())).section.n:,}", *(_cell(changes.get(x)) for x in labels)]
        for name, changes in (*comparison.pools.items(), *((name, single[name]) for name in shown))
    ]
    table = table_of(["task", "n", *(code(label, cell=True) for label in labels)], rows)
    left = [
        f"{len(every) - some} more {what}"
        for every, some, what in ((comparison.overall, len(labels), "runs"), (single, len(shown), "tasks"))
        if len(every) > some
    ]
    more = f" {' and '.join(left)} are in the JSON." if left else ""
    reference = code(comparison.reference.label)
    return (
        f"Change of accuracy from {reference} in points, with 95 % intervals that hold together for all "
        f"{comparison.families['runs'].of} changes of tasks together, and for all {comparison.families['tasks'].of} of single "
        f"tasks; bold where they exclude 0.{more}\n\n{table}"
    )


def _cell(change: Change | None) -> str:
    if change is None:
        return DASH
    text = plain(in_points(change.simultaneous))
    return f"**{text}**" if change.direction else text
