"""An audit on one page, and its files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from consistency.knowledge.probes import left_out
from consistency.statistics.shares import wilson
from consistency.support.json_files import json_lines
from consistency.support.manifests import write_with_manifest
from consistency.support.text import markdown
from consistency.training_data.audit import VERDICTS, Judged, TrainingSetAudit
from consistency.training_data.letters_page import LEGEND, letters_table

_MOST = 10


def page(found: TrainingSetAudit) -> str:
    """What a training set teaches a model, in Markdown, for a reader who has to decide."""
    total, actions = len(found.judged), Counter(item.action for item in found.judged)
    counts = Counter(item.verdict for item in found.judged)
    probed = total - counts["not_probed"]
    lines = [
        f"# {markdown(found.path.name)}: what it teaches this model",
        "",
        f"{found.rows} rows: {total} multiple-choice questions, {found.rows - total - len(found.unreadable)} general "
        f"instructions, {len(found.unreadable)} questions whose reply names no option.",
        "",
        f"**{found.conclusion()}**"
        if probed
        else f"**{found.conclusion()}** A row is matched by its question and options: compare those of line "
        f"{found.judged[0].line} with the probe's, and probe the model on this set.",
        "",
        "| subject | questions | harmonious | incompatible | unsure | not probed |",
        "|---|---:|---:|---:|---:|---:|",
        _line("all", found.judged),
    ]
    subjects = list(found.by_subject().items())
    lines += [_line(name, judged) for name, judged in subjects[: 2 * _MOST]]
    if len(subjects) > 2 * _MOST:
        lines.append(f"| … and {len(subjects) - 2 * _MOST} more | | | | | |")
    lines += [
        "",
        "Shares of the questions with 95 % intervals (Wilson). Harmonious: the row teaches what the model believes "
        "with confidence, right or wrong. Unsure: the model believes nothing with confidence.",
        "",
        f"To do: keep {actions['keep']}, rewrite {actions['rewrite']}, drop {actions['drop']}. Rewrite: the model "
        "gives the taught answer more than chance, so put the knowledge that it needs before the question. Drop: it "
        "gives it less, or the row repeats or contradicts an earlier one.",
    ]
    letters = found.letters
    lines += ["", "Letters:", "", *letters_table([((), letters)], ()), "", LEGEND]
    if warning := letters.warning(markdown(letters.name)):
        lines += ["", f"**{warning}.**"]
    if found.unreadable:
        listed = ", ".join(map(str, found.unreadable[:_MOST])) + (", …" if len(found.unreadable) > _MOST else "")
        lines += [
            "",
            f"Replies that name no option, so that nothing is judged: lines {listed}. Begin them with its letter.",
        ]
    unread = [f"{name}: not read ({reason})" for name, reason in found.coverage.skipped.items()]
    unread += [left_out(name, count) for name, count in found.coverage.incomplete.items()]
    unread += found.coverage.notes
    if unread:
        lines += ["", "Of the probe's log:", "", *(f"- {markdown(text)}" for text in unread)]
    strongest = sorted(
        (item for item in found.judged if item.verdict == "incompatible"),
        key=lambda item: (-(item.confidence or 0), item.line),
    )
    if strongest:
        lines += [
            "",
            "The contradicted beliefs of highest confidence:",
            "",
            "| line | id | subject | taught | believed | confidence | to do |",
            "|---:|---|---|---|---|---:|---|",
        ]
        lines += [
            f"| {item.line} | {'' if item.id is None else markdown(str(item.id))} | {markdown(item.subject)} | {item.taught} | "
            f"{item.believed} | {item.confidence:.3f} | {item.action} |"
            for item in strongest[:_MOST]
        ]
    return "\n".join(lines) + "\n"


def write_audit(found: TrainingSetAudit, out: str | Path) -> None:
    """Write ``audit.md``, ``audit.json`` and ``examples.jsonl``, the rows to drop or rewrite, into a folder.

    Raises
    ------
    InputError
        If a file cannot be written.
    """
    lines = json_lines(asdict(item) for item in found.judged if item.action != "keep")
    files = {"examples.jsonl": lines, "audit.md": [page(found).encode()]}
    write_with_manifest(out, "audit.json", found.to_dict(), files)


def _line(name: str, judged: Sequence[Judged]) -> str:
    counts = Counter(item.verdict for item in judged)
    cells = [wilson(counts[verdict], len(judged)).to_text() for verdict in VERDICTS]
    return f"| {markdown(name) or '(none given)'} | {len(judged)} | {' | '.join(cells)} |"
