"""Draws of several runs a side, whose models differ from run to run, asked the same questions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from consistency.comparison.sampling import Analysis
from consistency.comparison.sides.answers import TaskRuns
from consistency.comparison.sides.measured import measure
from consistency.comparison.sides.sections import side_section
from consistency.logs.scores import Scores
from consistency.metrics.distributions import log_probabilities
from consistency.statistics.estimates import Estimate
from consistency.statistics.means import mean
from consistency.statistics.sides import among_runs
from consistency.support.arrays import Bools, Floats
from consistency.support.progress_line import silent
from simulations.draws import Table, rejects, within

QUESTIONS = 250
OPTIONS = 4
TASK = "drawn"
# Runs that the truth is the mean of, and questions asked of each.
RUNS, ASKED = 500, 1_000
MEASURES = ("delta_accuracy", "harmful_flips", "kl", "js", "spearman")
BEYOND = ("harmful_flips", "kl")
UNEQUAL = {2: 5, 3: 2, 5: 3}


@dataclass(frozen=True)
class Recipe:
    """How the runs of a side differ from those of the other, and from each other.

    Attributes
    ----------
    change : float
        Of the right option's logit, from the side before to that after.
    knowledge, letters : float
        Standard deviations from run to run, in nats: of the logit of all right options, and of each letter.
    chance : float
        The same of single options of single questions.
    """

    change: float
    knowledge: float
    letters: float
    chance: float = 0.5


RECIPES = {
    "runs differ by chance alone": Recipe(-0.3, 0.0, 0.0),
    "runs differ as wholes": Recipe(-0.3, 0.15, 0.2),
}
# Of what two runs of one side differ by: how runs differ, and how many questions they are asked.
APART = {name: (recipe, QUESTIONS) for name, recipe in RECIPES.items()} | {
    "runs differ by some 6 points, 2,000 questions": (Recipe(-0.3, 0.4, 0.2), 2_000)
}
# Of squared distances of runs, whose mean is 2: how many they are the mean of, and what all pairs differ by besides.
LEVELS, SHARED = (1, 4), (0.0, 4.0)
NONE = {name: Recipe(0.0, recipe.knowledge, recipe.letters) for name, recipe in RECIPES.items()}


def questions(rng: np.random.Generator, n: int) -> tuple[Floats, Bools]:
    """What all runs know of new questions, and which options are right."""
    gold = np.eye(OPTIONS, dtype=bool)[rng.integers(0, OPTIONS, n)]
    return rng.normal(0, 1.0, (n, OPTIONS)) + rng.normal(1.0, 1.5, (n, 1)) * gold, gold


def run_of(rng: np.random.Generator, known: Floats, gold: Bools, recipe: Recipe, side: int) -> Floats:
    """The log-probabilities of one more run of a side."""
    own = rng.normal(0, recipe.knowledge) + side * recipe.change
    noise = rng.normal(0, recipe.letters, OPTIONS) + rng.normal(0, recipe.chance, known.shape)
    return log_probabilities(known + own * gold + noise)


def task_of(before: list[Floats], after: list[Floats], gold: Bools) -> TaskRuns:
    """Runs as logs give them."""
    n = len(gold)

    def scores(logs: Floats) -> Scores:
        return Scores(
            task=TASK,
            filter="none",
            doc_id=np.arange(n),
            doc_hash=("",) * n,
            prompt_hash=("",) * n,
            logprobs=logs,
            n_options=np.full(n, OPTIONS),
            gold=gold,
            metrics={},
            continuations=((" A", " B", " C", " D"),) * n,
            documents=(b"{}",) * n,
            unconditional=None,
            source=Path(),
        )

    return TaskRuns(tuple(map(scores, before)), tuple(map(scores, after)), n)


@cache
def truth(recipe: Recipe) -> dict[str, float]:
    """The measures over all questions and runs, and by how much the sides differ more than two runs of one."""
    rng = np.random.default_rng(20261129)
    sums: dict[str, list[float]] = {}
    for _ in range(RUNS):
        known, gold = questions(rng, ASKED)
        sides = [[run_of(rng, known, gold, recipe, side) for _ in range(2)] for side in (0, 1)]
        found = measure({TASK: task_of(sides[0], sides[1], gold)}, silent)[TASK]
        for name in MEASURES:
            sums.setdefault(name, []).append(float(found.between[name][0].mean()))
        for name in BEYOND:
            between = found.between[name][0].mean()
            if name == "kl":
                between = (between + found.between["kl_reverse"][0].mean()) / 2
            noise = [found.within[side][name].mean() for side in (0, 1)]
            sums.setdefault(f"beyond {name}", []).append(float(between - np.mean(noise)))
            sums.setdefault(f"within {name}", []).append(float(noise[0]))
    return {name: float(np.mean(values)) for name, values in sums.items()}


def contains(found: Estimate, value: float) -> bool | None:
    """Whether an interval contains a value."""
    return within(found.ci_low, value, found.ci_high)


def drawn(rng: np.random.Generator, recipe: Recipe, sizes: tuple[int, int], n: int = QUESTIONS) -> TaskRuns:
    """Runs of both sides, asked new questions."""
    known, gold = questions(rng, n)
    before, after = ([run_of(rng, known, gold, recipe, side) for _ in range(count)] for side, count in enumerate(sizes))
    return task_of(before, after, gold)


def outcomes(rng: np.random.Generator, sizes: tuple[int, int]) -> tuple[bool | None, ...]:
    """Coverage of each measure and of what is beyond the noise, with a change; alarms without one."""
    found: list[bool | None] = []
    for name, recipe in RECIPES.items():
        task = drawn(rng, recipe, sizes)
        measured = measure({TASK: task}, silent)
        item = side_section(TASK, {TASK: task}, measured, Analysis())
        estimates = item.section.estimates
        found += [contains(estimates[key], truth(recipe)[key]) for key in MEASURES]
        found += [contains(item.noise[key].beyond, truth(recipe)[f"beyond {key}"]) for key in BEYOND]
        alone = mean(measured[TASK].between["delta_accuracy"][0].mean(axis=0))
        found.append(contains(alone, truth(recipe)["delta_accuracy"]))
        task = drawn(rng, NONE[name], sizes)
        none = side_section(TASK, {TASK: task}, measure({TASK: task}, silent), Analysis())
        found.append(rejects(none.section.sign_flip_p))
        found += [rejects(none.noise[key].p) for key in BEYOND]
    return tuple(found)


def of_sides(rng: np.random.Generator, runs: int) -> tuple[bool | None, ...]:
    """As many runs on either side."""
    return outcomes(rng, (runs, runs))


def of_unequal_sides(rng: np.random.Generator, runs: int) -> tuple[bool | None, ...]:
    """More or fewer runs after than before."""
    return outcomes(rng, (runs, UNEQUAL[runs]))


@cache
def calibrated_truth(recipe: Recipe) -> float:
    """The change of accuracy without the prior of the letters, which the model's questions have none of."""
    return truth(Recipe(recipe.change, recipe.knowledge, 0.0))["delta_accuracy"]


def of_calibrated_sides(rng: np.random.Generator, runs: int) -> tuple[bool | None, ...]:
    """The change corrected for letter bias, where runs differ by chance alone and as wholes."""
    found = []
    for recipe in RECIPES.values():
        task = drawn(rng, recipe, (runs, runs))
        section = side_section(TASK, {TASK: task}, measure({TASK: task}, silent), Analysis()).section
        assert section.decomposition is not None
        found.append(contains(section.decomposition.estimates["calibrated_change"], calibrated_truth(recipe)))
    return tuple(found)


def of_one_side(rng: np.random.Generator, runs: int) -> tuple[bool | None, ...]:
    """What two runs of one side differ by, where runs differ by chance alone, as wholes, and greatly with many questions."""
    found = []
    for recipe, n in APART.values():
        task = drawn(rng, recipe, (runs, 1), n)
        noise = side_section(TASK, {TASK: task}, measure({TASK: task}, silent), Analysis()).noise
        for key in BEYOND:
            within_side = noise[key].before
            assert within_side is not None
            found.append(contains(within_side, truth(recipe)[f"within {key}"]))
    return tuple(found)


def of_levels(rng: np.random.Generator, runs: int) -> tuple[bool | None, ...]:
    """What two runs differ by where it is a sum of squares of their normal levels, alone or beside what all pairs have."""
    found = []
    for levels in LEVELS:
        drawn_levels = rng.normal(0, 1, (runs, levels))
        pairs = ((drawn_levels[:, None] - drawn_levels) ** 2).mean(axis=2)
        for shared in SHARED:
            # Two questions that are alike: what is known of the questions is known exactly.
            each = np.repeat(pairs.sum(axis=1, keepdims=True) / (runs - 1) + shared, 2, axis=1)
            found.append(contains(among_runs(mean(each.mean(axis=0)), each), 2.0 + shared))
    return tuple(found)


_NAMES = tuple(
    f"{recipe}: {row}"
    for recipe in RECIPES
    for row in (
        *("accuracy change", "right → wrong", "KL", "JS", "ρ", "right → wrong beyond the noise", "KL beyond the noise"),
        "accuracy change, over questions alone",
        *(f"found where there is none: {what}" for what in ("accuracy change", "right → wrong", "KL")),
    )
)
TABLES: dict[str, Table] = {
    "Coverage of changes between two sides of several runs, by number of runs a side": (
        (2, 3, 5),
        [
            (of_sides, _NAMES),
            (of_calibrated_sides, tuple(f"{recipe}: accuracy change corrected for letter bias" for recipe in RECIPES)),
        ],
    ),
    "Coverage of changes between sides of unequal numbers of runs, by number of runs before (after: 5, 2, 3)": (
        (2, 3, 5),
        [(of_unequal_sides, _NAMES)],
    ),
    "Coverage of what two runs of one side differ by, by number of its runs": (
        (2, 3, 5),
        [(of_one_side, tuple(f"{apart}: {what}" for apart in APART for what in ("right → wrong", "KL")))],
    ),
    "Coverage of what runs differ by where it is the square of normal levels, by number of runs": (
        (3, 4, 5, 10, 20),
        [
            (
                of_levels,
                tuple(
                    f"levels a run: {levels}; mean of their squares 2, the same in all pairs {shared:g}"
                    for levels in LEVELS
                    for shared in SHARED
                ),
            )
        ],
    ),
}
