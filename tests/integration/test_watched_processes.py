"""A training of two processes that share the weights (FSDP2) is watched: no effect on it, and the scores of its weights."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from consistency.support.resources import shipped

pytest.importorskip("torch")
pytest.importorskip("lm_eval")
ROOT = Path(__file__).parents[2]
TASK = "consistency_world_history_ift"


def test_weights_shared_by_two_processes_are_scored(tmp_path: Path) -> None:
    script = Path(__file__).with_name("watched_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script, tmp_path]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    # Both processes write, perhaps into one line.
    assert done.stdout.count("equal: True, 4 steps") == 2
    steps = sorted((tmp_path / "watched" / "watch").glob("step-*"))
    assert [step.name for step in steps] == ["step-000000", "step-000003", "step-000004"]
    (file,) = steps[-1].glob("samples_*.jsonl")
    ours = {row["doc_id"]: row for row in map(json.loads, file.read_text().splitlines())}
    assert len(ours) == 7

    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    found = simple_evaluate(
        "hf",
        {"pretrained": str(tmp_path / "watched" / "tuned"), "dtype": "float32"},
        tasks=[TASK],
        samples={TASK: sorted(ours)},
        apply_chat_template=True,
        device="cpu",
        bootstrap_iters=0,
        task_manager=TaskManager(include_path=str(shipped("lm_eval_tasks")), include_defaults=False),
    )
    for row in found["samples"][TASK]:
        scores = [[float(score) for score, _ in sample["filtered_resps"]] for sample in (ours[row["doc_id"]], row)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
