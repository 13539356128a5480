"""Whether two runs of one experiment, such as on a CPU and on a GPU, agree: order of the groups, and intervals.

    python scripts/same_conclusions.py CPU/report GPU/report > cpu_and_gpu.md

Reads ``tables/means.csv`` of two reports; figures are means over domains and seeds.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from published_claims import SCOPES, parse, table

from consistency.report.grid.verdict import group_title

# A column of the table, its name, and what its figures are multiplied by.
MEASURES = {"tuned_accuracy": ("accuracy, points", 100.0, 1), "tuned_spearman": ("Spearman ρ", 1.0, 3)}
Row = Mapping[str, str]


def read(report: Path) -> dict[tuple[str, str], Row]:
    """Rows by group and scope: means over the domains and seeds, or the row of the only domain and seed."""
    with (report / "tables" / "means.csv").open(encoding="utf-8", newline="") as stream:
        # Up to version 2 of the report, Spearman's rho was called rank_pearson.
        rows = [{key.replace("rank_pearson", "spearman"): row[key] for key in row} for row in csv.DictReader(stream)]
    for key, whole in (("domain", "mean"), ("seed", "")):
        found = {row[key] for row in rows}
        if len(found) > 1:
            rows = [row for row in rows if row[key] == whole]
    return {(row["group"], row["scope"]): row for row in rows}


def conclusions(first: Mapping[tuple[str, str], Row], second: Mapping[tuple[str, str], Row]) -> Iterator[Sequence[str]]:
    """A line for each measure and scope: whether the groups are in the same order, and how far apart the figures are.

    Parameters
    ----------
    first, second : mapping
        As `read` returns them; the same groups and scopes.

    Yields
    ------
    sequence of str
        Measure, scope, order, largest difference, and how many figures of `second` are inside the interval of `first`.
    """
    if first.keys() != second.keys():
        sys.exit(f"not the same experiment: {sorted(first.keys() ^ second.keys())} are in one of the two")
    groups = list(dict.fromkeys(group for group, _ in first))
    for column, (name, scale, digits) in MEASURES.items():
        for scope in SCOPES:
            a, b = ({group: float(rows[group, scope][column]) for group in groups} for rows in (first, second))
            swapped = [
                f"{group_title(one)} − {group_title(other)}: {signed(scale * (a[one] - a[other]), digits)} and "
                f"{signed(scale * (b[one] - b[other]), digits)}"
                for one, other in combinations(groups, 2)
                if (a[one] - a[other]) * (b[one] - b[other]) < 0
            ]
            furthest = max(groups, key=lambda group: abs(b[group] - a[group]))
            inside = sum(
                float(first[group, scope][f"{column}_ci_low"])
                <= b[group]
                <= float(first[group, scope][f"{column}_ci_high"])
                for group in groups
            )
            yield (
                name,
                scope.upper(),
                "the same" if not swapped else "but " + "; ".join(swapped),
                f"{group_title(furthest)} {signed(scale * (b[furthest] - a[furthest]), digits)}",
                f"{inside} of {len(groups)}",
            )


def signed(value: float, digits: int) -> str:
    """A number with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def main() -> None:
    """Print the table."""
    first, second = parse(__doc__, "tables/means.csv", "first", "second")
    head = ("measure", "scope", "order of the groups", "largest difference", "inside the first's 95 % interval")
    print(table(head, conclusions(read(first), read(second))))


if __name__ == "__main__":
    main()
