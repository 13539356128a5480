"""What this project changes in lm_eval while one of its own evaluations runs: caches by content, and cut prompts counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from lm_eval import evaluator
from lm_eval.api import model, registry, task
from lm_eval.loggers.utils import get_git_commit_hash
from lm_eval.models.huggingface import HFLM

from consistency.shared_prefix.answer_cache import AnswerCache, request_key
from consistency.shared_prefix.truncation import counting


@contextmanager
def prepared_harness(described: Mapping[str, Any]) -> Iterator[None]:
    """Let lm_eval keep a cache of answers for each checkpoint, one of prompts for each content, and count cut prompts.

    Parameters
    ----------
    described : mapping of str to object
        The model that is evaluated: `model`, its name in lm_eval, and `model_args`.
    """
    find, build = registry.get_model, task.Task.build_all_requests
    evaluated: dict[str, Any] = {}

    def get_model(name: str) -> Any:
        found = find(name)
        # What an image takes of the window is known to such a model alone.
        counts = issubclass(found, HFLM) and not getattr(found, "MULTIMODAL", False)
        return counting(found, evaluated) if counts else found

    def build_all_requests(self: Any, **asked: Any) -> None:
        evaluated[self.config.task] = self
        if asked.get("cache_requests"):
            # lm_eval makes it a part of the file's name, and of nothing else.
            asked["tokenizer_name"] = request_key(self, asked)
        build(self, **asked)

    with (
        _replaced(model, "CachingLM", partial(AnswerCache, described=described)),
        _replaced(registry, "get_model", get_model),
        _replaced(task.Task, "build_all_requests", build_all_requests),
        _replaced(evaluator, "get_git_commit_hash", commit),
    ):
        yield


def commit() -> str | None:
    """What lm_eval writes of the repository that it runs in; outside of one None, where git would complain on the terminal."""
    inside = any((path / ".git").exists() for path in (Path.cwd(), *Path.cwd().parents))
    found: str | None = get_git_commit_hash() if inside else None
    return found


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
