"""Draws of what a comparison says of accuracy: the largest changes, false verdicts, tests of no change and of equivalence."""

from __future__ import annotations

import numpy as np

from consistency.comparison.sentences import ALPHA, ALPHA_OF_DIFFERENCES, ALPHA_OF_TASKS
from consistency.statistics.hypotheses import benjamini_hochberg, equivalence, holm, mcnemar_exact, sign_flip_test
from consistency.statistics.means import mean
from consistency.statistics.paired_shares import differing_changes, equivalence_of_shares, paired_change
from consistency.statistics.selection import selected_confidence
from simulations.draws import SIZES, Table, covers, differences, rejects, seed_of, sizes_of


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
    """What a verdict finds where nothing changed: in all questions, in a task (Holm), in differences between tasks; anything."""
    rate, n = float(rng.choice([0.02, 0.1, 0.4])), 250
    lost, won = rng.multinomial(n, [rate / 2, rate / 2, 1 - rate], tasks)[:, :2].T
    counts = int(lost.sum()), int(won.sum())
    overall = mcnemar_exact(*counts) < ALPHA and not covers(paired_change(*counts, n * tasks), 0)
    each = holm([mcnemar_exact(*pair) for pair in zip(lost.tolist(), won.tolist(), strict=True)]).min()
    p = differing_changes(lost, won, np.full(tasks, n))
    differ = 1.0 if p is None else p
    anything = overall or each < ALPHA_OF_TASKS or differ < ALPHA_OF_DIFFERENCES
    return overall, bool(each < ALPHA_OF_TASKS), differ < ALPHA_OF_DIFFERENCES, bool(anything)


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
