"""Estimates and tests of one or several tasks: questions in, a `Section` out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from consistency.comparison.clusters import AUTO, ItemClusters
from consistency.comparison.groups import TaskGroup, Weighting
from consistency.comparison.items import MOST_KEPT, accuracy_metric, question_arrays
from consistency.comparison.labelled import decompose_tasks
from consistency.comparison.over_rotations import over_rotations
from consistency.comparison.pairing import PairingReport, Pairs, pair
from consistency.comparison.section import MetricChange, Readability, Section, TaskSampling, UncomparedMetric
from consistency.errors import InputError
from consistency.logs.generations import UNREADABLE
from consistency.logs.metrics import accuracy_names
from consistency.logs.scores import Scores
from consistency.metrics.answers import flips, quantiles
from consistency.metrics.distributions import log_probabilities
from consistency.metrics.measures import MEASURE, MEASURES, Measure
from consistency.statistics.calibration import calibration_change
from consistency.statistics.decomposition import Decomposition
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import (
    equivalence,
    mcnemar_exact,
    minimum_detectable_effect,
    sign_flip_test,
    t_test,
)
from consistency.statistics.jackknife import aggregate, aggregate_change
from consistency.statistics.means import MOST_VALUES, mean, means, root_mean_square, root_of
from consistency.statistics.paired_shares import change_of_shares, differing_changes, equivalence_of_shares
from consistency.statistics.power import detectable_change
from consistency.statistics.sampling import Labels, numbered
from consistency.statistics.shares import rate
from consistency.statistics.tails import (
    bounded_macro_means,
    bounded_means,
    doubted,
    trimmed_mean,
)
from consistency.statistics.task_means import macro_mean, macro_share, mean_of_changes, weighted_mean
from consistency.support.arrays import Bools, Floats, Integers
from consistency.support.computed import computed

# With fewer signs to flip no p is below .05.
_FEWEST_SIGNS = 6
_OF_FLIPS = ("harmful_flips", "beneficial_flips", "wrong_to_wrong_flips")
_ESTIMATORS: dict[str, Callable[..., Estimate]] = {"mean": mean, "root mean square": root_mean_square, "rate": rate}
# What metrics that are no means can be.
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("f1", "macro_f1", "weighted_f1", "micro_f1_of_sets", "macro_f1_of_sets"), (0.0, 1.0)),
    **dict.fromkeys(("bleu", "chrf"), (0.0, 100.0)),
    **dict.fromkeys(("perplexity", "weighted_perplexity", "bits_per_byte", "ter"), (0.0, math.inf)),
    "matthews_corrcoef": (-1.0, 1.0),
}
# A margin beyond is a number of points, not a fraction of 1.
_MOST_MARGIN = 0.5
# The measures whose trimmed mean stands beside the mean.
_TRIMMED = ("kl", "kl_reverse")


@dataclass(frozen=True)
class Analysis:
    """How a comparison is estimated.

    Attributes
    ----------
    margin : float
        The largest change of accuracy that counts as none, as a fraction.
    tasks : {"fixed", "sampled"}
        Whether intervals say what other questions of the same tasks would change, or what other tasks of the kind would.
    cluster : str
        What makes questions clusters, see `find_clusters`.
    """

    margin: float = 0.01
    tasks: TaskSampling = "fixed"
    cluster: str = AUTO


def check_margin(margin: float) -> None:
    """Refuse a margin that is no fraction of 1.

    Raises
    ------
    InputError
        If it is not above 0 and below 0.5.
    """
    if not 0 < margin < _MOST_MARGIN:
        raise InputError(
            f"a margin of {margin:g}", expected=f"a fraction between 0 and {_MOST_MARGIN:g}, such as 0.01 for one point"
        )


@dataclass(frozen=True, eq=False)
class MeasuredTask:
    """The pairs of a task, every number of each (`question_arrays`), and its cluster where questions share something."""

    pairs: Pairs
    arrays: Mapping[str, Floats]
    clusters: ItemClusters | None = None

    @property
    def has_options(self) -> bool:
        """Whether its questions have options."""
        return self.pairs.before.has_options

    @cached_property
    def accuracy_metric(self) -> str | None:
        """The harness's metric that says which answers are right; None without one."""
        return accuracy_metric(self.pairs)

    @cached_property
    def has_fractions(self) -> bool:
        """Whether some answers are right in part."""
        return not (are_whole(self.arrays["correct_before"]) and are_whole(self.arrays["correct_after"]))

    @cached_property
    def least_likely(self) -> tuple[float, float]:
        """How unlikely the least likely option of any question is to each of the two runs, in nats."""
        found = []
        for side in (self.pairs.before, self.pairs.after):
            probs = side.probs
            least = float(np.min(probs, where=probs > 0, initial=1.0))
            # A probability too small for a number is not an impossible option.
            if (np.isfinite(side.logprobs) & (probs == 0)).any():
                logs = log_probabilities(side.logprobs)
                found.append(-float(np.min(logs, where=np.isfinite(logs), initial=0.0)))
            else:
                found.append(-math.log(least))
        return found[0], found[1]


@dataclass(frozen=True, eq=False)
class Sampling:
    """What of a section's n questions is taken as sampled.

    Attributes
    ----------
    tasks : ndarray of int64, shape [n]
        The task of each question.
    clusters : ndarray of int64, shape [n], or None
        The cluster of each question, where questions that share something are sampled together.
    sampled : bool
        Whether whole tasks are sampled.
    """

    tasks: Integers
    clusters: Integers | None
    sampled: bool

    @classmethod
    def of(cls, tasks: Sequence[MeasuredTask], analysis: Analysis) -> Sampling:
        """The sampling of some tasks together."""
        task_of = np.repeat(np.arange(len(tasks)), [len(task.pairs) for task in tasks])
        labels = [task.clusters for task in tasks if task.clusters is not None]
        clusters = ItemClusters.joined(labels).used(every=analysis.cluster != AUTO) if labels else None
        return cls(task_of, clusters, analysis.tasks == "sampled" and len(tasks) > 1)

    @property
    def labels(self) -> Labels:
        """The arguments of `mean`. Questions of fixed tasks are one sample, whatever their task."""
        if self.sampled:
            return {"strata": None, "tasks": self.tasks, "clusters": self.clusters}
        return {"strata": None, "tasks": None, "clusters": self.clusters}

    def within(self, rows: Bools) -> Sampling:
        """The sampling of some of the questions."""
        clusters = None if self.clusters is None else numbered(self.clusters[rows])
        return Sampling(numbered(self.tasks[rows]), clusters, self.sampled)

    def macros(self, values: Mapping[str, Floats], reaches: Mapping[str, tuple[float, float]]) -> dict[str, Estimate]:
        """The mean of the tasks' means of each measure, for which fixed tasks are strata, within its bounds."""
        near, strata = [name for name in values if name in reaches], None if self.sampled else self.tasks
        found: dict[str, Estimate] = {}
        for names in _batches(near, len(self.tasks)):
            bounded = bounded_macro_means(
                [values[name] for name in names],
                [reaches[name] for name in names],
                self.tasks,
                strata=strata,
                clusters=self.clusters,
            )
            found |= zip(names, bounded, strict=True)
        for name in values:
            if name not in found:
                x = values[name]
                how = macro_share if is_share(MEASURE[name], x) else macro_mean
                found[name] = _cut(how(x, self.tasks, strata=strata, clusters=self.clusters), MEASURE[name].bounds)
        return {name: found[name] for name in values}


def _cut(found: Estimate, bounds: tuple[float, float]) -> Estimate:
    """An estimate whose interval ends at the bounds."""
    if found.ci_low is None or found.ci_high is None or (found.ci_low >= bounds[0] and found.ci_high <= bounds[1]):
        return found
    return replace(found, ci_low=max(found.ci_low, bounds[0]), ci_high=min(found.ci_high, bounds[1]))


def estimates_of(
    values: Mapping[str, Floats], reaches: Mapping[str, tuple[float, float]], labels: Labels
) -> dict[str, Estimate]:
    """An estimate of each measure from one number per question.

    Parameters
    ----------
    values : dict of str to ndarray, shape [n]
        By the name of the measure.
    reaches : dict of str to tuple of float
        The smallest and largest value that a question could have, of the measures of which that is known: their intervals
        allow for questions that were not seen. Of zeros and ones the interval is that of a share; others have the caveat
        "rare" where it is due.
    labels : dict
        What was sampled, as `mean` takes it.
    """
    shares = {name for name, x in values.items() if is_share(MEASURE[name], x)}
    others = [
        name for name in values if name not in reaches and name not in shares and MEASURE[name].estimator == "mean"
    ]
    n = len(values[next(iter(values))])
    plain: dict[str, Estimate] = {}
    for names in _batches(others, n):
        if all(given is None for given in labels.values()):
            plain |= zip(names, means([values[name] for name in names]), strict=True)
        else:
            plain |= {name: mean(values[name], **labels) for name in names}
    found = {
        name: _cut(item if name == "delta_accuracy" else doubted(item, *MEASURE[name].bounds), MEASURE[name].bounds)
        for name, item in plain.items()
    }
    for name in values:
        if name not in found and (name in shares or name not in reaches):
            how = rate if name in shares else _ESTIMATORS[MEASURE[name].estimator]
            found[name] = _cut(how(values[name], **labels), MEASURE[name].bounds)
    for left in _batches([name for name in values if name not in found], n):
        squared = [MEASURE[name].estimator == "root mean square" for name in left]
        bounded = bounded_means(
            [values[name] ** 2 if square else values[name] for name, square in zip(left, squared, strict=True)],
            [
                (0.0, max(end**2 for end in reaches[name])) if square else reaches[name]
                for name, square in zip(left, squared, strict=True)
            ],
            **labels,
        )
        found |= {
            name: root_of(item) if square else item for name, square, item in zip(left, squared, bounded, strict=True)
        }
    return {name: found[name] for name in values}


def _batches(names: Sequence[str], n: int) -> Iterator[Sequence[str]]:
    """Names of measures of n questions, as many together as are estimated at once."""
    most = max(1, MOST_VALUES // max(n, 1))
    return (names[start : start + most] for start in range(0, len(names), most))


def reaches_of(least_likely: Iterable[tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The reach of each measure that has one, over several tasks with their `MeasuredTask.least_likely`."""
    before, after = np.max(list(least_likely), axis=0).tolist()
    return {measure.name: measure.reach(before, after) for measure in MEASURES if measure.reach is not None}


def is_share(measure: Measure, values: Floats) -> bool:
    """Whether all values of a measure between 0 and 1 are 0 or 1."""
    if measure.estimator != "mean" or measure.bounds != (0.0, 1.0):
        return False
    return are_whole(values)


def are_whole(values: Floats) -> bool:
    """Whether all known values are 0 or 1."""
    return bool(((values == 0) | (values == 1) | ~np.isfinite(values)).all())


def section_of(name: str, named: Mapping[str, MeasuredTask], analysis: Analysis) -> Section:
    """Estimates and tests over the questions of one or several tasks; of distributions where all have options.

    Parameters
    ----------
    name : str
        Of the section.
    named : dict of str to MeasuredTask
        The tasks by name.
    analysis : Analysis
    """
    tasks = list(named.values())
    options = all(task.has_options for task in tasks)
    keys = [key for key in tasks[0].arrays if all(key in task.arrays for task in tasks)]
    few = sum(len(task.pairs) for task in tasks) <= MOST_KEPT

    def joined(key: str) -> Floats:
        return tasks[0].arrays[key] if len(tasks) == 1 else np.concatenate([task.arrays[key] for task in tasks])

    pooled = computed(joined, keys, kept=few)
    sampling = Sampling.of(tasks, analysis)
    before, after = pooled["correct_before"], pooled["correct_after"]
    # Answers that are right in part do not turn from right to wrong.
    whole = np.array([not task.has_fractions for task in tasks])[sampling.tasks]
    known = {"correct_before": np.where(whole, before, np.nan), "correct_after": np.where(whole, after, np.nan)}
    columns = computed(lambda key: known[key] if key in known else pooled[key], keys, kept=few)
    values = computed(
        lambda name: MEASURE[name].values(columns if name in _OF_FLIPS else pooled),
        [
            measure.name
            for measure in MEASURES
            if (options or not measure.needs_options) and (whole.any() or measure.name not in _OF_FLIPS)
        ],
        kept=few,
    )
    reaches = reaches_of(task.least_likely for task in tasks) if options else {}
    estimates = estimates_of(values, reaches, sampling.labels)
    turned = None
    if whole.any() and estimates["delta_accuracy"].n:
        turned = flips(columns["correct_before"], columns["correct_after"], pooled.get("same_top"))
    if turned is not None and whole.all() and estimates["delta_accuracy"].n > 1:
        estimates["delta_accuracy"] = change_of_shares(before, after, **sampling.labels)
    change = estimates["delta_accuracy"]
    if change.n > 1 and change.se == 0 and change.method != "score":
        # Fractions that all changed alike do not exclude others that were not seen.
        (change,) = bounded_means([after - before], [MEASURE["delta_accuracy"].bounds], **sampling.labels)
        estimates["delta_accuracy"] = change
    macro = None
    if len(tasks) > 1:
        means_of = [name for name in values if MEASURE[name].estimator == "mean"]
        macro = sampling.macros(computed(values.__getitem__, means_of, kept=few), reaches)
        if whole.all() and not sampling.sampled:
            parts = [_change_alone(task, analysis) for task in tasks]
            macro["delta_accuracy"] = mean_of_changes(macro["delta_accuracy"], parts, shared=_in_common(tasks))
    metrics = dict.fromkeys(task.accuracy_metric or ("best option" if task.has_options else "") for task in tasks)
    section = Section(
        name=name,
        n=len(before),
        estimates=estimates,
        pairing=PairingReport.pooled([task.pairs.report for task in tasks]),
        flips=turned,
        mcnemar_p=mcnemar_exact(turned["harmful"], turned["beneficial"]) if turned else None,
        sign_flip_p=no_change_of(change, after - before, sampling),
        heterogeneity_p=_differing(tasks, analysis) if len(tasks) > 1 and whole.all() else None,
        equivalence_p=_equivalence(change, turned, analysis.margin),
        minimum_detectable_change=_detectable(change, turned),
        macro=macro,
        tasks=tuple(named) if len(named) > 1 else (),
        accuracy_metric=None if [*metrics] in (["best option"], [""]) else ", ".join(filter(None, metrics)),
        readability=_readability(pooled, sampling)
        if "unreadable_after" in pooled and "unreadable_before" in pooled
        else None,
    )
    if not options:
        return section
    pairs = [task.pairs for task in tasks]
    decompose, rotations = partial(decompose_tasks, pairs, sampling.labels), over_rotations(pairs, sampling.labels)
    section = _with_distributions(section, columns, sampling, reaches)
    return replace(section, decompose=decompose, rotations=rotations)


def _change_alone(task: MeasuredTask, analysis: Analysis) -> Estimate:
    """The change of accuracy in one task."""
    labels = Sampling.of([task], analysis).labels
    return change_of_shares(task.arrays["correct_before"], task.arrays["correct_after"], **labels)


def no_change_of(change: Estimate, differences: Floats, sampling: Sampling) -> float | None:
    """The p of no change: by flipping the signs of what was sampled; by t where that is both, or too few for it to be small."""
    if not change.n:
        return None
    clusters = sampling.tasks if sampling.sampled else sampling.clusters
    if sampling.sampled and sampling.clusters is not None:
        return t_test(change)
    if clusters is not None and len(np.unique(clusters[np.isfinite(differences)])) < _FEWEST_SIGNS:
        return t_test(change)
    return sign_flip_test(differences, clusters=clusters)


def _differing(tasks: Sequence[MeasuredTask], analysis: Analysis) -> float | None:
    """The p of one change of accuracy in all tasks, each with the independent questions that its own say as much as."""
    lost, won, sizes = [], [], []
    for task in tasks:
        before, after = task.arrays["correct_before"], task.arrays["correct_after"]
        turned, known = flips(before, after), int(np.isfinite(before + after).sum())
        if known:
            weight = 1.0
            if task.clusters is not None:
                weight = (_change_alone(task, analysis).effective_n or known) / known
            lost.append(turned["harmful"] * weight)
            won.append(turned["beneficial"] * weight)
            sizes.append(known * weight)
    return differing_changes(lost, won, sizes) if len(sizes) > 1 else None


def _equivalence(change: Estimate, turned: Mapping[str, int] | None, margin: float) -> float | None:
    """The p of a change of at least the margin: by scores where the change is of a share."""
    if change.method == "score" and turned is not None:
        return equivalence_of_shares(
            turned["harmful"],
            turned["beneficial"],
            change.n,
            margin,
            effective_n=change.effective_n,
            df=None if change.effective_n is None else change.df,
        )
    return equivalence(change, margin)


def _detectable(change: Estimate, turned: Mapping[str, int] | None) -> float | None:
    """The true change that would be found 4 times in 5; None where the data are too few to say."""
    if change.method == "score" and turned is not None and change.unit in ("question", "question cluster"):
        weight = 1.0 if change.effective_n is None else change.effective_n / change.n
        counts = (turned["harmful"], turned["beneficial"], change.n)
        return detectable_change(*(round(count * weight) for count in counts))
    return minimum_detectable_effect(change)


def _with_distributions(
    section: Section, columns: Mapping[str, Floats], sampling: Sampling, reaches: Mapping[str, tuple[float, float]]
) -> Section:
    """The section with what only tasks with options have."""
    before, after = ((columns[f"confidence_{when}"], columns[f"correct_{when}"]) for when in ("before", "after"))
    calibration = calibration_change(before, after, tasks=sampling.labels["tasks"], clusters=sampling.clusters)
    return replace(
        section,
        kl_quantiles=quantiles(columns["kl"]),
        kl_largest={name: reaches[name][1] for name in _TRIMMED if section.estimates[name].n} or None,
        trimmed={name: trimmed_mean(columns[name], **sampling.labels) for name in _TRIMMED},
        ties={when: int(columns[f"tied_{when}"].sum()) for when in ("before", "after")},
        tie_rate={when: float(columns[f"tied_{when}"].mean()) for when in ("before", "after")},
        ece={"before": calibration.before.plug_in, "after": calibration.after.plug_in},
        ece_debiased={
            "before": calibration.before.estimate,
            "after": calibration.after.estimate,
            "delta": calibration.delta,
        },
    )


def _readability(pooled: Mapping[str, Floats], sampling: Sampling) -> Readability:
    """From how many generated texts no answer can be read, and what changed among the others."""
    before, after = (pooled[f"unreadable_{when}"].astype(np.int64) for when in ("before", "after"))
    right_before, right_after = pooled["correct_before"], pooled["correct_after"]
    both = (before == 0) & (after == 0)
    counts: list[dict[str, int]] = [
        {
            reason: int((codes == code).sum())
            for code, reason in enumerate(UNREADABLE)
            if reason and (codes == code).any()
        }
        for codes in (before, after)
    ]
    known = (right_before[both], right_after[both])
    among = sampling.within(both).labels
    whole = all(map(are_whole, known))
    change = change_of_shares(*known, **among) if whole else _cut(mean(known[1] - known[0], **among), (-1.0, 1.0))
    return Readability(
        before=counts[0],
        after=counts[1],
        n=len(before),
        both=int(both.sum()),
        delta_accuracy=change,
        harmful=int(((right_before == 1) & (right_after == 0) & (after > 0)).sum()),
    )


def section_of_task(
    name: str, task: MeasuredTask, analysis: Analysis, others: Mapping[str, tuple[Scores, Scores]]
) -> Section:
    """The section of one task, with its metrics and what its other filters give."""
    further = {}
    for filter_name, sides in others.items():
        pairs = pair(*sides)
        if len(pairs):
            measured = MeasuredTask(pairs, question_arrays([pairs])[0], _clusters_of(pairs, task))
            further[filter_name] = section_of_task(name, measured, analysis, {})
    before, after = task.pairs.before, task.pairs.after
    return replace(
        section_of(name, {name: task}, analysis),
        metrics=dict(metric_changes(before, after, Sampling.of([task], analysis).clusters)),
        uncompared=tuple(_uncompared(before, after)),
        filter=before.filter,
        other_filters=further,
    )


def _clusters_of(pairs: Pairs, task: MeasuredTask) -> ItemClusters | None:
    """The clusters of a task's questions, for pairs of another of its filters."""
    if task.clusters is None:
        return None
    row = {doc_id: number for number, doc_id in enumerate(task.pairs.before.doc_id.tolist())}
    rows = [row.get(doc_id, -1) for doc_id in pairs.before.doc_id.tolist()]
    return task.clusters.take(np.array(rows, dtype=np.int64))


def metric_changes(before: Scores, after: Scores, clusters: Integers | None) -> Iterator[tuple[str, MetricChange]]:
    """The metrics that both logs hold, in the task's order, each aggregated as its task does."""
    listed = list(before.settings.metrics)
    held = [*before.metrics, *before.summands]
    for name in sorted(held, key=lambda name: listed.index(name) if name in listed else len(listed)):
        higher = before.settings.is_higher_better(name)
        if name in before.metrics and name in after.metrics:
            first, second = before.metrics[name], after.metrics[name]
            with np.errstate(invalid="ignore"):  # where both are infinite
                change = second - first
            if are_whole(first) and are_whole(second):
                ends = [rate(values, clusters=clusters) for values in (first, second)]
                delta = change_of_shares(first, second, clusters=clusters)
            else:
                *ends, delta = (mean(values, clusters=clusters) for values in (first, second, change))
            yield name, _within(name, MetricChange(ends[0], ends[1], delta, "mean", higher))
        elif name in before.summands and name in after.summands:
            one, two = before.summands[name], after.summands[name]
            found = (
                aggregate(one, clusters=clusters),
                aggregate(two, clusters=clusters),
                aggregate_change(one, two, clusters=clusters),
            )
            yield name, _within(name, MetricChange(*found, one.aggregation, higher))


def _within(name: str, change: MetricChange) -> MetricChange:
    """A metric's change whose intervals end at what the metric can be; one of an unknown range keeps them."""
    low, high = _RANGES.get(change.aggregation, (-math.inf, math.inf))
    known = [end.value for end in (change.before, change.after) if end.value is not None]
    if change.aggregation == "mean" and accuracy_names([name]) and all(0 <= value <= 1 for value in known):
        low, high = 0.0, 1.0
    return replace(
        change,
        before=_cut(change.before, (low, high)),
        after=_cut(change.after, (low, high)),
        delta=_cut(change.delta, (low - high, high - low)),
    )


def _uncompared(before: Scores, after: Scores) -> Iterator[UncomparedMetric]:
    """The metrics that a log names and that are not compared, and why."""
    held = [{*scores.metrics, *scores.summands} for scores in (before, after)]
    for name, reason in {**after.unread, **before.unread}.items():
        yield UncomparedMetric(name, reason)
    for when, names in (("first", held[0] - held[1]), ("second", held[1] - held[0])):
        for name in sorted(names - {*before.unread, *after.unread}):
            yield UncomparedMetric(name, f"only in the {when} log")
    for name in sorted(held[0] & held[1]):
        if (name in before.metrics) != (name in after.metrics):
            yield UncomparedMetric(name, "the numbers of the two logs fit different functions")


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
            _weigh_parts, decompose, own, sampled=analysis.tasks == "sampled", shared=_in_common(pooled)
        )
    return replace(
        section,
        estimates=estimates,
        decompose=decompose,
        sign_flip_p=p,
        equivalence_p=_equivalence(change, section.flips, analysis.margin),
        minimum_detectable_change=_detectable(change, section.flips),
        metrics={
            name: _weighed(
                [by_task[task] for task in group.tasks if name in (by_task[task].metrics or {})],
                name,
                group.weightings.get(name, weighting),
                sampled=analysis.tasks == "sampled",
                shared=_in_common(pooled),
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


def _in_common(tasks: Iterable[MeasuredTask]) -> bool:
    """Whether two of the tasks have a cluster of questions in common."""
    seen: set[int] = set()
    for task in tasks:
        own = set() if task.clusters is None else set(task.clusters.labels.tolist())
        if not seen.isdisjoint(own):
            return True
        seen |= own
    return False


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
    return _within(
        name,
        MetricChange(
            before=before,
            after=after,
            delta=delta,
            aggregation=changes[0].aggregation,
            higher_is_better=changes[0].higher_is_better,
        ),
    )
