"""Conditions on a comparison: what they mean, when they hold, and what a mistake in one says."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta, binomtest, norm
from statsmodels.stats.proportion import proportion_confint

from consistency.comparison.compare import compare
from consistency.comparison.conditions import Check, check, read_condition
from consistency.comparison.quantities import QUANTITIES
from consistency.errors import InputError
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.shares import rate


def judge(comparison, text: str) -> Check:
    (found,) = check([read_condition(text)], comparison)
    return found


@pytest.fixture
def pair(tmp_path, write_probe):
    """Write a log of n questions before and after; `turned` right answers become wrong."""

    def write(n: int, turned: int, name: str = "a", task: str = "pool") -> list[Path]:
        documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(n)]
        before = [[-0.1, -2.0]] * n
        after = [[-2.0, -0.1]] * turned + before[turned:]
        folders = [tmp_path / f"{name}-{when}" for when in ("before", "after")]
        for folder, scores in zip(folders, (before, after), strict=True):
            write_probe(folder, documents, scores, task)
        return folders

    return write


def test_flips_of_real_logs_have_wilsons_interval(test_data):
    """19 harmful and 30 beneficial flips of 200: known of these logs."""
    comparison = compare(*(test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5)))
    for kind, count in (("harmful", 19), ("beneficial", 30)):
        found = comparison.overall.estimates[f"{kind}_flips"]
        low, high = proportion_confint(count, 200, method="wilson")
        assert found.value == count / 200
        assert (found.ci_low, found.ci_high) == pytest.approx((low, high), abs=1e-12)
    # Conditions judge a share by the exact interval, and print that one: [5.82, 14.44] by scipy.
    low, high = binomtest(19, 200).proportion_ci(method="exact")
    found = judge(comparison, "harmful flips > 5.8 %")
    assert (found.estimate.ci_low, found.estimate.ci_high) == pytest.approx((low, high), abs=1e-12)
    assert f"[{100 * low:.2f}, {100 * high:.2f}] exact (Clopper–Pearson)" in found.to_text()
    assert found.outcome == "holds"
    assert judge(comparison, "harmful flips > 5.9 %").outcome == "unclear"
    assert judge(comparison, "possibly harmful flips > 14.4 %").failed
    assert not judge(comparison, "possibly harmful flips > 14.5 %").failed
    assert judge(comparison, "measured harmful flips > 9.4 %").failed
    assert judge(comparison, "measured harmful flips >= 0.095").failed
    assert not judge(comparison, "measured harmful flips > 9.5 %").failed
    # Accuracy rose by 5.5 points, within [-1.38, 12.38].
    assert judge(comparison, "accuracy drop > 1 points").outcome == "unclear"
    assert judge(comparison, "accuracy drop > 1.4 points").outcome == "does not hold"
    assert judge(comparison, "possibly accuracy drop > 1 points").failed
    assert judge(comparison, "rank correlation < 0.9").failed
    assert judge(comparison, "KL < 0.45 nats").failed
    assert judge(comparison, "mcnemar p < 0.05 in mmlu_abstract_algebra").failed
    assert not judge(comparison, "mcnemar p < 0.05").failed


def test_rates_over_clusters_are_their_mean():
    values = np.array([0.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    clusters = [0, 0, 1, 1, 2, 2]
    # Equal clusters: the standard error of the mean of the clusters' means.
    means = values.reshape(3, 2).mean(axis=1)
    assert rate(values, clusters=clusters).se == pytest.approx(means.std(ddof=1) / np.sqrt(3))
    # Nothing varies over clusters either: three independent observations say as much.
    assert rate([0.0] * 6, clusters=clusters).ci_high == pytest.approx(proportion_confint(0, 3, method="wilson")[1])


def test_a_gate_does_not_pass_what_few_questions_cannot_show(pair):
    """Where nothing changed, the interval is as wide as so few questions allow."""
    few, many = (compare(*pair(n, 0, str(n))) for n in (20, 2000))
    for comparison, n in ((few, 20), (many, 2000)):
        found = judge(comparison, "possibly accuracy drop > 1 points").estimate
        # With no flip in n the score interval of a paired change ends at z² / (n + z²).
        z = norm.ppf(0.975)
        assert found.ci_high == pytest.approx(z**2 / (n + z**2), rel=1e-6)
    assert judge(few, "possibly accuracy drop > 1 points").failed
    assert judge(few, "possibly harmful flips > 1 %").failed
    assert judge(few, "accuracy before > 90 %").outcome == "unclear"
    assert not judge(many, "possibly accuracy drop > 1 points").failed
    assert not judge(many, "possibly harmful flips > 1 %").failed
    assert not judge(few, "accuracy drop > 1 points").failed


def test_what_is_undefined_does_not_pass(tmp_path, write_probe):
    document = {"question": "Which?", "choices": ["one", "two"], "answer": 0}
    for name in ("before", "after"):
        write_probe(tmp_path / name, [document], [[0.0, 0.0]])
    comparison = compare(tmp_path / "before", tmp_path / "after")
    for text in ("rank correlation < 0.5", "accuracy drop > 5 points"):
        found = judge(comparison, text)
        assert (found.outcome, found.failed) == ("undefined", True)
        assert "cannot be evaluated" in found.to_text()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("harmful flops > 2 %", "no measure 'harmful flops'"),
        ("harmful flips > 2", '2 is not a fraction of 1; expected "2 %" or 0.02'),
        ("accuracy drop > 1", '1 is not a fraction of 1; expected "1 points" or 0.01'),
        ("harmful flips > 2 points", "harmful flips is not in points; expected a number in %"),
        ("kl > 2 %", "kl is not in %; expected a number in nats"),
        ("tau b < 2 nats", "expected a number without a unit"),
        ("harmful flips = 2 %", "not a condition"),
        ("harmful flips > 1e999 %", "1e999"),
        ("harmful flips > two %", "not a condition"),
        ("harmful flips > 101 %", "is never 101; expected 0 to 100 %"),
        ("mcnemar p < -1e-3", "is never -0.001; expected 0 to 1"),
        ("accuracy drop > 120 points", "is never 120; expected -100 to 100 points"),
        ("surely possibly kl > 1", "no measure 'possibly kl'"),
        ("", "not a condition"),
    ],
)
def test_a_mistake_in_a_condition_is_one_message(text, problem):
    with pytest.raises(InputError) as error:
        read_condition(text)
    assert problem in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_every_measure_is_found_by_its_names_and_in_its_unit(pair):
    comparison = compare(*pair(30, 3))
    for quantity in QUANTITIES:
        for name in (quantity.name, quantity.name.replace("_", " ").upper(), *quantity.aliases):
            condition = read_condition(f"measured {name}>0.5{quantity.unit} in overall")
            assert condition.quantity is quantity
            assert condition.limit == pytest.approx(0.5 / quantity.scale)
        # All answers before are alike: corrected for letter bias they are ties, which have no ranking.
        defined = quantity.name != "spearman_calibrated"
        assert (check([condition], comparison)[0].estimate.value is not None) == defined, quantity.name


def test_ties_are_judged_by_their_exact_interval(tmp_path, write_probe):
    """6 of 60 questions have tied options after."""
    documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(60)]
    write_probe(tmp_path / "before", documents, [[-0.1, -2.0]] * 60)
    write_probe(tmp_path / "after", documents, [[-0.7, -0.7]] * 6 + [[-0.1, -2.0]] * 54)
    found = judge(compare(tmp_path / "before", tmp_path / "after"), "tie rate > 5 %")
    low, high = binomtest(6, 60).proportion_ci(method="exact")
    assert (found.estimate.ci_low, found.estimate.ci_high) == pytest.approx((low, high), abs=1e-12)
    assert found.outcome == "unclear"


def test_unknown_places_and_absent_measures(pair):
    comparison = compare(*pair(30, 3))
    with pytest.raises(
        InputError, match=r"no task, group or scope homo; expected one of overall, pool; name the domain"
    ):
        judge(comparison, "kl > 1 in homo")


def test_generated_answers_are_judged_together_and_by_task(tmp_path):
    """Tasks whose options were not scored have accuracy and flips, and no distributions."""
    for when, right in (("before", 1.0), ("after", 0.0)):
        for task in ("gsm8k", "triviaqa"):
            rows = [
                {
                    "doc_id": number,
                    "doc": {"question": f"{number}?"},
                    "target": "1",
                    "filtered_resps": ["1"],
                    "filter": "none",
                    "metrics": ["exact_match"],
                    "exact_match": right if number < 5 else 1.0,
                    "doc_hash": str(number),
                }
                for number in range(40)
            ]
            file = tmp_path / when / f"samples_{task}_2026-01-02T03-04-05.678901.jsonl"
            file.parent.mkdir(exist_ok=True)
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    comparison = compare(tmp_path / "before", tmp_path / "after")
    assert judge(comparison, "measured harmful flips >= 12.5 % in gsm8k").failed
    for text in ("measured harmful flips >= 12.5 %", "measured harmful flips >= 12.5 % in exact_match"):
        found = judge(comparison, text)
        assert (found.failed, found.estimate.n, found.estimate.value) == (True, 80, 0.125)
    with pytest.raises(InputError, match=r"gsm8k has no kl; .*accuracy after.*harmful flips"):
        judge(comparison, "kl > 1 in gsm8k")


def test_the_program_fails_with_1_and_still_writes(pair, call, tmp_path):
    logs = pair(50, 10)
    arguments = ("compare", *logs, "--fail-if", "harmful flips > 2 %", "--out", tmp_path / "out")
    code, out, err = call(*arguments)
    # 10 of 50, by scipy.
    low, high = (100 * end for end in binomtest(10, 50).proportion_ci(method="exact"))
    told = f"FAILED, harmful flips > 2 %: overall, 20.0 % [{low:.1f}, {high:.1f}] exact (Clopper–Pearson)"
    assert (code, err) == (1, f"consistency: {told}\n")
    assert out.endswith(f"{told}\n")
    assert (tmp_path / "out" / "items.parquet").is_file()
    code, out, err = call("compare", *logs, "--fail-if", "harmful flips > 50 %", "--format", "json")
    assert (code, err) == (0, "")
    assert json.loads(out)["overall"]["flips"]["harmful"] == 10
    code, out, err = call("compare", *logs, "--fail-if", "nonsense", "--out", tmp_path / "none")
    assert (code, out, (tmp_path / "none").exists()) == (2, "", False)


@pytest.fixture
def small_changes(tmp_path, write_probe):
    """Logs of n questions whose distributions moved a little, and of some that were reversed."""

    def write(n: int, reversed_: int = 0):
        rng = np.random.default_rng(n)
        documents = [{"question": f"Question {i}?", "choices": ["one", "two", "three"], "answer": 0} for i in range(n)]
        before = np.column_stack([np.full(n, -0.1), np.full(n, -3.0), np.full(n, -8.0)])
        after = before + rng.normal(0, 0.1, before.shape)
        after[:reversed_] = after[:reversed_, ::-1]
        folders = [tmp_path / f"{n}-{reversed_}-{when}" for when in ("before", "after")]
        for folder, scores in zip(folders, (before, after), strict=True):
            write_probe(folder, documents, scores.tolist(), "pool")
        return compare(*folders)

    return write


def test_what_few_questions_cannot_exclude_is_neither_sure_nor_impossible(small_changes):
    """Of 60 questions none was reversed: up to 6 % may be, each of 8 nats."""
    comparison = small_changes(60)
    kl = comparison.overall.estimates["kl"]
    assert kl.value < 0.01
    largest = -min(np.log(comparison.items["pool"]["probs_after"]).min(), 0)
    assert kl.ci_high >= largest * beta.ppf(0.975, 1, 60) - 0.01
    assert not judge(comparison, "surely KL > 0.1 nats").failed
    assert judge(comparison, "possibly KL > 0.1 nats").failed
    assert judge(comparison, "surely KL < 0.1 nats").outcome == "unclear"
    # A reversal may cost all of the gold option's probability: its t interval would be 0.2 points long on each side.
    change = comparison.overall.estimates["delta_gold"]
    assert (change.method, change.warnings) == ("bounded", ())
    assert change.value - change.ci_low == pytest.approx(beta.ppf(0.975, 1, 60), rel=0.05)
    assert judge(comparison, "possibly gold probability drop > 3 points").failed
    assert not judge(comparison, "possibly gold probability drop > 8 points").failed
    assert judge(comparison, "surely gold probability drop < 3 points").outcome == "unclear"


def test_with_many_questions_or_many_reversals_it_is_sure(small_changes):
    assert judge(small_changes(3000), "surely KL < 0.1 nats").outcome == "holds"
    assert judge(small_changes(60, 12), "surely KL > 0.1 nats").outcome == "holds"


def test_an_interval_at_any_confidence_ends_at_the_bounds(small_changes):
    """Of 60 questions with small changes the t interval of a divergence would begin below 0, at 99.9 % far below."""
    section = small_changes(60).overall
    for quantity in QUANTITIES:
        for confidence in (0.8, 0.9, 0.95, 0.999):
            found = quantity.at(section, confidence)
            if found is not None and found.ci_low is not None:
                assert quantity.bounds[0] <= found.ci_low <= found.value <= found.ci_high <= quantity.bounds[1]


def test_a_drop_is_the_change_with_the_other_sign_at_any_confidence(small_changes):
    section = small_changes(60, 7).overall
    named = {quantity.name: quantity for quantity in QUANTITIES}
    for drop, change in (("accuracy_drop", "delta_accuracy"), ("gold_probability_drop", "delta_gold")):
        for confidence in (0.9, 0.95, 0.99):
            one, other = (named[name].at(section, confidence) for name in (drop, change))
            assert (one.value, one.ci_low, one.ci_high) == pytest.approx((-other.value, -other.ci_high, -other.ci_low))
    wide = paired_change(7, 0, 60, 0.99)
    assert named["accuracy_drop"].at(section, 0.99).ci_high == pytest.approx(-wide.ci_low)
