"""Two runs that were asked all rotations of the options: what of the change is letters, where that is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consistency import compare
from consistency.comparison.over_rotations import rotation_lines
from consistency.report.pair.part_tables import part_tables

N = 400
RNG = np.random.default_rng(0)
GOLD = RNG.integers(0, 4, N)
CONTENT = RNG.normal(0, 1, (N, 4)) + 1.5 * np.eye(4)[GOLD]
OTHER = np.where(np.arange(N)[:, None] % 10 == 0, RNG.normal(0, 3, (N, 4)), CONTENT)
PRIOR = np.array([1.5, -1.5, 0.0, 0.0])
EACH = RNG.normal(0, 1.5, (N, 4))


def answers(content: Any, letters: Any = 0.0) -> Any:
    """Scores by question, rotation and letter: in rotation r, option o has the letter (o - r) mod 4."""
    return np.stack([np.roll(content, -rotation, axis=1) + letters for rotation in range(4)], axis=1)


def write(folder: Path, scores: Any, rotated: bool = True) -> Path:
    rows = []
    for question in range(N):
        texts = [f"text {question} {number}" for number in range(4)]
        for rotation in range(4 if rotated else 1):
            gold, logs = int(GOLD[question] - rotation) % 4, scores[question, rotation]
            logs = logs - np.log(np.exp(logs).sum())
            choices = [*texts[rotation:], *texts[:rotation]]
            turned = {"id": question, "rotation": rotation} if rotated else {}
            rows.append(
                {
                    "doc_id": len(rows),
                    "doc": {"question": f"Question {question}?", "choices": choices, "answer": gold, **turned},
                    "target": str(gold),
                    "arguments": [[f"Question {question}?", f" {letter}"] for letter in "ABCD"],
                    "filtered_resps": [[str(log), "False"] for log in logs],
                    "acc": float(logs.argmax() == gold),
                }
            )
    folder.mkdir()
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"samples_exam{'_cyclic' * rotated}_2026-01-01T00-00-00.000000.jsonl").write_text(lines)
    return folder


def right(scores: Any) -> Any:
    return (scores.argmax(axis=1) == GOLD).astype(float)


PLANTED: dict[str, tuple[Any, Any]] = {
    "letters": (CONTENT, PRIOR),
    "letters of each question": (CONTENT, PRIOR + EACH),
    "contents": (OTHER, 0.0),
    "both": (OTHER, PRIOR + EACH),
}


@pytest.mark.parametrize("name", PLANTED)
def test_letters_and_contents_are_told_apart(name: str, tmp_path: Path) -> None:
    content, letters = PLANTED[name]
    before = write(tmp_path / "before", answers(CONTENT))
    comparison = compare(before, write(tmp_path / "after", answers(content, letters)))
    section = comparison.overall
    assert section is not None
    assert section.rotations is not None
    asked = right(content + letters) - right(CONTENT)
    over_all = right(content) - right(CONTENT)
    found = section.rotations
    assert section.estimates["delta_accuracy"].value == pytest.approx(over_all.mean())
    assert found["unrotated_change"].value == pytest.approx(asked.mean())
    assert found["letters_change"].value == pytest.approx((asked - over_all).mean())
    assert found["letters_change"].se == pytest.approx((asked - over_all).std(ddof=1) / N**0.5)
    assert len(list(rotation_lines(section))) == 1
    (table,) = part_tables(comparison)
    ends = [(part.value, part.ci_low, part.ci_high) for part in (found["unrotated_change"], found["letters_change"])]
    asked_cell, letters_cell = (
        f"{100 * x:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]".replace("-", "−") for x, low, high in ends
    )
    assert table.rows[0][:3] == ("all questions", str(N), asked_cell)
    assert table.rows[0][4] == letters_cell
    # Over all rotations no option has a letter.
    assert section.decomposition is not None
    assert section.decomposition.lettered == 0


def test_the_prior_is_that_of_the_unrotated_questions(tmp_path: Path) -> None:
    content, letters = PLANTED["both"]
    scores = answers(CONTENT), answers(content, letters)
    folded = compare(write(tmp_path / "1", scores[0]), write(tmp_path / "2", scores[1])).overall
    plain = compare(write(tmp_path / "3", scores[0], False), write(tmp_path / "4", scores[1], False)).overall
    assert folded is not None
    assert folded.rotations is not None
    assert plain is not None
    assert plain.rotations is None
    assert plain.decomposition is not None
    assert folded.rotations["prior_change"] == plain.decomposition.estimates["prior_change"]
    assert folded.rotations["unrotated_change"].value == plain.estimates["delta_accuracy"].value
    assert "rotations" not in plain.to_dict()
    assert set(folded.to_dict()["rotations"]) == {"unrotated_change", "letters_change", "prior_change"}
