"""What of a change is knowledge, what a shift of letters, and what sharpness: parts of two runs' answers to the same questions.

A model that is trained may answer A more often whatever is asked, or be surer of the same answers. Neither is knowledge.
Accuracy is compared with and without the prior of the letters (`even_offsets`); how much of KL and JS a temperature and offsets
of the letters explain is found by fitting them (`nearest`). Arrays in, estimates out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from consistency.metrics.distributions import log_probabilities, top_option
from consistency.metrics.divergences import js_of_logs, kl_of_logs
from consistency.metrics.letter_prior import (
    batch_calibrated,
    curvature,
    even,
    even_offsets,
    inverted,
    mean_probabilities,
)
from consistency.metrics.ranking import spearman
from consistency.metrics.rows import AT_ONCE, in_parts
from consistency.statistics.estimates import Caveat, Estimate, mean, numbered, quantile
from consistency.statistics.nearest import Nearest, left_out, nearest
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.sampling import Labels, independent
from consistency.statistics.shares import rate, score_interval
from consistency.support.arrays import Bools, Floats, Integers

# With fewer questions of one kind nothing is fitted.
FEWEST = 10
# In nats: what rounding leaves of nothing.
_ROUNDING = 1e-12
_DIVERGENCES = {"kl": kl_of_logs, "js": js_of_logs}
_OF_ACCURACY = ("calibrated_before", "calibrated_after", "knowledge_change", "prior_change")
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Answered:
    """Two runs' scores of questions whose options stand behind the same labels, or are texts.

    Attributes
    ----------
    before, after : ndarray of float64, shape [n, k]
        Log-probabilities in nats, each in the order in which its run saw the options; NaN-padded.
    gold : ndarray of bool, shape [n, k]
        Which options are right, in the order of `before`.
    lettered : bool
        Whether a column is a label, such as a letter. The columns of texts mean nothing.
    place : ndarray of int64, shape [n, k], optional
        The column of `after` that holds each option of `before`; by default the same.
    """

    before: Floats
    after: Floats
    gold: Bools
    lettered: bool = True
    place: Integers | None = None

    def __len__(self) -> int:
        return len(self.before)

    def moved(self, values: NDArray[_Scalar]) -> NDArray[_Scalar]:
        """Values in the order of `before`, in that of `after`."""
        return values if self.place is None else put(values, self.place)


def put(values: NDArray[_Scalar], columns: Integers) -> NDArray[_Scalar]:
    """Values of shape [n, k] moved to other columns of their rows: that of column j to `columns[:, j]`.

    Examples
    --------
    >>> put(np.array([[5, 6, 7]]), np.array([[2, 0, 1]])).tolist()
    [[6, 7, 5]]
    """
    found = np.empty_like(values)
    np.put_along_axis(found, columns, values, axis=1)
    return found


@dataclass(frozen=True)
class Decomposition:
    """The parts of what changed between two runs.

    Attributes
    ----------
    n, lettered : int
        Questions, and those whose options stand behind labels.
    estimates : dict of str to Estimate
        Accuracies of the best option and their changes as fractions, divergences in nats: `calibrated_before`,
        `calibrated_after`, and their difference `knowledge_change`, which with `prior_change` adds up to the change of
        accuracy; `kl_sharpness`, `kl_prior` and `kl_rest`, which add up to KL(before || after), and the same of `js`;
        `spearman_calibrated`. What is fitted is fitted without each question's own unit.
    plug_in : dict of str to float
        The same numbers with everything fitted to all questions, and `batch_before` and `batch_after`, the accuracies by batch
        calibration as published.
    temperature : float or None
        By which the second run's scores are divided to come nearest to the first's; None with several kinds of options.
    priors : tuple of Prior
        Of the labels, for each kind of them.
    """

    n: int
    lettered: int
    estimates: Mapping[str, Estimate]
    plug_in: Mapping[str, float]
    temperature: float | None
    priors: tuple[Prior, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"estimates": {name: found.to_dict() for name, found in self.estimates.items()}}


@dataclass(frozen=True)
class Prior:
    """How probable each label of the options is over all questions, to either run, and how often it is right.

    Attributes
    ----------
    n : int
        Questions with a distribution in both runs.
    before, after, gold : tuple of float
        By label. Of questions that offer different numbers of options, the mean over those that offer the label.
    even_p : float or None
        Of "the right answers are spread evenly over the labels" (Pearson's χ²); None where that is not known.
    """

    n: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    gold: tuple[float, ...]
    even_p: float | None


def decompose(groups: Sequence[Answered], labels: Labels) -> Decomposition:
    """The parts of what changed, over kinds of questions that have labels of their own.

    Parameters
    ----------
    groups : sequence of Answered
    labels : dict
        What was sampled, as `mean` takes it, for the questions of all groups in their order.

    Returns
    -------
    Decomposition

    Notes
    -----
    Each interval allows for the estimation of the offsets: that of accuracies by their influence on the share of right answers;
    those of divergences are of a minimum, on which an error of the fit has no influence of first order, and reach from what is
    found by the fit to all questions to what is found by that to the others.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before = log_probabilities(rng.normal(0, 2, (800, 4)))
    >>> gold = np.eye(4, dtype=bool)[[rng.choice(4, p=np.exp(row)) for row in before]]
    >>> found = decompose([Answered(before, before + [3.0, 0, 0, 0], gold)], Labels(strata=None, tasks=None, clusters=None))
    >>> [round(100 * found.estimates[name].value, 1) for name in ("knowledge_change", "prior_change")]
    [0.0, -16.6]
    """
    return decomposition_of(groups, parts_by_question(groups, labels), labels)


def parts_by_question(groups: Sequence[Answered], labels: Labels) -> Parts:
    """One number per question of each part, for all groups in their order; parameters as in `decompose`."""
    n = sum(map(len, groups))
    given = labels["clusters"] if labels["tasks"] is None else labels["tasks"]
    units = np.arange(n) if given is None else numbered(given)
    ends = np.cumsum([len(group) for group in groups])[:-1]
    each = [_parts(group, numbered(own)) for group, own in zip(groups, np.split(units, ends), strict=True)]
    crossed, plug_in, influence = (
        getattr(each[0], kind)
        if len(each) == 1
        else {name: np.concatenate([getattr(part, kind)[name] for part in each]) for name in getattr(each[0], kind)}
        for kind in ("crossed", "plug_in", "influence")
    )
    return Parts(crossed, plug_in, influence, each[0].factor if len(each) == 1 else None)


def decomposition_of(groups: Sequence[Answered], parts: Parts, labels: Labels) -> Decomposition:
    """The parts of what changed, from those of each question; parameters as in `decompose`."""
    crossed, plug_in, influence = parts.crossed, parts.plug_in, parts.influence
    lettered = [group for group in groups if group.lettered]
    widest = max((group.before.shape[1] for group in lettered), default=1)
    estimates = {
        **{name: _of_turns(crossed[name], influence[name], labels) for name in ("knowledge_change", "prior_change")},
        **{name: _share(crossed[name], influence[name], labels) for name in ("calibrated_before", "calibrated_after")},
    }
    for name in _DIVERGENCES:
        for part, fitted in (("sharpness", 1), ("prior", widest - 1), ("rest", 0)):
            key = f"{name}_{part}"
            estimates[key] = _of_fit(crossed[key], plug_in[key], fitted, labels)
    estimates["spearman_calibrated"] = mean(crossed["spearman_calibrated"], **labels)
    return Decomposition(
        n=sum(map(len, groups)),
        lettered=sum(map(len, lettered)),
        estimates=estimates,
        plug_in={name: float(x[np.isfinite(x)].mean()) for name, x in plug_in.items() if np.isfinite(x).any()},
        temperature=1 / parts.factor if parts.factor else None,
        priors=tuple(filter(None, map(_prior, lettered))),
    )


@dataclass(frozen=True, eq=False)
class Parts:
    """One number per question of each part.

    Attributes
    ----------
    crossed, plug_in : dict of str to ndarray, shape [n]
        With what is fitted to the other units, and to all of them.
    influence : dict of str to ndarray, shape [n]
        What each question contributes to the mean of a part of accuracy, by its own answers and by the offsets.
    factor : float or None
        Of the second run's scores; None where several kinds of options have one each.
    """

    crossed: Mapping[str, Floats]
    plug_in: Mapping[str, Floats]
    influence: Mapping[str, Floats]
    factor: float | None


def _parts(group: Answered, units: Integers) -> Parts:
    # Option by option in memory: sums over few options of many questions are then faster.
    before, after = (np.asfortranarray(in_parts(log_probabilities, x)) for x in (group.before, group.after))
    golds = group.gold, group.moved(group.gold)
    raw = _right(after, golds[1]) - _right(before, golds[0])
    sides = [_Calibrated.of(x, units, group.lettered) for x in (before, after)]
    right = [_right(side.crossed, gold) for side, gold in zip(sides, golds, strict=True)]
    influence = [side.influence(gold, hit) for side, gold, hit in zip(sides, golds, right, strict=True)]
    of_fits, of_all, factor = _divergences(group.moved(before), after, units, group.lettered)
    alike = in_parts(spearman, group.moved(sides[0].crossed), sides[1].crossed)
    crossed = {**_of_accuracy(raw, right), **of_fits, "spearman_calibrated": alike}
    if all(side.plug_in is side.crossed for side in sides):
        # Nothing was fitted to the labels: arrays that are the same are the same in memory.
        plug_in = {**crossed, **of_all}
    else:
        plain = [_right(side.plug_in, gold) for side, gold in zip(sides, golds, strict=True)]
        alike = in_parts(spearman, group.moved(sides[0].plug_in), sides[1].plug_in)
        plug_in = {**_of_accuracy(raw, plain), **of_all, "spearman_calibrated": alike}
    for name, x, gold, hit in zip(("batch_before", "batch_after"), (before, after), golds, right, strict=True):
        plug_in[name] = _right(batch_calibrated(x), gold) if group.lettered else hit
    changed = any(one is not other for one, other in zip(influence, right, strict=True))
    of_influence = _of_accuracy(raw, influence) if changed else {name: crossed[name] for name in _OF_ACCURACY}
    return Parts(crossed, plug_in, of_influence, factor)


def _of_accuracy(raw: Floats, calibrated: Sequence[Floats]) -> dict[str, Floats]:
    """The parts of the change of accuracy."""
    before, after = calibrated
    knowledge = after - before
    return dict(zip(_OF_ACCURACY, (before, after, knowledge, raw - knowledge), strict=True))


def _right(scores: Floats, gold: Bools) -> Floats:
    """1 where the best option is right, 0 where it is wrong, NaN where that is not known."""
    best = top_option(scores)
    hit = gold[np.arange(len(gold)), np.maximum(best, 0)]
    return np.where((best < 0) | ~gold.any(axis=1), np.nan, hit)


@dataclass(frozen=True, eq=False)
class _Calibrated:
    """One run's scores without the prior of the labels.

    Attributes
    ----------
    crossed, plug_in : ndarray, shape [n, k]
        With offsets that make the labels even over the other units, and over all questions.
    moves : ndarray, shape [n, k]
        What each question does to the offsets, times the number of questions.
    """

    crossed: Floats
    plug_in: Floats
    moves: Floats

    @classmethod
    def of(cls, scores: Floats, units: Integers, lettered: bool) -> _Calibrated:
        if not lettered or np.isfinite(log_probabilities(scores)).any(axis=1).sum() < FEWEST:
            return cls(scores, scores, np.broadcast_to(0.0, scores.shape))
        plug_in = scores + np.nan_to_num(even_offsets(scores))
        probs, offered = np.exp(log_probabilities(plug_in)), ~np.isnan(scores)
        defined = np.isfinite(probs).any(axis=1)
        probs, offered = np.nan_to_num(probs) * defined[:, None], offered & defined[:, None]
        excess: Floats = probs - even(offered)
        inverse = inverted(curvature(probs[defined]))
        return cls(plug_in + left_out(excess, units, inverse), plug_in, -excess @ inverse)

    def influence(self, gold: Bools, right: Floats) -> Floats:
        """What each question contributes to the accuracy.

        Its own answer, and what it does to the offsets times the derivative of the accuracy by them, which is that of questions
        whose right option leads or trails by little.
        """
        if not self.moves.any():
            return right
        known = np.flatnonzero(np.isfinite(right))
        gold, scores, rows = gold[known], self.crossed[known], np.arange(len(known))
        best_right = np.where(gold, scores, -np.inf).argmax(axis=1)
        best_wrong = np.where(gold | np.isnan(scores), -np.inf, scores).argmax(axis=1)
        with np.errstate(invalid="ignore"):
            lead = scores[rows, best_right] - scores[rows, best_wrong]
        finite = lead[np.isfinite(lead)]
        if len(finite) < 2 or not (deviation := float(finite.std())):
            return right
        low, high = np.quantile(finite, (0.25, 0.75)).tolist()
        # Silverman's rule.
        width = 0.9 * (min(deviation, (high - low) / 1.34) or deviation) * len(finite) ** -0.2
        near = np.abs(lead) < width
        gained = np.bincount(best_right[near], minlength=scores.shape[1])
        lost = np.bincount(best_wrong[near], minlength=scores.shape[1])
        return np.asarray(right + self.moves @ ((gained - lost) / (2 * width * len(known))))


def _divergences(
    before: Floats, after: Floats, units: Integers, lettered: bool
) -> tuple[dict[str, Floats], dict[str, Floats], float]:
    """The parts of KL and JS of each question, crossed and plugged in, and the factor of the second run's scores."""
    defined = np.flatnonzero(np.isfinite(in_parts(kl_of_logs, before, after)))
    target, scores = before, after
    if len(defined) < len(before):
        target, scores = (np.asfortranarray(x[defined]) for x in (before, after))
    fits: list[Nearest] = []
    if len(defined) >= FEWEST:
        probs, own = np.nan_to_num(np.exp(target)), numbered(units[defined])
        fits = [nearest(probs, scores, own, offsets=False)]
        fits.append(nearest(probs, scores, own, offsets=True) if lettered else fits[0])
        del probs, own
    names = [f"{name}_{part}" for name in _DIVERGENCES for part in ("sharpness", "prior", "rest")]
    found = tuple({name: np.full(len(before), np.nan) for name in names} for _ in range(2))
    for start in range(0, len(defined), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        for parts, crossed in zip(found, (True, False), strict=True):
            stages = [scores[rows], *(fit.of_rows(rows).distributions(scores[rows], crossed=crossed) for fit in fits)]
            # Without a fit all is rest; without labels there is one fit.
            stages += [stages[-1]] * (3 - len(stages))
            for name, divergence in _DIVERGENCES.items():
                raw, sharp, rest = (divergence(target[rows], stage) for stage in stages)
                for part, values in (("sharpness", raw - sharp), ("prior", sharp - rest), ("rest", rest)):
                    parts[f"{name}_{part}"][defined[rows]] = values
    return found[0], found[1], fits[0].factor if fits else 1.0


def _of_turns(change: Floats, influence: Floats, labels: Labels) -> Estimate:
    """The mean of changes most of which are 0 and the others 1 or -1, whose variance is that of their influences."""
    known = np.isfinite(change)
    lost, won, n = -float(change[change < 0].sum()), float(change[change > 0].sum()), int(known.sum())
    found, spread = paired_change(lost, won, n), mean(influence, **labels)
    if found.se is None or spread.se is None:
        return replace(spread, value=found.value, undefined=len(change) - n)
    effective, df = _effective(found.se, spread, change, change != 0, labels)
    found = paired_change(lost, won, n, effective_n=effective, df=df)
    return replace(found, undefined=len(change) - n, unit=spread.unit, warnings=_few(spread))


def _share(right: Floats, influence: Floats, labels: Labels) -> Estimate:
    """A share of right answers, whose variance is that of their influences."""
    found, spread = rate(right), mean(influence, **labels)
    if found.value is None or found.se is None or spread.se is None:
        return replace(spread, value=found.value, statistic="share", undefined=found.undefined)
    effective, df = _effective(found.se, spread, right, right == (1.0 if found.value <= 0.5 else 0.0), labels)
    low, high = score_interval(found.value, effective, quantile(0.95, df))
    return replace(
        found, ci_low=low, ci_high=high, effective_n=effective, df=df, unit=spread.unit, warnings=_few(spread)
    )


def _effective(
    alone: float, spread: Estimate, values: Floats, happened: Bools, labels: Labels
) -> tuple[float, float | None]:
    """How many independent questions say as much, and the degrees of freedom where it is not questions that are sampled.

    Parameters
    ----------
    alone : float
        Standard error, were the questions independent and nothing fitted.
    spread : Estimate
        With the standard error of what was sampled, and of what was fitted.
    values, happened : ndarray, shape [n]
        Those of which the mean is taken, and which are of the rarer kind.
    labels : dict
    """
    known = np.isfinite(values)
    n, ratio = int(known.sum()), (alone / spread.se) ** 2 if alone and spread.se else math.nan
    if labels["clusters"] is not None:
        return independent(n, ratio, numbered(labels["clusters"][known]), happened[known]), spread.df
    if labels["tasks"] is not None:
        return n * min(1.0, ratio) if ratio == ratio else float(len(np.unique(labels["tasks"][known]))), spread.df
    return n * min(1.0, ratio) if ratio == ratio else float(n), None


def _few(spread: Estimate) -> tuple[Caveat, ...]:
    return tuple(caveat for caveat in spread.warnings if caveat == "few clusters")


def _of_fit(crossed: Floats, plug_in: Floats, fitted: int, labels: Labels) -> Estimate:
    """The mean of a divergence, or of what so many fitted numbers explain of it.

    What is fitted to all questions explains too much, and what is fitted to the others too little: the interval reaches from the
    lower end of the one to the upper end of the other. Where an effect is hardly larger than its error, it grows with the square
    of what was fitted: the upper end is further by χ² / 2 of the difference of both, for each fitted number.
    """
    found, other = mean(crossed, **labels), mean(plug_in, **labels)
    if found.value is None or other.value is None or found.ci_low is None or found.ci_high is None:
        return found
    low, high = min(found.ci_low, other.ci_low or 0.0), max(found.ci_high, other.ci_high or 0.0)
    low, high = 0.0 if abs(low) < _ROUNDING else low, max(high, _ROUNDING)
    if fitted:
        from scipy.special import chdtri

        high += float(chdtri(fitted, 0.05)) / (2 * fitted) * abs(other.value - found.value)
    return replace(found, ci_low=low, ci_high=high, method="fit")


def _prior(group: Answered) -> Prior | None:
    """How probable the labels of a kind of questions are, and how often right; None where no question has two distributions."""
    before, after = (log_probabilities(x) for x in (group.before, group.after))
    defined = np.isfinite(before).any(axis=1) & np.isfinite(after).any(axis=1)
    if not defined.any():
        return None
    before, after, gold = before[defined], after[defined], group.gold[defined]
    known = gold.sum(axis=1) == 1
    right, wanted = gold[known].sum(axis=0), even(~np.isnan(before[known])).sum(axis=0)
    offered, asked, even_p = ~np.isnan(before).all(axis=0), wanted > 0, None
    if asked.sum() > 1:
        from scipy.special import chdtrc

        even_p = float(chdtrc(asked.sum() - 1, ((right - wanted)[asked] ** 2 / wanted[asked]).sum()))
    return Prior(
        len(before),
        tuple(mean_probabilities(before)[offered].tolist()),
        tuple(np.nan_to_num(mean_probabilities(after))[offered].tolist()),
        tuple((right[offered] / max(int(known.sum()), 1)).tolist()),
        even_p,
    )
