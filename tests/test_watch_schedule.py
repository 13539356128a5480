"""When a training is looked at: never dearer than its share where the costs are known, and never decided by the answers."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consistency.watch.schedule import LOOKS, Schedule, affordable_questions


def train(
    schedule: Schedule, per_step: float, before: float, look: float, per_epoch: int = 0
) -> tuple[list[int], float]:
    """The steps that are looked at, and what the watch takes of the training's seconds, as the callback does it."""
    spent, looked = before + look, [0]

    def ask(step: int) -> None:
        nonlocal spent
        spent, schedule.last = spent + look, step
        looked.append(step)
        schedule.revise(step, per_step, spent, look)

    for step in range(1, schedule.max_steps + 1):
        if step > 1 and schedule.is_revised(step):
            schedule.revise(step, per_step, spent, look)
        if schedule.is_due(step):
            ask(step)
        if per_epoch and step % per_epoch == 0 and schedule.last != step and schedule.is_due_at_epoch(step):
            ask(step)
    if schedule.last != schedule.max_steps:
        ask(schedule.max_steps)
    return looked, spent


@settings(max_examples=200, deadline=None)
@given(
    steps=st.integers(2, 3000),
    per_step=st.floats(0.001, 10),
    look=st.floats(0.01, 60),
    before=st.floats(0, 30),
    epochs=st.integers(0, 5),
)
def test_looks_take_no_more_than_their_share(
    steps: int, per_step: float, look: float, before: float, epochs: int
) -> None:
    schedule = Schedule(None, 0.05, steps)
    looked, spent = train(schedule, per_step, before, look, steps // epochs if epochs else 0)
    assert (looked[0], looked[-1]) == (0, steps)
    assert looked == sorted(set(looked))
    budget = 0.05 * per_step * steps
    # Those at step 0 and at the end always are.
    assert len(looked) == 2 or spent <= budget * (1 + 1e-9)
    assert len(looked) <= 1 + LOOKS + epochs


def test_ten_looks_where_they_are_paid_for_and_fewer_evenly_where_not() -> None:
    assert train(Schedule(None, 0.05, 1000), 1.0, 1.0, 1.0)[0] == list(range(0, 1001, 100))
    few = train(Schedule(None, 0.05, 1000), 1.0, 0.0, 10.0)[0]
    assert len(few) == 5
    assert max(b - a for a, b in pairwise(few)) <= 2 * 250
    assert train(Schedule(None, 0.05, 1000), 1.0, 0.0, 30.0)[0] == [0, 1000]


def test_a_distance_that_was_asked_for_is_kept_whatever_it_costs() -> None:
    assert train(Schedule(7, 0.05, 20), 0.001, 100.0, 100.0)[0] == [0, 7, 14, 20]
    assert train(Schedule(7, 0.05, 20), 0.001, 100.0, 100.0, per_epoch=10)[0] == [0, 7, 10, 14, 20]


@pytest.mark.parametrize(("training", "count"), [(10, 100), (200, 100), (1000, 450), (1e5, 500), (math.inf, 500)])
def test_so_many_questions_as_two_looks_may_cost(training: float, count: int) -> None:
    # 5 s before the first question, 0.05 s for each.
    assert affordable_questions(500, 0.05, training, 5.0, 0.05) == count
    assert affordable_questions(60, 0.05, training, 5.0, 0.05) == 60
