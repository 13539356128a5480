"""The runs of a grid that failed, and why, read from Snakemake's log and the logs of the programs."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from consistency.errors import InputError
from consistency.experiment.program_log import read_attempt

# Snakemake's block on a failed job. Its message and its command may take several lines.
_BLOCK = re.compile(
    r"^Error in rule (\w+):\n    message: (.*?)\n    jobid: (.*?)\n    shell:", re.DOTALL | re.MULTILINE
)
_FIELD = re.compile(r"^    (\w+): (.*)$", re.MULTILINE)
_STATUS = re.compile(r"SLURM status is: '(\w+)'")
_REFUSED = re.compile(r"SLURM sbatch failed\. The error message was '(?:sbatch: error: )?([^'\n]*)")
# Pydantic's error: the settings, each with what is wrong with it.
_INVALID = re.compile(r"^\S*ValidationError: \d+ validation errors? for \w+\n((?:.+\n)+)", re.MULTILINE)
_SETTING = re.compile(r"^(\S+)\n  (?:Value error, )?(.+?)(?: \[type=.*\])?$", re.MULTILINE)
# An error that says only that another program failed, whose own error is above it.
_PASSED_ON = re.compile(r"(?:subprocess\.)?CalledProcessError\b|(?:[\w.]+\.)?ChildFailedError\b")
_ERROR = re.compile(r"^(?:\[rank\d+\]:\s*)?((?:[\w.]+(?:Error|Exception|Exit|Interrupt)\b.*|ERROR.*))", re.MULTILINE)

# Patterns of what programs print, the most specific first; the problem in a few words, in which {0} is the pattern's first
# group; and what to do.
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
        "make room: consistency experiment plan estimates how much the grid needs",
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
    (
        r"tokenizer\.chat_template is not set",
        "the tokenizer has no chat template",
        "consistency check-tokenizer MODEL shows what it has",
    ),
    (
        r"dataset could not be loaded\. This could be due to a misconfigured dataset path \((.+?)\)",
        "missing or unreadable training rows: {0}",
        None,
    ),
    (
        r"We couldn't connect to '[^']*' to load the files",
        "a model or file is neither a folder here nor in the cache, and the network gives none",
        "download it first, or correct its name under models",
    ),
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
        The files that it makes.
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
        """The failure in one line."""
        return f"{self.rule} of {self.output}: {self.reason}" + (f"; log: {self.log}" if self.log else "")


def read_failures(log: str | Path) -> list[Failure]:
    """The runs that failed, by Snakemake's log.

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
        # Snakemake repeats the block at the end of its log without the message, and once for each attempt.
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
    """The reason why a program failed, and what to do.

    Parameters
    ----------
    log : pathlib.Path or None
        The log of the program.
    state : str, optional
        The state in which its Slurm job ended: ``OUT_OF_MEMORY``, ``TIMEOUT``, …

    Returns
    -------
    str
        Without a known sign, the last error in the log, or its last line.
    """
    attempt = read_attempt(log) if log is not None else None
    # A progress bar overwrites its own line.
    text = attempt.text.replace("\r", "\n") if attempt else ""
    for pattern, problem, do in _SIGNS:
        if signs := list(re.finditer(pattern, text, re.MULTILINE)):
            parts = [part.strip(" .") for part in signs[-1].groups() if part]
            return _join(problem.format(*parts) if parts else re.sub(r" \(.*\{0\}.*\)", "", problem), do)
    if invalid := _INVALID.findall(text):
        wrong = "; ".join(f"{setting}: {problem}" for setting, problem in _SETTING.findall(invalid[-1]))
        return _join(f"wrong settings: {wrong}", "correct them in the experiment file or the preset")
    if state in _SLURM:
        return _join(*_SLURM[state])
    if attempt and attempt.exit_code and (signal := attempt.exit_code - 128) in _SIGNALS:
        return _join(*_SIGNALS[signal])
    if log is not None and _full(log):
        return _join("no space left on device", "make room")
    errors = _ERROR.findall(text)
    own = [error for error in errors if not _PASSED_ON.match(error)]
    lines = [line for line in text.splitlines() if line.strip()]
    return ((own or errors or lines or [f"ended as {state}" if state else "nothing was printed"])[-1]).strip()


def _full(log: Path) -> bool:
    """Whether the disk of the log is full."""
    try:
        state = os.statvfs(log.parent)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < 1 << 16


def _join(problem: str, do: str | None) -> str:
    return f"{problem}; {do}" if do else problem
