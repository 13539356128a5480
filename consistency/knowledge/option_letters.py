"""Letters in texts: which of them name options, and how they follow when the options are permuted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from consistency.tasks.prompts import LETTERS

_OPEN, _CLOSE = r"[\"'`‘“(\[*]*", r"[\"'`’”)\]*]*"
# A letter by itself; small ones only in brackets or quotes, before a bracket or a full stop, or behind a word for an option.
_ALONE = re.compile(
    r"(?<![A-Za-z0-9_])(?<![A-Za-z]['’.\-/])(?<!\d[./])([A-Ja-j])(?![A-Za-z0-9_+]|['’][^\W\d_]|[-/][A-Za-z0-9]|\.[A-Za-z](?![a-z])|\.\d)"
)
_ADVERB = r"(?:\s+(?:also|both|all|likely|indeed|therefore|thus|clearly|not|probably|most likely|then|definitely))*"
_OPTION_BEFORE = re.compile(
    rf"(?:\b(?:options?|choices?|alternatives?)(?:\s+(?:letters?|labell?ed))?|选项|[故应]选)\s*[:：]?\s*{_OPEN}\s*$",
    re.IGNORECASE,
)
_ANSWER_BEFORE = re.compile(
    r"(?:\b(?:answers?|ans|options?|choices?|response|statement)\b(?:\s+(?!is\b|are\b)[\w'’,\-]+){0,12}?"
    rf"(?:\s*(?:[:：=.\-–—]|\s(?:is|are|was|be|as)){_ADVERB}\s*[:：.]?)?|答案(?:是|为)?[:：]?)\s*{_OPEN}\s*$",
    re.IGNORECASE,
)
_ENDS = re.compile(
    rf"{_CLOSE}\s*(?:$|[.,:;!?)\]\n\"'’”]|[-–—]\s|\(|(?:because|since|as|for|due|which|and|or|that|in|i\.?\s?e)\b|[^\x00-\x7f])",
    re.IGNORECASE,
)
_JUDGED = re.compile(
    rf"{_CLOSE}\s*(?:(?:is|are|was|were){_ADVERB}\s+(?:the\s+|an?\s+)?(?:only\s+|most\s+|best\s+|more\s+)*"
    r"(?:in)?(?:correct|right(?!\s+(?!answers?|options?|choices?|because|since|as|here|and|one)[a-z])|wrong|true|false|accurate|"
    r"appropriate|suitable|answers?|options?|choices?|ruled out|eliminated|excluded)\b"
    r"|项|选项|(?:不)?正确|错误)",
    re.IGNORECASE,
)
_MARKS = re.compile(rf"{_CLOSE}\s*[.:,\-–—)]*\s*(?:i\s?\.?\s?e\b[.,:]*\s*)?{_OPEN}\s*", re.IGNORECASE)
_ARTICLE = re.compile(r"(?:the|an?)\s+", re.IGNORECASE)
_BETWEEN = re.compile(
    rf"{_CLOSE}\s*(?:[,、，/&]\s*(?:and\b|or\b|nor\b)?|(?:and/or|and|or|nor)\b|和|或|与)\s*(?:(?:option|choice)\s+)?{_OPEN}",
    re.IGNORECASE,
)
# Words before a letter, and behind one, with which it is a name of something else.
_NAMED_BEFORE = re.compile(
    r"(?:\b(?:vitamins?|vit|hepatitis|groups?|grades?|types?|class(?:es)?|stages?|phases?|categor(?:y|ies)|fig(?:ure)?s?|tables?|"
    r"sections?|schedules?|appendix|part|levels?|plan|points?|immunoglobulin|ig|influenza|factors?|proteins?|subunits?|"
    r"ha?emophilia|blood|series|zones?|regions?|league|apo|apolipoprotein|lipid|cyclosporin|amphotericin|penicillin|toxins?|"
    r"chains?|genes?|subtypes?|serotypes?|antigens?|strains?|company|country|nodes?|teams?|side|symbol|letter)\.?\s+"
    r"|°\s*|\d\s*|[=+*×^<>≤≥~±]\s*)$",
    re.IGNORECASE,
)
_NAMED_BEHIND = re.compile(
    r"\s*[=+*×^<>≤≥±]|[-\s](?:and [A-Z][- ])?(?:cells?|lymphocytes?|peptides?|fib(?:re|er)s?|waves?|proteins?|antigens?|"
    r"chains?|viruses|virus|"
    r"streptococc\w+|types?|subunits?|receptors?|deficiency|lines?)\b",
    re.IGNORECASE,
)
_INITIAL_BEFORE = re.compile(r"(?:\b[A-Z][a-z]+|\b[A-Z]\.)[ \t]?$")
_INITIAL_BEHIND = re.compile(r"\.\s?[A-Z]")
_GENUS_BEHIND = re.compile(r"\.\s[a-z]{3,}")
_ARTICLE_BEHIND = re.compile(r"\s+[\w\"'“‘(]")
_PRONOUN_BEHIND = re.compile(r"\s+(?:am|was|have|had|think|believe|will|would|do|did|can|could|chose|choose)\b|['’]")
_PLACED = re.compile(
    r"\b(?:first|second|third|fourth|fifth|sixth|last|final|penultimate|1st|2nd|3rd|4th|5th)\s+(?:and\s+\w+\s+|two\s+|three\s+)?"
    r"(?:options?|answers?|alternatives?|of\s+the\s+(?:options?|choices?|answers?))\b"
    r"|\b(?:options?|choices?)\s*(?:no\.?|number|#)?\s*[\"'(\[]*(?:\d|(?-i:I{2,3}|IV|V|[A-J]{2,})\b|(?:one|two|three|four)\b(?!\s+\w))"
    r"|第[一二三四五]个?(?:选项|项)|选项?\s*[A-J]{2,}|[故应]选\s*[A-J]{2,}",
    re.IGNORECASE,
)
# Options that say something of the places of others.
_ABOVE = re.compile(
    r"\b(?:of|the|all|none|any|both|neither|either|from)\s+(?:of\s+)?(?:the\s+)?(?:above|preceding|foregoing)\b"
    r"(?!\s+(?:(?:the|an?|sea|ground|average|normal)\b|\d))"
    r"|\b(?:above|preceding|previous)[\s-]*(?:mentioned\s+)?(?:options?|choices?|answers?|statements?|all|both|none)\b"
    r"|^\W*(?:above|below)\s+(?:all|both|none)\b"
    r"|^\W*(?:以上|上述)|(?:以上|上述)(?:都|均|皆|全|选项)",
    re.IGNORECASE,
)
_WORDS = r"both|either|neither|only|options?|choices?|answers?|statements?|all|none|of|not|but|are|is|correct|right|true|together"
_LETTERED = re.compile(
    rf"^\W*(?:(?:{_WORDS})\b\W*)*([A-J])\W*(?:(?:\W|\b(?:and|or|nor|{_WORDS})\b)*\b([A-J])\b\W*)*(?:(?:{_WORDS})\b\W*)*$",
    re.IGNORECASE,
)
_NUMBERED = re.compile(
    r"^\W*(?:both|only|neither|either|options?)\s+\(?\d\)?(?:\W|\b(?:and|or|nor)\b|\d)*(?:only)?\W*$", re.I
)
_ENOUGH, _SHORTEST = 0.6, 10

_Kind = Literal["option", "other", "unclear"]


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
    found = _mentions(text, choices)
    if found is None:
        return None
    signs = list(text)
    for place, option in found:
        letter = LETTERS[list(order).index(option)]
        signs[place] = letter if signs[place].isupper() else letter.lower()
    return "".join(signs)


def depends_on_places(question: str, choices: Sequence[str]) -> bool:
    """Whether a question would say something else if its options were permuted.

    Such are options that speak of others by their place or letter ("all of the above", "both A and B"), unless the letters
    are those of statements in the question; and questions that count their options. "All of these" and "none of the
    options" hold in any order.

    Examples
    --------
    >>> depends_on_places("Which is even?", ["2", "4", "both A and B"]), depends_on_places("Which?", ["2", "all of these"])
    (True, False)
    >>> depends_on_places("A. It is. B. It was. What holds?", ["A and B", "neither"])
    False
    """
    if _PLACED.search(question) or re.search(r"\b(?:options?|choices?)\s+\(?[A-J]\b", question):
        return True
    return any(_of_others(choice, question, len(choices)) for choice in choices)


def _of_others(choice: str, question: str, count: int) -> bool:
    """Whether an option speaks of others by their place."""
    if _ABOVE.search(choice) or (_PLACED.search(choice) and len(choice) < 60):
        return True
    if _NUMBERED.match(choice):
        return not all(re.search(rf"(?<!\d){digit}[.):]", question) for digit in re.findall(r"\d", choice))
    if not _LETTERED.match(choice):
        return False
    words = re.findall(r"[A-Za-z]+", choice)
    letters = [word.upper() for word in words if len(word) == 1]
    # A letter alone is an answer, such as a blood group.
    if len(words) == 1 or any(LETTERS.index(letter) >= count for letter in letters):
        return False
    return not all(re.search(rf"(?<![A-Za-z]){letter}[.):]", question, re.IGNORECASE) for letter in letters)


def _mentions(text: str, choices: Sequence[str]) -> list[tuple[int, int]] | None:
    """The places of the letters that name an option, with it; None where one cannot be told, or names another's text."""
    if _PLACED.search(text):
        return None
    options: list[tuple[int, int]] = []
    bare = any(choice.strip().upper() in set(LETTERS[: len(choices)]) for choice in choices)
    for chain in _chains(text):
        kinds = [_kind(text, match, choices) for match in chain]
        if "option" in kinds and len(chain) > 1:
            # A name among them, or a small "a", which may be an article, makes all of them unclear.
            named_too = any(kind == "other" and match[1] != "A" for kind, match in zip(kinds, chain, strict=True))
            kinds = ["unclear" if named_too else "option"] * len(kinds)
        elif len(chain) > 1 and _is_name(text, chain[0]):
            kinds = ["other"] * len(kinds)
        named = [match for match, kind in zip(chain, kinds, strict=True) if kind == "option"]
        if "unclear" in kinds or (named and bare):
            return None
        for match in named:
            option = LETTERS.index(match[1].upper())
            if option >= len(choices) or _other_text(text, match, choices, option):
                return None
            options.append((match.start(1), option))
    return options


def _chains(text: str) -> list[list[re.Match[str]]]:
    """Letters by themselves, those of one enumeration ("A, B and C") together."""
    found: list[list[re.Match[str]]] = []
    for match in _ALONE.finditer(text):
        last = found[-1][-1] if found else None
        between = text[last.end() : match.start()] if last else ""
        if last and last[1].islower() == match[1].islower() and _BETWEEN.fullmatch(between):
            found[-1].append(match)
        else:
            found.append([match])
    return found


def _kind(text: str, match: re.Match[str], choices: Sequence[str]) -> _Kind:
    letter, before, behind = match[1], text[max(0, match.start() - 160) : match.start()], text[match.end() :]
    small = letter.islower()
    marked = bool(re.match(r"[)\]\"'’”]", behind))
    named = bool(_OPTION_BEFORE.search(before))
    if small and not (marked or named or (behind.startswith(".") and letter != "a")):
        # An article, or a unit; behind a word for the answer it may be a letter.
        closes = _ENDS.match(behind) and not re.match(r"\s*[A-Za-z(]", behind)
        return "unclear" if closes and _ANSWER_BEFORE.search(before) and len(before) < 40 else "other"
    if letter == "I" and not named and _PRONOUN_BEHIND.match(behind):
        return "other"
    if any(len(choice.strip()) > 1 and _begins(text[match.start() :], choice.strip()) for choice in choices):
        return "other"
    if named or (_JUDGED.match(behind) and not _NAMED_BEFORE.search(before)):
        return "option"
    option = LETTERS.index(letter.upper())
    if option < len(choices):
        if _says(text, match, choices[option]):
            return "option"
        if any(_says(text, match, choice) for choice in choices if len(choice.strip()) > 2):
            return "unclear"
    if _ANSWER_BEFORE.search(before) and _ENDS.match(behind) and not _NAMED_BEFORE.search(before):
        return "option"
    if option >= len(choices) or _is_name(text, match):
        return "other"
    if (
        letter == "A"
        and _ARTICLE_BEHIND.match(behind)
        and not re.match(r"\s+(?:is|are|was|were|and|or|does|has|says|states|means|refers|claims)\b", behind)
    ):
        return "other"
    return "unclear"


def _is_name(text: str, match: re.Match[str]) -> bool:
    """Whether a letter is part of a name: vitamin A, B cells, Franklin D. Roosevelt, C. difficile, x = A."""
    before, behind = text[max(0, match.start() - 40) : match.start()], text[match.end() :]
    if _NAMED_BEFORE.search(before) or _NAMED_BEHIND.match(behind):
        return True
    if _INITIAL_BEHIND.match(behind) and _INITIAL_BEFORE.search(before):
        return True
    return bool(_GENUS_BEHIND.match(behind) and re.search(r"[a-z,] $", before))


def _says(text: str, match: re.Match[str], choice: str) -> bool:
    """Whether an option's text stands behind a letter, or before it where the letter is in brackets."""
    marks = _MARKS.match(text, match.end())
    if marks and marks[0].strip():
        following = text[marks.end() : marks.end() + 3 * len(choice) + 20]
        article = _ARTICLE.match(following)
        if _alike(following, choice) or (article and _alike(following[article.end() :], choice)):
            return True
    bracketed = re.search(r"\s*[\"'”’]?\s*[(\[]$", text[: match.start()])
    if bracketed is None or not re.match(r"\s*[)\]]", text[match.end() :]):
        return False
    return _signs(text[: bracketed.start()][-3 * len(choice) - 20 :]).endswith(_signs(choice)) and bool(_signs(choice))


def _other_text(text: str, match: re.Match[str], choices: Sequence[str], option: int) -> bool:
    """Whether the text of another option stands behind a letter, and not its own."""
    texts = [choice for place, choice in enumerate(choices) if place != option and len(_signs(choice)) > 2]
    return not _says(text, match, choices[option]) and any(_says(text, match, choice) for choice in texts)


def _alike(text: str, choice: str) -> bool:
    """Whether a text begins with an option, or with the greater part of a long one."""
    if _begins(text, choice.strip()):
        return True
    found, wanted = _signs(text), _signs(choice)
    enough = max(_SHORTEST, int(_ENOUGH * len(wanted)))
    return len(wanted) >= enough and found.startswith(wanted[:enough])


def _begins(text: str, choice: str) -> bool:
    return bool(choice) and text.casefold().startswith(choice.casefold()) and not text[len(choice) :][:1].isalnum()


def _signs(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
