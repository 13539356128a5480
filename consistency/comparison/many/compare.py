"""Compare many runs with one reference: read, pair, estimate, and make all intervals hold together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from consistency.comparison.clusters import AUTO, ItemClusters
from consistency.comparison.estimation import readability
from consistency.comparison.labelled import kinds_of
from consistency.comparison.many.answers import Answers, Distances, TaskAnswers, distances, read_answers
from consistency.comparison.many.labels import positions_of
from consistency.comparison.many.metrics import confidence_together, metrics_together
from consistency.comparison.many.result import ManyComparison
from consistency.comparison.many.values import Change, Family, Ranked, Series, Trend, ends_of
from consistency.comparison.measure_estimates import are_whole, estimates_of
from consistency.comparison.odd_scores import OddScores, odd_scores
from consistency.comparison.pairing import PairingReport
from consistency.comparison.quantities import quantity_named
from consistency.comparison.sampling import Sampling, check_margin
from consistency.comparison.section import Readability, Section
from consistency.errors import InputError
from consistency.logs.runs import Run
from consistency.metrics.answers import flips
from consistency.metrics.measures import MEASURE
from consistency.statistics.best import RESAMPLES, Differences, letters, probabilities_of_best, resampled_means
from consistency.statistics.decomposition import Decomposition, accuracy_parts
from consistency.statistics.estimates import Estimate, Method
from consistency.statistics.hypotheses import holm, mcnemar_exact, p_or_one, t_test
from consistency.statistics.intervals import at_confidence, quantile
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.sampling import Labels
from consistency.statistics.simultaneous import (
    Block,
    adjusted,
    confidence_of_each,
    critical,
    largest_errors,
    sign_flip_tests,
    sums_of,
)
from consistency.statistics.tails import bounded_means
from consistency.support.arrays import Floats, Integers
from consistency.support.progress_line import Tell, silent

OVERALL = "overall"
# Its name where a task is called so.
_ALL = "all tasks together"
# With fewer signs to flip no p is below .05.
_FEWEST_SIGNS = 6
_ESTIMATED = ("accuracy_before", "accuracy_after", "delta_accuracy", "harmful_flips", "beneficial_flips")


def compare_many(
    base: str | Path | Run,
    runs: Mapping[str, str | Path | Run],
    *,
    name: str = "reference",
    order: str | Sequence[float] | None = None,
    score: str = "raw",
    margin: float = 0.01,
    cluster: str = AUTO,
    filter_name: str | None = None,
    progress: Tell = silent,
) -> ManyComparison:
    r"""Compare many evaluations with one reference, over the same questions.

    Parameters
    ----------
    base : path-like or Run
        The reference: a log of `lm_eval --log_samples`, or a run already read.
    runs : mapping of str to path-like or Run
        By label. Each is read once, and only which of its answers are right is kept, with the scores of its options.
    name : str
        The label of the reference.
    order : str or sequence of float, optional
        Makes the runs a series: `"auto"` sorts them by the number in their labels, or their positions: see `positions_of`.
    score, margin, cluster, filter_name
        As of `compare`.
    progress : callable
        Told how far it is, see `consistency.support.progress_line`.

    Returns
    -------
    ManyComparison

    Raises
    ------
    InputError
        If a log cannot be read or has no question in common with the reference, or no task is held by all runs.

    Notes
    -----
    A question counts if the reference and all runs that hold its task answered it. Intervals hold together in two families: the
    changes of all runs in all tasks together, and those of all runs in all single tasks. Each interval is that of `compare`, at
    the confidence that makes all of the family hold with 95 % (`consistency.statistics.simultaneous`).

    Examples
    --------
    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for run, scores in (("base", ["-0.1", "-2.3"]), ("one", ["-1.2", "-0.4"]), ("two", ["-0.2", "-3.0"])):
    ...         rows = [{"doc_id": n, "doc": {"question": f"{n}+0?", "choices": [str(n), "no"]}, "target": "0",
    ...                  "filtered_resps": [[score, "False"] for score in scores]} for n in range(20)]
    ...         file = Path(folder, run, "samples_sums_2026-01-01T00-00-00.000000.jsonl")
    ...         file.parent.mkdir()
    ...         _ = file.write_text("\n".join(map(json.dumps, rows)))
    ...     found = compare_many(Path(folder, "base"), {name: Path(folder, name) for name in ("one", "two")})
    >>> found.overall["one"].simultaneous.value, found.best_set
    (-1.0, ('reference', 'two'))
    """
    check_margin(margin)
    if len(runs) < 2:
        raise InputError(f"{len(runs)} run", expected="two or more, each with a name of its own")
    if name in runs:
        raise InputError(f"a run is called {name}, as the reference", expected="a name of its own for each")
    positions = None if order is None else positions_of(name, list(runs), order)
    ordered = {label: runs[label] for label in (runs if positions is None else positions) if label in runs}
    answers = read_answers(
        (name, base), list(ordered.items()), score=score, cluster=cluster, filter_name=filter_name, progress=progress
    )
    return compare_answers(answers, positions, score=score, margin=margin, every=cluster != AUTO, progress=progress)


@dataclass(frozen=True, eq=False)
class _Set:
    """The answers to a task, or to several tasks together, by the runs that hold them: columns of `before` and `after`.

    `units` are what is sampled, numbered over all tasks: questions, or clusters of them, where `is_clustered`. Tasks with options
    have `distances`.
    """

    name: str
    held: tuple[int, ...]
    before: Floats
    after: Floats
    units: Integers
    is_clustered: bool
    tasks: tuple[TaskAnswers, ...]
    distances: Distances | None
    unreadable: tuple[Floats, Floats] | None

    @property
    def clusters(self) -> Integers | None:
        return self.units if self.is_clustered else None

    @property
    def changes(self) -> Floats:
        """Shape [n, runs]."""
        return self.after - self.before


def compare_answers(
    answers: Answers,
    positions: Mapping[str, float] | None = None,
    *,
    score: str = "raw",
    margin: float = 0.01,
    every: bool = False,
    resamples: int = RESAMPLES,
    progress: Tell = silent,
) -> ManyComparison:
    """Compare many runs whose answers are known.

    Parameters
    ----------
    answers : Answers
    positions : mapping of str to float, optional
        Of a series, in its order.
    score, margin, progress
        As of `compare_many`.
    every : bool
        Whether any two questions of a cluster are enough for clusters to count.
    resamples : int
        Of the ranking.
    """
    labels = [run.label for run in answers.runs]
    numbers = _numbered(answers.tasks)
    far = {task.name: distances(task) for task in answers.tasks if task.has_options}
    tasks = [_set_of(task.name, (task,), numbers, far, every=every) for task in answers.tasks]
    pools = [_set_of(name, found, numbers, far, every=every) for name, found in _pools(answers)]
    main = pools[0]
    lettered = [pool for pool in pools if _has_letters(pool)]
    progress("correcting for letter bias", 0, 1)
    parts = {pool.name: [_without_letters(pool, column) for column in range(len(labels))] for pool in lettered}
    progress("estimating changes", 0, 1)
    along = [each for each in (*pools, *tasks) if positions is not None and len(each.held) == len(labels)]
    slopes = {each.name: _slope(each, labels, positions or {}) for each in along}
    # Drawn by name: the first run may hold the tasks in another order than the others.
    in_order = [*sorted(pools, key=lambda pool: pool.name), *sorted(tasks, key=lambda task: task.name)]
    of_pools = {pool.name for pool in pools}
    blocks: dict[tuple[str, str], Block] = {
        ("runs" if each.name in of_pools else "tasks", each.name): Block(each.units, each.changes) for each in in_order
    }
    blocks |= {
        ("calibrated", pool.name): Block(pool.units, np.column_stack([moved for _, moved in parts[pool.name]]))
        for pool in in_order
        if pool.name in parts
    }
    for each in in_order:
        if each.name in slopes:
            kind = "trends" if each.name in of_pools else "task trends"
            blocks[kind, each.name] = Block(each.units, slopes[each.name][:, None])
    errors = dict(zip(blocks, largest_errors(list(blocks.values())), strict=True))
    largest = {
        kind: np.maximum.reduce([found for (other, _), found in errors.items() if other == kind])
        for kind in dict.fromkeys(kind for kind, _ in blocks)
    }
    families = {
        kind: Family(
            sum(block.values.shape[1] for (other, _), block in blocks.items() if other == kind),
            confidence_of_each(found),
            critical(found),
        )
        for kind, found in largest.items()
    }
    if answers.metrics:
        of, each_of_them = confidence_together(answers.metrics)
        families["metrics"] = Family(of, each_of_them, quantile(each_of_them))
    by_pool = _changes(pools, labels, families["runs"], largest["runs"], parts, families.get("calibrated"))
    by_task = _changes(tasks, labels, families["tasks"], largest["tasks"], {}, None)
    series = None
    if positions is not None:
        trends: dict[str, Trend] = {}
        for kind, sets, found in (("trends", pools, by_pool), ("task trends", tasks, by_task)):
            chosen = {s.name: slopes[s.name] for s in sets if s.name in slopes}
            trends |= _trends(
                [s for s in sets if s.name in slopes], chosen, families[kind], largest[kind], found, labels
            )
        series = Series(positions, trends)
    progress("ranking runs", 0, 1)
    return ManyComparison(
        reference=answers.reference,
        runs=answers.runs,
        pools=by_pool,
        members={pool.name: tuple(task.name for task in pool.tasks) for pool in pools},
        by_task=by_task,
        families=families,
        ranking=_ranking(main, answers.reference.label, labels, resamples),
        series=series,
        margin=margin,
        score=score,
        clusters=answers.clusters,
        notes=answers.notes,
        metrics=metrics_together(answers.metrics, labels),
        turned={task.name: ways for task in answers.tasks if (ways := task.turned(labels)) is not None},
    )


def _numbered(tasks: Sequence[TaskAnswers]) -> dict[str, Integers]:
    """A number for each question of all tasks."""
    ends = np.cumsum([len(task) for task in tasks])
    return {task.name: np.arange(end - len(task), end) for task, end in zip(tasks, ends.tolist(), strict=True)}


def _set_of(
    name: str,
    tasks: tuple[TaskAnswers, ...],
    numbers: Mapping[str, Integers],
    far: Mapping[str, Distances],
    *,
    every: bool,
) -> _Set:
    """The answers to tasks that the same runs hold."""
    found = [task.clusters for task in tasks if task.clusters is not None]
    clusters = ItemClusters.joined(found).used(every=every) if len(found) == len(tasks) else None
    units = np.concatenate([numbers[task.name] for task in tasks])
    if clusters is not None:
        # A cluster keeps its number in all tasks and in tasks together, and none is that of a question.
        units = -1 - np.concatenate([part.labels for part in found])
    return _Set(
        name,
        tasks[0].held,
        np.concatenate([task.before for task in tasks]),
        np.concatenate([task.after for task in tasks]),
        units,
        clusters is not None,
        tasks,
        Distances.joined([far[task.name] for task in tasks]) if all(task.name in far for task in tasks) else None,
        _joined([task.unreadable for task in tasks]),
    )


def _joined(parts: Sequence[tuple[Floats, Floats] | None]) -> tuple[Floats, Floats] | None:
    """What was read of the texts of several tasks; None where it is not known of all."""
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    return np.concatenate([one for one, _ in known]), np.concatenate([two for _, two in known])


def _pools(answers: Answers) -> Iterator[tuple[str, tuple[TaskAnswers, ...]]]:
    """Tasks together that all runs hold: those with options, then those without by their metric, as `compare` pools them."""
    everywhere = [task for task in answers.tasks if len(task.held) == len(answers.runs)]
    if not everywhere:
        raise InputError(
            "no task is held by all runs",
            expected="runs of the same tasks: " + "; ".join(answers.notes[-3:]),
            do="leave out the runs that lack most tasks",
        )
    options = tuple(task for task in everywhere if task.has_options)
    if options:
        # What all figures are found by: no task may have this name.
        yield OVERALL if all(task.name != OVERALL for task in answers.tasks) else _ALL, options
    for metric in dict.fromkeys(task.metric for task in everywhere if not task.has_options):
        found = tuple(task for task in everywhere if not task.has_options and task.metric == metric)
        yield (f"{metric}, {len(found)} tasks" if len(found) > 1 else f"{metric}, {found[0].name}"), found


def _has_letters(pool: _Set) -> bool:
    return all(task.has_options for task in pool.tasks) and any(task.labelled[0].labels for task in pool.tasks)


def _without_letters(pool: _Set, column: int) -> tuple[dict[str, Estimate], Floats]:
    """The parts of the change of accuracy of one run, and what each question contributes to that without letter bias."""
    sampled: Labels = {"strata": None, "tasks": None, "clusters": pool.clusters}
    groups, in_order, order = kinds_of([task.labelled[task.held.index(column)] for task in pool.tasks], sampled)
    estimates, parts = accuracy_parts(groups, in_order)
    ends = np.cumsum([len(task) for task in pool.tasks])
    rows = np.concatenate([np.arange(ends[number] - len(pool.tasks[number]), ends[number]) for number in order])
    moved = np.empty(len(rows))
    moved[rows] = parts.influence["calibrated_change"]
    return estimates, moved


def _changes(
    sets: Sequence[_Set],
    labels: Sequence[str],
    family: Family,
    largest: Floats,
    parts: Mapping[str, Sequence[tuple[dict[str, Estimate], Floats]]],
    calibrated: Family | None,
) -> dict[str, dict[str, Change]]:
    """The change of each run in each set, all of them with intervals that hold together."""
    sections = [_sections(each, parts.get(each.name)) for each in sets]
    p = [p_or_one(section.sign_flip_p) for found in sections for section in found]
    by_holm, single = iter(holm(np.array(p)).tolist()), iter(adjusted(p, largest))
    change, corrected = quantity_named("delta_accuracy"), quantity_named("calibrated_change")
    found: dict[str, dict[str, Change]] = {}
    for each, own in zip(sets, sections, strict=True):
        found[each.name] = {}
        for number, section in zip(each.held, own, strict=True):
            simultaneous = change.at(section, family.confidence)
            assert simultaneous is not None
            found[each.name][labels[number]] = Change(
                replace(section, p_holm=next(by_holm)),
                simultaneous,
                next(single),
                None
                if calibrated is None or section.decompose is None
                else corrected.at(section, calibrated.confidence),
            )
    return found


def _sections(each: _Set, parts: Sequence[tuple[dict[str, Estimate], Floats]] | None) -> list[Section]:
    """What changed in a set, run by run, each for itself."""
    sampled: Labels = {"strata": None, "tasks": None, "clusters": each.clusters}
    sections = []
    for column in range(len(each.held)):
        before, after = each.before[:, column], each.after[:, column]
        columns = {"correct_before": before, "correct_after": after}
        whole = are_whole(before) and are_whole(after)
        measured = _ESTIMATED if whole else _ESTIMATED[:3]
        values, reaches = {name: MEASURE[name].values(columns) for name in measured}, {}
        if each.distances is not None:
            values["kl"] = each.distances.kl[:, column]
            reaches["kl"] = (0.0, float(each.distances.most[column]))
        estimates = estimates_of(values, reaches, sampled)
        turned = flips(before, after) if whole else None
        if whole and len(before) > 1:
            estimates["delta_accuracy"] = change_of_shares(before, after, **sampled)
        elif estimates["delta_accuracy"].se == 0:
            # Fractions that all changed alike do not exclude others that were not seen.
            (estimates["delta_accuracy"],) = bounded_means(
                [after - before], [MEASURE["delta_accuracy"].bounds], **sampled
            )
        exact = mcnemar_exact(turned["harmful"], turned["beneficial"]) if turned else None
        found = None if parts is None else parts[column][0]
        sections.append(
            Section(
                name=each.name,
                n=len(before),
                estimates=estimates,
                pairing=PairingReport(len(before)),
                flips=turned,
                mcnemar_p=exact,
                sign_flip_p=exact if each.clusters is None else None,
                equivalence_p=None,
                minimum_detectable_change=None,
                accuracy_metric=each.tasks[0].metric or None,
                tasks=tuple(task.name for task in each.tasks) if len(each.tasks) > 1 else (),
                readability=None if each.unreadable is None else _readability(each, column),
                odd_scores=_odd_scores(each, column),
                decompose=None
                if found is None
                else partial(Decomposition, len(before), len(before), found, {}, None, ()),
            )
        )
    if any(section.sign_flip_p is None for section in sections):
        if len(np.unique(each.units)) < _FEWEST_SIGNS and each.is_clustered:
            p = [p_or_one(t_test(section.estimates["delta_accuracy"])) for section in sections]
        else:
            p = sign_flip_tests(each.changes, each.units)
        sections = [
            section if section.sign_flip_p is not None else replace(section, sign_flip_p=found)
            for section, found in zip(sections, p, strict=True)
        ]
    return sections


def _readability(each: _Set, column: int) -> Readability:
    """From how many texts of a run no answer can be read, beside the reference."""
    assert each.unreadable is not None
    columns = {"correct_before": each.before, "correct_after": each.after}
    columns |= zip(("unreadable_before", "unreadable_after"), each.unreadable, strict=True)
    sampling = Sampling(np.zeros(len(each.before), dtype=np.int64), each.clusters, sampled=False)
    return readability({name: values[:, column] for name, values in columns.items()}, sampling)


def _odd_scores(each: _Set, column: int) -> OddScores | None:
    """The questions of one run whose scores decide nothing; None where all do, or have no options."""
    found = [task.labelled[column].answered for task in each.tasks if task.has_options]
    return odd_scores(([item.before], [item.after]) for item in found)


def _slope(each: _Set, labels: Sequence[str], positions: Mapping[str, float]) -> Floats:
    """By question, the change from the first to the last position, by the straight line through all of them."""
    x = np.array(list(positions.values()))
    first, last = ends_of(positions)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum() * (positions[last] - positions[first])
    weight = dict(zip(positions, weights.tolist(), strict=True))
    # The reference, where it has a position, has a change of 0.
    return np.asarray(each.changes @ np.array([weight[label] for label in labels]))


def _trends(
    sets: Sequence[_Set],
    slopes: Mapping[str, Floats],
    family: Family,
    largest: Floats,
    changes: Mapping[str, Mapping[str, Change]],
    labels: Sequence[str],
) -> dict[str, Trend]:
    """The trend of each set, and the first of its runs that is surely worse."""
    lines = [_line(slopes[each.name], each) for each in sets]
    tests = list(map(t_test, lines))
    known = [p for p in tests if p is not None]
    by_holm, single = (iter(holm(np.array(known)).tolist() if known else []), iter(adjusted(known, largest)))
    found = {}
    for each, line, p in zip(sets, lines, tests, strict=True):
        harmful = [label for label in labels if changes[each.name][label].direction < 0]
        together = at_confidence(line, family.confidence)
        p_holm, p_simultaneous = (None, None) if p is None else (next(by_holm), next(single))
        found[each.name] = Trend(together, p, p_holm, p_simultaneous, harmful[0] if harmful else None)
    return found


def _line(slopes: Floats, each: _Set) -> Estimate:
    """The mean of the questions' slopes, with as many degrees of freedom as units whose answers changed at all, less one.

    Most questions are answered alike by all runs: of few others, their variance is known as badly as it is of so few values.
    """
    found = mean(slopes, clusters=each.clusters)
    changed = int((sums_of(each.units, np.abs(each.changes).sum(axis=1, keepdims=True)) > 0).sum())
    if found.value is None or not found.se or found.df is None:
        return found
    df = min(found.df, max(changed - 1.0, 1.0))
    half = quantile(0.95, df) * found.se
    method: Method = "t" if each.clusters is None else "t-cr3"
    return replace(found, ci_low=found.value - half, ci_high=found.value + half, df=df, method=method, warnings=())


def _ranking(main: _Set, reference: str, labels: Sequence[str], resamples: int) -> tuple[Ranked, ...]:
    """The runs and the reference by accuracy, the best first."""
    values = np.column_stack([main.before[:, 0], main.after])
    means = values.mean(axis=0)
    resampled = resampled_means(values, main.units, resamples)
    best = probabilities_of_best(values, main.units)
    differences = Differences(means, resampled, len(np.unique(main.units)))
    order = np.argsort(-means, kind="stable").tolist()
    p, groups = differences.best_set(), letters(differences.told_apart(), order)
    sampled: Labels = {"strata": None, "tasks": None, "clusters": main.clusters}
    names = [reference, *labels]
    return tuple(
        Ranked(
            names[number],
            estimates_of({"accuracy_after": values[:, number]}, {}, sampled)["accuracy_after"],
            float(best[number]),
            float(p[number]),
            groups[number],
        )
        for number in order
    )
