"""Intervals of means that allow for values that were not seen, and trimmed means."""

import numpy as np
import pytest
from scipy import stats
from scipy.stats.mstats import trimmed_mean_ci

from consistency.statistics.hypotheses import minimum_detectable_effect, no_change
from consistency.statistics.intervals import at_confidence
from consistency.statistics.means import mean
from consistency.statistics.tails import bounded_ends, bounded_macro_means, bounded_means, doubted, trimmed_mean
from consistency.statistics.task_means import macro_mean

RNG = np.random.default_rng(19)
SAMPLES = [
    (RNG.exponential(0.05, 20), 0.0, 15.0),
    (RNG.exponential(0.05, 300), 0.0, 15.0),
    (np.append(RNG.gamma(2, 0.03, 56), 9.0), 0.0, 12.0),
    (np.array([0.1, 0.2]), 0.0, 3.0),
    (np.array([0.3]), 0.0, 1.0),
    (np.repeat([0.0, 1.0], [100, 1]), 0.0, 1.0),
    (RNG.normal(0.1, 1.0, 80), -20.0, 25.0),
    (RNG.lognormal(0, 3, 40), 0.0, 1e4),
]


@pytest.mark.parametrize(("x", "low", "high"), SAMPLES)
def test_ends_are_quantiles_of_randomly_weighted_means_with_the_bound(x, low, high):
    weights = np.random.default_rng(0).dirichlet(np.ones(len(x) + 1), 100_000)
    least, most = (end.item() for end in bounded_ends([x], [low], [high]))
    assert np.mean(weights @ np.append(x, high) > most) == pytest.approx(0.025, abs=0.002)
    assert np.mean(weights @ np.append(x, low) < least) == pytest.approx(0.025, abs=0.002)


@pytest.mark.parametrize("n", [10, 200, 14_042])
def test_without_a_large_value_the_end_is_that_of_a_count_of_none(n):
    """Clopper and Pearson's upper end, times the largest value."""
    _, high = bounded_ends([np.zeros(n)], [0.0], [8.0])
    exact = stats.binomtest(0, n).proportion_ci().high
    assert high.item() == pytest.approx(8 * exact, rel=0.01)


def test_a_sample_of_its_own_and_among_others_has_the_same_ends():
    rows = np.array([x[:20] for x, _, _ in SAMPLES if len(x) >= 20])
    rows[0, :3] = np.nan
    low, high = np.minimum(np.nanmin(rows, axis=1), 0) - 1, np.nanmax(rows, axis=1) + np.arange(len(rows))
    together = np.transpose(bounded_ends(rows, low, high))
    alone = [np.ravel(bounded_ends([x[np.isfinite(x)]], [a], [b])) for x, a, b in zip(rows, low, high, strict=True)]
    assert together == pytest.approx(np.array(alone), rel=1e-12)


def test_values_outside_their_bounds_are_refused_and_rounding_is_not():
    with pytest.raises(ValueError, match="outside"):
        bounded_ends([[0.5, 1.1]], [0.0], [1.0])
    assert bounded_ends([[1.0, 1.0 + 1e-12]], [0.0], [1.0])[1].item() == pytest.approx(1.0)


@pytest.mark.parametrize(("rate", "n"), [(0.0, 20), (0.001, 200), (0.01, 20), (0.01, 200), (0.05, 57)])
def test_the_interval_covers_where_hardly_a_sample_holds_the_large_values(rate, n):
    """Small values, and a few from 3 to 15 nats: the corrected t interval of the same samples covers 20 to 90 %."""
    rng, truth, held = np.random.default_rng(n), (1 - rate) * 0.06 + rate * 9, 0
    for _ in range(400):
        x = np.where(rng.random(n) < rate, rng.uniform(3, 15, n), rng.gamma(2, 0.03, n))
        (found,) = bounded_means([x], [(0.0, 15.0)])
        held += found.ci_low <= truth <= found.ci_high
    assert held >= 0.935 * 400


def test_means_of_sampled_tasks_contain_both_intervals():
    task = np.repeat(np.arange(12), RNG.integers(5, 40, 12))
    x = RNG.exponential(0.05, len(task)) * RNG.uniform(0.2, 3, 12)[task]
    x[:2] = np.nan
    (found,) = bounded_means([x], [(0.0, 5.0)], tasks=task)
    (alone,) = bounded_means([x], [(0.0, 5.0)])
    of_tasks = mean(x, tasks=task)
    assert found.ci_low == pytest.approx(min(alone.ci_low, of_tasks.ci_low), rel=1e-12)
    assert found.ci_high == pytest.approx(max(alone.ci_high, of_tasks.ci_high), rel=1e-12)
    assert (found.value, found.se, found.undefined, found.unit) == (of_tasks.value, of_tasks.se, 2, "cluster")
    for strata in (task, None):
        (balanced,) = bounded_macro_means([x], [(0.0, 5.0)], task, strata=strata)
        plain = macro_mean(x, task, strata=strata)
        assert (balanced.value, balanced.n) == (plain.value, plain.n)
        assert balanced.ci_low <= plain.ci_low
        assert plain.ci_high < balanced.ci_high <= 5.0


def test_a_trimmed_mean_is_scipys():
    for n in (5, 19, 57, 500):
        x = RNG.lognormal(0, 1, n)
        found = trimmed_mean(x)
        assert found.value == pytest.approx(stats.trim_mean(x, 0.2), rel=1e-12)
        # scipy's degrees of freedom are of the values that are left, as Yuen's.
        assert (found.ci_low, found.ci_high) == pytest.approx(tuple(trimmed_mean_ci(x, (0.2, 0.2))), rel=1e-9)
    assert trimmed_mean(np.append(x, [np.inf, np.nan])).undefined == 2
    assert trimmed_mean([1.0, 2.0]).warnings == ("too few",)
    assert trimmed_mean(np.ones(40)).warnings == ("constant",)
    assert trimmed_mean(RNG.normal(size=20)).warnings == ("few units",)


def test_a_trimmed_mean_of_sampled_tasks_has_the_variance_of_their_winsorised_sums():
    task = np.repeat(np.arange(20), 10)
    x = RNG.exponential(1, 200) + RNG.normal(0, 0.3, 20)[task]
    found = trimmed_mean(x, tasks=task)
    winsorised = stats.mstats.winsorize(x, (0.2, 0.2)).data.reshape(20, 10).mean(axis=1)
    assert found.se == pytest.approx(stats.sem(winsorised) / 0.6, rel=1e-12)
    assert (found.df, found.unit) == (pytest.approx(19), "cluster")


def test_a_short_t_interval_that_unseen_values_could_leave_is_doubted():
    narrow, wide = RNG.normal(0, 0.01, 100), RNG.normal(0, 0.3, 100)
    assert doubted(mean(narrow), -1.0, 1.0).warnings == ("rare",)
    assert doubted(mean(wide), -1.0, 1.0).warnings == ()
    # Of 3,700 questions one in 1000 would have been seen.
    assert doubted(mean(np.tile(narrow, 400)), -1.0, 1.0).warnings == ()


def test_a_bounded_interval_is_never_shorter_than_its_normal_part() -> None:
    """From 95 to 90 %: 1.645 / 1.960 = .839 of the arm, where the logarithm would leave .812."""
    (found,) = bounded_means([np.linspace(0.4, 0.6, 5000)], [(0.0, 1.0)])
    z = {confidence: stats.t.ppf((1 + confidence) / 2, 4999) for confidence in (0.9, 0.95)}
    narrow = at_confidence(found, 0.9)
    assert narrow.ci_high - found.value == pytest.approx((found.ci_high - found.value) * z[0.9] / z[0.95])


@pytest.mark.parametrize("n", [57, 200, 1000, 14_042])
@pytest.mark.parametrize("spread", [0.03, 0.2])
def test_a_bounded_interval_of_another_confidence_is_about_the_one_of_its_own(n: int, spread: float) -> None:
    x = np.random.default_rng(n).normal(0, spread, n).clip(-1, 1)
    (found,) = bounded_means([x], [(-1.0, 1.0)])
    for confidence, part in ((0.9, 0.03), (0.99, 0.05), (0.999, 0.08)):
        (of_its_own,) = bounded_means([x], [(-1.0, 1.0)], confidence=confidence)
        scaled = at_confidence(found, confidence)
        assert scaled.ci_high - found.value == pytest.approx(of_its_own.ci_high - found.value, rel=part)
        assert found.value - scaled.ci_low == pytest.approx(found.value - of_its_own.ci_low, rel=part)


@pytest.mark.parametrize("n", [57, 1000])
@pytest.mark.parametrize("shift", [-0.03, 0.0, 0.01, 0.06])
def test_the_p_of_a_bounded_mean_agrees_with_its_interval_and_is_gaffkes(n: int, shift: float) -> None:
    rng = np.random.default_rng(n)
    x = rng.normal(shift, 0.2, n).clip(-1, 1)
    (found,) = bounded_means([x], [(-1.0, 1.0)])
    p = no_change(found)
    assert (p < 0.05) == (found.ci_low > 0 or found.ci_high < 0)
    against = np.append(x, -np.sign(found.value))
    means = np.concatenate([rng.dirichlet(np.ones(n + 1), 10_000) @ against for _ in range(10)])
    exact = 2 * np.mean(means * np.sign(found.value) < 0)
    # Where nothing is found it hardly matters how little.
    assert p == pytest.approx(exact, rel=0.15, abs=0.002) if exact < 0.3 else p > 0.25


@pytest.mark.parametrize(("n", "spread"), [(20, 0.03), (57, 0.03), (57, 0.2), (500, 0.1)])
def test_what_is_found_four_times_in_five_is(n: int, spread: float) -> None:
    rng, found = np.random.default_rng(n), []
    for _ in range(400):
        first = bounded_means([rng.normal(0, spread, n).clip(-1, 1)], [(-1.0, 1.0)])[0]
        x = rng.normal(minimum_detectable_effect(first), spread, n).clip(-1, 1)
        found.append(no_change(bounded_means([x], [(-1.0, 1.0)])[0]) <= 0.05)
    assert 0.75 <= np.mean(found) <= 0.87
    # The t test's would be found in hardly any sample, where no value is large.
    assert minimum_detectable_effect(first) > minimum_detectable_effect(mean(x))


@pytest.mark.parametrize(("rate", "n"), [(0.0, 57), (0.001, 57), (0.001, 200), (0.001, 2000), (0.01, 57), (0.05, 20)])
def test_small_changes_with_a_rare_large_loss_are_covered(rate: float, n: int) -> None:
    """The t interval of the same samples covers 64 to 95 %."""
    rng, held = np.random.default_rng(n), 0
    for _ in range(400):
        x = np.where(rng.random(n) < rate, -0.9, rng.normal(0, 0.03, n))
        (found,) = bounded_means([x], [(-1.0, 1.0)])
        held += found.ci_low <= -0.9 * rate <= found.ci_high
    assert held >= 0.95 * 400


def test_the_longer_interval_comes_to_that_of_student() -> None:
    ratios = []
    for n in (200, 1000, 14_042, 100_000):
        x = np.random.default_rng(n).normal(0, 0.15, n)
        (found,), usual = bounded_means([x], [(-1.0, 1.0)]), mean(x)
        ratios.append((found.ci_high - found.ci_low) / (usual.ci_high - usual.ci_low))
    assert ratios[1] < 1.3
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] == pytest.approx(1.0, abs=0.02)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e200, 1e307, 1.7e308])
def test_means_of_values_whose_sum_no_number_can_be(size: float) -> None:
    """Of log-probabilities that a damaged log may hold; their mean is a number, its variance is not."""
    values = size * np.array([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    for found, share in ((mean(values), 0.8), (trimmed_mean(values), (0.6 + 0.8 + 4 * 1.0) / 6)):
        assert found.value == pytest.approx(size * share, rel=1e-12)
        assert (found.se, found.ci_low, found.warnings) == (None, None, ("too large",))
