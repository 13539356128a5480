"""What models write about questions through the harness: a base model's explanations, and the knowledge needed."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase

import msgspec

from consistency.errors import InputError
from consistency.logs.runs import read_run

TASK = "consistency_world_explain"
_FENCED = re.compile(r"```(.*?)```", re.DOTALL)
_END = re.compile(r"```|\n(?:[A-J]\. |Answer:|Explanation:)")
# A mark inside a number or an abbreviation ends no sentence.
_MARK = re.compile(r"[.!?](?=\s|$)|。")
_LISTED = re.compile(r"\s*([A-Z])[.)](?:\s|$)")
_GIVEAWAY = re.compile(
    r"\b(?i:(correct|right) (answer|option|choice)|answer is)\b|\b(?i:option|choice) [A-J]\b"
    r"|\b(?i:answer)\s*[:=]|\b[A-J] (?i:is (the )?(correct|right))\b"
)
_USUAL_OPTIONS = 4


class _Answered(msgspec.Struct):
    id: str | int
    question: str
    option: int
    choices: list[str] = []


class _Generation(msgspec.Struct):
    doc: _Answered
    filtered_resps: list[str]


_Keep = Callable[[str, _Answered], str]


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
    """

    texts: dict[tuple[str | int, str, int], str]
    unusable: int
    source: Path
    others: tuple[Path, ...] = ()


def read_explanations(logs: str | Path, domain: str | None = None) -> Explanations:
    """Read an explain task's log and keep the explanations.

    A domain's prompt opens the triple backticks, so that the text up to the closing ones is kept (`clean_opened`); the
    embedded world's does not, and what stands between the first pair is kept (`clean`).

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
    keep: dict[str, _Keep] = {TASK: lambda text, _: clean(text)}
    if domain is not None:
        keep = {f"consistency_explain_{domain}": lambda text, _: clean_opened(text), **keep}
    return _read(logs, keep, "a generation of the explain task")


def read_contexts(logs: str | Path, domain: str) -> Explanations:
    """Read a context task's log: the world knowledge that questions need, in the words of a model.

    Parameters
    ----------
    logs : path-like
        The folder that `lm_eval run --tasks consistency_context_DOMAIN --log_samples` wrote.
    domain : str
        The domain.

    Returns
    -------
    Explanations
        Their `option` is the golden one.

    Raises
    ------
    InputError
        If the log is missing or is not that of the context task.
    """
    keep: dict[str, _Keep] = {
        f"consistency_context_{domain}": lambda text, asked: clean_context(text, len(asked.choices) or _USUAL_OPTIONS)
    }
    return _read(logs, keep, "a generation of the context task")


def _read(logs: str | Path, keep: dict[str, _Keep], expected: str) -> Explanations:
    """The log of the first of these tasks that is there; each has its way to keep a text."""
    run = read_run(logs)
    name = next((name for name in keep if name in run.tasks), None)
    if name is None:
        raise InputError(
            f"no task {' or '.join(reversed(keep))}", expected=f"a log of {next(iter(keep))}", path=run.path
        )
    source = run.tasks[name].source
    texts: dict[tuple[str | int, str, int], str] = {}
    unusable = 0
    with source.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = msgspec.json.decode(line.removeprefix(BOM_UTF8), type=_Generation)
            except msgspec.DecodeError as error:
                raise InputError(str(error), expected=expected, path=source, line=number) from error
            text = keep[name](row.filtered_resps[0], row.doc) if row.filtered_resps else ""
            if text:
                texts[row.doc.id, row.doc.question, row.doc.option] = text
            else:
                unusable += 1
    return Explanations(texts, unusable, source)


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
        if end[0] in ("\nA. ", "\nAnswer:"):
            text = _without_stem(text)
    return " ".join(text.split())


def _without_stem(text: str) -> str:
    """A text before another question's options or answer, without that question."""
    before, line, _ = text.rpartition("\n")
    # One line alone is what was asked for, unless it is a question.
    return before if line or not text.endswith((".", "!", "。")) else text


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
    lines = generation.strip().removeprefix("Facts:").splitlines()
    listed = {found[1] for found in map(_LISTED.match, lines) if found}
    run = next((place for place, letter in enumerate(ascii_uppercase) if letter not in listed), len(ascii_uppercase))
    letters = ascii_uppercase[: max(run, options)]

    def lists(line: str) -> bool:
        found = _LISTED.match(line)
        return found is not None and (found[1] in letters or found.end() == len(line))

    lines = [line for line in lines if not lists(line) and not _GIVEAWAY.search(line)]
    return " ".join(" ".join(lines).split())
