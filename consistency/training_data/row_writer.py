"""The training rows of several groups as lines of JSON: what `row` makes, but made once for all groups that share it.

Groups of one probe hold the same rows but for the names of domain and group. A line is therefore made for the first
group that asks for it, cut before and behind these names, and put together again with the names of the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any

import msgspec

from consistency.knowledge.beliefs import Belief
from consistency.training_data.rows import Answer, Group, general_row, row

# So many questions of the probe are written at a time, and kept for the groups that share them.
_STRETCH = 4_096
_encode = msgspec.json.Encoder().encode
# What stands before the names of domain and group, and what behind them.
_Parts = tuple[bytes, bytes]


def lines_of(groups: Sequence[Group], tallies: Sequence[Counter[str]]) -> Iterator[tuple[int, bytes]]:
    """The rows of groups side by side, as lines of JSON.

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
        The next of its rows: the same bytes as those of each `row`, encoded.
    """
    names = [_names(group) for group in groups]
    for start in range(0, max(len(group.beliefs) for group in groups), _STRETCH):
        shared: dict[tuple[int, ...], _Lines] = {}
        for place, (group, tally) in enumerate(zip(groups, tallies, strict=True)):
            made_of = id(group.beliefs), id(group.explanations), id(group.used_contexts)
            lines = shared.setdefault(made_of, _Lines(group))
            answers = group.answers.between(start, start + _STRETCH)
            yield place, b"".join([names[place].join(lines[answer]) for answer in answers])
            tally.update(map(itemgetter(2), answers))
            tally["unexplained"] += len(lines.unexplained.intersection(answers))
            if group.used_contexts is not None:
                tally["without context"] += len(lines.without_context.intersection(answers))
    for instructions in dict.fromkeys(group.instructions for group in groups):
        some = [place for place, group in enumerate(groups) if group.instructions is instructions]
        longest = max((groups[place] for place in some), key=lambda group: group.general)
        for start, parts in _general_lines(longest):
            for place in some:
                part = parts[: max(groups[place].general - start, 0)]
                yield place, b"".join([names[place].join(line) for line in part])
                tallies[place]["general"] += len(part)


class _Lines(dict[Answer, _Parts]):
    """The rows of some questions as lines of JSON, each made when it is first asked for.

    Attributes
    ----------
    unexplained, without_context : set of (row, option, source)
        Those that lack an explanation, or a context.
    """

    def __init__(self, group: Group) -> None:
        self._group, self._width = group, len(_names(group))
        self._beliefs: dict[int, Belief] = {}
        self.unexplained: set[Answer] = set()
        self.without_context: set[Answer] = set()

    def __missing__(self, answer: Answer) -> _Parts:
        number, option, source = answer
        belief = self._beliefs.get(number) or self._beliefs.setdefault(number, self._group.beliefs[number])
        if not self._group.explanation(belief, option, source):
            self.unexplained.add(answer)
        if self._group.used_contexts is not None and not self._group.context(belief, option):
            self.without_context.add(answer)
        parts = self[answer] = _parts(row(self._group, belief, option, source), self._width)
        return parts


def _general_lines(group: Group) -> Iterator[tuple[int, list[_Parts]]]:
    """A group's general instructions as lines of JSON, some at a time, and the place of the first."""
    width = len(_names(group))
    numbered = enumerate(group.instructions.take(group.general))
    for start in range(0, group.general, _STRETCH):
        yield start, [_parts(general_row(group, *item), width) for item in islice(numbered, _STRETCH)]


def _names(group: Group) -> bytes:
    return _encode({"domain": group.domain, "group": group.name})[1:-1]


def _parts(fields: dict[str, Any], width: int) -> _Parts:
    """A row as a line of JSON, without the names of domain and group: `width` bytes that follow its id."""
    line = _encode(fields) + b"\n"
    start = len(_encode({"id": fields["id"]}))
    return line[:start], line[start + width :]
