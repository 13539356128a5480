"""Questions that share something, and so are not independent of each other: a passage, their text, or a translation.

What a question shares is found in its document. Questions of one passage, the same question in several tasks, and one question
in several languages are clusters: their answers change together, and an interval that takes them as independent is too narrow.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from consistency.comparison.pairing import Pairs
from consistency.errors import InputError
from consistency.logs.documents import answer_in, fields_of, value_of
from consistency.statistics.sampling import numbered
from consistency.support.arrays import Integers
from consistency.support.text import shortened

Kind = Literal["field", "passage", "repeated", "parallel"]
AUTO, NONE = "auto", "none"
# A text of so many characters in several documents is a passage. More questions of one passage, or fewer passages, are a
# text of the task, such as its instruction.
_PASSAGE = 200
_MOST_PER_PASSAGE, _FEWEST_PASSAGES = 50, 5
# Where a question shares its cluster with fewer others on average, intervals hardly depend on it: with a correlation of .2 within
# passages they would be 2 % wider, with one of 1 between answers to the same question as well.
_FEWEST_OTHERS = {"passage": 0.2, "repeated": 0.04, "parallel": 0.04, "field": 0.0}
# Two tasks are one in two languages if so many of so many answers agree, where agreement by chance is rarer than that.
_ALIKE, _FEWEST_ALIKE, _BY_CHANCE = 0.9, 20, 1e-9
# So large a share of the documents both must have; of so many different answers the order tells nothing.
_COMMON, _MOST_ANSWERS = 0.8, 20
# Documents of a task that are kept decoded.
_MOST_KEPT = 20_000
# Of more tasks only those are compared that agree in a block of documents.
_MOST_PAIRWISE = 300


@dataclass(frozen=True)
class Clusters:
    """Questions that share something.

    Attributes
    ----------
    kind : {"field", "passage", "repeated", "parallel"}
        A field of the document that was named; a long text in it; the whole question; or its place in tasks that ask the same
        questions, such as translations.
    field : str
        The field of the document; empty for the last two kinds.
    tasks : tuple of str
    questions, clusters : int
        How many questions share it with another one, and how many different ones they share.
    without : tuple of str
        Of a named field: tasks that lack it.
    """

    kind: Kind
    field: str
    tasks: tuple[str, ...]
    questions: int
    clusters: int
    without: tuple[str, ...] = ()

    def to_text(self) -> str:
        """A sentence for readers."""
        shared = {
            "field": f"share {self.field} with others",
            "passage": f"share a passage (field {self.field}) with others",
            "repeated": "are asked more than once",
            "parallel": "have a counterpart in another task with the same right answers, such as a translation",
        }[self.kind]
        text = f"{self.questions} questions of {shortened(self.tasks)} {shared}: {self.clusters} clusters in place of questions"
        return text + (f"; {shortened(self.without)} lacks {self.field}" if self.without else "")


@dataclass(frozen=True, eq=False)
class ItemClusters:
    """The cluster of each question.

    Attributes
    ----------
    labels : ndarray of int64, shape [n]
        Of whatever questions share.
    same : ndarray of int64, shape [n]
        Of questions that are the same in other tasks or words alone, whose answers hardly differ.
    """

    labels: Integers
    same: Integers

    @classmethod
    def joined(cls, parts: Sequence[ItemClusters]) -> ItemClusters:
        """Those of several tasks together."""
        return cls(np.concatenate([part.labels for part in parts]), np.concatenate([part.same for part in parts]))

    def take(self, rows: Integers) -> ItemClusters:
        """Those of some rows; a row of -1 is a cluster of its own."""
        alone = -1 - np.arange(len(rows))
        return ItemClusters(np.where(rows < 0, alone, self.labels[rows]), np.where(rows < 0, alone, self.same[rows]))

    def used(self, *, every: bool) -> Integers | None:
        """The labels, numbered from 0; None where so few questions share anything that they count one by one.

        Parameters
        ----------
        every : bool
            Whether any two questions of a cluster are enough.
        """
        found = numbered(self.labels)
        least = 0.0 if every else _FEWEST_OTHERS["passage"]
        if _others(found) > least or (not every and _others(numbered(self.same)) >= _FEWEST_OTHERS["repeated"]):
            return found
        return None


def _others(labels: Integers) -> float:
    """With how many others a question shares its cluster, on average."""
    return float(np.bincount(labels)[labels].mean()) - 1


_Fields = dict[str, Any]


class _Documents:
    """The documents of a task, decoded whenever they are looked through: together they are several times their logs.

    Those of most tasks are few, and kept.
    """

    def __init__(self, documents: Sequence[bytes]) -> None:
        self._documents = documents
        self._kept = list(map(fields_of, documents)) if len(documents) <= _MOST_KEPT else None

    def __len__(self) -> int:
        return len(self._documents)

    def __iter__(self) -> Iterator[_Fields]:
        return iter(self._kept) if self._kept is not None else map(fields_of, self._documents)


def find_clusters(tasks: Mapping[str, Pairs], by: str = AUTO) -> tuple[dict[str, ItemClusters], tuple[Clusters, ...]]:
    """The cluster of each question, and what the questions of a cluster share.

    Parameters
    ----------
    tasks : dict of str to Pairs
        By name.
    by : str
        `"auto"`: passages, repeated questions and parallel tasks, as far as they are found; `"none"`; else the name of a field
        of the documents, of a nested one with dots, or `"doc_id"`: questions with one value of it are a cluster, in whatever
        task they are.

    Returns
    -------
    dict of str to ItemClusters
        By task, numbered over all tasks; empty where no two questions share anything.
    tuple of Clusters

    Raises
    ------
    InputError
        If no task has the field.
    """
    if by == NONE or (by == AUTO and sum(map(len, tasks.values())) < 2):
        return {}, ()
    sizes = [len(pairs) for pairs in tasks.values()]
    labels = same = np.arange(sum(sizes))
    named: list[Clusters] = []
    for item, joined in _shared(tasks) if by == AUTO else _of_field(tasks, by):
        merged = _merged([labels, joined])
        # Translations of a passage, say, are named once.
        if merged.max() < labels.max():
            labels, named = merged, [*named, item]
        if item.kind in ("repeated", "parallel"):
            same = _merged([same, joined])
    if not named:
        return {}, ()
    ends = np.cumsum(sizes)[:-1]
    parts = map(ItemClusters, np.split(labels, ends), np.split(same, ends))
    return dict(zip(tasks, parts, strict=True)), tuple(named)


def _of_field(tasks: Mapping[str, Pairs], field: str) -> Iterator[tuple[Clusters, Integers]]:
    """The clusters of a named field."""
    keys: dict[str, list[Any]] = {}
    for task, pairs in tasks.items():
        values = [value_of(row, field) for row in map(fields_of, pairs.before.documents)]
        if field == "doc_id" and all(value is None for value in values):
            values = pairs.before.doc_id.tolist()
        keys[task] = [None if value in (None, "") else repr(value) for value in values]
    having = [task for task, values in keys.items() if any(value is not None for value in values)]
    if not having:
        fields = dict.fromkeys(name for pairs in tasks.values() for name in fields_of(pairs.before.documents[0]))
        first = next(iter(tasks.values()))
        raise InputError(
            f"no document has a field {field!r} to cluster by",
            expected=f"{AUTO}, {NONE}, doc_id, {', '.join(fields)}",
            path=first.before.source,
        )
    without = tuple(task for task in tasks if task not in having)
    yield from _clusters("field", field, {task: keys[task] for task in having}, tasks, without)


def _shared(tasks: Mapping[str, Pairs]) -> Iterator[tuple[Clusters, Integers]]:
    """The clusters of passages, of repeated questions and of parallel tasks."""
    longest: dict[str, Integers] = {}
    passages: dict[str, dict[str, list[Any]]] = {}
    answers: dict[str, tuple[Integers, Integers]] = {}
    for task, pairs in tasks.items():
        rows = _Documents(pairs.before.documents)
        longest[task], names = _longest_texts(rows)
        for field, keys in _passages(rows, names):
            passages.setdefault(field, {})[task] = keys
        if len(pairs) >= _FEWEST_ALIKE:
            answers[task] = pairs.before.doc_id, _right_answers(pairs, rows)
    for field, by_task in passages.items():
        yield from _clusters("passage", field, by_task, tasks)
    yield from _clusters("repeated", "", _repeated(tasks, longest), tasks)
    yield from _clusters("parallel", "", _parallel(tasks, answers), tasks)


def _clusters(
    kind: Kind, field: str, keys: Mapping[str, list[Any]], tasks: Mapping[str, Pairs], without: tuple[str, ...] = ()
) -> Iterator[tuple[Clusters, Integers]]:
    """The clusters of questions with one key, and the number of each question's; nothing where no two have one.

    A question without a key, or of a task without keys, is a cluster of its own.
    """
    number: dict[Any, int] = {}
    labels, start = np.arange(sum(map(len, tasks.values()))), 0
    for task, pairs in tasks.items():
        for row, key in enumerate(keys.get(task, ()), start):
            if key is not None:
                labels[row] = number.setdefault(key, row)
        start += len(pairs)
    sizes = np.array([len(pairs) for pairs in tasks.values()])
    of_task = np.repeat(np.arange(len(tasks)), sizes)
    others = (np.bincount(labels) - 1)[labels]
    on_average = np.bincount(of_task, weights=others) / sizes
    named = (on_average > 0) & (on_average >= _FEWEST_OTHERS[kind])
    shared = (others > 0) & np.isin(labels, labels[named[of_task]])
    if shared.any():
        holders = tuple(task for task, is_named in zip(tasks, named.tolist(), strict=True) if is_named)
        clusters = len(np.unique(labels[shared]))
        yield Clusters(kind, field, holders, int(shared.sum()), clusters, without), labels


def _longest_texts(rows: _Documents) -> tuple[Integers, tuple[str, ...]]:
    """A number for the longest text of each document, shape [n], and the fields with texts of those with a long one."""
    numbers, names = np.empty(len(rows), dtype=np.int64), dict[str, None]()
    for row, fields in enumerate(rows):
        text = max([value for value in fields.values() if type(value) is str], key=len, default="")
        numbers[row] = hash(text)
        if len(text) >= _PASSAGE:
            names |= dict.fromkeys(name for name, value in fields.items() if type(value) is str)
    return numbers, tuple(names)


def _passages(rows: _Documents, names: Sequence[str]) -> Iterator[tuple[str, list[Any]]]:
    """The fields of a task's documents whose long texts several of them share, and the beginning of each text."""
    for name in names:
        values = [row.get(name) for row in rows]
        texts = [value if isinstance(value, str) else "" for value in values]
        # What all of them begin with is the task's own wording.
        skipped = _common_start([text for text in texts if text])
        keys = [text[skipped : skipped + _PASSAGE] if len(text) >= skipped + _PASSAGE else None for text in texts]
        long = [key for key in keys if key is not None]
        different = len(set(long))
        if _FEWEST_PASSAGES <= different < len(long) <= _MOST_PER_PASSAGE * different:
            yield name, keys


def _common_start(texts: list[str]) -> int:
    """How many characters all texts begin with; 0 without texts."""
    first, last = min(texts, default=""), max(texts, default="")
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))


def _repeated(tasks: Mapping[str, Pairs], longest: Mapping[str, Integers]) -> dict[str, list[Any]]:
    """What each question asks, where its longest text occurs twice; taking every question apart would take much longer."""
    found, times = np.unique(np.concatenate(list(longest.values())), return_counts=True)
    # Documents without any text are not alike for that.
    twice = found[(times > 1) & (found != hash(""))]
    keys: dict[str, list[Any]] = {}
    for task, pairs in tasks.items():
        again = np.isin(longest[task], twice)
        if again.any():
            keys[task] = [pairs.before.question_key(row) if known else None for row, known in enumerate(again.tolist())]
    return keys


def _parallel(tasks: Mapping[str, Pairs], answers: Mapping[str, tuple[Integers, Integers]]) -> dict[str, list[Any]]:
    """The place of each question in tasks whose right answers are the same, document by document.

    Parameters
    ----------
    tasks : dict of str to Pairs
    answers : dict of str to tuple of ndarray of int64
        Of tasks that are long enough, the number of each document and of its right answer.
    """
    sets: list[list[str]] = []
    index = _Alike() if len(answers) > _MOST_PAIRWISE else None
    for task, own in answers.items():
        for members in sets if index is None else [sets[number] for number in index.near(own)]:
            if _same_answers(answers[members[0]], own):
                members.append(task)
                break
        else:
            if index is not None:
                index.add(len(sets), own)
            sets.append([task])
    return {
        task: [(members[0], doc_id) for doc_id in tasks[task].before.doc_id.tolist()]
        for members in sets
        if len(members) > 1
        for task in members
    }


class _Alike:
    """Finds among many tasks those that may ask the same questions as another, without comparing all of them.

    Of answers that agree in nine of ten documents, at least one block of few documents agrees throughout: there are more
    blocks than documents that do not agree.
    """

    def __init__(self) -> None:
        self._holders: defaultdict[tuple[int, int, bytes], list[int]] = defaultdict(list)

    def add(self, number: int, answers: tuple[Integers, Integers]) -> None:
        """Keep the answers of a task under its number, unless they are in an order that tells nothing."""
        right = numbered(answers[1])
        width = int(right.max()) + 1
        if width <= _MOST_ANSWERS:
            follows = np.bincount(width * right[:-1] + right[1:], minlength=width**2).reshape(width, width)
            by_chance = float(follows.max(axis=1).sum()) / (len(right) - 1)
            # Half of what is needed, since a part of the documents may be compared.
            if -2 * len(right) * math.log(by_chance) <= -math.log(_BY_CHANCE):
                return
        for key in _blocks(answers):
            self._holders[key].append(number)

    def near(self, answers: tuple[Integers, Integers]) -> list[int]:
        """The numbers of the tasks that may ask the same, ascending."""
        return sorted({number for key in _blocks(answers) for number in self._holders.get(key, ())})


def _blocks(answers: tuple[Integers, Integers]) -> Iterator[tuple[int, int, bytes]]:
    """Each block of documents that a task has in full: its size, its first document, and its right answers."""
    documents, right = answers
    # A task of 80 to 125 documents may be compared with shorter and with longer ones.
    for size in [6] * (len(right) < 125) + [9] * (len(right) >= 100):
        firsts = np.flatnonzero(documents % size == 0)
        firsts = firsts[firsts + size <= len(documents)]
        for first in firsts[documents[firsts + size - 1] == documents[firsts] + size - 1].tolist():
            yield size, int(documents[first]), right[first : first + size].tobytes()


def _right_answers(pairs: Pairs, rows: _Documents) -> Integers:
    """A number for the right answer of each question: the gold option's, or one for each text."""
    if pairs.before.has_options:
        return pairs.before.target
    return np.array([hash(repr(answer_in(row))) for row in rows], dtype=np.int64)


def _same_answers(one: tuple[Integers, Integers], other: tuple[Integers, Integers]) -> bool:
    """Whether two tasks ask the same questions in one order, by what is right: far more often alike than by chance.

    Parameters
    ----------
    one, other : tuple of ndarray of int64
        The number of each document, ascending, and its right answer.
    """
    sizes = len(one[0]), len(other[0])
    if min(sizes) < _COMMON * max(sizes):
        return False
    if all(documents[-1] == len(documents) - 1 for documents, _ in (one, other)):
        # Nearly always they are numbered from 0 without a gap.
        first, second = one[1][: min(sizes)], other[1][: min(sizes)]
    else:
        _, rows, others = np.intersect1d(one[0], other[0], return_indices=True)
        first, second = one[1][rows], other[1][others]
    if len(first) < max(_FEWEST_ALIKE, _COMMON * max(sizes)):
        return False
    agree = float(np.count_nonzero(first == second)) / len(first)
    if agree < _ALIKE:
        return False
    a, b = numbered(np.concatenate([first, second])).reshape(2, -1)
    width = int(max(a.max(), b.max())) + 1
    by_chance = float(np.bincount(a, minlength=width) @ np.bincount(b, minlength=width)) / len(a) ** 2
    # Answers in a regular order, such as sorted ones, follow from the one before, and agree without telling anything.
    follows = np.zeros((width, width)) if width <= _MOST_ANSWERS else None
    if follows is not None:
        np.add.at(follows, (a[:-1], a[1:]), 1)
        by_chance = max(by_chance, float(follows.max(axis=1).sum()) / (len(a) - 1))
    if by_chance >= agree:
        return False
    # Chernoff's bound.
    surprise = agree * math.log(agree / by_chance)
    if agree < 1:
        surprise += (1 - agree) * math.log((1 - agree) / (1 - by_chance))
    return bool(len(a) * surprise > -math.log(_BY_CHANCE))


def _merged(labellings: Sequence[Integers]) -> Integers:
    """One number for all questions that any of the labellings joins, directly or through others."""
    found = labellings[0]
    while True:
        before = found
        for labels in labellings:
            least = np.full(int(labels.max()) + 1, len(labels))
            np.minimum.at(least, labels, found)
            found = least[labels]
        if (found == before).all():
            return numbered(found)
