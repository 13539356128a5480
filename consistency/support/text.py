"""Text of data and models, made safe to print."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

# In tables such a number would take all the room, and its last digits say nothing.
_LARGE = 1e7
# Printable by Python's rules, and yet nothing to be seen: fillers, joiners, variation selectors, empty signs.
_BLANK = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
# Not printable by Python's rules, and yet seen: spaces as wide as they look, and Arabic number signs.
_SEEN = "\u00a0\u2009\u202f\u3000\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2"
# The flags of England, Scotland and Wales are spelt in tags.
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{2,6}\U000e007f")
_CJK = ((0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x323AF))
# Scripts whose letters join, so that a joiner between two of them decides how they look.
_JOINING = ((0x0600, 0x0DFF), (0x0F00, 0x109F), (0x1780, 0x1AAF), (0xA800, 0xABFF), (0xFB50, 0xFDFF), (0xFE70, 0xFEFC))
_SKIN = (0x1F3FB, 0x1F3FF)


def visible(text: str, keep: str = "", escape: Callable[[str], str] | None = None) -> str:
    r"""The text on one line, with everything in it to be seen: what steers a terminal, turns the writing or hides is an escape.

    Parameters
    ----------
    text : str
        Escaped are control characters, bidirectional controls, separators of lines, lone surrogates, characters without
        width, and what Unicode has not assigned or leaves to private use. Letters of all scripts, combining marks and emoji
        stay, and so do joiners and variation selectors where they decide how the character before them looks.
    keep : str
        Characters that stay, such as a line feed.
    escape : callable, optional
        From a character to its escape; by default that of Python's strings.

    Examples
    --------
    >>> print(visible("a\n\x1b[2J"), visible("\u202eabc\u200b"), visible("中文 👩\u200d🔬 é"))
    a\n\x1b[2J \u202eabc\u200b 中文 👩‍🔬 é
    """
    if text.isascii() and text.isprintable():
        return text
    hidden = {c for c in set(text) if not c.isprintable() or _BLANK.match(c)}.difference(keep, _SEEN)
    if not hidden:
        return text
    escape = escape or _escaped
    flags = {place for flag in _FLAG.finditer(text) for place in range(*flag.span())} if "\U000e007f" in text else ()
    return "".join(
        character if character not in hidden or place in flags or _shapes(text, place) else escape(character)
        for place, character in enumerate(text)
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _shapes(text: str, place: int) -> bool:
    """Whether a character without width decides how its neighbours look, and may stay."""
    character = text[place]
    if character not in "\u200c\u200d" and not _BLANK.match(character):
        return False
    before, after = text[place - 1 : place], text[place + 1 : place + 2]
    if not before:
        return False
    kind = unicodedata.category(before)
    if character in "\u200c\u200d":
        pictures = character == "\u200d" and _is_picture(before) and _is_picture(after)
        return pictures or unicodedata.combining(before) == 9 or (_joins(before) and _joins(after))
    if "\ufe00" <= character <= "\ufe0f":
        # Of symbols, of a key's cap, and of Chinese characters.
        key = before in "#*0123456789" and after == "\u20e3"
        return key or before in "©®" or (before >= "\u203c" and kind[0] in "SPL")
    if character >= "\U000e0100":
        return _within(before, _CJK)
    return "\u180b" <= character <= "\u180f" and _within(before, ((0x1820, 0x18AA),))


def _is_picture(character: str) -> bool:
    return character >= "\u2190" and (
        unicodedata.category(character) == "So" or character == "\ufe0f" or _within(character, (_SKIN,))
    )


def _joins(character: str) -> bool:
    return bool(character) and unicodedata.category(character)[0] in "LM" and _within(character, _JOINING)


def _within(character: str, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(low <= ord(character) <= high for low, high in ranges)


def visible_lines(text: str) -> str:
    r"""A text of several lines, in which all but its line feeds and tabs is visible.

    Examples
    --------
    >>> print(visible_lines("one\r\ntwo\x1b"))
    one
    two\x1b
    """
    return visible(text.replace("\r\n", "\n"), keep="\n\t")


def joined(lines: Iterable[str]) -> str:
    r"""Lines of a text, each made visible: a name cannot begin a line of its own.

    Examples
    --------
    >>> print(joined(["two", "lines\nin all"]))
    two
    lines\nin all
    """
    return "\n".join(map(visible, lines))


def visible_json(text: str) -> str:
    r"""JSON in which what `visible` escapes is escaped as JSON has it.

    Examples
    --------
    >>> print(visible_json('{"a": "\u202e\x9b"}'))
    {"a": "\u202e\u009b"}
    """
    return visible(text, keep="\n", escape=json_escape)


def json_escape(character: str) -> str:
    r"""A character as JSON's escape, beyond the first 65,536 as a pair.

    Examples
    --------
    >>> print(json_escape("é"), json_escape("😀"))
    \u00e9 \ud83d\ude00
    """
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in zip(units[::2], units[1::2], strict=True))


def width(text: str) -> int:
    """Columns that a text takes in a terminal: two for each wide character, none for what stands over another.

    Examples
    --------
    >>> width("abc"), width("中文"), width("e\u0301")
    (3, 4, 1)
    """
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def padded(text: str, columns: int, *, right: bool = False) -> str:
    """A text filled with spaces to so many columns of a terminal; `right` puts them before it.

    Examples
    --------
    >>> padded("中", 4) + "|", padded("1", 3, right=True)
    ('中  |', '  1')
    """
    space = " " * (columns - width(text))
    return space + text if right else text + space


# What would be markup in a line or a cell of Markdown, or a link that nobody made.
_MARKUP = re.compile(r"([\\`*_\[\]|~$#])")


def markdown(words: str) -> str:
    r"""Words on one line, escaped for Markdown.

    Examples
    --------
    >>> markdown("a|b <i> *c*")
    'a\\|b &lt;i&gt; \\*c\\*'
    """
    words = " ".join(visible_lines(words).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKUP.sub(r"\\\1", words)


def shortened(names: Sequence[str], most: int = 5) -> str:
    """Names in one line, at most so many of them.

    Examples
    --------
    >>> shortened(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def begun(text: str, most: int) -> str:
    """A text, or so many characters of it, the last of which is an ellipsis.

    Examples
    --------
    >>> begun("Which is right?", 20), begun("Which is right?", 7)
    ('Which is right?', 'Which…')
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def common_beginning(names: Sequence[str]) -> str:
    """What all of several names begin with, up to an underscore or a hyphen; empty of one name.

    Examples
    --------
    >>> common_beginning(["mmlu_anatomy", "mmlu_astronomy"]), common_beginning(["step-10", "step-20"]), common_beginning(["law"])
    ('mmlu_', 'step-', '')
    """
    if len(names) < 2:
        return ""
    common, last = min(names), max(names)
    while not last.startswith(common):
        common = common[:-1]
    return common[: max(common.rfind("_"), common.rfind("-")) + 1]


def counted(count: int, noun: str, verb: str = "") -> str:
    """A number of things, and what they do.

    Examples
    --------
    >>> counted(2, "question", "have"), counted(1, "question", "have"), counted(1, "row", "repeat"), counted(0, "row")
    ('2 questions have', '1 question has', '1 row repeats', '0 rows')
    >>> counted(14042, "question")
    '14,042 questions'
    """
    if count != 1:
        return f"{count:,} {noun}s {verb}".rstrip()
    return f"1 {noun} {'has' if verb == 'have' else verb and verb + 's'}".rstrip()


def of_points(x: float) -> str:
    """A size in points.

    Examples
    --------
    >>> of_points(1.0), of_points(0.5)
    ('1 point', '0.5 points')
    """
    return f"{x:g} point" if x == 1 else f"{x:g} points"


def decimal(value: float, digits: int = 2, sign: str = "") -> str:
    """A number with its digits behind the point; one of eight places or more in a short form with a power of ten.

    Parameters
    ----------
    value : float
    digits : int
    sign : str
        "+" for one in front of positive numbers, too.

    Examples
    --------
    >>> decimal(0.12345, 3), decimal(0.5, sign="+"), decimal(1e307, 4), decimal(-1.5e8, 1), decimal(-0.0001, 3)
    ('0.123', '+0.50', '1.00e+307', '-1.5e+08', '0.000')
    """
    return f"{value:{sign}z.{digits}f}" if abs(value) < _LARGE else f"{value:{sign}.{min(digits, 2)}e}"


def p_value(p: float | None) -> str:
    """A p-value as papers print it.

    Examples
    --------
    >>> p_value(0.00003), p_value(0.0421), p_value(None)
    ('< .001', '.042', '–')
    """
    if p is None:
        return "–"
    return "< .001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def p_equals(p: float | None) -> str:
    """A p-value with its name, for a sentence.

    Examples
    --------
    >>> p_equals(0.00003), p_equals(0.0421)
    ('p < .001', 'p = .042')
    """
    found = p_value(p)
    return f"p {found}" if found.startswith("<") else f"p = {found}"
