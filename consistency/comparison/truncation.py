"""Prompts that one or both of two runs cut, because they were longer than what the model reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from consistency.comparison.settings import SettingDifference
from consistency.logs.run_config import RunConfig
from consistency.logs.runs import Run
from consistency.logs.truncation import CutPrompts, cut_prompts, says_cuts
from consistency.support.text import shortened

# The most tokens that a model reads, as logs name it.
_LENGTHS = ("max_length", "model_args.max_length", "model_args.max_model_len")


@dataclass(frozen=True)
class TruncatedPrompts:
    """Prompts that lost their beginning: few-shot examples, mostly.

    Attributes
    ----------
    tasks : tuple of str
        The tasks in which a run cut prompts.
    before, after : int or None
        How many each run cut; None where its log does not say.
    of_before, of_after : int or None
        Of how many prompts.
    limit_before, limit_after : int or None
        The most tokens that each model read.
    tokens_before, tokens_after : int or None
        The most tokens that one prompt lost.
    few_shot_before, few_shot_after : int or None
        The few-shot examples of a prompt; None where the log does not say.
    few_shot_lost_before, few_shot_lost_after : int or None
        The most of them that one prompt lost.
    differs : bool
        Whether the two models did not read the same of the prompts of some task, as far as the logs say.
    unknown_before, unknown_after : tuple of str
        Tasks of which a log that says it of others does not say how many prompts were cut.
    """

    tasks: tuple[str, ...]
    before: int | None
    after: int | None
    of_before: int | None = None
    of_after: int | None = None
    limit_before: int | None = None
    limit_after: int | None = None
    tokens_before: int | None = None
    tokens_after: int | None = None
    few_shot_before: int | None = None
    few_shot_after: int | None = None
    few_shot_lost_before: int | None = None
    few_shot_lost_after: int | None = None
    differs: bool = False
    unknown_before: tuple[str, ...] = ()
    unknown_after: tuple[str, ...] = ()
    kind: str = field(default="truncated prompts", init=False)

    @property
    def clause(self) -> str:
        """What a verdict says of it; empty unless the runs differ."""
        if not self.differs:
            return ""
        counts = (_counted(self.before, self.of_before), _counted(self.after, self.of_after))
        return f"{counts[0]} prompts before and {counts[1]} after lost their beginning"

    def to_text(self) -> str:
        """A sentence for readers."""
        sides = [
            _side(self.before, self.of_before, self.limit_before, self.few_shot_before, self.few_shot_lost_before),
            _side(self.after, self.of_after, self.limit_after, self.few_shot_after, self.few_shot_lost_after),
        ]
        sides = [
            side + (f" (of {shortened(unknown)} the log does not say)" if unknown else "")
            for side, unknown in zip(sides, (self.unknown_before, self.unknown_after), strict=True)
        ]
        where = f" in {shortened(self.tasks)}"
        if sides[0] == sides[1] and not self.differs:
            return f"prompts lost their beginning{where}: {sides[0]}, before and after"
        differ = ", so that the runs read different prompts" if self.differs else ""
        return f"prompts lost their beginning{where}: before {sides[0]}, after {sides[1]}{differ}"


def truncated_prompts(first: Run, second: Run, compared: Mapping[str, str]) -> TruncatedPrompts | None:
    """The prompts that two runs cut in the tasks that are compared; None if neither log names any.

    Parameters
    ----------
    first, second : Run
    compared : dict of str to str
        Names of tasks in `first`, and in `second`.
    """
    pairs = {name: (first.tasks[name].task, second.tasks[other].task) for name, other in compared.items()}
    found = [
        cut_prompts(run.config, (each[side] for each in pairs.values())) for side, run in enumerate((first, second))
    ]
    each = {name: tuple(found[side].get(names[side]) for side in (0, 1)) for name, names in pairs.items()}
    tasks = tuple(name for name, sides in each.items() if any(side is not None and side.cut for side in sides))
    if not tasks:
        return None
    before, after = (CutPrompts.together(side.values()) for side in found)
    unknown_before, unknown_after = (
        tuple(name for name, sides in each.items() if sides[side] is None) if found[side] else () for side in (0, 1)
    )
    return TruncatedPrompts(
        tasks,
        None if before is None else before.cut,
        None if after is None else after.cut,
        **_named(before, "before"),
        **_named(after, "after"),
        differs=any(one is not None and two is not None and one != two for one, two in each.values()),
        unknown_before=unknown_before,
        unknown_after=unknown_after,
    )


@dataclass(frozen=True)
class UnknownCuts:
    """Two models that read other lengths, where a log does not say whether prompts were cut.

    Attributes
    ----------
    setting : str
        Which says how long a prompt may be.
    before, after : str
        Its values.
    silent : tuple of str
        Which of the logs do not say it: "before", "after".
    """

    setting: str
    before: str
    after: str
    silent: tuple[str, ...]

    @property
    def clause(self) -> str:
        """What a verdict says of it."""
        logs = "the logs do not say" if len(self.silent) == 2 else f"the log {self.silent[0]} does not say"
        return f"{self.setting} differs ({self.before} → {self.after}), and {logs} whether prompts were cut"


def unknown_cuts(settings: Sequence[SettingDifference], runs: Sequence[RunConfig]) -> UnknownCuts | None:
    """What is not known of cut prompts where two models read other lengths; None where they do not, or both logs say it.

    Examples
    --------
    >>> shorter = SettingDifference("max_length", "2048", "128", (), "tokens")
    >>> unknown_cuts([shorter], [RunConfig(), RunConfig()]).clause
    'max_length differs (2048 → 128), and the logs do not say whether prompts were cut'
    """
    found = next((item for item in settings if item.setting in _LENGTHS), None)
    silent = tuple(when for when, config in zip(("before", "after"), runs, strict=True) if not says_cuts(config))
    if found is None or not silent:
        return None
    return UnknownCuts(found.setting.removeprefix("model_args."), found.before, found.after, silent)


def _named(found: CutPrompts | None, when: str) -> dict[str, Any]:
    """The numbers of one run by the names that they have in both."""
    names = ("of", "limit", "tokens", "few_shot", "few_shot_lost")
    return {f"{name}_{when}": None if found is None else getattr(found, name) or None for name in names}


def _side(cut: int | None, of: int | None, limit: int | None, shots: int | None, lost: int | None) -> str:
    if cut is None:
        return "the log does not say"
    if not cut:
        return f"none of {of:,}"
    at = f" at {limit:,} tokens" if limit else ""
    examples = f" (up to {lost or 0} of {shots} few-shot examples lost)" if shots else ""
    return f"{cut:,} of {of:,} were cut{at}{examples}"


def _counted(cut: int | None, of: int | None) -> str:
    return f"{cut:,} of {of:,}"
