"""Estimates over training runs that all answered the same questions: runs and questions are both sampled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from consistency.statistics.estimates import Estimate, Method
from consistency.statistics.hypotheses import t_test
from consistency.statistics.intervals import quantile
from consistency.statistics.roots import root
from consistency.statistics.sampling import numbered
from consistency.statistics.task_means import mean_of_means
from consistency.support.arrays import Bools, Floats, Integers

LEAST_P = 1e-99
NORMAL_DF = 1e6
# Intervals over questions whose arms are kept.
_OWN_ARMS: tuple[Method, ...] = ("bounded", "fit")


@dataclass(frozen=True)
class Variances:
    """What moves a mean over training runs and questions, as variances of the mean.

    Attributes
    ----------
    questions : float
        Of the mean over questions, the runs as they are.
    questions_df : float
        Its degrees of freedom.
    runs : float
        Of the mean over runs, the questions as they are.
    runs_df : float
        Its degrees of freedom: the runs of a recipe less one, over several recipes by Satterthwaite (1946).
    cells : float
        Of what is neither a question's nor a run's own: the part that both of the others contain.
    """

    questions: float
    questions_df: float
    runs: float
    runs_df: float
    cells: float

    def half_width(self, alpha: float) -> float:
        """Half the width of the interval with confidence 1 - alpha: no less than that over questions or runs alone.

        Examples
        --------
        >>> parts = Variances(questions=1.0, questions_df=1e6, runs=0.0, runs_df=2, cells=0.0)
        >>> round(parts.half_width(0.05), 2), round(Variances(0.0, 1e6, 1.0, 2, 0.0).half_width(0.05), 2)
        (1.96, 4.3)
        """
        own = max(self.questions - self.cells, 0.0)
        return math.sqrt(
            float(_square(self.questions, self.questions_df, own, np.array(self.runs), np.array(self.runs_df), alpha))
        )

    @property
    def total(self) -> float:
        """V_runs + V_questions - V_cells, and no less than either of the first two."""
        return max(self.runs + self.questions - self.cells, self.runs, self.questions)


def _square(questions: float, questions_df: float, own: float, runs: Floats, runs_df: Floats, alpha: float) -> Floats:
    """Half the width of the interval, squared."""
    from scipy.special import stdtrit

    over_questions = float(stdtrit(questions_df, alpha / 2)) ** 2
    both = over_questions * own + np.asarray(stdtrit(runs_df, alpha / 2)) ** 2 * runs
    return np.maximum(both, over_questions * questions)


@dataclass(frozen=True)
class CrossedMean:
    """A mean over runs and questions, and the test that goes with its interval.

    Attributes
    ----------
    estimate : Estimate
        Its `df` are those with which Student's interval of this `se` is the interval.
    p : float or None
        Of "the mean is 0": the largest level at which the interval of that confidence holds 0.
    variances : Variances or None
        None where there is no interval.
    """

    estimate: Estimate
    p: float | None
    variances: Variances | None


def crossed_mean(
    samples: Sequence[Floats], question: Integers, stratum: Integers, recipe: ArrayLike, confidence: float = 0.95
) -> CrossedMean:
    """Mean of several training runs' means, each with the same weight: what other seeds and other questions would change.

    Parameters
    ----------
    samples : sequence of ndarray
        One number per question for each run, such as right or wrong, or the difference of two groups' runs with one seed.
        Values that are not finite do not enter.
    question, stratum : ndarray of int64
        As for `mean_of_means`.
    recipe : array_like, shape [len(samples)]
        What each run is a run of, such as its domain. Runs of one recipe differ by their seed; recipes are fixed.
    confidence : float
        Of the interval.

    Returns
    -------
    CrossedMean
        With the interval of `mean_of_means`, over questions alone, where a recipe has a single run.

    Notes
    -----
    With A the variance of the mean over questions, R that over runs and C that of single answers, which both contain,
    A - C is the questions' own. Banerjee's (1960) interval ± √(z² (A - C) + t² R), with t of the runs' few degrees of
    freedom, covers at least as often as it says whatever the share of either. Satterthwaite's degrees of freedom for
    R + A - C, estimated from two or three runs, would find differences in 12 and 7 % of null cases instead of 5; over
    several recipes t has Satterthwaite's of the recipes' variances, which err where one recipe's runs alone vary.

    References
    ----------
    Banerjee (1960), Approximate confidence interval for linear functions of means of k populations when the population
    variances are not equal. Sankhya 22, 357-358. Cameron, Gelbach and Miller (2011), Robust inference with multiway
    clustering. J. Business & Economic Statistics 29, 238-249.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> answers = rng.random(200) + 0.01 * rng.random((3, 200))
    >>> runs = [row + luck for row, luck in zip(answers, (0.0, 0.1, 0.2))]
    >>> found = crossed_mean(runs, np.tile(np.arange(200), 3), np.zeros(200, dtype=int), ["a", "a", "a"])
    >>> round(found.estimate.se, 3), round(found.estimate.df, 1)
    (0.061, 2.1)
    """
    over_questions = mean_of_means(samples, question, stratum)
    recipes = np.unique(np.asarray(recipe), return_inverse=True)[1].reshape(-1)
    if len(recipes) != len(samples):
        raise ValueError(f"expected one recipe per run, got {len(recipes)} for {len(samples)}")
    if over_questions.value is None or over_questions.se is None or over_questions.df is None:
        return CrossedMean(over_questions, None, None)
    if np.bincount(recipes).min() < 2:
        return CrossedMean(over_questions, t_test(over_questions), None)
    ends = np.cumsum([len(x) for x in samples])[:-1]
    rows = np.split(np.asarray(question), ends)
    parts, cells = [], 0.0
    for code in range(int(recipes.max()) + 1):
        members = [index for index in range(len(samples)) if recipes[index] == code]
        share = len(members) / len(samples)
        own = np.array([float(np.nanmean(_finite(samples[index]))) for index in members])
        parts.append((share**2 * float(own.var(ddof=1)) / len(members), len(members) - 1))
        cells += share**2 * _of_cells(
            [samples[index] for index in members], [rows[index] for index in members], stratum
        )
    return _over_both(over_questions, parts, cells, confidence)


def over_runs(
    found: Estimate, sides: Sequence[Floats], stratum: Integers | None = None, confidence: float = 0.95
) -> CrossedMean:
    """An estimate over questions with what other runs of several sides would change in its interval.

    Parameters
    ----------
    found : Estimate
        The mean over questions of a number that depends on runs of each side, such as the change from one side to the other or
        the divergence between them, averaged over all combinations of runs; with its interval.
    sides : sequence of ndarray, shape [runs, n]
        For each side, the part of each of its runs in that: their mean is what `found` estimates, up to a constant. Of a mean
        of pairs, what the pairs that hold the run average. A question that is not finite in one run does not enter. A side of a
        single run is taken as it is.
    stratum : ndarray of int64, shape [n], optional
        The task of each question.
    confidence : float
        That of the interval of `found`.

    Returns
    -------
    CrossedMean
        `found` itself where no side has two runs.

    Notes
    -----
    As in `crossed_mean`; the arm of `found` at either end takes the place of the questions' quantile and variance. Of a mean over
    pairs of runs the variance of each side's parts is that of its first order in Hoeffding's decomposition (Sen 1960), and
    contains what single pairs add.

    References
    ----------
    Sen (1960), On some convergence properties of U-statistics. Calcutta Statistical Association Bulletin 10, 1-18.
    Satterthwaite (1946), An approximate distribution of estimates of variance components. Biometrics Bulletin 2, 110-114.
    Banerjee (1960), as in `crossed_mean`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> answers = rng.random(200)
    >>> before, after = (np.stack([answers + luck for luck in lucks]) for lucks in ((0.0, 0.1), (0.2, 0.1, 0.3)))
    >>> from consistency.statistics.means import mean
    >>> change = mean(after.mean(axis=0) - before.mean(axis=0))
    >>> found = over_runs(change, [before, after]).estimate
    >>> round(found.value, 3), round(found.se, 3), round(found.ci_high - found.value, 2)
    (0.15, 0.076, 0.25)
    """
    several = [side for side in sides if len(side) > 1]
    if not several or found.value is None or found.se is None or found.df is None:
        return CrossedMean(found, t_test(found), None)
    parts, cells = [], 0.0
    for side in several:
        known: Bools = np.asarray(np.isfinite(side).all(axis=0))
        own, runs = side[:, known].mean(axis=1), len(side)
        parts.append((float(own.var(ddof=1)) / runs, runs - 1))
        strata = np.zeros(len(known), dtype=np.int64) if stratum is None else stratum
        cells += _of_cells(list(side), [np.arange(len(known))] * runs, strata)
    return _over_both(found, parts, cells, confidence)


def _over_both(
    over_questions: Estimate, parts: Sequence[tuple[float, int]], cells: float, confidence: float
) -> CrossedMean:
    """An estimate over questions, with an interval that holds the parts of runs as well.

    Parameters
    ----------
    over_questions : Estimate
        With its interval.
    parts : sequence of (float, int)
        Variances of the mean over the runs of each recipe, with their degrees of freedom.
    cells : float
        Variance of the mean by single answers, which the others contain.
    """
    value, low, high = over_questions.value, over_questions.ci_low, over_questions.ci_high
    assert value is not None
    assert over_questions.se is not None
    assert over_questions.df is not None
    runs = sum(part for part, _ in parts)
    spread = sum(part**2 / df for part, df in parts)
    runs_df = runs**2 / spread if spread > 0 else float(sum(df for _, df in parts))
    variances = Variances(over_questions.se**2, over_questions.df, runs, runs_df, cells)
    half, se = variances.half_width(1 - confidence), math.sqrt(variances.total)
    # Student's arms give `half`; others are longer or shorter by what they are.
    usual = quantile(confidence, over_questions.df) * over_questions.se
    ends = [value - half, value + half]
    if usual and low is not None and high is not None:
        shift = half**2 - usual**2
        own = max(variances.questions - cells, 0.0) / variances.questions
        ends = [
            value + sign * math.sqrt(max(own * (arm**2 - usual**2) + usual**2 + shift, arm**2))
            for sign, arm in ((-1, value - low), (1, high - value))
        ]
    found = replace(
        over_questions,
        se=se,
        ci_low=ends[0],
        ci_high=ends[1],
        df=matching_df(half / se, confidence) if se > 0 else over_questions.df,
        unit="run",
        method=over_questions.method if over_questions.method in _OWN_ARMS else "t-crossed",
        warnings=tuple(caveat for caveat in over_questions.warnings if caveat != "constant" or se == 0),
    )
    return CrossedMean(found, _p(found, variances), variances)


@dataclass(frozen=True)
class RunSpread:
    """How far single questions and single training runs lie from their mean, in one recipe.

    Attributes
    ----------
    runs : float
        Standard deviation over seeds of a run's mean, over very many questions.
    questions : float
        Standard deviation over questions of the values of one run.
    chance : float
        Share of the questions' variance that is another with each run.
    """

    runs: float
    questions: float
    chance: float


def power_of_runs(
    change: float,
    spread: RunSpread,
    *,
    seeds: int,
    recipes: int,
    questions: int,
    alpha: float = 0.05,
    draws: int = 4000,
) -> float:
    """Probability that `crossed_mean` finds a true mean.

    Parameters
    ----------
    change : float
        The true mean.
    spread : RunSpread
        Of each recipe.
    seeds, recipes, questions : int
        Runs of each recipe, at least 2; recipes that the mean is over, such as domains; questions of each, no two alike.
    alpha : float
    draws : int
        Of the spread that so few runs show, always the same ones; the rest is computed.

    Examples
    --------
    >>> spread = RunSpread(runs=0.02, questions=0.6, chance=0.3)
    >>> [round(power_of_runs(0.05, spread, seeds=s, recipes=4, questions=250), 2) for s in (2, 3, 5)]
    [0.45, 0.75, 0.82]
    """
    from scipy.special import ndtr

    total = recipes * questions
    single = spread.questions**2 * spread.chance / (seeds * total)
    own = spread.questions**2 * (1 - spread.chance) / total
    each = spread.runs**2 / seeds / recipes + single
    rng = np.random.default_rng(0)
    found = each / recipes * rng.chisquare(seeds - 1, (draws, recipes)) / (seeds - 1)
    runs = found.sum(axis=1)
    runs_df = runs**2 / (found**2).sum(axis=1) * (seeds - 1)
    half = np.sqrt(_square(own + single, total - recipes, own, runs, runs_df, alpha))
    se = math.sqrt(own + each)
    return float(np.mean(ndtr((change - half) / se) + ndtr((-change - half) / se)))


def _finite(x: Floats) -> Floats:
    return np.where(np.isfinite(x), x, np.nan)


def _of_cells(samples: Sequence[Floats], rows: Sequence[Integers], stratum: Integers) -> float:
    """Variance of the mean of some runs by what is neither a run's nor a question's own, task by task."""
    answers = np.full((len(samples), len(stratum)), np.nan)
    for line, x, at in zip(answers, samples, rows, strict=True):
        line[at] = _finite(x)
    known = np.isfinite(answers).all(axis=0)
    tasks = numbered(np.asarray(stratum)[known])
    order = np.argsort(tasks, kind="stable")
    answers, ends = answers[:, known][:, order], np.cumsum(np.bincount(tasks)).tolist()
    total, runs = 0.0, len(samples)
    for begin, end in zip([0, *ends], ends, strict=False):
        n = end - begin
        if n < 2:
            continue
        block = np.ascontiguousarray(answers[:, begin:end])
        left = block - block.sum(axis=0) / runs - block.sum(axis=1, keepdims=True) / n + block.sum() / (runs * n)
        total += (n / len(tasks)) ** 2 * float((left**2).sum()) / ((runs - 1) * (n - 1)) / (runs * n)
    return total


def matching_df(ratio: float, confidence: float = 0.95) -> float:
    """The degrees of freedom with which Student's interval is this multiple of the standard error to either side.

    Parameters
    ----------
    ratio : float
        Half the width of an interval in standard errors.
    confidence : float

    Returns
    -------
    float
        Between 1 and a million, which is normal.

    Examples
    --------
    >>> round(matching_df(4.302653), 4), matching_df(1.9)
    (2.0, 1000000.0)
    """
    from scipy.special import stdtrit

    level = (1 + confidence) / 2
    if ratio >= stdtrit(1.0, level):
        return 1.0
    if ratio <= stdtrit(NORMAL_DF, level):
        return NORMAL_DF
    return root(lambda df: float(stdtrit(df, level)) - ratio, 1.0, NORMAL_DF)


def _p(found: Estimate, variances: Variances) -> float | None:
    """The largest level at which the interval holds 0; what is below 1e-99 is told as that."""
    if not found.se or not found.value:
        return t_test(found)
    distance, least = abs(found.value), math.log(LEAST_P)

    def lacking(log_p: float) -> float:
        return variances.half_width(math.exp(log_p)) - distance

    return LEAST_P if lacking(least) < 0 else math.exp(root(lacking, least, 0.0, xtol=1e-12))
