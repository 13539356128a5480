"""`items.parquet`: one row per question and run, what every figure of a report is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.support.computed import Computed

Columns = Mapping[str, NDArray[Any]]
# Gives some rows of a column.
OfRows = Callable[[slice], NDArray[Any]]
# Indices of options, -1 where there is none.
INDICES = ("gold", "prediction_before", "prediction_after", "zero_prediction_after")
# Columns of which few values occur twice.
TEXTS = ("doc_hash", "question", "options", "text_before", "text_after")
# Of a table that is made at once, and of a row group.
MOST_ROWS = 1 << 17


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

    def write(self, constants: Mapping[str, str | int], columns: Mapping[str, NDArray[Any] | RowsColumn]) -> None:
        """Append questions.

        Parameters
        ----------
        constants : dict of str to str or int
            What is the same for all of them, such as the run.
        columns : dict of str to ndarray
            One row per question: numbers, texts or tuples of texts (of dtype object, an empty one is null), or an array
            of shape [n, k], NaN-padded, which becomes a column of lists. Each piece has the columns of the first. Of a
            `RowsColumn` only so many rows are in memory as are written at once.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = len(next(iter(columns.values())))
        most = min(values.most if isinstance(values, RowsColumn) else MOST_ROWS for values in columns.values())
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


class RowsColumn:
    """A column of which some rows are made whenever a slice of it is taken: all of them may be larger than their logs.

    Parameters
    ----------
    parts : sequence of tuple of int and callable
        One after the other: how many rows, and what gives some of them.
    most : int
        Rows to be taken at once.

    Examples
    --------
    >>> numbers = np.arange(6.0)
    >>> RowsColumn([(3, numbers[:3].__getitem__), (3, numbers[3:].__getitem__)])[2:5].tolist()
    [2.0, 3.0, 4.0]
    """

    def __init__(self, parts: Sequence[tuple[int, OfRows]], most: int = MOST_ROWS) -> None:
        self._parts = parts
        self.most = most
        first = [of_rows(slice(0, 1)) for _, of_rows in parts]
        self.ndim, self.dtype = first[0].ndim, first[0].dtype
        self._width = max(part.shape[-1] for part in first)

    def __len__(self) -> int:
        return sum(n for n, _ in self._parts)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        start, stop, _ = rows.indices(len(self))
        found = []
        for n, of_rows in self._parts:
            if start < n and stop > 0:
                found.append(of_rows(slice(max(start, 0), min(stop, n))))
            start, stop = start - n, stop - n
        return _stacked(found, self._width if self.ndim == 2 else 0)


def _continuous(values: NDArray[Any] | RowsColumn) -> bool:
    """Whether these are numbers of which few occur twice."""
    if values.dtype != np.float64:
        return False
    return values.ndim == 2 or 2 * len(np.unique(values[:MOST_ROWS])) > len(values[:MOST_ROWS])


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


def large_columns(
    parts: Sequence[tuple[int, Mapping[str, OfRows]]], most: int
) -> tuple[Columns, dict[str, RowsColumn]]:
    """The rows of several tasks as `joined` gives them, a column made whenever it is asked for, whole or some rows of it.

    Parameters
    ----------
    parts : sequence of tuple of int and dict of str to callable
        Of each task: how many rows, and what gives some of a column.
    most : int
        Rows to be written at once.

    Returns
    -------
    Columns
    dict of str to RowsColumn
        For `ItemsWriter`.
    """
    names = dict.fromkeys(name for _, part in parts for name in part)
    found = {}
    for name in names:
        like = next(part[name](slice(0, 1)) for _, part in parts if name in part)
        found[name] = RowsColumn(
            [(n, part[name] if name in part else _absent(name, n, like)) for n, part in parts], most
        )
    return Computed(lambda name: found[name][:], names), found


def _absent(name: str, n: int, like: NDArray[Any]) -> OfRows:
    return lambda rows: _filled(name, len(range(*rows.indices(n))), like)


def _of(part: Columns, name: str, parts: Sequence[Columns]) -> NDArray[Any]:
    if name in part:
        return part[name]
    return _filled(name, len(next(iter(part.values()))), next(other[name] for other in parts if name in other))


def _filled(name: str, n: int, like: NDArray[Any]) -> NDArray[Any]:
    """What rows have in place of a column that they lack."""
    if name in INDICES:
        return np.full(n, -1, dtype=np.int64)
    return np.full((n, *like.shape[1:]), "" if like.dtype == object else np.nan, dtype=like.dtype)


def _stacked(arrays: Sequence[NDArray[Any]], width: int = 0) -> NDArray[Any]:
    """Arrays below each other, those of shape [n, k] padded with NaN to the widest, or to a width."""
    if len(arrays) == 1 and (arrays[0].ndim == 1 or arrays[0].shape[1] >= width):
        return arrays[0]
    if arrays[0].ndim == 2:
        width = max(width, *(array.shape[1] for array in arrays))
        arrays = [np.pad(a, ((0, 0), (0, width - a.shape[1])), constant_values=np.nan) for a in arrays]
    return np.concatenate(arrays)
