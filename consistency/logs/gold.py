"""Which options are gold, from a log: those that its targets name, else what the harness's own `acc` implies."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from consistency.logs.documents import labelled_options
from consistency.metrics.distributions import top_option
from consistency.support.arrays import Bools, Floats, Integers


class Targets:
    """The distinct targets of a log, numbered as they appear; a log repeats few.

    Attributes
    ----------
    values : dict of int to object
        The targets by their numbers.

    Examples
    --------
    >>> targets = Targets()
    >>> targets.numbers(["1", "0", "1"]), targets.numbers(["2", "0"])
    ([0, 1, 0], [2, 1])
    """

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}
        self._number: defaultdict[Hashable, int] = defaultdict(count().__next__)

    def numbers(self, targets: list[Any]) -> list[int]:
        """The numbers of targets, new ones included."""
        # Targets that are equal in Python are not always the same: 1, 1.0 and True differ, and a list is not hashable.
        plain = set(map(type, targets)) in ({str}, {int})
        numbers = list(map(self._number.__getitem__, targets if plain else [(repr(target),) for target in targets]))
        if len(self._number) > len(self.values):
            self.values.update(zip(numbers, targets, strict=True))
        return numbers


@dataclass(frozen=True, eq=False)
class LoggedOptions:
    """What a log holds about the options of n questions, at most k each.

    Attributes
    ----------
    targets : Targets
        The distinct targets of the log.
    target : ndarray of int64, shape [n]
        Number of each question's target.
    continuations : sequence of tuple of str, length n
        The text scored for each option.
    logprobs : ndarray of float64, shape [n, k]
        NaN-padded.
    n_options : ndarray of int64, shape [n]
    acc : ndarray of float64, shape [n], or None
        The harness's own, where it was logged.
    documents : sequence of bytes, length n
        Each document as JSON.
    """

    targets: Targets
    target: Integers
    continuations: Sequence[tuple[str, ...]]
    logprobs: Floats
    n_options: Integers
    acc: Floats | None
    documents: Sequence[bytes]


@dataclass(frozen=True, eq=False)
class GoldOptions:
    """Which options are gold, and how often that could not be read from the targets.

    Attributes
    ----------
    gold : ndarray of bool, shape [n, k]
    inferred : int
        Questions whose gold option only `acc` implies.
    unknown : int
        Questions whose gold option the log does not give.
    """

    gold: Bools
    inferred: int
    unknown: int


def find_gold(options: LoggedOptions) -> GoldOptions:
    """The gold options of a log's questions.

    A logged target is the index of an option or its text, and "1" may be either: the reading that agrees better with
    the harness's own `acc` is taken. Where `acc` is a fraction, the answer is not one option: several may be gold, and only
    the labels in the documents say which (truthfulqa_mc2).

    Parameters
    ----------
    options : LoggedOptions
        Of n questions.

    Returns
    -------
    GoldOptions
    """
    logprobs, acc = options.logprobs, options.acc
    if acc is not None and not ((acc == 0) | (acc == 1) | ~np.isfinite(acc)).all():
        gold = _by_labels(options)
        return GoldOptions(gold, inferred=0, unknown=int((~gold.any(axis=1)).sum()))
    prediction = logprobs.argmax(axis=1) if np.isfinite(logprobs).all() else top_option(logprobs)
    gold = _by_index(options)
    known = np.asarray(gold.any(axis=1))
    wrong = _disagreements(gold, known, prediction, acc)
    if wrong or not known.all():
        by_text = _by_text(options)
        if wrong and _disagreements(by_text, np.asarray(by_text.any(axis=1)), prediction, acc) < wrong:
            gold, by_text = by_text, gold
        gold |= by_text & ~gold.any(axis=1, keepdims=True)
        known = np.asarray(gold.any(axis=1))
    if acc is None or known.all():
        return GoldOptions(gold, inferred=0, unknown=int((~known).sum()))
    # A right answer is the gold option; a wrong one leaves one option of two.
    right = ~known & (acc == 1) & (prediction >= 0)
    other = ~known & (acc == 0) & (prediction >= 0) & (options.n_options == 2)
    gold[right, prediction[right]] = True
    gold[other, 1 - prediction[other]] = True
    return GoldOptions(gold, inferred=int((right | other).sum()), unknown=int((~(known | right | other)).sum()))


def _disagreements(gold: Bools, known: Bools, prediction: Integers, acc: Floats | None) -> int:
    """For how many of the questions with known gold options `acc` contradicts them."""
    if acc is None:
        return 0
    hit = gold[np.arange(len(gold)), prediction]
    return int(np.count_nonzero(known & (prediction >= 0) & (hit != (acc == 1))))


def _by_index(options: LoggedOptions) -> Bools:
    """The options whose index the targets give, shape [n, k]."""
    k = options.logprobs.shape[1]
    masks = np.zeros((len(options.targets.values), k), dtype=bool)
    for number, target in options.targets.values.items():
        for option in _as_indices(target):
            if 0 <= option < k:
                masks[number, option] = True
    gold = masks[options.target]
    if options.n_options.min() < k:
        gold &= np.arange(k) < options.n_options[:, None]
    return gold


def _as_indices(target: Any) -> tuple[int, ...]:
    """Indices that a logged target names: 2, "2", [0, 2] or "[0, 2]"."""
    if isinstance(target, str):
        text = target.strip()
        if text.isascii() and text.isdigit() and len(text) < 10:
            return (int(text),)
        if not (text.startswith("[") and len(text) < 10_000):
            return ()
        try:
            target = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return ()
    if isinstance(target, bool):
        return ()
    if isinstance(target, float) and target.is_integer():
        target = int(target)
    if isinstance(target, int):
        return (target,)
    if isinstance(target, list) and all(type(item) is int for item in target):
        return tuple(target)
    return ()


def _by_labels(options: LoggedOptions) -> Bools:
    """The options that labels in the documents mark as right, shape [n, k]."""
    gold = np.zeros(options.logprobs.shape, dtype=bool)
    for row, (document, texts) in enumerate(zip(options.documents, options.continuations, strict=True)):
        wanted = labelled_options(document)
        stripped = tuple(text.strip() for text in texts)
        for choices, labels in wanted:
            if tuple(choice.strip() for choice in choices) == stripped:
                gold[row, : len(labels)] = labels
    return gold


def _by_text(options: LoggedOptions) -> Bools:
    """The options whose text the targets give, shape [n, k]."""
    gold = np.zeros(options.logprobs.shape, dtype=bool)
    for row, (number, texts) in enumerate(zip(options.target.tolist(), options.continuations, strict=True)):
        # A task whose options are contexts scores one text throughout, and its target then names no option.
        if len(set(texts)) < len(texts):
            continue
        target = options.targets.values[number]
        wanted = [target] if isinstance(target, str) else target if isinstance(target, list) else []
        stripped = [text.strip() for text in texts]
        named = [item.strip() for item in wanted if isinstance(item, str)]
        gold[row, [stripped.index(item) for item in named if item in stripped]] = True
    return gold
