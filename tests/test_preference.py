import json
from pathlib import Path

import numpy as np
import pytest

from consistency import compare
from consistency.preference import Letters, likings


def indices(letters: str) -> np.ndarray:
    return np.array(["ABCD".find(letter) for letter in letters], dtype=np.int64)


def counted(answers: str, gold: str) -> Letters:
    found = Letters()
    found.add(indices(answers), indices(gold))
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
    # A key that favours a letter as well.
    ("CCCCCCCA", "CCCCCCAA", 1 / 8, ""),
    # Questions without a golden option, or without an answer, tell nothing: 3 of 8 again.
    ("AAAAABCDDD?", "AABBCCDD??A", 3 / 8, "62.5 % of the answers are option A, which is golden in 25.0 %"),
]


@pytest.mark.parametrize(("answers", "gold", "moved", "said"), CASES)
def test_a_liking_for_an_option_is_told(answers: str, gold: str, moved: float, said: str) -> None:
    found = counted(answers * 13, gold * 13)
    assert (found.moved, found.preference()) == (pytest.approx(moved), said)
    few = counted(answers * 6, gold * 6)
    assert (few.moved, few.preference()) == (0, ""), "48 questions are fewer than 25 for each option"


def test_what_is_added_counts_together() -> None:
    found = counted("A" * 60, "AB" * 30)
    found.add(indices("B" * 60), indices("AB" * 30))
    assert found.preference() == ""
    found.add(np.array([27] * 1000), np.array([0, 1] * 500))
    assert found.preference() == "89.3 % of the answers are option 28, which is golden in 0.0 %"
    assert (Letters().moved, Letters().preference()) == (0, "")


def test_of_each_base_model_the_strongest_liking_is_told() -> None:
    even = counted("ABCD" * 30, "ABCD" * 30)
    strong, weak = counted("CCCC" * 30, "ABCD" * 30), counted("CCCD" * 30, "ABCD" * 30)
    found = likings({"one": {"base": even, "tuned": weak, "other": strong}, "two": {"base": even}})
    assert found == [
        "one: 2 of 3 evaluations favour an option, other the most: 100.0 % of the answers are option C, which is golden "
        "in 25.0 %: what looks like knowledge may be a liking for that option"
    ]


def write_log(folder: Path, answers: str, order: str = "pqrs") -> Path:
    """Log 120 questions whose right option is p, q, r, s in turn, the options shown in `order`."""
    folder.mkdir()
    lines = []
    for number in range(120):
        scores = [[str(-0.1 if letter == answers[number % len(answers)] else -3.0), "False"] for letter in "ABCD"]
        doc = {"question": f"Which is the {number}th?", "choices": list(order)}
        target = order.index("pqrs"[number % 4])
        lines.append(json.dumps({"doc_id": number, "doc": doc, "target": str(target), "filtered_resps": scores}))
    (folder / "samples_things_2026-01-01T00-00-00.000000.jsonl").write_text("\n".join(lines))
    return folder


def test_a_comparison_says_which_of_its_runs_favours_an_option(tmp_path: Path) -> None:
    fair, liking = write_log(tmp_path / "fair", "ABCD"), write_log(tmp_path / "liking", "CCCB")
    found = compare(fair, liking)
    assert [message for message in found.messages if "option" in message] == [
        "after: 75.0 % of the answers are option C, which is golden in 25.0 %: what looks like knowledge may be a liking "
        "for that option"
    ]
    assert "after: 75.0 % of the answers are option C" in found.to_text()
    # Matched by their texts, reordered options no longer stand where the model saw them.
    turned = write_log(tmp_path / "turned", "C", order="srqp")
    assert not [message for message in compare(fair, turned).messages if "option" in message]
    assert [message[:32] for message in compare(turned, fair).messages if "option" in message] == [
        "before: 100.0 % of the answers a"
    ]
