"""Types of the `report.json` of many runs and their reference."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field

from consistency.comparison.clusters import Clusters
from consistency.comparison.many.values import Judgement
from consistency.comparison.odd_scores import OddScores
from consistency.comparison.section import Readability
from consistency.report.document import Document, Verdict, WarningValue
from consistency.statistics.estimates import Estimate


class ManyRun(Struct):
    """One of many runs, or their reference."""

    label: str
    path: str
    model: str | None
    model_args: str | None
    date: str | None
    lm_eval_version: str | None
    warnings: list[dict[str, WarningValue]] | UnsetType = UNSET


class Together(Struct):
    """How many intervals hold together, the confidence of each, and its width on each side in standard errors."""

    of: int
    confidence: float
    critical: float


class ManyChange(Struct, kw_only=True):
    """The change of one run in one task, or in tasks together."""

    n: int
    accuracy_before: Estimate
    accuracy_after: Estimate
    delta_accuracy: Estimate
    harmful_flips: Estimate | UnsetType = UNSET
    beneficial_flips: Estimate | UnsetType = UNSET
    simultaneous: Estimate
    p: float | None
    p_holm: float | None
    p_simultaneous: float
    kl: Estimate | UnsetType = UNSET
    judgement: Judgement
    flips: dict[str, int] | None
    odd_scores: OddScores | UnsetType = UNSET
    calibrated_change: Estimate | None
    prior_change: Estimate | None
    readability: Readability | None = None


class JudgedRun(Struct):
    """Whether a run is worse than the reference, by the worst of its pools, and in which tasks it surely is."""

    label: str
    judgement: Judgement
    pool: str
    change: Estimate
    worse_in: list[str]


class RunMetric(Struct):
    """The change of a metric of one run, of a task whose logs do not say which answers are right."""

    run: str
    task: str
    metric: str
    before: Estimate
    after: Estimate
    delta: Estimate
    aggregation: str
    higher_is_better: bool | None


class RankedRun(Struct):
    """A run in the order of accuracy."""

    label: str
    accuracy: Estimate
    best: float
    p_best_set: float
    group: str
    may_be_best: bool


class RunTrend(Struct):
    """The change along a series, and its first harmful run."""

    change: Estimate
    p: float | None
    p_holm: float | None
    first_harmful: str | None
    p_simultaneous: float | None = None


class RunSeries(Struct):
    """Positions by run, and trends by task."""

    positions: dict[str, float]
    trends: dict[str, RunTrend]


class ManyRuns(Struct, kw_only=True):
    """What `consistency compare REFERENCE RUN RUN … --json` prints."""

    schema_version: int
    reference: ManyRun
    runs: list[ManyRun]
    score: str
    margin: float
    families: dict[str, Together]
    clusters: list[Clusters]
    tasks_of: dict[str, list[str]]
    pools: dict[str, dict[str, ManyChange]]
    by_task: dict[str, dict[str, ManyChange]]
    judgements: list[JudgedRun]
    ranking: list[RankedRun]
    best_set: list[str]
    series: RunSeries | None
    metrics: list[RunMetric] = field(default_factory=list)
    notes: list[str]
    verdict: str
    signature: str


class ManyReport(Document, tag="many", kw_only=True):
    """The report of many runs and their reference."""

    verdict: Verdict
    comparison: ManyRuns
