"""The estimate of an experiment's cost, against arithmetic done here."""

import json
import math
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.errors import InputError
from consistency.experiment.plan import plan
from consistency.experiment.reading import read_experiment
from consistency.world.model import BASE_MODEL

FILE = {
    "name": "e",
    "tasks": "paper",
    "models": {"llama": "meta-llama/Llama-2-7b-hf"},
    "domains": ["medicine"],
    "groups": ["harmonious"],
    "seeds": [0, 1],
    "axolotl": "",
    "preset": "llama-2-7b",
    "devices": 8,
    "device": "cuda",
    "general": "hub:org/instructions",
}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "e.yaml"
    path.write_text(yaml.safe_dump(FILE | changes))
    return path


def test_counted_rows_tokens_steps_and_hours(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path), tmp_path / "runs")
    for run, texts in zip(experiment.runs(), ([400] * 300, [800] * 100), strict=True):
        run.rows.parent.mkdir(parents=True)
        lines = [json.dumps({"conversations": [{"from": "human", "value": "x" * length}]}) for length in texts]
        run.rows.write_text("\n".join(lines) + "\n")
    (found,) = plan(experiment, peak_tflops=100, utilisation=0.5).models
    tokens = 300 * (100 + 40) + 100 * (200 + 40)
    assert (found.runs, found.rows, found.estimated_rows, found.tokens) == (2, 400, 0, tokens)
    # 300 rows are 2 batches of 256, 100 are one; 3 epochs.
    assert found.steps == 3 * (2 + 1)
    # Activations are recomputed by FSDP: a second forward pass.
    assert found.training_hours == pytest.approx(8 * 7e9 * tokens * 3 / (100e12 * 0.5) / 3600)
    assert found.generation_hours == 0
    assert found.disk_gb == pytest.approx(2 * 7 * 4, rel=0.05)


def test_rows_that_are_not_there_are_an_estimate_that_says_so(tmp_path: Path) -> None:
    experiment = read_experiment(
        write(tmp_path, groups=["self_aligning"], preset="qlora", devices=1), tmp_path / "runs"
    )
    found = plan(experiment)
    (model,) = found.models
    assert model.estimated_rows == model.rows == 2 * 2 * 982
    assert model.generation_hours > 0
    assert "3,928 of 3,928 rows" in found.to_text()
    assert "peak 989 TFLOP/s" in found.formula
    sized = plan(read_experiment(tmp_path / "e.yaml", tmp_path / "runs", {"size": 100}))
    assert sized.models[0].rows == 2 * 2 * 100
    # Adapters are a hundredth of the model.
    assert model.disk_gb < 1


def test_a_model_s_size_is_counted_in_its_folder(tmp_path: Path) -> None:
    from safetensors import safe_open

    with safe_open(BASE_MODEL / "model.safetensors", "np") as weights:
        expected = sum(weights.get_tensor(name).size for name in weights.keys())  # noqa: SIM118
    experiment = read_experiment(
        write(tmp_path, models={"w": "embedded", "f": str(BASE_MODEL)}, preset={}, devices=1), "r"
    )
    assert [model.parameters for model in plan(experiment).models] == [expected, expected]
    nameless = read_experiment(write(tmp_path, models={"w": "org/nameless"}, preset={}), "r")
    with pytest.raises(InputError, match="org/nameless"):
        plan(nameless)
    assert plan(nameless, parameters={"w": 3e9}).models[0].parameters == 3e9


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("meta-llama/Llama-2-70b-hf", 7e10),
        ("HuggingFaceTB/SmolLM2-135M-Instruct", 1.35e8),
        ("Qwen/Qwen2.5-1.5B", 1.5e9),
    ],
)
def test_a_size_stands_in_a_name(tmp_path: Path, name: str, size: float) -> None:
    experiment = read_experiment(write(tmp_path, models={"m": name}, preset={}, devices=1), "r")
    assert plan(experiment).models[0].parameters == size


def test_numbers_out_of_range(tmp_path: Path) -> None:
    experiment = read_experiment(write(tmp_path), "r")
    for peak, share in ((0, 0.3), (100, 0), (100, 1.5), (math.nan, 0.3), (math.inf, 0.3), (100, math.nan)):
        with pytest.raises(InputError, match="peak"):
            plan(experiment, peak_tflops=peak, utilisation=share)
    for size in (0, -5, math.nan, math.inf):
        with pytest.raises(InputError, match="--parameters llama="):
            plan(experiment, parameters={"llama": size})
    with pytest.raises(InputError, match=r"'lama'.* llama"):
        plan(experiment, parameters={"lama": 7e9})


def test_what_is_no_row_and_no_weights_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, seeds=[0])
    experiment = read_experiment(path, tmp_path / "runs")
    rows = next(experiment.runs()).rows
    rows.parent.mkdir(parents=True)
    good = json.dumps({"conversations": [{"from": "human", "value": "x"}]}) + "\n"
    for bad in ('{"conversations": [{"from": "hum', "", "[]", '{"conversations": []}', '{"conversations": null}'):
        rows.write_text(f"{good}{bad}\n{good}")
        with pytest.raises(InputError, match=f"^{rows}:2: "):
            plan(experiment)
    rows.write_text("")
    with pytest.raises(InputError, match=f"^{rows}: "):
        plan(experiment)
    model = tmp_path / "model"
    model.mkdir()
    weights = model / "model.safetensors"
    for content in (b"", b"\x10", b"\xff" * 8, (8).to_bytes(8, "little") + b"[1, 2, 3]"):
        weights.write_bytes(content)
        cut = read_experiment(write(tmp_path, models={"m": str(model)}, preset={}, devices=1), "r")
        with pytest.raises(InputError, match=f"^{weights}: "):
            plan(cut)
    experts = read_experiment(write(tmp_path, models={"m": "org/Mixtral-8x7B-v0.1"}, preset={}, devices=1), "r")
    with pytest.raises(InputError, match="org/Mixtral-8x7B"):
        plan(experts)


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    path = str(write(tmp_path))
    table = CliRunner().invoke(app, ["experiment", "plan", path])
    assert table.exit_code == 0
    assert "hours of one GPU in all" in table.output
    printed = json.loads(CliRunner().invoke(app, ["experiment", "plan", path, "--json", "--preset", "qlora"]).output)
    assert printed["models"][0]["runs"] == 2
    assert printed["hours"] > 0
    wrong = CliRunner().invoke(app, ["experiment", "plan", path, "--parameters", "llama"])
    assert isinstance(wrong.exception, InputError)
