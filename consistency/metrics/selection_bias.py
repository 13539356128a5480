"""Selection bias: whether answers show knowledge, or a preference for an option's letter or place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

# A quarter of the answers, half of that with one option, of so many questions that chance alone moves less than a tenth on
# average (random answers to 60 questions of two options: .05; to 80 of four: .08).
MIN_BIAS = 0.25
MIN_QUESTIONS, MIN_QUESTIONS_PER_OPTION = 60, 20


@dataclass(frozen=True)
class SelectionBias:
    """A set of answers that favours an option.

    Attributes
    ----------
    answers_of, option : str
        Whose answers to what they are; and the letter of the option, or its number from 1 where there are more options than
        letters.
    answered, gold : float
        The share of the answers that are this option, and of the questions in which it is right.
    bias : float
        The share of the answers that would have to be other options for there to be none, from 0 to 1.
    alike, of : int
        Of how many sets of answers that were looked at, how many favour an option by themselves.
    """

    answers_of: str
    option: str
    answered: float
    gold: float
    bias: float
    alike: int
    of: int
    kind: str = "selection bias"

    def to_text(self) -> str:
        """A sentence for readers."""
        more = f"; {self.alike} of {self.of} sets of answers favour an option by themselves" if self.of > 1 else ""
        return (
            f"{self.answers_of}: {100 * self.answered:.1f} % of the answers are option {self.option}, which is the gold "
            f"option in {100 * self.gold:.1f} %: what looks like knowledge, or like its lack, may be selection bias{more}"
        )


class OptionCounts:
    """How often each option, A first, is answered, is gold, and would be answered without selection bias.

    A model without it, of the same accuracy in each task, gives right answers that spread over the options as the gold
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
    >>> found.favours_an_option, found.describe("all").option
    (True, 'C')
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
            Index of the gold option; a question with -1, for none, is left out.
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
        if n < MIN_QUESTIONS or n * n < MIN_QUESTIONS_PER_OPTION * self.offered:
            return 0.0
        return sum(abs(self.surplus(option)) for option in self.expected) / (2 * n)

    @property
    def favours_an_option(self) -> bool:
        """Whether at least a quarter of the answers would have to be others (`bias`), half of those with one option."""
        # As sums of floats the bounds themselves may come out a little lower.
        if self.bias < MIN_BIAS - 1e-9:
            return False
        return self.surplus(self._most) >= MIN_BIAS / 2 * self.gold.total() - 1e-9

    @property
    def _most(self) -> int:
        return max(self.expected, key=self.surplus)

    def describe(self, answers_of: str, alike: int = 0, of: int = 1) -> SelectionBias:
        """The option that is answered too often the most, and how often.

        Parameters
        ----------
        answers_of : str
            Whose answers to what were counted.
        alike, of : int
            How many sets of answers favour an option by themselves, of how many.

        Returns
        -------
        SelectionBias
        """
        n, most = self.gold.total(), self._most
        letter = ascii_uppercase[most] if most < len(ascii_uppercase) else str(most + 1)
        return SelectionBias(answers_of, letter, self.answers[most] / n, self.gold[most] / n, self.bias, alike, of)


def strongest_bias(counts: Mapping[str, OptionCounts]) -> SelectionBias | None:
    """The set of answers that favours an option the most, or None if none favours an option.

    Parameters
    ----------
    counts : mapping of str to OptionCounts
        By whose answers to what they are.

    Examples
    --------
    >>> found = OptionCounts()
    >>> found.add_task(np.eye(2)[[0] * 60], np.array([0, 1] * 30))
    >>> bias = strongest_bias({"yes or no": found})
    >>> bias.option, bias.answered, bias.gold
    ('A', 1.0, 0.5)
    """
    favour = [name for name, found in counts.items() if found.favours_an_option]
    if not favour:
        return None
    most = max(favour, key=lambda name: counts[name].bias)
    return counts[most].describe(most, len(favour), len(counts))
