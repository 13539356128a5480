"""The document on letters in the embedded world: its tables are what the script prints, and its figures those of the answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results" / "world"


@pytest.fixture(scope="module")
def printed() -> str:
    script = [sys.executable, str(ROOT / "scripts" / "world_letters.py"), str(FOLDER / "letters.npz")]
    return subprocess.run(script, capture_output=True, text=True, check=True).stdout


def test_the_document_holds_what_the_script_prints(printed: str) -> None:
    rows = [line for line in printed.splitlines() if line.startswith("| ") and "[" in line]
    assert len(rows) >= 4
    document = (FOLDER / "README.md").read_text()
    assert [row for row in rows if row not in document] == []


def test_nine_tenths_of_incompatible_are_left_without_the_prior(printed: str) -> None:
    answers = np.load(FOLDER / "letters.npz")
    gold = answers["gold"]

    def without(run: str) -> float:
        """Accuracy with offsets that make letters equally probable, by another optimiser."""
        x = answers[run].astype(float)

        def slack(b: np.ndarray) -> float:  # type: ignore[type-arg]
            return float(np.log(np.exp(x + b).sum(axis=1)).mean() - b.mean())

        b = minimize(slack, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
        assert softmax(x + b, axis=1).mean(axis=0) == pytest.approx(np.full(4, 0.25), abs=1e-5)
        return float(((x + b).argmax(axis=1) == gold).mean())

    raw = [float((answers[run].argmax(axis=1) == gold).mean()) for run in ("base", "incompatible")]
    kept = [without(run) for run in ("base", "incompatible")]
    (row,) = [line.split(" | ") for line in printed.splitlines() if line.startswith("| INCOMPATIBLE | 5")]
    for cell, (before, after) in ((row[1], raw), (row[2], kept)):
        assert cell.startswith(f"{100 * before:.1f} → {100 * after:.1f}: {100 * (after - before):+.1f} ")
    assert (kept[1] - kept[0]) / (raw[1] - raw[0]) == pytest.approx(0.9, abs=0.03)
