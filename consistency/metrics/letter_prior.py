"""The prior of letters: how often a model answers A, B, C … whatever is asked, and scores without it.

A prior of letters adds the same numbers to the scores of every question's options, one for each letter. It can be told from
knowledge because right answers are spread over the letters: over many questions each letter should be as probable as the
others. Scores are arrays ``[n, k]`` of log-probabilities, one column per letter, NaN where a question does not offer it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from consistency.metrics.distributions import log_probabilities
from consistency.metrics.rows import in_parts
from consistency.support.arrays import Bools, Floats

_STEPS = 100
_SMALL, _RIDGE = 1e-13, 1e-12
# Offsets beyond this say that a letter is never answered, not how often it would be.
_FARTHEST = 1e3


def batch_calibrated(scores: ArrayLike) -> Floats:
    """Log-probabilities less the logarithm of each letter's mean probability: batch calibration, as published.

    Parameters
    ----------
    scores : array_like, shape [n, k]

    Returns
    -------
    ndarray, shape [n, k]
        Scores that are not normalised; the largest of a question is its calibrated answer.

    References
    ----------
    Zhou et al. (2024), Batch Calibration: Rethinking Calibration for In-Context Learning and Prompt Engineering. ICLR 2024,
    arXiv 2309.17249.

    Examples
    --------
    >>> batch_calibrated(np.log([[0.8, 0.2], [0.6, 0.4]])).argmax(axis=1).tolist()
    [0, 1]
    """
    logs = in_parts(log_probabilities, np.asarray(scores, dtype=np.float64))
    with np.errstate(invalid="ignore"):
        return np.subtract(logs, log_means(logs), out=logs)


def even_offsets(scores: ArrayLike) -> Floats:
    """What to add to each letter's score so that, over all questions, every letter is as probable as the others.

    Parameters
    ----------
    scores : array_like, shape [n, k]
        Any scores of which the softmax is a probability.

    Returns
    -------
    ndarray, shape [k]
        In nats; they sum to 0. NaN for a letter that no question offers, and for all where no question has a distribution.

    Notes
    -----
    The minimum of the convex mean of log Σ exp(score + offset) less the offsets' mean over the letters of each question, by
    Newton's method. A number added to one letter's scores changes the offsets by just that, so that calibrated scores do not
    change at all: batch calibration, which divides by the mean probabilities once, comes near to this only.

    Examples
    --------
    >>> scores = np.log([[0.8, 0.2], [0.6, 0.4], [0.3, 0.7]])
    >>> one, other = even_offsets(scores), even_offsets(scores + [2.0, 0.0])
    >>> (one - other).round(9).tolist()
    [1.0, -1.0]
    """
    x = np.asarray(scores, dtype=np.float64)
    logs = in_parts(log_probabilities, x)
    use = np.isfinite(logs).any(axis=1)
    offered = ~np.isnan(logs)
    letters = offered[use].any(axis=0)
    offsets = np.where(letters, 0.0, np.nan)
    if not letters.any():
        return offsets
    logs, offered = logs[use][:, letters], offered[use][:, letters]
    wanted = even(offered).mean(axis=0)
    filled = np.where(offered, logs, -np.inf)
    del offered
    # Batch calibration comes near to it at once, also where a letter is preferred by hundreds of nats.
    found = -log_means(logs).clip(-_FARTHEST, _FARTHEST)
    del logs
    for _ in range(_STEPS):
        probs = in_parts(_probabilities_with, filled, np.broadcast_to(found, filled.shape))
        lacking = wanted - probs.mean(axis=0)
        step = inverted(curvature(probs)) @ lacking
        # A full step may go too far where a letter is hardly ever answered.
        found = found + step * min(1.0, 2.0 / max(float(np.abs(step).max()), _SMALL))
        found = (found - found.mean()).clip(-_FARTHEST, _FARTHEST)
        if np.abs(lacking).max() < _SMALL:
            break
    offsets[letters] = found
    return offsets


def _probabilities_with(scores: Floats, offsets: Floats) -> Floats:
    return np.asarray(np.exp(log_probabilities(scores + offsets)))


def even(offered: Bools) -> Floats:
    """The same probability for each letter that a question offers, and 0 for the others."""
    return np.asarray(offered / np.maximum(offered.sum(axis=1, keepdims=True), 1))


def curvature(probs: Floats) -> Floats:
    """Mean of the covariances of the letters: how their mean probabilities change with the offsets, shape [k, k]."""
    return np.asarray(np.diag(probs.mean(axis=0)) - probs.T @ probs / len(probs))


def inverted(curvature: Floats, others: int = 0) -> Floats:
    """The inverse of a matrix of second derivatives, and 0 for adding one number to all offsets, which changes nothing.

    Parameters
    ----------
    curvature : ndarray, shape [p, p]
    others : int
        So many of its first parameters are no offsets.

    Examples
    --------
    >>> inverted(np.array([[0.25, -0.25], [-0.25, 0.25]])).round(9).tolist()
    [[1.0, -1.0], [-1.0, 1.0]]
    """
    size = len(curvature)
    common = np.zeros((size, size))
    common[others:, others:] = 1 / max(size - others, 1)
    # Offsets of letters that are never possible, or always answered, change nothing either.
    return np.asarray(np.linalg.inv(curvature + common + _RIDGE * np.eye(size)) - common)


def log_means(logs: Floats) -> Floats:
    """The logarithm of each letter's mean probability over the questions that offer it, shape [k]; NaN where none does.

    Examples
    --------
    >>> log_means(np.array([[0.0, -800.0], [0.0, -800.0]])).tolist()
    [0.0, -800.0]
    """
    offered = ~np.isnan(logs)
    filled = np.where(offered, logs, -np.inf)
    largest = filled.max(axis=0, initial=-np.finfo(float).max)
    with np.errstate(invalid="ignore", divide="ignore"):
        filled -= largest
        return np.asarray(np.log(np.exp(filled, out=filled).sum(axis=0) / offered.sum(axis=0)) + largest)


def mean_probabilities(logs: Floats) -> Floats:
    """The mean probability of each letter over the questions that offer it, of log-probabilities; NaN where none does.

    Examples
    --------
    >>> mean_probabilities(np.log([[0.8, 0.2, np.nan], [0.2, 0.4, 0.4]])).round(9).tolist()
    [0.5, 0.3, 0.4]
    """
    offered = ~np.isnan(logs)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(offered, np.exp(logs), 0.0).sum(axis=0) / offered.sum(axis=0))
