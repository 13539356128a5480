"""The tasks that a domain is evaluated on: its own test set (HOMO), the subjects that belong to it (ID), all others (OOD)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product
from typing import Literal, get_args

from consistency.errors import InputError, not_one_of
from consistency.tasks import mmlu
from consistency.world import fields

SCOPES = ("homo", "id", "ood")
TaskSet = Literal["world", "paper"]
# The paper's choice of MMLU's sub-categories.
ID_SUBCATEGORIES = {
    "medicine": ("health",),
    "history": ("history",),
    "engineering": ("engineering",),
    "jurisprudence": ("politics", "culture", "economics", "geography", "psychology", "law"),
}


def scope_tasks(domain: str, style: str, task_set: TaskSet = "world") -> dict[str, list[str]]:
    """The lm_eval tasks of each scope of a domain.

    Parameters
    ----------
    domain : str
        One of the four domains.
    style : {"icl", "icl_paper", "icl_cyclic", "ift"}
        Few-shot plain text, the same as released or with every rotation (of the paper's tasks alone), or zero-shot with
        the chat template.
    task_set : {"world", "paper"}
        The embedded world's questions, or the paper's: the four domains and MMLU.

    Returns
    -------
    dict of str to list of str
        Task names of "homo", "id" and "ood". Every task is in exactly one scope.

    Raises
    ------
    InputError
        If the domain or the set of tasks is unknown.

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
    """
    if domain not in fields.DOMAINS:
        raise not_one_of("domain", domain, fields.DOMAINS)
    if task_set == "world":
        prefix = "consistency_world"
        belongs = {name: fields.FIELD_BY_NAME[name].domain == domain for name in fields.SUBJECTS}
    elif task_set == "paper":
        prefix = "consistency"
        belongs = {name: mmlu.SUBCATEGORY_OF[name] in ID_SUBCATEGORIES[domain] for name in mmlu.SUBJECTS}
    else:
        raise not_one_of("set of tasks", task_set, get_args(TaskSet))
    return {
        "homo": [f"{prefix}_{domain}_{style}"],
        "id": [f"{prefix}_mmlu_{style}_{name}" for name, inside in belongs.items() if inside],
        "ood": [f"{prefix}_mmlu_{style}_{name}" for name, inside in belongs.items() if not inside],
    }


def find_scopes(domain: str, tasks: Iterable[str]) -> dict[str, list[str]]:
    """The scopes of a domain among the tasks of a log: this project's tasks of any style, and the harness's own MMLU.

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
    """
    tasks = list(tasks)
    scopes: dict[str, list[str]] = {scope: [] for scope in SCOPES}
    sets: tuple[TaskSet, ...] = ("world", "paper")
    for task_set, style in product(sets, ("icl", "icl_paper", "icl_cyclic", "ift")):
        for scope, names in scope_tasks(domain, style, task_set).items():
            scopes[scope] += [name for name in tasks if name in names and name not in scopes[scope]]
    for name in tasks:
        subject = name.removeprefix("mmlu_")
        if name != subject and subject in mmlu.SUBCATEGORY_OF:
            inside = mmlu.SUBCATEGORY_OF[subject] in ID_SUBCATEGORIES[domain]
            scopes["id" if inside else "ood"].append(name)
    if not any(scopes.values()):
        raise InputError(
            f"no task belongs to {domain}: {', '.join(tasks[:5])}", expected="tasks of this project, or MMLU"
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


def context_task(domain: str) -> str:
    """The task in which a model writes down the knowledge that a domain's questions need.

    Examples
    --------
    >>> context_task("history")
    'consistency_context_history'
    """
    return f"consistency_context_{domain}"


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
