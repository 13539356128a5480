"""Markdown and notebooks as HTML that a strict content policy lets pass: no script, no style attribute."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

# What a link of a document becomes on the site.
Translate = Callable[[str], str]
_STYLE = re.compile(r'(?P<before><[^<>]*?\s)style="(?P<style>[^"]*)"')
_CLASSED = re.compile(r'(<[^<>]*?\s)class="([^"]*)"([^<>]*?) class="([^"]*)"')


class _Renderer(RendererHTML):
    """Comments of a document are for its tests: they and all other HTML in it are not shown."""

    def html_block(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "" if tokens[idx].content.lstrip().startswith("<!--") else escape(tokens[idx].content)

    def html_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return self.html_block(tokens, idx, options, env)

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return highlighted(tokens[idx].content, tokens[idx].info.strip())

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "</table></div>\n"


def highlighted(code: str, language: str) -> str:
    """Code with a class for each kind of word."""
    try:
        lexer = get_lexer_by_name(language or "text")
    except ClassNotFound:
        lexer = get_lexer_by_name("text")
    inside = highlight(code, lexer, HtmlFormatter(nowrap=True))
    return f'<pre tabindex="0"><code>{inside}</code></pre>\n'


def from_markdown(text: str, translate: Translate, known: MutableMapping[str, int] | None = None) -> str:
    """A document's HTML; its headings have the names that GitHub gives them.

    Parameters
    ----------
    text : str
    translate : callable
        Gets each link and each image's place, returns where it leads on the site.
    known : dict of str to int, optional
        How often a heading's name was given before, in an earlier part of the same page; grows.
    """
    parser = MarkdownIt("commonmark", {"html": True}, renderer_cls=_Renderer).enable(["table", "strikethrough"])
    tokens = parser.parse(text)
    known = {} if known is None else known
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and following is not None:
            token.attrSet("id", heading_id("".join(_words(following)), known))
        for child in token.children or ():
            for attribute in ("href", "src"):
                if (link := child.attrGet(attribute)) is not None:
                    child.attrSet(attribute, translate(str(link)))
    return str(parser.renderer.render(tokens, parser.options, {}))


def _words(inline: Token) -> Iterator[str]:
    for child in inline.children or ():
        if child.type in ("text", "code_inline"):
            yield child.content


def heading_id(title: str, known: MutableMapping[str, int]) -> str:
    """The name of a heading in links, which is another the second time.

    Examples
    --------
    >>> known = {}
    >>> heading_id("A gate in CI", known), heading_id("A gate in CI?", known)
    ('a-gate-in-ci', 'a-gate-in-ci-1')
    """
    name = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    before = known.get(name, 0)
    known[name] = before + 1
    return f"{name}-{before}" if before else name


def from_notebook(path: Path, translate: Translate) -> tuple[str, dict[str, bytes]]:
    """A notebook with its outputs as HTML, and its pictures by their names."""
    pictures: dict[str, bytes] = {}
    known: dict[str, int] = {}
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(from_markdown(source, translate, known))
            continue
        parts.append(highlighted(source, "python"))
        for output in cell.get("outputs", ()):
            parts.append(f'<div class="output">{_output(output, path.stem, pictures)}</div>\n')
    return "".join(parts), pictures


def _output(output: dict[str, Any], stem: str, pictures: dict[str, bytes]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        shown = re.sub(r"<style.*?</style>", "", "".join(data["text/html"]), flags=re.DOTALL)
        return f'<div class="scroll" tabindex="0" role="group" aria-label="Output">{shown}</div>'
    if "image/png" in data:
        name = f"{stem}-{len(pictures)}.png"
        pictures[name] = base64.b64decode("".join(data["image/png"]))
        return f'<img src="{name}" alt="The figure that the code above draws">'
    text = "".join(output.get("text") or data.get("text/plain", ""))
    return f'<pre tabindex="0">{escape(text)}</pre>'


def without_styles(html: str, classes: MutableMapping[str, str]) -> str:
    """HTML whose style attributes are classes.

    Parameters
    ----------
    html : str
    classes : dict of str to str
        The class of each style attribute seen so far; grows.

    Examples
    --------
    >>> classes = {}
    >>> without_styles('<td style="text-align:right">1</td>', classes), classes
    ('<td class="s0">1</td>', {'text-align:right': 's0'})
    """

    def classed(tag: re.Match[str]) -> str:
        name = classes.setdefault(tag["style"].strip().rstrip(";"), f"s{len(classes)}")
        return f'{tag["before"]}class="{name}"'

    return _CLASSED.sub(r'\1class="\2 \4"\3', _STYLE.sub(classed, html))
