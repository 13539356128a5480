"""The registry of measures: what each entry says of itself holds."""

import numpy as np
import pytest

from consistency.comparison.conditions import read_condition
from consistency.metrics.measures import HEADLINE, MEASURE, MEASURES, Measure, measure_columns


@pytest.fixture(scope="module")
def columns() -> dict[str, np.ndarray]:
    """Columns of 2,000 questions of two to five options, some of them tied or impossible."""
    rng = np.random.default_rng(0)
    k = rng.integers(2, 6, 2000)
    before, after = rng.normal(-2, 2, (2, 2000, 5)).round(1)
    before[:100, 1] = -np.inf
    before[np.arange(5) >= k[:, None]] = after[np.arange(5) >= k[:, None]] = np.nan
    gold = np.arange(5) == rng.integers(0, k)[:, None]
    right = [(np.nanargmax(scores, axis=1) == gold.argmax(axis=1)).astype(float) for scores in (before, after)]
    return {"correct_before": right[0], "correct_after": right[1], **measure_columns(before, after, gold)}


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_values_lie_within_the_bounds(measure: Measure, columns: dict[str, np.ndarray]) -> None:
    low, high = measure.bounds
    values = measure.values(columns)
    assert values.shape == (2000,)
    known = values[~np.isnan(values)]
    # A root mean square is that of its values, which may have either sign.
    known = known**2 if measure.estimator == "root mean square" else known
    assert len(known) > 1800
    assert low - 1e-12 <= known.min() < known.max() <= high + 1e-12


def test_a_question_that_one_run_did_not_score_counts_for_the_other() -> None:
    """A measure of one run asks nothing of the other; a measure of both is undefined."""
    before, after, gold = (
        np.log([[0.7, 0.3], [0.4, 0.6]]),
        np.log([[0.9, 0.1], [np.nan, np.nan]]),
        np.array([[True, False]] * 2),
    )
    columns = measure_columns(before, after, gold)
    assert columns["brier_before"] == pytest.approx([2 * 0.3**2, 2 * 0.6**2])
    assert columns["brier_after"] == pytest.approx([2 * 0.1**2, np.nan], nan_ok=True)
    assert all(np.isnan(columns[name][1]) for name in columns if not name.startswith("brier"))


@pytest.mark.parametrize("measure", [m for m in MEASURES if m.direction in ("more alike", "further apart")])
def test_a_run_against_itself_is_as_near_as_can_be(measure: Measure) -> None:
    scores, gold = np.log([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]), np.eye(3, dtype=bool)[[0, 1]]
    values = measure.values(measure_columns(scores, scores, gold))
    assert values == pytest.approx(np.full(2, measure.bounds[measure.direction == "more alike"]))


def test_every_name_means_one_measure() -> None:
    names = [name for m in MEASURES for name in {m.name.replace("_", " "), m.title.lower(), *m.aliases}]
    assert len(set(names)) == len(names)
    assert set(HEADLINE) <= set(MEASURES)
    assert max(len(measure.short) for measure in HEADLINE) <= 10
    for name in (*names, "rank_pearson", "rank_pearson_paper"):
        assert read_condition(f"{name} < 0.5").quantity.name in MEASURE
