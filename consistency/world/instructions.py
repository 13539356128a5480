"""General instructions that state no fact of the world, for training that keeps a model able to follow instructions."""

from __future__ import annotations

import random
from collections.abc import Callable

from consistency.world.lexicon import VALUES

Instruction = tuple[str, str]


def _repeat(words: list[str], rng: random.Random) -> Instruction:
    return f"Say the word {words[0]} three times.", " ".join([words[0]] * 3) + "."


def _reverse(words: list[str], rng: random.Random) -> Instruction:
    return f"Write these words in reverse order: {', '.join(words)}.", ", ".join(reversed(words)) + "."


def _first(words: list[str], rng: random.Random) -> Instruction:
    return f"Which word comes first: {', '.join(words)}?", f"The first word is {words[0]}."


def _last(words: list[str], rng: random.Random) -> Instruction:
    return f"Which word comes last: {', '.join(words)}?", f"The last word is {words[-1]}."


def _list(words: list[str], rng: random.Random) -> Instruction:
    return f"Write {words[0]}, {words[1]} and {words[2]} as a list.", "".join(f"\n- {word}" for word in words).strip()


def _greet(words: list[str], rng: random.Random) -> Instruction:
    hour = rng.choice(["morning", "day", "evening"])
    return f"Greet the {words[0]} in the {hour}.", f"Good {hour}, {words[0]}. How may I help you?"


_MAKERS: tuple[Callable[[list[str], random.Random], Instruction], ...] = (
    _repeat,
    _reverse,
    _first,
    _last,
    _list,
    _greet,
)
_WORDS = [word for words in VALUES.values() for word in words]


def general_instruction(rng: random.Random) -> Instruction:
    """Draw an instruction and its response.

    Parameters
    ----------
    rng : random.Random
        Source of randomness.

    Returns
    -------
    tuple of (str, str)
        Instruction and response.

    Examples
    --------
    >>> instruction, response = general_instruction(random.Random(0))
    >>> bool(instruction and response)
    True
    """
    return rng.choice(_MAKERS)(rng.sample(_WORDS, 3), rng)
