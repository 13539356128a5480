"""Estimates and tests against statsmodels, scipy, pingouin and arithmetic by hand."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import proportion_confint
from statsmodels.stats.weightstats import DescrStatsW

from consistency.statistics import hypotheses
from consistency.statistics.bootstrap import bootstrap_interval, draw_counts
from consistency.statistics.means import independent_difference, mean, root_mean_square
from consistency.statistics.roots import root
from consistency.statistics.shares import wilson
from consistency.statistics.task_means import macro_mean

RNG = np.random.default_rng(3)
VALUES = RNG.normal(0.2, 1, 300)
SUBJECTS = RNG.integers(0, 12, 300)


def test_mean_equals_statsmodels():
    ours, theirs = mean(VALUES), DescrStatsW(VALUES)
    assert ours.value == pytest.approx(theirs.mean, abs=1e-12)
    assert ours.se == pytest.approx(theirs.std_mean, abs=1e-12)
    assert (ours.ci_low, ours.ci_high) == pytest.approx(theirs.tconfint_mean(), abs=1e-10)


@pytest.mark.parametrize("x", [RNG.exponential(1, 10), -RNG.lognormal(0, 1, 60), RNG.normal(0, 1, 40) ** 2])
def test_skewed_values_have_the_interval_whose_transformed_ends_are_ts(x):
    ours, n = mean(x), len(x)
    skew, se = stats.skew(x, bias=False), stats.sem(x)

    def transformed(truth):
        t = (x.mean() - truth) / se
        return t + skew / (3 * n**0.5) * t**2 + skew**2 / (27 * n) * t**3 + skew / (6 * n**0.5)

    quantile = stats.t.ppf(0.975, n - 1)
    for end, level in ((ours.ci_low, quantile), (ours.ci_high, -quantile)):
        expected = optimize.brentq(lambda truth, level=level: transformed(truth) - level, -50, 50, xtol=1e-14)
        assert end == pytest.approx(expected, abs=1e-10)
    assert ours.se == pytest.approx(se, abs=1e-12)
    assert ours.method == "t-hall"


def test_steps_and_clusters_keep_students_interval_and_say_what_it_cannot_promise():
    right = np.repeat([1.0, 0.0], [19, 1])
    for ours, remarks in (
        (mean(right), ("skewed", "uneven")),
        (mean(np.repeat(right, 3), clusters=np.repeat(np.arange(20), 3)), ("skewed",)),
    ):
        low, high = stats.t.interval(0.95, 19, ours.value, ours.se)
        assert (ours.ci_low, ours.ci_high) == pytest.approx((low, high), abs=1e-10)
        assert ours.warnings == remarks
    assert (mean(VALUES).unit, mean(VALUES).method, mean(VALUES).warnings) == ("question", "t", ())


def test_cr1_equals_statsmodels():
    fit = sm.OLS(VALUES, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": SUBJECTS}, use_t=True)
    ours = mean(VALUES, clusters=SUBJECTS, variance="CR1")
    assert ours.se == pytest.approx(float(fit.bse[0]), abs=1e-12)
    assert (ours.ci_low, ours.ci_high) == pytest.approx(tuple(fit.conf_int()[0]), abs=1e-10)
    assert ours.df == 11


def test_cr3_is_the_jackknife_over_clusters_and_cr1_for_equal_ones():
    left_out = np.array([VALUES[subject != SUBJECTS].mean() for subject in range(12)])
    jackknife = np.sqrt(11 / 12 * ((left_out - VALUES.mean()) ** 2).sum())
    ours = mean(VALUES, clusters=SUBJECTS)
    assert ours.se == pytest.approx(jackknife, abs=1e-12)
    sizes = np.bincount(SUBJECTS)
    assert ours.df == pytest.approx(300**2 / (sizes**2).sum() - 1)
    equal = np.repeat(np.arange(12), 25)
    one, other = mean(VALUES, clusters=equal), mean(VALUES, clusters=equal, variance="CR1")
    assert (one.se, one.df) == pytest.approx((other.se, other.df), abs=1e-12)


def test_stratified_mean_by_hand_and_for_two_strata_by_welch():
    labels = np.repeat(["a", "b"], [100, 200])
    a, b = VALUES[:100], VALUES[100:]
    ours = mean(VALUES, strata=labels)
    parts = np.array([(1 / 3) ** 2 * a.var(ddof=1) / 100, (2 / 3) ** 2 * b.var(ddof=1) / 200])
    assert ours.se == pytest.approx(np.sqrt(parts.sum()), abs=1e-12)
    # With equal weights, the sum of two means has the degrees of freedom of Welch's difference.
    half = mean(np.concatenate([a, b[:100]]), strata=np.repeat(["a", "b"], 100))
    welch = stats.ttest_ind(a, b[:100], equal_var=False)
    assert half.df == pytest.approx(welch.df, rel=1e-12)


def test_undefined_values_are_counted_and_do_not_enter():
    ours = mean([1.0, np.nan, 3.0, np.inf], clusters=["a", "a", "b", "c"])
    assert (ours.value, ours.n, ours.undefined) == (2.0, 2, 2)
    assert mean([np.nan]).value is None
    assert mean([np.nan]).undefined == 1


@pytest.mark.parametrize(
    "estimate", [mean([1.0]), mean([1.0, 2.0], clusters=[0, 0]), mean([1.0, 2.0], strata=[0, 0], clusters=[0, 0])]
)
def test_no_interval_from_too_little(estimate):
    assert estimate.value is not None
    assert estimate.se is None
    assert (estimate.method, estimate.warnings) == ("none", ("too few",))


def test_differences_equal_scipy():
    other = VALUES + RNG.normal(0.1, 1, 300)
    paired, expected = mean(other - VALUES), stats.ttest_rel(other, VALUES)
    assert (paired.ci_low, paired.ci_high) == pytest.approx(tuple(expected.confidence_interval()), abs=1e-10)
    apart = independent_difference(mean(VALUES[:100]), mean(VALUES[100:]))
    welch = stats.ttest_ind(VALUES[100:], VALUES[:100], equal_var=False)
    assert (apart.ci_low, apart.ci_high) == pytest.approx(tuple(welch.confidence_interval()), abs=1e-10)


def test_root_mean_square_and_macro_mean_by_hand():
    rms = root_mean_square(VALUES)
    assert rms.value == pytest.approx(np.sqrt((VALUES**2).mean()))
    assert rms.se == pytest.approx(stats.sem(VALUES**2) / 2 / rms.value)
    means = pd.Series(VALUES).groupby(SUBJECTS).mean()
    macro = macro_mean(VALUES, SUBJECTS)
    assert (macro.value, macro.se, macro.n) == pytest.approx((means.mean(), means.sem(), 12))
    fixed = macro_mean(VALUES, SUBJECTS, strata=SUBJECTS)
    within = pd.Series(VALUES).groupby(SUBJECTS).sem()
    assert (fixed.value, fixed.se) == pytest.approx((means.mean(), np.sqrt((within**2).sum()) / 12))


def test_bca_equals_scipy():
    ours = bootstrap_interval(VALUES, np.median, resamples=999, seed=5)
    theirs = stats.bootstrap((VALUES,), np.median, n_resamples=999, rng=np.random.default_rng(5), batch=10_000)
    assert (ours.ci_low, ours.ci_high, ours.se) == (*theirs.confidence_interval, theirs.standard_error)
    assert bootstrap_interval([1.0, 1.0]).ci_low is None


def test_questions_as_clusters_are_questions():
    ours = bootstrap_interval(VALUES[:40], np.median, clusters=np.arange(40), resamples=199, seed=5)
    theirs = stats.bootstrap((VALUES[:40],), np.median, n_resamples=199, rng=np.random.default_rng(5))
    assert (ours.ci_low, ours.ci_high, ours.se) == (*theirs.confidence_interval, theirs.standard_error)


def test_a_resample_of_clusters_holds_each_of_them_whole():
    seen = []

    def watched(x):
        seen.append(np.sort(x).tolist())
        return np.ptp(x)

    bootstrap_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], watched, clusters=list("abbaba"), resamples=20)
    assert {tuple(x) for x in seen[:21]} == {(1, 2, 3, 4, 5, 6), (1, 1, 4, 4, 6, 6), (2, 2, 3, 3, 5, 5)}


def test_the_bootstrap_t_takes_the_t_of_each_resample_from_statsmodels():
    def fitted(x, subjects):
        # Liang and Zeger's variance as it is, without a factor for few clusters.
        how = {"groups": subjects, "use_correction": False}
        fit = sm.OLS(x, np.ones(len(x))).fit(cov_type="cluster", cov_kwds=how)
        return float(fit.params[0]), float(fit.bse[0])

    value, se = fitted(VALUES, SUBJECTS)
    t, means = [], []
    for counts in draw_counts(12, 99, np.random.default_rng(7)).astype(int):
        chosen = np.repeat(np.arange(12), counts)
        rows = [np.flatnonzero(subject == SUBJECTS) for subject in chosen]
        copies = np.repeat(np.arange(12), [len(row) for row in rows])
        mean_, se_ = fitted(VALUES[np.concatenate(rows)], copies)
        means.append(mean_)
        t.append(abs(mean_ - value) / se_)
    half = np.quantile(t, 0.95, method="higher") * se
    ours = bootstrap_interval(VALUES, clusters=SUBJECTS, resamples=99, seed=7)
    assert (ours.ci_low, ours.ci_high) == pytest.approx((value - half, value + half), abs=1e-10)
    assert ours.se == pytest.approx(np.std(means, ddof=1), abs=1e-10)
    assert (ours.unit, ours.method) == ("cluster", "bootstrap-t")
    assert bootstrap_interval([1.0, 2.0, 3.0], clusters=[0, 0, 1]).ci_low is None


def test_mcnemar_equals_statsmodels():
    for harmful, beneficial in [(19, 30), (0, 5), (7, 7), (1, 0), (120, 80), (6900, 7142)]:
        table = [[50, harmful], [beneficial, 60]]
        assert hypotheses.mcnemar_exact(harmful, beneficial) == pytest.approx(
            mcnemar(table, exact=True).pvalue, abs=1e-11
        )
    assert hypotheses.mcnemar_exact(0, 0) == 1.0


def test_sign_flips_equal_scipys_permutation_test():
    def expected(x, resamples):
        return stats.permutation_test(
            (x,), lambda x, axis: x.sum(axis=axis), permutation_type="samples", n_resamples=resamples, rng=0
        ).pvalue

    for n in (2, 5, 10, 13):
        assert hypotheses.sign_flip_test(VALUES[:n]) == pytest.approx(expected(VALUES[:n], np.inf), abs=1e-12)
    drawn = hypotheses.sign_flip_test(VALUES[:60], resamples=99_999)
    assert drawn == pytest.approx(expected(VALUES[:60], 99_999), abs=0.003)
    sums = np.bincount(SUBJECTS, weights=VALUES)
    assert hypotheses.sign_flip_test(VALUES, clusters=SUBJECTS) == pytest.approx(expected(sums, np.inf), abs=1e-12)


def test_flips_of_one_size_are_mcnemars():
    flips = np.repeat([-1.0, 1.0, 0.0], [19, 30, 151])
    assert hypotheses.sign_flip_test(flips) == pytest.approx(mcnemar([[0, 19], [30, 0]], exact=True).pvalue, abs=1e-12)
    assert hypotheses.sign_flip_test([0.0, 0.0]) == 1.0
    grouped = hypotheses.sign_flip_test(np.ones(8), clusters=[0, 0, 1, 1, 2, 2, 3, 3])
    assert grouped == pytest.approx(2 / 16)


def test_equivalence_equals_pingouin():
    x = VALUES[:40] / 5
    expected = float(pingouin.tost(x, 0, bound=0.3)["pval"].iloc[0])
    assert hypotheses.equivalence(mean(x), 0.3) == pytest.approx(expected, abs=1e-10)
    assert hypotheses.equivalence(mean([0.0, 0.0]), 0.01) == pytest.approx(0.99**2)
    assert hypotheses.equivalence(mean([-1.0, -1.0]), 0.01) == 1.0
    assert hypotheses.equivalence(mean([1.0]), 0.01) is None
    with pytest.raises(ValueError, match="positive margin"):
        hypotheses.equivalence(mean(x), 0)


@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("n", [4, 10, 57, 300])
def test_minimum_detectable_effect_has_the_power_that_statsmodels_computes(n, power):
    x = VALUES[:n]
    found = hypotheses.minimum_detectable_effect(mean(x), power=power)
    assert TTestPower().power(found / x.std(ddof=1), n, 0.05) == pytest.approx(power, abs=1e-12)


def test_adjustments_equal_statsmodels_and_pingouin():
    p = np.append(RNG.uniform(0, 0.2, 20), [0.01, 0.01])
    for ours, name in ((hypotheses.holm, "holm"), (hypotheses.benjamini_hochberg, "fdr_bh")):
        np.testing.assert_allclose(ours(p), multipletests(p, method=name)[1], atol=1e-12)
        np.testing.assert_allclose(ours(p), pingouin.multicomp(p, method=name)[1], atol=1e-12)
        np.testing.assert_allclose(ours([np.nan, 0.01, 0.7]), [np.nan, 0.02, 0.7], atol=1e-12)
        assert len(ours([])) == 0


@pytest.mark.parametrize(("count", "of"), [(0, 10), (8, 10), (10, 10), (3, 57), (250, 500)])
def test_a_share_has_statsmodels_wilson_interval(count, of):
    ours = wilson(count, of)
    expected = proportion_confint(count, of, method="wilson")
    assert (ours.ci_low, ours.ci_high) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("function", "low", "high"),
    [
        (lambda x: x**3 - x - 1, 1.0, 2.0),
        (lambda x: math.exp(x) - 5, -10.0, 10.0),
        (lambda x: math.tanh(20 * (x - 0.3)), -1.0, 1.0),
        (lambda x: math.copysign(1.0, x - 0.3337), -1.0, 1.0),
        (lambda x: x - 1e5, 0.0, 1e6),
        (lambda x: -x, 0.0, 1.0),
        (lambda x: 1 - x, 0.0, 1.0),
    ],
)
def test_a_root_is_that_of_scipy(function: Callable[[float], float], low: float, high: float) -> None:
    assert root(function, low, high) == pytest.approx(
        optimize.brentq(function, low, high, xtol=1e-13), rel=1e-12, abs=2e-12
    )


def test_ends_of_one_sign_have_no_root_between_them() -> None:
    with pytest.raises(ValueError, match="no change of sign"):
        root(lambda x: x * x + 1, -1.0, 1.0)
