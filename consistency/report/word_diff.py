"""What changed between two texts, word by word, shortened around the changes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import groupby
from typing import Literal, TypeAlias

Kind = Literal["same", "before", "after"]
Piece: TypeAlias = tuple[Kind, str]
LEFT_OUT = " […] "
# Of a text that is the same on both sides, characters beside a change.
AROUND = 120
# More words between the first change and the last are not compared one by one; of these, the last.
MOST_WORDS, LAST_WORDS = 400, 100
# So many words that are the same between two changes are a coincidence rather than text that stayed.
CHANCE = 2
# A character of Chinese, Japanese or Korean is a word.
_OWN = "⺀-鿿가-힯豈-﫿"
_WORD = re.compile(rf"[{_OWN}]\s*|[^\W{_OWN}]+\s*|[^\w\s]\s*|\s+")


def word_diff(before: str, after: str, longest: int, *, aligned: bool = True) -> tuple[Piece, ...]:
    """The words of two texts, in order: those in both, and those in one of them.

    Parameters
    ----------
    before, after : str
    longest : int
        Most characters of each text; what is left out is `LEFT_OUT`.
    aligned : bool
        Whether words in the middle are compared one by one, which takes a millisecond and more; otherwise only what both
        texts begin and end with is found.

    Returns
    -------
    tuple of (kind, text)
        The kinds "same" and "before" together are the first text, "same" and "after" the second.

    Examples
    --------
    >>> word_diff("It is 4 apples.", "It is 5 apples.", 100)
    (('same', 'It is '), ('before', '4 '), ('after', '5 '), ('same', 'apples.'))
    """
    first, second = _WORD.findall(before), _WORD.findall(after)
    start = _common(first, second)
    end = _common(first[start:][::-1], second[start:][::-1])
    middle = first[start : len(first) - end], second[start : len(second) - end]
    changes = _changes(*map(_limited, middle)) if aligned else iter(zip(("before", "after"), middle, strict=True))
    pieces = [
        ("same", first[:start]),
        *changes,
        ("same", first[len(first) - end :]),
    ]
    return tuple(_shortened(list(_joined(pieces)), longest))


def _common(first: Sequence[str], second: Sequence[str]) -> int:
    """How many words two texts begin with alike."""
    for count, (one, two) in enumerate(zip(first, second, strict=False)):
        if one != two:
            return count
    return min(len(first), len(second))


def _limited(words: list[str]) -> list[str]:
    if len(words) <= MOST_WORDS:
        return words
    return [*words[: MOST_WORDS - LAST_WORDS], LEFT_OUT, *words[-LAST_WORDS:]]


def _changes(first: list[str], second: list[str]) -> Iterator[tuple[Kind, list[str]]]:
    matcher = SequenceMatcher(None, first, second, autojunk=False)
    for kind, i, k, j, m in matcher.get_opcodes():
        if kind == "equal" and k - i > CHANCE:
            yield "same", first[i:k]
        else:
            yield "before", first[i:k]
            yield "after", second[j:m]


def _joined(pieces: Sequence[tuple[Kind, list[str]]]) -> Iterator[Piece]:
    """Pieces without empty ones; of each change one text of either side."""
    for same, group in groupby(pieces, lambda piece: piece[0] == "same"):
        found = list(group)
        kinds: tuple[Kind, ...] = ("same",) if same else ("before", "after")
        for kind in kinds:
            text = "".join(word for own, words in found for word in words if own == kind)
            if text:
                yield kind, text


def _shortened(pieces: list[Piece], longest: int) -> Iterator[Piece]:
    left = {"before": longest, "after": longest}
    last = len(pieces) - 1
    for number, (kind, text) in enumerate(pieces):
        if kind == "same" and last:
            head, tail = AROUND * (number > 0), AROUND * (number < last)
        else:
            head, tail = longest * 2 // 3, longest // 3
        text = middle_out(text, head, tail)
        sides = ("before", "after") if kind == "same" else (kind,)
        room = min(left[side] for side in sides)
        if room > 0:
            yield kind, text if len(text) <= room else middle_out(text, room, 0)
        for side in sides:
            left[side] -= len(text)


def middle_out(text: str, head: int, tail: int) -> str:
    """The first and the last characters of a text, `LEFT_OUT` between them, or all of it where that is no shorter.

    Examples
    --------
    >>> middle_out("one two three four five six seven", 8, 9)
    'one two […] six seven'
    """
    if len(text) <= head + tail + len(LEFT_OUT):
        return text
    first, last = text[:head], text[len(text) - tail :]
    # No part of a word, unless it is a long one.
    if len(whole := re.sub(r"\S{1,20}\Z", "", first)) > 1 and not text[head].isspace():
        first = whole
    if tail and not text[len(text) - tail - 1].isspace():
        last = re.sub(r"\A\S{1,20}(?=\s)", "", last)
    return f"{first.rstrip()}{LEFT_OUT if first else LEFT_OUT.lstrip()}{last.lstrip() if tail else ''}"
