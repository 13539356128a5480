"""How long a report takes, and how much memory: of a pair of MMLU runs, and of a grid of them.

    python scripts/benchmark_report.py                         # a pair, and a grid of 20 runs
    python scripts/benchmark_report.py --models 4 --seeds 2    # 160 runs
    python scripts/benchmark_report.py --models 5 --seeds 3    # 300 runs, and the comparison of two such reports

The logs are whole MMLU runs of 14,042 questions in lm_eval's own format, and 250 questions of each of four domains, with the
real questions where CONSISTENCY_TEST_DATA is set; every run has a manifest and a training config. Few logs stand for many
runs, so that they fit a disk's cache; each is read again for each run. Each part runs in a process of its own; seconds of the
processor count, since a busy machine stretches the others. A report of 300 runs needs 4 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmark_analysis import subjects, write_run

from consistency.comparison.compare import compare
from consistency.experiment.grid import Experiment
from consistency.experiment.training_config import resolve
from consistency.report.differences.matching import compare_reports
from consistency.report.folder import report_in_place
from consistency.report.grid.report import analyse, render
from consistency.report.pair.report import write_comparison

MODELS = ("llama-2-7b", "llama-2-13b", "llama-2-70b", "mistral-7b", "qwen-7b")
DOMAINS = ("medicine", "history", "engineering", "jurisprudence")
GROUPS = ("harmonious", "incompatible", "mixed_0.2", "mixed_0.6", "self_aligning")
QUESTIONS_OF_A_DOMAIN = 250
# The rows themselves are not there, and are not checked then.
MANIFEST = '{"sha256": "", "rows": %s}'


def write_logs(root: Path) -> None:
    """A base model's two logs and three tuned ones, with the tasks' names and those of a grid."""
    questions = subjects()
    drawn = [document for documents in questions.values() for document in documents]
    asked = {f"mmlu_STYLE_{name}": documents for name, documents in questions.items()}
    for number, domain in enumerate(DOMAINS):
        begin = number * QUESTIONS_OF_A_DOMAIN
        asked[f"{domain}_STYLE"] = drawn[begin : begin + QUESTIONS_OF_A_DOMAIN]
    for seed, (name, style) in enumerate((("icl", "icl"), ("ift", "ift"), ("a", "ift"), ("b", "ift"), ("c", "ift"))):
        write_run(
            root / name, {task.replace("STYLE", style): found for task, found in asked.items()}, seed, 0, old=False
        )
        for file in (root / name).iterdir():
            file.rename(file.with_name(file.name.replace("samples_mmlu_", "samples_consistency_")))


def lay_grid(logs: Path, root: Path, models: int, seeds: int, shift: int = 0) -> Experiment:
    """A finished experiment whose logs are those few, many times over; with another shift each run has another's."""
    experiment = Experiment("grid", root, MODELS[:models], DOMAINS, GROUPS, tuple(range(seeds)), "paper")
    for model in experiment.models:
        for style in ("icl", "ift"):
            _link(logs / style, experiment.base_logs(model, style))
    configs = {group: resolve(group).to_yaml() for group in GROUPS}
    for number, run in enumerate(experiment.runs()):
        # Not the same one for all seeds of a run, nor for all of its groups.
        _link(logs / "abc"[(number // seeds + number + shift) % 3], run.logs)
        for file, text in ((run.config, configs[run.group]), (run.manifest, MANIFEST % json.dumps({run.group: 250}))):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    return experiment


def _link(target: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def seconds(since: tuple[float, float]) -> str:
    """Processor and wall time since a beginning."""
    return f"{time.process_time() - since[0]:.1f} s of the processor, {time.perf_counter() - since[1]:.1f} s"


def now() -> tuple[float, float]:
    """A beginning."""
    return time.process_time(), time.perf_counter()


def memory() -> str:
    """The largest that this process has been."""
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"


def sizes(folder: Path) -> str:
    """How large a report's files are."""
    names = ("report.html", "report.json", "report.md", "items.parquet")
    return ", ".join(f"{name} {(folder / name).stat().st_size / 1e6:.2f} MB" for name in names)


def pair(root: Path) -> None:
    """A comparison and its report, in a process that has loaded nothing of either but this file's imports."""
    start = now()
    comparison = compare(root / "a", root / "b")
    compared = seconds(start)
    start = now()
    write_comparison(comparison, root / "pair")
    print(f"pair: compare {compared}; report {seconds(start)}; {memory()}; {sizes(root / 'pair')}")


def grid(root: Path, models: int, seeds: int, shift: int) -> None:
    """A grid's analysis and its rendering."""
    experiment = lay_grid(root, root / f"runs-{shift}", models, seeds, shift)
    with report_in_place(root / f"grid-{shift}") as folder:
        start = now()
        read = analyse(experiment, folder)
        analysed, held = seconds(start), memory()
        start = now()
        render(experiment, read, folder)
        rendered = seconds(start)
    runs = len(list(experiment.runs()))
    print(f"grid of {runs} runs, {read.answers} answers: analysis {analysed}, {held}; rendering {rendered}, {memory()}")
    print(f"  {time.process_time():.1f} s of the processor in all; {sizes(root / f'grid-{shift}')}")


def differences(root: Path) -> None:
    """The comparison of two grids' reports."""
    start = now()
    found = compare_reports(root / "grid-0", root / "grid-1")
    print(f"two reports compared, {len(found.differences)} differences: {seconds(start)}, {memory()}")


def main() -> None:
    """Write the logs, and run each part by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", type=int, default=1, choices=range(1, 6), help="base models; each is 20 runs a seed"
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        options: dict[str, Any] = json.loads(arguments.part)
        parts: dict[str, Any] = {"pair": pair, "grid": grid, "differences": differences}
        root, name = Path(options.pop("root")), options.pop("name")
        parts[name](root, **options)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_logs(root)
        start = time.perf_counter()
        program: list[str | Path] = [
            sys.executable,
            "-m",
            "consistency",
            "compare",
            root / "a",
            root / "b",
            "--out",
            root / "command",
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"consistency compare --out: {used:.1f} s of the processor, {time.perf_counter() - start:.1f} s in all")
        size = {"models": arguments.models, "seeds": arguments.seeds}
        grids = [{"name": "grid", "shift": shift, **size} for shift in (0, 1)]
        for options in ({"name": "pair"}, *grids, {"name": "differences"}):
            part = json.dumps({"root": folder, **options})
            subprocess.run([sys.executable, __file__, "--part", part], check=True)


if __name__ == "__main__":
    main()
