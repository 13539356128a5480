"""The change of a metric in its own unit, as the columns of a table."""

from __future__ import annotations

from consistency.comparison.section import MetricChange
from consistency.report.formats.numbers import DASH, fixed, signed

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
    delta = found.delta
    change = signed(delta.value, DIGITS)
    if delta.value is not None and delta.ci_low is not None:
        change += f" [{signed(delta.ci_low, DIGITS)}, {signed(delta.ci_high, DIGITS)}]"
    return (
        found.aggregation,
        BETTER[found.higher_is_better],
        *(fixed(end.value, DIGITS) for end in (found.before, found.after)),
        change,
    )
