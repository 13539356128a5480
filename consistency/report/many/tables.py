"""The tables of many runs: the ranking, runs × tasks as a heat map, trends, and every change."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from consistency.comparison.many.result import ManyComparison, flat_row
from consistency.comparison.many.text import (
    P_JOINT,
    chance,
    harmed_first,
    judgement,
    margin_of,
    metrics_first,
    metrics_title,
    pairs_note,
)
from consistency.comparison.many.values import Change, Turned, largest_first
from consistency.comparison.runs import ComparedRun
from consistency.logs.documents import question_and_options
from consistency.report.content import CellQuestions, Table
from consistency.report.formats.numbers import DASH, REFERENCE, fixed, points
from consistency.report.metric_cells import HEAD, metric_cells
from consistency.statistics.estimates import Estimate
from consistency.support.text import begun, common_beginning, p_value, shortened

# Shades on either side of no change.
_SHADES = 4
SURE = "*"
_WAYS = {-1: "-", 0: " ", 1: "+"}
# Of a question in a list, in characters.
LONGEST_BEGUN = 140
# Of a cell; of a table, rows that are not folded away.
_MOST_TASKS, _MOST_SHOWN = 6, 12


def in_points(found: Estimate | None) -> str:
    """A change in points with its interval."""
    if found is None or found.value is None:
        return DASH
    if found.ci_low is None or found.ci_high is None:
        return points(found.value)
    return f"{points(found.value)} [{points(found.ci_low)}, {points(found.ci_high)}]"


def judgement_table(comparison: ManyComparison) -> Table:
    """Whether each run is worse than the reference, and in which tasks."""
    several = len(comparison.by_task) > 1
    judged = comparison.judgements
    return Table(
        name="judgements",
        title=f"Is a run worse than {comparison.reference.label}?",
        caption=f"Judged by intervals that hold together: worse, where the whole interval is below zero; not worse by more than "
        f"{margin_of(comparison)} (the margin), where all of it is above a loss of that; else unclear. All judgements are right "
        "together with 95 %, and so are those of single tasks.",
        head=("run", "judgement", "change", *(("surely worse in",) if several else ())),
        rows=tuple(
            (
                item.label,
                judgement(comparison, item),
                in_points(item.change),
                *((shortened(item.worse_in, _MOST_TASKS) or DASH,) if several else ()),
            )
            for item in judged
        ),
        labels=1,
        data=[
            {
                "run": item.label,
                "judgement": item.judgement,
                "pool": item.pool,
                "change": item.change.value,
                "simultaneous_low": item.change.ci_low,
                "simultaneous_high": item.change.ci_high,
                "worse_in": ", ".join(item.worse_in),
            }
            for item in judged
        ],
    )


def _with_interval(found: Estimate | None, scale: int, digits: int) -> str:
    """A number with its interval."""
    if found is None or found.value is None:
        return DASH
    value, *both = (
        None if number is None else fixed(scale * number, digits)
        for number in (found.value, found.ci_low, found.ci_high)
    )
    return str(value) if None in both else f"{value} [{', '.join(map(str, both))}]"


def ranking_table(comparison: ManyComparison) -> Table:
    """The runs and the reference by accuracy."""
    letters = "calibrated" in comparison.families
    rows, data = [], []
    for item in comparison.ranking:
        change = comparison.overall.get(item.label)
        accuracy = item.accuracy
        rows.append(
            (
                item.label,
                _with_interval(accuracy, 100, 1),
                REFERENCE if change is None else in_points(change.simultaneous),
                DASH if change is None else p_value(change.p_simultaneous),
                *((in_points(None if change is None else change.calibrated),) if letters else ()),
                *((in_points(None if change is None else change.letters),) if letters else ()),
                chance(item.best),
                "yes" if item.may_be_best else "no",
                item.group,
            )
        )
        numbers = {} if change is None else flat_row(item.label, comparison.main, change, comparison.margin)
        data.append({"run": item.label, **numbers, **item.to_dict()})
    return Table(
        name="ranking",
        title="Ranking",
        caption="Accuracy in percent with an interval of its own, changes in points with intervals that hold together; p is "
        f"adjusted as they are. May be the best, and group: {pairs_note(comparison)}.",
        head=(
            *("run", "accuracy, %", "change", P_JOINT),
            *(("without letter bias", "due to letter bias") if letters else ()),
            *("probability of being the best", "may be the best", "group"),
        ),
        rows=tuple(rows),
        labels=1,
        data=data,
    )


def heat_table(comparison: ManyComparison) -> Table:
    """The change of each run in each task: tasks are rows, sure and large changes first; runs are columns."""
    labels = [run.label for run in comparison.runs]
    tasks = {
        name: comparison.by_task[name] for name in sorted(comparison.by_task, key=lambda name: _most(comparison, name))
    }
    sets = {**comparison.pools, **(tasks if len(tasks) > 1 else {})}
    known = [abs(change.simultaneous.value or 0.0) for changes in sets.values() for change in changes.values()]
    largest = max(known, default=0.0) or 1.0
    return Table(
        name="heat",
        title="Heat map of runs and tasks",
        caption="Orange with − is worse, blue with + is better, and the darker the larger; * is sure, and tasks of sure changes "
        "come first. A click on a head sorts. A cell says its interval under the pointer or the focus (arrows move it), and its "
        "questions after a click or Enter."
        + (f" Runs without their common beginning, {common}." if (common := common_beginning(labels)) else ""),
        head=("task", *labels, "questions"),
        rows=tuple(
            (
                name,
                *(_cell(changes.get(label)) for label in labels),
                str(next(iter(changes.values())).section.n),
            )
            for name, changes in sets.items()
        ),
        labels=1,
        data=[
            # A run may be called "task".
            {"task": name, **{f"change_{run}": changes[run].simultaneous.value for run in labels if run in changes}}
            for name, changes in sets.items()
        ],
        hints=tuple(("", *(_hint(changes.get(label)) for label in labels), "") for changes in sets.values()),
        commands={run.label: _command(comparison, run) for run in comparison.runs},
        questions={name: _questions(found) for name, found in comparison.turned.items()},
        shades=tuple(("", *(_shade(changes.get(label), largest) for label in labels), "") for changes in sets.values()),
    )


def _most(comparison: ManyComparison, task: str) -> tuple[bool, float]:
    """A key that sorts tasks by the largest of their changes, sure ones first."""
    return min(largest_first((label, task, change)) for label, change in comparison.by_task[task].items())


def _questions(turned: Turned) -> CellQuestions:
    """The questions of a task, begun, and how their answers turned in each run."""
    return CellQuestions(
        tuple(turned.doc_id.tolist()),
        tuple(begun(question_and_options(document)[0], LONGEST_BEGUN) for document in turned.documents),
        {label: "".join(_WAYS[way] for way in ways.tolist()) for label, ways in turned.ways.items()},
    )


def _command(comparison: ManyComparison, run: ComparedRun) -> str:
    """The command that writes the page of one run and the reference, which holds their questions."""
    name = re.sub(r"[^\w.-]+", "-", run.label, flags=re.ASCII).strip("-.") or "run"
    score = [] if comparison.score == "raw" else ["--score", comparison.score]
    return shlex.join(
        ["consistency", "compare", comparison.reference.path, run.path, *score, "--out", f"report-{name}"]
    )


def _cell(change: Change | None) -> str:
    if change is None:
        return DASH
    return points(change.simultaneous.value) + (SURE if change.direction else "")


def _hint(change: Change | None) -> str:
    """The interval of a cell."""
    found = None if change is None else change.simultaneous
    if found is None or found.ci_low is None or found.ci_high is None:
        return ""
    return f"95 % together: {points(found.ci_low)} to {points(found.ci_high)}"


def _shade(change: Change | None, largest: float) -> str:
    """The class of a cell: its direction, and how large it is among all."""
    value = None if change is None else change.simultaneous.value
    if not value:
        return ""
    step = min(_SHADES, 1 + int(_SHADES * abs(value) / largest))
    return f"{'won' if value > 0 else 'lost'}{step}"


def trend_table(comparison: ManyComparison) -> Table:
    """How each task changes along the series, and where it is first harmed."""
    series = comparison.series
    assert series is not None
    harmed = sorted(series.trends.items(), key=lambda item: (item[0] not in comparison.pools, harmed_first(item[1])))
    return Table(
        name="trends",
        title="Trends",
        caption=f"Change from {series.ends[0]} to {series.ends[1]} by the straight line through all positions, in points; "
        "intervals hold together for all single tasks, and p is adjusted as they are.",
        head=("task", "by a straight line", P_JOINT, "first harmful position"),
        rows=tuple(
            (name, in_points(trend.change), p_value(trend.p_simultaneous), trend.first_harmful or "none shown")
            for name, trend in harmed
        ),
        labels=1,
        data=[{"task": name, **trend.to_dict()} for name, trend in harmed],
    )


def metrics_table(comparison: ManyComparison) -> Table:
    """The changes of metrics that are no shares of right answers."""
    rows = sorted(comparison.metrics, key=metrics_first)
    title = metrics_title(comparison)
    return Table(
        name="metrics",
        title="Metrics in their own unit",
        caption=f"{title[0].upper()}{title[1:]}.",
        head=("run", "task", "metric", *HEAD),
        rows=tuple((item.label, item.task, item.metric, *metric_cells(item.found)) for item in rows),
        labels=3,
        data=[item.to_dict() for item in rows],
        folded=len(rows) > _MOST_SHOWN,
    )


def all_table(comparison: ManyComparison) -> Table:
    """Every change of a run in a task."""
    rows = sorted(comparison.rows(), key=largest_first)
    distances = any("kl" in change.section.estimates for _, _, change in rows)
    return Table(
        name="changes",
        title="Every change",
        caption="Sure changes first, and among them the largest. In brackets: intervals that hold together, and p adjusted as "
        "they are. Right → wrong and "
        "back are numbers of answers, and shares with an interval of their own; so is mean KL, in nats.",
        head=(
            "run",
            "task",
            "questions",
            "before, %",
            "after, %",
            "change",
            P_JOINT,
            "right → wrong",
            "wrong → right",
            "right → wrong, %",
            *(("KL",) if distances else ()),
        ),
        rows=tuple(_row(label, name, change, distances=distances) for label, name, change in rows),
        labels=2,
        data=[flat_row(label, name, change, comparison.margin) for label, name, change in rows],
        folded=len(rows) > _MOST_SHOWN,
    )


def _row(label: str, name: str, change: Change, *, distances: bool) -> tuple[str, ...]:
    section = change.section
    ends: Iterable[Estimate] = (section.estimates[f"accuracy_{when}"] for when in ("before", "after"))
    flips = section.flips or {}
    return (
        label,
        name,
        str(section.n),
        *(fixed(None if end.value is None else 100 * end.value, 1) for end in ends),
        in_points(change.simultaneous),
        p_value(change.p_simultaneous),
        *(str(flips[kind]) if kind in flips else DASH for kind in ("harmful", "beneficial")),
        _with_interval(section.estimates.get("harmful_flips"), 100, 1),
        *((_with_interval(section.estimates.get("kl"), 1, 3),) if distances else ()),
    )
