"""Draws of slices of the questions: whether their intervals cover, alone and shrunk, and whether Holm's correction holds."""

from __future__ import annotations

import numpy as np

from consistency.statistics.hypotheses import holm, mcnemar_exact
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.partial_pooling import partially_pooled
from simulations.draws import MMLU, Table, covers

# By name: which share of answers turns on average, the standard deviation of the slices' true changes, and the change of one.
TRUTHS = {
    "nothing changed, 15 % turn": (0.15, 0.0, 0.0),
    "nothing changed, 2 % turn": (0.02, 0.0, 0.0),
    "slices differ by 5 points (SD), 15 % turn": (0.15, 0.05, 0.0),
    "slices differ by 1 point (SD), 2 % turn": (0.02, 0.01, 0.0),
    "one slice fell by 15 points, 15 % turn": (0.15, 0.0, -0.15),
}
NAMES = tuple(
    f"{truth}: {what}"
    for truth, (_, apart, fell) in TRUTHS.items()
    for what in (
        "alone",
        "shrunk",
        *(("the shrunk one is nearer",) if apart or fell else ("Holm finds any",)),
        *(("that slice, alone", "that slice, shrunk") if fell else ()),
    )
)


def of_slices(rng: np.random.Generator, slices: int) -> tuple[float | bool | None, ...]:
    """Of slices as large as MMLU's subjects, in each of which another share of the answers turns."""
    sizes = 10 * (MMLU[np.linspace(0, 56, slices).astype(int)] if slices < 57 else MMLU)
    found: list[float | bool | None] = []
    for turn, apart, fell in TRUTHS.values():
        often = turn * rng.gamma(4, 0.25, slices)
        change = rng.normal(0, apart, slices) if apart else np.zeros(slices)
        change[slices // 2] += fell
        won, lost = (np.clip((often + sign * change) / 2, 0, 0.45) for sign in (1, -1))
        turned = [
            rng.multinomial(n, [one, other, 1 - one - other]) for n, one, other in zip(sizes, won, lost, strict=True)
        ]
        truth = won - lost
        alone = [paired_change(int(b), int(a), int(n)) for (a, b, _), n in zip(turned, sizes, strict=True)]
        pooled = partially_pooled(alone, sum(int(a + b) for a, b, _ in turned))
        shrunk = None if pooled is None else pooled.changes
        found.append(float(np.mean([covers(one, true) for one, true in zip(alone, truth, strict=True)])))
        found.append(
            None
            if shrunk is None
            else float(np.mean([covers(one, true) for one, true in zip(shrunk, truth, strict=True)]))
        )
        if apart or fell:
            nearer = None
            if shrunk is not None:
                errors = [abs(np.array([one.value for one in each], dtype=float) - truth) for each in (shrunk, alone)]
                nearer = float(np.mean(errors[0] <= errors[1]))
            found.append(nearer)
        else:
            found.append(bool((holm([mcnemar_exact(int(b), int(a)) for a, b, _ in turned]) <= 0.05).any()))
        if fell:
            place = slices // 2
            found += [
                covers(alone[place], truth[place]),
                None if shrunk is None else covers(shrunk[place], truth[place]),
            ]
    return tuple(found)


TABLES: dict[str, Table] = {
    "Slices by a field, by their number: coverage of 95 % intervals, and how often Holm's correction finds any change": (
        (5, 10, 57),
        [(of_slices, NAMES)],
    )
}
