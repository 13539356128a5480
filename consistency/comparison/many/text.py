"""Many runs as text: sentences, and tables for a terminal of 80 columns or more."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence

from consistency.comparison.many.values import Change, ManyChanges, Trend
from consistency.statistics.estimates import Estimate
from consistency.support.text import counted, decimal, joined, p_equals, p_value, padded, shortened, visible, width

NONE = "–"
_NARROWEST = 8


def percent(value: float | None) -> str:
    """A fraction in percent with one digit."""
    return NONE if value is None else f"{decimal(100 * value, 1)} %"


def points(value: float | None) -> str:
    """A change in points with its sign and one digit."""
    return NONE if value is None else decimal(100 * value, 1, "+")


def ends(found: Estimate) -> str:
    """The ends of a change's interval in points."""
    if found.ci_low is None or found.ci_high is None:
        return NONE
    return f"[{points(found.ci_low)}, {points(found.ci_high)}]"


def chance(share: float) -> str:
    """A probability in whole percent; what rounds to 0 or 100 is said to be below 1 or above 99."""
    rounded = round(100 * share)
    if share and rounded < 1:
        return "< 1 %"
    return "> 99 %" if share < 1 and rounded == 100 else f"{rounded} %"


def verdicts(found: ManyChanges) -> Iterator[str]:
    """What happened to all runs, which is the best, and what happened along the series."""
    changes = found.overall
    worse, better, open_ = ([label for label, c in changes.items() if c.direction == way] for way in (-1, 1, 0))
    of = _asked(found)
    parts = []
    for word, labels, sign in (("worse", worse, 1), ("better", better, -1)):
        if labels:
            labels = sorted(labels, key=lambda label: sign * (changes[label].simultaneous.value or 0.0))
            each = [f"{label} {points(changes[label].simultaneous.value)}" for label in labels]
            parts.append(f"{len(labels)} {'is' if len(labels) == 1 else 'are'} {word} ({shortened(each, 3)} points)")
    if open_:
        all_ = "none of them" if not parts else f"{len(open_)}"
        parts.append(f"{all_} cannot be told from it" if parts else "none can be told from it")
    yield f"{counted(len(changes), 'run')} against {found.reference.label} in {of}: {', '.join(parts)}."
    first = found.ranking[0]
    others = [label for label in found.best_set if label != first.label]
    may = f"; with 95 % confidence the best is among {shortened([first.label, *others], 6)}" if others else ""
    alone = "" if others else "; no other is as good, with 95 % confidence"
    most = f"{first.label} ({percent(first.accuracy.value)}), the best with probability {chance(first.best)}"
    yield f"Most accurate: {most}{may}{alone}."
    if found.series is not None:
        yield _series_sentence(found)


def _asked(found: ManyChanges) -> str:
    tasks = found.members[found.main]
    n = found.ranking[0].accuracy.n
    named = tasks[0] if len(tasks) == 1 else f"{len(tasks)} tasks"
    return f"{named} ({counted(n, 'question')})"


def to_text(found: ManyChanges, most: int | None, columns: int) -> str:
    """The whole text: see `ManyComparison.to_text`."""
    said = [*_read(found), *found.notes, "", *verdicts(found)]
    lines = [line for text in said for line in wrapped(text, columns)]
    lines += ["", *_ranking(found, columns), *wrapped(_legend(found), columns)]
    for name, changes in list(found.pools.items())[1:]:
        lines += ["", f"{name}:", *_pool(changes, columns)]
    if found.series is not None:
        lines += ["", *_series_lines(found, most, columns)]
    if len(found.by_task) > 1:
        lines += ["", *_largest(found, most, columns)]
    return joined([*lines, "", found.signature])


def wrapped(text: str, columns: int) -> list[str]:
    """A sentence in lines of at most so many columns, the further ones indented; a word that is longer stays whole."""
    return textwrap.wrap(
        visible(text), columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    ) or [""]


def _read(found: ManyChanges) -> Iterator[str]:
    yield f"{found.reference.label}: {found.reference.selection.to_text()}"
    dates = sorted(run.selection.run for run in found.runs)
    if len(found.runs) <= 4:
        yield from (f"{run.label}: {run.selection.to_text()}" for run in found.runs)
    else:
        yield f"{len(found.runs)} runs: read the newest of each, {dates[0]} to {dates[-1]}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], columns: int, words: int = 1) -> Iterator[str]:
    """Rows under a head, as wide as their cells; the first `words` columns are names, and are cut where there is no room.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequence of str
    columns : int
        Of the terminal.
    words : int
    """
    cells = [[visible(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(width, column)) for column in zip(*cells, strict=True)]
    room = columns - sum(widths[words:]) - (len(widths) - 1)
    while sum(widths[:words]) > room and max(widths[:words]) > _NARROWEST:
        widths[widths[:words].index(max(widths[:words]))] -= 1
    for row in cells:
        shown = [cut(cell, most) for cell, most in zip(row[:words], widths, strict=False)]
        names = [padded(cell, most) for cell, most in zip(shown, widths, strict=False)]
        numbers = [padded(cell, most, right=True) for cell, most in zip(row[words:], widths[words:], strict=True)]
        yield " ".join([*names, *numbers]).rstrip()


def cut(name: str, most: int) -> str:
    """A name of at most so many columns, without its middle.

    Examples
    --------
    >>> cut("mmlu_high_school_world_history", 16)
    'mmlu_hi…_history'
    """
    if width(name) <= most:
        return name
    start, end = name[: (most - 1) // 2], name[-(most // 2) :]
    while width(start) + width(end) + 1 > most:
        start, end = start[:-1], end[1:]
    return f"{start}…{end}"


def _ranking(found: ManyChanges, columns: int) -> Iterator[str]:
    letters = any(change.calibrated is not None for change in found.overall.values())
    corrected = ("no letters",) if letters else ()
    head = ("run", "accuracy", "change", "simultaneous 95 %", "p (Holm)", *corrected, "best", "group")
    rows = []
    for item in found.ranking:
        change = found.overall.get(item.label)
        start = (item.label, percent(item.accuracy.value))
        if change is None:
            middle = ("", "reference", "", *([""] * len(corrected)))
        else:
            without = change.calibrated
            middle = (
                points(change.simultaneous.value),
                ends(change.simultaneous),
                p_value(change.section.p_holm),
                *((points(None if without is None else without.value),) if letters else ()),
            )
        rows.append((*start, *middle, chance(item.best), item.group))
    yield from table(head, rows, columns)


def _legend(found: ManyChanges) -> str:
    letters = "no letters: change corrected for letter bias; " if "calibrated" in found.families else ""
    return (
        f"change in points, with intervals that hold for all {found.families['runs'].of} together; {letters}"
        "best: probability of being the best; group: those that share a letter cannot be told apart"
    )


def _pool(changes: Mapping[str, Change], columns: int) -> Iterator[str]:
    head = ("run", "before", "after", "change", "simultaneous 95 %", "p (Holm)")
    yield from table(head, [(label, *_cells(change)) for label, change in changes.items()], columns)


def _cells(change: Change) -> tuple[str, ...]:
    estimates = change.section.estimates
    return (
        percent(estimates["accuracy_before"].value),
        percent(estimates["accuracy_after"].value),
        points(change.simultaneous.value),
        ends(change.simultaneous),
        p_value(change.section.p_holm),
    )


def surest(item: tuple[str, str, Change]) -> tuple[float, float]:
    """A key that sorts changes by how sure they are, and equally sure ones by how large."""
    change = item[2]
    p = change.section.sign_flip_p
    return (1.0 if p is None else p, -abs(change.simultaneous.value or 0.0))


def _largest(found: ManyChanges, most: int | None, columns: int) -> Iterator[str]:
    """The changes of single tasks, the surest first."""
    rows = sorted(((label, task, c) for task, each in found.by_task.items() for label, c in each.items()), key=surest)
    shown = rows if most is None else rows[:most]
    head = ("run", "task", "n", "change", "simultaneous 95 %", "p (Holm)")
    cells = [
        (
            label,
            task,
            str(change.section.n),
            points(change.simultaneous.value),
            ends(change.simultaneous),
            p_value(change.section.p_holm),
        )
        for label, task, change in shown
    ]
    sure = sum(change.direction != 0 for _, _, change in rows)
    yield (
        f"single tasks: {sure} of {len(rows)} changes (runs × tasks) are sure"
        + (f"; the {len(shown)} surest (--all shows all):" if len(shown) < len(rows) else ":")
    )
    yield from table(head, cells, columns, words=2)


def _series_sentence(found: ManyChanges) -> str:
    """Where the series first does harm, and how accuracy changes along it."""
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
    after = (
        "" if not later else f", and {'all' if len(still) == len(later) else len(still)} of the {len(later)} later ones"
    )
    return (
        f"First harmful position {along}: {trend.first_harmful}, {points(first.value)} points {ends(first)}{after} "
        f"(intervals for all positions together); {slope}."
    )


def _series_lines(found: ManyChanges, most: int | None, columns: int) -> Iterator[str]:
    """The trend of each task, and where it is first harmed."""
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
    rest = f"; the {len(shown)} surest tasks (--all shows all)" if len(shown) < len(tasks) else ""
    yield f"trends along {len(series.positions)} positions{rest}:"
    rows = [row(name, series.trends[name]) for name in (*found.pools, *(shown if len(tasks) > 1 else ()))]
    yield from table(("task", "along the line", "simultaneous 95 %", "p (Holm)", "first harmful"), rows, columns)
