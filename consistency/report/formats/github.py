"""Pieces of a page of Markdown as GitHub shows it, in which no name acts as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from consistency.comparison.checked import Checked
from consistency.support.text import counted, markdown, visible

# Of tasks, notes and columns on a page.
MOST_TASKS = 10
MOST_NOTES = 30
MOST_COLUMNS = 8


def page_of(
    verdicts: Iterable[str], parts: Iterable[str], notes: Sequence[str], signature: str, *, folded: bool
) -> str:
    """A page of Markdown: the verdicts, its parts, notes and the signature.

    Parameters
    ----------
    verdicts : iterable of str
        As they are.
    parts, notes : iterable of str
        In Markdown.
    signature : str
    folded : bool
        Whether notes and signature are folded away.
    """
    found = ["\n\n".join(f"**{plain(sentence)}**" for sentence in verdicts), *parts]
    more = len(notes) - MOST_NOTES
    listed = [*notes[:MOST_NOTES], *([f"and {more} more notes: see the table or the JSON"] if more > 0 else [])]
    lines = "\n".join(f"- {note}" for note in listed)
    if folded:
        found += [_details(counted(len(notes), "note"), lines), _details("Signature", code(signature))]
    else:
        found += [lines, code(signature)]
    return "\n\n".join(filter(None, found)) + "\n"


def conditions(checked: Checked) -> Iterator[str]:
    """How many conditions passed, whether something is missing that may break one, and each of them; nothing without any."""
    if checked.checks:
        of, failed, passed = len(checked.checks), len(checked.failed), sum(item.passed for item in checked.checks)
        sign = "❌" if failed else "❔" if checked.missing else "✅"
        unjudged = of - failed - passed
        but = f", {unjudged} not judged, since the comparison is incomplete" if checked.missing else ""
        lines = "\n".join(f"- {plain(line)}" for line in (*checked.doubt, *checked.to_lines()))
        yield f"{sign} {passed} of {of} conditions passed{but}:\n\n{lines}"


def code(text: str, *, cell: bool = False) -> str:
    r"""Text as a code span, in which nothing is markup, a link or a mention; a table's `cell` needs its bars escaped.

    Examples
    --------
    >>> print(code("a|b"), code("a|b", cell=True), code("`x`"))
    `a|b` `a\|b` `` `x` ``
    """
    text = visible(text)
    text = text.replace("|", "\\|") if cell else text
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text[:1] in ("`", " ", "") or text[-1:] in ("`", " ") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def plain(text: str) -> str:
    r"""The text escaped for GitHub's Markdown.

    Examples
    --------
    >>> print(plain("*a* <b> @c"))
    \*a\* &lt;b&gt; @<!-- -->c
    """
    text = markdown(visible(text))
    # A comment in between keeps GitHub from calling people and linking issues, and addresses from becoming links.
    text = re.sub(r"(@|#|://|www\.)", r"\1<!-- -->", text)
    return re.sub(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)", r"\1&#8203;\2", text)


def table_of(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, whose cells are Markdown; the first column on the left."""
    head = list(head)
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"
