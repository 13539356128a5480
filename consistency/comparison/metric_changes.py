"""The harness's own metrics, each before, after and its change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from consistency.comparison.measure_estimates import are_whole, cut
from consistency.comparison.section import MetricChange, UncomparedMetric
from consistency.logs.metrics import accuracy_names
from consistency.logs.scores import Scores
from consistency.statistics.jackknife import aggregate, aggregate_change
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.shares import rate
from consistency.support.arrays import Integers

# What metrics that are no means can be.
_RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("f1", "macro_f1", "weighted_f1", "micro_f1_of_sets", "macro_f1_of_sets"), (0.0, 1.0)),
    **dict.fromkeys(("bleu", "chrf"), (0.0, 100.0)),
    **dict.fromkeys(("perplexity", "weighted_perplexity", "bits_per_byte", "ter"), (0.0, math.inf)),
    "matthews_corrcoef": (-1.0, 1.0),
}


def metric_changes(before: Scores, after: Scores, clusters: Integers | None) -> Iterator[tuple[str, MetricChange]]:
    """The metrics that both logs hold, in the task's order, each aggregated as its task does."""
    listed = list(before.settings.metrics)
    held = [*before.metrics, *before.summands]
    for name in sorted(held, key=lambda name: listed.index(name) if name in listed else len(listed)):
        higher = before.settings.is_higher_better(name)
        if name in before.metrics and name in after.metrics:
            first, second = before.metrics[name], after.metrics[name]
            with np.errstate(invalid="ignore"):  # where both are infinite
                change = second - first
            if are_whole(first) and are_whole(second):
                ends = [rate(values, clusters=clusters) for values in (first, second)]
                delta = change_of_shares(first, second, clusters=clusters)
            else:
                *ends, delta = (mean(values, clusters=clusters) for values in (first, second, change))
            yield name, within_range(name, MetricChange(ends[0], ends[1], delta, "mean", higher))
        elif name in before.summands and name in after.summands:
            one, two = before.summands[name], after.summands[name]
            found = (
                aggregate(one, clusters=clusters),
                aggregate(two, clusters=clusters),
                aggregate_change(one, two, clusters=clusters),
            )
            yield name, within_range(name, MetricChange(*found, one.aggregation, higher))


def within_range(name: str, change: MetricChange) -> MetricChange:
    """A metric's change whose intervals end at what the metric can be; one of an unknown range keeps them."""
    low, high = _RANGES.get(change.aggregation, (-math.inf, math.inf))
    known = [end.value for end in (change.before, change.after) if end.value is not None]
    if change.aggregation == "mean" and accuracy_names([name]) and all(0 <= value <= 1 for value in known):
        low, high = 0.0, 1.0
    return replace(
        change,
        before=cut(change.before, (low, high)),
        after=cut(change.after, (low, high)),
        delta=cut(change.delta, (low - high, high - low)),
    )


def uncompared_metrics(before: Scores, after: Scores) -> Iterator[UncomparedMetric]:
    """The metrics that a log names and that are not compared, and why."""
    held = [{*scores.metrics, *scores.summands} for scores in (before, after)]
    for name, reason in {**after.unread, **before.unread}.items():
        yield UncomparedMetric(name, reason)
    for when, names in (("first", held[0] - held[1]), ("second", held[1] - held[0])):
        for name in sorted(names - {*before.unread, *after.unread}):
            yield UncomparedMetric(name, f"only in the {when} log")
    for name in sorted(held[0] & held[1]):
        if (name in before.metrics) != (name in after.metrics):
            yield UncomparedMetric(name, "the numbers of the two logs fit different functions")
