"""An experiment: its file, its grid of models × domains × groups × seeds, and the folders of its artefacts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from consistency.errors import InputError
from consistency.experiment.arguments import REMOTE_CODE
from consistency.experiment.flags import TrainingFlags
from consistency.experiment.group_names import plain
from consistency.experiment.presets import read_preset
from consistency.experiment.row_manifest import manifest_of
from consistency.experiment.training_config import TrainingConfig, resolve
from consistency.tasks.own_domain import OwnDomain
from consistency.tasks.scopes import TaskSet, scope_tasks
from consistency.world.model import BASE_MODEL

# Keys that no preset of an experiment may have, and what to write instead: the base model is asked in the same template, and
# the epochs that are kept and planned are those of the configs.
_ONLY_HERE = {
    **dict.fromkeys(("chat_template", "chat_template_jinja"), "template: NAME in the experiment"),
    "max_steps": "num_epochs in the preset",
    "trust_remote_code": REMOTE_CODE,
}
# A model is saved after each epoch, and none is deleted.
_WATCH = "consistency.watch.Watch"
_KEEP_EPOCHS = {"save_strategy": "epoch", "save_total_limit": 1000}


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
        return manifest_of(self.rows)

    @property
    def host(self) -> Path:
        """What the grid noted of the host that trained the model."""
        return self.folder / "tuned" / self.group / "host.json"

    @property
    def watch(self) -> Path:
        """What was found while the model was trained, where the training was watched."""
        return self.folder / "tuned" / self.group / "watch"

    @property
    def rows(self) -> Path:
        """The group's training rows."""
        return self.folder / "groups" / f"{self.group}.jsonl"


@dataclass(frozen=True)
class Recipe:
    """How one model of a grid is trained: a base model, presets, and a learning rate.

    Attributes
    ----------
    base : str
        Name of the base model.
    presets : tuple of str
        The presets, which replace values of the training configs.
    learning_rate : float or None
        None: that of the configs and presets.
    """

    base: str
    presets: tuple[str, ...] = ()
    learning_rate: float | None = None


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
        Names of the models that are trained: those of the base models; where one is trained in several ways, a name for each
        (``llama.lora``, ``llama.lr-1e-05``).
    domains, groups : tuple of str
        Domains and intervention groups.
    seeds : tuple of int
        Seeds; each repeats the whole grid.
    task_set : {"world", "paper"}
        Whose questions: the embedded world's, or the paper's four domains and MMLU.
    sources : mapping of str to str
        What lm_eval and Axolotl load for each base model: a folder, a name of the hub, or "embedded".
    recipes : mapping of str to Recipe
        How each of `models` is trained; one without an entry is a base model without presets.
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
        `general`, "world", "none" or a name of the hub.
    template : str
        The chat template that the models train with, and that they and their base models are asked in: see `read_template`.
    network : bool
        Whether the programs may fetch models and data.
    threshold : float
        The probability that an answer must exceed to count as knowledge.
    limit : int or None
        Questions of each task that are asked, the first ones; None: all.
    allow_incomplete : bool
        Whether groups are trained whose rows lack many explanations or contexts.
    probes : sequence of str
        Styles in which the base model is asked the pools' questions besides "icl", for the map of what it knows.
    context_model : str
        What writes the contexts of CONTEXTUALIZED: a folder or a name of the hub; empty for each base model itself.
    model_args, lm_eval : str
        Arguments of the model and further flags of lm_eval.
    own_domains : mapping of str to OwnDomain
        Those of `domains` that are the user's own.
    watch : mapping or None
        How each training is watched: the settings of `consistency.watch`, in which ``{domain}`` stands for the run's domain.
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
    recipes: Mapping[str, Recipe] = field(default_factory=dict)
    device: str = "cpu"
    devices: int = 1
    size: int | None = None
    flags: TrainingFlags = field(default_factory=TrainingFlags)
    every_epoch: bool = False
    explanation_attempts: int = 3
    general: str = "world"
    guard: str = ""
    template: str = "vicuna"
    network: bool = False
    threshold: float = 0.5
    limit: int | None = None
    allow_incomplete: bool = False
    probes: Sequence[str] = ()
    context_model: str = ""
    model_args: str = ""
    lm_eval: str = ""
    own_domains: Mapping[str, OwnDomain] = field(default_factory=dict)
    watch: Mapping[str, Any] | None = None
    path: Path | None = None

    def config(
        self,
        model: str | None,
        group: str,
        settings: Mapping[str, Any] | None = None,
        rows: str | Path | None = None,
        domain: str | None = None,
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
        domain : str, optional
            Whose run it is, where the training is watched.

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
        recipe = self.recipe(model)
        for preset in recipe.presets:
            for key, expected in _ONLY_HERE.items():
                if read_preset(preset).get(key):
                    raise InputError(f"preset: {preset} sets {key}", expected=expected, path=self.path)
        source = self.sources[recipe.base]
        given = {
            "base_model": str(BASE_MODEL) if source == "embedded" else source,
            **({} if recipe.learning_rate is None else {"learning_rate": recipe.learning_rate}),
            **(_KEEP_EPOCHS if self.every_epoch else {}),
            **(settings or {}),
        }
        found = resolve(group, recipe.presets, self.devices, given, rows, self.flags, self.template)
        if self.watch is None:
            return found
        plugins = [*dict.fromkeys([*found.values.get("plugins", []), _WATCH])]
        return replace(found, values={**found.values, "plugins": plugins, "watch": self.watched(domain)})

    def watched(self, domain: str | None) -> dict[str, Any]:
        """How a training of a domain is watched; ``{domain}`` stays as it is without one."""
        settings = dict(self.watch or {})
        if domain is None:
            return settings
        if domain in self.own_domains:
            settings.setdefault("include_path", str(self.own_tasks(domain).resolve()))
        for key in ("tasks", "learn"):
            given = settings.get(key)
            if isinstance(given, str | list):
                names = [given] if isinstance(given, str) else given
                settings[key] = [name.replace("{domain}", domain) if isinstance(name, str) else name for name in names]
        return settings

    @property
    def explained(self) -> list[str]:
        """The groups whose rows hold explanations that the base model writes: where some model trains on pairs, all."""
        pairs = any("rl" in read_preset(name) for recipe in self.recipes.values() for name in recipe.presets)
        return [group for group in self.groups if pairs or needs_explanations(group)]

    def recipe(self, model: str) -> Recipe:
        """How a model is trained."""
        return self.recipes.get(model) or Recipe(model)

    def own_tasks(self, domain: str) -> Path:
        """The folder of an own domain's task files and questions."""
        return self.root / "tasks" / domain

    def scopes(
        self, domain: str, style: str, groups: Mapping[str, Sequence[str]] | None = None
    ) -> dict[str, list[str]]:
        """The lm_eval tasks of each scope of a domain in one style, "icl" or "ift"; a scope without tasks is absent.

        Parameters
        ----------
        domain, style : str
        groups : mapping, optional
            The members of lm_eval's groups, by which an own domain's groups are replaced: `OwnDomain.scopes`.
        """
        own = self.own_domains.get(domain)
        return scope_tasks(domain, style, self.task_set) if own is None else own.scopes(style, groups)

    def base_logs(self, model: str, style: str) -> Path:
        """The log folder of the base model of a model: ``icl`` (5-shot) or ``ift`` (0-shot with the chat template)."""
        return self.root / self.recipe(model).base / "base" / "logs" / style

    def runs(self) -> Iterator[TunedRun]:
        """Every fine-tuned model, with the seed varying fastest."""
        for model in self.models:
            for domain in self.domains:
                for group in self.groups:
                    for seed in self.seeds:
                        yield TunedRun(model, domain, group, seed, self.root / model / domain / f"seed-{seed}")


def needs_contexts(group: str) -> bool:
    """Whether the rows of a group begin with the knowledge that their questions need, which a model writes."""
    return plain(group) == "contextualized"


def needs_explanations(group: str) -> bool:
    """Whether the rows of a group hold explanations that the base model writes.

    Examples
    --------
    >>> needs_explanations("mixed_0.4"), needs_explanations("harmonious")
    (True, False)
    """
    return group.startswith(("self_aligning", "mixed_", "random_wrong"))
