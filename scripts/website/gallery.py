"""The gallery: pages that the commands of this project write, from data that ships with it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_DEMO = "docs/results/demo"
_TUNED = ("harmonious", "incompatible", "self_aligning")
_SEED = "runs/demo/world/medicine/seed-0/logs"
_BASE = "runs/demo/world/base/logs"
_UNPACK = "python scripts/slim_logs.py unpack"
_CHAT = "--tokenizer consistency/world/base_model --template model"


@dataclass(frozen=True)
class Example:
    """A page of the gallery.

    Attributes
    ----------
    name : str
        Its folder.
    title, text : str
        What it is, and what it is made from.
    commands : tuple of str
        What writes it, from the top of the repository into the folder ``NAME``.
    """

    name: str
    title: str
    text: str
    commands: tuple[str, ...]


_LOGS_OF_DEMO = (
    f"{_UNPACK} {_DEMO}/icl.npz {_BASE}/icl",
    f"{_UNPACK} {_DEMO}/ift.npz {_BASE}/ift {_CHAT}",
    *(f"{_UNPACK} {_DEMO}/{group}.npz {_SEED}/{group} {_CHAT}" for group in _TUNED),
)
EXAMPLES = (
    Example(
        "compare",
        "Two evaluations compared",
        "The base model of the embedded world before and after a fine-tune on 354 medical questions: what changed, whether it is "
        "chance, and every question.",
        ("consistency compare docs/notebook_logs/before.zip docs/notebook_logs/after.zip --by subject --out compare",),
    ),
    Example(
        "many",
        "Many runs compared with one",
        "Three fine-tunes of the same model, on three groups of training questions, against the base model in the same template.",
        (
            *_LOGS_OF_DEMO,
            f"consistency compare {_BASE}/ift {' '.join(f'{_SEED}/{group}' for group in _TUNED)} --out many",
        ),
    ),
    Example(
        "watch",
        "A watched training",
        "Qwen2.5-Coder-1.5B while it is trained on answers that contradict it; the alarm comes at step 4 of 15.",
        ("consistency watch docs/results/qwen2.5-coder-1.5b/watch/incompatible --out watch",),
    ),
    Example(
        "grid",
        "The report of an experiment",
        "A run of `make demo`: one domain, three groups of training questions, probe, training and evaluation.",
        (*_LOGS_OF_DEMO, "consistency report scripts/experiments/demo.yaml --root runs/demo --out grid"),
    ),
)


def write_examples(root: Path, out: Path, work: Path) -> Iterator[Example]:
    """Write the pages, each in its folder; each example as it is done.

    Parameters
    ----------
    root : Path
        The top of the repository.
    out : Path
        Folder of the pages.
    work : Path
        An empty folder in which the commands run.

    Raises
    ------
    RuntimeError
        If a command fails.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in ("docs", "scripts", "consistency", "lm_eval_tasks", "axolotl_configs"):
        (work / name).symlink_to(root / name)
    environment = os.environ | {"PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
    done: set[str] = set()
    for example in EXAMPLES:
        for command in example.commands:
            if command not in done:
                _run(command, work, environment)
                done.add(command)
        (work / example.name).rename(out / example.name)
        yield example


def _run(command: str, folder: Path, environment: dict[str, str]) -> None:
    program, *words = shlex.split(command)
    start = [sys.executable, "-m", "consistency"] if program == "consistency" else [sys.executable]
    ran = subprocess.run([*start, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    if ran.returncode:
        raise RuntimeError(f"{command}\nended with {ran.returncode}:\n{ran.stderr[-3000:]}")
