"""The figures of two runs compared: how far distributions moved, whether rankings held, and each task's change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from consistency.report.content import Row
from consistency.report.drawings import Look, Plot, errorbar
from consistency.report.items import Columns
from consistency.support.figure_style import BLUE, GREY, INK, RED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More tasks than these are drawn by those that changed most.
MOST_TASKS = 80
LEVEL = 0.05
SIGNS = {
    "holm": Look("p (Holm) < .05", RED, "D"),
    "bh": Look("p (BH) < .05", BLUE, "s"),
    "none": Look("not told from no change", GREY, "o"),
}


def pair_plots(comparison: Mapping[str, Any], items: Columns) -> tuple[list[Plot], list[Plot], list[Plot]]:
    """What to draw of the distributions, of the rankings and of the tasks: nothing without options, or without tasks."""
    distributions = [_shift(items)] if "kl" in items else []
    rankings = [_ranking(items)] if "kl" in items else []
    known = [section for section in comparison["by_task"].values() if section["delta_accuracy"]["value"] is not None]
    tasks = [_tasks(comparison["by_task"])] if known and len(comparison["by_task"]) > 1 else []
    return distributions, rankings, tasks


def histogram(values: Columns, measure: str, edges: Sequence[float]) -> list[Row]:
    """Counts of a measure's finite values between edges; the first and last bin hold what lies beyond them."""
    x = values[measure]
    inside = np.clip(x[np.isfinite(x)], edges[0], edges[-1])
    counts = np.histogram(inside, edges)[0]
    return [
        {"measure": measure, "from": float(low), "to": float(high), "count": int(n), "share": n / max(len(inside), 1)}
        for low, high, n in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def _bars(axes: Axes, rows: Sequence[Row], colours: Sequence[str]) -> None:
    low, high = (np.array([row[end] for row in rows]) for end in ("from", "to"))
    axes.bar(low, [row["share"] for row in rows], width=high - low, align="edge", color=colours, linewidth=0)
    axes.set_title("share of questions")
    axes.set_xlim(low[0], high[-1])


def _shift(items: Columns) -> Plot:
    # Eight bins for a factor of ten, from a thousandth of a nat on; what is less, is none.
    kl_edges = [0.0, *np.logspace(-3, 1, 33).round(6).tolist()]
    gold_edges = np.linspace(-1, 1, 41).round(6).tolist()
    rows = [*histogram(items, "kl", kl_edges), *histogram(items, "delta_gold", gold_edges)]
    infinite = int(np.isinf(items["kl"]).sum())

    def draw(axes: Sequence[Axes], _: str) -> None:
        of_kl, of_gold = ([row for row in rows if row["measure"] == measure] for measure in ("kl", "delta_gold"))
        _bars(axes[0], [{**row, "from": number, "to": number + 1} for number, row in enumerate(of_kl)], [GREY])
        axes[0].set_xticks([1, 9, 17, 25, 33], ["0.001", "0.01", "0.1", "1", "10"])
        axes[0].set_xlabel("KL(before ‖ after), nats")
        _bars(axes[1], of_gold, [RED if row["to"] <= 0 else BLUE for row in of_gold])
        axes[1].axvline(0, color=INK, linewidth=0.6)
        axes[1].set_xticks([-1, -0.5, 0, 0.5, 1])
        axes[1].set_xlabel("change of the right option's probability")

    return Plot(
        name="shift",
        title="KL divergence, and what the right option lost and won",
        caption="Above: KL divergence of each question's options, on a logarithmic scale; the outer bars hold what is "
        f"smaller or larger{f', but not the {infinite} infinite ones' if infinite else ''}. Below: how much probability the "
        "right option lost (left of 0) or won.",
        rows=rows,
        panels={"all": ""},
        looks=(Look("right option lost", RED, "s"), Look("right option won", BLUE, "s")),
        heights=(1.7, 1.7),
        draw=draw,
    )


def _ranking(items: Columns) -> Plot:
    rows = histogram(items, "spearman", np.linspace(-1, 1, 21).round(6).tolist())
    undefined = int((~np.isfinite(items["spearman"])).sum())

    def draw(axes: Sequence[Axes], _: str) -> None:
        _bars(axes[0], rows, [GREY])
        axes[0].set_xticks([-1, -0.5, 0, 0.5, 1])
        axes[0].set_xlabel("ranking correlation of the options")

    return Plot(
        name="ranking",
        title="Whether the order of the options held",
        caption="1: the options stand in the same order as before; −1: in the opposite one. With four options only a few "
        "values are possible."
        + (f" {undefined} questions have none, since all their options are tied." if undefined else ""),
        rows=rows,
        panels={"all": ""},
        looks=(),
        heights=(1.9,),
        draw=draw,
    )


def _sign(section: Row) -> str:
    for name in ("holm", "bh"):
        p = section.get(f"mcnemar_p_{name}")
        if p is not None and p < LEVEL:
            return name
    return "none"


def _tasks(by_task: Mapping[str, Row]) -> Plot:
    known = {name: section for name, section in by_task.items() if section["delta_accuracy"]["value"] is not None}
    rows = [
        {"task": name, "n": section["n"], "sign": _sign(section), **section["delta_accuracy"]}
        | {f"p_{key}": section.get(f"mcnemar_p_{key}") for key in ("holm", "bh")}
        for name, section in known.items()
    ]
    rows = sorted(rows, key=lambda row: -abs(row["value"]))[:MOST_TASKS]
    rows.sort(key=lambda row: row["value"])
    common = _common_prefix([row["task"] for row in rows])

    def draw(axes: Sequence[Axes], _: str) -> None:
        (ax,) = axes
        for sign, look in SIGNS.items():
            marks = [
                (place, {key: None if row[key] is None else 100 * row[key] for key in ("value", "ci_low", "ci_high")})
                for place, row in enumerate(rows)
                if row["sign"] == sign
            ]
            errorbar(ax, marks, look, across=True)
        ax.axvline(0, color=INK, linewidth=0.6)
        ax.set_yticks(range(len(rows)), [row["task"][len(common) :] for row in rows], fontsize=7)
        ax.set_ylim(-0.7, len(rows) - 0.3)
        ax.grid(axis="y", visible=False)
        ax.grid(axis="x", visible=True)
        ax.tick_params(axis="y", length=0)
        ax.set_xlabel("change of accuracy, points")

    left = len(by_task) - len(rows)
    return Plot(
        name="tasks",
        title="Each task's change",
        caption="Change of accuracy with 95 % intervals, in percentage points. The signs stand for McNemar's exact test, "
        "corrected for the number of tasks: Holm keeps any false finding rare, BH (Benjamini and Hochberg) their share."
        + (f" Names without their common beginning, {common}." if common else "")
        + (f" The {left} tasks that changed least, or have no accuracy, are left out." if left else ""),
        rows=rows,
        panels={"all": ""},
        looks=tuple(SIGNS.values()),
        heights=(0.5 + 0.155 * len(rows),),
        draw=draw,
    )


def _common_prefix(names: Sequence[str]) -> str:
    """What all names begin with, up to an underscore."""
    common = names[0] if len(names) > 1 else ""
    for name in names:
        while not name.startswith(common):
            common = common[:-1]
    return common[: common.rfind("_") + 1]
