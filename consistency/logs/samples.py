"""The scores that one samples file holds, gathered row by row into columns."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import count as numbered
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from consistency.errors import InputError
from consistency.logs.documents import find_line
from consistency.logs.generations import Generation, read_generation
from consistency.logs.gold import LoggedOptions, Targets, find_gold
from consistency.logs.labels import order_of_labels
from consistency.logs.metrics import Options, read_metrics, to_numbers
from consistency.logs.packed import read_log
from consistency.logs.row_reader import open_rows
from consistency.logs.rows import Expected, RowKind, in_order
from consistency.logs.scores import Scores
from consistency.logs.task_settings import TaskSettings
from consistency.support.arrays import Bools, Floats, Integers
from consistency.support.json_files import is_deep
from consistency.support.sequences import JoinedBytes, Repeated
from consistency.support.sequences import taken as taken_of
from consistency.support.text import counted

# Levels of a document: others walk and write it again, at any depth of calls.
_DEEPEST = 400
_BRACKETS = re.compile(rb"[\[\]{}]")


def read_samples(file: Path, task: str, settings: TaskSettings | None = None) -> dict[str, Scores]:
    """The scores of one samples file by task name, or by `"task,filter"` where the file holds several filters.

    Parameters
    ----------
    file : Path
    task : str
        Name of the task, which the file does not contain.
    settings : TaskSettings, optional
        What the run's results file says of the task. lm_eval before 0.4.6 does not name the filter in a row: the rows of one
        filter follow those of the other, in the order of the task's filters.

    Raises
    ------
    InputError
        Naming file and line, if the file is not a log of lm_eval.
    """
    try:
        return _read_samples(file, task, settings or TaskSettings())
    except RecursionError:
        raise InputError(
            "a value is nested too deeply",
            expected="the fields and types that lm_eval --log_samples writes",
            do="run lm_eval again, or remove the line",
            path=file,
            line=_deepest_line(file),
        ) from None


def _read_samples(file: Path, task: str, settings: TaskSettings) -> dict[str, Scores]:
    names = tuple(dict.fromkeys([*settings.metrics, *(metric for metric, _ in settings.values)]))
    columns = _read_columns(file, names)
    blocks = columns.by_filter(settings)
    if len(blocks) == 1:
        return {task: columns.to_scores(task, *blocks[0], settings)}
    return {f"{task},{name}": columns.to_scores(task, name, rows, settings) for name, rows in blocks}


def _read_columns(file: Path, metrics: tuple[str, ...]) -> _Columns:
    """The columns of a file, whose rows are taken to be as most are as long as none is otherwise."""
    refusals: list[InputError] = []
    for expected in (
        Expected(letters=True, metrics=metrics),
        Expected(metrics=metrics),
        # One metric that is no number in every row must not cost the others.
        Expected(metrics=metrics, numbers=False),
    ):
        try:
            return _Columns.read(file, expected)
        except InputError as error:
            # With its traceback an error would hold the columns that were read so far.
            refusals.append(error.with_traceback(None))
            error.__context__ = None
    raise refusals[1]


def _deepest_line(file: Path) -> int:
    """The line of a samples file with the deepest value, brackets in texts counted as well."""
    deepest, found = 0, 1
    for number, line in enumerate(read_log(file).split(b"\n"), 1):
        level = highest = 0
        for mark in _BRACKETS.findall(line):
            level += 1 if mark in b"[{" else -1
            highest = max(highest, level)
        if highest > deepest:
            deepest, found = highest, number
    return found


class _Numbers:
    """A column of numbers that grows by lists.

    Its content is bytes, since `pack` converts a list in less than half of the time that any array needs.
    """

    def __init__(self, dtype: type[np.float64] | type[np.int64]) -> None:
        self._dtype = np.dtype(dtype)
        self._content = bytearray()

    def extend(self, values: list[int] | list[float]) -> None:
        self._content += struct.pack(f"{len(values)}{self._dtype.char}", *values)

    def to_array(self) -> Any:
        return np.frombuffer(self._content, dtype=self._dtype)


class _Values:
    """A column of any values that grows by lists, and takes next to no memory as long as all of them are the same."""

    def __init__(self) -> None:
        self._same: Repeated[Any] = Repeated(None, 0)
        self._different: list[Any] = []

    def extend(self, values: list[Any]) -> None:
        if values and not self._different:
            first = self._same[0] if len(self._same) else values[0]
            if values.count(first) == len(values):
                self._same = Repeated(first, len(self._same) + len(values))
                return
            self._different = list(self._same)
        self._different += values

    def to_sequence(self) -> Sequence[Any]:
        return self._different or self._same


class _Metric:
    """A column of what a metric logs, that grows by lists: numbers as such, as long as there is nothing else."""

    def __init__(self) -> None:
        self._numbers = _Numbers(np.float64)
        self._values: list[Any] = []

    def extend(self, values: list[Any]) -> None:
        if not self._values:
            with suppress(struct.error):
                self._numbers.extend(values)
                return
            self._values = self._numbers.to_array().tolist()
        self._values += values

    def to_sequence(self) -> Any:
        return self._values or self._numbers.to_array()


class _Columns:
    """The rows of a file as columns, an item a row; of `logprobs` an item an option, the options of a row in sequence.

    Rows are taken apart batch by batch, while they are in the processor's cache, and forgotten.
    """

    def __init__(self, kind: RowKind, file: Path) -> None:
        self.kind = kind
        self.file = file
        self.doc_id = _Numbers(np.int64)
        self.filter = _Values()
        self.doc_hash = _Values()
        self.prompt_hash = _Values()
        self.documents = bytearray()
        self.document_size = _Numbers(np.int64)
        self.metrics = [_Metric() for _ in kind.metrics]
        self.generations: list[Generation] = []
        self.targets = Targets()
        self.target = _Numbers(np.int64)
        self.logprobs = _Numbers(np.float64)
        self.n_options = _Values()
        self.continuations = _Values()
        self.last: tuple[str, ...] = ()

    @classmethod
    def read(cls, file: Path, expected: Expected) -> _Columns:
        with open_rows(file, expected) as (kind, batches):
            columns = cls(kind, file)
            for rows in batches:
                columns.extend(rows)
        return columns

    def extend(self, rows: list[Any]) -> None:
        # Comprehensions, since reading a slot in them is faster than by any function.
        n = len(rows)
        documents = [bytes(row.doc) for row in rows]
        self._check_text(documents, rows)
        self.documents += b"".join(documents)
        self.document_size.extend(list(map(len, documents)))
        self.doc_id.extend([row.doc_id for row in rows])
        self.doc_hash.extend([row.doc_hash or "" for row in rows])
        self.prompt_hash.extend([row.prompt_hash or "" for row in rows])
        for i, column in enumerate(self.metrics):
            column.extend(list(map(attrgetter(f"metric_{i}"), rows)))
        if self.kind.has_options:
            responses = [row.filtered_resps for row in rows]
            self.logprobs.extend([response.logprob for options in responses for response in options])
            self.target.extend(self.targets.numbers([row.target for row in rows]))
        if self.kind.letters:
            self.filter.extend([self.kind.filter] * n)
            self.n_options.extend([len(self.kind.letters)] * n)
            self.continuations.extend([self.kind.letters] * n)
            return
        self.filter.extend([row.filter for row in rows])
        if self.kind.is_generated:
            self.generations += [read_generation(row.target, row.resps, row.filtered_resps) for row in rows]
        if self.kind.has_options:
            counts = list(map(len, responses))
            self.n_options.extend(counts)
            self._extend_continuations(rows, counts)

    def _check_text(self, documents: list[bytes], rows: list[Any]) -> None:
        """Refuse documents that are not UTF-8 or too deep: the decoder skips their bytes, and others read them."""
        # All at once is faster; no document ends within a character and begins with the rest of one.
        with suppress(UnicodeDecodeError):
            b" ".join(documents).decode()
            self._check_depth(documents, rows)
            return
        for document in documents:
            try:
                document.decode()
            except UnicodeDecodeError as error:
                raise self._unusable(f"is not UTF-8: {error.reason}", "UTF-8 text", document, rows, documents) from None

    def _check_depth(self, documents: list[bytes], rows: list[Any]) -> None:
        # Only a long document with as many brackets can be deep.
        for document in [document for document in documents if len(document) > 2 * _DEEPEST]:
            if document.count(b"[") + document.count(b"{") > _DEEPEST and _is_deep(document):
                raise self._unusable("is nested too deeply", f"at most {_DEEPEST} levels", document, rows, documents)

    def _unusable(
        self, problem: str, expected: str, document: bytes, rows: list[Any], documents: list[bytes]
    ) -> InputError:
        return InputError(
            f"the document {problem}",
            expected=expected,
            do="copy the file again or run lm_eval again",
            path=self.file,
            line=find_line(self.file, document, rows[documents.index(document)].doc_id),
        )

    def _extend_continuations(self, rows: list[Any], counts: list[int]) -> None:
        # Rows in sequence share one tuple, since most tasks score the same letters throughout.
        last, found = self.last, []
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
            found.append(last)
        self.continuations.extend(found)
        self.last = last

    def by_filter(self, settings: TaskSettings) -> list[tuple[str, Integers | None]]:
        """Name and rows of each filter, in the order of the task's filters, else of the file; rows None for all."""
        named = self.filter.to_sequence()
        names = list(dict.fromkeys(named))
        if names == [None]:
            blocks = self._blocks()
            if len(blocks) > 1 and len(settings.filters) in (0, len(blocks)):
                return list(zip(settings.filters or map("filter {}".format, numbered(1)), blocks, strict=False))
            return [(settings.filters[0] if len(settings.filters) == 1 else "none", None)]
        if len(names) == 1:
            return [(names[0] or "none", None)]
        of_row = np.array([name or "none" for name in named])
        listed = [name or "none" for name in names]
        listed.sort(key=lambda name: settings.filters.index(name) if name in settings.filters else len(listed))
        return [(name, np.flatnonzero(of_row == name)) for name in listed]

    def _blocks(self) -> list[Integers]:
        """Rows of each round through the same documents; all rows where the file is not made of whole rounds."""
        doc_id = self.doc_id.to_array()
        if (doc_id[1:] > doc_id[:-1]).all():
            return [np.arange(len(doc_id))]
        size = len(np.unique(doc_id))
        rounds = np.arange(len(doc_id)).reshape(-1, size) if len(doc_id) % size == 0 else np.arange(len(doc_id))[None]
        documents = self.joined_documents()
        same = (doc_id[rounds] == doc_id[rounds[0]]).all() and all(
            documents.take(rows) == documents[:size] for rows in rounds[1:]
        )
        return list(rounds) if same else [np.arange(len(doc_id))]

    def to_scores(self, task: str, filter_name: str, rows: Integers | None, settings: TaskSettings) -> Scores:
        """The scores of a filter's rows, or of all, sorted by doc_id, the first of each."""
        rows, duplicates, notes = self._distinct(rows)
        # All rows in the order of the file, as most files have them, are taken without being picked.
        taken = slice(None) if rows is None else rows

        def chosen(column: Any) -> Any:
            if isinstance(column, np.ndarray):
                return column[taken]
            if rows is None:
                return tuple(column) if isinstance(column, list) else column
            return taken_of(column, rows)

        columns = {
            name: chosen(column.to_sequence()) for name, column in zip(self.kind.metrics, self.metrics, strict=True)
        }
        documents = chosen(self.joined_documents())
        doc_id = self.doc_id.to_array()[taken]
        n = len(doc_id)
        unconditional = None
        if self.kind.has_options:
            matrix, counts = self._matrix()
            logprobs, n_options = matrix[taken], counts[taken]
            continuations = chosen(self.continuations.to_sequence())
            if "acc_mutual_info" in self.kind.metrics:
                logprobs, n_options, unconditional = _split_unconditional(logprobs, n_options)
            broken = _without_scores(logprobs, n_options)
            if broken.any():
                logprobs[broken] = np.nan
                notes.append(f"{counted(int(broken.sum()), 'question', 'have')} log-probabilities that are not numbers")
            if unconditional is not None:
                unmatched = _match_unconditional(unconditional, continuations)
                if unmatched:
                    logprobs[unmatched] = np.nan
                    notes.append(
                        f"{counted(len(unmatched), 'question', 'log')} other options without the question than with it"
                    )
                continuations = tuple(texts[: len(texts) // 2] for texts in continuations)
            target = self.target.to_array()[taken]
            acc = columns.get("acc")
            found = find_gold(
                LoggedOptions(
                    self.targets,
                    target,
                    continuations,
                    logprobs,
                    n_options,
                    None if acc is None else to_numbers(acc),
                    documents,
                )
            )
            gold = found.gold
            if found.inferred:
                notes.append(
                    f"the right option of {counted(found.inferred, 'question')} is inferred from the logged acc"
                )
            if found.unknown:
                notes.append(f"the right option of {counted(found.unknown, 'question')} is not known from the log")
        else:
            logprobs, gold = np.empty((n, 0)), np.empty((n, 0), dtype=bool)
            n_options, continuations = np.zeros(n, dtype=np.int64), Repeated((), n)
        options = Options(logprobs, gold) if self.kind.has_options else None
        metrics = read_metrics(columns, settings, filter_name, options, repeated=bool(duplicates))
        scores = Scores(
            task=task,
            filter=filter_name,
            doc_id=doc_id,
            doc_hash=chosen(self.doc_hash.to_sequence()),
            prompt_hash=chosen(self.prompt_hash.to_sequence()),
            logprobs=logprobs,
            n_options=n_options,
            gold=gold,
            metrics=metrics.means,
            summands=metrics.summands,
            unread={**metrics.unread, **dict.fromkeys(self.kind.odd, "its name has quotes or control characters")},
            settings=settings,
            generations=chosen(self.generations) if self.kind.is_generated else None,
            tag=self.kind.tag,
            continuations=continuations,
            documents=documents,
            unconditional=unconditional,
            source=self.file,
            duplicates=duplicates,
            notes=(*notes, *metrics.notes),
        )
        # Letters of which the first row has others than all have one order already, but perhaps not that of counting.
        order = order_of_labels(continuations, scores.documents, logprobs.shape[1]) if self.kind.has_options else None
        if order is None:
            return scores
        moved = int((order != np.arange(logprobs.shape[1])).any(axis=1).sum())
        note = f"{counted(moved, 'question', 'log')} the options in another order of labels; they are put in that of the others"
        return replace(scores.reorder_options(order), notes=(*scores.notes, note))

    def _distinct(self, rows: Integers | None) -> tuple[Integers | None, int, list[str]]:
        """Rows sorted by doc_id, the first of each (None for all, as they are), how many are left out, and a note on it."""
        doc_id = self.doc_id.to_array() if rows is None else self.doc_id.to_array()[rows]
        if (doc_id[1:] > doc_id[:-1]).all():
            return rows, 0, []
        rows = np.arange(len(doc_id)) if rows is None else rows
        _, first, of = np.unique(doc_id, return_index=True, return_inverse=True)
        duplicates = len(rows) - len(first)
        if not duplicates:
            return rows[first], 0, []
        pairs = zip(rows[first[of.reshape(-1)]].tolist(), rows.tolist(), strict=True)
        documents = self.joined_documents()
        others = sum(documents[kept] != documents[row] for kept, row in pairs if kept != row)
        which = f", {others} of them with another document" if others else ""
        return (
            rows[first],
            duplicates,
            [f"{counted(duplicates, 'row', 'repeat')} a doc_id{which}; the first of each is used"],
        )

    def joined_documents(self) -> JoinedBytes:
        """The document of each row."""
        return JoinedBytes(self.documents, np.cumsum(self.document_size.to_array()))

    def _matrix(self) -> tuple[Floats, Integers]:
        """Log-probabilities of shape [rows, most options], NaN-padded, and the number of options of each row."""
        flat, counts = self.logprobs.to_array(), self.n_options.to_sequence()
        n_options = (
            np.broadcast_to(np.int64(counts[0]), len(counts))
            if isinstance(counts, Repeated)
            else np.array(counts, dtype=np.int64)
        )
        width = int(n_options.max())
        if len(flat) == width * len(n_options):
            return flat.reshape(-1, width), n_options
        logprobs = np.full((len(n_options), width), np.nan)
        logprobs[np.arange(width) < n_options[:, None]] = flat
        return logprobs, n_options


def _is_deep(document: bytes) -> bool:
    try:
        return is_deep(msgspec.json.decode(document), _DEEPEST)
    except RecursionError:
        return True
    except msgspec.DecodeError:  # as with NaN, which others read as text
        return False


def _without_scores(logprobs: Floats, n_options: Integers) -> Bools:
    """Which questions have an option whose log-probability is NaN or plus infinity, shape [n]."""
    if np.isfinite(logprobs).all():
        return np.zeros(len(logprobs), dtype=bool)
    absent = np.isnan(logprobs).sum(axis=1) > logprobs.shape[1] - n_options
    return np.asarray(absent | (logprobs == np.inf).any(axis=1))


def _split_unconditional(logprobs: Floats, n_options: Integers) -> tuple[Floats, Integers, Floats | None]:
    """Separate the log-probabilities without the question, which `acc_mutual_info` logs behind the others."""
    if (n_options % 2).any():
        return logprobs, n_options, None
    half = n_options // 2
    columns = np.arange(int(half.max()))
    present = columns < half[:, None]
    conditional = np.where(present, logprobs[:, : len(columns)], np.nan)
    behind = np.take_along_axis(logprobs, np.minimum(columns + half[:, None], logprobs.shape[1] - 1), axis=1)
    return conditional, half, np.where(present, behind, np.nan)


def _match_unconditional(unconditional: Floats, continuations: Sequence[tuple[str, ...]]) -> list[int]:
    """Put the log-probabilities without the question into the order of those with it; the rows where they are of others.

    The texts of the options follow each other in two halves, of which the second lacks the delimiter before an option.
    """
    found: dict[tuple[str, ...], list[int] | None] = {}
    unmatched = []
    for row, texts in enumerate(continuations):
        if texts not in found:
            found[texts] = _places_behind(texts)
        places = found[texts]
        if places is None:
            unmatched.append(row)
        elif places != list(range(len(places))):
            unconditional[row, : len(places)] = unconditional[row, places]
    return unmatched


def _places_behind(texts: tuple[str, ...]) -> list[int] | None:
    """Of each option of the first half its place in the second half; None where that has others."""
    half = len(texts) // 2
    first, second = [text.strip() for text in texts[:half]], [text.strip() for text in texts[half:]]
    if all(one.endswith(other) for one, other in zip(first, second, strict=True)):
        return list(range(half))
    if sorted(first) != sorted(second) or len(set(first)) < half:
        return None
    return [second.index(text) for text in first]
