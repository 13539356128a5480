"""`items.parquet`: one row per question and run, what every figure of a report is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]
# Indices of options, -1 where there is none.
INDICES = ("gold", "prediction_before", "prediction_after", "zero_prediction_after")
# Columns of which few values occur twice.
TEXTS = ("doc_hash", "question", "options", "text_before", "text_after")
# Of a table that is made at once, and of a row group.
_MOST_ROWS = 1 << 17
# Where texts are read while they are written.
_MOST_TEXTS = 1 << 15


class ItemsWriter:
    """Writes `items.parquet` piece by piece, so that a grid is never held in memory at once.

    Parameters
    ----------
    path : Path
        The file; none appears if nothing is written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None
        self._stack = ExitStack()

    def __enter__(self) -> ItemsWriter:
        return self

    def write(self, constants: Mapping[str, str | int], columns: Columns) -> None:
        """Append questions.

        Parameters
        ----------
        constants : dict of str to str or int
            What is the same for all of them, such as the run.
        columns : dict of str to ndarray
            One row per question: numbers, texts or tuples of texts (of dtype object, an empty one is null), or an array
            of shape [n, k], NaN-padded, which becomes a column of lists. Each piece has the columns of the first.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = len(next(iter(columns.values())))
        most = _MOST_ROWS if all(isinstance(values, np.ndarray) for values in columns.values()) else _MOST_TEXTS
        for start in range(0, max(rows, 1), most):
            n = min(rows - start, most)
            fields = {name: _constant(value, n) for name, value in constants.items()}
            fields |= {name: _column(name, values[start : start + n]) for name, values in columns.items()}
            table = pa.table(fields)
            if self._writer is None:
                # A fifth smaller than by default, and written faster.
                continuous = [name for name, values in columns.items() if _continuous(values)]
                # Opened here, since Arrow takes no path that is not UTF-8.
                file = self._stack.enter_context(self._path.open("wb"))
                self._writer = pq.ParquetWriter(
                    file,
                    table.schema,
                    compression="zstd",
                    # A damaged page is then an error, and no other number.
                    write_page_checksum=True,
                    use_dictionary=[name for name in fields if name not in continuous and name not in TEXTS],
                    use_byte_stream_split=[
                        f"{name}.list.element" if columns[name].ndim == 2 else name for name in continuous
                    ],
                )
            self._writer.write_table(table)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if self._writer is not None:
                self._writer.close()


def _continuous(values: NDArray[Any]) -> bool:
    """Whether these are numbers of which few occur twice."""
    if values.dtype != np.float64:
        return False
    return values.ndim == 2 or 2 * len(np.unique(values[:_MOST_ROWS])) > len(values[:_MOST_ROWS])


def _constant(value: str | int, n: int) -> Any:
    import pyarrow as pa

    if isinstance(value, int):
        return pa.array(np.full(n, value, dtype=np.int64))
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, dtype=np.int32)), pa.array([value]))


def _column(name: str, values: NDArray[Any]) -> Any:
    import pyarrow as pa

    if values.ndim == 2:
        known = ~np.isnan(values)
        sizes = known.sum(axis=1)
        offsets = pa.array(np.concatenate([[0], sizes.cumsum()]).astype(np.int32))
        return pa.ListArray.from_arrays(offsets, pa.array(values[known]), mask=pa.array(sizes == 0))
    if name == "options":
        return pa.array([texts or None for texts in values], type=pa.list_(pa.string()))
    if values.dtype == object:
        texts = pa.array(values, type=pa.string(), mask=values == "")
        return texts.dictionary_encode() if name == "task" else texts
    return pa.array(values, mask=values < 0) if name in INDICES else pa.array(values)


def joined(parts: Sequence[Columns]) -> dict[str, NDArray[Any]]:
    """The rows of several tasks, one after the other; lists of options padded to the longest, absent numbers NaN.

    Examples
    --------
    >>> joined([{"p": np.array([[1.0]])}, {"p": np.array([[0.5, 0.5]])}])["p"].tolist()
    [[1.0, nan], [0.5, 0.5]]
    """
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _stacked([_of(part, name, parts) for part in parts]) for name in names}


def _of(part: Columns, name: str, parts: Sequence[Columns]) -> NDArray[Any]:
    if name in part:
        return part[name]
    n, like = len(next(iter(part.values()))), next(other[name] for other in parts if name in other)
    if name in INDICES:
        return np.full(n, -1, dtype=np.int64)
    return np.full((n, *like.shape[1:]), "" if like.dtype == object else np.nan, dtype=like.dtype)


def _stacked(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]
    if arrays[0].ndim == 2:
        width = max(array.shape[1] for array in arrays)
        arrays = [np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=np.nan) for a in arrays]
    return np.concatenate(arrays)
