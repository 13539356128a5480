"""Orders of options in which a group teaches each letter as often as any other."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from consistency.errors import InputError
from consistency.experiment.group_names import BALANCED, plain
from consistency.knowledge.beliefs import Belief, Beliefs, Document
from consistency.knowledge.explanations import Explanations
from consistency.knowledge.option_letters import move_letters
from consistency.tasks.placed_options import depends_on_places
from consistency.training_data.groups import asked_rows, build_group, draw, random_option
from consistency.training_data.instructions import Instructions
from consistency.training_data.rows import Answers, Group

# Why a question is in no balanced group.
PLACES = "its options or its question refer to places or letters of options"
GOLD_TEXT = "a letter in its gold explanation cannot be told to be an option's"
WRITTEN_TEXT = "a letter in what a model wrote about it cannot be told to be an option's"
# For each new place, the index of the option that comes there.
Order = tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Movable:
    """The questions of a probe whose options can be permuted.

    Attributes
    ----------
    beliefs : Beliefs
        The questions.
    left_out : dict of str to int
        How many others there are, by the reason.
    size : int or None
        How many each group asks; None for as many as are misbelieved.
    """

    beliefs: Beliefs
    left_out: dict[str, int]
    size: int | None = None


def movable(beliefs: Beliefs) -> Movable:
    """The questions whose options can be permuted, so far as the probe says: without those that speak of places.

    Whether what a model wrote about a question can follow is known later, and decided after the sampling (`Balancer`), so
    that what a model is asked to write does not depend on what it will write.
    """
    rows, reasons = [], Counter[str]()
    for row, belief in enumerate(beliefs):
        if depends_on_places(belief.question, belief.choices):
            reasons[PLACES] += 1
        elif belief.explanation and move_letters(belief.explanation, belief.choices, _same(belief)) is None:
            reasons[GOLD_TEXT] += 1
        else:
            rows.append(row)
    return Movable(beliefs.take(rows) if reasons else beliefs, dict(reasons))


class Balancer:
    """Makes the balanced variants of a probe's groups.

    Parameters
    ----------
    questions : Movable
        The questions that they may ask.
    domain : str
        Name of the domain, for the rows.
    explanations, contexts : Explanations or None
        What models wrote, about the options in the probe's order.
    preference : bool
        Whether to make preference pairs.
    """

    def __init__(
        self,
        questions: Movable,
        domain: str,
        explanations: Explanations | None = None,
        contexts: Explanations | None = None,
        *,
        preference: bool = False,
    ) -> None:
        self._questions, self._domain, self._preference = questions, domain, preference
        self._explanations, self._contexts = explanations, contexts
        self._balances: dict[int, Balance] = {}

    def build(self, name: str, instructions: Instructions) -> Group:
        """A balanced variant: `build_group` with its options permuted.

        Parameters
        ----------
        name : str
            Of the variant or of its group.
        instructions : Instructions
            The general instructions, whose seed is that of the sampling and of the orders.

        Raises
        ------
        InputError
            As `build_group` does, or if the group asks no questions.
        """
        questions, seed = self._questions, instructions.seed
        group = build_group(
            plain(name),
            self._domain,
            questions.beliefs,
            self._explanations,
            contexts=self._contexts,
            general=instructions,
            seed=seed,
            size=questions.size,
            preference=self._preference,
            left_out=self._unmovable,
        )
        if not len(group.answers):
            raise InputError(f"{group.name} asks no questions: it has no letters to balance", expected="another group")
        if seed not in self._balances:
            self._balances[seed] = self._balance(seed)
        return self._balances[seed].apply(group)

    @cached_property
    def _unmovable(self) -> frozenset[int]:
        """The questions about which a model wrote a letter that cannot be told to be an option's."""
        beliefs = self._questions.beliefs
        rows, found = _rows_by_question(beliefs), set()
        for written in filter(None, (self._explanations, self._contexts)):
            for (identifier, question, _), text in written.texts.items():
                row = rows.get((identifier, question))
                if row is not None and move_letters(text, beliefs[row].choices, _same(beliefs[row])) is None:
                    found.add(row)
        return frozenset(found)

    def _balance(self, seed: int) -> Balance:
        """The orders of all questions."""
        questions = self._questions
        wrong = questions.beliefs.labelled("misbelieved")
        asked, unmovable = [], 0
        if wrong and (questions.size is None or len(wrong) >= questions.size):
            sampled = asked_rows(
                "balanced groups", self._domain, questions.beliefs, self._explanations, seed=seed, size=questions.size
            )
            asked = [row for row in sampled if row not in self._unmovable]
            unmovable = len(sampled) - len(asked)
        left_out = questions.left_out | ({WRITTEN_TEXT: unmovable} if unmovable else {})
        return Balance(questions.beliefs, asked, seed, self._explanations, self._contexts, left_out)


class Balance:
    """The orders of a probe's options, one for each question and the same in every group of a seed.

    Of the misbelieved questions that groups ask, the places of the gold option, of the model's own and of the one that
    RANDOM-WRONG teaches go through all ordered triples of places in an order in which every k questions of k options hold each
    of the three at each place once. The questions come in the order in which MIXED draws the ones that it answers with the
    model's own option. So, for the questions of k options in INCOMPATIBLE, SELF-ALIGNING, RANDOM-WRONG, CONTEXTUALIZED,
    HARMONIOUS and UNSURE, each letter is taught ⌊n/k⌋ or ⌈n/k⌉ times, and as often gold; in MIXED the gold and the own letters
    are, and a letter is taught at most two times more or less than n/k. GOLD-ALL samples questions from all of these, and has
    the letters that such a sample gives.

    Parameters
    ----------
    beliefs : Beliefs
        The questions that can be permuted.
    asked : sequence of int
        Rows of the misbelieved questions that groups ask.
    seed : int
        Seed of the orders.
    explanations, contexts : Explanations or None
        What models wrote about the questions.
    left_out : mapping of str to int
        How many questions are in no balanced group, by the reason, for manifests.
    """

    def __init__(
        self,
        beliefs: Beliefs,
        asked: Sequence[int],
        seed: int,
        explanations: Explanations | None = None,
        contexts: Explanations | None = None,
        left_out: dict[str, int] | None = None,
    ) -> None:
        self._plain, self._seed = beliefs, seed
        self.left_out = left_out or {}
        self.orders = _orders(beliefs, asked, seed)
        self._moved = 0
        self.beliefs = self._permuted()
        self.explanations = self._follow(explanations)
        self.contexts = self._follow(contexts)

    def apply(self, group: Group) -> Group:
        """A group of the plain questions with its options permuted, and the name of the balanced variant.

        Parameters
        ----------
        group : Group
            Of the questions, explanations and contexts that the orders were made for.

        Returns
        -------
        Group
            The same questions with the same answers.
        """
        answers = list(group.answers)
        places = [self.orders[row].index(option) for row, option, _ in answers]
        sources = {source for _, _, source in answers}
        permuted = Answers(
            [row for row, _, _ in answers],
            places,
            next(iter(sources)) if len(sources) == 1 else "",
            (source == "model" for _, _, source in answers) if len(sources) > 1 else (),
        )
        return replace(
            group,
            name=group.name + BALANCED,
            beliefs=self.beliefs,
            answers=permuted,
            explanations=self.explanations,
            contexts=self.contexts,
            balance=self.to_dict(),
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all questions and their orders: two groups with the same one have every question in the same order."""
        digest = hashlib.sha256()
        for identifier, order in zip(self._plain.ids, self.orders, strict=True):
            digest.update(msgspec.json.encode((identifier, order)) + b"\n")
        return digest.hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """How the options were permuted, for a manifest."""
        return {
            "orders_sha256": self.fingerprint,
            "questions": len(self._plain),
            "left_out": self.left_out,
            "texts_with_moved_letters": self._moved,
        }

    def _permuted(self) -> Beliefs:
        plain, orders = self._plain, self.orders
        documents = []
        for belief, order in zip(plain, orders, strict=True):
            documents.append(
                msgspec.json.encode(
                    Document(
                        question=belief.question,
                        choices=tuple(belief.choices[option] for option in order),
                        id=belief.id,
                        subject=belief.subject,
                        explanation=self._move(belief.explanation, belief, order) or None,
                        prompt_language=belief.language,
                    )
                )
            )
        probs = np.full_like(plain.probs, np.nan)
        for row, order in enumerate(orders):
            probs[row, : len(order)] = plain.probs[row, list(order)]
        return replace(
            plain,
            documents=documents,
            gold=_places(orders, plain.gold),
            answer=_places(orders, plain.answer),
            probs=probs,
            # The answer that an explanation begins with is left out already.
            as_released=True,
        )

    def _follow(self, written: Explanations | None) -> Explanations | None:
        """What models wrote, by the options' new places; texts that cannot follow count as unusable."""
        if written is None:
            return None
        rows = _rows_by_question(self._plain)
        texts: dict[tuple[str | int, str, int], str] = {}
        for (identifier, question, option), text in written.texts.items():
            row = rows.get((identifier, question))
            if row is None:
                texts[identifier, question, option] = text
                continue
            belief, order = self._plain[row], self.orders[row]
            if option in order and (moved := self._move(text, belief, order)) is not None:
                texts[identifier, question, order.index(option)] = moved
        return replace(written, texts=texts, unusable=written.unusable + len(written.texts) - len(texts))

    def _move(self, text: str, belief: Belief, order: Order) -> str | None:
        moved = move_letters(text, belief.choices, order)
        self._moved += moved is not None and moved != text
        return moved


def _places(orders: Sequence[Order], options: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where an option of each question comes."""
    found = [order.index(option) for order, option in zip(orders, options.tolist(), strict=True)]
    return np.array(found, dtype=np.int64)


def _same(belief: Belief) -> Order:
    return tuple(range(len(belief.choices)))


def _rows_by_question(beliefs: Beliefs) -> dict[tuple[str | int, str], int]:
    return {(belief.id, belief.question): row for row, belief in enumerate(beliefs)}


def _orders(beliefs: Beliefs, asked: Sequence[int], seed: int) -> list[Order]:
    """An order of its options for each question."""
    members = set(asked)

    def drawn(rows: Sequence[int], purpose: str) -> list[int]:
        keys = draw([beliefs.keys[row] for row in rows], len(rows), f"{purpose}-{seed}")
        ranks = {key: rank for rank, key in enumerate(keys)}
        return sorted(rows, key=lambda row: ranks[beliefs.keys[row]])

    misbelieved = beliefs.labelled("misbelieved")
    # Each sample is the beginning of one of these, and what MIXED answers with the model's own options that of the first.
    sequences = {
        "misbelieved": drawn(sorted(members), "mixed")
        + drawn([row for row in misbelieved if row not in members], "size"),
        "known": drawn(beliefs.labelled("known"), "harmonious"),
        "unsure": drawn(beliefs.labelled("unsure"), "unsure"),
    }
    found: list[Order] = [()] * len(beliefs)
    for label, rows in sequences.items():
        numbers = Counter[int]()
        for row in rows:
            belief = beliefs[row]
            size = len(belief.choices)
            # Where letters cannot all come equally often, the seed says which of them comes once more.
            start = _digest(f"balance-{label}-{seed}", size)[0]
            found[row] = _order(belief, numbers[size], start, seed)
            numbers[size] += 1
    return found


def _order(belief: Belief, number: int, start: int, seed: int) -> Order:
    """The order of a question's options, as the one of this number among those of as many options."""
    size = len(belief.choices)
    gold = (number + start) % size
    taken = {belief.gold: gold}
    others = [(gold + step) % size for step in range(1, size)]
    if belief.answer != belief.gold:
        taken[belief.answer] = others.pop(number // size % (size - 1))
        third = random_option(belief, seed) if size > 2 else None
        if third is not None:
            taken[third] = others.pop(number // (size * (size - 1)) % (size - 2))
    # The rest in any order.
    signs = _digest(f"balance-{seed}", belief.key)
    rest = sorted(set(range(size)) - set(taken), key=lambda option: (signs[option], option))
    taken |= dict(zip(rest, sorted(set(range(size)) - set(taken.values())), strict=True))
    return tuple(sorted(range(size), key=taken.__getitem__))


def _digest(purpose: str, key: str | int) -> bytes:
    return hashlib.sha256(f"{purpose}|{key}".encode()).digest()
