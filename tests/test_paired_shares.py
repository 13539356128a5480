"""The change of a share: against a likelihood maximised by scipy, probabilities counted one by one, and simulated power."""

import itertools
import math

import numpy as np
import pytest
from scipy import optimize, stats

from consistency.statistics.hypotheses import mcnemar_exact
from consistency.statistics.paired_shares import differing_changes, equivalence_of_shares, paired_change
from consistency.statistics.power import detectable_change, power_of_flips


def score(lost: int, won: int, n: int, change: float) -> float:
    """The score statistic of a true change, the likelihood maximised over what else is unknown by scipy."""

    def less_likely(losing: float) -> float:
        winning = losing + change
        return -float(stats.multinomial.logpmf([lost, won, n - lost - won], n, [losing, winning, 1 - losing - winning]))

    bounds = (max(0.0, -change) + 1e-13, (1 - change) / 2 - 1e-13)
    found = optimize.minimize_scalar(less_likely, bounds=bounds, method="bounded", options={"xatol": 1e-13})
    return float((won - lost - n * change) / math.sqrt(n * (2 * found.x + change - change**2)))


@pytest.mark.parametrize(("lost", "won", "n"), [(19, 30, 200), (5, 1, 40), (0, 0, 100), (0, 7, 60), (300, 240, 14_042)])
def test_the_interval_holds_the_changes_that_the_score_test_does_not_reject(lost: int, won: int, n: int) -> None:
    found = paired_change(lost, won, n)
    assert found.value == (won - lost) / n
    z = stats.norm.ppf(0.975)
    assert score(lost, won, n, found.ci_low) == pytest.approx(z, abs=2e-3)
    assert score(lost, won, n, found.ci_high) == pytest.approx(-z, abs=2e-3)


def test_the_ends_change_places_with_the_sides() -> None:
    one, two = paired_change(3, 9, 80), paired_change(9, 3, 80)
    assert (one.ci_low, one.ci_high) == pytest.approx((-two.ci_high, -two.ci_low), abs=1e-9)


@pytest.mark.parametrize(
    ("n", "losing", "winning"), [(20, 0.1, 0.1), (50, 0.02, 0.1), (100, 0.0, 0.05), (500, 0.004, 0.004)]
)
def test_the_interval_covers_exactly_counted(n: int, losing: float, winning: float) -> None:
    """All outcomes of more than a billionth, with their probabilities by scipy."""
    covered = 0.0
    for lost, won in itertools.product(range(min(n, 40)), repeat=2):
        if lost + won <= n:
            p = stats.multinomial.pmf([lost, won, n - lost - won], n, [losing, winning, 1 - losing - winning])
            if p > 1e-9:
                found = paired_change(lost, won, n)
                covered += p * (found.ci_low <= winning - losing <= found.ci_high)
    assert 0.935 <= covered <= 1.0


@pytest.mark.parametrize(
    ("n", "margin", "won"), [(60, 0.05, 0.0), (60, 0.05, 0.01), (270, 0.01, 0.001), (300, 0.02, 0.003)]
)
def test_equivalence_keeps_its_level_at_the_margin(n: int, margin: float, won: float) -> None:
    """Where exactly the margin is lost, "no change by more than the margin" is said in at most 5 % of all outcomes."""
    level = 0.0
    chances = [won + margin, won, 1 - 2 * won - margin]
    for lost, gained in itertools.product(range(25), range(12)):
        p = stats.multinomial.pmf([lost, gained, n - lost - gained], n, chances)
        if p > 1e-7 and equivalence_of_shares(lost, gained, n, margin) < 0.05:
            level += p
    assert level <= 0.05


def test_equivalence_is_monotone_in_harm() -> None:
    # Without a flip at least the probability of none where a share of the margin is lost, and nothing turns the other way.
    assert 0.99**500 <= equivalence_of_shares(0, 0, 500, 0.01) < 0.05
    p = [equivalence_of_shares(lost, 0, 500, 0.01) for lost in range(6)]
    assert p == sorted(p)


def test_tasks_that_change_alike_seldom_differ_and_others_do() -> None:
    rng = np.random.default_rng(0)
    n = np.array([1000, 10_042, 500, 1267, 270])
    flip = np.array([0.02, 0.1, 0.05, 0.2, 0.03])
    rejected = []
    for _ in range(2000):
        drawn = np.array(
            [rng.multinomial(m, [f / 2 + 0.005, f / 2 - 0.005, 1 - f]) for m, f in zip(n, flip, strict=True)]
        )
        rejected.append(differing_changes(drawn[:, 0], drawn[:, 1], n) < 0.05)
    assert np.mean(rejected) <= 0.065
    # hellaswag +1 point beside arc -5, openbookqa -8, winogrande -4.
    assert differing_changes([500, 90, 60, 100], [600, 31, 20, 49], [10_042, 1172, 500, 1267]) < 1e-6


def test_of_a_common_variance_it_is_the_chi_squared_test_of_scipy() -> None:
    """Tasks of one size whose flips all go one way: the test of equal shares, by another variance under the null."""
    lost = np.array([60, 80, 75])
    table = np.array([lost, 1000 - lost])
    expected = stats.chi2_contingency(table, correction=False).pvalue
    assert differing_changes(lost, [0, 0, 0], [1000, 1000, 1000]) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("n", "flip", "change"), [(200, 0.2, 0.1), (1000, 0.1, 0.03), (14_042, 0.1, 0.0078), (500, 0.01, 0.02)]
)
def test_power_is_the_share_of_simulated_runs_that_the_exact_test_finds(n: int, flip: float, change: float) -> None:
    rng = np.random.default_rng(0)
    chances = [flip / 2 + change, flip / 2, 1 - flip - change]
    drawn, count = np.unique(rng.multinomial(n, chances, size=20_000)[:, :2], axis=0, return_counts=True)
    found = sum(k for (lost, won), k in zip(drawn, count, strict=True) if mcnemar_exact(int(lost), int(won)) <= 0.05)
    assert power_of_flips(n, flip, change) == pytest.approx(found / 20_000, abs=0.012)


def test_the_detectable_change_is_found_as_often_as_it_says() -> None:
    for lost, won, n in ((70, 70, 14_042), (19, 30, 200), (700, 640, 14_042)):
        change = detectable_change(lost, won, n)
        assert change is not None
        assert power_of_flips(n, 2 * min(lost, won) / n, change) == pytest.approx(0.8, abs=0.01)
    assert detectable_change(1, 0, 100) is None
