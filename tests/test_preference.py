import json
from pathlib import Path

import numpy as np
import pytest

from consistency import compare
from consistency.preference import Letters, liking
from consistency.samples import read_run


def counted(answers: str, gold: str, options: int = 4) -> Letters:
    """Questions whose answer and golden option are letters; "?" is a question without either."""
    probs = np.full((len(answers), options), 0.1)
    for row, letter in enumerate(answers):
        probs[row, "ABCD".find(letter)] = 0.7
    found = Letters()
    found.add(probs, np.array(["ABCD".find(letter) for letter in gold], dtype=np.int64))
    return found


CASES = [
    # 3 of 8 answers would have to be other letters.
    ("AAAAABCD", "AABBCCDD", 3 / 8, "62.5 % of the answers are option A, which is golden in 25.0 %"),
    # 2 of 8, the bound itself.
    ("CCCCABBD", "AABBCCDD", 2 / 8, "50.0 % of the answers are option C, which is golden in 25.0 %"),
    # 1 of 8.
    ("DDDAABBC", "AABBCCDD", 1 / 8, ""),
    # Wrong throughout, but as often each letter as it is golden.
    ("BBCCDDAA", "AABBCCDD", 0, ""),
    # A key that favours a letter as well: 7 of 8 right; the eighth falls on C, not on the three others of its question alike.
    # Expected A 7/8 × 2 + 1/8 × 2, B and D 1/8 × 8/3, C 7/8 × 6 + 1/8 × 2/3.
    ("CCCCCCCA", "CCCCCCAA", (abs(1 - 2) + 2 * (1 / 3) + abs(7 - 16 / 3)) / 16, ""),
    # Gold is always D, and errors fall on the others alike: no liking, though A is never golden and often answered.
    ("DDDDDABC", "DDDDDDDD", 0, ""),
    # Questions without a golden option tell nothing: 3 of 8 again.
    ("AAAAABCDDD", "AABBCCDD??", 3 / 8, "62.5 % of the answers are option A, which is golden in 25.0 %"),
]


@pytest.mark.parametrize(("answers", "gold", "moved", "said"), CASES)
def test_a_liking_for_an_option_is_told(answers: str, gold: str, moved: float, said: str) -> None:
    found = counted(answers * 13, gold * 13)
    assert (found.moved, found.preference()) == (pytest.approx(moved, abs=1e-12), said)
    few = counted(answers * 9, gold * 9)
    assert (few.moved, few.preference()) == (0, ""), "72 questions are fewer than 20 for each option"


def test_errors_of_a_model_without_a_liking_are_none() -> None:
    # As BLiMP: two options, the first is always right, 71 % answered so.
    assert counted("A" * 71 + "B" * 29, "A" * 100, options=2).moved == pytest.approx(0, abs=1e-12)
    # Yes-or-no with 62 % no, answered right in 80 % of either.
    answers, gold = "A" * 496 + "B" * 124 + "B" * 304 + "A" * 76, "A" * 620 + "B" * 380
    assert counted(answers, gold, options=2).moved == pytest.approx(0, abs=1e-12)
    # The same, "no" throughout: a liking, though it is right in 62 %.
    assert counted("A" * 1000, gold, options=2).preference().startswith("100.0 % of the answers are option A")
    # Random answers to questions of two to five options.
    rng = np.random.default_rng(0)
    n, width = 20_000, rng.integers(2, 6, 20_000)
    probs = np.where(np.arange(5) < width[:, None], rng.random((n, 5)), np.nan)
    found = Letters()
    found.add(probs, rng.integers(0, width))
    assert found.moved < 0.02


def test_what_is_added_counts_together_and_ties_do_not_count() -> None:
    found = counted("A" * 60, "AB" * 30, options=2)
    assert found.preference()
    found.add(np.eye(2)[[1] * 60], np.array([0, 1] * 30))
    assert (found.moved, found.preference()) == (0, "")
    tied = Letters()
    tied.add(np.full((500, 4), 0.25), np.zeros(500, dtype=np.int64))
    tied.add(np.full((500, 4), np.nan), np.zeros(500, dtype=np.int64))
    assert (tied.moved, tied.preference()) == (0, "")
    wide = Letters()
    wide.add(np.eye(28)[[27] * 1000], np.arange(1000) % 2)
    assert wide.preference() == "100.0 % of the answers are option 28, which is golden in 0.0 %"
    assert (Letters().moved, Letters().preference()) == (0, "")


def test_of_several_sets_of_answers_the_strongest_liking_is_told() -> None:
    even = counted("ABCD" * 30, "ABCD" * 30)
    strong, weak = counted("CCCC" * 30, "ABCD" * 30), counted("CCCD" * 30, "ABCD" * 30)
    assert liking({"base": even}) == ""
    assert liking({"base": even, "tuned": weak, "other": strong}) == (
        "other: 100.0 % of the answers are option C, which is golden in 25.0 %: what looks like knowledge may be a "
        "liking for that option; and so in 1 more of 3"
    )


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


def likings(before: Path, after: Path) -> list[str]:
    return [message for message in compare(before, after).messages if "option" in message]


def test_a_comparison_says_which_of_its_runs_favours_an_option(tmp_path: Path) -> None:
    fair, c = write_log(tmp_path / "fair", "ABCD"), write_log(tmp_path / "c", "CCCB")
    told = (
        "after: things: 75.0 % of the answers are option C, which is golden in 25.0 %: what looks like knowledge may be "
        "a liking for that option"
    )
    assert likings(fair, c) == [told]
    assert told in compare(fair, c).to_text()
    # Matched by their texts, reordered options no longer stand where the model saw them: 20 of 120 do not count.
    some = write_log(tmp_path / "some", "C", order="srqp", turned=20)
    assert likings(fair, some) == [told.replace("75.0 %", "100.0 %")]
    every = write_log(tmp_path / "every", "C", order="srqp")
    assert likings(fair, every) == []
    assert likings(every, fair) == [told.replace("75.0 %", "100.0 %").replace("after", "before")]


def test_likings_of_several_tasks_do_not_cancel_out(tmp_path: Path) -> None:
    for task, letter in zip(("p", "q", "r", "s"), "ABCD", strict=True):
        write_log(tmp_path / "fair", "ABCD", task=task)
        write_log(tmp_path / "each", letter, task=task)
        write_log(tmp_path / "all", "C", task=task)
    assert [message[:60] for message in likings(tmp_path / "fair", tmp_path / "each")] == [
        "after: p: 100.0 % of the answers are option A, which is gold"
    ]
    assert likings(tmp_path / "fair", tmp_path / "each")[0].endswith("for that option; and so in 3 more of 4")
    assert likings(tmp_path / "fair", tmp_path / "all")[0].startswith("after: all 4 tasks: 100.0 % of the answers are")


def test_real_logs(test_data: Path) -> None:
    run = read_run(test_data / "harness_logs" / "vicuna-33b-lm_eval-0.4.0")
    told = {}
    for name, scores in run.tasks.items():
        found = Letters()
        found.add(scores.probs, scores.gold.argmax(axis=1))
        told[name] = found.preference()
    # Counted in the file itself: 67 of 100 answers are C, and 31 of the right ones.
    assert told == {
        "mmlu_abstract_algebra": "67.0 % of the answers are option C, which is golden in 31.0 %",
        "mmlu_virology": "",
    }
