"""The whole way of a base model without a chat template: an own domain, killed twice, to the report, in one template."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml

from consistency.support.resources import shipped
from consistency.tasks import prompts
from consistency.tasks.templates import read_template

pytest.importorskip("snakemake")
pytest.importorskip("axolotl")

GROUPS = ["self_aligning", "contextualized"]


def write_domain(folder: Path) -> None:
    rng = random.Random(1)
    rows = []
    for number in range(60):
        count = rng.randint(2, 90)
        choices = [str(count + more) for more in range(4)]
        rng.shuffle(choices)
        question = f"{number} teams have how many players, if each of them has {count} and a team is one?"
        why = f"Each team has {count} of them."
        rows.append({"question": question, "choices": choices, "answer": choices.index(str(count)), "explanation": why})
    for name, part in (("pool", rows[:40]), ("test", rows[40:54]), ("dev", rows[54:])):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, build_llama: Callable[[str], Path]) -> Path:
    """The root of a grid that was killed in a training and in an evaluation, and then went on to its end."""
    folder = tmp_path_factory.mktemp("own")
    write_domain(folder)
    files = {split: f"{split}.jsonl" for split in ("pool", "test", "dev")}
    settings = {
        "name": "own",
        "tasks": "paper",
        "models": {"tiny": str(build_llama("byte_level"))},
        # No tests of MMLU: they may not be here.
        "domains": {"sport": {**files, "header": "sport and games", "ood": []}},
        "groups": GROUPS,
        "seeds": [0],
        "size": 6,
        # A random model is sure of nothing.
        "threshold": 0.2501,
        "general": "none",
        "probes": ["icl_cyclic"],
        "network": False,
        "explanation_attempts": 1,
        "allow_incomplete": True,
        "axolotl": "--launcher python --num-epochs 1",
    }
    (folder / "e.yaml").write_text(yaml.safe_dump(settings))
    grid = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(shipped("scripts/Snakefile")),
        "--configfile",
        "e.yaml",
    ]
    grid += ["--profile", str(shipped("scripts/Snakefile").parent / "profiles" / "local")]
    root = folder / "runs" / "own"
    environment = {key: value for key, value in os.environ.items() if key != "CONSISTENCY_DATA"}
    for stage in ("tiny/sport/seed-0/tuned/*.partial/debug.log", "tiny/sport/seed-0/logs/*.partial"):
        process = subprocess.Popen(
            grid,
            cwd=folder,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + 900
        while not list(root.glob(stage)):
            assert process.poll() is None, "the grid ended before it was killed"
            assert time.monotonic() < until
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(grid, cwd=folder, env=environment, capture_output=True, text=True, timeout=1500)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return root


def samples(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.rglob("samples_consistency_sport_ift_*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)


@pytest.mark.timeout(3000)
def test_base_and_tuned_models_are_asked_byte_for_byte_the_same(finished: Path) -> None:
    template = jinja2.Environment().from_string(read_template("vicuna") or "")
    expected = {}
    for row in samples(finished / "tiny/base/logs/ift"):
        question = prompts.instruction("sport and games", row["doc"]["question"], row["doc"]["choices"])
        turn = [{"role": "user", "content": question}]
        text = template.render(messages=turn, bos_token="<s>", eos_token="</s>", add_generation_prompt=True)
        assert {argument["arg_0"] for argument in row["arguments"].values()} == {text}
        expected[row["doc_id"]] = text
    assert len(expected) == 14
    for group in GROUPS:
        asked = {row["doc_id"]: row["arguments"]["gen_args_0"]["arg_0"] for row in samples(
            finished / "tiny/sport/seed-0/logs" / group)}  # fmt: skip
        assert asked == expected


@pytest.mark.timeout(3000)
def test_the_map_is_over_all_ways_of_asking(finished: Path) -> None:
    labels = [json.loads(line) for line in (finished / "tiny/base/map/labels.jsonl").open()]
    assert len(labels) == 40
    # One probe alone puts no question in a category.
    assert all(row["category"] for row in labels)


@pytest.mark.timeout(3000)
def test_groups_with_generated_texts_were_made_trained_and_reported(finished: Path) -> None:
    report = json.loads((finished / "report" / "report.json").read_text(encoding="utf-8"))
    assert {row["group"] for row in report["results"]} == set(GROUPS)
    for group in GROUPS:
        rows = [json.loads(line) for line in (finished / f"tiny/sport/seed-0/groups/{group}.jsonl").open()]
        assert rows
        assert not any(row["source"] == "general" for row in rows)
        # What is trained begins as what is asked.
        assert all("about sport and games." in row["conversations"][0]["value"] for row in rows)
    logs = {log["role"]: log["template"] for log in report["logs"]}
    assert (logs["base_zero_shot"], logs["tuned"], logs["base_few_shot"]) == ("vicuna", "vicuna", None)
    for row in report["training_rows"]:
        assert (row["template"], row["precision"]) == ("vicuna", "float32")
        assert row["hardware"]
