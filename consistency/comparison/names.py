"""Names of tasks as they stand in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from consistency.support.terminal import cut_in_middle
from consistency.support.text import common_beginning, width

# Of a sentence: tasks that are named.
MOST_TASKS = 3
# In columns.
_LONGEST_NAME = 28


def short_names(names: Sequence[str], tasks: Collection[str]) -> list[str]:
    """Names of tasks and of what pools them as they stand in a sentence, such that no two tasks look alike.

    Where one of them is long, all lose what all compared tasks begin with, as in a table; of what is still long the middle is
    left out, unless another task looks the same then.

    Parameters
    ----------
    names : sequence of str
    tasks : collection of str
        Names of all compared tasks.

    Examples
    --------
    >>> tasks = [f"leaderboard_math_algebra_{level}_hard" for level in ("intermediate", "elementary")]
    >>> short_names(tasks, tasks), short_names(["overall"], tasks)
    (['…intermediate_hard', '…elementary_hard'], ['overall'])
    """
    long = any(width(name) > _LONGEST_NAME for name in names)
    beginning = common_beginning([*tasks]) if long else ""
    whole = {name: f"…{name.removeprefix(beginning)}" if beginning else name for name in tasks}
    short = {name: cut_in_middle(text, _LONGEST_NAME) for name, text in whole.items()}
    alike = Counter(short.values())
    return [
        cut_in_middle(name, _LONGEST_NAME)
        if name not in short
        else short[name]
        if alike[short[name]] == 1
        else whole[name]
        for name in names
    ]
