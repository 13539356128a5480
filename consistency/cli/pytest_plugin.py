"""A plugin of pytest: the fixture `consistency_gate` fails a test where `consistency compare` would fail a job.

pytest finds it wherever this package is installed. Nothing else of the package is imported before a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

if TYPE_CHECKING:
    from consistency.comparison.result import Comparison


@pytest.fixture(scope="session")
def consistency_gate() -> Callable[..., Comparison]:
    """The function `consistency_gate(before, after, *conditions, policy=None, missing="error")`: two runs compared and judged.

    Its arguments are those of `consistency compare`: two logs, conditions of `--fail-if`, the file of `--policy`, and what
    `--missing` takes. It returns the comparison. The test fails, with the lines that the command prints, if a condition holds, if
    the policy fails or is inconclusive, if something was not compared, or if an input cannot be used.
    """
    return _gate


def _gate(
    before: str | Path,
    after: str | Path,
    *conditions: str,
    policy: str | Path | None = None,
    missing: Literal["error", "ignore"] = "error",
) -> Comparison:
    from consistency.cli.gate import ending
    from consistency.comparison.checked import Checked
    from consistency.comparison.compare import compare
    from consistency.comparison.conditions import check, read_condition
    from consistency.comparison.decision import judge
    from consistency.comparison.gaps import check_not_itself
    from consistency.comparison.policy import read_policy
    from consistency.errors import InputError, not_one_of
    from consistency.support.text import joined

    try:
        if not conditions and policy is None:
            raise InputError("consistency_gate: neither a condition nor a policy", do="give one, or use compare")
        if not all(isinstance(text, str) for text in conditions):
            raise InputError("consistency_gate: a condition that is no text", do="give each as an argument of its own")
        if missing not in ("error", "ignore"):
            raise not_one_of("missing", missing, ["error", "ignore"])
        asked = [read_condition(text) for text in conditions]
        rules = None if policy is None else read_policy(Path(policy))
        comparison = compare(before, after)
        check_not_itself(comparison.warnings, after)
        checked = Checked.of(check(asked, comparison), comparison, ignores_missing=missing == "ignore")
        _, lines = ending(checked, None if rules is None else judge(rules, comparison))
    except InputError as error:
        lines = [str(error)]
    if lines:
        pytest.fail(joined(f"consistency: {line}" for line in lines), pytrace=False)
    return comparison
