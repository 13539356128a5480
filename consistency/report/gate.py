"""Whether the conditions of a gate were kept, for the first screen of a page."""

from __future__ import annotations

from consistency.comparison.checked import Checked
from consistency.comparison.decision import Outcome, PolicyOutcome
from consistency.report.content import Gate, GateOutcome


def gate_of(checked: Checked, policy: PolicyOutcome | None = None) -> Gate | None:
    """What a gate decided, what failed first, and of one condition the largest; None without a condition and a policy.

    Parameters
    ----------
    checked : Checked
    policy : PolicyOutcome, optional
    """
    if not checked.checks and policy is None:
        return None
    failed = bool(checked.failed) or (policy is not None and policy.outcome is Outcome.FAILED)
    doubtful = policy is not None and policy.outcome is Outcome.INCONCLUSIVE
    asked = list(dict.fromkeys(item.condition.text for item in checked.checks))
    ordered = sorted(
        checked.checks,
        key=lambda item: (not item.failed, asked.index(item.condition.text), -abs(item.estimate.value or 0.0)),
    )
    lines = (item.to_text() for item in ordered)
    outcome: GateOutcome = (
        "failed" if failed else "incomplete" if checked.missing else "inconclusive" if doubtful else "passed"
    )
    return Gate(outcome, (*checked.doubt, *lines, *([] if policy is None else policy.to_lines())))
