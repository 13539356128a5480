"""The training rows of a group: questions with their answers, then general instructions."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import msgspec

from consistency import prompts
from consistency.explanations import Explanations
from consistency.instructions import Instructions
from consistency.knowledge import Belief

SOURCES = ("general", "golden", "model", "random")
_RECENT = 16_384
_json = msgspec.json.Encoder().encode


class Asked:
    """Which questions of a probe are asked, with which option they are answered, and whose answer that is.

    Columns of numbers, since a dozen groups of a large pool are kept at the same time.
    """

    def __init__(self, rows: Sequence[int], options: Iterable[int], own: Iterable[bool] = (), source: str = "") -> None:
        self._rows, self._options = array("l", rows), array("b", options)
        self._own, self._source = array("b", own), source

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        if self._source:
            return zip(self._rows, self._options, repeat(self._source), strict=False)
        sources = ("model" if own else "golden" for own in self._own)
        return zip(self._rows, self._options, sources, strict=True)


@dataclass(frozen=True, eq=False)
class Group:
    """The training rows of one intervention group, made while they are looked at.

    Attributes
    ----------
    name : str
        One of `consistency.groups.GROUPS`, or ``mixed_R`` of another ratio.
    domain : str
        Name of the domain.
    beliefs : sequence of Belief
        The labelled probe.
    asked : iterable of (row, option, source)
        Which questions, in which order, and with which answer.
    instructions : Instructions
        Where the general instructions come from.
    general : int
        How many of them.
    explanations, contexts : Explanations or None
        What models wrote.
    """

    name: str
    domain: str
    beliefs: Sequence[Belief]
    asked: Asked
    instructions: Instructions
    general: int
    explanations: Explanations | None
    contexts: Explanations | None

    def __len__(self) -> int:
        return len(self.asked) + self.general

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows: first the domain's questions, then the general instructions.

        Each has `id`, `domain`, `group`, `source` and `conversations`. `source` says where the reply comes from:
        "golden", "model", "random" or "general".
        """
        for row, _ in self._questions():
            yield row
        for number, turns in enumerate(self.instructions.take(self.general)):
            yield self._row(f"general-{number:05d}", "general", turns)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows at once."""
        return list(self)

    @property
    def unexplained(self) -> int:
        """Rows whose reply is the option alone, since there is no usable explanation."""
        return sum(not explanation for _, explanation in self._questions())

    def lines(self, tally: Counter[str], texts: Texts | None = None) -> Iterator[bytes]:
        """The rows as lines of JSON, counted on the way.

        Parameters
        ----------
        tally : Counter
            Gains the number of rows by `source`, of those ``unexplained``, and for CONTEXTUALIZED of those
            ``without context``.
        texts : Texts, optional
            What groups of the same beliefs share that are written side by side.
        """
        texts = Texts(self.beliefs) if texts is None else texts
        names = ",".join(
            f'"{key}":{_json(name).decode()}' for key, name in (("domain", self.domain), ("group", self.name))
        )
        start, source_of = (
            f",{names},".encode(),
            {name: b'"source":"%s","conversations":' % name.encode() for name in SOURCES},
        )
        for row, option, source in self.asked:
            belief, identifier, request, golden = texts[row]
            reply, explanation, context = golden, belief.explanation, ""
            if source != "golden":
                explanation = self._written(self.explanations, belief, option)
                reply = _json(_reply(belief, option, explanation))
            if self.name == "contextualized":
                context = self._written(self.contexts, belief, option)
                request = _json(_request(belief, context))
                tally["without context"] += not context
            tally[source] += 1
            tally["unexplained"] += not explanation
            turns = b'[{"from":"human","value":%b},{"from":"gpt","value":%b}]' % (request, reply)
            yield b'{"id":%b%b%b%b}\n' % (identifier, start, source_of[source], turns)
        for number, turns in enumerate(self.instructions.encoded(self.general)):
            tally["general"] += 1
            yield b'{"id":"general-%05d"%b%b%b}\n' % (number, start, source_of["general"], turns)

    def _questions(self) -> Iterator[tuple[dict[str, Any], str]]:
        """The rows of the domain's questions, each with its explanation."""
        for row, option, source in self.asked:
            belief = self.beliefs[row]
            golden = source == "golden"
            explanation = belief.explanation if golden else self._written(self.explanations, belief, option)
            context = self._written(self.contexts, belief, option) if self.name == "contextualized" else ""
            turns = [
                {"from": "human", "value": _request(belief, context)},
                {"from": "gpt", "value": _reply(belief, option, explanation)},
            ]
            yield self._row(belief.id, source, turns), explanation

    @staticmethod
    def _written(texts: Explanations | None, belief: Belief, option: int) -> str:
        return texts.texts.get((belief.id, belief.question, option), "") if texts else ""

    def _row(self, identifier: str | int, source: str, turns: Any) -> dict[str, Any]:
        return {
            "id": identifier,
            "domain": self.domain,
            "group": self.name,
            "source": source,
            "conversations": turns,
        }


class Texts:
    """The recent questions of a probe as pieces of JSON: groups that ask the same ones side by side share them.

    Parameters
    ----------
    beliefs : sequence of Belief
    """

    def __init__(self, beliefs: Sequence[Belief]) -> None:
        self._beliefs = beliefs
        self._recent: dict[int, tuple[Belief, bytes, bytes, bytes]] = {}

    def __getitem__(self, row: int) -> tuple[Belief, bytes, bytes, bytes]:
        """A question, its id, its request and its golden reply."""
        found = self._recent.get(row)
        if found is None:
            belief = self._beliefs[row]
            reply = _reply(belief, belief.gold, belief.explanation)
            found = belief, _json(belief.id), _json(_request(belief)), _json(reply)
            if len(self._recent) >= _RECENT:
                self._recent.clear()
            self._recent[row] = found
        return found


def _request(belief: Belief, context: str = "") -> str:
    request = prompts.instruction(belief.subject, belief.question, belief.choices)
    return f"{context}\n\n{request}" if context else request


def _reply(belief: Belief, option: int, explanation: str) -> str:
    reply = prompts.answer(belief.choices, option)
    return f"{reply}\n{explanation}" if explanation else reply
