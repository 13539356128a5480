"""The tasks whose accuracy changed most, with intervals that hold although they were chosen for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from consistency.comparison.quantities import quantity_named
from consistency.comparison.section import Section
from consistency.statistics.estimates import Estimate
from consistency.statistics.selection import selected_confidence

MOST = 10
METHOD = "false coverage rate (Benjamini and Yekutieli 2005)"


@dataclass(frozen=True)
class ChangedMost:
    """The tasks whose accuracy changed most, the largest change first.

    Attributes
    ----------
    sections : tuple of Section
    changes : dict of str to Estimate
        By task, its change of accuracy with an interval of that confidence.
    of : int
        Among how many tasks.
    confidence : float
        Of each interval, so that 95 % of them contain their truth (`selected_confidence`).
    """

    sections: tuple[Section, ...]
    changes: Mapping[str, Estimate]
    of: int
    confidence: float

    def to_dict(self) -> dict[str, Any]:
        """The tasks with their changes and adjusted p-values, for JSON."""
        return {
            "method": METHOD,
            "of": self.of,
            "confidence": self.confidence,
            "tasks": [
                {
                    "task": section.name,
                    "delta_accuracy": self.changes[section.name].to_dict(),
                    "p_holm": section.p_holm,
                    "p_bh": section.p_bh,
                }
                for section in self.sections
            ],
        }


def changed_most(sections: Sequence[Section], most: int = MOST) -> ChangedMost | None:
    """The tasks whose accuracy changed most; None where fewer than two have a change.

    Parameters
    ----------
    sections : sequence of Section
        Of all tasks; those without accuracy do not count.
    most : int
        How many are wanted.
    """
    known = [section for section in sections if section.estimates["delta_accuracy"].value is not None]
    if len(known) < 2:
        return None
    shown = sorted(known, key=lambda section: -abs(section.estimates["delta_accuracy"].value or 0.0))[:most]
    confidence = selected_confidence(len(shown), len(known))
    changes = {section.name: change_among(section, len(known), most) for section in shown}
    return ChangedMost(tuple(shown), changes, len(known), confidence)


def change_among(section: Section, of: int, most: int = MOST) -> Estimate:
    """The change of a task with the interval that it has among the largest of so many tasks."""
    change = quantity_named("delta accuracy").at(section, selected_confidence(min(most, of), of))
    return section.estimates["delta_accuracy"] if change is None else change
