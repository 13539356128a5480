"""What a reader of long work sees: on a terminal one line that goes away, in a log a line now and then, of short work nothing."""

import io
import os
import pty
from collections.abc import Callable

import pytest

from consistency.support.progress_line import progress_line


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def screen(work: Callable[[Clock, Callable[[str, int, int], None]], None]) -> tuple[list[str], str]:
    """What a line of 80 columns shows after each write, and at the end."""
    terminal, clock = Terminal(), Clock()
    with progress_line(terminal, clock) as tell:
        work(clock, tell)
    cells, shown = [" "] * 80, []
    for text in terminal.getvalue().split("\r")[1:]:
        cells[: len(text)] = text
        shown.append("".join(cells).rstrip())
    return shown, "".join(cells).rstrip()


def test_a_terminal_shows_one_line_which_is_gone_at_the_end() -> None:
    def work(clock: Clock, tell: Callable[[str, int, int], None]) -> None:
        for done in range(1, 301):
            tell("runs read and measured", done, 300)
            clock.now += 0.5
        tell("drawing", 0, 1)

    shown, end = screen(work)
    # The first part is done before anything is known of how long one takes, and half a second is one part.
    assert shown[0] == "consistency: runs read and measured: 3 of 300, 99 s left"
    assert "consistency: runs read and measured: 201 of 300, 49 s left" in shown
    # Nothing of a longer line stays beside a shorter one.
    assert "consistency: drawing" in shown
    assert end == ""


def test_short_work_says_nothing() -> None:
    def work(clock: Clock, tell: Callable[[str, int, int], None]) -> None:
        for done in range(300):
            tell("runs", done, 300)
            clock.now += 0.003

    assert screen(work) == ([], "")


def test_often_told_is_seldom_written() -> None:
    def work(clock: Clock, tell: Callable[[str, int, int], None]) -> None:
        for done in range(10_000):
            clock.now += 0.001
            tell("runs", done, 10_000)

    shown, _ = screen(work)
    # Of ten seconds the first is silent, then five lines a second; the last write clears the line.
    assert 40 <= len([line for line in shown if line]) <= 46


def test_the_line_is_gone_before_an_error_is_printed() -> None:
    parent, child = pty.openpty()
    clock = Clock()
    with os.fdopen(child, "w") as stream:

        def fail() -> None:
            with progress_line(stream, clock) as tell:
                clock.now += 2
                tell("runs", 1, 2)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            fail()
        line = "consistency: runs: 1 of 2"
        expected = f"\r{line}\r{' ' * len(line)}\r"
        written = ""
        while len(written) < len(expected):
            written += os.read(parent, 1000).decode()
    os.close(parent)
    assert written == expected


def test_a_log_gets_a_line_every_half_minute() -> None:
    stream, clock = io.StringIO(), Clock()
    with progress_line(stream, clock) as tell:
        for done in range(1, 301):
            clock.now += 0.4
            tell("runs", done, 300)
    assert stream.getvalue().splitlines() == [
        "consistency: runs: 75 of 300, 89 s left",
        "consistency: runs: 150 of 300, 60 s left",
        "consistency: runs: 225 of 300, 30 s left",
        "consistency: runs: 300 of 300",
    ]
