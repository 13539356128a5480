"""How many of a group's rows have the texts that they should: explanations of answers, contexts before questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from consistency.errors import InputError
from consistency.knowledge.explanations import Explanations
from consistency.training_data.rows import Answer, Group, rejected

# The share of rows that may lack the text that makes them rows of their group.
MOST_LACKING = 0.1
# As many questions of the probe are looked at together, so that groups of the same questions look each up once.
_STRETCH = 4_096
_WHOSE = {"golden": "gold replies", "model": "model's own answers", "random": "random wrong answers"}
# The source of an answer; whether it has an explanation, its question a context, and the other reply of its question: that of
# the gold option, or of a preference pair the one that is rejected.
_Found = tuple[str, bool, bool, bool]


@dataclass(frozen=True)
class Filled:
    """Rows of one kind, and how many of them have their text.

    Attributes
    ----------
    rows, filled : int
        All of them, and those with a text.

    Examples
    --------
    >>> Filled(60, 45).lacking, Filled(60, 45).lacking_share
    (15, 0.25)
    """

    rows: int
    filled: int

    @property
    def lacking(self) -> int:
        """How many have none."""
        return self.rows - self.filled

    @property
    def lacking_share(self) -> float:
        """The share that has none; 0 where there are no rows."""
        return self.lacking / self.rows if self.rows else 0.0

    @property
    def hollow(self) -> bool:
        """Whether too many have none: more than a tenth and more than a single row, or all.

        Examples
        --------
        >>> Filled(100, 90).hollow, Filled(100, 89).hollow, Filled(4, 3).hollow, Filled(1, 0).hollow, Filled(0, 0).hollow
        (False, True, False, True, False)
        """
        return self.lacking_share > MOST_LACKING and (self.lacking > 1 or not self.filled)

    def to_dict(self) -> dict[str, int]:
        """Rows with and without a text, for a manifest."""
        return {"rows": self.rows, "with": self.filled, "without": self.lacking}


@dataclass(frozen=True, kw_only=True)
class Completeness:
    """How many of a group's rows have the texts that they should.

    Attributes
    ----------
    group : str
        Its name.
    explained : dict of str to Filled
        By the answers' source ("golden", "model", "random"), the rows that hold an explanation; of preference pairs, the
        replies for which there is one, chosen and rejected.
    contexts : Filled or None
        For CONTEXTUALIZED, the rows that have a context.
    gold : Filled or None
        Of the questions that are answered with another option than the gold one, those whose gold option has an
        explanation in the pool: what INCOMPATIBLE would answer to them.
    pairs : Filled or None
        Preference pairs, and those whose replies are both explained; the others are both the option alone.
    written : dict of str to Explanations
        The generated "explanations" and "contexts" that the rows take their texts from.
    """

    group: str
    explained: dict[str, Filled]
    contexts: Filled | None
    gold: Filled | None
    pairs: Filled | None
    written: dict[str, Explanations]

    @property
    def unexplained(self) -> int:
        """How many rows teach the option alone."""
        return self.pairs.lacking if self.pairs else sum(filled.lacking for filled in self.explained.values())

    @property
    def without_context(self) -> int | None:
        """How many questions of CONTEXTUALIZED have no context; None for other groups."""
        return self.contexts.lacking if self.contexts else None

    def check(self) -> None:
        """Refuse a group that is hollow.

        The model's own answers need its explanations, CONTEXTUALIZED its contexts. RANDOM-WRONG may do without any
        explanation, but not have some, unless a check left the others out. Gold replies have what the pool has.

        Raises
        ------
        InputError
            With the share, the log that lacks the texts, and what to do.
        """
        written = self.written.get("explanations")
        # Of a random option the model often writes nothing that argues for it: where that was checked, it is a finding.
        checked = written is not None and written.checked is not None
        for source, filled in self.explained.items():
            if source != "golden" and filled.hollow and (source == "model" or (filled.filled and not checked)):
                self._refuse(filled, _WHOSE[source], "explanation")
        if self.contexts and self.contexts.hollow:
            self._refuse(self.contexts, "questions", "context")

    def _refuse(self, filled: Filled, whose: str, what: str) -> None:
        written = self.written.get(f"{what}s")
        task = "explain" if what == "explanation" else "context"
        cut = f", and {written.cut}" if written and written.cut else ""
        raise InputError(
            f"{self.group}: {filled.lacking} of {filled.rows} {whose} ({filled.lacking_share:.1%}) have no {what}{cut}",
            expected=f"at most {MOST_LACKING:.0%}",
            do=f"generate the others (consistency requests, then the {task} task), ask a more capable model, or pass "
            "--allow-incomplete (allow_incomplete: true in an experiment)",
            path=written.source if written and written.source.name else None,
        )

    def notes(self) -> list[str]:
        """What a reader of results should know, without full stops."""
        found = []
        golden = self.explained.get("golden")
        if golden and golden.lacking_share > MOST_LACKING:
            found.append(
                f"{self.group}: {golden.lacking} of {golden.rows} gold replies have no explanation in the pool"
            )
        for source, filled in self.explained.items():
            if source != "golden" and self.gold:
                difference = abs(filled.lacking_share - self.gold.lacking_share)
                if difference > MOST_LACKING and difference * filled.rows > 1:
                    found.append(
                        f"{self.group}: {1 - filled.lacking_share:.1%} of its {_WHOSE[source]} are explained, and "
                        f"{1 - self.gold.lacking_share:.1%} of the gold replies to the same questions, so that its "
                        "contrast with incompatible is also one of replies with and without an explanation"
                    )
        found += [f"{written.source}: {written.cut}" for written in self.written.values() if written.cut]
        return found

    def to_dict(self) -> dict[str, Any]:
        """The numbers by kind, for a manifest."""
        return {
            "most_lacking": MOST_LACKING,
            "explained": {source: filled.to_dict() for source, filled in self.explained.items()},
            "contexts": self.contexts.to_dict() if self.contexts else None,
            "pairs": self.pairs.to_dict() if self.pairs else None,
            "gold_of_the_same_questions": self.gold.to_dict() if self.gold else None,
            "generated": {kind: written.counts() for kind, written in self.written.items()},
            "notes": self.notes(),
        }


def completeness_of(groups: Sequence[Group]) -> list[Completeness]:
    """How many rows of each group have the texts that they should, with each text looked up once for all groups.

    Parameters
    ----------
    groups : sequence of Group

    Returns
    -------
    list of Completeness
        In the order of the groups.
    """
    tallies: list[Counter[_Found]] = [Counter() for _ in groups]
    for start in range(0, max((len(group.beliefs) for group in groups), default=0), _STRETCH):
        shared: dict[tuple[int, ...], _Texts] = {}
        for group, tally in zip(groups, tallies, strict=True):
            made_of = id(group.beliefs), id(group.explanations), id(group.used_contexts), group.preference
            texts = shared.setdefault(made_of, _Texts(group))
            tally.update(map(texts.__getitem__, group.answers.between(start, start + _STRETCH)))
    return [_completeness(group, tally) for group, tally in zip(groups, tallies, strict=True)]


class _Texts(dict[Answer, _Found]):
    """Which texts answers have, each looked up when it is first asked for."""

    def __init__(self, group: Group) -> None:
        self._group = group

    def __missing__(self, answer: Answer) -> _Found:
        number, option, source = answer
        belief = self._group.beliefs[number]
        other = rejected(belief, source) if self._group.preference else (belief.gold, "golden")
        found = self[answer] = (
            source,
            bool(self._group.explanation(belief, option, source)),
            bool(self._group.context(belief, option)),
            bool(self._group.explanation(belief, *other)),
        )
        return found


def _completeness(group: Group, tally: Counter[_Found]) -> Completeness:
    rows, explained, gold, pairs = Counter[str](), Counter[str](), Counter[bool](), Counter[bool]()
    for (source, has_explanation, _, other_has), count in tally.items():
        rows[source] += count
        explained[source] += count * has_explanation
        if group.preference:
            other = "model" if source == "golden" else "golden"
            rows[other] += count
            explained[other] += count * other_has
            pairs[has_explanation and other_has] += count
        elif source != "golden":
            gold[other_has] += count
    written = {"explanations": group.explanations} if group.explanations and rows.keys() - {"golden"} else {}
    contexts = None
    if group.used_contexts is not None:
        written["contexts"] = group.used_contexts
        contexts = Filled(tally.total(), sum(count for (_, _, has_context, _), count in tally.items() if has_context))
    return Completeness(
        group=group.name,
        explained={source: Filled(count, explained[source]) for source, count in rows.items()},
        contexts=contexts,
        gold=Filled(gold.total(), gold[True]) if gold.total() else None,
        pairs=Filled(pairs.total(), pairs[True]) if group.preference else None,
        written=written,
    )
