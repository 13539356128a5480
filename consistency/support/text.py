"""Text of data and models, made safe to print."""

from __future__ import annotations

from collections.abc import Sequence


def visible(text: str) -> str:
    r"""The text on one line, with control characters (also those that turn the direction of writing) as escapes.

    Examples
    --------
    >>> print(visible("a\n\x1b[2J"))
    a\n\x1b[2J
    """
    return "".join(
        character if character.isprintable() or character in _SPACES else character.encode("unicode_escape").decode()
        for character in text
    )


# No-break spaces, which Python does not count as printable.
_SPACES = "\u00a0\u202f"


def shortened(names: Sequence[str], most: int = 5) -> str:
    """Names in one line, at most so many of them.

    Examples
    --------
    >>> shortened(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
