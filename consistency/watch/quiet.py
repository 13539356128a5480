"""What lm_eval says of each evaluation, left unsaid where a training asks many times."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

# Of these an evaluation is what it warns of: a model that is given as one, a chat template, settings of tasks. Cut prompts and
# other reasons to doubt scores are said elsewhere.
_NAMES = (
    "lm_eval.evaluator",
    "lm_eval.evaluator_utils",
    "lm_eval.models.huggingface",
    "lm_eval.api.task",
    "lm_eval.tasks",
)


@contextmanager
def quiet() -> Iterator[None]:
    """Let lm_eval say errors only, inside a `with` block."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
