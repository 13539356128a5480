"""The parts of a section's change, in words."""

from __future__ import annotations

from collections.abc import Iterator

from consistency.comparison.numbers import interval, nats_of, points_of
from consistency.comparison.section import Section
from consistency.statistics.decomposition import Prior
from consistency.statistics.estimates import Estimate
from consistency.support.text import decimal, p_equals

# A part of the change of accuracy that is not smaller than this share of it belongs into the verdict.
_WORTH_SAYING = 0.25


def part_lines(section: Section) -> Iterator[str]:
    """The parts of accuracy and of KL, and the labels that each run answers; nothing where no options have labels."""
    found = section.decomposition
    if found is None or not found.lettered:
        return
    labels = "letters" if all(len(label) == 1 for prior in found.priors for label in prior.labels) else "labels"
    change, prior = (found.estimates[name] for name in ("calibrated_change", "prior_change"))
    if change.value is not None:
        of = f"in {found.lettered} of {found.n} questions " if found.lettered < found.n else ""
        ends = " → ".join(_percent(found.estimates[f"calibrated_{when}"].value) for when in ("before", "after"))
        yield (
            f"without the {labels}' prior {of}(one number for each) accuracy is {ends}: {points_of(change)} points; the prior "
            f"adds {points_of(prior)} points"
        )
        if _excludes_0(change):
            yield (
                f"what is left without the prior is a change of knowledge, or {labels} that moved differently from question to "
                "question: answers in all rotations tell"
            )
    total = section.estimates["kl"]
    if found.estimates["kl_rest"].value is not None and total.value is not None:
        temperature, letters, rest = (nats_of(found.estimates[f"kl_{part}"]) for part in ("sharpness", "prior", "rest"))
        first, last = (
            decimal(found.estimates[f"kl_{part}"].value or 0, 3) for part in ("prior_first", "sharpness_last")
        )
        yield (
            f"of KL {decimal(total.value, 3)} nats a temperature explains {temperature}, one number for each of the {labels} "
            f"{letters} more (these first: {first}, a temperature {last} more), neither of them {rest}"
        )
    plain, calibrated = section.estimates["spearman"].value, found.estimates["spearman_calibrated"]
    if plain is not None and calibrated.value is not None:
        yield f"ranking correlation {plain:.3f}, without the {labels}' prior {calibrated.value:.3f}{interval(calibrated)}"
    for item in found.priors:
        yield from _prior_lines(item, labels)


def verdict_clause(section: Section) -> str:
    """What of a change of accuracy is a shift of letters, where that is much of it; empty elsewhere."""
    found, change = section.decomposition, section.estimates["delta_accuracy"].value
    if found is None or not found.lettered or not change or any(prior.is_uneven for prior in found.priors):
        return ""
    left, prior = (found.estimates[name] for name in ("calibrated_change", "prior_change"))
    if prior.value is None or not _excludes_0(prior):
        return ""
    if abs(prior.value) < _WORTH_SAYING * abs(change):
        return ""
    # What is left may be shifts of letters that differ from question to question: only rotations tell.
    return f"; of it {points_of(prior)} points are a shift of the letters' prior, and {points_of(left)} are left without it"


def _excludes_0(found: Estimate) -> bool:
    return found.ci_low is not None and found.ci_high is not None and not found.ci_low <= 0 <= found.ci_high


def _prior_lines(prior: Prior, labels: str) -> Iterator[str]:
    shares = (
        f"{label} {_percent(before)} → {_percent(after)}"
        for label, before, after in zip(prior.labels, prior.before, prior.after, strict=True)
    )
    yield f"mean probability of the {labels}: {', '.join(shares)}"
    if prior.is_uneven:
        gold = ", ".join(f"{label} {_percent(share)}" for label, share in zip(prior.labels, prior.gold, strict=True))
        p = "" if prior.even_p is None else f" ({p_equals(prior.even_p)})"
        yield (
            f"the right answers are uneven over the {labels}{p}: {gold}; a model that knows them answers as unevenly: the "
            "two parts of the change of accuracy mislead"
        )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
