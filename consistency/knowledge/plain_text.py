"""Texts without the markup that models write: Markdown, HTML, LaTeX and full-width letters, with the way back."""

from __future__ import annotations

import re
from dataclasses import dataclass

# What stands in a plain text for a formula.
FORMULA = "¤"
_WRAPPERS = r"text(?:bf|it|rm|sf|tt)?|math(?:bf|rm|sf|it|tt)|emph|underline|bm"
_FORMULAS = re.compile(
    r"\$\$(?P<a>.{1,400}?)\$\$|(?<![\\$A-Za-z0-9])\$(?![\s$])(?P<b>[^$\n]{1,200}?)(?<![\s\\])\$(?![\d$])"
    r"|\\\((?P<c>.{1,200}?)\\\)|\\\[(?P<d>.{1,400}?)\\\]",
    re.DOTALL,
)
_NO_FORMULA = re.compile(
    rf"\\(?:boxed|fbox|{_WRAPPERS})\b|[A-Za-z]{{2,}}\s+[A-Za-z]{{2,}}|\A[\s{{}}().]*[A-Za-z][\s{{}}().]*\Z"
)
_MARKUP = re.compile(
    r"(?P<break></?(?:p|div|br|hr|li|ul|ol|h[1-6]|t[rdh]|table)\b[^<>]{0,200}>)"
    r"|(?P<tag></?(?:b|i|u|s|em|strong|code|span|font|mark|tt|kbd|small|big|del|ins|sub|sup|a)\b[^<>]{0,200}>)"
    r"|(?P<boxed>\\(?:boxed|fbox)\s*\{)"
    rf"|(?P<wrapper>\\(?:{_WRAPPERS})\s*\{{|\}}|`+|~~|\\[()\[\]])"
    r"|(?P<item>^[ \t]*(?:(?:[#>]+|[-*+•·–]|\d{1,2}[.)、])[ \t]+)+)"
    r"|(?P<emphasis>\*+|_+)",
    re.MULTILINE | re.IGNORECASE,
)
_SPACES = re.compile(r"\s{2,}")
# Ａ, ａ, Ⓐ and ⓐ to A and a, and spaces that do not break.
_FORMS = {
    first + step: ord(plain) + step
    for first, plain in ((0xFF21, "A"), (0xFF41, "a"), (0x24B6, "A"), (0x24D0, "a"))
    for step in range(26)
}
_SIGNS = _FORMS | {0xA0: " ", 0x202F: " ", 0x2011: "-"}


@dataclass(frozen=True)
class Plain:
    """A text without markup.

    Attributes
    ----------
    text : str
        The plain text. A formula is one ``FORMULA``, and before what is boxed stands "answer: ".
    places : list of int
        For each of its signs the place in the text with markup; -1 for signs that this does not have.
    """

    text: str
    places: list[int]


def plain_text(text: str) -> Plain:
    """A text without markup, and where its signs stood.

    Emphasis around words goes, a product (``A * B``, ``A*B``) and an index (``x_B``) stay. A single letter as a formula
    (``$B$``) is that letter.

    Examples
    --------
    >>> plain_text("- **B**: so <b>B</b>, as $a = b$").text
    'B: so B, as ¤'
    """
    parts: list[str] = []
    places: list[int] = []

    def keep(start: int, end: int) -> None:
        parts.append(text[start:end].translate(_SIGNS))
        places.extend(range(start, end))

    def add(signs: str) -> None:
        parts.append(signs)
        places.extend([-1] * len(signs))

    done = 0
    for start, end, instead in _removed(text):
        if start >= done:
            keep(done, start)
            add(instead)
            done = end
    keep(done, len(text))
    return _squeezed("".join(parts), places)


def _squeezed(text: str, places: list[int]) -> Plain:
    """A text with one space or line break for several."""
    parts: list[str] = []
    kept: list[int] = []
    done = 0
    for match in _SPACES.finditer(text):
        parts += [text[done : match.start()], "\n" if "\n" in match[0] else " "]
        kept += [*places[done : match.start()], -1]
        done = match.end()
    return Plain("".join([*parts, text[done:]]), kept + places[done:])


def like(letter: str, sign: str) -> str:
    """A letter in the form of a sign: small, full-width or circled as this is."""
    plain = sign.translate(_FORMS)
    return chr(ord(letter.upper() if plain.isupper() else letter.lower()) + ord(sign) - ord(plain))


def _removed(text: str) -> list[tuple[int, int, str]]:
    """Spans of markup and of formulas, in order, with what stands instead."""
    found = []
    for match in _FORMULAS.finditer(text):
        start, end = match.span(match.lastgroup or 0)
        if _NO_FORMULA.search(text[start:end]) is None:
            found.append((match.start(), match.end(), FORMULA))
        elif match.lastgroup in ("a", "b"):
            found += [(match.start(), start, ""), (end, match.end(), "")]
    for match in _MARKUP.finditer(text):
        instead = "\n" if match["break"] else "answer: " if match["boxed"] else ""
        if match["emphasis"]:
            before, behind = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
            if not before.strip() and not behind.strip():
                continue
            if _in_word(before) and _in_word(behind):
                # A product or a name, unless the letter is all that stands between such signs.
                if not _around_a_letter(text, match):
                    continue
                instead = " "
        found.append((*match.span(), instead))
    # Of two that begin together, a formula comes before its first sign.
    return sorted(found, key=lambda span: (span[0], -span[1]))


def _in_word(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()


def _around_a_letter(text: str, match: re.Match[str]) -> bool:
    """Whether a run of two or more signs begins or ends what the same run ends or begins a letter later: ``so**B**is``."""
    size, start, end = len(match[0]), *match.span()
    return size > 1 and match[0] in (text[max(0, start - 1 - size) : start - 1], text[end + 1 : end + 1 + size])
