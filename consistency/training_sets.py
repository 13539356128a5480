"""A user's own training set, as questions and the options that it teaches."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from consistency.errors import InputError
from consistency.prompts import LETTERS
from consistency.questions import UNREADABLE

_HEADER = re.compile(
    r"The following are multiple choice questions about (.*?)\. Please choose the correct answer\. ?\n+"
)
_OPTION = re.compile(r"\(?([A-J])[.):]\s*(.*)")
_REPLY = re.compile(r"\s*(?i:(?:the\s+)?(?:correct\s+)?answer(?:\s+is)?:?\s*)?\(?([A-J])(?:[.):]|\s*(?:\n|$))")
_ENDING = re.compile(r"\s*Answer:?\s*$")


@dataclass(frozen=True)
class Example:
    """A row of a training set.

    Attributes
    ----------
    line : int
        Its line, or its place in a JSON array, from 1.
    id : str, int or None
    subject : str
        What the row says it is about; empty where it does not.
    question : str
        The stem; empty where the row is no multiple-choice question.
    choices : tuple of str
        The options.
    taught : int or None
        Index of the option that the row teaches; None where the row teaches none of them.
    """

    line: int
    id: str | int | None
    subject: str
    question: str
    choices: tuple[str, ...]
    taught: int | None


def read_training_set(path: str | Path) -> list[Example]:
    """Read a training set.

    Parameters
    ----------
    path : path-like
        JSON lines, or a JSON array, of rows in one of three formats: questions (`question`, `choices`, `answer`),
        conversations (`conversations` with turns from human and gpt, or `messages` with roles user and assistant), or
        Alpaca (`instruction`, `input`, `output`). In the latter two a multiple-choice question is a request that ends
        with lettered options, one a line, and perhaps ``Answer:``; the reply begins with a letter, or with the text of
        an option.

    Returns
    -------
    list of Example
        One for each row, in order.

    Raises
    ------
    InputError
        Naming the line, if a row is in none of the formats.
    """
    path = Path(path)
    examples = [_example(row, path, line) for line, row in _rows(path)]
    if not examples:
        raise InputError("no rows", expected="a training set in JSON or JSONL", path=path)
    return examples


def parse_request(request: str) -> tuple[str, str, tuple[str, ...]]:
    r"""The subject, the stem and the options of a multiple-choice request; nothing of another one.

    Examples
    --------
    >>> parse_request("One and one is\nA. two\nB. three\nAnswer:")
    ('', 'One and one is', ('two', 'three'))
    >>> parse_request("Write a poem.")
    ('', '', ())
    """
    headers = list(_HEADER.finditer(request))
    lines = _ENDING.sub("", request[headers[-1].end() :] if headers else request).rstrip().split("\n")
    found: list[list[str]] = []
    stem = len(lines)
    for number, line in enumerate(lines):
        option = _OPTION.match(line.strip())
        if option and option[1] == "A":
            found, stem = [[option[2]]], number
        elif option and found and option[1] == LETTERS[min(len(found), len(LETTERS) - 1)]:
            found.append([option[2]])
        elif found:
            found[-1].append(line)
    question = "\n".join(lines[:stem]).strip()
    if len(found) < 2 or not question:
        return "", "", ()
    return headers[-1][1] if headers else "", question, tuple("\n".join(option).strip() for option in found)


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        content = path.read_bytes().removeprefix(BOM_UTF8)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", expected="a JSON or JSONL file", path=path) from error
    if content.lstrip().startswith(b"["):
        try:
            yield from enumerate(msgspec.json.decode(content.decode(), type=list[Any]), 1)
        except UNREADABLE as error:
            raise InputError(f"not JSON: {error}", expected="a list of training rows", path=path) from error
        return
    for number, line in enumerate(content.split(b"\n"), 1):
        if line.strip():
            try:
                yield number, msgspec.json.decode(line.decode())
            except UNREADABLE as error:
                raise InputError(f"not JSON: {error}", expected="one row a line", path=path, line=number) from error


def _example(row: Any, path: Path, line: int) -> Example:
    fields = row if isinstance(row, dict) else {}
    identifier = fields.get("id")
    if not isinstance(identifier, str | int) or isinstance(identifier, bool):
        identifier = None
    if "choices" in fields:
        return _asked(fields, identifier, path, line)
    request, reply = _turns(fields)
    if not request or not reply:
        raise InputError(
            f"{str(row)[:60]!r} is no training row",
            expected="question, choices and answer; conversations or messages; or instruction and output",
            path=path,
            line=line,
        )
    subject, question, choices = parse_request(request)
    return Example(line, identifier, subject, question, choices, _taught(reply, choices))


def _asked(fields: dict[str, Any], identifier: str | int | None, path: Path, line: int) -> Example:
    question, choices, answer = fields.get("question"), fields["choices"], fields.get("answer")
    if not isinstance(question, str) or not isinstance(choices, list) or not all(isinstance(c, str) for c in choices):
        raise InputError("no question with choices", expected="a text and a list of texts", path=path, line=line)
    if type(answer) is not int or not 0 <= answer < len(choices):
        raise InputError(
            f"the answer is {answer!r}", expected=f"a number from 0 to {len(choices) - 1}", path=path, line=line
        )
    subject = fields.get("subject")
    return Example(line, identifier, subject if isinstance(subject, str) else "", question, tuple(choices), answer)


def _turns(fields: dict[str, Any]) -> tuple[str, str]:
    """The first request and its reply, empty where a row has none."""
    for name, speaker, value, human, machine in (
        ("conversations", "from", "value", "human", "gpt"),
        ("messages", "role", "content", "user", "assistant"),
    ):
        turns = fields.get(name)
        if isinstance(turns, list):
            said = [(turn.get(speaker), turn.get(value)) for turn in turns if isinstance(turn, dict)]
            return _first(said, human), _first(said, machine)
    instruction, context, output = (fields.get(name) or "" for name in ("instruction", "input", "output"))
    if not all(isinstance(text, str) for text in (instruction, context, output)):
        return "", ""
    return "\n".join(filter(None, [instruction, context])), output


def _first(said: list[tuple[Any, Any]], speaker: str) -> str:
    return next((text for who, text in said if who == speaker and isinstance(text, str)), "")


def _taught(reply: str, choices: tuple[str, ...]) -> int | None:
    """The option that a reply names, by its letter or its text."""
    letter = _REPLY.match(reply)
    if letter and (place := LETTERS.index(letter[1])) < len(choices):
        return place
    texts = [place for place, choice in enumerate(choices) if choice and reply.strip().startswith(choice)]
    return max(texts, key=lambda place: len(choices[place]), default=None)
