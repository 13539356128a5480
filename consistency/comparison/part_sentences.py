"""The parts of a section's change, in words."""

from __future__ import annotations

from collections.abc import Iterator

from consistency.comparison.numbers import interval, nats_of, percent, points_of
from consistency.comparison.section import Section
from consistency.statistics.estimates import Estimate
from consistency.statistics.label_priors import Prior
from consistency.support.text import decimal, p_equals

# In nats: of less KL no parts are shown.
_SMALLEST = 0.001
# A part of the change of accuracy that is not smaller than this share of it belongs into the verdict.
_WORTH_SAYING = 0.25


def part_lines(section: Section) -> Iterator[str]:
    """The parts of accuracy and of KL, and the labels that each run answers; nothing where no options have labels."""
    found = section.decomposition
    if found is None or not found.lettered:
        return
    kind = "letter" if all(len(label) == 1 for prior in found.priors for label in prior.labels) else "label"
    change, prior = (found.estimates[name] for name in ("calibrated_change", "prior_change"))
    if change.value is not None:
        of = f" in {found.lettered} of {found.n} questions" if found.lettered < found.n else ""
        ends = " → ".join(percent(found.estimates[f"calibrated_{when}"].value) for when in ("before", "after"))
        yield (
            f"accuracy corrected for {kind} bias{of} (one offset for each {kind}) {ends}, change {points_of(change)} points; "
            f"change due to {kind} bias {points_of(prior)} points"
        )
        if _excludes_0(change) and not section.decides_nothing:
            yield (
                f"what remains is a change of knowledge, or a {kind} bias that differs between questions: to tell which, "
                "evaluate with consistency eval --rotate TASK"
            )
    yield from _divergence_lines(section, kind)
    plain, calibrated = section.estimates["spearman"].value, found.estimates["spearman_calibrated"]
    if plain is not None and calibrated.value is not None:
        yield f"ranking correlation {plain:.3f}, corrected for {kind} bias {calibrated.value:.3f}{interval(calibrated)}"
    for item in found.priors:
        yield from _prior_lines(item, kind)


def letters_clause(section: Section) -> str:
    """What of a change of accuracy is a shift of letters, where that is much of it; empty elsewhere."""
    found, change = section.decomposition, section.estimates["delta_accuracy"].value
    if section.decides_nothing or found is None or not found.lettered or not change:
        return ""
    if any(prior.is_uneven for prior in found.priors):
        return ""
    left, prior = (found.estimates[name] for name in ("calibrated_change", "prior_change"))
    if prior.value is None or not _excludes_0(prior):
        return ""
    if abs(prior.value) < _WORTH_SAYING * abs(change):
        return ""
    # What is left may be shifts of letters that differ from question to question: only rotations tell.
    return f"of it {points_of(prior)} points are due to letter bias, and {points_of(left)} remain without it"


def _excludes_0(found: Estimate) -> bool:
    return found.ci_low is not None and found.ci_high is not None and not found.ci_low <= 0 <= found.ci_high


def _divergence_lines(section: Section, kind: str) -> Iterator[str]:
    """What explains KL, where there is as much of it as is shown."""
    total, found = section.estimates["kl"].value, section.decomposition
    if total is None or total < _SMALLEST or found is None or found.estimates["kl_rest"].value is None:
        return
    alone = [found.estimates[f"kl_{part}"] for part in ("sharpness", "prior_first")]
    both = (alone[0].value or 0) + (found.estimates["kl_prior"].value or 0)
    yield (
        f"KL {decimal(total, 3)} nats: a temperature alone explains {nats_of(alone[0])}, {kind} offsets alone "
        f"{nats_of(alone[1])}, both together {decimal(both, 3)}; unexplained {nats_of(found.estimates['kl_rest'])}"
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
