"""What scoring on a CPU gains from pinned threads, torch.compile, bfloat16 and other passes, against `hf` and vLLM on the CPU.

    python scripts/benchmark_cpu.py --model FOLDER --data-dir FOLDER --subjects abstract_algebra virology --limit 20
    python scripts/benchmark_cpu.py --model FOLDER --data-dir FOLDER --ways ours vllm-cached --vllm VENV/bin/python

Every way is a process of its own (`scripts/benchmark_vllm.py`), which scores the same questions. A round runs each way once, in
an order that changes from round to round, so that what else the machine does meets all of them. Printed are medians over the
rounds: the seconds of the whole process and the processor's seconds of it and of all that it started; both for scoring alone;
the median of the ratios of the processor's seconds to those of the first way in the same round, with the smallest and the
largest; and how far the logprobs are from those of the first way. Below is the machine's load before each round. With other
work on the machine the processor's seconds say more than the others, and most with `--threads 1`: threads that wait for
each other are busy, too.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

SCORE = Path(__file__).with_name("benchmark_vllm.py")
VLLM = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
# By name: flags of the script, and variables of the environment.
WAYS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "ours": (("--way", "ours"), {}),
    "ours, pinned": (("--way", "ours"), {"OMP_PROC_BIND": "close", "OMP_PLACES": "cores"}),
    "ours, compiled": (("--way", "ours", "--compile"), {}),
    "ours, bfloat16": (("--way", "ours", "--dtype", "bfloat16"), {}),
    "ours, 512 a pass": (("--way", "ours", "--pass-tokens", "512"), {}),
    "ours, 1024 a pass": (("--way", "ours", "--pass-tokens", "1024"), {}),
    "ours, 2048 a pass": (("--way", "ours", "--pass-tokens", "2048"), {}),
    "hf": (("--way", "hf"), {}),
    "vllm": (("--way", "vllm"), VLLM),
    "vllm-cached": (("--way", "vllm-cached"), VLLM),
}
# What is printed of a way, in seconds: on the clock, and the processor's.
KINDS = ("process", "processor", "scoring", "scoring's processor")
_PR_SET_CHILD_SUBREAPER = 36


def processor_seconds() -> float:
    """The processor's seconds of all processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run(name: str, asked: argparse.Namespace, further: list[str], out: Path) -> dict[str, float]:
    """Score once; the seconds of the process, of the processor, and of scoring."""
    flags, variables = WAYS[name]
    python = asked.vllm if name.startswith("vllm") else sys.executable
    command = [python, str(SCORE), "--dtype", "float32", "--out", str(out), *further, *flags]
    command += ["--model", asked.model, "--data-dir", str(asked.data_dir)]
    began, used = time.perf_counter(), processor_seconds()
    environment = os.environ | {"OMP_NUM_THREADS": str(asked.threads)} | variables
    with out.with_suffix(".log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        code = process.wait()
        seconds = time.perf_counter() - began
        # vLLM's engine may go on. It is this process's child by now.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(ChildProcessError):
            while True:
                os.wait()
        if code:
            log.seek(0)
            sys.exit(f"{name} ended with {code}:\n{log.read()[-3000:]}")
    scored = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    return {
        "process": seconds,
        "processor": processor_seconds() - used,
        "scoring": scored["seconds"],
        "scoring's processor": scored["of the processor"],
        "questions": scored["questions"],
    }


def logprobs(out: Path) -> dict[str, float]:
    """The answers of a way by question and option."""
    with np.load(f"{out}.npz") as stored:
        return dict(zip(stored["key"].tolist(), stored["logprob"].tolist(), strict=True))


def table(rounds: list[dict[str, dict[str, float]]], apart: dict[str, float]) -> str:
    """A row for each way."""
    first = next(iter(rounds[0]))
    lines = [
        "| way | process | its processor | scoring | its processor | ratio of process | ratio of scoring | logprobs apart |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in rounds[0]:
        cells = [f"{median(found[name][kind] for found in rounds):.1f} s" for kind in KINDS]
        for kind in KINDS[1::2]:
            ratios = sorted(found[name][kind] / found[first][kind] for found in rounds)
            cells.append(f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} | {apart[name]:.1e} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, and write all rounds where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Further flags are those of benchmark_vllm.py, such as --subjects and --limit.",
    )
    parser.add_argument("--model", required=True, metavar="FOLDER")
    parser.add_argument("--data-dir", type=Path, required=True, help="prepared data of MMLU and the domains")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=[name for name in WAYS if "vllm" not in name])
    parser.add_argument("--vllm", metavar="PYTHON", default=sys.executable, help="the interpreter that has vLLM")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all rounds here")
    asked, further = parser.parse_known_args()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    rounds: list[dict[str, Any]] = []
    loads = []
    with tempfile.TemporaryDirectory() as place:
        outs = {name: Path(place) / str(number) for number, name in enumerate(asked.ways)}
        for number in range(asked.rounds):
            loads.append(os.getloadavg()[0])
            turn = number % len(asked.ways)
            found = {name: run(name, asked, further, outs[name]) for name in asked.ways[turn:] + asked.ways[:turn]}
            rounds.append({name: found[name] for name in asked.ways})
            print(f"round {number + 1} of {asked.rounds}, load {loads[-1]:.1f}", file=sys.stderr, flush=True)
        expected = logprobs(outs[asked.ways[0]])
        apart = {
            name: max(abs(value - expected[key]) for key, value in logprobs(out).items()) for name, out in outs.items()
        }
    if asked.json is not None:
        asked.json.write_text(json.dumps({"load": loads, "rounds": rounds}, indent=1) + "\n", encoding="utf-8")
    print(table(rounds, apart))
    questions = rounds[0][asked.ways[0]]["questions"]
    print(
        f"{questions} questions, {asked.threads} threads, {asked.rounds} rounds; load {min(loads):.1f} to {max(loads):.1f}"
    )


if __name__ == "__main__":
    main()
