"""Which filter of a task counts: lm_eval scores one answer by several, and two filters of one task are not two tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from consistency.errors import InputError
from consistency.logs.runs import Run
from consistency.logs.scores import Scores


@dataclass(frozen=True, eq=False)
class Filtered:
    """Two runs with one filter of each task, and the filters that do not count.

    Attributes
    ----------
    before, after : Run
        Their tasks by plain name.
    others : dict of str to dict of str to tuple of Scores
        By task and filter, what both runs hold of the other filters.
    """

    before: Run
    after: Run
    others: Mapping[str, Mapping[str, tuple[Scores, Scores]]]


def choose_filters(before: Run, after: Run, wanted: str | None = None) -> Filtered:
    """One filter of each task: the first in the task's own order that both runs hold, or the one that is asked for.

    Parameters
    ----------
    before, after : Run
    wanted : str, optional
        Name of a filter. A task that does not have it keeps its own.

    Raises
    ------
    InputError
        If no task has the filter that is asked for.
    """
    first, second = _by_filter(before), _by_filter(after)
    if wanted is not None and not any(wanted in filters for filters in first.values()):
        known = dict.fromkeys(name for filters in first.values() for name in filters)
        raise InputError(f"--filter {wanted}: no task has it", expected="one of " + ", ".join(known), path=before.path)
    chosen: tuple[dict[str, Scores], dict[str, Scores]] = ({}, {})
    others = {}
    for task, filters in first.items():
        shared = [name for name in filters if name in second.get(task, {})]
        name = wanted if wanted is not None and wanted in (shared or filters) else next(iter(shared or filters))
        chosen[0][task] = filters[name]
        if task in second:
            chosen[1][task] = second[task].get(name, next(iter(second[task].values())))
            others[task] = {other: (filters[other], second[task][other]) for other in shared if other != name}
    for task, filters in second.items():
        if task not in first:
            chosen[1][task] = filters.get(wanted or "") or next(iter(filters.values()))
    return Filtered(replace(before, tasks=chosen[0]), replace(after, tasks=chosen[1]), others)


def _by_filter(run: Run) -> dict[str, dict[str, Scores]]:
    found: dict[str, dict[str, Scores]] = {}
    for scores in run.tasks.values():
        found.setdefault(scores.task, {})[scores.filter] = scores
    return found
