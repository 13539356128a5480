"""Two runs of one model beside a comparison: counts by hand, what is flagged and how often, and what a policy makes of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, t

from consistency.comparison.compare import compare
from consistency.comparison.noise import Noise, beside_noise, with_run_variance
from consistency.comparison.result import Comparison
from consistency.errors import InputError
from consistency.statistics.paired_shares import change_of_shares, paired_change
from consistency.support.arrays import Integers

Write = Callable[..., Path]
N = 200


@pytest.fixture
def write(tmp_path: Path, write_probe: Callable[..., Path]) -> Write:
    """Write a run in which the questions of these numbers are answered wrong."""

    def run(name: str, wrong: set[int], task: str = "pool", n: int = N) -> Path:
        documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(n)]
        scores = [[-2.0, -0.1] if i in wrong else [-0.1, -2.0] for i in range(n)]
        write_probe(tmp_path / name, documents, scores, task)
        return tmp_path / name

    return run


def test_the_counts_are_those_of_the_questions(write: Write) -> None:
    """Before all right; after 0 … 19 wrong; one run with 15 … 24 wrong, its twin with 20 … 27."""
    pair = compare(write("before", set()), write("after", set(range(20))))
    noise = compare(write("one", set(range(15, 25))), write("two", set(range(20, 28))))
    found = beside_noise(pair, noise).by_section["pool"]
    # Between the two runs 15 … 19 turn right, and 25, 26, 27 wrong; of these 15 … 19 are harmful in the pair too.
    assert (found.harmful, found.turned, found.only_harmful, found.only_turned, found.n) == (20, 8, 15, 3, N)
    assert found.difference == pytest.approx(2 / N)
    assert found.difference_p == pytest.approx(binomtest(3, 8).pvalue)
    assert found.p == pytest.approx(binomtest(15, 18, 1 / 3, alternative="greater").pvalue)
    assert found.excess.value == pytest.approx((20 - 8 / 2) / N)
    assert found.exceeded
    change = paired_change(20, 0, N)
    assert change.value is not None
    assert change.ci_low is not None
    arm = np.hypot(change.value - change.ci_low, t.ppf(0.975, 1) * 2 / N)
    assert found.change.ci_low == pytest.approx(change.value - arm)


def test_questions_pair_by_number_and_hash(write: Write) -> None:
    """The two runs hold half of the questions, in the same task, and none of another task."""
    pair = compare(write("before", set()), write("after", set(range(20))))
    few = compare(write("one", set(), n=100), write("two", {0, 99}, n=100))
    assert beside_noise(pair, few).by_section["pool"].n == 100
    other = compare(write("x", set(), "other"), write("y", {1}, "other"))
    with pytest.raises(InputError, match="no task whose answers are right or wrong has its questions in both pairs"):
        beside_noise(pair, other)


def answered(
    template: Comparison, before: Integers, after: Integers, clusters: Integers | None = None, sampled: bool = False
) -> Comparison:
    """A comparison of one task with these answers; sampled: of one task for each cluster."""
    n = len(before)
    columns: dict[str, Any] = {
        "doc_id": np.arange(n),
        "doc_hash": np.array([str(i) for i in range(n)], dtype=object),
        "correct_before": before.astype(float),
        "correct_after": after.astype(float),
    }
    name = next(iter(template.by_task))
    turned = {"harmful": int((before > after).sum()), "beneficial": int((after > before).sum())}
    change = paired_change(turned["harmful"], turned["beneficial"], n)
    items = {name: columns}
    if clusters is not None:
        labels = {"tasks": clusters} if sampled else {"clusters": clusters}
        change = change_of_shares(before, after, **labels)
        if sampled:
            items = {
                f"{name}{i}": {k: column[clusters == i] for k, column in columns.items()}
                for i in np.unique(clusters).tolist()
            }
        else:
            columns["cluster"] = clusters
    section = replace(template.by_task[name], n=n, flips=turned, estimates={"delta_accuracy": change})
    if sampled:
        alone = replace(section, estimates={"delta_accuracy": paired_change(0, 0, 6)})
        by_task = {key: replace(alone, name=key) for key in items}
        pool = replace(section, name="acc", tasks=tuple(items))
        return replace(template, items=items, by_task=by_task, by_metric={"acc": pool}, overall=None)
    return replace(template, items=items, by_task={name: section}, overall=section)


def draws(
    template: Comparison, unstable: float, shift: float, runs: float, n: int, count: int, own: bool = False
) -> list[Noise]:
    """Answers of a share of the questions turn from run to run; `runs`: how far a run as a whole is from another."""
    rng, found = np.random.default_rng(11), []
    for _ in range(count):
        level = np.where(rng.random(n) < unstable, rng.normal(0, 1.5, n), rng.choice([-50.0, 50.0], n))

        def run(by: float = 0.0, level: Any = level) -> Integers:
            return np.asarray(rng.logistic(size=n) < level + by + rng.normal(0, runs), dtype=np.int64)

        before, after, one, two = run(), run(shift), run(), run()
        pair = answered(template, before, after)
        found.append(beside_noise(pair, answered(template, before if own else one, two)).by_section["pool"])
    return found


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(("unstable", "n"), [(0.02, 1000), (0.2, 1000), (0.1, 300)])
def test_another_run_of_the_same_model_is_not_flagged(write: Write, unstable: float, n: int, own: bool) -> None:
    template = compare(write("a", set(), n=20), write("b", {1}, n=20))
    found = draws(template, unstable, 0.0, 0.0, n, 600, own)
    assert np.mean([item.exceeded for item in found]) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 600)


def translated(
    template: Comparison,
    correlation: float,
    questions: int,
    unstable: float,
    count: int,
    own: bool,
    sampled: bool = False,
) -> list[Noise]:
    """One question in six languages; what turns a run's answers is shared by the languages to this correlation."""
    rng, found = np.random.default_rng(5), []
    clusters = np.arange(6 * questions) // 6
    for _ in range(count):
        size = (questions, 6)
        level = np.where(
            rng.random(questions) < unstable, rng.normal(0, 0.7, questions), rng.choice([-9.0, 9.0], questions)
        )

        def run(level: Any = level, size: Any = size) -> Integers:
            shared, alone = rng.normal(size=(questions, 1)), rng.normal(size=size)
            drawn = np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * alone
            return np.asarray(drawn < level[:, None], dtype=np.int64).reshape(-1)

        before, after, one, two = (run() for _ in range(4))
        pair, noise = ((before, after), (before if own else one, two))
        comparisons = [answered(template, *answers, clusters, sampled) for answers in (pair, noise)]
        found.append(beside_noise(*comparisons).by_section["acc" if sampled else "pool"])
    return found


@pytest.mark.parametrize(
    ("correlation", "questions", "unstable", "own"),
    [
        (0.2, 200, 0.4, False),
        (0.5, 200, 0.4, False),
        (0.8, 200, 0.4, True),
        (0.8, 200, 0.4, False),
        (0.8, 60, 0.1, False),
    ],
)
def test_one_question_in_six_languages_is_not_six(
    write: Write, correlation: float, questions: int, unstable: float, own: bool
) -> None:
    """More harmful turns in at most 5.5 % of runs of the same model, and a difference of the two runs as rarely."""
    template = compare(write("a", set(), n=20), write("b", {1}, n=20))
    found = translated(template, correlation, questions, unstable, 300, own)
    error = 2 * np.sqrt(0.05 * 0.95 / 300)
    assert found[0].excess.unit == "question cluster"
    assert np.mean([item.exceeded for item in found]) <= 0.055 + error
    assert np.mean([item.difference_p <= 0.05 for item in found]) <= 0.055 + error


def test_sampled_tasks_are_what_turns_together(write: Write) -> None:
    """Twelve tasks of six questions each that turn together in a run."""
    template = compare(write("a", set(), n=20), write("b", {1}, n=20))
    found = translated(template, 0.8, 12, 0.6, 200, own=False, sampled=True)
    error = 2 * np.sqrt(0.05 * 0.95 / 200)
    assert found[0].excess.unit == "cluster"
    assert np.mean([item.p <= 0.05 for item in found]) <= 0.055 + error
    assert np.mean([item.difference_p <= 0.05 for item in found]) <= 0.055 + error


def test_clusters_by_hand(write: Write) -> None:
    """Two questions of each passage: 0 … 9 turn wrong, five passages; 20 … 23 differ between the two runs, two passages."""
    clusters = np.arange(N) // 2
    before, after, one, two = np.ones((4, N), dtype=np.int64)
    after[:10], two[20:24] = 0, 0
    template = compare(write("a", set(), n=20), write("b", {1}, n=20))
    pair = answered(template, before, after, clusters)
    found = beside_noise(pair, answered(template, one, two, clusters)).by_section["pool"]
    assert (found.harmful, found.turned, found.only_harmful, found.only_turned) == (10, 4, 10, 4)
    # One question of each passage with four answers that are not alike: five harmful turns of seven.
    assert found.p == pytest.approx(binomtest(5, 7, 1 / 3, alternative="greater").pvalue)
    # Two sums of -2: both or none have this sign in two of four patterns.
    assert found.difference_p == pytest.approx(0.5)
    sums = (before * (1 - after) - np.abs(two - one) / 2).reshape(-1, 2).sum(axis=1)
    assert found.excess.se == pytest.approx(sums.std(ddof=1) / 10 / 2)


def test_a_task_among_several_exceeds_the_noise_after_holm(write: Write, call, tmp_path: Path) -> None:
    """Four tasks, of which one has p = 1/27: alone it would exceed the noise."""
    for name, wrong in (("before", set[int]()), ("after", {1, 2, 3}), ("one", set[int]()), ("two", set[int]())):
        for task in "abcd":
            write(name, wrong if task == "a" else set(), task, 50)
    folders = [tmp_path / name for name in ("before", "after", "one", "two")]
    _, out, _ = call(
        "compare", *folders[:2], "--cluster", "none", "--noise", *folders[2:], "--json", tmp_path / "x.json"
    )
    found = json.loads((tmp_path / "x.json").read_text())["noise"]["by_section"]
    assert (found["a"]["p"], found["a"]["p_holm"]) == pytest.approx((1 / 27, 4 / 27))
    assert found["a"]["exceeded"] is False
    assert "more than between two runs in 0 of 4 tasks (Holm)" in out
    assert found["overall"]["p_holm"] is None
    assert found["overall"]["exceeded"] is True


def test_a_harmful_change_is_flagged(write: Write) -> None:
    template = compare(write("a", set(), n=20), write("b", {1}, n=20))
    assert np.mean([item.exceeded for item in draws(template, 0.2, -1.5, 0.0, 1000, 100)]) > 0.9


@pytest.mark.parametrize("runs", [0.0, 0.5, 3.0])
def test_the_interval_over_other_runs_holds_where_runs_differ_as_wholes(write: Write, runs: float) -> None:
    template = compare(write("a", set(), n=20), write("b", {1}, n=20))
    found = [item.change for item in draws(template, 0.2, 0.0, runs, 1000, 500)]
    missed = [
        not item.ci_low <= 0 <= item.ci_high for item in found if item.ci_low is not None and item.ci_high is not None
    ]
    assert np.mean(missed) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 500)


def test_the_interval_over_other_runs_at_any_share_of_their_variance() -> None:
    """Normal changes: the run's variance from none to a hundred times that of the questions."""
    rng, quantile = np.random.default_rng(3), t.ppf(0.975, 1)
    for share in (0.0, 0.3, 1.0, 3.0, 10.0, 100.0):
        change, difference = rng.normal(0, np.sqrt(1 + share), (2, 40_000))
        assert np.mean(np.abs(change) > np.hypot(1.96, quantile * difference)) <= 0.0525
    wide = with_run_variance(paired_change(20, 10, 1000), 0.0, 0.95)
    assert wide.ci_low == pytest.approx(paired_change(20, 10, 1000).ci_low)


def test_the_program_says_it_and_a_policy_fails_only_beyond_the_noise(write: Write, call, tmp_path: Path) -> None:
    before, after = write("before", set()), write("after", set(range(30)))
    gate = tmp_path / "gate.yaml"
    gate.write_text("margin: 2 points\nrules: [{tasks: pool}, {groups: overall, measure: kl, at_most: 0.001 nats}]")
    quiet, loud = ((write(f"{name}-one", set()), write(f"{name}-two", wrong)) for name, wrong in
                   (("quiet", {50}), ("loud", set(range(80)))))  # fmt: skip
    arguments = ("compare", before, after, "--policy", gate)
    assert call(*arguments)[0] == 1
    code, out, _ = call(*arguments, "--noise", *quiet)
    assert code == 1
    assert "overall, noise: 15.0 % of 200 answers turn from right to wrong, 0.2 % each way" in out
    assert "two runs give one difference" in out
    code, out, err = call(*arguments, "--noise", *loud, "--json", tmp_path / "x.json")
    assert code == 3
    assert "not shown to be more than two runs of the same model show" in err
    assert "the two runs differ as wholes in overall" in out
    stored = json.loads((tmp_path / "x.json").read_text())
    assert stored["noise"]["by_section"]["pool"]["exceeded"] is False
    assert {item["outcome"] for item in stored["policy"]["rules"]} == {"inconclusive"}
    # With the variance between runs in the interval, even 15 points are not more than runs that differ by 40.
    gate.write_text("noise: runs\nmargin: 2 points\nrules: [{tasks: pool}]")
    assert call(*arguments, "--noise", *loud)[0] == 3
    assert call(*arguments, "--noise", *quiet)[0] == 1
    assert "noise" in call("compare", before, after, "--noise", *loud, "--format", "markdown")[1]
    # The page says it without a gate as well.
    assert call("compare", before, after, "--noise", *quiet, "--out", tmp_path / "report")[0] == 0
    for name in ("report.html", "report.md"):
        assert "0.2 % each way between two runs of the same model" in (tmp_path / "report" / name).read_text()
