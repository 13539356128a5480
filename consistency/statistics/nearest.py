"""A temperature, and an offset for each label of the options, that bring one run's distributions nearest to another's.

Scores are arrays ``[n, k]``, NaN-padded; a column is one label, such as a letter, and its offset the same in every question.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from consistency.metrics.distributions import log_probabilities
from consistency.metrics.letter_prior import inverted
from consistency.support.arrays import Floats, Integers

_STEPS = 200
_SMALL = 1e-13
_SHARPEST = 1e3


@dataclass(frozen=True, eq=False)
class Nearest:
    """The factor and the offsets for which the mean of KL(target || softmax(factor · score + offset)) is least.

    Attributes
    ----------
    factor : float
        Of the scores; a temperature is its inverse. At least 0.
    offsets : ndarray, shape [k]
        In nats, with sum 0; all 0 where only the factor was fitted.
    steps : ndarray, shape [n, 1 + k] or [n, 1]
        What changes in factor and offsets where a question's unit is left out, by one step of Newton's method.
    """

    factor: float
    offsets: Floats
    steps: Floats

    def of_rows(self, rows: slice) -> Nearest:
        """The fit to the same questions, of which only some are of interest."""
        return Nearest(self.factor, self.offsets, self.steps[rows])

    def distributions(self, scores: Floats, *, crossed: bool = False) -> Floats:
        """The fitted log-probabilities.

        Parameters
        ----------
        scores : ndarray, shape [n, k]
            Those that were fitted.
        crossed : bool
            Whether each question's are by the fit to the other units.
        """
        factor, offsets = np.full(len(scores), self.factor), self.offsets[None, :]
        if crossed:
            factor = np.maximum(factor + self.steps[:, 0], 0.0)
            offsets = offsets + self.steps[:, 1:] if self.steps.shape[1] > 1 else offsets
        return log_probabilities(_scaled(scores, factor[:, None]) + offsets)


def nearest(target: Floats, scores: Floats, units: Integers, *, offsets: bool) -> Nearest:
    """Fit a factor of the scores, and offsets if wanted, to distributions.

    Parameters
    ----------
    target : ndarray, shape [n, k]
        Probabilities; 0 where a question lacks an option.
    scores : ndarray, shape [n, k]
        Log-probabilities, minus infinity or NaN only where the target is 0.
    units : ndarray of int64, shape [n]
        What is left out together, numbered from 0.
    offsets : bool

    Returns
    -------
    Nearest

    Notes
    -----
    The mean cross entropy is convex in factor and offsets; Newton's method, each step halved until the loss falls.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> scores = log_probabilities(rng.normal(size=(500, 4)))
    >>> target = np.exp(log_probabilities(scores / 2 + np.array([1.0, 0.0, 0.0, -1.0])))
    >>> found = nearest(target, scores, np.arange(500), offsets=True)
    >>> round(found.factor, 6), found.offsets.round(6).tolist()
    (0.5, [1.0, 0.0, 0.0, -1.0])
    """
    width = scores.shape[1] if offsets else 0
    theta = np.concatenate([[1.0], np.zeros(width)])
    possible = np.isfinite(scores)
    finite, barred = scores, None
    if not possible.all():
        finite, target = np.where(possible, scores, 0.0), np.where(possible, target, 0.0)
        barred = np.where(possible, 0.0, -np.inf)
    loss, gradients, hessian = _loss(target, finite, barred, theta)
    for _ in range(_STEPS):
        direction = inverted(hessian, others=1) @ gradients.mean(axis=0)
        size = 1.0
        while True:
            moved = theta - size * direction
            moved[0] = min(max(moved[0], 0.0), _SHARPEST)
            found = _loss(target, finite, barred, moved)
            if found[0] <= loss or size < _SMALL:
                break
            size /= 2
        done = loss - found[0] <= _SMALL * abs(loss)
        theta, (loss, gradients, hessian) = moved, found
        if done:
            break
    fitted = theta[1:] - theta[1:].mean() if offsets else np.zeros(scores.shape[1])
    return Nearest(float(theta[0]), fitted, left_out(gradients, units, inverted(hessian, others=1)))


def left_out(gradients: Floats, units: Integers, inverse: Floats) -> Floats:
    """What a fit changes without each question's unit, by one Newton step; 0 where there is one unit only.

    Parameters
    ----------
    gradients : ndarray, shape [n, p]
        Of each question's loss, with mean 0 over all.
    units : ndarray of int64, shape [n]
    inverse : ndarray, shape [p, p]
        Of the mean Hessian.
    """
    if (units == np.arange(len(units))).all():
        return np.asarray(gradients / max(len(units) - 1, 1) @ inverse)
    count = np.bincount(units)
    others = len(units) - count
    sums = np.stack([np.bincount(units, weights=column) for column in gradients.T], axis=1)
    return np.asarray((sums / np.maximum(others, 1)[:, None] * (others > 0)[:, None] @ inverse)[units])


def _scaled(scores: Floats, factor: Floats) -> Floats:
    """The scores times a factor; what is impossible stays so, also with a factor of 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(scores), scores, factor * scores)


def _loss(target: Floats, scores: Floats, barred: Floats | None, theta: Floats) -> tuple[float, Floats, Floats]:
    """The mean cross entropy, each question's gradient, and the mean Hessian."""
    # Each array is overwritten as soon as it has been used: there are as many scores as a log has.
    moved = theta[0] * scores
    if barred is not None:
        moved += barred
    if len(theta) > 1:
        moved += theta[1:]
    moved -= moved.max(axis=1)[:, None]
    q = np.exp(moved)
    total = q.sum(axis=1)
    q /= total[:, None]
    moved -= np.log(total)[:, None]
    if barred is not None:
        moved[target <= 0] = 0.0
    loss = -float(np.multiply(target, moved, out=moved).sum()) / len(scores)
    weighted = q * scores
    mean = weighted.sum(axis=1)
    second = float(np.multiply(weighted, scores, out=moved).sum()) / len(scores)
    excess = np.subtract(q, target, out=moved)
    if len(theta) == 1:
        slope = np.multiply(excess, scores, out=moved).sum(axis=1)[:, None]
        return loss, slope, np.array([[second - float(mean @ mean) / len(scores)]])
    slope = (excess * scores).sum(axis=1)[:, None]
    means = np.column_stack([mean, q])
    hessian = np.empty((len(theta), len(theta)))
    hessian[0, 0] = second
    hessian[0, 1:] = hessian[1:, 0] = weighted.mean(axis=0)
    hessian[1:, 1:] = np.diag(q.mean(axis=0))
    return loss, np.column_stack([slope, excess]), hessian - means.T @ means / len(scores)
