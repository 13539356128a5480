"""A comparison of two runs as a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from consistency.comparison.gaps import UnpairedQuestions
from consistency.comparison.items import LargeItems
from consistency.comparison.left_out import undefined_notes
from consistency.comparison.noise import NoiseComparison
from consistency.comparison.over_rotations import rotation_lines
from consistency.comparison.pairing import PairingReport
from consistency.comparison.part_sentences import part_lines
from consistency.comparison.result import Comparison
from consistency.comparison.section import NO_OPTIONS
from consistency.comparison.sentences import accuracy_name, ended, gold_lines, shift_lines
from consistency.logs.run_config import model_name
from consistency.report import questions
from consistency.report.citations import bibtex
from consistency.report.content import ChangedQuestion, Drawing, Report, Section, Table
from consistency.report.document import Verdict
from consistency.report.drawings import draw_all
from consistency.report.folder import write_folder
from consistency.report.formats.numbers import fixed, points
from consistency.report.items import MOST_ROWS, Columns, ItemsWriter, OfRows, RowsColumn, joined, large_columns
from consistency.report.methods import pair_methods
from consistency.report.pair import metric_tables, option_tables, tables
from consistency.report.pair.document import Comparison as StoredComparison
from consistency.report.pair.document import PairReport
from consistency.report.pair.figures import pair_plots
from consistency.report.pair.first_screen import key_numbers
from consistency.report.pair.part_tables import part_tables
from consistency.report.pair.slice_tables import slice_tables
from consistency.report.pair.texts import LargeTexts, text_columns
from consistency.report.provenance import (
    log_record,
    log_table,
    pair_signature,
    versions,
)
from consistency.support.computed import Computed, computed
from consistency.support.progress_line import Tell, silent
from consistency.support.text import p_equals, shortened

# Sentences in the type of a heading.
MOST_LEADS = 2
# Rows of a table of very many questions that are written at once, with their texts.
_MOST_TEXTS = 1 << 15
# Columns of items that several tables and figures are made of.
_OFTEN = ("kl", "delta_gold", "spearman", "same_top", "correct_before", "correct_after")
_INTERVALS = {
    "fixed": "95 % intervals say how far a figure would move with other questions of the same tasks.",
    "sampled": "95 % intervals say how far a figure would move with other tasks of the kind.",
}
_CHANGED = ("accuracy_before", "accuracy_after", "delta_accuracy")
_NOT_CONTAINED = "They do not contain what another training or another prompt would change."
READING = (
    "How to read it: a small shift to both sides alike is noise of the evaluation, or of another prompt; a heavy tail of "
    "KL together with a gold option that mostly loses probability means that answers to some questions moved far, away from "
    "the right one. Whether knowledge was lost, letters moved, or the prompts differ, these two do not tell: see what of the "
    "change is letter bias, and the settings."
)


def write_comparison(comparison: Comparison, out: str | Path, *, single_file: bool = False) -> Path:
    """Write the report of a comparison.

    Parameters
    ----------
    comparison : Comparison
        As `consistency.compare` returns it; the logs must still be in place.
    out : path-like
        The folder to write: what a grid's report has (docs/report_schema.md), and `comparison.txt`. It appears whole, by
        renaming; an earlier report there is replaced.
    single_file : bool
        Whether `report.html` holds the other files, but for `items.parquet`, so that it can be sent alone.

    Returns
    -------
    pathlib.Path
        `report.html`.

    Raises
    ------
    InputError
        If `out` holds something else, or cannot be written.
    """
    return write_folder(partial(pair_content, comparison), out, single_file=single_file)


def noise_section(noise: NoiseComparison, comparison: Comparison) -> Section:
    """What two runs of the same model show beside a comparison, as a section of its report."""
    return Section("noise", "The noise of two runs", tuple(noise.to_lines(comparison)))


def pair_content(comparison: Comparison, folder: Path, progress: Tell = silent) -> Report:
    """The content of the report; its figures and `items.parquet` are written into the folder."""
    text = comparison.to_text()
    progress("writing the report: texts, tables and figures", 0, 1)
    texts = _large_texts(comparison)
    items, written = _items(comparison, texts)
    with ItemsWriter(folder / "items.parquet") as writer:
        writer.write({}, written)
    document = _document(comparison)
    if written is not items:
        # Those that are needed again and again.
        often = {name: items[name] for name in _OFTEN if name in items}
        every = items
        items = Computed(lambda name: often[name] if name in often else every[name], every)
    options = _with_distributions(items)
    distributions, rankings, each_task = (
        draw_all(plots, folder / "figures") for plots in pair_plots(comparison, options or items)
    )
    logs = (log_table(document.logs), tables.pairing_table(comparison))
    sections = []
    if changed := tables.changed_table(comparison):
        sections.append(Section("changed-most", changed.title, (), (changed,)))
    headline = (tables.headline_table(comparison),) if tables.has_headline(comparison) else ()
    sections.append(Section("headline", "Before and after", tuple(_details(comparison)), headline))
    if parts := part_tables(comparison):
        sections.append(Section("parts", "Letter bias and sharpness", (), parts))
    if any(questions.count_kinds(options or items).values()):
        sections.append(Section("flips", "Which answers turned", (), (tables.flip_table(options or items),)))
    if readability := metric_tables.readability_table(comparison):
        sections.append(Section("readability", readability.title, (), (readability,)))
    measured = (metric_tables.metric_table(comparison), metric_tables.uncompared_table(comparison))
    if found := tuple(filter(None, measured)):
        sections.append(Section("metrics", "Further metrics", (), found))
    if options:
        scopes = list(comparison.by_scope)
        of_kl = (tables.quantile_table(items, scopes), tables.trimmed_table(comparison))
        moved: tuple[Table | Drawing, ...] = (*of_kl, *distributions)
        sections.append(Section("distributions", "How far the distributions moved", _reading(comparison, items), moved))
        sections.append(Section("ranking", "Whether the order of the options held", (), tuple(rankings)))
    options_of = (option_tables.calibration_table(comparison), option_tables.preference_table(comparison))
    if found := tuple(filter(None, options_of)):
        sections.append(Section("options", "Confidence, and favoured options", (), found))
    if groups := metric_tables.group_table(comparison):
        sections.append(Section("groups", groups.title, (), (groups,)))
    if len(comparison.by_task) > 1:
        each: tuple[Table | Drawing, ...] = (*each_task, tables.task_table(comparison))
        sections.append(Section("tasks", "Task by task", (), each))
    if comparison.slices:
        sections.append(Section("slices", "Slices of the questions", (), slice_tables(comparison)))
    shown = questions.strongest(_questions(items, texts), questions.MOST_OF_PAIR)
    harmful = questions.count_kinds(items)["harmful"]
    return Report(
        title=_title(comparison),
        kicker=_kicker(comparison),
        leads=tuple(map(ended, comparison.conclusions[:MOST_LEADS])),
        details=comparison.verdicts[MOST_LEADS:],
        intervals=_intervals(comparison),
        notes=tuple(document.notes),
        signature=document.signature,
        sections=tuple(sections),
        questions=shown,
        questions_note=questions.note(shown, len(items["doc_id"]), harmful),
        methods=(*_conditions(comparison), *_results(comparison), *pair_methods(document)),
        bibtex=bibtex({comparison.before.lm_eval_version, comparison.after.lm_eval_version}),
        document=document,
        numbers=key_numbers(comparison),
        last=(Section("provenance", "What was compared", _provenance(comparison), logs),),
        text=text,
    )


def _with_distributions(items: Columns) -> Columns:
    """The rows of questions with a KL; the same columns where all have one."""
    if "kl" not in items:
        return {}
    known = ~np.isnan(items["kl"])
    if known.all():
        return items
    return computed(lambda name: items[name][known], items, kept=isinstance(items, dict))


def _large_texts(comparison: Comparison) -> LargeTexts | None:
    """The texts of very many questions, to be made while they are written; None of few, or where a task has no options."""
    tasks = [columns for columns in comparison.items.values() if isinstance(columns, LargeItems)]
    if not tasks or not all("gold" in columns for columns in tasks):
        return None
    return LargeTexts(tasks)


def _items(
    comparison: Comparison, large_texts: LargeTexts | None
) -> tuple[Columns, Mapping[str, NDArray[Any] | RowsColumn]]:
    """The columns of all tasks together, and the same as they are written: of very many questions some rows at a time."""
    scope_of = {name: scope for scope, names in comparison.scopes.items() for name in names}
    parts: list[tuple[int, dict[str, OfRows]]] = []
    for number, (task, columns) in enumerate(comparison.items.items()):
        n = len(columns["doc_id"])
        head = {"task": _repeated(task, n)}
        if scope_of:
            head["scope"] = _repeated(scope_of.get(task, ""), n)
        own = {name: _rows_of(columns, name) for name in columns}
        which = {name: own[name] for name in ("doc_id", "doc_id_after", "doc_hash")}
        texts = {}
        if large_texts is not None:
            texts = large_texts.columns(number)
        else:
            texts = {name: column.__getitem__ for name, column in text_columns(comparison, task).items()}
        parts.append((n, {**head, **which, **texts, **{name: own[name] for name in own if name not in texts}}))
    if any(isinstance(columns, LargeItems) for columns in comparison.items.values()):
        return large_columns(parts, _MOST_TEXTS if large_texts is not None else MOST_ROWS)
    found = joined([{name: of_rows(slice(None)) for name, of_rows in part.items()} for _, part in parts])
    return found, found


def _repeated(value: str, n: int) -> OfRows:
    return lambda rows: np.full(len(range(*rows.indices(n))), value, dtype=object)


def _rows_of(columns: Columns, name: str) -> OfRows:
    if isinstance(columns, LargeItems):
        return partial(columns.of_rows, name)
    return columns[name].__getitem__


def _document(comparison: Comparison) -> PairReport:
    """The content of `report.json`."""
    logs = []
    compared = sum(section.n for section in comparison.by_task.values())
    for number, (role, config) in enumerate((("before", comparison.before), ("after", comparison.after))):
        sources = {name: paths[number] for name, paths in comparison.sources.items()}
        place = {"role": role, "folder": comparison.paths[number], "model": model_name(config)}
        logs.append(log_record(config, sources, compared, **place))
    return PairReport(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=Verdict(comparison.verdict),
        signature=f"{comparison.signature}|{pair_signature(logs)}",
        intervals=_intervals(comparison),
        notes=[*_notes(comparison)],
        comparison=msgspec.convert(comparison.to_dict(), StoredComparison),
        logs=logs,
        versions=versions(),
    )


def _intervals(comparison: Comparison) -> str:
    """What the intervals contain."""
    return f"{_INTERVALS[comparison.task_sampling]} {_NOT_CONTAINED}"


def _notes(comparison: Comparison) -> Iterator[str]:
    yield from comparison.notes
    without = [name for name, section in comparison.by_task.items() if not section.compares_options]
    if without:
        yield f"{shortened(without)}: {NO_OPTIONS}"
    dropped = sum(found.count for s in comparison.by_task.values() for found in s.pairing.dropped.values())
    if dropped:
        yield f"{dropped} documents could not be paired and were left out"
    yield from undefined_notes(comparison.main)


def _title(comparison: Comparison) -> str:
    names = dict.fromkeys(model_name(config) for config in (comparison.before, comparison.after))
    return f"{' → '.join(names)}: before and after"


def _kicker(comparison: Comparison) -> str:
    tasks, n = len(comparison.by_task), sum(section.n for section in comparison.by_task.values())
    names = dict.fromkeys(model_name(config) for config in (comparison.before, comparison.after))
    dates = dict.fromkeys((config.date or "")[:10] for config in (comparison.before, comparison.after))
    when = " and ".join(date for date in dates if date)
    asked = f"{n:,} questions of {tasks} task{'s' if tasks > 1 else ''}"
    return " · ".join(part for part in (" → ".join(names), asked, f"evaluated {when}" if when else "") if part)


def _details(comparison: Comparison) -> Iterator[str]:
    """How many answers turned and how far the distributions moved, then the verdict on further pools."""
    for pool in comparison.pools[:MOST_LEADS]:
        flips = pool.flips
        if flips:
            other = f", {flips['wrong_to_wrong']:,} from one wrong option to another" if pool.compares_options else ""
            yield (
                ("" if len(comparison.pools) == 1 else f"{pool.name}: ")
                + f"{flips['harmful']:,} answers turned from right to wrong, {flips['beneficial']:,} from wrong to right "
                f"({pool.test}: {p_equals(pool.sign_flip_p)}){other}."
            )
        yield from (
            f"{line[0].upper()}{line[1:]}."
            for line in (*gold_lines(pool), *shift_lines(pool), *part_lines(pool), *rotation_lines(pool))
        )
    if comparison.overall is not None:
        kl, rank = comparison.overall.estimates["kl"], comparison.overall.estimates["spearman"]
        if kl.value is not None and rank.value is not None and comparison.overall.kl_quantiles:
            yield (
                f"KL(before ‖ after) is {fixed(kl.value)} nats in the mean and "
                f"{fixed(comparison.overall.kl_quantiles['p50'])} in the median; Spearman's ρ of the options with the earlier "
                f"ones is {fixed(rank.value)}."
            )


def _results(comparison: Comparison) -> Iterator[str]:
    """A sentence for the results section of a paper, of each pool whose answers are right or wrong."""
    for pool in comparison.pools:
        before, after, change = (pool.estimates[name] for name in _CHANGED)
        if change.value is None or pool.flips is None:
            continue
        ends = ""
        if change.ci_low is not None and change.ci_high is not None:
            ends = f" (95 % CI [{points(change.ci_low)}, {points(change.ci_high)}])"
        yield (
            f"On {pool.n:,} questions of {pool.of_tasks} task{'s' if pool.of_tasks > 1 else ''} "
            f"({accuracy_name(pool)}), accuracy went from {fixed(100 * (before.value or 0), 1)} % to "
            f"{fixed(100 * (after.value or 0), 1)} %, a change of {points(change.value)} points{ends}: "
            f"{pool.flips['harmful']:,} answers turned from right to wrong and {pool.flips['beneficial']:,} from wrong to "
            f"right ({pool.test}: {p_equals(pool.sign_flip_p)})."
        )


def _conditions(comparison: Comparison) -> Iterator[str]:
    """What a paper must say of the models and the questions before its results."""
    before, after = (model_name(config) for config in (comparison.before, comparison.after))
    yield f"The model before is {before}, the model after {after}."
    if limited := comparison.limits:
        yield f"Not all questions were asked: {'; '.join(limited)}."
    if left_out := _left_out(comparison):
        yield left_out
    for item in comparison.warnings:
        # The sentence on documents has its questions.
        if not isinstance(item, UnpairedQuestions):
            yield f"Warning: {item.to_text()}."


def _left_out(comparison: Comparison) -> str:
    """How many documents were left out for which reasons; empty where none was."""
    dropped = PairingReport.pooled([section.pairing for section in comparison.by_task.values()]).dropped
    reasons = ", ".join(f"{found.count} ({reason})" for reason, found in dropped.items())
    return f"Documents that were left out: {reasons}." if reasons else ""


def _provenance(comparison: Comparison) -> tuple[str, ...]:
    first, second = (selection.to_text() for selection in comparison.selection)
    return (
        f"Before: {first}. After: {second}.",
        _left_out(comparison) or "Every document of the compared tasks was paired.",
        f"Settings: {'; '.join(item.to_text() for item in comparison.settings)}."
        if comparison.settings
        else "The logs name no setting in which the two runs differ, beside the model.",
        *(f"{name}." for name in (*comparison.names.to_lines(), *(item.to_text() for item in comparison.unpaired))),
    )


def _reading(comparison: Comparison, items: Columns) -> tuple[str, ...]:
    """The reading rule, and what it is applied to."""
    lost, won = tables.moved(items)
    n = int(np.isfinite(items["delta_gold"]).sum())
    if not n:
        return (READING,)
    counts = (
        f"Here the gold option lost more than 10 points of probability in {100 * lost / n:.1f} % of the questions and "
        f"won more than 10 in {100 * won / n:.1f} %"
    )
    change = None if comparison.overall is None else comparison.overall.estimates.get("delta_gold")
    if change is None or change.value is None:
        return READING, f"{counts}."
    # As many may lose as win while the losses are larger.
    ends = ""
    if change.ci_low is not None and change.ci_high is not None:
        ends = f" [{points(change.ci_low)}, {points(change.ci_high)}]"
    mean = f"in the mean of all questions its probability changed by {points(change.value)} points{ends}"
    return READING, f"{counts}; this counts questions, however far they moved: {mean}."


def _questions(items: Columns, logged: LargeTexts | None) -> list[ChangedQuestion]:
    """The questions, those that changed most first: of very many as many as a page holds, half of them without options."""
    most = questions.MOST_OF_PAIR
    rows = questions.every(items, len(items["doc_id"]) if logged is None else most)
    texts: dict[int, tuple[str, tuple[str, ...]]] = {}
    if logged is not None:
        texts = {row: logged.of_row(row) for row in sorted(rows)}
    elif "options" in items:
        asked, options = items["question"], items["options"]
        texts = {row: (asked[row], options[row] or ()) for row in rows}
    without = [row for row in rows if row not in texts or not texts[row][1]]
    with_options = [row for row in rows if row in texts and texts[row][1]]
    room = max(most // 2, most - len(with_options))
    chosen = [*with_options[: most - min(room, len(without))], *without[:room]]
    few = {name: items[name][chosen] for name in items if name in questions.DESCRIBED}
    untold = [row for row in chosen if row not in texts]
    if untold:
        texts |= {row: (question, ()) for row, question in zip(untold, items["question"][untold], strict=True)}
    found = [texts[row] for row in chosen]
    return questions.describe(few, range(len(chosen)), found.__getitem__)
