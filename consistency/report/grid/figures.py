"""The figures of an experiment: what the groups did, the mixes, and the answers that turned."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from consistency.experiment.grid import Experiment
from consistency.experiment.group_names import is_balanced
from consistency.metrics.measures import MEASURE
from consistency.report.drawings import Look, Plot, Point, errorbar, limits, numbered
from consistency.report.formats.numbers import DASH, signed
from consistency.report.grid.document import Checkpoint, GridReport, Mean, Result, RunsCorrelation
from consistency.report.grid.estimates import MEAN
from consistency.report.grid.verdict import group_title
from consistency.report.grid.watched import watched_plot
from consistency.support.figure_style import BLUE, GREEN, GREY, INK, RED, VIOLET
from consistency.support.text import p_value
from consistency.tasks.scopes import SCOPES
from consistency.training_data.groups import mixed_ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS = {
    "harmonious": (BLUE, "o"),
    "incompatible": (RED, "s"),
    "self_aligning": (GREEN, "D"),
    "harmonious_balanced": (BLUE, "p"),
    "incompatible_balanced": (RED, "P"),
    "self_aligning_balanced": (GREEN, "d"),
}
OTHER = (VIOLET, "^")
DOMAIN_LOOKS = ((BLUE, "o"), (RED, "s"), (GREEN, "D"), (VIOLET, "^"))
FLIPS = {
    "harmful": (RED, MEASURE["harmful_flips"].title),
    "wrong_to_wrong": (GREY, MEASURE["wrong_to_wrong_flips"].title),
    "beneficial": (BLUE, MEASURE["beneficial_flips"].title),
}
TITLES = {"accuracy": "accuracy", "spearman": f"{MEASURE['spearman'].title} with base"}
DIVERGENCE = {"kl": f"KL(base ‖ tuned), {MEASURE['kl'].unit}"}


def grid_plots(document: GridReport, experiment: Experiment) -> dict[str, list[Plot]]:
    """The plots of an experiment, by section: "groups", "flips", "ratios", "consistency", "training", "watched".

    Parameters
    ----------
    document : GridReport
    experiment : Experiment

    Returns
    -------
    dict of str to list of Plot
        One plot for each model, whose name follows the plot's where there are several.
    """
    plots: dict[str, list[Plot]] = {
        "groups": [],
        "flips": [],
        "ratios": [],
        "consistency": [],
        "training": [],
        "watched": [],
    }
    for model in experiment.models:
        runs = [row for row in document.results if row.model == model]
        shown: Sequence[Mean] = runs
        if len(experiment.seeds) > 1:
            shown = [r for r in document.means if r.seed is None and r.domain != MEAN and r.model == model]
        partial = [row for row in document.partial_correlations if row.model == model]
        made = {"groups": _groups(shown, experiment), "flips": _flips(runs, experiment)}
        if any(group.startswith("mixed_") for group in experiment.groups):
            made["ratios"] = _ratios(shown, experiment)
        made["consistency"] = _consistency(shown, partial)
        saved = [row for row in document.checkpoints if row.model == model]
        if saved:
            made["training"] = _training(saved, runs, experiment)
        if watched := [run for run in document.watched if run.model == model]:
            made["watched"] = watched_plot(watched)
        for section, plot in made.items():
            plots[section].append(plot if len(experiment.models) == 1 else _named(plot, model))
    return plots


def _named(plot: Plot, model: str) -> Plot:
    name = f"{plot.name}_{re.sub(r'[^A-Za-z0-9.-]+', '_', model)}"
    return replace(plot, name=name, title=f"{plot.title} ({model})")


def _panels(scopes: Iterable[object]) -> dict[str, str]:
    found = set(scopes)
    return {scope: scope.upper() for scope in SCOPES if scope in found}


def _unmixed(experiment: Experiment) -> list[str]:
    """The groups that are no mixes, or all where there are only mixes."""
    return [group for group in experiment.groups if not group.startswith("mixed_")] or list(experiment.groups)


def _look(group: str) -> Look:
    return Look(group_title(group), *LOOKS.get(group, OTHER))


def _point(row: Mean, part: str, measure: str, **more: str | float) -> Point:
    place = {"model": row.model, "domain": row.domain, "group": row.group, "scope": row.scope, "part": part, **more}
    return Point.of(getattr(row, part)[measure], measure, row.n, **place)


def _groups(rows: Sequence[Mean], experiment: Experiment) -> Plot:
    shown = _unmixed(experiment)
    looks = {group: _look(group) for group in shown}
    base = Look("base model, 5-shot", INK, "_")
    points = [_point(row, "tuned", measure) for row in rows if row.group in shown for measure in TITLES]
    # Every run of a domain has the same base model, asked the same questions.
    first = {(row.domain, row.scope): row for row in reversed(rows)}
    points += [_point(row, "base", "accuracy", group="base") for row in first.values()]
    points = numbered(points)

    def draw(axes: Sequence[Axes], scope: str) -> None:
        for ax, (measure, title) in zip(axes, TITLES.items(), strict=True):
            here = [point for point in points if point.at("scope") == scope and point.measure == measure]
            for number, (group, look) in enumerate(looks.items()):
                offset = 0.2 * (number - (len(looks) - 1) / 2)
                marks = [
                    (experiment.domains.index(str(point.at("domain"))) + offset, point)
                    for point in here
                    if point.at("group") == group
                ]
                errorbar(ax, marks, look)
            for point in here:
                if point.at("group") == "base" and point.value is not None:
                    x = experiment.domains.index(str(point.at("domain")))
                    ax.hlines(point.value, x - 0.4, x + 0.4, color=INK, linewidth=1.2)
            ax.set_title(title)
            ax.set_ylim(limits(points, measure))
            ax.set_xticks(range(len(experiment.domains)), experiment.domains)
            ax.set_xlim(-0.6, len(experiment.domains) - 0.4)
            ax.tick_params(axis="x", length=0, labelsize=7.5)

    seeds = "" if len(experiment.seeds) == 1 else f", mean of {len(experiment.seeds)} seeds"
    return Plot(
        name="groups",
        title="What each group left of the model's knowledge",
        caption=f"Tuned models asked without shots{seeds}; bars are 95 % intervals over {_over(experiment)}. The line is the "
        f"base model's accuracy with 5 shots. {MEASURE['spearman'].title} 1: every question's options stand in the base model's "
        "order.",
        rows=[point.row() for point in points],
        panels=_panels(point.at("scope") for point in points),
        looks=(*looks.values(), base),
        heights=(1.9, 1.9),
        draw=draw,
    )


def _over(experiment: Experiment) -> str:
    return "questions" if len(experiment.seeds) == 1 else "training seeds and questions"


def _ratios(rows: Sequence[Mean], experiment: Experiment) -> Plot:
    domains = experiment.domains
    looks = {domain: Look(domain, *DOMAIN_LOOKS[i % len(DOMAIN_LOOKS)]) for i, domain in enumerate(domains)}
    titles = TITLES | DIVERGENCE
    # Where there are balanced variants besides the groups, the line is that of the groups.
    one_line = [row for row in rows if not is_balanced(row.group)] or rows
    points = numbered(
        _point(row, "tuned", measure, ratio=float(ratio))
        for row in one_line
        for measure in titles
        if (ratio := mixed_ratio(row.group)) is not None
    )

    def draw(axes: Sequence[Axes], scope: str) -> None:
        for ax, (measure, title) in zip(axes, titles.items(), strict=True):
            for number, (domain, look) in enumerate(looks.items()):
                shift = 0.006 * (number - (len(looks) - 1) / 2)
                line = [
                    (float(point.at("ratio") or 0) + shift, point)
                    for point in points
                    if (point.at("scope"), point.measure, point.at("domain")) == (scope, measure, domain)
                ]
                errorbar(ax, sorted(line, key=lambda mark: mark[0]), look, line="-")
            ax.set_title(title)
            ax.set_ylim(limits(points, measure))
        axes[-1].set_xlabel("share answered as the base model would")

    return Plot(
        name="ratios",
        title="From INCOMPATIBLE (0) to SELF-ALIGNING (1)",
        caption="The same questions, a growing share of them answered as the base model would; 95 % intervals over "
        f"{_over(experiment)}. Points are shifted sideways so that their intervals do not overlap.",
        rows=[point.row() for point in points],
        panels=_panels(point.at("scope") for point in points),
        looks=tuple(looks.values()),
        heights=(1.7, 1.7, 1.7),
        draw=draw,
    )


def _flips(rows: Sequence[Result], experiment: Experiment) -> Plot:
    bars: list[tuple[Result, int, dict[str, float]]] = []
    for group in _unmixed(experiment):
        for scope in SCOPES:
            for domain in experiment.domains:
                runs = [row for row in rows if (row.group, row.scope, row.domain) == (group, scope, domain)]
                if runs:
                    n = sum(row.n for row in runs)
                    bars.append((runs[0], n, {name: sum(row.flips[name] for row in runs) / n for name in FLIPS}))

    def draw(axes: Sequence[Axes], scope: str) -> None:
        here = [(number, run, shares) for number, (run, _, shares) in enumerate(bars) if run.scope == scope]
        left = [0.0] * len(here)
        for name, (colour, _) in FLIPS.items():
            width = [shares[name] for *_, shares in here]
            drawn = axes[0].barh(range(len(here)), width, left=left, color=colour, height=0.7)
            for bar, (number, *_) in zip(drawn, here, strict=True):
                bar.set_gid(f"{name}-mark-{number}")
            left = [a + b for a, b in zip(left, width, strict=True)]
        several = len(experiment.domains) > 1
        labels = [group_title(run.group) + (f", {run.domain}" if several else "") for _, run, _ in here]
        axes[0].set_yticks(range(len(here)), labels, fontsize=7)
        axes[0].invert_yaxis()
        axes[0].grid(axis="y", visible=False)
        axes[0].grid(axis="x", visible=True)
        axes[0].tick_params(axis="y", length=0)
        axes[0].set_title("share of questions")
        axes[0].set_xlim(0, 1.03 * max((sum(shares.values()) for _, _, shares in bars), default=1.0) or 1.0)

    return Plot(
        name="flips",
        title="Which answers turned",
        caption="Base model with 5 shots against the tuned model: shares of all questions whose chosen option changed. "
        "Accuracy alone shows only the difference of the outer two.",
        rows=[
            {"model": run.model, "domain": run.domain, "group": run.group, "scope": run.scope, "n": n, **shares}
            for run, n, shares in bars
        ],
        panels=_panels(run.scope for run, _, _ in bars),
        looks=tuple(Look(label, colour, "s") for colour, label in FLIPS.values()),
        heights=(0.5 + 0.2 * len(_unmixed(experiment)) * len(experiment.domains),),
        draw=draw,
    )


def _consistency(rows: Sequence[Mean], partial: Sequence[RunsCorrelation]) -> Plot:
    looks = {group: _look(group) for group in LOOKS if any(row.group == group for row in rows)}
    if any(row.group not in LOOKS for row in rows):
        looks["mixed"] = Look("MIXED", *OTHER)
    correlations = {(row.scope, row.variant): row for row in partial}
    points = [_point(row, "tuned", measure) for row in rows for measure in ("spearman", "accuracy")]

    def draw(axes: Sequence[Axes], scope: str) -> None:
        (ax,) = axes
        for group, look in looks.items():
            known = [
                (row.tuned["spearman"].value, row.tuned["accuracy"].value)
                for row in rows
                if row.scope == scope and (row.group == group or (group == "mixed" and row.group not in LOOKS))
            ]
            marks = [(x, y) for x, y in known if x is not None and y is not None]
            places = [[mark[end] for mark in marks] for end in (0, 1)]
            ax.plot(*places, color=look.colour, marker=look.marker, linestyle="", markersize=4.5)
        lines = ["accuracy"]
        for variant, name in (("standard", "given base accuracy"), ("given_dose", "given domain and ratio")):
            found = correlations.get((scope, variant))
            known_value = found is not None and found.value is not None
            value = f"{signed(found.value)}, p {p_value(found.p)}" if found and known_value else DASH
            lines.append(f"{name} {value}")
        ax.set_title("\n".join(lines), fontsize=7.5)
        ax.set_xlim(_value_limits(points, "spearman"))
        ax.set_ylim(_value_limits(points, "accuracy"))
        ax.set_xlabel(TITLES["spearman"])
        ax.grid(axis="x", visible=True)

    return Plot(
        name="consistency",
        title="Does consistency go with accuracy?",
        caption="Each mark is a tuned model, or the mean of its seeds. Spearman's partial correlation over INCOMPATIBLE, "
        "MIXED and SELF-ALIGNING: given the base model's accuracy, and within domains given the mixing ratio.",
        rows=[
            {
                "model": row.model,
                "domain": row.domain,
                "group": row.group,
                "scope": row.scope,
                "spearman": row.tuned["spearman"].value,
                "accuracy": row.tuned["accuracy"].value,
                "base_accuracy": row.base["accuracy"].value,
            }
            for row in rows
        ],
        panels=_panels(row.scope for row in rows),
        looks=tuple(looks.values()),
        heights=(2.2,),
        draw=draw,
    )


def _value_limits(points: Iterable[Point], measure: str) -> tuple[float, float]:
    """One scale for all panels, without room for intervals."""
    return limits((replace(point, ci_low=None, ci_high=None) for point in points), measure)


def _training(saved: Sequence[Checkpoint], runs: Sequence[Result], experiment: Experiment) -> Plot:
    """Means over domains and seeds after each epoch; before the first, the base model asked without shots."""
    last = 1 + max(row.epoch for row in saved)
    members: dict[tuple[str, str, int], list[Mean]] = {}
    for epoch, row in [
        *((row.epoch, row) for row in saved),
        *((last, row) for row in runs),
        *((0, row) for row in runs),
    ]:
        members.setdefault((row.group, row.scope, epoch), []).append(row)
    points = []
    for (group, scope, epoch), found in members.items():
        # A mean over other runs would be another line.
        if len(found) < len(members[group, scope, last]):
            continue
        place: dict[str, str | int | float | None] = {"model": found[0].model, "group": group, "scope": scope}
        place |= {"epoch": epoch, "runs": len(found)}
        for measure in TITLES:
            parts = [row.tuned if epoch else row.base_zero_shot for row in found]
            values = [value for part in parts if (value := part[measure].value) is not None]
            points.append(Point(place, measure, sum(values) / len(values) if values else None))
    points = numbered(points)
    looks = {group: _look(group) for group in _unmixed(experiment)}

    def draw(axes: Sequence[Axes], scope: str) -> None:
        axes[-1].set_xlabel("epochs of training")
        for ax, (measure, title) in zip(axes, TITLES.items(), strict=True):
            for group, look in looks.items():
                line = [
                    (float(point.at("epoch") or 0), point)
                    for point in points
                    if (point.at("group"), point.at("scope"), point.measure) == (group, scope, measure)
                ]
                errorbar(ax, sorted(line, key=lambda mark: mark[0]), look, line="-")
            ax.set_title(title)
            ax.set_ylim(limits(points, measure))
            ax.set_xticks(range(last + 1))

    return Plot(
        name="training",
        title="How fast it happens",
        caption="Means over the runs of each group. Epoch 0 is the base model, asked without shots as the tuned models "
        "are. Intervals of each run are in the table of checkpoints.",
        rows=[point.row() for point in points],
        panels=_panels(point.at("scope") for point in points),
        looks=tuple(looks.values()),
        heights=(1.7, 1.7),
        draw=draw,
    )
