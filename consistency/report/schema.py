"""Types of `report.json`, used for results, validation, writing and reading.

The JSON Schema beside this file is made from them: `python -m consistency.report.schema`. docs/report_schema.md explains
the keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, Struct, UnsetType, defstruct

from consistency.comparison.clusters import Clusters
from consistency.comparison.groups import Weighting
from consistency.comparison.many.values import Judgement
from consistency.comparison.result import TaskNames, UnpairedTask
from consistency.comparison.section import MetricChange, OptionBias, Readability, TaskSampling, UncomparedMetric
from consistency.comparison.settings import SettingDifference
from consistency.errors import InputError
from consistency.metrics.measures import MEASURES
from consistency.report.upgrade import upgrade
from consistency.statistics.estimates import Caveat, Estimate, Method, Unit
from consistency.statistics.partial_correlation import PartialCorrelation
from consistency.support.json_files import pretty_json, read_json
from consistency.watch.rows import Alarm, Condition, DriftRow, Pool, TextRow

SCHEMA_VERSION = 3
SCHEMA_FILE = Path(__file__).with_name("report.schema.json")


class Figure(Struct):
    """A number with its 95 % interval.

    `method` is there where it is another than its row's, and `warnings`, what the interval cannot promise or why there is none,
    where there is something to say (`statistics.estimates`).
    """

    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    undefined: int
    method: Method | UnsetType = UNSET
    warnings: list[Caveat] | UnsetType = UNSET

    @classmethod
    def of(
        cls, estimate: Estimate, bounds: tuple[float, float] = (-math.inf, math.inf), method: Method | None = None
    ) -> Figure:
        """An estimate as a grid holds it, its interval cut at the ends of what the measure can be.

        Parameters
        ----------
        estimate : Estimate
        bounds : tuple of float
        method : str, optional
            That of its row.

        Examples
        --------
        >>> Figure.of(Estimate(0.1, 0.1, -0.1, 0.3, 9), (0.0, 1.0)).ci_low
        0.0
        """
        return cls(
            estimate.value,
            estimate.se,
            None if estimate.ci_low is None else max(estimate.ci_low, bounds[0]),
            None if estimate.ci_high is None else min(estimate.ci_high, bounds[1]),
            estimate.undefined,
            UNSET if method in (None, estimate.method) else estimate.method,
            list(estimate.warnings) or UNSET,
        )


class SeedFigure(Figure, kw_only=True):
    """A mean over seeds, with their standard deviation."""

    sd: float | None


class Log(Struct):
    """One log, and what it says of itself.

    Attributes
    ----------
    role : {"base_few_shot", "base_zero_shot", "tuned", "checkpoint", "before", "after"}
    model : str
        The base model's name in the experiment; of a pair, the model as the log names it.
    domain, group, seed
        Of a tuned run, else None.
    folder : str
        Relative to the experiment's root; of a pair, as it was given.
    date, lm_eval_version, dtype : str or None
    shots : list of int
        Few-shot counts of its tasks, each once.
    chat_template : bool or None
    template : str or None
        The chat template: the name of one that ships, or the beginning of its SHA-256.
    hardware, git_commit : str or None
        What the model ran on, and the commit of the working directory.
    limit : int, float or None
        lm_eval's `--limit`, if it left questions out.
    truncated_prompts : int
        How many prompts lost their beginning, being longer than what the model reads; absent where the log does not say.
    harness : str
        The program that wrote the log and its version, where that is known; absent for lm_eval.
    tasks, questions : int
    sha256 : str
        Over the samples of all tasks in order of their names; dates and file names do not enter.
    """

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
    limit: int | float | None
    tasks: int
    questions: int
    sha256: str
    template: str | None = None
    hardware: str | None = None
    git_commit: str | None = None
    truncated_prompts: int | UnsetType = UNSET
    harness: str | UnsetType = UNSET


class Verdict(Struct):
    """What happened, in a sentence."""

    sentence: str


class Document(Struct, kw_only=True, tag_field="kind"):
    """What the reports of a pair and of a grid have in common."""

    schema_version: int = SCHEMA_VERSION
    created: str
    signature: str
    intervals: str
    notes: list[str]
    logs: list[Log]
    versions: dict[str, str]


# A grid.


class Grid(Struct):
    """The experiment of a grid."""

    name: str
    models: list[str]
    domains: list[str]
    groups: list[str]
    seeds: list[int]


class Mean(Struct, kw_only=True):
    """Figures of one run and scope, or means of several; `seed` null is over seeds, `domain` "mean" over domains.

    Each part holds figures by the name of their measure: of the base model with shots, of the base model without shots and
    of the tuned model (both compared with the first), and what accuracy changed from each base to the tuned model. `unit`
    says what was taken as sampled (`statistics.estimates`): "run" for means over seeds, else "stratum"; `method` how the
    intervals of those figures are made that name none.
    """

    model: str
    domain: str
    group: str
    seed: int | None
    scope: str
    n: int
    tasks: int
    base: dict[str, Figure]
    base_zero_shot: dict[str, Figure]
    tuned: dict[str, Figure]
    change: dict[str, Figure]
    change_from_zero_shot: dict[str, Figure]
    unit: Unit = "stratum"
    method: Method = "t"


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


class Contrast(Struct, kw_only=True):
    """The difference of two groups over the questions that both answered.

    `unit` is "stratum" for a difference between the training runs of one seed, and "run" for one between the recipes; that has
    in `question_se` what its standard error would be over questions alone.
    """

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
    p_holm: float | None = None
    unit: Unit = "stratum"
    method: Method = "t"
    question_se: float | None = None


class Claim(Contrast, kw_only=True):
    """A contrast that the paper says is positive."""

    state: str


@dataclass(frozen=True)
class CorrelationPlace:
    """Of which model and scope a partial correlation is, and of what: `x` and `y`, given `control`."""

    model: str
    scope: str
    x: str
    y: str
    control: str


@dataclass(frozen=True)
class RunsCorrelation(PartialCorrelation, CorrelationPlace):
    """Spearman's partial correlation over the mixes of one model and scope."""


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
    """Counts of included and excluded questions of a run."""

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
    """Counts over all runs, and of each run."""

    questions: int
    paired: int
    dropped: int
    not_in_all_three_logs: int
    absent_tasks: dict[str, list[str]]
    runs: list[RunPairing]


class CheckedExplanations(Struct):
    """How many explanations of the model's answers were asked for, and passed the check: the numbers of a group's manifest."""

    attempts: int
    requested: int
    passed_first: int
    passed: int
    left_out: int
    share_before: float | None = None
    share_after: float | None = None
    unread: bool = False


class LetterSpread(Struct):
    """How answers are spread over letters, and a test against an even spread.

    Attributes
    ----------
    counts, shares, even_shares : dict of str to int or float
        By letter; even are those of answers that have each letter of their question equally often.
    effect : float
        Cohen's w.
    """

    questions: int
    counts: dict[str, int]
    shares: dict[str, float]
    even_shares: dict[str, float]
    chi2: float
    df: int
    p: float | None
    effect: float


class TaughtLetters(Struct):
    """The letters of the answers that a group teaches, of the gold ones and of the base model's own, from its manifest."""

    taught: LetterSpread
    gold: LetterSpread | None = None
    own: LetterSpread | None = None
    warning: str | None = None


class Permutation(Struct):
    """How the options of a balanced group were permuted, from its manifest.

    Attributes
    ----------
    orders_sha256 : str
        Of all questions with the order of their options: groups that share it have every question in the same order.
    questions : int
        How many the groups may ask.
    left_out : dict of str to int
        How many they may not, by the reason.
    texts_with_moved_letters : int
        Explanations and contexts in which a letter was replaced.
    """

    orders_sha256: str
    questions: int
    left_out: dict[str, int]
    texts_with_moved_letters: int


class TrainingRows(Struct):
    """What a run was trained on, and how: from its group's manifest, its training config and what the grid noted of the host.

    Attributes
    ----------
    letters : TaughtLetters or None
        Which letters the group teaches.
    balance : Permutation or None
        Of a balanced group.
    learning_rate : float or None
    precision : str or None
        Of the weights, and of products where that is another: "float32, products in bfloat16".
    template : str or None
        The chat template: the name of one that ships, "model" for the tokenizer's own, or the beginning of its SHA-256.
    hardware, git_commit : str or None
        Of the host that trained.
    packages : dict of str to str
        Versions there.
    """

    model: str
    domain: str
    group: str
    seed: int
    rows: dict[str, int] | None = None
    rows_without_explanation: int | None = None
    rows_without_context: int | None = None
    explanations: CheckedExplanations | None = None
    questions: Any = None
    labels: Any = None
    threshold: float | None = None
    letters: TaughtLetters | None = None
    balance: Permutation | None = None
    sha256: str | None = None
    learning_rate: float | None = None
    precision: str | None = None
    template: str | None = None
    hardware: str | None = None
    git_commit: str | None = None
    packages: dict[str, str] | None = None


class LetterPrior(Struct):
    """How probable each label of the options is over all questions, to either run, and how often it is right."""

    n: int
    labels: list[str]
    before: list[float]
    after: list[float]
    gold: list[float]
    even: list[float]
    even_p: float | None


class Decomposition(Struct):
    """Accuracy without the prior of the options' labels, and what a temperature and the labels explain of KL and JS.

    Attributes
    ----------
    n, lettered : int
        Questions, and those whose options stand behind labels.
    estimates : dict of str to Estimate
        What is fitted is fitted without each question's own unit.
    plug_in : dict of str to float
        The same numbers with everything fitted to all questions.
    temperature : float or None
    priors : list of LetterPrior
        For each kind of labels.
    """

    n: int
    lettered: int
    estimates: dict[str, Estimate]
    plug_in: dict[str, float]
    temperature: float | None
    priors: list[LetterPrior]


class RunParts(Struct):
    """The parts of what changed from the base model with shots to a run, or to the base model without shots."""

    model: str
    domain: str
    group: str
    seed: int | None
    scope: str
    decomposition: Decomposition


class WatchedStep(Struct):
    """A step of a watched training."""

    step: int
    epoch: float
    kept: Pool | None
    learned: Pool | None


class WatchedRun(Struct, kw_only=True):
    """A watched training of a grid: what it kept and learned step by step, and the first alarm."""

    model: str
    domain: str
    group: str
    seed: int
    limits: dict[Condition, float]
    alarm: Alarm | None
    frontier: list[int]
    best_step: int
    steps: list[WatchedStep]


class GridReport(Document, tag="grid", kw_only=True):
    """The report of an experiment."""

    experiment: Grid
    verdict: GridVerdict
    results: list[Result]
    means: list[Mean]
    seed_summary: list[SeedSummary]
    contrasts: list[Contrast]
    partial_correlations: list[RunsCorrelation]
    checkpoints: list[Checkpoint]
    pairing: GridPairing
    training_rows: list[TrainingRows]
    parts: list[RunParts] = []
    calibrated_contrasts: list[Contrast] = []
    watched: list[WatchedRun] = []


# A pair.


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
    warnings: list[dict[str, str | float | list[str] | None]] | UnsetType = UNSET
    verdict: str
    signature: str


class PairReport(Document, tag="pair", kw_only=True):
    """The report of two runs."""

    verdict: Verdict
    comparison: Comparison


# Many runs.


class ManyRun(Struct):
    """One of many runs, or their reference."""

    label: str
    path: str
    model: str | None
    model_args: str | None
    date: str | None
    lm_eval_version: str | None


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
    calibrated_change: Estimate | None
    prior_change: Estimate | None


class JudgedRun(Struct):
    """Whether a run is worse than the reference, by the worst of its pools, and in which tasks it surely is."""

    label: str
    judgement: Judgement
    pool: str
    change: Estimate
    worse_in: list[str]


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
    notes: list[str]
    verdict: str
    signature: str


class ManyReport(Document, tag="many", kw_only=True):
    """The report of many runs and their reference."""

    verdict: Verdict
    comparison: ManyRuns


# Two sides of several runs.


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


class SidesReport(Document, tag="sides", kw_only=True):
    """The report of two sides of several runs: `consistency compare --before A1 A2 --after B1 B2 --out`."""

    verdict: Verdict
    score: str
    margin: float
    overall: SideChange | None
    by_task: dict[str, SideChange]
    by_scope: dict[str, SideChange] = {}
    by_metric: dict[str, SideChange] = {}
    by_group: dict[str, SideChange] = {}


# Two reports.


class Setting(Struct):
    """A setting or version in which two reports differ."""

    setting: str
    a: str
    b: str


class ComparedReport(Struct):
    """One of two reports."""

    folder: str
    signature: str


class DifferenceRow(Struct, kw_only=True):
    """One measure of one row that both reports hold, B less A: of a pair's `section`, or of a grid's run and scope."""

    section: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    domain: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    seed: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    level: str
    measure: str
    a: Estimate
    b: Estimate
    difference: Estimate
    paired: bool
    p: float | None
    p_holm: float | None
    state: str


class DifferencesReport(Struct, tag_field="kind", tag="differences", kw_only=True):
    """What differs between two reports: `consistency report --compare`."""

    schema_version: int = SCHEMA_VERSION
    created: str
    signature: str
    intervals: str
    notes: list[str]
    verdict: Verdict
    a: ComparedReport
    b: ComparedReport
    settings: list[Setting]
    differences: list[DifferenceRow]
    only_in_a: list[str]
    only_in_b: list[str]
    averaged_over_others: list[str]
    versions: dict[str, str]


# A watched training.


class WatchReport(Struct, tag_field="kind", tag="watch", kw_only=True):
    """What a watched training kept and learned: `consistency watch --out`."""

    schema_version: int = SCHEMA_VERSION
    created: str
    signature: str
    intervals: str
    notes: list[str]
    verdict: Verdict
    model: str
    kept: list[str]
    learned: list[str]
    limits: dict[Condition, float]
    alarm: Alarm | None
    frontier: list[int]
    best_step: int
    rollback: int | None = None
    steps: list[DriftRow]
    text: list[TextRow] = []
    versions: dict[str, str]


AnyReport = PairReport | ManyReport | SidesReport | GridReport | DifferencesReport | WatchReport


def check(document: AnyReport) -> None:
    """Refuse to write what does not hold the types above.

    Raises
    ------
    msgspec.ValidationError
        If a value is of another type; it names the place.
    """
    msgspec.convert(msgspec.to_builtins(document), type(document))


def read_document(folder: str | Path) -> AnyReport:
    """Read the `report.json` of a report's folder, also one of schema version 2.

    Parameters
    ----------
    folder : path-like
        What `consistency report` or `consistency compare --out` wrote.

    Returns
    -------
    PairReport, ManyReport, SidesReport, GridReport, DifferencesReport or WatchReport

    Raises
    ------
    InputError
        If there is none, it is of an unknown version, or something in it is missing or of another type.
    """
    path, again = Path(folder) / "report.json", "write the report again"
    document = read_json(path, "the folder of a report, with its report.json", again)
    try:
        version = document.get("schema_version") if isinstance(document, dict) else None
        if version == 2:
            document = upgrade(document, SCHEMA_VERSION)
        elif version != SCHEMA_VERSION:
            raise InputError(f"schema_version {version}", expected=f"2 or {SCHEMA_VERSION}", do=again, path=path)
        found: AnyReport = msgspec.convert(document, AnyReport)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InputError(f"is not a report: {error}", do=again, path=path) from None
    return found


def json_schema() -> dict[str, Any]:
    """`report.json` as JSON Schema 2020-12."""
    schema = msgspec.json.decode(msgspec.json.encode(msgspec.json.schema(AnyReport)))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "report.json", **schema}


if __name__ == "__main__":
    SCHEMA_FILE.write_text(pretty_json(json_schema()), encoding="utf-8")
