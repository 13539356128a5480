"""Where a report's figures come from: the logs, their hashes and settings, and the versions of the programs."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from consistency.logs.packed import open_log
from consistency.logs.run_config import RunConfig, limit_lines, was_limited
from consistency.logs.truncation import CutPrompts, cut_prompts
from consistency.report.content import Table
from consistency.report.document import Log
from consistency.report.formats.numbers import DASH
from consistency.support.version import VERSION
from consistency.tasks.templates import template_title

_PACKAGES = ("numpy", "scipy", "matplotlib", "jinja2", "pyarrow", "msgspec")


def log_record(config: RunConfig, sources: Mapping[str, Path], questions: int, **place: Any) -> Log:
    """What one log says of itself.

    Parameters
    ----------
    config : RunConfig
    sources : mapping of str to Path
        Samples files by task.
    questions : int
        How many questions of it were read or compared.
    **place
        `role`, `model` and `folder`; of a tuned run also `domain`, `group` and `seed`.
    """
    cut = CutPrompts.together(cut_prompts(config, {name.split(",")[0] for name in sources}).values())
    return Log(
        **{"domain": None, "group": None, "seed": None, **place},
        date=config.date,
        lm_eval_version=config.lm_eval_version,
        dtype=config.dtype,
        shots=sorted({int(shots) for name, shots in config.num_fewshot.items() if name in sources}),
        chat_template=config.chat_template,
        limit=config.limit if was_limited(config, sources) else None,
        tasks=len(sources),
        questions=questions,
        sha256=_digest(sources),
        template=None if config.template is None else template_title(config.template),
        hardware=config.hardware,
        git_commit=config.git_commit,
        truncated_prompts=msgspec.UNSET if cut is None else cut.cut,
        harness=msgspec.UNSET
        if config.harness is None
        else " ".join(filter(None, [config.harness, config.harness_version])),
    )


def _digest(sources: Mapping[str, Path]) -> str:
    # One file may hold several filters of a task.
    files = {name.split(",")[0]: path for name, path in sources.items()}
    total = hashlib.sha256()
    for name in sorted(files):
        with open_log(files[name]) as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def limit_notes(logs: Sequence[Log]) -> list[str]:
    """That lm_eval was asked for a slice of the questions only."""
    return limit_lines(log.limit for log in logs)


def cut_notes(logs: Sequence[Log]) -> list[str]:
    """That prompts lost their beginning, and in which runs most."""
    counts = {log.folder: log.truncated_prompts for log in logs if isinstance(log.truncated_prompts, int)}
    cut = {folder: count for folder, count in counts.items() if count}
    if not cut:
        return []
    most = max(cut, key=cut.__getitem__)
    where = f"{len(cut)} of {len(counts)} logs, most in {most} ({cut[most]:,})"
    return [f"prompts longer than what the model reads lost their beginning in {where}"]


def difference_notes(logs: Sequence[Log]) -> list[str]:
    """In which settings of the programs the logs differ."""
    lines = []
    for what, found in (("lm_eval version", "lm_eval_version"), ("dtype", "dtype"), ("chat template", "template")):
        values = sorted({str(getattr(log, found)) for log in logs if getattr(log, found) is not None})
        if len(values) > 1:
            lines.append(f"the logs differ in {what}: {', '.join(values)}")
    return lines


def versions() -> dict[str, str]:
    """Versions of what made the report."""
    return {
        "consistency": VERSION,
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def pair_signature(logs: Sequence[Log]) -> str:
    """What the signature of a comparison lacks: shots, precision, and which logs they were."""
    shots = "→".join(shots_of(logs, role) for role in ("before", "after"))
    dtypes = "→".join(dict.fromkeys(log.dtype or "unknown" for log in logs))
    return "|".join([f"shots:{shots}", f"dtype:{dtypes}", inputs_hash(logs)])


def shots_of(logs: Sequence[Log], role: str) -> str:
    """The few-shot counts of the logs of one role, for a signature."""
    found = sorted({shot for log in logs if log.role == role for shot in log.shots})
    return "/".join(map(str, found)) or "unknown"


def inputs_hash(logs: Sequence[Log]) -> str:
    """A hash over all logs, for a signature."""
    inputs = hashlib.sha256("\n".join(sorted(log.sha256 for log in logs)).encode()).hexdigest()
    return f"inputs:sha256:{inputs[:16]}"


def log_table(logs: Sequence[Log]) -> Table:
    """The logs that were read, and what they say of themselves."""
    several = len({log.model for log in logs}) > 1
    rows: list[tuple[str, ...]] = [
        (
            log.role.replace("_", " "),
            *((str(log.model) or DASH,) if several else ()),
            log.folder,
            _minute(log.date),
            log.lm_eval_version or log.harness or DASH,
            log.dtype or DASH,
            ", ".join(map(str, log.shots)) or DASH,
            log.template or {True: "yes", False: "no", None: DASH}[log.chat_template],
            log.hardware or DASH,
            (log.git_commit or DASH)[:12],
            str(log.tasks),
            str(log.questions),
            log.sha256[:16],
        )
        for log in logs
    ]
    return Table(
        name="logs",
        title="Logs",
        caption="SHA-256 over the samples of all tasks; the CSV has all of its digits.",
        head=(
            *("log", *(("model",) if several else ()), "folder", "date", "lm_eval", "dtype", "shots", "chat template"),
            *("hardware", "commit", "tasks", "questions", "SHA-256"),
        ),
        rows=tuple(rows),
        labels=3 if several else 2,
        data=[{**msgspec.to_builtins(log), "shots": " ".join(map(str, log.shots))} for log in logs],
        folded=len(logs) > 2,
    )


def _minute(date: str | None) -> str:
    """A run's date as lm_eval writes it in file names, to the minute."""
    if not date:
        return DASH
    day, _, time = date.partition("T")
    return f"{day} {time[:5].replace('-', ':')}".strip()
