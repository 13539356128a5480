"""The rows of a report: figures of each run and scope, their means, their contrasts, their partial correlation.

Rows are plain data in the shape of `report.json`. A figure is `{"value", "se", "ci_low", "ci_high", "undefined"}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.experiment.grid import Experiment
from consistency.metrics.answers import flips, quantiles
from consistency.report.content import Row
from consistency.report.grid.cells import Cell
from consistency.statistics.estimates import Estimate, mean
from consistency.statistics.hypotheses import holm, mcnemar_exact
from consistency.support.arrays import Floats
from consistency.tasks.scopes import SCOPES

# Where a figure stands in a row, and the per-question array it averages: or two, the first less the second.
FIGURES: dict[tuple[str, str], tuple[str, ...]] = {
    ("base", "accuracy"): ("correct_before",),
    ("base_zero_shot", "accuracy"): ("zero_correct_after",),
    ("base_zero_shot", "spearman"): ("zero_spearman",),
    ("base_zero_shot", "spearman_paper"): ("zero_spearman_paper",),
    ("base_zero_shot", "cosine"): ("zero_cosine",),
    ("base_zero_shot", "kl"): ("zero_kl",),
    ("tuned", "accuracy"): ("correct_after",),
    ("tuned", "spearman"): ("spearman",),
    ("tuned", "spearman_paper"): ("spearman_paper",),
    ("tuned", "cosine"): ("cosine",),
    ("tuned", "kl"): ("kl",),
    ("tuned", "same_top"): ("same_top",),
    ("change", "accuracy"): ("correct_after", "correct_before"),
    ("change_from_zero_shot", "accuracy"): ("correct_after", "zero_correct_after"),
}
KEPT = tuple(dict.fromkeys([name for names in FIGURES.values() for name in names] + ["tied_before", "tied_after"]))
MEASURES = {"accuracy": "correct_after", "spearman": "spearman", "kl": "kl"}
# The others lie between -1 and 1.
BOUNDS = {"accuracy": (0.0, 1.0), "same_top": (0.0, 1.0), "cosine": (0.0, 1.0), "kl": (0.0, np.inf)}
CONTRASTS = (("harmonious", "incompatible"), ("self_aligning", "incompatible"))
MEAN = "mean"


def figure(estimate: Estimate, low: float = -np.inf, high: float = np.inf) -> Row:
    """An estimate as a report holds it, its interval cut at the ends of what the measure can be.

    Examples
    --------
    >>> figure(mean([0.0, 0.0, 1.0]), 0.0, 1.0)["ci_low"]
    0.0
    """
    return {
        "value": estimate.value,
        "se": estimate.se,
        "ci_low": None if estimate.ci_low is None else max(estimate.ci_low, low),
        "ci_high": None if estimate.ci_high is None else min(estimate.ci_high, high),
        "undefined": estimate.undefined,
    }


@dataclass(frozen=True, eq=False)
class Draws:
    """Which rows of several cells are one draw.

    Attributes
    ----------
    question : ndarray of int64
        The question of each row, cell after cell, as a number from 0.
    task : ndarray of int64
        The task of each question.
    """

    question: NDArray[np.int64]
    task: NDArray[np.int64]

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> Draws:
        """The questions of some cells, each once."""
        task = np.concatenate([cell.task for cell in cells])
        doc = np.unique(np.concatenate([cell.doc_id for cell in cells]), return_inverse=True)[1]
        _, first, question = np.unique(task * (doc.max() + 1) + doc, return_index=True, return_inverse=True)
        return cls(question, task[first])


def estimate(
    cells: Sequence[Cell], values: Callable[[Cell], Floats], draws: Draws | None = None
) -> tuple[Estimate, int]:
    """Mean of the cells' means, each cell with the same weight, and the number of distinct questions.

    Tasks, domains and seeds are fixed; the questions within each task are what was sampled. A question that several
    cells hold (another domain's run, another seed's) is one draw: its contributions to the mean are added before
    their variance is taken.

    Parameters
    ----------
    cells : sequence of Cell
    values : callable
        One number for each question of a cell.
    draws : Draws, optional
        `Draws.of(cells)`, where several numbers of the same cells are wanted.

    Examples
    --------
    >>> task, doc_id = np.zeros(3, dtype=int), np.arange(3)
    >>> one = Cell("m", "d", "g", 0, "homo", task, doc_id, {"x": np.array([0.0, 1.0, 1.0])})
    >>> alone, n = estimate([one], lambda cell: cell.arrays["x"])
    >>> twice, m = estimate([one, one], lambda cell: cell.arrays["x"])
    >>> alone.se == twice.se, n, m
    (True, 3, 3)
    """
    if len(cells) == 1:
        return mean(values(cells[0]), strata=cells[0].task), len(cells[0])
    draws = draws or Draws.of(cells)
    n = len(draws.task)
    centres, deviations, undefined = [], [], 0
    for cell in cells:
        x = values(cell)
        finite = np.isfinite(x)
        undefined += int((~finite).sum())
        if not finite.any():
            return Estimate(None, None, None, None, 0, "a cell has no value", None, undefined), n
        centres.append(float(x[finite].mean()))
        # What a question adds to the error of the mean: nothing where it has no value.
        deviations.append(np.where(finite, x - centres[-1], 0.0) / finite.sum() / len(cells))
    totals = np.bincount(draws.question, weights=np.concatenate(deviations), minlength=n)
    spread = mean(totals * n, strata=draws.task)
    value = float(np.mean(centres))
    if spread.value is None or spread.ci_low is None or spread.ci_high is None:
        return replace(spread, value=value, undefined=undefined), n
    ends = (spread.ci_low - spread.value + value, spread.ci_high - spread.value + value)
    return replace(spread, value=value, ci_low=ends[0], ci_high=ends[1], undefined=undefined), n


def _taking(names: Sequence[str]) -> Callable[[Cell], Floats]:
    def values(cell: Cell) -> Floats:
        taken = cell.arrays[names[0]]
        return np.asarray(taken if len(names) == 1 else taken - cell.arrays[names[1]], dtype=np.float64)

    return values


def _row(cells: Sequence[Cell], domain: str, seed: int | None) -> Row:
    one = cells[0]
    row: Row = {"model": one.model, "domain": domain, "group": one.group, "seed": seed, "scope": one.scope}
    row["n"] = 0
    draws = Draws.of(cells) if len(cells) > 1 else None
    row["tasks"] = len(np.unique(np.concatenate([cell.task for cell in cells])))
    for (part, measure), names in FIGURES.items():
        found, row["n"] = estimate(cells, _taking(names), draws)
        bounds = (-1.0, 1.0) if part.startswith("change") else BOUNDS.get(measure, (-1.0, 1.0))
        row.setdefault(part, {})[measure] = figure(found, *bounds)
    return row


def result(cell: Cell) -> Row:
    """Figures of one run in one scope, with flips, McNemar's p, quantiles of KL and tie rates."""
    row, arrays = _row([cell], cell.domain, cell.seed), cell.arrays
    before, after, same = (
        np.asarray(arrays[key], dtype=np.float64) for key in ("correct_before", "correct_after", "same_top")
    )
    row["flips"] = flips(before, after, same)
    row["mcnemar_p"] = mcnemar_exact(row["flips"]["harmful"], row["flips"]["beneficial"])
    row["kl_quantiles"] = quantiles(np.asarray(arrays["kl"], dtype=np.float64))
    row["tie_rate"] = {"base": float(arrays["tied_before"].mean()), "tuned": float(arrays["tied_after"].mean())}
    return row


def checkpoint(cell: Cell, epoch: int) -> Row:
    """Figures of one run in one scope, as it was after an epoch of its training."""
    return _row([cell], cell.domain, cell.seed) | {"epoch": epoch}


def results(cells: Sequence[Cell]) -> list[Row]:
    """One row for each run and scope, McNemar's p also adjusted over all of them (Holm)."""
    rows = [result(cell) for cell in cells]
    for row, adjusted in zip(rows, holm([row["mcnemar_p"] for row in rows]).tolist(), strict=True):
        row["mcnemar_p_holm"] = adjusted
    return rows


def levels(experiment: Experiment) -> list[tuple[str, int | None]]:
    """Every (domain, seed) that is a mean over several: domain "mean" is over domains, seed None over seeds.

    A mean is of all of them or is not there: of three domains it could not be compared with one of four.
    """
    domains = [*experiment.domains, *([MEAN] if len(experiment.domains) > 1 else [])]
    seeds: list[int | None] = [*experiment.seeds, *([None] if len(experiment.seeds) > 1 else [])]
    return [(d, s) for d in domains for s in seeds if d == MEAN or s is None]


def _members(cells: Iterable[Cell], domain: str, seed: int | None, experiment: Experiment) -> list[Cell]:
    """The cells of a mean; none where one of them is missing."""
    chosen = [cell for cell in cells if domain in (MEAN, cell.domain) and seed in (None, cell.seed)]
    wanted = (len(experiment.domains) if domain == MEAN else 1) * (len(experiment.seeds) if seed is None else 1)
    return chosen if len(chosen) == wanted else []


def _by_group(cells: Sequence[Cell], experiment: Experiment) -> dict[tuple[str, str, str], list[Cell]]:
    """Cells by (model, group, scope), in the order of the experiment."""
    grouped: dict[tuple[str, str, str], list[Cell]] = {
        (model, group, scope): [] for model in experiment.models for group in experiment.groups for scope in SCOPES
    }
    for cell in cells:
        grouped[cell.model, cell.group, cell.scope].append(cell)
    return grouped


def means(cells: Sequence[Cell], experiment: Experiment) -> list[Row]:
    """Rows as `results`, averaged over domains, over seeds, and over both."""
    rows = []
    for members in _by_group(cells, experiment).values():
        for domain, seed in levels(experiment):
            chosen = _members(members, domain, seed, experiment)
            if chosen:
                rows.append(_row(chosen, domain, seed))
    return rows


def seed_summary(rows: Sequence[Row], experiment: Experiment) -> list[Row]:
    """Mean and standard deviation over seeds of the runs' values, where there are several seeds.

    Parameters
    ----------
    rows : sequence of dict
        Rows of `results` and `means`; those of one seed enter.
    """
    if len(experiment.seeds) < 2:
        return []
    grouped: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        if row["seed"] is not None:
            grouped.setdefault((row["model"], row["domain"], row["group"], row["scope"]), []).append(row)
    summary = []
    for (model, domain, group, scope), members in grouped.items():
        out: Row = {"model": model, "domain": domain, "group": group, "scope": scope, "seeds": len(members)}
        for measure in MEASURES:
            values = [row["tuned"][measure]["value"] for row in members]
            known = np.array([value for value in values if value is not None])
            sd = float(known.std(ddof=1)) if len(known) > 1 else None
            out[measure] = {**figure(mean(known)), "sd": sd}
        summary.append(out)
    return summary


def contrasts(cells: Sequence[Cell], rows: Sequence[Row], experiment: Experiment) -> list[Row]:
    """Differences between groups over the questions that both tuned models answered, with p adjusted by Holm.

    Parameters
    ----------
    cells : sequence of Cell
    rows : sequence of dict
        Rows of `results` and `means`, whose intervals are compared.
    experiment : Experiment
    """
    intervals = {(r["model"], r["domain"], r["group"], r["seed"], r["scope"]): r["tuned"] for r in rows}
    grouped = _by_group(cells, experiment)
    at = [(domain, seed) for domain in experiment.domains for seed in experiment.seeds]
    names = tuple(MEASURES.values())
    out: list[Row] = []
    for model in experiment.models:
        for minuend, subtrahend in CONTRASTS:
            for scope in SCOPES:
                first, second = (grouped.get((model, group, scope), []) for group in (minuend, subtrahend))
                other = {(cell.domain, cell.seed): cell for cell in second}
                differences = [
                    cell.minus(other[cell.domain, cell.seed], names)
                    for cell in first
                    if (cell.domain, cell.seed) in other
                ]
                for domain, seed in [*at, *levels(experiment)]:
                    chosen = _members(differences, domain, seed, experiment)
                    draws = Draws.of(chosen) if len(chosen) > 1 else None
                    for measure, name in MEASURES.items() if chosen else ():
                        found, n = estimate(chosen, _taking([name]), draws)
                        ends = [
                            intervals[model, domain, group, seed, scope][measure] for group in (minuend, subtrahend)
                        ]
                        out.append(
                            {
                                "model": model,
                                "domain": domain,
                                "seed": seed,
                                "scope": scope,
                                "minuend": minuend,
                                "subtrahend": subtrahend,
                                "measure": measure,
                                "n": n,
                                "difference": figure(found),
                                "p": t_test(found),
                                "intervals_overlap": _overlap(*ends),
                                "family": _family(domain, seed, experiment),
                            }
                        )
    for family in dict.fromkeys(row["family"] for row in out):
        members = [row for row in out if row["family"] == family]
        adjusted = holm(np.array([row["p"] for row in members], dtype=np.float64))
        for row, p in zip(members, adjusted.tolist(), strict=True):
            row["p_holm"] = None if np.isnan(p) else p
    return out


def _family(domain: str, seed: int | None, experiment: Experiment) -> str:
    over = "mean over domains" if domain == MEAN else "each domain"
    if len(experiment.seeds) == 1:
        return over
    return f"{over}, {'mean over seeds' if seed is None else 'each seed'}"


def t_test(estimate: Estimate) -> float | None:
    """Two-sided p of "the mean is 0", from the same t distribution as the interval; None without a standard error.

    Examples
    --------
    >>> round(t_test(mean([1.0, 2.0, 3.0])), 4)
    0.0742
    """
    if estimate.value is None or estimate.se is None or estimate.df is None:
        return None
    if estimate.se == 0:
        return 1.0 if estimate.value == 0 else None
    from scipy.special import stdtr

    return float(2 * stdtr(estimate.df, -abs(estimate.value) / estimate.se))


def _overlap(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool | None:
    ends = (first["ci_low"], first["ci_high"], second["ci_low"], second["ci_high"])
    if None in ends:
        return None
    return bool(ends[0] <= ends[3] and ends[2] <= ends[1])
