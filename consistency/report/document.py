"""Types of `report.json` that several kinds of reports have: figures with intervals, logs, parts of a change."""

from __future__ import annotations

import math

from msgspec import UNSET, Struct, UnsetType

from consistency.statistics.estimates import Caveat, Estimate, Method

SCHEMA_VERSION = 3
# Of what can make numbers misleading: its fields.
WarningValue = str | float | list[str] | dict[str, str | float] | None


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


class Heading(Struct, kw_only=True, tag_field="kind"):
    """What all reports begin with."""

    schema_version: int = SCHEMA_VERSION
    created: str
    signature: str
    intervals: str
    notes: list[str]


class Document(Heading, kw_only=True):
    """What reports of logs have in common."""

    logs: list[Log]
    versions: dict[str, str]


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
