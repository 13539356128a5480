"""What a model knows: its answers to a probe, labelled by the paper's rule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar, overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from consistency.errors import InputError
from consistency.logs.scores import Scores
from consistency.tasks.answer_prefixes import strip_answer
from consistency.tasks.prompts import ENGLISH, LANGUAGES
from consistency.tasks.questions import TextIds, text_problem

Label = Literal["known", "misbelieved", "unsure"]
LABELS: tuple[Label, ...] = ("known", "misbelieved", "unsure")
THRESHOLD = 0.5
T = TypeVar("T")


class Document(msgspec.Struct, gc=False):
    """What a probe's document holds about its question."""

    question: str
    choices: tuple[str, ...]
    id: str | int | None = None
    subject: str | None = None
    explanation: str | None = None
    prompt_language: str | None = None


_decode = msgspec.json.Decoder(Document).decode


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
        Of the gold option, without the answer that it may begin with (`Beliefs.as_released`); empty where there is none.
    gold, answer : int
        Index of the gold option and of the model's.
    confidence : float
        Probability of the model's answer, by a softmax over the options only.
    label : {"known", "misbelieved", "unsure"}
        "known" and "misbelieved" are right and wrong answers with a confidence above the threshold.
    key : str or int
        What the question's place in samples depends on: see `sampling_keys`.
    language : str
        In which it is asked: see `prompts.WORDINGS`.
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
    key: str | int
    language: str = ENGLISH


@dataclass(kw_only=True, eq=False)
class Beliefs(Sequence[Belief]):
    """The labelled questions of a probe, as columns; a question's texts are decoded when it is looked at.

    Parameters
    ----------
    documents : sequence of bytes
        Each question as JSON, with the fields of `Document`.
    ids : sequence of str or int
        Distinct ids.
    keys : sequence of str or int
        What each question's place in samples depends on: see `sampling_keys`.
    gold, answer : ndarray of int64, shape [n]
        Index of the gold option and of the model's.
    probs : ndarray of float64, shape [n, k]
        Probabilities of the options, NaN-padded.
    subject : str
        What questions without a subject of their own are about.
    threshold : float
        The confidence that an answer must exceed to count as knowledge.
    as_released : bool
        Whether explanations stay as the documents have them. Otherwise an answer that they begin with ("Ans. B. …") is
        left out: see `consistency.tasks.answer_prefixes.strip_answer`.

    Attributes
    ----------
    confidence : ndarray of float64, shape [n]
        Probability of the model's answer.
    codes : ndarray of int8, shape [n]
        Index of each question's label in `LABELS`.

    Examples
    --------
    >>> beliefs = Beliefs(
    ...     documents=[b'{"question": "One and one?", "choices": ["2", "3"]}'], ids=[7], keys=[7], subject="sums",
    ...     gold=np.array([0]), answer=np.array([1]), probs=np.array([[0.2, 0.8]]),
    ... )
    >>> beliefs[0].label, beliefs[0].confidence
    ('misbelieved', 0.8)
    >>> beliefs.labelled("misbelieved"), beliefs.labelled("known")
    ([0], [])
    """

    documents: Sequence[bytes]
    ids: Sequence[str | int]
    keys: Sequence[str | int]
    gold: NDArray[np.int64]
    answer: NDArray[np.int64]
    probs: NDArray[np.float64]
    subject: str
    threshold: float = THRESHOLD
    as_released: bool = False
    confidence: NDArray[np.float64] = field(init=False)
    codes: NDArray[np.int8] = field(init=False)

    def __post_init__(self) -> None:
        self.confidence = np.take_along_axis(self.probs, self.answer[:, None], axis=1)[:, 0]
        wrong = np.where(self.gold == self.answer, 0, 1)
        self.codes = np.where(self.confidence > self.threshold, wrong, 2).astype(np.int8)

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> Belief: ...

    @overload
    def __getitem__(self, index: slice) -> Beliefs: ...

    def __getitem__(self, index: int | slice) -> Belief | Beliefs:
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        document = _decode(self.documents[index])
        gold = self.gold.item(index)
        explanation = document.explanation or ""
        return Belief(
            id=self.ids[index],
            subject=document.subject or self.subject,
            question=document.question,
            choices=document.choices,
            explanation=explanation if self.as_released else strip_answer(explanation, document.choices, gold),
            gold=gold,
            answer=self.answer.item(index),
            confidence=self.confidence.item(index),
            label=LABELS[self.codes.item(index)],
            key=self.keys[index],
            language=document.prompt_language or ENGLISH,
        )

    def __iter__(self) -> Iterator[Belief]:
        return map(self.__getitem__, range(len(self)))

    def take(self, rows: Iterable[int]) -> Beliefs:
        """The questions of the given rows, in the given order."""
        listed = list(rows)
        places = np.array(listed, dtype=np.int64)
        return replace(
            self,
            documents=[self.documents[row] for row in listed],
            ids=[self.ids[row] for row in listed],
            keys=[self.keys[row] for row in listed],
            gold=self.gold[places],
            answer=self.answer[places],
            probs=self.probs[places],
        )

    def labelled(self, label: Label) -> list[int]:
        """The rows of the questions with a label, in their order."""
        rows: list[int] = np.flatnonzero(self.codes == LABELS.index(label)).tolist()
        return rows

    def normalized_explanations(self) -> int:
        """How many questions' explanations begin with an answer that is left out."""
        if self.as_released:
            return 0
        documents = (
            (_decode(document), gold) for document, gold in zip(self.documents, self.gold.tolist(), strict=True)
        )
        return sum(
            strip_answer(text, document.choices, gold) != text
            for document, gold in documents
            if (text := document.explanation)
        )

    def counts(self) -> dict[Label, int]:
        """How many questions have each label."""
        return {label: int((self.codes == code).sum()) for code, label in enumerate(LABELS)}


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
        text, two questions share an id, or the threshold is not a probability below 1.
    """
    check_threshold(threshold)
    if not scores.has_options:
        raise InputError(
            f"the task {scores.task} has no options", expected="a multiple-choice task", path=scores.source
        )
    numbers, counts = scores.doc_id.tolist(), scores.n_options.tolist()
    gold, answer = scores.target, scores.prediction
    unanswered = ((gold < 0) | (answer < 0)).tolist()
    rows: dict[str | int, int] = {}
    unnamed: dict[int, Document] = {}
    expected = "the fields question (text) and choices (list of texts)"
    for row, fields in enumerate(decode_documents(scores, Document, expected)):
        if unanswered[row] or len(fields.choices) != counts[row]:
            raise unusable_document(
                *(scores, row, "no gold option, no scores, or not one score an option"),
                expected="one gold option and one score for each of its choices",
            )
        problem = text_problem(fields.question, fields.choices)
        if not problem and fields.prompt_language not in (None, *LANGUAGES):
            problem = f"prompt_language is {fields.prompt_language!r}", f"one of {', '.join(LANGUAGES)}"
        if problem:
            raise unusable_document(scores, row, problem[0], expected=problem[1])
        if fields.id is None:
            unnamed[row] = fields
        identifier = numbers[row] if fields.id is None else fields.id
        if rows.setdefault(identifier, row) != row:
            first = numbers[rows[identifier]]
            raise unusable_document(
                scores, row, f"the id {identifier!r} is that of document {first}", expected="distinct ids"
            )
    ids = list(rows)
    return Beliefs(
        documents=scores.documents,
        ids=ids,
        keys=sampling_keys(ids, unnamed),
        gold=gold,
        answer=answer,
        probs=scores.probs,
        subject=subject or scores.task,
        threshold=threshold,
    )


def decode_documents(scores: Scores, kind: type[T], expected: str, do: str | None = None) -> Iterator[T]:
    """Each document of a task as a struct.

    Parameters
    ----------
    scores : Scores
        The task's log.
    kind : type
        A `msgspec.Struct` of the fields that are needed.
    expected : str
        What a document should hold, for error messages.
    do : str, optional
        What the user can do about one that holds something else.

    Yields
    ------
    object of type `kind`
        In the log's order.

    Raises
    ------
    InputError
        Naming the line of a document that holds something else.
    """
    decoder = msgspec.json.Decoder(kind)
    for row, document in enumerate(scores.documents):
        try:
            yield decoder.decode(document)
        except msgspec.DecodeError as error:
            raise unusable_document(scores, row, str(error), expected=expected, do=do) from error


def unusable_document(scores: Scores, row: int, problem: str, expected: str, do: str | None = None) -> InputError:
    """The error of a document that cannot be used, with its number and its line in the log."""
    return scores.error(row, f"document {scores.doc_id[row]} of {scores.task}: {problem}", expected=expected, do=do)


def sampling_keys(ids: Sequence[str | int], unnamed: Mapping[int, Document]) -> Sequence[str | int]:
    """What each question's place in samples depends on, whichever questions come before it in its file.

    Parameters
    ----------
    ids : sequence of str or int
        The questions' ids.
    unnamed : mapping of int to Document
        Those whose id is only their row number in the file, by their row.

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
