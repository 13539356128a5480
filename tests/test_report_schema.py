import json
from pathlib import Path
from typing import Any

import pytest

from consistency.errors import InputError
from consistency.report.grid.document import GridReport
from consistency.report.pair.document import PairReport
from consistency.report.schema import SCHEMA_FILE, json_schema, read_document

ESTIMATE = {"value": 0.4, "se": 0.05, "ci_low": 0.3, "ci_high": 0.5, "n": 50, "df": 49.0, "undefined": 0}


@pytest.fixture
def pair_report() -> dict[str, Any]:
    """The report of a pair as version 2 wrote it."""
    estimate = ESTIMATE | {"estimator": "mean over questions, t interval"}
    section = dict.fromkeys(("accuracy_before", "accuracy_after", "delta_accuracy"), estimate)
    pairing = dict.fromkeys(("paired", "by_hash", "by_content", "identical", "reordered"), 0)
    section |= {"n": 50, "equivalence_p": None, "minimum_detectable_change": None}
    section["pairing"] = {**pairing, "prompts": {}, "dropped": {}}
    run = {"path": "x", "model": "m", "model_args": None, "date": None, "lm_eval_version": "0.4.11"}
    comparison = {"schema_version": 1, "before": run, "after": run, "score": "raw", "margin": 0.01, "overall": section}
    comparison |= {"by_task": {"exam": section}, "messages": [], "verdict": "", "signature": ""}
    common = {"created": "", "signature": "", "intervals": "", "notes": [], "logs": [], "versions": {}}
    return {**common, "schema_version": 2, "kind": "pair", "verdict": {"sentence": ""}, "comparison": comparison}


def test_the_shipped_schema_is_that_of_the_types() -> None:
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), "run python -m consistency.report.schema"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON"),
        ("[]", "schema_version None"),
        ('{"schema_version": 1}', "schema_version 1"),
        ('{"schema_version": 2, "kind": "pair"}', "missing required field"),
        ('{"schema_version": 2, "kind": "trio"}', "Invalid value 'trio'"),
    ],
)
def test_what_is_no_report_is_refused(text: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=problem):
        read_document(tmp_path)


def test_a_folder_without_a_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"report\.json: cannot be read"):
        read_document(tmp_path)


def test_a_report_of_the_version_before_is_read() -> None:
    """The published report of the embedded world was written by version 2."""
    folder = Path(__file__).parents[1] / "docs" / "results" / "world"
    written = json.loads((folder / "report.json").read_text())
    assert written["schema_version"] == 2
    found = read_document(folder)
    assert isinstance(found, GridReport)
    assert len(found.results) == len(written["results"]) > 0
    for row, old in zip(found.results, written["results"], strict=True):
        assert row.tuned["spearman"].value == old["tuned"]["rank_pearson"]["value"]
        assert row.tuned["spearman_paper"].ci_low == old["tuned"]["rank_pearson_paper"]["ci_low"]
        assert row.tuned["kl"].se == old["tuned"]["kl"]["se"]
    assert {row.measure for row in found.contrasts} == {"accuracy", "spearman", "kl"}
    assert {row.x for row in found.partial_correlations} == {"spearman", "spearman_paper"}


@pytest.mark.parametrize(
    ("estimator", "unit", "method", "warnings"),
    [
        ("mean over questions, t interval", "question", "t", []),
        (
            "mean over clusters (CR3), t interval; skewed values, it covers less than it says",
            "cluster",
            "t-cr3",
            ["skewed"],
        ),
        ("mean over questions within fixed tasks, t interval", "stratum", "t", []),
        ("mean over questions, t interval corrected for skewness (Hall 1992)", "question", "t-hall", []),
        ("mean over questions, t interval; 3 tasks are too few to be clusters", "question", "t", ["few clusters"]),
        ("mean over tasks' means, t interval", "cluster", "t", []),
        ("share of questions, Wilson's interval", "question", "wilson", []),
        ("no question has a value", "question", "none", ["no values"]),
    ],
)
def test_the_text_of_an_estimator_becomes_fields(
    estimator: str, unit: str, method: str, warnings: list[str], tmp_path: Path, pair_report: dict[str, Any]
) -> None:
    numbers = {"value": 0.1, "se": 0.1, "ci_low": 0.0, "ci_high": 0.2, "n": 9, "df": 8.0, "undefined": 0}
    comparison = pair_report["comparison"] | {"overall": pair_report["comparison"]["overall"] | {}}
    comparison["overall"]["rank_pearson"] = numbers | {"estimator": estimator}
    (tmp_path / "report.json").write_text(json.dumps(pair_report | {"schema_version": 2, "comparison": comparison}))
    found = read_document(tmp_path)
    assert isinstance(found, PairReport)
    assert found.comparison.overall is not None
    estimate = found.comparison.overall.estimate("spearman")
    assert estimate is not None
    assert (estimate.unit, estimate.method, list(estimate.warnings)) == (unit, method, warnings)
    assert (estimate.value, estimate.n, estimate.df) == (0.1, 9, 8.0)


def test_names_of_tasks_stay_in_a_report_of_the_version_before(tmp_path: Path, pair_report: dict[str, Any]) -> None:
    comparison = pair_report["comparison"]
    comparison["by_task"] = dict.fromkeys(("rank_pearson", "a", "b", "difference", "estimator"), comparison["overall"])
    (tmp_path / "report.json").write_text(json.dumps(pair_report))
    found = read_document(tmp_path)
    assert isinstance(found, PairReport)
    assert list(found.comparison.by_task) == list(comparison["by_task"])


@pytest.mark.parametrize("depth", [600, 100_000])
def test_a_report_that_is_nested_too_deep_is_refused(depth: int, tmp_path: Path, pair_report: dict[str, Any]) -> None:
    text = json.dumps(pair_report | {"versions": {"x": "HERE"}}).replace('"HERE"', "[" * depth + "]" * depth)
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match="is nested"):
        read_document(tmp_path)
