"""Log-probabilities that are equal to the last bit in two runs that should differ: most often a stale cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from consistency.comparison.pairing import Pairs
from consistency.logs.run_config import RunConfig
from consistency.logs.scores import Scores
from consistency.logs.settings import MODEL_ARGUMENTS, WEIGHT_ARGUMENTS, model_arguments
from consistency.support.arrays import Floats
from consistency.support.text import shortened

_OF_LIKELIHOODS = ("perplexity", "weighted_perplexity", "bits_per_byte")
# Fewer different numbers could be equal by chance, where a model computes in 16 bits or a log holds rounded numbers.
MIN_DISTINCT = 8


@dataclass(frozen=True)
class IdenticalLogprobs:
    """Questions to which two different runs give bit-identical log-probabilities.

    Attributes
    ----------
    tasks : tuple of str
        The tasks in which this is so for all questions.
    questions, of : int
        Their questions, and those of all tasks with options.
    cached : str
        Which of the runs used lm_eval's cache: "before", "after", "both", or empty.
    """

    tasks: tuple[str, ...]
    questions: int
    of: int
    cached: str
    kind: str = "identical log-probabilities"

    @property
    def clause(self) -> str:
        """What a verdict says of it."""
        return f"the log-probabilities of {self.questions:,} of {self.of:,} questions are bit-identical"

    def to_text(self) -> str:
        """A sentence for readers."""
        cache = {"": "", "both": " (both used a cache)"}.get(self.cached, f" ({self.cached} used a cache)")
        return (
            f"bit-identical log-probabilities in {self.questions:,} of {self.of:,} questions ({shortened(self.tasks)}): "
            f"most often a stale cache{cache}, or the same weights under two names"
        )


def identical_logprobs(pairs: Mapping[str, Pairs], before: RunConfig, after: RunConfig) -> IdenticalLogprobs | None:
    """Tasks whose log-probabilities two runs share to the last bit, unless one model was asked the same again.

    Parameters
    ----------
    pairs : dict of str to Pairs
        The paired questions of each task.
    before, after : RunConfig
        What the logs hold of the models.
    """
    pairs = {name: both for name, both in pairs.items() if _log_likelihoods(both.before).size}
    found = [name for name, both in pairs.items() if _identical(both)]
    if same_model(before, after):
        # One model gives the same numbers again, but not to other prompts.
        found = [name for name in found if pairs[name].report.prompts.get("different")]
    if not found:
        return None
    return IdenticalLogprobs(
        tasks=tuple(found),
        questions=sum(len(pairs[name]) for name in found),
        of=sum(map(len, pairs.values())),
        cached=_which([bool(_config(run).get("use_cache")) for run in (before, after)]),
    )


def same_model(before: RunConfig, after: RunConfig) -> bool:
    """Whether both logs name one model, held in memory alike, and nothing in them says otherwise."""
    one, two = _identity(before), _identity(after)
    named = any(one.get(key) for key in MODEL_ARGUMENTS)
    return named and all(one[key] == two[key] for key in one.keys() & two.keys())


def _identity(run: RunConfig) -> dict[str, Any]:
    config, arguments = _config(run), model_arguments(run)
    known: dict[str, Any] = {"dtype": run.dtype} if run.dtype else {}
    for key in ("model_num_parameters", "model_sha", "peft_sha", "delta_sha"):
        if config.get(key):
            known[key] = config[key]
    if arguments:
        known |= {key: arguments.get(key) or None for key in (*MODEL_ARGUMENTS, *WEIGHT_ARGUMENTS)}
        known["revision"] = known["revision"] or "main"
    return known


def _config(run: RunConfig) -> Mapping[str, Any]:
    found = run.content.get("config")
    return found if isinstance(found, dict) else {}


def _identical(pairs: Pairs) -> bool:
    one, two = _log_likelihoods(pairs.before), _log_likelihoods(pairs.after)
    if one.shape != two.shape or not np.array_equal(one, two, equal_nan=True):
        return False
    return len(np.unique(one[np.isfinite(one)])) >= MIN_DISTINCT


def _log_likelihoods(scores: Scores) -> Floats:
    """Those of the options, else of the documents that a perplexity is made of; empty where a task logs none."""
    if scores.has_options:
        return scores.logprobs
    found = [item.values[:, 0] for item in scores.summands.values() if item.aggregation in _OF_LIKELIHOODS]
    return found[0] if found else np.empty(0)


def _which(sides: Sequence[bool]) -> str:
    return "both" if all(sides) else "before" if sides[0] else "after" if sides[1] else ""
