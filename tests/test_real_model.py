"""The document on the real model: its tables are what the script prints, and its accuracies those of the log-probabilities."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results" / "qwen2.5-coder-1.5b"


@pytest.fixture(scope="module")
def printed() -> str:
    script = [sys.executable, str(ROOT / "scripts" / "real_model.py"), str(FOLDER)]
    return subprocess.run(script, capture_output=True, text=True, check=True, env={**os.environ}).stdout


def test_the_documents_hold_what_the_script_prints(printed: str) -> None:
    assert (FOLDER / "tables.md").read_text() == f"# Every table\n{printed}"
    rows = [line for line in (FOLDER / "README.md").read_text().splitlines() if line.startswith("| ") and "[" in line]
    figures = [row for row in rows if "](" not in row]
    assert len(figures) >= 16 + 8
    assert [row for row in figures if row not in printed] == []


def test_accuracies_are_those_of_the_answers(printed: str) -> None:
    data = np.load(FOLDER / "answers.npz")
    mmlu = np.char.startswith(data["tasks"][data["task"]], "mmlu_")
    for domain in ("medicine", "history"):
        right = (data[f"{domain}_seed-0_incompatible"].argmax(axis=1) == data["gold"])[mmlu].mean()
        folded = data[f"{domain}_seed-0_incompatible/cyclic/mmlu_subset"].argmax(axis=1)
        rotated = (folded == data["cyclic_gold/mmlu_subset"]).mean()
        (row,) = [
            line.split(" | ")
            for line in printed.splitlines()
            if line.startswith(f"| {domain} | INCOMPATIBLE |") and line.count("|") == 9 and "[" not in line
        ]
        assert [float(row[5]), float(row[7].rstrip(" |"))] == pytest.approx([100 * right, 100 * rotated], abs=0.051)
