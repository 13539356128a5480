"""Whether the conditions of a gate were kept, for the first screen of a page."""

from __future__ import annotations

from collections.abc import Sequence

from consistency.comparison.conditions import Check
from consistency.comparison.decision import Outcome, PolicyOutcome
from consistency.report.content import Gate


def gate_of(checks: Sequence[Check], policy: PolicyOutcome | None = None, noise: Sequence[str] = ()) -> Gate | None:
    """What a gate decided; None where there is neither a condition nor a policy.

    Parameters
    ----------
    checks : sequence of Check
    policy : PolicyOutcome, optional
    noise : sequence of str
        What two runs of one model differ by, in sentences.
    """
    if not checks and policy is None:
        return None
    failed = any(item.failed for item in checks) or (policy is not None and policy.outcome is Outcome.FAILED)
    doubtful = policy is not None and policy.outcome is Outcome.INCONCLUSIVE
    lines = [*(item.to_text() for item in checks), *([] if policy is None else policy.to_lines())]
    return Gate("failed" if failed else "inconclusive" if doubtful else "passed", (*lines, *noise))
