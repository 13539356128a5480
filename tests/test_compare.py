"""Whole comparisons: the published figures of real logs, an identical rerun, what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax
from statsmodels.stats.contingency_tables import mcnemar

from consistency.comparison.compare import compare
from consistency.errors import InputError
from consistency.logs.runs import read_run
from consistency.statistics.means import mean

ZERO, FIVE, OLD = "qwen2.5-1.5b-instruct-0shot", "qwen2.5-1.5b-instruct-5shot", "vicuna-33b-lm_eval-0.4.0"


@pytest.fixture(scope="module")
def qwen(test_data):
    return compare(test_data / "harness_logs" / ZERO, test_data / "harness_logs" / FIVE)


def write(folder: Path, task: str, rows: list[dict], date: str = "2026-01-02T03-04-05.678901") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"samples_{task}_{date}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def generated(answers: list[float], task: str = "gsm8k") -> list[dict]:
    return [
        {
            "doc_id": i,
            "doc": {"question": f"{task} {i}?"},
            "target": "4",
            "arguments": {"gen_args_0": {"arg_0": "…", "arg_1": {"until": ["\n"]}}},
            "resps": [["4"]],
            "filtered_resps": ["4"],
            "filter": "none",
            "metrics": ["exact_match", "length"],
            "exact_match": value,
            "length": 10.0 * value,
            "doc_hash": f"{task}{i}",
        }
        for i, value in enumerate(answers)
    ]


def chosen(logprobs: np.ndarray, gold: np.ndarray, task: str, prefix: str = "") -> list[dict]:
    return [
        {
            "doc_id": i,
            "doc": {"question": f"{prefix}{task} {i}?", "choices": list("wxyz")},
            "target": str(g),
            "arguments": {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {c}"} for o, c in enumerate("wxyz")},
            "filtered_resps": [[str(v), "False"] for v in x],
            "filter": "none",
            "metrics": ["acc"],
            "acc": float(np.argmax(x) == g),
        }
        for i, (x, g) in enumerate(zip(logprobs.tolist(), gold.tolist(), strict=True))
    ]


def test_the_known_figures_of_the_two_qwen_logs(qwen):
    overall = json.loads(json.dumps(qwen.to_dict(), allow_nan=False))["overall"]
    assert overall["n"] == 200
    figures = {name: overall[name]["value"] for name in ("accuracy_before", "accuracy_after", "same_top")}
    assert figures == {"accuracy_before": 0.38, "accuracy_after": 0.435, "same_top": 0.61}
    assert round(overall["kl"]["value"], 5) == 0.24594
    assert round(overall["kl"]["se"], 5) == 0.01813
    assert round(overall["kl_quantiles"]["p50"], 5) == 0.16019
    assert round(overall["spearman"]["value"], 5) == 0.65924
    assert round(overall["tau_b"]["value"], 5) == 0.57616
    assert round(overall["rms_delta_gold"]["value"], 4) == 0.1990
    assert (overall["flips"]["harmful"], overall["flips"]["beneficial"]) == (19, 30)
    assert round(overall["mcnemar_p"], 4) == 0.1524
    assert overall["pairing"]["paired"] == 200
    assert overall["pairing"]["dropped"] == {}


def test_figures_equal_an_independent_recomputation_from_the_files(qwen, test_data):
    """Plain loops over the raw JSON, with scipy."""
    rows = []
    for folder in (ZERO, FIVE):
        files = sorted((test_data / "harness_logs" / folder).glob("*/samples_*.jsonl"))
        rows.append([json.loads(line) for file in files for line in file.open()])
    kl, rho, tau, moved, least = [], [], [], [], 0.0
    for one, two in zip(*rows, strict=True):
        assert one["doc_hash"] == two["doc_hash"]
        x, y = ([float(r[0]) for r in item["filtered_resps"]] for item in (one, two))
        p, q = softmax(x), softmax(y)
        kl.append(stats.entropy(p, q))
        least = max(least, *(-np.log(q)))
        rho.append(stats.spearmanr(x, y).statistic)
        tau.append(stats.kendalltau(x, y).statistic)
        moved.append(q[int(one["target"])] - p[int(one["target"])])
    for name, values in (("spearman", rho), ("tau_b", tau)):
        estimate = qwen.overall.estimates[name]
        expected = stats.ttest_1samp(values, 0).confidence_interval()
        assert (estimate.value, estimate.ci_low, estimate.ci_high) == pytest.approx(
            (np.mean(values), *expected), abs=1e-10
        )
    # With random weights for the questions and for one more that has the largest possible value, or the smallest.
    weights = np.random.default_rng(0).dirichlet(np.ones(201), 100_000)
    for name, values, ends in (("kl", kl, (0.0, least)), ("delta_gold", moved, (-1.0, 1.0))):
        found = qwen.overall.estimates[name]
        assert found.value == pytest.approx(np.mean(values), abs=1e-10)
        assert np.mean(weights @ [*values, ends[1]] > found.ci_high) == pytest.approx(0.025, abs=0.0015)
        assert np.mean(weights @ [*values, ends[0]] < found.ci_low) == pytest.approx(0.025, abs=0.0015)
    assert qwen.overall.kl_largest["kl"] == pytest.approx(least, abs=1e-10)
    # The printed p is that of a loss that was not seen, and so of the printed interval.
    (line,) = (line for line in qwen.to_text().splitlines() if line.startswith("gold option's probability"))
    p = float(line.split("p = ")[1].split(" ")[0])
    assert p == pytest.approx(2 * np.mean(weights @ [*moved, -1.0] < 0), rel=0.2)
    assert qwen.overall.trimmed["kl"].value == pytest.approx(stats.trim_mean(kl, 0.2), abs=1e-10)
    correct = np.array([[item["acc"] for item in side] for side in rows])
    table = [[((correct[0] == a) & (correct[1] == b)).sum() for b in (1, 0)] for a in (1, 0)]
    assert qwen.overall.mcnemar_p == pytest.approx(mcnemar(table, exact=True).pvalue, abs=1e-12)


def test_the_result_has_a_table_a_sentence_and_a_signature(qwen):
    text = qwen.to_text()
    (shots,) = qwen.settings
    assert (shots.setting, shots.before, shots.after, len(shots.tasks)) == ("few-shot", "0", "5", 2)
    assert shots.to_text() in text
    (row,) = (line.split() for line in text.splitlines() if line.startswith("mmlu_abstract_algebra"))
    assert row[:8] == ["mmlu_abstract_algebra", "acc", "100", "26.0", "%", "38.0", "%", "+12.0"]
    assert qwen.verdict.startswith("No change of accuracy distinguishable from chance: +5.5 points")
    conclusion = text.partition("\n\n")[0].splitlines()
    assert "; ".join(line.strip() for line in conclusion) == qwen.verdict
    assert qwen.signature in text
    assert qwen.signature.startswith("n:200|tasks:2|score:raw|unit:question|interval:score|")


def test_an_identical_rerun_is_no_change(test_data):
    result = compare(test_data / "harness_logs" / FIVE, test_data / "harness_logs" / FIVE)
    overall = json.loads(json.dumps(result.to_dict(), allow_nan=False))["overall"]
    (clauses,) = result.conclusions
    assert clauses[:2] == (
        "No change: every answer is as right as before",
        "100.0 % [98.1, 100.0] of 200 questions keep their answer",
    )
    assert len(clauses) == 3
    assert [warning.kind for warning in result.warnings] == ["same run"]
    # With no flip in n the score interval ends at z² / (n + z²).
    z = stats.norm.ppf(0.975)
    ends = (overall["delta_accuracy"]["ci_low"], overall["delta_accuracy"]["ci_high"])
    assert ends == pytest.approx((-(z**2) / (200 + z**2), z**2 / (200 + z**2)), abs=1e-9)
    assert (overall["mcnemar_p"], overall["sign_flip_p"]) == (1, 1)
    # If one answer in 100 turned, 200 would all stay with this probability: too few to show that none does.
    assert 0.99**200 <= overall["equivalence_p"] <= 0.99**200 + 0.01
    assert overall["kl"]["value"] == pytest.approx(0, abs=1e-12)
    assert overall["spearman"]["value"] == pytest.approx(1)


def test_logs_of_two_versions_compare(test_data):
    logs = test_data / "harness_logs"
    result = compare(logs / OLD, logs / ZERO)
    section = result.by_task["mmlu_abstract_algebra"]
    assert section.pairing.by_content == section.n == 100
    assert (section.estimates["accuracy_before"].value, section.estimates["accuracy_after"].value) == (0.36, 0.26)
    assert "mmlu_virology" in result.names.only_before


def test_tasks_without_options_are_compared_by_their_metrics(tmp_path):
    write(tmp_path / "a", "gsm8k", generated([1, 1, 0, 0]))
    write(tmp_path / "b", "gsm8k", generated([1, 0, 1, 1]))
    result = compare(tmp_path / "a", tmp_path / "b")
    section = result.to_dict()["by_task"]["gsm8k"]
    assert result.overall is None
    assert section["flips"] == {"harmful": 1, "beneficial": 2}
    assert section["delta_accuracy"]["value"] == 0.25
    assert section["metrics"]["length"]["delta"]["value"] == 2.5
    assert section["accuracy_metric"] == "exact_match"
    assert "kl" not in section
    assert section["note"]


def test_overall_pools_only_tasks_with_options(tmp_path):
    rng = np.random.default_rng(0)
    for side in "ab":
        write(tmp_path / side, "gsm8k", generated([1, 0, 1]))
        write(tmp_path / side, "arc", chosen(rng.normal(-3, 1, (20, 4)), rng.integers(0, 4, 20), "arc"))
    result = compare(tmp_path / "a", tmp_path / "b")
    assert result.overall.n + sum(found.count for found in result.overall.pairing.dropped.values()) == 20
    assert set(result.by_task) == {"arc", "gsm8k"}


def test_tasks_are_fixed_unless_they_are_said_to_be_sampled(tmp_path):
    rng = np.random.default_rng(1)
    sizes = rng.integers(20, 200, 12)
    for task, size in enumerate(sizes):
        gold = rng.integers(0, 4, size)
        for side in "ab":
            write(tmp_path / side, f"t{task}", chosen(rng.normal(-3, 1, (size, 4)), gold, f"t{task}"))
    scopes = {"id": ["t0", "t1"], "ood": [f"t{i}" for i in range(2, 12)], "absent": ["t99"]}
    fixed = compare(tmp_path / "a", tmp_path / "b").overall.estimates
    assert (fixed["kl"].unit, fixed["delta_accuracy"].unit) == ("question", "question")
    result = compare(tmp_path / "a", tmp_path / "b", scopes=scopes, task_sampling="sampled")
    change = result.overall.estimates["delta_gold"]
    assert (change.unit, change.method) == ("cluster", "bounded")
    of_tasks = mean(
        np.concatenate([items["delta_gold"] for items in result.items.values()]),
        tasks=np.repeat(np.arange(12), [len(items["delta_gold"]) for items in result.items.values()]),
    )
    assert change.ci_low <= of_tasks.ci_low < of_tasks.ci_high <= change.ci_high
    assert result.overall.estimates["delta_accuracy"].unit == "cluster"
    parts = [section.estimates["delta_gold"].value for section in result.by_task.values()]
    counts = np.array([section.n for section in result.by_task.values()])
    left_out = [np.average(np.delete(parts, g), weights=np.delete(counts, g)) for g in range(12)]
    assert change.se == pytest.approx(np.sqrt(11 / 12 * ((np.array(left_out) - change.value) ** 2).sum()))
    assert result.overall.macro["delta_gold"].value == pytest.approx(np.mean(parts))
    assert set(result.by_scope) == {"id", "ood"}
    few = result.by_scope["id"].estimates["kl"]
    assert (few.unit, few.warnings, few.ci_low) == ("cluster", ("too few",), None)
    adjusted = [section.mcnemar_p_bh for section in result.by_task.values()]
    raw = [section.mcnemar_p for section in result.by_task.values()]
    np.testing.assert_allclose(adjusted, stats.false_discovery_control(raw))


def test_the_verdict_never_contradicts_the_exact_test(tmp_path):
    """Five flips of a thousand, all one way: the score interval excludes 0, the exact p is .0625."""
    gold = np.zeros(1000, dtype=int)
    right = np.tile([-1.0, -2.0, -3.0, -4.0], (1000, 1))
    wrong = right.copy()
    wrong[:5] = [-2.0, -1.0, -3.0, -4.0]
    write(tmp_path / "one", "sums", chosen(right, gold, "sums"))
    write(tmp_path / "two", "sums", chosen(wrong, gold, "sums"))
    result = compare(tmp_path / "one", tmp_path / "two")
    assert result.overall.estimates["delta_accuracy"].ci_high < 0
    assert result.overall.mcnemar_p == 0.0625
    assert result.verdict.startswith("No change of accuracy distinguishable from chance by the exact test")


def test_rotations_of_a_question_are_one_question(tmp_path):
    rng = np.random.default_rng(0)
    sure = {}
    for name in ("one", "two"):
        rows = []
        for i in range(12):
            by_letter = rng.normal(-2, 1, (4, 4)).clip(max=0)
            for rotation in range(4 if i < 11 else 3):
                (item,) = chosen(by_letter[[rotation]], np.array([(3 - rotation) % 4]), "sums")
                item["doc"] = {"id": i, "question": f"{i}?", "choices": np.roll(list("wxyz"), -rotation).tolist()}
                item["doc"]["rotation"] = rotation
                rows.append(item | {"doc_id": len(rows)})
            # By hand: option o stands behind letter (o - r) mod 4 in rotation r; its logs are averaged.
            logs = by_letter - np.log(np.exp(by_letter).sum(axis=1, keepdims=True))
            option = np.array([[logs[r, (o - r) % 4] for r in range(4)] for o in range(4)]).mean(axis=1)
            sure.setdefault(name, []).append(softmax(option))
        write(tmp_path / name, "sums_cyclic", rows)
    result = compare(tmp_path / "one", tmp_path / "two")
    before, after = (np.array(sure[name])[:11] for name in ("one", "two"))
    assert result.overall.n == 11
    assert result.overall.estimates["kl"].value == pytest.approx(stats.entropy(before, after, axis=1).mean(), abs=1e-12)
    assert result.overall.estimates["accuracy_after"].value == (after.argmax(axis=1) == 3).mean()
    assert "sums_cyclic, first log: 47 rotations are folded into 11 questions" in result.to_text()


def test_one_filter_is_compared_with_its_own_of_several(tmp_path):
    rows = generated([0.0, 1.0, 1.0])
    write(tmp_path / "one", "gsm8k", [row | {"filter": "strict"} for row in rows])
    several = [row | {"filter": name, "exact_match": 1.0} for name in ("strict", "flexible") for row in rows]
    write(tmp_path / "two", "gsm8k", several)
    result = compare(tmp_path / "one", tmp_path / "two")
    assert list(result.by_task) == ["gsm8k"]
    assert result.main.flips["beneficial"] == 1
    assert (result.main.filter, result.names.renamed, result.names.only_after) == ("strict", {}, ())


def test_metrics_that_are_no_numbers_are_named(tmp_path):
    rows = [row | {"metrics": ["exact_match", "spans"], "spans": {"start": 3}} for row in generated([1.0])]
    for name in ("one", "two"):
        write(tmp_path / name, "gsm8k", rows)
    section = compare(tmp_path / "one", tmp_path / "two").by_task["gsm8k"]
    assert [item.metric for item in section.uncompared] == ["spans"]
    assert list(section.metrics) == ["exact_match"]


def test_one_question_in_common_makes_no_pair_of_tasks(tmp_path):
    rng = np.random.default_rng(0)
    x, gold = rng.normal(-2, 1, (20, 4)).clip(max=0), rng.integers(0, 4, 20)
    write(tmp_path / "one", "a", chosen(x, gold, "a"))
    other = chosen(x, gold, "b")
    other[0]["doc"] = {"question": "a 0?", "choices": list("wxyz")}
    write(tmp_path / "two", "b", other)
    with pytest.raises(InputError, match="no task in common"):
        compare(tmp_path / "one", tmp_path / "two")


def test_each_log_has_its_own_run(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        for day in (1, 2):
            gold = rng.integers(0, 4, 20)
            rows = chosen(rng.normal(-2, 1, (20, 4)).clip(max=0), gold, "sums")
            write(tmp_path / name, "sums", rows, f"2026-0{1 if name == 'one' else 2}-0{day}T03-04-05.678901")
    one, two = tmp_path / "one", tmp_path / "two"

    def dates(*where, run):
        result = compare(*where, run=run)
        return result.before.date[:10], result.after.date[:10]

    assert dates(one, two, run=None) == ("2026-01-02", "2026-02-02")
    assert dates(one, two, run=("2026-01-01", "2026-02-01")) == ("2026-01-01", "2026-02-01")
    assert dates(one, two, run="2026-01-01") == ("2026-01-01", "2026-02-02")
    assert dates(one, one, run=("2026-01-01", "2026-01-02")) == ("2026-01-01", "2026-01-02")

    def kinds(result):
        return [warning.kind for warning in result.warnings]

    assert "same run" not in kinds(compare(one, one, run=("2026-01-01", "2026-01-02")))
    newest = max(one.rglob("samples_*_2026-01-02*"))
    assert "same run" in kinds(compare(one, newest))
    for where, run, message in (
        ((one, two), "1999", "no run begins with '1999'"),
        ((one, two), ("2026-01-01", "1999"), "no run begins with '1999'"),
        ((one, one), "2026-01-01", "one run compared with itself"),
    ):
        with pytest.raises(InputError, match=message):
            compare(*where, run=run)


def test_the_table_tells_how_questions_were_paired(tmp_path):
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 4, 20)
    rows = chosen(rng.normal(-2, 1, (20, 4)).clip(max=0), gold, "sums")
    for i, item in enumerate(rows):
        item |= {"doc_hash": str(i), "prompt_hash": "a"}
    write(tmp_path / "one", "sums", rows)
    turned = [item | {"prompt_hash": "b"} for item in rows[:-1]]
    for item in turned[:7]:
        item["doc"] = item["doc"] | {"choices": list("zyxw")}
        item["arguments"] = {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {c}"} for o, c in enumerate("zyxw")}
        item["filtered_resps"] = item["filtered_resps"][::-1]
        item["target"] = str(3 - int(item["target"]))
    write(tmp_path / "two", "sums", turned)
    text = compare(tmp_path / "one", tmp_path / "two").to_text()
    assert "overall: of 19 questions 7 with options in another order, 19 with another prompt" in text
    assert "left out of sums: 1 only in the first log (doc_id 19)" in text


def test_tasks_of_different_names_pair_by_their_questions(tmp_path):
    rng = np.random.default_rng(2)
    for domain in ("law", "art"):
        gold = rng.integers(0, 4, 10)
        write(tmp_path / "a", f"{domain}_icl", chosen(rng.normal(-3, 1, (10, 4)), gold, domain))
        write(tmp_path / "b", f"{domain}_ift", chosen(rng.normal(-3, 1, (10, 4)), gold, domain))
    result = compare(tmp_path / "a", tmp_path / "b")
    assert set(result.by_task) == {"law_icl", "art_icl"}
    assert result.names.renamed == {"law_icl": "law_ift", "art_icl": "art_ift"}
    named = compare(tmp_path / "a", tmp_path / "b", tasks={"law_icl": "law_ift"})
    assert named.overall.n == 10


def test_impossible_options_are_counted_and_not_hidden(tmp_path):
    gold = np.zeros(3, dtype=int)
    before, after = np.full((3, 4), -1.0), np.full((3, 4), -1.0)
    before[:, 0] = after[:, 0] = -0.5
    after[0, 3] = -np.inf
    write(tmp_path / "a", "t", chosen(before, gold, "t"))
    write(tmp_path / "b", "t", chosen(after, gold, "t"))
    result = compare(tmp_path / "a", tmp_path / "b")
    kl = json.loads(json.dumps(result.to_dict(), allow_nan=False))["overall"]["kl"]
    assert (kl["value"], kl["n"], kl["undefined"]) == (0, 2, 1)
    assert "KL has no finite value for 1 of 3 questions" in result.to_text()
    assert "100.0 % [43.9, 100.0] of 3 questions keep their answer" in result.verdict
    # Without an answer there is none to keep.
    after[0] = np.nan
    write(tmp_path / "c", "t", chosen(after, gold, "t"))
    assert "100.0 % [34.2, 100.0] of 2 questions keep their answer" in compare(tmp_path / "a", tmp_path / "c").verdict


def test_what_cannot_be_compared_is_refused(tmp_path):
    gold = np.zeros(3, dtype=int)
    write(tmp_path / "a", "one", chosen(np.full((3, 4), -1.0), gold, "one"))
    write(tmp_path / "b", "two", chosen(np.full((3, 4), -1.0), gold, "two"))
    write(tmp_path / "c", "one", chosen(np.full((3, 4), -1.0), gold, "one", prefix="Another "))
    with pytest.raises(InputError, match="no task in common: two; expected the tasks of the other log: one"):
        compare(tmp_path / "a", tmp_path / "b")
    with pytest.raises(InputError, match=r"one: no question in common \(3 question changed\)"):
        compare(tmp_path / "a", tmp_path / "c")
    with pytest.raises(InputError, match="three"):
        compare(tmp_path / "a", tmp_path / "a", tasks={"one": "three"})
    with pytest.raises(InputError, match="a margin of 0"):
        compare(tmp_path / "a", tmp_path / "a", margin=0)
    with pytest.raises(InputError, match="no log-probabilities without the question"):
        compare(tmp_path / "a", tmp_path / "a", score="acc_mutual_info")


def test_runs_already_read_compare_as_their_paths(test_data, qwen):
    logs = test_data / "harness_logs"
    assert compare(read_run(logs / ZERO), read_run(logs / FIVE)).to_dict() == qwen.to_dict()


def test_comparing_imports_neither_torch_nor_pandas():
    code = "import sys, consistency.comparison.compare; print(sorted({'torch', 'pandas', 'scipy.stats'} & set(sys.modules)))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "[]"
