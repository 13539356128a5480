"""The documentation as a site: every link leads somewhere, the search works from a folder, and figures name their command."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from build_site import MADE_BY, POLICY  # noqa: E402
from website.reading import dead_links, read_page  # noqa: E402

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DOCUMENTS = [
    ROOT / "README.md",
    *sorted(ROOT.glob("docs/**/*.md")),
    *sorted(ROOT.glob("axolotl_configs/**/*.md")),
    *sorted(ROOT.glob("lm_eval_tasks/**/*.md")),
]
IMAGE = re.compile(r"^!\[[^\]]*\]\([^)]+\)$", re.MULTILINE)
MADE = re.compile(r"[Mm]ade by `([^`]+)`")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documents and a part of the API, as `make docs` builds them."""
    pytest.importorskip("pdoc")
    out = tmp_path_factory.mktemp("site") / "site"
    command = [
        sys.executable,
        "-W",
        "error::UserWarning",
        ROOT / "scripts" / "build_site.py",
        out,
        "--without",
        "gallery",
    ]
    done = subprocess.run([*map(str, command), "--module", "metrics"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


def test_every_document_is_a_page_and_asks_for_nothing_from_elsewhere(site: Path) -> None:
    for document in ROOT.glob("docs/**/*.md"):
        name = document.relative_to(ROOT)
        page = site / (name.with_name("index.html") if name.name == "README.md" else name.with_suffix(".html"))
        text = page.read_text()
        assert escape(POLICY).replace("&#x27;", "&#39;") in text
        assert not re.search(r'(<(script|img|iframe)[^>]*src|<link[^>]*href)="(https?:)?//', text)
    assert "Changelog" in (site / "CHANGELOG.html").read_text()


def test_the_api_reference_is_built_from_the_docstrings(site: Path) -> None:
    public = (site / "api" / "consistency.html").read_text()
    for name in ("Comparison", "InputError", "Run", "compare", "read_run", "Raises", "Compare two evaluations"):
        assert name in public
    assert public.index('id="compare"') < public.index('id="write_report"')
    metrics = (site / "api" / "consistency" / "metrics" / "measures.html").read_text()
    for name in ("MEASURES", "Measure.values", "measure_columns"):
        assert f'id="{name}"' in metrics


def test_a_dead_link_is_found(site: Path, tmp_path: Path) -> None:
    (tmp_path / "b.html").write_text('<main><h1 id="here">B</h1></main>')
    links = ("b.html", "b.html#here", "#top", "https://example.org", "b.html#gone", "c.html", "../out.html", "#no")
    text = (
        '<main id="top">' + "".join(f'<a href="{link}">x</a>' for link in links) + '<p style="color: red">x</p></main>'
    )
    pages = {"a.html": read_page(text), "b.html": read_page((tmp_path / "b.html").read_text())}
    (tmp_path / "a.html").write_text(text)
    found = list(dead_links(tmp_path, pages))
    assert [line.split()[1] for line in found] == ["<p", "b.html#gone", "c.html", "../out.html", "#no"]


def commands() -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        name = document.relative_to(ROOT).as_posix()
        text = document.read_text(encoding="utf-8")
        for image in IMAGE.finditer(text):
            near = text[image.end() :].lstrip().partition("\n\n")[0]
            made = [MADE_BY[name]] if name in MADE_BY else MADE.findall(near)
            assert made, f"{name}: {image[0]}: the paragraph below does not say by which command it was made"
            yield name, made[0]
    yield from MADE_BY.items()


def test_every_figure_names_a_command_that_exists() -> None:
    from typer.main import get_command

    from consistency.cli.app import app

    targets = re.findall(r"^([a-z -]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    found = {
        "make": {name for line in targets for name in line.split()},
        "python": {path.relative_to(ROOT).as_posix() for path in ROOT.glob("scripts/*.py")},
        "consistency": set(get_command(app).commands),  # type: ignore[attr-defined]
    }
    made = list(commands())
    assert len(made) > 12
    for name, command in made:
        program, argument, *_ = command.split()
        assert argument in found[program], f"{name}: {command}"


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (Debian: apt-get install chromium)")
def test_the_search_works_from_a_folder_with_the_keyboard(site: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 390, "height": 800})
        said: list[str] = []
        asked: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "docs" / "cookbook.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.keyboard.press("/")
        page.keyboard.type("no such word anywhere")
        page.wait_for_selector("#found .none")
        page.locator("#query").fill("partial correlation")
        page.wait_for_selector("#found [role=option]")
        words = page.locator("#found [role=option]").first.inner_text().lower()
        assert "partial" in words
        assert "correlation" in words
        results = Axe().run(page, options={"preload": False})
        assert not results.response["violations"], results.generate_report()
        page.keyboard.press("ArrowDown")
        chosen = page.locator("#found [aria-selected=true]").get_attribute("href")
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: url.endswith(chosen.removeprefix("../")))
        page.emulate_media(color_scheme="dark")
        results = Axe().run(page, options={"preload": False})
        assert not results.response["violations"], results.generate_report()
        page.locator("#theme input[value=light]").check(force=True)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not said
        assert all(url.startswith("file:") or url == "data:," for url in asked)
        browser.close()


def test_a_page_of_the_gallery_links_only_what_is_beside_it(tmp_path: Path) -> None:
    from consistency.report.folder import write_folder
    from consistency.report.watch.report import watch_content
    from consistency.watch.record import read_record

    record = read_record(ROOT / "docs/results/qwen2.5-coder-1.5b/watch/incompatible")
    page = write_folder(partial(watch_content, record), tmp_path / "watch")
    links = [link for link in read_page(page.read_text()).links if not link.startswith("#")]
    assert [link for link in links if not (page.parent / link).is_file()] == []
