"""The comparison of two reports as a report of its own."""

from __future__ import annotations

from pathlib import Path

import msgspec

from consistency.files import folder_in_place
from consistency.report.content import Report, Section, Table
from consistency.report.differences import Between, Difference, told_place
from consistency.report.github import plain
from consistency.report.tables import write_csv

_HEAD = ("result", "measure", "A", "B", "B − A", "p (Holm)", "estimator")
_INTERVALS = (
    "95 % intervals of the difference, B less A. Where both reports hold the same questions the difference is paired by "
    "question; elsewhere the two figures are taken as independent samples."
)


def between_content(found: Between) -> Report:
    """What the report of a comparison says.

    Parameters
    ----------
    found : Between

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
    sections = [Section("differences", "What differs", (_INTERVALS,), tuple(tables))]
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
    signatures = [str(report.document["signature"]) for report in (found.a, found.b)]
    return Report(
        title=f"{found.a.folder.name} and {found.b.folder.name}",
        kicker=f"Two reports: A is {found.a.folder}, B is {found.b.folder}",
        leads=(found.verdict,),
        details=(),
        intervals=_INTERVALS,
        notes=tuple(found.notes),
        signature=f"A:{signatures[0]} B:{signatures[1]}",
        sections=tuple(sections),
        document=found.to_dict(),
    )


def _table(level: str, items: list[Difference], folded: bool) -> Table:
    rows = tuple((told_place(item.place), item.measure.title, *item.cells()) for item in items)
    data = [item.to_dict() for item in items]
    caption = "Accuracies and shares in percent, their differences in points, KL in nats; p adjusted over this table."
    return Table(f"differences_{level.replace(' ', '_')}", level.capitalize(), caption, _HEAD, rows, 2, data, folded)


def write_between(found: Between, out: str | Path) -> Path:
    """Write the folder of a comparison of two reports.

    Parameters
    ----------
    found : Between
    out : path-like
        The folder to write: `report.json`, `report.md` and `tables/`. It appears whole, by renaming; an earlier report
        there is replaced.

    Returns
    -------
    pathlib.Path
        `report.json`.

    Raises
    ------
    InputError
        If `out` holds something else, or cannot be written.
    """
    out, report = Path(out), between_content(found)
    with folder_in_place(out, "report.json") as folder:
        (folder / "tables").mkdir()
        text = msgspec.json.format(msgspec.json.encode(report.document), indent=1).decode()
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")
        (folder / "report.md").write_text(_markdown(report), encoding="utf-8")
        for table in _tables(report):
            write_csv(folder / "tables" / f"{table.name}.csv", table.data)
    return out / "report.json"


def _tables(report: Report) -> list[Table]:
    return [block for section in report.sections for block in section.blocks if isinstance(block, Table)]


def _markdown(report: Report) -> str:
    lines = [f"# {plain(report.title)}", "", *(plain(lead) for lead in report.leads), ""]
    lines += [*(f"- {plain(note)}" for note in report.notes), "", report.intervals]
    for table in _tables(report):
        lines += ["", f"## {table.title}", "", *([table.caption, ""] if table.caption else [])]
        lines += [f"| {' | '.join(table.head)} |", "|---" * len(table.head) + "|"]
        lines += [f"| {' | '.join(map(plain, row))} |" for row in table.rows]
    return "\n".join([*lines, "", f"    {report.signature}", ""])
