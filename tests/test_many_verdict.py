"""What the conclusions of many runs and of sides are about: against counts by hand, scipy, and comparisons of two runs."""

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, studentized_range

from consistency.comparison.beside import Beside
from consistency.comparison.compare import compare
from consistency.comparison.many.compare import compare_many
from consistency.comparison.many.values import ManyChanges
from consistency.comparison.settings import SettingDifference, UnexplainedPrompts
from consistency.comparison.sides.compare import compare_sides
from consistency.comparison.sides.text import doubts_of
from consistency.comparison.truncation import TruncatedPrompts
from consistency.report.many.github import to_markdown
from consistency.report.sides.github import to_markdown as sides_markdown
from consistency.statistics.best import Differences, letters
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.selection import selected_confidence
from consistency.statistics.simultaneous import Block, largest_errors

TASKS = [f"task{number}" for number in range(8)]
# Questions of a task; answers of a run that turn wrong in its collapsed task, and right in each other one.
N, LOST, WON = 80, 30, 4
MADE = {"broken": "task2", "chat": "task5"}


def _gsm(folder: Path, right: list[float], tagged: list[bool]) -> None:
    """The log of a generated task, a text without its tag having no answer that can be read."""
    rows = [
        {"doc_id": n, "doc": {"question": f"How many {n}?"}, "target": f"#### {n}", "doc_hash": f"sum{n}"}
        | {"arguments": {"gen_args_0": {"arg_0": f"{n}", "arg_1": {"until": ["x"]}}}, "filter": "strict-match"}
        | {"resps": [[f"#### {n}" if good else f"it is {n}"]], "filtered_resps": [f"{n}" if good else "[invalid]"]}
        | {"metrics": ["exact_match"], "exact_match": value}
        for n, (value, good) in enumerate(zip(right, tagged, strict=True))
    ]
    (next(folder.iterdir()) / "samples_sums_2026-01-02T03-04-05.000006.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory, write_scores) -> Path:
    """A reference, two runs of which one task collapsed and all others gained, one that favours A, and one that is the same."""
    root = tmp_path_factory.mktemp("verdicts")
    rng = np.random.default_rng(3)
    gold = {task: rng.integers(4, size=N) for task in TASKS}
    # The first 50 answers are right by far, the others wrong.
    base = {}
    for task, answers in gold.items():
        given = np.where(np.arange(N) < 50, answers, (answers + 1) % 4)
        base[task] = 4.0 * np.eye(4)[given] + rng.normal(0, 0.1, (N, 4))
    write_scores(root / "base", base, gold)
    write_scores(root / "same", {task: x + rng.normal(0, 0.01, x.shape) for task, x in base.items()}, gold)
    for run, collapsed in MADE.items():
        scores = {}
        for task, x in base.items():
            turned = x.copy()
            if task == collapsed:
                turned[:LOST] = np.roll(x[:LOST], 1, axis=1)
            else:
                turned[50 : 50 + WON] = 4.0 * np.eye(4)[gold[task][50 : 50 + WON]]
            scores[task] = turned
        write_scores(root / run, scores, gold)
    write_scores(root / "letters", {task: x + np.array([6.0, 0, 0, 0]) for task, x in base.items()}, gold)
    for run, unread in (("base", 4), ("broken", 40), ("same", 5)):
        _gsm(root / run, [float(n < 36) for n in range(N)], [n < N - unread for n in range(N)])
    return root


@pytest.fixture(scope="module")
def many(logs) -> ManyChanges:
    return compare_many(
        logs / "base", {name: logs / name for name in ("broken", "chat", "same", "letters")}, name="base"
    )


def test_a_collapsed_task_is_found_whatever_the_mean_is(many):
    """Seven tasks that gain four answers hide most of the thirty that one loses; the mean has 2 of 640 lost."""
    change = many.overall["broken"].simultaneous
    assert change.value == pytest.approx((7 * WON - LOST) / (8 * N))
    assert change.ci_low < 0 < change.ci_high
    pools, tasks = many.sure(-1)
    assert [label for label, _, _ in pools] == ["letters"]
    for run, task in MADE.items():
        (found,) = [change for label, name, change in tasks if (label, name) == (run, task)]
        wide = paired_change(LOST, 0, N, many.families["tasks"].confidence)
        assert (found.simultaneous.ci_low, found.simultaneous.ci_high) == (wide.ci_low, wide.ci_high)
        named = f"{task} of {run} {100 * found.simultaneous.value:+.1f} [{100 * wide.ci_low:+.1f}, {100 * wide.ci_high:+.1f}]"
        assert named in " ".join(many.conclusions[0])
    # All that is sure is there, each run's first before any second one; what is no pool's own news comes first.
    brute = {
        (label, name)
        for name, changes in many.by_task.items()
        for label, change in changes.items()
        if change.simultaneous.ci_high < 0
    }
    assert {(label, name) for label, name, _ in tasks} == brute
    assert [label for label, _, _ in tasks[:3]] == ["broken", "chat", "letters"]
    assert not many.overall["same"].direction


def test_what_is_worse_comes_before_what_is_better(many):
    moved = {
        label: replace(change, simultaneous=replace(change.simultaneous, ci_low=0.1, ci_high=0.2))
        for label, change in many.overall.items()
    }
    clauses = replace(many, pools={"overall": moved}).conclusions[0]
    assert clauses.index(next(x for x in clauses if "task2 of broken" in x)) == 0


def test_unreadable_answers_and_letters_are_those_of_two_runs(logs, many):
    pair = compare(logs / "base", logs / "broken").by_task["sums"].readability
    (row,) = many.unread
    assert row[:2] == ("broken", "sums")
    found = row[2].section.readability
    assert found == pair
    assert found.shares == (4 / N, 40 / N)
    # Those that are unreadable before are unreadable after.
    assert found.changed_p == pytest.approx(binomtest(0, 36).pvalue)
    assert many.by_task["sums"]["same"].section.readability.changed_p == 1
    assert "5.0 % → 50.0 %" in " ".join(many.conclusions[0])
    own = many.overall["letters"].letters
    parts = compare(logs / "base", logs / "letters").overall.decomposition.estimates
    assert own == parts["prior_change"]
    assert f"{100 * own.value:+.1f}" in next(x for x in many.conclusions[0] if x.startswith("letters:"))


def test_the_order_of_the_runs_changes_no_number(logs, many):
    names = ("broken", "chat", "same", "letters")
    for order in (("letters", "same", "chat", "broken"), ("same", "broken", "letters", "chat")):
        other = compare_many(logs / "base", {name: logs / name for name in order}, name="base")
        assert other.families == many.families
        for label, name, change in many.rows():
            again = {**other.pools, **other.by_task}[name][label]
            assert again.simultaneous == change.simultaneous
            assert again.p_simultaneous == change.p_simultaneous
            assert again.calibrated == change.calibrated
        for field in ("best", "p_best_set"):
            again = {item.label: getattr(item, field) for item in other.ranking}
            assert again == pytest.approx({item.label: getattr(item, field) for item in many.ranking})
    values = np.random.default_rng(1).normal(size=(60, 3))
    drawn = [largest_errors([Block(np.arange(60), values[:, list(x)])], 200) for x in permutations(range(3))]
    assert all(np.array_equal(drawn[0], other) for other in drawn)
    assert set(names) == set(many.overall)


def test_p_and_interval_beside_each_other_agree(many):
    """One joint distribution: of paired shares they can part at the border alone, of trends never."""
    for _, _, change in many.rows():
        if not 0.01 < change.p_simultaneous < 0.2:
            assert (change.p_simultaneous < 0.05) is (change.direction != 0)
    series = compare_many(
        many.reference.path, {run.label: run.path for run in many.runs}, name="base", order=[1, 2, 3, 4]
    ).series
    assert series is not None
    for trend in series.trends.values():
        assert (trend.p_simultaneous < 0.05) is not (trend.change.ci_low <= 0 <= trend.change.ci_high)
        assert trend.p - 1e-3 <= trend.p_simultaneous <= 1


def test_the_set_of_the_best_shares_a_letter_with_the_most_accurate():
    rng = np.random.default_rng(4)
    for k in (2, 4, 8):
        for _ in range(20):
            means = rng.normal(0, 2, k)
            found = Differences(means, means + rng.normal(size=(400, k)), 400)
            groups = letters(found.told_apart(), np.argsort(-means).tolist())
            first = set(groups[int(means.argmax())])
            assert [p >= 0.05 for p in found.best_set()] == [bool(first & set(group)) for group in groups]


def test_the_p_of_pairs_is_tukeys():
    """Four independent means of one variance."""
    rng = np.random.default_rng(6)
    means = np.array([0.0, 0.5, 2.0, 3.2])
    p = Differences(means, rng.normal(size=(50_000, 4)), 1000).p_of_pairs()
    for i, j in ((0, 1), (0, 2), (1, 3), (0, 3)):
        gap = abs(means[i] - means[j])
        assert p[i, j] == p[j, i] == pytest.approx(studentized_range.sf(gap, 4, 1e6), abs=0.01)
    assert p.diagonal().tolist() == [1.0] * 4


def test_markdown_has_every_change_with_its_interval(many):
    page = to_markdown(many)
    for name in ("overall", "task2", "task5"):
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        cells = [cell.strip() for cell in row.strip("|").split(" | ")][2:]
        for cell, label in zip(cells, many.overall, strict=True):
            change = {**many.pools, **many.by_task}[name][label]
            found = change.simultaneous
            numbers = [f"{100 * x:+.1f}".replace("-", "−") for x in (found.value, found.ci_low, found.ci_high)]
            assert cell.strip("*").replace("\\", "") == f"{numbers[0]} [{numbers[1]}, {numbers[2]}]"
            assert cell.startswith("**") is (change.direction != 0)
    assert many.signature in page
    assert "<details>" not in page
    assert to_markdown(many, folded=True).count("<details>") == 2


def test_a_comparison_draws_itself(logs, many):
    import matplotlib as mpl

    mpl.use("agg")
    drawn = many.plot()
    middles = sorted(round(100 * change.simultaneous.value, 6) for change in many.overall.values())
    found = {round(float(x), 6) for line in drawn.lines for x in np.atleast_1d(line.get_xdata())}
    assert set(middles) <= found
    sides = compare_sides([logs / "base", logs / "same"], [logs / "broken"])
    axes = sides.plot()
    assert axes.get_yticklabels()[0].get_text() == "overall"


# Several runs a side

TEMPLATE = SettingDifference("chat template", "no", "yes", (), "prompts")
FEW_SHOT = SettingDifference("few-shot", "0", "5", (), "prompts")


def test_settings_that_differ_between_sides_and_within_one():
    same, chat, both = Beside(), Beside((TEMPLATE,)), Beside((TEMPLATE, FEW_SHOT))

    def doubts(*runs: Beside) -> list[str]:
        return list(doubts_of({f"run {number}": run for number, run in enumerate(runs)}, 2))

    assert doubts(same, same, same, same) == []
    (between,) = doubts(same, same, chat, chat)
    assert "chat template no → yes" in between
    for mixed, side in (((same, same, same, chat), "after"), ((same, chat, same, same), "before")):
        (within,) = doubts(*mixed)
        assert side in within
        assert "chat template" in within
    first, second = doubts(same, same, chat, both)
    assert "chat template" in first
    assert "few-shot" in second
    assert "after" in second
    cut = Beside(truncated=TruncatedPrompts(("law",), 0, 3, 9, 9, differs=True))
    (named,) = doubts(same, same, cut, same)
    assert "run 2" in named
    assert "3 of 9" in named
    odd = Beside(unexplained=UnexplainedPrompts(("law",), 2, 9))
    (clause,) = doubts(same, same, odd, odd)
    assert "prompts" in clause


@pytest.fixture(scope="module")
def seeds(tmp_path_factory, write_scores) -> tuple[list[Path], list[Path]]:
    """Two runs a side with other prompts after: half of the answers to one task turn wrong, the other tasks are as they were."""
    root = tmp_path_factory.mktemp("seeds")
    rng = np.random.default_rng(5)
    gold = {task: rng.integers(4, size=N) for task in TASKS}
    known = {task: rng.normal(size=(N, 4)) + 1.5 * np.eye(4)[answers] for task, answers in gold.items()}
    sides: tuple[list[Path], list[Path]] = ([], [])
    for number in range(4):
        scores = {task: x + rng.normal(0, 0.25, x.shape) for task, x in known.items()}
        if number > 1:
            scores["task3"] -= 3.0 * np.eye(4)[gold["task3"]] * (np.arange(N) < N // 2)[:, None]
        write_scores(root / str(number), scores, gold)
        (results,) = (root / str(number)).rglob("results_*.json")
        content = json.loads(results.read_text())
        results.write_text(json.dumps(content | {"chat_template": "{{ x }}" if number > 1 else None}))
        sides[number > 1].append(root / str(number))
    return sides


def test_sides_have_the_doubts_of_two_runs_and_name_what_is_not_sure(seeds):
    found = compare_sides(*seeds)
    pair = compare(seeds[0][0], seeds[1][0])
    assert found.doubts[:1] == pair.doubts
    assert pair.doubts
    assert compare_sides(seeds[0][:1], seeds[1][:1]).doubts == pair.doubts
    section = found.by_task["task3"].section
    change = section.estimates["delta_accuracy"]
    assert change.ci_high < 0
    assert section.p_holm > 0.05
    assert min(item.section.p_holm for item in found.by_task.values()) > 0.05
    (named,) = [clauses for clauses in found.conclusions if "task3" in clauses[0]]
    assert f"{100 * change.value:+.1f}" in named[0]
    assert f"{section.p_holm:.3f}".lstrip("0") in named[1]
    mixed = compare_sides([seeds[0][0], seeds[1][0]], [seeds[0][1], seeds[1][1]])
    assert sum("chat template" in doubt for doubt in mixed.doubts) == 2


def test_tables_of_the_largest_changes_have_one_kind_of_interval(seeds):
    """Two of eight tasks are shown: each interval has the confidence of two runs' table, here by Student's quantiles."""
    from scipy.stats import t as student

    found = compare_sides(*seeds)
    change = found.by_task["task3"].section.estimates["delta_accuracy"]
    confidence = selected_confidence(2, len(TASKS))
    wide = student.ppf((1 + confidence) / 2, change.df) / student.ppf(0.975, change.df) * (change.value - change.ci_low)
    low = max(change.value - wide, -1.0)
    row = next(line for line in found.to_text(2, 200).splitlines() if line.startswith("task3"))
    assert f"[{100 * low:+.1f}, " in row
    assert f"{100 * confidence:.1f} %" in " ".join(found.to_text(2, 200).split())
    page = sides_markdown(found)
    assert f"| `task3` | {N} |" in page
    assert found.signature in page
