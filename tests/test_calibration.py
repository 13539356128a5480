"""The expected calibration error: by hand, against scipy's folded normal distribution, and over simulated questions."""

import numpy as np
import pytest
from scipy import stats

from consistency.comparison.compare import compare
from consistency.comparison.conditions import check, read_condition
from consistency.statistics.calibration import calibration_change, calibration_error


def test_the_plug_in_is_that_of_guo():
    rng = np.random.default_rng(0)
    confidence, right = rng.uniform(0.25, 1, 300), (rng.random(300) < 0.7) * 1.0
    right[:7], confidence[7:9] = np.nan, np.nan
    found = calibration_error(confidence, right)
    c, y = confidence[9:], right[9:]
    # Fifteen bins, each with its upper edge.
    places = [(k / 15 < c) & (c <= (k + 1) / 15) for k in range(15)]
    gaps = [abs(c[place].mean() - y[place].mean()) * place.mean() for place in places if place.any()]
    assert found.plug_in == pytest.approx(sum(gaps), rel=1e-12)
    assert (found.estimate.n, found.estimate.undefined) == (291, 9)


def test_the_plug_in_by_hand():
    # Two bins: (0, .5] holds .4 (right) and .5 (wrong), (.5, 1] holds .9 (right).
    found = calibration_error([0.4, 0.5, 0.9], [1, 0, 1], bins=2)
    assert found.plug_in == pytest.approx((2 * abs(0.45 - 0.5) + abs(0.9 - 1)) / 3)
    assert calibration_error([np.nan], [1.0]).plug_in is None


def test_one_bin_by_hand():
    """All confidences .98: the error is the distance of two numbers, 0.98 and the share of right answers, 80 of 100."""
    confidence, right = np.full(100, 0.98), np.repeat([1.0, 0.0], [80, 20])
    found = calibration_error(confidence, right)
    gap, error = 0.18, np.sqrt(0.8 * 0.2 / 100)
    # One right and one wrong answer more, for the bin.
    bin_error = np.sqrt((81 / 102) * (21 / 102) / 100)
    assert found.plug_in == pytest.approx(gap, rel=1e-12)
    assert found.estimate.ci_low == pytest.approx(gap - stats.norm.ppf(1 - 0.05 / 4) * error, rel=1e-9)
    # So far from 0 an absolute value has no bias, and the ends are those of a normal distribution.
    assert found.estimate.ci_high == pytest.approx(gap + stats.norm.ppf(0.975) * bin_error, abs=1e-6)
    expected = stats.foldnorm.mean(gap / bin_error, scale=bin_error) - gap
    assert found.estimate.value == pytest.approx(gap - expected, abs=1e-6)


def test_the_bias_is_that_of_a_folded_normal():
    """Two bins of equal gaps, both ways: what is subtracted is the folded normal's mean less the gaps that are left of noise."""
    n = 200
    confidence = np.repeat([0.55, 0.95], n // 2)
    right = np.concatenate([np.repeat([1.0, 0.0], [60, 40]), np.repeat([1.0, 0.0], [90, 10])])
    found = calibration_error(confidence, right)
    gaps = np.array([-0.025, 0.025])
    counts = np.array([60, 90])
    smoothed = (counts + 1) / 102 * (1 - (counts + 1) / 102) * 100
    errors = np.sqrt(np.maximum(smoothed, 100 * np.array([0.55 * 0.45, 0.95 * 0.05]))) / n
    # The gaps add up to 0, so that all is shrunk towards 0.
    spread = ((gaps / errors) ** 2).sum()
    size = np.abs(gaps) * max(0, 1 - 2 / spread)
    bias = sum(stats.foldnorm.mean(m / s, scale=s) - m for m, s in zip(size, errors, strict=True))
    assert found.estimate.value == pytest.approx(0.05 - bias, rel=1e-6)
    # The upper end: gaps in proportion to their errors whose expected plug-in is within reach.
    reach = stats.norm.ppf(0.975) * found.estimate.se
    ratio = found.estimate.ci_high / errors.sum()
    assert errors.sum() * stats.foldnorm.mean(ratio) == pytest.approx(0.05 + reach, rel=1e-6)


def test_each_question_a_cluster_is_no_cluster_and_copies_are():
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.25, 1, 400)
    right = (rng.random(400) < confidence - 0.15) * 1.0
    plain = calibration_error(confidence, right).estimate
    single = calibration_error(confidence, right, clusters=np.arange(400)).estimate
    assert single.se == pytest.approx(plain.se, rel=0.02)
    assert (single.ci_low, single.ci_high) == pytest.approx((plain.ci_low, plain.ci_high), abs=0.004)
    # Every question ten times is no more than once; without clusters the interval would be √10 too narrow.
    copies = calibration_error(
        np.tile(confidence, 10), np.tile(right, 10), clusters=np.tile(np.arange(400), 10)
    ).estimate
    assert copies.se == pytest.approx(single.se, rel=0.02)
    assert copies.ci_high - copies.ci_low > 0.9 * (plain.ci_high - plain.ci_low)
    assert copies.unit == "question cluster"


def test_tasks_and_clusters_that_cross_count_both():
    """Each question alone in its task and cluster: one by one. Tasks that differ: wider, and no less with clusters besides."""
    rng = np.random.default_rng(6)
    task, cluster = np.arange(1200) // 30, np.arange(1200) % 30
    confidence = rng.uniform(0.4, 0.9, 1200)
    right = (rng.random(1200) < confidence - 0.1 + rng.normal(0, 0.1, 40)[task]) * 1.0
    plain = calibration_error(confidence, right).estimate
    tasks = calibration_error(confidence, right, tasks=task).estimate
    both = calibration_error(confidence, right, tasks=task, clusters=cluster).estimate
    # By hand: the jackknife over tasks of one size is the variance of their mean signed gaps.
    which = np.ceil(confidence * 15).astype(int)
    signs = np.sign(np.bincount(which, confidence - right))[which]
    means = ((confidence - right) * signs).reshape(40, 30).mean(axis=1)
    assert tasks.se == pytest.approx(means.std(ddof=1) / np.sqrt(40), rel=1e-9)
    assert plain.se < tasks.se <= both.se
    assert (plain.unit, tasks.unit, both.unit) == ("question", "cluster", "both")
    assert tasks.df == pytest.approx(39)


def test_what_determines_no_interval():
    nothing = calibration_error([np.nan], [1.0])
    assert (nothing.plug_in, nothing.estimate.value, nothing.estimate.warnings) == (None, None, ("no values",))
    one_cluster = calibration_error([0.9, 0.8], [1.0, 0.0], clusters=[1, 1]).estimate
    assert (one_cluster.ci_low, one_cluster.warnings) == (None, ("too few",))
    single = calibration_error([0.9], [1.0]).estimate
    assert single.ci_low == 0 <= single.value <= single.ci_high <= 1
    change = calibration_change(([np.nan], [1.0]), ([0.9], [1.0]))
    assert change.delta.value is None


@pytest.mark.parametrize("n", [1, 2, 5, 30, 300])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_an_interval_holds_its_value_and_stays_within_bounds(n, share):
    rng = np.random.default_rng(n)
    for confidence in (np.ones(n), np.full(n, 0.5), rng.uniform(0, 1, n), np.zeros(n)):
        right = (np.arange(n) < share * n) * 1.0
        found = calibration_error(confidence, right).estimate
        assert 0 <= found.ci_low <= found.value <= found.ci_high <= 1
        assert found.ci_high > 0
        change = calibration_change((confidence, right), (confidence[::-1], right)).delta
        assert -1 <= change.ci_low <= change.value <= change.ci_high <= 1


@pytest.mark.parametrize(("n", "off"), [(100, 0.0), (100, 0.1), (1000, 0.05)])
def test_coverage(n, off):
    """Of all questions like these: confidences evenly between .25 and 1, right answers with that probability less `off`."""
    rng = np.random.default_rng(2)
    population = 0.25 + 0.75 * (np.arange(30_000) + 0.5) / 30_000
    chance = np.clip(population - off, 0, 1)
    missed = above = 0
    values = []
    for _ in range(400):
        asked = rng.integers(0, len(population), n)
        found = calibration_error(population[asked], (rng.random(n) < chance[asked]) * 1.0).estimate
        values.append(found.value)
        above += found.ci_low > off
        missed += not found.ci_low <= off <= found.ci_high
    assert missed <= 0.065 * 400
    assert above <= 0.055 * 400
    assert np.mean(values) - off < 0.025


def test_a_paired_change_is_surer_than_two_runs_apart():
    rng = np.random.default_rng(4)
    confidence, u = rng.uniform(0.3, 1, 1000), rng.random(1000)
    before = (u < confidence - 0.15) * 1.0
    again = np.where(rng.random(1000) < 0.9, before, (rng.random(1000) < confidence - 0.15) * 1.0)
    change = calibration_change((confidence, before), (confidence, again))
    one, two = change.before.estimate, change.after.estimate
    assert change.delta.value == pytest.approx(two.value - one.value)
    assert change.delta.ci_high - change.delta.ci_low < 0.6 * np.hypot(
        one.ci_high - one.ci_low, two.ci_high - two.ci_low
    )
    same = calibration_change((confidence, before), (confidence, before)).delta
    assert same.value == 0
    assert 0 < same.ci_high == -same.ci_low < 0.005


def test_a_condition_judges_the_interval(tmp_path, write_probe):
    """A calibrated model of 60 questions: the plug-in is above 5 %, and no gate may say that surely."""
    rng = np.random.default_rng(5)
    documents = [{"question": f"Question {i}?", "choices": ["a", "b"], "answer": 0} for i in range(60)]
    p = rng.uniform(0.05, 0.95, 60)
    calibrated = [[np.log(x), np.log(1 - x)] for x in np.where(rng.random(60) < p, p, 1 - p)]
    right = np.array([scores[0] > scores[1] for scores in calibrated])
    sure = [[0.0, -7.0] if keeps else [-7.0, 0.0] for keeps in right]
    write_probe(tmp_path / "before", documents, calibrated, "pool")
    write_probe(tmp_path / "after", documents, sure, "pool")
    comparison = compare(tmp_path / "before", tmp_path / "after")
    section = comparison.overall
    assert section.ece["before"] > 0.05

    def failed(text: str) -> bool:
        return check([read_condition(text)], comparison)[0].failed

    assert not failed("ece before > 5 %")
    assert failed("possibly ece before > 5 %")
    assert failed("ece > 5 %")
    assert failed("ece change > 5 points")
    assert failed("ece > 5 % in any task")
    assert not failed("ece > 99 %")
    assert section.to_dict()["ece_debiased"]["after"]["method"] == "gaps"
    # Sure throughout: one bin, and the share of wrong answers.
    assert section.ece["after"] == pytest.approx(1 - right.mean(), abs=0.001)
