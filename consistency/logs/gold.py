"""Which options are right, as a log tells it: by the targets that it names, else by the harness's own `acc`."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Hashable
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.metrics.distributions import top_option
from consistency.support.arrays import Bools, Floats


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
        # What is equal must be the same target to have one number: 1, 1.0 and True are not, and a list is no key.
        plain = set(map(type, targets)) in ({str}, {int})
        numbers = list(map(self._number.__getitem__, targets if plain else [(repr(target),) for target in targets]))
        if len(self._number) > len(self.values):
            self.values.update(zip(numbers, targets, strict=True))
        return numbers

    def index_masks(self, k: int) -> Bools:
        """Which of k options each target names by index, shape [number of targets, k]."""
        masks = np.zeros((len(self.values), k), dtype=bool)
        for number, target in self.values.items():
            for option in _as_indices(target):
                if 0 <= option < k:
                    masks[number, option] = True
        return masks


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


def _by_text(target: Any, texts: tuple[str, ...]) -> tuple[int, ...]:
    wanted = [target] if isinstance(target, str) else target if isinstance(target, list) else []
    options = [text.strip() for text in texts]
    return tuple(options.index(item.strip()) for item in wanted if isinstance(item, str) and item.strip() in options)


def gold_options(
    targets: Targets,
    target: NDArray[np.int64],
    continuations: tuple[tuple[str, ...], ...],
    logprobs: Floats,
    n_options: NDArray[np.int64],
    acc: Floats | None,
) -> tuple[Bools, int, int]:
    """Which options are right.

    A logged target is the index of an option or its text, and "1" may be either: the reading that agrees with the
    harness's own `acc` holds.

    Parameters
    ----------
    targets : Targets
    target : ndarray of int64, shape [n]
        Number of each question's target.
    continuations : tuple of tuple of str, length n
        The text scored for each option.
    logprobs : ndarray of float64, shape [n, k]
        NaN-padded.
    n_options : ndarray of int64, shape [n]
    acc : ndarray of float64, shape [n], or None
        The harness's own, where it was logged.

    Returns
    -------
    gold : ndarray of bool, shape [n, k]
    inferred, unknown : int
        For how many questions only `acc` told, and for how many nothing did.
    """
    rows, k = logprobs.shape
    prediction = logprobs.argmax(axis=1) if np.isfinite(logprobs).all() else top_option(logprobs)
    gold = targets.index_masks(k)[target]
    if n_options.min() < k:
        gold &= np.arange(k) < n_options[:, None]
    told = np.asarray(gold.any(axis=1))

    def disagreements(gold: Bools, told: Bools) -> int:
        if acc is None:
            return 0
        hit = gold[np.arange(rows), prediction]
        return int(np.count_nonzero(told & (prediction >= 0) & (hit != (acc == 1))))

    wrong = disagreements(gold, told)
    if wrong or not told.all():
        by_text = np.zeros((rows, k), dtype=bool)
        for row, (number, texts) in enumerate(zip(target.tolist(), continuations, strict=True)):
            # A task whose options are contexts scores one text throughout, and its target then names no option.
            if len(set(texts)) == len(texts):
                by_text[row, list(_by_text(targets.values[number], texts))] = True
        if wrong and disagreements(by_text, np.asarray(by_text.any(axis=1))) < wrong:
            gold, by_text = by_text, gold
        gold |= by_text & ~gold.any(axis=1, keepdims=True)
        told = np.asarray(gold.any(axis=1))
    if acc is None or told.all():
        return gold, 0, int((~told).sum())
    right = ~told & (acc == 1) & (prediction >= 0)
    other = ~told & (acc == 0) & (prediction >= 0) & (n_options == 2)
    gold[right, prediction[right]] = True
    gold[other, 1 - prediction[other]] = True
    return gold, int((right | other).sum()), int((~(told | right | other)).sum())
