"""A comparison in a notebook: what it shows, its tables of pandas, its figure; and the notebook of the documentation runs."""

import builtins
import json
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot

from consistency import Comparison, InputError, compare

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from run_notebook import outputs_of  # noqa: E402

NOTEBOOK = ROOT / "docs" / "notebook.ipynb"
HOSTILE = "<script>alert(1)</script>"
mpl.use("agg")


@pytest.fixture(scope="module")
def logs(test_data: Path) -> tuple[Path, Path]:
    zero, five = (test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5))
    return zero, five


@pytest.fixture(scope="module")
def comparison(logs: tuple[Path, Path]) -> Comparison:
    return compare(*logs)


@pytest.fixture(scope="module")
def rows(logs: tuple[Path, Path]) -> pd.DataFrame:
    """The two logs, question by question."""
    sides = []
    for folder in logs:
        files = sorted(folder.rglob("samples_*.jsonl"))
        lines = [
            json.loads(line) | {"task": file.name[8:-33]} for file in files for line in file.read_text().splitlines()
        ]
        sides.append(pd.DataFrame(lines)[["task", "doc_id", "doc_hash", "acc", "doc"]])
    return sides[0].merge(sides[1], on=["task", "doc_id", "doc_hash"], suffixes=("", "_after"))


def test_it_shows_itself_in_a_few_lines(comparison: Comparison) -> None:
    lines = repr(comparison).splitlines()
    assert 3 < len(lines) < 15
    assert max(map(len, lines)) <= 80
    assert "+5.5 points [-1.4, +12.5]" in repr(comparison)


class Reader(HTMLParser):
    """The cells of the tables of a piece of HTML, and its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_a_notebook_shows_the_headline_the_table_and_one_figure(comparison: Comparison) -> None:
    html = comparison._repr_html_()
    reader = Reader()
    reader.feed(html)
    assert not {"script", "img", "iframe", "link", "style"} & reader.tags
    assert reader.cells[7:14] == ["mmlu_abstract_algebra", "100", "26.0 %", "38.0 %", "+12.0", "[+1.3, +22.8]", ".086"]
    svgs = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(svgs) == 1
    drawn = "".join(ET.fromstring(svgs[0]).itertext())
    assert "mmlu_college_computer_science" in drawn
    assert len(html) < 60_000


def test_names_are_text_in_it(comparison: Comparison) -> None:
    from dataclasses import replace

    section = replace(comparison.by_task["mmlu_abstract_algebra"], name=HOSTILE)
    hostile = replace(comparison, by_task={HOSTILE: section}, before=replace(comparison.before, model_name=HOSTILE))
    assert "<script" not in hostile._repr_html_()
    assert "<script" not in hostile.tasks.to_html()


def test_tasks_and_questions_are_tables_of_pandas(comparison: Comparison, rows: pd.DataFrame) -> None:
    tasks = comparison.tasks.set_index("task")
    expected = rows.groupby("task")
    assert tasks["n"].to_dict() == expected.size().to_dict()
    assert np.allclose(tasks["before"], expected["acc"].mean())
    assert np.allclose(tasks["change"], expected["acc_after"].mean() - expected["acc"].mean())
    assert ((tasks["ci_low"] < tasks["change"]) & (tasks["change"] < tasks["ci_high"])).all()
    questions = comparison.questions.merge(rows, on=["task", "doc_id", "doc_hash"])
    assert len(questions) == len(rows) == 200
    assert (questions["correct_before"] == questions["acc"]).all()
    assert (questions["correct_after"] == questions["acc_after"]).all()
    assert [doc["question"] for doc in questions["doc"]] == questions["question"].tolist()
    probs = np.array(questions["probs_before"].tolist())
    assert np.allclose(probs.sum(axis=1), 1)
    # As any table of pandas, it is written and read again.
    assert questions.drop(columns="doc").to_json()


def test_the_table_of_slices(logs: tuple[Path, Path], comparison: Comparison) -> None:
    found = compare(*logs, by="task").to_frame("slices")
    assert found[["by", "slice", "n"]].to_numpy().tolist() == [
        ["task", name, 100] for name in sorted(comparison.by_task)
    ]
    with pytest.raises(InputError, match="no slices"):
        comparison.to_frame("slices")
    with pytest.raises(InputError, match="expected one of tasks, questions, slices"):
        comparison.to_frame("words")


def test_without_pandas_the_error_says_so(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "pandas":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match="pandas is not installed; pip install pandas"):
        _ = comparison.tasks


def test_plot_draws_each_change_at_its_value(comparison: Comparison) -> None:
    axes = comparison.plot()
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "overall",
        *reversed(comparison.tasks["task"].tolist()),
    ]
    drawn = {round(float(x), 6) for container in axes.containers for x in container[0].get_xdata()}
    changes = [*comparison.tasks["change"], comparison.overall.estimates["delta_accuracy"].value]
    assert drawn == {round(100 * change, 6) for change in changes}
    own = pyplot.figure().subplots()
    assert comparison.plot(own) is own
    pyplot.close("all")


def test_write_writes_the_report(comparison: Comparison, tmp_path: Path) -> None:
    assert comparison.write(tmp_path / "out") == tmp_path / "out" / "report.html"
    assert (tmp_path / "out" / "report.json").is_file()


def test_the_notebook_of_the_documentation_runs_and_shows_what_is_stored(tmp_path: Path) -> None:
    """Pictures depend on the machine's fonts; texts do not."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    stored = [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert sum(path.stat().st_size for path in NOTEBOOK.parent.glob("notebook_logs/*")) < 300_000
    # What it writes stays out of the documentation.
    (tmp_path / "notebook_logs").symlink_to(NOTEBOOK.parent / "notebook_logs")
    found = list(outputs_of(notebook, tmp_path))
    pyplot.close("all")
    assert len(found) == len(stored) > 5
    for one, other in zip(found, stored, strict=True):
        assert [item["output_type"] for item in one] == [item["output_type"] for item in other]
        for shown, kept in zip(one, other, strict=True):
            if shown["output_type"] == "stream":
                assert shown["text"] == kept["text"]
            else:
                assert shown["data"]["text/plain"] == kept["data"]["text/plain"]
                assert set(shown["data"]) == set(kept["data"])
