"""The texts of a comparison's questions: what was asked, and what the models wrote."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.items import LargeItems
from consistency.comparison.result import Comparison
from consistency.comparison.runs import comparable
from consistency.logs.generations import UNREADABLE, Generation
from consistency.logs.runs import read_file
from consistency.logs.scores import Scores
from consistency.report.items import OfRows
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
    first = read_again(comparison, task, 0)
    places = places_of(first, items["doc_id"])
    asked = [texts_of(first, place) for place in places]
    columns = {"question": _column([question for question, _ in asked])}
    if first.has_options:
        columns["options"] = _column([options for _, options in asked])
        return columns
    for number, when in enumerate(SIDES):
        if f"unreadable_{when}" not in items:
            continue
        scores = read_again(comparison, task, 1) if number else first
        written = _written(scores, places_of(scores, items["doc_id_after"]) if number else places)
        columns.setdefault("target", _column([item.target for item in written]))
        columns[f"text_{when}"] = _column([item.text for item in written])
        columns[f"answer_{when}"] = _column([item.answer or "" for item in written])
        columns[f"unreadable_{when}"] = _column([UNREADABLE[int(code)] for code in items[f"unreadable_{when}"]])
    return columns


class LargeTexts:
    """The questions and options of all tasks of a comparison of very many questions, made when they are asked for.

    Parameters
    ----------
    tasks : sequence of LargeItems
        All of them have options.
    """

    def __init__(self, tasks: Sequence[LargeItems]) -> None:
        self._scores = [items.questions for items in tasks]
        self._ends = np.cumsum([len(scores) for scores in self._scores])
        # What was made last: of some rows the questions are asked for, then their options.
        self._texts: tuple[tuple[int, slice], list[tuple[str, tuple[str, ...]]]] = (-1, slice(0)), []

    def columns(self, task: int) -> dict[str, OfRows]:
        """What gives some rows of the questions of a task, and of their options."""
        return {
            "question": lambda rows: _column([question for question, _ in self._of(task, rows)]),
            "options": lambda rows: _column([options for _, options in self._of(task, rows)]),
        }

    def _of(self, task: int, rows: slice) -> list[tuple[str, tuple[str, ...]]]:
        if self._texts[0] != (task, rows):
            scores = self._scores[task]
            self._texts = (task, rows), [texts_of(scores, row) for row in range(*rows.indices(len(scores)))]
        return self._texts[1]

    def of_row(self, row: int) -> tuple[str, tuple[str, ...]]:
        """The question and the options of a row of all tasks together."""
        task = int(np.searchsorted(self._ends, row, side="right"))
        scores = self._scores[task]
        return texts_of(scores, row - int(self._ends[task]) + len(scores))


def read_again(comparison: Comparison, task: str, number: int) -> Scores:
    """What was compared of a task: in the first log or the second, with the filter that counts."""
    config = (comparison.before, comparison.after)[number]
    name = comparison.names.renamed.get(task, task) if number else task
    configs = config.content.get("configs")
    plain = name if isinstance(configs, dict) and name in configs else name.rsplit(",", 1)[0]
    found = read_file(comparison.sources[task][number], plain, config)
    # A name may hold the filter; else it is the first log's, or where the second lacks that, its own first.
    chosen = found.get(name) or found.get(f"{plain},{comparison.by_task[task].filter}") or next(iter(found.values()))
    return comparable(chosen, comparison.score)


def places_of(scores: Scores, doc_ids: NDArray[Any]) -> list[int]:
    """The rows of a log's scores that hold some documents."""
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
