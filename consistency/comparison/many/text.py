"""Many runs as text: sentences, and tables for a terminal of 80 columns or more."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence

from consistency.comparison.many.metrics import MetricOfRun
from consistency.comparison.many.values import Change, Judged, ManyChanges, Row, Trend, largest_first
from consistency.comparison.names import short_names
from consistency.comparison.numbers import digits_of, listed_changes, percent, points, points_interval
from consistency.comparison.part_sentences import letters_clause
from consistency.comparison.printed import Layout, conclusion_lines, metric_row
from consistency.comparison.sentences import ALPHA, NOT_KNOWLEDGE, readability_clauses, ways
from consistency.logs.run_config import model_name
from consistency.statistics.estimates import Estimate
from consistency.support.terminal import BETTER, PLAIN, WORSE, Column, cut_in_middle, fitted, lines_of
from consistency.support.text import counted, p_equals, p_value, shortened, visible

_NONE = "–"
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
# Of a task's name beside that of a run, in columns of a terminal of 80.
_TASK, _SHORTEST_TASK = 30, 8
# Of runs in a sentence.
_NAMED = 6
# Of tasks in a cell.
_NAMED_TASKS = 3
# Of changes in a sentence.
_NAMED_CHANGES = 3
# The head of p-values that are adjusted by the joint distribution of the intervals beside them.
P_JOINT = "p (joint)"


def ends(found: Estimate) -> str:
    """The ends of a change's interval in points, in brackets."""
    return points_interval(found).strip() or _NONE


def chance(share: float) -> str:
    """A probability in whole percent; what rounds to 0 or 100 is said to be below 1 or above 99, since none is certain.

    Examples
    --------
    >>> chance(0.614), chance(0.001), chance(0.999), chance(0.0)
    ('61 %', '< 1 %', '> 99 %', '< 1 %')
    """
    rounded = round(100 * share)
    return "< 1 %" if rounded < 1 else "> 99 %" if rounded > 99 else f"{rounded} %"


def margin_of(found: ManyChanges) -> str:
    """The largest loss that counts as none, in points."""
    return f"{100 * found.margin:g} point{'' if found.margin == 0.01 else 's'}"


def judgement(found: ManyChanges, judged: Judged) -> str:
    """Whether a run is worse than the reference, in words."""
    words = judged.judgement.replace("worse within", "worse, within").replace("the margin", margin_of(found))
    return words if judged.pool == found.main else f"{words} ({judged.pool})"


def conclusions(found: ManyChanges) -> Iterator[tuple[str, ...]]:
    """What happened to all runs, which is the best, and what happened along the series: sentences by their clauses."""
    if broken := (*_without_scores(found),):
        yield (*broken, NOT_KNOWLEDGE)
    what, *more = _changed(found)
    against = f"{counted(len(found.overall), 'run')} against {found.reference.label} in {_asked(found)}"
    yield f"{against}: {what}", *more, *_doubts(found)
    if sure := ways([item.found for item in found.metrics]):
        yield (f"Of {counted(len(found.metrics), 'change')} of metrics in their own unit {sure}",)
    first = found.ranking[0]
    others = [label for label in found.best_set if label != first.label]
    most = f"{first.label} ({percent(first.accuracy.value)}), the best with probability {chance(first.best)}"
    if others:
        named = shortened([first.label, *others], _NAMED)
        yield f"Most accurate: {most}", f"with 95 % confidence the best is among {named}"
    else:
        yield f"Most accurate: {most}", "no other is as accurate, with 95 % confidence"
    if found.series is not None:
        yield _along(found)


def _changed(found: ManyChanges) -> Iterator[str]:
    """What surely changed for the worse, in tasks together and in single tasks, what for the better, and what is not known to."""
    told: list[Row] = []
    single = False
    for word, way in (("worse", -1), ("better", 1)):
        pools, tasks = found.sure(way)
        told, single = [*told, *pools], single or bool(tasks)
        if pools:
            runs = len({label for label, _, _ in pools})
            more = "run" if len(found.pools) == 1 else "change"
            yield f"{counted(runs, 'run')} {'is' if runs == 1 else 'are'} {word}: {_named(found, pools, more)}"
        if tasks:
            runs, moved = len({label for label, _, _ in tasks}), counted(len(tasks), "change")
            yield f"surely {word} in single tasks ({moved} in {counted(runs, 'run')}): {_named(found, tasks, 'change')}"
    unclear = sum(change.direction == 0 for change in found.overall.values())
    together = " in all tasks together" if single else ""
    if unclear == len(found.overall):
        yield f"no change of accuracy{together} distinguishable from chance"
    elif unclear:
        yield f"of {counted(unclear, 'run')} the change{together} is not distinguishable from chance"
    letters = [f"{label}: {clause}" for label, _, change in told if (clause := letters_clause(change.section))]
    yield from _first(letters, "run")
    names = short_names([name for _, name, _ in found.unread], found.by_task)
    unread = [
        f"{name} of {label}: {', '.join(readability_clauses(change.section.readability, with_reasons=False))}"
        for name, (label, _, change) in zip(names, found.unread, strict=True)
        if change.section.readability is not None
    ]
    yield from _first(unread, "change")


def _named(found: ManyChanges, rows: Sequence[Row], noun: str) -> str:
    """The first changes with their intervals, and how many more there are."""
    shown = rows[:_NAMED_CHANGES]
    named = [
        (f"{name} of {label}" if name else label, change.simultaneous)
        for name, (label, _, change) in zip(_short(found, shown), shown, strict=True)
    ]
    return listed_changes(named, len(rows), noun)


def _short(found: ManyChanges, rows: Sequence[Row]) -> list[str]:
    """Of each change the task or the pool in a sentence; empty of the main one, which goes without saying."""
    names = [name for _, name, _ in rows]
    others = [name for name in names if name != found.main]
    short = dict(zip(others, short_names(others, found.by_task), strict=True))
    return [short.get(name, "") for name in names]


def _first(clauses: Sequence[str], noun: str) -> Iterator[str]:
    """The first clauses, each of one run, and of how many more the same is true."""
    yield from clauses[:_NAMED_CHANGES]
    if (more := len(clauses) - _NAMED_CHANGES) > 0:
        yield f"the same holds for {counted(more, f'more {noun}')}"


def _without_scores(found: ManyChanges) -> Iterator[str]:
    """Of which runs most scores decide nothing, each a clause."""
    for label, change in found.overall.items():
        section = change.section
        if section.odd_scores is not None and section.decides_nothing:
            yield f"{label}: {'; '.join(section.odd_scores.clauses)}"


def _doubts(found: ManyChanges) -> Iterator[str]:
    """What was not compared of which runs, and what else may have moved the numbers of which, each kind a clause."""
    said: dict[str, list[str]] = {}
    for run in found.runs:
        change = found.overall.get(run.label)
        odd = None if change is None or change.section.decides_nothing else change.section.odd_scores
        for clause in (*(item.clause for item in run.warnings), *(() if odd is None else odd.clauses)):
            said.setdefault(clause, []).append(run.label)
    for clause, labels in said.items():
        yield f"but for {shortened(labels, 3)}: {clause}"
    runs: dict[str, list[str]] = {}
    for run in found.runs:
        for doubt in run.doubts:
            runs.setdefault(doubt, []).append(run.label)
    for doubt, labels in runs.items():
        yield f"but between {found.reference.label} and {shortened(labels, 3)} {doubt}"


def _asked(found: ManyChanges) -> str:
    tasks = found.members[found.main]
    n = found.ranking[0].accuracy.n
    named = tasks[0] if len(tasks) == 1 else f"{len(tasks)} tasks"
    return f"{named} ({counted(n, 'question')})"


def _along(found: ManyChanges) -> tuple[str, ...]:
    """Where the series first does harm, and how accuracy changes along it."""
    series = found.series
    assert series is not None
    labels = [label for label in series.positions if label in found.overall]
    trend = series.trends[found.main]
    along = f"from {labels[0]} to {labels[-1]}"
    first_of_line, last_of_line = series.ends
    change = f"{points(trend.change.value, digits_of(trend.change))} points {ends(trend.change)}"
    slope = f"from {first_of_line} to {last_of_line}, by a straight line: {change}, {p_equals(trend.p)}"
    tasks = found.members[found.main]
    together = (
        ""
        if len(found.by_task) == 1
        else f" in {tasks[0]}"
        if len(tasks) == 1
        else f" in the {len(tasks)} tasks together"
    )
    elsewhere = [f"{'but' if trend.first_harmful is None else 'and'} {text}" for text in _harmed_elsewhere(found)]
    if trend.first_harmful is None:
        margin = margin_of(found)
        kept = sum(
            (low := found.overall[label].simultaneous.ci_low) is not None and low > -found.margin for label in labels
        )
        where = "none" if not kept else "all of them" if kept == len(labels) else f"{kept}"
        none = f"No position {along} is shown to be harmful{together}"
        return none, *elsewhere, f"a loss of {margin} is excluded at {where}", slope
    first = found.overall[trend.first_harmful].simultaneous
    later = labels[labels.index(trend.first_harmful) + 1 :]
    still = sum(found.overall[label].direction < 0 for label in later)
    after = [_after(still, len(later))] if later else []
    there = f"there {points(first.value, digits_of(first))} points {ends(first)}"
    return f"First harmful position{together} {along}: {trend.first_harmful}", *after, there, *elsewhere, slope


def _harmed_elsewhere(found: ManyChanges) -> Iterator[str]:
    """In which single tasks, and in which other pools, a position is harmful, and which is the first; nothing where none is."""
    series = found.series
    assert series is not None
    if len(found.by_task) == 1:
        return
    # A pool of one task is that task.
    alone = {names[0] for name, names in found.members.items() if len(names) == 1 and name in found.pools}
    order = list(series.positions)
    harmed = sorted(
        (order.index(trend.first_harmful), name)
        for name, trend in series.trends.items()
        if trend.first_harmful is not None and name != found.main and name not in alone
    )
    shown = harmed[:_NAMED_CHANGES]
    names = short_names([name for _, name in shown], found.by_task)
    named = ", ".join(f"{name} (first {order[first]})" for name, (first, _) in zip(names, shown, strict=True))
    more = len(harmed) - len(shown)
    if named:
        yield f"surely harmful in {named}" + (f" and {counted(more, 'more task')}" if more else "")


def _after(harmful: int, of: int) -> str:
    """How many of the runs after the first harmful one are harmful."""
    if of == 1:
        return "the run after it as well" if harmful else "not the run after it"
    if harmful == of:
        return f"all {of} runs after it as well"
    return f"{harmful or 'none'} of the {of} runs after it{' as well' if harmful else ''}"


def compared(found: ManyChanges) -> Iterator[str]:
    """Which runs were compared, and over how many questions."""
    yield f"{shortened([run.label for run in found.runs], _NAMED)}, each with {found.reference.label}"
    n = found.ranking[0].accuracy.n
    yield f"{counted(n, 'question')} of {counted(len(found.members[found.main]), 'task')}"


def to_text(found: ManyChanges, most: int | None, layout: Layout) -> str:
    """The whole text: see `ManyComparison.to_text`."""
    lines = list(conclusion_lines(conclusions(found), layout))
    lines += ["", *(line for text in _read(found) for line in layout.lines(text)), ""]
    lines += _ranking(found, layout)
    lines += ["", *_judgements(found, layout)]
    for name, changes in list(found.pools.items())[1:]:
        lines += ["", visible(f"{name}:"), *_pool(changes, layout)]
    if found.series is not None:
        lines += ["", *_trends(found, most, layout)]
    if len(found.by_task) > 1:
        lines += ["", *_largest(found, most, layout)]
    if found.metrics:
        lines += ["", *_metrics(found, most, layout)]
    return "\n".join([*lines, "", *layout.lines(found.signature)])


def _read(found: ManyChanges) -> Iterator[str]:
    """Which runs were read, and what a reader must know before the numbers."""
    every = (found.reference, *found.runs)
    names = dict.fromkeys(model_name(run.config) for run in every)
    # Of a log without a date the run is named by its file.
    days = sorted({day[0] for run in every if (day := _DAY.match(run.config.date or run.selection.run))})
    when = [] if not days else [days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"]
    yield ", ".join([shortened(list(names), 3), *when])
    yield from found.notes


def _ranking(found: ManyChanges, layout: Layout) -> Iterator[str]:
    changes = [found.overall.get(item.label) for item in found.ranking]
    table = [
        _names("run", [item.label for item in found.ranking]),
        Column("accuracy", tuple(percent(item.accuracy.value) for item in found.ranking), rank=1),
        *_of_changes(changes, layout),
        Column("best", tuple(chance(item.best) for item in found.ranking), rank=1),
        Column("group", tuple(item.group for item in found.ranking), rank=2),
    ]
    if "calibrated" in found.families:
        cells = [
            "" if change is None else points(None if change.calibrated is None else change.calibrated.value)
            for change in changes
        ]
        table.insert(5, Column("no letters", tuple(cells), rank=1))
    shown = fitted(table, layout.columns)
    yield from lines_of(shown)
    yield from layout.lines(_legend(found, {column.head for column in shown}))
    if note := border_note(found):
        yield from layout.lines(note)


def _judgements(found: ManyChanges, layout: Layout) -> Iterator[str]:
    """Whether each run is worse, and in which single tasks it surely is; only in how many where there is no room for names."""
    judged = found.judgements
    yield from layout.lines(
        f"is a run worse than {found.reference.label}? By the intervals that hold together, with a margin of {margin_of(found)}"
    )
    styles = tuple({"worse": WORSE, "better": BETTER}.get(item.judgement, "") for item in judged)
    table = [
        _names("run", [item.label for item in judged]),
        Column(
            "judgement",
            tuple(visible(judgement(found, item)) for item in judged),
            right=False,
            styles=styles if layout.styles else (),
        ),
        Column("95 % together", tuple(ends(item.change) for item in judged), rank=1),
    ]
    if len(found.by_task) > 1:
        named = [visible(shortened(item.worse_in, _NAMED_TASKS)) or _NONE for item in judged]
        whole = [*table, Column("surely worse in", tuple(named), right=False)]
        if fitted(whole, layout.columns) != whole:
            counts = [f"{len(item.worse_in)} of {_held(found, item.label)} tasks" for item in judged]
            whole = [*table, Column("surely worse in", tuple(counts), right=False, rank=2)]
        table = whole
    yield from lines_of(fitted(table, layout.columns))


def _held(found: ManyChanges, label: str) -> int:
    """How many tasks a run holds."""
    return sum(label in changes for changes in found.by_task.values())


def _legend(found: ManyChanges, heads: Container[str]) -> str:
    """What the columns that are shown mean."""
    meanings = {
        "no letters": "change corrected for letter bias",
        "best": "probability of being the best",
        "group": pairs_note(found),
    }
    together = f"change in points, with 95 % intervals that hold for all {found.families['runs'].of} together"
    if P_JOINT in heads:
        together += ", and p adjusted as they are (largest |t|)"
    return "; ".join([together, *(f"{head}: {text}" for head, text in meanings.items() if head in heads)])


def pairs_note(found: ManyChanges) -> str:
    """What letters and the set of the best are found by, and where the changes from the reference alone say more."""
    pairs = len(found.ranking) * (len(found.ranking) - 1) // 2
    own = {item.label: set(item.group) for item in found.ranking}
    sure = [
        label for label, change in found.overall.items() if change.direction and own[label] & own[found.reference.label]
    ]
    note = (
        f"runs that share a letter cannot be told apart, all {pairs} pairs of runs tested together (largest |t|), and the best "
        f"is among those that cannot be told from {found.ranking[0].label}"
    )
    if not sure:
        return note
    which = "the change" if len(sure) == 1 else "the changes"
    verb = "is" if len(sure) == 1 else "are"
    return (
        f"{note}; {which} of {shortened(sure, _NAMED)} from {found.reference.label} {verb} sure nevertheless, since fewer "
        "changes than pairs are tested together"
    )


def border_note(found: ManyChanges) -> str:
    """Of which changes the p and the interval do not agree; empty where all do."""
    rows = [row for row in found.rows() if (row[2].direction != 0) != (row[2].p_simultaneous < ALPHA)]
    apart = [
        label + (f", {name}" if name else "") for name, (label, _, _) in zip(_short(found, rows), rows, strict=True)
    ]
    if not apart:
        return ""
    return (
        f"p and the interval do not agree on {shortened(apart, _NAMED_CHANGES)}, since p is of another test (the exact one, or "
        "sign flips); a change is called sure where its interval excludes 0"
    )


def _names(head: str, names: Sequence[str]) -> Column:
    return Column(head, tuple(map(visible, names)), right=False)


def _of_changes(changes: Sequence[Change | None], layout: Layout) -> list[Column]:
    """The change, its interval and its p, in the colour of what is sure; the reference has none."""
    styles = tuple("" if change is None else {-1: WORSE, 1: BETTER}.get(change.direction, "") for change in changes)
    known = [None if change is None else change.simultaneous for change in changes]
    return [
        Column(
            "change",
            tuple("" if found is None else points(found.value, digits_of(found)) for found in known),
            styles=styles if layout.styles else (),
        ),
        Column("95 % together", tuple("reference" if found is None else ends(found) for found in known)),
        Column(P_JOINT, tuple("" if change is None else p_value(change.p_simultaneous) for change in changes), rank=1),
    ]


def _pool(changes: Mapping[str, Change], layout: Layout) -> Iterator[str]:
    estimates = [change.section.estimates for change in changes.values()]
    table = [
        _names("run", list(changes)),
        *(
            Column(when, tuple(percent(found[f"accuracy_{when}"].value) for found in estimates), rank=2)
            for when in ("before", "after")
        ),
        *_of_changes(list(changes.values()), layout),
    ]
    yield from lines_of(fitted(table, layout.columns))


def _largest(found: ManyChanges, most: int | None, layout: Layout) -> Iterator[str]:
    """The changes of single tasks."""
    rows = [(label, task, change) for task, changes in found.by_task.items() for label, change in changes.items()]
    rows.sort(key=largest_first)
    shown = rows if most is None else rows[:most]
    sure = sum(change.direction != 0 for _, _, change in rows)
    rest = f"; the {len(shown)} largest, sure ones first (--all shows all)" if len(shown) < len(rows) else ""
    yield from layout.lines(f"single tasks: {sure} of {len(rows)} changes (runs × tasks) are sure{rest}")
    room = max(_SHORTEST_TASK, layout.columns - PLAIN + _TASK) if layout.columns else None
    tasks = [visible(task) for _, task, _ in shown]
    table = [
        _names("run", [label for label, _, _ in shown]),
        Column("task", tuple(tasks if room is None else (cut_in_middle(task, room) for task in tasks)), right=False),
        Column("n", tuple(str(change.section.n) for _, _, change in shown), rank=2),
        *_of_changes([change for _, _, change in shown], layout),
    ]
    yield from lines_of(fitted(table, layout.columns))


def metrics_first(item: MetricOfRun) -> tuple[bool, str, str]:
    """A key that sorts changes of metrics: sure ones first, then by task and metric."""
    return (not item.found.is_sure, item.task, item.metric)


def metrics_title(found: ManyChanges) -> str:
    """What the changes of metrics are, and how many of them are sure."""
    sure = sum(item.found.is_sure for item in found.metrics)
    return (
        "metrics of tasks whose answers are not right or wrong, each in its own unit: the interval excludes 0 in "
        f"{sure} of {counted(len(found.metrics), 'change')} (runs × metrics); the 95 % intervals hold for all of them together "
        "(Bonferroni)"
    )


def _metrics(found: ManyChanges, most: int | None, layout: Layout) -> Iterator[str]:
    """The changes of metrics that are no shares of right answers."""
    rows = sorted(found.metrics, key=metrics_first)
    shown = rows if most is None else rows[:most]
    rest = f"; {len(shown)} of them, sure ones first (--all shows all)" if len(shown) < len(rows) else ""
    yield from layout.lines(f"{metrics_title(found)}{rest}")
    cells = [metric_row(item.found) for item in shown]
    styles = (
        tuple({True: BETTER, False: WORSE, None: ""}[item.found.is_better] for item in shown) if layout.styles else ()
    )
    table = [
        _names("run", [item.label for item in shown]),
        Column("task", tuple(cut_in_middle(visible(item.task), _TASK) for item in shown), right=False),
        Column("metric", tuple(cut_in_middle(visible(item.metric), _TASK) for item in shown), right=False),
        Column("n", tuple(f"{item.found.delta.n:,}" for item in shown), rank=3),
        Column("before", tuple(cell.before for cell in cells), rank=2),
        Column("after", tuple(cell.after for cell in cells), rank=2),
        Column("change", tuple(cell.change for cell in cells), styles=styles),
        Column("95 % together", tuple(cell.interval for cell in cells), rank=1),
    ]
    yield from lines_of(fitted(table, layout.columns))


def harmed_first(trend: Trend) -> tuple[bool, float]:
    """A key that sorts trends: those of tasks that are surely harmed first, and among them the largest."""
    return (trend.first_harmful is None, -abs(trend.change.value or 0.0))


def _trends(found: ManyChanges, most: int | None, layout: Layout) -> Iterator[str]:
    """The trend of each task, and where it is first harmed."""
    series = found.series
    assert series is not None
    tasks = {name: trend for name, trend in series.trends.items() if name not in found.pools}
    ordered = sorted(tasks, key=lambda name: harmed_first(tasks[name]))
    shown = ordered if most is None else ordered[:most]
    rest = f"; the {len(shown)} tasks that changed most (--all shows all)" if len(shown) < len(tasks) else ""
    yield from layout.lines(
        f"change from {series.ends[0]} to {series.ends[1]}, by a straight line through {len(series.positions)} positions{rest}"
    )
    rows: list[tuple[str, Trend]] = [
        (name, series.trends[name]) for name in (*found.pools, *(shown if len(tasks) > 1 else ()))
    ]
    table = [
        _names("task", [name for name, _ in rows]),
        Column("points", tuple(points(trend.change.value) for _, trend in rows)),
        Column("95 % together", tuple(ends(trend.change) for _, trend in rows)),
        Column(P_JOINT, tuple(p_value(trend.p_simultaneous) for _, trend in rows), rank=1),
        _names("first harmful", [trend.first_harmful or "none shown" for _, trend in rows]),
    ]
    yield from lines_of(fitted(table, layout.columns))
