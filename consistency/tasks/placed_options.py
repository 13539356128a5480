"""Options that say something of others by their place or letter, and would say something else elsewhere."""

from __future__ import annotations

import re
from collections.abc import Sequence

from consistency.tasks.prompts import LETTERS

# The place of an option.
PLACED = re.compile(
    r"\b(?!final\s+answer)(?:first|second|third|fourth|fifth|sixth|last|final|penultimate|1st|2nd|3rd|4th|5th)\s+(?:and\s+\w+\s+|two\s+|three\s+)?"
    r"(?:options?|answers?|alternatives?|of\s+the\s+(?:options?|choices?|answers?))\b"
    r"|\b(?:options?|choices?)\s*(?:no\.?|number|#)?\s*[\"'(\[]*(?:\d|(?-i:I{2,3}|IV|V)\b|(?:one|two|three|four)\b(?!\s+\w))"
    r"|第[一二三四五]个?(?:选项|项)",
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
_NAMES_OPTIONS = re.compile(
    r"\b(?:options?|choices?)\s+\(?(?-i:[A-J]{1,10})\b|选项?\s*[A-J]{1,10}(?![A-Za-z])", re.IGNORECASE
)


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
    if PLACED.search(question) or _NAMES_OPTIONS.search(question):
        return True
    return any(speaks_of_others(choice, question, len(choices)) for choice in choices)


def speaks_of_others(choice: str, question: str, count: int) -> bool:
    """Whether an option speaks of others by their place."""
    if _ABOVE.search(choice) or (PLACED.search(choice) and len(choice) < 60):
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
