"""Options of unequal length, logged by the real lm_eval: our normalised answers are the harness's."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from consistency.logs.runs import read_run
from consistency.logs.scores import Scores
from consistency.metrics.distributions import top_option
from consistency.world.model import BASE_MODEL

pytest.importorskip("lm_eval")

TASK = """
task: lengths
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}, {{metric: acc_bytes}}, {{metric: acc_mutual_info}}]
"""
QUESTIONS = 60


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    folder = tmp_path_factory.mktemp("lengths")
    rng = random.Random(0)
    words = "the stone of old house is göld and naïve red in blue".split()
    rows = [
        {
            "question": f"The {rng.choice(words)} {number} is",
            "choices": [" ".join(rng.choices(words, k=length)) for length in rng.sample(range(1, 8), 3 + number % 2)],
            "answer": rng.randrange(3),
        }
        for number in range(QUESTIONS)
    ]
    data = folder / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "lengths.yaml").write_text(TASK.format(data=data), encoding="utf-8")
    command = [Path(sys.executable).parent / "lm_eval", "run", "--model", "hf", "--tasks", "lengths"]
    command += ["--model_args", f"pretrained={BASE_MODEL},dtype=float32", "--include_path", folder]
    command += ["--device", "cpu", "--batch_size", "16", "--log_samples", "--output_path", folder / "out"]
    environment = os.environ | {"HF_DATASETS_CACHE": str(folder / "cache")}
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]
    return read_run(folder / "out").tasks["lengths"]


@pytest.mark.parametrize("score", ["raw", "acc_norm", "acc_bytes", "acc_mutual_info"])
def test_the_chosen_options_are_as_right_as_the_harness_logged(scores: Scores, score: str) -> None:
    logged = scores.metrics["acc" if score == "raw" else score]
    chosen = top_option(scores.scored_by(score).logprobs)
    right = scores.gold[np.arange(QUESTIONS), chosen]
    assert np.array_equal(right, logged == 1)
    # The normalisations disagree, so that none can replace another.
    assert score == "raw" or not np.array_equal(logged, scores.metrics["acc"])


def test_four_options_and_three_have_one_distribution_each(scores: Scores) -> None:
    assert scores.n_options.tolist() == [3 + number % 2 for number in range(QUESTIONS)]
    assert np.isnan(scores.logprobs[::2, 3]).all()
