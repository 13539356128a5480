"""Whether answers tell of knowledge, or of a liking for one of the options: for its letter or its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

# A quarter of the answers, of so many questions for each option that chance alone moves about a tenth.
NOTABLE = 0.25
FEWEST = 20
DOUBT = "what looks like knowledge may be a liking for that option"


@dataclass
class Letters:
    """How often each option, A first, is answered and is golden.

    Attributes
    ----------
    answers, gold : Counter of int
        Questions by the option's index.
    others : dict of int to float
        How often each option would be answered if all answers were wrong, and each wrong option as likely as another.
    right : int
        Right answers.

    Examples
    --------
    >>> found = Letters()
    >>> probs = np.eye(4)[[2, 2, 2, 0] * 25]
    >>> found.add(probs, np.array([0, 1, 2, 3] * 25))
    >>> found.preference()
    '75.0 % of the answers are option C, which is golden in 25.0 %'
    """

    answers: Counter[int] = field(default_factory=Counter)
    gold: Counter[int] = field(default_factory=Counter)
    others: dict[int, float] = field(default_factory=dict)
    right: int = 0

    def add(self, probs: NDArray[np.float64], gold: NDArray[np.int64]) -> None:
        """Count more questions.

        Parameters
        ----------
        probs : ndarray of float64, shape [n, k]
            Probabilities of the options, NaN-padded. A question whose highest one is shared is left out: it has no answer.
        gold : ndarray of int64, shape [n]
            Index of the golden option; a question with -1, for none, is left out.
        """
        options = ~np.isnan(probs)
        best = probs == np.fmax.reduce(probs, axis=1, initial=0.0, keepdims=True)
        use = (gold >= 0) & (best.sum(axis=1) == 1) & (options.sum(axis=1) > 1)
        answers, gold, options = best[use].argmax(axis=1), gold[use], options[use]
        self.right += int((answers == gold).sum())
        for counts, column in ((self.answers, answers), (self.gold, gold)):
            counts.update(dict(enumerate(np.bincount(column, minlength=options.shape[1]).tolist())))
        options[np.arange(len(gold)), gold] = False
        for option, share in enumerate((options / options.sum(axis=1, keepdims=True)).sum(axis=0).tolist()):
            self.others[option] = self.others.get(option, 0.0) + share

    def surplus(self, option: int) -> float:
        """Answers with an option less those that would be its own if wrong answers fell on the options alike."""
        right = self.right / self.gold.total()
        return self.answers[option] - right * self.gold[option] - (1 - right) * self.others[option]

    @property
    def moved(self) -> float:
        """The share of the answers that would have to be other options for the wrong ones to fall on the options alike.

        The total variation distance between both spreads of answers; 0 for fewer than 20 questions for each option.
        """
        n = self.gold.total()
        if n < FEWEST * max(1, len(self.others)):
            return 0.0
        return sum(abs(self.surplus(option)) for option in self.others) / (2 * n)

    def preference(self) -> str:
        """Say so where answers favour an option.

        Returns
        -------
        str
            Empty unless at least a quarter of the answers would have to be other options (`moved`).
        """
        if self.moved < NOTABLE:
            return ""
        n, most = self.gold.total(), max(self.others, key=self.surplus)
        name = ascii_uppercase[most] if most < len(ascii_uppercase) else str(most + 1)
        answers, gold = (100 * counts[most] / n for counts in (self.answers, self.gold))
        return f"{answers:.1f} % of the answers are option {name}, which is golden in {gold:.1f} %"


def liking(letters: Mapping[str, Letters]) -> str:
    """Say in which of several sets of answers an option is favoured, and name the one where it is the most.

    Parameters
    ----------
    letters : mapping of str to Letters
        By what the set of answers is called.

    Returns
    -------
    str
        Empty if none favours an option.

    Examples
    --------
    >>> found = Letters()
    >>> found.add(np.eye(2)[[0] * 60], np.array([0, 1] * 30))
    >>> liking({"yes or no": found}).split(": ")[:2]
    ['yes or no', '100.0 % of the answers are option A, which is golden in 50.0 %']
    """
    favour = [name for name, found in letters.items() if found.preference()]
    if not favour:
        return ""
    most = max(favour, key=lambda name: letters[name].moved)
    others = f"; and so in {len(favour) - 1} more of {len(letters)}" if len(favour) > 1 else ""
    return f"{most}: {letters[most].preference()}: {DOUBT}{others}"
