"""A policy: what a mistake in it says, what it decides, with which error rates, and what its budget keeps."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, binomtest, multinomial, t
from statsmodels.stats.multitest import multipletests

from consistency.comparison.budget import spend
from consistency.comparison.compare import compare
from consistency.comparison.decision import Outcome, PolicyOutcome, judge
from consistency.comparison.pairing import PairingReport
from consistency.comparison.policy import Policy, read_policy
from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.errors import InputError
from consistency.statistics.paired_shares import greater_change, paired_change
from consistency.statistics.shares import clopper_pearson, larger_share, rate
from consistency.statistics.spending import SPENDINGS, spent

Write = Callable[..., list[Path]]


@pytest.fixture
def logs(tmp_path: Path, write_probe: Callable[..., Path]) -> Write:
    """Write two runs of tasks of n questions each; of each task so many right answers turn wrong, so many wrong ones right."""

    def write(turned: dict[str, tuple[int, int]], n: int = 400, name: str = "a") -> list[Path]:
        folders = [tmp_path / f"{name}-{when}" for when in ("before", "after")]
        right, wrong = [-0.1, -2.0], [-2.0, -0.1]
        documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(n)]
        for task, (lost, won) in turned.items():
            before = [right] * (n - won) + [wrong] * won
            after = [wrong] * lost + [right] * (n - lost)
            for folder, scores in zip(folders, (before, after), strict=True):
                write_probe(folder, documents, scores, task)
        return folders

    return write


@pytest.fixture
def policy(tmp_path: Path) -> Callable[[str], Policy]:
    def read(text: str) -> Policy:
        (tmp_path / "gate.yaml").write_text(text)
        return read_policy(tmp_path / "gate.yaml")

    return read


def counted(counts: dict[str, tuple[int, int, int]], template: Comparison) -> Comparison:
    """A comparison of tasks of which so many answers of n turn each way."""
    sections = {
        name: Section(
            name=name,
            n=n,
            estimates={
                "delta_accuracy": paired_change(lost, won, n),
                "harmful_flips": rate([1.0] * lost + [0.0] * (n - lost)),
            },
            pairing=PairingReport(n),
            equivalence_p=None,
            minimum_detectable_change=None,
            flips={"harmful": lost, "beneficial": won, "wrong_to_wrong": 0},
        )
        for name, (lost, won, n) in counts.items()
    }
    return replace(template, by_task=sections, items={name: {"doc_id": np.array(x)} for name, x in counts.items()})


@pytest.fixture
def template(logs: Write) -> Comparison:
    return compare(*logs({"a": (1, 1)}, 20, "template"))


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("rules: []", 1, "rules is not a list of rules"),
        ("alpha: 0.05", None, "no rules"),
        ("- 1", None, "policy is not a mapping"),
        ("margin: 1 points\nrules:\n- {task: a}", 3, "unknown key 'task' of rule 1"),
        ("margin: 1 points\nrules:\n- {tier: watch}", 3, "names no tasks and no groups"),
        ("rules:\n- tasks: a", 2, "rule 1 has no margin"),
        ("margin: 1\nrules: [{tasks: a}]", 1, '1 is not a fraction of 1; expected "1 points" or 0.01'),
        ("margin: 1 %\nrules: [{tasks: a}]", 1, "delta accuracy is not in %"),
        ("margin: 0\nrules: [{tasks: a}]", 1, "a margin of 0"),
        ("margin: 60 points\nrules: [{tasks: a}]", 1, "a margin of 60 points"),
        ("margin: true\nrules: [{tasks: a}]", 1, "margin: True"),
        ("margin: 1 points\nalpha: 5\nrules: [{tasks: a}]", 2, "alpha: 5"),
        ("margin: 1 points\nrules:\n- tasks: a\n  tier: red", 4, "no tier 'red'; expected one of blocking, watch"),
        ("margin: 1 points\nrules:\n- tasks: a\n  tier: watch", 2, "no rule is of a tier that decides"),
        ("rules:\n- tasks: a\n  measure: kl\n  margin: 1 nats", 3, "a margin of kl"),
        ("rules:\n- tasks: a\n  measure: mcnemar p\n  at_most: 0.5", 3, "has no interval"),
        ("rules:\n- tasks: a\n  measure: flops\n  at_most: 0.5", 3, "no measure 'flops'"),
        ("rules:\n- tasks: a\n  at_most: 2 %\n  margin: 1 points", 4, "margin and at_most in one rule"),
        ("rules:\n- tasks: a\n  at_most: 2 %\n  at_least: 3 %", 4, "at_least is not below at_most"),
        ("rules:\n- tasks: a\n  measure: kl\n  at_most: -1 nats", 4, "kl is never -1; expected 0 or more nats"),
        ("rules:\n- tasks: a\n  at_least: 150 %", 3, "is never 150; expected 0 to 100 %"),
        ("rules:\n- tasks: a\n  at_most: 2 %\n  decision: equivalence", 4, "decision and at_most in one rule"),
        (
            "margin: 1 points\nmissing: maybe\nrules: [{tasks: a}]",
            2,
            "missing: 'maybe'; expected one of fail, inconclusive",
        ),
        ("margin: 1 points\ntiers: {x: {decides: 3}}\nrules: [{tasks: a}]", 2, "decides: 3"),
        ("margin: 1 points\nrules: [{tasks: [1]}]", 2, "tasks: [1]"),
        ("margin: 1 points\nbudget: {over: 0, ledger: x}\nrules: [{tasks: a}]", 2, "over: 0"),
        ("margin: 1 points\nbudget: {over: 20}\nrules: [{tasks: a}]", 2, "ledger: None"),
        ("margin: 1 points\nmargin: 2 points\nrules: [{tasks: a}]", 2, "duplicate key margin"),
        ("a: &a [*a]\nrules: [{tasks: a}]", 1, "an alias within the value that it stands for"),
    ],
)
def test_a_mistake_in_a_policy_is_one_message_with_its_line(policy, text: str, line: int | None, problem: str) -> None:
    with pytest.raises(InputError) as error:
        policy(text)
    assert problem in str(error.value)
    assert error.value.line == line
    assert len(str(error.value).splitlines()) == 1


def test_a_rule_takes_from_its_tier_then_from_the_file(policy) -> None:
    found = policy(
        "margin: 1 points\ndecision: equivalence\n"
        "tiers: {watch: {decides: false, margin: 2 points}, strict: {margin: 0.5 points, decision: non-inferiority}}\n"
        "rules: [{tasks: a}, {tasks: b, tier: watch}, {tasks: c, tier: strict}, {tasks: d, tier: strict, margin: 0.03},\n"
        "  {tasks: e, measure: accuracy, at_least: 60 %}, {tasks: f, measure: accuracy drop, at_most: 1 points}]"
    )
    limits = [(rule.low, rule.high, rule.decides) for rule in found.rules]
    assert limits == [
        (-0.01, 0.01, True),
        (-0.02, 0.02, False),
        (-0.005, None, True),
        (-0.03, None, True),
        (0.6, None, True),
        (-0.01, None, True),
    ]
    assert [rule.quantity.name for rule in found.rules[-2:]] == ["accuracy_after", "delta_accuracy"]


@pytest.mark.parametrize(
    ("turned", "rules", "code"),
    [
        ({"a": (0, 0), "b": (0, 0)}, "[{tasks: '*'}]", 0),
        ({"a": (0, 0), "b": (60, 0)}, "[{tasks: '*'}]", 1),
        ({"a": (6, 0), "b": (0, 0)}, "[{tasks: '*'}]", 3),
        ({"a": (6, 0), "b": (60, 0)}, "[{tasks: a}, {tasks: b}]", 1),
        ({"a": (0, 0), "b": (60, 0)}, "[{tasks: a}, {tasks: b, tier: watch}]", 0),
        ({"a": (0, 0)}, "[{tasks: [a, c]}]", 1),
        ({"a": (0, 0)}, "[{tasks: a}, {tasks: c, missing: inconclusive}]", 3),
        ({"a": (0, 0)}, "[{tasks: a}, {groups: 'mm*', missing: ignore}]", 0),
        ({"a": (0, 0)}, "[{tasks: 'mm*', missing: ignore}]", 3),
        ({"a": (0, 0)}, "[{tasks: a, tier: watch}, {tasks: 'mm*', missing: ignore}]", 3),
        ({"a": (0, 60)}, "[{tasks: a}]", 0),
        ({"a": (0, 60)}, "[{tasks: a, decision: equivalence}]", 1),
        ({"a": (0, 0)}, "[{tasks: a, measure: harmful flips, at_most: 1 %}]", 0),
        ({"a": (20, 20)}, "[{tasks: a, measure: harmful flips, at_most: 1 %}]", 1),
        ({"a": (20, 20)}, "[{groups: overall, measure: same answers, at_least: 99 %}]", 1),
    ],
)
def test_what_a_policy_decides(
    logs: Write, policy, call, tmp_path: Path, turned: dict[str, tuple[int, int]], rules: str, code: int
) -> None:
    policy(f"margin: 2 points\nrules: {rules}")
    found, out, err = call("compare", *logs(turned), "--policy", tmp_path / "gate.yaml", "--json", tmp_path / "x.json")
    stored = json.loads((tmp_path / "x.json").read_text())["policy"]
    word = {0: "passed", 1: "FAILED", 3: "inconclusive"}[code]
    assert (found, stored["exit_code"], stored["outcome"]) == (code, code, word.lower())
    assert out.splitlines()[-len(stored["lines"]) :] == stored["lines"]
    assert stored["lines"][-1].startswith(f"policy gate.yaml: {word}")
    assert len(stored["lines"]) == len(stored["rules"]) + 1
    assert (err == "") == (code == 0)


def test_a_failure_beats_doubt_whatever_says_it(logs: Write, policy, call, tmp_path: Path) -> None:
    policy("margin: 2 points\nrules: [{tasks: a}]")
    folders = logs({"a": (6, 0)})
    arguments = ("compare", *folders, "--policy", tmp_path / "gate.yaml")
    assert call(*arguments)[0] == 3
    assert call(*arguments, "--fail-if", "measured harmful flips > 1 %")[0] == 1
    assert call(*arguments, "--policy", tmp_path / "none.yaml")[0] == 2
    markdown = call(*arguments, "--format", "github")[1]
    assert "❔ policy gate.yaml: inconclusive" in markdown
    assert max(Outcome) is Outcome.FAILED
    assert {item: item.exit_code for item in Outcome} == {
        Outcome.PASSED: 0,
        Outcome.INCONCLUSIVE: 3,
        Outcome.FAILED: 1,
    }


def test_the_numbers_behind_a_decision_are_those_of_scipy_and_statsmodels(policy, template: Comparison) -> None:
    counts = {"a": (9, 3, 300), "b": (30, 2, 300), "c": (14, 2, 300)}
    found = judge(policy("measure: harmful flips\nrules: [{tasks: '*', at_most: 4 %}]"), counted(counts, template))
    findings = {item.section: item for item in found.rules[0].findings}
    harmful = [binomtest(lost, n, 0.04, alternative="greater").pvalue for lost, _, n in counts.values()]
    harmless = [binomtest(lost, n, 0.04, alternative="less").pvalue for lost, _, n in counts.values()]
    adjusted = multipletests(harmful, method="holm")[1]
    for (name, (lost, _, n)), bad, good, holm in zip(counts.items(), harmful, harmless, adjusted, strict=True):
        item = findings[name]
        assert (item.p_harmful, item.p_harmless, item.p_harmful_holm) == pytest.approx((bad, good, holm))
        ends = binomtest(lost, n).proportion_ci(0.9, method="exact")
        assert item.estimate is not None
        assert (item.estimate.ci_low, item.estimate.ci_high) == pytest.approx((ends.low, ends.high))
    assert findings["b"].outcome is Outcome.FAILED


def test_a_measure_with_a_t_interval_is_tested_by_it(logs: Write, policy) -> None:
    comparison = compare(*logs({"a": (90, 20)}))
    found = judge(policy("rules: [{tasks: a, measure: brier after, at_most: 0.5}]"), comparison)
    (item,) = found.rules[0].findings
    score = comparison.by_task["a"].estimates["brier_after"]
    assert score.value is not None
    assert score.se is not None
    assert item.p_harmless == pytest.approx(t.cdf((score.value - 0.5) / score.se, score.df), rel=1e-4)


def test_the_gold_options_probability_is_tested_with_a_loss_that_was_not_seen(logs: Write, policy) -> None:
    """The test of Gaffke (2005): how often the randomly weighted mean with a complete loss is below the limit."""
    comparison = compare(*logs({"a": (9, 2)}))
    found = judge(policy("rules: [{tasks: a, measure: gold probability, margin: 3 points}]"), comparison)
    (item,) = found.rules[0].findings
    x = np.append(comparison.items["a"]["delta_gold"], -1.0)
    rng = np.random.default_rng(1)
    means = np.concatenate([rng.dirichlet(np.ones(len(x)), 20_000) @ x for _ in range(10)])
    assert item.p_harmless == pytest.approx(np.mean(means < -0.03), rel=0.1)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(("count", "n"), [(0, 50), (3, 100), (19, 200), (50, 50), (120, 14_042)])
def test_the_exact_interval_of_a_share_is_scipys(count: int, n: int, confidence: float) -> None:
    found, ends = clopper_pearson(count, n, confidence), binomtest(count, n).proportion_ci(confidence, method="exact")
    assert (found.ci_low, found.ci_high) == pytest.approx((ends.low, ends.high), abs=1e-12)
    assert larger_share(count, n, 0.03) == pytest.approx(binom.sf(count - 1, n, 0.03), abs=1e-12)


@pytest.mark.parametrize("n", [100, 270, 1000, 14_042])
@pytest.mark.parametrize("limit", [0.001, 0.01, 0.05])
def test_surely_more_than_the_limit_errs_at_most_one_time_in_forty(n: int, limit: float) -> None:
    """By enumeration: where the true share is the limit, the exact interval lies above it in at most 2.5 %."""
    counts = np.arange(int(n * limit + 12 * np.sqrt(n * limit) + 12))
    above = [(clopper_pearson(int(count), n).ci_low or 0.0) > limit for count in counts]
    assert float(binom.pmf(counts, n, limit)[above].sum()) <= 0.025


@pytest.mark.parametrize(("n", "margin", "both_ways"), [(100, 0.02, 0.0), (100, 0.05, 0.02), (250, 0.01, 0.004)])
@pytest.mark.parametrize("level", [0.05, 0.05 / 57])
def test_the_one_sided_tests_of_a_change_keep_their_level(
    n: int, margin: float, both_ways: float, level: float
) -> None:
    """By enumeration over scipy's multinomial, where the true drop is the margin."""
    chances = [both_ways + margin, both_ways, 1 - 2 * both_ways - margin]
    most = [int(binom.ppf(1 - 1e-7, n, chance)) if chance else 0 for chance in chances[:2]]
    harmless = harmful = 0.0
    for lost in range(most[0] + 1):
        for won in range(most[1] + 1):
            chance = multinomial.pmf([lost, won, n - lost - won], n, chances)
            if chance > 1e-9:
                harmless += chance * (greater_change(lost, won, n, -margin, doubt=1e-6) <= level)
                harmful += chance * (greater_change(won, lost, n, margin, doubt=1e-6) <= level)
    assert harmless <= level
    assert harmful <= level


def test_over_clusters_a_limit_at_the_end_of_the_interval_has_its_level() -> None:
    """Asymptotically, also where fewer independent questions say as much; the exact p is never smaller there."""
    for effective_n, df in ((None, None), (120.5, 11.0), (260.0, 49.0)):
        found = paired_change(40, 25, 400, 0.9, effective_n=effective_n, df=df)
        assert found.ci_low is not None
        assert found.ci_high is not None
        for lost, won, end in ((40, 25, found.ci_low), (25, 40, -found.ci_high)):
            how = {"effective_n": effective_n, "df": df}
            assert greater_change(lost, won, 400, end, many=0, **how) == pytest.approx(0.05, abs=1e-6)
            if df is not None:
                assert greater_change(lost, won, 400, end, many=1000, **how) >= 0.05 - 1e-6


def test_a_policy_over_sampled_tasks_is_judged_by_the_interval_that_is_printed(policy, logs: Write) -> None:
    turned = {f"t{i}": (3 + i % 5, 2) for i in range(12)}
    comparison = compare(*logs(turned, 100), task_sampling="sampled")
    for measure, limit in (
        ("accuracy", "margin: 5 points"),
        ("harmful flips", "at_most: 7 %"),
        ("kl", "at_most: 0.2 nats"),
    ):
        found = judge(policy(f"rules: [{{groups: overall, measure: {measure}, {limit}}}]"), comparison)
        (item,) = found.rules[0].findings
        assert item.estimate is not None
        assert item.estimate.unit == "both"  # the same questions are asked in all tasks
        rule = found.policy.rules[0]
        inside = (rule.low is None or (item.estimate.ci_low or 0) > rule.low) and (
            rule.high is None or (item.estimate.ci_high or 1) < rule.high
        )
        assert (item.outcome is Outcome.PASSED) == inside
        assert item.p_harmless is not None
        assert (item.p_harmless <= 0.05) == inside


@pytest.mark.parametrize(("n", "margin", "tasks"), [(300, 0.02, 20), (1000, 0.01, 1)])
def test_a_policy_over_many_tasks_fails_falsely_at_its_level(
    policy, template: Comparison, n: int, margin: float, tasks: int
) -> None:
    """Where every task falls by just the margin: any false fail 5 %, a false pass of each limit 5 %."""
    gate, rng = policy(f"margin: {margin}\nrules: [{{tasks: '*'}}]"), np.random.default_rng(5)
    failed, passed, draws = 0, 0, 3000 // tasks
    for _ in range(draws):
        drawn = rng.multinomial(n, [0.01 + margin, 0.01, 0.98 - margin], size=tasks)
        found = judge(gate, counted({f"t{i}": (int(a), int(b), n) for i, (a, b, _) in enumerate(drawn)}, template))
        failed += found.outcome is Outcome.FAILED
        passed += sum(item.outcome is Outcome.PASSED for item in found.rules[0].findings)
    assert failed / draws <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws)
    assert passed / draws / tasks <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / draws / tasks)


def test_a_policy_judges_calibration_and_ends_at_the_bounds(logs: Write, policy) -> None:
    """All answers with confidence .87: 100 of 400 wrong after is an error of 12 points, and of none wrong 13."""
    comparison = compare(*logs({"a": (100, 0)}))
    for limit, outcome in (("at_most: 30 %", Outcome.PASSED), ("at_most: 5 %", Outcome.FAILED)):
        found = judge(policy(f"rules: [{{tasks: a, measure: ece, {limit}}}]"), comparison)
        assert found.outcome is outcome
    for measure in ("ece before", "ece change", "kl", "same answers", "accuracy after"):
        found = judge(policy(f"rules: [{{tasks: a, measure: {measure}, at_most: 0.9}}]"), comparison)
        (item,) = found.rules[0].findings
        assert item.estimate is not None
        low, high = found.policy.rules[0].quantity.bounds
        assert item.estimate.ci_low is not None
        assert item.estimate.ci_high is not None
        assert low <= item.estimate.ci_low <= item.estimate.ci_high <= high


@pytest.mark.parametrize("spending", SPENDINGS)
@pytest.mark.parametrize("checks", [1, 7, 20])
def test_what_is_spent_adds_up_to_the_budget(spending: Any, checks: int) -> None:
    levels = [spent(number, checks, 0.05, spending) for number in range(1, checks + 3)]
    assert sum(levels) == pytest.approx(0.05)
    assert levels[checks:] == [0.0, 0.0]
    assert min(levels[:checks]) > 0


def test_a_budget_is_spent_once_for_each_check(logs: Write, policy, call, tmp_path: Path) -> None:
    policy("margin: 2 points\nbudget: {over: 2, ledger: kept/ledger.json}\nrules: [{tasks: a}]")
    ledger = tmp_path / "kept" / "ledger.json"
    candidates = [logs({"a": (lost, 0)}, name=str(lost)) for lost in (0, 1, 60)]
    gate = ("--policy", tmp_path / "gate.yaml")
    assert call("compare", *candidates[0], *gate)[0] == 0
    written = ledger.read_bytes()
    code, out, _ = call("compare", *candidates[0], *gate)
    assert (code, ledger.read_bytes()) == (0, written)
    assert "check 1 of 2" in out
    code, out, _ = call("compare", *candidates[2], *gate)
    assert code == 1
    assert "check 2 of 2" in out
    assert [item["level"] for item in json.loads(ledger.read_text())["checks"]] == [0.025, 0.025]
    written = ledger.read_bytes()
    code, out, _ = call("compare", *candidates[1], *gate)
    assert (code, ledger.read_bytes()) == (3, written)
    assert "the budget of 2 checks is spent" in out
    # What was decided stays decided.
    assert call("compare", *candidates[2], *gate)[0] == 1
    policy("margin: 2 points\nbudget: {over: 3, ledger: kept/ledger.json}\nrules: [{tasks: a}]")
    code, _, err = call("compare", *candidates[1], *gate)
    assert code == 2
    assert "was begun with another budget" in err
    ledger.write_text("{")
    code, _, err = call("compare", *candidates[1], *gate)
    assert (code, "expected a ledger that this program wrote" in err) == (2, True)


@pytest.mark.parametrize("spending", SPENDINGS)
def test_twenty_checks_with_a_budget_fail_falsely_as_rarely_as_one(
    policy, template: Comparison, tmp_path: Path, spending: str
) -> None:
    """Twenty new candidates, each of which falls by just the margin."""
    gate = policy(f"margin: 2 points\nbudget: {{over: 20, spend: {spending}, ledger: x.json}}\nrules: [{{tasks: a}}]")
    rng, branches, failed = np.random.default_rng(2), 120, 0
    levels = [spent(number, 20, 0.05, spending) for number in range(1, 21)]  # type: ignore[arg-type]
    for _ in range(branches):
        drawn = rng.multinomial(400, [0.03, 0.01, 0.96], size=20)
        ps = [greater_change(int(won), int(lost), 400, 0.02, doubt=1e-6, many=400) for lost, won, _ in drawn]
        failed += any(p <= level for p, level in zip(ps, levels, strict=True))
    assert failed / branches <= 0.055 + 3 * np.sqrt(0.05 * 0.95 / branches)
    first: PolicyOutcome = judge(gate, counted({"a": (40, 0, 400)}, template))
    assert (first.check, first.level_fail) == (1, pytest.approx(levels[0]))
    assert spend(gate, counted({"a": (41, 0, 400)}, template)) == (2, pytest.approx(levels[1]))
    assert (tmp_path / "x.json").is_file()
