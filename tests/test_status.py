"""The state of a grid, from folders and logs as the grid leaves them; a program that runs is a real one that holds its log."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml

from consistency.experiment.grid import Experiment
from consistency.experiment.reading import read_experiment
from consistency.experiment.status import Job, follow, read_status
from consistency.support.resources import shipped

PROGRAMS = Path(__file__).parent / "data" / "programs"
FILE = {
    "name": "e",
    "models": {"world": "embedded"},
    "domains": ["medicine"],
    "groups": ["harmonious", "self_aligning"],
    "seeds": [0, 1],
}
SEED = "world/medicine/seed-0"


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    path = tmp_path / "e.yaml"
    path.write_text(yaml.safe_dump(FILE))
    return read_experiment(path, tmp_path / "runs" / "e")


@pytest.fixture
def write(experiment: Experiment) -> Callable[..., Path]:
    """Write a log below the root: what a program printed, begun so many seconds ago, last written so many seconds ago."""

    def done(place: str, name: str, begun: float, changed: float, end: str = "", host: str | None = None) -> Path:
        path = experiment.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        printed = (PROGRAMS / name).read_bytes().partition(b"\n")[2].decode() if name else ""
        if end:
            printed = printed[: printed.index(end) + len(end)]
        since = (datetime.now().astimezone() - timedelta(seconds=begun)).isoformat(timespec="seconds")
        path.write_bytes(f"begun {since}, PID 1 on {host or os.uname().nodename}\n{printed}".encode())
        os.utime(path, times=(time.time() - changed,) * 2)
        return path

    return done


@pytest.fixture
def hold() -> Iterator[Callable[[Path], "subprocess.Popen[bytes]"]]:
    """Start a program that holds the lock of a log, as scripts/supervise.py does."""
    started: list[subprocess.Popen[bytes]] = []

    def start(log: Path) -> "subprocess.Popen[bytes]":
        code = (
            "import fcntl, sys, time; log = open(sys.argv[1], 'a'); fcntl.flock(log, fcntl.LOCK_EX);"
            " print(flush=True); time.sleep(60)"
        )
        process = subprocess.Popen([sys.executable, "-c", code, str(log)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def _jobs(experiment: Experiment) -> dict[str, Job]:
    return {f"{job.stage} {job.name.removeprefix('world, medicine, ')}": job for job in read_status(experiment).jobs}


def test_nothing_has_begun(experiment: Experiment) -> None:
    found = read_status(experiment)
    counts = {stage: sum(states.values()) for stage, states in found.counts().items()}
    assert counts == {"probe": 1, "base": 1, "explain": 1, "groups": 4, "train": 4, "evaluate": 4, "report": 1}
    assert {job.state for job in found.jobs} == {"waiting"}
    assert found.hours is None
    assert found.head is None


def test_what_the_grid_will_make_is_what_snakemake_makes(experiment: Experiment, tmp_path: Path) -> None:
    """The outputs and logs are those of the Snakefile, asked by a dry run."""
    pytest.importorskip("snakemake")
    settings = {**FILE, "every_epoch": True}
    (tmp_path / "e.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(shipped("scripts/Snakefile"))]
    command += ["--configfile", "e.yaml", "--cores", "1", "--dry-run"]

    def ask(flag: str) -> str:
        done = subprocess.run([*command, flag], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    outputs = {line.split("\t")[0] for line in ask("--summary").splitlines() if "\t" in line}
    logs = set(re.findall(r"begin\.sh (\S+)", ask("--printshellcmds")))
    jobs = read_status(read_experiment(tmp_path / "e.yaml", Path("runs/e"))).jobs
    assert {str(job.output) for job in jobs} == outputs - {
        "output_file",
        "runs/e/world/base/model",
        "runs/e/world/base/requests.jsonl",
        "runs/e/world/base/tokenizer",
    }
    small = {f"runs/e/world/base/{name}.log" for name in ("requests", "tokenizer")}
    assert {str(job.log) for job in jobs} == logs - small


def test_done_failed_stopped_and_running(
    experiment: Experiment, write: Callable[..., Path], hold: Callable[[Path], "subprocess.Popen[bytes]"]
) -> None:
    root = experiment.root
    write("world/base/logs/icl.log", "evaluate.log", 1000, 880)
    write("world/base/logs/ift.log", "evaluate.log", 1000, 960)
    for name in ("icl", "ift"):
        (root / "world/base/logs" / name).mkdir()
    with write("world/base/logs/explain.log", "explain.log", 50, 40, "0/13 [00:00<?, ?it/s]").open("a") as log:
        log.write("\nValueError: no chat template\nexit code 1\n")
    running = write(f"{SEED}/logs/harmonious.train.log", "train.log", 20, 3, "2/5 [00:01<00:02,  1.14it/s]")
    write("world/medicine/seed-1/logs/harmonious.train.log", "train.log", 20, 10, "Starting trainer...")
    process = hold(running)
    found = _jobs(experiment)
    assert found["probe world"].state == "done"
    assert found["probe world"].seconds == pytest.approx(120, abs=1.5)
    assert found["explain world"].state == "failed"
    assert found["explain world"].reason == "ValueError: no chat template"
    assert found["train seed 1: harmonious"].state == "waiting"  # it was killed with the grid
    job = found["train seed 0: harmonious"]
    assert job.state == "running"
    assert job.progress is not None
    assert (job.progress.done, job.progress.total) == (2, 5)
    # 3 steps of 1 s, the last 3 s ago; then the model is saved and checked in the 16 s that it took until the first step.
    assert job.left == pytest.approx(16, abs=1.5)
    assert process.pid in job.processes
    # An evaluation takes as long as the one of the base model did: 40 s.
    assert found["evaluate seed 0: harmonious"].left == pytest.approx(40, abs=1.5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _jobs(experiment)["train seed 0: harmonious"].state == "waiting"


def test_a_program_on_another_host_runs_while_it_writes(experiment: Experiment, write: Callable[..., Path]) -> None:
    place = f"{SEED}/logs/harmonious.train.log"
    write(place, "train.log", 2000, 30, "Starting trainer...", host="node7")
    job = _jobs(experiment)["train seed 0: harmonious"]
    assert (job.state, job.host, job.alive) == ("running", "node7", False)
    write(place, "train.log", 2000, 1000, "Starting trainer...", host="node7")
    assert _jobs(experiment)["train seed 0: harmonious"].state == "waiting"


def test_the_last_attempt_counts(experiment: Experiment, write: Callable[..., Path]) -> None:
    log = write("world/base/logs/icl.log", "", 100, 0)
    log.write_text("begun 2026-11-28T10:00:00+00:00, PID 1 on a\nCUDA out of memory.\nexit code 1\n" + log.read_text())
    assert _jobs(experiment)["probe world"].state == "waiting"
    with log.open("a") as stream:
        stream.write("KeyError: 'a'\nexit code 1\n")
    assert _jobs(experiment)["probe world"].reason == "KeyError: 'a'"


def test_hours_left(experiment: Experiment, write: Callable[..., Path], tmp_path: Path) -> None:
    for place, seconds in (("world/base/logs/icl", 100), ("world/base/logs/ift", 50), ("world/base/logs/explain", 30)):
        write(f"{place}.log", "evaluate.log", seconds, 0)
        (experiment.root / place).mkdir()
    assert read_status(experiment).hours is None
    assert "how long train takes" in read_status(experiment).basis
    write(f"{SEED}/logs/harmonious.train.log", "train.log", 200, 0)
    (experiment.root / SEED / "tuned").mkdir()
    (experiment.root / SEED / "tuned/harmonious.checked.txt").touch()
    found = read_status(experiment)
    # Three trainings, four evaluations like the base model's, four groups of 5 s, and the report of a minute; one at a time.
    assert found.hours is not None
    assert found.hours * 3600 == pytest.approx(3 * 200 + 4 * 50 + 4 * 5 + 60, rel=0.02)


def test_what_is_new_is_followed_until_all_is_done(experiment: Experiment, write: Callable[..., Path]) -> None:
    lines = follow(experiment, 0.1)
    assert "0 of 16 done" in next(lines)
    log = write("world/base/logs/icl.log", "", 10, 0)
    with log.open("a") as stream:
        stream.write("KeyError: 'a'\nexit code 1\n")
    assert next(lines).startswith("probe world: KeyError: 'a'; log: ")
    next(lines)
    for job in read_status(experiment).jobs:
        job.output.mkdir(parents=True)
    assert next(lines) == "all done"
    assert list(lines) == []


def test_it_stops_with_the_program_that_started_it(experiment: Experiment, tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'consistency', *sys.argv[1:]]);"
        " print(p.pid, flush=True); sys.stdin.read()"
    )
    arguments = ["status", str(experiment.path), "--root", str(experiment.root), "--follow", "1"]
    head = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert head.stdout is not None
    assert head.stderr is not None
    follower = int(head.stdout.readline())
    assert b"0 of 16 done" in head.stderr.readline()
    head.kill()
    head.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{follower}").exists() and "Z" not in Path(f"/proc/{follower}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_command(experiment: Experiment, call: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    code, out, _ = call("status", experiment.path, "--root", experiment.root)
    assert code == 0
    assert out.splitlines()[0].split() == ["e", "done", "running", "waiting", "failed"]
    code, out, _ = call("status", experiment.path, "--root", experiment.root, "--set", "seeds=[3]", "--json")
    assert code == 0
    assert len(json.loads(out)["jobs"]) == 10
    code, out, error = call("status", tmp_path / "none.yaml")
    assert (code, out) == (2, "")
    assert "none.yaml" in error


def test_it_needs_no_torch(experiment: Experiment) -> None:
    code = (
        "import sys; from consistency.cli import main\n"
        "try: main()\n"
        "except SystemExit: print({'torch', 'snakemake', 'lm_eval'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "status", str(experiment.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_folder_without_permission_or_logs_that_are_folders(experiment: Experiment) -> None:
    (experiment.root / "world/base/logs/icl.log").mkdir(parents=True)
    assert _jobs(experiment)["probe world"].state == "waiting"
    shutil.rmtree(experiment.root)
    assert _jobs(experiment)["probe world"].state == "waiting"
