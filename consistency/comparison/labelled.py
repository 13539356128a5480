"""The questions of tasks by the labels of their options, and the parts of what changed in them.

Options are scored behind letters or numbers, or behind words that are the same in every question, such as yes and no: these
labels have a prior. Or each question has texts of its own: then they have none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from consistency.comparison.pairing import Pairs
from consistency.logs.documents import normalised
from consistency.logs.scores import Scores
from consistency.statistics.answered import FEWEST, Answered, put
from consistency.statistics.decomposition import Decomposition, decompose
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Floats, Integers

# More options than that are texts: of so many labels a prior is not found in the questions that a task has.
MOST_LABELS = 100


@dataclass(frozen=True, eq=False)
class Labelled:
    """The answers of a task, each run's in the order of its labels.

    Attributes
    ----------
    answered : Answered
    labels : tuple of str
        Of the options, in the order of the columns; empty where they are texts.
    """

    answered: Answered
    labels: tuple[str, ...] = ()

    def take(self, rows: Integers) -> Labelled:
        """The given questions, in the given order."""
        found = self.answered
        if len(rows) == len(found) and (rows == np.arange(len(found))).all():
            return self
        place = None if found.place is None else found.place[rows]
        taken = replace(found, before=found.before[rows], after=found.after[rows], gold=found.gold[rows], place=place)
        return Labelled(taken, self.labels)


def by_label(pairs: Pairs) -> Labelled:
    """The answers of a task in the order of the labels that its options stand behind.

    Parameters
    ----------
    pairs : Pairs
        Of a task with options.
    """
    before, after = pairs.before, pairs.after
    # Over all rotations every option had every letter.
    folded = before.unrotated is not None and after.unrotated is not None
    labels = () if folded else _labels(pairs)
    if not labels:
        return Labelled(Answered(before.logprobs, after.logprobs, pairs.gold, lettered=False))
    first, second = _columns(before, labels), _columns(after, labels)
    if first is None and second is None:
        return Labelled(Answered(before.logprobs, after.logprobs, pairs.gold), labels)
    same = np.tile(np.arange(before.logprobs.shape[1]), (len(pairs), 1))
    first, second = same if first is None else first, same if second is None else second
    place = put(second, first)
    answered = Answered(put(before.logprobs, first), put(after.logprobs, second), put(pairs.gold, first), place=place)
    return Labelled(answered, labels)


def decompose_tasks(pairs: Sequence[Pairs], labels: Labels) -> Decomposition:
    """The parts of what changed in several tasks: see `kinds_of`.

    Parameters
    ----------
    pairs : sequence of Pairs
        Of each task, all with options.
    labels : dict
        What was sampled, for the questions of all tasks in their order.
    """
    groups, in_order, _ = kinds_of(list(map(by_label, pairs)), labels)
    return decompose(groups, in_order)


def kinds_of(tasks: Sequence[Labelled], labels: Labels) -> tuple[list[Answered], Labels, list[int]]:
    """The answers of tasks whose labels begin alike, together.

    A task with the labels A to D goes with one that has A to E; one with no and yes does not go with one that has no and maybe.

    Parameters
    ----------
    tasks : sequence of Labelled
    labels : dict
        What was sampled, for the questions of all tasks in their order.

    Returns
    -------
    list of Answered
        One for each kind of labels.
    dict
        What was sampled, for their questions.
    list of int
        The numbers of the tasks in the order in which their questions are there.
    """
    kinds: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, task in enumerate(tasks):
        kinds[task.labels].append(number)
    kinds = _together(kinds)
    order = [number for numbers in kinds.values() for number in numbers]
    ends = np.cumsum([len(task.answered) for task in tasks])[:-1]
    groups = [_joined([tasks[number].answered for number in numbers], names) for names, numbers in kinds.items()]

    def in_order(units: Integers | None) -> Integers | None:
        parts = [] if units is None else np.split(units, ends)
        return None if units is None else np.concatenate([parts[number] for number in order])

    sampled: Labels = {
        "strata": None,
        "tasks": in_order(labels["tasks"]),
        "clusters": in_order(labels["clusters"]),
    }
    return groups, sampled, order


def _labels(pairs: Pairs) -> tuple[str, ...]:
    """What the options of all questions stand behind; empty where each question has texts of its own."""
    rows = {tuple(map(_label, texts)) for scores in (pairs.before, pairs.after) for texts in set(scores.continuations)}
    found = sorted({label for texts in rows for label in texts}, key=lambda label: (len(label), label))
    most = max(map(len, rows), default=0)
    # Of few questions, texts of their own may be as few as labels would be.
    if (
        not 2 <= most <= MOST_LABELS
        or len(found) > most
        or (len(pairs) < FEWEST and any(len(label) > 1 for label in found))
    ):
        return ()
    return () if any(len(set(texts)) < len(texts) for texts in rows) else tuple(found)


def _label(text: str) -> str:
    """What an option stands behind, without the brackets or the point of a letter: (A) and A. are A."""
    bare = text.strip(" \t\r\n().[]:")
    return bare if len(bare) == 1 else normalised(text)


def _columns(scores: Scores, labels: tuple[str, ...]) -> Integers | None:
    """The column of each option's label, shape [n, k]; None where all options stand in the order of the labels."""
    width = scores.logprobs.shape[1]
    number = {label: column for column, label in enumerate(labels)}
    orders = {}
    for texts in set(scores.continuations):
        used = [number[_label(text)] for text in texts]
        orders[texts] = (*used, *(column for column in range(width) if column not in used))
    if all(order == tuple(range(width)) for order in orders.values()):
        return None
    return np.array([orders[texts] for texts in scores.continuations], dtype=np.int64)


def _together(kinds: Mapping[tuple[str, ...], list[int]]) -> dict[tuple[str, ...], list[int]]:
    """The numbers of tasks by their labels, those with the first labels of others with these."""
    found: dict[tuple[str, ...], list[int]] = {}
    for labels in sorted(kinds, key=len, reverse=True):
        longer = (other for other in found if labels and other[: len(labels)] == labels)
        found.setdefault(next(longer, labels), []).extend(kinds[labels])
    return found


def _joined(parts: Sequence[Answered], names: tuple[str, ...]) -> Answered:
    """The answers of several tasks together; what a question does not offer is NaN."""
    if len(parts) == 1:
        return replace(parts[0], names=(*names, *[""] * (parts[0].before.shape[1] - len(names))))
    width = max(part.before.shape[1] for part in parts)
    place = None
    if any(part.place is not None for part in parts):
        each = [np.tile(np.arange(width), (len(part), 1)) for part in parts]
        for columns, part in zip(each, parts, strict=True):
            if part.place is not None:
                columns[:, : part.place.shape[1]] = part.place
        place = np.concatenate(each)
    return Answered(
        _wide([part.before for part in parts], width),
        _wide([part.after for part in parts], width),
        np.concatenate([np.pad(part.gold, ((0, 0), (0, width - part.gold.shape[1]))) for part in parts]),
        parts[0].lettered,
        (*names, *[""] * (width - len(names))),
        place,
    )


def _wide(parts: Sequence[Floats], width: int) -> Floats:
    """Arrays below each other, with NaN on the right."""
    return np.concatenate(
        [np.pad(part, ((0, 0), (0, width - part.shape[1])), constant_values=np.nan) for part in parts]
    )
