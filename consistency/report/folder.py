"""A report as a folder of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from consistency.report import schema
from consistency.report.content import Gate, Report, Section
from consistency.report.formats.csv import write_csv
from consistency.report.formats.html import html
from consistency.report.formats.latex import latex
from consistency.report.formats.markdown import markdown
from consistency.support.files import Outputs
from consistency.support.json_files import pretty_json
from consistency.support.memory import gc_disabled


def begin_report(out: str | Path, outputs: Outputs) -> Path:
    """A folder to fill with a report; it appears whole, by renaming, with the other outputs.

    Parameters
    ----------
    out : path-like
        Where it appears. An earlier report there is replaced.
    outputs : Outputs

    Returns
    -------
    pathlib.Path
        The folder, with empty folders `tables` and `figures`.

    Raises
    ------
    InputError
        If `out` holds something that is no report, or cannot be written.
    """
    folder = outputs.folder(Path(out), "report.json")
    for name in ("tables", "figures"):
        (folder / name).mkdir()
    return folder


@contextmanager
def report_in_place(out: str | Path) -> Iterator[Path]:
    """A folder to fill with a report, which appears at the end: see `begin_report`."""
    with Outputs() as outputs:
        yield begin_report(out, outputs)


@dataclass(frozen=True)
class DraftedReport:
    """A report whose figures and items are written, and whose tables, JSON and pages are not."""

    folder: Path
    report: Report

    def write(
        self,
        gate: Gate | None = None,
        decided: Mapping[str, Any] | None = None,
        *,
        further: Sequence[Section] = (),
        single_file: bool = False,
    ) -> None:
        """Write the rest: see `write_files`.

        Parameters
        ----------
        gate : Gate, optional
            What a gate decided.
        decided : mapping, optional
            The same as plain data, for `gate.json`.
        further : sequence of Section
            Sections that come behind the first.
        single_file : bool
            As of `write_files`.
        """
        if decided:
            (self.folder / "gate.json").write_text(pretty_json(decided), encoding="utf-8")
        sections = self.report.sections
        with gc_disabled():
            write_files(
                replace(self.report, gate=gate, sections=(*sections[:1], *further, *sections[1:])),
                self.folder,
                single_file=single_file,
            )


def draft_report(content: Callable[[Path], Report], out: str | Path, outputs: Outputs) -> DraftedReport:
    """Draw a report into a folder that takes its place with other outputs.

    Parameters
    ----------
    content : callable
        Draws the report's figures into a folder, and returns the rest.
    out, outputs
        As of `begin_report`.

    Raises
    ------
    InputError
        As `begin_report` does.
    """
    folder = begin_report(out, outputs)
    # A few figures, whose objects end with the command; a grid's would add up.
    with gc_disabled():
        return DraftedReport(folder, content(folder))


def write_folder(content: Callable[[Path], Report], out: str | Path, *, single_file: bool = False) -> Path:
    """Write the folder of a report, and return its page; parameters and errors as of `draft_report` and `write_files`."""
    with Outputs() as outputs:
        draft_report(content, out, outputs).write(single_file=single_file)
    return Path(out) / "report.html"


def write_files(report: Report, folder: Path, *, single_file: bool = False) -> None:
    """Write the content of a report: `report.json`, `.html`, `.md`, its text, and each table as `.csv` and `.tex`.

    Its figures and `items.parquet` are written where they are made.

    Parameters
    ----------
    report : Report
    folder : Path
    single_file : bool
        Whether the page holds the other files, but for `items.parquet`, so that it can be sent alone.
    """
    schema.check(report.document)
    if report.text:
        (folder / "comparison.txt").write_text(report.text + "\n", encoding="utf-8")
    (folder / "report.json").write_text(pretty_json(report.document), encoding="utf-8")
    for table in report.tables:
        write_csv(folder / "tables" / f"{table.name}.csv", table.data)
        (folder / "tables" / f"{table.name}.tex").write_text(latex(table), encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    downloads = {}
    if single_file:
        found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".parquet")
        downloads = {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}
    (folder / "report.html").write_text(html(report, downloads), encoding="utf-8")
