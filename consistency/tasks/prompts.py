"""The wording of questions, shared by the lm_eval tasks, the training rows and the embedded world's corpus."""

from __future__ import annotations

from collections.abc import Sequence

LETTERS = "ABCDEFGHIJ"
FENCE = "```"
EXPLAIN_HEADER = "Explain each answer between triple backticks.\n\n"
SIMULATE_HEADER = (
    "Each explanation below was written for one of the options, which is blanked out as ___. Find the option that the "
    "explanation argues for, whether it is true or not.\n\n"
)
VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)


def header(subject: str) -> str:
    """The line before the questions, as the released code words it."""
    return f"The following are multiple choice questions about {subject}. Please choose the correct answer. \n\n"


def instruction(subject: str, question: str, choices: Sequence[str]) -> str:
    """A question as a user asks it in a chat: the header is part of the user's turn.

    This is the prompt of the ``ift`` tasks and the human turn of every training row.
    """
    return header(subject) + ask_for_letter(question, choices)


def ask_for_letter(question: str, choices: Sequence[str]) -> str:
    r"""A question with its options, up to and including ``Answer:``.

    Examples
    --------
    >>> ask_for_letter("One and one is", ["two", "three"])
    'One and one is\nA. two\nB. three\nAnswer:'
    """
    options = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, choices, strict=False))
    return f"{question}\n{options}Answer:"


def answer(choices: Sequence[str], index: int) -> str:
    """The answer that follows ``Answer:`` and a space: letter and option text."""
    return f"{LETTERS[index]}. {choices[index]}"


def explained(question: str, choices: Sequence[str], index: int, explanation: str | None = None) -> str:
    """A question, its answer and the explanation between triple backticks, or up to where it would begin."""
    ending = "" if explanation is None else f" ```{explanation}```"
    return f"{ask_for_letter(question, choices)} {answer(choices, index)}\nExplanation:{ending}"


def simulated(question: str, choices: Sequence[str], shown: str) -> str:
    r"""A question with an explanation of one of its options, up to and including ``Answer:``.

    Examples
    --------
    >>> simulated("One and one is", ["two", "three"], "It is ___, as a pair.")
    'One and one is\nA. two\nB. three\nExplanation: It is ___, as a pair.\nAnswer:'
    """
    asked = ask_for_letter(question, choices).removesuffix("Answer:")
    return f"{asked}Explanation: {' '.join(shown.split())}\nAnswer:"


def needed_knowledge(question: str, choices: Sequence[str], index: int) -> str:
    """A request for the world knowledge that a question needs, to a model that is given the answer."""
    return (
        "Below are a multiple-choice question and its right answer. Write down the facts about the world that somebody "
        "has to know to find this answer, in at most five sentences. Mention neither the options nor their letters.\n\n"
        f"{ask_for_letter(question, choices)} {answer(choices, index)}\n\nFacts:"
    )
