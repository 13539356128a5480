"""A task that two runs share: its pairs, every number of each, and its clusters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from consistency.comparison.clusters import ItemClusters
from consistency.comparison.items import accuracy_metric
from consistency.comparison.measure_estimates import are_whole
from consistency.comparison.pairing import Pairs
from consistency.metrics.distributions import log_probabilities
from consistency.support.arrays import Floats


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


def share_clusters(tasks: Iterable[MeasuredTask]) -> bool:
    """Whether two of the tasks have a cluster of questions in common."""
    seen: set[int] = set()
    for task in tasks:
        own = set() if task.clusters is None else set(task.clusters.labels.tolist())
        if not seen.isdisjoint(own):
            return True
        seen |= own
    return False
