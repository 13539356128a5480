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
    """Requests grouped by the distinct sequences that the model has to read.

    Parameters
    ----------
    requests : sequence of (strings, context tokens, continuation tokens)
        As lm_eval passes them.
    longest : int
        The most tokens that the model reads; longer inputs are cut off at the left, as lm_eval does.

    Attributes
    ----------
    sequences : list of int32 arrays
        The distinct inputs.
    counts : list of int
        How many positions at the end of each are scored at most.
    answers : list of list of (int, sequence of int)
        For each the requests that it answers: their numbers and continuations.
    """

    def __init__(self, requests: Sequence[Encoded], longest: int) -> None:
        self.sequences: list[Tokens] = []
        self.counts: list[int] = []
        self.answers: list[list[tuple[int, Sequence[int]]]] = []
        places: dict[bytes, int] = {}
        # The options of a question have the same context, which is often the same object.
        last: Sequence[int] | Tokens = []
        context_bytes = b""
        last_read: Sequence[int] | None = None
        place = 0
        for number, (_, context, continuation) in enumerate(requests):
            if not len(context) or not 0 < len(continuation) <= longest:
                raise ValueError(f"request {number}: a continuation of {len(continuation)} tokens after {len(context)}")
            if context is not last:
                last, context_bytes, last_read = context, _bytes_of(context), None
            read = continuation[:-1]
            if read != last_read:
                last_read = read
                key = (context_bytes + _bytes_of(read))[-4 * longest :]
                place = places.setdefault(key, len(places))
                if place == len(self.sequences):
                    self.sequences.append(np.frombuffer(key, np.int32))
                    self.counts.append(0)
                    self.answers.append([])
            if len(continuation) > self.counts[place]:
                self.counts[place] = len(continuation)
            self.answers[place].append((number, continuation))

        # For each scored token, sequence by sequence: its id, its request, and its place before the end of the sequence.
        asked = list(chain.from_iterable(self.answers))
        lengths = np.array([len(continuation) for _, continuation in asked], np.int64)
        ends = np.cumsum(lengths)
        self._targets = np.fromiter(chain.from_iterable(continuation for _, continuation in asked), np.int64)
        self._owners = np.repeat(np.array([number for number, _ in asked], np.int64), lengths)
        self._back = np.arange(len(self._targets)) - np.repeat(ends, lengths)
        # Where those of each sequence begin.
        firsts = np.cumsum([0, *map(len, self.answers)])
        self._starts = np.concatenate([[0], ends])[firsts]

    def scored_tokens(self, row: Row) -> tuple[Integers, Integers, Integers]:
        """For each scored token of a row: its place among the scored positions, its id, and the number of its request."""
        sequences = [leaf.sequence for leaf in row.leaves]
        starts = self._starts[sequences]
        sizes = self._starts[np.array(sequences) + 1] - starts
        tokens = np.arange(sizes.sum()) + np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
        # The scored positions of a request end where those of its sequence do.
        ends = np.cumsum([self.counts[sequence] for sequence in sequences])
        return np.repeat(ends, sizes) + self._back[tokens], self._targets[tokens], self._owners[tokens]

    def forest(self) -> list[Segment]:
        """The trees of the sequences: see `consistency.shared_prefix.prefixes.shared_trees`."""
        return shared_trees(self.sequences, [len(t) - n for t, n in zip(self.sequences, self.counts, strict=True)])


def _bytes_of(tokens: Sequence[int] | Tokens) -> bytes:
    return np.asarray(tokens, np.int32).tobytes()
