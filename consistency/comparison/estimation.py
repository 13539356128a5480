"""Estimates and tests of one or several tasks: questions in, a `Section` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from consistency.comparison.change_tests import (
    change_in_task,
    equivalence_p,
    heterogeneity_p,
    minimum_detectable_change,
    no_change_of,
)
from consistency.comparison.clusters import ItemClusters
from consistency.comparison.items import MOST_KEPT, question_arrays
from consistency.comparison.labelled import decompose_tasks
from consistency.comparison.measure_estimates import are_whole, cut, estimates_of, reaches_of
from consistency.comparison.measured_task import MeasuredTask, share_clusters
from consistency.comparison.metric_changes import metric_changes, uncompared_metrics
from consistency.comparison.odd_scores import odd_scores
from consistency.comparison.over_rotations import over_rotations
from consistency.comparison.pairing import PairingReport, Pairs, pair
from consistency.comparison.sampling import Analysis, Sampling
from consistency.comparison.section import Readability, Section
from consistency.logs.generations import UNREADABLE
from consistency.logs.scores import Scores
from consistency.metrics.answers import flips, quantiles
from consistency.metrics.measures import MEASURE, MEASURES
from consistency.statistics.calibration import calibration_change
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import mcnemar_exact
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.tails import bounded_means, trimmed_mean
from consistency.statistics.task_means import mean_of_changes
from consistency.support.arrays import Bools, Floats
from consistency.support.computed import computed

_OF_FLIPS = ("harmful_flips", "beneficial_flips", "wrong_to_wrong_flips")
# The measures whose trimmed mean stands beside the mean.
_TRIMMED = ("kl", "kl_reverse")


def section_of(name: str, named: Mapping[str, MeasuredTask], analysis: Analysis) -> Section:
    """Estimates and tests over the questions of one or several tasks; of distributions where all have options.

    Parameters
    ----------
    name : str
        Of the section.
    named : dict of str to MeasuredTask
        The tasks by name.
    analysis : Analysis
    """
    tasks = list(named.values())
    options = all(task.has_options for task in tasks)
    keys = [key for key in tasks[0].arrays if all(key in task.arrays for task in tasks)]
    few = sum(len(task.pairs) for task in tasks) <= MOST_KEPT

    def joined(key: str) -> Floats:
        return tasks[0].arrays[key] if len(tasks) == 1 else np.concatenate([task.arrays[key] for task in tasks])

    pooled = computed(joined, keys, kept=few)
    sampling = Sampling.of(tasks, analysis)
    before, after = pooled["correct_before"], pooled["correct_after"]
    # Answers that are right in part do not turn from right to wrong.
    whole = np.array([not task.has_fractions for task in tasks])[sampling.tasks]
    known = {"correct_before": np.where(whole, before, np.nan), "correct_after": np.where(whole, after, np.nan)}
    columns = computed(lambda key: known[key] if key in known else pooled[key], keys, kept=few)
    values = computed(
        lambda name: MEASURE[name].values(columns if name in _OF_FLIPS else pooled),
        [
            measure.name
            for measure in MEASURES
            if (options or not measure.needs_options) and (whole.any() or measure.name not in _OF_FLIPS)
        ],
        kept=few,
    )
    reaches = reaches_of(task.least_likely for task in tasks) if options else {}
    estimates = estimates_of(values, reaches, sampling.labels)
    turned = None
    if whole.any() and estimates["delta_accuracy"].n:
        turned = flips(columns["correct_before"], columns["correct_after"], pooled.get("same_top"))
    if turned is not None and whole.all() and estimates["delta_accuracy"].n > 1:
        estimates["delta_accuracy"] = change_of_shares(before, after, **sampling.labels)
    change = estimates["delta_accuracy"]
    if change.n > 1 and change.se == 0 and change.method != "score":
        # Fractions that all changed alike do not exclude others that were not seen.
        (change,) = bounded_means([after - before], [MEASURE["delta_accuracy"].bounds], **sampling.labels)
        estimates["delta_accuracy"] = change
    macro = None
    if len(tasks) > 1:
        means_of = [name for name in values if MEASURE[name].estimator == "mean"]
        macro = sampling.macros(computed(values.__getitem__, means_of, kept=few), reaches)
        if whole.all() and not sampling.sampled:
            parts = [change_in_task(task, analysis) for task in tasks]
            macro["delta_accuracy"] = mean_of_changes(macro["delta_accuracy"], parts, shared=share_clusters(tasks))
    metrics = dict.fromkeys(task.accuracy_metric or ("best option" if task.has_options else "") for task in tasks)
    section = Section(
        name=name,
        n=len(before),
        estimates=estimates,
        pairing=PairingReport.pooled([task.pairs.report for task in tasks]),
        flips=turned,
        mcnemar_p=mcnemar_exact(turned["harmful"], turned["beneficial"]) if turned else None,
        sign_flip_p=no_change_of(change, after - before, sampling),
        heterogeneity_p=heterogeneity_p(tasks, analysis) if len(tasks) > 1 and whole.all() else None,
        equivalence_p=equivalence_p(change, turned, analysis.margin),
        minimum_detectable_change=minimum_detectable_change(change, turned),
        macro=macro,
        tasks=tuple(named) if len(named) > 1 else (),
        accuracy_metric=None if [*metrics] in (["best option"], [""]) else ", ".join(filter(None, metrics)),
        readability=readability(pooled, sampling)
        if "unreadable_after" in pooled and "unreadable_before" in pooled
        else None,
    )
    if not options:
        return section
    pairs = [task.pairs for task in tasks]
    decompose, rotations = partial(decompose_tasks, pairs, sampling.labels), over_rotations(pairs, sampling.labels)
    section = _with_distributions(section, columns, sampling, reaches)
    odd = odd_scores(([both.before.logprobs], [both.after.logprobs]) for both in pairs)
    if odd is not None and max(odd.no_numbers.before, odd.no_numbers.after):
        scored = np.concatenate(
            [
                np.isfinite(both.before.logprobs).any(axis=1) & np.isfinite(both.after.logprobs).any(axis=1)
                for both in pairs
            ]
        )
        if scored.any():
            odd = replace(odd, delta_accuracy=_change_within(scored, before, after, sampling))
    return replace(section, decompose=decompose, rotations=rotations, odd_scores=odd, guessing=_guessing(pairs))


def _guessing(pairs: Sequence[Pairs]) -> float | None:
    """The accuracy of guesses, each option of a question being as likely; None where no question has options and an answer."""
    right = np.concatenate([both.gold.sum(axis=1) for both in pairs])
    options = np.concatenate([(~np.isnan(both.before.logprobs)).sum(axis=1) for both in pairs])
    known = (right > 0) & (options > 0)
    return float((right[known] / options[known]).mean()) if known.any() else None


def _change_within(rows: Bools, before: Floats, after: Floats, sampling: Sampling) -> Estimate:
    """The change of accuracy in some of the questions."""
    known, among = (before[rows], after[rows]), sampling.within(rows).labels
    if all(map(are_whole, known)):
        return change_of_shares(*known, **among)
    return cut(mean(known[1] - known[0], **among), (-1.0, 1.0))


def _with_distributions(
    section: Section, columns: Mapping[str, Floats], sampling: Sampling, reaches: Mapping[str, tuple[float, float]]
) -> Section:
    """The section with what only tasks with options have."""
    before, after = ((columns[f"confidence_{when}"], columns[f"correct_{when}"]) for when in ("before", "after"))
    calibration = calibration_change(before, after, tasks=sampling.labels["tasks"], clusters=sampling.clusters)
    return replace(
        section,
        kl_quantiles=quantiles(columns["kl"]),
        kl_largest={name: reaches[name][1] for name in _TRIMMED if section.estimates[name].n} or None,
        trimmed={name: cut(trimmed_mean(columns[name], **sampling.labels), MEASURE[name].bounds) for name in _TRIMMED},
        ties={when: int(columns[f"tied_{when}"].sum()) for when in ("before", "after")},
        tie_rate={when: float(columns[f"tied_{when}"].mean()) for when in ("before", "after")},
        ece={"before": calibration.before.plug_in, "after": calibration.after.plug_in},
        ece_debiased={
            "before": calibration.before.estimate,
            "after": calibration.after.estimate,
            "delta": calibration.delta,
        },
    )


def readability(pooled: Mapping[str, Floats], sampling: Sampling) -> Readability:
    """From how many generated texts no answer can be read, and what changed among the others.

    Parameters
    ----------
    pooled : mapping of str to ndarray
        `correct_before`, `correct_after`, `unreadable_before` and `unreadable_after` as `question_arrays` gives them.
    sampling : Sampling
    """
    before, after = (pooled[f"unreadable_{when}"].astype(np.int64) for when in ("before", "after"))
    right_before, right_after = pooled["correct_before"], pooled["correct_after"]
    both = (before == 0) & (after == 0)
    counts: list[dict[str, int]] = [
        {
            reason: int((codes == code).sum())
            for code, reason in enumerate(UNREADABLE)
            if reason and (codes == code).any()
        }
        for codes in (before, after)
    ]
    return Readability(
        before=counts[0],
        after=counts[1],
        n=len(before),
        both=int(both.sum()),
        delta_accuracy=_change_within(both, right_before, right_after, sampling),
        harmful=int(((right_before == 1) & (right_after == 0) & (after > 0)).sum()),
    )


def section_of_task(
    name: str, task: MeasuredTask, analysis: Analysis, others: Mapping[str, tuple[Scores, Scores]]
) -> Section:
    """The section of one task, with its metrics and what its other filters give."""
    further = {}
    for filter_name, sides in others.items():
        pairs = pair(*sides)
        if len(pairs):
            measured = MeasuredTask(pairs, question_arrays([pairs])[0], _clusters_of(pairs, task))
            further[filter_name] = section_of_task(name, measured, analysis, {})
    before, after = task.pairs.before, task.pairs.after
    return replace(
        section_of(name, {name: task}, analysis),
        metrics=dict(metric_changes(before, after, Sampling.of([task], analysis).clusters)),
        uncompared=tuple(uncompared_metrics(before, after)),
        filter=before.filter,
        other_filters=further,
    )


def _clusters_of(pairs: Pairs, task: MeasuredTask) -> ItemClusters | None:
    """The clusters of a task's questions, for pairs of another of its filters."""
    if task.clusters is None:
        return None
    row = {doc_id: number for number, doc_id in enumerate(task.pairs.before.doc_id.tolist())}
    rows = [row.get(doc_id, -1) for doc_id in pairs.before.doc_id.tolist()]
    return task.clusters.take(np.array(rows, dtype=np.int64))
