"""Tests of a change of accuracy: that there is none, that it is the same in all tasks, that it is small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from consistency.comparison.measured_task import MeasuredTask
from consistency.comparison.sampling import Analysis, Sampling
from consistency.metrics.answers import flips
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import equivalence, minimum_detectable_effect, sign_flip_test, t_test
from consistency.statistics.paired_shares import change_of_shares, differing_changes, equivalence_of_shares
from consistency.statistics.power import detectable_change
from consistency.support.arrays import Floats

# With fewer signs to flip no p is below .05.
_FEWEST_SIGNS = 6


def change_in_task(task: MeasuredTask, analysis: Analysis) -> Estimate:
    """The change of accuracy in one task."""
    labels = Sampling.of([task], analysis).labels
    return change_of_shares(task.arrays["correct_before"], task.arrays["correct_after"], **labels)


def no_change_of(change: Estimate, differences: Floats, sampling: Sampling) -> float | None:
    """The p of no change: by flipping the signs of what was sampled; by t where that is both, or too few for it to be small."""
    if not change.n:
        return None
    clusters = sampling.tasks if sampling.sampled else sampling.clusters
    if sampling.sampled and sampling.clusters is not None:
        return t_test(change)
    if clusters is not None and len(np.unique(clusters[np.isfinite(differences)])) < _FEWEST_SIGNS:
        return t_test(change)
    return sign_flip_test(differences, clusters=clusters)


def heterogeneity_p(tasks: Sequence[MeasuredTask], analysis: Analysis) -> float | None:
    """The p of one change of accuracy in all tasks, each with the independent questions that its own say as much as."""
    lost, won, sizes = [], [], []
    for task in tasks:
        before, after = task.arrays["correct_before"], task.arrays["correct_after"]
        turned, known = flips(before, after), int(np.isfinite(before + after).sum())
        if known:
            weight = 1.0
            if task.clusters is not None:
                weight = (change_in_task(task, analysis).effective_n or known) / known
            lost.append(turned["harmful"] * weight)
            won.append(turned["beneficial"] * weight)
            sizes.append(known * weight)
    return differing_changes(lost, won, sizes) if len(sizes) > 1 else None


def equivalence_p(change: Estimate, turned: Mapping[str, int] | None, margin: float) -> float | None:
    """The p of a change of at least the margin: by scores where the change is of a share."""
    if change.method == "score" and turned is not None:
        return equivalence_of_shares(
            turned["harmful"],
            turned["beneficial"],
            change.n,
            margin,
            effective_n=change.effective_n,
            df=None if change.effective_n is None else change.df,
        )
    return equivalence(change, margin)


def minimum_detectable_change(change: Estimate, turned: Mapping[str, int] | None) -> float | None:
    """The true change that would be found 4 times in 5; None where the data are too few to say."""
    if change.method == "score" and turned is not None and change.unit in ("question", "question cluster"):
        weight = 1.0 if change.effective_n is None else change.effective_n / change.n
        counts = (turned["harmful"], turned["beneficial"], change.n)
        return detectable_change(*(round(count * weight) for count in counts))
    return minimum_detectable_effect(change)
