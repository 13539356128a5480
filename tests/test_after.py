"""From an Axolotl configuration to what the training taught and broke: a real training, real evaluations, real reports."""

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from consistency import compare
from consistency.cli.after import _audited, _Evaluations
from consistency.errors import InputError
from consistency.experiment.trained import Trained, read_trained
from consistency.logs.runs import read_run
from consistency.tasks.questions import read_questions
from consistency.training_data.training_probe import write_probe
from consistency.world.model import BASE_MODEL

ROOT = Path(__file__).resolve().parent.parent
TASK = "consistency_world_medicine_ift"
QUESTION = (
    "The following are multiple choice questions about medicine.\n\n{}\nA. one\nB. two\nC. three\nD. four\nAnswer:"
)
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """Leaves the loggers as they were: lm_eval's command line sets handlers of its own."""
    found = [logging.getLogger(name) for name in (None, "lm_eval")]
    kept = [(logger.propagate, logger.level, list(logger.handlers)) for logger in found]
    yield
    for logger, (propagate, level, handlers) in zip(found, kept, strict=True):
        logger.propagate, logger.handlers[:] = propagate, handlers
        logger.setLevel(level)


def conversation(question: str, reply: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": QUESTION.format(question)}, {"role": "assistant", "content": reply}]
    return {"messages": turns}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def write_config(folder: Path, **changes: Any) -> Path:
    """A configuration as one of Axolotl's own examples has it, for a CPU."""
    rows = [conversation(f"What is {number}?", "ABCD"[number % 4] + ".") for number in range(12)]
    write_rows(folder / "rows.jsonl", [*rows, conversation("What is 3?", "A. one")])
    config = {
        "base_model": str(BASE_MODEL),
        "datasets": [{"path": "rows.jsonl", "ds_type": "json", "type": "chat_template", "field_messages": "messages"}],
        "chat_template": "chatml",
        "output_dir": "out",
        "sequence_len": 256,
        "max_steps": 2,
        "micro_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "optimizer": "adamw_torch",
        "learning_rate": 1e-3,
        "lr_scheduler": "constant",
        "bf16": False,
        "tf32": False,
        "use_cpu": True,
        "save_strategy": "no",
        "val_set_size": 0,
        **changes,
    }
    path = folder / "my.yml"
    path.write_text(yaml.safe_dump({key: value for key, value in config.items() if value is not None}))
    return path


def test_one_command_after_a_training_says_what_it_taught_and_broke(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("axolotl")
    pytest.importorskip("lm_eval")
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "AXOLOTL_DATASET_NUM_PROC": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "axolotl.cli.main", "train", "my.yml", "--launcher", "python"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]

    asked = ("after", config, "--tasks", TASK, "--limit", 12, "--device", "cpu", "--fail-if", "accuracy > 0 %")
    code, printed, told = call(*asked)
    assert code == 1, told[-3000:]
    # The base model knows Vicuna's format, and the training speaks ChatML: both comparisons are there.
    folders = {
        name: next(Path("out/after/logs").glob(f"{name}-*")) for name in ("tuned", "base-own", "base-same", "probe")
    }
    runs = {name: read_run(folder) for name, folder in folders.items()}
    template = Path("out/chat_template.jinja").read_text()
    assert "<|im_start|>" in template
    spoken = {name: run.config.content["chat_template"] for name, run in runs.items()}
    assert spoken["tuned"] == spoken["base-same"] == template
    assert "ASSISTANT" in spoken["base-own"]
    assert spoken["probe"] is None
    # The trained model's numbers are those of lm_eval's own `hf`.
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "run",
        "--model",
        "hf",
        "--model_args",
        "pretrained=out,dtype=float32",
        "--tasks",
        TASK,
    ]
    command += [
        "--include_path",
        str(ROOT / "lm_eval_tasks"),
        "--limit",
        "12",
        "--device",
        "cpu",
        "--apply_chat_template",
    ]
    subprocess.run([*command, "--log_samples", "--output_path", "hf"], env=environment, check=True, capture_output=True)
    by_hf = read_run("hf").tasks[TASK].logprobs
    assert abs(runs["tuned"].tasks[TASK].logprobs - by_hf).max() < 1e-4
    for report, base in (("report", "base-own"), ("report-same-format", "base-same")):
        stored = json.loads(Path("out/after", report, "report.json").read_text())
        change = compare(folders[base], folders["tuned"]).overall.estimates["delta_accuracy"].value
        assert re.search(rf'"delta_accuracy".*?"value": {re.escape(json.dumps(change))}', json.dumps(stored))
    # Twelve different questions, five of them examples; the thirteenth row contradicts the fourth.
    judged = json.loads(Path("out/after/audit/audit.json").read_text())
    assert judged["multiple_choice"] == 13
    assert len(runs["probe"].tasks["consistency_training_set_pool_icl"].documents) == 7
    # No row names its subject in a form that is read; what the probe's prompts call it is none.
    assert list(judged["subjects"]) == [""]
    # What was found stands last, behind everything that lm_eval prints, with where it is.
    places = ["report/report.html", "report-same-format/report.html", "audit/audit.md"]
    assert [line.split(": ")[1] for line in printed.splitlines()[-3:]] == [f"out/after/{place}" for place in places]

    code, again, told = call(*asked)
    assert (code, again) == (1, printed)
    assert told.count("evaluated before") == 4
    # A task that was evaluated before alone may be the one that fell.
    shutil.copytree(folders["base-own"], "two")
    (samples,) = Path("two").rglob(f"samples_{TASK}_*.jsonl")
    shutil.copy(samples, samples.with_name(samples.name.replace(TASK, "another_task")))
    kept = (*asked[:-1], "accuracy < 0 %", "--before", "two", "--no-audit")
    code, printed, told = call(*kept)
    assert code == 2, told[-3000:]
    assert "another_task" in printed


def test_an_adapter_is_evaluated_on_its_base_model(tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    torch, peft = pytest.importorskip("torch"), pytest.importorskip("peft")
    pytest.importorskip("lm_eval")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    monkeypatch.chdir(tmp_path)
    model = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(BASE_MODEL), peft.LoraConfig(r=2, target_modules=["q_proj"])
    )
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    model.save_pretrained("out")
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    tokenizer.chat_template = template = (
        "{% for turn in messages %}[{{ turn.role }}] {{ turn.content }}\n{% endfor %}[assistant] "
    )
    tokenizer.save_pretrained("out")
    config = write_config(tmp_path, adapter="lora")
    flags = ("--limit", 4, "--device", "cpu", "--model_args", "dtype=float32", "--no-audit")
    code, _, told = call("after", config, "--tasks", TASK, *flags, "--out", "seen")
    assert code == 0, told[-3000:]
    runs = {path.name.rpartition("-")[0]: read_run(path) for path in Path("seen/logs").iterdir()}
    spoken = {name: run.config.content["chat_template"] for name, run in runs.items()}
    # An adapter has the tokenizer that it was saved with, and not that of its base model.
    assert spoken["tuned"] == spoken["base-same"] == template != spoken["base-own"]
    arguments = runs["tuned"].config.content["config"]["model_args"]
    assert arguments == {"dtype": "float32", "pretrained": str(BASE_MODEL), "peft": "out", "tokenizer": "out"}
    assert not Path("seen/audit").exists()


@pytest.mark.parametrize(
    ("changes", "files", "message"),
    [
        ({"base_model": None}, (), r"my\.yml: no base_model"),
        ({"base_model": [1]}, (), r"my\.yml: base_model: \[1\]; expected text"),
        ({"datasets": "rows.jsonl"}, ("out/config.json",), r"my\.yml: datasets: str; expected a list"),
        ({"datasets": [{"type": "alpaca"}]}, ("out/config.json",), r"my\.yml: datasets: entry 1 names no path"),
        ({"val_set_size": "10%"}, ("out/config.json",), r"my\.yml: val_set_size: '10%'; expected a number"),
        ({}, (), r"^out: no such folder; .*--checkpoint"),
        ({}, ("out/checkpoint-9/config.json", "out/checkpoint-10/config.json"), r"--checkpoint out/checkpoint-10"),
        ({}, ("out/debug.log",), r"^out: holds no trained model"),
    ],
)
def test_what_is_no_finished_training_is_refused(
    changes: dict[str, Any], files: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = write_config(tmp_path, **changes)
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("{}")
    with pytest.raises(InputError, match=message):
        read_trained(Path(config.name))


def test_what_was_trained_on_is_read_from_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shapes of Axolotl's own examples: names of the hub, parts, folders with named files, raw text, an earlier adapter."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    (tmp_path / "rows").mkdir()
    for name in ("more.jsonl", "rows/a.jsonl", "rows/b.parquet"):
        (tmp_path / name).write_text("{}\n")
    datasets = [
        {"path": "mhenrichsen/alpaca_2k_test", "type": "alpaca"},
        {"path": "./more.jsonl", "type": "chat_template", "split": "train[0:100]"},
        {"path": "rows", "ds_type": "json", "data_files": ["rows/a.jsonl", "rows/b.parquet"], "type": "alpaca"},
        {"path": "a/b", "data_files": "rows/a.jsonl", "split": "train"},
    ]
    changes = {"val_set_size": 0.05, "pretraining_dataset": "allenai/c4", "lora_model_dir": "./earlier"}
    found = read_trained(write_config(tmp_path, datasets=datasets, **changes))
    assert found.training_sets == (Path("more.jsonl"), Path("rows/a.jsonl"))
    assert found.elsewhere == ("mhenrichsen/alpaca_2k_test", "rows/b.parquet", "a/b", "allenai/c4")
    assert (found.parts, found.held_out, found.began_from) == ({"more.jsonl": "train[0:100]"}, 0.05, "./earlier")


def test_a_training_set_that_cannot_be_read_leaves_the_others(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("lm_eval")
    monkeypatch.chdir(tmp_path)
    trained = Trained(
        base_model=str(BASE_MODEL),
        revision=None,
        folder=Path("out"),
        adapter=False,
        training_sets=(
            write_rows(tmp_path / "pairs.jsonl", [{"prompt": "?", "chosen": "x", "rejected": "y"}]),
            write_rows(tmp_path / "rows.jsonl", [conversation(f"Is it {number}?", "A. one") for number in range(8)]),
        ),
        elsewhere=(),
        parts={str(tmp_path / "rows.jsonl"): "train[:50%]"},
        held_out=0.1,
        began_from=None,
    )
    both = _Evaluations(["--device", "cpu"], tmp_path / "logs", {"dtype": "float32"})
    tuned = both.asked("tuned", trained.base_args, ["--tasks", TASK, "--limit", "2"])
    found = _audited(trained, both, tuned, tmp_path / "seen")
    assert [audit.path for audit in found.audits] == [tmp_path / "rows.jsonl"]
    assert len(found.gaps) == 3
    assert "pairs.jsonl:1" in found.gaps[0]


def test_outside_a_repository_git_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lm_eval")
    from consistency.shared_prefix.harness import commit

    monkeypatch.chdir(tmp_path)
    assert commit() is None
    assert capfd.readouterr().err == ""
    subprocess.run(["git", "init", "-q"], check=True)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    subprocess.run(["git", *identity, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    done = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert done.stdout.startswith(commit() or "none")


def test_flags_that_the_command_sets_itself_are_refused(tmp_path: Path, call: Call) -> None:
    code, _, told = call("after", write_config(tmp_path), "--tasks", TASK, "--output_path=logs")
    assert code == 2
    assert "--output_path" in told
    for nothing in ("", " , "):
        assert call("after", write_config(tmp_path), "--tasks", nothing)[::2] == (
            2,
            "consistency: --tasks: names no task; expected tasks or groups of lm_eval, such as mmlu,medmcqa\n",
        )


def test_what_cannot_be_compared_is_said_before_a_model_is_asked(tmp_path: Path, call: Call) -> None:
    pytest.importorskip("lm_eval")
    config = write_config(tmp_path, output_dir=str(BASE_MODEL))
    code, _, told = call("after", config, "--tasks", TASK, "--before", tmp_path / "nowhere", "--out", tmp_path / "out")
    assert code == 2
    assert "nowhere" in told.splitlines()[-1]
    config = write_config(tmp_path, output_dir=str(BASE_MODEL), base_model=str(tmp_path / "gone"))
    assert call("after", config, "--tasks", TASK, "--out", tmp_path / "out")[0] == 2
    assert not (tmp_path / "out").exists()


def test_the_training_set_is_asked_once_for_each_question(tmp_path: Path) -> None:
    sums = [{"instruction": QUESTION.format(f"{n} + 0?"), "output": "B. two"} for n in range(5)]
    first = write_rows(tmp_path / "first.jsonl", [conversation("who?", "C"), conversation("WHO?", "D. four"), *sums])
    listed = {"instruction": "Sort: a) pears b) figs", "output": "figs, pears"}
    second = write_rows(tmp_path / "second.jsonl", [listed, {"instruction": QUESTION.format("why?"), "output": "A"}])
    assert write_probe([first], tmp_path / "few").questions[0].answer == 2  # type: ignore[union-attr]
    probe = write_probe([first, second], tmp_path / "both")
    assert probe is not None
    last_lines = [item.question.split("\n")[-1] for item in probe.questions]
    assert last_lines == ["who?", *(f"{n} + 0?" for n in range(5)), "why?"]
    asked = read_questions(tmp_path / "both" / "pool.jsonl", "")
    assert [(item.question.split("\n")[-1], item.answer) for item in asked] == [("4 + 0?", 1), ("why?", 0)]
    assert write_probe([second], tmp_path / "none") is None


def test_an_evaluation_of_other_questions_is_another_one(tmp_path: Path) -> None:
    """Of the same base model, asked the questions of a training set or tasks of a folder that have changed since."""
    rows = [conversation(f"What is {number}?", "A") for number in range(7)]
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    both = _Evaluations(["--limit", "5", "--include_path", str(tasks)], tmp_path / "logs", {})
    model, found = {"pretrained": str(BASE_MODEL)}, []
    for last in ("seven?", "seven?", "eight?"):
        probe = write_probe([write_rows(tmp_path / "rows.jsonl", [*rows, conversation(last, "B")])], tmp_path / "probe")
        assert probe is not None
        found.append(both.made_of(model, ["--tasks", probe.task], [probe.folder]))
    assert found[0] == found[1]
    assert found[1] != found[2]
    before = both.made_of(model, ["--tasks", "mine"])
    (tasks / "mine.yaml").write_text("task: mine")
    assert both.made_of(model, ["--tasks", "mine"]) != before
