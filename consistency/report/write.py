"""An experiment's logs in, a folder with its report out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from consistency.experiment import Experiment
from consistency.files import folder_in_place
from consistency.report import estimates, page, provenance
from consistency.report.cells import Cell, CellReader, RunAudit
from consistency.report.figures import Drawing, draw_figures
from consistency.report.tables import ItemsWriter, write_csv
from consistency.report.verdict import interval_text, verdict

SCHEMA_VERSION = 1
INTERVAL = "stratified-t-95"
TABLES = ("results", "means", "seed_summary", "contrasts", "partial_correlations")


@dataclass(frozen=True)
class _Read:
    cells: list[Cell]
    audits: list[tuple[Any, RunAudit]]
    logs: list[provenance.LogRecord]


def write_report(experiment: Experiment, out: str | Path) -> Path:
    """Measure every run of a finished experiment and write its report.

    Parameters
    ----------
    experiment : Experiment
        Its logs must be in place.
    out : path-like
        The folder to write: `report.json` (docs/report_schema.md), `report.html`, `report.md`, `tables/`, `figures/`
        and `items.parquet`. It appears whole, by renaming; an earlier report there is replaced.

    Returns
    -------
    pathlib.Path
        `report.html`.

    Raises
    ------
    InputError
        If a log is missing or cannot be read, a run shares no question with its base model, or `out` holds something
        that is no report.
    """
    out = Path(out)
    with folder_in_place(out, "report.json") as folder:
        _fill(folder, experiment)
    return out / "report.html"


def _fill(folder: Path, experiment: Experiment) -> None:
    for name in ("tables", "figures"):
        (folder / name).mkdir()
    read = _read(experiment, folder / "items.parquet")
    document = _document(experiment, read)
    for name in TABLES:
        write_csv(folder / "tables" / f"{name}.csv", document[name])
    drawings: list[Drawing] = draw_figures(document["results"], document["means"], experiment, folder / "figures")
    text = msgspec.json.format(msgspec.json.encode(document), indent=1).decode()
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")
    (folder / "report.md").write_text(page.markdown(document), encoding="utf-8")
    (folder / "report.html").write_text(page.html(document, drawings), encoding="utf-8")


def _read(experiment: Experiment, items: Path) -> _Read:
    cells, audits = [], []
    reader = CellReader(experiment)
    with ItemsWriter(items, reader.task_names) as writer:
        for tuned in reader:
            for cell in tuned.cells:
                writer.write(cell)
                cells.append(cell.keeping(estimates.KEPT))
            audits.append((tuned.run, tuned.audit))
    return _Read(cells, audits, reader.logs)


def _document(experiment: Experiment, read: _Read) -> dict[str, Any]:
    """The content of `report.json`."""
    results = estimates.results(read.cells)
    means = estimates.means(read.cells, experiment)
    contrasts = estimates.contrasts(read.cells, [*results, *means], experiment)
    audit = provenance.pairing_audit(read.audits)
    return {
        "schema_version": SCHEMA_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "experiment": {
            "name": experiment.name,
            "models": experiment.models,
            "domains": experiment.domains,
            "groups": experiment.groups,
            "seeds": experiment.seeds,
        },
        "verdict": verdict(contrasts, [*results, *means], experiment),
        "signature": provenance.signature(experiment, read.logs, INTERVAL),
        "intervals": interval_text(experiment),
        "notes": [*provenance.notes(read.logs, audit), *provenance.undefined_notes(results)],
        "results": results,
        "means": means,
        "seed_summary": estimates.seed_summary([*results, *means], experiment),
        "contrasts": contrasts,
        "partial_correlations": estimates.partial_correlations([*results, *means], experiment),
        "pairing": audit,
        "training_rows": [provenance.training_rows(run) for run in experiment.runs()],
        "logs": [log.to_dict() for log in read.logs],
        "versions": provenance.versions(),
    }
