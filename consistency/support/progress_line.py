"""How far long work has come, as a line on standard error: nothing of it where the work is short."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from consistency.support.terminal import columns, cut_in_middle
from consistency.support.text import padded, visible, width

# What is being done, how many of its parts are done, and how many there are.
Tell = Callable[[str, int, int], None]
# Seconds before the first line, and between two of them: on a terminal one line that is overwritten, else lines of a log.
TERMINAL = (1.0, 0.2)
LOG = (30.0, 30.0)


def silent(what: str, done: int, total: int) -> None:
    """Say nothing: the `Tell` of a caller in a program."""


@contextmanager
def progress_line(stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic) -> Iterator[Tell]:
    """Tell a reader how far the work has come, on a terminal from its second second on, in a log every half minute.

    Parameters
    ----------
    stream : text stream, optional
        Standard error by default.
    clock : callable
        Seconds from any beginning.

    Yields
    ------
    callable
        To be called as work goes on, as often as one likes, with what is being done, the number of its parts that are done, and
        of all its parts. The line is gone from the terminal at the end, also where the work ends in an error. Where the stream
        is closed, or cannot be written, nothing is said.

    Examples
    --------
    >>> times = iter([0.0, 10.0, 40.0])
    >>> with progress_line(sys.stdout, lambda: next(times)) as tell:
    ...     tell("runs read", 1, 300)
    ...     tell("runs read", 4, 300)
    consistency: runs read: 4 of 300, 37 min 0 s left
    """
    line = _Line(sys.stderr if stream is None else stream, clock)
    try:
        yield line.tell
    finally:
        line.clear()


class _Line:
    def __init__(self, stream: TextIO | None, clock: Callable[[], float]) -> None:
        self._stream, self._clock = stream, clock
        self._terminal = stream is not None and stream.isatty()
        first, self._pause = TERMINAL if self._terminal else LOG
        self._next = clock() + first
        self._stage: tuple[str, float] | None = None
        self._latest: tuple[str, int, int] | None = None
        self._shown = 0
        self._lock = threading.Lock()
        # One long part, such as a large file, would end before anything more is told.
        self._timer = threading.Timer(first, self._show_latest) if self._terminal and clock is time.monotonic else None
        if self._timer is not None:
            self._timer.daemon = True
            self._timer.start()

    def tell(self, what: str, done: int, total: int) -> None:
        now = self._clock()
        with self._lock:
            if self._stage is None or self._stage[0] != what:
                self._stage = what, now
            self._latest = what, done, total
            if now >= self._next:
                self._show(now)

    def _show_latest(self) -> None:
        with self._lock:
            if not self._shown and self._timer is not None:
                self._show(self._clock())

    def _show(self, now: float) -> None:
        if self._latest is None or self._stage is None:
            return
        what, done, total = self._latest
        self._next = now + self._pause
        text = f"consistency: {visible(what)}: {done} of {total}" if total > 1 else f"consistency: {visible(what)}"
        left = _left(now - self._stage[1], done, total)
        text += f", {left} left" if left else ""
        if not self._terminal:
            self._write(text + "\n")
        else:
            # A line that the terminal breaks could not be overwritten.
            text = cut_in_middle(text, columns() - 1)
            self._write("\r" + padded(text, self._shown))
            self._shown = width(text)

    def clear(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._shown:
                self._write("\r" + " " * self._shown + "\r")
                self._shown = 0

    def _write(self, text: str) -> None:
        # The work does not fail because nobody can see how far it is.
        if self._stream is not None:
            with suppress(OSError):
                self._stream.write(text)
                self._stream.flush()


def _left(seconds: float, done: int, total: int) -> str:
    """How long the rest takes at the same rate; nothing where too little is known."""
    if seconds < 1 or not 0 < done < total:
        return ""
    rest = round(seconds / done * (total - done))
    return f"{rest} s" if rest < 100 else f"{rest // 60} min {rest % 60} s"
