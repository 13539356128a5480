"""Names of intervention groups and of their balanced variants."""

from __future__ import annotations

BALANCED = "_balanced"


def plain(group: str) -> str:
    """The name of the group whose options a balanced variant permutes; that of another group itself.

    Examples
    --------
    >>> plain("incompatible_balanced"), plain("incompatible")
    ('incompatible', 'incompatible')
    """
    return group.removesuffix(BALANCED)


def balanced(group: str) -> str:
    """The name of a group's balanced variant; of such a variant its own.

    Examples
    --------
    >>> balanced("mixed_0.4"), balanced("mixed_0.4_balanced")
    ('mixed_0.4_balanced', 'mixed_0.4_balanced')
    """
    return plain(group) + BALANCED


def is_balanced(group: str) -> bool:
    """Whether a group is a balanced variant.

    Examples
    --------
    >>> is_balanced("incompatible_balanced"), is_balanced("incompatible")
    (True, False)
    """
    return group.endswith(BALANCED)
