"""Partial rank correlations against statsmodels, scipy, pingouin and enumeration."""

from itertools import permutations, product

import numpy as np
import pandas as pd
import pingouin
import pytest
import statsmodels.api as sm
from scipy import stats

from consistency.statistics.bootstrap import draw_counts
from consistency.statistics.partial_correlation import partial_correlation


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


def rank_regression(data: pd.DataFrame, groups: np.ndarray) -> sm.OLS:
    dummies = pd.get_dummies(groups, drop_first=True, dtype=float)
    return sm.OLS(data.y.rank().to_numpy(), sm.add_constant(np.column_stack([data.x.rank(), data.z0.rank(), dummies])))


def test_the_robust_p_given_groups_is_that_of_statsmodels():
    data, groups = runs(32), np.arange(32) % 4
    fitted = rank_regression(data, groups).fit(cov_type="HC3", use_t=True)
    ours = partial_correlation(data.x, data.y, data.z0, groups=groups)
    assert ours.robust_p == pytest.approx(fitted.pvalues[1], abs=1e-12)


def test_the_permutation_p_is_the_share_of_all_permutations_within_groups():
    data, groups = runs(8), np.repeat([0, 1], 4)
    full = rank_regression(data, groups)
    without = np.delete(full.exog, 1, axis=1)
    reduced = sm.OLS(full.endog, without).fit()

    def robust_t(y):
        return abs(sm.OLS(y, full.exog).fit(cov_type="HC3").tvalues[1])

    found = [
        robust_t(reduced.fittedvalues + reduced.resid[[*one, *other]])
        for one, other in product(permutations(range(4)), permutations(range(4, 8)))
    ]
    expected = np.mean(np.array(found) >= robust_t(full.endog) - 1e-9)
    ours = partial_correlation(data.x, data.y, data.z0, groups=groups, resamples=49_999)
    assert ours.within_p == pytest.approx(expected, abs=0.01)


def test_ten_groups_and_more_are_resampled_whole():
    rng = np.random.default_rng(2)
    groups = rng.permutation(np.repeat(np.arange(12), [3, 4, 5, 6, 7, 3, 4, 5, 6, 7, 5, 5]))
    data = runs(60).round(1)
    found = []
    for counts in draw_counts(12, 40, np.random.default_rng(3)).astype(int):
        rows = [np.flatnonzero(groups == group) for group in np.repeat(np.arange(12), counts)]
        copies = np.repeat(np.arange(12), [len(row) for row in rows])
        fit = rank_regression(data.iloc[np.concatenate(rows)].reset_index(drop=True), copies).fit()
        t = fit.tvalues[1]
        found.append(np.arctanh(t / np.sqrt(t**2 + fit.df_resid)))
    ours = partial_correlation(data.x, data.y, data.z0, groups=groups, resamples=40, seed=3)
    assert "fewer than 20 groups" in ours.remark
    half = stats.t.ppf(0.975, 11) * np.std(found, ddof=1)
    ends = np.tanh(np.arctanh(ours.value) + np.array([-half, half]))
    assert (ours.cluster_low, ours.cluster_high) == pytest.approx(tuple(ends), abs=1e-10)


@pytest.mark.parametrize(
    ("x", "y", "z", "reason"),
    [
        ([1, 2, 3, 4, 5], [2, 1, 3, 5, 4], [1, 3, 2, 4, 5], "5 runs are too few: 6 are needed"),
        ([1, 2, 3, 4, 5, 6], [2, 1, 3, 5, 4, 6], [7, 7, 7, 7, 7, 7], "the control is constant"),
        ([1, 1, 1, 1, 1, 1], [2, 1, 3, 5, 4, 6], [1, 2, 3, 4, 5, 6], "x is constant"),
        ([1, 2, 3, 4, 5, 6], [2, 1, 3, 5, 4, 6], [10, 20, 30, 40, 50, 60], "the controls explain x wholly"),
        ([1, 2, 3, 4, 5, np.nan], [2, 1, 3, 5, 4, 6], [1, 3, 2, 4, 5, 6], "5 runs are too few"),
    ],
)
def test_no_partial_correlation_says_why(x, y, z, reason):
    result = partial_correlation(x, y, z)
    assert result.value is None
    assert result.p is None
    assert reason in result.reason


def test_within_groups_given_the_dose_it_is_pingouins_with_the_groups_as_controls():
    data, groups = runs(24, controls=2), np.repeat(list("abcd"), 6)
    ranks = data.rank()
    dummies = pd.get_dummies(pd.Series(groups), dtype=float).iloc[:, 1:].add_prefix("group_")
    frame = pd.concat([ranks, dummies], axis=1)
    theirs = pingouin.partial_corr(frame, "x", "y", ["z0", *dummies.columns]).iloc[0]
    ours = partial_correlation(data.x, data.y, data.z0, groups=groups)
    assert (ours.value, ours.p) == pytest.approx((theirs["r"], theirs["p_val"]), abs=1e-10)
    fitted = rank_regression(data, groups).fit(cov_type="HC3", use_t=True)
    assert ours.robust_p == pytest.approx(fitted.pvalues[1], abs=1e-12)


def test_a_control_that_is_constant_within_groups_is_absorbed_by_them():
    data, groups = runs(24), np.repeat([0, 1, 2, 3], 6)
    of_group = np.array([0.3, 0.1, 0.5, 0.2])[groups]
    alone = partial_correlation(data.x, data.y, of_group, groups=groups)
    within = data.rank()[["x", "y"]]
    within = within - within.groupby(groups).transform("mean")
    assert alone.value == pytest.approx(np.corrcoef(within.x, within.y)[0, 1])
    assert (alone.df, alone.variant) == (24 - 3 - 2, "standard")
    assert "absorbed" in alone.remark
    both = partial_correlation(data.x, data.y, np.column_stack([of_group, data.z0]), groups=groups)
    without = partial_correlation(data.x, data.y, data.z0, groups=groups)
    assert (both.value, both.df, both.p, both.within_p) == (without.value, without.df, without.p, without.within_p)
    assert "absorbed" not in without.remark
    # What is left of a variable that has one value for each group is nothing.
    assert partial_correlation(of_group, data.y, data.z0, groups=groups).reason == "the controls explain x wholly"
    assert partial_correlation(of_group, data.y, of_group, groups=groups).reason == "the groups explain x wholly"
