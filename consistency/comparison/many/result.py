"""The result of comparing many runs with one reference, as values, text, plain data and a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from consistency.comparison.gaps import Missing, missing_of, warning_dict
from consistency.comparison.many import text
from consistency.comparison.many.values import Change, ManyChanges
from consistency.comparison.printed import Layout, conclusion_lines
from consistency.comparison.runs import ComparedRun
from consistency.comparison.sentences import Concluded
from consistency.comparison.views import Drawn, function_of
from consistency.support.frames import frame_of
from consistency.support.terminal import PLAIN

if TYPE_CHECKING:
    from pandas import DataFrame

SCHEMA_VERSION = 1


@dataclass(frozen=True, repr=False)
class ManyComparison(ManyChanges, Concluded, Drawn):
    """Many runs compared with one reference; the attributes are those of `ManyChanges`."""

    _plot = "many_plot"

    @property
    def conclusions(self) -> tuple[tuple[str, ...], ...]:
        """What happened to all runs, which is the best, and what happened along the series: sentences by their clauses."""
        return tuple(text.conclusions(self))

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What was not compared and may break a condition; empty where all was compared."""
        return tuple(
            item
            for run in self.runs
            for item in missing_of(
                run.warnings,
                [found[run.label].section for found in self.pools.values() if run.label in found],
                run.label,
            )
        )

    def to_dict(self) -> dict[str, Any]:
        """The comparison as plain data, for JSON; the schema is versioned by `schema_version`."""
        return {
            "schema_version": SCHEMA_VERSION,
            "reference": _run_dict(self.reference),
            "runs": [_run_dict(run) for run in self.runs],
            "score": self.score,
            "margin": self.margin,
            "families": {name: asdict(family) for name, family in self.families.items()},
            "clusters": [asdict(item) for item in self.clusters],
            "tasks_of": {name: list(tasks) for name, tasks in self.members.items()},
            "pools": _nested(self.pools, self.margin),
            "by_task": _nested(self.by_task, self.margin),
            "judgements": [item.to_dict() for item in self.judgements],
            "ranking": [item.to_dict() for item in self.ranking],
            "best_set": list(self.best_set),
            "series": None
            if self.series is None
            else {
                "positions": dict(self.series.positions),
                "trends": {name: trend.to_dict() for name, trend in self.series.trends.items()},
            },
            "metrics": [item.to_dict() for item in self.metrics],
            "notes": list(self.notes),
            "verdict": self.verdict,
            "signature": self.signature,
        }

    def to_frame(self) -> DataFrame:
        """A row for each run and task: accuracies, change, interval of its own and simultaneous one, p-values, flips, KL.

        Raises
        ------
        InputError
            If pandas is not installed.
        """
        return frame_of([flat_row(label, name, change, self.margin) for label, name, change in self.rows()])

    def to_text(self, most: int | None = None, columns: int | None = None, *, styles: bool = False) -> str:
        """What was found, the ranking and the largest changes, for a terminal.

        Parameters
        ----------
        most : int, optional
            Of more changes of tasks only so many are printed; by default all.
        columns : int, optional
            How many columns a line may take; by default any number.
        styles : bool
            Whether it has colours, for `consistency.support.streams.show`.
        """
        return text.to_text(self, most, Layout(columns, styles))

    def to_lines(self) -> tuple[str, ...]:
        """Which runs were compared, and over how many questions, in two lines."""
        return tuple(text.compared(self))

    def __repr__(self) -> str:
        """What was compared and what was found, in a few lines."""
        layout = Layout(PLAIN)
        compared = (line for each in self.to_lines() for line in layout.lines(each))
        return "\n".join(["ManyComparison", *compared, *conclusion_lines(self.conclusions, layout)])

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdicts and the ranking."""
        return str(function_of("many_html")(self))


def flat_row(label: str, name: str, change: Change, margin: float) -> dict[str, Any]:
    """The numbers of a change by name, judged by the margin."""
    section = change.section
    own, together = section.estimates["delta_accuracy"], change.simultaneous
    calibrated = change.calibrated
    shares = {
        f"{name}{end}": None if found is None else getattr(found, field)
        for name in ("harmful_flips", "beneficial_flips", "kl")
        for found in (section.estimates.get(name),)
        for end, field in (("", "value"), ("_low", "ci_low"), ("_high", "ci_high"))
    }
    return {
        "run": label,
        "task": name,
        "n": section.n,
        "accuracy_before": section.estimates["accuracy_before"].value,
        "accuracy_after": section.estimates["accuracy_after"].value,
        "change": own.value,
        "se": own.se,
        "ci_low": own.ci_low,
        "ci_high": own.ci_high,
        "simultaneous_low": together.ci_low,
        "simultaneous_high": together.ci_high,
        "p": section.sign_flip_p,
        "p_holm": section.p_holm,
        "p_simultaneous": change.p_simultaneous,
        "judgement": change.judged(margin),
        "harmful": None if section.flips is None else section.flips["harmful"],
        "beneficial": None if section.flips is None else section.flips["beneficial"],
        **shares,
        "calibrated_change": None if calibrated is None else calibrated.value,
        "calibrated_low": None if calibrated is None else calibrated.ci_low,
        "calibrated_high": None if calibrated is None else calibrated.ci_high,
    }


def _nested(sets: Mapping[str, Mapping[str, Change]], margin: float) -> dict[str, dict[str, Any]]:
    return {name: {label: change.to_dict(margin) for label, change in found.items()} for name, found in sets.items()}


def _run_dict(run: ComparedRun) -> dict[str, Any]:
    return {
        "label": run.label,
        "path": run.path,
        "model": run.config.model_name or run.config.model,
        "model_args": run.config.model_args,
        "date": run.config.date,
        "lm_eval_version": run.config.lm_eval_version,
        **({"warnings": [warning_dict(item) for item in run.warnings]} if run.warnings else {}),
    }
