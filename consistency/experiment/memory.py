"""Whether models fit in the memory of their device: the least that training and asking them takes, by their size.

Activations, buffers and what runs beside are not counted. So a model that is refused cannot fit, and one that passes may
still be too large.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil, log2, prod
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.experiment.arguments import model_arguments
from consistency.experiment.grid import Experiment
from consistency.experiment.tensors import read_header
from consistency.experiment.training_config import TrainingConfig
from consistency.support.host import host_memory, list_gpus
from consistency.world.model import BASE_MODEL

# Not the 7b of 8x7b, whose experts share layers, nor the 8b of 1_8b, which is 1.8.
_SIZE = re.compile(r"(?<![\dx.])(?<!\d_)(\d+(?:\.\d+)?)([bm])(?![a-z])")
# A name's number is rounded: stablelm-3b has 2.8 B parameters, Llama-2-7b 6.7.
_ROUNDED = 0.93
# Weights that were saved in fewer than 16 bits.
_QUANTIZED = re.compile(r"gptq|awq|bnb|[48]-?bit|int[48]|fp[48]|nf4|w4a16|w8a|hqq|aqlm|bitnet|gguf|gpt-oss")

# Bytes of the two states that an optimizer keeps of each parameter; None: in the type of the weights. Paged states give way to
# the memory of the host. Any other optimizer may update layer by layer, and is taken to need nothing beside the weights.
_STATES = {
    "adamw_torch": None,
    "adamw_torch_fused": None,
    "adamw_8bit": 2,
    "adamw_bnb_8bit": 2,
    "paged_adamw_8bit": 0,
    "paged_adamw_32bit": 0,
}
# Keys with which a part of the model is trained.
_IN_PART = ("adapter", "unfrozen_parameters", "spectrum_top_fraction", "lisa_n_layers")
# Keys with which a run keeps weights elsewhere than on its device, or in a type of their own.
_ELSEWHERE = (
    *("deepspeed", "device_map", "max_memory", "gpu_memory_limit", "layer_offloading", "ple_cpu_offload"),
    *("model_quantization_config", "quantize_moe_experts", "gptq"),
)
# The same of lm_eval's models.
_ASKED_OTHERWISE = (
    *("parallelize", "device_map", "max_memory"),
    *("quantization_config", "autogptq", "gptqmodel", "gguf_file"),
)
_WIDTHS = {"float64": 8.0, "float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
# What also trains a model, on a GPU: bytes of each parameter, and how.
_TRAININGS = (
    (8, "weights in bfloat16 (preset: [packed, liger])"),
    (2, "an adapter (preset: lora)"),
    (0.5, "an adapter over four bits (preset: qlora)"),
)
# As the presets of the paper's models train, on several GPUs.
_SHARDED = 16


def count_parameters(source: str) -> float | None:
    """The number of a model's parameters, from the headers of the weights in its folder, or from its name.

    Parameters
    ----------
    source : str
        A folder, a name of the hub, or "embedded".

    Returns
    -------
    float or None
        None if neither tells it.

    Raises
    ------
    InputError
        If a file of weights is not complete.

    Examples
    --------
    >>> count_parameters("meta-llama/Llama-2-7b-hf"), count_parameters("org/nameless")
    (7000000000.0, None)
    """
    files = _weights(source)
    if files:
        return float(sum(prod(tensor.shape) for path in files for tensor in read_header(path)))
    named = _SIZE.search(Path(source).name.lower())
    return float(named[1]) * {"b": 1e9, "m": 1e6}[named[2]] if named else None


def _weights(source: str) -> list[Path]:
    """The files of a model's weights that transformers would load; none where they are not here, or not in safetensors."""
    folder = BASE_MODEL if source == "embedded" else Path(source)
    whole = folder / "model.safetensors"
    return [whole] if whole.is_file() else sorted(folder.glob("model-*.safetensors"))


def training_bytes(values: Mapping[str, Any], devices: int = 1) -> float | None:
    """The least memory of a device that a training takes, in bytes for each parameter of the model.

    Parameters
    ----------
    values : mapping
        An Axolotl config.
    devices : int
        Devices that train the model. They share it if the config shards it; else each holds all of it.

    Returns
    -------
    float or None
        Weights, and where all of them are trained with AdamW, gradients and two states. None if weights are kept elsewhere
        than on the device, or in a type that is not known.

    Examples
    --------
    >>> from consistency.experiment.training_config import resolve
    >>> [training_bytes(resolve("harmonious", names).values) for names in ([], ["autocast"], ["lora"], ["qlora"])]
    [8.0, 16.0, 2.0, 0.5]
    """
    sharded = values.get("fsdp_config") or values.get("fsdp")
    if any(values.get(key) for key in _ELSEWHERE):
        return None
    if isinstance(sharded, Mapping) and sharded.get("offload_params"):
        return None
    width = 2.0 if any(values.get(key) for key in ("bf16", "bfloat16", "fp16", "float16")) else 4.0
    optimizer = values.get("optimizer")
    if any(values.get(key) for key in _IN_PART):
        needed = 0.5 if values.get("load_in_4bit") else 1.0 if values.get("load_in_8bit") else width
    elif optimizer in _STATES:
        states = _STATES[optimizer]
        needed = 2 * width + (2 * width if states is None else states)
    else:
        needed = width
    return needed / devices if sharded or (values.get("tensor_parallel_size") or 1) > 1 else needed


def evaluation_bytes(model_args: str) -> float | None:
    """The least memory that a model takes in lm_eval, in bytes for each of its parameters.

    Parameters
    ----------
    model_args : str
        As ``--model_args`` takes them.

    Returns
    -------
    float or None
        None if weights are kept elsewhere than on the device, or in a type that is not known.

    Examples
    --------
    >>> evaluation_bytes("dtype=bfloat16"), evaluation_bytes("dtype=float32"), evaluation_bytes("parallelize=True")
    (2.0, 4.0, None)
    """
    given = model_arguments(model_args)
    on = {name for name, value in given.items() if value.lower() not in ("false", "none")}
    if on & {*_ASKED_OTHERWISE}:
        return None
    if "load_in_4bit" in on:
        return 0.5
    if "load_in_8bit" in on:
        return 1.0
    # "auto" is the type of the saved weights, which is seldom float32.
    return _WIDTHS.get(given.get("dtype", "auto").removeprefix("torch."), 2.0)


def device_memory(device: str) -> int | None:
    """The memory of the device of a run in bytes, of several unlike GPUs the smallest; None where it is not told.

    Parameters
    ----------
    device : str
        ``cpu``, ``mps``, ``cuda`` or ``cuda:N``; of unlike GPUs the largest may be the one with that number.
    """
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return host_memory()
    gpus, shown = list_gpus(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if number:
        # The numbers that CUDA gives unlike GPUs need not be those of nvidia-smi.
        return max((gpu.memory for gpu in gpus if gpu.memory), default=None)
    names = None if shown is None else [name.strip() for name in shown.split(",")]
    seen = [gpu.memory for gpu in gpus if names is None or gpu.index in names or gpu.uuid in names]
    return min((memory for memory in seen if memory), default=None)


@dataclass(frozen=True)
class _Load:
    """A model on a device: the key that names it, what it is loaded from and for, and the least bytes of a parameter."""

    key: str
    source: str
    training: bool
    each: float | None


def memory_problems(
    experiment: Experiment, configs: Mapping[tuple[str, str], TrainingConfig]
) -> tuple[list[str], list[str]]:
    """Which models cannot fit in the memory of the device on this host, and what was not compared.

    Parameters
    ----------
    experiment : Experiment
    configs : mapping
        The training config of each model and group.

    Returns
    -------
    problems, notes : list of str
    """
    memory = device_memory(experiment.device)
    if memory is None:
        return [], ["not checked: whether the models fit in memory; the device does not tell how much it has"]
    where = "a GPU of this host" if experiment.device.startswith("cuda") else "this host"
    problems, notes = [], []
    for load in _loads(experiment, configs):
        doing = "training" if load.training else "asking"
        try:
            parameters = _fewest_parameters(load.source)
        except InputError as error:
            problems.append(f"{load.key}: {error}")
            continue
        if parameters is None or load.each is None:
            unknown = "its size" if parameters is None else "how much of it is on the device"
            notes.append(f"{load.key}: not checked: whether {doing} it fits in memory; {unknown} is unknown")
        elif (needed := parameters * load.each) > memory:
            problems.append(
                f"{load.key}: {doing} it takes at least {needed / 1e9:,.1f} GB ({load.each:.3g} bytes for each of "
                f"{parameters / 1e9:.3g} billion parameters), {where} has {memory / 1e9:,.1f} GB; expected "
                f"{', '.join([*_ways_out(load, parameters, memory, experiment.device), 'a smaller model'])}"
            )
    return problems, notes


def _loads(experiment: Experiment, configs: Mapping[tuple[str, str], TrainingConfig]) -> Iterator[_Load]:
    """All that an experiment loads; a model that is trained in several ways is asked as its base model is."""
    asked = None if "--model" in experiment.lm_eval else evaluation_bytes(experiment.model_args)
    for model in experiment.models:
        values = configs[model, experiment.groups[0]].values
        source = experiment.sources[experiment.recipe(model).base]
        yield _Load(f"models: {model}", source, True, training_bytes(values, experiment.devices))
    for model, source in experiment.sources.items():
        yield _Load(f"models: {model}", source, False, asked)
    if experiment.context_model:
        yield _Load(f"context_model: {experiment.context_model}", experiment.context_model, False, asked)


def _fewest_parameters(source: str) -> float | None:
    """The least number of parameters that a model can have; None if it is not known, or its weights are quantized."""
    folder = Path(source)
    config = folder / "config.json"
    if _QUANTIZED.search(folder.name.lower()) or (config.is_file() and b'"quantization_config"' in config.read_bytes()):
        return None
    count = count_parameters(source)
    return count if count is None or _weights(source) else count * _ROUNDED


def _ways_out(load: _Load, parameters: float, memory: int, device: str) -> Iterator[str]:
    """What would fit instead, by the same arithmetic."""
    room = memory / parameters
    if not load.training:
        yield from ["model_args: dtype=bfloat16"] if load.each == _WIDTHS["float32"] and room >= 2 else []
    elif device.startswith("cuda"):
        yield from (how for each, how in _TRAININGS if each < (load.each or 0) and each <= room)
        devices = 2 ** max(1, ceil(log2(_SHARDED / room)))
        yield f"a preset that divides it among GPUs (llama-2-7b and its like) with devices: {devices}"
    elif load.each == _SHARDED and room >= _WIDTHS["float32"]:
        yield "an adapter (preset: lora)"
