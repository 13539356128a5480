"""The layout of trees in one row of a forward pass: segments in, positions and attention bounds out (no torch)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from consistency.shared_prefix.prefixes import Segment, Tokens
from consistency.support.arrays import Integers


@dataclass(frozen=True)
class Unit:
    """The smallest part of a pass: a stem with its branches, which follow the prefix of a tree."""

    prefix: Segment
    stem: Segment

    @property
    def tree(self) -> int:
        """A number of the tree: that of its first sequence."""
        return self.prefix.sequence

    def __len__(self) -> int:
        return len(self.stem) + sum(len(branch) for branch in self.stem.children)

    @property
    def leaves(self) -> tuple[Segment, ...]:
        """The segments that end a sequence."""
        return self.stem.children or (self.stem,)


@dataclass(frozen=True)
class Bounds:
    """Pairs of a query range and a key range, for attention over ranges of different lengths.

    Parameters
    ----------
    queries, keys : int64 arrays [pairs + 1]
        Cumulative lengths: in pair i, queries ``queries[i]:queries[i + 1]`` attend to keys ``keys[i]:keys[i + 1]``.
    """

    queries: Integers
    keys: Integers


@dataclass(frozen=True)
class Row:
    """The layout of one pass: all new prefixes, then the stems and branches of each tree, without padding.

    Parameters
    ----------
    tokens, positions : int64 arrays [length]
        Token ids, and the position of each in the sequence that it belongs to.
    prefixes : int
        How many tokens at the start are prefixes; they attend to themselves only.
    own : Bounds
        Each segment attends to itself, causally.
    trees : Bounds
        The stems and branches of each tree attend to its prefix. Keys: the carried prefix, if any, then the row's own.
    stems : Bounds
        Branches attend to their stem.
    branch_rows, stem_rows : int64 arrays
        Places in the row of the queries and keys of `stems`.
    carried : int
        Length of the prefix that the pass before left for the first tree of this one; 0 if there is none.
    kept : slice
        Place, among the keys of `trees`, of the prefix that the next pass needs; empty if it needs none.
    leaves : tuple of Segment
        The segments of this row that end a sequence, in order.
    ends : int64 array [leaves]
        One past the last token of each.
    """

    tokens: Integers
    positions: Integers
    prefixes: int
    own: Bounds
    trees: Bounds
    stems: Bounds
    branch_rows: Integers
    stem_rows: Integers
    carried: int
    kept: slice
    leaves: tuple[Segment, ...]
    ends: Integers

    def window_keys(self, window: int) -> tuple[Integers, Bounds]:
        """The keys that each segment attends to under a sliding window, its own tokens included.

        Parameters
        ----------
        window : int
            A token attends to itself and the ``window - 1`` tokens before it.

        Returns
        -------
        tuple of int64 array and Bounds
            For each segment the places of its keys, in order, among the carried prefix followed by the row; and the
            ranges. The last query of a segment is at the position of its last key.
        """
        parents = self._parents()
        places: list[Integers] = []
        for segment, (start, stop) in enumerate(_pairs(self.own.queries)):
            own = np.arange(start, stop) + self.carried
            seen = np.concatenate([*parents.get(segment, []), own])
            places.append(seen[max(0, len(seen) - len(own) - window + 1) :])
        return np.concatenate(places), Bounds(self.own.queries, _cumulative([len(item) for item in places]))

    def _parents(self) -> dict[int, list[Integers]]:
        """For each segment the places of the segments above it, from the top."""
        above: dict[int, list[Integers]] = {}
        starts = self.own.queries[:-1]
        for (start, stop), (first, last) in zip(_pairs(self.trees.queries), _pairs(self.trees.keys), strict=True):
            for segment in range(*np.searchsorted(starts, [start + self.prefixes, stop + self.prefixes])):
                above[segment] = [np.arange(first, last)]
        for (start, stop), (first, last) in zip(_pairs(self.stems.queries), _pairs(self.stems.keys), strict=True):
            rows = self.branch_rows[start:stop]
            for segment in range(*np.searchsorted(starts, [rows[0], rows[-1] + 1])):
                above[segment] = [*above[segment], self.stem_rows[first:last] + self.carried]
        return above


def units_of(forest: Iterable[Segment], longest: int) -> list[Unit]:
    """The units of all trees; a stem is repeated where its branches have more than `longest` tokens."""
    units: list[Unit] = []
    for prefix in forest:
        for stem in prefix.children:
            for branches in _portions(stem.children, longest):
                part = Segment(stem.sequence, stem.start, stem.stop, branches)
                units.append(Unit(prefix, part))
    return units


def _portions(branches: Sequence[Segment], longest: int) -> list[tuple[Segment, ...]]:
    portions: list[list[Segment]] = [[]]
    size = 0
    for branch in branches:
        if portions[-1] and size + len(branch) > longest:
            portions.append([])
            size = 0
        portions[-1].append(branch)
        size += len(branch)
    return [tuple(portion) for portion in portions]


def end_of_pass(units: Sequence[Unit], first: int, scored: Sequence[int], tokens: int, positions: int) -> int:
    """One past the last unit of the pass that begins with unit `first`.

    Parameters
    ----------
    units : sequence of Unit
        The units of all passes.
    first : int
        The first unit of this pass.
    scored : sequence of int
        Number of scored positions of each sequence.
    tokens, positions : int
        The most tokens, and scored positions, that a pass should have; a single unit may have more.

    Returns
    -------
    int
        At least ``first + 1``.
    """
    for index in range(first, len(units)):
        unit = units[index]
        opens = index == 0 or units[index - 1].tree != unit.tree
        tokens -= len(unit) + (len(unit.prefix) if opens else 0)
        positions -= sum(scored[leaf.sequence] for leaf in unit.leaves)
        if min(tokens, positions) < 0 and index > first:
            return index
    return len(units)


def lay_out(units: Sequence[Unit], first: int, last: int, sequences: Sequence[Tokens]) -> Row:
    """The row of the units `first` to `last` - 1."""
    before = units[first - 1].tree if first else -1
    after = units[last].tree if last < len(units) else -1
    trees: dict[int, list[Unit]] = {}
    for unit in units[first:last]:
        trees.setdefault(unit.tree, []).append(unit)
    heads = [members[0].prefix for members in trees.values()]
    carried = len(heads[0]) if before in trees else 0
    order = heads[1:] if carried else heads[:]
    prefixes = sum(len(head) for head in order)
    place = prefixes
    lengths: list[int] = []
    leaves: list[Segment] = []
    ends: list[int] = []
    stem_rows: list[Integers] = []
    branch_rows: list[Integers] = []
    for members in trees.values():
        begun = place
        branched: list[tuple[Unit, int]] = []
        for unit in members:
            order.append(unit.stem)
            if unit.stem.children:
                branched.append((unit, place))
            else:
                leaves.append(unit.stem)
                ends.append(place + len(unit.stem))
            place += len(unit.stem)
        for unit, at in branched:
            stem_rows.append(np.arange(at, at + len(unit.stem)))
            started = place
            for branch in unit.stem.children:
                order.append(branch)
                leaves.append(branch)
                place += len(branch)
                ends.append(place)
            branch_rows.append(np.arange(started, place))
        lengths.append(place - begun)
    keys = _cumulative([len(head) for head in heads])
    own = _cumulative([len(segment) for segment in order])
    return Row(
        tokens=np.concatenate([sequences[item.sequence][item.start : item.stop] for item in order]).astype(np.int64),
        positions=np.concatenate([np.arange(item.start, item.stop) for item in order]),
        prefixes=prefixes,
        own=Bounds(own, own),
        trees=Bounds(_cumulative(lengths), keys),
        stems=Bounds(_cumulative([len(rows) for rows in branch_rows]), _cumulative([len(rows) for rows in stem_rows])),
        branch_rows=np.concatenate(branch_rows) if branch_rows else np.empty(0, np.int64),
        stem_rows=np.concatenate(stem_rows) if stem_rows else np.empty(0, np.int64),
        carried=carried,
        kept=slice(int(keys[-2]), int(keys[-1])) if after == units[last - 1].tree else slice(0, 0),
        leaves=tuple(leaves),
        ends=np.array(ends, np.int64),
    )


def _cumulative(lengths: Sequence[int]) -> Integers:
    return np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))])


def _pairs(bounds: Integers) -> list[tuple[int, int]]:
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))
