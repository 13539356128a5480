"""Degenerate logs have a note that counts the questions; ordinary ones have none."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from consistency.comparison.compare import compare

NAME = "samples_sums_2026-01-01T00-00-00.000000.jsonl"


def write(folder: Path, logprobs, *, gold=None, texts=" A, B, C, D", acc=None) -> Path:
    folder.mkdir()
    lines = []
    for i, options in enumerate(logprobs):
        right = i % 4 if gold is None else gold
        known = [x for x in options if not math.isnan(x)]
        row = {
            "doc_id": i,
            "doc": {"question": f"Q{i}?"},
            "target": str(right),
            "arguments": {
                f"gen_args_{o}": {"arg_0": "Q", "arg_1": text}
                for o, text in enumerate(texts.split(",")[: len(options)])
            },
            "filtered_resps": [[str(x), "False"] for x in options],
            "filter": "none",
            "metrics": ["acc"],
            "doc_hash": f"h{i}",
            "acc": float(bool(known) and options.index(max(known)) == right) if acc is None else acc,
        }
        lines.append(json.dumps(row) + "\n")
    (folder / NAME).write_text("".join(lines))
    return folder


def ordinary(n: int = 20) -> list[list[float]]:
    return (-np.random.default_rng(0).gamma(2, 1, (n, 4))).round(3).tolist()


def notes(before: Path, after: Path) -> list[str]:
    found = compare(before, after)
    text = found.to_text()
    for section in (found.overall, found.by_task["sums"]):
        for name, estimate in section.estimates.items():
            if name.startswith("accuracy") and estimate.ci_low is not None:
                assert 0 <= estimate.ci_low <= estimate.ci_high <= 1
    listed = list(found.by_task["sums"].pairing.notes)
    assert all(note in text for note in listed)
    json.dumps(found.to_dict(), allow_nan=False)
    return listed


def test_ordinary_logs_have_no_note(tmp_path):
    assert notes(write(tmp_path / "a", ordinary()), write(tmp_path / "b", ordinary()[::-1])) == []


@pytest.mark.parametrize(
    ("options", "words", "count"),
    [
        ([-math.inf] * 4, "minus infinity", 20),
        ([math.nan] * 4, "not numbers", 20),
        ([math.inf, -1, -2, -3], "not numbers", 20),
        ([-1.5] * 4, "same log-probability", 20),
        ([0.0] * 4, "same log-probability", 20),
        ([-1e308] * 4, "same log-probability", 20),
        ([4.0, 3.0, 2.0, 1.0], "above 0", 20),
    ],
    ids=str,
)
def test_degenerate_scores_are_counted(tmp_path, options, words, count):
    before = write(tmp_path / "before", ordinary())
    (note,) = notes(before, write(tmp_path / "after", [options] * 20))
    assert note.startswith(f"second log: {count} questions")
    assert words in note


def test_without_a_divergence_there_is_no_largest_one(tmp_path):
    impossible = write(tmp_path / "after", [[-math.inf] * 4] * 20)
    section = compare(write(tmp_path / "before", ordinary()), impossible).by_task["sums"]
    assert (section.estimates["kl"].n, section.kl_largest) == (0, None)


def test_impossible_answers_to_some_questions_are_counted(tmp_path):
    some = ordinary()
    some[3] = some[7] = [-math.inf] * 4
    (note,) = notes(write(tmp_path / "before", ordinary()), write(tmp_path / "after", some))
    assert note.startswith("second log: 2 questions")


def test_one_question_one_option_one_right_option_and_options_without_text(tmp_path):
    one = notes(write(tmp_path / "a", ordinary(1)), write(tmp_path / "b", ordinary(1)))
    assert [note.split(": ")[0] for note in one] == ["first log", "second log"]
    single = [*ordinary(19), [-1.0]]
    found = notes(write(tmp_path / "c", single), write(tmp_path / "d", single))
    assert [("1 question has" in note, "single option" in note) for note in found if "single" in note] == [
        (True, True)
    ] * 2
    found = notes(write(tmp_path / "e", ordinary(), gold=2), write(tmp_path / "f", ordinary()[::-1], gold=2))
    assert ["number 3 in all 20" in note for note in found] == [True, True]
    found = notes(write(tmp_path / "g", ordinary(), texts=",,,"), write(tmp_path / "h", ordinary()[::-1], texts=",,,"))
    assert ["20 questions" in note for note in found] == [True, True]


def test_a_right_option_out_of_range_and_a_metric_of_nothing_but_nan(tmp_path):
    found = notes(
        write(tmp_path / "a", ordinary(), gold=9, acc=0.0), write(tmp_path / "b", ordinary(), gold=9, acc=0.0)
    )
    assert ["right option of 20 questions" in note for note in found] == [True, True]
    found = notes(write(tmp_path / "c", ordinary(), acc=math.nan), write(tmp_path / "d", ordinary(), acc=math.nan))
    assert ["acc is null in all 20 questions" in note for note in found] == [True, True]


def test_intervals_of_shares_end_at_0_and_1_also_of_answers_that_are_right_in_part(tmp_path):
    for side, parts in (("before", (0.13, 0.85)), ("after", (0.99, 0.91))):
        folder = write(tmp_path / side, ordinary(2))
        rows = [json.loads(line) | {"acc": acc} for line, acc in zip((folder / NAME).open(), parts, strict=True)]
        (folder / NAME).write_text("".join(json.dumps(row) + "\n" for row in rows))
    change = compare(tmp_path / "before", tmp_path / "after").by_task["sums"].metrics["acc"]
    # By t with one degree of freedom the ends would be 0.49 - 12.7 · 0.36 and 0.49 + 12.7 · 0.36.
    assert (change.before.ci_low, change.before.ci_high) == (0, 1)
    assert (change.after.ci_high, change.delta.ci_low, change.delta.ci_high) == (1, -1, 1)


def test_a_divergence_beyond_all_measure_takes_little_room(tmp_path):
    unlikely = write(tmp_path / "after", [[-1e307, -1.0, -1.0, -1.0]] * 20)
    comparison = compare(write(tmp_path / "before", ordinary()), unlikely)
    assert comparison.by_task["sums"].estimates["kl"].value > 1e305
    assert max(map(len, comparison.to_text().splitlines())) < 300
