"""When a training is looked at: every so many steps, or as often as its looks may cost; and of how many questions.

What decides is what looks and steps take. The answers never do: the error of the alarm's test is right for any looks that are
chosen without them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

# The most looks after step 0 that are chosen by themselves, and of how many questions.
LOOKS = 10
MOST, LEAST = 500, 100
# Passes forward that a step of a training takes as long as: one forward, and one backward of twice its operations.
_PASSES = 3
# Rows of a training's data that tell how long all are, and where these have tokens.
_ROWS = 64
_TOKENS = ("input_ids", "prompt_ids", "chosen_ids", "rejected_ids", "completion_ids")


@dataclass
class Schedule:
    """The looks of one training.

    Attributes
    ----------
    every : int or None
        Steps between two looks; None for as many looks as their costs allow, at most ten, beside those at step 0 and at the end.
    share : float
        Of the training's time, that all looks together may take.
    max_steps : int
        Of the whole training.
    last, next : int
        The step of the last look, and that of the next one as far as it is known.
    has_spare : bool
        Whether another look than that at the end may be paid.

    Examples
    --------
    >>> schedule = Schedule(None, 0.05, 100)
    >>> schedule.revise(2, per_step=1.0, spent=1.0, look=1.0)  # 5 s in all: four looks more
    >>> schedule.next
    25
    >>> schedule.is_due(24), schedule.is_due(25)
    (False, True)
    """

    every: int | None
    share: float
    max_steps: int
    last: int = 0
    next: int = 0
    has_spare: bool = False

    def __post_init__(self) -> None:
        self.next = self.max_steps

    def is_due(self, step: int) -> bool:
        """Whether to look after a step."""
        return step % self.every == 0 if self.every else step >= self.next

    def is_due_at_epoch(self, step: int) -> bool:
        """Whether to look after the last step of an epoch: where costs decide, if the next look is nearer than the last one."""
        return self.every is not None or (self.has_spare and 2 * step >= self.last + self.next)

    def is_revised(self, step: int) -> bool:
        """Whether the next look is chosen anew after a step: after a look, and 2, 4, 8, … steps behind it."""
        behind = step - self.last
        return self.every is None and behind != 1 and behind & (behind - 1) == 0

    def affordable(self, per_step: float, spent: float, look: float) -> int:
        """How many looks more may be paid, that at the end included.

        Parameters
        ----------
        per_step : float
            Seconds of a step of the training alone.
        spent : float
            Seconds that the watch took so far.
        look : float
            Seconds of a look.
        """
        left = self.share * per_step * self.max_steps - spent
        return max(0, math.floor(left / look)) if look > 0 else self.max_steps

    def revise(self, step: int, per_step: float, spent: float, look: float) -> None:
        """Choose the next look by what steps and looks took so far: see `affordable`."""
        affordable = self.affordable(per_step, spent, look)
        self.has_spare = affordable > 1
        if not self.has_spare:
            self.next = self.max_steps
            return
        distance = max(math.ceil(self.max_steps / LOOKS), math.ceil((self.max_steps - self.last) / affordable))
        self.next = min(self.max_steps, max(step, self.last + distance))


def affordable_questions(most: int, share: float, training: float, spent: float, each: float) -> int:
    """How many questions may be asked at the first look and at the last one.

    Parameters
    ----------
    most : int
    share : float
        Of the training's time, that the looks may take.
    training : float
        Seconds of the training.
    spent : float
        Seconds that were needed before the first question.
    each : float
        Seconds of a question.

    Returns
    -------
    int
        No fewer than 100, and no more than `most`.

    Examples
    --------
    >>> [affordable_questions(500, 0.05, seconds, spent=1.0, each=0.01) for seconds in (30, 100, 1000)]
    [100, 200, 500]
    """
    paid = (share * training - spent) / (2 * each) if each > 0 else most
    return max(min(LEAST, most), int(min(most, paid)))


def training_seconds(tokens: int, per_second: float) -> float:
    """What a training takes at least, by the tokens that it reads and how many a pass forward reads in a second."""
    return _PASSES * tokens / per_second


def training_tokens(trainer: Any, max_steps: int) -> int | None:
    """About how many tokens a training reads, by some of its rows; None where that is not known.

    Parameters
    ----------
    trainer : transformers.Trainer
    max_steps : int
        Of the whole training.
    """
    rows, arguments = trainer.train_dataset, trainer.args
    try:
        count = len(rows)
        some = [rows[number] for number in range(0, count, max(1, count // _ROWS))]
        lengths = [sum(len(row[key]) for key in _TOKENS if row.get(key) is not None) for row in some]
    except Exception:  # data sets are of any kind
        return None
    if not any(lengths):
        return None
    read = max_steps * int(trainer.get_total_train_batch_size(arguments))
    if arguments.max_steps <= 0:
        # Rows that are packed into others are more than a step has.
        read = max(read, int(count * arguments.num_train_epochs))
    return int(sum(lengths) / len(lengths) * read)
