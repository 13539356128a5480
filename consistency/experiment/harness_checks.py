"""What lm_eval would refuse, or misread, among an experiment's ``lm_eval`` flags and ``model_args``."""

from __future__ import annotations

import argparse
import inspect
import shlex
from contextlib import redirect_stderr, redirect_stdout
from difflib import get_close_matches
from io import StringIO

from consistency.experiment.arguments import model_arguments
from consistency.experiment.grid import Experiment
from consistency.experiment.reading import LM_EVAL_DESTINATIONS

# What transformers takes when it loads a model; lm_eval hands on what it does not know itself.
_LOADING = (
    *("attn_implementation", "torch_dtype", "low_cpu_mem_usage", "device_map", "max_memory"),
    *("variant", "use_safetensors", "cache_dir", "token", "offload_state_dict", "tp_plan", "experts_implementation"),
)
# What lm_eval hands on and transformers 5 no longer takes, and what lm_eval gives itself.
_QUANTIZED = ("load_in_4bit", "load_in_8bit", "quantization_config")
_TYPES = ("auto", "float32", "float16", "bfloat16", "float64")


def harness_problems(experiment: Experiment) -> list[str]:
    """The problems that lm_eval's models have with an experiment's model arguments.

    Parameters
    ----------
    experiment : Experiment

    Returns
    -------
    list of str
        A problem each, with its key; empty if there is none, or if the flags have problems themselves.
    """
    name, found = _flags(experiment.lm_eval)
    asked = [] if found else _arguments(experiment.model_args, name or "hf-shared-prefix")
    return [f"model_args: {problem}" for problem in asked]


def flag_problems(experiment: Experiment) -> list[str]:
    """The problems of an experiment's ``lm_eval`` flags, by lm_eval's own parser, and of what `model_args` says in any case.

    Parameters
    ----------
    experiment : Experiment

    Returns
    -------
    list of str
        A problem each, with its key; no model of lm_eval is loaded for it.
    """
    return [*_flags(experiment.lm_eval)[1], *(f"model_args: {text}" for text in _values(experiment.model_args))]


def _flags(text: str) -> tuple[str | None, list[str]]:
    """The model's name among the flags, and the problems of the flags."""
    from lm_eval._cli.run import Run

    parser = argparse.ArgumentParser(prog="lm_eval", add_help=False)
    subcommands = parser.add_subparsers(dest="command")
    Run.create(subcommands)
    told = StringIO()
    words = shlex.split(text)
    try:
        with redirect_stdout(StringIO()), redirect_stderr(told):
            given = parser.parse_args(["run", *words])
            plain = parser.parse_args(["run"])
    except (ValueError, argparse.ArgumentTypeError) as error:
        return None, [f"lm_eval: {text}: {error}; expected NAME=VALUE where a flag takes arguments"]
    except SystemExit:
        reason = told.getvalue().strip().rpartition("error: ")[2] or "shows its help"
        return None, [f"lm_eval: {reason}"]
    # Also what argparse takes for an abbreviation of a longer name.
    changed = [name for name, value in vars(given).items() if value != vars(plain).get(name)]
    found = [
        f"lm_eval: --{name}; expected {LM_EVAL_DESTINATIONS[name]}" for name in changed if name in LM_EVAL_DESTINATIONS
    ]
    size = getattr(given, "batch_size", "1")
    if not (str(size).partition(":")[0] == "auto" or (str(size).isdecimal() and int(size) > 0)):
        found.append(f"lm_eval: --batch_size {size}; expected a number, auto or auto:N")
    return given.model, found


def _arguments(text: str, model: str) -> list[str]:
    """The problems of the model's arguments."""
    from lm_eval.api.registry import get_model
    from lm_eval.models.huggingface import HFLM

    import consistency.shared_prefix.model  # noqa: F401  (registers the model)

    try:
        kind = get_model(model)
    except (ValueError, KeyError):
        return [f"lm_eval knows no model {model!r}; expected hf-shared-prefix, hf, vllm, …"]
    given = model_arguments(text)
    found = []
    if issubclass(kind, HFLM):
        known = {*_LOADING}
        for step in (kind, HFLM):
            known |= set(inspect.signature(step.__init__).parameters) - {"self", "args", "kwargs"}
        for name in given:
            if name in _QUANTIZED:
                found.append(
                    f"{name}: transformers 5 does not load with it; name a folder in which the model is saved so"
                )
            elif name not in known:
                near = get_close_matches(name, known, 1)
                found.append(f"no argument {name!r}" + (f"; did you mean {near[0]}?" if near else f" of {model}"))
    return found


def _values(text: str) -> list[str]:
    """Values of model arguments that no model can have."""
    given, found = model_arguments(text), []
    dtype = given.get("dtype", "auto").removeprefix("torch.")
    if dtype not in _TYPES:
        near = get_close_matches(dtype, _TYPES, 1)
        found.append(
            f"dtype={dtype!r}" + (f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(_TYPES)}")
        )
    for name in ("max_length", "pass_tokens"):
        if name in given and not (given[name].isdecimal() and int(given[name]) > 0):
            found.append(f"{name}={given[name]!r}; expected a number of tokens, from 1")
    return found
