"""The functions of the task files that are made for a user's own domain; a copy lies beside those files."""

from pathlib import Path
from typing import Any

from consistency.support.streams import report_uncaught
from consistency.tasks.harness import (
    context,
    explain,
    fenced,
    instruction,
    letters,
    load_own_context,
    load_own_domain,
    load_own_explain,
    load_own_simulate,
    question,
    shot_answers,
    simulate,
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
    "load_simulate",
    "question",
    "shot_answers",
    "simulate",
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


def load_simulate(**arguments: Any) -> Any:
    """The explanations that are to be checked, and explained examples."""
    return load_own_simulate(FOLDER, **arguments)
