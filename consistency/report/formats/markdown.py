"""A report as Markdown: its sentences, tables and the names of its figures."""

from __future__ import annotations

import math
from collections.abc import Iterator

from consistency.report.content import Drawing, GeneratedAnswers, Report, Section, Table
from consistency.report.formats.numbers import fixed
from consistency.support.text import markdown as text
from consistency.support.text import visible

# More questions are in the page and in items.parquet.
MOST_QUESTIONS = 20


def markdown(report: Report) -> str:
    """The report as Markdown, every text in it as text."""
    return "\n".join([*_lines(report), ""])


def _lines(report: Report) -> Iterator[str]:
    yield from (f"# {text(report.title)}", "", text(report.kicker), "")
    for paragraph in (*map("; ".join, report.leads), *report.details, report.intervals):
        if paragraph:
            yield from (text(paragraph), "")
    for note in report.notes:
        yield f"- {text(note)}"
    if report.gate is not None:
        yield from ("", f"Gate: {report.gate.outcome}", "", *(f"- {text(line)}" for line in report.gate.lines))
    for section in report.sections:
        yield from _section(section)
    if report.questions:
        yield from ("", "## Questions that changed", "", text(report.questions_note), "")
        for question in report.questions[:MOST_QUESTIONS]:
            kl = question.measures.get("kl")
            place = " · ".join(
                filter(None, (question.task, str(question.doc_id), question.run, question.scope.upper()))
            )
            divergence = "" if kl is None else f", KL {'∞' if math.isinf(kl) else fixed(kl)}"
            answers = "" if question.generated is None else f" ({_answers(question.generated)})"
            flip = text(question.flip.replace("_", " "))
            yield f"- {text(place)}: {flip}{divergence}{answers}. {text(question.text)}"
    for section in report.last:
        yield from _section(section)
    if report.methods:
        yield from ("", "## Methods")
        for paragraph in report.methods:
            yield from ("", text(paragraph))
    if report.bibtex:
        yield from ("", "```bibtex", visible(report.bibtex, keep="\n"), "```")
    # Four spaces make it code.
    yield from ("", f"    {visible(report.signature)}")


def _section(section: Section) -> Iterator[str]:
    yield from ("", f"## {text(section.title)}")
    for paragraph in section.text:
        yield from ("", text(paragraph))
    for block in section.blocks:
        if block.title != section.title:
            yield from ("", f"### {text(block.title)}")
        yield from _table(block) if isinstance(block, Table) else _figure(block)


def _answers(generated: GeneratedAnswers) -> str:
    """What was taken from two generated texts, and what is right."""
    ends = (
        f"{answer}, {reason}" if reason else answer
        for answer, reason in zip(generated.answers, generated.unreadable, strict=True)
    )
    return text(f"{' → '.join(ends)}; target {generated.target}")


def _table(table: Table) -> Iterator[str]:
    if table.caption:
        yield from ("", text(table.caption))
    yield ""
    yield from table_lines(table)
    yield from ("", f"All digits: `tables/{table.name}.csv`; LaTeX: `tables/{table.name}.tex`.")


def table_lines(table: Table) -> Iterator[str]:
    """The lines of a table, without its title and caption."""
    yield "| " + " | ".join(map(text, table.head)) + " |"
    yield "|" + "".join("---|" if column < table.labels else "--:|" for column in range(len(table.head)))
    for row in table.rows:
        yield "| " + " | ".join(map(text, row)) + " |"


def _figure(drawing: Drawing) -> Iterator[str]:
    yield from ("", f"![{text(drawing.title)}](figures/{drawing.name}.svg)")
    if drawing.legend:
        yield from ("", " · ".join(f"{mark.glyph} {text(mark.label)}" for mark in drawing.legend))
    yield from ("", text(drawing.caption))
