"""The types of the `report.json` of a pair, and of what `consistency compare --json` prints."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from consistency.report.document_parts import Figure, Report, Verdict


class Estimate(Figure):
    """A figure that says what was taken as sampled."""

    n: int
    estimator: str
    df: float | None


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

    before: float | None
    after: float | None


class Metric(Struct):
    """A metric of a task without options."""

    before: Estimate
    after: Estimate
    delta: Estimate


class Section(Struct):
    """What changed in one set of questions."""

    n: int
    accuracy_before: Estimate
    accuracy_after: Estimate
    delta_accuracy: Estimate
    equivalence_p: float | None
    minimum_detectable_change: float | None
    pairing: Pairing
    same_top: Estimate | UnsetType = UNSET
    kl: Estimate | UnsetType = UNSET
    kl_reverse: Estimate | UnsetType = UNSET
    js: Estimate | UnsetType = UNSET
    total_variation: Estimate | UnsetType = UNSET
    cosine: Estimate | UnsetType = UNSET
    hellinger: Estimate | UnsetType = UNSET
    spearman: Estimate | UnsetType = UNSET
    spearman_paper: Estimate | UnsetType = UNSET
    tau_b: Estimate | UnsetType = UNSET
    weighted_tau: Estimate | UnsetType = UNSET
    delta_gold: Estimate | UnsetType = UNSET
    delta_margin: Estimate | UnsetType = UNSET
    delta_entropy: Estimate | UnsetType = UNSET
    brier_before: Estimate | UnsetType = UNSET
    brier_after: Estimate | UnsetType = UNSET
    rms_delta_gold: Estimate | UnsetType = UNSET
    harmful_flips: Estimate | UnsetType = UNSET
    beneficial_flips: Estimate | UnsetType = UNSET
    wrong_to_wrong_flips: Estimate | UnsetType = UNSET
    flips: dict[str, int] | UnsetType = UNSET
    mcnemar_p: float | UnsetType | None = UNSET
    mcnemar_p_holm: float | UnsetType | None = UNSET
    mcnemar_p_bh: float | UnsetType | None = UNSET
    sign_flip_p: float | UnsetType | None = UNSET
    kl_quantiles: dict[str, float | None] | UnsetType = UNSET
    ties: BeforeAfter | UnsetType = UNSET
    tie_rate: BeforeAfter | UnsetType = UNSET
    ece: BeforeAfter | UnsetType = UNSET
    macro: dict[str, Estimate] | UnsetType = UNSET
    note: str | UnsetType = UNSET
    accuracy_metric: str | UnsetType | None = UNSET
    metrics: dict[str, Metric] | UnsetType = UNSET


class ComparedRun(Struct):
    """One of two runs, as its results file describes it."""

    path: str
    model: str | None
    model_args: str | None
    date: str | None
    lm_eval_version: str | None


class Comparison(Struct):
    """The object that `consistency compare --json` prints."""

    schema_version: int
    before: ComparedRun
    after: ComparedRun
    score: str
    margin: float
    overall: Section | None
    by_task: dict[str, Section]
    messages: list[str]
    verdict: str
    signature: str
    by_scope: dict[str, Section] | UnsetType = UNSET


class PairReport(Report, tag="pair"):
    """The report of two runs."""

    verdict: Verdict
    comparison: Comparison
