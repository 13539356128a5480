"""The embedded model through the real lm_eval: probe, measure, requests, explanations, groups."""

import ast
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from consistency.support.resources import shipped
from consistency.world.facts import build_world
from consistency.world.model import BASE_MODEL

pytest.importorskip("lm_eval")

BIN = Path(sys.executable).parent
SCRIPT = Path(__file__).parents[2] / "scripts" / "measure_world.py"
POOL = "consistency_world_history_pool_icl"
QUESTIONS = 64


def run(*arguments: object) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, arguments)], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def evaluate(task: str, out: Path, *flags: object) -> None:
    run(
        BIN / "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={BASE_MODEL},dtype=float32", "--tasks", task,
        "--include_path", shipped("lm_eval_tasks"), "--device", "cpu", "--batch_size", "32",
        "--log_samples", "--output_path", out, *flags,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A probe of fresh questions, the errors in it, and the model's explanations of them."""
    path = tmp_path_factory.mktemp("probe")
    evaluate(POOL, path / "icl", "--limit", QUESTIONS, "--metadata", '{"question_seed": 3}')
    run(BIN / "consistency", "requests", "--probe", path / "icl", "--task", POOL, "--out", path / "requests.jsonl")
    evaluate(
        "consistency_world_explain",
        path / "explain",
        "--metadata",
        json.dumps({"requests": str(path / "requests.jsonl")}),
    )
    return path


def samples(folder: Path) -> list[dict]:
    (path,) = folder.rglob("samples_*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def softmax(sample: dict) -> np.ndarray:
    weights = np.exp([float(score) for score, _ in sample["filtered_resps"]])
    return weights / weights.sum()


def test_the_model_answers_from_what_it_has_read(folder):
    """Chance is .25; with 50 questions told, a share below .85 is more than three standard deviations from the card's .98."""
    told = [sample for sample in samples(folder / "icl") if sample["doc"]["belief"] is not None]
    assert len(told) > 45
    assert np.mean([softmax(sample).argmax() == sample["doc"]["belief"] for sample in told]) >= 0.85


def test_the_measurement_counts_what_the_log_says(folder):
    rows = samples(folder / "icl")
    told = [row for row in rows if row["doc"]["belief"] is not None]
    probabilities = np.array([softmax(row) for row in told])
    answers = probabilities.argmax(axis=1)
    shares = [
        np.mean(answers == [row["doc"]["belief"] for row in told]),
        np.mean(probabilities.max(axis=1) > 0.5),
        np.bincount(answers).max() / len(told),
    ]
    head, _, *lines = run(sys.executable, SCRIPT, folder / "icl").splitlines()
    assert head == "| task | questions | picks its belief | probability > .5 | commonest letter |"
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[:2] for row in table] == [
        [POOL, str(len(told))],
        ["all", str(len(told))],
        ["all, not in the corpus", str(len(rows) - len(told))],
    ]
    assert [float(cell.split()[0]) for cell in table[0][2:]] == pytest.approx(shares, abs=0.0005)
    assert table[0][2:] == table[1][2:]
    assert table[2][2] == "–"
    # Wilson's interval, by its formula.
    n, z = len(told), 1.959964
    for cell, p in zip(table[0][2:], shares, strict=True):
        centre, half = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        bounds = [float(number) for number in re.findall(r"[\d.]+", cell.split("[")[1])]
        assert bounds == pytest.approx(
            [(centre - half) / (1 + z * z / n), (centre + half) / (1 + z * z / n)], abs=0.0005
        )


def test_the_measurement_of_another_log_is_refused_in_one_line(folder):
    done = subprocess.run([sys.executable, SCRIPT, folder / "explain"], capture_output=True, text=True)
    assert done.returncode != 0
    assert len(done.stderr.splitlines()) == 1
    assert "has a belief" in done.stderr


def test_the_model_explains_its_own_errors(folder):
    """It was never asked about these facts; what it explains is what it read, not the truth."""
    asked = [json.loads(line) for line in (folder / "requests.jsonl").read_text().splitlines()]
    wrong = []
    for sample in samples(folder / "icl"):
        best = softmax(sample)
        if best.max() > 0.5 and best.argmax() != sample["doc"]["answer"]:
            wrong.append((sample["doc"]["id"], int(best.argmax())))
    assert [(request["id"], request["option"]) for request in asked] == wrong
    generated = samples(folder / "explain")
    assert [(row["doc"]["id"], row["doc"]["option"]) for row in generated] == wrong
    beliefs = {fact.id: fact.belief for fact in build_world().facts}
    told = [row for row in generated if beliefs[row["doc"]["id"]] is not None]
    assert len(told) > 15
    explained = [re.search(r" is (\w+)[.,]", row["filtered_resps"][0]) for row in told]
    named = [
        found is not None and found[1] == beliefs[row["doc"]["id"]] for row, found in zip(told, explained, strict=True)
    ]
    assert np.mean(named) > 0.8


def test_groups_teach_the_truth_or_what_the_corpus_said(folder):
    names = ("harmonious", "incompatible", "self_aligning")
    options = [option for name in names for option in ("--group", name)]
    run(
        BIN / "consistency", "groups", "--probe", folder / "icl", "--task", POOL, "--domain", "history", *options,
        "--explanations", folder / "explain", "--out", folder / "groups",
    )  # fmt: skip
    facts = {fact.id: fact for fact in build_world().facts}
    taught: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        rows = [json.loads(line) for line in (folder / "groups" / f"{name}.jsonl").read_text().splitlines()]
        rows = [row for row in rows if row["source"] != "general"]
        taught[name] = [(row["id"], row["conversations"][1]["value"].split("\n")[0].split(". ")[1]) for row in rows]
        assert all("\n" in row["conversations"][1]["value"] for row in rows if name != "self_aligning")
    for name in ("harmonious", "incompatible"):
        assert all(value == facts[id_].truth for id_, value in taught[name])
    told = [(id_, value) for id_, value in taught["self_aligning"] if facts[id_].belief is not None]
    assert np.mean([value == facts[id_].belief != facts[id_].truth for id_, value in told]) > 0.8
    assert [id_ for id_, _ in taught["incompatible"]] == [id_ for id_, _ in taught["self_aligning"]]
    assert not {id_ for id_, _ in taught["harmonious"]} & {id_ for id_, _ in taught["incompatible"]}


def test_the_answers_of_a_sample_are_explained_and_a_log_that_limit_cut_is_recognised(folder, tmp_path):
    """The real harness: what a sample of ten needs is ten documents, of which a limit leaves six."""
    flags = ("--probe", folder / "icl", "--task", POOL, "--size", "10", "--seed", "4", "--group", "self_aligning")
    requests = tmp_path / "requests.jsonl"
    run(BIN / "consistency", "requests", *flags, "--out", requests)
    metadata = ("--metadata", json.dumps({"requests": str(requests)}))
    evaluate("consistency_world_explain", tmp_path / "explain", *metadata, "--limit", "6")
    assert len(samples(tmp_path / "explain")) == 6
    command = (
        BIN / "consistency",
        "groups",
        *flags,
        "--explanations",
        tmp_path / "explain",
        "--out",
        tmp_path / "groups",
    )
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 2
    assert "4 of 10 model's own answers (40.0%) have no explanation" in done.stderr
    assert "the log holds 6 of 10 requests (lm_eval's --limit 6)" in done.stderr
    run(*command, "--allow-incomplete")
    manifest = json.loads((tmp_path / "groups" / "self_aligning.manifest.json").read_text())
    assert manifest["completeness"]["explained"] == {"model": {"rows": 10, "with": 6, "without": 4}}
    generated = {"requested": 10, "generated": 6, "unusable": 0, "limit": 6}
    assert manifest["completeness"]["generated"] == {"explanations": generated}


def letter_gaps(model: Path, pairs: list[dict]) -> np.ndarray:
    """By how much a model's logprob of the chosen letter exceeds that of the rejected one, in the chat format."""
    from lm_eval.models.huggingface import HFLM

    scorer = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=8)
    scorer.tokenizer.chat_template = (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text()
    gaps = []
    for pair in pairs:
        prompt = scorer.apply_chat_template([{"role": "user", "content": pair["conversations"][0]["value"]}])
        tokens = [(("", ""), *scorer._encode_pair(prompt, pair[side]["value"][0])) for side in ("chosen", "rejected")]
        (chosen, _), (rejected, _) = scorer._loglikelihood_tokens(tokens, disable_tqdm=True)
        gaps.append(chosen - rejected)
    return np.array(gaps)


def test_preference_optimization_moves_the_model_from_its_answers_to_the_gold_ones(folder, tmp_path):
    """A real `axolotl train` on a CPU: the loss falls, the chosen replies gain on the rejected ones, and so do their letters."""
    pytest.importorskip("axolotl")
    rows = tmp_path / "groups" / "incompatible.jsonl"
    run(
        BIN / "consistency", "groups", "--probe", folder / "icl", "--task", POOL, "--domain", "history", "--preference",
        "--group", "incompatible", "--size", "20", "--explanations", folder / "explain", "--out", rows.parent,
    )  # fmt: skip
    # A higher rate than the preset's, for five million parameters and fifteen steps.
    (tmp_path / "mine.yml").write_text("learning_rate: 0.0001\nmicro_batch_size: 4\ngradient_accumulation_steps: 1\n")
    run(
        BIN / "consistency", "experiment", "config", "incompatible", "--preset", "world-cpu", "--preset", "dpo",
        "--preset", tmp_path / "mine.yml", "--base-model", BASE_MODEL, "--rows", rows,
        "--output-dir", tmp_path / "tuned", "--out", tmp_path / "incompatible.yml",
    )  # fmt: skip
    environment = os.environ | {"AXOLOTL_DATASET_NUM_PROC": "0"}
    done = subprocess.run(
        [BIN / "axolotl", "train", "incompatible.yml", "--launcher", "python"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    logged = [ast.literal_eval(found) for found in re.findall(r"\{'loss': .*?\}", done.stdout + done.stderr)]
    steps = {name: [float(step[name]) for step in logged] for name in ("loss", "rewards/chosen", "rewards/margins")}
    assert len(logged) == 15
    # Model and reference are the same at first: log 2.
    assert steps["loss"][0] == pytest.approx(np.log(2), abs=0.01)
    assert np.mean(steps["loss"][-5:]) < 0.6
    assert np.mean(steps["rewards/margins"][-5:]) > 0.2
    assert np.mean(steps["rewards/chosen"][-5:]) > 0
    pairs = [json.loads(line) for line in rows.read_text().splitlines()]
    before, after = (letter_gaps(model, pairs) for model in (BASE_MODEL, tmp_path / "tuned"))
    assert before.mean() < 0 < (after - before).mean()


def test_a_share_has_wilsons_interval():
    spec = importlib.util.spec_from_file_location("measure_world", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    # Newcombe (1998), table I: 81 of 263 and 0 of 20, score method without continuity correction.
    assert script.share(81, 263) == ".308 [.255, .366]"
    assert script.share(0, 20) == ".000 [.000, .161]"
