"""Questions whose scores decide nothing: no numbers, or the same for all options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from consistency.comparison.numbers import points_of
from consistency.logs.doubts import equal_scores
from consistency.statistics.estimates import Estimate
from consistency.support.arrays import Floats

# From this share of the questions on there is no answer to speak of; equal scores of fewer may be chance.
_LARGE = 0.5


@dataclass(frozen=True)
class BeforeAfter:
    """How many questions of each run."""

    before: int
    after: int


@dataclass(frozen=True)
class OddScores:
    """How many questions have scores that decide nothing.

    Attributes
    ----------
    of : int
        Questions with options.
    no_numbers : BeforeAfter
        Questions whose scores are NaN or infinite.
    equal : BeforeAfter
        Questions with the same score for all options: the answer is the first one.
    delta_accuracy : Estimate or None
        Of two runs, where some scores are no numbers: the change of accuracy in the questions whose scores are numbers in both.
    """

    of: int
    no_numbers: BeforeAfter
    equal: BeforeAfter
    delta_accuracy: Estimate | None = None

    @property
    def are_most(self) -> bool:
        """Whether they are half of the questions of a run, or more."""
        return any(map(self._is_large, self._counts))

    @property
    def clauses(self) -> tuple[str, ...]:
        """What a verdict says of them: of any that are no numbers, and of equal scores that are no chance."""
        return tuple(self._clauses())

    @property
    def _counts(self) -> tuple[int, int]:
        return (
            max(self.no_numbers.before, self.no_numbers.after),
            max(self.equal.before, self.equal.after),
        )

    def _is_large(self, count: int) -> bool:
        return count >= _LARGE * self.of

    def _clauses(self) -> Iterator[str]:
        broken, equal = self._counts
        if broken:
            found = self._sentence(self.no_numbers, "have scores that are no numbers (NaN or infinite)")
            change = self.delta_accuracy
            if change is not None and change.value is not None:
                found += f": in the other {change.n:,} accuracy changes by {points_of(change)} points"
            yield found
        if self._is_large(equal):
            yield f"{self._sentence(self.equal, 'have equal scores for all options')}: the answer is then the first option"

    def _sentence(self, found: BeforeAfter, what: str) -> str:
        sides = ("after", "before") if found.after >= found.before else ("before", "after")
        most, other = (getattr(found, side) for side in sides)
        return f"{most:,} of {self.of:,} questions {what} {sides[0]}, {other:,} {sides[1]}"

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        found = asdict(self)
        del found["delta_accuracy"]
        return found if self.delta_accuracy is None else found | {"delta_accuracy": self.delta_accuracy.to_dict()}


def odd_scores(sides: Iterable[tuple[Sequence[Floats], Sequence[Floats]]]) -> OddScores | None:
    """The questions of some tasks whose scores decide nothing; None where all do.

    Parameters
    ----------
    sides : iterable of tuple of sequence of ndarray, shape [n, k]
        Of each task the log-probabilities of its options in each run before and after, NaN-padded. Of several runs a question
        counts where those of any are odd.

    Examples
    --------
    >>> good, bad = np.array([[-1.0, -2.0]]), np.array([[np.nan, np.nan]])
    >>> odd_scores([([good], [bad])]).clauses
    ('1 of 1 questions have scores that are no numbers (NaN or infinite) after, 0 before',)
    """
    found = [(_counts(before), _counts(after)) for before, after in sides]
    if not any(broken or equal for both in found for _, broken, equal in both):
        return None
    of, no_numbers, equal = (_summed(found, place) for place in range(3))
    return OddScores(of.before, no_numbers, equal)


def _counts(runs: Sequence[Floats]) -> tuple[int, int, int]:
    """Questions, those whose scores are no numbers, and those with equal scores."""
    broken = np.logical_or.reduce([~np.isfinite(logprobs).any(axis=1) for logprobs in runs])
    equal = np.logical_or.reduce(
        [equal_scores(logprobs) & (np.isfinite(logprobs).sum(axis=1) > 1) for logprobs in runs]
    )
    return len(broken), int(broken.sum()), int(equal.sum())


def _summed(found: Sequence[tuple[tuple[int, int, int], tuple[int, int, int]]], place: int) -> BeforeAfter:
    return BeforeAfter(*(sum(both[side][place] for both in found) for side in (0, 1)))
