"""Decode one samples file of lm_eval into typed rows, as fast as JSON can be decoded.

The fields of a row are known but for its metrics, whose names the first row gives; the type is built from it. Prompts,
which are most of a file, are skipped without being decoded.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.logs.lenient import parse_array, parse_row
from consistency.logs.row_kinds import RowKind, row_kind

_BOM = b"\xef\xbb\xbf"
_BLANK = _BOM + b" \t\r\n"
# A chunk stays in the processor's cache while it is decoded; reading whole files costs as much as decoding them.
_CHUNK = 1 << 19


@contextmanager
def open_rows(path: Path, *, letters: bool = False) -> Iterator[tuple[RowKind, Iterator[list[Any]]]]:
    """Decode a samples file: JSON lines, or the JSON array that lm_eval 0.4.0 wrote.

    Parameters
    ----------
    path : Path
    letters : bool
        Whether to expect that all rows score the letters of the first, if it scores letters.

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
        with path.open("rb") as file:
            line, start = next(((n, row) for n, row in enumerate(file, 1) if row.strip(_BLANK)), (1, b""))
            if not start:
                raise InputError(
                    "the file is empty", expected="one JSON object per document", do="run lm_eval again", path=path
                )
            file.seek(0)
            if start.lstrip(_BLANK).startswith(b"["):
                kind, rows = _read_array(path.read_bytes().lstrip(_BOM), path, letters)
                yield kind, iter([rows])
                return
            try:
                first = msgspec.json.decode(start)
            except (ValueError, RecursionError):
                first = _as_decoded(parse_row(start.lstrip(_BOM), line, path))
            kind = row_kind(_as_document(first, line, path), letters=letters, line=line, path=path)
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
            # The exact decoder knows neither NaN nor the line of an error: go through the chunk again, row by row.
            with path.open("rb") as again:
                again.seek(counted)
                before, counted = before + again.read(offset - counted).count(b"\n"), offset
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


def _read_array(content: bytes, path: Path, letters: bool) -> tuple[RowKind, list[Any]]:
    try:
        # Only the first element is needed, and the array may be long.
        head = content[: content.find(b'"doc_id"', content.find(b'"doc_id"') + 1)].decode()
        first = json.JSONDecoder().raw_decode(head, head.index("{"))[0]
        kind = row_kind(_as_document(first, 1, path), letters=letters, line=None, path=path)
        return kind, msgspec.json.Decoder(list[kind.type], strict=False).decode(content)  # type: ignore[name-defined]
    except (ValueError, RecursionError):
        return _read_array_by_row(content, path, letters)


def _read_array_by_row(content: bytes, path: Path, letters: bool) -> tuple[RowKind, list[Any]]:
    """Read an array that holds NaN, which only Python's json knows, or an error, which is to be found."""
    items = list(parse_array(content, path))
    if not items:
        raise InputError("the log holds no document", expected="one JSON object per document", path=path)
    line, first = items[0]
    kind = row_kind(_as_document(_as_decoded(first), line, path), letters=letters, line=line, path=path)
    decoder = msgspec.json.Decoder(kind.type, strict=False)
    return kind, [_convert(decoder, item, line, path) for line, item in items]


def _as_document(item: Any, line: int, path: Path) -> dict[str, Any]:
    if not isinstance(item, dict) or "doc_id" not in item:
        raise InputError(
            "not a samples file of lm_eval: the first entry is no document with a doc_id",
            expected="what lm_eval --log_samples writes",
            do="name a samples file, or the folder that holds it",
            path=path,
            line=line,
        )
    return item


def _strictly(item: Any) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode("utf-8", "replace")


def _as_decoded(item: Any) -> Any:
    """The item with the names that the decoder will find: without half surrogate pairs, which are no text."""
    try:
        return json.loads(_strictly(item))
    except RecursionError:
        return item


def _decode(decoder: msgspec.json.Decoder[Any], text: bytes, line: int, path: Path) -> Any:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _convert(decoder, parse_row(text, line, path), line, path)


def _convert(decoder: msgspec.json.Decoder[Any], item: Any, line: int, path: Path) -> Any:
    try:
        return decoder.decode(_strictly(item))
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(
            f"not a document of an lm_eval log: {_plain(str(error))}",
            expected="the fields and types that lm_eval --log_samples writes",
            do="run lm_eval again, or remove the line",
            path=path,
            line=line,
        ) from None


def _plain(message: str) -> str:
    return message.replace("Object ", "").replace("`$.", "`").replace("`$`", "the row")
