"""What conditions, policies and choices of tasks are about: numbers of a section, each with an interval at any confidence."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from consistency.comparison.section import Section
from consistency.errors import InputError
from consistency.metrics.measures import MEASURES, Measure, Unit
from consistency.statistics.estimates import Estimate, without_interval
from consistency.statistics.intervals import at_confidence, quantile
from consistency.statistics.paired_shares import paired_change, turned
from consistency.statistics.shares import clopper_pearson, score_interval
from consistency.statistics.tails import allowing_unseen

# A metric of the harness, by its own name.
_METRIC = re.compile(r"metric (?P<name>.+) (?P<which>before|after|change)")
_UNITS = {"percent": "%", "point": "points", "nat": "nats"}


@dataclass(frozen=True)
class Quantity:
    """A number of a section that a condition may be about.

    Attributes
    ----------
    name : str
        Of a measure, or of what is derived from one.
    aliases : tuple of str
        Further names.
    unit : {"%", "points", "nats", ""}
        What its numbers may be given in. Those in % or points are fractions of 1 otherwise.
    source : callable
        From a section to the estimate that it holds; None where the section lacks it.
    negated : bool
        Whether it is that estimate with the other sign.
    is_p : bool
        Whether it is the p of a test.
    has_interval : bool
        Whether it is an estimate; quantiles and p-values have no interval, and shares of ties only where questions are the
        unit.
    bounds : tuple of float
        Its smallest and largest possible value.
    """

    name: str
    aliases: tuple[str, ...]
    unit: Unit
    source: Callable[[Section], Estimate | None]
    has_interval: bool = True
    bounds: tuple[float, float] = (-math.inf, math.inf)
    negated: bool = False
    is_p: bool = False

    @property
    def scale(self) -> float:
        """The factor from its values to its unit."""
        return 100.0 if self.unit in ("%", "points") else 1.0

    def find(self, section: Section) -> Estimate | None:
        """The estimate of a section as it is printed; None where the section lacks it."""
        return self._signed(self.source(section))

    def at(self, section: Section, confidence: float = 0.95) -> Estimate | None:
        """The estimate of a section with the interval by which conditions, policies and choices judge it.

        Parameters
        ----------
        section : Section
        confidence : float

        Returns
        -------
        Estimate or None
            Of a share of a count whose questions are the unit with Clopper and Pearson's interval, else with that of the section
            made wider or narrower; as long as questions that were not seen could make it, and no longer than its bounds.
        """
        found = self.source(section)
        if found is None:
            return None
        found = self._signed(_at(found, confidence))
        return None if found is None else self.cut(allowing_unseen(found, *self.bounds, confidence))

    def cut(self, found: Estimate) -> Estimate:
        """An estimate whose interval ends where its values do."""
        if found.ci_low is None or found.ci_high is None:
            return found
        low, high = self.bounds
        return replace(found, ci_low=max(found.ci_low, low), ci_high=min(found.ci_high, high))

    def _signed(self, found: Estimate | None) -> Estimate | None:
        return found.scaled(-1.0) if self.negated and found is not None else found


def _at(found: Estimate, confidence: float) -> Estimate:
    """An estimate with an interval of this confidence, exact where it is of a count of questions."""
    if found.value is None or found.ci_low is None or found.ci_high is None:
        return found
    if found.method in ("wilson", "exact") and found.effective_n is None:
        share = clopper_pearson(round(found.value * found.n), found.n, confidence)
        return replace(found, ci_low=share.ci_low, ci_high=share.ci_high, method="exact")
    if confidence == 0.95:
        return found
    df = None if found.effective_n is None else found.df
    if found.method == "score":
        wide = paired_change(*turned(found), found.n, confidence, effective_n=found.effective_n, df=df)
        return replace(found, ci_low=wide.ci_low, ci_high=wide.ci_high)
    if found.method == "wilson":
        of = found.effective_n or found.n
        low, high = score_interval(found.value, of, quantile(confidence, df if found.se else None))
        return replace(found, ci_low=low, ci_high=high)
    return at_confidence(found, confidence)


def _of_measure(measure: Measure) -> Callable[[Section], Estimate | None]:
    def find(section: Section) -> Estimate | None:
        return section.estimates.get(measure.name)

    return find


def _of_calibration(when: str) -> Callable[[Section], Estimate | None]:
    def find(section: Section) -> Estimate | None:
        return None if section.ece_debiased is None else section.ece_debiased[when]

    return find


def _of_parts(name: str) -> Callable[[Section], Estimate | None]:
    def find(section: Section) -> Estimate | None:
        return None if section.decomposition is None else section.decomposition.estimates.get(name)

    return find


def _number(name: str, unit: Unit, field: str, key: str = "", *, always: bool = False, is_p: bool = False) -> Quantity:
    """A number without an interval: a field of a section, or what the field holds by a key."""

    def find(section: Section) -> Estimate | None:
        found = getattr(section, field)
        if key and found is not None:
            return without_interval(found[key], section.n)
        # Where it is known which answers are right, a test without a result is undefined, not absent.
        absent = found is None and not always and (key or section.flips is None)
        return None if absent else without_interval(found, section.n)

    bounds = (0.0, 1.0) if is_p else (0.0, math.inf)
    return Quantity(name, (), unit, find, has_interval=False, bounds=bounds, is_p=is_p)


def _tie_rate(section: Section) -> Estimate | None:
    """The share of questions with tied options after; with an interval where questions are the unit."""
    if section.ties is None:
        return None
    right = section.estimates["accuracy_after"]
    count = clopper_pearson(section.ties["after"], section.n)
    found = without_interval(count.share, section.n, statistic="share")
    if right.unit != "question" or section.weighting is not None:
        return found
    return replace(found, ci_low=count.ci_low, ci_high=count.ci_high, method="exact")


def _of_metric(metric: str, which: str) -> Callable[[Section], Estimate | None]:
    wanted = _plain(metric)

    def find(section: Section) -> Estimate | None:
        found = next((each for name, each in (section.metrics or {}).items() if _plain(name) == wanted), None)
        return None if found is None else {"before": found.before, "after": found.after, "change": found.delta}[which]

    return find


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").split())


_FIND = {measure.name: _of_measure(measure) for measure in MEASURES}
QUANTITIES = (
    *(Quantity(m.name, (m.title.lower(), *m.aliases), m.unit, _FIND[m.name], bounds=m.bounds) for m in MEASURES),
    Quantity("accuracy_drop", (), "points", _FIND["delta_accuracy"], bounds=(-1.0, 1.0), negated=True),
    Quantity("gold_probability_drop", (), "points", _FIND["delta_gold"], bounds=(-1.0, 1.0), negated=True),
    Quantity("ece_before", (), "%", _of_calibration("before"), bounds=(0.0, 1.0)),
    Quantity("ece_after", ("ece", "calibration error"), "%", _of_calibration("after"), bounds=(0.0, 1.0)),
    Quantity("ece_change", ("delta ece",), "points", _of_calibration("delta"), bounds=(-1.0, 1.0)),
    Quantity("calibrated_change", (), "points", _of_parts("calibrated_change"), bounds=(-1.0, 1.0)),
    Quantity("calibrated_drop", (), "points", _of_parts("calibrated_change"), bounds=(-1.0, 1.0), negated=True),
    Quantity("prior_change", (), "points", _of_parts("prior_change"), bounds=(-2.0, 2.0)),
    Quantity("calibrated_after", ("calibrated accuracy",), "%", _of_parts("calibrated_after"), bounds=(0.0, 1.0)),
    Quantity("calibrated_harmful", (), "%", _of_parts("calibrated_harmful"), bounds=(0.0, 1.0)),
    Quantity("calibrated_beneficial", (), "%", _of_parts("calibrated_beneficial"), bounds=(0.0, 1.0)),
    Quantity("kl_sharpness", (), "nats", _of_parts("kl_sharpness")),
    Quantity("kl_prior", (), "nats", _of_parts("kl_prior")),
    Quantity("kl_prior_first", (), "nats", _of_parts("kl_prior_first")),
    Quantity("kl_sharpness_last", (), "nats", _of_parts("kl_sharpness_last")),
    Quantity("kl_rest", (), "nats", _of_parts("kl_rest"), bounds=(0.0, math.inf)),
    Quantity("kl_calibrated", (), "nats", _of_parts("kl_calibrated"), bounds=(0.0, math.inf)),
    Quantity("spearman_calibrated", (), "", _of_parts("spearman_calibrated"), bounds=(-1.0, 1.0)),
    _number("kl_p95", "nats", "kl_quantiles", "p95"),
    _number("kl_p99", "nats", "kl_quantiles", "p99"),
    Quantity("tie_rate_after", ("tie rate",), "%", _tie_rate, has_interval=False, bounds=(0.0, 1.0)),
    _number("mcnemar_p", "", "mcnemar_p", is_p=True),
    _number("sign_flip_p", "", "sign_flip_p", is_p=True),
    _number("equivalence_p", "", "equivalence_p", always=True, is_p=True),
)
_NAMES = {name.replace("_", " "): item for item in QUANTITIES for name in (item.name.lower(), *item.aliases)}


def quantity_named(text: str) -> Quantity:
    """The quantity of a name, in any case, with spaces or underscores.

    Parameters
    ----------
    text : str
        Of one of `QUANTITIES`, or `metric NAME change`, also `before` and `after`: a metric of the harness in its own unit.

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> quantity_named("metric word_perplexity change").unit
    ''
    """
    name = _plain(text)
    if metric := _METRIC.fullmatch(name):
        return Quantity(name, (), "", _of_metric(metric["name"], metric["which"]))
    if name not in _NAMES:
        known = ", ".join(item.name.replace("_", " ") for item in QUANTITIES)
        raise InputError(
            f"no measure {name!r}", expected=f"metric NAME change, for a metric of the harness, or one of {known}"
        )
    return _NAMES[name]


def read_number(quantity: Quantity, number: str, unit: str | None) -> float:
    """A number of a quantity, with its unit or as a fraction of 1, in the quantity's own numbers.

    Raises
    ------
    InputError
        If it is not finite, in another unit, not clearly a fraction of 1, or beyond the quantity's bounds.
    """
    value, given = float(number.replace("−", "-")), (unit or "").lower()
    if not math.isfinite(value):
        raise InputError(f"{number} is not a finite number", expected="a number")
    given = _UNITS.get(given, given)
    if given not in ("", quantity.unit):
        own = f"a number in {quantity.unit}" if quantity.unit else "a number without a unit"
        raise InputError(f"{quantity.name.replace('_', ' ')} is not in {given}", expected=own)
    # "> 1" may mean a hundredth or the whole.
    if not given and quantity.scale > 1 and abs(value) >= 1:
        own = f'"{value:g} {quantity.unit}" or {value / quantity.scale:g}'
        raise InputError(f"{value:g} is not a fraction of 1", expected=own)
    value = value / quantity.scale if given else value
    low, high = quantity.bounds
    if not low <= value <= high:
        # A limit that is always passed, or never, judges nothing.
        least, most = (f"{end * quantity.scale:g}" for end in (low, high))
        range_ = f"{least} to {most}" if math.isfinite(high) else f"{least} or more"
        raise InputError(
            f"{quantity.name.replace('_', ' ')} is never {value * quantity.scale:g}",
            expected=f"{range_} {quantity.unit}".rstrip(),
        )
    return value
