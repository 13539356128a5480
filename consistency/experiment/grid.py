"""An experiment: its file, its grid of models × domains × groups × seeds, and the folders of its artefacts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from consistency.errors import InputError, not_one_of
from consistency.experiment.flags import TrainingFlags, read_flags
from consistency.experiment.training_config import TrainingConfig, group_names, resolve
from consistency.support.resources import shipped
from consistency.support.yaml_files import read_yaml
from consistency.tasks.scopes import TaskSet
from consistency.world.fields import DOMAINS
from consistency.world.model import BASE_MODEL

# The presets of a model on a GPU, unless its experiment names others: the loss curve is that of the padded recipe with float32
# weights, at some ten times the speed (axolotl_configs/README.md).
ON_A_GPU = ("autocast", "packed", "liger")
# The first character rules out a hidden folder and the folder's parent.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
# The keys of an experiment file, besides those of embedded.yaml.
_KEYS = ("name", "models", "domains", "groups", "seeds", "tasks", "preset")
# Settings that no flag may change, with what to write instead: the batch is computed from some of them, and the grid sets
# the others for each run.
_FORBIDDEN_FLAGS = {
    **dict.fromkeys(
        ("micro_batch_size", "gradient_accumulation_steps", "sample_packing", "sequence_len"),
        "it in a preset of your own, behind those that the model has: preset: [NAME, mine.yml]",
    ),
    "base_model": "the model under models",
    "seed": "the seed under seeds",
    "datasets": "none: the grid makes the training rows of each group",
    **dict.fromkeys(("output_dir", "dataset_prepared_path"), "none: the grid keeps each run in a folder of its own"),
    "sweep": "none: a run of the grid trains one model",
    "cloud": "none: a profile says where the grid runs",
}
# A model is saved after each epoch, and none is deleted.
_KEEP_EPOCHS = {"save_strategy": "epoch", "save_total_limit": 1000}
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
        """The log folders of the models after each epoch but the last, by epoch; empty if only the last was evaluated."""
        found = self.logs.parent.glob(f"{self.group}.epoch-*")
        numbered = {path.name.rpartition("-")[2]: path for path in found if path.is_dir()}
        return {int(epoch): numbered[epoch] for epoch in sorted(filter(str.isdecimal, numbered), key=int)}

    @property
    def config(self) -> Path:
        """The training config of the run, which the grid writes and Axolotl trains."""
        return self.folder / "tuned" / f"{self.group}.yml"

    @property
    def manifest(self) -> Path:
        """The manifest of the training rows: what they were made from."""
        return self.folder / "groups" / f"{self.group}.manifest.json"

    @property
    def rows(self) -> Path:
        """The group's training rows."""
        return self.folder / "groups" / f"{self.group}.jsonl"


@dataclass(frozen=True)
class Experiment:
    """An experiment: what to train, what to evaluate, and how.

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
        The presets of each model, which replace values of the training configs.
    device : str
        Where models train and are evaluated: ``cpu``, ``mps``, ``cuda`` (a GPU for each run) or ``cuda:N`` (one for all).
    devices : int
        Number of devices that train one model.
    size : int or None
        Questions in each training set; None: as many as the model is confidently wrong about.
    flags : TrainingFlags
        Flags of ``axolotl train``, which replace values of the training configs and of presets.
    every_epoch : bool
        Whether a model is kept and evaluated after each epoch, too.
    explanation_attempts : int
        How often the model is asked to explain an answer, until an explanation argues for it; 0: once, unchecked, as
        the embedded world's are by default.
    general, guard : str
        General instructions of the training sets, and evaluation sets left out of them; a file, a folder or, for
        `general`, "world" or a name of the hub.
    model_args, lm_eval : str
        Arguments of the model and further flags of lm_eval.
    path : pathlib.Path or None
        The file that the experiment was read from.
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
    flags: TrainingFlags = field(default_factory=TrainingFlags)
    every_epoch: bool = False
    explanation_attempts: int = 3
    general: str = "world"
    guard: str = ""
    model_args: str = ""
    lm_eval: str = ""
    path: Path | None = None

    def config(
        self,
        model: str | None,
        group: str,
        settings: Mapping[str, Any] | None = None,
        rows: str | Path | None = None,
    ) -> TrainingConfig:
        """The training config of a group for a model, presets and flags included: all that ``axolotl train`` reads.

        Parameters
        ----------
        model : str or None
            One of `models`; None for the only one.
        group : str
            Intervention group.
        settings : mapping, optional
            Keys that replace all others, such as `seed` and `output_dir`.
        rows : path-like, optional
            The group's rows, as `resolve` takes them.

        Raises
        ------
        InputError
            If there is no such model, group or preset, a flag has a value of the wrong type, or the batch cannot be split
            over the devices.
        """
        if model is None and len(self.models) == 1:
            model = self.models[0]
        if model not in self.models:
            problem = "has several models" if model is None else f"has no model {model}"
            raise InputError(problem, expected=f"--model, one of {', '.join(self.models)}", path=self.path)
        source = self.sources[model]
        given = {
            "base_model": str(BASE_MODEL) if source == "embedded" else source,
            **(_KEEP_EPOCHS if self.every_epoch else {}),
            **(settings or {}),
        }
        return resolve(group, self.presets.get(model, ()), self.devices, given, rows, self.flags)

    def base_logs(self, model: str, style: str) -> Path:
        """The log folder of a base model: ``icl`` (5-shot) or ``ift`` (0-shot with the chat template)."""
        return self.root / model / "base" / "logs" / style

    def runs(self) -> Iterator[TunedRun]:
        """Every fine-tuned model, with the seed varying fastest."""
        for model in self.models:
            for domain in self.domains:
                for group in self.groups:
                    for seed in self.seeds:
                        yield TunedRun(model, domain, group, seed, self.root / model / domain / f"seed-{seed}")


def needs_explanations(group: str) -> bool:
    """Whether the rows of a group hold explanations that the base model writes.

    Examples
    --------
    >>> needs_explanations("mixed_0.4"), needs_explanations("harmonious")
    (True, False)
    """
    return group.startswith(("self_aligning", "mixed_"))


def read_experiment(path: str | Path, root: str | Path, settings: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment file.

    Parameters
    ----------
    path : path-like
        A YAML file with the keys `name`, `models`, `domains`, `groups` and `seeds`; `tasks` is "world" without it, and
        what else it lacks is as in ``embedded.yaml``. `preset` is a name, a list of names, or either for each model;
        without it the embedded model has the preset ``world-cpu``, and another on a CUDA device those that train as fast
        as the loss curve allows (`ON_A_GPU`).
    root : path-like
        The folder of the experiment's artefacts.
    settings : mapping, optional
        Keys whose values replace the file's, as a profile of the grid or ``--set`` gives them.

    Returns
    -------
    Experiment

    Raises
    ------
    InputError
        If the file is not valid YAML, a key is missing or has a value of the wrong type, there is no such domain or group,
        or a flag of `axolotl` changes what the grid itself sets.

    Examples
    --------
    >>> from consistency.support.resources import shipped
    >>> read_experiment(shipped("scripts/experiments") / "demo.yaml", "runs/demo").groups
    ('harmonious', 'incompatible', 'self_aligning')
    """
    path = Path(path)
    loaded = read_yaml(path, "an experiment in YAML")
    if not isinstance(loaded, dict):
        raise InputError("is not a mapping", expected="the keys name, models, domains, groups, seeds", path=path)
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
    attempts = loaded["explanation_attempts"]
    if attempts is None:
        # The embedded model does not read what it is shown: it picks options at chance, with any explanation.
        attempts = 0 if task_set == "world" else 3
    if type(attempts) is not int or attempts < 0:
        raise InputError(f"explanation_attempts: {attempts!r}", expected="a number of rounds, from 0", path=path)
    return Experiment(
        name=loaded["name"],
        root=Path(root),
        **lists,
        task_set=task_set,
        sources=sources,
        presets=_presets(loaded.get("preset", {}), sources, texts["device"], path),
        devices=devices,
        size=size,
        every_epoch=loaded["every_epoch"],
        explanation_attempts=attempts,
        path=path,
        **texts,
    )


def _lists(loaded: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The names of models, the domains, groups and seeds, checked."""
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
            raise InputError(f"{name!r} is not a name", expected="letters, digits, '.', '_' and '-'", path=path)
    for domain in lists["domains"]:
        if domain not in DOMAINS:
            raise not_one_of("domain", domain, DOMAINS, path=path)
    for group in lists["groups"]:
        if group not in group_names():
            raise not_one_of("intervention group", group, group_names(), path=path)
        if group == "contextualized":
            raise InputError(
                "contextualized needs contexts, which the grid does not have written",
                do="build it with consistency groups --contexts and train it by hand",
                path=path,
            )
    return lists


def _texts(loaded: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The flags of axolotl, and the keys whose values are text, checked."""
    texts: dict[str, Any] = {}
    for key in ("axolotl", "device", "general", "guard", "lm_eval", "model_args"):
        # A key without a value is one without text.
        texts[key] = "" if loaded[key] is None else loaded[key]
        if not isinstance(texts[key], str):
            raise InputError(f"{key}: {loaded[key]!r}", expected="text", path=path)
    if not _DEVICE.fullmatch(texts["device"]):
        raise InputError(f"device: {texts['device']!r}", expected="cpu, cuda, cuda:N or mps", path=path)
    if re.search(r"--device(?=[ =]|$)", texts["lm_eval"]):
        # Training reads the device, too.
        raise InputError("lm_eval: --device", expected="the device as a key, device: cuda", path=path)
    flags = read_flags(texts.pop("axolotl"), path)
    for flag in (*flags.settings, *flags.command):
        if flag.key in _FORBIDDEN_FLAGS:
            raise InputError(f"axolotl: a flag for {flag.key}", expected=_FORBIDDEN_FLAGS[flag.key], path=path)
    return texts | {"flags": flags}


def _presets(given: Any, sources: Mapping[str, str], device: str, path: Path) -> dict[str, tuple[str, ...]]:
    """The presets of each model: those given, or those that its source and device have by default."""
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
