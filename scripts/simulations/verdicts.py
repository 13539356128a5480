"""Draws of what a comparison says of accuracy: the largest changes, false verdicts, tests of no change and of equivalence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from consistency.comparison.pairing import PairingReport
from consistency.comparison.section import MetricChange, Section
from consistency.comparison.sentences import ALPHA, ALPHA_OF_DIFFERENCES, ALPHA_OF_TASKS, conclusion
from consistency.statistics.estimates import Estimate
from consistency.statistics.hypotheses import benjamini_hochberg, equivalence, holm, mcnemar_exact, sign_flip_test
from consistency.statistics.means import mean, means
from consistency.statistics.paired_shares import differing_changes, equivalence_of_shares, paired_change
from consistency.statistics.selection import selected_confidence
from consistency.support.arrays import Floats
from simulations.draws import SIZES, Table, covers, differences, rejects, seed_of, sizes_of

QUESTIONS = 250
METRIC = "exact_match"


def of_largest_changes(rng: np.random.Generator, m: int) -> tuple[float, ...]:
    """Of the ten tasks whose accuracy changed most, the share of the intervals that hold, at 95 % each and adjusted."""
    sizes, outcomes, chosen = sizes_of(m, equal=False) * 10, [], min(10, m)
    for spread, outlier in ((0.0, 0.0), (0.03, 0.0), (0.0, -0.15)):
        truth = rng.normal(0, spread, m).clip(-0.2, 0.2)
        truth[0] += outlier
        turning = np.maximum(rng.uniform(0.02, 0.3, m), np.abs(truth) + 0.005)
        lost, won, _ = np.transpose(
            [
                rng.multinomial(n, [(t - d) / 2, (t + d) / 2, 1 - t])
                for n, t, d in zip(sizes, turning, truth, strict=True)
            ]
        )
        most = np.argsort(-np.abs(won - lost) / sizes, kind="stable")[:chosen]
        for confidence in (0.95, selected_confidence(chosen, m)):
            held = [covers(paired_change(int(lost[i]), int(won[i]), int(sizes[i]), confidence), truth[i]) for i in most]
            outcomes.append(float(np.mean(held)))
    return tuple(outcomes)


def by_verdicts(rng: np.random.Generator, tasks: int) -> tuple[bool, ...]:
    """What a verdict finds where nothing changed.

    Over all questions, in a task (Holm), in differences between tasks, by another filter, by another metric; anything. Every
    task has two more filters and two more metrics, whose changes are correlated by .5 with those of the answers that count.
    """
    rate = float(rng.choice([0.02, 0.1, 0.4]))
    change = _turned(rng, rate, (tasks, QUESTIONS))
    lost, won = (change < 0).sum(axis=1), (change > 0).sum(axis=1)
    counts = int(lost.sum()), int(won.sum())
    p, pooled = mcnemar_exact(*counts), paired_change(*counts, QUESTIONS * tasks)
    overall = p < ALPHA and not covers(pooled, 0)
    each = holm([mcnemar_exact(*pair) for pair in zip(lost.tolist(), won.tolist(), strict=True)])
    differ = differing_changes(lost, won, np.full(tasks, QUESTIONS))
    found = [overall, bool(each.min() < ALPHA_OF_TASKS), differ is not None and differ < ALPHA_OF_DIFFERENCES]
    plain = [
        _section(f"task {i}", _change_of(row), p_holm=own)
        for i, (row, own) in enumerate(zip(change, each.tolist(), strict=True))
    ]
    section = replace(
        _section("overall", pooled),
        sign_flip_p=p,
        heterogeneity_p=differ,
        flips={"harmful": counts[0], "beneficial": counts[1], "wrong_to_wrong": 0},
    )
    # What speaks against the first words is what the verdict says besides, by its own levels.
    alone = len(_clauses(section, plain))
    filters = [[_change_of(row) for row in _alike(rng, change, rate, 0.5)] for _ in range(2)]
    with_filters = [
        replace(
            task,
            other_filters={
                f"filter {i}": replace(_section(task.name, other), metrics={METRIC: _metric(other)})
                for i, other in enumerate(others)
            },
        )
        for task, *others in zip(plain, *filters, strict=True)
    ]
    # One is right or wrong, too; the other, such as F1, changes by a part of 1, which costs it some of its correlation.
    whole = [_change_of(row) for row in _alike(rng, change, rate, 0.5)]
    parts = means([*(_alike(rng, change, rate, 3**-0.5) * rng.random(change.shape))])
    with_metrics = [
        replace(task, metrics={"whole": _metric(one), "parts": _metric(other)})
        for task, one, other in zip(plain, whole, parts, strict=True)
    ]
    found += [len(_clauses(section, own)) > alone for own in (with_filters, with_metrics)]
    return *found, any(found)


def _turned(rng: np.random.Generator, rate: float, shape: tuple[int, ...]) -> Floats:
    """Changes of answers that are right or wrong: so many turn, half of them each way."""
    u = rng.random(shape)
    return (u < rate / 2).astype(float) - (u > 1 - rate / 2)


def _alike(rng: np.random.Generator, change: Floats, rate: float, correlation: float) -> Floats:
    """Changes with the same distribution, and this correlation with the given ones."""
    return np.where(rng.random(change.shape) < correlation, change, _turned(rng, rate, change.shape))


def _change_of(change: Floats) -> Estimate:
    return _paired_change(int((change < 0).sum()), int((change > 0).sum()))


@cache
def _paired_change(lost: int, won: int) -> Estimate:
    """Of one task; few pairs of counts occur often."""
    return paired_change(lost, won, QUESTIONS)


def _metric(delta: Estimate) -> MetricChange:
    return MetricChange(delta, delta, delta, higher_is_better=True)


def _section(name: str, change: Estimate, p_holm: float | None = None) -> Section:
    """What a verdict reads of a task, or of all of them."""
    return Section(
        name=name,
        n=change.n,
        estimates={"delta_accuracy": change, "accuracy_before": change, "accuracy_after": change},
        pairing=PairingReport(change.n),
        equivalence_p=None,
        minimum_detectable_change=None,
        p_holm=p_holm,
        accuracy_metric=METRIC,
    )


def _clauses(section: Section, tasks: Sequence[Section]) -> tuple[str, ...]:
    return conclusion(section, 1.0, tasks, [task.name for task in tasks])


def by_questions(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Tests over questions, and adjustments of that many tests."""
    x, _ = differences(rng, np.ones(4 * n, dtype=np.int64))
    p = rng.random(n)
    return (
        rejects(mcnemar_exact(int((x < 0).sum()), int((x > 0).sum()))),
        rejects(sign_flip_test(rng.normal(size=n), resamples=999, seed=seed_of(rng))),
        rejects(holm(p).min()),
        rejects(benjamini_hochberg(p).min()),
    )


def of_margins(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Equivalence where exactly the margin of 10 and of 2 points is lost, with few flips besides; and tasks that change alike."""
    found = []
    for margin in (0.1, 0.02):
        lost, won, _ = rng.multinomial(n, [margin + 0.003, 0.003, 0.994 - margin])
        found.append(equivalence_of_shares(int(lost), int(won), n, margin) < 0.05)
    flipping = rng.uniform(0.02, 0.3, n)
    sizes = sizes_of(n, equal=False) * 4
    turned = np.array(
        [rng.multinomial(m, [f / 2 + 0.005, f / 2 - 0.005, 1 - f]) for m, f in zip(sizes, flipping, strict=True)]
    )
    p = differing_changes(turned[:, 0], turned[:, 1], sizes)
    return (*found, p is not None and p < 0.05)


def by_subjects(rng: np.random.Generator, g: int) -> tuple[bool, ...]:
    """Tests over subjects; the true change is the margin of equivalence."""
    x, subject = differences(rng, sizes_of(g, equal=False))
    flipped = sign_flip_test(x, clusters=subject, resamples=999, seed=seed_of(rng))
    moved, subject = differences(rng, sizes_of(g, equal=False), shift=0.05)
    return rejects(flipped), rejects(equivalence(mean(moved, tasks=subject), 0.05))


TABLES: dict[str, Table] = {
    "Coverage of the intervals of the ten largest changes of accuracy, by number of tasks": (
        (10, 57, 122),
        [
            (
                of_largest_changes,
                tuple(
                    f"{truth}, {kind}"
                    for truth in ("no task changed", "all changed", "one changed by 15 points")
                    for kind in ("95 % each", "adjusted for the choice (the default)")
                ),
            )
        ],
    ),
    "What the verdict finds where nothing changed, by number of tasks of 250 questions": (
        (2, 5, 57, 122),
        [
            (
                by_verdicts,
                (
                    "a change of accuracy over all questions",
                    "a change in some task",
                    "tasks that change differently",
                    "another filter",
                    "another metric",
                    "any of these",
                ),
            )
        ],
    ),
    "Rejection of a true null at 5 %, by number of questions, subjects or tests": (
        SIZES,
        [
            (
                by_questions,
                (
                    "exact McNemar (4 questions for each)",
                    "sign-flip test, questions",
                    "Holm, any of that many tests",
                    "Benjamini-Hochberg, any of that many tests",
                ),
            ),
            (
                of_margins,
                (
                    "equivalence of shares at a margin of 10 points",
                    "equivalence of shares at a margin of 2 points",
                    "tasks that change alike, with other shares of flips (Cochran's Q)",
                ),
            ),
            (by_subjects, ("sign-flip test, unequal subjects", "equivalence (TOST) at its margin, unequal subjects")),
        ],
    ),
}
