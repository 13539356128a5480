"""The texts of a comparison's questions: what was asked, and what the models wrote."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.result import Comparison
from consistency.comparison.runs import comparable
from consistency.logs.generations import UNREADABLE, Generation
from consistency.logs.samples import read_samples
from consistency.logs.scores import Scores
from consistency.logs.task_settings import read_task_settings
from consistency.report.questions import texts_of

SIDES = ("before", "after")


def text_columns(comparison: Comparison, task: str) -> dict[str, NDArray[Any]]:
    """The texts of a task's questions, a row a question, in the order of the comparison's items.

    The logs are read again: most comparisons are never written, and should not hold their texts.

    Parameters
    ----------
    comparison : Comparison
    task : str

    Returns
    -------
    dict of str to ndarray of object, shape [n]
        `question`; with options `options`, tuples of texts. Where texts were generated, of each side that has them: `text_`,
        `answer_` (what the filter took from it) and `unreadable_` (why no answer can be read, empty where one can); and
        `target`.
    """
    items = comparison.items[task]
    first = _read(comparison, task, 0)
    places = _places(first, items["doc_id"])
    asked = [texts_of(first, place) for place in places]
    columns = {"question": _column([question for question, _ in asked])}
    if first.has_options:
        columns["options"] = _column([options for _, options in asked])
        return columns
    for number, when in enumerate(SIDES):
        if f"unreadable_{when}" not in items:
            continue
        scores = _read(comparison, task, 1) if number else first
        written = _written(scores, _places(scores, items["doc_id_after"]) if number else places)
        columns.setdefault("target", _column([item.target for item in written]))
        columns[f"text_{when}"] = _column([item.text for item in written])
        columns[f"answer_{when}"] = _column([item.answer or "" for item in written])
        columns[f"unreadable_{when}"] = _column([UNREADABLE[int(code)] for code in items[f"unreadable_{when}"]])
    return columns


class LoggedTexts:
    """The questions and options of all tasks of a comparison, read from the first log when they are asked for.

    Parameters
    ----------
    comparison : Comparison
        All of its tasks have options.
    """

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._tasks = list(comparison.items)
        self._doc_ids = [comparison.items[task]["doc_id"] for task in self._tasks]
        self._ends = np.cumsum([len(doc_ids) for doc_ids in self._doc_ids])
        # What was read last: rows are asked for in their order.
        self._scores: tuple[int, Scores] | None = None
        self._texts: tuple[range, list[tuple[str, tuple[str, ...]]]] = range(0), []

    def __len__(self) -> int:
        return int(self._ends[-1])

    def of(self, rows: range) -> list[tuple[str, tuple[str, ...]]]:
        """The question and the options of some rows."""
        if self._texts[0] != rows:
            self._texts = rows, [self.of_row(row) for row in rows]
        return self._texts[1]

    def of_row(self, row: int) -> tuple[str, tuple[str, ...]]:
        """The question and the options of a row."""
        task = int(np.searchsorted(self._ends, row, side="right"))
        if self._scores is None or self._scores[0] != task:
            self._scores = task, _read(self._comparison, self._tasks[task], 0)
        scores = self._scores[1]
        doc_ids = self._doc_ids[task]
        doc_id = doc_ids[row - int(self._ends[task]) + len(doc_ids)]
        return texts_of(scores, int(np.searchsorted(scores.doc_id, doc_id)))


class TextColumn:
    """A column of `LoggedTexts` for `ItemsWriter`: a slice of it is an array, and is read when it is taken.

    Parameters
    ----------
    texts : LoggedTexts
    part : int
        0 for the questions, 1 for the options.
    """

    ndim = 1
    dtype = np.dtype(object)

    def __init__(self, texts: LoggedTexts, part: int) -> None:
        self._texts = texts
        self._part = part

    def __len__(self) -> int:
        return len(self._texts)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return _column([item[self._part] for item in self._texts.of(range(*rows.indices(len(self))))])


def _read(comparison: Comparison, task: str, number: int) -> Scores:
    """What was compared of a task: in the first log or the second, with the filter that counts."""
    config = (comparison.before, comparison.after)[number]
    name = comparison.names.renamed.get(task, task) if number else task
    configs = config.content.get("configs")
    plain = name if isinstance(configs, dict) and name in configs else name.rsplit(",", 1)[0]
    found = read_samples(comparison.sources[task][number], plain, read_task_settings(config.content, plain))
    # A name may hold the filter; else it is the first log's, or where the second lacks that, its own first.
    chosen = found.get(name) or found.get(f"{plain},{comparison.by_task[task].filter}") or next(iter(found.values()))
    return comparable(chosen, comparison.score)


def _places(scores: Scores, doc_ids: NDArray[Any]) -> list[int]:
    # A log's numbers ascend.
    found: list[int] = np.searchsorted(scores.doc_id, doc_ids).tolist()
    return found


def _written(scores: Scores, places: list[int]) -> list[Generation]:
    generations = scores.generations or ()
    return [generations[place] for place in places]


def _column(values: list[Any]) -> NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
