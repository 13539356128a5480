"""The types of the `report.json` of a grid."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from consistency.report.document_parts import Figure, Report


class SeedFigure(Figure):
    """A mean over seeds, with their standard deviation."""

    sd: float | None


class Experiment(Struct):
    """The grid."""

    name: str
    models: list[str]
    domains: list[str]
    groups: list[str]
    seeds: list[int]


class BaseFigures(Struct):
    """The base model with shots."""

    accuracy: Figure


class ZeroShotFigures(BaseFigures):
    """The base model without shots, against itself with them."""

    spearman: Figure
    spearman_paper: Figure
    cosine: Figure
    kl: Figure


class TunedFigures(ZeroShotFigures):
    """A tuned model, against its base model with shots."""

    same_top: Figure


class Mean(Struct, kw_only=True):
    """Figures of one run and scope, or means of several; `seed` null is over seeds, `domain` "mean" over domains."""

    model: str
    domain: str
    group: str
    seed: int | None
    scope: str
    n: int
    tasks: int
    base: BaseFigures
    base_zero_shot: ZeroShotFigures
    tuned: TunedFigures
    change: BaseFigures
    change_from_zero_shot: BaseFigures


class BaseTuned(Struct):
    """A number of the base model and of the tuned one."""

    base: float
    tuned: float


class Result(Mean, kw_only=True):
    """Figures of one run in one scope."""

    flips: dict[str, int]
    mcnemar_p: float | None
    mcnemar_p_holm: float | None
    kl_quantiles: dict[str, float | None]
    tie_rate: BaseTuned


class Checkpoint(Mean, kw_only=True):
    """Figures of a model as it was after an epoch of its training."""

    epoch: int


class SeedSummary(Struct):
    """Means over seeds of the runs' values."""

    model: str
    domain: str
    group: str
    scope: str
    seeds: int
    accuracy: SeedFigure
    spearman: SeedFigure
    kl: SeedFigure


class Contrast(Struct):
    """The difference of two groups over the questions that both answered."""

    model: str
    domain: str
    seed: int | None
    scope: str
    minuend: str
    subtrahend: str
    measure: str
    n: int
    difference: Figure
    p: float | None
    intervals_overlap: bool | None
    family: str
    p_holm: float | None


class Claim(Contrast):
    """A contrast that the paper says is positive."""

    state: str


class PartialCorrelation(Struct):
    """Spearman's partial correlation over the mixes of one model and scope."""

    model: str
    scope: str
    x: str
    y: str
    control: str
    value: float | None
    p: float | None
    ci_low: float | None
    ci_high: float | None
    fisher_low: float | None
    fisher_high: float | None
    n: int
    df: int
    variant: str
    robust_p: float | None
    within_p: float | None
    cluster_low: float | None
    cluster_high: float | None
    reason: str | None
    remark: str | None


class ModelVerdict(Struct):
    """What happened to one base model, and the contrasts that it rests on."""

    model: str
    lead: str
    detail: str
    scopes: str
    claims: list[Claim]


class GridVerdict(Struct):
    """What happened, in sentences."""

    sentence: str
    models: list[ModelVerdict]


class RunPairing(Struct):
    """What entered of one run, and what did not."""

    model: str
    domain: str
    group: str
    seed: int
    questions: dict[str, int]
    paired: int
    dropped: dict[str, int]
    zero_shot_paired: int
    zero_shot_dropped: dict[str, int]
    not_in_all_three_logs: int
    absent_tasks: list[str]


class GridPairing(Struct):
    """The same in total, and for each run."""

    questions: int
    paired: int
    dropped: int
    not_in_all_three_logs: int
    absent_tasks: dict[str, list[str]]
    runs: list[RunPairing]


class TrainingRows(Struct):
    """What a run was trained on, from its group's manifest."""

    model: str
    domain: str
    group: str
    seed: int
    rows: dict[str, int] | None
    rows_without_explanation: int | None
    questions: Any
    labels: Any
    threshold: float | None
    sha256: str | None


class GridReport(Report, tag="grid"):
    """The report of an experiment."""

    experiment: Experiment
    verdict: GridVerdict
    results: list[Result]
    means: list[Mean]
    seed_summary: list[SeedSummary]
    contrasts: list[Contrast]
    partial_correlations: list[PartialCorrelation]
    checkpoints: list[Checkpoint]
    pairing: GridPairing
    training_rows: list[TrainingRows]
