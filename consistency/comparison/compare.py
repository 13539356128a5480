"""Compare two runs: read, pair, measure, estimate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from consistency.comparison.identical import IdenticalLogprobs, identical_logprobs
from consistency.comparison.items import accuracy_metric, answers, question_arrays
from consistency.comparison.pairing import PairingReport, Pairs, pair
from consistency.comparison.result import Comparison, MetricChange, SameRun, Section, UnpairedTask
from consistency.comparison.runs import (
    common_tasks,
    comparable,
    matched_names,
    read_both,
    same_run,
)
from consistency.comparison.settings import UnexplainedPrompts, setting_differences, unexplained_prompts
from consistency.errors import InputError, not_one_of
from consistency.logs.runs import Run
from consistency.metrics.answers import expected_calibration_error, flips, quantiles
from consistency.metrics.measures import MEASURE, MEASURES
from consistency.metrics.selection_bias import OptionCounts, SelectionBias, strongest_bias
from consistency.statistics.estimates import Caveat, Estimate, macro_mean, mean, root_mean_square
from consistency.statistics.hypotheses import (
    benjamini_hochberg,
    equivalence,
    holm,
    mcnemar_exact,
    minimum_detectable_effect,
    sign_flip_test,
)
from consistency.statistics.shares import rate
from consistency.support.arrays import Floats, Integers

# With fewer tasks, or tasks of which a few hold nearly all questions, a cluster-robust interval needs so wide a t
# quantile that it says nothing, and rests on the variance of a handful of numbers: questions are then the unit, and the
# output says so.
MIN_CLUSTERS = 10
MIN_EFFECTIVE_CLUSTERS = 5
_ESTIMATORS: dict[str, Callable[..., Estimate]] = {"mean": mean, "root mean square": root_mean_square, "rate": rate}


def compare(
    before: str | Path | Run,
    after: str | Path | Run,
    *,
    tasks: Mapping[str, str] | None = None,
    scopes: Mapping[str, Sequence[str]] | None = None,
    score: str = "raw",
    margin: float = 0.01,
    run: str | tuple[str, str] | None = None,
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
    run : str or tuple of str, optional
        Dates of the runs to read, see `read_both`; the newest by default.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        If a log cannot be read, or the two have no question in common.

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
    first, second = read_both(before, after, (run,) if isinstance(run, str) else run or ())
    if not margin > 0:
        raise InputError(f"a margin of {margin:g}", expected="a positive fraction such as 0.01")
    chosen = common_tasks(first, second) if tasks is None else dict(tasks)
    for run_, names in ((first, chosen.keys()), (second, chosen.values())):
        for name in names:
            if name not in run_.tasks:
                raise not_one_of("task", name, sorted(run_.tasks), path=run_.path)
    measured: dict[str, _Task] = {}
    unpaired = []
    for name, other in chosen.items():
        pairs = pair(comparable(first.tasks[name], score), comparable(second.tasks[other], score))
        if len(pairs):
            measured[name] = _Task(pairs, question_arrays(pairs))
        else:
            unpaired.append(UnpairedTask(name, {why: found.count for why, found in pairs.report.dropped.items()}))
    if not measured:
        problem = "; ".join(item.to_text() for item in unpaired[:3])
        raise InputError(problem, do="compare two runs of the same tasks", path=second.path)
    items = {name: {**answers(task.pairs), **task.arrays} for name, task in measured.items()}
    with_options = {name: task for name, task in measured.items() if task.has_options}
    reports = {name: task.pairs.report for name, task in measured.items()}
    settings = tuple(setting_differences(first, second, chosen, reports))
    doubts: list[SameRun | IdenticalLogprobs | UnexplainedPrompts | None]
    if same_run(first, second):
        doubts = [SameRun()]
    else:
        scored = {name: task.pairs for name, task in with_options.items()}
        doubts = [
            identical_logprobs(scored, first.config, second.config),
            unexplained_prompts(settings, chosen, reports),
        ]
    by_scope = {}
    for scope, members in (scopes or {}).items():
        found = [with_options[name] for name in members if name in with_options]
        if found:
            by_scope[scope] = _section(scope, found, margin)
    return Comparison(
        before=first.config,
        after=second.config,
        paths=(str(first.path), str(second.path)),
        overall=_section("overall", list(with_options.values()), margin) if with_options else None,
        by_task=_adjusted({name: _section(name, [task], margin) for name, task in measured.items()}),
        by_scope=by_scope,
        score=score,
        margin=margin,
        selection=(first.selection, second.selection),
        names=matched_names(first, second, chosen),
        unpaired=tuple(unpaired),
        settings=settings,
        warnings=(*(item for item in doubts if item is not None), *_biases(with_options, items)),
        items=items,
        sources={name: (first.tasks[name].source, second.tasks[chosen[name]].source) for name in measured},
        scopes=scopes or {},
    )


@dataclass(frozen=True, eq=False)
class _Task:
    pairs: Pairs
    arrays: Mapping[str, Floats]

    @property
    def has_options(self) -> bool:
        return self.pairs.before.has_options


@dataclass(frozen=True, eq=False)
class _Sampling:
    """What of a section's questions is taken as sampled: whole tasks, or questions and the reason why not tasks."""

    clusters: Integers | None
    caveats: tuple[Caveat, ...]

    @classmethod
    def of(cls, sizes: Integers) -> _Sampling:
        """The sampling of tasks of these sizes."""
        if len(sizes) < MIN_CLUSTERS:
            return cls(None, ("few clusters",) if len(sizes) > 1 else ())
        if sizes.sum() ** 2 / (sizes**2).sum() < MIN_EFFECTIVE_CLUSTERS:
            return cls(None, ("unequal clusters",))
        return cls(np.repeat(np.arange(len(sizes)), sizes), ())

    def estimate(self, make: Callable[..., Estimate], values: Floats) -> Estimate:
        """An estimate from one number per question."""
        found = make(values, clusters=self.clusters)
        return replace(found, warnings=(*found.warnings, *self.caveats))


def _section(name: str, tasks: list[_Task], margin: float) -> Section:
    """Estimates and tests over the questions of one or several tasks of one kind."""
    pooled = {key: np.concatenate([task.arrays[key] for task in tasks]) for key in tasks[0].arrays}
    sizes = np.array([len(task.pairs) for task in tasks])
    sampling, options = _Sampling.of(sizes), tasks[0].has_options
    values = {m.name: m.values(pooled) for m in MEASURES if options or not m.needs_options}
    estimates = {name: sampling.estimate(_ESTIMATORS[MEASURE[name].estimator], x) for name, x in values.items()}
    before, after, change = pooled["correct_before"], pooled["correct_after"], estimates["delta_accuracy"]
    turned = flips(before, after, pooled.get("same_top")) if change.n else None
    macro = None
    if len(tasks) > 1:
        task_of, fixed = np.repeat(np.arange(len(tasks)), sizes), sampling.clusters is None
        macro = {
            measure.name: macro_mean(values[measure.name], task_of, fixed=fixed)
            for measure in MEASURES
            if measure.name in values and measure.estimator == "mean"
        }
    section = Section(
        name=name,
        n=len(before),
        estimates=estimates,
        pairing=PairingReport.pooled([task.pairs.report for task in tasks]),
        flips=turned,
        mcnemar_p=mcnemar_exact(turned["harmful"], turned["beneficial"]) if turned else None,
        sign_flip_p=sign_flip_test(after - before, clusters=sampling.clusters) if turned else None,
        equivalence_p=equivalence(change, margin),
        minimum_detectable_change=minimum_detectable_effect(change),
        macro=macro,
    )
    return _with_distributions(section, pooled) if options else _with_metrics(section, tasks[0].pairs, pooled, sampling)


def _with_distributions(section: Section, pooled: Mapping[str, Floats]) -> Section:
    """The section with what only tasks with options have."""
    calibration = {
        when: expected_calibration_error(pooled[f"confidence_{when}"], pooled[f"correct_{when}"])
        for when in ("before", "after")
    }
    return replace(
        section,
        kl_quantiles=quantiles(pooled["kl"]),
        ties={when: int(pooled[f"tied_{when}"].sum()) for when in ("before", "after")},
        tie_rate={when: float(pooled[f"tied_{when}"].mean()) for when in ("before", "after")},
        ece={when: value if np.isfinite(value) else None for when, value in calibration.items()},
    )


def _with_metrics(section: Section, pairs: Pairs, pooled: Mapping[str, Floats], sampling: _Sampling) -> Section:
    """The section with what only tasks without options have."""
    metrics = {}
    for name in (key.removeprefix("before:") for key in pooled if key.startswith("before:")):
        before, after = pooled[f"before:{name}"], pooled[f"after:{name}"]
        metrics[name] = MetricChange(*(sampling.estimate(mean, values) for values in (before, after, after - before)))
    return replace(section, accuracy_metric=accuracy_metric(pairs), metrics=metrics)


def _biases(tasks: Mapping[str, _Task], items: Mapping[str, Mapping[str, NDArray[Any]]]) -> Iterator[SelectionBias]:
    """In which run, and in which of its tasks, the answers favour an option."""
    for when in ("before", "after"):
        pooled, each = OptionCounts(), {f"{when}, {name}": OptionCounts() for name in tasks}
        for (name, task), counts in zip(tasks.items(), each.values(), strict=True):
            known = task.pairs.gold.sum(axis=1) == 1
            # Reordered questions do not count: their options are in the order of `before`.
            seen = known & ~task.pairs.reordered if when == "after" else known
            gold = np.where(seen, items[name]["gold"], -1)
            pooled.add_task(items[name][f"probs_{when}"], gold)
            counts.add_task(items[name][f"probs_{when}"], gold)
        if len(tasks) > 1 and pooled.favours_an_option:
            alone = sum(counts.favours_an_option for counts in each.values())
            yield pooled.describe(f"{when}, all tasks", alone, len(tasks))
        elif found := strongest_bias(each):
            yield found


def _adjusted(by_task: dict[str, Section]) -> dict[str, Section]:
    """The sections with their p-values adjusted over all tasks."""
    tested = {name: section.mcnemar_p for name, section in by_task.items() if section.mcnemar_p is not None}
    if len(tested) < 2:
        return by_task
    p = np.array(list(tested.values()))
    adjusted = zip(tested, holm(p).tolist(), benjamini_hochberg(p).tolist(), strict=True)
    return by_task | {
        name: replace(by_task[name], mcnemar_p_holm=by_holm, mcnemar_p_bh=by_bh) for name, by_holm, by_bh in adjusted
    }
