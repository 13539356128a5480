"""Conditions on a comparison, such as `harmful flips > 2 %`: whether they hold, and how surely."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from consistency.comparison.names import MOST_TASKS
from consistency.comparison.numbers import digits_beside
from consistency.comparison.odd_scores import OddScores
from consistency.comparison.quantities import QUANTITIES, Quantity, quantity_named, read_number
from consistency.comparison.section import Section, Sections
from consistency.errors import InputError
from consistency.statistics.estimates import CAVEATS, Estimate
from consistency.statistics.hypotheses import holm
from consistency.support.text import shortened

Mode = Literal["surely", "possibly", "measured"]
Outcome = Literal["holds", "does not hold", "unclear", "undefined"]
_FORM = (
    "[surely|possibly|measured] MEASURE >|>=|<|<= NUMBER [%|points|nats] [in TASK, GROUP, SCOPE, any task or PATTERN*]"
)
_PATTERN = re.compile(
    r"\s*(?:(?P<mode>surely|possibly|measured)\s+)?(?P<measure>[^\s<>=≥≤][^<>=≥≤]*?)\s*(?P<sign>>=|<=|>|<|≥|≤)\s*"
    r"(?P<number>[-+−]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(?P<unit>%|percent|points?|nats?)?"
    r"(?:\s+in\s+(?P<where>\S.*?))?\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Condition:
    """A condition, read but not yet judged.

    Attributes
    ----------
    text, where : str, str or None
        The condition as it was given, and its task, group or scope, or "any task", or a pattern such as ``mmlu_*``; None for
        what the verdict is about.
    mode : {"surely", "possibly", "measured"}
        What must lie beyond the limit: all of the 95 % interval, any of it, or the measured value.
    quantity : Quantity
    sign : {">", ">=", "<", "<="}
    limit : float
        In the quantity's own numbers: fractions of 1, nats.
    """

    text: str
    mode: Mode
    quantity: Quantity
    sign: str
    limit: float
    where: str | None

    @property
    def on_small_p(self) -> bool:
        """Whether it holds where a p is small: of several p one is so more often by chance."""
        return self.quantity.is_p and self.sign.startswith("<")

    def beyond(self, value: float) -> bool:
        """Whether a value lies beyond the limit."""
        if self.sign.startswith(">"):
            return value > self.limit or (self.sign == ">=" and value == self.limit)
        return value < self.limit or (self.sign == "<=" and value == self.limit)


@dataclass(frozen=True)
class Check:
    """A condition, judged.

    Attributes
    ----------
    condition, section : Condition, str
        What was judged, and on which numbers: those of a task, of a scope, or "overall".
    of : int
        Among how many tasks, groups or runs it was the one that is named. Its interval then holds for all of them together, and
        the p of a condition on a small p is adjusted over them (Holm).
    among : str
        What these are: "tasks", "groups", "tasks and groups", "runs", "runs and metrics", "runs and tasks".
    lacking : int
        How many more have no such number.
    odd : OddScores or None
        Scores there that decide nothing.
    estimate : Estimate
        In the quantity's own numbers.
    outcome : {"holds", "does not hold", "unclear", "undefined"}
        "unclear": the limit lies within the interval. "undefined": there is no value, or no interval where one is needed.
    incomplete : bool
        Whether something was not compared that may make it fail.
    tasks : tuple of str
        Of a condition without a place that does not fail: the single tasks in which it surely holds.
    """

    condition: Condition
    section: str
    estimate: Estimate
    outcome: Outcome
    of: int = 1
    among: str = "tasks"
    lacking: int = 0
    odd: OddScores | None = None
    incomplete: bool = False
    tasks: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the check fails: the condition holds, may hold where that is enough, or cannot be evaluated."""
        return self.outcome in ("holds", "undefined") or (
            self.outcome == "unclear" and self.condition.mode == "possibly"
        )

    @property
    def passed(self) -> bool:
        """Whether the check passes: what surely fails fails, whatever is missing, but nothing passes where something is."""
        return not self.failed and not self.incomplete

    def to_text(self) -> str:
        """The condition, what was found, and what follows from it."""
        found, condition = self.estimate, self.condition
        where = f"{self.section}{self._among()}, "
        # The condition may name it already.
        where = "" if condition.text.endswith(f" in {where[:-2]}") else where
        text = f"{condition.text}: {where}{self._formatted(found.value)}"
        if found.ci_low is not None and found.ci_high is not None:
            text += f" [{self._number(found.ci_low)}, {self._number(found.ci_high)}]"
            text += " exact (Clopper–Pearson)" if found.method == "exact" else ""
        if found.undefined:
            text += f" without {found.undefined} of {found.undefined + found.n} questions, which have no finite value"
        elif self.odd is not None and self.odd.clauses:
            text += f" ({'; '.join(self.odd.clauses)})"
        if "uneven labels" in found.warnings:
            text += f" ({CAVEATS['uneven labels']})"
        if self.outcome == "undefined":
            lacking = "has no value" if found.value is None else f"has no interval ({found.describe()})"
            return f"FAILED, {text}: {lacking}, and a condition that cannot be evaluated fails"
        if self.outcome == "unclear":
            if condition.mode == "possibly":
                return f"FAILED, {text}: the interval reaches beyond the limit"
            text += ": undecided, since the limit lies within the interval"
        if self.tasks:
            named = shortened(self.tasks, MOST_TASKS)
            text += f"; but it holds in {named}: to fail on single tasks, add 'in any task' to the condition"
        return f"{'FAILED' if self.failed else 'passed' if self.passed else 'not judged'}, {text}"

    def _among(self) -> str:
        """Among how many it is told, and how that was allowed for."""
        if self.of == 1 and not self.lacking:
            return ""
        parts = [f"of {self.of} {self.among}"]
        if self.of > 1 and self.estimate.ci_low is not None:
            parts.append("intervals for all together")
        if self.of > 1 and self.condition.on_small_p:
            parts.append("p adjusted for all together (Holm)")
        if self.lacking:
            parts.append(f"{self.lacking} more without it")
        return f" ({', '.join(parts)})"

    def _number(self, value: float) -> str:
        scale, found = self.condition.quantity.scale, self.estimate
        numbers = [scale * x for x in (found.value, found.ci_low, found.ci_high) if x is not None]
        digits = digits_beside([scale * self.condition.limit], numbers) if scale > 1 else 4
        return f"{scale * value:z.{digits}f}"

    def _formatted(self, value: float | None) -> str:
        unit = self.condition.quantity.unit
        return "–" if value is None else f"{self._number(value)}{' ' if unit else ''}{unit}"


def read_condition(text: str) -> Condition:
    """Read a condition.

    Parameters
    ----------
    text : str
        `[surely|possibly|measured] MEASURE OP NUMBER [%|points|nats] [in TASK or SCOPE]`; without the first word, "surely".

    Raises
    ------
    InputError
        If it has another form, or the measure is unknown or in another unit.

    Examples
    --------
    >>> condition = read_condition("possibly accuracy drop > 1 points in homo")
    >>> condition.mode, condition.quantity.name, condition.limit, condition.where
    ('possibly', 'accuracy_drop', 0.01, 'homo')
    """
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise InputError(f"--fail-if {text!r} is not a condition", expected=_FORM)
    try:
        quantity = quantity_named(found["measure"])
        limit = read_number(quantity, found["number"], found["unit"])
    except InputError as error:
        raise InputError(f"--fail-if {text!r}: {error.problem}", expected=error.expected) from None
    sign = {"≥": ">=", "≤": "<="}.get(found["sign"], found["sign"])
    mode: Any = (found["mode"] or "surely").lower()
    return Condition(" ".join(text.split()), mode, quantity, sign, limit, found["where"])


def check(conditions: Sequence[Condition], comparison: Sections) -> list[Check]:
    """Judge conditions, each on the task, scope or group that it names, else on all that the verdict is about.

    Parameters
    ----------
    conditions : sequence of Condition
    comparison : Sections
        A `Comparison`, or what has its sections.

    Returns
    -------
    list of Check
        One for each condition and section; of a condition on any of several tasks one for each task that fails, or the one
        nearest to that.

    Raises
    ------
    InputError
        If a condition names a task or scope that was not compared, or a measure that it lacks.
    """
    found: list[Check] = []
    for condition in conditions:
        several = _several(condition, comparison)
        if several:
            found += _among(condition, several, comparison)
        else:
            checks = [judged(condition, section) for section in _sections(condition, comparison)]
            tasks = () if condition.where or any(item.failed for item in checks) else _holds_in(condition, comparison)
            found += [replace(item, tasks=tasks) for item in checks]
    return found


def _holds_in(condition: Condition, comparison: Sections) -> tuple[str, ...]:
    """Of several tasks those in which a condition surely holds, by intervals that hold together."""
    tasks = [section for section in comparison.by_task.values() if condition.quantity.find(section) is not None]
    if len(tasks) < 2:
        return ()
    return tuple(item.section for item in together(condition, tasks, lambda _: "tasks") if item.outcome == "holds")


def _several(condition: Condition, comparison: Sections) -> list[Section]:
    """The tasks and groups that "any task" or a pattern names, no group beside its own tasks; none where it names one place.

    Of a condition without a place all tasks that have the quantity, where one of them is in no pool that has it.
    """
    if condition.where is None:
        has = condition.quantity.find
        pools = [pool for pool in comparison.pools if has(pool) is not None]
        unpooled = [task for task in comparison.by_task.values() if not any(_is_in(task, pool) for pool in pools)]
        if all(has(task) is None for task in unpooled):
            return []
        return [task for task in comparison.by_task.values() if has(task) is not None]
    where = condition.where
    if where.lower() in ("any task", "any"):
        return list(comparison.by_task.values())
    if not set(where) & set("*?["):
        return []
    sections = {**comparison.by_group, **comparison.by_task}
    if where in sections:
        return []
    matching = {name: section for name, section in sections.items() if fnmatchcase(name, where)}
    if not matching:
        raise InputError(
            f"--fail-if {condition.text!r}: no task or group matches {where}", expected="one of " + ", ".join(sections)
        )
    return [s for s in matching.values() if not s.tasks or not all(name in matching for name in s.tasks)]


def _is_in(task: Section, pool: Section) -> bool:
    """Whether a pool has this task: by its name, or as one with options, all of which are in the only pool that has options."""
    return task.name in (pool.tasks or (pool.name,)) or (task.compares_options and pool.compares_options)


def _among(condition: Condition, sections: list[Section], comparison: Sections) -> list[Check]:
    return together(condition, sections, lambda having: _kind(having, comparison))


def together(
    condition: Condition,
    sections: Sequence[Section],
    among: Callable[[Sequence[Section]], str],
    confidence: float | None = None,
) -> list[Check]:
    """The checks that fail among several, else the one nearest to that; all are judged so that they hold together.

    Parameters
    ----------
    condition : Condition
    sections : sequence of Section
    among : callable
        What those sections are that have such a number: "tasks".
    confidence : float, optional
        Of each interval, for all of them to hold together; by default that of Bonferroni, which is never exceeded.
    """
    found = [condition.quantity.find(section) for section in sections]
    having = [section for section, item in zip(sections, found, strict=True) if item is not None and item.n]
    if not having:
        return [judged(condition, sections[0])]
    each = 1 - 0.05 / len(having)
    each = each if confidence is None else min(each, confidence)
    checks = [
        replace(item, of=len(having), among=among(having), lacking=len(sections) - len(having))
        for item in _adjusted([judged(condition, section, each) for section in having])
    ]
    failed = [item for item in checks if item.failed]
    toward = 1 if condition.sign.startswith(">") else -1
    return failed or [
        max(checks, key=lambda item: -math.inf if item.estimate.value is None else toward * item.estimate.value)
    ]


def _adjusted(checks: list[Check]) -> list[Check]:
    """The checks of a condition; of one on a small p by the p adjusted over all of them."""
    if not checks[0].condition.on_small_p:
        return checks
    adjusted = holm([math.nan if item.estimate.value is None else item.estimate.value for item in checks]).tolist()
    estimates = [
        item.estimate if math.isnan(p) else replace(item.estimate, value=p)
        for item, p in zip(checks, adjusted, strict=True)
    ]
    return [
        replace(item, estimate=estimate, outcome=_outcome(item.condition, estimate))
        for item, estimate in zip(checks, estimates, strict=True)
    ]


def _kind(sections: Sequence[Section], comparison: Sections) -> str:
    """Whether these are tasks, groups or both."""
    own = {id(section) for section in comparison.by_task.values()}
    tasks = sum(id(section) in own for section in sections)
    return "tasks" if tasks == len(sections) else "tasks and groups" if tasks else "groups"


def _sections(condition: Condition, comparison: Sections) -> list[Section]:
    if condition.where is None:
        # Tasks without options have no distributions, and others no accuracy.
        pools = comparison.pools
        found = [condition.quantity.find(pool) for pool in pools]
        with_it = [pool for pool, item in zip(pools, found, strict=True) if item is not None and item.n]
        return with_it or [pools[0]]
    overall = {} if comparison.overall is None else {"overall": comparison.overall}
    sections = {
        **overall,
        **comparison.by_scope,
        **comparison.by_metric,
        **comparison.by_group,
        **comparison.by_task,
    }
    for name, section in sections.items():
        if name == condition.where:
            return [section]
    for name, section in comparison.by_scope.items():
        if name == condition.where.lower():
            return [section]
    lacking = "" if comparison.by_scope else "name the domain with --scopes for homo, id and ood"
    raise InputError(
        f"--fail-if {condition.text!r}: no task, group or scope {condition.where}",
        expected="one of " + ", ".join(sections),
        do=lacking or None,
    )


def judged(condition: Condition, section: Section, confidence: float = 0.95) -> Check:
    """A condition judged on one section, by an interval of this confidence.

    Raises
    ------
    InputError
        If the section lacks the measure.
    """
    found = condition.quantity.at(section, confidence)
    if found is None:
        has = ", ".join(
            [item.name.replace("_", " ") for item in QUANTITIES if item.find(section) is not None]
            + [f"metric {name} change" for name in section.metrics or ()]
        )
        raise InputError(
            f"--fail-if {condition.text!r}: {section.name} has no {condition.quantity.name.replace('_', ' ')}",
            expected=f"one of {has}",
        )
    return Check(condition, section.name, found, _outcome(condition, found), odd=section.odd_scores)


def _outcome(condition: Condition, found: Estimate) -> Outcome:
    if found.value is None:
        return "undefined"
    # Where quantiles and p have no interval, their value is all there is to judge.
    if condition.mode == "measured" or (not condition.quantity.has_interval and found.ci_low is None):
        return "holds" if condition.beyond(found.value) else "does not hold"
    if found.ci_low is None or found.ci_high is None:
        return "undefined"
    beyond = {condition.beyond(end) for end in (found.ci_low, found.ci_high)}
    if len(beyond) > 1:
        return "unclear"
    return "holds" if beyond.pop() else "does not hold"
