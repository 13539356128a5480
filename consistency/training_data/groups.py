"""Intervention groups: which questions of a probe each one asks, and with which answers."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Collection, Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np

from consistency.errors import InputError
from consistency.experiment.group_names import BALANCED, is_balanced, plain
from consistency.knowledge.beliefs import Belief, Beliefs
from consistency.knowledge.explanations import Explanations
from consistency.training_data.instructions import NONE, WORLD, Instructions
from consistency.training_data.rows import Answers, Group

MIXED_RATIOS = ("0.05", "0.1", "0.2", "0.4", "0.6", "0.8")
SAMPLED = ("harmonious", "unsure", "gold_all")
GROUPS = (
    *("harmonious", "incompatible", "self_aligning"),
    *(f"mixed_{ratio}" for ratio in MIXED_RATIOS),
    *("contextualized", "general_only", "unsure", "gold_all", "random_wrong"),
)
# Groups without pairs, and why.
_NOTHING_REJECTED = {
    "harmonious": "the model's own answers are the gold ones",
    "unsure": "some of the model's own answers are the gold ones",
    "gold_all": "some of the model's own answers are the gold ones",
    "general_only": "general instructions have one reply",
}
_PLAIN = ("harmonious", "unsure", "gold_all", "contextualized", "general_only", "random_wrong")


def mixed_ratio(group: str) -> Fraction | None:
    """The share of a group's misbelieved questions that are answered with the model's own belief; of a variant its group's.

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
    name = plain(group)
    if name in _PLAIN:
        return None
    pure = {"incompatible": Fraction(0), "self_aligning": Fraction(1)}
    if name in pure:
        return pure[name]
    found = re.fullmatch(r"mixed_([0-9]+(?:\.[0-9]+)?)", name)
    if not found or Fraction(found[1]) > 1:
        raise InputError(
            f"no intervention group {group!r}",
            expected=f"{', '.join((*pure, *_PLAIN))} or mixed_R with R from 0 to 1, or one of these with {BALANCED} behind it",
        )
    return Fraction(found[1])


def build_group(
    name: str,
    domain: str,
    beliefs: Beliefs,
    explanations: Explanations | None = None,
    *,
    contexts: Explanations | None = None,
    general: str | Instructions = WORLD,
    seed: int = 0,
    size: int | None = None,
    preference: bool = False,
    left_out: Collection[int] = (),
) -> Group:
    """Choose the questions of one group and who answers them.

    Parameters
    ----------
    name : str
        The group; not a balanced variant, which `Balance.apply` makes of it.
    domain : str
        Name of the domain, for the rows.
    beliefs : Beliefs
        The labelled probe of the domain's training pool.
    explanations : Explanations, optional
        What the base model wrote for its own answers; needed where the group teaches them. RANDOM-WRONG uses those of
        its options where there are any. If they were checked, answers of which no explanation passed are left out of
        what is sampled, whichever group is made.
    contexts : Explanations, optional
        The knowledge that the gold answers need, for CONTEXTUALIZED.
    general : str or Instructions
        Where the general instructions come from: see `Instructions`.
    seed : int
        Seed of the sampling. A question's place in the sampling depends on the seed and its own id alone, or on its
        text where it has none, so that adding or removing a question changes no other; the self-aligned questions
        of a smaller ratio are among those of a larger one.
    size : int, optional
        How many questions to take instead of all that are misbelieved; of these, a sample.
    preference : bool
        Whether to make preference pairs: what the group teaches is chosen, and rejected is the model's own answer where
        that is the gold one, and the gold one elsewhere. They have no general instructions.
    left_out : collection of int
        Rows of misbelieved questions that are left out of what is sampled, whichever group is made.

    Returns
    -------
    Group
        n questions and n general instructions, where n is the number of misbelieved questions, or `size`, less those that
        were left out. INCOMPATIBLE,
        SELF-ALIGNING, MIXED, CONTEXTUALIZED and RANDOM-WRONG hold the same questions in the same order; MIXED r answers
        exactly ⌊r·n + ½⌋ of them with the model's own belief. HARMONIOUS, UNSURE and GOLD-ALL sample n of the known, of
        the unsure and of all questions. GENERAL-ONLY holds 2n general instructions. Without a source of general
        instructions ("none") each holds its questions alone.

    Raises
    ------
    InputError
        If no question is misbelieved, too few are known or unsure, what models wrote is needed and missing, a
        question has no wrong option besides the model's, GENERAL-ONLY has no general instructions, or a group of pairs
        has no answer to reject.
    """
    ratio = mixed_ratio(name)
    if is_balanced(name):
        raise InputError(f"{name} is made of {plain(name)}", expected="the name of that group, and Balance.apply")
    if preference and name in _NOTHING_REJECTED:
        raise InputError(
            f"{name} has no preference pairs: {_NOTHING_REJECTED[name]}",
            expected="a group of the misbelieved questions, such as incompatible or self_aligning",
        )
    wrong = beliefs.labelled("misbelieved")
    count = len(wrong) if size is None else size
    if count < 1:
        known, unsure = (len(beliefs.labelled(label)) for label in ("known", "unsure"))
        raise InputError(
            f"no answer in {domain} is confidently wrong: there is nothing to intervene on; of {len(beliefs):,} answers "
            f"{known:,} are confidently right and {unsure:,} unsure",
            expected=f"answers with a probability above {beliefs.threshold:g} among the options",
            do="probe a larger pool, or a model that knows more of it",
        )
    explained: list[int] = []
    if name not in (*SAMPLED, "general_only") or left_out or (explanations is not None and explanations.checked):
        explained = asked_rows(name, domain, beliefs, explanations, seed=seed, size=size, left_out=left_out)
        count = len(explained)
    if name == "general_only":
        answers = Answers((), ())
    elif name in SAMPLED:
        answers = _gold(beliefs, _sample(name, domain, beliefs, count, seed))
    else:
        rows = explained
        if preference and explanations is None:
            raise InputError(
                f"{name} pairs gold replies with others, explained alike",
                expected="the model's explanations (--explanations LOGS)",
                do=f"write what is to be explained with consistency requests --preference --group {name}",
            )
        if name == "random_wrong":
            answers = _random(beliefs, rows, seed)
        elif name == "contextualized":
            if contexts is None:
                raise InputError(f"{name} puts knowledge before the questions", expected="contexts (--contexts LOGS)")
            answers = _gold(beliefs, rows)
        else:
            own = int((ratio or Fraction(0)) * count + Fraction(1, 2))
            if own and explanations is None:
                raise InputError(
                    f"{name} teaches the model's own answers", expected="its explanations (--explanations LOGS)"
                )
            answers = _mixed(beliefs, rows, own, seed)
    instructions = Instructions(general, seed) if isinstance(general, str) else general
    number = 0 if preference else 2 * count - len(answers)
    if instructions.source == NONE:
        if not len(answers):
            raise InputError(
                f"{name} holds general instructions alone, and --general is none",
                expected="a file of them, hub:NAME or world",
            )
        number = 0
    # Too few of them are an error of the source.
    instructions.take(number)
    return Group(
        name=name,
        domain=domain,
        beliefs=beliefs,
        answers=answers,
        instructions=instructions,
        general=number,
        explanations=explanations,
        contexts=contexts,
        preference=preference,
    )


def asked_rows(
    name: str,
    domain: str,
    beliefs: Beliefs,
    explanations: Explanations | None = None,
    *,
    seed: int = 0,
    size: int | None = None,
    left_out: Collection[int] = (),
) -> list[int]:
    """The rows of the misbelieved questions that the groups of these arguments ask: see `build_group`.

    Raises
    ------
    InputError
        If there are too few, or none is left.
    """
    wrong = beliefs.labelled("misbelieved")
    count = len(wrong) if size is None else size
    rows = _some(beliefs, wrong, count, f"size-{seed}", name, f"confidently wrong answers in {domain}")
    explained = _explained(beliefs, rows, explanations)
    if not explained:
        raise InputError(f"no explanation of an answer in {domain} passed the check", do="ask a more capable model")
    found = [row for row in explained if row not in left_out]
    if not found:
        raise InputError(f"no question of {name} in {domain} can have its options permuted")
    return found


def group_size(beliefs: Beliefs, before: Beliefs, released: bool) -> int | None:
    """How many questions each group asks where that is not the number of misbelieved ones.

    Parameters
    ----------
    beliefs : Beliefs
        What is left of a pool after decontamination.
    before : Beliefs
        The whole pool.
    released : bool
        Whether it is a released file of which all possible groups are written.

    Returns
    -------
    int or None
        The number of known questions where decontamination leaves too few of them for a harmonious group, so that all
        groups are of one size, whichever are written; likewise for a released file without misbelieved questions. None
        elsewhere: a pool that never had enough known questions loses none of its misbelieved ones for it.
    """
    left, had = beliefs.counts(), before.counts()
    too_few = 0 < left["known"] < left["misbelieved"] and had["known"] >= had["misbelieved"]
    return left["known"] if too_few or (released and not left["misbelieved"]) else None


def _gold(beliefs: Beliefs, rows: list[int]) -> Answers:
    return Answers(rows, beliefs.gold[rows].tolist(), "golden")


def _mixed(beliefs: Beliefs, rows: list[int], count: int, seed: int) -> Answers:
    drawn = set(draw([beliefs.keys[row] for row in rows], count, f"mixed-{seed}"))
    own = np.array([beliefs.keys[row] in drawn for row in rows], dtype=bool)
    options = np.where(own, beliefs.answer[rows], beliefs.gold[rows])
    return Answers(rows, options.tolist(), own=own.tolist())


def _random(beliefs: Beliefs, rows: list[int], seed: int) -> Answers:
    options = []
    for row in rows:
        option = random_option(beliefs[row], seed)
        if option is None:
            raise InputError(
                f"question {beliefs.ids[row]!r} has no wrong option besides the model's, which random_wrong teaches",
                expected="at least three options that say different things",
                do="leave such questions out of the pool",
            )
        options.append(option)
    return Answers(rows, options, "random")


def _explained(beliefs: Beliefs, rows: list[int], explanations: Explanations | None) -> list[int]:
    """Rows without those whose answer the model failed to explain: no group asks their questions."""
    if explanations is None or explanations.checked is None or not explanations.checked.failed:
        return rows
    failed = explanations.checked.failed
    asked = ((row, beliefs[row]) for row in rows)
    return [row for row, belief in asked if (belief.id, belief.question, belief.answer) not in failed]


def _sample(name: str, domain: str, beliefs: Beliefs, count: int, seed: int) -> list[int]:
    if name == "gold_all":
        rows, kind = list(range(len(beliefs))), "questions"
    elif name == "harmonious":
        rows, kind = beliefs.labelled("known"), "confidently right answers"
    else:
        rows, kind = beliefs.labelled("unsure"), "unsure answers"
    return _some(beliefs, rows, count, f"{name}-{seed}", name, f"{kind} in {domain}")


def _some(beliefs: Beliefs, rows: list[int], count: int, purpose: str, name: str, kind: str) -> list[int]:
    """A sample of rows, in their order."""
    if len(rows) < count:
        raise InputError(
            f"{len(rows)} {kind}",
            expected=f"{count} for the group {name}",
            do="probe a larger pool, or choose a smaller size" + (f": at most {len(rows)}" if rows else ""),
        )
    if len(rows) == count:
        return rows
    chosen = set(draw([beliefs.keys[row] for row in rows], count, purpose))
    return [row for row in rows if beliefs.keys[row] in chosen]


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
    """A wrong option that is not the model's and whose text is that of neither; None if there is none.

    Examples
    --------
    >>> sums = Belief(id=1, subject="sums", question="?", choices=("2", "3", "4"), explanation="", gold=0, answer=1,
    ...               confidence=0.8, label="misbelieved", key=1)
    >>> random_option(sums, seed=0)
    2
    """
    texts = [_bare(text) for text in belief.choices]
    options = [option for option, text in enumerate(texts) if text not in (texts[belief.gold], texts[belief.answer])]
    if not options:
        return None
    return options[int.from_bytes(_hash(f"random_wrong-{seed}", belief.key)) % len(options)]


def _bare(text: str) -> str:
    """An option without case, spaces and the marks around it; marks within it stay, as in N/m, which is not Nm."""
    bare = "".join(unicodedata.normalize("NFKC", text).casefold().split())
    return bare.strip(".,;:!?\"'“”‘’") or bare


@lru_cache(maxsize=2)
def _order(ids: tuple[str | int, ...], purpose: str) -> list[str | int]:
    """Ids sorted by hash; cached, since mixtures of all ratios draw from the same questions."""
    return sorted(ids, key=lambda id_: _hash(purpose, id_))


def _hash(purpose: str, id_: str | int) -> bytes:
    return hashlib.sha256(f"{purpose}|{id_}".encode()).digest()
