"""The tables of a grid's report with and without the prior of the options' letters, and on what explains KL."""

from __future__ import annotations

from consistency.metrics.measures import MEASURE
from consistency.report.content import Table
from consistency.report.formats.numbers import DASH, fixed, formatted
from consistency.report.grid.document import Contrast, Grid, GridReport, RunParts
from consistency.report.grid.tables import marked, marks
from consistency.report.grid.verdict import group_title
from consistency.report.label_cells import CAPTION, label_columns
from consistency.support.text import p_value

_ACCURACY, _CHANGE = MEASURE["accuracy_after"], MEASURE["delta_accuracy"]
_KL, _SPEARMAN = MEASURE["kl"], MEASURE["spearman"]
_LONG = 30
# The columns of the parts of a change: the estimate, its measure, and whether it has a sign.
_PARTS = (
    ("calibrated_before", _ACCURACY, False),
    ("calibrated_after", _ACCURACY, False),
    ("calibrated_change", _CHANGE, True),
    ("prior_change", _CHANGE, True),
    *((f"kl_{part}", _KL, False) for part in ("sharpness", "prior", "rest")),
)


def part_tables(document: GridReport) -> tuple[Table, ...]:
    """The differences between groups with and without the letters' prior, the parts run by run, and the letters answered."""
    if not document.parts:
        return ()
    contrasts = (_contrast_table(document),) if document.calibrated_contrasts else ()
    letters = (_letter_table(document),) if any(row.decomposition.priors for row in document.parts) else ()
    return *contrasts, _run_table(document), *letters


def _contrast_table(document: GridReport) -> Table:
    grid = document.experiment
    raw = {_key(row): row for row in document.contrasts if row.measure == "accuracy"}
    seed = None if len(grid.seeds) > 1 else grid.seeds[0]
    rows = [
        (
            *_model(grid, row.model),
            f"{group_title(row.minuend)} − {group_title(row.subtrahend)}",
            row.scope.upper(),
            row.domain,
            formatted(raw[_key(row)].difference, _CHANGE, sign=True),
            formatted(row.difference, _CHANGE, sign=True),
            p_value(row.p),
            p_value(row.p_holm),
        )
        for row in document.calibrated_contrasts
        if row.seed == seed
    ]
    labels = (*(("model",) if len(grid.models) > 1 else ()), "groups", "scope", "domain")
    return Table(
        name="calibrated_contrasts",
        title="Differences between groups, with and without letter bias",
        caption="Accuracy in points. Corrected: each model's letters are made equally probable over the questions of a "
        "scope. What is left of a difference is about contents, or about letters moved differently from question to question. "
        "p: of no corrected difference; Holm over these differences, apart from those as answered.",
        head=(*labels, "as answered", "corrected for letter bias", "p", "p (Holm)"),
        rows=tuple(rows),
        labels=len(labels),
        data=document.calibrated_contrasts,
        folded=len(rows) > _LONG,
    )


def _run_table(document: GridReport) -> Table:
    grid = document.experiment
    rows = [
        (
            *_place(grid, row),
            str(row.decomposition.estimates["calibrated_change"].n),
            *(marked(row.decomposition.estimates[name], measure, sign=sign) for name, measure, sign in _PARTS),
            fixed(row.decomposition.temperature, 2),
            marked(row.decomposition.estimates["spearman_calibrated"], _SPEARMAN),
        )
        for row in document.parts
    ]
    names = (*(name for name, *_ in _PARTS), "spearman_calibrated")
    shown = (row.decomposition.estimates[name] for row in document.parts for name in names)
    labels = _labels(grid)
    return Table(
        name="parts",
        title="Each change, and what of it is letter bias",
        caption="From the base model with shots to the tuned model, and to the base model without shots: accuracy corrected "
        "for letter bias, its change, the change due to letter bias, and what explains KL(base ‖ tuned): a "
        "temperature, one number for each letter besides, and neither. ρ: ranking correlation corrected for letter bias."
        f"{marks(shown)}",
        head=(
            *(
                *labels,
                "questions",
                "corrected: base (%)",
                "tuned (%)",
                "change (points)",
                "due to letter bias (points)",
            ),
            *("KL: temperature", "KL: letters", "KL: unexplained", "temperature", "ρ"),
        ),
        rows=tuple(rows),
        labels=len(labels),
        data=document.parts,
        folded=len(rows) > _LONG,
    )


def _letter_table(document: GridReport) -> Table:
    found = [(row, prior) for row in document.parts for prior in row.decomposition.priors]
    heads, cells = label_columns([prior for _, prior in found])
    labels = _labels(document.experiment)
    return Table(
        name="letters_answered",
        title="How probable each letter is",
        caption=CAPTION.format(runs="base → tuned"),
        head=(*labels, *heads),
        rows=tuple((*_place(document.experiment, row), *cell) for (row, _), cell in zip(found, cells, strict=True)),
        labels=len(labels),
        data=[{"row": row, "prior": prior} for row, prior in found],
        folded=len(found) > _LONG,
    )


def _key(row: Contrast) -> tuple[object, ...]:
    return row.model, row.domain, row.seed, row.scope, row.minuend, row.subtrahend


def _model(grid: Grid, model: str) -> tuple[str, ...]:
    return (model,) if len(grid.models) > 1 else ()


def _labels(grid: Grid) -> tuple[str, ...]:
    return (*(("model",) if len(grid.models) > 1 else ()), "domain", "group", "seed", "scope")


def _place(grid: Grid, row: RunParts) -> tuple[str, ...]:
    seed = DASH if row.seed is None else str(row.seed)
    group = row.group if row.seed is None else group_title(row.group)
    return *_model(grid, row.model), row.domain, group, seed, row.scope.upper()
