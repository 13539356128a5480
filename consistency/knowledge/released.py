"""The format in which the paper's authors released their probes, and the groups made of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from consistency.errors import InputError
from consistency.knowledge.beliefs import THRESHOLD, Beliefs, Document, check_threshold, sampling_keys
from consistency.knowledge.explanations import Explanations
from consistency.support.json_files import UNREADABLE, first_line, read_jsonl_bytes
from consistency.tasks.questions import text_problem

# Probabilities were released with the precision of the model's own numbers.
_TOLERANCE = 0.01
_Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class _Row(Document, kw_only=True, gc=False):
    probs: Annotated[list[_Probability], msgspec.Meta(min_length=2)]
    answer: int
    pred: int | None = None
    model_exp: str | None = None


@dataclass
class _Found:
    """A question, and where it was found first."""

    row: _Row
    answer: int
    document: bytes
    path: Path
    line: int
    named: bool


def is_released(path: str | Path) -> bool:
    """Whether a file, or the JSONL files of a folder, hold rows with `probs` and are not logs of lm_eval.

    Raises
    ------
    InputError
        If some files of a folder do and others do not.

    Examples
    --------
    >>> is_released("no/such/file")
    False
    """
    files = released_files(path)
    released = list(map(_looks_released, files))
    if any(released) and not all(released):
        raise InputError(
            f"the first row has no probs, unlike that of {files[released.index(True)].name}",
            expected="a folder whose JSONL files are all in the released format",
            do="move it elsewhere, or name a single file",
            path=files[released.index(False)],
            line=1,
        )
    return any(released)


def released_files(path: str | Path) -> list[Path]:
    """The file itself, or the JSONL files of a folder by name."""
    path = Path(path)
    return sorted(path.glob("*.jsonl")) if path.is_dir() else [path] if path.is_file() else []


def read_released(
    paths: Sequence[Path], subject: str, threshold: float = THRESHOLD
) -> tuple[Beliefs, Explanations | None]:
    """Read rows of `question`, `choices`, `answer`, `probs` and `pred` as a probe.

    Parameters
    ----------
    paths : sequence of Path
        JSONL files of one model and domain. A question may be in several of them, as in the authors' release, where
        one file holds the gold option's explanation and another the model's (`model_exp`).
    subject : str
        What the questions are about, where a row has no `subject`.
    threshold : float
        The confidence that an answer must exceed to count as knowledge.

    Returns
    -------
    beliefs : Beliefs
        In the order of the files and their lines; ids as the files have them, or the line's number from 0 where a single
        file has none. The model's answer is `pred`, what the authors' code chose among tied options; the
        most probable option where there is none.
    explanations : Explanations or None
        What the column `model_exp` holds; None where no row has it.

    Raises
    ------
    InputError
        Naming file and line, if a row is malformed, its probabilities do not sum to 1, `pred` is not the most probable
        option, or a question's id is that of another one.
    """
    check_threshold(threshold)
    found: dict[str | int, _Found] = {}
    for path in paths:
        seen: dict[str | int, int] = {}
        for item in _rows(path, len(paths) > 1):
            identifier = item.row.id
            assert identifier is not None
            if identifier in seen:
                raise InputError(
                    f"the id {identifier!r} is that of line {seen[identifier]}",
                    expected="distinct ids",
                    path=path,
                    line=item.line,
                )
            seen[identifier] = item.line
            found[identifier] = _merge(found[identifier], item) if identifier in found else item
    if not found:
        raise InputError("no rows", expected="one question a line, with probs, pred and answer", path=paths[0])
    items = list(found.values())
    ids = list(found)
    unnamed = {place: item.row for place, item in enumerate(items) if not item.named}
    width = max(len(item.row.probs) for item in items)
    probs = np.full((len(items), width), np.nan)
    for place, item in enumerate(items):
        probs[place, : len(item.row.probs)] = item.row.probs
    beliefs = Beliefs(
        documents=[item.document for item in items],
        ids=ids,
        keys=sampling_keys(ids, unnamed),
        gold=np.array([item.row.answer for item in items], dtype=np.int64),
        answer=np.array([item.answer for item in items], dtype=np.int64),
        probs=probs,
        subject=subject,
        threshold=threshold,
        # These rows are groups already, which are to be reproduced.
        as_released=True,
    )
    given = [(item, (item.row.model_exp or "").strip()) for item in items if item.row.model_exp is not None]
    if not given:
        return beliefs, None
    texts = {(item.row.id, item.row.question, item.answer): text for item, text in given if text}
    return beliefs, Explanations(texts, len(given) - len(texts), given[0][0].path)  # type: ignore[arg-type]


def _looks_released(path: Path) -> bool:
    try:
        row: Any = msgspec.json.decode(first_line(path))
    except UNREADABLE:
        return False
    return isinstance(row, dict) and "probs" in row and "filtered_resps" not in row and "resps" not in row


def _rows(path: Path, several: bool) -> Iterator[_Found]:
    for line, document, row in read_jsonl_bytes(path, _Row, "a question with choices, answer and probs"):
        problem = _problem(row, several)
        if problem:
            raise InputError(problem[0], expected=problem[1], path=path, line=line)
        named = row.id is not None
        if not named:
            row.id = line - 1
        answer = max(range(len(row.probs)), key=row.probs.__getitem__) if row.pred is None else row.pred
        yield _Found(row, answer, document, path, line, named)


def _problem(row: _Row, several: bool) -> tuple[str, str] | None:
    problem = text_problem(row.question, row.choices)
    if problem:
        return problem
    count = len(row.choices)
    if len(row.probs) != count:
        return f"{len(row.probs)} probabilities for {count} options", "one for each"
    if not 0 <= row.answer < count:
        return f"the gold index is {row.answer}", f"a number from 0 to {count - 1}"
    if abs(sum(row.probs) - 1) > _TOLERANCE:
        return f"the probabilities sum to {sum(row.probs):.3f}", "1, by a softmax over the options"
    if row.pred is not None and not (0 <= row.pred < count and row.probs[row.pred] == max(row.probs)):
        return f"pred is {row.pred}", f"the most probable option, {row.probs.index(max(row.probs))}"
    if row.id is None and several:
        return "no id", "an id on every line, since several files are read"
    return None


def _merge(first: _Found, second: _Found) -> _Found:
    """One question of two files, with the explanations of both."""

    def probed(row: _Row) -> tuple[Any, ...]:
        return row.question, row.choices, row.answer, row.pred, row.probs

    if probed(first.row) != probed(second.row):
        raise InputError(
            f"the id {first.row.id!r} is that of another question, or of another probe of it, in "
            f"{first.path.name}:{first.line}",
            expected="files of one model and domain",
            path=second.path,
            line=second.line,
        )
    row = first.row
    row.explanation = row.explanation or second.row.explanation
    row.model_exp = row.model_exp or second.row.model_exp
    return replace(first, document=msgspec.json.encode(row))
