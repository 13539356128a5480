"""Markdown for a pull request: what it says, and that no name in it acts as markup."""

import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt
from scipy import stats

from consistency.comparison.checked import Checked
from consistency.comparison.compare import compare
from consistency.comparison.conditions import check, read_condition
from consistency.report.formats.github import MOST_TASKS, code, plain
from consistency.report.pair.github import to_markdown
from consistency.report.pair.report import write_comparison

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a|b||c",
    "`tick` ``two``",
    "`",
    "**bold** _it_ ~~gone~~ [x](javascript:alert(1)) ![i](u)",
    "@everyone fixes #1 https://example.org www.example.org",
    "&lt;b&gt; &amp; &#42;",
    "line\nbreak\r\n\n# head\n- list",
    "\u202eright to left\u2066",
    "back\\slash \\| and \\",
    "</details>",
    "<!-- comment -->",
    "$x^2$ \\begin{table}",
    "- item",
    "1. item",
]


class Reader(HTMLParser):
    """The text and the tags of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text, self.tags = "", []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def shown(markdown: str) -> Reader:
    return Reader(MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough").render(markdown))


def readable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_shown_as_it_is(text):
    as_code, as_plain = shown(code(text)), shown(f"- {plain(text)}")
    assert as_code.text.strip() == readable(text).strip()
    assert set(as_code.tags) == {"p", "code"}
    assert as_plain.text.strip().replace("\u200b", "") == readable(text).strip()
    assert set(as_plain.tags) == {"ul", "li"}
    table = shown(f"| a | b |\n| --- | --- |\n| {code(text, cell=True)} | x |\n")
    assert set(table.tags) == {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert table.tags.count("td") == 2


@pytest.fixture
def compared(tmp_path, write_probe):
    """Twelve tasks of ten questions each, of which one has a hostile name; its model too."""
    names = [f"task_{i}" for i in range(11)] + ["<b>x`|@you"]
    documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(10)]
    for when in ("before", "after"):
        for number, name in enumerate(names):
            turned = number // 2 if when == "after" else 0
            write_probe(
                tmp_path / when, documents, [[-2, -1]] * turned + [[-1, -2]] * (10 - turned), name.replace("/", "_")
            )
    return compare(tmp_path / "before", tmp_path / "after")


def test_the_summary_says_what_happened(compared):
    conditions = [read_condition("harmful flips > 2 %"), read_condition("kl > 5 nats")]
    checked = Checked.of(check(conditions, compared), compared)
    page = to_markdown(compared, checked, folded=True)
    # Turned: 0, 0, 1, 1, … 5, 5 of 10 in the twelve tasks: 30 of 120.
    assert "| accuracy after (%) | 75.0 [" in page
    assert re.search(r"\| right → wrong \(%\) \| 25\.0 \[", page)
    assert "❌ 1 of 2 conditions passed:" in page
    assert f"{MOST_TASKS} of 12 tasks, largest change of accuracy first" in page
    assert re.search(r"\| `task_10` \| 10 \| 100\.0 \| 50\.0 \| −50\.0 \[.*\] \| 5 / 0 \| ", page)
    assert compared.signature in page
    read = shown(page)
    assert compared.verdict in read.text
    assert read.tags.count("details") == 2
    assert "b" not in read.tags
    assert "<b>x`|@you" in read.text
    unfolded = to_markdown(compared, checked)
    assert "<details>" not in unfolded
    assert compared.signature in shown(unfolded).text


@pytest.fixture
def twice(tmp_path, write_probe):
    """Forty questions, each asked in two tasks, of which five answers turn wrong, in both alike."""
    documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(40)]
    for when, turned in (("before", 0), ("after", 5)):
        for task in ("exam", "copy"):
            write_probe(tmp_path / when, documents, [[-2, -1]] * turned + [[-1, -2]] * (40 - turned), task)
    return tmp_path / "before", tmp_path / "after"


def test_the_p_is_that_of_what_was_sampled(twice, tmp_path):
    """Ten answers turned, but five questions: by scipy p = .0625, where McNemar's test of ten says .002."""
    comparison = compare(*twice)
    p = stats.binomtest(5, 5).pvalue
    assert comparison.overall.sign_flip_p == pytest.approx(p)
    assert comparison.overall.mcnemar_p == pytest.approx(stats.binomtest(10, 10).pvalue)
    page = to_markdown(comparison)
    assert "| test of no change | sign flips of clusters of questions |" in page
    assert "| p | .062 |" in page
    assert "McNemar" not in page
    report = write_comparison(comparison, tmp_path / "report")
    text = " ".join(Reader(report.read_text()).text.split())
    assert "sign flips of clusters of questions: p = .062" in text
    assert (
        "tested with sign flips of clusters of questions over all questions and with McNemar's exact test in each"
        in text
    )
    sampled = compare(*twice, task_sampling="sampled")
    assert sampled.overall.test == "t test over whole tasks and clusters of questions"
    alone = compare(*twice, cluster="none")
    assert "| McNemar's p | .002 |" in to_markdown(alone)
    scoped = compare(*twice, scopes={"id": ["exam"], "ood": ["copy"]})
    assert "| p (Holm) | – | .125 | .125 |" in to_markdown(scoped)
