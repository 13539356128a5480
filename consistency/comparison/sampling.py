"""How a comparison is estimated, and what of its questions is taken as sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from consistency.comparison.clusters import AUTO, ItemClusters
from consistency.comparison.measure_estimates import batches, cut, is_share
from consistency.comparison.measured_task import MeasuredTask
from consistency.comparison.section import TaskSampling
from consistency.errors import InputError
from consistency.metrics.measures import MEASURE
from consistency.statistics.estimates import Estimate
from consistency.statistics.sampling import Labels, numbered
from consistency.statistics.tails import bounded_macro_means
from consistency.statistics.task_means import macro_mean, macro_share
from consistency.support.arrays import Bools, Floats, Integers

# A margin beyond is a number of points, not a fraction of 1.
_MOST_MARGIN = 0.5


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
        for names in batches(near, len(self.tasks)):
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
                found[name] = cut(how(x, self.tasks, strata=strata, clusters=self.clusters), MEASURE[name].bounds)
        return {name: found[name] for name in values}
