import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import SquareTable
from statsmodels.stats.proportion import proportion_confint

from consistency import compare
from consistency.logs.runs import read_run
from consistency.metrics.selection_bias import OptionCounts, OptionShift
from consistency.statistics.selection_bias import SelectionBias, preferences, shifts, strongest_bias


def counted(answers: str, gold: str, options: int = 4) -> OptionCounts:
    """One task whose answers and gold options are letters; "?" is a question without a gold option."""
    found = OptionCounts()
    add(found, answers, gold, options)
    return found


def add(found: OptionCounts, answers: str, gold: str, options: int = 4) -> None:
    probs = np.full((len(answers), options), 0.1)
    probs[np.arange(len(answers)), ["ABCD".index(letter) for letter in answers]] = 0.7
    found.add_task(probs, np.array(["ABCD".find(letter) for letter in gold], dtype=np.int64))


CASES = [
    # 3 of 8 answers would have to be other letters.
    ("AAAAABCD", "AABBCCDD", 3 / 8, ("A", 62.5, 25.0)),
    # 2 of 8, the bound itself.
    ("CCCCABBD", "AABBCCDD", 2 / 8, ("C", 50.0, 25.0)),
    # 1 of 8.
    ("DDDAABBC", "AABBCCDD", 1 / 8, None),
    # Wrong throughout, but as often each letter as it is gold.
    ("BBCCDDAA", "AABBCCDD", 0, None),
    # A key that favours a letter as well: 7 of 8 right; the eighth falls on C, not on the three others of its question alike.
    # Expected A 7/8 × 2 + 1/8 × 2, B and D 1/8 × 8/3, C 7/8 × 6 + 1/8 × 2/3.
    ("CCCCCCCA", "CCCCCCAA", (abs(1 - 2) + 2 * (1 / 3) + abs(7 - 16 / 3)) / 16, None),
    # Gold is always D, and errors fall on the others alike: no bias, though A is never gold and often answered.
    ("DDDDDABC", "DDDDDDDD", 0, None),
    # Never D, and the others alike: one option is avoided, and none of them is favoured.
    ("ABC" * 4, "ABCD" * 3, 1 / 4, None),
    # Questions without a gold option tell nothing: 3 of 8 again.
    ("AAAAABCDDD", "AABBCCDD??", 3 / 8, ("A", 62.5, 25.0)),
]


def favoured(found: OptionCounts) -> tuple[str, float, float] | None:
    """The option that is favoured, and of how many answers and questions in per cent it is the answer and the gold option."""
    bias = strongest_bias({"all": found})
    return None if bias is None else (bias.option, round(100 * bias.answered, 1), round(100 * bias.gold, 1))


@pytest.mark.parametrize(("answers", "gold", "bias", "option"), CASES)
@pytest.mark.parametrize("times", [10, 13, 25])
def test_an_option_that_is_favoured_is_named(
    answers: str, gold: str, bias: float, option: tuple[str, float, float] | None, times: int
) -> None:
    found = counted(answers * times, gold * times)
    assert (found.bias, favoured(found)) == (pytest.approx(bias, abs=1e-12), option)


def test_few_questions_tell_nothing() -> None:
    for n, options, enough in ((59, 2, False), (60, 2, True), (79, 4, False), (80, 4, True)):
        found = counted("A" * n, ("ABCD"[:options] * n)[:n], options)
        assert found.favours_an_option == (found.bias > 0) == enough
    # One question of many options, or columns that no question has, change nothing.
    wide = counted("A" * 88, "ABCD" * 22)
    wide.add_task(np.eye(26)[[3]], np.array([3]))
    assert favoured(wide) == ("A", 98.9, 24.7)
    padded = OptionCounts()
    probs = np.full((80, 26), np.nan)
    probs[:, :4] = np.eye(4)[0]
    padded.add_task(probs, np.arange(80) % 4)
    assert favoured(padded) == ("A", 100.0, 25.0)


def test_errors_of_a_model_without_a_bias_are_none() -> None:
    # As BLiMP: two options, the first is always right, 71 % answered so.
    assert counted("A" * 71 + "B" * 29, "A" * 100, options=2).bias == pytest.approx(0, abs=1e-12)
    # Yes-or-no with 62 % no, answered right in 80 % of either.
    answers, gold = "A" * 496 + "B" * 124 + "B" * 304 + "A" * 76, "A" * 620 + "B" * 380
    assert counted(answers, gold, options=2).bias == pytest.approx(0, abs=1e-12)
    # The same, "no" throughout: a bias, though it is right in 62 %.
    assert favoured(counted("A" * 1000, gold, options=2)) == ("A", 100.0, 62.0)
    # An easy task whose key is all A, and a hard one whose key is all B: each has its own accuracy.
    both = counted("A" * 1000, "A" * 1000, options=2)
    add(both, "AB" * 500, "B" * 1000, options=2)
    assert both.bias == pytest.approx(0, abs=1e-12)
    # Random answers to questions of two to five options.
    rng = np.random.default_rng(0)
    n, width = 20_000, rng.integers(2, 6, 20_000)
    probs = np.where(np.arange(5) < width[:, None], rng.random((n, 5)), np.nan)
    found = OptionCounts()
    found.add_task(probs, rng.integers(0, width))
    assert found.bias < 0.02


def test_tasks_count_together_and_what_is_no_answer_does_not() -> None:
    found = counted("A" * 60, "AB" * 30, options=2)
    assert found.favours_an_option
    add(found, "B" * 60, "AB" * 30, options=2)
    assert (found.bias, favoured(found)) == (0, None)
    nothing = OptionCounts()
    for probs, gold in (
        (np.full((500, 4), 0.25), 0),  # all tied
        (np.full((500, 4), np.nan), 0),
        (np.where(np.arange(4) < 1, 1.0, np.nan)[None].repeat(500, 0), 0),  # one option
        (np.where(np.arange(4) < 3, np.eye(4)[0], np.nan)[None].repeat(500, 0), 3),  # gold is what is not there
        (np.eye(4)[[0] * 500], -1),
    ):
        nothing.add_task(probs, np.full(500, gold))
        assert (nothing.bias, favoured(nothing), nothing.n) == (0, None, 0)
    wide = OptionCounts()
    wide.add_task(np.eye(28)[[27] * 1000], np.arange(1000) % 28)
    assert favoured(wide) == ("28", 100.0, 3.5)


def test_the_warning_says_of_how_many_questions_where_one_ties() -> None:
    """A question with a tie has no answer: 60 of the 61 count."""
    found = OptionCounts()
    found.add_task(np.vstack([np.eye(2)[[0] * 60], [[0.5, 0.5]]]), np.arange(61) % 2)
    bias = strongest_bias({"yes or no": found})
    assert bias is not None
    assert bias.n == 60
    assert " 60 " in bias.to_text()


def test_of_several_sets_of_answers_the_strongest_bias_is_named() -> None:
    even = counted("ABCD" * 30, "ABCD" * 30)
    strong, weak = counted("CCCC" * 30, "ABCD" * 30), counted("CCCD" * 30, "ABCD" * 30)
    assert strongest_bias({"base": even}) is None
    found = strongest_bias({"base": even, "tuned": weak, "other": strong})
    # C is right wherever it is gold, and no other letter is: recalls 1, 0, 0, 0.
    assert found is not None
    assert (found.answers_of, found.option, found.answered, found.gold) == ("other", "C", 1.0, 0.25)
    assert (found.alike, found.of, found.n) == (2, 3, 120)
    assert found.bias == pytest.approx(0.75)
    assert found.bias_ci_low is not None
    assert found.bias_ci_low > 0.6
    assert found.rstd == pytest.approx(3**0.5 / 4)
    assert found.p_holm == pytest.approx(0, abs=1e-9)


def write_log(folder: Path, answers: str, order: str = "pqrs", turned: int = 120, task: str = "things") -> Path:
    """Log 120 questions whose right option is p, q, r, s in turn, the options of the first ones shown in `order`."""
    folder.mkdir(exist_ok=True)
    lines = []
    for number in range(120):
        scores = [[str(-0.1 if letter == answers[number % len(answers)] else -3.0), "False"] for letter in "ABCD"]
        shown = order if number < turned else "pqrs"
        doc = {"question": f"Which is the {number}th?", "choices": list(shown)}
        target = shown.index("pqrs"[number % 4])
        lines.append(json.dumps({"doc_id": number, "doc": doc, "target": str(target), "filtered_resps": scores}))
    (folder / f"samples_{task}_2026-01-01T00-00-00.000000.jsonl").write_text("\n".join(lines))
    return folder


def biases(before: Path, after: Path) -> list[SelectionBias]:
    return [warning for warning in compare(before, after).warnings if isinstance(warning, SelectionBias)]


def test_a_comparison_says_which_of_its_runs_favours_an_option(tmp_path: Path) -> None:
    fair, c = write_log(tmp_path / "fair", "ABCD"), write_log(tmp_path / "c", "CCCB")
    (found,) = biases(fair, c)
    assert (found.answers_of, found.option, found.answered, found.gold) == ("after, things", "C", 0.75, 0.25)
    assert found.to_text() in compare(fair, c).to_text()
    # Matched by their texts, reordered options no longer stand where the model saw them: 20 of 120 do not count.
    some = write_log(tmp_path / "some", "C", order="srqp", turned=20)
    (found,) = biases(fair, some)
    assert (found.answers_of, found.option, found.answered, found.gold) == ("after, things", "C", 1.0, 0.25)
    every = write_log(tmp_path / "every", "C", order="srqp")
    assert biases(fair, every) == []
    (found,) = biases(every, fair)
    assert (found.answers_of, found.option, found.answered) == ("before, things", "C", 1.0)


def test_biases_of_several_tasks_do_not_cancel_out(tmp_path: Path) -> None:
    for task, letter in zip(("p", "q", "r", "s"), "ABCD", strict=True):
        write_log(tmp_path / "fair", "ABCD", task=task)
        write_log(tmp_path / "each", letter, task=task)
        write_log(tmp_path / "all", "C", task=task)
    (found,) = biases(tmp_path / "fair", tmp_path / "each")
    assert (found.answers_of, found.option, found.answered, found.alike, found.of) == ("after, p", "A", 1.0, 4, 4)
    (found,) = biases(tmp_path / "fair", tmp_path / "all")
    assert (found.answers_of, found.option, found.alike, found.of) == ("after, all tasks", "C", 4, 4)
    write_log(tmp_path / "all", "ABCD", task="p")
    (found,) = biases(tmp_path / "fair", tmp_path / "all")
    assert (found.option, found.alike, found.of) == ("C", 3, 4)


def test_a_question_with_several_right_options_does_not_count(tmp_path: Path) -> None:
    fair, c = write_log(tmp_path / "fair", "ABCD"), write_log(tmp_path / "c", "C")
    assert biases(fair, c)
    for folder in (fair, c):
        (path,) = folder.glob("*.jsonl")
        samples = [json.loads(line) for line in path.read_text().splitlines()]
        for sample in samples[:60]:
            sample["target"] = "[0, 2]"
        path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    assert (read_run(c).tasks["things"].gold.sum(axis=1) == 2).sum() == 60
    # 60 are left, of four options each.
    assert biases(fair, c) == []


def test_real_logs(test_data: Path) -> None:
    run = read_run(test_data / "harness_logs" / "vicuna-33b-lm_eval-0.4.0")
    options = {}
    for name, scores in run.tasks.items():
        found = OptionCounts()
        found.add_task(scores.probs, scores.gold.argmax(axis=1))
        options[name] = favoured(found)
    # Counted in the file itself: 67 of 100 answers are C, and 31 of the gold options.
    assert options == {"mmlu_abstract_algebra": ("C", 67.0, 31.0), "mmlu_virology": None}


def test_the_null_is_every_way_to_be_right_so_often() -> None:
    """Three of five answers right, of three options: 10 choices of these times 2² wrong answers, counted one by one."""
    gold = np.array([0, 0, 1, 2, 0])
    ways = []
    for right in itertools.combinations(range(5), 3):
        wrong = [question for question in range(5) if question not in right]
        for turns in itertools.product((1, 2), repeat=2):
            answers = gold.copy()
            answers[wrong] = (gold[wrong] + turns) % 3
            ways.append(np.bincount(answers, minlength=3))
    found = OptionCounts()
    found.add_task(np.eye(3)[[0, 0, 1, 0, 1]], gold)
    np.testing.assert_allclose(found.expected, np.mean(ways, axis=0), atol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(np.transpose(ways), bias=True), atol=1e-12)
    off = found.answers - found.expected
    statistic = off @ np.linalg.pinv(found.covariance) @ off
    assert preferences([found])[0].p == pytest.approx(stats.chi2.sf(statistic, 2), rel=1e-9)


def test_tasks_have_their_own_accuracies() -> None:
    """An easy task whose key is mostly A, and a hard one whose key is mostly D: as two tasks no bias, as one a bias."""
    rng = np.random.default_rng(0)

    def task(right: float, key: list[float]) -> tuple[np.ndarray, np.ndarray]:
        gold = rng.choice(4, 1000, p=key)
        wrong = (gold + rng.integers(1, 4, 1000)) % 4
        return np.eye(4)[np.where(rng.random(1000) < right, gold, wrong)], gold

    easy, hard = task(0.95, [0.7, 0.1, 0.1, 0.1]), task(0.3, [0.1, 0.1, 0.1, 0.7])
    apart, together = OptionCounts(), OptionCounts()
    for probs, gold in (easy, hard):
        apart.add_task(probs, gold)
    together.add_task(np.concatenate([easy[0], hard[0]]), np.concatenate([easy[1], hard[1]]))
    first, second = preferences([apart, together])
    assert first.p > 0.05
    assert second.p < 1e-6
    assert first.rstd.value < 0.05 < second.rstd.value


def test_rstd_is_the_standard_deviation_of_recalls() -> None:
    gold = np.repeat(np.arange(4), 50)
    right = np.concatenate([np.arange(50) < hits for hits in (40, 30, 30, 20)])
    found = OptionCounts()
    found.add_task(np.eye(4)[np.where(right, gold, (gold + 1) % 4)], gold)
    rstd = preferences([found])[0].rstd
    assert rstd.value == pytest.approx(np.std([0.8, 0.6, 0.6, 0.4]), rel=1e-12)
    assert 0 < rstd.ci_low < rstd.value < rstd.ci_high
    # Equal recalls, and letters whose recall nobody can tell.
    even = counted("ABCD" * 30, "ABCD" * 30)
    few = counted("ABCD" * 2, "ABCD" * 2)
    assert (preferences([even])[0].rstd.value, preferences([even])[0].rstd.ci_low) == (0, 0)
    assert preferences([few])[0].rstd.warnings == ("too few",)


def test_the_interval_of_rstd_is_that_of_a_noncentral_chi2() -> None:
    """Four letters of one size and recalls near each other: the ends are where the observed sum is at 2.5 and 97.5 %."""
    gold = np.repeat(np.arange(4), 400)
    right = np.concatenate([np.arange(400) < hits for hits in (250, 240, 240, 230)])
    found = OptionCounts()
    found.add_task(np.eye(4)[np.where(right, gold, (gold + 1) % 4)], gold)
    rstd = preferences([found])[0].rstd
    shares = np.array([251, 241, 241, 231]) / 402
    noise = (shares * (1 - shares) / 400).mean()
    statistic = 4 * rstd.value**2 / noise
    assert rstd.ci_low == 0
    assert stats.ncx2.cdf(statistic, 3, 4 * rstd.ci_high**2 / noise) == pytest.approx(0.025, abs=1e-3)


def test_p_is_adjusted_over_all_sets_and_absent_where_nothing_tells() -> None:
    strong, weak = counted("CCCC" * 30, "ABCD" * 30), counted("CCCABCDABCDDABCDABCD" * 6, "ABCD" * 30)
    one_letter = counted("A" * 71 + "B" * 29, "A" * 100, options=2)
    found = preferences([strong, weak, one_letter])
    assert found[2].p is None is found[2].p_holm
    assert found[1].p_holm == found[1].p
    assert found[0].p_holm == pytest.approx(2 * found[0].p)


def test_a_warning_needs_a_bias_beyond_chance() -> None:
    """60 answers of two options: a quarter too many A is p = .0001 alone, and no finding among 1000 such sets."""
    found = counted("A" * 45 + "B" * 15, "AB" * 30, options=2)
    assert found.favours_an_option
    assert strongest_bias({"one": found}) is not None
    fair = {str(number): counted("AABB" * 15, "AB" * 30, options=2) for number in range(1000)}
    assert strongest_bias({**fair, "one": found}) is None


def table(first: np.ndarray, second: np.ndarray, k: int) -> np.ndarray:
    return np.bincount(first * k + second, minlength=k * k).reshape(k, k)


@pytest.mark.parametrize("k", [2, 3, 4, 10])
def test_the_shift_is_stuart_and_maxwells_where_gold_letters_are_even(k: int) -> None:
    rng = np.random.default_rng(k)
    gold = np.arange(60 * k) % k
    first = np.where(rng.random(len(gold)) < 0.5, gold, rng.integers(0, k, len(gold)))
    second = np.where(
        rng.random(len(gold)) < 0.6, first, rng.choice(k, len(gold), p=np.arange(1, k + 1) / (k * (k + 1) / 2))
    )
    moves = OptionShift()
    moves.add_task(np.eye(k)[first], np.eye(k)[second], gold)
    found = shifts([moves])[0]
    expected = SquareTable(table(first, second, k), shift_zeros=False).homogeneity(method="stuart_maxwell")
    assert found.p == pytest.approx(expected.pvalue, rel=1e-8)
    margins = np.bincount(second, minlength=k) - np.bincount(first, minlength=k)
    assert found.moved == pytest.approx(np.abs(margins).sum() / 2 / len(gold))
    assert found.moved_estimate.ci_low <= found.moved <= found.moved_estimate.ci_high
    assert found.option == "ABCDEFGHIJ"[int(margins.argmax())]


def test_a_gain_of_knowledge_is_no_shift() -> None:
    """Answers that turn right go to a key that favours A: Stuart and Maxwell's own test rejects, as it should not."""
    rng = np.random.default_rng(1)
    gold = rng.choice(4, 2000, p=[0.7, 0.1, 0.1, 0.1])
    wrong = (gold + rng.integers(1, 4, 2000)) % 4
    u = rng.random(2000)
    first, second = np.where(u < 0.3, gold, wrong), np.where(u < 0.8, gold, wrong)
    moves = OptionShift()
    moves.add_task(np.eye(4)[first], np.eye(4)[second], gold)
    assert SquareTable(table(first, second, 4)).homogeneity(method="stuart_maxwell").pvalue < 1e-6
    assert shifts([moves])[0].p > 0.05
    same = OptionShift()
    same.add_task(np.eye(4)[first], np.eye(4)[first], gold)
    none = shifts([same])[0]
    assert (none.p, none.moved, none.moved_estimate.ci_low, none.option) == (None, 0, 0, None)
    # As Wilson's upper end of 0 in 2000, but for the noise of the absolute value.
    assert none.moved_estimate.ci_high == pytest.approx(proportion_confint(0, 2000, method="wilson")[1], rel=0.03)


@pytest.mark.parametrize(("n", "turned"), [(100, 20), (500, 20), (2000, 600)])
def test_where_all_answers_move_one_way_the_upper_end_is_wilsons(n: int, turned: int) -> None:
    gold, first = np.arange(n) % 2, np.zeros(n, int)
    moves, second = OptionShift(), np.where(np.arange(n) < turned, 1, 0)
    moves.add_task(np.eye(4)[first], np.eye(4)[second], 2 + gold)
    found = shifts([moves])[0].moved_estimate
    low, high = proportion_confint(turned, n, method="wilson")
    assert found.ci_high == pytest.approx(high, rel=0.02)
    # Below, as many moves as were seen might cancel.
    assert 0.5 * low < found.ci_low <= low


def test_the_intervals_cover_a_planted_preference_and_its_change() -> None:
    """In a twentieth of the answers after, and in none before, C: three quarters of these are of other letters."""
    rng = np.random.default_rng(3)
    counts, moves = [], []
    for _ in range(400):
        gold = rng.integers(0, 4, 400)
        first = np.where(rng.random(400) < 0.6, gold, rng.integers(0, 4, 400))
        again = np.where(rng.random(400) < 0.6, gold, rng.integers(0, 4, 400))
        second = np.where(rng.random(400) < 0.05, 2, np.where(rng.random(400) < 0.6, first, again))
        counts.append(OptionCounts())
        counts[-1].add_task(np.eye(4)[second], gold)
        moves.append(OptionShift())
        moves[-1].add_task(np.eye(4)[first], np.eye(4)[second], gold)
    for found in (
        [each.bias_estimate for each in preferences(counts)],
        [each.moved_estimate for each in shifts(moves)],
    ):
        covers = [each.ci_low <= 0.05 * 0.75 <= each.ci_high for each in found]
        assert np.mean(covers) > 0.93
        assert np.mean([each.ci_high - each.ci_low for each in found]) < 0.1


def test_a_large_shift_is_in_the_verdict_and_a_small_one_below_it(tmp_path: Path) -> None:
    fair = write_log(tmp_path / "fair", "ABCD")
    large, small = write_log(tmp_path / "large", "CBCD"), write_log(tmp_path / "small", "ABCDABCDABCDABCDABCC")
    # All 30 of A turned to C, and 6 of 30 of D.
    assert "25.0 % [16.6, 33.4] of the answers moved" in compare(fair, large).verdict
    assert compare(fair, large).to_text().count("of the answers moved") == 1
    assert "of the answers moved" not in compare(fair, small).verdict
    assert "5.0 % [0.0, 10.5] of the answers moved" in compare(fair, small).to_text()


def test_the_value_is_in_the_output_without_a_warning(tmp_path: Path) -> None:
    fair, some = write_log(tmp_path / "fair", "ABCD"), write_log(tmp_path / "some", "ABCDABCDABCDABCDABCC")
    comparison = compare(fair, some)
    assert biases(fair, some) == []
    found = comparison.to_dict()["by_task"]["things"]["selection_bias"]
    # 6 of 30 D turned to C, and nothing else: recalls 1, 1, 1 and .8.
    assert found["before"]["rstd"]["value"] == 0
    assert found["after"]["rstd"]["value"] == pytest.approx(np.std([1, 1, 1, 0.8]))
    assert (found["shift"]["option"], found["shift"]["n"]) == ("C", 120)
    assert found["shift"]["moved"] == found["shift"]["moved_estimate"]["value"] == pytest.approx(6 / 120)
    # One degree of freedom: all 6 moves of 6 the same way.
    assert found["shift"]["p"] == pytest.approx(stats.chi2.sf(6, 1))
    (warned,) = biases(fair, write_log(tmp_path / "c", "CCCB"))
    assert warned.p_holm is not None
    assert warned.p_holm < 1e-6
    assert f"RStd {100 * warned.rstd:.1f} points" in warned.to_text()
