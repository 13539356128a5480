"""One number per question of each part of the change of accuracy: with and without the prior of the labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from consistency.metrics.distributions import top_option
from consistency.metrics.letter_prior import batch_calibrated
from consistency.metrics.ranking import spearman
from consistency.metrics.rows import in_parts, slices
from consistency.statistics.answered import Answered, both_distributions, put, sampled_units
from consistency.statistics.sampling import Labels
from consistency.statistics.without_prior import QUARTERS, WithoutPrior
from consistency.support.arrays import Bools, Floats, Integers

SHARES = ("calibrated_before", "calibrated_after", "calibrated_harmful", "calibrated_beneficial")
CHANGES = ("calibrated_change", "prior_change")


def parts_by_question(groups: Sequence[Answered], labels: Labels) -> Parts:
    """One number per question of each part of accuracy, for all groups in their order; parameters as in `decompose`."""
    units = sampled_units(groups, labels)
    each = [_parts(group, own) for group, own in zip(groups, units, strict=True)]
    crossed, plug_in, influence = (
        getattr(each[0], kind)
        if len(each) == 1
        else {name: np.concatenate([getattr(part, kind)[name] for part in each]) for name in getattr(each[0], kind)}
        for kind in ("crossed", "plug_in", "influence")
    )
    return Parts(crossed, plug_in, influence, rougher=np.sum([part.rougher for part in each], axis=0))


@dataclass(frozen=True, eq=False)
class Parts:
    """One number per question of each part of accuracy, and of the ranking without the prior.

    Attributes
    ----------
    crossed, plug_in : dict of str to ndarray, shape [n]
        With what is fitted to the other questions, and to all of them.
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


def _parts(group: Answered, units: Integers) -> Parts:
    # What is as large as the scores goes before the next of its kind comes: together they are many times the logs.
    logs = both_distributions(group)
    golds = group.gold, group.moved(group.gold)
    raw = _right(logs[1], golds[1]) - _right(logs[0], golds[0])
    batch = []
    if group.lettered:
        batch = [_right(batch_calibrated(scores), gold) for scores, gold in zip(logs, golds, strict=True)]
    sides = [WithoutPrior.of(scores, units, group.lettered) for scores in logs]
    right = [_right(side.crossed, gold) for side, gold in zip(sides, golds, strict=True)]
    influence = _influences(sides, golds, right)
    alike = alike_plugged = in_parts(spearman, group.moved(sides[0].crossed), sides[1].crossed)
    if any(side.offset is not None for side in sides):
        alike_plugged = in_parts(spearman, group.moved(sides[0].plug_in), sides[1].plug_in)
    rougher = np.zeros((QUARTERS, 2))
    for quarter in range(QUARTERS):
        for rows in slices(len(group)):
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


def _spearman_of_quarter(group: Answered, sides: Sequence[WithoutPrior], quarter: int, rows: slice) -> Floats:
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
        if name not in CHANGES:
            return self._known[name]
        change = after - before
        return change if name == "calibrated_change" else np.subtract(self._raw, change, out=change)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*SHARES, *CHANGES, *self._known)))

    def __len__(self) -> int:
        return len(self._known) + len(self._turned) + len(CHANGES)


def _right(scores: Floats, gold: Bools) -> Floats:
    """1 where the best option is right, 0 where it is wrong, NaN where that is not known."""
    return in_parts(_hits, scores, gold)


def _hits(scores: Floats, gold: Bools) -> Floats:
    best = top_option(scores)
    hit = gold[np.arange(len(gold)), np.maximum(best, 0)]
    return np.where((best < 0) | ~gold.any(axis=1), np.nan, hit)


def _influences(sides: Sequence[WithoutPrior], golds: Sequence[Bools], right: Sequence[Floats]) -> list[Floats] | None:
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
