"""Rounds of explaining and checking with the real lm_eval on the embedded model, killed and resumed."""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from consistency.knowledge.simulatability import read_judgements, read_rounds
from consistency.logs.runs import read_run
from consistency.support.resources import shipped
from consistency.world.model import BASE_MODEL
from consistency.world.questions import questions

pytest.importorskip("lm_eval")

SCRIPT = shipped("scripts/Snakefile").with_name("explain.sh")
TASKS = ["consistency_world_explain", "consistency_world_simulate"]
ATTEMPTS, ASKED = 2, 6


def command(folder: Path, made_from: str = "first", attempts: int = ATTEMPTS) -> list[str]:
    model = f"pretrained={BASE_MODEL},dtype=float32"
    evaluate = ["consistency", "eval", "--model_args", model, "--device", "cpu", "--batch_size", "32", "--log_samples"]
    return [
        "bash",
        str(SCRIPT),
        "explained",
        str(attempts),
        str(folder / "requests.jsonl"),
        *TASKS,
        made_from,
        *evaluate,
    ]


def environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() + str(path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed while it checked the first round, and what it had finished until then."""
    folder = tmp_path_factory.mktemp("rounds")
    with (folder / "requests.jsonl").open("w") as file:
        for number, found in enumerate(questions("medicine", "pool")[:ASKED]):
            row = {"id": found.id, "subject": "medicine", "question": found.question, "choices": found.choices}
            file.write(json.dumps(row | {"option": number % 4}) + "\n")
    work = folder / "explained.partial"
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(
            command(folder), cwd=folder, env=environment(), stdout=log, stderr=log, start_new_session=True
        )
        end = time.monotonic() + 300
        while not (work / "round-1" / "checks.jsonl").exists():
            assert running.poll() is None, (folder / "log").read_text()[-3000:]
            assert time.monotonic() < end
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    return folder


def run(folder: Path, *arguments: str, **given: int) -> None:
    done = subprocess.run(
        command(folder, *arguments, **given), cwd=folder, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_run_that_was_killed_keeps_what_it_had_finished(folder):
    work = folder / "explained.partial"
    kept = digests(work / "round-1" / "explain")
    assert kept
    assert not (folder / "explained").exists()
    assert not (work / "round-1" / "check").exists()
    run(folder)
    assert not work.exists()
    assert digests(folder / "explained" / "round-1" / "explain") == kept


def test_every_round_is_logged_and_a_text_is_used_that_its_check_passed(folder):
    """What is kept agrees with the harness's own log-probabilities, added up by hand."""
    explained = read_rounds(folder / "explained", "medicine")
    rows = [json.loads(line) for line in (folder / "requests.jsonl").open()]
    keys = {(row["id"], row["question"], row["option"]) for row in rows}
    remaining, kept, first = keys, {}, {}
    count = len(list((folder / "explained").glob("round-*")))
    for number in range(1, count + 1):
        place = folder / "explained" / f"round-{number}"
        assert {
            (r["id"], r["question"], r["option"]) for r in map(json.loads, (place / "requests.jsonl").open())
        } == remaining
        texts = {
            (row["id"], row["question"], row["option"]): row["explanation"]
            for row in map(json.loads, (place / "checks.jsonl").open())
        }
        (samples,) = (place / "check").rglob("samples_*.jsonl")
        sums: dict[tuple, dict[str, float]] = {}
        for sample in map(json.loads, samples.open()):
            doc = sample["doc"]
            means = sums.setdefault((doc["asked"], doc["question"], doc["option"]), dict.fromkeys(doc["choices"], 0.0))
            for choice, response in zip(doc["choices"], sample["filtered_resps"], strict=True):
                means[choice] += float(response[0]) / len(doc["choices"])
        assert set(sums) == set(texts)
        first = first or texts
        by_key = {(row["id"], row["question"], row["option"]): row for row in rows}
        for key, text in texts.items():
            odds = {choice: math.exp(mean) for choice, mean in sums[key].items()}
            if odds[by_key[key]["choices"][key[2]]] / sum(odds.values()) >= 0.95:
                kept[key] = text
        remaining = keys - set(kept)
        if number == 1 and len(kept) < 0.2 * ASKED:
            # The model does not read: no further round, and every usable text is kept.
            kept, remaining = first, set()
            assert count == 1
    assert count == ATTEMPTS or not remaining
    assert explained.texts == kept
    assert explained.checked is not None
    assert explained.checked.failed == remaining
    assert explained.checked.attempts == count


def test_the_prompts_show_the_explanation(folder):
    run_ = read_run(folder / "explained" / "round-1" / "check")
    scores = run_.tasks["consistency_world_simulate"]
    found = read_judgements(scores)
    assert len(scores) == 4 * len(found.keys)
    (samples,) = (folder / "explained" / "round-1" / "check").rglob("samples_*.jsonl")
    for sample in map(json.loads, samples.open()):
        asked = sample["arguments"]["gen_args_0"]["arg_0"].rpartition("\n\n")[2]
        assert asked.endswith(f"\nExplanation: {' '.join(sample['doc']['explanation'].split())}\nAnswer:")


def test_each_sampling_has_its_own_seed(folder):
    seeds = []
    for place in sorted((folder / "explained").glob("round-*")):
        (results,) = (place / "explain").rglob("results_*.json")
        seeds.append(json.loads(results.read_text())["config"]["torch_seed"])
    assert seeds == [1234, 1235][: len(seeds)]


def test_what_would_be_made_from_something_else_is_made_anew(folder):
    work = folder / "explained.partial"
    (work / "round-1" / "explain").mkdir(parents=True)
    requests = hashlib.sha256((folder / "requests.jsonl").read_bytes()).hexdigest()
    (work / "made_from.txt").write_text(f"another model\nattempts: 0\nrequests: {requests}\n")
    # Once, and nothing is checked.
    run(folder, "second", attempts=0)
    assert (folder / "explained" / "made_from.txt").read_text().startswith("second\n")
    assert list((folder / "explained" / "round-1" / "explain").rglob("samples_*.jsonl"))
