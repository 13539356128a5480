"""Write the table of all measures into docs/methods.md, between two comments: `python scripts/build_measures.py`."""

from __future__ import annotations

import math
from pathlib import Path

from consistency.metrics.measures import MEASURES, Measure

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "methods.md"
BEGIN, END = "<!-- measures: begin -->\n", "<!-- measures: end -->\n"
HEAD = ("name", "title", "unit", "range", "a larger value", "estimated as", "tasks without options")
LARGER = {
    "better": "the second run is better",
    "worse": "the second run is worse",
    "more alike": "the runs are more alike",
    "further apart": "the runs are further apart",
    "neither": "–",
}
BOUNDS = {-math.inf: "−∞", math.inf: "∞", math.log(2): "ln 2"}


def table() -> str:
    """The table in Markdown, a row for each measure of the registry."""
    rows = [HEAD, ("---",) * len(HEAD), *map(_cells, MEASURES)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(text: str) -> str:
    """The document with this table in place of what stands between the two comments."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def _cells(measure: Measure) -> tuple[str, ...]:
    low, high = (BOUNDS.get(bound, f"{bound:g}".replace("-", "−")) for bound in measure.bounds)
    return (
        f"`{measure.name}`",
        measure.title,
        measure.unit or "–",
        f"{low} … {high}",
        LARGER[measure.direction],
        measure.estimator,
        "–" if measure.needs_options else "yes",
    )


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
