"""Metrics of tasks whose answers are not right or wrong, such as ROUGE or an edit distance: what changed in each run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from consistency.comparison.section import MetricChange
from consistency.statistics.intervals import at_confidence

# By task and number of a run, the changes of its metrics by name.
MetricChanges = Mapping[str, Mapping[int, Mapping[str, MetricChange]]]


@dataclass(frozen=True)
class MetricOfRun:
    """The change of a metric of one task from the reference to one run.

    Attributes
    ----------
    label, task, metric : str
    found : MetricChange
        In the metric's own unit; the interval of the change holds together with those of all runs, tasks and metrics.
    """

    label: str
    task: str
    metric: str
    found: MetricChange

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {"run": self.label, "task": self.task, "metric": self.metric, **self.found.to_dict()}


def confidence_together(changes: MetricChanges) -> tuple[int, float]:
    """How many changes of metrics there are, and the confidence of each interval for 95 % of all together (Bonferroni)."""
    of = sum(len(metrics) for runs in changes.values() for metrics in runs.values())
    return of, 1 - 0.05 / max(of, 1)


def metrics_together(changes: MetricChanges, labels: Sequence[str]) -> tuple[MetricOfRun, ...]:
    """The changes of all metrics of all runs, with intervals that hold together.

    Parameters
    ----------
    changes : dict
    labels : sequence of str
        Of the runs, by their number.
    """
    _, each = confidence_together(changes)
    return tuple(
        MetricOfRun(labels[number], task, metric, replace(found, delta=at_confidence(found.delta, each)))
        for task, runs in changes.items()
        for number, metrics in runs.items()
        for metric, found in metrics.items()
    )
