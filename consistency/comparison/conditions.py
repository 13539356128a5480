"""Conditions on a comparison, such as `harmful flips > 2 %`: whether they hold, and how surely."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from consistency.comparison.result import Comparison, Section
from consistency.errors import InputError
from consistency.statistics.estimates import Estimate
from consistency.statistics.shares import share

Unit = Literal["%", "points", "nats", ""]
Mode = Literal["surely", "possibly", "measured"]
Outcome = Literal["holds", "holds not", "unclear", "undefined"]


@dataclass(frozen=True)
class Measure:
    """Something of a section that a condition may be about.

    Attributes
    ----------
    name : str
        As JSON has it, or what is derived from it.
    aliases : tuple of str
        Further names.
    unit : {"%", "points", "nats", ""}
        What its numbers may be given in. Those in % or points are fractions of 1 otherwise.
    find : callable
        From a section to its estimate; None where the section lacks it.
    """

    name: str
    aliases: tuple[str, ...]
    unit: Unit
    find: Callable[[Section], Estimate | None]

    @property
    def scale(self) -> float:
        """What turns its values into its unit."""
        return 100.0 if self.unit in ("%", "points") else 1.0


def _estimate(name: str, factor: float = 1.0) -> Callable[[Section], Estimate | None]:
    def find(section: Section) -> Estimate | None:
        found = section.estimates.get(name)
        return found.scaled(factor) if found is not None else None

    return find


def _share(name: str) -> Callable[[Section], Estimate | None]:
    """A share; of all or none of the questions, with the interval that so many allow."""

    def find(section: Section) -> Estimate | None:
        found = section.estimates.get(name)
        if found is None or found.value is None or found.se != 0:
            return found
        wilson = share(round(found.value * found.n), found.n)
        return replace(found, ci_low=wilson.ci_low, ci_high=wilson.ci_high)

    return find


def _change(factor: float = 1.0) -> Callable[[Section], Estimate | None]:
    """The change of accuracy; where no answer turned at all, with the interval that so many questions allow."""

    def find(section: Section) -> Estimate | None:
        found = section.estimates["delta_accuracy"].scaled(factor)
        if found.value != 0 or found.se != 0:
            return found
        # A share of c turned answers leaves n of n unturned with a probability of (1 - c)^n.
        most = 1 - 0.025 ** (1 / found.n)
        return replace(found, ci_low=-most, ci_high=most, estimator="no answer turned, exact interval")

    return find


def _count(*path: str) -> Callable[[Section], Estimate | None]:
    """A number without an interval."""

    def find(section: Section) -> Estimate | None:
        found: Any = section.counts
        for key in path:
            if not isinstance(found, Mapping) or key not in found:
                return None
            found = found[key]
        return Estimate(found, None, None, None, section.n, "no interval")

    return find


MEASURES = (
    Measure("harmful_flips", (), "%", _estimate("harmful_flips")),
    Measure("beneficial_flips", (), "%", _estimate("beneficial_flips")),
    Measure("wrong_to_wrong_flips", ("wrong to wrong",), "%", _estimate("wrong_to_wrong_flips")),
    Measure("accuracy_drop", (), "points", _change(-1.0)),
    Measure("delta_accuracy", ("accuracy change", "accuracy rise"), "points", _change()),
    Measure("accuracy_before", (), "%", _share("accuracy_before")),
    Measure("accuracy_after", ("accuracy",), "%", _share("accuracy_after")),
    Measure("same_top", ("same answer", "same answers"), "%", _share("same_top")),
    Measure("kl", ("kl divergence",), "nats", _estimate("kl")),
    Measure("kl_reverse", ("reverse kl",), "nats", _estimate("kl_reverse")),
    Measure("js", ("js divergence",), "nats", _estimate("js")),
    Measure("total_variation", (), "", _estimate("total_variation")),
    Measure("hellinger", (), "", _estimate("hellinger")),
    Measure("cosine", (), "", _estimate("cosine")),
    Measure("spearman", ("rank correlation", "ranking correlation", "rank r"), "", _estimate("spearman")),
    Measure("spearman_paper", (), "", _estimate("spearman_paper")),
    Measure("tau_b", ("kendall tau", "kendall's tau"), "", _estimate("tau_b")),
    Measure("weighted_tau", (), "", _estimate("weighted_tau")),
    Measure("delta_gold", ("gold probability change",), "points", _estimate("delta_gold")),
    Measure("gold_probability_drop", (), "points", _estimate("delta_gold", -1.0)),
    Measure("rms_delta_gold", (), "points", _estimate("rms_delta_gold")),
    Measure("delta_margin", ("margin change",), "nats", _estimate("delta_margin")),
    Measure("delta_entropy", ("entropy change",), "nats", _estimate("delta_entropy")),
    Measure("brier_before", (), "", _estimate("brier_before")),
    Measure("brier_after", ("brier",), "", _estimate("brier_after")),
    Measure("ece_before", (), "%", _count("ece", "before")),
    Measure("ece_after", ("ece", "calibration error"), "%", _count("ece", "after")),
    Measure("kl_p95", (), "nats", _count("kl_quantiles", "p95")),
    Measure("kl_p99", (), "nats", _count("kl_quantiles", "p99")),
    Measure("tie_rate_after", ("tie rate",), "%", _count("tie_rate", "after")),
    Measure("mcnemar_p", (), "", _count("mcnemar_p")),
    Measure("sign_flip_p", (), "", _count("sign_flip_p")),
    Measure("equivalence_p", (), "", _count("equivalence_p")),
)
_NAMES = {name.replace("_", " "): measure for measure in MEASURES for name in (measure.name.lower(), *measure.aliases)}
_FORM = "[surely|possibly|measured] MEASURE >|>=|<|<= NUMBER [%|points|nats] [in TASK or SCOPE]"
_PATTERN = re.compile(
    r"\s*(?:(?P<mode>surely|possibly|measured)\s+)?(?P<measure>[a-z][a-z0-9_' ]*?)\s*(?P<sign>>=|<=|>|<|≥|≤)\s*"
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
    text : str
        As it was given.
    mode : {"surely", "possibly", "measured"}
        What must lie beyond the limit: all of the 95 % interval, any of it, or the measured value.
    measure : Measure
    sign : {">", ">=", "<", "<="}
    limit : float
        In the measure's own numbers: fractions of 1, nats.
    where : str or None
        A task or scope; None for what the verdict is about.
    """

    text: str
    mode: Mode
    measure: Measure
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
    condition : Condition
    section : str
        Task, scope or "overall".
    estimate : Estimate
        In the measure's own numbers.
    outcome : {"holds", "holds not", "unclear", "undefined"}
        "unclear": the limit lies within the interval. "undefined": there is no value, or no interval where one is needed.
    """

    condition: Condition
    section: str
    estimate: Estimate
    outcome: Outcome

    @property
    def failed(self) -> bool:
        """Whether the gate closes: the condition holds, may hold where that is enough, or cannot be judged."""
        return self.outcome in ("holds", "undefined") or (
            self.outcome == "unclear" and self.condition.mode == "possibly"
        )

    def to_text(self) -> str:
        """The condition, what was found, and what follows from it."""
        found, condition = self.estimate, self.condition
        said = f"{condition.text}: {self.section}, {self._told(found.value)}"
        if found.ci_low is not None and found.ci_high is not None:
            said += f" [{self._number(found.ci_low)}, {self._number(found.ci_high)}]"
        if found.undefined:
            said += f" without {found.undefined} of {found.undefined + found.n} questions, which have no finite value"
        if self.outcome == "undefined":
            lacking = "has no value" if found.value is None else f"has no interval ({found.estimator})"
            return f"FAILED, {said}: {lacking}, and what cannot be judged does not pass"
        if self.outcome == "unclear":
            if condition.mode == "possibly":
                return f"FAILED, {said}: the interval reaches beyond the limit"
            return f"passed, {said}: not shown and not excluded, since the limit lies within the interval"
        return f"{'FAILED' if self.failed else 'passed'}, {said}"

    def _number(self, value: float) -> str:
        return f"{value * self.condition.measure.scale:.{2 if self.condition.measure.scale > 1 else 4}f}"

    def _told(self, value: float | None) -> str:
        unit = self.condition.measure.unit
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
    >>> condition.mode, condition.measure.name, condition.limit, condition.where
    ('possibly', 'accuracy_drop', 0.01, 'homo')
    """
    found = _PATTERN.fullmatch(text)
    if found is None:
        raise InputError(f"--fail-if {text!r} is no condition", expected=_FORM)
    name = " ".join(found["measure"].lower().replace("_", " ").split())
    if name not in _NAMES:
        known = ", ".join(measure.name.replace("_", " ") for measure in MEASURES)
        raise InputError(f"--fail-if {text!r}: no measure {name!r}", expected=f"one of {known}")
    measure, number = _NAMES[name], float(found["number"].replace("−", "-"))
    if not math.isfinite(number):
        raise InputError(f"--fail-if {text!r}: {found['number']} is no finite number", expected=_FORM)
    unit = (found["unit"] or "").lower()
    unit = _UNITS.get(unit, unit)
    if unit not in ("", measure.unit):
        own = f"a number in {measure.unit}" if measure.unit else "a number without a unit"
        raise InputError(f"--fail-if {text!r}: {name} is not in {unit}", expected=own)
    # "> 1" may mean a hundredth or the whole.
    if not unit and measure.scale > 1 and abs(number) >= 1:
        raise InputError(
            f"--fail-if {text!r}: {number:g} of a fraction of 1",
            expected=f"{number:g} {measure.unit}, or {number / measure.scale:g}",
        )
    sign = {"≥": ">=", "≤": "<="}.get(found["sign"], found["sign"])
    mode: Any = (found["mode"] or "surely").lower()
    limit = number / measure.scale if unit else number
    return Condition(" ".join(text.split()), mode, measure, sign, limit, found["where"])


def check(conditions: Sequence[Condition], comparison: Comparison) -> list[Check]:
    """Judge conditions.

    Parameters
    ----------
    conditions : sequence of Condition
    comparison : Comparison

    Returns
    -------
    list of Check

    Raises
    ------
    InputError
        If a condition names a task or scope that was not compared, or a measure that tasks without options lack.
    """
    return [_check(condition, _section(condition, comparison)) for condition in conditions]


def _section(condition: Condition, comparison: Comparison) -> Section:
    if condition.where is None:
        if comparison.overall is None and len(comparison.by_task) > 1:
            raise InputError(
                f"--fail-if {condition.text!r}: tasks without options are not pooled",
                expected=f"{condition.text} in one of {', '.join(comparison.by_task)}",
            )
        return comparison.main
    overall = {} if comparison.overall is None else {"overall": comparison.overall}
    sections = {**overall, **comparison.by_scope, **comparison.by_task}
    for name, section in sections.items():
        if name == condition.where:
            return section
    for name, section in comparison.by_scope.items():
        if name == condition.where.lower():
            return section
    lacking = "" if comparison.by_scope else "name the domain with --scopes for homo, id and ood"
    raise InputError(
        f"--fail-if {condition.text!r}: no task or scope {condition.where}",
        expected="one of " + ", ".join(sections),
        do=lacking or None,
    )


def _check(condition: Condition, section: Section) -> Check:
    found = condition.measure.find(section)
    if found is None:
        has = ", ".join(measure.name.replace("_", " ") for measure in MEASURES if measure.find(section) is not None)
        raise InputError(
            f"--fail-if {condition.text!r}: {section.name} has no {condition.measure.name.replace('_', ' ')}",
            expected=f"one of {has}",
        )
    return Check(condition, section.name, found, _outcome(condition, found))


def _outcome(condition: Condition, found: Estimate) -> Outcome:
    if found.value is None:
        return "undefined"
    # Calibration errors, quantiles and p have no interval: their value is all there is to judge.
    if condition.mode == "measured" or found.estimator == "no interval":
        return "holds" if condition.beyond(found.value) else "holds not"
    if found.ci_low is None or found.ci_high is None:
        return "undefined"
    beyond = {condition.beyond(end) for end in (found.ci_low, found.ci_high)}
    if len(beyond) > 1:
        return "unclear"
    return "holds" if beyond.pop() else "holds not"
