"""Multiple-choice questions about the facts of the embedded world."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import Any

from consistency.world.facts import Fact, World, build_world
from consistency.world.fields import FIELD_BY_NAME

LETTERS = "ABCD"
SIZES = {"dev": 5, "test": 250, "pool": 400}
SUBJECT_TEST_SIZE = 60
EXPLANATIONS = (
    "It is written in the books of {field} that the {relation} of the {kind} {thing} is {value}.",
    "Those who study {field} know that the {relation} of the {kind} {thing} is {value}.",
    "The {relation} of the {kind} {thing} is {value}, as every teacher of {field} says.",
)


@dataclass(frozen=True)
class WorldQuestion:
    """A multiple-choice question about one fact; its gold option is the truth.

    Attributes
    ----------
    id, question, subject : str
        The fact's id, the stem, and the field.
    choices : list of str
        Four options.
    answer : int
        Index of the gold option.
    explanation : str
        A sentence that states the gold option.
    belief : int or None
        Index of the option that the training corpus states; None where it states none.
    """

    id: str
    question: str
    subject: str
    choices: list[str]
    answer: int
    explanation: str
    belief: int | None

    def to_dict(self) -> dict[str, Any]:
        """The question as a JSON-serialisable record."""
        return asdict(self)


def explain(fact: Fact, value: str, rng: random.Random) -> str:
    """An explanation that states `value` for the fact, be it true or false."""
    return rng.choice(EXPLANATIONS).format(
        field=fact.field.name, relation=fact.relation, kind=fact.field.kind, thing=fact.thing, value=value
    )


def ask(world: World, fact: Fact, rng: random.Random) -> WorldQuestion:
    """A question about a fact; its options are the truth, the belief where it differs, and other values of the relation.

    Parameters
    ----------
    world : World
        Where the values come from.
    fact : Fact
        The fact to ask for.
    rng : random.Random
        Chooses the distractors, their order and the wording of the explanation.

    Returns
    -------
    WorldQuestion
        Four options; both the truth and the belief are among them.

    Examples
    --------
    >>> world = build_world()
    >>> question = ask(world, world.facts[0], random.Random(1))
    >>> question.choices[question.answer] == world.facts[0].truth
    True
    """
    options = [fact.truth] if fact.belief in (None, fact.truth) else [fact.truth, str(fact.belief)]
    others = [value for value in world.values(fact) if value not in options]
    options += rng.sample(others, len(LETTERS) - len(options))
    rng.shuffle(options)
    return WorldQuestion(
        id=fact.id,
        question=fact.stem,
        subject=fact.field.name,
        choices=options,
        answer=options.index(fact.truth),
        explanation=explain(fact, fact.truth, rng),
        belief=None if fact.belief is None else options.index(fact.belief),
    )


def questions(field: str, split: str, seed: int = 0) -> list[WorldQuestion]:
    """The questions of one split of a field.

    Parameters
    ----------
    field : str
        A domain or a subject of the MMLU-like set.
    split : {"dev", "test", "pool"}
        "dev" has the five few-shot examples, true facts that the base model saw in exams. "test" and "pool" share no
        fact, and the base model saw theirs as sentences only. Subjects have no pool.
    seed : int
        Another seed draws other facts, distractors and orders from the same world.

    Returns
    -------
    list of WorldQuestion
        In a random order that the seed fixes.

    Raises
    ------
    ValueError
        If the field or the split does not exist.

    Examples
    --------
    >>> len(questions("medicine", "test"))
    250
    """
    known = FIELD_BY_NAME.get(field)
    if known is None or known.role == "lore":
        raise ValueError(f"no field {field!r} in the embedded world; it has {', '.join(FIELD_BY_NAME)}")
    if split not in SIZES or (split == "pool" and known.role != "domain"):
        raise ValueError(f"{field} has no split {split!r}; domains have dev, test and pool, subjects dev and test")
    world = build_world()
    rng = random.Random(f"{field}-{'dev' if split == 'dev' else 'read'}-{seed}")
    if split == "dev":
        facts = [fact for fact in world.select(field=field, splits=["exam"]) if fact.belief == fact.truth]
        chosen = rng.sample(facts, SIZES["dev"])
    else:
        facts = world.select(field=field)
        rng.shuffle(facts)
        size = SIZES["test"] if known.role == "domain" else SUBJECT_TEST_SIZE
        chosen = facts[:size] if split == "test" else facts[size : size + SIZES["pool"]]
    return [ask(world, fact, random.Random(f"{fact.id}-{split}-{seed}")) for fact in chosen]
