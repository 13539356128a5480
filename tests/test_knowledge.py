"""Labels by hand, and those that the paper's authors released with their probes of Llama-2."""

import json
from dataclasses import replace
from math import exp, log

import pytest

from consistency.errors import InputError
from consistency.knowledge.beliefs import read_beliefs
from consistency.logs.runs import read_run


def question(number: int, answer: int, options: int = 3, **more: object) -> dict:
    choices = [f"{number}{letter}" for letter in "xyzuv"[:options]]
    return {"question": f"Question {number}?", "choices": choices, "answer": answer, **more}


def scores(path):
    (found,) = read_run(path).tasks.values()
    return found


def test_a_confident_answer_is_knowledge_or_misbelief_by_a_softmax_over_the_options(tmp_path, write_probe):
    documents = [question(0, 0), question(1, 2), question(2, 0), question(3, 1, options=2), question(4, 0, options=5)]
    # The options hold little of the probability; only their ratio counts.
    logprobs = [[-9, -10, -11], [-9, -10, -11], [-2, -2.1, -2.2], [-4, -4], [-1, -3, -3, -3, -3]]
    beliefs = read_beliefs(scores(write_probe(tmp_path, documents, logprobs)))
    assert [belief.label for belief in beliefs] == ["known", "misbelieved", "unsure", "unsure", "known"]
    assert [(belief.answer, belief.gold) for belief in beliefs] == [(0, 0), (0, 2), (0, 0), (0, 1), (0, 0)]
    expected = [
        1 / (1 + exp(-1) + exp(-2)),
        1 / (1 + exp(-1) + exp(-2)),
        1 / (1 + exp(-0.1) + exp(-0.2)),
        0.5,
        1 / (1 + 4 * exp(-2)),
    ]
    assert [belief.confidence for belief in beliefs] == pytest.approx(expected, rel=1e-12)
    assert beliefs.counts() == {"known": 2, "misbelieved": 1, "unsure": 2}
    assert (beliefs[0].question, beliefs[0].choices) == ("Question 0?", ("0x", "0y", "0z"))


@pytest.mark.parametrize(("threshold", "label"), [(0.6, "misbelieved"), (0.7, "unsure"), (0.0, "misbelieved")])
def test_the_threshold_must_be_exceeded(tmp_path, write_probe, threshold, label):
    path = write_probe(tmp_path, [question(0, 1)], [[log(0.65), log(0.25), log(0.1)]])
    assert [belief.label for belief in read_beliefs(scores(path), threshold)] == [label]


def test_what_a_document_does_not_say_comes_from_the_log(tmp_path, write_probe):
    full = question(0, 0, id="q-7", subject="anatomy", explanation="So it is.")
    bare = question(1, 0, id=None, subject=None, explanation=None)
    read = scores(write_probe(tmp_path, [full, bare], [[-1, -5, -5]] * 2, "pool_icl"))
    beliefs = read_beliefs(read, subject="medicine")
    assert [(b.id, b.subject, b.explanation) for b in beliefs] == [("q-7", "anatomy", "So it is."), (1, "medicine", "")]


def test_the_released_probes_are_labelled_as_their_authors_did(test_data, tmp_path, write_probe):
    files = sorted((test_data / "released_groups").rglob("*.jsonl"))
    labels = {
        "consistent-correct-exp-sample": "known",
        "inconsistent-golden-exp": "misbelieved",
        "inconsistent-predict-model-exp": "misbelieved",
    }
    total = 0
    for number, file in enumerate(files):
        rows = [json.loads(line) for line in file.open()]
        path = write_probe(tmp_path / str(number), rows, [[log(p) for p in row["probs"]] for row in rows])
        beliefs = read_beliefs(scores(path))
        assert {belief.label for belief in beliefs} == {labels[file.stem]}
        assert [belief.id for belief in beliefs] == [row["id"] for row in rows]
        assert [belief.answer for belief in beliefs] == [row["pred"] for row in rows]
        assert [belief.confidence for belief in beliefs] == pytest.approx([row["pred_prob"] for row in rows], rel=1e-6)
        total += len(rows)
    assert total == 13_868


def test_what_cannot_be_labelled_is_refused_with_its_file(tmp_path, write_probe):
    good = [[-1, -2, -3]]
    cases = {
        "question": [question(0, 0) | {"question": 5}],
        "choices": [{"question": "?", "answer": 0}],
        "not one score an option": [question(0, 0, options=2)],
        "document 0 of .*: the question is empty; expected a text": [question(0, 0, question=" ")],
        "document 1 of .*: option B is empty": [question(0, 0), question(1, 0, choices=["a", " ", "c"])],
        "the id 'q' is that of document 0": [question(0, 0, id="q"), question(1, 0, id="q")],
    }
    for number, (says, documents) in enumerate(cases.items()):
        path = write_probe(tmp_path / str(number), documents, good * len(documents))
        with pytest.raises(InputError, match=says) as error:
            read_beliefs(scores(path))
        assert error.value.path == path
        assert error.value.line == len(documents)
        # Rows are sorted by document when they are read: the line is that of the row itself.
        path.write_text("".join(path.read_text().splitlines(keepends=True)[::-1]))
        with pytest.raises(InputError, match=says) as error:
            read_beliefs(scores(path))
        assert error.value.line == 1
    many = question(0, 1, choices=[f"option {n}" for n in range(12)])
    for answer in (1, 11):
        path = write_probe(tmp_path / f"many{answer}", [many | {"answer": answer}], [[-1.0] * 12])
        with pytest.raises(InputError, match=r"document 0 of .*: 12 options; expected 2 to 10"):
            read_beliefs(scores(path))
    path = write_probe(tmp_path / "good", [question(0, 0)], good)
    with pytest.raises(InputError, match="no scores"):
        read_beliefs(scores(write_probe(tmp_path / "nan", [question(0, 0)], [[float("nan")] * 3])))
    generated = replace(scores(path), logprobs=scores(path).logprobs[:, :0], gold=scores(path).gold[:, :0])
    with pytest.raises(InputError, match="has no options"):
        read_beliefs(generated)
