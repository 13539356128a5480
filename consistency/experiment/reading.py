"""An experiment's file: its keys, their defaults, and what each may be."""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from itertools import product
from pathlib import Path
from typing import Any, get_args

import yaml

from consistency.errors import InputError, not_one_of
from consistency.experiment.arguments import (
    NAME,
    REMOTE_CODE,
    check_model,
    check_names,
    check_path,
    check_texts,
    is_name,
    read_model_arguments,
)
from consistency.experiment.domains import read_domains
from consistency.experiment.flags import TrainingFlags, read_flags
from consistency.experiment.grid import Experiment, Recipe
from consistency.experiment.group_names import is_balanced, plain
from consistency.experiment.training_config import group_names, has_config
from consistency.support.resources import shipped
from consistency.support.yaml_files import key_lines, read_yaml
from consistency.tasks.scopes import TaskSet
from consistency.tasks.templates import read_template

# The presets of a model on a GPU, unless its experiment names others: the loss curve is that of the padded recipe with float32
# weights, at some ten times the speed (axolotl_configs/README.md).
ON_A_GPU = ("autocast", "packed", "liger")
# What comes before the presets of a model on another device: float32, and no kernel that only a GPU has.
ON_A_CPU = ("cpu",)
# The keys of an experiment file, besides those of embedded.yaml.
_KEYS = ("name", "models", "domains", "groups", "seeds", "tasks", "preset", "recipes", "learning_rate", "network")
# Settings that no flag may change, with what to write instead: the batch is computed from some of them, the grid sets others
# for each run, and others would make another experiment of it than its report says.
_FORBIDDEN_FLAGS = {
    **dict.fromkeys(
        ("micro_batch_size", "gradient_accumulation_steps", "sample_packing", "sequence_len"),
        "it in a preset of your own, behind those that the model has: preset: [NAME, mine.yml]",
    ),
    "base_model": "the model under models",
    "seed": "the seed under seeds",
    **dict.fromkeys(
        (
            "datasets",
            "test_datasets",
            "pretraining_dataset",
            "val_set_size",
            "train_on_inputs",
            "shuffle_merged_datasets",
        ),
        "none: the grid makes the training rows of each group, and trains on their answers",
    ),
    **dict.fromkeys(("chat_template", "chat_template_jinja"), "the template under template"),
    **dict.fromkeys(("rl", "reward_model", "process_reward_model"), "a preset that trains on preferences: preset: dpo"),
    **dict.fromkeys(
        (
            "tokenizer_config",
            "tokenizer_type",
            "special_tokens",
            "tokens",
            "added_tokens_overrides",
            "resize_token_embeddings",
        ),
        "none: the tuned models keep the base model's tokenizer, so that their answers can be compared",
    ),
    **dict.fromkeys(
        (
            "output_dir",
            "dataset_prepared_path",
            "resume_from_checkpoint",
            "auto_resume_from_checkpoints",
            "hub_model_id",
        ),
        "none: the grid keeps each run in a folder of its own",
    ),
    "max_steps": "--num-epochs",
    "trust_remote_code": REMOTE_CODE,
    "sweep": "none: learning_rate: [1e-5, 2e-5] and recipes train a model in several ways",
    "cloud": "none: a profile says where the grid runs",
}
# Flags of lm_eval that the grid sets, or that make its evaluations another measurement than the report says.
_FORBIDDEN_LM_EVAL = {
    **dict.fromkeys(("--device",), "the device as a key, device: cuda"),
    **dict.fromkeys(("--limit", "-L"), "the number of questions as a key, limit: 100"),
    **dict.fromkeys(("--model_args", "-a"), "the arguments as a key, model_args: dtype=float32"),
    **dict.fromkeys(
        ("--apply_chat_template", "--fewshot_as_multiturn"), "the chat template as a key, template: vicuna"
    ),
    **dict.fromkeys(
        (
            *("--tasks", "-t", "--config", "-C", "--output_path", "-o", "--log_samples", "-s", "--include_path"),
            *("--metadata", "--samples", "-E", "--predict_only", "-x", "--num_fewshot", "-f", "--system_instruction"),
        ),
        "none: the grid gives each stage its own",
    ),
    "--trust_remote_code": REMOTE_CODE,
    **dict.fromkeys(("--also", "--own-tasks", "--own_tasks"), "none: the grid says what is evaluated, and on what"),
    **dict.fromkeys(
        ("--use_cache", "-c", "--cache_requests"), "none: a cache could give one model's answers or prompts to another"
    ),
}
_FORBIDDEN_WATCH = {
    "on_alarm": "warn: the groups are compared after the same training",
    "folder": "none: the grid keeps each run in a folder of its own",
}
# The same by the names that lm_eval's parser gives them.
LM_EVAL_DESTINATIONS = {name[2:]: what for name, what in _FORBIDDEN_LM_EVAL.items() if name.startswith("--")}
# The style of the tasks that ask each rotation of a question's options.
CYCLIC = "icl_cyclic"
_DEVICE = re.compile(r"cpu|mps|cuda(:(0|[1-9][0-9]*))?")


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _text(value: Any) -> bool:
    return value is None or isinstance(value, str)


# By key: whether a value can be read, and what was expected.
_VALUES: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("axolotl", "general", "guard", "lm_eval", "context_model"), (_text, "text")),
    "model_args": (
        lambda value: _text(value) or isinstance(value, dict),
        "text, dtype=float32, or a mapping, {dtype: float32}",
    ),
    "device": (
        lambda value: isinstance(value, str) and _DEVICE.fullmatch(value) is not None,
        "cpu, cuda, cuda:N or mps",
    ),
    "explanation_attempts": (lambda value: value is None or _whole(0)(value), "a number of rounds, from 0"),
    "devices": (_whole(1), "a number of devices, from 1"),
    "size": (lambda value: value is None or _whole(1)(value), "a number of questions, from 1"),
    "limit": (lambda value: value is None or _whole(1)(value), "a number of questions of each task, from 1"),
    "threshold": (
        lambda value: type(value) in (int, float) and 0 <= value < 1,
        "a probability, from 0 to below 1",
    ),
    **dict.fromkeys(
        ("every_epoch", "network", "allow_incomplete"), (lambda value: isinstance(value, bool), "true or false")
    ),
    "probes": (lambda value: value in ([], [CYCLIC]), f"[{CYCLIC}], or none"),
    "watch": (
        lambda value: value is None or (isinstance(value, dict) and "tasks" in value),
        "a mapping, such as {tasks: [consistency_mmlu_ift], questions: 500}",
    ),
    "template": (lambda value: isinstance(value, str), "vicuna, chatml, model, or a file that ends in .jinja"),
}


def read_experiment(path: str | Path, root: str | Path, settings: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment file.

    Parameters
    ----------
    path : path-like
        A YAML file with the keys `name`, `models`, `domains` (see `read_domains`), `groups` and `seeds`; `tasks` is "world"
        without it, and what else it lacks is as in ``embedded.yaml``. An experiment on other tasks names its `general`
        instructions, and may use the network unless it says `network: false`. `preset` is a name, a list of names, or either
        for each model; without it the embedded model has the preset ``world-cpu``, and another on a CUDA device those that
        train as fast as the loss curve allows (`ON_A_GPU`). `recipes` (presets by name) and a list for `learning_rate` train
        each base model in several ways.
    root : path-like
        The folder of the experiment's artefacts.
    settings : mapping, optional
        Keys whose values replace the file's, as a profile of the grid or ``--set`` gives them.

    Returns
    -------
    Experiment

    Raises
    ------
    InputError
        If the file is not valid YAML, a key is missing or has a value that it cannot have, there is no such domain, group
        or template, or a flag of `axolotl` or `lm_eval` changes what the grid itself sets.

    Examples
    --------
    >>> from consistency.support.resources import shipped
    >>> read_experiment(shipped("scripts/experiments") / "demo.yaml", "runs/demo").groups
    ('harmonious', 'incompatible', 'self_aligning')
    """
    path, given = Path(path), settings or {}
    with key_of_error(path, given):
        return _experiment(path, Path(root), given)


@contextmanager
def key_of_error(path: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Let an error inside name the experiment's file and the line of its key (`key_line`), unless it names a file or line."""
    try:
        yield
    except InputError as error:
        if error.path not in (None, path) or error.line is not None:
            raise
        line = key_line(path, error.problem, settings)
        raise InputError(error.problem, expected=error.expected, do=error.do, path=path, line=line) from error


def key_line(path: Path, problem: str, settings: Mapping[str, Any]) -> int | None:
    """The line of the key with which a problem begins; None if it begins with none, or with one of the settings."""
    try:
        lines = key_lines(path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None
    keys = tuple(problem.split(": "))
    found = (keys[:length] for length in range(len(keys), 0, -1) if keys[0] not in settings)
    return next((lines[place] for place in found if place in lines), None)


def _experiment(path: Path, root: Path, settings: Mapping[str, Any]) -> Experiment:
    loaded = read_yaml(path, "an experiment in YAML")
    if not isinstance(loaded, dict):
        raise InputError("is not a mapping", expected="the keys name, models, domains, groups, seeds")
    defaults = read_yaml(shipped("scripts/Snakefile").with_name("embedded.yaml"), "defaults")
    given = {**loaded, **settings}
    known = sorted({*_KEYS, *defaults})
    if unknown := sorted(str(key) for key in given if key not in known):
        near = get_close_matches(unknown[0], known, 1)
        raise InputError(
            f"no key {unknown[0]!r}" + (f"; did you mean {near[0]}?" if near else ""),
            expected=f"one of {', '.join(known)}",
        )
    check_texts(given)
    loaded = {"tasks": "world", "network": given.get("tasks", "world") != "world", **defaults, **given}
    for key, (accepts, expected) in _VALUES.items():
        if not accepts(loaded[key]):
            raise InputError(f"{key}: {loaded[key]!r}", expected=expected)
    if loaded["tasks"] not in get_args(TaskSet):
        raise InputError(f"tasks: {loaded['tasks']!r}", expected=" or ".join(get_args(TaskSet)))
    if loaded["tasks"] != "world" and not given.get("general"):
        raise InputError(
            "general: no instructions are named, with which each group is trained",
            expected="a JSON or JSONL file, hub:NAME@REVISION, or none to train without",
            do="the paper takes alpaca_gpt4_data.json of GPT-4-LLM, on the hub vicgalle/alpaca-gpt4",
        )
    if loaded["probes"] and loaded["tasks"] == "world":
        raise InputError(f"probes: {loaded['probes']}", expected="none: the embedded world has no such tasks")
    lists = _lists(loaded)
    if "domains" not in loaded:
        raise InputError("no key 'domains'", expected="a list of domains, or a mapping of names")
    domains, own = read_domains(loaded["domains"], path)
    if own and loaded["tasks"] == "world":
        problem = f"domains: {next(iter(own))} is not of the embedded world"
        raise InputError(problem, expected="tasks: paper beside an own domain")
    texts: dict[str, Any] = {key: loaded[key] or "" for key in ("general", "guard", "context_model")}
    texts["model_args"] = read_model_arguments(loaded["model_args"])
    for key in ("general", "guard", "template"):
        check_path(key, loaded[key] or "")
    _check_lm_eval(loaded["lm_eval"] or "")
    read_template(loaded["template"])
    for key, expected in _FORBIDDEN_WATCH.items():
        if (loaded["watch"] or {}).get(key) not in (None, "warn"):
            raise InputError(f"watch: {key}", expected=expected)
    sources = loaded["models"]
    for model, source in sources.items():
        if not isinstance(source, str) or not source.strip():
            raise InputError(f"models: {model}: {source!r}", expected="a folder, a name or 'embedded'")
        check_model(f"models: {model}", source)
    if texts["context_model"] == "embedded":
        raise InputError("context_model: embedded", expected="a model that can write: a folder or a name of the hub")
    check_model("context_model", texts["context_model"])
    if texts["general"] == "hub:":
        raise InputError("general: hub:", expected="hub:NAME or hub:NAME@REVISION")
    recipes = dict(_recipes(loaded, sources))
    check_names([*sources, *recipes])
    attempts = loaded["explanation_attempts"]
    if attempts is None:
        # The embedded model does not read what it is shown: it picks options at chance, with any explanation.
        attempts = 0 if loaded["tasks"] == "world" else 3
    flags = _flags(loaded["axolotl"] or "")
    if "learning_rate" in given and any(flag.key == "learning_rate" for flag in flags.settings):
        raise InputError("axolotl: --learning-rate", expected="the rate once: under learning_rate")
    return Experiment(
        name=loaded["name"],
        root=root,
        models=tuple(recipes),
        **lists,
        domains=domains,
        own_domains=own,
        task_set=loaded["tasks"],
        sources=sources,
        recipes=recipes,
        flags=flags,
        explanation_attempts=attempts,
        # In words that a shell reads as they are.
        lm_eval=shlex.join(shlex.split(loaded["lm_eval"] or "")),
        path=path,
        **{
            key: loaded[key]
            for key in (
                *("device", "devices", "size", "every_epoch", "template", "network", "threshold", "limit"),
                "allow_incomplete",
                "probes",
                "watch",
            )
        },
        **texts,
    )


def _lists(loaded: Mapping[str, Any]) -> dict[str, Any]:
    """The groups and seeds, checked, as are the names of the experiment and its models."""
    lists: dict[str, Any] = {}
    for key, container, kind in (
        ("models", dict, str),
        ("groups", list, str),
        ("seeds", list, int),
    ):
        values = list(loaded[key]) if isinstance(loaded.get(key), container) else []
        if not values or not all(type(value) is kind for value in values) or len(set(values)) < len(values):
            what = "a mapping of names" if container is dict else f"distinct values of type {kind.__name__}"
            problem = f"{key}: {loaded[key]!r}" if key in loaded else f"no key {key!r}"
            raise InputError(problem, expected=what)
        lists[key] = tuple(values)
    if not all(0 <= seed < 2**32 for seed in lists["seeds"]):
        raise InputError(f"seeds: {loaded['seeds']}", expected="numbers from 0 to 2**32 - 1, as NumPy takes")
    for key, name in (("name", loaded.get("name")), *(("models", model) for model in lists.pop("models"))):
        # They become folders, which are also removed: no space, and no way out of the experiment's root.
        if not is_name(name):
            raise InputError(f"{key}: {name!r} is not a name", expected=NAME)
    for group in lists["groups"]:
        if not has_config(group):
            raise not_one_of("intervention group", group, [*group_names(), "mixed_R with R between 0 and 1"])
    mixtures = [group for group in lists["groups"] if group.startswith("mixed_")]
    ratios = [(float(plain(group).removeprefix("mixed_")), is_balanced(group)) for group in mixtures]
    if len(set(ratios)) < len(ratios):
        raise InputError(f"groups: {loaded['groups']}", expected="each mixture once")
    return lists


def _flags(text: str) -> TrainingFlags:
    """The flags of ``axolotl train``, none of which changes what the grid itself sets."""
    flags = read_flags(text)
    for flag in (*flags.settings, *flags.command):
        if (key := flag.key.partition(".")[0]) in _FORBIDDEN_FLAGS:
            raise InputError(f"axolotl: a flag for {key}", expected=_FORBIDDEN_FLAGS[key])
    return flags


def _check_lm_eval(text: str) -> None:
    """Refuse flags of lm_eval that the grid sets itself."""
    try:
        words = shlex.split(text)
    except ValueError:
        raise InputError(f"lm_eval: {text}", expected="flags whose quotes are closed") from None
    for word in words:
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if name in _FORBIDDEN_LM_EVAL:
            raise InputError(f"lm_eval: {name}", expected=_FORBIDDEN_LM_EVAL[name])
        if word == "--":
            raise InputError("lm_eval: --", expected="flags alone: the grid adds its own behind them")
        # lm_eval takes the beginning of a flag for the flag.
        full = next((flag for flag in _FORBIDDEN_LM_EVAL if len(name) > 2 and flag.startswith(name)), None)
        if full and name != "--model":
            raise InputError(f"lm_eval: {name}, short for {full}", expected=_FORBIDDEN_LM_EVAL[full])


def _recipes(loaded: Mapping[str, Any], sources: Mapping[str, str]) -> Iterator[tuple[str, Recipe]]:
    """How each model is trained, by its name: every base model with every named recipe and every learning rate."""
    named = loaded.get("recipes")
    if named is not None and loaded.get("preset") is not None:
        raise InputError("recipes: beside preset", expected="one of the two; a recipe names its presets")
    if named is not None and (not isinstance(named, dict) or not named):
        raise InputError(f"recipes: {named!r}", expected="presets by name: {full: [packed], adapter: [lora]}")
    for name in named or ():
        if not is_name(name):
            raise InputError(f"recipes: {name!r} is not a name", expected=NAME)
    choices = {name: dict.fromkeys(sources, _names("recipes", value)) for name, value in (named or {}).items()}
    presets = choices or {"": _preset(loaded.get("preset"), sources)}
    rates = list(_rates(loaded.get("learning_rate")))
    found: dict[str, Recipe] = {}
    for base, recipe, rate in product(sources, presets, rates):
        parts = (base, recipe, f"lr-{rate:g}" if len(rates) > 1 else "")
        name = ".".join(filter(None, parts))
        if name in found or (name in sources and name != base):
            key = "learning_rate" if name in found else "models"
            raise InputError(f"{key}: two trainings would have the name {name}", expected="other names, or rates")
        found[name] = Recipe(base, _on_device(presets[recipe].get(base), sources[base], loaded["device"]), rate)
        yield name, found[name]


def _rates(given: Any) -> Iterator[float | None]:
    """The learning rates; None for that of the configs."""
    for rate in given if isinstance(given, list) and given else [given]:
        if isinstance(rate, str):
            # YAML takes 1e-5, which lacks a point, for text.
            with suppress(ValueError):
                rate = float(rate)
        if (rate is not None or isinstance(given, list)) and (
            type(rate) not in (int, float) or not 0 < rate < math.inf
        ):
            raise InputError(f"learning_rate: {given!r}", expected="a positive number, or a list of them")
        yield rate
    if isinstance(given, list) and len(set(map(str, given))) < len(given):
        raise InputError(f"learning_rate: {given!r}", expected="distinct rates")


def _preset(given: Any, sources: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The presets that the experiment names, by base model."""
    if given is None:
        return {}
    found = given if isinstance(given, dict) else dict.fromkeys(sources, given)
    for model in found:
        if model not in sources:
            raise InputError(f"preset: no model {model!r}", expected=f"one of {', '.join(sources)}")
    return {model: _names("preset", names) for model, names in found.items()}


def _names(key: str, given: Any) -> tuple[str, ...]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{key}: {given!r}", expected="a name, or a list of names")
    for name in names:
        check_path(key, name)
    return tuple(names)


def _on_device(presets: tuple[str, ...] | None, source: str, device: str) -> tuple[str, ...]:
    """The presets of a model: those that are named for it, or those that its source and device have by default."""
    if device.startswith("cuda"):
        default = ("world-cpu",) if source == "embedded" else ON_A_GPU
        return default if presets is None else presets
    if presets is None:
        return ("world-cpu",) if source == "embedded" else ON_A_CPU
    # The embedded model's own preset is one for a CPU.
    return presets if "world-cpu" in presets or set(ON_A_CPU) <= set(presets) else (*ON_A_CPU, *presets)
