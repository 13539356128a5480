"""Draws of contrasts of groups over training seeds."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from consistency.statistics.crossed import CrossedMean, crossed_mean
from simulations.draws import Table, covers, rejects

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


TABLES: dict[str, Table] = {
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
