"""What speaks against the first words of a verdict is said with its own numbers: tasks, filters, metrics, scores."""

import json
import re
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from consistency.comparison.compare import compare
from consistency.comparison.conditions import check, read_condition
from consistency.comparison.many.compare import compare_many
from consistency.errors import InputError
from consistency.metrics.selection_bias import OptionShift
from consistency.report.glossary import explain
from consistency.statistics.selection_bias import Shift, shifts

DATE = "2026-01-02T03-04-05.678901"


def write(folder: Path, task: str, columns: dict[tuple[str, str], list[float]]) -> None:
    """A log of a task that generates: by filter and metric, the value of each question."""
    folder.mkdir(exist_ok=True)
    rows = []
    for filter_name in dict.fromkeys(name for name, _ in columns):
        metrics = {metric: values for (name, metric), values in columns.items() if name == filter_name}
        for i, values in enumerate(zip(*metrics.values(), strict=True)):
            row = {"doc_id": i, "doc": {"question": f"{task} {i}?"}, "target": "x", "filtered_resps": ["x"]}
            row |= {"filter": filter_name, "metrics": list(metrics), "doc_hash": f"{task}{i}"}
            rows.append(row | dict(zip(metrics, map(float, values), strict=True)))
    (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def turned(lost: int, won: int, n: int = 200) -> tuple[list[float], list[float]]:
    rest = [float(i % 2) for i in range(n - lost - won)]
    return [1.0] * lost + [0.0] * won + rest, [0.0] * lost + [1.0] * won + rest


@pytest.mark.parametrize("sign", [1, -1])
def test_the_first_line_counts_the_tasks_that_went_the_other_way(tmp_path: Path, sign: int) -> None:
    counts = {f"t{i}": (2, 20 + i) for i in range(6)} | {"fallen": (70, 1), "still": (3, 4)}
    for task, both in counts.items():
        for folder, right in zip(("before", "after"), turned(*both[::sign]), strict=True):
            write(tmp_path / folder, task, {("none", "exact_match"): right})
    found = compare(tmp_path / "before", tmp_path / "after")
    p = [mcnemar([[0, lost], [won, 0]], exact=True).pvalue for lost, won in counts.values()]
    sure = dict(zip(counts, multipletests(p, method="holm")[0], strict=True))
    change = {task: sign * (won - lost) / 200 for task, (lost, won) in counts.items()}
    against = sum(sure[task] and change[task] * sign < 0 for task in counts)
    first, listed, *_ = found.conclusions[0]
    assert re.findall(r"(\d+) of (\d+) tasks", first) == [(str(against), str(len(counts)))]
    assert against == 1
    # The largest fall comes first, and then what fell or rose most.
    down = sorted((task for task in counts if sure[task] and change[task] < 0), key=change.__getitem__)
    up = sorted((task for task in counts if sure[task] and change[task] > 0), key=change.__getitem__, reverse=True)
    assert re.findall(r"(\w+) [+-][\d.]+ \[", listed)[:3] == [*down, *up][:3]


def test_a_condition_that_passes_names_the_task_behind_the_mean(tmp_path: Path) -> None:
    # One task falls by 34.5 points, the mean rises.
    for task, both in {**{f"t{i}": (2, 40) for i in range(4)}, "fallen": (70, 1)}.items():
        for folder, right in zip(("before", "after"), turned(*both), strict=True):
            write(tmp_path / folder, task, {("none", "exact_match"): right})
    found = compare(tmp_path / "before", tmp_path / "after")
    for limit, tasks in ((10, ("fallen",)), (40, ())):
        (judged,) = check([read_condition(f"accuracy drop > {limit} points")], found)
        assert judged.passed
        assert judged.tasks == tasks
    (judged,) = check([read_condition("accuracy drop > 10 points in any task")], found)
    assert judged.failed


def test_a_metric_is_judged_in_the_tasks_that_no_pool_has_it_of(tmp_path: Path) -> None:
    # Two tasks pooled by another metric lose 27.5 points of F1; the third, alone in its pool, loses none.
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 0.1, size=(3, 200))
    f1 = {folder: 0.6 - loss + noise for folder, loss in (("before", 0.0), ("after", 0.275))}
    f1["after"] += rng.normal(0, 0.05, size=(3, 200))
    f1["after"][2] = f1["before"][2]
    right = turned(10, 10)
    for folder, exact in zip(f1, right, strict=True):
        for task, values in zip("abc", f1[folder].tolist(), strict=True):
            columns = {("none", "f1"): values}
            write(tmp_path / folder, task, columns if task == "c" else {("none", "exact_match"): exact, **columns})
    found = compare(tmp_path / "before", tmp_path / "after")
    assert [len(pool.tasks) for pool in found.pools] == [2, 0]
    for where in ("", " in any task"):
        checks = check([read_condition(f"metric f1 change < 0{where}")], found)
        assert [(item.section, item.failed, item.of) for item in checks] == [("a", True, 3), ("b", True, 3)]
        for item, before, after in zip(checks, f1["before"], f1["after"], strict=False):
            wide = ttest_1samp(after - before, 0).confidence_interval(1 - 0.05 / 3)
            assert (item.estimate.ci_low, item.estimate.ci_high) == pytest.approx((wide.low, wide.high))
    # What each pool has is judged in each of them.
    (pooled,) = check([read_condition("measured accuracy change >= 0")], found)
    assert (pooled.section, pooled.estimate.n) == (found.pools[0].name, 400)
    for folder in f1:
        for task, values in zip("abc", f1[folder].tolist(), strict=True):
            write(tmp_path / f"alone-{folder}", task, {("none", "f1"): values})
    found = compare(tmp_path / "alone-before", tmp_path / "alone-after")
    checks = check([read_condition("metric f1 change < 0")], found)
    assert [(item.section, item.failed, item.of) for item in checks] == [
        ("a", True, 1),
        ("b", True, 1),
        ("c", False, 1),
    ]


def test_a_filter_that_disagrees_is_in_the_verdict(tmp_path: Path) -> None:
    strict, flexible = turned(60, 2), turned(4, 1)
    for folder, *columns in zip(("before", "after"), strict, flexible, strict=True):
        write(
            tmp_path / folder,
            "gsm8k",
            dict(zip(product(("strict-match", "flexible-extract"), ("exact_match",)), columns, strict=True)),
        )
    found = compare(tmp_path / "before", tmp_path / "after")
    first, *rest = found.conclusions[0]
    assert f"{100 * np.subtract(*strict[::-1]).mean():+.1f}" in first
    assert [clause for clause in rest if f"{100 * np.subtract(*flexible[::-1]).mean():+.1f} [" in clause]
    # Filters that agree are not worth a word.
    for folder, right in zip(("before", "after"), strict, strict=True):
        write(tmp_path / folder, "gsm8k", {("strict-match", "exact_match"): right, ("flexible", "exact_match"): right})
    assert len(compare(tmp_path / "before", tmp_path / "after").conclusions[0]) == len(found.conclusions[0]) - 1


def test_a_metric_that_went_the_other_way_is_in_the_verdict(tmp_path: Path, write_scores) -> None:
    rng = np.random.default_rng(0)
    gold, values = rng.integers(4, size=200), turned(70, 5)
    before = rng.normal(size=(200, 4))
    after = before + 1.5 * np.eye(4)[gold]
    for side, scores, normed in (("before", before, values[0]), ("after", after, values[1])):
        write_scores(tmp_path / side, {"task": scores}, {"task": gold})
        (path,) = (tmp_path / side).rglob("samples_*.jsonl")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [
            row | {"metrics": ["acc", "acc_norm"], "acc_norm": value} for row, value in zip(rows, normed, strict=True)
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = compare(tmp_path / "before", tmp_path / "after")
    right = [np.argmax(scores, axis=1) == gold for scores in (before, after)]
    first, *rest = found.conclusions[0]
    assert f"{100 * (right[1].mean() - right[0].mean()):+.1f}" in first
    (clause,) = [clause for clause in rest if "acc_norm" in clause]
    ends = [float(np.mean(side)) for side in values]
    assert [float(x) for x in re.findall(r"[-+]?\d+\.\d+", clause)[:3]] == pytest.approx(
        [*ends, ends[1] - ends[0]], abs=1e-4
    )


def test_a_metric_that_falls_with_accuracy_in_a_task_contradicts_nothing(tmp_path: Path) -> None:
    """One of six tasks falls, which the verdict says of it alone: its F1 falls, too."""
    for task, both in {**{f"t{i}": (9, 12) for i in range(5)}, "lost": (60, 2)}.items():
        for folder, right in zip(("before", "after"), turned(*both), strict=True):
            write(tmp_path / folder, task, {("none", "exact_match"): right, ("none", "f1"): [x / 2 for x in right]})
    found = compare(tmp_path / "before", tmp_path / "after")
    assert found.by_task["lost"].metrics["f1"].is_better is False
    assert not [clause for clause in found.conclusions[0] if clause.startswith("but f1")]


def test_questions_asked_several_times_move_letters_no_more_surely_than_once() -> None:
    rng = np.random.default_rng(1)
    gold, first = rng.integers(4, size=(2, 60))
    second = np.where(rng.random(60) < 0.3, 1, first)
    names = np.arange(60)

    def task(rows: np.ndarray, clusters: np.ndarray | None) -> OptionShift:
        found = OptionShift()
        found.add_task(np.eye(4)[first[rows]], np.eye(4)[second[rows]], gold[rows], clusters)
        return found

    once = task(names, None)
    again = task(np.repeat(names, 5), np.repeat(names, 5))
    in_tasks = OptionShift.pooled([task(names, names) for _ in range(3)])
    twice = task(names, names)
    twice.add_task(np.eye(4)[first], np.eye(4)[second], gold, names)
    (alone, *others, naive) = shifts([once, again, in_tasks, twice, task(np.repeat(names, 5), None)])
    for found in others:
        assert found.p == pytest.approx(alone.p)
        assert found.moved == pytest.approx(alone.moved)
        assert found.moved_estimate.ci_low == pytest.approx(alone.moved_estimate.ci_low)
        assert found.moved_estimate.ci_high == pytest.approx(alone.moved_estimate.ci_high)
    # Taken as independent, the same answers would say far more than they do.
    assert naive.p is not None
    assert naive.p < 0.01 * (alone.p or 0.0)


def test_two_runs_that_guess_are_said_to(tmp_path: Path, write_probe) -> None:
    rng = np.random.default_rng(6)
    counts = rng.integers(2, 6, size=300)
    gold = rng.integers(counts)
    documents = [{"question": f"{i}?", "answer": int(answer)} for i, answer in enumerate(gold)]
    for side, strength in (("before", 0.0), ("after", 0.0), ("knows", 2.0)):
        scores = [
            rng.normal(size=count) + strength * np.eye(count)[answer]
            for count, answer in zip(counts, gold, strict=True)
        ]
        write_probe(tmp_path / side, documents, [row.tolist() for row in scores])
    guesses = f"({100 * (1 / counts).mean():.1f} %)"
    for after, said in (("after", True), ("knows", False)):
        found = compare(tmp_path / "before", tmp_path / after)
        assert bool([clause for clause in found.conclusions[0] if guesses in clause]) == said


def test_letters_that_were_exchanged_are_named(tmp_path: Path, write_scores) -> None:
    rng = np.random.default_rng(5)
    gold = rng.integers(4, size=200)
    scores = rng.normal(size=(200, 4)) + np.eye(4)[gold]
    after = np.where(rng.random((200, 1)) < 0.1, rng.normal(size=(200, 4)), scores[:, [1, 0, 3, 2]])
    # Always B after always A is no exchange: nothing is kept that could be.
    sides = {
        "before": scores,
        "after": after,
        "always-a": 0 * scores + np.eye(4)[0],
        "always-b": 0 * scores + np.eye(4)[1],
    }
    for side, logits in sides.items():
        write_scores(tmp_path / side, {"task": logits}, {"task": gold})

    def shift(*names: str) -> Shift:
        bias = compare(*(tmp_path / name for name in names)).main.selection_bias
        assert bias is not None
        return bias.shift

    found = shift("before", "after")
    assert found.exchanged == {"A": "B", "B": "A", "C": "D", "D": "C"}
    partner = np.array([1, 0, 3, 2])[scores.argmax(axis=1)]
    assert found.exchanged_share == pytest.approx((after.argmax(axis=1) == partner).mean())
    assert shift("always-a", "always-b").exchanged is None
    assert shift("before", "always-b").exchanged is None


@pytest.mark.parametrize(
    ("before", "after", "exchanged"),
    [
        # One rare C that became a D is no exchange, and one stray D does not hide one.
        ("AABB" * 29 + "AABC", "AABB" * 29 + "AABD", None),
        ("AABB" * 75 + "A", "BBAA" * 75 + "D", {"A": "B", "B": "A"}),
    ],
)
def test_rare_letters_do_not_tell_of_an_exchange(before: str, after: str, exchanged: dict[str, str] | None) -> None:
    first, second = ([ord(letter) - ord("A") for letter in answers] for answers in (before, after))
    moves = OptionShift()
    moves.add_task(np.eye(4)[first], np.eye(4)[second], np.arange(len(before)) % 4)
    assert shifts([moves])[0].exchanged == exchanged


def test_where_scores_are_no_numbers_the_change_in_the_others_is_said(tmp_path: Path, write_scores) -> None:
    rng = np.random.default_rng(2)
    gold, before = rng.integers(4, size=300), rng.normal(size=(300, 4))
    after = before + 0.4 * rng.normal(size=(300, 4))
    broken = np.arange(300) % 3 == 0
    after[broken] = np.nan
    for side, scores in (("before", before), ("after", after)):
        write_scores(tmp_path / side, {"task": scores}, {"task": gold})
    odd = compare(tmp_path / "before", tmp_path / "after").main.odd_scores
    right = [np.argmax(x[~broken], axis=1) == gold[~broken] for x in (before, after)]
    assert odd is not None
    assert odd.delta_accuracy is not None
    assert odd.delta_accuracy.n == 200
    assert odd.delta_accuracy.value == pytest.approx(right[1].mean() - right[0].mean())
    assert f"{100 * (right[1].mean() - right[0].mean()):+.1f} [" in odd.clauses[0]


def test_a_series_without_harm_over_all_tasks_names_the_task_that_is_harmed(tmp_path: Path) -> None:
    lost = {"step-0": 0, "step-10": 2, "step-20": 40, "step-30": 60}
    for run, count in lost.items():
        write(
            tmp_path / run,
            "kept",
            {("none", "exact_match"): [1.0] * 150 + [0.0] * (50 - count // 2) + [1.0] * (count // 2)},
        )
        write(tmp_path / run, "lost", {("none", "exact_match"): [0.0] * count + [1.0] * (200 - count)})
        write(tmp_path / run, "won", {("none", "exact_match"): [1.0] * count + [0.0] * (200 - count)})
    reference, *runs = lost
    found = compare_many(tmp_path / reference, {run: tmp_path / run for run in runs}, name=reference, order="auto")
    assert found.series is not None
    assert found.series.trends[found.main].first_harmful is None
    *_, along = found.conclusions
    ends = [change.simultaneous.ci_high for change in found.by_task["lost"].values()]
    first = next(label for label, end in zip(found.by_task["lost"], ends, strict=True) if end is not None and end < 0)
    assert [clause for clause in along if f"lost (first {first})" in clause]
    assert not [clause for clause in along if "kept (" in clause or "won (" in clause]


def test_a_shift_to_the_letter_that_is_mostly_right_is_no_gain_of_knowledge(tmp_path: Path, write_scores) -> None:
    rng = np.random.default_rng(4)
    gold = np.where(rng.random(500) < 0.6, 2, rng.integers(4, size=500))
    scores = rng.normal(size=(500, 4)) + np.eye(4)[gold]
    runs = {"before": scores, "after": scores + 2 * np.eye(4)[2], "letters": scores + 2 * np.eye(4)[1]}
    for side, logits in runs.items():
        logits -= np.logaddexp.reduce(logits, axis=1, keepdims=True)
        write_scores(tmp_path / side, {"task": logits}, {"task": gold})
    share = f"C in {100 * (gold == 2).mean():.1f} %"
    first, second, *_ = compare(tmp_path / "before", tmp_path / "after").conclusions[0]
    assert "rose" in first
    assert share in second
    many = compare_many(tmp_path / "before", {side: tmp_path / side for side in ("after", "letters")})
    assert [clause for clause in many.conclusions[0] if clause.startswith("after: ") and "uneven" in clause]


def test_a_condition_on_a_perplexity_is_judged_in_its_own_unit(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    words = rng.integers(20, 400, size=80)
    sums = -words * rng.normal(2.5, 0.3, size=80)
    sides = {"before": sums, "after": sums - words * rng.normal(0.1, 0.05, size=80)}
    for folder, values in sides.items():
        write(tmp_path / folder, "wikitext", {("none", "word_perplexity"): [0.0] * 80})
        (path,) = (tmp_path / folder).glob("samples_*.jsonl")
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row | {"word_perplexity": [x, int(n)]} for row, x, n in zip(rows, values, words, strict=True)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def change(rows: np.ndarray) -> float:
        before, after = (np.exp(-x[rows].sum() / words[rows].sum()) for x in sides.values())
        return float(after - before)

    every = np.arange(80)
    left_out = np.array([change(np.delete(every, row)) for row in every])
    spread = np.sqrt(79 / 80 * ((left_out - left_out.mean()) ** 2).sum())
    low, high = change(every) + spread * student.ppf([0.025, 0.975], 79)
    found = compare(tmp_path / "before", tmp_path / "after")
    for limit, outcome in ((low - 0.02, "holds"), (low + 0.02, "unclear"), (high + 0.02, "does not hold")):
        (judged,) = check([read_condition(f"metric word_perplexity change > {limit:.4f}")], found)
        assert judged.outcome == outcome
        assert judged.estimate.value == pytest.approx(change(every))
    (judged,) = check([read_condition("metric Word_Perplexity after > 1 in wikitext")], found)
    assert judged.estimate.value == pytest.approx(np.exp(-sides["after"].sum() / words.sum()))
    with pytest.raises(InputError, match="metric word_perplexity change"):
        check([read_condition("metric rouge change < 0")], found)


@pytest.mark.parametrize(
    ("printed", "term"),
    [
        ("in the mean of the tasks", "macro"),
        ("flips -/+", "flips −/+"),
        ("score interval of paired shares", "score interval of paired shares (Tango 1998)"),
        ("Gaffke's bound", "Gaffke's bound"),
        ("tasks change differently", "heterogeneity"),
        ("strict-match", "filter"),
    ],
)
def test_what_is_printed_is_found_without_its_exact_form(printed: str, term: str) -> None:
    assert explain(printed).name == term
