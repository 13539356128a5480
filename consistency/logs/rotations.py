"""Every question once per cyclic rotation of its options, and the rotations folded back into one distribution.

A model that likes the letter A gains on every question whose right option stands there. Over all rotations each option
stands once behind each letter, so that a preference for letters and a preference for options can be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from consistency.errors import InputError
from consistency.logs.scores import Scores
from consistency.metrics.distributions import log_probabilities
from consistency.tasks.prompts import LETTERS


class _Document(msgspec.Struct):
    id: int | str
    rotation: int


@dataclass(frozen=True, eq=False)
class Folded:
    """One option distribution per question, and the preference for letters that was taken out of it.

    Attributes
    ----------
    scores : Scores
        A row a question, options in the order of the file. A log-probability is the mean over the rotations of the
        option's log-probability, normalised again: a preference that adds a constant to a letter, whatever option
        stands there, drops out exactly.
    letters : ndarray of float64, shape [n, k]
        The distribution over letters, likewise with the options averaged out. NaN-padded; uniform for a model without
        a preference.
    asked : Scores
        The unrotated questions as they were answered, row by row those of `scores`.
    incomplete : int
        Questions left out because the log lacks some of their rotations, as at the end of a `--limit`.
    """

    scores: Scores
    letters: NDArray[np.float64]
    asked: Scores
    incomplete: int

    @property
    def bias(self) -> NDArray[np.float64]:
        """Position bias of each question in nats: KL(letters ‖ uniform), from 0 to ln k. Shape [n]."""
        p = self.letters
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.nansum(np.where(p > 0, p * np.log(p), 0.0), axis=1)
        total = np.log(self.scores.n_options) - entropy
        return np.where(np.isnan(p).all(axis=1), np.nan, np.maximum(total, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Figures of the task: sizes, and over the questions that have scores accuracy before and after, and the bias."""
        scored = ~np.isnan(self.letters).all(axis=1)
        figures = {
            "accuracy_asked": self.asked.correct,
            "accuracy_folded": self.scores.correct,
            "changed_answers": self.asked.prediction != self.scores.prediction,
            "position_bias_nats": self.bias,
        }
        return {
            "task": self.scores.task,
            "questions": len(self.scores),
            "incomplete": self.incomplete,
            "unscored": int((~scored).sum()),
            **{name: float(values[scored].mean()) if scored.any() else None for name, values in figures.items()},
            "letters": {
                str(count): dict(zip(LETTERS, self.letters[rows, :count].mean(axis=0).tolist(), strict=False))
                for count in np.unique(self.scores.n_options[scored]).tolist()
                for rows in [scored & (self.scores.n_options == count)]
            },
        }

    def to_text(self) -> str:
        """The same in a few lines."""
        figures = self.to_dict()
        lines = [f"{figures['task']}: {figures['questions']} questions"]
        for key, name in {"incomplete": "without all rotations, left out", "unscored": "without scores"}.items():
            if figures[key]:
                lines.append(f"  {name:<34}{figures[key]}")
        shown = {
            "accuracy_asked": "accuracy as asked",
            "accuracy_folded": "accuracy over all rotations",
            "changed_answers": "answers that change",
            "position_bias_nats": "position bias, nats",
        }
        for key, name in shown.items():
            lines.append(f"  {name:<34}{'undefined' if figures[key] is None else format(figures[key], '.4f')}")
        for count, letters in figures["letters"].items():
            shares = " ".join(f"{letter} {share:.3f}" for letter, share in letters.items())
            lines.append(f"  {f'letters of {count} options':<34}{shares}")
        return "\n".join(lines)


def fold_rotations(scores: Scores) -> Folded:
    """Fold the rotations of each question into one distribution over its options.

    Parameters
    ----------
    scores : Scores
        The log of a task whose documents `rotate` made.

    Returns
    -------
    Folded

    Raises
    ------
    InputError
        If a document has no rotation, a rotation stands there twice, or no question has all of them.
    """
    rows_of: dict[int | str, dict[int, int]] = {}
    for row, document in enumerate(scores.documents):
        try:
            found = msgspec.json.decode(document, type=_Document)
        except msgspec.DecodeError as error:
            raise InputError(
                f"document {int(scores.doc_id[row])} of {scores.task}: {error}",
                expected="the fields id and rotation",
                do="run a task whose name has _cyclic",
                path=scores.source,
                line=scores.line(row),
            ) from error
        rotations = rows_of.setdefault(found.id, {})
        if found.rotation in rotations or not 0 <= found.rotation < scores.n_options[row]:
            raise InputError(
                f"question {found.id!r} of {scores.task} has rotation {found.rotation} twice or not that many options",
                path=scores.source,
                line=scores.line(row),
            )
        rotations[found.rotation] = row
    complete = [rows for rows in rows_of.values() if 0 in rows and len(rows) == scores.n_options[rows[0]]]
    if not complete:
        raise InputError(f"no question of {scores.task} has all its rotations", path=scores.source)
    logged = log_probabilities(scores.logprobs)
    folded = np.full((len(complete), logged.shape[1]), np.nan)
    letters = folded.copy()
    for number, rows in enumerate(complete):
        count = len(rows)
        by_letter = logged[[rows[rotation] for rotation in range(count)], :count]
        # Option o stands behind letter (o - r) mod count in rotation r.
        by_option = np.stack([np.roll(values, rotation) for rotation, values in enumerate(by_letter)])
        folded[number, :count] = by_option.mean(axis=0)
        letters[number, :count] = by_letter.mean(axis=0)
    asked = scores.take(np.array([rows[0] for rows in complete], dtype=np.int64))
    answered = replace(asked, logprobs=log_probabilities(folded), metrics={}, unconditional=None)
    return Folded(
        scores=answered,
        letters=np.exp(log_probabilities(letters)),
        asked=asked,
        incomplete=len(rows_of) - len(complete),
    )
