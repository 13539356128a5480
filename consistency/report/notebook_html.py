"""What a notebook shows of a comparison of any kind: its conclusion, a table, and what else is to be read, as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from consistency.comparison.sentences import ended
from consistency.support.text import visible


def to_piece(
    conclusions: Sequence[Sequence[str]],
    runs: Sequence[str],
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str,
    notes: Sequence[str],
    figure: str = "",
) -> str:
    """A piece of HTML without scripts: sentences, a table, and notes.

    Parameters
    ----------
    conclusions : sequence of sequence of str
        Sentences by their clauses; the first clause stands out.
    runs : sequence of str
        Which were compared, a line each.
    head, rows : sequence of str, sequence of the same
        Of the table.
    caption : str
        Below the table.
    notes : sequence of str
    figure : str
        HTML, which is taken as it is; everything else is text.

    Examples
    --------
    >>> "<td>&lt;b&gt;</td>" in to_piece([["It fell"]], ["a → b"], ["run"], [["<b>"]], "In points.", [])
    True
    """
    first, *others = [clause for clauses in conclusions for clause in ended(clauses)]
    return "".join(
        [
            '<div class="consistency">',
            f"<p><strong>{_text(first)}</strong></p>",
            f"<ul>{''.join(f'<li>{_text(clause)}</li>' for clause in others)}</ul>" if others else "",
            f"<p>{'<br>'.join(map(_text, runs))}</p>",
            f"<table><thead><tr>{''.join(f'<th>{_text(name)}</th>' for name in head)}</tr></thead><tbody>",
            *(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows),
            f"</tbody></table><p><small>{_text(caption)}</small></p>",
            figure,
            *(f"<p><small>{_text(line)}</small></p>" for line in notes),
            "</div>",
        ]
    )


def fewer(notes: Sequence[str], most: int = 6) -> list[str]:
    """The first notes, and of more than so many how many more there are.

    Examples
    --------
    >>> fewer(["a", "b", "c"], most=2)
    ['a', 'b', '1 more notes: comparison.notes']
    """
    more = [f"{len(notes) - most} more notes: comparison.notes"] if len(notes) > most else []
    return [*notes[:most], *more]


def _text(words: str) -> str:
    return escape(visible(words))
