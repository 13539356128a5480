"""Which questions of a probe groups may ask, and how many: the same for the groups and for what is requested for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from consistency.knowledge.beliefs import Beliefs
from consistency.knowledge.probes import Probe
from consistency.training_data.balance import Movable, movable
from consistency.training_data.decontamination import Contamination, find_contamination
from consistency.training_data.groups import group_size


@dataclass(frozen=True)
class Selection:
    """The questions of a probe that its groups may ask.

    Attributes
    ----------
    beliefs : Beliefs
        Those that are left after decontamination.
    size : int or None
        How many each group asks; None for as many as are misbelieved.
    contamination : Contamination
        Questions that are in evaluation sets, or duplicates within the pool.
    left_out : frozenset of int
        The places in the pool of the questions that no group asks.
    movable : Movable or None
        The questions that balanced variants may ask, and how many of them; None where there is no such variant.
    """

    beliefs: Beliefs
    size: int | None
    contamination: Contamination
    left_out: frozenset[int]
    movable: Movable | None = None


def select(
    probe: Probe,
    evaluation: Sequence[Path],
    remove: bool,
    size: int | None,
    every_group: bool = False,
    balanced: bool = False,
) -> Selection:
    """The questions of a probe that its groups may ask.

    Parameters
    ----------
    probe : Probe
        The labelled pool.
    evaluation : sequence of Path
        Evaluation sets whose questions are not to be trained on.
    remove : bool
        Whether to leave contaminated questions out, or only to list them.
    size : int or None
        Questions in each group; None for the default of `group_size`.
    every_group : bool
        Whether all groups are written that can be.
    balanced : bool
        Whether balanced variants are among them.

    Raises
    ------
    InputError
        If an evaluation set cannot be read.
    """
    found = find_contamination(probe.beliefs, probe.beliefs.ids, evaluation)
    # Released rows are groups already, whose sizes are to be reproduced.
    left_out = frozenset(found.left_out(duplicates=probe.task is not None)) if remove else frozenset()
    beliefs = probe.beliefs
    if left_out:
        beliefs = beliefs.take(row for row in range(len(beliefs)) if row not in left_out)
    released = probe.task is None and every_group
    permuted = movable(beliefs) if balanced else None
    if permuted is not None:
        fit = group_size(permuted.beliefs, probe.beliefs, released) if size is None else size
        permuted = replace(permuted, size=fit)
    if size is None:
        size = group_size(beliefs, probe.beliefs, released)
    return Selection(beliefs, size, found, left_out, permuted)
