"""Whether ranking and accuracy go together over the mixes of a grid: partial correlations of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from consistency.experiment.grid import Experiment
from consistency.experiment.group_names import is_balanced
from consistency.report.grid.document import Mean, RunsCorrelation
from consistency.report.grid.estimates import MEAN
from consistency.statistics.partial_correlation import LEVEL_REMARK, PartialCorrelation, partial_correlation
from consistency.tasks.scopes import SCOPES
from consistency.training_data.groups import mixed_ratio

MOVES_BOTH = "the mixing ratio moves both ranking and accuracy, and is not held constant here"
CURVED_DOSE = (
    "a linear effect of the ratio's rank leaves a part of a curved dose in both: p, robust_p and the interval promise more "
    "than they hold"
)
UNLIKE_DOMAINS = (
    "p rejects a true null too often where runs hardly differ by anything but the dose, robust_p less so; both where the "
    "domains respond differently to the mixes"
)


def partial_correlations(rows: Sequence[Mean], experiment: Experiment) -> list[RunsCorrelation]:
    """Spearman partial correlations of Spearman's rho with tuned accuracy over the mixes.

    Parameters
    ----------
    rows : sequence of Mean
        Rows of `results` and `means`. One observation is a domain's INCOMPATIBLE, MIXED r or SELF-ALIGNING, averaged
        over its seeds: seeds of one run are no independent observations.
    experiment : Experiment

    Returns
    -------
    list of RunsCorrelation
        By model, scope and variant, which differ in what is held constant: base accuracy (`standard`, and `paper` as its
        code computes it), which has one value for each domain; the domain (`within_domains`), of which base accuracy is a
        part; the domain and the rank of the mixing ratio, from 0 for INCOMPATIBLE to 1 for SELF-ALIGNING (`given_dose`);
        the domain and the mix, each mix with an effect of its own (`given_mix`).
    """
    one_seed = experiment.seeds[0] if len(experiment.seeds) == 1 else None
    out = []
    for model in experiment.models:
        for scope in SCOPES:
            runs = [
                row
                for row in rows
                if (row.model, row.scope, row.seed) == (model, scope, one_seed)
                and row.domain != MEAN
                and mixed_ratio(row.group) is not None
            ]
            # The dose of a group and that of its balanced variant are two curves: one where there are both.
            runs = [row for row in runs if not is_balanced(row.group)] or runs
            out += [RunsCorrelation(model, scope, *place, **vars(found)) for place, found in _correlations(runs)]
    return out


def _correlations(runs: Sequence[Mean]) -> Iterator[tuple[tuple[str, str, str], PartialCorrelation]]:
    """Each variant: x, y and what is held constant, and the correlation."""
    accuracy, base = (
        np.array([figures["accuracy"].value for figures in parts], dtype=np.float64)
        for parts in ([row.tuned for row in runs], [row.base for row in runs])
    )
    ranking, paper = (
        np.array([row.tuned[name].value for row in runs], dtype=np.float64) for name in ("spearman", "spearman_paper")
    )
    domains = np.array([row.domain for row in runs], dtype=object)
    ratio = np.array([mixed_ratio(row.group) for row in runs], dtype=np.float64)
    mix = (ratio[:, None] == np.unique(ratio)[1:]).astype(np.float64)
    values = len(np.unique(base))
    of_domains = f"base accuracy has {values} values, no more than domains, for {len(runs)} runs; {MOVES_BOTH}"
    yield ("spearman", "accuracy", "base_accuracy"), partial_correlation(ranking, accuracy, base, remark=of_domains)
    yield (
        ("spearman_paper", "accuracy", "base_accuracy"),
        partial_correlation(paper, accuracy, base, "paper", remark=of_domains),
    )
    # Given the dose, what p promises is in the remark.
    for variant, control, held, remark, level in (
        ("within_domains", "domain", base[:, None], MOVES_BOTH, LEVEL_REMARK),
        ("given_dose", "domain, mixing_ratio", np.column_stack([base, ratio]), CURVED_DOSE, ""),
        ("given_mix", "domain, mix", np.column_stack([base, mix]), UNLIKE_DOMAINS, ""),
    ):
        found = partial_correlation(ranking, accuracy, held, groups=domains, remark=remark, level_remark=level)
        yield ("spearman", "accuracy", control), replace(found, variant=variant)
