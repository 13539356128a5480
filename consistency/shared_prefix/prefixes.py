"""The prefixes that token sequences share: sequences in, trees of segments out, each to be computed once (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]

# A further segment costs about as much time as this many tokens: sharing fewer is not worth it.
SEGMENT_COST = 8
# A prefix that is nested deeper than this in shorter ones can become a stem, but not the root of a tree.
DEEPEST = 32


@dataclass(frozen=True)
class Segment:
    """A range of tokens that all segments below it continue.

    Parameters
    ----------
    sequence : int
        A sequence that contains the range; for a leaf, the sequence that ends with it.
    start, stop : int
        The range in that sequence.
    children : tuple of Segment
        The segments that follow it; empty for a leaf.
    """

    sequence: int
    start: int
    stop: int
    children: tuple[Segment, ...] = ()

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass(slots=True, eq=False)
class _Node:
    """Sequences next to each other in sorted order that start with the same `height` tokens."""

    height: int
    children: list[_Node] = field(default_factory=list)
    sequence: int = -1
    leaves: int = 1
    tokens: int = 0
    shared: bool = False
    depth: int = 0
    cost: int = 0
    # Under one prefix: the lowest cost of all below the node, with and without a stem that ends with it.
    stem_cost: int = 0
    stems_cost: int = 0


def common_prefix(first: Tokens, second: Tokens) -> int:
    """Number of tokens that two sequences have in common from their start.

    Examples
    --------
    >>> common_prefix(np.array([1, 2, 3], np.int32), np.array([1, 2, 4, 5], np.int32))
    2
    """
    length = min(len(first), len(second))
    if not length:
        return 0
    different = first[:length] != second[:length]
    place = int(different.argmax())
    return place if different[place] else length


def shared_trees(sequences: Sequence[Tokens], scored: Sequence[int], first: int = 0) -> list[Segment]:
    """Trees of at most three levels that cover distinct sequences with as few tokens as possible.

    The levels of a few-shot task are its examples, a question, and the question's options.

    Parameters
    ----------
    sequences : sequence of int32 arrays [length]
        Distinct token sequences.
    scored : sequence of int
        For each sequence the first position that is scored. This position and all after it are never shared.
    first : int
        The sequences before this one are left out.

    Returns
    -------
    list of Segment
        The trees, in lexicographic order; one without children is a sequence that shares nothing.

    Examples
    --------
    >>> shots = list(range(20))
    >>> [tree] = shared_trees([np.array([*shots, 30, 31], np.int32), np.array([*shots, 40], np.int32)], [21, 20])
    >>> len(tree), [(child.sequence, len(child)) for child in tree.children]
    (20, [(0, 2), (1, 1)])
    """
    if len(sequences) == first:
        return []
    root = _tree_of(sequences, scored, first)
    forest: list[Segment] = []
    _mark_trees(root)
    _collect(root, forest, sequences)
    return forest


def _tree_of(sequences: Sequence[Tokens], scored: Sequence[int], first: int) -> _Node:
    # Big-endian bytes sort as the numbers do, and much faster.
    order = sorted(range(first, len(sequences)), key=lambda number: sequences[number].astype(">i4").tobytes())
    heights = [common_prefix(sequences[a], sequences[b]) for a, b in pairwise(order)]
    stack = [_Node(0)]
    for position, sequence in enumerate(order):
        node = _Node(min(scored[sequence], len(sequences[sequence])), [], sequence, 1, len(sequences[sequence]))
        height = heights[position] if position < len(heights) else 0
        while stack[-1].height > height:
            top = stack.pop()
            top.children.append(node)
            node = top
        if stack[-1].height < height:
            stack.append(_Node(height, [node]))
        else:
            stack[-1].children.append(node)
    for node in reversed(_below(stack[0])):
        if node.children:
            node.leaves = sum([child.leaves for child in node.children])
            node.tokens = sum([child.tokens for child in node.children])
            # Positions that are scored below this node are not shared by it.
            node.height = min(node.height, *(child.height for child in node.children))
            node.sequence = node.children[0].sequence
    return stack[0]


def _below(root: _Node) -> list[_Node]:
    """All nodes, parents before children."""
    nodes = [root]
    for node in nodes:
        nodes.extend(node.children)
    return nodes


def _stems(root: _Node, base: int) -> tuple[int, list[_Node]]:
    """The cost and the stems, in order, of the cheapest cover of all below a prefix of `base` tokens."""
    nodes = _below(root)
    for node in reversed(nodes):
        if not node.children:
            node.stem_cost = node.stems_cost = node.tokens - base + SEGMENT_COST
            continue
        node.stems_cost = sum([child.stem_cost for child in node.children])
        together = (node.height - base) + SEGMENT_COST + node.tokens - node.leaves * (node.height - SEGMENT_COST)
        node.stem_cost = min(node.stems_cost, together)
    chosen: list[_Node] = []
    waiting = list(reversed(root.children))
    while waiting:
        node = waiting.pop()
        if node.children and node.stem_cost == node.stems_cost:
            waiting.extend(reversed(node.children))
        else:
            chosen.append(node)
    return root.stems_cost, chosen


def _mark_trees(root: _Node) -> None:
    """Mark the nodes that become trees, so that the total cost is the lowest."""
    nodes = _below(root)
    for node in nodes:
        for child in node.children:
            child.depth = node.depth + 1
    for node in reversed(nodes):
        apart = sum([child.cost for child in node.children]) if node.children else node.tokens + SEGMENT_COST
        together = apart
        if node.children and node.height > 0 and node.depth <= DEEPEST:
            together = node.height + SEGMENT_COST + _stems(node, node.height)[0]
        node.shared = together < apart
        node.cost = min(together, apart)


def _collect(root: _Node, forest: list[Segment], sequences: Sequence[Tokens]) -> None:
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.shared:
            stems = tuple(_stem(stem, node.height, sequences) for stem in _stems(node, node.height)[1])
            forest.append(Segment(node.sequence, 0, node.height, stems))
        elif node.children:
            waiting.extend(reversed(node.children))
        else:
            forest.append(Segment(node.sequence, 0, len(sequences[node.sequence])))


def _stem(node: _Node, base: int, sequences: Sequence[Tokens]) -> Segment:
    if not node.children:
        return Segment(node.sequence, base, len(sequences[node.sequence]))
    leaves = [leaf.sequence for leaf in _below(node) if not leaf.children]
    branches = tuple(Segment(leaf, node.height, len(sequences[leaf])) for leaf in leaves)
    return Segment(node.sequence, base, node.height, branches)
