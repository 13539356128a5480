"""A policy judged: passed, failed or inconclusive, with the error probability that the policy states."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from consistency.comparison.budget import spend
from consistency.comparison.gaps import Reason
from consistency.comparison.noise import NoiseComparison, with_run_variance
from consistency.comparison.numbers import digits_beside
from consistency.comparison.policy import Policy, Rule
from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import holm, smallest_level
from consistency.statistics.paired_shares import greater_change, turned
from consistency.statistics.shares import larger_share
from consistency.support.text import p_equals

_MOST_NAMED = 5
# At levels far below 5 % the asymptotic p needs more answers that turn.
_MANY = 400


class Outcome(IntEnum):
    """What follows for a rule or a policy. Of several the largest counts: a failure beats doubt, and doubt a pass."""

    PASSED = 0
    INCONCLUSIVE = 1
    FAILED = 2

    @property
    def word(self) -> str:
        """As it is printed and stored."""
        return {0: "passed", 1: "inconclusive", 2: "FAILED"}[self.value]

    @property
    def exit_code(self) -> int:
        """Of the program: 0, 3 or 1; 2 is an error in the command, the policy or the logs."""
        return {0: 0, 1: 3, 2: 1}[self.value]


@dataclass(frozen=True)
class Finding:
    """A rule on one task, group or pool.

    Attributes
    ----------
    section : str
    outcome : Outcome
    reason : str
        Why it is so, where the numbers alone do not say it.
    inside : bool
        Whether the interval lies within the limits: to pass, it must, beside the test.
    estimate : Estimate or None
        With an interval of twice the level outside; each end is the one-sided bound. None where nothing was compared.
    p_harmless : float or None
        Of "the limit is reached or passed": small where it is surely kept. Of two limits the larger p.
    p_harmful : float or None
        Of "the limit is kept": small where it is surely passed. Of two limits twice the smaller p.
    p_harmful_holm : float or None
        The same, adjusted over all findings of rules that decide, or of those that do not.
    beside_noise : bool
        Whether a failure must be more than two runs of the same model show.
    p_noise : float or None
        Of "no more than that"; None where the two runs do not hold it.
    """

    section: str
    outcome: Outcome
    reason: str = ""
    estimate: Estimate | None = None
    p_harmless: float | None = None
    p_harmful: float | None = None
    p_harmful_holm: float | None = None
    beside_noise: bool = False
    p_noise: float | None = None
    inside: bool = True

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {
            "section": self.section,
            "outcome": self.outcome.word.lower(),
            "reason": self.reason,
            "estimate": None if self.estimate is None else self.estimate.to_dict(),
            "p_harmless": self.p_harmless,
            "p_harmful": self.p_harmful,
            "p_harmful_holm": self.p_harmful_holm,
            "p_noise": self.p_noise,
        }


@dataclass(frozen=True)
class RuleOutcome:
    """A rule with what was found on each of its tasks."""

    rule: Rule
    findings: tuple[Finding, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of its findings."""
        return max((finding.outcome for finding in self.findings), default=Outcome.PASSED)

    def to_text(self, confidence: float) -> str:
        """The rule, whether it is kept, and the findings that say so, the worst first."""
        rule = self.rule
        told = "" if rule.decides else ", which does not decide"
        head = f"{self.outcome.word}, rule {rule.number} ({rule.tier}{told}): {rule.statement}"
        worst = [finding for finding in self.findings if finding.outcome == self.outcome]
        worst.sort(key=lambda finding: finding.p_harmful if finding.p_harmful is not None else 0.0)
        if self.outcome is Outcome.PASSED and len(worst) > 1:
            ignored = sum(finding.estimate is None for finding in worst)
            return f"{head}: in all {len(worst) - ignored}" + (f"; {ignored} not compared, ignored" if ignored else "")
        named = "; ".join(self._found(finding, confidence) for finding in worst[:_MOST_NAMED])
        of = f" in {len(worst)} of {len(self.findings)}" if len(self.findings) > 1 else ""
        more = f"; {len(worst) - _MOST_NAMED} more" if len(worst) > _MOST_NAMED else ""
        return f"{head}{of}: {named}{more}"

    def _found(self, finding: Finding, confidence: float) -> str:
        found, rule, parts = finding.estimate, self.rule, [finding.section]
        if found is not None and found.value is not None:
            scale, unit = rule.quantity.scale, rule.quantity.unit
            # A change has its sign.
            limits = [scale * end for end in (rule.low, rule.high) if end is not None]
            numbers = [scale * x for x in (found.value, found.ci_low, found.ci_high) if x is not None]
            digits = digits_beside(limits, numbers) if scale > 1 else 4
            form = f"{'+' if rule.quantity.bounds[0] < 0 else ''}.{digits}f"
            number = f"{found.value * scale:{form}}{' ' if unit else ''}{unit}"
            if found.ci_low is not None and found.ci_high is not None:
                ends = ", ".join(f"{end * scale:{form}}" for end in (found.ci_low, found.ci_high))
                number += f", {100 * confidence:g} % interval [{ends}]"
            parts.append(number)
        if finding.outcome is Outcome.FAILED and finding.p_harmful_holm is not None:
            parts.append(f"beyond the limit, {p_equals(finding.p_harmful_holm)} (Holm)")
        elif finding.p_harmless is not None:
            parts.append(f"{p_equals(finding.p_harmless)} of reaching the limit")
        return (
            " ".join(parts[:2])
            + "".join(f", {part}" for part in parts[2:])
            + (f": {finding.reason}" if finding.reason else "")
        )


@dataclass(frozen=True)
class PolicyOutcome:
    """A policy, judged.

    Attributes
    ----------
    policy : Policy
    rules : tuple of RuleOutcome
    level_pass, level_fail : float
        The largest chance of a false pass of each limit, and of any false fail.
    check : int or None
        Of a policy with a budget: which check it was.
    """

    policy: Policy
    rules: tuple[RuleOutcome, ...]
    level_pass: float
    level_fail: float
    check: int | None = None

    @property
    def spent_out(self) -> bool:
        """Whether the budget has nothing left for this check."""
        return self.policy.budget is not None and self.level_fail == 0

    @property
    def compared(self) -> bool:
        """Whether anything that a rule that decides names was compared."""
        return any(finding.estimate for item in self.rules if item.rule.decides for finding in item.findings)

    @property
    def outcome(self) -> Outcome:
        """The worst of the rules that decide; without an error budget left, or with nothing compared, a pass decides nothing."""
        found = [item.outcome for item in self.rules if item.rule.decides]
        return max([*found, Outcome.INCONCLUSIVE if self.spent_out or not self.compared else Outcome.PASSED])

    def to_lines(self) -> list[str]:
        """A line for each rule, and the last one for the policy."""
        confidence = 1 - 2 * (self.level_pass or self.policy.alpha)
        lines = [item.to_text(confidence) for item in self.rules]
        deciding = [item for item in self.rules if item.rule.decides]
        counts = [
            f"{sum(item.outcome is outcome for item in deciding)} {outcome.word.lower()}"
            for outcome in reversed(Outcome)
        ]
        at_once = f"a false fail of any rule at most {100 * self.level_fail:.3g} % (Holm)"
        alone = f"a false pass of each limit at most {100 * self.level_pass:.3g} %"
        budget, text = self.policy.budget, f"{at_once}, {alone}"
        if budget is not None and self.spent_out:
            text = f"the budget of {budget.over} checks is spent, and nothing can be decided"
        elif budget is not None:
            text += f"; check {self.check} of {budget.over}, which together fail falsely with at most {100 * budget.alpha:g} %"
        if not self.compared:
            text = f"nothing that the rules name was compared; {text}"
        return [
            *lines,
            f"policy {self.policy.path.name}: {self.outcome.word}; rules that decide: {', '.join(counts)}; {text}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {
            "outcome": self.outcome.word.lower(),
            "exit_code": self.outcome.exit_code,
            "level_pass": self.level_pass,
            "level_fail": self.level_fail,
            "check": self.check,
            "spent_out": self.spent_out,
            "rules": [
                {
                    "number": item.rule.number,
                    "tier": item.rule.tier,
                    "decides": item.rule.decides,
                    "statement": item.rule.statement,
                    "measure": item.rule.quantity.name,
                    "low": item.rule.low,
                    "high": item.rule.high,
                    "outcome": item.outcome.word.lower(),
                    "findings": [finding.to_dict() for finding in item.findings],
                }
                for item in self.rules
            ],
            "lines": self.to_lines(),
        }


def judge(
    policy: Policy,
    comparison: Comparison,
    noise: NoiseComparison | None = None,
    *,
    noise_runs: Comparison | None = None,
) -> PolicyOutcome:
    """Judge a policy, and spend of its budget where it has one.

    Parameters
    ----------
    policy : Policy
    comparison : Comparison
    noise : NoiseComparison, optional
        What two runs of the same model show: a failure must be more than that.
    noise_runs : Comparison, optional
        Of those two runs.

    Returns
    -------
    PolicyOutcome
        It passes if every rule that decides is surely kept, each limit by a test of its own: that all of them pass needs no
        correction (intersection-union). It fails if any is surely broken, by Holm's adjustment over all of them. Otherwise it
        is inconclusive.

    Raises
    ------
    InputError
        If the ledger of the budget cannot be used.

    References
    ----------
    Berger (1982), Multiparameter hypothesis testing and acceptance sampling. Technometrics 24, 295-300.
    """
    check, level_fail, level_pass = None, policy.alpha, policy.alpha
    if policy.budget is not None:
        check, level_fail = spend(policy, comparison, noise_runs)
        level_pass = level_fail if policy.budget.of == "both" else policy.alpha
    found = [
        RuleOutcome(rule, tuple(_findings(rule, policy, comparison, noise, level_pass or policy.alpha)))
        for rule in policy.rules
    ]
    for decides in (True, False):
        _adjust(found, decides)
    rules = tuple(
        replace(item, findings=tuple(_decided(finding, level_pass, level_fail) for finding in item.findings))
        for item in found
    )
    return PolicyOutcome(policy, rules, level_pass, level_fail, check)


def _adjust(rules: list[RuleOutcome], decides: bool) -> None:
    """Adjust the p of harm over all findings of rules that decide, or of those that do not."""
    places = [
        (row, column)
        for row, item in enumerate(rules)
        for column, finding in enumerate(item.findings)
        if item.rule.decides == decides and finding.p_harmful is not None
    ]
    adjusted = holm([rules[row].findings[column].p_harmful or 0.0 for row, column in places]).tolist() if places else []
    for (row, column), p in zip(places, adjusted, strict=True):
        findings = list(rules[row].findings)
        findings[column] = replace(findings[column], p_harmful_holm=p)
        rules[row] = replace(rules[row], findings=tuple(findings))


def _decided(finding: Finding, level_pass: float, level_fail: float) -> Finding:
    """A finding with what follows from its p-values; what has none is decided already."""
    if finding.p_harmless is None or finding.p_harmful_holm is None:
        return finding
    if finding.p_harmful_holm <= level_fail:
        if not finding.beside_noise or (finding.p_noise is not None and finding.p_noise <= level_fail):
            return replace(finding, outcome=Outcome.FAILED)
        p = "" if finding.p_noise is None else f" ({p_equals(finding.p_noise)})"
        reason = f"beyond the limit, but not shown to be more than two runs of the same model show{p}"
        return replace(finding, outcome=Outcome.INCONCLUSIVE, reason=reason)
    if finding.p_harmless <= level_pass and finding.inside:
        return replace(finding, outcome=Outcome.PASSED)
    return finding


def _findings(
    rule: Rule, policy: Policy, comparison: Comparison, noise: NoiseComparison | None, level: float
) -> Iterator[Finding]:
    missing = {
        "fail": Outcome.FAILED,
        "inconclusive": Outcome.INCONCLUSIVE,
        "ignore": Outcome.PASSED,
    }[rule.missing]
    tasks: dict[str, Section | Reason] = {**comparison.not_compared, **comparison.by_task}
    groups: dict[str, Section | Reason] = {
        **({} if comparison.overall is None else {"overall": comparison.overall}),
        **comparison.by_scope,
        **comparison.by_metric,
        **comparison.by_group,
    }
    seen = set()
    kinds: tuple[tuple[tuple[str, ...], Mapping[str, Section | Reason]], ...] = (
        (rule.tasks, tasks),
        (rule.groups, groups),
    )
    for names, sections in kinds:
        for name in names:
            matching = _matching(name, sections)
            if not matching:
                yield Finding(name, missing, "not compared")
            for key, section in matching.items():
                if (id(sections), key) in seen:
                    continue
                seen.add((id(sections), key))
                if not isinstance(section, Section):
                    yield Finding(key, missing, f"not compared ({section.to_text()})")
                    continue
                found = rule.quantity.find(section)
                if found is None or not found.n:
                    yield Finding(key, missing, f"has no {rule.quantity.name.replace('_', ' ')}")
                    continue
                yield _finding(key, rule, section, found, policy, noise, level)
                yield from (Finding(key, missing, what) for what in comparison.lacks(key, section))


def _matching(name: str, sections: Mapping[str, Section | Reason]) -> dict[str, Section | Reason]:
    """The section of that name, else those that a pattern matches."""
    if name in sections:
        return {name: sections[name]}
    if not set(name) & set("*?["):
        return {}
    return {key: section for key, section in sections.items() if fnmatchcase(key, name)}


def _finding(
    name: str,
    rule: Rule,
    section: Section,
    found: Estimate,
    policy: Policy,
    noise: NoiseComparison | None,
    level: float,
) -> Finding:
    """The p-values of a rule on one section, and its interval."""
    measure = rule.quantity.name
    difference = _run_difference(name, rule, policy, noise)

    def at(confidence: float) -> Estimate:
        wide = rule.quantity.at(section, confidence) or found
        if difference is None:
            return wide
        return rule.quantity.cut(with_run_variance(wide, difference, confidence))

    shown = at(1 - 2 * level)
    if found.value is None or shown.ci_low is None or shown.ci_high is None:
        return Finding(name, Outcome.INCONCLUSIVE, f"has no interval ({found.describe()})", found)
    above, below = _one_sided(found, at)
    harmless = [above(rule.low)] if rule.low is not None else []
    harmful = [below(rule.low)] if rule.low is not None else []
    if rule.high is not None:
        harmless.append(below(rule.high))
        harmful.append(above(rule.high))
    inside = (rule.low is None or shown.ci_low > rule.low) and (rule.high is None or shown.ci_high < rule.high)
    # The interval and the exact test agree but at the border: to pass, both must.
    return Finding(
        section=name,
        outcome=Outcome.INCONCLUSIVE,
        reason="" if inside or max(harmless) > level else "the interval reaches the limit",
        estimate=shown,
        inside=inside,
        p_harmless=max(harmless),
        p_harmful=min(1.0, len(harmful) * min(harmful)),
        # An interval with the variance between runs needs no second test.
        beside_noise=noise is not None and difference is None and noise.judges(measure),
        p_noise=None if noise is None else noise.p_of(name, measure),
    )


def _run_difference(name: str, rule: Rule, policy: Policy, noise: NoiseComparison | None) -> float | None:
    """What two runs of one model differ by in accuracy, where the policy counts that."""
    if noise is None or policy.noise != "runs" or rule.quantity.name != "delta_accuracy":
        return None
    return noise.by_section[name].difference if name in noise.by_section else None


def _one_sided(
    found: Estimate, at: Callable[[float], Estimate]
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """From a limit to the p of "not above it" and of "not below it": exact where counts are, else of the interval."""
    method = at(0.9).method
    if method == "score":
        test = partial(
            greater_change,
            n=found.n,
            effective_n=found.effective_n,
            df=None if found.effective_n is None else found.df,
            doubt=1e-6,
            many=_MANY,
        )
        lost, won = turned(found)
        return (
            lambda limit: test(lost, won, change=limit),
            lambda limit: test(won, lost, change=-limit),
        )
    if method == "exact" and found.value is not None:
        count, n = round(found.value * found.n), found.n
        return lambda limit: larger_share(count, n, limit), lambda limit: larger_share(n - count, n, 1 - limit)
    return (
        lambda limit: smallest_level(lambda p: (at(1 - 2 * p).ci_low or 0.0) > limit),
        lambda limit: smallest_level(lambda p: (at(1 - 2 * p).ci_high or 0.0) < limit),
    )
