"""The rotations of each question folded into one distribution over its options, without the selection bias.

A model that prefers the letter A gains on every question whose gold option has that letter. Over all rotations each
option has each letter once, so that selection bias can be separated from knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np

from consistency.errors import InputError
from consistency.logs.scores import Scores
from consistency.metrics.distributions import log_probabilities
from consistency.support.arrays import Floats
from consistency.support.text import joined
from consistency.tasks.prompts import LETTERS


class _Document(msgspec.Struct):
    id: int | str
    rotation: int


@dataclass(frozen=True, eq=False)
class Folded:
    """One distribution over the options of each question, and the selection bias that was taken out of it.

    Attributes
    ----------
    scores : Scores
        A row a question, options in the order of the file. A log-probability is the mean over the rotations of the
        option's log-probability, normalised again: a selection bias that adds a constant to a letter, whatever
        its option, drops out exactly.
    letters : ndarray of float64, shape [n, k]
        The distribution over letters, likewise with the options averaged out. NaN-padded; uniform for a model without
        selection bias.
    asked : Scores
        The answers to the unrotated questions, row by row those of `scores`.
    incomplete : int
        Questions left out because the log lacks some of their rotations, as at the end of a `--limit`.
    """

    scores: Scores
    letters: Floats
    asked: Scores
    incomplete: int

    @property
    def bias(self) -> Floats:
        """Selection bias of each question in nats: KL(letters ‖ uniform), from 0 to ln k. Shape [n]."""
        p = self.letters
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.nansum(np.where(p > 0, p * np.log(p), 0.0), axis=1)
        total = np.log(self.scores.n_options) - entropy
        return np.where(np.isnan(p).all(axis=1), np.nan, np.maximum(total, 0.0))

    def to_dict(self) -> dict[str, Any]:
        """Numbers of the task: sizes, and over the questions with scores accuracy before and after, and the bias."""
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
        """The numbers of `to_dict` in a few lines."""
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
        return joined(lines)


def fold_rotations(scores: Scores) -> Folded:
    """Fold the rotations of each question into one distribution over its options.

    Parameters
    ----------
    scores : Scores
        The log of a task whose documents `consistency.tasks.questions.rotate` made.

    Returns
    -------
    Folded

    Raises
    ------
    InputError
        If a document has no rotation, a rotation occurs twice, or no question has all of them.
    """
    rows_of: dict[int | str, dict[int, int]] = {}
    for row, document in enumerate(scores.documents):
        try:
            found = msgspec.json.decode(document, type=_Document)
        except msgspec.DecodeError as error:
            problem = f"document {int(scores.doc_id[row])} of {scores.task}: {error}"
            expected, do = "the fields id and rotation", "run a task whose name has _cyclic"
            raise scores.error(row, problem, expected=expected, do=do) from error
        rotations = rows_of.setdefault(found.id, {})
        if found.rotation in rotations or not 0 <= found.rotation < scores.n_options[row]:
            problem = "twice or not that many options"
            raise scores.error(row, f"question {found.id!r} of {scores.task} has rotation {found.rotation} {problem}")
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
        # In rotation r, option o has the letter (o - r) mod count.
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
