"""A report as a folder of files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consistency.report import schema
from consistency.report.content import Report, Table
from consistency.report.formats.csv import write_csv
from consistency.report.formats.html import html
from consistency.report.formats.latex import latex
from consistency.report.formats.markdown import markdown
from consistency.support.files import folder_in_place
from consistency.support.json_files import pretty_json


@contextmanager
def report_in_place(out: str | Path) -> Iterator[Path]:
    """A folder to fill with a report; it appears whole, by renaming.

    Parameters
    ----------
    out : path-like
        Where it appears. An earlier report there is replaced.

    Yields
    ------
    pathlib.Path
        The folder, with empty folders `tables` and `figures`.

    Raises
    ------
    InputError
        If `out` holds something that is no report, or cannot be written.
    """
    with folder_in_place(Path(out), "report.json") as folder:
        for name in ("tables", "figures"):
            (folder / name).mkdir()
        yield folder


def write_files(report: Report, folder: Path) -> None:
    """Write the content of a report: `report.json`, `.html`, `.md`, and each table as `.csv` and `.tex`.

    Its figures and `items.parquet` are written where they are made.
    """
    schema.check(report.document)
    (folder / "report.json").write_text(pretty_json(report.document), encoding="utf-8")
    for table in (block for section in report.sections for block in section.blocks if isinstance(block, Table)):
        write_csv(folder / "tables" / f"{table.name}.csv", table.data)
        (folder / "tables" / f"{table.name}.tex").write_text(latex(table), encoding="utf-8")
    (folder / "report.md").write_text(markdown(report), encoding="utf-8")
    (folder / "report.html").write_text(html(report), encoding="utf-8")
