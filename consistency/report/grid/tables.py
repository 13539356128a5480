"""The tables of an experiment, from `report.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from consistency.report.content import Row, Table
from consistency.report.formats.numbers import DASH, change, fixed, number, p_value, percent
from consistency.report.grid.estimates import MEAN
from consistency.report.grid.verdict import group_title
from consistency.statistics.partial_correlation import FEW_RUNS
from consistency.tasks.scopes import SCOPES

Document = Mapping[str, Any]
MEASURE_TITLES = {"accuracy": "accuracy", "spearman": "ranking correlation", "kl": "KL"}
FIGURE_HEADS = (
    "base, 5-shot (%)", "base, 0-shot (%)", "tuned (%)", "change (points)", "rank correlation", "KL (nats)",
)  # fmt: skip


def _figures(row: Row) -> tuple[str, ...]:
    return (
        percent(row["base"]["accuracy"]),
        percent(row["base_zero_shot"]["accuracy"]),
        percent(row["tuned"]["accuracy"]),
        change(row["change"]["accuracy"]),
        number(row["tuned"]["spearman"]),
        number(row["tuned"]["kl"]),
    )


def _model(document: Document, row: Row) -> tuple[str, ...]:
    """The model's name where there are several."""
    return (row["model"],) if len(document["experiment"]["models"]) > 1 else ()


def _head(document: Document, *names: str) -> tuple[str, ...]:
    return ("model", *names) if len(document["experiment"]["models"]) > 1 else names


def _one_seed(document: Document) -> int | None:
    """The seed of the rows that are told: the only one, or None for their mean."""
    seeds = document["experiment"]["seeds"]
    return seeds[0] if len(seeds) == 1 else None


def _over(document: Document) -> str:
    experiment = document["experiment"]
    domains, seeds = len(experiment["domains"]), len(experiment["seeds"])
    parts = [f"{domains} domains"] * (domains > 1) + [f"{seeds} seeds"] * (seeds > 1)
    return f"Means over {' and '.join(parts)}. " if parts else ""


def means_table(document: Document) -> Table:
    """Each group in each scope, over all domains and seeds."""
    experiment = document["experiment"]
    domain = MEAN if len(experiment["domains"]) > 1 else experiment["domains"][0]
    rows = [*document["results"], *document["means"]]
    chosen = [row for row in rows if (row["domain"], row["seed"]) == (domain, _one_seed(document))]
    chosen.sort(
        key=lambda row: (
            experiment["models"].index(row["model"]),
            SCOPES.index(row["scope"]),
            experiment["groups"].index(row["group"]),
        )
    )
    return Table(
        name="means",
        title="What the groups did",
        caption=f"{_over(document)}HOMO: held-out questions of the domain; ID: subjects that belong to it; OOD: all "
        "others. The base model is also asked without shots in the tuned models' format, so that a change of format is "
        "not taken for a change of knowledge. Rank correlation and KL(base ‖ tuned) compare with the base model, 5-shot. "
        "In brackets: 95 % intervals.",
        head=_head(document, "scope", "group", "questions", *FIGURE_HEADS),
        rows=tuple(
            (
                *_model(document, row),
                row["scope"].upper(),
                group_title(row["group"]),
                str(row["n"]),
                *_figures(row),
            )
            for row in chosen
        ),
        labels=len(_head(document, "scope", "group")),
        data=document["means"] or chosen,
    )


def main_table(document: Document) -> Table:
    """The paper's main table: accuracy of each group, for each domain and scope."""
    experiment = document["experiment"]
    rows = [row for row in [*document["results"], *document["means"]] if row["seed"] == _one_seed(document)]
    at = {(row["model"], row["group"], row["domain"], row["scope"]): row for row in rows}
    places = [(domain, scope) for domain in experiment["domains"] for scope in SCOPES]
    places = [place for place in places if any((row["domain"], row["scope"]) == place for row in rows)]
    data: list[Row] = []
    told: list[tuple[str, ...]] = []
    for model in experiment["models"]:
        # Every run of a domain has the same base model, asked the same questions.
        first = {(row["domain"], row["scope"]): row for row in reversed(rows) if row["model"] == model}
        lines = {
            "base, 5-shot": {place: row["base"]["accuracy"] for place, row in first.items()},
            "base, 0-shot": {place: row["base_zero_shot"]["accuracy"] for place, row in first.items()},
        }
        for group in experiment["groups"]:
            found = {place: at.get((model, group, *place)) for place in places}
            lines[group_title(group)] = {place: row["tuned"]["accuracy"] for place, row in found.items() if row}
        for name, figures in lines.items():
            values = [fixed(_hundred(figures[place]["value"]), 1) if place in figures else DASH for place in places]
            told.append((*((model,) if len(experiment["models"]) > 1 else ()), name, *values))
            data += [
                {"model": model, "group": name, "domain": domain, "scope": scope, "accuracy": figures[domain, scope]}
                for domain, scope in places
                if (domain, scope) in figures
            ]
    return Table(
        name="main",
        title="Accuracy by domain and scope",
        caption="Per cent of the questions answered right; tuned models are asked without shots. Intervals are in the CSV"
        f"{' and in the table of all runs' if _one_seed(document) is not None else ''}.",
        head=_head(document, "group", *(f"{domain} {scope.upper()}" for domain, scope in places)),
        rows=tuple(told),
        labels=len(_head(document, "group")),
        data=data,
    )


def _hundred(value: float | None) -> float | None:
    return None if value is None else 100 * value


def contrast_table(document: Document) -> Table:
    """The differences between groups, over all domains and seeds and in each domain."""
    rows = []
    for row in document["contrasts"]:
        if row["seed"] != _one_seed(document):
            continue
        told = change(row["difference"]) if row["measure"] == "accuracy" else number(row["difference"])
        unit = " (points)" if row["measure"] == "accuracy" else " (nats)" if row["measure"] == "kl" else ""
        rows.append(
            (
                *_model(document, row),
                f"{group_title(row['minuend'])} − {group_title(row['subtrahend'])}",
                MEASURE_TITLES[row["measure"]] + unit,
                row["scope"].upper(),
                row["domain"],
                told,
                p_value(row["p"]),
                p_value(row["p_holm"]),
                {True: "overlap", False: "apart", None: DASH}[row["intervals_overlap"]],
            )
        )
    return Table(
        name="contrasts",
        title="Differences between groups",
        caption="Paired: both tuned models answered the same questions. p: t test of no difference; Holm: corrected "
        "for all rows of the same kind (single domains, or means). The last column says whether the two groups' own "
        "intervals overlap, a stricter question than whether the difference excludes 0.",
        head=_head(document, "groups", "measure", "scope", "domain", "difference", "p", "p (Holm)", "intervals"),
        rows=tuple(rows),
        labels=len(_head(document, "groups", "measure", "scope", "domain")),
        data=document["contrasts"],
        folded=len(rows) > 30,
    )


def correlation_table(document: Document) -> Table:
    """The partial correlation of each model and scope, standard and as the paper computes it."""
    rows = []
    for row in document["partial_correlations"]:
        variant = "paper's" if row["x"].endswith("_paper") else "standard"
        told = [f"{DASH} ({row['reason']})", DASH, DASH]
        if row["value"] is not None:
            mark = "*" if variant == "standard" and row["n"] < FEW_RUNS else ""
            told = [number(row) + mark, p_value(row["p"]), p_value(row["robust_p"])]
        rows.append((row["model"], row["scope"].upper(), variant, f"{row['n']}", *told))
    return Table(
        name="partial_correlations",
        title="Does consistency go with accuracy?",
        caption="Spearman partial correlation of ranking correlation and tuned accuracy, given base accuracy, over "
        "the runs of INCOMPATIBLE, MIXED and SELF-ALIGNING (means over seeds). The paper's variant ranks the residuals "
        "again, so its p ignores the control; the robust p keeps what it says with few runs. Runs of one domain share "
        "their questions. *: with so few runs the interval covers less than it says around strong correlations.",
        head=("model", "scope", "variant", "runs", "partial correlation", "p", "p (robust)"),
        rows=tuple(rows),
        labels=3,
        data=document["partial_correlations"],
    )


def run_table(document: Document) -> Table:
    """Every run in every scope."""
    return _runs(
        document,
        "results",
        "Every run",
        "The CSV has all digits and more measures; every question is in items.parquet.",
    )


def checkpoint_table(document: Document) -> Table:
    """Every run after each epoch but the last, which is the result."""
    return _runs(
        document,
        "checkpoints",
        "After each epoch",
        "The models as they were after an epoch of their training; the last epoch is in the table of all runs. "
        "Every question is in checkpoints.parquet.",
    )


def _runs(document: Document, name: str, title: str, caption: str) -> Table:
    rows = document[name]
    epochs = ("epoch",) if any("epoch" in row for row in rows) else ()
    at = _head(document, "domain", "group", "seed", *epochs, "scope")
    return Table(
        name=name,
        title=title,
        caption=caption,
        head=(*at, "questions", *FIGURE_HEADS),
        rows=tuple(
            (
                *_model(document, row),
                row["domain"],
                group_title(row["group"]),
                str(row["seed"]),
                *(str(row[key]) for key in epochs),
                row["scope"].upper(),
                str(row["n"]),
                *_figures(row),
            )
            for row in rows
        ),
        labels=len(at),
        data=rows,
        folded=True,
    )


def seed_table(document: Document) -> Table:
    """What the seeds changed."""
    rows = []
    for row in document["seed_summary"]:
        told = [
            f"{number(row[measure]) if measure != 'accuracy' else percent(row[measure])}, sd "
            f"{fixed(_hundred(row[measure]['sd']), 1) if measure == 'accuracy' else fixed(row[measure]['sd'])}"
            for measure in MEASURE_TITLES
        ]
        rows.append((*_model(document, row), row["domain"], group_title(row["group"]), row["scope"].upper(), *told))
    return Table(
        name="seed_summary",
        title="What the seeds changed",
        caption="Mean over seeds with its 95 % interval, and standard deviation of the seeds' values.",
        head=_head(document, "domain", "group", "scope", "tuned (%)", "rank correlation", "KL (nats)"),
        rows=tuple(rows),
        labels=len(_head(document, "domain", "group", "scope")),
        data=document["seed_summary"],
        folded=True,
    )
