"""Tasks of lm_eval that ask each question in all rotations of its options: made from tasks it has loaded.

lm_eval finds tasks in files. The files that are written here, into a folder for one run, name the class `RotatedTask`, and
nothing of another's task is copied into them: its templates, few-shot examples and description stay those of the loaded task.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from lm_eval.api.task import ConfigurableTask

from consistency.errors import InputError
from consistency.support.files import write_atomically
from consistency.support.streams import tell
from consistency.tasks.questions import CYCLIC
from consistency.tasks.rotation import NotRotatableError, numbered_ids, rotated_documents

_MOST_NAMED = 5
_MODULE = "rotated_tasks_of_this_run"


@dataclass(frozen=True)
class _Loaded:
    """A task, what it asks, and that with rotated options."""

    task: ConfigurableTask
    documents: Sequence[Mapping[str, Any]]
    rotated: list[dict[str, Any]]

    @property
    def left_out(self) -> int:
        """How many questions have options that speak of others by their place."""
        return len(self.documents) - len({document["id"] for document in self.rotated})


# lm_eval makes the objects of tasks itself, and gives them nothing but their files: the loaded tasks of this process by the
# names of their rotated ones.
_LOADED: dict[str, _Loaded] = {}


class RotatedTask(ConfigurableTask):  # type: ignore[misc]
    """A task that `prepare_rotated` has loaded, with its questions in all rotations of the options.

    Parameters
    ----------
    config : mapping
        Of the task's file: its name.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        name = config["task"]
        loaded = _LOADED[name]
        self.__dict__.update(loaded.task.__dict__)
        self._config = copy.copy(loaded.task.config)
        self._config.task = name
        self._config.task_alias = None
        if loaded.left_out:
            self._config.metadata = {**(self._config.metadata or {}), "questions_left_out": loaded.left_out}
        self._instances = None
        self._documents = loaded.rotated
        self._question = {own: number for number, own in enumerate(numbered_ids(loaded.documents))}
        if hasattr(loaded.task, "sampler"):
            self.sampler: Any = _SameShots(loaded.task.sampler, loaded.documents)

    @property
    def eval_docs(self) -> list[dict[str, Any]]:
        """The rotated documents."""
        return self._documents

    def fewshot_context(self, doc: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """The prompt of a rotated document, behind the few-shot examples that its question has unrotated."""
        if hasattr(self, "sampler"):
            self.sampler.question = self._question[doc["id"]]
        return super().fewshot_context(doc, *args, **kwargs)


class _SameShots:
    """Few-shot examples as the unrotated task draws them: one set for each question, in the order of the questions."""

    def __init__(self, sampler: Any, documents: Sequence[Any]) -> None:
        self.question = 0
        self._sampler = copy.copy(sampler)
        self._documents = documents
        self._drawn: list[Sequence[Any]] = []

    def set_rnd(self, rnd: int | None) -> None:
        self._sampler.set_rnd(rnd)
        self._drawn = []

    def sample(self, n: int, eval_doc: Any = None, **how: Any) -> Sequence[Any]:
        # Several processes ask other questions each, and all rotations of one need the same examples.
        while len(self._drawn) <= self.question:
            left_out = None if eval_doc is None else self._documents[len(self._drawn)]
            self._drawn.append(self._sampler.sample(n, eval_doc=left_out, **how))
        return self._drawn[self.question]


def prepare_rotated(manager: Any, names: Iterable[str], folder: Path) -> list[str]:
    """Write files of rotated tasks, and return the names by which lm_eval finds them there.

    Parameters
    ----------
    manager : lm_eval.tasks.TaskManager
    names : iterable of str
        Tasks, groups or tags of lm_eval. Of a group the tasks in it are rotated.
    folder : Path
        For one run, and to be named in its `include_path`. The tasks can be asked by this process alone.

    Returns
    -------
    list of str
        ``TASK_cyclic`` for each name. This project's own tasks of that name are used where there are.

    Raises
    ------
    InputError
        If lm_eval has no such task, or the options of one cannot be rotated: which, and why.
    """
    asked, refused = [], {}
    for name in dict.fromkeys(names):
        rotated = name + CYCLIC
        asked.append(rotated)
        if rotated in manager.all_tasks:
            if not name.startswith("consistency_"):
                raise InputError(f"--rotate {name}: lm_eval has another task {rotated}")
            continue
        leaves = _leaves(manager, name)
        for leaf, task in leaves.items():
            try:
                loaded = _LOADED[leaf + CYCLIC] = _load(task)
            except NotRotatableError as error:
                refused[leaf] = str(error)
                continue
            if loaded.left_out:
                tell(
                    f"{leaf}: {loaded.left_out} of {len(loaded.documents)} questions have options that speak of others by their "
                    "place or letter (all of the above, both A and B), and are not asked in rotations"
                )
            _write(folder, leaf + CYCLIC, {"task": leaf + CYCLIC, "class": _Function(f"{_MODULE}.RotatedTask")})
        if name not in leaves:
            _write(folder, rotated, _group(rotated, leaves))
    if refused:
        raise _refusal(refused)
    write_atomically(folder / f"{_MODULE}.py", f"from {__name__} import RotatedTask  # noqa: F401\n")
    return asked


def _load(task: Any) -> _Loaded:
    if task.OUTPUT_TYPE != "multiple_choice":
        raise NotRotatableError(f"it is no multiple_choice task ({task.OUTPUT_TYPE})")
    if type(task) is not ConfigurableTask:
        raise NotRotatableError(f"it is a program of its own ({type(task).__name__})")
    # Once: some tasks shuffle the options whenever they are asked for documents.
    documents = [dict(document) for document in task.eval_docs]
    if any("rotation" in document for document in documents[:1]):
        raise NotRotatableError("its options are rotated by now")
    return _Loaded(task, documents, rotated_documents(task, documents))


def _leaves(manager: Any, name: str) -> dict[str, Any]:
    """The tasks of a group by name, or the one task."""
    # Releases of lm_eval after 0.4.11 have load(), and the other is deprecated there.
    if hasattr(manager, "load"):
        return dict(manager.load([name])["tasks"])
    found: dict[str, Any] = {}

    def collect(part: Mapping[Any, Any]) -> None:
        for key, value in part.items():
            if isinstance(value, Mapping):
                collect(value)
            else:
                found[key] = value

    collect(manager.load_task_or_group([name]))
    return found


def _group(name: str, leaves: Mapping[str, Any]) -> dict[str, Any]:
    group: dict[str, Any] = {"group": name, "task": [leaf + CYCLIC for leaf in leaves]}
    if all("acc" in task.aggregation() for task in leaves.values()):
        group["aggregate_metric_list"] = [{"metric": "acc", "weight_by_size": True}]
    return group


def _refusal(refused: Mapping[str, str]) -> InputError:
    """One line about all tasks that cannot be rotated."""
    named = [f"{task}: {why}" for task, why in list(refused.items())[:_MOST_NAMED]]
    more = [f"and {len(refused) - _MOST_NAMED} more"] if len(refused) > _MOST_NAMED else []
    return InputError(
        f"--rotate: {'; '.join([*named, *more])}",
        expected="multiple_choice tasks that score letters or numbers, which their prompts show before the options",
    )


class _Function(str):
    """The name of a function or class, as the files of tasks have it."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Function, lambda dumper, name: dumper.represent_scalar("!function", str(name)))


def _write(folder: Path, name: str, config: Mapping[str, Any]) -> None:
    # Tasks may have names that no file can have.
    file = "".join(letter if letter.isalnum() or letter in "_-." else f"%{ord(letter):x}" for letter in name)
    write_atomically(folder / f"{file}.yaml", yaml.dump(dict(config), Dumper=_Dumper, sort_keys=False))
