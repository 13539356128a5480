"""The one error that a user can cause and repair."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

# Characters of each part of a message: all the names of many tasks, but no value of megabytes.
_MOST = 2000


class InputError(ValueError):
    """Input that cannot be used, with its place, what was expected and what to do.

    Parameters
    ----------
    problem : str
        What is wrong, without a full stop.
    expected : str, optional
        What should have been there.
    do : str, optional
        What the user can do about it.
    path : path-like, optional
        The file or folder at fault.
    line : int, optional
        Its line, counted from 1.

    Examples
    --------
    >>> print(InputError("no doc_id", expected="an integer", do="log the run again", path="s.jsonl", line=3))
    s.jsonl:3: no doc_id; expected an integer; log the run again
    """

    def __init__(
        self,
        problem: str,
        *,
        expected: str | None = None,
        do: str | None = None,
        path: str | Path | None = None,
        line: int | None = None,
    ) -> None:
        self.problem = problem
        self.expected = expected
        self.do = do
        self.path = None if path is None else Path(path)
        self.line = line
        place = "" if path is None else f"{path}: " if line is None else f"{path}:{line}: "
        parts = [problem, f"expected {expected}" if expected else "", do or ""]
        super().__init__(place + "; ".join(_shortened(part) for part in parts if part))


def _shortened(text: str) -> str:
    """A part of a message that may hold a value of any length."""
    return text if len(text) <= _MOST else f"{text[: _MOST // 2]} … {text[-_MOST // 2 :]}"


def not_one_of(what: str, value: object, allowed: Iterable[str], *, path: str | Path | None = None) -> InputError:
    """The error of a name that is not one of the known ones.

    Parameters
    ----------
    what : str
        What the name is of.
    value : object
        As it was given.
    allowed : iterable of str
        The known names.
    path : path-like, optional
        The file that has it.

    Examples
    --------
    >>> print(not_one_of("domain", "law", ["medicine", "history"]))
    no domain 'law'; expected one of medicine, history
    """
    return InputError(f"no {what} {value!r}", expected=f"one of {', '.join(allowed)}", path=path)


def one_line(error: BaseException, most: int = 200) -> str:
    r"""What an error of another library says, in one line of printable text, or its type where it says nothing.

    Parameters
    ----------
    error : exception
    most : int
        The most characters.

    Examples
    --------
    >>> one_line(ValueError("bad\n  header\x0f"))
    'bad header'
    """
    text = " ".join("".join(mark if mark.isprintable() else " " for mark in str(error)).split())
    return (text if len(text) <= most else f"{text[:most]}…") or type(error).__name__
