"""The alarm's test: exact p, levels that add up whatever the looks have in common, and false alarms by simulation."""

from itertools import product
from math import comb

import numpy as np
import pytest
from scipy.stats import binomtest, multivariate_normal, norm
from scipy.stats import t as student

from consistency.statistics.sequential import (
    MOST_LOOKS,
    Turned,
    at_least_lost,
    at_least_turned,
    correlation,
    levels,
    p_of_loss,
    p_of_turning,
    spending,
)


@pytest.mark.parametrize(
    "progress",
    [
        np.arange(1, 11) / 10,
        np.sort(np.random.default_rng(0).random(300)),
        # A training that was made longer, again and again.
        np.tile([0.5, 1.0], 1000),
    ],
)
def test_no_more_is_spent_than_there_is(progress: np.ndarray) -> None:
    spent = spending(progress)
    assert (np.diff(spent, prepend=0) > 0).all()
    assert spent[-1] < 1
    # What a look spends is decided by no later look.
    assert spending(progress[:5]) == pytest.approx(spent[:5])


def test_what_is_spent_is_what_was_done_of_the_training() -> None:
    assert spending([0.2, 0.3, 1.0]) == pytest.approx([0.18, 0.27, 0.9])


def test_levels_of_looks_with_nothing_in_common_are_those_of_separate_tests() -> None:
    found = levels(np.eye(4), 0.05, np.arange(1, 5) / 4)
    part = 0.05 * 0.9 / 4
    # P(no earlier alarm) times the level is the part of each look.
    alone = part / np.cumprod([1, *(1 - found[:-1])])
    assert found == pytest.approx(alone, rel=0.05)


@pytest.mark.parametrize("shared", [0.3, 0.7, 0.95])
def test_levels_spend_their_part_of_a_joint_normal_distribution(shared: float) -> None:
    given = np.full((3, 3), shared)
    np.fill_diagonal(given, 1)
    found = levels(given, 0.05, np.arange(1, 4) / 3)
    believed = 0.98 * given
    np.fill_diagonal(believed, 1)
    below = [multivariate_normal(cov=believed[:looks, :looks], seed=0).cdf(norm.isf(found[:looks])) for looks in (2, 3)]
    assert 1 - np.array(below) == pytest.approx([0.05 * 0.9 * 2 / 3, 0.05 * 0.9], abs=1e-3)
    assert found[2] > found[1] > found[0] == pytest.approx(0.015)


def test_earlier_levels_do_not_depend_on_later_looks() -> None:
    outcomes = np.random.default_rng(0).integers(-1, 2, (12, 300))
    progress = np.minimum(np.arange(1, 13) / 10, 1)
    whole = levels(correlation(outcomes), 0.05, progress)
    for looks in (1, 5, 11):
        assert levels(correlation(outcomes[:looks]), 0.05, progress[:looks]) == pytest.approx(whole[:looks], rel=1e-6)


def test_very_many_looks_have_their_own_part() -> None:
    many = MOST_LOOKS + 20
    found = levels(np.eye(many), 0.05, np.arange(1, many + 1) / many)
    assert found[-1] == pytest.approx(0.05 * 0.9 / many)
    assert (found >= 0.05 * 0.9 / many - 1e-12).all()


@pytest.mark.parametrize(("lost", "n", "limit"), [(0, 20, 0.1), (5, 20, 0.1), (20, 20, 0.1), (31, 500, 0.03)])
def test_p_of_turning_is_that_of_the_binomial_test(lost: int, n: int, limit: float) -> None:
    expected = binomtest(lost, n, limit, alternative="greater")
    assert p_of_turning(Turned(lost, 0, n), limit) == pytest.approx(expected.pvalue)
    bound = expected.proportion_ci(0.975, "exact").low
    assert at_least_turned(Turned(lost, 0, n), 0.025) == pytest.approx(bound)


@pytest.mark.parametrize("limit", [0.05, 0.2])
@pytest.mark.parametrize("turning", [0.25, 0.4, 0.9])
def test_p_of_loss_keeps_every_level_over_all_outcomes(limit: float, turning: float) -> None:
    """All outcomes of twelve questions whose true loss is the limit: no p is too small too often.

    Above 0.2, where no level is, p is that of the score test.
    """
    n, losing = 12, (turning + limit) / 2
    chances = np.array([losing, turning - losing, 1 - turning])
    p, weight = [], []
    for lost, won in product(range(n + 1), repeat=2):
        if lost + won <= n:
            ways = np.prod([comb(n, lost), comb(n - lost, won)])
            weight.append(ways * np.prod(chances ** np.array([lost, won, n - lost - won])))
            p.append(p_of_loss(Turned(lost, won, n), limit))
    order = np.argsort(p)
    reached = np.cumsum(np.array(weight)[order])
    sorted_p = np.array(p)[order]
    # At the last of equal p all of them count.
    last = np.append(np.diff(sorted_p) > 1e-12, True)
    assert sum(weight) == pytest.approx(1)
    small = last & (sorted_p < 0.2)
    assert small.sum() > 5
    assert (reached[small] <= sorted_p[small] + 1e-9).all()


def test_the_bound_is_where_the_test_ends() -> None:
    counts = Turned(45, 9, 500)
    bound = at_least_lost(counts, 0.005)
    assert 0 < bound < 36 / 500
    assert p_of_loss(counts, bound) <= 0.005 < p_of_loss(counts, bound + 3e-3)


def test_questions_that_share_passages_say_less() -> None:
    alone, shared = Turned(30, 5, 400), Turned(30, 5, 400, effective_n=100, df=60)
    assert p_of_loss(shared, 0.01) > 10 * p_of_loss(alone, 0.01)
    assert p_of_turning(shared, 0.03) > 10 * p_of_turning(alone, 0.03)
    assert at_least_turned(shared, 0.01) < at_least_turned(alone, 0.01)
    # Seven passages: Student's t with six degrees of freedom, of the score of 8 % against 3 %.
    few = Turned(40, 0, 500, 150.0, 6.0)
    assert p_of_turning(few, 0.03) == pytest.approx(student.sf(0.05 / (0.03 * 0.97 / 150) ** 0.5, 6))
    assert p_of_turning(few, at_least_turned(few, 0.025)) == pytest.approx(0.025, abs=0.001)


def test_false_alarms_of_trainings_at_the_limit_are_rare() -> None:
    """400 trainings of 8 looks, whose true share of harmful flips is the limit at every look."""
    rng, limit, looks, n = np.random.default_rng(1), 0.03, 8, 300
    false = 0
    for _ in range(400):
        always, latent, outcomes = rng.normal(size=n), rng.normal(size=n), np.zeros((looks, n))
        for look in range(looks):
            latent = 0.9 * latent + np.sqrt(1 - 0.9**2) * rng.normal(size=n)
            outcomes[look] = np.sqrt(0.3) * always + np.sqrt(0.7) * latent < norm.ppf(limit)
        p = np.array([p_of_turning(Turned(int(row.sum()), 0, n), limit) for row in outcomes])
        if (p < 0.05).any():
            false += bool((p <= levels(correlation(outcomes), 0.05, np.arange(1, looks + 1) / looks)).any())
    # Of 5 % of 400 trainings, three standard errors.
    assert 1 <= false <= 33
