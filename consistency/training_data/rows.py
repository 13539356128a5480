"""The training rows of groups: questions with their answers, then general instructions, as lines of JSON."""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from operator import itemgetter
from typing import Any

import msgspec

from consistency.knowledge.beliefs import Belief
from consistency.knowledge.explanations import Explanations
from consistency.tasks import prompts
from consistency.training_data.instructions import Instructions

SOURCES = ("general", "golden", "model", "random")
# Stands for domain and group in a row that several groups share: no JSON text holds this byte.
_MARK = b"\0"
_STRETCH = 4_096
_json = msgspec.json.Encoder().encode
_Key = tuple[int, int, str]


class Asked:
    """Which questions of a probe are asked, with which option they are answered, and whose answer that is.

    Columns of numbers, since a dozen groups of a large pool are kept at the same time. The rows ascend.
    """

    def __init__(self, rows: Sequence[int], options: Iterable[int], own: Iterable[bool] = (), source: str = "") -> None:
        self._rows, self._options = array("l", rows), array("b", options)
        self._own, self._source = array("b", own), source

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[_Key]:
        return iter(self.between(0, sys.maxsize))

    def between(self, start: int, stop: int) -> list[_Key]:
        """Row, option and source of the questions of one stretch of the probe."""
        part = slice(bisect_left(self._rows, start), bisect_left(self._rows, stop))
        sources = repeat(self._source) if self._source else ["model" if own else "golden" for own in self._own[part]]
        return list(zip(self._rows[part], self._options[part], sources, strict=False))


@dataclass(frozen=True, eq=False)
class Group:
    """The training rows of one intervention group, made while they are looked at.

    Attributes
    ----------
    name : str
        One of `consistency.training_data.groups.GROUPS`, or ``mixed_R`` of another ratio.
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
        for _, piece in lines_of([self], [Counter()]):
            yield from map(msgspec.json.decode, piece.splitlines())

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All rows at once."""
        return list(self)


def lines_of(groups: Sequence[Group], tallies: Sequence[Counter[str]]) -> Iterator[tuple[int, bytes]]:
    """The rows of groups side by side, so that what several groups hold is made once.

    Parameters
    ----------
    groups : sequence of Group
    tallies : sequence of Counter
        One for each group. It gains the number of rows by `source`, of those ``unexplained`` (whose reply is the option
        alone, since there is no usable explanation), and for CONTEXTUALIZED of those ``without context``.

    Yields
    ------
    place : int
        The group's place among the groups.
    lines : bytes
        The next of its rows as lines of JSON.
    """
    names = [b'"domain":%b,"group":%b' % (_json(group.domain), _json(group.name)) for group in groups]
    for start in range(0, max(len(group.beliefs) for group in groups), _STRETCH):
        shared: dict[tuple[int, ...], _Lines] = {}
        for place, (group, tally) in enumerate(zip(groups, tallies, strict=True)):
            contexts = group.contexts if group.name == "contextualized" else None
            made_of = id(group.beliefs), id(group.explanations), id(contexts)
            lines = shared.setdefault(made_of, _Lines(group, contexts))
            keys = group.asked.between(start, start + _STRETCH)
            yield place, b"".join([lines[key] for key in keys]).replace(_MARK, names[place])
            tally.update(map(itemgetter(2), keys))
            tally["unexplained"] += len(lines.unexplained.intersection(keys))
            tally["without context"] += 0 if contexts is None else len(lines.without_context.intersection(keys))
    for instructions in dict.fromkeys(group.instructions for group in groups):
        some = [place for place, group in enumerate(groups) if group.instructions is instructions]
        for start, rows in _general_rows(instructions, max(groups[place].general for place in some)):
            for place in some:
                part = rows[: max(groups[place].general - start, 0)]
                yield place, b"".join(part).replace(_MARK, names[place])
                tallies[place]["general"] += len(part)


def _general_rows(instructions: Instructions, number: int) -> Iterator[tuple[int, list[bytes]]]:
    """General instructions as lines of JSON, and the place of the first."""
    turns = enumerate(instructions.take(number))
    for start in range(0, number, _STRETCH):
        yield (
            start,
            [
                b'{"id":"general-%05d",%b,"source":"general","conversations":%b}\n' % (place, _MARK, _json(turn))
                for place, turn in islice(turns, _STRETCH)
            ],
        )


class _Lines(dict[_Key, bytes]):
    """The rows of some questions as lines of JSON, each made when it is first asked for.

    Attributes
    ----------
    unexplained, without_context : set of (row, option, source)
        Those that lack an explanation, or a context.
    """

    def __init__(self, group: Group, contexts: Explanations | None) -> None:
        self._beliefs, self._explanations, self._contexts = group.beliefs, group.explanations, contexts
        self._requests: dict[int, tuple[Belief, bytes, bytes]] = {}
        self.unexplained: set[_Key] = set()
        self.without_context: set[_Key] = set()

    def __missing__(self, key: _Key) -> bytes:
        row, option, source = key
        belief, identifier, request = self._requests.get(row) or self._request(row)
        golden = source == "golden"
        explanation = belief.explanation if golden else self._written(self._explanations, belief, option)
        reply = prompts.answer(belief.choices, option)
        if explanation:
            reply = f"{reply}\n{explanation}"
        else:
            self.unexplained.add(key)
        if self._contexts is not None:
            context = self._written(self._contexts, belief, option)
            if context:
                request = _json(f"{context}\n\n")[:-1] + request[1:]
            else:
                self.without_context.add(key)
        line = self[key] = (
            b'{"id":%b,%b,"source":"%b","conversations":[{"from":"human","value":%b},{"from":"gpt","value":%b}]}\n'
            % (identifier, _MARK, source.encode(), request, _json(reply))
        )
        return line

    def _request(self, row: int) -> tuple[Belief, bytes, bytes]:
        """A question, and its id and request as JSON."""
        belief = self._beliefs[row]
        request = prompts.instruction(belief.subject, belief.question, belief.choices)
        found = self._requests[row] = belief, _json(belief.id), _json(request)
        return found

    @staticmethod
    def _written(texts: Explanations | None, belief: Belief, option: int) -> str:
        return texts.texts.get((belief.id, belief.question, option), "") if texts else ""
