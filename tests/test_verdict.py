"""What the verdict names: tasks behind a mean, differences between tasks, and conditions on any of them."""

import json
import shutil
from pathlib import Path

import pytest

from consistency.comparison.compare import compare
from consistency.comparison.conditions import check, read_condition
from consistency.comparison.many.compare import compare_many
from consistency.comparison.names import short_names
from consistency.comparison.result import Comparison
from consistency.comparison.sides.compare import compare_sides
from consistency.errors import InputError
from consistency.statistics.paired_shares import paired_change

DATE = "2026-01-02T03-04-05.678901"


def write(folder: Path, task: str, right: list[int]) -> None:
    """A log of a task whose answers are right or wrong."""
    rows = [
        {
            "doc_id": i,
            "doc": {"question": f"{task} {i}?"},
            "target": "x",
            "filtered_resps": ["x"],
            "filter": "none",
            "metrics": ["exact_match"],
            "exact_match": float(answer),
            "doc_hash": f"{task}{i}",
        }
        for i, answer in enumerate(right)
    ]
    folder.mkdir(exist_ok=True)
    (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def compared(tmp_path: Path, tasks: dict[str, tuple[int, int, int]]) -> Comparison:
    """Tasks with so many answers lost, won, and questions in all."""
    for task, (lost, won, n) in tasks.items():
        write(tmp_path / "before", task, [1] * lost + [0] * won + [i % 2 for i in range(n - lost - won)])
        write(tmp_path / "after", task, [0] * lost + [1] * won + [i % 2 for i in range(n - lost - won)])
    return compare(tmp_path / "before", tmp_path / "after")


# A task of many questions that rose hides three that fell.
UNLIKE = {
    "hellaswag": (500, 560, 6000),
    "arc": (89, 31, 1172),
    "openbookqa": (60, 20, 500),
    "winogrande": (100, 50, 1267),
    "copa": (5, 5, 100),
}


def test_tasks_behind_the_mean_are_named_worst_first(tmp_path: Path) -> None:
    comparison = compared(tmp_path, UNLIKE)
    (pool,) = comparison.pools
    change = pool.estimates["delta_accuracy"]
    lost, won = (sum(task[side] for task in UNLIKE.values()) for side in (0, 1))
    assert (change.n, change.value) == (9039, pytest.approx((won - lost) / 9039))
    assert pool.heterogeneity_p is not None
    assert pool.heterogeneity_p < 0.001
    text = comparison.verdict
    places = [text.find(name) for name in ("openbookqa -8.0", "arc -4.9", "winogrande -3.9")]
    assert -1 not in places
    assert places == sorted(places)
    assert "copa" not in text
    assert not text.startswith("No change")
    # The mean of the tasks, and that of the questions.
    assert pool.macro is not None
    for value in (change.value, pool.macro["delta_accuracy"].value):
        assert value is not None
        assert f"{100 * value:+.1f}" in text


def test_names_that_begin_alike_stay_apart_in_every_verdict(tmp_path: Path) -> None:
    begin, end = "open_benchmark_of_long_names", "of_questions_that_are_asked_hard"
    words = ("algebra", "geometry", "counting")
    # Without what all begin with they fit; the middles alone tell them apart.
    tasks = {f"{begin}_{word}_{end[-15:]}": (60 + 9 * place, 9, 400) for place, word in enumerate(words)}
    pair = compared(tmp_path, tasks)
    shutil.copytree(tmp_path / "after", tmp_path / "again")
    for path in (tmp_path / "again").iterdir():
        rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join([rows[0].replace('"exact_match": 0.0', '"exact_match": 1.0'), *rows[1:]]))
    logs = [tmp_path / name for name in ("before", "after", "again")]
    many = compare_many(logs[0], {"after": logs[1], "again": logs[2]})
    sides = compare_sides(logs[:1], logs[1:])
    for found in (pair, many, sides):
        assert begin not in found.verdict
        for word in words if found is not many else words[1:]:
            assert f"…{word}_" in found.verdict
    # Of what is too long without it, too, the middle is left out only where this leaves them different.
    alike = [f"{begin}_{end}{word}{end}" for word in words]
    assert [word in name for word, name in zip(words, short_names(alike, alike), strict=True)] == [True] * 3
    apart = [f"{begin}_{word}_{end}" for word in words]
    short = short_names(apart, apart)
    assert len(set(short)) == 3
    assert max(map(len, short)) <= 28
    # Names that fit are whole, and so is what pools the tasks.
    assert short_names(["bench_law", "overall"], ["bench_law", *alike]) == ["bench_law", "overall"]


def test_no_task_is_named_by_chance_alone(tmp_path: Path) -> None:
    """Twenty tasks of which one has p = .031: after Holm's correction none changed."""
    tasks = {f"task{i}": (3, 3, 50) for i in range(19)} | {"odd": (6, 0, 50)}
    comparison = compared(tmp_path, tasks)
    assert comparison.by_task["odd"].mcnemar_p == pytest.approx(0.03125)
    assert comparison.by_task["odd"].mcnemar_p_holm == pytest.approx(20 * 0.03125)
    assert "odd" not in comparison.verdict


def test_a_condition_on_any_task_holds_for_all_intervals_together(tmp_path: Path) -> None:
    comparison = compared(tmp_path, UNLIKE)
    (pooled,) = check([read_condition("accuracy drop > 1 points")], comparison)
    assert not pooled.failed
    found = check([read_condition("accuracy drop > 1 points in any task")], comparison)
    assert [item.section for item in found if item.failed] == ["arc", "openbookqa", "winogrande"]
    # Bonferroni: five intervals of 99 % for one promise of 95 %.
    wide = paired_change(60, 20, 500, confidence=0.99)
    (book,) = (item for item in found if item.section == "openbookqa")
    assert (book.estimate.ci_low, book.estimate.ci_high) == (-wide.ci_high, -wide.ci_low)


def test_a_pattern_names_tasks_and_a_passed_condition_the_nearest(tmp_path: Path) -> None:
    comparison = compared(tmp_path, UNLIKE)
    # hellaswag and winogrande; the second fell by 3.95 points.
    (item,) = check([read_condition("measured accuracy drop > 5 points in *[gd]")], comparison)
    assert (item.section, item.of, item.failed) == ("hellaswag", 1, False)
    (item,) = check([read_condition("measured accuracy drop > 5 points in [hw]*")], comparison)
    assert (item.section, item.of, item.failed) == ("winogrande", 2, False)
    with pytest.raises(InputError, match="mmlu_"):
        check([read_condition("accuracy drop > 1 points in mmlu_*")], comparison)


def test_a_small_p_among_several_is_adjusted(tmp_path: Path) -> None:
    """Twenty tasks without a change but one with p = .031, which is one of twenty by chance."""
    comparison = compared(tmp_path, {f"task{i}": (3, 3, 50) for i in range(19)} | {"task_odd": (6, 0, 50)})
    for measure in ("mcnemar p", "sign flip p"):
        (alone,) = check([read_condition(f"{measure} < 0.05 in task_odd")], comparison)
        assert alone.failed
        assert alone.estimate.value == pytest.approx(0.03125)
        for where in ("any task", "task*"):
            (item,) = check([read_condition(f"{measure} < 0.05 in {where}")], comparison)
            assert (item.section, item.of, item.failed) == ("task_odd", 20, False)
            assert item.estimate.value == pytest.approx(20 * 0.03125)
            assert "(of 20 tasks, p adjusted for all together (Holm))" in item.to_text()
    # That all p are large needs no adjustment, since each must be.
    found = {item.section: item for item in check([read_condition("sign flip p > 0.02 in task*")], comparison)}
    assert found["task_odd"].estimate.value == pytest.approx(0.03125)
    assert "(of 20 tasks)" in found["task_odd"].to_text()


def test_a_group_is_not_counted_beside_its_own_tasks(tmp_path: Path) -> None:
    for when in ("before", "after"):
        names = {"mmlu_a": 4, "mmlu_b": 0, "other": 0}
        for task, wrong in names.items():
            write(
                tmp_path / when, task, [0] * (wrong if when == "after" else 0) + [1] * (60 - wrong * (when == "after"))
            )
        results = {
            "results": {**{name: {"exact_match,none": 1.0} for name in [*names, "mmlu", "mixed"]}},
            "group_subtasks": {"mmlu": ["mmlu_a", "mmlu_b"], "mixed": ["mmlu_b", "other"]},
            "groups": {name: {"exact_match,none": 1.0} for name in ("mmlu", "mixed")},
            "config": {},
        }
        (tmp_path / when / f"results_{DATE}.json").write_text(json.dumps(results))
    comparison = compare(tmp_path / "before", tmp_path / "after")
    assert [*comparison.by_group] == ["mmlu", "mixed"]

    def told(where: str) -> tuple[int, str]:
        (item,) = check([read_condition(f"measured accuracy drop > 50 points in {where}")], comparison)
        return item.of, item.among

    assert told("mmlu*") == (2, "tasks")
    assert told("m*") == (3, "tasks and groups")
    assert told("m[mi][lx]*[ud]") == (2, "groups")
    (item,) = check([read_condition("measured accuracy drop > 50 points in mmlu")], comparison)
    assert (item.section, item.of) == ("mmlu", 1)


@pytest.mark.parametrize("margin", [1, 0.5, 0, -0.1, float("inf"), float("nan")])
def test_a_margin_in_points_is_refused(tmp_path: Path, margin: float) -> None:
    write(tmp_path / "a", "t", [1, 0])
    with pytest.raises(InputError, match="margin"):
        compare(tmp_path / "a", tmp_path / "a", margin=margin)


def test_answers_known_in_one_run_alone_are_not_said_to_be_wrong_in_both(tmp_path: Path) -> None:
    """The only right answer of the first run belongs to a question whose answer the second run does not say."""
    for name, rows in (("before", [[-2, -1]] * 3 + [[-1, -2]]), ("after", [[-2, -1]] * 3 + [None])):
        lines = [
            {"task": "sums", "question": f"{n}?", "choices": ["x", "y"], "gold": 0}
            | ({"answer": 0} if scores is None else {"logprobs": scores})
            for n, scores in enumerate(rows)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = compare(tmp_path / "before.jsonl", tmp_path / "after.jsonl")
    assert found.main.estimates["accuracy_before"].value == 0.25
    assert not found.verdict.startswith("No answer is right")
    assert "3 questions" in found.verdict
