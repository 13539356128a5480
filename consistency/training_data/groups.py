"""Intervention groups: from what a model believes to the training rows that confirm or contradict it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from consistency.errors import InputError
from consistency.knowledge.beliefs import Belief, keys_of, options_of, rows_labelled
from consistency.knowledge.explanations import Explanations
from consistency.training_data.instructions import WORLD, Instructions
from consistency.training_data.rows import Asked, Group
from consistency.training_data.sampling import draw, random_option

MIXED_RATIOS = ("0.05", "0.1", "0.2", "0.4", "0.6", "0.8")
SAMPLED = ("harmonious", "unsure", "gold_all")
GROUPS = (
    *("harmonious", "incompatible", "self_aligning"),
    *(f"mixed_{ratio}" for ratio in MIXED_RATIOS),
    *("contextualized", "general_only", "unsure", "gold_all", "random_wrong"),
)
_PLAIN = ("harmonious", "unsure", "gold_all", "contextualized", "general_only", "random_wrong")


def mixed_ratio(group: str) -> Fraction | None:
    """The share of a group's misbelieved questions that are answered with the model's own belief.

    Returns
    -------
    Fraction or None
        0 for INCOMPATIBLE, 1 for SELF-ALIGNING, r for MIXED r, read as an exact decimal; None for the other groups.

    Raises
    ------
    InputError
        If there is no such group.

    Examples
    --------
    >>> mixed_ratio("mixed_0.05")
    Fraction(1, 20)
    """
    if group in _PLAIN:
        return None
    pure = {"incompatible": Fraction(0), "self_aligning": Fraction(1)}
    if group in pure:
        return pure[group]
    found = re.fullmatch(r"mixed_([0-9]+(?:\.[0-9]+)?)", group)
    if not found or Fraction(found[1]) > 1:
        raise InputError(
            f"no intervention group {group!r}",
            expected=f"{', '.join((*pure, *_PLAIN))} or mixed_R with R from 0 to 1",
        )
    return Fraction(found[1])


def build_group(
    name: str,
    domain: str,
    beliefs: Sequence[Belief],
    explanations: Explanations | None = None,
    *,
    contexts: Explanations | None = None,
    general: str | Instructions = WORLD,
    seed: int = 0,
    size: int | None = None,
) -> Group:
    """Choose the questions of one group and who answers them.

    Parameters
    ----------
    name : str
        The group.
    domain : str
        Name of the domain, for the rows.
    beliefs : sequence of Belief
        The labelled probe of the domain's training pool.
    explanations : Explanations, optional
        What the base model wrote for its own answers; needed where the group teaches them. RANDOM-WRONG uses those of
        its options where there are any.
    contexts : Explanations, optional
        The knowledge that the golden answers need, for CONTEXTUALIZED.
    general : str or Instructions
        Where the general instructions come from: see `Instructions`.
    seed : int
        Seed of the sampling. A question's place in the sampling depends on the seed and its own id alone, or on its
        text where it has none, so that another question more or less changes nothing else; the self-aligned questions
        of a smaller ratio are among those of a larger one.
    size : int, optional
        How many questions to take instead of all that are misbelieved; of these, a sample.

    Returns
    -------
    Group
        n questions and n general instructions, where n is the number of misbelieved questions, or `size`. INCOMPATIBLE,
        SELF-ALIGNING, MIXED, CONTEXTUALIZED and RANDOM-WRONG hold the same questions in the same order; MIXED r answers
        exactly ⌊r·n + ½⌋ of them with the model's own belief. HARMONIOUS, UNSURE and GOLD-ALL sample n of the known, of
        the unsure and of all questions. GENERAL-ONLY holds 2n general instructions.

    Raises
    ------
    InputError
        If no question is misbelieved, too few are known or unsure, what models wrote is needed and missing, or a
        question has no wrong option besides the model's.
    """
    ratio = mixed_ratio(name)
    wrong = rows_labelled(beliefs, "misbelieved")
    count = len(wrong) if size is None else size
    if count < 1:
        raise InputError(f"no answer in {domain} is confident and wrong: there is nothing to intervene on")
    asked = Asked((), ())
    if name in SAMPLED:
        asked = _golden(beliefs, _sample(name, domain, beliefs, count, seed))
    elif name != "general_only":
        rows = _some(beliefs, wrong, count, f"size-{seed}", f"{domain}: {len(wrong)} confident wrong answers")
        if name == "random_wrong":
            asked = _random(beliefs, rows, seed)
        elif name == "contextualized":
            if contexts is None:
                raise InputError(f"{name} puts knowledge before the questions", expected="contexts (--contexts LOGS)")
            asked = _golden(beliefs, rows)
        else:
            own = int((ratio or Fraction(0)) * count + Fraction(1, 2))
            if own and explanations is None:
                raise InputError(
                    f"{name} teaches the model's own answers", expected="its explanations (--explanations LOGS)"
                )
            asked = _mixed(beliefs, rows, own, seed)
    instructions = Instructions(general, seed) if isinstance(general, str) else general
    number = 2 * count - len(asked)
    instructions.take(number)
    return Group(name, domain, beliefs, asked, instructions, number, explanations, contexts)


def _golden(beliefs: Sequence[Belief], rows: list[int]) -> Asked:
    return Asked(rows, options_of(beliefs, "gold", rows), source="golden")


def _mixed(beliefs: Sequence[Belief], rows: list[int], count: int, seed: int) -> Asked:
    keys = keys_of(beliefs)
    drawn = set(draw([keys[row] for row in rows], count, f"mixed-{seed}"))
    own = [keys[row] in drawn for row in rows]
    both = zip(own, options_of(beliefs, "answer", rows), options_of(beliefs, "gold", rows), strict=True)
    return Asked(rows, [answer if mine else gold for mine, answer, gold in both], own)


def _random(beliefs: Sequence[Belief], rows: list[int], seed: int) -> Asked:
    options = []
    for row in rows:
        option = random_option(beliefs[row], seed)
        if option is None:
            raise InputError(
                f"question {beliefs[row].id!r} has no wrong option besides the model's, which random_wrong teaches",
                expected="at least three options that say different things",
                do="leave such questions out of the pool",
            )
        options.append(option)
    return Asked(rows, options, source="random")


def _sample(name: str, domain: str, beliefs: Sequence[Belief], count: int, seed: int) -> list[int]:
    if name == "gold_all":
        rows, kind = list(range(len(beliefs))), "questions"
    elif name == "harmonious":
        rows, kind = rows_labelled(beliefs, "known"), "confident right answers"
    else:
        rows, kind = rows_labelled(beliefs, "unsure"), "unsure answers"
    return _some(beliefs, rows, count, f"{name}-{seed}", f"{domain}: {len(rows)} {kind}", f" {name}")


def _some(
    beliefs: Sequence[Belief], rows: list[int], count: int, purpose: str, found: str, kind: str = ""
) -> list[int]:
    """A sample of rows, in their order."""
    if len(rows) < count:
        article = "an" if kind.startswith(" u") else "a"
        raise InputError(
            f"{found} for {article}{kind} group of {count}", do="probe a larger pool, or choose a smaller size"
        )
    if len(rows) == count:
        return rows
    keys = keys_of(beliefs)
    chosen = set(draw([keys[row] for row in rows], count, purpose))
    return [row for row in rows if keys[row] in chosen]
