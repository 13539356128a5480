"""The numbers that a reader sees first of two runs compared."""

from __future__ import annotations

from collections.abc import Iterator

from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.comparison.sentences import accuracy_name
from consistency.report.content import KeyNumber
from consistency.report.formats.numbers import DASH, fixed, signed
from consistency.report.pair.tables import NAMES, PARTS
from consistency.statistics.estimates import Estimate
from consistency.support.text import p_equals

# The table of the headline has the others.
_MOST_POOLS = 3
_PART_TITLES = dict(zip(PARTS, ("corrected for letter bias", "due to letter bias"), strict=True))


def key_numbers(comparison: Comparison) -> dict[str, tuple[KeyNumber, ...]]:
    """The numbers of the first screen, of each pool whose answers are right or wrong."""
    pools = [pool for pool in comparison.pools if pool.estimates["delta_accuracy"].value is not None]
    return {_title(pool, comparison): tuple(_numbers(pool)) for pool in pools[:_MOST_POOLS]}


def _title(pool: Section, comparison: Comparison) -> str:
    if pool is comparison.overall:
        return NAMES["overall"] if len(comparison.pools) == 1 else "questions with options"
    return f"{pool.name} ({accuracy_name(pool)})" if pool.accuracy_metric != pool.name else pool.name


def _numbers(pool: Section) -> Iterator[KeyNumber]:
    before, after = (pool.estimates[f"accuracy_{when}"].value for when in ("before", "after"))
    yield KeyNumber("accuracy", f"{_percent(before)} → {_percent(after)}", f"{pool.n:,} questions")
    p = "" if pool.sign_flip_p is None else f", {p_equals(pool.sign_flip_p)}"
    yield _change("change of accuracy", pool.estimates["delta_accuracy"], p)
    parts = pool.decomposition
    if parts is not None and parts.lettered:
        for name, title in _PART_TITLES.items():
            yield _change(title, parts.estimates[name])
    if pool.flips is not None:
        harmful, beneficial = pool.flips["harmful"], pool.flips["beneficial"]
        yield KeyNumber("right → wrong", f"{harmful:,}", f"{_percent(harmful / pool.n)} of the answers")
        yield KeyNumber("wrong → right", f"{beneficial:,}", f"{_percent(beneficial / pool.n)} of the answers")
    same = pool.estimates.get("same_top")
    if same is not None and same.value is not None:
        yield KeyNumber("same answer", _percent(same.value), "of the questions")
    if pool.readability is not None:
        first, second = pool.readability.shares
        yield KeyNumber("unreadable", f"{_percent(first)} → {_percent(second)}", "of the texts")


def _change(name: str, found: Estimate, more: str = "") -> KeyNumber:
    if found.value is None:
        return KeyNumber(name, DASH)
    ends = ""
    if found.ci_low is not None and found.ci_high is not None:
        ends = f"[{signed(100 * found.ci_low, 1)}, {signed(100 * found.ci_high, 1)}]"
    return KeyNumber(name, f"{signed(100 * found.value, 1)} points", f"{ends}{more}".removeprefix(", "))


def _percent(value: float | None) -> str:
    return DASH if value is None else f"{fixed(100 * value, 1)} %"
