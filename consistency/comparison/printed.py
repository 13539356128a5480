"""A comparison on a terminal: which runs, and a table of the tasks' changes that fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from consistency.comparison.changed_most import ChangedMost, changed_most
from consistency.comparison.numbers import digits_of, percent, points
from consistency.comparison.section import MetricChange, Section
from consistency.comparison.sentences import ALPHA, accuracy_name, ended
from consistency.comparison.slice_result import Slices
from consistency.logs.folders import Selection
from consistency.logs.run_config import RunConfig, model_name
from consistency.metrics.measures import MEASURE
from consistency.statistics.estimates import Estimate
from consistency.support.terminal import BETTER, BOLD, WORSE, Column, fitted, lines_of, styled, wrapped
from consistency.support.text import common_beginning, counted, decimal, p_equals, p_value, visible

# What is shown beside the change of accuracy where there is room, each with its rank.
_FURTHER = {"same_top": 4, "kl": 5, "spearman": 6}
_NONE = "–"


@dataclass(frozen=True)
class Layout:
    """How a comparison is laid out.

    Attributes
    ----------
    columns : int or None
        How many columns a line may take; None for any number.
    styles : bool
        Whether it has colours.
    """

    columns: int | None = None
    styles: bool = False

    def lines(self, sentence: str) -> list[str]:
        """A sentence in lines, everything in it visible; all but the first begin with two spaces."""
        return wrapped(visible(sentence), self.columns, "  ")

    def bold(self, lines: Sequence[str]) -> list[str]:
        """Lines that stand out."""
        return [styled(line, BOLD) for line in lines] if self.styles else list(lines)


def conclusion_lines(conclusions: Iterable[Sequence[str]], layout: Layout) -> Iterator[str]:
    """What a comparison found: of each sentence's clauses first what happened, then line by line what else it says."""
    for clauses in conclusions:
        first, *others = ended(clauses)
        yield from layout.bold(layout.lines(first))
        for clause in others:
            yield from wrapped(f"  {visible(clause)}", layout.columns, "    ")


def run_lines(
    configs: Sequence[RunConfig], selections: Sequence[Selection], counts: tuple[int, int], layout: Layout
) -> Iterator[str]:
    """The two models with the dates of their runs, and how many questions of how many tasks were compared."""
    names = [visible(model_name(config)) for config in configs]
    dates = [run_date(config.date or selection.run) for config, selection in zip(configs, selections, strict=True)]
    for when, name, date in zip(("before", "after"), names, dates, strict=True):
        yield from wrapped(f"{when:<6}  {name}, {visible(date)}", layout.columns, " " * 8)
    questions, tasks = counts
    yield f"        {questions:,} {'question' if questions == 1 else 'questions'} of {counted(tasks, 'task')}"


def run_date(run: str) -> str:
    """A run's date as people write it, to the second; another name of a run as it is."""
    day, _, clock = run.partition("T")
    hours = clock.split(".")[0].replace("-", ":")
    return f"{day} {hours}" if len(day) == 10 and len(hours) == 8 else run


def task_lines(
    tasks: Sequence[Section], pools: Sequence[Section], most: ChangedMost | None, layout: Layout
) -> Iterator[str]:
    """A table of tasks and of what pools them, as wide as there is room.

    Parameters
    ----------
    tasks, pools : sequence of Section
    most : ChangedMost or None
        Where the tasks were chosen for their large changes: their intervals.
    layout : Layout
    """
    sections = [*tasks, *pools]
    changes = {} if most is None else most.changes
    rows = [row_of(section, changes.get(section.name)) for section in sections]
    beginning = common_beginning([section.name for section in tasks]) if layout.columns is not None else ""
    adjusted = any(section.p_holm is not None for section in sections)
    metrics = tuple(map(_metric_name, sections))
    styles = tuple(row.style if layout.styles else "" for row in rows)
    whole = _table(sections, rows, metrics, styles, adjusted=adjusted, of_all=most is None, beginning="")
    table = fitted(whole, layout.columns)
    if beginning and table[0].cells != whole[0].cells:
        # Before names are cut in their middle, they lose what all of them begin with.
        table = fitted(
            _table(
                sections,
                rows,
                metrics,
                styles,
                adjusted=adjusted,
                of_all=most is None,
                beginning=beginning,
                pools=len(pools),
            ),
            layout.columns,
        )
    yield from lines_of(table)


def largest(by_task: Mapping[str, Section], most: int | None) -> tuple[list[Section], ChangedMost | None]:
    """The tasks, the largest change of accuracy first; where they are too many, the first of them with their intervals."""
    tasks = sorted(by_task.values(), key=lambda section: -_size(section))
    chosen = None if most is None or len(tasks) <= most else changed_most(tasks, most)
    return (tasks, None) if chosen is None else (list(chosen.sections), chosen)


def _size(section: Section) -> float:
    """How much accuracy changed, up or down; -1 for a task without accuracy."""
    change = section.estimates["delta_accuracy"].value
    return -1.0 if change is None else abs(change)


def choice_note(most: ChangedMost | None, tasks: int) -> str:
    """How many tasks a table leaves out, and how its intervals account for the choice; empty where it holds all."""
    if most is None:
        return ""
    return (
        f"the {len(most.sections)} largest changes of {counted(tasks, 'task')}; intervals of {100 * most.confidence:.1f} % each, "
        "so that 95 % of those chosen for their size hold; those of what pools tasks: 95 %"
    )


def correction_note(tasks: Sequence[Section], most: ChangedMost | None) -> str:
    """That p-values are corrected for the number of tasks and intervals are not; empty where no task shows it."""
    changes = {} if most is None else most.changes
    apart = any(
        changes.get(section.name, section.estimates["delta_accuracy"]).excludes_zero and section.p_holm >= ALPHA
        for section in tasks
        if section.p_holm is not None
    )
    # A table without such a row has nothing to explain.
    if not apart:
        return ""
    return "p is corrected for the number of tasks (Holm), the intervals are not: one that excludes 0 alone is no sure change"


def slice_lines(found: Slices, most: int | None, layout: Layout, *, tasks_chosen: bool = False) -> Iterator[str]:
    """A table of the slices that changed most, and what its columns are; below a table of all tasks or of chosen ones."""
    shown = found.largest(most)
    styles = tuple(_style(item.delta_accuracy.value, item.p_holm) if layout.styles else "" for item in shown)
    changes = [(item.delta_accuracy, item.shrunk) for item in shown]
    table = [
        Column(f"by {visible(found.by)}", tuple(visible(item.name) for item in shown), right=False),
        Column("n", tuple(f"{item.n:,}" for item in shown)),
        Column("before", tuple(percent(item.accuracy_before.value) for item in shown), rank=3),
        Column("after", tuple(percent(item.accuracy_after.value) for item in shown), rank=3),
        Column("change", tuple(_change(change) for change, _ in changes), styles=styles),
        Column("95 % interval", tuple(_ends(change) for change, _ in changes), styles=styles),
    ]
    if found.between is not None:
        table += [
            Column("shrunk", tuple(_change(shrunk) for _, shrunk in changes), rank=2),
            Column("95 % interval", tuple(_ends(shrunk) for _, shrunk in changes), rank=2),
        ]
    table += [
        Column("p (Holm)", tuple(p_value(item.p_holm) for item in shown)),
        Column("flips −/+", tuple(_flips(item.flips) for item in shown), rank=4),
    ]
    shown_columns = fitted(table, layout.columns)
    yield from lines_of(shown_columns)
    remarks = [] if len(shown) == len(found.slices) else [f"the {len(shown)} largest changes (--all: all of them)"]
    narrow = len(shown_columns) < len(table) and all(column.head != "shrunk" for column in shown_columns)
    if narrow and found.between is not None:
        remarks.append("a wider terminal also shows the changes that are shrunk towards their mean")
    else:
        remarks.append(found.shrinkage)
    if tasks_chosen:
        remarks.append(
            "each interval here is 95 % for its slice alone; those of the tasks above are wider for the same questions, as these "
            "tasks were chosen for large changes"
        )
    yield from layout.lines("; ".join([*remarks, found.correction]))


@dataclass(frozen=True)
class PrintedRow:
    """The cells of a section, and the style of its change."""

    before: str
    after: str
    change: str
    interval: str
    style: str


def _table(
    sections: Sequence[Section],
    rows: Sequence[PrintedRow],
    metrics: tuple[str, ...],
    styles: tuple[str, ...],
    *,
    adjusted: bool,
    of_all: bool,
    beginning: str,
    pools: int = 0,
) -> list[Column]:
    tasks = len(sections) - pools
    names = [
        visible(section.name[len(beginning) :] if place < tasks else section.name)
        for place, section in enumerate(sections)
    ]
    head = f"task {visible(beginning)}…" if beginning else "task"
    mixed = len(set(metrics)) > 1
    found = [
        Column(head, tuple(names), right=False),
        Column("metric", metrics, rank=1 if mixed else 7, right=False),
        Column("n", tuple(f"{section.n:,}" for section in sections)),
        Column("before", tuple(row.before for row in rows), rank=2),
        Column("after", tuple(row.after for row in rows), rank=2),
        Column("change", tuple(row.change for row in rows), styles=styles),
        Column("95 % interval" if of_all else "interval", tuple(row.interval for row in rows), styles=styles),
        Column("p (Holm)" if adjusted else "p", tuple(tested(section, adjusted=adjusted) for section in sections)),
        Column("flips −/+", tuple(_flips(section.flips) for section in sections), rank=3),
    ]
    for name, rank in _FURTHER.items():
        cells = tuple(_further(section, name) for section in sections)
        if set(cells) != {_NONE}:
            found.append(Column(MEASURE[name].short, cells, rank=rank))
    return found


def row_of(section: Section, change: Estimate | None) -> PrintedRow:
    """The numbers of a section: of accuracy, or where it has none of its first metric."""
    found = section.estimates
    change = change or found["delta_accuracy"]
    if change.value is None:
        metric = next((metric for _, metric in _compared(section)), None)
        return PrintedRow(_NONE, _NONE, _NONE, "", "") if metric is None else metric_row(metric)
    p = section.sign_flip_p if section.p_holm is None else section.p_holm
    return PrintedRow(
        percent(found["accuracy_before"].value),
        percent(found["accuracy_after"].value),
        _change(change),
        _ends(change),
        _style(change.value, p),
    )


def _compared(section: Section) -> Iterator[tuple[str, MetricChange]]:
    """The metrics of a section that have a change."""
    return ((name, metric) for name, metric in (section.metrics or {}).items() if metric.delta.value is not None)


def _metric_name(section: Section) -> str:
    """The metric whose numbers a row has: that of accuracy, or without accuracy the first."""
    first = next((name for name, _ in _compared(section)), None)
    named = accuracy_name(section) if first is None or section.estimates["delta_accuracy"].value is not None else first
    return visible(named)


def metric_row(metric: MetricChange) -> PrintedRow:
    """The numbers of a metric that is no share, in its own unit."""
    change = metric.delta
    before, after = (_NONE if end.value is None else f"{end.value:.4g}" for end in (metric.before, metric.after))
    ends = "" if change.ci_low is None or change.ci_high is None else f"[{change.ci_low:+.3g}, {change.ci_high:+.3g}]"
    return PrintedRow(before, after, _NONE if change.value is None else f"{change.value:+.3g}", ends, "")


def tested(section: Section, *, adjusted: bool) -> str:
    """The p of no change: beside adjusted ones one that is not says so, such as that of all tasks together."""
    if section.p_holm is not None:
        return p_value(section.p_holm)
    if section.sign_flip_p is None:
        return _NONE
    return p_equals(section.sign_flip_p) if adjusted else p_value(section.sign_flip_p)


def _further(section: Section, name: str) -> str:
    found, measure = section.estimates.get(name), MEASURE[name]
    if found is None or found.value is None:
        return _NONE
    return percent(found.value) if measure.unit == "%" else decimal(found.value, 3)


def _flips(turned: Mapping[str, int] | None) -> str:
    return f"{turned['harmful']}/{turned['beneficial']}" if turned else _NONE


def _change(found: Estimate | None) -> str:
    return _NONE if found is None or found.value is None else _points(found.value, digits_of(found))


def _ends(found: Estimate | None) -> str:
    if found is None or found.ci_low is None or found.ci_high is None:
        return ""
    digits = digits_of(found)
    return f"[{_points(found.ci_low, digits)}, {_points(found.ci_high, digits)}]"


def _style(change: float | None, p: float | None) -> str:
    """Of a change that is beyond chance."""
    if not change or p is None or p >= ALPHA:
        return ""
    return BETTER if change > 0 else WORSE


def _points(x: float, digits: int) -> str:
    # A change too small to be seen has no sign.
    return points(x, digits) if round(100 * x, digits) else f"{0:.{digits}f}"
