"""Selection bias: whether answers tell of knowledge, or of a preference for an option's letter or place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

# A quarter of the answers, half of that with one option, of so many questions that chance alone moves less than a tenth on
# average (random answers to 60 questions of two options: .05; to 80 of four: .08).
NOTABLE = 0.25
FEWEST, FEWEST_PER_OPTION = 60, 20
DOUBT = "what looks like knowledge, or like its lack, may be selection bias"


class OptionCounts:
    """How often each option, A first, is answered, is golden, and would be answered without selection bias.

    A model without it, of the same accuracy in each task, gives right answers that spread over the options as the golden
    ones do, and wrong ones that spread evenly over the wrong options of each question. The name is that of Zheng et al.,
    Large language models are not robust multiple choice selectors, 2024; the measure is this project's.

    Attributes
    ----------
    answers, gold : Counter of int
        Questions by the option's index.
    expected : dict of int to float
        Questions by the option's index, as a model without selection bias would answer them.
    offered : int
        Options of all questions together.

    Examples
    --------
    >>> found = OptionCounts()
    >>> found.add_task(np.eye(4)[[2, 2, 2, 0] * 25], np.array([0, 1, 2, 3] * 25))
    >>> found.preference()
    '75.0 % of the answers are option C, which is golden in 25.0 %'
    """

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.gold: Counter[int] = Counter()
        self.expected: dict[int, float] = {}
        self.offered = 0

    def add_task(self, probs: NDArray[np.float64], gold: NDArray[np.int64]) -> None:
        """Count the questions of one task, which have one accuracy.

        Parameters
        ----------
        probs : ndarray of float64, shape [n, k]
            Probabilities of the options, NaN-padded. A question whose highest one is shared is left out: it has no answer.
        gold : ndarray of int64, shape [n]
            Index of the golden option; a question with -1, for none, is left out.
        """
        options = ~np.isnan(probs)
        best = probs == np.fmax.reduce(probs, axis=1, initial=0.0, keepdims=True)
        known = (gold >= 0) & options[np.arange(len(gold)), gold]
        use = known & (best.sum(axis=1) == 1) & (options.sum(axis=1) > 1)
        if not use.any():
            return
        answers, gold, options = best[use].argmax(axis=1), gold[use], options[use]
        self.offered += int(options.sum())
        for counts, column in ((self.answers, answers), (self.gold, gold)):
            counts.update(column.tolist())
        right = (answers == gold).mean()
        chosen = np.eye(options.shape[1])[gold]
        wrong = options & (chosen == 0)
        spread = right * chosen + (1 - right) * wrong / wrong.sum(axis=1, keepdims=True)
        for option, share in enumerate(spread.sum(axis=0).tolist()):
            self.expected[option] = self.expected.get(option, 0.0) + share

    def surplus(self, option: int) -> float:
        """Questions answered with an option, less those that a model without selection bias would answer so."""
        return self.answers[option] - self.expected[option]

    @property
    def bias(self) -> float:
        """The share of the answers that would have to be other options for there to be no selection bias.

        The total variation distance from the expected answers, 0 to 1; 0 for fewer than 60 questions, or than 20 for each of
        their options.
        """
        n = self.gold.total()
        if n < FEWEST or n * n < FEWEST_PER_OPTION * self.offered:
            return 0.0
        return sum(abs(self.surplus(option)) for option in self.expected) / (2 * n)

    def preference(self) -> str:
        """Say so where answers favour an option.

        Returns
        -------
        str
            Empty unless at least a quarter of the answers would have to be others (`bias`), half of those with one option.
        """
        n, most = self.gold.total(), max(self.expected, key=self.surplus, default=0)
        # As sums of floats the bounds themselves may come out a little lower.
        if self.bias < NOTABLE - 1e-9 or self.surplus(most) < NOTABLE / 2 * n - 1e-9:
            return ""
        name = ascii_uppercase[most] if most < len(ascii_uppercase) else str(most + 1)
        answers, gold = (100 * counts[most] / n for counts in (self.answers, self.gold))
        return f"{answers:.1f} % of the answers are option {name}, which is golden in {gold:.1f} %"


def strongest_preference(counts: Mapping[str, OptionCounts]) -> str:
    """Name the set of answers that favours an option the most.

    Parameters
    ----------
    counts : mapping of str to OptionCounts
        By what the set of answers is called.

    Returns
    -------
    str
        Empty if none favours an option.

    Examples
    --------
    >>> found = OptionCounts()
    >>> found.add_task(np.eye(2)[[0] * 60], np.array([0, 1] * 30))
    >>> strongest_preference({"yes or no": found}).split(": ")[:2]
    ['yes or no', '100.0 % of the answers are option A, which is golden in 50.0 %']
    """
    favour = [name for name, found in counts.items() if found.preference()]
    if not favour:
        return ""
    most = max(favour, key=lambda name: counts[name].bias)
    others = f"; and so in {len(favour) - 1} more of {len(counts)}" if len(favour) > 1 else ""
    return f"{most}: {counts[most].preference()}: {DOUBT}{others}"
