"""A report as one HTML file that needs no other: for a phone, for paper and for a screen reader, also without its script."""

from __future__ import annotations

import base64
import hashlib
import json
import mimetypes
import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from consistency.report.content import Drawing, Report, Table
from consistency.report.formats.csv import flat
from consistency.report.formats.latex import latex
from consistency.report.formats.markdown import table_lines
from consistency.report.formats.numbers import REFERENCE
from consistency.report.formats.packed import pack, pack_json, pack_questions
from consistency.report.formats.spans import drawn
from consistency.report.glossary import meaning
from consistency.support.text import common_beginning, visible, visible_lines

# A number at the start of a cell, or a p that is called so; "0.4.12" and "2026-11-24" are none.
NUMBER = re.compile(r"(p =? ?)?[<>≤≥]?\s*[+\-−]?(\d[\d,]*)?(\.?\d+)(e[+\-−]?\d+)?(?=$|[\s%*†])")
INTERVAL = re.compile(r"(.*\S) (\[[^\[\]]*\])(\W?)", re.DOTALL)
MISSING = ("", "–", "—")
# Words of a cell that make its column no words.
_NO_NUMBERS = (*MISSING, REFERENCE)
# More rows scroll under a head that stays in sight.
TALL = 25
SHOWN_ROWS = 100
# A cell of words this short (characters) is kept on one line where there is room.
BRIEF = 20
# The same of a name of a row, such as a task.
BRIEF_NAME = 36
# A cell of more words keeps some width on a phone, where it would be a column of single words.
LONG = 60
# CSS pixels for a point of a drawing: its 8.5 point type is then read at 11 pixels and more.
PIXELS = 1.4
# A drawing wider than this (points) scrolls on a phone, where its type would be too small.
WIDE = 320


def html(report: Report, downloads: Mapping[str, bytes] | None = None) -> str:
    """The page of a report: one file, whose script and style are inside and allowed by their hashes alone.

    Parameters
    ----------
    report : Report
        Everything in it is escaped, except the panels of its drawings, which enter as they are.
    downloads : dict of str to bytes, optional
        Files that the page holds, by their paths in the report's folder; its links to other files need that folder.

    Returns
    -------
    str
        HTML. Texts of questions are in it packed, and reach the page as text, never as markup.
    """
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup, escape

    def shown(value: Any) -> Any:
        return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=shown
    )
    classes: dict[str, str] = {}
    panels = {
        block.name: [(Markup(svg), wide) for svg, wide in _panels(block, classes)]
        for section in report.parts
        for block in section.blocks
        if isinstance(block, Drawing)
    }
    downloads = downloads or {}
    linked = {f"tables/{table.name}.{ending}" for table in report.tables for ending in ("csv", "tex")}
    linked |= {f"figures/{name}.{ending}" for name in panels for ending in ("svg", "pdf", "csv")}
    style = _own("page.css") + "".join(f".{name}{{{rules}}}" for rules, name in classes.items())
    script = _own("page.js") + _own("questions.js")
    text = environment.from_string(_own("page.html.j2")).render(
        report=report,
        panels=panels,
        style=Markup(style),
        script=Markup(script),
        style_hash=_hash(style),
        script_hash=_hash(script),
        questions=Markup(_inside(pack_questions(report.questions))),
        copies=Markup(_inside(_copies(report.tables))),
        downloads=Markup(_inside({name: _download(name, content) for name, content in downloads.items()})),
        further=[name for name in downloads if name not in linked],
        bibtex=escape(visible_lines(report.bibtex)),
        numbers=_numbers,
        numeric=_numeric,
        prose=_prose,
        with_interval=INTERVAL.fullmatch,
        parted=_parted,
        drawn=_drawn,
        meaning=meaning,
        is_table=lambda block: isinstance(block, Table),
        tall=TALL,
        brief=BRIEF,
        brief_name=BRIEF_NAME,
        long=LONG,
        beginning=lambda table: common_beginning(list(table.commands)),
        cell_questions=lambda table: Markup(_inside(_cell_questions(table))),
        shown_rows=SHOWN_ROWS,
    )
    return str(text) + "\n"


def _own(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _numeric(table: Table) -> list[bool]:
    """Which columns hold numbers: they are aligned to the right and sort by value."""
    columns = []
    for number in range(len(table.head)):
        cells = [row[number] for row in table.rows if not row[number].startswith(MISSING[1:])]
        columns.append(any(cells) and all(NUMBER.match(cell) or cell in _NO_NUMBERS for cell in cells))
    return columns


def _drawn(table: Table) -> dict[str, Any]:
    """The drawings of a table's head and rows; none of another."""
    from markupsafe import Markup

    found = drawn(table)
    return {} if found is None else {"axis": Markup(found.axis), "rows": [Markup(row) for row in found.rows]}


def _numbers(drawing: Drawing) -> Table:
    """What a drawing shows, for those who cannot see it."""
    rows = [flat(row) for row in drawing.rows[:SHOWN_ROWS]]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    cells = tuple(tuple(_cell(row.get(name)) for name in columns) for row in rows)
    return Table(drawing.name, drawing.title, "", columns, cells, labels=1, data=drawing.rows)


def _cell(value: Any) -> str:
    if value is None:
        return MISSING[1]
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)


def _panels(drawing: Drawing, classes: dict[str, str]) -> list[tuple[str, bool]]:
    """Each panel fit for the page, and whether it is wide.

    A policy that allows one style sheet by its hash refuses style attributes, so they become classes of that sheet.

    Parameters
    ----------
    drawing : Drawing
    classes : dict of str to str
        Style attributes seen so far, by their text; grows.
    """

    def classed(tag: re.Match[str]) -> str:
        name = classes.setdefault(tag["style"].strip().rstrip(";"), f"s{len(classes)}")
        return f'{tag["before"]}class="{name}"'

    panels = []
    for name, svg in drawing.panels.items():
        svg = re.sub(r'(?P<before><[^<>]*?\s)style="(?P<style>[^"]*)"', classed, svg[svg.index("<svg") :])
        head, rest = svg.split(">", 1)
        box = re.search(r'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ', head)
        width = float(box[1]) if box else 0.0
        if width and not re.search(r"\swidth=", head):
            head += f' width="{PIXELS * width:.0f}"'
        if "aria-label" not in head:
            head += f' role="img" aria-label="{_alternative(drawing, name)}"'
        panels.append((f"{head}>{rest}", width > WIDE))
    return panels


def _alternative(drawing: Drawing, panel: str) -> str:
    from markupsafe import escape

    return escape(f"{drawing.title}, {panel}; its numbers: {drawing.name}.csv")


def _copies(tables: Sequence[Table]) -> dict[str, Any]:
    """Each table as Markdown and as LaTeX, to be copied."""
    forms = {table.name: {"md": "\n".join(table_lines(table)), "tex": latex(table)} for table in tables}
    return {"tables": pack_json(forms)}


def _cell_questions(table: Table) -> dict[str, Any]:
    """What a click on the cells of a heat map shows, packed."""
    rows = {
        visible(name): [
            found.doc_ids,
            [visible_lines(text) for text in found.texts],
            {visible(column): turned for column, turned in found.turned.items()},
        ]
        for name, found in table.questions.items()
    }
    return {"rows": pack_json(rows)}


def _download(name: str, content: bytes) -> dict[str, str]:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {"type": f"{kind};charset=utf-8" if kind.startswith("text/") else kind, "data": pack(content)}


def _inside(value: Any) -> str:
    """Plain data as JSON that can stand inside a script element: no character of it can end one."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)


def _prose(text: str) -> Any:
    """Words for readers: minus signs, and names of tasks that may be broken behind their underscores and slashes."""
    from markupsafe import Markup, escape

    signed = re.sub(r"(?<![^\s(\[])-(?=\d)", "−", visible(text))
    return Markup(re.sub(r"(?<=[_/])(?=\w)", "<wbr>", escape(signed)))


def _parted(name: str) -> Any:
    """A name that may be broken behind its underscores, slashes, commas and hyphens, and as a rule nowhere else."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=[_/,\-])(?=\w)", "<wbr>", escape(visible(name))))
