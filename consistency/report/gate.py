"""Whether the conditions of a gate were kept, for the first screen of a page."""

from __future__ import annotations

from collections.abc import Sequence

from consistency.comparison.conditions import Check
from consistency.comparison.decision import Outcome, PolicyOutcome
from consistency.comparison.gaps import incomplete
from consistency.report.content import Gate, GateOutcome


def gate_of(
    checks: Sequence[Check], policy: PolicyOutcome | None = None, *, missing: Sequence[str] = ()
) -> Gate | None:
    """What a gate decided, what failed first, and of one condition the largest; None without a condition and a policy.

    Parameters
    ----------
    checks : sequence of Check
    policy : PolicyOutcome, optional
    missing : sequence of str
        What was not compared, in sentences.
    """
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
    if missing:
        lines.insert(0, str(incomplete(missing)))
    outcome: GateOutcome = "failed" if failed else "incomplete" if missing else "inconclusive" if doubtful else "passed"
    return Gate(outcome, tuple(lines))
