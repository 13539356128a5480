"""What the rows of a samples file of lm_eval hold: a type for them, found from the first row.

The fields of a row are known but for its metrics, whose names the first row gives; the type is built from it. Prompts,
which are most of a file, are skipped without being decoded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

import msgspec

from consistency.errors import InputError

_ODD = re.compile(r"""[\\"\x00-\x1f\x7f]""")
_TAG = re.compile(r"<(answer|final_answer|final)>", re.IGNORECASE)
# Fields of every log: what else a first row holds may be a metric.
_KNOWN = {
    *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
    *("doc_hash", "prompt_hash", "target_hash"),
}
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
