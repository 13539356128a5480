"""Explanations as questions: a reader sees one of them with its question, and picks the option that it argues for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from consistency.tasks.prompts import ENGLISH
from consistency.tasks.questions import Question, rotate


def checks(number: int, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The documents that check one explanation: each rotation of the options.

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
        that is explained; `asked` and `option`, the question's own id and the option's index before the rotation; and the
        `explanation`.

    Examples
    --------
    >>> request = {"id": "q", "subject": "s", "question": "?", "choices": ["no", "yes"], "option": 1, "explanation": "It is yes."}
    >>> [(d["rotation"], d["answer"], d["asked"], d["option"], d["explanation"]) for d in checks(0, request)]
    [(0, 1, 'q', 1, 'It is yes.'), (1, 0, 'q', 1, 'It is yes.')]
    """
    choices, option = request["choices"], request["option"]
    language = request.get("prompt_language") or ENGLISH
    question = Question(number, request["subject"], request["question"], tuple(choices), option, language=language)
    for document in rotate(question):
        yield {**document, "asked": request["id"], "option": option, "explanation": request["explanation"]}
