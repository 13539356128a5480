"""What every kind of `report.json` has in common."""

from __future__ import annotations

from msgspec import Struct


class Figure(Struct):
    """A number with its 95 % interval."""

    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    undefined: int


class Log(Struct):
    """One log, and what it says of itself."""

    role: str
    model: str
    domain: str | None
    group: str | None
    seed: int | None
    folder: str
    date: str | None
    lm_eval_version: str | None
    dtype: str | None
    shots: list[int]
    chat_template: bool | None
    limit: float | None
    tasks: int
    questions: int
    sha256: str


class Verdict(Struct):
    """What happened, in a sentence."""

    sentence: str


class Report(Struct, kw_only=True, tag_field="kind"):
    """What the reports of a pair and of a grid have in common."""

    schema_version: int
    created: str
    signature: str
    intervals: str
    notes: list[str]
    logs: list[Log]
    versions: dict[str, str]
