"""A watched training in plain text: a line for each step with a curve that runs down beside them, and the plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from consistency.support.text import counted, decimal, padded, shortened
from consistency.watch.frontier import plane
from consistency.watch.record import WatchRecord
from consistency.watch.rows import NOTHING, DriftRow, Pool, limits_text, most_harm

# Points to either side of the curve where the steps to come are not known, and columns of it.
REACH = 10.0
_CURVE = 41
_PLANE = (57, 13)
# Lines of more steps are left out in the middle.
_MOST = 40
_OF_TEXT = (("kl", 4), ("kl_median", 4), ("kl_p99", 3), ("kl_max", 2), ("same_top", 3), ("perplexity_ratio", 3))
# Of the table's columns: head, width, and rank; where there is no room for all, those of the highest rank go first. The second of
# kept is corrected for letter bias.
_TABLE = (
    ("step", 5, 0),
    ("epoch", 5, 2),
    ("kept, points", 19, 0),
    ("corrected", 9, 1),
    ("right → wrong, %", 17, 0),
    ("KL", 5, 3),
    ("ρ", 6, 4),
    ("learned, points", 19, 0),
)
_ALARM = " ALARM"
# Fewer looks are told by the table.
_FEWEST = 3


def to_lines(record: WatchRecord, columns: int = 160) -> Iterator[str]:
    """The whole record.

    Parameters
    ----------
    record : WatchRecord
    columns : int
        Of the terminal: in a narrow one the curve is left out.
    """
    yield from about_lines(record)
    yield ""
    reach = _reach(record.rows)
    yield from head_lines(columns, reach)
    rows = record.rows
    shown = rows if len(rows) <= _MOST else (*rows[:2], *rows[2 - _MOST :])
    for number, row in enumerate(shown):
        if number == 2 and len(shown) < len(rows):
            yield f"… {len(rows) - len(shown)} steps"
        yield step_line(row, columns, reach)
    yield ""
    yield from plane_lines(record)
    yield from text_lines(record)
    yield from outcome_lines(record)


def text_lines(record: WatchRecord) -> Iterator[str]:
    """The last step on the user's text, over the whole vocabulary; nothing without a text."""
    for row in record.text[-1:]:
        shown = {name: found.value for name, found in row.figures.items() if found.value is not None}
        parts = [
            f"{name.replace('_', ' ')} {decimal(shown[name], digits)}" for name, digits in _OF_TEXT if name in shown
        ]
        yield f"text, {row.tokens} tokens, step {row.step}: {', '.join(parts)}"


def about_lines(record: WatchRecord) -> Iterator[str]:
    """What is watched, and what counts as harm."""
    first = record.rows[0]
    learned = f"; to be learned: {shortened(record.learned)}" if record.learned else ""
    yield f"{record.model}: {counted(first.asked, 'question')} to be kept ({shortened(record.kept)}){learned}"
    yield from dict.fromkeys(note for row in record.rows for note in row.notes)


def head_lines(columns: int, reach: float) -> Iterator[str]:
    """The head of the table."""
    head = _cells([name for name, _, _ in _TABLE], columns)
    if _has_room(columns):
        left, right = f"−{reach:g}", f"+{reach:g}"
        half = _CURVE // 2
        head += f"   {left:<{half}}0{right:>{_CURVE - half - 1}}"
    yield head


def step_line(row: DriftRow, columns: int, reach: float) -> str:
    """One step: changes in points with their 95 % intervals, and where it stands: k kept, l learned."""
    cells = (
        str(row.step),
        f"{row.epoch:.2f}",
        _cell(row.kept, "change", 100, 1, "+"),
        _cell(row.kept, "change_calibrated", 100, 1, "+", interval=False),
        _cell(row.kept, "harmful_flips", 100, 1),
        _cell(row.kept, "kl", 1, 3, interval=False),
        _cell(row.kept, "spearman", 1, 3, interval=False),
        _cell(row.learned, "change", 100, 1, "+"),
    )
    line = _cells(cells, columns)
    if _has_room(columns):
        line += f"   {_curve(row, reach)}"
    return f"{line}{_ALARM}" if row.alarm is not None else line.rstrip()


def look_line(row: DriftRow) -> str:
    """One step in a sentence, for the output of a training."""
    kept = row.kept
    parts = [f"kept {_cell(kept, 'change', 100, 1, '+')} points"]
    if kept is not None and kept.value("change_calibrated") is not None:
        parts.append(f"corrected for letter bias {_cell(kept, 'change_calibrated', 100, 1, '+', interval=False)}")
    parts.append(f"right → wrong {_cell(kept, 'harmful_flips', 100, 1)} %")
    if row.learned is not None:
        parts.append(f"learned {_cell(row.learned, 'change', 100, 1, '+')} points")
    return f"step {row.step}: {', '.join(parts)}"


def plane_lines(record: WatchRecord) -> Iterator[str]:
    """The plane of what was gained and what was lost, with the steps on the frontier; nothing for fewer than three steps."""
    places = {row.step: place for row in record.rows if (place := plane(row)) is not None}
    if len(places) < _FEWEST or not record.learned:
        return
    width, height = _PLANE
    low_x, high_x, low_y, high_y = _ends([x for x, _ in places.values()]) + _ends([y for _, y in places.values()])
    cells = [[" "] * width for _ in range(height)]
    best = record.frontier
    at: dict[tuple[int, int], list[int]] = {}
    for step, (x, y) in sorted(places.items()):
        column = round((x - low_x) / (high_x - low_x) * (width - 1))
        line = round((high_y - y) / (high_y - low_y) * (height - 1))
        at.setdefault((line, column), []).append(step)
    marks = {place: "●" if any(step in best for step in steps) else "○" for place, steps in at.items()}
    for (line, column), mark in marks.items():
        cells[line][column] = mark
    for line, column in sorted(at, key=lambda place: marks[place] != "●"):
        steps = at[line, column]
        name = ",".join(map(str, steps[:3])) + ("…" if len(steps) > 3 else "")
        start = column + 1 if column + len(name) < width else column - len(name)
        # A name without room is left out: a part of it would be that of another step.
        if set(cells[line][start : start + len(name)]) == {" "}:
            cells[line][start : start + len(name)] = name
    yield "kept, points: up is better; ● on the frontier, ○ beaten by another step"
    for number, line_cells in enumerate(cells):
        label = {0: high_y, height - 1: low_y}.get(number)
        yield f"{'' if label is None else _points(label):>7} │{''.join(line_cells).rstrip()}"
    yield f"{'':>7} └{'─' * width}"
    left, right = _points(low_x), _points(high_x)
    yield f"{'':>9}{left}{'learned, points':^{width - len(left) - len(right)}}{right}"


def outcome_lines(record: WatchRecord) -> Iterator[str]:
    """Whether the training ended, the alarm, or that there is none so far, and after an alarm the step to go back to."""
    alarm, steps = record.alarm, record.about.get("max_steps")
    if not record.is_over and isinstance(steps, int):
        yield f"not ended: at step {record.rows[-1].step} of {steps} at the last look; the training runs still, or was stopped"
    if alarm is not None:
        yield f"ALARM at {alarm.to_text()}"
    elif record.limits:
        yield f"no alarm in {counted(len(record.rows) - 1, 'look')} (limits: {limits_text(record.limits)})"
        if harm := most_harm(record.rows[-1]):
            yield f"at step {record.rows[-1].step}, with 95 % confidence: {harm}"
    if alarm is not None:
        best = record.best_step
        yield f"last step on the frontier within the limits: {best or '0 (the model before the training)'}"
    if record.rollback is not None:
        yield f"the model was given the weights of step {record.rollback} again"


def _cells(cells: Sequence[str], columns: int) -> str:
    """A line of the table, with the columns for which there is room."""
    least = next((rank for rank in (4, 3, 2, 1) if _wide(rank) <= columns), 0)
    shown = [
        padded(cell, width, right=True) for cell, (_, width, rank) in zip(cells, _TABLE, strict=True) if rank <= least
    ]
    return " ".join(shown)


def _wide(most: int) -> int:
    """How wide the table is with the columns up to a rank."""
    return sum(width + 1 for _, width, rank in _TABLE if rank <= most) - 1 + len(_ALARM)


def _has_room(columns: int) -> bool:
    return columns >= _wide(4) + _CURVE + 3


def _reach(rows: Sequence[DriftRow]) -> float:
    """Points to either side that hold all changes, as a round number."""
    pools = [pool for row in rows for pool in (row.kept, row.learned) if pool is not None]
    most = max((abs(100 * (pool.value("change") or 0.0)) for pool in pools), default=0.0)
    return next((end for end in (2.0, 5.0, 10.0, 20.0, 50.0) if most <= end), 100.0)


def _curve(row: DriftRow, reach: float) -> str:
    """The changes of a step as marks between the two ends."""
    cells = [" "] * _CURVE
    cells[_CURVE // 2] = "│"
    for pool, mark in ((row.learned, "l"), (row.kept, "k")):
        value = None if pool is None else pool.value("change")
        if value is not None:
            place = round((100 * value / reach + 1) / 2 * (_CURVE - 1))
            cells[min(max(place, 0), _CURVE - 1)] = mark if 0 <= place < _CURVE else "<" if place < 0 else ">"
    return "".join(cells)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis that holds all values and has some length."""
    low, high = min(values), max(values)
    return (low, high) if high - low > 1e-3 else (low - 0.005, high + 0.005)


def _points(change: float) -> str:
    """A change in points, where nothing has no sign."""
    return decimal(100 * change + 0.0, 1, "+") if round(100 * change, 1) else "0.0"


def _cell(pool: Pool | None, name: str, scale: float, digits: int, sign: str = "", *, interval: bool = True) -> str:
    found = NOTHING if pool is None else pool.number(name)
    return found.to_text(lambda value: decimal(scale * value, digits, sign), interval=interval)
