"""Draws of many runs compared with one reference: intervals that hold together, rankings, the first harmful run of a series."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from consistency.comparison.clusters import ItemClusters
from consistency.comparison.many.answers import Answers, TaskAnswers
from consistency.comparison.many.compare import compare_answers
from consistency.comparison.many.values import Change
from consistency.comparison.runs import ComparedRun
from consistency.logs.folders import Selection
from consistency.logs.run_config import RunConfig
from consistency.statistics.best import Differences, probabilities_of_best, resampled_means
from consistency.support.arrays import Bools, Floats
from simulations.draws import Table, covers, seed_of

RUNS, TASKS, PASSAGE = 6, 5, 5
# Shares of the questions whose answers turn at all, and points by which the runs of a series change among these.
UNSTABLE = 0.2
HARM = (0.0, 0.0, 0.0, 0.1, 0.2, 0.3)
RESAMPLES = 1000
# Of the true accuracies of runs, in standard errors of a difference.
SPREADS, BROKEN = (0.0, 1.0, 3.0), -1.0


def answers_of(rng: np.random.Generator, n: int, shifts: Floats, alike: float = 0.0) -> tuple[Floats, Floats]:
    """The answers of a reference and of each run to n questions: a fifth of them are answered anew, by each run for itself.

    Parameters
    ----------
    rng : Generator
    n : int
    shifts : ndarray, shape [runs]
        By how much more than one half of the questions that are answered anew a run answers right.
    alike : float
        The correlation of the answers to five questions of a passage.
    """
    passages = np.arange(n) // PASSAGE
    unstable = rng.random(passages.max() + 1)[passages] < UNSTABLE if alike else rng.random(n) < UNSTABLE

    def answered(shift: float) -> Bools:
        from scipy.special import ndtri

        shared = rng.normal(size=passages.max() + 1)[passages]
        level = np.sqrt(alike) * shared + np.sqrt(1 - alike) * rng.normal(size=n)
        return np.asarray(level < ndtri(0.5 + shift))

    stable = rng.random(n) < 0.7
    before = np.where(unstable, answered(0.0), stable)
    after = np.column_stack([np.where(unstable, answered(float(shift)), stable) for shift in shifts])
    return np.tile(before[:, None], (1, len(shifts))).astype(np.float64), after.astype(np.float64)


def answers_to(rng: np.random.Generator, n: int, shifts: Floats, alike: float = 0.0) -> Answers:
    """The answers of runs to several tasks of n questions each."""

    def run(label: str) -> ComparedRun:
        return ComparedRun(label, label, RunConfig(), Selection("", ()), {"task": Path(label)})

    tasks = []
    for number in range(TASKS):
        before, after = answers_of(rng, n, shifts, alike)
        labels = number * n + np.arange(n) // PASSAGE
        clusters = ItemClusters(labels, np.arange(number * n, (number + 1) * n)) if alike else None
        held = tuple(range(len(shifts)))
        tasks.append(
            TaskAnswers(f"task {number}", held, np.arange(n), before, after, (), "exact_match", False, clusters)
        )
    runs = tuple(run(f"run {number}") for number in range(len(shifts)))
    return Answers(run("reference"), runs, tuple(tasks), (), ())


def of_many(rng: np.random.Generator, n: int, alike: float = 0.0) -> tuple[bool, ...]:
    """Three runs like the reference and three that are worse and worse, in five tasks."""
    shifts = -np.array(HARM)
    answers = answers_to(rng, n, shifts, alike)
    positions = {run.label: float(place) for place, run in enumerate(answers.runs)}
    found = compare_answers(answers, positions, every=True, resamples=2)
    truth = dict(zip((run.label for run in answers.runs), (UNSTABLE * shifts).tolist(), strict=True))
    single = [(truth[label], change) for changes in found.by_task.values() for label, change in changes.items()]
    overall = [(truth[label], change) for label, change in found.overall.items()]
    assert found.series is not None
    first = [trend.first_harmful for trend in found.series.trends.values()]
    slope = UNSTABLE * _slope(shifts)
    return (
        *(all(covers(change.simultaneous, true) for true, change in some) for some in (overall, single)),
        *(_any_false(some) for some in (overall, single)),
        truth[first[0]] == 0 if first[0] else False,
        any(truth[label] == 0 for label in first[1:] if label),
        all(covers(trend.change, slope) for name, trend in found.series.trends.items() if name in found.by_task),
    )


def of_many_clustered(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """The same, with passages of five questions."""
    return of_many(rng, n, 0.5)


def _slope(shifts: Floats) -> float:
    """The change along the line through all positions."""
    x = np.arange(len(shifts), dtype=np.float64)
    return float(np.polyfit(x, shifts, 1)[0] * (x[-1] - x[0]))


def _any_false(changes: list[tuple[float, Change]]) -> bool:
    """Whether any run that is like the reference is found to differ from it, by the p beside the intervals."""
    return any(true == 0 and change.p_simultaneous < 0.05 for true, change in changes)


def of_best(rng: np.random.Generator, n: int) -> tuple[float | bool, ...]:
    """Nine runs whose true accuracies are alike, differ as much as by chance, or three times as much; or of which two broke.

    The true probability of the run that is stated to be the best: where several are the best, each is with the same share.
    """
    outcomes: list[float | bool] = []
    for spread in (*SPREADS, BROKEN):
        # What the difference of two runs seems to be by chance.
        chance = float(np.sqrt(UNSTABLE / 2 / n))
        shifts = np.where(np.arange(9) < 2, -0.5, 0.0)
        if spread != BROKEN:
            shifts = rng.normal(0, spread * chance / UNSTABLE, 9).clip(-0.5, 0.5)
        _, right = answers_of(rng, n, shifts)
        chances = probabilities_of_best(right, np.arange(n), RESAMPLES, seed_of(rng))
        resampled = resampled_means(right, np.arange(n), RESAMPLES, seed_of(rng))
        differences, best = Differences(right.mean(axis=0), resampled, n), shifts == shifts.max()
        outcomes += [float(chances.max()), float(best[chances.argmax()] / best.sum())]
        if spread:
            outcomes.append(bool((differences.best_set()[best] >= 0.05).all()))
        else:
            outcomes += [bool((differences.best_set() < 0.05).any()), bool(differences.told_apart().any())]
    return tuple(outcomes)


_OF_MANY = (
    "all intervals of all tasks together contain the true changes",
    "all intervals of single tasks contain the true changes",
    "any run like the reference differs from it in all tasks together (p, joint)",
    "any run like the reference differs from it in a single task (p, joint)",
    "the first harmful run is not harmful, all tasks together",
    "the first harmful run of any single task is not harmful",
    "all intervals of trends of single tasks contain the true ones",
)
_OF_BEST = (
    "nine alike: the largest probability of being the best that is stated",
    "nine alike: that run is the best, which all are in equal shares",
    "nine alike: any is not in the set of the best",
    "nine alike: any two are told apart",
    *(
        f"{differ}: {what}"
        for differ in (
            "accuracies differ as much as by chance",
            "accuracies differ three times as much",
            "seven alike, two lose 10 points",
        )
        for what in (
            "the largest probability of being the best that is stated",
            "that run is the best",
            "the set of the best holds the best",
        )
    ),
)
TABLES: dict[str, Table] = {
    "Many runs, by number of questions of each task": (
        (100, 300, 1000),
        [
            (of_many, tuple(f"{RUNS} runs, {TASKS} tasks: {what}" for what in _OF_MANY)),
            (of_many_clustered, tuple(f"passages of {PASSAGE} questions: {what}" for what in _OF_MANY)),
        ],
    ),
    "The best of many runs, by number of questions": (
        (100, 1000),
        [(of_best, _OF_BEST)],
    ),
}
