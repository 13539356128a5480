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
        for number, (_, context, continuation) in enumerate(requests):
            if not context or not 0 < len(continuation) <= longest:
                raise ValueError(f"request {number}: a continuation of {len(continuation)} tokens after {len(context)}")
            if context is not last:
                last, context_bytes = context, np.array(context, np.int32).tobytes()
            key = (context_bytes + np.array(continuation[:-1], np.int32).tobytes())[-4 * longest :]
            place = places.setdefault(key, len(places))
            if place == len(self.sequences):
                self.sequences.append(np.frombuffer(key, np.int32))
                self.counts.append(0)
                self.answers.append([])
            self.counts[place] = max(self.counts[place], len(continuation))
            self.answers[place].append((number, continuation))

    def scored_tokens(self, row: Row) -> tuple[Integers, Integers, Integers]:
        """For each scored token of a row: its place among the scored positions, its id, and the number of its request."""
        places: list[Integers] = []
        targets: list[int] = []
        owners: list[int] = []
        end = 0
        for leaf in row.leaves:
            end += self.counts[leaf.sequence]
            for number, continuation in self.answers[leaf.sequence]:
                places.append(np.arange(end - len(continuation), end))
                targets.extend(continuation)
                owners.extend([number] * len(continuation))
        return np.concatenate(places), np.array(targets), np.array(owners)

    def forest(self) -> list[Segment]:
        """The trees of the sequences: see `consistency.shared_prefix.prefixes.shared_trees`."""
        return shared_trees(self.sequences, [len(t) - n for t, n in zip(self.sequences, self.counts, strict=True)])
