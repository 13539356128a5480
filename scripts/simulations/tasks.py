"""Draws of samples of tasks: fixed ones, and sampled ones such as the subjects of MMLU."""

from __future__ import annotations

import numpy as np

from consistency.statistics.bootstrap import bootstrap_interval
from consistency.statistics.means import independent_difference, mean, root_mean_square
from consistency.statistics.task_means import macro_mean
from consistency.support.arrays import Floats, Integers
from simulations.draws import SIZES, Table, covers, differences, seed_of, sizes_of


def divergences(rng: np.random.Generator, sizes: Integers) -> tuple[Floats, Integers]:
    """Skewed positive values, such as KL, around subjects' levels; the true mean is 1."""
    subject = np.repeat(np.arange(len(sizes)), sizes)
    level = rng.gamma(20, 1 / 20, len(sizes))
    return level[subject] * rng.exponential(1.0, len(subject)), subject


def of_fixed_tasks(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Tasks with levels of their own, skewed values within."""
    sizes = sizes_of(g, equal=False)
    level = np.linspace(0, 1, g)
    task = np.repeat(np.arange(g), sizes)
    x = level[task] + rng.exponential(1, len(task)) - 1
    return (
        covers(mean(x, strata=task), float(level @ sizes / sizes.sum())),
        covers(macro_mean(x, task, strata=task), 0.5),
    )


def of_equal_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Subjects of one size."""
    x, subject = differences(rng, sizes_of(g, equal=True))
    return covers(mean(x, tasks=subject), 0), covers(mean(x, tasks=subject, variance="CR1"), 0)


def of_unequal_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Subjects of MMLU's sizes."""
    x, subject = differences(rng, sizes_of(g, equal=False))
    cr3 = mean(x, tasks=subject)
    resampled = bootstrap_interval(x, clusters=subject, resamples=499, seed=seed_of(rng))
    other, others = differences(rng, sizes_of(g, equal=False))
    return (
        covers(cr3, 0),
        covers(mean(x, tasks=subject, variance="CR1"), 0),
        covers(resampled, 0),
        covers(macro_mean(x, subject), 0),
        covers(independent_difference(cr3, mean(other, tasks=others)), 0),
    )


def of_skewed_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Skewed values in subjects of MMLU's sizes."""
    x, subject = divergences(rng, sizes_of(g, equal=False))
    resampled = bootstrap_interval(x, clusters=subject, resamples=499, seed=seed_of(rng))
    changes = np.sqrt(x) * rng.choice([-1.0, 1.0], len(x))
    return (
        covers(mean(x, tasks=subject), 1),
        covers(mean(x, tasks=subject, variance="CR1"), 1),
        covers(resampled, 1),
        covers(root_mean_square(changes, tasks=subject), 1),
    )


def of_resampled_medians(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Medians over subjects of two questions."""
    subject = np.repeat(np.arange(g), 2)
    x = rng.normal(size=2 * g) + rng.normal(size=g)[subject]
    found = bootstrap_interval(x, median, clusters=subject, resamples=199, seed=seed_of(rng))
    return (covers(found, 0),)


def median(x: Floats) -> float:
    """`numpy.median` of an even number of values in a fraction of the time."""
    middle = len(x) // 2
    return float(np.partition(x, (middle - 1, middle))[middle - 1 : middle + 1].mean())


TABLES: dict[str, Table] = {
    "Coverage of 95 % intervals, by number of tasks or subjects": (
        SIZES,
        [
            (of_fixed_tasks, ("mean, fixed tasks (strata)", "macro mean, fixed tasks")),
            (of_equal_subjects, ("mean, equal subjects, CR3 (the default)", "mean, equal subjects, CR1")),
            (
                of_unequal_subjects,
                (
                    "mean, unequal subjects, CR3 (the default)",
                    "mean, unequal subjects, CR1",
                    "mean, unequal subjects, bootstrap-t",
                    "macro mean, unequal subjects",
                    "difference of independent means, unequal subjects",
                ),
            ),
            (
                of_skewed_subjects,
                (
                    "mean of skewed values, unequal subjects, CR3 (the default)",
                    "mean of skewed values, unequal subjects, CR1",
                    "mean of skewed values, unequal subjects, bootstrap-t",
                    "RMS, unequal subjects",
                ),
            ),
            (of_resampled_medians, ("BCa bootstrap, median",)),
        ],
    ),
}
