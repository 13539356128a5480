"""The tables of a grid's report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec import UnsetType

from consistency.metrics.measures import MEASURE, Measure
from consistency.report.content import Row, Table
from consistency.report.document import Figure
from consistency.report.formats.numbers import DASH, fixed, formatted
from consistency.report.grid.document import (
    CheckedExplanations,
    Grid,
    GridPairing,
    GridReport,
    LetterSpread,
    Mean,
    TrainingRows,
)
from consistency.report.grid.estimates import CONTRASTED, MEAN
from consistency.report.grid.verdict import group_title
from consistency.statistics.estimates import CAVEATS, Caveat, Estimate
from consistency.statistics.partial_correlation import FEW_RUNS
from consistency.support.text import p_value
from consistency.tasks.scopes import SCOPES

_ACCURACY, _SPEARMAN, _KL = MEASURE["accuracy_after"], MEASURE["spearman"], MEASURE["kl"]
# Of a difference of accuracies, and of the measures that are contrasted.
_CHANGE = MEASURE["delta_accuracy"]
# Of a figure whose interval cannot promise something.
MARK = "†"
HELD_CONSTANT = {
    "paper": "base accuracy, as the paper computes it",
    "standard": "base accuracy",
    "within_domains": "domain",
    "given_dose": "domain and ratio",
    "given_mix": "domain and mix",
}
_DIFFERENCES = {"accuracy": _CHANGE, "spearman": _SPEARMAN, "kl": _KL}
FIGURE_HEADS = (
    *("base, 5-shot (%)", "base, 0-shot (%)", "tuned (%)", "change (points)", _SPEARMAN.heading, _KL.heading),
)


def _figures(row: Mean) -> tuple[str, ...]:
    return (
        marked(row.base["accuracy"], _ACCURACY),
        marked(row.base_zero_shot["accuracy"], _ACCURACY),
        marked(row.tuned["accuracy"], _ACCURACY),
        marked(row.change["accuracy"], _CHANGE),
        marked(row.tuned["spearman"], _SPEARMAN),
        marked(row.tuned["kl"], _KL),
    )


def marked(figure: Figure | Estimate, measure: Measure, *, sign: bool = False) -> str:
    """A figure with its interval, and a mark where there is something that this cannot promise."""
    return formatted(figure, measure, sign=sign) + (MARK if _caveats(figure) else "")


def _caveats(figure: Figure | Estimate) -> Sequence[Caveat]:
    """What a figure's interval cannot promise, or why it has none."""
    return () if figure.value is None or isinstance(figure.warnings, UnsetType) else figure.warnings


def marks(figures: Iterable[Figure | Estimate]) -> str:
    """What the mark means in a table of these figures; nothing where it does not occur."""
    found = dict.fromkeys(caveat for figure in figures for caveat in _caveats(figure))
    return f" {MARK}: {'; or '.join(CAVEATS[caveat] for caveat in found)}." if found else ""


def _shown(rows: Iterable[Mean]) -> Iterator[Figure]:
    """The figures of some rows that a table shows."""
    for row in rows:
        yield from (row.base["accuracy"], row.base_zero_shot["accuracy"], row.change["accuracy"])
        yield from (row.tuned[name] for name in CONTRASTED)


def _model(grid: Grid, model: str) -> tuple[str, ...]:
    """The model's name where there are several."""
    return (model,) if len(grid.models) > 1 else ()


def _head(grid: Grid, *names: str) -> tuple[str, ...]:
    return (*_model(grid, "model"), *names)


def _shown_seed(grid: Grid) -> int | None:
    """The seed of the rows that are shown: the only one, or None for their mean."""
    return grid.seeds[0] if len(grid.seeds) == 1 else None


def _over(grid: Grid) -> str:
    domains, seeds = len(grid.domains), len(grid.seeds)
    parts = [f"{domains} domains"] * (domains > 1) + [f"{seeds} seeds"] * (seeds > 1)
    return f"Means over {' and '.join(parts)}. " if parts else ""


def _over_what(grid: Grid) -> str:
    return (
        " over questions, of one training run of each group"
        if len(grid.seeds) == 1
        else " over training seeds and questions"
    )


def _sampled(grid: Grid) -> str:
    """What intervals and tests of the shown rows take as sampled."""
    if len(grid.seeds) == 1:
        return (
            "Intervals and p take the questions as sampled: they are about these training runs, one of each group, and not about "
            "the recipe, which another seed would show."
        )
    return (
        f"Intervals and p take the {len(grid.seeds)} training runs of each group as sampled, paired by seed, and the questions "
        "as well: they are about the recipe."
    )


def means_table(document: GridReport) -> Table:
    """Each group in each scope, over all domains and seeds."""
    grid = document.experiment
    domain = MEAN if len(grid.domains) > 1 else grid.domains[0]
    rows = [*document.results, *document.means]
    chosen = [row for row in rows if (row.domain, row.seed) == (domain, _shown_seed(grid))]
    chosen.sort(key=lambda row: (grid.models.index(row.model), SCOPES.index(row.scope), grid.groups.index(row.group)))
    labels = _head(grid, "scope", "group")
    return Table(
        name="means",
        title="What the groups did",
        caption=f"{_over(grid)}HOMO: held-out questions of the domain; ID: subjects that belong to it; OOD: all others. The "
        "change is that from the base model asked with 5 shots. The base model is also asked without shots, in the tuned "
        "models' format. A difference between its two results is no change of knowledge. "
        f"{_SPEARMAN.title} and KL(base ‖ tuned) compare with the base model, 5-shot. "
        f"In brackets: 95 % intervals{_over_what(grid)}.{marks(_shown(chosen))}",
        head=(*labels, "questions", *FIGURE_HEADS),
        rows=tuple(
            (*_model(grid, row.model), row.scope.upper(), group_title(row.group), str(row.n), *_figures(row))
            for row in chosen
        ),
        labels=len(labels),
        data=document.means or chosen,
    )


def main_table(document: GridReport) -> Table:
    """The paper's main table: accuracy of each group, for each domain and scope."""
    grid = document.experiment
    rows = [row for row in [*document.results, *document.means] if row.seed == _shown_seed(grid)]
    at = {(row.model, row.group, row.domain, row.scope): row for row in rows}
    places = [(domain, scope) for domain in grid.domains for scope in SCOPES]
    places = [place for place in places if any((row.domain, row.scope) == place for row in rows)]
    data: list[Row] = []
    cells: list[tuple[str, ...]] = []
    for model in grid.models:
        # Every run of a domain has the same base model, asked the same questions.
        first = {(row.domain, row.scope): row for row in reversed(rows) if row.model == model}
        lines = {
            "base, 5-shot": {place: row.base["accuracy"] for place, row in first.items()},
            "base, 0-shot": {place: row.base_zero_shot["accuracy"] for place, row in first.items()},
        }
        for group in grid.groups:
            found = {place: at.get((model, group, *place)) for place in places}
            lines[group_title(group)] = {place: row.tuned["accuracy"] for place, row in found.items() if row}
        for name, figures in lines.items():
            values = [formatted(figures.get(place), _ACCURACY, interval=False) for place in places]
            cells.append((*_model(grid, model), name, *values))
            data += [
                {"model": model, "group": name, "domain": domain, "scope": scope, "accuracy": figures[domain, scope]}
                for domain, scope in places
                if (domain, scope) in figures
            ]
    return Table(
        name="main",
        title="Accuracy by domain and scope",
        caption="Per cent of the questions answered right; tuned models are asked without shots. Intervals are in the CSV"
        f"{' and in the table of all runs' if _shown_seed(grid) is not None else ''}.",
        head=_head(grid, "group", *(f"{domain} {scope.upper()}" for domain, scope in places)),
        rows=tuple(cells),
        labels=len(_head(grid, "group")),
        data=data,
    )


def contrast_table(document: GridReport) -> Table:
    """The differences between groups, over all domains and seeds and in each domain."""
    grid = document.experiment
    rows = []
    shown = [row for row in document.contrasts if row.seed == _shown_seed(grid)]
    for row in shown:
        measure = _DIFFERENCES[row.measure]
        rows.append(
            (
                *_model(grid, row.model),
                f"{group_title(row.minuend)} − {group_title(row.subtrahend)}",
                "accuracy (points)" if row.measure == "accuracy" else measure.heading,
                row.scope.upper(),
                row.domain,
                marked(row.difference, measure, sign=True),
                p_value(row.p),
                p_value(row.p_holm),
                {True: "overlap", False: "apart", None: DASH}[row.intervals_overlap],
            )
        )
    labels = _head(grid, "groups", "measure", "scope", "domain")
    return Table(
        name="contrasts",
        title="Differences between groups",
        caption=f"Paired: both tuned models answered the same questions. {_sampled(grid)} p: test of no difference; Holm: "
        "corrected for all rows of the same kind (single domains, or means). The last column says whether the two groups' own "
        "intervals overlap, a stricter question than whether the difference excludes 0."
        f"{marks(row.difference for row in shown)}",
        head=(*labels, "difference", "p", "p (Holm)", "intervals"),
        rows=tuple(rows),
        labels=len(labels),
        data=document.contrasts,
        folded=len(rows) > 30,
    )


def correlation_table(document: GridReport) -> Table:
    """The partial correlations of each model and scope, by what is held constant."""
    rows = []
    for row in document.partial_correlations:
        cells = [f"{DASH} ({row.reason})", *[DASH] * 3]
        if row.value is not None:
            mark = "*" if row.ci_low is not None and row.n < FEW_RUNS else ""
            figure = Figure(row.value, None, row.ci_low, row.ci_high, 0)
            cells = [formatted(figure, _SPEARMAN) + mark, *map(p_value, (row.p, row.robust_p, row.within_p))]
        rows.append((row.model, row.scope.upper(), HELD_CONSTANT[row.variant], f"{row.n}", f"{row.df}", *cells))
    return Table(
        name="partial_correlations",
        title="Does consistency go with accuracy?",
        caption=f"Spearman partial correlation of {_SPEARMAN.title} and tuned accuracy over the runs of INCOMPATIBLE, MIXED and "
        "SELF-ALIGNING (means over seeds). Base accuracy has one value for each domain; the domain's own effect absorbs it, and "
        "whatever else the runs of a domain share. Ratio: from 0, INCOMPATIBLE, to 1, SELF-ALIGNING, by its rank; where the dose "
        "acts along a curve, that leaves a part of it, and p is too small. Mix: each ratio has an effect of its own. The paper's "
        "variant ranks the residuals again, so its p ignores the control. p (robust) holds its level with few runs; p (permuted) "
        "permutes residuals within domains. *: with so few runs the interval covers less than 95 % around strong correlations.",
        head=(
            "model",
            "scope",
            "held constant",
            "runs",
            "df",
            "partial correlation",
            "p",
            "p (robust)",
            "p (permuted)",
        ),
        rows=tuple(rows),
        labels=3,
        data=document.partial_correlations,
        folded=all(row.value is None for row in document.partial_correlations),
    )


def run_table(document: GridReport) -> Table:
    """Every run in every scope."""
    caption = "The CSV has all digits and more measures; every question is in items.parquet."
    return _runs(document.experiment, document.results, "results", "Every run", caption)


def checkpoint_table(document: GridReport) -> Table:
    """Every run after each epoch but the last, which is the result."""
    caption = (
        "The models as they were after an epoch of their training; the last epoch is in the table of all runs. Every "
        "question is in checkpoints.parquet."
    )
    return _runs(document.experiment, document.checkpoints, "checkpoints", "After each epoch", caption)


def _runs(grid: Grid, rows: Sequence[Mean], name: str, title: str, caption: str) -> Table:
    epochs = ("epoch",) if name == "checkpoints" else ()
    labels = _head(grid, "domain", "group", "seed", *epochs, "scope")
    return Table(
        name=name,
        title=title,
        caption=f"{caption}{marks(_shown(rows))}",
        head=(*labels, "questions", *FIGURE_HEADS),
        rows=tuple(
            (
                *_model(grid, row.model),
                row.domain,
                group_title(row.group),
                str(row.seed),
                *(str(getattr(row, key)) for key in epochs),
                row.scope.upper(),
                str(row.n),
                *_figures(row),
            )
            for row in rows
        ),
        labels=len(labels),
        data=rows,
        folded=True,
    )


def seed_table(document: GridReport) -> Table:
    """The mean and the standard deviation over seeds."""
    grid = document.experiment
    rows = []
    for row in document.seed_summary:
        cells = []
        for name in CONTRASTED:
            figure, measure = getattr(row, name), _ACCURACY if name == "accuracy" else MEASURE[name]
            sd = None if figure.sd is None else measure.scale * figure.sd
            cells.append(f"{formatted(figure, measure)}, sd {fixed(sd, measure.digits)}")
        rows.append((*_model(grid, row.model), row.domain, group_title(row.group), row.scope.upper(), *cells))
    labels = _head(grid, "domain", "group", "scope")
    return Table(
        name="seed_summary",
        title="What the seeds changed",
        caption="Mean over seeds with the 95 % interval of Student's t over the seeds, for these questions, and standard "
        "deviation of the seeds' values.",
        head=(*labels, "tuned (%)", _SPEARMAN.heading, _KL.heading),
        rows=tuple(rows),
        labels=len(labels),
        data=document.seed_summary,
        folded=True,
    )


def pairing_table(pairing: GridPairing) -> Table:
    """The table of included and excluded questions of each run."""
    return Table(
        name="pairing",
        title="What was paired",
        caption="By run: questions answered in all three logs (base model with and without shots, tuned model), those that "
        "two of them hold, documents that could not be paired with the base model's, and tasks that a log lacks.",
        head=("model", "domain", "group", "seed", "questions", "not in all three", "left out", "absent tasks"),
        rows=tuple(
            (
                *(row.model, row.domain, group_title(row.group), str(row.seed)),
                str(sum(row.questions.values())),
                str(row.not_in_all_three_logs),
                str(sum(row.dropped.values())),
                str(len(row.absent_tasks)),
            )
            for row in pairing.runs
        ),
        labels=4,
        data=[msgspec.to_builtins(row) | {"absent_tasks": " ".join(row.absent_tasks)} for row in pairing.runs],
        folded=True,
    )


def _argued(found: CheckedExplanations | None) -> str:
    if found is None:
        return DASH
    return f"{found.passed_first} → {found.passed} of {found.requested}" + (", not used" if found.unread else "")


def _share(lacking: int | None, rows: Mapping[str, int] | None) -> str:
    """How many of the rows with questions lack something, and their share."""
    asked = sum(count for source, count in (rows or {}).items() if source != "general")
    if lacking is None:
        return DASH
    return f"{lacking} ({100 * lacking / asked:.1f} %)" if asked and lacking else str(lacking)


def training_table(rows: Sequence[TrainingRows]) -> Table:
    """What each run was trained on."""
    return Table(
        name="training_rows",
        title="What the models were trained on",
        caption="From the manifests of the groups, the training configs and the hosts. Argued for: of the model's answers that "
        "it was asked to explain, those that its first explanation argues for, and those that one of all its attempts does. The "
        "others are in no group.",
        head=(
            *("model", "domain", "group", "seed", "rows", "without explanation", "without context"),
            *("argued for, first → in the end", "rate", "precision", "template", "hardware", "commit", "SHA-256"),
        ),
        rows=tuple(
            (
                *(row.model, row.domain, group_title(row.group), str(row.seed)),
                ", ".join(f"{count} {source}" for source, count in (row.rows or {}).items()) or "no manifest",
                _share(row.rows_without_explanation, row.rows),
                _share(row.rows_without_context, row.rows),
                _argued(row.explanations),
                DASH if row.learning_rate is None else f"{row.learning_rate:g}",
                *(text or DASH for text in (row.precision, row.template, row.hardware)),
                row.git_commit or DASH,
                (row.sha256 or DASH)[:16],
            )
            for row in rows
        ),
        labels=4,
        data=rows,
        folded=True,
    )


def letters_table(rows: Sequence[TrainingRows]) -> Table:
    """Which letters each group taught."""
    known = [row for row in rows if row.letters is not None]
    return Table(
        name="letters",
        title="Which letters were taught",
        caption="Of the answers that a group teaches, and of the gold options of its questions: the share of each letter, in per "
        "cent. w: Cohen's effect size against letters that are taught equally often (0: even; 1.73: one letter of four), p: "
        "Pearson's test. A model that is trained on uneven letters may learn those; the balanced groups of consistency groups "
        "--balance teach each equally often.",
        head=("model", "domain", "group", "seed", "rows", "taught (%)", "gold (%)", "w", "p"),
        rows=tuple(
            (
                *(row.model, row.domain, group_title(row.group), str(row.seed), str(row.letters.taught.questions)),
                _shares(row.letters.taught),
                DASH if row.letters.gold is None else _shares(row.letters.gold),
                f"{row.letters.taught.effect:.2f}",
                p_value(row.letters.taught.p),
            )
            for row in known
            if row.letters is not None
        ),
        labels=4,
        data=[
            {"model": row.model, "domain": row.domain, "group": row.group, "seed": row.seed, "of": what}
            | msgspec.to_builtins(spread)
            for row in known
            for what in ("taught", "gold", "own")
            if (spread := getattr(row.letters, what)) is not None
        ],
        folded=True,
    )


def _shares(spread: LetterSpread) -> str:
    return " ".join(f"{letter} {100 * share:.0f}" for letter, share in spread.shares.items()) or DASH
