"""Prompts that one or both of two runs cut, because they were longer than what the model reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consistency.logs.runs import Run
from consistency.logs.truncation import CutPrompts, cut_prompts
from consistency.support.text import shortened


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
    kind: str = field(default="truncated prompts", init=False)

    @property
    def differs(self) -> bool:
        """Whether the two models did not read the same of their prompts, as far as the logs say."""
        one = (self.before, self.limit_before, self.tokens_before, self.few_shot_lost_before)
        two = (self.after, self.limit_after, self.tokens_after, self.few_shot_lost_after)
        return None not in (self.before, self.after) and one != two

    @property
    def clause(self) -> str:
        """What a verdict says of it; empty unless the runs differ."""
        if not self.differs:
            return ""
        counts = (_counted(self.before, self.of_before), _counted(self.after, self.of_after))
        return f"; but {counts[0]} prompts before and {counts[1]} after lost their beginning"

    def to_text(self) -> str:
        """A sentence for readers."""
        sides = [
            _side(self.before, self.of_before, self.limit_before, self.few_shot_before, self.few_shot_lost_before),
            _side(self.after, self.of_after, self.limit_after, self.few_shot_after, self.few_shot_lost_after),
        ]
        where = f" in {shortened(self.tasks)}"
        if self.before is not None and self.after is not None and not self.differs:
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
    names = {name: first.tasks[name].task for name in compared}
    before, cut = cut_prompts(first.config, dict.fromkeys(names.values()))
    after, cut_after = cut_prompts(
        second.config, dict.fromkeys(second.tasks[other].task for other in compared.values())
    )
    tasks = [name for name, other in compared.items() if names[name] in cut or second.tasks[other].task in cut_after]
    if not tasks:
        return None
    return TruncatedPrompts(
        tasks=tuple(tasks),
        before=None if before is None else before.cut,
        after=None if after is None else after.cut,
        **_named(before, "before"),
        **_named(after, "after"),
    )


def _named(found: CutPrompts | None, when: str) -> dict[str, int | None]:
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
