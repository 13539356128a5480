"""The grid of an experiment: models × domains × groups × seeds, and where each artefact lives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from consistency.errors import InputError, not_one_of
from consistency.experiment.training_config import TrainingConfig, group_names, read_flags, resolve
from consistency.support.resources import shipped
from consistency.support.yaml_files import read_yaml
from consistency.tasks.scopes import TaskSet
from consistency.world.fields import DOMAINS

# What a model on a GPU is trained with unless its experiment says otherwise: the curve of the loss is the padded recipe's
# in float32 weights, at some ten times the speed (axolotl_configs/README.md).
ON_A_GPU = ("autocast", "packed", "liger")
# The first character keeps a folder from being hidden, or its parent.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
# Beside those of embedded.yaml.
_KEYS = ("name", "models", "domains", "groups", "seeds", "tasks", "preset")
# What the conversations in a step follow from, and what the grid itself says: a flag would change it behind their backs.
_NO_FLAGS = {
    **dict.fromkeys(
        ("micro_batch_size", "gradient_accumulation_steps", "sample_packing", "sequence_len"),
        "it in a preset of your own, behind those that the model has: preset: [NAME, mine.yml]",
    ),
    "base_model": "the model under models",
    "seed": "the seed under seeds",
    **dict.fromkeys(("output_dir", "dataset_prepared_path"), "none: the grid keeps each run in a folder of its own"),
}
_DEVICE = re.compile(r"cpu|mps|cuda(:(0|[1-9][0-9]*))?")


@dataclass(frozen=True)
class TunedRun:
    """One fine-tuned model of a grid.

    Attributes
    ----------
    model, domain, group : str
        Base model's name, domain and intervention group (``harmonious``, ``mixed_0.05``, …).
    seed : int
        Seed of the group's sampling and of the training order.
    folder : pathlib.Path
        The folder of one model × domain × seed; it holds ``groups``, ``tuned`` and ``logs``.
    """

    model: str
    domain: str
    group: str
    seed: int
    folder: Path

    @property
    def logs(self) -> Path:
        """The log folder of the tuned model's evaluation, 0-shot with the chat template."""
        return self.folder / "logs" / self.group

    @property
    def checkpoints(self) -> dict[int, Path]:
        """The log folders of the model as it was after an epoch, by epoch; none where only the last one was evaluated."""
        found = self.logs.parent.glob(f"{self.group}.epoch-*")
        numbered = {path.name.rpartition("-")[2]: path for path in found if path.is_dir()}
        return {int(epoch): numbered[epoch] for epoch in sorted(filter(str.isdecimal, numbered), key=int)}

    @property
    def config(self) -> Path:
        """What Axolotl was told, as the grid writes it."""
        return self.folder / "tuned" / f"{self.group}.yml"

    @property
    def manifest(self) -> Path:
        """How the group's training rows came about."""
        return self.folder / "groups" / f"{self.group}.manifest.json"

    @property
    def rows(self) -> Path:
        """The group's training rows."""
        return self.folder / "groups" / f"{self.group}.jsonl"


@dataclass(frozen=True)
class Experiment:
    """What to run.

    Attributes
    ----------
    name : str
        Name of the experiment and of its folder.
    root : pathlib.Path
        The folder of all artefacts.
    models : tuple of str
        Names of the base models.
    domains, groups : tuple of str
        Domains and intervention groups.
    seeds : tuple of int
        Seeds; each repeats the whole grid.
    task_set : {"world", "paper"}
        Whose questions: the embedded world's, or the paper's four domains and MMLU.
    sources : mapping of str to str
        What lm_eval and Axolotl load for each model: a folder, a name of the hub, or "embedded".
    presets : mapping of str to tuple of str
        What is laid over the training configs for each model.
    device : str
        Where models train and are evaluated: ``cpu``, ``mps``, ``cuda`` (a GPU for each run) or ``cuda:N`` (one for all).
    devices : int
        Number of devices that train one model.
    size : int or None
        Questions in each training set; None: as many as the model is confidently wrong about.
    axolotl : str
        Flags of ``axolotl train``, which have the last word.
    general, guard : str
        General instructions of the training sets, and evaluation sets left out of them; a file, a folder or, for
        `general`, "world" or a name of the hub.
    """

    name: str
    root: Path
    models: tuple[str, ...]
    domains: tuple[str, ...]
    groups: tuple[str, ...]
    seeds: tuple[int, ...]
    task_set: TaskSet = "world"
    sources: Mapping[str, str] = field(default_factory=dict)
    presets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    device: str = "cpu"
    devices: int = 1
    size: int | None = None
    axolotl: str = ""
    general: str = "world"
    guard: str = ""

    def config(self, model: str, group: str) -> TrainingConfig:
        """The training config of a group for a model, flags included.

        Raises
        ------
        InputError
            If there is no such preset, a flag is none, or the batch cannot be split over the devices.
        """
        settings = {"base_model": self.sources[model], **read_flags(self.axolotl)}
        return resolve(group, self.presets.get(model, ()), self.devices, settings)

    def base_logs(self, model: str, style: str) -> Path:
        """The log folder of a base model: ``icl`` (5-shot) or ``ift`` (0-shot with the chat template)."""
        return self.root / model / "base" / "logs" / style

    def runs(self) -> Iterator[TunedRun]:
        """Every fine-tuned model, seeds innermost."""
        for model in self.models:
            for domain in self.domains:
                for group in self.groups:
                    for seed in self.seeds:
                        yield TunedRun(model, domain, group, seed, self.root / model / domain / f"seed-{seed}")


def read_experiment(path: str | Path, root: str | Path, settings: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment file.

    Parameters
    ----------
    path : path-like
        A YAML file with the keys `name`, `models`, `domains`, `groups` and `seeds`; `tasks` is "world" without it, and
        what else it lacks is as ``embedded.yaml`` has it. `preset` is a name, a list of names, or either for each model;
        without it the embedded model has the preset ``world-cpu``, and another on a CUDA device those that train as fast
        as the loss curve allows (`ON_A_GPU`).
    root : path-like
        The folder of the experiment's artefacts.
    settings : mapping, optional
        Keys whose values take the place of the file's: what a profile of the grid says.

    Returns
    -------
    Experiment

    Raises
    ------
    InputError
        If the file is not YAML, a key is missing or of another type, or there is no such domain or group.

    Examples
    --------
    >>> from consistency.support.resources import shipped
    >>> read_experiment(shipped("scripts/experiments") / "demo.yaml", "runs/demo").groups
    ('harmonious', 'incompatible', 'self_aligning')
    """
    path = Path(path)
    loaded = read_yaml(path, "an experiment in YAML")
    if not isinstance(loaded, dict):
        raise InputError("is no mapping", expected="the keys name, models, domains, groups, seeds", path=path)
    defaults = read_yaml(shipped("scripts/Snakefile").with_name("embedded.yaml"), "defaults")
    loaded = defaults | loaded | (settings or {})
    known = sorted({*_KEYS, *defaults})
    if unknown := sorted(str(key) for key in loaded if key not in known):
        raise not_one_of("key", unknown[0], known, path=path)
    lists = _lists(loaded, path)
    task_set = loaded.get("tasks", "world")
    if task_set not in get_args(TaskSet):
        raise InputError(f"tasks: {task_set!r}", expected=" or ".join(get_args(TaskSet)), path=path)
    sources = loaded["models"]
    for model, source in sources.items():
        if not isinstance(source, str):
            raise InputError(f"models: {model}: {source!r}", expected="a folder, a name or 'embedded'", path=path)
    texts = _texts(loaded, path)
    if not isinstance(loaded["every_epoch"], bool):
        raise InputError(f"every_epoch: {loaded['every_epoch']!r}", expected="true or false", path=path)
    devices, size = loaded["devices"], loaded["size"]
    if type(devices) is not int or devices < 1:
        raise InputError(f"devices: {devices!r}", expected="a number of devices, from 1", path=path)
    if size is not None and (type(size) is not int or size < 1):
        raise InputError(f"size: {size!r}", expected="a number of questions, from 1", path=path)
    return Experiment(
        name=loaded["name"],
        root=Path(root),
        **lists,
        task_set=task_set,
        sources=sources,
        presets=_presets(loaded.get("preset", {}), sources, texts["device"], path),
        devices=devices,
        size=size,
        **texts,
    )


def _lists(loaded: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Models, domains, groups and seeds."""
    lists: dict[str, Any] = {}
    for key, container, kind in (
        ("models", dict, str),
        ("domains", list, str),
        ("groups", list, str),
        ("seeds", list, int),
    ):
        values = list(loaded[key]) if isinstance(loaded.get(key), container) else []
        if not values or not all(type(value) is kind for value in values) or len(set(values)) < len(values):
            what = "a mapping of names" if container is dict else f"distinct values of type {kind.__name__}"
            problem = f"{key}: {loaded[key]!r}" if key in loaded else f"no key {key!r}"
            raise InputError(problem, expected=what, path=path)
        lists[key] = tuple(values)
    if not all(0 <= seed < 2**32 for seed in lists["seeds"]):
        raise InputError(f"seeds: {loaded['seeds']}", expected="numbers from 0 to 2**32 - 1, as NumPy takes", path=path)
    for name in (loaded.get("name"), *lists["models"]):
        # They become folders, which are also removed: no space, and no way out of the experiment's root.
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(f"{name!r} is no name", expected="letters, digits, '.', '_' and '-'", path=path)
    for domain in lists["domains"]:
        if domain not in DOMAINS:
            raise not_one_of("domain", domain, DOMAINS, path=path)
    for group in lists["groups"]:
        # A group is trained as its config says.
        if group not in group_names():
            raise InputError(
                f"no intervention group {group!r}", expected=f"one of {', '.join(group_names())}", path=path
            )
        if group == "contextualized":
            raise InputError(
                "contextualized needs contexts, which the grid does not have written",
                do="build it with consistency groups --contexts and train it by hand",
                path=path,
            )
    return lists


def _texts(loaded: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Flags, sources and the device."""
    texts: dict[str, Any] = {}
    for key in ("axolotl", "device", "general", "guard", "lm_eval", "model_args"):
        # A key without a value is one without text.
        texts[key] = "" if loaded[key] is None else loaded[key]
        if not isinstance(texts[key], str):
            raise InputError(f"{key}: {loaded[key]!r}", expected="text", path=path)
    if not _DEVICE.fullmatch(texts["device"]):
        raise InputError(f"device: {texts['device']!r}", expected="cpu, cuda, cuda:N or mps", path=path)
    if re.search(r"--device(?=[ =]|$)", texts.pop("lm_eval")):
        # Training goes by the device, too.
        raise InputError("lm_eval: --device", expected="the device as a key, device: cuda", path=path)
    for key in read_flags(texts["axolotl"], path):
        if key in _NO_FLAGS:
            raise InputError(f"axolotl: a flag for {key}", expected=_NO_FLAGS[key], path=path)
    # For the grid alone.
    del texts["model_args"]
    return texts


def _presets(given: Any, sources: Mapping[str, str], device: str, path: Path) -> dict[str, tuple[str, ...]]:
    named = given if isinstance(given, dict) else dict.fromkeys(sources, given)
    found: dict[str, tuple[str, ...]] = {}
    for model, source in sources.items():
        if source == "embedded":
            found[model] = ("world-cpu",)
        elif device.startswith("cuda"):
            found[model] = ON_A_GPU
    for model, names in named.items():
        if model not in sources:
            raise InputError(f"preset: no model {model!r}", expected=f"one of {', '.join(sources)}", path=path)
        names = [names] if isinstance(names, str) else names
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f"preset: {names!r}", expected="a name, or a list of names", path=path)
        found[model] = tuple(names)
    return found
