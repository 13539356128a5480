"""Draws of partial correlations over runs, alone and where the dose of training data moves both."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from scipy.optimize import brentq

from consistency.statistics.partial_correlation import PartialCorrelation, partial_correlation
from consistency.support.arrays import Floats
from simulations.draws import SIZES, Table, rejects, seed_of, within


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
        found = partial_correlation(x, y, z, groups=groups, resamples=99, seed=seed_of(rng))
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
        groups, seed = np.arange(n) % FEW_GROUPS, seed_of(rng)
        outcomes.append(partial_correlation(x, y, z, groups=groups, resamples=499, seed=seed).within_p)
    else:
        outcomes.append(None)
    return tuple(None if p is None else rejects(p) for p in outcomes)


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


TABLES: dict[str, Table] = {
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
}
