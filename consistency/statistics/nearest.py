"""A temperature, and an offset for each label of the options, that bring one run's distributions nearest to another's.

Scores are arrays ``[n, k]``, NaN-padded; a column is one label, such as a letter, and its offset the same in every question.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from consistency.metrics.distributions import log_probabilities
from consistency.metrics.letter_prior import inverted
from consistency.support.arrays import Floats, Integers

_STEPS = 200
_SMALL = 1e-13
_SHARPEST = 1e3
# The farthest, in nats and in the factor, that leaving out one unit moves a fit.
_FARTHEST = 2.0


@dataclass(frozen=True, eq=False)
class Nearest:
    """The factor and the offsets for which the mean of KL(target || softmax(factor · score + offset)) is least.

    Attributes
    ----------
    factor : float
        Of the scores; a temperature is its inverse. At least 0.
    offsets : ndarray, shape [k]
        In nats, with sum 0; all 0 where only the factor was fitted.
    fitted : ndarray of int64, shape [p]
        Which of the factor (0) and the offsets (from 1 on) were fitted.
    fitted_steps : ndarray, shape [n, p]
        The columns of `steps` of what was fitted.
    """

    factor: float
    offsets: Floats
    fitted: Integers
    fitted_steps: Floats

    @property
    def steps(self) -> Floats:
        """What changes in factor and offsets where a question's unit is left out, by one step of Newton's method.

        Shape [n, 1 + k]; 0 for what was not fitted.
        """
        found = np.zeros((len(self.fitted_steps), 1 + len(self.offsets)))
        found[:, self.fitted] = self.fitted_steps
        return found

    def of_rows(self, rows: slice) -> Nearest:
        """The fit to the same questions, of which only some are of interest."""
        return replace(self, fitted_steps=self.fitted_steps[rows])

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
            steps = self.steps
            factor, offsets = np.maximum(factor + steps[:, 0], 0.0), offsets + steps[:, 1:]
        return log_probabilities(_scaled(scores, factor[:, None]) + offsets)


def nearest(
    target: Floats, scores: Floats, units: Integers | None = None, *, factor: bool = True, offsets: bool = True
) -> Nearest:
    """Fit a factor of the scores, offsets of the labels, or both, to distributions.

    Parameters
    ----------
    target : ndarray, shape [n, k]
        Probabilities; 0 where a question lacks an option.
    scores : ndarray, shape [n, k]
        Log-probabilities, minus infinity or NaN only where the target is 0.
    units : ndarray of int64, shape [n], optional
        What is left out together, numbered from 0. Without it no steps are found.
    factor, offsets : bool
        What is fitted.

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
    >>> found = nearest(target, scores, np.arange(500))
    >>> round(found.factor, 6), (found.offsets.round(6) + 0).tolist()
    (0.5, [1.0, 0.0, 0.0, -1.0])
    """
    width = scores.shape[1]
    theta = np.concatenate([[1.0], np.zeros(width)])
    possible = np.isfinite(scores)
    finite, barred = scores, None
    if not possible.all():
        finite, target = np.where(possible, scores, 0.0), np.where(possible, target, 0.0)
        barred = np.where(possible, 0.0, -np.inf)
    letters = np.arange(1, 1 + width) if offsets else np.arange(0)
    free = np.concatenate([[0], letters]) if factor else letters
    loss, slope, hessian = _loss(target, finite, barred, theta)
    for _ in range(_STEPS):
        # A factor that would become negative stays 0, and the offsets are fitted without it.
        bound = factor and theta[0] == 0 and float(slope[0]) >= 0
        free = letters if bound or not factor else np.concatenate([[0], letters])
        if not len(free):
            break
        direction = _inverse(hessian, free) @ slope[free]
        size, found = 1.0, (math.inf, slope, hessian)
        while size >= _SMALL:
            moved = theta.copy()
            moved[free] -= size * direction
            moved[0] = min(max(moved[0], 0.0), _SHARPEST)
            found = _loss(target, finite, barred, moved)
            if found[0] <= loss:
                break
            size /= 2
        if found[0] > loss:
            break
        done = loss - found[0] <= _SMALL * abs(loss) and (moved[0] > 0) == (theta[0] > 0)
        theta, (loss, slope, hessian) = moved, found
        if done:
            break
    steps = np.zeros((0, len(free)))
    if units is not None and len(free):
        steps = _without_units(_gradients(target, finite, barred, theta)[:, free], units, _inverse(hessian, free))
    elif units is not None:
        steps = np.zeros((len(scores), 0))
    return Nearest(float(theta[0]), theta[1:] - theta[1:].mean(), free, steps)


def _without_units(gradients: Floats, units: Integers, inverse: Floats) -> Floats:
    """What `left_out` gives, no step farther than `_FARTHEST`."""
    steps = left_out(gradients, units, inverse)
    # One step says little about what is nearly undetermined, such as the offset of a letter that is always answered.
    steps *= np.minimum(1.0, _FARTHEST / np.maximum(np.abs(steps).max(axis=1, initial=0.0), _SMALL))[:, None]
    return steps


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


def _inverse(hessian: Floats, free: Integers) -> Floats:
    """The inverse for the free parameters, of which the first may be the factor."""
    return inverted(hessian[np.ix_(free, free)], others=int(0 in free))


def _fitted(scores: Floats, barred: Floats | None, theta: Floats) -> tuple[Floats, Floats]:
    """The log-probabilities by factor and offsets, and the probabilities."""
    # Each array is overwritten as soon as it has been used: there are as many scores as a log has.
    moved = theta[0] * scores
    if barred is not None:
        moved += barred
    moved += theta[1:]
    moved -= moved.max(axis=1)[:, None]
    q = np.exp(moved)
    total = q.sum(axis=1)
    q /= total[:, None]
    moved -= np.log(total, out=total)[:, None]
    return moved, q


def _gradients(target: Floats, scores: Floats, barred: Floats | None, theta: Floats) -> Floats:
    """Each question's gradient of the cross entropy by factor and offsets, shape [n, 1 + k]."""
    moved, q = _fitted(scores, barred, theta)
    excess = np.subtract(q, target, out=moved)
    return np.column_stack([np.multiply(excess, scores, out=q).sum(axis=1), excess])


def _loss(target: Floats, scores: Floats, barred: Floats | None, theta: Floats) -> tuple[float, Floats, Floats]:
    """The mean cross entropy, its gradient by factor and offsets, and its Hessian."""
    moved, q = _fitted(scores, barred, theta)
    if barred is not None:
        moved[target <= 0] = 0.0
    loss = -float(np.multiply(target, moved, out=moved).sum()) / len(scores)
    weighted = q * scores
    mean = weighted.sum(axis=1)
    hessian = np.empty((len(theta), len(theta)))
    hessian[0, 0] = float(np.multiply(weighted, scores, out=moved).sum()) / len(scores)
    hessian[0, 1:] = hessian[1:, 0] = weighted.mean(axis=0)
    hessian[1:, 1:] = np.diag(q.mean(axis=0))
    excess = np.subtract(q, target, out=moved)
    slope = np.multiply(excess, scores, out=weighted).sum(axis=1)
    gradient = np.array([column.mean() for column in (slope, *excess.T)])
    del weighted, moved, excess, slope
    means = np.column_stack([mean, q])
    del q, mean
    return loss, gradient, hessian - means.T @ means / len(scores)
