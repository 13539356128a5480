"""The numbers of many runs compared with one reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.clusters import Clusters
from consistency.comparison.many.metrics import MetricOfRun
from consistency.comparison.runs import ComparedRun
from consistency.comparison.section import Section
from consistency.comparison.sentences import ALPHA
from consistency.logs.run_config import programs
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import holm
from consistency.support.arrays import Integers
from consistency.support.version import VERSION

# What an interval shows of a change, the worst first.
Judgement = Literal["worse", "unclear", "worse within the margin", "not worse by more than the margin", "better"]
JUDGEMENTS: tuple[Judgement, ...] = get_args(Judgement)
# Runs of one set with a p below it are not the best.
BEST = 0.05


@dataclass(frozen=True)
class Family:
    """Numbers whose intervals hold together.

    Attributes
    ----------
    of : int
        How many numbers.
    confidence : float
        That of each interval, so that all of them together contain the true values with 95 %.
    critical : float
        By how many standard errors such an interval is wide on each side.
    """

    of: int
    confidence: float
    critical: float


@dataclass(frozen=True)
class Change:
    """The change of one run from the reference in one task, or in several tasks together.

    Attributes
    ----------
    section : Section
        Its accuracies, its change and the answers that turned, each with an interval of its own, and `p_holm`, adjusted over the
        family.
    simultaneous : Estimate
        The change, with an interval that holds together with all others of its family.
    p_simultaneous : float
        Of no change, adjusted by the same joint distribution as the interval.
    calibrated : Estimate or None
        The change of accuracy corrected for letter bias, with an interval that holds together with those of the other runs; of
        tasks together whose options stand behind letters.
    """

    section: Section
    simultaneous: Estimate
    p_simultaneous: float
    calibrated: Estimate | None = None

    @property
    def direction(self) -> int:
        """1 where the whole simultaneous interval is above zero, -1 where it is below, else 0."""
        low, high = self.simultaneous.ci_low, self.simultaneous.ci_high
        return 0 if low is None or high is None else int(low > 0) - int(high < 0)

    def judged(self, margin: float) -> Judgement:
        """What the whole simultaneous interval shows.

        Parameters
        ----------
        margin : float
            The largest loss that counts as none, as a fraction.
        """
        low = self.simultaneous.ci_low
        within = low is not None and low > -margin
        if self.direction > 0:
            return "better"
        if self.direction < 0:
            return "worse within the margin" if within else "worse"
        return "not worse by more than the margin" if within else "unclear"

    @property
    def letters(self) -> Estimate | None:
        """The change that one offset for each letter explains: of letter bias, as far as that is the same in all questions."""
        found = self.section.decomposition
        return None if found is None else found.estimates["prior_change"]

    def to_dict(self, margin: float) -> dict[str, Any]:
        """The change as plain data, for JSON, judged by the margin."""
        section = self.section
        return {
            "n": section.n,
            **{name: found.to_dict() for name, found in section.estimates.items()},
            "simultaneous": self.simultaneous.to_dict(),
            "p": section.sign_flip_p,
            "p_holm": section.p_holm,
            "p_simultaneous": self.p_simultaneous,
            "judgement": self.judged(margin),
            "flips": section.flips,
            **({} if section.odd_scores is None else {"odd_scores": section.odd_scores.to_dict()}),
            "calibrated_change": None if self.calibrated is None else self.calibrated.to_dict(),
            "prior_change": None if self.letters is None else self.letters.to_dict(),
            "readability": None if section.readability is None else section.readability.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class Turned:
    """The questions of a task whose answer turned right or wrong in at least one run.

    Attributes
    ----------
    doc_id : ndarray of int64, shape [n]
        The harness's number of each document.
    documents : tuple of bytes, length n
        Each document as JSON, as logged by the reference.
    ways : dict of str to ndarray of int8, shape [n]
        By run: -1 from right to wrong, 1 from wrong to right, 0 neither.
    """

    doc_id: Integers
    documents: tuple[bytes, ...]
    ways: Mapping[str, NDArray[np.int8]]


# A run, a task or tasks together, and the change there.
Row = tuple[str, str, Change]


def largest_first(item: Row) -> tuple[bool, float]:
    """A key that sorts changes: those that are sure first, and among them the largest."""
    change = item[2]
    return (change.direction == 0, -abs(change.simultaneous.value or 0.0))


@dataclass(frozen=True)
class Judged:
    """Whether a run is worse than the reference.

    Attributes
    ----------
    label : str
    judgement : {"worse", "unclear", "worse within the margin", "not worse by more than the margin", "better"}
        The worst of all tasks together: of each pool, where there are several.
    pool : str
        Which it is of.
    change : Estimate
        There, with its simultaneous interval.
    worse_in : tuple of str
        The single tasks whose simultaneous interval lies below zero, those that lost most first.
    """

    label: str
    judgement: Judgement
    pool: str
    change: Estimate
    worse_in: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"change": self.change.to_dict(), "worse_in": list(self.worse_in)}


@dataclass(frozen=True)
class Ranked:
    """A run, or the reference, in the order of accuracy.

    Attributes
    ----------
    label : str
    accuracy : Estimate
    best : float
        The probability that it is the best: see `consistency.statistics.best.probabilities_of_best`; the reference is one of the
        population of runs.
    p_best_set : float
        The p of "it is as accurate as the run that is observed to be the most accurate", adjusted over all pairs of runs.
    group : str
        Letters: two runs that share one cannot be told apart, all pairs of runs being tested together, the reference among them.
    """

    label: str
    accuracy: Estimate
    best: float
    p_best_set: float
    group: str

    @property
    def may_be_best(self) -> bool:
        """Whether it is in the 95 % set of the best."""
        return self.p_best_set >= BEST

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"accuracy": self.accuracy.to_dict(), "may_be_best": self.may_be_best}


@dataclass(frozen=True)
class Trend:
    """How accuracy changes along a series, in one task or in several together.

    Attributes
    ----------
    change : Estimate
        From the first to the last position, by the straight line through all of them, with an interval that holds together with
        those of the other tasks.
    p, p_holm, p_simultaneous : float or None
        Of no slope; adjusted over the tasks, by Holm and by the same joint distribution as the interval.
    first_harmful : str or None
        The first run of the series whose simultaneous interval lies below zero.
    """

    change: Estimate
    p: float | None
    p_holm: float | None
    p_simultaneous: float | None
    first_harmful: str | None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"change": self.change.to_dict()}


@dataclass(frozen=True)
class Series:
    """Runs in an order.

    Attributes
    ----------
    positions : dict of str to float
        By label, in the order of the series; the reference first, where it has a position.
    trends : dict of str to Trend
        By task, and of tasks together by their name.
    """

    positions: Mapping[str, float]
    trends: Mapping[str, Trend]

    @property
    def ends(self) -> tuple[str, str]:
        """The labels at the first and the last position, in the direction of the runs: see `ends_of`."""
        return ends_of(self.positions)


def ends_of(positions: Mapping[str, float]) -> tuple[str, str]:
    """The labels at the first and the last position, in the direction of the runs.

    Parameters
    ----------
    positions : mapping of str to float
        Those of two or more runs in their order; that of the reference may stand before them, and lie anywhere.

    Examples
    --------
    >>> ends_of({"base": 0, "step-1": 1, "step-2": 2}), ends_of({"q6": 6, "q8": 8, "q4": 4})
    (('base', 'step-2'), ('q8', 'q4'))
    """
    *_, before, last = positions.values()
    ordered = sorted(positions, key=positions.__getitem__, reverse=last < before)
    return ordered[0], ordered[-1]


@dataclass(frozen=True)
class ManyChanges:
    """The changes of many runs from one reference.

    Attributes
    ----------
    reference : ComparedRun
    runs : tuple of ComparedRun
        In the order in which they were given; of a series in its order.
    pools : dict of str to dict of str to Change
        Tasks together: those with options ("overall"), those without by their metric. By pool, then by run.
    members : dict of str to tuple of str
        The tasks of each pool.
    by_task : dict of str to dict of str to Change
        By task, then by run; a run that lacks a task is not there.
    families : dict of str to Family
        "runs": all pools of all runs; "tasks": all tasks of all runs; "calibrated", "trends"; "metrics", by Bonferroni.
    ranking : tuple of Ranked
        The runs and the reference by their accuracy in the first pool, the best first.
    series : Series or None
    margin : float
        The largest change of accuracy that counts as none, as a fraction.
    score : str
    clusters : tuple of Clusters
    notes : tuple of str
        What a reader must know before the numbers.
    metrics : tuple of MetricOfRun
        Of tasks whose logs do not say which answers are right: these are in no other number.
    turned : dict of str to Turned
        By task, the questions whose answers turned.
    """

    reference: ComparedRun
    runs: tuple[ComparedRun, ...]
    pools: Mapping[str, Mapping[str, Change]]
    members: Mapping[str, tuple[str, ...]]
    by_task: Mapping[str, Mapping[str, Change]]
    families: Mapping[str, Family]
    ranking: tuple[Ranked, ...]
    series: Series | None
    margin: float
    score: str
    clusters: tuple[Clusters, ...]
    notes: tuple[str, ...]
    metrics: tuple[MetricOfRun, ...] = ()
    turned: Mapping[str, Turned] = field(default_factory=dict, compare=False)

    @property
    def main(self) -> str:
        """The name of the pool that the ranking and the sentences are about."""
        return next(iter(self.pools))

    @property
    def overall(self) -> Mapping[str, Change]:
        """The changes in the main pool, by run."""
        return self.pools[self.main]

    @property
    def best_set(self) -> tuple[str, ...]:
        """The labels that the 95 % set of the best holds."""
        return tuple(item.label for item in self.ranking if item.may_be_best)

    @property
    def judgements(self) -> tuple[Judged, ...]:
        """Of each run, whether it is worse; all of them are right together with 95 %."""
        return tuple(map(self._judged, self.overall))

    def _judged(self, label: str) -> Judged:
        found = {name: changes[label].judged(self.margin) for name, changes in self.pools.items()}
        pool = min(found, key=lambda name: JUDGEMENTS.index(found[name]))
        lost = {
            name: changes[label].simultaneous.value or 0.0
            for name, changes in self.by_task.items()
            if label in changes and changes[label].direction < 0
        }
        worse = tuple(sorted(lost, key=lost.__getitem__))
        return Judged(label, found[pool], pool, self.pools[pool][label].simultaneous, worse)

    def sure(self, way: int) -> tuple[list[Row], list[Row]]:
        """The changes that are surely for the worse (-1) or the better (1): of tasks together, and of single tasks.

        The largest comes first. Of single tasks each run's largest comes before any second one, and runs of which nothing else
        is said before those that changed in tasks together. A task that is a pool of its own is in the pools alone.
        """
        pools, tasks = (
            sorted(
                (
                    (label, name, change)
                    for name, changes in sets.items()
                    for label, change in changes.items()
                    if change.direction == way
                ),
                key=largest_first,
            )
            for sets in (
                self.pools,
                {name: found for name, found in self.by_task.items() if (name,) not in self.members.values()},
            )
        )
        told, places = {label for label, _, _ in pools}, Counter[str]()
        order = []
        for row in tasks:
            order.append((places[row[0]], row[0] in told))
            places[row[0]] += 1
        return pools, [row for _, row in sorted(zip(order, tasks, strict=True), key=lambda item: item[0])]

    @property
    def unread(self) -> list[Row]:
        """The changes with a share of unreadable answers that changed beyond chance, corrected for all (Holm); the largest first.

        Of tasks together, and of single tasks that are in none of these.
        """
        pooled = {name for names in self.members.values() for name in names}
        sets = {**self.pools, **{name: found for name, found in self.by_task.items() if name not in pooled}}
        rows = [
            ((label, name, change), found)
            for name, changes in sets.items()
            for label, change in changes.items()
            if (found := change.section.readability) is not None
        ]
        p = holm([found.changed_p for _, found in rows]).tolist() if rows else []
        kept = [item for item, adjusted in zip(rows, p, strict=True) if adjusted < ALPHA]
        kept.sort(key=lambda item: -abs(item[1].shares[1] - item[1].shares[0]))
        return [row for row, _ in kept]

    def rows(self) -> Iterator[Row]:
        """Each run and task with its change; tasks together come first."""
        for sets in (self.pools, self.by_task):
            for name, changes in sets.items():
                for label, change in changes.items():
                    yield label, name, change

    @property
    def signature(self) -> str:
        """One line that says how the figures were made."""
        change = next(iter(self.overall.values())).simultaneous
        return "|".join(
            [
                f"n:{self.ranking[0].accuracy.n}",
                f"runs:{len(self.runs)}",
                f"tasks:{len(self.by_task)}",
                f"score:{self.score}",
                f"unit:{change.unit}",
                f"interval:{change.method}",
                f"ci:95 for {self.families['runs'].of} and for {self.families['tasks'].of} together",
                programs([self.reference.config]),
                f"version:{VERSION}",
            ]
        )
