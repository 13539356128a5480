"""A knowledge map: what a model knows, by domain and subject, and how far its confidence can be believed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from consistency.knowledge.beliefs import LABELS, THRESHOLD, Beliefs, Label
from consistency.knowledge.categories import CATEGORIES, Categorised, Category, categories_of, split_rotations
from consistency.knowledge.probes import Coverage, left_out, read_all
from consistency.statistics.calibration import calibration_error
from consistency.statistics.shares import wilson
from consistency.support.text import joined

BINS = 10


class Known(msgspec.Struct, frozen=True, gc=False):
    """A question on the map.

    Attributes
    ----------
    id : str or int
    domain, subject : str
    label : {"known", "misbelieved", "unsure"}
        By its first probe.
    category : str or None
        By all its probes: see `consistency.knowledge.categories`.
    category_gekhman : str or None
        The same without the correction of rotations for letters and chance.
    known_by_chance : float or None
        The probability that a model that guesses would be HighlyKnown or MaybeKnown here, or the most that it can be.
    confidence : float
        Probability of the model's answer.
    answer, gold : int
        Indices of the options.
    """

    id: str | int
    domain: str
    subject: str
    label: Label
    category: Category | None
    confidence: float
    answer: int
    gold: int
    category_gekhman: Category | None = None
    known_by_chance: float | None = None


@dataclass(frozen=True)
class KnowledgeMap:
    """The questions of one model's probes, and what was left out.

    `read_map` makes it from logs.

    Attributes
    ----------
    questions : tuple of Known
        Each once, by domain.
    threshold : float
        The confidence that an answer must exceed to count as knowledge.
    coverage : Coverage
        Which probes were read.
    """

    questions: tuple[Known, ...]
    threshold: float
    coverage: Coverage

    def by_domain(self) -> dict[str, list[Known]]:
        """The questions of each domain."""
        found: dict[str, list[Known]] = {}
        for question in self.questions:
            found.setdefault(question.domain, []).append(question)
        return found

    def to_dict(self) -> dict[str, Any]:
        """All figures: see docs/groups.md."""
        domains = {}
        for name, questions in sorted(self.by_domain().items()):
            subjects: dict[str, list[Known]] = {}
            for question in questions:
                subjects.setdefault(question.subject, []).append(question)
            figures = {subject: summary(asked) for subject, asked in sorted(subjects.items())}
            domains[name] = {**summary(questions), "subjects": figures}
        return {
            "threshold": self.threshold,
            **self.coverage.to_dict(),
            **summary(self.questions),
            "domains": domains,
        }

    def to_text(self) -> str:
        """A line a domain."""
        lines = []
        for name, questions in sorted(self.by_domain().items()):
            counts = Counter(question.label for question in questions)
            shares = ", ".join(f"{kind} {wilson(counts[kind], len(questions)).to_text()}" for kind in LABELS)
            lines.append(f"{name}: {len(questions)} questions, {shares}")
        lines += [f"not mapped: {name} ({reason})" for name, reason in self.coverage.skipped.items()]
        lines += [left_out(name, count) for name, count in self.coverage.incomplete.items()]
        lines += self.coverage.notes
        return joined(lines)


def read_map(
    paths: Sequence[str | Path], tasks: Sequence[str] = (), domain: str | None = None, threshold: float = THRESHOLD
) -> KnowledgeMap:
    """Put the questions of one model's probes on a map.

    Parameters
    ----------
    paths : sequence of path-like
        Logs of lm_eval, or rows in the released format.
    tasks : sequence of str
        The tasks to read from the logs; without any, all whose documents are multiple-choice questions.
    domain : str, optional
        The domain of released rows.
    threshold : float
        The confidence that an answer must exceed to count as knowledge.

    Returns
    -------
    KnowledgeMap
        Questions of one domain with the same id and text are one question. The first probe labels it; several put it in
        a category. Of a rotated task the rotations together label a question, and each is a probe.

    Raises
    ------
    InputError
        If a probe cannot be read, or holds no questions.
    """
    found, coverage = read_all(paths, tasks, domain, threshold)
    labelled: dict[str, list[Beliefs]] = {}
    probes: dict[str, list[Beliefs | Mapping[int, Beliefs]]] = {}
    for item in found:
        labelled.setdefault(item.domain, []).append(item.beliefs)
        split = item.beliefs if item.rotated is None else split_rotations(item.rotated)
        probes.setdefault(item.domain, []).append(split)
    questions = tuple(
        question for name in sorted(labelled) for question in _questions(name, labelled[name], probes[name])
    )
    return KnowledgeMap(questions, threshold, coverage)


def summary(questions: Sequence[Known]) -> dict[str, Any]:
    """Labels, categories, accuracy and calibration of some questions.

    Parameters
    ----------
    questions : sequence of Known

    Returns
    -------
    dict
        `n`; `labels`, `categories` and `categories_gekhman` (without the correction of rotations): a share with Wilson's 95 %
        interval for each; `known_by_chance`: the share that a model that guesses would have as HighlyKnown or
        MaybeKnown, at most; `accuracy`, likewise;
        `mean_confidence`; `calibration`: for each tenth of confidence that holds questions its bounds, how many, their
        mean confidence, and the share of right answers; `calibration_error`: the mean over the questions of the
        distance between a tenth's confidence and its accuracy (expected calibration error, the plug-in, which is biased
        upwards); `calibration_error_debiased`: an estimate of the same without the bias.
    """
    total = len(questions)
    confidence = np.array([question.confidence for question in questions])
    right = np.array([question.answer == question.gold for question in questions])
    # A tenth holds its upper bound, so that "above 0.5" begins at a boundary.
    tenth = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    bins, error = [], 0.0
    for number in range(BINS):
        inside = tenth == number
        if count := int(inside.sum()):
            mean, hits = float(confidence[inside].mean()), int(right[inside].sum())
            error += abs(count * mean - hits)
            bounds = {"low": number / BINS, "high": (number + 1) / BINS}
            bins.append({**bounds, "n": count, "mean_confidence": mean, "accuracy": wilson(hits, count).to_dict()})
    labels = Counter(question.label for question in questions)
    categories = Counter(question.category for question in questions)
    uncorrected = Counter(question.category_gekhman for question in questions)
    chances = [question.known_by_chance for question in questions if question.known_by_chance is not None]
    several = total - categories[None]
    return {
        "n": total,
        "labels": {name: wilson(labels[name], total).to_dict() for name in LABELS},
        "categories": {name: wilson(categories[name], several).to_dict() for name in CATEGORIES} if several else None,
        "categories_gekhman": {name: wilson(uncorrected[name], several).to_dict() for name in CATEGORIES}
        if several
        else None,
        "known_by_chance": sum(chances) / len(chances) if chances else None,
        "accuracy": wilson(int(right.sum()), total).to_dict(),
        "mean_confidence": float(confidence.mean()),
        "calibration": bins,
        "calibration_error": error / total,
        "calibration_error_debiased": calibration_error(confidence, right, bins=BINS).estimate.to_dict(),
    }


def _questions(
    domain: str, labelled: Sequence[Beliefs], probes: Sequence[Beliefs | Mapping[int, Beliefs]]
) -> Iterator[Known]:
    seen: set[tuple[str | int, str]] = set()
    several = len(probes) > 1 or isinstance(probes[0], Mapping)
    for beliefs in labelled:
        found = categories_of(beliefs, probes) if several else [Categorised(None, None, None)] * len(beliefs)
        for belief, categorised in zip(beliefs, found, strict=True):
            if (belief.id, belief.question) not in seen:
                seen.add((belief.id, belief.question))
                yield Known(
                    id=belief.id,
                    domain=domain,
                    subject=belief.subject,
                    label=belief.label,
                    category=categorised.category,
                    confidence=belief.confidence,
                    answer=belief.answer,
                    gold=belief.gold,
                    category_gekhman=categorised.gekhman,
                    known_by_chance=categorised.known_by_chance,
                )
