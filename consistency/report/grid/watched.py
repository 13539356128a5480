"""What the watched trainings of a grid kept and learned, step by step: records in, rows, a figure and a table out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from consistency.experiment.grid import Experiment
from consistency.report.content import Table
from consistency.report.drawings import BAND, Look, Plot, Point, limits
from consistency.report.formats.numbers import DASH, fixed, signed
from consistency.report.grid.document import WatchedRun, WatchedStep
from consistency.report.grid.verdict import group_title
from consistency.support.figure_style import BLUE, GREEN, INK, RED, VIOLET
from consistency.watch.record import read_record
from consistency.watch.rows import DRIFT, NOTHING, Pool

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOOKS = ((BLUE, "o"), (RED, "s"), (GREEN, "D"), (VIOLET, "^"))
_TITLES = {"kept": "to be kept: change, points", "learned": "to be learned: change, points"}


def read_watched(experiment: Experiment) -> list[WatchedRun]:
    """The records of the trainings that were watched.

    Raises
    ------
    InputError
        If one is damaged.
    """
    found = []
    for run in experiment.runs():
        if not (run.watch / DRIFT).exists():
            continue
        record = read_record(run.watch)
        found.append(
            WatchedRun(
                model=run.model,
                domain=run.domain,
                group=run.group,
                seed=run.seed,
                limits=record.limits,
                alarm=record.alarm,
                frontier=record.frontier,
                best_step=record.best_step,
                steps=[WatchedStep(row.step, row.epoch, row.kept, row.learned) for row in record.rows],
            )
        )
    return found


def watched_plot(runs: Sequence[WatchedRun]) -> Plot:
    """The curves of each group's runs, a column for each group."""
    groups = list(dict.fromkeys(run.group for run in runs))
    domains = list(dict.fromkeys(run.domain for run in runs))
    looks = {domain: Look(domain, *_LOOKS[number % len(_LOOKS)]) for number, domain in enumerate(domains)}
    marks = [
        Point(
            {
                "model": run.model,
                "domain": run.domain,
                "group": run.group,
                "seed": run.seed,
                "step": step.step,
                "tasks": which,
            },
            "change",
            found.value,
            found.ci_low,
            found.ci_high,
            n=found.n,
        )
        for run in runs
        for step in run.steps
        for which, pool in (("kept", step.kept), ("learned", step.learned))
        if pool is not None and (found := pool.figures.get("change")) is not None
    ]
    shown = [which for which in _TITLES if any(mark.at("tasks") == which for mark in marks)]
    # Intervals of several lines of one colour would cover each other.
    banded = len({(run.domain, run.group) for run in runs}) == len(runs)

    def draw(axes: Sequence[Axes], group: str) -> None:
        here = [run for run in runs if run.group == group]
        for ax, which in zip(axes, shown, strict=True):
            for run in here:
                line = [
                    mark
                    for mark in marks
                    if (mark.at("domain"), mark.at("group"), mark.at("seed"), mark.at("tasks"))
                    == (run.domain, group, run.seed, which)
                    and mark.value is not None
                ]
                _line(ax, line, looks[run.domain], band=banded)
                if which == "kept" and run.alarm is not None:
                    ax.axvline(run.alarm.step, color=looks[run.domain].colour, linewidth=0.8, linestyle="--")
            ax.axhline(0, color=INK, linewidth=0.6)
            ax.set_title(_TITLES[which])
            ax.set_ylim(*(100 * end for end in limits((m for m in marks if m.at("tasks") == which), "change")))
        axes[-1].set_xlabel("step")

    return Plot(
        name="over_training",
        title="What was kept and learned over each training",
        caption="Changes of accuracy against the model as the training began, one line for each run"
        + (", with 95 % intervals of each step alone" if banded else "")
        + "; a dashed line is an alarm.",
        rows=[mark.row() for mark in marks],
        panels={group: group_title(group) for group in groups},
        looks=tuple(looks.values()),
        heights=(1.7,) * len(shown),
        draw=draw,
    )


def _line(axes: Axes, marks: Sequence[Point], look: Look, *, band: bool) -> None:
    steps = [float(str(mark.at("step"))) for mark in marks]
    values = [100 * (mark.value or 0.0) for mark in marks]
    if band:
        low, high = (
            [
                value if end is None else 100 * end
                for value, mark in zip(values, marks, strict=True)
                for end in [getattr(mark, name)]
            ]
            for name in ("ci_low", "ci_high")
        )
        axes.fill_between(steps, low, high, color=look.colour, alpha=BAND, linewidth=0)
    axes.plot(steps, values, color=look.colour, marker=look.marker, markersize=3, linewidth=1.2)


def watched_table(runs: Sequence[WatchedRun]) -> Table:
    """Each run at its last step, and its alarm."""
    several = len({run.model for run in runs}) > 1
    return Table(
        name="over_training",
        title="Each watched training at its last step",
        caption="Changes in points against the model as the training began, with 95 % intervals. Alarm: the first look at which "
        "harm beyond the limit was certain.",
        head=(
            *(["model"] if several else []),
            *("domain", "group", "seed", "step", "kept, points", "right → wrong, %", "KL, nats", "learned, points"),
            *("alarm at step", "last step within the limits"),
        ),
        rows=tuple(
            (
                *([run.model] if several else []),
                *(run.domain, group_title(run.group), str(run.seed), str(last.step)),
                _text(last.kept, "change"),
                _share(last.kept),
                fixed(None if last.kept is None else last.kept.value("kl"), 3),
                _text(last.learned, "change"),
                DASH if run.alarm is None else str(run.alarm.step),
                str(run.best_step),
            )
            for run in runs
            for last in run.steps[-1:]
        ),
        labels=3 + several,
        data=[
            {
                "model": run.model,
                "domain": run.domain,
                "group": run.group,
                "seed": run.seed,
                "step": step.step,
                "epoch": step.epoch,
                **{
                    f"{which}_{name}": msgspec.structs.asdict(found)
                    for which, pool in (("kept", step.kept), ("learned", step.learned))
                    if pool is not None
                    for name, found in pool.figures.items()
                },
            }
            for run in runs
            for step in run.steps
        ],
    )


def _text(pool: Pool | None, name: str) -> str:
    found = NOTHING if pool is None else pool.number(name)
    return found.to_text(lambda value: signed(100 * value, 1))


def _share(pool: Pool | None) -> str:
    value = None if pool is None else pool.value("harmful_flips")
    return DASH if value is None else fixed(100 * value, 1)
