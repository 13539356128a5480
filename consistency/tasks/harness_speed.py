"""What lm_eval does for each question, or for each of its own thousands of tasks, done once, or faster with the same result."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import msgspec

from consistency.support.memory import gc_seldom
from consistency.tasks.harness_index import members_of

# Documents that are read from a data set at a time.
_READ = 1000
# What draws at random in Jinja.
_DRAWS = re.compile(r"random|lipsum")


@contextmanager
def faster_harness() -> Iterator[None]:
    """Let lm_eval prepare, and write, faster inside a `with` block, with the same prompts and the same files."""
    with compiled_templates(), shots_rendered_once(), quick_records(), gc_seldom():
        yield


@contextmanager
def compiled_templates() -> Iterator[None]:
    """Compile each Jinja template once inside a `with` block; lm_eval compiles a task's description for every question.

    The prompts are the same, since a compiled template keeps nothing of what it was filled with. One without a brace has
    nothing to be filled in, and is rendered once.
    """
    from lm_eval import utils

    compile_template = utils.env.from_string

    @lru_cache(maxsize=4096)
    def compiled(source: str) -> Any:
        template = compile_template(source)
        if "{" in source:
            return template
        text = template.render()
        return SimpleNamespace(render=lambda **_: text)

    utils.env.from_string = compiled
    try:
        yield
    finally:
        utils.env.from_string = compile_template


@contextmanager
def shots_rendered_once() -> Iterator[None]:
    """Render the few-shot examples of a task once inside a `with` block, where all its questions have the same ones.

    Lm_eval renders them again for each question. The prompts are the same: what stands before the first question of a task, and
    before the second, is put before the others, unless examples or templates draw at random, a function or a class from
    elsewhere renders them, or a chat template or a question's own text can change them.
    """
    from lm_eval.api.task import ConfigurableTask

    render = ConfigurableTask.fewshot_context
    # For each task, by what else decides: the text before the examples, that with them, and how many prompts showed it; None
    # where two prompts showed others.
    known: WeakKeyDictionary[Any, dict[Any, tuple[str, str, int] | None]] = WeakKeyDictionary()

    def context(task: Any, doc: Any, num_fewshot: int, *rest: Any, **how: Any) -> Any:
        if rest or not num_fewshot or how.get("apply_chat_template") or not _has_the_same_shots(task, doc):
            return render(task, doc, num_fewshot, *rest, **how)
        found = known.setdefault(task, {})
        key = num_fewshot, how.get("system_instruction"), id(task.sampler.df)
        seen = found.get(key, ("", "", 0))
        if seen is None:
            return render(task, doc, num_fewshot, **how)
        system, begin, times = seen
        if times == 2:
            return begin + render(task, doc, 0, **how).removeprefix(system)
        turns: list[str] = []
        build = task.build_qa_turn

        def noted(**turn: Any) -> Any:
            messages = build(**turn)
            turns.append("".join(message.to_text() for message in messages))
            return messages

        with patch.object(task, "build_qa_turn", noted):
            whole = render(task, doc, num_fewshot, **how)
        before = whole.removesuffix("".join(turns)), whole.removesuffix(turns[-1])
        found[key] = (*before, times + 1) if not times or before == (system, begin) else None
        return whole

    with patch.object(ConfigurableTask, "fewshot_context", context):
        yield


def _has_the_same_shots(task: Any, doc: Any) -> bool:
    """Whether nothing before a question depends on it, or on how often something was rendered."""
    from lm_eval.api.samplers import FirstNSampler
    from lm_eval.api.task import ConfigurableTask

    try:
        shots, description = task.fewshot_cfg, task.config.description or ""
        ways = (
            way
            for place in (task.config, shots)
            for way in (place.doc_to_text, place.doc_to_choice, place.doc_to_target)
        )
        return (
            type(task) is ConfigurableTask
            and type(task.sampler) is FirstNSampler
            and shots.split != task.config.test_split
            and not shots.gen_prefix
            and not task.multiple_input
            and task.prompt is None
            and not any(map(_may_draw, ways))
            and isinstance(description, str)
            and "{" not in description
            and description not in doc
        )
    except AttributeError:  # another release of lm_eval
        return False


def _may_draw(way: Any) -> bool:
    """Whether what renders a part of a document may give something else each time: a user's function, a template that draws."""
    if isinstance(way, str):
        return _DRAWS.search(way) is not None
    # This package's own give the same for the same document.
    return callable(way) and getattr(way, "__module__", None) != "consistency.tasks.harness"


@contextmanager
def quick_records() -> Iterator[None]:
    """Read documents and write logs faster inside a `with` block: the files are the same, byte for byte.

    Lm_eval reads documents one by one, indents each with Python's own encoder to take its hash, makes texts of numbers by a
    recursion in Python, and prints tables through a library that copies a list of encodings for each cell; each data set that
    is made in memory is pickled to name it.
    """
    from datasets import arrow_dataset
    from datasets.fingerprint import generate_random_fingerprint
    from lm_eval import evaluator
    from lm_eval.api.task import Task
    from lm_eval.loggers import evaluation_tracker
    from mbstrdecoder import _mbstrdecoder

    documents = Task.eval_docs.fget
    with (
        patch.object(Task, "eval_docs", property(lambda task: _in_batches(documents(task)))),
        patch.object(evaluator, "json", SimpleNamespace(dumps=_dumps)),
        patch.object(evaluation_tracker, "sanitize_list", _as_texts),
        # Only names what is kept on disk of a data set, which one in memory is not.
        patch.object(arrow_dataset, "generate_fingerprint", lambda _: generate_random_fingerprint()),
        # Of a list of texts.
        patch.object(_mbstrdecoder, "copy", SimpleNamespace(deepcopy=list)),
    ):
        yield


class _Documents:
    """A data set that is read in batches when it is gone through."""

    def __init__(self, documents: Any) -> None:
        self._documents = documents

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for batch in self._documents.iter(batch_size=_READ):
            names = list(batch)
            for values in zip(*batch.values(), strict=True):
                yield dict(zip(names, values, strict=True))

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, key: Any) -> Any:
        return self._documents[key]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)


def _in_batches(documents: Any) -> Any:
    """Documents as they are, or, of a data set of plain texts and numbers, the same read in batches."""
    from datasets import Dataset

    plain = type(documents) is Dataset and documents.format["type"] is None and _is_plain(dict(documents.features))
    return _Documents(documents) if plain and documents.features else documents


def _is_plain(feature: Any) -> bool:
    """Whether a feature holds what is read as it is stored, whether alone or with others."""
    from datasets import Value

    if isinstance(feature, dict):
        return all(map(_is_plain, feature.values()))
    if isinstance(feature, list):
        return all(map(_is_plain, feature))
    inner = getattr(feature, "feature", None)
    return isinstance(feature, Value) or (inner is not None and _is_plain(inner))


def _dumps(value: Any, **options: Any) -> str:
    """What `json.dumps` gives.

    Examples
    --------
    >>> value = {"a": [1, "é", []], "b": {}}
    >>> _dumps(value, indent=2, ensure_ascii=False) == json.dumps(value, indent=2, ensure_ascii=False)
    True
    """
    indent = options.get("indent")
    if isinstance(indent, int) and indent > 0 and "separators" not in options:
        try:
            return msgspec.json.format(json.dumps(value, **{**options, "indent": None}), indent=indent)
        except (msgspec.DecodeError, UnicodeEncodeError):  # NaN, or half of a character
            pass
    return json.dumps(value, **options)


def _as_texts(value: Any) -> Any:
    """Lists and tuples with texts in the place of all else, as lm_eval's `sanitize_list` gives them."""
    kind = type(value)
    if kind is tuple or isinstance(value, tuple):
        return tuple(map(_as_texts, value))
    if kind is list or isinstance(value, list):
        return [*map(_as_texts, value)]
    return str(value)


@contextmanager
def without_unasked_tasks(names: Sequence[str]) -> Iterator[None]:
    """Leave the files of lm_eval's own tasks unread inside a `with` block, where all tasks that are asked are elsewhere.

    Parameters
    ----------
    names : sequence of str
        The tasks, groups and tags that are asked; with a pattern or a file among them all is read.
    """
    import lm_eval.tasks

    def all_there(found: dict[str, Any]) -> bool:
        return bool(names) and all(_is_complete(name, found, set()) for name in names)

    manager = lm_eval.tasks.TaskManager
    if not hasattr(manager, "initialize_tasks"):  # from 0.4.12 on
        from lm_eval.tasks._index import TaskIndex

        build, own = TaskIndex.build, Path(lm_eval.tasks.__file__).parent

        def built(paths: Iterable[Path], **how: Any) -> dict[str, Any]:
            paths = list(paths)
            others = [path for path in paths if path != own]
            found: dict[str, Any] = build(others, **how) if len(others) < len(paths) and others else {}
            return found if all_there(found) else dict(build(paths, **how))

        with patch.object(TaskIndex, "build", staticmethod(built)):
            yield
        return
    index_all = manager.initialize_tasks

    def index(self: Any, include_path: str | list[str] | None = None, include_defaults: bool = True) -> dict[str, Any]:
        if include_defaults and include_path is not None:
            found: dict[str, Any] = index_all(self, include_path=include_path, include_defaults=False)
            if all_there(found):
                return found
        everything: dict[str, Any] = index_all(self, include_path=include_path, include_defaults=include_defaults)
        return everything

    with patch.object(manager, "initialize_tasks", index):
        yield


def _is_complete(name: str, index: dict[str, Any], seen: set[str]) -> bool:
    """Whether a task is in an index, and of a group or a tag all members as well."""
    if name in seen:
        return True
    seen.add(name)
    members = members_of(index[name]) if name in index else None
    return members is not None and all(
        isinstance(member, str) and _is_complete(member, index, seen) for member in members
    )
