"""What changed in one set of questions: a task, a scope, a group of tasks, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

from consistency.comparison.groups import Weighting
from consistency.comparison.numbers import points_of
from consistency.comparison.odd_scores import OddScores
from consistency.comparison.pairing import PairingReport
from consistency.statistics.decomposition import Decomposition
from consistency.statistics.estimates import Estimate, Unit
from consistency.statistics.hypotheses import mcnemar_exact
from consistency.statistics.selection_bias import Preference, Shift

TaskSampling = Literal["fixed", "sampled"]
MCNEMAR = "McNemar's exact test"
_TESTS: dict[Unit, str] = {
    "question": "sign flips of questions",
    "question cluster": "sign flips of clusters of questions",
    "question cluster in stratum": "sign flips of clusters of questions",
    "cluster": "sign flips of whole tasks",
    "both": "t test over whole tasks and clusters of questions",
}
NO_OPTIONS = "no options were scored: measures of distributions are absent"


@dataclass(frozen=True)
class MetricChange:
    """A metric that the harness logs, before, after and the change.

    Attributes
    ----------
    before, after, delta : Estimate
        In the metric's own unit, aggregated as its task does.
    aggregation : str
        How the questions' values become the metric: "mean", "perplexity", "weighted_perplexity", "f1", …
    higher_is_better : bool or None
        None where the logs do not say.
    """

    before: Estimate
    after: Estimate
    delta: Estimate
    aggregation: str = "mean"
    higher_is_better: bool | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the interval of the change lies on one side of zero."""
        return self.delta.excludes_zero

    @property
    def is_better(self) -> bool | None:
        """Whether a sure change is for the better; None where it is not sure, or the logs do not say what is better."""
        higher, change = self.higher_is_better, self.delta.value
        return None if higher is None or change is None or not self.is_sure else (change > 0) == higher

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "delta": self.delta.to_dict(),
            "aggregation": self.aggregation,
            "higher_is_better": self.higher_is_better,
        }


@dataclass(frozen=True)
class UncomparedMetric:
    """A metric that a log names and that is not compared."""

    metric: str
    reason: str


@dataclass(frozen=True)
class Readability:
    """From how many generated texts no answer can be read, and what changed among the others.

    Attributes
    ----------
    before, after : dict of str to int
        Texts without a readable answer, by reason: "empty", "cut", "no tag", "invalid".
    n : int
        Questions.
    both : int
        Questions whose answers can be read in both runs.
    delta_accuracy : Estimate
        Change of accuracy among those.
    harmful : int
        Answers that turned from right to wrong and cannot be read after.
    """

    before: Mapping[str, int]
    after: Mapping[str, int]
    n: int
    both: int
    delta_accuracy: Estimate
    harmful: int

    @property
    def shares(self) -> tuple[float, float]:
        """The share of texts without a readable answer, before and after."""
        return sum(self.before.values()) / self.n, sum(self.after.values()) / self.n

    @property
    def changed_p(self) -> float:
        """The p of no change of the share, by McNemar's exact test; questions are taken as independent."""
        ends = sum(self.before.values()), sum(self.after.values())
        # Those of both runs are in either number.
        twice = sum(ends) - (self.n - self.both)
        return mcnemar_exact(ends[1] - twice, ends[0] - twice)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"delta_accuracy": self.delta_accuracy.to_dict()}


@dataclass(frozen=True)
class OptionBias:
    """Which option the answers favour, before and after, and whether they moved between options."""

    before: Preference
    after: Preference
    shift: Shift

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {"before": self.before.to_dict(), "after": self.after.to_dict(), "shift": self.shift.to_dict()}


@dataclass(frozen=True, kw_only=True, repr=False)
class Section:
    """What changed in one set of questions: a task, a scope, or all of them.

    Attributes
    ----------
    name : str
        The task, the scope, or "overall".
    n : int
        Pairs of questions.
    estimates : dict of str to Estimate
        By the name of the measure (`consistency.metrics.measures`).
    pairing : PairingReport
    flips : dict of str to int, or None
        Answers that turned, by kind; None where no answer is known to be right or wrong.
    mcnemar_p, sign_flip_p : float or None
        Of no change of accuracy: exact, questions being independent; by flipping the signs of what was sampled (of questions,
        clusters of them, or whole tasks), and a t test where that is whole tasks and clusters of questions.
    mcnemar_p_holm, mcnemar_p_bh : float or None
        Of a task, adjusted over all tasks.
    p_holm, p_bh : float or None
        Of a task: `sign_flip_p` adjusted over all tasks.
    heterogeneity_p : float or None
        With several tasks: of one change of accuracy in all of them.
    equivalence_p : float or None
        Of a change of accuracy of at least the margin.
    minimum_detectable_change : float or None
        The true change that would be found four times in five.
    kl_quantiles : dict of str to float or None, or None
        `p01` ... `p99`, in nats.
    kl_largest : dict of str to float, or None
        Of `kl` and `kl_reverse`: the largest that the interval of the mean takes a question's to be, that of the option which is
        least likely in the logs.
    trimmed : dict of str to Estimate, or None
        Of `kl` and `kl_reverse`: the mean without the fifth of the questions with the smallest and that with the largest
        values.
    ties, tie_rate, ece : dict of str to float, or None
        `before` and `after`: questions with tied options, their share, the plug-in expected calibration error.
    ece_debiased : dict of str to Estimate, or None
        `before`, `after` and their difference `delta`: the expected calibration error without the bias of the plug-in.
    selection_bias : OptionBias or None
        Of a task or of all tasks, with options.
    macro : dict of str to Estimate, or None
        With several tasks: the same estimates with equal weight for each task.
    accuracy_metric : str or None
        The harness's metric that says which answers are right; of several tasks all of them, joined by commas. None where
        no log has one: answers to questions with options are then right if the best option is gold.
    metrics : dict of str to MetricChange, or None
        Of a task or a group of tasks: the harness's metrics.
    uncompared : tuple of UncomparedMetric
        Of a task: the metrics that are not compared.
    filter : str or None
        Of a task: the filter that counts.
    other_filters : dict of str to Section
        Of a task: what its other filters give.
    readability : Readability or None
        Of generated texts.
    tasks : tuple of str
        Of several tasks: their names.
    absent : int
        Of a group: its tasks that are not compared.
    weighting : {"size", "task"} or None
        Of a group: whether each question counts the same in accuracy and its change, or each task.
    odd_scores : OddScores or None
        With options, where the scores of some questions decide nothing.
    guessing : float or None
        Of two runs, with options: the accuracy of guesses, each option of a question being as likely.
    rotations : dict of str to Estimate, or None
        Where both runs were asked all rotations of the options: see `over_rotations`.
    decompose : callable or None
        With options: what fits `decomposition`.
    """

    name: str
    n: int
    estimates: Mapping[str, Estimate]
    pairing: PairingReport
    equivalence_p: float | None
    minimum_detectable_change: float | None
    flips: Mapping[str, int] | None = None
    mcnemar_p: float | None = None
    mcnemar_p_holm: float | None = None
    mcnemar_p_bh: float | None = None
    p_holm: float | None = None
    p_bh: float | None = None
    sign_flip_p: float | None = None
    heterogeneity_p: float | None = None
    kl_quantiles: Mapping[str, float | None] | None = None
    kl_largest: Mapping[str, float] | None = None
    trimmed: Mapping[str, Estimate] | None = None
    ties: Mapping[str, int] | None = None
    tie_rate: Mapping[str, float] | None = None
    ece: Mapping[str, float | None] | None = None
    ece_debiased: Mapping[str, Estimate] | None = None
    selection_bias: OptionBias | None = None
    macro: Mapping[str, Estimate] | None = None
    accuracy_metric: str | None = None
    metrics: Mapping[str, MetricChange] | None = None
    uncompared: tuple[UncomparedMetric, ...] = ()
    filter: str | None = None
    other_filters: Mapping[str, Section] = field(default_factory=dict)
    readability: Readability | None = None
    tasks: tuple[str, ...] = ()
    absent: int = 0
    weighting: Weighting | None = None
    odd_scores: OddScores | None = None
    guessing: float | None = None
    rotations: Mapping[str, Estimate] | None = None
    decompose: Callable[[], Decomposition] | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        """Its name, how many questions it has, and what it says of accuracy."""
        change = self.estimates.get("delta_accuracy")
        found = "" if change is None or change.value is None else f", accuracy changed by {points_of(change)} points"
        return f"<Section {self.name!r}: {self.n} questions{found}>"

    @cached_property
    def decomposition(self) -> Decomposition | None:
        """With options: the change without the prior of their labels, and what a temperature and the labels explain of KL.

        Fitted when it is asked for, since few readers ask for that of every task.
        """
        return None if self.decompose is None else self.decompose()

    @property
    def of_tasks(self) -> int:
        """Number of tasks that it pools."""
        return len(self.tasks) or 1

    @property
    def test(self) -> str:
        """The test of no change of accuracy whose p is `sign_flip_p`."""
        return named_test(self.estimates["delta_accuracy"].unit, exact=self.sign_flip_p == self.mcnemar_p)

    @property
    def decides_nothing(self) -> bool:
        """Whether the scores of most questions are no numbers, or the same for all options."""
        return self.odd_scores is not None and self.odd_scores.are_most

    @property
    def compares_options(self) -> bool:
        """Whether its questions have options, and so distributions."""
        return "kl" in self.estimates

    def to_dict(self) -> dict[str, Any]:
        """The section as plain data, for JSON; what does not apply to it is left out."""
        found = {
            "kl_quantiles": self.kl_quantiles,
            "kl_largest": self.kl_largest,
            "trimmed": None
            if self.trimmed is None
            else {name: found.to_dict() for name, found in self.trimmed.items()},
            "ties": self.ties,
            "tie_rate": self.tie_rate,
            "ece": self.ece,
            "ece_debiased": None
            if self.ece_debiased is None
            else {when: found.to_dict() for when, found in self.ece_debiased.items()},
            "selection_bias": None if self.selection_bias is None else self.selection_bias.to_dict(),
            "flips": self.flips,
            "mcnemar_p": self.mcnemar_p,
            "mcnemar_p_holm": self.mcnemar_p_holm,
            "mcnemar_p_bh": self.mcnemar_p_bh,
            "p_holm": self.p_holm,
            "p_bh": self.p_bh,
            "sign_flip_p": self.sign_flip_p,
            "heterogeneity_p": self.heterogeneity_p,
            "macro": None if self.macro is None else {name: found.to_dict() for name, found in self.macro.items()},
            "metrics": None
            if self.metrics is None
            else {name: found.to_dict() for name, found in self.metrics.items()},
            "uncompared": [asdict(item) for item in self.uncompared] or None,
            "filter": self.filter,
            "other_filters": {name: section.to_dict() for name, section in self.other_filters.items()} or None,
            "readability": None if self.readability is None else self.readability.to_dict(),
            "tasks": list(self.tasks) or None,
            "absent": self.absent or None,
            "weighting": self.weighting,
            "odd_scores": None if self.odd_scores is None else self.odd_scores.to_dict(),
            "decomposition": None if self.decomposition is None else self.decomposition.to_dict(),
            "rotations": None
            if self.rotations is None
            else {name: found.to_dict() for name, found in self.rotations.items()},
            "note": None if self.compares_options else NO_OPTIONS,
        }
        return {
            "n": self.n,
            **{name: estimate.to_dict() for name, estimate in self.estimates.items()},
            "accuracy_metric": self.accuracy_metric,
            **{name: value for name, value in found.items() if value is not None},
            "equivalence_p": self.equivalence_p,
            "minimum_detectable_change": self.minimum_detectable_change,
            "pairing": self.pairing.to_dict(),
        }


class Sections(Protocol):
    """The sections of a comparison, of two runs or of two sides of several."""

    @property
    def overall(self) -> Section | None:
        """All tasks that have options, pooled."""

    @property
    def by_task(self) -> Mapping[str, Section]:
        """By task."""

    @property
    def by_scope(self) -> Mapping[str, Section]:
        """By scope."""

    @property
    def by_metric(self) -> Mapping[str, Section]:
        """Tasks without options, by their metric."""

    @property
    def by_group(self) -> Mapping[str, Section]:
        """The harness's groups."""

    @property
    def pools(self) -> tuple[Section, ...]:
        """What the verdict is about."""


def named_test(unit: Unit, *, exact: bool) -> str:
    """The test of no change of accuracy, by what was sampled.

    Parameters
    ----------
    unit : str
        Of the change of accuracy.
    exact : bool
        Whether its p is that of McNemar's test: of questions whose answers are right or wrong.

    Examples
    --------
    >>> named_test("question", exact=True), named_test("question cluster", exact=True)
    ("McNemar's exact test", 'sign flips of clusters of questions')
    """
    return MCNEMAR if exact and unit in ("question", "stratum") else _TESTS.get(unit, _TESTS["question"])
