"""The parts of a section's change, in words."""

from __future__ import annotations

from collections.abc import Iterator

from consistency.comparison.numbers import percent, points_of, with_interval
from consistency.comparison.section import Section
from consistency.statistics.label_priors import Prior
from consistency.support.text import decimal, p_equals

# In nats: of less KL no parts are shown.
_SMALLEST = 0.001
# Of fewer questions uneven gold letters are not always found.
_MANY_ENOUGH = 300
# An interval that is longer than so many standard errors on one side is so for what was not seen.
_LONG = 5
# A part of the change of accuracy that is not smaller than this share of it belongs into the verdict.
_WORTH_SAYING = 0.25


def part_lines(section: Section) -> Iterator[str]:
    """The parts of accuracy and of KL, and the labels that each run answers; where no options have labels KL alone."""
    found = section.decomposition
    if found is None:
        return
    if not found.lettered:
        if kl := _kl(section):
            yield kl
        return
    kind = "letter" if all(len(label) == 1 for prior in found.priors for label in prior.labels) else "label"
    change, prior = (found.estimates[name] for name in ("calibrated_change", "prior_change"))
    if change.value is not None:
        of = f" in {found.lettered:,} of {found.n:,} questions" if found.lettered < found.n else ""
        ends = " → ".join(percent(found.estimates[f"calibrated_{when}"].value) for when in ("before", "after"))
        # So the change need not lie between those of the tasks, each of which has offsets of its own.
        same = ", the same in all tasks" if section.of_tasks > 1 else ""
        same += f" with these {kind}s" if same and len(found.priors) > 1 else ""
        yield (
            f"accuracy corrected for {kind} bias{of} (one offset for each {kind}{same}) {ends}, change {points_of(change)} "
            f"points; change due to {kind} bias {points_of(prior)} points"
        )
        if change.excludes_zero and not section.decides_nothing:
            yield (
                f"what remains is a change of knowledge, or a {kind} bias that differs between questions: to tell which, "
                "evaluate with consistency eval --rotate TASK"
            )
    yield from _divergence_lines(section, kind)
    plain, calibrated = section.estimates["spearman"], found.estimates["spearman_calibrated"]
    if plain.value is not None and calibrated.value is not None:
        yield f"ranking correlation {with_interval(plain)}, corrected for {kind} bias {with_interval(calibrated)}"
    for item in found.priors:
        yield from _prior_lines(item, kind)


def letters_clause(section: Section) -> str:
    """What of a change of accuracy is a shift of letters, where that is much of it; empty elsewhere."""
    found, change = section.decomposition, section.estimates["delta_accuracy"].value
    if section.decides_nothing or found is None or not found.lettered or not change:
        return ""
    left, prior = (found.estimates[name] for name in ("calibrated_change", "prior_change"))
    if prior.value is None or not prior.excludes_zero or abs(prior.value) < _WORTH_SAYING * abs(change):
        return ""
    if "uneven labels" in prior.warnings:
        uneven = [
            (share, label)
            for each in found.priors
            if each.is_uneven
            for share, label in zip(each.gold, each.labels, strict=True)
        ]
        share, label = max(uneven, default=(None, ""))
        which = f": {label} in {percent(share)}" if label else ""
        return (
            f"how much of it is letter bias cannot be told, since the right answers are uneven over the letters{which}"
        )
    # What is left may be shifts of letters that differ from question to question: only rotations tell.
    return f"of it {points_of(prior)} points are due to letter bias, and {points_of(left)} remain without it"


def _divergence_lines(section: Section, kind: str) -> Iterator[str]:
    """KL and what explains it, where there is as much of it as is shown."""
    total, found = _kl(section), section.decomposition
    if not total or found is None or found.estimates["kl_rest"].value is None:
        return
    temperature, offsets, rest = (
        with_interval(found.estimates[f"kl_{part}"]) for part in ("sharpness", "prior_first", "rest")
    )
    yield (
        f"{total}: a temperature alone explains {temperature}, {kind} offsets alone {offsets}; both together leave {rest} "
        "unexplained"
    )


def _kl(section: Section) -> str:
    """KL with its interval; empty where there is less than is shown."""
    total = section.estimates["kl"]
    return "" if total.value is None or total.value < _SMALLEST else f"KL {with_interval(total)} nats"


def trimmed_lines(section: Section) -> Iterator[str]:
    """The mean of the middle of KL, where the interval of its mean is long for questions that were not seen."""
    mean, trimmed = section.estimates.get("kl"), (section.trimmed or {}).get("kl")
    if mean is None or mean.value is None or mean.ci_high is None or trimmed is None or trimmed.ci_low is None:
        return
    if mean.se is None or mean.ci_high - mean.value <= _LONG * mean.se or not _kl(section):
        return
    largest = "" if section.kl_largest is None else f" (up to {decimal(section.kl_largest['kl'], 1)} nats each)"
    yield (
        f"KL's interval allows for rare questions with much larger values{largest}, which so few questions do not exclude; "
        f"trimmed mean {with_interval(trimmed)}"
    )


def _prior_lines(prior: Prior, kind: str) -> Iterator[str]:
    shares = (
        f"{label} {percent(before)} → {percent(after)} ({percent(gold)})"
        for label, before, after, gold in zip(prior.labels, prior.before, prior.after, prior.gold, strict=True)
    )
    yield f"mean probability of each {kind}, and how often it is gold: {', '.join(shares)}"
    if prior.is_uneven:
        p = "" if prior.even_p is None else f" ({p_equals(prior.even_p)})"
        yield (
            f"the gold {kind}s are uneven{p}; a model that knows the answers is uneven, too: the two parts of the change of "
            "accuracy mislead"
        )
    elif prior.n < _MANY_ENOUGH:
        yield (
            f"with fewer than some {_MANY_ENOUGH} questions uneven gold {kind}s may not be found; the two parts of the change of "
            "accuracy then mislead"
        )
