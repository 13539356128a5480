"""A series as text: where harm begins, and how each task changes along it."""

from __future__ import annotations

from collections.abc import Iterator

from consistency.comparison.many.result import ManyComparison, Trend
from consistency.support.text import p_equals, p_value


def series_sentence(found: ManyComparison) -> str:
    """Where the series first does harm, and how accuracy changes along it."""
    from consistency.comparison.many.text import ends, points

    series = found.series
    assert series is not None
    labels = [label for label in series.positions if label in found.overall]
    trend = series.trends[found.main]
    along = f"from {labels[0]} to {labels[-1]}"
    slope = f"along the line {points(trend.change.value)} points {ends(trend.change)}, {p_equals(trend.p)}"
    if trend.first_harmful is None:
        kept = [label for label in labels if (found.overall[label].simultaneous.ci_low or -1.0) > -found.margin]
        margin = f"{100 * found.margin:g} point{'' if found.margin == 0.01 else 's'}"
        lost = (
            f"; a loss of more than {margin} is excluded at {'all of them' if len(kept) == len(labels) else len(kept)}"
            if kept
            else f"; a loss of {margin} is excluded at none"
        )
        return f"No position {along} is shown to be harmful{lost}; {slope}."
    first = found.overall[trend.first_harmful].simultaneous
    later = labels[labels.index(trend.first_harmful) + 1 :]
    still = [label for label in later if found.overall[label].direction < 0]
    after = "" if not later else f", and {'all' if len(still) == len(later) else len(still)} of the {len(later)} later ones"
    return (
        f"First harmful position {along}: {trend.first_harmful}, {points(first.value)} points {ends(first)}{after} "
        f"(intervals for all positions together); {slope}."
    )


def series_lines(found: ManyComparison, most: int | None, columns: int) -> Iterator[str]:
    """The trend of each task, and where it is first harmed."""
    from consistency.comparison.many.text import ends, points, table

    series = found.series
    assert series is not None

    def row(name: str, trend: Trend) -> tuple[str, ...]:
        return (
            name,
            points(trend.change.value),
            ends(trend.change),
            p_value(trend.p_holm),
            trend.first_harmful or "none shown",
        )

    tasks = {name: trend for name, trend in series.trends.items() if name not in found.pools}
    ordered = sorted(tasks, key=lambda name: (1.0 if tasks[name].p is None else tasks[name].p, name))
    shown = ordered if most is None else ordered[:most]
    yield f"trends along {len(series.positions)} positions{f'; the {len(shown)} surest tasks (--all shows all)' if len(shown) < len(tasks) else ''}:"
    rows = [row(name, series.trends[name]) for name in (*found.pools, *(shown if len(tasks) > 1 else ()))]
    yield from table(("task", "along the line", "simultaneous 95 %", "p (Holm)", "first harmful"), rows, columns)
