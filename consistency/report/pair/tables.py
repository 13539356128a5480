"""The tables of two runs compared, from `report.json`'s `comparison`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from consistency.metrics.answers import QUANTILES, quantiles
from consistency.report.content import Row, Table
from consistency.report.formats.numbers import DASH, change, fixed, number, p_value, percent, share
from consistency.report.items import Columns
from consistency.report.questions import kinds

FIGURE_HEADS = (
    "before (%)", "after (%)", "change (points)", "same answer (%)", "ranking correlation", "KL (nats)",
)  # fmt: skip
SPOKEN = {"overall": "all questions", "macro": "mean of the tasks", "homo": "HOMO", "id": "ID", "ood": "OOD"}


def sections_of(comparison: Mapping[str, Any]) -> dict[str, Row]:
    """The sections that a headline tells, by name: all questions, then the scopes; each task where there is no such."""
    if comparison["overall"] is None:
        return dict(comparison["by_task"])
    return {"overall": comparison["overall"], **comparison.get("by_scope", {})}


def headline_table(comparison: Mapping[str, Any]) -> Table:
    """Before and after: over all questions, over tasks with equal weight, and in each scope."""
    data, rows = [], []
    with_options = sum("kl" in section for section in comparison["by_task"].values())
    for name, section in _headlines(comparison):
        data.append({"questions_of": name, **section})
        flips = section.get("flips", {})
        counts = [str(flips.get(kind, DASH)) for kind in ("harmful", "beneficial", "wrong_to_wrong")]
        rows.append((SPOKEN.get(name, name), str(section["n"]), *_figures(section), *counts))
    return Table(
        name="headline",
        title="Before and after",
        caption="In brackets: 95 % intervals; for “all questions” each question has the same weight, for “mean of the "
        "tasks” each task. Same answer: the same option is the most probable. Ranking correlation (Spearman's rho) and "
        "KL(before ‖ after) compare the options' probabilities, question by question. The last three columns count "
        "answers that changed."
        + (" Tasks without options do not enter." if 0 < with_options < len(comparison["by_task"]) else ""),
        head=("questions of", "questions", *FIGURE_HEADS, "right → wrong", "wrong → right", "wrong → other wrong"),
        rows=tuple(rows),
        labels=1,
        data=data,
    )


def _headlines(comparison: Mapping[str, Any]) -> Iterator[tuple[str, Row]]:
    for name, section in sections_of(comparison).items():
        told = {key: value for key, value in section.items() if key not in ("macro", "pairing", "kl_quantiles")}
        yield name, told
        if name == "overall" and "macro" in section:
            yield "macro", {"n": section["n"], **section["macro"]}


def _figures(section: Row) -> tuple[str, ...]:
    return (
        percent(section.get("accuracy_before")),
        percent(section.get("accuracy_after")),
        change(section.get("delta_accuracy")),
        percent(section.get("same_top")),
        number(section.get("spearman")),
        number(section.get("kl")),
    )


def flip_table(items: Columns) -> Table:
    """Right and wrong before, against right, the same and another wrong option after."""
    kind = kinds(items)
    count = {name: int((kind == name).sum()) for name in ("right", "harmful", "beneficial", "wrong", "wrong_to_wrong")}
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
        (f"before: {name}", *(DASH if n is None else share(n, total) for _, n in row), share(_sum(row), total))
        for name, row in cells.items()
    ]
    columns = list(zip(*cells.values(), strict=True))
    rows.append(("sum", *(share(_sum(column), total) for column in columns), share(total, total)))
    data = [{"kind": name, "count": n, "share": n / total if total else None} for name, n in count.items()]
    unknown = len(kind) - total
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
    """Quantiles of KL and of the change of the right option's probability, over all questions and in each scope."""
    data: list[Row] = []
    for name in ("overall", *scopes):
        rows = slice(None) if name == "overall" else items["scope"] == name
        for measure in ("kl", "delta_gold"):
            data.append({"questions_of": name, "measure": measure, **quantiles(items[measure][rows])})
    spoken = {"kl": "KL(before ‖ after), nats", "delta_gold": "change of the right option's probability"}
    return Table(
        name="quantiles",
        title="How far the distributions moved",
        caption="Quantiles over questions: half of them lie below the 50 % column.",
        head=("questions of", "measure", *(f"{q} %" for q in QUANTILES)),
        rows=tuple(
            (
                str(SPOKEN.get(row["questions_of"], row["questions_of"])),
                spoken[row["measure"]],
                *(fixed(row[f"p{q:02d}"], 3) for q in QUANTILES),
            )
            for row in data
        ),
        labels=2,
        data=data,
    )


def task_table(comparison: Mapping[str, Any]) -> Table:
    """Every task, with its tests."""
    rows = []
    for name, section in comparison["by_task"].items():
        flips = section.get("flips", {})
        tests = [p_value(section.get(key)) for key in ("mcnemar_p", "mcnemar_p_holm", "mcnemar_p_bh")]
        turned = [str(flips.get(kind, DASH)) for kind in ("harmful", "beneficial")]
        rows.append((name, str(section["n"]), *_figures(section), *turned, *tests))
    dropped = ("pairing", "kl_quantiles", "metrics")
    return Table(
        name="tasks",
        title="Every task",
        caption="p: McNemar's exact test of no change of accuracy; Holm: corrected for the number of tasks, so that any "
        "false finding among them is rare; BH: so that few of the findings are false.",
        head=(
            *("task", "questions", *FIGURE_HEADS, "right → wrong", "wrong → right"),
            *("p", "p (Holm)", "p (BH)"),
        ),
        rows=tuple(rows),
        labels=1,
        data=[
            {"name": name, **{key: value for key, value in section.items() if key not in dropped}}
            for name, section in comparison["by_task"].items()
        ],
        folded=len(rows) > 12,
    )


def pairing_table(comparison: Mapping[str, Any]) -> Table:
    """What was paired and how, and what was left out."""
    data: list[Row] = []
    rows: list[tuple[str, ...]] = []
    keys = ("paired", "by_hash", "by_content", "identical", "reordered")
    for name, section in comparison["by_task"].items():
        audit = section["pairing"]
        row = {"task": name, **{key: audit[key] for key in keys}}
        row |= {f"prompts_{key}": count for key, count in audit["prompts"].items()}
        data.append({**row, "dropped": sum(audit["dropped"].values())})
        data[-1] |= {f"dropped: {reason}": count for reason, count in audit["dropped"].items()}
    counted = (*keys, "prompts_same", "prompts_different", "prompts_unknown", "dropped")
    total = {"task": "all tasks", **{key: sum(row.get(key, 0) for row in data) for key in counted}}
    for row in [total, *data] if len(data) > 1 else data:
        rows.append((row["task"], *(str(row.get(key, 0)) for key in counted)))
    return Table(
        name="pairing",
        title="What was paired",
        caption="Documents pair by lm_eval's hash, or by what they ask. Identical documents of one task were told apart "
        "by their number; reordered: the options stand in another order in the second log and were matched by text.",
        head=(
            *("task", "paired", "by hash", "by content", "identical", "reordered"),
            *("same prompt", "other prompt", "prompt unknown", "left out"),
        ),
        rows=tuple(rows),
        labels=1,
        data=data,
        folded=len(rows) > 6,
    )


def moved(items: Columns, by: float = 0.1) -> tuple[int, int]:
    """How many questions lost, and how many won, more than so much probability of the right option."""
    delta = items["delta_gold"]
    return int(np.sum(delta < -by)), int(np.sum(delta > by))
