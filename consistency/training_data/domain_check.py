"""An own domain before it is run: its questions counted and compared, and what lm_eval will be asked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import chisquare

from consistency.experiment.grid import Experiment, needs_explanations
from consistency.statistics.evenness import far_from_even
from consistency.support.text import joined
from consistency.tasks import mmlu
from consistency.tasks.harness_index import asked_tasks, task_problems
from consistency.tasks.own_domain import SPLITS, OwnDomain, mmlu_tasks
from consistency.tasks.own_tasks import KeptDomain, read_own_domain
from consistency.tasks.prompts import LETTERS
from consistency.tasks.questions import Question
from consistency.training_data.duplicates import Duplicate, Index
from consistency.training_data.pools import count_left

# A pool or test set of fewer questions says little; the paper's have hundreds.
FEW_POOL, FEW_TEST = 200, 100
_LISTED = 5


@dataclass(frozen=True)
class SplitFigures:
    """The questions of one split.

    Attributes
    ----------
    questions : int
    options : dict of int to int
        Questions by number of options.
    gold : dict of str to int
        Questions by gold letter.
    explained : int
        Questions with an explanation.
    exact, near : int
        Questions that repeat an earlier one of the same split.
    """

    questions: int
    options: dict[int, int]
    gold: dict[str, int]
    explained: int
    exact: int
    near: int


@dataclass(frozen=True)
class DomainCheck:
    """What was found in an own domain.

    Attributes
    ----------
    name, header : str
    figures : dict of str to SplitFigures
        Of "pool", "test" and "dev".
    shared : dict of (str, str) to int
        Questions of the first split that are, exactly or nearly, in the second.
    left : int
        Questions of the pool that are left to train on: without those of "test" and "dev", and each once.
    problems : tuple of str
        Why it would fail, or its figures would be wrong.
    notes : tuple of str
        What to know.
    """

    name: str
    header: str
    figures: dict[str, SplitFigures]
    shared: dict[tuple[str, str], int]
    left: int
    problems: tuple[str, ...]
    notes: tuple[str, ...]

    def to_text(self) -> str:
        """A line for each split, then what they share, notes and problems."""
        lines = [f"{self.name}: questions about {self.header}"]
        for split, found in self.figures.items():
            options = ", ".join(f"{count} with {number}" for number, count in sorted(found.options.items()))
            gold = " ".join(f"{letter} {count}" for letter, count in found.gold.items())
            lines.append(
                f"  {split}: {found.questions} questions; options: {options}; gold: {gold}; {found.explained} explained;"
                f" repeated: {found.exact} exactly, {found.near} nearly"
            )
        lines += [
            f"  {count} questions of {one} are in {other}" for (one, other), count in self.shared.items() if count
        ]
        lines.append(f"  {self.left} questions of the pool are left to train on")
        return joined(
            [*lines, *(f"  note: {text}" for text in self.notes), *(f"  problem: {text}" for text in self.problems)]
        )


def check_domains(experiment: Experiment) -> list[DomainCheck]:
    """What is found in each own domain of an experiment.

    Raises
    ------
    InputError
        If a file cannot be read or a row is no question; it names file and line.
    """
    kept = [read_own_domain(own) for own in experiment.own_domains.values()]
    problems = task_problems(asked_tasks(experiment.own_domains.values()))
    return [
        _check(item, experiment, [text for task, text in problems.items() if task in item.domain.asked("icl")])
        for item in kept
    ]


def _check(kept: KeptDomain, experiment: Experiment, problems: list[str]) -> DomainCheck:
    own, notes = kept.domain, list[str]()
    indices = {split: Index(kept.questions[split]) for split in SPLITS}
    within = {split: indices[split].duplicates() for split in SPLITS}
    figures = {split: _figures(kept.questions[split], within[split]) for split in SPLITS}
    found = {
        (one, other): indices[one].found_in(indices[other])
        for one, other in (("pool", "test"), ("pool", "dev"), ("test", "dev"))
    }
    left = count_left(indices["pool"], [found["pool", "test"], found["pool", "dev"]])
    if not left:
        problems.append("no question of the pool is left: all are in test or dev")
    if found["test", "dev"]:
        where = _ids(kept.questions["test"], found["test", "dev"])
        problems.append(f"few-shot examples show questions of the test set: {where}; take them out of dev or test")
    for split, few in (("pool", FEW_POOL), ("test", FEW_TEST)):
        if figures[split].questions < few:
            notes.append(f"{split}: fewer than {few} questions: intervals will be wide")
    for split in SPLITS:
        contradicting = _contradictions(kept.questions[split], within[split])
        if contradicting:
            problems.append(f"{split}: the same question with another gold option: {', '.join(contradicting)}")
    notes += [text for split in ("pool", "test") if (text := _uneven(split, figures[split]))]
    if kept.explain_shot is None:
        groups = [group for group in experiment.groups if needs_explanations(group)]
        text = "no explained example: no question of dev has an explanation, and there is no explain_shot"
        if groups:
            problems.append(f"{text}; {', '.join(groups)} needs one")
        else:
            notes.append(text)
    notes += [
        f"{split}: {source.place} names no revision, and may change"
        for split, source in own.sources.items()
        if source.is_hub and "@" not in source.place
    ]
    notes += _asked(own, figures)
    shared = {pair: len(rows) for pair, rows in found.items()}
    return DomainCheck(own.name, own.header, figures, shared, left, tuple(problems), tuple(notes))


def _figures(questions: Sequence[Question], repeated: Sequence[Duplicate]) -> SplitFigures:
    most = max(len(item.choices) for item in questions)
    gold = Counter(LETTERS[item.answer] for item in questions)
    kinds = Counter(item.kind for item in repeated)
    return SplitFigures(
        questions=len(questions),
        options=dict(Counter(len(item.choices) for item in questions)),
        gold={letter: gold[letter] for letter in LETTERS[:most]},
        explained=sum(bool(item.explanation.strip()) for item in questions),
        exact=kinds["exact"],
        near=kinds["near"],
    )


def _contradictions(questions: Sequence[Question], repeated: Sequence[Duplicate]) -> list[str]:
    """Ids of exact duplicates whose gold options have different texts."""
    pairs = [(questions[item.row], questions[item.other]) for item in repeated if item.kind == "exact"]
    differing = [one for one, two in pairs if not _same_gold(one, two)]
    shown = [str(item.id) for item in differing[:_LISTED]]
    return [*shown, f"and {len(differing) - _LISTED} more"] if len(differing) > _LISTED else shown


def _same_gold(one: Question, two: Question) -> bool:
    from consistency.training_data.normalization import same_text

    return same_text(one.choices[one.answer], two.choices[two.answer])


def _uneven(split: str, figures: SplitFigures) -> str | None:
    """A note if the gold letters are far from even, among the questions of the usual length."""
    if len(figures.options) > 1 or figures.questions < 5 * len(figures.gold):
        return None
    test = chisquare(list(figures.gold.values()))
    effect, p = math.sqrt(float(test.statistic) / figures.questions), float(test.pvalue)
    if not far_from_even(effect, p):
        return None
    return f"{split}: gold letters are uneven (w = {effect:.2f}, p = {p:.1g}): a model that prefers a letter seems to know more"


def _ids(questions: Sequence[Question], found: Sequence[Duplicate]) -> str:
    shown = ", ".join(str(questions[item.row].id) for item in found[:_LISTED])
    return shown + (f" and {len(found) - _LISTED} more" if len(found) > _LISTED else "")


def _asked(own: OwnDomain, figures: dict[str, SplitFigures]) -> list[str]:
    """What the stages of the grid will ask."""
    scopes = own.scopes("icl")
    whole = set(mmlu_tasks(mmlu.SUBJECTS))
    lines = [
        f"the base model is asked {own.task('pool_icl')} ({figures['pool'].questions} questions) and, with five shots and "
        f"without, {own.task('icl')} ({figures['test'].questions})"
    ]
    for scope in ("id", "ood"):
        tasks = scopes.get(scope, [])
        # Most of MMLU's subjects are their number, not a list.
        subjects = [task for task in tasks if task in whole]
        named = tasks if len(subjects) <= _LISTED else [task for task in tasks if task not in whole]
        more = f"{len(subjects)} of the {len(whole)} subjects of MMLU"
        lines.append(f"{scope.upper()}: {', '.join([*named, *([more] if named is not tasks else [])]) or 'none'}")
    return lines
