"""The rows of one samples file, field by field, and the scores they make."""

from __future__ import annotations

import ast
from array import array
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.distributions import Bools, Floats, top_option
from consistency.errors import InputError
from consistency.lenient import find_line
from consistency.row_kinds import RowKind, in_order
from consistency.rows import open_rows
from consistency.scores import Scores


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
        return {task: columns.to_scores(task, np.arange(len(columns.doc_id)), file)}
    of_row = np.array(columns.filter)
    return {f"{task},{name}": columns.to_scores(task, np.flatnonzero(of_row == name), file) for name in filters}


class _Columns:
    """Rows are taken apart batch by batch, while they are in the processor's cache, and forgotten."""

    def __init__(self, kind: RowKind, file: Path) -> None:
        self.kind = kind
        self.file = file
        self.doc_id = array("q")
        self.target: list[Any] = []
        self.filter: list[str] = []
        self.doc_hash: list[str] = []
        self.prompt_hash: list[str] = []
        self.documents: list[bytes] = []
        self.metrics: list[list[float | bool | None]] = [[] for _ in kind.metrics]
        self.logprobs = array("d")
        self.n_options = array("q")
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
        documents = [bytes(row.doc) for row in rows]
        self._check_text(documents, rows)
        self.documents += documents
        self.doc_id.fromlist([row.doc_id for row in rows])
        self.target += [row.target for row in rows]
        self.filter += [row.filter or "none" for row in rows]
        self.doc_hash += [row.doc_hash or "" for row in rows]
        self.prompt_hash += [row.prompt_hash or "" for row in rows]
        for i, column in enumerate(self.metrics):
            column += map(attrgetter(f"metric_{i}"), rows)
        if self.kind.has_options:
            responses = [row.filtered_resps for row in rows]
            self.logprobs.fromlist([response.logprob for options in responses for response in options])
            counts = list(map(len, responses))
            self.n_options.fromlist(counts)
            if self.kind.letters:
                self.continuations += [self.kind.letters[:count] for count in counts]
            else:
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
        width = max(self.n_options)
        flat = np.frombuffer(self.logprobs)
        if len(flat) == width * len(n_options):
            return flat.reshape(-1, width), n_options
        logprobs = np.full((len(n_options), width), np.nan)
        logprobs[np.arange(width) < n_options[:, None]] = flat
        return logprobs, n_options

    def to_scores(self, task: str, rows: NDArray[np.int64], file: Path) -> Scores:
        """The scores of some rows, sorted by doc_id, the first of each."""
        notes: list[str] = []
        doc_id = np.array(self.doc_id, dtype=np.int64)[rows]
        duplicates = 0
        ascending = bool((doc_id[1:] > doc_id[:-1]).all())
        if not ascending:
            doc_id, first, of = np.unique(doc_id, return_index=True, return_inverse=True)
            duplicates = len(rows) - len(first)
            if duplicates:
                kept = rows[first[of.reshape(-1)]].tolist()
                pairs = zip(kept, rows.tolist(), strict=True)
                others = sum(self.documents[a] != self.documents[b] for a, b in pairs)
                which = f", {others} of them with another document" if others else ""
                notes.append(f"{duplicates} rows repeat a doc_id{which}; the first of each is used")
            rows = rows[first]

        listed = None if ascending and len(rows) == len(self.doc_id) else rows.tolist()

        def chosen(column: list[Any]) -> tuple[Any, ...]:
            return tuple(column) if listed is None else tuple([column[i] for i in listed])

        if self.kind.unread:
            notes.append(f"no single number for each document, and not compared: {', '.join(self.kind.unread)}")
        metrics = {
            name: np.array(column, dtype=np.float64)[rows]
            for name, column in zip(self.kind.metrics, self.metrics, strict=True)
        }
        unconditional = None
        if self.kind.has_options:
            matrix, counts = self._matrix()
            logprobs, n_options, unconditional = _split_unconditional(matrix[rows], counts[rows], metrics)
            if not np.isfinite(logprobs).all():
                absent = np.isnan(logprobs).sum(axis=1) > logprobs.shape[1] - n_options
                broken = absent | (logprobs == np.inf).any(axis=1)
                if broken.any():
                    logprobs[broken] = np.nan
                    notes.append(f"{int(broken.sum())} questions have log-probabilities that are no numbers")
            continuations = chosen(self.continuations)
            if unconditional is not None:
                continuations = tuple(texts[: len(texts) // 2] for texts in continuations)
            gold, inferred, unknown = _gold(chosen(self.target), continuations, logprobs, n_options, metrics.get("acc"))
            if inferred:
                notes.append(f"the right option of {inferred} questions is inferred from the logged acc")
            if unknown:
                notes.append(f"the right option of {unknown} questions is not known from the log")
        else:
            logprobs, gold = np.empty((len(rows), 0)), np.empty((len(rows), 0), dtype=bool)
            n_options, continuations = np.zeros(len(rows), dtype=np.int64), ((),) * len(rows)
        return Scores(
            task=task,
            filter=self.filter[rows[0]],
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
            source=file,
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


def _as_indices(target: Any) -> tuple[int, ...]:
    """Indices that a logged target names: 2, "2", [0, 2] or "[0, 2]"."""
    if isinstance(target, str):
        text = target.strip()
        if text.isascii() and text.isdigit() and len(text) < 10:
            return (int(text),)
        if not (text.startswith("[") and len(text) < 10_000):
            return ()
        try:
            target = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return ()
    if isinstance(target, bool):
        return ()
    if isinstance(target, float) and target.is_integer():
        target = int(target)
    if isinstance(target, int):
        return (target,)
    if isinstance(target, list) and all(type(item) is int for item in target):
        return tuple(target)
    return ()


def _index_masks(targets: tuple[Any, ...], k: int) -> Bools:
    """Which options the targets name by index; a log repeats few distinct ones."""
    # What is equal must be the same target to be one key: 1, 1.0 and True are not, and a list is no key.
    plain = set(map(type, targets)) in ({str}, {int})
    keys: Sequence[Any] = targets if plain else list(map(repr, targets))
    distinct = dict(zip(keys, targets, strict=True))
    masks = np.array([[option in named for option in range(k)] for named in map(_as_indices, distinct.values())])
    place = dict(zip(distinct, range(len(distinct)), strict=True))
    return masks.take([place[key] for key in keys], axis=0)


def _by_text(target: Any, texts: tuple[str, ...]) -> tuple[int, ...]:
    wanted = [target] if isinstance(target, str) else target if isinstance(target, list) else []
    options = [text.strip() for text in texts]
    return tuple(options.index(item.strip()) for item in wanted if isinstance(item, str) and item.strip() in options)


def _gold(
    targets: tuple[Any, ...],
    continuations: tuple[tuple[str, ...], ...],
    logprobs: Floats,
    n_options: NDArray[np.int64],
    acc: Floats | None,
) -> tuple[Bools, int, int]:
    """Which options are right, for how many questions only the logged `acc` told, and for how many nothing did.

    A logged target is the index of an option or its text, and "1" may be either: the reading that agrees with the
    harness's own `acc` holds.
    """
    rows, k = logprobs.shape
    prediction = top_option(logprobs)
    gold = _index_masks(targets, k) & (np.arange(k) < n_options[:, None])
    told = np.asarray(gold.any(axis=1))

    def disagreements(gold: Bools, told: Bools) -> int:
        if acc is None:
            return 0
        hit = gold[np.arange(rows), prediction]
        return int((told & (prediction >= 0) & (hit != (acc == 1))).sum())

    wrong = disagreements(gold, told)
    if wrong or not told.all():
        by_text = np.zeros((rows, k), dtype=bool)
        for row, (target, texts) in enumerate(zip(targets, continuations, strict=True)):
            # A task whose options are contexts scores one text throughout, and its target then names no option.
            if len(set(texts)) == len(texts):
                by_text[row, list(_by_text(target, texts))] = True
        if wrong and disagreements(by_text, np.asarray(by_text.any(axis=1))) < wrong:
            gold, by_text = by_text, gold
        gold |= by_text & ~gold.any(axis=1, keepdims=True)
        told = np.asarray(gold.any(axis=1))
    if acc is None or told.all():
        return gold, 0, int((~told).sum())
    right = ~told & (acc == 1) & (prediction >= 0)
    other = ~told & (acc == 0) & (prediction >= 0) & (n_options == 2)
    gold[right, prediction[right]] = True
    gold[other, 1 - prediction[other]] = True
    return gold, int((right | other).sum()), int((~(told | right | other)).sum())
