"""Logs as small files, and logs of these again: the same questions, prompts and answers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from consistency.logs.runs import read_run
from consistency.support.resources import shipped
from consistency.world.model import BASE_MODEL

SCRIPT = shipped("scripts/Snakefile").with_name("slim_logs.py")
TASK = "consistency_world_medicine_ift"


def slim_logs(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("logs") / "logs"
    model = ["--model_args", f"pretrained={BASE_MODEL},dtype=float32", "--device", "cpu", "--batch_size", "8"]
    asked = ["--tasks", TASK, "--limit", "12", "--apply_chat_template", "--log_samples", "--output_path", str(out)]
    command = [sys.executable, "-m", "consistency.cli", "eval", *model, *asked]
    subprocess.run(command, check=True, capture_output=True, timeout=300, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    return out


def test_a_log_that_was_packed_is_the_log_that_was_written(logs: Path, tmp_path: Path) -> None:
    packed, again = tmp_path / "slim.npz", tmp_path / "again"
    assert slim_logs("pack", logs, packed).returncode == 0
    with np.load(packed) as data:
        assert not any("question" in str(data[name]) for name in ("tasks", "doc_hash", "prompt_hash"))
    done = slim_logs("unpack", packed, again, "--tokenizer", BASE_MODEL, "--template", "model")
    assert done.returncode == 0, done.stderr
    (first,), (second,) = (sorted(folder.rglob("samples_*.jsonl")) for folder in (logs, again))
    assert first.relative_to(logs) == second.relative_to(again)
    for before, after in zip(first.open(), second.open(), strict=True):
        old, new = json.loads(before), json.loads(after)
        assert {key: new[key] for key in ("doc_id", "doc", "target", "arguments", "acc", "filter")} == {
            key: old[key] for key in ("doc_id", "doc", "target", "arguments", "acc", "filter")
        }
        assert [new[f"{kind}_hash"] for kind in ("doc", "prompt", "target")] == [
            old[f"{kind}_hash"] for kind in ("doc", "prompt", "target")
        ]
    was, now = read_run(logs).tasks[TASK], read_run(again).tasks[TASK]
    np.testing.assert_allclose(now.logprobs, was.logprobs, rtol=1e-6)
    assert now.correct.tolist() == was.correct.tolist()


def test_another_template_is_noticed_and_equal_prompts_are_kept_once(logs: Path, tmp_path: Path) -> None:
    packed, like = tmp_path / "slim.npz", tmp_path / "like.npz"
    assert slim_logs("pack", logs, packed).returncode == 0
    assert slim_logs("pack", logs, like, "--like", packed).returncode == 0
    with np.load(like) as data:
        assert "prompt_hash" not in data
    done = slim_logs("unpack", packed, tmp_path / "other", "--tokenizer", BASE_MODEL, "--template", "chatml")
    assert done.returncode == 1
    assert "12 questions or prompts are not those of the log" in done.stderr
