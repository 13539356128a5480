"""Metrics of a whole task from what each question adds to them: perplexities, F1, Matthews' correlation, BLEU.

Each is a function of sums over questions, so that it can be computed for any set of them, and its interval by leaving out
one after the other. The names of the aggregations are those of lm_eval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from consistency.support.arrays import Floats, Integers

Aggregation = Literal[
    "mean",
    "perplexity",
    "weighted_perplexity",
    "bits_per_byte",
    "f1",
    "macro_f1",
    "weighted_f1",
    "matthews_corrcoef",
    "micro_f1_of_sets",
    "macro_f1_of_sets",
    "bleu",
    "chrf",
    "ter",
]
# Of pairs of a gold and a predicted class, of sets of labels, and of a reference and a generated text.
OF_CLASSES: tuple[Aggregation, ...] = ("f1", "macro_f1", "weighted_f1", "matthews_corrcoef")
OF_SETS: tuple[Aggregation, ...] = ("micro_f1_of_sets", "macro_f1_of_sets")
OF_TEXTS: tuple[Aggregation, ...] = ("bleu", "chrf", "ter")


_MOST_LABELS = 200


@dataclass(frozen=True, eq=False)
class Summands:
    """What each question adds to a metric of its task.

    Attributes
    ----------
    aggregation : str
        How the sums become the metric.
    values : ndarray of float64, shape [n, p]
        A row a question, of numbers that are summed over the questions. A row of NaN does not enter.
    """

    aggregation: Aggregation
    values: Floats

    def __len__(self) -> int:
        return len(self.values)

    def take(self, rows: Integers) -> Summands:
        """Those of some questions."""
        return Summands(self.aggregation, self.values[rows])

    def of_sums(self, sums: Floats) -> Floats:
        """The metric of sums over questions, shape [..., p]; NaN where it is not defined. Shape [...].

        Examples
        --------
        >>> per_word = Summands("weighted_perplexity", np.array([[-4.0, 2.0], [-2.0, 4.0]]))
        >>> round(float(per_word.of_sums(per_word.values.sum(axis=0))), 6) == round(math.e, 6)
        True
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            return np.asarray(_FINISH[self.aggregation](sums), dtype=np.float64)

    @property
    def value(self) -> float:
        """The metric over all questions; NaN where it is not defined."""
        finite = self.values[np.isfinite(self.values).all(axis=1)]
        # As lm_eval adds up: one after the other, not pairwise.
        return float(self.of_sums(np.array([math.fsum(column) for column in finite.T]))) if len(finite) else math.nan


def of_numbers(aggregation: Aggregation, values: ArrayLike) -> Summands:
    """Summands of a mean, or of a perplexity from log-likelihoods.

    Parameters
    ----------
    aggregation : {"mean", "perplexity"}
    values : array_like, shape [n]

    Examples
    --------
    >>> round(of_numbers("perplexity", [0.0, -math.log(4)]).value, 6)
    2.0
    """
    x = np.asarray(values, dtype=np.float64)
    return Summands(aggregation, np.column_stack([x, np.where(np.isnan(x), np.nan, 1.0)]))


def of_weighted(aggregation: Aggregation, values: ArrayLike) -> Summands:
    """Summands of a metric per word or byte.

    Parameters
    ----------
    aggregation : {"mean", "weighted_perplexity", "bits_per_byte"}
    values : array_like, shape [n, 2]
        The log-likelihood of each document in nats, and its number of words or bytes.

    Examples
    --------
    >>> round(of_weighted("bits_per_byte", [[-math.log(2) * 3, 3]]).value, 6)
    1.0
    """
    return Summands(aggregation, np.asarray(values, dtype=np.float64).reshape(-1, 2))


def of_classes(aggregation: Aggregation, gold: Sequence[Hashable], predicted: Sequence[Hashable]) -> Summands:
    """Summands of a metric of gold and predicted classes.

    Parameters
    ----------
    aggregation : {"f1", "macro_f1", "weighted_f1", "matthews_corrcoef"}
        F1 is that of the class 1, as in lm_eval.
    gold, predicted : sequence, length n
        For F1 only 0 and 1.

    Raises
    ------
    ValueError
        For more than 200 classes: texts, not classes.

    Examples
    --------
    >>> of_classes("f1", [1, 0, 1], [1, 1, 1]).value
    0.8
    """
    classes = [0, 1] if aggregation == "f1" else sorted({*gold, *predicted}, key=lambda x: (str(type(x)), str(x)))
    return _of_labels(aggregation, classes, [(one,) for one in gold], [(one,) for one in predicted])


def of_sets(
    aggregation: Aggregation, gold: Sequence[Collection[str]], predicted: Sequence[Collection[str]]
) -> Summands:
    """Summands of F1 over labels, of which a question may have several.

    Parameters
    ----------
    aggregation : {"micro_f1_of_sets", "macro_f1_of_sets"}
        Over all labels together, or the mean of the labels' F1.
    gold, predicted : sequence of collection of str, length n

    Raises
    ------
    ValueError
        For more than 200 labels.

    Examples
    --------
    >>> of_sets("micro_f1_of_sets", [["a"], ["a", "b"]], [["a"], ["b", "c"]]).value == 2 * 2 / (3 + 3)
    True
    """
    labels = sorted({label for sets in (gold, predicted) for found in sets for label in found})
    return _of_labels(aggregation, labels, gold, predicted)


def _of_labels(
    aggregation: Aggregation,
    labels: Sequence[Hashable],
    gold: Sequence[Collection[Hashable]],
    predicted: Sequence[Collection[Hashable]],
) -> Summands:
    """For each question and label: whether it is both, gold, and predicted."""
    if len(labels) > _MOST_LABELS:
        raise ValueError(f"{len(labels)} classes, more than {_MOST_LABELS}")
    number = {label: place for place, label in enumerate(labels)}
    values = np.zeros((len(gold), len(labels), 3))
    for row, sides in enumerate(zip(gold, predicted, strict=True)):
        for side, found in enumerate(sides, start=1):
            values[row, [number[label] for label in found], side] = 1
    values[:, :, 0] = values[:, :, 1] * values[:, :, 2]
    return Summands(aggregation, values.reshape(len(gold), -1))


def of_texts(aggregation: Aggregation, references: Sequence[Any], texts: Sequence[str]) -> Summands:
    """Summands of a metric of a corpus of texts, by sacrebleu.

    Parameters
    ----------
    aggregation : {"bleu", "chrf", "ter"}
    references : sequence of str or list of str, length n
        Of each question as many as every question has, as lm_eval takes them.
    texts : sequence of str, length n

    Raises
    ------
    ImportError
        If sacrebleu is not installed.
    """
    metric = _sacrebleu(aggregation)
    listed = [[item] if isinstance(item, str) else item for item in references]
    sums = metric._extract_corpus_statistics(list(texts), [list(column) for column in zip(*listed, strict=False)])
    return Summands(aggregation, np.asarray(sums, dtype=np.float64))


def _sacrebleu(aggregation: Aggregation) -> Any:
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    makers: dict[str, Any] = {"bleu": BLEU, "chrf": CHRF, "ter": TER}
    return makers[aggregation]()


def _ratio(sums: Floats) -> Floats:
    return np.asarray(sums[..., 0] / sums[..., 1])


def _counts(sums: Floats) -> tuple[Floats, Floats, Floats]:
    """By label: how often it is both, gold, and predicted."""
    right, gold, predicted = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 3), -1, 0)
    return right, gold, predicted


def _f1_of(right: Floats, total: Floats) -> Floats:
    """F1 from gold and predicted ones together; 0 where there are none."""
    return np.where(total > 0, 2 * right / np.where(total > 0, total, 1.0), 0.0)


def _f1(sums: Floats) -> Floats:
    right, gold, predicted = _counts(sums)
    return _f1_of(right, gold + predicted)[..., 1]


def _micro_f1(sums: Floats) -> Floats:
    right, gold, predicted = (counts.sum(axis=-1) for counts in _counts(sums))
    return _f1_of(right, gold + predicted)


def _macro_f1(sums: Floats) -> Floats:
    right, gold, predicted = _counts(sums)
    occurs = gold + predicted > 0
    return np.asarray(_f1_of(right, gold + predicted).sum(axis=-1) / np.maximum(occurs.sum(axis=-1), 1))


def _weighted_f1(sums: Floats) -> Floats:
    right, gold, predicted = _counts(sums)
    return np.asarray((_f1_of(right, gold + predicted) * gold).sum(axis=-1) / gold.sum(axis=-1))


def _matthews(sums: Floats) -> Floats:
    """Gorodkin (2004), Comparing two K-category assignments by a K-category correlation coefficient; 0 where undefined."""
    right, gold, predicted = _counts(sums)
    n = gold.sum(axis=-1)
    covariance = right.sum(axis=-1) * n - (gold * predicted).sum(axis=-1)
    spread = (n**2 - (gold**2).sum(axis=-1)) * (n**2 - (predicted**2).sum(axis=-1))
    return np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0)


def _by_sacrebleu(aggregation: Aggregation) -> Callable[[Floats], Floats]:
    def finish(sums: Floats) -> Floats:
        metric, rows = _sacrebleu(aggregation), sums.reshape(-1, sums.shape[-1])
        as_counts = rows if aggregation == "ter" else np.rint(rows).astype(np.int64)
        scores = [metric._compute_score_from_stats(row.tolist()).score for row in as_counts]
        return np.array(scores).reshape(sums.shape[:-1])

    return finish


_FINISH: dict[Aggregation, Callable[[Floats], Any]] = {
    "mean": _ratio,
    "perplexity": lambda sums: np.exp(-_ratio(sums)),
    "weighted_perplexity": lambda sums: np.exp(-_ratio(sums)),
    "bits_per_byte": lambda sums: -_ratio(sums) / math.log(2),
    "f1": _f1,
    "macro_f1": _macro_f1,
    "weighted_f1": _weighted_f1,
    "matthews_corrcoef": _matthews,
    "micro_f1_of_sets": _micro_f1,
    "macro_f1_of_sets": _macro_f1,
    **{name: _by_sacrebleu(name) for name in OF_TEXTS},
}
