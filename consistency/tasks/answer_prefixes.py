"""The answer that an explanation may begin with ("Ans. B. <option>"): it says which option is right, and not why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from consistency.tasks.prompts import LETTERS

_HEAD = re.compile(
    r"\W*(?:correct\s*!\s*)?(?:this\s+(?:question\s+)?is\s+a\s+multiple[- ]choice\s+question,?\s*(?:and\s+)?)?"
    r"(?:the\s+)?(?:(?:correct|right|best)\s+)?(?P<word>ans|answer|option|choice)(?![A-Za-z])"
    r"(?:\s+(?:to|for)\s+(?:the|this)\s+(?:multiple[- ]choice\s+)?question)?"
    r"\s*[.,:;=\-–—)]*\s*(?P<verb>is\b\.?)?\s*[:,\-–—]*\s*(?:(?:option|choice)\s+)?",
    re.IGNORECASE,
)
# A letter, perhaps in quotes or brackets: 'a', `B', (c), D. Some scans spell the closing quote as 1.
_QUOTES = "\"'`’”)\\]"
_LETTER = re.compile(
    rf"(?P<open>[\"'`‘“(\[]*)\s*(?P<letter>[A-Ja-j])(?:(?P<close>\s*[{_QUOTES}]+|1(?=\s))|(?![A-Za-z0-9])|(?P<glued>(?=[A-Z][a-z])))"
    rf"(?P<mark>\s*[.,:;\-–—]+[{_QUOTES}]*)?"
)
_THAT_IS = re.compile(r"\s*i\s*\.?\s*e(?![A-Za-z])\s*\.?[.,:;]*", re.IGNORECASE)
_IS_RIGHT = re.compile(
    r"\s+is\s+(?:the\s+)?(?:correct|right)(?:\s+(?:answer|option|choice))?\s*(?:[.:!]\s*|$)", re.IGNORECASE
)
_MARKS = re.compile(r"[\s.,:;\-–—]*")
_OPENING = re.compile(r"[\s\"'`‘“(\[]*")
_CLOSING = re.compile(rf"(?P<marks>[{_QUOTES}]*(?:\s*[.:;]+[{_QUOTES}]*)?)\s*(?:[\-–—]+\s+)?")
# Behind an option's text these go on with a sentence that the answer is a part of.
_GOES_ON = re.compile(rf"\s*[{_QUOTES},]*\s*(?:because|since|as|due|for|based|which|who|and|or|in)\b")
# What begins an item of a list, also where a space is missing before it.
_BULLET = re.compile(r"o (?=[A-Z])|[a-e]\. ?[A-Z]")
# A misspelt option counts as the option if it is that much alike, and not too short to tell.
_ALIKE, _SHORTEST = 0.85, 4
_NOT = re.compile(r"\b(?:not?|non|never|un|except)\b|n't", re.IGNORECASE)


def strip_answer(text: str, choices: Sequence[str], option: int) -> str:
    """An explanation without the answer that it begins with; what follows stays as it is.

    Parameters
    ----------
    text : str
        The explanation.
    choices : sequence of str
        The options of its question.
    option : int
        Index of the option that it explains. An answer that names another letter stays: it is what the text argues for.

    Returns
    -------
    str
        The text from where the answer ends: the option's letter, its text, or both, behind words such as "Ans." or "The
        correct answer is". Empty where nothing follows. A sentence that goes on ("The answer is X because …") stays whole.

    Examples
    --------
    >>> strip_answer("Ans. B. VincristineIt binds tubulin.", ["Cisplatin", "Vincristine"], 1)
    'It binds tubulin.'
    >>> strip_answer("Ans. is 'a' i.e., Cisplatin", ["Cisplatin", "Vincristine"], 0)
    ''
    >>> strip_answer("The answer is A. Cisplatin since it is old.", ["Cisplatin", "Vincristine"], 0)
    'The answer is A. Cisplatin since it is old.'
    """
    rest = text
    while (end := _answer_end(rest, choices[option], option)) > 0:
        rest = rest[end:]
    return rest


def _answer_end(text: str, answer: str, option: int) -> int:
    """Where the answer at the beginning of a text ends; 0 where there is none."""
    head = _HEAD.match(text)
    start = head.end() if head else len(text) - len(text.lstrip())
    letter = _LETTER.match(text, start)
    if letter is None or (letter["glued"] is not None and head is None):
        return _without_letter(text, answer, head, start)
    if LETTERS.index(letter["letter"].upper()) != option:
        return 0
    if right := _IS_RIGHT.match(text, letter.end()):
        return right.end()
    that_is = _THAT_IS.match(text, letter.end())
    sentence = head is not None and head["verb"] is not None and head["word"].lower() != "ans" and not that_is
    named = (that_is or letter).end()
    rest = text[named:].strip()
    if end := _option_end(text, named, answer, strict=sentence, misspelt=bool(head or that_is)):
        return end
    if not that_is and (head is None or (head["word"].lower() in ("option", "choice") and not head["verb"])):
        # "C: The pleura …" may be the first of several options that are explained, and "A scan …" no letter.
        return 0 if rest else len(text)
    if sentence:
        named_first = _same_until(text, _OPENING.match(text, named).end(), answer)  # type: ignore[union-attr]
        if _GOES_ON.match(text, named_first or named) and not (named_first == 0 and text[named : named + 1] == "\n"):
            return 0
        if rest and not (letter["mark"] or letter["close"] or rest.startswith("(") or "\n" in text[named : named + 2]):
            # "The answer is a drug": an article, unless the sentence ends.
            return 0
    marks = _MARKS.match(text, named)
    return marks.end() if marks else named


def _without_letter(text: str, answer: str, head: re.Match[str] | None, start: int) -> int:
    end = _option_end(text, start, answer, strict=True, misspelt=False)
    if head is None:
        return end if end == len(text) else 0
    # "Ans. Most commonly …": only the abbreviation is no content.
    return end or (start if head["word"].lower() == "ans" else 0)


def _option_end(text: str, start: int, answer: str, strict: bool, misspelt: bool) -> int:
    """Where the text of an option and the marks behind it end; 0 where something else stands there, or more of a sentence.

    `strict`: a space and a capital do not end it.
    """
    opening = _OPENING.match(text, start)
    begin = opening.end() if opening else start
    if end := _same_until(text, begin, answer):
        return _end_behind(text, end, strict)
    if not misspelt or len(answer) < _SHORTEST:
        return 0
    best, found = _ALIKE, 0
    bare, negated = _bare(answer), len(_NOT.findall(answer))
    last = min(begin + int(len(answer) * 1.3) + 2, len(text))
    for end in range(begin + int(len(answer) * 0.7), last + 1):
        if text[end - 1].isspace() or not (after := _end_behind(text, end, strict)):
            continue
        candidate = text[begin:end]
        alike = SequenceMatcher(None, _bare(candidate), bare, autojunk=False).ratio()
        if alike > best and len(_NOT.findall(candidate)) == negated:
            best, found = alike, after
    return found


def _end_behind(text: str, end: int, strict: bool) -> int:
    """Where the marks behind an option end if the option ends there; else 0."""
    closing = _CLOSING.match(text, end)
    if closing is None or closing.end() == len(text):
        return len(text)
    after, marks = closing.end(), closing["marks"]
    following = text[after]
    if "\n" in text[end:after] or _BULLET.match(text, after) or ")" in marks:
        return after
    if re.search("[.:;]", marks):
        return 0 if following.islower() else after
    if after == end:
        # Glued to the next sentence, or to what stands in brackets.
        glued = (following.isupper() and text[end - 1].islower()) or re.match(r"[A-Z][a-z]|[(\[*#>•]", text[after:])
        return after if glued else 0
    return 0 if strict or following.islower() or following == "," else after


def _same_until(text: str, start: int, answer: str) -> int:
    """Where the option's letters and digits end in the text, whatever marks and spaces are between them; 0 if they differ."""
    place = start
    for sign in filter(str.isalnum, answer):
        while place < len(text) and not text[place].isalnum():
            place += 1
        if place == len(text) or text[place].casefold() != sign.casefold():
            return 0
        place += 1
    marks = answer[len(answer.rstrip("".join(sign for sign in set(answer) if not sign.isalnum()))) :]
    if place == start:
        return 0
    return place + len(marks) if text.startswith(marks, place) else place


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
