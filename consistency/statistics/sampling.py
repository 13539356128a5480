"""Standard errors of a mean for what was sampled: questions, clusters of questions, whole tasks, or two of them at once."""

from __future__ import annotations

import math
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike

from consistency.support.arrays import Bools, Floats, Integers

_MANY = 30


class Labels(TypedDict):
    """What was sampled, a label for each of n questions: the arguments of `consistency.statistics.means.mean`."""

    strata: Integers | None
    tasks: Integers | None
    clusters: Integers | None


def numbered(labels: ArrayLike) -> Integers:
    """Labels as numbers from 0 without a gap, equal ones alike.

    Examples
    --------
    >>> numbered(["b", "a", "b"]).tolist()
    [1, 0, 1]
    """
    codes = np.asarray(labels)
    if codes.dtype == np.int64 and codes.size and codes.min() >= 0 and codes.max() <= 4 * codes.size:
        # Counting is faster than sorting.
        number: Integers = np.cumsum(np.bincount(codes.reshape(-1)) > 0) - 1
        return np.asarray(number[codes.reshape(-1)])
    return np.unique(np.asarray(labels), return_inverse=True)[1].reshape(-1).astype(np.int64)


class Spread(NamedTuple):
    """How far a mean would move with another sample.

    Attributes
    ----------
    se : float or None
        Standard error; None where the sample does not determine it.
    df : float
        Degrees of freedom of that.
    units : ndarray
        What each sampled unit adds to the error of the sum: its shape tells how skewed the mean is.
    """

    se: float | None
    df: float
    units: Floats


def of_questions(x: Floats) -> Spread:
    """The spread of a mean over questions that were sampled one by one.

    Examples
    --------
    >>> of_questions(np.array([1.0, 0.0, 1.0, 1.0])).se
    0.25
    """
    n, units = len(x), x - x.mean()
    se = math.sqrt(float((units * units).sum()) / (n - 1) / n) if n > 1 else None
    return Spread(se, float(n - 1), units)


def within_strata(x: Floats, strata: Integers) -> Spread:
    """The spread of a mean over the questions of fixed tasks.

    Parameters
    ----------
    x : ndarray, shape [n]
    strata : ndarray of int64, shape [n]
        The task of each question, numbered from 0 without a gap. Tasks of a single question are taken together, or with the
        next task, as if they were one.

    Examples
    --------
    >>> within_strata(np.array([0.0, 1.0, 4.0, 5.0]), np.array([0, 0, 1, 1])).se == math.sqrt(0.125)
    True
    """
    strata = _joined(strata, np.bincount(strata))
    counts = np.bincount(strata).astype(np.float64)
    if counts.min() < 2:
        return Spread(None, 0.0, x - x.mean())
    units = x - (np.bincount(strata, weights=x) / counts)[strata]
    parts = np.bincount(strata, weights=units**2) * counts / (counts - 1) / len(x) ** 2
    return Spread(math.sqrt(parts.sum()), _satterthwaite(parts, counts - 1), units)


def over_clusters(x: Floats, clusters: Integers, variance: str = "CR3") -> Spread:
    """The spread of a mean over clusters of questions, such as whole tasks.

    Parameters
    ----------
    x : ndarray, shape [n]
    clusters : ndarray of int64, shape [n]
        Numbered from 0 without a gap.
    variance : {"CR3", "CR1"}
        The delete-one-cluster jackknife, with Kish's effective number of clusters less one as degrees of freedom; or that of
        Liang and Zeger (1986) times G / (G - 1), with G - 1.
    """
    units = _sums(clusters, x - x.mean())
    g, n = len(units), len(x)
    if g < 2:
        return Spread(None, 0.0, units)
    if variance == "CR1":
        return Spread(math.sqrt(g / (g - 1) * float((units**2).sum())) / n, float(g - 1), units)
    share = np.bincount(clusters) / n
    se = math.sqrt((g - 1) / g * float(((units / (1 - share)) ** 2).sum())) / n
    return Spread(se, 1 / float((share**2).sum()) - 1, units)


def over_clusters_within(x: Floats, strata: Integers, clusters: Integers) -> Spread:
    """The spread of a mean over clusters of questions in fixed tasks; a cluster may have questions in several tasks.

    Leaving out one cluster after the other (the jackknife), where each task's mean counts from its own questions. With a
    cluster for each question it is `within_strata`, with a single task `over_clusters`.

    Parameters
    ----------
    x : ndarray, shape [n]
    strata, clusters : ndarray of int64, shape [n]
        The task and the cluster of each question, numbered from 0 without a gap. A task of a single cluster is taken together
        with the next one.

    References
    ----------
    Rust and Rao (1996), Variance estimation for complex surveys using replication techniques. Statistical Methods in Medical
    Research 5, 283-310.
    """
    cells = np.unique(np.stack([strata, clusters]), axis=1)
    strata = _joined(strata, np.bincount(cells[0], minlength=int(strata.max()) + 1))
    (of, cluster), cell, sizes = np.unique(
        np.stack([strata, clusters]), axis=1, return_inverse=True, return_counts=True
    )
    number, questions = np.bincount(of), np.bincount(strata).astype(np.float64)
    if number.min() < 2:
        return Spread(None, 0.0, _sums(clusters, x - x.mean()))
    centred = x - (np.bincount(strata, weights=x) / questions)[strata]
    sums = np.bincount(cell.reshape(-1), weights=centred)
    left = sums * np.sqrt((number - 1) / number)[of] / (1 - sizes / questions[of])
    units = np.bincount(cluster, weights=left)
    block = _blocks(of, cluster)
    total = np.bincount(cluster, weights=sizes)
    of_cluster = np.zeros(len(units), dtype=np.int64)
    of_cluster[cluster] = block[of]
    of_cluster = np.unique(of_cluster, return_inverse=True)[1].reshape(-1)
    parts = np.bincount(of_cluster, weights=units**2) / len(x) ** 2
    freedom = np.bincount(of_cluster, weights=total) ** 2 / np.bincount(of_cluster, weights=total**2) - 1
    return Spread(math.sqrt(parts.sum()), _satterthwaite(parts, freedom), _sums(clusters, centred))


def over_both(x: Floats, clusters: Integers, crossed: Integers) -> Spread:
    """The spread of a mean where two kinds of clusters were sampled that cross each other, such as tasks and questions.

    The sum of both variances less that of their intersections, and never less than either.

    Parameters
    ----------
    x : ndarray, shape [n]
    clusters, crossed : ndarray of int64, shape [n]
        Numbered from 0 without a gap.

    References
    ----------
    Cameron, Gelbach and Miller (2011), Robust inference with multiway clustering. Journal of Business & Economic Statistics
    29, 238-249.
    """
    one, two = over_clusters(x, clusters), over_clusters(x, crossed)
    cells = np.unique(np.stack([clusters, crossed]), axis=1, return_inverse=True)[1].reshape(-1)
    both = over_clusters(x, cells)
    if one.se is None or two.se is None or both.se is None:
        return Spread(None, 0.0, one.units)
    parts = np.array([one.se**2, two.se**2])
    variance = max(float(parts.sum() - both.se**2), float(parts.max()))
    freedom = np.array([one.df, two.df])
    if not variance:
        return Spread(0.0, float(freedom.min()), one.units)
    # No more than what the larger of the two has, where the other adds nothing.
    df = max(float(freedom.min()), variance**2 / float((parts**2 / freedom).sum()))
    return Spread(math.sqrt(variance), min(df, float(freedom[parts.argmax()])), one.units)


def _sums(labels: Integers, values: Floats) -> Floats:
    return np.bincount(labels, weights=values).astype(np.float64)


def independent(n: int, ratio: float, clusters: Integers, happened: Bools) -> float:
    """How many independent questions say as much about the share of a rare event as n in clusters.

    Parameters
    ----------
    n : int
    ratio : float
        Of the variance over questions to that over clusters; NaN where nothing varies.
    clusters : ndarray of int64, shape [n]
    happened : ndarray of bool, shape [n]
        Where the event, or what is rarer, happened. If that is in fewer than 30 clusters, by Kish's number, these cannot tell
        how alike the questions of a cluster are: the correlation is then taken to be at least 1 - clusters / 30.

    Examples
    --------
    >>> passages = np.repeat(np.arange(20), 5)
    >>> round(independent(100, math.nan, passages, np.zeros(100, dtype=bool)))
    20
    """
    sizes = np.bincount(clusters)
    hit = sizes[np.unique(clusters[happened])].astype(np.float64)
    number = float(hit.sum() ** 2 / (hit**2).sum()) if len(hit) else 0.0
    found = n * min(1.0, ratio) if ratio == ratio else float(n)
    others = float(sizes[clusters].mean()) - 1
    return min(found, n / (1 + max(0.0, 1 - number / _MANY) * others))


def _satterthwaite(parts: Floats, freedom: Floats) -> float:
    """Degrees of freedom of a sum of independent variances (Satterthwaite 1946)."""
    spread = float((parts**2 / freedom).sum())
    return float(parts.sum()) ** 2 / spread if spread > 0 else float(freedom.sum())


def _joined(strata: Integers, units: Integers) -> Integers:
    """The strata, those of a single unit taken together until they have two."""
    alone = units == 1
    if not alone.any():
        return strata
    number = np.arange(len(units))
    number[alone] = np.flatnonzero(alone)[0]
    if alone.sum() == 1 and len(units) > 1:
        number[alone] = number[(int(np.flatnonzero(alone)[0]) + 1) % len(units)]
    joined: Integers = np.unique(number, return_inverse=True)[1].reshape(-1)[strata].astype(np.int64)
    return joined


def _blocks(strata: Integers, clusters: Integers) -> Integers:
    """A number for each stratum, the same for those that have a cluster in common, directly or through others."""
    block = np.arange(int(strata.max()) + 1)
    while True:
        least = np.full(int(clusters.max()) + 1, len(block))
        np.minimum.at(least, clusters, block[strata])
        found = block.copy()
        np.minimum.at(found, strata, least[clusters])
        if (found == block).all():
            return block
        block = found
