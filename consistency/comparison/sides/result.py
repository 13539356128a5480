"""The result of comparing two sides of several runs, as values, text and plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from consistency.comparison.beside import Beside
from consistency.comparison.clusters import Clusters
from consistency.comparison.gaps import Doubt, Missing, missing_of, warning_dict
from consistency.comparison.names import short_names
from consistency.comparison.printed import Layout, choice_note, conclusion_lines, correction_note, largest, task_lines
from consistency.comparison.runs import ComparedRun
from consistency.comparison.section import Section, TaskSampling
from consistency.comparison.sentences import Concluded, conclusions_of, doubted, metric_lines, told_change
from consistency.comparison.sides.answers import SIDES, copies_clauses
from consistency.comparison.sides.sections import SideSection
from consistency.comparison.sides.text import (
    doubts_of,
    measure_table,
    noise_table,
    run_lines,
    run_notes,
    summary,
    unsure_task,
)
from consistency.comparison.views import Drawn, function_of
from consistency.logs.run_config import model_name
from consistency.support.terminal import PLAIN
from consistency.support.text import counted
from consistency.support.version import VERSION

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA_VERSION = 1
# Of sentences in a short form.
_MOST_VERDICTS = 4
NOISE_TITLE = (
    "Noise: answers that turn from right to wrong between the sides, between two runs of either, and what is beyond"
)
MEASURES_TITLE = "between the sides, between two runs of either, and what is beyond"


@dataclass(frozen=True)
class Changes:
    """The changes between two sides, as `check` takes them; attributes as in `Comparison`."""

    overall: Section | None
    by_task: Mapping[str, Section]
    by_scope: Mapping[str, Section]
    by_metric: Mapping[str, Section]
    by_group: Mapping[str, Section]
    pools: tuple[Section, ...]


@dataclass(frozen=True, repr=False)
class SideComparison(Concluded, Drawn):
    """Two sides of several runs compared.

    Attributes
    ----------
    runs : tuple of tuple of ComparedRun
        Those before, and those after.
    overall : SideSection or None
        All tasks that have options, pooled; None where no task has.
    by_task, by_scope, by_metric, by_group : dict of str to SideSection
        As in `Comparison`.
    score : str
        Normalisation of the scores.
    margin : float
        The largest change of accuracy that counts as none, as a fraction.
    task_sampling : {"fixed", "sampled"}
    clusters : tuple of Clusters
        Questions that share something.
    notes : tuple of str
        What a reader must know before the numbers.
    beside, copies
        As of `Answers`.
    warnings : tuple of SameRun, UncomparedTasks or UnpairedQuestions
        What was not compared.
    """

    runs: tuple[tuple[ComparedRun, ...], tuple[ComparedRun, ...]]
    overall: SideSection | None
    by_task: Mapping[str, SideSection]
    by_scope: Mapping[str, SideSection]
    by_metric: Mapping[str, SideSection]
    by_group: Mapping[str, SideSection]
    score: str
    margin: float
    task_sampling: TaskSampling
    clusters: tuple[Clusters, ...] = ()
    notes: tuple[str, ...] = ()
    beside: Mapping[str, Beside] = field(default_factory=dict)
    copies: tuple[tuple[str, str], ...] = ()
    warnings: tuple[Doubt, ...] = ()
    _plot = "sides_plot"

    @property
    def pools(self) -> tuple[SideSection, ...]:
        """What the verdict is about, as in `Comparison`."""
        alone = [item for item in self.by_task.values() if not item.section.compares_options]
        pooled = {item.section.accuracy_metric for item in self.by_metric.values()}
        return (
            *([] if self.overall is None else [self.overall]),
            *self.by_metric.values(),
            *(item for item in alone if item.section.accuracy_metric not in pooled or not item.section.accuracy_metric),
        )

    @property
    def conclusions(self) -> tuple[tuple[str, ...], ...]:
        """What happened to accuracy in each of `pools`, in which task it may have, and what else may have moved the numbers.

        Sentences by their clauses.
        """
        found = conclusions_of([pool.section for pool in self.pools], _alone(self.by_task), self.margin)
        found = (*found, *unsure_task([item.section for item in self.by_task.values()]))
        odd = None if self.overall is None else self.overall.section.odd_scores
        return doubted(found, [*(item.clause for item in self.warnings), *self.doubts], odd)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What else than the models may have moved the numbers, as clauses of the verdict."""
        before, after = self.runs
        if len(before) == len(after) == 1:
            return self.beside[after[0].label].doubts
        return (*doubts_of(self.beside, len(before)), *copies_clauses(self.copies))

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What was not compared and may break a condition; empty where all was compared."""
        return missing_of(self.warnings, [pool.section for pool in self.pools])

    @property
    def pool_summaries(self) -> tuple[tuple[str, ...], ...]:
        """Of each of `pools` its change with the estimator, how far its runs lie apart, and its change without letter bias."""
        names = self._pool_names if len(self.pools) > 1 else [""]
        return tuple(tuple(summary(pool, name)) for pool, name in zip(self.pools, names, strict=True))

    @property
    def summaries(self) -> tuple[str, ...]:
        """The `pool_summaries` in one."""
        return tuple(line for lines in self.pool_summaries for line in lines)

    @property
    def _pool_names(self) -> list[str]:
        return short_names([pool.section.name for pool in self.pools], self.by_task)

    def with_pools(self, tasks: Sequence[SideSection]) -> list[SideSection]:
        """Tasks, followed by what pools them: groups, scopes, metrics and all together."""
        found = [*tasks, *self.by_group.values(), *self.by_scope.values(), *self.by_metric.values()]
        return [*found, self.overall] if self.overall is not None and len(self.by_task) > 1 else found

    @property
    def signature(self) -> str:
        """One line that says how the figures were made."""
        section = self.pools[0].section
        change = told_change(section)
        return "|".join(
            [
                f"runs:{len(self.runs[0])}/{len(self.runs[1])}",
                f"n:{section.n}",
                f"tasks:{section.of_tasks}",
                f"score:{self.score}",
                f"unit:{change.unit}",
                f"interval:{change.method}",
                "ci:95",
                f"margin:{self.margin:g}",
                f"version:{VERSION}",
            ]
        )

    @property
    def changes(self) -> Changes:
        """The changes alone, for conditions."""
        return Changes(
            None if self.overall is None else self.overall.section,
            _alone(self.by_task),
            _alone(self.by_scope),
            _alone(self.by_metric),
            _alone(self.by_group),
            tuple(pool.section for pool in self.pools),
        )

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for JSON; the schema is versioned by `schema_version`."""
        return {
            "schema_version": SCHEMA_VERSION,
            **{
                side: [
                    {"name": run.label, "path": run.path, "model": run.config.model_name or run.config.model}
                    | {
                        "date": run.config.date,
                        "lm_eval_version": run.config.lm_eval_version,
                        "read": run.selection.to_text(),
                    }
                    for run in runs
                ]
                for side, runs in zip(SIDES, self.runs, strict=True)
            },
            "score": self.score,
            "margin": self.margin,
            "task_sampling": self.task_sampling,
            "clusters": [asdict(item) for item in self.clusters],
            "overall": None if self.overall is None else self.overall.to_dict(),
            "by_task": {name: item.to_dict() for name, item in self.by_task.items()},
            **{
                kind: {name: item.to_dict() for name, item in found.items()}
                for kind in ("by_scope", "by_metric", "by_group")
                if (found := getattr(self, kind))
            },
            "notes": list(self.notes),
            **({"warnings": [warning_dict(item) for item in self.warnings]} if self.warnings else {}),
            "verdict": self.verdict,
            "signature": self.signature,
        }

    def to_lines(self) -> tuple[str, ...]:
        """Which runs were compared, and over how many questions, in a few lines."""
        sides = (
            f"{side}: {', '.join(dict.fromkeys(model_name(run.config) for run in runs))}, {counted(len(runs), 'run')}"
            for side, runs in zip(SIDES, self.runs, strict=True)
        )
        questions = sum(item.section.n for item in self.by_task.values())
        return (*sides, f"{counted(questions, 'question')} of {counted(len(self.by_task), 'task')}")

    def __repr__(self) -> str:
        """What was compared and what was found, in a few lines."""
        layout = Layout(PLAIN)
        compared = (line for sentence in self.to_lines() for line in layout.lines(sentence))
        return "\n".join(["SideComparison", *compared, *conclusion_lines(self.conclusions[:_MOST_VERDICTS], layout)])

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdicts and the tasks that changed most."""
        return str(function_of("sides_html")(self))

    def to_frame(self) -> DataFrame:
        """A table of pandas with a row for each task.

        Returns
        -------
        pandas.DataFrame
            Shares and changes are fractions, means over the runs; `ci_low` and `ci_high` are the ends of a 95 % interval of
            `change`, for other runs and other questions.

        Raises
        ------
        InputError
            If pandas is not installed.
        """
        frame: DataFrame = function_of("sides_frame")(self)
        return frame

    def to_text(self, most: int | None = None, columns: int | None = 80, *, styles: bool = False) -> str:
        """What was found and compared, tables for a terminal, and what a reader must know.

        Parameters
        ----------
        most : int, optional
            Of more tasks only so many are in the tables, the largest changes first; by default all.
        columns : int, optional
            How many columns a line may take; None for any number.
        styles : bool
            Whether it has colours, for `consistency.support.streams.show`.
        """
        layout = Layout(columns, styles)
        tasks, chosen = largest(_alone(self.by_task), most)
        rows = self.with_pools([self.by_task[section.name] for section in tasks])
        pooled = [item.section for item in rows[len(tasks) :]]
        choice = choice_note(chosen, len(self.by_task))
        remarks = [f"{choice} (--all: all tasks)" if choice else "", correction_note(tasks, chosen)]
        beside = (line for section in tasks for line in metric_lines(section))
        read = [*run_lines(self.runs), *run_notes(self.runs), *self.notes]
        parts: list[Iterable[str]] = [
            conclusion_lines(self.conclusions, layout),
            (line for text in self.to_lines() for line in layout.lines(text)),
            [
                *task_lines(tasks, pooled, chosen, layout),
                *(line for remark in remarks if remark for line in layout.lines(remark)),
            ],
            (line for text in (*self.summaries, *beside) for line in layout.lines(text)),
            _titled(NOISE_TITLE, noise_table(rows, layout), layout),
            *(
                _titled(f"{name}: {MEASURES_TITLE}", measure_table(pool, layout), layout)
                for name, pool in zip(self._pool_names, self.pools, strict=True)
            ),
            (line for text in read for line in layout.lines(text)),
            layout.lines(self.signature),
        ]
        return "\n\n".join(filter(None, ("\n".join(part) for part in parts)))


def _titled(title: str, table: Iterable[str], layout: Layout) -> list[str]:
    """A table below its title; empty without rows."""
    lines = list(table)
    return [*layout.lines(title), *lines] if lines else []


def _alone(items: Mapping[str, SideSection]) -> dict[str, Section]:
    return {name: item.section for name, item in items.items()}
