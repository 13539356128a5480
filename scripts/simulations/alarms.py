"""Draws of alarms of a training that is looked at again and again: false ones, and how long harm goes on before one."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from consistency.statistics.paired_shares import greater_change
from consistency.statistics.sequential import Turned, correlation, levels, p_of_loss, p_of_turning, spending
from consistency.support.arrays import Floats, Integers
from consistency.watch.schedule import Schedule
from simulations.draws import Table

SIZES = (200, 500, 2000)
LOOKS = (5, 10, 20, 50)
TEN = 10
CONDITIONS = ("margin", "harmful_flips")
# Of margin at ten looks.
BESIDES = (
    "margin, each look at 5 % / 10 (Bonferroni)",
    "margin, mean of betting e-values",
    "margin, as many looks as are paid for",
    "margin, two looks at the end",
)
# Shares of the answers that turn by noise; elsewhere 5 %.
NOISE = (0.02, 0.15)
MARGIN, LIMIT, ALPHA = 0.01, 0.03, 0.05
# Correlations of what decides a question's answer: between one look and the next, and what all looks have in common.
NEXT, ALWAYS = 0.95, 0.3
# Points beyond the margin, from this part of the training on.
HARM, ONSET = (0.03, 0.05, 0.1), 0.2
# Stakes of the bets, as parts of the largest: e-values are means over them.
STAKES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4])


def turned(
    rng: np.random.Generator, n: int, losing: Floats, winning: Floats, following: float = NEXT, always: float = ALWAYS
) -> Integers:
    """Answers of n questions at each look, shape [looks, n]: -1 turned to wrong, 1 to right, with given chances at each look."""
    from scipy.special import ndtri

    steady, latent = rng.normal(size=n), rng.normal(size=n)
    found = np.zeros((len(losing), n), dtype=np.int64)
    for look, (lose, win) in enumerate(zip(losing, winning, strict=True)):
        if look:
            latent = following * latent + math.sqrt(1 - following**2) * rng.normal(size=n)
        mixed = math.sqrt(always) * steady + math.sqrt(1 - always) * latent
        found[look] = (mixed > ndtri(1 - win)).astype(np.int64) - (mixed < ndtri(lose))
    return found


@cache
def _p(condition: str, lost: int, won: int, n: int) -> float:
    """The p of a look; where that is far from any level, the quick one of the score test."""
    counts = Turned(lost, won, n)
    if condition != "margin":
        return p_of_turning(counts, LIMIT)
    quick = greater_change(won, lost, n, MARGIN, many=0)
    return p_of_loss(counts, MARGIN) if 1e-9 < quick < 2 * ALPHA else quick


def first_alarm(answers: Integers, condition: str, alpha: float = ALPHA, progress: Floats | None = None) -> int | None:
    """The look, from 0, that raises the alarm; looks are evenly spread over the training unless `progress` says when they are."""
    p = ps(answers, condition)
    done = np.arange(1, len(p) + 1) / len(p) if progress is None else progress
    until = alpha * spending(done)
    # No level is above what is spent until then.
    near = np.flatnonzero(p <= until)
    if not len(near):
        return None
    counted = answers if condition == "margin" else answers == -1
    known = levels(correlation(counted[: near[-1] + 1]), alpha, done[: near[-1] + 1])
    over = np.flatnonzero(p[: len(known)] <= known)
    return int(over[0]) if len(over) else None


def ps(answers: Integers, condition: str) -> Floats:
    """The p of each look."""
    n = answers.shape[1]
    lost, won = (answers == -1).sum(axis=1), (answers == 1).sum(axis=1)
    if condition != "margin":
        won = np.zeros_like(lost)
    return np.array([_p(condition, one, other, n) for one, other in zip(lost.tolist(), won.tolist(), strict=True)])


def first_alone(answers: Integers, condition: str) -> int | None:
    """The same where each look has its part of the level, as if looks were not alike."""
    over = np.flatnonzero(ps(answers, condition) <= ALPHA / len(answers))
    return int(over[0]) if len(over) else None


def first_bet(answers: Integers, condition: str) -> int | None:
    """The same by e-values.

    At each look the questions are bet on, one after another, with several stakes (Waudby-Smith and Ramdas 2024); the mean over
    the stakes is an e-value, and so is the mean over all looks, those to come counted as 0 (Vovk and Wang 2021).
    """
    n = answers.shape[1]
    lost, won = (answers == -1).sum(axis=1), (answers == 1).sum(axis=1)
    if condition == "margin":
        stakes = STAKES / (1 + MARGIN)
        logs = (
            lost[:, None] * np.log1p(stakes * (1 - MARGIN))
            + won[:, None] * np.log1p(-stakes * (1 + MARGIN))
            + (n - lost - won)[:, None] * np.log1p(-stakes * MARGIN)
        )
    else:
        stakes = STAKES / LIMIT * 0.5
        logs = lost[:, None] * np.log1p(stakes * (1 - LIMIT)) + (n - lost)[:, None] * np.log1p(-stakes * LIMIT)
    values = np.exp(logs).mean(axis=1)
    over = np.flatnonzero(values.cumsum() / len(answers) >= 1 / ALPHA)
    return int(over[0]) if len(over) else None


def at_the_limit(rng: np.random.Generator, n: int, looks: int, noise: float, *alike: float) -> Integers:
    """A training whose net loss is the margin at every look, and which loses the limit where noise is that."""
    return turned(rng, n, np.full(looks, (noise + MARGIN) / 2), np.full(looks, (noise - MARGIN) / 2), *alike)


def by_cost(rng: np.random.Generator) -> tuple[tuple[Integers, Floats], ...]:
    """Which of ten places looks are at, and how much of the training is then done.

    Of a training whose looks are chosen by what they cost: their distances change as costs do. And of one that was made longer
    when it was over: its last look comes after all of it was done once.
    """
    schedule = Schedule(None, 0.05, 1000)
    steps, spent, look = [], 1.0, 1.0
    for step in range(2, 1001):
        if schedule.is_revised(step) or schedule.last == step - 1:
            schedule.revise(step, per_step=0.1, spent=spent, look=look)
        if schedule.is_due(step):
            steps.append(step)
            look = float(rng.uniform(0.3, 1.5))
            spent, schedule.last = spent + look, step
            schedule.revise(step, per_step=0.1, spent=spent, look=look)
    done = np.array(steps) / 1000
    places = np.minimum((done * TEN).astype(np.int64), TEN - 1)
    return (places, done), (np.array([TEN - 2, TEN - 1]), np.array([1.0, 1.0]))


def of_alarms_without_harm(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Whether there is an alarm in trainings whose true loss, or share of harmful flips, is the limit at every look."""
    found = []
    for looks in LOOKS:
        # Of 5 % noise 3 % turn from right to wrong: both limits are reached.
        answers = at_the_limit(rng, n, looks, 2 * LIMIT - MARGIN)
        found += [first_alarm(answers, condition) is not None for condition in CONDITIONS]
        found.append(any(first_alarm(answers, condition, ALPHA / 2) is not None for condition in CONDITIONS))
        if looks == TEN:
            found += [how(answers, "margin") is not None for how in (first_alone, first_bet)]
            found += [
                first_alarm(answers[at], "margin", progress=done) is not None for at, done in by_cost(rng.spawn(1)[0])
            ]
    found += [first_alarm(at_the_limit(rng, n, TEN, noise), "margin") is not None for noise in NOISE]
    for alike in ((0.0, 0.0), (1.0, 0.0)):
        found.append(first_alarm(at_the_limit(rng, n, TEN, 0.05, *alike), "margin") is not None)
    return tuple(found)


def of_alarms_of_harm(rng: np.random.Generator, n: int) -> tuple[bool | float | None, ...]:
    """Whether and when there is an alarm in trainings of ten looks that do harm, suddenly or little by little."""
    looks, found = TEN, []
    onset = round(ONSET * looks)
    for harm in HARM:
        loss = np.where(np.arange(looks) >= onset, MARGIN + harm, 0.0)
        answers = turned(rng, n, 0.025 + loss, np.full(looks, 0.025))
        first = first_alarm(answers, "margin")
        late = first is not None and first >= onset
        found += [late, (first - onset) / looks if first is not None and late else None]
        found += [how(answers, "margin") is not None for how in (first_alone, first_bet)]
        loss = (MARGIN + harm) * np.arange(1, looks + 1) / looks
        found.append(first_alarm(turned(rng, n, 0.025 + loss, np.full(looks, 0.025)), "margin") is not None)
    return tuple(found)


TABLES: dict[str, Table] = {
    "False alarms over a whole training whose true harm is the limit at every look, by number of questions": (
        SIZES,
        [
            (
                of_alarms_without_harm,
                (
                    *(
                        f"{looks} looks, {what}"
                        for looks in LOOKS
                        for what in (
                            *("margin", "harmful flips", "both conditions"),
                            *(BESIDES if looks == TEN else ()),
                        )
                    ),
                    *(f"10 looks, margin, {100 * noise:g} % turn by noise" for noise in NOISE),
                    "10 looks, margin, looks have nothing in common",
                    "10 looks, margin, the same answers turn at all looks",
                ),
            )
        ],
    ),
    "Alarms of harm beyond a margin of 1 point in ten looks, 5 % of the answers turn by noise, by number of questions": (
        SIZES,
        [
            (
                of_alarms_of_harm,
                tuple(
                    f"{100 * harm:g} points beyond: {what}"
                    for harm in HARM
                    for what in (
                        "from a fifth of the training on, found",
                        "mean delay where found, share of the training",
                        "found at 5 % / 10 for each look (Bonferroni)",
                        "found by the mean of betting e-values",
                        "reached little by little at the end, found",
                    )
                ),
            )
        ],
    ),
}
