"""The tables of two runs compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from consistency.comparison.changed_most import ChangedMost
from consistency.comparison.quantities import quantity_named
from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.comparison.sentences import accuracy_name
from consistency.metrics.answers import QUANTILES, quantiles
from consistency.metrics.measures import HEADLINE, MEASURE
from consistency.report.content import Mark, Row, Span, Table
from consistency.report.formats.numbers import DASH, fixed, formatted, with_share
from consistency.report.items import Columns
from consistency.report.questions import count_kinds
from consistency.statistics.estimates import Estimate
from consistency.support.text import p_value

FLIPS = ("harmful", "beneficial", "wrong_to_wrong")
PARTS = ("calibrated_change", "prior_change")
MARKS = (
    Mark("change of accuracy", "●", "blue"),
    Mark("corrected for letter bias", "◆", "red"),
    Mark("due to letter bias", "○", "grey"),
)
CORRECTED = (
    "Corrected: one offset for each letter taken out; what remains is knowledge, or a letter bias that differs between "
    "questions."
)
FIGURE_HEADS = tuple(measure.heading for measure in HEADLINE)
NAMES = {"overall": "all questions", "macro": "mean of the tasks", "homo": "HOMO", "id": "ID", "ood": "OOD"}


def headline_sections(comparison: Comparison) -> dict[str, Section]:
    """The sections of a headline, by name: what the verdict is about, if its answers are right or wrong, then the scopes.

    Where nothing has an accuracy, every task.
    """
    pools = [pool for pool in comparison.pools if pool.estimates["delta_accuracy"].value is not None]
    return {**{pool.name: pool for pool in pools or comparison.pools}, **comparison.by_scope}


def has_headline(comparison: Comparison) -> bool:
    """Whether the headline has a number."""
    sections = headline_sections(comparison).values()
    found = (section.estimates.get(measure.name) for section in sections for measure in HEADLINE)
    return any(estimate is not None and estimate.value is not None for estimate in found)


def headline_table(comparison: Comparison) -> Table:
    """Before and after: over all questions, over tasks with equal weight, and in each scope."""
    data: list[Row] = []
    rows = []
    sections = headline_sections(comparison)
    for name, section in sections.items():
        parts = [(name, section.estimates, section.flips or {}, _data(section))]
        if section is comparison.overall and section.macro is not None:
            macro = {key: estimate.to_dict() for key, estimate in section.macro.items()}
            parts.append(("macro", section.macro, {}, {"n": section.n, **macro}))
        for place, estimates, flips, plain in parts:
            data.append({"questions_of": place, **plain})
            counts = [str(flips.get(kind, DASH)) for kind in FLIPS]
            title = place if section.name in comparison.by_task else NAMES.get(place, place)
            rows.append((title, accuracy_name(section), str(section.n), *_figures(estimates), *counts))
    left_out = len(comparison.pools) - len(sections) + len(comparison.by_scope)
    return Table(
        name="headline",
        title="Before and after",
        caption="In brackets: 95 % intervals; for “all questions” each question has the same weight, for “mean of the "
        "tasks” each task. Metric: what says which answers are right. Same answer: the same option is the most probable. "
        "Spearman ρ and KL(before ‖ after) compare the options' probabilities, question by question. The last three columns "
        "count answers that changed."
        + (f" {left_out} more tasks have no accuracy: see their metrics." if left_out else ""),
        head=(
            *("questions of", "metric", "questions", *FIGURE_HEADS),
            *(MEASURE[f"{kind}_flips"].title for kind in FLIPS),
        ),
        rows=tuple(rows),
        labels=1,
        data=data,
        pinned=MEASURE["delta_accuracy"].heading,
    )


def _data(section: Section, *without: str) -> dict[str, Any]:
    """A section with every digit, without what other tables hold."""
    plain = section.to_dict()
    own_tables = {"macro", "pairing", "kl_quantiles", "trimmed", "uncompared", "other_filters", "readability", "tasks"}
    own_tables |= {"ece_debiased", "selection_bias", "kl_largest", "decomposition", "rotations"}
    return {key: plain[key] for key in plain if key not in own_tables.union(without)}


def _figures(estimates: Mapping[str, Estimate]) -> tuple[str, ...]:
    return tuple(formatted(estimates.get(measure.name), measure) for measure in HEADLINE)


def flip_table(items: Columns) -> Table:
    """Right and wrong before, against right, the same and another wrong option after."""
    counted = count_kinds(items)
    count = {name: counted[name] for name in ("right", "harmful", "beneficial", "wrong", "wrong_to_wrong")}
    total = sum(count.values())
    options = "same_top" in items
    same, other = ("wrong, as before", "another wrong option") if options else ("wrong", "")
    cells = {
        "right": (("right", count["right"]), *((("same", None),) if options else ()), ("wrong", count["harmful"])),
        "wrong": (
            ("right", count["beneficial"]),
            ("same", count["wrong"]),
            *((("wrong", count["wrong_to_wrong"]),) if options else ()),
        ),
    }
    rows = [
        (
            f"before: {name}",
            *(DASH if n is None else with_share(n, total) for _, n in row),
            with_share(_sum(row), total),
        )
        for name, row in cells.items()
    ]
    columns = list(zip(*cells.values(), strict=True))
    rows.append(("sum", *(with_share(_sum(column), total) for column in columns), with_share(total, total)))
    data = [{"kind": name, "count": n, "share": n / total if total else None} for name, n in count.items()]
    unknown = len(items["correct_before"]) - total
    return Table(
        name="flips",
        title="Which answers turned",
        caption=f"Counts and shares of all questions{' whose options were scored' if options else ''}. Accuracy shows only "
        "the difference of right → wrong and wrong → right."
        f"{f' Of {unknown} more questions it is not known which answer is right.' if unknown else ''}",
        head=("", "after: right", *((f"after: {same}", f"after: {other}") if options else ("after: wrong",)), "sum"),
        rows=tuple(rows),
        labels=1,
        data=data,
    )


def _sum(cells: Sequence[tuple[str, int | None]]) -> int:
    return sum(n for _, n in cells if n is not None)


def quantile_table(items: Columns, scopes: Sequence[str]) -> Table:
    """Quantiles of KL and of the change of the gold option's probability, over all questions and in each scope."""
    data: list[dict[str, Any]] = []
    for name in ("overall", *scopes):
        rows = slice(None) if name == "overall" else items["scope"] == name
        for measure in ("kl", "delta_gold"):
            data.append({"questions_of": name, "measure": measure, **quantiles(items[measure][rows])})
    titles = {"kl": "KL(before ‖ after), nats", "delta_gold": "change of the gold option's probability"}
    return Table(
        name="quantiles",
        title="How far the distributions moved",
        caption="Quantiles over questions: half of them lie below the 50 % column.",
        head=("questions of", "measure", *(f"{q} %" for q in QUANTILES)),
        rows=tuple(
            (
                NAMES.get(row["questions_of"], row["questions_of"]),
                titles[row["measure"]],
                *(fixed(row[f"p{q:02d}"], 3) for q in QUANTILES),
            )
            for row in data
        ),
        labels=2,
        data=data,
    )


def task_table(comparison: Comparison) -> Table:
    """Every task, with its tests."""
    sections = comparison.by_task.values()
    used = dict.fromkeys(section.test for section in sections if section.sign_flip_p is not None)
    rows: list[tuple[str, ...]] = []
    for name, section in comparison.by_task.items():
        tests = [p_value(p) for p in (section.sign_flip_p, section.p_holm, section.p_bh)]
        turned = [str((section.flips or {}).get(kind, DASH)) for kind in FLIPS[:2]]
        rows.append((name, accuracy_name(section), str(section.n), *_figures(section.estimates), *turned, *tests))
    return Table(
        name="tasks",
        title="Every task",
        caption=f"p: of no change of accuracy ({'; '.join(used) or 'no test'}); Holm: corrected for the number of tasks, so that "
        "any false finding among them is rare; BH: so that few of the findings are false. The "
        "intervals and the unadjusted p are of one task alone.",
        head=(
            *("task", "metric", "questions", *FIGURE_HEADS),
            *(MEASURE[f"{kind}_flips"].title for kind in FLIPS[:2]),
            *("p (unadjusted)", "p (Holm)", "p (BH)"),
        ),
        rows=tuple(rows),
        labels=1,
        data=[{"name": name, **_data(section, "metrics")} for name, section in comparison.by_task.items()],
        pinned=MEASURE["delta_accuracy"].heading,
        names_tasks=True,
    )


def trimmed_table(comparison: Comparison) -> Table:
    """The mean KL in both directions beside the mean of its middle, over all questions and in each scope."""
    data: list[dict[str, Any]] = []
    rows = []
    overall = {} if comparison.overall is None else {"overall": comparison.overall}
    for name, section in {**overall, **comparison.by_scope}.items():
        for key, trimmed in (section.trimmed or {}).items():
            mean, measure = section.estimates[key], MEASURE[key]
            largest = (section.kl_largest or {}).get(key)
            of_measure = {"questions_of": name, "measure": key, "largest": largest}
            data.append({**of_measure, "mean": mean.to_dict(), "trimmed": trimmed.to_dict()})
            cells = (formatted(found, measure, digits=3) for found in (mean, trimmed))
            rows.append(
                (NAMES.get(name, name), measure.heading, *cells, DASH if largest is None else fixed(largest, 1))
            )
    return Table(
        name="trimmed",
        title="The mean, and the mean of the middle",
        caption="The interval of the mean reaches as far as questions that were not seen could move it, none of them beyond the "
        "nats of the last column: the least likely option in these logs allows no more. The trimmed mean leaves out the fifth of "
        "the questions with the smallest and that with the largest values (Yuen 1974): it says what happens to most questions, "
        "and nothing of rare ones.",
        head=("questions of", "measure", "mean", "trimmed mean", "largest allowed for"),
        rows=tuple(rows),
        labels=2,
        data=data,
    )


def changed_table(comparison: Comparison) -> Table | None:
    """The tasks whose accuracy changed most, with intervals that account for their choice; None where none has an accuracy."""
    found = comparison.changed_most
    known = [s for s in comparison.by_task.values() if s.estimates["delta_accuracy"].value is not None]
    sections = known if found is None else found.sections
    if not sections:
        return None
    confidence = 0.95 if found is None else found.confidence
    before, after, change = (MEASURE[name] for name in ("accuracy_before", "accuracy_after", "delta_accuracy"))
    changes = {s.name: s.estimates["delta_accuracy"] if found is None else found.changes[s.name] for s in sections}
    rows = [
        (
            section.name,
            formatted(changes[section.name], change),
            *(formatted(section.estimates[end.name], end, interval=False) for end in (before, after)),
            *(str((section.flips or {}).get(kind, DASH)) for kind in FLIPS[:2]),
            str(section.n),
            p_value(section.sign_flip_p if section.p_holm is None else section.p_holm),
        )
        for section in sections
    ]
    adjusted = any(section.p_holm is not None for section in sections)
    spans, legend = drawn_changes(sections, changes, confidence)
    return Table(
        name="changed_most",
        title="The tasks that changed most" if len(sections) > 1 else "The change",
        caption=f"{'95 % intervals.' if found is None else selection_note(found)} p: the test of no change"
        + (", corrected for the number of tasks, so that any false finding is rare (Holm)." if adjusted else ".")
        + (f" {CORRECTED}" if len(legend) > 1 else ""),
        head=(
            *("task", change.heading, before.heading, after.heading),
            *(MEASURE[f"{kind}_flips"].title for kind in FLIPS[:2]),
            *("questions", "p (Holm)" if adjusted else "p"),
        ),
        rows=tuple(rows),
        labels=1,
        data=[
            {
                "task": section.name,
                "delta_accuracy": changes[section.name].to_dict(),
                "p_holm": section.p_holm,
                "p_bh": section.p_bh,
                **{name: found.to_dict() for name, found in parts_of_change(section, confidence).items()},
            }
            for section in sections
        ],
        pinned=change.heading,
        names_tasks=True,
        legend=legend,
        spans=spans,
        unit="points",
    )


def drawn_changes(
    sections: Sequence[Section], changes: Mapping[str, Estimate], confidence: float = 0.95
) -> tuple[tuple[tuple[Span | None, ...], ...], tuple[Mark, ...]]:
    """Each task's change of accuracy to be drawn, and where options have letters what of it is knowledge and what letters."""
    parts = [parts_of_change(section, confidence) for section in sections]
    marks = MARKS if any(parts) else MARKS[:1]
    spans = tuple(
        (_span(changes[section.name]), *(_span(of.get(name)) for name in PARTS))[: len(marks)]
        for section, of in zip(sections, parts, strict=True)
    )
    return spans, marks


def parts_of_change(section: Section, confidence: float) -> dict[str, Estimate]:
    """The change corrected for letter bias, and that due to it, in a task whose options have letters."""
    if section.decomposition is None or not section.decomposition.lettered:
        return {}
    found = {name: quantity_named(name).at(section, confidence) for name in PARTS}
    return {name: part for name, part in found.items() if part is not None and part.value is not None}


def _span(found: Estimate | None) -> Span | None:
    if found is None or found.value is None:
        return None
    ends = (None if end is None else 100 * end for end in (found.ci_low, found.ci_high))
    return Span(100 * found.value, *ends)


def selection_note(found: ChangedMost) -> str:
    """How the intervals of the tasks that changed most account for their choice."""
    if len(found.sections) == found.of:
        return "95 % intervals."
    return (
        f"The {len(found.sections)} largest of {found.of} changes tend to be larger than the true ones, since chance "
        f"chose them too. Their intervals have a confidence of {100 * found.confidence:.1f} % each, so that 95 % of them hold "
        "(false coverage rate, Benjamini and Yekutieli 2005)."
    )


def pairing_table(comparison: Comparison) -> Table:
    """What was paired and how, and what was left out."""
    counted: tuple[str, ...] = ("paired", "by_hash", "by_content", "identical", "reordered")
    data: list[dict[str, Any]] = []
    for name, section in comparison.by_task.items():
        pairing = section.pairing
        row: dict[str, Any] = {"task": name, **{key: getattr(pairing, key) for key in counted}}
        row |= {f"prompts_{key}": count for key, count in pairing.prompts.items()}
        row["dropped"] = sum(dropped.count for dropped in pairing.dropped.values())
        data.append(row | {f"dropped: {reason}": dropped.count for reason, dropped in pairing.dropped.items()})
    counted = (*counted, "prompts_same", "prompts_different", "prompts_unknown", "dropped")
    total = {"task": "all tasks", **{key: sum(row.get(key, 0) for row in data) for key in counted}}
    rows = [total, *data] if len(data) > 1 else data
    return Table(
        name="pairing",
        title="What was paired",
        caption="Documents pair by lm_eval's hash, or by what they ask. Identical documents of one task were matched "
        "by their number; reordered: the options stand in another order in the second log and were matched by text.",
        head=(
            *("task", "paired", "by hash", "by content", "identical", "reordered"),
            *("same prompt", "other prompt", "prompt unknown", "left out"),
        ),
        rows=tuple((row["task"], *(str(row.get(key, 0)) for key in counted)) for row in rows),
        labels=1,
        data=data,
        folded=len(rows) > 6,
    )


def moved(items: Columns, by: float = 0.1) -> tuple[int, int]:
    """How many questions lost, and how many won, more than so much probability of the gold option."""
    delta = items["delta_gold"]
    return int(np.sum(delta < -by)), int(np.sum(delta > by))
