"""What the verdict names: tasks behind a mean, differences between tasks, and conditions on any of them."""

import json
from pathlib import Path

import pytest

from consistency.comparison.compare import compare
from consistency.comparison.conditions import check, read_condition
from consistency.comparison.result import Comparison
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
    places = [text.find(name) for name in ("openbookqa -8.00", "arc -4.95", "winogrande -3.95")]
    assert -1 not in places
    assert places == sorted(places)
    assert "copa" not in text
    assert not text.startswith("No change")
    # The mean of the tasks, and that of the questions.
    assert pool.macro is not None
    for value in (change.value, pool.macro["delta_accuracy"].value):
        assert value is not None
        assert f"{100 * value:+.2f}" in text


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


@pytest.mark.parametrize("margin", [1, 0.5, 0, -0.1, float("inf"), float("nan")])
def test_a_margin_in_points_is_refused(tmp_path: Path, margin: float) -> None:
    write(tmp_path / "a", "t", [1, 0])
    with pytest.raises(InputError, match="margin"):
        compare(tmp_path / "a", tmp_path / "a", margin=margin)
