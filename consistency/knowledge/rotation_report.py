"""What the rotations of questions say: how much of the answers is selection bias, and what takes it out without rotations.

All numbers are over the questions with scores in every rotation. The corrections that need no rotations are judged by the
answers that all rotations give together: each is computed from the unrotated questions alone, but for PriDe, whose prior comes
from the rotations of every twentieth question. All are judged on the other questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from consistency.logs.rotations import Folded
from consistency.metrics.distributions import log_probabilities, top_option
from consistency.metrics.letter_prior import batch_calibrated, even_offsets
from consistency.metrics.rotations import chosen_options, pride, right_by_letter, same_in_all
from consistency.metrics.selection_bias import OptionCounts
from consistency.statistics.estimates import Estimate
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import change_of_shares
from consistency.statistics.selection_bias import preferences, rstd_of_rotations
from consistency.statistics.shares import rate
from consistency.support.arrays import Bools, Floats, Integers
from consistency.support.text import counted, decimal, joined
from consistency.tasks.prompts import LETTERS

ALL_TASKS = "all tasks"
# PriDe's prior comes from the first of each so many questions: 5 %, as published.
PRIDE_STEP = 20
_CORRECTIONS = {
    "none": "none",
    "batch": "batch calibration",
    "offsets": "even offsets",
    "pride": "PriDe",
}


@dataclass(frozen=True, eq=False)
class _Answers:
    """The answers to the questions of some tasks. Arrays by question, padded to the most options of a question."""

    task: Integers
    gold: Integers
    counts: Integers
    by_letter: Floats
    folded: Floats
    letters: Floats
    bias: Floats

    @classmethod
    def of(cls, folded: Sequence[Folded]) -> _Answers:
        most = max(each.letters.shape[1] for each in folded)

        def together(name: str, axes: int) -> Floats:
            arrays = [each.scores.logprobs if name == "folded" else getattr(each, name) for each in folded]
            widths = [[(0, 0)] + [(0, most - array.shape[1])] * axes for array in arrays]
            return np.concatenate(
                [np.pad(array, width, constant_values=np.nan) for array, width in zip(arrays, widths, strict=True)]
            )

        return cls(
            np.repeat(np.arange(len(folded)), [len(each.scores) for each in folded]),
            np.concatenate([each.scores.target for each in folded]),
            np.concatenate([each.scores.n_options for each in folded]),
            together("by_letter", 2),
            together("folded", 1),
            together("letters", 1),
            np.concatenate([each.bias for each in folded]),
        )

    def take(self, rows: Bools) -> _Answers:
        return _Answers(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Correction:
    """Answers without rotations, and how they compare with those of all rotations.

    Attributes
    ----------
    accuracy : Estimate
        The share of right answers.
    agreement : Estimate
        The share of questions answered as over all rotations.
    estimated_on : int or None
        Questions whose rotations were used; None where none were. No correction is judged by these.
    """

    accuracy: Estimate
    agreement: Estimate
    estimated_on: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        found = {"accuracy": self.accuracy.to_dict(), "agreement": self.agreement.to_dict()}
        return found if self.estimated_on is None else {**found, "estimated_on": self.estimated_on}


@dataclass(frozen=True)
class RotationReport:
    """Knowledge and selection bias of a task whose questions were asked in all rotations, or of several tasks together.

    Attributes
    ----------
    task : str
    questions, incomplete, unscored, placed : int
        Questions with all rotations, without one of them, with a rotation without scores, and left out since their options speak
        of others by their place.
    figures : dict of str to Estimate
        `accuracy_asked`, of the unrotated questions; `accuracy_rotations`, of all rotations as so many answers, a question's
        together one observation; `accuracy_folded`, of the answers over all rotations, and `accuracy_gained`, this less that of
        the unrotated ones; `same_in_all`, the share of the questions with the same content chosen in every rotation;
        `changed_answers`, of those that all rotations answer otherwise than the unrotated question; `position_bias_nats`.
    rstd : dict of str to Estimate
        RStd of Zheng et al. (2024) `asked`, of the unrotated questions, and by number of options of all rotations.
    corrections : dict of str to Correction
        `none`, the unrotated answers; `batch`, batch calibration; `offsets`, one number for each letter that makes letters
        equally probable; `pride`.
    letters : dict of str to dict
        The mean probability of each letter over all rotations, by number of options.
    """

    task: str
    questions: int
    incomplete: int
    unscored: int
    placed: int
    figures: dict[str, Estimate]
    rstd: dict[str, Estimate]
    corrections: dict[str, Correction]
    letters: dict[str, dict[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """As plain data; the figures once more as numbers alone."""
        plain = ("accuracy_asked", "accuracy_folded", "changed_answers", "position_bias_nats")
        return {
            "task": self.task,
            "questions": self.questions,
            "incomplete": self.incomplete,
            "unscored": self.unscored,
            "speak_of_places": self.placed,
            **{name: self.figures[name].value for name in plain},
            "estimates": {name: found.to_dict() for name, found in self.figures.items()},
            "rstd": {name: found.to_dict() for name, found in self.rstd.items()},
            "corrections": {name: found.to_dict() for name, found in self.corrections.items()},
            "letters": self.letters,
        }

    def to_text(self) -> str:
        """The numbers in a few lines."""
        lines = [f"{self.task}: {counted(self.questions, 'question')}"]
        counts = (
            (self.incomplete, "without all rotations, left out"),
            (self.placed, "options speak of places, left out"),
            (self.unscored, "without scores"),
        )
        for count, name in counts:
            if count:
                lines.append(f"  {name:<34}{count}")
        shown = {
            "accuracy_asked": "accuracy as asked",
            "accuracy_rotations": "accuracy, each rotation an answer",
            "accuracy_folded": "accuracy over all rotations",
            "accuracy_gained": "gained over all rotations",
            "same_in_all": "same content in every rotation",
            "changed_answers": "answers that change",
            "position_bias_nats": "position bias, nats",
        }
        lines += [f"  {name:<34}{_text(self.figures[key])}" for key, name in shown.items()]
        for key, found in self.rstd.items():
            name = "RStd as asked" if key == "asked" else f"RStd of all rotations, {key} options"
            lines.append(f"  {name:<34}{_text(found)}")
        for options, letters in self.letters.items():
            shares = " ".join(f"{letter} {share:.3f}" for letter, share in letters.items())
            lines.append(f"  {f'letters of {options} options':<34}{shares}")
        lines.append(f"  {'without rotations':<34}{'accuracy':<26}answers as over all rotations")
        for key, correction in self.corrections.items():
            name = _CORRECTIONS[key]
            if correction.estimated_on is not None:
                name += f", prior of {counted(correction.estimated_on, 'question')}"
            lines.append(f"    {name:<32}{_text(correction.accuracy):<26}{_text(correction.agreement)}")
        return joined(lines)


def describe_rotations(folded: Sequence[Folded]) -> list[RotationReport]:
    """What the rotations of each task say, and of more than one also what those of all together do.

    Parameters
    ----------
    folded : sequence of Folded

    Returns
    -------
    list of RotationReport
        The last of several is named "all tasks". There the tasks are fixed, and intervals are about other questions of these.
    """
    found = [_report(each.scores.task, [each]) for each in folded]
    return [*found, _report(ALL_TASKS, folded)] if len(folded) > 1 else found


def _report(name: str, folded: Sequence[Folded]) -> RotationReport:
    every = _Answers.of(folded)
    known = np.asarray(~np.isnan(every.letters).all(axis=1))
    answers = every.take(known)
    strata = answers.task if len(folded) > 1 else None
    asked, prediction = answers.by_letter[:, 0], top_option(answers.folded)
    chosen = chosen_options(answers.by_letter)
    by_letter = right_by_letter(chosen, answers.gold, answers.counts)
    right = {
        key: _agreed(top_option(scores), answers.gold) for key, scores in (("asked", asked), ("folded", answers.folded))
    }
    return RotationReport(
        name,
        len(every.gold),
        sum(each.incomplete for each in folded),
        int((~known).sum()),
        sum(each.placed for each in folded),
        {
            "accuracy_asked": rate(right["asked"], strata=strata),
            "accuracy_rotations": _clustered(by_letter, strata),
            "accuracy_folded": rate(right["folded"], strata=strata),
            "accuracy_gained": change_of_shares(right["asked"], right["folded"], strata=strata),
            "same_in_all": rate(same_in_all(chosen, answers.counts), strata=strata),
            "changed_answers": rate(1 - _agreed(top_option(asked), prediction), strata=strata),
            "position_bias_nats": mean(answers.bias, strata=strata),
        },
        _rstd(answers, by_letter),
        _corrections(answers, prediction, strata),
        {
            str(count): dict(zip(LETTERS, answers.letters[rows, :count].mean(axis=0).tolist(), strict=False))
            for count in np.unique(answers.counts).tolist()
            for rows in [answers.counts == count]
        },
    )


def _rstd(answers: _Answers, by_letter: Floats) -> dict[str, Estimate]:
    counts = OptionCounts()
    for task in np.unique(answers.task).tolist():
        rows = answers.task == task
        counts.add_task(np.exp(answers.by_letter[rows, 0]), answers.gold[rows])
    found = {"asked": preferences([counts])[0].rstd}
    for count in np.unique(answers.counts).tolist():
        found[str(count)] = rstd_of_rotations(by_letter[answers.counts == count, :count])
    return found


def _corrections(answers: _Answers, prediction: Integers, strata: Integers | None) -> dict[str, Correction]:
    asked = answers.by_letter[:, 0]
    shown = np.zeros(len(asked), dtype=bool)
    for count in np.unique(answers.counts).tolist():
        shown[np.flatnonzero(answers.counts == count)[::PRIDE_STEP]] = True
    scores = {
        "none": asked,
        "batch": batch_calibrated(asked),
        "offsets": log_probabilities(asked) + even_offsets(asked),
        "pride": pride(answers.by_letter, shown),
    }
    found = {}
    for key, corrected in scores.items():
        answer = np.where(shown, -1, top_option(corrected))
        used = int(shown.sum()) if key == "pride" else None
        found[key] = Correction(
            rate(_agreed(answer, answers.gold), strata=strata),
            rate(_agreed(answer, prediction), strata=strata),
            estimated_on=used,
        )
    return found


def _agreed(answer: Integers, other: Integers) -> Floats:
    """1 where both are the same option, 0 where they are not, NaN where one is none."""
    return np.where((answer < 0) | (other < 0), np.nan, (answer == other).astype(np.float64))


def _clustered(values: Floats, strata: Integers | None) -> Estimate:
    """The share of all values of some questions, each a cluster of them."""
    known = ~np.isnan(values)
    question = np.nonzero(known)[0]
    return rate(values[known], strata=None if strata is None else strata[question], clusters=question)


def _text(found: Estimate) -> str:
    if found.value is None:
        return "undefined"
    ends = (
        ""
        if found.ci_low is None or found.ci_high is None
        else f" ({decimal(found.ci_low, 4)} to {decimal(found.ci_high, 4)})"
    )
    return f"{decimal(found.value, 4)}{ends}"
