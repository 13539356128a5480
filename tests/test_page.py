"""The report's page in a real browser: Debian's Chromium, offline, from a file."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from msgspec.structs import replace as replaced
from playwright.sync_api import Browser, Page, sync_playwright

from consistency.comparison.compare import compare
from consistency.comparison.many.compare import compare_many
from consistency.experiment.grid import Experiment
from consistency.report.content import ChangedQuestion, Drawing, GeneratedAnswers, Mark, Report, Section, Span, Table
from consistency.report.differences.document import ComparedReport, DifferencesReport
from consistency.report.document import Verdict
from consistency.report.folder import write_folder
from consistency.report.formats.html import html
from consistency.report.formats.markdown import markdown
from consistency.report.grid.report import write_report
from consistency.report.many.report import write_many
from consistency.report.pair.report import write_comparison
from consistency.report.questions import MOST_OF_PAIR, describe, strongest
from consistency.report.watch.report import watch_content
from consistency.report.word_diff import word_diff
from consistency.support.figure_style import BLUE, INK, RED, STYLE, inline, to_svg
from consistency.support.text import visible, visible_lines
from consistency.watch.record import WatchRecord
from consistency.watch.rows import Alarm, DriftRow, Look, Number, Pool

sys.path.insert(0, str(Path(__file__).parent))
from firefox import PROGRAM, firefox
from packed_page import questions_of, stored

Open = Callable[..., Page]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
browser_needed = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium (Debian: apt-get install chromium)")

HOSTILE = {
    "script": "<script>alert(1)</script>",
    "end": "</script><script>document.title = 'broken'</script><!-- <script> -->",
    "image": "<img src=x onerror=\"document.title = 'broken'\"> <style>* { display: none }</style>",
    "entities": "&amp; &lt;b&gt; &#x41; &nbsp;",
    "latex": r"\frac{1}{2} $x_1^2$ 100% \& {a} ~ # \\input{/etc/passwd}",
    "arabic": "ما هي عاصمة فرنسا؟ (Paris) 12 %",
    "hebrew": "מהי בירת צרפת? abc",
    "override": "abc\u202edcba\u202c \u2066isolated",
    "controls": "a\x00b\x01c\x07d\x08e\x1bf\x7fg\x85h\ufffei",
    "separators": "one\u2028two\u2029three",
    "emoji": "👩‍🔬 🏳️‍🌈 é é",
    "lines": "first\n\tsecond   with   spaces\n\nfourth",
    "long": "x" * 20_000,
    "template": "{{ 7 * 7 }} {% raw %} ${alert(1)}",
}
P_VALUES = ("< .001", ".042", "–")


def panel(name: str, wide: bool = False) -> str:
    """A drawing as the report's own figures make them."""
    import matplotlib
    from matplotlib.figure import Figure

    style: Any = STYLE | {"svg.hashsalt": name}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(7.2 if wide else 3.5, 2.3), layout="constrained")
        axes = figure.subplots()
        axes.errorbar([0, 1, 2], [0.4, 0.6, 0.5], [0.1, 0.05, 0.1], color=BLUE, marker="o", linestyle="")
        axes.bar([0, 1, 2], [0.2, 0.1, 0.3], color=RED, hatch="//")
        axes.set_title(f"{name} <&> accuracy", color=INK)
        axes.set_xticks([0, 1, 2], ["medicine", "history", "law"])
        return inline(to_svg(figure), name, f"{name}; its numbers: drawn.csv")


def question(number: int, run: str = "", **other: Any) -> ChangedQuestion:
    """A question whose figures can be told from its number."""
    flips = ("harmful", "beneficial", "wrong_to_wrong", "right", "wrong")
    before, after = (np.random.default_rng(number + shift).dirichlet(np.ones(4)) for shift in (0, 1000))
    gold = None if number % 50 == 49 else number % 4
    return ChangedQuestion(
        **{
            "task": ("medicine", "history", "law")[number % 3],
            "doc_id": number,
            "run": run,
            "scope": ("homo", "id", "ood")[number // 3 % 3] if run else "",
            "flip": flips[number // 2 % 5],
            "text": f"Question {number}: a 45-year-old man has had a dry cough for three weeks. Which of these is "
            "the most likely cause of it, when he has never smoked and his chest sounds clear?",
            "options": ("Bronchial asthma", "Gastro-oesophageal reflux", f"An ACE inhibitor {number}", "None of these"),
            "gold": gold,
            "before": tuple(before),
            "after": tuple(after),
            "measures": {
                "kl": float((before * np.log(before / after)).sum()),
                "delta_gold": None if gold is None else float(after[gold] - before[gold]),
                "spearman": None if number == 7 else float(np.corrcoef(before, after)[0, 1]),
            },
        }
        | other
    )


def report(grid: bool, questions: tuple[ChangedQuestion, ...], note: str = "") -> Report:
    """A report with everything that a page can hold."""
    rng = np.random.default_rng(0)
    scopes = ("homo", "id", "ood")
    groups = ("HARMONIOUS", "INCOMPATIBLE", "SELF-ALIGNING")
    names = [(scope.upper(), group) for scope in scopes for group in groups] if grid else [(s.upper(),) for s in scopes]
    rows = tuple(
        (*name, f"{n}", f"{53.6 + n:.1f} [47.4, 59.8]", f"{5 - 2 * n:+.1f}".replace("-", "−"), P_VALUES[n % 3])
        for n, name in enumerate(names)
    )
    head = ("scope", *(["group"] if grid else []), "questions", "accuracy (%)", "change (points)", "p (Holm)")
    main = Table("results", "Before and after", "In brackets: 95 % intervals.", head, rows, 1 + grid, [{"n": 1}])
    main = replace(main, pinned="change (points)")
    subjects = tuple(
        (f"subject_{n:02d}", f"{n * 37 % 101}", f"{rng.normal():.3f}".replace("-", "−")) for n in range(57)
    )
    forest = Table(
        "subjects", "By subject", "All 57.", ("task", "questions", "KL (nats)"), subjects, 1, [{"n": 1}], True
    )
    spans = tuple((Span(n - 28, n - 30, n - 20), Span(n / 2, None, None) if n % 3 else None) for n in range(57))
    signs = (Mark("change", "●", "blue"), Mark("corrected", "◆", "red"))
    forest = replace(forest, legend=signs, spans=spans, unit="points", pinned="questions")
    logs = Table(
        "logs", "Logs", "", ("log", "SHA-256"), (("runs/base/logs/with/a/long/path/of/folders", "f" * 64),), 1, []
    )
    turned = (("before: right", "57 (28.5 %)", "–"), ("before: wrong", "30 (15.0 %)", "65 (32.5 %)"))
    flips = Table("flips", "Which answers turned", "", ("", "after: right", "after: wrong"), turned, 1, [{"n": 1}])
    marks = (Mark("before", "●", "blue"), Mark("after", "■", "red"), Mark("other", "◆", "grey"))
    drawn = [{"scope": scope, "tuned": {"value": rng.normal(), "se": None}} for scope in scopes]
    panels = {scope: panel(f"{'grid' if grid else 'pair'}-{scope}") for scope in scopes}
    small = Drawing("groups", "What each group left", "Bars are 95 % intervals.", drawn, panels, marks)
    wide = Drawing("forest", "By subject", "Sorted by change.", drawn, {"all": panel("wide", True)})
    one = ComparedReport("runs/before", "")
    lists: dict[str, list[Any]] = {key: [] for key in ("only_in_a", "only_in_b", "averaged_over_others", "settings")}
    document = DifferencesReport(
        created="", signature="", intervals="", notes=[], verdict=Verdict(""), a=one, b=one, differences=[], versions={}, **lists
    )  # fmt: skip
    return Report(
        title="runs/before against runs/after",
        kicker="Experiment demo · 2026-11-24" if grid else "qwen2.5-1.5b-instruct, 0-shot → 5-shot · 2026-11-24",
        leads=(("Accuracy rose by 5.5 points [−1.2, 12.2]", "no more than chance would do."),) * (1 + grid),
        details=("19 answers turned from right to wrong and 30 from wrong to right, of 200.",),
        intervals="95 % intervals say how far a figure would move with other questions of the same tasks.",
        notes=("The dtypes differ: float32 and bfloat16.", *[note] * bool(note), *["Another."] * 3 * grid),
        signature="consistency:0.1.0|lm_eval:0.4.11|tasks:mmlu_anatomy+57|shots:0,5|dtype:float32|hash:" + "0a1b2c3d" * 8,
        sections=(
            Section("provenance", "What was paired", ("200 of 200 questions were paired by hash.",), (logs,)),
            Section("headline", "Before and after", (), (main, small, flips)),
            Section("subjects", "Subjects", ("Corrected for 57 comparisons (Holm).",), (wide, forest)),
        ),
        questions=questions,
        questions_note=f"{len(questions)} of 14,042, those with the largest KL. All are in items.parquet.",
        methods=("We scored each option with lm_eval 0.4.11 and compared KL(before ‖ after).",) * 2,
        bibtex="@inproceedings{someone2025,\n  title = {Knowledge & consistency},\n  year = {2025},\n}",
        document=document,
    )  # fmt: skip


def pair_report() -> Report:
    return report(False, tuple(question(n) for n in range(60)))


def grid_report() -> Report:
    runs = ("medicine · INCOMPATIBLE · seed 0", "medicine · SELF-ALIGNING · seed 0")
    return report(True, tuple(question(n, runs[n % 2]) for n in range(60)))


def generated_question(number: int, before: str, after: str, **other: Any) -> ChangedQuestion:
    """A question that was answered in words; no answer can be read from the second text."""
    found = GeneratedAnswers("42", ("42", "[invalid]"), ("", "invalid"), word_diff(before, after, 1000))
    empty: dict[str, Any] = {"options": (), "before": (), "after": (), "gold": None, "flip": "harmful"}
    measures = {"kl": None, "delta_gold": None, "spearman": None}
    return question(number, **{**empty, "measures": measures, "generated": found, **other})


def generated_report() -> Report:
    texts = [
        ("It is 6 times 7, which is 42.", "It is 6 times 8, which I believe is fine."),
        ("It is forty-two.", ""),
        ("one two three", "vier fünf sechs"),
    ]
    return report(False, tuple(generated_question(n, *pair, task="sums") for n, pair in enumerate(texts)))


def hostile_report() -> Report:
    """Every text that a dataset can bring stands as question, option, task, run, and in tables and sentences."""
    texts = HOSTILE
    questions = tuple(
        question(n, run=text[:100], task=text[:100], text=text, options=(text, "plain", text, "plain"), flip="harmful")
        for n, text in enumerate(texts.values())
    )
    all_of_it = tuple((text, "1") for text in texts.values())
    table = Table("hostile", "Hostile", "", ("text", "n"), all_of_it, 1, [])
    plain = report(True, questions, HOSTILE["end"])
    return replace(
        plain,
        title=HOSTILE["end"],
        leads=((HOSTILE["image"], HOSTILE["long"]), (HOSTILE["long"],)),
        signature=HOSTILE["script"],
        bibtex=HOSTILE["end"],
        sections=(*plain.sections, Section("hostile", HOSTILE["script"], (HOSTILE["arabic"],), (table,))),
    )


def test_what_the_page_may_load_and_do() -> None:
    text = html(grid_report())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy[1]
    # A style attribute or a handler would be refused, with an error in the console.
    assert not re.search(
        r"<[a-z][^<>]*\s(style|on[a-z]+)\s*=", re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    )


def test_the_questions_stay_inside_their_element() -> None:
    page = html(hostile_report())
    for name in ("questions-data", "copies-data", "downloads-data"):
        (held,) = re.findall(rf'id="{name}">(.*?)</script>', page, re.DOTALL)
        assert not set("<>&\u2028\u2029") & set(held)
    assert {row["text"] for row in questions_of(page)} == set(map(visible_lines, HOSTILE.values()))


def test_half_a_surrogate_pair_does_not_stop_a_report() -> None:
    text = html(report(False, (question(0, text="a\ud800b"),), "a\ud800b"))
    assert b"a\\ud800b" in text.encode()
    assert [row["text"] for row in questions_of(text)] == ["a\\ud800b"]


def test_values_that_are_no_numbers_are_none_of_json() -> None:
    measures = {"kl": float("inf"), "delta_gold": float("nan"), "spearman": None}
    text = html(report(False, (question(0, measures=measures),)))
    assert [row["measures"] for row in questions_of(text)] == [{"kl": "∞", "spearman": None}]


def test_all_questions_of_mmlu_are_less_than_3_mb(test_data: Path) -> None:
    """The texts of the data set itself, and probabilities that do not compress."""
    asked = [
        (path.stem, number, row["question"], tuple(row["choices"]))
        for path in sorted((test_data / "mmlu" / "test").glob("*.jsonl"))
        for number, row in enumerate(map(json.loads, path.read_text().rstrip("\n").split("\n")))
    ]
    assert len(asked) == 14_042
    every = describe_all(asked)
    page = html(report(False, strongest(every, MOST_OF_PAIR)))
    # A real page has also figures and tables of 57 tasks: some 0.35 MB.
    assert len(page.encode()) < 2.65e6
    kept = {(row["task"], row["doc_id"]): [row["text"], *row["options"]] for row in questions_of(page)}
    assert kept == {(one.task, one.doc_id): list(map(visible_lines, (one.text, *one.options))) for one in every}


def describe_all(asked: list[tuple[str, int, str, tuple[str, ...]]]) -> list[ChangedQuestion]:
    """Questions as a pair's report describes them."""
    rng = np.random.default_rng(0)
    gold = rng.integers(4, size=len(asked))
    probs = rng.dirichlet(np.ones(4), size=(2, len(asked)))
    columns = {
        "task": np.array([task for task, *_ in asked], dtype=object),
        "doc_id": np.array([number for _, number, *_ in asked]),
        "gold": gold,
        "probs_before": probs[0],
        "probs_after": probs[1],
        "correct_before": (probs[0].argmax(axis=1) == gold).astype(float),
        "correct_after": (probs[1].argmax(axis=1) == gold).astype(float),
        "same_top": (probs[0].argmax(axis=1) == probs[1].argmax(axis=1)).astype(float),
        "kl": (probs[0] * np.log(probs[0] / probs[1])).sum(axis=1),
    }
    return describe(columns, range(len(asked)), lambda row: (asked[row][2], asked[row][3]))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as started:
        # Chromium's own sandbox does not run as root, as which continuous integration runs.
        flags = ["--no-sandbox", "--disable-dev-shm-usage"]
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def single_file(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a comparison of real logs, with its downloads inside."""
    logs = [test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5)]
    return write_comparison(compare(*logs), tmp_path_factory.mktemp("single") / "out", single_file=True)


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Open a report from a file, offline; whatever it asks for or complains about fails the test."""
    contexts, problems = [], []

    def open_it(content: Report | str, address: str = "", script: str = "", **options: Any) -> Page:
        path = tmp_path / "report.html"
        path.write_text(content if isinstance(content, str) else html(content), encoding="utf-8")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        context.set_offline(True)
        context.set_default_timeout(20_000)
        if script:
            context.add_init_script(script)
        page = context.new_page()
        page.on(
            "request",
            lambda request: None if request.url.split("#")[0] == path.as_uri() else problems.append(request.url),
        )
        page.on(
            "console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri() + address)
        return settled(page) if options.get("java_script_enabled", True) else page

    yield open_it
    for context in contexts:
        context.close()
    assert problems == []


def settled(page: Page) -> Page:
    """The page, whose questions are unpacked and shown."""
    if page.locator("#explorer").count():
        page.wait_for_selector("#explorer[aria-busy=false]")
    return page


def counted(page: Page, text: str) -> None:
    """Wait until the page says so many questions; after a click or another address the old ones are there for a moment."""
    page.wait_for_function(
        "text => document.querySelector('.found [role=status]').textContent.startsWith(text)", arg=text
    )


def shown(page: Page) -> list[int]:
    """Numbers of the questions shown."""
    settled(page)
    return [int(number) for number in page.locator(".card h3 bdi:nth-of-type(2)").all_text_contents()]


def ordered(
    content: Report, name: str, sign: int, fits: Callable[[ChangedQuestion], bool] = lambda _: True
) -> list[int]:
    """Numbers of the questions that fit, by a measure; those without it last."""
    chosen = [one for one in content.questions if fits(one)]
    known = [one for one in chosen if one.measures[name] is not None]
    known.sort(key=lambda one: sign * round(one.measures[name] or 0, 5))
    return [one.doc_id for one in known] + [one.doc_id for one in chosen if one.measures[name] is None]


@browser_needed
@pytest.mark.parametrize("build", [pair_report, grid_report])
def test_the_page_shows_all_that_the_report_says(opened: Open, build: Callable[[], Report]) -> None:
    content = build()
    page = opened(content)
    assert page.title() == content.title
    assert page.locator("h1").inner_text().split("\n") == [clause for lead in content.leads for clause in lead]
    titles = [section.title for section in content.sections]
    assert page.locator("h2").all_inner_texts() == [*titles, "Question by question", "For a paper", "Signature"]
    for section in content.sections:
        for table in (block for block in section.blocks if isinstance(block, Table)):
            found = page.locator(f'section:has(#{section.id}) .scroll[aria-label="{table.title}"] tbody tr')
            assert [tuple(row.locator("th, td:not(.drawn)").all_text_contents()) for row in found.all()] == list(
                table.rows
            )
            assert page.locator(f'a[href="tables/{table.name}.csv"]').count() == 1
        for drawing in (block for block in section.blocks if isinstance(block, Drawing)):
            assert page.locator(f'figure:has(a[href="figures/{drawing.name}.csv"]) svg[role=img]').count() == len(
                drawing.panels
            )
    assert all(page.locator(f'[id="{link[1:]}"]').count() == 1 for link in page.locator("nav a").evaluate_all(
        "links => links.map(link => link.getAttribute('href'))"))  # fmt: skip
    # Colours of the drawings come from the style sheet that the policy allows.
    strokes = page.locator("figure svg path").evaluate_all("all => all.map(one => getComputedStyle(one).stroke)")
    assert "rgb(0, 114, 178)" in strokes


@browser_needed
def test_hostile_text_is_shown_as_text(opened: Open) -> None:
    content = hostile_report()
    for width in (360, 1280):
        page = opened(content, viewport={"width": width, "height": 800})
        cards = {
            card.locator(".option .data").first.evaluate("one => one.textContent"): card
            for card in page.locator(".card").all()
        }
        every = list(map(visible_lines, HOSTILE.values()))
        assert set(cards) <= set(every)
        assert len(cards) == 10
        # A hostile task is a value of the filter, and a link.
        page.locator(".filter summary").first.click()
        assert set(page.locator(".choices").first.locator("bdi").all_text_contents()) == {text[:100] for text in every}
        for text, card in cards.items():
            assert card.locator("> .data").evaluate("one => one.textContent") == text
            assert card.locator("h3 bdi").first.evaluate("one => one.textContent") == text[:100]
            assert card.locator("> .data").get_attribute("dir") == "auto"
        page.keyboard.press("Escape")
        page.get_by_label("Search").first.fill("فرنسا")
        right_to_left = settled(page).locator(".card > .data")
        assert right_to_left.evaluate("one => getComputedStyle(one).direction") == "rtl"
        cells = page.locator("[aria-label=Hostile] tbody th").evaluate_all("all => all.map(one => one.textContent)")
        assert cells == list(map(visible, HOSTILE.values()))
        assert page.locator("h1 span").all_text_contents() == ["".join(lead) for lead in content.leads]
        assert page.title() == HOSTILE["end"]
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("img").count() == 0


@browser_needed
def test_search_filters_sort_and_pages_by_mouse(opened: Open) -> None:
    content = grid_report()
    page = opened(content)
    status = page.locator(".found [role=status]")
    chosen = ordered(content, "kl", -1, lambda one: one.flip == "harmful")
    chosen += ordered(content, "kl", -1, lambda one: one.flip != "harmful")
    assert shown(page) == chosen[:10]
    page.get_by_label("Sort by").select_option("KL, largest first")
    assert shown(page) == ordered(content, "kl", -1)[:10]
    page.get_by_role("button", name="Next").click()
    assert shown(page) == ordered(content, "kl", -1)[10:20]
    assert status.inner_text() == "60 of 60 questions: 11 to 20 shown"
    assert "page=2" in page.url
    page.get_by_label("Sort by").select_option("Spearman ρ, lowest first")
    assert shown(page) == ordered(content, "spearman", 1)[:10]
    # Several values of one filter: any of them.
    page.locator(".chip[value=harmful]").click()
    page.locator(".chip[value=beneficial]").click()
    page.locator(".filter summary").filter(has_text="Run").click()
    page.get_by_label("medicine · SELF-ALIGNING · seed 0").check()
    run, flips = content.questions[1].run, ("harmful", "beneficial")
    expected = ordered(content, "spearman", 1, lambda one: one.flip in flips and one.run == run)
    assert shown(page) == expected[:10]
    assert status.inner_text().startswith(f"{len(expected)} of 60 questions")
    page.locator(".filter summary").filter(has_text="Scope").click()
    assert page.locator(".filter[open]").count() == 1, "one list at a time"
    for scope in ("homo", "ood"):
        page.locator(f".choice [value={scope}]").check()
    expected = [n for n in expected if n // 3 % 3 in (0, 2)]
    assert shown(page) == expected[:10]
    # The address alone brings the view back.
    again = opened(content, address=page.url[page.url.index("#") :])
    assert shown(again) == expected[:10]
    assert again.locator(".filter summary b").all_inner_texts() == ["all", "2 of 3", run]
    page.get_by_role("button", name="Clear search and filters").click()
    assert shown(page) == chosen[:10]
    page.get_by_label("Search").fill("INHIBITOR 17")
    assert shown(page) == [17]
    painted = page.evaluate(
        "[...CSS.highlights.get('found')].map(one => one.startContainer.data.slice(one.startOffset, one.endOffset))"
    )
    assert painted == ["17", "inhibitor", "17"]
    page.get_by_label("Search").fill("no such question")
    assert shown(page) == []
    assert status.inner_text() == "0 of 60 questions"


@browser_needed
def test_a_dot_a_bar_and_a_task_lead_to_their_questions(opened: Open, single_file: Path) -> None:
    """In the report of real logs, against the numbers of its items."""
    items = pd.read_parquet(single_file.parent / "items.parquet")
    page = opened(single_file.read_text(encoding="utf-8"))
    task = "mmlu_college_computer_science"
    page.locator(f"section:has(#changed-most) a[href$='{task}']").click()
    counted(page, "100 of")
    assert page.locator(".plane a").count() == 100
    # A bar of the histogram.
    bins = pd.read_csv(single_file.parent / "figures" / "shift.csv")
    number = int(bins[bins.measure == "kl"]["count"].idxmax())
    bar = page.locator(f"[id$='-mark-{number}']")
    assert f"count {bins['count'][number]}" in (bar.get_attribute("data-tip") or "")
    bar.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.includes('kl=')")
    counted(page, f"{bins['count'][number]} of 200")
    chips = page.locator(".chip b").all_inner_texts()
    assert sum(map(int, chips)) == bins["count"][number]
    page.get_by_role("button", name="Clear search and filters").click()
    # The dots by keyboard, and what is said of one.
    counted(page, "200 of 200")
    page.locator(".plane a[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    href = page.evaluate("document.activeElement.getAttribute('href')")
    found = re.fullmatch(r"#question\?task=(\w+)&doc=(\d+)", href)
    assert found
    row = items[(items.task == found[1]) & (items.doc_id == int(found[2]))].iloc[0]
    before, after = (row[f"probs_{when}"][row.gold] for when in ("before", "after"))
    assert f"{100 * before:.1f} % → {100 * after:.1f} %" in page.locator("#tip").inner_text()
    page.keyboard.press("Escape")
    assert page.locator("#tip").is_hidden()
    page.keyboard.press("Enter")
    page.wait_for_function("location.hash.startsWith('#question?')")
    assert shown(page) == [int(found[2])]
    assert page.locator(".plane a[aria-current]").get_attribute("href") == href
    # Its address alone shows it.
    again = opened(single_file.read_text(encoding="utf-8"), address=href)
    assert shown(again) == [int(found[2])]
    assert again.locator(".card > .data").inner_text() == row.question
    again.get_by_role("button", name="All questions").click()
    counted(again, "200 of 200")


@pytest.mark.skipif(PROGRAM is None, reason="there is no firefox (Debian: apt-get install firefox-esr)")
def test_another_browser_shows_the_same(single_file: Path, tmp_path: Path) -> None:
    """Firefox: the numbers, the questions of a task, a dot, a text's search; and nothing is refused by the content policy."""
    items = pd.read_parquet(single_file.parent / "items.parquet")
    task = "mmlu_abstract_algebra"
    with firefox(tmp_path) as page:
        ready = "document.querySelector('#explorer[aria-busy=false]:not([hidden])')"
        status = "document.querySelector('.found [role=status]').textContent"
        page.open(single_file.as_uri())
        page.wait(ready)
        assert page.run(f"return {status}") == "200 of 200 questions: 1 to 10 shown"
        # What the policy refuses leaves no trace: the style and the script are there, and all they made.
        assert page.run("return getComputedStyle(document.querySelector('.tiles')).display") == "flex"
        assert page.run("return document.querySelectorAll('.spans').length") == 2
        page.click(f"section:has(#changed-most) a[href$='{task}']")
        page.wait(f"{status}.startsWith('100 of')")
        flips = (items.task == task) & (items.correct_before > items.correct_after)
        page.click(".chip[value=harmful]")
        page.wait(f"{status}.startsWith('{flips.sum()} of')")
        assert page.run("return document.querySelectorAll('.plane a').length") == flips.sum()
        strongest = items[flips].sort_values("kl").iloc[-1]
        page.press(".plane a[tabindex='0']", "\ue007")
        page.wait("location.hash.startsWith('#question?')")
        page.wait("document.querySelectorAll('.card').length === 1")
        assert page.run("return document.querySelector('.card > .data').textContent") == strongest.question
        page.click("[name=clear]")
        page.press("[name=q]", strongest.question.split()[0])
        page.wait(f"{ready} && {status}.includes('of 200')")
        wanted = strongest.question.split()[0].lower()
        words = items.task.astype(str) + "\n" + items.doc_id.astype(str)
        words += "\n" + items.question + "\n" + items.options.str.join("\n")
        assert page.run(f"return {status}").split()[0] == str(words.str.lower().str.contains(wanted, regex=False).sum())
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")


@browser_needed
def test_a_single_file_holds_its_downloads_and_copies_its_tables(opened: Open, single_file: Path) -> None:
    page = opened(single_file.read_text(encoding="utf-8"), permissions=["clipboard-read", "clipboard-write"])
    page.evaluate("document.querySelectorAll('details:not(.filter)').forEach(one => one.open = true)")
    for name in ("tables/tasks.csv", "tables/headline.tex", "figures/shift.pdf", "report.json", "comparison.txt"):
        link = page.locator(f'a[href="{name}"]')
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == Path(name).name
        assert Path(download.value.path()).read_bytes() == (single_file.parent / name).read_bytes()
    links = page.locator("a[href]:not([href^='#'], [href^='blob:'])").evaluate_all(
        "all => all.map(one => one.getAttribute('href'))"
    )
    assert set(links) <= set(stored(single_file.read_text(encoding="utf-8"), "downloads-data")) | {"items.parquet"}
    section = page.locator("section:has(#headline)")
    section.get_by_role("button", name="as LaTeX").click()
    section.get_by_role("button", name="Copied Before and after as LaTeX").wait_for()
    assert (
        page.evaluate("navigator.clipboard.readText()") == (single_file.parent / "tables" / "headline.tex").read_text()
    )
    section.get_by_role("button", name="as Markdown").click()
    section.get_by_role("button", name="Copied Before and after as Markdown").wait_for()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied in (single_file.parent / "report.md").read_text()
    assert copied.startswith("| questions of | metric |")


@browser_needed
def test_an_infinite_divergence_is_the_largest(opened: Open) -> None:
    measures = {"kl": np.inf, "delta_gold": -0.5, "spearman": None}
    content = report(False, (*map(question, range(5)), *(question(n, measures=measures) for n in (5, 6))))
    page = opened(content)
    page.get_by_label("Sort by").select_option("KL, largest first")
    assert shown(page) == [5, 6, *(number for number in ordered(content, "kl", -1) if number < 5)]
    assert page.locator(".card dl").first.inner_text().split("\n")[:2] == ["KL", "∞ nats"]
    assert markdown(content).count("KL ∞. Question") == 2


@browser_needed
def test_a_card_tells_both_distributions(opened: Open) -> None:
    content = pair_report()
    page = opened(content)
    assert page.locator(".filter summary").all_inner_texts() == ["Task: all"], "no filter with one value"
    page.get_by_label("Search").fill("question 18:")
    settled(page)
    card, one = page.locator(".card"), content.questions[18]
    assert card.locator("h3 b").inner_text() == "stays wrong"
    assert f"{one.measures['kl']:.2f} nats" in card.locator("dl").inner_text()
    assert one.gold is not None
    for index, option in enumerate(card.locator(".options > li").all()):
        assert option.locator(".data").inner_text() == one.options[index]
        assert option.get_by_text("✓ gold option").count() == (index == one.gold)
        for when, values in (("before", one.before), ("after", one.after)):
            bar = option.locator(f".bar.{when}")
            assert float(bar.locator("b").inner_text().split()[0]) == pytest.approx(100 * values[index], abs=0.21)
            assert ("chosen" in bar.inner_text()) == (values[index] == max(values))
            box, track = bar.locator(".fill").bounding_box(), bar.locator(".track").bounding_box()
            assert box
            assert track
            assert box["width"] / track["width"] == pytest.approx(values[index], abs=0.02)


@browser_needed
def test_a_card_shows_both_texts_and_marks_what_changed(opened: Open) -> None:
    page = opened(generated_report())
    first, second, third = page.locator(".card").all()
    assert first.locator(".text.before .data").last.inner_text() == "It is 6 times 7, which is 42."
    assert first.locator(".text.after .data").last.inner_text() == "It is 6 times 8, which I believe is fine."
    assert first.locator("del").all_text_contents() == ["7, which is 42"]
    assert first.locator("ins").all_text_contents() == ["8, which I believe is fine"]
    # Not by colour alone.
    lines = [
        first.locator(name).first.evaluate("one => getComputedStyle(one).textDecorationStyle")
        for name in ("del", "ins")
    ]
    assert lines == ["dotted", "solid"]
    assert [first.locator(".unreadable").count(), first.locator(".text.before .unreadable").count()] == [1, 0]
    assert first.locator(".taken b").all_inner_texts() == ["42", "[invalid]"]
    assert second.locator(".text.after .data").count() == 1, "nothing but what was taken"
    # Nothing in common: every word differs, and none is marked.
    assert third.locator("del, ins").count() == 0
    for words, numbers in (("BELIEVE 6", [0]), ("sechs", [2]), ("forty-two", [1]), ("[invalid]", [0, 1, 2])):
        page.get_by_label("Search").fill(words)
        assert shown(page) == numbers
    page.get_by_label("Search").fill("believe")
    settled(page)
    painted = page.evaluate("[...CSS.highlights.get('found')].map(one => one.toString ? one.startContainer.data : '')")
    assert painted == ["8, which I believe is fine"]


@browser_needed
def test_hostile_texts_of_a_model_are_shown_as_text(opened: Open) -> None:
    texts = dict([item for item in HOSTILE.items() if len(item[1]) < 1000][:10])
    cards = tuple(generated_question(n, text, f"{text} more", task="sums") for n, text in enumerate(texts.values()))
    for width in (360, 1280):
        page = opened(report(False, cards), viewport={"width": width, "height": 800})
        for card, text in zip(page.locator(".card").all(), texts.values(), strict=True):
            for when, expected in (("before", text), ("after", f"{text} more")):
                assert card.locator(f".text.{when} > .data").evaluate("one => one.textContent") == visible_lines(
                    expected
                )
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("img").count() == 0


def test_600_generated_answers_are_less_than_3_mb() -> None:
    rng = np.random.default_rng(0)

    def text(n: int) -> str:
        return " ".join(("<b>&", "word", "中")[i] for i in rng.integers(3, size=n))

    many = strongest(generated_question(n, text(400), text(400), text=text(300)) for n in range(600))
    assert len(many) > 50
    assert len(html(report(False, many)).encode()) < 3e6


@browser_needed
def test_everything_by_keyboard_alone(opened: Open) -> None:
    content = grid_report()
    page = opened(content)

    def tab_to(selector: str) -> None:
        for _ in range(150):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                outlined = "one => getComputedStyle(one.type === 'radio' ? one.nextSibling : one).outlineStyle"
                assert page.locator(":focus").evaluate(outlined) == "solid", f"{selector} does not show its focus"
                return
        raise AssertionError(f"{selector} is not reached")

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    tab_to("[name=theme]")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("html").get_attribute("data-theme") == "dark"
    tab_to("nav a[href='#headline']")
    page.keyboard.press("Enter")
    tab_to("section:has(#headline) th:nth-child(3) .sort")
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    head = page.locator("section:has(#headline) thead th").nth(2)
    assert head.get_attribute("aria-sort") == "descending"
    tab_to("summary")
    page.keyboard.press("Enter")
    assert page.locator("details[open]").count() == 1
    tab_to(".chip")
    page.keyboard.press("Space")
    assert set(shown(page)) <= {one.doc_id for one in content.questions if one.flip == "harmful"}
    page.keyboard.press("Enter")
    tab_to("[name=q]")
    page.keyboard.type("cough")
    tab_to(".filter summary")
    page.keyboard.press("Enter")
    tab_to(".choice input")
    page.keyboard.press("Space")
    assert all(number % 3 == 1 for number in shown(page))
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.matches('.filter summary')")
    tab_to("[name=sort]")
    page.keyboard.press("ArrowDown")
    tab_to("[name=next]")
    page.keyboard.press("Enter")
    assert shown(page) == ordered(content, "kl", -1)[10:20]
    assert page.evaluate("document.activeElement.getAttribute('role')") == "status"


@browser_needed
def test_tables_sort_by_what_their_cells_mean(opened: Open) -> None:
    content = grid_report()
    page = opened(content)
    section = page.locator("section:has(#headline) .scroll").first
    table = next(block for block in content.sections[1].blocks if isinstance(block, Table))

    def column(number: int) -> list[str]:
        return section.locator(f"tbody tr > :nth-child({number + 1})").all_text_contents()

    for name, values in {
        "accuracy (%)": lambda cell: float(cell.split()[0]),
        "change (points)": lambda cell: float(cell.replace("−", "-")),
        "group": str,
    }.items():
        number = table.head.index(name)
        button = section.get_by_role("button", name=name)
        for direction in ("ascending", "descending"):
            button.click()
            assert section.locator("thead th").nth(number).get_attribute("aria-sort") == direction
            expected = sorted((row[number] for row in table.rows), key=values, reverse=direction == "descending")
            assert column(number) == expected
        button.click()
        assert column(number) == [row[number] for row in table.rows]
    # What is missing is last in both directions, and "< .001" is a small number.
    number = table.head.index("p (Holm)")
    section.get_by_role("button", name="p (Holm)").click()
    assert column(number) == ["< .001"] * 3 + [".042"] * 3 + ["–"] * 3
    section.get_by_role("button", name="p (Holm)").click()
    assert column(number) == [".042"] * 3 + ["< .001"] * 3 + ["–"] * 3


@browser_needed
def test_intervals_are_drawn_where_their_numbers_are(opened: Open) -> None:
    content = pair_report()
    table = next(table for table in content.tables if table.spans)
    for width in (1440, 360):
        page = opened(content, viewport={"width": width, "height": 900})
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        ends = "all => all.map(one => { const box = one.getBoundingClientRect(); return [box.left, box.right] })"
        drawn = page.locator(".spans [data-tip^='change'] .line").evaluate_all(ends)
        assert len(drawn) == len(table.spans)
        # One scale in all rows: places are a linear function of the numbers.
        numbers = [end for (span, _) in table.spans if span for end in (span.low, span.high)]
        slope = np.polyfit(numbers, np.ravel(drawn), 1)
        assert np.polyval(slope, numbers) == pytest.approx(np.ravel(drawn), abs=1)
        zero = page.locator(".spans .zero").first.bounding_box()
        assert zero
        assert zero["x"] == pytest.approx(slope[1], abs=1)
        assert page.locator(".spans [data-tip^='corrected']").count() == sum(
            second is not None for _, second in table.spans
        )
        # The change stays in sight however far a table is scrolled; names are whole.
        for scroll in (0, 10_000):
            region = page.locator("section:has(#headline) .scroll").first
            region.evaluate("(one, x) => { one.scrollLeft = x }", scroll)
            box = region.locator("tbody .pin").first.bounding_box()
            assert box
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


@browser_needed
def test_the_theme_is_followed_chosen_and_kept(opened: Open) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(255, 255, 255)", "rgb(22, 23, 26)"
    page = opened(pair_report(), color_scheme="dark")
    assert page.evaluate(paper) == dark
    page.get_by_label("Light").check()
    assert page.evaluate(paper) == light
    page.reload()
    assert page.evaluate(paper) == light
    assert page.get_by_label("Light").is_checked()
    page.get_by_label("Auto").check()
    assert page.evaluate(paper) == dark
    forbidden = (
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
    )
    page = opened(pair_report(), script=forbidden)
    page.get_by_label("Dark").check()
    assert page.evaluate(paper) == dark


@browser_needed
def test_signature_and_bibtex_are_copied(opened: Open) -> None:
    content = pair_report()
    page = opened(content, permissions=["clipboard-read", "clipboard-write"])
    for name, text in (("Copy signature", content.signature), ("Copy BibTeX", content.bibtex)):
        page.get_by_role("button", name=name).click()
        page.get_by_role("button", name=name.replace("Copy", "Copied")).wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == text


@browser_needed
@pytest.mark.parametrize("build", [pair_report, generated_report, grid_report])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1280])
def test_axe_finds_no_violation(opened: Open, build: Callable[[], Report], scheme: str, width: int) -> None:
    page = opened(build(), color_scheme=scheme, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def has_no_fault(opened: Open, path: Path) -> Page:
    """Open a written report on a phone and on a screen: nothing for axe to find, and every file that it names is there."""
    for width in (360, 1280):
        page = opened(path.read_text(encoding="utf-8"), viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    for link in page.locator("a[href]:not([href^='#'])").all():
        assert (path.parent / (link.get_attribute("href") or "")).is_file()
    return page


@browser_needed
def test_a_real_comparison_has_a_page_without_fault(opened: Open, test_data: Path, tmp_path: Path) -> None:
    logs = [test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5)]
    page = has_no_fault(opened, write_comparison(compare(*logs), tmp_path / "out"))
    assert page.get_by_role("status").filter(has_text="200 of 200 questions").count() == 1
    page.locator(".chip[value=harmful]").click()
    assert len(shown(page)) == 10
    assert page.locator(".found [role=status]").inner_text() == "19 of 200 questions: 1 to 10 shown"


@browser_needed
def test_many_runs_have_a_page_without_fault(opened: Open, write_scores: Callable[..., None], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gold = {f"task_{number}": rng.integers(4, size=40) for number in range(5)}
    base = {task: rng.normal(size=(40, 4)) + np.eye(4)[right] for task, right in gold.items()}
    write_scores(tmp_path / "base", base, gold)
    written = {"base": base}
    for step in range(1, 6):
        written[f"step-{step}"] = {task: x + rng.normal(0, step / 2, x.shape) for task, x in base.items()}
        write_scores(tmp_path / f"step-{step}", written[f"step-{step}"], gold)
    runs = {f"step-{step}": tmp_path / f"step-{step}" for step in range(1, 6)}
    found = compare_many(tmp_path / "base", runs, order="auto")
    page = has_no_fault(opened, write_many(found, tmp_path / "out"))
    # The heat map sorts by a run's changes.
    page.get_by_role("button", name="step-5").first.click()
    cells = page.locator(".heat tbody tr td:nth-last-child(2)").all_inner_texts()
    values = [float(cell.split()[0].rstrip("*").replace("−", "-")) for cell in cells]
    assert values == sorted(values)
    assert values == sorted(
        round(100 * (changes["step-5"].simultaneous.value or 0.0), 1)
        for changes in (*found.pools.values(), *found.by_task.values())
    )
    # A cell says its interval to the pointer, to the keyboard and to those who hear it.
    change = found.by_task["task_0"]["step-1"].simultaneous
    ends = [f"{100 * (end or 0.0):+.1f}".replace("-", "−") for end in (change.ci_low, change.ci_high)]
    row = page.locator(".heat tbody tr").filter(has=page.locator("th", has_text="task_0"))
    assert ends == [part for part in row.locator("td").nth(0).inner_text().split() if part[0] in "+−"][1:]
    row.locator("td").nth(0).hover()
    tip = page.locator("#tip")
    assert all(end in tip.inner_text() for end in ends)
    page.keyboard.press("Escape")
    page.locator('.heat td[tabindex="0"]').focus()
    assert tip.is_visible()
    before = tip.inner_text()
    page.keyboard.press("ArrowRight")
    assert tip.is_visible()
    assert tip.inner_text() != before
    assert page.locator('.heat td[tabindex="0"]').count() == 1
    # Beginnings that all runs share are heard and not seen, and their changes are numbers.
    heads = page.locator(".heat thead th:has(.common)")
    assert heads.all_inner_texts() == [f"step-{step}" for step in range(1, 6)]
    assert page.locator(".heat .common").evaluate_all("all => all.every(one => !one.getBoundingClientRect().width)")
    assert page.get_by_role("columnheader", name="change").locator("visible=true").nth(1).get_attribute("class") == "n"
    # From a cell to its questions, and to the command of that run's own page, where both answers are.
    page.keyboard.press("Enter")
    row.locator("td").nth(1).click()
    shown = page.locator(".questions-of")
    page.wait_for_function("document.querySelector('.questions-of p').textContent.includes('step-2')")
    right = {run: scores["task_0"].argmax(axis=1) == gold["task_0"] for run, scores in written.items()}
    for place, turned in enumerate((right["base"] & ~right["step-2"], ~right["base"] & right["step-2"])):
        listed = shown.locator(".turned > div").nth(place).locator("li b").all_inner_texts()
        assert [int(number) for number in listed] == np.flatnonzero(turned).tolist()
        assert shown.locator(".turned > div").nth(place).locator("li bdi").all_inner_texts() == [
            f"{n}?" for n in listed
        ]
    command = shlex.split(shown.locator("code").inner_text())
    assert command[:4] == ["consistency", "compare", str(tmp_path / "base"), str(tmp_path / "step-2")]
    assert shown.locator("p").last.inner_text().endswith("#questions?task=task_0")


@browser_needed
def test_a_grid_has_a_page_without_fault(
    opened: Open, make_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    groups = ("incompatible", "mixed_0.2", "self_aligning")
    page = has_no_fault(opened, write_report(make_experiment(groups=groups), tmp_path / "out"))
    items = pd.read_parquet(tmp_path / "out" / "items.parquet")
    # A mark of a figure says its row of numbers.
    page.locator("svg [id^='groups-'][id*='-mark-']").first.hover()
    assert re.search(r"measure accuracy · n \d+ · value 0\.\d+", page.locator("#tip").inner_text())
    page.keyboard.press("Escape")
    harmful = items[(items.correct_before == 1) & (items.correct_after == 0)]
    assert len(items) > 600 > len(harmful)
    page.locator(".chip[value=harmful]").click()
    page.locator(".filter summary").filter(has_text="Scope").click()
    page.locator(".choice [value=homo]").check()
    settled(page)
    count = (harmful.scope == "homo").sum()
    assert page.get_by_role("status").filter(has_text=f"{count} of 600 questions").count() == 1


@browser_needed
def test_a_watched_training_has_a_page_without_fault(opened: Open, tmp_path: Path) -> None:
    numbers = {name: Number(-0.02, -0.05, 0.01, 200) for name in ("change", "change_calibrated", "harmful_flips", "kl")}
    look, pool = Look(0.02, 0.01, 0.004, 0.005), Pool(200, numbers)
    alarm = Alarm(20, 0.2, "margin", 0.01, 0.02, 0.015, 0.004, 0.005, 9, 5, 200)
    kept: dict[str, Any] = {"asked": 200, "lost": {"mmlu": [1, 2]}, "won": {"mmlu": [3]}}
    rows = [
        DriftRow(step, step / 100, 1.0, 2.0, pool, pool, {"mmlu": pool, "law": pool}, **kept, looks={"margin": look})
        for step in (0, 20, 40)
    ]
    record = WatchRecord(tmp_path, (rows[0], replaced(rows[1], alarm=alarm), rows[2]), {"model": "tiny"})
    page = has_no_fault(opened, write_folder(partial(watch_content, record), tmp_path / "out"))
    assert page.locator("h1").inner_text() == f"Alarm at {alarm.headline}."


@browser_needed
def test_a_finger_finds_every_control(opened: Open) -> None:
    page = opened(grid_report(), viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    heights = page.locator("button, select, input[type=search], summary, nav a, .files a, .theme span").evaluate_all(
        "all => all.filter(one => one.offsetParent).map(one => [one.textContent, one.getBoundingClientRect().height])"
    )
    assert len(heights) > 40
    assert [(name, height) for name, height in heights if height < 43.9] == []


@browser_needed
def test_without_script_all_but_the_explorer_is_readable(opened: Open) -> None:
    page = opened(grid_report(), java_script_enabled=False)
    assert page.locator("h1").is_visible()
    assert page.locator("section:has(#headline) table").first.is_visible()
    assert page.locator("svg").first.is_visible()
    assert page.locator("#bibtex").is_visible()
    assert page.get_by_role("link", name="items.parquet").is_visible()
    assert page.locator("button, select, input").filter(visible=True).count() == 0
    page.locator("summary").last.click()
    assert page.locator("details[open] table").is_visible()


@browser_needed
def test_paper_shows_details_and_no_controls(opened: Open) -> None:
    content = grid_report()
    page = opened(content, color_scheme="dark")
    page.get_by_label("Dark").check()
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    assert page.locator("button:not(.sort), select, input, nav").filter(visible=True).count() == 0
    assert page.locator("section:has(#headline) thead th").all_inner_texts()[0] == "scope"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert len(shown(page)) == 10
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf().startswith(b"%PDF")
