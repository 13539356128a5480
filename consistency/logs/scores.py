"""One model's answers to the questions of one task, as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from consistency.errors import InputError, not_one_of
from consistency.logs.documents import asked_fields, find_line, normalised, options_of, question_key
from consistency.logs.generations import Generation
from consistency.logs.labels import label_of
from consistency.logs.metrics import ACCURACY, accuracy_names
from consistency.logs.task_settings import TaskSettings
from consistency.metrics.aggregates import Summands
from consistency.metrics.distributions import probabilities, top_option
from consistency.metrics.rows import AT_ONCE, in_parts
from consistency.support.arrays import Bools, Floats, Integers
from consistency.support.sequences import Repeated, taken
from consistency.support.text import counted

SCORES = ("raw", "acc_norm", "acc_bytes", "acc_mutual_info")


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """One model's answers to the questions of one task, a row a question.

    The fields are as logged; the properties below derive everything else from them.

    Attributes
    ----------
    task, filter : str
        Name of the task and of the lm_eval filter.
    doc_id : ndarray of int64, shape [n]
        The harness's number of each document, ascending.
    doc_hash, prompt_hash : sequence of str, length n
        The harness's hashes; empty strings in logs that have none.
    logprobs : ndarray of float64, shape [n, k]
        Log-probabilities of the options in nats, NaN-padded; k = 0 for a task without options. A question for which the
        model returned NaN or plus infinity is NaN throughout.
    n_options : ndarray of int64, shape [n]
        Options of each question.
    gold : ndarray of bool, shape [n, k]
        Which options are right; no True in a row where this is unknown.
    metrics : dict of str to ndarray of float64, shape [n]
        The harness's own metrics per document, those whose mean is the harness's number; NaN where a document has none.
    continuations : sequence of tuple of str, length n
        The text scored for each option, such as `" A"`.
    documents : sequence of bytes, length n
        Each document as JSON, as logged.
    unconditional : ndarray of float64, shape [n, k], or None
        Log-probabilities without the question, where the task logs them (`acc_mutual_info`).
    source : Path
        The file it came from.
    summands : dict of str to Summands
        The metrics that are no means, such as perplexities.
    unread : dict of str to str
        The metrics that cannot be computed for a set of questions, and why.
    settings : TaskSettings
        What the run's results file says of the task.
    generations : tuple of Generation, length n, or None
        What the model wrote, where it was asked to.
    tag : str
        The tag that its prompts ask the answer to stand in; empty without one.
    score : str
        The length normalisation of `logprobs`, see `scored_by`.
    duplicates : int
        Rows of the file that repeat a doc_id and are left out.
    notes : tuple of str
        Sentences for a reader of results: rows left out, answers inferred.
    right : sequence of str, length n, or None
        The right answer's text, where the options are known and have no log-probabilities; empty where it is unknown.
    unrotated : Scores or None
        Where these are answers over all rotations of the options: those to the unrotated questions, row by row.
    """

    task: str
    filter: str
    doc_id: Integers
    doc_hash: Sequence[str]
    prompt_hash: Sequence[str]
    logprobs: Floats
    n_options: Integers
    gold: Bools
    metrics: Mapping[str, Floats]
    continuations: Sequence[tuple[str, ...]]
    documents: Sequence[bytes]
    unconditional: Floats | None
    source: Path
    summands: Mapping[str, Summands] = field(default_factory=dict)
    unread: Mapping[str, str] = field(default_factory=dict)
    settings: TaskSettings = field(default_factory=TaskSettings)
    generations: tuple[Generation, ...] | None = None
    tag: str = ""
    score: str = "raw"
    duplicates: int = 0
    notes: tuple[str, ...] = ()
    right: Sequence[str] | None = None
    unrotated: Scores | None = None

    def __len__(self) -> int:
        return len(self.doc_id)

    def __repr__(self) -> str:
        """Its task, and how many questions it has."""
        return f"<Scores {self.task!r}: {counted(len(self), 'question')} of {str(self.source)!r}>"

    @property
    def has_options(self) -> bool:
        """Whether the task's questions have options whose probabilities can be compared."""
        return bool(self.logprobs.shape[1] > 0)

    @property
    def target(self) -> Integers:
        """Index of the (first) right option of each question, -1 where it is unknown. Shape [n]."""
        if not self.has_options:
            return np.full(len(self), -1, dtype=np.int64)
        return np.where(self.gold.any(axis=1), self.gold.argmax(axis=1), -1).astype(np.int64)

    @property
    def probs(self) -> Floats:
        """Softmax over the options, shape [n, k], NaN-padded."""
        # Of many questions it is as large as what the log holds of them.
        return self._probs if len(self) <= AT_ONCE else in_parts(probabilities, self.logprobs)

    @cached_property
    def _probs(self) -> Floats:
        return probabilities(self.logprobs)

    @cached_property
    def prediction(self) -> Integers:
        """Index of the best option, the first at a tie; -1 where there is no distribution. Shape [n]."""
        return top_option(self.logprobs)

    @cached_property
    def accuracy_metrics(self) -> tuple[str, ...]:
        """The logged metrics that say whether an answer is right, the one that counts first.

        Those between 0 and 1, as `accuracy_names` orders them; under a length normalisation its own alone, for the others
        are of other scores.
        """
        shares = [name for name, values in self.metrics.items() if are_shares(values)]
        names = accuracy_names(shares, self.settings.metrics)
        return tuple(names) if self.score == "raw" else tuple(name for name in names if name == self.score)

    @cached_property
    def correct(self) -> Floats:
        """1 where the answer is right, 0 where it is wrong, a fraction where the metric is one, NaN where unknown. Shape [n].

        The harness's own metric where one was logged, so that accuracy is the harness's; otherwise the best option is
        compared with the gold one.
        """
        return self.correct_by(self.accuracy_metrics[0] if self.accuracy_metrics else None)

    def correct_by(self, metric: str | None) -> Floats:
        """Whether each answer is right by a logged metric; by None, whether the best option is a gold one. Shape [n]."""
        if metric is not None:
            return self.metrics[metric]
        if not self.has_options:
            return np.full(len(self), np.nan)
        hit = self.gold[np.arange(len(self)), np.maximum(self.prediction, 0)].astype(np.float64)
        return np.where((self.prediction < 0) | ~self.gold.any(axis=1), np.nan, hit)

    @property
    def _delimiter(self) -> int:
        """Length of the space before every option: 1, or 0 where one has none."""
        return int(all(text.startswith(" ") for texts in set(self.continuations) for text in texts))

    @cached_property
    def option_continuations(self) -> Sequence[tuple[str, ...]]:
        """Continuations without the one space that lm_eval puts before an option."""
        cut = self._delimiter
        if isinstance(self.continuations, Repeated):
            return Repeated(tuple(text[cut:] for texts in self.continuations[:1] for text in texts), len(self))
        cache = {texts: tuple(text[cut:] for text in texts) for texts in set(self.continuations)}
        return tuple(cache[texts] for texts in self.continuations)

    def option_texts(self, row: int) -> tuple[str, ...]:
        """Texts of one question's options in the order of its columns: from the document, else the continuations."""
        return self.texts_beside(row, options_of(self.documents[row]))

    def texts_beside(self, row: int, options: tuple[str, ...]) -> tuple[str, ...]:
        """What `option_texts` gives where the document's options are known.

        They are in the order of the columns, unless the log scores their texts in another order.
        """
        count = int(self.n_options[row])
        scored = self.continuations[row][:count]
        if len(options) != count:
            return self.option_continuations[row][:count]
        if len(scored) == count and count and not label_of(scored[0]):
            columns, own = [list(map(normalised, texts)) for texts in (scored, options)]
            if columns != own and sorted(columns) == sorted(own):
                return tuple([options[own.index(text)] for text in columns])
        return options

    def question_key(self, row: int) -> bytes:
        """Digest of what a question asks, see `documents.question_key`."""
        # The options that are scored count only where the document has none.
        return question_key(self.documents[row], self.option_continuations[row][: int(self.n_options[row])])

    def asked_fields(self, row: int) -> tuple[dict[str, str], tuple[str, ...]]:
        """What a question asks by field, and its options, see `documents.asked_fields`."""
        return asked_fields(self.documents[row], self.option_continuations[row][: int(self.n_options[row])])

    def line(self, row: int) -> int | None:
        """Line of the source that holds a row's document, for a message about it; None where it is not found."""
        return find_line(self.source, self.documents[row], int(self.doc_id[row]))

    def error(self, row: int, problem: str, *, expected: str | None = None, do: str | None = None) -> InputError:
        """The error of a row of the log, with file and line."""
        return InputError(problem, expected=expected, do=do, path=self.source, line=self.line(row))

    def take(self, rows: Integers) -> Scores:
        """The given rows, in the given order."""
        if len(rows) == len(self) and (rows == np.arange(len(self))).all():
            return self
        return replace(
            self,
            doc_id=self.doc_id[rows],
            doc_hash=taken(self.doc_hash, rows),
            prompt_hash=taken(self.prompt_hash, rows),
            logprobs=self.logprobs[rows],
            n_options=self.n_options[rows],
            gold=self.gold[rows],
            metrics={name: values[rows] for name, values in self.metrics.items()},
            summands={name: values.take(rows) for name, values in self.summands.items()},
            generations=None if self.generations is None else tuple(taken(self.generations, rows)),
            continuations=taken(self.continuations, rows),
            documents=taken(self.documents, rows),
            unconditional=None if self.unconditional is None else self.unconditional[rows],
            right=None if self.right is None else taken(self.right, rows),
            unrotated=None if self.unrotated is None else self.unrotated.take(rows),
        )

    def without_options(self) -> Scores:
        """The same answers as right or wrong alone, to compare them with a log that holds no more."""
        n = len(self)
        return replace(
            self,
            logprobs=np.empty((n, 0)),
            gold=np.empty((n, 0), dtype=bool),
            n_options=np.zeros(n, dtype=np.int64),
            continuations=Repeated((), n),
            unconditional=None,
            unrotated=None,
            right=[
                normalised(self.option_texts(row)[target]) if target >= 0 else ""
                for row, target in enumerate(self.target.tolist())
            ],
            metrics=self.metrics if self.accuracy_metrics else {**self.metrics, ACCURACY[0]: self.correct},
            notes=(*self.notes, "log-probabilities are not used: the other log has none"),
        )

    def with_accuracy(self) -> Scores:
        """The same answers with what is right under the first name of `ACCURACY`, for a log that names it otherwise."""
        if ACCURACY[0] in self.accuracy_metrics:
            return self
        note = f"an answer is right by {self.accuracy_metrics[0]}, which the other log does not have"
        return replace(self, metrics={**self.metrics, ACCURACY[0]: self.correct}, notes=(*self.notes, note))

    def reorder_options(self, order: Integers) -> Scores:
        """The same answers with the options of row i in the order `order[i]`; order has shape [n, columns to keep]."""
        moved = (order != np.arange(order.shape[1])).any(axis=1)
        if not moved.any() and order.shape == self.logprobs.shape:
            return self
        continuations = (
            self.continuations
            if not moved.any()
            else tuple(
                [
                    tuple([texts[c] for c in order[i] if c < len(texts)]) if moved[i] else texts
                    for i, texts in enumerate(self.continuations)
                ]
            )
        )
        return replace(
            self,
            logprobs=np.take_along_axis(self.logprobs, order, axis=1),
            gold=np.take_along_axis(self.gold, order, axis=1),
            unconditional=None if self.unconditional is None else np.take_along_axis(self.unconditional, order, axis=1),
            continuations=continuations,
            unrotated=None if self.unrotated is None else self.unrotated.reorder_options(order),
        )

    def scored_by(self, score: str) -> Scores:
        """The same answers under one of lm_eval's length normalisations.

        Parameters
        ----------
        score : {"raw", "acc_norm", "acc_bytes", "acc_mutual_info"}
            `acc_norm` divides each log-probability by the option's length in characters, `acc_bytes` by its UTF-8
            bytes, and `acc_mutual_info` subtracts the log-probability without the question.

        Returns
        -------
        Scores
            With `logprobs` normalised; the harness's metric of that name, where it was logged, says which answers are right.

        Raises
        ------
        InputError
            If the log does not hold what the normalisation needs.
        """
        if score not in SCORES:
            raise not_one_of("score", score, SCORES)
        if score == "raw" or not self.has_options:
            return self
        if score == "acc_mutual_info":
            if self.unconditional is None:
                raise InputError(
                    f"{self.task} has no log-probabilities without the question",
                    expected="a task that logs acc_mutual_info",
                    do="choose another score",
                    path=self.source,
                )
            scores = self.logprobs - self.unconditional
        else:
            scores = self.logprobs / self._lengths(score == "acc_bytes")
        notes = self.notes
        if score in self.metrics:
            wrong = self._disagreements(scores, self.metrics[score])
            if wrong:
                notes = (
                    *notes,
                    f"the best option by {score} contradicts the logged {score} of {counted(wrong, 'question')}",
                )
        return replace(self, logprobs=scores, score=score, notes=notes)

    def _lengths(self, in_bytes: bool) -> Floats:
        """Lengths of the options, without the delimiter before them, shape [n, k], NaN-padded.

        A log does not separate the delimiter from white space of the option: the reading that agrees best with the metric
        that lm_eval logged is taken, and of equals the one with a delimiter of a single space.
        """
        for row, texts in enumerate(self.continuations):
            if not texts:
                raise self.error(row, f"{self.task} does not log the options' texts", expected="arguments")
        blank = min(len(text) - len(text.lstrip()) for texts in self.continuations for text in texts)
        metric = self.metrics.get("acc_bytes" if in_bytes else "acc_norm")
        found: list[tuple[int, Floats]] = []
        for cut in dict.fromkeys([min(self._delimiter, blank), blank, 0]):
            lengths = np.full(self.logprobs.shape, np.nan)
            for row, texts in enumerate(self.continuations):
                lengths[row, : len(texts)] = [len(t[cut:].encode() if in_bytes else t[cut:]) for t in texts]
            if (lengths == 0).any():
                empty = int((lengths == 0).any(axis=1).argmax())
                raise self.error(empty, f"{self.task} has an empty option", do="choose the raw score")
            wrong = 0 if metric is None else self._disagreements(self.logprobs / lengths, metric)
            found.append((wrong, lengths))
        return min(found, key=lambda item: item[0])[1]

    def _disagreements(self, scores: Floats, metric: Floats) -> int:
        """For how many questions a metric contradicts these scores."""
        prediction = top_option(scores)
        hit = self.gold[np.arange(len(self)), np.maximum(prediction, 0)]
        known = (prediction >= 0) & self.gold.any(axis=1) & np.isfinite(metric)
        return int((known & (hit != (metric == 1))).sum())


def are_shares(values: Floats) -> bool:
    """Whether all known values lie between 0 and 1."""
    known = values[np.isfinite(values)]
    return bool(len(known)) and bool(((known >= 0) & (known <= 1)).all())
