"""Questions from the raw records of Xiezhi, MedMCQA, CMMLU and C-Eval, with a count of those that are dropped and why."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from consistency.errors import InputError, not_one_of
from consistency.support.files import write_lines
from consistency.support.json_files import json_lines, read_rows
from consistency.support.manifests import write_with_manifest
from consistency.tasks.benchmarks import find_benchmark
from consistency.tasks.questions import MOST_OPTIONS, Question

FORMATS = ("xiezhi", "medmcqa")
# Whose raw records are a folder of tables, a file for each subject.
EXAMS = ("cmmlu", "ceval")
# Beside the folders of their questions.
MANIFEST = "manifest.json"
_MEDMCQA_OPTIONS = ("opa", "opb", "opc", "opd")
_EXAM_OPTIONS = ("a", "b", "c", "d")
_EXAM_COLUMNS = ("question", *_EXAM_OPTIONS)


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


def convert_exam(records: Iterable[Any], subject: str, language: str = "zh") -> tuple[list[Question], Counter[str]]:
    """Convert raw records of CMMLU or C-Eval.

    Parameters
    ----------
    records : iterable of mapping
        With the question, its options A to D, and the letter of the right one; C-Eval's few-shot examples also have an
        explanation. The benchmarks write the names of columns in small and in capital letters.
    subject : str
        What they are about.
    language : str
        In which they are asked.

    Returns
    -------
    questions : list of Question
        The `id` is the record's row, counted from 0; texts are kept as they are, spaces included.
    dropped : Counter
        How many records were left out, by reason.

    Examples
    --------
    >>> raw = {"Question": "一加一等于", "A": "二", "B": "三", "C": "四", "D": "五", "Answer": "A"}
    >>> [(question.id, question.answer) for question in convert_exam([raw], "数学")[0]]
    [(0, 0)]
    """

    def convert(row: int, record: Mapping[str, Any]) -> Question:
        fields = {str(name).lower(): value for name, value in record.items()}
        question = _text(fields, "question")
        choices = [_text(fields, option) for option in _EXAM_OPTIONS]
        letter = _text(fields, "answer").strip().lower()
        if letter not in _EXAM_OPTIONS:
            raise _Dropped("the answer is not among the options")
        explanation = fields.get("explanation") or ""
        if not isinstance(explanation, str):
            raise _Dropped("explanation is not a text")
        answer = _EXAM_OPTIONS.index(letter)
        return Question(row, subject, question, tuple(choices), answer, explanation, language=language)

    return _convert(records, convert)


def read_csv(path: str | Path) -> list[dict[str, str]]:
    """The rows of a table of CMMLU or C-Eval by the names of its columns.

    Parameters
    ----------
    path : path-like
        A CSV file in UTF-8, with or without a byte order mark.

    Raises
    ------
    InputError
        If it cannot be read, or lacks a column of a question; naming the line, if a row has too many or too few fields.
    """
    expected = "a CSV file with the columns question, A, B, C, D and answer"
    try:
        lines = csv.reader(StringIO(Path(path).read_text(encoding="utf-8-sig"), newline=""), strict=True)
        names = next(lines, [])
        if missing := [name for name in _EXAM_COLUMNS if name not in [found.lower() for found in names]]:
            raise InputError(f"no column {missing[0]!r}", expected=expected, path=path, line=1)
        rows = []
        for fields in lines:
            if not fields:  # an empty line
                continue
            if len(fields) != len(names):
                problem = f"{len(fields)} fields"
                raise InputError(problem, expected=f"{len(names)}, as in line 1", path=path, line=lines.line_num)
            rows.append(dict(zip(names, fields, strict=True)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot be read ({error})", expected=expected, path=path) from error
    return rows


@dataclass(frozen=True)
class ConvertedExam:
    """What `convert_exams` wrote.

    Attributes
    ----------
    files : dict of Path to int
        How many questions each file holds.
    dropped : Counter
        How many records were left out, by reason.
    skipped : dict of Path to str
        Files of the raw folder that were left out, and why.
    """

    files: dict[Path, int]
    dropped: Counter[str]
    skipped: dict[Path, str]


def convert_exams(raw: str | Path, out: str | Path, form: str) -> ConvertedExam:
    """Convert the folder of a benchmark's tables to a folder of questions, as the tasks' `data_dir` has them.

    Parameters
    ----------
    raw : path-like
        With ``SPLIT/SUBJECT.csv`` (CMMLU) or ``SPLIT/SUBJECT_SPLIT.csv`` (C-Eval), as the benchmarks' archives have them.
    out : path-like
        The folder in which ``BENCHMARK/SPLIT/SUBJECT.jsonl`` is written, and ``BENCHMARK/manifest.json``: what was left out, and
        the hash of each file, which is checked when the questions are read.
    form : {"cmmlu", "ceval"}
        The benchmark.

    Returns
    -------
    ConvertedExam
        Files of no subject are skipped, and those without answers: C-Eval's test set.

    Raises
    ------
    InputError
        If there is no table of a subject, or one cannot be read or holds no question; nothing is written then.
    """
    benchmark = find_benchmark(form)
    if form not in EXAMS:
        raise not_one_of("format", form, (*FORMATS, *EXAMS))
    found: dict[str, list[Question]] = {}
    dropped: Counter[str] = Counter()
    skipped: dict[Path, str] = {}
    for split in ("dev", *benchmark.splits):
        for path in sorted((Path(raw) / split).glob("*.csv")):
            subject = path.stem.removesuffix(f"_{split}")
            if subject not in benchmark.names:
                skipped[path] = f"no subject of {benchmark.title}"
                continue
            records = read_csv(path)
            if records and not any(name.lower() == "answer" for name in records[0]):
                skipped[path] = "no answers"
                continue
            questions, reasons = convert_exam(records, "")
            if not questions:
                raise InputError(
                    f"no record is a question ({_listed(reasons)})", expected=f"those of {form}", path=path
                )
            found[f"{split}/{subject}.jsonl"] = questions
            dropped += reasons
    if not found:
        expected = f"dev/SUBJECT{'_dev' if form == 'ceval' else ''}.csv and so on"
        raise InputError("no tables with answers", expected=expected, path=raw)
    counts = {name: len(questions) for name, questions in found.items()}
    content = {
        "benchmark": form,
        "raw": str(raw),
        "questions": counts,
        "dropped": dict(sorted(dropped.items())),
        "skipped": {path.relative_to(raw).as_posix(): why for path, why in skipped.items()},
    }
    folder = Path(out) / form
    files = {name: json_lines(map(_row, questions)) for name, questions in found.items()}
    write_with_manifest(folder, MANIFEST, content, files)
    return ConvertedExam({folder / name: count for name, count in counts.items()}, dropped, skipped)


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
        raise not_one_of("format", form, (*FORMATS, *EXAMS))
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
        raise InputError(f"no record is a question ({_listed(dropped)})", expected=f"records of {form}", path=raw)
    write_lines(out, json_lines(map(_row, questions)))
    return len(questions), dropped


def _row(question: Question) -> dict[str, Any]:
    """A question as a line of a file, which says neither what it is about nor its language."""
    return {k: v for k, v in question.to_dict().items() if k not in ("subject", "prompt_language")}


def _listed(dropped: Counter[str]) -> str:
    return ", ".join(f"{count} × {reason}" for reason, count in sorted(dropped.items())) or "it is empty"


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
