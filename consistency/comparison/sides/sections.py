"""Estimates of one or several tasks over runs and questions: `MeasuredRuns` in, a `SideSection` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from consistency.comparison.clusters import AUTO
from consistency.comparison.groups import Weighting
from consistency.comparison.labelled import by_label, kinds_of
from consistency.comparison.measure_estimates import cut
from consistency.comparison.odd_scores import odd_scores
from consistency.comparison.pairing import PairingReport
from consistency.comparison.sampling import Analysis
from consistency.comparison.section import MetricChange, Section
from consistency.comparison.sides.answers import SIDES, TaskRuns
from consistency.comparison.sides.measured import NOISE, MeasuredRuns, joined
from consistency.metrics.measures import MEASURE
from consistency.statistics.accuracy_by_question import parts_by_question
from consistency.statistics.crossed import over_runs
from consistency.statistics.decomposition import Decomposition
from consistency.statistics.estimates import Estimate
from consistency.statistics.fitted_means import ranking_without_prior
from consistency.statistics.hypotheses import equivalence, minimum_detectable_effect
from consistency.statistics.means import mean, root_of
from consistency.statistics.sampling import Labels
from consistency.statistics.sides import among_runs, beyond_runs
from consistency.statistics.tails import bounded_means
from consistency.support.arrays import Floats, Integers

# What of a group whose tasks count alike is weighed so, as in a comparison of two runs.
_WEIGHED = ("accuracy_before", "accuracy_after", "delta_accuracy")
# Parts of accuracy, with the least and the most that each can be.
_PARTS = {
    **dict.fromkeys(
        ("calibrated_before", "calibrated_after", "calibrated_harmful", "calibrated_beneficial"), (0.0, 1.0)
    ),
    "calibrated_change": (-1.0, 1.0),
    "prior_change": (-2.0, 2.0),
}


@dataclass(frozen=True)
class Noise:
    """A measure between two runs of one side, and between runs of the two sides beyond that.

    Attributes
    ----------
    before, after : Estimate or None
        Within either side, in both directions; None for a side of a single run. The interval of a side of two runs is over
        questions alone (`unit`): one pair tells nothing of other pairs.
    beyond : Estimate
        The measure between the sides less the mean of those within; of a side of a single run the other's.
    p : float or None
        Of no difference.
    p_holm : float or None
        The same adjusted over all tasks; None without others.
    """

    before: Estimate | None
    after: Estimate | None
    beyond: Estimate
    p: float | None
    p_holm: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {
            "before": None if self.before is None else self.before.to_dict(),
            "after": None if self.after is None else self.after.to_dict(),
            "beyond": self.beyond.to_dict(),
            "p": self.p,
            "p_holm": self.p_holm,
        }


@dataclass(frozen=True)
class SideSection:
    """What changed from one side to the other in one set of questions.

    Attributes
    ----------
    section : Section
        The changes, as of two runs: its intervals say what other runs and other questions would change.
    noise : dict of str to Noise
        By measure: how much runs of one side differ. Empty with one run a side.
    runs : tuple of tuple of float
        The accuracy of each run of either side; NaN where it has none.
    """

    section: Section
    noise: Mapping[str, Noise] = field(default_factory=dict)
    runs: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    @cached_property
    def deviations(self) -> tuple[float | None, float | None]:
        """The standard deviation of the runs' accuracies on either side; None for a side of a single run."""
        before, after = (float(np.std(side, ddof=1)) if len(side) > 1 else None for side in self.runs)
        return before if before == before else None, after if after == after else None

    @property
    def calibrated(self) -> Mapping[str, Estimate]:
        """What is known without the prior of the options' labels; empty where they have none."""
        found = self.section.decomposition
        return found.estimates if found is not None and found.lettered else {}

    def to_dict(self) -> dict[str, Any]:
        """The section as plain data, for JSON."""
        section = self.section
        accuracies = [[None if np.isnan(x) else x for x in side] for side in self.runs]
        return {
            "n": section.n,
            "tasks": list(section.tasks),
            "accuracy_metric": section.accuracy_metric,
            "weighting": section.weighting,
            "absent": section.absent,
            "estimates": {name: found.to_dict() for name, found in section.estimates.items()},
            "calibrated": {name: found.to_dict() for name, found in self.calibrated.items()},
            "noise": {name: item.to_dict() for name, item in self.noise.items()},
            "accuracy_of_runs": dict(zip(SIDES, accuracies, strict=True)),
            "deviation_of_runs": dict(zip(SIDES, self.deviations, strict=True)),
            "p": section.sign_flip_p,
            "p_holm": section.p_holm,
            "p_bh": section.p_bh,
            "equivalence_p": section.equivalence_p,
            "minimum_detectable_change": section.minimum_detectable_change,
            "metrics": {name: found.to_dict() for name, found in (section.metrics or {}).items()},
            **({} if section.odd_scores is None else {"odd_scores": section.odd_scores.to_dict()}),
        }


def side_section(
    name: str,
    tasks: Mapping[str, TaskRuns],
    measured: Mapping[str, MeasuredRuns],
    analysis: Analysis,
    weighting: Weighting | None = None,
    absent: int = 0,
) -> SideSection:
    """The section of one or several tasks.

    Parameters
    ----------
    name : str
    tasks : dict of str to TaskRuns
        Those that it is about.
    measured : dict of str to MeasuredRuns
        Of all tasks.
    analysis : Analysis
    weighting : {"size", "task"}, optional
        Of a group: whether each question counts the same in accuracy, or each task.
    absent : int
        Of a group: its tasks that are not compared.
    """
    found = joined([measured[task] for task in tasks])
    task_of = np.repeat(np.arange(len(tasks)), [len(measured[task]) for task in tasks])
    clusters = None if found.clusters is None else found.clusters.used(every=analysis.cluster != AUTO)
    sampled = analysis.tasks == "sampled" and len(tasks) > 1
    labels = Labels(strata=None, tasks=task_of if sampled else None, clusters=clusters)
    estimates, p = {}, None
    for key, sides in found.between.items():
        within, how = sides, labels
        if weighting == "task" and key in _WEIGHED:
            within = _balanced(sides, task_of)
            how = labels if sampled else Labels(strata=task_of, tasks=None, clusters=clusters)
        crossed = over_runs(_over_questions(key, within[0].mean(axis=0), found.reaches, how), within, task_of)
        estimates[key] = _finished(crossed.estimate, key)
        p = crossed.p if key == "delta_accuracy" else p
    one = next(iter(tasks.values())) if len(tasks) == 1 else None
    change = estimates["delta_accuracy"]
    optional = all(task.has_options for task in tasks.values())
    section = Section(
        name=name,
        n=len(found),
        estimates=estimates,
        pairing=PairingReport(len(found)),
        equivalence_p=equivalence(change, analysis.margin),
        minimum_detectable_change=minimum_detectable_effect(change),
        sign_flip_p=p,
        accuracy_metric=found.metric,
        tasks=tuple(tasks) if len(tasks) > 1 else (),
        weighting=weighting,
        absent=absent,
        filter=None if one is None else one.before[0].filter,
        metrics=None if one is None else _metrics(found, one, labels["clusters"]),
        odd_scores=odd_scores(
            ([run.logprobs for run in task.before], [run.logprobs for run in task.after]) for task in tasks.values()
        )
        if optional
        else None,
        decompose=partial(_decomposition, list(tasks.values()), labels, task_of) if optional else None,
    )
    runs = tuple(tuple(_means(side, task_of, weighting)) for side in found.right)
    return SideSection(section, _noises(found, labels, task_of), (runs[0], runs[1]))


def _metrics(found: MeasuredRuns, task: TaskRuns, clusters: Integers | None) -> dict[str, MetricChange]:
    """The metrics of a task whose answers are not right or wrong, in their own unit, over runs and questions."""
    changes = {}
    for name, (before, after) in found.metrics.items():
        first, second = before.mean(axis=0), after.mean(axis=0)
        changes[name] = MetricChange(
            over_runs(mean(first, clusters=clusters), [before]).estimate,
            over_runs(mean(second, clusters=clusters), [after]).estimate,
            over_runs(mean(second - first, clusters=clusters), [before, after]).estimate,
            higher_is_better=task.before[0].settings.is_higher_better(name),
        )
    return changes


def _over_questions(name: str, x: Floats, reaches: Mapping[str, tuple[float, float]], labels: Labels) -> Estimate:
    """The mean over questions of a measure, with the interval that it has in a comparison of two runs."""
    item = MEASURE[name]
    reach = reaches.get(name)
    if reach is not None and item.estimator == "root mean square":
        reach = (0.0, max(end**2 for end in reach))
    if reach is None:
        found = mean(x, **labels)
        if found.se != 0 or not np.isfinite(item.bounds).all():
            return found
        # Questions that are all alike do not exclude others that were not seen.
        reach = item.bounds
    known = x[np.isfinite(x)]
    # Runs of one side may lie farther apart than those of the other can, such as one whose scores are no numbers.
    reach = (min(reach[0], known.min(initial=reach[0])), max(reach[1], known.max(initial=reach[1])))
    strata = labels["strata"]
    return mean(x, **labels) if strata is not None else bounded_means([x], [reach], **labels)[0]


def _balanced(sides: tuple[Floats, Floats], task_of: Integers) -> tuple[Floats, Floats]:
    """Values weighed so that their plain mean counts each task the same."""
    known = np.isfinite(sides[0]).all(axis=0) & np.isfinite(sides[1]).all(axis=0)
    counts = np.bincount(task_of[known], minlength=int(task_of.max()) + 1)
    weights = known.sum() / np.count_nonzero(counts) / np.maximum(counts, 1)
    return sides[0] * weights[task_of], sides[1] * weights[task_of]


def _finished(found: Estimate, name: str) -> Estimate:
    """An estimate within the bounds of its measure, and of a mean square its root."""
    if MEASURE[name].estimator == "root mean square":
        found = root_of(found)
    return cut(found, MEASURE[name].bounds)


def _noises(found: MeasuredRuns, labels: Labels, task_of: Integers) -> dict[str, Noise]:
    """How much runs of one side differ, by measure."""
    noises = {}
    for name in NOISE:
        sides = found.within[0].get(name), found.within[1].get(name)
        if name not in found.between or all(side is None for side in sides):
            continue
        alike = MEASURE[name].bounds[1 if MEASURE[name].direction == "more alike" else 0]
        alone = [
            None
            if side is None
            else _finished(
                among_runs(_over_questions(name, side.mean(axis=0), found.reaches, labels), side, alike), name
            )
            for side in sides
        ]
        pairs = _both_directions(found, name)
        crossed = beyond_runs(pairs, sides, labels, task_of)
        low, high = MEASURE[name].bounds
        noises[name] = Noise(alone[0], alone[1], cut(crossed.estimate, (low - high, high - low)), crossed.p)
    return noises


def _both_directions(found: MeasuredRuns, name: str) -> tuple[Floats, Floats]:
    """A measure between the sides as it is compared with that within them.

    Turns from right to wrong are compared as they are: half of the answers that turn between two runs of one side do so. A
    divergence that depends on the direction is taken in both.
    """
    if name not in ("kl", "kl_reverse"):
        return found.between[name]
    (one, two), (other, another) = found.between["kl"], found.between["kl_reverse"]
    return (one + other) / 2, (two + another) / 2


def _means(side: Floats, task_of: Integers, weighting: Weighting | None) -> Sequence[float]:
    """The accuracy of each run over the questions that are known in all runs of the side."""
    known = np.isfinite(side).all(axis=0)
    if not known.any():
        return [float("nan")] * len(side)
    if weighting == "task":
        side = _balanced((side, side), task_of)[0]
    return [float(x) for x in side[:, known].mean(axis=1)]


def _decomposition(tasks: Sequence[TaskRuns], labels: Labels, task_of: Integers) -> Decomposition:
    """Accuracy and rankings without the prior of the options' labels; without estimates where no task has labels."""
    sizes, n = (len(tasks[0].before), len(tasks[0].after)), len(task_of)
    names = (*_PARTS, "spearman_calibrated")
    crossed, moved = ({name: [np.zeros((size, n)) for size in sizes] for name in names} for _ in range(2))
    rougher: Floats | int = 0
    lettered = 0
    for first in range(sizes[0]):
        for second in range(sizes[1]):
            groups, sampled, order = kinds_of(
                [by_label(task.pairs(task.before[first], task.after[second])) for task in tasks], labels
            )
            lettered = sum(len(group) for group in groups if group.lettered)
            if not lettered:
                return Decomposition(n, 0, {}, {}, None, ())
            parts = parts_by_question(groups, sampled)
            back = np.argsort(np.concatenate([np.flatnonzero(task_of == number) for number in order]))
            rougher = rougher + parts.rougher
            for name in names:
                values = parts.crossed[name][back]
                influence = parts.influence[name][back] if name in _PARTS else values
                for target, x in ((crossed, values), (moved, influence)):
                    target[name][0][first] += x / sizes[1]
                    target[name][1][second] += x / sizes[0]
    estimates: dict[str, Estimate] = {}
    for name, bounds in _PARTS.items():
        found = over_runs(mean(moved[name][0].mean(axis=0), **labels), moved[name], task_of).estimate
        values = crossed[name][0].mean(axis=0)
        known = np.isfinite(values)
        if known.any() and found.value is not None:
            estimates[name] = cut(_shifted(found, float(values[known].mean())), bounds)
    ranks = crossed["spearman_calibrated"]
    ranking = ranking_without_prior(ranks[0].mean(axis=0), np.asarray(rougher) / (sizes[0] * sizes[1]), labels)
    estimates["spearman_calibrated"] = over_runs(ranking, ranks, task_of).estimate
    return Decomposition(n, lettered, estimates, {}, None, ())


def _shifted(found: Estimate, value: float) -> Estimate:
    """An estimate with its interval moved to another value: by influence a mean differs a little from itself."""
    assert found.value is not None
    by = value - found.value
    low, high = (None if end is None else end + by for end in (found.ci_low, found.ci_high))
    return replace(found, value=value, ci_low=low, ci_high=high)
