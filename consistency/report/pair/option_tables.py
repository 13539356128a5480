"""The tables of how sure the models are, and of options that they favour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.report.content import Table
from consistency.report.formats.numbers import DASH, fixed, signed
from consistency.statistics.estimates import Estimate
from consistency.support.text import p_value

FOLDED = 12


def calibration_table(comparison: Comparison) -> Table | None:
    """The expected calibration error before and after, without bias and as the plug-in; None without one."""
    found = [(name, section) for name, section in _sections(comparison) if section.ece_debiased and section.ece]
    rows, data = [], []
    for name, section in found:
        estimates, plug_in = section.ece_debiased or {}, section.ece or {}
        cells = [_percent(estimates[when], sign=when == "delta") for when in ("before", "after", "delta")]
        rows.append((name, str(section.n), *cells, *(_share(plug_in[when]) for when in ("before", "after"))))
        plain = {f"ece_{when}": estimate.to_dict() for when, estimate in estimates.items()}
        data.append({"questions_of": name, "n": section.n, **plain, "plug_in": dict(plug_in)})
    if not rows:
        return None
    return Table(
        name="calibration",
        title="Whether confidence is accuracy",
        caption="Expected calibration error over 15 bins of confidence, in percent, with 95 % intervals that cover at least "
        "that: the bias of the plug-in (Guo et al. 2017), which grows with fewer questions, is taken out. The plug-in "
        "stands beside it.",
        head=("questions of", "questions", "before", "after", "change, points", "plug-in before", "plug-in after"),
        rows=tuple(rows),
        labels=1,
        data=data,
        folded=len(rows) > FOLDED,
    )


def preference_table(comparison: Comparison) -> Table | None:
    """Which option the answers favour, before and after, and whether they moved between options; None without any."""
    rows: list[tuple[str, ...]] = []
    data: list[dict[str, Any]] = []
    for name, section in _sections(comparison):
        found = section.selection_bias
        if found is None or not (found.before.n or found.after.n):
            continue
        sides = [
            (side.option or DASH, _percent(side.bias_estimate), _percent(side.rstd), p_value(side.p_holm))
            for side in (found.before, found.after)
        ]
        shift = (found.shift.option or DASH, _percent(found.shift.moved_estimate), p_value(found.shift.p_holm))
        rows.append((name, str(found.after.n), *sides[0], *sides[1], *shift))
        data.append({"questions_of": name, **found.to_dict()})
    if not rows:
        return None
    of_side = ("most", "bias, %", "RStd, points", "p (Holm)")
    return Table(
        name="selection_bias",
        title="Whether an option's letter is favoured",
        caption="Most: the option that is answered too often the most; bias: the share of answers that would have to be "
        "others; RStd: the standard deviation of recall over the letters (Zheng et al. 2024); both with 95 % intervals. p: of "
        "a model with knowledge and no preference. Shift: the share of answers that moved between options on balance, with its "
        "95 % interval, the option that won the most, and p of none.",
        head=(
            "questions of",
            "questions",
            *(f"{part} {when}" for when in ("before", "after") for part in of_side),
            *("shift to", "shift, %", "p of no shift (Holm)"),
        ),
        rows=tuple(rows),
        labels=1,
        data=data,
        folded=len(rows) > FOLDED,
    )


def _sections(comparison: Comparison) -> Iterator[tuple[str, Section]]:
    """All tasks together where there are several, then each."""
    if comparison.overall is not None and comparison.overall.tasks:
        yield "all questions", comparison.overall
    yield from comparison.by_task.items()


def _share(value: float | None) -> str:
    return fixed(None if value is None else 100 * value, 1)


def _percent(estimate: Estimate | None, *, sign: bool = False) -> str:
    """A fraction of 1 in percent, with its interval."""
    if estimate is None:
        return DASH
    form, found = signed if sign else fixed, estimate.scaled(100)
    if found.value is None or found.ci_low is None:
        return form(found.value, 1)
    return f"{form(found.value, 1)} [{form(found.ci_low, 1)}, {form(found.ci_high, 1)}]"
