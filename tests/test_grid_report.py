"""What a grid's report holds beside its figures: figures drawn, questions, checkpoints, LaTeX, methods."""

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from consistency.experiment.grid import Experiment
from consistency.report.grid.cells import CellReader
from consistency.report.grid.report import write_report
from consistency.report.schema import SCHEMA_FILE, read_document

sys.path.insert(0, str(Path(__file__).parent))
from packed_page import questions_of

GROUPS = ("harmonious", "incompatible", "mixed_0.2", "mixed_0.6", "self_aligning")
RUN = ["domain", "group", "scope"]


@pytest.fixture
def folder(make_experiment: Callable[..., Experiment], tmp_path: Path) -> Path:
    experiment = make_experiment(groups=GROUPS, epochs=(1, 2))
    for run in experiment.runs():
        run.config.parent.mkdir(exist_ok=True)
        run.config.write_text(
            "num_epochs: 3\nlearning_rate: 2e-5\nmicro_batch_size: 4\ngradient_accumulation_steps: 64\n"
        )
    return write_report(experiment, tmp_path / "report").parent


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_grid_in_all_its_files(folder: Path, tmp_path: Path) -> None:
    items = pd.read_parquet(folder / "items.parquet").astype(dict.fromkeys(RUN, str))
    saved = pd.read_parquet(folder / "checkpoints.parquet").astype(dict.fromkeys(RUN, str))
    document = json.loads((folder / "report.json").read_text())
    # What is not described would be lost on the way.
    assert json.loads(msgspec.json.encode(read_document(folder))) == document
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text()), jsonschema.Draft202012Validator)
    figures_are_those_of_the_items(folder, items, saved)
    tables_are_those_of_the_items(folder, items, saved)
    distributions_are_those_of_the_logs(folder, items)
    parts_are_those_of_the_items(document, items)
    questions_are_chosen_alike(folder, items)
    tables_compile(folder, tmp_path)
    methods_name_what_was_set(folder)


def figures_are_those_of_the_items(folder: Path, items: pd.DataFrame, saved: pd.DataFrame) -> None:
    means = items.groupby(RUN)[["correct_after", "correct_before", "spearman", "kl"]].mean()
    arrays = {"accuracy": "correct_after", "spearman": "spearman", "kl": "kl"}
    drawn = rows(folder / "figures" / "groups.csv")
    assert len(drawn) == 3 * 2 * 3 * 2 + 2 * 3
    for row in drawn:
        group = "incompatible" if row["group"] == "base" else row["group"]
        column = "correct_before" if row["group"] == "base" else arrays[row["measure"]]
        assert float(row["value"]) == pytest.approx(means.loc[row["domain"], group, row["scope"]][column])
    ratios = rows(folder / "figures" / "ratios.csv")
    assert {(row["measure"], float(row["ratio"])) for row in ratios} == {
        (measure, ratio) for measure in arrays for ratio in (0.0, 0.2, 0.6, 1.0)
    }
    for row in ratios:
        expected = means.loc[row["domain"], row["group"], row["scope"]][arrays[row["measure"]]]
        assert float(row["value"]) == pytest.approx(expected)
        if row["scope"] == "homo":
            place = (items.domain == row["domain"]) & (items.group == row["group"]) & (items.scope == "homo")
            low = stats.ttest_1samp(items[place][arrays[row["measure"]]], 0).confidence_interval().low
            skew = stats.skew(items[place][arrays[row["measure"]]], bias=False)
            if row["measure"] == "spearman" and 25 * skew**2 < place.sum():
                assert float(row["ci_low"]) == pytest.approx(low)
    for row in rows(folder / "figures" / "consistency.csv"):
        expected = means.loc[row["domain"], row["group"], row["scope"]]
        assert float(row["accuracy"]) == pytest.approx(expected.correct_after)
        assert float(row["spearman"]) == pytest.approx(expected.spearman)
        assert float(row["base_accuracy"]) == pytest.approx(expected.correct_before)
    for row in rows(folder / "figures" / "flips.csv"):
        chosen = items[(items.group == row["group"]) & (items.scope == row["scope"]) & (items.domain == row["domain"])]
        harmful = (chosen.correct_before > chosen.correct_after).mean()
        assert float(row["harmful"]) == pytest.approx(harmful)
    # Two domains of equal weight; epoch 0 is the base model without shots, epoch 3 the result.
    for row in rows(folder / "figures" / "training.csv"):
        epoch = int(row["epoch"])
        frame = saved[saved.epoch == epoch] if epoch in (1, 2) else items
        chosen = frame[(frame.group == row["group"]) & (frame.scope == row["scope"])]
        column = arrays[row["measure"]] if epoch else f"zero_{arrays[row['measure']]}"
        assert float(row["value"]) == pytest.approx(chosen.groupby("domain")[column].mean().mean())
        assert row["runs"] == "2"


def tables_are_those_of_the_items(folder: Path, items: pd.DataFrame, saved: pd.DataFrame) -> None:
    names = {path.stem for path in (folder / "tables").glob("*.tex")}
    assert names == {path.stem for path in (folder / "tables").glob("*.csv")}
    assert names >= {"main", "means", "contrasts", "partial_correlations", "results", "checkpoints", "pairing", "logs"}
    spoken = {"INCOMPATIBLE": "incompatible", "MIXED 0.2": "mixed_0.2"}
    main = rows(folder / "tables" / "main.csv")
    # Two lines of the base model and one of each group, over two domains, their mean left to the table of means.
    assert len(main) == 7 * 2 * 3
    for row in main:
        if row["group"] in spoken:
            place = (items.domain == row["domain"]) & (items.scope == row["scope"])
            chosen = items[place & (items.group == spoken[row["group"]])]
            assert float(row["accuracy"]) == pytest.approx(chosen.correct_after.mean())
    for row in rows(folder / "tables" / "checkpoints.csv"):
        place = (saved.domain == row["domain"]) & (saved.group == row["group"]) & (saved.scope == row["scope"])
        chosen = saved[place & (saved.epoch == int(row["epoch"]))]
        assert int(row["n"]) == len(chosen) > 0
        assert float(row["tuned_kl"]) == pytest.approx(chosen.kl.mean())


def distributions_are_those_of_the_logs(folder: Path, items: pd.DataFrame) -> None:
    before, after = np.stack(items.probs_before), np.stack(items.probs_after)
    assert before.sum(axis=1) == pytest.approx(1)
    assert items.kl.to_numpy() == pytest.approx((before * np.log(before / after)).sum(axis=1))
    assert ((before.argmax(axis=1) == items.gold) == (items.correct_before == 1)).all()
    assert (items.prediction_after == after.argmax(axis=1)).all()
    assert [hashed.split("-")[-1] for hashed in items.doc_hash] == items.doc_id.astype(str).tolist()
    zero = np.stack(items.zero_probs_after)
    assert items.zero_kl.to_numpy() == pytest.approx((before * np.log(before / zero)).sum(axis=1))


def even(probs: np.ndarray) -> np.ndarray:
    """Probabilities with factors for the letters that make them equally probable on average, by fixed-point iteration."""
    for _ in range(500):
        probs = probs / probs.mean(axis=0)
        probs = probs / probs.sum(axis=1, keepdims=True)
    return probs


def parts_are_those_of_the_items(document: dict, items: pd.DataFrame) -> None:
    accuracy = {}
    assert len(document["parts"]) == 2 * 3 * (len(GROUPS) + 1)
    for row in document["parts"]:
        group, after = (row["group"], "probs_after") if row["seed"] == 0 else ("harmonious", "zero_probs_after")
        chosen = items[(items.domain == row["domain"]) & (items.scope == row["scope"]) & (items.group == group)]
        right = [
            (even(np.stack(chosen[column])).argmax(axis=1) == chosen.gold).mean() for column in ("probs_before", after)
        ]
        found = row["decomposition"]["plug_in"]
        assert [found["calibrated_before"], found["calibrated_after"]] == pytest.approx(right, abs=1e-12)
        accuracy[row["domain"], row["scope"], row["group"]] = found["calibrated_after"]
    chosen = [row for row in document["calibrated_contrasts"] if row["domain"] != "mean"]
    assert len(chosen) == 2 * 2 * 3
    for row in chosen:
        ends = [accuracy[row["domain"], row["scope"], row[group]] for group in ("minuend", "subtrahend")]
        # Each question's letters are fitted to the others there.
        assert row["difference"]["value"] == pytest.approx(ends[0] - ends[1], abs=0.05)


def questions_are_chosen_alike(folder: Path, items: pd.DataFrame) -> None:
    page = (folder / "report.html").read_text()
    told = questions_of(page)
    counts = pd.Series([question["run"] for question in told]).value_counts()
    # 600 over ten runs; each run has more questions than that.
    assert counts.tolist() == [60] * 10
    for run, chosen in items.groupby(["domain", "group"]):
        label = f"{run[0]} · {run[1].upper().replace('MIXED_', 'MIXED ').replace('_', '-')} · seed 0"
        mine = [question for question in told if question["run"] == label]
        harmful = chosen[chosen.correct_before > chosen.correct_after].kl.nlargest(60)
        assert sum(question["flip"] == "harmful" for question in mine) == len(harmful)
        found = [question["measures"]["kl"] for question in mine if question["flip"] == "harmful"]
        assert found == pytest.approx(harmful.tolist(), rel=1e-3)
    for question in told[:20]:
        assert question["text"] == f"{question['doc_id']}?"
        assert question["options"] == [f"{question['doc_id']} {letter}" for letter in "ABCD"]


def tables_compile(folder: Path, tmp_path: Path) -> None:
    program = shutil.which("pdflatex")
    if program is None:
        pytest.skip("pdflatex is not installed")
    tables = "\n\n".join(rf"\input{{{path}}}" for path in sorted((folder / "tables").glob("*.tex")))
    source = rf"\documentclass{{article}}\usepackage{{booktabs}}\begin{{document}}{tables}\end{{document}}"
    (tmp_path / "all.tex").write_text(source)
    command = [program, "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]


def methods_name_what_was_set(folder: Path) -> None:
    text = (folder / "report.md").read_text()
    assert "epochs 3, learning rate 2e-5, batch (on a device × accumulated) 4 × 64" in text
    assert "Language Model Evaluation Harness 0.4.11" in text
    assert "note = {Version 0.4.11}" in text
    assert "@inproceedings{ren2024" in text


def test_an_epoch_that_not_all_runs_have_is_not_drawn(
    make_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    """One domain's model after epoch 1 is missing; with a single group there is no contrast, and no table of any."""
    experiment = make_experiment(groups=("incompatible",), epochs=(1, 2))
    first, second = experiment.runs()
    shutil.rmtree(first.checkpoints[1])
    for run, text in ((first, "micro_batch_size: 7\ngradient_accumulation_steps: 5\n"), (second, "adapter: lora\n")):
        run.config.parent.mkdir(exist_ok=True)
        run.config.write_text(f"{text}sample_packing: true\nsequence_len: 2048\n")
    folder = write_report(experiment, tmp_path / "report").parent
    drawn = rows(folder / "figures" / "training.csv")
    assert {(row["epoch"], row["runs"]) for row in drawn} == {("0", "2"), ("2", "2"), ("3", "2")}
    assert {row["epoch"] for row in rows(folder / "tables" / "checkpoints.csv")} == {"1", "2"}
    assert "contrasts" not in (folder / "report.html").read_text()
    assert not (folder / "tables" / "contrasts.tex").exists()
    # What a step of packed training holds are no conversations.
    text = " ".join((folder / "report.md").read_text().split())
    assert "with Axolotl: batch (on a device × accumulated) 7 × 5 rows of 2048 tokens, packed." in text


def test_several_models_have_figures_of_their_own(make_experiment: Callable[..., Experiment], tmp_path: Path) -> None:
    experiment = make_experiment(domains=("medicine",))
    shutil.copytree(experiment.root / "tiny", experiment.root / "other")
    both = Experiment("test", experiment.root, ("tiny", "other"), ("medicine",), experiment.groups, (0,))
    folder = write_report(both, tmp_path / "report").parent
    assert {path.stem for path in (folder / "figures").glob("*.pdf")} == {
        f"{name}_{model}" for name in ("groups", "flips", "consistency") for model in ("tiny", "other")
    }
    assert len(read_document(folder).verdict.models) == 2


def test_what_runs_share_is_held_once(make_experiment: Callable[..., Experiment]) -> None:
    """A base model's answers would else take more memory than those of all its tuned models."""
    experiment = make_experiment(domains=("medicine",), seeds=(0, 1))
    first, *others = [{cell.scope: cell for cell in tuned.cells} for tuned in CellReader(experiment)]
    assert len(others) == 5
    for scope, cell in first.items():
        for other in others:
            held = {name for name, array in other[scope].arrays.items() if array is cell.arrays[name]}
            assert {"gold", "correct_before", "probs_before", "zero_kl", "zero_correct_after"} <= held
            assert not {"kl", "probs_after", "spearman"} & held


def test_progress_is_told_from_the_first_run_to_the_page(
    make_experiment: Callable[..., Experiment], tmp_path: Path
) -> None:
    experiment, told = make_experiment(domains=("medicine",)), []
    write_report(experiment, tmp_path / "report", lambda *said: told.append(said))
    assert told[:3] == [("runs read and measured", done, 3) for done in (1, 2, 3)]
    assert [said for said in told if said[0] == "figures drawn"] == [("figures drawn", done, 3) for done in range(3)]
    assert told[-1][0] == "writing the page and the tables"
