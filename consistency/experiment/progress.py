"""How far a program has come, read from the end of its log: lm_eval's and Axolotl's progress bars, and what they print before."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

# A bar of tqdm: `Running loglikelihood requests:  12%|█▏   | 123/1000 [01:05<07:43,  1.89it/s]`
_BAR = re.compile(
    r"(?:^|[\r\n])(?P<what>[^\r\n|]*?)(?:: )? *\d+%\|[^|\r\n]*\| *(?P<done>\d{1,15}(?:\.\d+)?[kMG]?)/"
    r"(?P<total>\d{1,15}(?:\.\d+)?[kMG]?) \[(?P<elapsed>(?:\d{1,9}:)?\d{1,9}:\d\d)<"
)
_SCALE = {"k": 1e3, "M": 1e6, "G": 1e9}
# The bars that count the work itself, and what it is then called.
_WORK = {
    "Running loglikelihood requests": "answers",
    "Running loglikelihood_rolling requests": "answers",
    "Running generate_until requests": "texts",
    "Shared prefixes": "answers",
}
STEPS = "steps"
# What programs print on their way, in the order of their phases; the last one that a log has is the present one.
_PHASES = (
    (r"axolotl\.cli\.config\]|_cli\.run:", "starting"),
    (r"axolotl\.utils\.data|Tokenizing|Dropping|Truncating Sequences|sample packing", "preparing the rows"),
    (r"Initializing .* model|Loading weights|Loading checkpoint shards|Loading model", "loading the model"),
    (r"Building contexts for", "writing the prompts"),
    (r"axolotl\.train\] Starting trainer", "training"),
    (r"Running \w+ requests", "answering"),
    (r"Training completed!|Writing model shards|Saving (?:results aggregated|per-task samples)", "saving"),
)
# From here on a bar without a name counts steps; the end of a long log begins after the first of these.
_TRAINING = re.compile(r"axolotl\.train\] Starting trainer|\{'loss': ")
# The seconds of a bar over which its speed is measured, and the least number of its moves.
_WINDOW = 60.0
_MOVES = 4


@dataclass(frozen=True)
class Progress:
    """How far a program has come.

    Attributes
    ----------
    stage : str
        What it does: "loading the model", "steps", "answers", "saving", …
    done, total : int or None
        What it has done and has to do, in steps, answers or texts; None outside of these stages.
    rate : float or None
        How many it does in a second, over the last minute; None while nothing is done.
    seconds : float or None
        How long the rest takes at that rate, from the last time that its bar was drawn.
    elapsed : float or None
        How long the bar had run then.
    """

    stage: str
    done: int | None = None
    total: int | None = None
    rate: float | None = None
    seconds: float | None = None
    elapsed: float | None = field(default=None, compare=False)

    def to_text(self) -> str:
        """The progress in a few words."""
        if self.done is None or self.total is None:
            return self.stage
        text = f"{self.done:,}/{self.total:,} {self.stage}"
        if self.rate:
            text += f", {self.rate:.3g}/s" if self.rate >= 1 else f", {1 / self.rate:.3g} s each"
        return text


@dataclass(frozen=True)
class _Bar:
    what: str
    done: float
    total: float
    elapsed: float
    end: int


def read_progress(text: str) -> Progress | None:
    r"""How far a program has come.

    Parameters
    ----------
    text : str
        The end of its log, as it is: the carriage returns of progress bars included.

    Returns
    -------
    Progress or None
        None if the text has nothing that the programs of the grid print.

    Examples
    --------
    >>> bars = [f"Running loglikelihood requests: {n}%|# | {n}/100 [00:{n:02}<01:00,  1it/s]" for n in (0, 10, 20)]
    >>> read_progress("\r".join(bars))
    Progress(stage='answers', done=20, total=100, rate=1.0, seconds=80.0, elapsed=20)
    """
    bars = [_bar(found) for found in _BAR.finditer(text)]
    training = _TRAINING.search(text)
    begun = training.end() if training else None
    phase, at = _phase(text)
    work = [(bar, stage) for bar in bars if (stage := _stage(bar, begun))]
    if not work or (at > work[-1][0].end and phase == "saving"):
        return Progress(phase) if phase else None
    last, stage = work[-1]
    same = [bar for bar, _ in work if (bar.what, bar.total) == (last.what, last.total)]
    # The same bar again, such as that of another kind of requests, begins at its start.
    for number in range(len(same) - 1, 0, -1):
        if same[number].done < same[number - 1].done:
            same = same[number:]
            break
    rate = _rate(same, stage)
    # A bar is also drawn when it has not moved.
    still = last.elapsed - next(bar.elapsed for bar in same if bar.done == last.done)
    left = max(0.0, (last.total - last.done) / rate - still) if rate else None
    return Progress(stage, round(last.done), round(last.total), rate, left, last.elapsed)


def _bar(found: re.Match[str]) -> _Bar:
    seconds = 0
    for part in found["elapsed"].split(":"):
        seconds = 60 * seconds + int(part)
    done, total = (float(text.rstrip("kMG")) * _SCALE.get(text[-1], 1) for text in (found["done"], found["total"]))
    return _Bar(found["what"].strip(), done, total, seconds, found.end())


def _stage(bar: _Bar, training: int | None) -> str | None:
    """What a bar counts; None for one that counts something else than the work."""
    if training is not None and not bar.what and bar.end > training:
        return STEPS
    return _WORK.get(bar.what)


def _phase(text: str) -> tuple[str | None, int]:
    """The last phase that a log has, and the place of its line."""
    phase, at = None, -1
    for pattern, name in _PHASES:
        for found in re.finditer(pattern, text):
            if found.end() > at:
                phase, at = name, found.end()
    return phase, at


def _rate(bars: list[_Bar], stage: str) -> float | None:
    """How many a bar does in a second, over its last minute, or its last moves if they took longer; None if nothing tells.

    lm_eval's bar moves with the answers of a batch, one by one, but is drawn at the first of them. So the way from 0 to its first
    move is no measure; that of a training is.
    """
    moved = [after for before, after in pairwise(bars) if after.done > before.done]
    if bars[0].done:
        moved = [bars[0], *moved]
    if not moved:
        return None
    last = moved[-1]
    earlier = [bar for bar in moved if bar.elapsed < last.elapsed]
    if not earlier and stage == STEPS and last.elapsed:
        earlier = bars[:1]
    recent = [bar for bar in earlier if bar.elapsed >= last.elapsed - _WINDOW]
    first = recent[0] if len(recent) >= _MOVES else earlier[-_MOVES:][0] if earlier else None
    return (last.done - first.done) / (last.elapsed - first.elapsed) if first else None
