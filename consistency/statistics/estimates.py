"""A number with its uncertainty, and what its interval is of, was made by and cannot promise."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

Unit = Literal["question", "stratum", "cluster", "question cluster", "question cluster in stratum", "both", "run"]
Method = Literal[
    "t",
    "t-hall",
    "t-cr3",
    "t-cr1",
    "t-jackknife",
    "t-crossed",
    "score",
    "wilson",
    "exact",
    "bounded",
    "trimmed",
    "welch",
    "normal",
    "bca",
    "bootstrap-t",
    "gaps",
    "folded",
    "mover",
    "noncentral",
    "run variance",
    "fit",
    "partial pooling",
    "none",
]
# What an interval cannot promise, or why there is none.
Caveat = Literal[
    "no values",
    "missing group",
    "too few",
    "too large",
    "constant",
    "skewed",
    "rare",
    "uneven",
    "few units",
    "few clusters",
    "uneven labels",
]
_UNITS = {
    "question": "questions",
    "stratum": "questions within fixed tasks",
    "cluster": "whole tasks",
    "question cluster": "clusters of questions",
    "question cluster in stratum": "clusters of questions within fixed tasks",
    "both": "whole tasks and clusters of questions",
    "run": "training runs and the questions that all of them answered",
}
_METHODS = {
    "t": "t interval",
    "t-hall": "t interval corrected for skewness (Hall 1992)",
    "t-cr3": "t interval with the CR3 variance",
    "t-cr1": "t interval with the CR1 variance",
    "t-jackknife": "t interval with the jackknife's variance",
    "t-crossed": "t interval over runs and questions (Banerjee 1960)",
    "score": "score interval of paired shares (Tango 1998)",
    "wilson": "Wilson's interval",
    "exact": "exact interval (Clopper and Pearson 1934)",
    "bounded": "interval that allows for unseen values up to the largest possible (Gaffke 2005)",
    "trimmed": "t interval of a trimmed mean (Yuen 1974)",
    "welch": "Welch's interval",
    "normal": "normal interval",
    "bca": "BCa bootstrap interval",
    "bootstrap-t": "symmetric bootstrap-t interval",
    "gaps": "interval of a sum of absolute gaps, which covers 95 % or more",
    "folded": "score interval of a sum of absolute means, with their noise taken out (folded normal)",
    "mover": "interval from the ends of both (MOVER)",
    "noncentral": "interval of a noncentral χ² distribution",
    "run variance": "interval with the variance between runs (Banerjee 1960)",
    "fit": "t intervals of a fit to all questions and of that to the others, from the lower end of one to the upper of the other",
    "partial pooling": "interval of a hierarchical normal model with Stein's harmonic prior (Morris and Tang 2011)",
    "none": "no interval",
}
CAVEATS: dict[Caveat, str] = {
    "no values": "no question has a value",
    "missing group": "one of the means has no value or no interval",
    "too few": "too few of them for an interval",
    "too large": "values too large for a variance",
    "constant": "the values do not vary, and the interval has no width for that",
    "skewed": "skewed values: it covers less than 95 %",
    "rare": "too few questions to exclude rare ones with much larger values, which would move it beyond the interval",
    "uneven": "few of them, with values in few steps: it covers more or less than 95 %",
    "few units": "few of them: it covers less than 95 %",
    "few clusters": "few of them: the interval is wide, and covers 95 % only if they are alike in size and spread",
    "uneven labels": "the right answers are uneven over the letters, which makes the number mislead",
}


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty.

    Attributes
    ----------
    value, se, ci_low, ci_high : float or None
        The estimate, its standard error and the ends of its interval; None where the data do not determine it.
    n : int
        Observations that entered.
    df : float or None
        Degrees of freedom of a t interval.
    effective_n : float or None
        Of shares whose questions are not sampled one by one: how many independent questions would say as much.
    undefined : int
        Observations without a finite value, which did not enter.
    statistic : str
        What is estimated: "mean", "root mean square", "share", "mean of the tasks", "difference", ...
    unit : {"question", "stratum", "cluster", "question cluster", "question cluster in stratum", "both", "run"}
        What was taken as sampled: questions; the questions within fixed tasks; whole tasks; clusters of questions, such as
        those of one passage; such clusters within fixed tasks; whole tasks and clusters of questions that cross them; training
        runs, and the questions that all of them answered.
    method : str
        How the interval was made; "none" where there is none.
    warnings : tuple of str
        What the interval cannot promise, or why there is none.
    """

    value: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    n: int
    df: float | None = None
    undefined: int = 0
    statistic: str = "mean"
    unit: Unit = "question"
    method: Method = "none"
    warnings: tuple[Caveat, ...] = ()
    effective_n: float | None = None

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero; False where there is none."""
        return self.ci_low is not None and self.ci_high is not None and not self.ci_low <= 0 <= self.ci_high

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        found = asdict(self) | {"warnings": list(self.warnings)}
        if self.effective_n is None:
            del found["effective_n"]
        return found

    def describe(self) -> str:
        """What was estimated, over what, and how the interval was made.

        Examples
        --------
        >>> from consistency.statistics.means import mean
        >>> mean([0.0, 1.0, 2.0, 3.0, 4.0]).describe()
        'mean over questions, t interval'
        """
        return "; ".join(
            [
                f"{self.statistic} over {_UNITS[self.unit]}, {_METHODS[self.method]}",
                *(CAVEATS[caveat] for caveat in self.warnings),
            ]
        )

    def scaled(self, factor: float) -> Estimate:
        """The estimate times a factor, such as 100 for percentage points; a negative one exchanges the ends.

        Examples
        --------
        >>> from consistency.statistics.means import mean
        >>> mean([0.0, 1.0]).scaled(100).value
        50.0
        """

        def times(x: float | None) -> float | None:
            return None if x is None else x * factor

        low, high = times(self.ci_low), times(self.ci_high)
        return replace(
            self,
            value=times(self.value),
            se=None if self.se is None else abs(self.se * factor),
            ci_low=low if factor >= 0 else high,
            ci_high=high if factor >= 0 else low,
        )


def without_interval(
    value: float | None,
    n: int,
    *warnings: Caveat,
    undefined: int = 0,
    statistic: str = "mean",
    unit: Unit = "question",
) -> Estimate:
    """An estimate whose data determine no interval.

    Examples
    --------
    >>> without_interval(None, 0, "no values").describe()
    'mean over questions, no interval; no question has a value'
    """
    return Estimate(value, None, None, None, n, None, undefined, statistic, unit, "none", warnings)
