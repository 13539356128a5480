"""A section and its metadata in the README of a model, between marks of their own; all else in it stays as it is.

The section stands between two comments of Markdown, the metadata between two comments of YAML in the front matter. Both are
found by their marks and replaced; where there are none, the section is put at the end and the metadata at the end of the front
matter, which is made if it is missing. The file is treated as bytes: the ends of its lines stay what they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from consistency.errors import InputError
from consistency.support.yaml_files import parse_yaml

BEGIN, END = "<!-- consistency:begin -->", "<!-- consistency:end -->"
YAML_BEGIN, YAML_END = "# consistency:begin", "# consistency:end"
KEY = "model-index"
_BOM = b"\xef\xbb\xbf"
# As huggingface_hub finds a front matter.
_OPENS = re.compile(rb"\s*---(?:\r\n|\n|\r)")
_CLOSES = re.compile(rb"---(?:\r\n|\n|\Z)")
_MATTER = "the front matter of a model card"


def card_text(metadata: str, section: str) -> str:
    """A model card that holds nothing else.

    Parameters
    ----------
    metadata : str
        Lines of YAML; empty for none.
    section : str
        Markdown.
    """
    return with_section(b"", metadata, section, Path("README.md")).decode()


def with_section(readme: bytes, metadata: str, section: str, path: Path) -> bytes:
    r"""A README with a section and metadata, in place of those of an earlier time.

    Parameters
    ----------
    readme : bytes
        Its content; empty for a new one.
    metadata : str
        Lines of YAML that set `model-index`; empty to leave the front matter alone.
    section : str
        Markdown that ends with a line feed.
    path : Path
        Of the README, for error messages.

    Returns
    -------
    bytes
        With the same arguments again, it stays what it is.

    Raises
    ------
    InputError
        If a mark is missing, there twice or in the wrong order, the file is not UTF-8, the front matter has no end, is no YAML or
        begins with more than ---, or there is a `model-index` that is not between the marks.

    Examples
    --------
    >>> print(with_section(b"# A model\n", "", "## Changes\n", Path("README.md")).decode(), end="")
    # A model
    <BLANKLINE>
    <!-- consistency:begin -->
    ## Changes
    <!-- consistency:end -->
    """
    try:
        readme.decode()
    except UnicodeDecodeError as error:
        line = readme.count(b"\n", 0, error.start) + 1
        raise InputError(f"not UTF-8: {error.reason}", do="save it as UTF-8", path=path, line=line) from None
    end = b"\r\n" if b"\r\n" in readme else b"\n"
    body = readme.removeprefix(_BOM)
    bom = readme[: len(readme) - len(body)]
    head = matter = b""
    offset = 0
    if metadata:
        head, matter, body = _split(body, path)
        offset = (head + matter).count(b"\n")
        own = _replaced(matter, _lines(metadata, end), (YAML_BEGIN, YAML_END), end, path, head.count(b"\n"))
        _check(matter, own, path, head.count(b"\n"))
        close = b"" if head else b"---" + end
        head, matter = head or close, own + close
    body = _replaced(body, _lines(section, end), (BEGIN, END), end, path, offset, gap=end if head or body else b"")
    return bom + head + matter + body


def _split(readme: bytes, path: Path) -> tuple[bytes, bytes, bytes]:
    """The line that opens the front matter, its lines, and the rest from the line that closes it; without one, the rest alone."""
    opened = _OPENS.match(readme)
    if opened is None:
        first = readme.lstrip().partition(b"\n")[0].rstrip(b"\r")
        if first != b"---" and first.rstrip() == b"---":
            # One program takes this for a front matter, another one for text.
            place = readme[: readme.index(b"---")].count(b"\n") + 1
            raise InputError("spaces behind the --- of its front matter", do="remove them", path=path, line=place)
        return b"", b"", readme
    place = start = opened.end()
    for line in readme[start:].splitlines(keepends=True):
        if _CLOSES.fullmatch(line):
            return readme[:start], readme[start:place], readme[place:]
        place += len(line)
    raise InputError("a front matter without an end", expected="a line --- behind it", path=path, line=1)


def _check(before: bytes, after: bytes, path: Path, offset: int) -> None:
    """Refuse a front matter that does not become a mapping with one more key."""
    marked = YAML_BEGIN.encode() in before
    without = _replaced(before, b"", (YAML_BEGIN, YAML_END), b"\n", path, offset) if marked else before
    # Lines are counted from the file's first.
    found = parse_yaml("\n" * offset + without.decode(), _MATTER, path) or {}
    if not isinstance(found, dict):
        raise InputError("a front matter that is no mapping", expected="KEY: VALUE", path=path, line=offset + 1)
    if KEY in found:
        raise InputError(
            f"its front matter has a {KEY} that this command did not write",
            do="remove it, or leave the front matter alone with --no-metadata",
            path=path,
        )
    try:
        parsed = parse_yaml(after.decode(), _MATTER, path)
    except InputError:
        parsed = None
    # By their texts: a number that is not one is not equal to itself.
    if not isinstance(parsed, dict) or repr({key: parsed[key] for key in parsed if key != KEY}) != repr(found):
        raise InputError(
            f"no {KEY} can be added to its front matter",
            expected="lines KEY: VALUE",
            do="write it so, or leave it alone with --no-metadata",
            path=path,
            line=offset + 1,
        )


def _replaced(
    text: bytes, lines: bytes, marks: tuple[str, str], end: bytes, path: Path, offset: int, gap: bytes = b""
) -> bytes:
    """A text with lines between two marks: in place of those between them, else at its end, behind a gap."""
    begin, last = (mark.encode() for mark in marks)
    block = begin + end + lines + last
    found = [
        (mark.group().strip(), mark.start(), mark.end())
        for mark in re.finditer(rb"^(?:%s|%s)[ \t]*(?=\r?$)" % (re.escape(begin), re.escape(last)), text, re.MULTILINE)
    ]
    if not found:
        if text and not text.endswith((b"\n", b"\r")):
            text += end
        return text + gap + block + end
    if [mark for mark, _, _ in found] != [begin, last]:
        line = offset + text.count(b"\n", 0, found[0][1]) + 1
        raise InputError(
            f"damaged marks: {' '.join(mark.decode() for mark, _, _ in found)}",
            expected=f"{marks[0]} once, then {marks[1]} once, each on a line of its own",
            do="repair or remove them",
            path=path,
            line=line,
        )
    return text[: found[0][1]] + block + text[found[1][2] :]


def _lines(text: str, end: bytes) -> bytes:
    return text.encode().replace(b"\n", end)
