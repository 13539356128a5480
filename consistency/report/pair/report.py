"""A comparison of two runs as a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from consistency.comparison.result import Comparison
from consistency.comparison.runs import comparable
from consistency.logs.samples import read_samples
from consistency.logs.scores import Scores
from consistency.report import provenance, questions
from consistency.report.citations import bibtex
from consistency.report.content import Drawing, Question, Report, Row, Section, Table
from consistency.report.drawings import draw_all
from consistency.report.folder import report_in_place, write_files
from consistency.report.formats.numbers import fixed, p_value
from consistency.report.items import Columns, ItemsWriter, joined
from consistency.report.log_tables import log_table
from consistency.report.methods import pair_methods
from consistency.report.pair import tables as pair_tables
from consistency.report.pair.figures import pair_plots
from consistency.report.schema import SCHEMA_VERSION
from consistency.statistics.hypotheses import mcnemar_exact
from consistency.support.json_files import pretty_json
from consistency.support.memory import gc_disabled

INTERVALS = (
    "95 % intervals say how far a figure would move with other questions of the same tasks, or with other tasks of the "
    "kind where there are enough of them: report.json says which, as “estimator”. They do not contain what another "
    "training or another prompt would change."
)
READING = (
    "How to read it: a small shift to both sides alike is noise of the evaluation, or of another prompt; a heavy tail of "
    "KL together with a right option that mostly loses probability is knowledge lost."
)


def write_comparison(comparison: Comparison, out: str | Path) -> Path:
    """Write the report of a comparison.

    Parameters
    ----------
    comparison : Comparison
        As `consistency.compare` returns it; the logs must still be in place.
    out : path-like
        The folder to write: what a grid's report has (docs/report_schema.md), and `comparison.txt`. It appears whole, by
        renaming; an earlier report there is replaced.

    Returns
    -------
    pathlib.Path
        `report.html`.

    Raises
    ------
    InputError
        If `out` holds something else, or cannot be written.
    """
    # A few figures, whose objects end with the command; a grid's would add up.
    with gc_disabled(), report_in_place(out) as folder:
        (folder / "comparison.txt").write_text(comparison.to_text() + "\n", encoding="utf-8")
        write_files(_report(comparison, folder), folder)
    return Path(out) / "report.html"


def as_json(comparison: Comparison) -> str:
    """The object that `compare --json` prints, and that `report.json` holds as `comparison`."""
    return pretty_json(comparison.to_dict())


def _report(comparison: Comparison, folder: Path) -> Report:
    items = _items(comparison)
    with ItemsWriter(folder / "items.parquet") as writer:
        writer.write({}, items)
    document = _document(comparison)
    plain = document["comparison"]
    options = {name: column[~np.isnan(items["kl"])] for name, column in items.items()} if "kl" in items else {}
    distributions, rankings, tasks = (
        draw_all(plots, folder / "figures") for plots in pair_plots(plain, options or items)
    )
    several = len(plain["by_task"]) > 1
    sections = [
        Section("provenance", "What was compared", _provenance(plain), _provenance_tables(document)),
        Section("headline", "Before and after", (), (pair_tables.headline_table(plain),)),
        Section("flips", "Which answers turned", (), (pair_tables.flip_table(options or items),)),
    ]
    if options:
        scopes = list(plain.get("by_scope", {}))
        moved: tuple[Table | Drawing, ...] = (pair_tables.quantile_table(items, scopes), *distributions)
        sections.append(Section("distributions", "How far the distributions moved", _reading(items), moved))
        sections.append(Section("ranking", "Whether the order of the options held", (), tuple(rankings)))
    if several:
        each: tuple[Table | Drawing, ...] = (*tasks, pair_tables.task_table(plain))
        sections.append(Section("tasks", "Task by task", (), each))
    shown = questions.strongest(_questions(comparison, items))
    harmful = int((questions.kinds(items) == "harmful").sum())
    config = comparison.after
    return Report(
        title=_title(comparison),
        kicker=_kicker(comparison),
        leads=(comparison.verdict,),
        details=_details(plain),
        intervals=INTERVALS,
        notes=tuple(document["notes"]),
        signature=document["signature"],
        sections=tuple(sections),
        questions=shown,
        questions_note=questions.note(shown, len(items["doc_id"]), harmful),
        methods=pair_methods(document),
        bibtex=bibtex({comparison.before.lm_eval_version, config.lm_eval_version}),
        document=document,
    )


def _items(comparison: Comparison) -> dict[str, Any]:
    scope_of = {name: scope for scope, names in comparison.scopes.items() for name in names}
    parts = []
    for task, columns in comparison.items.items():
        n = len(columns["doc_id"])
        head: dict[str, Any] = {"task": np.full(n, task, dtype=object)}
        if scope_of:
            head["scope"] = np.full(n, scope_of.get(task, ""), dtype=object)
        parts.append({**head, **columns})
    return joined(parts)


def _document(comparison: Comparison) -> dict[str, Any]:
    """The content of `report.json`."""
    logs = []
    for number, (role, config) in enumerate((("before", comparison.before), ("after", comparison.after))):
        sources = {name: paths[number] for name, paths in comparison.sources.items()}
        place = {"role": role, "folder": comparison.paths[number], "model": provenance.model_name(config)}
        asked = sum(section.n for section in comparison.by_task.values())
        logs.append(provenance.LogRecord.of(config, sources, asked, **place))
    plain = comparison.to_dict()
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": "pair",
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": {"sentence": comparison.verdict},
        "signature": f"{comparison.signature}|{provenance.pair_signature(logs)}",
        "intervals": INTERVALS,
        "notes": [*_notes(comparison), *provenance.limit_notes(logs), *provenance.difference_notes(logs)],
        "comparison": plain,
        "logs": [log.to_dict() for log in logs],
        "versions": provenance.versions(),
    }


def _notes(comparison: Comparison) -> Iterator[str]:
    # The first two say which runs were read.
    yield from comparison.messages[2:]
    for name, section in comparison.by_task.items():
        if not section.compares_options:
            yield f"{name}: {section.counts['note']}"
    dropped = sum(sum(s.counts["pairing"]["dropped"].values()) for s in comparison.by_task.values())
    if dropped:
        yield f"{dropped} documents could not be paired and were left out"
    for name, estimate in comparison.main.estimates.items():
        if estimate.undefined:
            yield f"{name} has no finite value for {estimate.undefined} of {comparison.main.n} questions"


def _title(comparison: Comparison) -> str:
    names = dict.fromkeys(provenance.model_name(config) for config in (comparison.before, comparison.after))
    return f"{' → '.join(names)}: before and after"


def _kicker(comparison: Comparison) -> str:
    tasks, n = len(comparison.by_task), sum(section.n for section in comparison.by_task.values())
    names = dict.fromkeys(provenance.model_name(config) for config in (comparison.before, comparison.after))
    dates = dict.fromkeys((config.date or "")[:10] for config in (comparison.before, comparison.after))
    when = " and ".join(date for date in dates if date)
    asked = f"{n} questions of {tasks} task{'s' if tasks > 1 else ''}"
    return " · ".join(part for part in (" → ".join(names), asked, f"evaluated {when}" if when else "") if part)


def _details(comparison: Mapping[str, Any]) -> tuple[str, ...]:
    section = comparison["overall"]
    if section is None:
        return ()
    flips, kl, rank = section.get("flips"), section["kl"], section["spearman"]
    lines = []
    if flips:
        p = p_value(section["mcnemar_p"])
        lines.append(
            f"{flips['harmful']} answers turned from right to wrong, {flips['beneficial']} from wrong to right (McNemar's "
            f"exact test: p {p if p.startswith('<') else f'= {p}'}), {flips['wrong_to_wrong']} from one wrong option to "
            "another."
        )
    if kl["value"] is not None and rank["value"] is not None:
        lines.append(
            f"KL(before ‖ after) is {fixed(kl['value'])} nats in the mean and {fixed(section['kl_quantiles']['p50'])} in "
            f"the median; the options' ranking correlates with the earlier one by {fixed(rank['value'])}."
        )
    return tuple(lines)


def _provenance(comparison: Mapping[str, Any]) -> tuple[str, ...]:
    lines = [". ".join(message[0].upper() + message[1:] for message in comparison["messages"][:2]) + "."]
    reasons: dict[str, int] = {}
    for section in comparison["by_task"].values():
        for reason, count in section["pairing"]["dropped"].items():
            reasons[reason] = reasons.get(reason, 0) + count
    if reasons:
        told = ", ".join(f"{count} ({reason})" for reason, count in reasons.items())
        lines.append(f"Documents that were left out: {told}.")
    else:
        lines.append("Every document of the compared tasks was paired.")
    return tuple(lines)


def _provenance_tables(document: Row) -> tuple[Table, Table]:
    return log_table(document["logs"]), pair_tables.pairing_table(document["comparison"])


def _reading(items: Columns) -> tuple[str, ...]:
    """The reading rule, and what it is applied to."""
    lost, won = pair_tables.moved(items)
    n = int(np.isfinite(items["delta_gold"]).sum())
    if not n:
        return (READING,)
    p = p_value(mcnemar_exact(lost, won))
    return (
        READING,
        f"Here the right option lost more than 10 points of probability in {100 * lost / n:.1f} % of the questions and "
        f"won as much in {100 * won / n:.1f} % (sign test of their being alike: p {p if p.startswith('<') else f'= {p}'}).",
    )


def _questions(comparison: Comparison, items: Columns) -> list[Question]:
    """Their texts are read again: most comparisons are never written, and should not hold them."""
    read: dict[str, Scores] = {}

    def find(task: str) -> Scores:
        if task not in read:
            path = comparison.sources[task][0]
            found = read_samples(path, task.split(",")[0])
            read[task] = comparable(found.get(task) or next(iter(found.values())), comparison.score)
        return read[task]

    return questions.describe(items, questions.changed_most(items, questions.MOST), find)
