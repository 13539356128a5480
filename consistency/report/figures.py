"""The figures of a report, as SVG and PDF, each with the rows that it shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.experiment import Experiment
from consistency.report.estimates import MEAN, Row, mixing_ratio
from consistency.report.style import BLUE, GREEN, GREY, INK, RED, STYLE, THEME, VIOLET, inline, to_svg
from consistency.report.tables import write_csv
from consistency.report.verdict import group_title
from consistency.scopes import SCOPES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    Draw = Callable[[Sequence[Axes], str], None]

GLYPHS = {"o": "●", "s": "■", "D": "◆", "^": "▲", "_": "―"}
MARKS = {"harmonious": (BLUE, "o"), "incompatible": (RED, "s"), "self_aligning": (GREEN, "D")}
DOMAIN_MARKS = ((BLUE, "o"), (RED, "s"), (GREEN, "D"), (VIOLET, "^"))
FLIPS = {
    "harmful": (RED, "right → wrong"),
    "wrong_to_wrong": (GREY, "wrong → other wrong"),
    "beneficial": (BLUE, "wrong → right"),
}
MEASURES = {"accuracy": "accuracy", "rank_pearson": "ranking correlation with base"}


@dataclass(frozen=True)
class Mark:
    """How a series looks, in a drawing and in its legend."""

    label: str
    colour: str
    marker: str

    @property
    def glyph(self) -> str:
        """The marker as a character."""
        return GLYPHS[self.marker]

    @property
    def theme(self) -> str:
        """Name of the page's colour."""
        return THEME[self.colour]


@dataclass(frozen=True)
class Drawing:
    """One figure: its file name, what a reader should see, its data and its panels.

    Attributes
    ----------
    name : str
        Of its files, without ending.
    title, caption : str
    rows : list of dict
        What is drawn: the CSV beside the figure.
    panels : dict of str to str
        By scope, an SVG to set into the page.
    legend : tuple of Mark
    """

    name: str
    title: str
    caption: str
    rows: list[Row]
    panels: dict[str, str]
    legend: tuple[Mark, ...]


@dataclass(frozen=True)
class _Plot:
    """What to draw: `draw(axes, scope)` fills one column of axes, one axes for each height (inches)."""

    name: str
    title: str
    caption: str
    rows: list[Row]
    marks: tuple[Mark, ...]
    heights: tuple[float, ...]
    draw: Draw


def draw_figures(results: Sequence[Row], means: Sequence[Row], experiment: Experiment, folder: Path) -> list[Drawing]:
    """Draw every figure of every model, and write its SVG, PDF and CSV into `folder`.

    Parameters
    ----------
    results, means : sequence of dict
        Rows of `estimates.results` and `estimates.means`.
    experiment : Experiment
    folder : Path

    Returns
    -------
    list of Drawing
        "groups", then "ratios" where there are mixes, then "flips"; a model's name follows where there are several.
    """
    import matplotlib

    drawings = []
    for model in experiment.models:
        runs = [row for row in results if row["model"] == model]
        shown = runs
        if len(experiment.seeds) > 1:
            of_seeds = [row for row in means if row["seed"] is None and row["domain"] != MEAN]
            shown = [row for row in of_seeds if row["model"] == model]
        plots = [_groups(shown, experiment), _flips(runs, experiment)]
        if any(group.startswith("mixed_") for group in experiment.groups):
            plots.insert(1, _ratios(shown, experiment))
        for plot in plots:
            suffix = f"_{re.sub(r'[^A-Za-z0-9.-]+', '_', model)}" if len(experiment.models) > 1 else ""
            style: Any = STYLE | {"svg.hashsalt": plot.name + suffix}
            with matplotlib.rc_context(style):
                drawings.append(_draw(plot, plot.name + suffix, f" ({model})" if suffix else "", folder))
    return drawings


def _draw(plot: _Plot, name: str, model: str, folder: Path) -> Drawing:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    scopes = [scope for scope in SCOPES if any(row["scope"] == scope for row in plot.rows)]
    panels = {}
    for number, scope in enumerate(scopes):
        figure = Figure(figsize=(3.5, sum(plot.heights) + 0.3), layout="constrained")
        axes = figure.subplots(len(plot.heights), 1, height_ratios=plot.heights, squeeze=False)
        plot.draw(list(axes[:, 0]), scope)
        figure.suptitle(scope.upper(), fontsize=10, fontweight="bold", color=INK)
        panels[scope] = inline(
            to_svg(figure), f"{name}-{number}", f"{plot.title}, {scope.upper()}; its numbers: {name}.csv"
        )
    whole = Figure(figsize=(3.3 * len(scopes), sum(plot.heights) + 0.7), layout="constrained")
    axes = whole.subplots(len(plot.heights), len(scopes), height_ratios=plot.heights, squeeze=False)
    for column, scope in enumerate(scopes):
        plot.draw(list(axes[:, column]), scope)
        axes[0, column].set_title(scope.upper(), loc="right", fontweight="bold", color=INK)
    handles = [
        Line2D([], [], color=mark.colour, marker=mark.marker, linestyle="", label=mark.label) for mark in plot.marks
    ]
    whole.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))
    (folder / f"{name}.svg").write_text(to_svg(whole), encoding="utf-8")
    whole.savefig(folder / f"{name}.pdf", format="pdf", metadata={"CreationDate": None}, transparent=False)
    write_csv(folder / f"{name}.csv", plot.rows)
    return Drawing(name, plot.title + model, plot.caption, plot.rows, panels, plot.marks)


def _taken(row: Row, part: str, measure: str) -> Row:
    """One mark's numbers: where it stands, and a figure."""
    keys = ("model", "domain", "group", "scope")
    return {key: row[key] for key in keys} | {"part": part, "measure": measure, "n": row["n"], **row[part][measure]}


def _errorbar(axes: Axes, points: Sequence[tuple[float, Row]], mark: Mark, line: str = "") -> None:
    known = [(x, row) for x, row in points if row["value"] is not None]
    if not known:
        return
    y = [row["value"] for _, row in known]
    low = [
        value - (value if row["ci_low"] is None else row["ci_low"]) for value, (_, row) in zip(y, known, strict=True)
    ]
    high = [
        (value if row["ci_high"] is None else row["ci_high"]) - value for value, (_, row) in zip(y, known, strict=True)
    ]
    axes.errorbar(
        [x for x, _ in known], y, yerr=[low, high], color=mark.colour, marker=mark.marker, linestyle=line,
        markersize=4.5, linewidth=1, elinewidth=1,
    )  # fmt: skip


def _limits(rows: Sequence[Row], measure: str) -> tuple[float, float]:
    """One scale for all scopes, so that they can be compared."""
    ends = [row[key] for row in rows if row["measure"] == measure for key in ("value", "ci_low", "ci_high")]
    known = [end for end in ends if end is not None] or [0.0, 1.0]
    room = 0.05 * (max(known) - min(known)) or 0.05
    return min(known) - room, max(known) + room


def _groups(rows: Sequence[Row], experiment: Experiment) -> _Plot:
    plain = [group for group in experiment.groups if not group.startswith("mixed_")] or list(experiment.groups)
    marks = {group: Mark(group_title(group), *MARKS.get(group, (VIOLET, "^"))) for group in plain}
    base = Mark("base model, 5-shot", INK, "_")
    taken = [_taken(row, "tuned", measure) for row in rows if row["group"] in plain for measure in MEASURES]
    # Every run of a domain has the same base model, asked the same questions.
    first = {(row["domain"], row["scope"]): row for row in reversed(rows)}
    taken += [_taken(row, "base", "accuracy") | {"group": "base"} for row in first.values()]

    def draw(axes: Sequence[Axes], scope: str) -> None:
        for ax, (measure, title) in zip(axes, MEASURES.items(), strict=True):
            here = [row for row in taken if row["scope"] == scope and row["measure"] == measure]
            for number, (group, mark) in enumerate(marks.items()):
                offset = 0.2 * (number - (len(marks) - 1) / 2)
                points = [
                    (experiment.domains.index(row["domain"]) + offset, row) for row in here if row["group"] == group
                ]
                _errorbar(ax, points, mark)
            for row in here:
                if row["group"] == "base":
                    x = experiment.domains.index(row["domain"])
                    ax.hlines(row["value"], x - 0.4, x + 0.4, color=INK, linewidth=1.2)
            ax.set_title(title)
            ax.set_ylim(_limits(taken, measure))
            ax.set_xticks(range(len(experiment.domains)), experiment.domains)
            ax.set_xlim(-0.6, len(experiment.domains) - 0.4)
            ax.tick_params(axis="x", length=0, labelsize=7.5)

    seeds = "" if len(experiment.seeds) == 1 else f", mean of {len(experiment.seeds)} seeds"
    return _Plot(
        name="groups",
        title="What each group left of the model's knowledge",
        caption=f"Tuned models asked without shots{seeds}; bars are 95 % intervals over questions. The line is the base "
        "model's accuracy with 5 shots. Ranking correlation 1: every question's options stand in the base model's order.",
        rows=taken,
        marks=(*marks.values(), base),
        heights=(1.9, 1.9),
        draw=draw,
    )


def _ratios(rows: Sequence[Row], experiment: Experiment) -> _Plot:
    names = experiment.domains
    marks = {domain: Mark(domain, *DOMAIN_MARKS[i % len(DOMAIN_MARKS)]) for i, domain in enumerate(names)}
    taken = [
        _taken(row, "tuned", measure) | {"ratio": ratio}
        for row in rows
        for measure in MEASURES
        if (ratio := mixing_ratio(row["group"])) is not None
    ]

    def draw(axes: Sequence[Axes], scope: str) -> None:
        for ax, (measure, title) in zip(axes, MEASURES.items(), strict=True):
            for number, (domain, mark) in enumerate(marks.items()):
                keys = (scope, measure, domain)
                line = [row for row in taken if (row["scope"], row["measure"], row["domain"]) == keys]
                shift = 0.006 * (number - (len(marks) - 1) / 2)
                points = sorted(((row["ratio"] + shift, row) for row in line), key=lambda point: point[0])
                _errorbar(ax, points, mark, line="-")
            ax.set_title(title)
            ax.set_ylim(_limits(taken, measure))
        axes[-1].set_xlabel("share answered as the base model would")

    return _Plot(
        name="ratios",
        title="From INCOMPATIBLE (0) to SELF-ALIGNING (1)",
        caption="The same questions, a growing share of them answered as the base model would; 95 % intervals over "
        "questions. Domains stand a little beside each other so that their intervals can be seen.",
        rows=taken,
        marks=tuple(marks.values()),
        heights=(1.9, 1.9),
        draw=draw,
    )


def _flips(rows: Sequence[Row], experiment: Experiment) -> _Plot:
    plain = [group for group in experiment.groups if not group.startswith("mixed_")] or list(experiment.groups)
    taken: list[dict[str, Any]] = []
    for group in plain:
        for scope in SCOPES:
            for domain in experiment.domains:
                runs = [row for row in rows if (row["group"], row["scope"], row["domain"]) == (group, scope, domain)]
                if runs:
                    n = sum(row["n"] for row in runs)
                    shares = {name: sum(row["flips"][name] for row in runs) / n for name in FLIPS}
                    at = {"model": runs[0]["model"], "domain": domain, "group": group, "scope": scope}
                    taken.append(at | {"n": n, **shares})

    def draw(axes: Sequence[Axes], scope: str) -> None:
        bars = [row for row in taken if row["scope"] == scope]
        left = [0.0] * len(bars)
        for name, (colour, _) in FLIPS.items():
            width = [row[name] for row in bars]
            axes[0].barh(range(len(bars)), width, left=left, color=colour, height=0.7)
            left = [a + b for a, b in zip(left, width, strict=True)]
        several = len(experiment.domains) > 1
        labels = [group_title(row["group"]) + (f", {row['domain']}" if several else "") for row in bars]
        axes[0].set_yticks(range(len(bars)), labels, fontsize=7)
        axes[0].invert_yaxis()
        axes[0].grid(axis="y", visible=False)
        axes[0].grid(axis="x", visible=True)
        axes[0].tick_params(axis="y", length=0)
        axes[0].set_title("share of questions")
        axes[0].set_xlim(0, 1.03 * max((sum(row[name] for name in FLIPS) for row in taken), default=1.0) or 1.0)

    return _Plot(
        name="flips",
        title="Which answers turned",
        caption="Base model with 5 shots against the tuned model: shares of all questions whose chosen option changed. "
        "Accuracy alone shows only the difference of the outer two.",
        rows=taken,
        marks=tuple(Mark(label, colour, "s") for colour, label in FLIPS.values()),
        heights=(0.5 + 0.2 * len(plain) * len(experiment.domains),),
        draw=draw,
    )
