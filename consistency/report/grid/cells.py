"""One tuned model in one scope, question by question: what every figure of a report is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.items import answers, question_arrays
from consistency.comparison.labelled import by_label
from consistency.comparison.measured_task import MeasuredTask
from consistency.comparison.pairing import pair
from consistency.errors import InputError
from consistency.experiment.grid import Experiment, TunedRun
from consistency.logs.runs import Run, read_run
from consistency.report.document import Log
from consistency.report.items import Columns, joined
from consistency.report.provenance import log_record
from consistency.support.arrays import Integers


@dataclass(frozen=True, eq=False)
class Cell:
    """The questions of one scope as one tuned model and its base model answered them.

    Attributes
    ----------
    model, domain, group, seed, scope
        Which run, and which scope of its domain.
    task : ndarray of int64, shape [n]
        The task of each question, as an index into `CellReader.task_names`.
    doc_id : ndarray of int64, shape [n]
        The harness's number of the question in its task.
    arrays : dict of str to ndarray
        One row per question: what `comparison.items` gives (base 5-shot against tuned
        0-shot), and with the prefix `zero_` what they say of base 0-shot against base 5-shot.
    least_likely : dict of str to tuple of float
        By the prefix of arrays, "" and "zero_": how unlikely the least likely option of any question is to each of the two
        runs, in nats; empty where that is not known.
    lettered : frozenset of int
        The tasks whose options stand behind labels, such as letters.
    """

    model: str
    domain: str
    group: str
    seed: int
    scope: str
    task: Integers
    doc_id: Integers
    arrays: Columns
    least_likely: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    lettered: frozenset[int] = frozenset()

    def keeping(self, names: Sequence[str]) -> Cell:
        """The same cell with these arrays only."""
        return replace(self, arrays={name: self.arrays[name] for name in names})

    def __len__(self) -> int:
        return len(self.doc_id)

    def of_base(self) -> Cell:
        """The same cell with the arrays that only tell of the base model."""
        return self.keeping([name for name in self.arrays if _is_of_base(name)])

    def sharing(self, other: Cell) -> Cell:
        """The same cell, which holds another's arrays instead of its own where they are equal: of a base model, one each."""
        return replace(
            self,
            task=_shared(self.task, other.task),
            doc_id=_shared(self.doc_id, other.doc_id),
            arrays={
                name: _shared(own, other.arrays[name]) if name in other.arrays else own
                for name, own in self.arrays.items()
            },
        )

    def minus(self, other: Cell, names: Sequence[str]) -> Cell:
        """The cell with its values less another's, over the questions that both answered."""
        task, doc_id, own, others = self.task, self.doc_id, slice(None), slice(None)
        if not (np.array_equal(self.task, other.task) and np.array_equal(self.doc_id, other.doc_id)):
            own, others = shared_questions(self, other)  # type: ignore[assignment]
            task, doc_id = self.task[own], self.doc_id[own]
        arrays = {name: self.arrays[name][own] - other.arrays[name][others] for name in names}
        least = {
            prefix: _most_unlikely([pair, other.least_likely[prefix]])
            for prefix, pair in self.least_likely.items()
            if prefix in other.least_likely
        }
        return replace(self, task=task, doc_id=doc_id, arrays=arrays, least_likely=least)


def _is_of_base(name: str) -> bool:
    return name in ("gold", "doc_hash") or name.endswith("_before") or name.startswith(("zero_", "before:"))


def _shared(own: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
    """The other array where both are equal, of numbers to the last bit; else its own."""
    if own.dtype != other.dtype or own.shape != other.shape:
        return own
    first, second = (array.view(np.int64) if array.dtype == np.float64 else array for array in (own, other))
    return other if np.array_equal(first, second) else own


def _most_unlikely(pairs: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return max(before for before, _ in pairs), max(after for _, after in pairs)


def stacked(parts: Sequence[Cell]) -> Cell:
    """The questions of several cells of one place, one cell after the other."""
    if len(parts) == 1:
        return parts[0]
    return replace(
        parts[0],
        task=np.concatenate([part.task for part in parts]),
        doc_id=np.concatenate([part.doc_id for part in parts]),
        arrays={name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays},
    )


def rows_by_task(task: Integers) -> list[Integers]:
    """The rows of each task, by its number.

    Examples
    --------
    >>> [rows.tolist() for rows in rows_by_task(np.array([4, 2, 4]))]
    [[1], [0, 2]]
    """
    order = np.argsort(task, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(task[order])) + 1)


def shared_questions(first: Cell, second: Cell) -> tuple[Integers, Integers]:
    """Rows of the questions that two cells share, in the first's order."""
    if np.array_equal(first.task, second.task) and np.array_equal(first.doc_id, second.doc_id):
        every = np.arange(len(first))
        return every, every
    where = {key: row for row, key in enumerate(zip(second.task.tolist(), second.doc_id.tolist(), strict=True))}
    rows = [
        (row, where[key])
        for row, key in enumerate(zip(first.task.tolist(), first.doc_id.tolist(), strict=True))
        if key in where
    ]
    pairs = np.array(rows, dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


@dataclass(frozen=True, eq=False)
class Measured:
    """Two answers to each question of one task."""

    doc_id: Integers
    arrays: Columns
    paired: int
    dropped: Mapping[str, int]
    least_likely: tuple[float, float]
    lettered: bool


class Part(NamedTuple):
    """One task of a cell."""

    task: int
    doc_id: Integers
    arrays: Columns
    least_likely: Mapping[str, tuple[float, float]]
    lettered: bool


@dataclass(frozen=True)
class RunAudit:
    """Counts of included and excluded questions of a run.

    Attributes
    ----------
    questions : dict of str to int
        By scope, the questions answered in all three logs.
    paired, dropped
        Questions paired between base 5-shot and tuned, and those left out, by reason.
    zero_paired, zero_dropped
        The same between base 5-shot and base 0-shot.
    unshared : int
        Further questions that are in two of the three logs only, and were left out.
    absent : dict of str to list of str
        Tasks of the scopes that a log lacks, and which logs these are.
    """

    questions: dict[str, int] = field(default_factory=dict)
    paired: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    zero_paired: Counter[str] = field(default_factory=Counter)
    zero_dropped: Counter[str] = field(default_factory=Counter)
    unshared: Counter[str] = field(default_factory=Counter)
    absent: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TunedCells:
    """One tuned run, read and measured.

    Attributes
    ----------
    run : TunedRun
    cells : tuple of Cell
        By scope.
    audit : RunAudit
    checkpoints : dict of int to tuple of Cell
        The same cells of the model as it was after an epoch, where it was evaluated then.
    asked : Run
        The base model's log with shots, which holds the texts of the questions.
    """

    run: TunedRun
    cells: tuple[Cell, ...]
    audit: RunAudit
    checkpoints: Mapping[int, tuple[Cell, ...]]
    asked: Run


@dataclass(frozen=True, eq=False)
class _BaseLogs:
    """A base model's two logs, what they say of the questions read so far, and its arrays by domain and scope."""

    few: Run
    zero: Run
    measured: dict[str, Measured] = field(default_factory=dict)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)


class CellReader:
    """Reads every log of an experiment once, run by run.

    Attributes
    ----------
    logs : list of Log
        The logs read so far.
    task_names : list of str
        Names of the tasks met so far; a cell's `task` counts in this list.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.logs: list[Log] = []
        self.task_names: list[str] = []
        self._codes: dict[str, int] = {}

    def __iter__(self) -> Iterator[TunedCells]:
        # The trainings of one base model follow each other, and share its logs.
        for name, runs in groupby(self.experiment.runs(), key=lambda run: self.experiment.recipe(run.model).base):
            few = self._open(self.experiment.base_logs(name, "icl"), "base_few_shot", name)
            zero = self._open(self.experiment.base_logs(name, "ift"), "base_zero_shot", name)
            base = _BaseLogs(few, zero)
            for run in runs:
                model = run.model
                audit = RunAudit()
                cells = self._read(run, self._open(run.logs, "tuned", model, run), base, audit)
                saved = {}
                for epoch, folder in run.checkpoints.items():
                    # What its log lacks is reported with the last epoch.
                    saved[epoch] = self._read(run, self._open(folder, "checkpoint", model, run), base, RunAudit())
                yield TunedCells(run, cells, audit, saved, few)

    def _open(self, folder: Path, role: str, model: str, tuned: TunedRun | None = None) -> Run:
        log = read_run(folder)
        place: dict[str, str | int] = {
            "role": role,
            "model": model,
            "folder": log.path.relative_to(self.experiment.root).as_posix(),
        }
        if tuned:
            place |= {"domain": tuned.domain, "group": tuned.group, "seed": tuned.seed}
        sources = {name: scores.source for name, scores in log.tasks.items()}
        questions = sum(len(scores) for scores in log.tasks.values())
        self.logs.append(log_record(log.config, sources, questions, **place))
        return log

    def _read(self, run: TunedRun, tuned: Run, base: _BaseLogs, audit: RunAudit) -> tuple[Cell, ...]:
        groups = base.few.config.groups
        few_names, tuned_names = (self.experiment.scopes(run.domain, style, groups) for style in ("icl", "ift"))
        cells = []
        for scope, names in few_names.items():
            found: list[tuple[str, str]] = []
            for name, chat_name in zip(names, tuned_names[scope], strict=True):
                lacking = [
                    where
                    for where, log, wanted in (
                        ("base 5-shot", base.few, name),
                        ("base 0-shot", base.zero, chat_name),
                        ("tuned", tuned, chat_name),
                    )
                    if wanted not in log.tasks
                ]
                if not lacking and not base.few.tasks[name].has_options:
                    # Such as a generation task that an own domain names: it has no ranking of options to compare.
                    lacking = ["its options: it has none"]
                if lacking:
                    audit.absent[name] = lacking
                    continue
                found.append((name, chat_name))
            unread = {name: other for name, other in found if name not in base.measured}
            base.measured.update(_measure(base.few, base.zero, unread))
            after = _measure(base.few, tuned, dict(found))
            parts = [self._join(name, scope, after[name], base.measured[name], audit) for name, _ in found]
            if sum(len(part.doc_id) for part in parts):
                cell = _cell(run, scope, parts)
                known = base.cells.setdefault((run.domain, scope), cell.of_base())
                cells.append(cell.sharing(known))
                audit.questions[scope] = len(cells[-1])
        if not cells:
            raise InputError(
                f"no question of {run.domain} is answered here and in both logs of the base model",
                expected=f"the tasks {', '.join(chain.from_iterable(tuned_names.values()))}",
                do="run lm_eval on the tasks of the experiment again",
                path=tuned.path,
            )
        return tuple(cells)

    def _join(self, name: str, scope: str, after: Measured, zero: Measured, audit: RunAudit) -> Part:
        """The questions of one task that are answered in all three logs."""
        code = self._codes.setdefault(name, len(self._codes))
        if code == len(self.task_names):
            self.task_names.append(name)
        doc_id, rows, zero_rows = np.intersect1d(after.doc_id, zero.doc_id, assume_unique=True, return_indices=True)
        audit.paired[scope] += after.paired
        audit.dropped.update(after.dropped)
        audit.zero_paired[scope] += zero.paired
        audit.zero_dropped.update(zero.dropped)
        audit.unshared[scope] += min(after.paired, zero.paired) - len(doc_id)
        arrays = {key: values[rows] for key, values in after.arrays.items()}
        # What the base model answered with shots, it answered once.
        of_zero = [key for key in zero.arrays if not key.endswith("_before") and key not in ("gold", "doc_hash")]
        arrays |= {f"zero_{key}": zero.arrays[key][zero_rows] for key in of_zero}
        return Part(code, doc_id, arrays, {"": after.least_likely, "zero_": zero.least_likely}, zero.lettered)


def _measure(first: Run, second: Run, names: Mapping[str, str]) -> dict[str, Measured]:
    """Tasks of two runs question by question, by name in the first run; `names` has the second's."""
    paired = [pair(first.tasks[name], second.tasks[other]) for name, other in names.items()]
    found = {}
    for name, pairs, measured in zip(names, paired, question_arrays(paired), strict=True):
        task = MeasuredTask(pairs, measured)
        arrays = {**answers(pairs), **task.arrays}
        doc_id, _ = arrays.pop("doc_id"), arrays.pop("doc_id_after")
        dropped = {reason: lost.count for reason, lost in pairs.report.dropped.items()}
        found[name] = Measured(doc_id, arrays, len(pairs), dropped, task.least_likely, bool(by_label(pairs).labels))
    return found


def _cell(run: TunedRun, scope: str, parts: Sequence[Part]) -> Cell:
    task = np.repeat(np.array([part.task for part in parts]), [len(part.doc_id) for part in parts])
    return Cell(
        run.model,
        run.domain,
        run.group,
        run.seed,
        scope,
        task.astype(np.int64),
        np.concatenate([part.doc_id for part in parts]),
        joined([part.arrays for part in parts]),
        {prefix: _most_unlikely([part.least_likely[prefix] for part in parts]) for prefix in ("", "zero_")},
        frozenset(part.task for part in parts if part.lettered),
    )
