"""The result of a comparison, and how it is printed: a table for a terminal, a sentence, a signature line, JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from consistency.comparison.beside import Beside
from consistency.comparison.changed_most import ChangedMost, changed_most
from consistency.comparison.clusters import Clusters
from consistency.comparison.gaps import (
    Doubt,
    Gap,
    Missing,
    NoneInCommon,
    OtherReason,
    Reason,
    UncomparedTasks,
    UnpairedQuestions,
    missing_of,
    warning_dict,
)
from consistency.comparison.identical import IdenticalLogprobs
from consistency.comparison.left_out import dropped_lines, pairing_line, undefined_notes
from consistency.comparison.numbers import digits_of, points, points_interval
from consistency.comparison.over_rotations import rotation_lines
from consistency.comparison.part_sentences import part_lines, trimmed_lines
from consistency.comparison.printed import (
    Layout,
    choice_note,
    conclusion_lines,
    correction_note,
    largest,
    run_lines,
    slice_lines,
    task_lines,
)
from consistency.comparison.section import Section, TaskSampling
from consistency.comparison.sentences import (
    Concluded,
    conclusions_of,
    doubted,
    gold_lines,
    group_lines,
    metric_lines,
    shift_lines,
    told_change,
)
from consistency.comparison.settings import SettingDifference, UnexplainedPrompts, run_notes
from consistency.comparison.slice_result import Slices
from consistency.comparison.truncation import TruncatedPrompts, unknown_cuts
from consistency.comparison.views import Drawn, function_of
from consistency.logs.folders import Selection
from consistency.logs.run_config import RunConfig, limit_lines, programs, was_limited
from consistency.statistics.selection_bias import SelectionBias
from consistency.support.terminal import PLAIN
from consistency.support.text import p_equals, shortened
from consistency.support.version import VERSION

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA_VERSION = 2
Warned = Doubt | IdenticalLogprobs | UnexplainedPrompts | TruncatedPrompts | SelectionBias
# Of a comparison of many pools, in a few lines.
_MOST_VERDICTS = 3


@dataclass(frozen=True)
class UnpairedTask:
    """A task of both runs without a question in common."""

    task: str
    dropped: Mapping[str, int]

    @property
    def reason(self) -> NoneInCommon:
        """Why its questions were left out."""
        return NoneInCommon(self.dropped)

    def to_text(self) -> str:
        """The task, and why its questions were left out."""
        return f"{self.task}: {self.reason.to_text()}"


@dataclass(frozen=True)
class TaskNames:
    """How the tasks of two runs were matched by name.

    Attributes
    ----------
    renamed : dict of str to str
        Tasks of the first run that go by another name in the second.
    only_before, only_after : tuple of str
        Tasks that only one run holds.
    """

    renamed: Mapping[str, str]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]

    def to_lines(self) -> Iterator[str]:
        """A line for each task under another name, and one for each run with tasks of its own."""
        yield from (f"{name} is compared with {other}" for name, other in self.renamed.items())
        for when, names in (("before", self.only_before), ("after", self.only_after)):
            if names:
                yield f"{when}: no counterpart for {shortened(names)}"


@dataclass(frozen=True, repr=False)
class Comparison(Concluded, Drawn):
    """Two runs compared.

    Attributes
    ----------
    before, after : RunConfig
        How the two runs were made.
    paths : tuple of str
        Where their logs are.
    overall : Section or None
        All tasks that have options, pooled; None where no task has.
    by_task : dict of str to Section
        By task, named as in `before`.
    by_scope : dict of str to Section
        By scope, where scopes were asked for.
    by_metric : dict of str to Section
        Tasks without options, pooled by the metric that says which answers are right, where several tasks share one.
    by_group : dict of str to Section
        The harness's groups of tasks.
    score : str
        Normalisation of the scores, `"raw"` by default.
    margin : float
        The largest change of accuracy that counts as none, as a fraction.
    task_sampling : {"fixed", "sampled"}
        Whether intervals say what other questions of the same tasks would change, or what other tasks of the kind would.
    clusters : tuple of Clusters
        Questions that share something, and are not independent of each other.
    selection : tuple of Selection
        Which run of each log was read, and which others there are.
    names : TaskNames
        How the tasks were matched by name.
    unpaired : tuple of UnpairedTask
        Tasks of both runs without a question in common.
    settings : tuple of SettingDifference
    warnings : tuple of SameRun, UncomparedTasks, UnpairedQuestions, IdenticalLogprobs, UnexplainedPrompts, TruncatedPrompts \
or SelectionBias
        What can make the numbers misleading.
    items : dict of str to dict of str to ndarray
        By task, one row per question: what `items.answers` and `items.question_arrays` give.
    sources : dict of str to tuple of Path
        By task, the samples files that it was read from.
    scopes : dict of str to sequence of str
        Tasks of each scope, where scopes were asked for.
    slices : dict of str to Slices
        By field of the documents, where slices were asked for.
    """

    before: RunConfig
    after: RunConfig
    paths: tuple[str, str]
    overall: Section | None
    by_task: Mapping[str, Section]
    by_scope: Mapping[str, Section]
    score: str
    margin: float
    selection: tuple[Selection, Selection]
    names: TaskNames
    unpaired: tuple[UnpairedTask, ...]
    settings: tuple[SettingDifference, ...]
    warnings: tuple[Warned, ...]
    items: Mapping[str, Mapping[str, NDArray[Any]]]
    sources: Mapping[str, tuple[Path, Path]] = field(default_factory=dict)
    scopes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    by_metric: Mapping[str, Section] = field(default_factory=dict)
    by_group: Mapping[str, Section] = field(default_factory=dict)
    task_sampling: TaskSampling = "fixed"
    clusters: tuple[Clusters, ...] = ()
    slices: Mapping[str, Slices] = field(default_factory=dict)
    _plot = "pair_plot"

    @property
    def pools(self) -> tuple[Section, ...]:
        """What the verdict is about: all tasks with options, those without by their metric, then each that has no accuracy."""
        alone = [section for section in self.by_task.values() if not section.compares_options]
        pooled = {section.accuracy_metric for section in self.by_metric.values()}
        return (
            *([] if self.overall is None else [self.overall]),
            *self.by_metric.values(),
            *(section for section in alone if section.accuracy_metric and section.accuracy_metric not in pooled),
            *(section for section in alone if not section.accuracy_metric),
        )

    @property
    def pooled(self) -> tuple[Section, ...]:
        """What pools several tasks: groups, scopes, metrics, and all tasks with options."""
        every = [] if self.overall is None or len(self.by_task) == 1 else [self.overall]
        return (*self.by_group.values(), *self.by_scope.values(), *self.by_metric.values(), *every)

    @cached_property
    def changed_most(self) -> ChangedMost | None:
        """The tasks whose accuracy changed most; None where fewer than two have a change."""
        return changed_most(list(self.by_task.values()))

    @property
    def main(self) -> Section:
        """The first of `pools`."""
        return self.pools[0]

    @property
    def conclusions(self) -> tuple[tuple[str, ...], ...]:
        """What happened to accuracy and how many answers stayed in each of `pools`, and what else may have moved them.

        Sentences by their clauses, in which names may hold what stands between clauses.
        """
        odd = None if self.overall is None else self.overall.odd_scores
        lacking = [item.clause for item in self.warnings if isinstance(item, Doubt)]
        return doubted(conclusions_of(self.pools, self.by_task, self.margin), [*lacking, *self.doubts], odd)

    @property
    def beside(self) -> Beside:
        """What else than the models may have moved the numbers; gaps are in `warnings`."""
        return Beside(
            self.settings,
            next((item for item in self.warnings if isinstance(item, IdenticalLogprobs)), None),
            next((item for item in self.warnings if isinstance(item, UnexplainedPrompts)), None),
            next((item for item in self.warnings if isinstance(item, TruncatedPrompts)), None),
            unknown_cuts(self.settings, (self.before, self.after)),
        )

    @property
    def doubts(self) -> tuple[str, ...]:
        """What else than the models may have moved the numbers, as clauses of the verdict."""
        return self.beside.doubts

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Tasks that were not compared, and questions that were left out."""
        return tuple(item for item in self.warnings if isinstance(item, Gap))

    @property
    def not_compared(self) -> Mapping[str, Reason]:
        """The tasks of either run that were not compared, each with the reason."""
        found: dict[str, Reason] = dict.fromkeys(self.names.only_after, OtherReason.ONLY_AFTER)
        return found | {
            name: why for gap in self.gaps if isinstance(gap, UncomparedTasks) for name, why in gap.why.items()
        }

    def lacks(self, name: str, section: Section) -> Iterator[str]:
        """What a section lacks that a policy asks for: tasks, questions, scores that decide anything.

        Parameters
        ----------
        name : str
            Of a task, a group, a scope or a pool.
        section : Section
        """
        if section is self.overall:
            absent = sum(len(gap.why) for gap in self.gaps if isinstance(gap, UncomparedTasks))
        elif section is self.by_scope.get(name):
            absent = len({*self.scopes[name]} - {*self.by_task})
        else:
            absent = section.absent
        if absent:
            yield f"{absent} of its tasks {'is' if absent == 1 else 'are'} not compared"
        tasks = section.tasks or ([name] if name in self.by_task else [*self.by_task])
        lost = sum(gap.lost.get(task, 0) for gap in self.gaps if isinstance(gap, UnpairedQuestions) for task in tasks)
        if lost:
            yield f"{lost:,} of its questions are left out"
        if section.odd_scores is not None and section.decides_nothing:
            yield from section.odd_scores.clauses

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What was not compared and may break a condition; empty where all was compared."""
        return missing_of(self.warnings, self.pools)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know before the numbers: what was not read or compared, settings that differ, warnings."""
        return (
            *(
                f"{when}: {line}"
                for when, log in zip(("before", "after"), self.selection, strict=True)
                for line in log.to_lines()
            ),
            *run_notes(self.before, self.after),
            *(item.to_text() for item in self.unpaired),
            *self.names.to_lines(),
            *self.limits,
            *(item.to_text() for item in self.clusters),
            *(item.to_text() for item in self.settings),
            # What is missing stands above, file by file and task by task.
            *(item.to_text() for item in self.warnings if not isinstance(item, Gap)),
        )

    @property
    def limits(self) -> list[str]:
        """To how many questions lm_eval was limited, where this left any out."""
        return limit_lines(
            config.limit if was_limited(config, names) else None
            for config, names in (
                (self.before, self.by_task),
                (self.after, [self.names.renamed.get(name, name) for name in self.by_task]),
            )
        )

    @property
    def messages(self) -> tuple[str, ...]:
        """Which runs were read, then the notes."""
        before, after = self.selection
        return (f"before: {before.to_text()}", f"after: {after.to_text()}", *self.notes)

    @property
    def signature(self) -> str:
        """One line that says how the figures were made."""
        change = told_change(self.main)
        return "|".join(
            [
                f"n:{self.main.n}",
                f"tasks:{self.main.of_tasks}",
                f"score:{self.score}",
                f"unit:{change.unit}",
                f"interval:{change.method}",
                "ci:95",
                f"margin:{self.margin:g}",
                programs([self.before, self.after]),
                f"version:{VERSION}",
            ]
        )

    def __repr__(self) -> str:
        """What was compared and what was found, in a few lines."""
        layout = Layout(PLAIN)
        runs = run_lines((self.before, self.after), self.selection, self._counts, layout)
        return "\n".join(["Comparison", *runs, *conclusion_lines(self.conclusions[:_MOST_VERDICTS], layout)])

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, the tasks that changed most, a figure."""
        return str(function_of("pair_html")(self))

    @property
    def tasks(self) -> DataFrame:
        """A table of pandas with a row for each task: `to_frame("tasks")`."""
        return self.to_frame("tasks")

    @property
    def questions(self) -> DataFrame:
        """A table of pandas with a row for each question: `to_frame("questions")`."""
        return self.to_frame("questions")

    def to_frame(self, of: str = "tasks") -> DataFrame:
        """A table of pandas with a row for each task, question or slice.

        Parameters
        ----------
        of : {"tasks", "questions", "slices"}

        Returns
        -------
        pandas.DataFrame
            Shares and changes are fractions; `ci_low` and `ci_high` are the ends of a 95 % interval of `change`. Questions have
            the columns of `items`, and their texts, for which the logs are read again.

        Raises
        ------
        InputError
            If pandas is missing, or a log is no longer in place.
        """
        frame: DataFrame = function_of("pair_frame")(self, of)
        return frame

    def write(self, out: str | Path) -> Path:
        """Write the report of the comparison into a folder, see `consistency.write_comparison`; its `report.html`."""
        return Path(function_of("pair_report")(self, out))

    @property
    def _counts(self) -> tuple[int, int]:
        """Questions and tasks."""
        return sum(section.n for section in self.by_task.values()), len(self.by_task)

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for JSON; the schema is versioned by `schema_version`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "before": {"path": self.paths[0], **_config_dict(self.before)},
            "after": {"path": self.paths[1], **_config_dict(self.after)},
            "score": self.score,
            "margin": self.margin,
            "task_sampling": self.task_sampling,
            "clusters": [asdict(item) for item in self.clusters],
            "overall": None if self.overall is None else self.overall.to_dict(),
            "by_task": {name: section.to_dict() for name, section in self.by_task.items()},
            **{
                name: {key: section.to_dict() for key, section in sections.items()}
                for name, sections in (
                    ("by_scope", self.by_scope),
                    ("by_metric", self.by_metric),
                    ("by_group", self.by_group),
                )
                if sections
            },
            **({"slices": {name: found.to_dict() for name, found in self.slices.items()}} if self.slices else {}),
            **({"changed_most": self.changed_most.to_dict()} if self.changed_most else {}),
            "messages": list(self.messages),
            "unpaired": [asdict(item) for item in self.unpaired],
            "task_names": asdict(self.names),
            "settings": [asdict(item) for item in self.settings],
            "warnings": [warning_dict(item) for item in self.warnings],
            "verdict": self.verdict,
            "signature": self.signature,
        }

    def to_text(self, most_tasks: int | None = None, *, columns: int | None = None, styles: bool = False) -> str:
        """The verdict, the two runs, a table of the tasks that changed most, further numbers, notes and the signature.

        Parameters
        ----------
        most_tasks : int, optional
            Of more tasks only so many are in the table; by default all.
        columns : int, optional
            How many columns a line may take; by default any number.
        styles : bool
            Whether it has colours, for `consistency.support.streams.show`.
        """
        layout = Layout(columns, styles)
        tasks, chosen = largest(self.by_task, most_tasks)
        choice = choice_note(chosen, len(self.by_task))
        remarks = [f"{choice} (--all: all tasks)" if choice else "", correction_note(tasks, chosen)]
        about = [
            *self._changes(),
            *(
                line
                for section in [self.overall, *_generated(self.by_task)]
                if section
                for line in pairing_line(section)
            ),
            *dropped_lines(self.by_task),
            *(line for section in tasks for line in metric_lines(section)),
            *(line for section in self.by_group.values() for line in group_lines(section)),
            *undefined_notes(self.main),
        ]
        parts = [
            conclusion_lines(self.conclusions, layout),
            run_lines((self.before, self.after), self.selection, self._counts, layout),
            [
                *task_lines(tasks, self.pooled, chosen, layout),
                *(line for remark in remarks if remark for line in layout.lines(remark)),
            ],
            *(
                [*slice_lines(found, most_tasks, layout, tasks_chosen=chosen is not None)]
                for found in self.slices.values()
            ),
            (line for sentence in about for line in layout.lines(sentence)),
            (line for note in self._read_otherwise() for line in layout.lines(note)),
            layout.lines(self.signature),
        ]
        return "\n\n".join(filter(None, ("\n".join(part) for part in parts)))

    def _read_otherwise(self) -> Iterator[str]:
        """The notes, and of a log which runs were read where it is not simply its one run."""
        for when, log in zip(("before", "after"), self.selection, strict=True):
            if log.others or log.parts or log.is_file:
                yield f"{when}: {log.to_text()}"
        yield from self.notes

    def _changes(self) -> Iterator[str]:
        """Of each pool the change of accuracy and of the gold option's probability, and how their intervals were made."""
        for pool in self.pools:
            change = pool.estimates["delta_accuracy"]
            if change.ci_low is not None:
                of = "" if len(self.pools) == 1 else f"{pool.name}: "
                tested = "" if pool.sign_flip_p is None else f"; {pool.test}: {p_equals(pool.sign_flip_p)}"
                found = f"{points(change.value, digits_of(change))} points, 95 % interval{points_interval(change)}"
                yield f"{of}change {found}: {change.describe()}{tested}"
                yield from (
                    f"{of}{line}"
                    for line in (
                        *gold_lines(pool),
                        *shift_lines(pool),
                        *part_lines(pool),
                        *trimmed_lines(pool),
                        *rotation_lines(pool),
                    )
                )


def _generated(by_task: Mapping[str, Section]) -> Iterator[Section]:
    """The tasks without options."""
    return (section for section in by_task.values() if not section.compares_options)


def _config_dict(config: RunConfig) -> dict[str, Any]:
    return {
        "model": config.model_name or config.model,
        "model_args": config.model_args,
        "date": config.date,
        "lm_eval_version": config.lm_eval_version,
    }
