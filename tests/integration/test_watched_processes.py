"""A training of two processes that share the weights is watched: no effect on it, the scores of its weights, and no hang."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from consistency.support.resources import shipped
from consistency.watch.rows import read_drift
from consistency.world.model import BASE_MODEL

torch = pytest.importorskip("torch")
pytest.importorskip("lm_eval")
ROOT = Path(__file__).parents[2]
TASK = "consistency_world_history_ift"
with_deepspeed = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs deepspeed, which is not installed")


@pytest.mark.parametrize(
    "how", ["fsdp", pytest.param("zero2", marks=with_deepspeed), pytest.param("zero3", marks=with_deepspeed)]
)
def test_weights_shared_by_two_processes_are_scored(how: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("watched_processes.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", script]
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {"PYTHONPATH": search, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DS_ACCELERATOR": "cpu"}
    done = subprocess.run(
        [*map(str, command), str(tmp_path), how],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses = json.loads((tmp_path / "losses.json").read_text())
    assert losses["watched"] == losses["alone"]
    assert len(losses["alone"]) == 4
    # A pass that failed in one process at step 3, in the middle of a layer, left none waiting.
    assert [row.step for row in read_drift(tmp_path / "watched" / "watch")] == [0, 4]
    assert "the look at step 3 failed, and training goes on: RuntimeError: planted" in done.stderr

    (file,) = (tmp_path / "watched" / "watch" / "step-000004").glob("samples_*.jsonl")
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

    # After an alarm each process takes back its part of the weights of step 0.
    from transformers import AutoModelForCausalLM

    assert json.loads((tmp_path / "spoiled" / "watch" / "watch.json").read_text())["rollback"] == 0
    weights = [
        AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).state_dict()
        for place in (tmp_path / "spoiled" / "tuned", BASE_MODEL)
    ]
    assert all(torch.equal(weights[0][name], weight) for name, weight in weights[1].items())
