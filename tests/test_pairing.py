"""Pairing by hash and by content, options matched by text, and the account of what was left out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from consistency.comparison.compare import compare
from consistency.comparison.items import question_arrays
from consistency.comparison.pairing import pair
from consistency.errors import InputError
from consistency.logs.runs import read_run
from consistency.logs.scores import Scores


def scores(
    documents: list[dict],
    logprobs: list[list[float]],
    gold: list[int],
    *,
    hashes: list[str] | None = None,
    ids: list[int] | None = None,
    continuations: list[tuple[str, ...]] | None = None,
) -> Scores:
    n, k = len(documents), max(map(len, logprobs))
    padded = np.full((n, k), np.nan)
    for i, values in enumerate(logprobs):
        padded[i, : len(values)] = values
    letters = tuple(" " + letter for letter in "ABCDEFGHIJ")
    return Scores(
        task="t",
        filter="none",
        doc_id=np.array(ids if ids is not None else range(n), dtype=np.int64),
        doc_hash=tuple(hashes or [""] * n),
        prompt_hash=("",) * n,
        logprobs=padded,
        n_options=np.array([len(values) for values in logprobs]),
        gold=np.arange(k) == np.array(gold)[:, None],
        metrics={},
        continuations=tuple(continuations or [letters[: len(values)] for values in logprobs]),
        documents=tuple(json.dumps(document).encode() for document in documents),
        unconditional=None,
        source=Path("log"),
    )


def question(i: int, choices: list[str], **more: object) -> dict:
    return {"question": f"Question {i}?", "choices": choices, "answer": 0, **more}


ABC = ["red", "green", "blue"]


def test_real_logs_pair_by_hash_and_across_versions_by_content(test_data):
    logs = test_data / "harness_logs"
    name = "mmlu_abstract_algebra"
    zero, five, old = (
        read_run(logs / folder).tasks[name]
        for folder in ("qwen2.5-1.5b-instruct-0shot", "qwen2.5-1.5b-instruct-5shot", "vicuna-33b-lm_eval-0.4.0")
    )
    recent = pair(zero, five)
    assert (recent.report.paired, recent.report.by_hash, recent.report.dropped) == (100, 100, {})
    assert recent.report.prompts == {"same": 0, "different": 100, "unknown": 0}
    across = pair(old, zero)
    assert (across.report.paired, across.report.by_content, across.report.dropped) == (100, 100, {})
    questions = [[json.loads(d)["question"] for d in side.documents] for side in (across.before, across.after)]
    assert questions[0] == questions[1]
    # The whole log in another order, and with other numbers, pairs as before.
    order = np.random.default_rng(0).permutation(100)
    shuffled = replace(zero.take(order), doc_id=np.arange(100))
    again = pair(old, shuffled)
    np.testing.assert_array_equal(again.after.logprobs, across.after.logprobs)


def test_options_in_another_order_are_matched_by_text():
    before = scores([question(0, ABC), question(1, ABC)], [[-1, -2, -3], [-1, -2, -3]], [0, 1])
    after = scores([question(1, ABC), question(0, ["blue", "red", "green"])], [[-4, -5, -6], [-9, -7, -8]], [1, 1])
    pairs = pair(before, after)
    assert pairs.after.logprobs.tolist() == [[-7, -8, -9], [-4, -5, -6]]
    assert pairs.after.target.tolist() == pairs.before.target.tolist() == [0, 1]
    assert (pairs.report.paired, pairs.report.reordered, pairs.report.dropped) == (2, 1, {})


def test_scored_texts_in_another_order_are_matched_although_the_hash_is_the_same():
    before = scores([{"text": "?"}], [[-1, -2]], [0], hashes=["h"], continuations=[(" yes", " no")])
    after = scores([{"text": "?"}], [[-5, -6]], [1], hashes=["h"], continuations=[(" no", " yes")])
    pairs = pair(before, after)
    assert pairs.after.logprobs.tolist() == [[-6, -5]]
    assert pairs.report.reordered == 1


def test_letters_and_texts_of_one_document_pair_in_its_order():
    before = scores([question(0, ABC)], [[-1, -2, -3]], [0], hashes=["h"])
    after = scores([question(0, ABC)], [[-4, -5, -6]], [0], hashes=["h"], continuations=[(" red", " green", " blue")])
    assert pair(before, after).after.logprobs.tolist() == [[-4, -5, -6]]


def test_what_cannot_be_paired_is_counted_and_named():
    before = scores(
        [question(0, ABC), question(1, ABC), question(2, ABC), question(3, ABC), question(4, ABC)],
        [[-1, -2, -3]] * 5,
        [0] * 5,
        ids=[10, 11, 12, 13, 14],
    )
    after = scores(
        [
            question(0, ABC),
            question(1, ABC) | {"question": "A corrected question?"},
            question(2, ABC),
            question(9, ABC),
            question(4, ["red", "green", "black"]),
        ],
        [[-1, -2, -3]] * 5,
        [0, 0, 2, 0, 0],
        ids=[10, 11, 12, 19, 14],
    )
    audit = pair(before, after).report
    assert audit.paired == 1
    assert {reason: (d.count, d.examples) for reason, d in audit.dropped.items()} == {
        "right answer differs": (1, (12,)),
        "question changed": (2, (11, 14)),
        "only in the first log": (1, (13,)),
        "only in the second log": (1, (19,)),
    }
    assert audit.to_dict()["dropped"]["question changed"] == 2


def test_options_that_differ_under_one_hash_are_dropped():
    before = scores([question(0, ABC)], [[-1, -2, -3]], [0], hashes=["h"])
    after = scores([question(0, ["red", "green"])], [[-1, -2]], [0], hashes=["h"])
    pairs = pair(before, after)
    assert len(pairs) == 0
    assert pairs.report.dropped["options differ"].count == 1


@pytest.mark.parametrize("options", [["8", "2", "24", "120"], ["1", "2", "3", "5"], ["x", "2x", "8", "8x"]], ids=str)
@pytest.mark.parametrize("labels", ["ABCD", "1234"])
def test_options_that_are_numbers_pair_with_labels_in_their_place(options, labels):
    document, by_text = [question(0, options)], [tuple(f" {text}" for text in options)]
    before = scores(document, [[-1, -2, -3, -4]], [0], continuations=by_text)
    after = scores(document, [[-4, -3, -2, -1]], [0], continuations=[tuple(labels)])
    for first, second in ((before, after), (after, before)):
        pairs = pair(first, second)
        assert (len(pairs), pairs.report.reordered, pairs.report.dropped) == (1, 0, {})
        assert (pairs.before.logprobs + pairs.after.logprobs).tolist() == [[-5, -5, -5, -5]]


def test_identical_documents_pair_by_equal_doc_id_and_are_counted():
    documents = [question(0, ABC), question(0, ABC), question(1, ABC)]
    before = scores(documents, [[-1, -2, -3], [-2, -1, -3], [-3, -2, -1]], [0] * 3, ids=[5, 7, 9])
    after = scores(documents[::-1], [[-3, -2, -1], [-2, -1, -3], [-1, -2, -3]], [0] * 3, ids=[9, 7, 5])
    pairs = pair(before, after)
    np.testing.assert_array_equal(pairs.before.logprobs, pairs.after.logprobs)
    assert (pairs.report.paired, pairs.report.identical, pairs.report.dropped) == (3, 2, {})


@pytest.mark.parametrize(
    "document",
    [
        lambda i: {"category": "sums", "turns": [f"What is {i} and 1?", "And twice that?"]},
        lambda i: {"op": "add", "a": i, "b": 1},
        lambda i: {"kind": "stem", "question": {"stem": f"What is {i} and 1?"}},
    ],
)
def test_questions_that_are_no_plain_text_pair_by_what_they_ask(document):
    """Without hashes, the same documents in another order must find each other, and a changed one must not."""
    docs = [document(i) for i in range(6)]
    logprobs = [[-1.0 - i, -2.0] for i in range(6)]
    before = scores(docs, logprobs, [0] * 6)
    after = scores(docs[::-1], logprobs[::-1], [0] * 6)
    pairs = pair(before, after)
    assert (pairs.report.by_content, pairs.report.identical) == (6, 0)
    np.testing.assert_array_equal(pairs.before.logprobs, pairs.after.logprobs)
    changed = scores([document(99), *docs[1:]], logprobs, [0] * 6)
    assert {reason: d.count for reason, d in pair(before, changed).report.dropped.items()} == {"question changed": 1}


def test_repeated_options_keep_their_order():
    before = scores([question(0, ["none", "one", "none"])], [[-1, -2, -3]], [0])
    after = scores([question(0, ["one", "none", "none"])], [[-2, -1, -3]], [1])
    assert pair(before, after).after.logprobs.tolist() == [[-1, -2, -3]]


def test_a_right_answer_that_only_one_log_knows_holds_for_both():
    before = scores([question(0, ABC)], [[-1, -2, -3]], [-1])
    after = scores([question(0, ABC)], [[-1, -2, -3]], [2])
    assert pair(before, after).gold.tolist() == [[False, False, True]]


def test_a_task_with_options_and_one_without_are_refused():
    before = scores([question(0, ABC)], [[-1, -2, -3]], [0])
    after = replace(before, logprobs=np.empty((1, 0)), gold=np.empty((1, 0), dtype=bool), task="generated")
    with pytest.raises(InputError, match="the task generated logs no options"):
        pair(before, after)


@given(st.permutations(range(6)), st.lists(st.permutations(range(3)), min_size=6, max_size=6), st.booleans())
def test_neither_the_order_of_questions_nor_of_options_matters(order, options, hashed):
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(-3, 1, (6, 3)), 6)
    texts = [[f"{i}{letter}" for letter in "xyz"] for i in range(6)]
    hashes = [f"h{i}" for i in range(6)] if hashed else None
    before = scores([question(i, texts[i]) for i in range(6)], values.tolist(), [0] * 6, hashes=hashes)
    after = scores(
        [question(i, [texts[i][o] for o in options[i]]) for i in order],
        [[values[i][o] for o in options[i]] for i in order],
        [options[i].index(0) for i in order],
        hashes=[f"h{i}" for i in order] if hashed else None,
    )
    pairs = pair(before, after)
    np.testing.assert_array_equal(pairs.after.logprobs, values)
    assert pairs.report.paired == 6
    assert pairs.report.reordered == sum(o != [0, 1, 2] for o in options)


def test_the_same_documents_pair_as_any_others_do():
    """Two logs of the same documents in order are paired at once: as the same rows in another order are, one by one."""
    rng = np.random.default_rng(0)
    documents = [question(i % 7, ABC[: 2 + i % 2]) for i in range(12)]
    hashes = [f"h{i % 7}" for i in range(12)]
    logprobs = [rng.normal(size=2 + i % 2).tolist() for i in range(12)]
    before = scores(documents, logprobs, [0] * 12, hashes=hashes)
    after = scores(documents, [[x - 1 for x in row] for row in logprobs], [0] * 12, hashes=hashes)
    order = rng.permutation(12)
    at_once, one_by_one = pair(before, after), pair(before, after.take(order))
    assert at_once.report == one_by_one.report
    # Seven questions, of which five are asked twice.
    assert (at_once.report.by_hash, at_once.report.identical, at_once.report.dropped) == (12, 10, {})
    for one, other in ((at_once.before, one_by_one.before), (at_once.after, one_by_one.after)):
        np.testing.assert_array_equal(one.logprobs, other.logprobs)
        np.testing.assert_array_equal(one.gold, other.gold)
        assert (one.doc_id.tolist(), one.documents) == (other.doc_id.tolist(), other.documents)


def test_another_right_answer_to_the_same_document_is_left_out():
    documents = [question(0, ABC), question(1, ABC)]
    before = scores(documents, [[-1, -2, -3], [-1, -2, -3]], [0, 0], hashes=["g", "h"])
    after = scores(documents, [[-1, -2, -3], [-1, -2, -3]], [0, 2], hashes=["g", "h"])
    pairs = pair(before, after)
    assert (len(pairs), pairs.report.dropped["right answer differs"].examples) == (1, (1,))


def test_tasks_measured_together_are_as_measured_alone():
    rng = np.random.default_rng(0)
    tasks = []
    for n, k in ((40, 4), (7, 2), (5000, 4), (3, 5), (30, 4)):
        documents = [question(i, [f"{o}" for o in range(k)]) for i in range(n)]
        gold = rng.integers(k, size=n).tolist()
        one, two = (scores(documents, rng.normal(size=(n, k)).tolist(), gold) for _ in range(2))
        tasks.append(pair(one, two))
    together = question_arrays(tasks)
    for pairs, found in zip(tasks, together, strict=True):
        (alone,) = question_arrays([pairs])
        assert list(found) == list(alone)
        assert all(found[name].tobytes() == alone[name].tobytes() for name in alone)


@pytest.mark.parametrize(("differ", "says"), [(2, ""), (4, "; but 4 of 60 questions are left out (")])
def test_the_verdict_counts_questions_that_are_left_out(tmp_path, differ, says):
    for name, texts in (("before", ABC), ("after", ["red", "green", "black"])):
        rows = [
            {"task": "t", "id": i, "question": f"Which {i}?", "choices": texts if i < differ else ABC, "gold": 0}
            | {"logprobs": [-1.0, -2.0 - i % 3, -3.0]}
            for i in range(60)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = compare(tmp_path / "before.jsonl", tmp_path / "after.jsonl")
    assert found.overall.n == 60 - differ
    assert ("left out" in found.verdict, says in found.verdict) == (bool(says), True)
    if says:
        page = found.write(tmp_path / "out").read_text()
        paper = page[page.index("For a paper") :]
        assert f"left out: {differ} (" in paper
