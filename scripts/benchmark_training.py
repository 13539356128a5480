"""Speed and loss of several ways to train the same rows on one device: tokens of content per second, and the loss curve.

    python scripts/benchmark_training.py MODEL groups/incompatible.jsonl --out benchmark
    python scripts/benchmark_training.py MODEL rows.jsonl --out benchmark --recipe padded --recipe dynamic --cpu

A recipe is a list of knobs joined by ``+``, presets and a few more, laid over the config of a group; each is one run of
``axolotl train``. ``padded`` is the paper's: every example padded to 2,048 tokens. Its repetition with another seed shows
how far apart two curves are that differ in nothing but the order of the examples. The first steps, in which kernels are
compiled and memory is taken, do not count. A recipe that fails is reported with the end of its log, and the others go on.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any

import yaml

from consistency.experiment.packing import row_lengths, split
from consistency.experiment.presets import preset_names, read_preset
from consistency.experiment.training_config import PAPER_BATCH
from consistency.support.files import write_atomically
from consistency.support.resources import shipped
from consistency.tasks.tokenizers import load_tokenizer

# Recipes besides the presets of axolotl_configs. They change the batch or nothing, so they are not presets.
KNOBS: dict[str, dict[str, Any]] = {
    "dynamic": {},
    "flat": {"batch_flattening": True},
    "eager": {"attn_implementation": "eager"},
}
RECIPES = (
    *("padded", "padded@43", "dynamic", "grouped", "packed", "packed+liger", "packed+liger+compiled"),
    *(
        "packed+liger+flex",
        "liger",
        "liger+kept",
        "packed+liger+kept",
        "packed+liger+kept+autocast",
        "packed+liger+float32",
    ),
)


def config(recipe: str, arguments: argparse.Namespace, mean: float) -> dict[str, Any]:
    """The resolved config of a recipe: the group's, the knobs', and what the benchmark itself sets."""
    names, _, seed = recipe.partition("@")
    found: dict[str, Any] = yaml.safe_load((shipped("axolotl_configs") / "harmonious.yml").read_text(encoding="utf-8"))
    found["datasets"][0]["path"] = str(arguments.rows.resolve())
    found |= {
        "base_model": str(arguments.model.resolve()),
        "sequence_len": arguments.sequence_len,
        "max_steps": arguments.max_steps,
        "num_epochs": 100,
        "learning_rate": arguments.learning_rate,
        "seed": int(seed or found["seed"]),
        "micro_batch_size": arguments.micro_batch_size,
    }
    if arguments.cpu:
        found |= {"bf16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
    plugins = ["step_meter.StepMeter"]
    for name in names.split("+"):
        knob = KNOBS[name] if name in KNOBS else read_preset(name)
        plugins += knob.get("plugins", [])
        found |= knob
    found |= dict(setting for name, setting in arguments.settings if name in (recipe, "all"))
    micro = found["micro_batch_size"]
    if found["sample_packing"]:
        micro, steps = split(arguments.batch, mean, found["sequence_len"], micro)
        found |= {"micro_batch_size": micro, "gradient_accumulation_steps": steps}
    elif arguments.batch % micro:
        sys.exit(f"a micro batch of {micro} does not divide the batch of {arguments.batch}")
    else:
        found["gradient_accumulation_steps"] = arguments.batch // micro
    found["plugins"] = plugins
    return found


def train(recipe: str, settings: dict[str, Any], folder: Path, seconds: float) -> tuple[list[dict[str, Any]], str]:
    """Run one recipe, and return its steps and, if it failed, the end of its log."""
    folder.mkdir(parents=True)
    settings |= {"dataset_prepared_path": str(folder / "prepared"), "output_dir": str(folder / "tuned")}
    (folder / "config.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    environment = os.environ | {
        "AXOLOTL_DO_NOT_TRACK": "1",
        "AXOLOTL_DATASET_NUM_PROC": "0",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")])),
    }
    command = [sys.executable, "-m", "axolotl.cli.main", "train", str(folder / "config.yml"), "--launcher", "python"]
    log = folder / "log"
    with log.open("w", encoding="utf-8") as stream:
        try:
            done = subprocess.run(
                command, env=environment, cwd=folder, stdout=stream, stderr=stream, timeout=seconds, check=False
            )
            failed = "" if done.returncode == 0 else f"exit code {done.returncode}"
        except subprocess.TimeoutExpired:
            failed = f"not done after {seconds:.0f} s"
    written = folder / "tuned" / "steps.jsonl"
    steps = [json.loads(line) for line in written.read_text().splitlines()] if written.is_file() else []
    if not failed and not steps:
        failed = "no step was taken"
    for weights in (folder / "tuned").glob("*.safetensors"):
        weights.unlink()
    return steps, f"{failed}\n{log.read_text(errors='replace')[-3000:]}" if failed else ""


def summarise(
    recipe: str, settings: dict[str, Any], steps: Sequence[dict[str, Any]], failed: str, warm_up: int
) -> dict[str, Any]:
    """What a recipe gave, over the steps after the first `warm_up`."""
    timed = [step for step in steps if step["step"] > warm_up]
    result: dict[str, Any] = {
        "recipe": recipe,
        "micro_batch_size": settings["micro_batch_size"],
        "gradient_accumulation_steps": settings["gradient_accumulation_steps"],
        "failed": failed,
        "steps": list(steps),
    }
    if timed:
        seconds = sum(step["seconds"] for step in timed)
        result |= {f"{name}_per_s": sum(step[name] for step in timed) / seconds for name in ("content", "labels")}
        result |= {
            "timed_steps": len(timed),
            "median_step_s": median(step["seconds"] for step in timed),
            "padding": 1 - sum(step["content"] for step in timed) / sum(step["places"] for step in timed),
            "conversations_per_step": fmean(step["conversations"] for step in timed),
            "last_loss": fmean(step.get("loss", math.nan) for step in timed[-5:]),
            "peak_gib": max(step.get("gib", 0.0) for step in steps),
        }
    return result


def compare(results: Sequence[dict[str, Any]]) -> None:
    """Add to each result how fast it is, and how far its losses are, against the first recipe."""
    first = results[0]
    base = {step["step"]: step.get("loss", math.nan) for step in first["steps"]}
    for result in results:
        if "content_per_s" in first and "content_per_s" in result:
            result["speed"] = result["content_per_s"] / first["content_per_s"]
        gaps = [
            step["loss"] - base[step["step"]] for step in result["steps"] if step["step"] in base and "loss" in step
        ]
        if gaps:
            result["loss_rms_gap"] = math.sqrt(fmean(gap * gap for gap in gaps))
            result["loss_mean_gap"] = fmean(gaps)


def draw(results: Sequence[dict[str, Any]], out: Path, device: str) -> None:
    """Losses over the steps, a line a recipe, and content per second as bars."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    drawn = [result for result in results if result["steps"]]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.6), width_ratios=(3, 2), layout="constrained")
    for result in drawn:
        steps = [step for step in result["steps"] if "loss" in step]
        left.plot(
            [step["step"] for step in steps],
            [step["loss"] for step in steps],
            label=result["recipe"],
            color="black" if result["recipe"].startswith("padded") else None,
            linestyle=":" if "@" in result["recipe"] else "-",
            linewidth=1.2,
        )
    left.set(xlabel="optimizer step", ylabel="loss (nats per token)", title=f"Loss, {device}")
    left.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, -0.13), frameon=False)
    fast = [result for result in drawn if "content_per_s" in result]
    bars = right.barh([result["recipe"] for result in fast], [result["content_per_s"] / 1e3 for result in fast])
    right.bar_label(bars, [f"{result['speed']:.2f}×" if "speed" in result else "" for result in fast], padding=3)
    right.invert_yaxis()
    right.margins(x=0.2)
    right.set(xlabel="thousand tokens of content per second", title="Speed, and ratio to the first recipe")
    figure.savefig(out / "training.svg")
    figure.savefig(out / "training.png", dpi=120)
    plt.close(figure)


def report(results: Sequence[dict[str, Any]], facts: dict[str, Any], out: Path) -> None:
    """Write JSON, CSV and the figure of what has run so far, and print the table."""
    compare(results)
    write_atomically(out / "training.json", json.dumps(facts | {"recipes": list(results)}, indent=1) + "\n")
    columns = (
        *("recipe", "speed", "content_per_s", "labels_per_s", "median_step_s", "padding", "conversations_per_step"),
        *("last_loss", "loss_mean_gap", "loss_rms_gap", "peak_gib", "micro_batch_size", "gradient_accumulation_steps"),
    )
    with (out / "training.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(results)
    draw(results, out, facts["device"])


def line(result: dict[str, Any]) -> str:
    """A result in one line, or why there is none."""
    if result["failed"]:
        return f"{result['recipe']}: {result['failed']}"
    numbers = {
        "content tokens/s": ("content_per_s", ",.0f"),
        "label tokens/s": ("labels_per_s", ",.0f"),
        "× the first": ("speed", ".2f"),
        "padding": ("padding", ".1%"),
        "conversations a step": ("conversations_per_step", ".0f"),
        "last loss": ("last_loss", ".4f"),
        "rms gap of the loss": ("loss_rms_gap", ".4f"),
        "GiB": ("peak_gib", ".1f"),
    }
    shown = [f"{format(result[key], how)} {name}" for name, (key, how) in numbers.items() if key in result]
    return f"{result['recipe']}: {', '.join(shown)}"


def setting(text: str) -> tuple[str, tuple[str, Any]]:
    """``RECIPE:key=value``, the value in YAML."""
    recipe, _, rest = text.partition(":")
    key, found, value = rest.partition("=")
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not RECIPE:key=value")
    return recipe, (key, yaml.safe_load(value))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, help="folder of a model")
    parser.add_argument("rows", type=Path, help="JSONL as `consistency groups` writes it")
    parser.add_argument("--out", type=Path, required=True, help="folder for training.json, .csv, .svg and .png")
    parser.add_argument(
        *("--recipe",),
        dest="recipes",
        action="append",
        help=f"knobs joined by +, of {', '.join([*KNOBS, *preset_names()])}; @N for another seed; may be repeated. "
        f"The first is what the others are compared with. Default: {' '.join(RECIPES)}",
    )
    parser.add_argument("--max-steps", type=int, default=25)
    parser.add_argument("--warm-up", type=int, default=5, help="steps that are not timed")
    parser.add_argument("--batch", type=int, default=PAPER_BATCH, help="conversations in a step")
    parser.add_argument("--micro-batch-size", type=int, default=16)
    parser.add_argument("--sequence-len", type=int, default=2048)
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--set", dest="settings", type=setting, action="append", default=[], metavar="RECIPE:KEY=VALUE")
    parser.add_argument("--cpu", action="store_true", help="no bfloat16, no recomputation")
    parser.add_argument("--limit", type=float, default=180, help="seconds that one recipe may take")
    parser.add_argument("--total", type=float, default=math.inf, help="seconds after which no further recipe starts")
    arguments = parser.parse_args()
    arguments.recipes = arguments.recipes or list(RECIPES)
    for recipe in arguments.recipes:
        known = {*KNOBS, *preset_names()}
        if unknown := set(recipe.partition("@")[0].split("+")) - known:
            parser.error(f"no knob {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
    return arguments


def main() -> int:
    """Run the recipes one after another; exit code 1 if one failed."""
    arguments = parse()
    start = time.monotonic()
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {os.cpu_count()} cores"
    template = (shipped("axolotl_configs") / "chat_templates" / "vicuna.jinja").read_text(encoding="utf-8")
    found = row_lengths(arguments.rows, load_tokenizer(str(arguments.model)), template, arguments.sequence_len)
    facts = {
        "device": device,
        "torch": torch.__version__,
        "model": arguments.model.name,
        "rows": len(found),
        "content_tokens": sum(found),
        "batch": arguments.batch,
        "sequence_len": arguments.sequence_len,
        "warm_up": arguments.warm_up,
    }
    print(f"{device}: {len(found):,} rows of {fmean(found):.0f} tokens on average, {max(found)} at most", flush=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, recipe in enumerate(arguments.recipes):
            settings = config(recipe, arguments, fmean(found))
            spent = time.monotonic() - start
            if spent > arguments.total:
                outcome: tuple[list[dict[str, Any]], str] = [], f"not started: {spent:.0f} s were spent"
            else:
                outcome = train(recipe, settings, Path(scratch) / str(number), arguments.limit)
            results.append(summarise(recipe, settings, *outcome, arguments.warm_up))
            report(results, facts, arguments.out)
            print(f"{line(results[-1])} ({time.monotonic() - start - spent:.0f} s in all)", flush=True)
    return int(any(result["failed"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
