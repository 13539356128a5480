"""How many questions a comparison needs: by simulated runs, and as the program prints it."""

import json

import numpy as np
import pytest

from consistency.statistics.hypotheses import mcnemar_exact
from consistency.statistics.paired_shares import equivalence_of_shares, power_of_equivalence
from consistency.statistics.power import fewest_questions, power_of_flips


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


def test_the_program_prints_both_numbers(call) -> None:
    arguments = ("plan-eval", "--change", 2, "--flips", 10, "--questions", 500)
    code, out, _ = call(*arguments)
    assert code == 0
    found = json.loads(call(*arguments, "--json")[1])
    assert found["needed"]["find_change"] == fewest_questions(lambda n: power_of_flips(n, 0.1, 0.02))
    assert f"{found['needed']['find_change']:,} questions" in out
    assert f"{found['needed']['show_no_change']:,} questions" in out
    (row,) = found["questions"]
    assert (row["questions"], row["find_change"]) == (500, power_of_flips(500, 0.1, 0.02))


@pytest.mark.parametrize(
    "bad", [("--change", 0), ("--change", 60), ("--flips", 120), ("--power", 1), ("--questions", 0)]
)
def test_what_cannot_be_is_refused(call, bad: tuple[str, float]) -> None:
    code, out, err = call("plan-eval", *bad)
    assert (code, out) == (2, "")
    assert bad[0] in err
