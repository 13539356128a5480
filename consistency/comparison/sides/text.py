"""Two sides of several runs in words, for a terminal: what was read, and tables that fit its columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from consistency.comparison.beside import Beside
from consistency.comparison.changed_most import change_among
from consistency.comparison.names import short_names
from consistency.comparison.numbers import interval, points_of
from consistency.comparison.printed import Layout, row_of, tested
from consistency.comparison.runs import ComparedRun
from consistency.comparison.section import Section
from consistency.comparison.sentences import ALPHA
from consistency.comparison.settings import settings_clause
from consistency.comparison.sides.answers import SIDES
from consistency.comparison.sides.sections import Noise, SideSection
from consistency.metrics.measures import MEASURE, Measure
from consistency.statistics.crossed import NORMAL_DF, Variances
from consistency.statistics.estimates import Estimate
from consistency.support.terminal import Column, fitted, lines_of
from consistency.support.text import counted, decimal, p_equals, p_value, shortened, visible

_NONE = "–"
# On a side: with so many Student's quantile over both is 1.2 times the normal one.
ENOUGH_RUNS = 5
# What is compared with the noise, for all questions together.
COMPARED = ("harmful_flips", "beneficial_flips", "same_top", "kl", "js", "spearman")
_SIDES_AND_BEYOND = ("sides", "before", "after", "beyond [95 % interval]")
# Where a terminal has no room for all columns, these go first.
_RANKS = {"before": 2, "after": 2, "p (Holm)": 1}


def doubts_of(beside: Mapping[str, Beside], before: int) -> Iterator[str]:
    """What may have moved the numbers beside the models: between the sides, and among the runs of a side.

    Parameters
    ----------
    beside : mapping of str to Beside
        By run, what differs between it and the first one; those before come first.
    before : int
        How many these are.
    """
    runs = list(beside.values())
    sides = dict(zip(SIDES, (runs[:before], runs[before:]), strict=True))
    every = list(dict.fromkeys(item for run in runs for item in run.leading))
    between = [item for item in every if all(item in run.leading for run in sides["after"])]
    unexplained = all(run.unexplained is not None for run in sides["after"])
    if clause := settings_clause(between, unexplained=unexplained):
        yield clause
    for side, found in sides.items():
        counts = {item: sum(item in run.leading for run in found) for item in every}
        differ = [
            f"{item.setting} ({item.before} or {item.after})"
            for item, count in counts.items()
            if 0 < count < len(found)
        ]
        if 0 < sum(run.unexplained is not None for run in found) < len(found) and not differ:
            differ = ["prompts"]
        if differ:
            yield f"the runs {side} differ among themselves in {shortened(differ, 3)}"
    named: dict[str, list[str]] = {}
    for name, run in beside.items():
        for clause in run.clauses:
            named.setdefault(clause, []).append(name)
    first, *_ = beside
    for clause, names in named.items():
        yield f"between {first} and {shortened(names, 3)} {clause}"


def run_notes(runs: Sequence[Sequence[ComparedRun]]) -> Iterator[str]:
    """What follows for a side of a single run beside one of several."""
    for name, side in zip(SIDES, runs, strict=True):
        if len(side) == 1 < max(map(len, runs)):
            yield f"{name}: a single run, taken as it is; intervals say nothing of other runs of that side"


def run_lines(runs: Sequence[Sequence[ComparedRun]]) -> Iterator[str]:
    """Which run of each log was read."""
    for side in runs:
        yield from (f"{run.label}: {run.path}, {run.selection.to_text()}" for run in side)


def summary(pool: SideSection, name: str) -> Iterator[str]:
    """The change of accuracy of a pool with its interval, how far its runs lie apart, and the change without letter bias.

    Each begins with the name, if there is one.
    """
    change = pool.section.estimates["delta_accuracy"]
    if change.ci_low is None:
        return
    of = f"{name}: " if name else ""
    yield f"{of}change {points_of(change)} points: {change.describe()}"
    spread = [
        f"{side} {decimal(100 * deviation, 1)} points over {len(runs)} runs"
        for side, deviation, runs in zip(SIDES, pool.deviations, pool.runs, strict=True)
        if deviation is not None
    ]
    if spread:
        yield f"{of}standard deviation of the runs' accuracy: {', '.join(spread)}"
    if few := few_runs(pool):
        yield f"{of}{few}"
    found = pool.calibrated
    if "calibrated_change" in found:
        ends = " → ".join(_percent(found[f"calibrated_{side}"].value) for side in SIDES)
        yield (
            f"{of}accuracy corrected for letter bias (one offset for each letter) {ends} %, change "
            f"{points_of(found['calibrated_change'])} points; change due to letter bias {points_of(found['prior_change'])} points"
        )


def few_runs(pool: SideSection) -> str:
    """How wide the interval of few runs is, and how wide with more; empty where there are enough.

    The runs' variance and its degrees of freedom are taken from their standard deviations, and that of questions is the rest.
    """
    change = pool.section.estimates["delta_accuracy"]
    several = [
        (len(runs), deviation**2)
        for runs, deviation in zip(pool.runs, pool.deviations, strict=True)
        if deviation is not None
    ]
    spread = sum(square / count for count, square in several)
    if not spread or change.se is None or change.ci_low is None or change.ci_high is None:
        return ""
    if min(count for count, _ in several) >= ENOUGH_RUNS:
        return ""

    def freedom(counts: Sequence[int]) -> float:
        parts = [square / count for count, (_, square) in zip(counts, several, strict=True)]
        return sum(parts) ** 2 / sum(part**2 / (count - 1) for count, part in zip(counts, parts, strict=True))

    more = [max(count, ENOUGH_RUNS) for count, _ in several]
    part = sum(square / count for count, (_, square) in zip(more, several, strict=True))
    wider = Variances(max(change.se**2 - spread, 0.0), NORMAL_DF, part, freedom(more), 0.0).half_width(0.05)
    sides = " and ".join(f"{len(runs)} {side}" for side, runs in zip(SIDES, pool.runs, strict=True) if len(runs) > 1)
    left = decimal(freedom([count for count, _ in several]), 1)
    half = decimal(50 * (change.ci_high - change.ci_low), 1)
    return (
        f"few runs make the interval wide: {sides} leave {left} degrees of freedom (± {half} points); {ENOUGH_RUNS} a side that "
        f"differ as much would give about ± {decimal(100 * wider, 1)}"
    )


def task_rows(items: Sequence[SideSection], changes: Mapping[str, Estimate]) -> list[tuple[str, ...]]:
    """A head, and a row for each task and pool: accuracies, or the first metric in its own unit, and the change."""
    adjusted = any(item.section.p_holm is not None for item in items)
    change, p = f"change [{'' if changes else '95 % '}interval]", "p (Holm)" if adjusted else "p"
    rows: list[tuple[str, ...]] = [("", "n", "before", "after", change, p)]
    for item in items:
        section, row = item.section, row_of(item.section, changes.get(item.section.name))
        change = " ".join(filter(None, (row.change, row.interval)))
        rows.append((section.name, str(section.n), row.before, row.after, change, tested(section, adjusted=adjusted)))
    return rows


def noise_table(items: Sequence[SideSection], layout: Layout) -> Iterator[str]:
    """A row for each task and pool: answers that turn from right to wrong between the sides and within them."""
    rows = [
        (item.section.name, *_noise_cells(item, "harmful_flips", noise), p_value(noise_p(noise)))
        for item in items
        if (noise := item.noise.get("harmful_flips")) is not None and noise.beyond.value is not None
    ]
    if rows:
        yield from _table(("right → wrong, %", *_SIDES_AND_BEYOND, "p (Holm)"), rows, layout)


def measure_table(pool: SideSection, layout: Layout) -> Iterator[str]:
    """A row for each measure: between the sides, between two runs of either side, and what is beyond that."""
    rows = []
    for name in COMPARED:
        noise, found = pool.noise.get(name), pool.section.estimates.get(name)
        if noise is None or found is None or found.value is None:
            continue
        measure = MEASURE[name]
        cells = _noise_cells(pool, name, noise)
        rows.append((measure.heading, number(found, measure, ends=True), *cells[1:]))
    if rows:
        yield from _table(("", "between the sides", *_SIDES_AND_BEYOND[1:]), rows, layout)


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


def _noise_cells(item: SideSection, name: str, noise: Noise) -> tuple[str, str, str, str]:
    measure = MEASURE[name]
    return (
        number(item.section.estimates.get(name), measure),
        number(noise.before, measure),
        number(noise.after, measure),
        number(noise.beyond, measure, ends=True, signed=True),
    )


def _table(head: Sequence[str], rows: Sequence[tuple[str, ...]], layout: Layout) -> Iterator[str]:
    """Rows of names and cells; where there is no room, what is within a side gives way."""
    table = [
        Column(name, tuple(visible(row[place]) for row in rows), rank=_RANKS.get(name, 0), right=place > 0)
        for place, name in enumerate(head)
    ]
    yield from lines_of(fitted(table, layout.columns))


def _percent(value: float | None) -> str:
    return _NONE if value is None else decimal(100 * value, 1)


def unsure_task(tasks: Sequence[Section]) -> Iterator[tuple[str, ...]]:
    """Where no task surely changed, a sentence on the largest change whose own interval excludes 0; nothing without one."""
    known = [section for section in tasks if section.estimates["delta_accuracy"].value is not None]
    over_runs = [section for section in known if section.estimates["delta_accuracy"].unit == "run"]
    tested = [(section, section.p_holm) for section in over_runs if section.p_holm is not None]
    if any(p < ALPHA for _, p in tested):
        return
    alone = [(section, p) for section, p in tested if section.estimates["delta_accuracy"].excludes_zero]
    if alone:
        section, p = max(alone, key=lambda item: abs(item[0].estimates["delta_accuracy"].value or 0.0))
        change = change_among(section, len(known))
        (name,) = short_names([section.name], [item.name for item in tasks])
        corrected = f"not sure after correction for {counted(len(tested), 'task')} ({p_equals(p)}, Holm)"
        yield (
            f"The largest change of a single task whose own interval excludes 0 is that of {name}: {points_of(change)} points",
            corrected,
        )
