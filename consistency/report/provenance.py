"""Where a report's figures come from: logs, their hashes and settings, versions, and what was left out."""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.errors import InputError
from consistency.experiment.grid import Experiment, TunedRun
from consistency.logs.runs import RunConfig

if TYPE_CHECKING:
    from consistency.report.grid.cells import RunAudit

_PACKAGES = ("numpy", "scipy", "matplotlib", "jinja2", "pyarrow", "msgspec")
_SHOTS = {"base_few_shot": 5, "base_zero_shot": 0, "tuned": 0}
_CHAT = {"base_few_shot": False, "base_zero_shot": True, "tuned": True}
_SPOKEN = {"base_few_shot": "base model, 5-shot", "base_zero_shot": "base model, 0-shot", "tuned": "tuned models"}


@dataclass(frozen=True)
class LogRecord:
    """What one log says of itself.

    Attributes
    ----------
    role : {"base_few_shot", "base_zero_shot", "tuned", "before", "after"}
    model : str
        The base model's name in the experiment; of a pair, the model as the log names it.
    domain, group, seed
        Of a tuned run, else None.
    folder : str
        Relative to the experiment's root; of a pair, as it was given.
    date, lm_eval_version, dtype : str or None
    shots : tuple of int
        Few-shot counts of its tasks, each once.
    chat_template : bool or None
    limit : float or None
        lm_eval's `--limit`, if it was given.
    tasks, questions : int
    sha256 : str
        Over the samples of all tasks in order of their names; dates and file names do not enter.
    """

    role: str
    model: str
    domain: str | None
    group: str | None
    seed: int | None
    folder: str
    date: str | None
    lm_eval_version: str | None
    dtype: str | None
    shots: tuple[int, ...]
    chat_template: bool | None
    limit: float | None
    tasks: int
    questions: int
    sha256: str

    @classmethod
    def of(cls, config: RunConfig, sources: Mapping[str, Path], questions: int, **place: Any) -> LogRecord:
        """Describe a log that was read.

        Parameters
        ----------
        config : RunConfig
        sources : mapping of str to Path
            Samples files by task.
        questions : int
        **place
            `role`, `model` and `folder`; of a tuned run also `domain`, `group` and `seed`.
        """
        return cls(
            **{"domain": None, "group": None, "seed": None, **place},
            date=config.date,
            lm_eval_version=config.lm_eval_version,
            dtype=_dtype(config.results),
            shots=tuple(sorted({int(shots) for name, shots in config.num_fewshot.items() if name in sources})),
            chat_template=config.chat_template,
            limit=config.limit,
            tasks=len(sources),
            questions=questions,
            sha256=_digest(sources),
        )

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {**self.__dict__, "shots": list(self.shots)}


def model_name(config: RunConfig) -> str:
    """A model as readers know it: the last part of its path or name, of a path into the hub's cache the model's own.

    Examples
    --------
    >>> model_name(RunConfig(model="hf", model_args="pretrained=lmsys/vicuna-33b-v1.3"))
    'vicuna-33b-v1.3'
    """
    named = re.search(r"(?:^|,)\s*(?:pretrained|model)=([^,]+)", config.model_args or "")
    name = config.model_name or (named[1] if named else config.model) or "a model"
    parts = name.replace("__", "/").rstrip("/").split("/")
    cached = [part for part in parts if part.startswith("models--")]
    return cached[-1].split("--")[-1] if cached else parts[-1]


def _dtype(results: Path | None) -> str | None:
    if results is None:
        return None
    config = json.loads(results.read_bytes()).get("config")
    dtype = config.get("model_dtype") if isinstance(config, dict) else None
    return None if dtype is None else str(dtype).removeprefix("torch.")


def _digest(sources: Mapping[str, Path]) -> str:
    # One file may hold several filters of a task.
    files = {name.split(",")[0]: path for name, path in sources.items()}
    total = hashlib.sha256()
    for name in sorted(files):
        with files[name].open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()


def pairing_audit(runs: Iterable[tuple[TunedRun, RunAudit]]) -> dict[str, Any]:
    """What was paired, what was dropped and which tasks are absent: in total, and for each run."""
    rows: list[dict[str, Any]] = []
    absent: dict[str, list[str]] = {}
    totals: Counter[str] = Counter()
    for run, audit in runs:
        row = {
            "model": run.model,
            "domain": run.domain,
            "group": run.group,
            "seed": run.seed,
            "questions": dict(audit.questions),
            "paired": audit.paired.total(),
            "dropped": dict(sorted(audit.dropped.items())),
            "zero_shot_paired": audit.zero_paired.total(),
            "zero_shot_dropped": dict(sorted(audit.zero_dropped.items())),
            "not_in_all_three_logs": audit.unshared.total(),
            "absent_tasks": sorted(audit.absent),
        }
        rows.append(row)
        totals["questions"] += sum(audit.questions.values())
        totals["paired"] += audit.paired.total()
        totals["dropped"] += audit.dropped.total()
        totals["not_in_all_three_logs"] += audit.unshared.total()
        for task, logs in audit.absent.items():
            absent[task] = sorted({*absent.get(task, []), *logs})
    keys = ("questions", "paired", "dropped", "not_in_all_three_logs")
    return {**{key: totals[key] for key in keys}, "absent_tasks": dict(sorted(absent.items())), "runs": rows}


def training_rows(run: TunedRun) -> dict[str, Any]:
    """What a run was trained on, from its manifest: row counts by source, labels of the pool, the rows' SHA-256."""
    keys = ("rows", "rows_without_explanation", "questions", "labels", "threshold", "sha256")
    row = {"model": run.model, "domain": run.domain, "group": run.group, "seed": run.seed}
    if not run.manifest.is_file():
        return row | dict.fromkeys(keys)
    try:
        manifest = json.loads(run.manifest.read_bytes())
    except ValueError as error:
        raise InputError(f"is no JSON: {error}", do="write the group again", path=run.manifest) from error
    return row | {key: manifest.get(key) for key in keys}


def notes(logs: Sequence[LogRecord], audit: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the figures: limits, unusual settings, questions left out."""
    lines = limit_notes(logs)
    for role, spoken in _SPOKEN.items():
        members = [log for log in logs if log.role == role]
        shots = sorted({shot for log in members for shot in log.shots} - {_SHOTS[role]})
        if shots:
            lines.append(
                f"{spoken}: {', '.join(map(str, shots))} shots in some tasks, where the method has {_SHOTS[role]}"
            )
        if any(log.chat_template is not None and log.chat_template != _CHAT[role] for log in members):
            lines.append(f"{spoken}: {'no' if _CHAT[role] else 'a'} chat template, against the method")
    lines += difference_notes(logs)
    if audit["absent_tasks"]:
        names = list(audit["absent_tasks"])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        lines.append(f"{len(names)} tasks of the scopes are in no or not all logs: {', '.join(names[:5])}{more}")
    for key, text in (
        ("dropped", "could not be paired"),
        ("not_in_all_three_logs", "were paired but are not in all three logs"),
    ):
        if audit[key]:
            lines.append(f"{audit[key]} answers {text} and were left out")
    return lines


def limit_notes(logs: Sequence[LogRecord]) -> list[str]:
    """That lm_eval was asked for a slice of the questions only."""
    limits = sorted({log.limit for log in logs if log.limit is not None})
    told = ", ".join(f"{limit:g}" for limit in limits)
    return [f"lm_eval was limited (--limit {told}): a slice, not the whole test"] if limits else []


def difference_notes(logs: Sequence[LogRecord]) -> list[str]:
    """In which settings of the programs the logs differ."""
    lines = []
    for what, found in (("lm_eval version", "lm_eval_version"), ("dtype", "dtype")):
        values = sorted({str(getattr(log, found)) for log in logs if getattr(log, found) is not None})
        if len(values) > 1:
            lines.append(f"the logs differ in {what}: {', '.join(values)}")
    return lines


def undefined_notes(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which means leave questions out because they have no finite value there, such as an infinite KL."""
    counts: Counter[str] = Counter()
    for row in results:
        counts.update({name: figure["undefined"] for name, figure in row["tuned"].items()})
    return [
        f"{count} of {sum(row['n'] for row in results)} answers have no finite {name} and do not enter its means"
        for name, count in counts.items()
        if count
    ]


def versions() -> dict[str, str]:
    """Versions of what made the report."""
    return {
        "consistency": own_version(),
        "python": platform.python_version(),
        **{name: version(name) for name in _PACKAGES},
    }


def own_version() -> str:
    """Version of this project, or "source" where it is not installed."""
    try:
        return version("lm-eval-consistency")
    except PackageNotFoundError:
        return "source"


def signature(experiment: Experiment, logs: Sequence[LogRecord], interval: str) -> str:
    """One line that identifies the figures: what was measured, how, with which versions, from which inputs."""
    return "|".join(
        [
            f"experiment:{experiment.name}",
            f"models:{','.join(experiment.models)}",
            f"domains:{','.join(experiment.domains)}",
            f"groups:{','.join(experiment.groups)}",
            f"seeds:{','.join(map(str, experiment.seeds))}",
            f"shots:{_shots(logs, 'base_few_shot')}→{_shots(logs, 'tuned')}",
            f"dtype:{_told(logs, 'dtype')}",
            f"interval:{interval}",
            f"lm_eval:{_told(logs, 'lm_eval_version')}",
            f"consistency:{own_version()}",
            _inputs(logs),
        ]
    )


def pair_signature(logs: Sequence[LogRecord]) -> str:
    """What the signature of a comparison lacks: shots, precision, and which logs they were."""
    shots = "→".join(_shots(logs, role) for role in ("before", "after"))
    dtypes = "→".join(dict.fromkeys(log.dtype or "unknown" for log in logs))
    return "|".join([f"shots:{shots}", f"dtype:{dtypes}", _inputs(logs)])


def _told(logs: Sequence[LogRecord], name: str) -> str:
    """What the logs say of a setting, "unknown" where none does."""
    return "/".join(sorted({str(getattr(log, name)) for log in logs if getattr(log, name) is not None})) or "unknown"


def _shots(logs: Sequence[LogRecord], role: str) -> str:
    found = sorted({shot for log in logs if log.role == role for shot in log.shots})
    return "/".join(map(str, found)) or "unknown"


def _inputs(logs: Sequence[LogRecord]) -> str:
    inputs = hashlib.sha256("\n".join(sorted(log.sha256 for log in logs)).encode()).hexdigest()
    return f"inputs:sha256:{inputs[:16]}"
