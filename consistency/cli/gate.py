"""How a gate ends: the exit code of its conditions and its policy, and the lines that say why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from consistency.support.streams import tell
from consistency.support.terminal import is_terminal

if TYPE_CHECKING:
    from consistency.comparison.conditions import Check
    from consistency.comparison.decision import PolicyOutcome


def ending(checks: Sequence[Check], decision: PolicyOutcome | None = None) -> tuple[int, list[str]]:
    """The exit code, and a line for each condition that holds and for each rule of a policy that did not pass.

    Parameters
    ----------
    checks : sequence of Check
    decision : PolicyOutcome, optional

    Returns
    -------
    int
        0, 1 (a condition holds, or the policy failed) or 3 (the policy is inconclusive).
    list of str
        Empty with 0.
    """
    lines = [item.to_text() for item in checks if item.failed]
    code = 1 if lines else 0
    if decision is not None and decision.outcome:
        lines += decision.to_lines()
        code = code or decision.outcome.exit_code
    return code, lines


def where(out: Path | None) -> list[str]:
    """A line that says where the page of a report is; none without a report."""
    return [] if out is None else [f"report: {out / 'report.html'}"]


def end(checks: Sequence[Check], decision: PolicyOutcome | None = None) -> None:
    """End with the exit code of conditions and policy; where the output goes into a file, a job's log says why."""
    code, lines = ending(checks, decision)
    if not is_terminal():
        tell(*(f"consistency: {line}" for line in lines))
    if code:
        raise typer.Exit(code)
