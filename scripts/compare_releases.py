"""What another release of lm_eval measures differently: one model and the same tasks under both, compared.

    python scripts/compare_releases.py --release 0.4.13
    python scripts/compare_releases.py --release 0.4.12 --model MODEL --include_path TASKS --tasks mine,others

The installed release runs the tasks, and the other one does in an environment of its own, which is made for it and shares
the packages of this one (torch above all): pip installs lm_eval and what this environment lacks for it, with the settings
that it has on this machine. A release that does not run with these packages ends with its own error: up to 0.4.9, with
transformers 5. Without `--tasks` all tasks of the folder are run; by default these are the tests', one of each kind. lm_eval
runs in that folder, as its tasks may name their data files from there.

Printed is, for each task and group, how many questions `consistency compare` paired, the largest difference of a
log-probability, how many generated answers differ, and which metrics do; then the settings that differ and the metrics that
could not be compared. A metric may differ where no answer does: an aggregation was changed. Sampled answers differ between
any two runs that draw in another order. The logs stay in `--out`.

Standard errors are of 100 resamples only: lm_eval's 100,000 take minutes where a metric has no formula for its error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from consistency.comparison.compare import compare
from consistency.world.model import BASE_MODEL

TASKS = Path(__file__).parent.parent / "tests" / "data" / "harness_tasks"
# The releases of lm_eval find the function in one of two places.
PROGRAM = """
import functools
import lm_eval, lm_eval.evaluator
from lm_eval.__main__ import cli_evaluate
brief = functools.partial(lm_eval.evaluator.simple_evaluate, bootstrap_iters=100)
lm_eval.simple_evaluate = lm_eval.evaluator.simple_evaluate = brief
cli_evaluate()
"""


class _Names(yaml.SafeLoader):
    """Reads the names in a task's file; the functions that it calls are not loaded."""


_Names.add_multi_constructor("!", lambda loader, suffix, node: None)


def all_tasks(folder: Path) -> list[str]:
    """The names that run all tasks of a folder once: its groups, its tags, and the tasks that have neither."""
    files = [yaml.load(path.read_text(encoding="utf-8"), _Names) for path in sorted(folder.glob("*.yaml"))]
    members = {name for file in files if "group" in file for name in file["task"]}
    names = {file.get("tag") or file.get("group") or file["task"] for file in files}
    return sorted(names - members)


def make_environment(release: str, folder: Path) -> Path:
    """Install a release of lm_eval in an environment of its own, beside the packages of this one.

    Parameters
    ----------
    release : str
    folder : Path
        Where the environment is made; one that is there and holds the release is used.

    Returns
    -------
    Path
        Its Python.
    """
    python = folder / "bin" / "python"
    shown = "from importlib.metadata import version; print(version('lm_eval'))"
    if python.exists() and _output([python, "-c", shown]).strip() == release:
        return python
    venv.create(folder, clear=True, with_pip=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    here = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib")])
    # addsitedir also reads the .pth files there: what is installed as editable, such as this project, lies behind one.
    shared = "".join(f"import site; site.addsitedir({path!r})\n" for path in here)
    (packages / "shared.pth").write_text(shared, encoding="utf-8")
    _output([python, "-m", "pip", "install", "--quiet", f"lm_eval=={release}"])
    return python


def evaluate(
    python: Path | str, model: Path | str, tasks: Sequence[str], out: Path, include_path: Path = TASKS
) -> Path:
    """Run lm_eval on a CPU, in float32.

    Parameters
    ----------
    python : path-like
        Of the environment whose lm_eval is to run.
    model : path-like
        A folder, or a name on the Hub.
    tasks : sequence of str
    out : Path
        Where the logs are written.
    include_path : Path
        The folder of the tasks.

    Returns
    -------
    Path
        `out`.
    """
    name = Path(model).resolve() if Path(model).is_dir() else model
    command = [python, "-c", PROGRAM, "--model", "hf", "--model_args", f"pretrained={name},dtype=float32"]
    command += ["--include_path", include_path.resolve(), "--tasks", ",".join(tasks), "--device", "cpu"]
    command += ["--batch_size", "16", "--log_samples", "--output_path", out.resolve()]
    _output(command, cwd=include_path, env=os.environ | {"HF_DATASETS_CACHE": str(out.resolve() / "datasets")})
    return out


def _output(command: Sequence[object], **how: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **how
    )
    if done.returncode:
        raise SystemExit(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done.stdout


@dataclass(frozen=True)
class TaskDifference:
    """What differs in one task or group.

    Attributes
    ----------
    task : str
    pairs : int
        Questions that were paired; 0 where none was.
    logprob : float
        Largest difference of a log-probability; NaN where there is none.
    answers, of : int
        Generated answers that differ, and how many there are.
    metrics : dict of str to (float, float)
        Metrics of lm_eval that differ, under both releases.
    """

    task: str
    pairs: int
    logprob: float
    answers: int
    of: int
    metrics: Mapping[str, tuple[float, float]]

    def to_text(self) -> str:
        """A line of the table."""
        logprob = "" if math.isnan(self.logprob) else f"{self.logprob:.1e}"
        answers = f"{self.answers} of {self.of}" if self.of else ""
        metrics = "; ".join(f"{name} {one:.6g} → {other:.6g}" for name, (one, other) in self.metrics.items())
        return f"{self.task:<28} {self.pairs:>5} {logprob:>9} {answers:>11}  {metrics or '–'}"


def task_differences(first: Path, second: Path, pairs: Mapping[str, int]) -> Iterator[TaskDifference]:
    """What differs between two logs, by task and group.

    Parameters
    ----------
    first, second : Path
        Folders of one run each.
    pairs : dict of str to int
        Paired questions of each task and group.
    """
    one, other = (json.loads(results_file(log).read_text(encoding="utf-8"))["results"] for log in (first, second))
    for task in sorted(one.keys() & other.keys()):
        logprobs, answers, of = [math.nan], 0, 0
        responses = [_responses(log, task) for log in (first, second)]
        for row in responses[0].keys() & responses[1].keys():
            for x, y in zip(responses[0][row], responses[1][row], strict=True):
                if isinstance(x, float) and isinstance(y, float):
                    logprobs.append(abs(x - y))
                else:
                    answers, of = answers + (x != y), of + 1
        found = {
            name: (value, other[task][name])
            for name, value in metric_values(one[task]).items()
            if name in other[task] and not math.isclose(value, other[task][name], rel_tol=1e-9, abs_tol=1e-9)
        }
        yield TaskDifference(task, pairs.get(task, 0), max(logprobs[1:], default=math.nan), answers, of, found)


def results_file(log: Path) -> Path:
    """The one results file of a log."""
    (path,) = log.rglob("results_*.json")
    return path


def metric_values(results: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a task or group in a results file, by `name,filter`, without their standard errors."""
    return {name: value for name, value in results.items() if "," in name and "_stderr," not in name}


def _responses(log: Path, task: str) -> dict[Any, list[Any]]:
    """The responses to each document of a task: log-probabilities as numbers, generated answers as texts."""
    found = {}
    for path in log.rglob(f"samples_{task}_2*.jsonl"):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            asks = next(iter(row["arguments"].values())).values()
            generated = any(isinstance(argument, dict) for argument in asks)
            said = [answer for request in row["resps"] for answer in request]
            found[row["doc_id"]] = (
                said if generated else [float(answer[0] if isinstance(answer, list) else answer) for answer in said]
            )
    return found


def print_differences(first: Path, second: Path) -> None:
    """Print what differs between two logs of the same tasks."""
    found = compare(first, second).to_dict()
    pairs = {name: section["n"] for name, section in (found["by_task"] | found["by_group"]).items()}
    print(f"{'task':<28} {'pairs':>5} {'Δ log p':>9} {'answers':>11}  metrics that differ")
    for difference in task_differences(first, second, pairs):
        print(difference.to_text())
    for setting in found["settings"]:
        print(f"{setting['setting']} differs: {setting['before']} → {setting['after']}")
    for task, section in found["by_task"].items():
        for metric in section.get("uncompared", ()):
            print(f"{task}: {metric['metric']} not compared: {metric['reason']}")


def main() -> None:
    """Run both releases and print what differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", required=True, help="the other release of lm_eval, such as 0.4.13")
    parser.add_argument("--model", default=str(BASE_MODEL), help="the embedded world's by default")
    parser.add_argument("--include_path", type=Path, default=TASKS, help="folder of the tasks")
    parser.add_argument("--tasks", help="names of tasks and groups, separated by commas; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/releases"))
    options = parser.parse_args()
    tasks = options.tasks.split(",") if options.tasks else all_tasks(options.include_path)
    programs = {version("lm_eval"): Path(sys.executable)}
    programs[options.release] = make_environment(options.release, options.out / f"environment-{options.release}")
    if len(programs) < 2:
        raise SystemExit(f"lm_eval {options.release} is the installed release: name another")
    logs = [options.out / release for release in programs]
    for log, program in zip(logs, programs.values(), strict=True):
        if log.exists():
            raise SystemExit(f"{log} exists already: name another --out")
        evaluate(program, options.model, tasks, log, options.include_path)
    print(" → ".join(f"lm_eval {release}" for release in programs))
    print_differences(*logs)


if __name__ == "__main__":
    main()
