"""Reading real logs of lm_eval 0.4.0 and 0.4.12, logs of every odd kind, and damaged ones."""

import json
import random
import re
from pathlib import Path

import numpy as np
import pytest

from consistency.errors import InputError
from consistency.logs.runs import read_run

DATE = "2026-01-02T03-04-05.678901"


def row(doc_id: int, logprobs: list[float], target: object = 0, **more: object) -> dict:
    """One document as a recent lm_eval logs it: numbers as strings."""
    choices = [f"option {letter}" for letter in "ABCDEFGHIJ"[: len(logprobs)]]
    return {
        "doc_id": doc_id,
        "doc": {"question": f"Question {doc_id}?", "choices": choices},
        "target": str(target),
        "arguments": {f"gen_args_{i}": {"arg_0": "…", "arg_1": f" {c}"} for i, c in enumerate(choices)},
        "resps": [[[str(x), "False"]] for x in logprobs],
        "filtered_resps": [[str(x), "False"] for x in logprobs],
        "filter": "none",
        "metrics": ["acc"],
        "doc_hash": f"hash-{doc_id}",
        "prompt_hash": f"prompt-{doc_id}",
        "acc": float(np.argmax(logprobs) == target),
        **more,
    }


def write(folder: Path, rows: list[dict], task: str = "sums", date: str = DATE) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"samples_{task}_{date}.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return file


def only(run):
    (scores,) = run.tasks.values()
    return scores


@pytest.mark.parametrize(
    ("folder", "version", "shots"),
    [("qwen2.5-1.5b-instruct-0shot", "0.4.12", 0), ("qwen2.5-1.5b-instruct-5shot", "0.4.12", 5)],
)
def test_real_logs_of_0_4_12(test_data, folder, version, shots):
    run = read_run(test_data / "harness_logs" / folder)
    assert sorted(run.tasks) == ["mmlu_abstract_algebra", "mmlu_college_computer_science"]
    assert (run.config.lm_eval_version, run.config.num_fewshot["mmlu_abstract_algebra"]) == (version, shots)
    reported = json.loads(run.config.results.read_bytes())["results"]
    for name, scores in run.tasks.items():
        raw = [json.loads(line) for line in scores.source.open()]
        assert scores.correct.mean() == pytest.approx(reported[name]["acc,none"])
        assert scores.logprobs.tolist() == [[float(r[0]) for r in item["filtered_resps"]] for item in raw]
        assert scores.target.tolist() == [item["doc"]["answer"] for item in raw]
        assert list(scores.doc_hash) == [item["doc_hash"] for item in raw]
        assert [scores.option_texts(i) for i in range(100)] == [tuple(item["doc"]["choices"]) for item in raw]
        # The predicted option and the gold one give the accuracy that the harness logged.
        assert ((scores.prediction == scores.target) == (scores.correct == 1)).all()


def test_real_logs_of_0_4_0(test_data):
    run = read_run(test_data / "harness_logs" / "vicuna-33b-lm_eval-0.4.0")
    assert sorted(run.tasks) == ["mmlu_abstract_algebra", "mmlu_virology"]
    assert run.config.model_args == "pretrained=lmsys/vicuna-33b-v1.3"
    reported = json.loads(run.config.results.read_bytes())["results"]
    for name, scores in run.tasks.items():
        raw = json.loads(scores.source.read_bytes())
        assert scores.correct.mean() == pytest.approx(reported[name]["acc,none"])
        assert scores.logprobs.tolist() == [[r[0] for r in item["filtered_resps"]] for item in raw]
        assert scores.target.tolist() == [item["target"] for item in raw]
        assert set(scores.doc_hash) == {""}


def test_one_file_knows_its_run(test_data):
    file = next((test_data / "harness_logs").glob("*0shot/*/samples_mmlu_abstract*"))
    run = read_run(file)
    assert list(run.tasks) == ["mmlu_abstract_algebra"]
    assert run.config.lm_eval_version == "0.4.12"


def test_the_newest_run_is_read_unless_another_is_asked_for(tmp_path):
    write(tmp_path / "model", [row(0, [-1, -2])], date="2026-01-01T00-00-00.000001")
    write(tmp_path / "model", [row(0, [-2, -1])], date="2026-01-02T00-00-00.000001")
    newest = read_run(tmp_path)
    assert only(newest).logprobs.tolist() == [[-2, -1]]
    selection = newest.selection
    assert (selection.run, selection.others) == ("2026-01-02T00-00-00.000001", ("2026-01-01T00-00-00.000001",))
    assert (selection.asked, selection.is_file) == (False, False)
    assert selection.others[0] in selection.to_text()
    older = read_run(tmp_path, run="2026-01-01")
    assert only(older).logprobs.tolist() == [[-1, -2]]
    assert older.selection.asked
    assert only(read_run(tmp_path, run="2026-01-01T00:00")).logprobs.tolist() == [[-1, -2]]
    for wrong in ("2025", "2026-01"):
        with pytest.raises(InputError, match=r"2026-01-01T00-00-00\.000001, 2026-01-02T00-00-00\.000001"):
            read_run(tmp_path, run=wrong)


def test_rows_are_sorted_by_doc_id_and_repeated_ones_counted(tmp_path):
    file = write(tmp_path, [row(2, [-1, -2]), row(0, [-3, -4]), row(2, [-9, -9])])
    scores = only(read_run(file))
    assert scores.doc_id.tolist() == [0, 2]
    assert scores.logprobs.tolist() == [[-3, -4], [-1, -2]]
    assert scores.duplicates == 1
    assert len(scores.notes) == 1


def test_unequal_numbers_of_options_are_padded(tmp_path):
    scores = only(read_run(write(tmp_path, [row(0, [-1, -2, -3]), row(1, [-2, -1], 1)])))
    np.testing.assert_array_equal(scores.logprobs, [[-1, -2, -3], [-2, -1, np.nan]])
    assert scores.n_options.tolist() == [3, 2]
    assert scores.target.tolist() == [0, 1]
    np.testing.assert_allclose(scores.probs.sum(axis=1, where=~np.isnan(scores.probs)), 1)


def test_infinite_and_missing_numbers_as_strings_and_as_bare_json(tmp_path):
    as_strings = only(read_run(write(tmp_path / "a", [row(0, ["-inf", -1]), row(1, ["nan", -1])])))
    bare = [row(0, [-1, -1]), row(1, [-1, -1])]
    bare[0]["filtered_resps"] = [[float("-inf"), False], [-1.0, True]]
    bare[1]["filtered_resps"] = [[float("nan"), False], [-1.0, True]]
    as_numbers = only(read_run(write(tmp_path / "b", bare)))
    for scores in (as_strings, as_numbers):
        np.testing.assert_array_equal(scores.logprobs, [[-np.inf, -1], [np.nan, np.nan]])
        assert ["1 question " in note for note in scores.notes] == [True]


def test_repeated_doc_ids_are_counted_and_the_other_documents_that_they_drop(tmp_path):
    rows = [row(0, [-1, -2]), row(1, [-1, -2]), row(0, [-1, -2]), row(1, [-1, -2]) | {"doc": {"question": "Other?"}}]
    scores = only(read_run(write(tmp_path, rows)))
    assert scores.duplicates == 2
    assert [re.findall(r"\d+", note) for note in scores.notes] == [["2", "1"]]
    assert [json.loads(d)["question"] for d in scores.documents] == ["Question 0?", "Question 1?"]


def test_rows_in_any_order_keep_their_own_columns(tmp_path):
    """Also where the last row of the file is the last document."""
    rows = [row(i, [-1 - i, -2 * i], i % 2) for i in (2, 0, 1, 3)]
    scores = only(read_run(write(tmp_path, rows)))
    assert scores.doc_id.tolist() == [0, 1, 2, 3]
    assert scores.doc_hash == ("hash-0", "hash-1", "hash-2", "hash-3")
    assert scores.target.tolist() == [0, 1, 0, 1]
    assert [json.loads(d)["question"] for d in scores.documents] == [f"Question {i}?" for i in range(4)]
    assert scores.logprobs[:, 0].tolist() == [-1, -2, -3, -4]


def test_options_have_the_order_of_their_numbers_whatever_the_order_in_the_file(tmp_path):
    item = row(0, list(range(-12, 0)), 11, doc={"question": "?"})
    item["arguments"] = {f"gen_args_{i}": {"arg_0": "…", "arg_1": f" {i + 1:02}"} for i in range(12)}
    item["arguments"] = {name: item["arguments"][name] for name in sorted(item["arguments"])}
    assert list(item["arguments"])[2] == "gen_args_10"
    assert only(read_run(write(tmp_path, [item]))).option_texts(0) == tuple(f"{i + 1:02}" for i in range(12))


def test_as_many_scores_as_options_or_the_line_is_named(tmp_path):
    rows = [row(0, [-1, -2, -3]), row(1, [-1, -2, -3])]
    rows[1]["filtered_resps"].pop()
    with pytest.raises(InputError, match=r"3 options.* 2 ") as error:
        read_run(write(tmp_path, rows))
    assert error.value.line == 2


@pytest.mark.parametrize("broken", [None, [["x", "False"], ["-2", "False"]], ["a", "b"], [[10**400, False]] * 2])
def test_a_first_row_without_log_probabilities_is_not_taken_for_a_task_without_options(tmp_path, broken):
    rows = [row(0, [-1, -2]) | {"filtered_resps": broken, "resps": None}, row(1, [-1, -2])]
    with pytest.raises(InputError, match="log-prob") as error:
        read_run(write(tmp_path, rows))
    assert error.value.line == 1


def test_a_document_that_is_not_utf8_is_named_by_its_line(tmp_path):
    file = write(tmp_path, [row(0, [-1, -2]), row(1, [-1, -2]) | {"doc": {"question": "é?", "choices": ["a", "b"]}}])
    content = file.read_bytes()
    assert content.count("é".encode()) == 1
    file.write_bytes(content.replace("é".encode(), b"\xff"))
    with pytest.raises(InputError, match="UTF-8") as error:
        read_run(file)
    assert error.value.line == 2


@pytest.mark.parametrize("third", [-1, float("nan")])
def test_an_error_in_an_array_has_its_own_line(tmp_path, third):
    """As lm_eval 0.4.0 writes it, over many lines; NaN needs another parser."""
    rows = [row(i, [-1, third if i == 1 else -2]) for i in range(4)]
    for item in rows:
        item["filtered_resps"] = [[float(x), False] for x, _ in item["filtered_resps"]]
    rows[3]["doc_id"] = "third"
    text = json.dumps(rows, indent=2)
    file = tmp_path / f"samples_sums_{DATE}.jsonl"
    file.write_text(text)
    place = text[: text.index('"third"')].rindex("\n  {") + 1
    with pytest.raises(InputError, match="doc_id") as error:
        read_run(file)
    assert error.value.line == text.count("\n", 0, place) + 1


def test_lines_of_documents(tmp_path, test_data):
    scores = only(read_run(write(tmp_path, [row(3, [-1, -2]), row(1, [-1, -2])])))
    assert [(int(scores.doc_id[i]), scores.line(i)) for i in range(2)] == [(1, 2), (3, 1)]
    for scores in read_run(test_data / "harness_logs" / "vicuna-33b-lm_eval-0.4.0").tasks.values():
        lines = scores.source.read_text().splitlines()
        for i in (0, 7):
            assert lines[scores.line(i) - 1].strip().startswith('"doc": {')
            assert lines[scores.line(i) - 2].strip() == f'"doc_id": {i},'


def test_absurd_settings_in_a_results_file_are_not_settings(tmp_path):
    write(tmp_path, [row(0, [-1, -2])])
    settings = {"n-shot": {"sums": [0]}, "versions": {"sums": {}}, "model_name": "\ud800x"}
    text = json.dumps(settings)[:-1] + ', "config": {"limit": 1' + "0" * 400 + "}}"
    (tmp_path / f"results_{DATE}.json").write_text(text)
    config = read_run(tmp_path).config
    assert (config.limit, config.num_fewshot, config.versions, config.model_name) == (None, {}, {}, "?x")


@pytest.mark.parametrize("delimiter", [" ", "", "\n\n", "  "])
def test_lengths_leave_the_delimiter_out_whatever_it_is(tmp_path, delimiter):
    """The harness divides by the option's own length; its acc_norm is computed here by that rule."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(200):
        texts = ["x" * int(n) for n in rng.integers(1, 9, 3)]
        logprobs = (-rng.exponential(4, 3)).tolist()
        best = int(np.argmax([lp / len(t) for lp, t in zip(logprobs, texts, strict=True)]))
        item = row(i, logprobs, 0, metrics=["acc", "acc_norm"], acc_norm=float(best == 0))
        item["arguments"] = {f"gen_args_{j}": {"arg_0": "…", "arg_1": delimiter + t} for j, t in enumerate(texts)}
        item["doc"]["choices"] = texts
        rows.append(item)
    scores = only(read_run(write(tmp_path, rows))).scored_by("acc_norm")
    assert (scores.prediction == 0).tolist() == [item["acc_norm"] == 1 for item in rows]
    assert not scores.notes


def test_targets_as_index_text_and_list(tmp_path):
    rows = [
        row(0, [-1, -2, -3], 1),
        row(1, [-1, -2, -3]) | {"target": "option C"},
        row(2, [-1, -2, -3]) | {"target": "[0, 2]"},
        row(3, [-1, -2, -3]) | {"target": "no option"} | {"acc": 0.0},
        row(4, [-1, -2, -3]) | {"target": "no option"} | {"acc": 1.0},
    ]
    rows[1]["acc"] = 0.0
    scores = only(read_run(write(tmp_path, rows)))
    assert scores.gold.astype(int).tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert scores.target.tolist() == [1, 2, 0, -1, 0]
    inferred, unknown = scores.notes
    assert ("1 question " in inferred, "acc" in inferred, "1 question " in unknown) == (True, True, True)


def test_a_target_that_is_both_an_index_and_an_option_is_read_as_the_harness_scored_it(tmp_path):
    rows = []
    for i in range(6):
        best = i % 3
        item = row(i, [-1 if o == best else -2 for o in range(3)])
        item["arguments"] = {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {text}"} for o, text in enumerate("201")}
        item["doc"]["choices"] = list("201")
        # The target is the text "1", which is the third option, and not the option with index 1.
        rows.append(item | {"target": "1", "acc": float(best == 2)})
    assert only(read_run(write(tmp_path, rows))).target.tolist() == [2] * 6


def test_several_filters_are_several_scores(tmp_path):
    rows = [
        row(0, [-1, -2], filter=name, metrics=["exact_match"], exact_match=value, filtered_resps=["4"], resps=[["4"]])
        for name, value in (("strict", 0.0), ("flexible", 1.0))
    ]
    run = read_run(write(tmp_path, rows, "gsm8k"))
    assert sorted(run.tasks) == ["gsm8k,flexible", "gsm8k,strict"]
    scores = run.tasks["gsm8k,flexible"]
    assert not scores.has_options
    assert scores.correct.tolist() == [1.0]


def test_normalised_scores_are_those_of_the_harness(tmp_path):
    item = row(
        0, [-2.0, -2.5, -1.0, -1.5], metrics=["acc", "acc_norm", "acc_mutual_info"], acc_norm=1.0, acc_mutual_info=0.0
    )
    texts = ["é", "long option"]
    item["doc"]["choices"] = texts
    item["arguments"] = {f"gen_args_{i}": {"arg_0": "…", "arg_1": f" {t}"} for i, t in enumerate(texts * 2)}
    scores = only(read_run(write(tmp_path, [item])))
    assert scores.logprobs.tolist() == [[-2.0, -2.5]]
    np.testing.assert_allclose(scores.scored_by("acc_norm").logprobs, [[-2.0, -2.5 / 11]])
    np.testing.assert_allclose(scores.scored_by("acc_bytes").logprobs, [[-1.0, -2.5 / 11]])
    np.testing.assert_allclose(scores.scored_by("acc_mutual_info").logprobs, [[-1.0, -1.0]])
    assert scores.scored_by("acc_norm").correct.tolist() == [1.0]
    with pytest.raises(InputError, match="loudest"):
        scores.scored_by("loudest")


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"", None, "empty"),
        (b"\n  \n", None, "empty"),
        (b'{"a": 1}\n', 1, "doc_id"),
        (b"[]", None, "no document"),
        (b"[1, 2]", 1, "doc_id"),
        (
            b"%s\n%s" % (json.dumps(row(0, [-1, -2])).encode(), b'{"doc_id": 1, "doc": {"que'),
            2,
            "not JSON",
        ),
        (b"%s\n\xff\xfe\n" % json.dumps(row(0, [-1, -2])).encode(), 2, "not UTF-8"),
        (b"[{]", 1, "not JSON"),
    ],
)
def test_a_file_that_is_not_a_log_is_refused_with_its_place(tmp_path, content, line, problem):
    file = tmp_path / f"samples_t_{DATE}.jsonl"
    file.write_bytes(content)
    with pytest.raises(InputError, match=problem) as error:
        read_run(file)
    assert (error.value.path, error.value.line) == (file, line)


@pytest.mark.parametrize(
    ("layout", "line"), [("lines", 3), ("array in one line", 1), ("indented array", None)], ids=lambda value: str(value)
)
def test_a_wrong_type_is_refused_with_its_line(tmp_path, layout, line):
    rows = [row(i, [-1, -2]) for i in range(3)]
    rows[2]["doc_id"] = "third"
    file = tmp_path / f"samples_t_{DATE}.jsonl"
    if layout == "lines":
        text = "\n".join(map(json.dumps, rows))
    else:
        text = json.dumps(rows, indent=None if line else 2)
        # The line on which the element at fault begins, above that of its doc_id.
        line = line or text[: text.index('"third"')].count("\n")
    file.write_text(text)
    with pytest.raises(InputError, match=r"`str`.*`doc_id`") as error:
        read_run(file)
    assert error.value.line == line


def test_lines_longer_than_the_buffer(tmp_path):
    rows = [
        row(i, [-1, -2 - i], doc={"question": "long " * 200_000 * (i % 2), "choices": ["a", "b"]}) for i in range(4)
    ]
    scores = only(read_run(write(tmp_path, rows)))
    assert scores.logprobs[:, 1].tolist() == [-2, -3, -4, -5]
    assert [json.loads(d) for d in scores.documents] == [r["doc"] for r in rows]


def test_folders_without_logs_are_refused(tmp_path):
    with pytest.raises(InputError) as error:
        read_run(tmp_path / "nowhere")
    assert error.value.path == tmp_path / "nowhere"
    with pytest.raises(InputError, match="--log_samples"):
        read_run(tmp_path)
    write(tmp_path / "one", [row(0, [-1, -2])])
    write(tmp_path / "two", [row(0, [-1, -2])])
    with pytest.raises(InputError, match=r"one.*two"):
        read_run(tmp_path)


def test_a_damaged_results_file_is_named(tmp_path):
    write(tmp_path, [row(0, [-1, -2])])
    results = tmp_path / f"results_{DATE}.json"
    results.write_text('{"config": {\n"model": ')
    with pytest.raises(InputError) as error:
        read_run(tmp_path)
    assert (error.value.path, error.value.line) == (results, 2)


def test_damaged_logs_are_read_or_refused_but_never_crash(tmp_path):
    rng = random.Random(0)
    rows = [row(i, [rng.uniform(-9, 0) for _ in range(4)], i % 4) for i in range(6)]
    lines = write(tmp_path, rows).read_bytes()
    array = json.dumps(rows, indent=2).encode()
    file = tmp_path / f"samples_t_{DATE}.jsonl"
    outcomes = {True: 0, False: 0}
    values = [None, True, float("nan"), 10**30, -1, "x", [], {}, [[1]], "\ud800"]
    for _ in range(1500):
        damaged = bytearray(rng.choice([lines, array]))
        kind = rng.randrange(4)
        if kind == 0:
            for _ in range(rng.randint(1, 5)):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        elif kind == 1:
            damaged = damaged[: rng.randrange(len(damaged))]
        elif kind == 2:
            changed = json.loads(json.dumps(rows))
            changed[rng.randrange(6)][rng.choice(list(rows[0]))] = rng.choice(values)
            damaged = bytearray("\n".join(map(json.dumps, changed)).encode())
        else:
            mixed = rows[:3] + [r | {"filtered_resps": [[-1.0, False]] * 4, "target": 1} for r in rows[3:]]
            rng.shuffle(mixed)
            damaged = bytearray("\n".join(map(json.dumps, mixed)).encode())
        file.write_bytes(damaged)
        refusal = ""
        try:
            assert all(len(scores) for scores in read_run(file).tasks.values())
        except InputError as error:
            refusal = str(error)
        assert not refusal or str(file) in refusal
        outcomes[not refusal] += 1
    assert min(outcomes.values()) > 300


def test_letters_are_read_from_each_row_although_only_the_first_is_decoded_whole(tmp_path):
    """Most tasks score the same letters throughout, which is read faster; a row that does not is still read rightly."""
    rows = [row(i, [-1, -2, -3], i % 3) for i in range(4)]
    for item in rows:
        item["arguments"] = {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {c}"} for o, c in enumerate("ABC")}
    assert only(read_run(write(tmp_path / "same", rows))).continuations == ((" A", " B", " C"),) * 4
    odd = {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {c}"} for o, c in enumerate("PQR")}
    more = row(5, [-4, -3, -2, -1], 3)
    more["arguments"] = {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {c}"} for o, c in enumerate("ABCD")}
    scores = only(read_run(write(tmp_path / "odd", [*rows[:3], rows[3] | {"arguments": odd}, more])))
    assert scores.continuations[2:] == ((" A", " B", " C"), (" P", " Q", " R"), (" A", " B", " C", " D"))
    assert scores.target.tolist() == [0, 1, 2, 0, 3]


def test_rows_of_fewer_letters_and_of_another_filter_than_the_first_keep_their_own(tmp_path):
    def lettered(doc_id: int, logprobs: list[float], target: object, **more: object) -> dict:
        texts = {f"gen_args_{o}": {"arg_0": "…", "arg_1": f" {'ABC'[o]}"} for o in range(len(logprobs))}
        return row(doc_id, logprobs, target, arguments=texts, **more)

    fewer = only(read_run(write(tmp_path / "fewer", [lettered(0, [-1, -2, -3], 0), lettered(1, [-2, -1], 1)])))
    assert fewer.continuations == ((" A", " B", " C"), (" A", " B"))
    assert fewer.n_options.tolist() == [3, 2]
    np.testing.assert_array_equal(fewer.logprobs, [[-1, -2, -3], [-2, -1, np.nan]])

    first = [lettered(i, [-1, -2], i, filter="first") for i in range(2)]
    second = lettered(0, [-3, -4], 0, filter="second")
    unnamed = lettered(1, [-4, -3], 1)
    del unnamed["filter"]
    run = read_run(write(tmp_path / "filters", [*first, second, unnamed]))
    assert {name: scores.logprobs.tolist() for name, scores in run.tasks.items()} == {
        "sums,first": [[-1, -2], [-1, -2]],
        "sums,second": [[-3, -4]],
        "sums,none": [[-4, -3]],
    }


def test_targets_that_are_equal_in_python_and_differ_in_a_log(tmp_path):
    """True is not an index, 1.0 and "1" are; lists are compared by what they hold."""
    targets = [1, True, 1.0, "1", [1], [0], "[0, 1]"]
    rows = [row(i, [-1, -2], 0) | {"target": target} for i, target in enumerate(targets)]
    for item in rows:
        del item["acc"]
    scores = only(read_run(write(tmp_path, rows)))
    assert scores.gold.astype(int).tolist() == [[0, 1], [0, 0], [0, 1], [0, 1], [0, 1], [1, 0], [1, 1]]


@pytest.mark.parametrize("in_an_array", [False, True])
def test_a_metric_whose_name_is_half_a_surrogate_pair_gets_a_name_in_utf8(tmp_path, in_an_array):
    rows = [row(i, [-1, -2], i) | {"\ud800": 0.5, "metrics": ["acc", "\ud800", "\udfff b"]} for i in range(2)]
    file = tmp_path / f"samples_sums_{DATE}.jsonl"
    file.write_text(json.dumps(rows, indent=2) if in_an_array else "\n".join(map(json.dumps, rows)))
    scores = only(read_run(file))
    assert scores.metrics["?"].tolist() == [0.5, 0.5]
    assert list(scores.unread) == ["? b"]


def test_a_letter_that_is_half_a_surrogate_pair_is_read(tmp_path):
    rows = [row(i, [-1, -2], i % 2) for i in range(2)]
    for item in rows:
        item["arguments"] = {f"gen_args_{o}": {"arg_0": "…", "arg_1": c} for o, c in enumerate(("\ud800", "B"))}
    file = tmp_path / f"samples_sums_{DATE}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    scores = only(read_run(file))
    assert scores.continuations == (("?", "B"),) * 2
    assert scores.target.tolist() == [0, 1]
