"""What draws of different subjects have in common: sizes, answers that flip, whether an interval holds or a test rejects.

A draw takes a generator and a number of questions, tasks or runs, and returns one outcome for each of its names in `TABLES`:
true, false, a share, or None where there is none.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from consistency.statistics.estimates import Estimate
from consistency.support.arrays import Floats, Integers

Draw = Callable[[np.random.Generator, int], tuple[float | bool | None, ...]]
# The sizes, which head the columns, and each draw with the names of its rows.
Table = tuple[tuple[int, ...], list[tuple[Draw, tuple[str, ...]]]]
SIZES = (10, 57, 500)
# Questions of MMLU's 57 test sets, in tens.
MMLU = np.array(
    "10 14 15 10 27 14 10 10 10 17 10 10 24 11 15 38 13 10 31 20 10 17 20 19 39 27 15 24 55 22 20 24 22 13 12 11 16 11"
    " 10 23 10 78 35 90 31 31 32 28 153 27 61 11 25 20 10 17 17".split(),
    dtype=np.int64,
)


def seed_of(rng: np.random.Generator) -> int:
    """A seed for what resamples by itself."""
    return int(rng.integers(2**31))


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


def within(low: float | None, truth: float, high: float | None) -> bool | None:
    """Whether the truth is inside an interval; None where there is no interval."""
    return None if low is None or high is None else low <= truth <= high


def covers(estimate: Estimate, truth: float) -> bool:
    """Whether the interval contains the truth; where there is none, it does not."""
    return bool(within(estimate.ci_low, truth, estimate.ci_high))


def rejects(p: float | None) -> bool:
    """Whether a test rejects at 5 %."""
    return p is not None and bool(p <= 0.05)
