"""Slices of the questions by a field: against pandas, statsmodels, SciPy and a brute-force posterior."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from consistency import InputError, compare
from consistency.statistics.paired_shares import paired_change
from consistency.statistics.partial_pooling import partially_pooled

DATE = "2026-02-03T04-05-06.000000"
SUBJECTS = ("law", "physics", "史学", "anatomy", "chess", "music")
Logs = tuple[Path, Path]


def write(folder: Path, task: str, documents: Sequence[Mapping[str, Any]], right: Sequence[bool]) -> None:
    """A log of questions with two options, of which the model prefers the right one or the wrong one."""
    folder.mkdir(exist_ok=True, parents=True)
    rows = [
        {
            "doc_id": number,
            "doc": {"question": f"{task} {number}?", "choices": ["yes", "no"], "answer": number % 2, **document},
            "target": str(number % 2),
            "filtered_resps": [[str(-0.2 if good == (place == number % 2) else -1.7), "False"] for place in (0, 1)],
            "filter": "none",
            "metrics": ["acc"],
            "doc_hash": f"{task}{number}",
            "acc": float(good),
        }
        for number, (document, good) in enumerate(zip(documents, right, strict=True))
    ]
    (folder / f"samples_{task}_{DATE}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    """Two runs of two tasks whose documents have a subject, a nested level, and tags; physics fell."""
    root, rng = tmp_path_factory.mktemp("slices"), np.random.default_rng(5)
    for task, n in (("one", 300), ("two", 200)):
        documents: list[dict[str, Any]] = [
            {
                "subject": SUBJECTS[number % 6],
                "meta": {"level": int(rng.integers(1, 4))},
                "tags": ["a", "b"][: 1 + number % 2],
            }
            for number in range(n)
        ]
        if task == "two":
            del documents[7]["subject"]
        before = rng.random(n) < 0.6
        fell = np.array([0.6 if document.get("subject") == "physics" else 0.06 for document in documents])
        after = np.where(rng.random(n) < fell, ~before & (rng.random(n) < 0.2), before)
        for side, right in (("before", before), ("after", after)):
            write(root / side, task, documents, [bool(good) for good in right])
    for side in ("before", "after"):
        results = {
            "group_subtasks": {"both": ["one", "two"], "first": ["one"]},
            "configs": {"one": {"tag": ["reading"]}, "two": {"tag": "sums"}},
            "n-samples": {"one": {"original": 900, "effective": 300}, "two": {"original": 200, "effective": 200}},
            "config": {"model": "hf", "model_args": "pretrained=org/m", "limit": 300},
        }
        (root / side / f"results_{DATE}.json").write_text(json.dumps(results))
    return root / "before", root / "after"


def frame(logs: Logs) -> pd.DataFrame:
    """The two logs' rows, question by question."""
    sides = []
    for folder in logs:
        rows = [json.loads(line) for file in sorted(folder.glob("samples_*")) for line in file.read_text().splitlines()]
        sides.append(pd.json_normalize(rows, sep="."))
    found = sides[0].copy()
    found["after"] = sides[1]["acc"]
    return found.rename(columns={"acc": "before"})


@pytest.mark.parametrize(("field", "column"), [("subject", "doc.subject"), ("meta.level", "doc.meta.level")])
def test_counts_changes_and_p_are_those_of_the_rows(logs: Logs, field: str, column: str) -> None:
    found = compare(*logs, by=field).slices[field]
    by_value = {str(value): part for value, part in frame(logs).groupby(column)}
    assert {item.name for item in found.slices} == set(by_value)
    p = []
    for item in found.slices:
        part = by_value[item.name]
        lost, won = (
            int(((part.before == 1) & (part.after == 0)).sum()),
            int(((part.before == 0) & (part.after == 1)).sum()),
        )
        assert (item.n, item.tasks, item.flips["harmful"], item.flips["beneficial"]) == (len(part), 2, lost, won)
        assert item.accuracy_before.value == pytest.approx(part.before.mean())
        assert item.accuracy_after.value == pytest.approx(part.after.mean())
        assert item.delta_accuracy.value == pytest.approx((part.after - part.before).mean())
        assert item.delta_accuracy.ci_low < item.delta_accuracy.value < item.delta_accuracy.ci_high
        p.append(stats.binomtest(lost, lost + won).pvalue if lost + won else 1.0)
        assert item.p == pytest.approx(p[-1])
    assert [item.p_holm for item in found.slices] == pytest.approx(multipletests(p, method="holm")[1])
    assert found.missing == frame(logs)[column].isna().sum()
    # Numbers stand in the order of their values.
    if field == "meta.level":
        assert [item.name for item in found.slices] == ["1", "2", "3"]


def test_physics_fell_and_is_named_first(logs: Logs) -> None:
    found = compare(*logs, by="subject").slices["subject"]
    first = found.largest(1)[0]
    assert first.name == "physics"
    assert first.p_holm < 0.001
    assert all(item.p_holm > 0.05 for item in found.slices if item.name != "physics")


def test_harness_groups_tags_and_tasks_are_slices(logs: Logs) -> None:
    comparison = compare(*logs, by=["group", "tag", "task", "tags"])
    counts = {field: {item.name: item.n for item in found.slices} for field, found in comparison.slices.items()}
    assert counts == {
        "group": {"both": 500, "first": 300},
        "tag": {"reading": 300, "sums": 200},
        "task": {"one": 300, "two": 200},
        "tags": {"a": 500, "b": 250},
    }
    assert [found.overlapping for found in comparison.slices.values()] == [True, False, False, True]
    for name, part in comparison.by_task.items():
        (item,) = (item for item in comparison.slices["task"].slices if item.name == name)
        assert item.delta_accuracy == part.estimates["delta_accuracy"]
        assert (item.p, item.p_holm) == (part.sign_flip_p, part.p_holm)


def test_questions_that_share_a_passage_count_as_clusters(logs: Logs) -> None:
    alone, clustered = (
        compare(*logs, by="subject", cluster=cluster).slices["subject"].slices for cluster in ("none", "meta.level")
    )
    assert {item.delta_accuracy.unit for item in alone} == {"question"}
    assert {item.delta_accuracy.unit for item in clustered} == {"question cluster"}


@pytest.mark.parametrize(
    ("field", "says"),
    [
        (
            "subjct",
            "no document has a field 'subjct'; expected one of question, choices, answer, subject, meta.level, tags",
        ),
        ("meta", "the field meta has fields of its own; expected one of meta.level"),
        ("doc.group", "no document has a field 'group'"),
    ],
)
def test_a_missing_field_is_an_error_that_names_those_there_are(
    logs: Logs, call: Callable[..., Any], field: str, says: str
) -> None:
    with pytest.raises(InputError, match=r"\.jsonl: ") as error:
        compare(*logs, by=field)
    assert says in str(error.value)
    code, out, err = call("compare", *logs, "--by", field)
    assert (code, out) == (2, "")
    assert says in err


def test_a_field_that_names_each_question_is_refused(tmp_path: Path) -> None:
    documents = [{"key": f"k{number}"} for number in range(501)]
    for side in ("before", "after"):
        write(tmp_path / side, "t", documents, [True] * 501)
    with pytest.raises(InputError, match="key has 501 values in 501 questions"):
        compare(tmp_path / "before", tmp_path / "after", by="key")
    with pytest.raises(InputError, match="records no tag"):
        compare(tmp_path / "before", tmp_path / "after", by="tag")


def test_the_page_has_a_table_of_the_slices(logs: Logs, tmp_path: Path) -> None:
    compare(*logs, by=["subject", "tags"]).write(tmp_path / "out")
    stored = pd.read_csv(tmp_path / "out" / "tables" / "slices-1.csv").set_index("slice")
    expected = frame(logs).groupby("doc.subject")
    assert stored["n"].to_dict() == expected.size().to_dict()
    assert (stored["delta_accuracy"] - (expected.after.mean() - expected.before.mean())).abs().max() < 1e-9
    assert "史学" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_json_and_terminal_hold_the_slices_and_the_limit(logs: Logs, call: Callable[..., Any]) -> None:
    code, out, err = call("compare", *logs, "--by", "subject", "--by", "tag", "--json", "-")
    assert (code, err) == (0, "")
    stored = json.loads(out)["slices"]
    assert set(stored) == {"subject", "tag"}
    assert stored["subject"]["slices"]["史学"]["shrunk"]["method"] == "partial pooling"
    text = call("compare", *logs, "--by", "subject")[1]
    row = next(line for line in text.splitlines() if line.startswith("physics"))
    assert row.endswith("< .001")
    # Both raw and shrunk, each with its interval.
    assert row.count("[") == 2
    assert "(--limit 300): a slice, not the whole test" in " ".join(text.split())


def brute_force(values: Sequence[float], variances: Sequence[float]) -> list[float]:
    """Posterior means by a grid over the common mean and the variance between slices, both with flat priors."""
    y, v = np.array(values), np.array(variances)
    mean = np.linspace(-0.2, 0.2, 201)[:, None, None]
    between = np.linspace(1e-6, 0.06, 1500)[None, :, None]
    density = stats.norm.logpdf(y, mean, np.sqrt(v + between)).sum(axis=2)
    weight = np.exp(density - density.max())[..., None]
    shrunk = (y * between + mean * v) / (v + between)
    return ((weight * shrunk).sum(axis=(0, 1)) / weight.sum()).tolist()


def test_the_shrunk_changes_are_those_of_the_posterior() -> None:
    counts = [(30, 4), (12, 10), (9, 11), (14, 9), (10, 12), (8, 8), (11, 7), (9, 12)]
    n = 400
    changes = [paired_change(lost, won, n) for lost, won in counts]
    own = [n * change.se**2 for change in changes]
    pooled = sum(own) / len(own)
    variances = [(n * each + 15) / (n + 15 / pooled) / n for each in own]
    found = partially_pooled(changes, sum(map(sum, counts)))
    expected = brute_force([change.value for change in changes], variances)
    assert [change.value for change in found.changes] == pytest.approx(expected, abs=2e-4)
    mean = np.mean([change.value for change in changes])
    for shrunk, change in zip(found.changes, changes, strict=True):
        assert abs(shrunk.value - mean) <= abs(change.value - mean)
        assert shrunk.ci_low < shrunk.value < shrunk.ci_high


def test_few_slices_or_hardly_any_change_are_not_shrunk() -> None:
    changes = [paired_change(5, 2, 100)] * 4
    assert partially_pooled(changes, 28) is None
    assert partially_pooled([paired_change(1, 0, 100)] * 8, 8) is None
    # A slice of one question has no standard error of its own, and says hardly anything.
    found = partially_pooled([*([paired_change(5, 2, 100)] * 6), paired_change(1, 0, 1)], 43)
    assert -0.2 < found.changes[-1].value < -0.03
