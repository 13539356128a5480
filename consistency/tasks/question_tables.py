"""Questions from a user's own table: CSV, JSON, JSON lines, Parquet or a data set of the hub, with columns of any name."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from consistency.errors import InputError, not_one_of, one_line
from consistency.support.files import fingerprint
from consistency.support.json_files import UNREADABLE, read_rows
from consistency.tasks.prompts import LETTERS
from consistency.tasks.questions import Question, check_questions, read_questions

# How a column names the gold option: its letter, its place counted from 0 or from 1, or its text.
AnswerKind = Literal["letter", "index", "number", "text"]
HUB = "hub:"
KINDS = (".csv", ".tsv", ".jsonl", ".json", ".parquet")
COLUMN_KEYS = ("question", "choices", "answer", "explanation", "id", "answer_as")
# Of so many answers to four options, one nearly always is the first.
_ENOUGH = 20
_DELIMITERS = ",;\t|"
_NUMBERED = re.compile(r"(?:choices?|options?)[ _.-]?(\d{1,2})", re.IGNORECASE)
_HUB = re.compile(r"hub:(?P<name>\w[\w.-]*/\w[\w.-]*)(?:@(?P<revision>\w[\w./-]*))?")
_Row = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True)
class Columns:
    """The names of a table's columns.

    Attributes
    ----------
    question, answer : str
        The stem; the gold option, see `AnswerKind`.
    choices : str or tuple of str or None
        A column with a list of options, or a column for each; None: those named ``A`` to ``J``, ``choice_1``, ``choice_2``, …,
        or one named ``choices``.
    explanation, id : str
        Both columns may be missing.
    answer_as : {"letter", "index", "number", "text"}, optional
        How the gold option is named; by default it follows from the whole column.
    """

    question: str = "question"
    choices: str | tuple[str, ...] | None = None
    answer: str = "answer"
    explanation: str = "explanation"
    id: str = "id"
    answer_as: AnswerKind | None = None


@dataclass(frozen=True)
class QuestionSource:
    """Where questions come from.

    Attributes
    ----------
    place : str
        Path of a file that ends in .jsonl, .json, .csv, .tsv or .parquet, or ``hub:ORG/NAME@REVISION``.
    columns : Columns or None
        Names of its columns; None: JSON lines have this project's keys, other tables the default names.
    split, config : str or None
        Split (by default "train") and configuration of a data set of the hub.
    """

    place: str
    columns: Columns | None = None
    split: str | None = None
    config: str | None = None

    @property
    def is_hub(self) -> bool:
        """Whether it is a data set of the hub."""
        return self.place.startswith(HUB)

    def fingerprint(self) -> str:
        """A hash of what the questions are made from: the file's content, or the data set's name and revision.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        try:
            content = self.place if self.is_hub else fingerprint(self.place)
        except OSError as error:
            raise _unreadable(self.place, error) from error
        made_from = [content, self.columns, self.split, self.config, Path(self.place).suffix]
        return sha256(msgspec.json.encode(made_from)).hexdigest()


def read_columns(given: Any, where: str, path: str | Path | None = None) -> Columns:
    """The names of columns from an experiment file.

    Parameters
    ----------
    given : object
        A mapping with some of the keys `question`, `choices`, `answer`, `explanation`, `id` and `answer_as`.
    where : str
        The key that holds it, for error messages.
    path : path-like, optional
        The file that holds it.

    Raises
    ------
    InputError
        If it is not such a mapping.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: {given!r}", expected="a mapping such as question: NAME", path=path)
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key not in COLUMN_KEYS:
            raise InputError(f"{where}: no key {key!r}", expected=f"some of {', '.join(COLUMN_KEYS)}", path=path)
        several = key == "choices" and isinstance(value, list)
        if not value or not all(isinstance(name, str) and name for name in (value if several else [value])):
            raise InputError(f"{where}: {key}: {value!r}", expected="the name of a column", path=path)
        found[key] = tuple(value) if several else value
    if found.get("answer_as") not in (None, *get_args(AnswerKind)):
        raise not_one_of(f"kind of answer ({where}: answer_as)", found["answer_as"], get_args(AnswerKind), path=path)
    return Columns(**found)


def read_source(source: QuestionSource, subject: str) -> list[Question]:
    r"""The questions of a source, each checked.

    Parameters
    ----------
    source : QuestionSource
    subject : str
        What the questions are about, as the header of the prompt names it.

    Returns
    -------
    list of Question
        In the order of the source. Cells of a CSV file lose the white space around them, and empty option cells at the end
        of a row are options that it does not have.

    Raises
    ------
    InputError
        Naming file and line, if a row is no question; or if the source cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "sums.csv")
    ...     _ = path.write_text("question;A;B;answer\n1 and 1?;two;three;A\n")
    ...     read_source(QuestionSource(str(path)), "sums")[0].choices
    ('two', 'three')
    """
    if source.place.endswith(".jsonl") and source.columns is None:
        return read_questions(source.place, subject)
    columns = source.columns or Columns()
    rows = list(_rows(source, columns))
    if not rows:
        raise InputError("no questions", expected="a row for each question", path=source.place)
    names = list(dict.fromkeys(name for _, row in rows for name in row))
    for name in (columns.question, columns.answer):
        if name not in names:
            raise InputError(
                f"no column {name!r}",
                expected=f"one of {', '.join(names)}",
                do="name it under columns",
                path=source.place,
            )
    options = _option_columns(columns, names, source.place)
    choices = [_choices(row, options, source.place, line) for line, row in rows]
    gold = _gold(rows, choices, columns, source.place)
    decoded = []
    for (_, row), texts, answer in zip(rows, choices, gold, strict=True):
        item = {"question": _cell(row.get(columns.question)), "choices": texts, "answer": answer}
        item["explanation"] = _cell(row.get(columns.explanation))
        if columns.id in names:
            item["id"] = row.get(columns.id)
        decoded.append(item)
    try:
        return check_questions(decoded, subject, source.place)
    except InputError as error:
        line = None if error.line is None else rows[error.line - 1][0]
        raise InputError(error.problem, expected=error.expected, do=error.do, path=source.place, line=line) from error


def _unreadable(place: str, error: Exception) -> InputError:
    reason = getattr(error, "strerror", None) or one_line(error)
    return InputError(f"cannot be read ({reason})", expected="a table of questions", path=place)


def _rows(source: QuestionSource, columns: Columns) -> Iterator[_Row]:
    """The rows of a table, each with its line (of a JSON array, a Parquet file or a data set of the hub its place, from 1)."""
    suffix = Path(source.place).suffix.lower()
    if source.is_hub:
        yield from enumerate(_hub_rows(source), 1)
    elif suffix in (".csv", ".tsv"):
        yield from _csv_rows(source.place, columns)
    elif suffix in (".json", ".jsonl"):
        for line, row in read_rows(source.place, "a question"):
            if not isinstance(row, Mapping):
                raise InputError("not an object", expected="a question", path=source.place, line=line)
            yield line, row
    elif suffix == ".parquet":
        from pyarrow import ArrowException, parquet

        try:
            # Opened here, since Arrow takes no path that is not UTF-8.
            with Path(source.place).open("rb") as stream:
                rows = parquet.read_table(stream, page_checksum_verification=True).to_pylist()
        except (OSError, ArrowException, ValueError, ArithmeticError, TypeError, KeyError) as error:
            # Some of a table of dates that Python does not have, or of texts that are not UTF-8.
            raise _unreadable(source.place, error) from error
        yield from enumerate(rows, 1)
    else:
        raise InputError(
            f"ends in {suffix!r}", expected=f"one of {', '.join(KINDS)}, or hub:ORG/NAME", path=source.place
        )


def _hub_rows(source: QuestionSource) -> Iterable[Mapping[str, Any]]:
    from datasets import load_dataset

    found = _HUB.fullmatch(source.place)
    if found is None:
        raise InputError(f"{source.place!r} names no data set", expected="hub:ORG/NAME or hub:ORG/NAME@REVISION")
    try:
        rows = load_dataset(found["name"], source.config, split=source.split or "train", revision=found["revision"])
    except Exception as error:  # each library between here and the network has errors of its own
        raise InputError(
            f"cannot be loaded ({one_line(error, 300)})",
            expected="a data set of the hub, with this split, and a network or a copy in its cache",
            path=source.place,
        ) from error
    return map(dict, rows)


def _csv_rows(place: str, columns: Columns) -> Iterator[_Row]:
    try:
        text = Path(place).read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _unreadable(place, error) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError("not UTF-8", do="save it as CSV in UTF-8", path=place, line=line) from error

    def records(delimiter: str) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        start = 1
        try:
            for record in reader:
                yield start, [cell.strip() for cell in record]
                start = reader.line_num + 1
        except csv.Error as error:
            raise InputError(
                f"not CSV: {error}", expected="quotes doubled and closed", path=place, line=start
            ) from error

    # The delimiter is the one with which the header has a column of questions among others.
    headers = {delimiter: next(records(delimiter), (1, [""]))[1] for delimiter in _DELIMITERS}
    fitting = [mark for mark, header in headers.items() if columns.question in header and len(header) > 1]
    if len(fitting) != 1:
        header = max(headers.values(), key=len)
        raise InputError(
            f"no column {columns.question!r} among {', '.join(map(repr, header[:12]))}",
            expected="a header in the first line: question,A,B,C,D,answer",
            do="or name its columns under columns",
            path=place,
            line=1,
        )
    header = headers[fitting[0]]
    repeated = sorted({name for name in header if name and header.count(name) > 1})
    if repeated:
        raise InputError(f"two columns {repeated[0]!r}", expected="distinct names", path=place, line=1)
    rows = records(fitting[0])
    next(rows)
    for line, cells in rows:
        if not any(cells):
            continue
        if len(cells) != len(header):
            raise InputError(f"{len(cells)} cells", expected=f"{len(header)}, as the header has", path=place, line=line)
        yield line, {name: cell for name, cell in zip(header, cells, strict=True) if name}


def _option_columns(columns: Columns, names: Sequence[str], place: str) -> tuple[str, ...]:
    """The columns that hold the options: one with a list, or one for each."""
    if columns.choices is not None:
        wanted = (columns.choices,) if isinstance(columns.choices, str) else columns.choices
        for name in wanted:
            if name not in names:
                raise InputError(f"no column {name!r}", expected=f"one of {', '.join(names)}", path=place)
        return wanted
    lettered = tuple(letter for letter in LETTERS if letter in names)
    numbered = sorted((int(found[1]), name) for name in names if (found := _NUMBERED.fullmatch(name)))
    given = [found for found in (lettered, tuple(name for _, name in numbered)) if len(found) > 1]
    if "choices" in names:
        given.append(("choices",))
    if len(given) != 1:
        raise InputError(
            "several kinds of option columns" if given else "no columns with options",
            expected="A, B, C, …, or choice_1, choice_2, …, or choices with a list",
            do="name them under columns: choices",
            path=place,
        )
    return given[0]


def _cell(value: Any) -> Any:
    return "" if value is None else value


def _choices(row: Mapping[str, Any], columns: Sequence[str], place: str, line: int) -> list[Any]:
    """The options of a row."""
    if len(columns) > 1:
        texts = [_as_text(row.get(name)) for name in columns]
        while texts and not texts[-1]:
            texts.pop()
        return texts
    value = row.get(columns[0])
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value.encode())
        except UNREADABLE:
            value = None
    if isinstance(value, Mapping):  # as ARC has it: {"text": […], "label": […]}
        value = value.get("text")
    if not isinstance(value, list):
        raise InputError(f"{columns[0]} holds no list", expected='a list such as ["yes", "no"]', path=place, line=line)
    return [_as_text(item) for item in value]


def _as_text(value: Any) -> Any:
    """A number of a table as the text that it is shown as; what is neither stays, and is refused as an option."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _gold(rows: Sequence[_Row], choices: Sequence[Sequence[Any]], columns: Columns, place: str) -> list[int]:
    """The gold index of each row, by the one reading that fits the whole column."""
    given = [row.get(columns.answer) for _, row in rows]
    # A table with a gap has whole numbers as 1.0.
    given = [int(item) if isinstance(item, float) and item.is_integer() else item for item in given]
    answers = [str(_cell(item)).strip() for item in given]
    # Counting from 1 is never guessed: few-shot examples need not show it where the pool does.
    kinds = tuple(kind for kind in get_args(AnswerKind) if kind != "number")
    if columns.answer_as is not None:
        kinds = (columns.answer_as,)
    elif isinstance(given[0], int):
        kinds = ("index",)
    readings = {
        kind: [_index(kind, answer, texts) for answer, texts in zip(answers, choices, strict=True)] for kind in kinds
    }
    whole = {kind: found for kind, found in readings.items() if None not in found}
    if not whole:
        best = max(readings, key=lambda kind: sum(found is not None for found in readings[kind]))
        row = readings[best].index(None)
        from_one = best == "index" and columns.answer_as is None and not any(found == 0 for found in readings[best])
        raise InputError(
            f"the {columns.answer} {answers[row]!r} is no option",
            expected=_expected(best, choices[row]),
            do="if they count from 1, say so under columns: answer_as: number" if from_one else None,
            path=place,
            line=rows[row][0],
        )
    if columns.answer_as is None and "index" in whole and len(rows) >= _ENOUGH and 0 not in whole["index"]:
        raise InputError(
            f"no {columns.answer} of {len(rows)} is 0",
            expected="indices from 0",
            do="say under columns: answer_as: index, or number if they count from 1",
            path=place,
        )
    (first, gold), *others = whole.items()
    for kind, other in others:
        if other != gold:
            row = next(number for number, pair in enumerate(zip(gold, other, strict=True)) if pair[0] != pair[1])
            raise InputError(
                f"the {columns.answer} {answers[row]!r} can be read as {first} and as {kind}",
                do=f"say which under columns: answer_as: {first}",
                path=place,
                line=rows[row][0],
            )
    return [index for index in gold if index is not None]


def _index(kind: str, answer: str, texts: Sequence[Any]) -> int | None:
    """The option that an answer names; None if it names none, or two options have its text."""
    if kind == "text":
        same = [place for place, text in enumerate(texts) if isinstance(text, str) and text.strip() == answer]
        return same[0] if len(same) == 1 else None
    if kind == "letter":
        place = LETTERS.find(answer.upper()) if len(answer) == 1 else -1
    else:
        place = int(answer) - (kind == "number") if re.fullmatch(r"[0-9]{1,2}", answer) else -1
    return place if 0 <= place < len(texts) else None


def _expected(kind: str, texts: Sequence[Any]) -> str:
    last = len(texts) - 1
    return {
        "letter": f"a letter from A to {LETTERS[max(last, 0) % len(LETTERS)]}",
        "index": f"an index from 0 to {last}",
        "number": f"a number from 1 to {last + 1}",
        "text": f"one of {json.dumps([str(text) for text in texts], ensure_ascii=False)[:300]}",
    }[kind]
