"""Write what a model is to write about: the questions that it gets confidently wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from consistency.errors import not_one_of
from consistency.knowledge.beliefs import Belief
from consistency.support.files import write_lines
from consistency.support.json_files import json_lines
from consistency.tasks.prompts import language_field
from consistency.training_data.groups import random_option

PURPOSES = ("explain", "context", "random_wrong")


def write_requests(beliefs: Iterable[Belief], path: str | Path, purpose: str = "explain", seed: int = 0) -> int:
    """Write what a model is to write about: the questions that are answered confidently wrong.

    Parameters
    ----------
    beliefs : iterable of Belief
        Labelled questions.
    path : path-like
        The JSONL file that the explain and context tasks read.
    purpose : {"explain", "context", "random_wrong"}
        "explain" asks the base model to explain its own answer, "random_wrong" to explain the option that RANDOM-WRONG
        teaches instead; "context" asks any model for the knowledge that the gold answer needs.
    seed : int
        Seed of the RANDOM-WRONG options.

    Returns
    -------
    int
        How many questions it holds.

    Raises
    ------
    InputError
        If there is no such purpose or the file cannot be written.
    """
    if purpose not in PURPOSES:
        raise not_one_of("purpose", purpose, PURPOSES)
    option_of: dict[str, Callable[[Belief], int | None]] = {
        "explain": lambda belief: belief.answer,
        "context": lambda belief: belief.gold,
        "random_wrong": lambda belief: random_option(belief, seed),
    }
    # Two tasks may have asked the same question, and got the same answer.
    requests = {
        (belief.id, belief.question, option): {
            "id": belief.id,
            "subject": belief.subject,
            "question": belief.question,
            "choices": belief.choices,
            "option": option,
            **language_field(belief.language),
        }
        for belief in beliefs
        if belief.label == "misbelieved" and (option := option_of[purpose](belief)) is not None
    }
    write_lines(path, json_lines(requests.values()))
    return len(requests)
