"""A question of another program's log as it was asked and answered, and the `Scores` of many."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from consistency.errors import InputError
from consistency.logs.documents import normalised
from consistency.logs.generations import Generation
from consistency.logs.labels import label_of, order_of_labels
from consistency.logs.metrics import Options, read_metrics
from consistency.logs.run_config import RunConfig
from consistency.logs.scores import Scores
from consistency.logs.task_settings import TaskSettings
from consistency.support.arrays import Bools, Floats, Integers
from consistency.support.sequences import Repeated
from consistency.support.text import counted

# The metric of a reader that takes over whether an answer is right.
ACC = "acc"
# As ids are written; others, such as 01, are texts.
_NUMBER = re.compile(r"0|[1-9]\d{0,14}", re.ASCII)
_LARGEST = 2**53
_LETTER_AND_TEXT = re.compile(r"\(?([A-Za-z])[.):] ?(.+)")
_PLACE = re.compile(r"\d{1,3}", re.ASCII)
NO_LOGPROBS = "log-probabilities of the options are not in this log: what needs them is not computed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question of a log, and what a model answered.

    Attributes
    ----------
    id : int or str
        What the log calls the question, or its place there.
    question : str
        Without the options, the examples and the instructions of the prompt, as far as these can be told apart.
    options : tuple of str, length k
        Texts of the options; empty where the log has none.
    gold : tuple of int
        The options that are right; empty where unknown.
    logprobs : tuple of float, length k or another number where `options` is empty
        In nats; empty where the log has none.
    unconditional : tuple of float
        Log-probabilities without the question.
    scored : tuple of str
        The text scored for each option, such as `" A"`; empty where it is unknown.
    target : str
        What is right, where the answer is a text.
    text : str or None
        What the model wrote; None where it wrote nothing, as where options are scored.
    answer : str or None
        What was taken from it.
    metrics : dict of str to float
        What the program says of the answer, each a number of which the mean is reported.
    prompt : str
        The whole prompt; empty where the log does not hold it.
    prompt_hash : str
        Its hash, where the log holds that instead.
    doc_hash : str
        lm_eval's hash of the document, where the program computes the same.
    """

    id: int | str
    question: str
    options: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    unconditional: tuple[float, ...] = ()
    scored: tuple[str, ...] = ()
    target: str = ""
    text: str | None = None
    answer: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    prompt: str = ""
    prompt_hash: str = ""
    doc_hash: str = ""


@dataclass(frozen=True)
class Log:
    """What one file holds: the scores of its tasks, and how the run was made."""

    tasks: Mapping[str, Scores]
    config: RunConfig


class Reader(Protocol):
    """Reads one format of logs."""

    @property
    def name(self) -> str:
        """The program that writes the format."""

    def recognises(self, file: Path, head: bytes) -> bool:
        """Whether a file is of this format, from its path and its first bytes (unpacked, a byte order mark removed)."""

    def read(self, file: Path) -> Log:
        """Read a file.

        Raises
        ------
        InputError
            Naming the file and its line or record, if something in it is not of the format.
        """


def to_scores(
    task: str,
    answers: Sequence[Answer],
    source: Path,
    *,
    settings: TaskSettings | None = None,
    notes: Iterable[str] = (),
    repeats: str = "rows",
) -> Scores:
    """The scores of a task: a row a question, ascending by its number, else in the order of the log.

    Parameters
    ----------
    task : str
    answers : sequence of Answer
        Of an id that occurs again only the first counts.
    source : Path
        The file.
    settings : TaskSettings, optional
        What the run's results say of the task.
    notes : iterable of str
        Sentences for a reader of results.
    repeats : str
        What several answers to one question are: "epochs".

    Raises
    ------
    InputError
        If there is no answer.

    Examples
    --------
    >>> asked = {"question": "1+1?", "options": ("2", "3"), "gold": (0,)}
    >>> scores = to_scores("sums", [Answer(id=0, logprobs=(-0.1, -2.3), **asked)], Path("sums.jsonl"))
    >>> scores.correct.tolist(), scores.target.tolist()
    ([1.0], [0])
    """
    if not answers:
        raise InputError(f"no answer of the task {task}", do="run the evaluation again", path=source)
    settings = settings or TaskSettings()
    notes = [*notes]
    times = Counter(answer.id for answer in answers)
    several = sum(count > 1 for count in times.values())
    if several:
        notes.append(f"{counted(several, 'question', 'have')} several {repeats}; the first counts")
    first: dict[int | str, Answer] = {}
    for answer in answers:
        first.setdefault(answer.id, answer)
    numbers = _numbers(first)
    rows = [first[key] for key in numbers]
    n, width = len(rows), max(len(row.logprobs) for row in rows)
    logprobs, gold, n_options = _options(rows, width, notes)
    if not width and any(row.options for row in rows):
        notes.append(NO_LOGPROBS)
    columns: dict[str, Any] = {
        name: np.array([row.metrics.get(name, np.nan) for row in rows], dtype=np.float64)
        for name in dict.fromkeys(name for row in rows for name in row.metrics)
    }
    if ACC in columns:
        columns[ACC] = _from_0_to_1(columns[ACC], notes)
    options = Options(logprobs, gold) if width else None
    metrics = read_metrics(columns, settings, "none", options, repeated=bool(several))
    unconditional = None
    if width and all(len(row.unconditional) == len(row.logprobs) for row in rows):
        unconditional = np.full((n, width), np.nan)
        for place, row in enumerate(rows):
            unconditional[place, : len(row.unconditional)] = row.unconditional
    continuations: Sequence[tuple[str, ...]] = Repeated((), n)
    if width:
        texts = [row.scored or tuple(f" {text}" for text in row.options) for row in rows]
        same = texts.count(texts[0]) == n
        continuations = Repeated(texts[0], n) if same else tuple(texts)
    documents = [_document(row) for row in rows]
    scores = Scores(
        task=task,
        filter="none",
        doc_id=np.array([*numbers.values()], dtype=np.int64),
        doc_hash=_hashes(rows, numbers),
        prompt_hash=[
            row.prompt_hash or (hashlib.sha256(row.prompt.encode("utf-8", "replace")).hexdigest() if row.prompt else "")
            for row in rows
        ],
        logprobs=logprobs,
        n_options=n_options,
        gold=gold,
        metrics=metrics.means,
        summands=metrics.summands,
        unread=metrics.unread,
        settings=settings,
        generations=None if width or all(row.text is None for row in rows) else tuple(map(_generation, rows)),
        continuations=continuations,
        documents=documents,
        unconditional=unconditional,
        source=source,
        notes=(*notes, *metrics.notes),
        right=None if width or not any(row.options for row in rows) else list(map(_right, rows)),
    )
    order = order_of_labels(continuations, documents, width) if width else None
    return scores if order is None else scores.reorder_options(order)


def _from_0_to_1(values: Floats, notes: list[str]) -> Floats:
    """What is right as 1 and what is wrong as 0, where the log has two numbers for them: 100 and 0, or 1 and -1."""
    held = {*values[np.isfinite(values)].tolist()}
    for low, high in ((0.0, 100.0), (-1.0, 1.0)):
        if held <= {low, high} and not held <= {0.0, 1.0}:
            notes.append(f"{ACC} of {high:g} is read as right, and {low:g} as wrong")
            return (values - low) / (high - low)
    return values


def _numbers(ids: Iterable[int | str]) -> dict[int | str, int]:
    """A number for each id, ascending: the ids themselves, or what they write, where all are numbers; else their places."""
    found = {key: int(key) if isinstance(key, int) or _NUMBER.fullmatch(key) else -1 for key in ids}
    # 1 and "1" are two ids of one number.
    if all(0 <= number <= _LARGEST for number in found.values()) and len(set(found.values())) == len(found):
        return dict(sorted(found.items(), key=lambda item: item[1]))
    return {key: place for place, key in enumerate(found)}


def _hashes(rows: Sequence[Answer], numbers: Mapping[int | str, int]) -> list[str]:
    """The document hash of each row; of questions that ask the same and have names, one of both."""
    asked = [(normalised(row.question), *sorted(map(normalised, row.options))) for row in rows]
    times = Counter(asked)
    # Their number is their place, which is another where a log lacks a question.
    return [
        row.doc_hash
        or (
            hashlib.sha256(repr((row.id, texts)).encode("utf-8", "replace")).hexdigest()
            if times[texts] > 1 and str(row.id) != str(numbers[row.id])
            else ""
        )
        for row, texts in zip(rows, asked, strict=True)
    ]


def _options(rows: Sequence[Answer], width: int, notes: list[str]) -> tuple[Floats, Bools, Integers]:
    """Log-probabilities and right options, shape [n, k], and the number of options of each row."""
    logprobs, gold = np.full((len(rows), width), np.nan), np.zeros((len(rows), width), dtype=bool)
    n_options = np.zeros(len(rows), dtype=np.int64)
    for place, row in enumerate(rows if width else ()):
        n_options[place] = len(row.logprobs) or min(len(row.options), width)
        logprobs[place, : len(row.logprobs)] = row.logprobs
        gold[place, [option for option in row.gold if option < n_options[place]]] = True
    if not width:
        return logprobs, gold, n_options
    present = np.arange(width) < n_options[:, None]
    broken = ((np.isnan(logprobs) & present) | (logprobs == np.inf)).any(axis=1)
    without = n_options == 0
    if (broken | without).any():
        logprobs[broken] = np.nan
        notes.append(f"{counted(int((broken | without).sum()), 'question', 'lack')} the log-probability of an option")
    unknown = int((~gold.any(axis=1)).sum())
    if unknown:
        notes.append(f"the right option of {counted(unknown, 'question')} is not known from the log")
    return logprobs, gold, n_options


def _document(row: Answer) -> bytes:
    """A question as JSON, under the names that documents of benchmarks have."""
    document: dict[str, object] = {"question": row.question}
    if row.options:
        document["choices"] = row.options
    if row.gold:
        document["answer"] = row.gold[0] if len(row.gold) == 1 else row.gold
    elif row.target:
        document["answer"] = row.target
    return msgspec.json.encode(document)


def _right(row: Answer) -> str:
    """The text of the right option, of several all in one."""
    return ", ".join(normalised(row.options[option]) for option in row.gold if option < len(row.options))


def _generation(row: Answer) -> Generation:
    return Generation(_right(row) or row.target, row.text or "", row.answer)


def option_index(value: object, options: Sequence[str]) -> int | None:
    """The option that a value names: by its place, its text, its letter, both, or its text in other cases of letters.

    Examples
    --------
    >>> options = ["Paris", "Rome"]
    >>> option_index(1, options), option_index("Rome ", options), option_index("(b)", options), option_index("Oslo", options)
    (1, 1, 1, None)
    >>> option_index("B. Rome", options), option_index("rome", options), option_index("A. Rome", options)
    (1, 1, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < len(options) else None
    if not isinstance(value, str) or not value.strip():
        return None
    texts = list(map(normalised, options))
    if normalised(value) in texts:
        return texts.index(normalised(value))
    label = label_of(value)
    if label.isascii() and label.isalpha():
        return _letter(value, len(options))
    if (both := _LETTER_AND_TEXT.fullmatch(normalised(value))) and both[2] in texts:
        place = ord(both[1].upper()) - ord("A")
        return place if place < len(texts) and texts[place] == both[2] else None
    alike = [place for place, text in enumerate(texts) if text.casefold() == normalised(value).casefold()]
    return alike[0] if len(alike) == 1 else None


def right_options(
    targets: Sequence[Sequence[object]], options: Sequence[Sequence[str]]
) -> list[tuple[int | None, ...]]:
    """The options that the targets of a task's questions name, None for one that names none.

    A target such as `"2"` is the place of an option, counted from 0, or an option's text, and one such as `"B"` is a letter or a
    text. It is a place, or a letter, if all targets of the task can be that and not all can be texts.

    Parameters
    ----------
    targets, options : sequence, length n
        Of each question.

    Examples
    --------
    >>> right_options([["2"], ["0"]], [["4", "2", "0"], ["Rome", "Oslo"]])
    [(2,), (0,)]
    >>> right_options([["2"], ["4"]], [["4", "2", "0"], ["3", "4"]])
    [(1,), (1,)]
    >>> right_options([["B"], ["A"]], [["C", "A", "B"], ["Rome", "Oslo"]])
    [(1,), (0,)]
    """
    asked = [
        (target, texts)
        for named, texts in zip(targets, options, strict=True)
        for target in named
        if texts and target is not None and str(target).strip()
    ]
    if any(not isinstance(target, str) or normalised(target) not in map(normalised, texts) for target, texts in asked):
        for read in (_place, _letter):
            if all(read(target, len(texts)) is not None for target, texts in asked):
                return [
                    tuple(read(target, len(texts)) for target in named)
                    for named, texts in zip(targets, options, strict=True)
                ]
    return [
        tuple(option_index(target, texts) for target in named) for named, texts in zip(targets, options, strict=True)
    ]


def _place(value: object, count: int) -> int | None:
    """The place that a number, or the text of one, says."""
    if isinstance(value, str) and _PLACE.fullmatch(value.strip()):
        value = int(value)
    return value if type(value) is int and 0 <= value < count else None


def _letter(value: object, count: int) -> int | None:
    """The place that a letter says."""
    label = label_of(value).upper() if isinstance(value, str) else ""
    place = ord(label) - ord("A") if label.isascii() and label.isalpha() else count
    return place if place < count else None
