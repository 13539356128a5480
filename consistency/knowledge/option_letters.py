"""Letters in texts: which of them name options, and how they follow when the options are permuted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from consistency.knowledge.letter_rules import CLOSE, OPEN, Mention, Options, names_species, rule_of
from consistency.knowledge.plain_text import FORMULA, Plain, like, plain_text
from consistency.tasks.placed_options import PLACED
from consistency.tasks.prompts import LETTERS

# What makes a letter part of a word: letters (of words with spaces between them), digits, marks on letters, indices.
_WORD = r"A-Za-z0-9\u00b2\u00b3\u00b9\u00c0-\u024f\u0300-\u036f\u0370-\u052f\u2070-\u209c"
_LETTER = re.compile(
    rf"(?<![{_WORD}])(?!e\.?\s?g\b|(?<=[Ii]\.)e\b|(?<=[Ii]\s)e\b|(?<=[Ii]\.\s)e\b|(?<=[Ee]\.)g\b|(?<=[Ee]\.\s)g\b)(?:[A-Ja-j]|[A-J]{{2,10}})(?![{_WORD}])"
)
# What joins the letters of one enumeration.
_COMMA = re.compile(rf"{CLOSE}\s*[,，][\"'”’]?\s*{OPEN}")
_AND = re.compile(
    rf"{CLOSE}\s*(?:[,，;]\s*)?[\"'”’]?\s*(?:(?:and/or|and|or|nor|as\s+well\s+as|(?:but\s+)?not|rather\s+than|instead\s+of)\b|[&/、和或与及])"
    rf"\s*(?:(?:both|also|either|even)\s+)?(?P<noun>(?:the\s+)?(?:options?|choices?|选项)\s*)?{OPEN}\s*",
    re.IGNORECASE,
)
_TO = re.compile(rf"{CLOSE}\s*(?:(?:to|through|thru|till?|until)\b|[-–—~～−至到])\s*{OPEN}\s*", re.IGNORECASE)
_ALL = re.compile(
    rf"\b(?:options|choices|alternatives|distractors|answers|vitamins|groups|types)\s*[:：]?\s*{OPEN}\s*\Z|选项\s*\Z",
    re.IGNORECASE,
)
_ARE = re.compile(rf"{CLOSE}\s*(?:(?:are|were|do|can|could|have)\b|[两三四]?项?[均都皆全])", re.IGNORECASE)
_CHINESE = re.compile(r"\s*[\u4e00-\u9fff]")
_CHOSEN = re.compile(r"(?:选项?|选择|答案(?:应?[是为])?[:：]?|排除)\s*\Z")


def move_letters(text: str, choices: Sequence[str], order: Sequence[int]) -> str | None:
    """A text about a question's options with the letters that they have after a permutation.

    Parameters
    ----------
    text : str
        An explanation or a context.
    choices : sequence of str
        The options in the order that the text speaks of.
    order : sequence of int
        For each new place the index of the option that comes there.

    Returns
    -------
    str or None
        The text with other letters where these name an option ("option B", "the answer is (b)", "A and C are wrong",
        "B. text of the option"), and unchanged where a letter is something else ("vitamin A", "Franklin D. Roosevelt", an
        article). None if it cannot be told what a letter is, if a letter stands before the text of another option, or if
        options are counted ("the first option").

    Examples
    --------
    >>> move_letters("The answer is B, since A is wrong.", ["two", "three"], [1, 0])
    'The answer is A, since B is wrong.'
    >>> move_letters("A lack of vitamin A.", ["two", "three"], [1, 0])
    'A lack of vitamin A.'
    >>> move_letters("Here B does it.", ["two", "three"], [1, 0]) is None
    True
    """
    plain = plain_text(text)
    if PLACED.search(plain.text):
        return None
    options = Options(tuple(_comparable(choice) for choice in choices))
    new = {option: LETTERS[place] for place, option in enumerate(order)}
    parts, done = [], 0
    for mention in _mentions(plain, options):
        if mention is None or options.bare:
            return None
        for start, end, instead in mention.edits(plain, text, new):
            parts += [text[done:start], instead]
            done = end
    return "".join([*parts, text[done:]])


@dataclass(frozen=True)
class _Letters:
    """Letters of one enumeration: where they stand in the plain text.

    Attributes
    ----------
    places : tuple of int
        Of each letter.
    ranges : frozenset of int
        Numbers of those that stand for all letters up to the next one ("A to C").
    word : bool
        Whether nothing stands between them ("ABC"), so that they are sorted.
    """

    places: tuple[int, ...]
    ranges: frozenset[int]
    word: bool

    def edits(self, plain: Plain, text: str, new: dict[int, str]) -> Iterator[tuple[int, int, str]]:
        """Spans of the text with markup, and what comes there."""
        if self.word:
            found = sorted(new[LETTERS.index(plain.text[place])] for place in self.places)
            for place, letter in zip((plain.places[place] for place in self.places), found, strict=True):
                yield place, place + 1, like(letter, text[place])
            return
        number = 0
        while number < len(self.places):
            first = plain.places[self.places[number]]
            option = LETTERS.index(plain.text[self.places[number]].upper())
            if number not in self.ranges:
                yield first, first + 1, like(new[option], text[first])
                number += 1
                continue
            last = plain.places[self.places[number + 1]]
            until = LETTERS.index(plain.text[self.places[number + 1]].upper())
            letters = sorted(new[between] for between in range(option, until + 1))
            if ord(letters[-1]) - ord(letters[0]) == until - option:
                yield first, first + 1, like(letters[0], text[first])
                yield last, last + 1, like(letters[-1], text[last])
            else:
                moved = [like(letter, text[first]) for letter in letters]
                comma, final = (
                    ("、", "和") if _CHINESE.match(plain.text, self.places[number + 1] + 1) else (", ", " and ")
                )
                yield first, last + 1, comma.join(moved[:-1]) + final + moved[-1]
            number += 2


def _comparable(choice: str) -> str:
    """An option's text without markup; empty where it has formulas, which are not compared."""
    plain = plain_text(choice).text.strip()
    return "" if FORMULA in plain else plain


def _mentions(plain: Plain, options: Options) -> Iterator[_Letters | None]:
    """The letters that name options, in their order; None for what cannot be told, or names no option of the question."""
    for chain in _chains(plain.text, options):
        kinds = [_kind(mention) for mention, _ in chain]
        # "A and option B are wrong": what the next one is, unless something else is known.
        for number in range(len(chain) - 2, -1, -1):
            if kinds[number] == "unclear" and kinds[number + 1] == "option" and not chain[number][0].told:
                kinds[number] = "option"
        for (mention, letters), kind in zip(chain, kinds, strict=True):
            if kind == "option":
                yield letters if mention.possible and _ascending(plain.text, letters) else None
            elif kind == "unclear":
                yield None


def _ascending(text: str, letters: _Letters) -> bool:
    """Whether ranges go from a letter to a later one, and from no end of another range."""
    return all(
        text[letters.places[number]].upper() < text[letters.places[number + 1]].upper()
        and number + 1 not in letters.ranges
        for number in letters.ranges
    )


def _kind(mention: Mention) -> str:
    if mention.several and re.fullmatch(r"[A-J]+", mention.text[mention.start : mention.end]):
        return _kind_of_word(mention)
    rule = rule_of(mention)
    return rule.kind if rule else "unclear"


def _kind_of_word(mention: Mention) -> str:
    """What several letters without anything between them are: options in "options BC" or "ABC错误", else a word as AC."""
    if not (mention.evidence or mention.preceded(_CHOSEN)):
        return "other"
    ordered = list(mention.letters) == sorted(set(mention.letters))
    many = mention.preceded(_ALL) or mention.preceded(_CHOSEN) or mention.follows(_ARE)
    chinese = mention.judged and mention.follows(_CHINESE)
    return "option" if ordered and (many or chinese) and not mention.told else "unclear"


def _chains(text: str, options: Options) -> Iterator[list[tuple[Mention, _Letters]]]:
    """Letters by themselves. Those of one enumeration are one mention; enumerations with "and option" between them, one list."""
    hidden = _quoted(text, options)
    found = [match for match in _LETTER.finditer(text) if not hidden[match.start()]]
    number = 0
    while number < len(found):
        chain, joined = [], True
        while joined and number < len(found):
            links: list[str] = []
            last = number
            joined = False
            while last + 1 < len(found) and _alike(found[last][0], found[last + 1][0]):
                link, noun = _link(text[found[last].end() : found[last + 1].start()][:_LONGEST_LINK])
                if not link or noun or names_species(text, found[last + 1].end()):
                    joined = noun
                    break
                links.append(link)
                last += 1
            members = found[number : last + 1]
            for part, between in _parts(text, members, links):
                chain.append(_mention(text, part, between, options))
            number = last + 1
        yield chain


_LONGEST_LINK = 40


def _alike(letter: str, other: str) -> bool:
    return len(letter) == len(other) == 1 and letter.islower() == other.islower()


def _link(between: str) -> tuple[str, bool]:
    """What joins two letters: "to", "and" or ","; and whether a word for an option stands there. Empty if nothing does."""
    if _TO.fullmatch(between):
        return "to", False
    if found := _AND.fullmatch(between):
        return "and", bool(found["noun"])
    return ("," if _COMMA.fullmatch(between) else ""), False


def _parts(text: str, members: list[re.Match[str]], links: list[str]) -> list[tuple[list[re.Match[str]], list[str]]]:
    """An enumeration whole, or its letters one by one where commas alone join them and nothing speaks of several."""
    start, end = members[0].start(), members[-1].end()
    if set(links) == {","} and not (_ALL.search(text[max(0, start - 40) : start]) or _ARE.match(text, end)):
        return [([member], []) for member in members]
    return [(members, links)]


def _mention(text: str, members: list[re.Match[str]], links: list[str], options: Options) -> tuple[Mention, _Letters]:
    letters = "".join(member[0] for member in members)
    places = tuple(place for member in members for place in range(*member.span()))
    ranges = frozenset(number for number, link in enumerate(links) if link == "to")
    listed = set(links) == {","}
    return Mention(text, members[0].start(), members[-1].end(), letters, options, listed), _Letters(
        places, ranges, len(places) > len(members)
    )


def _quoted(text: str, options: Options) -> bytearray:
    """For each sign whether it belongs to an option's text, letter for letter."""
    hidden = bytearray(len(text) + 1)
    for choice in options.choices:
        if len(choice) > 2 and _LETTER.search(choice):
            for match in re.finditer(rf"(?<!\w){re.escape(choice)}(?!\w)", text, re.IGNORECASE):
                hidden[match.start() : match.end()] = b"\x01" * (match.end() - match.start())
    return hidden
