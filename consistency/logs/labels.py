"""The order of options that are scored by labels, such as letters: one order in all rows of a log.

A row lists its options as the task did, and what a log says of an option stands beside the option's text. A label says
which option it is only by its place among the others: `B` is the second. Rows with the labels of the others in another
order are put into the order of the others, so that a column of the scores is one option of the document.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from string import ascii_lowercase, ascii_uppercase, digits

import numpy as np

from consistency.logs.documents import normalised, options_of
from consistency.support.arrays import Integers

_MARKS = "().:"
_LONGEST = 8
# In which labels are counted; two options 1 and 0 are rather truth values.
_RUNS = ((ascii_uppercase, 2), (ascii_lowercase, 2), (digits[1:], 2), (digits, 3))


def label_of(text: str) -> str:
    """The label that an option is scored by: a letter or a digit, say, without marks; empty for any other text.

    Examples
    --------
    >>> label_of(" (B)"), label_of(" C."), label_of(" Paris")
    ('B', 'C', '')
    """
    found = text.strip().strip(_MARKS)
    return found if len(found) == 1 else ""


def labels_of(texts: Sequence[str]) -> tuple[str, ...]:
    """The labels of a row's options, if each has one of its own; otherwise none.

    Examples
    --------
    >>> labels_of((" B", " A")), labels_of((" A", " A")), labels_of((" A", " Paris"))
    (('B', 'A'), (), ())
    """
    found = tuple(map(label_of, texts))
    return found if all(found) and len(set(found)) == len(found) else ()


def order_of_labels(
    continuations: Sequence[tuple[str, ...]], documents: Sequence[bytes], width: int
) -> Integers | None:
    """The order that gives all rows of a log their labels in one order; None where they have it.

    The order of a set of labels is that of counting (A B C, 1 2 3), else the most frequent one.

    Parameters
    ----------
    continuations : sequence of tuple of str, length n
        The text scored for each option; rows in sequence share one tuple where they can.
    documents : sequence of bytes, length n
        Each document as JSON: options that are single letters or digits themselves are no labels.
    width : int
        The most options of a row.

    Returns
    -------
    ndarray of int64, shape [n, width], or None
        Of each row, the columns in the order of their labels.

    Examples
    --------
    >>> letters, swapped = (" A", " B", " C"), (" B", " A", " C")
    >>> order_of_labels([letters, swapped], [b'{"choices": ["x", "y", "z"]}'] * 2, 3).tolist()
    [[0, 1, 2], [1, 0, 2]]
    >>> order_of_labels([letters, letters], [b"{}"] * 2, 3) is None
    True
    """
    if continuations and continuations.count(continuations[0]) == len(continuations):
        found = labels_of(continuations[0])
        if _counting(frozenset(found)) in ((), found):
            return None
    # A label is short; hashing long texts would take time and memory.
    rows_of = Counter(texts for texts in continuations if texts and len(texts[0]) <= _LONGEST)
    labels = {texts: found for texts in rows_of if (found := labels_of(texts))}
    counted: Counter[tuple[str, ...]] = Counter()
    for texts, found in labels.items():
        counted[found] += rows_of[texts]
    # Options that are single digits have other sets in every row; labels have one.
    of_set: Counter[frozenset[str]] = Counter()
    of_size: Counter[int] = Counter()
    order: dict[frozenset[str], tuple[str, ...]] = {}
    for found, rows in counted.most_common():
        of_set[frozenset(found)] += rows
        of_size[len(found)] += rows
        order.setdefault(frozenset(found), _counting(frozenset(found)) or found)
    moved: dict[tuple[str, ...], list[int]] = {}
    for texts, found in labels.items():
        wanted = order[frozenset(found)]
        if found != wanted and 2 * of_set[frozenset(found)] > of_size[len(found)]:
            moved[texts] = [found.index(label) for label in wanted]
    if not moved:
        return None
    result = np.tile(np.arange(width), (len(continuations), 1))
    is_moved = False
    for row, texts in enumerate(continuations):
        if texts in moved and not are_options(texts, documents[row]):
            result[row, : len(texts)] = moved[texts]
            is_moved = True
    return result if is_moved else None


def _counting(labels: frozenset[str]) -> tuple[str, ...]:
    """Labels in the order of counting, if they are the first of it."""
    for run, fewest in _RUNS:
        if len(labels) >= fewest and labels == set(run[: len(labels)]):
            return tuple(run[: len(labels)])
    return ()


def are_options(texts: Sequence[str], document: bytes) -> bool:
    """Whether the texts are the document's own options, in its own order."""
    return [normalised(text) for text in texts] == [normalised(text) for text in options_of(document)]
