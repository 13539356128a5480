"""Whether consistency goes with accuracy: a grid's partial correlations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from consistency.experiment.grid import Experiment
from consistency.report.content import Row
from consistency.report.grid.estimates import MEAN
from consistency.statistics.partial_correlation import partial_correlation
from consistency.tasks.scopes import SCOPES
from consistency.training_data.groups import mixed_ratio

_VARIANTS: tuple[tuple[Literal["standard", "paper"], str], ...] = (
    ("standard", "spearman"),
    ("paper", "spearman_paper"),
)


def partial_correlations(rows: Sequence[Row], experiment: Experiment) -> list[Row]:
    """Spearman partial correlation of ranking correlation with tuned accuracy, given base accuracy, over the mixes.

    Parameters
    ----------
    rows : sequence of dict
        Rows of `estimates.results` and `estimates.means`. One observation is a domain's INCOMPATIBLE, MIXED r or
        SELF-ALIGNING, averaged over its seeds: seeds of one run are no independent observations.
    experiment : Experiment

    Returns
    -------
    list of dict
        By model, scope and variant: a `PartialCorrelation` and what it is of.
    """
    one_seed = experiment.seeds[0] if len(experiment.seeds) == 1 else None
    out: list[Row] = []
    for model in experiment.models:
        for scope in SCOPES:
            runs = [
                row
                for row in rows
                if (row["model"], row["scope"], row["seed"]) == (model, scope, one_seed)
                and row["domain"] != MEAN
                and mixed_ratio(row["group"]) is not None
            ]
            for variant, x in _VARIANTS:
                ranking, accuracy, control = (
                    np.array([row[part][measure]["value"] for row in runs], dtype=np.float64)
                    for part, measure in (("tuned", x), ("tuned", "accuracy"), ("base", "accuracy"))
                )
                found = partial_correlation(ranking, accuracy, control, variant)
                named = {"model": model, "scope": scope, "x": x, "y": "accuracy", "control": "base_accuracy"}
                out.append(named | found.to_dict())
    return out
