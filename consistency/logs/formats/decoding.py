"""The content of other programs' files within bounds: JSON of a known type, and rows of Parquet."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from io import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from consistency.errors import InputError
from consistency.logs.packed import MOST, MOST_TIMES, UNCHECKED, open_log

if TYPE_CHECKING:
    from pyarrow import Schema

T = TypeVar("T")
_SPACE = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
# Rows that are decoded at once: a file of a few bytes may say that all of them are one long text.
_ROWS = 64
AGAIN = "the file may be cut or damaged; copy it again or run the evaluation again"


def decode(content: bytes, kind: type[T], path: Path, what: str, line: int | None = None) -> T:
    """A value of JSON of a type, also with NaN.

    Parameters
    ----------
    content : bytes
    kind : type
        A `msgspec.Struct` with the fields that are needed; others are skipped.
    path : Path
    what : str
        What it should be, for error messages: "a record of every_eval_ever".
    line : int, optional

    Raises
    ------
    InputError
    """
    try:
        # As text, since the decoder does not look into the bytes that it skips.
        return msgspec.json.decode(content.decode(), type=kind)
    except (ValueError, RecursionError):
        pass
    try:
        # Half a surrogate pair could not be written again.
        text = json.dumps(json.loads(content), ensure_ascii=False).encode("utf-8", "replace")
        return msgspec.convert(json.loads(text), kind)
    except json.JSONDecodeError as error:
        number = (line or 1) + error.lineno - 1
        raise InputError(
            f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}",
            expected=what,
            do=AGAIN,
            path=path,
            line=number,
        ) from None
    except UnicodeDecodeError as error:
        number = (line or 1) + content.count(b"\n", 0, error.start)
        raise InputError(
            f"not UTF-8: {error.reason} at byte {error.start}", expected=what, do=AGAIN, path=path, line=number
        ) from None
    except RecursionError:
        raise InputError("nested too deeply", expected=what, do=AGAIN, path=path, line=line) from None
    except ValueError as error:
        fault = str(error).replace("Object ", "").replace("`$.", "`").replace("`$`", "the value")
        raise InputError(fault, expected=what, do=AGAIN, path=path, line=line) from None


def json_lines_of(path: Path, kind: type[T], what: str) -> Iterator[tuple[int, T]]:
    """Line and value of each line of a file of JSON lines; empty lines are skipped.

    Raises
    ------
    InputError
        Naming the line, if one holds something else; naming the file, if it cannot be read or has none.
    """
    empty = True
    try:
        with open_log(path) as file:
            for number, whole in enumerate(file, 1):
                if line := whole.removeprefix(_BOM).strip(_SPACE):
                    empty = False
                    yield number, decode(line, kind, path, what, number)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", do="check the path and its permissions", path=path
        ) from None
    if empty:
        raise InputError("the file is empty", expected=what, do="run the evaluation again", path=path)


def check_count(file: Path, held: int, line: int, other: Path, announced: Any) -> None:
    """Refuse a file that ends before the number of rows that another file of the run announces.

    Raises
    ------
    InputError
        Naming the last line.
    """
    if type(announced) is int and held < announced:
        raise InputError(
            f"ends after {held:,} of the {announced:,} rows of {other.name}", do=AGAIN, path=file, line=line
        )


def first_object(head: bytes) -> dict[str, Any]:
    """The object on the first line of a file's beginning; empty where that is none, or is longer than the beginning."""
    try:
        found = json.loads(head.lstrip(_SPACE).partition(b"\n")[0])
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def fault_of(error: Exception) -> str:
    """What is wrong with a row, from the error that came of reading it.

    Examples
    --------
    >>> fault_of(KeyError("input")), fault_of(OverflowError("int too large to convert to float"))
    ('no input', 'a number that is too large')
    """
    if isinstance(error, KeyError):
        return f"no {error.args[0]}"
    return "a number that is too large" if isinstance(error, OverflowError) else str(error)


def has_keys(head: bytes, *names: str) -> bool:
    """Whether the first line of a file's beginning is an object with all of these keys, or names them where it is cut."""
    line = head.lstrip(_SPACE).partition(b"\n")[0]
    if not line.startswith(b"{"):
        return False
    found = first_object(line)
    if found:
        return all(name in found for name in names)
    return all(f'"{name}"'.encode() in line for name in names)


def parquet_schema(path: Path) -> Schema | None:
    """The columns of a Parquet file; None if it is none.

    Raises
    ------
    InputError
        If it begins as one, and is damaged.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    if path.suffix != ".parquet":
        return None
    try:
        # As any other file of a log, which may be in an archive.
        with open_log(path) as stream:
            return read_schema(stream)
    except InputError:
        raise
    except (ArrowException, OSError, ValueError) as error:
        raise _not_parquet(error, path) from None


def parquet_rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number, from 1, and content of each row of a Parquet file, as far as the columns are there.

    Parameters
    ----------
    path : Path
    columns : sequence of str
        Names, of a field within a column with dots.

    Raises
    ------
    InputError
        If the file is damaged, empty, or grows too large.
    """
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        with open_log(path) as stream, ParquetFile(stream) as file:
            size, total = stream.seek(0, SEEK_END), 0
            declared = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))
            _check_size(declared, size, path)
            for batch in file.iter_batches(batch_size=_ROWS, columns=list(columns)):
                total += batch.nbytes
                _check_size(total, size, path)
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except InputError:
        raise
    except (ArrowException, OSError, ValueError, OverflowError) as error:
        raise _not_parquet(error, path) from None
    if not number:
        raise InputError("the file has no row", do="run the evaluation again", path=path)


def _not_parquet(error: Exception, path: Path) -> InputError:
    # The first sentence of the first line: what follows are the library's own places.
    reason = str(error).split("\n", 1)[0]
    return InputError(f"not readable as Parquet: {reason}", do=AGAIN, path=path)


def _check_size(total: int, packed: int, path: Path) -> None:
    if total > MOST or (total > UNCHECKED and total > MOST_TIMES * packed):
        raise InputError(
            f"grows to more than {MOST >> 30} GiB, or {MOST_TIMES} times its size, when it is read",
            do="do not trust it, or write the columns that are needed to a file of their own",
            path=path,
        )
