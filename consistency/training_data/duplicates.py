"""Duplicate questions: of a training pool and an evaluation set, or within the pool.

Two questions are the same *exactly* if nothing distinguishes them but case, punctuation, spacing, Unicode's
compatibility forms and the order of their options. They are the same *nearly* if, under that reading, either their
options are the same and one word of the question is changed, added or missing (the only word: changed), or their
questions are the same and one option is changed, added or missing. Every comparison is a look-up by hash, so that time
grows with the number of words and not with that of pairs; what a hash finds is then compared word by word, one after the
other until one is the same.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from consistency.training_data.normalization import joined_words, normal_form, separate_words

Kind = Literal["exact", "near"]
_Hashes = NDArray[np.uint64]

_BASE = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


class MultipleChoice(Protocol):
    """Anything with a question and its options."""

    @property
    def question(self) -> str:
        """The stem."""

    @property
    def choices(self) -> Sequence[str]:
        """The options."""


@dataclass(frozen=True)
class Duplicate:
    """A question of a pool that is the same as another one.

    Attributes
    ----------
    row, other : int
        Its place in the pool, and the place of the first question that is the same: in the evaluation set, or earlier in the
        pool.
    kind : {"exact", "near"}
        As the module defines them.
    """

    row: int
    other: int
    kind: Kind


class Index:
    """The fingerprints of questions, by which duplicates are found.

    Parameters
    ----------
    questions : sequence
        Objects with `question` and `choices`; it is asked for single questions again later.

    Examples
    --------
    >>> from consistency.tasks.questions import Question
    >>> pool = Index([Question(0, "", "Who was first?", ("Ada", "Bob"), 0), Question(1, "", "Why?", ("so", "else"), 0)])
    >>> pool.found_in(Index([Question(0, "", "WHO was first", ("Bob.", "Ada"), 1)]))
    [Duplicate(row=0, other=0, kind='exact')]
    >>> pool.duplicates()
    []
    """

    def __init__(self, questions: Sequence[MultipleChoice]) -> None:
        self.questions = questions
        stems, options = array("q"), array("q")
        for question in questions:
            stem, *rest = normal_form(question.question, question.choices)
            stems.append(hash(stem))
            options.append(hash(tuple(rest)))
        self.stems: _Hashes = np.array(stems, dtype=np.int64).view(np.uint64)
        self.options: _Hashes = np.array(options, dtype=np.int64).view(np.uint64)

    def __len__(self) -> int:
        return len(self.stems)

    def found_in(self, others: Index) -> list[Duplicate]:
        """The questions that are in another set, each with the first that is the same; exact ones come first.

        Parameters
        ----------
        others : Index
            The evaluation set.

        Returns
        -------
        list of Duplicate
            In the order of the pool, at most one for each question.
        """
        return _find(others, self)

    def duplicates(self) -> list[Duplicate]:
        """The questions that come earlier in the same set, too: in its order, at most one for each question."""
        return _find(None, self)


def _find(others: Index | None, pool: Index) -> list[Duplicate]:
    """The duplicates of questions of `others`, or of earlier ones of the pool itself where there are no others."""
    parts = [pool] if others is None else [others, pool]
    offset = 0 if others is None else len(others)
    stems = np.concatenate([part.stems for part in parts])
    options = np.concatenate([part.options for part in parts])

    def question(row: int) -> MultipleChoice:
        return parts[-1].questions[row - offset] if row >= offset else parts[0].questions[row]

    found: dict[int, tuple[int, Kind]] = {}

    def collect(keys: _Hashes, origin_keys: _Hashes, rows: NDArray[np.int64], kind: Kind) -> None:
        before = dict(found)
        in_pool = rows >= offset
        origins = rows < (len(stems) if others is None else offset)
        for row, candidates in _earlier(keys[in_pool], rows[in_pool], origin_keys[origins], rows[origins]):
            if row in before:
                continue
            limit = found[row][0] if row in found else row
            for other in map(int, candidates):
                if other >= limit:
                    break
                if _same(question(row), question(other), kind):
                    found[row] = (other, kind)
                    break

    everything = np.arange(len(stems))
    same = _mix(stems, options)
    collect(same, same, everything, "exact")
    same_stem = _shared(stems)
    changes, places = _option_changes(stems, same_stem, question)
    collect(changes, changes, places, "near")
    same_options = _shared(options)
    for words_of in (separate_words, joined_words):
        collect(*_word_changes(options, same_options, question, words_of), "near")
    return [Duplicate(row - offset, other, kind) for row, (other, kind) in sorted(found.items())]


def _same(one: MultipleChoice, two: MultipleChoice, kind: Kind) -> bool:
    """Whether two questions of one hash are duplicates."""
    first, second = (normal_form(item.question, item.choices) for item in (one, two))
    if kind == "exact":
        return first == second
    if first[0] == second[0]:
        # As multisets: a changed option may stand elsewhere in the order.
        a, b = Counter(first[1:]), Counter(second[1:])
        return max((a - b).total(), (b - a).total()) <= 1
    return first[1:] == second[1:] and any(
        _one_apart(*words) and min(map(len, words)) > 0
        for words in ([split(item.question) for item in (one, two)] for split in (separate_words, joined_words))
    )


def _one_apart(one: Sequence[str], two: Sequence[str]) -> bool:
    """Whether one element is changed, added or missing, and no more."""
    if len(one) > len(two):
        one, two = two, one
    if len(two) - len(one) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), len(one))
    skip = 1 if len(one) == len(two) else 0
    return list(one[start + skip :]) == list(two[start + 1 :])


def _shared(hashes: _Hashes) -> NDArray[np.int64]:
    """The rows whose hash occurs more than once."""
    _, places, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.flatnonzero(counts[places] > 1)


def _earlier(
    keys: _Hashes, rows: NDArray[np.int64], origin_keys: _Hashes, origin_rows: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Every row with a key that an earlier origin has, and all origins of that key, in their order.

    A row comes once for each such key, the key with the earliest origin first.
    """
    # Stable, since the rows of a key come in order already.
    order = np.argsort(origin_keys, kind="stable")
    origin_keys, origin_rows = origin_keys[order], origin_rows[order]
    # Sorted needles are looked up several times as fast, one beside the other in memory.
    order = np.argsort(keys)
    keys, rows = keys[order], rows[order]
    starts = np.searchsorted(origin_keys, keys, "left")
    some = np.flatnonzero(np.append(origin_keys, np.uint64(0))[starts] == keys)
    some = some[origin_rows[np.minimum(starts[some], len(origin_rows) - 1)] < rows[some]]
    keys, rows, starts = keys[some], rows[some], starts[some]
    ends = np.searchsorted(origin_keys, keys, "right")
    order = np.lexsort((origin_rows[starts], rows))
    for row, start, end in zip(rows[order].tolist(), starts[order].tolist(), ends[order].tolist(), strict=True):
        yield row, origin_rows[start:end]


def _mix(*parts: _Hashes | int) -> _Hashes:
    """One hash of several, by a multiply-and-shift step for each."""
    mixed: _Hashes = np.zeros(1, dtype=np.uint64)
    for part in parts:
        mixed = (mixed ^ np.asarray(part, dtype=np.uint64)) * np.uint64(_BASE)
        mixed = mixed ^ (mixed >> np.uint64(29))
    return mixed


def _option_changes(stems: _Hashes, rows: NDArray[np.int64], question: _Lookup) -> tuple[_Hashes, NDArray[np.int64]]:
    """Keys that two questions share if their stems are the same and one option is changed, added or missing."""
    keys: list[int] = []
    owners: list[int] = []
    for row in rows.tolist():
        item = question(row)
        _, *options = normal_form(item.question, item.choices)
        variants = {tuple(options), *(tuple(options[:i] + options[i + 1 :]) for i in range(len(options)))}
        keys += [hash(variant) & _MASK for variant in variants]
        owners += [row] * len(variants)
    places = np.array(owners, dtype=np.int64)
    return _mix(stems[places], np.array(keys, dtype=np.uint64)), places


def _word_changes(
    options: _Hashes, rows: NDArray[np.int64], question: _Lookup, words_of: _Split
) -> tuple[_Hashes, _Hashes, NDArray[np.int64]]:
    """Keys of which one question has as its own what another has as an origin if one word sets them apart.

    That is, if their options are the same and one word is changed, added or missing, and both have words. Of two texts
    that are alike once each has lost a word, the lost ones may have stood at different places: so a text without a
    word is sought among whole ones only, and a whole one among those without a word. Equal keys mean duplicates, except
    for hash collisions, so that the first comparison is nearly always the last.

    A text of the words w_0 … w_m has the hash Σ h(w_j)·B^j modulo 2^64, so that the hash without one of its words
    follows from the sums before and behind it.
    """
    hashes: list[int] = []
    counts: list[int] = []
    for row in rows.tolist():
        words = words_of(question(row).question)
        hashes += [hash(word) & _MASK for word in words]
        counts.append(len(words))
    lengths, flat = np.array(counts, dtype=np.int64), np.array(hashes, dtype=np.uint64)
    # Whatever word sets two texts of several words apart, they begin or end alike: few others need keys.
    keep = lengths < 2
    some = np.flatnonzero(lengths)
    ends = np.cumsum(lengths)[some]
    for edge in (flat[ends - lengths[some]], flat[ends - 1]):
        keep[some[_shared(_mix(options[rows[some]], edge))]] = True
    flat = flat[np.repeat(keep, lengths)]
    rows, lengths = rows[keep], lengths[keep]
    owners = np.repeat(np.arange(len(rows)), lengths)
    starts = np.cumsum(lengths) - lengths
    position = np.arange(len(owners)) - starts[owners]
    powers = _powers(int(lengths.max(initial=0)) + 1)
    terms = flat * powers[position]
    running = np.append(np.uint64(0), np.cumsum(terms, dtype=np.uint64))
    total = running[starts + lengths] - running[starts]
    before = running[:-1] - running[starts][owners]
    behind = total[owners] - before - terms
    inverse = np.uint64(pow(_BASE, -1, 1 << 64))
    of = options[rows]
    length = lengths[owners].astype(np.uint64)
    changed = _mix(of[owners], 1, before + behind, position.astype(np.uint64), length)
    some = np.flatnonzero(length > 1)  # without its only word nothing is left that another could be

    def keys(less: int, whole: int) -> _Hashes:
        without = _mix(of[owners], less, before + behind * inverse, length - np.uint64(1))[some]
        return np.concatenate([changed, without, _mix(of, whole, total, lengths.astype(np.uint64))])

    return keys(2, 3), keys(3, 2), np.concatenate([rows[owners], rows[owners[some]], rows])


def _powers(count: int) -> _Hashes:
    powers = np.full(count, _BASE, dtype=np.uint64)
    powers[0] = 1
    return np.cumprod(powers, dtype=np.uint64)


class _Lookup(Protocol):
    def __call__(self, row: int, /) -> MultipleChoice: ...


class _Split(Protocol):
    def __call__(self, text: str, /) -> list[str]: ...
