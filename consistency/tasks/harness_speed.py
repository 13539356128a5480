"""What lm_eval does for each question, or for each of its own thousands of tasks, done once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


@contextmanager
def compiled_templates() -> Iterator[None]:
    """Compile each Jinja template once inside a `with` block; lm_eval compiles a task's description for every question.

    The prompts are the same, since a compiled template keeps nothing of what it was filled with.
    """
    from lm_eval import utils

    compile_template = utils.env.from_string
    utils.env.from_string = lru_cache(maxsize=4096)(compile_template)
    try:
        yield
    finally:
        utils.env.from_string = compile_template


@contextmanager
def without_unasked_tasks(names: Sequence[str]) -> Iterator[None]:
    """Leave the files of lm_eval's own tasks unread inside a `with` block, where all tasks that are asked are elsewhere.

    Parameters
    ----------
    names : sequence of str
        The tasks, groups and tags that are asked; with a pattern or a file among them all is read.
    """
    from lm_eval.tasks import TaskManager

    index_all = TaskManager.initialize_tasks

    def index(self: Any, include_path: str | list[str] | None = None, include_defaults: bool = True) -> dict[str, Any]:
        if include_defaults and include_path is not None and names:
            found: dict[str, Any] = index_all(self, include_path=include_path, include_defaults=False)
            if all(_is_complete(name, found, set()) for name in names):
                return found
        everything: dict[str, Any] = index_all(self, include_path=include_path, include_defaults=include_defaults)
        return everything

    TaskManager.initialize_tasks = index
    try:
        yield
    finally:
        TaskManager.initialize_tasks = index_all


def _is_complete(name: str, index: dict[str, Any], seen: set[str]) -> bool:
    """Whether a task is in an index, and of a group or a tag all members as well."""
    from lm_eval.utils import load_yaml_config

    if name in seen:
        return True
    seen.add(name)
    entry = index.get(name)
    if entry is None:
        return False
    if entry["type"] in ("task", "python_task"):
        return True
    members = entry["task"]
    if entry["type"] == "group":
        members = load_yaml_config(entry["yaml_path"], mode="simple").get("task", [])
    for member in [members] if isinstance(members, str) else members:
        named = member if isinstance(member, str) else None
        if named is None or not _is_complete(named, index, seen):
            return False
    return True
