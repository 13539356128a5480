"""What an experiment needs of the host it runs on: models, questions, instructions, a device, and what it would fetch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from consistency.errors import InputError
from consistency.experiment.arguments import is_hub_name
from consistency.experiment.grid import Experiment
from consistency.experiment.workflow import visible_gpus
from consistency.support.host import list_gpus
from consistency.support.json_files import read_rows
from consistency.tasks import sources
from consistency.tasks.mmlu import SUBJECTS
from consistency.tasks.own_tasks import read_own_domain
from consistency.tasks.questions import Question, read_questions
from consistency.world.questions import SIZES

HUB = "hub:"
# By group: which of the pool's questions it is a sample of. The size of each kind is known after the probe only.
_KINDS = {"harmonious": "known", "unsure": "unsure", "gold_all": "all", "general_only": "none"}
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class Fetch:
    """Something that an experiment takes from the network.

    Attributes
    ----------
    what : str
        What it is: "model llama", "questions of MMLU".
    source : str
        Where it comes from.
    """

    what: str
    source: str

    def to_text(self) -> str:
        """Both in one line."""
        return f"{self.what}: {self.source}"


def is_folder(source: str) -> bool:
    """Whether a model's source is a path, and not a name of the hub.

    Examples
    --------
    >>> is_folder("./model"), is_folder("org/model-7b")
    (True, False)
    """
    return Path(source).is_absolute() or source.startswith(".") or Path(source).exists() or source.count("/") > 1


def fetches(experiment: Experiment) -> list[Fetch]:
    """What an experiment takes from the network, unless it is in a cache already.

    Parameters
    ----------
    experiment : Experiment

    Returns
    -------
    list of Fetch
        Models of the hub, questions without a folder of them, general instructions of the hub.
    """
    found = [
        Fetch(f"model {model}", f"{source} (Hugging Face hub)")
        for model, source in experiment.sources.items()
        if source != "embedded" and not is_folder(source)
    ]
    if experiment.context_model and not is_folder(experiment.context_model):
        found.append(Fetch("model that writes contexts", f"{experiment.context_model} (Hugging Face hub)"))
    if experiment.task_set == "paper" and not os.environ.get(sources.VARIABLE):
        released = [domain for domain in experiment.domains if domain not in experiment.own_domains]
        if asks_mmlu(experiment):
            found.append(Fetch("questions of MMLU", f"{sources.MMLU} (Hugging Face hub)"))
        if released:
            found.append(Fetch(f"questions of {', '.join(released)}", sources.RELEASE_NAME))
        if "medicine" in released:
            found.append(Fetch("pool of medicine", f"{sources.MEDMCQA} (Hugging Face hub)"))
    for name, domain in experiment.own_domains.items():
        for split, where in domain.sources.items():
            if where.is_hub:
                found.append(Fetch(f"{split} of {name}", f"{where.place.removeprefix(HUB)} (Hugging Face hub)"))
        if tasks := [task for task in domain.asked("icl") if not task.startswith("consistency_")]:
            found.append(Fetch(f"data of {', '.join(tasks)}", "where these tasks of lm_eval have it"))
    if experiment.general.startswith(HUB):
        found.append(Fetch("general instructions", f"{experiment.general.removeprefix(HUB)} (Hugging Face hub)"))
    return found


def asks_mmlu(experiment: Experiment) -> bool:
    """Whether an experiment asks subjects of MMLU: those on the paper's domains do, an own domain may."""
    own = experiment.own_domains
    return len(own) < len(experiment.domains) or any(domain.asks_mmlu for domain in own.values())


def missing(experiment: Experiment) -> Iterator[str]:
    """Files and folders that the experiment names and that do not exist or cannot be used, with the key that names them."""
    named = [(f"models: {model}", source) for model, source in experiment.sources.items() if source != "embedded"]
    if experiment.context_model:
        named.append(("context_model", experiment.context_model))
    for key, source in named:
        folder = Path(source)
        if not is_folder(source) and not is_hub_name(source):
            yield f"{key}: {source!r} is neither a folder here nor a name of the hub; expected ./FOLDER, NAME or ORG/NAME"
        elif is_folder(source):
            if not folder.is_dir() and source.count("/") > 1 and not folder.is_absolute() and source[0] != ".":
                yield f"{key}: there is no folder {source}, and a name of the hub has at most one slash"
            elif not (folder / "config.json").is_file():
                yield f"{key}: {source} is not the folder of a model: it has no config.json"
            elif not any(True for pattern in _WEIGHTS for _ in folder.glob(pattern)):
                yield f"{key}: {source} has no weights: neither model.safetensors nor shards of it"
    if experiment.guard and not Path(experiment.guard).exists():
        yield f"guard: there is no {experiment.guard}"
    yield from _general(experiment)
    yield from _questions(experiment)
    if not experiment.network:
        for item in fetches(experiment):
            if item.what.startswith("questions of") or item.what == "pool of medicine":
                yield (
                    f"network: {item.what} would be fetched from {item.source}; expected network: true, or a folder of "
                    f"questions in the variable {sources.VARIABLE}"
                )


def _general(experiment: Experiment) -> Iterator[str]:
    general = experiment.general
    if general in ("world", "none") or general.startswith(HUB):
        if general == "none" and "general_only" in experiment.groups:
            yield "general: none, but the group general_only trains on general instructions alone"
        return
    if not Path(general).is_file():
        yield f"general: there is no file {general}"
        return
    try:
        rows = read_rows(general, "an instruction")
        if not any(isinstance(row, dict) for _, row in islice(rows, 1)):
            yield f"general: {general} holds no instructions; expected a JSON or JSONL file of them"
    except InputError as error:
        yield f"general: {error}"


def _questions(experiment: Experiment) -> Iterator[str]:
    """Problems with the questions that are on this host: those that cannot be read, and pools that are too small."""
    if experiment.task_set == "world":
        yield from _too_small(experiment, "pool", SIZES["pool"])
        return
    for name, own in experiment.own_domains.items():
        if not any(source.is_hub for source in own.sources.values()):
            with suppress(InputError):  # said of the domain's files themselves
                yield from _too_small(experiment, f"the pool of {name}", len(read_own_domain(own).questions["pool"]))
    folder = os.environ.get(sources.VARIABLE, "")
    if not folder:
        return
    if not Path(folder).expanduser().is_dir():
        yield f"{sources.VARIABLE}: there is no folder {folder}"
        return
    for domain in (name for name in experiment.domains if name not in experiment.own_domains):
        for split in ("dev", "test", "pool"):
            found, problem = _read(sources.domain_file(domain, split), domain)
            if problem:
                yield f"domains: {domain}: {problem}"
            elif split == "pool":
                yield from _too_small(experiment, f"the pool of {domain}", len(found))
    lacking = [
        subject
        for subject in SUBJECTS
        if any(not sources.place(sources.benchmark_file("mmlu", subject, split)).is_file() for split in ("dev", "test"))
    ]
    if lacking and asks_mmlu(experiment):
        more = f" and {len(lacking) - 3} more" if len(lacking) > 3 else ""
        yield f"{sources.VARIABLE}: {folder} lacks the MMLU subjects {', '.join(lacking[:3])}{more}"


def _read(file: str, subject: str) -> tuple[list[Question], str]:
    """The questions of a file in the folder that the user named, and why there are none."""
    path = sources.place(file)
    if not path.is_file():
        return [], f"{path} does not exist"
    try:
        return read_questions(path, subject), ""
    except InputError as error:
        return [], str(error)


def _too_small(experiment: Experiment, what: str, pool: int) -> Iterator[str]:
    """That a pool has fewer questions than the groups are to be made of, whatever the model knows."""
    asked = min(pool, experiment.limit or pool)
    size = experiment.size
    if size is None:
        return
    kinds = disjoint_kinds(experiment)
    if size * kinds > asked:
        each = f"{kinds} kinds of {size:,}" if kinds > 1 else f"{size:,}"
        limited = f", of which limit: {experiment.limit} asks {asked:,}" if asked < pool else ""
        yield f"size: the groups need {each} questions; {what} has {pool:,}{limited}"


def disjoint_kinds(experiment: Experiment) -> int:
    """How many kinds of a pool's questions the groups ask that have none in common, such as known and misbelieved ones."""
    kinds = {_KINDS.get(group, "misbelieved") for group in experiment.groups}
    return max(len(kinds - {"none", "all"}), 1)


def read_pools(experiment: Experiment) -> Iterator[tuple[str, Sequence[Question]]]:
    """The domains whose pools are files of this host, each with its questions; a pool that cannot be read is left out.

    Parameters
    ----------
    experiment : Experiment
    """
    for domain in experiment.domains:
        own = experiment.own_domains.get(domain)
        with suppress(InputError):
            if own is not None:
                if not any(source.is_hub for source in own.sources.values()):
                    yield domain, read_own_domain(own).questions["pool"]
            elif experiment.task_set == "paper" and os.environ.get(sources.VARIABLE):
                yield domain, _read(sources.domain_file(domain, "pool"), domain)[0]


def missing_devices(experiment: Experiment) -> Iterator[str]:
    """Problems with the device on this host."""
    kind, _, number = experiment.device.partition(":")
    if kind == "cuda":
        gpus = list_gpus()
        try:
            shown = visible_gpus(experiment.device, os.environ.get("CUDA_VISIBLE_DEVICES"))
        except InputError as error:
            yield error.problem
            return
        # An identifier of a part of a GPU is not among those that nvidia-smi lists here; it counts as one.
        named = os.environ.get("CUDA_VISIBLE_DEVICES")
        visible = len(gpus) if named is None else len(list(filter(None, named.split(","))))
        if not gpus:
            yield "device: cuda, but nvidia-smi finds no GPU on this host; expected an NVIDIA GPU, or device: cpu"
        elif number and shown is not None and shown.isdecimal() and int(shown) >= len(gpus):
            yield f"device: {experiment.device}, but this host has {len(gpus)} GPU(s)"
        elif experiment.devices > visible:
            hidden = "" if named is None else f"; CUDA_VISIBLE_DEVICES={named} shows {visible}"
            yield f"devices: {experiment.devices}, but this host has {len(gpus)} GPU(s){hidden}"
    elif kind == "mps":
        import torch

        if not torch.backends.mps.is_available():
            yield "device: mps, but PyTorch finds no Apple GPU on this host; expected device: cpu"
