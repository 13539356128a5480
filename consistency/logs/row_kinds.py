"""The types of a samples file's rows: what is decoded, and under which names, as the first row tells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeGuard

import msgspec

from consistency.errors import InputError

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
        What the first row scores, if that is letters: its type then takes no row that scores others, or under another
        filter.
    filter : str
        Of the first row.
    unread : tuple of str
        Metrics that are no single numbers, such as the lists behind a perplexity.
    """

    type: Any
    metrics: tuple[str, ...]
    has_options: bool
    letters: tuple[str, ...] = ()
    filter: str = "none"
    unread: tuple[str, ...] = ()


def _is_response(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 2 or str(value[1]) not in ("True", "False"):
        return False
    try:
        float(value[0])
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, bool | int | float) or value in ("nan", "inf", "-inf")


def _is_literal(value: Any) -> TypeGuard[str]:
    # Half a surrogate pair, which is not printable, can be none.
    return isinstance(value, str) and value.isprintable()


def in_order(arguments: dict[str, Any]) -> list[Any]:
    """Requests by the number in their names `gen_args_0`, `gen_args_1` …, whatever order a file has them in.

    Examples
    --------
    >>> in_order({"gen_args_10": "k", "gen_args_2": "c"})
    ['c', 'k']
    """
    if tuple(arguments) == _names(len(arguments)):
        return list(arguments.values())
    return [arguments[name] for name in sorted(arguments, key=lambda name: (len(name), name))]


@cache
def _names(count: int) -> tuple[str, ...]:
    return tuple(f"gen_args_{i}" for i in range(count))


def _letters(first: dict[str, Any]) -> tuple[str, ...]:
    """The options of a row, if each is scored by a letter of its own."""
    arguments = first.get("arguments")
    if isinstance(arguments, dict):
        texts = [item.get("arg_1") if isinstance(item, dict) else None for item in in_order(arguments)]
    elif isinstance(arguments, list):
        texts = [item[1] if isinstance(item, list) and len(item) > 1 else None for item in arguments]
    else:
        return ()
    letters = tuple(t for t in texts if _is_literal(t) and len(t.strip()) == 1)
    distinct = len(set(letters)) == len(texts) == len(first["filtered_resps"])
    return letters if distinct else ()


def row_kind(first: dict[str, Any], *, letters: bool, line: int | None, path: Path) -> RowKind:
    """Kind of a file's rows, from its first row, which `line` and `path` name."""
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
    unread = tuple(name for name in listed if isinstance(name, str) and name not in metrics) if names is listed else ()
    arguments = first.get("arguments")
    if scored is Row and "acc" in metrics and isinstance(arguments, dict | list) and len(arguments) > 1:
        # Read as a task without options, the whole file would be.
        raise InputError(
            "the options' log-probabilities cannot be read",
            expected="filtered_resps with a log-probability for each of the arguments",
            do="run lm_eval again, or remove the line",
            path=path,
            line=line,
        )
    filtered_by = first.get("filter")
    found: tuple[str, ...] = ()
    if letters and scored is _Scored and (filtered_by is None or _is_literal(filtered_by)):
        found = _letters(first)
    if found:
        scored = _lettered(found, filtered_by, named=isinstance(arguments, dict))
    return RowKind(
        type=_defined_row(scored, metrics),
        metrics=metrics,
        has_options=scored is not Row,
        letters=found,
        filter=filtered_by or "none",
        unread=unread,
    )


@cache
def _lettered(letters: tuple[str, ...], filtered: str | None, *, named: bool) -> Any:
    """Rows that all score the same letters: of the requests the first alone is decoded, and tells that a row does."""
    prompt = [] if named else [("arg_0", msgspec.Raw)]
    letter: Any = Literal[letters[0]]
    request = msgspec.defstruct("Request", [*prompt, ("arg_1", letter)], array_like=not named, gc=False)
    requests = msgspec.defstruct("Requests", [("gen_args_0", request)], array_like=not named, gc=False)
    responses: Any = Annotated[list[Response], msgspec.Meta(min_length=len(letters), max_length=len(letters))]
    same: Any = ("filter", Literal[filtered]) if filtered else ("filter", None, None)
    fields = [same, ("filtered_resps", responses), ("arguments", requests)]
    return msgspec.defstruct("LetteredRow", fields, bases=(Row,), kw_only=True, gc=False)


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
