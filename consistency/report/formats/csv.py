"""A report's rows as CSV, in full precision."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import to_builtins

from consistency.report.content import Row
from consistency.support.text import visible

# What a spreadsheet takes for the beginning of a formula, also behind blanks and quotes.
_FORMULA = re.compile(r"[\s'\"]*[=+\-@\t\r＝＋－＠]")


def flat(row: Row) -> dict[str, Any]:
    """A row as plain data with one level: the parts of a name joined by underscores, a figure's value without "value".

    Examples
    --------
    >>> flat({"scope": "homo", "tuned": {"kl": {"value": 0.5, "se": 0.1}}})
    {'scope': 'homo', 'tuned_kl': 0.5, 'tuned_kl_se': 0.1}
    """
    out: dict[str, Any] = {}
    for name, value in to_builtins(row).items():
        if isinstance(value, Mapping):
            out |= {name if key == "value" else f"{name}_{key}": inner for key, inner in flat(value).items()}
        else:
            out[name] = "; ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return out


def write_csv(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as CSV, floats with every digit, None as an empty field; texts as `cell` has them; no file without rows."""
    if not rows:
        return
    lines = [{cell(name): cell(value) for name, value in flat(row).items()} for row in rows]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def cell(value: Any) -> Any:
    r"""A value as a field of CSV: text in which everything can be seen, and which no spreadsheet takes for a formula.

    Numbers stay as they are, also those in a text.

    Examples
    --------
    >>> cell(-0.5), cell("-0.5"), cell("=1+1"), cell("a\x1b")
    (-0.5, '-0.5', "'=1+1", 'a\\x1b')
    """
    if not isinstance(value, str):
        return value
    if _FORMULA.match(value):
        try:
            float(value)
        except ValueError:
            value = f"'{value}"
    return visible(value)
