"""An estimate of each measure, from one number per question."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from consistency.metrics.measures import MEASURE, MEASURES, Measure
from consistency.statistics.estimates import Estimate
from consistency.statistics.means import MOST_VALUES, mean, means, root_mean_square, root_of
from consistency.statistics.sampling import Labels
from consistency.statistics.shares import rate
from consistency.statistics.tails import bounded_means, doubted
from consistency.support.arrays import Floats

_ESTIMATORS: dict[str, Callable[..., Estimate]] = {"mean": mean, "root mean square": root_mean_square, "rate": rate}


def cut(found: Estimate, bounds: tuple[float, float]) -> Estimate:
    """An estimate whose interval ends at the bounds."""
    if found.ci_low is None or found.ci_high is None or (found.ci_low >= bounds[0] and found.ci_high <= bounds[1]):
        return found
    return replace(found, ci_low=max(found.ci_low, bounds[0]), ci_high=min(found.ci_high, bounds[1]))


def estimates_of(
    values: Mapping[str, Floats], reaches: Mapping[str, tuple[float, float]], labels: Labels
) -> dict[str, Estimate]:
    """An estimate of each measure from one number per question.

    Parameters
    ----------
    values : dict of str to ndarray, shape [n]
        By the name of the measure.
    reaches : dict of str to tuple of float
        The smallest and largest value that a question could have, of the measures of which that is known: their intervals
        allow for questions that were not seen. Of zeros and ones the interval is that of a share; others have the caveat
        "rare" where it is due.
    labels : dict
        What was sampled, as `mean` takes it.
    """
    shares = {name for name, x in values.items() if is_share(MEASURE[name], x)}
    others = [
        name for name in values if name not in reaches and name not in shares and MEASURE[name].estimator == "mean"
    ]
    n = len(values[next(iter(values))])
    plain: dict[str, Estimate] = {}
    for names in batches(others, n):
        if all(given is None for given in labels.values()):
            plain |= zip(names, means([values[name] for name in names]), strict=True)
        else:
            plain |= {name: mean(values[name], **labels) for name in names}
    found = {
        name: cut(item if name == "delta_accuracy" else doubted(item, *MEASURE[name].bounds), MEASURE[name].bounds)
        for name, item in plain.items()
    }
    for name in values:
        if name not in found and (name in shares or name not in reaches):
            how = rate if name in shares else _ESTIMATORS[MEASURE[name].estimator]
            found[name] = cut(how(values[name], **labels), MEASURE[name].bounds)
    for left in batches([name for name in values if name not in found], n):
        squared = [MEASURE[name].estimator == "root mean square" for name in left]
        bounded = bounded_means(
            [values[name] ** 2 if square else values[name] for name, square in zip(left, squared, strict=True)],
            [
                (0.0, max(end**2 for end in reaches[name])) if square else reaches[name]
                for name, square in zip(left, squared, strict=True)
            ],
            **labels,
        )
        found |= {
            name: root_of(item) if square else item for name, square, item in zip(left, squared, bounded, strict=True)
        }
    return {name: found[name] for name in values}


def batches(names: Sequence[str], n: int) -> Iterator[Sequence[str]]:
    """Names of measures of n questions, as many together as are estimated at once."""
    most = max(1, MOST_VALUES // max(n, 1))
    return (names[start : start + most] for start in range(0, len(names), most))


def reaches_of(least_likely: Iterable[tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The reach of each measure that has one, over several tasks with their `MeasuredTask.least_likely`."""
    before, after = np.max(list(least_likely), axis=0).tolist()
    return {measure.name: measure.reach(before, after) for measure in MEASURES if measure.reach is not None}


def is_share(measure: Measure, values: Floats) -> bool:
    """Whether all values of a measure between 0 and 1 are 0 or 1."""
    if measure.estimator != "mean" or measure.bounds != (0.0, 1.0):
        return False
    return are_whole(values)


def are_whole(values: Floats) -> bool:
    """Whether all known values are 0 or 1."""
    return bool(((values == 0) | (values == 1) | ~np.isfinite(values)).all())
