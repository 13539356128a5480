"""The rows of one samples file, field by field, and the scores they make."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.errors import InputError
from consistency.logs.documents import find_line
from consistency.logs.gold import Targets, gold_options
from consistency.logs.rows import RowKind, in_order, open_rows
from consistency.logs.scores import Scores
from consistency.support.arrays import Floats


def read_samples(file: Path, task: str) -> dict[str, Scores]:
    """Read one samples file: `Scores` by task name, or by `"task,filter"` where the file holds several filters.

    Parameters
    ----------
    file : Path
    task : str
        Name of the task, which the file's content does not say.

    Raises
    ------
    InputError
        Naming file and line, if the file is not a log of lm_eval.
    """
    try:
        columns = _Columns.read(file, letters=True)
    except InputError:
        columns = _Columns.read(file, letters=False)
    filters = sorted(set(columns.filter))
    if len(filters) == 1:
        return {task: columns.to_scores(task, None)}
    of_row = np.array(columns.filter)
    return {f"{task},{name}": columns.to_scores(task, np.flatnonzero(of_row == name)) for name in filters}


class _Columns:
    """Rows are taken apart batch by batch, while they are in the processor's cache, and forgotten.

    Numbers are kept as bytes of int64 and float64, which `pack` writes faster than any array takes them from a list.
    """

    def __init__(self, kind: RowKind, file: Path) -> None:
        self.kind = kind
        self.file = file
        self.doc_id = bytearray()
        self.filter: list[str] = []
        self.doc_hash: list[str] = []
        self.prompt_hash: list[str] = []
        self.documents: list[bytes] = []
        self.metrics: list[list[float | bool | None]] = [[] for _ in kind.metrics]
        self.targets = Targets()
        self.target = bytearray()
        self.logprobs = bytearray()
        self.n_options = bytearray()
        self.continuations: list[tuple[str, ...]] = []

    @classmethod
    def read(cls, file: Path, *, letters: bool) -> _Columns:
        with open_rows(file, letters=letters) as (kind, batches):
            columns = cls(kind, file)
            for rows in batches:
                columns.extend(rows)
        return columns

    def extend(self, rows: list[Any]) -> None:
        # Comprehensions, since reading a slot in them is faster than by any function.
        n = len(rows)
        documents = [bytes(row.doc) for row in rows]
        self._check_text(documents, rows)
        self.documents += documents
        self.doc_id += pack(f"{n}q", *[row.doc_id for row in rows])
        self.doc_hash += [row.doc_hash or "" for row in rows]
        self.prompt_hash += [row.prompt_hash or "" for row in rows]
        for i, column in enumerate(self.metrics):
            column += map(attrgetter(f"metric_{i}"), rows)
        if self.kind.has_options:
            responses = [row.filtered_resps for row in rows]
            logprobs = [response.logprob for options in responses for response in options]
            self.logprobs += pack(f"{len(logprobs)}d", *logprobs)
            self.target += pack(f"{n}q", *self.targets.numbers([row.target for row in rows]))
        if self.kind.letters:
            self.filter += [self.kind.filter] * n
            self.n_options += pack("q", len(self.kind.letters)) * n
            self.continuations += [self.kind.letters] * n
            return
        self.filter += [row.filter or "none" for row in rows]
        if self.kind.has_options:
            counts = list(map(len, responses))
            self.n_options += pack(f"{n}q", *counts)
            self._extend_continuations(rows, counts)

    def _check_text(self, documents: list[bytes], rows: list[Any]) -> None:
        """The decoder does not look into the bytes of documents, which others read as text."""
        for document in [document for document in documents if not document.isascii()]:
            try:
                document.decode()
            except UnicodeDecodeError as error:
                raise InputError(
                    f"the document is not UTF-8: {error.reason}",
                    expected="UTF-8 text",
                    do="copy the file again or run lm_eval again",
                    path=self.file,
                    line=find_line(self.file, document, rows[documents.index(document)].doc_id),
                ) from None

    def _extend_continuations(self, rows: list[Any], counts: list[int]) -> None:
        # Rows in sequence share one tuple, since most tasks score the same letters throughout.
        last = self.continuations[-1] if self.continuations else ()
        text_of = attrgetter("arg_1")
        for row, count in zip(rows, counts, strict=True):
            arguments = row.arguments
            texts = tuple(map(text_of, in_order(arguments) if type(arguments) is dict else arguments))
            if texts and len(texts) != count:
                raise InputError(
                    f"{len(texts)} options and {count} log-probabilities",
                    expected="one for each option",
                    do="run lm_eval again, or remove the line",
                    path=self.file,
                    line=find_line(self.file, bytes(row.doc), row.doc_id),
                )
            if texts != last:
                last = texts
            self.continuations.append(last)

    def _matrix(self) -> tuple[Floats, NDArray[np.int64]]:
        n_options = np.frombuffer(self.n_options, dtype=np.int64)
        width = int(n_options.max())
        flat = np.frombuffer(self.logprobs)
        if len(flat) == width * len(n_options):
            return flat.reshape(-1, width), n_options
        logprobs = np.full((len(n_options), width), np.nan)
        logprobs[np.arange(width) < n_options[:, None]] = flat
        return logprobs, n_options

    def to_scores(self, task: str, rows: NDArray[np.int64] | None) -> Scores:
        """The scores of some rows, or of all, sorted by doc_id, the first of each."""
        notes: list[str] = []
        doc_id = np.frombuffer(self.doc_id, dtype=np.int64)
        if rows is not None:
            doc_id = doc_id[rows]
        duplicates = 0
        if not (doc_id[1:] > doc_id[:-1]).all():
            rows = np.arange(len(doc_id)) if rows is None else rows
            doc_id, first, of = np.unique(doc_id, return_index=True, return_inverse=True)
            duplicates = len(rows) - len(first)
            if duplicates:
                kept = rows[first[of.reshape(-1)]].tolist()
                pairs = zip(kept, rows.tolist(), strict=True)
                others = sum(self.documents[a] != self.documents[b] for a, b in pairs)
                which = f", {others} of them with another document" if others else ""
                notes.append(f"{duplicates} rows repeat a doc_id{which}; the first of each is used")
            rows = rows[first]
        # All rows in the order of the file, as most files have them, are taken without being picked.
        taken = slice(None) if rows is None else rows
        listed = None if rows is None else rows.tolist()

        def chosen(column: list[Any]) -> tuple[Any, ...]:
            return tuple(column) if listed is None else tuple([column[i] for i in listed])

        if self.kind.unread:
            notes.append(f"no single number for each document, and not compared: {', '.join(self.kind.unread)}")
        metrics = {
            name: np.array(column, dtype=np.float64)[taken]
            for name, column in zip(self.kind.metrics, self.metrics, strict=True)
        }
        unconditional = None
        if self.kind.has_options:
            matrix, counts = self._matrix()
            logprobs, n_options, unconditional = _split_unconditional(matrix[taken], counts[taken], metrics)
            if not np.isfinite(logprobs).all():
                absent = np.isnan(logprobs).sum(axis=1) > logprobs.shape[1] - n_options
                broken = absent | (logprobs == np.inf).any(axis=1)
                if broken.any():
                    logprobs[broken] = np.nan
                    notes.append(f"{int(broken.sum())} questions have log-probabilities that are no numbers")
            continuations = chosen(self.continuations)
            if unconditional is not None:
                continuations = tuple(texts[: len(texts) // 2] for texts in continuations)
            target = np.frombuffer(self.target, dtype=np.int64)[taken]
            gold, inferred, unknown = gold_options(
                self.targets, target, continuations, logprobs, n_options, metrics.get("acc")
            )
            if inferred:
                notes.append(f"the right option of {inferred} questions is inferred from the logged acc")
            if unknown:
                notes.append(f"the right option of {unknown} questions is not known from the log")
        else:
            n = len(doc_id)
            logprobs, gold = np.empty((n, 0)), np.empty((n, 0), dtype=bool)
            n_options, continuations = np.zeros(n, dtype=np.int64), ((),) * n
        return Scores(
            task=task,
            filter=self.filter[0 if listed is None else listed[0]],
            doc_id=doc_id,
            doc_hash=chosen(self.doc_hash),
            prompt_hash=chosen(self.prompt_hash),
            logprobs=logprobs,
            n_options=n_options,
            gold=gold,
            metrics=metrics,
            continuations=continuations,
            documents=chosen(self.documents),
            unconditional=unconditional,
            source=self.file,
            duplicates=duplicates,
            notes=tuple(notes),
        )


def _split_unconditional(
    logprobs: Floats, n_options: NDArray[np.int64], metrics: Mapping[str, Floats]
) -> tuple[Floats, NDArray[np.int64], Floats | None]:
    """Separate the log-probabilities without the question, which `acc_mutual_info` logs behind the others."""
    if "acc_mutual_info" not in metrics or (n_options % 2).any():
        return logprobs, n_options, None
    half = n_options // 2
    columns = np.arange(int(half.max()))
    present = columns < half[:, None]
    conditional = np.where(present, logprobs[:, : len(columns)], np.nan)
    behind = np.take_along_axis(logprobs, np.minimum(columns + half[:, None], logprobs.shape[1] - 1), axis=1)
    return conditional, half, np.where(present, behind, np.nan)
