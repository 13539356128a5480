"""The functions that the task files call: questions as lm_eval's documents, and their prompts and options."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from consistency.errors import InputError
from consistency.tasks import prompts
from consistency.tasks.benchmarks import find_benchmark
from consistency.tasks.questions import Question, rotate
from consistency.tasks.requests import read_requests
from consistency.tasks.sources import benchmark_file, benchmark_questions, domain_file, domain_questions, place

Document = Mapping[str, Any]
SHOTS = 5
SHOT_SEED = 42
_T = TypeVar("_T")


def load_subject(
    subject: str,
    benchmark: str = "mmlu",
    shots: bool = True,
    rotated: bool = False,
    data_dir: str = "",
    **_: Any,
) -> Any:
    """A benchmark's subject: the evaluated questions, and its few-shot examples unless `shots` is false."""
    dev = place(benchmark_file(benchmark, subject, "dev"), data_dir)
    split = find_benchmark(benchmark).splits[0]
    return _splits(lambda name: benchmark_questions(benchmark, subject, name, data_dir), dev, split, shots, rotated)


def load_domain(
    domain: str, split: str = "test", shots: bool = True, rotated: bool = False, data_dir: str = "", **_: Any
) -> Any:
    """A domain: the questions of its test set or pool, and its few-shot examples unless `shots` is false."""
    dev = place(domain_file(domain, "dev"), data_dir)
    return _splits(lambda name: domain_questions(domain, name, data_dir), dev, split, shots, rotated)


def load_explain(domain: str, shot: int, requests: str = "", data_dir: str = "", **_: Any) -> Any:
    """The answers of a domain that are to be explained, and the explained development question number `shot`."""
    from datasets import Dataset

    asked = read_requests(requests, domain)
    shots = domain_questions(domain, "dev", data_dir)
    if shot >= len(shots) or not shots[shot].explanation:
        raise InputError(
            f"the dev set of {domain} has no explained question here",
            expected="the one that the prompt shows",
            path=place(domain_file(domain, "dev"), data_dir),
            line=shot + 1,
        )
    example = {**shots[shot].to_dict(), "option": shots[shot].answer}
    return {
        "test": Dataset.from_list([{**request, "explanation": ""} for request in asked]),
        "dev": Dataset.from_list([example]),
    }


def load_context(domain: str, requests: str = "", **_: Any) -> Any:
    """The questions of a domain whose necessary knowledge is to be written down."""
    from datasets import Dataset

    return {"test": Dataset.from_list(read_requests(requests, domain))}


def question(document: Document) -> str:
    """A question with its options, as a completion prompt asks it."""
    return prompts.ask_for_letter(document["question"], document["choices"], _language(document))


def instruction(document: Document) -> str:
    """The same question as a user asks it: the header is part of the user's turn."""
    asked = document["subject"], document["question"], document["choices"]
    return prompts.instruction(*asked, _language(document))


def letters(document: Document) -> list[str]:
    """The continuations that are scored: a letter for each option."""
    return list(prompts.LETTERS[: len(document["choices"])])


def shot_answers(document: Document) -> list[str]:
    """The options as the few-shot examples answer: letter and text."""
    return [prompts.answer(document["choices"], index) for index in range(len(document["choices"]))]


def explain(document: Document) -> str:
    """A question with an answer, up to the backticks that open the explanation."""
    language = _language(document)
    asked = document["question"], document["choices"], document["option"]
    return f"{prompts.explained(*asked, language=language)}{prompts.wording(language).space}{prompts.FENCE}"


def fenced(document: Document) -> str:
    """The explanation of a few-shot example and its closing backticks; empty for a question that has none yet."""
    return f"{document['explanation']}{prompts.FENCE}" if document["explanation"] else ""


def context(document: Document) -> str:
    """A request for the knowledge that a question needs."""
    asked = document["question"], document["choices"], document["option"]
    return prompts.needed_knowledge(*asked, _language(document))


def _language(document: Document) -> str:
    # Null where other rows of the same data set name a language.
    return document.get("prompt_language") or prompts.ENGLISH


def shuffled(shots: Sequence[_T]) -> list[_T]:
    """The few-shot examples in the released code's order: shuffled with seed 42.

    Examples
    --------
    >>> shuffled("abcde")
    ['d', 'b', 'c', 'e', 'a']
    """
    order = list(range(len(shots)))
    random.Random(SHOT_SEED).shuffle(order)
    return [shots[index] for index in order]


def _splits(find: Callable[[str], list[Question]], dev_path: Path, split: str, shots: bool, rotated: bool) -> Any:
    from datasets import Dataset

    asked = find(split)
    documents = [d for q in asked for d in rotate(q)] if rotated else [q.to_dict() for q in asked]
    splits = {"test": Dataset.from_list(documents)}
    if shots:
        dev = find("dev")
        if len(dev) < SHOTS:
            raise InputError(
                f"the dev set of {dev[0].subject} has {len(dev)} questions", expected=f"at least {SHOTS}", path=dev_path
            )
        splits["dev"] = Dataset.from_list([q.to_dict() for q in shuffled(dev)])
    return splits
