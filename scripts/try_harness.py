"""Which releases of lm_eval find this project's model and tasks, and whether their answers are right.

    python scripts/try_harness.py                                  # the installed release and the newest that pip finds
    python scripts/try_harness.py --release 0.4.12                 # and another
    python scripts/try_harness.py --source lm-evaluation-harness   # and a checkout, such as of the main branch

Another release lies in a folder of its own in front of this environment's packages; nothing is changed here. Each is asked
twelve questions of the embedded world: by `lm_eval run --model hf`, whose answers are the reference; by
`lm_eval run --model hf-shared-prefix`, which finds the model if the release reads entry points; by `consistency eval`; and by
`lm_eval run` without `--include_path`. In float32 no logprob may be further from the reference than 10⁻⁴.

Exit codes: 0 if `consistency eval` is right on every release; 1 if not.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from consistency.support.resources import shipped
from consistency.world.model import BASE_MODEL

TASK = "consistency_world_medicine_icl"
LIMIT = 12
MOST = 1e-4
NEWEST = "newest"
_LM_EVAL = ("-m", "lm_eval", "run")
_INCLUDE = ("--include_path", str(shipped("lm_eval_tasks")))


def overlay(release: str, folder: Path) -> dict[str, str]:
    """Install a release of lm_eval without what it depends on.

    Parameters
    ----------
    release : str
        A number, ``newest``, or the path of a checkout.
    folder : Path
        Where it is installed.

    Returns
    -------
    dict of str to str
        The environment in which Python finds it before the one that is installed.
    """
    wanted = release if os.sep in release else "lm_eval" if release == NEWEST else f"lm_eval=={release}"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    ]
    subprocess.run([*pip, "--target", folder, wanted], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def evaluate(
    words: Sequence[str],
    out: Path,
    environment: Mapping[str, str] | None = None,
    *,
    python: Path | str = sys.executable,
    limit: int = LIMIT,
) -> dict[int, list[float]] | str:
    """The logprobs of each question's options by a command; or the last line of its error."""
    asked = ["--model_args", f"pretrained={BASE_MODEL},dtype=float32", "--tasks", TASK, "--device", "cpu"]
    asked += ["--limit", str(limit), "--log_samples", "--output_path", str(out)]
    done = subprocess.run(
        [python, *words, *asked],
        env=os.environ | {"HF_HUB_OFFLINE": "1"} | dict(environment or {}),
        capture_output=True,
        text=True,
        check=False,
        cwd=out.parent,
    )
    logs = list(out.rglob("samples_*.jsonl"))
    if done.returncode or not logs:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        return lines[-1][:100] if lines else f"ended with {done.returncode}"
    rows = [json.loads(line) for line in logs[0].read_text(encoding="utf-8").splitlines()]
    return {row["doc_id"]: [float(pair[0]) for pair in row["filtered_resps"]] for row in rows}


def version(environment: Mapping[str, str]) -> str:
    """The release that Python finds."""
    shown = "from importlib.metadata import version; print(version('lm_eval'))"
    done = subprocess.run(
        [sys.executable, "-c", shown], env=os.environ | dict(environment), capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def distance(found: dict[int, list[float]] | str, reference: dict[int, list[float]] | str) -> str:
    """How far the answers are from those of the reference."""
    if isinstance(found, str):
        return f"no: {found}"
    if isinstance(reference, str) or found.keys() != reference.keys():
        return "no: other questions than the reference"
    most = max(abs(a - b) for key, row in found.items() for a, b in zip(row, reference[key], strict=True))
    return f"yes, {most:.0e}" if most <= MOST else f"no: {most:.0e} from the reference"


def main() -> int:
    """Try each release, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", action="append", default=[], help="another release, such as 0.4.12")
    parser.add_argument("--source", action="append", default=[], type=Path, help="a checkout of the harness")
    given = parser.parse_args()
    wanted = ["", NEWEST, *given.release, *(str(path.resolve()) for path in given.source)]
    ways = {
        "`lm_eval run --model hf-shared-prefix`": (*_LM_EVAL, *_INCLUDE, "--model", "hf-shared-prefix"),
        "`consistency eval`": ("-m", "consistency", "eval"),
        "`lm_eval run` without `--include_path`": (*_LM_EVAL, "--model", "hf"),
    }
    print(f"| lm_eval | {' | '.join(ways)} |\n|{'---|' * (len(ways) + 1)}")
    right = True
    for release in wanted:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            environment = overlay(release, folder / "overlay") if release else {}
            reference = evaluate((*_LM_EVAL, *_INCLUDE, "--model", "hf"), folder / "reference", environment)
            cells = {
                way: distance(evaluate(words, folder / str(number), environment), reference)
                for number, (way, words) in enumerate(ways.items())
            }
            right &= cells["`consistency eval`"].startswith("yes")
            print(f"| {version(environment)} | {' | '.join(cells.values())} |", flush=True)
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
