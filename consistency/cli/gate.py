"""How a gate ends: the exit code of its conditions and its policy, and the lines that say why."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from consistency.cli.exit_codes import MISTAKE
from consistency.support.streams import tell
from consistency.support.terminal import is_terminal

if TYPE_CHECKING:
    from consistency.comparison.checked import Checked
    from consistency.comparison.decision import PolicyOutcome


def ending(checked: Checked, decision: PolicyOutcome | None = None) -> tuple[int, list[str]]:
    """The exit code, and a line for each condition that holds, each rule of a policy that did not pass, and what is missing.

    Parameters
    ----------
    checked : Checked
    decision : PolicyOutcome, optional

    Returns
    -------
    int
        0, 1 (a condition holds, or the policy failed), 2 (something is missing) or 3 (the policy is inconclusive).
    list of str
        Empty with 0.
    """
    lines = [item.to_text() for item in checked.failed]
    codes = [1] if lines else []
    if decision is not None and decision.outcome:
        lines += decision.to_lines()
        codes.append(decision.outcome.exit_code)
    if checked.missing:
        lines += checked.doubt
        codes.append(MISTAKE)
    # What surely fails fails, whatever is missing.
    return min(codes, default=0), lines


def where(out: Path | None) -> list[str]:
    """A line that says where the page of a report is; none without a report."""
    return [] if out is None else [f"report: {out / 'report.html'}"]


def end(checked: Checked, decision: PolicyOutcome | None = None) -> None:
    """End with the exit code of conditions and policy; where the output goes into a file, a job's log says why."""
    code, lines = ending(checked, decision)
    if not is_terminal():
        tell(*(f"consistency: {line}" for line in lines))
    if code:
        raise typer.Exit(code)
