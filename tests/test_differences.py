"""Two reports compared, against scipy, statsmodels and figures counted by hand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from consistency.errors import InputError
from consistency.report.differences.matching import compare_reports
from consistency.report.differences.result import Difference, Differences
from consistency.report.differences.stored import COMPARED

SCOPES = {"homo": ("exam",), "id": ("law", "trade")}


def figure(values: Any) -> dict[str, Any]:
    values = np.asarray(values)
    se = float(values.std(ddof=1) / np.sqrt(len(values)))
    return {"value": float(values.mean()), "se": se, "ci_low": 0.0, "ci_high": 1.0, "undefined": 0}


def row(items: pd.DataFrame, *, single: bool = True, **place: Any) -> dict[str, Any]:
    columns = {"accuracy": "correct_after", "spearman": "spearman", "kl": "kl", "same_top": "same_top"}
    tuned = {name: figure(items[column]) for name, column in columns.items()}
    tuned |= {"spearman_paper": tuned["spearman"], "cosine": tuned["kl"]}
    change = {"accuracy": figure(items.correct_after - items.correct_before)}
    found = {
        **place,
        "n": len(items),
        "tasks": 1,
        "base": {"accuracy": figure(items.correct_before)},
        "base_zero_shot": tuned,
        "tuned": tuned,
        "change": change,
        "change_from_zero_shot": change,
    }
    rest = {
        "flips": {},
        "mcnemar_p": 1.0,
        "mcnemar_p_holm": 1.0,
        "kl_quantiles": {},
        "tie_rate": {"base": 0.0, "tuned": 0.0},
    }
    return {**found, **rest} if single else found


COMMON = {"schema_version": 3, "created": "", "intervals": "", "notes": [], "logs": [], "versions": {"numpy": "2"}}


def write_grid(
    folder: Path, rng: np.random.Generator, *, seed: int = 0, model: str = "m", n: int = 40, group: str = "incompatible"
) -> pd.DataFrame:
    """A grid's folder by hand: two domains, one group; questions of one doc_id and gold in every grid."""
    frames = []
    for domain in ("medicine", "history"):
        for scope, tasks in SCOPES.items():
            for task in tasks:
                place = {"model": model, "domain": domain, "group": group, "seed": seed, "scope": scope}
                before, after = rng.integers(2, size=(2, n)).astype(float)
                values = {"kl": rng.gamma(2.0, size=n), "spearman": rng.uniform(-1, 1, size=n)}
                frames.append(
                    pd.DataFrame(
                        place
                        | {"task": f"{domain}_{task}", "doc_id": np.arange(n), "gold": np.arange(n) % 4}
                        | {"correct_before": before, "correct_after": after, "same_top": rng.integers(2, size=n) * 1.0}
                        | values
                    )
                )
    items = pd.concat(frames, ignore_index=True)
    run = {"model": model, "group": group, "seed": seed}
    results = [
        row(items[(items.domain == domain) & (items.scope == scope)], domain=domain, scope=scope, **run)
        for domain in ("medicine", "history")
        for scope in SCOPES
    ]
    means = [row(items[items.scope == scope], single=False, domain="mean", scope=scope, **run) for scope in SCOPES]
    pairing = {"questions": 0, "paired": 0, "dropped": 0, "not_in_all_three_logs": 0, "absent_tasks": {}, "runs": []}
    names = ("seed_summary", "contrasts", "partial_correlations", "checkpoints", "training_rows")
    document = {
        **COMMON,
        "kind": "grid",
        "experiment": {
            "name": "x",
            "models": [model],
            "domains": ["medicine", "history"],
            "groups": [group],
            "seeds": [seed],
        },
        "verdict": {"sentence": "", "models": []},
        "results": results,
        "means": means,
        "pairing": pairing,
        "signature": f"seed:{seed}",
        **{name: [] for name in names},
    }
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(document))
    items.to_parquet(folder / "items.parquet")
    return items


def found(between: Differences, measure: str, **place: str) -> Difference:
    (item,) = [
        item
        for item in between.differences
        if item.measure.name == measure and all(item.place[name] == value for name, value in place.items())
    ]
    return item


@pytest.fixture
def grids(tmp_path: Path) -> tuple[Path, Path, pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(1)
    one, two = (write_grid(tmp_path / name, rng, seed=seed) for name, seed in (("a", 0), ("b", 1)))
    return tmp_path / "a", tmp_path / "b", one, two


def test_the_same_questions_are_paired(grids) -> None:
    a, b, one, two = grids
    between = compare_reports(a, b)
    assert between.taken_together == {"seed": ("0", "1")}
    assert all(item.paired for item in between.differences)
    exam = [items[items.task == "medicine_exam"] for items in (one, two)]
    item = found(between, "kl", domain="medicine", scope="homo")
    expected = stats.ttest_rel(exam[1].kl, exam[0].kl)
    assert item.estimate.value == pytest.approx(exam[1].kl.mean() - exam[0].kl.mean())
    assert item.p == pytest.approx(expected.pvalue)
    # Two fixed tasks: their variances add.
    item = found(between, "accuracy_after", domain="history", scope="id")
    parts = [
        two[two.task == task].correct_after.to_numpy() - one[one.task == task].correct_after.to_numpy()
        for task in ("history_law", "history_trade")
    ]
    assert item.estimate.se == pytest.approx(np.sqrt(sum(part.var(ddof=1) / 40 for part in parts)) / 2)
    # A mean over domains is the mean of both.
    mean = found(between, "kl", domain="mean", scope="homo")
    both = [found(between, "kl", domain=domain, scope="homo").estimate for domain in ("medicine", "history")]
    assert mean.estimate.value == pytest.approx(np.mean([item.value for item in both]))
    assert mean.estimate.se == pytest.approx(np.hypot(both[0].se, both[1].se) / 2)
    change = found(between, "delta_accuracy", domain="medicine", scope="homo")
    changes = [(items.correct_after - items.correct_before).to_numpy() for items in exam]
    assert change.estimate.value == pytest.approx((changes[1] - changes[0]).mean())


def test_p_is_adjusted_over_a_level(grids) -> None:
    between = compare_reports(*grids[:2])
    for level in ("single runs", "means over domains"):
        items = [item for item in between.differences if item.level == level]
        assert len(items) == len(COMPARED) * (4 if level == "single runs" else 2)
        adjusted = multipletests([item.p for item in items], method="holm")[1]
        assert [item.p_holm for item in items] == pytest.approx(adjusted)


def test_without_questions_two_samples_are_compared(grids) -> None:
    a, b, one, two = grids
    (b / "items.parquet").unlink()
    item = found(compare_reports(a, b), "kl", domain="medicine", scope="homo")
    two[:0].to_parquet(b / "items.parquet")
    assert found(compare_reports(a, b), "kl", domain="medicine", scope="homo") == item
    x, y = (items[items.task == "medicine_exam"].kl for items in (one, two))
    se = np.sqrt(x.var() / 40 + y.var() / 40)
    assert (item.paired, item.estimate.method) == (False, "normal")
    assert item.estimate.se == pytest.approx(se)
    assert item.p == pytest.approx(2 * stats.norm.sf(abs(y.mean() - x.mean()) / se))


def test_other_questions_are_not_paired(tmp_path: Path) -> None:
    """Of the same task and numbers, but with other right answers, or fewer than half of them."""
    for name, change in (
        ("gold", lambda items: items.assign(gold=(items.gold + 1) % 4)),
        ("few", lambda items: items[items.doc_id < 15]),
    ):
        folders = [tmp_path / f"{name}-{which}" for which in "ab"]
        for folder in folders:
            write_grid(folder, np.random.default_rng(2))
        change(pd.read_parquet(folders[1] / "items.parquet")).to_parquet(folders[1] / "items.parquet")
        for item in compare_reports(*folders).differences:
            assert not item.paired


def test_domains_in_another_order_are_paired_by_their_names(grids) -> None:
    a, b, one, two = grids
    document = json.loads((b / "report.json").read_text())
    document["results"].reverse()
    document["experiment"]["domains"].reverse()
    (b / "report.json").write_text(json.dumps(document))
    item = found(compare_reports(a, b), "kl", domain="mean", scope="homo")
    assert item.paired
    variances = [(two.kl - one.kl)[one.task == f"{domain}_exam"].var() for domain in ("medicine", "history")]
    assert item.estimate.se == pytest.approx(np.sqrt(sum(variances) / 40) / 2)


def test_a_question_less_is_left_out_of_the_pairs(grids) -> None:
    a, b, one, two = grids
    two[two.doc_id != 7].to_parquet(b / "items.parquet")
    item = found(compare_reports(a, b), "kl", domain="medicine", scope="homo")
    x, y = (items[(items.task == "medicine_exam") & (items.doc_id != 7)].kl for items in (one, two))
    assert item.p == pytest.approx(stats.ttest_rel(y, x).pvalue)
    assert item.estimate.n == 39


def test_questions_without_a_finite_difference_are_counted(grids) -> None:
    a, b, one, two = grids
    exam = (two.task == "medicine_exam") & (two.doc_id < 3)
    two.assign(kl=two.kl.mask(exam, np.inf)).to_parquet(b / "items.parquet")
    between = compare_reports(a, b)
    x, y = (items.kl[(items.task == "medicine_exam") & (items.doc_id >= 3)] for items in (one, two))
    assert found(between, "kl", domain="medicine", scope="homo").p == pytest.approx(stats.ttest_rel(y, x).pvalue)
    assert "KL has no finite difference for up to 3 questions of a result: they do not enter" in between.notes


def test_equal_reports_are_said_to_be_equal(tmp_path: Path) -> None:
    for name in "ab":
        write_grid(tmp_path / name, np.random.default_rng(3))
    between = compare_reports(tmp_path / "a", tmp_path / "b")
    assert {item.state for item in between.differences} == {"same"}
    assert between.settings == ()
    # One report twice, and two whose results are the same.
    one = between.verdict
    other = json.loads((tmp_path / "b" / "report.json").read_text())
    (tmp_path / "b" / "report.json").write_text(json.dumps(other | {"created": "2001-01-01T00:00:00+00:00"}))
    two = compare_reports(tmp_path / "a", tmp_path / "b").verdict
    assert "one report" in one
    assert "one report" not in two
    assert all(f"{len(between.differences)} " in told for told in (one, two))


def test_a_planted_difference_is_found_and_named(grids) -> None:
    a, b, one, two = grids
    changed = two.assign(spearman=one.spearman + np.where(one.task == "medicine_exam", 0.5, 0.0))
    changed.loc[changed.task == "medicine_exam", "spearman"] += np.random.default_rng(0).normal(0, 0.1, 40)
    changed.to_parquet(b / "items.parquet")
    between = compare_reports(a, b)
    assert found(between, "spearman", domain="medicine", scope="homo").state == "differs"
    assert found(between, "spearman", domain="history", scope="homo").state == "same"
    assert "most surely Spearman ρ of m · " in between.verdict
    assert ("seeds", "0", "1") in between.settings


def test_the_report_with_more_right_answers_is_better_and_drawn(grids, call, tmp_path: Path) -> None:
    a, b, one, two = grids
    exam = two.task == "medicine_exam"
    right = two.correct_after.mask(exam, 1.0)
    two.assign(correct_after=right).to_parquet(b / "items.parquet")
    changed = (right - one.correct_after)[exam].mean()
    assert changed > 0.3
    for reports, better, sign in (((a, b), "B", 1), ((b, a), "A", -1)):
        item = found(compare_reports(*reports), "accuracy_after", domain="medicine", scope="homo")
        assert item.better == better
        assert item.estimate.value == pytest.approx(sign * changed)
    code, out, _ = call("report", "--compare", a, b, "--out", tmp_path / "out")
    assert code == 0
    assert compare_reports(a, b).better in out
    for kind in ("figures", "tables"):
        rows = pd.read_csv(tmp_path / "out" / kind / "better.csv")
        planted = rows[(rows.domain == "medicine") & (rows.scope == "homo")].iloc[0]
        assert (planted.measure, planted.state) == ("accuracy_after", "differs")
        assert planted.difference == pytest.approx(changed)
        assert set(rows.measure) == {"accuracy_after"}
    assert (tmp_path / "out" / "figures" / "better.svg").is_file()


def write_pair(folder: Path, values: dict[str, float], tasks: tuple[str, ...] = ("exam",)) -> None:
    estimate = {"value": 0.4, "se": 0.05, "ci_low": 0.3, "ci_high": 0.5, "n": 50, "df": 49.0, "undefined": 0}
    names = {"accuracy_before", "accuracy_after", "delta_accuracy", "same_top", "spearman", "kl"}
    how = {"statistic": "mean", "unit": "question", "method": "t", "warnings": []}
    section = {name: {**estimate, **how, **values} for name in names}
    pairing = dict.fromkeys(("paired", "by_hash", "by_content", "identical", "reordered"), 0)
    section |= {"n": 50, "equivalence_p": None, "minimum_detectable_change": None}
    section["pairing"] = {**pairing, "prompts": {}, "dropped": {}}
    run = {"path": "x", "model": "<b>m", "model_args": None, "date": None, "lm_eval_version": "0.4.11"}
    comparison = {
        "schema_version": 2,
        "before": run,
        "after": run | {"model": str(values)},
        "score": "raw",
        "margin": 0.01,
        "overall": section,
        "by_task": dict.fromkeys(tasks, section),
        "messages": [],
        "verdict": "",
        "signature": "n:50",
    }
    document = {**COMMON, "kind": "pair", "verdict": {"sentence": ""}, "comparison": comparison, "signature": "n:50"}
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(document))


def test_pairs_without_questions_have_welchs_test(tmp_path: Path) -> None:
    write_pair(tmp_path / "a", {"value": 0.4, "se": 0.05})
    write_pair(tmp_path / "b", {"value": 0.6, "se": 0.02, "df": 199.0})
    between = compare_reports(tmp_path / "a", tmp_path / "b")
    item = found(between, "kl", section="overall")
    expected = stats.ttest_ind_from_stats(0.6, 0.02 * np.sqrt(200), 200, 0.4, 0.05 * np.sqrt(50), 50, equal_var=False)
    assert item.p == pytest.approx(expected.pvalue)
    assert between.settings[0][:2] == ("after: model", "{'value': 0.4, 'se': 0.05}")


def test_real_comparisons_are_paired(test_data: Path, tmp_path: Path) -> None:
    from consistency.comparison.compare import compare
    from consistency.report.pair.report import write_comparison

    logs = [test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5)]
    for name, pair in (("a", logs), ("b", logs[::-1])):
        write_comparison(compare(*pair), tmp_path / name)
    between = compare_reports(tmp_path / "a", tmp_path / "b")
    # What was before is after: 76 and 87 of 200 right answers, and the reversed change is twice as far away.
    item = found(between, "accuracy_before", section="overall")
    assert item.estimate.value == pytest.approx(11 / 200)
    assert (item.paired, item.estimate.unit) == (True, "question")
    assert found(between, "delta_accuracy", section="overall").estimate.value == pytest.approx(-22 / 200)
    assert found(between, "same_top", section="overall").state == "same"


def test_too_few_tasks_with_known_answers_are_no_clusters(write_probe: Callable[..., Path], tmp_path: Path) -> None:
    """Eleven tasks are clusters; with known answers in one of them the difference is one of its questions."""
    from consistency.comparison.compare import compare
    from consistency.report.pair.report import write_comparison

    rng, right = np.random.default_rng(0), {}
    for name in ("base", "a", "b"):
        for task in range(11):
            answer = "0" if task == 0 else "nobody knows"
            documents = [{"question": f"{task}, {n}?", "choices": [*"wxyz"], "answer": answer} for n in range(8)]
            scores = rng.normal(size=(8, 4)).round(3)
            path = write_probe(tmp_path / name, documents, scores.tolist(), f"exam{task}")
            lines = [json.loads(line) | {"metrics": []} for line in path.read_text().splitlines()]
            path.write_text("".join(json.dumps({k: v for k, v in line.items() if k != "acc"}) + "\n" for line in lines))
            if task == 0:
                right[name] = (scores.argmax(axis=1) == 0).astype(float)
    for name in ("a", "b"):
        comparison = compare(tmp_path / "base", tmp_path / name, task_sampling="sampled")
        write_comparison(comparison, tmp_path / f"report-{name}")
    between = compare_reports(tmp_path / "report-a", tmp_path / "report-b")
    item = found(between, "accuracy_after", section="overall")
    expected = stats.ttest_rel(right["b"], right["a"])
    interval = expected.confidence_interval()
    assert (item.estimate.ci_low, item.estimate.ci_high) == pytest.approx((interval.low, interval.high))
    assert item.p == pytest.approx(expected.pvalue)
    assert found(between, "kl", section="overall").estimate.unit == "cluster"


def test_means_over_other_tasks_are_not_compared(tmp_path: Path) -> None:
    write_pair(tmp_path / "a", {}, ("exam",))
    write_pair(tmp_path / "b", {}, ("exam", "quiz"))
    between = compare_reports(tmp_path / "a", tmp_path / "b")
    assert {item.place["section"] for item in between.differences} == {"exam"}
    assert between.unlike == ("overall",)
    assert between.only == ((), ("quiz",))
    assert "not compared, as A and B average over others: overall" in between.notes


def test_the_program_prints_and_writes(grids, call, tmp_path: Path) -> None:
    a, b, *_ = grids
    code, out, err = call("report", "--compare", a, b, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    stored = json.loads((tmp_path / "out" / "report.json").read_text())
    assert stored["verdict"]["sentence"] in out
    assert stored["verdict"]["sentence"][:60] in (tmp_path / "out" / "report.md").read_text()
    table = pd.read_csv(tmp_path / "out" / "tables" / "differences_single_runs.csv")
    assert len(table) == 4 * len(COMPARED)
    first = next(item for item in stored["differences"] if item["level"] == "single runs")
    assert table.difference[0] == first["difference"]["value"]


def test_mistakes_are_one_line(grids, call, tmp_path: Path) -> None:
    a = grids[0]
    write_pair(tmp_path / "pair", {})
    for name, text in (
        ("broken", "{"),
        ("new", '{"schema_version": 99, "results": [], "means": [], "experiment": {}}'),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_text(text)
    call("report", "--compare", a, a, "--out", tmp_path / "out")
    code, _, err = call("report", "--compare", a, a, "--out", a)
    assert (code, "is one of the two reports" in err, (a / "items.parquet").is_file()) == (2, True, True)
    (tmp_path / "unreadable").mkdir()
    (tmp_path / "unreadable" / "report.json").write_text((a / "report.json").read_text())
    (tmp_path / "unreadable" / "items.parquet").write_text("no Parquet")
    shutil.copytree(a, tmp_path / "narrow")
    grids[2].drop(columns=["task", "doc_id"]).to_parquet(tmp_path / "narrow" / "items.parquet")
    for second, problem in (
        (tmp_path / "narrow", "items.parquet: cannot be read: no column doc_id, task"),
        (tmp_path / "nowhere", "expected the folder of a report"),
        (tmp_path / "broken", "report.json"),
        (tmp_path / "new", "schema_version 99"),
        (tmp_path / "out", "a report of differences; expected one of a pair or a grid"),
        (tmp_path / "pair", "cannot compare a report of a pair with one of a grid"),
        (tmp_path / "unreadable", "items.parquet: cannot be read"),
    ):
        code, out, err = call("report", "--compare", a, second)
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert problem in err
    write_pair(tmp_path / "other", {}, ("other",))
    with pytest.raises(InputError, match="no result is in both reports: other here, exam in"):
        compare_reports(tmp_path / "pair", tmp_path / "other")
    assert call("report", "--compare", a)[0] == 2
    assert call("report")[0] == 2
    assert call("report", "x.yaml", "--compare", a, a)[0] == 2


def test_how_the_questions_lie_in_the_file_does_not_matter(grids, tmp_path: Path) -> None:
    """Rows in any order, in blocks that hold several runs or a part of one, give the same differences."""
    a, b, *_ = grids
    other = tmp_path / "other"
    shutil.copytree(b, other)
    items = pd.read_parquet(b / "items.parquet").sample(frac=1, random_state=0)
    items.to_parquet(other / "items.parquet", row_group_size=17)
    for one, two in zip(compare_reports(a, b).differences, compare_reports(a, other).differences, strict=True):
        assert (one.place, one.measure, one.paired, two.paired) == (two.place, two.measure, True, True)
        ends = [
            (item.estimate.value, item.estimate.se, item.estimate.ci_low, item.estimate.ci_high) for item in (one, two)
        ]
        assert ends[0] == pytest.approx(ends[1], rel=1e-9, abs=1e-12)
