"""The functions that the task files call: questions as lm_eval's documents, and their prompts and options."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from consistency.errors import InputError
from consistency.support.json_files import read_jsonl
from consistency.tasks import prompts, simulation
from consistency.tasks.answer_prefixes import strip_answer
from consistency.tasks.benchmarks import find_benchmark
from consistency.tasks.questions import Question, read_questions, rotate
from consistency.tasks.requests import read_checks, read_requests
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
    example = shots[shot] if shot < len(shots) else None
    # Models imitate what the shot begins with: an answer there becomes the beginning of every explanation.
    why = "" if example is None else strip_answer(example.explanation, example.choices, example.answer)
    if example is None or not why:
        raise InputError(
            f"the dev set of {domain} has no explained question here",
            expected="the one that the prompt shows",
            path=place(domain_file(domain, "dev"), data_dir),
            line=shot + 1,
        )
    return {
        "test": Dataset.from_list([{**request, "explanation": ""} for request in asked]),
        "dev": Dataset.from_list([{**example.to_dict(), "explanation": why, "option": example.answer}]),
    }


def load_simulate(domain: str, checks: str = "", data_dir: str = "", **_: Any) -> Any:
    """The explanations of a domain that are to be checked, and explained development questions as shots."""
    return _simulated(read_checks(checks, domain), domain_questions(domain, "dev", data_dir))


def _simulated(asked: Sequence[Mapping[str, Any]], dev: Sequence[Question]) -> Any:
    from datasets import Dataset

    documents = [document for number, row in enumerate(asked) for document in simulation.checks(number, row)]
    # Of long explanations the beginning, so that a short context holds five.
    shots = [
        {**shot.to_dict(), "explanation": shorten(strip_answer(shot.explanation, shot.choices, shot.answer))}
        for shot in shuffled(dev)
    ]
    return {
        "test": Dataset.from_list(documents),
        "dev": Dataset.from_list([shot for shot in shots if shot["explanation"]][:SHOTS]),
    }


def load_context(domain: str, requests: str = "", **_: Any) -> Any:
    """The questions of a domain whose necessary knowledge is to be written down."""
    from datasets import Dataset

    return {"test": Dataset.from_list(read_requests(requests, domain))}


def load_own_domain(
    folder: Path,
    header: str,
    language: str = prompts.ENGLISH,
    split: str = "test",
    shots: bool = True,
    rotated: bool = False,
    **_: Any,
) -> Any:
    """A user's own domain, from the folder of its kept questions: see `load_domain`."""
    dev = folder / "dev.jsonl"
    return _splits(lambda name: read_questions(folder / f"{name}.jsonl", header, language), dev, split, shots, rotated)


def load_own_explain(folder: Path, header: str, requests: str = "", **_: Any) -> Any:
    """The answers of a user's own domain that are to be explained, and the explained example that is kept for it."""
    return _with_shot(read_requests(requests, header), folder / "explain_shot.jsonl")


def load_own_simulate(folder: Path, header: str, language: str = prompts.ENGLISH, checks: str = "", **_: Any) -> Any:
    """The explanations of a user's own domain that are to be checked, and explained development questions as shots."""
    return _simulated(read_checks(checks, header), explained_shots(folder, header, language))


def explained_shots(folder: Path, header: str, language: str = prompts.ENGLISH) -> list[Question]:
    """The questions of a user's own domain that have an explanation, of those that prompts may show."""
    shot = folder / "explain_shot.jsonl"
    shown = []
    if shot.exists():
        (example,) = (row for _, row in read_jsonl(shot, dict[str, Any], "a worked example"))
        shown = [
            Question(
                "shot",
                header,
                example["question"],
                tuple(example["choices"]),
                example["option"],
                example["explanation"],
                language=language,
            )
        ]
    dev = read_questions(folder / "dev.jsonl", header, language)
    asked = {question.question for question in shown}
    return [*shown, *(question for question in dev if question.explanation.strip() and question.question not in asked)]


def load_own_context(folder: Path, header: str, requests: str = "", **_: Any) -> Any:
    """The questions of a user's own domain whose necessary knowledge is to be written down, and the example if it has one."""
    return _with_shot(read_requests(requests, header), folder / "context_shot.jsonl")


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


def simulate(document: Document) -> str:
    """A question with an explanation of one of its options."""
    return prompts.simulated(document["question"], document["choices"], document["explanation"], _language(document))


def context(document: Document) -> str:
    """A request for the knowledge that a question needs."""
    asked = document["question"], document["choices"], document["option"]
    return prompts.needed_knowledge(*asked, _language(document))


def _language(document: Document) -> str:
    # Null where other rows of the same data set name a language.
    return document.get("prompt_language") or prompts.ENGLISH


def shorten(text: str, most: int = 600) -> str:
    """The first whole sentences of a text, as far as they have so many characters in all.

    Examples
    --------
    >>> shorten("It is so. And so on, and so on.", 20), shorten("It is so.")
    ('It is so.', 'It is so.')
    """
    return text if len(text) <= most else text[:most].rpartition(". ")[0] + "."


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


def _with_shot(asked: list[dict[str, Any]], kept: Path) -> Any:
    from datasets import Dataset

    splits = {"test": Dataset.from_list([{**request, "explanation": ""} for request in asked])}
    if kept.exists():
        splits["dev"] = Dataset.from_list([row for _, row in read_jsonl(kept, dict[str, Any], "an explained question")])
    return splits


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
