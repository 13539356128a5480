"""The comparison of two reports as a report of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from consistency.errors import InputError
from consistency.report.content import Drawing, Mark, Report, Section, Span, Table
from consistency.report.differences.result import INTERVALS, JUDGED, Difference, Differences, format_place
from consistency.report.drawings import Look, Plot, Point, draw_all, errorbar, height_of_rows, set_rows
from consistency.report.folder import report_in_place, write_files
from consistency.support.figure_style import BLUE, GREY, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More results than these are drawn by those that differ most.
_MOST_DRAWN = 60
_LOOKS = {
    "B": Look("B is higher", BLUE, "s"),
    "A": Look("A is higher", RED, "D"),
    "": Look("not told apart", GREY, "o"),
}
_HEAD = ("result", "measure", "A", "B", "B − A", "p (Holm)", "how")


def differences_content(found: Differences, folder: Path) -> Report:
    """The content of the report.

    Parameters
    ----------
    found : Differences
    folder : Path
        Where its figures are drawn.

    Returns
    -------
    Report
        Sections of which report is better, of differences by level, of settings that differ, and of results that only one
        report holds.
    """
    levels = list(dict.fromkeys(item.level for item in found.differences))
    tables = [
        _table(level, [item for item in found.differences if item.level == level], folded=number > 0)
        for number, level in enumerate(levels)
    ]
    sections = []
    if judged := sorted(found.judged, key=lambda item: (not item.better, -abs(item.estimate.value or 0.0))):
        drawings: list[Drawing] = draw_all([_plot(judged)], folder / "figures")
        sections.append(Section("better", "Which is better, and where", (), (_better(judged), *drawings)))
    sections.append(Section("differences", "What differs", (), tuple(tables)))
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
        leads=tuple((lead,) for lead in (found.better, found.verdict) if lead),
        details=(),
        intervals=INTERVALS,
        notes=tuple(found.notes),
        signature=document.signature,
        sections=tuple(sections),
        methods=(_methods(found),),
        document=document,
    )


def _better(judged: Sequence[Difference]) -> Table:
    """Each result by the difference in accuracy after, drawn in its row."""
    words = {"A": "A", "B": "B", "": "not told apart"}
    return Table(
        name="better",
        title="Accuracy after, B less A",
        caption="In percent, differences in points with 95 % intervals. Better: the report with the higher accuracy, where the "
        "interval and the test, corrected for all measures and results of one level (Holm), exclude that they are equal.",
        head=("result", "B − A", "better", "A", "B", "p (Holm)", "how"),
        rows=tuple(
            (format_place(item.place), change, words[item.better] if item.state != "same" else "the same", a, b, p, how)
            for item in judged
            for a, b, change, p, how in [item.cells()]
        ),
        labels=1,
        data=[item.row() for item in judged],
        pinned="B − A",
        legend=(Mark("B − A", "●", "blue"),),
        spans=tuple((_span(item),) for item in judged),
        unit="points",
    )


def _span(item: Difference) -> Span | None:
    found = item.estimate.scaled(100)
    return None if found.value is None else Span(found.value, found.ci_low, found.ci_high)


def _plot(judged: Sequence[Difference]) -> Plot:
    shown = sorted(judged[:_MOST_DRAWN], key=lambda item: item.estimate.value or 0.0)

    def draw(axes: Sequence[Axes], _: str) -> None:
        (ax,) = axes
        for better, look in _LOOKS.items():
            points = [
                (float(place), Point.of(item.estimate, JUDGED.name, item.estimate.n))
                for place, item in enumerate(shown)
                if item.better == better
            ]
            errorbar(ax, points, look, across=True, scale=100)
        set_rows(ax, [format_place(item.place) for item in shown], "accuracy after, B less A, points")

    left = len(judged) - len(shown)
    return Plot(
        name="better",
        title="Which is better, and where",
        caption="Right of 0 B has the higher accuracy after, left of it A. 95 % intervals; the signs stand for the test, "
        "corrected for all measures and results of one level (Holm)."
        + (f" The {left} results that differ least surely are left out." if left else ""),
        rows=[item.row() for item in shown],
        panels={"all": ""},
        looks=tuple(_LOOKS.values()),
        heights=(height_of_rows(len(shown)),),
        draw=draw,
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
        The folder to write: `report.html`, `.md` and `.json`, `tables/` and `figures/`. It appears whole, by renaming; an earlier
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
        write_files(differences_content(found, folder), folder)
        if not any((folder / "figures").iterdir()):
            (folder / "figures").rmdir()
    return Path(out) / "report.html"
