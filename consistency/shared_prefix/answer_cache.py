"""lm_eval's cache of answers, with a file for each checkpoint: named by all that decides an answer beside its prompt."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import is_dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CellType, CodeType
from typing import Any

import numpy as np
import torch
from lm_eval.api.model import CachingLM
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import normalize_gen_kwargs

from consistency.errors import InputError
from consistency.shared_prefix.truncation import RECORD, CountsTruncation
from consistency.support.version import VERSION

logger = logging.getLogger("lm_eval.models.answer_cache")

# Attributes of lm_eval's `hf` that change what it answers.
_ATTRIBUTES = (
    "max_length max_gen_toks add_bos_token custom_prefix_token_id prefix_token_id eot_token_id softmax_dtype "
    "mixed_precision_dtype truncation backend think_end_token"
).split()
# Where a configuration was read, which says nothing about the model.
_PLACES = {"_name_or_path", "name_or_path", "base_model_name_or_path", "is_local", "local_files_only", "_commit_hash"}
# Model arguments that say where and how fast a model computes.
_NO_ANSWERS = {
    *(
        "device batch_size max_batch_size num_concurrent max_retries timeout tensor_parallel_size data_parallel_size".split()
    ),
    *("gpu_memory_utilization parallelize cache_dir download_dir api_key auth_token token header headers".split()),
}
# Those that a loaded `hf` shows in itself.
_SEEN = (
    "pretrained tokenizer peft delta revision subfolder gguf_file dtype trust_remote_code use_fast_tokenizer".split()
)
_RANK = re.compile(r"(_rank\d+\.db)$")
_ASKED = ("loglikelihood", "loglikelihood_rolling", "generate_until")
# What a class inherits from these is the same in one version, which the key names.
_VERSIONED = {"torch", "transformers", *sys.stdlib_module_names}
# Where decorated functions, partials, methods and properties have the function that they call.
_CALLED = ("__wrapped__", "__func__", "func", "fget")
# The entry of a cache that says whose answers it holds.
_OWNER = "answers_of"


class AnswerCache(CachingLM):  # type: ignore[misc]  # lm_eval has no types
    """lm_eval's cache, in the file `NAME.KEY_rank0.db` where lm_eval takes `NAME_rank0.db` for any checkpoint.

    Parameters
    ----------
    lm : lm_eval.api.model.LM
        The model that answers what the file lacks.
    cache_db : str
        The path that lm_eval would take.
    described : mapping of str to object
        The model by its arguments, for models whose weights cannot be seen: `model`, and `model_args`.
    """

    def __init__(self, lm: Any, cache_db: str, described: Mapping[str, Any]) -> None:
        lm.answers_key = answers_key(lm, described)
        path = _RANK.sub(rf".{lm.answers_key}\1", cache_db)
        logger.info("the answers of this checkpoint are in the cache %s", path)
        if Path(cache_db).exists():
            logger.warning("%s is not read: it does not say whose answers it holds", cache_db)
        super().__init__(lm, path)

    def __getattr__(self, attr: str) -> Any:
        found = super().__getattr__(attr)
        if attr not in _ASKED:
            return found

        def answered(requests: list[Any]) -> Any:
            # Those that are in the cache never reach the model. Rolling texts are cut into windows, and lose nothing.
            if attr != "loglikelihood_rolling" and isinstance(self.lm, CountsTruncation):
                self.lm.recall(attr, requests, self.dbdict.get(RECORD, {}))
            if attr != "generate_until":
                return found(requests)
            # A temperature alone makes lm_eval sample, too, but does not keep its cache from giving the same text again.
            drawn = [bool(normalize_gen_kwargs(request.args[1])["do_sample"]) for request in requests]
            kept = [request for request, is_drawn in zip(requests, drawn, strict=True) if not is_drawn]
            new = [request for request, is_drawn in zip(requests, drawn, strict=True) if is_drawn]
            if new:
                logger.info("%d texts are drawn at random, and none of them is taken from the cache", len(new))
            texts = {True: iter(self.lm.generate_until(new) if new else ()), False: iter(found(kept) if kept else ())}
            return [next(texts[is_drawn]) for is_drawn in drawn]

        return answered

    def get_model_info(self) -> dict[str, Any]:
        """What lm_eval logs of the model, and the file of the cache."""
        return {**getattr(self.lm, "get_model_info", dict)(), "answer_cache": self.cache_db}


def check_owner(lm: Any, answers: MutableMapping[str, Any] | None) -> None:
    """Write into a cache whose answers it holds, or refuse it if they are of another model.

    Parameters
    ----------
    lm : lm_eval.api.model.LM
        A loaded model that is built on `hf`.
    answers : mutable mapping of str to object, or None
        The cache, if there is one.

    Raises
    ------
    InputError
        If the cache holds answers of another model, or does not say of which.
    """
    if answers is None:
        return
    key = getattr(lm, "answers_key", None) or answers_key(lm, {})
    owner = answers.get(_OWNER, None if len(answers) else key)
    if owner != key:
        raise InputError(
            f"this cache holds the answers of another model or other settings ({owner or 'it does not say which'})",
            expected=f"a cache of {key}",
            do="name another file with --use_cache, or run consistency eval, which has one for each checkpoint",
            path=getattr(answers, "filename", None),
        )
    answers[_OWNER] = key


def answers_key(lm: Any, described: Mapping[str, Any]) -> str:
    """A short text that two models share only if they give the same answers to the same prompts.

    Parameters
    ----------
    lm : lm_eval.api.model.LM
        A loaded model. Of one that is built on `hf`, the weights in memory decide, whatever they were read from.
    described : mapping of str to object
        `model`, and `model_args`. Of models that are not built on `hf`, local files that these name count with their size
        and time.

    Returns
    -------
    str
        Sixteen hexadecimal digits.
    """
    parts: dict[str, Any] = {
        "class": type(lm).__name__,
        "versions": [VERSION, *(version(name) for name in ("lm_eval", "torch", "transformers"))],
    }
    given = described.get("model_args") or {}
    if isinstance(lm, HFLM) and isinstance(lm.model, torch.nn.Module):
        parts |= {"loaded": _loaded(lm), "tokenizer": _tokenizer(lm.tokenizer)}
        parts["code"] = _code([*map(type, lm.model.modules()), type(lm.tokenizer)])
        parts["arguments"] = _without(given, {*_NO_ANSWERS, *_SEEN})
    else:
        parts |= {"model": described.get("model"), "arguments": _without(given, _NO_ANSWERS)}
        parts["files"] = {name: [*_files(Path(value))] for name, value in given.items() if _is_path(value)}
    return sha256(_json(parts)).hexdigest()[:16]


def _loaded(lm: Any) -> dict[str, Any]:
    """The model of an `hf`, as it is in memory."""
    model = lm.model
    state = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        weights = dict(zip(state, threads.map(_digest, state.values()), strict=True))
    adapters = getattr(model, "peft_config", {})
    return {
        "weights": weights,
        "config": _without(model.config.to_dict(), _PLACES),
        "attention": getattr(model.config, "_attn_implementation", None),
        "generation": _without(getattr(model, "generation_config", None), _PLACES),
        "adapters": {name: _without(adapter, _PLACES) for name, adapter in adapters.items()},
        # Where weights are not in memory, their files have to do.
        "files": [*_files(Path(lm.pretrained))] if any(value.is_meta for value in state.values()) else [],
        **{name: getattr(lm, name, None) for name in _ATTRIBUTES},
    }


def _digest(tensor: torch.Tensor) -> str:
    shape = f"{tensor.dtype} {tuple(tensor.shape)} "
    if tensor.is_meta:
        return shape
    raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
    return shape + sha256(raw).hexdigest()


def _tokenizer(tokenizer: Any) -> dict[str, Any]:
    """What a tokenizer saves of itself, file by file."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        files = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir()) if path.is_file()}
    config = json.loads(files.pop("tokenizer_config.json", b"{}"))
    return {
        "class": type(tokenizer).__name__,
        "config": _without(config, _PLACES),
        "files": {name: sha256(content).hexdigest() for name, content in files.items()},
    }


def _files(path: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of change of the files below a path."""
    found = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    for item in found:
        state = item.stat()
        yield str(item.relative_to(path)), state.st_size, state.st_mtime_ns


def _is_path(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(value) and Path(value).exists()
    except (OSError, ValueError):  # too long for a path, or with a null character
        return False


def _code(used: Iterable[Any]) -> list[str]:
    """Digests of the Python files of classes and callables, and of those beside them, which they may use."""
    folders = {file.parent for file in {Path(code.co_filename) for code in _codes(used)} if file.is_file()}
    return sorted(sha256(path.read_bytes()).hexdigest() for folder in folders for path in folder.glob("*.py"))


def _codes(used: Iterable[Any]) -> Iterator[CodeType]:
    """The code of callables and of what they call, and that of classes with what they inherit."""
    left, seen = [*used], {}
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(code := getattr(one, "__code__", None), CodeType):
            yield code
        if _calls_another(one):
            left += [getattr(one, name) for name in _CALLED if hasattr(one, name)]
            left += filter(callable, [*one.args, *one.keywords.values()] if isinstance(one, partial) else [])
            continue
        kind = one if isinstance(one, type) else type(one)
        for owner in kind.__mro__:
            if owner is kind or owner.__module__.partition(".")[0] not in _VERSIONED:
                left += filter(_calls_another, vars(owner).values())


def _calls_another(value: Any) -> bool:
    """Whether this is a function, a method or a property, or a partial or decorated one."""
    return inspect.isroutine(value) or isinstance(value, property | partial)


def _without(values: Any, names: Iterable[str]) -> dict[str, Any]:
    """A configuration without some of its values."""
    values = values.to_dict() if hasattr(values, "to_dict") else values or {}
    return {name: value for name, value in values.items() if name not in names}


def _json(value: Any) -> bytes:
    # `_Plain` itself ends where an object is a part of itself.
    text = json.dumps(value, sort_keys=True, default=_Plain(), ensure_ascii=False, check_circular=False)
    return text.encode("utf-8", "surrogatepass")


class _Plain:
    """What stands in JSON for other values: the same in every process, and so without addresses in memory."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """A text, or a list of the parts of which a callable or another object is made."""
        if isinstance(value, set | frozenset):
            return sorted(map(repr, value))
        if isinstance(value, re.Pattern):  # its text is cut after 200 characters
            return [value.pattern, value.flags]
        if isinstance(value, torch.Tensor):  # so is that of long arrays
            return _digest(value)
        if isinstance(value, np.ndarray):
            return value.tolist()
        if not (callable(value) or isinstance(value, CodeType) or is_dataclass(value) or _has_address(value)):
            return str(value)
        if id(value) in self._known:  # it may be a part of itself
            return ["known", self._known[id(value)][0]]
        self._known[id(value)] = len(self._known), value
        return [type(value).__name__, *map(_as_lists, _parts(value))]


def _has_address(value: Any) -> bool:
    """Whether the text of an object is the one that Python gives to all objects."""
    return str(value) == object.__repr__(value)


def _parts(value: Any) -> list[Any]:
    """What decides what a callable, or another object, does."""
    if isinstance(value, CodeType):
        return [value.co_code.hex(), value.co_names, value.co_varnames, value.co_consts]
    if isinstance(value, type):
        without_file = [code for code in _codes([value]) if not Path(code.co_filename).is_file()]
        return [value.__qualname__, _code([value]), without_file]
    if isinstance(value, partial):
        return [value.func, value.args, value.keywords]
    if inspect.ismethod(value):
        return [value.__func__, value.__self__]
    if inspect.isbuiltin(value):
        return [value.__qualname__, value.__self__]
    if inspect.isfunction(value):
        held = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
        given = [value.__defaults__, value.__kwdefaults__, held, vars(value)]
        return [value.__qualname__, _code([value]), value.__code__, *given]
    return [type(value), vars(value) if hasattr(value, "__dict__") else str(value)]


def _as_lists(value: Any) -> Any:
    """A part with dictionaries as lists of pairs, since JSON has no names but texts."""
    if isinstance(value, dict):
        return sorted(([repr(name), _as_lists(item)] for name, item in value.items()), key=lambda pair: pair[0])
    return [*map(_as_lists, value)] if isinstance(value, list | tuple) else value


def request_key(task: Any, asked: Mapping[str, Any]) -> str:
    """A text that two sets of prompts of a task share only if they are the same, for lm_eval's `--cache_requests`.

    Parameters
    ----------
    task : lm_eval's task
        Its configuration, its documents and its few-shot examples count, and the seed that draws these.
    asked : mapping of str to object
        What lm_eval passes to `build_all_requests`: of the chat template, what it makes of a conversation.
    """
    render: Callable[..., str] | None = asked.get("chat_template")
    turns = [{"role": role, "content": role} for role in ("system", "user", "assistant", "user")]
    shown = {}
    for first in (0, 1):
        for last, prompted in ((4, True), (3, False)):
            shown[f"{first}-{last}"] = _try(render, turns[first:last], prompted)
    few_shot = task.fewshot_docs() if task.config.num_fewshot else None
    random = getattr(getattr(task, "sampler", None), "rnd", None) or getattr(task, "fewshot_rnd", None)
    parts = {
        "versions": [VERSION, version("lm_eval")],
        # Callables as they are: their text may have an address in memory.
        "task": task.config.to_dict(keep_callable=True),
        "code": type(task),
        "documents": list(task.eval_docs),
        "few-shot": None if few_shot is None else list(few_shot),
        "seed": None if random is None else random.getstate(),
        "rendered": shown,
        **{name: asked.get(name) for name in ("system_instruction", "fewshot_as_multiturn", "samples")},
    }
    return sha256(_json(parts)).hexdigest()[:16]


def _try(render: Callable[..., str] | None, turns: list[dict[str, str]], prompted: bool) -> str:
    """What a chat template makes of a conversation, or what it says against it."""
    if render is None:
        return ""
    try:
        return render(turns, add_generation_prompt=prompted)
    except Exception as error:  # a template is a program with errors of its own
        return f"{type(error).__name__}: {error}"
