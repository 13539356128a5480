"""lm_eval's encoded requests, grouped by the distinct token sequences that a model has to read (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from consistency.shared_prefix.passes import Row
from consistency.shared_prefix.prefixes import Segment, Tokens, shared_trees
from consistency.support.arrays import Integers

Encoded = tuple[Any, list[int], list[int]]


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
    answers : list of list of (int, list of int)
        For each the requests that it answers: their numbers and continuations.
    """

    def __init__(self, requests: Sequence[Encoded], longest: int) -> None:
        self.sequences: list[Tokens] = []
        self.counts: list[int] = []
        self.answers: list[list[tuple[int, list[int]]]] = []
        places: dict[bytes, int] = {}
        # The options of a question have the same context, which is often the same list object.
        last: list[int] = []
        context_bytes = b""
        last_read: list[int] | None = None
        place = 0
        for number, (_, context, continuation) in enumerate(requests):
            if not context or not 0 < len(continuation) <= longest:
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

    def scored_tokens(self, row: Row) -> tuple[Integers, Integers, Integers]:
        """For each scored token of a row: its place among the scored positions, its id, and the number of its request."""
        ends: list[int] = []
        lengths: list[int] = []
        targets: list[int] = []
        numbers: list[int] = []
        end = 0
        for leaf in row.leaves:
            end += self.counts[leaf.sequence]
            for number, continuation in self.answers[leaf.sequence]:
                ends.append(end)
                lengths.append(len(continuation))
                targets.extend(continuation)
                numbers.append(number)
        sizes = np.array(lengths)
        # The scored positions of a request end where those of its sequence do.
        places = np.arange(len(targets)) + np.repeat(np.array(ends) - np.cumsum(sizes), sizes)
        return places, np.array(targets), np.repeat(np.array(numbers), sizes)

    def forest(self) -> list[Segment]:
        """The trees of the sequences: see `consistency.shared_prefix.prefixes.shared_trees`."""
        return shared_trees(self.sequences, [len(t) - n for t, n in zip(self.sequences, self.counts, strict=True)])


def _bytes_of(tokens: list[int]) -> bytes:
    return np.fromiter(tokens, np.int32, len(tokens)).tobytes()
