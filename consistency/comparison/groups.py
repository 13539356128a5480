"""The harness's groups of tasks, and how it weighs the tasks of each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from consistency.logs.run_config import RunConfig, leaf_tasks
from consistency.logs.task_settings import read_task_settings, read_values

Weighting = Literal["size", "task"]


@dataclass(frozen=True)
class TaskGroup:
    """A group of tasks.

    Attributes
    ----------
    name : str
    tasks : tuple of str
        Those of its tasks that are compared.
    absent : int
        How many of its tasks are not.
    weightings : dict of str to {"size", "task"}
        By metric, whether the harness's number weighs each question or each task the same.
    unlike : tuple of str
        Metrics for which it has another number than such a mean of its tasks' numbers.
    """

    name: str
    tasks: tuple[str, ...]
    absent: int
    weightings: Mapping[str, Weighting]
    unlike: tuple[str, ...] = ()


def read_groups(config: RunConfig, compared: Mapping[str, int], filters: Mapping[str, str]) -> Iterator[TaskGroup]:
    """The groups of a run of which at least two tasks are compared.

    Parameters
    ----------
    config : RunConfig
    compared : dict of str to int
        The tasks, and how many documents of each the run holds: lm_eval before 0.4.3 does not log their number.
    filters : dict of str to str
        The filter of each that counts.

    Yields
    ------
    TaskGroup
        In the order of the results file.
    """
    for name in config.groups:
        leaves = leaf_tasks(name, config.groups)
        tasks = tuple(task for task in leaves if task in compared)
        if len(tasks) > 1 and name not in compared:
            found = dict(_weightings(config.content, name, leaves, compared, filters))
            yield TaskGroup(
                name,
                tasks,
                len(leaves) - len(tasks),
                {metric: weighting for metric, weighting in found.items() if weighting is not None},
                tuple(metric for metric, weighting in found.items() if weighting is None),
            )


def _weightings(
    content: Mapping[str, Any], group: str, tasks: list[str], counted: Mapping[str, int], filters: Mapping[str, str]
) -> Iterator[tuple[str, Weighting | None]]:
    """How the harness's numbers of a group weigh its tasks, by metric; the results file does not say it in words."""
    results = content.get("results")
    numbers = results.get(group) if isinstance(results, dict) else None
    settings = {task: read_task_settings(content, task) for task in tasks}
    for key, value in read_values(numbers if isinstance(numbers, dict) else {}):
        with_it = {task: item for task, item in settings.items() if key in item.values}
        if key[1] not in {filters[task] for task in with_it if task in filters}:
            continue
        values = [item.values[key] for item in with_it.values()]
        sizes = [counted.get(task) if item.documents is None else item.documents for task, item in with_it.items()]
        found: Weighting | None = None
        if with_it and _close(sum(values) / len(values), value):
            found = "task"
        known = [size for size in sizes if size is not None]
        if with_it and len(known) == len(with_it):
            total = sum(each * size for each, size in zip(values, known, strict=True))
            # Tasks of one size, or of one value, leave no difference: each question then counts the same, too.
            if _close(total / sum(known), value):
                found = "size"
        yield key[0], found


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
