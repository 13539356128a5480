"""A plugin of pytest: the fixture `consistency_gate` fails a test where `consistency compare` would fail a job.

pytest finds it wherever this package is installed. Nothing else of the package is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from consistency.comparison.result import Comparison


@pytest.fixture(scope="session")
def consistency_gate() -> Callable[..., Comparison]:
    """The function `consistency_gate(before, after, *conditions, policy=None)`, which compares two runs and judges the change.

    Its arguments are those of `consistency compare`: two logs, conditions of `--fail-if`, the file of `--policy`. It returns the
    comparison. The test fails, with the lines that the command prints, if a condition holds, if the policy fails or is
    inconclusive, or if an input cannot be used.
    """
    return _gate


def _gate(before: str | Path, after: str | Path, *conditions: str, policy: str | Path | None = None) -> Comparison:
    from consistency.cli.gate import ending
    from consistency.comparison.compare import compare
    from consistency.comparison.conditions import check, read_condition
    from consistency.comparison.decision import judge
    from consistency.comparison.policy import read_policy
    from consistency.errors import InputError
    from consistency.support.text import joined

    try:
        if not conditions and policy is None:
            raise InputError("consistency_gate: neither a condition nor a policy", do="give one, or use compare")
        asked = [read_condition(text) for text in conditions]
        rules = None if policy is None else read_policy(Path(policy))
        comparison = compare(before, after)
        _, lines = ending(check(asked, comparison), None if rules is None else judge(rules, comparison))
    except InputError as error:
        lines = [str(error)]
    if lines:
        pytest.fail(joined(f"consistency: {line}" for line in lines), pytrace=False)
    return comparison
