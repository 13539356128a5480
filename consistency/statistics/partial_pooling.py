"""Partial pooling of the changes of several slices: each is pulled towards their mean, the more the less it says by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from consistency.statistics.estimates import Estimate
from consistency.support.arrays import Floats

# With fewer slices the data say too little of how much slices differ; with fewer questions that changed, of how sure each is.
FEWEST_SLICES, FEWEST_TURNED = 5, 10
# The variance of a slice's questions counts beside the pooled one as if that came from so many answers that turned.
_PRIOR = 15
# Standard deviations between slices at which the posterior is computed, and how far beyond what the data show.
_GRID, _REACH = 201, 12.0
_Z = 1.959963984540054


@dataclass(frozen=True)
class PartialPooling:
    """Slices that are pulled towards their mean.

    Attributes
    ----------
    changes : tuple of Estimate
        Of each slice; its interval holds the truth of the slice with 95 % on average over the slices.
    between : float
        The posterior median of the standard deviation between the slices' true changes.
    """

    changes: tuple[Estimate, ...]
    between: float


def partially_pooled(changes: Sequence[Estimate], turned: int) -> PartialPooling | None:
    """The changes of several slices under a hierarchical normal model.

    The true changes are normal around a common mean, with a flat prior of the mean and of the variance between slices (Stein's
    harmonic prior): its intervals cover about 95 % or more on average over the slices, also where these do not differ at all
    (Morris and Tang 2011). The sampling variances are not taken as known: a slice's own is mixed with the
    pooled one, since of few questions it is often 0 (empirical Bayes).

    Parameters
    ----------
    changes : sequence of Estimate
        Means with standard errors, as fractions, of slices without common questions.
    turned : int
        How many questions changed at all.

    Returns
    -------
    PartialPooling or None
        None for fewer than 5 slices, or where fewer than 10 questions changed. A slice without a standard error counts with the
        pooled variance.

    References
    ----------
    Morris and Tang (2011), Estimating random effects via adjustment for density maximization. Statistical Science 26, 271-287.
    Gelman et al. (2013), Bayesian data analysis, section 5.4.

    Examples
    --------
    >>> from consistency.statistics.paired_shares import paired_change
    >>> found = partially_pooled([paired_change(lost, won, 50) for lost, won in ((9, 1), (4, 4), (5, 4), (3, 5), (4, 3))], 42)
    >>> [round(change.value, 3) for change in found.changes]
    [-0.126, -0.008, -0.023, 0.021, -0.023]
    """
    if len(changes) < FEWEST_SLICES or turned < FEWEST_TURNED:
        return None
    values = np.array([math.nan if change.value is None else change.value for change in changes])
    if not np.isfinite(values).all():
        return None
    variances = _variances(changes)
    if variances is None:
        return None
    between = np.linspace(0, 1, _GRID)[1:] ** 2 * _REACH * max(float(values.std()), math.sqrt(float(variances.mean())))
    weights = 1 / (variances + between[:, None] ** 2)
    of_mean = 1 / weights.sum(axis=1)
    mean = (weights * values).sum(axis=1) * of_mean
    likelihood = 0.5 * (
        np.log(of_mean) + np.log(weights).sum(axis=1) - (weights * (values - mean[:, None]) ** 2).sum(axis=1)
    )
    # A flat prior of the variance is one of the standard deviation that grows with it.
    posterior = np.exp(likelihood - likelihood.max()) * between * np.gradient(between)
    posterior /= posterior.sum()
    pull = variances * weights
    centre = (1 - pull) * values + pull * mean[:, None]
    spread = (1 - pull) * variances + pull**2 * of_mean[:, None]
    found = posterior @ centre
    errors = np.sqrt(posterior @ (spread + centre**2) - found**2)
    return PartialPooling(
        tuple(
            replace(
                change,
                value=value,
                se=error,
                ci_low=max(value - _Z * error, -1.0),
                ci_high=min(value + _Z * error, 1.0),
                df=None,
                statistic="partially pooled mean",
                method="partial pooling",
                warnings=(),
                effective_n=None,
            )
            for change, value, error in zip(changes, found.tolist(), errors.tolist(), strict=True)
        ),
        float(between[np.searchsorted(posterior.cumsum(), 0.5)]),
    )


def _variances(changes: Sequence[Estimate]) -> Floats | None:
    """The sampling variance of each change; None where no question of any slice changed."""
    sizes = np.array([max(change.n, 1) for change in changes], dtype=np.float64)
    own = np.array([(change.se or 0.0) ** 2 for change in changes]) * sizes
    known = np.array([change.se is not None for change in changes])
    if not (own[known] > 0).any():
        return None
    pooled = float((own * sizes)[known].sum() / sizes[known].sum())
    # So many questions of the pooled variance turn as many answers as the prior counts.
    prior = _PRIOR / pooled
    weight = np.where(known, sizes, 0.0)
    return np.asarray((weight * own + prior * pooled) / (weight + prior) / sizes)
