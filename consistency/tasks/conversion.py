"""Questions from the raw records of Xiezhi and MedMCQA, with a count of the records that are dropped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError, not_one_of
from consistency.support.files import write_atomically
from consistency.support.json_files import read_rows
from consistency.tasks.questions import MOST_OPTIONS, Question

FORMATS = ("xiezhi", "medmcqa")
_MEDMCQA_OPTIONS = ("opa", "opb", "opc", "opd")


class _Dropped(Exception):  # noqa: N818
    """Why a record is left out."""


def convert_xiezhi(records: Iterable[Any], subject: str) -> tuple[list[Question], Counter[str]]:
    r"""Convert raw Xiezhi records.

    Parameters
    ----------
    records : iterable of mapping
        With `question`, `options` (one text, an option a line) and `answer` (the text of the gold one).
    subject : str
        The domain that they are about.

    Returns
    -------
    questions : list of Question
        The `id` is the record's row, counted from 0. Where two options have the text of the answer, the first is gold,
        as in the release.
    dropped : Counter
        How many records were left out, by reason.

    Examples
    --------
    >>> convert_xiezhi([{"question": "?", "options": "yes\nno", "answer": "No"}], "history")
    ([], Counter({'the answer is not among the options': 1}))
    """

    def convert(row: int, record: Mapping[str, Any]) -> Question:
        choices = _text(record, "options").split("\n")
        answer = _text(record, "answer")
        _check_options(choices)
        if answer not in choices:
            raise _Dropped("the answer is not among the options")
        return Question(row, subject, _text(record, "question"), tuple(choices), choices.index(answer))

    return _convert(records, convert)


def convert_medmcqa(
    records: Iterable[Any], subject: str = "medicine", first_option: int | None = None
) -> tuple[list[Question], Counter[str]]:
    """Convert raw MedMCQA records.

    Parameters
    ----------
    records : iterable of mapping
        With `question`, `opa` to `opd`, `cop` (number of the right option), `exp` and `choice_type`.
    subject : str
        The domain that they are about.
    first_option : {0, 1}, optional
        How `cop` numbers the first option: 1 in the original files, 0 in `openlifescienceai/medmcqa`. By default it
        follows from the records: some `cop` is 0, or some is 4.

    Returns
    -------
    questions : list of Question
        The `id` is the record's row, counted from 0, as in the release; `exp` is the explanation.
    dropped : Counter
        How many records were left out, by reason. Records with several right answers (`choice_type` "multi") are.

    Raises
    ------
    InputError
        If the records do not show how `cop` counts, or `first_option` is another number.
    """
    if first_option not in (None, 0, 1):
        raise InputError(f"the number of the first option is {first_option}", expected="0 or 1")
    records = list(records)
    if first_option is None:
        numbers = {cop for record in records if isinstance(record, Mapping) and type(cop := record.get("cop")) is int}
        if (0 in numbers) == (4 in numbers):
            raise InputError(
                "the field cop does not show whether it counts options from 0 or from 1",
                do="give it with --first-option: 1 in the original files, 0 in openlifescienceai/medmcqa",
            )
        first_option = 0 if 0 in numbers else 1

    def convert(row: int, record: Mapping[str, Any]) -> Question:
        if record.get("choice_type", "single") != "single":
            raise _Dropped("several right answers")
        question = _text(record, "question")
        choices = [_text(record, option) for option in _MEDMCQA_OPTIONS]
        _check_options(choices)
        right = record.get("cop")
        if type(right) is not int or not 0 <= right - first_option < len(choices):
            raise _Dropped("the answer is not among the options")
        explanation = "" if record.get("exp") is None else record["exp"]
        if not isinstance(explanation, str):
            raise _Dropped("exp is not a text")
        return Question(row, subject, question, tuple(choices), right - first_option, explanation)

    return _convert(records, convert)


def convert_file(
    raw: str | Path, out: str | Path, form: str, first_option: int | None = None
) -> tuple[int, Counter[str]]:
    """Convert a file of raw records to a file of questions.

    Parameters
    ----------
    raw : path-like
        JSON lines, or one JSON array.
    out : path-like
        The JSONL file to write.
    form : {"xiezhi", "medmcqa"}
        Whose records they are.
    first_option : {0, 1}, optional
        See `convert_medmcqa`.

    Returns
    -------
    written : int
        Number of questions.
    dropped : Counter
        How many records were left out, by reason; with `written` they add up to the records read.

    Raises
    ------
    InputError
        If the file cannot be read or is not valid JSON, or no record is a question.
    """
    if form not in FORMATS:
        raise not_one_of("format", form, FORMATS)
    records = [record for _, record in read_rows(raw, "a raw record")]
    if not records:
        raise InputError("no records", expected=f"those of {form}", path=raw)
    try:
        if form == "xiezhi":
            questions, dropped = convert_xiezhi(records, "")
        else:
            questions, dropped = convert_medmcqa(records, first_option=first_option)
    except InputError as error:
        raise InputError(error.problem, expected=error.expected, do=error.do, path=raw) from error
    if not questions:
        reasons = ", ".join(f"{count} × {reason}" for reason, count in sorted(dropped.items()))
        raise InputError(f"no record is a question ({reasons})", expected=f"records of {form}", path=raw)
    lines = [msgspec.json.encode({k: v for k, v in q.to_dict().items() if k != "subject"}) for q in questions]
    write_atomically(out, b"\n".join([*lines, b""]).decode())
    return len(questions), dropped


def _convert(
    records: Iterable[Any], convert: Callable[[int, Mapping[str, Any]], Question]
) -> tuple[list[Question], Counter[str]]:
    questions: list[Question] = []
    dropped: Counter[str] = Counter()
    for row, record in enumerate(records):
        try:
            if not isinstance(record, Mapping):
                raise _Dropped("not an object")
            questions.append(convert(row, record))
        except _Dropped as reason:
            dropped[str(reason)] += 1
    return questions, dropped


def _text(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if value is None:
        raise _Dropped(f"no {key}")
    if not isinstance(value, str):
        raise _Dropped(f"{key} is not a text")
    if not value.strip():
        raise _Dropped(f"{key} is empty")
    return value


def _check_options(choices: list[str]) -> None:
    if not 2 <= len(choices) <= MOST_OPTIONS:
        raise _Dropped(f"fewer than 2 options or more than {MOST_OPTIONS}")
    if not all(choice.strip() for choice in choices):
        raise _Dropped("an empty option")
