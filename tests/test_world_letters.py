"""The document on letters in the embedded world: its tables are what the script prints, and its figures those of the answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from consistency.comparison.compare import compare
from consistency.statistics.answered import Answered
from consistency.statistics.decomposition import decompose
from consistency.statistics.sampling import Labels

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


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize("factor", [1.0, 2.0])
@pytest.mark.parametrize("moved", [False, True])
def test_what_is_planted_in_the_base_models_answers_comes_back(share: float, factor: float, moved: bool) -> None:
    """Letters moved by hand, a temperature, and other beliefs in a known share of questions, alone and together."""
    answers = np.load(FOLDER / "letters.npz")
    base = log_softmax(answers["base"].astype(float), axis=1)
    gold = np.eye(4, dtype=bool)[answers["gold"]]
    # The scores of the options exchanged: another belief, of a model without a favourite letter.
    others = np.random.default_rng(5).random(len(base)) < share
    beliefs = np.where(others[:, None], np.roll(base, 1, axis=1), base)
    later = log_softmax(factor * beliefs + (np.array([1.5, -1.5, 0.5, 0.0]) if moved else 0.0), axis=1)

    def accuracy(scores: np.ndarray) -> float:  # type: ignore[type-arg]
        return float(gold[np.arange(len(gold)), scores.argmax(axis=1)].mean())

    def kl(second: np.ndarray) -> float:  # type: ignore[type-arg]
        return float((np.exp(base) * (base - second)).sum(axis=1).mean())

    found = decompose([Answered(base, later, gold)], Labels(strata=None, tasks=None, clusters=None)).estimates
    planted = accuracy(beliefs) - accuracy(base)
    truth = {"calibrated_change": planted, "prior_change": accuracy(later) - accuracy(base) - planted}
    for name, number in truth.items():
        assert found[name].value == pytest.approx(number, abs=0.02), name
        assert found[name].ci_low <= number <= found[name].ci_high, name  # type: ignore[operator]
    if not share:
        # Of one plant alone each fit undoes it wholly; of both together the two fits do.
        assert found["kl_rest"].value == pytest.approx(0, abs=0.02)
        explained = {"kl_sharpness": factor > 1 and not moved, "kl_prior_first": moved and factor == 1}
        for name in (name for name, alone in explained.items() if alone):
            assert found[name].value == pytest.approx(kl(later), abs=0.02)


def test_the_logs_are_of_the_same_answers(tmp_path: Path) -> None:
    script = [sys.executable, str(ROOT / "scripts" / "world_letters.py"), str(FOLDER / "letters.npz")]
    subprocess.run([*script, "--logs", str(tmp_path)], check=True, timeout=60)
    assert {path.stem for path in tmp_path.iterdir()} == {"base", "harmonious", "self_aligning", "incompatible"}
    answers = np.load(FOLDER / "letters.npz")
    found = compare(tmp_path / "base.jsonl", tmp_path / "incompatible.jsonl").overall
    assert found.n == len(answers["gold"])
    right = [(answers[run].argmax(axis=1) == answers["gold"]).mean() for run in ("base", "incompatible")]
    assert found.estimates["delta_accuracy"].value == pytest.approx(right[1] - right[0])
