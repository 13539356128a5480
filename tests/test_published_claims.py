"""The table of the paper's claims: what counts as agreement, and that the committed table is that of the committed report."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from published_claims import agreement, claims  # noqa: E402
from same_conclusions import conclusions, read  # noqa: E402

WORLD = ROOT / "docs" / "results" / "world"


def found(
    value: float | None, low: float | None, high: float | None, p: float | None = None
) -> dict[str, float | None]:
    return {"value": value, "ci_low": low, "ci_high": high, "p": p}


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (found(3, 1, 5), "yes"),
        (found(-3, -5, -1), "no"),
        (found(3, -1, 7), "sign only"),
        (found(-3, -7, 1), "opposite sign, not significant"),
        (found(None, None, None), "unknown"),
        (found(0.9, None, None, 0.01), "yes"),
        (found(0.3, None, None, 0.2), "sign only"),
    ],
)
def test_a_figure_agrees_where_its_whole_interval_has_the_sign(figure: dict[str, float | None], expected: str) -> None:
    assert agreement(11.27, figure) == expected


def test_the_committed_table_is_that_of_the_committed_report() -> None:
    report = json.loads((WORLD / "report.json").read_text(encoding="utf-8"))
    assert claims(report) == (WORLD / "claims.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("folder", "seed"), [(WORLD, "0"), (WORLD / "seeds", "")])
def test_its_figures_are_those_of_the_table_of_contrasts_which_other_code_wrote(folder: Path, seed: str) -> None:
    table = (folder / "claims.md").read_text(encoding="utf-8")
    with (folder / "tables" / "contrasts.csv").open(encoding="utf-8", newline="") as file:
        kept = ("mean", "accuracy", seed)
        rows = [row for row in csv.DictReader(file) if (row["domain"], row["measure"], row["seed"]) == kept]
    assert len(rows) == 6
    for row in rows:
        low, value, high = (
            f"{100 * float(row[key]):+.1f}" for key in ("difference_ci_low", "difference", "difference_ci_high")
        )
        title = " − ".join(row[key].upper().replace("_", "-") for key in ("minuend", "subtrahend"))
        paper = r"\| \+[\d.]+ \|"
        line = rf"\| {title} \| {row['scope'].upper()} {paper} {re.escape(f'{value} [{low}, {high}]')} \| yes \|"
        assert re.search(line, table), line


def test_a_report_without_mixes_says_nothing_about_them() -> None:
    report = json.loads((WORLD / "report.json").read_text(encoding="utf-8"))
    main = ["harmonious", "incompatible", "self_aligning"]
    report["experiment"]["groups"] = main
    for key in ("results", "means"):
        report[key] = [row for row in report[key] if row["group"] in main]
    table = claims(report)
    assert "A mix is" not in table
    assert "SELF-ALIGNING − INCOMPATIBLE" in table


@pytest.mark.parametrize(("experiment", "report"), [("world-paper", WORLD), ("world-seeds", WORLD / "seeds")])
def test_the_table_of_a_cpu_and_a_gpu_is_that_of_the_committed_reports(experiment: str, report: Path) -> None:
    text = (WORLD / "cpu_and_gpu.md").read_text(encoding="utf-8").partition(f"## {experiment}")[2].partition("\n## ")[0]
    for line in conclusions(read(report), read(WORLD / "gpu" / experiment)):
        assert f"| {' | '.join(line)} |" in text


def test_groups_that_changed_places_are_named_with_their_difference_on_both() -> None:
    def rows(**accuracies: float) -> dict[tuple[str, str], dict[str, str]]:
        return {
            (group, scope): {
                f"{column}{suffix}": str(value + shift)
                for column, value in (("tuned_accuracy", accuracy), ("tuned_spearman", 0.5))
                for suffix, shift in (("", 0), ("_ci_low", -0.03), ("_ci_high", 0.03))
            }
            for group, accuracy in accuracies.items()
            for scope in ("homo", "id", "ood")
        }

    lines = list(conclusions(rows(harmonious=0.5, unsure=0.52), rows(harmonious=0.51, unsure=0.47)))
    assert lines[0] == (
        *("accuracy, points", "HOMO", "but HARMONIOUS − UNSURE: −2.0 and +4.0", "UNSURE −5.0", "1 of 2"),
    )
    assert lines[-1][2:] == ("the same", "HARMONIOUS +0.000", "2 of 2")
    with pytest.raises(SystemExit, match="not the same experiment"):
        list(conclusions(rows(harmonious=0.5), rows(harmonious=0.5, unsure=0.5)))
