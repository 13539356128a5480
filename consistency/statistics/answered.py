"""Two runs' scores of questions whose options stand behind the same labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from consistency.metrics.distributions import log_probabilities
from consistency.metrics.rows import in_parts
from consistency.statistics.sampling import Labels, numbered
from consistency.support.arrays import Bools, Floats, Integers

# With fewer questions of one kind nothing is fitted.
FEWEST = 10
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Answered:
    """Two runs' scores of questions whose options stand behind the same labels, or are texts.

    Attributes
    ----------
    before, after : ndarray of float64, shape [n, k]
        Log-probabilities in nats, each in the order in which its run saw the options; NaN-padded.
    gold : ndarray of bool, shape [n, k]
        Which options are right, in the order of `before`.
    lettered : bool
        Whether a column is a label, such as a letter. The columns of texts mean nothing.
    names : tuple of str
        The labels of the columns; by default letters.
    place : ndarray of int64, shape [n, k], optional
        The column of `after` that holds each option of `before`; by default the same.
    """

    before: Floats
    after: Floats
    gold: Bools
    lettered: bool = True
    names: tuple[str, ...] = ()
    place: Integers | None = None

    def __len__(self) -> int:
        return len(self.before)

    def moved(self, values: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Values in the order of `before`, in that of `after`."""
        return values if self.place is None else put(values, self.place)


def put(values: NDArray[_Scalar], columns: Integers) -> NDArray[_Scalar]:
    """Values of shape [n, k] moved to other columns of their rows: that of column j to `columns[:, j]`.

    Examples
    --------
    >>> put(np.array([[5, 6, 7]]), np.array([[2, 0, 1]])).tolist()
    [[6, 7, 5]]
    """
    found = np.empty_like(values)
    np.put_along_axis(found, columns, values, axis=1)
    return found


def sampled_units(groups: Sequence[Answered], labels: Labels) -> list[Integers]:
    """What the questions of each group are sampled in."""
    given = labels["clusters"] if labels["tasks"] is None else labels["tasks"]
    if given is None:
        return [np.arange(len(group)) for group in groups]
    return [numbered(part) for part in np.split(numbered(given), np.cumsum([len(group) for group in groups])[:-1])]


def both_distributions(group: Answered) -> tuple[Floats, Floats]:
    """The log-probabilities of both runs; what one of them leaves open is compared in neither."""
    # Option by option in memory: sums over few options of many questions are then faster.
    before, after = (in_parts(_by_option, x) for x in (group.before, group.after))
    open_ = ~(np.isfinite(before).any(axis=1) & np.isfinite(after).any(axis=1))
    before[open_], after[open_] = np.nan, np.nan
    return before, after


def _by_option(scores: Floats) -> Floats:
    return np.asfortranarray(log_probabilities(scores))
