"""The answers of several runs of two sides to the questions that all of them answered, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from consistency.comparison.beside import Beside
from consistency.comparison.clusters import Clusters, ItemClusters, find_clusters
from consistency.comparison.filters import by_filter, choose_filters
from consistency.comparison.gaps import (
    Doubt,
    LackedBy,
    OtherReason,
    Reason,
    limits_of,
    same_run,
    uncompared_tasks,
    unpaired_questions,
)
from consistency.comparison.groups import TaskGroup, read_groups
from consistency.comparison.pairing import (
    ONLY_FIRST,
    ONLY_SECOND,
    REPEATED,
    Dropped,
    PairingReport,
    Pairs,
    notes_of,
    of_one_answer,
    pair,
    with_known_gold,
)
from consistency.comparison.runs import ComparedRun, common_tasks, comparable, same_kind
from consistency.errors import InputError
from consistency.logs.runs import Run, read_run
from consistency.logs.scores import Scores
from consistency.support.arrays import Bools, Integers
from consistency.support.progress_line import Tell
from consistency.support.text import counted, shortened

SIDES = ("before", "after")


@dataclass(frozen=True, eq=False)
class TaskRuns:
    """All runs' answers to one task.

    Attributes
    ----------
    before, after : tuple of Scores
        One of each run, with the same questions row by row, and the options of each in one order.
    asked : int
        Questions of the first run; fewer are here where another lacks some.
    clusters : ItemClusters or None
        Where questions share something.
    """

    before: tuple[Scores, ...]
    after: tuple[Scores, ...]
    asked: int
    clusters: ItemClusters | None = None

    def __len__(self) -> int:
        return len(self.before[0])

    @property
    def has_options(self) -> bool:
        """Whether its questions have options."""
        return self.before[0].has_options

    @cached_property
    def report(self) -> PairingReport:
        """How many questions all runs answered."""
        return PairingReport(len(self))

    def pairs(self, first: Scores, second: Scores) -> Pairs:
        """Two of the runs, as a pair."""
        return Pairs(first, second, self.report, np.zeros(len(self), dtype=bool))


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of all runs.

    Attributes
    ----------
    runs : tuple of tuple of ComparedRun
        Those before, labelled "before 1", "before 2", …, and those after.
    tasks : dict of str to TaskRuns
        By the name that the first run gives them.
    groups : tuple of TaskGroup
        The harness's groups of at least two of these tasks.
    clusters : tuple of Clusters
    notes : tuple of str
        What a reader must know before the numbers.
    beside : dict of str to Beside
        By run, what differs between it and the first one before; those before come first.
    copies : tuple of tuple of str
        Two runs of a side each whose scores are the same to the last bit.
    warnings : tuple of UncomparedTasks or UnpairedQuestions
        What was not compared.
    """

    runs: tuple[tuple[ComparedRun, ...], tuple[ComparedRun, ...]]
    tasks: Mapping[str, TaskRuns]
    groups: tuple[TaskGroup, ...] = ()
    clusters: tuple[Clusters, ...] = ()
    notes: tuple[str, ...] = ()
    beside: Mapping[str, Beside] = field(default_factory=dict)
    copies: tuple[tuple[str, str], ...] = ()
    warnings: tuple[Doubt, ...] = ()


@dataclass(eq=False)
class _Task:
    """A task of the first run while the others are read: its answers, theirs paired with it, and their --limit."""

    scores: Scores
    others: dict[str, Pairs] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)

    def left_out(self, rows: Integers, differ: int) -> PairingReport:
        """How many questions are left out of all runs where only these rows stay: what --limit explains, and the rest.

        Of the rest so many have one right answer in one run and another in another.
        """
        known = np.ones(len(self.scores), dtype=bool)
        otherwise = 0
        for other, pairs in self.others.items():
            if other in self.limits:
                dropped = pairs.report.dropped
                otherwise += sum(
                    found.count for why, found in dropped.items() if why not in (ONLY_FIRST, ONLY_SECOND, *REPEATED)
                )
            else:
                known &= np.isin(self.scores.doc_id, pairs.before.doc_id)
        explained = max(int(known.sum()) - len(rows) - differ - otherwise, 0)
        rest = len(self.scores) - len(rows) - differ - explained
        counts = {ONLY_FIRST: explained, "not answered by all runs": rest, "right answer differs": differ}
        return PairingReport(len(rows), dropped={why: Dropped(count, ()) for why, count in counts.items() if count})


@dataclass(frozen=True, eq=False)
class _Reading:
    """The first run and how others are paired with it, and its tasks; attributes as of `read_sides`."""

    first: Run
    score: str
    filter_name: str | None
    tasks: Mapping[str, _Task]

    def add(self, name: str, run: Run) -> tuple[Beside, list[str]]:
        """Keep a run's answers; what else may have moved its numbers beside the first, and what a reader must know of both."""
        filtered, found = choose_filters(self.first, run, self.filter_name), self.tasks
        chosen = {
            task: other
            for task, other in common_tasks(filtered.before, filtered.after).items()
            if task in found and filtered.before.tasks[task].filter == found[task].scores.filter
        }
        notes: list[str] = []
        paired: dict[str, Pairs] = {}
        for task, other in chosen.items():
            pairs = pair(*same_kind(found[task].scores, comparable(filtered.after.tasks[other], self.score)))
            if task != other:
                notes.append(f"{task} is compared with {other}")
            notes += [f"{task}: {dropped.count} {reason}" for reason, dropped in pairs.report.dropped.items()]
            if len(pairs):
                paired[task] = found[task].others[name] = pairs
        sizes = {task: len(filtered.after.tasks[chosen[task]]) for task in paired}
        for task, limit in limits_of(run.config, sizes).items():
            found[task].limits[name] = limit
        beside = Beside.of(self.first, run, {task: chosen[task] for task in paired}, paired)
        return beside, [*notes, *beside.to_lines()]


def read_sides(
    before: Sequence[str | Path | Run],
    after: Sequence[str | Path | Run],
    *,
    score: str,
    cluster: str,
    filter_name: str | None,
    progress: Tell,
) -> Answers:
    """Read all runs, pair each with the first one before, and keep the questions that all answered.

    Raises
    ------
    InputError
        If a log cannot be read, a run is given twice, or no question was answered by all runs.
    """
    logs = [
        (f"{side} {number}", log)
        for side, runs in zip(SIDES, (before, after), strict=True)
        for number, log in enumerate(runs, start=1)
    ]
    read: dict[str, Run] = {}
    for number, (name, log) in enumerate(logs):
        progress("reading runs", number, len(logs))
        read[name] = log if isinstance(log, Run) else read_run(log, skip_unreadable=True)
    _check_different(read)
    runs = _with_common_filters(read)
    (first_name, first), *others = runs.items()
    notes = [f"{name}: {line}" for name, run in runs.items() for line in run.selection.to_lines()]
    found: dict[str, _Task] = {
        name: _Task(comparable(scores, score)) for name, scores in _plain(first, runs, filter_name)
    }
    said: dict[str, list[str]] = {}
    beside = {first_name: Beside()}
    reading = _Reading(first, score, filter_name, found)
    for name, run in others:
        beside[name], told = reading.add(name, run)
        for note in told:
            said.setdefault(note, []).append(name)
    notes += [f"{shortened(names)} beside {first_name}: {note}" for note, names in said.items()]
    odd: dict[str, list[str]] = {}
    for name in runs:
        for note in notes_of(_held(found, None if name == first_name else name)):
            odd.setdefault(note, []).append(name)
    notes += [f"{shortened(names)}: {note}" for note, names in odd.items()]
    tasks: dict[str, TaskRuns] = {}
    unpaired: dict[str, Reason] = {}
    reports: dict[str, PairingReport] = {}
    for name, task in found.items():
        lacking = [other for other, _ in others if other not in task.others]
        if lacking:
            unpaired[name] = LackedBy(tuple(lacking))
            notes.append(f"{name} is left out: {unpaired[name].to_text()}")
            continue
        rows = np.flatnonzero(
            np.logical_and.reduce([np.isin(task.scores.doc_id, p.before.doc_id) for p in task.others.values()])
        )
        every, same = _aligned(task, rows) if len(rows) else ([], np.ones(0, dtype=bool))
        differ, rows = int((~same).sum()), rows[same]
        if not len(rows):
            unpaired[name] = OtherReason.ANSWERED_BY_SOME
            notes.append(f"{name} is left out: {unpaired[name].to_text()}")
            continue
        tasks[name] = TaskRuns(tuple(every[: len(before)]), tuple(every[len(before) :]), len(task.scores))
        reports[name] = task.left_out(rows, differ)
        if differ:
            notes.append(f"{name}: the right answers to {counted(differ, 'question')} differ between runs: left out")
        if len(rows) < len(task.scores):
            short = [f"{other} has {len(p)}" for other, p in task.others.items() if len(p) < len(task.scores)]
            notes.append(
                f"{name}: {counted(len(task.scores) - len(rows), 'question')} of {len(task.scores)} left out for all runs: "
                f"{shortened(short, 3)}"
            )
    copies = tuple(_identical(tasks))
    notes += copies_clauses(copies)
    if not tasks:
        raise InputError(
            "; ".join(notes[-3:]) or "no task in common",
            expected="runs of the same questions",
            do="evaluate all runs on the same tasks",
            path=first.path,
        )
    paired = {name: task.pairs(task.before[0], task.after[0]) for name, task in tasks.items()}
    labels, clusters = find_clusters(paired, cluster)
    tasks = {name: replace(task, clusters=labels.get(name)) for name, task in tasks.items()}
    sized = {name: task.asked for name, task in tasks.items()}
    groups = read_groups(first.config, sized, {name: task.before[0].filter for name, task in tasks.items()})
    compared = [ComparedRun.of(name, run) for name, run in runs.items()]
    limits = {name: min(found[name].limits.values()) for name in tasks if found[name].limits}
    gaps = (
        uncompared_tasks(runs, tasks, (), unpaired, of=len(tasks)),
        unpaired_questions(reports, limits),
    )
    return Answers(
        (tuple(compared[: len(before)]), tuple(compared[len(before) :])),
        tasks,
        tuple(groups),
        clusters,
        (*notes, *(item.to_text() for item in clusters)),
        beside,
        copies,
        tuple(item for item in gaps if item is not None),
    )


def copies_clauses(copies: Sequence[tuple[str, str]]) -> list[str]:
    """What a reader must know of runs that are copies of each other."""
    return [f"{one} and {two} are the same to the last bit: they do not show how runs differ" for one, two in copies]


def _held(found: Mapping[str, _Task], other: str | None) -> dict[str, Scores]:
    """The tasks of one run, of the first where no other is named."""
    if other is None:
        return {name: task.scores for name, task in found.items()}
    return {name: task.others[other].after for name, task in found.items() if other in task.others}


def _check_different(runs: Mapping[str, Run]) -> None:
    """Refuse a run that is given twice: it would be taken for two that do not differ."""
    seen: list[tuple[str, Run]] = []
    for name, run in runs.items():
        for other, earlier in seen:
            if same_run(earlier, run):
                raise InputError(
                    f"{other} and {name} are one run, given twice",
                    expected="a run of its own for each place",
                    path=run.path,
                )
        seen.append((name, run))


def _with_common_filters(runs: Mapping[str, Run]) -> dict[str, Run]:
    """The runs with those filters of each task that all of them hold, so that one choice serves all."""
    filters = {name: by_filter(run) for name, run in runs.items()}
    found = {}
    for name, run in runs.items():
        kept = {}
        for key, scores in run.tasks.items():
            having = [other[scores.task] for other in filters.values() if scores.task in other]
            if all(scores.filter in each for each in having) or not set.intersection(*map(set, having)):
                kept[key] = scores
        found[name] = replace(run, tasks=kept)
    return found


def _plain(first: Run, runs: Mapping[str, Run], filter_name: str | None) -> Iterator[tuple[str, Scores]]:
    """The tasks of the first run by plain name, under the filter that counts."""
    last = list(runs.values())[-1]
    yield from choose_filters(first, last, filter_name).before.tasks.items()


def _identical(tasks: Mapping[str, TaskRuns]) -> Iterator[tuple[str, str]]:
    """Two runs of a side whose scores are all the same: copies, or answers of a cache."""
    scored = [task for task in tasks.values() if task.has_options]
    for side in SIDES:
        answers: list[tuple[Scores, ...]] = [getattr(task, side) for task in scored]
        for one, two in combinations(range(len(answers[0]) if answers else 0), 2):
            if all(np.array_equal(runs[one].logprobs, runs[two].logprobs, equal_nan=True) for runs in answers):
                yield f"{side} {one + 1}", f"{side} {two + 1}"


def _aligned(task: _Task, rows: Integers) -> tuple[list[Scores], Bools]:
    """All runs' answers to some rows of the first run's, but for those whose right answers differ, and which have one."""
    wanted = task.scores.doc_id[rows]
    sides = [pairs.after.take(np.searchsorted(pairs.before.doc_id, wanted)) for pairs in task.others.values()]
    # The pairs have the first run's options without empty columns.
    pairs = next(iter(task.others.values()))
    first = pairs.before.take(np.searchsorted(pairs.before.doc_id, wanted))
    every = [first, *sides]
    if not all(scores.has_options for scores in every):
        # A log of another program has no log-probabilities: all are right or wrong.
        every = [scores.without_options() if scores.has_options else scores for scores in every]
    elif width := min(scores.logprobs.shape[1] for scores in every):
        order = np.tile(np.arange(width), (len(rows), 1))
        every = [scores.reorder_options(order) for scores in every]
    same = of_one_answer(every)
    if not same.all():
        every = [scores.take(np.flatnonzero(same)) for scores in every]
    return with_known_gold(every), same
