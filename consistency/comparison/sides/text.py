"""Two sides of several runs in words, for a terminal: what was read, and tables that fit its columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from consistency.comparison.numbers import interval, points_of
from consistency.comparison.sides.answers import SIDES, SideRun
from consistency.comparison.sides.sections import Noise, SideSection
from consistency.metrics.measures import MEASURE, Measure
from consistency.statistics.estimates import Estimate
from consistency.support.terminal import cut_in_middle
from consistency.support.text import counted, decimal, p_value, padded, visible, width

_NONE = "–"
# What is compared with the noise, for all questions together.
COMPARED = ("harmful_flips", "beneficial_flips", "same_top", "kl", "js", "spearman")
# Of a name that is longer the middle is left out.
_LONGEST = 20


def run_notes(runs: Sequence[Sequence[SideRun]]) -> Iterator[str]:
    """What follows for a side of a single run beside one of several."""
    for name, side in zip(SIDES, runs, strict=True):
        if len(side) == 1 < max(map(len, runs)):
            yield f"{name}: a single run, taken as it is; intervals say nothing of other runs of that side"


def run_lines(runs: Sequence[Sequence[SideRun]]) -> Iterator[str]:
    """Which run of each log was read."""
    for side in runs:
        yield from (f"{run.name}: {run.path}, {run.read}" for run in side)


def summary(pool: SideSection, *, named: bool) -> Iterator[str]:
    """The change of accuracy of a pool with its interval, how far its runs lie apart, and the change without letter bias."""
    change = pool.section.estimates["delta_accuracy"]
    if change.ci_low is None:
        return
    of = f"{pool.section.name}: " if named else ""
    yield f"{of}change {points_of(change)} points: {change.describe()}"
    spread = [
        f"{side} {decimal(100 * deviation, 2)} points over {len(runs)} runs"
        for side, deviation, runs in zip(SIDES, pool.deviations, pool.runs, strict=True)
        if deviation is not None
    ]
    if spread:
        yield f"{of}standard deviation of the runs' accuracy: {', '.join(spread)}"
    found = pool.calibrated
    if "calibrated_change" in found:
        ends = " → ".join(_percent(found[f"calibrated_{side}"].value) for side in SIDES)
        yield (
            f"{of}accuracy corrected for letter bias {ends} %, change {points_of(found['calibrated_change'])} points; change "
            f"due to letter bias {points_of(found['prior_change'])} points"
        )


def task_table(items: Sequence[SideSection], columns: int) -> Iterator[str]:
    """A row for each task and pool: accuracies and the change."""
    rows = [("", "n", "before", "after", "change [95 % interval]", "p (Holm)")]
    for item in items:
        section, estimates = item.section, item.section.estimates
        p = section.sign_flip_p if section.p_holm is None else section.p_holm
        rows.append(
            (
                section.name,
                str(section.n),
                _percent(estimates["accuracy_before"].value),
                _percent(estimates["accuracy_after"].value),
                points_of(estimates["delta_accuracy"]),
                p_value(p),
            )
        )
    yield from _table(rows, columns)


def noise_table(items: Sequence[SideSection], columns: int) -> Iterator[str]:
    """A row for each task and pool: answers that turn from right to wrong between the sides and within them."""
    rows = [("right → wrong, %", "sides", "before", "after", "beyond [95 % interval]", "p (Holm)")]
    for item in items:
        noise = item.noise.get("harmful_flips")
        if noise is not None:
            rows.append((item.section.name, *_noise_cells(item, "harmful_flips", noise), p_value(noise_p(noise))))
    if len(rows) > 1:
        yield from _table(rows, columns)


def measure_table(pool: SideSection, columns: int) -> Iterator[str]:
    """A row for each measure: between the sides, between two runs of either side, and what is beyond that."""
    rows = [("", "between the sides", "before", "after", "beyond [95 % interval]")]
    for name in COMPARED:
        noise, found = pool.noise.get(name), pool.section.estimates.get(name)
        if noise is None or found is None or found.value is None:
            continue
        measure = MEASURE[name]
        cells = _noise_cells(pool, name, noise)
        rows.append((measure.heading, number(found, measure, ends=True), *cells[1:]))
    if len(rows) > 1:
        yield from _table(rows, columns)


def noise_p(noise: Noise) -> float | None:
    """The p of no difference beyond the runs of one side, adjusted where there are several tasks."""
    return noise.p if noise.p_holm is None else noise.p_holm


def number(found: Estimate | None, measure: Measure, *, ends: bool = False, signed: bool = False) -> str:
    """An estimate in the unit of its measure, with its interval where that is asked for."""
    if found is None or found.value is None:
        return _NONE
    digits = 1 if measure.scale > 1 else 3
    text = decimal(measure.scale * found.value, digits, "+" if signed else "")
    return text + (interval(found, measure.scale, digits, "+" if signed else "") if ends else "")


def wrapped(sentence: str, columns: int) -> list[str]:
    """A sentence in lines of so many columns, everything in it visible; all but the first begin with two spaces."""
    return textwrap.wrap(
        visible(sentence), columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _noise_cells(item: SideSection, name: str, noise: Noise) -> tuple[str, str, str, str]:
    measure = MEASURE[name]
    return (
        number(item.section.estimates.get(name), measure),
        number(noise.before, measure),
        number(noise.after, measure),
        number(noise.beyond, measure, ends=True, signed=True),
    )


def _table(rows: Sequence[tuple[str, ...]], columns: int) -> Iterator[str]:
    """Rows whose first column is aligned to the left, cut where it is too long, and the others to the right."""
    rows = [tuple(map(visible, row)) for row in rows]
    sizes = [max(width(row[place]) for row in rows) for place in range(len(rows[0]))]
    room = max(columns - sum(sizes[1:]) - len(sizes) + 1, min(_LONGEST, sizes[0]))
    for row in rows:
        name = padded(cut_in_middle(row[0], room), min(sizes[0], room))
        cells = (padded(cell, size, right=True) for cell, size in zip(row[1:], sizes[1:], strict=True))
        yield " ".join([name, *cells]).rstrip()


def _percent(value: float | None) -> str:
    return _NONE if value is None else decimal(100 * value, 1)


def chosen(items: Iterable[SideSection], most: int | None) -> list[SideSection]:
    """The sections, the largest change of accuracy first; no more than so many."""
    ordered = sorted(items, key=lambda item: -abs(item.section.estimates["delta_accuracy"].value or 0.0))
    return ordered[:most]


def left_out(shown: int, of: int) -> str:
    """How many tasks a table leaves out; empty where it holds all."""
    return "" if shown >= of else f"the {shown} largest changes of {counted(of, 'task')}: --all shows them"
