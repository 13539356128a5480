"""Types of the `report.json` of an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import Struct, field

from consistency.report.document import Decomposition, Document, Figure
from consistency.statistics.estimates import Method, Unit
from consistency.statistics.partial_correlation import PartialCorrelation
from consistency.watch.rows import Alarm, Condition, Pool


class SeedFigure(Figure, kw_only=True):
    """A mean over seeds, with their standard deviation."""

    sd: float | None


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
    parts: list[RunParts] = field(default_factory=list)
    calibrated_contrasts: list[Contrast] = field(default_factory=list)
    watched: list[WatchedRun] = field(default_factory=list)
