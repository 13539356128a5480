"""Explanations and contexts that stand in a column of a user's own file."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from consistency.errors import InputError
from consistency.knowledge.beliefs import Belief, Beliefs
from consistency.knowledge.explanations import Explanations
from consistency.logs.documents import find_line
from consistency.support.json_files import UNREADABLE
from consistency.tasks.questions import TextIds

Purpose = Literal["explain", "context"]


def read_column(path: str | Path, column: str, beliefs: Sequence[Belief], purpose: Purpose) -> Explanations:
    """Read texts from a column of a file that has a row for each question.

    Parameters
    ----------
    path : path-like
        A JSONL file. A row belongs to the question whose `id` it has and whose text is its `question`. A row without an
        `id` has its place, counted from 0, for one, or what its `question` and `choices` make of it (`TextIds`). The
        text is about the option of the row's `option`, such as the file of `write_requests` has; otherwise about the
        model's answer ("explain") or the golden one ("context").
    column : str
        Name of the column; a text or null.
    beliefs : sequence of Belief
        The probe's questions.
    purpose : {"explain", "context"}
        What the texts are.

    Returns
    -------
    Explanations
        Rows of questions that the probe lacks are ignored; empty texts count as unusable.

    Raises
    ------
    InputError
        Naming the line, if the file cannot be read or a row's text is none; if no row has the column, or none belongs
        to a question of the probe.
    """
    path = Path(path)
    try:
        with path.open("rb") as lines:
            return _collect(_decoded(lines, path), column, beliefs, purpose, path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", expected="a JSONL file", path=path) from error


def read_probe_column(beliefs: Beliefs, column: str, purpose: Purpose, source: Path) -> Explanations:
    """Read texts from a field of the probe's own documents: see `read_column`."""
    rows = ((number, msgspec.json.decode(document)) for number, document in enumerate(beliefs.documents, 1))
    numbered = ((number, {"id": id_, **row}) for (number, row), id_ in zip(rows, beliefs.ids, strict=True))
    try:
        return _collect(numbered, column, beliefs, purpose, source)
    except InputError as error:
        if error.line is None:
            raise
        # Documents of a log are sorted, and need not stand at their own line.
        line = find_line(source, beliefs.documents[error.line - 1], -1)
        raise InputError(error.problem, expected=error.expected, path=source, line=line) from error


def _decoded(lines: Iterable[bytes], path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(lines, 1):
        try:
            row = msgspec.json.decode(line.removeprefix(BOM_UTF8).decode(), type=dict[str, Any])
        except UNREADABLE as error:
            problem = str(error) if line.strip() else "an empty line"
            raise InputError(problem, expected="one JSON object a line", path=path, line=number) from error
        yield number, row


def _collect(
    rows: Iterable[tuple[int, dict[str, Any]]],
    column: str,
    beliefs: Sequence[Belief],
    purpose: Purpose,
    path: Path,
) -> Explanations:
    option_of: Callable[[Belief], int] = (lambda b: b.answer) if purpose == "explain" else (lambda b: b.gold)
    asked: dict[tuple[Any, Any], Belief] = {(belief.id, belief.question): belief for belief in beliefs}
    texts: dict[tuple[str | int, str, int], str] = {}
    unusable, found = 0, False
    text_ids = TextIds()
    for number, row in rows:
        text, option = row.get(column), row.get("option")
        found = found or column in row
        if text is not None and not isinstance(text, str):
            raise InputError(f"{column} is {str(text)[:40]!r}", expected="a text or null", path=path, line=number)
        identifier, question = row.get("id"), row.get("question")
        ids = [number - 1, text_ids(str(question), row.get("choices") or ())] if identifier is None else [identifier]
        keys = ((id_, question) for id_ in ids if isinstance(id_, str | int) and isinstance(question, str))
        belief = next((asked[key] for key in keys if key in asked), None)
        if belief is None or column not in row:
            continue
        if option is not None and not (type(option) is int and 0 <= option < len(belief.choices)):
            raise InputError(
                f"the option is {option!r}", expected="an index of the question's choices", path=path, line=number
            )
        if text is not None and text.strip():
            texts[belief.id, belief.question, option_of(belief) if option is None else option] = text.strip()
        else:
            unusable += 1
    if not found:
        raise InputError(f"no row has the column {column!r}", expected="a column with texts", path=path)
    if not texts and not unusable:
        raise InputError("no row is about a question of the probe", expected="its id and question", path=path)
    return Explanations(texts, unusable, path)
