"""What a log holds of the settings of its run, by name: of the whole run, and of each task.

A name that is not there is unknown. A name with a dot is one of an open-ended group such as `model_args`; where the group's
own name is there, the log holds all its members, and those that are not there were not set.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from typing import Any

from consistency.logs.run_config import SECRETS, RunConfig
from consistency.logs.runs import Run

# Which model it is: compared on purpose.
MODEL_ARGUMENTS = (
    "pretrained model path engine revision subfolder filename gguf_file base_url peft delta lora_local_path"
).split()
# How its weights are held: also compared on purpose, but named.
WEIGHT_ARGUMENTS = ("load_in_4bit", "load_in_8bit", "quantization", "quantization_config", "autogptq", "gptqmodel")
# Values that mean the same as an argument that is not given.
_DEFAULTS: Mapping[str, Any] = {
    **dict.fromkeys(
        "parallelize trust_remote_code truncation truncate load_in_4bit load_in_8bit autogptq gptqmodel".split(), False
    ),
    **dict.fromkeys("logits_cache use_fast_tokenizer".split(), True),
    **dict.fromkeys("tensor_parallel_size data_parallel_size num_concurrent".split(), 1),
    "backend": "default",
    "dtype": "auto",
}
# What lm_eval leaves out of a task's configuration where it is null, in every version: missing means null.
_OPTIONAL = (
    "custom_dataset dataset_name training_split validation_split test_split fewshot_split process_docs "
    "doc_to_choice doc_to_image doc_to_audio process_results use_prompt gen_prefix filter_list "
    "doc_to_decontamination_query unsafe_code"
).split()
_WRITTEN = (
    "dataset_path doc_to_text doc_to_target description target_delimiter fewshot_delimiter metric_list "
    "output_type repeats should_decontaminate"
).split()
# In `metadata` these say nothing about the questions.
_NO_METADATA = {"version", "num_fewshot", "config_source"}
_DEEPEST = 20
_TORCH = re.compile(r"^PyTorch version: (.+)$", re.MULTILINE)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def model_arguments(config: RunConfig) -> dict[str, Any]:
    """The model arguments of a run, by name.

    Examples
    --------
    >>> model_arguments(RunConfig(content={"config": {"model_args": 'pretrained=a,dtype=float16,args={"x": 1, "y": 2}'}}))
    {'pretrained': 'a', 'dtype': 'float16', 'args': {'x': 1, 'y': 2}}
    """
    logged = _mapping(config.content, "config").get("model_args")
    if isinstance(logged, dict):
        return {str(name): _parsed(value) for name, value in logged.items()}
    if not isinstance(logged, str):
        return {}
    items, depth = [""], 0
    for character in logged:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth <= 0:
            items.append("")
        else:
            items[-1] += character
    found: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        if equals:
            found[name.strip()] = _parsed(value)
    return found


def _parsed(value: Any) -> Any:
    """A value of a model argument, which may be the text of one."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for read in (json.loads, ast.literal_eval) if text[:1] in tuple("{[(-.0123456789") else ():
        try:
            return read(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def _mapping(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def run_settings(run: RunConfig) -> dict[str, Any]:
    """What a log holds of settings that concern all its tasks, by name."""
    content, config = run.content, _mapping(run.content, "config")
    found: dict[str, Any] = {}
    for name in ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed", "limit", "gen_kwargs", "bootstrap_iters"):
        if name in config:
            found[name] = _parsed(config[name])
    for name in ("pad", "EOS", "BOS"):
        if (key := f"tokenizer_{name.lower()}_token") in content:
            found[f"{name} token"] = content[key]
    for name in ("eot_token_id", "max_length"):
        if content.get(name) is not None:
            found[name] = content[name]
    if "use_cache" in config:
        found["use_cache"] = "yes" if config["use_cache"] else "no"
    if run.model is not None:
        found["backend"] = "hf" if run.model in ("huggingface", "hf-auto") else run.model
    if "system_instruction" in content:
        found["system instruction"] = run.system_instruction
    # A server's own template is logged as an empty text.
    if "chat_template" in content and not (content["chat_template"] == "" and "completions" in (run.model or "")):
        found["chat template"] = run.template
        if run.template is not None and "fewshot_as_multiturn" in content:
            found["fewshot_as_multiturn"] = content["fewshot_as_multiturn"]
    for name, version in (
        ("lm_eval", run.lm_eval_version),
        ("transformers", content.get("transformers_version")),
        ("torch", next(iter(_TORCH.findall(str(content.get("pretty_env_info")))), None)),
    ):
        if version not in (None, "N/A"):
            found[name] = version
    found["harness"] = run.harness or "lm_eval"
    if run.harness is not None and run.harness_version is not None:
        found[run.harness] = run.harness_version
    if run.device is not None:
        kind, _, number = run.device.partition(":")
        found |= {"device": kind, "device number": number or "0"}
    if run.hardware is not None:
        found["hardware"] = run.hardware
    return found | _argument_settings(run)


def _argument_settings(run: RunConfig) -> dict[str, Any]:
    """The settings among the model arguments, and those that a model argument may hold; arguments that are not given too."""
    config = _mapping(run.content, "config")
    arguments = model_arguments(run)
    found: dict[str, Any] = {"model_args": None} if "model_args" in config else {}
    size = arguments.pop("batch_size", config.get("batch_size"))
    if size is not None:
        found["batch size"] = _parsed(size)
    arguments.pop("device", None)
    dtype = run.dtype or arguments.get("dtype")
    if dtype not in (None, "", "auto"):
        found["dtype"] = {"half": "float16", "float": "float32"}.get(str(dtype), str(dtype).removeprefix("torch."))
    # The tokenizer of the model itself.
    if arguments.get("tokenizer") in [arguments.get(name) for name in MODEL_ARGUMENTS]:
        arguments.pop("tokenizer", None)
    for name, value in arguments.items():
        if name not in MODEL_ARGUMENTS and name not in SECRETS and value != _DEFAULTS.get(name):
            found[f"model_args.{name}"] = value
    return found


def task_settings(run: Run, name: str, ignored: set[str]) -> dict[str, Any]:
    """What a log holds of the settings of a task, by name; `ignored` are keys of its metadata that are model arguments."""
    task, content = run.tasks[name].task, run.config.content
    found: dict[str, Any] = {}
    config = _mapping(_mapping(content, "configs"), task)
    shots = run.config.num_fewshot.get(task, config.get("num_fewshot"))
    if shots is not None:
        found["few-shot"] = shots
    if task in run.config.versions:
        found["task version"] = run.config.versions[task]
    if not config:
        return found
    found |= {key: config.get(key) or None for key in _OPTIONAL}
    found |= {key: config[key] for key in _WRITTEN if key in config}
    # The name of a group stands for all its settings that are not there.
    found |= dict.fromkeys(("dataset_kwargs", "generation_kwargs", "metadata", "fewshot_config"))
    for group in ("dataset_kwargs", "generation_kwargs"):
        found |= {f"{group}.{key}": value for key, value in _mapping(config, group).items()}
    # Greedy decoding is the default of every version.
    found |= {
        f"generation_kwargs.{key}": found.get(f"generation_kwargs.{key}") or None
        for key in ("do_sample", "temperature")
    }
    found |= {
        f"metadata.{key}": value
        for key, value in _mapping(config, "metadata").items()
        if key not in _NO_METADATA and key not in ignored and key not in SECRETS
    }
    shown = _mapping(config, "fewshot_config")
    found["fewshot_config.sampler"] = shown.get("sampler") or "default"
    for key in shown.keys() - {"sampler"}:
        value, own = shown[key], found.get({"split": "fewshot_split"}.get(key, key))
        # Newer versions repeat the task's own values here, functions among them only by name.
        unknown = key in _WRITTEN and key not in config
        if not (unknown or same_value(value, own) or (is_function_name(value) and isinstance(own, str))):
            found[f"fewshot_config.{key}"] = value
    return found


def is_function_name(value: Any) -> bool:
    """Whether it is a function of which a log has only the name."""
    return isinstance(value, str) and value.startswith(("<function", "functools.partial("))


def same_value(one: Any, two: Any) -> bool:
    """Whether two values mean the same: null and what is empty, a number and its text, a function at two addresses.

    Values too deep to be compared are not said to differ.
    """
    try:
        return bool(one == two) or _plain(one) == _plain(two)
    except RecursionError:
        return True


def _plain(value: Any, depth: int = 0) -> str:
    if value is None or value in ("", [], {}):
        return "null"
    if depth > _DEEPEST:
        return "…"
    if isinstance(value, dict):
        return "{" + ",".join(sorted(f"{key!r}:{_plain(item, depth + 1)}" for key, item in value.items())) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_plain(item, depth + 1) for item in value) + "]"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _ADDRESS.sub("", value) if isinstance(value, str) else str(value)
