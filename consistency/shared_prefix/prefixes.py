"""Which token sequences share what: sequences in, a forest of segments out, to be computed once each (no torch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]

# A segment of its own costs about as much as this many tokens: sharing less does not pay.
SEGMENT = 8
# Prefixes are looked for among that many nested ones; what lies deeper only ever becomes a stem.
DEEPEST = 32


@dataclass(frozen=True)
class Segment:
    """A stretch of tokens that everything below it shares.

    Parameters
    ----------
    sequence : int
        A sequence that holds the stretch; of a leaf, the sequence that ends with it.
    start, stop : int
        Its place in that sequence.
    children : tuple of Segment
        What follows it; empty for a leaf.
    """

    sequence: int
    start: int
    stop: int
    children: tuple[Segment, ...] = ()

    def __len__(self) -> int:
        return self.stop - self.start


@dataclass
class _Node:
    """Neighbours in sorted order that have `height` tokens in common."""

    height: int
    children: list[_Node] = field(default_factory=list)
    sequence: int = -1
    leaves: int = 1
    tokens: int = 0
    shared: bool = False


def common_prefix(first: Tokens, second: Tokens) -> int:
    """Number of tokens that two sequences have in common from their start.

    Examples
    --------
    >>> common_prefix(np.array([1, 2, 3], np.int32), np.array([1, 2, 4, 5], np.int32))
    2
    """
    length = min(len(first), len(second))
    different = np.flatnonzero(first[:length] != second[:length])
    return int(different[0]) if len(different) else length


def share(sequences: Sequence[Tokens], scored: Sequence[int]) -> list[Segment]:
    """Cover distinct sequences by trees of at most three levels, with as few tokens as these allow.

    The levels of a few-shot task are its examples, a question, and the question's options.

    Parameters
    ----------
    sequences : sequence of int32 arrays [length]
        Distinct token sequences.
    scored : sequence of int
        For each sequence the first position that is scored. A sequence keeps it, and all that follow, to itself.

    Returns
    -------
    list of Segment
        The trees, in lexicographic order; one without children is a sequence that shares nothing.

    Examples
    --------
    >>> shots = list(range(20))
    >>> [tree] = share([np.array([*shots, 30, 31], np.int32), np.array([*shots, 40], np.int32)], [21, 20])
    >>> len(tree), [(child.sequence, len(child)) for child in tree.children]
    (20, [(0, 2), (1, 1)])
    """
    if not sequences:
        return []
    root = _tree_of(sequences, scored)
    forest: list[Segment] = []
    _mark_trees(root)
    _collect(root, forest, sequences)
    return forest


def _tree_of(sequences: Sequence[Tokens], scored: Sequence[int]) -> _Node:
    # Big-endian bytes sort as the numbers do, and much faster.
    keys = [tokens.astype(">i4").tobytes() for tokens in sequences]
    order = sorted(range(len(keys)), key=keys.__getitem__)
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
            node.leaves = sum(child.leaves for child in node.children)
            node.tokens = sum(child.tokens for child in node.children)
            # What is scored below stays below.
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
    """The cheapest cover of what lies below a prefix of `base` tokens: its cost, and its stems in order."""
    costs: dict[int, int] = {}
    nodes = _below(root)[1:]
    for node in reversed(nodes):
        apart = sum(costs[id(child)] for child in node.children) if node.children else node.tokens - base + SEGMENT
        together = (node.height - base) + SEGMENT + node.tokens - node.leaves * (node.height - SEGMENT)
        costs[id(node)] = min(apart, together) if node.children else apart
    chosen: list[_Node] = []
    waiting = list(reversed(root.children))
    while waiting:
        node = waiting.pop()
        if node.children and costs[id(node)] == sum(costs[id(child)] for child in node.children):
            waiting.extend(reversed(node.children))
        else:
            chosen.append(node)
    return sum(costs[id(child)] for child in root.children), chosen


def _mark_trees(root: _Node) -> None:
    """Mark the nodes that become trees, so that all of them together cost the least."""
    costs: dict[int, int] = {}
    depths = {id(root): 0}
    nodes = _below(root)
    for node in nodes:
        for child in node.children:
            depths[id(child)] = depths[id(node)] + 1
    for node in reversed(nodes):
        apart = sum(costs[id(child)] for child in node.children) if node.children else node.tokens + SEGMENT
        together = apart
        if node.children and node.height > 0 and depths[id(node)] <= DEEPEST:
            together = node.height + SEGMENT + _stems(node, node.height)[0]
        node.shared = together < apart
        costs[id(node)] = min(together, apart)


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
