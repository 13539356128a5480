"""How firmly a model knows an answer, from several probes of the same questions.

Gekhman et al. (2024, "Does Fine-Tuning LLMs on New Knowledge Encourage Hallucinations?") ask a question with many sets of
shots and look at two things: whether the greedy answer is right, and whether a sampled answer ever is. HighlyKnown: the
greedy answer is always right. MaybeKnown: it is sometimes right. WeaklyKnown: never, but a sampled one sometimes is.
Unknown: no answer is ever right.

For multiple-choice questions the greedy answer is the most probable option, and a probe is one set of shots, one wording or
one rotation of the options. The probability of the gold option is known exactly and never 0, so that "a sampled answer
is sometimes right" would hold always. A model without knowledge samples the gold one of k options with a probability of
1/k; so a question is

============  ==================================================================================================
HighlyKnown   if the gold option is the most probable one in every probe
MaybeKnown    if it is in some probes, but not in all
WeaklyKnown   if it is in none, but its probability, averaged over the probes, is above 1/k
Unknown       if it is in none, and its mean probability is at most 1/k
============  ==================================================================================================

Of tied options the first counts as the most probable one. A question that was probed once has no category.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from consistency.knowledge.beliefs import Beliefs, decode_documents, read_beliefs
from consistency.logs.scores import Scores

Category = Literal["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
CATEGORIES: tuple[Category, ...] = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")


class _Rotated(msgspec.Struct, gc=False):
    rotation: int | None = None


def categorise(
    right: NDArray[np.bool_], gold: NDArray[np.float64], options: NDArray[np.int64]
) -> list[Category | None]:
    """The category of each question.

    Parameters
    ----------
    right : ndarray of bool, shape [m, n]
        Whether probe i answers question j with the gold option.
    gold : ndarray of float64, shape [m, n]
        The probability of the gold option; NaN where probe i does not ask question j.
    options : ndarray of int64, shape [n]
        The number k of options.

    Returns
    -------
    list of str or None
        None where fewer than two probes ask.

    Examples
    --------
    >>> right = np.array([[True, True, False, False], [True, False, False, False]])
    >>> gold = np.array([[0.9, 0.6, 0.3, 0.1], [0.8, 0.2, 0.4, 0.1]])
    >>> categorise(right, gold, np.array([4, 4, 4, 4]))
    ['HighlyKnown', 'MaybeKnown', 'WeaklyKnown', 'Unknown']
    """
    asked = ~np.isnan(gold)
    times, hits = asked.sum(axis=0), (right & asked).sum(axis=0)
    mean = np.nansum(gold, axis=0) / np.maximum(times, 1)
    code = np.where(hits == times, 0, np.where(hits > 0, 1, np.where(mean > 1 / options, 2, 3)))
    return [CATEGORIES[number] if count > 1 else None for number, count in zip(code, times, strict=True)]


def categories_of(questions: Beliefs, probes: Sequence[Beliefs]) -> list[Category | None]:
    """The category of each question, over all probes that ask it.

    Parameters
    ----------
    questions : Beliefs
        The questions.
    probes : sequence of Beliefs
        Answers to them; the same question has the same id and the same text, its options may be in another order.

    Returns
    -------
    list of str or None
        See `categorise`.
    """
    places = {(belief.id, belief.question): place for place, belief in enumerate(questions)}
    right = np.zeros((len(probes), len(questions)), dtype=bool)
    gold = np.full(right.shape, np.nan)
    for number, probe in enumerate(probes):
        of_gold = np.take_along_axis(probe.probs, probe.gold[:, None], axis=1)[:, 0]
        for row, belief in enumerate(probe):
            place = places.get((belief.id, belief.question))
            if place is not None:
                right[number, place] = belief.answer == belief.gold
                gold[number, place] = of_gold[row]
    return categorise(right, gold, (~np.isnan(questions.probs)).sum(axis=1))


def split_rotations(scores: Scores) -> list[Beliefs]:
    """The probes that the log of a task with `_cyclic` in its name holds: one for each rotation of the options.

    Raises
    ------
    InputError
        If a document's rotation is not a number.
    """
    documents = decode_documents(scores, _Rotated, "the number of its rotation")
    numbers = np.array([document.rotation or 0 for document in documents], dtype=np.int64)
    return [read_beliefs(scores.take(np.flatnonzero(numbers == number))) for number in np.unique(numbers)]
