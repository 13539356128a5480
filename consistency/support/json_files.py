"""JSON that a user hands in, row by row with the line of a mistake, and JSON as this project writes it."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from consistency.errors import InputError

# What decoding text that is no JSON, or no text at all, raises.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
T = TypeVar("T")


def read_jsonl(path: str | Path, kind: type[T], expected: str) -> Iterator[tuple[int, T]]:
    r"""Read a file of one JSON value a line.

    Parameters
    ----------
    path : path-like
        In UTF-8, with or without a byte order mark. The last line may end with a line feed or not.
    kind : type
        What each line holds: a `msgspec.Struct`, or ``dict[str, Any]``.
    expected : str
        What each line should hold, for error messages.

    Yields
    ------
    int
        The line, from 1.
    object of type `kind`

    Raises
    ------
    InputError
        If the file cannot be read, or a line is empty or holds something else; it names the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "rows.jsonl")
    ...     _ = path.write_text('{"id": 1}\n{"id": 2}\n')
    ...     list(read_jsonl(path, dict[str, int], "an id"))
    [(1, {'id': 1}), (2, {'id': 2})]
    """
    path = Path(path)
    decoder = msgspec.json.Decoder(kind)
    for number, line in _lines(path, expected):
        yield number, _decode(decoder, line, path, number, expected)


def read_rows(path: str | Path, expected: str) -> Iterator[tuple[int, Any]]:
    """Read rows that a user collected: one JSON value a line, empty lines skipped, or all of them in one JSON array.

    Parameters
    ----------
    path : path-like
        In UTF-8, with or without a byte order mark.
    expected : str
        What a row should be, for error messages.

    Yields
    ------
    int
        The row's line, from 1; of an array its place, from 1.
    object

    Raises
    ------
    InputError
        If the file cannot be read, or holds no JSON; it names the line.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "rows.json")
    ...     _ = path.write_text('[{"id": 1}, {"id": 2}]')
    ...     list(read_rows(path, "an id"))
    [(1, {'id': 1}), (2, {'id': 2})]
    """
    path = Path(path)
    content = _content(path, expected)
    if content.lstrip().startswith(b"["):
        try:
            yield from enumerate(msgspec.json.decode(content.decode(), type=list[Any]), 1)
        except UNREADABLE as error:
            raise InputError(f"not JSON: {error}", expected=f"a list, each item {expected}", path=path) from None
        return
    decoder = msgspec.json.Decoder(Any)
    for number, line in _lines(path, expected):
        if line.strip():
            yield number, _decode(decoder, line, path, number, expected)


def pretty_json(value: Any) -> str:
    r"""A value as indented JSON that ends with a line feed.

    Examples
    --------
    >>> pretty_json({"a": 1})
    '{\n "a": 1\n}\n'
    """
    return msgspec.json.format(msgspec.json.encode(value), indent=1).decode() + "\n"


def _content(path: Path, expected: str) -> bytes:
    try:
        return path.read_bytes().removeprefix(BOM_UTF8)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", expected=f"a file of {expected}", path=path) from error


def _lines(path: Path, expected: str) -> Iterator[tuple[int, bytes]]:
    # Only a line feed ends a line: a text may hold Unicode's other separators.
    lines = _content(path, expected).split(b"\n")
    if not lines[-1]:
        lines.pop()
    return enumerate(lines, 1)


def _decode(decoder: msgspec.json.Decoder[T], line: bytes, path: Path, number: int, expected: str) -> T:
    try:
        # As text, since the decoder does not look into the bytes of keys that it skips.
        return decoder.decode(line.decode())
    except UNREADABLE as error:
        problem = str(error) if line.strip() else "an empty line"
        raise InputError(problem, expected=expected, path=path, line=number) from None
