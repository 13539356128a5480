"""Whether answers favour an option's letter or place beyond chance, by how much, and whether that changed between two runs.

The null is a model with knowledge and without a preference: in each task which questions are right does not depend on the
gold option's letter, and a wrong answer is as likely one wrong option as another. The gold letters may be uneven, and
tasks may differ in accuracy. Given the number of right answers in each task, the mean and the covariance of the answers by
letter follow (`OptionCounts`), and their distance is χ². Marginal homogeneity of answers and gold letters (Stuart and
Maxwell) would be another null, which such a model breaks where the gold letters are uneven: its errors are not.

Between two runs it is the test of Stuart (1955) and Maxwell (1970) on the letters answered before and after, less what a
change of accuracy moves towards uneven gold letters; with even ones it is theirs exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from consistency.metrics.selection_bias import OptionCounts, OptionShift, option_name
from consistency.statistics.absolute_means import absolute_means
from consistency.statistics.estimates import Estimate, without_interval
from consistency.statistics.hypotheses import holm
from consistency.support.arrays import Floats, Integers

ALPHA = 0.05
_Z = 1.959963984540054
# With fewer gold options of a letter its recall says nothing, and little with few; letters without must be rare.
_FEWEST_GOLD, _FEW_GOLD = 10, 30
_SHARE_OF_LETTERS = 0.95
_RSTD = "standard deviation of recalls"


@dataclass(frozen=True)
class Preference:
    """Which option a set of answers favours, how much, and whether beyond chance.

    Attributes
    ----------
    n : int
        Questions with one answer and one gold option.
    option : str or None
        The option that is answered too often the most; None without questions.
    bias : float
        The share of the answers that would have to be other options for there to be none; chance makes it positive.
    rstd : Estimate
        RStd of Zheng et al. (2024): the standard deviation over the letters of recall, the share of right answers where the
        letter is gold; less, in several tasks, what their accuracies explain. The interval is that of all such questions.
    p, p_holm : float or None
        Of no preference, and adjusted over the sets of answers that were looked at; None where the answers cannot tell.
    bias_estimate : Estimate or None
        `bias` with an interval of that of all such questions, from which chance is taken out; None in earlier reports.
    """

    n: int
    option: str | None
    bias: float
    rstd: Estimate
    p: float | None
    p_holm: float | None = None
    bias_estimate: Estimate | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"rstd": self.rstd.to_dict(), "bias_estimate": _or_none(self.bias_estimate)}


@dataclass(frozen=True)
class Shift:
    """Whether the answers of two runs moved between options beyond chance.

    Attributes
    ----------
    n : int
        Questions that both runs answer, with the options in one order.
    option : str or None
        The option that won the most; None where none did.
    moved : float
        The share of the answers that moved to other options on balance, less what a change of accuracy gives.
    p, p_holm : float or None
        Of no shift; None where no answer moved.
    moved_estimate : Estimate or None
        `moved` with an interval of that of all such questions, from which chance is taken out; None in earlier reports.
    exchanged : dict of str to str, or None
        Which option stands for which, where nearly all answers are the same but for that, as after a shuffle of the letters.
    exchanged_share : float or None
        Of what share of the answers that is so.
    """

    n: int
    option: str | None
    moved: float
    p: float | None
    p_holm: float | None = None
    moved_estimate: Estimate | None = None
    exchanged: dict[str, str] | None = None
    exchanged_share: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self) | {"moved_estimate": _or_none(self.moved_estimate)}


def _or_none(found: Estimate | None) -> dict[str, Any] | None:
    return None if found is None else found.to_dict()


@dataclass(frozen=True)
class SelectionBias:
    """A set of answers that favours an option.

    Attributes
    ----------
    answers_of, option : str
        Whose answers to what they are; and the letter of the option, or its number from 1 where there are more options than
        letters.
    answered, gold : float
        The share of the answers that are this option, and of the questions in which it is right.
    bias : float
        The share of the answers that would have to be other options for there to be none, from 0 to 1.
    alike, of : int
        Of how many sets of answers that were looked at, how many favour an option by themselves.
    rstd : float or None
        The standard deviation of the letters' recalls.
    p_holm : float or None
        Of no preference, adjusted over the sets of answers.
    n : int
        How many answers were counted: those of questions with one answer, not two that tie, and one gold option.
    bias_ci_low, bias_ci_high : float or None
        The ends of the interval of `bias`.
    """

    answers_of: str
    option: str
    answered: float
    gold: float
    bias: float
    alike: int
    of: int
    rstd: float | None = None
    p_holm: float | None = None
    kind: str = "selection bias"
    n: int = 0
    bias_ci_low: float | None = None
    bias_ci_high: float | None = None

    def to_text(self) -> str:
        """A sentence for readers."""
        ends = ""
        if self.bias_ci_low is not None and self.bias_ci_high is not None:
            ends = f" [{100 * self.bias_ci_low:.0f}, {100 * self.bias_ci_high:.0f}]"
        p = ""
        if self.p_holm is not None:
            p = " (p < .0001)" if self.p_holm < 1e-4 else f" (p = {self.p_holm:.4f})"
        recalls = ""
        if self.rstd is not None:
            recalls = f"; accuracy differs by which option is gold (RStd {100 * self.rstd:.1f} points)"
        verb = "favours" if self.alike == 1 else "favour"
        alone = (
            f"; of {self.of} sets of answers, each tested alone, {self.alike} {verb} an option" if self.of > 1 else ""
        )
        return (
            f"{self.answers_of}: {100 * self.answered:.1f} % of the answers are option {self.option}, which is the gold "
            f"option in {100 * self.gold:.1f} % (n = {self.n:,} questions; where options tie for the answer none is counted): a "
            f"model that is right as often and favours no option would give {100 * self.bias:.0f} %{ends} of its answers "
            f"otherwise{p}{recalls}; what looks like knowledge, or like its lack, may be selection bias{alone}"
        )


def preferences(counts: Sequence[OptionCounts]) -> list[Preference]:
    """The preference of each set of answers, with its test; p is adjusted over all of them.

    Parameters
    ----------
    counts : sequence of OptionCounts

    Examples
    --------
    >>> even = OptionCounts()
    >>> even.add_task(np.eye(4)[[0, 1, 2, 3] * 25], np.array([0, 1, 2, 3] * 20 + [1, 2, 3, 0] * 5))
    >>> found = preferences([even])[0]
    >>> round(found.bias, 6), found.rstd.value, round(found.p, 6)
    (0.0, 0.0, 1.0)
    """
    surplus, asked = [each.surplus for each in counts], [each.n for each in counts]
    p = _of_no_shift(surplus, [each.covariance for each in counts])
    bias = absolute_means(surplus, [each.squares for each in counts], asked)
    return [
        Preference(each.n, option_name(each.most) if each.n else None, share.value or 0.0, rstd, value, adjusted, share)
        for each, share, rstd, value, adjusted in zip(counts, bias, _rstd(counts), p, _adjusted(p), strict=True)
    ]


def shifts(moves: Sequence[OptionShift]) -> list[Shift]:
    """The shift of the answers between two runs, with its test, for each set of questions; p is adjusted over all of them.

    Parameters
    ----------
    moves : sequence of OptionShift

    Examples
    --------
    >>> shift, gold = OptionShift(), np.array([0, 1] * 10)
    >>> shift.add_task(np.eye(2)[gold], np.eye(2)[[0] * 20], gold)
    >>> found = shifts([shift])[0]
    >>> found.option, found.moved, round(found.p, 4)
    ('A', 0.5, 0.0016)
    """
    sums, squares = [each.moved for each in moves], [each.squares for each in moves]
    p = _of_no_shift(sums, squares)
    estimates = absolute_means(sums, squares, [each.n for each in moves], [each.together for each in moves])
    moved = [
        replace(found, unit="question cluster") if each.clustered else found
        for each, found in zip(moves, estimates, strict=True)
    ]
    return [
        Shift(
            each.n,
            option_name(int(total.argmax())) if total.any() else None,
            share.value or 0.0,
            value,
            adjusted,
            share,
            *(each.exchange or (None, None)),
        )
        for each, total, share, value, adjusted in zip(moves, sums, moved, p, _adjusted(p), strict=True)
    ]


def strongest_bias(counts: Mapping[str, OptionCounts]) -> SelectionBias | None:
    """The set of answers that favours an option the most, or None if none favours an option beyond chance.

    Parameters
    ----------
    counts : mapping of str to OptionCounts
        By whose answers to what they are.

    Examples
    --------
    >>> found = OptionCounts()
    >>> found.add_task(np.eye(2)[[0] * 60], np.array([0, 1] * 30))
    >>> bias = strongest_bias({"yes or no": found})
    >>> bias.option, bias.answered, bias.gold
    ('A', 1.0, 0.5)
    """
    if not any(found.favours_an_option for found in counts.values()):
        return None
    tested = dict(zip(counts, preferences(list(counts.values())), strict=True))
    favour = [name for name, found in counts.items() if favours(found, tested[name])]
    if not favour:
        return None
    most = max(favour, key=lambda name: counts[name].bias)
    return describe(most, counts[most], tested[most], len(favour), len(counts))


def favours(counts: OptionCounts, tested: Preference) -> bool:
    """Whether a set of answers favours an option, as much as a warning needs and beyond chance."""
    return counts.favours_an_option and tested.p_holm is not None and tested.p_holm < ALPHA


def describe(answers_of: str, counts: OptionCounts, tested: Preference, alike: int = 0, of: int = 1) -> SelectionBias:
    """The option that is answered too often the most, and how often.

    Parameters
    ----------
    answers_of : str
        Whose answers to what were counted.
    counts, tested : OptionCounts, Preference
        The counts, and their test.
    alike, of : int
        How many sets of answers favour an option by themselves, of how many.

    Returns
    -------
    SelectionBias
    """
    n, most = counts.n, counts.most
    return SelectionBias(
        answers_of,
        option_name(most),
        float(counts.answers[most]) / n,
        float(counts.gold[most]) / n,
        counts.bias,
        alike,
        of,
        tested.rstd.value,
        tested.p_holm,
        n=n,
        bias_ci_low=None if tested.bias_estimate is None else tested.bias_estimate.ci_low,
        bias_ci_high=None if tested.bias_estimate is None else tested.bias_estimate.ci_high,
    )


def _of_no_shift(sums: Sequence[Floats], covariances: Sequence[Floats]) -> list[float | None]:
    """The p of sums whose mean is 0, each with its covariance, which has no inverse since the sums add up to 0."""
    from scipy.special import chdtrc

    most = max((len(each) for each in sums), default=0)
    if not most:
        return [None] * len(sums)
    stacked, spread = np.zeros((len(sums), most)), np.zeros((len(sums), most, most))
    for number, (each, covariance) in enumerate(zip(sums, covariances, strict=True)):
        stacked[number, : len(each)] = each
        spread[number, : len(each), : len(each)] = covariance
    variances, axes = np.linalg.eigh(spread)
    used = variances > 1e-9 * np.maximum(variances[:, -1:], 1.0)
    along = np.einsum("nij,ni->nj", axes, stacked)
    statistic = np.where(used, along**2 / np.where(used, variances, 1.0), 0.0).sum(axis=1)
    df = used.sum(axis=1)
    p = chdtrc(np.maximum(df, 1), statistic)
    return [float(value) if free else None for value, free in zip(p, df, strict=True)]


def _adjusted(p: Sequence[float | None]) -> list[float | None]:
    """Holm's correction over those that have a p."""
    known = [value for value in p if value is not None]
    adjusted = iter(holm(known).tolist() if known else ())
    return [None if value is None else next(adjusted) for value in p]


def _rstd(counts: Sequence[OptionCounts]) -> list[Estimate]:
    """The standard deviation of the letters' recalls, with an interval that takes their noise out.

    Without a preference the squared deviations are those of noise, Σ v_l (1 - 1/k) in the mean, where v_l is the variance of a
    letter's recall, and with one their sum is about a noncentral χ² with Satterthwaite's degrees of freedom and scale. Where
    the letter with the deviation is the noisiest, the delta method's interval is wider: the ends are those of the wider.
    """
    gold, right, expected = (_stacked(counts, name) for name in ("gold", "right", "expected_right"))
    use = gold >= _FEWEST_GOLD
    letters = use.sum(axis=1)
    asked = np.array([each.n for each in counts])
    told = (letters > 1) & ((gold * use).sum(axis=1) >= _SHARE_OF_LETTERS * asked)
    k = np.maximum(letters, 1)
    divisor = np.where(use, gold, 1.0)
    recall = np.where(use, (right - expected) / divisor, 0.0)
    off = np.where(use, recall - (recall.sum(axis=1) / k)[:, None], 0.0)
    share = (right + 1) / (gold + 2)
    noise = np.where(use, share * (1 - share) / divisor, 0.0)
    total, of_noise = (off**2).sum(axis=1), noise.sum(axis=1)
    expected_total = np.where(told, of_noise * (1 - 1 / k), 1.0)
    half_variance = np.where(told, (noise**2).sum(axis=1) * (1 - 2 / k) + of_noise**2 / k**2, 1.0)
    value = np.sqrt(total / k)
    reach = _Z * np.sqrt((off**2 * noise).sum(axis=1)) / np.maximum(k * value, 1e-12)
    low, high = _rstd_ends(total, expected_total, half_variance, reach, k)
    few = np.where(use, gold, np.inf).min(axis=1, initial=np.inf) < _FEW_GOLD
    return [
        Estimate(
            deviation,
            None,
            least,
            most,
            n,
            statistic=_RSTD,
            method="noncentral",
            warnings=("few units",) if rare else (),
        )
        if known
        else without_interval(None, n, "too few", statistic=_RSTD)
        for n, known, deviation, least, most, rare in zip(
            *(column.tolist() for column in (asked, told, value, low, high, few)), strict=True
        )
    ]


def _rstd_ends(
    total: Floats, expected: Floats, half_variance: Floats, reach: Floats, letters: Integers
) -> tuple[Floats, Floats]:
    """The ends of intervals of RStd: noncentral χ² around what noise gives, or the delta method's where these are wider.

    Parameters
    ----------
    total : ndarray, shape [n]
        The sum of the squared deviations of the recalls.
    expected, half_variance : ndarray, shape [n]
        Its mean without a preference, and half its variance.
    reach : ndarray, shape [n]
        Half the width of the delta method's interval.
    letters : ndarray of int, shape [n]
    """
    from scipy.special import chndtr, chndtrinc

    df, scale = expected**2 / half_variance, half_variance / expected
    without_noise = np.sqrt(np.maximum(total - expected, 0.0) / letters)
    ends = []
    for level in (0.975, 0.025):
        beyond = chndtr(total / scale, df, 0.0) > level
        with np.errstate(all="ignore"):
            found = chndtrinc(np.where(beyond, total / scale, 1.0), df, level)
        ends.append(np.sqrt(np.where(beyond, found, 0.0) * scale / letters))
    low = np.maximum(np.minimum(ends[0], without_noise - reach), 0.0)
    return low, np.maximum(np.maximum(ends[1], without_noise + reach), np.sqrt(total / letters))


def rstd_of_rotations(right: Floats) -> Estimate:
    """RStd of questions that were asked with the gold option behind each letter.

    Parameters
    ----------
    right : ndarray, shape [n, k]
        1 where the answer is right while the gold option has this letter, else 0. Questions with NaN are left out.

    Returns
    -------
    Estimate
        As in `Preference`. Each question counts towards every recall, and the interval takes the covariance of these.

    Examples
    --------
    >>> rstd_of_rotations(np.array([[1.0, 0.0]] * 30 + [[1.0, 1.0]] * 30)).value
    0.25
    """
    x = right[~np.isnan(right).any(axis=1)]
    n, k = x.shape
    undefined = len(right) - n
    if n < _FEWEST_GOLD or k < 2:
        return without_interval(None, n, "too few", undefined=undefined, statistic=_RSTD)
    recall = x.mean(axis=0)
    off = recall - recall.mean()
    deviations = x - x.mean(axis=1, keepdims=True)
    covariance = np.atleast_2d(np.cov(deviations, rowvar=False)) / n
    total, expected = float((off**2).sum()), float(np.trace(covariance))
    value = float(np.sqrt(total / k))
    # Rounding alone makes it positive where no answer varies.
    if expected <= 1e-12:
        return without_interval(value, n, "constant", undefined=undefined, statistic=_RSTD)
    reach = _Z * np.sqrt(off @ covariance @ off) / max(k * value, 1e-12)
    squares = np.array([[total], [expected], [float((covariance**2).sum())], [reach]])
    low, high = _rstd_ends(squares[0], squares[1], squares[2], squares[3], np.array([k]))
    return Estimate(
        *(value, None, float(low[0]), float(high[0]), n),
        undefined=undefined,
        statistic=_RSTD,
        method="noncentral",
        warnings=("few units",) if n < _FEW_GOLD else (),
    )


def _stacked(counts: Sequence[OptionCounts], name: str) -> Floats:
    """An array of each set of answers in a row, with zeros behind the options of the shorter ones."""
    rows = [getattr(each, name) for each in counts]
    found = np.zeros((len(rows), max((len(row) for row in rows), default=0)))
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found
