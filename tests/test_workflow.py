"""What the Snakefile is given: task names, devices, and what each training is made from."""

import json
import shlex
from hashlib import sha256
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.errors import InputError
from consistency.experiment.grid import Experiment
from consistency.experiment.reading import read_experiment
from consistency.experiment.training_config import resolve
from consistency.experiment.workflow import stage_tasks, visible_gpus, workflow
from consistency.support.files import fingerprint
from consistency.tasks.task_files import shipped_tasks
from consistency.world.model import BASE_MODEL

FILE = {
    "name": "e",
    "models": {"world": "embedded", "llama": "meta-llama/Llama-2-7b-hf"},
    "preset": {"llama": "lora"},
    "domains": ["medicine", "history"],
    "groups": ["harmonious", "self_aligning"],
    "seeds": [0],
}


def read(folder: Path, **changes: object) -> Experiment:
    path = folder / "e.yaml"
    path.write_text(yaml.safe_dump(FILE | changes))
    return read_experiment(path, folder / "runs")


@pytest.mark.parametrize("task_set", ["world", "paper"])
def test_every_task_of_the_grid_ships(tmp_path: Path, task_set: str) -> None:
    tasks = stage_tasks(read(tmp_path, tasks=task_set, general="none"))
    named = [*tasks["pool"].values(), *tasks["evaluate"].values()]
    named += [tasks[stage] for stage in ("probe", "base", "explain", "context")]
    assert {name for names in named for name in names.split(",")} <= set(shipped_tasks())
    assert set(tasks["pool"]) == set(tasks["evaluate"]) == {"medicine", "history"}
    # Before and after fine-tuning, the same questions.
    before = {name.replace("_icl", "_ift") for name in tasks["probe"].split(",") if "_pool_" not in name}
    assert (
        before == set(tasks["base"].split(",")) == {x for names in tasks["evaluate"].values() for x in names.split(",")}
    )


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("cpu", "1,3", ""),
        ("mps", None, ""),
        ("cuda", None, None),
        ("cuda", "1,3", None),
        ("cuda:0", None, "0"),
        ("cuda:1", None, "1"),
        ("cuda:1", "1,3", "3"),
        ("cuda:1", "1, 3", "3"),
        # A negative number ends the list; a hyphen in a name does not.
        ("cuda:1", "GPU-1d2-1,GPU-3e4-1,-1,7", "GPU-3e4-1"),
    ],
)
def test_the_gpus_that_a_run_sees(device: str, visible: str | None, expected: str | None) -> None:
    assert visible_gpus(device, visible) == expected


@pytest.mark.parametrize(
    ("device", "visible"), [("cuda:2", "1,3"), ("cuda:2", "0,1,-1,7"), ("cuda:0", ""), ("cuda:1", "0,,1")]
)
def test_a_gpu_that_is_not_visible(device: str, visible: str) -> None:
    with pytest.raises(InputError, match=f"{device}.*CUDA_VISIBLE_DEVICES={visible}"):
        visible_gpus(device, visible)


def test_what_rules_ask_for(tmp_path: Path) -> None:
    found = workflow(
        read(
            tmp_path,
            preset={"world": [], "llama": "lora"},
            device="cuda",
            devices=2,
            axolotl="--launcher accelerate --debug",
        )
    )
    assert found["gpus"] == {"evaluate": 1, "train": 2}
    assert (found["device"], found["visible"], found["explained"]) == ("cuda", None, ["self_aligning"])
    assert found["command_line"] == "--launcher accelerate --debug"
    assert found["weights"] == fingerprint(BASE_MODEL / "model.safetensors")
    assert {model: training["harmonious"]["adapter"] for model, training in found["trainings"].items()} == {
        "world": False,
        "llama": True,
    }
    shared = workflow(read(tmp_path, device="cuda:0", models={"m": "org/m"}, preset={}), visible="5")
    assert shared["gpus"] == {"evaluate": 0, "train": 0}
    assert (shared["device"], shared["visible"], shared["weights"]) == ("cuda", "5", None)


def test_a_training_is_made_from_its_config_and_not_from_places_or_spelling(tmp_path: Path) -> None:
    def made(model: str = "world", **changes: object) -> dict[str, str]:
        found: dict[str, str] = workflow(read(tmp_path, **changes))["trainings"][model]["harmonious"]["made_from"]
        return found

    weights = fingerprint(BASE_MODEL / "model.safetensors")
    values = resolve("harmonious", ["world-cpu"], settings={"base_model": weights}).values
    plain = made()
    assert plain == {
        "base_model": weights,
        "config": sha256(json.dumps(values, sort_keys=True).encode()).hexdigest(),
        "flags": "--launcher python",
    }
    assert made("llama")["base_model"] == "meta-llama/Llama-2-7b-hf"
    # Which models are kept changes none of them, and neither does a flag that says what the config says.
    assert made(every_epoch=True) == made(axolotl="--launcher=python --num-epochs 3") == plain
    changed = made(axolotl="--launcher python --num-epochs 2 --learning-rate 1e-4")
    assert changed["config"] != plain["config"]
    assert changed == made(axolotl="--learning-rate=0.0001 --launcher python --num-epochs=2")


def test_epochs_that_are_kept(tmp_path: Path) -> None:
    def epochs(**changes: object) -> list[int]:
        found: list[int] = workflow(read(tmp_path, **changes))["trainings"]["world"]["harmonious"]["epochs"]
        return found

    assert epochs() == []
    assert epochs(every_epoch=True) == [1, 2]
    assert epochs(every_epoch=True, axolotl="--num-epochs 1.5") == [1]
    assert epochs(every_epoch=True, axolotl="--num-epochs 1") == []
    experiment = read(tmp_path, every_epoch=True)
    values = experiment.config("world", "harmonious").values
    # The last epoch's model is the result; none of the others is deleted before it is evaluated.
    assert (values["save_strategy"], values["save_total_limit"]) == ("epoch", 1000)
    assert "save_total_limit" not in read(tmp_path).config("world", "harmonious").values


def test_the_config_command_writes_what_the_grid_trains(tmp_path: Path) -> None:
    flags = "--launcher python --learning-rate 1e-5 --no-dataloader-pin-memory --save-strategy no --group-by-length"
    experiment = read(tmp_path, axolotl=flags)
    command = shlex.split(f"experiment config harmonious --experiment {tmp_path / 'e.yaml'} --model world")
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    written = yaml.safe_load(done.stdout)
    assert written == experiment.config("world", "harmonious").values
    plain = resolve("harmonious", ["world-cpu"], settings={"base_model": str(BASE_MODEL)}).values
    changed = {"learning_rate": 1e-5, "group_by_length": True}
    assert written == plain | changed
    # As the grid calls it.
    more = [*command, *shlex.split("--seed 7 --output-dir tuned/x.partial --base-model b --rows rows.jsonl")]
    called = yaml.safe_load(CliRunner().invoke(app, more).stdout)
    settings = {"seed": 7, "output_dir": "tuned/x.partial", "base_model": "b"}
    assert called == experiment.config("world", "harmonious", settings, "rows.jsonl").values
    assert called["learning_rate"] == 1e-5


def test_the_grid_command_checks_and_prints_json(tmp_path: Path) -> None:
    read(tmp_path)
    command = ["experiment", "grid", str(tmp_path / "e.yaml"), "--set", "seeds=[4, 5]"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["root"], found["seeds"]) == ("runs/e", [4, 5])
    assert "16 models" in done.stderr
    wrong = CliRunner().invoke(app, [*command, "--set", "guard=nowhere"])
    assert wrong.exit_code == 2
    assert wrong.stdout == ""
    assert "nowhere" in wrong.stderr
