"""Two reports read, their rows matched, and what both hold compared: paired by question where that can be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from consistency.errors import InputError
from consistency.metrics.measures import Measure
from consistency.report.differences.result import Difference, Differences, format_place
from consistency.report.differences.stored import (
    COMPARED,
    DIMENSIONS,
    IDENTITY,
    UNKNOWN,
    Key,
    Result,
    StoredReport,
    read_stored,
)
from consistency.report.grid.cells import Cell, shared_questions
from consistency.report.grid.estimates import Draws, estimate
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import holm, t_test
from consistency.statistics.means import independent_difference, mean
from consistency.support.arrays import Integers


def compare_reports(a: str | Path | StoredReport, b: str | Path | StoredReport) -> Differences:
    """Compare two reports: two seeds, two base models, two releases.

    Where both folders hold `items.parquet` and a row is about the same questions (task, number, hash and right answer),
    the difference is that of the same questions, paired, with tasks, domains and seeds taken as the reports take them.
    Otherwise the two figures are independent samples.

    Parameters
    ----------
    a, b : path-like or StoredReport
        Folders of `consistency report` or `compare --out`.

    Returns
    -------
    Differences

    Raises
    ------
    InputError
        If a folder holds no report, the two are of different kinds, or no row is in both.
    """
    first, second = (item if isinstance(item, StoredReport) else read_stored(item) for item in (a, b))
    if first.kind != second.kind:
        raise InputError(
            f"cannot compare a report of a {second.kind} with one of a {first.kind}",
            expected="two of one kind",
            path=second.folder,
        )
    together = _together(first, second)
    rows = [{_common(row.key, report.kind, together): row for row in report.results} for report in (first, second)]
    shared = [key for key in rows[0] if key in rows[1] and set(rows[0][key].over) == set(rows[1][key].over)]
    unlike = tuple(format_place(_named(key, first.kind)) for key in rows[0] if key in rows[1] and key not in shared)
    only = tuple(
        tuple(format_place(_named(key, first.kind)) for key in one if key not in other)
        for one, other in (rows, reversed(rows))
    )
    if not shared:
        raise InputError(
            f"no result is in both reports: {_first(only[1])} here, {_first(only[0])} in {first.folder}",
            do="compare reports of the same domains, groups and tasks",
            path=second.folder,
        )
    questions = _Questions(first, second)
    found = [
        questions.difference(_named(key, first.kind), one, two, measure)
        for key in shared
        for one, two in [(rows[0][key], rows[1][key])]
        for measure in COMPARED
        if measure in one.figures and measure in two.figures
    ]
    settings = tuple(
        (name, one, second.settings[name])
        for name, one in first.settings.items()
        if name in second.settings and second.settings[name] != one
    )
    return Differences(first, second, tuple(_tested(found)), (only[0], only[1]), unlike, together, settings)


def _first(places: Sequence[str]) -> str:
    return places[0] if places else "nothing else"


def _together(first: StoredReport, second: StoredReport) -> dict[str, tuple[str, str]]:
    """Dimensions in which each report has one value, and not the same."""
    found = {}
    for name in DIMENSIONS[first.kind] if first.kind == "grid" else ():
        one, two = first.values(name), second.values(name)
        if len(one) == len(two) == 1 and one != two:
            found[name] = (one[0], two[0])
    return found


def _common(key: Key, kind: str, together: Mapping[str, tuple[str, str]]) -> Key:
    """A row's key with one value for what is taken together."""
    return tuple(
        " → ".join(together[name]) if name in together else value
        for name, value in zip(DIMENSIONS[kind], key, strict=True)
    )


def _named(key: Key, kind: str) -> dict[str, str]:
    return dict(zip(DIMENSIONS[kind], key, strict=True))


def _tested(found: Sequence[Difference]) -> Iterable[Difference]:
    """With p adjusted over all differences of one level; what is the same in every question is not tested."""
    ps = np.array([math.nan if item.p is None else item.p for item in found])
    adjusted = np.full(len(found), math.nan)
    for level in dict.fromkeys(item.level for item in found):
        members = np.array([item.level == level for item in found])
        adjusted[members] = holm(ps[members])
    for item, p_holm in zip(found, adjusted.tolist(), strict=True):
        yield item if item.p is None else replace(item, p_holm=p_holm)


class _Questions:
    """The questions of both reports, read once."""

    def __init__(self, first: StoredReport, second: StoredReport) -> None:
        codes: dict[str, int] = {}
        self._reports = (first, second)
        one = first.cells(codes)
        self._cells = (one, None if one is None else second.cells(codes))
        # Of the rows that were asked for last: all of them together would be several times the reports.
        self._paired: tuple[tuple[Key, Key], list[tuple[Cell, Cell]], Draws | None] | None = None

    def difference(self, place: Mapping[str, str], one: Result, two: Result, measure: Measure) -> Difference:
        """B less A, paired by question where both hold the same ones."""
        a, b = one.figures[measure], two.figures[measure]
        pairs, draws = self._pairs(one, two)
        paired = bool(pairs) and all(set(measure.columns) <= set(cell.arrays) for pair in pairs for cell in pair)
        if paired:
            found, p = self._mean([_minus(first, second, measure) for first, second in pairs], b, draws)
        else:
            # Of a grid's figure no degrees of freedom are stored: it is taken as normal.
            known = [replace(figure, df=figure.df or math.inf) for figure in (a, b)]
            found = independent_difference(known[0], known[1])
            if not (a.df and b.df) and found.method != "none":
                found = replace(found, method="normal")
            p = t_test(found)
        return Difference(place, one.level, measure, a, b, found, paired, None if found.se == 0 else p)

    def _pairs(self, one: Result, two: Result) -> tuple[list[tuple[Cell, Cell]], Draws | None]:
        """The cells of both rows, over the questions that both hold; none where they are not the same questions.

        Of several cells of a grid also which of their rows are one draw.
        """
        if self._paired is None or self._paired[0] != (one.key, two.key):
            found = self._matched(one, two)
            several = self._reports[0].kind == "grid" and len(found) > 1
            self._paired = (one.key, two.key), found, Draws.of([first for first, _ in found]) if several else None
        return self._paired[1:]

    def _matched(self, one: Result, two: Result) -> list[tuple[Cell, Cell]]:
        held = [
            [] if cells is None else report.members(row.key, cells)
            for report, cells, row in zip(self._reports, self._cells, (one, two), strict=True)
        ]
        if not held[0] or len(held[0]) != len(held[1]):
            return []
        matched = [same_questions(first, second) for first, second in zip(*held, strict=True)]
        return [pair for pair in matched if pair] if all(matched) else []

    def _mean(self, cells: Sequence[Cell], figure: Estimate, draws: Draws | None) -> tuple[Estimate, float | None]:
        """The mean of the cells' differences, and p of "it is 0"."""
        if self._reports[0].kind == "grid":
            over = estimate(cells, lambda cell: np.asarray(cell.arrays["difference"], dtype=np.float64), draws)
            return over.estimate, over.p
        values = np.concatenate([cell.arrays["difference"] for cell in cells])
        # What was sampled in the report; too few tasks gave no interval there.
        sampled = figure.unit in ("cluster", "both") and figure.se is not None
        found = mean(
            values,
            tasks=np.concatenate([cell.task for cell in cells]) if sampled else None,
            clusters=_clusters(cells) if figure.unit in ("question cluster", "both") else None,
        )
        return found, t_test(found)


def _clusters(cells: Sequence[Cell]) -> Integers | None:
    """The cluster of each question, where the first report stored it."""
    stored = [cell.arrays["cluster"] for cell in cells if "cluster" in cell.arrays]
    return np.concatenate(stored) if len(stored) == len(cells) else None


def same_questions(first: Cell, second: Cell) -> tuple[Cell, Cell] | None:
    """Two cells over the questions that both hold; None where these are fewer than half of either's.

    A question is the same if task, number, right answer and, where both reports have it, the document's hash agree.
    """
    rows = shared_questions(first, second)
    agree = np.ones(len(rows[0]), dtype=bool)
    for name in IDENTITY:
        if name in first.arrays and name in second.arrays:
            one, two = first.arrays[name][rows[0]], second.arrays[name][rows[1]]
            agree &= np.asarray((one == two) | (one == UNKNOWN) | (two == UNKNOWN))
    if 2 * agree.sum() < max(len(first), len(second)):
        return None
    if agree.all() and len(agree) == len(first) == len(second) and rows[0] is rows[1]:
        return first, second
    chosen = [_taken(cell, which[agree]) for cell, which in zip((first, second), rows, strict=True)]
    return chosen[0], chosen[1]


def _taken(cell: Cell, rows: Any) -> Cell:
    arrays = {name: values[rows] for name, values in cell.arrays.items()}
    return replace(cell, task=cell.task[rows], doc_id=cell.doc_id[rows], arrays=arrays)


def _minus(first: Cell, second: Cell, measure: Measure) -> Cell:
    """B less A in one measure, over the same questions in the same order."""
    # The difference of two infinite divergences is undefined, and counted as such.
    with np.errstate(invalid="ignore"):
        difference = measure.values(second.arrays) - measure.values(first.arrays)
    kept = {name: first.arrays[name] for name in ("cluster",) if name in first.arrays}
    return replace(first, arrays={"difference": difference, **kept})
