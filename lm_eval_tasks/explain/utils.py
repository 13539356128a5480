"""The functions of these task files: loading the questions that `consistency requests` chose, and their prompts."""

from consistency.support.streams import report_uncaught
from consistency.tasks.harness import (
    context,
    explain,
    fenced,
    letters,
    load_context,
    load_explain,
    load_simulate,
    simulate,
)

__all__ = ["context", "explain", "fenced", "letters", "load_context", "load_explain", "load_simulate", "simulate"]

report_uncaught()
