"""Means over training runs and questions, against statsmodels, scipy and arithmetic by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from consistency.statistics.crossed import CrossedMean, crossed_mean, matching_df
from consistency.statistics.hypotheses import t_test
from consistency.statistics.means import mean
from consistency.support.arrays import Floats


def crossed(runs: Sequence[Floats], recipe: Sequence[str] | None = None) -> CrossedMean:
    """Runs that all answered the same questions of one task."""
    n = len(runs[0])
    return crossed_mean(runs, np.tile(np.arange(n), len(runs)), np.zeros(n, dtype=int), recipe or ["a"] * len(runs))


def answers(runs: int, questions: int, luck: float, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=questions) + luck * rng.normal(size=(runs, 1)) + 0.7 * rng.normal(size=(runs, questions)) + 0.1
    )


def test_the_variances_are_those_of_an_analysis_of_variance():
    x = answers(4, 60, 0.3)
    frame = pd.DataFrame(
        [(run, question, x[run, question]) for run in range(4) for question in range(60)],
        columns=["run", "question", "x"],
    )
    left = smf.ols("x ~ C(run) + C(question)", frame).fit()
    found = crossed(list(x)).variances
    assert found is not None
    # Of single answers, of runs and of questions: mean squares by the number of answers.
    assert found.cells == pytest.approx(left.mse_resid / 240, rel=1e-10)
    assert found.runs == pytest.approx(60 * x.mean(axis=1).var(ddof=1) / 240, rel=1e-10)
    assert found.questions == pytest.approx(4 * x.mean(axis=0).var(ddof=1) / 240, rel=1e-10)
    assert (found.runs_df, found.questions_df) == pytest.approx((3, 59))
    # Restricted maximum likelihood agrees, since no component is negative and the data are balanced.
    mixed = smf.mixedlm(
        "x ~ 1", frame, groups=np.ones(240), vc_formula={"run": "0 + C(run)", "question": "0 + C(question)"}
    ).fit(reml=True)
    assert found.total == pytest.approx(mixed.bse["Intercept"] ** 2, rel=0.01)


def test_with_many_runs_the_variance_is_the_two_way_clustered_one():
    x = answers(80, 90, 0.3)
    where = np.indices(x.shape).reshape(2, -1)
    fitted = smf.ols("x ~ 1", pd.DataFrame({"x": x.ravel()})).fit()
    both = cov_cluster_2groups(fitted, where[0], where[1])[0].item()
    found = crossed(list(x)).estimate
    assert found.se == pytest.approx(math.sqrt(both), rel=0.03)


def test_where_the_runs_differ_most_it_is_students_test_over_them():
    x = answers(3, 4000, 5.0, seed=2)
    found, expected = crossed(list(x)), stats.ttest_1samp(x.mean(axis=1), 0)
    assert found.p == pytest.approx(expected.pvalue, rel=0.01)
    ends = expected.confidence_interval()
    assert (found.estimate.ci_low, found.estimate.ci_high) == pytest.approx((ends.low, ends.high), rel=0.01)
    assert found.estimate.df == pytest.approx(2, abs=0.01)
    assert (found.estimate.unit, found.estimate.method) == ("run", "t-crossed")


def test_where_the_runs_answer_alike_it_is_the_test_over_questions():
    x = answers(1, 200, 0)[0]
    found, alone = crossed([x, x, x]), mean(x)
    assert found.estimate.se == pytest.approx(alone.se)
    assert (found.estimate.ci_low, found.estimate.ci_high) == pytest.approx((alone.ci_low, alone.ci_high))
    assert found.p == pytest.approx(t_test(alone))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("luck", [0.0, 0.02, 0.3])
def test_it_is_never_surer_than_either_alone_and_p_goes_with_the_interval(seed, luck):
    x = answers(2 + seed % 3, 150, luck, seed)
    found = crossed(list(x))
    alone = [stats.ttest_1samp(x.mean(axis=axis), 0) for axis in (0, 1)]
    assert found.p >= max(test.pvalue for test in alone) * (1 - 1e-9)
    half = found.estimate.ci_high - found.estimate.value
    for axis, test in enumerate(alone):
        assert half >= (test.confidence_interval().high - found.estimate.value) * (1 - 1e-9)
        assert found.estimate.se >= stats.sem(x.mean(axis=axis)) * (1 - 1e-9)
    assert half == pytest.approx(found.estimate.se * stats.t.ppf(0.975, found.estimate.df))
    # The interval of confidence 1 - p ends at 0.
    assert found.variances.half_width(found.p) == pytest.approx(abs(found.estimate.value), rel=1e-6)


def test_domains_are_strata_of_their_own():
    """Two domains, three runs each, that share no question: the variances of their means add, each with its own spread."""
    x = [answers(3, 50, 0.4, seed=1), answers(3, 80, 0.1, seed=2)]
    questions = [np.tile(np.arange(50), 3), 50 + np.tile(np.arange(80), 3)]
    task = np.repeat([0, 1], [50, 80])
    runs = [row for domain in x for row in domain]
    found = crossed_mean(runs, np.concatenate(questions), task, ["a"] * 3 + ["b"] * 3)
    alone = [crossed(list(domain)).variances for domain in x]
    assert found.estimate.value == pytest.approx((x[0].mean() + x[1].mean()) / 2)
    for name in ("questions", "runs", "cells"):
        assert getattr(found.variances, name) == pytest.approx(sum(getattr(one, name) for one in alone) / 4)
    spread = sum(one.runs**2 / 2 for one in alone)
    assert found.variances.runs_df == pytest.approx(sum(one.runs for one in alone) ** 2 / spread)


def test_tasks_within_a_run_have_their_own_levels():
    """What a run does to one task and not to another is the run's, not a single answer's."""
    x = answers(3, 60, 0.0, seed=3)
    task = np.repeat([0, 1], 30)
    shifted = x + np.where(task == 0, 1, -1) * np.array([[0.5], [-1.0], [2.0]])
    found, plain = (crossed_mean(list(y), np.tile(np.arange(60), 3), task, ["a"] * 3).variances for y in (shifted, x))
    assert found.cells == pytest.approx(plain.cells)
    left = [
        block - block.mean(axis=0) - block.mean(axis=1, keepdims=True) + block.mean()
        for block in (x[:, :30], x[:, 30:])
    ]
    assert plain.cells == pytest.approx(sum((part**2).sum() / (2 * 29) / (3 * 30) / 4 for part in left))


def test_one_run_of_each_domain_leaves_the_questions():
    x = answers(2, 40, 0.3)
    found = crossed(list(x), ["a", "b"])
    assert found.variances is None
    assert found.estimate.unit == "stratum"
    assert found.estimate.se == pytest.approx(mean(x.mean(axis=0)).se)
    assert found.p == t_test(found.estimate)


def test_values_that_are_not_there_and_runs_that_are_constant():
    x = answers(3, 40, 0.3)
    x[1, 4] = np.inf
    found = crossed(list(x))
    assert found.estimate.undefined == 1
    assert found.estimate.se > 0
    constant = crossed([np.zeros(9), np.zeros(9)])
    assert (constant.estimate.se, constant.p) == (0, 1.0)
    assert crossed([np.full(9, np.nan), np.zeros(9)]).estimate.value is None
    with pytest.raises(ValueError, match="one recipe per run"):
        crossed([np.zeros(3)], ["a", "b"])


@pytest.mark.parametrize("df", [1.0, 2.0, 3.7, 40.0])
def test_degrees_of_freedom_are_found_again_from_an_interval(df):
    assert matching_df(stats.t.ppf(0.975, df)) == pytest.approx(df)


@pytest.mark.parametrize("luck", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("runs", [2, 3])
def test_a_true_null_is_rejected_as_rarely_as_it_says(runs, luck):
    """400 draws of 40 questions: more than 35 rejections have a chance of a thousandth at 5 %."""
    rng = np.random.default_rng(7)
    rejected = 0
    for _ in range(400):
        x = rng.normal(size=40) + luck * rng.normal(size=(runs, 1)) + 0.7 * rng.normal(size=(runs, 40))
        rejected += crossed(list(x)).p <= 0.05
    assert rejected <= 35
