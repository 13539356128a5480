"""The table of the paper's claims: what counts as agreement, and that the committed table is that of the committed report."""

import csv
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
from published_claims import agreement, claims  # noqa: E402

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
        (found(-3, -7, 1), "not told from 0"),
        (found(None, None, None), "unknown"),
        (found(0.9, None, None, 0.01), "yes"),
        (found(0.3, None, None, 0.2), "sign only"),
    ],
)
def test_a_figure_agrees_where_its_whole_interval_has_the_sign(figure: dict[str, float | None], expected: str) -> None:
    assert agreement(11.27, figure) == expected


def test_the_committed_table_is_that_of_the_committed_report() -> None:
    report = json.loads((WORLD / "report.json").read_text(encoding="utf-8"))
    table = claims(report)
    assert table == (WORLD / "claims.md").read_text(encoding="utf-8")
    # And its figures are those of the report's own table of contrasts, which other code wrote.
    with (WORLD / "tables" / "contrasts.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["domain"], row["measure"]) == ("mean", "accuracy")]
    assert len(rows) == 6
    for row in rows:
        low, value, high = (
            f"{100 * float(row[key]):+.1f}" for key in ("difference_ci_low", "difference", "difference_ci_high")
        )
        assert f"| {row['scope'].upper()} |" in table
        assert f"{value} [{low}, {high}]" in table


def test_a_report_without_mixes_says_nothing_about_them() -> None:
    report = json.loads((WORLD / "report.json").read_text(encoding="utf-8"))
    main = ["harmonious", "incompatible", "self_aligning"]
    report["experiment"]["groups"] = main
    for key in ("results", "means"):
        report[key] = [row for row in report[key] if row["group"] in main]
    table = claims(report)
    assert "A mix is" not in table
    assert "SELF-ALIGNING − INCOMPATIBLE" in table
