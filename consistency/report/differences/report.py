"""The comparison of two reports as a report of its own."""

from __future__ import annotations

from pathlib import Path

from consistency.errors import InputError
from consistency.report.content import Report, Section, Table
from consistency.report.differences.result import INTERVALS, Difference, Differences, format_place
from consistency.report.folder import report_in_place, write_files

_HEAD = ("result", "measure", "A", "B", "B − A", "p (Holm)", "how")


def differences_content(found: Differences) -> Report:
    """The content of the report.

    Parameters
    ----------
    found : Differences

    Returns
    -------
    Report
        Sections of differences by level, of settings that differ, and of results that only one report holds.
    """
    levels = list(dict.fromkeys(item.level for item in found.differences))
    tables = [
        _table(level, [item for item in found.differences if item.level == level], folded=number > 0)
        for number, level in enumerate(levels)
    ]
    sections = [Section("differences", "What differs", (), tuple(tables))]
    if found.settings:
        rows = tuple(found.settings)
        data = [{"setting": name, "a": one, "b": two} for name, one, two in rows]
        table = Table("settings", "Settings that differ", "", ("setting", "A", "B"), rows, 1, data)
        sections.append(Section("settings", "Settings and versions", (), (table,)))
    alone = [(which, row) for which, rows in zip("AB", found.only, strict=True) for row in rows]
    if alone:
        data = [{"report": which, "result": row} for which, row in alone]
        table = Table("only_in_one", "In one report only", "", ("report", "result"), tuple(alone), 2, data, folded=True)
        sections.append(Section("only-in-one", "What only one report holds", (), (table,)))
    document = found.document()
    return Report(
        title=f"{found.a.folder} and {found.b.folder}",
        kicker=f"Two reports: A is {found.a.folder}, B is {found.b.folder}",
        leads=(found.verdict,),
        details=(),
        intervals=INTERVALS,
        notes=tuple(found.notes),
        signature=document.signature,
        sections=tuple(sections),
        methods=(_methods(found),),
        document=document,
    )


def _methods(found: Differences) -> str:
    paired = sum(item.paired for item in found.differences)
    return (
        f"Of {len(found.differences)} differences between the two reports {paired} were paired by question; the others are "
        "differences of independent means, with Welch's interval where degrees of freedom are known and a normal one "
        "elsewhere. p-values are those of t tests of no difference, adjusted by Holm's procedure over all measures and "
        "results of one level; results that are the same in every question were not tested."
    )


def _table(level: str, items: list[Difference], folded: bool) -> Table:
    rows = tuple((format_place(item.place), item.measure.title, *item.cells()) for item in items)
    data = [item.row() for item in items]
    caption = "Accuracies and shares in percent, their differences in points, KL in nats; p adjusted over this table."
    return Table(f"differences_{level.replace(' ', '_')}", level.capitalize(), caption, _HEAD, rows, 2, data, folded)


def write_differences(found: Differences, out: str | Path) -> Path:
    """Write the folder of a comparison of two reports.

    Parameters
    ----------
    found : Differences
    out : path-like
        The folder to write: `report.html`, `.md` and `.json`, and `tables/`. It appears whole, by renaming; an earlier
        report there is replaced.

    Returns
    -------
    pathlib.Path
        The page in it.

    Raises
    ------
    InputError
        If `out` is one of the two reports, holds something else, or cannot be written.
    """
    if Path(out).resolve() in {report.folder.resolve() for report in (found.a, found.b)}:
        raise InputError("is one of the two reports", expected="a new folder", do="name another one", path=out)
    with report_in_place(out) as folder:
        write_files(differences_content(found), folder)
        (folder / "figures").rmdir()
    return Path(out) / "report.html"
