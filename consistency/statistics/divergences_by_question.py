"""One number per question of each part of KL and JS: what a temperature and offsets of the labels explain, and the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from consistency.metrics.divergences import js_of_logs, kl_of_logs
from consistency.metrics.rows import AT_ONCE, in_parts, slices
from consistency.statistics.answered import FEWEST, Answered, both_distributions, sampled_units
from consistency.statistics.nearest import Nearest, nearest
from consistency.statistics.sampling import Labels, numbered
from consistency.support.arrays import Floats, Integers

# The parts of a divergence, and what is fitted in each.
FITTED = {
    "sharpness": "factor",
    "prior": "offsets",
    "rest": "",
    "prior_first": "offsets",
    "sharpness_last": "factor",
    "calibrated": "",
}
DIVERGENCES = {"kl": kl_of_logs, "js": js_of_logs}


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
        units = sampled_units(groups, labels)
        self._each = [_Fitted(group, own) for group, own in zip(groups, units, strict=True)]
        self.factor = self._each[0].factor if len(self._each) == 1 else None
        self.both_ways = frozenset().union(*(fitted.both_ways for fitted in self._each))
        # Of few questions all are found at once, which is faster.
        every = [(name, crossed) for name in DIVERGENCES for crossed in (True, False)]
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
        return {part: np.concatenate([columns[part] for columns in found]) for part in FITTED}


class _Fitted:
    """What brings the distributions of a group's second run nearest to those of the first."""

    def __init__(self, group: Answered, units: Integers) -> None:
        before, after = both_distributions(group)
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
        found = {key: {part: np.full(self._n, np.nan) for part in FITTED} for key in wanted}
        for rows in slices(len(self._defined)) if self._fits else ():
            target, scores, places = self._target[rows], self._scores[rows], self._defined[rows]
            plain = {name: DIVERGENCES[name](target, scores) for name, _ in wanted}
            fitted = {
                crossed: [fit.of_rows(rows).distributions(scores, crossed=crossed) for fit in self._fits]
                for crossed in dict.fromkeys(crossed for _, crossed in wanted)
            }
            for name, crossed in wanted:
                raw = plain[name]
                sharp, *others = (DIVERGENCES[name](target, logs) for logs in fitted[crossed])
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
