"""A training that is watched: real trainings of the world's base model on the CPU, against lm_eval's own scores."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from consistency.logs.runs import read_run
from consistency.support.resources import shipped
from consistency.watch.rows import read_drift
from consistency.watch.settings import read_settings
from consistency.world.model import BASE_MODEL

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")

ROOT = Path(__file__).resolve().parent.parent
TASKS = ("consistency_world_history_ift", "consistency_world_medicine_ift")
WATCH = {"tasks": list(TASKS), "learn": TASKS[1], "questions": 16, "every": 3}
WORDS = "the river moves a cold stone under moss while old bells ring and ships carry salt past the mill "
# One that writes files which can be read again.
LOGGERS = ["tensorboard"] if find_spec("tensorboard") else []


@dataclass
class Trained:
    folder: Path
    weights: dict[str, Any]
    losses: list[Any]
    history: list[dict[str, Any]]
    random_state: Any


def trainer_of(
    folder: Path, watch: dict[str, Any] | None, lora: bool = False, template: bool = True, **changes: Any
) -> Any:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

    set_seed(3)
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    if not template:
        tokenizer.chat_template = None
    # With dropout the training draws random numbers at each step.
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32, attention_dropout=0.1)
    if lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=8, lora_dropout=0.1, target_modules=["q_proj", "down_proj"]))
    rows = [{"input_ids": ids, "labels": ids} for ids in np.random.default_rng(0).integers(3, 3000, (32, 24)).tolist()]
    settings = {
        "num_train_epochs": 2,
        "learning_rate": 1e-3,
        "save_strategy": "steps",
        "save_steps": 3,
        "report_to": [],
    } | changes
    arguments = TrainingArguments(
        str(folder),
        per_device_train_batch_size=8,
        logging_steps=1,
        use_cpu=True,
        dataloader_pin_memory=False,
        disable_tqdm=True,
        **settings,
    )
    trainer = Trainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    if watch is not None:
        from consistency.watch import WatchCallback

        trainer.add_callback(WatchCallback(trainer, **watch))
    return trainer


def train(folder: Path, watch: dict[str, Any] | None, resume: Path | None = None, **how: Any) -> Trained:
    trainer = trainer_of(folder, watch, **how)
    trainer.train(resume_from_checkpoint=None if resume is None else str(resume))
    history = trainer.state.log_history
    losses = [{key: row[key] for key in ("step", "loss", "grad_norm")} for row in history if "loss" in row]
    weights = {name: weight.detach().clone() for name, weight in trainer.model.state_dict().items()}
    return Trained(folder, weights, losses, history, torch.get_rng_state())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("watching")


@pytest.fixture(scope="module")
def text(folder: Path) -> Path:
    path = folder / "text.txt"
    words = WORDS.split()
    path.write_text(" ".join(np.random.default_rng(1).choice(words, 1000)))
    return path


@pytest.fixture(scope="module")
def watched(folder: Path, text: Path) -> Trained:
    return train(folder / "watched", {**WATCH, "text": str(text)}, report_to=LOGGERS)


def steps_of(folder: Path) -> list[int]:
    return sorted(int(path.name.removeprefix("step-")) for path in (folder / "watch").glob("step-*"))


def samples_of(folder: Path) -> dict[tuple[str, int], dict[str, Any]]:
    found = {}
    for path in folder.glob("samples_*.jsonl"):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            found[path.name.rsplit("_", 1)[0].removeprefix("samples_"), row["doc_id"]] = row
    return found


def by_lm_eval(model: str, ids: dict[str, list[int]], **arguments: Any) -> dict[tuple[str, int], dict[str, Any]]:
    """The samples of lm_eval's own `hf`, which loads a checkpoint and shares no prefix."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    found = simple_evaluate(
        "hf",
        {"pretrained": model, "dtype": "float32", **arguments},
        tasks=list(ids),
        samples=ids,
        apply_chat_template=True,
        device="cpu",
        batch_size=32,
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(shipped("lm_eval_tasks")), include_defaults=False),
    )
    return {(task, row["doc_id"]): row for task, rows in found["samples"].items() for row in rows}


def assert_same_scores(ours: dict[tuple[str, int], Any], theirs: dict[tuple[str, int], Any]) -> None:
    assert ours.keys() == theirs.keys()
    for key, row in ours.items():
        assert (row["doc"], row["prompt_hash"]) == (theirs[key]["doc"], theirs[key]["prompt_hash"])
        scores = [[float(score) for score, _ in sample["filtered_resps"]] for sample in (row, theirs[key])]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
        assert row["acc"] == theirs[key]["acc"]


def test_training_is_the_same_to_the_bit(watched: Trained, folder: Path) -> None:
    alone = train(folder / "alone", None)
    assert watched.losses == alone.losses
    assert len(watched.losses) == 8
    assert watched.weights.keys() == alone.weights.keys()
    assert all(torch.equal(watched.weights[name], alone.weights[name]) for name in alone.weights)
    assert torch.equal(watched.random_state, alone.random_state)


def test_asked_before_the_first_step_then_every_so_many_at_epochs_and_at_the_end(watched: Trained) -> None:
    assert steps_of(watched.folder) == [0, 3, 4, 6, 8]
    rows = read_drift(watched.folder / "watch")
    assert [row.step for row in rows] == [0, 3, 4, 6, 8]
    about = json.loads((watched.folder / "watch" / "watch.json").read_text())
    assert (about["max_steps"], about["questions"]) == (8, 16)
    assert {name: task["questions"] for name, task in about["tasks"].items()} == dict.fromkeys(TASKS, 8)
    assert about["cost"]["looks"] == 5
    # The Trainer's own loggers get what the record holds.
    logged = {row["step"]: row for row in watched.history if "watch/kept/accuracy" in row}
    assert [logged[row.step]["watch/kept/accuracy"] for row in rows] == [row.kept.value("accuracy") for row in rows]
    assert "watch/text/kl" in logged[8]


@pytest.mark.skipif(not LOGGERS, reason="needs tensorboard, which is not installed")
def test_the_loggers_of_the_training_have_the_figures(watched: Trained) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (events,) = (watched.folder / "runs").iterdir()
    read = EventAccumulator(str(events))
    read.Reload()
    rows = read_drift(watched.folder / "watch")
    for name in ("kept/kl", "learned/change"):
        pool, figure = name.split("/")
        logged = [(event.step, event.value) for event in read.Scalars(f"train/watch/{name}")]
        assert logged == [(row.step, pytest.approx(getattr(row, pool).value(figure), abs=1e-6)) for row in rows]


def test_scores_are_those_of_the_checkpoint(watched: Trained) -> None:
    ours = samples_of(watched.folder / "watch" / "step-000003")
    ids = {task: sorted(number for name, number in ours if name == task) for task in TASKS}
    theirs = by_lm_eval(str(watched.folder / "checkpoint-3"), ids)
    assert_same_scores(ours, theirs)
    # And the training moved them.
    before = samples_of(watched.folder / "watch" / "step-000000")
    moved = [
        abs(float(ours[key]["filtered_resps"][0][0]) - float(row["filtered_resps"][0][0]))
        for key, row in before.items()
    ]
    assert max(moved) > 0.01
    run = read_run(watched.folder / "watch" / "step-000003")
    assert run.config.chat_template
    assert set(run.tasks) == set(TASKS)


def test_kl_of_a_text_is_that_of_its_definition(watched: Trained, text: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    tokens = tokenizer(text.read_text(), add_special_tokens=False)["input_ids"]
    windows = torch.tensor(tokens[: len(tokens) // 512 * 512][:4096]).reshape(-1, 512)
    if tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id:
        windows[:, 0] = tokenizer.bos_token_id
    found = []
    for model in (BASE_MODEL, watched.folder / "checkpoint-6"):
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
        with torch.no_grad():
            found.append(loaded(windows).logits[:, 256:511].double().log_softmax(-1).reshape(-1, 3584))
    first, now = found
    kl = (first.exp() * (first - now)).sum(-1).numpy()
    own = windows[:, 257:].reshape(-1, 1)
    ratio = float((first.gather(1, own) - now.gather(1, own)).mean().exp())
    rows = {
        row["step"]: row for row in map(json.loads, (watched.folder / "watch" / "text.jsonl").read_text().splitlines())
    }
    assert list(rows) == [0, 3, 4, 6, 8]
    figures = rows[6]["figures"]
    assert rows[6]["tokens"] == len(kl) == 255 * len(windows)
    assert figures["kl"]["value"] == pytest.approx(kl.mean(), abs=1e-5)
    assert figures["kl"]["ci_low"] < kl.mean() < figures["kl"]["ci_high"]
    for name, share in (("median", 0.5), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)):
        assert figures[f"kl_{name}"]["value"] == pytest.approx(np.quantile(kl, share), rel=1e-2), name
    assert figures["same_top"]["value"] == pytest.approx(float((first.argmax(-1) == now.argmax(-1)).double().mean()))
    assert figures["perplexity_ratio"]["value"] == pytest.approx(ratio, rel=1e-4)
    assert rows[0]["figures"]["kl"]["value"] == pytest.approx(0, abs=1e-6)
    assert rows[0]["figures"]["same_top"]["value"] == 1
    # Of the first model's distributions nothing is left.
    assert not (watched.folder / "watch" / "text-reference").exists()


def test_a_training_that_resumes_goes_on_in_the_same_folder(watched: Trained, folder: Path, text: Path) -> None:
    import shutil

    shutil.copytree(watched.folder, folder / "resumed")
    watch = {**WATCH, "text": None}
    whole = read_drift(watched.folder / "watch")
    kept = {step: next((folder / "resumed/watch" / f"step-{step:06d}").glob("results_*")).name for step in (0, 3)}
    resumed = train(folder / "resumed", watch, resume=folder / "resumed" / "checkpoint-3")
    again = read_drift(folder / "resumed" / "watch")
    assert [row.step for row in again] == [row.step for row in whole]
    assert [row.tasks for row in again] == [row.tasks for row in whole]
    for step, name in kept.items():
        assert (folder / "resumed/watch" / f"step-{step:06d}" / name).exists()
    later = next((watched.folder / "watch/step-000006").glob("results_*")).name
    assert not (folder / "resumed/watch/step-000006" / later).exists()
    assert all(torch.equal(resumed.weights[name], weight) for name, weight in watched.weights.items())
    # What it cost before the checkpoint is a part of the cost.
    costs = [
        json.loads((place / "watch/watch.json").read_text())["cost"] for place in (watched.folder, folder / "resumed")
    ]
    assert costs[1]["looks"] == costs[0]["looks"] + 3
    assert all(costs[1][name] > costs[0][name] for name in ("seconds", "training_seconds"))
    assert costs[1]["share"] == pytest.approx(costs[1]["seconds"] / costs[1]["training_seconds"])


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"baseline": "elsewhere"}, "watch.baseline: 'elsewhere', and 'step-0' before"),
        ({"stop": {"margin": 0.2}}, "watch.stop"),
    ],
)
def test_a_training_that_resumes_keeps_what_it_is_judged_by(
    watched: Trained,
    changed: dict[str, Any],
    said: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from consistency.watch import callback

    # The baseline is looked for before; here it is as if it were there.
    monkeypatch.setattr(callback, "check_tasks", lambda *_: None)
    with pytest.raises(SystemExit):
        train(watched.folder, {**WATCH, **changed}, resume=watched.folder / "checkpoint-3")
    assert said in capfd.readouterr().err


def test_after_an_alarm_the_model_has_the_weights_of_the_frontier(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    watch = {**WATCH, "learn": None, "questions": 60, "every": 2, "on_alarm": "rollback"}
    spoiled = train(folder / "spoiled", watch, learning_rate=0.05, save_strategy="no")
    alarm = json.loads((spoiled.folder / "watch" / "alarm.json").read_text())
    assert alarm["step"] == spoiled.losses[-1]["step"] < 8
    first = train(folder / "first", None, max_steps=1, learning_rate=0.0, save_strategy="no")
    assert all(torch.equal(spoiled.weights[name], weight) for name, weight in first.weights.items())
    assert f"alarm at step {alarm['step']}: the model has the weights of step 0 again" in capfd.readouterr().err
    assert not list((spoiled.folder / "watch").glob("weights-*"))


def test_an_adapter_is_scored_as_it_is_when_loaded(folder: Path) -> None:
    tuned = train(folder / "lora", {**WATCH, "every": 100}, lora=True, learning_rate=1e-2, save_steps=4)
    ours = samples_of(tuned.folder / "watch" / "step-000004")
    ids = {task: sorted(number for name, number in ours if name == task) for task in TASKS}
    assert_same_scores(ours, by_lm_eval(str(BASE_MODEL), ids, peft=str(tuned.folder / "checkpoint-4")))


@pytest.mark.parametrize(
    ("watch", "template", "said"),
    [
        ({"tasks": ["consistency_world_histry_ift"]}, True, "perhaps consistency_world_history_ift"),
        ({"tasks": ["told", TASKS[0]], "include_path": "."}, True, "no scoring by logprobs in told (generate_until)"),
        ({"tasks": [TASKS[0]]}, False, "the tokenizer has no chat template"),
        ({"tasks": [TASKS[0]], "text": "missing.txt"}, True, "missing.txt"),
        ({"tasks": [TASKS[0]], "learn": TASKS[0]}, True, "all tasks are to be learned"),
        ({"tasks": [TASKS[0]], "folder": "taken"}, True, "step-7, which no watch wrote"),
    ],
)
def test_what_cannot_run_ends_the_training_in_one_line(
    watch: dict[str, Any],
    template: bool,
    said: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_task(
        tmp_path, "told", output_type="generate_until", generation_kwargs={"until": ["."]}, doc_to_target="{{answer}}"
    )
    (tmp_path / "taken" / "step-7").mkdir(parents=True)
    trainer = trainer_of(tmp_path / "out", {"questions": 4, **watch}, template=template)
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        trainer.train()
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("consistency: ")]
    assert ended.value.code == 2
    assert len(lines) == 1
    assert said in lines[0]
    assert trainer.state.global_step == 0
    # What no watch wrote stays.
    assert (tmp_path / "taken" / "step-7").is_dir()


def test_folders_that_no_watch_wrote_are_not_removed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "checkpoints" / "step-000500" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"of hours")
    trainer = trainer_of(tmp_path / "out", {"tasks": list(TASKS), "questions": 4, "folder": str(weights.parent.parent)})
    with pytest.raises(SystemExit):
        trainer.train()
    assert "watch.folder: holds step-000500, which no watch wrote" in capfd.readouterr().err
    assert weights.read_bytes() == b"of hours"


def test_a_look_that_fails_later_is_said_and_training_goes_on(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The folder of a later step is taken: what is there cannot be replaced."""
    place = folder / "later"
    trainer = trainer_of(place, WATCH, save_strategy="no")

    class Taken(type(trainer.callback_handler.callbacks[0]).__mro__[1]):  # a TrainerCallback
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            (place / "watch" / "step-000003").mkdir()
            (place / "watch" / "step-000003" / "other").touch()

    trainer.add_callback(Taken())
    trainer.train()
    assert trainer.state.global_step == 8
    assert "the look at step 3 failed, and training goes on" in capfd.readouterr().err
    assert [row.step for row in read_drift(place / "watch")] == [0, 4, 6, 8]


def write_task(folder: Path, name: str, **settings: Any) -> None:
    import yaml

    rows = [
        {"question": f"What is {n} + 1?", "choices": [str(n), str(n + 1), str(n + 2)], "answer": 1} for n in range(60)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "rows.jsonl")}},
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
    }
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(task | settings))


def test_few_shot_examples_are_those_of_a_run_of_all_documents(tmp_path: Path) -> None:
    """Lm_eval draws the examples of one document after the other."""
    from lm_eval.tasks import TaskManager, get_task_dict

    from consistency.watch.questions import FEWSHOT_SEED, choose_questions

    write_task(tmp_path, "sums", num_fewshot=3)
    settings = read_settings(
        {"tasks": "sums", "questions": 9, "include_path": str(tmp_path), "apply_chat_template": False}, planned_steps=10
    )
    questions = choose_questions(settings)
    questions.build(settings, None)
    whole = get_task_dict(["sums"], TaskManager(include_path=str(tmp_path), include_defaults=False))["sums"]
    whole.set_fewshot_seed(FEWSHOT_SEED)
    whole.build_all_requests()
    contexts = {request.doc_id: request.args[0] for request in whole.instances}
    asked = questions.tasks["sums"]
    found = {asked.ids[request.doc_id]: request.args[0] for request in asked.task.instances}
    assert len(found) == 9
    assert found == {number: contexts[number] for number in asked.ids}
    assert questions.sha256 != choose_again(settings, seed=1)


def test_fewer_questions_are_a_part_of_those_that_were_chosen(tmp_path: Path) -> None:
    from consistency.watch.questions import choose_questions

    write_task(tmp_path, "sums")
    settings = read_settings({"tasks": "sums", "include_path": str(tmp_path), "num_fewshot": 2}, planned_steps=10)
    questions = choose_questions(settings)
    questions.build(settings, None)
    prompts = {
        questions.tasks["sums"].ids[request.doc_id]: request.args for request in questions.tasks["sums"].task.instances
    }
    cut = questions.cut({"sums": 7}, settings.seed)
    asked = cut.tasks["sums"]
    assert (cut.count, len(cut.requests), asked.of) == (7, 7, 60)
    assert [document["question"] for document in asked.documents] == [f"What is {number} + 1?" for number in asked.ids]
    for number, requests in zip(asked.ids, cut.requests, strict=True):
        assert requests[-1].args == prompts[number]
    assert cut.samples == {"sums": asked.ids}
    # And fewer still, chosen the same each time.
    again = choose_questions(settings)
    again.build(settings, None)
    assert again.cut({"sums": 7}, settings.seed).sha256 == cut.sha256


def test_examples_that_a_task_does_not_take_are_said(tmp_path: Path) -> None:
    from consistency.watch.questions import choose_questions

    write_task(tmp_path, "sums", num_fewshot=0)
    given = {"tasks": "sums", "include_path": str(tmp_path), "questions": 5}
    assert choose_questions(read_settings({**given, "num_fewshot": 2}, planned_steps=10)).unused == ("sums",)
    assert choose_questions(read_settings(given, planned_steps=10)).unused == ()


def choose_again(settings: Any, seed: int) -> str:
    from dataclasses import replace

    from consistency.watch.questions import choose_questions

    other = replace(settings, seed=seed)
    questions = choose_questions(other)
    questions.build(other, None)
    return questions.sha256


AXOLOTL = """
base_model: {model}
datasets:
  - {{path: rows.jsonl, ds_type: json, type: chat_template, field_messages: messages}}
chat_template: chatml
adapter: lora
lora_r: 4
lora_alpha: 8
lora_target_modules: [q_proj, v_proj]
lora_mlp_kernel: false
lora_qkv_kernel: false
lora_o_kernel: false
output_dir: ./out
sequence_len: 128
micro_batch_size: 4
gradient_accumulation_steps: 2
num_epochs: 2
optimizer: adamw_torch
learning_rate: 1e-3
bf16: false
attn_implementation: sdpa
logging_steps: 1
plugins: [consistency.watch.Watch, consistency.epochs.WholeEpochs]
watch: {watch}
"""


def axolotl(folder: Path, watch: str) -> subprocess.CompletedProcess[str]:
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"What cures fever {n}?"},
                {"role": "assistant", "content": "ABCD"[n % 4]},
            ]
        }
        for n in range(16)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "mine.yml").write_text(AXOLOTL.format(model=BASE_MODEL, watch=watch))
    environment = os.environ | {
        "AXOLOTL_DO_NOT_TRACK": "1",
        "AXOLOTL_DATASET_NUM_PROC": "0",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "axolotl.cli.main", "train", "mine.yml", "--launcher", "python"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_an_axolotl_config_of_any_kind_is_watched_by_two_lines(tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    done = axolotl(tmp_path, "{tasks: [consistency_world_history_ift], questions: 8, every: 3}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert steps_of(tmp_path / "out") == [0, 2, 3, 4]
    # One sentence for each look at a trained model.
    assert re.findall(r"^watch: step (\d+): kept ", done.stderr, re.MULTILINE) == ["2", "3", "4"]
    assert (tmp_path / "out" / "adapter_model.safetensors").exists()
    run = read_run(tmp_path / "out" / "watch" / "step-000004")
    # Axolotl's template, which is not the tokenizer's own.
    assert "<|im_start|>" in str(run.config.template)
    (row,) = {
        row["arguments"]["gen_args_0"]["arg_0"][:12] for row in samples_of(tmp_path / "out/watch/step-000004").values()
    }
    assert row == "<|im_start|>"


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        ("{tasks: [consistency_world_history_ift], evry: 3}", "consistency: watch: unknown key 'evry'; expected every"),
        ("{tasks: [consistency_world_histry_ift]}", "consistency: watch.tasks: no task 'consistency_world_histry_ift'"),
    ],
)
def test_what_axolotl_cannot_watch_ends_it_before_it_loads_a_model(watch: str, said: str, tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    done = axolotl(tmp_path, watch)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if line.startswith(said)]
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").glob("config.json"))
