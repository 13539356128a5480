"""Texts that models or files give about questions: explanations of an answer, or the knowledge that leads to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

import msgspec

from consistency.errors import InputError
from consistency.knowledge.beliefs import Belief, Beliefs
from consistency.logs.documents import find_line
from consistency.logs.generations import Request, read_generations
from consistency.logs.runs import read_run
from consistency.support.json_files import read_jsonl
from consistency.tasks.answer_prefixes import strip_answer
from consistency.tasks.questions import TextIds
from consistency.tasks.scopes import context_task, explain_task

Purpose = Literal["explain", "context"]
_FENCED = re.compile(r"```(.*?)```", re.DOTALL)
_END = re.compile(r"```|\n(?:[A-J]\. |Answer:|Explanation:|答案：|解释：)")
# A mark inside a number or an abbreviation ends no sentence.
_MARK = re.compile(r"[.!?](?=\s|$)|[。！？]")
_LISTED = re.compile(r"\s*([A-Z])[.)](?:\s|$)")
_GIVEAWAY = re.compile(
    r"\b(?i:(correct|right) (answer|option|choice)|answer is)\b|\b(?i:option|choice) [A-J]\b"
    r"|\b(?i:answer)\s*[:=]|\b[A-J] (?i:is (the )?(correct|right))\b"
    r"|正确(答案|选项)|答案(是|为|[:：])|选项\s*[A-J]|[故应]选\s*[A-J]"
)
_USUAL_OPTIONS = 4


_Keep = Callable[[str, Request], str]


@dataclass(frozen=True)
class Checked:
    """How many explanations were asked for, and how many argue for their option, round by round.

    Attributes
    ----------
    attempts : int
        Rounds in which explanations were asked for.
    requested : int
        Answers that were to be explained.
    generated, usable : int
        Texts that the model wrote in all rounds, and those of which something is left.
    first_usable, passed_first : int
        Answers whose first text is usable, and those whose first text passed the check.
    passed : int
        Answers of which some text passed.
    failed : frozenset of (str or int, str, int)
        The answers of which none did, by the question's id, its text and the option's index; empty if they are `unread`.
    unread : bool
        Whether so few passed that the model cannot be the reader of its own explanations, and every usable text is kept.
    """

    attempts: int
    requested: int
    generated: int
    usable: int
    first_usable: int
    passed_first: int
    passed: int
    failed: frozenset[tuple[str | int, str, int]]
    unread: bool = False

    def to_dict(self) -> dict[str, int | float | None]:
        """The numbers for a manifest, with the shares of the answers whose first text, and any text, passed."""
        figures = {key: value for key, value in asdict(self).items() if key != "failed"}
        shares = {
            f"share_{name}": count / self.requested if self.requested else None
            for name, count in (("before", self.passed_first), ("after", self.passed))
        }
        return {**figures, "left_out": len(self.failed), **shares}


@dataclass(frozen=True)
class Explanations:
    """Generated texts by question and option: explanations of the option, or the knowledge that leads to it.

    Attributes
    ----------
    texts : dict of (str or int, str, int) to str
        By the question's id, its text and the option's index, since two tasks may use the same ids; unusable
        generations are absent.
    unusable : int
        Generations of which nothing is kept: see `clean`, `clean_opened` and `clean_context`.
    source : Path
        The log that they were read from.
    others : tuple of Path
        Further logs.
    requested : int or None
        How many texts the models were asked for, as far as the logs record it; fewer are there after `--limit`.
    limit : int, float or None
        lm_eval's `--limit`, where the log records one.
    checked : Checked or None
        What checking them gave; None where they were not checked.
    """

    texts: dict[tuple[str | int, str, int], str]
    unusable: int
    source: Path
    others: tuple[Path, ...] = ()
    requested: int | None = None
    limit: float | None = None
    checked: Checked | None = None

    @property
    def generated(self) -> int:
        """How many texts there are, the unusable ones included."""
        return len(self.texts) + self.unusable

    @property
    def unusable_share(self) -> float | None:
        """The share of all generations that are unusable; None if there are none."""
        return self.unusable / self.generated if self.generated else None

    @property
    def cut(self) -> str:
        """That texts are missing since lm_eval stopped before the last request; empty where it did not."""
        flag = "" if self.limit is None else f" (lm_eval's --limit {self.limit:g})"
        if self.requested is not None and self.generated < self.requested:
            return f"the log holds {self.generated} of {self.requested} requests{flag}"
        return f"the log may hold a part of the requests{flag}" if self.requested is None and flag else ""

    def counts(self) -> dict[str, float | None]:
        """How many were requested, generated and unusable, and lm_eval's limit, for a manifest."""
        return {
            "requested": self.requested,
            "generated": self.generated,
            "unusable": self.unusable,
            "limit": self.limit,
        }


def read_explanations(logs: str | Path, domain: str | None = None) -> Explanations:
    """Read an explain task's log and keep the explanations.

    A domain's prompt opens the triple backticks, so that the text up to the closing ones is kept (`clean_opened`); the
    embedded world's does not, and the text between the first pair is kept (`clean`). An answer that the text begins with
    ("Ans. B. …") is left out.

    Parameters
    ----------
    logs : path-like
        The folder that `lm_eval run --log_samples` wrote for `consistency_explain_DOMAIN` or
        `consistency_world_explain`.
    domain : str, optional
        The domain whose task to read; where the log lacks it, and by default, that of the embedded world.

    Returns
    -------
    Explanations

    Raises
    ------
    InputError
        If the log is missing or is not that of the explain task.
    """
    keep: dict[str, _Keep] = {explain_task(): lambda text, request: _unanswered(clean(text), request)}
    if domain is not None:
        keep = {explain_task(domain): lambda text, request: _unanswered(clean_opened(text), request), **keep}
    return _read_log(logs, keep)


def _unanswered(text: str, request: Request) -> str:
    """An explanation without the answer that it begins with, as far as the log holds the options."""
    known = 0 <= request.option < len(request.choices)
    return strip_answer(text, request.choices, request.option) if known else text


def read_contexts(logs: str | Path, domain: str) -> Explanations:
    """Read a context task's log: the world knowledge that questions need, in the words of a model.

    Parameters
    ----------
    logs : path-like
        The folder that `lm_eval run --log_samples` wrote for `consistency_context_DOMAIN` or
        `consistency_world_context`.
    domain : str
        The domain.

    Returns
    -------
    Explanations
        Their `option` is the gold one.

    Raises
    ------
    InputError
        If the log is missing or is not that of the context task.
    """

    def keep(text: str, request: Request) -> str:
        return clean_context(text, len(request.choices) or _USUAL_OPTIONS)

    return _read_log(logs, {context_task(domain): keep, context_task(): keep})


def _read_log(logs: str | Path, keep: dict[str, _Keep]) -> Explanations:
    """The texts of the first of these tasks that the log has, each kept in its task's way; none of an empty folder."""
    folder = Path(logs)
    if folder.is_dir() and not any(folder.iterdir()):
        return Explanations({}, 0, folder)
    run = read_run(logs)
    task = next((task for task in keep if task in run.tasks), None)
    if task is None:
        raise InputError(
            f"no task {' or '.join(reversed(keep))}", expected=f"a log of {next(iter(keep))}", path=run.path
        )
    source = run.tasks[task].source
    texts: dict[tuple[str | int, str, int], str] = {}
    unusable = 0
    for request, generation in read_generations(source, task):
        if text := keep[task](generation, request):
            texts[request.id, request.question, request.option] = text
        else:
            unusable += 1
    return Explanations(texts, unusable, source, requested=run.config.documents.get(task), limit=run.config.limit)


def read_column(path: str | Path, column: str, beliefs: Beliefs, purpose: Purpose) -> Explanations:
    """Read texts from a column of a file that has a row for each question.

    Parameters
    ----------
    path : path-like
        A JSONL file. A row belongs to the question whose `id` it has and whose text is its `question`. A row without an
        `id` has its place, counted from 0, for one, or what its `question` and `choices` make of it (`TextIds`). The
        text is about the option of the row's `option`, such as the file of `write_requests` has; otherwise about the
        model's answer ("explain") or the gold one ("context").
    column : str
        Name of the column; a text or null.
    beliefs : Beliefs
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
        Naming the line, if the file cannot be read or a row's text is not one; if no row has the column, or none belongs
        to a question of the probe.
    """
    rows = read_jsonl(path, dict[str, Any], "a JSON object")
    return _collect(rows, column, beliefs, purpose, Path(path))


def read_probe_column(beliefs: Beliefs, column: str, purpose: Purpose, source: Path) -> Explanations:
    """Read texts from a field of the probe's own documents: see `read_column`."""
    rows = ((number, msgspec.json.decode(document)) for number, document in enumerate(beliefs.documents, 1))
    numbered = ((number, {"id": id_, **row}) for (number, row), id_ in zip(rows, beliefs.ids, strict=True))
    try:
        return _collect(numbered, column, beliefs, purpose, source)
    except InputError as error:
        if error.line is None:
            raise
        # Documents of a log are sorted, and need not be in the file's order.
        line = find_line(source, beliefs.documents[error.line - 1], -1)
        raise InputError(error.problem, expected=error.expected, path=source, line=line) from error


def _collect(
    rows: Iterable[tuple[int, dict[str, Any]]],
    column: str,
    beliefs: Beliefs,
    purpose: Purpose,
    path: Path,
) -> Explanations:
    option_of: Callable[[Belief], int] = (lambda b: b.answer) if purpose == "explain" else (lambda b: b.gold)
    probed: dict[tuple[Any, Any], Belief] = {(belief.id, belief.question): belief for belief in beliefs}
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
        belief = next((probed[key] for key in keys if key in probed), None)
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


def clean(generation: str) -> str:
    """The text between the first pair of triple backticks, as the paper keeps it; empty where there is no pair.

    Examples
    --------
    >>> clean(" ```Because it is so.``` And more.")
    'Because it is so.'
    >>> clean("no backticks")
    ''
    """
    found = _FENCED.search(generation)
    return " ".join(found[1].split()) if found else ""


def clean_opened(generation: str) -> str:
    r"""The text up to the backticks that close what the prompt opened, or to where the model goes on to another question.

    Examples
    --------
    >>> clean_opened("Because it is so.``` And ```more```.")
    'Because it is so.'
    >>> clean_opened("It is so. And cut after 2.5 tok")
    'It is so.'
    >>> clean_opened("It is so.\nWhich is next?\nA. one\nB. two")
    'It is so.'
    """
    end = _END.search(generation)
    if end is None:
        # The model ran out of tokens: its last sentence is not whole.
        text = generation[: max((mark.end() for mark in _MARK.finditer(generation)), default=0)]
    else:
        text = generation[: end.start()].rstrip()
        if end[0] in ("\nA. ", "\nAnswer:", "\n答案："):
            text = _without_stem(text)
    return " ".join(text.split())


def _without_stem(text: str) -> str:
    """A text before another question's options or answer, without that question."""
    before, line, _ = text.rpartition("\n")
    # One line alone is what was asked for, unless it is a question.
    return before if line or not text.endswith((".", "!", "。", "！")) else text


def clean_context(generation: str, options: int = _USUAL_OPTIONS) -> str:
    r"""A generated context on one line, without lines that list the options or give the answer away.

    Parameters
    ----------
    generation : str
        What the model wrote.
    options : int
        How many the question has. A line that begins with one of their letters lists an option, as does one further
        down a list that begins with A; another initial is a name's.

    Returns
    -------
    str

    Examples
    --------
    >>> clean_context(" Facts: Rome was a republic.\n- Caesar ended it.\n\nThe correct answer is B.")
    'Rome was a republic. - Caesar ended it.'
    >>> clean_context("A. one\nB. two\nJ. Smith found it.")
    'J. Smith found it.'
    """
    lines = generation.strip().removeprefix("Facts:").removeprefix("事实：").splitlines()
    listed = {found[1] for found in map(_LISTED.match, lines) if found}
    run = next((place for place, letter in enumerate(ascii_uppercase) if letter not in listed), len(ascii_uppercase))
    letters = ascii_uppercase[: max(run, options)]

    def lists(line: str) -> bool:
        found = _LISTED.match(line)
        return found is not None and (found[1] in letters or found.end() == len(line))

    lines = [line for line in lines if not lists(line) and not _GIVEAWAY.search(line)]
    return " ".join(" ".join(lines).split())
