"""The types of `report.json`: what docs/report_schema.md describes, checked when it is written and when it is read.

The JSON Schema beside this file is made from them: `python -m consistency.report.document`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from consistency.errors import InputError

SCHEMA_VERSION = 2
SCHEMA_FILE = Path(__file__).with_name("report.schema.json")


class Figure(Struct):
    """A number with its 95 % interval."""

    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    undefined: int


class Estimate(Figure):
    """A figure that says what was taken as sampled."""

    n: int
    estimator: str
    df: float | None


class SeedFigure(Figure):
    """A mean over seeds, with their standard deviation."""

    sd: float | None


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
    rank_pearson: Estimate | UnsetType = UNSET
    rank_pearson_paper: Estimate | UnsetType = UNSET
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


class Log(Struct):
    """One log, and what it says of itself."""

    role: str
    model: str
    domain: str | None
    group: str | None
    seed: int | None
    folder: str
    date: str | None
    lm_eval_version: str | None
    dtype: str | None
    shots: list[int]
    chat_template: bool | None
    limit: float | None
    tasks: int
    questions: int
    sha256: str


class Report(Struct, kw_only=True, tag_field="kind"):
    """What the reports of a pair and of a grid have in common."""

    schema_version: int
    created: str
    signature: str
    intervals: str
    notes: list[str]
    logs: list[Log]
    versions: dict[str, str]


class PairVerdict(Struct):
    """What happened, in a sentence."""

    sentence: str


class PairReport(Report, tag="pair"):
    """The report of two runs."""

    verdict: PairVerdict
    comparison: Comparison


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

    rank_pearson: Figure
    rank_pearson_paper: Figure
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
    rank_pearson: SeedFigure
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


class Setting(Struct):
    """A setting or version in which two reports differ."""

    setting: str
    a: str
    b: str


class ComparedReport(Struct):
    """One of two reports."""

    folder: str
    signature: str


class DifferencesReport(Struct, tag_field="kind", tag="differences"):
    """What differs between two reports: `consistency report --compare`."""

    schema_version: int
    created: str
    signature: str
    intervals: str
    notes: list[str]
    verdict: PairVerdict
    a: ComparedReport
    b: ComparedReport
    settings: list[Setting]
    differences: list[dict[str, Any]]
    only_in_a: list[str]
    only_in_b: list[str]
    averaged_over_others: list[str]
    versions: dict[str, str]


ANY = PairReport | GridReport | DifferencesReport


def check(document: Mapping[str, Any]) -> None:
    """Refuse to write what is no `report.json`.

    Raises
    ------
    msgspec.ValidationError
        If a key is missing or of another type; it names the place.
    """
    msgspec.convert(document, ANY)


def read_document(folder: str | Path) -> dict[str, Any]:
    """Read the `report.json` of a report's folder.

    Parameters
    ----------
    folder : path-like
        What `consistency report` or `consistency compare --out` wrote.

    Returns
    -------
    dict
        As docs/report_schema.md describes it.

    Raises
    ------
    InputError
        If there is none, it is of another version, or something in it is missing or of another type.
    """
    path, again = Path(folder) / "report.json", "write the report again"
    try:
        document = msgspec.json.decode(path.read_bytes())
        version = document.get("schema_version") if isinstance(document, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(f"schema_version {version}", expected=f"{SCHEMA_VERSION}", do=again, path=path)
        check(document)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", expected="the folder of a report", do=again, path=path
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"is no report: {error}", do=again, path=path) from None
    return dict(document)


def json_schema() -> dict[str, Any]:
    """`report.json` as JSON Schema 2020-12."""
    schema = msgspec.json.schema(ANY)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "report.json", **schema}


def _text() -> str:
    return msgspec.json.format(msgspec.json.encode(json_schema()), indent=1).decode() + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(_text(), encoding="utf-8")
