"""The files of a knowledge map, and its figure: each domain's labels by subject, its confidence and calibration."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.knowledge.beliefs import LABELS
from consistency.knowledge.map import BINS, KnowledgeMap, Known, summary
from consistency.support.figure_style import BLUE, GREY, INK, MUTED, RED, RULE, STYLE, save, settle
from consistency.support.json_files import json_lines
from consistency.support.manifests import write_with_manifest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = dict(zip(LABELS, (BLUE, RED, GREY), strict=True))
MOST_SUBJECTS = 8
_STYLE: Any = STYLE | {"font.size": 8, "axes.titlesize": 8, "axes.grid": False, "svg.hashsalt": "consistency"}


def write_map(knowledge: KnowledgeMap, out: str | Path) -> None:
    """Write ``map.json``, ``labels.jsonl`` and the figure ``map.svg`` and ``map.png`` into a folder.

    Parameters
    ----------
    knowledge : KnowledgeMap
    out : path-like
        The folder; it is made if it is missing.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    lines = json_lines(knowledge.questions)
    figures = {name: [content] for name, content in draw_map(knowledge).items()}
    write_with_manifest(out, "map.json", knowledge.to_dict(), {"labels.jsonl": lines, **figures})


def draw_map(knowledge: KnowledgeMap) -> dict[str, bytes]:
    """Draw a knowledge map.

    Parameters
    ----------
    knowledge : KnowledgeMap
        Its questions, by domain and subject.

    Returns
    -------
    dict of str to bytes
        The files ``map.svg`` and ``map.png``, byte-identical for the same map and version of matplotlib.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    domains = knowledge.by_domain()
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 0.7 + 2.1 * len(domains)), layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(domains), 3, squeeze=False, width_ratios=(1.2, 1, 1))
        for row, (axes, (name, questions)) in enumerate(zip(grid, sorted(domains.items()), strict=True)):
            _labels(axes[0], questions)
            _confidence(axes[1], questions, row == 0)
            _calibration(axes[2], questions, row == 0)
            axes[0].set_title(f"{name}, {len(questions):,} questions", color=INK)
        for axes, text in zip(grid[-1], ("share of questions", "confidence", "confidence"), strict=True):
            axes.set_xlabel(text, color=INK)
        figure.legend(
            handles=[
                *(Patch(color=COLOURS[name], label=name) for name in LABELS),
                Line2D([], [], color=INK, marker="o", markersize=3, linewidth=0.8, label="accuracy, 95 % interval"),
            ],
            loc="outside upper center",
            ncols=4,
        )
        settle(figure)
        svg, png = io.BytesIO(), io.BytesIO()
        save(figure, svg, format="svg", facecolor="white", metadata={"Date": None})
        save(figure, png, format="png", facecolor="white", dpi=160)
    return {"map.svg": svg.getvalue(), "map.png": png.getvalue()}


def _labels(axes: Axes, questions: Sequence[Known]) -> None:
    """Shares of the labels, a bar for each of the largest subjects."""
    sizes = Counter(question.subject for question in questions)
    subjects = [name for name, _ in sizes.most_common(MOST_SUBJECTS)]
    for place, subject in enumerate(subjects):
        counts = Counter(question.label for question in questions if question.subject == subject)
        left = 0.0
        for label in LABELS:
            width = counts[label] / sizes[subject]
            axes.barh(place, width, left=left, color=COLOURS[label], height=0.7)
            if width > 0.12:
                axes.text(left + width / 2, place, f"{100 * width:.0f} %", ha="center", va="center", color="white")
            left += width
    more = len(sizes) - len(subjects)
    axes.set_yticks(range(len(subjects)), [f"{name} ({sizes[name]:,})" for name in subjects])
    axes.set_ylim(max(len(subjects), 3) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.spines[["left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    if more:
        axes.annotate(f"and {more} more", (1, -0.02), xycoords="axes fraction", ha="right", va="top", color=MUTED)


def _confidence(axes: Axes, questions: Sequence[Known], first: bool) -> None:
    """How many answers have which confidence, right and wrong ones."""
    bottom = [0] * BINS
    edges = [number / BINS for number in range(BINS + 1)]
    for label in LABELS:
        counts = [0] * BINS
        for question in questions:
            if question.label == label:
                counts[max(0, min(BINS - 1, -int(-question.confidence * BINS // 1) - 1))] += 1
        axes.bar(edges[:-1], counts, 1 / BINS, bottom=bottom, align="edge", color=COLOURS[label], edgecolor="white")
        bottom = [a + b for a, b in zip(bottom, counts, strict=True)]
    axes.set_xlim(0, 1)
    axes.grid(axis="y")
    axes.set_title("answers by confidence" if first else "")


def _calibration(axes: Axes, questions: Sequence[Known], first: bool) -> None:
    """Accuracy of the answers of each tenth of confidence."""
    figures = summary(questions)
    bins = figures["calibration"]
    axes.plot([0, 1], [0, 1], color=RULE, linewidth=1)
    x, y = [item["mean_confidence"] for item in bins], [item["accuracy"]["share"] for item in bins]
    low = [value - item["accuracy"]["ci_low"] for value, item in zip(y, bins, strict=True)]
    high = [item["accuracy"]["ci_high"] - value for value, item in zip(y, bins, strict=True)]
    axes.errorbar(x, y, yerr=[low, high], color=INK, marker="o", markersize=3, linewidth=0.8, elinewidth=0.8)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.set_title("accuracy by confidence" if first else "")
    error = f"calibration error {figures['calibration_error']:.3f}"
    axes.annotate(error, (0.02, 0.97), xycoords="axes fraction", va="top", color=MUTED)
