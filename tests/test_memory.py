"""Whether models fit in memory: bytes by hand, on GPUs that a stand-in for nvidia-smi lists, and on the CPU of this host."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from consistency.experiment.grid import Experiment
from consistency.experiment.memory import (
    count_parameters,
    device_memory,
    evaluation_bytes,
    memory_problems,
    training_bytes,
)
from consistency.experiment.presets import preset_names
from consistency.experiment.reading import read_experiment
from consistency.experiment.training_config import resolve
from consistency.experiment.validation import validate
from consistency.support.host import Gpu, list_gpus

# What nvidia-smi says of a GPU of "24 GB", and of one of "80 GB", in MiB.
SMALL, LARGE = 24564, 81559


def gpus(folder: Path, monkeypatch: pytest.MonkeyPatch, *memories: object) -> None:
    """A host with such GPUs."""
    program = folder / "nvidia-smi"
    listed = (f"echo '{number}, GPU-{number}, {memory}, NVIDIA Card'\n" for number, memory in enumerate(memories))
    program.write_text("#!/bin/sh\n" + "".join(listed))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def read(folder: Path, **changes: Any) -> Experiment:
    content = {
        "name": "e",
        "tasks": "paper",
        "models": {"llama": "org/llama-7b"},
        "domains": ["medicine"],
        "groups": ["harmonious"],
        "seeds": [0],
        "axolotl": "",
        "general": "none",
        "device": "cuda",
        "model_args": "dtype=bfloat16",
    }
    (folder / "e.yaml").write_text(yaml.safe_dump(content | changes))
    return read_experiment(folder / "e.yaml", folder / "runs")


def check(folder: Path, **changes: Any) -> tuple[list[str], list[str]]:
    """Problems and notes on the memory of an experiment."""
    experiment = read(folder, **changes)
    configs = {(model, "harmonious"): experiment.config(model, "harmonious") for model in experiment.models}
    return memory_problems(experiment, configs)


def write_weights(folder: Path, parameters: int, name: str = "model.safetensors") -> None:
    """A file of one tensor in two bytes whose values take no place on the disk."""
    folder.mkdir(exist_ok=True)
    header = {"w": {"dtype": "BF16", "shape": [parameters], "data_offsets": [0, 2 * parameters]}}
    text = json.dumps(header).encode()
    with (folder / name).open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + 2 * parameters)


@pytest.mark.parametrize(
    ("presets", "settings", "devices", "expected"),
    [
        # Weights, gradients and two states: four times two or four bytes.
        ([], {}, 1, 8),
        (["packed", "liger"], {}, 1, 8),
        ([], {"bf16": True}, 1, 8),
        (["autocast", "packed", "liger"], {}, 1, 16),
        (["float32"], {}, 1, 16),
        (["cpu"], {}, 1, 16),
        # States of a byte each, and states that give way to the host.
        ([], {"optimizer": "adamw_8bit"}, 1, 2 + 2 + 2),
        ([], {"optimizer": "paged_adamw_8bit"}, 1, 2 + 2),
        # Nothing is known of it but that there are weights.
        ([], {"optimizer": "lomo"}, 1, 2),
        ([], {"unfrozen_parameters": ["lm_head"]}, 1, 2),
        # The weights alone.
        (["lora"], {}, 1, 2),
        (["lora", "autocast"], {}, 1, 4),
        (["lora"], {"load_in_8bit": True}, 1, 1),
        (["qlora"], {}, 1, 0.5),
        # A copy on each device, or a share of it.
        ([], {}, 8, 8),
        (["llama-2-7b"], {}, 1, 16),
        (["llama-2-7b"], {}, 8, 2),
        # In the memory of the host.
        (["llama-2-70b"], {}, 8, None),
        (["llama-2-7b"], {"fsdp_config": {"offload_params": True}}, 8, None),
    ],
)
def test_bytes_of_a_parameter_in_training(
    presets: list[str], settings: dict[str, Any], devices: int, expected: float | None
) -> None:
    assert training_bytes(resolve("harmonious", presets, devices, settings).values, devices) == expected


def test_every_preset_has_a_number_of_bytes_but_the_one_that_offloads() -> None:
    found = {name: training_bytes(resolve("harmonious", [name]).values) for name in preset_names()}
    assert [name for name, each in found.items() if each is None] == ["llama-2-70b"]


@pytest.mark.parametrize(("preset", "dtype"), [("liger", "bfloat16"), ("autocast", "float32")])
def test_torch_keeps_gradients_and_states_in_the_type_of_the_weights(preset: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    model = torch.nn.Linear(32, 8, bias=False, dtype=getattr(torch, dtype))
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model(torch.ones(1, 32, dtype=model.weight.dtype)).sum().backward()
    optimizer.step()
    states = [value for value in optimizer.state[model.weight].values() if value.ndim]
    kept = sum(tensor.nbytes for tensor in (model.weight, model.weight.grad, *states))
    assert kept / model.weight.numel() == training_bytes(resolve("harmonious", [preset]).values)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("", 2),
        ("dtype=auto", 2),
        ("dtype=bfloat16", 2),
        ("dtype=torch.float32", 4),
        ("load_in_4bit=True", 0.5),
        ("load_in_8bit=True,dtype=float32", 1),
        ("load_in_8bit=False,dtype=float32", 4),
        ("parallelize=True", None),
        ("device_map=auto", None),
    ],
)
def test_bytes_of_a_parameter_in_lm_eval(arguments: str, expected: float | None) -> None:
    assert evaluation_bytes(arguments) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("org/llama-7b", 7e9), ("Qwen/Qwen-1_8B", None), ("org/Mixtral-8x7B", None), ("./runs/x-360M/", 3.6e8)],
)
def test_parameters_by_name(name: str, expected: float | None) -> None:
    assert count_parameters(name) == expected


def test_weights_are_counted_as_they_are_loaded(tmp_path: Path) -> None:
    model = tmp_path / "model-70b"
    write_weights(model, 30, "model-00001-of-00002.safetensors")
    write_weights(model, 12, "model-00002-of-00002.safetensors")
    # The same weights once more, in the format of their authors.
    write_weights(model, 42, "consolidated.safetensors")
    assert count_parameters(str(model)) == 42
    write_weights(model, 40)
    assert count_parameters(str(model)) == 40


def test_a_training_that_cannot_fit_on_a_gpu_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(tmp_path, monkeypatch, SMALL)
    assert list_gpus() == [Gpu("0", "GPU-0", "NVIDIA Card", SMALL * 2**20)]
    (problem,), notes = check(tmp_path)
    # 93 % of 7 billion in 16 bytes each; 24,564 × 2²⁰ bytes.
    assert problem.startswith("models: llama: ")
    assert "104.2 GB" in problem
    assert "25.8 GB" in problem
    assert "preset: lora" in problem
    # 16 × 6.51 / 8 = 13.02 fit in 25.8, 26.04 do not.
    assert "devices: 8" in problem
    assert not notes
    (plain,), _ = check(tmp_path, preset=[])
    assert "52.1 GB" in plain
    for preset in ("lora", "qlora", "llama-2-70b"):
        assert check(tmp_path, preset=preset)[0] == []
    # 26.0 GB in four bytes each.
    (adapter,), _ = check(tmp_path, preset=["lora", "autocast"])
    assert "26.0 GB" in adapter


def test_a_sharded_training_is_divided_and_a_copied_one_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(tmp_path, monkeypatch, *[SMALL] * 8)
    assert check(tmp_path, preset="llama-2-7b", devices=8)[0] == []
    (sharded,), _ = check(tmp_path, preset="llama-2-7b", devices=4)
    assert "26.0 GB" in sharded
    (copied,), _ = check(tmp_path, preset=[], devices=8)
    assert "52.1 GB" in copied


def test_a_model_that_cannot_be_asked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(tmp_path, monkeypatch, SMALL)
    (problem,), _ = check(tmp_path, preset="lora", model_args="dtype=float32")
    assert problem.startswith("models: llama: ")
    assert "26.0 GB" in problem
    assert "dtype=bfloat16" in problem
    (context,), _ = check(tmp_path, preset="lora", context_model="org/writer-32b")
    # 93 % of 32 billion in two bytes each.
    assert context.startswith("context_model: org/writer-32b: ")
    assert "59.5 GB" in context
    (_,), notes = check(tmp_path, preset="lora", context_model="org/writer-32b", models={"a": "org/a-7b", "b": "org/b"})
    assert len([note for note in notes if note.startswith("models: b: ")]) == 2


def test_each_training_of_a_base_model_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(tmp_path, monkeypatch, SMALL)
    problems, _ = check(tmp_path, recipes={"full": ["packed"], "adapter": ["lora"]})
    assert [problem.split(": ")[1] for problem in problems] == ["llama.full"]


@pytest.mark.parametrize("source", ["org/nameless", "org/llama-7b-GPTQ", "org/llama-7b-bnb-4bit", "openai/gpt-oss-20b"])
def test_an_unknown_size_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    gpus(tmp_path, monkeypatch, 1000)
    problems, notes = check(tmp_path, models={"m": source})
    assert not problems
    assert notes
    assert all(note.startswith("models: m: ") for note in notes)


def test_quantized_weights_and_incomplete_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(tmp_path, monkeypatch, SMALL)
    model = tmp_path / "model"
    write_weights(model, 5_000_000_000)
    # Exactly the parameters of the file: 5 billion in 16 bytes, and in 2 bytes.
    (problem,), _ = check(tmp_path, models={"m": str(model)})
    assert "80.0 GB" in problem
    (model / "config.json").write_text('{"quantization_config": {}}')
    problems, notes = check(tmp_path, models={"m": str(model)})
    assert not problems
    assert notes
    (model / "config.json").unlink()
    (model / "model.safetensors").write_bytes(b"\xff" * 20)
    problems, _ = check(tmp_path, models={"m": str(model)})
    assert problems
    assert all(problem.startswith("models: m: ") for problem in problems)


def test_which_gpu_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(tmp_path, monkeypatch, LARGE, SMALL, LARGE)
    small, large = SMALL * 2**20, LARGE * 2**20
    # A run may be given any of them.
    assert device_memory("cuda") == small
    # CUDA may number them in another order.
    assert device_memory("cuda:1") == large
    for shown, expected in (("0,2", large), ("GPU-1", small), ("MIG-7", None)):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        assert device_memory("cuda") == expected
    gpus(tmp_path, monkeypatch, "[N/A]")
    assert device_memory("cuda") is None
    problems, notes = check(tmp_path)
    assert not problems
    assert notes
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho No devices were found\n")
    assert list_gpus() == []


def test_hidden_gpus_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("axolotl")
    gpus(tmp_path, monkeypatch, LARGE, LARGE)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    found = validate(read(tmp_path, preset="llama-2-7b", devices=2), full=True).problems
    assert any(problem.startswith("devices: 2") for problem in found)


def test_what_cannot_fit_in_this_host_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("axolotl")
    sources = {"huge": "org/huge-500b", "sparse": str(tmp_path / "sparse")}
    write_weights(tmp_path / "sparse", 10**12)
    experiment = read(tmp_path, models=sources, device="cpu")
    # 93 % of 500 billion, and 10¹², in 16 bytes to train them and in 2 to ask them.
    for name, sizes in (("huge", ("7,440.0 GB", "930.0 GB")), ("sparse", ("16,000.0 GB", "2,000.0 GB"))):
        for full, elsewhere, expected in ((True, False, True), (True, True, False), (False, False, False)):
            found = validate(experiment, full=full, elsewhere=elsewhere).problems
            of_model = [problem for problem in found if problem.startswith(f"models: {name}: ")]
            assert all(any(size in problem for problem in of_model) == expected for size in sizes)
    assert not check(tmp_path, models={"small": "embedded"}, device="cpu")[0]
