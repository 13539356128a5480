"""The figures of a step: those of a comparison with the baseline, by the names that they have in `drift.jsonl`."""

from __future__ import annotations

from consistency.comparison.section import Section
from consistency.statistics.estimates import Estimate
from consistency.watch.rows import Number, Pool

# Of a comparison's estimates, and of its parts where options stand behind letters.
RAW = {
    "accuracy": "accuracy_after",
    "change": "delta_accuracy",
    "harmful_flips": "harmful_flips",
    "beneficial_flips": "beneficial_flips",
    "kl": "kl",
    "spearman": "spearman",
}
CALIBRATED = {
    "accuracy_calibrated": "calibrated_after",
    "change_calibrated": "calibrated_change",
    "change_by_letters": "prior_change",
    "harmful_flips_calibrated": "calibrated_harmful",
    "beneficial_flips_calibrated": "calibrated_beneficial",
    "kl_calibrated": "kl_calibrated",
    "spearman_calibrated": "spearman_calibrated",
}


# Figures that are of one run, not of a step beside the baseline.
_ALONE = ("accuracy", "accuracy_calibrated")


def pool_of(section: Section, *, is_baseline: bool = False) -> Pool:
    """The figures of a section of a comparison; those corrected for letter bias where its options have labels.

    Parameters
    ----------
    section : Section
    is_baseline : bool
        Whether a step is compared with itself: what changed is then 0 without an interval.
    """
    found = {name: section.estimates[of] for name, of in RAW.items() if of in section.estimates}
    parts = section.decomposition
    if parts is not None and parts.lettered:
        found |= {name: parts.estimates[of] for name, of in CALIBRATED.items() if of in parts.estimates}
    return Pool(
        section.n,
        {name: _number(estimate, exact=is_baseline and name not in _ALONE) for name, estimate in found.items()},
    )


def _number(estimate: Estimate, *, exact: bool) -> Number:
    ends = (None, None) if exact else (estimate.ci_low, estimate.ci_high)
    return Number(estimate.value, *ends, estimate.n)
