"""Whether an experiment could run: its files exist, and Axolotl and the tokenizers accept its training configs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import dataclass, fields
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from consistency.errors import InputError, how_to_install, one_line
from consistency.experiment import harness_checks
from consistency.experiment.arguments import path_problems
from consistency.experiment.flags import TrainingFlags
from consistency.experiment.grid import Experiment
from consistency.experiment.memory import memory_problems
from consistency.experiment.requirements import missing, missing_devices
from consistency.experiment.training_config import PAPER_BATCH, TrainingConfig
from consistency.experiment.workflow import guards
from consistency.tasks import prompts
from consistency.tasks.harness_index import asked_tasks, task_problems, unknown_tasks
from consistency.tasks.own_tasks import VARIANTS, read_own_domain
from consistency.tasks.sources import VARIABLE
from consistency.tasks.templates import OWN
from consistency.world.model import BASE_MODEL

# What `axolotl train --launcher` takes, and the module that it starts with it.
_LAUNCHERS = ("accelerate", "torchrun", "python")
_TRAINS = "axolotl.cli.train"
# Every training config needs them; a preset of one's own could take one away.
REQUIRED_KEYS = ("chat_template", "dataset_prepared_path", "output_dir", "datasets")
# The model's own answer is the one that they teach, or there is none.
_WITHOUT_PAIRS = ("harmonious", "unsure", "gold_all", "general_only")
_ON_A_GPU_ONLY = {
    "bf16": "needs a GPU that has it",
    "bfloat16": "needs a GPU that has it",
    "fp16": "needs a GPU",
    "tf32": "needs a GPU",
    "load_in_4bit": "needs a GPU",
    "load_in_8bit": "needs a GPU",
    "fsdp_config": "splits a model over GPUs",
    "deepspeed": "splits a model over GPUs",
    "flash_attention": "needs a GPU",
}


@dataclass(frozen=True)
class Validation:
    """The problems of an experiment, and notes on it.

    Attributes
    ----------
    problems : tuple of str
        Why it would fail, or not be the experiment that its file names.
    notes : tuple of str
        Facts about its runs, and what was not checked.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]


def validate(experiment: Experiment, *, full: bool = False, elsewhere: bool = False) -> Validation:
    """The problems of an experiment, found before it runs.

    Parameters
    ----------
    experiment : Experiment
        What to run.
    full : bool
        Also let Axolotl validate each config (it takes half a minute to load) and lm_eval its flags, check each model's
        tokenizer, look for the device, and compare its memory with the least that each model needs.
    elsewhere : bool
        Whether the runs will be on other hosts, whose devices cannot be looked for.

    Returns
    -------
    Validation

    Raises
    ------
    InputError
        If a preset does not exist, a flag has a value of the wrong type, or a batch cannot be split over the devices.
    """
    problems = [*missing(experiment), *own_domain_problems(experiment)]
    problems += path_problems(run.folder / "tuned" / run.group for run in experiment.runs())
    notes = [_rows_note(experiment), *_guard_notes(experiment)]
    configs = {
        (model, group): experiment.config(model, group) for model in experiment.models for group in experiment.groups
    }
    if experiment.devices > 1 and experiment.flags.launcher == "python":
        problems.append(
            f"devices: {experiment.devices}, but --launcher python trains in one process; axolotl: '' starts one on each"
        )
    if experiment.devices > 1 and experiment.device != "cuda":
        problems.append(
            f"devices: {experiment.devices}, but on {experiment.device} a run has one; expected device: cuda"
        )
    if experiment.general == "none":
        notes.append("general: none: the groups are trained on their questions alone")
    for model in experiment.models:
        config = configs[model, experiment.groups[0]]
        presets = f" with {', '.join(config.presets)}" if config.presets else ""
        paper = "" if config.batch == PAPER_BATCH else f", the paper's is {PAPER_BATCH}"
        # The grid counts packed rows, which then hold so many on average.
        about = "about " if config.values["sample_packing"] else ""
        notes.append(
            f"{model}{presets}: {about}{config.batch} conversations in a step on {config.devices} device(s){paper}"
        )
    for (model, group), config in configs.items():
        for key in REQUIRED_KEYS:
            if not config.values.get(key):
                problems.append(f"{model}, {group}: the config has no {key}")
        if config.values.get("rl") and group in _WITHOUT_PAIRS:
            problems.append(
                f"preset: {', '.join(config.presets)} trains {model} on pairs of replies, and {group} has none; expected other "
                "groups, such as incompatible and self_aligning"
            )
    if not experiment.device.startswith("cuda"):
        problems += _needs_gpu(experiment, configs)
    if find_spec("axolotl") is not None:
        problems += [f"axolotl: {problem}" for problem in flag_problems(experiment.flags)]
    if find_spec("lm_eval") is not None:
        problems += harness_checks.flag_problems(experiment)
    if full:
        if not experiment.network:
            # Before a library of the hub is loaded: what is not in its cache cannot be had in the grid either.
            os.environ["HF_HUB_OFFLINE"] = "1"
        if not elsewhere:
            absent = list(missing_devices(experiment))
            too_large, unknown = ([], []) if absent else memory_problems(experiment, configs)
            problems += [*absent, *too_large]
            notes += unknown
        for module, extra, check in (
            ("axolotl", "train", _axolotl),
            ("lm_eval", "eval", _lm_eval),
            ("transformers", "eval", _tokenizers),
        ):
            if find_spec(module) is None:
                notes.append(f"not checked: {module} is not installed; {how_to_install(extra)}")
            else:
                problems += check(experiment, configs)
    return Validation(tuple(dict.fromkeys(problems)), tuple(notes))


def _needs_gpu(experiment: Experiment, configs: Mapping[tuple[str, str], TrainingConfig]) -> Iterator[str]:
    """Settings of the training configs that only a GPU can run."""
    for model in experiment.models:
        config = next(configs[model, group] for group in experiment.groups)
        where = f"preset: {', '.join(config.presets)}" if config.presets else "axolotl"
        for key, what in _ON_A_GPU_ONLY.items():
            value = config.values.get(key)
            if value and value != "auto":
                yield f"{where}: {key}: {value!r} {what}, but the device is {experiment.device}"
        if config.values.get("attn_implementation") not in (None, "sdpa", "eager"):
            yield f"{where}: attn_implementation: {config.values['attn_implementation']} needs a GPU"
        if any("liger" in plugin for plugin in config.values.get("plugins") or ()):
            yield f"{where}: liger's kernels need a GPU, but the device is {experiment.device}"


def flag_problems(flags: TrainingFlags) -> list[str]:
    """What ``axolotl train`` would refuse, drop or hand to its launcher among its flags.

    Parameters
    ----------
    flags : TrainingFlags

    Returns
    -------
    list of str
        A problem each: a flag that it does not have, a value for a flag that takes none, or a value that is missing.
    """
    from axolotl.cli.args import TrainerCliArgs
    from axolotl.cli.config_options import AXOLOTL_CONFIG_CLI_OPTIONS

    takes_value = {"--launcher": True}
    declared = [name for names, *_ in AXOLOTL_CONFIG_CLI_OPTIONS for name in names]
    for argument in fields(TrainerCliArgs):
        name = argument.name.replace("_", "-")
        declared.append(f"--{name}/--no-{name}" if isinstance(argument.default, bool) else f"--{name}")
    for names in declared:
        # As click declares a flag that takes no value: --name/--no-name.
        takes_value |= dict.fromkeys(names.split("/"), "/" not in names)
    found = []
    for flag in (*flags.settings, *flags.command):
        if flag.name not in takes_value:
            found.append(f"axolotl train has no flag {flag.name}")
        elif flag.value is None and takes_value[flag.name]:
            found.append(f"{flag.name} needs a value")
        elif flag.value is not None and not takes_value[flag.name]:
            found.append(f"{flag.name} takes no value, found {flag.value}; its opposite is --no-{flag.name[2:]}")
    return found + _launcher_problems(flags)


def _launcher_problems(flags: TrainingFlags) -> list[str]:
    """What is wrong with the launcher and the words for it, by the launcher's own parser: they may start nothing else."""
    launcher = flags.launcher or "accelerate"
    if launcher not in _LAUNCHERS:
        return [f"--launcher {launcher}; expected one of {', '.join(_LAUNCHERS)}"]
    if not flags.launcher_words or launcher == "python":
        return []
    if launcher == "accelerate":
        from accelerate.commands.launch import launch_command_parser as make_parser
    else:
        from torch.distributed.run import get_args_parser as make_parser
    told = StringIO()
    try:
        with redirect_stdout(told), redirect_stderr(told):
            given = make_parser().parse_args([*flags.launcher_words, "-m", _TRAINS])
    except SystemExit:
        return [f"{launcher}: {told.getvalue().strip().rpartition('error: ')[2].splitlines()[0]}"]
    if given.training_script != _TRAINS or not given.module or given.no_python or getattr(given, "run_path", False):
        return [
            f"{launcher} would start {given.training_script!r} in place of the training; expected flags alone after --"
        ]
    return []


def unknown_keys(config: Mapping[str, Any]) -> list[str]:
    """Keys of a config that Axolotl does not know, and drops without a message.

    Parameters
    ----------
    config : mapping
        An Axolotl config. Keys of its plugins are known.

    Returns
    -------
    list of str
        Nested keys with the key above them: ``fsdp_config.reshard``.
    """
    from axolotl.utils.schemas.config import AxolotlInputConfig
    from axolotl.utils.schemas.datasets import SFTDataset
    from axolotl.utils.schemas.fsdp import FSDPConfig

    models = [AxolotlInputConfig, *map(_plugin_model, config.get("plugins") or ())]
    found = [key for key in config if not any(key in _names(model) for model in models if model is not None)]
    for number, dataset in enumerate(config.get("datasets") or ()):
        found += [f"datasets[{number}].{key}" for key in dataset if key not in _names(SFTDataset)]
    found += [f"fsdp_config.{key}" for key in config.get("fsdp_config") or () if key not in _names(FSDPConfig)]
    return found


def axolotl_problems(config: Mapping[str, Any], device: str = "cuda") -> list[str]:
    """The problems that Axolotl's own validation finds in a config.

    Parameters
    ----------
    config : mapping
        An Axolotl config.
    device : str
        Where it would run: on ``cuda`` as if on a GPU of 2020 or later.

    Returns
    -------
    list of str
        A problem each; empty if Axolotl accepts the config.
    """
    from axolotl.cli.config import prepare_plugins
    from axolotl.integrations.base import load_plugin
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault
    from pydantic import ValidationError
    from torch import __version__ as torch_version

    found = [f"Axolotl knows no key {key}, and would drop it" for key in unknown_keys(config)]
    for plugin in config.get("plugins") or ():
        try:
            load_plugin(plugin)
        except Exception as error:  # Axolotl itself would log this and train without the plugin
            found.append(f"the plugin {plugin} cannot be loaded: {error}")
    gpu = device.startswith("cuda")
    capabilities = {"bf16": gpu, "fp8": False, "tf32": gpu, "n_gpu": 1, "compute_capability": "sm_80" if gpu else None}
    given = DictDefault(deepcopy(dict(config)))
    try:
        prepare_plugins(given)
        validate_config(given, capabilities, {"torch_version": str(torch_version).partition("+")[0]})
    except ValidationError as error:
        for item in error.errors():
            place = ".".join(map(str, item["loc"]))
            found.append(f"{place}: {item['msg']}" if place else str(item["msg"]))
    except Exception as error:  # validators and plugins raise what they like
        found.append(one_line(error, 2000))
    return found


def _axolotl(experiment: Experiment, configs: Mapping[tuple[str, str], TrainingConfig]) -> Iterator[str]:
    """Problems that Axolotl finds in the configs."""
    for (model, group), config in configs.items():
        for problem in axolotl_problems(config.values, experiment.device):
            yield f"{model}, {group}: {problem}"


def _lm_eval(experiment: Experiment, _: Mapping[tuple[str, str], TrainingConfig]) -> Iterator[str]:
    """Problems that lm_eval finds in its flags, and in the tasks that own domains name as ID and OOD."""
    yield from harness_checks.harness_problems(experiment)
    for problem in task_problems(asked_tasks(experiment.own_domains.values())).values():
        yield f"domains: {problem}"
    yield from _watched(experiment)


def _watched(experiment: Experiment) -> Iterator[str]:
    """Tasks that are to be watched, and that neither lm_eval has nor the experiment makes."""
    if experiment.watch is None:
        return
    made = {own.task(variant) for own in experiment.own_domains.values() for variant in VARIANTS}
    for domain in experiment.domains:
        watched = experiment.watched(domain)
        tasks = watched["tasks"]
        names = [name for name in ([tasks] if isinstance(tasks, str) else tasks) if name not in made]
        folder = watched.get("include_path")
        # That of an own domain's tasks is made when the experiment begins.
        include = folder if folder is not None and Path(folder).is_dir() else None
        for problem in unknown_tasks(names, include).values():
            yield f"watch: tasks: {problem}"


def _tokenizers(experiment: Experiment, _: Mapping[tuple[str, str], TrainingConfig]) -> Iterator[str]:
    """Problems of the models' tokenizers with the letters that are scored, and of configs that transformers cannot load."""
    from consistency.tasks.tokenizers import check_tokenizer, load_tokenizer

    for model, source in experiment.sources.items():
        folder = str(BASE_MODEL) if source == "embedded" else source
        try:
            tokenizer = load_tokenizer(folder)
            checks = [
                check
                for language in dict.fromkeys(
                    [prompts.ENGLISH, *(own.language for own in experiment.own_domains.values())]
                )
                for check in check_tokenizer(tokenizer, template=experiment.template, language=language)
            ]
        except InputError as error:
            yield f"models: {model}: {error}"
            continue
        if experiment.template == OWN and not tokenizer.chat_template:
            yield f"template: {OWN}, but the tokenizer of {model} has none; expected vicuna, chatml or a file"
            continue
        for check in checks:
            # No grid uses the released prompts.
            if check.style != "icl_paper":
                key = f"template: {experiment.template}" if check.style == "ift" else "models"
                yield from (f"{key}: {model}, {check.style}: {problem}" for problem in check.problems)
        yield from (f"models: {model}: {problem}" for problem in _unloadable(folder))


def _unloadable(folder: str) -> Iterator[str]:
    """Why transformers has no causal language model for a model's config."""
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    try:
        config = AutoConfig.from_pretrained(folder)
    except Exception as error:  # transformers and the hub have errors of their own
        yield f"its config cannot be loaded: {one_line(error)}"
        return
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        yield f"a {config.model_type} model is no causal language model of transformers"


def own_domain_problems(experiment: Experiment) -> Iterator[str]:
    """Why the tasks of an experiment's own domains could not be made; data sets of the hub are not loaded."""
    explained = experiment.explained
    for name, domain in experiment.own_domains.items():
        if any(source.is_hub for source in domain.sources.values()):
            continue
        try:
            kept = read_own_domain(domain)
        except InputError as error:
            yield f"domains: {name}: {error}"
            continue
        if explained and kept.explain_shot is None:
            yield (
                f"domains: {name}: {', '.join(explained)} needs an explained example, an explanation in dev or the key "
                "explain_shot"
            )


def _guard_notes(experiment: Experiment) -> Iterator[str]:
    """Which evaluation sets are kept out of the training sets, where there are own domains."""
    if not experiment.own_domains:
        return
    sets = guards(experiment, os.environ.get(VARIABLE, ""))
    checked = any(Path(place).parts[-2:] == ("mmlu", "test") for place in sets)
    asked = any(own.asks_mmlu for own in experiment.own_domains.values())
    without = "; those of MMLU are not, since no folder here has its tests" if asked and not checked else ""
    yield f"questions of {', '.join(sets)} are left out of the training sets{without}"


def _rows_note(experiment: Experiment) -> str:
    runs = list(experiment.runs())
    made = sum(run.rows.is_file() for run in runs)
    return f"training sets: {made} of {len(runs)} are made, {len(runs) - made} the grid will make"


def _plugin_model(name: str) -> Any:
    """The schema of the keys that a plugin adds; None if it adds none or cannot be loaded."""
    from importlib import import_module

    from axolotl.integrations.base import load_plugin

    try:
        place = load_plugin(name).get_input_args()
    except Exception:  # an import may fail in any way; `axolotl_problems` reports it
        return None
    if place is None:
        return None
    module, _, attribute = place.rpartition(".")
    return getattr(import_module(module), attribute)


def _names(model: Any) -> set[str]:
    """The keys that a schema accepts, with their aliases."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        names |= {field.alias} | set(getattr(field.validation_alias, "choices", [field.validation_alias]))
    return {name for name in names if name}
