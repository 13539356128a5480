import json
from pathlib import Path

import numpy as np
import pytest

from consistency import compare
from consistency.logs.runs import read_run
from consistency.metrics.selection_bias import OptionCounts
from consistency.statistics.selection_bias import SelectionBias, strongest_bias


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


def test_of_several_sets_of_answers_the_strongest_bias_is_named() -> None:
    even = counted("ABCD" * 30, "ABCD" * 30)
    strong, weak = counted("CCCC" * 30, "ABCD" * 30), counted("CCCD" * 30, "ABCD" * 30)
    assert strongest_bias({"base": even}) is None
    found = strongest_bias({"base": even, "tuned": weak, "other": strong})
    # C is right wherever it is gold, and no other letter is: recalls 1, 0, 0, 0.
    rstd = pytest.approx(3**0.5 / 4)
    assert found == SelectionBias("other", "C", 1.0, 0.25, pytest.approx(0.75), 2, 3, rstd, pytest.approx(0, abs=1e-9))


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
