"""What the terminal shows of a failed job: one line. Snakemake's log keeps the block with the shell command."""

from __future__ import annotations

import logging
from typing import Any


def shorten(handlers: tuple[logging.Handler, ...]) -> None:
    """Let the handlers that write to a terminal show a failed job in one line.

    Parameters
    ----------
    handlers : tuple of logging.Handler
        Snakemake's handlers; those that write to files are left as they are.
    """
    for handler in handlers:
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
            handler.setFormatter(Short(handler.formatter or logging.Formatter()))


class Short(logging.Formatter):
    """A formatter that shortens the messages about failed jobs, and leaves the others to another formatter.

    Parameters
    ----------
    inner : logging.Formatter
        The other formatter.
    """

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner, self._named = inner, set[Any]()

    def format(self, record: logging.LogRecord) -> str:
        """The message; empty for one that is not to be shown."""
        found = vars(record)
        event = getattr(found.get("event"), "name", None)
        text = self._inner.format(record)
        # The whole command of a job that failed, which its own message has as well.
        if event == "ERROR" and "CalledProcessError in file" in text:
            return ""
        if event != "JOB_ERROR":
            return text
        job, said = found.get("jobid"), found.get("rule_msg")
        # Snakemake repeats at its end what it said, without what its executor said of it.
        known, reason = job in self._named, said if said and said != "None" else None
        self._named.add(job)
        if known and reason is None:
            return ""
        parts = [f"Job {job} failed: {found.get('rule_name')} of {', '.join(found.get('output') or ())}"]
        parts += [str(reason)] if reason else []
        parts += [f"log: {', '.join(found['log'])}"] if found.get("log") else []
        return "; ".join(parts)
