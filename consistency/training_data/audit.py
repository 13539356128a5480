"""How much of a training set contradicts what the model believes that is to be trained on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from consistency.errors import InputError
from consistency.knowledge.beliefs import THRESHOLD, Beliefs
from consistency.knowledge.probes import Coverage, read_all
from consistency.statistics.shares import wilson
from consistency.tasks.prompts import LETTERS
from consistency.training_data.letters import Letters, Spread
from consistency.training_data.normalization import normal_form, same_text
from consistency.training_data.training_sets import Example, read_training_set

Verdict = Literal["harmonious", "incompatible", "unsure", "not_probed"]
VERDICTS: tuple[Verdict, ...] = ("harmonious", "incompatible", "unsure", "not_probed")


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A multiple-choice question of the training set.

    Attributes
    ----------
    line : int
        Its line, from 1.
    id : str, int or None
    subject : str
        The probe's; the row's own where the question was not probed, or with `own_subjects`.
    verdict : {"harmonious", "incompatible", "unsure", "not_probed"}
        The row teaches what the model believes with confidence, something else, or what it has no confident belief
        about.
    options : int
        How many the question has.
    taught, believed, gold : str or None
        Letters of the row's option, of the model's and of the probe's gold one, among the row's options.
    confidence, taught_probability : float or None
        The model's probabilities of both.
    action : {"keep", "drop", "rewrite"}
        See `TrainingSetAudit`.
    reason : str
        Why it is not to be kept.
    """

    line: int
    id: str | int | None
    subject: str
    verdict: Verdict
    options: int
    taught: str | None
    believed: str | None = None
    gold: str | None = None
    confidence: float | None = None
    taught_probability: float | None = None
    action: Literal["keep", "drop", "rewrite"]
    reason: str


@dataclass(frozen=True)
class TrainingSetAudit:
    """A training set, judged by a model's probe.

    An incompatible row is to be rewritten where the model gives the taught option more than chance, 1/k of k options:
    the answer is within reach, and the knowledge that it needs can be put before the question. Otherwise, and where a
    row repeats an earlier one or contradicts it, it is to be dropped.

    Attributes
    ----------
    path : Path
        The training set.
    coverage : Coverage
        Which probes were read.
    threshold : float
        The confidence that an answer must exceed to count as a belief.
    rows : int
        All rows.
    unreadable : tuple of int
        Lines of multiple-choice questions whose reply names none of the options.
    judged : tuple of Judged
        The multiple-choice questions; the other rows are general instructions.
    """

    path: Path
    coverage: Coverage
    threshold: float
    rows: int
    unreadable: tuple[int, ...]
    judged: tuple[Judged, ...]

    @property
    def letters(self) -> Letters:
        """The letters that it teaches; of probed questions also those of the gold options and of the model's answers."""
        taught, gold, own = (
            _spread([(item.options, getattr(item, name)) for item in self.judged])
            for name in ("taught", "gold", "believed")
        )
        return Letters(self.path.stem, taught, *(spread if spread.questions else None for spread in (gold, own)))

    def conclusion(self) -> str:
        """How much of it contradicts the model, in a sentence, with Wilson's 95 % interval."""
        counts = Counter(item.verdict for item in self.judged)
        probed = len(self.judged) - counts["not_probed"]
        if not probed:
            return f"Nothing is judged: the probe asks none of the {len(self.judged)} questions."
        return (
            f"Of the {probed} questions that the model was asked, {wilson(counts['incompatible'], probed).to_text()} teach it "
            f"something else than what it believes with a confidence above {self.threshold:g}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Shares with Wilson's 95 % intervals, overall and by subject."""
        return {
            "training_set": str(self.path),
            **self.coverage.to_dict(),
            "threshold": self.threshold,
            "rows": self.rows,
            "multiple_choice": len(self.judged),
            "general": self.rows - len(self.judged) - len(self.unreadable),
            "replies_without_option": list(self.unreadable),
            "shares": shares(self.judged),
            "subjects": {name: shares(found) for name, found in self.by_subject().items()},
            "actions": dict(Counter(item.action for item in self.judged)),
            "letters": self.letters.to_dict(),
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
    *,
    own_subjects: bool = False,
) -> TrainingSetAudit:
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
    own_subjects : bool
        Whether the subjects are those that the rows themselves say, not the probe's.

    Returns
    -------
    TrainingSetAudit

    Raises
    ------
    InputError
        If the training set or a probe cannot be read, or the set holds no multiple-choice question.
    """
    path = Path(path)
    examples = read_training_set(path)
    readings = [
        [(_form(reading), reading) for reading in example.readings()] for example in examples if example.choices
    ]
    wanted = {form for found in readings for form, _ in found}
    found_probes, coverage = read_all(probes, tasks, domain, threshold)
    probed: dict[tuple[str, ...], tuple[Beliefs, int]] = {}
    for probe in found_probes:
        for row, belief in enumerate(probe.beliefs):
            form = normal_form(belief.question, belief.choices)
            if form in wanted:
                probed.setdefault(form, (probe.beliefs, row))
    judged, unreadable = [], []
    first: dict[tuple[str, ...], Example] = {}
    for found_readings in readings:
        form, example = next((pair for pair in found_readings if pair[0] in probed), found_readings[0])
        if form not in probed and example.labels != LETTERS:
            continue
        if example.taught is None:
            unreadable.append(example.line)
            continue
        found = _judge(example, probed.get(form), first.setdefault(form, example))
        judged.append(replace(found, subject=example.subject) if own_subjects else found)
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
    return TrainingSetAudit(path, coverage, threshold, len(examples), tuple(unreadable), tuple(judged))


def shares(judged: Sequence[Judged]) -> dict[str, Any]:
    """The share of each verdict, with its interval."""
    counts = Counter(item.verdict for item in judged)
    return {name: wilson(counts[name], len(judged)).to_dict() for name in VERDICTS}


def _form(example: Example) -> tuple[str, ...]:
    return normal_form(example.question, example.choices)


def _judge(example: Example, found: tuple[Beliefs, int] | None, first: Example) -> Judged:
    """What a row teaches against what the model answered; `first` is the first row that asks the question."""
    assert example.taught is not None
    judged = Judged(
        line=example.line,
        id=example.id,
        subject=example.subject,
        verdict="not_probed",
        options=len(example.choices),
        taught=_letter(example.taught),
        action="keep",
        reason="",
    )
    if first is not example and first.taught is not None:
        again = _place(example.choices, first.choices[first.taught], example.taught) == example.taught
        judged = replace(judged, action="drop", reason=f"{'repeats' if again else 'contradicts'} line {first.line}")
    if found is None:
        return judged
    beliefs, row = found
    belief = beliefs[row]
    option = _place(belief.choices, example.choices[example.taught], example.taught)
    assert option is not None
    probability = float(beliefs.probs[row, option])
    verdict: Verdict = "harmonious" if option == belief.answer else "incompatible"
    judged = replace(
        judged,
        subject=belief.subject,
        verdict="unsure" if belief.label == "unsure" else verdict,
        believed=_letter(_place(example.choices, belief.choices[belief.answer], belief.answer)),
        gold=_letter(_place(example.choices, belief.choices[belief.gold], belief.gold)),
        confidence=belief.confidence,
        taught_probability=probability,
    )
    if judged.verdict != "incompatible" or judged.reason:
        return judged
    if probability > 1 / len(belief.choices):
        return replace(judged, action="rewrite", reason="contradicts a confident belief, within reach")
    return replace(judged, action="drop", reason="contradicts a confident belief, and is out of reach")


def _spread(letters: Sequence[tuple[int, str | None]]) -> Spread:
    """How letters are spread, each with the number of options that its question has; without those that are not known."""
    known = [(size, LETTERS.index(letter)) for size, letter in letters if letter is not None and size <= len(LETTERS)]
    return Spread.of([size for size, _ in known], [place for _, place in known])


def _letter(option: int | None) -> str | None:
    return LETTERS[option] if option is not None and option < len(LETTERS) else None


def _place(choices: Sequence[str], text: str, place: int) -> int | None:
    """The option with a text, letter for letter if there is one, so that -1 is not 1; of several the one at `place`."""
    exact = [option for option, choice in enumerate(choices) if choice.strip() == text.strip()]
    same = exact or [option for option, choice in enumerate(choices) if same_text(choice, text)]
    return place if place in same else same[0] if same else None
