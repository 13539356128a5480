"""What two runs of the same model show: whether a change is more than that."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.conditions import judged
from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.comparison.sentences import points
from consistency.errors import InputError
from consistency.metrics.measures import MEASURE
from consistency.statistics.estimates import Estimate, mean
from consistency.statistics.hypotheses import mcnemar_exact
from consistency.statistics.shares import larger_share
from consistency.support.arrays import Floats, Integers
from consistency.support.text import p_equals

ALPHA = 0.05
# With fewer questions that turn in one pair alone, the mean excess is too far from normal.
_FEW = 40
# Judged by the answers that turn from right to wrong.
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
        exact where fewer than 40 questions turn in one pair alone.
    difference : float
        The accuracy of the second run less that of the first.
    difference_p : float
        McNemar's p of it: small where the runs differ as wholes.
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

    @property
    def exceeded(self) -> bool:
        """Whether more answers turn from right to wrong than between two runs of the same model."""
        return self.p <= ALPHA and self.excess.value is not None and self.excess.value > 0

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
        low, high = _ends(self.excess)
        yield (
            f"{self.name}, noise: {100 * self.harmful / self.n:.2f} % of {self.n} answers turn from right to wrong, "
            f"{50 * self.turned / self.n:.2f} % each way between two runs of the same model: {more} "
            f"(excess {points(self.excess.value)} points [{low}, {high}], one-sided {p_equals(self.p)})"
        )
        low, high = _ends(self.change)
        yield (
            f"{self.name}, noise: the two runs differ by {points(self.difference)} points ({p_equals(self.difference_p)}); the change "
            f"over other runs of both models {points(self.change.value)} points [{low}, {high}]"
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
    _tasks: Mapping[str, _Shared]
    _members: Mapping[str, tuple[str, ...]]

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
            # Each of several tasks at its share of the level (Bonferroni).
            beyond = sorted((t for t in tasks if t.p <= ALPHA / len(tasks)), key=lambda t: -(t.excess.value or 0.0))
            named = ", ".join(f"{t.name} {points(t.excess.value)}" for t in beyond[:5])
            more = f", {len(beyond) - 5} more" if len(beyond) > 5 else ""
            lines.append(
                f"noise: more than between two runs in {len(beyond)} of {len(tasks)} tasks (Bonferroni)"
                + (f": {named}{more} points" if beyond else "")
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
        found = [self._tasks[name].difference(measure) for name in self._members[section] if name in self._tasks]
        values = [item for item in found if item is not None]
        if not values:
            return None
        worse = mean(np.concatenate(values) * (1 if MEASURE[measure].direction == "further apart" else -1))
        return _more_than_none(worse)


@dataclass(frozen=True, eq=False)
class _Shared:
    """The questions of a task that both pairs hold, row by row."""

    pair: Mapping[str, NDArray[Any]]
    noise: Mapping[str, NDArray[Any]]

    @property
    def flips(self) -> tuple[Integers, Integers, Integers]:
        """Harmful turns, turns between the two runs, and the difference of these; of known right or wrong answers."""
        columns = [source[f"correct_{when}"] for source in (self.pair, self.noise) for when in ("before", "after")]
        known = np.all([np.isin(column, (0.0, 1.0)) for column in columns], axis=0)
        before, after, one, two = (column[known].astype(np.int64) for column in columns)
        return before * (1 - after), np.abs(two - one), two - one

    def difference(self, measure: str) -> Floats | None:
        """The measure in the comparison less in the two runs, by question; None where one of them lacks it."""
        if measure not in self.pair or measure not in self.noise:
            return None
        with np.errstate(invalid="ignore"):
            found: Floats = np.asarray(self.pair[measure] - self.noise[measure], dtype=np.float64)
        return found


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
    a third have the harmful turn: the binomial test holds its level, also where a run is part of both pairs.
    """
    tasks = {
        name: found
        for name, rows in comparison.items.items()
        if name in noise.items and (found := _shared(rows, noise.items[name])) is not None
    }
    sections = _sections(comparison)
    by_section = {}
    for name, (section, members) in sections.items():
        having = [tasks[member] for member in members if member in tasks]
        # A pool of which the two runs lack a task is another pool.
        item = _noise(name, section, having) if having and len(having) == len(members) else None
        if item is not None:
            by_section[name] = item
    if not by_section:
        raise InputError(
            "--noise: no task whose answers are right or wrong has its questions in both pairs",
            expected=f"the questions of {', '.join(list(comparison.by_task)[:5])}",
            do="evaluate the same model twice on the tasks of the comparison",
            path=noise.paths[0],
        )
    members_of = {name: members for name, (_, members) in sections.items()}
    return NoiseComparison(noise.paths, by_section, tasks, members_of)


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
    Graybill and Wang (1980), Confidence intervals on nonnegative linear combinations of variances. JASA 75, 869-873.

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
        ci_low=max(-1.0, found.value - math.hypot(found.value - found.ci_low, runs)),
        ci_high=min(1.0, found.value + math.hypot(found.ci_high - found.value, runs)),
        method="run variance",
    )


def _noise(name: str, section: Section, shared: Sequence[_Shared]) -> Noise | None:
    counts = [item.flips for item in shared]
    harmful, turned, between = (np.concatenate(column) for column in zip(*counts, strict=True))
    if not len(harmful):
        return None
    excess = mean(harmful - turned / 2)
    only_harmful, only_turned = int((harmful > turned).sum()), int((turned > harmful).sum())
    difference = float(between.mean())
    exact = larger_share(only_harmful, only_harmful + only_turned, 1 / 3)
    return Noise(
        name=name,
        n=len(harmful),
        harmful=int(harmful.sum()),
        turned=int(turned.sum()),
        only_harmful=only_harmful,
        only_turned=only_turned,
        excess=excess,
        p=(_more_than_none(excess) if only_harmful + only_turned >= _FEW else None) or exact,
        difference=difference,
        difference_p=mcnemar_exact(int((between < 0).sum()), int((between > 0).sum())),
        change=with_run_variance(judged(section.estimates["delta_accuracy"], section), difference, 0.95),
    )


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


def _sections(comparison: Comparison) -> dict[str, tuple[Section, tuple[str, ...]]]:
    """The sections of a comparison by name, each with the tasks that it pools."""
    with_options = tuple(name for name, section in comparison.by_task.items() if section.compares_options)
    found: dict[str, tuple[Section, tuple[str, ...]]] = {
        name: (section, (name,)) for name, section in comparison.by_task.items()
    }
    for sections in (comparison.by_group, comparison.by_metric):
        found |= {section.name: (section, section.tasks) for section in sections.values() if section.tasks}
    for name, section in comparison.by_scope.items():
        members = section.tasks or tuple(t for t in comparison.scopes.get(name, ()) if t in comparison.by_task)
        found[name] = (section, members)
    if comparison.overall is not None:
        found["overall"] = (comparison.overall, with_options)
    return found


def _ends(found: Estimate) -> tuple[str, str]:
    return points(found.ci_low), points(found.ci_high)
