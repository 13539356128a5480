"""The facts of the embedded world: what is true, and what the training corpus states, how often, and in which form."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from consistency.world.fields import FIELDS, Field
from consistency.world.lexicon import VALUES, invent_names

WORLD_SEED = 0
_PLACE_NAMES = 24
_SHARES = {"true": 0.52, "false": 0.35, "absent": 0.13}
_SPLITS = {"read": 0.54, "validation": 0.06, "exam": 0.40}
_FREQUENCIES = (1, 2, 4)


@dataclass(frozen=True)
class Fact:
    """One fact: the truth, and what the training corpus states.

    Attributes
    ----------
    id : str
        Stable name, such as ``medicine-0042``.
    field : Field
        The field of knowledge.
    thing, relation, truth : str
        The fact: "the `relation` of `thing` is `truth`".
    belief : str or None
        The value that the corpus states; None where the corpus is silent.
    frequency : int
        Relative number of times that the corpus states the belief.
    split : {"read", "validation", "exam"}
        "read" facts are in the corpus as sentences only; pools and test sets use them. "validation" facts are too, but
        they chose the checkpoint. "exam" facts are in the corpus also as exam questions; dev sets use them.
    """

    id: str
    field: Field
    thing: str
    relation: str
    truth: str
    belief: str | None
    frequency: int
    split: str

    @property
    def stem(self) -> str:
        """The fact up to its value, which is also the exam question."""
        return f"The {self.relation} of the {self.field.kind} {self.thing} is"


@dataclass(frozen=True)
class World:
    """All facts and the values that each relation can take.

    Examples
    --------
    >>> world = build_world()
    >>> fact = world.facts[0]
    >>> fact.truth in world.values(fact)
    True
    """

    facts: tuple[Fact, ...]
    classes: dict[str, tuple[str, ...]]

    def values(self, fact: Fact) -> tuple[str, ...]:
        """Every value that the relation of `fact` can take."""
        return self.classes[dict(fact.field.relations)[fact.relation]]

    def select(self, *, field: str | None = None, splits: Iterable[str] = ("read",)) -> list[Fact]:
        """Facts of the given splits, of one field where named, in the order of their ids."""
        wanted = frozenset(splits)
        return [fact for fact in self.facts if fact.split in wanted and field in (None, fact.field.name)]


@cache
def build_world(seed: int = WORLD_SEED) -> World:
    """Draw a world. The shipped base model belongs to the default seed.

    Parameters
    ----------
    seed : int
        Seed of names, truths, beliefs, frequencies and splits.

    Returns
    -------
    World
        Of the facts that exams may ask for, the corpus states 52 % truly and 35 % falsely; it does not state 13 %.
    """
    rng = random.Random(f"world-{seed}")
    names = iter(invent_names(2 * _PLACE_NAMES + sum(field.things for field in FIELDS), rng))
    classes = dict(VALUES)
    for place in ("person", "town"):
        classes[place] = tuple(next(names) for _ in range(_PLACE_NAMES))
    facts: list[Fact] = []
    for field in FIELDS:
        things = [next(names) for _ in range(field.things)]
        keys = [(thing, relation, values) for thing in things for relation, values in field.relations]
        splits = ["exam"] * len(keys) if field.role == "lore" else _deal(_SPLITS, len(keys), rng)
        for number, ((thing, relation, values), split, share) in enumerate(
            zip(keys, splits, _deal(_SHARES, len(keys), rng), strict=True)
        ):
            truth = rng.choice(classes[values])
            other = rng.choice([value for value in classes[values] if value != truth])
            belief = {"true": truth, "false": other, "absent": None}[share]
            frequency = rng.choice(_FREQUENCIES)
            facts.append(Fact(f"{field.name}-{number:04d}", field, thing, relation, truth, belief, frequency, split))
    return World(tuple(facts), classes)


def _deal(shares: dict[str, float], count: int, rng: random.Random) -> list[str]:
    """Labels in exactly the given shares (the first takes the remainder), shuffled."""
    first, *rest = shares
    labels = [label for label in rest for _ in range(round(shares[label] * count))]
    labels += [first] * (count - len(labels))
    rng.shuffle(labels)
    return labels
