"""Pair the documents of two logs: the same question, its options in one order, an account of every document left out.

Documents pair by the harness's hash, and by what they ask where a log has no hash or the hashes differ. Nothing is
paired by its position in a file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from consistency.comparison.matching import content_keys, match, unmatched
from consistency.comparison.option_order import column_order
from consistency.errors import InputError
from consistency.logs.documents import normalised, options_of
from consistency.logs.doubts import doubts
from consistency.logs.scores import Scores
from consistency.support.arrays import Bools, Integers
from consistency.support.text import counted, shortened

# Why documents are left out that have no counterpart.
ONLY_FIRST, ONLY_SECOND = "only in the first log", "only in the second log"
# Rows beside the one that is used, which is paired.
REPEATED = ("repeated doc_id in the first log", "repeated doc_id in the second log")
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
        """Which options are right, shape [n, k], as either log says."""
        return self.before.gold


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
        first, second = with_known_gold([before, after])
        return Pairs(first, _sharing(first, second), report, np.zeros(len(before), dtype=bool))
    matches = match(before, after)
    left_out: dict[str, list[int]] = defaultdict(list)
    rows, reordered, alike = matches.rows, np.zeros(len(matches.rows), dtype=bool), 0
    if before.has_options:
        rows, columns, alike = _in_one_order(before, after, rows, left_out)
        first, second, reordered = _reordered(before.take(rows[:, 0]), after.take(rows[:, 1]), columns)
    else:
        first, second = before.take(rows[:, 0]), after.take(rows[:, 1])
    same = of_one_answer([first, second])
    if not same.all():
        left_out["right answer differs"] = first.doc_id[~same].tolist()
        kept = np.flatnonzero(same)
        first, second, reordered, rows = first.take(kept), second.take(kept), reordered[kept], rows[kept]
    first, second = with_known_gold([first, second])
    _explain_unpaired(before, after, matches.rows, left_out)
    for reason, scores in zip(REPEATED, (before, after), strict=True):
        if scores.duplicates:
            left_out[reason] = [-1] * scores.duplicates
    hashed = np.isin(rows[:, 0], matches.hashed)
    report = PairingReport(
        paired=len(rows),
        by_hash=int(hashed.sum()),
        by_content=int((~hashed).sum()),
        identical=len(matches.identical.intersection(rows[:, 0].tolist())) if matches.identical else 0,
        reordered=int(reordered.sum()),
        prompts=_prompts(first, second),
        dropped={
            reason: Dropped(len(ids), tuple(i for i in ids[:_EXAMPLES] if i >= 0)) for reason, ids in left_out.items()
        },
        notes=(*_notes(before, after), *_note_of_alike(alike), *_note_of_further(matches.within, matches.further)),
    )
    return Pairs(first, _sharing(first, second), report, reordered)


def _in_one_order(
    before: Scores, after: Scores, rows: Integers, left_out: dict[str, list[int]]
) -> tuple[Integers, dict[int, tuple[int, ...]], int]:
    """The pairs of rows whose options are the same, and by place among them where those in another order stand.

    The last number is how many of them have options that read the same. The others are added to `left_out`.
    """
    columns: dict[int, tuple[int, ...]] = {}
    differ: list[int] = []
    alike = 0
    # A view of memory gives Python's numbers one by one; lists of them would take 80 bytes a pair.
    for place, (i, j) in enumerate(zip(rows[:, 0].data, rows[:, 1].data, strict=True)):
        found = column_order(before, i, after, j)
        if found is None:
            left_out["options differ"].append(int(before.doc_id[i]))
            differ.append(place)
        elif found:
            columns[place - len(differ)] = found
            alike += len(set(map(normalised, before.option_texts(i)))) < len(found)
    return np.delete(rows, differ, axis=0), columns, alike


def _reordered(first: Scores, second: Scores, columns: Mapping[int, tuple[int, ...]]) -> tuple[Scores, Scores, Bools]:
    """Paired rows with the options in the order of the first log, and which the second had in another one."""
    moved = np.zeros(len(first), dtype=bool)
    width = int(first.n_options.max(initial=0))
    if columns or {width} != {first.logprobs.shape[1], second.logprobs.shape[1]}:
        permutation = np.tile(np.arange(width), (len(first), 1))
        first = first.reorder_options(permutation)
        for row, found in columns.items():
            permutation[row, : len(found)] = found
            moved[row] = True
        second = second.reorder_options(permutation)
    return first, second, moved


def of_one_answer(runs: Sequence[Scores]) -> Bools:
    """Which paired rows do not have one right answer in one log and another in another, shape [n]."""
    same = np.ones(len(runs[0]), dtype=bool)
    for first, second in combinations(runs, 2):
        if first.has_options:
            known = first.gold.any(axis=1) & second.gold.any(axis=1)
            same &= ~(known & (first.gold != second.gold).any(axis=1))
        elif first.right is not None and second.right is not None:
            same &= np.array([_is_same_right(first, second, row) for row in range(len(first))], dtype=bool)
    return same


def _sharing(before: Scores, after: Scores) -> Scores:
    """The second log's answers with the first's documents, hashes and options in memory, where they are the same."""
    names = ("documents", "doc_hash", "prompt_hash", "continuations")
    same = {name: getattr(before, name) for name in names if getattr(before, name) == getattr(after, name)}
    numbers = before.doc_id if np.array_equal(before.doc_id, after.doc_id) else after.doc_id
    return replace(after, doc_id=numbers, **same)


def with_known_gold(runs: Sequence[Scores]) -> list[Scores]:
    """Paired answers, in each the right options that only another log knows."""
    known = [np.asarray(scores.gold.any(axis=1, keepdims=True)) for scores in runs]
    if not runs[0].has_options or all(np.array_equal(known[0], other) for other in known[1:]):
        return list(runs)
    gold = runs[0].gold
    for scores in runs[1:]:
        gold = np.where(gold.any(axis=1, keepdims=True), gold, scores.gold)
    return [replace(scores, gold=np.where(own, scores.gold, gold)) for scores, own in zip(runs, known, strict=True)]


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
    return bool(of_one_answer([before, after]).all())


def _report_of_same(before: Scores, after: Scores) -> PairingReport:
    """The report of logs that hold the same documents."""
    hashed = all(before.doc_hash)
    if hashed:
        identical = sum(count for count in Counter(before.doc_hash).values() if count > 1)
    else:
        times = np.unique(content_keys(before, np.arange(len(before))), return_counts=True)[1]
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


def _note_of_further(count: int, names: Sequence[str]) -> Iterator[str]:
    if count:
        yield (
            f"{counted(count, 'question', 'pair')} by text and options alone: one log also has "
            f"{shortened(names)}, and only its prompts tell whether its model was shown that"
        )


def _is_same_right(first: Scores, second: Scores, row: int) -> bool:
    """Whether two logs without log-probabilities call one answer right, or do not tell.

    They do not where the one's answer is no option of the other: then it was read in another way.
    """
    one, two = (scores.right[row] if scores.right is not None else "" for scores in (first, second))
    if one == two or not (one and two):
        return True
    options = (list(map(normalised, options_of(scores.documents[row]))) for scores in (first, second))
    return not all(one in texts and two in texts for texts in options)


def _explain_unpaired(before: Scores, after: Scores, pairs: Integers, left_out: dict[str, list[int]]) -> None:
    rest_before, rest_after = unmatched(before, pairs[:, 0]), unmatched(after, pairs[:, 1])
    row_after = dict(zip(after.doc_id[rest_after].tolist(), rest_after.tolist(), strict=True))
    changed = set(before.doc_id[rest_before].tolist()) & set(row_after)
    for i in rest_before.tolist():
        doc_id = int(before.doc_id[i])
        reason = ONLY_FIRST
        if doc_id in changed:
            counts = [len(scores.continuations[row]) for scores, row in ((before, i), (after, row_after[doc_id]))]
            reason = (
                "question changed" if counts[0] == counts[1] or not all(counts) else "with another number of options"
            )
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
