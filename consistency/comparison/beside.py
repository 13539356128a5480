"""What else than the models may have moved the numbers of a run beside another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from consistency.comparison.gaps import same_run
from consistency.comparison.identical import IdenticalLogprobs, identical_logprobs
from consistency.comparison.pairing import Pairs
from consistency.comparison.settings import (
    SettingDifference,
    UnexplainedPrompts,
    leading,
    setting_differences,
    settings_clause,
    unexplained_prompts,
)
from consistency.comparison.truncation import TruncatedPrompts, UnknownCuts, truncated_prompts, unknown_cuts
from consistency.logs.runs import Run


@dataclass(frozen=True)
class Beside:
    """What else than the models differs between two runs, or is suspiciously the same; None where nothing is.

    Attributes
    ----------
    settings : tuple of SettingDifference
        The strongest first.
    identical : IdenticalLogprobs or None
    unexplained : UnexplainedPrompts or None
    truncated : TruncatedPrompts or None
    unknown_cuts : UnknownCuts or None
    """

    settings: tuple[SettingDifference, ...] = ()
    identical: IdenticalLogprobs | None = None
    unexplained: UnexplainedPrompts | None = None
    truncated: TruncatedPrompts | None = None
    unknown_cuts: UnknownCuts | None = None

    @classmethod
    def of(cls, first: Run, second: Run, names: Mapping[str, str], paired: Mapping[str, Pairs]) -> Beside:
        """What two runs show beside each other.

        Parameters
        ----------
        first, second : Run
        names : dict of str to str
            Of the tasks that were paired: the names in `first`, and in `second`.
        paired : dict of str to Pairs
            Their answers, by the name in `first`.
        """
        one = replace(first, tasks={name: pairs.before for name, pairs in paired.items()})
        two = replace(second, tasks={names[name]: pairs.after for name, pairs in paired.items()})
        reports = {name: pairs.report for name, pairs in paired.items()}
        settings = tuple(setting_differences(one, two, names, reports))
        return cls(
            settings,
            None if same_run(first, second) else identical_logprobs(paired, one.config, two.config),
            unexplained_prompts(settings, names, reports),
            truncated_prompts(one, two, names),
            unknown_cuts(settings, (one.config, two.config)),
        )

    @property
    def leading(self) -> list[SettingDifference]:
        """The settings that a verdict is about."""
        return leading(self.settings)

    @property
    def clauses(self) -> tuple[str, ...]:
        """What a verdict says of it, without the settings."""
        found = (self.identical, self.truncated, self.unknown_cuts)
        return tuple(item.clause for item in found if item is not None and item.clause)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What a verdict says of it, the settings last."""
        settings = settings_clause(self.settings, unexplained=self.unexplained is not None)
        return (*self.clauses, settings) if settings else self.clauses

    def to_lines(self) -> Iterator[str]:
        """A sentence for each setting and each other thing, but for cuts that no log speaks of."""
        found = (*self.settings, self.identical, self.unexplained, self.truncated)
        yield from (item.to_text() for item in found if item is not None)
