"""Explanations as questions: a reader sees why, but neither the option's letter nor its text, and picks an option."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from consistency.tasks.prompts import ENGLISH, LETTERS
from consistency.tasks.questions import Question, rotate

MASK = "___"
_WORD = re.compile(r"\w+")
# What a word goes on with; Chinese is written without spaces.
_MORE = r"[^\W\u3400-\u9fff]"


def mask(explanation: str, choices: Sequence[str], options: Sequence[int]) -> str:
    """An explanation in which the letters and the texts of some options are blanks.

    Parameters
    ----------
    explanation : str
        The text.
    choices : sequence of str
        The options of its question.
    options : sequence of int
        Indices of those to hide.

    Returns
    -------
    str
        The text with a blank for each mention: the option's words in this order, in any case, whatever marks and spaces
        are between them, with a plural s or without; and its letter where it stands as one ("option B", "(b)", "B.").

    Examples
    --------
    >>> mask("Option B, since vitamin-C  is an acid. (B)", ["Iron", "Vitamin C"], [1])
    'Option ___, since ___  is an acid. (___)'
    >>> mask("故选B，因为流感由病毒引起。", ["细菌", "病毒"], [1])
    '故选___，因为流感由___引起。'
    """
    # The longest first: "vitamin B12" before "vitamin B".
    for option in sorted(options, key=lambda option: -len(choices[option])):
        explanation = _named(choices[option]).sub(MASK, explanation)
    letters = "".join(LETTERS[option] for option in options)
    return _lettered(letters + letters.lower()).sub(rf"\g<before>{MASK}", explanation) if letters else explanation


def checks(number: int, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The documents that check one explanation: each rotation of the options, with the explanation and without it.

    Parameters
    ----------
    number : int
        The explanation's number in its file.
    request : mapping
        A row of `consistency.tasks.requests.read_checks`.

    Yields
    ------
    dict
        The fields of `consistency.tasks.questions.rotate`, where `id` is the number and `answer` the place of the option
        that is explained; `asked` and `option`, the question's own id and the option's index before the rotation;
        `informed`, whether the explanation is shown; and `shown`, what stands there: the explanation with blanks for its
        option, or one blank.

    Examples
    --------
    >>> request = {"id": "q", "subject": "s", "question": "?", "choices": ["no", "yes"], "option": 1, "explanation": "It is yes."}
    >>> [(d["rotation"], d["informed"], d["answer"], d["shown"]) for d in checks(0, request)]
    [(0, True, 1, 'It is ___.'), (1, True, 0, 'It is ___.'), (0, False, 1, '___'), (1, False, 0, '___')]
    """
    choices, option = request["choices"], request["option"]
    shown = mask(request["explanation"], choices, [option])
    language = request.get("prompt_language") or ENGLISH
    question = Question(number, request["subject"], request["question"], tuple(choices), option, language=language)
    for informed in (True, False):
        for document in rotate(question):
            yield {
                **document,
                "asked": request["id"],
                "option": option,
                "informed": informed,
                "shown": shown if informed else MASK,
            }


def _named(text: str) -> re.Pattern[str]:
    """Mentions of an option's text."""
    words = _WORD.findall(text)
    if not words:
        return re.compile(re.escape(text.strip()))
    spaced = r"[\W_]+".join(map(re.escape, words))
    return re.compile(rf"(?<!{_MORE}){spaced}(?:e?s)?(?!{_MORE})", re.IGNORECASE)


def _lettered(letters: str) -> re.Pattern[str]:
    """Mentions of a letter as one: behind "option" or "answer", or in brackets."""
    named = r"(?i:\b(?:options?|choices?|answers?)(?:\s+is)?\s*:?\s*)[\"'(]?|\("
    named += r"|(?:选项?|答案)[是为]?\s*[:：]?\s*[“（]?|（"
    return re.compile(rf"(?P<before>{named})[{letters}](?!{_MORE})")
