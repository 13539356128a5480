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

**Rotations.** Over the k rotations the gold option has each letter once. A model that always answers C is right once in every
question, and would be said to know all of them a little; one that guesses is right in at least one of four rotations in 68 %
of the questions. So where a question was asked in all its rotations, MaybeKnown and WeaklyKnown also require that the
probability of the gold option is above 1/k beyond what letters and chance give. Rotations, letters and options are a
Latin square: the letters' mean probabilities are taken out, what is then left within an option is the noise, with
(k - 1)(k - 2) degrees of freedom, and the gold option's mean is tested against 1/k by a one-sided t test at 5 %. Of two
options, there is no noise left to compare with, and a question that is right in one of two rotations is Unknown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from consistency.knowledge.beliefs import Beliefs, decode_documents, read_beliefs
from consistency.logs.scores import Scores

Category = Literal["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
CATEGORIES: tuple[Category, ...] = ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown")
ALPHA = 0.05
# Smaller differences of probabilities are those of their last digits.
_SMALLEST = 1e-9
# The most that guessing gives, by simulation over 2 to 10 options (docs/statistics.md): of two, both rotations right.
_BY_CHANCE, _BY_CHANCE_OF_TWO = 0.08, 0.25


class _Rotated(msgspec.Struct, gc=False):
    rotation: int | None = None


class Categorised(msgspec.Struct, frozen=True, gc=False):
    """What the probes of a question say.

    Attributes
    ----------
    category : str or None
        None where fewer than two probes ask.
    gekhman : str or None
        The same without a correction for rotations.
    known_by_chance : float or None
        The probability that a model which guesses in every probe has the category HighlyKnown or MaybeKnown; where letters are
        taken out the most that it can be.
    """

    category: Category | None
    gekhman: Category | None
    known_by_chance: float | None


def categorise(
    right: NDArray[np.bool_],
    gold: NDArray[np.float64],
    options: NDArray[np.int64],
    favoured: NDArray[np.float64] | None = None,
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
    favoured : ndarray of float64, shape [n], optional
        1 where the gold option is favoured beyond letters and chance, 0 where it is not (`favours_gold`), NaN where that is not
        known. Without it the rule is that of Gekhman et al. throughout.

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
    >>> categorise(right, gold, np.array([4, 4, 4, 4]), np.zeros(4))
    ['HighlyKnown', 'Unknown', 'Unknown', 'Unknown']
    """
    asked = ~np.isnan(gold)
    times, hits = asked.sum(axis=0), (right & asked).sum(axis=0)
    above = np.nansum(gold, axis=0) / np.maximum(times, 1) > 1 / options
    some = hits > 0
    if favoured is not None:
        told, found = ~np.isnan(favoured), favoured == 1
        some, above = np.where(told, some & found, some), np.where(told, (hits == 0) & found, above & (hits == 0))
    code = np.where(hits == times, 0, np.where(some, 1, np.where(above, 2, 3)))
    return [CATEGORIES[number] if count > 1 else None for number, count in zip(code, times, strict=True)]


def favours_gold(squares: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether the probability of the gold option is above 1/k beyond what letters and chance give.

    Parameters
    ----------
    squares : ndarray of float64, shape [n, k, k]
        Probabilities of one question's letters in its k rotations; the gold option has the letter (k - r) mod k in rotation r.

    Returns
    -------
    ndarray of bool, shape [n]
        False of two options, where letters and chance cannot be told apart.

    Examples
    --------
    A model that always answers the third letter, and one that answers three of four rotations right:

    >>> third = np.tile([0.01, 0.01, 0.97, 0.01], (4, 1))
    >>> most = np.full((4, 4), 0.02)
    >>> most[[0, 1, 2, 3], [0, 3, 2, 0]] = 0.94
    >>> favours_gold(np.stack([third, most])).tolist()
    [False, True]
    """
    n, k, _ = squares.shape
    df = (k - 1) * (k - 2)
    if not df:
        return np.zeros(n, dtype=bool)
    from scipy.special import stdtrit

    # In rotation r, option o has the letter (o - r) mod k.
    letters = (np.arange(k)[None, :] - np.arange(k)[:, None]) % k
    of_option = np.take_along_axis(squares, letters[None], axis=2).mean(axis=1)
    of_letter = squares.mean(axis=1)
    options = (np.arange(k)[None, :] + np.arange(k)[:, None]) % k
    noise = squares - of_letter[:, None, :] - of_option[:, options] + 1 / k
    error = np.sqrt((noise**2).sum(axis=(1, 2)) / df * (k - 1)) / k
    reach = np.maximum(float(stdtrit(df, 1 - ALPHA)) * error, _SMALLEST)
    return np.asarray(of_option[:, 0] - 1 / k > reach)


def categories_of(questions: Beliefs, probes: Sequence[Beliefs | Mapping[int, Beliefs]]) -> list[Categorised]:
    """The category of each question, over all probes that ask it.

    Parameters
    ----------
    questions : Beliefs
        The questions.
    probes : sequence of Beliefs, or of mappings of int to Beliefs
        Answers to them; the same question has the same id and the same text, its options may be in another order. Rotations
        of one task are a mapping (`split_rotations`).

    Returns
    -------
    list of Categorised
        See `categorise`.
    """
    places = {(belief.id, belief.question): place for place, belief in enumerate(questions)}
    options = (~np.isnan(questions.probs)).sum(axis=1)
    single = [each for probe in probes for each in (probe.values() if isinstance(probe, Mapping) else [probe])]
    right = np.zeros((len(single), len(questions)), dtype=bool)
    gold = np.full(right.shape, np.nan)
    for number, each in enumerate(single):
        of_gold = np.take_along_axis(each.probs, each.gold[:, None], axis=1)[:, 0]
        for row, place in _rows(each, places):
            right[number, place] = each.answer[row] == each.gold[row]
            gold[number, place] = of_gold[row]
    favoured = np.full(len(questions), np.nan)
    for probe in probes:
        if isinstance(probe, Mapping):
            found = _favoured(probe, places, options)
            favoured = np.where(np.isnan(found), favoured, np.fmin(found, favoured))
    times = (~np.isnan(gold)).sum(axis=0)
    guessed = np.where(
        np.isnan(favoured),
        1 - (1 - 1 / options) ** times,
        np.where(options == 2, _BY_CHANCE_OF_TWO, _BY_CHANCE),
    )
    return [
        Categorised(category, plain, chance if category else None)
        for category, plain, chance in zip(
            categorise(right, gold, options, favoured), categorise(right, gold, options), guessed.tolist(), strict=True
        )
    ]


def _rows(probe: Beliefs, places: Mapping[tuple[str | int, str], int]) -> list[tuple[int, int]]:
    """The rows of a probe whose questions are asked for, and where these are."""
    found = ((row, places.get((belief.id, belief.question))) for row, belief in enumerate(probe))
    return [(row, place) for row, place in found if place is not None]


def _favoured(
    rotations: Mapping[int, Beliefs], places: Mapping[tuple[str | int, str], int], options: NDArray[np.int64]
) -> NDArray[np.float64]:
    """1 or 0 for each question that has all its rotations, else NaN."""
    most = max(rotation.probs.shape[1] for rotation in rotations.values())
    squares = np.full((len(options), most, most), np.nan)
    first = np.full(len(options), -1)
    for number, rotation in rotations.items():
        if 0 <= number < most:
            for row, place in _rows(rotation, places):
                squares[place, number, : rotation.probs.shape[1]] = rotation.probs[row]
                if number == 0:
                    first[place] = rotation.gold[row]
    found = np.full(len(options), np.nan)
    for k in np.unique(options[options <= most]).tolist():
        square = squares[:, :k, :k]
        whole = np.flatnonzero((options == k) & (first >= 0) & ~np.isnan(square).any(axis=(1, 2)))
        # The gold option's letters in its rotations begin with `first`: shifted, so that they begin with the first letter.
        shifted = (np.arange(k)[None, :] + first[whole, None]) % k
        aligned = np.take_along_axis(square[whole], shifted[:, None, :], axis=2)
        found[whole] = favours_gold(aligned)
    return found


def split_rotations(scores: Scores) -> dict[int, Beliefs]:
    """The probes that the log of a task with `_cyclic` in its name holds: one for each rotation of the options, by its number.

    Raises
    ------
    InputError
        If a document's rotation is not a number.
    """
    documents = decode_documents(scores, _Rotated, "the number of its rotation")
    numbers = np.array([document.rotation or 0 for document in documents], dtype=np.int64)
    return {
        number: read_beliefs(scores.take(np.flatnonzero(numbers == number))) for number in np.unique(numbers).tolist()
    }
