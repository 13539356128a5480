"""The report of generated texts, of further metrics and filters, and of groups: small logs, numbers by hand."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from consistency.comparison.compare import compare
from consistency.comparison.result import Comparison
from consistency.report.formats.latex import latex
from consistency.report.pair.github import to_markdown
from consistency.report.pair.metric_tables import metric_table, readability_table
from consistency.report.pair.report import write_comparison
from consistency.report.pair.texts import text_columns
from consistency.report.schema import read_document
from consistency.report.word_diff import LEFT_OUT, word_diff

sys.path.insert(0, str(Path(__file__).parent))
from packed_page import questions_of

HOSTILE = 'a"b\\c<script>alert(1)</script>|x\ny'
LOGS = [("before", "2026-01-01T00-00-00.000000"), ("after", "2026-01-02T00-00-00.000000")]
# Of each run and question: the text, and what the strict filter took from it; the other takes the last character.
WRITTEN = {
    "before": [("It is 1", "1"), ("It is 2", "2"), ("It is 3", "3"), ("Perhaps 9", "[invalid]")],
    "after": [("It is 1", "1"), ("It may be 2", "[invalid]"), ("", "[invalid]"), ("It is 4", "4")],
}


def write_rows(folder: Path, task: str, date: str, rows: Sequence[Mapping[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"samples_{task}_{date}.jsonl").write_text(text)


def generated(texts: Sequence[tuple[str, str]], *, hashed: bool = True, shift: int = 0) -> list[dict[str, Any]]:
    rows = []
    for number, (text, strict) in enumerate(texts):
        for name, taken in (("strict", strict), ("last", text[-1:])):
            rows.append(
                {
                    "doc_id": number + shift,
                    "doc": {"question": f"{number}+1?", "answer": f"#### {number + 1}"},
                    "target": str(number + 1),
                    "arguments": {"gen_args_0": {"arg_0": f"{number}+1?", "arg_1": {"until": []}}},
                    "resps": [[text]],
                    "filtered_resps": [taken],
                    "filter": name,
                    "metrics": ["exact_match"],
                    "exact_match": float(taken == str(number + 1)),
                }
                | ({"doc_hash": f"h{number}"} if hashed else {})
            )
    return rows


@pytest.fixture
def sums(tmp_path: Path) -> Comparison:
    for when, date in LOGS:
        write_rows(tmp_path / when, "sums", date, generated(WRITTEN[when]))
    return compare(tmp_path / "before", tmp_path / "after")


def table_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def told(folder: Path) -> list[dict[str, Any]]:
    """The cards of a page."""
    return questions_of((folder / "report.html").read_text())


def test_items_hold_what_was_asked_and_written(sums: Comparison, tmp_path: Path) -> None:
    folder = write_comparison(sums, tmp_path / "out").parent
    items = pq.read_table(folder / "items.parquet").to_pydict()
    assert items["question"] == ["0+1?", "1+1?", "2+1?", "3+1?"]
    assert items["target"] == ["1", "2", "3", "4"]
    assert items["text_before"] == [text for text, _ in WRITTEN["before"]]
    assert items["text_after"] == ["It is 1", "It may be 2", None, "It is 4"]
    assert items["answer_before"] == ["1", "2", "3", "[invalid]"]
    assert items["answer_after"] == ["1", "[invalid]", "[invalid]", "4"]
    assert items["unreadable_before"] == [None, None, None, "invalid"]
    assert items["unreadable_after"] == [None, "invalid", "empty", None]
    assert "options" not in items


def test_items_of_options_hold_their_texts(test_data: Path, tmp_path: Path) -> None:
    logs = [test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5)]
    items = pq.read_table(write_comparison(compare(*logs), tmp_path / "out").parent / "items.parquet").to_pylist()
    for task in ("mmlu_abstract_algebra", "mmlu_college_computer_science"):
        (log,) = logs[0].rglob(f"samples_{task}_*.jsonl")
        documents = {row["doc_id"]: row["doc"] for row in map(json.loads, log.read_text().splitlines())}
        found = [row for row in items if row["task"] == task]
        assert len(found) == len(documents) == 100
        for row in found:
            assert row["question"] == documents[row["doc_id"]]["question"]
            assert row["options"] == documents[row["doc_id"]]["choices"]


def test_long_texts_are_whole_in_items(tmp_path: Path) -> None:
    long = "word " * 5000 + "\u2028 <b> 中 end 1"
    for when, date in LOGS:
        write_rows(tmp_path / when, "sums", date, generated([(long, "1")]))
    folder = write_comparison(compare(tmp_path / "before", tmp_path / "after"), tmp_path / "out").parent
    assert pq.read_table(folder / "items.parquet")["text_after"].to_pylist() == [long]


def test_texts_are_those_of_the_pair_and_the_filter_that_counts(tmp_path: Path) -> None:
    """The second log has another name of the task and other numbers of the documents, and no hash to pair by."""
    (_, first), (_, second) = LOGS
    write_rows(tmp_path / "before", "sums", first, generated(WRITTEN["before"], hashed=False))
    write_rows(tmp_path / "after", "additions", second, generated(WRITTEN["after"], hashed=False, shift=7)[::-1])
    comparison = compare(tmp_path / "before", tmp_path / "after", tasks={"sums": "additions"}, filter_name="last")
    assert comparison.items["sums"]["doc_id_after"].tolist() == [7, 8, 9, 10]
    columns = text_columns(comparison, "sums")
    assert columns["text_after"].tolist() == [text for text, _ in WRITTEN["after"]]
    assert columns["answer_after"].tolist() == ["1", "2", "", "4"]
    named = compare(tmp_path / "before", tmp_path / "after", tasks={"sums,last": "additions,strict"})
    columns = text_columns(named, "sums,last")
    assert columns["answer_before"].tolist() == ["1", "2", "3", "9"]
    assert columns["answer_after"].tolist() == [taken for _, taken in WRITTEN["after"]]


def test_cards_show_both_texts(sums: Comparison, tmp_path: Path) -> None:
    cards = told(write_comparison(sums, tmp_path / "out").parent)
    assert [(card["doc_id"], card["flip"]) for card in cards] == [
        (1, "harmful"), (2, "harmful"), (3, "beneficial"), (0, "right"),
    ]  # fmt: skip
    first, second, *_ = (card["generated"] for card in cards)
    assert (first["target"], first["answers"], first["unreadable"]) == ("2", ["2", "[invalid]"], ["", "invalid"])
    assert first["pieces"] == [["same", "It "], ["before", "is "], ["after", "may be "], ["same", "2"]]
    assert second["pieces"] == [["before", "It is 3"]]
    assert cards[0]["options"] == []


def test_shares_of_unreadable_answers_are_in_a_table(sums: Comparison, tmp_path: Path) -> None:
    folder = write_comparison(sums, tmp_path / "out").parent
    strict, last = table_rows(folder / "tables" / "readability.csv")
    assert (strict["task"], strict["filter"], last["filter"]) == ("sums", "strict", "last")
    # Of four texts: one invalid before, one invalid and one empty after; one is readable in both runs.
    assert (float(strict["share_before"]), float(strict["share_after"])) == (0.25, 0.5)
    assert (strict["before_invalid"], strict["after_invalid"], strict["after_empty"]) == ("1", "1", "1")
    assert (strict["both"], float(strict["delta_accuracy"]), strict["harmful"]) == ("1", 0.0, "2")
    assert (float(last["share_before"]), float(last["share_after"])) == (0.0, 0.25)
    assert "50.0 %" in to_markdown(sums)
    table = readability_table(sums)
    assert table is not None
    assert [row[:5] for row in table.rows] == [
        ("sums", "strict", "4", "1 (25.0 %)", "2 (50.0 %)"),
        ("sums", "last", "4", "0 (0.0 %)", "1 (25.0 %)"),
    ]


def test_other_filters_are_beside_the_one_that_counts(sums: Comparison, tmp_path: Path) -> None:
    folder = write_comparison(sums, tmp_path / "out").parent
    (beside,) = table_rows(folder / "tables" / "metrics.csv")
    assert (beside["task"], beside["metric"], beside["counts"]) == ("sums", "exact_match,last", "False")
    assert (float(beside["before"]), float(beside["after"]), float(beside["delta"])) == (0.75, 0.75, 0.0)
    assert (beside["aggregation"], beside["higher_is_better"]) == ("mean", "True")
    (headline,) = table_rows(folder / "tables" / "headline.csv")
    assert (headline["questions_of"], headline["filter"], float(headline["accuracy_before"])) == (
        "sums",
        "strict",
        0.75,
    )
    assert "`exact_match,last (beside)`" in to_markdown(sums)
    section = read_document(folder).comparison.by_task["sums"]  # type: ignore[union-attr]
    assert (section.filter, [*section.other_filters]) == ("strict", ["last"])


def test_a_metric_without_accuracy_has_its_own_table(tmp_path: Path) -> None:
    for (when, date), loss in zip(LOGS, (-2.0, -3.0), strict=True):
        row = {
            "doc": {"page": "some words"},
            "target": "",
            "resps": [[loss]],
            "filtered_resps": [loss],
            "filter": "none",
        }
        row |= {"metrics": ["word_perplexity"], "word_perplexity": [loss, 2]}
        write_rows(
            tmp_path / when, "text", date, [row | {"doc_id": number, "doc_hash": f"h{number}"} for number in range(3)]
        )
    comparison = compare(tmp_path / "before", tmp_path / "after")
    folder = write_comparison(comparison, tmp_path / "out").parent
    (found,) = table_rows(folder / "tables" / "metrics.csv")
    assert float(found["before"]) == pytest.approx(np.exp(1.0))
    assert float(found["after"]) == pytest.approx(np.exp(1.5))
    assert (found["aggregation"], found["higher_is_better"]) == ("weighted_perplexity", "False")
    assert not (folder / "tables" / "headline.csv").exists()
    assert not (folder / "tables" / "flips.csv").exists()
    assert "| `text` | `word_perplexity` |" in to_markdown(comparison)


def test_groups_have_a_table(tmp_path: Path) -> None:
    """Of two tasks, 4 and 2 questions; accuracy .75 → .5 and 1 → .5, and a third task that is not compared."""
    right = {"law": ((1, 1, 1, 0), (1, 1, 0, 0)), "art": ((1, 1), (1, 0))}
    content = {"group_subtasks": {"exams": ["law", "art", "music"]}}
    for side, (when, date) in enumerate(LOGS):
        for task, answers in right.items():
            rows = [
                {
                    "doc_id": n,
                    "doc": {"question": f"{task} {n}?"},
                    "target": "1",
                    "resps": [["1"]],
                    "filtered_resps": ["1"],
                }
                | {"filter": "none", "metrics": ["exact_match"], "exact_match": float(ok), "doc_hash": f"{task}{n}"}
                for n, ok in enumerate(answers[side])
            ]
            write_rows(tmp_path / when, task, date, rows)
        (tmp_path / when / f"results_{date}.json").write_text(json.dumps(content))
    comparison = compare(tmp_path / "before", tmp_path / "after")
    folder = write_comparison(comparison, tmp_path / "out").parent
    (group,) = table_rows(folder / "tables" / "groups.csv")
    assert (group["group"], group["tasks"], group["absent"], group["weighting"]) == ("exams", "law; art", "1", "size")
    assert float(group["accuracy_before"]) == pytest.approx(5 / 6)
    assert float(group["accuracy_after"]) == pytest.approx(3 / 6)
    pooled, *_ = table_rows(folder / "tables" / "headline.csv")
    assert (pooled["n"], pooled["flips_harmful"]) == ("6", "2")
    assert "| `exams` | exact\\_match | 6 |" in to_markdown(comparison)
    assert (folder / "report.html").read_text().count('href="tables/groups.csv"') == 1


def test_options_and_generated_answers_share_the_cards(write_probe: Callable[..., Path], tmp_path: Path) -> None:
    documents = [{"question": f"Question {number}?", "choices": ["one", "two"], "answer": 0} for number in range(700)]
    for when, date in LOGS:
        scores = [[-0.1, -2.0]] * 700 if when == "before" else [[-2.0, -0.1]] * 700
        write_rows(tmp_path / when, "sums", date, generated(WRITTEN[when]))
        write_probe(tmp_path / when, documents, scores, "exam").rename(tmp_path / when / f"samples_exam_{date}.jsonl")
    folder = write_comparison(compare(tmp_path / "before", tmp_path / "after"), tmp_path / "out").parent
    cards = told(folder)
    assert len(cards) == 704
    assert sum("generated" in card for card in cards) == 4
    items = pq.read_table(folder / "items.parquet").to_pylist()
    assert {row["task"]: row["options"] for row in items} == {"exam": ["one", "two"], "sums": None}
    assert items[0]["text_before"] is None


def test_hostile_names_and_texts_stay_text(tmp_path: Path) -> None:
    """In all formats, of a task, a metric, a filter and what was written."""
    for when, date in LOGS:
        rows = generated(WRITTEN[when])
        for row in rows:
            row["resps"] = [[HOSTILE + row["resps"][0][0]]]
        write_rows(tmp_path / when, "sums", date, rows)
    found = compare(tmp_path / "before", tmp_path / "after")
    section = found.by_task["sums"]
    assert section.metrics is not None
    metrics = {**section.metrics, HOSTILE: section.metrics["exact_match"]}
    section = replace(section, name=HOSTILE, metrics=metrics, filter=HOSTILE)
    named = {name: {HOSTILE: getattr(found, name)["sums"]} for name in ("items", "sources")}
    comparison = replace(found, by_task={HOSTILE: section}, **named)
    folder = write_comparison(comparison, tmp_path / "out").parent
    summary = to_markdown(comparison)
    for text in ((folder / "report.html").read_text(), (folder / "report.md").read_text()):
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert" in text
    lines = [line for line in summary.splitlines() if line.startswith("| `a")]
    assert len(lines) == 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}
    (row, beside) = table_rows(folder / "tables" / "metrics.csv")
    shown = HOSTILE.replace("\n", r"\n")
    assert (row["task"], row["metric"]) == (shown, f"{shown},{shown}")
    assert beside["metric"] == "exact_match,last"
    for table in (metric_table(comparison), readability_table(comparison)):
        assert table is not None
        lines = latex(table).splitlines()
        assert sum(r"\textbackslash{}c$<$script$>$" in line for line in lines) >= 2
        assert not any("<script>" in line or line.startswith("y") for line in lines)
    (card,) = [card for card in told(folder) if card["doc_id"] == 1]
    assert card["generated"]["pieces"][0][1].startswith(HOSTILE)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "a b"),
        ("one two three", "one two three"),
        ("The answer is 4.", "The answer is 5, I think."),
        ("今天天气很好", "今天天气不好"),
        ("a\n\n b\tc", "a\n\n b\td"),
        ("x" * 300, "y"),
    ],
)
def test_the_pieces_of_a_diff_are_the_two_texts(before: str, after: str) -> None:
    pieces = word_diff(before, after, 1000)
    for side, text in (("before", before), ("after", after)):
        assert "".join(part for kind, part in pieces if kind in ("same", side)) == text
    if before == after:
        assert {kind for kind, _ in pieces} == {"same"}


def test_a_diff_is_shortened_around_its_changes() -> None:
    same = " ".join(f"w{number}" for number in range(2000))
    pieces = word_diff(f"{same} old {same}", f"{same} new {same}", 1000)
    assert [kind for kind, _ in pieces] == ["same", "before", "after", "same"]
    assert [text.strip() for _, text in pieces[1:3]] == ["old", "new"]
    assert pieces[0][1].endswith("w1998 w1999 ")
    assert pieces[3][1].startswith("w0 w1 ")
    assert all(LEFT_OUT.strip() in pieces[place][1] for place in (0, 3))
    for side in ("before", "after"):
        assert sum(len(text) for kind, text in pieces if kind in ("same", side)) < 400
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{number}" for number in rng.integers(9, size=5000)) for _ in range(2)]
    pieces = word_diff(*texts, 1000)
    for side in ("before", "after"):
        assert sum(len(text) for kind, text in pieces if kind in ("same", side)) <= 1000 + 2 * len(LEFT_OUT)
