"""Conditions on a comparison, such as `harmful flips > 2 %`: whether they hold, and how surely."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.errors import InputError
from consistency.metrics.measures import MEASURES, Measure, Unit
from consistency.statistics.calibration import within_bounds
from consistency.statistics.estimates import Estimate, at_confidence, without_interval
from consistency.statistics.shares import clopper_pearson
from consistency.statistics.tails import allowing_unseen

Mode = Literal["surely", "possibly", "measured"]
Outcome = Literal["holds", "does not hold", "unclear", "undefined"]


@dataclass(frozen=True)
class Quantity:
    """A number of a section that a condition may be about.

    Attributes
    ----------
    name : str
        Of a measure, or of what is derived from one.
    aliases : tuple of str
        Further names.
    unit : {"%", "points", "nats", ""}
        What its numbers may be given in. Those in % or points are fractions of 1 otherwise.
    find : callable
        From a section to its estimate; None where the section lacks it.
    has_interval : bool
        Whether it is an estimate; quantiles and p-values have no interval, and shares of ties only where questions are the
        unit.
    bounds : tuple of float
        Its smallest and largest possible value.
    """

    name: str
    aliases: tuple[str, ...]
    unit: Unit
    find: Callable[[Section], Estimate | None]
    has_interval: bool = True
    bounds: tuple[float, float] = (-math.inf, math.inf)

    @property
    def scale(self) -> float:
        """The factor from its values to its unit."""
        return 100.0 if self.unit in ("%", "points") else 1.0


def _of_measure(measure: Measure) -> Callable[[Section], Estimate | None]:
    def find(section: Section) -> Estimate | None:
        return section.estimates.get(measure.name)

    return find


def _less(find: Callable[[Section], Estimate | None]) -> Callable[[Section], Estimate | None]:
    """The same estimate with the other sign."""

    def negated(section: Section) -> Estimate | None:
        found = find(section)
        return None if found is None else found.scaled(-1.0)

    return negated


def _of_calibration(when: str) -> Callable[[Section], Estimate | None]:
    def find(section: Section) -> Estimate | None:
        return None if section.ece_debiased is None else section.ece_debiased[when]

    return find


def _number(
    name: str, unit: Unit, field: str, key: str = "", aliases: tuple[str, ...] = (), always: bool = False
) -> Quantity:
    """A number without an interval: a field of a section, or what the field holds by a key."""

    def find(section: Section) -> Estimate | None:
        found = getattr(section, field)
        if key and found is not None:
            return without_interval(found[key], section.n)
        # Where it is known which answers are right, a test without a result is undefined, not absent.
        absent = found is None and not always and (key or section.flips is None)
        return None if absent else without_interval(found, section.n)

    return Quantity(name, aliases, unit, find, has_interval=False)


def _tie_rate(section: Section) -> Estimate | None:
    """The share of questions with tied options after; with its exact interval where questions are the unit."""
    if section.ties is None:
        return None
    found = without_interval(section.ties["after"] / section.n, section.n, statistic="share")
    right = section.estimates["accuracy_after"]
    return exact_share(found) if right.unit == "question" and section.weighting is None else found


def exact_share(found: Estimate, confidence: float = 0.95) -> Estimate:
    """A share of a count with Clopper and Pearson's interval, by which conditions and policies judge it."""
    if found.value is None:
        return found
    share = clopper_pearson(round(found.value * found.n), found.n, confidence)
    return replace(found, ci_low=share.ci_low, ci_high=share.ci_high, method="exact")


_FIND = {measure.name: _of_measure(measure) for measure in MEASURES}
QUANTITIES = (
    *(Quantity(m.name, (m.title.lower(), *m.aliases), m.unit, _FIND[m.name], bounds=m.bounds) for m in MEASURES),
    Quantity("accuracy_drop", (), "points", _less(_FIND["delta_accuracy"]), bounds=(-1.0, 1.0)),
    Quantity("gold_probability_drop", (), "points", _less(_FIND["delta_gold"]), bounds=(-1.0, 1.0)),
    Quantity("ece_before", (), "%", _of_calibration("before")),
    Quantity("ece_after", ("ece", "calibration error"), "%", _of_calibration("after")),
    Quantity("ece_change", ("delta ece",), "points", _of_calibration("delta")),
    _number("kl_p95", "nats", "kl_quantiles", "p95"),
    _number("kl_p99", "nats", "kl_quantiles", "p99"),
    Quantity("tie_rate_after", ("tie rate",), "%", _tie_rate, has_interval=False),
    _number("mcnemar_p", "", "mcnemar_p"),
    _number("sign_flip_p", "", "sign_flip_p"),
    _number("equivalence_p", "", "equivalence_p", always=True),
)
_NAMES = {name.replace("_", " "): item for item in QUANTITIES for name in (item.name.lower(), *item.aliases)}
_FORM = (
    "[surely|possibly|measured] MEASURE >|>=|<|<= NUMBER [%|points|nats] [in TASK, GROUP, SCOPE, any task or PATTERN*]"
)
_PATTERN = re.compile(
    r"\s*(?:(?P<mode>surely|possibly|measured)\s+)?(?P<measure>[^\s<>=≥≤][^<>=≥≤]*?)\s*(?P<sign>>=|<=|>|<|≥|≤)\s*"
    r"(?P<number>[-+−]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(?P<unit>%|percent|points?|nats?)?"
    r"(?:\s+in\s+(?P<where>\S.*?))?\s*",
    re.IGNORECASE,
)
_UNITS = {"percent": "%", "point": "points", "nat": "nats"}


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
        Among how many tasks it was the one that is told. The interval then holds for all of them together (Bonferroni).
    estimate : Estimate
        In the quantity's own numbers.
    outcome : {"holds", "does not hold", "unclear", "undefined"}
        "unclear": the limit lies within the interval. "undefined": there is no value, or no interval where one is needed.
    """

    condition: Condition
    section: str
    estimate: Estimate
    outcome: Outcome
    of: int = 1

    @property
    def failed(self) -> bool:
        """Whether the check fails: the condition holds, may hold where that is enough, or cannot be evaluated."""
        return self.outcome in ("holds", "undefined") or (
            self.outcome == "unclear" and self.condition.mode == "possibly"
        )

    def to_text(self) -> str:
        """The condition, what was found, and what follows from it."""
        found, condition = self.estimate, self.condition
        among = f" (of {self.of} tasks, intervals for all together)" if self.of > 1 else ""
        text = f"{condition.text}: {self.section}{among}, {self._formatted(found.value)}"
        if found.ci_low is not None and found.ci_high is not None:
            text += f" [{self._number(found.ci_low)}, {self._number(found.ci_high)}]"
            text += " exact (Clopper–Pearson)" if found.method == "exact" else ""
        if found.undefined:
            text += f" without {found.undefined} of {found.undefined + found.n} questions, which have no finite value"
        if self.outcome == "undefined":
            lacking = "has no value" if found.value is None else f"has no interval ({found.describe()})"
            return f"FAILED, {text}: {lacking}, and a condition that cannot be evaluated fails"
        if self.outcome == "unclear":
            if condition.mode == "possibly":
                return f"FAILED, {text}: the interval reaches beyond the limit"
            return f"passed, {text}: undecided, since the limit lies within the interval"
        return f"{'FAILED' if self.failed else 'passed'}, {text}"

    def _number(self, value: float) -> str:
        return f"{value * self.condition.quantity.scale:.{2 if self.condition.quantity.scale > 1 else 4}f}"

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


def quantity_named(text: str) -> Quantity:
    """The quantity of a name, in any case, with spaces or underscores.

    Raises
    ------
    InputError
        If there is none.
    """
    name = " ".join(text.lower().replace("_", " ").split())
    if name not in _NAMES:
        raise InputError(
            f"no measure {name!r}", expected=f"one of {', '.join(item.name.replace('_', ' ') for item in QUANTITIES)}"
        )
    return _NAMES[name]


def read_number(quantity: Quantity, number: str, unit: str | None) -> float:
    """A number of a quantity, with its unit or as a fraction of 1, in the quantity's own numbers.

    Raises
    ------
    InputError
        If it is not finite, in another unit, or not clearly a fraction of 1.
    """
    value, given = float(number.replace("−", "-")), (unit or "").lower()
    if not math.isfinite(value):
        raise InputError(f"{number} is not a finite number", expected="a number")
    given = _UNITS.get(given, given)
    if given not in ("", quantity.unit):
        own = f"a number in {quantity.unit}" if quantity.unit else "a number without a unit"
        raise InputError(f"{quantity.name.replace('_', ' ')} is not in {given}", expected=own)
    # "> 1" may mean a hundredth or the whole.
    if not given and quantity.scale > 1 and abs(value) >= 1:
        own = f'"{value:g} {quantity.unit}" or {value / quantity.scale:g}'
        raise InputError(f"{value:g} is not a fraction of 1", expected=own)
    return value / quantity.scale if given else value


def check(conditions: Sequence[Condition], comparison: Comparison) -> list[Check]:
    """Judge conditions, each on the task, scope or group that it names, else on all that the verdict is about.

    Parameters
    ----------
    conditions : sequence of Condition
    comparison : Comparison

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
            found += _among(condition, several)
        else:
            found += [_check(condition, section) for section in _sections(condition, comparison)]
    return found


def _several(condition: Condition, comparison: Comparison) -> list[Section]:
    """The tasks and groups that "any task" or a pattern names; none where it names one place."""
    where = condition.where or ""
    if where.lower() in ("any task", "any"):
        return list(comparison.by_task.values())
    if not set(where) & set("*?["):
        return []
    sections = {**comparison.by_group, **comparison.by_task}
    if where in sections:
        return []
    matching = [section for name, section in sections.items() if fnmatchcase(name, where)]
    if not matching:
        raise InputError(
            f"--fail-if {condition.text!r}: no task or group matches {where}", expected="one of " + ", ".join(sections)
        )
    return matching


def _among(condition: Condition, sections: list[Section]) -> list[Check]:
    """The checks that fail among several, else the one nearest to that; each interval is wide enough for all together."""
    confidence = 1 - 0.05 / len(sections)
    found = [condition.quantity.find(section) for section in sections]
    having = [section for section, item in zip(sections, found, strict=True) if item is not None and item.n]
    checks = [replace(_check(condition, section, confidence), of=len(sections)) for section in having or sections[:1]]
    failed = [item for item in checks if item.failed]
    toward = 1 if condition.sign.startswith(">") else -1
    return failed or [
        max(checks, key=lambda item: -math.inf if item.estimate.value is None else toward * item.estimate.value)
    ]


def _at_confidence(section: Section, confidence: float) -> Section:
    """A section whose intervals have another confidence, and shares of counts the exact ones."""
    estimates = {name: judged(found, section, confidence) for name, found in section.estimates.items()}
    calibration = section.ece_debiased and {
        when: within_bounds(at_confidence(found, confidence)) for when, found in section.ece_debiased.items()
    }
    return replace(section, estimates=estimates, ece_debiased=calibration)


def judged(found: Estimate, section: Section, confidence: float = 0.95) -> Estimate:
    """An estimate of a section with the interval by which it is judged.

    Parameters
    ----------
    found : Estimate
        With a 95 % interval.
    section : Section
        Where it is from.
    confidence : float

    Returns
    -------
    Estimate
        Of a share of a count whose questions are the unit with Clopper and Pearson's interval, else with the same one made wider
        or narrower.
    """
    if found.method in ("wilson", "exact") and found.effective_n is None:
        return exact_share(found, confidence)
    return found if confidence == 0.95 else section.at_confidence(found, confidence)


def _sections(condition: Condition, comparison: Comparison) -> list[Section]:
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


def _check(condition: Condition, section: Section, confidence: float = 0.95) -> Check:
    found = condition.quantity.find(_at_confidence(section, confidence))
    if found is None:
        has = ", ".join(item.name.replace("_", " ") for item in QUANTITIES if item.find(section) is not None)
        raise InputError(
            f"--fail-if {condition.text!r}: {section.name} has no {condition.quantity.name.replace('_', ' ')}",
            expected=f"one of {has}",
        )
    if found.method == "exact":  # a share of ties, which is no estimate of the section
        found = exact_share(found, confidence)
    # An interval that rare questions could leave says nothing surely: it is made as long as they could make it.
    low, high = condition.quantity.bounds
    found = allowing_unseen(found, low, high, confidence)
    if found.ci_low is not None and found.ci_high is not None:
        found = replace(found, ci_low=max(found.ci_low, low), ci_high=min(found.ci_high, high))
    return Check(condition, section.name, found, _outcome(condition, found))


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
