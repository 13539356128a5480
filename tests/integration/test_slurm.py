"""The slurm profile on a real Slurm of two nodes: a job is cancelled, a node disappears, and nothing trains twice."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from consistency.support.resources import shipped

pytest.importorskip("snakemake_executor_plugin_slurm")
pytest.importorskip("axolotl")

SCRIPT = Path(__file__).with_name("slurm.sh")
PROFILE = shipped("scripts/Snakefile").parent / "profiles" / "slurm"
NEEDED = ("slurmctld", "slurmd", "slurmdbd", "munged", "mariadbd", "sacct")
GROUPS = ("harmonious", "incompatible")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.geteuid() != 0:
        why = f"no {', '.join(missing)}" if missing else "it starts as root only"
        pytest.skip(f"needs Slurm ({why}): apt-get install slurm-wlm slurmdbd munge mariadb-server")
    folder = tmp_path_factory.mktemp("slurm")
    # pytest's folders are private, and munged refuses a socket that other users could not reach.
    for parent in (folder, folder.parent, folder.parent.parent):
        parent.chmod(0o755)
    subprocess.run(["bash", SCRIPT, "start", folder], check=True, timeout=120)
    yield folder
    subprocess.run(["bash", SCRIPT, "stop", folder], check=True, timeout=60)


class Grid:
    """The grid in a folder, and the Slurm that runs it."""

    def __init__(self, slurm: Path, folder: Path) -> None:
        self.slurm, self.folder = slurm, folder
        settings = yaml.safe_load((shipped("scripts/experiments") / "demo.yaml").read_text(encoding="utf-8"))
        flags = yaml.safe_load((shipped("scripts/Snakefile").parent / "embedded.yaml").read_text(encoding="utf-8"))[
            "lm_eval"
        ]
        settings |= {"name": "slice", "groups": list(GROUPS), "lm_eval": f"{flags} --limit 40"}
        (folder / "slice.yaml").write_text(yaml.safe_dump(settings))
        self.environment = {**os.environ, "SLURM_CONF": str(slurm / "slurm.conf"), "USER": "root"}
        self.seed = folder / "runs/slice/world/medicine/seed-0"

    def start(self) -> "subprocess.Popen[bytes]":
        # The cluster has a core per node; the rest is how often a test asks, which a cluster would resent.
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            shipped("scripts/Snakefile"),
            "--configfile",
            "slice.yaml",
        ]
        command += ["--profile", PROFILE, "--seconds-between-status-checks", "5"]
        command += ["--slurm-init-seconds-before-status-checks", "5", "--latency-wait", "5", "--set-threads"]
        command += [f"{rule}=1" for rule in ("probe", "base_zero_shot", "train", "evaluate")]
        log = (self.folder / "grid.log").open("ab")
        self.head = subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=log, stderr=log)
        return self.head

    def end(self) -> None:
        """Kill the head, which leaves its jobs to themselves, and cancel these."""
        self.head.kill()
        self.head.wait()
        if jobs := [job for job, *_ in self.ask("squeue", "-h", "-o", "%i")]:
            self.ask("scancel", *jobs)

    def ask(self, *command: str) -> list[list[str]]:
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True)
        return [line.split("|") for line in done.stdout.splitlines()]

    def running(self, rule: str) -> dict[str, tuple[str, str]]:
        """Group to job and node, of the jobs of a rule that run."""
        found = {}
        for job, node, comment in self.ask("squeue", "-h", "-t", "R", "-o", "%i|%N|%k"):
            if comment.startswith(f"rule_{rule}_"):
                found[next(group for group in GROUPS if group in comment)] = (job, node)
        return found

    def ended(self, rule: str) -> Counter[tuple[str, str]]:
        """How often a group's job ended in which state, by Slurm's accounting."""
        rows = self.ask("sacct", "-X", "-n", "-P", "-D", "-o", "comment,state")
        jobs = [(comment, state.split()[0]) for comment, state in rows if comment.startswith(f"rule_{rule}_")]
        return Counter((next(group for group in GROUPS if group in comment), state) for comment, state in jobs)

    def models(self) -> dict[str, tuple[int, int]]:
        """Inode and time of each group's weights."""
        files = {group: (self.seed / "tuned" / group / "model.safetensors").stat() for group in GROUPS}
        return {group: (state.st_ino, state.st_mtime_ns) for group, state in files.items()}

    def node(self, what: str, name: str) -> None:
        subprocess.run(["bash", SCRIPT, what, self.slurm, name], check=True, timeout=60)


def _until(grid: "subprocess.Popen[bytes]", reached: object, seconds: float, log: Path) -> None:
    deadline = time.monotonic() + seconds
    while not reached():  # type: ignore[operator]
        assert grid.poll() is None, log.read_text()[-6000:]
        assert time.monotonic() < deadline, log.read_text()[-6000:]
        time.sleep(0.5)


@pytest.mark.timeout(1800)
def test_a_cancelled_job_and_a_lost_node_train_nothing_twice(
    slurm: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    grid = Grid(slurm, tmp_path)
    log = tmp_path / "grid.log"

    # Both groups train, each on a node.
    head = grid.start()
    request.addfinalizer(grid.end)
    begun = [grid.seed / "tuned" / f"{group}.partial" / "debug.log" for group in GROUPS]
    _until(head, lambda: len(grid.running("train")) == 2 and all(path.exists() for path in begun), 600, log)
    jobs = grid.running("train")
    assert {node for _, node in jobs.values()} == {"n1", "n2"}
    cancelled, lost = jobs["harmonious"], jobs["incompatible"]
    grid.node("lose", lost[1])
    grid.ask("scancel", cancelled[0])
    _until(head, lambda: ("incompatible", "NODE_FAIL") in grid.ended("train"), 120, log)
    grid.node("node", lost[1])

    # The head is killed while a tuned model is evaluated.
    _until(head, lambda: grid.running("evaluate"), 600, log)
    grid.end()
    _until(grid.start(), lambda: (tmp_path / "runs/slice/report/report.html").exists(), 900, log)

    ends = grid.ended("train")
    assert ends["harmonious", "CANCELLED"] == 1
    assert ends["incompatible", "NODE_FAIL"] == 1
    assert {group: ends[group, "COMPLETED"] for group in GROUPS} == dict.fromkeys(GROUPS, 1), ends

    # And again: nothing is left to do.
    before = grid.models()
    assert grid.start().wait(120) == 0
    assert grid.models() == before
    assert "Nothing to be done" in log.read_text()
