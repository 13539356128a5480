"""The functions of these task files: generating the embedded world's questions, and prompts in its corpus's wording."""

from __future__ import annotations

import random
from typing import Any

from datasets import Dataset

from consistency.errors import InputError
from consistency.support.streams import report_uncaught
from consistency.tasks import prompts
from consistency.tasks.harness import context, instruction, letters, question, shot_answers
from consistency.tasks.requests import read_checks, read_requests
from consistency.tasks.simulation import checks as check_documents
from consistency.world.questions import questions

__all__ = [
    "context",
    "explain",
    "instruction",
    "letters",
    "load",
    "load_checks",
    "load_requests",
    "question",
    "shot_answers",
    "simulate",
]

report_uncaught()


def load(field: str, split: str = "test", question_seed: int = 0, **_: Any) -> dict[str, Dataset]:
    """The questions of one split of a field as "test", and its few-shot examples as "dev"."""
    try:
        seed = int(question_seed)
    except (TypeError, ValueError) as error:
        raise InputError(f"question_seed is {question_seed!r}", expected="a whole number") from error
    splits = {"test": questions(field, split, seed), "dev": questions(field, "dev")}
    return {name: Dataset.from_list([question.to_dict() for question in found]) for name, found in splits.items()}


def load_requests(requests: str = "", **_: Any) -> dict[str, Dataset]:
    """The answers to explain, as `consistency requests` wrote them."""
    return {"test": Dataset.from_list(read_requests(requests))}


def explain(document: dict[str, Any]) -> str:
    """A one-shot request to explain a given answer."""
    shot = random.Random(document["id"]).choice(questions(document["subject"], "dev"))
    return (
        f"{prompts.EXPLAIN_HEADER}"
        f"{prompts.explained(shot.question, shot.choices, shot.answer, shot.explanation)}\n\n"
        f"{prompts.explained(document['question'], document['choices'], document['option'])}"
    )


def load_checks(checks: str = "", **_: Any) -> dict[str, Dataset]:
    """The explanations to check."""
    rows = enumerate(read_checks(checks))
    return {"test": Dataset.from_list([document for number, row in rows for document in check_documents(number, row)])}


def simulate(document: dict[str, Any]) -> str:
    """A question with an explanation of one of its options, behind explained questions of the same field."""
    shots = (
        f"{prompts.simulated(shot.question, shot.choices, shot.explanation)} {prompts.LETTERS[shot.answer]}\n\n"
        for shot in questions(document["subject"], "dev")
    )
    return "".join(shots) + prompts.simulated(document["question"], document["choices"], document["explanation"])
