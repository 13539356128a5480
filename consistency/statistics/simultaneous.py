"""Many means at once: how far the largest of their errors reaches, for intervals that hold for all of them together.

The means are of the same questions, and so their errors go together: with Bonferroni's level intervals would be too wide. Here
the largest error is drawn from the normal distribution that has the correlations which are found over the questions, or over
clusters of them.

References
----------
Dunnett (1955), A multiple comparison procedure for comparing several treatments with a control. JASA 50, 1096-1121.
Hothorn, Bretz and Westfall (2008), Simultaneous inference in general parametric models. Biometrical Journal 50, 346-363.
Royen (2014), A simple proof of the Gaussian correlation conjecture extended to some multivariate gamma distributions. Far East
Journal of Theoretical Statistics 48, 139-145.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from consistency.statistics.hypotheses import mcnemar_exact
from consistency.statistics.intervals import quantile
from consistency.support.arrays import Floats, Integers

DRAWS = 20_000
# Signs that are in memory at once: 32 MB.
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

    def in_order(self) -> Block:
        """The same means in an order that is their own, whichever came first: what is drawn of them is then the same."""
        order = sorted(range(self.values.shape[1]), key=lambda column: self.values[:, column].tobytes())
        return Block(self.units, self.values[:, order])

    def correlations(self) -> Floats:
        """The correlations of the errors of the means, shape [k, k]; 0 throughout for a mean of values that do not vary."""
        known = np.isfinite(self.values)
        counts = np.maximum(known.sum(axis=0), 1)
        centred = np.where(known, self.values, 0.0)
        centred -= np.where(known, centred.sum(axis=0) / counts, 0.0)
        sums = sums_of(self.units, centred)
        norms = np.sqrt((sums**2).sum(axis=0))
        # What rounding leaves of no variance is none.
        varied = norms > 1e-9 * np.sqrt(counts)
        shares = np.where(varied, sums / np.where(varied, norms, 1.0), 0.0)
        return np.asarray(shares.T @ shares)


def sums_of(units: Integers, values: Floats) -> Floats:
    """The sums of the rows of each unit, shape [units, k]."""
    found, place = np.unique(units, return_inverse=True)
    if len(found) == len(units):
        return values
    sums = np.zeros((len(found), values.shape[1]))
    np.add.at(sums, place.reshape(-1), values)
    return sums


def largest_errors(blocks: Sequence[Block], draws: int = DRAWS, seed: int = 0) -> Floats:
    """Of each draw the largest standardized error, in either direction, among the means of each block.

    Parameters
    ----------
    blocks : sequence of Block
        Each is drawn for itself: of different questions their errors are independent. Where two blocks share questions, their
        errors go together, and the largest over both is smaller than that over these draws (Royen 2014). The order of the
        means within a block changes nothing.
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
    rng, found = np.random.default_rng(seed), np.zeros((len(blocks), draws))
    for row, block in enumerate(blocks):
        values, vectors = np.linalg.eigh(block.in_order().correlations())
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        found[row] = np.abs(rng.standard_normal((draws, len(factor))) @ factor.T).max(axis=1, initial=0.0)
    return found


def critical(largest: Floats, confidence: float = 0.95) -> float:
    """By how many standard errors intervals that hold together are wide on each side; never less than one interval alone."""
    return max(float(np.quantile(largest, confidence, method="higher")), quantile(confidence))


def confidence_of_each(largest: Floats, confidence: float = 0.95) -> float:
    """The confidence that each interval needs for all of them to hold together with `confidence`.

    Examples
    --------
    >>> round(confidence_of_each(np.full(100, 1.959964)), 3)
    0.95
    """
    from scipy.special import ndtr

    return max(confidence, 1 - 2 * float(ndtr(-critical(largest, confidence))))


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
    return [float(share) for share in np.minimum((reached + 1) / (len(ordered) + 1), 1.0)]


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
    sums = sums_of(units, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))
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
            signs = ((np.arange(start, start + rows)[:, None] >> np.arange(len(sums))) & 1).astype(np.uint8)
        else:
            packed = rng.integers(0, 256, (rows, -(-len(sums) // 8)), dtype=np.uint8)
            signs = np.unpackbits(packed, axis=1, count=len(sums))
        count += (np.abs(2 * (signs.astype(np.float64) @ sums) - sums.sum(axis=0)) >= reached).sum(axis=0)
    p[drawn] = count / total if every else (count + 1) / (total + 1)
    return p.tolist()
