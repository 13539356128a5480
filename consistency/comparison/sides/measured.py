"""What each run has in the numbers of the pairs of runs: between the sides, and within each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

import numpy as np

from consistency.comparison.clusters import ItemClusters
from consistency.comparison.items import accuracy_metric, question_arrays
from consistency.comparison.measure_estimates import are_whole, reaches_of
from consistency.comparison.measured_task import MeasuredTask
from consistency.comparison.pairing import Pairs
from consistency.comparison.sides.answers import TaskRuns
from consistency.errors import InputError
from consistency.logs.scores import Scores
from consistency.metrics.measures import MEASURE, MEASURES
from consistency.support.arrays import Floats
from consistency.support.progress_line import Tell

# Of a measure between two runs of one side, in no order: the measures of the pair in either direction whose mean it is.
NOISE: Mapping[str, tuple[str, ...]] = {
    "harmful_flips": ("harmful_flips", "beneficial_flips"),
    "beneficial_flips": ("harmful_flips", "beneficial_flips"),
    "wrong_to_wrong_flips": ("wrong_to_wrong_flips",),
    "same_top": ("same_top",),
    "kl": ("kl", "kl_reverse"),
    "kl_reverse": ("kl", "kl_reverse"),
    **{
        name: (name,)
        for name in (
            "js",
            "total_variation",
            "cosine",
            "hellinger",
            "spearman",
            "spearman_paper",
            "tau_b",
            "weighted_tau",
        )
    },
}
_FLIPS = ("harmful_flips", "beneficial_flips", "wrong_to_wrong_flips")


@dataclass(frozen=True, eq=False)
class MeasuredRuns:
    """The numbers of the questions of one or several tasks.

    Attributes
    ----------
    between : dict of str to tuple of ndarray, shape [runs, n]
        By measure: of each run before, the mean of its pairs with all runs after, and of each run after the reverse. NaN where a
        pair has no finite value.
    within : tuple of dict of str to ndarray, shape [runs, n]
        For either side by measure: of each run, the mean of its pairs with the other runs of its side, in both directions; empty
        for a side of a single run.
    right : tuple of ndarray, shape [runs, n]
        Of each run of either side, whether its answers are right.
    reaches : dict of str to tuple of float
        See `measure_estimates.reaches_of`.
    metric : str or None
        What says which answers are right.
    clusters : ItemClusters or None
    metrics : dict of str to tuple of ndarray, shape [runs, n]
        Of a task whose logs do not say that: what each run of either side has of each metric that is a mean, in all logs.
    """

    between: Mapping[str, tuple[Floats, Floats]]
    within: tuple[Mapping[str, Floats], Mapping[str, Floats]]
    right: tuple[Floats, Floats]
    reaches: Mapping[str, tuple[float, float]]
    metric: str | None
    clusters: ItemClusters | None = None
    metrics: Mapping[str, tuple[Floats, Floats]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.right[0][0])


class _Sums:
    """Sums of measures over the pairs that hold each run."""

    def __init__(self, runs: int, n: int) -> None:
        self._shape = runs, n
        self.of: dict[str, Floats] = {}

    def add(self, name: str, run: int, values: Floats, times: float) -> None:
        """Add a pair's values to a run's."""
        if name not in self.of:
            self.of[name] = np.zeros(self._shape)
        self.of[name][run] += values * times


def measure(tasks: Mapping[str, TaskRuns], progress: Tell) -> dict[str, MeasuredRuns]:
    """Measure all pairs of runs, task by task.

    Parameters
    ----------
    tasks : dict of str to TaskRuns
    progress : callable
        Told of each pair of runs.

    Raises
    ------
    InputError
        If the runs of a task do not hold the same metric of accuracy.
    """
    named, one = list(tasks), next(iter(tasks.values()))
    sizes = len(one.before), len(one.after)
    metrics = {name: _metric(name, task) for name, task in tasks.items()}
    sides = {name: tuple(_Sums(count, len(task)) for count in sizes) for name, task in tasks.items()}
    noises = {name: tuple(_Sums(count, len(task)) for count in sizes) for name, task in tasks.items()}
    least: dict[str, list[tuple[float, float]]] = {name: [] for name in named}
    between = list(product(range(sizes[0]), range(sizes[1])))
    within = [(side, pair) for side, count in enumerate(sizes) for pair in combinations(range(count), 2)]
    for number, (first, second) in enumerate(between):
        progress("measuring pairs of runs", number, len(between) + len(within))
        pairs = {name: task.pairs(task.before[first], task.after[second]) for name, task in tasks.items()}
        for name, arrays in zip(named, question_arrays(list(pairs.values())), strict=True):
            for key, values in _values(arrays, pairs[name]).items():
                sides[name][0].add(key, first, values, 1 / sizes[1])
                sides[name][1].add(key, second, values, 1 / sizes[0])
            if tasks[name].has_options:
                least[name].append(MeasuredTask(pairs[name], {}).least_likely)
    for number, (side, (first, second)) in enumerate(within):
        progress("measuring pairs of runs", len(between) + number, len(between) + len(within))
        pairs = {}
        for name, task in tasks.items():
            runs = (task.before, task.after)[side]
            pairs[name] = task.pairs(runs[first], runs[second])
        for name, arrays in zip(named, question_arrays(list(pairs.values())), strict=True):
            found = _values(arrays, pairs[name])
            for key, directions in NOISE.items():
                if all(direction in found for direction in directions):
                    values = np.mean([found[direction] for direction in directions], axis=0)
                    for run in (first, second):
                        noises[name][side].add(key, run, values, 1 / (sizes[side] - 1))
    return {
        name: MeasuredRuns(
            between={key: (sides[name][0].of[key], sides[name][1].of[key]) for key in sides[name][0].of},
            within=(noises[name][0].of, noises[name][1].of),
            right=(_right(task.before, metrics[name]), _right(task.after, metrics[name])),
            reaches=reaches_of(least[name]) if least[name] else {},
            metric=metrics[name],
            clusters=task.clusters,
            metrics={} if metrics[name] is not None or task.has_options else _mean_metrics(task),
        )
        for name, task in tasks.items()
    }


def joined(parts: Sequence[MeasuredRuns]) -> MeasuredRuns:
    """Several tasks together, with the measures that all of them have."""
    if len(parts) == 1:
        return parts[0]

    def beside(columns: Iterable[Floats]) -> Floats:
        return np.concatenate(list(columns), axis=1)

    between = [key for key in parts[0].between if all(key in part.between for part in parts)]
    reaches = [key for key in parts[0].reaches if all(key in part.reaches for part in parts)]
    clusters = [part.clusters for part in parts if part.clusters is not None]
    metrics = dict.fromkeys(part.metric or "best option" for part in parts)
    return MeasuredRuns(
        between={
            key: (
                beside(part.between[key][0] for part in parts),
                beside(part.between[key][1] for part in parts),
            )
            for key in between
        },
        within=(_noise_of(parts, 0), _noise_of(parts, 1)),
        right=(beside(part.right[0] for part in parts), beside(part.right[1] for part in parts)),
        reaches={
            key: (min(part.reaches[key][0] for part in parts), max(part.reaches[key][1] for part in parts))
            for key in reaches
        },
        metric=None if [*metrics] == ["best option"] else ", ".join(metrics),
        clusters=ItemClusters.joined(clusters) if len(clusters) == len(parts) else None,
    )


def _noise_of(parts: Sequence[MeasuredRuns], side: int) -> dict[str, Floats]:
    first = parts[0].within[side]
    return {
        key: np.concatenate([part.within[side][key] for part in parts], axis=1)
        for key in first
        if all(key in part.within[side] for part in parts)
    }


def _metric(name: str, task: TaskRuns) -> str | None:
    """What says which answers are right, the same in all runs."""
    found = {
        accuracy_metric(task.pairs(first, second)) for first in task.before for second in (*task.before, *task.after)
    }
    if len(found) > 1:
        raise InputError(
            f"{name}: the runs are right by {', '.join(sorted(metric or 'the best option' for metric in found))}",
            expected="one metric of accuracy in all runs",
            do="evaluate all runs with the same task and metrics",
            path=task.before[0].source,
        )
    return found.pop()


def _mean_metrics(task: TaskRuns) -> dict[str, tuple[Floats, Floats]]:
    """The metrics that are means over questions, as far as all runs have them, in the order of the task's own list."""
    runs = (*task.before, *task.after)
    listed = list(task.before[0].settings.metrics)
    names = [name for name in task.before[0].metrics if all(name in scores.metrics for scores in runs)]
    names.sort(key=lambda name: listed.index(name) if name in listed else len(listed))
    return {name: (_right(task.before, name), _right(task.after, name)) for name in names}


def _right(runs: Sequence[Scores], metric: str | None) -> Floats:
    return np.stack([scores.correct_by(metric) for scores in runs])


def _values(arrays: Mapping[str, Floats], pairs: Pairs) -> dict[str, Floats]:
    """One number per question of each measure of a pair, NaN where it is not finite."""
    whole = are_whole(arrays["correct_before"]) and are_whole(arrays["correct_after"])
    found = {}
    for item in MEASURES:
        if (item.needs_options and not pairs.before.has_options) or (item.name in _FLIPS and not whole):
            continue
        values = MEASURE[item.name].values(arrays)
        values = values**2 if item.estimator == "root mean square" else values
        found[item.name] = np.where(np.isfinite(values), values, np.nan)
    return found
