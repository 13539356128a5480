"""The spine with the real programs, on a slice: lm_eval, groups, Axolotl, lm_eval, report, run by Snakemake."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml

from consistency.experiment.reading import read_experiment
from consistency.experiment.status import read_status
from consistency.support.resources import shipped

pytest.importorskip("snakemake")
pytest.importorskip("axolotl")

LIMIT = 40
GROUPS = ("harmonious", "self_aligning")
# A stage, and what exists only while it is at work.
STAGES = {
    "probe": "world/base/logs/icl.partial",
    "explain": "world/base/logs/explain.partial",
    "train": "world/medicine/seed-0/tuned/*.partial/debug.log",
    "evaluate": "world/medicine/seed-0/logs/*.partial",
    "report": ".report.*.partial/items.parquet",
}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo on the first questions of each task, with a group that trains on the model's own words and one that does not."""
    settings = yaml.safe_load((shipped("scripts/experiments") / "demo.yaml").read_text(encoding="utf-8"))
    flags = yaml.safe_load((shipped("scripts/Snakefile").parent / "embedded.yaml").read_text(encoding="utf-8"))[
        "lm_eval"
    ]
    path = tmp_path_factory.mktemp("experiment") / "slice.yaml"
    settings |= {
        "name": "slice",
        "groups": list(GROUPS),
        "lm_eval": flags,
        "limit": LIMIT,
        "axolotl": "--launcher python --learning-rate 1e-4",
    }
    path.write_text(yaml.safe_dump(settings))
    return path


def _command(experiment: Path) -> list[str]:
    grid = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(shipped("scripts/Snakefile")),
        "--configfile",
        str(experiment),
    ]
    profile = shipped("scripts/Snakefile").parent / "profiles" / "local"
    return [*grid, "--profile", str(profile)]


def _run(experiment: Path, folder: Path) -> str:
    done = subprocess.run(
        [*_command(experiment), "--show-failed-logs"], cwd=folder, capture_output=True, text=True, timeout=1500
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-6000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the whole grid has run."""
    folder = tmp_path_factory.mktemp("whole")
    _run(experiment, folder)
    return folder / "runs" / "slice"


def test_what_a_profile_says_reaches_every_program(tmp_path: Path) -> None:
    groups = ["harmonious", "incompatible"]
    experiment = yaml.safe_load((shipped("scripts/experiments") / "demo.yaml").read_text())
    (tmp_path / "mine.yaml").write_text(
        yaml.safe_dump(experiment | {"models": {"m": "org/model-1b"}, "groups": groups})
    )

    def commands(*settings: str, code: int = 0, visible: str = "1,3") -> tuple[str, set[str]]:
        """What the grid would run on the second and fourth of more GPUs, and what decides what each training makes."""
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"cores": 2, "config": list(settings)}))
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(shipped("scripts/Snakefile")),
            "--configfile",
            "mine.yaml",
        ]
        done = subprocess.run(
            [*command, "--profile", str(tmp_path), "--dry-run", "--printshellcmds"],
            cwd=tmp_path, env=os.environ | {"CUDA_VISIBLE_DEVICES": visible}, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        text = done.stdout + done.stderr
        return text, set(re.findall(r'config: "(\w+)"', text))

    on_cpu, plain = commands("device=cpu", "seeds=[0, 3]", "every_epoch=false")
    assert "to fine-tune and evaluate on cpu" in on_cpu
    assert on_cpu.count(": fine-tune on ") == 2 * len(groups)
    assert ".epoch-1" not in on_cpu
    assert "CUDA_VISIBLE_DEVICES=;" in on_cpu
    assert "--device cpu " in on_cpu
    assert "--gpus 1 " not in on_cpu
    shared, fast = commands("device=cuda:1")
    assert "to fine-tune and evaluate on cuda:1" in shared
    assert "CUDA_VISIBLE_DEVICES=3;" in shared
    assert "--device cuda " in shared
    assert "--gpus 1 " not in shared
    beyond, _ = commands("device=cuda:2", code=2)
    assert "device: cuda:2 is not among the GPUs that CUDA_VISIBLE_DEVICES=1,3 shows" in beyond
    # A negative number ends the list; a hyphen in a name does not.
    named, _ = commands("device=cuda:1", visible="GPU-1d2-1, GPU-3e4-1,-1,7")
    assert "CUDA_VISIBLE_DEVICES=GPU-3e4-1;" in named
    assert "is not among" in commands("device=cuda:2", code=2, visible="0,1,-1,7")[0]
    claimed, also_fast = commands("device=cuda")
    assert "CUDA_VISIBLE_DEVICES=" not in claimed
    assert "--gpus 1 " in claimed
    # The presets of the training go by the device as well.
    assert len(plain) == len(fast) == len(groups)
    assert fast == also_fast
    assert plain.isdisjoint(fast)
    # An adapter is evaluated over its base model, a whole model by itself.
    adapted, _ = commands("device=cuda", "preset=lora")
    folder = "runs/demo/m/medicine/seed-0/tuned/harmonious"
    both = f'"pretrained": "org/model-1b", "peft": "{folder}", "tokenizer": "{folder}"'
    assert f"--model_args '{{{both}}}' --model_args dtype=float32 " in adapted
    assert f"""--model_args '{{"pretrained": "{folder}"}}' --model_args dtype=float32 """ in claimed
    by_flag, _ = commands("device=cuda", "axolotl=--adapter lora")
    assert f'"peft": "{folder}"' in by_flag
    # A key without a value is empty, not null.
    commands("axolotl=")


def _report(root: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((root / "report" / "report.json").read_text(encoding="utf-8"))
    return report


def _content(root: Path) -> bytes:
    """The report without its dates."""
    report = _report(root)
    del report["created"]
    for log in report["logs"]:
        del log["date"]
    return msgspec.json.encode(report)


def _samples(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.rglob("samples_*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield path.name.removeprefix("samples_").rsplit("_", 1)[0], json.loads(line)


@pytest.mark.timeout(1800)
def test_what_trained_is_what_is_written(finished: Path) -> None:
    tuned = finished / "world/medicine/seed-0/tuned"
    for group in GROUPS:
        written = yaml.safe_load((tuned / f"{group}.yml").read_text(encoding="utf-8"))
        assert written["learning_rate"] == 1e-4
        # Axolotl prints the config that it trains with.
        assert '"learning_rate": 0.0001,' in (tuned / group / "debug.log").read_text(encoding="utf-8")


@pytest.mark.timeout(1800)
def test_the_report_says_what_the_logs_say(finished: Path) -> None:
    report = _report(finished)
    rows = {(row["group"], row["scope"]): row for row in report["results"]}
    assert set(rows) == {(g, s) for g in GROUPS for s in ("homo", "id", "ood")}
    base = [
        row["acc"]
        for task, row in _samples(finished / "world/base/logs/icl")
        if task == "consistency_world_medicine_icl"
    ]
    assert len(base) == LIMIT
    for group in GROUPS:
        logs = list(_samples(finished / f"world/medicine/seed-0/logs/{group}"))
        homo = [row["acc"] for task, row in logs if task == "consistency_world_medicine_ift"]
        row = rows[group, "homo"]
        assert row["n"] == LIMIT
        assert row["tuned"]["accuracy"]["value"] == pytest.approx(np.mean(homo))
        assert row["base"]["accuracy"]["value"] == pytest.approx(np.mean(base))
        assert row["change"]["accuracy"]["value"] == pytest.approx(np.mean(homo) - np.mean(base))
        assert sum(rows[group, scope]["n"] for scope in ("homo", "id", "ood")) == len(logs)
    assert any("--limit 40" in note for note in report["notes"])


def test_ranking_correlation_and_kl_match_scipy_on_the_logs(finished: Path) -> None:
    from scipy.special import log_softmax
    from scipy.stats import spearmanr

    def options(folder: Path, name: str) -> dict[int, Any]:
        found = {}
        for task, row in _samples(folder):
            if task == name:
                found[row["doc_id"]] = log_softmax([float(pair[0]) for pair in row["filtered_resps"]])
        return found

    before = options(finished / "world/base/logs/icl", "consistency_world_medicine_icl")
    after = options(finished / "world/medicine/seed-0/logs/self_aligning", "consistency_world_medicine_ift")
    ranking = [spearmanr(before[i], after[i]).statistic for i in before]
    kl = [float(np.sum(np.exp(before[i]) * (before[i] - after[i]))) for i in before]
    row = next(row for row in _report(finished)["results"] if (row["group"], row["scope"]) == ("self_aligning", "homo"))
    assert row["tuned"]["spearman"]["value"] == pytest.approx(np.mean(ranking), abs=1e-12)
    assert row["tuned"]["kl"]["value"] == pytest.approx(np.mean(kl), abs=1e-12)
    # One task: the textbook's standard error.
    assert row["tuned"]["kl"]["se"] == pytest.approx(np.std(kl, ddof=1) / np.sqrt(len(kl)))


def test_groups_follow_from_the_probe(finished: Path) -> None:
    wrong, right = set(), set()
    for task, row in _samples(finished / "world/base/logs/icl"):
        if task == "consistency_world_medicine_pool_icl":
            scores = np.array([float(pair[0]) for pair in row["filtered_resps"]])
            p = np.exp(scores - np.logaddexp.reduce(scores))
            if p.max() > 0.5:
                (right if p.argmax() == int(row["target"]) else wrong).add(row["doc"]["id"])
    folder = finished / "world/medicine/seed-0/groups"
    ids = {}
    for group in GROUPS:
        rows = [json.loads(line) for line in (folder / f"{group}.jsonl").read_text(encoding="utf-8").splitlines()]
        ids[group] = [row["id"] for row in rows if row["source"] != "general"]
        assert len(rows) == 2 * len(ids[group])
    assert set(ids["self_aligning"]) == wrong
    assert len(ids["harmonious"]) == len(wrong)
    assert set(ids["harmonious"]) <= right


def test_unchanged_inputs_mean_nothing_to_do(experiment: Path, finished: Path) -> None:
    assert "Nothing to be done" in _run(experiment, finished.parents[1])


@pytest.mark.timeout(1200)
def test_a_killed_training_stops_no_other_and_nothing_trains_twice(
    experiment: Path, finished: Path, tmp_path: Path
) -> None:
    """In a copy of the folder, with the probe and one model lost, that model's new training is killed."""
    folder = Path(shutil.copytree(finished.parents[1], tmp_path / "copy"))
    assert "Nothing to be done" in _run(experiment, folder)
    seed = folder / "runs/slice/world/medicine/seed-0"
    kept = seed / "tuned/harmonious/model.safetensors"
    inode = kept.stat().st_ino
    for lost in (
        "runs/slice/world/base/logs/icl",
        "runs/slice/report",
        seed / "tuned/self_aligning",
        seed / "logs/self_aligning",
    ):
        shutil.rmtree(folder / lost)
    (seed / "tuned/self_aligning.checked.txt").unlink()

    grid = subprocess.Popen(
        _command(experiment), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    while not (seed / "tuned/self_aligning.partial/debug.log").exists():
        assert grid.poll() is None
        time.sleep(0.1)
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().split(b"\0")
            if command[2:4] == [b"train", b"tuned/self_aligning.yml"] and (process / "cwd").readlink() == seed:
                os.kill(int(process.name), signal.SIGKILL)
    said, _ = grid.communicate(timeout=900)
    assert grid.returncode == 1
    summary = [line for line in said.splitlines() if line.startswith("train of ")]
    log = "runs/slice/world/medicine/seed-0/logs/self_aligning.train.log"
    assert len(summary) == 1
    assert "tuned/self_aligning.checked.txt: killed; " in summary[0]
    assert summary[0].endswith(f"; log: {log}")
    assert (seed / "logs/harmonious").is_dir()

    _run(experiment, folder)
    assert kept.stat().st_ino == inode
    assert _content(folder / "runs" / "slice") == _content(finished)


def _written(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in root.rglob("*") if path.is_file()}


@pytest.mark.timeout(2400)
def test_killed_in_every_stage_it_resumes_to_the_same_report(experiment: Path, finished: Path, tmp_path: Path) -> None:
    """`kill -9` of Snakemake, or of the whole process group, then the same command again."""
    root = tmp_path / "runs" / "slice"
    for number, (stage, sign) in enumerate(STAGES.items()):
        with (tmp_path / f"{stage}.log").open("w") as log:
            grid = subprocess.Popen(_command(experiment), cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
            deadline = time.monotonic() + 600
            while not list(root.glob(sign)):
                assert grid.poll() is None, f"{stage}: ended before it could be killed\n{Path(log.name).read_text()}"
                assert time.monotonic() < deadline, f"{stage}: never began"
                time.sleep(0.05)
            time.sleep(0.1 if stage == "report" else 2)
            if stage == "train":
                second = subprocess.run(_command(experiment), cwd=tmp_path, capture_output=True, text=True, timeout=120)
                assert second.returncode == 1
                assert f"Snakemake (PID {grid.pid} on " in second.stderr.splitlines()[-1]
            if number % 2:
                os.killpg(grid.pid, signal.SIGKILL)
            else:
                grid.kill()
            grid.wait()
        assert not (root / "report").exists()
        # Nobody writes there any more.
        time.sleep(1)
        before = _written(root)
        time.sleep(1)
        assert _written(root) == before
        assert {job.state for job in read_status(read_experiment(experiment, root)).jobs} <= {"done", "waiting"}
    _run(experiment, tmp_path)
    assert _content(root) == _content(finished)
    found = read_status(read_experiment(experiment, root))
    assert found.summary() == "all done"
