"""One line of `drift.jsonl` for each step that was looked at: what it holds, and how the file is read and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

from msgspec import Struct, field

from consistency.errors import InputError
from consistency.support.files import write_lines
from consistency.support.json_files import json_lines, read_jsonl
from consistency.support.text import decimal, p_equals, p_value

Condition = Literal["margin", "harmful_flips"]
Reason = Literal["margin", "harmful_flips", "no_numbers"]
DRIFT, TEXT = "drift.jsonl", "text.jsonl"
# What a limit may be set to.
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
# What a condition counts, in words, and the figure that is its estimate with the sign that harm has there.
WORDS: dict[Condition, str] = {"margin": "lost on balance", "harmful_flips": "turned from right to wrong"}
FIGURES: dict[Condition, tuple[str, int]] = {"margin": ("change", -1), "harmful_flips": ("harmful_flips", 1)}
_EXPECTED = "a step of drift.jsonl, with step, epoch, kept, learned and tasks"
_TEXT_EXPECTED = "a step of text.jsonl, with step and figures"


class Number(Struct, frozen=True):
    """A number with its 95 % interval.

    Attributes
    ----------
    value, ci_low, ci_high : float or None
        Accuracies, changes and flips as fractions, KL in nats.
    n : int
        Questions that entered.
    """

    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int

    def to_text(self, form: Callable[[float], str], *, interval: bool = True) -> str:
        """The number with its interval; "–" where there is none.

        Examples
        --------
        >>> Number(0.5, 0.4, 0.62, 100).to_text("{:.1f}".format)
        '0.5 [0.4, 0.6]'
        """
        if self.value is None:
            return "–"
        if not interval or self.ci_low is None or self.ci_high is None:
            return form(self.value)
        return f"{form(self.value)} [{form(self.ci_low)}, {form(self.ci_high)}]"


NOTHING = Number(None, None, None, 0)


class Pool(Struct, frozen=True):
    """What changed in some questions.

    Attributes
    ----------
    n : int
        Questions.
    figures : dict of str to Number
        By name: see `consistency.watch.figures`.
    """

    n: int
    figures: dict[str, Number]

    def value(self, name: str) -> float | None:
        """The value of a figure; None where the questions have none."""
        return self.number(name).value

    def number(self, name: str) -> Number:
        """A figure; one without a value where the questions have none."""
        return self.figures.get(name, NOTHING)


class Look(Struct, frozen=True):
    """What a look says about one condition: an alarm where p is no larger than the level.

    Attributes
    ----------
    estimate, limit : float
        The share of the kept answers that is judged, and what it may be, as fractions.
    p, level : float
    """

    estimate: float
    limit: float
    p: float
    level: float


class Alarm(Struct, frozen=True):
    """Harm beyond a limit that is certain.

    Attributes
    ----------
    step : int
    epoch : float
    condition : str
        "margin", the answers lost on balance, "harmful_flips", those that turned from right to wrong, or "no_numbers", those
        whose log-probabilities are no numbers: of the last there is no test.
    limit, estimate, bound : float
        Shares of the kept answers: the limit, what was found, and what it is at least, at the confidence of this look.
    p, level : float
        Of "no more than the limit", and what this look may spend.
    lost, won, n : int
        Answers that turned from right to wrong and from wrong to right, of how many questions.
    change, by_letters : float or None
        The change of accuracy in the kept tasks with labelled options, and the part of it that a shift of letters gives.
    """

    step: int
    epoch: float
    condition: Reason
    limit: float
    estimate: float
    bound: float
    p: float
    level: float
    lost: int
    won: int
    n: int
    change: float | None = None
    by_letters: float | None = None

    @property
    def headline(self) -> str:
        """What is certain, in short."""
        at, share = f"step {self.step} (epoch {self.epoch:.2f})", decimal(100 * self.estimate, 1)
        if self.condition == "no_numbers":
            return f"{at}: {share} % of the questions to be kept have log-probabilities that are no numbers: the model is broken"
        return (
            f"{at}: {share} % of the {self.n} answers to be kept were {WORDS[self.condition]} (limit {100 * self.limit:g} %); "
            f"so were at least {decimal(100 * self.bound, 1)} % among all questions of these tasks, asked or not"
        )

    def to_text(self) -> str:
        """The alarm in one line, with what it was found from."""
        if self.condition == "no_numbers":
            return self.headline
        letters = ""
        if self.change is not None and self.by_letters is not None:
            change, corrected = 100 * self.change, 100 * (self.change - self.by_letters)
            letters = f"; accuracy changed by {change:+.1f} points, by {corrected:+.1f} corrected for letter bias"
        return (
            f"{self.headline}; {self.lost} turned from right to wrong and {self.won} from wrong to right; "
            f"{p_equals(self.p)}, level of this look {p_value(self.level)}{letters}"
        )


class DriftRow(Struct, frozen=True):
    """What was found at one step.

    Attributes
    ----------
    step : int
    epoch : float
    loss : float or None
        Of the training.
    seconds : float
        That the look took, with the scoring.
    learning_rate : float or None
    kept, learned : Pool or None
        The tasks that are to be kept and those that are to be learned, of those with options; None where there are none.
    tasks : dict of str to Pool
    asked : int
        Questions of the kept tasks whose answers are known to be right or wrong.
    lost, won : dict of str to list of int
        By kept task the doc_id of the answers that turned from right to wrong, and from wrong to right.
    progress : float
        Which part of the training was done, from 0 to 1.
    looks : dict of str to Look
        By condition; empty at step 0.
    alarm : Alarm or None
        Raised at this step.
    notes : tuple of str
        What a reader of a comparison must know first: settings that differ, documents that were left out.
    """

    step: int
    epoch: float
    loss: float | None
    seconds: float
    kept: Pool | None
    learned: Pool | None
    tasks: dict[str, Pool]
    asked: int
    lost: dict[str, list[int]]
    won: dict[str, list[int]]
    learning_rate: float | None = None
    progress: float = 0.0
    looks: dict[Condition, Look] = field(default_factory=dict)
    alarm: Alarm | None = None
    notes: tuple[str, ...] = ()

    def figures(self) -> dict[str, float]:
        """The figures by flat names, for loggers of trainings: `watch/kept/accuracy`, `watch/learned/kl`, `watch/seconds`.

        Those without a value are left out.
        """
        pools = {"kept": self.kept, "learned": self.learned}
        found = {
            f"watch/{name}/{figure}": pool.value(figure)
            for name, pool in pools.items()
            if pool is not None
            for figure in pool.figures
        }
        found |= {f"watch/p/{condition}": look.p for condition, look in self.looks.items()}
        found |= {"watch/seconds": self.seconds, "watch/alarm": float(self.alarm is not None)}
        return {name: value for name, value in found.items() if value is not None}


def limits_text(limits: Mapping[Condition, float]) -> str:
    """The limits in words.

    Examples
    --------
    >>> limits_text({"margin": 0.01, "harmful_flips": 0.03})
    '1 % lost on balance, 3 % turned from right to wrong'
    """
    return ", ".join(f"{100 * limit:g} % {WORDS[name]}" for name, limit in limits.items())


def most_harm(row: DriftRow) -> str:
    """The most harm that a look leaves possible: the far end of the 95 % interval of each condition; empty without one.

    Examples
    --------
    >>> change = Number(0.0, -0.021, 0.02, 500)
    >>> looks = {"margin": Look(0, 0.01, 1, 0.05)}
    >>> row = DriftRow(8, 1.0, None, 1.0, Pool(500, {"change": change}), None, {}, 500, {}, {}, looks=looks)
    >>> most_harm(row)
    'at most 2.1 % lost on balance'
    """
    parts = []
    for name in row.looks:
        figure, sign = FIGURES[name]
        found = NOTHING if row.kept is None else row.kept.number(figure)
        end = found.ci_low if sign < 0 else found.ci_high
        if end is not None:
            parts.append(f"at most {decimal(max(100 * sign * end, 0.0), 1)} % {WORDS[name]}")
    return " and ".join(parts)


def first_alarm(rows: Sequence[DriftRow]) -> Alarm | None:
    """The first alarm of a training; None as long as there is none."""
    return next((row.alarm for row in rows if row.alarm is not None), None)


def read_drift(folder: str | Path) -> list[DriftRow]:
    """The steps of a watched training that were looked at, in their order.

    Parameters
    ----------
    folder : path-like
        With `drift.jsonl`. Fields that this release does not know are passed over.

    Raises
    ------
    InputError
        If there is no such file, or a line is damaged; it names the line.
    """
    path = Path(folder, DRIFT)
    rows: list[DriftRow] = []
    for line, row in read_jsonl(path, DriftRow, _EXPECTED):
        if rows and row.step <= rows[-1].step:
            raise InputError(
                f"step {row.step} after step {rows[-1].step}", expected="a later step", path=path, line=line
            )
        rows.append(row)
    return rows


def write_drift(folder: Path, rows: Sequence[DriftRow]) -> None:
    """Write `drift.jsonl`, by renaming a finished file into place."""
    write_lines(folder / DRIFT, json_lines(rows))


class TextRow(Struct, frozen=True):
    """One line of `text.jsonl`: a step on the user's text, over the whole vocabulary.

    Attributes
    ----------
    step : int
    tokens : int
        That were scored.
    figures : dict of str to Number
        `kl` (mean, in nats), its quantiles `kl_median`, `kl_p90`, `kl_p95`, `kl_p99`, `kl_p999` and `kl_max`, `same_top`, the
        share of tokens with the same most probable token, `perplexity` and `perplexity_ratio`, to that of the first model.
    """

    step: int
    tokens: int
    figures: dict[str, Number]


def read_text(folder: str | Path) -> list[TextRow]:
    """The steps of `text.jsonl`; none where there is no such file.

    Raises
    ------
    InputError
        If a line is damaged; it names the line.
    """
    path = Path(folder, TEXT)
    return [row for _, row in read_jsonl(path, TextRow, _TEXT_EXPECTED)] if path.exists() else []
