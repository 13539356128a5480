"""Draws of samples of questions: means, shares, changes of shares, and metrics that are no means."""

from __future__ import annotations

import math

import numpy as np

from consistency.metrics.aggregates import of_classes, of_numbers, of_weighted
from consistency.statistics.bootstrap import bootstrap_interval
from consistency.statistics.jackknife import aggregate, aggregate_change
from consistency.statistics.means import independent_difference, mean, root_mean_square
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.shares import wilson
from simulations.draws import SIZES, Table, covers, differences, seed_of, within


def of_flips(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """The mean of flips of answers."""
    return (covers(mean(differences(rng, np.ones(n, dtype=np.int64))[0]), 0),)


def of_values(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Means of questions' values that are more and more skewed, and the difference of two independent ones."""
    normal, long = rng.normal(1, 1, n), rng.normal(1, 2, 2 * n)
    return (
        covers(mean(normal), 1),
        covers(mean(rng.gamma(4, 0.25, n)), 1),
        covers(mean(rng.exponential(1.0, n)), 1),
        covers(root_mean_square(normal - 1), 1),
        covers(independent_difference(mean(normal), mean(long)), 0),
    )


def of_shares(rng: np.random.Generator, n: int) -> tuple[bool | None]:
    """A share whose truth is any between 0 and 1."""
    truth = rng.random()
    found = wilson(int(rng.binomial(n, truth)), n)
    return (within(found.ci_low, truth, found.ci_high),)


def of_changed_shares(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """The change of accuracy where many, few and hardly any answers turn, more of them one way."""
    found = []
    for losing, winning in ((0.15, 0.1), (0.02, 0.01), (0.003, 0.001)):
        lost, won, _ = rng.multinomial(n, [losing, winning, 1 - losing - winning])
        found.append(covers(paired_change(int(lost), int(won), n), winning - losing))
    return tuple(found)


def of_aggregates(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Metrics that are no means: perplexities of skewed likelihoods, F1 and Matthews' correlation, and paired changes."""
    likelihood = -rng.gamma(2, 0.9, n)
    later = likelihood - rng.exponential(0.2, n)
    words = rng.integers(20, 2000, n)
    per_word = -words * rng.gamma(4, 0.45, n)
    gold = rng.random(n) < 0.4
    # Two classifiers with errors in common.
    u = rng.random(n)
    first, second = np.where(u < 0.2, ~gold, gold), np.where(u < 0.3, ~gold, gold)
    before, after = (of_numbers("perplexity", x) for x in (likelihood, later))
    f1 = [of_classes("f1", gold.tolist(), side.tolist()) for side in (first, second)]
    correlation = of_classes("matthews_corrcoef", gold.tolist(), first.tolist())
    return (
        covers(aggregate(before), math.exp(1.8)),
        covers(aggregate_change(before, after), math.exp(2.0) - math.exp(1.8)),
        covers(aggregate(of_weighted("weighted_perplexity", np.column_stack([per_word, words]))), math.exp(1.8)),
        covers(aggregate(f1[0]), f1_of(0.2)),
        covers(aggregate_change(f1[0], f1[1]), f1_of(0.3) - f1_of(0.2)),
        covers(aggregate(correlation), (0.32 * 0.48 - 0.12 * 0.08) / math.sqrt(0.44 * 0.4 * 0.6 * 0.56)),
    )


def f1_of(error: float) -> float:
    """F1 where 40 % of the questions are of the class, and each is wrong with this probability."""
    right, missed, false = 0.4 * (1 - error), 0.4 * error, 0.6 * error
    return 2 * right / (2 * right + missed + false)


def of_resampled_questions(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """BCa bootstraps; the median of exponential values is log 2."""
    x = rng.exponential(1.0, n)
    average = bootstrap_interval(x, resamples=499, seed=seed_of(rng))
    median = bootstrap_interval(x, np.median, resamples=499, seed=seed_of(rng))
    return covers(average, 1), covers(median, math.log(2))


TABLES: dict[str, Table] = {
    "Coverage of 95 % intervals, by number of questions": (
        SIZES,
        [
            (of_flips, ("mean of flips",)),
            (
                of_values,
                (
                    "mean of normal values",
                    "mean of skewed values (gamma, 4)",
                    "mean of exponential values",
                    "RMS of normal values",
                    "difference of independent means (Welch)",
                ),
            ),
            (of_shares, ("share (Wilson), any true share",)),
            (
                of_changed_shares,
                (
                    "change of a share (score), 25 % turn",
                    "change of a share (score), 3 % turn",
                    "change of a share (score), 0.4 % turn",
                ),
            ),
            (
                of_aggregates,
                (
                    "perplexity of skewed likelihoods",
                    "change of perplexity",
                    "perplexity per word, texts of unequal length",
                    "F1",
                    "change of F1",
                    "Matthews' correlation",
                ),
            ),
            (
                of_resampled_questions,
                (
                    "BCa bootstrap, mean of exponential values",
                    "BCa bootstrap, median of exponential values",
                ),
            ),
        ],
    ),
}
