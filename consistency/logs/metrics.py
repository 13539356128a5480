"""The metrics that a task logs for each question, as numbers that can be aggregated for any set of them.

Most are means of one number a question. A perplexity, F1 or BLEU is a function of sums, see `metrics.aggregates`. Where a task
aggregates by a function of its own, the form that gives the harness's number is taken; where none does, the metric is named
as not compared.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from consistency.logs.task_settings import TaskSettings
from consistency.metrics.aggregates import (
    OF_CLASSES,
    OF_SETS,
    OF_TEXTS,
    Aggregation,
    Summands,
    of_classes,
    of_numbers,
    of_sets,
    of_texts,
    of_weighted,
)
from consistency.metrics.answers import brier_score
from consistency.support.arrays import Bools, Floats

# Which of a task's metrics says that an answer is right: the first of these that it has, else the first of its own list with
# such a name.
ACCURACY = ("acc", "acc_norm", "exact_match", "em", "pass@1", "pass_at_1", "prompt_level_strict_acc")
_LIKE_ACCURACY = re.compile(r"(?:.*_)?(?:acc|accuracy|em|exact_match|correct|match)|acc(?:uracy)?_.*|pass(?:@|_at_)\d+")
_PASS = re.compile(r"pass(?:@|_at_)(\d+)")
_WEIGHTED = ("weighted_perplexity", "bits_per_byte")
_MEANS = ("mean", "nanmean")
# lm_eval's metrics of these names hold pairs; numbers under such a name are a task's own, and their mean is what it takes.
_AGGREGATIONS_OF_SUMS = (*OF_CLASSES, *OF_TEXTS, *_WEIGHTED, "brier_score")
_CLOSE = 1e-9
_CONSTANTS = ("nan", "inf", "-inf")


@dataclass(frozen=True, eq=False)
class LoggedMetrics:
    """The metrics of a task's questions.

    Attributes
    ----------
    means : dict of str to ndarray of float64, shape [n]
        Those whose mean is the harness's number; NaN where a question has none.
    summands : dict of str to Summands
        Those that are another function of what each question adds.
    unread : dict of str to str
        Those that cannot be computed for a set of questions, and why.
    notes : tuple of str
        Numbers of the results file that its samples do not give.
    """

    means: Mapping[str, Floats] = field(default_factory=dict)
    summands: Mapping[str, Summands] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Options:
    """Log-probabilities of the options and which are gold, both of shape [n, k]."""

    logprobs: Floats
    gold: Bools


def read_metrics(
    columns: Mapping[str, Sequence[Any]],
    settings: TaskSettings,
    filter_name: str,
    options: Options | None,
    *,
    repeated: bool = False,
) -> LoggedMetrics:
    """The metrics of a task's questions.

    Parameters
    ----------
    columns : dict of str to sequence or ndarray of float64, length n
        What is logged for each question, by metric.
    settings : TaskSettings
    filter_name : str
    options : Options or None
        Of tasks with options.
    repeated : bool
        Whether rows that repeat a question are left out, so that other numbers than the harness's are no fault.

    Examples
    --------
    >>> found = read_metrics({"acc": [1.0, 0.0], "word_perplexity": [[-2.0, 1], [-4.0, 2]]}, TaskSettings(), "none", None)
    >>> list(found.means), round(found.summands["word_perplexity"].value, 6) == round(math.e**2, 6)
    (['acc'], True)
    """
    means: dict[str, Floats] = {}
    summands: dict[str, Summands] = {}
    unread: dict[str, str] = {}
    other: list[str] = []
    n = len(next(iter(columns.values()), ()))
    for name, values in columns.items():
        logged = settings.values.get((name, filter_name))
        try:
            plain = isinstance(values, np.ndarray) or list not in set(map(type, values))
            numbers = values if plain else [_as_numbers(item) for item in values]
            form = _form(settings.aggregation(name), numbers, options, logged)
            infinite = int(np.isinf(form.values if isinstance(form, Summands) else form).sum())
            if infinite:
                raise _UnreadError(f"infinite in {infinite} of {n} questions")
        except _UnreadError as error:
            unread[name] = str(error)
            continue
        if logged is not None and not _equal(_value(form), logged):
            other.append(f"{name} {logged:.6g}, its samples {_value(form):.6g}")
        if isinstance(form, Summands):
            summands[name] = form
        else:
            means[name] = form
    for name, filtered_by in settings.values:
        if filtered_by == filter_name and name not in columns:
            unread[name] = "not in the samples"
    return LoggedMetrics(means, summands, unread, _notes(other, settings.documents, n, repeated=repeated))


def _notes(other: list[str], documents: int | None, n: int, *, repeated: bool) -> tuple[str, ...]:
    """In what the results file and the samples differ.

    With `--samples` lm_eval counts all documents of the task, though the numbers are of those that it ran: a count alone is no
    fault.
    """
    if other and documents is not None and documents > n:
        return (f"the results file counts {documents} documents, and the samples hold {n}",)
    return () if repeated else tuple(f"the results file says {text}" for text in other)


def _as_numbers(item: Any) -> Any:
    """A metric's value with the numbers that JSON lacks, which arrive as texts beside other numbers."""
    if type(item) is list and any(isinstance(part, int | float) for part in item):
        return [float(part) if part in _CONSTANTS else part for part in item]
    return item


def accuracy_names(names: Sequence[str], listed: Sequence[str] = ()) -> list[str]:
    """The metrics that say whether an answer is right, the one that counts first.

    Parameters
    ----------
    names : sequence of str
        The metrics that a log holds.
    listed : sequence of str
        Those of the task, in its own order.

    Examples
    --------
    >>> accuracy_names(["acc_norm", "acc", "f1"]), accuracy_names(["pass@5", "pass@1"]), accuracy_names(["rouge", "bleu_acc"])
    (['acc', 'acc_norm'], ['pass@1', 'pass@5'], ['bleu_acc'])
    """
    own = {name: place for place, name in enumerate([*listed, *names])}

    def order(name: str) -> tuple[int, int, int]:
        tries = _PASS.fullmatch(name)
        return (
            ACCURACY.index(name) if name in ACCURACY else len(ACCURACY),
            int(tries[1]) if tries else 0,
            own[name],
        )

    return sorted((name for name in names if _LIKE_ACCURACY.fullmatch(name)), key=order)


class _UnreadError(Exception):
    """Why a metric cannot be computed for a set of questions."""


def _form(aggregation: str, values: Sequence[Any], options: Options | None, logged: float | None) -> Floats | Summands:
    """Values of a mean, or the summands of another function: the one that gives the harness's number, if one does."""
    if aggregation == "bypass":
        raise _UnreadError("lm_eval does not aggregate it")
    if aggregation == "median":
        raise _UnreadError("lm_eval's median is another function in another release")
    if all(item is None for item in values):
        raise _UnreadError("not in the samples")
    numbers = to_numbers(values)
    named = _named_form(aggregation, values, numbers, options)
    if named is not None and (logged is None or _equal(_value(named), logged)):
        return named
    if logged is not None:
        for form in _candidates(values, numbers):
            if _equal(_value(form), logged):
                return form
    if named is not None:
        return named
    # Without a number of the harness nothing tells which function it is; lm_eval takes the mean where a task names none.
    if logged is None and numbers is not None and aggregation in _AGGREGATIONS_OF_SUMS:
        return numbers
    raise _UnreadError("the task aggregates it by a function of its own")


def _named_form(
    aggregation: str, values: Sequence[Any], numbers: Floats | None, options: Options | None
) -> Floats | Summands | None:
    """The form of an aggregation of lm_eval; None for another one, or where the values are not of its kind."""
    if aggregation == "brier_score" and options is not None:
        return brier_score(options.logprobs, options.gold)
    if aggregation in _MEANS and numbers is not None:
        return numbers
    if aggregation == "perplexity" and numbers is not None:
        return of_numbers("perplexity", numbers)
    if aggregation in _WEIGHTED and _are_weighted(values):
        return of_weighted(cast(Aggregation, aggregation), values)
    if aggregation in OF_CLASSES and _are_pairs(values, (int, str)):
        gold, predicted = zip(*values, strict=True)
        with suppress(ValueError):
            return of_classes(aggregation, gold, predicted) if _has_f1(aggregation, values) else None
    if aggregation in OF_TEXTS and _are_texts(values):
        return _corpus(aggregation, values)
    return None


def _candidates(values: Sequence[Any], numbers: Floats | None) -> Iterator[Floats | Summands]:
    """What a task's own function may be: a mean, without those that stand for none, of all parts, or of classes."""
    if numbers is not None:
        yield numbers
        yield np.where(numbers == -1, np.nan, numbers)
        yield 100 * numbers
        return
    if all(isinstance(item, list) and all(isinstance(part, int | float) for part in item) for item in values):
        yield of_weighted("mean", [[math.fsum(item), len(item)] for item in values])
    if _are_weighted(values):
        yield from (of_weighted(cast(Aggregation, name), values) for name in _WEIGHTED)
    if _are_pairs(values, (int, str)):
        gold, predicted = zip(*values, strict=True)
        yield np.array([float(g == p) for g, p in values])
        with suppress(ValueError):  # texts
            yield from (of_classes(name, gold, predicted) for name in OF_CLASSES if _has_f1(name, values))
    if all(_is_pair_of_sets(item) for item in values):
        gold, predicted = zip(*values, strict=True)
        with suppress(ValueError):
            yield from (of_sets(name, gold, predicted) for name in OF_SETS)


def _is_pair_of_sets(item: Any) -> bool:
    return (
        isinstance(item, list)
        and len(item) == 2
        and all(isinstance(side, list) and all(isinstance(label, str) for label in side) for side in item)
    )


def _has_f1(aggregation: str, values: Sequence[Any]) -> bool:
    """Whether pairs of classes have the metric: F1 is that of the class 1 against 0."""
    return aggregation != "f1" or {item for pair in values for item in pair} <= {0, 1}


def _corpus(aggregation: Aggregation, values: Sequence[Any]) -> Summands:
    texts = [text[0] if isinstance(text, list) else text for _, text in values]
    try:
        return of_texts(aggregation, [references for references, _ in values], texts)
    except ImportError:
        raise _UnreadError("it needs sacrebleu: pip install sacrebleu") from None


def to_numbers(values: Sequence[Any]) -> Floats | None:
    """Values as numbers, None as NaN; None where one is something else.

    Examples
    --------
    >>> to_numbers([1, None, "0.5"]), to_numbers([[1, 2]])
    (array([1. , nan, 0.5]), None)
    """
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.ndim == 1 else None


def _are_pairs(values: Sequence[Any], types: tuple[type, ...]) -> bool:
    return len(values) > 0 and all(
        isinstance(item, list) and len(item) == 2 and all(isinstance(part, types) for part in item) for item in values
    )


def _are_weighted(values: Sequence[Any]) -> bool:
    return _are_pairs(values, (int, float)) and all(item[1] > 0 for item in values)


def _are_texts(values: Sequence[Any]) -> bool:
    def text(item: Any) -> bool:
        return isinstance(item, str) or (
            isinstance(item, list) and bool(item) and all(isinstance(part, str) for part in item)
        )

    return len(values) > 0 and all(
        isinstance(item, list) and len(item) == 2 and all(map(text, item)) for item in values
    )


def _value(form: Floats | Summands) -> float:
    """The metric over all questions."""
    if isinstance(form, Summands):
        return form.value
    finite = form[np.isfinite(form)]
    return math.fsum(finite) / len(finite) if len(finite) else math.nan


def _equal(value: float, logged: float) -> bool:
    return math.isclose(value, logged, rel_tol=_CLOSE, abs_tol=_CLOSE)
