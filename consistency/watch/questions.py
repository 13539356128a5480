"""The questions that a watch asks: a fixed sample of any tasks of the harness, with the requests built once."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from lm_eval.api import task as lm_eval_task
from lm_eval.tasks import TaskManager

from consistency.errors import InputError, one_line
from consistency.support.resources import shipped
from consistency.support.text import shortened
from consistency.tasks.harness_index import unknown_tasks
from consistency.tasks.harness_speed import compiled_templates, without_unasked_tasks
from consistency.watch.settings import WatchSettings

# The seeds of `lm_eval run`: the same few-shot examples, and the same order of options where a task shuffles them.
PYTHON_SEED, NUMPY_SEED, FEWSHOT_SEED = 0, 1234, 1234
_SCORED = ("multiple_choice", "loglikelihood")


@dataclass(frozen=True)
class Asked:
    """A task, and which of its documents are asked.

    Attributes
    ----------
    task : lm_eval's task
    ids : list of int
        Numbers of the documents among all of the task, in order.
    documents : list of mapping
        These documents.
    of : int
        How many the task has.
    """

    task: Any
    ids: list[int]
    documents: list[Any]
    of: int


@dataclass(frozen=True)
class Questions:
    """The sample, and where `build` was called its requests.

    Attributes
    ----------
    tree : dict
        Tasks and groups, as lm_eval's `evaluate` takes them.
    tasks : dict of str to Asked
        By name.
    groups : dict of str to list of str
        The tasks and groups of each group.
    unused : tuple of str
        Tasks that keep to no examples, where the settings ask for some.
    """

    tree: Mapping[Any, Any]
    tasks: dict[str, Asked]
    groups: dict[str, list[str]]
    unused: tuple[str, ...] = ()

    @property
    def samples(self) -> dict[str, list[int]]:
        """The numbers of the documents that are asked, by task."""
        return {name: asked.ids for name, asked in self.tasks.items()}

    @property
    def count(self) -> int:
        """How many questions there are in all."""
        return sum(len(asked.ids) for asked in self.tasks.values())

    @property
    def requests(self) -> list[list[Any]]:
        """The requests of each question, task by task in lm_eval's order."""
        found: list[list[Any]] = []
        for asked in self.tasks.values():
            by_document: dict[int, list[Any]] = {number: [] for number in range(len(asked.ids))}
            for request in asked.task.instances:
                by_document[request.doc_id].append(request)
            found += by_document.values()
        return found

    @property
    def sha256(self) -> str:
        """SHA-256 of all prompts and their answers, in hexadecimal."""
        digest = hashlib.sha256()
        for name, asked in self.tasks.items():
            for request in asked.task.instances:
                line = [name, asked.ids[request.doc_id], *request.args]
                digest.update(json.dumps(line, ensure_ascii=True).encode() + b"\n")
        return digest.hexdigest()

    def build(self, settings: WatchSettings, template: Callable[..., str] | None) -> None:
        """Build the requests, as a run of all documents would build theirs.

        Parameters
        ----------
        settings : WatchSettings
        template : callable or None
            The model's `apply_chat_template`; None for plain text.

        Raises
        ------
        InputError
            If a prompt cannot be built: a template that refuses a message, too few examples.
        """
        with compiled_templates(), _without_bars():
            for name, asked in self.tasks.items():
                try:
                    with _drawn_as_by_all(asked):
                        asked.task.build_all_requests(
                            samples=asked.ids,
                            system_instruction=settings.system_instruction,
                            apply_chat_template=template is not None,
                            fewshot_as_multiturn=template is not None,
                            chat_template=template,
                        )
                except Exception as error:
                    raise InputError(f"watch.tasks: {name}: no prompt can be built ({one_line(error)})") from error
                self._keep(asked)

    def cut(self, counts: Mapping[str, int], seed: int) -> Questions:
        """A part of these questions, with so many of each task; requests that are built stay so.

        Parameters
        ----------
        counts : mapping of str to int
            No more than each task has now.
        seed : int
        """
        found = {}
        for name, asked in self.tasks.items():
            chosen = sorted(_generator(seed, name, "cut").permutation(len(asked.ids))[: counts[name]].tolist())
            place = {number: new for new, number in enumerate(chosen)}
            built = [request for request in asked.task.instances if request.doc_id in place]
            for request in built:
                request.doc_id = place[request.doc_id]
            asked.task._instances = built
            part = [[items[number] for number in chosen] for items in (asked.ids, asked.documents)]
            found[name] = replace(asked, ids=part[0], documents=part[1])
            self._keep(found[name])
        return replace(self, tasks=found)

    @staticmethod
    def _keep(asked: Asked) -> None:
        # lm_eval's `evaluate` builds all requests and reads all documents each time.
        asked.task.build_all_requests = lambda **_: None
        asked.task.doc_iterator = lambda **_: enumerate(asked.documents)

    def forget_answers(self) -> None:
        """Make the requests as new."""
        for asked in self.tasks.values():
            for request in asked.task.instances:
                request.resps, request.filtered_resps = [], {}


def choose_questions(settings: WatchSettings) -> Questions:
    """Load the tasks of a watch and choose which of their documents are asked.

    Parameters
    ----------
    settings : WatchSettings

    Returns
    -------
    Questions
        Each task has its share of the questions, at least one; the documents are drawn with `settings.seed`.

    Raises
    ------
    InputError
        If a task is not known, cannot be loaded, or is not answered by logprobs.
    """
    # Some tasks shuffle options when they are loaded.
    random.seed(PYTHON_SEED)
    np.random.seed(NUMPY_SEED)
    tree, loaded, groups = _load(settings)
    refused = [f"{name} ({task.OUTPUT_TYPE})" for name, task in loaded.items() if task.OUTPUT_TYPE not in _SCORED]
    if refused:
        raise InputError(
            f"watch.tasks: no scoring by logprobs in {shortened(refused)}",
            expected=f"tasks of the type {' or '.join(_SCORED)}",
            do="leave them out",
        )
    unused = []
    for name, task in loaded.items():
        own = task.get_config("num_fewshot")
        if settings.num_fewshot and own == 0:
            unused.append(name)
        if settings.num_fewshot is not None and own != 0:
            task.set_config(key="num_fewshot", value=settings.num_fewshot)
        elif own is None:
            task.set_config(key="num_fewshot", value=0)
        task.set_fewshot_seed(seed=FEWSHOT_SEED)
        if not len(task.eval_docs):
            raise InputError(f"watch.tasks: {name} has no documents")
    sizes = {name: len(task.eval_docs) for name, task in loaded.items()}
    counts = shares(sizes, settings.questions)
    asked = {}
    for name, task in loaded.items():
        ids = sorted(_generator(settings.seed, name).choice(sizes[name], counts[name], replace=False).tolist())
        asked[name] = Asked(task, ids, [task.eval_docs[number] for number in ids], sizes[name])
    return Questions(tree, asked, groups, tuple(unused))


def _generator(seed: int, *names: str) -> np.random.Generator:
    digest = hashlib.sha256("".join(names).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def shares(sizes: Mapping[str, int], questions: int | None) -> dict[str, int]:
    """How many questions each task gets: in proportion to the tasks' sizes by largest remainders, but at least one.

    Parameters
    ----------
    sizes : mapping of str to int
        Documents of each task, at least one.
    questions : int or None
        In all; None for all that there are.

    Examples
    --------
    >>> shares({"history": 60, "law": 30, "medicine": 11}, 10)
    {'history': 6, 'law': 3, 'medicine': 1}
    >>> shares({"mmlu": 14000, "rare": 3}, 100)
    {'mmlu': 99, 'rare': 1}
    """
    total = sum(sizes.values())
    if questions is None or questions >= total:
        return dict(sizes)
    # Tasks whose share is less than one question get one, and the others share the rest.
    small: set[str] = set()
    while True:
        rest = questions - len(small)
        within = sum(size for name, size in sizes.items() if name not in small)
        more = {name for name, size in sizes.items() if name not in small and size * rest < within}
        if not more:
            break
        small |= more
    exact = {name: 1.0 if name in small else size * rest / within for name, size in sizes.items()}
    counts = {name: int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: max(0, questions - sum(counts.values()))]:
        counts[name] += 1
    return counts


def _load(settings: WatchSettings) -> tuple[Mapping[Any, Any], dict[str, Any], dict[str, list[str]]]:
    """The tasks as lm_eval's `evaluate` takes them, each by its name, and the members of each group."""
    own = [] if settings.include_path is None else [settings.include_path]
    with without_unasked_tasks(settings.tasks):
        manager = TaskManager(include_path=[str(shipped("lm_eval_tasks")), *own])
    missing = [name for name in settings.tasks if not manager.match_tasks([name])]
    if missing:
        # Among all tasks that there are, not among those alone that were asked for.
        problems = unknown_tasks(missing, settings.include_path).values()
        raise InputError(
            f"watch.tasks: {', '.join(problems)}",
            expected="names of tasks or groups",
            do="see lm_eval ls tasks and consistency tasks --list, or name the folder of your own with include_path",
        )
    names = manager.match_tasks(list(settings.tasks))
    try:
        if hasattr(manager, "load"):  # from 0.4.12 on
            loaded: dict[str, Any] = manager.load(names)
            return loaded, loaded["tasks"], loaded.get("group_map", {})
        from lm_eval.evaluator_utils import get_subtask_list, get_task_list
        from lm_eval.tasks import get_task_dict

        tree = get_task_dict(names, manager)
        return tree, {item.task_name: item.task for item in get_task_list(tree)}, get_subtask_list(tree)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"watch.tasks: cannot be loaded ({type(error).__name__}: {one_line(error)})",
            do="load the data set once with a network, or give other tasks",
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Let lm_eval draw no progress bar for each task."""
    bar = lm_eval_task.tqdm
    lm_eval_task.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        lm_eval_task.tqdm = bar


@contextmanager
def _drawn_as_by_all(asked: Asked) -> Iterator[None]:
    """Let each document have the few-shot examples that it has where all documents are asked: they are drawn one by one."""
    task = asked.task
    sampler = getattr(task, "sampler", None)
    # lm_eval's other samplers draw nothing.
    if not task.config.num_fewshot or type(sampler) is not lm_eval_task.samplers.ContextSampler:
        yield
        return
    task.sampler = _Skipping(sampler, task.eval_docs, asked.ids)
    try:
        yield
    finally:
        task.sampler = sampler


class _Skipping:
    """Lm_eval's sampler, which draws also for the documents that are not asked."""

    def __init__(self, sampler: Any, documents: Sequence[Any], ids: Sequence[int]) -> None:
        self._sampler, self._documents = sampler, documents
        self._ids, self._next = iter(ids), 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sampler, name)

    def sample(self, n: int, eval_doc: Any = None, **others: Any) -> Any:
        """The examples of the next document that is asked."""
        for number in range(self._next, at := next(self._ids)):
            # Where the examples are other documents of the same split, the document itself matters only by being there.
            self._sampler.sample(n, eval_doc=None if eval_doc is None else self._documents[number], **others)
        self._next = at + 1
        return self._sampler.sample(n, eval_doc=eval_doc, **others)
