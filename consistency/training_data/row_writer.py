"""The training rows of several groups as lines of JSON: the bytes of each `row`, but made once for all that share it.

Groups of one probe hold the same rows but for the names of domain and group. So a line is made in two parts, before and
behind these names, when the first group asks for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter

from consistency.knowledge.beliefs import Belief
from consistency.support.json_files import json_line
from consistency.training_data.instructions import Instructions
from consistency.training_data.rows import Answer, Group, pair, reply, request

# So many questions of the probe are written at a time, and kept for the groups that share them.
_STRETCH = 4_096
# A line up to the names of domain and group, and what follows them.
_Parts = tuple[bytes, bytes]


def lines_of(groups: Sequence[Group], tallies: Sequence[Counter[str]]) -> Iterator[tuple[int, bytes]]:
    """The rows of groups side by side, as lines of JSON.

    Parameters
    ----------
    groups : sequence of Group
    tallies : sequence of Counter
        One for each group. It gains the number of rows by `source`.

    Yields
    ------
    place : int
        The group's place among the groups.
    lines : bytes
        The next of its rows: the bytes of each `row` and `general_row`, encoded.
    """
    names = [b'"domain":%b,"group":%b' % (json_line(group.domain), json_line(group.name)) for group in groups]
    for start in range(0, max(len(group.beliefs) for group in groups), _STRETCH):
        shared: dict[tuple[int, ...], _Lines] = {}
        for place, (group, tally) in enumerate(zip(groups, tallies, strict=True)):
            made_of = id(group.beliefs), id(group.explanations), id(group.used_contexts), group.preference
            lines = shared.setdefault(made_of, _Lines(group))
            answers = group.answers.between(start, start + _STRETCH)
            yield place, _joined(map(lines.__getitem__, answers), names[place])
            tally.update(map(itemgetter(2), answers))
    for instructions in dict.fromkeys(group.instructions for group in groups):
        some = [place for place, group in enumerate(groups) if group.instructions is instructions]
        for start, parts in _general_lines(instructions, max(groups[place].general for place in some)):
            for place in some:
                part = parts[: max(groups[place].general - start, 0)]
                yield place, _joined(part, names[place])
                tallies[place]["general"] += len(part)


class _Lines(dict[Answer, _Parts]):
    """The rows of some questions as lines of JSON, each made when it is first asked for."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._asked: dict[int, tuple[Belief, bytes, bytes]] = {}

    def __missing__(self, answer: Answer) -> _Parts:
        number, option, source = answer
        belief, head, asked = self._asked.get(number) or self._ask(number)
        if context := self._group.context(belief, option):
            asked = json_line(request(belief, context))
        if self._group.preference:
            replies = map(json_line, pair(self._group, belief, option, source))
            turns = (
                b'[{"from":"human","value":%b}],"chosen":{"from":"gpt","value":%b},"rejected":{"from":"gpt","value":%b}'
                % (
                    asked,
                    *replies,
                )
            )
        else:
            answered = json_line(reply(belief, option, self._group.explanation(belief, option, source)))
            turns = b'[{"from":"human","value":%b},{"from":"gpt","value":%b}]' % (asked, answered)
        parts = self[answer] = head, b',"source":%b,"conversations":%b}\n' % (json_line(source), turns)
        return parts

    def _ask(self, number: int) -> tuple[Belief, bytes, bytes]:
        """A question, the beginning of its lines, and its request as JSON; kept for its other answers."""
        belief = self._group.beliefs[number]
        found = self._asked[number] = belief, b'{"id":%b,' % json_line(belief.id), json_line(request(belief))
        return found


def _general_lines(instructions: Instructions, count: int) -> Iterator[tuple[int, list[_Parts]]]:
    """General instructions as lines of JSON, some at a time, and the place of the first."""
    numbered = enumerate(instructions.take(count))
    for start in range(0, count, _STRETCH):
        yield (
            start,
            [
                (b'{"id":"general-%05d",' % place, b',"source":"general","conversations":%b}\n' % json_line(turns))
                for place, turns in islice(numbered, _STRETCH)
            ],
        )


def _joined(lines: Iterable[_Parts], names: bytes) -> bytes:
    """Lines with the names of a group's domain and group in them."""
    pieces: list[bytes] = []
    for head, tail in lines:
        pieces += (head, names, tail)
    return b"".join(pieces)
