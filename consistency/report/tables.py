"""A report's rows as files: CSV tables in full precision, and one Parquet row per question and run."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from consistency.report.cells import Cell


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with one level: the parts of a name joined by underscores, a figure's value without "value".

    Examples
    --------
    >>> flat({"scope": "homo", "tuned": {"kl": {"value": 0.5, "se": 0.1}}})
    {'scope': 'homo', 'tuned_kl': 0.5, 'tuned_kl_se': 0.1}
    """
    out: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            out |= {name if key == "value" else f"{name}_{key}": inner for key, inner in flat(value).items()}
        else:
            out[name] = value
    return out


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, floats with every digit, None as an empty field; no file without rows."""
    if not rows:
        return
    lines = [flat(row) for row in rows]
    columns = list(dict.fromkeys(name for line in lines for name in line))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


class ItemsWriter:
    """Writes `items.parquet` run by run, so that a grid never stands in memory whole.

    Parameters
    ----------
    path : Path
    task_names : list of str
        Names by a cell's task number; may grow while cells are written.
    """

    def __init__(self, path: Path, task_names: list[str]) -> None:
        self._path = path
        self._task_names = task_names
        self._writer: Any = None

    def __enter__(self) -> ItemsWriter:
        return self

    def write(self, cell: Cell) -> None:
        """Append the questions of a cell."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        n = len(cell)

        def constant(value: str) -> Any:
            return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, dtype=np.int32)), pa.array([value]))

        names = np.array(self._task_names, dtype=object)
        columns = {key: constant(getattr(cell, key)) for key in ("model", "domain", "group")}
        columns["seed"] = pa.array(np.full(n, cell.seed, dtype=np.int64))
        columns["scope"] = constant(cell.scope)
        columns["task"] = pa.array(names[cell.task], type=pa.string()).dictionary_encode()
        columns["doc_id"] = pa.array(cell.doc_id)
        columns |= {key: pa.array(values) for key, values in cell.arrays.items()}
        table = pa.table(columns)
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.close()
