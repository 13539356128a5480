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
    first, second = by_filter(before), by_filter(after)
    if wanted is not None:
        _check_wanted(first, second, wanted, before)
    one = {task: _first(filters) for task, filters in first.items()}
    two = {task: _first(filters) for task, filters in second.items()}
    others, unlike = {}, {}
    for task in [task for task in first if task in second]:
        found = pair_filters(first[task], second[task], wanted)
        if found is None:
            unlike[task] = (one.pop(task), two.pop(task))
        else:
            (one[task], two[task]), others[task] = found
    return Filtered(replace(before, tasks=one), replace(after, tasks=two), others, unlike)


def pair_filters(
    first: Mapping[str, Scores], second: Mapping[str, Scores], wanted: str | None = None
) -> tuple[tuple[Scores, Scores], dict[str, tuple[Scores, Scores]]] | None:
    """A task under the filter that counts in both runs, and under the others that both hold; None without a common one.

    Parameters
    ----------
    first, second : dict of str to Scores
        The task of each run by filter.
    wanted : str, optional
        See `choose_filters`.
    """
    shared = [name for name in first if name in second]
    if shared:
        name = wanted if wanted in shared else shared[0]
        return (first[name], second[name]), {other: (first[other], second[other]) for other in shared if other != name}
    if len(first) == len(second) == 1 and _UNNAMED in (*first, *second):
        return (_first(first), _first(second)), {}
    return None


def _check_wanted(
    first: Mapping[str, Mapping[str, Scores]], second: Mapping[str, Mapping[str, Scores]], wanted: str, before: Run
) -> None:
    both = [task for task in first if task in second]
    having = [task for task in both if wanted in first[task] and wanted in second[task]]
    if not all(any(wanted in filters for filters in run.values()) for run in (first, second)):
        known = dict.fromkeys(name for filters in first.values() for name in filters)
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


def by_filter(run: Run) -> dict[str, dict[str, Scores]]:
    """The tasks of a run by plain name and filter."""
    found: dict[str, dict[str, Scores]] = {}
    for scores in run.tasks.values():
        found.setdefault(scores.task, {})[scores.filter] = scores
    return found
