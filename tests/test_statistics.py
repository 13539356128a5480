"""Estimates and tests against statsmodels, scipy, pingouin and arithmetic by hand."""

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from consistency import hypotheses
from consistency.bootstrap import bootstrap_interval
from consistency.partial_correlation import partial_correlation
from consistency.statistics import (
    independent_difference,
    macro_mean,
    mean,
    paired_difference,
    root_mean_square,
)

RNG = np.random.default_rng(3)
VALUES = RNG.normal(0.2, 1, 300)
SUBJECTS = RNG.integers(0, 12, 300)


def test_mean_equals_statsmodels():
    ours, theirs = mean(VALUES), DescrStatsW(VALUES)
    assert ours.value == pytest.approx(theirs.mean, abs=1e-12)
    assert ours.se == pytest.approx(theirs.std_mean, abs=1e-12)
    assert (ours.ci_low, ours.ci_high) == pytest.approx(theirs.tconfint_mean(), abs=1e-10)


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
    "estimate", [mean([1.0]), mean([1.0, 2.0], clusters=[0, 0]), mean([1.0, 2.0, 3.0], strata=[0, 0, 1])]
)
def test_no_interval_from_too_little(estimate):
    assert estimate.value is not None
    assert estimate.se is None
    assert "too few" in estimate.estimator


def test_differences_equal_scipy():
    other = VALUES + RNG.normal(0.1, 1, 300)
    paired, expected = paired_difference(VALUES, other), stats.ttest_rel(other, VALUES)
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
    fixed = macro_mean(VALUES, SUBJECTS, fixed=True)
    within = pd.Series(VALUES).groupby(SUBJECTS).sem()
    assert (fixed.value, fixed.se) == pytest.approx((means.mean(), np.sqrt((within**2).sum()) / 12))


def test_bca_equals_scipy():
    ours = bootstrap_interval(VALUES, np.median, resamples=999, seed=5)
    theirs = stats.bootstrap((VALUES,), np.median, n_resamples=999, rng=np.random.default_rng(5), batch=10_000)
    assert (ours.ci_low, ours.ci_high, ours.se) == (*theirs.confidence_interval, theirs.standard_error)
    clustered = bootstrap_interval(VALUES, clusters=SUBJECTS, resamples=4999)
    assert clustered.se == pytest.approx(mean(VALUES, clusters=SUBJECTS).se, rel=0.15)
    assert bootstrap_interval([1.0, 1.0]).ci_low is None


def test_mcnemar_equals_statsmodels():
    for harmful, beneficial in [(19, 30), (0, 5), (7, 7), (1, 0), (120, 80)]:
        table = [[50, harmful], [beneficial, 60]]
        assert hypotheses.mcnemar_exact(harmful, beneficial) == pytest.approx(
            mcnemar(table, exact=True).pvalue, abs=1e-12
        )
    assert hypotheses.mcnemar_exact(0, 0) == 1.0


def test_sign_flip_test_is_exact_for_few_and_mcnemar_for_flips():
    x = np.array([0.3, 0.1, 0.5, -0.2, 0.7])
    signs = np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T
    expected = (np.abs(signs @ x) >= abs(x.sum()) - 1e-12).mean()
    assert hypotheses.sign_flip_test(x) == pytest.approx(expected)
    flips = np.repeat([-1.0, 1.0, 0.0], [19, 30, 151])
    assert hypotheses.sign_flip_test(flips, resamples=19999) == pytest.approx(
        hypotheses.mcnemar_exact(19, 30), abs=0.01
    )
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


def test_minimum_detectable_effect_has_the_power_that_statsmodels_computes():
    found = hypotheses.minimum_detectable_effect(mean(VALUES), power=0.8)
    assert TTestPower().power(found / VALUES.std(ddof=1), 300, 0.05) == pytest.approx(0.8, abs=1e-9)


def test_adjustments_equal_scipy_and_pingouin():
    p = RNG.uniform(0, 0.2, 20)
    np.testing.assert_allclose(hypotheses.benjamini_hochberg(p), stats.false_discovery_control(p), atol=1e-12)
    np.testing.assert_allclose(hypotheses.holm(p), pingouin.multicomp(p, method="holm")[1], atol=1e-12)
    assert np.isnan(hypotheses.holm([np.nan, 0.01])[0])


def runs(n: int = 24, controls: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(11)
    z = rng.normal(size=(n, controls))
    x = z.sum(axis=1) + rng.normal(size=n)
    return pd.DataFrame({"x": x, "y": x + rng.normal(size=n), **{f"z{i}": z[:, i] for i in range(controls)}})


@pytest.mark.parametrize("controls", [1, 2, 3])
def test_partial_correlation_equals_pingouin(controls):
    data = runs(controls=controls)
    names = [f"z{i}" for i in range(controls)]
    theirs = pingouin.partial_corr(data, "x", "y", names, method="spearman").iloc[0]
    ours = partial_correlation(data.x, data.y, data[names])
    assert ours.value == pytest.approx(theirs["r"], abs=1e-10)
    assert ours.p == pytest.approx(theirs["p_val"], abs=1e-10)
    assert ours.df == 24 - controls - 2
    half = 1.959963984540054 / np.sqrt(ours.df - 1)
    assert np.arctanh(ours.fisher_high) - np.arctanh(ours.value) == pytest.approx(half)
    wider = half * np.sqrt(1 + ours.value**2 / 2)
    assert np.arctanh(ours.value) - np.arctanh(ours.ci_low) == pytest.approx(wider)


@pytest.mark.parametrize("controls", [1, 3])
def test_the_robust_p_is_that_of_statsmodels(controls):
    data = runs(controls=controls).rank()
    design = sm.add_constant(data[["x", *(f"z{i}" for i in range(controls))]])
    fitted = sm.OLS(data.y, design).fit(cov_type="HC3", use_t=True)
    ours = partial_correlation(data.x, data.y, data[[f"z{i}" for i in range(controls)]])
    assert ours.robust_p == pytest.approx(fitted.pvalues["x"], abs=1e-12)


def test_the_papers_variant_is_the_released_recipe():
    data = runs()
    design = sm.add_constant(data.z0.rank())
    residuals = [sm.OLS(data[name].rank(), design).fit().resid for name in ("y", "x")]
    released = stats.spearmanr(*residuals)
    ours = partial_correlation(data.x, data.y, data.z0, variant="paper")
    assert (ours.value, ours.p) == pytest.approx((released.statistic, released.pvalue), abs=1e-10)


def test_fixed_effects_equal_a_regression_with_dummies():
    data = runs(32)
    domains = np.repeat(["a", "b", "c", "d"], 8)
    dummies = pd.get_dummies(domains, drop_first=True, dtype=float)
    design = sm.add_constant(pd.concat([data.x.rank(), data.z0.rank(), dummies], axis=1))
    fit = sm.OLS(data.y.rank(), design).fit()
    ours = partial_correlation(data.x, data.y, data.z0, groups=domains)
    assert ours.df == fit.df_resid == 32 - 1 - 3 - 2
    assert ours.p == pytest.approx(fit.pvalues["x"], abs=1e-10)
    t = fit.tvalues["x"]
    assert ours.value == pytest.approx(t / np.sqrt(t**2 + fit.df_resid), abs=1e-10)
    assert ours.within_p == pytest.approx(ours.p, abs=0.02)
    assert ours.cluster_low is None


def test_ten_groups_and_more_are_resampled_whole():
    data = runs(60)
    ours = partial_correlation(data.x, data.y, data.z0, groups=np.repeat(np.arange(12), 5), resamples=499)
    assert ours.cluster_low < ours.value < ours.cluster_high
    assert ours.cluster_high - ours.cluster_low == pytest.approx(ours.ci_high - ours.ci_low, rel=0.5)


@pytest.mark.parametrize(
    ("x", "y", "z", "reason"),
    [
        ([1, 2, 3, 4, 5], [2, 1, 3, 5, 4], [1, 3, 2, 4, 5], "5 runs leave 2 degrees of freedom"),
        ([1, 2, 3, 4, 5, 6], [2, 1, 3, 5, 4, 6], [7, 7, 7, 7, 7, 7], "the control is constant"),
        ([1, 1, 1, 1, 1, 1], [2, 1, 3, 5, 4, 6], [1, 2, 3, 4, 5, 6], "x is constant"),
        ([1, 2, 3, 4, 5, 6], [2, 1, 3, 5, 4, 6], [10, 20, 30, 40, 50, 60], "the controls explain x wholly"),
        ([1, 2, 3, 4, 5, np.nan], [2, 1, 3, 5, 4, 6], [1, 3, 2, 4, 5, 6], "5 runs leave 2"),
    ],
)
def test_no_partial_correlation_says_why(x, y, z, reason):
    result = partial_correlation(x, y, z)
    assert result.value is None
    assert result.p is None
    assert reason in result.reason
