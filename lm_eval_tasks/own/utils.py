"""The functions of the task files that are made for a user's own domain; a copy lies beside those files."""

from pathlib import Path
from typing import Any

from consistency.errors import report_uncaught
from consistency.tasks.harness import (
    context,
    explain,
    fenced,
    instruction,
    letters,
    load_own_context,
    load_own_domain,
    load_own_explain,
    question,
    shot_answers,
)

__all__ = [
    "context",
    "explain",
    "fenced",
    "instruction",
    "letters",
    "load_context",
    "load_domain",
    "load_explain",
    "question",
    "shot_answers",
]
FOLDER = Path(__file__).parent / "questions"

report_uncaught()


def load_domain(**arguments: Any) -> Any:
    """The questions of a domain that are kept beside the task files."""
    return load_own_domain(FOLDER, **arguments)


def load_explain(**arguments: Any) -> Any:
    """The answers that are to be explained, and the explained example."""
    return load_own_explain(FOLDER, **arguments)


def load_context(**arguments: Any) -> Any:
    """The questions whose necessary knowledge is to be written down, and the example if there is one."""
    return load_own_context(FOLDER, **arguments)
