"""Which letters a training set teaches: how often each is the taught answer, and the gold one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.statistics.evenness import far_from_even
from consistency.tasks.prompts import LETTERS
from consistency.training_data.rows import Group


@dataclass(frozen=True, eq=False)
class Spread:
    """How answers are spread over letters.

    Attributes
    ----------
    counts : ndarray of int64, shape [11, 10]
        How many answers among k options have the letter at each place, by k.

    Examples
    --------
    >>> spread = Spread.of([4] * 100, [0] * 40 + [1] * 4 + [2] * 28 + [3] * 28)
    >>> spread.shares()["B"], round(spread.effect, 2), spread.p < 0.001
    (0.04, 0.52, True)
    """

    counts: NDArray[np.int64]

    @classmethod
    def of(cls, sizes: Sequence[int] | NDArray[np.int64], places: Sequence[int] | NDArray[np.int64]) -> Spread:
        """The spread of answers among so many options each, at these places from 0."""
        counts = np.zeros((len(LETTERS) + 1, len(LETTERS)), dtype=np.int64)
        np.add.at(counts, (np.asarray(sizes, dtype=np.int64), np.asarray(places, dtype=np.int64)), 1)
        return cls(counts)

    @property
    def questions(self) -> int:
        """How many answers there are."""
        return int(self.counts.sum())

    @property
    def even(self) -> NDArray[np.float64]:
        """How many answers would have each letter if those among k options had all k equally often, shape [11, 10]."""
        sizes = np.arange(len(self.counts))[:, None]
        inside = np.arange(len(LETTERS))[None, :] < sizes
        return np.where(inside, self.counts.sum(axis=1, keepdims=True) / np.maximum(sizes, 1), 0.0)

    @property
    def chi2(self) -> float:
        """Pearson's statistic against an even spread, summed over the numbers of options."""
        even = self.even
        return float((np.square(self.counts - even)[even > 0] / even[even > 0]).sum())

    @property
    def df(self) -> int:
        """Its degrees of freedom."""
        sizes = np.flatnonzero(self.counts.sum(axis=1))
        return int((sizes - 1).sum())

    @property
    def p(self) -> float | None:
        """How often answers that are spread evenly by chance have a statistic as large; None without answers."""
        from scipy.special import chdtrc

        return float(chdtrc(self.df, self.chi2)) if self.df else None

    @property
    def effect(self) -> float:
        """Cohen's w, the root of the statistic by the number of answers: 0 for an even spread, 1.7 for one letter of four."""
        return float(np.sqrt(self.chi2 / self.questions)) if self.questions else 0.0

    @property
    def uneven(self) -> bool:
        """Whether the letters are far from even (`far_from_even`)."""
        return far_from_even(self.effect, self.p)

    def shares(self) -> dict[str, float]:
        """The share of each letter that an answer could have."""
        return {letter: count / self.questions for letter, count in self.by_letter().items()} if self.questions else {}

    def by_letter(self) -> dict[str, int]:
        """How many answers have each letter that one could have."""
        most = int(np.flatnonzero(self.counts.sum(axis=1)).max(initial=0))
        return dict(zip(LETTERS, self.counts.sum(axis=0).tolist()[:most], strict=False))

    def extreme(self) -> tuple[str, float, float]:
        """The letter that is farthest from even, its share, and the even one."""
        found, even = self.counts.sum(axis=0), self.even.sum(axis=0)
        place = int(np.argmax(np.abs(found - even)))
        return LETTERS[place], float(found[place]) / self.questions, float(even[place]) / self.questions

    def to_dict(self) -> dict[str, Any]:
        """Counts and shares by letter, the even shares, the test and the effect, for JSON."""
        letters, even = self.by_letter(), self.even.sum(axis=0).tolist()
        return {
            "questions": self.questions,
            "counts": letters,
            "shares": self.shares(),
            "even_shares": {letter: even[place] / self.questions for place, letter in enumerate(letters)},
            "chi2": self.chi2,
            "df": self.df,
            "p": self.p,
            "effect": self.effect,
        }


@dataclass(frozen=True)
class Letters:
    """The letters of a training set.

    Attributes
    ----------
    name : str
        Of the group or the file.
    taught : Spread
        Of the answers that it teaches.
    gold : Spread or None
        Of the gold ones; None where they are not known.
    own : Spread or None
        Of the base model's own; None where they are not known.
    """

    name: str
    taught: Spread
    gold: Spread | None = None
    own: Spread | None = None

    def warning(self, name: str | None = None) -> str:
        """A sentence where letters are taught far from evenly; empty otherwise.

        Parameters
        ----------
        name : str, optional
            The name as it is shown, such as escaped.

        Examples
        --------
        >>> Letters("incompatible", Spread.of([4] * 100, [0] * 40 + [1] * 4 + [2] * 28 + [3] * 28)).warning()
        'incompatible teaches B in 4 % of its 100 rows, where 25 % would be even (w = 0.52, p < 0.001)'
        """
        if not self.taught.uneven:
            return ""
        letter, share, even = self.taught.extreme()
        p = self.taught.p or 0.0
        shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
        return (
            f"{self.name if name is None else name} teaches {letter} in {100 * share:.0f} % of its "
            f"{self.taught.questions} rows, where {100 * even:.0f} % would be even (w = {self.taught.effect:.2f}, {shown})"
        )

    def in_short(self) -> str:
        """The letter that is farthest from even, and its share: "incompatible B 4 % (even: 25 %)"."""
        letter, share, even = self.taught.extreme()
        return f"{self.name} {letter} {100 * share:.0f} % (even: {100 * even:.0f} %)"

    def to_dict(self) -> dict[str, Any]:
        """The three spreads and the warning, for a manifest."""
        return {
            "taught": self.taught.to_dict(),
            "gold": self.gold.to_dict() if self.gold else None,
            "own": self.own.to_dict() if self.own else None,
            "warning": self.warning() or None,
        }


def letters_of(group: Group) -> Letters:
    """The letters of an intervention group: of what it teaches, of the gold options, and of the model's own answers."""
    beliefs = group.beliefs
    rows, options = group.answers.columns
    sizes = (~np.isnan(beliefs.probs[rows])).sum(axis=1)
    taught, gold, own = (Spread.of(sizes, places) for places in (options, beliefs.gold[rows], beliefs.answer[rows]))
    return Letters(group.name, taught, gold, own)
