r"""A table as LaTeX: a booktabs `tabular` that pdflatex takes with `\usepackage{booktabs}` alone."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

from consistency.report.content import Table
from consistency.support.text import visible

_SPECIAL = {
    **{character: "\\" + character for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # In LaTeX's first encoding these are other glyphs.
    **{character: f"${character}$" for character in "<>|"},
    '"': "''",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "→": r"$\to$",
    "←": r"$\leftarrow$",
    "‖": r"$\|$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "±": r"$\pm$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "Δ": r"$\Delta$",
    "ρ": r"$\rho$",
    "τ": r"$\tau$",
    "…": r"\dots{}",
    "“": "``",
    "”": "''",
    "‘": "`",
    "’": "'",
    "\u00a0": "~",
    "\u202f": r"\,",
    "§": r"\S{}",
    "°": r"$^\circ$",
    "†": r"\dag{}",
    "½": r"$\frac12$",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "ı": r"\i{}",
    "å": r"\aa{}",
    "Å": r"\AA{}",
}
# Combining characters that LaTeX's first encoding can set over a letter.
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0308": '"',
    "\u0304": "=",
    "\u0307": ".",
    "\u0306": "u",
    "\u030c": "v",
    "\u030b": "H",
    "\u0327": "c",
    "\u0323": "d",
    "\u0331": "b",
    "\u030a": "r",
}

_BELOW = "\u0327\u0323\u0331"


def escape(text: str) -> str:
    r"""Text as LaTeX sets it, whatever is in it; a character that base fonts lack appears as its code.

    Examples
    --------
    >>> escape("50 % → a_b"), escape("é"), escape("中")
    ('50 \\% $\\to$ a\\_b', "\\'{e}", '[U+4E2D]')
    """
    text = unicodedata.normalize("NFC", text)
    # Two hyphens or quotes in a row would be one sign.
    doubled = [a + "{}" if a == b and a in "-`'" else _set(a) for a, b in pairwise(text)]
    return "".join([*doubled, *map(_set, text[-1:])])


def _set(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if " " <= character <= "~":
        return character
    if character.isspace():
        return " "
    base, *marks = list(unicodedata.normalize("NFD", character))
    if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii() and base.isalpha():
        # An accent above stands over a letter without its dot.
        dotless = base in "ij" and marks[0] not in _BELOW
        letter = f"\\{base}{{}}" if dotless else base
        return f"\\{_ACCENTS[marks[0]]}{{{letter}}}"
    return f"[U+{ord(character):04X}]"


def latex(table: Table) -> str:
    r"""The rows of a table as a `tabular`, its title and caption as comments before it."""
    lines = [f"% {visible(' '.join(text.split()))}" for text in (table.title, table.caption) if text]
    lines.append(r"% \usepackage{booktabs}")
    lines.append(rf"\begin{{tabular}}{{{'l' * table.labels}{'r' * (len(table.head) - table.labels)}}}")
    lines += [r"\toprule", _row(table.head), r"\midrule"]
    lines += [_row(row) for row in table.rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _row(cells: tuple[str, ...]) -> str:
    # An empty group, since a row that begins with a bracket would be the length of the break before it.
    return "{}" + " & ".join(map(escape, cells)) + r" \\"
