"""`consistency plan-eval`: how many questions, tasks and seeds a comparison needs, before anyone pays for a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from consistency.errors import InputError
from consistency.support.streams import say, show
from consistency.support.text import of_points

_MOST_FLIPS = 5
_MOST_QUESTIONS = 10_000_000


def plan_eval(
    change: Annotated[float, typer.Option(help="Change of accuracy that matters, in points.")] = 1.0,
    flips: Annotated[
        list[float] | None,
        typer.Option(
            help="Answers that turn without any change of accuracy, in %; two runs of one model show them. May be "
            "repeated. Default: 5.",
            show_default=False,
        ),
    ] = None,
    power: Annotated[float, typer.Option(help="How often it is to be found, as a share of such comparisons.")] = 0.8,
    questions: Annotated[
        list[int] | None,
        typer.Option(help="Also what so many questions of each task can show; may be repeated.", show_default=False),
    ] = None,
    tasks: Annotated[int, typer.Option(help="Tasks that are asked.")] = 1,
    per_task: Annotated[
        bool, typer.Option("--per-task", help="Each task is to speak for itself, after Holm's correction.")
    ] = False,
    run_sd: Annotated[
        float | None,
        typer.Option(
            help="Standard deviation of the change between trainings, in points: also how many seeds show it in these "
            "questions; others are not allowed for.",
            show_default=False,
        ),
    ] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write the curves: .svg, .pdf or .png.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how many questions, tasks and seeds show that accuracy changed, or that it did not."""
    from consistency.support.json_files import pretty_json

    plan = _Plan(change / 100, power, tasks, per_task, None if run_sd is None else run_sd / 100)
    shares = [share / 100 for share in dict.fromkeys(flips or [5.0])]
    _refuse(plan, shares, questions or ())
    curves = [_Curve.of(plan, share) for share in shares]
    if figure is not None:
        _draw(plan, curves, figure)
    if json:
        given = {
            "change": plan.change,
            "power": power,
            "tasks": tasks,
            "per_task": per_task,
            "run_sd": plan.run_sd,
        }
        found = [curve.to_dict(plan, questions or ()) for curve in curves]
        show(pretty_json({**given, "curves": found}))
        return
    for curve in curves:
        say(*curve.to_lines(plan, questions or ()))
    say(*plan.methods())


@dataclass(frozen=True)
class _Plan:
    """What is asked for, as fractions of 1."""

    change: float
    power: float
    tasks: int
    per_task: bool
    run_sd: float | None

    @property
    def alpha(self) -> float:
        """The level of a test of one task: of the smallest p under Holm's correction."""
        return 0.05 / self.tasks if self.per_task else 0.05

    @property
    def pooled(self) -> int:
        """Tasks whose questions are taken together."""
        return 1 if self.per_task else self.tasks

    def methods(self) -> Iterator[str]:
        """The tests behind the numbers."""
        several = f", at 5 %/{self.tasks} in each task (Holm's first step)" if self.alpha < 0.05 else ""
        yield (
            f"McNemar's exact test at 5 %{several}, and two one-sided score tests (Tango 1998) at 5 %; questions are drawn one "
            "by one" + (f", and the {self.tasks} tasks are fixed" if self.tasks > 1 else "")
        )
        if self.run_sd is not None:
            yield "seeds: a two-sided t test over the seeds' changes from one model, for other seeds in these questions alone"


@dataclass(frozen=True)
class _Curve:
    """What is needed where a share of the answers turns anyway; questions of all tasks that are taken together."""

    flips: float
    power: Mapping[str, Callable[[int], float]]
    needed: Mapping[str, int | None]

    @classmethod
    def of(cls, plan: _Plan, flips: float) -> _Curve:
        from consistency.statistics.paired_shares import power_of_equivalence
        from consistency.statistics.power import fewest_questions, power_of_flips

        power: dict[str, Callable[[int], float]] = {
            "find_change": partial(power_of_flips, flip_rate=flips, change=plan.change, alpha=plan.alpha),
            "show_no_change": partial(power_of_equivalence, flip_rate=flips, margin=plan.change),
        }
        return cls(flips, power, {name: fewest_questions(of, plan.power) for name, of in power.items()})

    def each(self, plan: _Plan, name: str) -> int | None:
        """The questions that are needed of each task."""
        needed = self.needed[name]
        return None if needed is None else -(-needed // plan.pooled)

    def seeds(self, plan: _Plan, n: int | None) -> int | None:
        """The seeds that are needed with so many questions; None where a thousand are too few."""
        from consistency.statistics.power import fewest_seeds, power_of_seeds

        sd = plan.run_sd or 0.0
        return fewest_seeds(lambda k: power_of_seeds(k, plan.change, sd, self.flips, n, plan.alpha), plan.power)

    def sizes(self, plan: _Plan, questions: Sequence[int]) -> list[int]:
        """The questions of all tasks taken together with which seeds are counted."""
        needed = self.needed["find_change"]
        return [n * plan.pooled for n in questions] or ([] if needed is None else [needed])

    def to_dict(self, plan: _Plan, questions: Sequence[int]) -> dict[str, Any]:
        """As plain data."""
        found: dict[str, Any] = {
            "flips": self.flips,
            "needed": dict(self.needed),
            "needed_of_each_task": {name: self.each(plan, name) for name in self.needed},
            "questions": [
                {"questions": n, **{name: of(n * plan.pooled) for name, of in self.power.items()}} for n in questions
            ],
        }
        if plan.run_sd is not None:
            found["seeds"] = [
                {"questions": n, "seeds": self.seeds(plan, n)} for n in [*self.sizes(plan, questions), None]
            ]
        return found

    def to_lines(self, plan: _Plan, questions: Sequence[int]) -> Iterator[str]:
        """As it is printed."""
        change = of_points(100 * plan.change)
        of = f"with {100 * plan.power:g} % probability, where {100 * self.flips:g} % of the answers turn anyway"
        where = f" in one of {plan.tasks} tasks" if plan.per_task and plan.tasks > 1 else ""
        for name, what in (
            ("find_change", f"to find a change of {change}{where} {of}"),
            ("show_no_change", f"to show that nothing changes by as much{where} {of}"),
        ):
            yield f"{what}: {self._questions(plan, name)}"
        if plan.run_sd is not None:
            for n in [*self.sizes(plan, questions), None]:
                asked = "however many questions are asked" if n is None else f"of {n:,} questions each"
                found = self.seeds(plan, n)
                count = "more than 1,000" if found is None else f"{found:,}"
                sd = f"{of_points(100 * plan.run_sd)} between seeds"
                yield f"to find it in these questions with other seeds {of}, with an sd of {sd}: {count} seeds {asked}"
        several = "" if plan.tasks == 1 else " of each task"
        for n in questions:
            find, show = (100 * self.power[name](n * plan.pooled) for name in ("find_change", "show_no_change"))
            yield (
                f"{n:,} questions{several}: a change of {change}{where} is found with {find:.1f} % probability, and the absence "
                f"of one is shown with {show:.1f} %"
            )

    def _questions(self, plan: _Plan, name: str) -> str:
        needed, each = self.needed[name], self.each(plan, name)
        if needed is None or each is None:
            return "more than 10,000,000 questions"
        if plan.tasks == 1:
            return f"{needed:,} questions"
        if plan.per_task:
            return f"{each:,} questions of each task"
        return f"{needed:,} questions, {each:,} of each of {plan.tasks} tasks"


def _refuse(plan: _Plan, flips: Sequence[float], questions: Sequence[int]) -> None:
    if not 0 < plan.change < 0.5:
        raise InputError(f"--change {100 * plan.change:g}", expected="points between 0 and 50, such as 1")
    for share in flips:
        if not 0 <= share <= 1 - plan.change:
            most = f"{100 * (1 - plan.change):g}"
            raise InputError(f"--flips {100 * share:g}", expected=f"per cent between 0 and {most}, such as 5")
    if len(flips) > _MOST_FLIPS:
        raise InputError(f"{len(flips)} values of --flips", expected=f"at most {_MOST_FLIPS}")
    if not 0.05 < plan.power < 1:
        raise InputError(f"--power {plan.power:g}", expected="a share between 0.05 and 1, such as 0.8")
    if not 1 <= plan.tasks <= 10_000:
        raise InputError(f"--tasks {plan.tasks}", expected="a number between 1 and 10,000")
    if plan.run_sd is not None and not 0 <= plan.run_sd < 0.5:
        raise InputError(f"--run-sd {100 * plan.run_sd:g}", expected="points between 0 and 50, such as 0.5")
    for n in questions:
        if not 1 <= n <= _MOST_QUESTIONS:
            raise InputError(f"--questions {n}", expected=f"a number between 1 and {_MOST_QUESTIONS:,}")


def _draw(plan: _Plan, curves: Sequence[_Curve], path: Path) -> None:
    from consistency.report.drawings import draw_file
    from consistency.report.power_figure import PowerCurve, power_plot

    of = f"questions of all {plan.tasks} tasks" if plan.pooled > 1 else "questions"
    of = f"questions of one of {plan.tasks} tasks" if plan.per_task and plan.tasks > 1 else of
    panels = {
        "find_change": f"a change of {of_points(100 * plan.change)} is found",
        "show_no_change": f"a change by less than {100 * plan.change:g} is shown",
    }
    drawn = [PowerCurve(curve.flips, curve.power, curve.needed) for curve in curves]
    draw_file(power_plot(drawn, panels, plan.power, of), path)
