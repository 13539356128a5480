"""Names that steer a terminal, hide, or look like formulas and markup, in every field of two logs: what outputs make of them."""

import csv
import json
import re
import warnings
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from consistency.support.text import visible

DATE = "2026-01-01T00-00-00.000000"
NAMES = [
    "\x1b]0;title\x07\x1b[31mred\x1b[2J\x9b31m\r over\b",
    "\u202eabc\u2066\u200b\ufffe\U000e0041",
    "line\nFAILED\u2028x\x85y\tz",
    "=HYPERLINK(1)",
    "-1+cmd|' C'!A0",
    "$\\frac{$ $\\undefined_{$ $$ ${}_^\\",
    "<img src=x onerror=alert(1)>]]><!--",
    "@someone #1 [x](javascript:alert(5)) | a | `c`",
    "中文任务",
    "العربية",
    "long" * 30,
]


def _row(number: int, name: str, turn: int) -> dict[str, object]:
    values = [-1 - ((number + place * turn) % 4) * 0.7 for place in range(4)]
    question, choices = f"Q{number} {name}?", [f"{name} {letter}" for letter in "abcd"]
    right = float(values.index(max(values)) == number % 4)
    return {
        "doc_id": number,
        "doc": {"question": question, "choices": choices, "answer": number % 4, "subject": name, name: name},
        "target": str(number % 4),
        "arguments": {
            f"gen_args_{place}": {"arg_0": f"{name}\n\n{question}{turn}", "arg_1": f" {letter}"}
            for place, letter in enumerate("ABCD")
        },
        "filtered_resps": [[str(value), "False"] for value in values],
        "filter": "none",
        "metrics": ["acc", name],
        "doc_hash": f"{number}",
        "acc": right,
        name: right,
    }


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logs of two runs: tasks, metrics, fields, subjects, questions, options, models and settings have the names."""
    root = tmp_path_factory.mktemp("logs")
    every = " ".join(NAMES)
    for side, turn in (("before", 1), ("after", 3)):
        (root / side).mkdir()
        for name in NAMES:
            lines = "".join(json.dumps(_row(number, name, turn)) + "\n" for number in range(8))
            (root / side / f"samples_{name}_{DATE}.jsonl").write_text(lines)
        results = {
            "results": {name: {"acc,none": 0.5, f"{name},none": 0.5, "alias": name} for name in NAMES},
            "configs": {name: {"task": name, "num_fewshot": turn, "description": f"{name}{side}"} for name in NAMES},
            "group_subtasks": {f"group {every}": NAMES},
            "config": {"model": every, "model_args": f"pretrained={every}{side}"},
            **dict.fromkeys(("git_hash", "model_name", "lm_eval_version", "transformers_version"), f"{every}{side}"),
        }
        (root / side / f"results_{DATE}.json").write_text(json.dumps(results))
    return root


def _check(text: str) -> None:
    """Nothing in a text is hidden, in which tabs and line feeds are its own."""
    assert visible(text, keep="\n\t") == text
    assert "\nFAILED" not in text


@pytest.mark.parametrize("form", ["text", "github", "markdown", "json"])
def test_what_compare_prints(call, logs, form):
    code, out, err = call("compare", logs / "before", logs / "after", "--format", form, "--all")
    assert (code, err) == (0, "")
    _check(out)
    if form == "json":
        assert set(json.loads(out)["by_task"]) == set(NAMES)
    else:
        assert all(text in out for text in ("中文任务", "العربية"))
    if form == "text":
        # One line for each task, and the columns under each other.
        lines = out.splitlines()
        start = next(place for place, line in enumerate(lines) if line.startswith("task "))
        assert len([line for line in lines[start + 1 :][: len(NAMES)] if "50.0 %" in line or "100.0 %" in line]) == len(
            NAMES
        )


def test_what_is_written(call, logs, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, _, err = call("compare", logs / "before", logs / "after", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    files = {path for path in (tmp_path / "out").rglob("*") if path.suffix not in (".pdf", ".parquet")}
    for path in files:
        if path.is_file():
            _check(path.read_text(encoding="utf-8"))
    for path in (tmp_path / "out").rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                for field in row:
                    # A number, or no formula.
                    assert not re.match(r"[\s'\"]*[=+\-@]", field) or field[0] == "'" or float(field) is not None
    for path in (tmp_path / "out").rglob("*.svg"):
        ET.parse(path)  # also refuses what XML does not have
    drawn = (tmp_path / "out" / "figures" / "tasks.svg").read_text(encoding="utf-8")
    assert "中文任务" in drawn
    assert "$ $\\undefined_{$" in drawn
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "<img" not in page.replace("&lt;img", "")
    assert "中文任务" in page


def test_what_a_map_writes(call, logs, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, out, err = call("map", "--probe", logs / "before", "--out", tmp_path / "map")
    assert (code, err) == (0, "")
    _check(out)
    assert len(out.splitlines()) == len(NAMES)
    for name in ("map.svg", "map.json", "labels.jsonl"):
        _check((tmp_path / "map" / name).read_text(encoding="utf-8"))
    ET.parse(tmp_path / "map" / "map.svg")
    subjects = {item["subject"] for item in map(json.loads, (tmp_path / "map" / "labels.jsonl").open(encoding="utf-8"))}
    assert subjects == set(NAMES)


def test_what_an_audit_writes(call, logs, tmp_path):
    rows = [
        {
            "question": f"Q{number} {name}?",
            "choices": [f"{name} {letter}" for letter in "abcd"],
            "answer": 1,
            "id": name,
        }
        for name in NAMES
        for number in range(4)
    ]
    path = tmp_path / "rows\x1b[31m.jsonl"
    path.write_text("".join(json.dumps(row | {"subject": row["id"]}) + "\n" for row in rows))
    code, out, err = call("audit", path, "--probe", logs / "before", "--out", tmp_path / "audit")
    assert (code, err) == (0, "")
    _check(out)
    table = [line for line in out.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table}) <= 2, "a bar in a name is no new column"
    assert "<img" not in out
    for name in ("audit.md", "audit.json", "examples.jsonl"):
        _check((tmp_path / "audit" / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("hidden", ["\x1b[31mx", "\u202ex", "a\nb", "a\u2028b", "\x9b"])
@pytest.mark.parametrize(
    "command",
    [
        "{}",
        "compare {} {}",
        "compare --{} a b",
        "compare a b --margin {}",
        "compare a b --fail-if {}",
        "compare a b --policy {}",
        "requests --probe {} --out a",
        "groups --probe {} --out a",
        "map --probe {} --out a",
        "audit {} --probe {}",
        "leakage {}",
        "rotations {}",
        "checkpoint {}",
        "failures {}",
        "status {}",
        "watch {}",
        "report {} --root a --out b",
        "report --compare {} {}",
        "experiment validate {}",
        "experiment {}",
        "experiment config {}",
        "domain check {}",
        "domain new {} --out a --from {}",
        "convert {} b --from {}",
        "explain {}",
        "plan-eval --figure {}",
        "plan-eval --power {}",
    ],
)
def test_what_is_refused_is_quoted_in_one_line(call, command, hidden, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*(word.replace("{}", hidden) for word in command.split()))
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("consistency: ")
    _check(err)


def test_errors_about_data_quote_it_visibly(call, tmp_path):
    for number, text in enumerate(
        ["a\x9b\u202e: [", '{"\x9b\u202e": 1}', '{"question": "\u202e", "choices": "\u200b", "answer": "\x85"}']
    ):
        path = tmp_path / f"{number}\u202e.jsonl"
        path.write_text(text)
        for command in ("leakage", "experiment validate", "domain check"):
            code, _, err = call(*command.split(), path)
            assert code == 2
            assert err.count("\n") == 1
            _check(err)


def test_nothing_else_prints():
    """Text leaves through `consistency.support.streams` alone."""
    package = Path(__file__).resolve().parent.parent / "consistency"
    door = package / "support" / "streams.py"
    prints = re.compile(
        r"^\s*(?:(?!>>>|\.\.\.).*\s)?(?:print\(|typer\.echo|click\.echo|sys\.(?:stdout|stderr)\.write)", re.M
    )
    assert prints.search(door.read_text())
    found = [
        path.name
        for path in package.rglob("*.py")
        if path != door
        for line in path.read_text(encoding="utf-8").splitlines()
        if prints.match(line) and not line.lstrip().startswith((">>>", "..."))
    ]
    assert found == []
