"""Locks on GPUs: each process has its own, a killed one leaves nothing behind. Only nvidia-smi is a stand-in."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "with_lock.py"
GPUS = ("GPU-a", "GPU-b")


@pytest.fixture
def host(tmp_path: Path) -> dict[str, str]:
    """The environment of a host with two GPUs."""
    listing = tmp_path / "nvidia-smi"
    listing.write_text("#!/bin/sh\n" + "".join(f"echo '{index}, {gpu}'\n" for index, gpu in enumerate(GPUS)))
    listing.chmod(0o755)
    shown = {key: value for key, value in os.environ.items() if key != "CUDA_VISIBLE_DEVICES"}
    return {**shown, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TMPDIR": str(tmp_path)}


def _start(host: dict[str, str], count: int, command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, SCRIPT, "--gpus", str(count), "bash", "-c", command],
        env=host,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_no_two_hold_a_gpu_at_the_same_time(host: dict[str, str]) -> None:
    command = "echo $CUDA_VISIBLE_DEVICES $(date +%s.%N); sleep 0.3; date +%s.%N"
    spans: dict[str, list[tuple[float, float]]] = {gpu: [] for gpu in GPUS}
    for run in [_start(host, 1, command) for _ in range(5)]:
        gpu, begin, end = run.communicate(timeout=60)[0].split()
        spans[gpu].append((float(begin), float(end)))
    assert all(spans.values())
    for held in spans.values():
        held.sort()
        assert all(first[1] <= second[0] for first, second in pairwise(held))


def test_a_killed_one_leaves_its_gpus(host: dict[str, str]) -> None:
    holder = _start(host, 2, "echo held; exec sleep 60")
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    waiting = _start(host, 1, "echo $CUDA_VISIBLE_DEVICES")
    time.sleep(0.5)
    assert waiting.poll() is None
    holder.send_signal(signal.SIGKILL)
    assert waiting.communicate(timeout=30)[0].strip() in GPUS
    holder.communicate()


@pytest.mark.parametrize(("shown", "held"), [("1", "GPU-b"), ("GPU-a", "GPU-a"), ("MIG-7", "MIG-7")])
def test_only_visible_gpus_are_taken(host: dict[str, str], shown: str, held: str) -> None:
    run = _start({**host, "CUDA_VISIBLE_DEVICES": shown}, 1, "echo $CUDA_VISIBLE_DEVICES")
    assert run.communicate(timeout=30)[0].strip() == held


def test_what_there_is_not_is_said(host: dict[str, str]) -> None:
    many = _start(host, 3, "true")
    assert "3 GPUs are asked for, 2 are visible" in many.communicate(timeout=30)[1]
    none = _start({**host, "PATH": "/usr/bin:/bin"}, 1, "true")
    assert (
        "expected an NVIDIA GPU, or device: cpu in the experiment, or --config device=cpu"
        in none.communicate(timeout=30)[1]
    )
    assert (many.returncode, none.returncode) == (2, 2)
    assert _start(host, 0, "echo $CUDA_VISIBLE_DEVICES").communicate(timeout=30)[0] == "\n"
