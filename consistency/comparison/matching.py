"""Which rows of two logs ask the same question: by the harness's hash, by what they ask, or by a part of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from consistency.logs.documents import KEY_SIZE
from consistency.logs.scores import Scores
from consistency.support.arrays import Integers

_NO_KEY = bytes(KEY_SIZE)
_Keys = NDArray[np.bytes_]


@dataclass(frozen=True, eq=False)
class Matches:
    """Rows of two logs that ask the same question.

    Attributes
    ----------
    rows : ndarray of int64, shape [n, 2]
        The row of either log, in ascending order of the first.
    hashed : ndarray of int64
        Rows of the first log that were matched by the harness's hash.
    identical : set of int
        Rows of the first log whose question occurs several times, matched by doc_id.
    within : int
        How many were matched although one log has further fields of the question.
    further : tuple of str
        The names of these fields.
    """

    rows: Integers
    hashed: Integers
    identical: set[int]
    within: int
    further: tuple[str, ...]


def match(before: Scores, after: Scores) -> Matches:
    """The rows of two logs that ask the same question; those of identical questions match by equal doc_id."""
    by_hash, identical = _match(_hash_keys(before), _hash_keys(after), before, after)
    found = by_hash
    left = unmatched(before, by_hash[:, 0]), unmatched(after, by_hash[:, 1])
    if all(map(len, left)):
        keys = content_keys(before, left[0]), content_keys(after, left[1])
        by_content, more = _match(*keys, before, after)
        identical |= more
        found = np.concatenate([found, by_content])
    within, further = _match_within(before, unmatched(before, found[:, 0]), after, unmatched(after, found[:, 1]))
    found = np.concatenate([found, within])
    rows = found[np.argsort(found[:, 0], kind="stable")]
    return Matches(rows, by_hash[:, 0], identical, len(within), further)


def unmatched(scores: Scores, rows: Integers) -> Integers:
    """The other rows of a log, in order."""
    free = np.ones(len(scores), dtype=bool)
    free[rows] = False
    return np.flatnonzero(free)


def _hash_keys(scores: Scores) -> _Keys:
    """A key of each row from its hash, shape [n]; empty where it has none."""
    return _joined_keys(
        blake2b(hashed.encode("utf-8", "surrogatepass"), digest_size=KEY_SIZE).digest() if hashed else _NO_KEY
        for hashed in scores.doc_hash
    )


def content_keys(scores: Scores, rows: Integers) -> _Keys:
    """A key of each of some rows from what it asks, shape [n]; empty for other rows."""
    wanted = np.zeros(len(scores), dtype=bool)
    wanted[rows] = True
    return _joined_keys(scores.question_key(row) if is_wanted else _NO_KEY for row, is_wanted in enumerate(wanted))


def _joined_keys(keys: Iterable[bytes]) -> _Keys:
    # In one piece: a key alone would take five times as much memory. Numpy leaves zeros at the end out, of all alike.
    found = bytearray()
    for key in keys:
        found += key
    return np.frombuffer(found, dtype=f"S{KEY_SIZE}")


def _match(keys_before: _Keys, keys_after: _Keys, before: Scores, after: Scores) -> tuple[Integers, set[int]]:
    """Pairs of rows with one key, shape [n, 2], and the rows of the first log among them that were matched by doc_id.

    An empty key matches nothing.
    """
    (one, first, times), (other, second, times_after) = map(_distinct, (keys_before, keys_after))
    common, i, j = np.intersect1d(one, other, assume_unique=True, return_indices=True)
    single = (times[i] == 1) & (times_after[j] == 1)
    pairs = [np.stack([first[i[single]], second[j[single]]], axis=1)]
    repeated = common[~single]
    identical = set()
    rows_before, rows_after = _rows_of(keys_before, repeated), _rows_of(keys_after, repeated)
    for key, rows in rows_before.items():
        by_id = {int(after.doc_id[row]): row for row in rows_after[key]}
        for row in rows:
            found = by_id.get(int(before.doc_id[row]))
            if found is not None:
                pairs.append(np.array([[row, found]], dtype=np.int64))
                identical.add(row)
    return np.concatenate(pairs), identical


def _match_within(
    before: Scores, rows_before: Integers, after: Scores, rows_after: Integers
) -> tuple[Integers, tuple[str, ...]]:
    """Pairs of rows with the same options of which one asks all that the other does, shape [m, 2], and what else it holds.

    Other programs log a question without the further fields of its data set. A row that fits several pairs with none.
    """
    if not (len(rows_before) and len(rows_after)):
        return np.empty((0, 2), dtype=np.int64), ()
    sides = [
        {row: scores.asked_fields(row) for row in rows.tolist()}
        for scores, rows in ((before, rows_before), (after, rows_after))
    ]
    holders: list[dict[tuple[str, tuple[str, ...]], set[int]]] = [defaultdict(set), defaultdict(set)]
    for side, holder in zip(sides, holders, strict=True):
        for row, (asked, options) in side.items():
            for text in asked.values():
                holder[text, options].add(row)
    fits: set[tuple[int, int]] = set()
    for own, other in ((0, 1), (1, 0)):
        for row, (asked, options) in sides[own].items():
            # The rarest text first: others, such as a level, may be those of every question.
            holding = sorted((holders[other].get((text, options), set()) for text in asked.values()), key=len)
            for found in set.intersection(*holding):
                fits.add((row, found) if own == 0 else (found, row))
    times = [Counter(fit[side] for fit in fits) for side in (0, 1)]
    pairs = sorted(fit for fit in fits if times[0][fit[0]] == times[1][fit[1]] == 1)
    named = (set(sides[0][i][0]).symmetric_difference(sides[1][j][0]) for i, j in pairs)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2), tuple(sorted(set().union(*named)))


def _distinct(keys: _Keys) -> tuple[_Keys, Integers, Integers]:
    """The keys that are not empty, each once, the first row that has it, and how many have it."""
    found, first, times = np.unique(keys, return_index=True, return_counts=True)
    known = found != b""
    return found[known], first[known], times[known]


def _rows_of(keys: _Keys, wanted: _Keys) -> dict[bytes, list[int]]:
    """The rows of each of some keys."""
    found: dict[bytes, list[int]] = defaultdict(list)
    if len(wanted):
        for row in np.flatnonzero(np.isin(keys, wanted)).tolist():
            found[bytes(keys[row])].append(row)
    return found
