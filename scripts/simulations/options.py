"""Draws of what concerns options: calibration, favoured letters, knowledge by chance."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from scipy.special import betaincinv

from consistency.knowledge.categories import categorise, favours_gold
from consistency.metrics.answers import CALIBRATION_BINS, calibration_bins
from consistency.metrics.selection_bias import OptionCounts, OptionShift
from consistency.statistics.calibration import calibration_change, calibration_error
from consistency.statistics.selection_bias import preferences, shifts
from consistency.support.arrays import Floats, Integers
from simulations.draws import Table, within

LIMIT = 0.05
POPULATION = 20_000


@cache
def population(options: int, sharp: bool) -> Floats:
    """Confidences of all questions: evenly between 1/k and 1, or most of them above .95."""
    share = (np.arange(POPULATION) + 0.5) / POPULATION
    return np.asarray(1 / options + (1 - 1 / options) * (betaincinv(8, 0.3, share) if sharp else share))


@cache
def accuracy(options: int, sharp: bool, off: float, up_and_down: bool = False) -> tuple[Floats, float]:
    """Each question's chance of a right answer, the confidence less `off`, and the true expected calibration error."""
    confidence = population(options, sharp)
    which = calibration_bins(confidence)
    sign = np.where(which % 2 == 0, 1, -1) if up_and_down else 1
    right = np.clip(confidence - sign * off, 0, 1)
    gaps = np.bincount(which, weights=confidence - right, minlength=CALIBRATION_BINS)
    return right, float(np.abs(gaps).sum() / POPULATION)


SITUATIONS = {
    "calibrated, 4 options": (4, False, 0.0),
    "over-confident by 5 points, 4 options": (4, False, 0.05),
    "over-confident by 10 points, 4 options": (4, False, 0.1),
    "off by 10 points up and down, 4 options": (4, False, 0.1, True),
    "calibrated, 2 options, most above .95": (2, True, 0.0),
    "over-confident by 5 points, 2 options, most above .95": (2, True, 0.05),
    "calibrated, 10 options": (10, False, 0.0),
    "over-confident by 10 points, 10 options, most above .95": (10, True, 0.1),
}
CHANGES = {
    "change, from calibrated to over-confident by 10 points, 4 options": ((4, False, 0.0), (4, False, 0.1)),
    "change, none of over-confidence by 10 points, 4 options": ((4, False, 0.1), (4, False, 0.1)),
    "change, none of a calibrated model, most above .95": ((4, True, 0.0), (4, True, 0.0)),
}


def of_calibration(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Intervals of the expected calibration error, then of its change, of two runs that agree in most answers."""
    found = []
    for situation in SITUATIONS.values():
        right, truth = accuracy(*situation)
        asked = rng.integers(0, POPULATION, n)
        answers = (rng.random(n) < right[asked]) * 1.0
        error = calibration_error(population(*situation[:2])[asked], answers).estimate
        found.append(within(error.ci_low, truth, error.ci_high))
    for before, after in CHANGES.values():
        asked, u = rng.integers(0, POPULATION, n), rng.random(n)
        again = np.where(rng.random(n) < 0.8, u, rng.random(n))
        sides = []
        for situation, drawn in ((before, u), (after, again)):
            confidence = population(*situation[:2])[asked]
            sides.append((confidence, (drawn < accuracy(*situation)[0][asked]) * 1.0))
        truth = accuracy(*after)[1] - accuracy(*before)[1]
        change = calibration_change(*sides).delta
        found.append(within(change.ci_low, truth, change.ci_high))
    return tuple(found)


def by_calibration(rng: np.random.Generator, n: int) -> tuple[bool, ...]:
    """Alarms of `ece > 5 %`: by the plug-in and surely of a calibrated model, surely at the limit and beyond it."""
    found: list[bool] = []
    for situation in ((4, False, 0.0), (4, False, 0.05), (4, True, 0.05), (4, False, 0.1), (4, True, 0.1)):
        right, truth = accuracy(*situation)
        asked = rng.integers(0, POPULATION, n)
        error = calibration_error(population(*situation[:2])[asked], (rng.random(n) < right[asked]) * 1.0)
        if not truth:
            found.append(error.plug_in is not None and error.plug_in > LIMIT)
        found.append(error.estimate.ci_low is not None and error.estimate.ci_low > LIMIT)
    return tuple(found)


def answered(rng: np.random.Generator, gold: Integers, options: int, right: float, preferring: float = 0.0) -> Integers:
    """Answers of a model that knows a share of the questions, and in a share of all answers the last option but one."""
    wrong = (gold + rng.integers(1, options, len(gold))) % options
    answers = np.where(rng.random(len(gold)) < right, gold, wrong)
    return np.where(rng.random(len(gold)) < preferring, max(options - 2, 0), answers)


def tasks(rng: np.random.Generator, n: int, kind: str) -> Iterator[tuple[Integers, int, float]]:
    """The gold options of each task, its number of options and the share that the model knows."""
    if kind == "even":
        yield rng.integers(0, 4, n), 4, 0.6
    elif kind == "uneven":
        yield rng.choice(4, n, p=[0.4, 0.3, 0.2, 0.1]), 4, 0.6
    elif kind == "two":
        yield rng.choice(2, n, p=[0.62, 0.38]), 2, 0.8
    else:
        third = n // 3
        yield rng.choice(4, third, p=[0.7, 0.1, 0.1, 0.1]), 4, 0.95
        yield rng.choice(4, third, p=[0.1, 0.1, 0.1, 0.7]), 4, 0.3
        yield rng.integers(0, 5, n - 2 * third), 5, 0.6


def by_letters(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """No preference, with even and uneven gold letters and several tasks; preferences; shifts with a gain of accuracy."""
    counts = []
    for kind, preferring in (
        ("even", 0.0),
        ("uneven", 0.0),
        ("two", 0.0),
        ("several", 0.0),
        ("even", 0.05),
        ("even", 0.2),
    ):
        found = OptionCounts()
        for gold, options, right in tasks(rng, n, kind):
            found.add_task(np.eye(options)[answered(rng, gold, options, right, preferring)], gold)
        counts.append(found)
    moves = []
    for kind, preferring in (("uneven", 0.0), ("several", 0.0), ("even", 0.1)):
        shift = OptionShift()
        for gold, options, right in tasks(rng, n, kind):
            before = answered(rng, gold, options, right)
            after = answered(rng, gold, options, min(right + 0.15, 1.0), preferring)
            after = np.where(rng.random(len(gold)) < 0.6, before, after)
            shift.add_task(np.eye(options)[before], np.eye(options)[after], gold)
        moves.append(shift)
    p = [*(found.p for found in preferences(counts)), *(found.p for found in shifts(moves))]
    return tuple(None if value is None else value < 0.05 for value in p)


def of_answers(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Intervals of the share of answers that would have to be others, and of that which moved between options."""
    sides, moves = [], []
    for kind, preferring in (("even", 0.0), ("several", 0.0), ("even", 0.05), ("even", 0.2)):
        counts, shift = OptionCounts(), OptionShift()
        for gold, options, right in tasks(rng, n, kind):
            before = answered(rng, gold, options, right)
            after = answered(rng, gold, options, min(right + 0.15, 1.0), preferring)
            counts.add_task(np.eye(options)[after], gold)
            shift.add_task(np.eye(options)[before], np.eye(options)[after], gold)
        sides.append((counts, 0.75 * preferring))
        moves.append((shift, 0.75 * preferring))
    gold = rng.integers(0, 10, n)
    ten = OptionCounts()
    ten.add_task(np.eye(10)[answered(rng, gold, 10, 0.1, 0.1)], gold)
    sides.append((ten, 0.9 * 0.1))
    biases = preferences([counts for counts, _ in sides])
    shifted = shifts([shift for shift, _ in moves])
    found = [(each.bias_estimate, truth) for each, (_, truth) in zip(biases, sides, strict=True)]
    found += [(each.moved_estimate, truth) for each, (_, truth) in zip(shifted, moves, strict=True)]
    return tuple(None if each is None else within(each.ci_low, truth, each.ci_high) for each, truth in found)


def of_repeated_answers(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Intervals of the share of answers that moved between options, where each question is asked five times."""
    moves = []
    for preferring in (0.0, 0.05, 0.2):
        gold, shift = rng.integers(0, 4, n // 5), OptionShift()
        sides = answered(rng, gold, 4, 0.6), answered(rng, gold, 4, 0.75, preferring)
        before, after, right, names = (np.repeat(each, 5) for each in (*sides, gold, np.arange(n // 5)))
        shift.add_task(np.eye(4)[before], np.eye(4)[after], right, names)
        moves.append((shift, 0.75 * preferring))
    found = [each.moved_estimate for each in shifts([shift for shift, _ in moves])]
    return tuple(
        None if each is None else within(each.ci_low, truth, each.ci_high)
        for each, (_, truth) in zip(found, moves, strict=True)
    )


def of_recalls(rng: np.random.Generator, n: int) -> tuple[bool | None, ...]:
    """Intervals of RStd."""
    found = []
    for options, right, preferring in ((4, 0.7, 0.0), (4, 0.7, 0.1), (4, 0.7, 0.3), (2, 0.7, 0.1), (10, 0.1, 0.1)):
        gold = rng.integers(0, options, n)
        counts = OptionCounts()
        counts.add_task(np.eye(options)[answered(rng, gold, options, right, preferring)], gold)
        recalls = right * (1 - preferring) + preferring * (np.arange(options) == max(options - 2, 0))
        rstd = preferences([counts])[0].rstd
        found.append(within(rstd.ci_low, float(recalls.std()), rstd.ci_high))
    return tuple(found)


def by_guesses(rng: np.random.Generator, k: int) -> tuple[bool, ...]:
    """Categories of a question that was asked in all its rotations, by models without knowledge and with some."""
    found: list[bool] = []
    gold = np.stack([np.roll(np.eye(k)[0], -r) for r in range(k)])
    third = np.eye(k)[min(2, k - 1)]
    noise = rng.normal(size=(5, k, k))
    for logits in (4 * third + 0.3 * noise[0], noise[1], 30 * noise[2], 1.5 * np.eye(k)[0] + noise[3]):
        found += _known(logits, gold)
    return (*found, *_known(3 * gold + noise[4], gold))


def _known(logits: Floats, gold: Floats) -> tuple[bool, bool, bool]:
    """Whether a question is HighlyKnown, is MaybeKnown or WeaklyKnown, and is so by Gekhman's rule."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    square = odds / odds.sum(axis=1, keepdims=True)
    k = len(square)
    of_gold = (square * gold).sum(axis=1)
    columns = (of_gold == square.max(axis=1))[:, None], of_gold[:, None], np.array([k])
    (corrected,) = categorise(*columns, favours_gold(square[None]).astype(np.float64))
    (plain,) = categorise(*columns)
    some = ("MaybeKnown", "WeaklyKnown")
    return corrected == "HighlyKnown", corrected in some, plain in some


_WITHOUT = ("always C, with noise", "guesses evenly", "guesses evenly and surely", "guesses, A more often")
TABLES: dict[str, Table] = {
    "Coverage of 95 % intervals of the expected calibration error, by number of questions": (
        (100, 500, 1_000, 14_042),
        [(of_calibration, (*SITUATIONS, *CHANGES))],
    ),
    "Alarms of `ece > 5 %`, by number of questions": (
        (100, 500, 1_000, 14_042),
        [
            (
                by_calibration,
                (
                    "calibrated, plug-in (false alarm)",
                    "calibrated, surely (false alarm)",
                    "over-confident by 5 points, surely (false alarm)",
                    "over-confident by 5 points, most above .95, surely (false alarm)",
                    "over-confident by 10 points, surely",
                    "over-confident by 10 points, most above .95, surely",
                ),
            )
        ],
    ),
    "Rejection at 5 % of no preference for a letter and of no shift, by number of questions": (
        (60, 500, 14_042),
        [
            (
                by_letters,
                (
                    "none, even gold letters",
                    "none, gold letters 40, 30, 20 and 10 %",
                    "none, 2 options, gold letters 62 and 38 %",
                    "none, 3 tasks of other accuracies and gold letters",
                    "a letter in 5 % of the answers",
                    "a letter in 20 % of the answers",
                    "no shift, accuracy gains, gold letters 40, 30, 20 and 10 %",
                    "no shift, accuracy gains, 3 tasks",
                    "shift to a letter in 10 % of the answers that change",
                ),
            )
        ],
    ),
    "Coverage of 95 % intervals of RStd, by number of questions": (
        (60, 500, 14_042),
        [
            (
                of_recalls,
                (
                    "no preference, 4 options",
                    "a letter in 10 % of the answers, 4 options",
                    "a letter in 30 % of the answers, 4 options",
                    "a letter in 10 % of the answers, 2 options",
                    "a letter in 10 % of the answers, 10 options, no knowledge",
                ),
            )
        ],
    ),
    "Coverage of 95 % intervals of the share of answers that favour a letter, and that moved, by number of questions": (
        (60, 500, 14_042),
        [
            (
                of_answers,
                (
                    "no preference, 4 options",
                    "no preference, 3 tasks of other accuracies and gold letters",
                    "a letter in 5 % of the answers, 4 options",
                    "a letter in 20 % of the answers, 4 options",
                    "a letter in 10 % of the answers, 10 options, no knowledge",
                    "no shift, 4 options",
                    "no shift, accuracy gains, 3 tasks",
                    "shift to a letter in 5 % of the answers",
                    "shift to a letter in 20 % of the answers",
                ),
            ),
            (
                of_repeated_answers,
                (
                    "no shift, each question asked 5 times",
                    "shift to a letter in 5 % of the answers, each question asked 5 times",
                    "shift to a letter in 20 % of the answers, each question asked 5 times",
                ),
            ),
        ],
    ),
    "Knowledge by chance in all rotations of a question, by number of options": (
        (2, 3, 4, 5, 10),
        [
            (
                by_guesses,
                tuple(
                    f"{model}: {category}"
                    for model in (*_WITHOUT, "knows")
                    for category in ("HighlyKnown", "MaybeKnown or WeaklyKnown", "the same without correction")
                ),
            )
        ],
    ),
}
