"""Selection bias: how often each option is answered, beside what knowledge alone would give."""

from __future__ import annotations

from collections.abc import Iterable
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from consistency.support.arrays import Bools, Floats, Integers

# A quarter of the answers, half of that with one option, of so many questions that chance alone moves less than a tenth on
# average (random answers to 60 questions of two options: .05; to 80 of four: .08).
MIN_BIAS = 0.25
MIN_QUESTIONS, MIN_QUESTIONS_PER_OPTION = 60, 20
# This share of the answers must be the same under other names of the options for these to count as exchanged; options with a
# smaller share of the answers than the second number do not tell.
_EXCHANGED, _RARE = 0.8, 0.02


def option_name(option: int) -> str:
    """The letter of an option, or its number from 1 where there are more options than letters.

    Examples
    --------
    >>> option_name(2), option_name(26)
    ('C', '27')
    """
    return ascii_uppercase[option] if option < len(ascii_uppercase) else str(option + 1)


class OptionCounts:
    """How often each option, A first, is answered, is gold, and would be answered without selection bias.

    A model without it, of the same accuracy in each task, gives right answers that spread over the options as the gold
    ones do, and wrong ones that spread evenly over the wrong options of each question. The name is that of Zheng et al.,
    Large language models are not robust multiple choice selectors, 2024; the measure is this project's.

    Attributes
    ----------
    answers, gold, right : ndarray of float64, shape [k]
        Questions by the option that is answered, that is gold, and that is both.
    expected, expected_right : ndarray of float64, shape [k]
        Answers and right answers by option, of a model without selection bias.
    covariance : ndarray of float64, shape [k, k]
        Of such a model's answers by option: which questions are right is a random choice of so many of the task's, and the
        wrong answers are random.
    squares : ndarray of float64, shape [k, k]
        Sum of the squares of what each question adds to `surplus`, as outer products.
    offered : int
        Options of all questions together.

    Examples
    --------
    >>> found = OptionCounts()
    >>> found.add_task(np.eye(4)[[2, 2, 2, 0] * 25], np.array([0, 1, 2, 3] * 25))
    >>> found.favours_an_option, option_name(found.most)
    (True, 'C')
    """

    def __init__(self) -> None:
        none = np.zeros(0)
        self.answers = self.gold = self.right = self.expected = self.expected_right = none
        self.covariance = self.squares = np.zeros((0, 0))
        self.offered = 0

    @classmethod
    def pooled(cls, parts: Iterable[OptionCounts]) -> OptionCounts:
        """The counts of several sets of tasks together.

        Examples
        --------
        >>> half = OptionCounts()
        >>> half.add_task(np.eye(2)[[0] * 30], np.array([0, 1] * 15))
        >>> OptionCounts.pooled([half, half]).answers.tolist()
        [60.0, 0.0]
        """
        found = cls()
        for part in parts:
            found._add(part)
        return found

    def _add(self, other: OptionCounts) -> None:
        for name in ("answers", "gold", "right", "expected", "expected_right", "covariance", "squares"):
            setattr(self, name, _sum(getattr(self, name), getattr(other, name)))
        self.offered += other.offered

    def add_task(self, probs: NDArray[np.float64], gold: NDArray[np.int64]) -> None:
        """Count the questions of one task, which have one accuracy.

        Parameters
        ----------
        probs : ndarray of float64, shape [n, k]
            Probabilities of the options, NaN-padded. A question whose highest one is shared is left out: it has no answer.
        gold : ndarray of int64, shape [n]
            Index of the gold option; a question with -1, for none, is left out.
        """
        self._add_answers(*_answered(probs, gold), gold, ~np.isnan(probs))

    def _add_answers(self, use: Bools, answers: Integers, gold: Integers, options: Bools) -> None:
        if not use.any():
            return
        answers, gold, options = answers[use], gold[use], options[use]
        n, k = options.shape
        is_gold, evenly = _gold_and_wrong(options, gold)
        is_right = answers == gold
        right = float(is_right.sum())
        share = right / n
        task = OptionCounts()
        task.offered = int(options.sum())
        task.answers = np.bincount(answers, minlength=k).astype(np.float64)
        task.gold = is_gold.sum(axis=0)
        task.right = np.bincount(gold[is_right], minlength=k).astype(np.float64)
        by_chance = evenly.sum(axis=0)
        task.expected = share * task.gold + (1 - share) * by_chance
        task.expected_right = share * task.gold
        # A right answer puts one on the gold option instead of evenly on the others.
        moves = np.subtract(is_gold, evenly, out=is_gold)
        added = np.eye(k)[answers] - evenly - share * moves - (is_right[:, None] - share) * moves.mean(axis=0)
        task.squares = added.T @ added
        moves -= moves.mean(axis=0)
        chosen = right * (n - right) / (n * (n - 1)) if n > 1 else 0.0
        task.covariance = chosen * moves.T @ moves + (1 - share) * (np.diag(by_chance) - evenly.T @ evenly)
        self._add(task)

    @property
    def n(self) -> int:
        """The number of questions."""
        return int(self.gold.sum())

    @property
    def surplus(self) -> Floats:
        """Questions answered with each option, less those that a model without selection bias would answer so."""
        return np.asarray(self.answers - self.expected)

    @property
    def distance(self) -> float:
        """The total variation distance from the expected answers, 0 to 1: the share of answers that would have to be others.

        0 without questions. Chance alone makes it positive, the more so the fewer questions there are.
        """
        return float(np.abs(self.surplus).sum() / (2 * self.n)) if self.n else 0.0

    @property
    def bias(self) -> float:
        """The `distance`; 0 for fewer than 60 questions, or than 20 for each of their options."""
        n = self.n
        return 0.0 if n < MIN_QUESTIONS or n * n < MIN_QUESTIONS_PER_OPTION * self.offered else self.distance

    @property
    def favours_an_option(self) -> bool:
        """Whether at least a quarter of the answers would have to be others (`bias`), half of those with one option."""
        # As sums of floats the bounds themselves may come out a little lower.
        return self.bias >= MIN_BIAS - 1e-9 and bool(self.surplus.max() >= MIN_BIAS / 2 * self.n - 1e-9)

    @property
    def most(self) -> int:
        """The option that is answered too often the most."""
        return int(self.surplus.argmax())


class OptionShift:
    """How the answers of two runs moved between options, beyond what a change of accuracy gives.

    Where a task's accuracy changed, a model without selection bias gives more or fewer answers that are gold, and this is
    taken out.

    Attributes
    ----------
    n : int
        Questions that both runs answer.
    moved : ndarray of float64, shape [k]
        Answers that each option won, less the lost ones.
    turns : ndarray of float64, shape [k, k]
        Questions by the option that is answered first, and by the one that is answered then.
    clustered : bool
        Whether questions with one label count together, in `squares` and `together`.

    Examples
    --------
    >>> shift, gold = OptionShift(), np.array([0, 1] * 10)
    >>> shift.add_task(np.eye(2)[gold], np.eye(2)[[0] * 20], gold)
    >>> shift.n, shift.moved.tolist()
    (20, [10.0, -10.0])
    """

    def __init__(self) -> None:
        self.n = 0
        self.moved = np.zeros(0)
        self.turns = np.zeros((0, 0))
        self.clustered = False
        self._squares = np.zeros((0, 0))
        # By label, whose questions may be in several tasks: how many, and the sum of their moves.
        self._clusters: dict[int, tuple[int, Floats]] = {}

    @classmethod
    def pooled(cls, parts: Iterable[OptionShift]) -> OptionShift:
        """The moves in several sets of tasks together."""
        found = cls()
        for part in parts:
            found._add(part)
        return found

    def _add(self, other: OptionShift) -> None:
        self.n += other.n
        self.clustered |= other.clustered
        for name in ("moved", "turns", "_squares"):
            setattr(self, name, _sum(getattr(self, name), getattr(other, name)))
        for label, (count, moves) in other._clusters.items():
            before, total = self._clusters.get(label, (0, 0 * moves))
            self._clusters[label] = before + count, _sum(total, moves)

    @property
    def squares(self) -> Floats:
        """Sum of the squares of each question's move, or of the sum of those of each cluster, as outer products [k, k].

        It is the covariance of `moved` if each of them might as well have been the reverse.
        """
        if not (self.clustered and self._clusters):
            return self._squares
        sums = np.zeros((len(self._clusters), len(self.moved)))
        for row, (_, moves) in enumerate(self._clusters.values()):
            sums[row, : len(moves)] = moves
        return np.asarray(sums.T @ sums)

    @property
    def together(self) -> float:
        """How many questions count as one: the size of a question's cluster, in the mean over questions."""
        if not (self.clustered and self._clusters):
            return 1.0
        return sum(count * count for count, _ in self._clusters.values()) / self.n

    def add_task(
        self,
        before: NDArray[np.float64],
        after: NDArray[np.float64],
        gold: NDArray[np.int64],
        clusters: Integers | None = None,
    ) -> None:
        """Count the questions of one task, with the options in one order.

        Parameters
        ----------
        before, after, gold : ndarray
            As in `OptionCounts.add_task`.
        clusters : ndarray of int64, shape [n], optional
            Labels of questions whose answers move together, the same in all tasks.
        """
        use_before, first = _answered(before, gold)
        use_after, second = _answered(after, gold)
        self._add_moves(use_before & use_after, first, second, gold, ~np.isnan(before), clusters)

    def _add_moves(
        self, use: Bools, first: Integers, second: Integers, gold: Integers, options: Bools, clusters: Integers | None
    ) -> None:
        if not use.any():
            return
        first, second, gold, options = first[use], second[use], gold[use], options[use]
        is_gold, evenly = _gold_and_wrong(options, gold)
        turned = first != second
        won = (second[turned] == gold[turned]) * 1.0 - (first[turned] == gold[turned])
        each = np.eye(options.shape[1])
        moves = each[second[turned]] - each[first[turned]] - won[:, None] * (is_gold - evenly).mean(axis=0)
        task = OptionShift()
        task.n, task.moved, task._squares = len(gold), moves.sum(axis=0), moves.T @ moves
        task.turns = np.zeros(2 * (options.shape[1],))
        np.add.at(task.turns, (first, second), 1)
        if clusters is not None:
            task.clustered = True
            labels, place, counts = np.unique(clusters[use], return_inverse=True, return_counts=True)
            sums = np.zeros((len(labels), moves.shape[1]))
            np.add.at(sums, place[turned], moves)
            task._clusters = dict(zip(labels.tolist(), zip(counts.tolist(), sums, strict=True), strict=True))
        self._add(task)

    @property
    def exchange(self) -> tuple[dict[str, str], float] | None:
        """Which option stands for which, where nearly all answers are the same but for that, and of what share of them.

        None elsewhere; also where answers to one option alone would look so.

        Examples
        --------
        >>> shift, gold = OptionShift(), np.array([0, 1] * 10)
        >>> shift.add_task(np.eye(2)[gold], np.eye(2)[1 - gold], gold)
        >>> shift.exchange
        ({'A': 'B', 'B': 'A'}, 1.0)
        """
        if self.n < MIN_QUESTIONS_PER_OPTION:
            return None
        share = self.turns / self.n
        before = np.flatnonzero(share.sum(axis=1) >= _RARE)
        after = share[before].argmax(axis=1)
        by_chance = np.outer(share.sum(axis=1), share.sum(axis=0))
        alike, expected = (float(each[before, after].sum()) for each in (share, by_chance))
        # Nor are the answers as much alike under the same letters.
        expected = max(expected, float(np.trace(share)))
        is_one_to_one = len(np.unique(after)) == len(after)
        if not is_one_to_one or alike < _EXCHANGED or alike - expected < _EXCHANGED / 2:
            return None
        names = (map(option_name, side.tolist()) for side in (before, after))
        return dict(zip(*names, strict=True)), alike


def count_both(
    before: Floats, after: Floats, gold: Integers, reordered: Bools, clusters: Integers | None = None
) -> tuple[OptionCounts, OptionCounts, OptionShift]:
    """The counts of two runs of one task, and the moves between them.

    Parameters
    ----------
    before, after, gold : ndarray
        As in `OptionShift.add_task`.
    reordered : ndarray of bool, shape [n]
        Questions whose options the second run saw in another order: it does not count there.
    clusters : ndarray of int64, shape [n], optional
        Labels of questions whose answers move together, the same in all tasks.

    Examples
    --------
    >>> gold = np.array([0, 1] * 10)
    >>> before, after, shift = count_both(np.eye(2)[gold], np.eye(2)[[0] * 20], gold, np.zeros(20, dtype=bool))
    >>> before.answers.tolist(), after.answers.tolist(), shift.moved.tolist()
    ([10.0, 10.0], [20.0, 0.0], [10.0, -10.0])
    """
    counts = OptionCounts(), OptionCounts()
    shift = OptionShift()
    (use, first), offered = _answered(before, gold), ~np.isnan(before)
    (use_after, second), offered_after = _answered(after, gold), ~np.isnan(after)
    # The probabilities of many questions are as large as what follows.
    del before, after
    use_after &= ~reordered
    counts[0]._add_answers(use, first, gold, offered)
    counts[1]._add_answers(use_after, second, gold, offered_after)
    shift._add_moves(use & use_after, first, second, gold, offered, clusters)
    return *counts, shift


def _answered(probs: Floats, gold: Integers) -> tuple[Bools, Integers]:
    """Which questions have an answer and a gold option among several, and the answers."""
    options = ~np.isnan(probs)
    best = probs == np.fmax.reduce(probs, axis=1, initial=0.0, keepdims=True)
    known = (gold >= 0) & options[np.arange(len(gold)), gold]
    return known & (best.sum(axis=1) == 1) & (options.sum(axis=1) > 1), best.argmax(axis=1)


def _gold_and_wrong(options: Bools, gold: Integers) -> tuple[Floats, Floats]:
    """1 for the gold option of each question, and a wrong answer spread evenly over its wrong options."""
    is_gold = np.eye(options.shape[1])[gold]
    wrong = options & (is_gold == 0)
    return is_gold, wrong / wrong.sum(axis=1, keepdims=True)


def _sum(first: Floats, second: Floats) -> Floats:
    """The sum of two arrays of which one may have fewer options."""
    if first.shape == second.shape:
        return np.asarray(first + second)
    total = np.zeros(np.maximum(first.shape, second.shape))
    for part in (first, second):
        total[tuple(slice(size) for size in part.shape)] += part
    return total
