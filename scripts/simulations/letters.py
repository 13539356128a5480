"""Draws of a change with and without the prior of the options' letters, and of what explains KL."""

from __future__ import annotations

from functools import cache

import numpy as np

from consistency.metrics.distributions import log_probabilities
from consistency.statistics.answered import Answered
from consistency.statistics.decomposition import decompose
from consistency.statistics.estimates import Estimate
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Bools, Floats, Integers
from simulations.draws import Table, within

POPULATION = 20_000
OPTIONS = 4
LANGUAGES = 5
ALONE = Labels(strata=None, tasks=None, clusters=None)
# What the letters get in every question before anything is planted.
PRIOR = np.array([0.2, 0.7, 0.0, -0.6])
OF_ACCURACY = ("calibrated_change", "prior_change")
OF_KL = ("kl_sharpness", "kl_prior", "kl_prior_first", "kl_sharpness_last", "kl_rest")
PARTS = (*OF_ACCURACY, *OF_KL, "spearman_calibrated")
# Added to the letters, the factor of all scores, and the share of questions with other beliefs.
PLANTED = {
    "letters moved by 1.5 nats up and down": (np.array([1.5, -1.5, 0.0, 0.0]), 1.0, 0.0),
    "scores twice as large": (np.zeros(OPTIONS), 2.0, 0.0),
    "other beliefs in a tenth of the questions": (np.zeros(OPTIONS), 1.0, 0.1),
    "all three": (np.array([1.5, -1.5, 0.0, 0.0]), 2.0, 0.1),
}


# Parts whose intervals cover more than 96.5 % of the truth of 250 questions, and three that do not.
BOUNDED = {
    "letters moved by 1.5 nats up and down": (
        "calibrated_change",
        "kl_sharpness_last",
        "kl_rest",
        "spearman_calibrated",
    ),
    "scores twice as large": ("calibrated_change", "kl_prior", "kl_prior_first", "kl_rest"),
    "other beliefs in a tenth of the questions": ("kl_prior", "kl_prior_first"),
    "all three": ("calibrated_change", "kl_prior", "spearman_calibrated"),
}
# So few answers that turned are hardly more than none.
MOST_TURNED = 5


@cache
def world() -> tuple[Floats, Bools, Floats, Bools]:
    """All questions: scores of a model that answers B too often, gold, and other beliefs and where they would be held."""
    rng = np.random.default_rng(20260101)
    gold = np.eye(OPTIONS, dtype=bool)[rng.integers(0, OPTIONS, POPULATION)]
    knows = rng.normal(1.0, 1.5, POPULATION)
    scores = rng.normal(0, 1.0, (POPULATION, OPTIONS)) + knows[:, None] * gold + PRIOR
    other = rng.normal(0, 1.5, (POPULATION, OPTIONS)) + PRIOR
    return log_probabilities(scores), gold, other, rng.random(POPULATION)[:, None] < np.array([0.1])


@cache
def after(name: str) -> Floats:
    """The scores of the model with what was planted."""
    letters, factor, changed = PLANTED[name]
    scores, _, other, holds = world()
    return log_probabilities(factor * np.where(holds & (changed > 0), other, scores) + letters)


@cache
def truth(name: str) -> dict[str, float]:
    """The parts over all questions: of accuracy from what was planted, of KL and ρ as all questions have them."""
    scores, gold, _, _ = world()
    letters, factor, _ = PLANTED[name]
    later = after(name)
    found = dict(decompose([Answered(scores, later, gold)], ALONE).plug_in)
    found["calibrated_change"] = accuracy((later - letters) / factor - PRIOR, gold) - accuracy(scores - PRIOR, gold)
    found["prior_change"] = accuracy(later, gold) - accuracy(scores, gold) - found["calibrated_change"]
    # Where nothing is left to explain, rounding leaves a little more or less than nothing.
    return {key: max(round(value, 12), 0.0) if key in OF_KL else value for key, value in found.items()}


def accuracy(scores: Floats, gold: Bools) -> float:
    """The share of questions whose best option is right."""
    return float(gold[np.arange(len(gold)), scores.argmax(axis=1)].mean())


def contains(found: Estimate, truth: float) -> bool | None:
    """Whether an interval contains the truth; None where there is no interval."""
    return within(found.ci_low, truth, found.ci_high)


def of_parts(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Whether the interval of each part contains the truth, for each plant."""
    scores, gold, _, _ = world()
    asked, found = rng.integers(0, POPULATION, n), []
    for name in PLANTED:
        parts = decompose([Answered(scores[asked], after(name)[asked], gold[asked])], ALONE).estimates
        found += [contains(parts[part], truth(name)[part]) for part in PARTS]
    return tuple(found)


def of_languages(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """The same, where each question is asked in five languages, which the model answers nearly alike."""
    scores, gold, _, _ = world()
    clusters: Integers = np.repeat(np.arange(n), LANGUAGES)
    asked = rng.integers(0, POPULATION, n)[clusters]
    noise = rng.normal(0, 0.3, (2, len(asked), OPTIONS))
    before, later = scores[asked] + noise[0], after("all three")[asked] + noise[1]
    labels = Labels(strata=None, tasks=None, clusters=clusters)
    parts = decompose([Answered(before, later, gold[asked])], labels).estimates
    return tuple(contains(parts[part], truth_of_languages()[part]) for part in PARTS)


def at_the_boundary(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Whether a part is at the end of what it can be: no more than five answers turned, KL reaches 0, or ρ 1.

    Of those parts whose intervals cover more than they say, and of the last, which cover as they say.
    """
    scores, gold, _, _ = world()
    asked = rng.integers(0, POPULATION, n)
    found: list[bool | None] = []
    for name, parts in BOUNDED.items():
        estimates = decompose([Answered(scores[asked], after(name)[asked], gold[asked])], ALONE).estimates
        for part in parts:
            item = estimates[part]
            if item.ci_low is None or item.ci_high is None:
                found.append(None)
            elif part in OF_ACCURACY:
                turned = sum(estimates[f"calibrated_{kind}"].value or 0.0 for kind in ("harmful", "beneficial"))
                found.append(turned * n < MOST_TURNED + 0.5)
            else:
                found.append(item.ci_low <= 0 if part in OF_KL else item.ci_high >= 1)
    return tuple(found)


@cache
def truth_of_languages() -> dict[str, float]:
    """The parts over all questions, with the noise of languages."""
    scores, gold, _, _ = world()
    noise = np.random.default_rng(5).normal(0, 0.3, (2, 10 * POPULATION, OPTIONS))
    many = np.tile(np.arange(POPULATION), 10)
    later = after("all three")[many] + noise[1]
    return dict(decompose([Answered(scores[many] + noise[0], later, gold[many])], ALONE).plug_in)


def of_same_model(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Whether a part of the change between two runs of one model has an interval without 0."""
    scores, gold, _, _ = world()
    asked = rng.integers(0, POPULATION, n)
    found = []
    for spread in (0.02, 0.2):
        runs = [scores[asked] + rng.normal(0, spread, (n, OPTIONS)) for _ in range(2)]
        parts = decompose([Answered(runs[0], runs[1], gold[asked])], ALONE).estimates
        held_zero = [contains(parts[part], 0.0) for part in PARTS[:-1]]
        found += [None if holds is None else not holds for holds in held_zero]
    return tuple(found)


_NAMES = (
    *("calibrated change", "change due to letter bias", "KL: temperature", "KL: letters besides", "KL: letters first"),
    *("KL: temperature besides", "KL: neither", "ρ corrected for letter bias"),
)
_NAME = dict(zip(PARTS, _NAMES, strict=True))
TABLES: dict[str, Table] = {
    "Parts at the end of what they can be (five answers or fewer turned, KL reaches 0, ρ reaches 1), by number of questions": (
        (100, 250, 1000),
        [
            (
                at_the_boundary,
                tuple(f"{name}: {_NAME[part]}" for name, parts in BOUNDED.items() for part in parts),
            )
        ],
    ),
    "Coverage of the parts of a change, by number of questions": (
        (57, 100, 250, 1000),
        [
            (of_parts, tuple(f"{name}: {part}" for name in PLANTED for part in _NAMES)),
            (of_languages, tuple(f"all three, each question in five languages: {part}" for part in _NAMES)),
        ],
    ),
    "Parts of the change between two runs of one model whose intervals exclude 0, by number of questions": (
        (200, 1000, 5000),
        [
            (
                of_same_model,
                tuple(f"noise of {spread} nats: {part}" for spread in ("0.02", "0.2") for part in _NAMES[:-1]),
            ),
        ],
    ),
}
