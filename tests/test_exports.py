"""A comparison in other programs: what their own readers find in it is what the comparison's JSON says."""

import hashlib
import json
import math
import os
import re
import shlex
import socket
import struct
import subprocess
import sys
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from consistency import compare, compare_many, compare_sides
from consistency.errors import InputError
from consistency.report.exports.badge import COLOURS, badge
from consistency.report.exports.card import card_of, metadata, model_index, read_card, section
from consistency.report.exports.readme import BEGIN, END, with_section
from consistency.report.exports.trackers import TRACKERS, export, read_trackers
from consistency.report.exports.values import values_of

sys.path.insert(0, str(Path(__file__).parent))
import foreign_logs
from foreign_logs import Asked, answers

ROOT = Path(__file__).parent.parent
HOSTILE = "../../a|b`<script>\n---\n[x](javascript:y) $(id) é"


def load_card(file: Path) -> Any:
    """A model card as the Hub's own library reads it."""
    return pytest.importorskip("huggingface_hub").ModelCard.load(file)


def write_log(folder: Path, side: int, asked: list[Asked], task: str = "towns", model: str = "") -> Path:
    """A log of lm_eval; the task as its rows have it, the name of the model as its results."""
    place = folder / "org__model"
    place.mkdir(parents=True)
    name = f"{task}_2026-03-04T05-06-07.000001"
    rows = "".join(json.dumps(row) + "\n" for row in foreign_logs.samples(asked))
    (place / f"samples_{name}.jsonl").write_text(rows)
    config = {"dataset_path": "org/towns", "dataset_name": "all", "test_split": "test"}
    results = {
        "model_name": model or f"org/model-{side}",
        "lm_eval_version": "0.4.11",
        "n-shot": {task: 0},
        "configs": {task: config},
    }
    (place / "results_2026-03-04T05-06-07.000001.json").write_text(json.dumps(results))
    return folder


def write_generated(folder: Path, wrong: set[int]) -> Path:
    """A log of texts that were generated."""
    folder.mkdir(parents=True)
    rows = [
        {
            "doc_id": number,
            "doc": {"question": f"What is {number} + 1?"},
            "target": str(number + 1),
            "arguments": {"gen_args_0": {"arg_0": f"What is {number} + 1?", "arg_1": {"until": ["\n"]}}},
            "resps": [[f"It is {number + 1 + (number in wrong)}."]],
            "filtered_resps": [str(number + 1 + (number in wrong))],
            "filter": "none",
            "metrics": ["exact_match"],
            "exact_match": float(number not in wrong),
        }
        for number in range(30)
    ]
    (folder / "samples_sums_2026-01-02T03-04-05.678901.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in rows)
    )
    return folder


def write_lengths(folder: Path, wrong: set[int]) -> Path:
    """The same with a metric that does not say what is right."""
    (file,) = write_generated(folder, wrong).iterdir()
    rows = list(map(json.loads, file.read_text().splitlines()))
    for row in rows:
        row |= {"metrics": ["length"], "length": 3.0 + row["doc_id"] + len(wrong)}
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("logs")
    before, after = (write_log(root / str(side), side, answers(side)) for side in (0, 1))
    return before, after


@pytest.fixture(scope="module")
def comparison(logs: tuple[Path, Path]) -> Any:
    return compare(*logs)


# Names and numbers


def estimates(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    if isinstance(value, dict):
        if "ci_low" in value:
            yield path, value
        else:
            for key, inner in value.items():
                yield from estimates(inner, (*path, key))


def test_every_estimate_of_two_runs_is_exported_with_its_interval(comparison: Any) -> None:
    content = comparison.to_dict()
    flat = values_of(content).flat()
    named = {"/".join(part for part in path if part != "estimates"): found for path, found in estimates(content)}
    assert len(named) > 100
    for name, found in named.items():
        if found["value"] is None:
            assert name not in flat
            continue
        assert flat[name] == found["value"]
        assert flat.get(f"{name}/ci_low") == found["ci_low"]
        assert flat.get(f"{name}/ci_high") == found["ci_high"]
    assert (
        flat["by_task/towns/decomposition/prior_change"]
        == content["by_task"]["towns"]["decomposition"]["estimates"]["prior_change"]["value"]
    )
    assert flat["by_task/towns/n"] == 60
    assert flat["by_task/towns/flips/harmful"] == content["by_task"]["towns"]["flips"]["harmful"]


def test_many_runs_and_sides_are_exported_by_their_names(logs: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = logs
    other = write_log(tmp_path / "other", 2, answers(1, n=50))
    many = compare_many(before, {"a": after, "a/b": other, "a_b": write_log(tmp_path / "third", 3, answers(1, n=40))})
    found, content = values_of(many.to_dict()), many.to_dict()
    for run, name in (("a", "a"), ("a/b", "a_b-2"), ("a_b", "a_b")):
        own = content["by_task"]["towns"][run]
        assert found.numbers[f"by_task/towns/{name}/delta_accuracy"].value == own["delta_accuracy"]["value"]
        assert found.numbers[f"by_task/towns/{name}/simultaneous"].high == own["simultaneous"]["ci_high"]
        assert found.texts[f"judgements/{name}/judgement"] == own["judgement"]
        ranked = next(item for item in content["ranking"] if item["label"] == run)
        assert found.numbers[f"ranking/{name}/best"].value == ranked["best"]
    sides = compare_sides([before], [after, other]).to_dict()
    flat = values_of(sides).flat()
    frame = compare_sides([before], [after, other]).to_frame().set_index("task")
    assert frame.loc["towns", "ci_low"] == sides["by_task"]["towns"]["estimates"]["delta_accuracy"]["ci_low"]
    assert frame.loc["towns", "p"] == sides["by_task"]["towns"]["p"]
    named = {"/".join(path): item for path, item in estimates(sides) if path[0] in ("by_task", "overall")}
    assert {
        name for name, item in named.items() if item["value"] is not None and "estimates" not in name
    } <= flat.keys()


def test_metrics_of_many_runs_are_exported_by_run_task_and_metric(tmp_path: Path) -> None:
    places = [tmp_path / name for name in ("base", "a", "b")]
    for number, place in enumerate(places):
        write_lengths(place, set(range(number)))
        rows = "".join(json.dumps(row) + "\n" for row in foreign_logs.samples(answers(min(number, 1))))
        (place / "samples_towns_2026-01-02T03-04-05.678901.jsonl").write_text(rows)
    content = compare_many(places[0], {place.name: place for place in places[1:]}).to_dict()
    flat = values_of(content).flat()
    assert [item["run"] for item in content["metrics"]] == ["a", "b"]
    # Each answer is longer by one for each that is wrong.
    assert [flat[f"metrics/{run}/sums/length/delta"] for run in ("a", "b")] == [1.0, 2.0]
    for item in content["metrics"]:
        assert flat[f"metrics/{item['run']}/sums/length/after/ci_high"] == item["after"]["ci_high"]


def test_names_are_those_that_mlflow_takes_and_differ() -> None:
    share = {"value": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    tasks = [HOSTILE, "..", ".", "", "a/b", "a_b", "A_B", "x" * 300, "x" * 301, "中文", "日本"]
    flat = values_of({"by_task": {task: {"kl": share} for task in tasks}, "verdict": "v"}).flat()
    assert len(flat) == 3 * len(tasks)
    for name in flat:
        assert re.fullmatch(r"[A-Za-z0-9_.\- /]{1,250}", name)
        assert os.path.normpath(name) == name
        assert not name.startswith((".", "/"))


def test_infinite_numbers_are_named_and_left_out() -> None:
    found = values_of({"overall": {"kl": {"value": math.inf, "ci_low": None, "ci_high": None}, "n": 3}, "verdict": "v"})
    assert found.infinite == ("overall/kl",)
    assert found.flat() == {"overall/n": 3.0}


# Trackers


def test_unknown_and_missing_trackers_are_refused_before_anything_is_read(
    call: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    code, _, error = call("compare", "no-such-log", "none", "--export", "wandb,tensorboard")
    assert code == 2
    assert "tensorboard" in error
    assert all(name in error for name in TRACKERS)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for name in TRACKERS:
        with pytest.raises(InputError, match=rf"lm-eval-consistency\[{name}\]"):
            read_trackers([name])


def test_a_tracker_that_fails_keeps_no_other_from_its_run(comparison: Any, monkeypatch: Any) -> None:
    given = []

    def refuse(record: Any) -> str:
        raise OSError("no room")

    monkeypatch.setitem(TRACKERS, "full", refuse)
    monkeypatch.setitem(TRACKERS, "open", lambda record: given.append(record) or "here")
    told = export(["full", "open"], comparison.to_dict())
    assert next(told) == "open: here"
    assert given[0].values.numbers["by_task/towns/n"].value == 60
    with pytest.raises(InputError, match="--export full: OSError: no room"):
        next(told)


def test_what_trackio_cannot_write_is_no_success(logs: tuple[Path, Path], tmp_path: Path) -> None:
    if find_spec("trackio") is None:
        pytest.skip("trackio is not installed")
    (tmp_path / "file").write_text("")
    free = {name: value for name, value in os.environ.items() if not name.startswith("TRACKIO_")}
    done = subprocess.run(
        [sys.executable, "-m", "consistency", "compare", *logs, "--export", "trackio"],
        env=free | {"PYTHONPATH": str(ROOT), "TRACKIO_DIR": str(tmp_path / "file")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 2, done.stderr
    assert "--export trackio: FileExistsError" in done.stderr
    assert "Traceback" not in done.stderr


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of a run of Weights & Biases: blocks of LevelDB's log, in each record a message of wandb's own types."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, block = file.read_bytes(), 1 << 15
    assert content[:4] == b":W&B"
    place, parts = 7, []
    while place + 7 <= len(content):
        if block - place % block < 7:
            place += block - place % block
            continue
        _, size, kind = struct.unpack_from("<IHB", content, place)
        parts.append(content[place + 7 : place + 7 + size])
        place += 7 + size
        # Whole, or the last of several parts.
        if kind in (1, 4):
            record = Record()
            record.ParseFromString(b"".join(parts))
            yield record
            parts = []


# The command, and what is then in Trackio: to import it takes longer than all else.
EXPORT = """
import json, sys
from pathlib import Path
from consistency.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
if "trackio" in sys.modules:
    from trackio.sqlite_storage import SQLiteStorage
    (name,) = SQLiteStorage.get_runs("mine")
    (row,) = SQLiteStorage.get_logs("mine", name)
    Path("trackio.json").write_text(json.dumps([name, row, SQLiteStorage.get_run_config("mine", name)]))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def exported(logs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float], str]:
    """A folder in which a comparison was exported to all trackers that are installed, the numbers of its JSON, what was said."""
    trackers = [name for name in TRACKERS if find_spec(name) is not None]
    folder = tmp_path_factory.mktemp("exported")
    named = ("WANDB_", "TRACKIO_", "MLFLOW_", "HF_", "NO_PROXY", "no_proxy")
    free = {name: value for name, value in os.environ.items() if not name.startswith(named)}
    free |= {"PYTHONPATH": str(ROOT), "WANDB_ENTITY": "me", "WANDB_NAME": "mine"}
    free |= {"TRACKIO_DIR": str(folder / "trackio"), "TRACKIO_PROJECT": "mine"}
    free |= {"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'own.db'}", "MLFLOW_EXPERIMENT_NAME": "mine"}
    # Where whatever asks for the network would come to.
    proxy = socket.create_server(("127.0.0.1", 0))
    proxy.setblocking(False)
    address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
    free |= dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "ALL_PROXY"), address)
    command = [sys.executable, "-c", EXPORT, "compare", *map(str, logs), "--json", "c.json", "--out", "report"]
    command += ["--fail-if", "harmful flips > 1 %", *(("--export", ",".join(trackers)) if trackers else ())]
    done = subprocess.run(command, cwd=folder, env=free, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1, done.stderr
    with proxy, pytest.raises(BlockingIOError):
        proxy.accept()
    # What the trackers themselves print is not there.
    assert "rackio" not in done.stdout
    flat = values_of(json.loads((folder / "c.json").read_text())).flat() | {"gate/passed": 0.0}
    assert flat["overall/delta_accuracy"] < 0
    return folder, flat, done.stderr


def test_weights_and_biases_has_the_numbers_offline(exported: tuple[Path, dict[str, float], str]) -> None:
    pytest.importorskip("wandb")
    folder, flat, said = exported
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    assert f"wandb sync {file.parent}" in said
    records = list(wandb_records(file))
    (run,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (run.project, run.entity, run.display_name) == ("lm-eval-consistency", "me", "mine")
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["after/model"] == "org/model-1"
    assert config["gate"] == "failed"
    rows = [record.history for record in records if record.WhichOneof("record_type") == "history"]
    logged = {"/".join(item.nested_key): json.loads(item.value_json) for row in rows for item in row.item}
    assert {name: logged.get(name) for name in flat} == pytest.approx(flat, abs=1e-12)
    page = file.parent / "files" / logged["report/path"]
    assert page.read_bytes() == (folder / "report" / "report.html").read_bytes()
    (artifact,) = (record.artifact for record in records if record.WhichOneof("record_type") == "artifact")
    assert [entry.path for entry in artifact.manifest.contents] == ["comparison.json"]


def test_trackio_has_the_numbers_on_this_machine(exported: tuple[Path, dict[str, float], str]) -> None:
    if find_spec("trackio") is None:
        pytest.skip("trackio is not installed")
    folder, flat, said = exported
    assert str(folder / "trackio") in said
    name, row, config = json.loads((folder / "trackio.json").read_text())
    assert name.startswith("model-1 against model-0")
    assert {key: row.get(key) for key in flat} == pytest.approx(flat, abs=1e-12)
    assert config["verdict"]


def test_mlflow_has_the_numbers_in_a_local_store(exported: tuple[Path, dict[str, float], str]) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    folder, flat, said = exported
    store = f"sqlite:///{folder / 'own.db'}"
    assert store in said
    client = MlflowClient(store)
    experiment = client.get_experiment_by_name("mine")
    (run,) = client.search_runs([experiment.experiment_id])
    assert {name: run.data.metrics.get(name) for name in flat} == pytest.approx(flat, abs=1e-12)
    assert run.data.params["after/model"] == "org/model-1"
    assert run.data.params["gate"] == "failed"
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {"comparison.json", "report.html"}


def test_a_server_of_mlflow_that_does_not_answer_is_given_up(comparison: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@{address}")
        told = export(["mlflow"], comparison.to_dict())
        assert next(told) == f"mlflow: writing to http://{address}"
        began = time.monotonic()
        with pytest.raises(InputError) as refused:
            list(told)
    # Two tries of a second each, a pause between them, and the import.
    assert time.monotonic() - began < 30
    assert "secret" not in str(refused.value)
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


# Records of every_eval_ever


def record_files(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], Path]:
    """The one record of a side, its answers, and the file of these."""
    (file,) = folder.rglob("*.json")
    (lines,) = folder.rglob("*.jsonl")
    return json.loads(file.read_text()), list(map(json.loads, lines.read_text().splitlines())), lines


def test_records_read_back_to_the_same_comparison(
    call: Any, logs: tuple[Path, Path], comparison: Any, tmp_path: Path
) -> None:
    assert call("compare", *logs, "--records", tmp_path / "records")[0] == 0
    again = compare(tmp_path / "records" / "before", tmp_path / "records" / "after").to_dict()
    own, read = comparison.to_dict()["by_task"]["towns"], again["by_task"]["towns"]
    # Beside what the program itself said, a record has its score.
    assert read["metrics"].pop("score")["delta"]["value"] == own["delta_accuracy"]["value"]
    assert read == own
    # A second time, in place of the first.
    assert call("compare", *logs, "--records", tmp_path / "records")[0] == 0
    assert len(list((tmp_path / "records").rglob("*.jsonl"))) == 2


def test_generated_answers_read_back_to_the_same_changes(call: Any, tmp_path: Path) -> None:
    before, after = write_generated(tmp_path / "one", {1, 2}), write_generated(tmp_path / "two", {2, 5, 7, 9})
    assert call("compare", before, after, "--records", tmp_path / "records")[0] == 0
    own, read = compare(before, after), compare(tmp_path / "records" / "before", tmp_path / "records" / "after")
    for name in ("accuracy_before", "accuracy_after", "delta_accuracy"):
        assert read.by_task["sums"].estimates[name] == own.by_task["sums"].estimates[name]
    assert read.by_task["sums"].flips == own.by_task["sums"].flips == {"harmful": 3, "beneficial": 1}
    record, lines, _ = record_files(tmp_path / "records" / "after")
    assert record["evaluation_results"][0]["score_details"]["score"] == pytest.approx(26 / 30)
    assert lines[5]["output"] == {"raw": ["It is 7."]}
    assert (lines[5]["input"]["reference"], lines[5]["evaluation"]) == (["6"], {"score": 0.0, "is_correct": False})


def test_metrics_without_a_direction_are_named_and_left_out(call: Any, tmp_path: Path) -> None:
    before, after = write_lengths(tmp_path / "one", {1}), write_lengths(tmp_path / "two", {2, 5})
    code, _, error = call("compare", before, after, "--records", tmp_path / "records")
    assert code == 0
    assert "length of sums" in error
    listed = json.loads((tmp_path / "records" / "records.json").read_text())
    assert listed == {"before": [], "after": [], "left_out": ["length of sums"]}


def test_records_hold_what_the_schema_asks_for(
    call: Any, logs: tuple[Path, Path], comparison: Any, tmp_path: Path
) -> None:
    assert call("compare", *logs, "--records", tmp_path / "records")[0] == 0
    listed = json.loads((tmp_path / "records" / "records.json").read_text())
    for side, asked in (("before", answers(0)), ("after", answers(1))):
        record, lines, file = record_files(tmp_path / "records" / side)
        store = tmp_path / "records" / side
        assert (
            sorted(f"{side}/{found.relative_to(store).as_posix()}" for found in store.rglob("*.json*")) == listed[side]
        )
        # As the schemas 0.3.0 require.
        assert {
            *(
                "schema_version",
                "evaluation_id",
                "retrieved_timestamp",
                "source_metadata",
                "eval_library",
                "model_info",
            ),
            "evaluation_results",
        } <= record.keys()
        assert record["schema_version"] == "0.3.0"
        assert record["evaluation_timestamp"] == "2026-03-04T05:06:07.000001"
        assert record["eval_library"] == {"name": "lm_eval", "version": "0.4.11"}
        assert record["model_info"]["id"] == f"org/model-{int(side == 'after')}"
        detailed = record["detailed_evaluation_results"]
        relative = file.relative_to(tmp_path / "records" / side).as_posix()
        assert detailed["file_path"] == relative
        assert re.fullmatch(r"data/[^/]+/[^/]+/[^/]+/[0-9a-f-]{36}_samples\.jsonl", relative)
        assert uuid.UUID(file.name.removesuffix("_samples.jsonl")).version == 4
        assert detailed["checksum"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert detailed["total_rows"] == len(lines) == len(asked)
        (result,) = record["evaluation_results"]
        share = np.mean([item.right for item in asked])
        assert result["score_details"]["score"] == pytest.approx(share)
        interval = result["score_details"]["uncertainty"]["confidence_interval"]
        estimate = comparison.by_task["towns"].estimates[f"accuracy_{side}"]
        assert (interval["lower"], interval["upper"]) == (estimate.ci_low, estimate.ci_high)
        assert interval["confidence_level"] == 0.95
        assert result["source_data"] == {
            "dataset_name": "all",
            "source_type": "hf_dataset",
            "hf_repo": "org/towns",
            "hf_split": "test",
        }
        for line, item in zip(lines, asked, strict=True):
            assert line["evaluation_id"] == record["evaluation_id"]
            assert line["evaluation_result_id"] == result["evaluation_result_id"]
            assert line["input"]["choices"] == list(item.options)
            assert line["input"]["reference"] == [item.options[item.gold]]
            assert line["output"]["raw"] == [item.options[item.chosen]]
            assert line["evaluation"] == {"score": float(item.right), "is_correct": item.right}


def test_records_are_valid_by_the_public_schemas(call: Any, logs: tuple[Path, Path], tmp_path: Path) -> None:
    validation = pytest.importorskip("every_eval_ever.validator.validation_core")
    assert call("compare", *logs, "--records", tmp_path / "records")[0] == 0
    for side in ("before", "after"):
        store = tmp_path / "records" / side
        held = {file.relative_to(store).as_posix(): file for file in store.rglob("*.json*")}
        for name, file in held.items():
            report = validation.validate_file(
                file,
                repo_path=name,
                available_files=held,
                read_repo_file=lambda path, held=held: held[path].read_text(),
                run_semantic_checks=True,
            )
            assert (report.valid, report.errors, report.warnings) == (True, [], [])


def test_hostile_names_leave_no_folder(call: Any, tmp_path: Path) -> None:
    before, after = (
        write_log(tmp_path / str(side), side, answers(side), task="a..b $(id)", model="../../../tmp/x\u202e")
        for side in (0, 1)
    )
    code, _, error = call("compare", before, after, "--records", tmp_path / "records", "--json", tmp_path / "c.json")
    assert code == 0, error
    files = [file.relative_to(tmp_path / "records").as_posix() for file in (tmp_path / "records").rglob("*.json*")]
    assert all(
        re.fullmatch(r"records\.json|(before|after)/data/[\w.-]+/local/[\w.-]+/[\w-]+\.jsonl?", name) for name in files
    )


@pytest.mark.parametrize("wrong", ["[0.1]", "{", "[-0.1, -2, -3, null]", "null"])
def test_damaged_log_probabilities_of_a_record_are_refused(
    wrong: str, call: Any, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    assert call("compare", *logs, "--records", tmp_path / "records")[0] == 0
    _, rows, file = record_files(tmp_path / "records" / "after")
    rows[2]["metadata"]["option_logprobs"] = wrong
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, error = call("compare", tmp_path / "records" / "before", tmp_path / "records" / "after")
    assert code == 2
    assert f"{file.name}:3: metadata.option_logprobs" in error
    assert "Traceback" not in error


# Model cards


def test_the_card_says_what_the_comparison_found(
    call: Any, logs: tuple[Path, Path], comparison: Any, tmp_path: Path
) -> None:
    assert call("card", *logs, "--into", tmp_path / "README.md")[0] == 0
    loaded = load_card(tmp_path / "README.md")
    assert loaded.data.model_name == "model-1"
    accuracy, change = loaded.data.eval_results
    found = comparison.by_task["towns"].estimates
    assert accuracy.metric_value == pytest.approx(100 * np.mean([item.right for item in answers(1)]), abs=0.005)
    assert change.metric_value == pytest.approx(100 * found["delta_accuracy"].value, abs=0.005)
    assert change.metric_args["ci_low"] == pytest.approx(100 * found["delta_accuracy"].ci_low, abs=0.005)
    assert (accuracy.dataset_type, accuracy.dataset_config, accuracy.dataset_split) == ("org/towns", "all", "test")
    assert accuracy.dataset_name == "towns"
    # As the Hub's library writes it again, nothing is lost.
    loaded.save(tmp_path / "saved.md")
    assert load_card(tmp_path / "saved.md").data.eval_results == [accuracy, change]
    text = loaded.text
    row = next(line for line in text.splitlines() if line.startswith("| `towns`"))
    shown = [float(number.replace("−", "-")) for number in re.findall(r"[+−]?\d+\.\d", row)]
    ends = [
        100 * end
        for name in ("accuracy_before", "accuracy_after", "delta_accuracy")
        for end in (found[name].value, found[name].ci_low, found[name].ci_high)
    ]
    assert shown[:9] == pytest.approx(ends, abs=0.051)
    parts = comparison.by_task["towns"].decomposition.estimates
    row = next(line for line in text[text.index("without letter bias, points") :].splitlines() if "`towns`" in line)
    numbers = [float(number.replace("−", "-")) for number in re.findall(r"[+−]\d+\.\d", row)]
    assert [numbers[0], numbers[3]] == pytest.approx(
        [100 * parts[name].value for name in ("calibrated_change", "prior_change")], abs=0.051
    )


def test_a_stored_comparison_gives_the_same_section(
    exported: tuple[Path, dict[str, float], str], comparison: Any
) -> None:
    folder, own = exported[0], section(card_of(comparison))
    assert section(read_card(folder / "c.json")) == own
    assert section(read_card(folder / "report")) == own
    # A JSON says nothing of the data sets.
    assert model_index(read_card(folder / "c.json"))[0]["results"][0]["dataset"] == {"name": "towns", "type": "towns"}


def test_what_is_no_comparison_of_two_runs_is_refused(logs: tuple[Path, Path], comparison: Any, tmp_path: Path) -> None:
    third = write_log(tmp_path / "third", 3, answers(1, n=40))
    content = comparison.to_dict()
    wrong = {
        "many": compare_many(logs[0], {"a": logs[1], "b": third}).to_dict(),
        "sides": compare_sides([logs[0]], [logs[1], third]).to_dict(),
        "other": {"a": 1},
        "list": [],
        "version": content | {"schema_version": 9},
        "typed": content | {"by_task": {"towns": {"n": "many"}}},
    }
    for name, value in wrong.items():
        (tmp_path / name).write_text(json.dumps(value))
        with pytest.raises(InputError, match=name):
            read_card(tmp_path / name)
    (tmp_path / "cut").write_text(json.dumps(content)[:300])
    with pytest.raises(InputError, match="cut:1: not JSON"):
        read_card(tmp_path / "cut")
    with pytest.raises(InputError, match="nothing"):
        read_card(tmp_path / "nothing")


def test_two_tasks_of_one_data_set_stay_two_for_the_hub(tmp_path: Path) -> None:
    found = []
    for side in (0, 1):
        folder = write_log(tmp_path / str(side), side, answers(side))
        (samples,) = folder.rglob("samples_*.jsonl")
        (samples.parent / samples.name.replace("towns", "cities")).write_text(samples.read_text())
        (results,) = folder.rglob("results_*.json")
        content = json.loads(results.read_text())
        content["configs"]["cities"] = content["configs"]["towns"]
        results.write_text(json.dumps(content))
        found.append(folder)
    index = model_index(card_of(compare(*found)))
    (tmp_path / "README.md").write_text(f"---\n{yaml.safe_dump({'model-index': index})}---\n")
    load_card(tmp_path / "README.md").save(tmp_path / "saved.md")
    results = load_card(tmp_path / "saved.md").data.eval_results
    assert sorted({item.dataset_name for item in results}) == ["cities", "towns"]


def test_hostile_names_are_text_in_card_and_badge(tmp_path: Path) -> None:
    before, after = (write_log(tmp_path / str(side), side, answers(side), model=f"{HOSTILE} {END}") for side in (0, 1))
    found = card_of(compare(before, after), name=f"{HOSTILE}\n# consistency:end\n---\nx: 1")
    text = section(found)
    html = pytest.importorskip("markdown_it").MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    tags = {tag.lower() for tag in re.findall(r"<\s*([a-zA-Z!]\w*)", html)}
    assert tags <= set("h2 p strong table thead tbody tr th td code pre ul li".split())
    assert not any(line.strip() in (END, "---") for line in text.splitlines())
    written = with_section(
        b"", yaml.safe_dump({"model-index": model_index(found)}, sort_keys=False), text, tmp_path / "R"
    )
    (tmp_path / "README.md").write_bytes(written)
    loaded = load_card(tmp_path / "README.md")
    assert set(loaded.data.to_dict()) == {"model-index"}
    assert (
        with_section(written, yaml.safe_dump({"model-index": model_index(found)}, sort_keys=False), text, tmp_path)
        == written
    )
    drawn = ET.fromstring(badge(found))
    assert not drawn.findall(".//{*}script")
    assert "<script>" in drawn.find("{*}title").text


def test_a_metric_that_is_no_accuracy_is_in_the_card(tmp_path: Path) -> None:
    found = card_of(compare(write_lengths(tmp_path / "one", {1}), write_lengths(tmp_path / "two", {2, 5})))
    # The mean of 0 to 29, and 3 + 2.
    (result,) = model_index(found)[0]["results"]
    assert [(item["type"], item["value"]) for item in result["metrics"]] == [
        ("length", 14.5 + 5),
        ("delta_length", 1.0),
    ]
    row = next(line for line in section(found).splitlines() if line.startswith("| `sums` | `length`"))
    mean, low, high = (float(number) for number in re.search(r"\| (18\.5\d*) \[([\d.]+), ([\d.]+)\]", row).groups())
    own = stats.ttest_1samp(3.0 + np.arange(30) + 1, 0).confidence_interval()
    assert (mean, low, high) == pytest.approx((18.5, own.low, own.high), abs=5e-5)
    assert re.search(r"\| 19\.50* \[", row)
    assert "not measured" in badge(found)


def test_a_card_says_how_many_metrics_it_leaves_out_and_counts_questions_with_both(tmp_path: Path) -> None:
    for side, wrong in (("before", {1}), ("after", {2, 5})):
        (file,) = write_lengths(tmp_path / side, wrong).iterdir()
        rows = list(map(json.loads, file.read_text().splitlines()))
        for number in range(31):
            own = [row | ({"length": math.nan} if row["doc_id"] == len(wrong) else {}) for row in rows]
            name = file.name.replace("sums", f"task{number}")
            file.with_name(name).write_text("".join(json.dumps(row) + "\n" for row in own))
    text = section(card_of(compare(tmp_path / "before", tmp_path / "after")))
    rows = [line for line in text.splitlines() if "`length`" in line]
    assert "30 of 32" in text
    assert len(rows) == 30
    # One question has no number before, another one none after.
    assert [line.split(" | ")[3] for line in rows if "`task" in line] == ["28"] * (len(rows) - text.count("`sums`"))


def test_the_command_of_a_card_gives_the_same_comparison(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for side, wrong in (("before", {1}), ("after", {2, 5})):
        (file,) = write_generated(tmp_path / side, wrong).iterdir()
        rows = list(map(json.loads, file.read_text().splitlines()))
        rows = [
            row | {"filter": name, "exact_match": float(row["doc_id"] not in {*wrong, *more})}
            for name, more in (("none", ()), ("second", (7 + len(wrong), 9)))
            for row in rows
        ]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    logs = (tmp_path / "before", tmp_path / "after")
    assert call("compare", *logs, "--filter", "second", "--margin", "0.02", "--json", tmp_path / "c.json")[0] == 0
    (command,) = re.findall(r"^\$ consistency (.*)$", section(read_card(tmp_path / "c.json")), re.MULTILINE)
    # Where the logs were is nobody's business.
    monkeypatch.chdir(tmp_path)
    assert call(*shlex.split(command), "--json", tmp_path / "again.json")[0] == 0
    again, first = (json.loads((tmp_path / name).read_text()) for name in ("again.json", "c.json"))
    for content in (again, first):
        for side in ("before", "after"):
            content[side]["path"] = Path(content[side]["path"]).name
    assert again == first


def test_a_card_does_not_say_where_its_files_were(tmp_path: Path) -> None:
    home = tmp_path / "home" / "somebody"
    for run, address in (("first", "https://host/a"), ("second", "https://host/b/c")):
        folder = write_log(home / run / "logs", 0, answers(0, n=12), model=f"{home}/models/llama")
        (results,) = folder.rglob("results_*.json")
        content = json.loads(results.read_text())
        content["configs"]["towns"] |= {"dataset_path": f"{home}/data/{run}", "dataset_kwargs": {"source": address}}
        results.write_text(json.dumps(content))
    found = card_of(compare(home / "first" / "logs", home / "second" / "logs"))
    text = section(found) + metadata(found)
    assert "mebody" not in text
    assert "$ consistency compare first/logs second/logs\n" in text
    assert "…/first → …/second" in text
    assert "https://host/a → https://host/b/c" in text.replace("<!-- -->", "")


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_badge_can_be_read(comparison: Any) -> None:
    drawn = ET.fromstring(badge(card_of(comparison)))
    change = comparison.by_task["towns"].estimates["delta_accuracy"]
    title = drawn.find("{*}title")
    assert drawn.get("role") == "img"
    assert drawn.get("aria-labelledby") == title.get("id")
    number = re.search(r"([+−]\d+\.\d) \[", title.text)
    assert float(number[1].replace("−", "-")) == pytest.approx(100 * change.value, abs=0.051)
    (field,) = [item.get("fill") for item in drawn.findall("{*}path")]
    assert field == COLOURS["worse" if change.ci_high < 0 else "better" if change.ci_low > 0 else "unclear"]
    # White text, by WCAG's contrast.
    assert all(1.05 / (luminance(colour) + 0.05) >= 4.5 for colour in COLOURS.values())
    assert "http" not in badge(card_of(comparison)).replace("http://www.w3.org/2000/svg", "")


# README files

MATTER = "# consistency:begin\nmodel-index: []\n# consistency:end\n"
SECTION = f"{BEGIN}\n## New\n{END}\n"
METADATA = "model-index: []\n"


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        ("", f"---\n{MATTER}---\n\n{SECTION}"),
        ("# A\n", f"---\n{MATTER}---\n# A\n\n{SECTION}"),
        ("# A", f"---\n{MATTER}---\n# A\n\n{SECTION}"),
        ("---\nlicense: mit # ours\n---\n# A\n", f"---\nlicense: mit # ours\n{MATTER}---\n# A\n\n{SECTION}"),
        ("---\n---\n# A\n", f"---\n{MATTER}---\n# A\n\n{SECTION}"),
        (f"a\n{BEGIN}\nold\n{END}\nb\n", f"---\n{MATTER}---\na\n{SECTION}b\n"),
        (
            "---\n# consistency:begin\nmodel-index: [1]\n# consistency:end\nlicense: mit\n---\n# A  \n\n\n",
            f"---\n{MATTER}license: mit\n---\n# A  \n\n\n\n{SECTION}",
        ),
        ("\ufeff---\nx: 1\n---\na", f"\ufeff---\nx: 1\n{MATTER}---\na\n\n{SECTION}"),
        ("---\nx: .nan\n---\n", f"---\nx: .nan\n{MATTER}---\n\n{SECTION}"),
        (f"text {BEGIN} in a line\n", f"---\n{MATTER}---\ntext {BEGIN} in a line\n\n{SECTION}"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_all_else_in_a_readme_stays_to_the_byte(readme: str, expected: str, end: str) -> None:
    given, wanted = (text.replace("\n", end).encode() for text in (readme, expected))
    if end == "\r\n" and b"\r\n" not in given:
        wanted = expected.encode()
    written = with_section(given, METADATA, "## New\n", Path("README.md"))
    assert written == wanted
    assert with_section(written, METADATA, "## New\n", Path("README.md")) == written


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(["---", "license: mit", "# A", "", "text", " ---", "- a", "...", "'a': 1", BEGIN + "x", "é "])
    ),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_whatever_a_readme_holds_is_kept(lines: list[str], end: str, metadata: bool) -> None:
    readme = end.join(lines).encode()
    matter = METADATA if metadata else ""
    try:
        written = with_section(readme, matter, "## New\n", Path("R"))
    except InputError:
        assert metadata
        # Only a front matter is refused: one without an end, or that is no mapping.
        assert next(line.strip() for line in lines if line.strip()) == "---"
        return
    assert with_section(written, matter, "## New\n", Path("R")) == written
    plain = written.decode()
    for block in (MATTER, SECTION):
        plain = plain.replace(block.replace("\n", end), "", 1).replace(block, "", 1)
    # But for a front matter where there was none, the end of the last line, and a blank line before the section.
    empty = re.compile(r"\A---\r?\n---(\r?\n|\Z)") if metadata else re.compile("\\Z")
    assert empty.sub("", plain).rstrip("\r\n") == empty.sub("", readme.decode()).rstrip("\r\n")


def test_a_readme_without_metadata_keeps_its_front_matter() -> None:
    given = b"---\nmodel-index: [mine]\n---\n# A\n"
    assert with_section(given, "", "## New\n", Path("R")) == given + b"\n" + SECTION.encode()


@pytest.mark.parametrize(
    ("readme", "line"),
    [
        (f"a\n{BEGIN}\nold\n", 2),
        (f"a\nb\n{END}\nold\n", 3),
        (f"{END}\n{BEGIN}\n", 1),
        (f"{BEGIN}\n{BEGIN}\n{END}\n", 1),
        (f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", 1),
        ("---\n# consistency:begin\nx: 1\n---\n", 2),
        ("---\nx: 1\n", 1),
        ("---\n- a\n---\n", 2),
        ("---\na: 1\na: 2\n---\n", 3),
        ("---\na: [\n---\n", 3),
        ("---\nlicense: mit\nmodel-index: []\n---\n", None),
        ("\n--- \nlicense: mit\n---\n", 2),
        ("---\n{license: mit}\n---\n", 2),
    ],
)
def test_a_damaged_readme_is_refused_and_stays(
    readme: str, line: int | None, call: Any, logs: tuple[Path, Path], tmp_path: Path
) -> None:
    file = tmp_path / "README.md"
    file.write_text(readme)
    code, _, error = call("card", *logs, "--into", file, "--badge", tmp_path / "badge.svg")
    assert code == 2
    assert "Traceback" not in error
    assert f"README.md:{line}: " in error if line else "README.md: " in error
    assert file.read_text() == readme
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


def test_a_card_is_written_with_its_badge_and_again(call: Any, logs: tuple[Path, Path], tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_bytes(b"# Latin 1: \xe9\n")
    code, _, error = call("card", *logs, "--into", file)
    assert (code, file.read_bytes()) == (2, b"# Latin 1: \xe9\n")
    assert "README.md:1: not UTF-8" in error
    file.write_text("# A model\n")
    (tmp_path / "pictures of it").mkdir()
    command = ("card", *logs, "--into", file, "--badge", tmp_path / "pictures of it" / "badge.svg")
    assert call(*command)[0] == 0
    first = file.read_bytes()
    assert b"](pictures%20of%20it/badge.svg)" in first
    assert call(*command)[0] == 0
    assert file.read_bytes() == first
    code, printed, _ = call("card", *logs)
    assert code == 0
    assert printed.startswith("---\n")
