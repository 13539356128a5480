"""Conditions on many runs, such as `accuracy drop > 1 points in any run`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from consistency.comparison.conditions import Check, Condition, judged, together
from consistency.comparison.many.values import ManyChanges
from consistency.comparison.section import Section
from consistency.errors import InputError

# Whose joint distribution makes intervals hold together: of all runs, and of all runs in single tasks.
_FAMILIES = {
    "delta_accuracy": ("runs", "tasks"),
    "accuracy_drop": ("runs", "tasks"),
    "calibrated_change": ("calibrated", ""),
    "calibrated_drop": ("calibrated", ""),
}


def check_many(conditions: Sequence[Condition], found: ManyChanges) -> list[Check]:
    """Judge conditions on every run.

    Parameters
    ----------
    conditions : sequence of Condition
        Without a place, or "in any run": all tasks together, of every run; "in any task", "in TASK" or "in PATTERN*": these
        tasks, of every run; "in RUN": all tasks together, of that run alone. Tasks of several metrics are judged by each of them.
    found : ManyChanges

    Returns
    -------
    list of Check
        Of each condition those that fail, or the one nearest to that.

    Raises
    ------
    InputError
        If a condition names no run and no task, or a measure that many runs are not compared by.
    """
    return [check for condition in conditions for check in _checked(condition, found)]


def _checked(condition: Condition, found: ManyChanges) -> list[Check]:
    where = condition.where or "any run"
    families = _FAMILIES.get(condition.quantity.name, ("", ""))
    if where.lower() in ("any run", "any"):
        among = "runs" if len(found.pools) == 1 else "runs and metrics"
        sections = _pools_of(found, found.overall)
        return together(condition, sections, lambda _: among, _confidence(found, families[0]))
    if where in found.overall:
        sections = _pools_of(found, [where])
        measures = [condition.quantity.find(section) for section in sections]
        having = [section for section, item in zip(sections, measures, strict=True) if item is not None and item.n]
        return [judged(condition, section) for section in having or sections[:1]]
    sections = [
        replace(change.section, name=f"{name} of {label}")
        for name, changes in found.by_task.items()
        if where.lower() == "any task" or fnmatchcase(name, where)
        for label, change in changes.items()
    ]
    if not sections:
        raise InputError(
            f"--fail-if {condition.text!r}: no run or task {where}",
            expected=f"any run, any task, or one of {', '.join([*found.overall, *found.by_task])}",
        )
    return together(condition, sections, _named, _confidence(found, families[1]))


def _pools_of(found: ManyChanges, labels: Iterable[str]) -> list[Section]:
    """All tasks together of some runs: of each run those with options, and those without by their metric."""
    return [
        replace(found.pools[name][label].section, name=label if len(found.pools) == 1 else f"{label}, {name}")
        for name in found.pools
        for label in labels
    ]


def _confidence(found: ManyChanges, family: str) -> float | None:
    return found.families[family].confidence if family in found.families else None


def _named(sections: Sequence[Section]) -> str:
    return "runs and tasks"
