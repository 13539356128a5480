"""The document on the real model: its tables are what the script prints, and its accuracies those of the log-probabilities."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

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


def test_claims_are_means_over_the_domains(printed: str) -> None:
    data = np.load(FOLDER / "answers.npz")
    mmlu = np.char.startswith(data["tasks"][data["task"]], "mmlu_")
    gold = data["gold"][mmlu]
    domains = ("medicine", "jurisprudence", "engineering", "history")

    def right(group: str) -> float:
        runs = (data[f"{domain}_seed-0_{group}"][mmlu] for domain in domains)
        return float(np.mean([(run.argmax(axis=1) == gold).mean() for run in runs]))

    def rotated(group: str, domain: str) -> float:
        folded = data[f"{domain}_seed-0_{group}/cyclic/{domain}"].argmax(axis=1)
        return float((folded == data[f"cyclic_gold/{domain}"]).mean())

    for group, name in (("harmonious", "HARMONIOUS"), ("self_aligning", "SELF-ALIGNING")):
        on_tests, on_mmlu = (line.split(" | ") for line in printed.splitlines() if line.startswith(f"| {name} above"))
        found = [float(on_mmlu[3].split()[0]), float(on_tests[5].split()[0])]
        turned = np.mean([rotated(group, domain) - rotated("incompatible", domain) for domain in domains])
        assert found == pytest.approx([100 * (right(group) - right("incompatible")), 100 * turned], abs=0.051)


def test_the_last_claims_are_those_of_the_folded_answers(printed: str) -> None:
    data = np.load(FOLDER / "answers.npz")
    (row,) = [
        line.split(" | ") for line in printed.splitlines() if line.startswith("| KL: INCOMPATIBLE") and "tests" in line
    ]
    more = []
    for domain in ("medicine", "jurisprudence", "engineering", "history"):
        p = softmax(data[f"base_icl_cyclic/cyclic/{domain}"] / 512, axis=1)
        each = [
            (p * np.log(p / softmax(data[f"{domain}_seed-0_{group}/cyclic/{domain}"] / 512, axis=1))).sum(axis=1).mean()
            for group in ("incompatible", "mixed_0.4")
        ]
        more.append(each[0] - each[1])
    assert float(row[5].split()[0]) == pytest.approx(np.mean(more), abs=0.0051)
