"""What the results file of a run records: its model, its settings, its tasks."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.logs.packed import read_log
from consistency.support.host import counted
from consistency.support.json_files import parse_json

# Model arguments whose values are never repeated.
SECRETS = ("api_key", "auth_token", "token", "hf_token", "header", "headers", "password")
_SECRET = re.compile(rf"(?<![A-Za-z_])({'|'.join(SECRETS)})=(\{{.*?\}}|[^,]*)")
_GPU = re.compile(r"^GPU \d+: (.+)$", re.MULTILINE)
_PROCESSOR = re.compile(r"^Model name:\s*(.+)$", re.MULTILINE)

# What a results file records by task and group.
_BY_TASK = (
    *("results", "groups", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples"),
    "task_hashes",
)
# The entry of its `config` in which this project's models record by task which prompts were cut.
TRUNCATED = "truncated_prompts"
# What it records of the whole run and may move scores, by the name for readers: keys at its top or in its `config`.
_SETTINGS = {
    "model": ("model",),
    "model_args": ("model_args",),
    "lm_eval version": ("lm_eval_version",),
    "chat template": ("chat_template", "fewshot_as_multiturn"),
    "system instruction": ("system_instruction",),
    "dtype": ("model_dtype",),
    "limit": ("limit",),
    "gen_kwargs": ("gen_kwargs",),
    "seeds": ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed"),
}


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
    harness, harness_version : str or None
        The program that wrote the log, where it is not lm_eval, and its version or commit.
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
    harness: str | None = None
    harness_version: str | None = None


def read_config(results: Path | None, date: str) -> RunConfig:
    """What the results file records about the run.

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
        return RunConfig(date=date or None)
    expected, do = "the results file of lm_eval", "remove it or copy it again"
    try:
        content = parse_json(read_log(results), results, expected, do)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", expected=expected, do=do, path=results) from None
    if not isinstance(content, dict):
        raise InputError("not a results file", expected="a JSON object", do="remove it", path=results)
    return _to_config(content, results, date)


def merge_configs(parts: Sequence[tuple[RunConfig, Collection[str]]]) -> RunConfig:
    """One record of runs that are read together.

    What is recorded by task is that of the run whose samples of the task are read. A group's result belongs to one run: it
    is kept if none of the group's tasks is read from another. All else is the newest run's; such runs agree in their
    settings (`differing_settings`).

    Parameters
    ----------
    parts : sequence of (RunConfig, collection of str)
        The newest first, each with the tasks that are read from it.
    """
    run_of = {task: number for number, (_, tasks) in enumerate(parts) for task in tasks}
    recorded = [config for config, _ in parts if config.content]
    if not recorded:
        return parts[0][0]
    content = dict(recorded[0].content)
    for key in _BY_TASK:
        merged: dict[str, Any] = {}
        for number, (config, _) in reversed([*enumerate(parts)]):
            for name, value in _mapping(config.content, key).items():
                if name in run_of:
                    belongs = run_of[name] == number
                else:
                    belongs = key == "group_subtasks" or _is_of_one_run(name, config, run_of, number)
                if belongs:
                    merged[name] = value
        if merged or key in content:
            content[key] = merged
    cut = {
        name: value
        for number, (config, _) in enumerate(parts)
        for name, value in _mapping(_mapping(config.content, "config"), TRUNCATED).items()
        if run_of.get(name) == number
    }
    if cut or TRUNCATED in _mapping(content, "config"):
        content["config"] = {**_mapping(content, "config"), TRUNCATED: cut}
    return _to_config(content, recorded[0].results, parts[0][0].date or "")


def differing_settings(one: RunConfig, two: RunConfig) -> tuple[str, ...]:
    """Settings of whole runs that both record, and in which they differ: such runs are not one evaluation.

    What a run has for each task, such as the number of shots, is not among them.
    """
    first, second = ({**config.content, **_mapping(config.content, "config")} for config in (one, two))
    return tuple(
        setting
        for setting, keys in _SETTINGS.items()
        if any(key in first and key in second and _comparable(first[key]) != _comparable(second[key]) for key in keys)
    )


def _comparable(value: Any) -> Any:
    """A setting's value in the one form of all that mean the same."""
    if isinstance(value, dict):
        value = ",".join(f"{key}={item}" for key, item in value.items())
    if isinstance(value, str) and "=" in value:
        value = sorted(part.strip() for part in value.split(","))
    return value or None


def _is_of_one_run(name: str, config: RunConfig, run_of: Mapping[str, int], number: int) -> bool:
    """Whether no task of a group, or the task of this name, is read from another run than the one of this number."""
    if name in config.groups or name in _mapping(config.content, "groups"):
        members = leaf_tasks(name, config.groups)
        return bool(members) and all(run_of.get(task, number) == number for task in members)
    return True


def moment(date: str) -> str:
    """A date that sorts by time, whatever zone it is told in; as it is written where it names none.

    Examples
    --------
    >>> moment("2026-03-04T01:00:00+02:00"), moment("2026-03-04T05-06-07.5")
    ('2026-03-03T23-00-00.000000+00-00', '2026-03-04T05-06-07.5')
    """
    try:
        found = datetime.fromisoformat(date)
        written = date if found.tzinfo is None else found.astimezone(UTC).isoformat(timespec="microseconds")
    except (ValueError, OverflowError):
        written = date
    return written.replace(":", "-")


def model_name(config: RunConfig) -> str:
    """A model as readers know it: the last part of its path or name, of a path into the hub's cache the model's own.

    Examples
    --------
    >>> model_name(RunConfig(model="hf", model_args="pretrained=lmsys/vicuna-33b-v1.3"))
    'vicuna-33b-v1.3'
    """
    named = re.search(r"(?:^|,)\s*(?:pretrained|model)=([^,]+)", config.model_args or "")
    return short_name(config.model_name or (named[1] if named else config.model) or "a model")


def short_name(name: str) -> str:
    """The last part of a model's path or name, of a path into the hub's cache the model's own.

    Examples
    --------
    >>> short_name("lmsys/vicuna-33b-v1.3"), short_name("/hub/models--Qwen--Qwen2.5-1.5B/snapshots/989aa7980e4c")
    ('vicuna-33b-v1.3', 'Qwen2.5-1.5B')
    """
    parts = name.replace("__", "/").rstrip("/").split("/")
    cached = [part for part in parts if part.startswith("models--")]
    return cached[-1].split("--")[-1] if cached else parts[-1]


def programs(configs: Sequence[RunConfig]) -> str:
    """The programs that wrote the logs of some runs with their versions, for a signature.

    Examples
    --------
    >>> lm_eval = RunConfig(lm_eval_version="0.4.11")
    >>> programs([lm_eval, RunConfig()]), programs([lm_eval, RunConfig(harness="lighteval")])
    ('lm_eval:0.4.11/unknown', 'programs:lm_eval 0.4.11/lighteval unknown')
    """
    found = [
        (
            config.harness or "lm_eval",
            (config.harness_version if config.harness else config.lm_eval_version) or "unknown",
        )
        for config in configs
    ]
    if len({name for name, _ in found}) == 1:
        return f"{found[0][0]}:{'/'.join(version for _, version in found)}"
    return f"programs:{'/'.join(f'{name} {version}' for name, version in found)}"


def was_limited(config: RunConfig, tasks: Iterable[str]) -> bool:
    """Whether `--limit` left questions out of one of some tasks, as far as the log says how many each has."""
    if config.limit is None:
        return False
    known = [config.documents.get(name.split(",")[0]) for name in tasks]
    return config.limit < 1 or any(size is None or size > config.limit for size in known)


def limit_lines(limits: Iterable[float | None]) -> list[str]:
    """A line that says to how many questions lm_eval was limited; none where it was not.

    Examples
    --------
    >>> limit_lines([None, 20, 20])
    ['lm_eval was limited (--limit 20): a slice, not the whole test']
    """
    given = ", ".join(f"{limit:g}" for limit in sorted({limit for limit in limits if limit is not None}))
    return [f"lm_eval was limited (--limit {given}): a slice, not the whole test"] if given else []


def leaf_tasks(name: str, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """The tasks below a group, through the groups in it.

    Examples
    --------
    >>> leaf_tasks("all", {"all": ["sums", "law"], "sums": ["plus", "minus"], "law": []})
    ['plus', 'minus', 'law']
    """
    found: dict[str, None] = {}
    seen: set[str] = set()

    def visit(member: str) -> None:
        if member in seen:
            return
        seen.add(member)
        if groups.get(member):
            for below in groups[member]:
                visit(below)
        else:
            found[member] = None

    for member in groups.get(name, ()):
        visit(member)
    return list(found)


def _mapping(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _to_config(content: dict[str, Any], results: Path | None, date: str) -> RunConfig:
    def numbers(name: str) -> dict[str, float]:
        return {
            task: number for task, value in _mapping(content, name).items() if (number := _number(value)) is not None
        }

    config = _mapping(content, "config")
    arguments = config.get("model_args")
    if isinstance(arguments, dict):
        arguments = ",".join(f"{key}={value}" for key, value in arguments.items())
    if isinstance(arguments, str):
        # Results are shown to others.
        arguments = _SECRET.sub(r"\1=…", arguments)
    limit, dtype = _number(config.get("limit")), _text(config.get("model_dtype"))
    documents = {
        task: counts["original"]
        for task, counts in _mapping(content, "n-samples").items()
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
            name: [*map(str, found)]
            for name, found in _mapping(content, "group_subtasks").items()
            if isinstance(found, list)
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
    )


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
