"""Whether the conditions of a gate were kept, for the first screen of a page."""

from __future__ import annotations

from collections.abc import Sequence

from consistency.comparison.conditions import Check
from consistency.comparison.decision import Outcome, PolicyOutcome
from consistency.report.content import Gate


def gate_of(checks: Sequence[Check], policy: PolicyOutcome | None = None) -> Gate | None:
    """What a gate decided, what failed first, and of one condition the largest; None without a condition and a policy."""
    if not checks and policy is None:
        return None
    failed = any(item.failed for item in checks) or (policy is not None and policy.outcome is Outcome.FAILED)
    doubtful = policy is not None and policy.outcome is Outcome.INCONCLUSIVE
    asked = list(dict.fromkeys(item.condition.text for item in checks))
    ordered = sorted(
        checks,
        key=lambda item: (not item.failed, asked.index(item.condition.text), -abs(item.estimate.value or 0.0)),
    )
    lines = [*(item.to_text() for item in ordered), *([] if policy is None else policy.to_lines())]
    return Gate("failed" if failed else "inconclusive" if doubtful else "passed", tuple(lines))
