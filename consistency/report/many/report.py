"""Many runs compared with one reference, as a report."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from consistency.comparison.many.result import ManyComparison
from consistency.comparison.many.text import chance
from consistency.comparison.runs import ComparedRun
from consistency.comparison.sentences import ended
from consistency.logs.run_config import model_name
from consistency.report.citations import bibtex
from consistency.report.content import Report, Section
from consistency.report.document import Log, Verdict
from consistency.report.drawings import draw_all
from consistency.report.folder import write_folder
from consistency.report.many.document import ManyReport, ManyRuns
from consistency.report.many.figures import many_plots
from consistency.report.many.tables import (
    all_table,
    heat_table,
    in_points,
    judgement_table,
    metrics_table,
    ranking_table,
    trend_table,
)
from consistency.report.methods import SCORES
from consistency.report.provenance import inputs_hash, limit_notes, log_record, log_table, versions
from consistency.support.text import counted, shortened

# Runs in a sentence.
_NAMED = 10


def write_many(comparison: ManyComparison, out: str | Path, *, single_file: bool = False) -> Path:
    """Write the report of many runs.

    Parameters
    ----------
    comparison : ManyComparison
        As `consistency.compare_many` returns it; the logs must still be in place.
    out : path-like
        The folder to write; it appears whole, by renaming, and an earlier report there is replaced.
    single_file : bool
        Whether the page holds what else it offers, so that it can be sent alone.

    Returns
    -------
    pathlib.Path
        `report.html`.

    Raises
    ------
    InputError
        If `out` holds something else, or cannot be written.
    """
    return write_folder(partial(many_content, comparison), out, single_file=single_file)


def many_content(comparison: ManyComparison, folder: Path) -> Report:
    """The content of the report; its figures are drawn into the folder's `figures`."""
    document = _document(comparison)
    drawings = {drawing.name: drawing for drawing in draw_all(many_plots(comparison), folder / "figures")}
    multiples = [drawings[name] for name in ("tasks",) if name in drawings]
    sections = [
        Section("runs", "Runs", (), (judgement_table(comparison), drawings["runs"], ranking_table(comparison))),
        Section("heat", "Runs × tasks", _heat_text(comparison), (heat_table(comparison), *multiples)),
    ]
    if comparison.series is not None:
        sections.append(Section("series", "Along the series", _series_text(comparison), (trend_table(comparison),)))
    if comparison.metrics:
        sections.append(Section("metrics", "Other metrics", (), (metrics_table(comparison),)))
    sections += [
        Section("changes", "Every change", (), (all_table(comparison),)),
        Section("provenance", "What was compared", _read(comparison), (log_table(document.logs),)),
    ]
    names = dict.fromkeys(model_name(run.config) for run in (comparison.reference, *comparison.runs))
    n = comparison.ranking[0].accuracy.n
    return Report(
        title=f"{comparison.reference.label} and {counted(len(comparison.runs), 'run')}",
        kicker=" · ".join(
            [shortened(list(names), 3), f"{counted(n, 'question')} of {counted(len(comparison.by_task), 'task')}"]
        ),
        leads=tuple(map(ended, comparison.conclusions[:1])),
        details=comparison.verdicts[1:],
        intervals=document.intervals,
        notes=tuple(document.notes),
        signature=document.signature,
        sections=tuple(sections),
        methods=(_result(comparison), *_methods(comparison)),
        bibtex=bibtex({run.config.lm_eval_version for run in (comparison.reference, *comparison.runs)}),
        document=document,
        text=comparison.to_text(),
    )


def _document(comparison: ManyComparison) -> ManyReport:
    """The content of `report.json`."""
    logs = [_log(run, comparison) for run in (comparison.reference, *comparison.runs)]
    return ManyReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=Verdict(comparison.verdict),
        signature=f"{comparison.signature}|{inputs_hash(logs)}",
        intervals=_intervals(comparison),
        notes=[*comparison.notes, *limit_notes(logs)],
        comparison=msgspec.convert(comparison.to_dict(), ManyRuns),
        logs=logs,
        versions=versions(),
    )


def _log(run: ComparedRun, comparison: ManyComparison) -> Log:
    sources = {name: path for name, path in run.sources.items() if name.split(",")[0] in comparison.by_task}
    # The reference holds every task.
    compared = [
        next(iter(changes.values()))
        for changes in comparison.by_task.values()
        if run.label in changes or run.label == comparison.reference.label
    ]
    asked = sum(change.section.n for change in compared)
    return log_record(
        run.config, sources or run.sources, asked, role=run.label, folder=run.path, model=model_name(run.config)
    )


def _intervals(comparison: ManyComparison) -> str:
    runs, tasks = (comparison.families[name].of for name in ("runs", "tasks"))
    single = f", and so do those of the {tasks} changes of single tasks" if len(comparison.by_task) > 1 else ""
    return (
        f"Intervals of the {runs} changes of all tasks together hold together with 95 %{single}. They say how far the figures "
        "would move with other questions of the same tasks. They do not contain what another training or prompt would change."
    )


def _heat_text(comparison: ManyComparison) -> tuple[str, ...]:
    sure = sum(change.direction != 0 for changes in comparison.by_task.values() for change in changes.values())
    return (
        f"Change of accuracy in points. {sure} of {comparison.families['tasks'].of} changes of single tasks are sure (*): their "
        "interval, which holds together with all others, does not contain zero.",
    )


def _series_text(comparison: ManyComparison) -> tuple[str, ...]:
    assert comparison.series is not None
    positions = ", ".join(f"{label} at {place:g}" for label, place in comparison.series.positions.items())
    return (
        f"Positions: {positions}. The first harmful position of a task is the first whose simultaneous interval lies below zero: "
        "with 95 % no position of any task is called harmful that is not.",
    )


def _read(comparison: ManyComparison) -> tuple[str, ...]:
    return tuple(
        f"{run.label}: {run.selection.to_text()}." for run in (comparison.reference, *comparison.runs[:10])
    ) + ((f"{len(comparison.runs) - 10} more are in the table.",) if len(comparison.runs) > 10 else ())


def _result(comparison: ManyComparison) -> str:
    """A sentence for the results section of a paper."""
    changes = {label: change.simultaneous for label, change in comparison.overall.items()}
    each = [f"{label} {in_points(change)}" for label, change in changes.items()]
    first = comparison.ranking[0]
    return (
        f"On {counted(first.accuracy.n, 'question')} of {counted(len(comparison.members[comparison.main]), 'task')}, accuracy "
        f"changed from that of {comparison.reference.label} by, in points with simultaneous 95 % CIs: {shortened(each, _NAMED)}; "
        f"{first.label} was the most accurate, and the best with probability {chance(first.best)}."
    )


def _methods(comparison: ManyComparison) -> Iterator[str]:
    families = comparison.families
    unit = next(iter(comparison.overall.values())).section.estimates["delta_accuracy"]
    yield (
        f"We compared {counted(len(comparison.runs), 'run')} with {comparison.reference.label} on the same "
        f"{comparison.ranking[0].accuracy.n} questions of {counted(len(comparison.by_task), 'task')}, paired by question. "
        f"Options were scored by {SCORES[comparison.score]}."
    )
    yield (
        f"Changes of accuracy have simultaneous 95 % intervals ({unit.describe()}), each at the confidence "
        f"{100 * families['runs'].confidence:.3f} % for all tasks together and {100 * families['tasks'].confidence:.4f} % for "
        "single tasks, from the largest |t| under the joint normal distribution of the estimated correlations (Dunnett 1955; "
        "Hothorn, Bretz and Westfall 2008). p-values of no change were adjusted in one step by the same distribution."
    )
    yield (
        "The probability of being the best is that of a posterior of the true accuracies (normal, with their covariance over the "
        "questions), averaged over three priors of the same weight: all equal, a sample of one normal population, or the most "
        "accurate equal and the others a sample (Röver 2020; Gronau et al. 2021). "
        "All pairs of runs were tested together by a bootstrap of the largest |t|. Letters are a compact letter display "
        "(Piepho 2004) of these tests; the set of the best, which holds the best run with 95 % confidence, is those that are not "
        "told apart from the most accurate."
    )
