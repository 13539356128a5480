"""What a model knows: its answers to a probe, labelled by the paper's rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from consistency.errors import InputError
from consistency.logs.scores import Scores
from consistency.tasks.questions import TextIds, text_problem

Label = Literal["known", "misbelieved", "unsure"]
LABELS: tuple[Label, ...] = ("known", "misbelieved", "unsure")
THRESHOLD = 0.5


class Document(msgspec.Struct, gc=False):
    """What a probe says about a question."""

    question: str
    choices: tuple[str, ...]
    id: str | int | None = None
    subject: str | None = None
    explanation: str | None = None


class Belief(msgspec.Struct, frozen=True, gc=False):
    """A question, and what the model answers to it.

    Attributes
    ----------
    id : str or int
        The question's own id; its number in the log where it has none.
    subject, question : str
        As the probe's document has them.
    choices : tuple of str
        The options.
    explanation : str
        The golden one, empty where there is none.
    gold, answer : int
        Index of the gold option and of the model's.
    confidence : float
        Probability of the model's answer, by a softmax over the options only.
    label : {"known", "misbelieved", "unsure"}
        "known" and "misbelieved" are right and wrong answers with a confidence above the threshold.
    key : str, int or None
        What the question's place in samples depends on, see `sampling_keys`; None for its id.
    """

    id: str | int
    subject: str
    question: str
    choices: tuple[str, ...]
    explanation: str
    gold: int
    answer: int
    confidence: float
    label: Label
    key: str | int | None = None


class Beliefs(Sequence[Belief]):
    """The labelled questions of a probe, as columns; a question's texts are decoded when it is looked at.

    Parameters
    ----------
    documents : sequence of bytes
        Each question as JSON, with the fields of `Document`.
    ids : sequence of str or int
        Distinct ids.
    gold, answer : ndarray of int64, shape [n]
        Index of the gold option and of the model's.
    probs : ndarray of float64, shape [n, k]
        Probabilities of the options, NaN-padded.
    subject : str
        What questions without a subject of their own are about.
    threshold : float
        The confidence that an answer must exceed to count as knowledge.
    keys : sequence of str or int, optional
        What each question's place in samples depends on; the ids by default.

    Attributes
    ----------
    confidence : ndarray of float64, shape [n]
        Probability of the model's answer.
    codes : ndarray of int8, shape [n]
        Index of each question's label in `LABELS`.

    Examples
    --------
    >>> documents = [b'{"question": "One and one?", "choices": ["2", "3"]}']
    >>> beliefs = Beliefs(documents, [7], np.array([0]), np.array([1]), np.array([[0.2, 0.8]]), "sums")
    >>> beliefs[0].label, beliefs[0].confidence
    ('misbelieved', 0.8)
    """

    def __init__(
        self,
        documents: Sequence[bytes],
        ids: Sequence[str | int],
        gold: NDArray[np.int64],
        answer: NDArray[np.int64],
        probs: NDArray[np.float64],
        subject: str,
        threshold: float = THRESHOLD,
        keys: Sequence[str | int] | None = None,
    ) -> None:
        self.keys = ids if keys is None else keys
        self.documents, self.ids, self.subject, self.threshold = documents, ids, subject, threshold
        self.gold, self.answer, self.probs = gold, answer, probs
        self.confidence = np.take_along_axis(probs, answer[:, None], axis=1)[:, 0]
        sure = self.confidence > threshold
        self.codes = np.where(~sure, 2, np.where(gold == answer, 0, 1)).astype(np.int8)
        self._decode = msgspec.json.Decoder(Document).decode

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Belief: ...

    @overload
    def __getitem__(self, index: slice) -> Beliefs: ...

    def __getitem__(self, index: int | slice) -> Belief | Beliefs:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        return self._belief(
            self.documents[index],
            self.ids[index],
            self.gold.item(index),
            self.answer.item(index),
            self.confidence.item(index),
            self.codes.item(index),
            self.keys[index],
        )

    def __iter__(self) -> Iterator[Belief]:
        numbers = (column.tolist() for column in (self.gold, self.answer, self.confidence, self.codes))
        return map(self._belief, self.documents, self.ids, *numbers, self.keys)

    def _belief(
        self,
        document: bytes,
        identifier: str | int,
        gold: int,
        answer: int,
        confidence: float,
        code: int,
        key: str | int,
    ) -> Belief:
        asked = self._decode(document)
        return Belief(
            identifier,
            asked.subject or self.subject,
            asked.question,
            asked.choices,
            asked.explanation or "",
            gold,
            answer,
            confidence,
            LABELS[code],
            key,
        )

    def take(self, rows: Iterable[int]) -> Beliefs:
        """The given rows, in the given order."""
        listed = list(rows)
        places = np.array(listed, dtype=np.int64)
        return Beliefs(
            [self.documents[row] for row in listed],
            [self.ids[row] for row in listed],
            self.gold[places],
            self.answer[places],
            self.probs[places],
            self.subject,
            self.threshold,
            [self.keys[row] for row in listed],
        )


def read_beliefs(scores: Scores, threshold: float = THRESHOLD, subject: str | None = None) -> Beliefs:
    """Label every question of a probe.

    Parameters
    ----------
    scores : Scores
        The log of a multiple-choice task whose documents have the fields `question` and `choices`.
    threshold : float
        The confidence that an answer must exceed to count as knowledge; the paper's is 0.5.
    subject : str, optional
        What documents without a `subject` are about, as the header of a prompt names it; the task's name by default.

    Returns
    -------
    Beliefs
        In the order of the log's document numbers.

    Raises
    ------
    InputError
        If the task has no options, a document lacks a field or is not a question of 2 to 10 options without a blank
        text, two questions share an id, or the threshold is no probability below 1.
    """
    check_threshold(threshold)
    if not scores.has_options:
        raise InputError(
            f"the task {scores.task} has no options", expected="a multiple-choice task", path=scores.source
        )
    numbers, counts = scores.doc_id.tolist(), scores.n_options.tolist()
    gold, answer = scores.target, scores.prediction
    unanswered = ((gold < 0) | (answer < 0)).tolist()
    decoder = msgspec.json.Decoder(Document)
    rows: dict[str | int, int] = {}
    unnamed: dict[int, Document] = {}
    for row, document in enumerate(scores.documents):
        try:
            fields = decoder.decode(document)
        except msgspec.DecodeError as error:
            raise InputError(
                f"document {numbers[row]} of {scores.task}: {error}",
                expected="the fields question (text) and choices (list of texts)",
                path=scores.source,
                line=scores.line(row),
            ) from error
        if unanswered[row] or len(fields.choices) != counts[row]:
            raise InputError(
                f"document {numbers[row]} of {scores.task} has no gold option, no scores, or not one score an option",
                expected="one gold option and one score for each of its choices",
                path=scores.source,
                line=scores.line(row),
            )
        problem = text_problem(fields.question, fields.choices)
        if problem:
            raise InputError(
                f"document {numbers[row]} of {scores.task}: {problem[0]}",
                expected=problem[1],
                path=scores.source,
                line=scores.line(row),
            )
        if fields.id is None:
            unnamed[row] = fields
        identifier = numbers[row] if fields.id is None else fields.id
        if rows.setdefault(identifier, row) != row:
            raise InputError(
                f"two documents of {scores.task} have the id {identifier!r}, this and document "
                f"{numbers[rows[identifier]]}",
                expected="distinct ids",
                path=scores.source,
                line=scores.line(row),
            )
    ids = list(rows)
    keys = sampling_keys(ids, unnamed)
    return Beliefs(scores.documents, ids, gold, answer, scores.probs, subject or scores.task, threshold, keys)


def sampling_keys(ids: Sequence[str | int], unnamed: Mapping[int, Document]) -> Sequence[str | int]:
    """What each question's place in samples depends on, whatever stands before it in its file.

    Parameters
    ----------
    ids : sequence of str or int
        The questions' ids.
    unnamed : mapping of int to Document
        Those whose id is but their number in the file, by their row.

    Returns
    -------
    sequence of str or int
        The id; without one that of `TextIds`.

    Examples
    --------
    >>> sums = Document("One and one?", ("2", "3"))
    >>> sampling_keys([0, "q1", 2], {2: sums})[2] == sampling_keys([0], {0: sums})[0]
    True
    """
    if not unnamed:
        return ids
    keys, text_ids = list(ids), TextIds()
    for row, document in unnamed.items():
        keys[row] = text_ids(document.question, document.choices)
    return keys


def check_threshold(threshold: float) -> None:
    """Refuse a threshold that no confidence can be compared with.

    Raises
    ------
    InputError
        If it is not a number from 0 to below 1.
    """
    if not (math.isfinite(threshold) and 0 <= threshold < 1):
        raise InputError(
            f"a threshold of {threshold:g}", expected="a probability from 0 to below 1 (the paper's is 0.5)"
        )


def rows_labelled(beliefs: Sequence[Belief], label: Label) -> list[int]:
    """The places of the questions with a label, in their order.

    Examples
    --------
    >>> sums = Belief(id=1, subject="sums", question="?", choices=("2", "3"), explanation="", gold=0, answer=1,
    ...               confidence=0.8, label="misbelieved")
    >>> rows_labelled([sums], "misbelieved"), rows_labelled([sums], "known")
    ([0], [])
    """
    if isinstance(beliefs, Beliefs):
        places: list[int] = np.flatnonzero(beliefs.codes == LABELS.index(label)).tolist()
        return places
    return [row for row, belief in enumerate(beliefs) if belief.label == label]


def keys_of(beliefs: Sequence[Belief]) -> Sequence[str | int]:
    """What the questions' places in samples depend on."""
    return beliefs.keys if isinstance(beliefs, Beliefs) else [key_of(belief) for belief in beliefs]


def key_of(belief: Belief) -> str | int:
    """What a question's place in samples depends on."""
    return belief.id if belief.key is None else belief.key


def options_of(beliefs: Sequence[Belief], kind: Literal["gold", "answer"], rows: Sequence[int]) -> list[int]:
    """The golden option, or the model's, of some questions."""
    if isinstance(beliefs, Beliefs):
        options: list[int] = getattr(beliefs, kind)[np.array(rows, dtype=np.int64)].tolist()
        return options
    return [getattr(beliefs[row], kind) for row in rows]


def count_labels(beliefs: Sequence[Belief]) -> dict[str, int]:
    """How many questions have each label."""
    return {label: len(rows_labelled(beliefs, label)) for label in LABELS}
