"""A comparison of two sides of several runs as a report: a `SideComparison` in, a folder out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec
from msgspec import UNSET

from consistency.comparison.numbers import points_of
from consistency.comparison.printed import largest, tested
from consistency.comparison.sentences import ended
from consistency.comparison.sides.answers import SIDES
from consistency.comparison.sides.result import MEASURES_TITLE, SideComparison
from consistency.comparison.sides.sections import SideSection
from consistency.comparison.sides.text import COMPARED, noise_p, run_notes
from consistency.logs.run_config import model_name
from consistency.metrics.measures import MEASURE
from consistency.report.citations import bibtex
from consistency.report.content import Report, Section, Table
from consistency.report.document import Verdict
from consistency.report.drawings import draw_all
from consistency.report.folder import write_folder
from consistency.report.formats.numbers import DASH, fixed, formatted
from consistency.report.metric_cells import HEAD, metric_cells
from consistency.report.provenance import inputs_hash, limit_notes, log_record, log_table, versions
from consistency.report.sides.document import SideChange, SidesReport
from consistency.report.sides.figures import side_plots
from consistency.support.text import counted, p_equals, p_value

INTERVALS = "95 % intervals say how far a figure would move with other runs of both sides and other questions of the same tasks."
# More tasks than these are folded.
_MOST_SHOWN = 25


def write_sides(comparison: SideComparison, out: str | Path, *, single_file: bool = False) -> Path:
    """Write the report of a comparison of two sides.

    Parameters
    ----------
    comparison : SideComparison
        As `consistency.compare_sides` returns it; the logs must still be in place.
    out : path-like
        The folder to write. It appears whole, by renaming; an earlier report there is replaced.
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
    return write_folder(partial(sides_content, comparison), out, single_file=single_file)


def sides_content(comparison: SideComparison, folder: Path) -> Report:
    """The content of the report; its figures are drawn into the folder's `figures`."""
    document = _document(comparison)
    pools, figures = comparison.pools, draw_all(side_plots(comparison.by_task), folder / "figures")
    rows = _rows(comparison)
    first, *others = comparison.pool_summaries
    # A name stays as it is.
    details = [f"{line if others else line[0].upper() + line[1:]}." for line in first]
    further = tuple(f"{line}." for lines in others for line in lines)
    sections = [Section("tasks", "What changed", further, (_change_table(rows), *figures))]
    if metrics := _metric_table(comparison):
        sections.append(Section("metrics", "Metrics in their own unit", (), (metrics,)))
    if any(item.noise for item in rows.values()):
        measures = [table for pool in pools if (table := _measure_table(pool)).rows]
        noise = (*measures, _noise_table(rows))
        sections.append(Section("noise", "How much runs of one side differ", (_NOISE,), noise))
    if any(item.calibrated for item in rows.values()):
        sections.append(Section("parts", "Without letter bias", (), (_calibrated_table(rows),)))
    sections.append(Section("runs", "The runs", (), (_run_table(rows), log_table(document.logs))))
    return Report(
        title=f"{_names(comparison)}: {_counts(comparison)}",
        kicker=f"{_names(comparison)} · {_counts(comparison)} · {_questions(comparison)}",
        leads=tuple(map(ended, comparison.conclusions[:2])),
        details=(*comparison.verdicts[2:], *details),
        intervals=INTERVALS,
        notes=tuple(document.notes),
        signature=document.signature,
        sections=tuple(sections),
        methods=(*_results(comparison), *_methods(comparison)),
        bibtex=bibtex(log.lm_eval_version for log in document.logs),
        document=document,
        text=comparison.to_text(),
    )


_NOISE = (
    "Every number is a mean over all pairs of runs: of one before and one after; of two before; of two after. What is beyond is "
    "the first less the mean of the other two, or less the one that is known. p is of no difference, adjusted over the tasks by "
    "Holm."
)


def _document(comparison: SideComparison) -> SidesReport:
    logs, stored = [], comparison.to_dict()
    asked = sum(item.section.n for item in comparison.by_task.values())
    for side, runs in zip(SIDES, comparison.runs, strict=True):
        for run in runs:
            sources = {task: path for task, path in run.sources.items() if task in comparison.by_task} or run.sources
            logs.append(
                log_record(run.config, sources, asked, role=side, folder=run.path, model=model_name(run.config))
            )

    def changes(kind: str) -> dict[str, SideChange]:
        return {name: msgspec.convert(item, SideChange) for name, item in stored.get(kind, {}).items()}

    return SidesReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=Verdict(comparison.verdict),
        signature=f"{comparison.signature}|{inputs_hash(logs)}",
        intervals=INTERVALS,
        notes=[*run_notes(comparison.runs), *comparison.notes, *limit_notes(logs)],
        logs=logs,
        versions=versions(),
        score=comparison.score,
        margin=comparison.margin,
        overall=None if stored["overall"] is None else msgspec.convert(stored["overall"], SideChange),
        by_task=changes("by_task"),
        by_scope=changes("by_scope"),
        by_metric=changes("by_metric"),
        by_group=changes("by_group"),
        warnings=stored.get("warnings", UNSET),
    )


def _rows(comparison: SideComparison) -> Mapping[str, SideSection]:
    """What the tables have rows of: pools first, then groups and scopes, and the tasks with the largest changes first."""
    found: dict[str, SideSection] = {}
    if comparison.overall is not None and len(comparison.by_task) > 1:
        found["overall"] = comparison.overall
    for kind in (comparison.by_metric, comparison.by_group, comparison.by_scope):
        found |= kind
    tasks, _ = largest(comparison.changes.by_task, None)
    return found | {section.name: comparison.by_task[section.name] for section in tasks}


def _change_table(rows: Mapping[str, SideSection]) -> Table:
    cells, adjusted = [], any(item.section.p_holm is not None for item in rows.values())
    for name, item in rows.items():
        section, found = item.section, item.section.estimates
        cells.append(
            (
                name,
                formatted(found["delta_accuracy"], MEASURE["delta_accuracy"]),
                *(formatted(found[f"accuracy_{side}"], MEASURE[f"accuracy_{side}"], interval=False) for side in SIDES),
                tested(section, adjusted=adjusted),
                p_value(section.equivalence_p),
                str(section.n),
                section.accuracy_metric or ("best option" if section.compares_options else DASH),
            )
        )
    return Table(
        "changes",
        "Accuracy",
        "Means over the runs, in percent; changes in points. p (Holm) is of no change, adjusted over the tasks; p of all of them "
        "together is of that alone. Each interval is 95 % for its row alone, and not adjusted; that of a task which the verdict "
        "names is wider, since the task was chosen for its large change.",
        (
            "task",
            "change",
            "before",
            "after",
            "p (Holm)" if adjusted else "p",
            "p (equivalence)",
            "questions",
            "metric",
        ),
        tuple(cells),
        1,
        [
            {"section": name, **_flat(item.section.estimates), "p": item.section.sign_flip_p}
            for name, item in rows.items()
        ],
    )


def _metric_table(comparison: SideComparison) -> Table | None:
    """The metrics of tasks whose answers are not right or wrong; None without one."""
    found = [
        (task, metric, change)
        for task, item in comparison.by_task.items()
        if item.section.estimates["delta_accuracy"].value is None
        for metric, change in (item.section.metrics or {}).items()
    ]
    if not found:
        return None
    return Table(
        "metrics",
        "Metrics of tasks whose answers are not right or wrong",
        "Means over runs and questions, each metric in its own unit; each interval is of that metric alone.",
        ("task", "metric", *HEAD),
        tuple((task, metric, *metric_cells(change)) for task, metric, change in found),
        2,
        [{"task": task, "metric": metric, **change.to_dict()} for task, metric, change in found],
        folded=len(found) > _MOST_SHOWN,
    )


def _noise_table(rows: Mapping[str, SideSection]) -> Table:
    measure = MEASURE["harmful_flips"]
    cells, data = [], []
    for name, item in rows.items():
        noise = item.noise.get(measure.name)
        if noise is None:
            continue
        cells.append(
            (
                name,
                formatted(item.section.estimates.get(measure.name), measure),
                formatted(noise.before, measure),
                formatted(noise.after, measure),
                formatted(noise.beyond, measure, sign=True),
                p_value(noise_p(noise)),
            )
        )
    for name, item in rows.items():
        data += [{"section": name, "measure": key, **noise.to_dict()} for key, noise in item.noise.items()]
    return Table(
        "noise",
        f"Answers that turn, {measure.title}, in each task",
        "In percent of the questions; what is beyond in points. The interval of one pair of runs is over questions alone. "
        "The CSV has all measures.",
        ("task", "between the sides", "two runs before", "two runs after", "beyond", "p (Holm)"),
        tuple(cells),
        1,
        data,
        folded=len(cells) > _MOST_SHOWN,
    )


def _measure_table(pool: SideSection) -> Table:
    cells = []
    for name in COMPARED:
        noise, found = pool.noise.get(name), pool.section.estimates.get(name)
        if noise is not None and found is not None and found.value is not None:
            measure = MEASURE[name]
            cells.append(
                (
                    measure.heading,
                    formatted(found, measure, digits=_digits(name)),
                    *(formatted(side, measure, digits=_digits(name)) for side in (noise.before, noise.after)),
                    formatted(noise.beyond, measure, sign=True, digits=_digits(name)),
                    p_value(noise.p),
                )
            )
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in pool.section.name)
    return Table(
        f"measures_{name}",
        f"{pool.section.name}: {MEASURES_TITLE}",
        "KL within a side, and beyond, is in both directions. The interval of one pair of runs is over questions alone.",
        ("measure", "between the sides", "two runs before", "two runs after", "beyond", "p"),
        tuple(cells),
        1,
        [{"measure": key, **noise.to_dict()} for key, noise in pool.noise.items()],
    )


def _digits(name: str) -> int:
    return 1 if MEASURE[name].scale > 1 else 3


def _calibrated_table(rows: Mapping[str, SideSection]) -> Table:
    cells = []
    for name, item in rows.items():
        found = item.calibrated
        if "calibrated_change" in found:
            cells.append(
                (
                    name,
                    *(
                        formatted(found[f"calibrated_{side}"], MEASURE["accuracy_after"], interval=False)
                        for side in SIDES
                    ),
                    *(
                        formatted(found[key], MEASURE["delta_accuracy"])
                        for key in ("calibrated_change", "prior_change")
                    ),
                    formatted(found.get("spearman_calibrated"), MEASURE["spearman"]),
                )
            )
    return Table(
        "calibrated",
        "Accuracy and rankings corrected for letter bias",
        "In percent, changes in points. The two changes add up to that of accuracy.",
        ("task", "before", "after", "change", "due to letter bias", "Spearman ρ"),
        tuple(cells),
        1,
        [{"section": name, **_flat(item.calibrated)} for name, item in rows.items() if item.calibrated],
        folded=len(cells) > _MOST_SHOWN,
    )


def _run_table(rows: Mapping[str, SideSection]) -> Table:
    counts = [max((len(item.runs[side]) for item in rows.values()), default=0) for side in (0, 1)]
    head = [f"{side} {number}" for side, count in zip(SIDES, counts, strict=True) for number in range(1, count + 1)]
    cells = []
    for name, item in rows.items():
        accuracies = [fixed(None if x != x else 100 * x, 1) for side in item.runs for x in side]
        if accuracies:
            spreads = (fixed(None if x is None else 100 * x, 1) for x in item.deviations)
            cells.append((name, *accuracies, *spreads))
    return Table(
        "accuracy_of_runs",
        "The accuracy of each run",
        "In percent; standard deviations over the runs of a side in points.",
        ("task", *head, "deviation before", "deviation after"),
        tuple(cells),
        1,
        [
            {"section": name, **dict(zip(head, [x for side in item.runs for x in side], strict=True))}
            for name, item in rows.items()
            if any(item.runs)
        ],
        folded=len(cells) > _MOST_SHOWN,
    )


def _flat(found: Mapping[str, object]) -> dict[str, object]:
    return {name: item.to_dict() for name, item in found.items()}  # type: ignore[attr-defined]


def _results(comparison: SideComparison) -> Iterator[str]:
    """A sentence for the results section of a paper, of each pool."""
    for pool in comparison.pools:
        before, after, change = (
            pool.section.estimates[name] for name in ("accuracy_before", "accuracy_after", "delta_accuracy")
        )
        if change.value is None or before.value is None or after.value is None:
            continue
        yield (
            f"On {counted(pool.section.n, 'question')} of {counted(pool.section.of_tasks, 'task')}, mean accuracy went from "
            f"{fixed(100 * before.value, 1)} % ({counted(len(pool.runs[0]), 'run')}) to {fixed(100 * after.value, 1)} % "
            f"({counted(len(pool.runs[1]), 'run')}), a change of {points_of(change)} points (95 % CI; "
            f"{p_equals(pool.section.sign_flip_p)})."
        )


def _methods(comparison: SideComparison) -> tuple[str, ...]:
    before, after = (len(side) for side in comparison.runs)
    change = comparison.pools[0].section.estimates["delta_accuracy"]
    return (
        f"We compared {counted(before, 'run')} before with {counted(after, 'run')} after, over the "
        f"{_questions(comparison)} that all of them answered. Every measure was taken of all pairs of a run before and a run "
        f"after, and averaged ({change.describe()}).",
        "Intervals hold the variance over runs and that over questions (Banerjee 1960; Cameron, Gelbach and Miller 2011), with "
        "Student's quantile of the runs' degrees of freedom over both sides (Satterthwaite 1946). A side of a single run is "
        "taken as it is. What two runs of one side differ by was estimated from all pairs of its runs, with the jackknife's "
        "variance over runs (Arvesen 1969), and what is beyond it as half the energy distance is (Székely and Rizzo 2013).",
    )


def _names(comparison: SideComparison) -> str:
    names = [dict.fromkeys(model_name(run.config) for run in side) for side in comparison.runs]
    return " → ".join(dict.fromkeys(", ".join(side) for side in names))


def _counts(comparison: SideComparison) -> str:
    before, after = (len(side) for side in comparison.runs)
    return f"{counted(before, 'run')} before, {after} after"


def _questions(comparison: SideComparison) -> str:
    tasks = list(comparison.by_task.values())
    return f"{counted(sum(item.section.n for item in tasks), 'question')} of {counted(len(tasks), 'task')}"
