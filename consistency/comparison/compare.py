"""Compare two runs: read, pair, measure, estimate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.clusters import AUTO, ItemClusters, find_clusters
from consistency.comparison.estimation import section_of, section_of_task
from consistency.comparison.filters import by_filter, choose_filters, pair_filters
from consistency.comparison.gaps import SameRun, limits_of, same_run, uncompared_tasks, unpaired_questions
from consistency.comparison.group_sections import section_of_group, sections_by_metric
from consistency.comparison.groups import read_groups
from consistency.comparison.identical import identical_logprobs
from consistency.comparison.items import MOST_KEPT, LargeArrays, item_columns, question_arrays
from consistency.comparison.measured_task import MeasuredTask
from consistency.comparison.pairing import PairingReport, Pairs, pair
from consistency.comparison.result import Comparison, TaskNames, UnpairedTask, Warned
from consistency.comparison.runs import common_tasks, comparable, matched_names, read_both, same_kind
from consistency.comparison.sampling import Analysis, check_margin
from consistency.comparison.section import Section, TaskSampling
from consistency.comparison.selection_bias import Biases
from consistency.comparison.settings import SettingDifference, setting_differences, unexplained_prompts
from consistency.comparison.slices import slices_by
from consistency.comparison.truncation import truncated_prompts
from consistency.errors import InputError, not_one_of
from consistency.logs.runs import Run
from consistency.logs.scores import Scores
from consistency.statistics.hypotheses import benjamini_hochberg, holm
from consistency.support.arrays import Floats
from consistency.support.progress_line import Tell, silent


def compare(
    before: str | Path | Run,
    after: str | Path | Run,
    *,
    tasks: Mapping[str, str] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    score: str = "raw",
    margin: float = 0.01,
    task_sampling: TaskSampling = "fixed",
    cluster: str = AUTO,
    run: str | tuple[str, str] | None = None,
    filter_name: str | None = None,
    by: str | Sequence[str] = (),
    progress: Tell = silent,
) -> Comparison:
    """Compare two evaluations of the same questions.

    Parameters
    ----------
    before, after : path-like or Run
        Logs of `lm_eval --log_samples`, or runs already read.
    tasks : mapping of str to str, optional
        Which task of `before` pairs with which of `after`; equal names by default.
    scopes : mapping of str to sequence of str, optional
        Tasks (of `before`) that belong to each scope, for `by_scope`.
    score : {"raw", "acc_norm", "acc_bytes", "acc_mutual_info"}
        How options of unequal length are made comparable, as lm_eval's metrics of these names do.
    margin : float
        The largest change of accuracy that counts as none, as a fraction.
    task_sampling : {"fixed", "sampled"}
        Whether intervals say what other questions of the same tasks would change, or what other tasks of the kind would.
    cluster : str
        Which questions are clusters: `"auto"` for those that share a passage, are asked more than once, or are translations
        of each other; `"none"`; or those with the same value of a field of the documents, such as `"passage_id"`.
    run : str or tuple of str, optional
        Dates of the runs to read, see `read_both`; the newest by default.
    filter_name : str, optional
        The filter that counts in tasks with several; by default the first in each task's own order.
    by : str or sequence of str
        Fields of the documents, such as `"subject"` or `"metadata.level"`, whose values make slices of the questions; `"task"`,
        `"group"` and `"tag"` are the harness's.
    progress : callable
        Told how far the work has come, see `consistency.support.progress_line`.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If a log cannot be read, the two have no question in common, or no document has the field of `cluster` or `by`.

    Examples
    --------
    >>> import json, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for run_, scores in (("base", ["-0.1", "-2.3"]), ("tuned", ["-1.2", "-0.4"])):
    ...         row = {"doc_id": 0, "doc": {"question": "1+1?", "choices": ["2", "3"]}, "target": "0",
    ...                "filtered_resps": [[score, "False"] for score in scores]}
    ...         file = Path(folder, run_, "samples_sums_2026-01-01T00-00-00.000000.jsonl")
    ...         file.parent.mkdir()
    ...         _ = file.write_text(json.dumps(row))
    ...     comparison = compare(Path(folder, "base"), Path(folder, "tuned"))
    >>> comparison.overall.flips
    {'harmful': 1, 'beneficial': 0, 'wrong_to_wrong': 0}
    """
    check_margin(margin)
    if not isinstance(cluster, str):
        raise InputError(f"cluster {cluster!r}", expected="auto, none, or the name of a field of the documents")
    if task_sampling not in ("fixed", "sampled"):
        raise not_one_of("task_sampling", task_sampling, ["fixed", "sampled"])
    analysis = Analysis(margin, task_sampling, cluster)
    both = read_both(before, after, (run,) if isinstance(run, str) else run or (), progress)
    del before, after
    matched = _matched(both, tasks, filter_name)
    del both
    paired = _paired(matched, score, progress)
    # What is not paired is not needed any more, and may be as large as the logs.
    del matched
    progress("looking for questions that belong together", 0, 1)
    labels, clusters = find_clusters(paired.pairs, cluster)
    progress("measuring questions", 0, 1)
    measured = _measured(paired.pairs, labels)
    items = {name: item_columns(task.pairs, task.arrays, _cluster_of(task)) for name, task in measured.items()}
    with_options = {name: task for name, task in measured.items() if task.has_options}
    first, second, chosen = paired.first, paired.second, paired.chosen
    settings = tuple(setting_differences(first, second, chosen, paired.reports))
    by_task = {}
    for number, (name, task) in enumerate(measured.items()):
        progress("estimating tasks", number, len(measured))
        by_task[name] = section_of_task(name, task, analysis, paired.others.get(name, {}))
    progress("estimating all tasks together", 0, 1)
    biases = Biases(with_options, items, analysis)
    overall = _overall(with_options, by_task, analysis)
    groups = read_groups(
        first.config if first.config.groups else second.config,
        {name: paired.sizes[name] for name in measured},
        {name: first.tasks[name].filter for name in measured},
    )
    return Comparison(
        before=first.config,
        after=second.config,
        paths=(str(first.path), str(second.path)),
        overall=None if overall is None else biases.added(overall),
        by_task={
            name: biases.added(section) if name in with_options else section
            for name, section in _adjusted(by_task).items()
        },
        by_scope=_adjusted(_by_scope(scopes or {}, with_options, analysis)),
        by_metric=_adjusted(sections_by_metric(measured, analysis)),
        by_group=_adjusted({group.name: section_of_group(group, measured, by_task, analysis) for group in groups}),
        score=score,
        margin=margin,
        task_sampling=task_sampling,
        clusters=clusters,
        selection=(first.selection, second.selection),
        names=paired.names,
        unpaired=paired.unpaired,
        settings=settings,
        warnings=(*_warnings(paired, settings, every=tasks is None), *biases.warnings()),
        items=items,
        sources={name: (first.tasks[name].source, second.tasks[chosen[name]].source) for name in measured},
        scopes=scopes or {},
        slices={
            field: slices_by(field, measured, analysis, first.config if first.config.content else second.config)
            for field in ([by] if isinstance(by, str) else by)
        },
    )


@dataclass(frozen=True, eq=False)
class _Matched:
    """Two runs whose tasks are matched by name, each under the filter that counts.

    Attributes
    ----------
    first, second : Run
        With all of their tasks.
    chosen : dict of str to str
        Which task of the first belongs to which of the second.
    names : TaskNames
    others : dict of str to dict of str to tuple of Scores
        By task and filter, what both runs hold of the filters that do not count.
    unlike : dict of str to tuple of Scores
        Tasks of both runs without a filter in common.
    """

    first: Run
    second: Run
    chosen: Mapping[str, str]
    names: TaskNames
    others: Mapping[str, Mapping[str, tuple[Scores, Scores]]]
    unlike: Mapping[str, tuple[Scores, Scores]]


def _matched(both: tuple[Run, Run], tasks: Mapping[str, str] | None, filter_name: str | None) -> _Matched:
    """Two runs with their tasks matched: those of one name or of most questions in common, or those that are asked for.

    Raises
    ------
    InputError
        If no task has a counterpart, or a run lacks one that is asked for.
    """
    first, second = both
    filtered = choose_filters(first, second, filter_name)
    unlike = dict(filtered.unlike)
    if unlike and not set(filtered.before.tasks) & set(filtered.after.tasks) and tasks is None:
        raise InputError(_of_unlike(unlike)[0].to_text(), do="compare two logs of the same filters", path=second.path)
    chosen = common_tasks(filtered.before, filtered.after) if tasks is None else dict(tasks)
    # A task that is named may be named with its filter; one under another name has the filters of that.
    one, two = {**first.tasks, **filtered.before.tasks}, {**second.tasks, **filtered.after.tasks}
    others = dict(filtered.others)
    for name, other in list(chosen.items()):
        if name != other and name in filtered.before.tasks and other in filtered.after.tasks:
            found = pair_filters(by_filter(first)[name], by_filter(second)[other], filter_name)
            if found is None:
                unlike[name] = (one[name], two[other])
                del chosen[name]
            else:
                (one[name], two[other]), others[name] = found
    first, second = replace(first, tasks=one), replace(second, tasks=two)
    for run, names in ((first, chosen.keys()), (second, chosen.values())):
        for name in names:
            if name not in run.tasks:
                raise not_one_of("task", name, sorted(run.tasks), path=run.path)
    names_of_both = matched_names(filtered.before, filtered.after, chosen)
    return _Matched(first, second, chosen, names_of_both, others, unlike)


@dataclass(frozen=True, eq=False)
class _Paired:
    """Two runs whose questions are paired.

    Attributes
    ----------
    first, second : Run
        With all of their tasks; of those that were paired, the paired questions alone.
    chosen, names, others
        As of `_Matched`.
    pairs : dict of str to Pairs
        By task of the first run, where there are any.
    unpaired : tuple of UnpairedTask
        Tasks without a pair.
    sizes : dict of str to int
        Questions of each chosen task in the first run.
    limits : dict of str to float
        By task, the --limit of the second run.
    """

    first: Run
    second: Run
    chosen: Mapping[str, str]
    names: TaskNames
    others: Mapping[str, Mapping[str, tuple[Scores, Scores]]]
    pairs: Mapping[str, Pairs]
    unpaired: tuple[UnpairedTask, ...]
    sizes: Mapping[str, int]
    limits: Mapping[str, float]

    @property
    def reports(self) -> dict[str, PairingReport]:
        """How the questions of each task were paired."""
        return {name: pairs.report for name, pairs in self.pairs.items()}


def _paired(matched: _Matched, score: str, progress: Tell) -> _Paired:
    """The questions of matched tasks, paired.

    Raises
    ------
    InputError
        If no task has a pair.
    """
    first, second, chosen = matched.first, matched.second, matched.chosen
    pairs: dict[str, Pairs] = {}
    unpaired = _of_unlike(matched.unlike)
    for number, (name, other) in enumerate(chosen.items()):
        progress("pairing tasks", number, len(chosen))
        found = pair(*same_kind(comparable(first.tasks[name], score), comparable(second.tasks[other], score)))
        if len(found):
            pairs[name] = found
        else:
            unpaired.append(UnpairedTask(name, {why: left.count for why, left in found.report.dropped.items()}))
    if not pairs:
        problem = "; ".join(item.to_text() for item in unpaired[:3])
        raise InputError(problem, do="compare two runs of the same tasks", path=second.path)
    return _Paired(
        replace(first, tasks={**first.tasks, **{name: both.before for name, both in pairs.items()}}),
        replace(second, tasks={**second.tasks, **{chosen[name]: both.after for name, both in pairs.items()}}),
        chosen,
        matched.names,
        matched.others,
        pairs,
        tuple(unpaired),
        {name: len(first.tasks[name]) for name in chosen},
        limits_of(second.config, {name: len(second.tasks[other]) for name, other in chosen.items()}),
    )


def _measured(pairs: Mapping[str, Pairs], labels: Mapping[str, ItemClusters]) -> dict[str, MeasuredTask]:
    """The tasks with every number of each of their questions; of very many questions, computed where they are asked for."""
    many = sum(map(len, pairs.values())) > MOST_KEPT
    arrays: Sequence[Mapping[str, Floats]] = (
        list(map(LargeArrays, pairs.values())) if many else question_arrays(list(pairs.values()))
    )
    return {
        name: MeasuredTask(both, found, labels.get(name))
        for (name, both), found in zip(pairs.items(), arrays, strict=True)
    }


def _warnings(paired: _Paired, settings: Sequence[SettingDifference], *, every: bool) -> Iterator[Warned]:
    """What was not compared, and what else than the models may have moved the numbers.

    Where tasks were named (not `every`), no others are wanted.
    """
    first, second, pairs = paired.first, paired.second, paired.pairs
    names = {name: paired.chosen[name] for name in pairs}
    same = same_run(first, second)
    found: tuple[Warned | None, ...] = (
        uncompared_tasks(
            {"before": first, "after": second},
            [*names, *(other for name, other in names.items() if other != name)],
            paired.names.only_before if every else (),
            {item.task: item.reason for item in paired.unpaired},
            of=len(names),
            every=every,
        ),
        unpaired_questions(paired.reports, paired.limits),
        SameRun() if same else None,
        None if same else identical_logprobs(pairs, first.config, second.config),
        None if same else unexplained_prompts(settings, paired.chosen, paired.reports),
        truncated_prompts(first, second, names),
    )
    yield from (item for item in found if item is not None)


def _by_scope(
    scopes: Mapping[str, Sequence[str]], with_options: Mapping[str, MeasuredTask], analysis: Analysis
) -> dict[str, Section]:
    """A section of each scope that has tasks with options."""
    within = {
        scope: {name: with_options[name] for name in members if name in with_options}
        for scope, members in scopes.items()
    }
    return {scope: section_of(scope, tasks, analysis) for scope, tasks in within.items() if tasks}


def _overall(
    with_options: Mapping[str, MeasuredTask], by_task: dict[str, Section], analysis: Analysis
) -> Section | None:
    """The section of all tasks with options; of one task what `by_task` has of it, so that it is estimated once."""
    if len(with_options) != 1:
        return section_of("overall", with_options, analysis) if with_options else None
    (name,) = with_options
    section = by_task[name]
    if section.decompose is not None:
        section = by_task[name] = replace(section, decompose=cache(section.decompose))
    return replace(section, name="overall", metrics=None, uncompared=(), filter=None, other_filters={})


def _cluster_of(task: MeasuredTask) -> dict[str, NDArray[Any]]:
    """The cluster of each question, where questions share something."""
    return {} if task.clusters is None else {"cluster": task.clusters.labels}


def _of_unlike(unlike: Mapping[str, tuple[Scores, Scores]]) -> list[UnpairedTask]:
    """Tasks whose filters are others in the other log."""
    return [
        UnpairedTask(name, {f"under the filter {one.filter}, in the other log under {other.filter}": len(one)})
        for name, (one, other) in unlike.items()
    ]


def _adjusted(sections: dict[str, Section]) -> dict[str, Section]:
    """The sections of one kind with their p-values adjusted over all of them."""
    adjusted = dict(sections)
    for test, by_holm, by_bh in (("mcnemar_p", "mcnemar_p_holm", "mcnemar_p_bh"), ("sign_flip_p", "p_holm", "p_bh")):
        tested = {name: p for name, section in sections.items() if (p := getattr(section, test)) is not None}
        if len(tested) > 1:
            p = np.array(list(tested.values()))
            for name, one, other in zip(tested, holm(p).tolist(), benjamini_hochberg(p).tolist(), strict=True):
                adjusted[name] = replace(adjusted[name], **{by_holm: one, by_bh: other})
    return adjusted
