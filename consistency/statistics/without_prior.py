"""One run's scores without the prior of the labels, and how their estimation moves a share of right answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from consistency.metrics.distributions import log_probabilities
from consistency.metrics.letter_prior import curvature, even, even_offsets, inverted
from consistency.metrics.rows import in_parts
from consistency.statistics.answered import FEWEST
from consistency.statistics.nearest import left_out
from consistency.support.arrays import Bools, Floats, Integers

# Parts of the questions to one of which offsets are fitted, to see by how much their error lowers a ranking correlation.
QUARTERS = 4


@dataclass(frozen=True, eq=False)
class WithoutPrior:
    """One run's scores without the prior of the labels.

    Attributes
    ----------
    scores : ndarray, shape [n, k]
    crossed : ndarray, shape [n, k]
        With offsets that make the labels even over the other questions.
    offset : ndarray, shape [k], or None
        What makes the labels even over all questions; None where nothing is fitted.
    quarter : ndarray of int8, shape [n]
        Which of the quarters of the units each is in.
    offsets : ndarray, shape [4, k]
        That make the labels even over each quarter.
    inverse : ndarray, shape [k, k], or None
        How the offsets move with the labels' mean probabilities.
    """

    scores: Floats
    crossed: Floats
    offset: Floats | None = None
    quarter: NDArray[np.int8] | None = None
    offsets: Floats | None = None
    inverse: Floats | None = None

    @classmethod
    def of(cls, scores: Floats, units: Integers, lettered: bool) -> WithoutPrior:
        """The scores of one run; the quarters are of what is sampled together, the units."""
        if not lettered or np.isfinite(in_parts(log_probabilities, scores)).any(axis=1).sum() < FEWEST:
            same = np.full_like(scores, np.nan) if lettered else scores
            return cls(same, same)
        offset = np.nan_to_num(even_offsets(scores))
        probs = in_parts(lambda x: np.exp(log_probabilities(x + offset)), scores)
        defined = np.isfinite(probs).any(axis=1)
        inverse = inverted(curvature(np.nan_to_num(probs[defined])))
        del probs
        # The other questions, whatever is sampled: an interval for sampled tasks is about the same number.
        crossed = left_out(in_parts(partial(_unevenness, offset), scores), np.arange(len(scores)), inverse)
        crossed += scores + offset
        count = int(units.max()) + 1
        if count < 2 * QUARTERS:
            return cls(scores, crossed, offset, inverse=inverse)
        quarter = (np.random.default_rng(0).permutation(count) % QUARTERS).astype(np.int8)[units]
        offsets = np.nan_to_num([even_offsets(scores[quarter == number]) for number in range(QUARTERS)])
        return cls(scores, crossed, offset, quarter, offsets, inverse)

    @property
    def plug_in(self) -> Floats:
        """With offsets that make the labels even over all questions."""
        return self.crossed if self.offset is None else np.asarray(self.scores + self.offset)

    def rougher(self, quarter: int, rows: slice) -> Floats:
        """Scores with offsets that make the labels even over a quarter of the units, which has NaN; `crossed` with few units."""
        if self.quarter is None or self.offsets is None:
            return self.crossed[rows]
        inside = self.quarter[rows, None] == quarter
        return np.where(inside, np.nan, self.scores[rows] + self.offsets[quarter])

    def moved(self, gold: Bools, right: Floats, weights: Sequence[Floats]) -> list[Floats]:
        """What each question contributes to weighted shares of right answers by what it does to the offsets, for each weight.

        Times the derivative of the share by the offsets, which is that of questions whose right option leads or trails by little.
        """
        none = np.zeros(len(right))
        if self.offset is None or self.inverse is None:
            return [none] * len(weights)
        known = np.flatnonzero(np.isfinite(right) & np.all([np.isfinite(weight) for weight in weights], axis=0))
        gold, scores, rows = gold[known], self.crossed[known], np.arange(len(known))
        best_right = np.where(gold, scores, -np.inf).argmax(axis=1)
        best_wrong = np.where(gold | np.isnan(scores), -np.inf, scores).argmax(axis=1)
        with np.errstate(invalid="ignore"):
            lead = scores[rows, best_right] - scores[rows, best_wrong]
        del scores, gold, rows
        finite = lead[np.isfinite(lead)]
        if len(finite) < 2 or not (deviation := float(finite.std())):
            return [none] * len(weights)
        low, high = np.quantile(finite, (0.25, 0.75)).tolist()
        # Silverman's rule.
        width = 0.9 * (min(deviation, (high - low) / 1.34) or deviation) * len(finite) ** -0.2
        near = np.abs(lead) < width
        options, right_near, wrong_near = self.scores.shape[1], best_right[near], best_wrong[near]
        slopes = [
            np.bincount(right_near, weight[known][near], options)
            - np.bincount(wrong_near, weight[known][near], options)
            for weight in weights
        ]
        # The offsets move with all questions that have scores, also where nobody knows what is right.
        scored = int(in_parts(lambda x: np.isfinite(x).any(axis=1), self.scores).sum())
        by_offset = self.inverse @ np.transpose(slopes) / (2 * width * scored)
        offset = self.offset
        found = in_parts(lambda x: -_unevenness(offset, x) @ by_offset, self.scores)
        return list(found.T)


def _unevenness(offset: Floats, scores: Floats) -> Floats:
    """How far the probabilities of each question's labels are from even, with these offsets; 0 where they are not known."""
    probs = np.exp(log_probabilities(scores + offset))
    defined = np.isfinite(probs).any(axis=1, keepdims=True)
    return np.asarray(np.nan_to_num(probs) * defined - even(~np.isnan(scores) & defined))
