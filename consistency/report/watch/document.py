"""Types of the `report.json` of a watched training."""

from __future__ import annotations

from msgspec import field

from consistency.report.document import Heading, Verdict
from consistency.watch.rows import Alarm, Condition, DriftRow, TextRow


class WatchReport(Heading, tag="watch", kw_only=True):
    """What a watched training kept and learned: `consistency watch --out`."""

    verdict: Verdict
    model: str
    kept: list[str]
    learned: list[str]
    limits: dict[Condition, float]
    alarm: Alarm | None
    frontier: list[int]
    best_step: int
    rollback: int | None = None
    steps: list[DriftRow]
    text: list[TextRow] = field(default_factory=list)
    versions: dict[str, str]
