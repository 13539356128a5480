"""The figures of an experiment: what the groups did, the mixes, and the answers that turned."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from consistency.experiment.grid import Experiment
from consistency.report.content import Row
from consistency.report.drawings import Look, Plot, errorbar, limits
from consistency.report.formats.numbers import DASH, p_value, signed
from consistency.report.grid.estimates import MEAN
from consistency.report.grid.verdict import group_title
from consistency.support.figure_style import BLUE, GREEN, GREY, INK, RED, VIOLET
from consistency.tasks.scopes import SCOPES
from consistency.training_data.groups import mixed_ratio

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOOKS = {"harmonious": (BLUE, "o"), "incompatible": (RED, "s"), "self_aligning": (GREEN, "D")}
OTHER = (VIOLET, "^")
DOMAIN_LOOKS = ((BLUE, "o"), (RED, "s"), (GREEN, "D"), (VIOLET, "^"))
FLIPS = {
    "harmful": (RED, "right → wrong"),
    "wrong_to_wrong": (GREY, "wrong → other wrong"),
    "beneficial": (BLUE, "wrong → right"),
}
MEASURES = {"accuracy": "accuracy", "spearman": "ranking correlation with base"}
DIVERGENCE = {"kl": "KL(base ‖ tuned), nats"}


def grid_plots(document: dict[str, Any], experiment: Experiment) -> dict[str, list[Plot]]:
    """What to draw of an experiment, by section: "groups", "flips", "ratios", "consistency", "training".

    Parameters
    ----------
    document : dict
        `report.json`.
    experiment : Experiment

    Returns
    -------
    dict of str to list of Plot
        One plot for each model, whose name follows the plot's where there are several.
    """
    plots: dict[str, list[Plot]] = {"groups": [], "flips": [], "ratios": [], "consistency": [], "training": []}
    for model in experiment.models:
        runs = [row for row in document["results"] if row["model"] == model]
        shown = runs
        if len(experiment.seeds) > 1:
            of_seeds = [row for row in document["means"] if row["seed"] is None and row["domain"] != MEAN]
            shown = [row for row in of_seeds if row["model"] == model]
        partial = [row for row in document["partial_correlations"] if row["model"] == model]
        made = {"groups": _groups(shown, experiment), "flips": _flips(runs, experiment)}
        if any(group.startswith("mixed_") for group in experiment.groups):
            made["ratios"] = _ratios(shown, experiment)
        made["consistency"] = _consistency(shown, partial)
        saved = [row for row in document["checkpoints"] if row["model"] == model]
        if saved:
            made["training"] = _training(saved, runs, experiment)
        for section, plot in made.items():
            plots[section].append(plot if len(experiment.models) == 1 else _named(plot, model))
    return plots


def _named(plot: Plot, model: str) -> Plot:
    name = f"{plot.name}_{re.sub(r'[^A-Za-z0-9.-]+', '_', model)}"
    return replace(plot, name=name, title=f"{plot.title} ({model})")


def _panels(rows: Sequence[Row]) -> dict[str, str]:
    return {scope: scope.upper() for scope in SCOPES if any(row["scope"] == scope for row in rows)}


def _plain(experiment: Experiment) -> list[str]:
    """The groups that are no mixes, or all where there are only mixes."""
    return [group for group in experiment.groups if not group.startswith("mixed_")] or list(experiment.groups)


def _look(group: str) -> Look:
    return Look(group_title(group), *LOOKS.get(group, OTHER))


def _taken(row: Row, part: str, measure: str) -> Row:
    """One mark's numbers: where it stands, and a figure."""
    keys = ("model", "domain", "group", "scope")
    return {key: row[key] for key in keys} | {"part": part, "measure": measure, "n": row["n"], **row[part][measure]}


def _groups(rows: Sequence[Row], experiment: Experiment) -> Plot:
    plain = _plain(experiment)
    looks = {group: _look(group) for group in plain}
    base = Look("base model, 5-shot", INK, "_")
    taken = [_taken(row, "tuned", measure) for row in rows if row["group"] in plain for measure in MEASURES]
    # Every run of a domain has the same base model, asked the same questions.
    first = {(row["domain"], row["scope"]): row for row in reversed(rows)}
    taken += [_taken(row, "base", "accuracy") | {"group": "base"} for row in first.values()]

    def draw(axes: Sequence[Axes], scope: str) -> None:
        for ax, (measure, title) in zip(axes, MEASURES.items(), strict=True):
            here = [row for row in taken if row["scope"] == scope and row["measure"] == measure]
            for number, (group, look) in enumerate(looks.items()):
                offset = 0.2 * (number - (len(looks) - 1) / 2)
                points = [
                    (experiment.domains.index(row["domain"]) + offset, row) for row in here if row["group"] == group
                ]
                errorbar(ax, points, look)
            for row in here:
                if row["group"] == "base" and row["value"] is not None:
                    x = experiment.domains.index(row["domain"])
                    ax.hlines(row["value"], x - 0.4, x + 0.4, color=INK, linewidth=1.2)
            ax.set_title(title)
            ax.set_ylim(limits(taken, measure))
            ax.set_xticks(range(len(experiment.domains)), experiment.domains)
            ax.set_xlim(-0.6, len(experiment.domains) - 0.4)
            ax.tick_params(axis="x", length=0, labelsize=7.5)

    seeds = "" if len(experiment.seeds) == 1 else f", mean of {len(experiment.seeds)} seeds"
    return Plot(
        name="groups",
        title="What each group left of the model's knowledge",
        caption=f"Tuned models asked without shots{seeds}; bars are 95 % intervals over questions. The line is the base "
        "model's accuracy with 5 shots. Ranking correlation 1: every question's options stand in the base model's order.",
        rows=taken,
        panels=_panels(taken),
        looks=(*looks.values(), base),
        heights=(1.9, 1.9),
        draw=draw,
    )


def _ratios(rows: Sequence[Row], experiment: Experiment) -> Plot:
    names = experiment.domains
    looks = {domain: Look(domain, *DOMAIN_LOOKS[i % len(DOMAIN_LOOKS)]) for i, domain in enumerate(names)}
    measures = MEASURES | DIVERGENCE
    taken = [
        _taken(row, "tuned", measure) | {"ratio": float(ratio)}
        for row in rows
        for measure in measures
        if (ratio := mixed_ratio(row["group"])) is not None
    ]

    def draw(axes: Sequence[Axes], scope: str) -> None:
        for ax, (measure, title) in zip(axes, measures.items(), strict=True):
            for number, (domain, look) in enumerate(looks.items()):
                keys = (scope, measure, domain)
                line = [row for row in taken if (row["scope"], row["measure"], row["domain"]) == keys]
                shift = 0.006 * (number - (len(looks) - 1) / 2)
                points = sorted(((row["ratio"] + shift, row) for row in line), key=lambda point: point[0])
                errorbar(ax, points, look, line="-")
            ax.set_title(title)
            ax.set_ylim(limits(taken, measure))
        axes[-1].set_xlabel("share answered as the base model would")

    return Plot(
        name="ratios",
        title="From INCOMPATIBLE (0) to SELF-ALIGNING (1)",
        caption="The same questions, a growing share of them answered as the base model would; 95 % intervals over "
        "questions. Domains stand a little beside each other so that their intervals can be seen.",
        rows=taken,
        panels=_panels(taken),
        looks=tuple(looks.values()),
        heights=(1.7, 1.7, 1.7),
        draw=draw,
    )


def _flips(rows: Sequence[Row], experiment: Experiment) -> Plot:
    plain = _plain(experiment)
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

    return Plot(
        name="flips",
        title="Which answers turned",
        caption="Base model with 5 shots against the tuned model: shares of all questions whose chosen option changed. "
        "Accuracy alone shows only the difference of the outer two.",
        rows=taken,
        panels=_panels(taken),
        looks=tuple(Look(label, colour, "s") for colour, label in FLIPS.values()),
        heights=(0.5 + 0.2 * len(plain) * len(experiment.domains),),
        draw=draw,
    )


def _ends(rows: Sequence[Row], name: str) -> tuple[float, float]:
    """One scale for all panels."""
    return limits([{"measure": name, "value": row[name], "ci_low": None, "ci_high": None} for row in rows], name)


def _consistency(rows: Sequence[Row], partial: Sequence[Row]) -> Plot:
    keys = ("model", "domain", "group", "scope")
    taken = [
        {key: row[key] for key in keys}
        | {"spearman": row["tuned"]["spearman"]["value"], "accuracy": row["tuned"]["accuracy"]["value"]}
        | {"base_accuracy": row["base"]["accuracy"]["value"]}
        for row in rows
    ]
    looks = {group: _look(group) for group in LOOKS if any(row["group"] == group for row in rows)}
    if any(row["group"] not in LOOKS for row in rows):
        looks["mixed"] = Look("MIXED", *OTHER)
    told = {(row["scope"], row["variant"]): row for row in partial}

    def draw(axes: Sequence[Axes], scope: str) -> None:
        (ax,) = axes
        for group, look in looks.items():
            here = [
                row
                for row in taken
                if row["scope"] == scope and (row["group"] == group or (group == "mixed" and row["group"] not in LOOKS))
            ]
            known = [row for row in here if None not in (row["spearman"], row["accuracy"])]
            places = [[row[measure] for row in known] for measure in ("spearman", "accuracy")]
            ax.plot(*places, color=look.colour, marker=look.marker, linestyle="", markersize=4.5)
        lines = ["accuracy"]
        for variant, spoken in (("standard", "partial correlation"), ("paper", "as the paper computes it")):
            row = told.get((scope, variant))
            value = DASH if row is None or row["value"] is None else f"{signed(row['value'])}, p {p_value(row['p'])}"
            lines.append(f"{spoken} {value}")
        ax.set_title("\n".join(lines), fontsize=7.5)
        ax.set_xlim(_ends(taken, "spearman"))
        ax.set_ylim(_ends(taken, "accuracy"))
        ax.set_xlabel("ranking correlation with base")
        ax.grid(axis="x", visible=True)

    return Plot(
        name="consistency",
        title="Does consistency go with accuracy?",
        caption="Each mark is a tuned model, or the mean of its seeds. Partial correlation: Spearman's, given the base "
        "model's accuracy, over INCOMPATIBLE, MIXED and SELF-ALIGNING, standard and as the paper computes it.",
        rows=taken,
        panels=_panels(taken),
        looks=tuple(looks.values()),
        heights=(2.2,),
        draw=draw,
    )


def _training(saved: Sequence[Row], runs: Sequence[Row], experiment: Experiment) -> Plot:
    """Means over domains and seeds after each epoch; before the first, the base model asked without shots."""
    last = 1 + max(row["epoch"] for row in saved)
    rows = [*saved, *({**row, "epoch": last} for row in runs), *({**row, "epoch": 0} for row in runs)]
    members: dict[tuple[str, str, int], list[Row]] = {}
    for row in rows:
        members.setdefault((row["group"], row["scope"], row["epoch"]), []).append(row)
    taken = []
    for (group, scope, epoch), found in members.items():
        # A mean over other runs would be another line.
        if len(found) < len(members[group, scope, last]):
            continue
        part = "tuned" if epoch else "base_zero_shot"
        at = {"model": found[0]["model"], "group": group, "scope": scope, "epoch": epoch, "runs": len(found)}
        for measure in MEASURES:
            values = [row[part][measure]["value"] for row in found if row[part][measure]["value"] is not None]
            taken.append(at | {"measure": measure, "value": sum(values) / len(values) if values else None})
    looks = {group: _look(group) for group in _plain(experiment)}

    def draw(axes: Sequence[Axes], scope: str) -> None:
        for ax, (measure, title) in zip(axes, MEASURES.items(), strict=True):
            for group, look in looks.items():
                line = [row for row in taken if (row["group"], row["scope"], row["measure"]) == (group, scope, measure)]
                known = sorted((row["epoch"], row["value"]) for row in line if row["value"] is not None)
                places = [[point[end] for point in known] for end in (0, 1)]
                ax.plot(*places, color=look.colour, marker=look.marker, markersize=4.5, linewidth=1)
            ax.set_title(title)
            ax.set_ylim(_ends([row for row in taken if row["measure"] == measure], "value"))
            ax.set_xticks(range(last + 1))
        axes[-1].set_xlabel("epochs of training")

    return Plot(
        name="training",
        title="How fast it happens",
        caption="Means over the runs of each group. Epoch 0 is the base model, asked without shots as the tuned models "
        "are. Intervals of each run are in the table of checkpoints.",
        rows=taken,
        panels=_panels(taken),
        looks=tuple(looks.values()),
        heights=(1.7, 1.7),
        draw=draw,
    )
