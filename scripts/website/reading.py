"""What a page holds: the places that can be linked to, its links, and its text by section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SILENT = ("script", "style", "svg", "nav", "template")
_BLOCKS = {"p", "li", "tr", "pre", "div", "section", "td", "th", "dt", "dd", "br", "ul", "table", *_HEADINGS}


@dataclass
class Section:
    """A heading and the text below it.

    Attributes
    ----------
    anchor : str
        The name by which a link reaches it.
    level : int
        1 for the page's title.
    title, text : str
    """

    anchor: str
    level: int
    title: str = ""
    text: str = ""


@dataclass
class Read:
    """A page as read.

    Attributes
    ----------
    ids : set of str
    links : list of str
        All that it leads to or loads.
    sections : list of Section
    forbidden : list of str
        What the site's content policy would refuse: scripts, styles and handlers inside the page.
    """

    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.read = Read()
        self._in_main = False
        self._silent = 0
        self._title: int | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        name = given.get("id")
        if name:
            self.read.ids.add(name)
        self.read.links += [value for key in ("href", "src") if (value := given.get(key)) is not None]
        self.read.forbidden += [f"<{tag} {key}>" for key in given if key == "style" or key.startswith("on")]
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.read.forbidden.append(f"<{tag}>")
        self._in_main |= tag == "main"
        if tag in _SILENT:
            self._silent += 1
        if not self._in_main or self._silent:
            return
        if tag in _HEADINGS and name:
            self.read.sections.append(Section(name, _HEADINGS[tag]))
            self._title = _HEADINGS[tag]
        elif name and (tag == "section" or given.get("class") == "classattr"):
            # A name of the API has no heading.
            self.read.sections.append(Section(name, 3, name))
        elif tag in _BLOCKS:
            self._add(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "main":
            self._in_main = False
        if tag in _SILENT:
            self._silent -= 1
        if tag in _HEADINGS:
            self._title = None

    def handle_data(self, data: str) -> None:
        if self._in_main and not self._silent:
            self._add(data)

    def _add(self, text: str) -> None:
        if not self.read.sections:
            return
        section = self.read.sections[-1]
        if self._title is not None:
            section.title += text
        else:
            section.text += text


def read_page(html: str) -> Read:
    """Read a page.

    Examples
    --------
    >>> read_page('<main><h1 id="a">A <code>b</code></h1><p>Text</p></main>').sections
    [Section(anchor='a', level=1, title='A b', text=' Text')]
    """
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.read


def is_outside(link: str) -> bool:
    """Whether a link leaves the site."""
    return bool(urlsplit(link).scheme) or link.startswith("//")


def dead_links(folder: Path, pages: Mapping[str, Read]) -> Iterator[str]:
    """Links that lead nowhere, and what the content policy would refuse; a line for each.

    Parameters
    ----------
    folder : Path
        The site.
    pages : dict of str to Read
        Its pages, by their paths in the folder.
    """
    for page, read in pages.items():
        for what in dict.fromkeys(read.forbidden):
            yield f"{page}: {what} is refused by the content policy"
        for link in dict.fromkeys(read.links):
            if is_outside(link):
                continue
            parts = urlsplit(link)
            target = _joined(PurePosixPath(page), unquote(parts.path))
            anchor = unquote(parts.fragment)
            if target is None or not (folder / target).is_file():
                yield f"{page}: {link} leads to no file"
            elif anchor and target in pages and anchor not in pages[target].ids:
                yield f"{page}: {link} leads to no place in {target}"


def _joined(page: PurePosixPath, path: str) -> str | None:
    """A link's path in the site; None if it leaves its folder."""
    if not path:
        return str(page)
    parts: list[str] = []
    for part in (page.parent / path).parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part not in (".", "/"):
            parts.append(part)
    return "/".join(parts)
