"""The parts of a change: against other optimisers, against what was planted, and whatever order the options stand in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq, minimize
from scipy.special import log_softmax, softmax
from scipy.stats import chisquare
from scipy.stats import skew as sample_skewness
from scipy.stats import t as student

from consistency.comparison.compare import compare
from consistency.comparison.part_sentences import letters_clause
from consistency.comparison.result import Comparison
from consistency.metrics.letter_prior import batch_calibrated, even_offsets
from consistency.statistics.answered import Answered
from consistency.statistics.decomposition import Decomposition, decompose
from consistency.statistics.divergences_by_question import Divergences
from consistency.statistics.fitted_means import ranking_without_prior
from consistency.statistics.nearest import left_out, nearest
from consistency.statistics.sampling import Labels

# What is added to the letters in `world`.
PRIOR = np.array([0.2, 0.8, 0.0, -0.5])
ALONE = Labels(strata=None, tasks=None, clusters=None)
LETTERS = np.array([1.5, -1.5, 0.5, 0.0])
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray]:
    """Log-probabilities of a model that knows something and answers B too often, and the gold options."""
    rng = np.random.default_rng(7)
    gold = rng.integers(0, 4, 3000)
    scores = rng.normal(0, 1, (3000, 4)) + rng.normal(1, 1, 3000)[:, None] * np.eye(4)[gold]
    return log_softmax(scores + PRIOR, axis=1), np.eye(4, dtype=bool)[gold]


def parts(before: np.ndarray, after: np.ndarray, gold: np.ndarray, **how: Any) -> Decomposition:
    return decompose([Answered(before, after, gold, **how)], ALONE)


def accuracy(scores: np.ndarray, gold: np.ndarray) -> float:
    return float(gold[np.arange(len(gold)), scores.argmax(axis=1)].mean())


def hall(values: np.ndarray) -> tuple[float, float]:
    """The ends for which Hall's transformation of the t statistic is Student's quantile."""
    n, skew = len(values), float(sample_skewness(values, bias=False))
    slope, t = skew / (3 * np.sqrt(n)), float(student.ppf(0.975, n - 1))

    def studentised(target: float) -> float:
        def missing(x: float) -> float:
            return x + slope * x**2 + slope**2 * x**3 / 3 + skew / (6 * np.sqrt(n)) - target

        return float(brentq(missing, -50, 50))

    se = values.std(ddof=1) / np.sqrt(n)
    return float(values.mean() - studentised(t) * se), float(values.mean() - studentised(-t) * se)


def value(found: Decomposition, name: str) -> float:
    estimate = found.estimates[name].value
    assert estimate is not None
    return estimate


def test_batch_calibration_divides_by_the_mean_probabilities(world) -> None:
    scores, gold = world
    probs = softmax(scores, axis=1)
    published = probs / probs.mean(axis=0)
    assert np.exp(batch_calibrated(scores)) == pytest.approx(published, abs=1e-12)
    found = parts(scores, scores + LETTERS, gold)
    moved = softmax(scores + LETTERS, axis=1)
    assert found.plug_in["batch_before"] == pytest.approx(accuracy(published, gold), abs=1e-12)
    assert found.plug_in["batch_after"] == pytest.approx(accuracy(moved / moved.mean(axis=0), gold), abs=1e-12)


def test_even_offsets_make_all_letters_as_probable(world) -> None:
    scores, _ = world
    scores = scores.copy()
    scores[:50, 3] = np.nan
    scores[50:60, 0] = -np.inf
    offsets = even_offsets(scores)
    probs = softmax(np.where(np.isnan(scores), -np.inf, scores) + offsets, axis=1)
    offered = ~np.isnan(scores)
    assert probs.mean(axis=0) == pytest.approx((offered / offered.sum(axis=1, keepdims=True)).mean(axis=0), abs=1e-11)
    assert even_offsets(scores + LETTERS) == pytest.approx(offsets - LETTERS + LETTERS.mean(), abs=1e-9)


@pytest.mark.parametrize(("factor", "offsets"), [(True, False), (False, True), (True, True)])
def test_the_nearest_distributions_are_those_of_another_optimiser(world, factor: bool, offsets: bool) -> None:
    scores, _ = world
    rng = np.random.default_rng(1)
    other = log_softmax(1.7 * scores + LETTERS + rng.normal(0, 1, scores.shape), axis=1)
    target = softmax(scores, axis=1)

    def divergence(theta: np.ndarray) -> float:
        first, *letters = theta if factor else [1.0, *theta]
        moved = first * other + np.array([*letters, 0.0] if letters else 0.0)
        return float((target * (scores - log_softmax(moved, axis=1))).sum(axis=1).mean())

    start = [1.0] * factor + [0.0] * 3 * offsets
    theirs = minimize(divergence, start, method="BFGS", options={"gtol": 1e-9})
    ours = nearest(target, other, np.arange(len(other)), factor=factor, offsets=offsets)
    found = [ours.factor] * factor + [*(ours.offsets[:3] - ours.offsets[3])] * offsets
    assert divergence(np.array(found)) == pytest.approx(theirs.fun, abs=1e-9)
    assert found == pytest.approx(theirs.x, abs=1e-4)


def test_a_fit_without_a_cluster_is_that_to_the_others(world) -> None:
    scores, _ = world
    scores, units = scores[:400], np.repeat(np.arange(80), 5)
    target = softmax(0.5 * scores + LETTERS + np.random.default_rng(2).normal(0, 1, scores.shape), axis=1)
    whole = nearest(target, scores, units)
    moved, steps = np.empty((80, 5)), whole.steps[::5].copy()
    for unit in range(80):
        others = units != unit
        alone = nearest(target[others], scores[others], np.arange(others.sum()))
        moved[unit] = alone.factor - whole.factor, *(alone.offsets - whole.offsets)
    steps[:, 1:] -= steps[:, 1:].mean(axis=1, keepdims=True)
    # One step of Newton's method: near to the fit itself for all, and on average much nearer.
    assert steps == pytest.approx(moved, abs=0.1 * np.abs(moved).max())
    assert np.sqrt(np.square(steps - moved).mean()) < 0.03 * np.sqrt(np.square(moved).mean())
    assert not left_out(np.ones((3, 2)), np.zeros(3, dtype=np.int64), np.eye(2)).any()


def kl(first: np.ndarray, second: np.ndarray) -> float:
    return float(
        (softmax(first, axis=1) * (log_softmax(first, axis=1) - log_softmax(second, axis=1))).sum(axis=1).mean()
    )


def js(first: np.ndarray, second: np.ndarray) -> float:
    middle = np.log((softmax(first, axis=1) + softmax(second, axis=1)) / 2)
    return (kl(first, middle) + kl(second, middle)) / 2


def test_letters_that_were_moved_by_hand_are_only_that(world) -> None:
    scores, gold = world
    found = parts(scores, scores + LETTERS, gold)
    raw = accuracy(scores + LETTERS, gold) - accuracy(scores, gold)
    assert raw < -0.05
    assert value(found, "prior_change") == pytest.approx(raw, abs=1e-12)
    assert value(found, "calibrated_change") == 0
    assert value(found, "kl_prior_first") == pytest.approx(kl(scores, scores + LETTERS), abs=1e-4)
    assert value(found, "js_prior_first") == pytest.approx(js(scores, scores + LETTERS), abs=1e-4)
    assert [value(found, "kl_sharpness_last"), value(found, "kl_rest")] == pytest.approx([0, 0], abs=1e-5)
    assert value(found, "spearman_calibrated") == 1


def test_a_temperature_is_sharpness(world) -> None:
    scores, gold = world
    found = parts(scores, 2 * scores, gold)
    assert found.temperature == pytest.approx(2, abs=1e-6)
    assert value(found, "kl_sharpness") == pytest.approx(kl(scores, 2 * scores), abs=1e-4)
    assert value(found, "js_sharpness") == pytest.approx(js(scores, 2 * scores), abs=1e-4)
    assert abs(value(found, "kl_prior")) < 1e-4
    assert abs(value(found, "calibrated_change")) < 0.01


def test_a_temperature_and_letters_in_both_orders(world) -> None:
    """Each stage of either order is the least divergence that another optimiser finds."""
    scores, gold = world
    later = 0.5 * scores + LETTERS + np.random.default_rng(9).normal(0, 1, scores.shape)

    def least(move: Callable[[np.ndarray], np.ndarray], start: list[float]) -> tuple[float, float]:
        fit = minimize(lambda theta: kl(scores, move(theta)), start, method="BFGS", options={"gtol": 1e-9})
        return fit.fun, js(scores, move(fit.x))

    stages = [
        (kl(scores, later), js(scores, later)),
        least(lambda theta: theta[0] * later, [1.0]),
        least(lambda theta: later + np.append(theta, 0), [0.0] * 3),
        least(lambda theta: theta[0] * later + np.append(theta[1:], 0), [1.0, 0.0, 0.0, 0.0]),
    ]
    found = parts(scores, later, gold).plug_in
    for of, name in enumerate(("kl", "js")):
        raw, sharp, moved, rest = (stage[of] for stage in stages)
        theirs = {"sharpness": raw - sharp, "prior": sharp - rest, "rest": rest}
        theirs |= {"prior_first": raw - moved, "sharpness_last": moved - rest, "calibrated": moved}
        for part, number in theirs.items():
            assert found[f"{name}_{part}"] == pytest.approx(number, abs=1e-6), part


def test_other_beliefs_change_what_is_left(world) -> None:
    """A fifth of the questions is answered by chance; the letters are moved besides."""
    scores, gold = world
    rng = np.random.default_rng(3)
    other = rng.normal(0, 1.5, scores.shape) + PRIOR
    later = np.where((np.arange(len(scores)) % 5 == 0)[:, None], other, scores)
    planted = accuracy(later - PRIOR, gold) - accuracy(scores - PRIOR, gold)
    found = parts(scores, later + LETTERS, gold)
    assert planted < -0.03
    assert value(found, "calibrated_change") == pytest.approx(planted, abs=0.005)
    assert value(found, "calibrated_before") == pytest.approx(accuracy(scores - PRIOR, gold), abs=0.005)
    assert found.estimates["calibrated_change"].ci_high < 0  # type: ignore[operator]


def test_flips_without_the_prior(world) -> None:
    """Letters that were moved turn many answers; without the prior only what was answered by chance turns."""
    scores, gold = world
    rng = np.random.default_rng(3)
    other = rng.normal(0, 1.5, scores.shape) + PRIOR
    later = np.where((np.arange(len(scores)) % 5 == 0)[:, None], other, scores)
    found = parts(scores, later + LETTERS, gold).estimates
    rows = np.arange(len(scores))
    before, after = (gold[rows, (x - PRIOR).argmax(axis=1)] for x in (scores, later))
    for name, turned in (("calibrated_harmful", before & ~after), ("calibrated_beneficial", ~before & after)):
        assert found[name].value == pytest.approx(turned.mean(), abs=0.005)
        assert found[name].ci_low < turned.mean() < found[name].ci_high  # type: ignore[operator]
    won, lost = found["calibrated_beneficial"].value, found["calibrated_harmful"].value
    assert won - lost == pytest.approx(found["calibrated_change"].value)
    assert parts(scores, scores + LETTERS, gold).estimates["calibrated_harmful"].value == 0


def test_letters_that_move_differently_from_question_to_question_are_left(world) -> None:
    """No content changed, and still accuracy without the prior falls: one number for each letter cannot tell."""
    scores, gold = world
    own = np.random.default_rng(10).normal(0, 2, len(scores))[:, None] * np.array([1, -1, 0, 0])
    found = parts(scores, scores + own, gold).estimates
    assert found["calibrated_change"].ci_high < -0.03  # type: ignore[operator]
    assert found["kl_rest"].ci_low > 0.1  # type: ignore[operator]


@pytest.mark.parametrize("n", [1, 9])
def test_too_few_questions_have_no_parts(world, n: int) -> None:
    scores, gold = world[0][:n], world[1][:n]
    found = parts(scores, scores + LETTERS, gold)
    assert found.temperature is None
    assert {estimate.value for estimate in found.estimates.values()} == {None}


@pytest.mark.parametrize("n", [11, 60, 3000])
def test_parts_add_up(world, n: int) -> None:
    scores, gold = world[0][:n], world[1][:n]
    rng = np.random.default_rng(4)
    later = log_softmax(0.6 * scores + LETTERS + rng.normal(0, 1, scores.shape), axis=1)
    later[0, 2] = -np.inf
    found = parts(scores, later, gold)
    raw = accuracy(later, gold) - accuracy(scores, gold)
    assert value(found, "calibrated_change") + value(found, "prior_change") == pytest.approx(raw, abs=1e-12)
    total = (softmax(scores[1:], axis=1) * (scores - later)[1:]).sum(axis=1).mean()
    of_kl = [found.estimates[f"kl_{part}"] for part in ("sharpness", "prior", "rest")]
    assert sum(item.value for item in of_kl if item.value is not None) == pytest.approx(total, abs=1e-9)
    # The one without a finite KL is counted.
    assert {item.undefined for item in of_kl} == {1}


def test_questions_that_are_asked_twice_count_once(world) -> None:
    scores, gold = world[0][:300], world[1][:300]
    later = log_softmax(0.6 * scores + LETTERS + np.random.default_rng(5).normal(0, 1, scores.shape), axis=1)
    once = parts(scores, later, gold).estimates
    twice = decompose(
        [Answered(*(np.concatenate([x, x]) for x in (scores, later, gold)))],
        Labels(strata=None, tasks=None, clusters=np.tile(np.arange(300), 2)),
    ).estimates
    for name, found in once.items():
        assert twice[name].value == pytest.approx(found.value, abs=0.002)
        lengths = [item.ci_high - item.ci_low for item in (twice[name], found)]  # type: ignore[operator]
        assert lengths[0] == pytest.approx(lengths[1], rel=0.05)


def test_only_intervals_depend_on_what_is_sampled(world) -> None:
    """Two tasks whose letters were moved to opposite sides: each question's offsets are those of all others, of both tasks."""
    rows = slice(0, 240)
    before, gold = world[0][rows], world[1][rows]
    tasks = np.arange(240) % 2
    after = before * 0.8 + np.where(tasks[:, None] == 1, LETTERS, -LETTERS)
    answered = [Answered(before, after, gold)]
    alone = decompose(answered, ALONE).estimates
    for labels in (
        Labels(strata=None, tasks=tasks, clusters=None),
        Labels(strata=None, tasks=None, clusters=tasks),
        Labels(strata=tasks, tasks=None, clusters=np.arange(240) // 2),
    ):
        found = decompose(answered, labels).estimates
        for name, estimate in alone.items():
            assert found[name].value == pytest.approx(estimate.value, abs=1e-12), name
            if found[name].ci_low is not None:
                assert found[name].ci_low <= found[name].value <= found[name].ci_high, name
    right = [
        gold[row, (after[row] + even_offsets(np.delete(after, row, axis=0))).argmax()] for row in range(len(after))
    ]
    assert alone["calibrated_after"].value == pytest.approx(np.mean(right), abs=1e-9)


def test_a_kind_of_few_questions_beside_one_of_many(world) -> None:
    """To few questions nothing is fitted; in accuracy they count as they are not known without their prior."""
    scores, gold = world
    later = scores + LETTERS
    few, many = (Answered(scores[rows], later[rows], gold[rows]) for rows in (slice(0, 5), slice(5, 600)))
    alone = decompose([many], ALONE)
    for groups in ([few, many], [many, few]):
        found = decompose(groups, ALONE)
        assert found.n == 600
        assert {name: value(found, name) for name in alone.estimates} == pytest.approx(
            {name: value(alone, name) for name in alone.estimates}
        )


def test_texts_have_no_prior(world) -> None:
    scores, gold = world
    found = parts(scores, 2 * scores + LETTERS, gold, lettered=False)
    raw = accuracy(2 * scores + LETTERS, gold) - accuracy(scores, gold)
    assert (found.lettered, found.priors) == (0, ())
    assert value(found, "calibrated_change") == pytest.approx(raw, abs=1e-12)
    assert value(found, "prior_change") == value(found, "kl_prior") == 0


def log(folder: Path, scores: np.ndarray, gold: np.ndarray, labels: list[list[str]], task: str = "mmlu_x") -> Path:
    """A log in which each option of a question is scored behind its own label."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "doc_id": number,
            "doc": {"question": f"{task} {number}?", "choices": [f"{o} of {number}" for o in range(len(row))]},
            "target": str(int(right.argmax())),
            "arguments": {f"gen_args_{i}": {"arg_0": "…", "arg_1": f" {text}"} for i, text in enumerate(texts)},
            "filtered_resps": [[repr(float(x)), "False"] for x in row],
            "metrics": ["acc"],
            "filter": "none",
            "doc_hash": f"{task}-{number}",
            "acc": float(right[row.argmax()]),
        }
        for number, (row, right, texts) in enumerate(zip(scores, gold, labels, strict=True))
    ]
    path = folder / f"samples_{task}_2026-01-02T03-04-05.678901.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return folder


def parts_of(comparison: Comparison) -> Decomposition:
    assert comparison.overall is not None
    assert comparison.overall.decomposition is not None
    return comparison.overall.decomposition


def test_a_comparison_of_logs_has_the_parts_of_its_arrays(tmp_path, world) -> None:
    scores, gold = world[0][:400], world[1][:400]
    later = log_softmax(scores + LETTERS, axis=1)
    labels = [list("ABCD")] * 400
    found = compare(log(tmp_path / "a", scores, gold, labels), log(tmp_path / "b", later, gold, labels))
    assert parts_of(found).to_dict() == parts(scores, later, gold).to_dict()
    assert f"{100 * value(parts_of(found), 'prior_change'):+.1f}" in found.verdict


def test_a_letter_keeps_its_prior_wherever_it_stands_in_the_row(tmp_path, world) -> None:
    """The second log's options are in another order in each row, behind the same letters."""
    scores, gold = world[0][:400], world[1][:400]
    later = log_softmax(scores + LETTERS, axis=1)
    labels = [list("ABCD")] * 400
    plain = compare(log(tmp_path / "a", scores, gold, labels), log(tmp_path / "b", later, gold, labels))
    rng = np.random.default_rng(6)
    rows = rng.permuted(np.tile(np.arange(4), (400, 1)), axis=1)
    mixed = [np.take_along_axis(x, rows, axis=1) for x in (scores, later, gold)]
    both = [[["A", "B", "C", "D"][column] for column in row] for row in rows]
    moved = compare(log(tmp_path / "c", mixed[0], mixed[2], both), log(tmp_path / "d", mixed[1], mixed[2], both))
    for name, estimate in parts_of(plain).estimates.items():
        assert value(parts_of(moved), name) == pytest.approx(estimate.value, abs=1e-9), name


@pytest.mark.parametrize("texts", ["texts", "a_texts"])
def test_tasks_with_letters_numbers_and_texts_each_have_their_own(tmp_path, world, texts: str) -> None:
    """Whichever come first."""
    scores, gold = world
    kinds = {
        "letters": ([list("ABCD")] * 200, LETTERS),
        "numbers": ([list("1234")] * 200, -LETTERS),
        texts: ([[f"{o} of {n}" for o in range(4)] for n in range(200)], np.zeros(4)),
    }
    for place, (task, (labels, moved)) in enumerate(kinds.items()):
        rows = slice(200 * place, 200 * (place + 1))
        log(tmp_path / "a", scores[rows], gold[rows], labels, task)
        log(tmp_path / "b", log_softmax(scores[rows] + moved, axis=1), gold[rows], labels, task)
    found = compare(tmp_path / "a", tmp_path / "b")
    overall = parts_of(found)
    assert (overall.n, overall.lettered, len(overall.priors)) == (600, 400, 2)
    assert value(overall, "calibrated_change") == 0
    assert value(overall, "kl_rest") < 1e-3
    alone = found.by_task[texts].decomposition
    assert alone is not None
    assert alone.lettered == 0


@pytest.mark.parametrize(("few", "lettered"), [(200, False), (5, True), (0, True)])
def test_nothing_depends_on_which_kind_of_questions_comes_first(world, few: int, lettered: bool) -> None:
    """Nothing is fitted to texts, nor to a few questions."""
    scores, gold = world
    many = Answered(scores[:300], scores[:300] + LETTERS, gold[:300])
    others = Answered(
        scores[300 : 300 + few], scores[300 : 300 + few][:, ::-1], gold[300 : 300 + few], lettered=lettered
    )
    one, two = decompose([many, others], ALONE), decompose([others, many], ALONE)
    for name in ("calibrated_before", "calibrated_after", "calibrated_harmful", "calibrated_change", "prior_change"):
        for end in ("value", "ci_low", "ci_high", "effective_n"):
            assert getattr(two.estimates[name], end) == pytest.approx(getattr(one.estimates[name], end), abs=1e-12), (
                name
            )


def test_tasks_whose_labels_differ_later_have_their_own_prior(tmp_path, world) -> None:
    scores, gold = world[0][:, :2], world[1][:, :2] ^ ~world[1][:, :2].any(axis=1, keepdims=True)
    gold[gold.all(axis=1), 1] = False
    for place, (task, labels, moved) in enumerate(
        (("a", ["no", "yes"], [2.0, 0.0]), ("b", ["no", "maybe"], [0.0, 2.0]))
    ):
        rows = slice(400 * place, 400 * (place + 1))
        log(tmp_path / "a", scores[rows], gold[rows], [labels] * 400, task)
        log(tmp_path / "b", log_softmax(scores[rows] + moved, axis=1), gold[rows], [labels] * 400, task)
    found = parts_of(compare(tmp_path / "a", tmp_path / "b"))
    assert value(found, "calibrated_change") == 0
    assert value(found, "prior_change") != 0
    assert {prior.labels for prior in found.priors} == {("no", "yes"), ("no", "maybe")}
    no = {prior.labels: prior.after[0] for prior in found.priors}
    for place, (labels, moved) in enumerate(((("no", "yes"), [2.0, 0.0]), (("no", "maybe"), [0.0, 2.0]))):
        rows = slice(400 * place, 400 * (place + 1))
        assert no[labels] == pytest.approx(softmax(scores[rows] + moved, axis=1)[:, 0].mean(), abs=1e-6)


def test_uneven_right_answers_are_said(tmp_path, world) -> None:
    rng = np.random.default_rng(8)
    answers = rng.choice(4, 400, p=[0.6, 0.2, 0.1, 0.1])
    gold = np.eye(4, dtype=bool)[answers]
    scores = log_softmax(rng.normal(0, 1, (400, 4)) + 2 * gold, axis=1)
    found = parts(scores, scores + LETTERS, gold).priors[0]
    assert found.even_p == pytest.approx(chisquare(np.bincount(answers)).pvalue, rel=1e-9)
    assert found.gold == pytest.approx(tuple(np.bincount(answers) / 400))
    assert found.is_uneven
    assert not parts(*(world[0][:400],) * 2, world[1][:400]).priors[0].is_uneven
    labels = [list("ABCD")] * 400
    comparison = compare(log(tmp_path / "a", scores, gold, labels), log(tmp_path / "b", scores + LETTERS, gold, labels))
    assert comparison.overall is not None
    # No share of letters is named, but that they are uneven.
    assert letters_clause(comparison.overall).endswith(f"A in {100 * (answers == 0).mean():.1f} %")
    even = compare(
        *(log(tmp_path / str(moved), world[0][:400] + LETTERS * moved, world[1][:400], labels) for moved in (0, 1))
    )
    assert even.overall is not None
    assert letters_clause(even.overall)


def test_a_model_that_says_one_letter_whatever_is_asked(world) -> None:
    """No factor of its scores helps: offsets alone come as near, as bounded optimisation finds, and each part gains."""
    scores, _ = world[0][:100], world[1][:100]
    later = log_softmax(np.random.default_rng(11).normal(0, 1, scores.shape) + np.array([6.0, 0, 0, 0]), axis=1)
    found = nearest(softmax(scores, axis=1), later, np.arange(100))
    theirs = minimize(
        lambda theta: kl(scores, theta[0] * later + np.append(theta[1:], 0)),
        [0.5, 0, 0, 0],
        method="L-BFGS-B",
        bounds=[(0, None), *[(None, None)] * 3],
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    assert kl(scores, found.distributions(later)) == pytest.approx(theirs.fun, abs=1e-7)
    parts_found = parts(scores, later, world[1][:100])
    assert all(
        parts_found.plug_in[f"kl_{part}"] > 0
        for part in ("sharpness", "prior", "rest", "prior_first", "sharpness_last")
    )
    assert value(parts_found, "kl_rest") < 1.1 * parts_found.plug_in["kl_rest"]


def test_texts_that_the_other_run_does_not_order_at_all(world) -> None:
    scores, _ = world
    for units in (np.arange(100), np.repeat(np.arange(20), 5)):
        found = nearest(softmax(scores[:100], axis=1), -scores[:100], units, offsets=False)
        assert (found.factor, found.steps.any()) == (0, False)
        assert found.distributions(-scores[:100], crossed=True) == pytest.approx(np.full((100, 4), np.log(0.25)))


def test_letters_preferred_by_hundreds_of_nats(world) -> None:
    scores, gold = world
    found = parts(scores, scores + np.array([200.0, 0.0, -200.0, 0.0]), gold)
    assert value(found, "calibrated_change") == 0
    assert value(found, "prior_change") < -0.1


def test_chance_alone_explains_nothing(world) -> None:
    """Two noisy runs of one model: each is flatter than the other's scores would have it, which no temperature made."""
    scores, gold = world
    rng = np.random.default_rng(12)
    found = parts(*(scores + rng.normal(0, 0.2, scores.shape) for _ in range(2)), gold).estimates
    for part in ("sharpness", "prior", "prior_first", "sharpness_last"):
        assert found[f"kl_{part}"].ci_low <= 0 <= found[f"kl_{part}"].ci_high, part  # type: ignore[operator]


def test_of_few_questions_what_is_fitted_has_no_interval(world) -> None:
    """Of fewer than a hundred questions, or clusters of them; accuracies always have one."""
    scores, gold = world
    for clusters, few in ((np.arange(99), True), (np.arange(100), False), (np.arange(495) // 5, True)):
        rows = slice(0, len(clusters))
        labels = Labels(strata=None, tasks=None, clusters=None if len(clusters) <= 100 else clusters)
        estimates = decompose([Answered(scores[rows], 2 * scores[rows] + LETTERS, gold[rows])], labels).estimates
        for name, found in estimates.items():
            assert found.value is not None
            fitted = name.startswith(("kl_", "js_", "spearman"))
            assert (found.ci_low is None) == (few and fitted), name
            assert ("too few" in found.warnings) == (few and fitted), name


def test_rankings_are_told_with_what_errors_of_the_letters_take(world) -> None:
    """Of the quarters' losses against all: half the mean one as a further standard error, three times the largest one upwards."""
    scores, gold = world[0][:400], world[1][:400]
    crossed = 1 - np.random.default_rng(1).exponential(0.2, 400)
    lost = np.array([0.02, 0.05, -0.04, 0.06])
    found = ranking_without_prior(crossed, np.stack([300 * lost, np.full(4, 300)], axis=1), ALONE)
    t, se = student.ppf(0.975, 399), crossed.std(ddof=1) / 20
    assert found.ci_low == pytest.approx(crossed.mean() - t * np.hypot(se, lost.mean() / 2), rel=1e-9)
    moved = np.sqrt((lost**2).mean())
    assert found.ci_high == pytest.approx(min(crossed.mean() + np.hypot(t * se, 2 * moved), 1), rel=1e-9)
    same = parts(scores, scores + LETTERS, gold).estimates["spearman_calibrated"]
    assert (same.ci_low, same.ci_high) == (1, 1)


def test_intervals_of_divergences_are_corrected_for_skewness_whatever_the_sample_shows(world) -> None:
    scores, gold = world[0][:1500], world[1][:1500]
    later = log_softmax(2 * scores + np.random.default_rng(4).normal(0, 0.5, scores.shape), axis=1)
    groups = [Answered(scores, later, gold)]
    columns = [Divergences(groups, ALONE).parts("kl", crossed=crossed) for crossed in (False, True)]
    found = parts(scores, later, gold).estimates
    rest = np.array([hall(x["rest"]) for x in columns])
    assert (found["kl_rest"].ci_low, found["kl_rest"].ci_high) == pytest.approx(
        (rest[:, 0].min(), rest[:, 1].max()), rel=1e-9
    )
    sharp = np.array([hall(x["sharpness"]) for x in columns])
    moved = abs(columns[0]["sharpness"].mean() - columns[1]["sharpness"].mean())
    assert found["kl_sharpness"].ci_low == pytest.approx(sharp[:, 0].min(), rel=1e-9)
    assert found["kl_sharpness"].ci_high == pytest.approx(sharp[:, 1].max() + 3.841458820694124 / 2 * moved, rel=1e-9)


def test_what_one_run_leaves_open_is_compared_in_neither(world) -> None:
    scores, gold = world[0][:300], world[1][:300]
    later = scores + LETTERS
    later[:40] = np.nan
    found, known = parts(scores, later, gold), parts(scores[40:], later[40:], gold[40:])
    for name in ("calibrated_before", "calibrated_after", "calibrated_change", "prior_change"):
        assert value(found, name) == pytest.approx(value(known, name), abs=1e-12)
        assert found.estimates[name].undefined == 40


def test_one_question_with_a_fifth_option_makes_no_answers_uneven() -> None:
    rng = np.random.default_rng(13)
    answers = rng.choice(4, 20_000, p=[0.27, 0.25, 0.24, 0.24])
    scores = np.column_stack([rng.normal(0, 1, (20_000, 4)), np.full(20_000, np.nan)])
    scores[0, 4] = 0.0
    prior = parts(scores, scores, np.eye(5, dtype=bool)[answers]).priors[0]
    assert prior.even == pytest.approx((19_999 / 4 / 20_000 + 0.2 / 20_000,) * 4 + (0.2 / 20_000,))
    assert not prior.is_uneven


def test_brackets_around_a_letter_make_no_other_label(tmp_path, world) -> None:
    scores, gold = world[0][:200], world[1][:200]
    bare, bracketed = [list("ABCD")] * 200, [["(A)", "(B)", "(C)", "(D)"]] * 200
    later = scores + LETTERS
    plain = compare(log(tmp_path / "a", scores, gold, bare), log(tmp_path / "b", later, gold, bare))
    other = compare(log(tmp_path / "c", scores, gold, bare), log(tmp_path / "d", later, gold, bracketed))
    assert parts_of(other).to_dict() == parts_of(plain).to_dict()


def test_tasks_that_count_alike_in_their_group_do_so_in_the_parts(tmp_path, world) -> None:
    scores, gold = world
    labels = {"t1": (slice(0, 400), np.zeros(4)), "t2": (slice(400, 450), LETTERS)}
    for task, (rows, moved) in labels.items():
        count = rows.stop - rows.start
        log(tmp_path / "a", scores[rows], gold[rows], [list("ABCD")] * count, task)
        log(tmp_path / "b", scores[rows] + moved, gold[rows], [list("ABCD")] * count, task)
    for side in "ab":
        right = {
            task: accuracy(scores[rows] + (moved if side == "b" else 0), gold[rows])
            for task, (rows, moved) in labels.items()
        }
        mean = sum(right.values()) / 2
        results = {
            "results": {name: {"alias": name, "acc,none": number} for name, number in {**right, "both": mean}.items()},
            "groups": {"both": {"alias": "both", "acc,none": mean}},
            "group_subtasks": {"both": [*labels]},
            "configs": {name: {"task": name} for name in labels},
        }
        (tmp_path / side / "results_2026-01-02T03-04-05.678901.json").write_text(json.dumps(results))
    comparison = compare(tmp_path / "a", tmp_path / "b")
    section = comparison.by_group["both"]
    assert section.weighting == "task"
    assert section.decomposition is not None
    change = section.estimates["delta_accuracy"].value
    assert value(section.decomposition, "calibrated_change") + value(
        section.decomposition, "prior_change"
    ) == pytest.approx(change, abs=1e-12)
