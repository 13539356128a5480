"""Whether lm_eval has the tasks that a user names, by its own index: no task is loaded, and nothing fetched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import pairwise
from typing import Any

from consistency.support.resources import shipped
from consistency.tasks.own_domain import OwnDomain, joined_tasks


def asked_tasks(domains: Iterable[OwnDomain]) -> list[str]:
    """The tasks that one run of lm_eval is asked for the scopes of own domains, without the domains' own."""
    domains = list(domains)
    made = {domain.task("icl") for domain in domains}
    return [task for task in joined_tasks(domain.asked("icl") for domain in domains) if task not in made]


def task_problems(tasks: Iterable[str]) -> dict[str, str]:
    """What is wrong with the names of tasks that one run of lm_eval is to ask.

    Parameters
    ----------
    tasks : iterable of str

    Returns
    -------
    dict of str to str
        By name: no such task, a tag, or a part of another one of them. Empty where all is well, or lm_eval is not
        installed.
    """
    names = list(dict.fromkeys(tasks))
    if not names or find_spec("lm_eval") is None:
        return {}
    from lm_eval.tasks import TaskManager

    # Three seconds; without the harness's own thousands of tasks where none is asked.
    own = all(name.startswith("consistency_") for name in names)
    manager: Any = TaskManager(include_path=[str(shipped("lm_eval_tasks"))], include_defaults=not own)
    known, tags = {*manager.all_subtasks, *manager.all_groups}, set(manager.all_tags)
    found: dict[str, str] = {}
    for name in names:
        if name in tags - known:
            found[name] = f"{name} is a tag of lm_eval, which no log names; name its tasks"
        elif name not in known:
            near = get_close_matches(name, known, n=3)
            found[name] = f"lm_eval has no task {name}" + (f"; perhaps {', '.join(near)}" if near else "")
    owners: dict[str, list[str]] = {}
    for name in names:
        if name not in found:
            for member in _below(name, manager.task_index, set()):
                owners.setdefault(member, []).append(name)
    for member, several in owners.items():
        for one, other in pairwise(several):
            found.setdefault(other, f"{one} and {other} both ask {member}, which lm_eval asks once; name one of them")
    return found


def unknown_tasks(names: Iterable[str], include_path: str | None = None) -> dict[str, str]:
    """The names, or patterns, that stand for no task, group or tag of lm_eval or of this project.

    Parameters
    ----------
    names : iterable of str
    include_path : str, optional
        A folder of further tasks.

    Returns
    -------
    dict of str to str
        By name what is wrong, with the names that are nearest.
    """
    from lm_eval.tasks import TaskManager

    folders = [str(shipped("lm_eval_tasks")), *([] if include_path is None else [include_path])]
    manager: Any = TaskManager(include_path=folders)
    found = {}
    for name in names:
        if not manager.match_tasks([name]):
            near = get_close_matches(name, manager.all_tasks, n=3)
            found[name] = f"no task {name!r}" + (f"; perhaps {', '.join(near)}" if near else "")
    return found


def members_of(entry: Any) -> Sequence[Any] | None:
    """What a group or a tag of lm_eval's index names, as its file does; none of a task, None where that is not known.

    Parameters
    ----------
    entry : dict or lm_eval.tasks._index.Entry
        A value of `TaskManager.task_index`, which is an object from 0.4.12 on.
    """
    if not isinstance(entry, dict):
        kind = entry.kind.name
        members = entry.cfg.get("task", []) if kind == "GROUP" else sorted(entry.tags) if kind == "TAG" else []
        return None if kind == "UNKNOWN" else [members] if isinstance(members, str) else members
    if entry["type"] in ("task", "python_task"):
        return []
    members = entry["task"]
    if entry["type"] == "group":
        from lm_eval.utils import load_yaml_config

        members = load_yaml_config(entry["yaml_path"], mode="simple").get("task", [])
    return [members] if isinstance(members, str) else members


def _below(name: str, index: Mapping[str, Any], seen: set[str]) -> set[str]:
    """A task and, of a group, everything below it, as far as their files say."""
    if name not in seen:
        seen.add(name)
        _collect((name in index and members_of(index[name])) or (), index, seen)
    return seen


def _collect(parts: Any, index: Mapping[str, Any], seen: set[str]) -> None:
    for part in parts if isinstance(parts, Sequence) and not isinstance(parts, str) else [parts]:
        if isinstance(part, Mapping) and isinstance(part.get("group"), str):
            seen.add(part["group"])
            _collect(part.get("task", []), index, seen)
        elif isinstance(part := part.get("task") if isinstance(part, Mapping) else part, str):
            _below(part, index, seen)
