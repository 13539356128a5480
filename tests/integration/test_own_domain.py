"""Two own domains from their files to the report, by the real programs: lm_eval, groups, Axolotl, report, run by Snakemake.

The questions are the embedded world's, which its base model answers with confidence, under names that are not the world's.
"""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from consistency.support.resources import shipped
from consistency.world.questions import questions

pytest.importorskip("snakemake")
pytest.importorskip("axolotl")

LIMIT = 30
# It trains on what the model writes about the questions: the stages of all other groups, and one more.
GROUPS = ["self_aligning"]


def rows(field: str, split: str, count: int) -> list[dict[str, Any]]:
    return [
        {"question": item.question, "choices": item.choices, "answer": item.answer, "explanation": item.explanation}
        for item in questions(field, split)[:count]
    ]


def sources(field: str) -> dict[str, list[dict[str, Any]]]:
    """Sixty questions in the pool, the second of which is in the test set, too."""
    test = rows(field, "test", 20)
    pool = rows(field, "pool", 59)
    return {"pool": [pool[0], test[0], *pool[1:]], "test": test, "dev": rows(field, "dev", 5)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment on one domain in JSON lines, and on another in CSV without explanations but for the examples."""
    place = tmp_path_factory.mktemp("own")
    for split, found in sources("engineering").items():
        (place / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found))
    for split, found in sources("jurisprudence").items():
        with (place / f"laws_{split}.csv").open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.writer(file, delimiter=";")
            writer.writerow(["question", "A", "B", "C", "D", "answer", *(["explanation"] if split == "dev" else [])])
            for row in found:
                more = [row["explanation"]] if split == "dev" else []
                writer.writerow([row["question"], *row["choices"], "ABCD"[row["answer"]], *more])
    experiment = {
        "name": "mine",
        "models": {"world": "embedded"},
        "tasks": "paper",
        "domains": {
            "machines": {
                **{split: f"{split}.jsonl" for split in ("pool", "test", "dev")},
                "header": 'engines "and" {{ machines }}',
                "id": ["consistency_world_mmlu_icl_pumps"],
                "ood": ["consistency_world_mmlu_icl_games", "consistency_world_mmlu_icl_songs"],
            },
            "laws": {
                **{split: f"laws_{split}.csv" for split in ("pool", "test", "dev")},
                "header": "jurisprudence",
                "ood": ["consistency_world_mmlu_icl_stars"],
            },
        },
        "groups": GROUPS,
        "seeds": [0],
        "general": "none",
        "limit": LIMIT,
        # The embedded model does not read explanations.
        "explanation_attempts": 0,
        "axolotl": "--launcher python --learning-rate 1e-4",
    }
    (place / "mine.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    return place


def grid(folder: Path, *options: str) -> str:
    profile = shipped("scripts/Snakefile").parent / "profiles" / "local"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(shipped("scripts/Snakefile"))]
    command += ["--configfile", "mine.yaml", "--profile", str(profile), *options]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(folder: Path) -> Path:
    """The folder of the artefacts, after the whole grid has run."""
    grid(folder, "--show-failed-logs")
    return folder / "runs" / "mine"


def logged(folder: Path, task: str) -> list[dict[str, Any]]:
    (file,) = folder.rglob(f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_report_has_the_scopes_of_each_domain(finished: Path) -> None:
    report = json.loads((finished / "report" / "report.json").read_text())
    counts = {(row["domain"], row["group"], row["scope"]): row["n"] for row in report["results"]}
    expected = {("machines", "homo"): 20, ("machines", "id"): LIMIT, ("machines", "ood"): 2 * LIMIT}
    expected |= {("laws", "homo"): 20, ("laws", "ood"): LIMIT}
    assert counts == {(domain, group, scope): n for (domain, scope), n in expected.items() for group in GROUPS}
    assert report["pairing"]["absent_tasks"] == {}
    assert (finished / "report" / "report.html").is_file()


def test_the_models_were_asked_the_questions_of_the_files(finished: Path) -> None:
    for domain, field in (("machines", "engineering"), ("laws", "jurisprudence")):
        for split, task in (("test", f"consistency_{domain}_icl"), ("pool", f"consistency_{domain}_pool_icl")):
            asked = logged(finished / "world" / "base" / "logs" / "icl", task)
            given = sources(field)[split][:LIMIT]
            assert sorted(
                json.dumps([item["doc"][key] for key in ("question", "choices", "answer")]) for item in asked
            ) == (sorted(json.dumps([row[key] for key in ("question", "choices", "answer")]) for row in given))
    prompt = logged(finished / "world" / "base" / "logs" / "icl", "consistency_machines_icl")[0]["arguments"][
        "gen_args_0"
    ]["arg_0"]
    assert prompt.startswith('The following are multiple choice questions about engines "and" {{ machines }}. Please')


def test_the_training_rows_hold_the_prompt_of_the_evaluation_and_no_question_of_the_tests(finished: Path) -> None:
    for domain, field in (("machines", "engineering"), ("laws", "jurisprudence")):
        seed = finished / "world" / domain / "seed-0"
        shared = sources(field)["test"][0]["question"]
        for group in GROUPS:
            trained = [json.loads(line) for line in (seed / "groups" / f"{group}.jsonl").read_text().splitlines()]
            turns = [row["conversations"][0]["value"] for row in trained if row["source"] != "general"]
            assert len(turns) > 3
            assert not any(shared in turn for turn in turns)
            manifest = json.loads((seed / "groups" / f"{group}.manifest.json").read_text())
            assert manifest["guard"]["in_evaluation"]["exact"] == 1
        evaluated = logged(seed / "logs" / "self_aligning", f"consistency_{domain}_ift")[0]["arguments"]["gen_args_0"][
            "arg_0"
        ]
        (header,) = re.findall(r"The following are [^\n]*\n\n", evaluated)
        assert all(turn.startswith(header) for turn in turns)


def test_nothing_is_made_again_until_the_questions_change(finished: Path, folder: Path) -> None:
    assert "Nothing to be done" in grid(folder, "--dry-run")
    (folder / "laws_test.csv").touch()
    assert "Nothing to be done" in grid(folder, "--dry-run")
    content = (folder / "laws_test.csv").read_bytes()
    (folder / "laws_test.csv").write_bytes(b"".join(content.splitlines(keepends=True)[:-1]))
    planned = grid(folder, "--dry-run")
    for what in ("laws: its tasks and questions", "probe with 5 shots", "laws, seed 0: evaluate self_aligning"):
        assert what in planned
    assert "machines: its tasks and questions" not in planned
    (folder / "laws_test.csv").write_bytes(content)
    assert "Nothing to be done" in grid(folder, "--dry-run")
    kept = list((finished / "tasks" / "laws").glob("manifest-*.json"))
    assert len(kept) == 1
