"""The parts of what changed from the base model to each tuned one, and each answer without the prior of the letters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import numpy as np

from consistency.experiment.grid import Experiment
from consistency.report.grid.cells import Cell
from consistency.report.grid.contrasts import contrasts
from consistency.report.grid.document import Contrast, Mean, RunParts
from consistency.statistics.accuracy_by_question import parts_by_question
from consistency.statistics.answered import FEWEST, Answered
from consistency.statistics.decomposition import Decomposition, decomposition_of
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Floats

# The measure of the differences between groups, and the column that holds it.
CALIBRATED = {"accuracy without the letters' prior": "calibrated_influence"}
BASE = "base 0-shot"


def with_parts(cell: Cell, *, of_base: bool) -> tuple[Cell, list[RunParts]]:
    """A cell with its column of `CALIBRATED`, and the parts of what changed from the base model.

    Parameters
    ----------
    cell : Cell
        With its probabilities.
    of_base : bool
        Whether the base model without shots is wanted, too.

    Returns
    -------
    Cell
        The column holds what each question contributes to the accuracy without the prior; of questions whose options are texts
        whether the answer is right.
    list of RunParts
        Of the tuned model, and if wanted of the base model; none where too few options have letters.
    """
    rows = np.flatnonzero(np.isin(cell.task, list(cell.lettered)))
    column = cell.arrays["correct_after"]
    if len(rows) < FEWEST:
        return _with(cell, column), []
    labels = Labels(strata=cell.task[rows], tasks=None, clusters=None)
    gold = cell.arrays["gold"][rows]
    before = _logs(cell.arrays["probs_before"][rows])
    right = (np.arange(before.shape[1]) == gold[:, None]) & (gold >= 0)[:, None]
    found = []
    for group, seed, name in (
        (cell.group, cell.seed, "probs_after"),
        *(((BASE, None, "zero_probs_after"),) if of_base else ()),
    ):
        answered = [Answered(before, _logs(cell.arrays[name][rows]), right)]
        parts = parts_by_question(answered, labels)
        found.append(_row(cell, group, seed, decomposition_of(answered, parts, labels)))
        if seed is not None:
            column = column.copy()
            column[rows] = parts.influence["calibrated_after"]
    return _with(cell, column), found


def calibrated_contrasts(cells: Sequence[Cell], rows: Sequence[Mean], experiment: Experiment) -> list[Contrast]:
    """Differences between groups in accuracy without the letters' prior: see `contrasts`."""
    return contrasts(cells, rows, experiment, CALIBRATED)


def _with(cell: Cell, column: Floats) -> Cell:
    return replace(cell, arrays={**cell.arrays, "calibrated_influence": column})


def _logs(probs: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(probs))


def _row(cell: Cell, group: str, seed: int | None, found: Decomposition) -> RunParts:
    place = {"model": cell.model, "domain": cell.domain, "group": group, "seed": seed, "scope": cell.scope}
    return msgspec.convert({**place, "decomposition": found.to_dict()}, RunParts)
