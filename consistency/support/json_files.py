"""JSON that a user hands in, row by row with the line of a mistake, and JSON as this project writes it."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from consistency.errors import InputError
from consistency.support.text import visible, visible_json

# What decoding raises where bytes are not JSON, or not text.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Levels of lists and mappings in each other that a value of a user may have. Files have some ten; Python ends at a thousand
# calls in each other, at another depth wherever a value is walked, so that one which was read could not be written.
DEEPEST = 100
T = TypeVar("T")
# White space in JSON.
_SPACE = b" \t\r\n"
_SURROGATE = re.compile("[\ud800-\udfff]")


def read_json(path: str | Path, expected: str, do: str | None = None) -> Any:
    """Read a file of one JSON value, as Python's json reads it: also with NaN.

    Parameters
    ----------
    path : path-like
        In UTF-8, with or without a byte order mark.
    expected : str
        What it should hold, for error messages.
    do : str, optional
        What can be done about it if it does not.

    Raises
    ------
    InputError
        If the file cannot be read, is not JSON, or is nested too deeply.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "a.json").write_text('{"id": 1}')
    ...     read_json(Path(folder, "a.json"), "an id")
    {'id': 1}
    """
    try:
        content = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot be read: {reason}", expected=expected, do=do, path=path) from None
    return parse_json(content, path, expected, do)


def parse_json(content: bytes, path: str | Path, expected: str, do: str | None = None) -> Any:
    """The value of the content of a file, see `read_json`."""
    try:
        value = json.loads(content.removeprefix(BOM_UTF8).decode())
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}",
            expected=expected,
            do=do,
            path=path,
            line=error.lineno,
        ) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise InputError(f"not UTF-8: {error.reason}", expected=expected, do=do, path=path, line=line) from None
    except (ValueError, RecursionError) as error:
        # Of a number of thousands of digits.
        problem = "is nested too deeply" if isinstance(error, RecursionError) else f"cannot be read: {error}"
        raise InputError(problem, expected=expected, do=do, path=path) from None
    if is_deep(value):
        raise InputError(f"is nested more than {DEEPEST} levels deep", expected=expected, do=do, path=path)
    return value


def is_deep(value: Any, most: int = DEEPEST) -> bool:
    """Whether a decoded value has more than so many lists and mappings in each other.

    Examples
    --------
    >>> is_deep({"a": [[1]]})
    False
    """
    level = [value]
    for _ in range(most + 1):
        parts = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [part for found in parts for part in found if isinstance(part, dict | list)]
        if not level:
            return False
    return True


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
    for number, _, item in read_jsonl_bytes(path, kind, expected):
        yield number, item


def read_jsonl_bytes(path: str | Path, kind: type[T], expected: str) -> Iterator[tuple[int, bytes, T]]:
    """Read a file of one JSON value a line, as `read_jsonl` does, with each value's own bytes.

    Yields
    ------
    int
        The line, from 1.
    bytes
        The value as the file has it, without white space and a byte order mark around it.
    object of type `kind`
    """
    path = Path(path)
    decoder = msgspec.json.Decoder(kind)
    try:
        with path.open("rb") as lines:
            # Only a line feed ends a line: a text may hold Unicode's other separators.
            for number, whole in enumerate(lines, 1):
                line = whole.removeprefix(BOM_UTF8).strip(_SPACE)
                yield number, line, _decode(decoder, line, path, number, expected)
    except OSError as error:
        raise _unreadable(path, error, expected) from error


def first_line(path: str | Path) -> bytes:
    """The first line of a file that is not empty, without white space and a byte order mark around it.

    Returns
    -------
    bytes
        Empty if the file has no such line or cannot be read.

    Examples
    --------
    >>> first_line("no/such/file")
    b''
    """
    try:
        with Path(path).open("rb") as lines:
            return next((line for line in (line.removeprefix(BOM_UTF8).strip(_SPACE) for line in lines) if line), b"")
    except OSError:
        return b""


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
        If the file cannot be read, or a line is not JSON; it names the line.

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
    try:
        content = path.read_bytes().removeprefix(BOM_UTF8)
    except OSError as error:
        raise _unreadable(path, error, expected) from error
    if content.lstrip().startswith(b"["):
        try:
            rows = msgspec.json.decode(content.decode(), type=list[Any])
        except UNREADABLE as error:
            raise InputError(f"not JSON: {error}", expected=f"a list, each item {expected}", path=path) from None
        for number, row in enumerate(rows, 1):
            yield number, _shallow(row, path, number, expected)
        return
    decoder = msgspec.json.Decoder(Any)
    for number, whole in enumerate(content.split(b"\n"), 1):
        # Files that were joined may each begin with a byte order mark.
        if line := whole.removeprefix(BOM_UTF8).strip(_SPACE):
            yield number, _decode(decoder, line, path, number, expected)


def json_lines(values: Iterable[Any]) -> Iterator[bytes]:
    r"""Each value as a line of JSON.

    Examples
    --------
    >>> list(json_lines([{"a": 1}, {"a": 2}]))
    [b'{"a":1}\n', b'{"a":2}\n']
    """
    for value in values:
        yield json_line(value) + b"\n"


def json_line(value: Any) -> bytes:
    r"""A value as JSON on one line, in which what would steer a terminal or hide is an escape; it decodes to the same value.

    Examples
    --------
    >>> print(json_line({"a": "left \u202e right, é"}).decode())
    {"a":"left \u202e right, é"}
    """
    line = _encode(value)
    # JSON itself escapes the control characters below the space.
    return line if line.isascii() and b"\x7f" not in line else visible_json(line.decode()).encode()


def pretty_json(value: Any) -> str:
    r"""A value as indented JSON that ends with a line feed.

    Examples
    --------
    >>> pretty_json({"a": 1})
    '{\n "a": 1\n}\n'
    """
    return visible_json(msgspec.json.format(_encode(value), indent=1).decode() + "\n")


def _encode(value: Any) -> bytes:
    """A value as JSON; half of a surrogate pair, such as a path has that is not UTF-8, as a readable escape."""
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:
        return msgspec.json.encode(_without_surrogates(msgspec.to_builtins(value)))


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub(lambda found: visible(found[0]), value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_surrogates(inner) for inner in value]
    return value


def _unreadable(path: Path, error: OSError, expected: str) -> InputError:
    return InputError(f"cannot be read ({error.strerror})", expected=f"a file, each row {expected}", path=path)


def _decode(decoder: msgspec.json.Decoder[T], line: bytes, path: Path, number: int, expected: str) -> T:
    try:
        # As text, since the decoder does not look into the bytes of keys that it skips.
        value = decoder.decode(line.decode())
    except UNREADABLE as error:
        problem = str(error) if line else "an empty line"
        raise InputError(problem, expected=expected, path=path, line=number) from None
    # Only such a line can be deep, and next to none has so many.
    if line.count(b"[") + line.count(b"{") > DEEPEST:
        return _shallow(value, path, number, expected)
    return value


def _shallow(value: T, path: Path, number: int, expected: str) -> T:
    if is_deep(msgspec.to_builtins(value) if isinstance(value, msgspec.Struct) else value):
        raise InputError(f"nested more than {DEEPEST} levels deep", expected=expected, path=path, line=number)
    return value
