"""Estimates and tests of the harness's groups of tasks, and of tasks that share a metric: a `Section` each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from consistency.comparison.change_tests import equivalence_p, minimum_detectable_change, no_change_of
from consistency.comparison.estimation import section_of
from consistency.comparison.groups import TaskGroup, Weighting
from consistency.comparison.measured_task import MeasuredTask, share_clusters
from consistency.comparison.metric_changes import within_range
from consistency.comparison.sampling import Analysis, Sampling
from consistency.comparison.section import MetricChange, Section, UncomparedMetric
from consistency.statistics.decomposition import Decomposition
from consistency.statistics.task_means import weighted_mean


def sections_by_metric(measured: Mapping[str, MeasuredTask], analysis: Analysis) -> dict[str, Section]:
    """Tasks without options pooled by the metric that says which answers are right, where several tasks share one."""
    found: dict[str, dict[str, MeasuredTask]] = {}
    for name, task in measured.items():
        if not task.has_options and task.accuracy_metric is not None:
            found.setdefault(task.accuracy_metric, {})[name] = task
    return {
        metric: section_of(f"{metric}, {len(tasks)} tasks", tasks, analysis)
        for metric, tasks in found.items()
        if len(tasks) > 1
    }


def section_of_group(
    group: TaskGroup, measured: Mapping[str, MeasuredTask], by_task: Mapping[str, Section], analysis: Analysis
) -> Section:
    """The section of a group, its tasks weighed as the harness weighs them."""
    tasks = {name: measured[name] for name in group.tasks}
    section = section_of(group.name, tasks, analysis)
    # Without a number of the harness, tasks of different metrics have no common question.
    alike = len({task.accuracy_metric for task in tasks.values()}) == 1
    without: Weighting = "size" if alike else "task"
    weighting = group.weightings.get(section.accuracy_metric or "", next(iter(group.weightings.values()), without))
    estimates = dict(section.estimates)
    if weighting == "task" and section.macro is not None:
        estimates |= {name: section.macro[name] for name in ("accuracy_before", "accuracy_after", "delta_accuracy")}
    metrics = [by_task[name].metrics or {} for name in group.tasks]
    # Those of the harness, which takes the tasks that have one; without numbers of it, those that all tasks have.
    names = list(group.weightings) or [name for name in metrics[0] if all(name in found for found in metrics)]
    told = dict.fromkeys(group.unlike, "the harness's number is no mean of the tasks' numbers")
    told |= {name: "its tasks' are not compared" for name in names if not any(name in found for found in metrics)}
    change = estimates["delta_accuracy"]
    p, pooled = section.sign_flip_p, list(tasks.values())
    if weighting == "task" and change.n:
        sampling = Sampling.of(pooled, analysis)
        differences = [task.arrays["correct_after"] - task.arrays["correct_before"] for task in pooled]
        # Each question weighs as much in the test as in the change that it is of.
        known = [max(int(np.isfinite(each).sum()), 1) for each in differences]
        weighed = [each / size for each, size in zip(differences, known, strict=True)]
        p = no_change_of(change, np.concatenate(weighed), sampling)
    decompose = section.decompose
    if weighting == "task" and decompose is not None:
        own = [by_task[name] for name in group.tasks]
        decompose = partial(
            _weigh_parts, decompose, own, sampled=analysis.tasks == "sampled", shared=share_clusters(pooled)
        )
    return replace(
        section,
        estimates=estimates,
        decompose=decompose,
        sign_flip_p=p,
        equivalence_p=equivalence_p(change, section.flips, analysis.margin),
        minimum_detectable_change=minimum_detectable_change(change, section.flips),
        metrics={
            name: _weighed(
                [by_task[task] for task in group.tasks if name in (by_task[task].metrics or {})],
                name,
                group.weightings.get(name, weighting),
                sampled=analysis.tasks == "sampled",
                shared=share_clusters(pooled),
            )
            for name in names
            if name not in told
        },
        uncompared=tuple(UncomparedMetric(name, reason) for name, reason in told.items()),
        absent=group.absent,
        weighting=weighting,
    )


def _weigh_parts(
    decompose: Callable[[], Decomposition], tasks: Sequence[Section], *, sampled: bool, shared: bool
) -> Decomposition:
    """The parts of a group whose tasks count alike: of accuracy the means of the tasks' own."""
    parts = [task.decomposition for task in tasks]
    found = decompose()
    if not all(parts):
        return found
    weighed = {
        name: weighted_mean(
            [part.estimates[name] for part in parts if part], [1.0] * len(parts), sampled=sampled, shared=shared
        )
        for name in ("calibrated_before", "calibrated_after", "calibrated_change", "prior_change")
    }
    return replace(found, estimates={**found.estimates, **weighed})


def _weighed(
    sections: Sequence[Section], name: str, weighting: Weighting, *, sampled: bool, shared: bool
) -> MetricChange:
    """A metric of a group from that of its tasks, which are sampled, or share questions with each other."""
    changes = [section.metrics[name] for section in sections if section.metrics is not None]
    weights = [float(section.n) if weighting == "size" else 1.0 for section in sections]
    before, after, delta = (
        weighted_mean([getattr(change, when) for change in changes], weights, sampled=sampled, shared=shared)
        for when in ("before", "after", "delta")
    )
    return within_range(
        name,
        MetricChange(
            before=before,
            after=after,
            delta=delta,
            aggregation=changes[0].aggregation,
            higher_is_better=changes[0].higher_is_better,
        ),
    )
