"""The texts that a model generated: what was asked, what it wrote, what a filter took from it, and whether that can be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec

from consistency.support.json_files import read_jsonl

Unreadable = Literal["", "empty", "cut", "no tag", "invalid"]
UNREADABLE: tuple[Unreadable, ...] = ("", "empty", "cut", "no tag", "invalid")
# What lm_eval's filters give where their pattern does not match.
INVALID = "[invalid]"
# Fewer characters than this to a token are rare: a text that long for its limit may have been cut.
_CHARACTERS_PER_TOKEN = 3
_ENDS = re.compile(r"""[.!?。！？…)\]}>"'”’`*$]\s*\Z""")


@dataclass(frozen=True, slots=True)
class Generation:
    """What a model wrote about one question, and what was taken from it as its answer.

    Attributes
    ----------
    target : str
        What is right; several in one text.
    text : str
        What the model wrote; of several texts the first.
    answer : str or None
        What the filter took from it; None where the log does not hold it.
    """

    target: str
    text: str
    answer: str | None

    def unreadable(self, *, tag: str = "", most_tokens: int | None = None, fallback: str = INVALID) -> Unreadable:
        """Why no answer can be read from the text; "" where one can.

        Parameters
        ----------
        tag : str
            The tag that the prompt asks the answer to stand in.
        most_tokens : int, optional
            The limit of the text's length. That a text was cut is an estimate: it is long for its limit, ends within a
            sentence, and no answer was taken from it; or its thoughts have no end.
        fallback : str
            What the filter gives where it finds no answer.

        Examples
        --------
        >>> Generation("A", "I do not know.", "[invalid]").unreadable(), Generation("A", " ", "").unreadable()
        ('invalid', 'empty')
        >>> Generation("4", "It is <answer>4</answer>", "4").unreadable(tag="answer")
        ''
        """
        if not self.text.strip():
            return "empty"
        taken = None if self.answer is None else self.answer.strip()
        lost = taken in ("", INVALID, fallback)
        lower = self.text.lower()
        if "<think>" in lower and "</think>" not in lower:
            return "cut"
        if lost or taken is None or taken == self.text.strip():
            long = most_tokens is not None and len(self.text) >= _CHARACTERS_PER_TOKEN * most_tokens
            if long and not _ENDS.search(self.text):
                return "cut"
        if tag and f"<{tag}>".lower() not in lower:
            return "no tag"
        return "invalid" if lost else ""


def read_generation(target: Any, resps: Any, filtered: Any) -> Generation:
    """What a row of a log holds of a generated text.

    Examples
    --------
    >>> read_generation("#### 4", [["It is 4.", "It is 5."]], ["4"])
    Generation(target='#### 4', text='It is 4.', answer='4')
    """
    return Generation(
        _as_text(target), _as_text(_first(_first(resps))), None if not filtered else _as_text(_first(filtered))
    )


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value


def _as_text(value: Any) -> str:
    if value is None or value == []:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


class Request(msgspec.Struct):
    """What a model was asked to write about.

    Attributes
    ----------
    id : str or int
        The question's.
    question : str
        The stem.
    option : int
        Index of the option that the text is about.
    choices : list of str
        All options; empty where the log does not hold them.
    """

    id: str | int
    question: str
    option: int
    choices: list[str] = []


class _Sample(msgspec.Struct):
    doc: Request
    filtered_resps: list[str]


def read_generations(path: str | Path, task: str) -> Iterator[tuple[Request, str]]:
    """Read a samples file of a task of this project that asks a model to write a text.

    Parameters
    ----------
    path : path-like
        The samples file.
    task : str
        Name of the task, for error messages.

    Yields
    ------
    Request
    str
        What the model wrote; empty where nothing is logged.

    Raises
    ------
    InputError
        Naming the line, if the file cannot be read or holds something else.
    """
    for _, sample in read_jsonl(path, _Sample, f"a generation of {task}"):
        yield sample.doc, sample.filtered_resps[0] if sample.filtered_resps else ""
