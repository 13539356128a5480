"""Seeded choices that depend on a question's own id, or its text, and on nothing else that is asked."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from consistency.knowledge.beliefs import Belief, key_of


def draw(ids: Sequence[str | int], count: int, purpose: str) -> list[str | int]:
    """The `count` ids whose hash comes first: a sample that grows and shrinks without reshuffling.

    Parameters
    ----------
    ids : sequence of str or int
        What to draw from.
    count : int
        How many to draw.
    purpose : str
        What the sample is for, with its seed: samples of different purposes are independent.

    Returns
    -------
    list of str or int
        In the order of their hashes, so that a smaller sample is the beginning of a larger one.

    Examples
    --------
    >>> draw(range(100), 3, "mixed-0") == draw(range(100), 5, "mixed-0")[:3]
    True
    """
    return list(_order(tuple(ids), purpose)[:count])


def random_option(belief: Belief, seed: int) -> int | None:
    """A wrong option that is not the model's, nor says the same as either; None where there is none.

    Examples
    --------
    >>> sums = Belief(id=1, subject="sums", question="?", choices=("2", "3", "4"), explanation="", gold=0, answer=1,
    ...               confidence=0.8, label="misbelieved")
    >>> random_option(sums, seed=0)
    2
    """
    said = [_said(text) for text in belief.choices]
    options = [option for option, text in enumerate(said) if text not in (said[belief.gold], said[belief.answer])]
    if not options:
        return None
    return options[int.from_bytes(_hash(f"random_wrong-{seed}", key_of(belief))) % len(options)]


def _said(text: str) -> str:
    """An option without case, spaces and the marks around it; what stands within tells N/m from Nm and 1.0 from 10."""
    bare = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return bare.strip(".,;:!?\"'“”‘’") or bare


@lru_cache(maxsize=2)
def _order(ids: tuple[str | int, ...], purpose: str) -> list[str | int]:
    """Kept for the next group, since mixtures of all ratios draw from the same questions."""
    return sorted(ids, key=lambda id_: _hash(purpose, id_))


def _hash(purpose: str, id_: str | int) -> bytes:
    return hashlib.sha256(f"{purpose}|{id_}".encode()).digest()
