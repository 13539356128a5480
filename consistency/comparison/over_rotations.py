"""What of a change of accuracy is letters, where both runs were asked all rotations of the questions' options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from consistency.comparison.labelled import decompose_tasks
from consistency.comparison.numbers import points_of
from consistency.comparison.pairing import Pairs
from consistency.comparison.section import Section
from consistency.statistics.estimates import Estimate
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.sampling import Labels


def over_rotations(tasks: Sequence[Pairs], labels: Labels) -> Mapping[str, Estimate] | None:
    """The change of the unrotated answers, and how much of it is not there over all rotations.

    Parameters
    ----------
    tasks : sequence of Pairs
        With the rotations of each question folded into one answer.
    labels : dict
        What was sampled, as `mean` takes it, for the questions of all tasks in their order.

    Returns
    -------
    dict of str to Estimate, or None
        `unrotated_change`, of accuracy of the questions as they stand; `letters_change`, this less the change over all
        rotations: what letters do, whether they move alike in all questions or not; `prior_change`, what one number for each
        letter explains of the unrotated change. None where a task was not asked in all rotations by both runs.
    """
    unrotated = []
    for pairs in tasks:
        before, after = pairs.before.unrotated, pairs.after.unrotated
        if before is None or after is None:
            return None
        unrotated.append(replace(pairs, before=before, after=after))
    right = [np.concatenate([getattr(pairs, side).correct for pairs in unrotated]) for side in ("before", "after")]
    folded = [np.concatenate([getattr(pairs, side).correct for pairs in tasks]) for side in ("before", "after")]
    return {
        "unrotated_change": change_of_shares(*right, **labels),
        "letters_change": mean((right[1] - right[0]) - (folded[1] - folded[0]), **labels),
        "prior_change": decompose_tasks(unrotated, labels).estimates["prior_change"],
    }


def rotation_lines(section: Section) -> Iterator[str]:
    """What letters did to the answers to unrotated questions; nothing where not all rotations were asked."""
    found = section.rotations
    if found is None or found["letters_change"].value is None:
        return
    prior = found["prior_change"]
    explained = "" if prior.value is None else f", and one number for each letter explains {points_of(prior)} of these"
    yield (
        f"over all rotations accuracy changes by {points_of(section.estimates['delta_accuracy'])} points, without rotations by "
        f"{points_of(found['unrotated_change'])}: {points_of(found['letters_change'])} points are letters{explained}"
    )
