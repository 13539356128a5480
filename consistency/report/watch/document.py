"""Types of the `report.json` of a watched training."""

from __future__ import annotations

from msgspec import Struct

from consistency.report.document import SCHEMA_VERSION, Verdict
from consistency.watch.rows import Alarm, Condition, DriftRow, TextRow


class WatchReport(Struct, tag_field="kind", tag="watch", kw_only=True):
    """What a watched training kept and learned: `consistency watch --out`."""

    schema_version: int = SCHEMA_VERSION
    created: str
    signature: str
    intervals: str
    notes: list[str]
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
    text: list[TextRow] = []
    versions: dict[str, str]
