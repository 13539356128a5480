"""Which runs of a grid failed, and why: Snakemake's log and the logs of the programs in, one line per run out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from consistency.errors import InputError

# Snakemake's block on a failed job. Its message and its command may take several lines.
_BLOCK = re.compile(
    r"^Error in rule (\w+):\n    message: (.*?)\n    jobid: (.*?)\n    shell:", re.DOTALL | re.MULTILINE
)
_FIELD = re.compile(r"^    (\w+): (.*)$", re.MULTILINE)
_STATUS = re.compile(r"SLURM status is: '(\w+)'")
_REFUSED = re.compile(r"SLURM sbatch failed\. The error message was '(?:sbatch: error: )?([^'\n]*)")
# What the grid itself writes into a program's log.
_EXIT_CODE = re.compile(r"^exit code (\d+)$", re.MULTILINE)
_OURS = re.compile(r"exit code \d+|begun .*")
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
    (r"Signal \d+ \((SIG\w+)\) received by PID", "a process of the training was stopped by {0}", None),
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
    found: dict[str, tuple[str, str, Path | None]] = {}
    for rule, message, rest in _BLOCK.findall(text):
        fields = dict(_FIELD.findall(rest))
        output = fields.get("output", "")
        # The block is repeated at the end, without its message; what was tried again stands there once for each attempt.
        if message == "None" and output in found:
            message = found[output][1]
        paths = fields.get("log", "").removesuffix(" (check log file(s) for error details)").split(", ")
        found[output] = rule, message, Path(paths[0]) if paths[0] else None
    return [Failure(rule, output, _reason(message, log), log) for output, (rule, message, log) in found.items()]


def _reason(message: str, log: Path | None) -> str:
    if refused := _REFUSED.search(message):
        return f"Slurm refuses the job: {refused[1]}"
    status = _STATUS.search(message)
    return find_reason(log, status[1] if status else None)


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
    code = _EXIT_CODE.findall(text)
    if code and (signal := int(code[-1]) - 128) in _SIGNALS:
        return _join(*_SIGNALS[signal])
    if log is not None and _full(log):
        return _join("no space left on device", "make room")
    errors = re.findall(r"^(?:[\w.]+(?:Error|Exception|Exit)\b.*|ERROR.*)", text, re.MULTILINE)
    lines = [line for line in text.splitlines() if line.strip() and not _OURS.fullmatch(line)]
    return (errors or lines or [f"ended as {state}" if state else "left no word"])[-1].strip()


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
