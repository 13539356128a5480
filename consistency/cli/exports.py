"""A comparison for other programs: what `compare --export` and `consistency card` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.support.streams import tell

if TYPE_CHECKING:
    from consistency.comparison.conditions import Check
    from consistency.comparison.decision import PolicyOutcome


def export_to(
    trackers: Sequence[str],
    content: Mapping[str, Any],
    checks: Sequence[Check],
    decision: PolicyOutcome | None = None,
    *,
    out: Path | None,
) -> None:
    """Write a comparison as a run of each tracker, and say on standard error where it is.

    Parameters
    ----------
    trackers : sequence of str
        As `read_trackers` gives them.
    content : mapping
        The comparison as JSON.
    checks, decision
        What its conditions and its policy decided.
    out : Path or None
        The folder of its report.
    """
    if not trackers:
        return
    from consistency.report.exports.trackers import export
    from consistency.report.gate import gate_of

    page = None if out is None else out / "report.html"
    for line in export(trackers, content, gate_of(checks, decision), page):
        tell(line)
