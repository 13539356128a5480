"""lm_eval's encoded requests, grouped by the distinct token sequences that a model has to read (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from consistency.shared_prefix.passes import Row
from consistency.shared_prefix.prefixes import Segment, Tokens, shared_trees
from consistency.support.arrays import Integers

# The strings of a request, the tokens of its context, and those of its continuation.
Encoded = tuple[Any, Sequence[int] | Tokens, Sequence[int]]


class Requests:
    """Requests grouped by the distinct sequences that the model has to read; more can be added.

    Parameters
    ----------
    requests : sequence of (strings, context tokens, continuation tokens)
        As lm_eval passes them; their numbers are their places.
    longest : int
        The most tokens that the model reads; longer inputs are cut off at the left, as lm_eval does.

    Attributes
    ----------
    sequences : list of int32 arrays
        The inputs; of those that were added together each is distinct.
    counts : list of int
        How many positions at the end of each are scored at most.
    answers : list of list of (int, sequence of int)
        For each the requests that it answers: their numbers and continuations.
    """

    def __init__(self, requests: Sequence[Encoded], longest: int) -> None:
        self.longest = longest
        self.sequences: list[Tokens] = []
        self.counts: list[int] = []
        self.answers: list[list[tuple[int, Sequence[int]]]] = []
        self._first_scored: list[int] = []
        self.add(range(len(requests)), requests)

    def add(self, numbers: Sequence[int], requests: Sequence[Encoded]) -> None:
        """Group further requests, which share no sequence with those before."""
        longest, begin = self.longest, len(self.sequences)
        places: dict[bytes, int] = {}
        # The options of a question have the same context, which is often the same object.
        last: Sequence[int] | Tokens = []
        context_bytes = b""
        last_read: Sequence[int] | None = None
        place = 0
        for number, (_, context, continuation) in zip(numbers, requests, strict=True):
            if not len(context) or not 0 < len(continuation) <= longest:
                raise ValueError(f"request {number}: a continuation of {len(continuation)} tokens after {len(context)}")
            if context is not last:
                last, context_bytes, last_read = context, _bytes_of(context), None
            read = continuation[:-1]
            if read != last_read:
                last_read = read
                key = (context_bytes + _bytes_of(read))[-4 * longest :]
                place = places.setdefault(key, begin + len(places))
                if place == len(self.sequences):
                    self.sequences.append(np.frombuffer(key, np.int32))
                    self.counts.append(0)
                    self.answers.append([])
            if len(continuation) > self.counts[place]:
                self.counts[place] = len(continuation)
            self.answers[place].append((number, continuation))
        added = zip(self.sequences[begin:], self.counts[begin:], strict=True)
        self._first_scored += [len(tokens) - count for tokens, count in added]

    def scored_tokens(self, row: Row) -> tuple[Integers, Integers, Integers]:
        """For each scored token of a row: its place among the scored positions, its id, and the number of its request."""
        sequences = [leaf.sequence for leaf in row.leaves]
        asked = [self.answers[sequence] for sequence in sequences]
        # The scored positions of a request end where those of its sequence do.
        stops = np.repeat(np.cumsum([self.counts[sequence] for sequence in sequences]), [len(item) for item in asked])
        numbers, continuations = zip(*chain.from_iterable(asked), strict=True)
        lengths = np.array([len(continuation) for continuation in continuations])
        ids = np.fromiter(chain.from_iterable(continuations), np.int64)
        return np.arange(len(ids)) + np.repeat(stops - np.cumsum(lengths), lengths), ids, np.repeat(numbers, lengths)

    def forest(self, first: int = 0) -> list[Segment]:
        """The trees of the sequences from number `first` on: see `consistency.shared_prefix.prefixes.shared_trees`."""
        return shared_trees(self.sequences, self._first_scored, first)


def _bytes_of(tokens: Sequence[int] | Tokens) -> bytes:
    return np.asarray(tokens, np.int32).tobytes()
