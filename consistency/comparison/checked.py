"""The conditions of a gate, judged on a comparison, with what the comparison lacks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from consistency.comparison.conditions import Check
from consistency.comparison.gaps import Missing, incomplete


class Lacking(Protocol):
    """A comparison, of which it is known what it lacks."""

    @property
    def missing(self) -> tuple[Missing, ...]:
        """What was not compared and may break a condition."""


@dataclass(frozen=True)
class Checked:
    """What the conditions of a gate decided.

    Attributes
    ----------
    checks : tuple of Check
        Empty without conditions.
    missing : tuple of Missing
        What was not compared and may break a condition; empty where that is to be ignored.
    """

    checks: tuple[Check, ...] = ()
    missing: tuple[Missing, ...] = ()

    @classmethod
    def of(cls, checks: Sequence[Check], comparison: Lacking, *, ignores_missing: bool = False) -> Checked:
        """The checks that a comparison was put to, with what it lacks; unless that is ignored, none of them passes then."""
        missing = comparison.missing if checks and not ignores_missing else ()
        return cls(tuple(replace(item, incomplete=bool(missing)) for item in checks), missing)

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(item for item in self.checks if item.failed)

    @property
    def doubt(self) -> tuple[str, ...]:
        """A line on what is missing; none where nothing is."""
        return (str(incomplete(self.missing)),) if self.missing else ()

    def to_lines(self) -> list[str]:
        """A line for each condition."""
        return [item.to_text() for item in self.checks]

    def to_dict(self) -> dict[str, Any]:
        """The conditions and what is missing, for JSON; empty without conditions."""
        missing = [line for item in self.missing for line in item.to_lines()]
        return {**({"conditions": self.to_lines()} if self.checks else {}), **({"missing": missing} if missing else {})}


NO_CONDITIONS = Checked()
