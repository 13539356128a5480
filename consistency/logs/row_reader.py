"""Decode one samples file of lm_eval into typed rows, as fast as JSON can be decoded.

Python's own json, which wrote the file and is slower, reads the rows that the fast decoder refuses: those with NaN or Infinity,
and those with an error, which it locates.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.logs.packed import open_log
from consistency.logs.rows import Expected, RowKind, row_kind

_BOM = b"\xef\xbb\xbf"
# Windows PowerShell writes it where output is sent to a file.
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BLANK = _BOM + b" \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
# The comma between two rows of an array. In a text the quotes of a key have a backslash before them.
_NEXT_ROW = re.compile(rb'\}[ \t\r\n]*(,)[ \t\r\n]*\{[ \t\r\n]*"doc_id"')
# A chunk stays in the processor's cache while it is decoded; reading whole files costs as much as decoding them.
_CHUNK = 1 << 19
# Python's json writes them, JSON does not have them; as texts they decode to floats.
_CONSTANTS = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}


@contextmanager
def open_rows(path: Path, expected: Expected) -> Iterator[tuple[RowKind, Iterator[list[Any]]]]:
    """Decode a samples file: JSON lines, or the JSON array that lm_eval 0.4.0 wrote.

    Parameters
    ----------
    path : Path
    expected : Expected

    Yields
    ------
    kind : RowKind
    batches : iterator of list of Row
        In file order. A row's `doc` is a view that the next batch overwrites.

    Raises
    ------
    InputError
        Naming the line, if the file is not a log of lm_eval.
    """
    try:
        with open_log(path) as file:
            line, start = next(((n, row) for n, row in enumerate(file, 1) if row.strip(_BLANK)), (1, b""))
            if not start:
                raise InputError(
                    "the file is empty", expected="one JSON object per document", do="run lm_eval again", path=path
                )
            if start.lstrip(_BLANK).startswith(b"["):
                # Without the buffer, which would copy it.
                raw: Any = file.raw
                raw.seek(0)
                yield _read_array(raw.readall().lstrip(_BOM), path, expected)
                return
            try:
                first = msgspec.json.decode(start)
            except (ValueError, RecursionError):
                first = _as_decoded(_parse_row(start.lstrip(_BOM), line, path))
            kind = row_kind(_as_document(first, line, path), expected, line=line, path=path)
            file.seek(0)
            yield kind, _read_lines(kind, file, path)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", do="check the path and its permissions", path=path
        ) from None


def _read_lines(kind: RowKind, file: io.BufferedReader, path: Path) -> Iterator[list[Any]]:
    decoder = msgspec.json.Decoder(kind.type, strict=False)
    before, counted = 0, 0
    for offset, lines in _chunks(file):
        try:
            yield decoder.decode_lines(lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            # The fast decoder knows neither NaN nor the line of an error: go through the chunk again, row by row.
            place = file.tell()
            file.seek(counted)
            before, counted = before + file.read(offset - counted).count(b"\n"), offset
            file.seek(place)
            yield [
                _decode(decoder, row.lstrip(_BOM), before + number, path)
                for number, row in enumerate(io.BytesIO(lines), 1)
                if row.strip(_BLANK)
            ]


def _chunks(file: io.BufferedReader) -> Iterator[tuple[int, memoryview]]:
    """Offset and content of whole lines, read into one buffer: a chunk is overwritten by the next."""
    buffer, filled, offset = bytearray(_CHUNK), 0, 0
    while True:
        if filled == len(buffer):
            buffer = buffer + bytearray(len(buffer))
        view = memoryview(buffer)
        count = file.readinto(view[filled:])
        if not count:
            if filled:
                yield offset, view[:filled]
            return
        end = buffer.rfind(b"\n", filled, filled + count) + 1
        filled += count
        if end:
            yield offset, view[:end]
            buffer[: filled - end] = buffer[end:filled]
            filled, offset = filled - end, offset + end


def _read_array(content: bytes, path: Path, expected: Expected) -> tuple[RowKind, Iterator[list[Any]]]:
    try:
        # Only the first element is needed, and the array may be long.
        head = content[: content.find(b'"doc_id"', content.find(b'"doc_id"') + 1)].decode()
        first = json.JSONDecoder().raw_decode(head, head.index("{"))[0]
        kind = row_kind(_as_document(first, 1, path), expected, line=None, path=path)
        decoder = msgspec.json.Decoder(list[kind.type], strict=False)  # type: ignore[name-defined]
    except (ValueError, RecursionError):
        kind, rows = _read_array_by_row(content, path, expected)
        return kind, iter([rows])
    return kind, _read_parts(content, decoder, kind, path, expected)


def _read_parts(
    content: bytes, decoder: msgspec.json.Decoder[Any], kind: RowKind, path: Path, expected: Expected
) -> Iterator[list[Any]]:
    """The rows of an array, as many at once as lines of a file of lines: decoded, they are several times the file."""
    start, before, done = 0, 0, 0
    while start < len(content):
        cut = _NEXT_ROW.search(content, start + _CHUNK)
        end = cut.start(1) if cut else len(content)
        # From the comma before a row to that before another. Were they not between rows, the part would have brackets without
        # their others, and be no JSON.
        part = b"[" * bool(start) + content[start:end] + b"]" * bool(cut)
        try:
            rows = decoder.decode(part)
        except (ValueError, RecursionError):
            try:
                parsed = _parse_array(part, path, before)
                row_decoder = msgspec.json.Decoder(kind.type, strict=False)
                rows = [_convert(row_decoder, item, line, path) for line, item in parsed]
            except InputError:
                # An error, which is to be found in the whole file; or none, where rows are apart in another way.
                yield _read_array_by_row(content, path, expected)[1][done:]
                return
        yield rows
        done += len(rows)
        before += content.count(b"\n", start, end)
        start = end + 1 if cut else end


def _read_array_by_row(content: bytes, path: Path, expected: Expected) -> tuple[RowKind, list[Any]]:
    """Read an array that holds NaN, which only Python's json knows, or an error, which is to be found."""
    # One at a time: as values of Python all of them would be several times the file.
    items = _parse_array(content, path)
    line, first = next(items, (0, None))
    if not line:
        raise InputError("the log has no document", expected="one JSON object per document", path=path)
    kind = row_kind(_as_document(_as_decoded(first), line, path), expected, line=line, path=path)
    decoder = msgspec.json.Decoder(kind.type, strict=False)
    return kind, [_convert(decoder, item, line, path) for line, item in chain([(line, first)], items)]


def _as_document(item: Any, line: int, path: Path) -> dict[str, Any]:
    if not isinstance(item, dict) or "doc_id" not in item:
        raise InputError(
            "not a samples file of lm_eval: the first entry is not a document with a doc_id",
            expected="what lm_eval --log_samples writes",
            do="name a samples file, or the folder that holds it",
            path=path,
            line=line,
        )
    return item


def _decode(decoder: msgspec.json.Decoder[Any], text: bytes, line: int, path: Path) -> Any:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _convert(decoder, _parse_row(text, line, path), line, path)


def _convert(decoder: msgspec.json.Decoder[Any], item: Any, line: int, path: Path) -> Any:
    try:
        return decoder.decode(_strictly(item))
    except (msgspec.DecodeError, RecursionError) as error:
        fault = str(error).replace("Object ", "").replace("`$.", "`").replace("`$`", "the row")
        raise InputError(
            f"not a document of an lm_eval log: {fault}",
            expected="the fields and types that lm_eval --log_samples writes",
            do="run lm_eval again, or remove the line",
            path=path,
            line=line,
        ) from None


def _strictly(item: Any) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode("utf-8", "replace")


def _as_decoded(item: Any) -> Any:
    """The item with the names that the decoder will find: without half surrogate pairs, which UTF-8 cannot hold."""
    try:
        return json.loads(_strictly(item))
    except RecursionError:
        return item


def _parse_row(text: bytes, line: int, path: Path) -> Any:
    """Parse a row as Python's json does: NaN and Infinity become strings, which decode to floats."""
    try:
        return json.loads(text, parse_constant=_CONSTANTS.__getitem__)
    except json.JSONDecodeError as error:
        raise _not_json(error, line, path) from None
    except UnicodeDecodeError as error:
        raise _not_text(error, line, path) from None
    except (RecursionError, ValueError) as error:
        raise _unparsable(error, line, path) from None


def _parse_array(content: bytes, path: Path, before: int = 0) -> Iterator[tuple[int, Any]]:
    """Line and value of each element of an array that so many lines precede, parsed as Python's json does."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        raise _not_text(error, 1, path) from None
    parse = json.JSONDecoder(parse_constant=_CONSTANTS.__getitem__).raw_decode
    place, line, counted = text.index("[") + 1, before + 1, 0
    while True:
        # The errors are those that Python's json has for a whole array.
        place = _skip_space(text, place)
        if text.startswith("]", place):
            place = _skip_space(text, place + 1)
            if place < len(text):
                raise _not_json(json.JSONDecodeError("Extra data", text, place), 1, path)
            return
        try:
            item, end = parse(text, place)
        except json.JSONDecodeError as error:
            raise _not_json(error, 1, path) from None
        except (RecursionError, ValueError) as error:
            raise _unparsable(error, line, path) from None
        line, counted = line + text.count("\n", counted, place), place
        yield line, item
        place = _skip_space(text, end)
        if text.startswith(",", place):
            place += 1
        elif not text.startswith("]", place):
            raise _not_json(json.JSONDecodeError("Expecting ',' delimiter", text, place), 1, path)


def _skip_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _not_json(error: json.JSONDecodeError, line: int, path: Path) -> InputError:
    return InputError(
        f"not JSON: {error.msg.removesuffix(' at')} at column {error.colno}",
        expected="one JSON object per document",
        do="the file may be cut or damaged; copy it again or run the evaluation again",
        path=path,
        line=line + error.lineno - 1,
    )


def _not_text(error: UnicodeDecodeError, line: int, path: Path) -> InputError:
    other = line == 1 and error.object.startswith(_UTF_16)
    return InputError(
        "is UTF-16" if other else f"not UTF-8: {error.reason} at byte {error.start}",
        expected="UTF-8 text",
        do="save it as UTF-8" if other else "copy the file again or run the evaluation again",
        path=path,
        line=line + error.object.count(b"\n", 0, error.start),
    )


def _unparsable(error: Exception, line: int, path: Path) -> InputError:
    problem = "nested too deeply" if isinstance(error, RecursionError) else f"cannot be parsed: {error}"
    return InputError(problem, do="run lm_eval again", path=path, line=line)
