"""How probable the labels of the options are to either of two runs, and how often each is right."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from consistency.metrics.distributions import log_probabilities
from consistency.metrics.letter_prior import even, mean_probabilities
from consistency.metrics.rows import in_parts
from consistency.metrics.selection_bias import option_name
from consistency.statistics.answered import Answered
from consistency.statistics.evenness import far_from_even


@dataclass(frozen=True)
class Prior:
    """How probable each label of the options is over all questions, to either run, and how often it is right.

    Attributes
    ----------
    n : int
        Questions with a distribution in both runs.
    labels : tuple of str
    before, after : tuple of float
        By label: the mean over the questions that offer it.
    gold, even : tuple of float
        By label: the share of the right answers, and that of right answers which are spread evenly over each question's options.
    even_p : float or None
        Of "the right answers are spread evenly over the labels" (Pearson's χ²); None where that is not known.
    """

    n: int
    labels: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    gold: tuple[float, ...]
    even: tuple[float, ...]
    even_p: float | None

    @property
    def is_uneven(self) -> bool:
        """Whether the right answers are so uneven over the labels that to make the answers even misleads."""
        known = [(one, other) for one, other in zip(self.gold, self.even, strict=True) if other > 0]
        return far_from_even(math.sqrt(sum((one - other) ** 2 / other for one, other in known)), self.even_p)


def prior_of(group: Answered) -> Prior | None:
    """How probable the labels of a kind of questions are, and how often right; None where no question has two distributions."""
    before, after = (in_parts(log_probabilities, x) for x in (group.before, group.after))
    defined = np.isfinite(before).any(axis=1) & np.isfinite(after).any(axis=1)
    if not defined.any():
        return None
    before, after, gold = before[defined], after[defined], group.gold[defined]
    known = gold.sum(axis=1) == 1
    right, wanted = gold[known].sum(axis=0), even(~np.isnan(before[known])).sum(axis=0)
    offered, asked, even_p = np.flatnonzero(~np.isnan(before).all(axis=0)), wanted > 0, None
    if asked.sum() > 1:
        from scipy.special import chdtrc

        even_p = float(chdtrc(asked.sum() - 1, ((right - wanted)[asked] ** 2 / wanted[asked]).sum()))
    names = group.names or tuple(map(option_name, range(before.shape[1])))
    return Prior(
        len(before),
        tuple(names[column] for column in offered),
        tuple(mean_probabilities(before)[offered].tolist()),
        tuple(np.nan_to_num(mean_probabilities(after))[offered].tolist()),
        tuple((right[offered] / max(int(known.sum()), 1)).tolist()),
        tuple((wanted[offered] / max(int(known.sum()), 1)).tolist()),
        even_p,
    )
