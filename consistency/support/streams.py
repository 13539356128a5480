"""Standard output and standard error: the doors through which text leaves for a terminal, a pipe or a file."""

from __future__ import annotations

import codecs
import errno
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from types import TracebackType
from typing import TextIO

from consistency.errors import InputError
from consistency.support.terminal import columns, visible_but_styles, wrapped
from consistency.support.text import joined, json_escape, visible, visible_lines

_ESCAPES = "consistency.escapes"


class ReaderGoneError(Exception):
    """Whoever read standard output has ended, such as `head`: nothing is wrong, and nothing is left to do."""


def prepare() -> None:
    """Make the streams of this process take any text, and warnings print as text that can be seen.

    What the encoding of a stream lacks appears as an escape, which is valid in JSON, too. Where a stream was closed, its
    number is taken, so that no file that is opened later gets what is meant for the stream.
    """
    with suppress(OSError):
        while (handle := os.open(os.devnull, os.O_RDWR)) <= 2:
            os.set_inheritable(handle, True)
        os.close(handle)
    codecs.register_error(_ESCAPES, _escapes)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ESCAPES)
    plain = warnings.formatwarning
    warnings.formatwarning = lambda *args, **kwargs: visible(plain(*args, **kwargs), keep="\n")


def _escapes(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    # A byte of a path that is not UTF-8.
    if "\udc80" <= character <= "\udcff":
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return json_escape(character), error.start + 1


def say(*lines: object) -> None:
    """Print lines to standard output, each as one line in which everything can be seen.

    Raises
    ------
    InputError
        If it cannot be written: a full disk, a closed stream.
    ReaderGoneError
        If its reader has ended.
    """
    if lines:
        show(joined(map(str, lines)))


def say_sentences(*sentences: object) -> None:
    """Print sentences to standard output, on a terminal in lines that fit; in a pipe or a file each is one line, for programs."""
    most = columns() if sys.stdout is not None and sys.stdout.isatty() else None
    say(*(line for sentence in sentences for line in wrapped(visible(str(sentence)), most, "  ")))


def show(text: str, *, exact: bool = False, styles: bool = False) -> None:
    """Print a text of several lines to standard output, everything in it visible: see `say`.

    Parameters
    ----------
    text : str
    exact : bool
        As it is where it goes into a pipe or a file: names and settings that another program reads.
    styles : bool
        Whether the styles of `consistency.support.terminal` are left in it, from a caller that has made all else visible.
    """
    if styles:
        text = visible_but_styles(text)
    elif not exact or (sys.stdout is not None and sys.stdout.isatty()):
        text = visible_lines(text)
    with _refusals():
        if sys.stdout is None:
            raise OSError(errno.EBADF, "it is closed")
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _give_up(sys.stdout)
        raise ReaderGoneError from None
    except OSError as error:
        _give_up(sys.stdout)
        raise InputError(f"standard output cannot be written ({error.strerror})") from None


def tell(*lines: object) -> None:
    """Print lines to standard error, each as one line in which everything can be seen; where that is closed, nowhere."""
    if sys.stderr is None or not lines:
        return
    try:
        sys.stderr.write(joined(map(str, lines)) + "\n")
        sys.stderr.flush()
    except OSError:
        _give_up(sys.stderr)


def flush() -> None:
    """Write what other libraries left in the streams' buffers, so that nothing fails after the exit code is chosen.

    Raises
    ------
    InputError, ReaderGoneError
        As `say`.
    """
    if sys.stderr is not None:
        try:
            sys.stderr.flush()
        except OSError:
            _give_up(sys.stderr)
    if sys.stdout is not None:
        with _refusals():
            sys.stdout.flush()


def _give_up(stream: TextIO | None) -> None:
    """Let a stream that cannot be written lead nowhere: Python writes its buffer once more when it ends."""
    if stream is None:
        return
    with suppress(OSError, ValueError):
        handle = os.open(os.devnull, os.O_WRONLY)
        os.dup2(handle, stream.fileno())
        os.close(handle)


@cache
def report_uncaught() -> None:
    """Let an `InputError` that nobody catches end the program with one line and exit code 2, not with a traceback.

    For code that other programs load, such as the tasks in lm_eval: whoever calls them from Python can still catch it.
    """
    previous = sys.excepthook

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if isinstance(error, InputError):
            tell(f"consistency: {error}")
            sys.exit(2)
        previous(kind, error, trace)

    sys.excepthook = report
