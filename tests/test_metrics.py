"""Each measure against scipy, question by question, and what holds for any distribution."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from scipy.spatial import distance
from scipy.special import log_softmax

from consistency.metrics import answers, distributions, divergences, ranking, rows

SYMMETRIC = [
    ranking.spearman,
    ranking.spearman_paper,
    ranking.tau_b,
    ranking.weighted_tau,
    divergences.js_divergence,
    divergences.total_variation,
    divergences.cosine_similarity,
    divergences.hellinger,
    answers.same_top,
]
ALL = [*SYMMETRIC, divergences.kl_divergence]


def questions(seed: int = 0, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Questions of 2 to 10 options with many ties, NaN-padded."""
    rng = np.random.default_rng(seed)
    before = np.round(rng.normal(-3, 1.5, (n, 10)))
    after = np.round(before + rng.normal(0, 1.5, (n, 10)))
    padding = np.arange(10) >= rng.integers(2, 11, n)[:, None]
    return np.where(padding, np.nan, before), np.where(padding, np.nan, after)


def each(before: np.ndarray, after: np.ndarray, oracle) -> list[float]:
    with np.errstate(all="ignore"):
        return [oracle(x[~np.isnan(x)], y[~np.isnan(y)]) for x, y in zip(before, after, strict=True)]


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(log_softmax(x))


@pytest.mark.filterwarnings("ignore:An input array is constant")
@pytest.mark.parametrize(
    ("measure", "oracle"),
    [
        (ranking.spearman, lambda x, y: stats.spearmanr(x, y).statistic),
        (
            ranking.spearman_paper,
            lambda x, y: np.nan_to_num(stats.pearsonr(stats.rankdata(-x, "dense"), stats.rankdata(-y, "dense"))[0]),
        ),
        (ranking.tau_b, lambda x, y: stats.kendalltau(x, y).statistic),
        (ranking.weighted_tau, lambda x, y: stats.weightedtau(x, y).statistic),
        (divergences.kl_divergence, lambda x, y: stats.entropy(softmax(x), softmax(y))),
        (divergences.js_divergence, lambda x, y: distance.jensenshannon(softmax(x), softmax(y)) ** 2),
        (divergences.total_variation, lambda x, y: distance.cityblock(softmax(x), softmax(y)) / 2),
        (divergences.cosine_similarity, lambda x, y: 1 - distance.cosine(softmax(x), softmax(y))),
        (divergences.hellinger, lambda x, y: distance.euclidean(softmax(x) ** 0.5, softmax(y) ** 0.5) / 2**0.5),
    ],
)
def test_equals_scipy_on_each_question(measure, oracle):
    before, after = questions()
    np.testing.assert_allclose(measure(before, after), each(before, after, oracle), rtol=1e-10, atol=1e-10)


def test_ranks_entropy_and_probabilities_equal_scipy():
    before, _ = questions()
    for row, ranks, dense, nats, p in zip(
        before,
        ranking.average_ranks(before),
        ranking.dense_ranks(before),
        divergences.entropy(before),
        distributions.probabilities(before),
        strict=True,
    ):
        x, here = row[~np.isnan(row)], ~np.isnan(row)
        np.testing.assert_array_equal(ranks[here], stats.rankdata(x))
        np.testing.assert_array_equal(dense[here], stats.rankdata(-x, "dense"))
        np.testing.assert_allclose(nats, stats.entropy(softmax(x)), atol=1e-12)
        np.testing.assert_allclose(p[here], softmax(x), atol=1e-12)
        assert np.isnan(ranks[~here]).all()
        assert np.isnan(p[~here]).all()


def test_impossible_options():
    certain, other, even = [0.0, -np.inf], [-np.inf, 0.0], [-1.0, -1.0]
    x, y = np.array([certain, certain, even]), np.array([other, certain, certain])
    assert divergences.kl_divergence(x, y).tolist() == [np.inf, 0.0, np.inf]
    assert divergences.kl_divergence(y, x)[2] == pytest.approx(np.log(2))
    assert divergences.js_divergence(x, y)[0] == pytest.approx(np.log(2))
    assert divergences.total_variation(x, y).tolist() == [1.0, 0.0, 0.5]
    assert ranking.spearman(x, y)[:2].tolist() == [-1.0, 1.0]
    assert ranking.tau_b(np.array([[-np.inf, -np.inf, 0.0]]), np.array([[-5.0, -5.0, 0.0]])).tolist() == pytest.approx(
        [1.0]
    )


def test_questions_without_a_distribution_are_undefined_everywhere():
    good = [-1.0, -2.0]
    for bad in ([np.nan, np.nan], [-np.inf, -np.inf]):
        for measure in ALL:
            assert np.isnan(measure([good, bad], [bad, good])).all(), measure
    assert distributions.top_option([[np.nan, np.nan], [-np.inf, -np.inf]]).tolist() == [-1, -1]


def test_constant_rankings_have_no_correlation_and_the_papers_is_zero():
    flat, ranked = [[-1.0, -1.0, -1.0]], [[-1.0, -2.0, -3.0]]
    for measure in (ranking.spearman, ranking.tau_b, ranking.weighted_tau):
        assert np.isnan(measure(flat, ranked)).all()
        assert np.isnan(measure(flat, flat)).all()
    assert ranking.spearman_paper(flat, ranked).tolist() == [0.0]


def test_gold_margin_brier_by_hand():
    scores = np.log([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    gold = np.array([[True, False, False], [True, True, False]])
    np.testing.assert_allclose(answers.gold_probability(scores, gold), [0.5, 0.4])
    np.testing.assert_allclose(answers.margin(scores, gold), [np.log(0.5 / 0.3), np.log(0.2 / 0.6)])
    np.testing.assert_allclose(answers.brier_score(scores, gold), [0.25 + 0.09 + 0.04, np.nan])
    unknown = np.zeros((2, 3), dtype=bool)
    for measure in (answers.gold_probability, answers.margin, answers.brier_score):
        assert np.isnan(measure(scores, unknown)).all()


def test_ties_and_top_option_by_hand():
    scores = [[-1.0, -1.0, -2.0], [-2.0, -1.0, np.nan], [-1.0, -2.0, -2.0]]
    assert distributions.top_option(scores).tolist() == [0, 1, 0]
    assert distributions.any_tied(scores).tolist() == [True, False, True]


def test_flips_by_hand():
    before = np.array([1.0, 1.0, 0.0, 0.0, 0.0, np.nan])
    after = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 1.0])
    same = np.array([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    assert answers.flips(before, after, same) == {"harmful": 1, "beneficial": 1, "wrong_to_wrong": 1}


def test_shapes_are_checked():
    with pytest.raises(ValueError, match="one shape"):
        divergences.kl_divergence([[0.0, 1.0]], [[0.0, 1.0, 2.0]])


logprobs = arrays(
    np.float64, (5, 4), elements=st.one_of(st.floats(-30, 0), st.just(-np.inf), st.sampled_from([-1.0, -2.0]))
)


@given(logprobs, logprobs, st.permutations(range(4)), st.permutations(range(5)))
def test_relabelling_options_and_reordering_questions_change_nothing(before, after, options, order):
    for measure in (m for m in ALL if m is not answers.same_top):
        expected = measure(before, after)
        np.testing.assert_allclose(measure(before[:, options], after[:, options]), expected, rtol=1e-9, atol=1e-9)
        np.testing.assert_array_equal(measure(before[order], after[order]), expected[order])


@given(logprobs, logprobs)
def test_symmetry_and_bounds(before, after):
    for measure in SYMMETRIC:
        np.testing.assert_allclose(measure(before, after), measure(after, before), rtol=1e-9, atol=1e-9)
    for measure, low, high in [
        *((m, -1, 1) for m in (ranking.spearman, ranking.spearman_paper, ranking.tau_b, ranking.weighted_tau)),
        *((m, 0, 1) for m in (divergences.total_variation, divergences.cosine_similarity, divergences.hellinger)),
        (divergences.js_divergence, 0, np.log(2)),
        (divergences.kl_divergence, 0, np.inf),
    ]:
        values = measure(before, after)
        assert ((values >= low) & (values <= high) | np.isnan(values)).all()


@given(logprobs)
def test_a_run_equals_itself(before):
    for distance_ in (
        divergences.kl_divergence,
        divergences.js_divergence,
        divergences.total_variation,
        divergences.hellinger,
    ):
        values = distance_(before, before)
        assert (np.isnan(values) | (values < 1e-7)).all()
    for correlation in (ranking.spearman, ranking.tau_b, ranking.weighted_tau):
        values = correlation(before, before)
        assert (np.isnan(values) | np.isclose(values, 1)).all()


@pytest.mark.parametrize("n", [0, 1, 500])
@pytest.mark.parametrize("k", range(1, 12))
def test_reductions_of_rows_are_numpys_to_the_last_bit(k: int, n: int) -> None:
    rng = np.random.default_rng(k)
    x = rng.normal(size=(n, k)) * np.exp(5 * rng.normal(size=(n, k)))
    holes = np.where(rng.random((n, k)) < 0.3, rng.choice([np.nan, -np.inf, -0.0], size=(n, k)), x)
    some = rng.random((n, k)) < 0.3
    for ours, theirs in (
        (rows.row_sum(x), x.sum(axis=1)),
        (rows.row_sum(some), some.sum(axis=1)),
        (rows.row_nansum(holes), np.nansum(holes, axis=1)),
        (rows.row_max(holes), np.fmax.reduce(holes, axis=1, initial=-np.inf)),
        (rows.row_any(some), some.any(axis=1)),
        (rows.row_all(some), some.all(axis=1)),
    ):
        assert (ours.dtype, ours.tobytes()) == (theirs.dtype, theirs.tobytes())


def test_ranks_of_many_options_are_those_of_few(monkeypatch):
    """Many options are sorted, few compared with each other; ties, impossible and absent ones included."""
    from consistency.metrics import ranking

    rng = np.random.default_rng(0)
    x = np.round(rng.normal(0, 2, (40, 12)), 1)
    y = np.round(x + rng.normal(0, 1, x.shape), 1)
    x[0] = 0
    x[1, 7:] = y[1, 7:] = x[2] = y[2] = x[3, 1:] = y[3, 1:] = np.nan
    x[4, 2] = y[5, 1] = y[5, 2] = -np.inf
    measures = (ranking.spearman, ranking.spearman_paper, ranking.tau_b, ranking.weighted_tau)

    def found() -> list[np.ndarray]:
        ranks = [rank(scores) for rank in (ranking.average_ranks, ranking.dense_ranks) for scores in (x, y)]
        return [*ranks, *(measure(x, y) for measure in measures)]

    few = found()
    monkeypatch.setattr(ranking, "WIDE", 5)
    for one, other in zip(few, found(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
