"""A team's policy: a YAML file of what a new model must keep, read and checked, but not yet judged."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, cast

from consistency.comparison.quantities import Quantity, quantity_named, read_number
from consistency.errors import InputError
from consistency.statistics.spending import SPENDINGS, Spending
from consistency.support.json_files import pretty_json
from consistency.support.yaml_files import key_lines, read_yaml

Missing = Literal["fail", "inconclusive", "ignore"]
Decision = Literal["non-inferiority", "equivalence"]
NoiseKind = Literal["questions", "runs"]
MISSING: tuple[Missing, ...] = ("fail", "inconclusive", "ignore")
DECISIONS: tuple[Decision, ...] = ("non-inferiority", "equivalence")
NOISES: tuple[NoiseKind, ...] = ("questions", "runs")
_Word = TypeVar("_Word", bound=str)
_INHERITED = ("measure", "margin", "decision", "missing")
_OF_TIER = ("decides", *_INHERITED)
_OF_RULE = ("tasks", "groups", "tier", "at_most", "at_least", *_INHERITED)
_OF_POLICY = ("alpha", "noise", "tiers", "budget", "rules", *_INHERITED)
_OF_BUDGET = ("alpha", "over", "spend", "of", "ledger")
_DEFAULTS: dict[str, Any] = {"measure": "accuracy", "decision": "non-inferiority", "missing": "fail"}
_TIERS: dict[str, dict[str, Any]] = {"blocking": {"decides": True}, "watch": {"decides": False}}
_NUMBER = re.compile(r"\s*([-+−]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(%|percent|points?|nats?)?\s*", re.IGNORECASE)
# What a margin is about: the change of this.
_CHANGES = {
    "accuracy": "delta_accuracy",
    "accuracy after": "delta_accuracy",
    "accuracy drop": "delta_accuracy",
    "gold probability": "delta_gold",
    "gold probability drop": "delta_gold",
    "margin": "delta_margin",
    "calibrated": "calibrated_change",
    "calibrated drop": "calibrated_change",
}
_DROPS = {
    "accuracy_drop": "delta_accuracy",
    "gold_probability_drop": "delta_gold",
    "calibrated_drop": "calibrated_change",
}
_SIGNED = ("delta_accuracy", "delta_gold", "delta_margin", "calibrated_change")
_EXPECTED = "a policy: rules, and alpha, measure, margin, decision, missing, noise, tiers, budget"


@dataclass(frozen=True)
class Rule:
    """What one or several tasks must keep.

    Attributes
    ----------
    number, line : int
        Its place among the rules, counted from 1, and in the file.
    tasks, groups : tuple of str
        Names or patterns of tasks; of the harness's groups, of scopes, of pools, or "overall".
    tier : str
    decides : bool
        Whether its outcome counts, or is only told.
    quantity : Quantity
    low, high : float or None
        What it must lie between, in the quantity's own numbers; None where an end does not matter.
    missing : {"fail", "inconclusive", "ignore"}
        What a task means that was not compared.
    """

    number: int
    line: int
    tasks: tuple[str, ...]
    groups: tuple[str, ...]
    tier: str
    decides: bool
    quantity: Quantity
    low: float | None
    high: float | None
    missing: Missing

    @property
    def statement(self) -> str:
        """What it asks, in words."""
        name, where = self.quantity.name.replace("_", " "), ", ".join((*self.tasks, *self.groups))
        what = {
            "delta accuracy": "accuracy",
            "delta gold": "the gold option's probability",
            "calibrated change": "accuracy without the letters' prior",
        }.get(name, name)
        low, high = (None if end is None else self.number_of(end) for end in (self.low, self.high))
        if self.quantity.name in _SIGNED and self.low is not None and self.low < 0:
            verb = "changes" if high is not None else "falls"
            return f"{what} {verb} by less than {self.number_of(-self.low)} in {where}"
        bound = f"at most {high}" if low is None else f"at least {low}" if high is None else f"{low} to {high}"
        return f"{what} {bound} in {where}"

    def number_of(self, value: float) -> str:
        """A number of the quantity in its unit."""
        unit = self.quantity.unit
        return f"{value * self.quantity.scale:g}{' ' if unit else ''}{unit}"


@dataclass(frozen=True)
class Budget:
    """An error probability that repeated checks share.

    Attributes
    ----------
    alpha : float
        What all checks together may spend.
    over : int
        How many checks.
    spend : {"even", "pocock", "obrien-fleming"}
    of : {"fails", "both"}
        Whether passes spend it too.
    ledger : Path
        The file that keeps what was spent.
    """

    alpha: float
    over: int
    spend: Spending
    of: Literal["fails", "both"]
    ledger: Path


@dataclass(frozen=True)
class Policy:
    """A policy.

    Attributes
    ----------
    path : Path
    alpha : float
        The largest chance of a false pass of each rule, and of any false fail, without a budget.
    noise : {"questions", "runs"}
        What two runs of one model differ by: single answers, or also as wholes.
    rules : tuple of Rule
    budget : Budget or None
    """

    path: Path
    alpha: float
    noise: NoiseKind
    rules: tuple[Rule, ...]
    budget: Budget | None

    @property
    def fingerprint(self) -> str:
        """Of what it asks; where the file lies and how it is laid out do not matter."""
        rules = [{**asdict(rule), "quantity": rule.quantity.name, "line": 0} for rule in self.rules]
        text = pretty_json({"alpha": self.alpha, "noise": self.noise, "rules": rules})
        return hashlib.sha256(text.encode()).hexdigest()


def read_policy(path: str | Path) -> Policy:
    r"""Read a policy.

    Parameters
    ----------
    path : path-like
        A YAML file with the keys `rules`, and if wanted `alpha`, `measure`, `margin`, `decision`, `missing`, `noise`, `tiers` and
        `budget`. A rule takes what it does not say from its tier, then from the file. A ledger is sought beside the file.

    Raises
    ------
    InputError
        If a key is unknown, a value of another kind, or a rule says too little or contradicts itself.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "gate.yaml").write_text("margin: 1 points\nrules: [{tasks: 'mmlu_*'}]")
    ...     read_policy(Path(folder, "gate.yaml")).rules[0].statement
    'accuracy falls by less than 1 points in mmlu_*'
    """
    return _Reader(Path(path)).policy()


class _Reader:
    """The values of the file, each checked, with its line where it is wrong."""

    def __init__(self, path: Path) -> None:
        self._path, self._values = path, read_yaml(path, _EXPECTED)
        self._lines = key_lines(path)

    def policy(self) -> Policy:
        values = self._mapping((), self._values, _OF_POLICY, "policy")
        tiers = self._tiers(values)
        listed = values.get("rules")
        if not isinstance(listed, list) or not listed:
            self._fail(
                ("rules",), "rules is not a list of rules" if "rules" in values else "no rules", "a list of rules"
            )
        rules = tuple(self._rule(number, item, tiers, values) for number, item in enumerate(listed))
        if not any(rule.decides for rule in rules):
            self._fail(("rules",), "no rule is of a tier that decides", "a rule of a tier with decides: true")
        return Policy(
            path=self._path,
            alpha=self._level(("alpha",), values.get("alpha", 0.05)),
            noise=self._choice(("noise",), values.get("noise", "questions"), NOISES),
            rules=rules,
            budget=self._budget(values["budget"]) if "budget" in values else None,
        )

    def _tiers(self, values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        given = values.get("tiers", {})
        if not isinstance(given, dict):
            self._fail(("tiers",), "tiers is not a mapping", "a name for each tier, such as blocking: {decides: true}")
        tiers = dict(_TIERS)
        for name, item in given.items():
            place = ("tiers", name)
            tier = self._mapping(place, item, _OF_TIER, f"tier {name}")
            if not isinstance(tier.get("decides", True), bool):
                self._fail((*place, "decides"), f"decides: {tier['decides']!r}", "true or false")
            tiers[str(name)] = {"decides": True, **tiers.get(str(name), {}), **tier}
        return tiers

    def _rule(self, index: int, item: Any, tiers: Mapping[str, dict[str, Any]], values: Mapping[str, Any]) -> Rule:
        place: tuple[str | int, ...] = ("rules", index)
        own = self._mapping(place, item, _OF_RULE, f"rule {index + 1}")
        name = own.get("tier", "blocking")
        if not isinstance(name, str) or name not in tiers:
            self._fail((*place, "tier"), f"no tier {name!r}", f"one of {', '.join(tiers)}")
        tier = tiers[name]
        # Where each value is from, for the line of a mistake.
        said: dict[str, tuple[Any, tuple[str | int, ...]]] = {k: (v, ()) for k, v in _DEFAULTS.items()}
        said |= {key: (values[key], (key,)) for key in _INHERITED if key in values}
        said |= {key: (tier[key], ("tiers", name, key)) for key in _INHERITED if key in tier}
        said |= {key: (value, (*place, key)) for key, value in own.items()}
        tasks, groups = (self._names((*place, key), own[key]) if key in own else () for key in ("tasks", "groups"))
        if not tasks and not groups:
            self._fail(place, f"rule {index + 1} names no tasks and no groups", "tasks or groups, or both")
        quantity, low, high = self._limits(index, place, own, said)
        return Rule(
            number=index + 1,
            line=self._line(place) or 1,
            tasks=tasks,
            groups=groups,
            tier=name,
            decides=tier["decides"],
            quantity=quantity,
            low=low,
            high=high,
            missing=self._choice(said["missing"][1], said["missing"][0], MISSING),
        )

    def _limits(
        self,
        index: int,
        place: tuple[str | int, ...],
        own: Mapping[str, Any],
        said: Mapping[str, tuple[Any, tuple[str | int, ...]]],
    ) -> tuple[Quantity, float | None, float | None]:
        """The measure of a rule, and what it must lie between."""
        measure, where = said["measure"]
        if not isinstance(measure, str):
            self._fail(where, f"measure: {measure!r}", "the name of a measure")
        bounded = [key for key in ("at_most", "at_least") if key in own]
        if bounded and "margin" in own:
            self._fail((*place, "margin"), f"margin and {bounded[0]} in one rule", "one of them")
        words = " ".join(measure.lower().replace("_", " ").split())
        try:
            quantity = quantity_named(words if bounded else _CHANGES.get(words, words))
        except InputError as error:
            self._fail(where, error.problem, error.expected)
        if not quantity.has_interval and quantity.name != "tie_rate_after":
            self._fail(
                where,
                f"{words} has no interval, so that no error probability of a decision is known",
                "a measure with an interval; --fail-if judges the others by their value",
            )
        if bounded:
            if "decision" in own:
                self._fail((*place, "decision"), f"decision and {bounded[0]} in one rule", "a margin for a decision")
            ends = {key: self._number((*place, key), own[key], quantity) for key in bounded}
            low, high = ends.get("at_least"), ends.get("at_most")
            if low is not None and high is not None and low >= high:
                self._fail((*place, "at_least"), "at_least is not below at_most", "at_least below at_most")
            if quantity.name in _DROPS:
                below, above = (None if end is None else -end for end in (high, low))
                return quantity_named(_DROPS[quantity.name]), below, above
            return quantity, low, high
        if quantity.name not in _SIGNED:
            self._fail(
                where,
                f"a margin of {words}",
                "at_most or at_least; a margin is for accuracy, gold probability or margin",
            )
        if "margin" not in said:
            self._fail(place, f"rule {index + 1} has no margin", "margin: the largest drop, such as 1 points")
        value, margin_place = said["margin"]
        margin = self._number(margin_place, value, quantity)
        if margin <= 0 or (quantity.scale > 1 and margin >= 0.5):
            self._fail(margin_place, f"a margin of {value}", "more than 0 and less than 50 points, such as 1 points")
        decision = self._choice(said["decision"][1], said["decision"][0], DECISIONS)
        return quantity, -margin, margin if decision == "equivalence" else None

    def _budget(self, item: Any) -> Budget:
        place = ("budget",)
        values = self._mapping(place, item, _OF_BUDGET, "budget")
        over, ledger = values.get("over"), values.get("ledger")
        if isinstance(over, bool) or not isinstance(over, int) or not 1 <= over <= 100_000:
            self._fail((*place, "over"), f"over: {over!r}", "the number of checks, such as 20")
        if not isinstance(ledger, str) or not ledger or not Path(ledger).name:
            self._fail((*place, "ledger"), f"ledger: {ledger!r}", "the file that keeps what was spent")
        return Budget(
            alpha=self._level((*place, "alpha"), values.get("alpha", 0.05)),
            over=over,
            spend=self._choice((*place, "spend"), values.get("spend", "even"), SPENDINGS),
            of=self._choice((*place, "of"), values.get("of", "fails"), ("fails", "both")),
            ledger=self._path.parent / ledger,
        )

    def _mapping(self, place: tuple[str | int, ...], item: Any, known: Iterable[str], what: str) -> dict[str, Any]:
        if not isinstance(item, dict):
            self._fail(place, f"{what} is not a mapping", f"the keys {', '.join(known)}")
        for key in item:
            if key not in known:
                self._fail((*place, key), f"unknown key {key!r} of {what}", f"one of {', '.join(known)}")
        return item

    def _names(self, place: tuple[str | int, ...], item: Any) -> tuple[str, ...]:
        listed = item if isinstance(item, list) else [item]
        if not listed or not all(isinstance(name, str) and name for name in listed):
            self._fail(place, f"{place[-1]}: {item!r}", "a name or pattern, or a list of them")
        return tuple(listed)

    def _level(self, place: tuple[str | int, ...], value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 0.5:
            self._fail(place, f"alpha: {value!r}", "a probability between 0 and 0.5, such as 0.05")
        return float(value)

    def _choice(self, place: tuple[str | int, ...], value: Any, known: tuple[_Word, ...]) -> _Word:
        if value not in known:
            self._fail(place, f"{place[-1]}: {value!r}", f"one of {', '.join(known)}")
        return cast("_Word", value)

    def _number(self, place: tuple[str | int, ...], value: Any, quantity: Quantity) -> float:
        text = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
        found = _NUMBER.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            own = f"1 {quantity.unit}" if quantity.unit else "0.5"
            self._fail(place, f"{place[-1]}: {value!r}", f"a number with its unit, such as {own}")
        try:
            return read_number(quantity, found[1], found[2])
        except InputError as error:
            self._fail(place, f"{place[-1]}: {error.problem}", error.expected)

    def _line(self, place: tuple[str | int, ...]) -> int | None:
        """The line of a place, or of the nearest one around it."""
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place)

    def _fail(self, place: tuple[str | int, ...], problem: str, expected: str | None) -> NoReturn:
        raise InputError(problem, expected=expected, path=self._path, line=self._line(place))
