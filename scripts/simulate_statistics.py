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
from scipy.special import stdtrit

from consistency.metrics.aggregates import of_classes, of_numbers, of_weighted
from consistency.statistics.bootstrap import bootstrap_interval
from consistency.statistics.crossed import CrossedMean, crossed_mean
from consistency.statistics.estimates import Estimate, independent_difference, mean, root_mean_square
from consistency.statistics.hypotheses import benjamini_hochberg, equivalence, holm, mcnemar_exact, sign_flip_test
from consistency.statistics.jackknife import aggregate, aggregate_change
from consistency.statistics.paired_shares import differing_changes, equivalence_of_shares, paired_change
from consistency.statistics.partial_correlation import PartialCorrelation, partial_correlation
from consistency.statistics.shares import wilson
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
        covers(macro_mean(x, task, fixed=True), 0.5),
    )


def of_equal_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Subjects of one size."""
    x, subject = differences(rng, sizes_of(g, equal=True))
    return covers(mean(x, clusters=subject), 0), covers(mean(x, clusters=subject, variance="CR1"), 0)


def of_unequal_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Subjects of MMLU's sizes."""
    x, subject = differences(rng, sizes_of(g, equal=False))
    cr3 = mean(x, clusters=subject)
    resampled = bootstrap_interval(x, clusters=subject, resamples=499, seed=int(rng.integers(2**31)))
    other, others = differences(rng, sizes_of(g, equal=False))
    return (
        covers(cr3, 0),
        covers(mean(x, clusters=subject, variance="CR1"), 0),
        covers(resampled, 0),
        covers(macro_mean(x, subject), 0),
        covers(independent_difference(cr3, mean(other, clusters=others)), 0),
    )


def of_skewed_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Skewed values in subjects of MMLU's sizes."""
    x, subject = divergences(rng, sizes_of(g, equal=False))
    resampled = bootstrap_interval(x, clusters=subject, resamples=499, seed=int(rng.integers(2**31)))
    changes = np.sqrt(x) * rng.choice([-1.0, 1.0], len(x))
    return (
        covers(mean(x, clusters=subject), 1),
        covers(mean(x, clusters=subject, variance="CR1"), 1),
        covers(resampled, 1),
        covers(root_mean_square(changes, clusters=subject), 1),
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
    same = equivalence(mean(moved, clusters=subject), 0.05)
    return flipped <= 0.05, same is not None and same <= 0.05


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
