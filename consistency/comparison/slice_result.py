"""Slices of the questions of a comparison: what changed in each, alone and pulled towards their mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from consistency.statistics.estimates import Estimate


@dataclass(frozen=True)
class Slice:
    """The questions with one value of a field.

    Attributes
    ----------
    name : str
        The value.
    n : int
        Questions.
    tasks : int
        Of so many tasks.
    accuracy_before, accuracy_after, delta_accuracy : Estimate
        Of these questions alone.
    flips : dict of str to int, or None
        Answers that turned: `harmful` and `beneficial`; None where answers are right in part.
    p : float or None
        Of no change, by the test that the comparison's tasks have.
    shrunk : Estimate or None
        The change, partially pooled with that of the other slices (`partially_pooled`).
    p_holm : float or None
        `p`, adjusted over the slices of the field.
    """

    name: str
    n: int
    tasks: int
    accuracy_before: Estimate
    accuracy_after: Estimate
    delta_accuracy: Estimate
    flips: Mapping[str, int] | None
    p: float | None
    shrunk: Estimate | None = None
    p_holm: float | None = None

    def adjusted(self, shrunk: Estimate | None, p_holm: float | None) -> Slice:
        """The slice beside others."""
        return replace(self, shrunk=shrunk, p_holm=p_holm)

    @property
    def size(self) -> float:
        """How much accuracy changed, up or down: partially pooled where that is known; -1 where no change is known."""
        best = self.delta_accuracy if self.shrunk is None else self.shrunk
        return -1.0 if best.value is None else abs(best.value)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {
            "n": self.n,
            "tasks": self.tasks,
            "accuracy_before": self.accuracy_before.to_dict(),
            "accuracy_after": self.accuracy_after.to_dict(),
            "delta_accuracy": self.delta_accuracy.to_dict(),
            "shrunk": None if self.shrunk is None else self.shrunk.to_dict(),
            "flips": None if self.flips is None else dict(self.flips),
            "p": self.p,
            "p_holm": self.p_holm,
        }


@dataclass(frozen=True)
class Slices:
    """The slices of one field.

    Attributes
    ----------
    by : str
        The field, or "task", "group" or "tag".
    slices : tuple of Slice
        By name; numbers by value.
    between : float or None
        The standard deviation of the slices' true changes, as a fraction; None where nothing is shrunk.
    missing : int
        Questions without a value, which are in no slice.
    overlapping : bool
        Whether a question is in several slices; then nothing is shrunk.
    """

    by: str
    slices: tuple[Slice, ...]
    between: float | None
    missing: int
    overlapping: bool

    def largest(self, most: int | None = None) -> tuple[Slice, ...]:
        """The slices that changed most, the largest change first."""
        return tuple(sorted(self.slices, key=lambda item: -item.size)[:most])

    @property
    def shrinkage(self) -> str:
        """What the shrunk changes are, or why nothing is shrunk."""
        if self.between is not None:
            return (
                "shrunk: the change, pulled towards the mean of the slices, whose true changes differ by a standard deviation of "
                f"{100 * self.between:.1f} points (hierarchical normal model, Morris and Tang 2011): nearer to the truth on "
                "average, but too far for a slice that alone changed much, which p (Holm) finds"
            )
        if self.overlapping:
            return "nothing is shrunk, since questions are in several slices"
        return "nothing is shrunk: it takes 5 slices, and 10 questions that changed, to tell how much slices differ"

    @property
    def correction(self) -> str:
        """How p is adjusted, and which questions are in no slice."""
        missing = f"; {self.missing} questions without {self.by} are in no slice" if self.missing else ""
        return f"p adjusted for {len(self.slices)} slices (Holm){missing}"

    def to_dict(self) -> dict[str, Any]:
        """The slices by name, for JSON."""
        return {
            "slices": {item.name: item.to_dict() for item in self.slices},
            "between": self.between,
            "missing": self.missing,
            "overlapping": self.overlapping,
        }
