"""Many means at once: how far the largest of their errors reaches, for intervals that hold for all of them together.

The means are of the same questions, and so their errors go together: with Bonferroni's level intervals would be too wide. Here
the joint distribution of the standardized errors is found by a multiplier bootstrap: every question, or every cluster of
questions, gets a normal number, the same in all means that it enters.

References
----------
Dunnett (1955), A multiple comparison procedure for comparing several treatments with a control. JASA 50, 1096-1121.
Hothorn, Bretz and Westfall (2008), Simultaneous inference in general parametric models. Biometrical Journal 50, 346-363.
Chernozhukov, Chetverikov and Kato (2013), Gaussian approximations and multiplier bootstrap for maxima of sums of
high-dimensional random vectors. Annals of Statistics 41, 2786-2819.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from consistency.statistics.hypotheses import mcnemar_exact
from consistency.support.arrays import Floats, Integers

DRAWS = 10_000
# Multipliers that are in memory at once: 16 MB.
_AT_ONCE = 4_000_000


@dataclass(frozen=True, eq=False)
class Block:
    """Means over the same questions.

    Attributes
    ----------
    units : ndarray of int64, shape [n]
        What each question is sampled with: a number of its own, or that of its cluster.
    values : ndarray of float64, shape [n, k]
        Of each mean a column; a value that is not finite does not enter.
    """

    units: Integers
    values: Floats

    def standardized(self) -> tuple[Integers, Floats]:
        """The units, and the share of each in the error of each mean, whose squares sum to 1; 0 where nothing varies."""
        known = np.isfinite(self.values)
        counts = known.sum(axis=0)
        centred = np.where(known, self.values, 0.0)
        centred -= np.where(known, centred.sum(axis=0) / np.maximum(counts, 1), 0.0)
        found, place = np.unique(self.units, return_inverse=True)
        if len(found) < len(self.units):
            sums = np.zeros((len(found), centred.shape[1]))
            np.add.at(sums, place.reshape(-1), centred)
        else:
            sums = centred[np.argsort(place.reshape(-1))]
        norms = np.sqrt((sums**2).sum(axis=0))
        # What rounding leaves of no variance is none.
        varied = norms > 1e-9 * np.sqrt(np.maximum(counts, 1))
        return found, np.where(varied, sums / np.where(varied, norms, 1.0), 0.0)


def largest_errors(blocks: Sequence[Block], draws: int = DRAWS, seed: int = 0) -> Floats:
    """Of each draw the largest standardized error, in either direction, among the means of each block.

    Parameters
    ----------
    blocks : sequence of Block
        A unit has the same number in all blocks.
    draws, seed : int

    Returns
    -------
    ndarray of float64, shape [blocks, draws]
        The largest over several blocks is the largest of their rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> alone = largest_errors([Block(np.arange(200), rng.normal(size=(200, 1)))])
    >>> ten = largest_errors([Block(np.arange(200), rng.normal(size=(200, 10)))])
    >>> round(critical(alone[0]), 1), round(critical(ten[0]), 1)
    (2.0, 2.8)
    """
    parts = [block.standardized() for block in blocks]
    every = np.unique(np.concatenate([units for units, _ in parts]))
    parts = [(np.searchsorted(every, units), shares.astype(np.float32)) for units, shares in parts]
    most = len(every)
    rng, found = np.random.default_rng(seed), np.zeros((len(parts), draws))
    step = max(1, _AT_ONCE // most)
    for start in range(0, draws, step):
        multipliers = rng.standard_normal((min(step, draws - start), most), dtype=np.float32)
        for row, (units, shares) in enumerate(parts):
            whole = len(units) == most
            errors = (multipliers if whole else multipliers[:, units]) @ shares
            found[row, start : start + len(multipliers)] = np.abs(errors).max(axis=1, initial=0.0)
    return found


def critical(largest: Floats, confidence: float = 0.95) -> float:
    """By how many standard errors intervals that hold together are wide on each side."""
    return float(np.quantile(largest, confidence, method="higher"))


def confidence_of_each(largest: Floats, confidence: float = 0.95) -> float:
    """The confidence that each interval needs for all of them to hold together with `confidence`.

    Examples
    --------
    >>> round(confidence_of_each(np.full(100, 1.959964)), 3)
    0.95
    """
    from scipy.special import ndtr

    return 1 - 2 * float(ndtr(-critical(largest, confidence)))


def adjusted(p: Sequence[float], largest: Floats) -> list[float]:
    """The p-values of tests of one family, each adjusted in a single step by the distribution of the largest error.

    Parameters
    ----------
    p : sequence of float
        Two-sided.
    largest : ndarray, shape [draws]

    Examples
    --------
    >>> adjusted([0.05, 1.0], np.linspace(0, 4, 9999))
    [0.5101, 1.0]
    """
    from scipy.special import ndtri

    ordered = np.sort(largest)
    found = np.abs(ndtri(np.clip(np.asarray(p, dtype=np.float64), 1e-300, 1.0) / 2))
    reached = len(ordered) - np.searchsorted(ordered, found - 1e-9)
    return np.minimum((reached + 1) / (len(ordered) + 1), 1.0).tolist()


def sign_flip_tests(values: Floats, units: Integers, resamples: int = 9999, seed: int = 0) -> list[float]:
    """The p of no change of each of several means: the test of `sign_flip_test`, with the same signs for all of them.

    Parameters
    ----------
    values : ndarray, shape [n, k]
        Changes; a value that is not finite does not enter.
    units : ndarray of int64, shape [n]
        Those with one number change sign together.

    Examples
    --------
    >>> sign_flip_tests(np.array([[1.0, 1.0], [1.0, 0.0], [1.0, -1.0], [1.0, 0.0], [1.0, 0.0]]), np.arange(5))
    [0.0625, 1.0]
    """
    found, place = np.unique(units, return_inverse=True)
    sums = np.zeros((len(found), values.shape[1]))
    np.add.at(sums, place.reshape(-1), np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))
    p = np.ones(sums.shape[1])
    drawn = []
    for column in range(sums.shape[1]):
        steps = sums[:, column][sums[:, column] != 0]
        if len(steps) and np.ptp(np.abs(steps)) == 0:
            p[column] = mcnemar_exact(int((steps < 0).sum()), int((steps > 0).sum()))
        elif len(steps):
            drawn.append(column)
    if not drawn:
        return p.tolist()
    sums = sums[:, drawn]
    sums = sums[(sums != 0).any(axis=1)]
    every = 2 ** min(len(sums), 62) <= resamples
    count, total = np.zeros(len(drawn)), 2 ** len(sums) if every else resamples
    reached = np.abs(sums.sum(axis=0)) - 1e-12 * np.abs(sums).sum(axis=0)
    rng, step = np.random.default_rng(seed), max(1, _AT_ONCE // len(sums))
    for start in range(0, total, step):
        rows = min(step, total - start)
        if every:
            signs = (np.arange(start, start + rows)[:, None] >> np.arange(len(sums))) & 1
        else:
            packed = rng.integers(0, 256, (rows, -(-len(sums) // 8)), dtype=np.uint8)
            signs = np.unpackbits(packed, axis=1, count=len(sums))
        count += (np.abs(2 * (signs.astype(np.float64) @ sums) - sums.sum(axis=0)) >= reached).sum(axis=0)
    p[drawn] = count / total if every else (count + 1) / (total + 1)
    return p.tolist()
