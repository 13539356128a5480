"""What models write about questions through the harness: a base model's explanations, and the knowledge needed."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.files import write_atomically
from consistency.knowledge import Belief
from consistency.questions import UNREADABLE, id_problem, text_problem
from consistency.samples import read_run
from consistency.sampling import random_option

PURPOSES = ("explain", "context", "random_wrong")
TASK = "consistency_world_explain"
FENCE = "```"
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


class _Request(msgspec.Struct):
    id: str | int
    subject: str
    question: str
    choices: list[str]
    option: int


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


def write_requests(beliefs: Iterable[Belief], path: str | Path, purpose: str = "explain", seed: int = 0) -> int:
    """Write what a model is to write about: the questions whose confident answer is wrong.

    Parameters
    ----------
    beliefs : iterable of Belief
        Labelled questions.
    path : path-like
        The JSONL file that the explain and context tasks read.
    purpose : {"explain", "context", "random_wrong"}
        "explain" asks the base model to explain its own answer, "random_wrong" to explain the option that RANDOM-WRONG
        teaches instead; "context" asks any model for the knowledge that the golden answer needs.
    seed : int
        Seed of the RANDOM-WRONG options.

    Returns
    -------
    int
        How many questions it holds.

    Raises
    ------
    InputError
        If there is no such purpose or the file cannot be written.
    """
    if purpose not in PURPOSES:
        raise InputError(f"no purpose {purpose!r}", expected=" or ".join(PURPOSES))
    option_of: dict[str, Callable[[Belief], int | None]] = {
        "explain": lambda belief: belief.answer,
        "context": lambda belief: belief.gold,
        "random_wrong": lambda belief: random_option(belief, seed),
    }
    # Two tasks may have asked the same question, and got the same answer.
    requests = {
        (belief.id, belief.question, option): {
            "id": belief.id,
            "subject": belief.subject,
            "question": belief.question,
            "choices": belief.choices,
            "option": option,
        }
        for belief in beliefs
        if belief.label == "misbelieved" and (option := option_of[purpose](belief)) is not None
    }
    write_atomically(path, "".join(msgspec.json.encode(request).decode() + "\n" for request in requests.values()))
    return len(requests)


def read_requests(path: str | Path, subject: str | None = None) -> list[dict[str, Any]]:
    """Read what is to be written, about one subject or all.

    Parameters
    ----------
    path : path-like
        The file that `write_requests` wrote; empty if the user named none.
    subject : str, optional
        The domain whose questions to take.

    Returns
    -------
    list of dict
        `id`, `subject`, `question`, `choices` and `option`.

    Raises
    ------
    InputError
        If there is no such file, a line is no request, their ids are of two kinds, one stands twice, or none is about
        the subject.
    """
    # It comes from --metadata, where anything may stand.
    if path and not isinstance(path, str | Path):
        raise InputError(f"requests is {path!r}", expected="""the path of a file: '{"requests": "FILE"}'""")
    try:
        content = Path(path).read_bytes() if path else None
    except OSError:
        content = None
    if content is None:
        raise InputError(
            f"no file {str(path)!r}" if path else "no file of questions to write about",
            expected="""--metadata '{"requests": "FILE"}'""",
            do="write the file with: consistency requests --probe LOGS --task TASK --out FILE",
        )
    found: list[dict[str, Any]] = []
    lines: dict[tuple[str | int, str, int], int] = {}
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n") if content else [], 1):
        try:
            request = msgspec.json.decode(line, type=_Request)
        except UNREADABLE as error:
            raise InputError(str(error), expected="a request", path=path, line=number) from error
        if not 0 <= request.option < len(request.choices):
            raise InputError(
                f"the option is {request.option}", expected="an index of its choices", path=path, line=number
            )
        problem = text_problem(request.question, request.choices) or id_problem(request.id)
        if problem:
            raise InputError(problem[0], expected=problem[1], path=path, line=number)
        if subject in (None, request.subject):
            if found and type(found[0]["id"]) is not type(request.id):
                raise InputError(
                    f"id {request.id!r}", expected="ids of one kind (texts or whole numbers)", path=path, line=number
                )
            first = lines.setdefault((request.id, request.question, request.option), number)
            if first != number:
                raise InputError(f"the same request as line {first}", expected="each once", path=path, line=number)
            found.append(msgspec.structs.asdict(request))
    if not found:
        what = f"no question about {subject}" if subject else "no question: the model has no confident error"
        raise InputError(what, expected="what consistency requests writes", do="probe more questions", path=path)
    return found


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
