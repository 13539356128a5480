"""How much of a training set fights the model that it is meant for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from consistency.errors import InputError
from consistency.knowledge.beliefs import THRESHOLD, Beliefs
from consistency.knowledge.probes import read_all
from consistency.statistics.shares import wilson
from consistency.tasks.prompts import LETTERS
from consistency.training_data.normalization import normal_form, same_text
from consistency.training_data.training_sets import Example, read_training_set

Verdict = Literal["harmonious", "incompatible", "unsure", "not_probed"]
VERDICTS: tuple[Verdict, ...] = ("harmonious", "incompatible", "unsure", "not_probed")


@dataclass(frozen=True)
class Judged:
    """A multiple-choice question of the training set.

    Attributes
    ----------
    line : int
        Its line, from 1.
    id : str, int or None
    subject : str
        The probe's; the row's own where the question was not probed.
    verdict : {"harmonious", "incompatible", "unsure", "not_probed"}
        The row teaches what the model believes with confidence, something else, or what it has no confident belief
        about.
    taught, believed : str or None
        Letters of the row's option and of the model's, among the row's options.
    confidence, taught_probability : float or None
        The model's probabilities of both.
    action : {"keep", "drop", "rewrite"}
        See `Audit`.
    reason : str
        Why it is not to be kept.
    """

    line: int
    id: str | int | None
    subject: str
    verdict: Verdict
    taught: str | None
    believed: str | None
    confidence: float | None
    taught_probability: float | None
    action: Literal["keep", "drop", "rewrite"]
    reason: str


@dataclass(frozen=True)
class Audit:
    """A training set, judged by a model's probe.

    An incompatible row is to be rewritten where the model gives the taught option more than chance, 1/k of k options:
    the answer is within reach, and the knowledge that it needs can be put before the question. Otherwise, and where a
    row repeats an earlier one or contradicts it, it is to be dropped.

    Attributes
    ----------
    path : Path
        The training set.
    probes : tuple of str
        Tasks and files that the model was probed with.
    threshold : float
    rows : int
        All rows.
    unreadable : tuple of int
        Lines of multiple-choice questions whose reply names none of the options.
    judged : tuple of Judged
        The multiple-choice questions; the other rows are general instructions.
    skipped : dict of str to str
        Tasks of the logs that were not read, and why.
    incomplete : dict of str to int
        How many questions of rotated tasks were left out, since some of their rotations are missing.
    notes : tuple of str
        What a reader should know of the logs, such as rows left out.
    """

    path: Path
    probes: tuple[str, ...]
    threshold: float
    rows: int
    unreadable: tuple[int, ...]
    judged: tuple[Judged, ...]
    skipped: dict[str, str] = field(default_factory=dict)
    incomplete: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Shares with Wilson's 95 % intervals, overall and by subject."""
        return {
            "training_set": str(self.path),
            "probes": list(self.probes),
            "skipped": self.skipped,
            "incomplete": self.incomplete,
            "notes": list(self.notes),
            "threshold": self.threshold,
            "rows": self.rows,
            "multiple_choice": len(self.judged),
            "general": self.rows - len(self.judged) - len(self.unreadable),
            "replies_without_option": list(self.unreadable),
            "shares": shares(self.judged),
            "subjects": {name: shares(found) for name, found in self.by_subject().items()},
            "actions": dict(Counter(item.action for item in self.judged)),
        }

    def by_subject(self) -> dict[str, list[Judged]]:
        """The questions of each subject, the largest first."""
        sizes = Counter(item.subject for item in self.judged)
        return {
            name: [item for item in self.judged if item.subject == name]
            for name in sorted(sizes, key=lambda name: (-sizes[name], name))
        }


def audit(
    path: str | Path,
    probes: Sequence[str | Path],
    tasks: Sequence[str] = (),
    domain: str | None = None,
    threshold: float = THRESHOLD,
) -> Audit:
    """Judge every question of a training set by what a model answered to it.

    Parameters
    ----------
    path : path-like
        The training set: see `read_training_set`.
    probes : sequence of path-like
        Logs of the model, or rows in the released format. A training row belongs to the first question that is the same
        but for case, punctuation and the order of options.
    tasks : sequence of str
        The tasks to read from the logs; without any, all.
    domain : str, optional
        The domain of released rows.
    threshold : float
        The confidence that an answer must exceed to count as a belief.

    Returns
    -------
    Audit

    Raises
    ------
    InputError
        If the training set or a probe cannot be read, or the set holds no multiple-choice question.
    """
    path = Path(path)
    examples = read_training_set(path)
    asked: dict[tuple[str, ...], tuple[Beliefs, int]] = {}
    names: list[str] = []
    skipped: dict[str, str] = {}
    incomplete: Counter[str] = Counter()
    notes: list[str] = []
    readings = [
        [(_form(reading), reading) for reading in example.readings()] for example in examples if example.choices
    ]
    wanted = {form for found in readings for form, _ in found}
    for probe in probes:
        found, without = read_all(probe, tasks, domain, threshold)
        skipped |= without
        for item in found:
            names.append(item.name)
            notes += item.notes
            if item.incomplete:
                incomplete[item.name] += item.incomplete
            for row, belief in enumerate(item.beliefs):
                form = normal_form(belief.question, belief.choices)
                if form in wanted:
                    asked.setdefault(form, (item.beliefs, row))
    judged, unreadable = [], []
    first: dict[tuple[str, ...], Example] = {}
    for found_readings in readings:
        form, example = next((pair for pair in found_readings if pair[0] in asked), found_readings[0])
        if form not in asked and example.labels != LETTERS:
            continue
        if example.taught is None:
            unreadable.append(example.line)
            continue
        judged.append(_judge(example, asked.get(form), first.setdefault(form, example)))
    if not judged:
        if unreadable:
            raise InputError(
                f"of {len(unreadable)} multiple-choice questions none has a reply that names an option",
                expected="a reply that begins with an option's letter or text, such as 'B. text'",
                path=path,
                line=unreadable[0],
            )
        raise InputError(
            "no multiple-choice question",
            expected="questions with options behind letters, a line each, or behind numbers if the probe asks them",
            path=path,
        )
    return Audit(
        path,
        tuple(names),
        threshold,
        len(examples),
        tuple(unreadable),
        tuple(judged),
        skipped,
        dict(incomplete),
        tuple(notes),
    )


def shares(judged: Sequence[Judged]) -> dict[str, Any]:
    """The share of each verdict, with its interval."""
    counts = Counter(item.verdict for item in judged)
    return {name: wilson(counts[name], len(judged)).to_dict() for name in VERDICTS}


def _form(example: Example) -> tuple[str, ...]:
    return normal_form(example.question, example.choices)


def _judge(example: Example, found: tuple[Beliefs, int] | None, first: Example) -> Judged:
    assert example.taught is not None
    taught = example.choices[example.taught]
    repeats = ""
    if first is not example and first.taught is not None:
        again = _place(example.choices, first.choices[first.taught], example.taught) == example.taught
        repeats = f"{'repeats' if again else 'contradicts'} line {first.line}"
    letter = LETTERS[example.taught] if example.taught < len(LETTERS) else None
    if found is None:
        action: Literal["keep", "drop"] = "drop" if repeats else "keep"
        return Judged(
            example.line, example.id, example.subject, "not_probed", letter, None, None, None, action, repeats
        )
    beliefs, row = found
    belief = beliefs[row]
    option = _place(belief.choices, taught, example.taught)
    assert option is not None
    probability = float(beliefs.probs[row, option])
    if belief.label == "unsure":
        verdict: Verdict = "unsure"
    else:
        verdict = "harmonious" if option == belief.answer else "incompatible"
    reason = repeats
    advice: Literal["keep", "drop", "rewrite"] = "drop" if repeats else "keep"
    if verdict == "incompatible" and not repeats:
        within_reach = probability > 1 / len(belief.choices)
        advice = "rewrite" if within_reach else "drop"
        reason = "contradicts a confident belief, " + ("within reach" if within_reach else "and is out of reach")
    believed = belief.choices[belief.answer]
    place = _place(example.choices, believed, belief.answer)
    return Judged(
        example.line,
        example.id,
        belief.subject,
        verdict,
        letter,
        LETTERS[place] if place is not None and place < len(LETTERS) else None,
        belief.confidence,
        probability,
        advice,
        reason,
    )


def _place(choices: Sequence[str], text: str, place: int) -> int | None:
    """The option with a text, exactly if there is one, so that -1 is not 1; that at a place if several have it."""
    exact = [option for option, choice in enumerate(choices) if choice.strip() == text.strip()]
    same = exact or [option for option, choice in enumerate(choices) if same_text(choice, text)]
    return place if place in same else same[0] if same else None
