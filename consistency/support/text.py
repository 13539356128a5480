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


def p_value(p: float | None) -> str:
    """A p-value as papers print it.

    Examples
    --------
    >>> p_value(0.00003), p_value(0.0421), p_value(None)
    ('< .001', '.042', '–')
    """
    if p is None:
        return "–"
    return "< .001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def p_equals(p: float | None) -> str:
    """A p-value with its name, for a sentence.

    Examples
    --------
    >>> p_equals(0.00003), p_equals(0.0421)
    ('p < .001', 'p = .042')
    """
    found = p_value(p)
    return f"p {found}" if found.startswith("<") else f"p = {found}"
