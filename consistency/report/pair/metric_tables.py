"""The tables of what the harness measures beside accuracy: further metrics and filters, groups of tasks, unreadable answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from consistency.comparison.result import Comparison
from consistency.comparison.section import MetricChange, Readability, Section
from consistency.comparison.sentences import accuracy_name
from consistency.logs.generations import UNREADABLE
from consistency.metrics.measures import HEADLINE, MEASURE
from consistency.report.content import Table
from consistency.report.formats.numbers import DASH, formatted, with_share
from consistency.report.metric_cells import HEAD, metric_cells
from consistency.support.text import p_value

FOLDED = 25
REASONS: dict[str, str] = {
    "empty": "there is no text",
    "cut": "it probably reached its limit before an answer",
    "no tag": "the tag that the prompt asks for is missing",
    "invalid": "the filter found no match",
}
WEIGHTINGS = {"size": "each question", "task": "each task"}
_CHANGE = MEASURE["delta_accuracy"]


def metric_rows(comparison: Comparison) -> Iterator[tuple[str, str, bool, MetricChange]]:
    """Every metric beside those of the headline: of which task or group, its name with the filter, whether it counts, values.

    Those of another filter do not count.
    """
    for name, section in {**comparison.by_task, **comparison.by_group}.items():
        for metric, found in (section.metrics or {}).items():
            if metric != section.accuracy_metric:
                yield name, _filtered(metric, section.filter if section.other_filters else None), True, found
        for other, filtered in section.other_filters.items():
            for metric, found in (filtered.metrics or {}).items():
                yield name, _filtered(metric, other), False, found


def _filtered(metric: str, filter_name: str | None) -> str:
    return metric if filter_name is None else f"{metric},{filter_name}"


def metric_table(comparison: Comparison) -> Table | None:
    """Every metric beside those of the headline; None without one."""
    found = list(metric_rows(comparison))
    if not found:
        return None
    others = not all(counts for _, _, counts, _ in found)
    return Table(
        name="metrics",
        title="Metrics beside the headline",
        caption="Each in its own unit, aggregated as its task does."
        + (" (beside): of a filter that does not count." if others else ""),
        head=("task", "metric", *HEAD),
        rows=tuple(
            (
                task,
                metric if counts else f"{metric} (beside)",
                *metric_cells(item),
            )
            for task, metric, counts, item in found
        ),
        labels=2,
        data=[
            {"task": task, "metric": metric, "counts": counts, **item.to_dict()} for task, metric, counts, item in found
        ],
        folded=len(found) > FOLDED,
    )


def uncompared_table(comparison: Comparison) -> Table | None:
    """The metrics that a log names and that are not compared; None without one."""
    sections = {**comparison.by_task, **comparison.by_group}
    rows = tuple((name, item.metric, item.reason) for name, section in sections.items() for item in section.uncompared)
    if not rows:
        return None
    return Table(
        name="uncompared",
        title="Metrics that are not compared",
        caption="",
        head=("task", "metric", "reason"),
        rows=rows,
        labels=2,
        data=[dict(zip(("task", "metric", "reason"), row, strict=True)) for row in rows],
        folded=len(rows) > FOLDED,
    )


def group_table(comparison: Comparison) -> Table | None:
    """The harness's groups of tasks; None without one."""
    rows, data = [], []
    for name, section in comparison.by_group.items():
        estimates = [formatted(section.estimates.get(measure.name), measure) for measure in HEADLINE[:3]]
        turned = [str((section.flips or {}).get(kind, DASH)) for kind in ("harmful", "beneficial")]
        tasks = (str(len(section.tasks)), str(section.absent), WEIGHTINGS[section.weighting or "size"])
        p = (p_value(section.sign_flip_p), p_value(section.p_holm))
        rows.append((name, accuracy_name(section), str(section.n), *estimates, *turned, *p, *tasks))
        data.append({"group": name, **_numbers(section)})
    if not rows:
        return None
    return Table(
        name="groups",
        title="Groups of tasks",
        caption="The harness's own groups. Weight: whether each question counts the same in accuracy, or each task. Absent: "
        "tasks of the group that are not compared. p: test of no change of accuracy; Holm: corrected for the number of groups.",
        head=(
            *("group", "metric", "questions", *(measure.heading for measure in HEADLINE[:3])),
            *("right → wrong", "wrong → right", "p (unadjusted)", "p (Holm)", "tasks", "absent", "weight"),
        ),
        rows=tuple(rows),
        labels=1,
        data=data,
        folded=len(rows) > FOLDED,
        pinned=_CHANGE.heading,
    )


def _numbers(section: Section) -> dict[str, Any]:
    plain = section.to_dict()
    kept = (
        "n",
        "tasks",
        "absent",
        "weighting",
        "accuracy_metric",
        "flips",
        "mcnemar_p",
        "sign_flip_p",
        "p_holm",
        "equivalence_p",
    )
    return {key: plain[key] for key in (*kept, *(measure.name for measure in HEADLINE)) if key in plain}


def readability_sections(comparison: Comparison) -> dict[tuple[str, str], Readability]:
    """From how many texts no answer can be read, by the name of the task or pool and of the filter."""
    found: dict[tuple[str, str], Readability] = {}
    for section in (*comparison.by_task.values(), *comparison.by_metric.values()):
        sides = {section.filter or "": section.readability}
        sides |= {name: other.readability for name, other in section.other_filters.items()}
        found |= {(section.name, name): item for name, item in sides.items() if item is not None}
    return found


def readability_table(comparison: Comparison) -> Table | None:
    """From how many generated texts no answer can be read, and why; None without generated texts.

    Where some answers cannot be read, those tasks are shown; the data have all.
    """
    found = readability_sections(comparison)
    if not found:
        return None
    shown = {place: item for place, item in found.items() if any(item.shares)}
    readable = len(found) - len(shown)
    seen = {reason for item in shown.values() for reason in (*item.before, *item.after)}
    reasons = [reason for reason in UNREADABLE if reason in seen]
    rows = []
    for (name, filter_name), item in (shown or found).items():
        counts = [f"{item.before.get(reason, 0)} → {item.after.get(reason, 0)}" for reason in reasons]
        totals = [with_share(sum(side.values()), item.n) for side in (item.before, item.after)]
        among = [str(item.both), formatted(item.delta_accuracy, _CHANGE)]
        rows.append((name, filter_name or DASH, str(item.n), *totals, *counts, *among, str(item.harmful)))
    explained = "; ".join(f"{reason}: {REASONS[reason]}" for reason in reasons)
    return Table(
        name="readability",
        title="Answers that cannot be read",
        caption=f"Texts from which no answer can be taken ({explained}). The change of accuracy is that among the questions "
        "that both runs answer readably; right → unreadable: right before, wrong and unreadable after."
        + (f" Of {readable} more rows, which the CSV holds, every answer can be read." if readable else "")
        if shown
        else "An answer can be read from every text.",
        head=(
            *("task", "filter", "questions", "unreadable before", "unreadable after", *reasons),
            *("both readable", f"{_CHANGE.heading} among these", "right → unreadable"),
        ),
        rows=tuple(rows),
        labels=2,
        data=[{"task": name, "filter": filter_name, **_shares(item)} for (name, filter_name), item in found.items()],
        folded=len(rows) > FOLDED,
    )


def _shares(item: Readability) -> dict[str, Any]:
    before, after = item.shares

    def counted(counts: Mapping[str, int]) -> dict[str, int]:
        return {reason: counts.get(reason, 0) for reason in UNREADABLE if reason}

    plain = item.to_dict() | {"before": counted(item.before), "after": counted(item.after)}
    return {"n": plain.pop("n"), "share_before": before, "share_after": after, **plain}
