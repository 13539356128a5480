"""Many runs against one reference: the statistics against other sources, and the whole way from logs to text, JSON and page."""

import csv
import json
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import multivariate_normal, norm, permutation_test, studentized_range, ttest_1samp
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests

import consistency
from consistency.comparison.checked import Checked
from consistency.comparison.compare import compare
from consistency.comparison.conditions import read_condition
from consistency.comparison.many.compare import compare_many
from consistency.comparison.many.gate import check_many
from consistency.comparison.many.labels import labels_of, positions_of
from consistency.comparison.many.values import JUDGEMENTS
from consistency.comparison.sides.compare import compare_sides
from consistency.errors import InputError
from consistency.report.gate import gate_of
from consistency.report.many.document import ManyReport, ManyRuns
from consistency.report.many.figures import many_plots
from consistency.report.many.report import write_many
from consistency.report.many.tables import heat_table
from consistency.report.schema import read_document
from consistency.statistics.best import Differences, letters, probabilities_of_best, resampled_means
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import sign_flip_test
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.simultaneous import Block, adjusted, critical, largest_errors, sign_flip_tests

RUNS = ("step-100", "step-200", "step-300")


def within(correlations: np.ndarray, half: float) -> float:
    """The chance that normal errors of these correlations are all within so many standard errors."""
    k = len(correlations)
    return float(
        multivariate_normal(np.zeros(k), correlations).cdf(np.full(k, half), lower_limit=np.full(k, -half), rng=0)
    )


# Statistics


def test_the_critical_value_is_dunnetts():
    """Four treatments and a control of as many observations: Dunnett's table has 2.44 for many degrees of freedom."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(20_000, 5))
    values = noise[:, 1:] - noise[:, :1]
    largest = largest_errors([Block(np.arange(len(values)), values)], draws=100_000)[0]
    assert critical(largest) == pytest.approx(2.44, abs=0.02)
    exact = np.full((4, 4), 0.5) + np.eye(4) / 2
    assert within(exact, critical(largest)) == pytest.approx(0.95, abs=0.003)
    (p,) = adjusted([2 * norm.sf(2.0)], largest)
    assert p == pytest.approx(1 - within(exact, 2.0), abs=0.005)


def test_blocks_of_different_questions_are_independent():
    rng = np.random.default_rng(2)
    blocks = [Block(np.arange(100 * b, 100 * b + 100), rng.normal(size=(100, 1))) for b in range(30)]
    largest = largest_errors(blocks, draws=50_000).max(axis=0)
    assert critical(largest) == pytest.approx(norm.ppf((1 + 0.95 ** (1 / 30)) / 2), abs=0.03)


def test_clusters_are_what_makes_errors_go_together():
    """Two means of different questions whose clusters have the same sums are one."""
    rng = np.random.default_rng(3)
    shared = rng.normal(size=50)
    values = np.full((100, 2), np.nan)
    values[:50, 0], values[50:, 1] = shared, shared
    units = np.tile(np.arange(50), 2)
    largest = largest_errors([Block(units, values)], draws=50_000)[0]
    assert critical(largest) == pytest.approx(1.96, abs=0.03)
    assert largest_errors([Block(np.arange(100), np.zeros((100, 3)))], draws=10).max() == 0


def test_sign_flips_of_many_runs_are_those_of_each():
    rng = np.random.default_rng(4)
    clusters = np.repeat(np.arange(12), 3)
    values = rng.choice([-1.0, 0.0, 1.0], size=(36, 4), p=[0.3, 0.5, 0.2])
    for column, p in enumerate(sign_flip_tests(values, clusters)):
        assert p == pytest.approx(sign_flip_test(values[:, column], clusters=clusters), abs=1e-12)
        sums = np.bincount(clusters, values[:, column])
        exact = permutation_test((sums,), np.mean, permutation_type="samples", n_resamples=5000)
        assert p == pytest.approx(exact.pvalue, abs=1e-12)
    many = rng.normal(0.1, 1, size=(400, 3))
    for column, p in enumerate(sign_flip_tests(many, np.arange(400))):
        assert p == pytest.approx(ttest_1samp(many[:, column], 0).pvalue, abs=0.02)


def test_the_probability_of_two_is_that_of_an_integral():
    """Either the two are equal, or they differ with a variance of which each share of shrinkage is as likely."""
    rng = np.random.default_rng(5)
    for gap in (0.0, 0.02, 0.06):
        values = np.round(rng.normal(size=(2000, 2)) + np.array([gap, 0.0]), 3)
        step = values[:, 0] - values[:, 1]
        z = step.mean() / np.sqrt(step.var(ddof=1) / 2000 + 1 / 2000**2)
        slab = quad(lambda b, z=z: np.sqrt(b) * norm.pdf(z * np.sqrt(b)), 0, 1)[0]
        first = quad(lambda b, z=z: np.sqrt(b) * norm.pdf(z * np.sqrt(b)) * norm.cdf(z * np.sqrt(1 - b)), 0, 1)[0]
        exact = (norm.pdf(z) / 2 + first) / (norm.pdf(z) + slab)
        assert probabilities_of_best(values, np.arange(2000), draws=100_000)[0] == pytest.approx(exact, abs=0.01)


def test_the_probability_of_the_best_of_equal_and_of_different_runs():
    rng = np.random.default_rng(6)
    questions = np.arange(3000)
    right = rng.random(3000) < 0.6
    # Each of five is wrong where the others are right, equally often.
    equal = np.column_stack([right & (questions % 5 != run) for run in range(5)]).astype(float)
    equal[:, :] -= equal.mean(axis=0)
    found = probabilities_of_best(equal, questions)
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx(0.2, abs=0.02)
    worse = np.column_stack([right, right & (questions % 4 > 0)]).astype(float)
    assert probabilities_of_best(worse, questions).tolist() == pytest.approx([1, 0], abs=0.001)
    # Two that broke do not make the luckiest of the others the best.
    alike = np.column_stack([np.where(rng.random(3000) < 0.1, rng.random(3000) < 0.6, right) for _ in range(7)])
    broken = np.column_stack([alike, right & (questions % 2 > 0), right & (questions % 2 == 0)]).astype(float)
    found = probabilities_of_best(broken, questions)
    assert found[:7].max() < 0.3
    assert found[7:].sum() < 0.001
    # What is sampled together says less.
    passages = np.repeat(np.arange(300), 10)
    pair = np.repeat(rng.normal(size=(300, 2)) + np.array([0.15, 0.0]), 10, axis=0)
    assert probabilities_of_best(pair, passages)[0] < probabilities_of_best(pair, questions)[0] - 0.02


def test_the_set_of_the_best():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(2000, 2)) + np.array([0.03, 0.0])
    resampled = resampled_means(values, np.arange(2000))
    means = values.mean(axis=0)
    t = float((means[0] - means[1]) / (values[:, 0] - values[:, 1]).std(ddof=1) * np.sqrt(2000))
    p = Differences(means, resampled, 2000).best_set()
    assert p.max() == 1
    assert p.min() == pytest.approx(2 * norm.sf(abs(t)), abs=0.03)
    # The same answers share it, and stay in the set together.
    twice = np.column_stack([values[:, 0], values[:, 0], values[:, 0] - 1])
    resampled = resampled_means(twice, np.arange(2000))
    assert probabilities_of_best(twice, np.arange(2000)).tolist() == pytest.approx([0.5, 0.5, 0], abs=0.001)
    assert (Differences(twice.mean(axis=0), resampled, 2000).best_set() >= 0.05).tolist() == [True, True, False]


def test_pairs_are_told_apart_as_tukey_does():
    """Four independent means of one variance: the largest |t| of their six differences is that of the studentized range."""
    rng = np.random.default_rng(6)
    noise = rng.normal(size=(20_000, 4))
    resampled = rng.normal(size=(50_000, 4)) / np.sqrt(20_000)
    half = studentized_range.ppf(0.95, 4, 1e5) / np.sqrt(2) * np.sqrt(2 / 20_000)
    for gap, differs in ((0.97 * half, False), (1.03 * half, True)):
        means = np.array([0.0, 0.0, 0.0, gap])
        found = Differences(means, resampled, len(noise)).told_apart()
        assert bool(found[0, 3]) is differs
        assert not found[0, 1]


def test_letters_are_shared_by_those_that_cannot_be_told_apart():
    rng = np.random.default_rng(7)
    for k in (1, 2, 5, 9):
        for _ in range(40):
            differ = np.triu(rng.random((k, k)) < rng.random(), 1)
            differ = differ | differ.T
            found = letters(differ, rng.permutation(k).tolist())
            for i in range(k):
                for j in range(i):
                    assert bool(set(found[i]) & set(found[j])) is not bool(differ[i, j])


def test_names_and_positions():
    assert labels_of([Path("logs/q4"), Path("logs/q8.zip"), Path("x.y/q8.5")]) == ["q4", "q8", "q8.5"]
    assert labels_of([Path("a/logs"), Path("b/logs")]) == ["a/logs", "b/logs"]
    assert positions_of("step-0", ["step-200", "step-1k", "step-30"], "auto") == {
        "step-0": 0,
        "step-30": 30,
        "step-200": 200,
        "step-1k": 1000,
    }
    assert list(positions_of("base", ["mix0.5", "mix0.25"], "auto")) == ["mix0.25", "mix0.5"]
    assert list(positions_of("q16", ["q4", "q8"], "auto")) == ["q16", "q8", "q4"]
    assert list(positions_of("base", ["q8", "q4"], "8,4")) == ["q8", "q4"]
    assert positions_of("fp16", ["int8", "q4"], [16, 8, 4]) == {"fp16": 16, "int8": 8, "q4": 4}
    for labels, order in (
        (["a", "b"], "auto"),
        (["q4-v1", "q8-v2"], "auto"),
        (["q4", "int8"], "auto"),
        (["q4", "q8"], "1,1"),
        (["q4", "q8"], "1"),
        (["q4", "q8"], "1,x"),
        (["q4", "q8"], "1,nan"),
    ):
        with pytest.raises(InputError, match="--order"):
            positions_of("base", labels, order)
    with pytest.raises(InputError, match="twice"):
        labels_of([Path("a"), Path("a")])


# From logs


@pytest.fixture(scope="module")
def logs(tmp_path_factory, write_scores) -> Path:
    """A reference, three runs of a series that gets worse, and one that favours A, in three tasks of 60 questions."""
    root = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(8)
    sizes = {"law": 60, "art": 60, "sea": 80}
    gold = {task: rng.integers(4, size=n) for task, n in sizes.items()}
    base = {task: rng.normal(size=(n, 4)) + 2 * np.eye(4)[gold[task]] for task, n in sizes.items()}
    write_scores(root / "step-0", base, gold)
    for run, lost in zip(RUNS, (0.1, 0.7, 2.0), strict=True):
        worse = {
            task: x + rng.normal(0, 0.7, x.shape) - lost * np.eye(4)[gold[task]] * (task != "sea")
            for task, x in base.items()
        }
        write_scores(root / run, worse, gold)
    write_scores(root / "letters", {task: x + np.array([1.5, 0, 0, 0]) for task, x in base.items()}, gold)
    return root


@pytest.fixture(scope="module")
def many(logs):
    return compare_many(logs / "step-0", {name: logs / name for name in RUNS}, name="step-0", order="auto")


def test_every_change_is_that_of_compare(logs, many):
    for label in RUNS:
        pair = compare(logs / "step-0", logs / label)
        for name, section in {"overall": pair.overall, **pair.by_task}.items():
            change = {**many.pools, **many.by_task}[name][label]
            own = change.section.estimates["delta_accuracy"]
            assert own == section.estimates["delta_accuracy"]
            assert change.section.sign_flip_p == section.sign_flip_p
            assert change.section.flips["harmful"] == section.flips["harmful"]
            if name in many.turned:
                turned = many.turned[name]
                was, is_right = (pair.items[name][f"correct_{when}"] == 1 for when in ("before", "after"))
                for way, expected in ((-1, was & ~is_right), (1, ~was & is_right)):
                    assert turned.doc_id[turned.ways[label] == way].tolist() == np.flatnonzero(expected).tolist()
            for measure in ("accuracy_before", "accuracy_after", "harmful_flips", "beneficial_flips"):
                assert change.section.estimates[measure] == section.estimates[measure]
            kl, other = change.section.estimates["kl"], section.estimates["kl"]
            assert (kl.value, kl.ci_low, kl.ci_high) == pytest.approx((other.value, other.ci_low, other.ci_high))
            assert (kl.n, kl.method) == (other.n, other.method)
        corrected = pair.overall.decomposition.estimates
        found = many.overall[label]
        assert found.calibrated.value == corrected["calibrated_change"].value
        assert found.letters == corrected["prior_change"]
        assert found.calibrated.ci_low < corrected["calibrated_change"].ci_low


def test_intervals_hold_together_and_p_are_holms(many):
    for kind, sets in (("runs", many.pools), ("tasks", many.by_task)):
        changes = [change for found in sets.values() for change in found.values()]
        family = many.families[kind]
        assert family.of == len(changes)
        # Wider than one interval alone, and no wider than Bonferroni's.
        assert 0.95 < family.confidence <= 1 - 0.05 / len(changes) + 5e-4
        by_holm = multipletests([change.section.sign_flip_p for change in changes], method="holm")[1]
        for change, p in zip(changes, by_holm, strict=True):
            assert change.section.p_holm == pytest.approx(p, abs=1e-12)
            assert change.section.sign_flip_p <= change.p_simultaneous + 1e-9
            turned = change.section.flips
            wide = paired_change(turned["harmful"], turned["beneficial"], change.section.n, family.confidence)
            assert (change.simultaneous.ci_low, change.simultaneous.ci_high) == (wide.ci_low, wide.ci_high)


@pytest.mark.parametrize(
    ("low", "high", "judgement"),
    [
        (-0.05, -0.02, "worse"),
        (-0.05, 0.0, "unclear"),
        (-0.009, -0.001, "worse within the margin"),
        (-0.009, 0.02, "not worse by more than the margin"),
        (-0.01, 0.02, "unclear"),
        (0.001, 0.02, "better"),
    ],
)
def test_a_run_is_judged_by_its_whole_interval(many, low, high, judgement):
    change = many.overall["step-100"]
    moved = replace(change, simultaneous=replace(change.simultaneous, ci_low=low, ci_high=high))
    assert moved.judged(0.01) == judgement
    # The worst pool and the tasks that are surely worse are named.
    pools = {"overall": {"a": moved}, "exact_match": {"a": change}}
    lost = {name: {"a": replace(change, simultaneous=_interval(value))} for name, value in _LOST.items()}
    (found,) = replace(many, pools=pools, by_task=lost, margin=0.01).judgements
    worst = min((judgement, change.judged(0.01)), key=JUDGEMENTS.index)
    assert found.judgement == worst
    assert found.worse_in == ("most", "less")


_LOST = {"less": -0.1, "none": 0.0, "most": -0.3, "won": 0.2}


def _interval(value: float) -> Estimate:
    return Estimate(value, 0.02, value - 0.05, value + 0.05, 100)


def test_the_critical_value_of_the_runs_is_that_of_their_correlations(logs, many):
    """From the answers of the logs: numerical integration of the joint normal distribution."""
    items = [compare(logs / "step-0", logs / label).items for label in RUNS]
    changes = np.array(
        [np.concatenate([task["correct_after"] - task["correct_before"] for task in item.values()]) for item in items]
    )
    correlations = np.corrcoef(changes)
    exact = brentq(lambda half: within(correlations, half) - 0.95, 1.9, 2.6, xtol=1e-3)
    assert many.families["runs"].critical == pytest.approx(exact, abs=0.03)


def test_trends_are_lines_through_the_means(logs, many):
    assert many.series.positions == {"step-0": 0, "step-100": 100, "step-200": 200, "step-300": 300}
    pairs = [compare(logs / "step-0", logs / label) for label in RUNS]
    for task in ("law", "art", "sea"):
        changes = [0.0, *(pair.by_task[task].estimates["delta_accuracy"].value for pair in pairs)]
        slope = np.polyfit([0, 100, 200, 300], changes, 1)[0]
        assert many.series.trends[task].change.value == pytest.approx(300 * slope)
        by_question = np.array(
            [pair.items[task]["correct_after"] - pair.items[task]["correct_before"] for pair in pairs]
        )
        slopes = np.array([-0.5, 0.5, 1.5]) / 5 * 3 @ by_question
        statistic, df = ttest_1samp(slopes, 0).statistic, int((by_question != 0).any(axis=0).sum()) - 1
        assert many.series.trends[task].p == pytest.approx(2 * student.sf(abs(statistic), df))
    first = {
        name: next((label for label in RUNS if change[label].simultaneous.ci_high < 0), None)
        for name, change in {**many.pools, **many.by_task}.items()
    }
    assert {name: trend.first_harmful for name, trend in many.series.trends.items()} == first
    assert first["law"] == "step-200"
    assert first["sea"] is None


def test_the_first_sentence_names_runs_of_other_prompts(test_data):
    zero, five = (test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5))
    found = compare_many(zero, {"again": zero, "shots": five}, name="zero")
    assert [len(run.doubts) for run in found.runs] == [0, 1]
    assert "0 → 5" in found.verdicts[0].partition("; but between zero and shots ")[2]


def test_the_numbers_in_names_order_the_runs_however_they_are_given(logs, many):
    found = compare_many(logs / "step-0", {name: logs / name for name in reversed(RUNS)}, name="start", order="auto")
    assert [run.label for run in found.runs] == list(RUNS)
    trend = found.series.trends["law"]
    assert trend.first_harmful == many.series.trends["law"].first_harmful == "step-200"
    changes = [many.by_task["law"][name].simultaneous.value for name in RUNS]
    assert trend.change.value == pytest.approx(200 * np.polyfit([100, 200, 300], changes, 1)[0])
    # A reference in the middle: from the lowest to the highest position.
    middle = compare_many(logs / "step-0", {name: logs / name for name in RUNS}, name="start", order=[2, 1, 3, 4])
    assert middle.series.ends == ("step-100", "step-300")
    line = np.polyfit([2, 1, 3, 4], [0, *changes], 1)[0]
    assert middle.series.trends["law"].change.value == pytest.approx(3 * line)


def test_a_task_called_overall_is_not_all_tasks_together(logs, many, tmp_path):
    for run in ("step-0", *RUNS):
        for file in (logs / run / "model").glob("samples_*"):
            (tmp_path / run).mkdir(exist_ok=True)
            (tmp_path / run / file.name.replace("_law_", "_overall_")).write_bytes(file.read_bytes())
    found = compare_many(tmp_path / "step-0", {name: tmp_path / name for name in RUNS}, name="step-0", order="auto")
    assert found.main not in found.by_task
    for name, other in ((found.main, "overall"), ("overall", "law"), ("sea", "sea")):
        assert found.series.trends[name].change.value == many.series.trends[other].change.value


def test_ranking_and_accuracies(logs, many):
    accuracies = {item.label: item.accuracy.value for item in many.ranking}
    assert list(accuracies.values()) == sorted(accuracies.values(), reverse=True)
    for label in RUNS:
        pair = compare(logs / "step-0", logs / label).overall.estimates
        assert accuracies[label] == pytest.approx(pair["accuracy_after"].value)
        assert accuracies["step-0"] == pytest.approx(pair["accuracy_before"].value)
    assert sum(item.best for item in many.ranking) == pytest.approx(1)
    assert many.best_set[0] == many.ranking[0].label
    assert "step-300" not in many.best_set
    worst = many.ranking[-1]
    assert not set(worst.group) & set(many.ranking[0].group)


def test_letter_bias_is_told_from_knowledge(logs):
    """A constant for one letter is nothing but letter bias."""
    found = compare_many(logs / "step-0", {"a": logs / "letters", "b": logs / "step-300"}).overall
    assert found["a"].section.estimates["delta_accuracy"].value < -0.05
    assert found["a"].calibrated.value == pytest.approx(0, abs=0.011)
    assert found["b"].calibrated.ci_high < 0


def test_questions_and_tasks_that_a_run_lacks(logs, tmp_path):
    """A question counts if all runs answered it; a run that lacks a task is compared in the others."""
    for run in ("step-0", *RUNS):
        target = tmp_path / run
        target.mkdir()
        for file in (logs / run / "model").iterdir():
            lines = file.read_text().splitlines(keepends=True)
            if run == "step-200" and "_law_" in file.name:
                lines = lines[:40]
            if not (run == "step-300" and "_sea_" in file.name):
                (target / file.name).write_text("".join(lines))
    found = compare_many(tmp_path / "step-0", {name: tmp_path / name for name in RUNS})
    assert {name: {label: change.section.n for label, change in c.items()} for name, c in found.by_task.items()} == {
        "law": dict.fromkeys(RUNS, 40),
        "art": dict.fromkeys(RUNS, 60),
        "sea": dict.fromkeys(RUNS[:2], 80),
    }
    assert found.members == {"overall": ("art", "law")}
    assert found.ranking[0].accuracy.n == 100
    assert any("20 of 200 questions" in note and "step-200 20" in note and "law 20" in note for note in found.notes)
    assert any(note.startswith("step-300 lacks 1 task (sea)") for note in found.notes)
    write_many(found, tmp_path / "report")
    logs_of = read_document(tmp_path / "report").logs
    assert [(log.role, log.tasks, log.questions) for log in logs_of] == [
        *((label, 3, 180) for label in ("reference", "step-100", "step-200")),
        ("step-300", 2, 100),
    ]
    short = compare_many(tmp_path / "step-0", {name: tmp_path / name for name in ("step-200", "step-100")})
    pair = compare(tmp_path / "step-0", tmp_path / "step-200")
    assert (
        short.by_task["law"]["step-200"].section.estimates["delta_accuracy"]
        == (pair.by_task["law"].estimates["delta_accuracy"])
    )


def test_passages_and_generated_answers(tmp_path):
    """Questions of one passage are one unit, as in compare; tasks of another metric have a pool of their own."""
    rng = np.random.default_rng(9)
    for run, chance in (("base", 0.8), ("one", 0.6), ("two", 0.8)):
        folder = tmp_path / run
        folder.mkdir()
        for task, metric, n in (("reading", "acc", 120), ("sums", "exact_match", 60)):
            easy = rng.random(n // 4)
            rows = []
            for number in range(n):
                passage = f"{number // 4} " * 120
                right = float(easy[number // 4] < chance)
                doc = {"question": f"{task} {number}", "passage": passage if task == "reading" else ""}
                row = {"doc_id": number, "doc": doc, "target": "x", "filtered_resps": ["x"], "filter": "none"}
                rows.append({**row, "metrics": [metric], metric: right, "doc_hash": f"{task}{number}"})
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"samples_{task}_2026-01-02T03-04-05.678901.jsonl").write_text(text)
    found = compare_many(tmp_path / "base", {name: tmp_path / name for name in ("one", "two")})
    assert len(found.pools) == 2
    for label in ("one", "two"):
        pair = compare(tmp_path / "base", tmp_path / label)
        for task in ("reading", "sums"):
            section = found.by_task[task][label].section
            own, other = section.estimates["delta_accuracy"], pair.by_task[task].estimates["delta_accuracy"]
            assert (own.value, own.unit, own.n) == (other.value, other.unit, other.n)
            assert (own.ci_low, own.ci_high, own.df) == pytest.approx((other.ci_low, other.ci_high, other.df))
            assert section.sign_flip_p == pytest.approx(pair.by_task[task].sign_flip_p, abs=0.03)
    assert found.by_task["reading"]["one"].section.estimates["delta_accuracy"].unit == "question cluster"
    checks = check_many([read_condition("accuracy drop > 99 points in one")], found)
    drops = {name: -changes["one"].section.estimates["delta_accuracy"].value for name, changes in found.pools.items()}
    assert {check.section: check.estimate.value for check in checks} == {
        f"one, {name}": pytest.approx(drop) for name, drop in drops.items()
    }
    (nearest,) = check_many([read_condition("accuracy drop > 99 points in any run")], found)
    assert (nearest.of, nearest.among) == (4, "runs and metrics")


def test_a_change_without_a_p_is_not_a_sure_one(many, tmp_path, monkeypatch):
    """A p that is missing counts as 1, one of exactly 0 as 0: of three passages it is that of a t test."""
    for run, value in (("base", 1.0), ("one", 0.5), ("two", 1.0)):
        rows = [
            {"doc_id": n, "doc": {"question": f"{n}", "passage": f"{n // 4} " * 120}, "target": "x"}
            | {
                "filtered_resps": ["x"],
                "filter": "none",
                "metrics": ["exact_match"],
                "exact_match": value,
                "doc_hash": f"{n}",
            }
            for n in range(12)
        ]
        (tmp_path / run).mkdir()
        (tmp_path / run / "samples_reading_2026-01-02T03-04-05.678901.jsonl").write_text(
            "".join(json.dumps(row) + "\n" for row in rows)
        )
    runs = {name: tmp_path / name for name in ("one", "two")}
    for computed, expected in ((None, 1.0), (0.0, 0.0)):
        monkeypatch.setattr("consistency.comparison.many.compare.t_test", lambda _, p=computed: p)
        section = compare_many(tmp_path / "base", runs, cluster="passage").by_task["reading"]["one"].section
        assert (section.sign_flip_p, section.p_holm) == (expected, expected)
    unknown = {
        label: replace(change, section=replace(change.section, sign_flip_p=None))
        for label, change in many.by_task["law"].items()
    }
    drawn = many_plots(replace(many, by_task={"law": unknown, "sea": many.by_task["sea"], "art": many.by_task["art"]}))
    tasks = list(dict.fromkeys(row["task"] for row in next(plot for plot in drawn if plot.name == "tasks").rows))
    assert tasks[0] == "art"


def test_what_is_odd_about_a_log_is_said_by_every_comparison(tmp_path):
    """One of three logs lacks a log-probability of one question; each of a comparison's ways says so of that log."""
    rng = np.random.default_rng(10)
    paths = [tmp_path / f"{name}.jsonl" for name in "abc"]
    for path in paths:
        rows = [
            {
                "task": "t",
                "question": f"{n}?",
                "choices": ["x", "y"],
                "gold": n % 2,
                "logprobs": [*rng.normal(-3, 1, 2)],
            }
            for n in range(30)
        ]
        if path == paths[2]:
            rows[4]["logprobs"][0] = float("nan")
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    note = "t: 1 question lacks the log-probability of an option"
    assert f"c: {note}" in compare_many(paths[0], {"b": paths[1], "c": paths[2]}).notes
    assert f"reference: {note}" in compare_many(paths[2], {"b": paths[1], "a": paths[0]}).notes
    assert f"after 1: {note}" in compare_sides(paths[:2], paths[2:]).notes
    assert f"before 1: {note}" in compare_sides(paths[2:], paths[:2]).notes


# The command


def test_text_fits_80_columns_and_says_what_json_says(logs, call):
    arguments = ("compare", logs / "step-0", *(logs / run for run in RUNS), "--order", "auto")
    code, out, _ = call(*arguments, "--all")
    assert code == 0
    assert max(map(len, out.split("n:200")[0].splitlines())) <= 80
    code, stored, _ = call(*arguments, "--json", "-")
    assert code == 0
    content = json.loads(stored)
    assert content["series"]["trends"]["law"]["first_harmful"] == "step-200"
    typed = msgspec.convert(content, ManyRuns)
    judged = {item.label: item for item in typed.judgements}
    assert judged["step-300"].judgement == "worse"
    assert judged["step-300"].change.ci_high < 0
    assert set(judged["step-300"].worse_in) == {"law", "art"}
    assert any(line.split()[:2] == ["step-300", "worse"] and "law" in line for line in out.splitlines())
    for label in RUNS:
        for task in ("law", "art", "sea"):
            low, high = (100 * getattr(typed.by_task[task][label].simultaneous, end) for end in ("ci_low", "ci_high"))
            lines = [line for line in out.splitlines() if line.startswith(label) and f" {task} " in line]
            assert any(f"[{low:+.1f}, {high:+.1f}]" in line for line in lines)
    names = [item.label for item in typed.ranking]
    table = out[out.index("\nrun ") :].splitlines()
    rows = [line.split()[0] for line in table if line.split()[:1] and line.split()[0] in names]
    assert rows[: len(names)] == names


def test_a_narrow_terminal_has_the_names_of_the_runs(logs, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    named = (logs / "step-100", logs / "step-200", "--label", f"a; b={logs / 'step-300'}")
    code, out, _ = call("compare", logs / "step-0", *named)
    assert code == 0
    lines = out.splitlines()
    assert [line for line in lines if len(line) > 40] == []
    assert not any(line.strip().startswith("b ") for line in lines)
    ranked = lines[next(place for place, line in enumerate(lines) if line.startswith("run ")) :][1:5]
    assert {line.split("  ")[0] for line in ranked} == {"step-0", "step-100", "step-200", "a; b"}


def test_conditions_hold_for_any_run(logs, call):
    arguments = ("compare", logs / "step-0", *(logs / run for run in RUNS))
    code, out, err = call(*arguments, "--fail-if", "accuracy drop > 1 points in any run")
    assert code == 1
    assert err.startswith("consistency: FAILED")
    assert "step-300 (of 3 runs" in out
    for condition, failed in (
        ("accuracy drop > 90 points", False),
        ("accuracy drop > 1 points in step-100", False),
        ("accuracy drop > 1 points in step-300", True),
        ("accuracy drop > 1 points in sea", False),
        ("accuracy drop > 1 points in any task", True),
        ("harmful flips > 5 % in any task", True),
        ("calibrated drop > 1 points", True),
        ("mcnemar p < 0.05 in any run", True),
        ("kl > 0.2 in step-300", True),
        ("kl > 9 in any task", False),
    ):
        assert call(*arguments, "--fail-if", condition)[0] == int(failed), condition
    for condition, word in (("accuracy drop > 1 points in nowhere", "nowhere"), ("cosine < 0.1", "cosine")):
        code, _, err = call(*arguments, "--fail-if", condition)
        assert code == 2
        assert word in err


def test_a_gate_names_what_failed_most_first(many):
    checks = check_many([read_condition("accuracy drop > 1 points in any task")], many)
    values = [abs(item.estimate.value) for item in checks if item.failed]
    assert len(values) > 1
    lines = gate_of(Checked(tuple(sorted(checks, key=lambda item: item.estimate.value)))).lines
    by_size = sorted((item for item in checks if item.failed), key=lambda item: -abs(item.estimate.value))
    assert list(lines[: len(values)]) == [item.to_text() for item in by_size]


def test_a_condition_is_judged_by_the_simultaneous_interval(logs, many, call):
    """A limit between the end of the interval alone and that of the interval which holds together is undecided."""
    change = many.overall["step-300"]
    alone, together = change.section.estimates["delta_accuracy"].ci_high, change.simultaneous.ci_high
    limit = -100 * (alone + together) / 2
    arguments = ("compare", logs / "step-0", *(logs / run for run in RUNS))
    assert call(*arguments, "--fail-if", f"accuracy drop > {limit:.4f} points in any run")[0] == 0
    assert call(*arguments, "--fail-if", f"accuracy drop > {limit:.4f} points in step-300")[0] == 1


def test_labels_name_runs_and_keep_their_order(logs, call):
    base, one, two = (logs / name for name in ("step-0", "step-300", "step-100"))
    code, stored, _ = call(
        *("compare", base, "--label", f"late={one}", "--label", f"early={two}", "--label", f"start={base}"),
        *("--format", "json", "--order", "3,1"),
    )
    assert code == 0
    content = json.loads(stored)
    assert [run["label"] for run in content["runs"]] == ["late", "early"]
    assert content["reference"]["label"] == "start"
    assert content["series"]["positions"] == {"late": 3, "early": 1}
    for further in (
        ("--label", "x"),
        ("--label", f"a={one}", "--label", f"a={two}"),
        (two, "--label", f"a={one}", "--label", f"b={one}"),
        (one, two, "--label", f"a={base}", "--label", f"b={base}"),
        (one, one),
        (one, two, "--policy", "x.yaml"),
        (one, two, "--noise", one, two),
        (one, two, "--tasks", "sampled"),
        (one, two, "--order", "1,2,3,4"),
        (one, "--order", "auto"),
        (),
    ):
        code, out, err = call("compare", base, *further)
        assert (code, out) == (2, ""), further
        assert err.startswith("consistency: ")


def test_a_closed_standard_output_is_an_error_of_the_machine(logs, call, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    code, _, err = call("compare", logs / "step-0", *(logs / run for run in RUNS))
    assert (code, err.count("\n")) == (2, 1)
    assert "closed" in err


def test_one_run_is_compared_as_before(logs, call):
    pair = call("compare", logs / "step-0", logs / "step-100")
    assert pair == call("compare", logs / "step-0", "--label", f"x={logs / 'step-100'}")
    assert "flips −/+" in pair[1]


# Python and the report


def test_the_result_in_python(many):
    frame = many.to_frame()
    assert len(frame) == 3 * 4
    row = frame[(frame.run == "step-300") & (frame.task == "law")].iloc[0]
    assert row.change == many.by_task["law"]["step-300"].simultaneous.value
    assert row.harmful - row.beneficial == pytest.approx(-60 * row.change)
    kl = many.by_task["law"]["step-300"].section.estimates["kl"]
    assert (row.kl, row.kl_low, row.kl_high) == (kl.value, kl.ci_low, kl.ci_high)
    assert row.harmful_flips == pytest.approx(row.harmful / 60)
    assert row.judgement == "worse"
    lines = repr(many).splitlines()
    assert 3 < len(lines) < 20
    assert max(map(len, lines)) <= 80
    assert consistency.compare_many is compare_many


def test_the_report_holds_what_was_computed(logs, many, tmp_path):
    page = write_many(many, tmp_path / "report").read_text()
    document = read_document(tmp_path / "report")
    assert isinstance(document, ManyReport)
    assert document.comparison.ranking[0].label == many.ranking[0].label
    with (tmp_path / "report" / "tables" / "heat.csv").open() as file:
        heat = {row["task"]: row for row in csv.DictReader(file)}
    for task, changes in many.by_task.items():
        for label, change in changes.items():
            assert float(heat[task][f"change_{label}"]) == change.simultaneous.value
    cells = page.split('class="one-label heat"')[1].split("</table>")[0]
    assert cells.count("lost4") >= 1
    for name in ("runs", "tasks"):
        for ending in ("svg", "pdf", "csv"):
            assert (tmp_path / "report" / "figures" / f"{name}.{ending}").stat().st_size > 0
    # Darker cells are larger changes.
    shades = {}
    for row in cells.split("<tr>")[2:]:
        for cell in row.split("<td ")[1:]:
            shade, text = cell.split('"')[1], cell.split(">")[1].split("<")[0].rstrip("*").replace("−", "-")
            shades.setdefault(shade.split()[-1], []).append(abs(float(text)))
    lost = [max(shades[f"lost{step}"]) for step in range(1, 5) if f"lost{step}" in shades]
    assert all(one < other for one, other in pairwise(lost))


def test_a_run_called_task_leaves_the_tasks_their_names(logs):
    found = compare_many(logs / "step-0", {"task": logs / RUNS[0], "questions": logs / RUNS[1]})
    rows = {row["task"]: row for row in heat_table(found).data}
    assert set(rows) == {*found.by_task, *found.pools}
    assert rows["law"]["change_task"] == found.by_task["law"]["task"].simultaneous.value


def test_hostile_names_stay_text(logs, tmp_path, call):
    labels = ("<img src>|$x^2$\x1b[2J\\end{table}", "@SUM(1)", "</script>")
    given = [f"--label={name}={logs / run}" for name, run in zip(labels, RUNS, strict=True)]
    code, out, _ = call("compare", logs / "step-0", *given, "--out", tmp_path / "report")
    assert code == 0
    assert "\x1b" not in out
    shown = compare_many(logs / "step-0", dict(zip(labels, (logs / run for run in RUNS), strict=True)))
    assert "\x1b" not in repr(shown)
    assert shown._repr_html_().count("&lt;img src&gt;") >= 1
    assert not {"<img", "<script", "</script", "\x1b"} & set(re.findall("</?script|<img|\x1b", shown._repr_html_()))
    page, script = (tmp_path / "report" / "report.html").read_text(), "</script>"
    assert "<img" not in page
    assert page.count(script) == page.count("<script")
    with (tmp_path / "report" / "tables" / "ranking.csv").open() as file:
        assert {row["run"] for row in csv.DictReader(file)} >= {"'@SUM(1)", "</script>"}
    assert r"\end{table}" not in (tmp_path / "report" / "tables" / "ranking.tex").read_text()
    for file in (tmp_path / "report").rglob("*.*"):
        assert b"\x1b" not in file.read_bytes() or file.suffix == ".pdf"
