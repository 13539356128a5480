"""Logs of other programs: the same answers in every format are the same comparison, and damaged files are refused."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
import unicodedata
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from typing import ClassVar
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest

sys.path.insert(0, str(Path(__file__).parent))

import foreign_logs
from foreign_logs import DATE, WITH_ANSWERS, WITH_LOGPROBS, Asked, answers, lines

from consistency import compare, compare_many, compare_sides, read_run
from consistency.errors import InputError
from consistency.logs import packed
from consistency.logs.documents import normalised
from consistency.logs.formats.find import reader_of
from consistency.logs.formats.prompts import asked

FORMATS = {**WITH_LOGPROBS, **WITH_ANSWERS}
BEFORE, AFTER = answers(0), answers(1)
HARMFUL = sum(one.right and not two.right for one, two in zip(BEFORE, AFTER, strict=True))
BENEFICIAL = sum(two.right and not one.right for one, two in zip(BEFORE, AFTER, strict=True))
# What holds neither questions nor their order among others can be compared with its like alone.
WITH_QUESTIONS = [name for name in FORMATS if name != "llama_cpp"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    root = tmp_path_factory.mktemp("logs")
    return {
        name: tuple(write(root / name / str(side), side, found) for side, found in enumerate((BEFORE, AFTER)))
        for name, write in FORMATS.items()
    }


def softmax(item: Asked) -> np.ndarray:
    weights = np.exp(item.logprobs)
    return weights / weights.sum()


def section(comparison):
    return comparison.overall or next(iter(comparison.by_task.values()))


# The same answers


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_answers_give_the_same_comparison(name, logs):
    found = section(compare(*logs[name]))
    assert found.n == len(BEFORE)
    accuracy = [sum(item.right for item in side) / len(side) for side in (BEFORE, AFTER)]
    assert found.estimates["delta_accuracy"].value == pytest.approx(accuracy[1] - accuracy[0], abs=1e-12)
    assert (found.flips["harmful"], found.flips["beneficial"]) == (HARMFUL, BENEFICIAL)
    assert found.mcnemar_p == pytest.approx(binomtest(HARMFUL, HARMFUL + BENEFICIAL).pvalue, abs=1e-12)


@pytest.mark.parametrize("name", WITH_LOGPROBS)
def test_the_same_log_probabilities_give_the_same_measures_of_distributions(name, logs):
    comparison = compare(*logs[name])
    pairs = [(softmax(one), softmax(two)) for one, two in zip(BEFORE, AFTER, strict=True)]
    kl = np.mean([(p * np.log(p / q)).sum() for p, q in pairs])
    top = np.mean([p.argmax() == q.argmax() for p, q in pairs])
    assert comparison.overall.estimates["kl"].value == pytest.approx(kl, abs=1e-9)
    assert comparison.overall.estimates["same_top"].value == pytest.approx(top, abs=1e-12)
    own = compare(*logs["lm_eval"]).overall
    for measure, estimate in own.estimates.items():
        assert comparison.overall.estimates[measure].value == pytest.approx(estimate.value, abs=1e-9), measure


@pytest.mark.parametrize("name", WITH_ANSWERS)
def test_a_log_without_log_probabilities_has_no_measure_of_distributions(name, logs):
    comparison = compare(*logs[name])
    assert comparison.overall is None
    found = section(comparison)
    assert "kl" not in found.estimates
    assert "same_top" not in found.estimates
    assert "wrong_to_wrong" not in found.flips
    assert any("not in this log" in note or "neither questions nor" in note for note in found.pairing.notes)


@pytest.mark.parametrize(("one", "two"), [(a, b) for a, b in product(WITH_QUESTIONS, repeat=2) if a != b])
def test_logs_of_two_programs_pair_by_what_is_asked(one, two, logs):
    comparison = compare(logs[one][0], logs[two][1])
    found = section(comparison)
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (len(BEFORE), HARMFUL, BENEFICIAL)
    assert (comparison.overall is not None) == (one in WITH_LOGPROBS and two in WITH_LOGPROBS)
    harness = [run.harness or "lm_eval" for run in (comparison.before, comparison.after)]
    said = [(item.before, item.after) for item in comparison.settings if item.setting == "harness"]
    assert said == ([tuple(harness)] if harness[0] != harness[1] else [])


def reordered(items: list[Asked], order: list[int]) -> list[Asked]:
    """The same answers to questions whose options are in another order."""
    return [
        Asked(
            item.question,
            tuple(item.options[place] for place in order),
            order.index(item.gold),
            tuple(item.logprobs[place] for place in order),
        )
        for item in items
    ]


def test_options_in_another_order_pair_by_their_texts(tmp_path):
    first = foreign_logs.write_lighteval(tmp_path / "a", 0, BEFORE)
    second = foreign_logs.write_plain(tmp_path / "b", 1, reordered(AFTER, [2, 0, 3, 1]))
    found = compare(first, second).overall
    assert (found.n, found.pairing.reordered) == (len(BEFORE), len(BEFORE))
    own = compare(
        foreign_logs.write_plain(tmp_path / "c", 0, BEFORE), foreign_logs.write_plain(tmp_path / "d", 1, AFTER)
    )
    assert found.estimates["kl"].value == pytest.approx(own.overall.estimates["kl"].value, abs=1e-9)


def test_of_two_options_that_read_the_same_the_right_one_is_the_right_one(tmp_path):
    runs = []
    for side, (items, order) in enumerate(((BEFORE, [0, 1, 2, 3]), (AFTER, [2, 0, 3, 1]))):
        same = [replace(item, options=(item.options[0], item.options[1], item.options[0], "Bern")) for item in items]
        runs.append(foreign_logs.write_plain(tmp_path / str(side), side, reordered(same, order)))
    found = compare(*runs).overall
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)
    (task,) = compare(*runs).by_task.values()
    assert any("read the same" in note for note in task.pairing.notes)


@pytest.mark.parametrize("name", ["inspect_json", "nemo", "every_eval_ever", "plain_answers"])
def test_records_of_logs_without_log_probabilities_pair_with_other_logs(name, tmp_path, logs, call):
    order = [3, 2, 1, 0]
    other = FORMATS[name](tmp_path / "other", 1, reordered(AFTER, order))
    assert call("compare", logs[name][0], other, "--records", tmp_path / "records")[0] == 0
    for one, two in (
        (tmp_path / "records" / "before", logs["plain"][1]),
        (logs["plain"][0], tmp_path / "records" / "after"),
        (tmp_path / "records" / "before", tmp_path / "records" / "after"),
    ):
        found = section(compare(one, two))
        assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)
    # A question whose right answer is another is one of another task.
    changed = [replace(item, gold=(item.gold + 1) % 4) if place < 7 else item for place, item in enumerate(AFTER)]
    plain = foreign_logs.write_plain(tmp_path / "changed", 1, changed)
    assert section(compare(tmp_path / "records" / "before", plain)).pairing.dropped["right answer differs"].count == 7


@pytest.mark.parametrize("other", ["plain_answers", "lighteval"])
def test_accents_in_another_form_are_the_same_text(other, tmp_path):
    runs = []
    for side, (items, form, name) in enumerate(((BEFORE, "NFC", "lm_eval"), (AFTER, "NFD", other))):
        texts = [
            replace(
                item,
                question=unicodedata.normalize(form, item.question.replace("town", "Städte")),
                options=tuple(unicodedata.normalize(form, f"{text} é") for text in item.options),
            )
            for item in items
        ]
        runs.append(FORMATS[name](tmp_path / str(side), side, texts))
    found = section(compare(*runs))
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)


@pytest.mark.parametrize(("one", "two"), [("plain", "lighteval"), ("lighteval", "plain"), ("plain", "plain")])
def test_a_right_option_that_only_one_log_knows_is_that_of_both(one, two, tmp_path):
    runs = [FORMATS[name](tmp_path / str(side), side, (BEFORE, AFTER)[side]) for side, name in enumerate((one, two))]
    for side in [side for side, name in enumerate((one, two)) if name == "plain"]:
        rows = map(json.loads, runs[side].read_text().splitlines())
        kept = {place for place in range(60) if place % 2 == side}
        lines(runs[side], [{**row, "gold": row["gold"] if n in kept else None} for n, row in enumerate(rows)])
    found = compare(*runs).overall
    assert found.estimates["accuracy_after"].n == 60
    assert (found.flips["harmful"], found.flips["beneficial"]) == (HARMFUL, BENEFICIAL)


@pytest.mark.parametrize(
    ("one", "two"), [("plain", "lighteval"), ("lm_eval", "nemo"), ("inspect_json", "plain_answers")]
)
def test_questions_with_another_right_answer_are_left_out(one, two, tmp_path):
    changed = [
        Asked(item.question, item.options, (item.gold + 1) % 4, item.logprobs) if place < 7 else item
        for place, item in enumerate(AFTER)
    ]
    found = section(compare(FORMATS[one](tmp_path / "a", 0, BEFORE), FORMATS[two](tmp_path / "b", 1, changed)))
    assert found.n == len(BEFORE) - 7
    assert found.pairing.dropped["right answer differs"].count == 7


def test_shots_prompts_and_template_of_two_programs_are_said(tmp_path):
    rows = [
        {
            "question": "1+1?",
            "choices": ["2", "3"],
            "gold": 0,
            "logprobs": [-0.1, -2.5],
            "shots": shots,
            "prompt": prompt,
        }
        for shots, prompt in ((0, "1+1?"), (5, "2+2? 4\n\n1+1?"))
    ]
    first, second = (lines(tmp_path / f"{place}" / "sums.jsonl", [row]) for place, row in enumerate(rows))
    comparison = compare(first, second)
    assert [(item.setting, item.before, item.after) for item in comparison.settings] == [("few-shot", "0", "5")]
    assert comparison.overall.pairing.prompts == {"same": 0, "different": 1, "unknown": 0}


def test_answers_that_programs_name_otherwise_are_compared(tmp_path):
    """Generated answers: one program calls a right one exact_match, another says correct."""
    asked = [(f"What is {number} + 1?", str(number + 1)) for number in range(20)]
    rows = [
        {
            "doc_id": number,
            "doc": {"question": question},
            "target": answer,
            "arguments": {"gen_args_0": {"arg_0": question, "arg_1": {"until": ["\n"]}}},
            "resps": [[answer]],
            "filtered_resps": [answer if number % 4 else "?"],
            "filter": "none",
            "metrics": ["exact_match"],
            "exact_match": float(number % 4 > 0),
        }
        for number, (question, answer) in enumerate(asked)
    ]
    first = lines(tmp_path / "a" / f"samples_sums_{DATE}.jsonl", rows)
    said = [
        {"task": "sums", "question": question, "gold": answer, "answer": answer if number % 5 else "?"}
        for number, (question, answer) in enumerate(asked)
    ]
    comparison = compare(first, lines(tmp_path / "b" / "sums.jsonl", said))
    found = section(comparison)
    # Wrong before: 0, 4, 8, 12, 16. Wrong after: 0, 5, 10, 15.
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (20, 3, 4)
    assert found.estimates["delta_accuracy"].value == pytest.approx(1 / 20)
    assert "exact_match" in " ".join(found.pairing.notes)


# What each format holds


def test_what_a_log_says_of_its_run(logs):
    model = {name: read_run(logs[name][1]).config for name in FORMATS}
    assert {name: config.model_name for name, config in model.items()} == {
        **dict.fromkeys(("lm_eval", "lighteval", "lmms", "plain", "every_eval_ever", "nemo"), "org/model-1"),
        **dict.fromkeys(("inspect_json", "inspect_eval"), "hf/org/model-1"),
        **dict.fromkeys(("samples_parquet", "leaderboard", "plain_answers")),
        "llama_cpp": "model-1.gguf",
    }
    assert model["lighteval"].num_fewshot == {"mmlu:history": 0}
    assert model["lighteval"].date == DATE
    assert model["inspect_eval"].harness_version == "0.3.260"
    assert (model["nemo"].harness_version, model["lmms"].harness_version) == ("0.4.0", "0.7.2")


def test_the_results_of_lighteval_are_those_of_its_samples(tmp_path):
    folder = foreign_logs.write_lighteval(tmp_path, 0, BEFORE)
    (scores,) = read_run(folder).tasks.values()
    assert not scores.notes
    (results,) = folder.glob("results/**/*.json")
    content = json.loads(results.read_text())
    content["results"]["mmlu:history|0"]["acc"] += 0.1
    results.write_text(json.dumps(content))
    (scores,) = read_run(folder).tasks.values()
    assert len(scores.notes) == 1


def test_a_letter_that_is_not_among_the_top_log_probabilities_is_unknown(tmp_path):
    rows = [foreign_logs.inspect_sample(number, item, with_logprobs=True) for number, item in enumerate(BEFORE)]
    for row in rows[:3]:
        token = row["output"]["choices"][0]["logprobs"]["content"][-1]
        token["top_logprobs"] = [item for item in token["top_logprobs"] if item["token"].strip() != "D"]
    file = tmp_path / "log.json"
    file.write_text(json.dumps({**foreign_logs.inspect_header(0, 60), "samples": rows}))
    scores = read_run(file).tasks["towns"]
    assert np.isnan(scores.logprobs[:3]).all()
    assert not np.isnan(scores.logprobs[3:]).any()
    assert scores.correct.tolist() == [float(item.right) for item in BEFORE]


def inspect_log(file, side, change, **more):
    """A log of Inspect of which each sample is changed."""
    asked = (BEFORE, AFTER)[side]
    rows = [foreign_logs.inspect_sample(n, item, with_logprobs=True) for n, item in enumerate(asked, 1)]
    for row in rows:
        change(row)
    content = {**foreign_logs.inspect_header(side, len(rows)), "samples": rows}
    file.write_text(json.dumps(content))
    return file


@pytest.mark.parametrize("tail", [[".", " A", " wrong", " one", " would", " be", " D"], [" and", " not", " C"]])
@pytest.mark.parametrize("head", [["ANSWER", ":"], [" The", " answer", " is"], []])
def test_log_probabilities_are_those_of_the_answer_and_not_of_a_letter_behind_it(head, tail, tmp_path):
    def explain(row):
        content = row["output"]["choices"][0]["logprobs"]["content"]
        answer = content[-1]
        other = [{"token": f" {letter}", "logprob": -1.4} for letter in foreign_logs.LETTERS]
        said = [
            {"token": token, "logprob": 0.0, "top_logprobs": other if token.strip() in foreign_logs.LETTERS else None}
            for token in [*head, *tail]
        ]
        # Where nothing but the scorer says which letter is the answer, the text behind it must not repeat it.
        if not head or head[0] == "ANSWER" or answer["token"] not in tail:
            row["output"]["choices"][0]["logprobs"]["content"] = [*said[: len(head)], answer, *said[len(head) :]]

    runs = [inspect_log(tmp_path / f"{side}.json", side, explain) for side in (0, 1)]
    expected = [np.log(softmax(item)) for item in AFTER]
    found = read_run(runs[1]).tasks["towns"].logprobs
    assert np.allclose(found - np.logaddexp.reduce(found, axis=1, keepdims=True), expected)


def test_ids_of_inspect_may_hold_slashes(tmp_path):
    rows = [
        {**foreign_logs.inspect_sample(n, item, with_logprobs=False), "id": f"set/{n}" if n % 2 else f"other {n}"}
        for n, item in enumerate(BEFORE)
    ]
    members = {f"samples/{row['id']}_epoch_1.json": json.dumps(row).encode() for row in rows}
    members["header.json"] = json.dumps(foreign_logs.inspect_header(0, 60)).encode()
    (tmp_path / "log.eval").write_bytes(foreign_logs.zstd_archive(members))
    scores = read_run(tmp_path / "log.eval").tasks["towns"]
    assert len(scores) == 60
    assert scores.correct.sum() == sum(item.right for item in BEFORE)


def test_a_question_of_inspect_is_neither_its_system_message_nor_the_options_in_its_text(tmp_path, logs):
    def in_messages(row):
        row["input"] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": row["input"]}]

    def in_text(row):
        row["input"], row["choices"] = row["messages"][0]["content"], None

    for change in (in_messages, in_text):
        run = inspect_log(tmp_path / "log.json", 1, change)
        found = section(compare(logs["lm_eval"][0], run))
        assert found.n == 60
        assert found.flips == {**found.flips, "harmful": HARMFUL, "beneficial": BENEFICIAL}


def test_log_probabilities_of_shuffled_letters_are_not_used(tmp_path):
    rows = [foreign_logs.inspect_sample(number, item, with_logprobs=True) for number, item in enumerate(BEFORE)]
    header = foreign_logs.inspect_header(0, 60)
    header["plan"]["steps"][0]["params"]["shuffle"] = True
    file = tmp_path / "log.json"
    file.write_text(json.dumps({**header, "samples": rows}))
    assert not read_run(file).tasks["towns"].has_options


@pytest.mark.parametrize("name", [name for name in FORMATS if name not in ("lm_eval", "inspect_eval")])
def test_a_zip_is_read_as_the_folder_that_it_was(name, logs, tmp_path):
    packed = []
    for number, log in enumerate(logs[name]):
        packed.append(tmp_path / f"{number}.zip")
        files = [log] if log.is_file() else sorted(file for file in log.rglob("*") if file.is_file())
        with zipfile.ZipFile(packed[-1], "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, file.relative_to(log.parent))
    own, read = section(compare(*logs[name])), section(compare(*packed))
    assert read.n == own.n == len(BEFORE)
    assert read.estimates == own.estimates


def test_an_archive_in_a_zip_is_named_and_not_read(logs, tmp_path, call):
    packed = []
    for number, log in enumerate(logs["inspect_eval"]):
        packed.append(tmp_path / f"{number}.zip")
        with zipfile.ZipFile(packed[-1], "w") as archive:
            archive.write(data_file(log), "log.eval")
    code, _, error = call("compare", *packed)
    assert code == 2
    assert "0.zip" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ("lighteval", "lighteval", "lighteval:"),
        ("lm_eval", "lm_eval", "lm_eval:0.4.11/0.4.11"),
        ("lm_eval", "nemo", "programs:lm_eval 0.4.11/"),
    ],
)
def test_the_signature_names_the_programs(one, two, said, logs):
    parts = compare(logs[one][0], logs[two][1]).signature.split("|")
    assert any(part.startswith(said) for part in parts)
    assert not any(part.startswith("lm_eval:unknown") for part in parts)


def test_epochs_and_samples_without_a_score(tmp_path):
    rows = [foreign_logs.inspect_sample(number, item, with_logprobs=False) for number, item in enumerate(BEFORE)]
    again = {**rows[0], "epoch": 2, "scores": {"choice": {"value": "I" if BEFORE[0].right else "C"}}}
    rows[5]["scores"] = None
    file = tmp_path / "log.json"
    file.write_text(json.dumps({**foreign_logs.inspect_header(0, 60), "samples": [*rows, again]}))
    scores = read_run(file).tasks["towns"]
    assert len(scores) == 59
    assert scores.correct[0] == BEFORE[0].right
    assert len(scores.notes) == 3


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        ([7, 3, 5], [3, 5, 7]),
        (["7", "3", "5"], [3, 5, 7]),
        (["b", 0, 1], [0, 1, 2]),
        (["01", "1", "2"], [0, 1, 2]),
        ([1, "1", 2], [0, 1, 2]),
        ([-1, 2**60, 0], [0, 1, 2]),
    ],
)
def test_questions_have_the_numbers_of_their_ids_or_their_places(ids, numbers, tmp_path):
    rows = [{"question": f"{n}?", "answer": "x", "correct": n == 0, "id": name} for n, name in enumerate(ids)]
    scores = read_run(lines(tmp_path / "log.jsonl", rows)).tasks["log"]
    assert scores.doc_id.tolist() == numbers
    assert scores.correct.sum() == 1


def test_values_of_scores_are_what_inspect_takes_them_to_be(tmp_path):
    values = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0, True: 1.0, 0.25: 0.25, "yes": 1.0, "0.5": 0.5, "maybe": math.nan}
    rows = [
        {**foreign_logs.inspect_sample(number, item, with_logprobs=False), "scores": {"choice": {"value": value}}}
        for number, (item, value) in enumerate(zip(BEFORE, values, strict=False))
    ]
    file = tmp_path / "log.json"
    file.write_text(json.dumps({**foreign_logs.inspect_header(0, 9), "samples": rows}))
    found = read_run(file).tasks["towns"].metrics["acc"]
    assert np.array_equal(found, list(values.values()), equal_nan=True)


def test_of_several_scorers_the_first_with_one_value_says_what_is_right(tmp_path):
    header = foreign_logs.inspect_header(0, 60)
    samples = [foreign_logs.inspect_sample(n, item, with_logprobs=False) for n, item in enumerate(BEFORE)]
    for number, sample in enumerate(samples):
        graded = {"value": {"clear": 1.0, "short": 0.0}}
        sample["scores"] = {"grader": graded, "includes": {"value": "CI"[number % 2]}, "match": {"value": "I"}}
    (tmp_path / "log.json").write_text(json.dumps({**header, "samples": samples}))
    (scores,) = read_run(tmp_path / "log.json").tasks.values()
    assert scores.correct.mean() == 0.5
    assert {name: values.mean() for name, values in scores.metrics.items()} == {
        "acc": 0.5,
        "grader.clear": 1.0,
        "grader.short": 0.0,
        "match": 0.0,
    }


def test_an_archive_that_zipfile_packs_is_read_as_well(tmp_path, logs):
    (source,) = logs["inspect_eval"][0].glob("*.eval")
    members = {
        path.name if "samples" not in str(path) else f"samples/{path.name}": packed.read_log(path)
        for path in packed.archive_members(source)
    }
    file = tmp_path / "log.eval"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert np.array_equal(read_run(file).tasks["towns"].logprobs, read_run(source).tasks["towns"].logprobs)


@pytest.mark.parametrize("sign", [1, -1])
def test_losses_of_lmms_eval_and_log_probabilities_are_told_apart(sign, tmp_path):
    rows = [
        {"doc_id": n, "input": item.prompt, "target": str(item.gold), "acc": float(item.right),
         "filtered_resps": [[str(sign * value), "False"] for value in item.logprobs]}
        for n, item in enumerate(BEFORE)
    ]  # fmt: skip
    scores = read_run(lines(tmp_path / "20260304_050607_samples_towns.jsonl", rows)).tasks["towns"]
    assert np.allclose(scores.logprobs, [item.logprobs for item in BEFORE])


def test_values_of_lmms_eval_that_are_no_numbers_are_named(tmp_path, logs):
    """As in MMMU's tasks, whose answers are judged all at once."""
    file = data_file(FORMATS["lmms"](tmp_path / "log", 1, AFTER))
    rows = [json.loads(line) | {"mmmu_acc": {"id": "1"}} for line in file.read_text(encoding="utf-8").splitlines()]
    lines(file, rows)
    found = section(compare(logs["lmms"][0], file))
    assert found.n == len(AFTER)
    assert [note for note in found.pairing.notes if "mmmu_acc" in note]


@pytest.mark.parametrize("kind", ["hellaswag", "winogrande"])
@pytest.mark.parametrize("selected", [False, True])
def test_the_other_tasks_of_llama_cpp(kind, selected, tmp_path):
    printed = [f"{kind}_score : loaded {600 if selected else 60} tasks from prompt."]
    if selected:
        chosen = "randomized" if kind == "hellaswag" else "random"
        printed.append(f"{kind}_score : selecting 60 {chosen} tasks")
    printed += ["", "task\tacc_norm\t95% confidence interval"] if kind == "hellaswag" else [""]
    right = 0
    for number, item in enumerate(BEFORE, 1):
        right += item.right
        share = 100 * right / number
        if kind == "hellaswag":
            printed.append(f"{number}\t{share:3.8f}%\t[{share - 1:3.4f}%, {share + 1:3.4f}%]")
        else:
            printed.append(f"{number}\t{share:.4f}\t{-2.5:10.6f}  {-2.75:10.6f}  1  {1 if item.right else 2}")
    file = tmp_path / "output.log"
    file.write_text("\n".join(printed) + "\n")
    scores = read_run(file).tasks["llama.cpp"]
    assert scores.correct.tolist() == [float(item.right) for item in BEFORE]


def test_kinds_of_tasks_of_llama_cpp_are_not_taken_for_each_other(tmp_path):
    files = []
    for mark, tail in (("%", "\t[1.0%, 99.0%]"), ("", "")):
        files.append(tmp_path / f"{len(files)}.log")
        shares = [f"{n}\t{100 * (n // 2) / n:.8f}{mark}{tail}" for n in range(1, 21)]
        files[-1].write_text("\n".join(["task\tacc_norm", *shares]))
    assert compare(files[0], files[0]).by_task["llama.cpp"].n == 20
    with pytest.raises(InputError):
        compare(*files)


def kl_output(means: list[tuple[float, float, float]]) -> str:
    """A table of llama.cpp's `--kl-divergence`, from each chunk's ln of the ratio, divergence and share of the same token."""
    head = "chunk             PPL               ln(PPL(Q)/PPL(base))          KL Divergence              Δp RMS"
    head += "            Same top p"
    printed = []
    for count in range(1, len(means) + 1):
        ratio, divergence, same = np.mean(means[:count], axis=0)
        printed += [
            "",
            head,
            f"{count:4d}    {8.0:9.4f} ± {0.1:9.4f}    {ratio:10.5f} ± {0.001:10.5f}    {divergence:10.5f} ± {0.001:10.5f}"
            f"    {2.5:6.3f} ± {0.1:6.3f} %    {100 * same:6.3f} ± {0.1:6.3f} %",
        ]
    return "\n".join(
        [
            *printed,
            "",
            "====== Perplexity statistics ======",
            "Mean PPL(Q)                   :   8.000000 ±   0.1",
            "",
            "====== KL divergence statistics ======",
            f"Mean    KLD: {np.mean(means, axis=0)[1]:10.6f} ± {0.001:10.6f}",
            "Maximum KLD:   0.500000",
        ]
    )


def test_chunks_of_a_kl_divergence_are_compared(tmp_path):
    rng = np.random.default_rng(3)
    sides = [
        np.column_stack([rng.normal(0.01, 0.01, 40), rng.gamma(2, scale, 40), rng.uniform(0.85, 0.99, 40)])
        for scale in (0.01, 0.03)
    ]
    files = []
    for place, side in enumerate(sides):
        files.append(tmp_path / f"{place}.log")
        files[-1].write_text(kl_output([tuple(row) for row in side]), encoding="utf-8")
    found = compare(*files).by_task["kl_divergence"].metrics
    for place, name in enumerate(("ln_ppl_ratio", "kl_divergence", "same_top_token")):
        wanted = (sides[1] - sides[0])[:, place].mean()
        assert found[name].delta.value == pytest.approx(wanted, abs=2e-5), name


NUMBERS = [("1", "0", "3", "2"), ("4", "2", "0", "6")]


@pytest.mark.parametrize("name", ["every_eval_ever", "lmms", "nemo"])
def test_a_target_that_is_a_place_is_not_the_option_of_that_number(name, tmp_path):
    asked = [Asked(item.question, NUMBERS[n % 2], item.gold, item.logprobs) for n, item in enumerate(AFTER)]
    log = FORMATS[name](tmp_path / name, 1, asked)
    file = data_file(log)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    for row, item in zip(rows, asked, strict=True):
        if name == "every_eval_ever":
            row["input"]["choices"] = list(item.options)
        if name == "nemo":
            row["expected_answer"] = str(item.gold)
    lines(file, rows)
    (scores,) = read_run(log).tasks.values()
    places = [item.gold for item in asked]
    if scores.has_options:
        assert scores.target.tolist() == places
    else:
        assert scores.right == [item.options[item.gold] for item in asked]
    # Beside a log that has the places as numbers, no question has another right answer.
    other = foreign_logs.write_lm_eval(tmp_path / "lm_eval", 0, asked)
    assert section(compare(other, log)).n == len(asked)


@pytest.mark.parametrize("name", [name for name in WITH_QUESTIONS if name != "lm_eval"])
def test_options_that_are_letters_are_not_the_letters_before_them(name, tmp_path):
    """Which vitamin is it: A. D, B. A, C. B, D. C."""
    runs = []
    for side, (items, write) in enumerate(((BEFORE, FORMATS["lm_eval"]), (AFTER, FORMATS[name]))):
        asked = [replace(item, options=tuple("DABC")) if n % 3 == 0 else item for n, item in enumerate(items)]
        log = write(tmp_path / str(side), side, asked)
        if name == "plain_answers" and side:
            # There the text of an option is that option, see docs/formats.md.
            rows = map(json.loads, log.read_text().splitlines())
            lines(log, [{**row, "gold": item.gold} for row, item in zip(rows, asked, strict=True)])
        runs.append(log)
    found = section(compare(*runs))
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)
    if name in WITH_LOGPROBS:
        pairs = [(softmax(one), softmax(two)) for one, two in zip(BEFORE, AFTER, strict=True)]
        kl = np.mean([(p * np.log(p / q)).sum() for p, q in pairs])
        assert found.estimates["kl"].value == pytest.approx(kl, abs=1e-9)


def test_of_several_metrics_in_records_one_says_what_is_right_in_whatever_order(tmp_path):
    runs = []
    for side, items in enumerate((BEFORE, AFTER)):
        log = foreign_logs.write_every_eval_ever(tmp_path / str(side), side, items)
        file = data_file(log)
        rows = []
        for row, item in zip(map(json.loads, file.read_text().splitlines()), items, strict=True):
            metrics = {"bleu_4:test": (0.25, False), "exact_match:test": (float(item.right), item.right)}
            named = [
                {**row, "evaluation_result_id": name, "evaluation": {"score": score, "is_correct": right}}
                for name, (score, right) in metrics.items()
            ]
            rows += named[:: -1 if side else 1]
        runs.append(lines(file, rows))
    found = section(compare(*runs))
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)
    assert found.metrics["bleu_4:test"].delta.value == 0


def test_records_of_parts_of_a_task_say_what_is_right_each(tmp_path):
    log = foreign_logs.write_every_eval_ever(tmp_path, 0, BEFORE)
    rows = [json.loads(line) for line in data_file(log).read_text().splitlines()]
    lines(data_file(log), [{**row, "evaluation_result_id": f"towns_{n % 2}"} for n, row in enumerate(rows)])
    (scores,) = read_run(log).tasks.values()
    assert scores.correct.tolist() == [float(item.right) for item in BEFORE]


def test_a_question_without_a_target_has_no_right_option(tmp_path):
    log = foreign_logs.write_lmms(tmp_path, 0, BEFORE)
    rows = [json.loads(line) for line in data_file(log).read_text().splitlines()]
    lines(
        data_file(log), [{**row, "input": "?", "target": "" if n % 2 else row["target"]} for n, row in enumerate(rows)]
    )
    (scores,) = read_run(log).tasks.values()
    assert scores.target.tolist() == [-1 if n % 2 else item.gold for n, item in enumerate(BEFORE)]


def test_a_scorer_of_nemo_does_not_replace_the_reward(tmp_path):
    log = foreign_logs.write_nemo(tmp_path, 0, BEFORE)
    rows = [{**json.loads(line), "scorer_rewards": {"acc": 0.0}} for line in data_file(log).read_text().splitlines()]
    lines(data_file(log), rows)
    assert read_run(log).tasks["towns"].correct.tolist() == [float(item.right) for item in BEFORE]


@pytest.mark.parametrize("form", ["[array({})]", "tensor({}, dtype=torch.float16)", "array({}, dtype=float32)", "{}"])
def test_numbers_that_are_printed_as_arrays_are_log_probabilities(form, tmp_path, logs):
    log = foreign_logs.write_leaderboard(tmp_path / "log", 1, AFTER)
    rows = pq.read_table(data_file(log)).to_pylist()
    for row, item in zip(rows, AFTER, strict=True):
        values = [float("-inf") if value == min(item.logprobs) else value for value in item.logprobs]
        row["predictions"] = form.format(values)
        row["metrics"] = f"{{'acc': np.float64({float(item.right)}), 'other': nan}}"
    pq.write_table(pa.Table.from_pylist(rows), data_file(log))
    (scores,) = read_run(log).tasks.values()
    assert scores.logprobs.max(axis=1).tolist() == [max(item.logprobs) for item in AFTER]
    assert np.isneginf(scores.logprobs).sum(axis=1).tolist() == [1] * len(AFTER)
    assert scores.metrics["acc"].tolist() == [float(item.right) for item in AFTER]


@pytest.mark.parametrize("turned", [0, 3])
def test_a_correct_beside_log_probabilities_that_say_otherwise_is_counted(turned, tmp_path):
    file = data_file(foreign_logs.write_plain(tmp_path, 0, BEFORE))
    rows = [
        {**json.loads(line), "correct": item.right != (place < turned)}
        for place, (line, item) in enumerate(zip(file.read_text().splitlines(), BEFORE, strict=True))
    ]
    scores = read_run(lines(file, rows)).tasks["towns"]
    assert [note.split(" ", 1)[0] for note in scores.notes if "correct" in note] == ["3"] * bool(turned)


def rewarded(folder: Path, low: float, high: float) -> Path:
    """The second model's answers as NeMo Evaluator writes them, with other rewards than 0 and 1."""
    log = foreign_logs.write_nemo(folder, 1, AFTER)
    rows = [json.loads(line) for line in data_file(log).read_text().splitlines()]
    lines(
        data_file(log), [{**row, "reward": high if item.right else low} for row, item in zip(rows, AFTER, strict=True)]
    )
    return log


@pytest.mark.parametrize(("low", "high"), [(0.0, 100.0), (-1.0, 1.0)])
def test_rewards_of_two_values_are_right_and_wrong(low, high, tmp_path, logs):
    for other in ("lm_eval", "nemo", "plain_answers"):
        found = section(compare(logs[other][0], rewarded(tmp_path / other, low, high)))
        assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)


def test_an_accuracy_up_to_100_is_not_compared_with_one_up_to_1(tmp_path, logs, call):
    log = rewarded(tmp_path / "log", 25.0, 75.0)
    found = section(compare(logs["nemo"][0], log))
    assert found.accuracy_metric is None
    assert "acc" not in found.metrics
    assert [item.metric for item in found.uncompared] == ["acc"]
    code, _, error = call("compare", logs["lm_eval"][0], log)
    assert code == 2
    assert "0 to 1" in error
    # Of two such logs the means are compared, and so they are with a model that got nothing right.
    assert section(compare(log, log)).metrics["acc"].delta.value == 0
    nothing = rewarded(tmp_path / "nothing", 0.0, 0.0)
    means = 25 + 50 * np.mean([item.right for item in AFTER])
    assert section(compare(log, nothing)).metrics["acc"].delta.value == pytest.approx(-means)


@pytest.mark.parametrize("form", [" {letter}", " {text}", " {letter}. {text}"])
def test_options_of_lighteval_may_be_scored_in_another_order_than_they_are_listed(form, tmp_path, logs):
    log = foreign_logs.write_lighteval(tmp_path / "log", 1, AFTER)
    (file,) = log.rglob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    order = [1, 3, 0, 2]
    for row, item in zip(rows, AFTER, strict=True):
        texts = [form.format(letter=foreign_logs.LETTERS[place], text=item.options[place]) for place in order]
        row["doc"].update(choices=texts, gold_index=order.index(item.gold))
        row["model_response"]["logprobs"] = [item.logprobs[place] for place in order]
    pq.write_table(pa.Table.from_pylist(rows), file)
    found = compare(logs["lm_eval"][0], log).overall
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)
    own = compare(*logs["lm_eval"]).overall
    assert found.estimates["kl"].value == pytest.approx(own.estimates["kl"].value, abs=1e-9)


def test_the_right_letter_of_a_generated_answer_of_lighteval_is_its_option(tmp_path):
    log = foreign_logs.write_lighteval(tmp_path, 0, BEFORE)
    file = data_file(log)
    rows = pq.read_table(file).to_pylist()
    for row in rows:
        row["model_response"].update(text=["A"], logprobs=[])
    pq.write_table(pa.Table.from_pylist(rows), file)
    (scores,) = read_run(log).tasks.values()
    assert scores.right == [item.options[item.gold] for item in BEFORE]


@pytest.mark.parametrize(
    "form", ["{text}", " {lower}\n", "{letter}", "({letter})", "{letter}. {text}", "{letter}) {text}"]
)
def test_answers_of_plain_lines_are_options_in_whatever_form(form, tmp_path):
    rows = [
        {
            "question": item.question,
            "choices": list(item.options),
            "gold": item.gold,
            "answer": form.format(
                text=item.options[item.chosen],
                lower=item.options[item.chosen].lower(),
                letter=foreign_logs.LETTERS[item.chosen],
            ),
        }
        for item in BEFORE
    ]
    scores = read_run(lines(tmp_path / "log.jsonl", rows)).tasks["log"]
    assert scores.correct.tolist() == [float(item.right) for item in BEFORE]


def test_answers_of_plain_lines_that_are_no_option_are_counted(tmp_path):
    asked = {"question": "?", "choices": ["Rome", "Oslo"], "gold": 1}
    rows = [{**asked, "question": f"{n}?", "answer": "Osl" if n < 3 else "Oslo"} for n in range(8)]
    scores = read_run(lines(tmp_path / "log.jsonl", rows)).tasks["log"]
    assert scores.correct.sum() == 5
    assert any(note.startswith("3 answers") for note in scores.notes)


@pytest.mark.parametrize("change", [{"logprobs": [2.3, 0.1]}, {"logprobs": [0.1, 0.9]}, {"answer": "1"}])
def test_losses_probabilities_and_places_as_text_are_refused(change, tmp_path, call):
    row = {"question": "?", "choices": ["Rome", "Oslo"], "gold": 1, **change}
    file = lines(tmp_path / "log.jsonl", [row])
    code, _, error = call("compare", file, file)
    assert code == 2
    assert "log.jsonl:1" in error


def test_the_newest_log_is_that_of_the_latest_moment_in_whatever_zone(tmp_path):
    for name, created, asked_ in (
        ("a", "2026-03-04T07:00:00+02:00", AFTER),
        ("b", "2026-03-04T05:30:00+00:00", BEFORE),
    ):
        file = tmp_path / f"{name}.json"
        foreign_logs.write_inspect_json(tmp_path / "made" / name, 0, asked_)
        content = json.loads(data_file(tmp_path / "made" / name).read_text())
        content["eval"]["created"] = created
        file.write_text(json.dumps(content))
    for part in (tmp_path / "made").rglob("*.json"):
        part.unlink()
    (scores,) = read_run(tmp_path).tasks.values()
    assert scores.correct.tolist() == [float(item.right) for item in BEFORE]


def test_a_part_of_samples_says_that_it_is_one(tmp_path):
    file = tmp_path / "towns" / "train-00000-of-00002.parquet"
    file.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(foreign_logs.samples(BEFORE[:30])), file)
    (scores,) = read_run(file).tasks.values()
    assert len(scores) == 30
    assert any("2 parts" in note for note in scores.notes)
    whole = file.with_name("train-00000-of-00001.parquet")
    file.rename(whole)
    assert not next(iter(read_run(whole).tasks.values())).notes


def logged_by_lm_eval(folder):
    """The file of samples after, and its rows."""
    (file,) = foreign_logs.write_lm_eval(folder, 1, AFTER).rglob("samples_*.jsonl")
    return file, [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize(
    "beside",
    [
        {"question_id": 7, "cot_content": "", "category": "history", "src": "ori_mmlu"},  # MMLU-Pro
        {"uuid": "7", "discipline": "a", "field": "b", "subfield": "c", "difficulty": "hard", "is_calculation": False},
        {"id": "7", "question_concept": "town"},  # CommonsenseQA
    ],
)
def test_what_data_sets_say_beside_a_question_does_not_part_it_from_other_logs(beside, tmp_path, logs):
    file, rows = logged_by_lm_eval(tmp_path / "log")
    for row in rows:
        row["doc"].update(beside)
    lines(file, rows)
    found = section(compare(logs["lighteval"][0], file.parent))
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)


@pytest.mark.parametrize("further", [{"belief": 0.25}, {"fact1": "Rome is a town"}, {"level": 3, "tags": ["a", "b"]}])
def test_questions_pair_with_those_of_a_log_without_further_fields(further, tmp_path, logs):
    file, rows = logged_by_lm_eval(tmp_path / "log")
    for row in rows:
        row["doc"].update(further)
    lines(file, rows)
    found = section(compare(logs["plain"][0], file.parent))
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)
    assert any(all(name in note for name in further) for note in found.pairing.notes)
    # Where both logs have a field and it differs, the question is another.
    for row in rows[:7]:
        row["doc"]["passage"] = "One."
    before = lines(_made(tmp_path / "before") / file.name, rows)
    for row in rows[:7]:
        row["doc"]["passage"] = "Another."
    after = lines(_made(tmp_path / "after") / file.name, rows)
    assert section(compare(before, after)).n == 53


def test_two_questions_that_one_log_tells_apart_by_a_further_field_do_not_pair(tmp_path, logs):
    file, rows = logged_by_lm_eval(tmp_path / "log")
    for row in rows:
        row["doc"]["fact1"] = "a"
    again = [{**row, "doc_id": 60 + row["doc_id"], "doc": {**row["doc"], "fact1": "b"}} for row in rows[:3]]
    lines(file, [*rows, *again])
    assert section(compare(logs["plain"][0], file.parent)).n == 57


@pytest.mark.parametrize("how", ["field", "prompt", "untold", "texts"])
def test_letter_bias_of_plain_lines_is_that_of_the_same_letters_in_lm_eval(how, tmp_path):
    runs = []
    for side, shift in enumerate((0.0, 3.0)):
        rows = []
        for number in range(200):
            scores = np.random.default_rng(number).normal(size=4)
            scores[number % 4] += 1.2
            scores[3] += shift
            scores -= np.log(np.exp(scores).sum())
            options = [f"town {number}.{place}" for place in range(4)]
            row = {
                "question": f"Which town is {number}?",
                "choices": options,
                "gold": number % 4,
                "logprobs": [*scores],
            }
            listed = "".join(f"{letter}. {text}\n" for letter, text in zip("ABCD", options, strict=True))
            more = {
                "field": {"scored": "letters"},
                "prompt": {"prompt": f"{row['question']}\n{listed}Answer:"},
                "texts": {"scored": "texts"},
            }
            rows.append(row | more.get(how, {}))
        runs.append(lines(_made(tmp_path / str(side)) / "towns.jsonl", rows))
    found = section(compare(*runs))
    lettered = how in ("field", "prompt")
    assert found.decomposition.lettered == (200 if lettered else 0)
    change = found.estimates["delta_accuracy"].value
    assert change < -0.1
    # A shift of one letter alone: what is corrected for it stays.
    assert found.decomposition.estimates["calibrated_change"].value == pytest.approx(
        0 if lettered else change, abs=0.02
    )
    assert any("scored" in note for note in found.pairing.notes) == (how == "untold")


def test_the_parts_of_a_data_set_are_read_together(tmp_path, logs, call):
    runs = []
    for side, items in enumerate((BEFORE, AFTER)):
        folder = tmp_path / str(side) / "towns"
        folder.mkdir(parents=True)
        rows = foreign_logs.samples(items)
        for part, places in enumerate((range(25), range(25, 50), range(50, 60))):
            table = pa.Table.from_pylist([rows[place] for place in places])
            pq.write_table(table, folder / f"train-0000{part}-of-00003.parquet")
        runs.append(folder.parent)
    found = compare(*runs).overall
    assert (found.n, found.flips["harmful"], found.flips["beneficial"]) == (60, HARMFUL, BENEFICIAL)
    assert not next(iter(read_run(runs[0]).tasks.values())).notes
    # A wrong row is named by its place in its own file.
    last = runs[1] / "towns" / "train-00002-of-00003.parquet"
    rows = pq.read_table(last).to_pylist()
    rows[4]["filtered_resps"] = None
    pq.write_table(pa.Table.from_pylist(rows), last)
    error = refused(call, runs[0], runs[1], tmp_path / "out")
    assert last.name in error.replace("\n", "")
    assert "row 5" in error
    # Without one of them no part is taken for the whole.
    last.unlink()
    assert "joined in one file" in refused(call, runs[0], runs[1], tmp_path / "out")


def test_questions_that_ask_the_same_pair_by_their_names_and_not_by_their_places(tmp_path):
    runs = []
    for side, items in enumerate((BEFORE, AFTER)):
        rows = [
            {"question": "What is in the picture?", "id": f"p{n}", "correct": item.right}
            for n, item in enumerate(items)
        ]
        # One log lacks a question, and has the others from the last to the first.
        runs.append(lines(tmp_path / str(side) / "pictures.jsonl", rows[:0:-1] if side else rows))
    found = section(compare(*runs))
    pairs = list(zip(BEFORE, AFTER, strict=True))[1:]
    assert found.n == 59
    assert found.flips["harmful"] == sum(one.right and not two.right for one, two in pairs)
    assert found.flips["beneficial"] == sum(two.right and not one.right for one, two in pairs)


def test_details_of_two_models_without_results_are_not_one_run(tmp_path):
    dates = [DATE, DATE.replace("-04T", "-05T")]
    for side, date in enumerate(dates):
        log = foreign_logs.write_lighteval(tmp_path / "made" / str(side), side, BEFORE)
        file = data_file(log)
        place = tmp_path / "logs" / "details" / "org" / f"model-{side}" / date / file.name.replace(DATE, date)
        place.parent.mkdir(parents=True)
        file.rename(place)
    with pytest.raises(InputError, match="2 models"):
        read_run(tmp_path / "logs")
    assert read_run(place).config.model_name == "org/model-1"


def test_a_folder_of_several_tasks_and_dates(tmp_path):
    rows = {
        name: [{"question": f"{name}?", "choices": ["x", "y"], "gold": 0, "logprobs": [-1, -2], "task": name}]
        for name in "ab"
    }
    for name, found in rows.items():
        lines(tmp_path / "one" / f"{name}.jsonl", found)
    assert sorted(read_run(tmp_path / "one").tasks) == ["a", "b"]
    header = foreign_logs.inspect_header(0, 60)
    for day, side in (("01", BEFORE), ("02", AFTER)):
        samples = [foreign_logs.inspect_sample(n, item, with_logprobs=False) for n, item in enumerate(side)]
        header["eval"]["created"] = f"2026-01-{day}T00:00:00+00:00"
        (tmp_path / f"{day}.json").write_text(json.dumps({**header, "samples": samples}))
    (tmp_path / "one" / "a.jsonl").unlink()
    (tmp_path / "one" / "b.jsonl").unlink()
    assert read_run(tmp_path).tasks["towns"].correct.tolist() == [float(item.right) for item in AFTER]
    assert read_run(tmp_path, "2026-01-01").tasks["towns"].correct.tolist() == [float(item.right) for item in BEFORE]
    with pytest.raises(InputError, match="no run begins with"):
        read_run(tmp_path, "2025")


# Questions in prompts


@pytest.mark.parametrize(
    ("prompt", "question", "options"),
    [
        ("Which?\nA. x\nB. y\nAnswer:", "Which?", ("x", "y")),
        ("Question: Which?\nA) x\nB) y", "Which?", ("x", "y")),
        ("Q: First?\n(A) p\n(B) q\nAnswer: (A)\n\nQ: Which?\n(A) x\n(B) y\nAnswer:", "Which?", ("x", "y")),
        ("Which holds?\nA. a line\nthat goes on\nB. y\nAnswer:", "Which holds?", ("a line\nthat goes on", "y")),
        ("Question: Where is it?\nAnswer:", "Where is it?", ()),
        ("A. one statement\nIs it so?\nA. x\nB. y\nAnswer:", "A. one statement\nIs it so?", ("x", "y")),
        ("Answer:", "Answer:", ()),
        (
            "<|im_start|>system\nBrief.<|im_end|>\n<|im_start|>user\nOne?\nA. p\nB. q\nAnswer:<|im_end|>\n<|im_start|>assistant\n"
            "A<|im_end|>\n<|im_start|>user\nWhich?\nA. x\nB. y\nAnswer:<|im_end|>\n<|im_start|>assistant\n",
            "Which?",
            ("x", "y"),
        ),
        ("<|start_header_id|>user<|end_header_id|>\n\nWhich?\nA. x\nB. y<|eot_id|>", "Which?", ("x", "y")),
        ("[INST] Which?\n(A) x\n(B) y [/INST]", "Which?", ("x", "y")),
        ("Which?\nA. x\nB. y\nAnswer with the option's letter from the given choices directly.", "Which?", ("x", "y")),
        ("Which?\n(A) x\n(B) y\nPlease select the correct answer from the options above.", "Which?", ("x", "y")),
        ("Which?\nA. please\nB. the answer", "Which?", ("please", "the answer")),
        (
            "<bos><start_of_turn>user\nWhich?\nA. x\nB. y\nAnswer:<end_of_turn>\n<start_of_turn>model\n",
            "Which?",
            ("x", "y"),
        ),
        ("<｜begin▁of▁sentence｜><｜User｜>Which?\nA. x\nB. y<｜Assistant｜>", "Which?", ("x", "y")),
        ("One?\nA. p\nB. q\n答案：B\n\nWhich?\nA. x\nB. y\n答案：", "Which?", ("x", "y")),
        ("One?\nA. p\nB. q\nCorrect answer: B\n\nWhich?\nA. x\nB. y\nCorrect answer:", "Which?", ("x", "y")),
        (
            "Q: One?\nA. p\nB. q\nAnswer: Let's think step by step.\nIt is so.\nThe answer is (B).\n\nQ: Which?\nA. x\nB. y\n"
            "Answer: Let's think step by step.",
            "Which?",
            ("x", "y"),
        ),
        ("", "", ()),
    ],
)
def test_a_question_is_found_in_a_prompt(prompt, question, options):
    assert asked(prompt) == (question, options)


def test_the_questions_of_real_prompts_are_found(test_data):
    """Without shots, with five, with a chat template, of two releases of lm_eval: 666 questions of MMLU."""
    found = []
    for file in sorted((test_data / "harness_logs").rglob("*.jsonl")):
        text = file.read_text(encoding="utf-8")
        for row in json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines()):
            arguments, document = row["arguments"], row["doc"]
            prompt = arguments["gen_args_0"]["arg_0"] if isinstance(arguments, dict) else arguments[0][0]
            question, options = asked(prompt)
            wanted = [document["question"], *document["choices"]]
            found.append(list(map(normalised, (question, *options))) == list(map(normalised, wanted)))
    assert len(found) > 600
    assert all(found)


# Damaged and hostile files


def data_file(folder: Path) -> Path:
    """The file of a log that holds its answers."""
    if folder.is_file():
        return folder
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(("results_", "eval-"))]
    (found,) = [file for file in files if not file.name.endswith("_results.json")]
    return found


def refused(call, one: Path, two: Path, out: Path) -> str:
    """The message of a comparison that is refused: one line, without a traceback, and nothing is written."""
    code, _, error = call("compare", one, two, "--out", out)
    assert code == 2, error
    assert "Traceback" not in error
    assert not out.exists()
    return error


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "lm_eval"])
@pytest.mark.parametrize("how", ["cut", "middle", "empty", "binary"])
def test_a_damaged_file_is_refused_by_its_name(name, how, tmp_path, call, logs):
    folder = FORMATS[name](tmp_path / "log", 1, AFTER)
    file = data_file(folder)
    content = file.read_bytes()
    if how == "cut":
        # Within the last line of what is printed a number may be cut and still be one.
        content = content[: content.rindex(b"60\t") if name == "llama_cpp" else len(content) * 2 // 3]
    elif how == "middle":
        place = len(content) // 2
        content = content[:place] + b"\x00\xff\xfe}{" * 40 + content[place + 200 :]
    else:
        content = b"" if how == "empty" else bytes(range(256)) * 40
    file.write_bytes(content)
    # Of a folder what is left of a file's beginning must still say what it was.
    for path in {file, folder if how == "cut" else file}:
        error = refused(call, logs[name][0], path, tmp_path / "out")
        assert file.name in error.replace("\n", "")


WRONG = {
    "inspect_json": [{"samples": [{"id": 1}]}, {"samples": "x"}, {"eval": 3}],
    "every_eval_ever": [{"evaluation": {"score": "high", "is_correct": True}}, {"input": None}, {"sample_id": [1]}],
    "nemo": [{"problem_idx": "x"}, {"problem_idx": -1}, {"reward": None}],
    "lmms": [{"doc_id": -1}, {"doc_id": "x"}, {"filtered_resps": [["x", "True"], ["y", "False"]]}, {"acc": 10**400}],
    "plain": [
        {"logprobs": [-1.0]},
        {"logprobs": "x"},
        {"gold": 9},
        {"gold": "none of them"},
        {"choices": {"a": 1}},
        {"question": None},
        {"model": "another"},
        {"logprobs": None},
    ],
    "plain_answers": [{"correct": "x"}, {"correct": 2}, {"correct": math.nan}, {"gold": 4}, {"id": "town 1"}],
}


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name, found in WRONG.items() for wrong in found])
def test_a_wrong_field_is_refused_with_its_line(name, wrong, tmp_path, call, logs):
    file = data_file(FORMATS[name](tmp_path / "log", 1, AFTER))
    if name == "inspect_json":
        file.write_text(json.dumps(json.loads(file.read_text()) | wrong))
        assert file.name in refused(call, logs[name][0], file, tmp_path / "out").replace("\n", "")
        return
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    rows[30] |= wrong
    lines(file, rows)
    assert f"{file.name}:31:" in refused(call, logs[name][0], file, tmp_path / "out").replace("\n", "")


@pytest.mark.parametrize("name", ["lighteval", "leaderboard"])
@pytest.mark.parametrize("fault", ["logprobs", "gold", "question", "instruction"])
def test_a_wrong_row_of_details_is_refused_with_its_number(name, fault, tmp_path, call, logs):
    file = data_file(FORMATS[name](tmp_path / "log", 1, AFTER))
    rows = pq.read_table(file).to_pylist()
    doc, response = (rows[30]["doc"], rows[30]["model_response"]) if name == "lighteval" else (rows[30], rows[30])
    if fault == "logprobs":
        response["logprobs" if name == "lighteval" else "predictions"] = [-1.0] if name == "lighteval" else "[-1.0]"
    elif fault == "gold":
        doc["gold_index"] = 7 if name == "lighteval" else "[7]"
    elif fault == "instruction":
        for row in rows:
            (row["doc"] if name == "lighteval" else row)["instruction"] = None
        doc["instruction"] = 7
    else:
        doc |= {"query": None} if name == "lighteval" else {"example": None, "full_prompt": None}
    pq.write_table(pa.Table.from_pylist(rows), file)
    assert "row 31" in refused(call, logs[name][0], file, tmp_path / "out")


@pytest.mark.parametrize(("value", "said"), [("[" + "9" * 400 + ", -1, -2, -3]", "too large"), ("7", "no list")])
def test_predictions_that_are_no_list_of_numbers_are_refused(value, said, tmp_path, call, logs):
    file = data_file(foreign_logs.write_leaderboard(tmp_path / "log", 1, AFTER))
    rows = pq.read_table(file).to_pylist()
    rows[30]["predictions"] = value
    pq.write_table(pa.Table.from_pylist(rows), file)
    error = refused(call, logs["leaderboard"][0], file, tmp_path / "out")
    assert "row 31" in error
    assert said in error


@pytest.mark.parametrize("name", ["every_eval_ever", "nemo"])
def test_rows_that_end_before_the_announced_number_are_refused(name, tmp_path, call, logs):
    """A file that was cut between two lines is JSON in every line: only the other file of the run says that some are missing."""
    file = data_file(FORMATS[name](tmp_path / "log", 1, AFTER))
    if name == "nemo":
        (above,) = file.parent.glob("eval-*.json")
        announced = {**json.loads(above.read_text()), "n_results": len(AFTER)}
    else:
        above = file.with_name(file.name.replace("_samples.jsonl", ".json"))
        announced = {"detailed_evaluation_results": {"format": "jsonl", "total_rows": len(AFTER)}}
    above.write_text(json.dumps(announced))
    assert call("compare", logs[name][0], file)[0] == 0
    rows = file.read_text(encoding="utf-8").splitlines(keepends=True)
    file.write_text("".join(rows[:45]), encoding="utf-8")
    assert f"{file.name}:45:" in refused(call, logs[name][0], file, tmp_path / "out").replace("\n", "")


def test_values_written_as_text_are_never_run(tmp_path, call, logs):
    file = data_file(foreign_logs.write_leaderboard(tmp_path / "log", 1, AFTER))
    rows = pq.read_table(file).to_pylist()
    witness = tmp_path / "ran"
    rows[3]["predictions"] = f"__import__('pathlib').Path({str(witness)!r}).touch()"
    pq.write_table(pa.Table.from_pylist(rows), file)
    call("compare", logs["leaderboard"][0], file)
    assert not witness.exists()


@pytest.mark.parametrize("name", ["samples_parquet", "lighteval"])
def test_a_parquet_file_that_grows_is_refused(name, tmp_path, call, logs, monkeypatch):
    """One long text in every row takes next to no room: dictionaries hold it once."""
    monkeypatch.setattr("consistency.logs.formats.decoding.UNCHECKED", 1 << 20)
    file = data_file(FORMATS[name](tmp_path / "log", 1, AFTER))
    rows = pq.read_table(file).to_pylist()
    rows *= 40
    for row in rows:
        row["doc"]["query" if name == "lighteval" else "question"] = "x" * 50_000
    pq.write_table(pa.Table.from_pylist(rows), file, compression="zstd")
    assert file.stat().st_size < 1 << 18
    assert "grows to more than" in refused(call, logs[name][0], file, tmp_path / "out")


def test_an_archive_that_grows_is_refused(tmp_path, call, logs, monkeypatch):
    monkeypatch.setattr(packed, "UNCHECKED", 1 << 20)
    header = json.dumps(foreign_logs.inspect_header(1, 60)).encode()
    sample = json.dumps(foreign_logs.inspect_sample(1, AFTER[0], with_logprobs=True)).encode()
    file = tmp_path / "log.eval"
    file.write_bytes(
        foreign_logs.zstd_archive({"header.json": header, "samples/1_epoch_1.json": sample + b" " * (1 << 24)})
    )
    assert "grows to more than" in refused(call, logs["inspect_eval"][0], file, tmp_path / "out")


def test_names_in_an_archive_leave_it_nowhere(tmp_path, call, logs):
    file = tmp_path / "log.eval"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("header.json", json.dumps(foreign_logs.inspect_header(1, 60)))
        archive.writestr("../samples/1_epoch_1.json", "{}")
    assert "leaves the archive" in refused(call, logs["inspect_eval"][0], file, tmp_path / "out")


def test_a_value_nested_deeply_is_refused(tmp_path, call, logs):
    file = data_file(foreign_logs.write_plain(tmp_path / "log", 1, AFTER))
    deep = '{"question": "?", "choices": ["x", "y"], "gold": 0, "logprobs": [-1, -2], "more": ' + "[" * 100_000 + "}\n"
    file.write_text(deep + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert f"{file.name}:1:" in refused(call, logs["plain"][0], file, tmp_path / "out").replace("\n", "")


def test_two_models_or_programs_in_one_folder_are_refused(tmp_path, call, logs):
    foreign_logs.write_nemo(tmp_path / "both" / "a", 0, BEFORE)
    foreign_logs.write_nemo(tmp_path / "both" / "b", 1, AFTER)
    assert "2 models" in refused(call, logs["nemo"][0], tmp_path / "both", tmp_path / "out")
    foreign_logs.write_plain(tmp_path / "both" / "c", 1, AFTER)
    assert "NeMo Evaluator and plain" in refused(call, logs["nemo"][0], tmp_path / "both", tmp_path / "out")


def test_files_beside_logs_that_are_not_read_are_named(tmp_path):
    folder = foreign_logs.write_leaderboard(tmp_path / "before", 0, BEFORE)
    file = data_file(folder)
    cut = file.with_name(f"details_other|0_{DATE}.parquet")
    cut.write_bytes(file.read_bytes()[:5000])
    lines(folder / "notes.jsonl", [{"hello": "world"}])
    (folder / "README.md").write_text("no log")
    run = read_run(folder)
    assert list(run.tasks) == ["harness|hendrycksTest-history"]
    assert {item.path for item in run.selection.left_out} == {cut, folder / "notes.jsonl"}
    # A damaged file before may hold a task that a gate is about; after, every task that is compared is there.
    other = foreign_logs.write_leaderboard(tmp_path / "after", 1, AFTER)
    (missing,) = compare(folder, other).missing
    (line,) = missing.to_lines()
    assert str(cut) in line
    assert "notes.jsonl" not in line
    assert compare(other, folder).missing == ()


def test_an_output_that_ends_early_is_refused(tmp_path, call, logs):
    file = foreign_logs.write_llama_cpp(tmp_path / "log", 1, AFTER)
    text = file.read_text()
    file.write_text(text[: text.index("\n41\t")] + "\n")
    assert "ends after question 40 of 60" in refused(call, logs["llama_cpp"][0], file, tmp_path / "out")
    means = [(0.01, 0.02 * (place + 1), 0.9) for place in range(20)]
    whole, cut = tmp_path / "whole.log", tmp_path / "cut.log"
    text = kl_output(means)
    whole.write_text(text, encoding="utf-8")
    # Between two chunks, within a number of the last chunk, and where a chunk of another output follows.
    ends = [text[: text.index("  12    ")], text[: text.index("  12    ") + 60], text[: text.index("Mean    KLD")]]
    for content in (*ends, text.replace("0.02000", "0.03000").replace("KLD:   0.210000", "KLD:   0.310000")):
        cut.write_text(content, encoding="utf-8")
        assert "ends after chunk" in refused(call, whole, cut, tmp_path / "out")
    for encoding in ("utf-16", "utf-8-sig"):
        cut.write_text(text, encoding=encoding)
        code, _, error = call("compare", whole, cut)
        assert (code, "UTF-16" in error) == ((2, True) if encoding == "utf-16" else (0, False))


def test_a_log_of_lm_eval_is_for_no_other_reader(logs, test_data):
    files = [*logs["lm_eval"][0].rglob("*.json*"), *(test_data / "harness_logs").rglob("*.json*")]
    assert len(files) > 4
    assert [file for file in files if reader_of(file) is not None] == []


# The Hub


def cached(root: Path, folder: Path, commit: str) -> None:
    """Put a folder into a cache of huggingface_hub, as if it had been fetched."""
    snapshot = root / "datasets--org--details" / "snapshots" / commit
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    refs = root / "datasets--org--details" / "refs"
    refs.mkdir()
    (refs / "main").write_text(commit)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


@pytest.mark.parametrize("name", ["lm_eval", "leaderboard", "samples_parquet"])
@pytest.mark.parametrize("revision", ["", "@main", "@" + "a" * 40])
def test_a_data_set_of_the_hub_is_read_by_its_commit(name, revision, hub, tmp_path, logs):
    cached(hub, FORMATS[name](tmp_path / "log", 1, AFTER), "a" * 40)
    comparison = compare(logs[name][0], f"hub:org/details{revision}")
    assert comparison.paths[1] == f"hub:org/details@{'a' * 40}"
    assert (comparison.overall.flips["harmful"], comparison.overall.flips["beneficial"]) == (HARMFUL, BENEFICIAL)


def test_a_folder_of_a_data_set(hub, tmp_path):
    cached(hub, foreign_logs.write_lm_eval(tmp_path / "log", 1, AFTER), "b" * 40)
    run = read_run("hub:org/details@main:org__model")
    assert str(run.path) == f"hub:org/details@{'b' * 40}:org__model"
    assert run.config.model_name == "org/model-1"


@pytest.mark.parametrize(
    "name",
    [
        "hub:org/unknown@main",
        "hub:org/details@other",
        "hub:org",
        "hub:org/details@main:../..",
        "hub:org/details@main:none",
        "hub:",
    ],
)
def test_what_is_not_there_without_a_network_is_refused(name, hub, tmp_path, call, logs):
    cached(hub, foreign_logs.write_lm_eval(tmp_path / "log", 1, AFTER), "b" * 40)
    refused(call, logs["lm_eval"][0], name, tmp_path / "out")


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does, for one data set."""

    commit = "c" * 40
    files: ClassVar[dict[str, bytes]] = {}
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        path = unquote(self.path.split("?")[0])
        self.asked.append(path)
        place = f"/datasets/org/details/resolve/{self.commit}/"
        body, headers = json.dumps({"error": "Repository not found"}).encode(), {"X-Error-Code": "RepoNotFound"}
        if path.startswith("/api/datasets/org/details/revision/"):
            held = [{"rfilename": name, "size": len(content)} for name, content in self.files.items()]
            body, headers = json.dumps({"id": "org/details", "sha": self.commit, "siblings": held}).encode(), {}
        elif path.startswith(place):
            body = self.files[path.removeprefix(place)]
            headers = {"X-Repo-Commit": self.commit, "ETag": f'"{hashlib.sha1(body).hexdigest()}"'}
        self.send_response(404 if "X-Error-Code" in headers else 200)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


def test_only_the_logs_of_the_named_data_set_are_fetched(tmp_path, logs):
    pytest.importorskip("huggingface_hub")
    folder = foreign_logs.write_lm_eval(tmp_path / "log", 1, AFTER)
    (folder / "model.safetensors").write_bytes(b"x" * 100)
    Hub.files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    environment = os.environ | {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "home"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    try:
        runs = [
            subprocess.run(
                [sys.executable, "-m", "consistency", "compare", str(logs["lm_eval"][0]), name, "--json", "-"],
                env=environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            for name in ("hub:org/details@v1", "hub:org/unknown@v1")
        ]
    finally:
        server.shutdown()
        server.server_close()
    assert runs[0].returncode == 0, runs[0].stderr
    found = json.loads(runs[0].stdout)
    assert found["after"]["path"] == f"hub:org/details@{Hub.commit}"
    assert found["overall"]["flips"]["harmful"] == HARMFUL
    assert not any("safetensors" in path for path in Hub.asked)
    assert runs[1].returncode == 2
    assert "Traceback" not in runs[1].stderr


def test_many_runs_and_several_a_side_may_be_of_several_programs(tmp_path: Path) -> None:
    before, after = answers(0), answers(1)
    logs = {
        "reference": foreign_logs.write_lm_eval(_made(tmp_path / "reference"), 0, before),
        "lm_eval": foreign_logs.write_lm_eval(_made(tmp_path / "lm_eval"), 1, after),
        "plain": foreign_logs.write_plain_answers(_made(tmp_path / "plain"), 1, after),
        "nemo": foreign_logs.write_nemo(_made(tmp_path / "nemo"), 1, after),
    }
    change = compare(logs["reference"], logs["lm_eval"]).by_task["towns"].estimates["delta_accuracy"].value
    reference, *runs = logs.items()
    many = compare_many(reference[1], dict(runs))
    assert [item.section.estimates["delta_accuracy"].value for item in many.overall.values()] == pytest.approx(
        [change] * 3
    )
    # A log without a date, which is named by its file, adds none.
    (read,) = (line for line in many.to_text().splitlines() if "model" in line and ", 20" in line)
    assert re.search(r", \d{4}-\d\d-\d\d( to \d{4}-\d\d-\d\d)?$", read)
    sides = compare_sides([reference[1]], [logs["lm_eval"], logs["plain"]])
    found = sides.by_task["towns"].section.estimates["delta_accuracy"]
    assert found.value == pytest.approx(change)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
