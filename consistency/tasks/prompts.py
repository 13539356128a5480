"""The wording of questions, shared by the lm_eval tasks, the training rows and the embedded world's corpus."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from consistency.errors import not_one_of

LETTERS = "ABCDEFGHIJ"
FENCE = "```"
EXPLAIN_HEADER = "Explain each answer between triple backticks.\n\n"
VICUNA_SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
ENGLISH = "en"


class Wording(NamedTuple):
    """What a language says around a question.

    Attributes
    ----------
    header : str
        The line before the questions, with ``{}`` for the subject.
    answer : str
        What asks for the letter, behind the options.
    space : str
        What stands between that and the answer.
    explain_header : str
        The line before explained questions.
    explanation : str
        What an explanation follows.
    needed : str
        The request for the knowledge that a question needs.
    facts : str
        What that knowledge follows.
    simulate_header : str
        The line before explanations that are checked.
    """

    header: str
    answer: str
    space: str
    explain_header: str
    explanation: str
    needed: str
    facts: str
    simulate_header: str


WORDINGS = {
    ENGLISH: Wording(
        header="The following are multiple choice questions about {}. Please choose the correct answer. \n\n",
        answer="Answer:",
        space=" ",
        explain_header=EXPLAIN_HEADER,
        explanation="Explanation:",
        needed="Below are a multiple-choice question and its right answer. Write down the facts about the world that "
        "somebody has to know to find this answer, in at most five sentences. Mention neither the options nor their "
        "letters.\n\n",
        facts="Facts:",
        simulate_header="Each explanation below was written for one of the options. Find the option that the explanation argues "
        "for, whether it is true or not.\n\n",
    ),
    # Header and answer are the released code's; Chinese puts no space behind a full-width colon.
    "zh": Wording(
        header="以下是中国关于{}的单项选择题，请选出其中的正确答案。\n\n",
        answer="答案：",
        space="",
        explain_header="请在三个反引号之间解释每道题的答案。\n\n",
        explanation="解释：",
        needed="下面是一道单项选择题及其正确答案。请写出要得出这个答案必须了解的事实，最多五句话，不要提到选项及其字母。\n\n",
        facts="事实：",
        simulate_header="下面每段解释都是为其中一个选项写的。请找出这段解释所支持的选项，不论它是否正确。\n\n",
    ),
}
LANGUAGES = tuple(WORDINGS)


def wording(language: str) -> Wording:
    """What a language says around a question.

    Raises
    ------
    InputError
        If it is neither English ("en") nor Chinese ("zh").
    """
    if language not in WORDINGS:
        raise not_one_of("language of prompts", language, LANGUAGES)
    return WORDINGS[language]


def header(subject: str, language: str = ENGLISH) -> str:
    """The line before the questions, as the released code words it."""
    # Not str.format: a subject may hold braces of its own.
    return wording(language).header.replace("{}", subject, 1)


def instruction(subject: str, question: str, choices: Sequence[str], language: str = ENGLISH) -> str:
    """A question as a user asks it in a chat: the header is part of the user's turn.

    This is the prompt of the ``ift`` tasks and the human turn of every training row.
    """
    return header(subject, language) + ask_for_letter(question, choices, language)


def ask_for_letter(question: str, choices: Sequence[str], language: str = ENGLISH) -> str:
    r"""A question with its options, up to and including ``Answer:``.

    Examples
    --------
    >>> ask_for_letter("One and one is", ["two", "three"])
    'One and one is\nA. two\nB. three\nAnswer:'
    >>> ask_for_letter("一加一等于", ["二", "三"], "zh")
    '一加一等于\nA. 二\nB. 三\n答案：'
    """
    options = "".join(f"{letter}. {choice}\n" for letter, choice in zip(LETTERS, choices, strict=False))
    return f"{question}\n{options}{wording(language).answer}"


def answer(choices: Sequence[str], index: int) -> str:
    """The answer that follows ``Answer:`` and a space, in every language: letter and option text."""
    return f"{LETTERS[index]}. {choices[index]}"


def answered(question: str, choices: Sequence[str], index: int, language: str = ENGLISH) -> str:
    r"""A question with its answer, as a few-shot example shows it.

    Examples
    --------
    >>> answered("One and one is", ["two", "three"], 0)
    'One and one is\nA. two\nB. three\nAnswer: A. two'
    """
    return ask_for_letter(question, choices, language) + wording(language).space + answer(choices, index)


def explained(
    question: str, choices: Sequence[str], index: int, explanation: str | None = None, language: str = ENGLISH
) -> str:
    """A question, its answer and the explanation between triple backticks, or up to where it would begin."""
    words = wording(language)
    ending = "" if explanation is None else f"{words.space}{FENCE}{explanation}{FENCE}"
    return f"{answered(question, choices, index, language)}\n{words.explanation}{ending}"


def simulated(question: str, choices: Sequence[str], explanation: str, language: str = ENGLISH) -> str:
    r"""A question with an explanation of one of its options, up to and including ``Answer:``.

    Examples
    --------
    >>> simulated("One and one is", ["two", "three"], "It is two, as a pair.")
    'One and one is\nA. two\nB. three\nExplanation: It is two, as a pair.\nAnswer:'
    """
    words = wording(language)
    asked = ask_for_letter(question, choices, language).removesuffix(words.answer)
    return f"{asked}{words.explanation}{words.space}{' '.join(explanation.split())}\n{words.answer}"


def needed_knowledge(question: str, choices: Sequence[str], index: int, language: str = ENGLISH) -> str:
    """A request for the world knowledge that a question needs, to a model that is given the answer."""
    words = wording(language)
    return f"{words.needed}{answered(question, choices, index, language)}\n\n{words.facts}"


def language_field(language: str) -> dict[str, str]:
    """The field of a document that says in which language it is asked; English documents have none.

    Examples
    --------
    >>> language_field("zh"), language_field("en")
    ({'prompt_language': 'zh'}, {})
    """
    return {} if language == ENGLISH else {"prompt_language": language}
