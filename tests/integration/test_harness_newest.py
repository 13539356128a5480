"""The newest release of lm_eval that pip finds, beside the installed one: what `consistency eval` logs with it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import pytest

pytest.importorskip("lm_eval")
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from try_harness import NEWEST, evaluate, overlay, version

from consistency.world.model import BASE_MODEL


def test_its_logprobs_are_those_of_the_model(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        environment = overlay(NEWEST, tmp_path / "overlay")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"pip reaches no index: {error.stderr.decode()[-200:]}")
    if version(environment) == installed_version("lm_eval"):
        pytest.skip("the installed release is the newest")
    out = tmp_path / "log"
    found = evaluate(("-m", "consistency", "eval"), out, environment, limit=2)
    assert isinstance(found, dict), found
    (results,) = out.rglob("results_*.json")
    assert json.loads(results.read_text())["lm_eval_version"] == version(environment)
    (log,) = out.rglob("samples_*.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL)
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32)
    for row in map(json.loads, log.read_text().splitlines()):
        for number, logprob in enumerate(found[row["doc_id"]]):
            context, answer = row["arguments"][f"gen_args_{number}"].values()
            before = tokenizer(context, add_special_tokens=False)["input_ids"]
            both = tokenizer(context + answer, add_special_tokens=False)["input_ids"]
            with torch.no_grad():
                scores = model(torch.tensor([both])).logits[0].log_softmax(-1)
            at = range(len(before), len(both))
            assert sum(float(scores[i - 1, both[i]]) for i in at) == pytest.approx(logprob, abs=1e-4)
