"""What a comparison lacks of its runs: tasks that were not compared, questions without a partner."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.comparison.odd_scores import OddScores
from consistency.comparison.pairing import ONLY_FIRST, ONLY_SECOND, REPEATED, PairingReport
from consistency.comparison.section import Section
from consistency.errors import InputError
from consistency.logs.folders import LeftOut, Selection
from consistency.logs.run_config import RunConfig
from consistency.logs.runs import Run
from consistency.support.text import counted, shortened

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# So many questions and so large a share of those of a task or of all tasks, or a larger share alone, break a gate; what is
# less is left out without a word in the verdict.
_MANY, _MUCH, _MOST = 5, 0.02, 0.05
_MOST_NAMED = 3


class OtherReason(Enum):
    """Why a task was not compared, where there is no more to say of it."""

    ONLY_AFTER = "only in the run after"
    NO_COMMON_FILTER = "no filter in common"
    ANSWERED_BY_SOME = "no question that all runs answered"

    def to_text(self) -> str:
        """The reason in words."""
        return self.value


@dataclass(frozen=True)
class Unread:
    """Samples of a task that could not be read in one of the runs.

    Attributes
    ----------
    run : str
        What it is called, such as "before".
    file : LeftOut or None
        None where the results name a task whose samples are not there.
    """

    run: str
    file: LeftOut | None

    def to_text(self) -> str:
        """The run, and of a file its path, its line and what is wrong with it."""
        file = self.file
        if file is None:
            return f"{self.run}: results without samples"
        return f"{self.run}: {file.path}{f':{file.line}' if file.line else ''}: {file.problem}"


@dataclass(frozen=True)
class LackedBy:
    """A task that some runs do not hold."""

    runs: tuple[str, ...]

    def to_text(self) -> str:
        """Which runs these are."""
        return f"not in {shortened(self.runs)}"


@dataclass(frozen=True)
class NoneInCommon:
    """A task of which no question could be paired; how many were left out, by reason."""

    dropped: Mapping[str, int]

    def to_text(self) -> str:
        """Why its questions were left out."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        return f"no question in common ({reasons})"


@dataclass(frozen=True)
class OtherFilter:
    """A task whose filter in one run is another than in the other runs."""

    here: str
    elsewhere: str

    def to_text(self) -> str:
        """The two filters."""
        return f"under the filter {self.here}, in other runs under {self.elsewhere}"


Reason = OtherReason | Unread | LackedBy | NoneInCommon | OtherFilter


@dataclass(frozen=True)
class SameRun:
    """Both sides were read from the same files: a control, or a mistake."""

    kind: str = "same run"

    @property
    def clause(self) -> str:
        """What a verdict says of it."""
        return "one run is compared with itself"

    def to_text(self) -> str:
        """A sentence for readers."""
        return "before and after are one run, compared with itself"


@dataclass(frozen=True)
class UncomparedTasks:
    """Tasks of the first run that were not compared, and tasks of which the samples of either run cannot be read.

    Attributes
    ----------
    why : dict of str to Reason
        By task, what is missing and where.
    of : int
        How many tasks there are with those that were compared.
    """

    why: Mapping[str, Reason]
    of: int
    kind: str = field(default="uncompared tasks", init=False)

    @property
    def clause(self) -> str:
        """What a verdict says of it."""
        verb = "was" if len(self.why) == 1 else "were"
        return (
            f"{len(self.why)} of {counted(self.of, 'task')} {verb} not compared: {shortened([*self.why], _MOST_NAMED)}"
        )

    def to_text(self) -> str:
        """A sentence for readers, with the reason of each of the first tasks."""
        reasons = shortened([f"{name} ({why.to_text()})" for name, why in self.why.items()], _MOST_NAMED)
        return f"{len(self.why)} of {counted(self.of, 'task')} not compared: {reasons}"

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON, each reason as a text."""
        return {"why": {name: why.to_text() for name, why in self.why.items()}, "of": self.of, "kind": self.kind}


@dataclass(frozen=True)
class UnpairedQuestions:
    """Questions of compared tasks that were left out; one is made only where they are many.

    Attributes
    ----------
    questions, of : int
        How many, and of how many of all compared tasks.
    reasons : tuple of str
    lost : dict of str to int
        By task, where they are many: questions of the first run without a partner that --limit does not explain.
    """

    questions: int
    of: int
    reasons: tuple[str, ...]
    lost: Mapping[str, int]
    kind: str = field(default="unpaired questions", init=False)

    @property
    def clause(self) -> str:
        """What a verdict says of it."""
        return f"{self.questions:,} of {self.of:,} questions are left out ({', '.join(self.reasons)})"

    def to_text(self) -> str:
        """A sentence for readers, with the tasks that lost questions."""
        named = shortened([f"{name} {count}" for name, count in self.lost.items()], _MOST_NAMED)
        return f"{self.clause}{f': {named}' if named else ''}"


Gap = UncomparedTasks | UnpairedQuestions
Doubt = SameRun | Gap


def warning_dict(warning: DataclassInstance) -> dict[str, Any]:
    """A warning's fields by name, for JSON."""
    return warning.to_dict() if isinstance(warning, UncomparedTasks) else asdict(warning)


@dataclass(frozen=True)
class Missing:
    """What a comparison of two runs lacks and a condition may depend on.

    Attributes
    ----------
    what : UncomparedTasks, UnpairedQuestions or OddScores
    run : str
        Of many runs, the one that is compared with the reference.
    """

    what: Gap | OddScores
    run: str = ""

    def to_lines(self) -> Iterator[str]:
        """A sentence for each thing that is missing, without a full stop."""
        found = self.what.clauses if isinstance(self.what, OddScores) else (self.what.to_text(),)
        yield from (f"{self.run}: {text}" if self.run else text for text in found)


def missing_of(warnings: Iterable[object], sections: Iterable[Section], run: str = "") -> tuple[Missing, ...]:
    """What was not compared and may break a condition; empty where nothing is missing.

    Parameters
    ----------
    warnings : iterable
        Of them only gaps count.
    sections : iterable of Section
        Those that the verdict is about.
    run : str
        As of `Missing`.
    """
    found: list[Gap | OddScores] = [item for item in warnings if isinstance(item, UncomparedTasks)]
    found += [item for item in warnings if isinstance(item, UnpairedQuestions) and item.lost]
    found += [item.odd_scores for item in sections if item.odd_scores is not None and item.decides_nothing]
    return tuple(Missing(item, run) for item in found)


def incomplete(missing: Sequence[Missing]) -> InputError:
    """The error of conditions that what is missing might break.

    Parameters
    ----------
    missing : sequence of Missing
        See `missing_of`.
    """
    lacking = "; ".join(line for item in missing for line in item.to_lines())
    return InputError(
        f"the comparison is incomplete, and what it lacks may break a condition: {lacking}",
        do="evaluate again, or judge what there is: consistency compare --missing ignore",
    )


def same_run(first: Run, second: Run) -> bool:
    """Whether both were read from the same files."""
    one, two = ({scores.source.resolve() for scores in run.tasks.values()} for run in (first, second))
    return one == two


def check_not_itself(warnings: Iterable[object], path: str | Path) -> None:
    """Refuse to judge a run that is compared with itself.

    Parameters
    ----------
    warnings : iterable
        Of a comparison.
    path : path-like
        Of the run's log.

    Raises
    ------
    InputError
        If both sides were read from the same files.
    """
    if any(isinstance(item, SameRun) for item in warnings):
        raise InputError(
            "this run is compared with itself, which no condition or policy can judge", do="name two runs", path=path
        )


def uncompared_tasks(
    runs: Mapping[str, Run],
    compared: Collection[str],
    without_partner: Iterable[str],
    unpaired: Mapping[str, Reason],
    *,
    of: int,
    every: bool = True,
) -> UncomparedTasks | None:
    """The tasks that a comparison lacks; None where it lacks none.

    Parameters
    ----------
    runs : dict of str to Run
        By what they are called, such as "before"; the first is the one whose tasks are to be kept.
    compared : collection of str
        Names of the tasks that were compared, in any of the runs.
    without_partner : iterable of str
        Tasks of the first run that another lacks.
    unpaired : dict of str to Reason
        Tasks that both hold and that could not be compared.
    of : int
        How many tasks were compared.
    every : bool
        Whether all tasks were to be compared, and not some that were named.

    Notes
    -----
    Tasks that only the other runs hold, and tasks that the results name and of which no run holds samples, are no gap. A damaged
    file of the first run whose task is not known is one, by the name of the file.
    """
    bare = {_bare(name) for name in compared}
    unread = {name: dict(_unread(run.selection)) if every else {} for name, run in runs.items()}
    held = {_bare(task) for run in runs.values() for task in run.tasks}
    why: dict[str, Reason] = {}
    for name, found in unread.items():
        for task, file in found.items():
            # A task whose samples were never kept is none of the log.
            if task not in bare and (file is not None or task in held):
                why.setdefault(task, Unread(name, file))
    if every:
        first, run = next(iter(runs.items()))
        why |= {item.path.name: Unread(first, item) for item in run.selection.left_out if item.is_damaged}
    known = {_bare(name) for name in why}
    _, *others = runs
    further = {**dict.fromkeys(without_partner, LackedBy(tuple(others))), **unpaired}
    why |= {name: reason for name, reason in further.items() if _bare(name) not in known}
    return UncomparedTasks(dict(sorted(why.items())), of + len(why)) if why else None


def _unread(selection: Selection) -> Iterator[tuple[str, LeftOut | None]]:
    """The tasks whose samples could not be read, each with the file, if there is one."""
    yield from ((item.task, item) for item in selection.left_out if item.task)
    yield from ((task, None) for task in selection.without_samples)


def _bare(name: str) -> str:
    """A task's name without its filter."""
    return name.split(",")[0]


def unpaired_questions(
    reports: Mapping[str, PairingReport], limits: Mapping[str, float] | None = None
) -> UnpairedQuestions | None:
    """The questions that were left out of compared tasks; None where they are few.

    Parameters
    ----------
    reports : dict of str to PairingReport
    limits : dict of str to float, optional
        By task, the --limit that explains which questions only the first run has.

    Examples
    --------
    >>> from consistency.comparison.pairing import Dropped
    >>> unpaired_questions({"sums": PairingReport(175, dropped={"options differ": Dropped(25, ())})}).clause
    '25 of 200 questions are left out (options differ)'
    """
    limits = limits or {}
    reasons: dict[str, None] = {}
    lost: dict[str, int] = {}
    left, total, many = 0, 0, False
    for name, report in reports.items():
        found = {why: item.count for why, item in report.dropped.items() if why != ONLY_SECOND}
        count = sum(found.values())
        left, total = left + count, total + report.paired + count
        many = many or _are_many(count, report.paired + count)
        limit = limits.get(name)
        for why in found:
            reasons[f"--limit {limit:g}" if why == ONLY_FIRST and limit is not None else why] = None
        lost[name] = sum(
            count
            for why, count in found.items()
            if why not in REPEATED and not (why == ONLY_FIRST and limit is not None)
        )
    if not many and not _are_many(left, total):
        return None
    everywhere = _are_many(sum(lost.values()), total)
    own = {
        name: count
        for name, count in lost.items()
        if count and (everywhere or _are_many(count, reports[name].paired + count))
    }
    return UnpairedQuestions(left, total, tuple(reasons), own)


def limits_of(config: RunConfig, sizes: Mapping[str, int]) -> dict[str, float]:
    """By task the --limit of a run, where its log holds as many questions as that lets it ask.

    Parameters
    ----------
    config : RunConfig
    sizes : dict of str to int
        Questions of each task in the log.
    """
    limit = config.limit
    return {} if limit is None else {name: limit for name, size in sizes.items() if limit < 1 or size >= limit}


def _are_many(count: int, of: int) -> bool:
    return bool(count) and (count >= _MOST * of or (count >= _MANY and count >= _MUCH * of))
