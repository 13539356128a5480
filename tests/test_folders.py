"""What users hand in: folders of several runs or models, results files, compressed logs, archives, broken and foreign files."""

import gzip
import json
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from consistency import compare
from consistency.errors import InputError
from consistency.logs import packed
from consistency.logs.runs import read_run
from consistency.report.pair.report import write_comparison

MONDAY, TUESDAY, FRIDAY = (f"2026-01-0{day}T00-00-00.000001" for day in (5, 6, 9))
ZERO = "qwen2.5-1.5b-instruct-0shot"
FIVE = "qwen2.5-1.5b-instruct-5shot"


def samples(folder: Path, task: str, date: str, right: str = "1") -> Path:
    """A samples file: a character a question, 1 where its answer is right."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"samples_{task}_{date}.jsonl"
    rows = [
        {
            "doc_id": number,
            "doc": {"question": f"{task} {number}?", "choices": ["yes", "no"]},
            "target": "0",
            "arguments": {f"gen_args_{i}": {"arg_0": "…", "arg_1": f" {text}"} for i, text in enumerate(("yes", "no"))},
            "filtered_resps": [["-1.0" if hit == "1" else "-3.0", "False"], ["-2.0", "False"]],
            "filter": "none",
            "metrics": ["acc"],
            "doc_hash": f"{task}-{number}",
            "acc": float(hit),
        }
        for number, hit in enumerate(right)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(folder: Path, date: str, tasks: dict[str, int], **other: Any) -> Path:
    """A results file: the shots of each task, and what differs from the usual run."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"results_{date}.json"
    content = {
        "results": {task: {"acc,none": shots / 10} for task, shots in tasks.items()},
        "group_subtasks": {},
        "configs": {task: {"num_fewshot": shots} for task, shots in tasks.items()},
        "versions": dict.fromkeys(tasks, shots_version(tasks)),
        "n-shot": tasks,
        "higher_is_better": {task: {"acc": True} for task in tasks},
        "n-samples": {task: {"original": 10 + shots, "effective": 1} for task, shots in tasks.items()},
        "config": {"model": "hf", "model_args": "pretrained=org/one,dtype=float32", "limit": None},
        "lm_eval_version": "0.4.12",
        "model_name": "org/one",
        "chat_template": None,
        "system_instruction": None,
        "task_hashes": {task: f"{task}-{date}" for task in tasks},
        **other,
    }
    path.write_text(json.dumps(content))
    return path


def shots_version(tasks: dict[str, int]) -> float:
    return float(max(tasks.values()))


def run(folder: Path, date: str, tasks: dict[str, int], right: str = "1", **other: Any) -> None:
    results(folder, date, tasks, **other)
    for task in tasks:
        samples(folder, task, date, right)


def hits(path: Path, **how: Any) -> dict[str, str]:
    return {
        name: "".join(f"{x:.0f}" for x in scores.correct)
        for name, scores in sorted(read_run(path, **how).tasks.items())
    }


# Several runs in one folder


def test_tasks_evaluated_one_after_another_are_read_together(tmp_path):
    run(tmp_path / "m", MONDAY, {"a": 0, "b": 0}, "11")
    run(tmp_path / "m", TUESDAY, {"b": 5}, "10")
    run(tmp_path / "m", FRIDAY, {"c": 2}, "00")
    assert hits(tmp_path) == {"a": "11", "b": "10", "c": "00"}
    read = read_run(tmp_path)
    assert dict(read.selection.parts) == {FRIDAY: ("c",), TUESDAY: ("b",), MONDAY: ("a",)}
    assert (read.selection.run, read.selection.others, read.selection.total) == (FRIDAY, (), 3)
    assert all(date in read.selection.to_text() for date in (MONDAY, TUESDAY, FRIDAY))
    config = read.config
    assert config.date == FRIDAY
    assert config.num_fewshot == {"a": 0, "b": 5, "c": 2}
    assert config.versions == {"a": 0, "b": 5, "c": 2}
    assert config.documents == {"a": 10, "b": 15, "c": 12}
    assert {task: found["acc,none"] for task, found in config.content["results"].items()} == {
        "a": 0,
        "b": 0.5,
        "c": 0.2,
    }
    assert config.content["task_hashes"] == {"a": f"a-{MONDAY}", "b": f"b-{TUESDAY}", "c": f"c-{FRIDAY}"}
    assert {task: found["num_fewshot"] for task, found in config.content["configs"].items()} == {"a": 0, "b": 5, "c": 2}
    # A date still means exactly that run.
    assert hits(tmp_path, run="2026-01-05") == {"a": "11", "b": "11"}
    assert read_run(tmp_path, run="2026-01-05").config.num_fewshot == {"a": 0, "b": 0}


def test_tasks_of_the_results_without_samples_are_named_and_groups_are_none(tmp_path):
    for when in ("before", "after"):
        run(tmp_path / when, MONDAY, {"a": 0, "b": 0})
        path = results(tmp_path / when, MONDAY, dict.fromkeys("abcd", 0), group_subtasks={"all": ["a", "b", "c"]})
        content = json.loads(path.read_text())
        content["results"]["all"] = {"acc,none": 0.5}
        path.write_text(json.dumps(content))
    assert read_run(tmp_path / "before").selection.without_samples == ("c", "d")
    notes = compare(tmp_path / "before", tmp_path / "after").notes
    assert sum(note.endswith(": c, d") for note in notes) == 2


def test_a_run_whose_every_task_was_repeated_is_named_only(tmp_path):
    run(tmp_path, MONDAY, {"a": 0})
    run(tmp_path, TUESDAY, {"a": 5}, "0")
    selection = read_run(tmp_path).selection
    assert hits(tmp_path) == {"a": "0"}
    assert (selection.run, selection.others, dict(selection.parts)) == (TUESDAY, (MONDAY,), {})
    assert dict(selection.held) == {MONDAY: ("a",)}


@pytest.mark.parametrize(
    ("changed", "setting"),
    [
        ({"chat_template": "{{ messages }}"}, "chat template"),
        ({"system_instruction": "Be brief."}, "system instruction"),
        ({"lm_eval_version": "0.4.5"}, "lm_eval version"),
        ({"config": {"model": "hf", "model_args": "pretrained=org/one,dtype=bfloat16"}}, "model_args"),
        ({"config": {"model": "vllm", "model_args": "pretrained=org/one,dtype=float32"}}, "model"),
        ({"config": {"model": "hf", "limit": 10}}, "limit"),
    ],
)
def test_runs_with_other_settings_are_not_mixed(tmp_path, changed, setting):
    run(tmp_path, MONDAY, {"a": 0})
    run(tmp_path, TUESDAY, {"b": 0}, **changed)
    run(tmp_path, FRIDAY, {"c": 0})
    read = read_run(tmp_path)
    assert sorted(read.tasks) == ["a", "c"]
    assert (read.selection.others, dict(read.selection.differing)) == ((TUESDAY,), {TUESDAY: (setting,)})
    assert TUESDAY in read.selection.to_text()


def test_settings_are_compared_whatever_form_they_are_logged_in(tmp_path):
    run(tmp_path, MONDAY, {"a": 0}, chat_template="")
    run(
        tmp_path, TUESDAY, {"b": 0}, config={"model_args": {"dtype": "float32", "pretrained": "org/one"}, "limit": None}
    )
    assert sorted(read_run(tmp_path).tasks) == ["a", "b"]


def test_a_groups_result_is_kept_only_if_one_run_has_all_of_its_tasks(tmp_path):
    both = {"results": {name: {"acc,none": 0.25} for name in ("g", "h", "a", "b", "c", "d")}}
    both["groups"] = {name: {"acc,none": 0.25} for name in ("g", "h")}
    members = {"g": ["a", "b"], "h": ["c", "d"], "a": [], "b": [], "c": [], "d": []}
    run(tmp_path, MONDAY, dict.fromkeys("abcd", 0), **both, group_subtasks=members)
    run(tmp_path, TUESDAY, {"b": 0, "e": 0})
    config = read_run(tmp_path).config
    assert sorted(config.content["groups"]) == ["h"]
    assert sorted(config.content["results"]) == ["a", "b", "c", "d", "e", "h"]
    assert config.content["results"]["b"] == {"acc,none": 0}
    assert config.groups["g"] == ["a", "b"]


def test_a_damaged_results_file_of_an_older_run_leaves_that_run_out(tmp_path):
    run(tmp_path, MONDAY, {"a": 0})
    broken = results(tmp_path, MONDAY, {"a": 0})
    broken.write_text("{\n")
    run(tmp_path, TUESDAY, {"b": 0})
    read = read_run(tmp_path)
    assert sorted(read.tasks) == ["b"]
    assert [item.path for item in read.selection.left_out] == [broken]
    assert read.selection.others == (MONDAY,)


def test_files_without_a_date_are_not_mixed_with_dated_ones(tmp_path):
    run(tmp_path, MONDAY, {"a": 0})
    samples(tmp_path, "b", TUESDAY).rename(tmp_path / "copy.jsonl")
    read = read_run(tmp_path)
    assert (sorted(read.tasks), read.selection.total) == (["a"], 2)


def test_real_runs_in_one_folder_are_read_together(test_data, tmp_path):
    for name in (ZERO, FIVE):
        for file in (test_data / "harness_logs" / name).rglob("*.json*"):
            shutil.copy(file, tmp_path)
    algebra, science = "mmlu_abstract_algebra", "mmlu_college_computer_science"
    assert read_run(tmp_path).config.num_fewshot[algebra] == 5
    (newest,) = tmp_path.glob(f"samples_{algebra}_2026-07-13T18-57*")
    newest.unlink()
    read = read_run(tmp_path)
    # As the harness printed them: without shots of algebra, with five of computer science.
    assert {name: round(float(scores.correct.mean()), 2) for name, scores in read.tasks.items()} == {
        algebra: 0.26,
        science: 0.49,
    }
    assert {name: read.config.num_fewshot[name] for name in (algebra, science)} == {algebra: 0, science: 5}
    assert {name: read.config.content["results"][name]["acc,none"] for name in (algebra, science)} == {
        algebra: 0.26,
        science: 0.49,
    }


# Several models


def test_a_folder_of_several_models_asks_which(tmp_path, call):
    run(tmp_path / "org__one", MONDAY, {"a": 0})
    run(tmp_path / "org__two", TUESDAY, {"a": 0}, "0", model_name="org/two")
    with pytest.raises(InputError, match=r"org__one.*org__two"):
        read_run(tmp_path)
    assert hits(tmp_path, run=TUESDAY) == {"a": "0"}
    code, _, error = call("compare", tmp_path, tmp_path)
    assert (code, error.count("\n")) == (2, 1)
    assert "2 models" in error
    code, out, _ = call("compare", tmp_path / "org__one", tmp_path / "org__two")
    assert code == 0
    assert "accuracy" in out.lower()
    code, out, _ = call("compare", tmp_path, tmp_path, "--run", MONDAY, "--run", TUESDAY)
    assert code == 0


def test_one_folder_with_two_models_names_asks_which(tmp_path):
    run(tmp_path, MONDAY, {"a": 0})
    run(tmp_path, TUESDAY, {"b": 0}, model_name="org/two")
    with pytest.raises(InputError, match=r"org/two.*2026-01-06.*org/one.*2026-01-05"):
        read_run(tmp_path)
    assert hits(tmp_path, run="2026-01-05") == {"a": "1"}


def test_tasks_of_one_model_in_folders_of_their_own_are_read_together(tmp_path):
    run(tmp_path / "arc" / "org__one", MONDAY, {"a": 0})
    run(tmp_path / "mmlu" / "org__one", TUESDAY, {"b": 0})
    assert hits(tmp_path) == {"a": "1", "b": "1"}
    # But not if one task is in both: then one may be before and the other after a training.
    run(tmp_path / "mmlu" / "org__one", FRIDAY, {"a": 0})
    with pytest.raises(InputError, match=r"arc.*mmlu"):
        read_run(tmp_path)


# Broken and foreign files


def damaged(folder: Path) -> Path:
    run(folder, MONDAY, {"a": 0, "b": 0, "c": 0}, "11")
    samples(folder, "b", MONDAY).write_text("")
    third = folder / f"samples_c_{MONDAY}.jsonl"
    third.write_text(third.read_text()[:-20])
    return folder


def test_a_broken_samples_file_is_named_and_the_rest_compared(tmp_path, call):
    run(tmp_path / "whole", MONDAY, {"a": 0, "b": 0, "c": 0}, "10")
    broken = damaged(tmp_path / "broken")
    found = compare(tmp_path / "whole", broken)
    assert list(found.by_task) == ["a"]
    assert found.by_task["a"].n == 2
    left_out = found.selection[1].left_out
    assert [(item.path.name, item.line) for item in left_out] == [
        (f"samples_b_{MONDAY}.jsonl", None),
        (f"samples_c_{MONDAY}.jsonl", 2),
    ]
    assert sum("samples_b_" in note or "samples_c_" in note for note in found.notes) == 2
    code, out, _ = call("compare", tmp_path / "whole", broken)
    assert code == 0
    assert f"after: left out: samples_c_{MONDAY}.jsonl:2" in out
    # Who reads one log, for its every task, gets the error.
    with pytest.raises(InputError, match="samples_b_"):
        read_run(broken)


def test_a_broken_file_is_not_said_to_be_read(tmp_path):
    run(tmp_path, MONDAY, {"a": 0})
    run(tmp_path, TUESDAY, {"b": 0, "c": 0})
    run(tmp_path, FRIDAY, {"d": 0})
    for task, date in (("b", TUESDAY), ("d", FRIDAY)):
        samples(tmp_path, task, date).write_text("{")
    selection = compare(tmp_path, tmp_path).selection[0]
    assert (selection.run, dict(selection.parts)) == (TUESDAY, {TUESDAY: ("c",), MONDAY: ("a",)})
    assert FRIDAY not in selection.to_text()
    assert [item.path.name for item in selection.left_out] == [
        f"samples_b_{TUESDAY}.jsonl",
        f"samples_d_{FRIDAY}.jsonl",
    ]


def test_a_broken_samples_file_alone_is_an_error(tmp_path, call):
    run(tmp_path / "whole", MONDAY, {"a": 0})
    samples(tmp_path / "broken", "a", MONDAY).write_text("")
    code, _, error = call("compare", tmp_path / "whole", tmp_path / "broken")
    assert code == 2
    assert f"samples_a_{MONDAY}.jsonl" in error


def test_json_lines_of_other_programs_are_passed_over_and_named(tmp_path):
    run(tmp_path, MONDAY, {"a": 0})
    (tmp_path / "diagnostics_a.jsonl").write_text('{"event": "start", "memory": 1}\n')
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "corpus.jsonl").write_text('{"doc_id": 1, "text": "A corpus."}\n')
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "train.jsonl").write_text('{"conversations": []}\n')
    (tmp_path / ".ipynb_checkpoints").mkdir()
    shutil.copy(next(tmp_path.glob("samples*")), tmp_path / ".ipynb_checkpoints" / "samples_a-checkpoint.jsonl")
    (tmp_path / "._samples_a.jsonl").write_bytes(b"\0\5\x16\7")
    unopened = tmp_path / "away.jsonl"
    unopened.symlink_to(tmp_path / "nowhere.jsonl")
    found = compare(tmp_path, tmp_path)
    names = ["corpus.jsonl", "train.jsonl", "diagnostics_a.jsonl", "empty.jsonl"]
    assert sorted(item.path.name for item in found.selection[0].left_out if item.path != unopened) == sorted(names)
    assert all(any(name in note for note in found.notes) for name in names)
    # A file whose name says that it is of the harness, and whose content is not.
    (tmp_path / f"samples_a_diagnostics_{MONDAY}.jsonl").write_text('{"event": "start"}\n')
    assert list(compare(tmp_path, tmp_path).by_task) == ["a"]


def test_only_foreign_files_are_an_error_that_names_one(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"conversations": []}\n')
    with pytest.raises(InputError, match=r"train\.jsonl"):
        read_run(tmp_path)


def test_no_task_in_common_names_the_older_run_that_holds_it(tmp_path, call):
    run(tmp_path / "before", MONDAY, {"a": 0})
    run(tmp_path / "after", TUESDAY, {"a": 0}, chat_template="{{ messages }}")
    run(tmp_path / "after", FRIDAY, {"b": 0})
    code, _, error = call("compare", tmp_path / "before", tmp_path / "after")
    assert code == 2
    assert "no task in common" in error
    assert f"a of the run {TUESDAY}" in error
    assert MONDAY not in error
    code, _, _ = call("compare", tmp_path / "before", tmp_path / "after", "--run", TUESDAY)
    assert code == 0


# Results files, and logs of lm_eval 0.3


def test_a_results_file_stands_for_the_samples_beside_it(tmp_path):
    run(tmp_path, MONDAY, {"a": 0}, "10")
    run(tmp_path, TUESDAY, {"a": 0, "b": 0}, "01")
    read = read_run(tmp_path / f"results_{MONDAY}.json")
    assert (sorted(read.tasks), read.config.date) == (["a"], MONDAY)
    assert read.tasks["a"].correct.tolist() == [1, 0]
    with pytest.raises(InputError):
        read_run(tmp_path / f"results_{MONDAY}.json", run=TUESDAY)
    alone = results(tmp_path / "alone", MONDAY, {"a": 0})
    with pytest.raises(InputError, match="--log_samples"):
        read_run(alone)
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match=r"other\.json"):
        read_run(tmp_path / "other.json")


def test_a_results_file_of_0_4_0_stands_for_the_samples_beside_it(test_data, tmp_path):
    vicuna = test_data / "harness_logs" / "vicuna-33b-lm_eval-0.4.0"
    folder = shutil.copytree(vicuna, tmp_path / "log")
    (folder / "notes.jsonl").write_text('{"a": 1}\n')
    read = read_run(folder / "results.json")
    assert {name: len(scores) for name, scores in read.tasks.items()} == {
        name: len(scores) for name, scores in read_run(vicuna).tasks.items()
    }
    assert read.config == read_run(folder).config
    for file in folder.glob("*.jsonl"):
        file.unlink()
    with pytest.raises(InputError, match="--log_samples"):
        read_run(folder / "results.json")


def test_real_results_files_pair_as_their_folders_do(test_data):
    logs = test_data / "harness_logs"
    found = compare(*(next((logs / name).rglob("results_*.json")) for name in (ZERO, FIVE)))
    # The published numbers of these two logs.
    assert (found.overall.n, found.overall.flips["harmful"], found.overall.flips["beneficial"]) == (200, 19, 30)


def test_write_out_files_of_0_3_are_refused(tmp_path, call):
    rows = [{"doc_id": 0, "prompt_0": "1+1?", "logit_0": -1.0, "truth": "2", "acc": "1.0"}]
    file = tmp_path / "sums_write_out_info.json"
    file.write_text(json.dumps(rows, indent=4))
    other = Path(shutil.copy(file, tmp_path / "renamed.json"))
    for named in (file, other, tmp_path):
        code, _, error = call("compare", named, named)
        assert (code, error.count("\n")) == (2, 1)
        assert "0.3" in error
        assert "--log_samples" in error


# Compressed files and archives


def packed_log(folder: Path, ending: str) -> None:
    for file in folder.rglob("*.jsonl"):
        content = file.read_bytes()
        half = len(content) // 2
        # Two streams one after another, as programs that compress in parallel write them.
        parts = [
            gzip.compress(part) if ending == ".gz" else pa.compress(part, codec="zstd", asbytes=True)
            for part in (content[:half], content[half:])
        ]
        file.with_name(file.name + ending).write_bytes(b"".join(parts))
        file.unlink()


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_compressed_logs_are_read_as_plain_ones(test_data, tmp_path, ending):
    logs = test_data / "harness_logs"
    plain = compare(logs / ZERO, logs / FIVE)
    for name in (ZERO, FIVE):
        packed_log(shutil.copytree(logs / name, tmp_path / name), ending)
    found = compare(tmp_path / ZERO, tmp_path / FIVE)
    assert {**found.to_dict(), "before": 0, "after": 0} == {**plain.to_dict(), "before": 0, "after": 0}
    (file,) = (tmp_path / ZERO).rglob("samples_mmlu_abstract_algebra*")
    scores = read_run(file).tasks["mmlu_abstract_algebra"]
    assert scores.source == file
    assert [scores.line(row) for row in (0, 1, 99)] == [1, 2, 100]
    write_comparison(found, tmp_path / "report")
    write_comparison(plain, tmp_path / "plain")
    hashes = [
        [log["sha256"] for log in json.loads((tmp_path / name / "report.json").read_text())["logs"]]
        for name in ("report", "plain")
    ]
    assert hashes[0] == hashes[1]
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(InputError) as error:
        read_run(file)
    assert error.value.path == file


def test_a_line_of_a_compressed_file_is_named(tmp_path):
    file = samples(tmp_path, "a", MONDAY, "111")
    text = file.read_text().splitlines()
    broken = tmp_path / f"{file.name}.gz"
    broken.write_bytes(gzip.compress("\n".join([text[0], text[1].replace("-2.0", "NaN"), text[2][:-5]]).encode()))
    file.unlink()
    with pytest.raises(InputError) as error:
        read_run(tmp_path)
    assert (error.value.path, error.value.line) == (broken, 3)


def test_a_compressed_copy_beside_its_file_is_left_out(tmp_path):
    file = samples(tmp_path, "a", MONDAY)
    file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
    read = read_run(tmp_path)
    assert read.tasks["a"].source == file
    assert [item.path.suffix for item in read.selection.left_out] == [".gz"]


def zipped(folder: Path, archive: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(archive, "w", method) as opened:
        for file in folder.rglob("*"):
            opened.write(file, file.relative_to(folder.parent))
    return archive


def test_an_archive_is_read_as_its_folder(test_data, tmp_path):
    logs = test_data / "harness_logs"
    plain = compare(logs / ZERO, logs / FIVE)
    before, after = (zipped(logs / name, tmp_path / f"{name}.zip") for name in (ZERO, FIVE))
    found = compare(before, after)
    assert {**found.to_dict(), "before": 0, "after": 0} == {**plain.to_dict(), "before": 0, "after": 0}
    scores = read_run(before).tasks["mmlu_abstract_algebra"]
    assert scores.source.is_relative_to(before)
    assert scores.line(99) == 100
    write_comparison(found, tmp_path / "report")
    assert sorted(file.name for file in tmp_path.iterdir()) == [before.name, after.name, "report"]
    old = logs / "vicuna-33b-lm_eval-0.4.0"
    assert sorted(read_run(zipped(old, tmp_path / "old.zip")).tasks) == sorted(read_run(old).tasks)


def test_an_archive_of_several_models_and_of_compressed_files(tmp_path):
    run(tmp_path / "logs" / "one", MONDAY, {"a": 0})
    packed_log(tmp_path / "logs", ".gz")
    assert hits(zipped(tmp_path / "logs", tmp_path / "one.zip")) == {"a": "1"}
    run(tmp_path / "logs" / "two", TUESDAY, {"a": 0})
    with pytest.raises(InputError, match=r"logs/one.*logs/two"):
        read_run(zipped(tmp_path / "logs", tmp_path / "two.zip"))


@pytest.mark.parametrize("name", ["../a.jsonl", "/etc/a.jsonl", "x/../../a.jsonl", "C:\\a.jsonl", "..\\a.jsonl"])
def test_an_archive_with_a_path_that_leaves_it_is_refused(tmp_path, name):
    file = samples(tmp_path / "logs", "a", MONDAY)
    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as opened:
        opened.write(file, file.name)
        opened.writestr(zipfile.ZipInfo(name), "{}")
    with pytest.raises(InputError, match="leaves"):
        read_run(tmp_path / "logs.zip")


def test_links_in_an_archive_are_not_followed(tmp_path):
    secret = samples(tmp_path, "b", MONDAY)
    with zipfile.ZipFile(tmp_path / "logs.zip", "w") as opened:
        opened.write(samples(tmp_path / "logs", "a", MONDAY), f"samples_a_{MONDAY}.jsonl")
        link = zipfile.ZipInfo(f"samples_b_{MONDAY}.jsonl")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, str(secret))
    found = compare(tmp_path / "logs.zip", tmp_path / "logs.zip")
    assert list(found.by_task) == ["a"]
    assert [item.path.name for item in found.selection[0].left_out] == [secret.name]


@pytest.mark.parametrize("ending", [".gz", ".zst", ".zip"])
def test_a_bomb_is_refused_before_it_grows(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(packed, "UNCHECKED", 1 << 20)
    line = samples(tmp_path / "logs", "a", MONDAY).read_bytes()
    content = line[:-2] + b', "more": "' + b" " * (16 << 20) + b'"}\n'
    file = tmp_path / "logs" / f"samples_a_{MONDAY}.jsonl"
    file.write_bytes(content)
    if ending == ".zip":
        path = zipped(tmp_path / "logs", tmp_path / "logs.zip")
    else:
        path = file.with_name(file.name + ending)
        path.write_bytes(
            gzip.compress(content) if ending == ".gz" else pa.compress(content, codec="zstd", asbytes=True)
        )
    with pytest.raises(InputError, match="grows"):
        read_run(path)


def test_the_files_of_an_archive_are_limited_together(tmp_path, monkeypatch):
    run(tmp_path / "logs", MONDAY, {"a": 0, "b": 0}, "1" * 50)
    archive = zipped(tmp_path / "logs", tmp_path / "logs.zip")
    size = sum(file.stat().st_size for file in (tmp_path / "logs").iterdir())
    monkeypatch.setattr(packed, "MOST", size)
    assert hits(archive) == {"a": "1" * 50, "b": "1" * 50}
    monkeypatch.setattr(packed, "MOST", size - 1)
    with pytest.raises(InputError, match="grows"):
        read_run(archive)
    packed_log(tmp_path / "logs", ".gz")
    with pytest.raises(InputError, match="grows"):
        read_run(zipped(tmp_path / "logs", tmp_path / "compressed.zip"))


def test_an_archive_that_lies_about_a_size_is_refused(tmp_path):
    archive = zipped(samples(tmp_path / "logs", "a", MONDAY, "1" * 9).parent, tmp_path / "logs.zip")
    content = bytearray(archive.read_bytes())
    # The uncompressed size in the central directory, from the specification of the format.
    place = content.index(b"PK\1\2") + 24
    assert int.from_bytes(content[place : place + 4], "little") == next((tmp_path / "logs").iterdir()).stat().st_size
    content[place : place + 4] = (100).to_bytes(4, "little")
    archive.write_bytes(content)
    with pytest.raises(InputError, match=r"logs\.zip"):
        read_run(archive)


def test_files_that_are_no_archives_are_refused(tmp_path):
    for name in ("a.zip", "b.jsonl.gz", "c.jsonl.zst"):
        (tmp_path / name).write_bytes(b"not what it says")
        with pytest.raises(InputError) as error:
            read_run(tmp_path / name)
        assert error.value.path == tmp_path / name


# As before


def test_links_and_names_of_windows_are_read(tmp_path):
    kept = samples(tmp_path / "blobs", "a", MONDAY)
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "samples_a_2026-01-05T00:00:00.000001.jsonl").symlink_to(kept)
    results(tmp_path / "log", MONDAY, {"a": 3})
    read = read_run(tmp_path / "log")
    assert (read.config.date, read.config.num_fewshot) == (MONDAY, {"a": 3})
