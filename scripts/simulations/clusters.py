"""Draws of questions that share a passage, and of tasks that ask the same questions."""

from __future__ import annotations

import numpy as np

from consistency.statistics.hypotheses import sign_flip_test
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares, equivalence_of_shares
from consistency.statistics.task_means import macro_mean
from consistency.support.arrays import Floats, Integers
from simulations.draws import Table, covers

SIZES = (100, 300, 2000)


def turned(
    rng: np.random.Generator, clusters: Integers, rate: float, alike: float, loss: float = 0.0
) -> tuple[Floats, Floats]:
    """Answers before and after: a share turns, half each way, `loss` more are lost; their correlation within clusters.

    Some clusters are hit, in one direction; in those each question turns with a probability of `alike`.
    """
    n = len(clusters)
    hit = (
        rng.random(clusters.max() + 1) < min(rate, 0.8 * alike) / alike if alike else np.zeros(clusters.max() + 1, bool)
    )
    side = rng.choice([-1.0, 1.0], clusters.max() + 1)
    change = np.where(hit[clusters] & (rng.random(n) < alike), side[clusters], 0.0)
    alone = (rate - min(rate, 0.8 * alike)) / (1 - min(rate, 0.8 * alike))
    u = rng.random(n)
    change = np.where(change == 0, np.where(u < alone / 2, -1.0, np.where(u < alone, 1.0, 0.0)), change)
    change = np.where((change == 0) & (rng.random(n) < loss / (1 - rate)), -1.0, change)
    before = np.where(change == 0, rng.random(n) < 0.6, change < 0).astype(float)
    return before, before + change


def passages(rng: np.random.Generator, n: int, questions: int) -> Integers:
    """The passage of each question, of a few or many questions each."""
    sizes = 1 + rng.poisson(questions - 1, n)
    return np.repeat(np.arange(n), sizes)[:n]


def misled(before: Floats, after: Floats, clusters: Integers | None) -> bool:
    """Whether the verdict says that accuracy changed: the interval excludes 0, and the sign-flip test rejects."""
    found = change_of_shares(before, after, clusters=clusters)
    return not covers(found, 0) and sign_flip_test(after - before, clusters=clusters, resamples=499) < 0.05


def of_passages(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """The change of accuracy over passages of five and of fifteen questions, with many and few flips, correlated .2."""
    out = []
    for size, rate in ((5, 0.2), (5, 0.02), (15, 0.2)):
        clusters = passages(rng, n, size)
        before, after = turned(rng, clusters, rate, 0.2)
        out.append(covers(change_of_shares(before, after, clusters=clusters), 0))
    clusters = passages(rng, n, 5)
    level = rng.gamma(4, 0.25, clusters.max() + 1)
    return (*out, covers(mean(level[clusters] * rng.gamma(4, 0.25, n), clusters=clusters), 1.0))


def of_translations(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Means over ten tasks that ask the same questions: fixed tasks, their macro mean, sampled tasks."""
    question, task = np.tile(np.arange(n // 10), 10), np.repeat(np.arange(10), n // 10)
    shared = rng.gamma(4, 0.25, n // 10)[question] + rng.normal(0, 0.3, len(question))
    sampled = shared + rng.normal(0, 0.2, 10)[task]
    return (
        covers(mean(shared, clusters=question), 1),
        covers(macro_mean(shared, task, strata=task, clusters=question), 1),
        covers(mean(sampled, tasks=task, clusters=question), 1),
        covers(mean(sampled, tasks=task), 1),
    )


def by_passages(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """False verdicts over passages; and equivalence where the margin is lost."""
    clusters = passages(rng, n, 5)
    before, after = turned(rng, clusters, 0.2, 0.2)
    lost_before, lost_after = turned(rng, clusters, 0.005, 0.2, loss=0.02)
    found = change_of_shares(lost_before, lost_after, clusters=clusters)
    lost, won = int((lost_after < lost_before).sum()), int((lost_after > lost_before).sum())
    same = equivalence_of_shares(lost, won, n, 0.02, effective_n=found.effective_n, df=found.df)
    return misled(before, after, clusters), misled(before, after, None), same < 0.05


def by_translations(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """False verdicts over tasks that ask the same questions: in ten languages, and under two names."""
    out = []
    for tasks, alike in ((10, 0.5), (2, 1.0)):
        question = np.tile(np.arange(n // tasks), tasks)
        before, after = turned(rng, question, 0.2, alike)
        out += [misled(before, after, question), misled(before, after, None)]
    return tuple(out)


TABLES: dict[str, Table] = {
    "Coverage of 95 % intervals where questions share something, by number of questions": (
        SIZES,
        [
            (
                of_passages,
                (
                    "change of a share, passages of 5, 20 % turn",
                    "change of a share, passages of 5, 2 % turn",
                    "change of a share, passages of 15, 20 % turn",
                    "mean of skewed values, passages of 5",
                ),
            ),
            (
                of_translations,
                (
                    "mean, ten tasks of the same questions",
                    "macro mean, ten tasks of the same questions",
                    "mean, ten sampled tasks of the same questions",
                    "the same, without the questions in common",
                ),
            ),
        ],
    ),
    "False verdicts where questions share something, and rejections at 5 %, by number of questions": (
        SIZES,
        [
            (
                by_passages,
                (
                    "passages of 5",
                    "the same, every question counted alone",
                    "equivalence of shares at a margin of 2 points, passages of 5",
                ),
            ),
            (
                by_translations,
                (
                    "ten tasks of the same questions, correlated .5",
                    "the same, every question counted alone",
                    "the same questions under two names",
                    "the same, every question counted alone",
                ),
            ),
        ],
    ),
}
