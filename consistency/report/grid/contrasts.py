"""Differences between two groups of a grid, over the questions that both tuned models answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np
from msgspec import structs

from consistency.comparison.measure_estimates import is_share
from consistency.experiment.grid import Experiment
from consistency.experiment.group_names import balanced
from consistency.metrics.measures import MEASURE
from consistency.report.document import Figure
from consistency.report.grid.cells import Cell
from consistency.report.grid.document import Contrast, Mean
from consistency.report.grid.estimates import (
    CONTRASTED,
    FIGURES,
    MEAN,
    Draws,
    Found,
    by_group,
    column_of,
    estimate,
    levels,
    members_of,
    of_turned,
    reaches_within,
)
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import holm
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.tails import doubted
from consistency.tasks.scopes import SCOPES

_CONTRASTS = (("harmonious", "incompatible"), ("self_aligning", "incompatible"))
# Those of the groups, then those of their balanced variants.
CONTRASTS = (*_CONTRASTS, *((balanced(minuend), balanced(subtrahend)) for minuend, subtrahend in _CONTRASTS))


def contrasts(
    cells: Sequence[Cell], rows: Sequence[Mean], experiment: Experiment, measures: Mapping[str, str] = CONTRASTED
) -> list[Contrast]:
    """Differences between groups over the questions that both tuned models answered, with p adjusted by Holm.

    Of one seed they are differences between these training runs. Means over seeds are differences between the recipes:
    runs are paired by seed, and their spread is in interval and p.

    Parameters
    ----------
    cells : sequence of Cell
    rows : sequence of Mean
        Rows of `results` and `means`, whose intervals are compared.
    experiment : Experiment
    measures : dict of str to str
        The column of each measure.
    """
    tuned = {(row.model, row.domain, row.group, row.seed, row.scope): row.tuned for row in rows}
    grouped, names = by_group(cells, experiment), tuple(measures.values())
    at = [*product(experiment.domains, experiment.seeds), *levels(experiment)]
    out: list[Contrast] = []
    for model, (minuend, subtrahend), scope in product(experiment.models, CONTRASTS, SCOPES):
        first, second = (grouped.get((model, group, scope), []) for group in (minuend, subtrahend))
        other = {(cell.domain, cell.seed): cell for cell in second}
        differences = [
            cell.minus(other[cell.domain, cell.seed], names) for cell in first if (cell.domain, cell.seed) in other
        ]
        for domain, seed in at:
            chosen = members_of(differences, domain, seed, experiment)
            draws = Draws.of(chosen) if len(chosen) > 1 else None
            for measure, column in measures.items() if chosen else ():
                found = estimate(chosen, column_of(column), draws)
                difference = _difference(measure, column, chosen, found, draws)
                ends = [tuned[model, domain, group, seed, scope].get(measure) for group in (minuend, subtrahend)]
                row = Contrast(
                    model=model,
                    domain=domain,
                    seed=seed,
                    scope=scope,
                    difference=Figure.of(difference),
                    minuend=minuend,
                    subtrahend=subtrahend,
                    measure=measure,
                    n=found.n,
                    p=found.p,
                    intervals_overlap=_overlap(*ends),
                    family=_family(domain, seed, experiment),
                    unit=found.estimate.unit,
                    method=difference.method,
                    question_se=found.question_se,
                )
                out.append(row)
    return _adjusted(out)


def _difference(measure: str, column: str, cells: Sequence[Cell], found: Found, draws: Draws | None) -> Estimate:
    """A difference between two groups with what its interval has to contain, or the warnings that say what it does not."""
    name = FIGURES["tuned", measure if ("tuned", measure) in FIGURES else "accuracy"][0]
    samples = [column_of(column)(cell) for cell in cells]
    if found.estimate.value is not None and all(is_share(MEASURE[name], np.abs(x)) for x in samples):
        if draws is not None:
            return of_turned(found, samples, draws.question)
        # The samples hold 1 where the minuend's answer alone is right, -1 where the subtrahend's alone is, else 0. `more` is 1
        # in the former questions, `less` in the latter, and both are 0 in all others: `more - less` is the sample.
        less, more = (np.where(np.isfinite(samples[0]), samples[0] == sign, np.nan) for sign in (-1, 1))
        return replace(change_of_shares(less, more), se=found.estimate.se, unit=found.estimate.unit)
    low, high = reaches_within(cells, "").get(measure, MEASURE[name].bounds)
    return doubted(found.estimate, low - high, high - low)


def _adjusted(rows: Sequence[Contrast]) -> list[Contrast]:
    """The contrasts with their p adjusted over their family."""
    adjusted = np.full(len(rows), np.nan)
    for family in dict.fromkeys(row.family for row in rows):
        members = np.array([row.family == family for row in rows])
        adjusted[members] = holm(np.array([row.p for row in rows if row.family == family], dtype=np.float64))
    return [
        structs.replace(row, p_holm=None if np.isnan(p) else p) for row, p in zip(rows, adjusted.tolist(), strict=True)
    ]


def _family(domain: str, seed: int | None, experiment: Experiment) -> str:
    over = "mean over domains" if domain == MEAN else "each domain"
    if len(experiment.seeds) == 1:
        return over
    return f"{over}, {'mean over seeds' if seed is None else 'each seed'}"


def _overlap(first: Figure | None, second: Figure | None) -> bool | None:
    if first is None or second is None:
        return None
    if first.ci_low is None or first.ci_high is None or second.ci_low is None or second.ci_high is None:
        return None
    return first.ci_low <= second.ci_high and second.ci_low <= first.ci_high
