"""What two runs of the same model show: whether a change is more than that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.numbers import listed_changes, points
from consistency.comparison.quantities import quantity_named
from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.errors import InputError
from consistency.metrics.measures import MEASURE
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import holm, sign_flip_test, t_test
from consistency.statistics.means import mean
from consistency.statistics.sampling import Labels
from consistency.statistics.shares import larger_share
from consistency.support.arrays import Bools, Floats, Integers
from consistency.support.text import p_equals

ALPHA = 0.05
# With fewer questions that turn in one pair alone, the mean excess is too far from normal.
_FEW = 40
# Judged by the answers that turn from right to wrong.
# Of tasks in a line.
_MOST_NAMED = 5
_OF_TURNS = ("delta_accuracy", "harmful_flips")
ONE_DIFFERENCE = (
    "noise: two runs give one difference, so how far whole runs differ is known with one degree of freedom, and the interval "
    "over other runs is wide; two batch sizes say nothing of two trainings"
)


@dataclass(frozen=True)
class Noise:
    """A change beside the difference of two runs of the same model, over the questions that both pairs hold.

    Attributes
    ----------
    name : str
        Of the task or of what pools several.
    n : int
        Questions with known answers in all four runs.
    harmful, turned : int
        Answers that turned from right to wrong in the comparison; those that turned either way between the two runs.
    only_harmful, only_turned : int
        Questions of one kind and not of the other.
    excess : Estimate
        Share of answers that turn from right to wrong, less half of the share that turns between the two runs.
    p : float
        One-sided, of "no more answers turn from right to wrong than between two runs of the same model": from the excess, or
        exact where questions of fewer than 40 clusters turn in one pair alone.
    p_holm : float or None
        The same adjusted over all tasks; of a group, scope or pool over all of its kind. None without others of its kind.
    difference : float
        The accuracy of the second run less that of the first.
    difference_p : float
        Of none, small where the runs differ as wholes: McNemar's, by sign flips of clusters or of whole tasks where these are
        what was sampled, by t where both are.
    change : Estimate
        The change of accuracy with the variance between runs in its interval.
    """

    name: str
    n: int
    harmful: int
    turned: int
    only_harmful: int
    only_turned: int
    excess: Estimate
    p: float
    difference: float
    difference_p: float
    change: Estimate
    p_holm: float | None = None

    @property
    def exceeded(self) -> bool:
        """Whether more answers turn from right to wrong than between two runs of the same model, among all of its kind."""
        p = self.p if self.p_holm is None else self.p_holm
        return p <= ALPHA and self.excess.value is not None and self.excess.value > 0

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {
            **asdict(self),
            "excess": self.excess.to_dict(),
            "change": self.change.to_dict(),
            "exceeded": self.exceeded,
        }

    def to_lines(self) -> Iterator[str]:
        """Two lines for readers, with what each estimates."""
        more = "more" if self.exceeded else "not shown to be more"
        adjusted = "" if self.p_holm is None else f", {p_equals(self.p_holm)} (Holm)"
        low, high = _ends(self.excess)
        yield (
            f"{self.name}, noise: {100 * self.harmful / self.n:.1f} % of {self.n:,} answers turn from right to wrong, "
            f"{50 * self.turned / self.n:.1f} % each way between two runs of the same model: {more} "
            f"(excess {points(self.excess.value)} points [{low}, {high}], one-sided {p_equals(self.p)}{adjusted})"
        )
        low, high = _ends(self.change)
        yield (
            f"{self.name}, noise: the two runs differ by {points(self.difference)} points ({p_equals(self.difference_p)}); "
            f"the change over other runs of both models {points(self.change.value)} points [{low}, {high}]"
        )


@dataclass(frozen=True, eq=False)
class NoiseComparison:
    """Two runs of the same model beside a comparison.

    Attributes
    ----------
    paths : tuple of str
        Their logs.
    by_section : dict of str to Noise
        By task, group, scope or pool of the comparison.
    """

    paths: tuple[str, str]
    by_section: Mapping[str, Noise]
    _pools: Mapping[str, _Pool]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {
            "runs": list(self.paths),
            "by_section": {name: item.to_dict() for name, item in self.by_section.items()},
            "note": ONE_DIFFERENCE,
        }

    def to_lines(self, comparison: Comparison) -> list[str]:
        """What the verdict is about, which tasks exceed the noise, and what one difference cannot say."""
        pools = [self.by_section[pool.name] for pool in comparison.pools if pool.name in self.by_section]
        lines = [line for item in pools for line in item.to_lines()]
        tasks = [self.by_section[name] for name in comparison.by_task if name in self.by_section]
        if len(tasks) > 1:
            beyond = sorted((t for t in tasks if t.exceeded), key=lambda t: -(t.excess.value or 0.0))
            named = listed_changes([(task.name, task.excess) for task in beyond[:_MOST_NAMED]], len(beyond), "task")
            lines.append(
                f"noise: more than between two runs in {len(beyond)} of {len(tasks)} tasks (Holm)"
                + (f": {named}" if beyond else "")
            )
        without = [name for name in comparison.by_task if name not in self.by_section]
        if without:
            lines.append(f"noise: the two runs do not hold {', '.join(without[:5])}{', …' if len(without) > 5 else ''}")
        whole = [item.name for item in pools if item.difference_p < ALPHA]
        if whole:
            lines.append(
                f"noise: the two runs differ as wholes in {', '.join(whole)}, which turns of single answers do not explain; "
                "judge the change by the interval over other runs"
            )
        return [*lines, ONE_DIFFERENCE]

    @staticmethod
    def judges(measure: str) -> bool:
        """Whether a measure can be more than what two runs show: harmful turns, and measures without a sign."""
        known = MEASURE.get(measure)
        unsigned = (
            known is not None and known.direction in ("further apart", "more alike") and known.estimator == "mean"
        )
        return unsigned or measure in _OF_TURNS

    def p_of(self, section: str, measure: str) -> float | None:
        """One-sided p of "no more than between two runs of the same model" of a measure; None where that is not judged.

        Parameters
        ----------
        section : str
        measure : str
            `delta_accuracy` and `harmful_flips`: of answers that turn from right to wrong. Of a measure without sign, such as
            `kl`, by the mean difference of the two pairs, question by question.
        """
        if section not in self.by_section or not self.judges(measure):
            return None
        if measure in _OF_TURNS:
            return self.by_section[section].p
        pool = self._pools[section]
        found = [task.difference(measure) for task in pool.tasks]
        if all(np.isnan(values).all() for values in found):
            return None
        worse = np.concatenate(found) * (1 if MEASURE[measure].direction == "further apart" else -1)
        return _more_than_none(mean(worse, **pool.labels()))


@dataclass(frozen=True, eq=False)
class _Shared:
    """The questions of a task that both pairs hold, row by row."""

    pair: Mapping[str, NDArray[Any]]
    noise: Mapping[str, NDArray[Any]]

    @cached_property
    def answers(self) -> NDArray[np.float64]:
        """Whether each answer is right, shape [4, n]: before, after, and of the two runs."""
        return np.stack(
            [source[f"correct_{when}"] for source in (self.pair, self.noise) for when in ("before", "after")]
        )

    @cached_property
    def known(self) -> Bools:
        """Whether all four answers are right or wrong, and not in part, shape [n]."""
        return np.asarray(np.isin(self.answers, (0.0, 1.0)).all(axis=0))

    def difference(self, measure: str) -> Floats:
        """The measure in the comparison less in the two runs, by question; NaN where one of them lacks it."""
        if measure not in self.pair or measure not in self.noise:
            return np.full(len(self.known), np.nan)
        with np.errstate(invalid="ignore"):
            found: Floats = np.asarray(self.pair[measure] - self.noise[measure], dtype=np.float64)
        return found


@dataclass(frozen=True, eq=False)
class _Pool:
    """One or several tasks, and what of their questions the comparison takes as sampled."""

    tasks: tuple[_Shared, ...]
    clustered: bool
    sampled: bool

    @classmethod
    def of(cls, section: Section, tasks: Sequence[_Shared]) -> _Pool:
        """The tasks of a section, sampled as the section's estimates say."""
        units = {found.unit for found in section.estimates.values()}
        clustered = bool(units & {"question cluster", "question cluster in stratum", "both"})
        return cls(tuple(tasks), clustered, bool(units & {"cluster", "both"}))

    def labels(self, *, known: bool = False) -> Labels:
        """The arguments of `mean`; for questions with four known answers alone, or for all."""
        rows = [task.known if known else np.ones_like(task.known) for task in self.tasks]
        found: Labels = {"strata": None, "tasks": None, "clusters": None}
        if self.sampled:
            found["tasks"] = np.repeat(np.arange(len(rows)), [int(row.sum()) for row in rows])
        if self.clustered:
            found["clusters"] = np.concatenate(
                [task.pair["cluster"][row] for task, row in zip(self.tasks, rows, strict=True)]
            )
        return found

    @cached_property
    def answers(self) -> Integers:
        """The known answers, shape [4, n]: before, after, and of the two runs."""
        return np.concatenate([task.answers[:, task.known] for task in self.tasks], axis=1).astype(np.int64)


def beside_noise(comparison: Comparison, noise: Comparison) -> NoiseComparison:
    """A comparison beside one of two runs of the same model.

    Parameters
    ----------
    comparison : Comparison
        Of the models that are judged.
    noise : Comparison
        Of two runs of one model, on the same questions.

    Returns
    -------
    NoiseComparison

    Raises
    ------
    InputError
        If they share no question whose answers are right or wrong.

    Notes
    -----
    Under the null all four are runs of one model whose answers turn independently from question to question. Then an answer
    turns from right to wrong half as often as it turns at all, and of the questions with one and not the other no more than
    a third have the harmful turn: the binomial test holds its level, also where a run is part of both pairs. Questions that
    share a cluster, or a sampled task, may turn together; clusters turn independently. Of each cluster the exact test then
    takes the first question whose four answers are not all alike, a choice that does not depend on which run is which.
    """
    tasks = {
        name: shared
        for name, rows in comparison.items.items()
        if name in noise.items and (shared := _shared(rows, noise.items[name])) is not None
    }
    by_section: dict[str, Noise] = {}
    pools: dict[str, _Pool] = {}
    for sections in _kinds(comparison):
        found: dict[str, Noise] = {}
        for name, (section, members) in sections.items():
            having = [tasks[member] for member in members if member in tasks]
            # A pool of which the two runs lack a task is another pool.
            if having and len(having) == len(members):
                pools[name] = _Pool.of(section, having)
                item = _noise(name, section, pools[name])
                found |= {} if item is None else {name: item}
        by_section |= _adjusted(found)
    if not by_section:
        raise InputError(
            "--noise: no task whose answers are right or wrong has its questions in both pairs",
            expected=f"the questions of {', '.join(list(comparison.by_task)[:5])}",
            do="evaluate the same model twice on the tasks of the comparison",
            path=noise.paths[0],
        )
    return NoiseComparison(noise.paths, by_section, pools)


def with_run_variance(found: Estimate, difference: float, confidence: float) -> Estimate:
    """An estimate whose interval also holds what two runs of one model differ by.

    Parameters
    ----------
    found : Estimate
        With an interval of the given confidence.
    difference : float
        Of two runs of one model.
    confidence : float

    Returns
    -------
    Estimate
        Each end is as far as the root of the squares of the interval's own arm and of `difference` times the quantile of
        Student's t with one degree of freedom. It holds its level whatever the share of the variance that runs have.

    References
    ----------
    Banerjee (1960), Approximate confidence interval for linear functions of means of k populations when the population
    variances are not equal. Sankhya 22, 357-358.

    Examples
    --------
    >>> wide = with_run_variance(mean([0.0, 0.0, -1.0, 0.0] * 250), 0.01, 0.95)
    >>> round(wide.ci_low, 3), round(wide.ci_high, 3)
    (-0.38, -0.12)
    """
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return found
    from scipy.special import stdtrit

    runs = float(stdtrit(1, (1 + confidence) / 2)) * abs(difference)
    return replace(
        found,
        ci_low=found.value - math.hypot(found.value - found.ci_low, runs),
        ci_high=found.value + math.hypot(found.ci_high - found.value, runs),
        method="run variance",
    )


def _noise(name: str, section: Section, pool: _Pool) -> Noise | None:
    before, after, one, two = pool.answers
    if not len(before):
        return None
    harmful, turned, between = before * (1 - after), np.abs(two - one), two - one
    labels, difference = pool.labels(known=True), float(between.mean())
    excess = mean(harmful - turned / 2, **labels)
    quantity = quantity_named("delta accuracy")
    change = quantity.at(section) or section.estimates["delta_accuracy"]
    return Noise(
        name=name,
        n=len(harmful),
        harmful=int(harmful.sum()),
        turned=int(turned.sum()),
        only_harmful=int((harmful > turned).sum()),
        only_turned=int((turned > harmful).sum()),
        excess=excess,
        p=_more_harmful(harmful, turned, pool, labels, excess),
        difference=difference,
        difference_p=_no_difference(between, labels),
        change=quantity.cut(with_run_variance(change, difference, 0.95)),
    )


def _more_harmful(harmful: Integers, turned: Integers, pool: _Pool, labels: Labels, excess: Estimate) -> float:
    """One-sided p of no more harmful turns than between two runs of the same model."""
    alone = harmful != turned
    clusters = labels["clusters"] if labels["tasks"] is None else labels["tasks"]
    if clusters is None:
        units, chosen = int(alone.sum()), alone
    else:
        units = len(np.unique(clusters[alone]))
        right = pool.answers.sum(axis=0)
        varied = np.flatnonzero((right > 0) & (right < len(pool.answers)))
        first = varied[np.unique(clusters[varied], return_index=True)[1]]
        chosen = np.zeros_like(alone)
        chosen[first] = alone[first]
    asymptotic = _more_than_none(excess)
    # Sampled tasks are few, and one question of each says next to nothing: their t interval knows how few they are.
    if asymptotic is not None and (units >= _FEW or labels["tasks"] is not None):
        return asymptotic
    worse = int((harmful[chosen] > turned[chosen]).sum())
    return larger_share(worse, int(chosen.sum()), 1 / 3)


def _no_difference(between: Integers, labels: Labels) -> float:
    """Two-sided p of no difference of two runs, by what was sampled."""
    tasks, clusters = labels["tasks"], labels["clusters"]
    if tasks is not None and clusters is not None:
        p = t_test(mean(between, **labels))
        return 1.0 if p is None else p
    return sign_flip_test(between, clusters=clusters if tasks is None else tasks)


def _adjusted(found: dict[str, Noise]) -> dict[str, Noise]:
    """Those of one kind with p adjusted over all of them."""
    if len(found) < 2:
        return found
    adjusted = holm([item.p for item in found.values()]).tolist()
    return {name: replace(item, p_holm=p) for (name, item), p in zip(found.items(), adjusted, strict=True)}


def _more_than_none(found: Estimate) -> float | None:
    """One-sided p of "the mean is 0 or less"; None without a standard error."""
    if found.value is None or found.df is None or not found.se:
        return None
    from scipy.special import stdtr

    return float(stdtr(found.df, -found.value / found.se))


def _shared(pair: Mapping[str, NDArray[Any]], noise: Mapping[str, NDArray[Any]]) -> _Shared | None:
    """The questions of one number, and where both know it of one hash, row by row; None without one."""
    rows = {number: row for row, number in enumerate(noise["doc_id"].tolist())}
    found = []
    for row, (number, digest) in enumerate(zip(pair["doc_id"].tolist(), pair["doc_hash"].tolist(), strict=True)):
        other = rows.get(number)
        if other is not None and (not digest or noise["doc_hash"][other] in ("", None, digest)):
            found.append((row, other))
    if not found:
        return None
    here, there = (np.array(column) for column in zip(*found, strict=True))
    return _Shared({k: v[here] for k, v in pair.items()}, {k: v[there] for k, v in noise.items()})


def _kinds(comparison: Comparison) -> Iterator[dict[str, tuple[Section, tuple[str, ...]]]]:
    """The sections of each kind by name, each with the tasks that it pools."""
    yield {name: (section, (name,)) for name, section in comparison.by_task.items()}
    for sections in (comparison.by_group, comparison.by_metric):
        yield {section.name: (section, section.tasks) for section in sections.values() if section.tasks}
    yield {
        name: (section, section.tasks or tuple(t for t in comparison.scopes.get(name, ()) if t in comparison.by_task))
        for name, section in comparison.by_scope.items()
    }
    if comparison.overall is not None:
        with_options = tuple(name for name, section in comparison.by_task.items() if section.compares_options)
        yield {"overall": (comparison.overall, with_options)}


def _ends(found: Estimate) -> tuple[str, str]:
    return points(found.ci_low), points(found.ci_high)
