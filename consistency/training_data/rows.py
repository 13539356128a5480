"""The training rows of a group: questions with their answers, then general instructions."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.experiment.group_names import plain
from consistency.knowledge.beliefs import Belief, Beliefs
from consistency.knowledge.explanations import Explanations
from consistency.tasks import prompts
from consistency.training_data.instructions import Conversation, Instructions, conversation

SOURCES = ("general", "golden", "model", "random")
# The question's row in the probe, the option that answers it, and the answer's source.
Answer = tuple[int, int, str]


class Answers:
    """Which questions of a probe a group asks, and how each is answered.

    Columns of numbers, since a dozen groups of a large pool are kept at the same time.

    Parameters
    ----------
    rows : sequence of int
        The questions, in ascending order.
    options : iterable of int
        The option that answers each.
    source : str
        Where the answers come from: "golden", "model" or "random"; empty for a mixture.
    own : iterable of bool
        Of a mixture, which answers are the model's; the source of the others is "golden".
    """

    def __init__(self, rows: Sequence[int], options: Iterable[int], source: str = "", own: Iterable[bool] = ()) -> None:
        self._rows, self._options = array("l", rows), array("b", options)
        self._own, self._source = array("b", own), source

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Answer]:
        return iter(self.between(0, sys.maxsize))

    @property
    def columns(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The questions' rows, and the options that answer them."""
        return np.array(self._rows, dtype=np.int64), np.array(self._options, dtype=np.int64)

    def between(self, start: int, stop: int) -> list[Answer]:
        """The answers to the questions of the probe's rows from `start` to `stop`."""
        part = slice(bisect_left(self._rows, start), bisect_left(self._rows, stop))
        sources = repeat(self._source) if self._source else ["model" if own else "golden" for own in self._own[part]]
        return list(zip(self._rows[part], self._options[part], sources, strict=False))


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """The training rows of one intervention group, created lazily.

    Attributes
    ----------
    name : str
        One of `consistency.training_data.groups.GROUPS`, or ``mixed_R`` of another ratio; or its balanced variant.
    domain : str
        Name of the domain.
    beliefs : Beliefs
        The labelled probe.
    answers : Answers
        Which questions, in which order, and with which answer.
    instructions : Instructions
        Where the general instructions come from.
    general : int
        How many of them.
    explanations, contexts : Explanations or None
        What models wrote; contexts come before the questions of CONTEXTUALIZED only.
    preference : bool
        Whether its rows are preference pairs.
    balance : mapping or None
        Of a balanced variant, how its options were permuted: see `Balance`.
    """

    name: str
    domain: str
    beliefs: Beliefs
    answers: Answers
    instructions: Instructions
    general: int
    explanations: Explanations | None
    contexts: Explanations | None
    preference: bool = False
    balance: Mapping[str, Any] | None = None

    def __len__(self) -> int:
        return len(self.answers) + self.general

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """First the domain's questions (`row`), then the general instructions (`general_row`)."""
        for number, option, source in self.answers:
            yield row(self, self.beliefs[number], option, source)
        for place, turns in enumerate(self.instructions.take(self.general)):
            yield general_row(self, place, turns)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows at once."""
        return list(self)

    @cached_property
    def used_contexts(self) -> Explanations | None:
        """The contexts that come before its questions."""
        return self.contexts if plain(self.name) == "contextualized" else None

    def explanation(self, belief: Belief, option: int, source: str) -> str:
        """What explains an answer; empty where there is nothing."""
        return belief.explanation if source == "golden" else _text(self.explanations, belief, option)

    def context(self, belief: Belief, option: int) -> str:
        """What is to be known before a question; empty where there is nothing."""
        return _text(self.used_contexts, belief, option)


def row(group: Group, belief: Belief, option: int, source: str) -> dict[str, Any]:
    """A question as a training row: a user's request, and the reply that is taught.

    Parameters
    ----------
    group : Group
        The group that it is a row of.
    belief : Belief
        The question.
    option : int
        Index of the option that answers it.
    source : {"golden", "model", "random"}
        Where the answer comes from.

    Returns
    -------
    dict
        `id`, `domain`, `group`, `source` and `conversations`, of two turns; of a preference pair one turn, with the
        replies as `chosen` and `rejected`.
    """
    asked = request(belief, group.context(belief, option))
    if not group.preference:
        answered = reply(belief, option, group.explanation(belief, option, source))
        return _row(group, belief.id, source, conversation(asked, answered))
    chosen, rejected = pair(group, belief, option, source)
    turns = [{"from": "human", "value": asked}]
    replies = {name: {"from": "gpt", "value": text} for name, text in (("chosen", chosen), ("rejected", rejected))}
    return _row(group, belief.id, source, turns) | replies


def general_row(group: Group, place: int, turns: Conversation) -> dict[str, Any]:
    """A general instruction as a training row, with its place among them for an id."""
    return _row(group, f"general-{place:05d}", "general", turns)


def request(belief: Belief, context: str = "") -> str:
    """The user's turn: a question in the words of the tasks, behind what is to be known before it."""
    asked = prompts.instruction(belief.subject, belief.question, belief.choices, belief.language)
    return f"{context}\n\n{asked}" if context else asked


def reply(belief: Belief, option: int, explanation: str) -> str:
    """The assistant's turn: an option, and on the next line why."""
    answer = prompts.answer(belief.choices, option)
    return f"{answer}\n{explanation}" if explanation else answer


def rejected(belief: Belief, source: str) -> tuple[int, str]:
    """The option that a preference pair rejects, and its source: the model's own beside the gold one, else the gold one."""
    return (belief.answer, "model") if source == "golden" else (belief.gold, "golden")


def pair(group: Group, belief: Belief, option: int, source: str) -> tuple[str, str]:
    """The replies of a preference pair, chosen and rejected: both explained, or both the option alone.

    Otherwise a model could prefer the one with an explanation, whatever it says.
    """
    answers = ((option, source), rejected(belief, source))
    texts = [group.explanation(belief, *answer) for answer in answers]
    if not all(texts):
        texts = ["", ""]
    chosen, other = (reply(belief, answer[0], text) for answer, text in zip(answers, texts, strict=True))
    return chosen, other


def _row(group: Group, identifier: str | int, source: str, turns: Conversation) -> dict[str, Any]:
    return {
        "id": identifier,
        "domain": group.domain,
        "group": group.name,
        "source": source,
        "conversations": turns,
    }


def _text(written: Explanations | None, belief: Belief, option: int) -> str:
    return written.texts.get((belief.id, belief.question, option), "") if written else ""
