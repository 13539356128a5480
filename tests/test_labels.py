"""Options whose labels stand in another order in some rows: every logprob stays with the option that its label names."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from consistency.comparison.compare import compare
from consistency.logs.rotations import fold_rotations
from consistency.logs.runs import read_run

NAME = "samples_sums_2026-01-01T00-00-00.000000.jsonl"
TEXTS = ("red", "green", "blue", "grey")
# Of the options in the document's order: what a model answers, whatever the order in which a row asks for them.
BEFORE, AFTER = (-1.0, -2.0, -3.0, -4.0), (-4.0, -1.5, -2.5, -0.5)


def row(doc_id: int, logprobs, order=(0, 1, 2, 3), labels=" A, B, C, D", **more) -> dict:
    """A question whose options 0 to 3 are scored in an order, option 0 being right."""
    labels = labels.split(",")
    best = max(order, key=lambda option: logprobs[option])
    return {
        "doc_id": doc_id,
        "doc": {"question": f"Q{doc_id}?", "choices": list(TEXTS), "answer": 0},
        "target": str(order.index(0)),
        "arguments": {
            f"gen_args_{place}": {"arg_0": "Q", "arg_1": labels[option]} for place, option in enumerate(order)
        },
        "filtered_resps": [[str(logprobs[option]), "False"] for option in order],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": f"h{doc_id}",
        "acc": float(best == 0),
        **more,
    }


def old(item: dict) -> dict:
    """The row as lm_eval 0.4.0 wrote it."""
    arguments = [[request["arg_0"], request["arg_1"]] for request in item["arguments"].values()]
    return {**{key: item[key] for key in ("doc_id", "doc", "target", "filtered_resps", "acc")}, "arguments": arguments}


def write(folder: Path, rows: list[dict], *, array: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(rows) if array else "".join(json.dumps(item) + "\n" for item in rows)
    (folder / NAME).write_text(content)
    return folder


def kl(p, q) -> float:
    p, q = (np.exp(x) / np.exp(x).sum() for x in (np.array(p), np.array(q)))
    return float((p * np.log(p / q)).sum())


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("swapped", [(0,), (2,), (0, 1, 2)], ids=["the first row", "the last row", "all rows"])
@pytest.mark.parametrize("side", ["before", "after", "both"])
def test_scores_follow_their_labels(tmp_path, side, swapped, array):
    orders = {
        name: [(1, 3, 2, 0) if i in swapped and side in (name, "both") else (0, 1, 2, 3) for i in range(3)]
        for name in ("before", "after")
    }
    for name, logprobs in (("before", BEFORE), ("after", AFTER)):
        rows = [row(i, logprobs, order) for i, order in enumerate(orders[name])]
        write(tmp_path / name, [old(item) for item in rows] if array else rows, array=array)
    found = compare(tmp_path / "before", tmp_path / "after")
    section = found.by_task["sums"]
    assert (section.n, section.flips["harmful"]) == (3, 3)
    assert section.estimates["kl"].value == pytest.approx(kl(BEFORE, AFTER))
    # Ranks 1 2 3 4 become 4 2 3 1: 1 - 6 (9 + 0 + 0 + 9) / (4 · 15).
    assert section.estimates["spearman"].value == pytest.approx(1 - 6 * 18 / 60)
    assert found.items["sums"]["gold"].tolist() == [0, 0, 0]
    assert found.items["sums"]["prediction_after"].tolist() == [3, 3, 3]


def test_every_order_of_four_letters_is_the_same_answer(tmp_path):
    orders = list(itertools.permutations(range(4)))
    write(tmp_path / "before", [row(i, BEFORE) for i in range(25)])
    write(tmp_path / "after", [row(i, BEFORE, order) for i, order in enumerate([*orders, (0, 1, 2, 3)])])
    section = compare(tmp_path / "before", tmp_path / "after").by_task["sums"]
    assert section.n == 25
    assert section.estimates["kl"].value == 0
    assert section.estimates["same_top"].value == 1


@pytest.mark.parametrize(
    "labels", [" A, B, C, D", "1,2,3,4", "(a),(b),(c),(d)", " 甲, 乙, 丙, 丁", " red, green, blue, grey"]
)
def test_labels_of_any_kind_and_the_options_own_texts(tmp_path, labels):
    normal = [row(i, BEFORE, labels=labels) for i in range(3)]
    write(tmp_path / "before", normal)
    write(tmp_path / "after", [normal[0], row(1, BEFORE, (2, 0, 3, 1), labels), normal[2]])
    found = compare(tmp_path / "before", tmp_path / "after")
    assert (found.overall.n, found.overall.estimates["kl"].value) == (3, 0)
    scores = read_run(tmp_path / "after").tasks["sums"]
    for place in range(3):
        assert dict(zip(scores.option_texts(place), scores.logprobs[place], strict=True)) == dict(
            zip(TEXTS, BEFORE, strict=True)
        )


def test_labels_in_another_order_beside_options_in_another_order(tmp_path):
    write(tmp_path / "before", [row(i, BEFORE) for i in range(3)])
    # The document has its options in the order grey, red, green, blue, and A is grey there.
    moved = [BEFORE[3], *BEFORE[:3]]
    rows = [row(i, moved, (1, 0, 2, 3) if i == 1 else (0, 1, 2, 3)) for i in range(3)]
    for item in rows:
        item["doc"] |= {"choices": ["grey", "red", "green", "blue"], "answer": 1}
        item["doc_hash"] = ""
        item["target"] = str([request["arg_1"] for request in item["arguments"].values()].index(" B"))
        item["acc"] = 1.0
    write(tmp_path / "after", rows)
    section = compare(tmp_path / "before", tmp_path / "after").by_task["sums"]
    assert (section.n, section.pairing.reordered, section.pairing.dropped) == (3, 3, {})
    assert section.estimates["kl"].value == pytest.approx(0)


def test_two_options_that_read_the_same_keep_their_labels(tmp_path):
    rows = [row(i, BEFORE) for i in range(3)]
    other = [row(0, BEFORE), row(1, BEFORE, (1, 0, 2, 3)), row(2, BEFORE)]
    for item in [*rows, *other]:
        item["doc"]["choices"] = ["red", "red", "blue", "grey"]
    write(tmp_path / "before", rows)
    write(tmp_path / "after", other)
    section = compare(tmp_path / "before", tmp_path / "after").by_task["sums"]
    assert (section.n, section.estimates["kl"].value) == (3, 0)


def test_requests_in_another_order_of_the_file(tmp_path):
    rows = [row(i, BEFORE) for i in range(3)]
    rows[1]["arguments"] = dict(reversed(rows[1]["arguments"].items()))
    scores = read_run(write(tmp_path, rows)).tasks["sums"]
    assert scores.logprobs.tolist() == [list(BEFORE)] * 3
    assert scores.continuations == ((" A", " B", " C", " D"),) * 3
    assert scores.notes == ()


@pytest.mark.parametrize("changed", [{2: " B"}, {1: ""}, {1: None}, {0: " E"}], ids=str)
def test_rows_whose_labels_do_not_say_which_option_is_which_are_left_out_and_counted(tmp_path, changed):
    write(tmp_path / "before", [row(i, BEFORE) for i in range(3)])
    rows = [row(i, BEFORE) for i in range(3)]
    for place, label in changed.items():
        request = rows[1]["arguments"][f"gen_args_{place}"]
        request["arg_1"] = label
        if label is None:
            del request["arg_1"]
    write(tmp_path / "after", rows)
    section = compare(tmp_path / "before", tmp_path / "after").by_task["sums"]
    assert section.n == 2
    assert {reason: found.count for reason, found in section.pairing.dropped.items()} == {"options differ": 1}


@pytest.mark.parametrize("more", ["gen_args_4", "gen_args_0"])
def test_a_request_too_many_is_refused_with_its_line(tmp_path, more):
    from consistency.errors import InputError

    rows = [row(i, BEFORE) for i in range(3)]
    rows[1]["arguments"].pop(more, None)
    if more == "gen_args_4":
        rows[1]["arguments"][more] = {"arg_0": "Q", "arg_1": " E"}
    with pytest.raises(InputError) as caught:
        read_run(write(tmp_path, rows))
    assert caught.value.line == 2


def test_a_right_option_that_the_labels_contradict_leaves_the_row_out(tmp_path):
    """A target is a place among the row's own options: one that moved without it names another option."""
    write(tmp_path / "before", [row(i, BEFORE) for i in range(3)])
    write(tmp_path / "after", [row(0, BEFORE), row(1, BEFORE, (1, 0, 2, 3), target="0"), row(2, BEFORE)])
    section = compare(tmp_path / "before", tmp_path / "after").by_task["sums"]
    assert section.n == 2
    assert {reason: found.count for reason, found in section.pairing.dropped.items()} == {"right answer differs": 1}


def test_scores_by_length_divide_by_the_length_of_their_own_option(tmp_path):
    texts = " red, green, blue, grey"
    normal = [row(i, BEFORE, labels=texts) for i in range(2)]
    write(tmp_path / "before", normal)
    write(tmp_path / "after", [normal[0], row(1, BEFORE, (3, 1, 0, 2), texts)])
    for score, lengths in (("acc_norm", [3, 5, 4, 4]), ("acc_bytes", [3, 5, 4, 4])):
        found = compare(tmp_path / "before", tmp_path / "after", score=score)
        assert (found.overall.n, found.overall.estimates["kl"].value) == (2, 0)
        scored = read_run(tmp_path / "after").tasks["sums"].scored_by(score)
        by_text = dict(zip(scored.option_texts(1), scored.logprobs[1], strict=True))
        assert by_text == pytest.approx({t: x / n for t, x, n in zip(TEXTS, BEFORE, lengths, strict=True)})


def with_unconditional(doc_id: int, order, behind) -> dict:
    """A row with the log-probabilities -10, -20, -30, -40 of the options without the question, in an order of their own."""
    item = row(doc_id, BEFORE, order)
    for place, option in enumerate(behind, 4):
        item["arguments"][f"gen_args_{place}"] = {"arg_0": "", "arg_1": "ABCD"[option]}
        item["filtered_resps"].append([str(-10.0 * (option + 1)), "False"])
    return item | {"metrics": ["acc", "acc_mutual_info"], "acc_mutual_info": 0.0}


def test_log_probabilities_without_the_question_follow_their_labels_too(tmp_path):
    normal = with_unconditional(0, (0, 1, 2, 3), (0, 1, 2, 3))
    rows = [
        normal,
        with_unconditional(1, (1, 0, 2, 3), (1, 0, 2, 3)),
        with_unconditional(2, (0, 1, 2, 3), (3, 1, 2, 0)),
    ]
    scores = read_run(write(tmp_path, rows)).tasks["sums"]
    assert scores.logprobs.tolist() == [list(BEFORE)] * 3
    assert scores.unconditional.tolist() == [[-10, -20, -30, -40]] * 3
    assert scores.scored_by("acc_mutual_info").logprobs.tolist() == [[9, 18, 27, 36]] * 3
    mixed = with_unconditional(1, (0, 1, 2, 3), (0, 1, 2, 3))
    mixed["arguments"]["gen_args_7"]["arg_1"] = "C"
    scores = read_run(write(tmp_path, [normal, mixed])).tasks["sums"]
    assert np.isnan(scores.logprobs).all(axis=1).tolist() == [False, True]
    assert ["1 question " in note for note in scores.notes] == [True]


def test_rotations_fold_by_their_letters(tmp_path):
    rows = []
    for rotation in range(4):
        # In rotation r the letter number l stands before option (l + r) mod 4; A has a bonus of 0.5 whatever it stands before.
        by_letter = [BEFORE[(letter + rotation) % 4] + 0.5 * (letter == 0) for letter in range(4)]
        item = row(rotation, by_letter, (2, 0, 1, 3) if rotation == 1 else (0, 1, 2, 3))
        item["doc"] |= {"id": 7, "rotation": rotation}
        rows.append(item)
    folded = fold_rotations(read_run(write(tmp_path, rows)).tasks["sums"])
    expected = np.exp(BEFORE) / np.exp(BEFORE).sum()
    np.testing.assert_allclose(folded.scores.probs, [expected])
