"""Decode one samples file of lm_eval into typed rows, as fast as JSON can be decoded.

The fields of a row are known but for its metrics, whose names the first row gives; the type is built from it. Prompts,
which are most of a file, are skipped without being decoded. Python's own json, which wrote the file and is slower, reads
the rows that the fast decoder refuses: those with NaN or Infinity, and those with an error, which it locates.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

import msgspec

from consistency.errors import InputError
from consistency.logs.packed import open_log

_BOM = b"\xef\xbb\xbf"
_BLANK = _BOM + b" \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
# The comma between two rows of an array. In a text the quotes of a key have a backslash before them.
_NEXT_ROW = re.compile(rb'\}[ \t\r\n]*(,)[ \t\r\n]*\{[ \t\r\n]*"doc_id"')
_ODD = re.compile(r"""[\\"\x00-\x1f\x7f]""")
_TAG = re.compile(r"<(answer|final_answer|final)>", re.IGNORECASE)
# A chunk stays in the processor's cache while it is decoded; reading whole files costs as much as decoding them.
_CHUNK = 1 << 19
# Fields of every log: what else a first row holds may be a metric.
_KNOWN = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}
# Python's json writes them, JSON does not have them; as texts they decode to floats.
_CONSTANTS = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
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


class _ScoredOld(Row, kw_only=True, gc=False):
    # Logs without `filtered_resps` hold one list of repeats per option.
    resps: list[Annotated[list[Response], msgspec.Meta(min_length=1)]]
    arguments: dict[str, Argument] | list[PositionalArgument] = {}

    @property
    def filtered_resps(self) -> list[Response]:
        return [repeats[0] for repeats in self.resps]


class _Generated(Row, kw_only=True, gc=False):
    """A row with what a model wrote: the whole texts, and what each filter took from them."""

    resps: Any = None
    filtered_resps: Any = None


@dataclass(frozen=True)
class RowKind:
    """What the rows of a file hold.

    Attributes
    ----------
    type : type
        A subclass of Row with a field per metric.
    metrics : tuple of str
        Names behind `metric_0`, `metric_1` …; numbers, or whatever the task aggregates.
    has_options : bool
        Whether the rows carry `filtered_resps` and `arguments`: log-probabilities of at least two options.
    letters : tuple of str
        What the first row scores, if that is letters: its type then refuses a row that scores others, or under another
        filter.
    filter : str or None
        Of the first row; None in logs that do not name filters.
    is_generated : bool
        Whether the rows carry `resps` and `filtered_resps`: texts that the model wrote.
    tag : str
        The tag that the first row's prompt asks the answer to stand in, such as "answer" of `<answer>`; empty without one.
    odd : tuple of str
        Metrics whose names hold quotes, backslashes or control characters, which no field of a row can have.
    """

    type: Any
    metrics: tuple[str, ...]
    has_options: bool
    letters: tuple[str, ...] = ()
    filter: str | None = None
    is_generated: bool = False
    tag: str = ""
    odd: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expected:
    """What the rows of a file are taken to hold before they are seen.

    Attributes
    ----------
    letters : bool
        Whether to expect that all rows score the letters of the first, if it scores letters.
    metrics : tuple of str
        Metrics of the task, which the first row may lack.
    numbers : bool
        Whether a metric that is a number in the first row is one in all; otherwise it may be anything.
    """

    letters: bool = False
    metrics: tuple[str, ...] = ()
    numbers: bool = True


@contextmanager
def open_rows(path: Path, expected: Expected = Expected()) -> Iterator[tuple[RowKind, Iterator[list[Any]]]]:
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


def row_kind(first: dict[str, Any], expected: Expected, *, line: int | None, path: Path) -> RowKind:
    """The kind of a file's rows, from its first row, which `line` and `path` name."""
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
    plain = {
        name: first.get(name) is not None and _is_number(first[name])
        for name in names
        if isinstance(name, str)
        and name not in _KNOWN
        # Without a list of them, what else a row holds may be a metric if it is a number or a list.
        and (
            names is listed or (first[name] is not None and (_is_number(first[name]) or isinstance(first[name], list)))
        )
    }
    plain |= {name: False for name in expected.metrics if name not in plain and name not in _KNOWN}
    odd = tuple(name for name in plain if _ODD.search(name))
    plain = {name: number and expected.numbers for name, number in plain.items() if name not in odd}
    metrics = tuple(plain)
    arguments = first.get("arguments")
    requests = _requests(arguments)
    if scored is Row and requests and isinstance(requests[0][1], dict):
        scored = _Generated
    if scored is Row and "acc" in metrics and isinstance(arguments, dict | list) and len(arguments) > 1:
        # Otherwise the whole file would be read as a task without options.
        raise InputError(
            "the options' log-probabilities cannot be read",
            expected="filtered_resps with a log-probability for each of the arguments",
            do="run lm_eval again, or remove the line",
            path=path,
            line=line,
        )
    filtered_by = first.get("filter")
    found: tuple[str, ...] = ()
    if expected.letters and scored is _Scored and (filtered_by is None or _is_literal(filtered_by)):
        found = _letters(first)
    if found:
        scored = _lettered_row(found, filtered_by, named=isinstance(arguments, dict))
    generated = scored is _Generated
    return RowKind(
        type=_row_with_metrics(scored, tuple(plain.items())),
        metrics=metrics,
        has_options=scored is not Row and not generated,
        letters=found,
        filter=filtered_by if isinstance(filtered_by, str) else None,
        is_generated=generated,
        tag=_asked_tag(requests[0][0]) if generated else "",
        odd=odd,
    )


def _requests(arguments: Any) -> list[tuple[Any, Any]]:
    """Prompt and second argument of each request of a row: the continuation of an option, or how to generate."""
    if isinstance(arguments, dict):
        items = [item for item in in_order(arguments) if isinstance(item, dict)]
        return [(item.get("arg_0"), item.get("arg_1")) for item in items]
    if isinstance(arguments, list):
        return [(item[0], item[1]) for item in arguments if isinstance(item, list) and len(item) > 1]
    return []


def _asked_tag(prompt: Any) -> str:
    """The tag of `<answer>…</answer>` where a prompt asks for one."""
    found = _TAG.search(str(prompt))
    return found[1] if found else ""


def _is_response(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or str(value[1]) not in ("True", "False"):
        return False
    try:
        float(value[0])
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_number(value: Any) -> bool:
    """Whether a metric is a number, or a number in quotes as lm_eval writes those of numpy."""
    if isinstance(value, bool | int | float):
        return True
    try:
        return isinstance(value, str) and (value.lower() in ("true", "false") or float(value) is not None)
    except ValueError:
        return False


def _is_literal(value: Any) -> TypeGuard[str]:
    # Half a surrogate pair cannot be a Literal; it is not printable.
    return isinstance(value, str) and value.isprintable()


def _letters(first: dict[str, Any]) -> tuple[str, ...]:
    """The options of a row, if each is scored by a letter of its own."""
    texts = [text for _, text in _requests(first.get("arguments"))]
    letters = tuple(t for t in texts if _is_literal(t) and len(t.strip()) == 1)
    distinct = len(set(letters)) == len(texts) == len(first["filtered_resps"])
    return letters if distinct else ()


def in_order(arguments: dict[str, Any]) -> list[Any]:
    """Requests by the number in their names `gen_args_0`, `gen_args_1` …, whatever order a file has them in.

    Examples
    --------
    >>> in_order({"gen_args_10": "k", "gen_args_2": "c"})
    ['c', 'k']
    """
    if tuple(arguments) == _request_names(len(arguments)):
        return list(arguments.values())
    return [arguments[name] for name in sorted(arguments, key=lambda name: (len(name), name))]


@cache
def _request_names(count: int) -> tuple[str, ...]:
    return tuple(f"gen_args_{i}" for i in range(count))


@cache
def _lettered_row(letters: tuple[str, ...], filtered: str | None, *, named: bool) -> Any:
    """The type of rows that all score the same letters in one order: it refuses any other."""
    prompt = [] if named else [("arg_0", msgspec.Raw)]
    fields_of_requests: list[tuple[str, Any]] = []
    for name, text in zip(_request_names(len(letters)), letters, strict=True):
        letter: Any = Literal[text]
        request = msgspec.defstruct("Request", [*prompt, ("arg_1", letter)], array_like=not named, gc=False)
        fields_of_requests.append((name, request))
    requests = msgspec.defstruct(
        "Requests", fields_of_requests, array_like=not named, gc=False, forbid_unknown_fields=True
    )
    responses: Any = Annotated[list[Response], msgspec.Meta(min_length=len(letters), max_length=len(letters))]
    same: Any = ("filter", Literal[filtered]) if filtered else ("filter", None, None)
    fields = [same, ("filtered_resps", responses), ("arguments", requests)]
    return msgspec.defstruct("LetteredRow", fields, bases=(Row,), kw_only=True, gc=False)


@cache
def _row_with_metrics(scored: type[Row], metrics: tuple[tuple[str, bool], ...]) -> Any:
    """The type of rows with metrics, of which each is a number or anything else."""
    return msgspec.defstruct(
        "LoggedRow",
        [(f"metric_{i}", float | bool | None if plain else Any, None) for i, (_, plain) in enumerate(metrics)],
        bases=(scored,),
        kw_only=True,
        rename={f"metric_{i}": name for i, (name, _) in enumerate(metrics)},
        gc=False,
    )


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
        f"not JSON: {error.msg} at column {error.colno}",
        expected="one JSON object per document",
        do="the file may be cut or damaged; copy it again or run lm_eval again",
        path=path,
        line=line + error.lineno - 1,
    )


def _not_text(error: UnicodeDecodeError, line: int, path: Path) -> InputError:
    return InputError(
        f"not UTF-8: {error.reason} at byte {error.start}",
        expected="UTF-8 text",
        do="copy the file again or run lm_eval again",
        path=path,
        line=line + error.object.count(b"\n", 0, error.start),
    )


def _unparsable(error: Exception, line: int, path: Path) -> InputError:
    problem = "nested too deeply" if isinstance(error, RecursionError) else f"cannot be parsed: {error}"
    return InputError(problem, do="run lm_eval again", path=path, line=line)
