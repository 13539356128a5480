"""An experiment's logs in, a folder with its report out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.experiment.grid import Experiment, TunedRun
from consistency.metrics.selection_bias import OptionCounts
from consistency.report import provenance, questions
from consistency.report.citations import bibtex
from consistency.report.content import ChangedQuestion, Drawing, Report, Section, Table
from consistency.report.document import Log
from consistency.report.drawings import draw_all
from consistency.report.folder import report_in_place, write_files
from consistency.report.grid import estimates, tables
from consistency.report.grid import provenance as origin
from consistency.report.grid.cells import Cell, CellReader, RunAudit, TunedCells, rows_by_task
from consistency.report.grid.contrasts import contrasts
from consistency.report.grid.document import Checkpoint, Grid, GridReport, RunParts
from consistency.report.grid.dose import partial_correlations
from consistency.report.grid.figures import grid_plots
from consistency.report.grid.part_tables import part_tables
from consistency.report.grid.parts import BASE, CALIBRATED, calibrated_contrasts, with_parts
from consistency.report.grid.verdict import dose_text, group_title, interval_text, verdict
from consistency.report.grid.watched import read_watched, watched_table
from consistency.report.items import Columns, ItemsWriter
from consistency.report.methods import grid_methods
from consistency.statistics.selection_bias import strongest_bias
from consistency.support.arrays import Floats, Integers
from consistency.support.memory import gc_seldom
from consistency.support.progress_line import Tell, silent
from consistency.support.yaml_files import read_yaml

# Of the signature: what means over one seed, and over several, take as sampled.
INTERVALS = {True: "stratified-95", False: "crossed-95"}


@dataclass
class Analysis:
    """The data read from an experiment's logs, from which all figures are made.

    Attributes
    ----------
    cells : list of Cell
        Each run in each scope, with the measures that enter a mean.
    audits : list of tuple
        Each run, with its counts of included and excluded questions.
    logs : list of Log
    checkpoints : list of Checkpoint
        Of models as they were after an epoch.
    questions : list of ChangedQuestion
        Of each run the answers that changed most.
    parts : dict of tuple to RunParts
        What changed from the base model, by model, domain, group, seed and scope.
    answers, harmful : int
        All answers of tuned models, and those that turned from right to wrong.
    options : dict of str to dict of str to OptionCounts
        By base model: which options it and its tuned models answered in each domain and scope.
    """

    cells: list[Cell] = field(default_factory=list)
    audits: list[tuple[TunedRun, RunAudit]] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    questions: list[ChangedQuestion] = field(default_factory=list)
    parts: dict[tuple[str, str, str, int | None, str], RunParts] = field(default_factory=dict)
    answers: int = 0
    harmful: int = 0
    options: dict[str, dict[str, OptionCounts]] = field(default_factory=dict)


def write_report(experiment: Experiment, out: str | Path, tell: Tell = silent) -> Path:
    """Measure every run of a finished experiment and write its report.

    Parameters
    ----------
    experiment : Experiment
        Its logs must be in place.
    out : path-like
        The folder to write: `report.json` (docs/report_schema.md), `report.html`, `report.md`, `tables/`, `figures/`
        and `items.parquet`. It appears whole, by renaming; an earlier report there is replaced.
    tell : callable
        Called as the work goes on: see `progress_line`.

    Returns
    -------
    pathlib.Path
        The page: `report.html` in that folder.

    Raises
    ------
    InputError
        If a log is missing or cannot be read, a run shares no question with its base model, or `out` holds something
        that is no report.
    """
    with report_in_place(out) as folder:
        render(experiment, analyse(experiment, folder, tell), folder, tell)
    return Path(out) / "report.html"


@gc_seldom()
def render(experiment: Experiment, read: Analysis, folder: Path, tell: Tell = silent) -> None:
    """Write everything but the items: figures, tables, JSON, Markdown and the page."""
    document = _document(experiment, read, tell)
    plots = grid_plots(document, experiment)
    drawings: dict[str, list[Drawing]] = {section: [] for section in plots}
    several, drawn = sum(map(len, plots.values())), 0
    for section, members in plots.items():
        for plot in members:
            tell("figures drawn", drawn, several)
            drawings[section] += draw_all([plot], folder / "figures")
            drawn += 1
    tell("writing the page and the tables", 0, 1)
    write_files(_report(experiment, document, drawings, read), folder)


@gc_seldom()
def analyse(experiment: Experiment, folder: Path, tell: Tell = silent) -> Analysis:
    """Read and measure every run, one after the other, and write `items.parquet` on the way."""
    read, reader = Analysis(), CellReader(experiment)
    runs = len(list(experiment.runs()))
    most = max(1, questions.MOST // runs)
    counts = _Counts()
    with ItemsWriter(folder / "items.parquet") as items, ItemsWriter(folder / "checkpoints.parquet") as saved:
        for tuned in reader:
            found: list[ChangedQuestion] = []
            for cell in tuned.cells:
                columns = _columns(cell, reader.task_names)
                items.write(_place(cell), columns)
                of_base = (cell.model, cell.domain, BASE, None, cell.scope) not in read.parts
                calibrated, found_parts = with_parts(cell, of_base=of_base)
                read.parts |= {(row.model, row.domain, row.group, row.seed, row.scope): row for row in found_parts}
                read.cells.append(calibrated.keeping([*estimates.KEPT, *CALIBRATED.values()]))
                read.answers += len(cell)
                read.harmful += questions.count_kinds(columns)["harmful"]
                found += _changed_most(tuned, cell, columns, most, len(experiment.models) > 1)
            read.questions += questions.strongest(found)[:most]
            read.options.setdefault(tuned.run.model, {}).update(counts.of(tuned))
            read.audits.append((tuned.run, tuned.audit))
            tell("runs read and measured", len(read.audits), runs)
            for epoch, cells in tuned.checkpoints.items():
                for cell in cells:
                    saved.write(_place(cell) | {"epoch": epoch}, _columns(cell, reader.task_names))
                    read.checkpoints.append(estimates.checkpoint(cell, epoch))
    read.logs = reader.logs
    return read


def _place(cell: Cell) -> dict[str, str | int]:
    return {key: getattr(cell, key) for key in ("model", "domain", "group", "seed", "scope")}


def _columns(cell: Cell, task_names: list[str]) -> Columns:
    return {"task": np.array(task_names, dtype=object)[cell.task], "doc_id": cell.doc_id, **cell.arrays}


class _Counts:
    """Which options the models answered; of a base model once for the runs that share its arrays."""

    def __init__(self) -> None:
        self._of_base: dict[str, tuple[tuple[NDArray[Any], ...], OptionCounts]] = {}

    def of(self, tuned: TunedCells) -> dict[str, OptionCounts]:
        """Which options the base model and the tuned one answered, by scope."""
        run, found = tuned.run, {}
        for cell in tuned.cells:
            for who, column in (
                (f"base 5-shot, {run.domain}", "probs_before"),
                (f"base 0-shot, {run.domain}", "zero_probs_after"),
                (f"{group_title(run.group)}, {run.domain}, seed {run.seed}", "probs_after"),
            ):
                label = f"{run.model}, {who}, {cell.scope.upper()}"
                arrays = cell.task, cell.arrays[column], cell.arrays["gold"]
                known = self._of_base.get(label)
                if known is None or any(one is not other for one, other in zip(known[0], arrays, strict=True)):
                    known = arrays, _count(*arrays)
                if column != "probs_after":
                    self._of_base[label] = known
                found[label] = known[1]
        return found


def _count(task: Integers, probs: Floats, gold: Integers) -> OptionCounts:
    counts = OptionCounts()
    for rows in rows_by_task(task):
        counts.add_task(probs[rows], gold[rows])
    return counts


def _changed_most(tuned: TunedCells, cell: Cell, columns: Columns, most: int, several: bool) -> list[ChangedQuestion]:
    run = tuned.run
    label = f"{run.domain} · {group_title(run.group)} · seed {run.seed}"
    rows = questions.changed_most(columns, most)
    texts = questions.texts_in_logs(columns, tuned.asked.tasks.__getitem__)
    return questions.describe(columns, rows, texts, f"{run.model} · {label}" if several else label, cell.scope)


def _document(experiment: Experiment, read: Analysis, tell: Tell = silent) -> GridReport:
    """The content of `report.json`."""
    tell("estimating each run", 0, 1)
    results = estimates.results(read.cells)
    tell("estimating means over runs", 0, 1)
    means = estimates.means(read.cells, experiment)
    tell("estimating differences between groups", 0, 1)
    differences = contrasts(read.cells, [*results, *means], experiment)
    pairing = origin.grid_pairing(read.audits)
    trained = [origin.training_rows(run) for run in experiment.runs()]
    biases = filter(None, map(strongest_bias, read.options.values()))
    return GridReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        experiment=Grid(
            experiment.name,
            list(experiment.models),
            list(experiment.domains),
            list(experiment.groups),
            list(experiment.seeds),
        ),
        verdict=verdict(differences, [*results, *means], experiment),
        signature=origin.signature(experiment, read.logs, INTERVALS[len(experiment.seeds) == 1]),
        intervals=interval_text(experiment),
        notes=[
            *(bias.to_text() for bias in biases),
            *origin.notes(read.logs, pairing, experiment),
            *origin.undefined_notes(results),
            *origin.check_notes(trained),
            *origin.letter_notes(trained),
        ],
        results=results,
        means=means,
        seed_summary=estimates.seed_summary([*results, *means], experiment),
        contrasts=differences,
        partial_correlations=partial_correlations([*results, *means], experiment),
        checkpoints=read.checkpoints,
        pairing=pairing,
        training_rows=trained,
        parts=list(read.parts.values()),
        calibrated_contrasts=calibrated_contrasts(read.cells, [*results, *means], experiment) if read.parts else [],
        watched=read_watched(experiment),
        logs=read.logs,
        versions=provenance.versions(),
    )


def _report(
    experiment: Experiment, document: GridReport, drawings: Mapping[str, list[Drawing]], read: Analysis
) -> Report:
    models = document.verdict.models
    shown = questions.strongest(read.questions)
    return Report(
        title=f"{experiment.name}: did fine-tuning teach or break?",
        kicker=_kicker(experiment, read),
        leads=tuple((model.lead,) for model in models),
        details=tuple(filter(None, (part for model in models for part in (model.detail, model.scopes)))),
        intervals=document.intervals,
        notes=tuple(document.notes),
        signature=document.signature,
        sections=tuple(_sections(document, drawings)),
        questions=shown,
        questions_note=questions.note(shown, read.answers, read.harmful, len(read.audits)),
        methods=grid_methods(document, _training(experiment)),
        bibtex=bibtex(log.lm_eval_version for log in read.logs),
        document=document,
    )


def _kicker(experiment: Experiment, read: Analysis) -> str:
    counts = {
        "base model": len(experiment.models), "domain": len(experiment.domains),
        "group": len(experiment.groups), "seed": len(experiment.seeds),
    }  # fmt: skip
    size = ", ".join(f"{n} {what}{'s' if n > 1 else ''}" for what, n in counts.items())
    dates = sorted({log.date[:10] for log in read.logs if log.date})
    when = f"evaluated {' to '.join(dict.fromkeys((dates[0], dates[-1])))}" if dates else ""
    return " · ".join(filter(None, (f"Experiment {experiment.name}", size, when)))


def _sections(document: GridReport, drawings: Mapping[str, list[Drawing]]) -> list[Section]:
    pairing = document.pairing
    where = (
        f"{pairing.questions} answers of tuned models entered; {pairing.dropped} could not be paired with the base "
        f"model's, {pairing.not_in_all_three_logs} more are not in all three logs, {len(pairing.absent_tasks)} tasks are "
        "absent.",
        f"Made with {', '.join(f'{name} {version}' for name, version in document.versions.items())}.",
    )
    logs = (
        tables.pairing_table(pairing),
        tables.training_table(document.training_rows),
        *([tables.letters_table(document.training_rows)] if any(row.letters for row in document.training_rows) else []),
        provenance.log_table(document.logs),
    )
    mixes = (
        "The same questions, a growing share of them answered as the base model would: from INCOMPATIBLE (0) to "
        "SELF-ALIGNING (1).",
    )
    sections = [
        Section("provenance", "Where the numbers come from", where, logs),
        Section(
            "groups",
            "What the groups did",
            (),
            (
                tables.means_table(document),
                *drawings["groups"],
                tables.main_table(document),
                *((tables.contrast_table(document),) if document.contrasts else ()),
            ),
        ),
        Section("flips", "Which answers turned", (), tuple(drawings["flips"])),
    ]
    if parts := part_tables(document):
        sections.append(Section("parts", "Letter bias and sharpness", (), parts))
    if drawings["ratios"]:
        sections.append(Section("ratios", "Mixing the two", mixes, tuple(drawings["ratios"])))
    consistency: tuple[Table | Drawing, ...] = (*drawings["consistency"], tables.correlation_table(document))
    told = tuple(dose_text(document.partial_correlations, document.experiment))
    sections.append(Section("consistency", "Does consistency go with accuracy?", told, consistency))
    if drawings["training"]:
        training: tuple[Table | Drawing, ...] = (*drawings["training"], tables.checkpoint_table(document))
        sections.append(Section("training", "How fast it happens", (), training))
    if drawings["watched"]:
        over_training: tuple[Table | Drawing, ...] = (*drawings["watched"], watched_table(document.watched))
        sections.append(Section("over-training", "Over training", (), over_training))
    seeds = (tables.seed_table(document),) if document.seed_summary else ()
    sections.append(Section("runs", "Run by run", (), (*seeds, tables.run_table(document))))
    return sections


def _training(experiment: Experiment) -> list[dict[str, Any]]:
    """The training configs, one for each model and group, as far as the grid's folder still has them."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for run in experiment.runs():
        if (run.model, run.group) in found or not run.config.is_file():
            continue
        config = read_yaml(run.config, "the config that the group was trained with")
        if isinstance(config, dict):
            found[run.model, run.group] = config
    return list(found.values())
