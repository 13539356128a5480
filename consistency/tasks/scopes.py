"""The tasks that a domain is evaluated on: its own test set (HOMO), the subjects that belong to it (ID), all others (OOD)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import Literal, get_args

from consistency.errors import InputError, not_one_of
from consistency.tasks.benchmarks import BENCHMARKS, benchmark_tasks, find_benchmark
from consistency.world import fields

SCOPES = ("homo", "id", "ood")
TaskSet = Literal["world", "paper"]


def scope_tasks(domain: str, style: str, task_set: TaskSet = "world", benchmark: str = "mmlu") -> dict[str, list[str]]:
    """The lm_eval tasks of each scope of a domain.

    Parameters
    ----------
    domain : str
        One of the four domains.
    style : {"icl", "icl_paper", "icl_cyclic", "ift"}
        Few-shot plain text, the same as released or with every rotation (of the paper's tasks alone), or zero-shot with
        the chat template.
    task_set : {"world", "paper"}
        The embedded world's questions, or the paper's: the four domains and a benchmark.
    benchmark : {"mmlu", "cmmlu", "ceval"}
        Whose subjects are ID and OOD; the paper's is MMLU.

    Returns
    -------
    dict of str to list of str
        Task names of "homo", "id" and "ood". Every task is in exactly one scope.

    Raises
    ------
    InputError
        If the domain, the set of tasks or the benchmark is unknown, or the embedded world is asked for another one.

    Examples
    --------
    >>> scope_tasks("medicine", "ift")["homo"]
    ['consistency_world_medicine_ift']
    >>> [len(tasks) for tasks in scope_tasks("medicine", "icl").values()]
    [1, 4, 16]
    >>> scope_tasks("engineering", "icl", "paper")["id"]
    ['consistency_mmlu_icl_electrical_engineering']
    >>> [len(tasks) for tasks in scope_tasks("jurisprudence", "icl", "paper").values()]
    [1, 15, 42]
    >>> scope_tasks("history", "ift", "paper", "cmmlu")["id"]
    ['consistency_cmmlu_ift_chinese_history', 'consistency_cmmlu_ift_world_history']
    """
    if domain not in fields.DOMAINS:
        raise not_one_of("domain", domain, fields.DOMAINS)
    found = find_benchmark(benchmark)
    if task_set == "world":
        if benchmark != "mmlu":
            raise InputError(f"no {found.title} of the embedded world", expected="the paper's tasks with it")
        homo = f"consistency_world_{domain}_{style}"
        tasks = {name: f"consistency_world_mmlu_{style}_{name}" for name in fields.SUBJECTS}
        inside = {name for name in fields.SUBJECTS if fields.FIELD_BY_NAME[name].domain == domain}
    elif task_set == "paper":
        homo = f"consistency_{domain}_{style}"
        tasks = benchmark_tasks(benchmark, style)
        inside = set(found.domains[domain])
    else:
        raise not_one_of("set of tasks", task_set, get_args(TaskSet))
    return {
        "homo": [homo],
        "id": [task for name, task in tasks.items() if name in inside],
        "ood": [task for name, task in tasks.items() if name not in inside],
    }


def find_scopes(domain: str, tasks: Iterable[str]) -> dict[str, list[str]]:
    """The scopes of a domain among a log's tasks: this project's of any style, and the harness's own of its benchmarks.

    Parameters
    ----------
    domain : str
        One of the four domains.
    tasks : iterable of str
        Names of a log's tasks.

    Returns
    -------
    dict of str to list of str
        Those of "homo", "id" and "ood" that have a task; a task that belongs to none is in none.

    Raises
    ------
    InputError
        If the domain is unknown, or no task belongs to it.

    Examples
    --------
    >>> find_scopes("history", ["mmlu_prehistory", "mmlu_virology", "arc_easy"])
    {'id': ['mmlu_prehistory'], 'ood': ['mmlu_virology']}
    >>> find_scopes("medicine", ["ceval-valid_physician", "consistency_cmmlu_ift_arts"])
    {'id': ['ceval-valid_physician'], 'ood': ['consistency_cmmlu_ift_arts']}
    """
    tasks = list(tasks)
    scopes: dict[str, list[str]] = {scope: [] for scope in SCOPES}
    sets: list[tuple[TaskSet, str]] = [("world", "mmlu"), *(("paper", name) for name in BENCHMARKS)]
    known: dict[str, str] = {}
    for (task_set, benchmark), style in product(sets, ("icl", "icl_paper", "icl_cyclic", "ift")):
        for scope, names in scope_tasks(domain, style, task_set, benchmark).items():
            known |= dict.fromkeys(names, scope)
    for found in BENCHMARKS.values():
        for subject in found.names:
            known[found.harness + subject] = "id" if subject in found.domains[domain] else "ood"
    for name in tasks:
        if name in known:
            scopes[known[name]].append(name)
    if not any(scopes.values()):
        raise InputError(
            f"no task belongs to {domain}: {', '.join(tasks[:5])}",
            expected="tasks of this project, MMLU, CMMLU or C-Eval",
        )
    return {scope: names for scope, names in scopes.items() if names}


def explain_task(domain: str | None = None) -> str:
    """The task in which a model explains its answers to a domain's questions; without a domain the embedded world's.

    Examples
    --------
    >>> explain_task("history"), explain_task()
    ('consistency_explain_history', 'consistency_world_explain')
    """
    return "consistency_world_explain" if domain is None else f"consistency_explain_{domain}"


def simulate_task(domain: str | None = None) -> str:
    """The task that checks explanations of a domain's questions; without a domain the embedded world's.

    Examples
    --------
    >>> simulate_task("history"), simulate_task()
    ('consistency_simulate_history', 'consistency_world_simulate')
    """
    return "consistency_world_simulate" if domain is None else f"consistency_simulate_{domain}"


def context_task(domain: str | None = None) -> str:
    """The task in which a model writes down the knowledge that a domain's questions need; without a domain the embedded world's.

    Examples
    --------
    >>> context_task("history"), context_task()
    ('consistency_context_history', 'consistency_world_context')
    """
    return "consistency_world_context" if domain is None else f"consistency_context_{domain}"


def domain_of(task: str) -> str:
    """The domain that one of this project's tasks asks about; other task names are returned unchanged.

    Examples
    --------
    >>> domain_of("consistency_medicine_pool_icl"), domain_of("consistency_mmlu_ift_anatomy"), domain_of("arc_easy")
    ('medicine', 'mmlu', 'arc_easy')
    """
    found = re.fullmatch(r"consistency_(?:world_)?(?P<domain>.+?)(?:_pool)?_(?:icl|ift)(?:_.+)?", task)
    return found["domain"] if found else task


def asks_pool(task: str) -> bool:
    """Whether a task asks the questions of a training pool.

    Examples
    --------
    >>> asks_pool("consistency_world_history_pool_icl"), asks_pool("consistency_history_icl")
    (True, False)
    """
    return "_pool_" in task


def asks_world(task: str) -> bool:
    """Whether a task asks about the embedded world.

    Examples
    --------
    >>> asks_world("consistency_world_history_pool_icl"), asks_world("consistency_history_icl")
    (True, False)
    """
    return task.startswith("consistency_world_")
