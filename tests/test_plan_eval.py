"""How many questions, tasks and seeds a comparison needs: by simulated runs, and as the program prints it."""

import json
from pathlib import Path

import numpy as np
import pytest

from consistency.statistics.hypotheses import holm, mcnemar_exact, t_test
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import equivalence_of_shares, power_of_equivalence
from consistency.statistics.power import fewest_questions, fewest_seeds, power_of_flips, power_of_seeds


@pytest.mark.parametrize(("flips", "change"), [(0.05, 0.02), (0.2, 0.05)])
def test_so_many_questions_find_the_change_four_times_in_five(flips: float, change: float) -> None:
    n = fewest_questions(lambda n: power_of_flips(n, flips, change))
    assert n is not None
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, [flips / 2 + change, flips / 2, 1 - flips - change], size=4000)
    found = np.mean([mcnemar_exact(int(lost), int(won)) <= 0.05 for lost, won, _ in drawn])
    assert found == pytest.approx(0.8, abs=0.025)
    assert power_of_flips(n // 2, flips, change) < 0.7


@pytest.mark.parametrize(("flips", "margin"), [(0.05, 0.02), (0.1, 0.05)])
def test_so_many_questions_show_that_nothing_changed(flips: float, margin: float) -> None:
    n = fewest_questions(lambda n: power_of_equivalence(n, flips, margin))
    assert n is not None
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(n, [flips / 2, flips / 2, 1 - flips], size=1000)
    pairs, count = np.unique(drawn[:, :2], axis=0, return_counts=True)
    shown = sum(
        k
        for (lost, won), k in zip(pairs, count, strict=True)
        if equivalence_of_shares(int(lost), int(won), n, margin) < 0.05
    )
    # The exact test, which is used for margins of few questions, has a little less power.
    assert 0.74 <= shown / 1000 <= 0.85


@pytest.mark.parametrize(("flips", "margin"), [(0.001, 0.01), (0.005, 0.01), (0.001, 0.05)])
def test_with_few_flips_the_power_is_that_of_the_exact_test(flips: float, margin: float) -> None:
    n = fewest_questions(lambda n: power_of_equivalence(n, flips, margin))
    assert n is not None
    drawn = np.random.default_rng(1).multinomial(n, [flips / 2, flips / 2, 1 - flips], size=2000)
    pairs, count = np.unique(drawn[:, :2], axis=0, return_counts=True)
    shown = [equivalence_of_shares(int(lost), int(won), n, margin) < 0.05 for lost, won in pairs]
    assert float(count @ shown) / 2000 == pytest.approx(power_of_equivalence(n, flips, margin), abs=0.03)


def test_the_normal_power_goes_on_where_the_exact_one_ends() -> None:
    for flips, margin in ((0.1, 0.002), (0.5, 0.005)):
        n = int(20_000 / flips)
        below, above = (power_of_equivalence(size, flips, margin) for size in (n, n + 1))
        assert below == pytest.approx(above, abs=0.01)


@pytest.mark.parametrize(("tasks", "flips", "change"), [(57, 0.1, 0.05), (5, 0.05, 0.03)])
def test_a_task_among_many_is_found_four_times_in_five_after_holm(tasks: int, flips: float, change: float) -> None:
    n = fewest_questions(lambda n: power_of_flips(n, flips, change, 0.05 / tasks))
    assert n is not None
    rng, found = np.random.default_rng(4), []
    for _ in range(400):
        drawn = rng.multinomial(n, [flips / 2, flips / 2, 1 - flips], size=tasks)
        drawn[0] = rng.multinomial(n, [flips / 2 + change, flips / 2, 1 - flips - change])
        found.append(holm([mcnemar_exact(int(lost), int(won)) for lost, won, _ in drawn])[0] <= 0.05)
    assert np.mean(found) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("change", "run_sd", "flips", "n"),
    [(0.02, 0.01, 0.1, 2000), (0.02, 0.0, 0.1, 500), (0.01, 0.01, 0.05, 5000), (0.05, 0.01, 0.2, 300)],
)
def test_so_many_seeds_find_the_change(change: float, run_sd: float, flips: float, n: int) -> None:
    seeds = fewest_seeds(lambda k: power_of_seeds(k, change, run_sd, flips, n))
    assert seeds is not None
    rng, found = np.random.default_rng(7), []
    for _ in range(3000):
        true = rng.normal(change, run_sd, seeds).clip(-1 + flips, 1 - flips)
        turned = [
            rng.multinomial(n, [(flips + abs(x) - x) / 2, (flips + abs(x) + x) / 2, 1 - flips - abs(x)]) for x in true
        ]
        p = t_test(mean([(won - lost) / n for lost, won, _ in turned]))
        found.append(p is not None and p <= 0.05)
    assert np.mean(found) == pytest.approx(power_of_seeds(seeds, change, run_sd, flips, n), abs=0.05)
    assert np.mean(found) > 0.75
    assert power_of_seeds(seeds - 1, change, run_sd, flips, n) < 0.8


def test_the_program_prints_both_numbers(call) -> None:
    arguments = ("plan-eval", "--change", 2, "--flips", 10, "--questions", 500)
    code, out, _ = call(*arguments)
    assert code == 0
    (found,) = json.loads(call(*arguments, "--json")[1])["curves"]
    assert found["needed"]["find_change"] == fewest_questions(lambda n: power_of_flips(n, 0.1, 0.02))
    assert f"{found['needed']['find_change']:,} questions" in out
    assert f"{found['needed']['show_no_change']:,} questions" in out
    (row,) = found["questions"]
    assert (row["questions"], row["find_change"]) == (500, power_of_flips(500, 0.1, 0.02))


def test_the_program_plans_tasks_and_seeds(call) -> None:
    arguments = ("plan-eval", "--change", 5, "--flips", 10, "--tasks", 57)
    (pooled,) = json.loads(call(*arguments, "--json")[1])["curves"]
    total = fewest_questions(lambda n: power_of_flips(n, 0.1, 0.05))
    assert total is not None
    assert pooled["needed"]["find_change"] == total
    assert pooled["needed_of_each_task"]["find_change"] == -(-total // 57)
    (alone,) = json.loads(call(*arguments, "--per-task", "--json")[1])["curves"]
    each = fewest_questions(lambda n: power_of_flips(n, 0.1, 0.05, 0.05 / 57))
    assert alone["needed_of_each_task"]["find_change"] == each
    assert f"{each:,} questions of each task" in call(*arguments, "--per-task")[1]
    code, out, _ = call("plan-eval", "--change", 2, "--flips", 10, "--run-sd", 1, "--questions", 2000)
    seeds = fewest_seeds(lambda k: power_of_seeds(k, 0.02, 0.01, 0.1, 2000))
    assert (code, f"{seeds} seeds of 2,000 questions each" in out) == (0, True)


def test_the_figure_is_the_same_bytes_each_time_and_marks_what_is_needed(call, tmp_path: Path) -> None:
    shown = ("plan-eval", "--change", 2, "--flips", 5, "--flips", 15, "--figure")
    for form in ("svg", "pdf", "png"):
        for name in ("a", "b"):
            assert call(*shown, tmp_path / f"{name}.{form}")[0] == 0
        assert (tmp_path / f"a.{form}").read_bytes() == (tmp_path / f"b.{form}").read_bytes()
    drawn = (tmp_path / "a.svg").read_text()
    for flips in (0.05, 0.15):
        for of in (power_of_flips, power_of_equivalence):
            assert f"{fewest_questions(lambda n, of=of, flips=flips: of(n, flips, 0.02)):,} needed" in drawn
    code, out, err = call(*shown, tmp_path / "a.jpg")
    assert (code, out) == (2, "")
    assert "expected one of svg, pdf, png" in err


@pytest.mark.parametrize(
    "bad",
    [
        ("--change", 0),
        ("--change", 60),
        ("--flips", 120),
        ("--power", 1),
        ("--questions", 0),
        ("--tasks", 0),
        ("--run-sd", -1),
    ],
)
def test_what_cannot_be_is_refused(call, bad: tuple[str, float]) -> None:
    code, out, err = call("plan-eval", *bad)
    assert (code, out) == (2, "")
    assert bad[0] in err
