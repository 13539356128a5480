"""Explanations that are checked and asked for again: masks, judgements, rounds, and what they leave of the groups."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from consistency.errors import InputError
from consistency.knowledge.probes import gather_texts, read_probe
from consistency.knowledge.simulatability import has_rounds, next_step, read_judgements, read_rounds
from consistency.logs.runs import read_run
from consistency.tasks.requests import read_checks
from consistency.tasks.simulation import checks
from consistency.training_data.write import Sources, write_groups

DATE = "2026-01-02T03-04-05.678901"
EXPLAIN, CHECK = ["consistency_explain_history"], ["consistency_simulate_history"]


def test_an_explanation_is_checked_in_every_rotation():
    request = {
        "id": "q",
        "subject": "s",
        "question": "?",
        "choices": ["x", "y", "z"],
        "option": 2,
        "explanation": "It is z.",
    }
    found = list(checks(5, request))
    assert [(d["id"], d["asked"], d["option"], d["explanation"]) for d in found] == [(5, "q", 2, "It is z.")] * 3
    assert [d["choices"][d["answer"]] for d in found] == ["z"] * 3
    assert [tuple(d["choices"]) for d in found] == [("x", "y", "z"), ("y", "z", "x"), ("z", "x", "y")]


def documents(rows):
    return [document for number, row in enumerate(rows) for document in checks(number, row)]


def request(number, option=1):
    return {"id": number, "subject": "history", "question": f"{number}?", "choices": ["x", "y", "z"], "option": option}


def logprobs(document, prefers, letter_bias):
    """Of a reader who prefers options, and letters: what a rotation logs."""
    count = len(document["choices"])
    return [prefers[(place + document["rotation"]) % count] + letter_bias[place] for place in range(count)]


def test_a_reader_is_sure_of_the_option_whatever_its_letter(tmp_path, write_probe):
    """All readers prefer y, and like the letter A; the second is not sure, and the third in one order only."""
    rows = [request(n) | {"explanation": "So."} for n in range(3)]
    prefers = ([0.0, 4.0, 0.0], [0.0, 3.0, 0.0], [0.0, 4.0, 0.0])
    asked = documents(rows)
    scores = [logprobs(d, prefers[d["id"]], [3.0, 0.0, 0.0]) for d in asked]
    # With the options z, x, y: y is as likely as the others.
    scores[-1] = [0.0, 0.0, 0.0]
    write_probe(tmp_path, asked, scores, CHECK[0])
    found = read_judgements(read_run(tmp_path).tasks[CHECK[0]])
    assert found.keys == ((0, "0?", 1), (1, "1?", 1), (2, "2?", 1))
    # By hand: in the mean over rotations each option gets a third of the bias. The third reader's is on x and on y once each.
    third = [3.0 / 3, (4.0 + 7.0 + 0.0) / 3, 0.0]
    for row, means in zip(found.logprobs, (*prefers[:2], third), strict=True):
        total = math.log(sum(math.exp(value) for value in means))
        np.testing.assert_allclose(row, [value - total for value in means], atol=1e-12)
    # 1 / (1 + 2 exp(-4)) = .965, 1 / (1 + 2 exp(-3)) = .909, exp(3.67) / (exp(3.67) + exp(1) + 1) = .913.
    assert found.passed == {(0, "0?", 1): True, (1, "1?", 1): False, (2, "2?", 1): False}


def test_an_explanation_without_all_its_documents_is_not_judged(tmp_path, write_probe):
    asked = documents([request(n) | {"explanation": "So."} for n in range(2)])[:-1]
    write_probe(tmp_path, asked, [[-1.0, -2.0, -3.0]] * len(asked), CHECK[0])
    assert read_judgements(read_run(tmp_path).tasks[CHECK[0]]).keys == ((0, "0?", 1),)


def test_an_explanation_that_is_checked_twice_is_an_error(tmp_path, write_probe):
    asked = documents([request(0) | {"explanation": "So."}])
    path = write_probe(tmp_path, asked + asked[1:2], [[-1.0, -2.0, -3.0]] * 4, CHECK[0])
    with pytest.raises(InputError, match="rotation 1 of explanation 0 once more") as error:
        read_judgements(read_run(tmp_path).tasks[CHECK[0]])
    assert (error.value.path, error.value.line) == (path, 4)


def test_another_log_is_no_check(tmp_path, write_probe):
    path = write_probe(tmp_path, [{"question": "?", "choices": ["a", "b"], "answer": 0}], [[-1, -2]], CHECK[0])
    with pytest.raises(InputError, match="the fields of a simulate task's documents") as error:
        read_judgements(read_run(tmp_path).tasks[CHECK[0]])
    assert (error.value.path, error.value.line) == (path, 1)


def write_explained(folder: Path, texts: dict[int, str]) -> None:
    folder.mkdir(parents=True)
    with (folder / f"samples_{EXPLAIN[0]}_{DATE}.jsonl").open("w") as file:
        for number, text in texts.items():
            row = {"doc_id": number, "doc": request(number) | {"explanation": ""}, "target": "", "resps": [[text]]}
            file.write(json.dumps(row | {"filtered_resps": [text], "filter": "none", "metrics": []}) + "\n")


def write_checked(step, passing, write_probe):
    asked = documents(read_checks(step.metadata["checks"]))

    scores = [logprobs(d, [0.0, 5.0, 0.0] if d["asked"] in passing else [0.0, 2.0, 0.0], [0.0] * 3) for d in asked]
    write_probe(step.logs, asked, scores, CHECK[0])


def write_requests(path, numbers):
    path.write_text("".join(json.dumps(request(number)) + "\n" for number in numbers))
    return path


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


@pytest.fixture
def rounds(tmp_path, write_probe):
    """Six answers in three rounds: 0 and 1 pass at once, 2 later, 3 never; 4 is first unusable; 5 is always."""
    requests, folder = write_requests(tmp_path / "requests.jsonl", range(6)), tmp_path / "rounds"
    writes = [
        {0: "Zero.```", 1: "Ans. B. y. One.```", 2: "Two.```", 3: "Three.```", 4: "", 5: ""},
        {2: "Two again.```", 3: "Three again.```", 4: "Four.```", 5: ""},
        {3: "Three more.```", 5: ""},
    ]
    steps = []
    while (step := next_step(folder, requests, 3, EXPLAIN, CHECK, 7)) is not None:
        steps.append(step)
        # What is not finished is asked for again, in the same words.
        assert next_step(folder, requests, 3, EXPLAIN, CHECK, 7) == step
        if step.kind == "explain":
            texts = writes.pop(0)
            assert [row["id"] for row in lines(step.metadata["requests"])] == list(texts)
            write_explained(step.logs, texts)
        else:
            write_checked(step, {0, 1} if len(steps) == 2 else {2, 4}, write_probe)
    assert not writes
    return folder, steps


def test_what_fails_is_asked_for_again_until_the_last_round(rounds):
    folder, steps = rounds
    assert [(step.kind, step.seed, step.logs) for step in steps] == [
        (kind, 7 + n, folder / f"round-{n + 1}" / kind) for n in range(3) for kind in ("explain", "check")
    ]
    assert {step.tasks for step in steps} == {tuple(EXPLAIN), tuple(CHECK)}
    assert [row["explanation"] for row in lines(steps[1].metadata["checks"])] == ["Zero.", "One.", "Two.", "Three."]
    assert has_rounds(folder)
    assert not has_rounds(steps[0].logs)


def test_the_first_text_that_passed_is_kept_and_the_shares_are_counted(rounds):
    found = read_rounds(rounds[0], "history")
    assert found.texts == {
        (0, "0?", 1): "Zero.",
        (1, "1?", 1): "One.",
        (2, "2?", 1): "Two again.",
        (4, "4?", 1): "Four.",
    }
    assert found.checked is not None
    assert found.checked.to_dict() == {
        "attempts": 3, "requested": 6, "generated": 12, "usable": 8, "first_usable": 4, "passed_first": 2, "passed": 4,
        "unread": False,
        "left_out": 2, "share_before": 2 / 6, "share_after": 4 / 6,
    }  # fmt: skip
    assert found.checked.failed == {(3, "3?", 1), (5, "5?", 1)}
    assert found.unusable == 4
    with pytest.raises(InputError, match="no answer about medicine"):
        read_rounds(rounds[0], "medicine")


def test_it_ends_early_where_all_pass(tmp_path, write_probe):
    requests, folder = write_requests(tmp_path / "requests.jsonl", range(2)), tmp_path / "rounds"
    write_explained(next_step(folder, requests, 3, EXPLAIN, CHECK).logs, {0: "Zero.```", 1: "One.```"})
    write_checked(next_step(folder, requests, 3, EXPLAIN, CHECK), {0, 1}, write_probe)
    assert next_step(folder, requests, 3, EXPLAIN, CHECK) is None
    assert read_rounds(folder, "history").checked.attempts == 1


def test_a_model_that_reads_nothing_is_no_reader(tmp_path, write_probe):
    requests, folder = write_requests(tmp_path / "requests.jsonl", range(6)), tmp_path / "rounds"
    write_explained(next_step(folder, requests, 3, EXPLAIN, CHECK).logs, {n: f"So it is {n}.```" for n in range(6)})
    # One of six is fewer than a fifth.
    write_checked(next_step(folder, requests, 3, EXPLAIN, CHECK), {0}, write_probe)
    assert next_step(folder, requests, 3, EXPLAIN, CHECK) is None
    found = read_rounds(folder, "history")
    assert sorted(found.texts.values()) == [f"So it is {n}." for n in range(6)]
    checked = found.checked
    assert (checked.unread, checked.passed_first, checked.requested, checked.failed) == (True, 1, 6, frozenset())


def test_a_domain_without_texts_in_a_round_and_one_whose_name_ends_like_it(tmp_path, write_probe):
    rows = [request(0) | {"subject": "medicine"}, request(1) | {"subject": "chinese_medicine"}]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    explain = ["consistency_explain_medicine", "consistency_explain_chinese_medicine"]
    check = ["consistency_simulate_medicine", "consistency_simulate_chinese_medicine"]

    def step():
        return next_step(tmp_path / "rounds", tmp_path / "requests.jsonl", 2, explain, check)

    def write(logs, task, number, text):
        logs.mkdir(parents=True, exist_ok=True)
        doc = rows[number] | {"explanation": ""}
        row = {
            "doc_id": 0,
            "doc": doc,
            "target": "",
            "resps": [[text]],
            "filtered_resps": [text],
            "filter": "none",
            "metrics": [],
        }
        (logs / f"samples_{task}_{DATE}.jsonl").write_text(json.dumps(row) + "\n")

    found = step()
    assert set(found.tasks) == set(explain)
    write(found.logs, explain[0], 0, "Because.```")
    write(found.logs, explain[1], 1, "")
    found = step()
    assert found.tasks == (check[0],)
    asked = documents(read_checks(found.metadata["checks"]))
    write_probe(found.logs, asked, [logprobs(d, [0.0, 9.0, 0.0], [0.0] * 3) for d in asked], check[0])
    found = step()
    # The other domain alone, although the name of this one ends its name.
    assert found.tasks == (explain[1],)
    write(found.logs, explain[1], 1, "")
    assert step() is None
    assert list(read_rounds(tmp_path / "rounds", "medicine").texts.values()) == ["Because."]
    assert read_rounds(tmp_path / "rounds", "chinese_medicine").texts == {}


def test_without_attempts_nothing_is_checked(tmp_path):
    requests, folder = write_requests(tmp_path / "requests.jsonl", range(2)), tmp_path / "rounds"
    write_explained(next_step(folder, requests, 0, EXPLAIN, CHECK).logs, {0: "Zero.```", 1: ""})
    assert next_step(folder, requests, 0, EXPLAIN, CHECK) is None
    found = read_rounds(folder, "history")
    assert (found.texts, found.unusable, found.checked) == ({(0, "0?", 1): "Zero."}, 1, None)


def test_tasks_of_domains_that_nothing_is_asked_about_are_not_run(tmp_path):
    requests = write_requests(tmp_path / "requests.jsonl", range(2))
    tasks = ["consistency_explain_medicine", *EXPLAIN]
    assert next_step(tmp_path / "a", requests, 3, tasks, CHECK).tasks == tuple(EXPLAIN)
    assert next_step(tmp_path / "b", requests, 3, ["consistency_world_explain"], CHECK).tasks == (
        "consistency_world_explain",
    )


def test_no_group_asks_a_question_whose_answer_the_model_failed_to_explain(tmp_path, rounds, write_probe):
    """Of 6 misbelieved questions 2 are left out, so that each group has 4, the same where they were the same."""
    pool = [{**request(n), "answer": 0, "explanation": f"Gold {n}."} for n in range(6)]
    known = [{**request(n), "question": f"{n}!", "answer": 0, "explanation": "Ans. A. x. Gold."} for n in range(6, 14)]
    write_probe(tmp_path / "probe", pool + known, [[-9, -1, -9]] * 6 + [[-1, -9, -9]] * 8)
    probe = read_probe(tmp_path / "probe", domain="history")
    names = ["harmonious", "incompatible", "self_aligning", "mixed_0.5", "general_only"]

    def made(explanations, out, **other):
        write_groups(probe, tmp_path / out, Sources(explanations, general="world"), names, **other)
        rows = {name: lines(tmp_path / out / f"{name}.jsonl") for name in names}
        manifest = json.loads((tmp_path / out / "self_aligning.manifest.json").read_text())
        return {n: [row for row in rows[n] if row["source"] != "general"] for n in names}, rows, manifest

    asked, rows, manifest = made(gather_texts(probe, "explain", [rounds[0]]), "checked")
    assert [row["id"] for row in asked["self_aligning"]] == [0, 1, 2, 4]
    assert [row["id"] for row in asked["incompatible"]] == [0, 1, 2, 4]
    assert [row["conversations"][1]["value"] for row in asked["self_aligning"]] == [
        "B. y\nZero.", "B. y\nOne.", "B. y\nTwo again.", "B. y\nFour.",
    ]  # fmt: skip
    assert {name: len(found) for name, found in rows.items()} == dict.fromkeys(names, 8)
    assert {row["conversations"][1]["value"] for row in asked["harmonious"]} == {"A. x\nGold."}
    assert manifest["explanations"]["left_out"] == 2
    assert (manifest["explanations"]["share_before"], manifest["explanations"]["share_after"]) == (2 / 6, 4 / 6)
    assert manifest["normalized_gold_explanations"] == 8
    assert manifest["rows_without_explanation"] == 0
    # A smaller size: what was left out of the sample makes it smaller, and is not replaced by what was never asked about.
    asked, rows, _ = made(gather_texts(probe, "explain", [rounds[0]]), "sized", size=5)
    assert (
        {row["id"] for row in asked["self_aligning"]} == {row["id"] for row in asked["incompatible"]} < {0, 1, 2, 4, 5}
    )
    assert {len(found) for found in rows.values()} == {2 * len(asked["self_aligning"])}


def test_gold_explanations_are_kept_as_released_on_demand(tmp_path, write_probe, call):
    pool = [{**request(n), "answer": 0, "explanation": "Ans. A. xGold."} for n in range(2)]
    write_probe(tmp_path / "probe", pool, [[-9, -1, -9]] * 2)
    replies = []
    for flags in ((), ("--as-released",)):
        arguments = ["groups", "--probe", tmp_path / "probe", "--domain", "history", "--group", "incompatible"]
        code, _, _ = call(*arguments, "--general", "world", "--out", tmp_path / "out", *flags)
        assert code == 0
        replies += [row["conversations"][1]["value"] for row in lines(tmp_path / "out" / "incompatible.jsonl")[:1]]
    assert replies == ["A. x\nGold.", "A. x\nAns. A. xGold."]
