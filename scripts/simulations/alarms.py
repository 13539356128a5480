"""Draws of alarms of a training that is looked at again and again: false ones, and how long harm goes on before one."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial

import numpy as np

from consistency.statistics.sequential import Turned, correlation, levels, p_of_loss, p_of_turning, spending
from consistency.support.arrays import Floats, Integers
from simulations.draws import Table

SIZES = (200, 500, 2000)
LOOKS = (5, 10, 20, 50)
# Shares of the answers that turn by noise, most of them back and forth.
NOISE = (0.02, 0.05, 0.15)
MARGIN, LIMIT, ALPHA = 0.01, 0.03, 0.05
# How alike a question's answers at one look and the next are, and whatever the distance between two looks.
NEXT, ALWAYS = 0.9, 0.3
# Stakes of the bets, as parts of the largest: e-values are means over them.
STAKES = np.array([0.01, 0.02, 0.05, 0.1, 0.2, 0.4])


def turned(rng: np.random.Generator, n: int, losing: Floats, winning: Floats, following: float = NEXT) -> Integers:
    """Answers of n questions at each look, shape [looks, n]: -1 turned to wrong, 1 to right, with given chances at each look."""
    from scipy.special import ndtri

    always = rng.normal(size=n)
    latent = rng.normal(size=n)
    found = np.zeros((len(losing), n), dtype=np.int64)
    for look, (lose, win) in enumerate(zip(losing, winning, strict=True)):
        if look:
            latent = following * latent + math.sqrt(1 - following**2) * rng.normal(size=n)
        mixed = math.sqrt(ALWAYS) * always + math.sqrt(1 - ALWAYS) * latent
        found[look] = (mixed > ndtri(1 - win)).astype(np.int64) - (mixed < ndtri(lose))
    return found


@cache
def _p(condition: str, lost: int, won: int, n: int) -> float:
    counts = Turned(lost, won, n)
    return p_of_loss(counts, MARGIN) if condition == "margin" else p_of_turning(counts, LIMIT)


def first_alarm(answers: Integers, condition: str, alpha: float = ALPHA, planned: int | None = -1) -> int | None:
    """The look, from 0, that raises the alarm."""
    planned = len(answers) if planned == -1 else planned
    p = ps(answers, condition)
    until = alpha * np.array([spending(number, planned) for number in range(1, len(p) + 1)])
    # No level is above what is spent until then.
    near = np.flatnonzero(p <= until)
    if not len(near):
        return None
    counted = answers if condition == "margin" else answers == -1
    known = levels(correlation(counted[: near[-1] + 1]), alpha, planned)
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
