"""Which runs of a grid failed, and why: Snakemake's log and the logs of the programs in, one line per run out."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from consistency.errors import InputError

_ERROR = re.compile(r"Error in rule (\w+)(?:, jobid: \d+)?:")
_FIELD = re.compile(r"    (\w+): (.*)")
_STATUS = re.compile(r"SLURM-job '(\d+)' failed, SLURM status is: '(\w+)'")
_EXIT_CODE = re.compile(r"^exit code (\d+)$", re.MULTILINE)
_ENDING = 1 << 18  # bytes of a log that are read: what went wrong stands at its end

# What the programs print, the surest sign first: the problem in a few words, {0} from the message, and what to do.
_SIGNS = (
    (r"^consistency: (.+)", "{0}", None),
    (
        r"CUDA out of memory\.(?: Tried to allocate ([\d.]+ \w+))?",
        "out of memory on the GPU (it wanted {0} more)",
        "lower micro_batch_size and raise gradient_accumulation_steps, or lower lm_eval's --batch_size",
    ),
    (
        r"No space left on device|os error 28\b|Disk quota exceeded",
        "no space left on device",
        "make room: consistency experiment plan says how much the grid needs",
    ),
    (r"File too large|os error 27\b", "a file grew over the limit of this shell", "ulimit -f unlimited"),
    (
        r"DefaultCPUAllocator: (?:can't|not enough) .*|^\w*MemoryError\b.*|Cannot allocate memory|std::bad_alloc",
        "out of memory",
        "lower the batch size, run fewer at a time (--cores), or ask for more: --set-resources RULE:mem_mb=…",
    ),
    (r"unrecognized arguments: (.+)", "unknown setting {0}", "correct it in the experiment file"),
    (r"No such option:? (\S+)", "unknown setting {0}", "correct it in the experiment file"),
    (r"DatasetNotFoundError: (.+)", "missing dataset: {0}", None),
    (r"FileNotFoundError: (.+)", "missing file: {0}", None),
)
_SIGNALS = {
    9: ("killed", "most often the system was out of memory: run fewer at a time, or ask for more memory"),
    15: ("terminated from outside", None),
    24: ("used up its processor time", "ulimit -t unlimited"),
    25: ("a file grew over the limit of this shell", "ulimit -f unlimited"),
}
_SLURM = {
    "CANCELLED": ("cancelled in Slurm", None),
    "NODE_FAIL": ("its node failed", None),
    "OUT_OF_MEMORY": ("out of memory", "ask for more: --set-resources RULE:mem_mb=…"),
    "TIMEOUT": ("out of time", "ask for more: --set-resources RULE:runtime=MINUTES"),
}


@dataclass(frozen=True)
class Failure:
    """One run that failed.

    Attributes
    ----------
    rule : str
        Snakemake's rule.
    output : str
        What it was to make.
    reason : str
        Why it failed and what to do.
    log : pathlib.Path or None
        The log of its program.
    """

    rule: str
    output: str
    reason: str
    log: Path | None

    def to_text(self) -> str:
        """One line."""
        return f"{self.rule} of {self.output}: {self.reason}" + (f"; log: {self.log}" if self.log else "")


def read_failures(log: str | Path) -> list[Failure]:
    """Read what failed in a run of the grid.

    Parameters
    ----------
    log : path-like
        Snakemake's own log, a file of ``.snakemake/log``. Paths in it are relative to the working directory.

    Returns
    -------
    list of Failure
        In the order in which they failed, each once.

    Raises
    ------
    InputError
        If the log cannot be read.
    """
    log = Path(log)
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", expected="a log of Snakemake", path=log) from None
    states = dict(_STATUS.findall(text))
    found: dict[str, Failure] = {}
    for rule, fields in _errors(text.splitlines()):
        output = fields.get("output", "")
        # An attempt that failed later is the one whose log is left.
        path = Path(fields["log"].split(" (check log")[0].split(", ")[0]) if "log" in fields else None
        state = states.get(fields.get("external_jobid", ""))
        found[output] = Failure(rule, output, find_reason(path, state), path)
    return list(found.values())


def find_reason(log: Path | None, state: str | None = None) -> str:
    """Say why a program failed.

    Parameters
    ----------
    log : pathlib.Path or None
        What it printed.
    state : str, optional
        The end of its Slurm job: ``OUT_OF_MEMORY``, ``TIMEOUT``, …

    Returns
    -------
    str
        The reason and what to do, or the last error in the log.
    """
    text = _ending(log)
    for pattern, problem, do in _SIGNS:
        if signs := list(re.finditer(pattern, text, re.MULTILINE)):
            said = [part.strip(" .") for part in signs[-1].groups() if part]
            return _join(problem.format(*said) if said else re.sub(r" \(.*\{0\}.*\)", "", problem), do)
    if state in _SLURM:
        return _join(*_SLURM[state])
    codes = _EXIT_CODE.findall(text)
    if codes and (signal := int(codes[-1]) - 128) in _SIGNALS:
        return _join(*_SIGNALS[signal])
    if log is not None and _full(log):
        return _join("no space left on device", "make room")
    errors = re.findall(r"^(?:[\w.]+(?:Error|Exception|Exit)\b.*|ERROR.*)", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.strip() and not _EXIT_CODE.match(line)]
    return (errors or lines or [f"ended as {state}" if state else "left no word"])[-1].strip()


def _errors(lines: list[str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Snakemake's blocks "Error in rule …", with their fields."""
    rule, fields = "", dict[str, str]()
    for line in [*lines, ""]:
        field = _FIELD.fullmatch(line)
        if rule and field:
            fields[field[1]] = field[2]
        elif begin := _ERROR.fullmatch(line):
            if rule:
                yield rule, fields
            rule, fields = begin[1], {}
        elif rule and not line.startswith("    "):
            # A command of several lines stands in the block without an indent.
            if "log" in fields or "output" in fields:
                yield rule, fields
            rule = ""


def _ending(log: Path | None) -> str:
    if log is None or not log.is_file():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - _ENDING))
        # A progress bar overwrites its own line.
        return stream.read().decode("utf-8", "replace").replace("\r", "\n")


def _full(log: Path) -> bool:
    """Whether there is no room for another word beside the log."""
    try:
        state = os.statvfs(log.parent)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < 1 << 16


def _join(problem: str, do: str | None) -> str:
    return f"{problem}; {do}" if do else problem
