"""Compare two sides of several runs each: read, measure pair by pair, estimate over runs and questions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from consistency.comparison.beside import Beside
from consistency.comparison.clusters import AUTO
from consistency.comparison.compare import compare
from consistency.comparison.gaps import Doubt
from consistency.comparison.result import Comparison
from consistency.comparison.runs import ComparedRun
from consistency.comparison.sampling import Analysis, check_margin
from consistency.comparison.section import TaskSampling
from consistency.comparison.sides.answers import SIDES, TaskRuns, read_sides
from consistency.comparison.sides.measured import MeasuredRuns, measure
from consistency.comparison.sides.result import SideComparison
from consistency.comparison.sides.sections import SideSection, side_section
from consistency.errors import InputError, not_one_of
from consistency.logs.runs import Run
from consistency.statistics.hypotheses import benjamini_hochberg, holm
from consistency.support.progress_line import Tell, silent


def compare_sides(
    before: Sequence[str | Path | Run],
    after: Sequence[str | Path | Run],
    *,
    scopes: Mapping[str, Sequence[str]] | None = None,
    score: str = "raw",
    margin: float = 0.01,
    task_sampling: TaskSampling = "fixed",
    cluster: str = AUTO,
    filter_name: str | None = None,
    progress: Tell = silent,
) -> SideComparison:
    r"""Compare several runs before with several after, such as training seeds, over the questions that all answered.

    Parameters
    ----------
    before, after : sequence of path-like or Run
        Logs of `lm_eval --log_samples`, one of each run, in any number.
    scopes, score, margin, task_sampling, cluster, filter_name
        As of `compare`.
    progress : callable
        Told how far it is, see `consistency.support.progress_line`.

    Returns
    -------
    SideComparison
        With one run a side the numbers of `compare`.

    Raises
    ------
    InputError
        If a side has no run, a run is given twice, a log cannot be read, or no question was answered by all runs.

    Notes
    -----
    Every measure is taken of all pairs of a run before and a run after, and averaged. Its interval says what other runs of either
    side and other questions would change (`consistency.statistics.crossed.over_runs`). A side of a single run is taken as it is:
    the interval then says nothing of other runs of that side.

    Examples
    --------
    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for run, right in (("a", 12), ("b", 14), ("c", 4), ("d", 7)):
    ...         rows = [{"doc_id": n, "doc": {"question": f"{n}+0?", "choices": [str(n), "no"]}, "target": "0",
    ...                  "filtered_resps": [["-0.1" if n < right else "-2.3", "False"], ["-1.0", "False"]]} for n in range(20)]
    ...         file = Path(folder, run, "samples_sums_2026-01-01T00-00-00.000000.jsonl")
    ...         file.parent.mkdir()
    ...         _ = file.write_text("\n".join(map(json.dumps, rows)))
    ...     found = compare_sides([Path(folder, "a"), Path(folder, "b")], [Path(folder, "c"), Path(folder, "d")])
    >>> round(found.overall.section.estimates["delta_accuracy"].value, 3), found.overall.runs
    (-0.375, ((0.6, 0.7), (0.2, 0.35)))
    """
    for side, runs in zip(SIDES, (before, after), strict=True):
        if not runs:
            raise InputError(f"no run {side}", expected="one log or more of each side")
    if len(before) == len(after) == 1:
        return _of_pair(
            compare(
                before[0],
                after[0],
                scopes=scopes,
                score=score,
                margin=margin,
                task_sampling=task_sampling,
                cluster=cluster,
                filter_name=filter_name,
                progress=progress,
            )
        )
    check_margin(margin)
    if task_sampling not in ("fixed", "sampled"):
        raise not_one_of("task_sampling", task_sampling, ["fixed", "sampled"])
    answers = read_sides(before, after, score=score, cluster=cluster, filter_name=filter_name, progress=progress)
    measured, analysis = measure(answers.tasks, progress), Analysis(margin, task_sampling, cluster)

    def section(name: str, tasks: Sequence[str], **weighed: object) -> SideSection:
        return side_section(name, {task: answers.tasks[task] for task in tasks}, measured, analysis, **weighed)  # type: ignore[arg-type]

    optional = [name for name, task in answers.tasks.items() if task.has_options]
    by_metric: dict[str, list[str]] = {}
    for name, task in answers.tasks.items():
        metric = measured[name].metric
        if not task.has_options and metric is not None:
            by_metric.setdefault(metric, []).append(name)
    by_scope = {scope: [name for name in names if name in optional] for scope, names in (scopes or {}).items()}
    by_task = {name: section(name, [name]) for name in answers.tasks}
    overall = section("overall", optional) if len(optional) > 1 else None
    if len(optional) == 1:
        alone = by_task[optional[0]]
        overall = replace(alone, section=replace(alone.section, name="overall", filter=None))
    return SideComparison(
        runs=answers.runs,
        overall=overall,
        by_task=_adjusted(by_task),
        by_scope=_adjusted({scope: section(scope, names) for scope, names in by_scope.items() if names}),
        by_metric=_adjusted(
            {
                metric: section(f"{metric}, {len(names)} tasks", names)
                for metric, names in by_metric.items()
                if len(names) > 1
            }
        ),
        by_group=_adjusted(
            {
                group.name: section(
                    group.name,
                    group.tasks,
                    weighting=next(iter(group.weightings.values()), "size"),
                    absent=group.absent,
                )
                for group in answers.groups
            }
        ),
        score=score,
        margin=margin,
        task_sampling=task_sampling,
        clusters=answers.clusters,
        notes=(*answers.notes, *_uncompared(answers.tasks, measured)),
        beside=answers.beside,
        copies=answers.copies,
        warnings=answers.warnings,
    )


def _uncompared(tasks: Mapping[str, TaskRuns], measured: Mapping[str, MeasuredRuns]) -> Iterator[str]:
    """Of tasks whose answers are not right or wrong, the metrics that are one number of all questions together."""
    for name, task in tasks.items():
        if measured[name].metric is None and not task.has_options:
            for metric in task.before[0].summands:
                yield f"{name}: {metric} is not compared: it is no mean over questions; a comparison of two runs has it"


def _of_pair(found: Comparison) -> SideComparison:
    """A comparison of one run with one other."""
    runs = [
        (ComparedRun(f"{side} 1", path, config, selection, sources),)
        for side, path, config, selection, sources in zip(
            SIDES,
            found.paths,
            (found.before, found.after),
            found.selection,
            ({task: paths[number] for task, paths in found.sources.items()} for number in (0, 1)),
            strict=True,
        )
    ]
    by_kind = {
        kind: {name: SideSection(section) for name, section in getattr(found, kind).items()}
        for kind in ("by_task", "by_scope", "by_metric", "by_group")
    }
    return SideComparison(
        runs=(runs[0], runs[1]),
        overall=None if found.overall is None else SideSection(found.overall),
        score=found.score,
        margin=found.margin,
        task_sampling=found.task_sampling,
        clusters=found.clusters,
        notes=found.notes,
        beside={"before 1": Beside(), "after 1": found.beside},
        copies=(),
        warnings=tuple(item for item in found.warnings if isinstance(item, Doubt)),
        **by_kind,
    )


def _adjusted(sections: dict[str, SideSection]) -> dict[str, SideSection]:
    """The sections of one kind with their p-values adjusted over all of them."""
    if len(sections) < 2:
        return sections
    found = dict(sections)
    tested = {name: p for name, item in sections.items() if (p := item.section.sign_flip_p) is not None}
    p_values = list(tested.values())
    for name, one, other in zip(tested, holm(p_values).tolist(), benjamini_hochberg(p_values).tolist(), strict=True):
        found[name] = replace(found[name], section=replace(found[name].section, p_holm=one, p_bh=other))
    for measure_name in dict.fromkeys(key for item in sections.values() for key in item.noise):
        noises = {
            name: item.noise[measure_name].p
            for name, item in sections.items()
            if measure_name in item.noise and item.noise[measure_name].p is not None
        }
        for name, p in zip(noises, holm([p for p in noises.values() if p is not None]).tolist(), strict=True):
            noise = {**found[name].noise, measure_name: replace(found[name].noise[measure_name], p_holm=p)}
            found[name] = replace(found[name], noise=noise)
    return found
