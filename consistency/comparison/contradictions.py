"""What the logs hold against the first words of a verdict: other filters and other metrics of the same answers, in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from consistency.comparison.names import short_names
from consistency.comparison.numbers import points_of
from consistency.comparison.section import MetricChange, Section
from consistency.statistics.estimates import Estimate
from consistency.statistics.intervals import at_confidence
from consistency.support.text import counted, decimal

# At most so many clauses of one kind.
_MOST = 2


def filter_clauses(tasks: Sequence[Section], names: Collection[str], alpha: float) -> Iterator[str]:
    """Of tasks whose filters disagree on the change of accuracy, what another filter gives; each a clause.

    Filters disagree if the intervals of their changes have no value in common.

    Parameters
    ----------
    tasks : sequence of Section
    names : collection of str
        Of all compared tasks.
    alpha : float
        The error that the intervals of all filters of all tasks share evenly (Bonferroni), whatever filters have in common.
    """
    others = [(task, name, other) for task in tasks for name, other in _of_other_filters(task)]
    each = 1 - alpha / max(2 * len(others), 1)
    found = [
        (task, name, other)
        for task, name, other in others
        if _are_apart(at_confidence(task.estimates["delta_accuracy"], each), at_confidence(other, each))
    ]
    for task, name, change in found[:_MOST]:
        of = "" if len(tasks) == 1 else f"{short_names([task.name], names)[0]}: "
        yield f"but {of}by filter {name} in place of {task.filter} the change is {points_of(change)} points"
    if (more := len(found) - _MOST) > 0:
        yield f"but filters disagree in {counted(more, 'more case')}"


def metric_clauses(
    tasks: Sequence[Section], names: Collection[str], said: Mapping[str, tuple[str | None, int]], alpha: float
) -> Iterator[str]:
    """Of which tasks another metric surely changed, and not as the verdict says; each a clause.

    Parameters
    ----------
    tasks : sequence of Section
    names : collection of str
        Of all compared tasks.
    said : mapping of str to (str or None, {-1, 0, 1})
        By task, the metric that the verdict is about, None for accuracy, and what it says of it: for the worse, no change, for
        the better.
    alpha : float
        The error that all metrics of all tasks share evenly (Bonferroni).
    """
    others = [
        (task, name, metric)
        for task in tasks
        for name, metric in (task.metrics or {}).items()
        if name not in (task.accuracy_metric, said[task.name][0])
    ]
    each = 1 - alpha / max(len(others), 1)
    found = [
        (task, name, better, metric)
        for task, name, metric in others
        if (better := replace(metric, delta=at_confidence(metric.delta, each)).is_better) is not None
        and said[task.name][1] != (1 if better else -1)
    ]
    # What is worse matters first.
    found.sort(key=lambda item: item[2])
    for task, name, better, metric in found[:_MOST]:
        of = "" if len(tasks) == 1 else f" in {short_names([task.name], names)[0]}"
        yield f"but {name} is {'better' if better else 'worse'}{of}: {_ends(metric)}"
    if (more := len(found) - _MOST) > 0:
        yield f"but so it is with {counted(more, 'more metric')}"


def _of_other_filters(task: Section) -> Iterator[tuple[str, Estimate]]:
    """The change of the metric that says which answers are right, by each filter that does not count."""
    for name, other in task.other_filters.items():
        metric = (other.metrics or {}).get(task.accuracy_metric or "")
        if metric is not None and metric.aggregation == "mean":
            yield name, metric.delta


def _are_apart(one: Estimate, other: Estimate) -> bool:
    """Whether two intervals have no value in common."""
    if one.ci_low is None or one.ci_high is None or other.ci_low is None or other.ci_high is None:
        return False
    return one.ci_high < other.ci_low or other.ci_high < one.ci_low


def _ends(metric: MetricChange) -> str:
    """A metric before and after, and its change with the interval of 95 %."""
    before, after = (decimal(end.value or 0.0, 4) for end in (metric.before, metric.after))
    delta = metric.delta
    change, *ends = (decimal(x or 0.0, 4, "+") for x in (delta.value, delta.ci_low, delta.ci_high))
    return f"{before} → {after} (change {change} [{', '.join(ends)}])"
