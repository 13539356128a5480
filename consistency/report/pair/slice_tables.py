"""The tables of a comparison's slices, one for each field that was asked for."""

from __future__ import annotations

from consistency.comparison.result import Comparison
from consistency.metrics.measures import MEASURE
from consistency.report.content import Table
from consistency.report.formats.numbers import DASH, formatted
from consistency.support.text import p_value


def slice_tables(comparison: Comparison) -> tuple[Table, ...]:
    """A table for each field, the largest change first: accuracy, its change alone and shrunk, flips, adjusted p."""
    before, after, change = (MEASURE[name] for name in ("accuracy_before", "accuracy_after", "delta_accuracy"))
    tables = []
    for number, (field, found) in enumerate(comparison.slices.items(), 1):
        rows = [
            (
                item.name,
                str(item.n),
                formatted(item.accuracy_before, before),
                formatted(item.accuracy_after, after),
                formatted(item.delta_accuracy, change),
                formatted(item.shrunk, change),
                *((str(item.flips[kind]) for kind in ("harmful", "beneficial")) if item.flips else (DASH, DASH)),
                p_value(item.p_holm),
            )
            for item in found.largest()
        ]
        tables.append(
            Table(
                # A field's name is no name of a file.
                name=f"slices-{number}",
                title=f"By {field}",
                caption=f"In brackets: 95 % intervals; {found.shrinkage}; {found.correction}.",
                head=(
                    *(field, "questions", before.heading, after.heading, change.heading, f"{change.heading}, shrunk"),
                    *(MEASURE[f"{kind}_flips"].title for kind in ("harmful", "beneficial")),
                    "p (Holm)",
                ),
                rows=tuple(rows),
                labels=1,
                data=[{"by": field, "slice": item.name, **item.to_dict()} for item in found.largest()],
            )
        )
    return tuple(tables)
