"""What training seeds changed in a grid that ran several, for the plan of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from consistency.errors import InputError
from consistency.report.grid.document import Contrast, GridReport
from consistency.report.grid.estimates import MEAN
from consistency.report.schema import read_document
from consistency.statistics.crossed import RunSpread


def read_spread(folder: str | Path) -> RunSpread:
    """The spread of differences of two groups' accuracies in one domain, the root mean square over all of them on HOMO.

    Parameters
    ----------
    folder : path-like
        Report of a grid with several seeds.

    Raises
    ------
    InputError
        If it is no report of a grid, or has no such differences.
    """
    document = read_document(folder)
    rows = document.contrasts if isinstance(document, GridReport) else []
    kept = [row for row in rows if (row.measure, row.scope) == ("accuracy", "homo") and row.domain != MEAN]
    found: dict[tuple[str, ...], list[Contrast]] = {}
    for row in kept:
        found.setdefault((row.model, row.domain, row.minuend, row.subtrahend), []).append(row)
    parts = [part for members in found.values() if (part := _variances(members))]
    if not parts:
        raise InputError(
            "has no differences of groups with several seeds",
            expected="the report of a grid with at least two seeds and INCOMPATIBLE beside HARMONIOUS or SELF-ALIGNING",
            do="leave --report out, which plans with an assumed spread",
            path=folder,
        )
    between, single, chance = np.mean(parts, axis=0).tolist()
    return RunSpread(between**0.5, single**0.5, chance / single if single else 0.0)


def _variances(members: list[Contrast]) -> tuple[float, float, float] | None:
    """Of one difference: variance between seeds, between questions, and the part of that which is new with each seed."""
    whole = next((row.question_se for row in members if row.seed is None), None)
    runs = [row for row in members if row.seed is not None]
    values = np.array([row.difference.value for row in runs], dtype=np.float64)
    ses = np.array([row.difference.se for row in runs], dtype=np.float64)
    if whole is None or len(runs) < 2 or not (np.isfinite(values).all() and np.isfinite(ses).all()):
        return None
    # Over questions, one run has the variance own + chance, and a mean of S runs own + chance / S.
    single = float((ses**2).mean())
    chance = min(max((single - whole**2) * len(runs) / (len(runs) - 1), 0.0), single)
    between = max(float(values.var(ddof=1)) - chance, 0.0)
    n = runs[0].n
    return between, single * n, chance * n
