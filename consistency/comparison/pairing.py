"""Pair the documents of two logs: the same question, its options in one order, an account of every document left out.

Documents pair by the harness's hash, and by what they ask where a log has no hash or the hashes differ. Nothing is
paired by its position in a file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.errors import InputError
from consistency.logs.documents import KEY_SIZE, normalised, options_of
from consistency.logs.doubts import doubts
from consistency.logs.labels import are_options, label_of, labels_of
from consistency.logs.scores import Scores
from consistency.support.arrays import Bools, Integers
from consistency.support.text import counted, shortened

# Why documents are left out that have no counterpart.
ONLY_FIRST, ONLY_SECOND = "only in the first log", "only in the second log"
# Rows beside the one that is used, which is paired.
REPEATED = ("repeated doc_id in the first log", "repeated doc_id in the second log")
_EXAMPLES = 5
_NO_KEY = bytes(KEY_SIZE)


@dataclass(frozen=True)
class Dropped:
    """Documents left out for one reason: how many, and the doc_ids of the first few."""

    count: int
    examples: tuple[int, ...]


@dataclass(frozen=True)
class PairingReport:
    """What was paired, how, and what was not.

    Attributes
    ----------
    paired : int
        Pairs of documents.
    by_hash, by_content : int
        Of these, paired by `doc_hash` and by what the question says.
    identical : int
        Of these, documents that occur several times in their task and were matched by doc_id.
    reordered : int
        Of these, questions whose options are in another order in the second log, and were matched by their texts.
    prompts : dict
        Pairs whose prompts are ``same``, ``different`` or, in logs without `prompt_hash`, ``unknown``.
    dropped : dict of str to Dropped
        By reason.
    notes : tuple of str
        What reading the two logs brought up.
    """

    paired: int
    by_hash: int = 0
    by_content: int = 0
    identical: int = 0
    reordered: int = 0
    prompts: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, Dropped] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def pooled(cls, parts: Sequence[PairingReport]) -> PairingReport:
        """The counts of several tasks together; of one task also its examples and notes."""
        if len(parts) == 1:
            return parts[0]
        prompts: Counter[str] = Counter()
        dropped: Counter[str] = Counter()
        for part in parts:
            prompts.update(part.prompts)
            dropped.update({reason: found.count for reason, found in part.dropped.items()})
        return cls(
            paired=sum(part.paired for part in parts),
            by_hash=sum(part.by_hash for part in parts),
            by_content=sum(part.by_content for part in parts),
            identical=sum(part.identical for part in parts),
            reordered=sum(part.reordered for part in parts),
            prompts=dict(prompts),
            dropped={reason: Dropped(count, ()) for reason, count in dropped.items()},
        )

    def to_dict(self) -> dict[str, Any]:
        """The counts as plain data, with the doc_ids of a few documents left out."""
        return {
            "paired": self.paired,
            "by_hash": self.by_hash,
            "by_content": self.by_content,
            "identical": self.identical,
            "reordered": self.reordered,
            "prompts": dict(self.prompts),
            "dropped": {reason: dropped.count for reason, dropped in self.dropped.items()},
            "examples": {reason: list(dropped.examples) for reason, dropped in self.dropped.items()},
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class Pairs:
    """Two models' answers to the same questions.

    Attributes
    ----------
    before, after : Scores
        The paired documents of each log, row by row, options in the order of `before`.
    report : PairingReport
    reordered : ndarray of bool, shape [n]
        Whether the options are in another order in the second log.
    """

    before: Scores
    after: Scores
    report: PairingReport
    reordered: Bools

    def __len__(self) -> int:
        return len(self.before)

    @property
    def gold(self) -> Bools:
        """Which options are right, shape [n, k]; from the second log where the first does not say."""
        known = self.before.gold.any(axis=1, keepdims=True)
        return np.where(known, self.before.gold, self.after.gold)


def pair(before: Scores, after: Scores) -> Pairs:
    """Pair the documents of two logs; the two tasks may differ in name.

    Parameters
    ----------
    before, after : Scores
        Two logs of one set of questions.

    Returns
    -------
    Pairs
        In ascending order of the first log's doc_id. Identical documents within one task pair by equal doc_id.

    Raises
    ------
    InputError
        If one task has options and the other has none.
    """
    if before.has_options != after.has_options:
        without = after if before.has_options else before
        raise InputError(
            f"the task {without.task} logs no options, which the other log has, and "
            "no metric of accuracy from 0 to 1 is in both",
            do="compare two tasks of one kind, or log for each answer whether it is right, as 1 or 0",
            path=without.source,
        )
    if _same_documents(before, after):
        report = _report_of_same(before, after)
        first, second = _with_gold_of_both(before, after)
        return Pairs(first, _sharing(first, second), report, np.zeros(len(before), dtype=bool))
    hash_pairs, identical = _match(_hash_keys(before), _hash_keys(after), before, after)
    rest_before = _left(len(before), hash_pairs[:, 0])
    rest_after = _left(len(after), hash_pairs[:, 1])
    pairs = hash_pairs
    if len(rest_before) and len(rest_after):
        content_pairs, more = _match(
            _content_keys(before, rest_before), _content_keys(after, rest_after), before, after
        )
        identical |= more
        pairs = np.concatenate([hash_pairs, content_pairs])
    within, further = _match_within(before, _left(len(before), pairs[:, 0]), after, _left(len(after), pairs[:, 1]))
    pairs = np.concatenate([pairs, within])
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    left_out: dict[str, list[int]] = defaultdict(list)
    kept = pairs
    # By place among the kept pairs, of those whose options are in another order.
    columns: dict[int, tuple[int, ...]] = {}
    alike = 0
    if before.has_options:
        differ = []
        # A view of memory gives Python's numbers one by one; lists of them would take 80 bytes a pair.
        for place, (i, j) in enumerate(zip(pairs[:, 0].data, pairs[:, 1].data, strict=True)):
            found = _column_order(before, i, after, j)
            if found is None:
                left_out["options differ"].append(int(before.doc_id[i]))
                differ.append(place)
            elif found:
                columns[place - len(differ)] = found
                alike += len(set(map(normalised, before.option_texts(i)))) < len(found)
        kept = np.delete(pairs, differ, axis=0)
    first, second = before.take(kept[:, 0]), after.take(kept[:, 1])
    reordered = np.zeros(len(kept), dtype=bool)
    if before.has_options:
        width = int(first.n_options.max(initial=0))
        if columns or {width} != {first.logprobs.shape[1], second.logprobs.shape[1]}:
            permutation = np.tile(np.arange(width), (len(kept), 1))
            first = first.reorder_options(permutation)
            for row, found in columns.items():
                permutation[row, : len(found)] = found
                reordered[row] = True
            second = second.reorder_options(permutation)
        changed = first.gold.any(axis=1) & second.gold.any(axis=1) & (first.gold != second.gold).any(axis=1)
        if changed.any():
            left_out["right answer differs"] = [int(d) for d in first.doc_id[changed]]
            same = np.flatnonzero(~changed)
            first, second, reordered, kept = first.take(same), second.take(same), reordered[same], kept[same]
    elif first.right is not None and second.right is not None:
        known = [_is_same_right(first, second, row) for row in range(len(first))]
        if not all(known):
            same = np.flatnonzero(known)
            left_out["right answer differs"] = [int(d) for d in np.delete(first.doc_id, same)]
            first, second, reordered, kept = first.take(same), second.take(same), reordered[same], kept[same]
    first, second = _with_gold_of_both(first, second)
    _explain_unpaired(before, after, pairs, left_out)
    if before.duplicates:
        left_out[REPEATED[0]] = [-1] * before.duplicates
    if after.duplicates:
        left_out[REPEATED[1]] = [-1] * after.duplicates
    hashed = np.isin(kept[:, 0], hash_pairs[:, 0])
    report = PairingReport(
        paired=len(kept),
        by_hash=int(hashed.sum()),
        by_content=int((~hashed).sum()),
        identical=sum(i in identical for i in kept[:, 0].data) if identical else 0,
        reordered=int(reordered.sum()),
        prompts=_prompts(first, second),
        dropped={
            reason: Dropped(len(ids), tuple(i for i in ids[:_EXAMPLES] if i >= 0)) for reason, ids in left_out.items()
        },
        notes=(*_notes(before, after), *_note_of_alike(alike), *_note_of_further(len(within), further)),
    )
    return Pairs(first, _sharing(first, second), report, reordered)


def _sharing(before: Scores, after: Scores) -> Scores:
    """The second log's answers with the first's documents, hashes and options in memory, where they are the same."""
    names = ("documents", "doc_hash", "prompt_hash", "continuations")
    same = {name: getattr(before, name) for name in names if getattr(before, name) == getattr(after, name)}
    numbers = before.doc_id if np.array_equal(before.doc_id, after.doc_id) else after.doc_id
    return replace(after, doc_id=numbers, **same)


def _with_gold_of_both(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    """Paired answers, in each the right options that only the other log knows."""
    known = [np.asarray(scores.gold.any(axis=1, keepdims=True)) for scores in (first, second)]
    if not first.has_options or np.array_equal(known[0], known[1]):
        return first, second
    return (
        replace(first, gold=np.where(known[0], first.gold, second.gold)),
        replace(second, gold=np.where(known[1], second.gold, first.gold)),
    )


def _same_documents(before: Scores, after: Scores) -> bool:
    """Whether both logs hold the same documents with the same hashes, or without any, options and right answers, row by row.

    Then every row pairs with its own, and what follows would only find that out question by question.
    """
    if not (
        before.has_options
        and before.logprobs.shape == after.logprobs.shape
        and before.logprobs.shape[1] == before.n_options.max(initial=0)
        and not (before.duplicates or after.duplicates)
        and np.array_equal(before.doc_id, after.doc_id)
        and bool((before.doc_id[1:] > before.doc_id[:-1]).all())
        and np.array_equal(before.n_options, after.n_options)
        and before.doc_hash == after.doc_hash
        and (all(before.doc_hash) or not any(before.doc_hash))
        and before.documents == after.documents
        and all(
            first == second or list(map(normalised, first)) == list(map(normalised, second))
            for first, second in set(zip(before.continuations, after.continuations, strict=True))
        )
    ):
        return False
    differ = (before.gold != after.gold).any(axis=1) & before.gold.any(axis=1) & after.gold.any(axis=1)
    return not bool(differ.any())


def _report_of_same(before: Scores, after: Scores) -> PairingReport:
    """The report of logs that hold the same documents."""
    hashed = all(before.doc_hash)
    if hashed:
        identical = sum(count for count in Counter(before.doc_hash).values() if count > 1)
    else:
        times = np.unique(_content_keys(before, np.arange(len(before))), return_counts=True)[1]
        identical = int(times[times > 1].sum())
    return PairingReport(
        paired=len(before),
        by_hash=len(before) if hashed else 0,
        by_content=0 if hashed else len(before),
        identical=identical,
        prompts=_prompts(before, after),
        notes=_notes(before, after),
    )


def _notes(before: Scores, after: Scores) -> tuple[str, ...]:
    return tuple(
        f"{which} log: {note}"
        for which, scores in (("first", before), ("second", after))
        for note in (*scores.notes, *doubts(scores))
    )


def notes_of(tasks: Mapping[str, Scores]) -> Iterator[str]:
    """What a reader must know of the tasks of one log, each sentence once with the tasks that it is about."""
    said: dict[str, list[str]] = {}
    for name, scores in tasks.items():
        for note in (*scores.notes, *doubts(scores)):
            said.setdefault(note, []).append(name)
    for note, names in said.items():
        yield f"{shortened(names)}: {note}"


def _note_of_alike(count: int) -> Iterator[str]:
    if count:
        yield (
            f"{counted(count, 'question', 'have')} options in another order of which two read the same: "
            "they are matched by whether they are right, and else by their order"
        )


def _left(n: int, taken: Integers) -> Integers:
    free = np.ones(n, dtype=bool)
    free[taken] = False
    return np.flatnonzero(free)


_Keys = NDArray[np.bytes_]


def _hash_keys(scores: Scores) -> _Keys:
    """A key of each row from its hash, shape [n]; empty where it has none."""
    return _joined_keys(
        blake2b(hashed.encode("utf-8", "surrogatepass"), digest_size=KEY_SIZE).digest() if hashed else _NO_KEY
        for hashed in scores.doc_hash
    )


def _content_keys(scores: Scores, rows: Integers) -> _Keys:
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


def _note_of_further(count: int, names: Sequence[str]) -> Iterator[str]:
    if count:
        yield (
            f"{counted(count, 'question', 'pair')} by text and options alone: one log also has "
            f"{shortened(names)}, and only its prompts tell whether its model was shown that"
        )


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


def _column_order(before: Scores, i: int, after: Scores, j: int) -> tuple[int, ...] | None:
    """The position of each option of a question in the other log: empty if in the same place, None if they differ."""
    first, second = before.continuations[i], after.continuations[j]
    count = int(before.n_options[i])
    if count != int(after.n_options[j]):
        return None
    if first == second and before.documents[i] == after.documents[j]:
        return ()
    texts_before = [normalised(t) for t in first]
    texts_after = [normalised(t) for t in second]
    same_texts = sorted(texts_before) == sorted(texts_after)
    if not same_texts or _are_labels(texts_before):
        if not _are_comparable(before, i, after, j):
            return None
        scored_before, scored_after = texts_before, texts_after
        texts_before = [normalised(t) for t in before.option_texts(i)]
        texts_after = [normalised(t) for t in after.option_texts(j)]
        are_own = are_options(first, before.documents[i]), are_options(second, after.documents[j])
        if same_texts and texts_before == texts_after and are_own[0] == are_own[1]:
            # The same options behind the same labels: the label says which is which, also of two that read the same.
            texts_before, texts_after = scored_before, scored_after
    if texts_before == texts_after:
        return ()
    if Counter(texts_before) != Counter(texts_after):
        return None
    # Of options that read the same, the right one is the right one of the other log.
    right_before, right_after = before.gold[i], after.gold[j]
    places: dict[str, list[int]] = defaultdict(list)
    for column, text in enumerate(texts_after):
        places[text].append(column)
    found = {}
    for column in sorted(range(count), key=lambda column: not right_before[column]):
        same = places[texts_before[column]]
        found[column] = same.pop(
            next((k for k, other in enumerate(same) if right_after[other] == right_before[column]), 0)
        )
    return tuple(found[column] for column in range(count))


def _is_same_right(first: Scores, second: Scores, row: int) -> bool:
    """Whether two logs without log-probabilities call one answer right, or do not tell.

    They do not where the one's answer is no option of the other: then it was read in another way.
    """
    one, two = (scores.right[row] if scores.right is not None else "" for scores in (first, second))
    if one == two or not (one and two):
        return True
    options = (list(map(normalised, options_of(scores.documents[row]))) for scores in (first, second))
    return not all(one in texts and two in texts for texts in options)


def _are_labels(texts: list[str]) -> bool:
    """Whether the options are scored by a letter or a number, which says nothing about their content."""
    return all(label_of(text) or not text for text in texts)


def _are_comparable(before: Scores, i: int, after: Scores, j: int) -> bool:
    """Whether the places of two rows' options tell which they are, where the texts that are scored do not.

    So they do for the document's own options, for labels of two kinds, such as letters and numbers, and for labels beside texts.
    Rows that share some labels and not others, lack one, or have one twice, do not say which option is which.
    """
    first, second = before.continuations[i], after.continuations[j]
    if first == second or not (first and second):
        return True
    labels = labels_of(first), labels_of(second)
    # Of options that are numbers only some may look like labels.
    own = are_options(first, before.documents[i]), are_options(second, after.documents[j])
    for texts, found, is_own in zip((first, second), labels, own, strict=True):
        if not (found or is_own) and len(set(texts)) > 1 and any(label_of(text) for text in texts):
            return False
    shared = set(labels[0]) & set(labels[1])
    # Numbers from 0 and from 1 share some.
    return len(shared) in (0, len(first)) or all(
        is_own or _are_counted(found) for found, is_own in zip(labels, own, strict=True)
    )


def _are_counted(labels: tuple[str, ...]) -> bool:
    """Whether each label is the successor of the one before."""
    return all(ord(after) == ord(before) + 1 for before, after in pairwise(labels))


def _explain_unpaired(before: Scores, after: Scores, pairs: Integers, left_out: dict[str, list[int]]) -> None:
    rest_before = _left(len(before), pairs[:, 0])
    rest_after = _left(len(after), pairs[:, 1])
    row_after = dict(zip(after.doc_id[rest_after].tolist(), rest_after.tolist(), strict=True))
    changed = set(before.doc_id[rest_before].tolist()) & set(row_after)
    for i in rest_before.tolist():
        doc_id = int(before.doc_id[i])
        reason = ONLY_FIRST
        if doc_id in changed:
            counts = [len(scores.continuations[row]) for scores, row in ((before, i), (after, row_after[doc_id]))]
            reason = "question changed" if counts[0] == counts[1] or not all(counts) else "number of options differs"
        left_out[reason].append(doc_id)
    for j in rest_after.tolist():
        doc_id = int(after.doc_id[j])
        if doc_id not in changed:
            left_out[ONLY_SECOND].append(doc_id)


def _prompts(before: Scores, after: Scores) -> dict[str, int]:
    counts = Counter(
        "unknown" if not (a and b) else "same" if a == b else "different"
        for a, b in zip(before.prompt_hash, after.prompt_hash, strict=True)
    )
    return {name: counts[name] for name in ("same", "different", "unknown")}
