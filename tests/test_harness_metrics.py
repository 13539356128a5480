"""Metrics are the harness's own: each is checked against its definition, scikit-learn or sacrebleu."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
from scipy.stats import ttest_1samp, ttest_ind
from sklearn.metrics import f1_score, matthews_corrcoef

from consistency.comparison.compare import compare
from consistency.comparison.conditions import check, read_condition
from consistency.comparison.identical import IdenticalLogprobs
from consistency.comparison.many.compare import compare_many
from consistency.comparison.result import Comparison
from consistency.comparison.sides.compare import compare_sides
from consistency.errors import InputError
from consistency.logs.runs import read_run

DATE = "2026-01-02T03-04-05.678901"
Row = dict[str, Any]


def write(folder: Path, tasks: dict[str, list[Row]], results: dict[str, Any] | None = None) -> Path:
    """A log: a samples file of each task, and a results file where there is something in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for task, rows in tasks.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"samples_{task}_{DATE}.jsonl").write_text(text)
    if results is not None:
        (folder / f"results_{DATE}.json").write_text(json.dumps(results))
    return folder


def row(number: int, **metrics: Any) -> Row:
    """A document whose metrics are given."""
    return {
        "doc_id": number,
        "doc": {"question": f"Question {number}?"},
        "target": "x",
        "arguments": {"gen_args_0": {"arg_0": f"Question {number}?", "arg_1": {"until": ["\n"]}}},
        "resps": [["x"]],
        "filtered_resps": ["x"],
        "filter": "none",
        "metrics": list(metrics),
        "doc_hash": f"{number}",
        **metrics,
    }


def scored(number: int, logprobs: list[float], target: Any, doc: Row | None = None, **metrics: Any) -> Row:
    """A question with options."""
    texts = [f" option {k}" for k in range(len(logprobs))]
    return row(number, **metrics) | {
        "doc": doc or {"question": f"Question {number}?"},
        "target": target,
        "arguments": {f"gen_args_{k}": {"arg_0": "Q", "arg_1": text} for k, text in enumerate(texts)},
        "resps": [[[str(x), "False"]] for x in logprobs],
        "filtered_resps": [[str(x), "False"] for x in logprobs],
    }


def both(tmp_path: Path, before: list[Row], after: list[Row], task: str = "t", **results: Any) -> Comparison:
    """Two logs of one task compared; the same results file for both, where one is given."""
    given = results or None
    return compare(write(tmp_path / "before", {task: before}, given), write(tmp_path / "after", {task: after}, given))


def ends(comparison: Comparison, metric: str, task: str = "t") -> tuple[float, float]:
    found = (comparison.by_task[task].metrics or {})[metric]
    assert found.before.value is not None
    assert found.after.value is not None
    return found.before.value, found.after.value


# Fractions


def test_a_fraction_is_the_accuracy_and_its_gold_options_are_the_labelled_ones(tmp_path: Path) -> None:
    """As truthfulqa_mc2: the probability of all true options, of which the target names the first alone."""
    logs, shares = {}, {}
    for when, seed in (("before", 0), ("after", 1)):
        rng = np.random.default_rng(seed)
        rows, shares[when] = [], []
        for number in range(20):
            logprobs = rng.normal(-8, 2, 4).tolist()
            labels = [1, 1, 0, 0]
            p = np.exp(logprobs) / np.exp(logprobs).sum()
            shares[when].append(float(p[:2].sum()))
            doc = {
                "question": f"Question {number}?",
                "mc1_targets": {"choices": [f"option {k}" for k in range(4)], "labels": [1, 0, 0, 0]},
                "mc2_targets": {"choices": [f"option {k}" for k in range(4)], "labels": labels},
            }
            # The set that mc1 scores has other options than the one that is scored here.
            doc["mc1_targets"]["choices"][3] = "another"
            rows.append(scored(number, logprobs, "0", doc, acc=shares[when][-1]))
        logs[when] = rows
    comparison = both(tmp_path, logs["before"], logs["after"])
    section = comparison.by_task["t"]
    change = np.mean(shares["after"]) - np.mean(shares["before"])
    assert section.estimates["delta_accuracy"].value == pytest.approx(change, abs=1e-12)
    # What the labels give is computed from the log-probabilities alone.
    assert section.estimates["delta_gold"].value == pytest.approx(change, abs=1e-12)
    assert (section.flips, section.mcnemar_p, section.accuracy_metric) == (None, None, "acc")
    assert "harmful_flips" not in section.estimates


def test_fractions_leave_flips_to_the_other_tasks(tmp_path: Path) -> None:
    tasks = {"half": [scored(i, [-1.0, -2.0], "0", acc=0.5) for i in range(4)]}
    for name, best in (("before", 0), ("after", 1)):
        lettered = [scored(i, [-1.0, -2.0][:: 1 - 2 * best], "0", acc=1.0 - best) for i in range(6)]
        write(tmp_path / name, {**tasks, "whole": lettered})
    overall = compare(tmp_path / "before", tmp_path / "after").overall
    assert overall is not None
    assert overall.flips == {"harmful": 6, "beneficial": 0, "wrong_to_wrong": 0}
    harmful = overall.estimates["harmful_flips"]
    assert (harmful.value, harmful.n, harmful.undefined) == (1.0, 6, 4)
    assert overall.estimates["accuracy_before"].value == pytest.approx((6 + 4 * 0.5) / 10)


# Perplexities


def test_perplexity_is_exp_of_minus_the_mean_and_lower_is_better(tmp_path: Path) -> None:
    likelihoods = ([-0.3, -0.8, -1.9, -4.2], [-0.7, -1.2, -2.3, -4.6])
    logs = [[row(i, perplexity=x, acc=0.0) for i, x in enumerate(side)] for side in likelihoods]
    comparison = both(tmp_path, *logs)
    assert ends(comparison, "perplexity") == pytest.approx([math.exp(1.8), math.exp(2.2)], rel=1e-12)
    found = (comparison.by_task["t"].metrics or {})["perplexity"]
    assert (found.aggregation, found.higher_is_better) == ("perplexity", False)
    # On the logarithmic scale it is a mean, whose standard error is known.
    assert found.before.se == pytest.approx(math.exp(1.8) * np.std(likelihoods[0], ddof=1) / 2, rel=1e-12)


def test_two_models_with_the_same_likelihoods_are_an_alarm(tmp_path: Path) -> None:
    rows = [row(i, word_perplexity=[-8.0 - i / 7, 4]) for i in range(12)]
    for name in ("one", "two"):
        write(tmp_path / name, {"t": rows}, {"config": {"model_args": f"pretrained=org/{name}"}})
    (alarm,) = compare(tmp_path / "one", tmp_path / "two").warnings
    assert isinstance(alarm, IdenticalLogprobs)
    assert (alarm.questions, alarm.of) == (12, 12)


def test_rolling_tasks_are_weighted_by_words_and_bytes(tmp_path: Path) -> None:
    words, sizes = [100, 300, 50], [500, 1400, 260]
    logs, totals = [], []
    for factor in (1.0, 1.1):
        likelihoods = [-factor * 1.7 * n for n in words]
        totals.append(sum(likelihoods))
        logs.append(
            [
                row(i, word_perplexity=[x, w], byte_perplexity=[x, b], bits_per_byte=[x, b])
                for i, (x, w, b) in enumerate(zip(likelihoods, words, sizes, strict=True))
            ]
        )
    comparison = both(tmp_path, *logs)
    for name, value in {
        "word_perplexity": lambda total: math.exp(-total / sum(words)),
        "byte_perplexity": lambda total: math.exp(-total / sum(sizes)),
        "bits_per_byte": lambda total: -total / sum(sizes) / math.log(2),
    }.items():
        assert ends(comparison, name) == pytest.approx([value(total) for total in totals], rel=1e-12)
    section = comparison.by_task["t"]
    assert (section.accuracy_metric, section.estimates["delta_accuracy"].value) == (None, None)
    assert "word_perplexity" in comparison.verdict


# Metrics of the whole task


def test_f1_and_matthews_are_those_of_scikit_learn(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 40)
    sides = [np.where(rng.random(40) < keep, gold, 1 - gold) for keep in (0.8, 0.6)]
    logs = [
        [
            scored(
                i, [-1.0, -2.0][:: 1 - 2 * int(p)], str(g), acc=float(g == p), f1=[int(g), int(p)], mcc=[int(g), int(p)]
            )
            for i, (g, p) in enumerate(zip(gold, side, strict=True))
        ]
        for side in sides
    ]
    comparison = both(tmp_path, *logs)
    assert ends(comparison, "f1") == pytest.approx([f1_score(gold, side) for side in sides], abs=1e-12)
    assert ends(comparison, "mcc") == pytest.approx([matthews_corrcoef(gold, side) for side in sides], abs=1e-12)
    change = (comparison.by_task["t"].metrics or {})["f1"].delta
    # The jackknife, by scikit-learn and one question less each time.
    left = [np.delete(np.arange(40), i) for i in range(40)]
    without = np.array([f1_score(gold[rows], sides[1][rows]) - f1_score(gold[rows], sides[0][rows]) for rows in left])
    assert change.se == pytest.approx(math.sqrt(39 / 40 * ((without - without.mean()) ** 2).sum()), rel=1e-9)


@pytest.mark.parametrize("name", ["bleu", "chrf", "ter"])
def test_corpus_metrics_are_those_of_sacrebleu(tmp_path: Path, name: str) -> None:
    references = ["the cat sat on the mat", "hello there big world", "a third sentence of some words"]
    sides = (
        ["the cat sat on a mat", "hello the big world", "a third sentence of words"],
        ["cat on mat", "hello there big world", "some words"],
    )
    logs = [[row(i, **{name: [r, t]}) for i, (r, t) in enumerate(zip(references, side, strict=True))] for side in sides]
    corpus = getattr(sacrebleu, f"corpus_{name}")
    expected = [corpus(side, [references]).score for side in sides]
    assert ends(both(tmp_path, *logs), name) == pytest.approx(expected, abs=1e-9)


def test_the_brier_score_comes_from_the_options(tmp_path: Path) -> None:
    """lm_eval logs the probabilities as a text with few digits."""
    logprobs = np.log([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4]])
    rows = [
        scored(i, x.tolist(), str(g), acc=1.0 - i, brier_score=[g, str(np.exp(x))])
        for i, (x, g) in enumerate(zip(logprobs, (0, 1), strict=True))
    ]
    expected = np.mean([(0.3**2 + 0.2**2 + 0.1**2), (0.3**2 + 0.7**2 + 0.4**2)])
    assert ends(both(tmp_path, rows, rows), "brier_score") == pytest.approx([expected] * 2, abs=1e-12)


# A function of the task's own


SOURCE = "def aggregate(items):\n    return …\n"


def own(value: float, metric: str = "score", n: int = 4) -> Row:
    """A results file of a task that aggregates by a function of its own."""
    return {
        "results": {"t": {f"{metric},none": value}},
        "configs": {"t": {"metric_list": [{"metric": metric, "aggregation": SOURCE, "higher_is_better": True}]}},
        "n-samples": {"t": {"original": n, "effective": n}},
    }


# Labels a, b and c of four questions, as scikit-learn takes them.
GOLD = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
PREDICTED = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 0.0, 0.5, 0.0], 0.375),
        # As IFEval: each instruction counts, not each question.
        ([[True, False], [True], [True, True, True], [False]], 5 / 7),
        # As RULER: -1 stands for no value.
        ([-1, 0.5, 1.0, -1], 0.75),
        ([[0, 0], [1, 2], [2, 2], [1, 1]], f1_score([0, 1, 2, 1], [0, 2, 2, 1], average="macro")),
        # As negotiationtom: sets of labels; a right, b and c missed or false once each.
        (
            [[["a"], ["a"]], [["a", "b"], ["a"]], [["b"], ["b", "c"]], [[], []]],
            f1_score(GOLD, PREDICTED, average="micro"),
        ),
        (
            [[["a"], ["a"]], [["a", "b"], ["a"]], [["b"], ["b", "c"]], [[], []]],
            f1_score(GOLD, PREDICTED, average="macro"),
        ),
        ([35.0, 0.0, 50.0, 15.0], 2500.0),
    ],
)
def test_the_form_that_gives_the_harness_number_is_taken(tmp_path: Path, values: list[Any], expected: float) -> None:
    rows = [row(i, score=value) for i, value in enumerate(values)]
    comparison = both(tmp_path, rows, rows, **own(expected))
    assert ends(comparison, "score") == pytest.approx([expected] * 2, abs=1e-12)
    assert comparison.by_task["t"].uncompared == ()


def test_where_no_form_does_the_metric_is_named(tmp_path: Path) -> None:
    rows = [row(i, score=float(i), exact_match=1.0) for i in range(4)]
    section = both(tmp_path, rows, rows, **own(17.0)).by_task["t"]
    assert [item.metric for item in section.uncompared] == ["score"]
    assert list(section.metrics or {}) == ["exact_match"]


def test_a_results_file_that_its_samples_contradict_is_named(tmp_path: Path) -> None:
    results = own(0.5, "exact_match")
    results["configs"]["t"]["metric_list"][0]["aggregation"] = "mean"
    rows = [row(i, exact_match=float(i == 0)) for i in range(4)]
    section = both(tmp_path, rows, rows, **results).by_task["t"]
    assert [note for note in section.pairing.notes if "0.5" in note and "0.25" in note]


# Which metric is accuracy


@pytest.mark.parametrize(
    ("metrics", "expected"),
    [
        ({"pass@5": (1, 1), "pass@1": (1, 0)}, "pass@1"),
        # In the order of the task's list, as truthfulqa_gen; only one of them happens to be 0 or 1 throughout in both.
        ({"bleu_max": (9, 1), "bleu_acc": (1, 0), "rouge1_acc": (0, 0)}, "bleu_acc"),
        ({"f1": (0.5, 0.2), "em": (1, 0)}, "em"),
        ({"prompt_level_loose_acc": (1, 1), "prompt_level_strict_acc": (1, 0)}, "prompt_level_strict_acc"),
        ({"rouge": (0, 1)}, None),
    ],
)
def test_accuracy_is_chosen_by_name(
    tmp_path: Path, metrics: dict[str, tuple[float, float]], expected: str | None
) -> None:
    logs = [[row(i, **{name: ends[k] for name, ends in metrics.items()}) for i in range(3)] for k in (0, 1)]
    section = both(tmp_path, *logs).by_task["t"]
    assert section.accuracy_metric == expected
    assert section.to_dict()["accuracy_metric"] == expected
    if expected:
        assert section.estimates["accuracy_after"].value == metrics[expected][1]


def test_acc_counts_and_acc_norm_is_beside_it(tmp_path: Path) -> None:
    rows = [scored(i, [-1.0, -2.0], "0", acc=1.0, acc_norm=float(i % 2)) for i in range(4)]
    comparison = both(tmp_path, rows, rows)
    assert comparison.by_task["t"].accuracy_metric == "acc"
    assert ends(comparison, "acc_norm") == (0.5, 0.5)
    normed = compare(tmp_path / "before", tmp_path / "after", score="acc_norm").by_task["t"]
    assert (normed.accuracy_metric, normed.estimates["accuracy_before"].value) == ("acc_norm", 0.5)


def test_a_task_that_logs_acc_norm_alone_has_its_accuracy(tmp_path: Path) -> None:
    rows = [scored(i, [-1.0, -2.0], "0", acc_norm=0.0) for i in range(4)]
    section = both(tmp_path, rows, rows).by_task["t"]
    assert (section.accuracy_metric, section.estimates["accuracy_before"].value) == ("acc_norm", 0.0)


# Filters


def filtered(before: tuple[float, float], *, named: bool) -> list[Row]:
    """Four questions under two filters, one block after the other, as lm_eval before 0.4.6 wrote without their names."""
    rows = []
    for name, share in zip(("strict-match", "flexible-extract"), before, strict=True):
        for i in range(4):
            found = row(i, exact_match=float(i < 4 * share)) | {"filter": name}
            rows.append(found if named else {k: v for k, v in found.items() if k not in ("filter", "metrics")})
    return rows


FILTERS = {
    "configs": {"t": {"filter_list": [{"name": "strict-match"}, {"name": "flexible-extract"}]}},
    "results": {"t": {"exact_match,strict-match": 0.5, "exact_match,flexible-extract": 0.75}},
}


def test_filters_without_names_are_the_blocks_of_the_file(tmp_path: Path) -> None:
    write(tmp_path / "before", {"t": filtered((0.5, 0.75), named=False)}, FILTERS)
    write(tmp_path / "after", {"t": filtered((0.0, 1.0), named=True)})
    section = compare(tmp_path / "before", tmp_path / "after").by_task["t"]
    assert (section.n, section.filter, section.accuracy_metric) == (4, "strict-match", "exact_match")
    other = section.other_filters["flexible-extract"]
    found = [[item.estimates[f"accuracy_{when}"].value for when in ("before", "after")] for item in (section, other)]
    assert found == [[0.5, 0.0], [0.75, 1.0]]


def test_a_filter_can_be_chosen(tmp_path: Path) -> None:
    for name in ("before", "after"):
        write(tmp_path / name, {"t": filtered((0.5, 0.75), named=True)})
    comparison = compare(tmp_path / "before", tmp_path / "after", filter_name="flexible-extract")
    assert comparison.by_task["t"].estimates["accuracy_before"].value == 0.75
    assert list(comparison.by_task["t"].other_filters) == ["strict-match"]
    with pytest.raises(InputError, match="strict-match, flexible-extract"):
        compare(tmp_path / "before", tmp_path / "after", filter_name="loose")


def test_two_filters_are_not_compared_with_each_other(tmp_path: Path) -> None:
    for name, own in (("before", "strict"), ("after", "flexible")):
        rows = [row(i, exact_match=float(own == "strict")) for i in range(4)]
        write(tmp_path / name, {"t": [item | {"filter": own} for item in rows], "u": rows})
    comparison = compare(tmp_path / "before", tmp_path / "after")
    assert list(comparison.by_task) == ["u"]
    assert [item.task for item in comparison.unpaired] == ["t"]
    with pytest.raises(InputError):
        compare(tmp_path / "before", tmp_path / "after", filter_name="strict")


def test_a_task_under_another_name_has_its_filters_paired(tmp_path: Path) -> None:
    write(tmp_path / "before", {"t": filtered((0.5, 0.75), named=True)})
    write(tmp_path / "after", {"other": filtered((0.5, 0.75), named=True)[::-1]})
    section = compare(tmp_path / "before", tmp_path / "after").by_task["t"]
    assert (section.filter, section.estimates["delta_accuracy"].value) == ("strict-match", 0.0)
    assert list(section.other_filters) == ["flexible-extract"]


def test_texts_are_no_classes(tmp_path: Path) -> None:
    """Pairs of a reference and a text under a function of the task's own: too many values to be classes."""
    rows = [row(i, score=[f"reference {i}", f"text {i}"]) for i in range(1000)]
    section = both(tmp_path, rows, rows, **own(17.0, n=1000)).by_task["t"]
    assert [item.metric for item in section.uncompared] == ["score"]


def test_without_a_number_of_the_harness_a_function_is_not_taken_for_a_mean(tmp_path: Path) -> None:
    results = own(1.0)
    del results["results"]
    rows = [row(i, score=float(i)) for i in range(4)]
    section = both(tmp_path, rows, rows, **results).by_task["t"]
    assert [item.metric for item in section.uncompared] == ["score"]


@pytest.mark.parametrize("other_filter_first", [True, False])
def test_each_metric_of_a_group_has_its_own_weighting(tmp_path: Path, *, other_filter_first: bool) -> None:
    """acc by size and acc_norm by task; the numbers of another filter do not count."""
    shares = {"small": (1.0, 0.5, 4), "large": (0.25, 0.75, 8)}
    tasks = {
        name: [scored(i, [-1.0, -2.0], "0", acc=float(i < acc * n), acc_norm=float(i < norm * n)) for i in range(n)]
        for name, (acc, norm, n) in shares.items()
    }
    numbers = [("acc,other", 0.625), ("acc,none", 0.5)]
    results = {
        "results": {
            **{name: {"acc,none": a, "acc,other": a, "acc_norm,none": b} for name, (a, b, _) in shares.items()},
            "both": dict(numbers if other_filter_first else numbers[::-1]) | {"acc_norm,none": 0.625},
        },
        "n-samples": {name: {"effective": n} for name, (_, _, n) in shares.items()},
        "group_subtasks": {"both": ["small", "large"]},
    }
    for name in ("before", "after"):
        write(tmp_path / name, tasks, results)
    group = compare(tmp_path / "before", tmp_path / "after").by_group["both"]
    assert group.weighting == "size"
    assert {name: found.before.value for name, found in (group.metrics or {}).items()} == {
        "acc": 0.5,
        "acc_norm": 0.625,
    }


# What a row may hold


@pytest.mark.parametrize("first", [True, False])
def test_a_metric_that_a_row_lacks_is_there_in_the_others(tmp_path: Path, *, first: bool) -> None:
    """lm_eval lists in each row the metrics of that row."""
    rows = [row(i, exact_match=float(i % 2), f1=0.5) for i in range(4)]
    rows[0 if first else 2] = row(0 if first else 2, exact_match=0.0)
    results = {"configs": {"t": {"metric_list": [{"metric": "exact_match"}, {"metric": "f1", "aggregation": "mean"}]}}}
    section = both(tmp_path, rows, rows, **results).by_task["t"]
    found = (section.metrics or {})["f1"].before
    assert (found.value, found.n, found.undefined) == (0.5, 3, 1)


@pytest.mark.parametrize(
    ("place", "value"),
    [(0, None), (2, None), (0, [-math.inf, 4]), (2, [math.nan, 4]), (2, "N/A"), (1, {"a": 1}), (0, ["0", "1"])],
)
def test_one_odd_value_costs_its_metric_alone(tmp_path: Path, place: int, value: Any) -> None:
    rows = [row(i, exact_match=1.0, word_perplexity=[-8.0, 4]) for i in range(4)]
    rows[place]["word_perplexity"] = value
    section = both(tmp_path, rows, rows).by_task["t"]
    assert section.estimates["accuracy_before"].value == 1.0
    assert "word_perplexity" in {*(section.metrics or {}), *(item.metric for item in section.uncompared)}


def test_an_infinite_value_is_named_and_not_left_out(tmp_path: Path) -> None:
    rows = [row(i, perplexity=-1.0, exact_match=1.0) for i in range(4)]
    rows[1]["perplexity"] = -math.inf
    section = both(tmp_path, rows, rows).by_task["t"]
    assert [item.metric for item in section.uncompared] == ["perplexity"]


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\tb", "a\nb", "a\x1b[31m"])
def test_a_metric_with_an_odd_name_is_named(tmp_path: Path, name: str) -> None:
    rows = [row(i, **{"exact_match": 1.0, name: 0.5}) for i in range(4)]
    section = both(tmp_path, rows, rows).by_task["t"]
    assert [item.metric for item in section.uncompared] == [name]


def test_with_samples_named_the_harness_counts_all_documents_and_the_numbers_are_of_those(tmp_path: Path) -> None:
    """As --samples: the count is of the task, the number of the rows that are there."""
    rows = [row(i, score=value) for i, value in enumerate([-1, 0.5, 1.0, -1])]
    section = both(tmp_path, rows, rows, **own(0.75, n=20)).by_task["t"]
    assert (section.metrics or {})["score"].before.value == 0.75
    assert section.pairing.notes == ()


def test_samples_that_were_cut_are_named(tmp_path: Path) -> None:
    results = own(0.5, "exact_match", n=9)
    results["configs"]["t"]["metric_list"][0]["aggregation"] = "mean"
    rows = [row(i, exact_match=float(i == 0)) for i in range(4)]
    notes = both(tmp_path, rows, rows, **results).by_task["t"].pairing.notes
    assert len(notes) == 2
    assert all("9" in note and "4" in note for note in notes)


def test_groups_may_be_in_the_second_log_alone(tmp_path: Path) -> None:
    before, after, results = grouped("task")
    write(tmp_path / "before", before)
    write(tmp_path / "after", after, results)
    group = compare(tmp_path / "before", tmp_path / "after").by_group["pro"]
    assert (group.weighting, group.estimates["delta_accuracy"].value) == ("task", -0.5)


def test_what_was_scored_as_right_was_read(tmp_path: Path) -> None:
    prompt = "Put the answer in <answer> and </answer>."
    rows = [written(i, "It is 4.", "It is 4.", 1.0, prompt) for i in range(3)]
    found = both(tmp_path, rows, rows).by_task["t"].readability
    assert found is not None
    assert (dict(found.before), found.both) == ({}, 3)


def test_repeated_rows_of_one_filter_are_no_second_filter(tmp_path: Path) -> None:
    rows = [{k: v for k, v in row(i, exact_match=1.0).items() if k != "filter"} for i in (0, 1, 0)]
    (scores,) = read_run(write(tmp_path, {"t": rows})).tasks.values()
    assert (len(scores), scores.duplicates) == (2, 1)


# Several tasks


def grouped(weighting: str) -> tuple[dict[str, list[Row]], dict[str, list[Row]], Row]:
    """Two tasks of 4 and 8 questions in a group below another; the second falls from all to none."""
    before = {
        "small": [row(i, exact_match=1.0) for i in range(4)],
        "large": [row(i, exact_match=1.0) for i in range(8)],
    }
    after = {**before, "large": [row(i, exact_match=0.0) for i in range(8)]}
    results = {
        "results": {"small": {"exact_match,none": 1.0}, "large": {"exact_match,none": 0.0}},
        "n-samples": {"small": {"effective": 4}, "large": {"effective": 8}},
        "group_subtasks": {"all": ["pro", "lone"], "pro": ["small", "large"], "lone": []},
    }
    results["results"]["pro"] = {"exact_match,none": {"size": 1 / 3, "task": 0.5}[weighting]}
    return before, after, results


@pytest.mark.parametrize(("weighting", "fell"), [("size", 8 / 12), ("task", 0.5)])
def test_a_group_is_weighed_as_the_harness_weighs_it(tmp_path: Path, weighting: str, fell: float) -> None:
    before, after, results = grouped(weighting)
    # The weighting is read from the first log, whose numbers here are those of the second: they tell the two apart.
    write(tmp_path / "before", after, results)
    write(tmp_path / "after", before)
    comparison = compare(tmp_path / "before", tmp_path / "after")
    group = comparison.by_group["pro"]
    assert (group.weighting, group.tasks, group.absent, group.n) == (weighting, ("small", "large"), 0, 12)
    assert group.estimates["delta_accuracy"].value == pytest.approx(fell)
    assert (group.metrics or {})["exact_match"].delta.value == pytest.approx(fell)
    assert (comparison.by_group["all"].tasks, comparison.by_group["all"].absent) == (("small", "large"), 1)
    (found,) = check([read_condition("measured accuracy rise > 40 points in pro")], comparison)
    assert (found.section, found.failed) == ("pro", True)


def test_tasks_of_one_metric_are_pooled_and_those_of_others_have_a_sentence_each(tmp_path: Path) -> None:
    before, after, _ = grouped("size")
    rolling = [row(i, word_perplexity=[-8.0 - i, 4]) for i in range(3)]
    options = [scored(i, [-1.0, -2.0], "0", acc=1.0) for i in range(5)]
    for name, tasks in (("before", before), ("after", after)):
        write(tmp_path / name, {**tasks, "wiki": rolling, "arc": options})
    comparison = compare(tmp_path / "before", tmp_path / "after")
    assert [(pool.n, pool.accuracy_metric) for pool in comparison.pools] == [(5, "acc"), (12, "exact_match"), (3, None)]
    (options_only,) = check([read_condition("kl > 1")], comparison)
    assert options_only.section == "overall"
    found = check([read_condition("measured accuracy drop > 50 points")], comparison)
    assert [item.failed for item in found] == [False, True]


def test_a_floor_is_no_constancy(tmp_path: Path) -> None:
    for name, right in (("floor", 0.0), ("ceiling", 1.0)):
        rows = [row(i, exact_match=right) for i in range(4)]
        comparison = both(tmp_path / name, rows, rows)
        assert ("No answer is right" in comparison.verdict) == (right == 0)


# What the model wrote


def written(number: int, text: str, answer: str, right: float, prompt: str = "Question?", tokens: int = 100) -> Row:
    return row(number, exact_match=right) | {
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": ["\n"], "max_gen_toks": tokens}}},
        "resps": [[text]],
        "filtered_resps": [answer],
    }


def test_unreadable_answers_are_counted_and_the_others_compared(tmp_path: Path) -> None:
    before = [written(i, f"The answer is {i}.", f"{i}", 1.0) for i in range(10)]
    after = [
        *[written(i, "I would rather not say.", "[invalid]", 0.0) for i in range(4)],
        *[written(i, "  ", "", 0.0) for i in (4, 5)],
        written(6, "<think>Let me see", "[invalid]", 0.0),
        written(7, "x" * 400, "[invalid]", 0.0),
        written(8, "The answer is 8.", "8", 1.0),
        written(9, "The answer is 0.", "0", 0.0),
    ]
    results = {"configs": {"t": {"generation_kwargs": {"max_gen_toks": 100}}}}
    found = both(tmp_path, before, after, **results).by_task["t"].readability
    assert found is not None
    assert (dict(found.before), dict(found.after)) == ({}, {"empty": 2, "cut": 2, "invalid": 4})
    assert (found.n, found.both, found.harmful, found.shares) == (10, 2, 8, (0.0, 0.8))
    assert found.delta_accuracy.value == -0.5


def test_a_tag_that_the_prompt_asks_for_is_missed(tmp_path: Path) -> None:
    prompt = "Put the answer in <answer> and </answer>."
    before = [written(i, "<answer>4</answer>", "4", 1.0, prompt) for i in range(3)]
    after = [written(i, "It is 4.", "It is 4.", 0.0, prompt) for i in range(3)]
    found = both(tmp_path, before, after).by_task["t"].readability
    assert found is not None
    assert (dict(found.before), dict(found.after)) == ({}, {"no tag": 3})


# Many runs, and several runs a side


def summaries(tmp_path: Path, name: str, values: np.ndarray, right: np.ndarray | None = None) -> Path:
    """A run with ROUGE and an edit distance; and with a task whose answers are right or wrong, where `right` is given."""
    tasks = {"summaries": [row(i, rouge1=float(x), edits=float(30 * x)) for i, x in enumerate(values)]}
    if right is not None:
        tasks["sums"] = [row(1000 + i, exact_match=float(x)) for i, x in enumerate(right)]
    return write(tmp_path / name, tasks)


def test_metrics_that_are_no_shares_are_compared_in_many_runs_with_intervals_that_hold_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    base, right = rng.random(60), rng.integers(0, 2, 60)
    values = {name: base + rng.normal(step, 0.1, 60) for name, step in (("one", 0.0), ("two", 0.1))}
    logs = {name: summaries(tmp_path, name, x, rng.integers(0, 2, 60)) for name, x in values.items()}
    found = compare_many(summaries(tmp_path, "base", base, right), logs)
    assert list(found.by_task) == ["sums"]
    assert {(item.label, item.metric) for item in found.metrics} == {
        (name, metric) for name in values for metric in ("rouge1", "edits")
    }
    for item in found.metrics:
        change = (values[item.label] - base) * (30 if item.metric == "edits" else 1)
        own = ttest_1samp(change, 0).confidence_interval(1 - 0.05 / 4)
        delta = item.found.delta
        assert (delta.value, delta.ci_low, delta.ci_high) == pytest.approx((change.mean(), own.low, own.high))
        assert item.found.is_sure == (not own.low <= 0 <= own.high)
    assert len(found.to_dict()["metrics"]) == 4
    assert found.to_text().count("rouge1") == 2
    alone = {name: summaries(tmp_path, f"{name} alone", x) for name, x in values.items()}
    with pytest.raises(
        InputError, match=r"summaries \(rouge1, edits\).*consistency compare '.*base alone' '.*one alone'"
    ):
        compare_many(summaries(tmp_path, "base alone", base), alone)


def test_metrics_over_several_runs_a_side_have_welch_s_interval_where_runs_alone_differ(tmp_path: Path) -> None:
    """What differs between runs is the same for every question, so that questions add nothing."""
    shifts = {"before": (0.0, 0.02, 0.07), "after": (0.3, 0.31, 0.35, 0.36)}
    base = np.random.default_rng(0).random(40) / 2
    sides = {
        side: [summaries(tmp_path, f"{side} {n}", base + shift) for n, shift in enumerate(of)]
        for side, of in shifts.items()
    }
    section = compare_sides(sides["before"], sides["after"]).by_task["summaries"].section
    assert section.estimates["delta_accuracy"].value is None
    for metric, scale in (("rouge1", 1), ("edits", 30)):
        delta = (section.metrics or {})[metric].delta
        after, before = ([scale * x for x in shifts[side]] for side in ("after", "before"))
        welch = ttest_ind(after, before, equal_var=False).confidence_interval()
        assert (delta.ci_low, delta.ci_high) == pytest.approx((welch.low, welch.high), rel=1e-6)


def test_many_metrics_are_concluded_together_by_intervals_that_hold_for_all(tmp_path: Path) -> None:
    tasks, n = [f"t{number}" for number in range(8)], 20
    before, after = np.random.default_rng(5).normal(30, 1, (2, len(tasks), n))
    change = after - before
    change -= change.mean(axis=1, keepdims=True)
    # In standard errors: the first is sure among eight, the second only alone.
    change[:2] += np.array([[9.0], [2.3]]) * change[:2].std(axis=1, ddof=1, keepdims=True) / math.sqrt(n)
    sides = {
        when: write(
            tmp_path / when,
            {
                task: [row(i, rouge=x) for i, x in enumerate(own)]
                for task, own in zip(tasks, values.tolist(), strict=True)
            },
        )
        for when, values in (("before", before), ("after", before + change))
    }
    p = ttest_1samp(change, 0, axis=1).pvalue
    assert [(p < level).sum() for level in (0.05, 0.05 / len(tasks))] == [2, 1]
    (verdict,) = compare(sides["before"], sides["after"]).verdicts
    assert ("t0" in verdict, "t1" in verdict) == (True, False)


def test_a_run_without_the_metric_of_a_task_is_named(tmp_path: Path) -> None:
    right, rouge = ([row(i, **{name: float(i % 2)}) for i in range(12)] for name in ("acc", "rouge"))
    both = {"sums": right, "texts": [item | {"rouge": 5.0 + item["rouge"]} for item in rouge]}
    base, full = (write(tmp_path / name, both) for name in ("base", "full"))
    half = write(tmp_path / "half", {"sums": right})
    found = compare_many(base, {"full": full, "half": half})
    assert [item.label for item in found.metrics] == ["full"]
    (note,) = [note for note in found.notes if "half" in note and "texts" in note]
    assert "full" not in note
