"""A report for people: one HTML page without any other file, and the same tables as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from consistency.partial_correlation import FEW_RUNS
from consistency.report.estimates import MEAN, Row
from consistency.report.figures import Drawing
from consistency.report.verdict import group_title, points

Document = Mapping[str, Any]
MEASURE_TITLES = {"accuracy": "accuracy", "rank_pearson": "ranking correlation", "kl": "KL"}
DASH = "–"


def html(document: Document, drawings: Sequence[Drawing]) -> str:
    """The page: verdict, main table, figures, contrasts, every run, and where all of it comes from.

    Everything that stands in the document is escaped; only the drawings enter as they are.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files(__package__).joinpath("report.html.j2").read_text(encoding="utf-8"))
    # The panels are our own drawings, whose texts matplotlib has escaped.
    figures = [(drawing, [Markup(panel) for panel in drawing.panels.values()]) for drawing in drawings]
    tables = [main_table(document), contrast_table(document), correlation_table(document), run_table(document)]
    return str(template.render(document=document, figures=figures, tables=tables, title=group_title)) + "\n"


def markdown(document: Document) -> str:
    """The same sentences and tables as Markdown."""
    lines = [
        f"# {_cell(document['experiment']['name'])}",
        "",
        document["verdict"]["sentence"],
        "",
        document["intervals"],
        "",
    ]
    lines += [f"- {_cell(note)}" for note in document["notes"]]
    for table in (main_table(document), contrast_table(document), correlation_table(document), run_table(document)):
        lines += ["", f"## {table['title']}", "", table["caption"], ""]
        lines.append("| " + " | ".join(map(_cell, table["head"])) + " |")
        lines.append("|" + "---|" * len(table["head"]))
        lines += ["| " + " | ".join(map(_cell, row)) + " |" for row in table["rows"]]
    return "\n".join([*lines, "", f"    {document['signature']}", ""])


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def percent(figure: Row) -> str:
    """An accuracy with its interval, in percent.

    Examples
    --------
    >>> percent({"value": 0.536, "ci_low": 0.474, "ci_high": 0.598})
    '53.6 [47.4, 59.8]'
    >>> percent({"value": None, "ci_low": None, "ci_high": None})
    '–'
    """
    return _told(figure, lambda x: f"{100 * x:.1f}".replace("-", "−"))


def number(figure: Row) -> str:
    """A correlation or a divergence with its interval."""
    return _told(figure, lambda x: f"{x:.2f}".replace("-", "−"))


def change(figure: Row) -> str:
    """A difference of accuracies with its interval, in percentage points."""
    return _told(figure, points)


def _told(figure: Row, form: Any) -> str:
    if figure["value"] is None:
        return DASH
    if figure["ci_low"] is None:
        return str(form(figure["value"]))
    return f"{form(figure['value'])} [{form(figure['ci_low'])}, {form(figure['ci_high'])}]"


def p_value(p: float | None) -> str:
    """A p-value as papers print it.

    Examples
    --------
    >>> p_value(0.00003), p_value(0.0421), p_value(None)
    ('< .001', '.042', '–')
    """
    if p is None:
        return DASH
    return "< .001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def _figures(row: Row) -> list[str]:
    return [
        percent(row["base"]["accuracy"]),
        percent(row["base_zero_shot"]["accuracy"]),
        percent(row["tuned"]["accuracy"]),
        change(row["change"]["accuracy"]),
        number(row["tuned"]["rank_pearson"]),
        number(row["tuned"]["kl"]),
    ]


FIGURE_HEADS = ["base, 5-shot (%)", "base, 0-shot (%)", "tuned (%)", "change (points)", "rank correlation", "KL (nats)"]


def _averaged(document: Document) -> list[Row]:
    """The rows with the widest mean that the experiment has: over domains, over seeds, or single runs."""
    experiment = document["experiment"]
    domain = MEAN if len(experiment["domains"]) > 1 else experiment["domains"][0]
    seed = None if len(experiment["seeds"]) > 1 else experiment["seeds"][0]
    rows = [*document["results"], *document["means"]]
    return [row for row in rows if (row["domain"], row["seed"]) == (domain, seed)]


def _over(document: Document) -> str:
    experiment = document["experiment"]
    domains, seeds = len(experiment["domains"]), len(experiment["seeds"])
    parts = [f"{domains} domains"] * (domains > 1) + [f"{seeds} seeds"] * (seeds > 1)
    return f"Means over {' and '.join(parts)}. " if parts else ""


def main_table(document: Document) -> dict[str, Any]:
    """Each group in each scope, over all domains and seeds."""
    several = len(document["experiment"]["models"]) > 1
    rows = [
        [
            *([row["model"]] if several else []),
            row["scope"].upper(),
            group_title(row["group"]),
            f"{row['n']}",
            *_figures(row),
        ]
        for row in sorted(_averaged(document), key=lambda row: _order(document, row))
    ]
    return {
        "title": "What the groups did",
        "caption": f"{_over(document)}HOMO: held-out questions of the domain; ID: subjects that belong to it; OOD: all "
        "others. The base model is also asked without shots in the tuned models' format, so that a change of format is "
        "not taken for a change of knowledge. Rank correlation and KL(base ‖ tuned) compare with the base model, 5-shot. "
        "In brackets: 95 % intervals.",
        "head": [*(["model"] if several else []), "scope", "group", "questions", *FIGURE_HEADS],
        "labels": 2 + several,
        "rows": rows,
    }


def _order(document: Document, row: Row) -> tuple[int, ...]:
    experiment = document["experiment"]
    scopes = ("homo", "id", "ood")
    return (
        experiment["models"].index(row["model"]),
        scopes.index(row["scope"]),
        experiment["groups"].index(row["group"]),
    )


def contrast_table(document: Document) -> dict[str, Any]:
    """The differences between groups, over all domains and seeds and in each domain."""
    experiment = document["experiment"]
    several = len(experiment["models"]) > 1
    seed = None if len(experiment["seeds"]) > 1 else experiment["seeds"][0]
    rows = []
    for row in document["contrasts"]:
        if row["seed"] != seed:
            continue
        told = change(row["difference"]) if row["measure"] == "accuracy" else number(row["difference"])
        unit = " (points)" if row["measure"] == "accuracy" else " (nats)" if row["measure"] == "kl" else ""
        rows.append(
            [
                *([row["model"]] if several else []),
                f"{group_title(row['minuend'])} − {group_title(row['subtrahend'])}",
                MEASURE_TITLES[row["measure"]] + unit,
                row["scope"].upper(),
                row["domain"],
                told,
                p_value(row["p"]),
                p_value(row["p_holm"]),
                {True: "overlap", False: "apart", None: DASH}[row["intervals_overlap"]],
            ]
        )
    return {
        "title": "Differences between groups",
        "caption": "Paired: both tuned models answered the same questions. p: t test of no difference; Holm: corrected "
        "for all rows of the same kind (single domains, or means). The last column says whether the two groups' own "
        "intervals overlap, a stricter question than whether the difference excludes 0.",
        "head": [
            *(["model"] if several else []),
            *["groups", "measure", "scope", "domain", "difference", "p", "p (Holm)", "intervals"],
        ],
        "labels": 4 + several,
        "rows": rows,
    }


def correlation_table(document: Document) -> dict[str, Any]:
    """The partial correlation of each model and scope, standard and as the paper computes it."""
    rows = []
    for row in document["partial_correlations"]:
        found = {"value": row["value"], "ci_low": row["ci_low"], "ci_high": row["ci_high"]}
        variant = "paper's" if row["x"].endswith("_paper") else "standard"
        told = [f"{DASH} ({row['reason']})", DASH, DASH]
        if row["value"] is not None:
            mark = "*" if variant == "standard" and row["n"] < FEW_RUNS else ""
            told = [number(found) + mark, p_value(row["p"]), p_value(row["robust_p"])]
        rows.append([row["model"], row["scope"].upper(), variant, f"{row['n']}", *told])
    return {
        "title": "Does consistency go with accuracy?",
        "caption": "Spearman partial correlation of ranking correlation and tuned accuracy, given base accuracy, over "
        "the runs of INCOMPATIBLE, MIXED and SELF-ALIGNING (means over seeds). The paper's variant ranks the residuals "
        "again, so its p ignores the control; the robust p keeps what it says with few runs. Runs of one domain share "
        "their questions. *: with so few runs the interval covers less than it says around strong correlations.",
        "head": ["model", "scope", "variant", "runs", "partial correlation", "p", "p (robust)"],
        "labels": 3,
        "rows": rows,
    }


def run_table(document: Document) -> dict[str, Any]:
    """Every run in every scope."""
    several = len(document["experiment"]["models"]) > 1
    return {
        "title": "Every run",
        "caption": "All digits, and more measures, are in tables/results.csv; every question is in items.parquet.",
        "head": [*(["model"] if several else []), "domain", "group", "seed", "scope", "questions", *FIGURE_HEADS],
        "labels": 4 + several,
        "rows": [
            [
                *([row["model"]] if several else []),
                row["domain"],
                group_title(row["group"]),
                f"{row['seed']}",
                row["scope"].upper(),
                f"{row['n']}",
                *_figures(row),
            ]
            for row in document["results"]
        ],
    }
