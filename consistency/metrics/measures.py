"""The measures: what each is called, its unit and range, how it is computed for one question and how it is estimated.

Tables, conditions, JSON, figures and docs ask this registry. A new measure is one entry in `MEASURES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.metrics.answers import (
    beneficial,
    brier_score,
    gold_probability,
    harmful,
    margin,
    same_top,
    wrong_to_wrong,
)
from consistency.metrics.divergences import (
    cosine_similarity,
    entropy,
    hellinger,
    js_divergence,
    kl_divergence,
    total_variation,
)
from consistency.metrics.ranking import spearman, spearman_paper, tau_b, weighted_tau
from consistency.support.arrays import Bools, Floats

Unit = Literal["%", "points", "nats", ""]
Direction = Literal["better", "worse", "more alike", "further apart", "neither"]
Estimator = Literal["mean", "root mean square", "rate"]
Columns = Mapping[str, NDArray[Any]]
# From how unlikely the least likely option of any question is to each run, in nats.
Reach = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, eq=False)
class PairedScores:
    """Two models' scores of the same options.

    Attributes
    ----------
    before, after : ndarray of float64, shape [n, k]
        Log-probabilities in nats, NaN-padded.
    gold : ndarray of bool, shape [n, k]
        Which options are right.
    """

    before: Floats
    after: Floats
    gold: Bools


def _itself(column: Floats) -> Floats:
    return column


@dataclass(frozen=True)
class Measure:
    """One measure of the change between two runs.

    Attributes
    ----------
    name : str
        Its key in JSON; of a measure with `compute` also its column in a table of items.
    title : str
        Its name in tables.
    unit : {"%", "points", "nats", ""}
        In which readers see it. What is in % or points is stored as a fraction of 1.
    bounds : tuple of float
        Its smallest and largest possible value, as stored.
    direction : {"better", "worse", "more alike", "further apart", "neither"}
        What a larger value says of the second run.
    compute : callable, optional
        From `PairedScores` to one number per question, which becomes a column of a table of items.
    columns : tuple of str
        The columns of a table of items that its estimate is made from; by default its own.
    combine : callable
        From those columns to one number per question, NaN or infinite where it is not defined.
    estimator : {"mean", "root mean square", "rate"}
        What of those numbers is estimated; a rate is a mean of zeros and ones.
    aliases : tuple of str
        Further names in conditions.
    digits : int
        Decimals in a table, in its unit.
    short : str
        Its name in a table for a terminal, at most ten characters; by default its heading.
    in_grid : bool
        Whether the report of a grid holds it, as a comparison of each model with its base model.
    reach : callable, optional
        Of a measure that may be far larger for a few questions than for most: the smallest and largest value that
        a question could have, from how unlikely the least likely option of any question is to the run before and to that
        after, in nats. The interval of its mean then allows for questions that were not seen.
    """

    name: str
    title: str
    unit: Unit
    bounds: tuple[float, float]
    direction: Direction
    compute: Callable[[PairedScores], Floats] | None = None
    columns: tuple[str, ...] = ()
    combine: Callable[..., Floats] = _itself
    estimator: Estimator = "mean"
    aliases: tuple[str, ...] = ()
    digits: int = 2
    short: str = ""
    in_grid: bool = False
    reach: Reach | None = None

    def __post_init__(self) -> None:
        if not self.columns:
            object.__setattr__(self, "columns", (self.name,))
        if not self.short:
            object.__setattr__(self, "short", self.heading)

    @property
    def scale(self) -> float:
        """The factor from stored values to the unit: 100 for % and points, else 1."""
        return 100.0 if self.unit in ("%", "points") else 1.0

    @property
    def heading(self) -> str:
        """The title with the unit, for the head of a table.

        Examples
        --------
        >>> MEASURE["kl"].heading, MEASURE["spearman"].heading
        ('KL (nats)', 'Spearman ρ')
        """
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def needs_options(self) -> bool:
        """Whether it exists only where a task's options were scored."""
        return not set(self.columns) <= {"correct_before", "correct_after"}

    def values(self, columns: Columns, prefix: str = "") -> Floats:
        """One number per question, from the columns of a table of items.

        Parameters
        ----------
        columns : mapping of str to ndarray, shape [n]
        prefix : str
            Before the names of those columns, such as ``zero_`` in the items of a grid.

        Returns
        -------
        ndarray of float64, shape [n]

        Examples
        --------
        >>> columns = {"correct_before": np.array([1.0, 0.0]), "correct_after": np.array([0.0, 0.0])}
        >>> MEASURE["delta_accuracy"].values(columns).tolist()
        [-1.0, 0.0]
        """
        chosen = (np.asarray(columns[prefix + name], dtype=np.float64) for name in self.columns)
        return np.asarray(self.combine(*chosen), dtype=np.float64)


def _change(of: Callable[[ArrayLike, Bools], Floats]) -> Callable[[PairedScores], Floats]:
    def compute(scores: PairedScores) -> Floats:
        # Impossible in both runs: the difference of two infinities is undefined, and NaN says so.
        with np.errstate(invalid="ignore"):
            return of(scores.after, scores.gold) - of(scores.before, scores.gold)

    return compute


def _within(low: float, high: float) -> Reach:
    return lambda before, after: (low, high)


_RIGHT = ("correct_before", "correct_after")
_SHARE, _CORRELATION, _SIGNED, _ANY = (0.0, 1.0), (-1.0, 1.0), (-1.0, 1.0), (-math.inf, math.inf)
_DIVERGENCE = (0.0, math.inf)

# fmt: off
MEASURES = (
    Measure("accuracy_before", "accuracy before", "%", _SHARE, "neither", columns=_RIGHT[:1], digits=1, short="before"),
    Measure("accuracy_after", "accuracy after", "%", _SHARE, "better", columns=_RIGHT[1:], digits=1, short="after",
            aliases=("accuracy",)),
    Measure("delta_accuracy", "accuracy change", "points", _SIGNED, "better", columns=_RIGHT, digits=1,
            combine=lambda before, after: after - before, short="change", aliases=("accuracy rise",)),
    Measure("same_top", "same answer", "%", _SHARE, "more alike", lambda s: same_top(s.before, s.after), digits=1,
            short="same top", aliases=("same answers",), in_grid=True),
    Measure("kl", "KL", "nats", _DIVERGENCE, "further apart", lambda s: kl_divergence(s.before, s.after),
            digits=3, aliases=("kl divergence",), in_grid=True, reach=lambda before, after: (0.0, after)),
    Measure("kl_reverse", "reverse KL", "nats", _DIVERGENCE, "further apart",
            lambda s: kl_divergence(s.after, s.before), aliases=("reverse kl",), reach=lambda before, after: (0.0, before)),
    Measure("js", "Jensen–Shannon", "nats", (0.0, math.log(2)), "further apart",
            lambda s: js_divergence(s.before, s.after), aliases=("js divergence",), reach=_within(0.0, math.log(2))),
    Measure("total_variation", "total variation", "", _SHARE, "further apart",
            lambda s: total_variation(s.before, s.after), reach=_within(*_SHARE)),
    Measure("cosine", "cosine similarity", "", _SHARE, "more alike", lambda s: cosine_similarity(s.before, s.after),
            in_grid=True, reach=_within(*_SHARE)),
    Measure("hellinger", "Hellinger distance", "", _SHARE, "further apart", lambda s: hellinger(s.before, s.after),
            reach=_within(*_SHARE)),
    Measure("spearman", "Spearman ρ", "", _CORRELATION, "more alike", lambda s: spearman(s.before, s.after),
            aliases=("spearman's rho", "rank correlation", "ranking correlation", "rank r", "rank pearson"),
            in_grid=True),
    Measure("spearman_paper", "Spearman ρ (paper)", "", _CORRELATION, "more alike",
            lambda s: spearman_paper(s.before, s.after), aliases=("rank pearson paper",), in_grid=True),
    Measure("tau_b", "Kendall τ-b", "", _CORRELATION, "more alike", lambda s: tau_b(s.before, s.after),
            aliases=("kendall tau", "kendall's tau")),
    Measure("weighted_tau", "weighted τ", "", _CORRELATION, "more alike", lambda s: weighted_tau(s.before, s.after)),
    Measure("delta_gold", "gold probability change", "points", _SIGNED, "better", _change(gold_probability), digits=1,
            reach=_within(*_SIGNED)),
    Measure("delta_margin", "margin change", "nats", _ANY, "better", _change(margin),
            reach=lambda before, after: (-before - after, before + after)),
    Measure("delta_entropy", "entropy change", "nats", _ANY, "neither", _change(lambda scores, _: entropy(scores))),
    Measure("brier_before", "Brier score before", "", (0.0, 2.0), "neither", lambda s: brier_score(s.before, s.gold)),
    Measure("brier_after", "Brier score after", "", (0.0, 2.0), "worse", lambda s: brier_score(s.after, s.gold),
            aliases=("brier",)),
    Measure("rms_delta_gold", "RMS gold probability change", "points", _SHARE, "further apart", digits=1,
            columns=("delta_gold",), estimator="root mean square", reach=_within(*_SIGNED)),
    Measure("harmful_flips", "right → wrong", "%", _SHARE, "worse", columns=_RIGHT, digits=1,
            combine=harmful, estimator="rate"),
    Measure("beneficial_flips", "wrong → right", "%", _SHARE, "better", columns=_RIGHT, digits=1,
            combine=beneficial, estimator="rate"),
    Measure("wrong_to_wrong_flips", "wrong → other wrong", "%", _SHARE, "neither", columns=(*_RIGHT, "same_top"),
            digits=1, combine=wrong_to_wrong, estimator="rate", aliases=("wrong to wrong",)),
)
# fmt: on
MEASURE = {measure.name: measure for measure in MEASURES}
# What every table of a comparison shows, in this order, and what two reports are compared by.
HEADLINE = tuple(
    MEASURE[name] for name in ("accuracy_before", "accuracy_after", "delta_accuracy", "same_top", "spearman", "kl")
)


def measure_columns(before: ArrayLike, after: ArrayLike, gold: Bools) -> dict[str, Floats]:
    """Compute every measure of two models' distributions, question by question.

    Parameters
    ----------
    before, after : array_like, shape [n, k]
        Log-probabilities of the same options in the same order, in nats, NaN-padded.
    gold : ndarray of bool, shape [n, k]
        Which options are right.

    Returns
    -------
    dict of str to ndarray of float64, shape [n]
        By the measure's name. `kl` is KL(before || after), `delta_*` after minus before.

    Examples
    --------
    >>> found = measure_columns([[-1.0, -2.0]], [[-2.0, -1.0]], np.array([[True, False]]))
    >>> float(found["same_top"][0]), float(found["spearman"][0])
    (0.0, -1.0)
    """
    scores = PairedScores(np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64), gold)
    return {measure.name: measure.compute(scores) for measure in MEASURES if measure.compute}
