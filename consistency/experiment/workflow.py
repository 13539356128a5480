"""What the grid's workflow reads about an experiment: task names, devices, and what each training is made from.

``scripts/Snakefile`` imports nothing of this project. It asks ``consistency experiment grid`` once, and gets this as JSON.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import takewhile
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.experiment.grid import Experiment, needs_contexts
from consistency.support.files import fingerprint
from consistency.tasks.benchmarks import BENCHMARKS
from consistency.tasks.own_domain import joined_tasks
from consistency.tasks.own_tasks import manifest_name
from consistency.tasks.scopes import context_task, explain_task, simulate_task
from consistency.world.model import BASE_MODEL

_PREFIXES = {"world": "consistency_world", "paper": "consistency"}


def workflow(experiment: Experiment, visible: str | None = None, data: str = "") -> dict[str, Any]:
    """What the workflow reads of an experiment, as JSON-ready values.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    visible : str, optional
        ``CUDA_VISIBLE_DEVICES`` of the environment; None where it is not set.
    data : str
        ``CONSISTENCY_DATA`` of the environment.

    Returns
    -------
    dict
        The keys of the experiment that rules read as they are (`domains`, `groups`, `seeds`, `size`, `general`,
        `threshold`, `template`, `network`, `allow_incomplete`, `explanation_attempts`, `model_args`). `bases`: the base
        models with their sources; `models`: the base of each model that is trained. `lm_eval`: the flags of an evaluation,
        `written` those of a stage in which a model writes. `root`; `weights`, the SHA-256 of the embedded model if a model is
        that one; `tasks` (see `stage_tasks`). `explained` and `in_context`: the groups that need explanations, and contexts;
        `contexts_by`, what writes the latter. `own`: the list of kept task files of each own domain; `guards`: the
        evaluation sets that are left out of training sets. `device` as lm_eval takes it; `visible`, the value that
        ``CUDA_VISIBLE_DEVICES`` is to have, or None to leave it; `gpus` that an evaluation and a training claim;
        `command_line`, what follows ``axolotl train FILE``; and `trainings` by model and group (see `_training`).

    Raises
    ------
    InputError
        If a training config cannot be resolved, or a GPU is not visible.
    """
    device, _, number = experiment.device.partition(":")
    claimed = int(device == "cuda" and not number)
    # The content of the embedded model, wherever it is installed.
    embedded = "embedded" in experiment.sources.values()
    weights = fingerprint(BASE_MODEL / "model.safetensors") if embedded else None
    return {
        "root": str(experiment.root),
        "bases": dict(experiment.sources),
        "models": {model: experiment.recipe(model).base for model in experiment.models},
        "own": {
            name: str(experiment.own_tasks(name) / manifest_name(own)) for name, own in experiment.own_domains.items()
        },
        "guards": guards(experiment, data),
        "weights": weights,
        "domains": experiment.domains,
        "groups": experiment.groups,
        "seeds": experiment.seeds,
        "size": experiment.size,
        "general": experiment.general,
        "explanation_attempts": experiment.explanation_attempts,
        "model_args": experiment.model_args,
        "lm_eval": experiment.lm_eval + (f" --limit {experiment.limit}" if experiment.limit else ""),
        "written": experiment.lm_eval,
        "threshold": experiment.threshold,
        "template": experiment.template,
        "network": experiment.network,
        "allow_incomplete": experiment.allow_incomplete,
        "contexts_by": experiment.context_model,
        "tasks": stage_tasks(experiment),
        "explained": experiment.explained,
        "in_context": [group for group in experiment.groups if needs_contexts(group)],
        "device": device,
        "visible": visible_gpus(experiment.device, visible),
        "gpus": {"evaluate": claimed, "train": claimed * experiment.devices},
        "command_line": experiment.flags.command_line,
        "trainings": {
            model: {group: _training(experiment, model, group, weights) for group in experiment.groups}
            for model in experiment.models
        },
    }


def stage_tasks(experiment: Experiment) -> dict[str, Any]:
    """The lm_eval tasks of each stage of the grid, joined as ``--tasks`` takes them.

    Parameters
    ----------
    experiment : Experiment

    Returns
    -------
    dict
        `probe`: the tasks of the base model with shots; `base`: without shots; `explain`: those in which it explains its
        answers; `check`: those that check its explanations; `context`: those in which contexts are written;
        `map`: those of the pools, if they are asked in several ways. By domain,
        `pool`: the task whose questions training sets are made of; `evaluate`: the tasks of a tuned model.
    """
    asked = {domain: _Asked.of(experiment, domain) for domain in experiment.domains}
    further = [item.pool.removesuffix("icl") + style for item in asked.values() for style in experiment.probes]
    world = experiment.task_set == "world"
    return {
        "probe": ",".join(
            joined_tasks(
                [*([item.few[0], item.pool] for item in asked.values()), *(i.few for i in asked.values()), further]
            )
        ),
        "base": ",".join(joined_tasks(item.zero for item in asked.values())),
        "explain": explain_task() if world else ",".join(map(explain_task, asked)),
        "check": simulate_task() if world else ",".join(map(simulate_task, asked)),
        "context": context_task() if world else ",".join(map(context_task, asked)),
        "map": [*(item.pool for item in asked.values()), *further] if further else [],
        "pool": {domain: item.pool for domain, item in asked.items()},
        "evaluate": {domain: ",".join(item.zero) for domain, item in asked.items()},
    }


@dataclass(frozen=True)
class _Asked:
    """The tasks of one domain: its pool, and those of its scopes with and without shots."""

    pool: str
    few: list[str]
    zero: list[str]

    @classmethod
    def of(cls, experiment: Experiment, domain: str) -> _Asked:
        own = experiment.own_domains.get(domain)
        if own is not None:
            return cls(own.task("pool_icl"), own.asked("icl"), own.asked("ift"))
        prefix = _PREFIXES[experiment.task_set]
        few, zero = ([f"{prefix}_{domain}_{style}", f"{prefix}_mmlu_{style}"] for style in ("icl", "ift"))
        return cls(f"{prefix}_{domain}_pool_icl", few, zero)


def guards(experiment: Experiment, data: str = "") -> list[str]:
    """The evaluation sets whose questions are left out of all training sets.

    Parameters
    ----------
    experiment : Experiment
    data : str
        The folder of questions, as CONSISTENCY_DATA names it; empty without one.

    Returns
    -------
    list of str
        The experiment's `guard`; the test sets and few-shot examples of its own domains; and the questions of each benchmark
        that an own domain is evaluated on, where the folder has them.
    """
    found = [experiment.guard] if experiment.guard else []
    for name in experiment.own_domains:
        kept = experiment.own_tasks(name) / "questions"
        found += [str(kept / "test.jsonl"), str(kept / "dev.jsonl")]
    tasks = [task for own in experiment.own_domains.values() for task in own.asked("icl")]
    for name, benchmark in BENCHMARKS.items() if data else ():
        asked = any(re.match(rf"(consistency_{name}_|{name}([_-]|$))", task) for task in tasks)
        if asked and (tests := Path(data).expanduser() / name / benchmark.splits[0]).is_dir():
            found.append(str(tests))
    return found


def visible_gpus(device: str, visible: str | None) -> str | None:
    """The value of ``CUDA_VISIBLE_DEVICES`` for a run on a device.

    Parameters
    ----------
    device : str
        ``cpu``, ``mps``, ``cuda`` or ``cuda:N``.
    visible : str or None
        Its present value; None where it is not set.

    Returns
    -------
    str or None
        Empty for a device without GPUs; the GPU with that number among the visible ones for ``cuda:N``; None, leave it as
        it is, for ``cuda``.

    Raises
    ------
    InputError
        If fewer GPUs are visible.

    Examples
    --------
    >>> visible_gpus("cuda:1", "1,3"), visible_gpus("cpu", "1,3"), visible_gpus("cuda", "1,3")
    ('3', '', None)
    """
    kind, _, number = device.partition(":")
    if kind != "cuda":
        return ""
    if not number or visible is None:
        return number or None
    # As CUDA reads it: a negative number, or an empty name, ends the list.
    names = list(takewhile(re.compile(r"(?!-).").match, map(str.strip, visible.split(","))))
    if int(number) >= len(names):
        raise InputError(f"device: {device} is not among the GPUs that CUDA_VISIBLE_DEVICES={visible} shows")
    return names[int(number)]


def _training(experiment: Experiment, model: str, group: str, weights: str | None) -> dict[str, Any]:
    """What the workflow reads of the trainings of a model and a group.

    Returns
    -------
    dict
        `adapter`: whether an adapter is trained; `preference`: whether on pairs of replies; `epochs`: after which a model is
        kept, the last not among them; `made_from`: what the result depends on besides rows and seed. It does not depend on
        where files are, which epochs are kept, or comments in a config.
    """
    embedded = experiment.sources[experiment.recipe(model).base] == "embedded"
    settings = {"base_model": weights} if embedded else {}
    values = replace(experiment, every_epoch=False).config(model, group, settings).values
    last = math.ceil(values["num_epochs"])
    return {
        "adapter": bool(values.get("adapter")),
        "preference": bool(values.get("rl")),
        "epochs": list(range(1, last)) if experiment.every_epoch else [],
        "made_from": {
            "base_model": values["base_model"],
            "config": sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest(),
            "flags": experiment.flags.command_line,
        },
    }
