"""Install the core in an empty environment of each Python of this machine, and compare two logs with it.

    python scripts/try_pythons.py                       # builds the wheel first, which needs the package `build`
    python scripts/try_pythons.py --wheel dist/split/lm_eval_consistency-0.2.0-py3-none-any.whl --python 3.12
    python scripts/try_pythons.py --peer lm_eval --peer errorbars --peer evidently    # what other programs weigh

Each environment gets the newest packages that the wheel asks for, without constraints. Printed for each Python: seconds from
an empty folder to the first verdict (environment, installation and comparison), by the clock and of the processor, which is
what counts on a busy machine; those of the comparison alone, and of a second one; megabytes of what was installed; seconds to
import the package. The comparisons of all Pythons have to hold the same numbers. Peers are installed with the newest of these
Pythons and imported.

Exit codes: 0 if every Python that was found passed, and none is missing; 1 if one failed or took more seconds of the processor
than `--most`, or two disagree; 2 if an input cannot be used; 3 if all that were found passed, and others were not found.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from split_wheel import split

ROOT = Path(__file__).resolve().parent.parent
MINORS = (11, 12, 13, 14)
MOST_SECONDS = 60.0
LOGS = ROOT / "docs" / "notebook_logs"
# What a comparison says of the run that made it, and not of the logs.
_OF_THE_RUN = {"created", "versions", "machine", "provenance"}


class FailedError(RuntimeError):
    """A step failed, with what it printed."""


@dataclass
class Tried:
    """What was measured with one Python.

    Attributes
    ----------
    version : str
    total, processor, compare, again, imported : float
        Seconds: from an empty folder to the first verdict, by the clock and of the processor; the first and the second
        comparison; the import.
    megabytes : float
        Of the packages, without pip.
    document : dict
        The comparison as JSON.
    """

    version: str
    total: float = math.nan
    processor: float = math.nan
    compare: float = math.nan
    again: float = math.nan
    imported: float = math.nan
    megabytes: float = math.nan
    document: dict[str, Any] = field(default_factory=dict)


def pythons() -> Iterator[tuple[int, Path]]:
    """The newest interpreter of each minor version: those of pyenv, of uv and on the path."""
    homes = [
        Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions",
        Path.home() / ".local/share/uv/python",
    ]
    for minor in MINORS:
        found = [path for home in homes for path in home.glob(f"*3.{minor}*/bin/python3.{minor}")]
        on_path = shutil.which(f"python3.{minor}")
        if found or on_path:
            yield minor, max(found, key=lambda path: _number(path.parent.parent.name)) if found else Path(str(on_path))


def _number(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.replace("-", ".").split(".") if part.isdecimal())


def run(command: Sequence[object], folder: Path, **environment: str) -> tuple[str, float]:
    """What a command printed, and its seconds by the clock."""
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")}
    began = time.perf_counter()
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=folder, env=clean | environment, capture_output=True, text=True, timeout=900)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise FailedError(f"{' '.join(words[:6])} … ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout, seconds


def processor_seconds() -> float:
    """Seconds of the processor that the commands that have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def install(python: Path, folder: Path, *packages: object) -> Path:
    """An environment with these packages and no others; its Python."""
    run([python, "-m", "venv", folder / "env"], folder)
    inside = folder / "env" / "bin" / "python"
    run([inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], folder)
    return inside


def megabytes(inside: Path, folder: Path) -> float:
    """What the packages of an environment weigh, without pip and compiled files."""
    place, _ = run([inside, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder)
    home = Path(place.strip())
    files = (path for path in home.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return sum(path.stat().st_size for path in files if not path.relative_to(home).parts[0].startswith("pip")) / 1e6


def import_seconds(inside: Path, module: str, folder: Path) -> float:
    """Seconds that an import adds to Python's own start, the least of three."""

    def least(code: str) -> float:
        return min(run([inside, "-c", code], folder)[1] for _ in range(3))

    return least(f"import {module}") - least("pass")


def try_python(python: Path, wheel: Path) -> Tried:
    """Install the core and compare two logs, in every way in which it answers."""
    version, _ = run([python, "-c", "import platform; print(platform.python_version())"], ROOT)
    tried = Tried(version.strip())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began, used = time.perf_counter(), processor_seconds()
        inside = install(python, folder, wheel)
        program = inside.with_name("consistency")
        logs = [LOGS / "before.zip", LOGS / "after.zip"]
        printed, tried.compare = run([program, "compare", *logs], folder)
        tried.total, tried.processor = time.perf_counter() - began, processor_seconds() - used
        if "points [" not in printed.partition("\n")[0]:
            raise FailedError(f"the first line is no verdict: {printed[:200]}")
        _, tried.again = run([program, "compare", *logs], folder)
        tried.document = json.loads(run([program, "compare", *logs, "--json", "-"], folder)[0])
        run([program, "compare", *logs, "--by", "subject", "--out", "report"], folder)
        for file in ("report.html", "report.json", "report.md", "items.parquet"):
            if not (folder / "report" / file).is_file():
                raise FailedError(f"the report has no {file}")
        tried.megabytes = megabytes(inside, folder)
        tried.imported = import_seconds(inside, "consistency", folder)
    return tried


def differences(first: Any, second: Any, place: str = "") -> Iterator[str]:
    """Places where two documents differ; numbers may differ in their last digits, as libraries of two releases do."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in sorted(first.keys() | second.keys()):
            if key not in _OF_THE_RUN:
                yield from differences(first.get(key), second.get(key), f"{place}/{key}")
    elif isinstance(first, list) and isinstance(second, list) and len(first) == len(second):
        for number, pair in enumerate(zip(first, second, strict=True)):
            yield from differences(*pair, f"{place}/{number}")
    elif isinstance(first, float) and isinstance(second, float):
        if not math.isclose(first, second, rel_tol=1e-9, abs_tol=1e-12):
            yield f"{place}: {first} and {second}"
    elif first != second:
        yield f"{place}: {str(first)[:60]} and {str(second)[:60]}"


def core_wheel(folder: Path) -> Path:
    """Build the wheel of this tree, and its core."""
    run([sys.executable, "-m", "build", "--wheel", "--outdir", folder, ROOT], folder)
    (whole,) = folder.glob("*.whl")
    return split(whole, folder / "split")[0]


def peers(names: Sequence[str], python: Path) -> Iterator[str]:
    """A line of the table for each other program."""
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            try:
                inside = install(python, Path(folder), name)
                weight = megabytes(inside, Path(folder))
                seconds = import_seconds(inside, name.replace("-", "_"), Path(folder))
                shown = f"import importlib.metadata as m; print(m.version({name!r}))"
                yield f"| {name} {run([inside, '-c', shown], Path(folder))[0].strip()} | {weight:.0f} | {seconds:.2f} |"
            except FailedError as error:
                yield f"| {name} | not measured: {str(error).splitlines()[-1][:90]} | |"


def main() -> int:
    """Try each Python, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path, help="the core's; without it, it is built")
    parser.add_argument("--python", action="append", help="only this version, such as 3.12; may be repeated")
    parser.add_argument(
        "--most",
        type=float,
        default=MOST_SECONDS,
        help=f"seconds of the processor to the first verdict (default {MOST_SECONDS:.0f})",
    )
    parser.add_argument("--peer", action="append", default=[], help="another package to install and import")
    given = parser.parse_args()
    if given.wheel is not None and not given.wheel.is_file():
        print(f"{given.wheel}: there is no such file", file=sys.stderr)
        return 2
    wanted = [f"3.{minor}" for minor in MINORS] if given.python is None else given.python
    here = {f"3.{minor}": path for minor, path in pythons()}
    with tempfile.TemporaryDirectory() as name:
        wheel = (given.wheel or core_wheel(Path(name))).resolve()
        print(f"{wheel.name}: {wheel.stat().st_size:,} bytes\n")
        print(
            "| Python | to the first verdict (s) | of the processor | first comparison | second | installed (MB) | import (s) |"
        )
        print("|---|---|---|---|---|---|---|")
        passed: list[Tried] = []
        failed: list[str] = []
        for version in [version for version in wanted if version in here]:
            try:
                tried = try_python(here[version], wheel)
            except FailedError as error:
                failed.append(f"Python {version}: {error}")
                print(f"| {version} | failed | | | | | |", flush=True)
                continue
            passed.append(tried)
            print(
                f"| {tried.version} | {tried.total:.1f} | {tried.processor:.1f} | {tried.compare:.1f} | {tried.again:.1f} "
                f"| {tried.megabytes:.0f} | {tried.imported:.2f} |",
                flush=True,
            )
            if tried.processor > given.most:
                seconds = f"{tried.processor:.0f} s of the processor to the first verdict"
                failed.append(f"Python {version}: {seconds}, more than {given.most:.0f}")
        apart = [
            f"Python {passed[0].version} and {other.version}: {line}"
            for other in passed[1:]
            for line in [*differences(passed[0].document, other.document)][:5]
        ]
        failed += apart
        missing = [version for version in wanted if version not in here]
        if len(passed) > 1 and not apart:
            print("\nThe comparisons of all of them hold the same numbers.")
        if missing:
            print(f"\nNot found on this machine: {', '.join(f'Python {version}' for version in missing)}.")
        if given.peer and here:
            newest = max(here, key=_number)
            print(f"\n| with Python {newest} | installed (MB) | import (s) |\n|---|---|---|")
            for line in peers(given.peer, here[newest]):
                print(line, flush=True)
    print("".join(f"{line}\n" for line in failed), end="", file=sys.stderr)
    return 1 if failed or not passed else 3 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
