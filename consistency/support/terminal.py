"""How text is laid out for a terminal: its width, lines that end at a word, tables that fit, and colours."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from consistency.support.text import padded, visible, width

# Without a terminal and without COLUMNS, lines of a file or a pipe.
PLAIN = 80
# Narrower than this, a table says nothing any more.
NARROWEST = 20
# Names of a table: as long as they usually are, and as short as they may be cut.
LONGEST_NAME, SHORTEST_NAME = 40, 16
_GAP = "  "
# Of the 256 colours those nearest to Okabe and Ito's vermilion and blue, which the colour-blind can tell apart, and which can be
# read on black and on white.
BOLD, WORSE, BETTER, PLAIN_AGAIN = "\x1b[1m", "\x1b[38;5;166m", "\x1b[38;5;32m", "\x1b[0m"
# What is not divided: a p with its value, an interval, a number with its unit.
_WORDS = re.compile(r"\s*(?:\(?p [<=] \S+|\[[^\s\[\]]+, [^\s\[\]]+\]\S*|\S+(?: %\S*)?)")
STYLES = re.compile("|".join(map(re.escape, (BOLD, WORSE, BETTER, PLAIN_AGAIN))))


def columns() -> int:
    """How many columns a line may take: `COLUMNS`, else as many as the terminal has, else 80."""
    # As `shutil` has it, which imports all kinds of compression: a hundredth of the time of a first answer.
    given = os.environ.get("COLUMNS", "")
    found = int(given) if given.isdecimal() else 0
    if not found:
        with suppress(AttributeError, ValueError, OSError):
            found = os.get_terminal_size(sys.__stdout__.fileno()).columns  # type: ignore[union-attr]
    return max(found or PLAIN, NARROWEST)


def shows_colours() -> bool:
    """Whether standard output is a terminal with colours, whose user has not asked for none (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return is_terminal()


def is_terminal() -> bool:
    """Whether standard output is a terminal; not where it is closed."""
    return sys.stdout is not None and sys.stdout.isatty()


def wrapped(text: str, most: int | None, further: str = "") -> list[str]:
    """A text in lines of at most so many columns, which end at spaces; a longer word is divided.

    Parameters
    ----------
    text : str
        On one line.
    most : int or None
        None: one line, however long.
    further : str
        What every line but the first begins with.

    Examples
    --------
    >>> wrapped("accuracy fell by 3 points", 14, "  ")
    ['accuracy fell', '  by 3 points']
    >>> wrapped("中文中文", 5)
    ['中文', '中文']
    """
    if most is None or width(text) <= most:
        return [text]
    lines, line, taken = [], "", 0
    for word in _WORDS.findall(text):
        wide = width(word)
        if taken and taken + wide > most:
            lines.append(line)
            word = word.lstrip()
            line, wide = further, width(word)
            taken = width(further)
        while taken + wide > most:
            cut = max(_fitting(word, most - taken), 1)
            lines.append(line + word[:cut])
            word = word[cut:]
            line, taken, wide = further, width(further), width(word)
        line, taken = line + word, taken + wide
    return [*lines, line]


def _fitting(text: str, most: int) -> int:
    """How many characters fit into so many columns."""
    end = len(text)
    if width(text) > most:
        end = next(end for end in range(1, len(text) + 1) if width(text[:end]) > most) - 1
    return end


def cut_in_middle(text: str, most: int) -> str:
    """A text of at most so many columns: of a longer one the beginning and the end, which tell names apart.

    Examples
    --------
    >>> cut_in_middle("high_school_government_and_politics", 20)
    'high_schoo…_politics'
    """
    if width(text) <= most:
        return text
    room = max(most - 1, 0)
    head = text[: _fitting(text, room - room // 2)]
    tail = text[::-1][: _fitting(text[::-1], room - width(head))][::-1]
    return f"{head}…{tail}"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    head : str
    cells : tuple of str
    rank : int
        Where there is no room for all columns, those of the highest rank go first, together; those of rank 0 never.
    right : bool
        Whether its cells end at one place.
    styles : tuple of str
        Of each cell, empty for none; without any, none has one.
    """

    head: str
    cells: tuple[str, ...]
    rank: int = 0
    right: bool = True
    styles: tuple[str, ...] = ()

    @property
    def wide(self) -> int:
        """Columns of the terminal that its widest cell takes."""
        return max(map(width, (self.head, *self.cells)))


def fitted(table: Sequence[Column], most: int | None) -> list[Column]:
    """The columns of a table for which there is room.

    Columns of rank 3 and more give way to whole names of usual length; then names are cut; where little would be left of them,
    columns of rank 2 and 1 are left out as well.

    Parameters
    ----------
    table : sequence of Column
        The first holds names.
    most : int or None
        Columns of the terminal; None for any number.

    Examples
    --------
    >>> table = [Column("task", ("a_rather_long_name",), right=False), Column("n", ("100",)), Column("KL", ("0.25",), rank=3)]
    >>> [column.head for column in fitted(table, 23)], fitted(table, 21)[0].cells
    (['task', 'n'], ('a_rather…ng_name',))
    """
    found = list(table)
    if most is None:
        return found
    names = found[0].wide
    while (over := _wide(found) - most) > 0:
        rank = max(column.rank for column in found[1:])
        enough = LONGEST_NAME if rank > 2 else SHORTEST_NAME
        if rank == 0 or names - over >= min(enough, names):
            cut = max(names - over, 1)
            found[0] = replace(
                found[0],
                head=cut_in_middle(found[0].head, cut),
                cells=tuple(cut_in_middle(name, cut) for name in found[0].cells),
            )
            break
        found = [found[0], *(column for column in found[1:] if column.rank != rank)]
    return found


def _wide(table: Sequence[Column]) -> int:
    return sum(column.wide for column in table) + len(_GAP) * (len(table) - 1)


def lines_of(table: Sequence[Column]) -> Iterator[str]:
    """The head of a table, and its rows."""
    taken = [column.wide for column in table]
    for place, row in enumerate(zip(*((column.head, *column.cells) for column in table), strict=True)):
        cells = [padded(cell, wide, right=column.right) for cell, wide, column in zip(row, taken, table, strict=True)]
        # Spaces at the end of a line are none, whatever their style.
        cells[-1] = cells[-1].rstrip()
        styles = [column.styles[place - 1] if place and column.styles else "" for column in table]
        yield _GAP.join(
            styled(cell, style) if style else cell for cell, style in zip(cells, styles, strict=True)
        ).rstrip()


def styled(text: str, style: str) -> str:
    """A text in a style, which ends with it."""
    return f"{style}{text}{PLAIN_AGAIN}"


def visible_but_styles(text: str) -> str:
    r"""A text in which everything can be seen (`visible_lines`), with the styles of this module left as they are.

    Examples
    --------
    >>> visible_but_styles(styled("a", BOLD) + "\x1b[2J") == "\x1b[1ma\x1b[0m" + r"\x1b[2J"
    True
    """
    parts, end = [], 0
    for style in STYLES.finditer(text):
        parts += [visible(text[end : style.start()], keep="\n\t"), style[0]]
        end = style.end()
    return "".join([*parts, visible(text[end:], keep="\n\t")])
