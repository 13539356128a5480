"""Decode one samples file of lm_eval into typed rows, as fast as JSON can be decoded.

The fields of a row are known but for its metrics, whose names the first row gives; the type is built from it. Prompts,
which are most of a file, are skipped without being decoded.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec

from consistency.errors import InputError

_KNOWN = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}
_BOM = b"\xef\xbb\xbf"
_BLANK = _BOM + b" \t\r\n"
# A chunk stays in the processor's cache while it is decoded; reading whole files costs as much as decoding them.
_CHUNK = 1 << 18
_DocId = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Response(msgspec.Struct, array_like=True, gc=False):
    """Log-probability of an option; whether it was the greedy answer follows and is not needed."""

    logprob: float


class Argument(msgspec.Struct, gc=False):
    """One request: its prompt `arg_0` is skipped, its continuation kept."""

    arg_1: str = ""


class PositionalArgument(msgspec.Struct, array_like=True, gc=False):
    """One request of lm_eval 0.4.0, a plain pair."""

    arg_0: msgspec.Raw = msgspec.Raw(b"")
    arg_1: str = ""


class Row(msgspec.Struct, kw_only=True, gc=False):
    """One logged document. Metrics follow as `metric_0`, `metric_1` … in subclasses."""

    doc_id: _DocId
    doc: msgspec.Raw
    target: Any = None
    filter: str | None = None
    doc_hash: str | None = None
    prompt_hash: str | None = None


class _Scored(Row, kw_only=True, gc=False):
    filtered_resps: Annotated[list[Response], msgspec.Meta(min_length=1)]
    arguments: dict[str, Argument] | list[PositionalArgument] = {}


class _First(msgspec.Struct, gc=False):
    gen_args_0: Argument


class _FirstOf040(msgspec.Struct, array_like=True, gc=False):
    gen_args_0: PositionalArgument


class _Lettered(Row, kw_only=True, gc=False):
    # Where every question scores the same letters, one of them tells that this row does too.
    filtered_resps: Annotated[list[Response], msgspec.Meta(min_length=1)]
    arguments: _First | None = None


class _LetteredOf040(Row, kw_only=True, gc=False):
    filtered_resps: Annotated[list[Response], msgspec.Meta(min_length=1)]
    arguments: _FirstOf040 | None = None


class _ScoredOld(Row, kw_only=True, gc=False):
    # Logs without `filtered_resps` hold one list of repeats per option.
    resps: list[Annotated[list[Response], msgspec.Meta(min_length=1)]]
    arguments: dict[str, Argument] | list[PositionalArgument] = {}

    @property
    def filtered_resps(self) -> list[Response]:
        return [repeats[0] for repeats in self.resps]


@dataclass(frozen=True)
class RowKind:
    """What the rows of a file hold.

    Attributes
    ----------
    type : type
        A subclass of Row with a field per metric.
    metrics : tuple of str
        Names behind `metric_0`, `metric_1` …
    has_options : bool
        Whether the rows carry `filtered_resps` and `arguments`: log-probabilities of at least two options.
    letters : tuple of str
        What the first row scores, if that is letters: its type then decodes only the first request of a row.
    """

    type: Any
    metrics: tuple[str, ...]
    has_options: bool
    letters: tuple[str, ...] = ()


def read_rows(path: Path, *, letters: bool = False) -> tuple[RowKind, Iterator[list[Any]]]:
    """Decode a samples file: JSON lines, or the JSON array that lm_eval 0.4.0 wrote.

    Parameters
    ----------
    path : Path
    letters : bool
        Whether to expect that all rows score the letters of the first, if it scores letters.

    Returns
    -------
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
        if start.lstrip(_BLANK).startswith(b"["):
            kind, rows = _read_array(path.read_bytes().lstrip(_BOM), path, letters)
            return kind, iter([rows])
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", do="check the path and its permissions", path=path
        ) from None
    try:
        first = msgspec.json.decode(start)
    except (ValueError, RecursionError):
        first = _lenient(start.lstrip(_BOM), line, path)
    kind = row_kind(_as_document(first, line, path), letters=letters)
    return kind, _read_lines(kind, path)


def _read_lines(kind: RowKind, path: Path) -> Iterator[list[Any]]:
    decoder = msgspec.json.Decoder(kind.type, strict=False)
    with path.open("rb", buffering=0) as file:
        for offset, lines in _chunks(file):
            yield _decode_lines(decoder, lines, offset, path)


def _chunks(file: io.RawIOBase) -> Iterator[tuple[int, memoryview]]:
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


def _decode_lines(decoder: msgspec.json.Decoder[Any], lines: memoryview, offset: int, path: Path) -> list[Any]:
    try:
        return decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        # The exact decoder knows neither NaN nor the line of an error: go through the chunk again, row by row.
        with path.open("rb") as file:
            line = file.read(offset).count(b"\n")
        return [
            _decode(decoder, row.lstrip(_BOM), line + number, path)
            for number, row in enumerate(io.BytesIO(lines), 1)
            if row.strip(_BLANK)
        ]


def _read_array(content: bytes, path: Path, letters: bool) -> tuple[RowKind, list[Any]]:
    try:
        # Only the first element is needed, and the array may be long.
        head = content[: content.find(b'"doc_id"', content.find(b'"doc_id"') + 1)].decode()
        first = json.JSONDecoder().raw_decode(head, head.index("{"))[0]
        kind = row_kind(_as_document(first, 1, path), letters=letters)
        return kind, msgspec.json.Decoder(list[kind.type], strict=False).decode(content)  # type: ignore[name-defined]
    except (ValueError, RecursionError):
        return _read_array_by_row(content, path, letters)


def _read_array_by_row(content: bytes, path: Path, letters: bool) -> tuple[RowKind, list[Any]]:
    """Read an array that holds NaN, which only Python's json knows, or an error, which is to be found."""
    try:
        pieces = [bytes(raw) for raw in msgspec.json.decode(content, type=list[msgspec.Raw])]
    except (ValueError, RecursionError):
        items = _lenient(content, 1, path)
        pieces = [_strictly(item) for item in (items if isinstance(items, list) else [items])]
    if not pieces:
        raise InputError("the log holds no document", expected="one JSON object per document", path=path)
    kind = row_kind(_as_document(_lenient(pieces[0], 1, path), 1, path), letters=letters)
    decoder, position, line, rows = msgspec.json.Decoder(kind.type, strict=False), 0, 1, []
    for piece in pieces:
        found = content.find(piece, position)
        if found >= 0:
            line += content.count(b"\n", position, found)
            position = found
        rows.append(_decode(decoder, piece, line, path))
    return kind, rows


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


def _lenient(text: bytes, line: int, path: Path) -> Any:
    """Parse as Python's json does, which wrote the file: NaN and Infinity become strings, which decode to floats."""
    try:
        return json.loads(
            text, parse_constant=lambda name: {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}[name]
        )
    except json.JSONDecodeError as error:
        raise InputError(
            f"not JSON: {error.msg} at column {error.colno}",
            expected="one JSON object per document",
            do="the file may be cut or damaged; copy it again or run lm_eval again",
            path=path,
            line=line + error.lineno - 1,
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"not UTF-8: {error.reason} at byte {error.start}",
            expected="UTF-8 text",
            do="copy the file again or run lm_eval again",
            path=path,
            line=line + text.count(b"\n", 0, error.start),
        ) from None
    except (RecursionError, ValueError) as error:
        raise InputError(f"cannot be parsed: {error}", do="run lm_eval again", path=path, line=line) from None


def _strictly(item: Any) -> bytes:
    return json.dumps(item, ensure_ascii=False).encode("utf-8", "replace")


def _decode(decoder: msgspec.json.Decoder[Any], text: bytes, line: int, path: Path) -> Any:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        item = _lenient(text, line, path)
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


def find_line(path: Path, document: bytes, doc_id: int) -> int | None:
    """Line of a samples file that holds a document, for a message about it; None where the file holds other bytes."""
    number = re.compile(rb'"doc_id"\s*:\s*"?%d\b' % doc_id)
    found = None
    with path.open("rb") as file:
        for line, text in enumerate(file, 1):
            if document in text:
                if number.search(text):
                    return line
                found = found or line
    if found is None and b"\n" in document:
        content = path.read_bytes()
        place = content.find(document)
        return content.count(b"\n", 0, place) + 1 if place >= 0 else None
    return found


def _plain(message: str) -> str:
    return message.replace("Object ", "").replace("`$.", "`").replace("`$`", "the row")


def _is_response(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or str(value[1]) not in ("True", "False"):
        return False
    try:
        float(value[0])
    except (TypeError, ValueError):
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float) or value in ("nan", "inf", "-inf")


def _letters(first: dict[str, Any]) -> tuple[str, ...]:
    """The options of a row, if each is scored by a letter of its own."""
    arguments = first.get("arguments")
    if isinstance(arguments, dict):
        texts = [item.get("arg_1") if isinstance(item, dict) else None for item in arguments.values()]
    elif isinstance(arguments, list):
        texts = [item[1] if isinstance(item, list) and len(item) > 1 else None for item in arguments]
    else:
        return ()
    letters = tuple(text for text in texts if isinstance(text, str) and len(text.strip()) == 1)
    distinct = len(set(letters)) == len(texts) == len(first["filtered_resps"])
    return letters if distinct else ()


def row_kind(first: dict[str, Any], *, letters: bool = False) -> RowKind:
    """Kind of a file's rows, from its first row."""
    scored: type[Row] = Row
    filtered, resps = first.get("filtered_resps"), first.get("resps")
    if isinstance(filtered, list) and len(filtered) > 1 and all(_is_response(value) for value in filtered):
        scored = _Scored
    elif (
        filtered is None
        and isinstance(resps, list)
        and len(resps) > 1
        and all(isinstance(value, list) and value and _is_response(value[0]) for value in resps)
    ):
        scored = _ScoredOld
    listed = first.get("metrics")
    names = listed if isinstance(listed, list) else list(first)
    metrics = tuple(
        name
        for name in dict.fromkeys(name for name in names if isinstance(name, str))
        if name not in _KNOWN and _is_number(first.get(name))
    )
    found = _letters(first) if letters and scored is _Scored else ()
    if found:
        scored = _Lettered if isinstance(first["arguments"], dict) else _LetteredOf040
    return RowKind(_defined_row(scored, metrics), metrics, scored is not Row, found)


@cache
def _defined_row(scored: type[Row], metrics: tuple[str, ...]) -> Any:
    return msgspec.defstruct(
        "LoggedRow",
        [(f"metric_{i}", float | bool | None, None) for i in range(len(metrics))],
        bases=(scored,),
        kw_only=True,
        rename={f"metric_{i}": name for i, name in enumerate(metrics)},
        gc=False,
    )
