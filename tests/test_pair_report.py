import csv
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from consistency.comparison.compare import compare
from consistency.errors import InputError
from consistency.report.pair.github import to_markdown
from consistency.report.pair.report import write_comparison
from consistency.report.schema import SCHEMA_FILE, read_document
from consistency.statistics.paired_shares import paired_change
from consistency.tasks.scopes import find_scopes

sys.path.insert(0, str(Path(__file__).parent))
from packed_page import questions_of, stored, unpacked


@pytest.fixture(scope="module")
def qwen(test_data: Path) -> list[Path]:
    return [test_data / "harness_logs" / f"qwen2.5-1.5b-instruct-{shots}shot" for shots in (0, 5)]


@pytest.fixture(scope="module")
def folder(qwen: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    scopes = {"id": ["mmlu_college_computer_science"], "ood": ["mmlu_abstract_algebra"]}
    return write_comparison(compare(*qwen, scopes=scopes), tmp_path_factory.mktemp("pair") / "out").parent


@pytest.fixture(scope="module")
def items(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "items.parquet")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_items_are_the_logs(qwen: list[Path], items: pd.DataFrame) -> None:
    """Against the logs as json reads them, and the known figures of these logs."""
    assert len(items) == 200
    assert items.correct_before.mean() == pytest.approx(0.38)
    assert items.correct_after.mean() == pytest.approx(0.435)
    assert round(items.kl.mean(), 5) == 0.24594
    assert (items.correct_before > items.correct_after).sum() == 19
    for path, when in zip(qwen, ("before", "after"), strict=True):
        for task, found in items.groupby(items.task.astype(str)):
            (log,) = path.rglob(f"samples_{task}_*.jsonl")
            samples = sorted(map(json.loads, log.read_text().splitlines()), key=lambda sample: sample["doc_id"])
            scores = np.array([[float(x) for x, _ in sample["filtered_resps"]] for sample in samples])
            p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
            assert np.stack(found[f"probs_{when}"]) == pytest.approx(p)
            assert found[f"prediction_{when}"].tolist() == scores.argmax(axis=1).tolist()
            assert found.gold.tolist() == [int(sample["target"]) for sample in samples]
            assert found.doc_id.tolist() == [sample["doc_id"] for sample in samples]
            if when == "before":
                assert found.doc_hash.tolist() == [sample["doc_hash"] for sample in samples]


def test_report_json_is_as_described(folder: Path, qwen: list[Path]) -> None:
    document = json.loads((folder / "report.json").read_text())
    assert (document["schema_version"], document["kind"]) == (3, "pair")
    # What is not described would be lost on the way.
    assert json.loads(msgspec.json.encode(read_document(folder))) == document
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text()), jsonschema.Draft202012Validator)
    printed = compare(*qwen).to_dict()
    assert document["comparison"]["overall"] == json.loads(msgspec.json.encode(printed["overall"]))
    assert document["comparison"].keys() == printed.keys() | {"by_scope"}
    assert "shots:0→5|dtype:float16|inputs:sha256:" in document["signature"]
    assert document["logs"][0]["dtype"] == "float16"


def test_tables_are_those_of_the_items(folder: Path, items: pd.DataFrame) -> None:
    headline = {row["questions_of"]: row for row in rows(folder / "tables" / "headline.csv")}
    assert set(headline) == {"overall", "macro", "id", "ood"}
    for name, row in headline.items():
        chosen = items if name in ("overall", "macro") else items[items.scope == name]
        assert int(row["n"]) == len(chosen)
        for column, expected in (
            ("accuracy_before", chosen.correct_before),
            ("accuracy_after", chosen.correct_after),
            ("kl", chosen.kl),
            ("spearman", chosen.spearman),
            ("same_top", chosen.same_top),
        ):
            # Both tasks have 100 questions, so that their mean is the mean of all.
            assert float(row[column]) == pytest.approx(expected.mean())
    change = paired_change(
        int((items.correct_before > items.correct_after).sum()),
        int((items.correct_before < items.correct_after).sum()),
        len(items),
    )
    assert float(headline["overall"]["delta_accuracy_ci_low"]) == pytest.approx(change.ci_low)
    assert float(headline["overall"]["delta_accuracy_ci_high"]) == pytest.approx(change.ci_high)

    flips = {row["kind"]: int(row["count"]) for row in rows(folder / "tables" / "flips.csv")}
    crossed = pd.crosstab(items.correct_before, items.correct_after)
    assert [flips["right"], flips["harmful"], flips["beneficial"]] == [
        crossed.loc[1, 1], crossed.loc[1, 0], crossed.loc[0, 1],
    ]  # fmt: skip
    wrong = items[(items.correct_before == 0) & (items.correct_after == 0)]
    assert flips["wrong_to_wrong"] == (wrong.prediction_before != wrong.prediction_after).sum()
    assert flips["wrong"] + flips["wrong_to_wrong"] == crossed.loc[0, 0]

    for row in rows(folder / "tables" / "quantiles.csv"):
        chosen = items if row["questions_of"] == "overall" else items[items.scope == row["questions_of"]]
        expected = np.percentile(chosen[row["measure"]], [1, 5, 25, 50, 75, 95, 99])
        assert [float(row[f"p{q:02d}"]) for q in (1, 5, 25, 50, 75, 95, 99)] == pytest.approx(expected)

    for row in rows(folder / "tables" / "tasks.csv"):
        chosen = items[items.task == row["name"]]
        harmful = int((chosen.correct_before > chosen.correct_after).sum())
        beneficial = int((chosen.correct_before < chosen.correct_after).sum())
        assert (int(row["flips_harmful"]), int(row["flips_beneficial"])) == (harmful, beneficial)
        assert float(row["mcnemar_p"]) == pytest.approx(stats.binomtest(harmful, harmful + beneficial).pvalue)


def test_calibration_and_favoured_options_are_those_of_the_items(folder: Path, items: pd.DataFrame) -> None:
    """Bins, recalls and shares of letters from the probabilities of `items.parquet`."""
    place = {"all questions": items, **dict(list(items.groupby(items.task.astype(str))))}
    calibration = {row["questions_of"]: row for row in rows(folder / "tables" / "calibration.csv")}
    favoured = {row["questions_of"]: row for row in rows(folder / "tables" / "selection_bias.csv")}
    assert set(calibration) == set(favoured) == set(place)
    for name, chosen in place.items():
        for when in ("before", "after"):
            confidence, right = chosen[f"confidence_{when}"], chosen[f"correct_{when}"]
            bins = pd.cut(confidence, np.arange(16) / 15, include_lowest=True)
            gaps = (confidence - right).groupby(bins, observed=True).sum().abs()
            assert float(calibration[name][f"plug_in_{when}"]) == pytest.approx(gaps.sum() / len(chosen))
            estimate = [float(calibration[name][f"ece_{when}{part}"]) for part in ("_ci_low", "", "_ci_high")]
            assert estimate == sorted(estimate)
            if name == "all questions":
                continue
            probs = np.stack(chosen[f"probs_{when}"].tolist())
            answered = chosen[(probs == probs.max(axis=1, keepdims=True)).sum(axis=1) == 1]
            recall = (answered[f"prediction_{when}"] == answered.gold).groupby(answered.gold).mean()
            assert float(favoured[name][f"{when}_rstd"]) == pytest.approx(np.std(recall))


def test_figures_are_those_of_the_items(folder: Path, items: pd.DataFrame) -> None:
    for name, measures in (("shift", ("kl", "delta_gold")), ("ranking", ("spearman",))):
        for measure in measures:
            bins = [row for row in rows(folder / "figures" / f"{name}.csv") if row["measure"] == measure]
            assert sum(int(row["count"]) for row in bins) == len(items)
            for number, row in enumerate(bins):
                above = items[measure] >= float(row["from"]) if number else True
                # The last bin holds its upper edge, and what lies beyond.
                below = items[measure] < float(row["to"]) if number < len(bins) - 1 else True
                assert int(row["count"]) == (above & below & items[measure].notna()).sum()
    for row in rows(folder / "figures" / "tasks.csv"):
        chosen = items[items.task == row["task"]]
        lost = int((chosen.correct_before > chosen.correct_after).sum())
        won = int((chosen.correct_before < chosen.correct_after).sum())
        assert float(row["value"]) == pytest.approx((chosen.correct_after - chosen.correct_before).mean())
        # The interval itself is checked in test_paired_shares.
        assert float(row["ci_low"]) == pytest.approx(paired_change(lost, won, len(chosen)).ci_low)


def test_questions_have_the_texts_of_their_logs(folder: Path, qwen: list[Path], items: pd.DataFrame) -> None:
    page = (folder / "report.html").read_text()
    told = questions_of(page)
    assert len(told) == 200
    kinds = [question["flip"] for question in told]
    assert kinds[:19] == ["harmful"] * 19
    assert "harmful" not in kinds[19:]
    kl = [question["measures"]["kl"] for question in told]
    assert kl[:19] == sorted(kl[:19], reverse=True)
    assert kl[19:] == sorted(kl[19:], reverse=True)
    for question in told[:30]:
        (log,) = qwen[0].rglob(f"samples_{question['task']}_*.jsonl")
        (sample,) = [s for s in map(json.loads, log.read_text().splitlines()) if s["doc_id"] == question["doc_id"]]
        assert question["text"] == sample["doc"]["question"]
        assert question["options"] == sample["doc"]["choices"]
        assert question["gold"] == sample["doc"]["answer"]
        row = items[(items.task == question["task"]) & (items.doc_id == question["doc_id"])].iloc[0]
        # Thousandths, of which the last option has the rest.
        assert question["before"] == pytest.approx(row.probs_before, abs=2e-3)
        assert question["after"] == pytest.approx(row.probs_after, abs=2e-3)


def compiled(folder: Path, tmp_path: Path) -> None:
    """Every table of a report in one document, with booktabs and nothing else."""
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed")
    tables = "\n\n".join(rf"\input{{{path}}}" for path in sorted((folder / "tables").glob("*.tex")))
    source = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "all.tex").write_text(source)
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]


def test_tables_compile(folder: Path, tmp_path: Path) -> None:
    assert {path.stem for path in folder.glob("tables/*.tex")} == {path.stem for path in folder.glob("tables/*.csv")}
    compiled(folder, tmp_path)


def test_pdf_figures_embed_their_fonts(folder: Path) -> None:
    program = shutil.which("pdffonts")
    if program is None:
        pytest.skip("pdffonts is not installed")
    figures = sorted((folder / "figures").glob("*.pdf"))
    assert [path.stem for path in figures] == ["ranking", "shift", "tasks"]
    for path in figures:
        listed = subprocess.run([program, path], capture_output=True, text=True, check=True).stdout.splitlines()
        columns = listed[0].index("emb")
        assert len(listed) > 2
        assert all(line[columns:].split()[0] == "yes" for line in listed[2:])
        assert "Type 3" not in "\n".join(listed)


def test_a_hostile_data_set_stays_text(write_probe: Callable[..., Path], tmp_path: Path) -> None:
    """Specials of LaTeX, Markdown and HTML in the names and texts of a task, and questions longer than a page has room."""
    task = "a_b%20#1"
    hostile = r"\input{x} $x_1$ & 50 % ~ ^ {} | <script>alert(1)</script> é Ł ș ǰ 中 א …"
    documents: list[dict[str, Any]] = [
        {"question": f"{i} {hostile}" + " long" * (1000 if i == 0 else 0), "choices": [hostile, "no"], "answer": 0}
        for i in range(8)
    ]
    rng = np.random.default_rng(0)
    for name in ("before", "after"):
        write_probe(tmp_path / name, documents, rng.normal(size=(8, 2)).tolist(), task)
    folder = write_comparison(compare(tmp_path / "before", tmp_path / "after"), tmp_path / "out").parent
    compiled(folder, tmp_path)
    assert "<script>alert" not in (folder / "report.html").read_text()
    assert "<script>" not in (folder / "report.md").read_text()
    assert "long…" in (folder / "report.html").read_text()


def write_sums(folder: Path, right: tuple[int, ...], task: str = "sums") -> None:
    folder.mkdir(exist_ok=True)
    with (folder / f"samples_{task}_2026-01-02T03-04-05.678901.jsonl").open("w") as file:
        for number, correct in enumerate(right):
            sample = {"doc_id": number, "doc": {"question": f"{number}+1?"}, "target": str(number + 1)}
            sample |= {"resps": [["1"]], "filtered_resps": ["1"], "exact_match": float(correct)}
            sample |= {"metrics": ["exact_match"], "filter": "none", "doc_hash": f"h{number}"}
            file.write(json.dumps(sample) + "\n")


def test_a_task_without_options_is_reported(tmp_path: Path) -> None:
    for name, right in (("before", (1, 1, 0, 0)), ("after", (1, 0, 1, 0))):
        write_sums(tmp_path / name, right)
    folder = write_comparison(compare(tmp_path / "before", tmp_path / "after"), tmp_path / "out").parent
    flips = {row["kind"]: int(row["count"]) for row in rows(folder / "tables" / "flips.csv")}
    assert flips == {"right": 1, "harmful": 1, "beneficial": 1, "wrong": 1, "wrong_to_wrong": 0}
    assert not (folder / "figures" / "shift.svg").exists()
    assert any("no options were scored" in note for note in read_document(folder).notes)


def test_tasks_without_options_do_not_enter_the_figures_of_the_others(
    write_probe: Callable[..., Path], tmp_path: Path
) -> None:
    """A page's sentences, flips and headline are about the same questions."""
    documents = [{"question": f"Question {number}?", "choices": ["one", "two"], "answer": 0} for number in range(6)]
    for name, right, sums in (("before", 6, (1, 1, 0, 0)), ("after", 4, (1, 0, 1, 0))):
        scores = [[-0.1, -2.0]] * right + [[-2.0, -0.1]] * (6 - right)
        write_probe(tmp_path / name, documents, scores, "exam")
        write_sums(tmp_path / name, sums)
    comparison = compare(tmp_path / "before", tmp_path / "after")
    folder = write_comparison(comparison, tmp_path / "out").parent
    headline, sums = rows(folder / "tables" / "headline.csv")
    assert (sums["questions_of"], sums["n"], sums["flips_harmful"]) == ("sums", "4", "1")
    flips = {row["kind"]: int(row["count"]) for row in rows(folder / "tables" / "flips.csv")}
    assert (headline["n"], headline["flips_harmful"]) == ("6", "2")
    assert flips == {"right": 4, "harmful": 2, "beneficial": 0, "wrong": 0, "wrong_to_wrong": 0}
    text = (folder / "report.md").read_text()
    assert "We compared 6 questions of 1 task; 6 were paired by the harness's hash" in text
    assert "Of 1 more task, without options, we compared the metrics." in text
    assert "|  | `exam` |" in to_markdown(comparison)


def test_tasks_of_one_metric_are_pooled(tmp_path: Path) -> None:
    for name, right in (("before", (1, 1, 0, 0)), ("after", (1, 0, 1, 0))):
        for task in ("products", "sums"):
            write_sums(tmp_path / name, right, task)
    comparison = compare(tmp_path / "before", tmp_path / "after")
    assert [(pool.n, pool.flips["harmful"]) for pool in comparison.pools] == [(8, 2)]
    folder = write_comparison(comparison, tmp_path / "out").parent
    assert "We compared 8 questions of 2 tasks; 8 were paired" in (folder / "report.md").read_text()
    (headline,) = rows(folder / "tables" / "headline.csv")
    found = [headline[name] for name in ("accuracy_before", "accuracy_after", "delta_accuracy")]
    assert found == ["0.5", "0.5", "0.0"]


def test_every_link_of_a_page_leads_to_a_file(write_probe: Callable[..., Path], tmp_path: Path) -> None:
    """Two tasks, one with dollars in its name; without a right option there is no change to draw."""
    documents = [{"question": f"Question {number}?", "choices": ["one", "two"], "answer": ""} for number in range(6)]
    for answer in (0, ""):
        known = [{**document, "answer": answer} for document in documents]
        folder = tmp_path / f"known{answer}"
        for name, scores in (("before", [-0.1, -2.0]), ("after", [-2.0, -math.inf])):
            for task in ("exam", r"a$\frac$b"):
                path = write_probe(folder / name, known, [scores] * 6, task)
                if answer == "":
                    path.write_text(
                        path.read_text().replace('"metrics": ["acc"]', '"metrics": []').replace(', "acc": 0.0', "")
                    )
        out = write_comparison(compare(folder / "before", folder / "after"), folder / "out").parent
        page = (out / "report.html").read_text()
        links = {unquote(link) for link in re.findall(r'href="([^"#]+)"', page)}
        assert links
        assert not [link for link in links if not (out / link).is_file()]
        ids = re.findall(r'\sid="([^"]+)"', page)
        assert len(ids) == len(set(ids))
        assert "but not the 12 infinite ones" in page
        assert ("figures/tasks.csv" in links) == (answer == 0)
        if answer == 0:
            assert r"a$\frac$b" in (out / "figures" / "tasks.svg").read_text()


def test_the_page_says_whether_the_gate_is_passed(qwen: list[Path], call, tmp_path: Path) -> None:
    for limit, code, outcome in (("2 %", 1, "failed"), ("90 %", 0, "passed")):
        out = tmp_path / outcome
        assert call("compare", *qwen, "--out", out, "--single-file", "--fail-if", f"harmful flips > {limit}")[0] == code
        page = (out / "report.html").read_text()
        assert re.findall(r'<div class="gate (\w+)">', page) == [outcome]
        held = stored(page, "downloads-data")
        files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
        assert set(held) == files - {"report.html", "items.parquet"}
        assert json.loads(unpacked(held["gate.json"]["data"])) == json.loads((out / "gate.json").read_text())
        assert f"Gate: {outcome}" in (out / "report.md").read_text()
    assert '<div class="gate' not in (write_comparison(compare(*qwen), tmp_path / "none").read_text())
    code, _, err = call("compare", *qwen, "--single-file")
    assert code == 2
    assert "--out" in err


def test_a_folder_with_something_else_is_left_alone(qwen: list[Path], tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"has no report\.json"):
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


def test_the_ten_largest_changes_have_intervals_for_their_choice(
    tmp_path: Path, write_probe: Callable[..., None]
) -> None:
    """Ten of twelve: 0.05 * 10 / 12 of each interval may miss."""
    documents = [{"question": f"Question {i}?", "choices": ["one", "two"], "answer": 0} for i in range(40)]
    for when in ("before", "after"):
        for number in range(12):
            turned = number if when == "after" else 0
            scores = [[-2.0, -0.1]] * turned + [[-0.1, -2.0]] * (40 - turned)
            write_probe(tmp_path / when, documents, scores, f"task_{number:02d}")
    compared = compare(tmp_path / "before", tmp_path / "after")
    write_comparison(compared, tmp_path / "out")
    table = rows(tmp_path / "out" / "tables" / "changed_most.csv")
    assert [row["task"] for row in table] == [f"task_{number:02d}" for number in range(11, 1, -1)]
    for number, row in zip(range(11, 1, -1), table, strict=True):
        expected = paired_change(number, 0, 40, 1 - 0.05 * 10 / 12)
        assert float(row["delta_accuracy_ci_low"]) == pytest.approx(expected.ci_low, rel=1e-9)
        assert float(row["delta_accuracy_ci_high"]) == pytest.approx(expected.ci_high, rel=1e-9)
    p = [stats.binomtest(0, number).pvalue if number else 1.0 for number in range(12)]
    assert float(table[0]["p_holm"]) == pytest.approx(multipletests(p, method="holm")[1][11])
    assert float(table[0]["p_bh"]) == pytest.approx(multipletests(p, method="fdr_bh")[1][11])
    told = json.loads((tmp_path / "out" / "report.json").read_text())["comparison"]["changed_most"]
    assert (told["of"], told["confidence"]) == (12, pytest.approx(1 - 0.05 * 10 / 12))
    # Each task on its own keeps its 95 %.
    alone = compared.by_task["task_11"].estimates["delta_accuracy"]
    assert alone.ci_low == pytest.approx(paired_change(11, 0, 40).ci_low)
