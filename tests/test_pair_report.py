import csv
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from consistency.changes import compare
from consistency.errors import InputError
from consistency.report.pair import write_comparison
from consistency.scopes import find_scopes


@pytest.fixture
def qwen(test_data: Path) -> list[Path]:
    return [test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5)]


def test_a_comparisons_folder_holds_what_the_table_says(qwen: list[Path], tmp_path: Path) -> None:
    comparison = compare(*qwen)
    path = write_comparison(comparison, tmp_path / "out")
    stored = json.loads(path.read_text())
    items = pd.read_parquet(tmp_path / "out" / "items.parquet")
    assert stored["overall"]["n"] == len(items) == 200
    # The known figures of these logs.
    assert items.correct_before.mean() == pytest.approx(0.38)
    assert items.correct_after.mean() == pytest.approx(0.435)
    assert round(items.kl.mean(), 5) == 0.24594
    assert (items.correct_before > items.correct_after).sum() == 19
    with (tmp_path / "out" / "tables" / "tasks.csv").open(newline="") as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {*stored["by_task"], "overall"}
    assert float(rows["overall"]["kl"]) == stored["overall"]["kl"]["value"]
    assert int(rows["overall"]["flips_beneficial"]) == 30


def test_a_folder_with_something_else_is_left_alone(qwen: list[Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"holds no comparison\.json"):
        write_comparison(compare(*qwen), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_scopes_of_the_harness_own_mmlu(qwen: list[Path], tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "consistency.cli",
        "compare",
        *map(str, qwen),
        "--scopes",
        "engineering",
        "--json",
        "-",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    named = {name for name in result["by_task"] if name.endswith("electrical_engineering")}
    scopes = result["by_scope"]
    assert scopes["id"]["n"] == sum(result["by_task"][name]["n"] for name in named) if named else "id" not in scopes
    assert sum(scope["n"] for scope in scopes.values()) == result["overall"]["n"]


def test_a_log_without_any_task_of_the_domain_is_refused() -> None:
    with pytest.raises(InputError, match="no task belongs to medicine: arc_easy"):
        find_scopes("medicine", ["arc_easy"])
