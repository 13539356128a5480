"""Runs: which they are, and which of the tasks of two are compared."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from consistency.comparison.beside import Beside
from consistency.comparison.gaps import Doubt
from consistency.comparison.result import TaskNames
from consistency.errors import InputError
from consistency.logs.folders import Selection
from consistency.logs.metrics import accuracy_names
from consistency.logs.rotations import fold_rotations
from consistency.logs.run_config import RunConfig
from consistency.logs.runs import Run, read_run
from consistency.logs.scores import Scores, are_shares
from consistency.support.arrays import Floats
from consistency.support.progress_line import Tell, silent
from consistency.support.text import counted, shortened
from consistency.tasks.questions import CYCLIC


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs that are compared.

    Attributes
    ----------
    label : str
    path : str
    config : RunConfig
    selection : Selection
        Which run of the log was read.
    sources : dict of str to Path
        By task, the samples file.
    beside : Beside
        What else than the models may have moved the numbers beside the reference; empty elsewhere.
    warnings : tuple of SameRun, UncomparedTasks or UnpairedQuestions
        What its comparison with the reference lacks; empty elsewhere.
    """

    label: str
    path: str
    config: RunConfig
    selection: Selection
    sources: Mapping[str, Path]
    beside: Beside = field(default_factory=Beside)
    warnings: tuple[Doubt, ...] = ()

    @property
    def doubts(self) -> tuple[str, ...]:
        """What else than the models may have moved the numbers, as clauses of the verdict."""
        return self.beside.doubts

    @classmethod
    def of(cls, label: str, run: Run) -> ComparedRun:
        """A run that was read."""
        sources = {name: scores.source for name, scores in run.tasks.items()}
        return cls(label, str(run.path), run.config, run.selection, sources)


def read_both(
    before: str | Path | Run, after: str | Path | Run, runs: Sequence[str] = (), progress: Tell = silent
) -> tuple[Run, Run]:
    """Read two logs: the newest samples of each, or the runs of the given dates.

    An empty or broken samples file beside others is left out, and named by the run's selection.

    Parameters
    ----------
    before, after : path-like or Run
        Logs of `lm_eval --log_samples`, or runs already read.
    runs : sequence of str
        Two dates are those of the two logs. One date is that of both; a log without such a run is read as its newest.
    progress : callable
        Told how many files have been read.

    Raises
    ------
    InputError
        If a log cannot be read, no log has such a run, or both would be the same run of the same folder.
    """
    if len(runs) > 2:
        raise InputError(f"{len(runs)} dates of runs", expected="one, or one for each log")
    dates = [None, None] if not runs else [runs[0], runs[-1]]
    first, second = (
        log
        if isinstance(log, Run)
        else read_run(log, date, or_newest=len(runs) == 1, skip_unreadable=True, progress=progress)
        for log, date in zip((before, after), dates, strict=True)
    )
    if len(runs) == 1:
        dated = [(log.config.date or log.path.name).startswith(runs[0].replace(":", "-")) for log in (first, second)]
        if not any(dated):
            raise InputError(
                f"no run begins with {runs[0]!r}", expected=f"a run of {first.path} or {second.path}: see their folders"
            )
        if all(dated) and first.path == second.path:
            raise InputError("one run compared with itself", do="name both runs: --run twice", path=first.path)
    return first, second


def comparable(scores: Scores, score: str) -> Scores:
    """A task's answers as they are compared: under a length normalisation, rotations folded into one answer a question.

    The rotations of a question are no independent questions; each run's notes say that they were folded.
    """
    scores = scores.scored_by(score)
    if CYCLIC not in scores.task or not (scores.has_options and b'"rotation"' in scores.documents[0]):
        return scores
    folded = fold_rotations(scores)
    notes = [*scores.notes, f"{len(scores)} rotations are folded into {counted(len(folded.scores), 'question')}"]
    if folded.incomplete:
        notes.append(f"{counted(folded.incomplete, 'question', 'lack')} some of the rotations (left out)")
    if folded.placed:
        speaks = "has an option that speaks" if folded.placed == 1 else "have options that speak"
        notes.append(f"{counted(folded.placed, 'question')} {speaks} of others by their place (left out)")
    return replace(folded.scores, notes=tuple(notes), unrotated=folded.asked)


def same_kind(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    """Two logs of one task as they can be compared: without options where only one logs them, and both a metric of accuracy.

    Another program may have asked for a letter what lm_eval scores by log-probabilities, and may name otherwise what is right,
    or count it from 0 to 100. A metric of accuracy that is from 0 to 1 in one log alone is not compared.
    """
    for name in accuracy_names([name for name in first.metrics if name in second.metrics]):
        if _differ_in_scale(first.metrics[name], second.metrics[name]):
            first, second = (_without_metric(scores, name) for scores in (first, second))
    if first.has_options and second.has_options:
        return first, second
    one, two = (scores.without_options() if scores.has_options else scores for scores in (first, second))
    if set(one.accuracy_metrics) & set(two.accuracy_metrics):
        return one, two
    if one.accuracy_metrics and two.accuracy_metrics:
        return one.with_accuracy(), two.with_accuracy()
    return first, second


def _differ_in_scale(one: Floats, two: Floats) -> bool:
    """Whether only one is from 0 to 1. What is 0 throughout is of any scale."""
    known = [values[np.isfinite(values)] for values in (one, two)]
    return are_shares(one) != are_shares(two) and all(values.any() for values in known)


def _without_metric(scores: Scores, name: str) -> Scores:
    metrics = {other: values for other, values in scores.metrics.items() if other != name}
    reason = "its values are from 0 to 1 in one log and not in the other"
    return replace(scores, metrics=metrics, unread={**scores.unread, name: reason})


def common_tasks(first: Run, second: Run) -> dict[str, str]:
    """Tasks of one name; a task that the other log lacks is matched with the one that shares most of its questions."""
    common = {name: name for name in sorted(set(first.tasks) & set(second.tasks))}
    taken = set(common.values())
    free = {name: _questions(second.tasks[name]) for name in second.tasks if name not in taken}
    holders: defaultdict[int, list[str]] = defaultdict(list)
    for name, questions in free.items():
        for question in questions:
            holders[question].append(name)
    for name in sorted(set(first.tasks) - set(common)) if free else ():
        asked = _questions(first.tasks[name])
        shared = Counter(other for question in asked for other in holders.get(question, ()) if other in free)
        most = shared.most_common(2)
        if not most or (len(most) > 1 and most[0][1] == most[1][1]):
            continue
        best, count = most[0]
        if 2 * count > min(len(asked), len(free[best])):
            common[name] = best
            del free[best]
    if not common:
        raise InputError(
            f"no task in common: {shortened(sorted(second.tasks))}",
            expected=f"the tasks of the other log: {shortened(sorted(first.tasks))}",
            do=_unread_holders(first, second)
            or "compare two runs of the same tasks; under two names they are one task if most of their questions are the same",
            path=second.path,
        )
    return common


def _unread_holders(first: Run, second: Run) -> str | None:
    """Which runs that were not read hold a task of the other log."""
    found = [
        f"{', '.join(both[:5])} of the run {date} of {run.path}"
        for run, other in ((first, second), (second, first))
        for date, tasks in run.selection.held.items()
        if (both := sorted(set(tasks) & {scores.task for scores in other.tasks.values()}))
    ]
    return f"name with --run a run that holds one: {'; '.join(found[:5])}" if found else None


def _questions(scores: Scores) -> set[int]:
    """Hashes of what is asked with its options, field by field: another program may log fewer fields of the same question."""
    asked = map(scores.asked_fields, range(len(scores)))
    return {hash((text, options)) for fields, options in asked for text in fields.values()}


def matched_names(first: Run, second: Run, chosen: Mapping[str, str]) -> TaskNames:
    """Which of the compared tasks go by another name in the second log, and which tasks only one log holds."""
    return TaskNames(
        {name: other for name, other in chosen.items() if name != other},
        tuple(sorted(set(first.tasks) - set(chosen))),
        tuple(sorted(set(second.tasks) - set(chosen.values()))),
    )
