"""What YAML cannot say: the questions are those that `consistency requests` chose."""

from consistency.errors import report_uncaught
from consistency.tasks.harness import context, explain, fenced, load_context, load_explain

__all__ = ["context", "explain", "fenced", "load_context", "load_explain"]

report_uncaught()
