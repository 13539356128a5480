from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consistency.shared_prefix.passes import end_of_pass, lay_out, units_of
from consistency.shared_prefix.prefixes import SEGMENT_COST, Segment, common_prefix, shared_trees
from consistency.shared_prefix.requests import Requests

# Few token ids, so that much is shared by chance; some sequences continue others.
sequence = st.lists(st.integers(0, 2), min_size=1, max_size=14).map(tuple)
several = st.lists(sequence, min_size=1, max_size=12, unique=True)


def arrays(sequences: list[tuple[int, ...]]) -> list[np.ndarray]:
    return [np.array(item, np.int32) for item in sequences]


def leaves(segment: Segment, above: tuple[Segment, ...] = ()) -> list[tuple[Segment, ...]]:
    path = (*above, segment)
    return [path] if not segment.children else [found for child in segment.children for found in leaves(child, path)]


@given(st.lists(st.tuples(sequence, st.lists(sequence, min_size=1, max_size=4)), min_size=1, max_size=6), st.booleans())
@settings(deadline=None, max_examples=200)
def test_requests_are_grouped_by_the_tokens_that_are_read(questions, one_list: bool) -> None:
    longest = 15
    encoded = []
    for context, options in questions:
        given_list = list(context)
        encoded += [(None, given_list if one_list else list(context), list(option)) for option in options]
    batch = Requests(encoded, longest)
    expected: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
    for number, (_, context, option) in enumerate(encoded):
        expected.setdefault(tuple([*context, *option][:-1][-longest:]), []).append((number, option))
    assert [tuple(item.tolist()) for item in batch.sequences] == list(expected)
    assert batch.answers == list(expected.values())
    assert batch.counts == [max(len(option) for _, option in asked) for asked in expected.values()]
    # Added later, in two parts: of all sequences each part has its own.
    first, second = encoded[:3], encoded[3:]
    parts = [Requests(part, longest) for part in (first, second)]
    grown = Requests(first, longest)
    grown.add(range(3, len(encoded)), second)
    assert [item.tolist() for item in grown.sequences] == [item.tolist() for part in parts for item in part.sequences]
    before = len(parts[0].sequences)
    later = [(sequence, part.answers[sequence]) for part in parts for sequence in range(len(part.sequences))]
    assert [[option for _, option in asked] for asked in grown.answers] == [[o for _, o in asked] for _, asked in later]
    assert sorted(number for asked in grown.answers for number, _ in asked) == list(range(len(encoded)))
    for one, other in zip(grown.forest(before), parts[1].forest(), strict=True):
        assert [leaf[-1].sequence - before for leaf in leaves(one)] == [leaf[-1].sequence for leaf in leaves(other)]
        assert [[len(part) for part in leaf] for leaf in leaves(one)] == [
            [len(part) for part in leaf] for leaf in leaves(other)
        ]


@given(sequence, sequence)
def test_a_common_prefix_ends_at_the_first_difference(first, second) -> None:
    expected = next((n for n, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
    found = common_prefix(*arrays([first, second]))
    assert found == (min(len(first), len(second)) if expected is None else expected)


def few_shot(seed: int, scale: int = 1) -> tuple[list[np.ndarray], list[int]]:
    """Two tasks with examples; questions with one input, and with options of several tokens."""
    draw = random.Random(seed)

    def some(length: int) -> list[int]:
        return [draw.randrange(1000) for _ in range(length * scale)]

    sequences, scored = [], []
    for shots in (60, 35):
        before = some(shots)
        for number in range(7):
            question = [*before, *some(draw.randrange(3, 25))]
            options = 1 if number % 2 else 4
            for _ in range(options):
                option = some(draw.randrange(1, 6)) if options > 1 else []
                sequences.append(np.array([*question, *option], np.int32))
                scored.append(len(question) - 1)
    order = list(range(len(sequences)))
    draw.shuffle(order)
    return [sequences[index] for index in order], [scored[index] for index in order]


@given(several, st.data())
@settings(deadline=None, max_examples=300)
def test_every_sequence_is_covered_once_and_keeps_what_is_scored(sequences, data) -> None:
    scored = [data.draw(st.integers(0, len(item) - 1)) for item in sequences]
    paths = [path for tree in shared_trees(arrays(sequences), scored) for path in leaves(tree)]
    assert sorted(path[-1].sequence for path in paths) == list(range(len(sequences)))
    for path in paths:
        assert 1 <= len(path) <= 3
        tokens = [token for part in path for token in sequences[part.sequence][part.start : part.stop]]
        own = path[-1]
        assert tuple(tokens) == sequences[own.sequence]
        assert all(len(part) > 0 for part in path)
        assert own.start <= scored[own.sequence]


@given(several)
@settings(deadline=None, max_examples=200)
def test_sharing_never_costs_more_than_not_sharing(sequences) -> None:
    def cost(segment: Segment) -> int:
        return len(segment) + SEGMENT_COST + sum(cost(child) for child in segment.children)

    forest = shared_trees(arrays(sequences), [len(item) - 1 for item in sequences])
    assert sum(cost(tree) for tree in forest) <= sum(len(item) + SEGMENT_COST for item in sequences)


def test_examples_question_and_options_are_three_levels() -> None:
    sequences, scored = few_shot(0)
    forest = shared_trees(sequences, scored)
    assert sorted(len(tree) for tree in forest) == [35, 60]
    stems = [stem for tree in forest for stem in tree.children]
    assert len(stems) == 14
    assert sorted(len(stem.children) for stem in stems) == [0] * 6 + [4] * 8


def test_nothing_in_common() -> None:
    forest = shared_trees([np.array([1, 2], np.int32), np.array([3], np.int32)], [1, 0])
    assert [(tree.sequence, len(tree), tree.children) for tree in forest] == [(0, 2, ()), (1, 1, ())]
    assert shared_trees([], []) == []


def visible(row, window: int | None = None) -> np.ndarray:
    """Who sees whom, [row, carried + row], from the bounds that the kernels get."""
    size = len(row.tokens)
    seen = np.zeros((size, row.carried + size), bool)
    if window is not None:
        keys, bounds = row.window_keys(window)
        for segment in range(len(bounds.queries) - 1):
            queries = range(bounds.queries[segment], bounds.queries[segment + 1])
            places = keys[bounds.keys[segment] : bounds.keys[segment + 1]]
            for number, query in enumerate(queries):
                last = len(places) - len(queries) + number
                seen[query, places[max(0, last - window + 1) : last + 1]] = True
        return seen

    def mark(queries: np.ndarray, keys: np.ndarray, bounds, causal: bool) -> None:
        for pair in range(len(bounds.queries) - 1):
            asked = queries[bounds.queries[pair] : bounds.queries[pair + 1]]
            given = keys[bounds.keys[pair] : bounds.keys[pair + 1]]
            for number, query in enumerate(asked):
                found = given[: number + 1] if causal else given
                assert not seen[query, found].any()
                seen[query, found] = True

    here = np.arange(size)
    mark(here, here + row.carried, row.own, True)
    mark(here[row.prefixes :], np.arange(row.carried + row.prefixes), row.trees, False)
    mark(row.branch_rows, row.stem_rows + row.carried, row.stems, False)
    return seen


@pytest.mark.parametrize("tokens", [20, 60, 100, 10_000])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("window", [None, 7, 40, 500])
def test_a_token_sees_its_own_sequence_up_to_itself(tokens: int, seed: int, window: int | None) -> None:
    sequences, scored = few_shot(seed)
    counts = [len(item) - start for item, start in zip(sequences, scored, strict=True)]
    forest = shared_trees(sequences, scored)
    units = units_of(forest, 10_000)
    done: list[int] = []
    carried: list[int] = []
    first = 0
    while first < len(units):
        last = end_of_pass(units, first, counts, tokens, 10_000)
        row = lay_out(units, first, last, sequences)
        assert len(carried) == row.carried
        everything = np.array([*carried, *row.tokens])
        at = np.array([*range(row.carried), *row.positions])
        seen = visible(row, window)
        for leaf, end in zip(row.leaves, row.ends, strict=True):
            done.append(leaf.sequence)
            for query in range(end - len(leaf), end):
                position = row.positions[query]
                reach = slice(0 if window is None else max(0, position - window + 1), position + 1)
                order = np.argsort(at[seen[query]])
                assert everything[seen[query]][order].tolist() == sequences[leaf.sequence][reach].tolist()
        carried = everything[: row.carried + row.prefixes][row.kept].tolist()
        first = last
    assert sorted(done) == list(range(len(sequences)))


def test_a_pass_keeps_to_its_limits() -> None:
    sequences, scored = few_shot(1)
    counts = [len(item) - start for item, start in zip(sequences, scored, strict=True)]
    units = units_of(shared_trees(sequences, scored), 10_000)
    for tokens, positions in ((150, 1000), (1000, 12)):
        first = 0
        while first < len(units):
            last = end_of_pass(units, first, counts, tokens, positions)
            row = lay_out(units, first, last, sequences)
            if last > first + 1:
                assert len(row.tokens) <= tokens
                assert sum(counts[leaf.sequence] for leaf in row.leaves) <= positions
            first = last


def test_many_options_of_one_question_are_spread_over_passes() -> None:
    question = list(range(50))
    sequences = [np.array([*question, 100 + number, 7, 7], np.int32) for number in range(30)]
    sequences += [np.array([*range(20), 99, number], np.int32) for number in range(3)]
    units = units_of(shared_trees(sequences, [len(item) - 1 for item in sequences]), 24)
    assert max(len(unit) for unit in units) <= 24 + 30
    assert sorted(leaf.sequence for unit in units for leaf in unit.leaves) == list(range(33))
