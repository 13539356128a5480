"""The parts of a section's change, in words."""

from __future__ import annotations

from collections.abc import Iterator

from consistency.comparison.section import Section
from consistency.metrics.selection_bias import option_name
from consistency.statistics.decomposition import Prior
from consistency.statistics.estimates import Estimate
from consistency.support.text import decimal, p_equals

# The right answers are uneven where the test says so and this share of them would have to move.
_UNEVEN, _ALPHA = 0.05, 0.01
# A part of the change of accuracy that is not smaller than this share of it belongs into the verdict.
_WORTH_SAYING = 0.25


def part_lines(section: Section) -> Iterator[str]:
    """The parts of accuracy and of KL, and the labels that each run answers; nothing where no options have labels."""
    found = section.decomposition
    if found is None or not found.lettered:
        return
    knowledge, prior = (found.estimates[name] for name in ("knowledge_change", "prior_change"))
    if knowledge.value is not None:
        of = f"in {found.lettered} of {found.n} questions " if found.lettered < found.n else ""
        ends = " → ".join(_percent(found.estimates[f"calibrated_{when}"].value) for when in ("before", "after"))
        yield (
            f"the change of accuracy is knowledge {_points(knowledge)} points and the prior of the letters {_points(prior)} "
            f"points; without that prior {of}accuracy is {ends}"
        )
    total = section.estimates["kl"]
    if found.estimates["kl_rest"].value is not None and total.value is not None:
        sharpness, letters, rest = (_nats(found.estimates[f"kl_{part}"]) for part in ("sharpness", "prior", "rest"))
        yield f"KL {decimal(total.value, 3)} nats is sharpness {sharpness}, prior of the letters {letters} and contents {rest}"
    plain, calibrated = section.estimates["spearman"].value, found.estimates["spearman_calibrated"]
    if plain is not None and calibrated.value is not None:
        yield f"ranking correlation {plain:.3f}, without the prior of the letters {calibrated.value:.3f}{_interval(calibrated)}"
    for item in found.priors:
        yield from _prior_lines(item)


def verdict_clause(section: Section) -> str:
    """What of a change of accuracy is a shift of letters, where that is much of it; empty elsewhere."""
    found, change = section.decomposition, section.estimates["delta_accuracy"].value
    if found is None or not found.lettered or not change or any(map(is_uneven, found.priors)):
        return ""
    knowledge, prior = (found.estimates[name] for name in ("knowledge_change", "prior_change"))
    if prior.value is None or prior.ci_low is None or prior.ci_high is None or prior.ci_low <= 0 <= prior.ci_high:
        return ""
    if abs(prior.value) < _WORTH_SAYING * abs(change):
        return ""
    # What is left may be shifts of letters that differ from question to question: only rotations tell.
    return f"; of it {_points(prior)} points are a shift of the letters' prior, and {_points(knowledge)} are left without it"


def is_uneven(prior: Prior) -> bool:
    """Whether the right answers are so uneven over the labels that to make the answers even misleads."""
    known = prior.even_p is not None and prior.even_p < _ALPHA
    return len(prior.gold) > 1 and known and _distance(prior.gold) >= _UNEVEN


def _distance(shares: tuple[float, ...]) -> float:
    return sum(abs(share - 1 / len(shares)) for share in shares) / 2


def _prior_lines(prior: Prior) -> Iterator[str]:
    shares = (
        f"{option_name(number)} {_percent(before)} → {_percent(after)}"
        for number, (before, after) in enumerate(zip(prior.before, prior.after, strict=True))
    )
    yield f"mean probability of the letters: {', '.join(shares)}"
    if is_uneven(prior):
        gold = ", ".join(f"{option_name(number)} {_percent(share)}" for number, share in enumerate(prior.gold))
        p = "" if prior.even_p is None else f" ({p_equals(prior.even_p)})"
        yield (
            f"the right answers are uneven over the letters{p}: {gold}; a model that knows them answers as unevenly, and what is "
            "said of knowledge and of the letters' prior misleads"
        )


def _points(found: Estimate) -> str:
    if found.value is None:
        return "–"
    return f"{decimal(100 * found.value, 2, '+')}{_interval(found, 100, 2, '+')}"


def _nats(found: Estimate) -> str:
    return "–" if found.value is None else f"{decimal(found.value, 3)}{_interval(found)}"


def _interval(found: Estimate, scale: float = 1.0, digits: int = 3, sign: str = "") -> str:
    if found.ci_low is None or found.ci_high is None:
        return ""
    return f" [{decimal(scale * found.ci_low, digits, sign)}, {decimal(scale * found.ci_high, digits, sign)}]"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"
