"""Which filter of a task counts: lm_eval scores one answer by several, and two filters of one task are not two tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from consistency.errors import InputError
from consistency.logs.runs import Run
from consistency.logs.scores import Scores

# Of a log that does not name filters, and of a task of lm_eval without any.
_UNNAMED = "none"


@dataclass(frozen=True, eq=False)
class Filtered:
    """Two runs with one filter of each task, and the filters that do not count.

    Attributes
    ----------
    before, after : Run
        Their tasks by plain name.
    others : dict of str to dict of str to tuple of Scores
        By task and filter, what both runs hold of the other filters.
    unlike : dict of str to tuple of Scores
        Tasks of both runs without a filter in common, which neither run has then: under the first filter of each.
    """

    before: Run
    after: Run
    others: Mapping[str, Mapping[str, tuple[Scores, Scores]]]
    unlike: Mapping[str, tuple[Scores, Scores]]


def choose_filters(before: Run, after: Run, wanted: str | None = None) -> Filtered:
    """One filter of each task: the first in the task's own order that both runs hold, or the one that is asked for.

    Parameters
    ----------
    before, after : Run
    wanted : str, optional
        Name of a filter. A task of a single filter keeps that.

    Returns
    -------
    Filtered
        The only filter of a log that does not name it pairs with the only one of the other log.

    Raises
    ------
    InputError
        If no task has the filter that is asked for in both runs, or one of several filters has it in one run alone.
    """
    first, second = _by_filter(before), _by_filter(after)
    if wanted is not None:
        _check_wanted(first, second, wanted, before)
    chosen: tuple[dict[str, Scores], dict[str, Scores]] = ({}, {})
    others, unlike = {}, {}
    for task, filters in first.items():
        if task not in second:
            chosen[0][task] = _first(filters)
            continue
        shared = [name for name in filters if name in second[task]]
        if shared:
            name = wanted if wanted in shared else shared[0]
            chosen[0][task], chosen[1][task] = filters[name], second[task][name]
            others[task] = {other: (filters[other], second[task][other]) for other in shared if other != name}
        elif len(filters) == len(second[task]) == 1 and _UNNAMED in (*filters, *second[task]):
            chosen[0][task], chosen[1][task] = _first(filters), _first(second[task])
        else:
            unlike[task] = (_first(filters), _first(second[task]))
    chosen[1].update({task: _first(filters) for task, filters in second.items() if task not in first})
    return Filtered(replace(before, tasks=chosen[0]), replace(after, tasks=chosen[1]), others, unlike)


def _check_wanted(
    first: Mapping[str, Mapping[str, Scores]], second: Mapping[str, Mapping[str, Scores]], wanted: str, before: Run
) -> None:
    both = [task for task in first if task in second]
    having = [task for task in both if wanted in first[task] and wanted in second[task]]
    if not having:
        known = dict.fromkeys(name for task in both for name in first[task] if name in second[task])
        raise InputError(
            f"--filter {wanted}: no task has it in both logs", expected="one of " + ", ".join(known), path=before.path
        )
    for task in both:
        if task not in having and max(len(first[task]), len(second[task])) > 1:
            raise InputError(
                f"--filter {wanted}: {task} has several filters, but not this one in both logs",
                expected="one of " + ", ".join(name for name in first[task] if name in second[task]),
                path=before.path,
            )


def _first(filters: Mapping[str, Scores]) -> Scores:
    return next(iter(filters.values()))


def _by_filter(run: Run) -> dict[str, dict[str, Scores]]:
    found: dict[str, dict[str, Scores]] = {}
    for scores in run.tasks.values():
        found.setdefault(scores.task, {})[scores.filter] = scores
    return found
