"""What differs between two reports, and how it is printed: a sentence, a table, JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from msgspec import structs

from consistency.metrics.measures import MEASURE, Measure
from consistency.report.differences.document import ComparedReport, DifferenceRow, DifferencesReport, Setting
from consistency.report.differences.stored import StoredReport
from consistency.report.document import Verdict
from consistency.report.formats.numbers import formatted
from consistency.report.provenance import versions
from consistency.statistics.estimates import Estimate
from consistency.support.text import joined, p_value, padded, visible, width

LEVEL = 0.05
MOST_ROWS = 40
# By which reports are better or worse.
JUDGED = MEASURE["accuracy_after"]
_MOST_NAMED = 3
INTERVALS = (
    "95 % intervals of the difference, B less A. Where both reports hold the same questions the difference is paired by "
    "question; elsewhere the two figures are taken as independent samples."
)


@dataclass(frozen=True)
class Difference:
    """One measure of one row that both reports hold, B less A.

    Attributes
    ----------
    place : dict of str to str
        Which row, by dimension.
    level : str
        What the row is a mean over.
    measure : Measure
    a, b : Estimate
        The two figures.
    estimate : Estimate
        Of the difference.
    paired : bool
        Whether it is over the same questions; otherwise of two independent samples.
    p, p_holm : float or None
        Of no difference; adjusted over all differences of the level. None where nothing can be tested.
    """

    place: Mapping[str, str]
    level: str
    measure: Measure
    a: Estimate
    b: Estimate
    estimate: Estimate
    paired: bool
    p: float | None = None
    p_holm: float | None = None

    @property
    def state(self) -> Literal["differs", "unclear", "same", "unknown"]:
        """Whether interval and adjusted test exclude 0; "same": every question has the same value."""
        found = self.estimate
        if found.value == 0 and found.se == 0:
            return "same"
        if found.ci_low is None or found.ci_high is None or self.p_holm is None:
            return "unknown"
        return "differs" if self.p_holm < LEVEL and not found.ci_low <= 0 <= found.ci_high else "unclear"

    def row(self) -> DifferenceRow:
        """The row of `report.json`."""
        row = DifferenceRow(
            a=self.a,
            b=self.b,
            difference=self.estimate,
            measure=self.measure.name,
            level=self.level,
            paired=self.paired,
            p=self.p,
            p_holm=self.p_holm,
            state=self.state,
        )
        return structs.replace(row, **self.place)

    def cells(self) -> tuple[str, ...]:
        """Both values, the difference with its interval, p and how it was made, as a table shows them."""
        measure = self.measure
        # Two reports may be alike: what is not in per cent is shown with at least three decimals.
        digits = measure.digits if measure.scale > 1 else max(3, measure.digits)
        return (
            formatted(self.a, measure, interval=False, digits=digits),
            formatted(self.b, measure, interval=False, digits=digits),
            formatted(self.estimate, measure, sign=True, digits=digits),
            p_value(self.p_holm),
            "paired" if self.paired else "two samples",
        )

    @property
    def better(self) -> Literal["A", "B", ""]:
        """Which report has the larger value beyond chance; empty where none has."""
        if self.state != "differs":
            return ""
        return "B" if (self.estimate.value or 0.0) > 0 else "A"

    @property
    def how(self) -> str:
        """How the difference was made."""
        interval = "Welch" if self.estimate.method == "welch" else "normal"
        return "paired by question" if self.paired else f"two samples, {interval} interval"


@dataclass(frozen=True)
class Differences:
    """Two reports compared.

    Attributes
    ----------
    a, b : StoredReport
    differences : tuple of Difference
        The widest means first.
    only : tuple of (tuple of str, tuple of str)
        Rows that only A and only B hold.
    unlike : tuple of str
        Means that A and B take over different domains or tasks, and that are not compared.
    taken_together : dict of str to (str, str)
        Dimensions in which each report has one value of its own, such as the seed: A's and B's.
    settings : tuple of (str, str, str)
        Settings and versions that differ: name, A's and B's.
    """

    a: StoredReport
    b: StoredReport
    differences: tuple[Difference, ...]
    only: tuple[tuple[str, ...], tuple[str, ...]]
    unlike: tuple[str, ...]
    taken_together: Mapping[str, tuple[str, str]]
    settings: tuple[tuple[str, str, str], ...]

    @property
    def judged(self) -> tuple[Difference, ...]:
        """The differences that say which report is better: of accuracy after, where it has an interval or is the same."""
        return tuple(item for item in self.differences if item.measure is JUDGED and item.state != "unknown")

    @property
    def better(self) -> str:
        """Which report is better in accuracy after, and where; empty where no accuracy can be compared, or all are the same."""
        judged = self.judged
        higher = {which: [item for item in judged if item.better == which] for which in "BA"}
        if all(item.state == "same" for item in judged):
            return ""
        if not any(higher.values()):
            most = max(judged, key=lambda item: abs(item.estimate.value or 0.0))
            return (
                f"Neither report is shown to be better: in none of {len(judged)} results does {JUDGED.title} differ beyond "
                f"chance; the largest difference is that of {_difference(most)}."
            )
        found = [
            f"{which} has the higher {JUDGED.title} in {len(items)} of {len(judged)} results ({_listed(items)})"
            for which, items in higher.items()
            if items
        ]
        first = "Neither report is better throughout" if all(higher.values()) else f"Report {found[0][0]} is better"
        before = [
            item for item in self.differences if item.measure.name == "accuracy_before" and item.state == "differs"
        ]
        already = f"; before, accuracy differed already in {len(before)} results" if before else ""
        return f"{first}: {'; '.join(found)}{already}."

    @property
    def verdict(self) -> str:
        """One sentence: how many results differ beyond chance, and which most."""
        tested = [item for item in self.differences if item.state in ("differs", "unclear")]
        differing = [item for item in tested if item.state == "differs"]
        same = sum(item.state == "same" for item in self.differences)
        also = f"; {same} more are the same question by question" if same else ""
        if self.a.document == self.b.document:
            return f"A and B are one report: nothing differs in its {len(self.differences)} results."
        if not tested:
            if same:
                return (
                    f"The reports hold the same results: all {same} that can be compared are equal in every question."
                )
            return "No verdict: the reports hold no intervals that could be compared."
        if not differing:
            return (
                f"None of {len(tested)} results that both reports hold differs beyond chance "
                f"(5 %, corrected by Holm){also}."
            )
        most = max(differing, key=lambda item: abs(item.estimate.value or 0.0) / (item.estimate.se or math.inf))
        one, two, difference, *_ = most.cells()
        verb = "differs" if len(differing) == 1 else "differ"
        return (
            f"{len(differing)} of {len(tested)} results that both reports hold {verb} beyond chance (5 %, corrected by "
            f"Holm){also}; most surely {most.measure.title} of {format_place(most.place)}: {one} → {two}, difference "
            f"{difference}."
        )

    @property
    def notes(self) -> list[str]:
        """How the rows were matched, and what a reader must know of the tests."""
        lines = [f"{name} {one} of A goes with {name} {two} of B" for name, (one, two) in self.taken_together.items()]
        how = Counter(item.how for item in self.differences)
        lines += [f"{count} differences: {name}" for name, count in how.items()]
        if not all(item.paired for item in self.differences):
            lines.append(
                "two samples take the questions of A and B as different ones; where they are the same, and items.parquet "
                "is missing or their hashes differ, such an interval is as a rule too wide"
            )
        for title in dict.fromkeys(item.measure.title for item in self.differences):
            most = max(item.estimate.undefined for item in self.differences if item.measure.title == title)
            if most:
                lines.append(
                    f"{title} has no finite difference for up to {most} questions of a result: they do not enter"
                )
        for which, rows in zip("AB", self.only, strict=True):
            if rows:
                more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
                lines.append(f"only in {which}: {len(rows)} results ({'; '.join(rows[:5])}{more})")
        if self.unlike:
            lines.append(f"not compared, as A and B average over others: {'; '.join(self.unlike)}")
        if "seed" in self.taken_together:
            lines.append(
                "one seed against one seed: the intervals contain the sampling of questions, not what a further seed "
                "would change"
            )
        return lines

    def document(self) -> DifferencesReport:
        """The content of `report.json`."""
        return DifferencesReport(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            signature=f"A:{self.a.document.signature} B:{self.b.document.signature}",
            intervals=INTERVALS,
            verdict=Verdict(self.verdict),
            a=ComparedReport(str(self.a.folder), self.a.document.signature),
            b=ComparedReport(str(self.b.folder), self.b.document.signature),
            notes=self.notes,
            settings=[Setting(*setting) for setting in self.settings],
            differences=[item.row() for item in self.differences],
            only_in_a=list(self.only[0]),
            only_in_b=list(self.only[1]),
            averaged_over_others=list(self.unlike),
            versions=versions(),
        )

    def shown(self) -> list[Difference]:
        """What a short table holds: the widest means, then what differs elsewhere; nothing that is the same."""
        first = self.differences[0].level
        return [
            item
            for item in self.differences
            if item.state == "differs" or (item.level == first and item.state != "same")
        ]

    def to_text(self) -> str:
        """Verdict, notes, differing settings and the table of differences for a terminal."""
        shown = self.shown()
        head = ("result", "measure", "A", "B", "B − A", "p (Holm)", "how")
        rows = [(visible(format_place(item.place)), item.measure.title, *item.cells()) for item in shown[:MOST_ROWS]]
        widths = [max(width(row[column]) for row in [head, *rows]) for column in range(len(head))]
        lines = [
            "  ".join(
                padded(cell, columns, right=2 <= column < 6)
                for column, (cell, columns) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in [head, *rows]
        ]
        rest = len(self.differences) - len(rows)
        if rest:
            lines.append(f"{rest} more differences: --out writes all of them")
        different = [f"{name}: {one} → {two}" for name, one, two in self.settings]
        return joined(
            [
                f"A: {self.a.folder}",
                f"B: {self.b.folder}",
                *self.notes,
                "",
                *lines,
                "",
                *(["settings that differ:", *(f"  {line}" for line in different), ""] if different else []),
                *filter(None, [self.better]),
                self.verdict,
            ]
        )


def _difference(item: Difference) -> str:
    """The place of a difference, and how large it is."""
    return f"{format_place(item.place)}, {item.cells()[2]} points"


def _listed(items: Sequence[Difference]) -> str:
    """The widest means, then the largest differences, each with its interval."""
    levels = list(dict.fromkeys(item.level for item in items))
    largest = sorted(items, key=lambda item: (levels.index(item.level), -abs(item.estimate.value or 0.0)))
    more = f"; {len(items) - _MOST_NAMED} more" if len(items) > _MOST_NAMED else ""
    return "; ".join(map(_difference, largest[:_MOST_NAMED])) + more


def format_place(place: Mapping[str, str]) -> str:
    """The name of a row, for readers.

    Examples
    --------
    >>> format_place({"model": "llama", "seed": "0"})
    'llama · seed 0'
    """
    return " · ".join(f"seed {value}" if name == "seed" else value for name, value in place.items())
