"""Multiple-choice questions, and the files that hold them: one JSON object a line, read strictly."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.support.json_files import read_jsonl
from consistency.tasks.prompts import ENGLISH, LETTERS, language_field

MOST_OPTIONS = len(LETTERS)
# In the name of a task that asks every rotation.
CYCLIC = "_cyclic"
_EXPECTED = "a question with choices and the index of its answer"


class Question(msgspec.Struct, frozen=True):
    """A multiple-choice question.

    Attributes
    ----------
    id : int or str
        Unique within its file; its row, counted from 0, where the file gives none.
    subject : str
        What it is about, as the header names it.
    question : str
        The stem, verbatim.
    choices : tuple of str
        2 to 10 options, none of them blank.
    answer : int
        Index of the gold option.
    explanation : str
        Why it is right; empty where there is none.
    text_id : str
        Its id in documents where the file gives none, see `TextIds`; empty otherwise.
    language : str
        In which it is asked: see `prompts.WORDINGS`.
    """

    id: int | str
    subject: str
    question: str
    choices: tuple[str, ...]
    answer: int
    explanation: str = ""
    text_id: str = ""
    language: str = ENGLISH

    def to_dict(self) -> dict[str, Any]:
        """The question as the document of an lm_eval task."""
        fields = msgspec.structs.asdict(self)
        text_id, language = fields.pop("text_id"), fields.pop("language")
        # A row's number changes as soon as a question before it is added or removed.
        return {**fields, "id": text_id or self.id, "choices": list(self.choices), **language_field(language)}


def rotate(question: Question) -> Iterator[dict[str, Any]]:
    """The documents of a question, one for each rotation of its options.

    Parameters
    ----------
    question : Question

    Yields
    ------
    dict
        The question's fields with `rotation` r: its options from number r on come first.

    Examples
    --------
    >>> [d["choices"] for d in rotate(Question(0, "s", "?", ("yes", "no"), 1))]
    [['yes', 'no'], ['no', 'yes']]
    """
    count = len(question.choices)
    for rotation in range(count):
        yield {
            **question.to_dict(),
            "choices": [*question.choices[rotation:], *question.choices[:rotation]],
            "answer": (question.answer - rotation) % count,
            "rotation": rotation,
        }


class TextIds:
    """Ids for questions that have none: hashes of their texts, so that they do not depend on the other questions.

    Examples
    --------
    >>> ids = TextIds()
    >>> once, twice = (ids("Who?", ["Ada", "Bob"]) for _ in range(2))
    >>> twice == once + "-2"
    True
    """

    def __init__(self) -> None:
        self._times: Counter[str] = Counter()

    def __call__(self, question: str, choices: Sequence[str]) -> str:
        """A hash of question and options, with a number behind it for each repetition of the same texts."""
        key = hashlib.sha256(msgspec.json.encode([question, choices])).hexdigest()
        self._times[key] += 1
        return key if self._times[key] == 1 else f"{key}-{self._times[key]}"


class _Row(msgspec.Struct):
    question: str
    choices: list[str]
    answer: int
    id: int | str | None = None
    explanation: str | None = None


def read_questions(path: str | Path, subject: str, language: str = ENGLISH) -> list[Question]:
    """The questions of a file.

    Parameters
    ----------
    path : path-like
        A JSONL file. Each line has the keys `question`, `choices` (2 to 10 texts) and `answer` (an index); `id` (a text
        or a whole number, on all lines or none) and `explanation` are optional, other keys are ignored.
    subject : str
        What the questions are about, as the header of the prompt names it.
    language : str
        In which they are asked: see `prompts.WORDINGS`.

    Returns
    -------
    list of Question
        One for each line, in the file's order.

    Raises
    ------
    InputError
        Naming the line, if it is not a question; or if the file cannot be read or is empty.

    Examples
    --------
    >>> import tempfile
    >>> line = '{"question": "One and one is", "choices": ["two", "three"], "answer": 0}'
    >>> with tempfile.NamedTemporaryFile("w") as file:
    ...     _ = file.write(line), file.flush()
    ...     read_questions(file.name, "arithmetic")[0].choices
    ('two', 'three')
    """
    rows = read_jsonl(path, _Row, _EXPECTED)
    return check_questions((row for _, row in rows), subject, path, language)


def check_questions(rows: Iterable[Any], subject: str, path: str | Path, language: str = ENGLISH) -> list[Question]:
    """The questions that decoded rows hold, each row checked.

    Parameters
    ----------
    rows : iterable
        Mappings or objects with the fields of a question.
    subject : str
        What the questions are about.
    path : path-like
        Where the rows come from, for error messages, which count them from 1.
    language : str
        In which the questions are asked.

    Returns
    -------
    list of Question

    Raises
    ------
    InputError
        If there is no row, or a row is not a question.

    Examples
    --------
    >>> check_questions([{"question": "?", "choices": ["yes", "no"], "answer": 2}], "all", "d.jsonl")
    Traceback (most recent call last):
        ...
    consistency.errors.InputError: d.jsonl:1: the gold index is 2; expected a number from 0 to 1
    """
    questions: list[Question] = []
    lines: dict[int | str, int] = {}
    kind: type | None = None
    text_ids = TextIds()
    for number, raw in enumerate(rows, 1):
        try:
            row = msgspec.convert(raw, _Row, from_attributes=True)
        except msgspec.ValidationError as error:
            raise InputError(str(error), expected=_EXPECTED, path=path, line=number) from error
        kind = kind or type(row.id)
        identifier = number - 1 if row.id is None else row.id
        problem = _row_problem(row)
        if not problem and type(row.id) is not kind:
            given = "no id" if row.id is None else f"id {row.id!r}"
            problem = given, "ids of one kind on all lines (texts, whole numbers, or none)"
        if not problem and lines.setdefault(identifier, number) != number:
            problem = f"the id {identifier!r} is that of line {lines[identifier]}", "distinct ids"
        if problem:
            raise InputError(problem[0], expected=problem[1], path=path, line=number)
        text_id = text_ids(row.question, row.choices) if row.id is None else ""
        questions.append(
            Question(
                *(identifier, subject, row.question, tuple(row.choices), row.answer, row.explanation or "", text_id),
                language=language,
            )
        )
    if not questions:
        raise InputError("no questions", expected="one JSON object a line", path=path)
    return questions


def _row_problem(row: _Row) -> tuple[str, str] | None:
    """What is wrong with a row of the right types, and what was expected."""
    problem = text_problem(row.question, row.choices)
    if problem:
        return problem
    if not 0 <= row.answer < len(row.choices):
        return f"the gold index is {row.answer}", f"a number from 0 to {len(row.choices) - 1}"
    return id_problem(row.id)


def text_problem(question: str, choices: Sequence[str]) -> tuple[str, str] | None:
    """What is wrong with the texts of a question, and what was expected.

    Parameters
    ----------
    question : str
        The stem.
    choices : sequence of str
        The options.

    Returns
    -------
    tuple of str or None
        None for a stem and 2 to 10 options, none of them blank.

    Examples
    --------
    >>> text_problem("One and one is", ["two", " "])
    ('option B is empty', 'a text')
    """
    if not question.strip():
        return "the question is empty", "a text"
    if not 2 <= len(choices) <= MOST_OPTIONS:
        return f"{len(choices)} option{'' if len(choices) == 1 else 's'}", f"2 to {MOST_OPTIONS}"
    for letter, choice in zip(LETTERS, choices, strict=False):
        if not choice.strip():
            return f"option {letter} is empty", "a text"
    return None


def id_problem(identifier: int | str | None) -> tuple[str, str] | None:
    """What is wrong with an id, and what was expected: lm_eval stores numbers of 64 bits."""
    if isinstance(identifier, int) and not -(2**63) <= identifier < 2**63:
        return f"the id {identifier}", "a whole number of at most 64 bits"
    return None
