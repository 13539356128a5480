"""Types of the `report.json` of two reports compared."""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType

from consistency.report.document import Heading, Verdict
from consistency.statistics.estimates import Estimate


class Setting(Struct):
    """A setting or version in which two reports differ."""

    setting: str
    a: str
    b: str


class ComparedReport(Struct):
    """One of two reports."""

    folder: str
    signature: str


class DifferenceRow(Struct, kw_only=True):
    """One measure of one row that both reports hold, B less A: of a pair's `section`, or of a grid's run and scope."""

    section: str | UnsetType = UNSET
    model: str | UnsetType = UNSET
    domain: str | UnsetType = UNSET
    group: str | UnsetType = UNSET
    seed: str | UnsetType = UNSET
    scope: str | UnsetType = UNSET
    level: str
    measure: str
    a: Estimate
    b: Estimate
    difference: Estimate
    paired: bool
    p: float | None
    p_holm: float | None
    state: str


class DifferencesReport(Heading, tag="differences", kw_only=True):
    """What differs between two reports: `consistency report --compare`."""

    verdict: Verdict
    a: ComparedReport
    b: ComparedReport
    settings: list[Setting]
    differences: list[DifferenceRow]
    only_in_a: list[str]
    only_in_b: list[str]
    averaged_over_others: list[str]
    versions: dict[str, str]
