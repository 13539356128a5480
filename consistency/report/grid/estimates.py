"""The rows of a grid's report: figures of each run and scope, and their means over domains and seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from msgspec import structs

from consistency.comparison.measure_estimates import are_whole, estimates_of, is_share, reaches_of
from consistency.experiment.grid import Experiment
from consistency.metrics.answers import flips, quantiles
from consistency.metrics.measures import MEASURE, MEASURES
from consistency.report.document import Figure
from consistency.report.grid.cells import Cell
from consistency.report.grid.document import (
    BaseTuned,
    Checkpoint,
    Mean,
    Result,
    SeedFigure,
    SeedSummary,
)
from consistency.statistics.crossed import crossed_mean
from consistency.statistics.estimates import Estimate, Method
from consistency.statistics.hypotheses import holm, mcnemar_exact, t_test
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.pooled_means import Pool, pooled_change, pooled_share, pooled_within
from consistency.statistics.sampling import Labels
from consistency.statistics.tails import doubted
from consistency.support.arrays import Floats, Integers
from consistency.tasks.scopes import SCOPES

# What compares a model with its base.
AGAINST_BASE = tuple(measure.name for measure in MEASURES if measure.in_grid)
# By part of a row and name in it: the measure, and the prefix of the columns that it is made from.
FIGURES = {
    ("base", "accuracy"): ("accuracy_before", ""),
    ("base_zero_shot", "accuracy"): ("accuracy_after", "zero_"),
    **{("base_zero_shot", name): (name, "zero_") for name in AGAINST_BASE},
    ("tuned", "accuracy"): ("accuracy_after", ""),
    **{("tuned", name): (name, "") for name in AGAINST_BASE},
}
# The changes of accuracy, each from one column to another.
CHANGES = {
    ("change", "accuracy"): ("correct_before", "correct_after"),
    ("change_from_zero_shot", "accuracy"): ("zero_correct_after", "correct_after"),
}
_CHANGE = MEASURE["delta_accuracy"]
# The measures of contrasts and of the summary of seeds, by the column of a tuned model's answers.
CONTRASTED = {"accuracy": "correct_after", "spearman": "spearman", "kl": "kl"}
KEPT = tuple(
    dict.fromkeys(
        [prefix + column for name, prefix in FIGURES.values() for column in MEASURE[name].columns]
        + [name for columns in CHANGES.values() for name in columns]
        + ["tied_before", "tied_after"]
    )
)
MEAN = "mean"


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

    question: Integers
    task: Integers

    @classmethod
    def of(cls, cells: Sequence[Cell]) -> Draws:
        """The questions of some cells, each once."""
        task = np.concatenate([cell.task for cell in cells])
        doc = np.unique(np.concatenate([cell.doc_id for cell in cells]), return_inverse=True)[1]
        _, first, question = np.unique(task * (doc.max() + 1) + doc, return_index=True, return_inverse=True)
        return cls(question, task[first])


class Found(NamedTuple):
    """A mean of cells.

    Attributes
    ----------
    estimate : Estimate
    n : int
        Distinct questions.
    p : float or None
        Of "the mean is 0".
    question_se, question_df : float or None
        Standard error over questions alone and its degrees of freedom, where training runs are sampled as well.
    """

    estimate: Estimate
    n: int
    p: float | None
    question_se: float | None = None
    question_df: float | None = None


def estimate(cells: Sequence[Cell], values: Callable[[Cell], Floats], draws: Draws | None = None) -> Found:
    """Mean of the cells' means, each cell with the same weight.

    Tasks and domains are fixed; the questions within each task are what was sampled, and so are the training runs where
    every domain has several that differ by their seed (`crossed_mean`). A question that several cells hold (another
    domain's run, another seed's) is one draw.

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
    >>> other = Cell("m", "d", "g", 1, "homo", task, doc_id, {"x": np.array([1.0, 1.0, 1.0])})
    >>> alone, both = (estimate(cells, lambda cell: cell.arrays["x"]) for cells in ([one], [one, other]))
    >>> alone.estimate.unit, both.estimate.unit, both.n
    ('stratum', 'run', 3)
    """
    return _estimated(cells, [values(cell) for cell in cells], draws)


def _estimated(cells: Sequence[Cell], samples: Sequence[Floats], draws: Draws | None) -> Found:
    """`estimate` of numbers at hand."""
    if len(cells) == 1:
        found = mean(samples[0], strata=cells[0].task)
        return Found(found, len(cells[0]), t_test(found))
    draws = draws or Draws.of(cells)
    recipes = [f"{cell.model}\n{cell.domain}\n{cell.group}" for cell in cells]
    crossed = crossed_mean(samples, draws.question, draws.task, recipes)
    if crossed.variances is None:
        return Found(crossed.estimate, len(draws.task), crossed.p)
    alone = crossed.variances
    return Found(crossed.estimate, len(draws.task), crossed.p, math.sqrt(alone.questions), alone.questions_df)


def column_of(name: str) -> Callable[[Cell], Floats]:
    """What gives a column of a cell, as floats."""
    return lambda cell: np.asarray(cell.arrays[name], dtype=np.float64)


@dataclass(frozen=True)
class _Known:
    """What was found of arrays that several runs share, such as a base model's, so that it is computed once.

    Arrays are told apart by where they are in memory, so they must outlive this.
    """

    draws: dict[tuple[int, ...], Draws] = field(default_factory=dict)
    estimates: dict[Hashable, dict[str, Estimate]] = field(default_factory=dict)

    def draws_of(self, cells: Sequence[Cell]) -> Draws:
        """`Draws.of(cells)`."""
        places = _places(cells)
        if places not in self.draws:
            self.draws[places] = Draws.of(cells)
        return self.draws[places]


def _places(cells: Sequence[Cell], names: Iterable[str] = ()) -> tuple[int, ...]:
    """Where the questions of some cells and these columns are in memory."""
    listed = tuple(names)
    return tuple(
        id(array) for cell in cells for array in (cell.task, cell.doc_id, *map(cell.arrays.__getitem__, listed))
    )


def _columns_of(names: Iterable[str], prefix: str) -> list[str]:
    return [prefix + column for name in names for column in MEASURE[name].columns]


def _of_run(cell: Cell, known: _Known) -> dict[tuple[str, str], Estimate]:
    """The estimates of one run, by part of a row and name in it: those that `consistency compare` gives, of fixed tasks."""
    # Of one task the questions are a plain sample.
    strata = cell.task if (cell.task != cell.task[0]).any() else None
    labels: Labels = {"strata": strata, "tasks": None, "clusters": None}
    found: dict[tuple[str, str], Estimate] = {}
    for part in ("base", "base_zero_shot", "tuned"):
        places = {place: name for place, (name, _) in FIGURES.items() if place[0] == part}
        prefix = FIGURES[next(iter(places))][1]
        reaches = reaches_within([cell], prefix)
        key = part, _places([cell], _columns_of(places.values(), prefix)), *reaches.items()
        if key not in known.estimates:
            values = {name: MEASURE[name].values(cell.arrays, prefix) for name in places.values()}
            known.estimates[key] = estimates_of(values, reaches, labels)
        found |= {place: known.estimates[key][name] for place, name in places.items()}
    for place, columns in CHANGES.items():
        before, after = (column_of(name)(cell) for name in columns)
        whole = are_whole(before) and are_whole(after)
        found[place] = mean(after - before, **labels)
        if whole:
            found[place] = replace(change_of_shares(before, after, **labels), se=found[place].se)
    return {place: replace(item, unit="stratum") for place, item in found.items()}


def reaches_within(cells: Sequence[Cell], prefix: str) -> dict[str, tuple[float, float]]:
    """The smallest and largest value that a question could have, of the measures of which these cells tell it."""
    least = [cell.least_likely[prefix] for cell in cells if prefix in cell.least_likely]
    return reaches_of(least) if len(least) == len(cells) else {}


def _of_runs(cells: Sequence[Cell], draws: Draws, known: _Known) -> dict[tuple[str, str], Estimate]:
    """The estimates of a mean over several runs, by part of a row and name in it."""
    found: dict[tuple[str, str], Estimate] = {}
    reaches = {prefix: reaches_within(cells, prefix) for prefix in ("", "zero_")}
    for place, (name, prefix) in FIGURES.items():
        reach = reaches[prefix].get(name)
        # Of one group's runs: recipes differ by their domains alone.
        recipes = tuple((cell.model, cell.domain) for cell in cells)
        key = place, _places(cells, _columns_of([name], prefix)), reach, recipes
        if key not in known.estimates:
            known.estimates[key] = {name: _of_measure(cells, draws, name, prefix, reach)}
        found[place] = known.estimates[key][name]
    for place, columns in CHANGES.items():
        before, after = ([column_of(name)(cell) for cell in cells] for name in columns)
        turned = [second - first for first, second in zip(before, after, strict=True)]
        over = _estimated(cells, turned, draws)
        found[place] = over.estimate
        if over.estimate.value is not None and all(map(are_whole, [*before, *after])):
            found[place] = of_turned(over, turned, draws.question)
    return found


def of_turned(over: Found, turned: Sequence[Floats], question: Integers) -> Estimate:
    """The mean of answers that turned, -1, 0 or 1 each, with an interval that has a width where none did."""
    lost, won = (Pool.of([np.where(np.isfinite(x), x == sign, np.nan) for x in turned], question) for sign in (-1, 1))
    return pooled_change(over.estimate, lost, won, over.question_se, over.question_df)


def _of_measure(
    cells: Sequence[Cell], draws: Draws, name: str, prefix: str, reach: tuple[float, float] | None
) -> Estimate:
    """The mean of a measure over several runs."""
    measure = MEASURE[name]
    samples = [measure.values(cell.arrays, prefix) for cell in cells]
    over = _estimated(cells, samples, draws)
    if over.estimate.value is None:
        return over.estimate
    if all(is_share(measure, x) for x in samples):
        return pooled_share(over.estimate, Pool.of(samples, draws.question), over.question_se, over.question_df)
    if reach is not None:
        return pooled_within(over.estimate, Pool.of(samples, draws.question), *reach)
    return doubted(over.estimate, *measure.bounds)


def _mean_row(cells: Sequence[Cell], domain: str, seed: int | None, known: _Known) -> Mean:
    one, draws = cells[0], known.draws_of(cells)
    found = _of_runs(cells, draws, known) if len(cells) > 1 else _of_run(one, known)
    unit = found["tuned", "accuracy"].unit
    method: Method = "t-crossed" if unit == "run" else "t"
    parts: dict[str, dict[str, Figure]] = {}
    for (part, key), item in found.items():
        measure = _CHANGE if (part, key) in CHANGES else MEASURE[FIGURES[part, key][0]]
        parts.setdefault(part, {})[key] = Figure.of(item, measure.bounds, method)
    return Mean(
        model=one.model,
        domain=domain,
        group=one.group,
        seed=seed,
        scope=one.scope,
        n=len(draws.task),
        tasks=len(np.unique(draws.task)),
        **parts,
        unit=unit,
        method=method,
    )


def results(cells: Sequence[Cell]) -> list[Result]:
    """One row for each run and scope, with flips, quantiles of KL and tie rates; McNemar's p also adjusted over all (Holm)."""
    known = _Known()
    rows = [_result(cell, known) for cell in cells]
    adjusted = holm(np.array([row.mcnemar_p for row in rows], dtype=np.float64)).tolist()
    return [structs.replace(row, mcnemar_p_holm=p) for row, p in zip(rows, adjusted, strict=True)]


def _result(cell: Cell, known: _Known) -> Result:
    turned = flips(*(column_of(name)(cell) for name in ("correct_before", "correct_after", "same_top")))
    return Result(
        **structs.asdict(_mean_row([cell], cell.domain, cell.seed, known)),
        flips=turned,
        mcnemar_p=mcnemar_exact(turned["harmful"], turned["beneficial"]),
        mcnemar_p_holm=None,
        kl_quantiles=quantiles(column_of("kl")(cell)),
        tie_rate=BaseTuned(float(cell.arrays["tied_before"].mean()), float(cell.arrays["tied_after"].mean())),
    )


def checkpoint(cell: Cell, epoch: int) -> Checkpoint:
    """Figures of one run in one scope, as it was after an epoch of its training."""
    return Checkpoint(**structs.asdict(_mean_row([cell], cell.domain, cell.seed, _Known())), epoch=epoch)


def levels(experiment: Experiment) -> list[tuple[str, int | None]]:
    """Every (domain, seed) that is a mean over several: domain "mean" is over domains, seed None over seeds.

    A mean is of all of them or is not there: of three domains it could not be compared with one of four.
    """
    domains = [*experiment.domains, *([MEAN] if len(experiment.domains) > 1 else [])]
    seeds: list[int | None] = [*experiment.seeds, *([None] if len(experiment.seeds) > 1 else [])]
    return [(d, s) for d in domains for s in seeds if d == MEAN or s is None]


def members_of(cells: Iterable[Cell], domain: str, seed: int | None, experiment: Experiment) -> list[Cell]:
    """The cells of a mean; none where one of them is missing."""
    chosen = [cell for cell in cells if domain in (MEAN, cell.domain) and seed in (None, cell.seed)]
    wanted = (len(experiment.domains) if domain == MEAN else 1) * (len(experiment.seeds) if seed is None else 1)
    return chosen if len(chosen) == wanted else []


def by_group(cells: Sequence[Cell], experiment: Experiment) -> dict[tuple[str, str, str], list[Cell]]:
    """Cells by (model, group, scope), in the order of the experiment."""
    grouped: dict[tuple[str, str, str], list[Cell]] = {
        (model, group, scope): [] for model in experiment.models for group in experiment.groups for scope in SCOPES
    }
    for cell in cells:
        grouped[cell.model, cell.group, cell.scope].append(cell)
    return grouped


def means(cells: Sequence[Cell], experiment: Experiment) -> list[Mean]:
    """Rows as `results`, averaged over domains, over seeds, and over both."""
    rows, known = [], _Known()
    for members in by_group(cells, experiment).values():
        for domain, seed in levels(experiment):
            chosen = members_of(members, domain, seed, experiment)
            if chosen:
                rows.append(_mean_row(chosen, domain, seed, known))
    return rows


def seed_summary(rows: Sequence[Mean], experiment: Experiment) -> list[SeedSummary]:
    """Mean and standard deviation over seeds of the runs' values, where there are several seeds.

    Parameters
    ----------
    rows : sequence of Mean
        Rows of `results` and `means`; those of one seed enter.
    experiment : Experiment
    """
    if len(experiment.seeds) < 2:
        return []
    grouped: dict[tuple[str, str, str, str], list[Mean]] = {}
    for row in rows:
        if row.seed is not None:
            grouped.setdefault((row.model, row.domain, row.group, row.scope), []).append(row)
    return [
        SeedSummary(*place, len(members), *(_over_seeds(members, name) for name in CONTRASTED))
        for place, members in grouped.items()
    ]


def _over_seeds(rows: Sequence[Mean], measure: str) -> SeedFigure:
    values = [row.tuned[measure].value for row in rows]
    known = np.array([value for value in values if value is not None])
    sd = float(known.std(ddof=1)) if len(known) > 1 else None
    found = mean(known)
    # Of so few values the sample says nothing of steps or skewness.
    told = tuple(caveat for caveat in found.warnings if caveat not in ("uneven", "skewed"))
    return SeedFigure(**structs.asdict(Figure.of(replace(found, warnings=told))), sd=sd)
