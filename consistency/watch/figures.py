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


def pool_of(section: Section) -> Pool:
    """The figures of a section of a comparison; those corrected for letter bias where its options have labels."""
    found = {name: section.estimates[of] for name, of in RAW.items() if of in section.estimates}
    parts = section.decomposition
    if parts is not None and parts.lettered:
        found |= {name: parts.estimates[of] for name, of in CALIBRATED.items() if of in parts.estimates}
    return Pool(section.n, {name: _figure(estimate) for name, estimate in found.items()})


def _figure(estimate: Estimate) -> Number:
    return Number(estimate.value, estimate.ci_low, estimate.ci_high, estimate.n)
