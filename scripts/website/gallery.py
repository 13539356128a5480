"""The gallery: pages that the commands of this project write, from data that ships with it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


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


EXAMPLES = (
    Example(
        "compare",
        "Two evaluations compared",
        "The base model of the embedded world before and after a fine-tune on 354 medical questions: what changed, whether it "
        "is chance, and every question.",
        ("consistency compare docs/notebook_logs/before.zip docs/notebook_logs/after.zip --by subject --out compare",),
    ),
    Example(
        "many",
        "Many runs compared with one",
        "Three fine-tunes of the same model on three groups of training questions against the base model, 1,450 questions each.",
        (
            "python scripts/world_letters.py docs/results/world/letters.npz --logs runs",
            "consistency compare runs/base.jsonl runs/harmonious.jsonl runs/self_aligning.jsonl runs/incompatible.jsonl "
            "--out many",
        ),
    ),
    Example(
        "watch",
        "A watched training",
        "Qwen2.5-Coder-1.5B while it is trained on answers that contradict it: the alarm comes at step 4 of 15.",
        ("consistency watch docs/results/qwen2.5-coder-1.5b/watch/incompatible --out watch",),
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
    for name in ("docs", "scripts"):
        (work / name).symlink_to(root / name)
    environment = os.environ | {"PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
    for example in EXAMPLES:
        for command in example.commands:
            _run(command, work, environment)
        (work / example.name).rename(out / example.name)
        yield example


def _run(command: str, folder: Path, environment: dict[str, str]) -> None:
    program, *words = shlex.split(command)
    start = [sys.executable, "-m", "consistency"] if program == "consistency" else [sys.executable]
    ran = subprocess.run([*start, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=600)
    if ran.returncode:
        raise RuntimeError(f"{command}\nended with {ran.returncode}:\n{ran.stderr[-3000:]}")
