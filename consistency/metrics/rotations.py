"""Answers to the same questions in all rotations of their options: which content is chosen, and what PriDe makes of some of them.

Arrays ``[n, k, k]`` hold log-probabilities of n questions by rotation and letter, NaN where a question has fewer options. In
rotation r, option o has the letter (o - r) mod the number of options.
"""

from __future__ import annotations

import numpy as np

from consistency.metrics.distributions import log_probabilities, top_option
from consistency.support.arrays import Bools, Floats, Integers


def option_counts(logs: Floats) -> Integers:
    """How many options each question has: rotations that are not wholly NaN, and at least those that the first has letters.

    Examples
    --------
    >>> option_counts(np.array([[[0.0, 0.0, np.nan], [0.0, 0.0, np.nan], [np.nan] * 3]])).tolist()
    [2]
    """
    return np.asarray((~np.isnan(logs)).any(axis=1).sum(axis=1))


def chosen_options(logs: Floats) -> Integers:
    """The option chosen in each rotation, by its place in the unrotated question; -1 where there is none. Shape [n, k].

    Examples
    --------
    A model that always answers the first letter, and one that knows:

    >>> chosen_options(np.log([[[0.9, 0.1], [0.9, 0.1]], [[0.9, 0.1], [0.1, 0.9]]])).tolist()
    [[0, 1], [0, 0]]
    """
    n, k, _ = logs.shape
    letters = top_option(logs.reshape(n * k, k)).reshape(n, k)
    counts = np.maximum(option_counts(logs), 1)[:, None]
    return np.where(letters < 0, -1, (letters + np.arange(k)) % counts)


def same_in_all(chosen: Integers, counts: Integers) -> Floats:
    """1 where the same option is chosen in every rotation, else 0; NaN where one of them has no answer. Shape [n].

    Examples
    --------
    >>> same_in_all(np.array([[0, 1, -1], [2, 2, 2], [1, -1, -1]]), np.array([2, 3, 2])).tolist()
    [0.0, 1.0, nan]
    """
    asked = np.arange(chosen.shape[1]) < counts[:, None]
    same = ((chosen == chosen[:, :1]) | ~asked).all(axis=1)
    return np.where(((chosen < 0) & asked).any(axis=1) | (counts < 1), np.nan, same.astype(np.float64))


def right_by_letter(chosen: Integers, gold: Integers, counts: Integers) -> Floats:
    """1 where the answer is right while the gold option has a letter, else 0; NaN without an answer. Shape [n, k].

    Examples
    --------
    A model that always answers the first letter is right where this is the gold option's:

    >>> right_by_letter(np.array([[0, 1]]), np.array([1]), np.array([2])).tolist()
    [[1.0, 0.0]]
    """
    n, k = chosen.shape
    right = np.where(chosen < 0, np.nan, (chosen == gold[:, None]).astype(np.float64))
    found = np.full((n, k), np.nan)
    for rotation in range(k):
        rows = np.flatnonzero((rotation < counts) & (gold >= 0))
        found[rows, (gold[rows] - rotation) % counts[rows]] = right[rows, rotation]
    return found


def pride(logs: Floats, estimated_on: Bools) -> Floats:
    """Unrotated scores without a prior of letters that the rotations of some questions show: PriDe.

    Parameters
    ----------
    logs : ndarray, shape [n, k, k]
        Log-probabilities by rotation and letter. Of questions that the prior is not estimated on only the first rotation is
        read.
    estimated_on : ndarray of bool, shape [n]

    Returns
    -------
    ndarray, shape [n, k]
        Not normalised; NaN where no question with as many options has a prior.

    Notes
    -----
    The prior of a question is the softmax over letters of the mean over its rotations of the log-probability; the prior that is
    taken out is their mean over the questions with as many options.

    References
    ----------
    Zheng et al. (2024), Large Language Models Are Not Robust Multiple Choice Selectors. ICLR 2024, arXiv 2309.03882.

    Examples
    --------
    >>> asked = np.log([[[0.9, 0.1], [0.9, 0.1]], [[0.7, 0.3], [np.nan, np.nan]]])
    >>> pride(asked, np.array([True, False])).argmax(axis=1).tolist()
    [0, 1]
    """
    found = np.full((len(logs), logs.shape[1]), np.nan)
    counts = option_counts(logs)
    for count in np.unique(counts[counts > 0]).tolist():
        alike = counts == count
        shown = log_probabilities(logs[alike & estimated_on, :count, :count].mean(axis=1))
        shown = shown[np.isfinite(shown).all(axis=1)]
        if len(shown):
            found[alike, :count] = logs[alike, 0, :count] - np.log(np.exp(shown).mean(axis=0))
    return found
