"""Draws of divergences and changes of probabilities, of which few are far larger than the others."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.special import logsumexp, ndtr

from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import minimum_detectable_effect, no_change
from consistency.statistics.intervals import quantile, t_interval
from consistency.statistics.means import mean
from consistency.statistics.pooled_means import Pool, pooled_change, pooled_share, pooled_within
from consistency.statistics.tails import bounded_macro_means, bounded_means, trimmed_mean
from consistency.statistics.task_means import mean_of_means
from consistency.support.arrays import Floats, Integers
from simulations.draws import SIZES, Table, covers, rejects, sizes_of

# Divergences: most are small, and the rare large ones lie between 3 and 15 nats.
SMALL, LARGEST = 0.05, 15.0
RATES = (0.0, 0.001, 0.01, 0.05)
# Changes of a probability: two spreads, and how many questions lose how much, or gain it as often.
NARROW, WIDE, LOST = 0.03, 0.2, 0.9
CHANGES = ((0.0, False), (0.001, False), (0.01, False), (0.05, False), (0.01, True))


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


def _log_shares(scores: Floats) -> Floats:
    """Log-probabilities of options, a question a row."""
    return np.asarray(scores - logsumexp(scores, axis=1, keepdims=True), dtype=np.float64)


def _divergences(rng: np.random.Generator, n: int, rate: float, nats: tuple[float, float]) -> tuple[Floats, float]:
    """KL of questions with four options of which some are reversed, and the largest that the least likely option allows."""
    before = rng.normal(0, 1, (n, 4))
    after = before + rng.normal(0, 0.3, (n, 4))
    turned = rng.random(n) < rate
    before[turned], after[turned] = (8, 0, 0, 0), 0
    after[turned, 1] = rng.uniform(*nats, int(turned.sum()))
    one, two = _log_shares(before), _log_shares(after)
    return np.maximum((np.exp(one) * (one - two)).sum(axis=1), 0.0), float(-two.min())


@cache
def _both_kinds(nats: tuple[float, float]) -> tuple[float, Floats]:
    """The mean KL of questions that are not reversed, and many KL of those that are."""
    rng = np.random.default_rng(0)
    return float(_divergences(rng, 1_000_000, 0.0, nats)[0].mean()), _divergences(rng, 20_000, 1.0, nats)[0]


def of_own_bounds(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Means of KL with the bound that the logs themselves give: all of the mean, and each question's as far as that bound."""
    outcomes = []
    for nats, rate in (((3.0, 15.0), 0.01), ((3.0, 15.0), 0.05), ((10.0, 30.0), 0.01), ((10.0, 30.0), 0.05)):
        x, largest = _divergences(rng, n, rate, nats)
        small, large = _both_kinds(nats)
        (found,) = bounded_means([x], [(0.0, largest)])
        for reversed_ in (large, np.minimum(large, largest)):
            outcomes.append(covers(found, (1 - rate) * small + rate * float(reversed_.mean())))
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


def rarely_lost(rng: np.random.Generator, n: int, rate: float, spread: float, *, gained: bool = False) -> Floats:
    """Normal changes of a probability, of which some are a loss of .9, or as often a gain."""
    large = rng.choice([-LOST, LOST], n) if gained else -LOST
    return np.where(rng.random(n) < rate, large, rng.normal(0, spread, n).clip(-1, 1))


def of_change(x: Floats, *, tasks: Integers | None = None, clusters: Integers | None = None) -> Estimate:
    """The mean of such changes with the interval that `compare` has."""
    return bounded_means([x], [(-1.0, 1.0)], tasks=tasks, clusters=clusters)[0]


def longer(found: Estimate) -> float | None:
    """How many times as long as Student's interval one is."""
    if found.ci_low is None or found.ci_high is None or not found.se or found.df is None:
        return None
    return (found.ci_high - found.ci_low) / (2 * quantile(0.95, found.df) * found.se)


def of_rare_changes(rng: np.random.Generator, n: int) -> tuple[float | bool | None, ...]:
    """Changes of a probability, small ones or large ones but for rare questions that lose it; losses that are skewed."""
    outcomes: list[float | bool | None] = []
    for rate, gained in CHANGES:
        x, truth = rarely_lost(rng, n, rate, NARROW, gained=gained), 0.0 if gained else -LOST * rate
        found = of_change(x)
        usual = t_interval(float(x.mean()), found.se or 0.0, n - 1, 0.95)
        outcomes += [usual[0] <= truth <= usual[1], covers(found, truth)]
        outcomes += [] if rate else [longer(found)]
    for rate, gained in CHANGES:
        found = of_change(rarely_lost(rng, n, rate, WIDE, gained=gained))
        outcomes += [covers(found, 0.0 if gained else -LOST * rate)]
        outcomes += [] if rate else [longer(found)]
    for rate, _ in CHANGES[:3]:
        x = np.where(rng.random(n) < rate, -LOST, -rng.beta(0.3, 6, n))
        outcomes.append(covers(of_change(x), -LOST * rate - (1 - rate) * 0.3 / 6.3))
    return tuple(outcomes)


def of_found_changes(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Whether the change that a first sample says would be found 4 times in 5 is found in a second one."""
    outcomes: list[bool | None] = []
    for spread in (NARROW, WIDE):
        least = minimum_detectable_effect(of_change(rng.normal(0, spread, n).clip(-1, 1)))
        second = of_change(rng.normal(least or 0.0, spread, n).clip(-1, 1))
        outcomes += [None if least is None else rejects(no_change(second))]
    return tuple(outcomes)


def of_shared_changes(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Such changes in passages of five questions, correlated by .2, and in subjects, sampled or fixed with one weight each."""
    passage, subject = np.repeat(np.arange(g), 5), np.repeat(np.arange(g), sizes_of(g, equal=False))
    outcomes = []
    for rate, _ in CHANGES[:3]:
        for spread in (NARROW, WIDE):
            shared = rng.normal(0, spread * math.sqrt(0.2), g)[passage]
            lost = rng.random(5 * g) < (rng.beta(4 * rate, 4 * (1 - rate), g)[passage] if rate else 0.0)
            x = np.where(lost, -LOST, (shared + rng.normal(0, spread * math.sqrt(0.8), 5 * g)).clip(-1, 1))
            outcomes.append(covers(of_change(x, clusters=passage), -LOST * rate))
        x = rarely_lost(rng, len(subject), rate, NARROW)
        (balanced,) = bounded_macro_means([x], [(-1.0, 1.0)], subject, strata=subject)
        outcomes += [covers(item, -LOST * rate) for item in (of_change(x, tasks=subject), balanced)]
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


def of_pooled_domains(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Means over two domains of n and 2n questions: accuracy, its change, rarely large values; by t, and as a grid has them."""
    sizes = (n, 2 * n)
    question, domain = np.arange(3 * n), np.repeat([0, 1], sizes)
    right = [(rng.random(size) < 0.98).astype(float) for size in sizes]
    found = mean_of_means(right, question, domain)
    outcomes = [covers(found, 0.98), covers(pooled_share(found, Pool.of(right, question)), 0.98)]
    for losing, winning in ((0.03, 0.01), (0.003, 0.001)):
        turned = [rng.choice([-1.0, 1.0, 0.0], size, p=[losing, winning, 1 - losing - winning]) for size in sizes]
        found = mean_of_means(turned, question, domain)
        lost, won = (Pool.of([(x == sign).astype(float) for x in turned], question) for sign in (-1, 1))
        outcomes += [covers(item, winning - losing) for item in (found, pooled_change(found, lost, won))]
    for rate in (0.001, 0.01):
        values, truth = [rarely_large(rng, size, rate) for size in sizes], (1 - rate) * SMALL + rate * 9
        found = mean_of_means(values, question, domain)
        within_reach = pooled_within(found, Pool.of(values, question), 0.0, LARGEST)
        outcomes += [covers(item, truth) for item in (found, within_reach)]
    return tuple(outcomes)


_OF_CHANGES = ("none large", "one in 1000 of −0.9", "one in 100 of −0.9", "one in 20 of −0.9", "one in 100 of ±0.9")
TABLES: dict[str, Table] = {
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
                of_own_bounds,
                tuple(
                    f"one in {of} nats, bound of the logs, {what}"
                    for of in ("100 of 3 to 15", "20 of 3 to 15", "100 of 10 to 30", "20 of 10 to 30")
                    for what in ("KL", "KL up to it")
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
    "Coverage of the change of the gold option's probability where few questions lose it, by number of questions": (
        (20, 57, 200, 500, 1000, 2000, 14_042),
        [
            (
                of_rare_changes,
                (
                    *(
                        f"small changes, {of}, {kind}"
                        for of in _OF_CHANGES
                        for kind in ("t", "the default", *(("its length, of t's",) if of == "none large" else ()))
                    ),
                    *(
                        f"changes, {of}, {kind}"
                        for of in _OF_CHANGES
                        for kind in ("the default", *(("its length, of t's",) if of == "none large" else ()))
                    ),
                    *(f"skewed losses, {of}, the default" for of in _OF_CHANGES[:3]),
                ),
            ),
            (
                of_found_changes,
                tuple(f"{change}, found of what is found 4 times in 5" for change in ("small changes", "changes")),
            ),
        ],
    ),
    "Coverage of the change of the gold option's probability by number of passages or subjects": (
        SIZES,
        [
            (
                of_shared_changes,
                tuple(
                    f"{of}, {kind}"
                    for of in _OF_CHANGES[:3]
                    for kind in (
                        "small changes, passages",
                        "changes, passages",
                        "small changes, subjects sampled",
                        "small changes, macro mean",
                    )
                ),
            )
        ],
    ),
    "Coverage of a grid's means over two domains of n and 2n questions, by n": (
        (20, 50, 200, 500),
        [
            (
                of_pooled_domains,
                tuple(
                    f"{of}, {kind}"
                    for of in (
                        "accuracy of 98 %",
                        "change of accuracy, 4 % turn",
                        "change of accuracy, 0.4 % turn",
                        "one in 1000 of 3 to 15 nats",
                        "one in 100 of 3 to 15 nats",
                    )
                    for kind in ("t", "as the report has it")
                ),
            )
        ],
    ),
}
