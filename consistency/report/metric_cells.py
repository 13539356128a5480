"""The change of a metric in its own unit, as the columns of a table."""

from __future__ import annotations

from consistency.comparison.section import MetricChange
from consistency.report.formats.numbers import DASH, fixed, signed
from consistency.statistics.estimates import Estimate

DIGITS = 4
BETTER = {True: "higher", False: "lower", None: DASH}
HEAD = ("aggregated by", "better", "before", "after", "change")


def metric_cells(found: MetricChange) -> tuple[str, ...]:
    """The cells below `HEAD`.

    Examples
    --------
    >>> from consistency.statistics.means import mean
    >>> metric_cells(MetricChange(mean([2.0, 2.0]), mean([2.0, 3.0]), mean([0.0, 1.0]), higher_is_better=True))
    ('mean', 'higher', '2.0000', '2.5000', '+0.5000 [−5.8531, +6.8531]')
    """
    return (
        found.aggregation,
        BETTER[found.higher_is_better],
        *(fixed(end.value, DIGITS) for end in (found.before, found.after)),
        in_own_unit(found.delta, sign=True),
    )


def in_own_unit(found: Estimate, *, sign: bool = False) -> str:
    """A metric, or with `sign` its change, in its own unit with its interval; "–" where there is none."""
    form = signed if sign else fixed
    number = form(found.value, DIGITS)
    if found.value is None or found.ci_low is None:
        return number
    return f"{number} [{form(found.ci_low, DIGITS)}, {form(found.ci_high, DIGITS)}]"
