"""Two runs' accuracy with and without the prior of the options' labels; what a temperature and the labels explain of KL and JS.

A model that is trained may answer A more often whatever is asked, or be surer of the same answers. Accuracy is compared with and
without the prior of the labels (`without_prior`); how much of KL and JS a temperature and offsets of the labels explain is found
by fitting them (`divergences_by_question`). Arrays in, estimates out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from consistency.statistics.accuracy_by_question import CHANGES, SHARES, Parts, parts_by_question
from consistency.statistics.answered import Answered
from consistency.statistics.divergences_by_question import DIVERGENCES, FITTED, Divergences
from consistency.statistics.estimates import Estimate
from consistency.statistics.fitted_means import (
    change_by_influence,
    fitted_mean,
    ranking_without_prior,
    share_by_influence,
    units_of,
)
from consistency.statistics.label_priors import Prior, prior_of
from consistency.statistics.means import mean
from consistency.statistics.sampling import Labels
from consistency.support.arrays import Floats

_ALONE = Labels(strata=None, tasks=None, clusters=None)


@dataclass(frozen=True)
class Decomposition:
    """The parts of what changed between two runs.

    Attributes
    ----------
    n, lettered : int
        Questions, and those whose options stand behind labels.
    estimates : dict of str to Estimate
        Accuracies of the best option and their changes as fractions, divergences in nats: `calibrated_before`,
        `calibrated_after`, and their difference `calibrated_change`, which with `prior_change` adds up to the change of
        accuracy; `calibrated_harmful` and `calibrated_beneficial`, the shares of the answers without the prior that turn from
        right to wrong and from wrong to right; `kl_sharpness` (what one temperature explains), `kl_prior` (what an offset of
        each label explains besides) and `kl_rest`, which add up to KL(before || after), as do `kl_prior_first` (what offsets
        alone explain), `kl_sharpness_last` (what a temperature explains besides) and `kl_rest`; `kl_calibrated`, what offsets
        alone leave: the sum of the last two; the same of `js`, at the fits of KL; `spearman_calibrated`. What is
        fitted is fitted to the other questions, whatever is sampled: only intervals depend on that. Questions of a kind with
        fewer than `FEWEST` have no parts.
    plug_in : dict of str to float
        The same numbers with everything fitted to all questions, and `batch_before` and `batch_after`, the accuracies by batch
        calibration as published.
    temperature : float or None
        By which the second run's scores are divided to come nearest to the first's; None with several kinds of options.
    priors : tuple of Prior
        Of the labels, for each kind of them.
    """

    n: int
    lettered: int
    estimates: Mapping[str, Estimate]
    plug_in: Mapping[str, float]
    temperature: float | None
    priors: tuple[Prior, ...]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"estimates": {name: found.to_dict() for name, found in self.estimates.items()}}


def decompose(groups: Sequence[Answered], labels: Labels) -> Decomposition:
    """The parts of what changed, over kinds of questions that have labels of their own.

    Parameters
    ----------
    groups : sequence of Answered
    labels : dict
        What was sampled, as `mean` takes it, for the questions of all groups in their order.

    Returns
    -------
    Decomposition

    Notes
    -----
    Each interval allows for the estimation of the offsets: that of accuracies by their influence on the share of right answers;
    those of divergences are of a minimum, on which an error of the fit has no influence of first order, and reach from what is
    found by the fit to all questions to what is found by that to the others.

    A temperature and offsets explain a divergence together; what each explains depends on which is fitted first, and both orders
    are given. Only their sum and the rest are identified.

    Examples
    --------
    >>> from consistency.metrics.distributions import log_probabilities
    >>> rng = np.random.default_rng(0)
    >>> before = log_probabilities(rng.normal(0, 2, (800, 4)))
    >>> gold = np.eye(4, dtype=bool)[[rng.choice(4, p=np.exp(row)) for row in before]]
    >>> found = decompose([Answered(before, before + [3.0, 0, 0, 0], gold)], Labels(strata=None, tasks=None, clusters=None))
    >>> [round(100 * found.estimates[name].value, 1) for name in ("calibrated_change", "prior_change")]
    [0.0, -16.6]
    """
    return decomposition_of(groups, parts_by_question(groups, labels), labels)


def decomposition_of(groups: Sequence[Answered], parts: Parts, labels: Labels) -> Decomposition:
    """The parts of what changed, with those of accuracy of each question; parameters as in `decompose`."""
    lettered = [group for group in groups if group.lettered]
    priors = tuple(filter(None, map(prior_of, lettered)))
    widest = max((group.before.shape[1] for group in lettered), default=1)
    crossed = parts.crossed
    estimates = _of_accuracy(parts, priors, labels)
    ranking = ranking_without_prior(crossed["spearman_calibrated"], parts.rougher, labels)
    plug_in = {name: _known_mean(x) for name, x in parts.plug_in.items()}
    # As large as the logs of many questions, and not needed for what follows.
    del parts, crossed
    divergences = Divergences(groups, labels)
    alone = divergences if labels["tasks"] is None and labels["clusters"] is None else Divergences(groups, _ALONE)
    for name in DIVERGENCES:
        columns = divergences.parts(name, crossed=False)
        of_all = {part: mean(columns[part], **labels, always_corrected=True) for part in FITTED}
        plug_in |= {f"{name}_{part}": _known_mean(columns[part]) for part in FITTED}
        del columns
        columns = divergences.parts(name, crossed=True)
        of_others = {part: mean(columns[part], **labels, always_corrected=True) for part in FITTED}
        known = {part: units_of(columns[part], labels) for part in FITTED}
        if alone is not divergences:
            columns = alone.parts(name, crossed=True)
        values = {part: _known_mean(columns[part]) for part in FITTED}
        del columns
        for part, fitted in FITTED.items():
            count = widest - 1 if fitted == "offsets" else int(fitted == "factor")
            value = values[part]
            found = replace(fitted_mean(of_others[part], of_all[part], count, known[part]), value=value)
            if value is not None and found.ci_low is not None and found.ci_high is not None:
                # The fit to the other tasks or clusters may end a little above that to the other questions.
                found = replace(found, ci_low=min(found.ci_low, value), ci_high=max(found.ci_high, value))
            if fitted in divergences.both_ways and found.ci_low is not None:
                found = replace(found, ci_low=min(found.ci_low, 0.0))
            if name == "kl" and found.ci_low is not None and found.value is not None:
                # Of all questions neither KL nor what the best fit takes from it can be negative.
                found = replace(found, ci_low=max(found.ci_low, min(found.value, 0.0)))
            estimates[f"{name}_{part}"] = found
    estimates["spearman_calibrated"] = ranking
    order = (*SHARES, *CHANGES, *(f"{name}_{part}" for name in DIVERGENCES for part in FITTED), *plug_in)
    return Decomposition(
        n=sum(map(len, groups)),
        lettered=sum(map(len, lettered)),
        estimates=estimates,
        plug_in={name: value for name in dict.fromkeys(order) if (value := plug_in[name]) is not None},
        temperature=1 / divergences.factor if divergences.factor else None,
        priors=priors,
    )


def accuracy_parts(groups: Sequence[Answered], labels: Labels) -> tuple[dict[str, Estimate], Parts]:
    """The parts of the change of accuracy alone, and their numbers by question; parameters as in `decompose`."""
    parts = parts_by_question(groups, labels)
    priors = tuple(filter(None, (prior_of(group) for group in groups if group.lettered)))
    return _of_accuracy(parts, priors, labels), parts


def _of_accuracy(parts: Parts, priors: Sequence[Prior], labels: Labels) -> dict[str, Estimate]:
    """The estimates of the parts of accuracy, with the caveat of labels that are unevenly right."""
    crossed, influence = parts.crossed, parts.influence
    estimates = {
        **{name: change_by_influence(crossed[name], influence[name], labels) for name in CHANGES},
        **{name: share_by_influence(crossed[name], influence[name], labels) for name in SHARES},
    }
    if any(prior.is_uneven for prior in priors):
        return {name: replace(found, warnings=(*found.warnings, "uneven labels")) for name, found in estimates.items()}
    return estimates


def _known_mean(x: Floats) -> float | None:
    """The mean of the finite numbers; None without any."""
    known = np.isfinite(x)
    return float(x[known].mean()) if known.any() else None
