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
from consistency.tasks.placed_options import speaks_of_others


class _Document(msgspec.Struct):
    id: int | str
    rotation: int
    question: Any = None
    choices: Any = None

    @property
    def placed(self) -> bool:
        """Whether an option speaks of others by their place; not known of documents with other fields."""
        texts = self.choices if isinstance(self.choices, list) else []
        question = self.question if isinstance(self.question, str) else ""
        return any(isinstance(text, str) and speaks_of_others(text, question, len(texts)) for text in texts)


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
    by_letter : ndarray of float64, shape [n, k, k]
        Log-probabilities of each question's rotations by letter, NaN-padded: see `consistency.metrics.rotations`.
    incomplete : int
        Questions left out because the log lacks some of their rotations, as at the end of a `--limit`.
    placed : int
        Questions left out because an option speaks of others by their place ("both A and C"), so that it says something else
        in every rotation.
    """

    scores: Scores
    letters: Floats
    asked: Scores
    by_letter: Floats
    incomplete: int
    placed: int = 0

    @property
    def bias(self) -> Floats:
        """Selection bias of each question in nats: KL(letters ‖ uniform), from 0 to ln k. Shape [n]."""
        p = self.letters
        with np.errstate(divide="ignore", invalid="ignore"):
            entropy = -np.nansum(np.where(p > 0, p * np.log(p), 0.0), axis=1)
        total = np.log(self.scores.n_options) - entropy
        return np.where(np.isnan(p).all(axis=1), np.nan, np.maximum(total, 0.0))


def fold_rotations(scores: Scores, *, keep_placed: bool = False) -> Folded:
    """Fold the rotations of each question into one distribution over its options.

    Parameters
    ----------
    scores : Scores
        The log of a task whose documents `consistency.tasks.questions.rotate` made.
    keep_placed : bool
        Whether questions whose options speak of others by their place stay.

    Returns
    -------
    Folded

    Raises
    ------
    InputError
        If a document has no rotation, a rotation occurs twice, no question has all of them, or all that have speak of places.
    """
    rows_of: dict[int | str, dict[int, int]] = {}
    placed: set[int | str] = set()
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
        if found.rotation == 0 and not keep_placed and found.placed:
            placed.add(found.id)
    every = {own: rows for own, rows in rows_of.items() if 0 in rows and len(rows) == scores.n_options[rows[0]]}
    if not every:
        raise InputError(f"no question of {scores.task} has all its rotations", path=scores.source)
    complete = [rows for own, rows in every.items() if own not in placed]
    if not complete:
        raise InputError(
            f"the options of all questions of {scores.task} speak of others by their place",
            do="compare logs of the unrotated task",
            path=scores.source,
        )
    logged = log_probabilities(scores.logprobs)
    folded = np.full((len(complete), logged.shape[1]), np.nan)
    letters = folded.copy()
    rotated = np.full((*folded.shape, folded.shape[1]), np.nan)
    for number, rows in enumerate(complete):
        count = len(rows)
        by_letter = logged[[rows[rotation] for rotation in range(count)], :count]
        rotated[number, :count, :count] = by_letter
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
        by_letter=rotated,
        incomplete=len(rows_of) - len(every),
        placed=len(every) - len(complete),
    )
