"""Two runs' accuracy with and without the prior of the options' labels; what a temperature and the labels explain of KL and JS.

A model that is trained may answer A more often whatever is asked, or be surer of the same answers. Accuracy is compared with and
without the prior of the labels (`even_offsets`); how much of KL and JS a temperature and offsets of the labels explain is found
by fitting them (`nearest`). Arrays in, estimates out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
from consistency.statistics.estimates import Estimate
from consistency.statistics.evenness import far_from_even
from consistency.statistics.fitted_means import (
    change_by_influence,
    fitted_mean,
    ranking_without_prior,
    share_by_influence,
    units_of,
)
from consistency.statistics.means import mean
from consistency.statistics.nearest import Nearest, left_out, nearest
from consistency.statistics.sampling import Labels, numbered
from consistency.support.arrays import Bools, Floats, Integers

# With fewer questions of one kind nothing is fitted.
FEWEST = 10
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
        known = [(one, other) for one, other in zip(self.gold, self.even, strict=True) if other > 0]
        return far_from_even(math.sqrt(sum((one - other) ** 2 / other for one, other in known)), self.even_p)


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
    """One number per question of each part of accuracy, for all groups in their order; parameters as in `decompose`."""
    units = _units(groups, labels)
    each = [_parts(group, own) for group, own in zip(groups, units, strict=True)]
    crossed, plug_in, influence = (
        getattr(each[0], kind)
        if len(each) == 1
        else {name: np.concatenate([getattr(part, kind)[name] for part in each]) for name in getattr(each[0], kind)}
        for kind in ("crossed", "plug_in", "influence")
    )
    return Parts(crossed, plug_in, influence, rougher=np.sum([part.rougher for part in each], axis=0))


def _units(groups: Sequence[Answered], labels: Labels) -> list[Integers]:
    """What the questions of each group are sampled in."""
    given = labels["clusters"] if labels["tasks"] is None else labels["tasks"]
    if given is None:
        return [np.arange(len(group)) for group in groups]
    return [numbered(part) for part in np.split(numbered(given), np.cumsum([len(group) for group in groups])[:-1])]


def decomposition_of(groups: Sequence[Answered], parts: Parts, labels: Labels) -> Decomposition:
    """The parts of what changed, with those of accuracy of each question; parameters as in `decompose`."""
    lettered = [group for group in groups if group.lettered]
    priors = tuple(filter(None, map(_prior, lettered)))
    widest = max((group.before.shape[1] for group in lettered), default=1)
    crossed = parts.crossed
    estimates = _of_accuracy(parts, priors, labels)
    ranking = ranking_without_prior(crossed["spearman_calibrated"], parts.rougher, labels)
    plug_in = {name: _known_mean(x) for name, x in parts.plug_in.items()}
    # As large as the logs of many questions, and not needed for what follows.
    del parts, crossed
    divergences = Divergences(groups, labels)
    for name in _DIVERGENCES:
        columns = divergences.parts(name, crossed=False)
        of_all = {part: mean(columns[part], **labels, always_corrected=True) for part in _FITTED}
        plug_in |= {f"{name}_{part}": _known_mean(columns[part]) for part in _FITTED}
        del columns
        columns = divergences.parts(name, crossed=True)
        of_others = {part: mean(columns[part], **labels, always_corrected=True) for part in _FITTED}
        known = {part: units_of(columns[part], labels) for part in _FITTED}
        del columns
        for part, fitted in _FITTED.items():
            count = widest - 1 if fitted == "offsets" else int(fitted == "factor")
            found = fitted_mean(of_others[part], of_all[part], count, known[part])
            if fitted in divergences.both_ways and found.ci_low is not None:
                found = replace(found, ci_low=min(found.ci_low, 0.0))
            estimates[f"{name}_{part}"] = found
    estimates["spearman_calibrated"] = ranking
    order = (*_SHARES, *_CHANGES, *(f"{name}_{part}" for name in _DIVERGENCES for part in _FITTED), *plug_in)
    return Decomposition(
        n=sum(map(len, groups)),
        lettered=sum(map(len, lettered)),
        estimates=estimates,
        plug_in={name: value for name in dict.fromkeys(order) if (value := plug_in[name]) is not None},
        temperature=1 / divergences.factor if divergences.factor else None,
        priors=priors,
    )


def accuracy_parts(groups: Sequence[Answered], labels: Labels) -> tuple[dict[str, Estimate], Parts]:
    """The parts of the change of accuracy alone, and their numbers by question; parameters as in `decompose`."""
    parts = parts_by_question(groups, labels)
    priors = tuple(filter(None, (_prior(group) for group in groups if group.lettered)))
    return _of_accuracy(parts, priors, labels), parts


def _of_accuracy(parts: Parts, priors: Sequence[Prior], labels: Labels) -> dict[str, Estimate]:
    """The estimates of the parts of accuracy, with the caveat of labels that are unevenly right."""
    crossed, influence = parts.crossed, parts.influence
    estimates = {
        **{name: change_by_influence(crossed[name], influence[name], labels) for name in _CHANGES},
        **{name: share_by_influence(crossed[name], influence[name], labels) for name in _SHARES},
    }
    if any(prior.is_uneven for prior in priors):
        return {name: replace(found, warnings=(*found.warnings, "uneven labels")) for name, found in estimates.items()}
    return estimates


def _known_mean(x: Floats) -> float | None:
    """The mean of the finite numbers; None without any."""
    known = np.isfinite(x)
    return float(x[known].mean()) if known.any() else None


@dataclass(frozen=True, eq=False)
class Parts:
    """One number per question of each part of accuracy, and of the ranking without the prior.

    Attributes
    ----------
    crossed, plug_in : dict of str to ndarray, shape [n]
        With what is fitted to the other units, and to all of them.
    influence : dict of str to ndarray, shape [n]
        What each question contributes to the mean of a part of accuracy, by its own answers and by the offsets.
    rougher : ndarray, shape [4, 2]
        By quarter of the units: what the ranking correlations of the other units, without the prior, lose in sum where the prior
        is fitted to this quarter only, and how many there are.
    """

    crossed: Mapping[str, Floats]
    plug_in: Mapping[str, Floats]
    influence: Mapping[str, Floats]
    rougher: Floats


def _distributions(group: Answered) -> tuple[Floats, Floats]:
    """The log-probabilities of both runs; what one of them leaves open is compared in neither."""
    # Option by option in memory: sums over few options of many questions are then faster.
    before, after = (in_parts(_by_option, x) for x in (group.before, group.after))
    open_ = ~(np.isfinite(before).any(axis=1) & np.isfinite(after).any(axis=1))
    before[open_], after[open_] = np.nan, np.nan
    return before, after


def _by_option(scores: Floats) -> Floats:
    return np.asfortranarray(log_probabilities(scores))


def _parts(group: Answered, units: Integers) -> Parts:
    # What is as large as the scores goes before the next of its kind comes: together they are many times the logs.
    logs = _distributions(group)
    golds = group.gold, group.moved(group.gold)
    raw = _right(logs[1], golds[1]) - _right(logs[0], golds[0])
    batch = []
    if group.lettered:
        batch = [_right(batch_calibrated(scores), gold) for scores, gold in zip(logs, golds, strict=True)]
    sides = [_Calibrated.of(scores, units, group.lettered) for scores in logs]
    right = [_right(side.crossed, gold) for side, gold in zip(sides, golds, strict=True)]
    influence = _influences(sides, golds, right)
    alike = alike_plugged = in_parts(spearman, group.moved(sides[0].crossed), sides[1].crossed)
    if any(side.offset is not None for side in sides):
        alike_plugged = in_parts(spearman, group.moved(sides[0].plug_in), sides[1].plug_in)
    rougher = np.zeros((_QUARTERS, 2))
    for quarter in range(_QUARTERS):
        for rows in _slices(len(group)):
            lost = alike[rows] - _spearman_of_quarter(group, sides, quarter, rows)
            rougher[quarter] += np.nansum(lost), np.isfinite(lost).sum()
    # Nothing was fitted to the labels: arrays that are the same are the same in memory.
    plain = [
        hit if side.offset is None else _right(side.plug_in, gold)
        for side, hit, gold in zip(sides, right, golds, strict=True)
    ]
    batch = batch or right
    crossed = _Accuracy(raw, right, spearman_calibrated=alike)
    return Parts(
        crossed,
        _Accuracy(raw, plain, spearman_calibrated=alike_plugged, batch_before=batch[0], batch_after=batch[1]),
        _Accuracy(raw, right)
        if influence is None
        else _Accuracy(raw, influence[:2], lost=influence[2], won=influence[3]),
        rougher,
    )


def _slices(n: int) -> list[slice]:
    return [slice(start, start + AT_ONCE) for start in range(0, n, AT_ONCE)]


def _spearman_of_quarter(group: Answered, sides: Sequence[_Calibrated], quarter: int, rows: slice) -> Floats:
    """The ranking correlations of some rows without the prior that a quarter of the units has; NaN within that quarter."""
    before, after = (side.rougher(quarter, rows) for side in sides)
    return spearman(before if group.place is None else put(before, group.place[rows]), after)


class _Accuracy(Mapping[str, Floats]):
    """The parts of the change of accuracy, of which most are computed when they are asked for, and other columns.

    `lost` and `won` are the answers that turned; by default those of which `calibrated` says whether they are right.
    """

    def __init__(
        self,
        raw: Floats,
        calibrated: Sequence[Floats],
        lost: Floats | None = None,
        won: Floats | None = None,
        **others: Floats,
    ) -> None:
        self._raw, self._turned = raw, {"calibrated_harmful": lost, "calibrated_beneficial": won}
        self._known = {"calibrated_before": calibrated[0], "calibrated_after": calibrated[1], **others}

    def __getitem__(self, name: str) -> Floats:
        before, after = self._known["calibrated_before"], self._known["calibrated_after"]
        if name in self._turned:
            known = self._turned[name]
            turned = (before, after) if name == "calibrated_harmful" else (after, before)
            return turned[0] * (1 - turned[1]) if known is None else known
        if name not in _CHANGES:
            return self._known[name]
        change = after - before
        return change if name == "calibrated_change" else np.subtract(self._raw, change, out=change)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*_SHARES, *_CHANGES, *self._known)))

    def __len__(self) -> int:
        return len(self._known) + len(self._turned) + len(_CHANGES)


def _right(scores: Floats, gold: Bools) -> Floats:
    """1 where the best option is right, 0 where it is wrong, NaN where that is not known."""
    return in_parts(_hits, scores, gold)


def _hits(scores: Floats, gold: Bools) -> Floats:
    best = top_option(scores)
    hit = gold[np.arange(len(gold)), np.maximum(best, 0)]
    return np.where((best < 0) | ~gold.any(axis=1), np.nan, hit)


@dataclass(frozen=True, eq=False)
class _Calibrated:
    """One run's scores without the prior of the labels.

    Attributes
    ----------
    scores : ndarray, shape [n, k]
    crossed : ndarray, shape [n, k]
        With offsets that make the labels even over the other units.
    offset : ndarray, shape [k], or None
        What makes the labels even over all questions; None where nothing is fitted.
    quarter : ndarray of int8, shape [n]
        Which of the quarters of the units each is in.
    offsets : ndarray, shape [4, k]
        That make the labels even over each quarter.
    inverse : ndarray, shape [k, k], or None
        How the offsets move with the labels' mean probabilities.
    """

    scores: Floats
    crossed: Floats
    offset: Floats | None = None
    quarter: NDArray[np.int8] | None = None
    offsets: Floats | None = None
    inverse: Floats | None = None

    @classmethod
    def of(cls, scores: Floats, units: Integers, lettered: bool) -> _Calibrated:
        """The scores of one run."""
        if not lettered or np.isfinite(in_parts(log_probabilities, scores)).any(axis=1).sum() < FEWEST:
            same = np.full_like(scores, np.nan) if lettered else scores
            return cls(same, same)
        offset = np.nan_to_num(even_offsets(scores))
        probs = in_parts(lambda x: np.exp(log_probabilities(x + offset)), scores)
        defined = np.isfinite(probs).any(axis=1)
        inverse = inverted(curvature(np.nan_to_num(probs[defined])))
        del probs
        crossed = left_out(in_parts(partial(_unevenness, offset), scores), units, inverse)
        crossed += scores + offset
        count = int(units.max()) + 1
        if count < 2 * _QUARTERS:
            return cls(scores, crossed, offset, inverse=inverse)
        quarter = (np.random.default_rng(0).permutation(count) % _QUARTERS).astype(np.int8)[units]
        offsets = np.nan_to_num([even_offsets(scores[quarter == number]) for number in range(_QUARTERS)])
        return cls(scores, crossed, offset, quarter, offsets, inverse)

    @property
    def plug_in(self) -> Floats:
        """With offsets that make the labels even over all questions."""
        return self.crossed if self.offset is None else np.asarray(self.scores + self.offset)

    def rougher(self, quarter: int, rows: slice) -> Floats:
        """Scores with offsets that make the labels even over a quarter of the units, which has NaN; `crossed` with few units."""
        if self.quarter is None or self.offsets is None:
            return self.crossed[rows]
        inside = self.quarter[rows, None] == quarter
        return np.where(inside, np.nan, self.scores[rows] + self.offsets[quarter])

    def moved(self, gold: Bools, right: Floats, weights: Sequence[Floats]) -> list[Floats]:
        """What each question contributes to weighted shares of right answers by what it does to the offsets, for each weight.

        Times the derivative of the share by the offsets, which is that of questions whose right option leads or trails by little.
        """
        none = np.zeros(len(right))
        if self.offset is None or self.inverse is None:
            return [none] * len(weights)
        known = np.flatnonzero(np.isfinite(right) & np.all([np.isfinite(weight) for weight in weights], axis=0))
        gold, scores, rows = gold[known], self.crossed[known], np.arange(len(known))
        best_right = np.where(gold, scores, -np.inf).argmax(axis=1)
        best_wrong = np.where(gold | np.isnan(scores), -np.inf, scores).argmax(axis=1)
        with np.errstate(invalid="ignore"):
            lead = scores[rows, best_right] - scores[rows, best_wrong]
        del scores, gold, rows
        finite = lead[np.isfinite(lead)]
        if len(finite) < 2 or not (deviation := float(finite.std())):
            return [none] * len(weights)
        low, high = np.quantile(finite, (0.25, 0.75)).tolist()
        # Silverman's rule.
        width = 0.9 * (min(deviation, (high - low) / 1.34) or deviation) * len(finite) ** -0.2
        near = np.abs(lead) < width
        options, right_near, wrong_near = self.scores.shape[1], best_right[near], best_wrong[near]
        slopes = [
            np.bincount(right_near, weight[known][near], options)
            - np.bincount(wrong_near, weight[known][near], options)
            for weight in weights
        ]
        # The offsets move with all questions that have scores, also where nobody knows what is right.
        scored = int(in_parts(lambda x: np.isfinite(x).any(axis=1), self.scores).sum())
        by_offset = self.inverse @ np.transpose(slopes) / (2 * width * scored)
        offset = self.offset
        found = in_parts(lambda x: -_unevenness(offset, x) @ by_offset, self.scores)
        return list(found.T)


def _unevenness(offset: Floats, scores: Floats) -> Floats:
    """How far the probabilities of each question's labels are from even, with these offsets; 0 where they are not known."""
    probs = np.exp(log_probabilities(scores + offset))
    defined = np.isfinite(probs).any(axis=1, keepdims=True)
    return np.asarray(np.nan_to_num(probs) * defined - even(~np.isnan(scores) & defined))


def _influences(sides: Sequence[_Calibrated], golds: Sequence[Bools], right: Sequence[Floats]) -> list[Floats] | None:
    """What each question contributes to both accuracies, and to the answers that turned from right to wrong and back.

    By its own answers, and by what it does to the offsets. None where nothing is fitted.
    """
    if all(side.offset is None for side in sides):
        return None
    before, after = right
    ones = np.ones(len(before))
    of_before = sides[0].moved(golds[0], before, [ones, 1 - after, -after])
    of_after = sides[1].moved(golds[1], after, [ones, -before, 1 - before])
    return [
        before + of_before[0],
        after + of_after[0],
        before * (1 - after) + of_before[1] + of_after[1],
        after * (1 - before) + of_before[2] + of_after[2],
    ]


class Divergences:
    """The parts of KL and JS of each question, of all groups in their order; parameters as in `decompose`.

    Attributes
    ----------
    factor : float or None
        Of the second run's scores; None where several kinds of options have one each.
    both_ways : frozenset of str
        Which of factor and offsets the fit of either run to the other moves in the same direction.
    """

    def __init__(self, groups: Sequence[Answered], labels: Labels) -> None:
        units = _units(groups, labels)
        self._each = [_Fitted(group, own) for group, own in zip(groups, units, strict=True)]
        self.factor = self._each[0].factor if len(self._each) == 1 else None
        self.both_ways = frozenset().union(*(fitted.both_ways for fitted in self._each))
        # Of few questions all are found at once, which is faster.
        every = [(name, crossed) for name in _DIVERGENCES for crossed in (True, False)]
        few = sum(map(len, groups)) <= AT_ONCE
        self._kept = [fitted.columns(every) for fitted in self._each] if few else None

    def parts(self, name: str, *, crossed: bool) -> dict[str, Floats]:
        """One number per question of each part of a divergence, fitted to the other units or to all of them."""
        key = name, crossed
        found = (
            [columns[key] for columns in self._kept]
            if self._kept is not None
            else [fitted.columns([key])[key] for fitted in self._each]
        )
        if len(found) == 1:
            return found[0]
        return {part: np.concatenate([columns[part] for columns in found]) for part in _FITTED}


class _Fitted:
    """What brings the distributions of a group's second run nearest to those of the first."""

    def __init__(self, group: Answered, units: Integers) -> None:
        before, after = _distributions(group)
        self._target, self._scores, self._n = group.moved(before), after, len(group)
        del before
        self.both_ways = _both_ways(self._target, self._scores, group.lettered)
        self._defined = np.flatnonzero(np.isfinite(in_parts(kl_of_logs, self._target, self._scores)))
        self._fits: list[Nearest] = []
        if len(self._defined) < FEWEST:
            return
        if len(self._defined) < self._n:
            self._target, self._scores = (np.asfortranarray(x[self._defined]) for x in (self._target, self._scores))
        probs, own = in_parts(_known_probabilities, self._target), numbered(units[self._defined])
        # The largest first.
        for factor, offsets in ((True, True), (False, True), (True, False)) if group.lettered else ((True, False),):
            self._fits.insert(0, nearest(probs, self._scores, own, factor=factor, offsets=offsets))

    @property
    def factor(self) -> float | None:
        """Of the second run's scores; None where too few questions have a divergence."""
        return self._fits[0].factor if self._fits else None

    def columns(self, wanted: Sequence[tuple[str, bool]]) -> dict[tuple[str, bool], dict[str, Floats]]:
        """One number per question of each part of some divergences, fitted to the other units or to all."""
        found = {key: {part: np.full(self._n, np.nan) for part in _FITTED} for key in wanted}
        for rows in _slices(len(self._defined)) if self._fits else ():
            target, scores, places = self._target[rows], self._scores[rows], self._defined[rows]
            plain = {name: _DIVERGENCES[name](target, scores) for name, _ in wanted}
            fitted = {
                crossed: [fit.of_rows(rows).distributions(scores, crossed=crossed) for fit in self._fits]
                for crossed in dict.fromkeys(crossed for _, crossed in wanted)
            }
            for name, crossed in wanted:
                raw = plain[name]
                sharp, *others = (_DIVERGENCES[name](target, logs) for logs in fitted[crossed])
                moved, rest = others or (raw, sharp)
                for part, values in (
                    ("sharpness", raw - sharp),
                    ("prior", sharp - rest),
                    ("rest", rest),
                    ("prior_first", raw - moved),
                    ("sharpness_last", moved - rest),
                    ("calibrated", moved),
                ):
                    found[name, crossed][part][places] = values
        return found


def _known_probabilities(logs: Floats) -> Floats:
    """The probabilities of log-probabilities, 0 where there is none."""
    return np.asarray(np.nan_to_num(np.exp(logs)))


def _both_ways(before: Floats, after: Floats, lettered: bool) -> frozenset[str]:
    """Which of factor and offsets the fit of either run to the other moves in the same direction.

    Two runs of one model that differ by chance are each flatter than the other's scores would have it: either fit shrinks the
    other run, as regression does. A temperature or letters that were moved are undone by one fit and made by the other.
    """
    defined = (np.isfinite(in_parts(kl_of_logs, *pair)) for pair in ((before, after), (after, before)))
    both = np.flatnonzero(np.logical_and(*defined))
    if len(both) < FEWEST:
        return frozenset()
    fits = [
        nearest(in_parts(_known_probabilities, to[both]), of[both], offsets=lettered)
        for to, of in ((before, after), (after, before))
    ]
    shrunk = all(fit.factor < 1 for fit in fits)
    together = float(fits[0].offsets @ fits[1].offsets) > 0
    return frozenset(name for name, holds in (("factor", shrunk), ("offsets", together)) if holds)


def _prior(group: Answered) -> Prior | None:
    """How probable the labels of a kind of questions are, and how often right; None where no question has two distributions."""
    before, after = (in_parts(log_probabilities, x) for x in (group.before, group.after))
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
