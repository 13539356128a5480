"""Partial rank correlation over runs: whether ranking and accuracy go together, other things equal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from consistency.statistics.bootstrap import draw_counts
from consistency.support.arrays import Floats

# Fewer groups are too few to be resampled.
MIN_GROUPS = 10
FEW_RUNS = 20
FEW_GROUPS = 20
FEW_GROUPS_REMARK = "fewer than 20 groups: the interval over groups is wide and covers up to 97 times in 100"
ABSORBED_REMARK = "a control that is constant within every group is absorbed by the groups' own effects"
WITHOUT_DEVIATION = 1 - 1e-6
LEVEL_REMARK = "p rejects a true null up to 6 times in 100 at the level of 5; robust_p holds it"
FEW_RUNS_REMARK = "fewer than 20 runs: around correlations of .8 and more the interval covers less than it says"


@dataclass(frozen=True)
class PartialCorrelation:
    """A partial rank correlation, or the reason why there is none.

    Attributes
    ----------
    value, p, ci_low, ci_high : float or None
        Correlation, two-sided p and interval (Bonett and Wright's standard error); None with a `reason`.
    fisher_low, fisher_high : float or None
        Fisher's plain interval, which covers less than it says at high correlations.
    n, df : int
        Runs, and degrees of freedom.
    variant : str
        `"standard"` or `"paper"`.
    robust_p : float or None
        p that rejects a true null no more often than it says, for few runs too: `p` takes the residuals as independent
        of each other's spread, which ranks are not, and rejects 5.3 to 6 times in 100 instead of 5.
    within_p : float or None
        Permutation p, residuals permuted within groups; None without groups.
    cluster_low, cluster_high : float or None
        Interval for other groups of the kind: t on Fisher's scale, with the standard error of a bootstrap of whole
        groups; None with fewer than 10 groups, which are too few for it.
    reason : str or None
        Why there is no value.
    remark : str or None
        What p and the interval cannot promise: with few runs it covers too little around strong correlations.
    """

    value: float | None
    p: float | None
    ci_low: float | None
    ci_high: float | None
    fisher_low: float | None
    fisher_high: float | None
    n: int
    df: int
    variant: str
    robust_p: float | None
    within_p: float | None = None
    cluster_low: float | None = None
    cluster_high: float | None = None
    reason: str | None = None
    remark: str | None = None


def partial_correlation(
    x: ArrayLike,
    y: ArrayLike,
    controls: ArrayLike,
    variant: Literal["standard", "paper"] = "standard",
    *,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
    remark: str = "",
    level_remark: str = LEVEL_REMARK,
) -> PartialCorrelation:
    """Spearman partial correlation of x and y given controls, one row per run.

    Parameters
    ----------
    x, y : array_like, shape [n]
        Such as ranking correlation and tuned accuracy.
    controls : array_like, shape [n] or [n, k]
        Such as base accuracy.
    variant : {"standard", "paper"}
        `standard`: Pearson correlation of the rank residuals with n - k - 2 degrees of freedom. `paper`: the residuals
        are ranked again and tested with n - 2, as the code released with arXiv 2402.18243 does; its p ignores the
        controls.
    groups : array_like, shape [n], optional
        The domain of each run. Adds a fixed effect per group, which costs one degree of freedom for each but the first,
        and a p from permuting residuals within groups (Freedman and Lane 1983) with the robust t as what is compared
        (DiCiccio and Romano 2017); from 10 groups on also an interval from
        resampling whole groups. A control that is constant within every group is a part of these effects: it is absorbed,
        costs nothing more, and `remark` says so. Not for `paper`.
    confidence : float
        Of the intervals, which live on Fisher's scale with the standard error sqrt((1 + r²/2) / (n - k - 3)) (Bonett
        and Wright 2000), and 1 / sqrt(n - k - 3) for the plain one.
    remark, level_remark : str
        What a caller knows of these data, with which `remark` begins; and what it says of the level of p. Empty for nothing.

    Returns
    -------
    PartialCorrelation
        Null with its reason below 3 degrees of freedom, or where x, y or a control is constant or a control explains x
        or y wholly.

    Examples
    --------
    >>> result = partial_correlation([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [1, 3, 2, 5, 4, 6])
    >>> round(result.value, 4), result.df
    (0.9817, 3)
    """
    from scipy.special import ndtri, stdtr
    from scipy.stats import spearmanr

    if variant not in ("standard", "paper"):
        raise ValueError(f"expected the variant 'standard' or 'paper', got {variant!r}")
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    z = np.asarray(controls, dtype=np.float64)
    z = z[:, None] if z.ndim == 1 else z
    if a.ndim != 1 or a.shape != b.shape or z.ndim != 2 or len(z) != len(a):
        raise ValueError(f"expected one row per run, got x {a.shape}, y {b.shape}, controls {z.shape}")
    if groups is not None and variant == "paper":
        raise ValueError("the paper's variant has no groups")
    codes = np.zeros(len(a), dtype=np.int64)
    if groups is not None:
        codes = np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1).astype(np.int64)
        if len(codes) != len(a):
            raise ValueError(f"expected one group per run, got {len(codes)} for {len(a)}")
    known = np.isfinite(a) & np.isfinite(b) & np.isfinite(z).all(axis=1)
    a, b, z, codes = a[known], b[known], z[known], codes[known]
    codes = np.unique(codes, return_inverse=True)[1].reshape(-1).astype(np.int64)
    absorbed = np.zeros(z.shape[1], dtype=bool)
    if groups is not None:
        firsts = np.unique(codes, return_index=True)[1]
        absorbed = (z == z[firsts][codes]).all(axis=0)
        z = z[:, ~absorbed]
    n, k = len(a), z.shape[1]
    df = n - k - int(codes.max(initial=0)) - 2

    def null(reason: str) -> PartialCorrelation:
        return PartialCorrelation(None, None, None, None, None, None, n, df, variant, None, reason=reason)

    if df < 3:
        return null(f"{n} runs are too few: {n - df + 3} are needed")
    for name, column in (("x", a), ("y", b)):
        if np.ptp(column) == 0:
            return null(f"{name} is constant")
    for index in range(k):
        if groups is None and np.ptp(z[:, index]) == 0:
            return null("the control is constant" if k == 1 else f"control {index + 1} is constant")
    scale = 1e-9 * n
    ranks = _centred_ranks(np.column_stack([a, b, z]), codes)
    if k and np.linalg.matrix_rank(ranks[:, 2:], tol=scale) < k:
        return null("the controls are collinear")
    # A basis makes the residuals exact enough to recognise a variable that the controls explain wholly.
    basis = np.linalg.qr(ranks[:, 2:])[0]
    residual_a, residual_b = (ranks[:, :2] - basis @ (basis.T @ ranks[:, :2])).T
    for name, residual in (("x", residual_a), ("y", residual_b)):
        if np.abs(residual).max() < scale:
            return null(f"the {'controls' if k else 'groups'} explain {name} wholly")
    if variant == "paper":
        released = spearmanr(residual_b, residual_a)
        return PartialCorrelation(
            float(released.statistic),
            float(released.pvalue),
            None,
            None,
            None,
            None,
            n,
            n - 2,
            variant,
            None,
            remark=remark or None,
        )
    r = float(np.clip(_pearson(residual_a, residual_b), -1.0, 1.0))
    p, within = _t_test(r, df), None
    leverage = (basis**2).sum(axis=1) + 1 / np.bincount(codes)[codes]
    cluster: tuple[float | None, float | None] = (None, None)
    if groups is not None:
        within = _within_p(residual_a, residual_b, basis, leverage, codes, resamples, seed)
        if codes.max() + 1 >= MIN_GROUPS:
            cluster = _cluster_interval(r, np.column_stack([a, b, z]), codes, confidence, resamples, seed)
    quantile = float(ndtri((1 + confidence) / 2))
    low, high = _fisher_interval(r, math.sqrt((1 + r * r / 2) / (df - 1)), quantile)
    fisher_low, fisher_high = _fisher_interval(r, 1 / math.sqrt(df - 1), quantile)
    robust = float(2 * stdtr(df, -_robust_t(residual_a, residual_b, leverage)))
    remarks = [ABSORBED_REMARK] if absorbed.any() else []
    remarks += [FEW_RUNS_REMARK] if n < FEW_RUNS else []
    remarks += [FEW_GROUPS_REMARK] if cluster[0] is not None and codes.max() + 1 < FEW_GROUPS else []
    return PartialCorrelation(
        r,
        p,
        low,
        high,
        fisher_low,
        fisher_high,
        n,
        df,
        variant,
        robust,
        within,
        *cluster,
        remark="; ".join(filter(None, [remark, *remarks, level_remark])) or None,
    )


def _centred_ranks(columns: Floats, codes: NDArray[np.int64]) -> Floats:
    """Average ranks less their group's mean, which is what a constant and an effect of each group leave of them."""
    from scipy.stats import rankdata

    ranks: Floats = rankdata(columns, axis=0)
    means = [np.bincount(codes, weights=column)[codes] for column in ranks.T] / np.bincount(codes)[codes]
    return ranks - means.T


def _cluster_interval(
    r: float, columns: Floats, codes: NDArray[np.int64], confidence: float, resamples: int, seed: int
) -> tuple[float | None, float | None]:
    """T interval on Fisher's scale with the standard error of resamples of whole groups."""
    from scipy.special import stdtrit

    rng, groups = np.random.default_rng(seed), int(codes.max()) + 1
    batch = max(1, 1_000_000 // columns.size)
    sizes = [min(batch, resamples - start) for start in range(0, resamples, batch)]
    found = np.concatenate([_resampled(columns, codes, draw_counts(groups, size, rng)) for size in sizes])
    found = found[np.isfinite(found)]
    if len(found) < 2:
        return None, None
    # A resample without a deviation has no place on Fisher's scale.
    spread = float(np.arctanh(found.clip(-WITHOUT_DEVIATION, WITHOUT_DEVIATION)).std(ddof=1))
    return _fisher_interval(r, spread, float(stdtrit(groups - 1, (1 + confidence) / 2)))


def _resampled(columns: Floats, codes: NDArray[np.int64], counts: Floats) -> Floats:
    """Partial rank correlation of the first two columns in resamples that hold each group so many times; else NaN."""
    by_group = np.argsort(codes, kind="stable")
    columns, codes = columns[by_group], codes[by_group]
    starts, sizes = np.searchsorted(codes, np.arange(counts.shape[1])), np.bincount(codes)[:, None]
    counts = np.ascontiguousarray(counts.T)
    centred = np.empty((columns.shape[1], len(codes), counts.shape[1]))
    for column, ranks in zip(columns.T, centred, strict=True):
        order = np.argsort(column)
        values = column[order]
        # A resample's average rank of a row: the rows below it and half of its equals, each as often as drawn.
        drawn = np.zeros((len(codes) + 1, counts.shape[1]))
        np.cumsum(counts[codes[order]], axis=0, out=drawn[1:])
        below, upto = np.searchsorted(values, values), np.searchsorted(values, values, side="right")
        ranks[order] = (drawn[below] + drawn[upto] + 1) / 2
        # Every copy of a group has its own effect, so that ranks count from their group's mean.
        ranks -= (np.add.reduceat(ranks, starts, axis=0) / sizes)[codes]
    weights = counts[codes]
    products = np.empty((counts.shape[1], len(centred), len(centred)))
    for row, one in enumerate(centred):
        weighted = one * weights
        for column, other in enumerate(centred[: row + 1]):
            products[:, row, column] = products[:, column, row] = np.einsum("nr,nr->r", weighted, other)
    explained = products[:, :2, 2:] @ np.linalg.pinv(products[:, 2:, 2:], hermitian=True) @ products[:, 2:, :2]
    left = products[:, :2, :2] - explained
    spread = left[:, [0, 1], [0, 1]]
    free = (spread > 1e-12 * products[:, [0, 1], [0, 1]]).all(axis=1)
    scale = np.sqrt(spread.clip(0).prod(axis=1))
    found: Floats = np.divide(left[:, 0, 1], scale, out=np.full(len(scale), np.nan), where=free)
    return found


def _pearson(a: Floats, b: Floats) -> float:
    return float(a @ b / math.sqrt((a @ a) * (b @ b)))


def _t_test(r: float, df: int) -> float:
    from scipy.special import stdtr

    if abs(r) == 1:
        return 0.0
    return float(2 * stdtr(df, -abs(r) * math.sqrt(df / (1 - r * r))))


def _robust_t(residual_a: Floats, residual_b: Floats, leverage: Floats) -> Floats:
    """|t| of the slope of y's residuals, shape [..., n], on x's, with MacKinnon and White's (1985) HC3 variance."""
    spread = residual_a @ residual_a
    slope = residual_b @ residual_a / spread
    leverage = leverage + residual_a**2 / spread
    # A row that alone determines the fit has no residual, and says nothing of the spread.
    weights = np.divide(residual_a, 1 - leverage, out=np.zeros_like(residual_a), where=leverage < 1 - 1e-9)
    se = np.sqrt((residual_b - slope[..., None] * residual_a) ** 2 @ weights**2) / spread
    return np.asarray(np.divide(np.abs(slope), se, out=np.where(slope == 0, 0.0, np.inf), where=se > 0))


def _fisher_interval(r: float, se: float, quantile: float) -> tuple[float, float]:
    if abs(r) == 1:
        return r, r
    return math.tanh(math.atanh(r) - quantile * se), math.tanh(math.atanh(r) + quantile * se)


def _within_p(
    residual_a: Floats,
    residual_b: Floats,
    basis: Floats,
    leverage: Floats,
    codes: NDArray[np.int64],
    resamples: int,
    seed: int,
) -> float:
    """Freedman-Lane permutation p, the residuals of y permuted within groups and fitted again.

    Of the robust t: of the correlation itself the permutations would take the spread as constant.
    """
    rng = np.random.default_rng(seed)
    permuted = np.empty((resamples, len(codes)))
    by_group, counts = np.argsort(codes, kind="stable"), np.bincount(codes)
    for size in np.unique(counts):
        rows = by_group[np.repeat(counts == size, counts)].reshape(-1, size)
        permuted[:, rows] = rng.permuted(np.broadcast_to(residual_b[rows], (resamples, *rows.shape)), axis=2)
    permuted -= (permuted @ basis) @ basis.T
    observed = float(_robust_t(residual_a, residual_b, leverage))
    reached = _robust_t(residual_a, permuted, leverage) >= observed * (1 - 1e-9)
    return float((1 + reached.sum()) / (resamples + 1))
