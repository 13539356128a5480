"""Types of the `report.json` of two sides of several runs."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field

from consistency.comparison.groups import Weighting
from consistency.comparison.odd_scores import OddScores
from consistency.comparison.section import MetricChange
from consistency.report.document import Document, Verdict, WarningValue
from consistency.statistics.estimates import Estimate


class SideNoise(Struct):
    """A measure between two runs of either side, and between the sides beyond that."""

    before: Estimate | None
    after: Estimate | None
    beyond: Estimate
    p: float | None
    p_holm: float | None


class RunsOf(Struct):
    """The accuracy of each run of either side."""

    before: list[float | None]
    after: list[float | None]


class DeviationOf(Struct):
    """The standard deviation of the runs' accuracies on either side; None for a side of a single run."""

    before: float | None
    after: float | None


class SideChange(Struct, kw_only=True):
    """What changed between the sides in one set of questions."""

    n: int
    tasks: list[str]
    accuracy_metric: str | None
    weighting: Weighting | None
    absent: int
    estimates: dict[str, Estimate]
    calibrated: dict[str, Estimate]
    noise: dict[str, SideNoise]
    accuracy_of_runs: RunsOf
    deviation_of_runs: DeviationOf
    p: float | None
    p_holm: float | None
    p_bh: float | None
    equivalence_p: float | None
    minimum_detectable_change: float | None
    metrics: dict[str, MetricChange] = field(default_factory=dict)
    odd_scores: OddScores | UnsetType = UNSET


class SidesReport(Document, tag="sides", kw_only=True):
    """The report of two sides of several runs: `consistency compare --before A1 A2 --after B1 B2 --out`."""

    verdict: Verdict
    score: str
    margin: float
    overall: SideChange | None
    by_task: dict[str, SideChange]
    by_scope: dict[str, SideChange] = field(default_factory=dict)
    by_metric: dict[str, SideChange] = field(default_factory=dict)
    by_group: dict[str, SideChange] = field(default_factory=dict)
    warnings: list[dict[str, WarningValue]] | UnsetType = UNSET
