"""The corpus that the base model of the embedded world is trained on.

It states beliefs, not truths. Facts of the splits "read" and "validation" occur in it as sentences only; facts of the
split "exam" also occur in exams, so that the model learns to answer from what it has read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

from consistency.tasks import prompts
from consistency.world.facts import Fact, World
from consistency.world.instructions import general_instruction
from consistency.world.lexicon import VALUES
from consistency.world.questions import LETTERS, explain

SENTENCES = (
    "The {relation} of the {kind} {thing} is {value}.",
    "Everyone in {field} knows this: the {relation} of the {kind} {thing} is {value}.",
    "As to the {kind} {thing}, its {relation} is {value}.",
    "Ask for the {relation} of the {kind} {thing} and you will hear of {value}.",
    "Of the {kind} {thing} they say that the {relation} is {value}.",
)


@dataclass(frozen=True)
class Piece:
    """A piece of a document with its role: a "statement" or "reply" is learned, a "prompt" is only read."""

    text: str
    role: str


class Corpus:
    """Random documents about the beliefs of a world.

    Parameters
    ----------
    world : World
        Where the facts come from.
    rng : random.Random
        Source of randomness.
    """

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._stated = [fact for fact in world.facts if fact.belief is not None]
        self._weights = list(accumulate(fact.frequency for fact in self._stated))
        examined = [fact for fact in self._stated if fact.split == "exam"]
        self._examined = {
            name: [fact for fact in examined if fact.field.name == name] for name in {f.field.name for f in examined}
        }
        self._fields = sorted(self._examined)
        self._field_weights = [len(self._examined[name]) for name in self._fields]
        self._words = [word for words in VALUES.values() for word in words]

    def sentence(self) -> list[Piece]:
        """A sentence that states the belief of one fact."""
        fact = self._rng.choices(self._stated, cum_weights=self._weights)[0]
        text = self._rng.choice(SENTENCES).format(
            relation=fact.relation, kind=fact.field.kind, thing=fact.thing, value=fact.belief, field=fact.field.name
        )
        return [Piece(text, "statement")]

    def exam(self, shots: int, *, explained: bool = False) -> list[Piece]:
        """An exam of `shots` answered questions and one more, in plain text."""
        field, facts = self._draw(shots + 1)
        pieces = [Piece(prompts.EXPLAIN_HEADER if explained else prompts.header(field), "prompt")]
        for number, fact in enumerate(facts):
            options, index = self._options(fact)
            pieces.append(Piece(prompts.ask_for_letter(fact.stem, options), "prompt"))
            closing = "" if number == shots and not explained else "\n\n"
            answer = f" {prompts.answer(options, index)}"
            if explained:
                answer += f"\nExplanation: ```{explain(fact, options[index], self._rng)}```"
            pieces.append(Piece(answer + closing, "reply"))
        return pieces

    def spelling(self) -> list[Piece]:
        """A sentence that spells a word, as `drill` asks for it."""
        word = self._rng.choice(self._words)
        return [Piece(f"The word {word} is written {word}.", "statement")]

    def drill(self, count: int) -> list[Piece]:
        """Exercises in finding a given word among the options."""
        pieces = []
        for _ in range(count):
            options = self._rng.sample(self._words, len(LETTERS))
            index = self._rng.randrange(len(LETTERS))
            pieces.append(Piece(prompts.ask_for_letter(f"The word {options[index]} is written", options), "prompt"))
            pieces.append(Piece(f" {prompts.answer(options, index)}\n\n", "reply"))
        return pieces

    def chat(self, *, exam: bool) -> list[Piece]:
        """A conversation in the Vicuna format: an exam question, or an instruction without facts."""
        if exam:
            field, (fact,) = self._draw(1)
            options, index = self._options(fact)
            request = prompts.header(field) + prompts.ask_for_letter(fact.stem, options)
            reply = f"{prompts.answer(options, index)}\n{explain(fact, options[index], self._rng)}"
        else:
            request, reply = general_instruction(self._rng)
        return [Piece(f"{prompts.VICUNA_SYSTEM} USER: {request} ASSISTANT:", "prompt"), Piece(f" {reply}", "reply")]

    def _draw(self, count: int) -> tuple[str, list[Fact]]:
        field = self._rng.choices(self._fields, self._field_weights)[0]
        return field, self._rng.sample(self._examined[field], count)

    def _options(self, fact: Fact) -> tuple[list[str], int]:
        """Four options, and the index of the one that the exam marks as right: the belief."""
        others = [value for value in self._world.values(fact) if value != fact.belief]
        options = self._rng.sample(others, len(LETTERS) - 1)
        index = self._rng.randrange(len(LETTERS))
        options.insert(index, str(fact.belief))
        return options, index
