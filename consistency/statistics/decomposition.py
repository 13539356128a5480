"""Two runs' accuracy with and without the prior of the options' labels; what a temperature and the labels explain of KL and JS.

A model that is trained may answer A more often whatever is asked, or be surer of the same answers. Accuracy is compared with and
without the prior of the labels (`even_offsets`); how much of KL and JS a temperature and offsets of the labels explain is found
by fitting them (`nearest`). Arrays in, estimates out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
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
from consistency.metrics.selection_bias import option_name
from consistency.statistics.estimates import Estimate, numbered
from consistency.statistics.fitted_means import (
    change_by_influence,
    fitted_mean,
    ranking_without_prior,
    share_by_influence,
)
from consistency.statistics.nearest import left_out, nearest
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Bools, Floats, Integers

# With fewer questions of one kind nothing is fitted.
FEWEST = 10
# The right answers are uneven where the test says so and this share of them would have to move.
_UNEVEN, _ALPHA = 0.05, 0.01
# Parts of the questions to one of which offsets are fitted, to see by how much their error lowers a ranking correlation.
_QUARTERS = 4
# The parts of a divergence, and what is fitted in each.
_FITTED = {
    "sharpness": "factor",
    "prior": "offsets",
    "rest": "",
    "prior_first": "offsets",
    "sharpness_last": "factor",
    "calibrated": "",
}
_DIVERGENCES = {"kl": kl_of_logs, "js": js_of_logs}
_SHARES = ("calibrated_before", "calibrated_after", "calibrated_harmful", "calibrated_beneficial")
_CHANGES = ("calibrated_change", "prior_change")
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
    names : tuple of str
        The labels of the columns; by default letters.
    place : ndarray of int64, shape [n, k], optional
        The column of `after` that holds each option of `before`; by default the same.
    """

    before: Floats
    after: Floats
    gold: Bools
    lettered: bool = True
    names: tuple[str, ...] = ()
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
        `calibrated_after`, and their difference `calibrated_change`, which with `prior_change` adds up to the change of
        accuracy; `calibrated_harmful` and `calibrated_beneficial`, the shares of the answers without the prior that turn from
        right to wrong and from wrong to right; `kl_sharpness` (what one temperature explains), `kl_prior` (what an offset of
        each label explains besides) and `kl_rest`, which add up to KL(before || after), as do `kl_prior_first` (what offsets
        alone explain), `kl_sharpness_last` (what a temperature explains besides) and `kl_rest`; `kl_calibrated`, what offsets
        alone leave: the sum of the last two; the same of `js`, at the fits of KL; `spearman_calibrated`. What is
        fitted is fitted without each question's own unit. Questions of a kind with fewer than `FEWEST` have no parts.
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
    labels : tuple of str
    before, after : tuple of float
        By label: the mean over the questions that offer it.
    gold, even : tuple of float
        By label: the share of the right answers, and that of right answers which are spread evenly over each question's options.
    even_p : float or None
        Of "the right answers are spread evenly over the labels" (Pearson's χ²); None where that is not known.
    """

    n: int
    labels: tuple[str, ...]
    before: tuple[float, ...]
    after: tuple[float, ...]
    gold: tuple[float, ...]
    even: tuple[float, ...]
    even_p: float | None

    @property
    def is_uneven(self) -> bool:
        """Whether the right answers are so uneven over the labels that to make the answers even misleads."""
        known = len(self.gold) > 1 and self.even_p is not None and self.even_p < _ALPHA
        return known and sum(abs(one - other) for one, other in zip(self.gold, self.even, strict=True)) / 2 >= _UNEVEN


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

    A temperature and offsets explain a divergence together; what each explains depends on which is fitted first, and both orders
    are given. Only their sum and the rest are identified.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before = log_probabilities(rng.normal(0, 2, (800, 4)))
    >>> gold = np.eye(4, dtype=bool)[[rng.choice(4, p=np.exp(row)) for row in before]]
    >>> found = decompose([Answered(before, before + [3.0, 0, 0, 0], gold)], Labels(strata=None, tasks=None, clusters=None))
    >>> [round(100 * found.estimates[name].value, 1) for name in ("calibrated_change", "prior_change")]
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
    return Parts(
        crossed,
        plug_in,
        influence,
        rougher=np.sum([part.rougher for part in each], axis=0),
        factor=each[0].factor if len(each) == 1 else None,
        both_ways=frozenset().union(*(part.both_ways for part in each)),
    )


def decomposition_of(groups: Sequence[Answered], parts: Parts, labels: Labels) -> Decomposition:
    """The parts of what changed, from those of each question; parameters as in `decompose`."""
    crossed, plug_in, influence = parts.crossed, parts.plug_in, parts.influence
    lettered = [group for group in groups if group.lettered]
    priors = tuple(filter(None, map(_prior, lettered)))
    widest = max((group.before.shape[1] for group in lettered), default=1)
    estimates = {
        **{name: change_by_influence(crossed[name], influence[name], labels) for name in _CHANGES},
        **{name: share_by_influence(crossed[name], influence[name], labels) for name in _SHARES},
    }
    if any(prior.is_uneven for prior in priors):
        estimates = {
            name: replace(found, warnings=(*found.warnings, "uneven labels")) for name, found in estimates.items()
        }
    for name in _DIVERGENCES:
        for part, fitted in _FITTED.items():
            key, count = f"{name}_{part}", widest - 1 if fitted == "offsets" else int(fitted == "factor")
            found = fitted_mean(crossed[key], plug_in[key], count, labels)
            if fitted in parts.both_ways and found.ci_low is not None:
                found = replace(found, ci_low=min(found.ci_low, 0.0))
            estimates[key] = found
    estimates["spearman_calibrated"] = ranking_without_prior(crossed["spearman_calibrated"], parts.rougher, labels)
    return Decomposition(
        n=sum(map(len, groups)),
        lettered=sum(map(len, lettered)),
        estimates=estimates,
        plug_in={name: float(x[np.isfinite(x)].mean()) for name, x in plug_in.items() if np.isfinite(x).any()},
        temperature=1 / parts.factor if parts.factor else None,
        priors=priors,
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
    rougher : ndarray, shape [3, 2]
        The sum of the ranking correlations without the prior, and their number, where that is fitted to one of the three other
        quarters of the units only.
    factor : float or None
        Of the second run's scores; None where several kinds of options have one each.
    both_ways : frozenset of str
        Which of factor and offsets the fit of either run to the other moves in the same direction.
    """

    crossed: Mapping[str, Floats]
    plug_in: Mapping[str, Floats]
    influence: Mapping[str, Floats]
    rougher: Floats
    factor: float | None
    both_ways: frozenset[str]


def _parts(group: Answered, units: Integers) -> Parts:
    # Option by option in memory: sums over few options of many questions are then faster.
    before, after = (np.asfortranarray(in_parts(log_probabilities, x)) for x in (group.before, group.after))
    # What one of the runs leaves open is compared in neither.
    open_ = ~(np.isfinite(before).any(axis=1) & np.isfinite(after).any(axis=1))
    before[open_], after[open_] = np.nan, np.nan
    golds = group.gold, group.moved(group.gold)
    raw = _right(after, golds[1]) - _right(before, golds[0])
    sides = [_Calibrated.of(x, units, group.lettered) for x in (before, after)]
    right = [_right(side.crossed, gold) for side, gold in zip(sides, golds, strict=True)]
    influence = _of_accuracy(raw, right, sides, golds)
    moved = group.moved(before)
    of_fits, of_all, factor = _divergences(moved, after, units, group.lettered)
    alike = in_parts(spearman, group.moved(sides[0].crossed), sides[1].crossed)
    of_right = _of_accuracy(raw, right)
    crossed = {**of_right, **of_fits, "spearman_calibrated": alike}
    if all(side.plug_in is side.crossed for side in sides):
        # Nothing was fitted to the labels: arrays that are the same are the same in memory.
        plug_in = {**crossed, **of_all}
    else:
        plain = [_right(side.plug_in, gold) for side, gold in zip(sides, golds, strict=True)]
        alike = in_parts(spearman, group.moved(sides[0].plug_in), sides[1].plug_in)
        plug_in = {**_of_accuracy(raw, plain), **of_all, "spearman_calibrated": alike}
    for name, x, gold, hit in zip(("batch_before", "batch_after"), (before, after), golds, right, strict=True):
        plug_in[name] = _right(batch_calibrated(x), gold) if group.lettered else hit
    if not any(side.moves.any() for side in sides):
        influence = of_right
    rougher = np.zeros((_QUARTERS - 1, 2))
    for turn in range(1, _QUARTERS):
        found = in_parts(spearman, group.moved(sides[0].rougher(turn)), sides[1].rougher(turn))
        rougher[turn - 1] = np.nansum(found), np.isfinite(found).sum()
    return Parts(crossed, plug_in, influence, rougher, factor, _both_ways(moved, after, group.lettered))


def _of_accuracy(
    raw: Floats,
    calibrated: Sequence[Floats],
    sides: Sequence[_Calibrated] = (),
    golds: Sequence[Bools] = (),
) -> dict[str, Floats]:
    """The parts of the change of accuracy, and the answers without the prior that turned; with `sides` their influences."""
    before, after = calibrated
    lost, won = before * (1 - after), after * (1 - before)
    if sides:
        ones = np.ones(len(raw))
        (kept, stayed), (was, was_not) = ((1 - after, -after), (-before, 1 - before))
        of_before, of_after = (partial(side.moved_by, gold) for side, gold in zip(sides, golds, strict=True))
        lost = lost + of_before(before, kept) + of_after(after, was)
        won = won + of_before(before, stayed) + of_after(after, was_not)
        before, after = before + of_before(before, ones), after + of_after(after, ones)
    change = after - before
    return {
        "calibrated_before": before,
        "calibrated_after": after,
        "calibrated_harmful": lost,
        "calibrated_beneficial": won,
        "calibrated_change": change,
        "prior_change": raw - change,
    }


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
    scores : ndarray, shape [n, k]
    quarter : ndarray of int64, shape [n]
        Which of the quarters of the units each is in.
    offsets : ndarray, shape [4, k]
        That make the labels even over each quarter.
    """

    crossed: Floats
    plug_in: Floats
    moves: Floats
    scores: Floats
    quarter: Integers | None = None
    offsets: Floats | None = None

    @classmethod
    def of(cls, scores: Floats, units: Integers, lettered: bool) -> _Calibrated:
        if not lettered or np.isfinite(log_probabilities(scores)).any(axis=1).sum() < FEWEST:
            same = np.full_like(scores, np.nan) if lettered else scores
            return cls(same, same, np.broadcast_to(0.0, scores.shape), same)
        plug_in = scores + np.nan_to_num(even_offsets(scores))
        probs, offered = np.exp(log_probabilities(plug_in)), ~np.isnan(scores)
        defined = np.isfinite(probs).any(axis=1)
        probs, offered = np.nan_to_num(probs) * defined[:, None], offered & defined[:, None]
        excess: Floats = probs - even(offered)
        inverse = inverted(curvature(probs[defined]))
        crossed = plug_in + left_out(excess, units, inverse)
        count = int(units.max()) + 1
        if count < 2 * _QUARTERS:
            return cls(crossed, plug_in, -excess @ inverse, scores)
        quarter = (np.random.default_rng(0).permutation(count) % _QUARTERS)[units]
        offsets = np.nan_to_num([even_offsets(scores[quarter == number]) for number in range(_QUARTERS)])
        return cls(crossed, plug_in, -excess @ inverse, scores, quarter, offsets)

    def rougher(self, turn: int) -> Floats:
        """Scores with offsets that make the labels even over another quarter of the units; `crossed` with few units."""
        if self.quarter is None or self.offsets is None:
            return self.crossed
        return np.asarray(self.scores + self.offsets[(self.quarter + turn) % _QUARTERS])

    def moved_by(self, gold: Bools, right: Floats, weight: Floats) -> Floats:
        """What each question contributes to the weighted share of right answers by what it does to the offsets.

        Times the derivative of the share by them, which is that of questions whose right option leads or trails by little.
        """
        none = np.zeros(len(right))
        if not self.moves.any():
            return none
        known = np.flatnonzero(np.isfinite(right) & np.isfinite(weight))
        gold, scores, rows = gold[known], self.crossed[known], np.arange(len(known))
        best_right = np.where(gold, scores, -np.inf).argmax(axis=1)
        best_wrong = np.where(gold | np.isnan(scores), -np.inf, scores).argmax(axis=1)
        with np.errstate(invalid="ignore"):
            lead = scores[rows, best_right] - scores[rows, best_wrong]
        finite = lead[np.isfinite(lead)]
        if len(finite) < 2 or not (deviation := float(finite.std())):
            return none
        low, high = np.quantile(finite, (0.25, 0.75)).tolist()
        # Silverman's rule.
        width = 0.9 * (min(deviation, (high - low) / 1.34) or deviation) * len(finite) ** -0.2
        near = np.abs(lead) < width
        weights, options = weight[known][near], scores.shape[1]
        gained = np.bincount(best_right[near], weights, options)
        lost = np.bincount(best_wrong[near], weights, options)
        return np.asarray(self.moves @ ((gained - lost) / (2 * width * len(known))))


def _divergences(
    before: Floats, after: Floats, units: Integers, lettered: bool
) -> tuple[dict[str, Floats], dict[str, Floats], float | None]:
    """The parts of KL and JS of each question, crossed and plugged in, and the factor of the second run's scores."""
    defined = np.flatnonzero(np.isfinite(in_parts(kl_of_logs, before, after)))
    names = [f"{name}_{part}" for name in _DIVERGENCES for part in _FITTED]
    found = tuple({name: np.full(len(before), np.nan) for name in names} for _ in range(2))
    if len(defined) < FEWEST:
        return found[0], found[1], None
    target, scores = before, after
    if len(defined) < len(before):
        target, scores = (np.asfortranarray(x[defined]) for x in (before, after))
    probs, own = np.nan_to_num(np.exp(target)), numbered(units[defined])
    fits = [nearest(probs, scores, own, offsets=False)]
    if lettered:
        fits += [nearest(probs, scores, own, factor=False), nearest(probs, scores, own)]
    del probs, own
    for start in range(0, len(defined), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        for parts, crossed in zip(found, (True, False), strict=True):
            fitted = [fit.of_rows(rows).distributions(scores[rows], crossed=crossed) for fit in fits]
            for name, divergence in _DIVERGENCES.items():
                raw, sharp, *others = (divergence(target[rows], logs) for logs in (scores[rows], *fitted))
                moved, rest = others or (raw, sharp)
                for part, values in (
                    ("sharpness", raw - sharp),
                    ("prior", sharp - rest),
                    ("rest", rest),
                    ("prior_first", raw - moved),
                    ("sharpness_last", moved - rest),
                    ("calibrated", moved),
                ):
                    parts[f"{name}_{part}"][defined[rows]] = values
    return found[0], found[1], fits[0].factor


def _both_ways(before: Floats, after: Floats, lettered: bool) -> frozenset[str]:
    """Which of factor and offsets the fit of either run to the other moves in the same direction.

    Two runs of one model that differ by chance are each flatter than the other's scores would have it: either fit shrinks the
    other run, as regression does. A temperature or letters that were moved are undone by one fit and made by the other.
    """
    both = np.flatnonzero(np.isfinite(kl_of_logs(before, after)) & np.isfinite(kl_of_logs(after, before)))
    if len(both) < FEWEST:
        return frozenset()
    fits = [
        nearest(np.nan_to_num(np.exp(to[both])), of[both], np.arange(len(both)), offsets=lettered)
        for to, of in ((before, after), (after, before))
    ]
    shrunk = all(fit.factor < 1 for fit in fits)
    together = float(fits[0].offsets @ fits[1].offsets) > 0
    return frozenset(name for name, holds in (("factor", shrunk), ("offsets", together)) if holds)


def _prior(group: Answered) -> Prior | None:
    """How probable the labels of a kind of questions are, and how often right; None where no question has two distributions."""
    before, after = (log_probabilities(x) for x in (group.before, group.after))
    defined = np.isfinite(before).any(axis=1) & np.isfinite(after).any(axis=1)
    if not defined.any():
        return None
    before, after, gold = before[defined], after[defined], group.gold[defined]
    known = gold.sum(axis=1) == 1
    right, wanted = gold[known].sum(axis=0), even(~np.isnan(before[known])).sum(axis=0)
    offered, asked, even_p = np.flatnonzero(~np.isnan(before).all(axis=0)), wanted > 0, None
    if asked.sum() > 1:
        from scipy.special import chdtrc

        even_p = float(chdtrc(asked.sum() - 1, ((right - wanted)[asked] ** 2 / wanted[asked]).sum()))
    names = group.names or tuple(map(option_name, range(before.shape[1])))
    return Prior(
        len(before),
        tuple(names[column] for column in offered),
        tuple(mean_probabilities(before)[offered].tolist()),
        tuple(np.nan_to_num(mean_probabilities(after))[offered].tolist()),
        tuple((right[offered] / max(int(known.sum()), 1)).tolist()),
        tuple((wanted[offered] / max(int(known.sum()), 1)).tolist()),
        even_p,
    )
