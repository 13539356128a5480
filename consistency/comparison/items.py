"""A pair of logs question by question: what was asked and answered, and every column of a table of items."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.pairing import Pairs
from consistency.logs.generations import INVALID, UNREADABLE
from consistency.logs.scores import Scores
from consistency.metrics.distributions import any_tied, probabilities, top_option
from consistency.metrics.measures import MEASURE, MEASURES, PairedScores, measure_columns
from consistency.metrics.rows import in_parts
from consistency.support.arrays import Floats
from consistency.support.computed import Computed

# Questions whose measures are computed together.
_AT_ONCE = 3000
# Of more questions a column is computed whenever it is needed: all columns together may be larger than the logs.
MOST_KEPT = 100_000


def answers(pairs: Pairs) -> dict[str, NDArray[Any]]:
    """Which question each pair is, and what the two runs answered: the beginning of a row of a table of items.

    Parameters
    ----------
    pairs : Pairs

    Returns
    -------
    dict of str to ndarray
        `doc_id` and `doc_hash` as `before` has them, the hash empty where it has none; `doc_id_after`; with options also
        `gold` and `prediction_` before and after (an option's index, -1 without one), and `probs_` before and after
        (shape [n, k], NaN-padded).
    """
    return {name: compute() for name, compute in _answers(pairs).items()}


def _answers(pairs: Pairs) -> dict[str, Callable[[], NDArray[Any]]]:
    """How each column of `answers` is computed."""
    before, after = pairs.before, pairs.after
    columns: dict[str, Callable[[], NDArray[Any]]] = {
        "doc_id": lambda: before.doc_id,
        "doc_id_after": lambda: after.doc_id,
        "doc_hash": lambda: np.array(before.doc_hash, dtype=object),
    }
    if before.has_options:
        columns |= {
            "gold": lambda: np.where(pairs.gold.any(axis=1), pairs.gold.argmax(axis=1), -1),
            "prediction_before": lambda: before.prediction,
            "probs_before": lambda: before.probs,
            "prediction_after": lambda: after.prediction,
            "probs_after": lambda: after.probs,
        }
    return columns


def item_columns(
    pairs: Pairs, arrays: Mapping[str, NDArray[Any]], further: Mapping[str, NDArray[Any]]
) -> Mapping[str, NDArray[Any]]:
    """The columns of a task's rows of a table of items: `answers`, `arrays` as `question_arrays` gives them, and `further`.

    What is computed from `arrays` only when it is asked for stays so.
    """
    if isinstance(arrays, LargeArrays):
        return LargeItems(pairs, arrays, further)
    ways = _answers(pairs)
    return {
        name: further[name] if name in further else arrays[name] if name in arrays else ways[name]()
        for name in (*ways, *arrays, *further)
    }


def question_arrays(tasks: Sequence[Pairs]) -> list[dict[str, Floats]]:
    """Every per-question number of the pairs of each task, by name: one row of a table of items.

    Parameters
    ----------
    tasks : sequence of Pairs
        Of one task each. All questions of equally many options are measured at once, which is faster than task by task.

    Returns
    -------
    list of dict of str to ndarray, shape [n]
        For each task `correct_before`, `correct_after`; with options also every measure's (`measure_columns`), and
        `confidence_` and `tied_` before and after. Each logged metric that both logs hold, as `before:NAME`, `after:NAME`;
        with options without the one that says which answers are right. Where texts were generated, `unreadable_before`
        and `unreadable_after`: the index in `UNREADABLE` of why no answer can be read, 0 where one can.
    """
    found = list(map(_logged, tasks))
    # By number of options, and as many at once as fit into a processor's cache.
    batches: dict[tuple[int, int], list[int]] = defaultdict(list)
    questions: Counter[int] = Counter()
    for number, pairs in enumerate(tasks):
        if width := pairs.before.logprobs.shape[1]:
            questions[width] += len(pairs)
            batches[width, questions[width] // _AT_ONCE].append(number)
    for numbers in batches.values():
        chosen = [tasks[number] for number in numbers]
        columns = _of_options(chosen)
        ends = np.cumsum([len(pairs) for pairs in chosen])[:-1]
        parts = {name: np.split(values, ends) for name, values in columns.items()}
        for place, number in enumerate(numbers):
            found[number] |= {name: values[place] for name, values in parts.items()}
    return found


class LargeArrays(Computed[Floats]):
    """What `question_arrays` gives of a task of very many questions, each column computed whenever it is asked for."""

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._logged = _logged(pairs)
        of_options = [measure.name for measure in MEASURES if measure.compute] if pairs.before.has_options else []
        if of_options:
            of_options += [f"{name}_{when}" for when in ("before", "after") for name in ("confidence", "tied")]
        super().__init__(lambda name: self.of_rows(name, slice(None)), [*self._logged, *of_options])

    def of_rows(self, name: str, rows: slice) -> Floats:
        """Some rows of a column."""
        return self._logged[name][rows] if name in self._logged else _column(_of_rows(self._pairs, rows), name)


class LargeItems(Computed[NDArray[Any]]):
    """The columns of a task of very many questions for a table of items, each computed whenever it is asked for.

    Attributes
    ----------
    questions : Scores
        The answers of the first log, row by row, with the documents.
    """

    def __init__(self, pairs: Pairs, arrays: LargeArrays, further: Mapping[str, NDArray[Any]]) -> None:
        self.questions = pairs.before
        self._pairs = pairs
        self._arrays = arrays
        self._further = further
        names = [*_answers(pairs), *arrays, *further]
        super().__init__(lambda name: self.of_rows(name, slice(None)), names)

    def of_rows(self, name: str, rows: slice) -> NDArray[Any]:
        """Some rows of a column."""
        if name in self._further:
            return self._further[name][rows]
        if name in self._arrays:
            return self._arrays.of_rows(name, rows)
        return _answers(_of_rows(self._pairs, rows))[name]()


def _of_rows(pairs: Pairs, rows: slice) -> Pairs:
    """Some rows of the pairs, as far as the columns of items need them."""
    before, after = (
        replace(
            scores,
            doc_id=scores.doc_id[rows],
            doc_hash=scores.doc_hash[rows],
            prompt_hash=(),
            logprobs=scores.logprobs[rows],
            n_options=scores.n_options[rows],
            gold=scores.gold[rows],
            metrics={},
            summands={},
            continuations=(),
            documents=(),
            unconditional=None,
            generations=None,
            unrotated=None,
        )
        for scores in (pairs.before, pairs.after)
    )
    return Pairs(before, after, pairs.report, pairs.reordered[rows])


def _column(pairs: Pairs, name: str) -> Floats:
    """One of the columns of `_of_options`."""
    before, after = pairs.before, pairs.after
    compute = MEASURE[name].compute if name in MEASURE else None
    if compute is not None:
        return in_parts(lambda *arrays: compute(PairedScores(*arrays)), before.logprobs, after.logprobs, pairs.gold)
    what, when = name.split("_")
    logprobs = (before if when == "before" else after).logprobs
    return in_parts(_tied if what == "tied" else _confidence, logprobs)


def _tied(logprobs: Floats) -> Floats:
    return any_tied(logprobs).astype(np.float64)


def _confidence(logprobs: Floats) -> Floats:
    """The probability of the best option; NaN where there is no distribution."""
    top = np.fmax.reduce(probabilities(logprobs), axis=1, initial=0.0)
    return np.where(top_option(logprobs) < 0, np.nan, top)


def _logged(pairs: Pairs) -> dict[str, Floats]:
    """What the logs say of each question: whether its answer is right, the metrics, and whether a text can be read."""
    before, after = pairs.before, pairs.after
    accuracy = accuracy_metric(pairs)
    arrays = {"correct_before": before.correct_by(accuracy), "correct_after": after.correct_by(accuracy)}
    for metric in before.metrics:
        if metric in after.metrics and (metric != accuracy or not before.has_options):
            arrays[f"before:{metric}"], arrays[f"after:{metric}"] = before.metrics[metric], after.metrics[metric]
    for when, scores in (("before", before), ("after", after)):
        if scores.generations is not None:
            arrays[f"unreadable_{when}"] = _unreadable(scores, arrays[f"correct_{when}"])
    return arrays


def unreadable(pairs: Pairs) -> tuple[Floats, Floats]:
    """Of generated texts, the index in `UNREADABLE` of why no answer can be read, before and after; 0 where one can."""
    accuracy = accuracy_metric(pairs)
    before, after = (_unreadable(scores, scores.correct_by(accuracy)) for scores in (pairs.before, pairs.after))
    return before, after


def _of_options(tasks: Sequence[Pairs]) -> dict[str, Floats]:
    """What the log-probabilities of the options say of each question, for tasks of equally many options together."""
    sides = {"before": [pairs.before for pairs in tasks], "after": [pairs.after for pairs in tasks]}
    logprobs = {when: np.concatenate([scores.logprobs for scores in side]) for when, side in sides.items()}
    columns = measure_columns(logprobs["before"], logprobs["after"], np.concatenate([pairs.gold for pairs in tasks]))
    for when, side in sides.items():
        top = np.fmax.reduce(np.concatenate([scores.probs for scores in side]), axis=1, initial=0.0)
        none = np.concatenate([scores.prediction for scores in side]) < 0
        columns[f"confidence_{when}"] = np.where(none, np.nan, top)
        columns[f"tied_{when}"] = _tied(logprobs[when])
    return columns


def _unreadable(scores: Scores, correct: Floats) -> Floats:
    most, fallback = scores.settings.most_tokens, scores.settings.fallbacks.get(scores.filter, INVALID)
    reasons = [
        item.unreadable(tag=scores.tag, most_tokens=most, fallback=fallback) for item in scores.generations or ()
    ]
    # What was scored as right was read, whatever it looks like.
    return np.where(correct == 1, 0.0, np.array(list(map(UNREADABLE.index, reasons)), dtype=np.float64))


def accuracy_metric(pairs: Pairs) -> str | None:
    """The metric that says which answers are right, the same for both sides; None if the logs share none.

    Without one, an answer to a question with options is right if the best option is gold.
    """
    shared = [name for name in pairs.before.accuracy_metrics if name in pairs.after.accuracy_metrics]
    return shared[0] if shared else None
