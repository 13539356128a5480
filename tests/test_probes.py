"""Probes of every kind: released rows, logs with one task or several, rotations, and texts from a user's columns."""

import json
import re
from math import log

import pytest

from consistency.errors import InputError
from consistency.knowledge.beliefs import read_beliefs
from consistency.knowledge.explanations import Explanations, read_column
from consistency.knowledge.probes import gather_texts, read_all, read_probe
from consistency.logs.runs import read_run
from consistency.training_data.groups import build_group

LABELS = {
    "consistent-correct-exp-sample": "known",
    "inconsistent-golden-exp": "misbelieved",
    "inconsistent-predict-model-exp": "misbelieved",
}


def row(number: int, **more: object) -> dict:
    return {
        "id": number,
        "question": f"Question {number}?",
        "choices": ["one", "two", "three"],
        "answer": 0,
        "probs": [0.1, 0.7, 0.2],
        "pred": 1,
    } | more


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_released_row_has_the_label_of_its_file(test_data):
    total = 0
    for file in sorted((test_data / "released_groups").rglob("*.jsonl")):
        rows = [json.loads(line) for line in file.open(encoding="utf-8")]
        probe = read_probe(file)
        assert probe.domain == file.parent.name
        assert [belief.label for belief in probe.beliefs] == [LABELS[file.stem]] * len(rows)
        assert [belief.id for belief in probe.beliefs] == [row["id"] for row in rows]
        assert [belief.answer for belief in probe.beliefs] == [row["pred"] for row in rows]
        assert [belief.confidence for belief in probe.beliefs] == [row["pred_prob"] for row in rows]
        assert (probe.task, probe.files) == (None, (file,))
        total += len(rows)
    assert total == 13_868


def test_a_folder_of_released_files_is_one_probe_with_both_explanations(test_data):
    folder = test_data / "released_groups" / "llama-2-7b" / "engineering"
    probe = read_probe(folder)
    assert probe.beliefs.counts() == {"known": 738, "misbelieved": 738, "unsure": 0}
    rows = [json.loads(line) for line in (folder / "inconsistent-predict-model-exp.jsonl").open(encoding="utf-8")]
    own = {row["id"]: row["model_exp"].strip() for row in rows}
    assert probe.explanations is not None
    assert {key[0]: text for key, text in probe.explanations.texts.items()} == {k: v for k, v in own.items() if v}
    assert probe.explanations.unusable == sum(not text for text in own.values()) == 14
    golden = [json.loads(line) for line in (folder / "inconsistent-golden-exp.jsonl").open(encoding="utf-8")]
    explained = {belief.id: belief.explanation for belief in probe.beliefs}
    assert all(explained[row["id"]] == row["explanation"] for row in golden)


def test_released_rows_agree_with_the_same_probe_as_a_log(test_data, tmp_path, write_probe):
    file = test_data / "released_groups" / "llama-2-7b" / "history" / "inconsistent-golden-exp.jsonl"
    rows = [json.loads(line) for line in file.open(encoding="utf-8")][:200]
    log_ = write_probe(tmp_path, rows, [[log(p) for p in row["probs"]] for row in rows])
    (scores,) = read_run(log_).tasks.values()
    logged = read_beliefs(scores)
    released = read_probe(file).beliefs[:200]
    assert [(b.id, b.answer, b.gold, b.label) for b in logged] == [(b.id, b.answer, b.gold, b.label) for b in released]


def test_pred_decides_between_tied_options_and_a_threshold_applies(tmp_path):
    tied = [row(0, probs=[0.4, 0.4, 0.2], pred=1), row(1, probs=[0.4, 0.4, 0.2], pred=None), row(2)]
    path = write(tmp_path / "law.jsonl", tied)
    probe = read_probe(path, threshold=0.35)
    assert probe.domain == "law"
    assert [(b.answer, b.label) for b in probe.beliefs] == [(1, "misbelieved"), (0, "known"), (1, "misbelieved")]
    assert [b.label for b in read_probe(path).beliefs] == ["unsure", "unsure", "misbelieved"]
    assert [b.label for b in read_probe(path, threshold=0.7).beliefs] == ["unsure"] * 3
    assert read_probe(path, domain="medicine").beliefs[0].subject == "medicine"
    without = [{k: v for k, v in row(n).items() if k != "id"} for n in (5, 6)]
    assert read_probe(write(tmp_path / "x.jsonl", without)).beliefs.ids == [0, 1]


@pytest.mark.parametrize(
    ("rows", "line", "says"),
    [
        ([row(0), row(1, probs=[0.5, 0.5])], 2, "2 probabilities for 3 options"),
        ([row(0), row(1, choices=["one", " ", "three"])], 2, "option B is empty; expected a text"),
        ([row(0, question="")], 1, "the question is empty; expected a text"),
        ([row(0, choices=list("abcdefghijkl"), probs=[1 / 12] * 12, pred=None)], 1, "12 options; expected 2 to 10"),
        ([row(0, answer=3)], 1, "the gold index is 3; expected a number from 0 to 2"),
        ([row(0, probs=[0.1, 0.1, 0.1])], 1, "the probabilities sum to 0.300"),
        ([row(0, probs=[1.2, -0.2, 0.0])], 1, "probs"),
        ([row(0, pred=2)], 1, "pred is 2; expected the most probable option, 1"),
        ([row(0), row(0)], 2, "the id 0 is that of line 1"),
        ([row(0), row(1, id=1.5)], 2, "id"),
        ([row(0), {"probs": [0.5, 0.5]}], 2, "missing required field"),
        ([row(0), 3], 2, "expected a question with choices, answer and probs"),
    ],
)
def test_a_released_row_that_is_none_is_refused_with_its_line(tmp_path, rows, line, says):
    path = write(tmp_path / "released.jsonl", rows)
    with pytest.raises(InputError, match=re.escape(says)) as error:
        read_probe(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_before_released_rows_is_no_part_of_them(tmp_path):
    path = write(tmp_path / "law.jsonl", [row(0, my_words="So."), row(1, my_words="Since.")])
    plain = read_probe(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    marked = read_probe(path)
    assert list(marked.beliefs) == list(plain.beliefs)
    found = [gather_texts(probe, "explain", logs, "my_words") for probe in (plain, marked) for logs in ((), (path,))]
    assert {len(texts.texts) for texts in found if texts} == {2}


def test_a_file_of_another_format_among_released_ones_is_named(tmp_path):
    write(tmp_path / "law" / "a.jsonl", [row(0)])
    for other in ([{k: v for k, v in row(1).items() if k != "probs"}], [3], []):
        path = write(tmp_path / "law" / "other.jsonl", other)
        with pytest.raises(InputError, match=r"the first row has no probs, unlike that of a\.jsonl") as error:
            read_probe(tmp_path / "law")
        assert (error.value.path, error.value.line) == (path, 1)


def test_files_of_two_models_are_no_probe(tmp_path):
    write(tmp_path / "both" / "a.jsonl", [row(0)])
    write(tmp_path / "both" / "b.jsonl", [row(1), row(0, probs=[0.2, 0.6, 0.2])])
    with pytest.raises(InputError, match=r"b\.jsonl:2: the id 0 is that of another question.*a\.jsonl:1"):
        read_probe(tmp_path / "both")
    write(tmp_path / "both" / "b.jsonl", [{k: v for k, v in row(1).items() if k != "id"}])
    with pytest.raises(InputError, match=r"a\.jsonl:1: no id|b\.jsonl:1: no id"):
        read_probe(tmp_path / "both")


def test_the_task_is_the_only_one_or_the_only_pool(tmp_path, write_probe):
    document = {"question": "?", "choices": ["a", "b"], "answer": 0}
    write_probe(tmp_path / "one", [document], [[-1, -2]], "sums")
    assert (read_probe(tmp_path / "one").task, read_probe(tmp_path / "one").domain) == ("sums", "sums")
    write_probe(tmp_path / "one", [document], [[-1, -2]], "consistency_history_pool_icl")
    probe = read_probe(tmp_path / "one")
    assert (probe.task, probe.domain) == ("consistency_history_pool_icl", "history")
    write_probe(tmp_path / "one", [document], [[-1, -2]], "consistency_medicine_pool_icl")
    with pytest.raises(InputError, match="several tasks; expected --task, one of consistency_history_pool_icl"):
        read_probe(tmp_path / "one")
    assert read_probe(tmp_path / "one", "sums", "maths").domain == "maths"
    with pytest.raises(InputError, match="tums"):
        read_probe(tmp_path / "one", "tums")
    labelled, coverage = read_all([tmp_path / "one"])
    assert [item.domain for item in labelled] == ["history", "medicine", "sums"]
    assert coverage.skipped == {}
    for threshold in (1.0, -0.1, float("nan")):
        with pytest.raises(InputError, match="a threshold of"):
            read_probe(tmp_path / "one", "sums", threshold=threshold)


def test_answers_that_favour_a_letter_are_told(tmp_path, write_probe):
    documents = [{"id": n, "question": f"{n}?", "choices": list("pqrs"), "answer": n % 4} for n in range(100)]
    write_probe(tmp_path, documents, [[-2, -2.1, -0.5, -3]] * 100, "consistency_history_pool_icl")
    (note,) = read_probe(tmp_path).notes
    assert note.startswith("consistency_history_pool_icl: 100.0 % of the answers are option C")
    assert "_cyclic" in note


def test_rotations_are_folded_before_they_are_labelled(tmp_path, write_probe):
    """A model that always likes the letter A most, but knows the option: by hand."""
    choices = ["x", "y", "z"]
    documents = [
        {"id": "q", "question": "?", "choices": choices[r:] + choices[:r], "answer": (1 - r) % 3, "rotation": r}
        for r in range(3)
    ]
    # Letters hold 2, 0, 0 nats and y holds 1.5 more than the others.
    letters, bonus = [2.0, 0.0, 0.0], {"y": 1.5}
    logprobs = [[nats + bonus.get(c, 0) - 5 for nats, c in zip(letters, d["choices"], strict=True)] for d in documents]
    write_probe(tmp_path, documents, logprobs, "consistency_history_icl_cyclic")
    (belief,) = read_probe(tmp_path).beliefs
    weights = [1.0, 2.718281828459045**1.5, 1.0]
    assert belief.answer == belief.gold == 1
    assert belief.confidence == pytest.approx(weights[1] / sum(weights), rel=1e-12)


@pytest.mark.parametrize("released", [True, False])
def test_a_question_without_id_more_in_front_reshuffles_no_sample(tmp_path, write_probe, released):
    rows = [{k: v for k, v in row(n).items() if k != "id"} for n in range(60)]

    def sampled(name: str, asked: list[dict], group: str) -> list[tuple[str, int]]:
        if released:
            path = write(tmp_path / name / "law.jsonl", asked)
        else:
            path = write_probe(tmp_path / name, asked, [[log(p) for p in item["probs"]] for item in asked])
        beliefs = read_probe(path).beliefs
        assert list(beliefs.ids) == list(range(len(asked)))
        found = build_group(group, "law", beliefs, Explanations({}, 0, path), size=20).answers
        return [(beliefs[place].question, option) for place, option, _ in found]

    # The last questions are duplicates.
    asked = [*rows, *rows[:3]]
    for group in ("mixed_0.4", "random_wrong"):
        before, after = sampled("a", asked, group), sampled("b", [row(99) | {"id": None}, *asked], group)
        assert len(before) == len(after) == 20
        assert len(set(before) - set(after)) <= 2


def test_the_projects_own_task_reshuffles_no_pool_without_ids(tmp_path, write_probe):
    """What is asked, sampled, requested and explained stays the same when a question comes in front of the others."""
    pytest.importorskip("datasets")
    from consistency.tasks.harness import load_domain

    rows = [{k: v for k, v in row(n).items() if k in ("question", "choices", "answer")} for n in range(60)]
    found = []
    for name, asked in (("a", rows), ("b", [row(99), *rows])):
        asked = [{k: v for k, v in item.items() if k != "id"} for item in asked]
        write(tmp_path / name / "pool" / "history.jsonl", asked)
        documents = list(load_domain("history", "pool", shots=False, data_dir=str(tmp_path / name))["test"])
        task = "consistency_history_pool_icl"
        write_probe(tmp_path / name / "logs", documents, [[-2, -0.2, -2]] * len(documents), task)
        probe = read_probe(tmp_path / name / "logs")
        texts = read_column(
            write(tmp_path / f"{name}.jsonl", [item | {"own": "Why."} for item in asked]),
            "own",
            probe.beliefs,
            "explain",
        )
        assert len(texts.texts) == len(asked)
        found.append(build_group("mixed_0.4", "history", probe.beliefs, texts, size=20).rows[:20])
    before, after = ([(item["id"], item["conversations"]) for item in rows] for rows in found)
    assert sum(item not in after for item in before) <= 2
    assert len({id_ for id_, _ in after}) == 20


def test_questions_without_a_subject_are_about_the_domain(tmp_path, write_probe, capsys):
    documents = [
        {"question": "Who?", "choices": ["a", "b"], "answer": 0},
        {"question": "Why?", "choices": ["a", "b"], "answer": 0, "subject": "torts"},
    ]
    write_probe(tmp_path / "own", documents, [[-1, -9]] * 2, "my_law_quiz")
    assert [b.subject for b in read_probe(tmp_path / "own", domain="law").beliefs] == ["law", "torts"]
    assert [b.subject for b in read_probe(tmp_path / "own").beliefs] == ["my_law_quiz", "torts"]
    ((item,), _) = read_all([tmp_path / "own"], domain="law")
    assert (item.name, item.domain, item.beliefs[0].subject) == ("my_law_quiz", "law", "law")
    write_probe(tmp_path / "pool", documents, [[-1, -9]] * 2, "consistency_law_pool_icl")
    assert read_probe(tmp_path / "pool").beliefs[0].subject == "law"
    ((item,), _) = read_all([tmp_path / "pool"])
    assert item.beliefs[0].subject == "law"
    assert capsys.readouterr().err == ""


def test_a_subject_that_only_a_file_name_tells_is_noticed(tmp_path, capsys):
    path = write(tmp_path / "run7.jsonl", [row(0, subject="torts"), row(1)])
    for read in (read_probe, lambda path, **more: read_all([path], **more)):
        read(path)
        assert capsys.readouterr().err == (
            f"consistency: {path}: rows without a subject are about 'run7', after the file's name; "
            "name another with --domain\n"
        )
        read(path, domain="law")
        read(write(tmp_path / "history.jsonl", [row(0)]))
        read(write(tmp_path / "full.jsonl", [row(0, subject="torts")]))
        assert capsys.readouterr().err == ""


def test_texts_come_from_a_column_of_the_users_file_or_of_the_probe(tmp_path):
    released = write(tmp_path / "p.jsonl", [row(n, my_words=f" Own {n}. " if n else "") for n in range(3)])
    probe = read_probe(released)
    found = gather_texts(probe, "explain", column="my_words")
    assert found is not None
    assert found.texts == {(n, f"Question {n}?", 1): f"Own {n}." for n in (1, 2)}
    assert (found.unusable, found.source) == (1, released)
    rows = [
        {"id": 1, "question": "Question 1?", "facts": "F1."},
        {"id": 2, "question": "Question 2?", "facts": None},
        {"id": 0, "question": "Question 0?", "facts": "F0.", "option": 2},
        {"id": 0, "question": "Another one?", "facts": "F."},
        {"id": 9, "question": "Question 9?", "facts": "F."},
    ]
    texts = write(tmp_path / "texts.jsonl", rows)
    contexts = gather_texts(probe, "context", [texts], "facts")
    assert contexts is not None
    assert contexts.texts == {(1, "Question 1?", 0): "F1.", (0, "Question 0?", 2): "F0."}
    assert contexts.unusable == 1
    both = gather_texts(
        probe, "context", [write(tmp_path / "b.jsonl", [*rows[4:], rows[1] | {"facts": "F2."}]), texts], "facts"
    )
    assert both is not None
    assert {key[0] for key in both.texts} == {0, 1, 2}
    assert both.others == (texts,)
    assert gather_texts(probe, "context") is None
    empty = gather_texts(probe, "explain")
    assert empty is not None
    assert (empty.texts, empty.unusable) == ({}, 0)


def test_a_text_that_is_none_is_named_with_its_line_in_the_probes_log(tmp_path, write_probe):
    path = write_probe(tmp_path / "log", [row(0, facts="F."), row(1, facts=3), row(2)], [[-1, -2, -3]] * 3)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[2], "", lines[1], lines[0]]))
    with pytest.raises(InputError, match="facts is '3'") as error:
        gather_texts(read_probe(path), "context", column="facts")
    assert (error.value.path, error.value.line) == (path, 3)


@pytest.mark.parametrize(
    ("rows", "place", "says"),
    [
        ([{"id": 0, "question": "Question 0?"}], "", "no row has the column 'facts'"),
        ([{"id": 5, "question": "Question 0?", "facts": "F."}], "", "no row is about a question of the probe"),
        ([{"facts": None}, {"id": 0, "question": "Question 0?", "facts": 3}], ":2", "facts is '3'"),
        ([{"id": 0, "question": "Question 0?", "facts": "F.", "option": 3}], ":1", "the option is 3"),
        (["text"], ":1", "expected a JSON object"),
    ],
)
def test_a_column_that_cannot_be_used_is_refused_with_its_place(tmp_path, rows, place, says):
    beliefs = read_probe(write(tmp_path / "p.jsonl", [row(0)])).beliefs
    path = write(tmp_path / "texts.jsonl", rows)
    with pytest.raises(InputError, match=re.escape(says)) as error:
        read_column(path, "facts", beliefs, "context")
    assert str(error.value).startswith(f"{path}{place}: ")
