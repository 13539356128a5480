"""Whether a probe's answers tell of knowledge, or of a liking for a letter."""

from __future__ import annotations

from string import ascii_uppercase

import numpy as np

from consistency.knowledge import Beliefs

# A quarter of the answers, of so many questions that chance gives less.
NOTABLE = 0.25
FEWEST = 50


def letters(beliefs: Beliefs) -> tuple[list[float], list[float]]:
    """How the model's answers and the golden options spread over the letters.

    Parameters
    ----------
    beliefs : Beliefs
        One question or more.

    Returns
    -------
    answers, gold : list of float
        The share of each letter, A first; both sum to 1.

    Examples
    --------
    >>> documents = [b'{"question": "One and one?", "choices": ["2", "3"]}'] * 2
    >>> letters(Beliefs(documents, [1, 2], np.array([0, 1]), np.array([0, 0]), np.array([[0.9, 0.1]] * 2), "sums"))
    ([1.0, 0.0], [0.5, 0.5])
    """
    width = beliefs.probs.shape[1]
    answers, gold = (np.bincount(column, minlength=width) / len(beliefs) for column in (beliefs.answer, beliefs.gold))
    return answers.tolist(), gold.tolist()


def preference(beliefs: Beliefs) -> str:
    """Say so where answers favour a letter.

    Parameters
    ----------
    beliefs : Beliefs

    Returns
    -------
    str
        Empty for fewer than 50 questions, and unless at least a quarter of the answers would have to be other letters for
        all letters to be as common as among the golden options (the total variation distance between both).
    """
    if len(beliefs) < FEWEST:
        return ""
    answers, gold = letters(beliefs)
    moved = 0.5 * sum(abs(a - b) for a, b in zip(answers, gold, strict=True))
    if moved < NOTABLE:
        return ""
    most = max(range(len(answers)), key=lambda letter: answers[letter] - gold[letter])
    return (
        f"{100 * answers[most]:.1f} % of the answers are {ascii_uppercase[most]}, which is golden in {100 * gold[most]:.1f} %: "
        "what looks like knowledge may be a liking for a letter; a task with _cyclic in its name tells them apart"
    )
