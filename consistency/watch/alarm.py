"""Whether a step raises the alarm: the answers that turned at all looks so far in, what each condition says out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from consistency.statistics.sequential import (
    MOST_LOOKS,
    Turned,
    at_least_lost,
    at_least_turned,
    correlation,
    levels,
    p_of_loss,
    p_of_turning,
    spending,
)
from consistency.support.arrays import Floats
from consistency.watch.rows import Condition, DriftRow, Look
from consistency.watch.settings import Stop

_TESTS: dict[Condition, Callable[[Turned, float], float]] = {"margin": p_of_loss, "harmful_flips": p_of_turning}
# What the share that a condition judges is at least, with an error of some level.
BOUNDS: dict[Condition, Callable[[Turned, float], float]] = {"margin": at_least_lost, "harmful_flips": at_least_turned}


def judge(
    earlier: Sequence[DriftRow],
    row: DriftRow,
    turned: Mapping[Condition, Turned],
    stop: Stop,
    level: float,
) -> dict[Condition, Look]:
    """What a look says about each condition.

    Parameters
    ----------
    earlier : sequence of DriftRow
        Of the looks before, without step 0.
    row : DriftRow
        Of this look.
    turned : dict of str to Turned
        By condition, the answers that turned at this look.
    stop : Stop
    level : float
        The chance of a false alarm over the whole training; two conditions have half of it each.
    """
    limits = stop.limits
    rows = [*earlier, row]
    progress = [each.progress for each in rows]
    found: dict[Condition, Look] = {}
    for condition, limit in limits.items():
        counts = turned[condition]
        p = _TESTS[condition](counts, limit)
        alpha = level / len(limits)
        if len(rows) > MOST_LOOKS:
            own = alpha * float(np.diff(spending(progress))[-1])
        else:
            related = correlation(outcomes(rows, net=condition == "margin"))
            own = float(levels(related, alpha, progress)[-1])
        estimate = (counts.lost - (counts.won if condition == "margin" else 0)) / max(counts.n, 1)
        found[condition] = Look(estimate, limit, p, own)
    return found


def outcomes(rows: Sequence[DriftRow], *, net: bool) -> Floats:
    """Of each look what is counted of each kept question, shape [looks, questions]: 1 where lost, and net of it -1 where won."""
    keys = {(task, doc) for row in rows for kind in (row.lost, row.won) for task, docs in kind.items() for doc in docs}
    column = {key: number for number, key in enumerate(sorted(keys))}
    # What never turned is 0 at every look.
    found = np.zeros((len(rows), max(len(column), *(row.asked for row in rows), 1)))
    for line, row in zip(found, rows, strict=True):
        for kind, value in ((row.lost, 1.0), (row.won, -1.0 if net else 0.0)):
            for task, docs in kind.items():
                line[[column[task, doc] for doc in docs]] = value
    return found
