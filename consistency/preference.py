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
FEWEST = 25
DOUBT = "what looks like knowledge may be a liking for that option"


@dataclass
class Letters:
    """How often each option, A first, is answered and is golden.

    Attributes
    ----------
    answers, gold : Counter of int
        Questions by the option's index.

    Examples
    --------
    >>> found = Letters()
    >>> found.add(np.array([2, 2, 2, 0] * 25), np.array([0, 1, 2, 3] * 25))
    >>> found.preference()
    '75.0 % of the answers are option C, which is golden in 25.0 %'
    """

    answers: Counter[int] = field(default_factory=Counter)
    gold: Counter[int] = field(default_factory=Counter)

    def add(self, answers: NDArray[np.int64], gold: NDArray[np.int64]) -> None:
        """Count more questions.

        Parameters
        ----------
        answers, gold : ndarray of int64, shape [n]
            Indices of the options; a question with -1, for none, is left out.
        """
        both = (answers >= 0) & (gold >= 0)
        for counts, column in ((self.answers, answers), (self.gold, gold)):
            counts.update(dict(enumerate(np.bincount(column[both]).tolist())))

    @property
    def moved(self) -> float:
        """The share of the answers that would have to be other options for all to be as common as among the golden ones.

        The total variation distance between both; 0 for fewer than 25 questions for each option.
        """
        n, options = self.gold.total(), self.answers.keys() | self.gold.keys()
        if n < FEWEST * max(1, len(options)):
            return 0.0
        return sum(abs(self.answers[option] - self.gold[option]) for option in options) / (2 * n)

    def preference(self) -> str:
        """Say so where answers favour an option.

        Returns
        -------
        str
            Empty unless at least a quarter of the answers would have to be other options (`moved`).
        """
        if self.moved < NOTABLE:
            return ""
        n, most = self.gold.total(), max(self.answers, key=lambda option: self.answers[option] - self.gold[option])
        name = ascii_uppercase[most] if most < len(ascii_uppercase) else str(most + 1)
        answers, gold = (100 * counts[most] / n for counts in (self.answers, self.gold))
        return f"{answers:.1f} % of the answers are option {name}, which is golden in {gold:.1f} %"


def likings(models: Mapping[str, Mapping[str, Letters]]) -> list[str]:
    """A note for each base model some of whose evaluations, or of its tuned models', favour an option.

    Parameters
    ----------
    models : mapping of str to mapping of str to Letters
        By base model, and by what the evaluation is called.

    Returns
    -------
    list of str
    """
    notes = []
    for model, letters in models.items():
        favour = [name for name, found in letters.items() if found.preference()]
        if favour:
            most = max(favour, key=lambda name: letters[name].moved)
            notes.append(
                f"{model}: {len(favour)} of {len(letters)} evaluations favour an option, {most} the most: "
                f"{letters[most].preference()}: {DOUBT}"
            )
    return notes
