"""Build the documentation as a static site that needs no server and no network: `make docs`.

    python scripts/build_site.py build/site
    python scripts/build_site.py build/site --without gallery --without api    # the documents alone, in seconds

Its pages are the documents (README, CHANGELOG, docs, and all that these link to), the notebook, the API reference and the
gallery. If a link leads nowhere, the lines that say so are printed, nothing is replaced, and the exit
code is 1; it is 2 if the folder holds something else.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from website import api, gallery
from website.markup import from_markdown, from_notebook, highlighted, without_styles
from website.reading import Read, Section, dead_links, is_outside, read_page

from consistency.support.version import VERSION

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# A page from a file has no origin: 'self' is for a server, file: for a folder.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; img-src 'self' file: data:; "
    "base-uri 'none'; form-action 'none'"
)
# The documents by group, with what the menu calls them. A document that is not named here and that one of these links to
# stands below the one whose folder it is in.
MENU = {
    "Start": {"README.md": "Overview", "docs/notebook.ipynb": "A broken fine-tune, step by step"},
    "Guides": {
        "docs/cookbook.md": "Cookbook",
        "docs/evaluating.md": "Evaluating",
        "docs/experiments.md": "Running an experiment",
        "docs/watch.md": "Watching a training",
        "docs/groups.md": "Groups, maps and audits",
        "docs/formats.md": "Formats that are read",
        "axolotl_configs/README.md": "Training configs",
        "lm_eval_tasks/README.md": "Tasks",
        "docs/rotatable_tasks.md": "Tasks in all rotations",
        "scripts/profiles/README.md": "Profiles of a grid",
    },
    "Reference": {
        "docs/methods.md": "Methods",
        "docs/statistics.md": "Statistics",
        "docs/comparison_schema.md": "A comparison in JSON",
        "docs/report_schema.md": "Files of a report",
    },
    "Results": {
        "docs/results/world/README.md": "The embedded world",
        "docs/results/qwen2.5-coder-1.5b/README.md": "Qwen2.5-Coder-1.5B",
    },
    "Project": {
        "CHANGELOG.md": "Changes",
        "docs/architecture.md": "The rooms of the package",
        "consistency/world/base_model/README.md": "The base model",
    },
}
# Documents that a command writes: the site says below each which one.
MADE_BY = {
    "docs/results/world/report.md": "make world-paper",
    "docs/results/world/claims.md": "python scripts/published_claims.py runs/world-paper/report",
    "docs/results/world/seeds/report.md": "make world-seeds",
    "docs/results/world/seeds/claims.md": "python scripts/published_claims.py runs/world-seeds/report",
    "docs/results/world/cpu_and_gpu.md": "python scripts/same_conclusions.py docs/results/world runs/world-paper-gpu/report",
    "docs/results/qwen2.5-coder-1.5b/tables.md": "python scripts/real_model.py docs/results/qwen2.5-coder-1.5b",
    "docs/rotatable_tasks.md": "python scripts/survey_rotations.py",
}
GALLERY = "gallery/index.html"
API = "api/consistency.html"
INDEX = "search-index.js"
_SPACES = re.compile(r"\s+")


@dataclass
class Page:
    """A page of the site.

    Attributes
    ----------
    target : str
        Its place on the site.
    html : str
        The text.
    source : str
        The document it was made from; empty for one that was made from code.
    is_api : bool
        Whether it is of the API reference.
    title : str
        Its first heading.
    toc : list of Section
        The headings below it, two levels.
    """

    target: str
    html: Markup
    source: str = ""
    is_api: bool = False
    title: str = field(init=False)
    toc: list[Section] = field(init=False)

    def __post_init__(self) -> None:
        sections = read_page(f"<main>{self.html}</main>").sections
        title = next((section.title for section in sections if section.level == 1), "")
        self.title = _SPACES.sub(" ", title).strip() or Path(self.target).stem
        self.toc = [] if self.is_api else [section for section in sections if section.level in (2, 3)]
        if len(self.toc) > 40:
            self.toc = [section for section in self.toc if section.level == 2]


@dataclass(frozen=True)
class Entry:
    """A line of the menu."""

    target: str
    label: str
    inner: bool = False


class Documents:
    """The documents and all that they link to.

    Attributes
    ----------
    pages : dict of str to Page
        By the document's path in the repository.
    files : set of str
        Paths of files that they show or link to.
    made : dict of str to bytes
        Pictures of the notebook, by their places on the site.
    problems : list of str
        Links to what is not there.
    """

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.files: set[str] = set()
        self.made: dict[str, bytes] = {}
        self.problems: list[str] = []
        listed = [name for group in MENU.values() for name in group]
        self._waiting = [*listed, *(path.relative_to(ROOT).as_posix() for path in sorted(ROOT.glob("docs/**/*.md")))]
        while self._waiting:
            name = self._waiting.pop(0)
            if name not in self.pages:
                self.pages[name] = self._page(name)

    def _page(self, name: str) -> Page:
        def translate(link: str) -> str:
            return self._translated(name, link)

        if name.endswith(".ipynb"):
            text, pictures = from_notebook(ROOT / name, translate)
            folder = Path(name).parent
            self.made |= {(folder / picture).as_posix(): content for picture, content in pictures.items()}
        else:
            text = from_markdown((ROOT / name).read_text(encoding="utf-8"), translate)
        return Page(place(name), Markup(text), name)

    def _translated(self, name: str, link: str) -> str:
        if is_outside(link) or link.startswith("#"):
            return link
        parts = urlsplit(link)
        path = Path(os.path.normpath(ROOT / Path(name).parent / parts.path))
        if path.is_dir() and (path / "README.md").is_file():
            path /= "README.md"
        if not path.is_file() or not path.is_relative_to(ROOT):
            self.problems.append(f"{name}: {link} leads to no file of the repository")
            return link
        found = path.relative_to(ROOT).as_posix()
        target = found
        if path.suffix in (".md", ".ipynb"):
            self._waiting.append(found)
            target = place(found)
        else:
            self.files.add(found)
        relative = Path(os.path.relpath(target, Path(place(name)).parent)).as_posix()
        return f"{relative}#{parts.fragment}" if parts.fragment else relative


def place(name: str) -> str:
    """Where a document is on the site.

    Examples
    --------
    >>> place("docs/results/world/README.md"), place("docs/methods.md")
    ('docs/results/world/index.html', 'docs/methods.html')
    """
    path = Path(name)
    return path.with_name("index.html" if path.name == "README.md" else f"{path.stem}.html").as_posix()


def menu(pages: Mapping[str, Page], further: Mapping[str, list[Entry]]) -> dict[str, list[Entry]]:
    """The lines of the menu by group."""
    listed = {name for group in MENU.values() for name in group}
    inner: dict[str, list[Entry]] = {}
    for name, page in sorted(pages.items()):
        if name not in listed:
            folders = [other for other in listed if Path(other).parent in Path(name).parents]
            above = max(folders, key=lambda other: (len(Path(other).parts), other.endswith("README.md"), other))
            inner.setdefault(above, []).append(Entry(page.target, page.title.partition(":")[0], inner=True))
    return {
        group: [
            entry for name, label in names.items() for entry in (Entry(pages[name].target, label), *inner.get(name, ()))
        ]
        + further.get(group, [])
        for group, names in MENU.items()
    }


def api_pages(only: list[str]) -> Iterator[Page]:
    """The pages of the API reference."""
    for path, parts in api.modules(only):
        names = f'<details class="names"><summary>Modules</summary>{parts["names"]}</details>' if parts["names"] else ""
        content = re.sub(r"</?main[^>]*>", "", parts["content"]).replace("<h1", f'<h1 id="{escape(parts["title"])}"', 1)
        before, end, after = _without_lost_links(content).partition("</h1>")
        yield Page(f"api/{path}", Markup(f"{before}{end}{names}{after}"), is_api=True)


def _without_lost_links(content: str) -> str:
    """A module's page without links to names that pdoc leaves out, such as those that begin with an underscore."""
    there = read_page(content).ids
    return re.sub(r'<a href="#([^"]+)">(.*?)</a>', lambda link: link[0] if link[1] in there else link[2], content)


def gallery_page(out: Path) -> Page:
    """Write the examples of the gallery, and the page that lists them."""
    cards = []
    with tempfile.TemporaryDirectory() as work:
        for example in gallery.write_examples(ROOT, out / "gallery", Path(work)):
            commands = "\n".join(f"$ {command}" for command in example.commands)
            cards.append(
                f'<h2 id="{example.name}"><a href="{example.name}/report.html">{escape(example.title)}</a></h2>\n'
                + from_markdown(example.text, str)
                + f'<p><a href="{example.name}/report.html">Open the page</a>. The commands that made it:</p>\n'
                + highlighted(commands, "console")
            )
    head = (
        '<h1 id="gallery">Gallery</h1>\n<p>Pages as the commands write them, made from data that ships with the project '
        "when this site was built. Each is a file that loads nothing from the network.</p>\n"
    )
    grid = (
        '<h2 id="grid"><a href="../docs/results/world/report.html">The report of an experiment</a></h2>\n<p>Nine groups of '
        "training questions on four domains of the embedded world, as the command left it in Markdown.</p>\n"
        + highlighted("$ make world-paper", "console")
    )
    return Page(GALLERY, Markup(head + "".join(cards) + grid))


def index(pages: Mapping[str, Read], titles: Mapping[str, str]) -> str:
    """The script that holds what the search looks through: page, heading and text of each section."""
    rows = []
    for target, read in pages.items():
        for section in read.sections:
            title, text = (_SPACES.sub(" ", part).strip() for part in (section.title, section.text))
            anchor = "" if section.level == 1 else f"#{section.anchor}"
            rows.append([f"{target}{anchor}", titles[target], title, text])
    text = json.dumps(rows, ensure_ascii=False, separators=(",", ":")).replace("\u2028", " ").replace("\u2029", " ")
    return f"globalThis.siteIndex = {text};\n"


def build(out: Path, without: set[str], modules: list[str]) -> list[str]:
    """Write the site, and return what is wrong with it."""
    documents = Documents()
    pages = list(documents.pages.values())
    further: dict[str, list[Entry]] = {}
    if "gallery" not in without:
        pages.append(gallery_page(out))
        further["Start"] = [Entry(GALLERY, "Gallery")]
    if "api" not in without:
        pages += api_pages(modules)
        further["Reference"] = [Entry(API, "API")]
    navigation = menu(documents.pages, further)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "website"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html.j2")
    classes: dict[str, str] = {}
    read: dict[str, Read] = {}
    for page in pages:
        page.html = Markup(without_styles(page.html, classes))
        text = template.render(
            page=page,
            navigation=navigation,
            top="../" * page.target.count("/"),
            policy=POLICY,
            made_by=MADE_BY.get(page.source, ""),
            project=PROJECT["name"],
            version=VERSION,
        )
        path = out / page.target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        read[page.target] = read_page(text)
    for name in documents.files:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, out / name)
    for name, content in documents.made.items():
        (out / name).write_bytes(content)
    own = Path(__file__).parent / "website"
    rules = "".join(f".{name} {{ {style} }}\n" for style, name in classes.items())
    (out / "site.css").write_text((own / "site.css").read_text(encoding="utf-8") + rules, encoding="utf-8")
    for script in own.glob("*.js"):
        shutil.copyfile(script, out / script.name)
    (out / INDEX).write_text(index(read, {page.target: page.title for page in pages}), encoding="utf-8")
    for report in out.glob("gallery/*/report.html"):
        # Its policy is its own, and its script makes places of its own in the page.
        links = [link for link in read_page(report.read_text(encoding="utf-8")).links if not link.startswith("#")]
        read[report.relative_to(out).as_posix()] = Read(links=links)
    return [*documents.problems, *dead_links(out, read)]


def main() -> int:
    """Build, check, and replace what was there before."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", action="append", choices=("api", "gallery"), default=[])
    parser.add_argument("--module", action="append", default=[], help="of the API only this module; may be repeated")
    given = parser.parse_args()
    out: Path = given.out.resolve()
    if out.exists() and not (out / INDEX).is_file():
        print(f"{out} is no site that this program made: name another folder", file=sys.stderr)
        return 2
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as folder:
        new = Path(folder) / "site"
        new.mkdir()
        problems = build(new, set(given.without), given.module)
        if problems:
            print("\n".join(problems), file=sys.stderr)
            return 1
        if out.exists():
            out.rename(Path(folder) / "old")
        new.rename(out)
    pages = sum(1 for _ in out.rglob("*.html"))
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out / 'index.html'}: {pages} pages, {size / 1e6:.1f} MB, no dead link")
    return 0


if __name__ == "__main__":
    sys.exit(main())
