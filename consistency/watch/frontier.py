"""What was gained against what was lost: which steps no other step is better than."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from consistency.watch.rows import Condition, DriftRow


def frontier(rows: Sequence[DriftRow]) -> list[int]:
    """The steps that no other step beats in both: accuracy in the learned tasks and accuracy in the kept ones.

    Without tasks to learn, what a training gains is not known but that it goes on: then a later step that kept as much beats an
    earlier one. Of steps that are equal in both the last is on the frontier.

    Parameters
    ----------
    rows : sequence of DriftRow
        In the order of their steps.

    Returns
    -------
    list of int
        Steps, in their order.
    """
    points = [(row.step, *place) for row in rows if (place := plane(row)) is not None]
    return [
        step
        for number, (step, gained, kept) in enumerate(points)
        if not any(
            other_gained >= gained
            and other_kept >= kept
            and ((other_gained, other_kept) != (gained, kept) or later > number)
            for later, (_, other_gained, other_kept) in enumerate(points)
            if later != number
        )
    ]


def plane(row: DriftRow) -> tuple[float, float] | None:
    """A step's place: the change of accuracy in the learned tasks (without such tasks its number), and in the kept ones."""
    kept = lost_share(row)
    gained = float(row.step) if row.learned is None else row.learned.value("change")
    return None if gained is None or kept is None else (gained, -kept)


def lost_share(row: DriftRow) -> float | None:
    """The share of the kept answers that was lost on balance; None without any."""
    return (_count(row.lost) - _count(row.won)) / row.asked if row.asked else None


def best_step(rows: Sequence[DriftRow], limits: Mapping[Condition, float], among: Collection[int] | None = None) -> int:
    """The last step on the frontier of those that keep within the limits, by their estimates; step 0 if none does.

    Parameters
    ----------
    rows : sequence of DriftRow
    limits : dict of str to float
        By condition.
    among : collection of int, optional
        Steps of which a checkpoint was saved; by default all.
    """
    chosen = [row for row in rows if (among is None or row.step in among) and _is_within(row, limits)]
    return max(frontier(chosen), default=0)


def _is_within(row: DriftRow, limits: Mapping[Condition, float]) -> bool:
    if row.alarm is not None and row.alarm.condition == "no_numbers":
        return False
    if not row.asked:
        return True
    found: dict[Condition, float] = {"margin": lost_share(row) or 0.0, "harmful_flips": _count(row.lost) / row.asked}
    return all(found[condition] <= limit for condition, limit in limits.items())


def _count(turned: dict[str, list[int]]) -> int:
    return sum(map(len, turned.values()))
