"""What the results file of a run records: its model, its settings, its tasks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.support.host import counted

_GPU = re.compile(r"^GPU \d+: (.+)$", re.MULTILINE)
_PROCESSOR = re.compile(r"^Model name:\s*(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class RunConfig:
    """How a run was made, as far as its results file records it.

    Attributes
    ----------
    model, model_args, model_name, lm_eval_version, date : str or None
        As logged; `date` is the run's ISO date from its file names.
    num_fewshot, versions : dict of str to int or float
        By task.
    groups : dict of str to list of str
        The members of each group of tasks that was asked.
    chat_template : bool or None
        Whether a chat template was applied.
    template : str or None
        Its text, where one was applied and the log has it.
    device, hardware : str or None
        Where the model ran, and the names of the GPUs or of the processor there.
    git_commit : str or None
        Of the working directory.
    documents : dict of str to int
        How many documents each task has, of which `limit` may have been run.
    content : dict of str to object
        The whole results file, as its JSON; empty where there is none.
    """

    model: str | None = None
    model_args: str | None = None
    model_name: str | None = None
    lm_eval_version: str | None = None
    date: str | None = None
    num_fewshot: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    chat_template: bool | None = None
    system_instruction: str | None = None
    limit: float | None = None
    dtype: str | None = None
    template: str | None = None
    device: str | None = None
    hardware: str | None = None
    git_commit: str | None = None
    results: Path | None = None
    documents: Mapping[str, int] = field(default_factory=dict)
    content: Mapping[str, Any] = field(default_factory=dict, repr=False)


def read_config(results: Path | None, date: str) -> tuple[RunConfig, list[str]]:
    """What the results file records about the run, and the names of the tasks in it.

    Parameters
    ----------
    results : Path or None
        The file, where the run has one.
    date : str
        The run's date from its file names; empty where they have none.

    Raises
    ------
    InputError
        If the file is damaged.
    """
    if results is None:
        return RunConfig(date=date or None), []
    try:
        content = json.loads(results.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise InputError(
            f"cannot be read: {error}",
            expected="the results file of lm_eval",
            do="remove it or copy it again",
            path=results,
            line=line,
        ) from None
    if not isinstance(content, dict):
        raise InputError("not a results file", expected="a JSON object", do="remove it", path=results)

    def mapping(name: str) -> dict[str, Any]:
        value = content.get(name)
        return value if isinstance(value, dict) else {}

    def numbers(name: str) -> dict[str, float]:
        return {task: number for task, value in mapping(name).items() if (number := _number(value)) is not None}

    config = mapping("config")
    arguments = config.get("model_args")
    if isinstance(arguments, dict):
        arguments = ",".join(f"{key}={value}" for key, value in arguments.items())
    limit, dtype = _number(config.get("limit")), _text(config.get("model_dtype"))
    documents = {
        task: counts["original"]
        for task, counts in mapping("n-samples").items()
        if isinstance(counts, dict) and type(counts.get("original")) is int
    }
    return RunConfig(
        model=_text(config.get("model")),
        model_args=_text(arguments),
        model_name=_text(content.get("model_name")),
        lm_eval_version=_text(content.get("lm_eval_version")),
        date=date or None,
        num_fewshot=numbers("n-shot"),
        versions=numbers("versions"),
        groups={
            name: [*map(str, found)] for name, found in mapping("group_subtasks").items() if isinstance(found, list)
        },
        chat_template=bool(content["chat_template"]) if "chat_template" in content else None,
        system_instruction=_text(content.get("system_instruction")),
        limit=limit,
        dtype=None if dtype is None else dtype.removeprefix("torch."),
        template=_text(content.get("chat_template") or None),
        device=_text(config.get("device")),
        hardware=_hardware(_text(content.get("pretty_env_info")) or "", _text(config.get("device")) or ""),
        git_commit=_text(content.get("git_hash")),
        results=results,
        documents=documents,
        content=content,
    ), [*mapping("configs"), *mapping("results")]


def _text(value: Any) -> str | None:
    # Half a surrogate pair could not be written again.
    return None if value is None else str(value).encode("utf-8", "replace").decode()


def _hardware(environment: str, device: str) -> str | None:
    """The GPUs, or on another device the processor, in the environment that lm_eval logs.

    A log that names no device was made on the GPUs, where there are any.
    """
    names = _GPU.findall(environment) if not device or device.startswith("cuda") else []
    if not names and not device.startswith("cuda"):
        names = _PROCESSOR.findall(environment)
    return counted([name.strip() for name in names]) or None


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() else number
