"""The estimate of an experiment's cost, against arithmetic done here."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from consistency.cli.app import app
from consistency.errors import InputError
from consistency.experiment.grid import Experiment
from consistency.experiment.plan import plan
from consistency.experiment.reading import read_experiment
from consistency.experiment.seeds import ASSUMED
from consistency.report.grid.report import write_report
from consistency.report.grid.seed_spread import read_spread
from consistency.statistics.crossed import crossed_mean, power_of_runs
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


def test_so_many_seeds_find_the_difference_as_often_as_the_plan_says(tmp_path: Path) -> None:
    """Simulated differences of two groups with the assumed spread, tested as a report tests them."""
    file = write(tmp_path, groups=["harmonious", "incompatible"])
    found = plan(read_experiment(file, tmp_path / "runs"), change=0.1).seeds
    assert found is not None
    assert (found.domains, found.seeds, found.spread) == (1, 2, ASSUMED)
    assert found.needed is not None
    assert found.found[found.needed] >= 0.8
    assert power_of_runs(0.1, ASSUMED, seeds=found.needed - 1, recipes=1, questions=found.questions) < 0.8
    rng, n, reached = np.random.default_rng(0), found.questions, 0
    for _ in range(400):
        own = ASSUMED.questions * math.sqrt(1 - ASSUMED.chance) * rng.normal(size=n)
        runs = [
            0.1 + ASSUMED.runs * rng.normal() + own + ASSUMED.questions * math.sqrt(ASSUMED.chance) * rng.normal(size=n)
            for _ in range(3)
        ]
        tested = crossed_mean(runs, np.tile(np.arange(n), 3), np.zeros(n, dtype=int), ["a"] * 3)
        reached += tested.p is not None and tested.p <= 0.05
    # Three standard errors of 400 draws.
    assert reached / 400 == pytest.approx(found.found[3], abs=0.075)


def test_a_plan_of_one_seed_says_that_a_claim_needs_more(tmp_path: Path) -> None:
    text = plan(
        read_experiment(write(tmp_path, seeds=[0], groups=["harmonious", "incompatible"]), tmp_path / "runs")
    ).to_text()
    assert "a claim about the recipe needs several" in text
    assert "an assumption" in text
    assert plan(read_experiment(write(tmp_path, seeds=[0]), tmp_path / "runs")).seeds is None


def test_the_spread_is_taken_from_a_report(
    tmp_path: Path, make_experiment: Callable[..., Experiment], call: Callable[..., tuple[int, str, str]]
) -> None:
    report = write_report(make_experiment(domains=("medicine",), seeds=(0, 1, 2)), tmp_path / "report").parent
    items = pd.read_parquet(report / "items.parquet").astype({"domain": str, "group": str, "scope": str})
    homo = items[items.scope == "homo"].pivot(index="doc_id", columns=["group", "seed"], values="correct_after")
    parts = []
    for group in ("harmonious", "self_aligning"):
        x = (homo[group] - homo["incompatible"]).to_numpy()
        left = x - x.mean(axis=0) - x.mean(axis=1, keepdims=True) + x.mean()
        # No more than all of it: by chance the mean of three may vary less than a third of it.
        chance = min((left**2).sum() / (29 * 2), x.var(axis=0, ddof=1).mean())
        parts.append((max(x.mean(axis=0).var(ddof=1) - chance / 30, 0), x.var(axis=0, ddof=1).mean(), chance))
    between, single, chance = np.mean(parts, axis=0)
    found = read_spread(report)
    assert (found.runs, found.questions, found.chance) == pytest.approx(
        (math.sqrt(between), math.sqrt(single), chance / single)
    )
    file = write(tmp_path, groups=["harmonious", "incompatible"])
    code, out, _ = call("experiment", "plan", file, "--report", report, "--change", 10, "--json")
    assert code == 0
    seeds = json.loads(out)["seeds"]
    assert (seeds["change"], seeds["spread"]["questions"]) == pytest.approx((0.1, found.questions))
    assert str(report) in seeds["origin"]
    one = write_report(make_experiment(domains=("medicine",)), tmp_path / "one").parent
    code, _, error = call("experiment", "plan", file, "--report", one)
    assert code == 2
    assert "at least two seeds" in error
    assert call("experiment", "plan", file, "--change", 0)[0] == 2
