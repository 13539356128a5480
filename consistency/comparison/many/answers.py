"""Which answers of many runs are right, question by question of one reference: each log is read once, and only that is kept."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from consistency.comparison.beside import Beside
from consistency.comparison.clusters import AUTO, Clusters, ItemClusters, find_clusters
from consistency.comparison.filters import by_filter, choose_filters, pair_filters
from consistency.comparison.gaps import (
    NoneInCommon,
    OtherFilter,
    OtherReason,
    Reason,
    SameRun,
    limits_of,
    same_run,
    uncompared_tasks,
    unpaired_questions,
)
from consistency.comparison.items import accuracy_metric, unreadable
from consistency.comparison.labelled import Labelled, by_label
from consistency.comparison.many.metrics import MetricChanges
from consistency.comparison.many.values import Turned
from consistency.comparison.metric_changes import metric_changes
from consistency.comparison.pairing import Pairs, notes_of, pair
from consistency.comparison.runs import ComparedRun, common_tasks, comparable, matched_names, same_kind
from consistency.comparison.section import MetricChange
from consistency.errors import InputError
from consistency.logs.runs import Run, read_run
from consistency.logs.scores import Scores
from consistency.metrics.answers import beneficial, harmful
from consistency.metrics.distributions import log_probabilities
from consistency.metrics.divergences import kl_of_logs
from consistency.support.arrays import Bools, Floats, Integers
from consistency.support.progress_line import Tell, silent
from consistency.support.text import counted, shortened


@dataclass(frozen=True, eq=False)
class TaskAnswers:
    """The answers of all runs to the questions of one task of the reference.

    Attributes
    ----------
    name : str
    held : tuple of int
        The numbers of the runs that answered it, in whose order the columns are.
    rows : ndarray of int64, shape [n]
        Which questions of the reference all of these answered; the others are left out.
    before, after : ndarray of float64, shape [n, runs]
        Whether the answer of the reference and that of each run is right, by the metric that both logs hold.
    labelled : tuple of Labelled
        With options, the scores of each run and of the reference.
    metric : str
        What says which answers are right; empty without any.
    has_options : bool
        Whether all of the runs have log-probabilities of them.
    clusters : ItemClusters or None
    questions : Scores or None
        Of the reference, whose rows `rows` are; None where answers come from no log.
    unreadable : tuple of ndarray of float64, shape [n, runs], or None
        Of generated texts, why no answer can be read in the reference and in each run, as `question_arrays` numbers it.
    """

    name: str
    held: tuple[int, ...]
    rows: Integers
    before: Floats
    after: Floats
    labelled: tuple[Labelled, ...]
    metric: str
    has_options: bool
    clusters: ItemClusters | None
    questions: Scores | None = None
    unreadable: tuple[Floats, Floats] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def are_whole(self) -> bool:
        """Whether every answer is right or wrong, none right in part."""
        return all(bool(((values == 0) | (values == 1)).all()) for values in (self.before, self.after))

    def turned(self, labels: Sequence[str]) -> Turned | None:
        """Whose answers turned right or wrong in some run; None where answers come from no log.

        Parameters
        ----------
        labels : sequence of str
            Of all runs, by their numbers.
        """
        if self.questions is None:
            return None
        ways = (beneficial(self.before, self.after) - harmful(self.before, self.after)).astype(np.int8)
        some = np.flatnonzero(ways.any(axis=1))
        places = self.rows[some]
        return Turned(
            self.questions.doc_id[places],
            tuple(self.questions.documents[place] for place in places),
            {labels[run]: ways[some, column] for column, run in enumerate(self.held)},
        )


@dataclass(frozen=True, eq=False)
class Distances:
    """How far the distributions over the options are from those of the reference.

    Attributes
    ----------
    kl : ndarray of float64, shape [n, runs]
        KL(reference || run), in nats.
    most : ndarray of float64, shape [runs]
        The largest that a question could have: how unlikely the least likely option of any question is to each run.
    """

    kl: Floats
    most: Floats

    @classmethod
    def joined(cls, parts: Sequence[Distances]) -> Distances:
        """Those of several tasks, which the same runs hold."""
        return cls(np.concatenate([part.kl for part in parts]), np.max([part.most for part in parts], axis=0))


def distances(task: TaskAnswers) -> Distances:
    """How far each run's distributions are from those of the reference, in a task with options."""
    kl, most = [], []
    for item in task.labelled:
        found = item.answered
        first, second = log_probabilities(found.moved(found.before)), log_probabilities(found.after)
        kl.append(kl_of_logs(first, second))
        most.append(-float(np.min(second, where=np.isfinite(second), initial=0.0)))
    return Distances(np.column_stack(kl), np.array(most))


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers of many runs and of their reference.

    Attributes
    ----------
    reference : ComparedRun
    runs : tuple of ComparedRun
    tasks : tuple of TaskAnswers
    clusters : tuple of Clusters
    notes : tuple of str
        What a reader must know before the numbers.
    metrics : dict
        Of the tasks whose logs do not say which answers are right, the changes of their metrics.
    """

    reference: ComparedRun
    runs: tuple[ComparedRun, ...]
    tasks: tuple[TaskAnswers, ...]
    clusters: tuple[Clusters, ...]
    notes: tuple[str, ...]
    metrics: MetricChanges = field(default_factory=dict)


@dataclass(eq=False)
class _Column:
    """One run's answers to a task: the rows of the reference that it answered, and what is right."""

    run: int
    rows: Integers
    before: Floats
    after: Floats
    labelled: Labelled | None
    unreadable: tuple[Floats, Floats] | None


@dataclass(eq=False)
class _Task:
    """What is known of a task of the reference while the runs are read."""

    scores: Scores
    filter: str
    metric: str | None
    columns: list[_Column] = field(default_factory=list)
    metrics: dict[int, Mapping[str, MetricChange]] = field(default_factory=dict)


@dataclass(eq=False)
class _Reading:
    """A reference and how runs are paired with it, and what is known of its tasks while they are read.

    Attributes
    ----------
    base : Run
        The reference.
    score, cluster, filter_name
        As of `read_answers`.
    tasks : dict of str to _Task
        Those of the reference that a run answered.
    """

    base: Run
    score: str
    cluster: str
    filter_name: str | None
    tasks: dict[str, _Task] = field(default_factory=dict)

    def add(self, number: int, label: str, run: Run) -> tuple[ComparedRun, list[str]]:
        """Keep a run's answers; the run with its doubts and with what it lacks, and what a reader must know of it.

        Raises
        ------
        InputError
            If it has no question in common with the reference.
        """
        base = self.base
        filtered = choose_filters(base, run, self.filter_name)
        chosen = common_tasks(filtered.before, filtered.after)
        matched = matched_names(filtered.before, filtered.after, chosen)
        notes = [
            *run.selection.to_lines(),
            *(f"{name} is compared with its {other}" for name, other in matched.renamed.items()),
            *([f"the reference lacks {shortened(matched.only_after)}"] if matched.only_after else []),
        ]
        paired: dict[str, Pairs] = {}
        unpaired: dict[str, Reason] = {}
        for name, other in chosen.items():
            sides: tuple[Scores, Scores] | None = (filtered.before.tasks[name], filtered.after.tasks[other])
            if name != other:
                renamed = pair_filters(by_filter(base)[name], by_filter(run)[other], self.filter_name)
                sides = None if renamed is None else renamed[0]
            found = OtherReason.NO_COMMON_FILTER if sides is None else self._pair(name, *sides)
            if isinstance(found, Pairs):
                paired[name] = found
                notes += self._keep(number, name, found)
            else:
                unpaired[name] = found
                notes.append(f"{name} is left out: {found.to_text()}")
        if not paired:
            raise InputError(
                "no question in common with the reference", do="compare runs of the same tasks", path=run.path
            )
        names = {name: chosen[name] for name in paired}
        beside = Beside.of(base, run, names, paired)
        itself = same_run(base, run)
        gaps = (
            SameRun() if itself else None,
            uncompared_tasks(
                {"the reference": base, "the run": run},
                [*names, *(other for name, other in names.items() if other != name)],
                matched.only_before,
                unpaired,
                of=len(names),
            ),
            unpaired_questions(
                {name: pairs.report for name, pairs in paired.items()},
                limits_of(run.config, {name: len(filtered.after.tasks[other]) for name, other in names.items()}),
            ),
        )
        if itself:
            notes.append("it and the reference are one run, compared with itself")
        notes += [*beside.to_lines(), *notes_of({name: pairs.after for name, pairs in paired.items()})]
        warnings = tuple(item for item in gaps if item is not None)
        return replace(ComparedRun.of(label, run), beside=beside, warnings=warnings), notes

    def _pair(self, name: str, before: Scores, after: Scores) -> Pairs | Reason:
        """A task of the reference paired with a run's, or why it cannot be."""
        task = self.tasks.get(name)
        if task is not None and task.filter != before.filter:
            return OtherFilter(before.filter, task.filter)
        scores = comparable(before, self.score) if task is None else task.scores
        pairs = pair(*same_kind(scores, comparable(after, self.score)))
        if not len(pairs):
            return NoneInCommon({why: dropped.count for why, dropped in pairs.report.dropped.items()})
        if task is None:
            self.tasks[name] = _Task(scores, before.filter, accuracy_metric(pairs))
        return pairs

    def _keep(self, number: int, name: str, pairs: Pairs) -> Iterator[str]:
        """Keep which answers of a run are right, or its metrics where none is; a note where another metric says it."""
        task, metric = self.tasks[name], accuracy_metric(pairs)
        if metric is None and task.metric is None and not pairs.before.has_options:
            task.metrics[number] = _of_metrics(name, pairs, self.cluster)
            return
        if metric != task.metric:
            yield f"{name}: right by {metric or 'the best option'}, in other runs by {task.metric or 'the best option'}"
        task.columns.append(
            _Column(
                number,
                np.searchsorted(task.scores.doc_id, pairs.before.doc_id),
                pairs.before.correct_by(metric),
                pairs.after.correct_by(metric),
                by_label(pairs) if pairs.before.has_options else None,
                None if pairs.before.generations is None or pairs.after.generations is None else unreadable(pairs),
            )
        )


def read_answers(
    reference: tuple[str, str | Path | Run],
    runs: Sequence[tuple[str, str | Path | Run]],
    *,
    score: str = "raw",
    cluster: str = AUTO,
    filter_name: str | None = None,
    progress: Tell = silent,
) -> Answers:
    """Read the logs of many runs, one after the other, and pair each with the reference as `compare` does.

    Parameters
    ----------
    reference : tuple of str and path-like or Run
        Its label, and its log.
    runs : sequence of the same
    score, cluster, filter_name
        As of `consistency.comparison.compare.compare`.
    progress : callable
        Told of each run that was read.

    Raises
    ------
    InputError
        If a log cannot be read or has no question in common with the reference, or a task has no question that all runs answered.
    """
    base = _read(reference[1])
    reading = _Reading(base, score, cluster, filter_name)
    compared: list[ComparedRun] = []
    notes: dict[str, list[str]] = {}
    for number, (label, log) in enumerate(runs):
        progress("reading runs", number, len(runs))
        run, told = reading.add(number, label, _read(log))
        compared.append(run)
        for note in told:
            notes.setdefault(note, []).append(label)
    found = reading.tasks
    labels = [label for label, _ in runs]
    paired = {name: pair(task.scores, task.scores) for name, task in found.items()}
    clusters, named = find_clusters(paired, cluster)
    joined = {name: _joined(name, task, clusters.get(name)) for name, task in found.items()}
    tasks = [answers for answers in joined.values() if answers is not None]
    left_out = list(_left_out(found, joined, labels))
    metrics = {name: task.metrics for name, task in found.items() if any(task.metrics.values())}
    if metrics and not tasks:
        unranked = [f"{name} ({', '.join(next(iter(runs.values())))})" for name, runs in metrics.items()]
        alone = shlex.join(["consistency", "compare", str(base.path), compared[0].path])
        raise InputError(
            f"the logs do not say which answers are right, and many runs are ranked by that: {shortened(unranked, 3)}",
            do=f"compare each run alone with the reference, which compares all metrics: {alone}",
            path=base.path,
        )
    if not tasks:
        raise InputError("; ".join(left_out[:3]), do="compare runs of the same questions", path=base.path)
    return Answers(
        ComparedRun.of(reference[0], base),
        tuple(compared),
        tuple(tasks),
        named,
        (
            *(
                f"{reference[0]}: {line}"
                for line in (*base.selection.to_lines(), *notes_of({name: task.scores for name, task in found.items()}))
            ),
            *(f"{_whose(who, labels)}: {note}" for note, who in notes.items()),
            *(item.to_text() for item in named),
            *left_out,
        ),
        metrics,
    )


def _read(log: str | Path | Run) -> Run:
    return log if isinstance(log, Run) else read_run(log, skip_unreadable=True)


def _whose(who: Sequence[str], labels: Sequence[str]) -> str:
    return "all runs" if len(who) == len(labels) > 1 else shortened(who)


def _of_metrics(name: str, pairs: Pairs, cluster: str) -> dict[str, MetricChange]:
    """The changes of the metrics of a task whose answers are not right or wrong."""
    clusters = find_clusters({name: pairs}, cluster)[0].get(name)
    labels = None if clusters is None else clusters.used(every=cluster != AUTO)
    return dict(metric_changes(pairs.before, pairs.after, labels))


def _known(column: _Column, n: int) -> Bools:
    """Which questions of the reference are known to be answered right or wrong in both runs."""
    known = np.zeros(n, dtype=bool)
    known[column.rows] = np.isfinite(column.before) & np.isfinite(column.after)
    return known


def _joined(name: str, task: _Task, clusters: ItemClusters | None) -> TaskAnswers | None:
    """The answers of all runs to the questions that all of them answered; None without any."""
    n = len(task.scores)
    held = [(column, known) for column in task.columns if (known := _known(column, n)).any()]
    if not held:
        return None
    rows = np.flatnonzero(np.logical_and.reduce([known for _, known in held]))
    if not len(rows):
        return None
    before, after, labelled, texts = [], [], [], []
    for column, _ in held:
        places = np.searchsorted(column.rows, rows)
        before.append(column.before[places])
        after.append(column.after[places])
        if column.labelled is not None:
            labelled.append(column.labelled.take(places))
        if column.unreadable is not None:
            texts.append([values[places] for values in column.unreadable])
    # A run of another program may have no log-probabilities.
    with_options = task.scores.has_options and len(labelled) == len(before)
    return TaskAnswers(
        name,
        tuple(column.run for column, _ in held),
        rows,
        np.column_stack(before),
        np.column_stack(after),
        tuple(labelled) if with_options else (),
        task.metric or ("best option" if task.scores.has_options else ""),
        with_options,
        None if clusters is None else clusters.take(rows),
        task.scores,
        (np.column_stack([one for one, _ in texts]), np.column_stack([two for _, two in texts]))
        if len(texts) == len(before)
        else None,
    )


def _left_out(
    found: Mapping[str, _Task], joined: Mapping[str, TaskAnswers | None], labels: Sequence[str]
) -> Iterator[str]:
    """Sentences about what is left out: whole tasks, tasks of some runs, and questions that some run did not answer."""
    none = [name for name, answers in joined.items() if answers is None and not any(found[name].metrics.values())]
    if none:
        yield f"{shortened(none)}: no question is known to be answered right or wrong by every run that holds it"
    lacking: dict[tuple[str, ...], list[str]] = {}
    short: dict[str, int] = {}
    questions, left = 0, {}
    for name, answers in joined.items():
        if answers is None:
            others = [label for number, label in enumerate(labels) if not found[name].metrics.get(number)]
            if 0 < len(others) < len(labels):
                yield f"{shortened(others)} {'have' if len(others) > 1 else 'has'} no metric of {name} that can be compared"
            continue
        runs = tuple(label for number, label in enumerate(labels) if number not in answers.held)
        lacking.setdefault(runs, []).append(name)
        n = len(found[name].scores)
        questions += n
        if len(answers) < n:
            left[name] = n - len(answers)
            for column in found[name].columns:
                if missing := n - int(_known(column, n).sum()):
                    short[labels[column.run]] = short.get(labels[column.run], 0) + missing
    for runs, names in lacking.items():
        if runs:
            yield (
                f"{shortened(runs)} {'lack' if len(runs) > 1 else 'lacks'} {counted(len(names), 'task')} ({shortened(names)}), "
                "which all tasks together do without"
            )
    if left:
        most = sorted(short, key=lambda label: -short[label])
        yield (
            f"{sum(left.values())} of {questions} questions are left out for all runs, since some did not answer them: "
            f"{shortened([f'{label} {short[label]}' for label in most], 3)}; by task: "
            f"{shortened([f'{name} {count}' for name, count in left.items()], 3)}"
        )
