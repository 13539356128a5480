"""Types of the `report.json` of two runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET, Struct, UnsetType, defstruct

from consistency.comparison.clusters import Clusters
from consistency.comparison.groups import Weighting
from consistency.comparison.odd_scores import OddScores
from consistency.comparison.result import TaskNames, UnpairedTask
from consistency.comparison.section import MetricChange, OptionBias, Readability, TaskSampling, UncomparedMetric
from consistency.comparison.settings import SettingDifference
from consistency.metrics.measures import MEASURES
from consistency.report.document import Decomposition, Document, Verdict, WarningValue
from consistency.statistics.estimates import Estimate


class Pairing(Struct):
    """What was paired of a task or of several, and what was not."""

    paired: int
    by_hash: int
    by_content: int
    identical: int
    reordered: int
    prompts: dict[str, int]
    dropped: dict[str, int]
    examples: dict[str, list[int]] | UnsetType = UNSET
    notes: list[str] | UnsetType = UNSET


class BeforeAfter(Struct):
    """A number of each run."""

    before: int | float | None
    after: int | float | None


class SectionBase(Struct, kw_only=True):
    """What changed in one set of questions, beside the estimates of the measures."""

    n: int
    equivalence_p: float | None
    minimum_detectable_change: float | None
    pairing: Pairing
    flips: dict[str, int] | UnsetType = UNSET
    mcnemar_p: float | UnsetType | None = UNSET
    mcnemar_p_holm: float | UnsetType | None = UNSET
    mcnemar_p_bh: float | UnsetType | None = UNSET
    p_holm: float | UnsetType | None = UNSET
    p_bh: float | UnsetType | None = UNSET
    sign_flip_p: float | UnsetType | None = UNSET
    heterogeneity_p: float | UnsetType | None = UNSET
    kl_quantiles: dict[str, float | None] | UnsetType = UNSET
    kl_largest: dict[str, float] | UnsetType = UNSET
    trimmed: dict[str, Estimate] | UnsetType = UNSET
    ties: BeforeAfter | UnsetType = UNSET
    tie_rate: BeforeAfter | UnsetType = UNSET
    ece: BeforeAfter | UnsetType = UNSET
    ece_debiased: dict[str, Estimate] | UnsetType = UNSET
    selection_bias: OptionBias | UnsetType = UNSET
    macro: dict[str, Estimate] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    accuracy_metric: str | UnsetType | None = UNSET
    metrics: dict[str, MetricChange] | UnsetType = UNSET
    uncompared: list[UncomparedMetric] | UnsetType = UNSET
    filter: str | UnsetType = UNSET
    other_filters: dict[str, Section] | UnsetType = UNSET
    readability: Readability | UnsetType = UNSET
    tasks: list[str] | UnsetType = UNSET
    absent: int | UnsetType = UNSET
    weighting: Weighting | UnsetType = UNSET
    odd_scores: OddScores | UnsetType = UNSET
    decomposition: Decomposition | UnsetType = UNSET
    rotations: dict[str, Estimate] | UnsetType = UNSET

    def estimate(self, measure: str) -> Estimate | None:
        """The estimate of a measure; None where the section lacks it."""
        found = getattr(self, measure)
        return found if isinstance(found, Estimate) else None


if TYPE_CHECKING:
    Section = SectionBase
else:
    Section = defstruct(
        "Section",
        [
            (m.name, Estimate | UnsetType, UNSET) if m.needs_options or m.estimator != "mean" else (m.name, Estimate)
            for m in MEASURES
        ],
        bases=(SectionBase,),
        namespace={
            "__doc__": "What changed in one set of questions: estimates by the name of their measure, tests, counts."
        },
        module=__name__,
        kw_only=True,
    )


class ComparedRun(Struct):
    """One of two runs, as its results file describes it."""

    path: str
    model: str | None
    model_args: str | None
    date: str | None
    lm_eval_version: str | None


class ChangedTask(Struct):
    """A task among those that changed most."""

    task: str
    delta_accuracy: Estimate
    p_holm: float | None
    p_bh: float | None


class ChangedMost(Struct):
    """The tasks whose accuracy changed most, with intervals that hold although they were chosen for that."""

    method: str
    of: int
    confidence: float
    tasks: list[ChangedTask]


class Slice(Struct):
    """The questions with one value of a field."""

    n: int
    tasks: int
    accuracy_before: Estimate
    accuracy_after: Estimate
    delta_accuracy: Estimate
    shrunk: Estimate | None
    flips: dict[str, int] | None
    p: float | None
    p_holm: float | None


class Slices(Struct):
    """The slices of one field, by its values."""

    slices: dict[str, Slice]
    between: float | None
    missing: int
    overlapping: bool


class Comparison(Struct, kw_only=True):
    """The object that `consistency compare --json` prints."""

    schema_version: int
    before: ComparedRun
    after: ComparedRun
    score: str
    margin: float
    task_sampling: TaskSampling | UnsetType = UNSET
    clusters: list[Clusters] | UnsetType = UNSET
    overall: Section | None
    by_task: dict[str, Section]
    by_scope: dict[str, Section] | UnsetType = UNSET
    by_metric: dict[str, Section] | UnsetType = UNSET
    by_group: dict[str, Section] | UnsetType = UNSET
    slices: dict[str, Slices] | UnsetType = UNSET
    changed_most: ChangedMost | UnsetType = UNSET
    messages: list[str]
    unpaired: list[UnpairedTask] | UnsetType = UNSET
    task_names: TaskNames | UnsetType = UNSET
    settings: list[SettingDifference] | UnsetType = UNSET
    warnings: list[dict[str, WarningValue]] | UnsetType = UNSET
    verdict: str
    signature: str


class PairReport(Document, tag="pair", kw_only=True):
    """The report of two runs."""

    verdict: Verdict
    comparison: Comparison
