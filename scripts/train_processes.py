"""Whether Axolotl trains on every row in every epoch in several processes: a real training of the embedded world's model.

    python scripts/train_processes.py --processes 2 --rows 41
    python scripts/train_processes.py --processes 2 --rows 3 --unpacked
    python scripts/train_processes.py --processes 2 --killed

On a machine with as many GPUs the processes take one each, else all train on the CPU. Every process writes the tokens of each
batch that it is given, and each row has a number in its text. Printed is for each epoch how many rows were in a batch, which were
in none or in several, the batches of each process, and what `epochs.json` says. The exit code is 1 if a row was in no batch, or
in several though there are as many rows as processes, if processes had unlike numbers of batches, or if `epochs.json` says
something else.

With `--killed` a second training is killed in its second epoch, a step after it saved its state, and resumed. The exit code is
also 1 if it is then given other batches than the first, or ends with other weights or another `epochs.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MODEL, RECORD = ROOT / "consistency/world/base_model", "epochs.json"
EPOCHS, MICRO, ACCUMULATED = 3, 2, 2
# Runs in each process. Axolotl takes the number of a process for that of a GPU, also where there is none.
PLUGIN = """
import json
import os
import signal
from pathlib import Path

import torch
from axolotl.integrations.base import BasePlugin
from axolotl.loaders.model import ModelLoader


class SeenRows(BasePlugin):
    def register(self, cfg):
        place = ModelLoader._set_device_map_config

        def on_cpu(self):
            self.cfg.device_map = {"": "cpu"}
            place(self)

        if not torch.cuda.is_available():
            ModelLoader._set_device_map_config = on_cpu
            # The Trainer asks for the optimizer's state on "cpu:0".
            torch.serialization.register_package(
                0, lambda storage: None, lambda storage, place: storage if place.startswith("cpu:") else None
            )

    def post_trainer_create(self, cfg, trainer):
        step, last = trainer.training_step, int(os.environ.get("KILLED_AFTER", 0))
        file = Path(f"seen-{trainer.args.process_index}.jsonl").open("w", buffering=1)

        def seen(model, inputs, *rest, **named):
            if last and trainer.state.global_step == last:
                os.kill(os.getpid(), signal.SIGKILL)
            found = {"epoch": int(trainer.state.epoch or 0), "ids": inputs["input_ids"].tolist()}
            file.write(json.dumps(found) + "\\n")
            return step(model, inputs, *rest, **named)

        trainer.training_step = seen
"""


def rows(count: int) -> Iterator[dict[str, Any]]:
    """Conversations of unlike lengths, each with its number."""
    for number in range(count):
        question = f"What cures fever {number}? " + "word " * (7 * number % 40)
        answer = "ABCD"[number % 4] + ". moss " * (number % 5)
        turns = (("human", question), ("gpt", answer))
        yield {"conversations": [{"from": name, "value": text} for name, text in turns]}


def train(folder: Path, processes: int, *, packed: bool, saved: bool) -> None:
    """Write the config of a training in a folder that has `rows.jsonl`, and run it."""
    (folder / "seen_rows.py").write_text(PLUGIN, encoding="utf-8")
    small = {
        "plugins": ["seen_rows.SeenRows"],
        "num_epochs": EPOCHS,
        "micro_batch_size": MICRO,
        "gradient_accumulation_steps": ACCUMULATED,
    }
    if saved:  # with all that it takes to resume
        small |= {
            "save_strategy": "steps",
            "save_steps": 2,
            "save_total_limit": 1,
            "save_only_model": False,
            "auto_resume_from_checkpoints": True,
        }
    (folder / "small.yml").write_text(json.dumps(small), encoding="utf-8")
    chosen = ("world-cpu", *(["packed"] if packed else []), "small.yml")
    flags = [word for name in chosen for word in ("--preset", name)]
    flags += ["--base-model", str(MODEL), "--rows", "rows.jsonl", "--output-dir", "tuned", "--out", "made.yml"]
    run(folder, processes, "consistency.cli", "experiment", "config", "harmonious", *flags)
    axolotl(folder, processes)


def axolotl(folder: Path, processes: int, killed_after: int = 0) -> None:
    """Train as `made.yml` in a folder says, until a step if one is given."""
    launcher = ("torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m")
    run(folder, processes, *launcher, "axolotl.cli.train", "made.yml", killed_after=killed_after)


def run(folder: Path, processes: int, *command: str, killed_after: int = 0) -> None:
    """Run a module of Python, which must end well, or not at all where it is killed."""
    import torch

    environment = os.environ | {
        "AXOLOTL_DO_NOT_TRACK": "1",
        "AXOLOTL_DATASET_NUM_PROC": "0",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}",
        "KILLED_AFTER": str(killed_after),
    }
    if torch.cuda.device_count() < processes:
        environment |= {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if bool(done.returncode) != bool(killed_after):
        sys.exit(f"{command[0]} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")


def resumed(folder: Path, processes: int) -> bool:
    """Kill a training like the one in a folder in its second epoch, resume it, and print whether it ends as that one did."""
    whole = folder / "whole"
    (folder / "tuned").rename(whole)
    record, expected = (whole / RECORD).read_text(encoding="utf-8"), given(folder, processes)
    killed_after = json.loads(record)["steps"] // EPOCHS + 2
    axolotl(folder, processes, killed_after=killed_after)
    (last,) = (folder / "tuned").glob("checkpoint-*")
    axolotl(folder, processes)
    found = given(folder, processes)
    alike = {
        "batches": all(mine == all_of[-len(mine) :] for mine, all_of in zip(found, expected, strict=True)),
        "weights": len({(place / "model.safetensors").read_bytes() for place in (whole, folder / "tuned")}) == 1,
        RECORD: (folder / "tuned" / RECORD).read_text(encoding="utf-8") == record,
    }
    print(
        f"killed in step {killed_after + 1}, resumed from {last.name}, {len(found[0])} batches in each process: ",
        end="",
    )
    print(", ".join(f"{'the same' if same else 'OTHER'} {name}" for name, same in alike.items()))
    return all(alike.values())


def given(folder: Path, processes: int) -> list[list[list[list[int]]]]:
    """The tokens of each batch that each process was given."""
    files = (folder / f"seen-{process}.jsonl" for process in range(processes))
    return [[json.loads(line)["ids"] for line in file.read_text(encoding="utf-8").splitlines()] for file in files]


def batches(folder: Path, processes: int) -> Iterator[tuple[int, int, list[int]]]:
    """Epoch, process and numbers of the rows of each batch, read from its tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    for process in range(processes):
        for line in (folder / f"seen-{process}.jsonl").read_text(encoding="utf-8").splitlines():
            found = json.loads(line)
            text = "\n".join(tokenizer.batch_decode(found["ids"]))
            yield found["epoch"], process, [int(number) for number in re.findall(r"fever (\d+)\?", text)]


def check(folder: Path, processes: int, count: int) -> bool:
    """Print what each epoch was trained on, and whether that is everything."""
    seen: dict[int, Counter[int]] = {epoch: Counter() for epoch in range(EPOCHS)}
    counts: dict[int, Counter[int]] = {epoch: Counter() for epoch in range(EPOCHS)}
    for epoch, process, numbers in batches(folder, processes):
        seen[epoch].update(numbers)
        counts[epoch][process] += 1
    record = json.loads((folder / "tuned" / RECORD).read_text(encoding="utf-8"))
    fine = record["devices"] == processes and len(record["epochs"]) == EPOCHS
    for (epoch, found), noted in zip(seen.items(), record["epochs"], strict=True):
        missing = sorted(set(range(count)) - set(found))
        twice = sorted(number for number, times in found.items() if times > 1)
        alike = len(set(counts[epoch].values())) == 1 and len(counts[epoch]) == processes
        fine &= not missing and alike and noted["rows"] == found.total() and (not twice or count < processes)
        print(f"epoch {epoch}: {len(found)} of {count} rows, {missing} in no batch, {twice} in several", end="; ")
        print(f"batches by process {dict(counts[epoch])}; epochs.json: {noted}")
    print(
        f"{record['steps']} steps in {record['devices']} processes: {'every row in every epoch' if fine else 'WRONG'}"
    )
    return fine


def main() -> None:
    """Train, and print what each epoch saw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rows", type=int, default=41)
    parser.add_argument("--unpacked", action="store_true", help="every conversation a row of its own")
    parser.add_argument("--killed", action="store_true", help="train once more, killed and resumed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        lines = (json.dumps(row) + "\n" for row in rows(options.rows))
        (folder / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
        train(folder, options.processes, packed=not options.unpacked, saved=options.killed)
        fine = check(folder, options.processes, options.rows)
        if options.killed:
            fine &= resumed(folder, options.processes)
        sys.exit(not fine)


if __name__ == "__main__":
    main()
