"""Pair the documents of two logs: the same question, its options in one order, an account of every document left out.

Documents pair by the harness's hash, and by what they ask where a log has no hash or the hashes differ. Nothing is
paired by its position in a file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from consistency.errors import InputError
from consistency.logs.documents import normalised, question_key
from consistency.logs.scores import Scores
from consistency.support.arrays import Bools

_EXAMPLES = 5


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
            f"the task {without.task} logs no options, and the task it is compared with does",
            do="compare two tasks of one kind",
            path=without.source,
        )
    if _same_documents(before, after):
        return Pairs(before, after, _report_of_same(before, after), np.zeros(len(before), dtype=bool))
    hash_pairs, identical = _match(before.doc_hash, after.doc_hash, before, after)
    rest_before = _left(len(before), [i for i, _ in hash_pairs])
    rest_after = _left(len(after), [j for _, j in hash_pairs])
    content_pairs: list[tuple[int, int]] = []
    if rest_before and rest_after:
        content_pairs, more = _match(
            _content_keys(before, rest_before), _content_keys(after, rest_after), before, after
        )
        identical |= more
    pairs = sorted(hash_pairs + content_pairs)
    columns = {} if not before.has_options else {p: _column_order(before, p[0], after, p[1]) for p in pairs}
    left_out: dict[str, list[int]] = defaultdict(list)
    kept = []
    for i, j in pairs:
        if before.has_options:
            found = columns[i, j]
            if found is None:
                left_out["options differ"].append(int(before.doc_id[i]))
                continue
        kept.append((i, j))
    rows_before = np.array([i for i, _ in kept], dtype=np.int64)
    rows_after = np.array([j for _, j in kept], dtype=np.int64)
    first, second = before.take(rows_before), after.take(rows_after)
    reordered = np.zeros(len(kept), dtype=bool)
    if before.has_options:
        width = int(first.n_options.max(initial=0))
        permutation = np.tile(np.arange(width), (len(kept), 1))
        first = first.reorder_options(permutation)
        for row, key in enumerate(kept):
            found = columns[key]
            if found:
                permutation[row, : len(found)] = found
                reordered[row] = True
        second = second.reorder_options(permutation)
        changed = first.gold.any(axis=1) & second.gold.any(axis=1) & (first.gold != second.gold).any(axis=1)
        if changed.any():
            left_out["right answer differs"] = [int(d) for d in first.doc_id[changed]]
            same = np.flatnonzero(~changed)
            first, second, reordered = first.take(same), second.take(same), reordered[same]
            kept = [kept[row] for row in same]
    _explain_unpaired(before, after, pairs, left_out)
    if before.duplicates:
        left_out["repeated doc_id in the first log"] = [-1] * before.duplicates
    if after.duplicates:
        left_out["repeated doc_id in the second log"] = [-1] * after.duplicates
    by_hash = set(hash_pairs)
    report = PairingReport(
        paired=len(kept),
        by_hash=sum(p in by_hash for p in kept),
        by_content=sum(p not in by_hash for p in kept),
        identical=sum(p in identical for p in kept),
        reordered=int(reordered.sum()),
        prompts=_prompts(first, second),
        dropped={
            reason: Dropped(len(ids), tuple(i for i in ids[:_EXAMPLES] if i >= 0)) for reason, ids in left_out.items()
        },
        notes=_notes(before, after),
    )
    return Pairs(first, second, report, reordered)


def _same_documents(before: Scores, after: Scores) -> bool:
    """Whether both logs hold the same documents with the same hashes, options and right answers, row by row.

    Then every row pairs with its own, and what follows would only find that out question by question.
    """
    if not (
        before.has_options
        and before.logprobs.shape == after.logprobs.shape
        and before.logprobs.shape[1] == before.n_options.max(initial=0)
        and not (before.duplicates or after.duplicates)
        and np.array_equal(before.doc_id, after.doc_id)
        and bool((np.diff(before.doc_id) > 0).all())
        and np.array_equal(before.n_options, after.n_options)
        and before.doc_hash == after.doc_hash
        and all(before.doc_hash)
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
    times = Counter(before.doc_hash)
    return PairingReport(
        paired=len(before),
        by_hash=len(before),
        identical=sum(count for count in times.values() if count > 1),
        prompts=_prompts(before, after),
        notes=_notes(before, after),
    )


def _notes(before: Scores, after: Scores) -> tuple[str, ...]:
    return tuple([f"first log: {note}" for note in before.notes] + [f"second log: {note}" for note in after.notes])


def _left(n: int, taken: list[int]) -> list[int]:
    free = np.ones(n, dtype=bool)
    free[taken] = False
    return [int(i) for i in np.flatnonzero(free)]


def _content_keys(scores: Scores, rows: list[int]) -> list[Hashable]:
    keys: list[Hashable] = [None] * len(scores)
    for row in rows:
        keys[row] = question_key(scores.documents[row], scores.option_texts(row))
    return keys


def _match(
    keys_before: Sequence[Hashable], keys_after: Sequence[Hashable], before: Scores, after: Scores
) -> tuple[list[tuple[int, int]], set[tuple[int, int]]]:
    """Pairs of rows with one key, and those among them that were matched by doc_id; an empty key matches nothing."""
    where: dict[Hashable, list[int]] = defaultdict(list)
    for j, key in enumerate(keys_after):
        if key:
            where[key].append(j)
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(keys_before):
        if key in where:
            groups[key].append(i)
    pairs, identical = [], set()
    for key, rows in groups.items():
        others = where[key]
        if len(rows) == len(others) == 1:
            pairs.append((rows[0], others[0]))
            continue
        by_id = {int(after.doc_id[j]): j for j in others}
        for i in rows:
            found = by_id.get(int(before.doc_id[i]))
            if found is not None:
                pairs.append((i, found))
                identical.add((i, found))
    return pairs, identical


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
    if sorted(texts_before) != sorted(texts_after) or _are_labels(texts_before):
        texts_before = [normalised(t) for t in before.option_texts(i)]
        texts_after = [normalised(t) for t in after.option_texts(j)]
    if texts_before == texts_after:
        return ()
    if Counter(texts_before) != Counter(texts_after):
        return None
    places: dict[str, list[int]] = defaultdict(list)
    for column, text in enumerate(texts_after):
        places[text].append(column)
    return tuple(places[text].pop(0) for text in texts_before)


def _are_labels(texts: list[str]) -> bool:
    """Whether the options are scored by a letter or a number, which says nothing about their content."""
    return all(len(text.strip("().:")) <= 1 for text in texts)


def _explain_unpaired(
    before: Scores, after: Scores, pairs: list[tuple[int, int]], left_out: dict[str, list[int]]
) -> None:
    rest_before = _left(len(before), [i for i, _ in pairs])
    rest_after = _left(len(after), [j for _, j in pairs])
    ids_after = {int(after.doc_id[j]) for j in rest_after}
    changed = {int(before.doc_id[i]) for i in rest_before} & ids_after
    for i in rest_before:
        doc_id = int(before.doc_id[i])
        left_out["question changed" if doc_id in changed else "only in the first log"].append(doc_id)
    for j in rest_after:
        doc_id = int(after.doc_id[j])
        if doc_id not in changed:
            left_out["only in the second log"].append(doc_id)


def _prompts(before: Scores, after: Scores) -> dict[str, int]:
    counts = Counter(
        "unknown" if not (a and b) else "same" if a == b else "different"
        for a, b in zip(before.prompt_hash, after.prompt_hash, strict=True)
    )
    return {name: counts[name] for name in ("same", "different", "unknown")}
