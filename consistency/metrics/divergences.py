"""How far two distributions over a question's options lie apart: arrays in, one number per question out.

Shapes, padding and impossible options are as in `distributions`; options are compared by column.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from consistency.metrics.distributions import defined, log_probabilities, paired, probabilities
from consistency.metrics.rows import row_nansum, row_sum
from consistency.support.arrays import Floats


def _kl_terms(p: Floats, log_p: Floats, log_q: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        terms = p * (log_p - log_q)
    # 0 log 0 = 0, the limit; and padding contributes nothing.
    return np.where((p > 0) & ~np.isnan(p), terms, 0.0)


def kl_divergence(before: ArrayLike, after: ArrayLike) -> Floats:
    """Kullback-Leibler divergence KL(before || after) in nats.

    With the arguments exchanged it is the other direction.

    Returns
    -------
    ndarray, shape [n]
        At least 0; infinity where `after` gives no probability to an option that `before` thinks possible.

    Examples
    --------
    >>> kl_divergence(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])).round(6).tolist()
    [0.143841]
    """
    x, y = paired(before, after)
    log_p, log_q = log_probabilities(x), log_probabilities(y)
    total = row_sum(_kl_terms(np.exp(log_p), log_p, log_q))
    return defined(np.maximum(total, 0.0), log_p, log_q)


def js_divergence(before: ArrayLike, after: ArrayLike) -> Floats:
    """Jensen-Shannon divergence in nats, between 0 and log 2 (the square of ``scipy.spatial.distance.jensenshannon``).

    Examples
    --------
    >>> js_divergence([[0.0, -np.inf]], [[-np.inf, 0.0]]).round(6).tolist()
    [0.693147]
    """
    x, y = paired(before, after)
    log_p, log_q = log_probabilities(x), log_probabilities(y)
    p, q = np.exp(log_p), np.exp(log_q)
    with np.errstate(divide="ignore"):
        log_m = np.log((p + q) / 2)
    total = (row_sum(_kl_terms(p, log_p, log_m)) + row_sum(_kl_terms(q, log_q, log_m))) / 2
    return defined(np.clip(total, 0.0, np.log(2)), log_p, log_q)


def total_variation(before: ArrayLike, after: ArrayLike) -> Floats:
    """Total variation distance, between 0 and 1: the probability that moved.

    Examples
    --------
    >>> total_variation(np.log([[0.5, 0.5]]), np.log([[0.25, 0.75]])).round(12).tolist()
    [0.25]
    """
    p, q = map(probabilities, paired(before, after))
    # Rounding may leave a sum of probabilities a little over 1.
    return defined(np.minimum(row_nansum(np.abs(p - q)) / 2, 1.0), p, q)


def cosine_similarity(before: ArrayLike, after: ArrayLike) -> Floats:
    """Cosine of the angle between the two probability vectors, between 0 and 1.

    Examples
    --------
    >>> cosine_similarity([[0.0, -np.inf]], [[0.0, 0.0]]).round(6).tolist()
    [0.707107]
    """
    x, y = paired(before, after)
    p, q = probabilities(x), probabilities(y)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = row_nansum(p * q) / np.sqrt(row_nansum(p * p) * row_nansum(q * q))
    return np.asarray(np.minimum(cosine, 1.0))


def hellinger(before: ArrayLike, after: ArrayLike) -> Floats:
    """Hellinger distance, between 0 and 1.

    Examples
    --------
    >>> hellinger([[0.0, -np.inf]], [[-np.inf, 0.0]]).tolist()
    [1.0]
    """
    x, y = paired(before, after)
    p, q = probabilities(x), probabilities(y)
    squared = row_nansum((np.sqrt(p) - np.sqrt(q)) ** 2) / 2
    return defined(np.sqrt(np.minimum(squared, 1.0)), p, q)


def entropy(scores: ArrayLike) -> Floats:
    """Shannon entropy of each question's distribution in nats.

    Examples
    --------
    >>> entropy([[0.0, 0.0, np.nan]]).round(6).tolist()
    [0.693147]
    """
    log_p = log_probabilities(scores)
    p = np.exp(log_p)
    return defined(-row_sum(_kl_terms(p, log_p, np.zeros_like(p))) + 0.0, log_p)
