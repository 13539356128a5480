"""Compare two runs: read, pair, measure, estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.clusters import AUTO, find_clusters
from consistency.comparison.estimation import section_of, section_of_task
from consistency.comparison.filters import by_filter, choose_filters, pair_filters
from consistency.comparison.gaps import Gap, SameRun, limits_of, same_run, uncompared_tasks, unpaired_questions
from consistency.comparison.group_sections import section_of_group, sections_by_metric
from consistency.comparison.groups import read_groups
from consistency.comparison.identical import IdenticalLogprobs, identical_logprobs
from consistency.comparison.items import MOST_KEPT, LargeArrays, item_columns, question_arrays
from consistency.comparison.measured_task import MeasuredTask
from consistency.comparison.pairing import Pairs, pair
from consistency.comparison.result import Comparison, UnpairedTask
from consistency.comparison.runs import common_tasks, comparable, matched_names, read_both, same_kind
from consistency.comparison.sampling import Analysis, check_margin
from consistency.comparison.section import Section, TaskSampling
from consistency.comparison.selection_bias import Biases
from consistency.comparison.settings import UnexplainedPrompts, setting_differences, unexplained_prompts
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
    first, second = read_both(before, after, (run,) if isinstance(run, str) else run or (), progress)
    del before, after
    check_margin(margin)
    if not isinstance(cluster, str):
        raise InputError(f"cluster {cluster!r}", expected="auto, none, or the name of a field of the documents")
    if task_sampling not in ("fixed", "sampled"):
        raise not_one_of("task_sampling", task_sampling, ["fixed", "sampled"])
    analysis = Analysis(margin, task_sampling, cluster)
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
    unpaired = _of_unlike(unlike)
    first, second = replace(first, tasks=one), replace(second, tasks=two)
    for run_, names in ((first, chosen.keys()), (second, chosen.values())):
        for name in names:
            if name not in run_.tasks:
                raise not_one_of("task", name, sorted(run_.tasks), path=run_.path)
    task_names = matched_names(filtered.before, filtered.after, chosen)
    counted = {name: len(one[name]) for name in chosen}
    limits = limits_of(second.config, {name: len(two[other]) for name, other in chosen.items()})
    del filtered
    paired: dict[str, Pairs] = {}
    for number, (name, other) in enumerate(chosen.items()):
        progress("pairing tasks", number, len(chosen))
        pairs = pair(*same_kind(comparable(first.tasks[name], score), comparable(second.tasks[other], score)))
        if len(pairs):
            paired[name] = pairs
        else:
            unpaired.append(UnpairedTask(name, {why: found.count for why, found in pairs.report.dropped.items()}))
    if not paired:
        problem = "; ".join(item.to_text() for item in unpaired[:3])
        raise InputError(problem, do="compare two runs of the same tasks", path=second.path)
    # What is not paired is not needed any more, and may be as large as the logs.
    one |= {name: pairs.before for name, pairs in paired.items()}
    two |= {chosen[name]: pairs.after for name, pairs in paired.items()}
    progress("looking for questions that belong together", 0, 1)
    labels, clusters = find_clusters(paired, cluster)
    progress("measuring questions", 0, 1)
    many = sum(map(len, paired.values())) > MOST_KEPT
    arrays: Sequence[Mapping[str, Floats]] = (
        list(map(LargeArrays, paired.values())) if many else question_arrays(list(paired.values()))
    )
    measured = {
        name: MeasuredTask(pairs, found, labels.get(name))
        for (name, pairs), found in zip(paired.items(), arrays, strict=True)
    }
    items = {name: item_columns(task.pairs, task.arrays, _cluster_of(task)) for name, task in measured.items()}
    with_options = {name: task for name, task in measured.items() if task.has_options}
    reports = {name: task.pairs.report for name, task in measured.items()}
    settings = tuple(setting_differences(first, second, chosen, reports))
    gaps: list[Gap | None] = [
        uncompared_tasks(
            {"before": first, "after": second},
            [*measured, *(chosen[name] for name in measured if chosen[name] != name)],
            # Where tasks are named, no others are wanted.
            task_names.only_before if tasks is None else (),
            {item.task: item.reason for item in unpaired},
            of=len(measured),
            every=tasks is None,
        ),
        unpaired_questions(reports, limits),
    ]
    doubts: list[SameRun | IdenticalLogprobs | UnexplainedPrompts | None]
    if same_run(first, second):
        doubts = [SameRun()]
    else:
        doubts = [
            identical_logprobs({name: task.pairs for name, task in measured.items()}, first.config, second.config),
            unexplained_prompts(settings, chosen, reports),
        ]
    truncated = truncated_prompts(first, second, {name: chosen[name] for name in measured})
    by_scope = {}
    for scope, members in (scopes or {}).items():
        within = {name: with_options[name] for name in members if name in with_options}
        if within:
            by_scope[scope] = section_of(scope, within, analysis)
    by_task = {}
    for number, (name, task) in enumerate(measured.items()):
        progress("estimating tasks", number, len(measured))
        by_task[name] = section_of_task(name, task, analysis, others.get(name, {}))
    progress("estimating all tasks together", 0, 1)
    biases = Biases(with_options, items)
    overall = _overall(with_options, by_task, analysis)
    return Comparison(
        before=first.config,
        after=second.config,
        paths=(str(first.path), str(second.path)),
        overall=None if overall is None else biases.added(overall),
        by_task={
            name: biases.added(section) if name in with_options else section
            for name, section in _adjusted(by_task).items()
        },
        by_scope=_adjusted(by_scope),
        by_metric=_adjusted(sections_by_metric(measured, analysis)),
        by_group=_adjusted(
            {
                group.name: section_of_group(group, measured, by_task, analysis)
                for group in read_groups(
                    first.config if first.config.groups else second.config,
                    {name: counted[name] for name in measured},
                    {name: first.tasks[name].filter for name in measured},
                )
            }
        ),
        score=score,
        margin=margin,
        task_sampling=task_sampling,
        clusters=clusters,
        selection=(first.selection, second.selection),
        names=task_names,
        unpaired=tuple(unpaired),
        settings=settings,
        warnings=(*(item for item in (*gaps, *doubts, truncated) if item is not None), *biases.warnings()),
        items=items,
        sources={name: (first.tasks[name].source, second.tasks[chosen[name]].source) for name in measured},
        scopes=scopes or {},
        slices={
            field: slices_by(field, measured, analysis, first.config if first.config.content else second.config)
            for field in ([by] if isinstance(by, str) else by)
        },
    )


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
