"""How often intervals contain the truth and tests reject a true null, by simulation; also for the paper's tests.

    python scripts/simulate_statistics.py                                 # all, 20,000 draws for each figure
    python scripts/simulate_statistics.py --draws 500                     # a look
    python scripts/simulate_statistics.py --only subjects --keep FILE     # some; figures in FILE are not drawn again

Prints Markdown tables. An interval should cover in 93.5 to 96.5 % of the draws, a test should reject in at most 5.5 %. The
questions of a subject are alike, since each subject has a difficulty of its own; unequal subjects have the sizes of MMLU's
(scaled down), where one of 57 has a ninth of all questions.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, stdtrit
from simulate_options import TABLES as OF_OPTIONS

from consistency.comparison.decision import Outcome, judge
from consistency.comparison.noise import with_run_variance
from consistency.comparison.pairing import PairingReport
from consistency.comparison.policy import Policy, Rule
from consistency.comparison.quantities import quantity_named
from consistency.comparison.result import Comparison, TaskNames
from consistency.comparison.section import Section
from consistency.comparison.sentences import ALPHA, ALPHA_OF_DIFFERENCES, ALPHA_OF_TASKS
from consistency.logs.folders import Selection
from consistency.logs.run_config import RunConfig
from consistency.metrics.aggregates import of_classes, of_numbers, of_weighted
from consistency.statistics.bootstrap import bootstrap_interval
from consistency.statistics.crossed import CrossedMean, crossed_mean
from consistency.statistics.estimates import Estimate, independent_difference, mean, root_mean_square
from consistency.statistics.hypotheses import (
    benjamini_hochberg,
    equivalence,
    holm,
    mcnemar_exact,
    sign_flip_test,
    t_test,
)
from consistency.statistics.jackknife import aggregate, aggregate_change
from consistency.statistics.paired_shares import (
    change_of_shares,
    differing_changes,
    equivalence_of_shares,
    paired_change,
    power_of_equivalence,
)
from consistency.statistics.partial_correlation import PartialCorrelation, partial_correlation
from consistency.statistics.power import fewest_questions, fewest_seeds, power_of_flips, power_of_seeds
from consistency.statistics.selection import selected_confidence
from consistency.statistics.shares import clopper_pearson, larger_share, wilson
from consistency.statistics.spending import SPENDINGS, spent
from consistency.statistics.tails import bounded_macro_means, bounded_means, doubted, trimmed_mean
from consistency.statistics.task_means import macro_mean
from consistency.support.arrays import Floats, Integers
from consistency.support.files import write_atomically

Draw = Callable[[np.random.Generator, int], tuple[float | bool | None, ...]]
# Questions of MMLU's 57 test sets, in tens.
MMLU = np.array(
    "10 14 15 10 27 14 10 10 10 17 10 10 24 11 15 38 13 10 31 20 10 17 20 19 39 27 15 24 55 22 20 24 22 13 12 11 16 11"
    " 10 23 10 78 35 90 31 31 32 28 153 27 61 11 25 20 10 17 17".split(),
    dtype=np.int64,
)
CHUNKS = 40


def sizes_of(groups: int, *, equal: bool) -> Integers:
    """Questions of each subject."""
    if equal:
        return np.full(groups, 25)
    chosen = np.linspace(0, 56, groups).astype(int) if groups < 57 else np.arange(groups) % 57
    return np.asarray(MMLU[chosen], dtype=np.int64)


def differences(rng: np.random.Generator, sizes: Integers, shift: float = 0.0) -> tuple[Floats, Integers]:
    """Flips (-1, 0, 1) with a true mean of `shift`, their chances the subject's own, and each question's subject."""
    subject = np.repeat(np.arange(len(sizes)), sizes)
    up = 0.15 + shift / 2 + rng.uniform(-0.1, 0.1, len(sizes))
    down = 0.15 - shift / 2 + rng.uniform(-0.1, 0.1, len(sizes))
    u = rng.random(len(subject))
    return (u < up[subject]).astype(float) - (u > 1 - down[subject]), subject


def divergences(rng: np.random.Generator, sizes: Integers) -> tuple[Floats, Integers]:
    """Skewed positive values, such as KL, around subjects' levels; the true mean is 1."""
    subject = np.repeat(np.arange(len(sizes)), sizes)
    level = rng.gamma(20, 1 / 20, len(sizes))
    return level[subject] * rng.exponential(1.0, len(subject)), subject


def within(low: float | None, truth: float, high: float | None) -> bool | None:
    """Whether the truth is inside an interval; None where there is no interval."""
    return None if low is None or high is None else low <= truth <= high


def covers(estimate: Estimate, truth: float) -> bool:
    """Whether the interval contains the truth."""
    return bool(within(estimate.ci_low, truth, estimate.ci_high))


# Draws: a number of questions, subjects or runs in, outcomes (true or false) out, one for each name of `TABLES`.


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


def of_changed_shares(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """The change of accuracy where many, few and hardly any answers turn, more of them one way."""
    found = []
    for losing, winning in ((0.15, 0.1), (0.02, 0.01), (0.003, 0.001)):
        lost, won, _ = rng.multinomial(n, [losing, winning, 1 - losing - winning])
        found.append(covers(paired_change(int(lost), int(won), n), winning - losing))
    return tuple(found)


def of_margins(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Equivalence where exactly the margin of 10 and of 2 points is lost, with few flips besides; and tasks that change alike."""
    found = []
    for margin in (0.1, 0.02):
        lost, won, _ = rng.multinomial(n, [margin + 0.003, 0.003, 0.994 - margin])
        found.append(equivalence_of_shares(int(lost), int(won), n, margin) < 0.05)
    flipping = rng.uniform(0.02, 0.3, n)
    sizes = sizes_of(n, equal=False) * 4
    turned = np.array(
        [rng.multinomial(m, [f / 2 + 0.005, f / 2 - 0.005, 1 - f]) for m, f in zip(sizes, flipping, strict=True)]
    )
    p = differing_changes(turned[:, 0], turned[:, 1], sizes)
    return (*found, p is not None and p < 0.05)


# Divergences: most are small, and the rare large ones lie between 3 and 15 nats.
SMALL, LARGEST = 0.05, 15.0
RATES = (0.0, 0.001, 0.01, 0.05)


def rarely_large(rng: np.random.Generator, n: int, rate: float) -> Floats:
    """Exponential values, of which some are confident reversals; their mean is (1 - rate) * SMALL + rate * 9."""
    return np.where(rng.random(n) < rate, rng.uniform(3, LARGEST, n), rng.exponential(SMALL, n))


def middle_of(rate: float) -> float:
    """The mean of the middle three fifths of such values."""
    low, high = (-math.log(1 - share / (1 - rate)) for share in (0.2, 0.8))
    return SMALL * (1 - rate) / 0.6 * ((low + 1) * math.exp(-low) - (high + 1) * math.exp(-high))


def of_rare_values(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Means of values of which few are far larger: corrected for skewness, and allowing for those that were not seen."""
    outcomes: list[bool | None] = []
    for rate in RATES:
        x, truth = rarely_large(rng, n, rate), (1 - rate) * SMALL + rate * 9
        corrected, (bounded,), trimmed = mean(x), bounded_means([x], [(0.0, LARGEST)]), trimmed_mean(x)
        outcomes += [covers(corrected, truth), covers(bounded, truth), covers(trimmed, middle_of(rate))]
    return tuple(outcomes)


def of_long_tails(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Means of gamma, lognormal and Pareto values, cut at the largest possible."""
    outcomes = [covers(bounded_means([rng.gamma(4, SMALL / 4, n)], [(0.0, LARGEST)])[0], SMALL)]
    for sd in (1.0, 1.5, 2.0):
        x = np.minimum(SMALL * rng.lognormal(0, sd, n), LARGEST)
        at = math.log(LARGEST / SMALL) / sd
        truth = SMALL * math.exp(sd**2 / 2) * float(ndtr(at - sd)) + LARGEST * float(ndtr(-at))
        outcomes.append(covers(bounded_means([x], [(0.0, LARGEST)])[0], truth))
    x = np.minimum(SMALL * (1 + rng.pareto(2.5, n)), LARGEST)
    truth = SMALL * 2.5 / 1.5 - SMALL**2.5 * LARGEST**-1.5 / 1.5
    outcomes.append(covers(bounded_means([x], [(0.0, LARGEST)])[0], truth))
    return tuple(outcomes)


def of_doubted_changes(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Changes of a probability, small but for rare questions that lose it: a t interval where it is not doubted."""
    outcomes: list[bool | None] = []
    for sd, rate in ((0.03, 0.001), (0.03, 0.01), (0.2, 0.01), (0.2, 0.0)):
        x = np.where(rng.random(n) < rate, -0.9, rng.normal(0, sd, n).clip(-1, 1))
        found = doubted(mean(x), -1.0, 1.0)
        warned = bool(found.warnings)
        outcomes += [None if warned else covers(found, -0.9 * rate), warned]
    return tuple(outcomes)


def of_rare_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Such values in subjects of MMLU's sizes, all with the same share of large ones; over the subjects as well."""
    subject = np.repeat(np.arange(g), sizes_of(g, equal=False))
    outcomes = []
    for rate in (0.001, 0.01):
        x, truth = rarely_large(rng, len(subject), rate), (1 - rate) * SMALL + rate * 9
        sampled = bounded_means([x], [(0.0, LARGEST)], tasks=subject)
        balanced = bounded_macro_means([x], [(0.0, LARGEST)], subject, strata=subject)
        outcomes += [covers(mean(x, tasks=subject), truth), covers(sampled[0], truth), covers(balanced[0], truth)]
    return tuple(outcomes)


def of_largest_changes(rng: np.random.Generator, m: int) -> tuple[float, ...]:
    """Of the ten tasks whose accuracy changed most, the share of the intervals that hold, at 95 % each and adjusted."""
    sizes, outcomes, chosen = sizes_of(m, equal=False) * 10, [], min(10, m)
    for spread, outlier in ((0.0, 0.0), (0.03, 0.0), (0.0, -0.15)):
        truth = rng.normal(0, spread, m).clip(-0.2, 0.2)
        truth[0] += outlier
        turning = np.maximum(rng.uniform(0.02, 0.3, m), np.abs(truth) + 0.005)
        lost, won, _ = np.transpose(
            [
                rng.multinomial(n, [(t - d) / 2, (t + d) / 2, 1 - t])
                for n, t, d in zip(sizes, turning, truth, strict=True)
            ]
        )
        most = np.argsort(-np.abs(won - lost) / sizes, kind="stable")[:chosen]
        for confidence in (0.95, selected_confidence(chosen, m)):
            held = [covers(paired_change(int(lost[i]), int(won[i]), int(sizes[i]), confidence), truth[i]) for i in most]
            outcomes.append(float(np.mean(held)))
    return tuple(outcomes)


def f1_of(error: float) -> float:
    """F1 where 40 % of the questions are of the class, and each is wrong with this probability."""
    right, missed, false = 0.4 * (1 - error), 0.4 * error, 0.6 * error
    return 2 * right / (2 * right + missed + false)


def of_shares(rng: np.random.Generator, n: int) -> tuple[bool | None]:
    """A share whose truth is any between 0 and 1."""
    truth = rng.random()
    found = wilson(int(rng.binomial(n, truth)), n)
    return (within(found.ci_low, truth, found.ci_high),)


def of_resampled_questions(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """BCa bootstraps; the median of exponential values is log 2."""
    x = rng.exponential(1.0, n)
    average = bootstrap_interval(x, resamples=499, seed=int(rng.integers(2**31)))
    median = bootstrap_interval(x, np.median, resamples=499, seed=int(rng.integers(2**31)))
    return covers(average, 1), covers(median, math.log(2))


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
    resampled = bootstrap_interval(x, clusters=subject, resamples=499, seed=int(rng.integers(2**31)))
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
    resampled = bootstrap_interval(x, clusters=subject, resamples=499, seed=int(rng.integers(2**31)))
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
    found = bootstrap_interval(x, median, clusters=subject, resamples=199, seed=int(rng.integers(2**31)))
    return (covers(found, 0),)


def median(x: Floats) -> float:
    """`numpy.median` of an even number of values in a fraction of the time."""
    middle = len(x) // 2
    return float(np.partition(x, (middle - 1, middle))[middle - 1 : middle + 1].mean())


def by_questions(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Tests over questions, and adjustments of that many tests."""
    x, _ = differences(rng, np.ones(4 * n, dtype=np.int64))
    p = rng.random(n)
    return (
        mcnemar_exact(int((x < 0).sum()), int((x > 0).sum())) <= 0.05,
        sign_flip_test(rng.normal(size=n), resamples=999, seed=int(rng.integers(2**31))) <= 0.05,
        bool((holm(p) <= 0.05).any()),
        bool((benjamini_hochberg(p) <= 0.05).any()),
    )


def by_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Tests over subjects; the true change is the margin of equivalence."""
    x, subject = differences(rng, sizes_of(g, equal=False))
    flipped = sign_flip_test(x, clusters=subject, resamples=999, seed=int(rng.integers(2**31)))
    moved, subject = differences(rng, sizes_of(g, equal=False), shift=0.05)
    same = equivalence(mean(moved, tasks=subject), 0.05)
    return flipped <= 0.05, same is not None and same <= 0.05


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
    for size, rate_ in ((5, 0.2), (5, 0.02), (15, 0.2)):
        clusters = passages(rng, n, size)
        before, after = turned(rng, clusters, rate_, 0.2)
        out.append(covers(change_of_shares(before, after, clusters=clusters), 0))
    clusters = passages(rng, n, 5)
    level = rng.gamma(4, 0.25, clusters.max() + 1)
    return (*out, covers(mean(level[clusters] * rng.gamma(4, 0.25, n), clusters=clusters), 1.0))


def by_passages(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """False verdicts over passages; and equivalence where the margin is lost."""
    clusters = passages(rng, n, 5)
    before, after = turned(rng, clusters, 0.2, 0.2)
    lost_before, lost_after = turned(rng, clusters, 0.005, 0.2, loss=0.02)
    found = change_of_shares(lost_before, lost_after, clusters=clusters)
    lost, won = int((lost_after < lost_before).sum()), int((lost_after > lost_before).sum())
    same = equivalence_of_shares(lost, won, n, 0.02, effective_n=found.effective_n, df=found.df)
    return misled(before, after, clusters), misled(before, after, None), same < 0.05


def by_verdicts(rng: np.random.Generator, tasks: int) -> tuple[bool, ...]:
    """What a verdict finds where nothing changed: in all questions, in a task (Holm), in differences between tasks; anything."""
    rate_, n = float(rng.choice([0.02, 0.1, 0.4])), 250
    lost, won = rng.multinomial(n, [rate_ / 2, rate_ / 2, 1 - rate_], tasks)[:, :2].T
    counts = int(lost.sum()), int(won.sum())
    overall = mcnemar_exact(*counts) < ALPHA and not covers(paired_change(*counts, n * tasks), 0)
    each = holm([mcnemar_exact(*pair) for pair in zip(lost.tolist(), won.tolist(), strict=True)]).min()
    p = differing_changes(lost, won, np.full(tasks, n))
    differ = 1.0 if p is None else p
    anything = overall or each < ALPHA_OF_TASKS or differ < ALPHA_OF_DIFFERENCES
    return overall, bool(each < ALPHA_OF_TASKS), differ < ALPHA_OF_DIFFERENCES, bool(anything)


def by_translations(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """False verdicts over tasks that ask the same questions: in ten languages, and under two names."""
    out = []
    for tasks, alike in ((10, 0.5), (2, 1.0)):
        question = np.tile(np.arange(n // tasks), tasks)
        before, after = turned(rng, question, 0.2, alike)
        out += [misled(before, after, question), misled(before, after, None)]
    return tuple(out)


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


def runs(rng: np.random.Generator, n: int, partial: float) -> tuple[Floats, Floats, Floats]:
    """Normal x, y and control, with that partial correlation of x and y."""
    a, b, z = rng.normal(size=(3, n))
    return z + a, z + partial * a + math.sqrt(1 - partial**2) * b, z


def rank_truth(partial: float) -> float:
    """Partial correlation of the ranks of such a population (Pearson 1907)."""
    xy, xz = ((6 / math.pi) * math.asin(rho / 2) for rho in ((1 + partial) / 2, math.sqrt(0.5)))
    return (xy - xz**2) / (1 - xz**2)


# Normal variables without a partial correlation have ranks with a small one; with this one, the ranks have none.
NONE = float(brentq(rank_truth, -0.5, 0.5))
PARTIAL = (NONE, 0.5, 0.8, 0.9)
FEW_GROUPS = 4
RUNS_PER_GROUP = 3


def of_runs(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Intervals of partial correlations."""
    outcomes = []
    for partial in PARTIAL:
        found, truth = partial_correlation(*runs(rng, n, partial)), rank_truth(partial)
        outcomes += [within(found.ci_low, truth, found.ci_high), within(found.fisher_low, truth, found.fisher_high)]
    return tuple(outcomes)


def of_groups(rng: np.random.Generator, g: int) -> tuple[bool | None, ...]:
    """Intervals of partial correlations of runs in groups that were sampled."""
    outcomes, groups = [], np.repeat(np.arange(g), RUNS_PER_GROUP)
    for partial in (NONE, 0.8):
        x, y, z = runs(rng, len(groups), partial)
        found = partial_correlation(x, y, z, groups=groups, resamples=99, seed=int(rng.integers(2**31)))
        outcomes.append(within(found.cluster_low, rank_truth(partial), found.cluster_high))
    return tuple(outcomes)


def by_runs(rng: np.random.Generator, n: int) -> tuple[float | None, ...]:
    """Tests of no partial correlation: given one control, three, and one within groups."""
    outcomes = []
    for controls in (1, 3):
        x, y, z = runs(rng, n, NONE)
        z = np.column_stack([z, rng.normal(size=(n, controls - 1))])
        found = partial_correlation(x, y, z)
        outcomes += [found.robust_p, found.p, partial_correlation(x, y, z, variant="paper").p]
    if n >= 10:
        x, y, z = runs(rng, n, NONE)
        groups, seed = np.arange(n) % FEW_GROUPS, int(rng.integers(2**31))
        outcomes.append(partial_correlation(x, y, z, groups=groups, resamples=499, seed=seed).within_p)
    else:
        outcomes.append(None)
    return tuple(None if p is None else p <= 0.05 for p in outcomes)


LIMITS = (0.001, 0.01, 0.05)
MARGIN = 0.02
TASKS = 10
CHECKS = 20


def compared(turned: Integers, n: int) -> Comparison:
    """A comparison of tasks of n questions, from the answers of each that turned to wrong and to right."""
    sections = {
        f"task {number}": Section(
            name=f"task {number}",
            n=n,
            estimates={"delta_accuracy": paired_change(int(lost), int(won), n)},
            pairing=PairingReport(n),
            equivalence_p=None,
            minimum_detectable_change=None,
            flips={"harmful": int(lost), "beneficial": int(won)},
        )
        for number, (lost, won) in enumerate(turned)
    }
    nothing = Selection("", ())
    return Comparison(
        before=RunConfig(),
        after=RunConfig(),
        paths=("before", "after"),
        overall=None,
        by_task=sections,
        by_scope={},
        score="raw",
        margin=MARGIN,
        selection=(nothing, nothing),
        names=TaskNames({}, (), ()),
        unpaired=(),
        settings=(),
        warnings=(),
        items={},
    )


def of_gates(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """A policy where each of ten tasks falls by just its margin, twenty checks of such a task with a budget, and `surely`."""
    quantity = quantity_named("delta accuracy")
    rule = Rule(1, 1, ("*",), (), "blocking", True, quantity, -MARGIN, None, "fail")
    policy = Policy(Path("gate.yaml"), 0.05, "questions", (rule,), None)
    chances = [0.01 + MARGIN, 0.01, 0.98 - MARGIN]
    findings = judge(policy, compared(rng.multinomial(n, chances, TASKS)[:, :2], n))
    checks = [
        judge(policy, compared(turned[None, :2], n)).rules[0].findings[0].p_harmful or 0.0
        for turned in rng.multinomial(n, chances, CHECKS)
    ]
    return (
        findings.outcome is Outcome.FAILED,
        findings.rules[0].findings[0].outcome is Outcome.PASSED,
        *(
            any(p <= spent(number, CHECKS, 0.05, spending) for number, p in enumerate(checks, start=1))
            for spending in SPENDINGS
        ),
        *((clopper_pearson(int(rng.binomial(n, limit)), n).ci_low or 0.0) > limit for limit in LIMITS),
    )


def of_noise(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Four runs of one model: single answers turn in a tenth of the questions, or runs differ as wholes besides."""
    found: list[bool] = []
    for between in (0.0, 0.5, 2.0):
        level = np.where(rng.random(n) < 0.1, rng.normal(0, 1.5, n), rng.choice([-50.0, 50.0], n))
        before, after, one, two = (
            (rng.logistic(size=n) < level + rng.normal(0, between)).astype(np.int64) for _ in range(4)
        )
        harmful, turned = before * (1 - after), np.abs(two - one)
        alone = int((harmful > turned).sum()), int((turned > harmful).sum())
        excess = mean(harmful - turned / 2)
        p = larger_share(alone[0], sum(alone), 1 / 3)
        if sum(alone) >= 40 and excess.value is not None:
            p = (t_test(excess) or 1.0) / 2 if excess.value > 0 else 1.0
        found.append(p <= 0.05)
        change = paired_change(int(harmful.sum()), int((after * (1 - before)).sum()), n)
        over = with_run_variance(change, float((two - one).mean()), 0.95)
        found.append(not covers(over, 0))
    return tuple(found)


@cache
def planned(change: float, flips: float) -> tuple[int, int, int]:
    """The questions that plan-eval asks for: to find a change, to show that there is none, and in one of 57 tasks."""
    found = (
        fewest_questions(lambda n: power_of_flips(n, flips, change)),
        fewest_questions(lambda n: power_of_equivalence(n, flips, change)),
        fewest_questions(lambda n: power_of_flips(n, flips, change, 0.05 / 57)),
    )
    return found[0] or 0, found[1] or 0, found[2] or 0


@cache
def planned_seeds(change: float, run_sd: float, n: int) -> int:
    """The seeds that plan-eval asks for where 5 % of the answers turn anyway."""
    return fewest_seeds(lambda k: power_of_seeds(k, change, run_sd, 0.05, n)) or 0


def of_plans(rng: np.random.Generator, points: int) -> tuple[bool, ...]:
    """What is found with the questions and seeds that are asked for, for a change of so many points."""
    change, found = points / 100, []
    for flips in (0.01, 0.05, 0.2):
        find, show, one = planned(change, flips)
        moved = [flips / 2 + change, flips / 2, 1 - flips - change]
        lost, won, _ = rng.multinomial(find, moved)
        found.append(mcnemar_exact(int(lost), int(won)) <= 0.05)
        lost, won, _ = rng.multinomial(show, [flips / 2, flips / 2, 1 - flips])
        found.append(equivalence_of_shares(int(lost), int(won), show, change) < 0.05)
        tasks = rng.multinomial(one, [flips / 2, flips / 2, 1 - flips], 57)
        tasks[0] = rng.multinomial(one, moved)
        found.append(bool(holm([mcnemar_exact(int(lost), int(won)) for lost, won, _ in tasks])[0] <= 0.05))
    n, run_sd = 2000, change / 2
    true = rng.normal(change, run_sd, planned_seeds(change, run_sd, n)).clip(-0.9, 0.9)
    turned = [rng.multinomial(n, [(0.05 + abs(x) - x) / 2, (0.05 + abs(x) + x) / 2, 0.95 - abs(x)]) for x in true]
    p = t_test(mean([(won - lost) / n for lost, won, _ in turned]))
    return (*found, p is not None and p <= 0.05)


# Domains, questions of each, standard deviation of the seeds in points in each domain.
TRAININGS = (
    (1, 50, (2.0,)),
    (1, 250, (0.0,)),
    (1, 250, (2.0,)),
    (1, 250, (5.0,)),
    (1, 2000, (1.0,)),
    (1, 2000, (5.0,)),
    (4, 250, (0.0,)),
    (4, 250, (2.0,)),
    (4, 250, (5.0,)),
    (4, 250, (5.0, 0.0, 0.0, 0.0)),
    (4, 250, (5.0, 2.0, 1.0, 0.5)),
    (4, 1000, (20.0, 0.0, 0.0, 0.0)),
)
ALONE = (2, 5, 8)
SATTERTHWAITE = (3, 5)
EFFECT = 0.04


def trainings(
    rng: np.random.Generator, seeds: int, domains: int, n: int, spread: tuple[float, ...], effect: float = 0.0
) -> CrossedMean:
    """Two groups' answers, right or wrong: three in ten are drawn anew with each seed, which has an accuracy of its own."""
    samples, questions = [], []
    for domain in range(domains):
        common, sd = rng.random(n), spread[domain % len(spread)] / 100
        own = [np.where(rng.random(n) < 0.6, common, rng.random(n)) for _ in range(2)]
        for _ in range(seeds):
            accuracy = 0.5 + rng.normal(0, sd, 2) / math.sqrt(2) + (effect, 0.0)
            sides = [np.where(rng.random(n) < 0.3, rng.random(n), u) < a for u, a in zip(own, accuracy, strict=True)]
            samples.append(sides[0].astype(float) - sides[1])
            questions.append(domain * n + np.arange(n))
    task = np.repeat(np.arange(domains), n)
    return crossed_mean(samples, np.concatenate(questions), task, np.repeat(np.arange(domains), seeds))


def how_trained(domains: int, n: int, spread: tuple[float, ...]) -> str:
    """A row's name."""
    where = f"{domains} domain{'s' * (domains > 1)} of {n:,} questions"
    return f"{where}, seeds by {', '.join(f'{sd:g}' for sd in spread)} point{'s' * (spread != (1.0,))}"


def rejects(p: float | None) -> bool:
    """Whether a test rejects at 5 %."""
    return p is not None and p <= 0.05


def alone(found: CrossedMean) -> bool:
    """Whether the test over questions alone, the runs as they are, rejects."""
    parts = found.variances
    value = found.estimate.value
    return parts is not None and value is not None and abs(value) > 1.96 * math.sqrt(parts.questions)


def by_satterthwaite(found: CrossedMean) -> bool:
    """Whether the t test with the total variance and degrees of freedom estimated from its parts rejects."""
    parts, value = found.variances, found.estimate.value
    if parts is None or value is None:
        return False
    own = max(parts.questions - parts.cells, 0.0)
    df = parts.total**2 / (parts.runs**2 / parts.runs_df + own**2 / parts.questions_df)
    return abs(value) > float(stdtrit(df, 0.975)) * math.sqrt(parts.total)


def by_trainings(rng: np.random.Generator, seeds: int) -> tuple[bool, ...]:
    """Tests of no difference of two groups: over training runs and questions, and over questions alone."""
    found = [trainings(rng, seeds, *how) for how in TRAININGS]
    return (
        *(rejects(one.p) for one in found),
        *(alone(found[which]) for which in ALONE),
        *(by_satterthwaite(found[which]) for which in SATTERTHWAITE),
    )


def of_trainings(rng: np.random.Generator, seeds: int) -> tuple[bool, ...]:
    """Intervals of the difference of two groups, and whether it is found where the seeds change nothing and where they do."""
    outcomes: list[bool] = []
    for spread in (0.0, 2.0):
        found = trainings(rng, seeds, 4, 250, (spread,), EFFECT)
        outcomes += [covers(found.estimate, EFFECT), rejects(found.p)] + [alone(found)] * (spread == 0)
    return tuple(outcomes)


DOMAINS = 4
# How the dose acts on ranking and accuracy, the standard deviation of what else moves a run, and that of the domains' slopes.
DOSES = (("linear", 0.15, 0.0), ("curved", 0.15, 0.0), ("curved", 0.05, 0.0), ("curved", 0.15, 0.3))


def mixtures(
    rng: np.random.Generator, mixes: int, shape: str, noise: float, slopes: float, partial: float = 0.0
) -> tuple[Floats, ...]:
    """Ranking, accuracy, base accuracy, dose and domain of each run; given the dose, the first two correlate by `partial`."""
    dose, domain = np.tile(np.linspace(0, 1, mixes), DOMAINS), np.repeat(np.arange(DOMAINS), mixes)
    acts = dose if shape == "linear" else 1 - np.exp(-4 * dose)
    acts = acts * (1 + slopes * rng.normal(size=DOMAINS)[domain])
    base = 0.1 * rng.normal(size=DOMAINS)[domain]
    e = rng.normal(size=(2, len(dose)))
    ranking = acts + 0.1 * rng.normal(size=DOMAINS)[domain] + noise * e[0]
    accuracy = acts + base + noise * (partial * e[0] + math.sqrt(1 - partial**2) * e[1])
    return ranking, accuracy, base, dose, domain


def given(runs: tuple[Floats, ...], held: str, resamples: int = 1) -> PartialCorrelation:
    """The partial correlation within domains, given the rank of the dose or with an effect of each dose."""
    ranking, accuracy, base, dose, domain = runs
    extra = dose[:, None] if held == "dose" else (dose[:, None] == np.unique(dose)[1:]).astype(float)
    return partial_correlation(
        ranking, accuracy, np.column_stack([base, extra]), groups=domain, resamples=resamples, seed=len(dose)
    )


def by_doses(rng: np.random.Generator, mixes: int) -> tuple[bool, ...]:
    """Tests of no partial correlation given the dose, where the dose moves both."""
    outcomes: list[bool] = []
    for how in DOSES:
        drawn = mixtures(rng, mixes, *how)
        ratio, mix = given(drawn, "dose"), given(drawn, "mix", 199)
        outcomes += [rejects(partial_correlation(drawn[0], drawn[1], drawn[2]).p), rejects(ratio.robust_p)]
        outcomes += [rejects(mix.p), rejects(mix.robust_p), rejects(mix.within_p)]
    return tuple(outcomes)


@cache
def expected(mixes: int, shape: str, noise: float, partial: float, held: str) -> float:
    """What the partial correlation is on average; of ranks within domains there is no formula."""
    rng = np.random.default_rng(1)
    found = [given(mixtures(rng, mixes, shape, noise, 0.0, partial), held).value for _ in range(1000)]
    return float(np.mean([value for value in found if value is not None]))


def of_doses(rng: np.random.Generator, mixes: int) -> tuple[bool | None, ...]:
    """Intervals of the partial correlation given the dose, where the dose moves both."""
    outcomes = []
    for shape, noise, partial in (("linear", 0.15, 0.0), ("curved", 0.15, 0.0), ("curved", 0.15, 0.8)):
        drawn = mixtures(rng, mixes, shape, noise, 0.0, partial)
        for held in ("dose", "mix"):
            found = given(drawn, held)
            truth = expected(mixes, shape, noise, partial, held) if partial else 0.0
            outcomes.append(within(found.ci_low, truth, found.ci_high))
    return tuple(outcomes)


SIZES = (10, 57, 500)
CLUSTERED = (100, 300, 2000)
TABLES: dict[str, tuple[tuple[int, ...], list[tuple[Draw, tuple[str, ...]]]]] = {
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
                of_resampled_questions,
                (
                    "BCa bootstrap, mean of exponential values",
                    "BCa bootstrap, median of exponential values",
                ),
            ),
        ],
    ),
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
    "Coverage of 95 % intervals where questions share something, by number of questions": (
        CLUSTERED,
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
        CLUSTERED,
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
    "Coverage of 95 % intervals where few questions have far larger values, by number of questions": (
        (20, 57, 200, 500, 2000, 14_042),
        [
            (
                of_rare_values,
                tuple(
                    f"{of} of 3 to 15 nats, {kind}"
                    for of in ("none", "one in 1000", "one in 100", "one in 20")
                    for kind in ("corrected for skewness", "bounded (the default)", "trimmed mean")
                ),
            ),
            (
                of_long_tails,
                (
                    "gamma (4), bounded",
                    *(f"lognormal (sd {sd}), bounded" for sd in (1, 1.5, 2)),
                    "Pareto (2.5), bounded",
                ),
            ),
            (
                of_doubted_changes,
                tuple(
                    f"{change}, {what}"
                    for change in (
                        "small changes, one in 1000 of −0.9",
                        "small changes, one in 100 of −0.9",
                        "changes, one in 100 of −0.9",
                        "changes",
                    )
                    for what in ("t without a warning", "warned of (share)")
                ),
            ),
        ],
    ),
    "Coverage of 95 % intervals where few questions have far larger values, by number of subjects": (
        SIZES,
        [
            (
                of_rare_subjects,
                tuple(
                    f"{of} of 3 to 15 nats, {kind}"
                    for of in ("one in 1000", "one in 100")
                    for kind in ("mean, CR3", "mean, bounded (the default)", "macro mean, bounded (the default)")
                ),
            )
        ],
    ),
    "Coverage of the intervals of the ten largest changes of accuracy, by number of tasks": (
        (10, 57, 122),
        [
            (
                of_largest_changes,
                tuple(
                    f"{truth}, {kind}"
                    for truth in ("no task changed", "all changed", "one changed by 15 points")
                    for kind in ("95 % each", "adjusted for the choice (the default)")
                ),
            )
        ],
    ),
    "What the verdict finds where nothing changed, by number of tasks of 250 questions": (
        (2, 5, 57, 122),
        [
            (
                by_verdicts,
                (
                    "a change of accuracy over all questions",
                    "a change in some task",
                    "tasks that change differently",
                    "any of these",
                ),
            )
        ],
    ),
    "Rejection of a true null at 5 %, by number of questions, subjects or tests": (
        SIZES,
        [
            (
                by_questions,
                (
                    "exact McNemar (4 questions for each)",
                    "sign-flip test, questions",
                    "Holm, any of that many tests",
                    "Benjamini-Hochberg, any of that many tests",
                ),
            ),
            (
                of_margins,
                (
                    "equivalence of shares at a margin of 10 points",
                    "equivalence of shares at a margin of 2 points",
                    "tasks that change alike, with other shares of flips (Cochran's Q)",
                ),
            ),
            (by_subjects, ("sign-flip test, unequal subjects", "equivalence (TOST) at its margin, unequal subjects")),
        ],
    ),
    "False decisions of gates at 5 %, by number of questions": (
        (100, 300, 1000),
        [
            (
                of_gates,
                (
                    f"policy, any false fail of {TASKS} tasks that fall by just the margin",
                    "policy, false pass of such a task",
                    *(f"any false fail in {CHECKS} checks, budget spent {spending}" for spending in SPENDINGS),
                    *(f"`surely` more than {100 * limit:g} %, which is the true share" for limit in LIMITS),
                ),
            ),
            (
                of_noise,
                (
                    *(
                        f"another run of the same model, {differ}: {what}"
                        for differ in (
                            "answers turn one by one",
                            "runs differ a little as wholes",
                            "runs differ much as wholes",
                        )
                        for what in ("more harmful flips than noise", "0 outside the interval over other runs")
                    ),
                ),
            ),
        ],
    ),
    "Power with what `plan-eval` asks for 80 %, by change in points": (
        (1, 2, 5),
        [
            (
                of_plans,
                (
                    *(
                        f"{what}, {flips} % turn anyway"
                        for flips in (1, 5, 20)
                        for what in ("a change is found", "its absence is shown", "a change in one of 57 tasks (Holm)")
                    ),
                    "a change over seeds with an sd of half of it (t test)",
                ),
            )
        ],
    ),
    "Coverage of 95 % intervals of a partial correlation, by number of runs": (
        (8, *SIZES),
        [
            (
                of_runs,
                tuple(
                    f"{abs(rank_truth(p)):.2f}, {kind}" for p in PARTIAL for kind in ("Bonett-Wright", "plain Fisher")
                ),
            )
        ],
    ),
    "Coverage of 95 % intervals of a partial correlation, by number of groups of three runs": (
        SIZES,
        [(of_groups, tuple(f"{abs(rank_truth(p)):.2f}, groups resampled" for p in (NONE, 0.8)))],
    ),
    "Rejection at 5 % of no partial correlation, by number of runs": (
        (8, *SIZES),
        [
            (
                by_runs,
                (
                    *(f"{kind}, controls: {k}" for k in (1, 3) for kind in ("robust", "standard", "the paper's")),
                    f"permutation within {FEW_GROUPS} groups",
                ),
            )
        ],
    ),
    "Rejection at 5 % of no partial correlation given the dose, which moves both, by number of mixes in each of four domains": (
        (5, 8, 16),
        [
            (
                by_doses,
                tuple(
                    f"{shape} dose, runs by {noise:g} of it{', slopes by 30 %' if slopes else ''}: {test}"
                    for shape, noise, slopes in DOSES
                    for test in (
                        "given base accuracy",
                        "given the ratio's rank, robust",
                        "given the mix",
                        "given the mix, robust",
                        "given the mix, permutation",
                    )
                ),
            )
        ],
    ),
    "Coverage of 95 % intervals of a partial correlation given the dose, by number of mixes in each of four domains": (
        (5, 8, 16),
        [
            (
                of_doses,
                tuple(
                    f"{what}, given {held}"
                    for what in ("linear dose, 0.00", "curved dose, 0.00", "curved dose, 0.80 of what else moves a run")
                    for held in ("the ratio's rank", "the mix")
                ),
            )
        ],
    ),
    "Rejection at 5 % of no difference of two groups, by number of training seeds": (
        (2, 3, 4, 5),
        [
            (
                by_trainings,
                (
                    *(how_trained(*how) for how in TRAININGS),
                    *(f"over questions alone: {how_trained(*TRAININGS[which])}" for which in ALONE),
                    *(f"Satterthwaite's df: {how_trained(*TRAININGS[which])}" for which in SATTERTHWAITE),
                ),
            )
        ],
    ),
    "A difference of 4 points between two groups, four domains of 250 questions, by number of training seeds": (
        (2, 3, 4, 5),
        [
            (
                of_trainings,
                (
                    "coverage, seeds by 0 points",
                    "found, seeds by 0 points",
                    "found over questions alone, seeds by 0 points",
                    "coverage, seeds by 2 points",
                    "found, seeds by 2 points",
                ),
            )
        ],
    ),
}


TABLES |= OF_OPTIONS


def outcomes(draw: Draw, size: int, draws: int, chunk: int) -> list[float]:
    """Share of the draws in which each outcome holds, of those that have it (of 8 runs, one in 200 has no correlation)."""
    rng = np.random.default_rng([20240218, size, chunk])
    columns = zip(*(draw(rng, size) for _ in range(draws)), strict=True)
    known = [[outcome for outcome in column if outcome is not None] for column in columns]
    return [float(np.mean(column)) if column else math.nan for column in known]


def main() -> None:
    """Draw, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=20_000, help=f"a multiple of {CHUNKS}")
    parser.add_argument("--only", metavar="TEXT", default="", help="only draws whose function and size hold this text")
    parser.add_argument("--keep", metavar="FILE", type=Path, help="a JSON file of finished figures, read and added to")
    arguments = parser.parse_args()
    kept = json.loads(arguments.keep.read_text()) if arguments.keep and arguments.keep.exists() else {}
    # One process for each core: the linear algebra of each must not use them all.
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    start = time.perf_counter()
    chosen = [
        (draw, size)
        for sizes, parts in TABLES.values()
        for draw, _ in parts
        for size in sizes
        if arguments.only in f"{draw.__name__} {size}"
    ]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {
            pool.submit(outcomes, draw, size, arguments.draws // CHUNKS, chunk): key
            for draw, size in chosen
            for chunk in range(CHUNKS)
            if (key := f"{draw.__name__} {size} {arguments.draws} {chunk}") not in kept
        }
        for done in as_completed(waiting):
            kept[waiting[done]] = done.result()
            if arguments.keep:
                write_atomically(arguments.keep, json.dumps(kept))
    for title, (sizes, parts) in TABLES.items():
        lines = []
        for draw, names in parts:
            if not all((draw, size) in chosen for size in sizes):
                continue
            columns = [
                np.mean([kept[f"{draw.__name__} {size} {arguments.draws} {chunk}"] for chunk in range(CHUNKS)], axis=0)
                for size in sizes
            ]
            for name, *values in zip(names, *columns, strict=True):
                cells = ("–" if math.isnan(value) else f"{100 * value:.1f} %" for value in values)
                lines.append(f"| {name} | {' | '.join(cells)} |")
        if lines:
            heading = f"| | {' | '.join(map(str, sizes))} |\n|---|{'---:|' * len(sizes)}"
            print(f"\n{title}:\n\n{heading}\n" + "\n".join(lines))
    print(f"\n{arguments.draws} draws for each figure, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
