"""One training's record: each step compared with the baseline, the alarm, and the step to go back to."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from consistency.comparison.compare import compare
from consistency.comparison.gaps import Doubt
from consistency.comparison.pairing import ONLY_FIRST, ONLY_SECOND, PairingReport
from consistency.comparison.result import Comparison
from consistency.comparison.section import Section
from consistency.errors import InputError
from consistency.logs.run_config import RunConfig, leaf_tasks
from consistency.logs.runs import Run, read_run
from consistency.statistics.selection_bias import SelectionBias
from consistency.statistics.sequential import Turned
from consistency.support.files import write_atomically
from consistency.support.json_files import pretty_json
from consistency.support.text import counted, shortened
from consistency.watch import frontier
from consistency.watch.alarm import BOUNDS, judge
from consistency.watch.figures import pool_of
from consistency.watch.rows import DRIFT, Alarm, DriftRow, Pool, first_alarm, read_drift, write_drift
from consistency.watch.settings import FIRST, WatchSettings

ALARM = "alarm.json"
KEPT, LEARNED = "kept", "learned"
# A model that gives no numbers for more of the questions than this is broken.
_BROKEN = 0.5


def step_folder(folder: Path, step: int) -> Path:
    """Where the logs of a step are."""
    return folder / f"step-{step:06d}"


class Drift:
    """What was found at each step of a training, kept in `drift.jsonl` of its folder.

    Parameters
    ----------
    folder : Path
        With the logs of the steps, `step-000000` and so on. What it holds of the training already is read.
    settings : WatchSettings

    Raises
    ------
    InputError
        If `drift.jsonl` is there and damaged.
    """

    def __init__(self, folder: Path, settings: WatchSettings) -> None:
        self.folder, self._settings = folder, settings
        self._rows = read_drift(folder) if (folder / DRIFT).exists() else []
        self._baseline: Run | None = None

    @property
    def rows(self) -> tuple[DriftRow, ...]:
        """The steps that were looked at."""
        return tuple(self._rows)

    @property
    def alarm(self) -> Alarm | None:
        """The first alarm; None as long as there is none."""
        return first_alarm(self._rows)

    def best_step(self, among: Collection[int] | None = None) -> int:
        """The last step on the frontier of those that keep within the limits: see `frontier.best_step`."""
        return frontier.best_step(self._rows, self._settings.stop.limits, among)

    def add(
        self,
        step: int,
        epoch: float,
        loss: float | None,
        seconds: float,
        *,
        progress: float,
        learning_rate: float | None = None,
    ) -> DriftRow:
        """Compare the logs of a step with the baseline, and write what was found.

        Steps from this one on that were looked at before are forgotten: the training went back to a checkpoint.

        Parameters
        ----------
        step : int
            Of which the logs are in the folder.
        epoch : float
        loss : float or None
        seconds : float
            That the scoring took.
        progress : float
            Which part of the training is done, from 0 to 1.
        learning_rate : float, optional

        Returns
        -------
        DriftRow

        Raises
        ------
        InputError
            If the logs cannot be read or compared, no task is left that is to be kept, or a name of `learn` is no task.
        """
        earlier = [row for row in self._rows if row.step < step]
        comparison, learned = self._compare(step)
        if earlier and (missing := sorted(set(earlier[0].tasks) - set(comparison.by_task))):
            raise InputError(
                f"lacks {', '.join(missing)}, which step {earlier[0].step} has", path=step_folder(self.folder, step)
            )
        kept = [name for name in comparison.by_task if name not in learned]
        if earlier and set(kept) != set(earlier[0].lost):
            raise InputError(
                f"watch.learn: {shortened(kept)} to be kept, and {shortened(list(earlier[0].lost))} at step {earlier[0].step}",
                expected="the same tasks at every step",
                do="give the settings that the training had, or train from the start",
                path=self.folder / DRIFT,
            )
        section = _section(comparison, KEPT, kept)
        lost, won, asked = _turned(comparison, kept)
        is_baseline = step == 0 and self._settings.baseline == FIRST

        def pooled(found: Section) -> Pool:
            return pool_of(found, is_baseline=is_baseline)

        row = DriftRow(
            step=step,
            epoch=epoch,
            loss=_finite(loss),
            seconds=seconds,
            learning_rate=_finite(learning_rate),
            progress=progress,
            kept=None if section is None else pooled(section),
            learned=None if (found := _section(comparison, LEARNED, learned)) is None else pooled(found),
            tasks={name: pooled(each) for name, each in comparison.by_task.items()},
            asked=asked,
            lost=lost,
            won=won,
            notes=() if is_baseline else tuple(_notes(comparison, step, own=self._settings.baseline == FIRST)),
        )
        if step:
            row = self._judged(row, [other for other in earlier if other.step], section)
        elif _without_numbers(section) > _BROKEN:
            raise InputError(
                "watch: the log-probabilities of the model are no numbers as the training begins",
                do="see whether it is loaded in a type that it was not made for (float16 in place of bfloat16)",
            )
        rows = [*earlier, row]
        write_drift(self.folder, rows)
        self._rows = rows
        self._write_alarm()
        return row

    def _compare(self, step: int) -> tuple[Comparison, list[str]]:
        """A step beside the baseline, and its tasks that are to be learned."""
        after = read_run(step_folder(self.folder, step))
        if self._baseline is None:
            own = self._settings.baseline == FIRST
            self._baseline = read_run(step_folder(self.folder, 0) if own else self._settings.baseline)
        common = [name for name in after.tasks if name in self._baseline.tasks]
        if not common:
            raise _no_baseline(self._settings, after.tasks)
        learned = _learned(self._settings, common, after.config)
        kept = [name for name in common if name not in learned]
        scopes = {name: tasks for name, tasks in ((KEPT, kept), (LEARNED, learned)) if tasks}
        return compare(self._baseline, after, scopes=scopes), learned

    def _judged(self, row: DriftRow, earlier: Sequence[DriftRow], section: Section | None) -> DriftRow:
        """The row with what it says about each condition, and the alarm if it raises one."""
        import msgspec

        turned = {condition: _counts(row, section, condition) for condition in self._settings.stop.limits}
        looks = judge(earlier, row, turned, self._settings.stop, self._settings.level)
        over = {name: look for name, look in looks.items() if look.p <= look.level}
        alarm = None
        without_numbers = _without_numbers(section)
        if without_numbers > _BROKEN:
            alarm = Alarm(
                step=row.step,
                epoch=row.epoch,
                condition="no_numbers",
                limit=_BROKEN,
                estimate=without_numbers,
                bound=without_numbers,
                p=0.0,
                level=0.0,
                lost=sum(map(len, row.lost.values())),
                won=sum(map(len, row.won.values())),
                n=row.asked,
            )
        elif over:
            condition = min(over, key=lambda name: over[name].p)
            look, counts = over[condition], turned[condition]
            alarm = Alarm(
                step=row.step,
                epoch=row.epoch,
                condition=condition,
                limit=self._settings.stop.limits[condition],
                estimate=look.estimate,
                bound=BOUNDS[condition](counts, look.level),
                p=look.p,
                level=look.level,
                lost=counts.lost,
                won=counts.won,
                n=counts.n,
                change=None if row.kept is None else row.kept.value("change"),
                by_letters=None if row.kept is None else row.kept.value("change_by_letters"),
            )
        return msgspec.structs.replace(row, looks=looks, alarm=alarm)

    def _write_alarm(self) -> None:
        """Write the first alarm into `alarm.json`; remove one of steps that are forgotten."""
        path, alarm = self.folder / ALARM, self.alarm
        if alarm is None:
            path.unlink(missing_ok=True)
        else:
            import msgspec

            write_atomically(path, pretty_json({**msgspec.structs.asdict(alarm), "text": alarm.to_text()}))


def check_tasks(settings: WatchSettings, tasks: Sequence[str], groups: dict[str, list[str]]) -> None:
    """Refuse settings that no look could use, before there is one.

    Parameters
    ----------
    settings : WatchSettings
    tasks : sequence of str
        Those that are watched.
    groups : dict of str to list of str
        The tasks and groups of each group of them.

    Raises
    ------
    InputError
        If a name of `learn` is none of the tasks, no task is left to be kept, or the baseline cannot be read or has none of them.
    """
    _learned(settings, tasks, RunConfig(groups=groups))
    if settings.baseline != FIRST and not {name.partition(",")[0] for name in read_run(settings.baseline).tasks} & {
        *tasks
    }:
        raise _no_baseline(settings, tasks)


def _no_baseline(settings: WatchSettings, tasks: Iterable[str]) -> InputError:
    return InputError(
        "watch.baseline: none of the tasks that are watched",
        expected=f"logs of {shortened(list(tasks))}",
        path=settings.baseline,
    )


def _learned(settings: WatchSettings, tasks: Sequence[str], config: RunConfig) -> list[str]:
    """The tasks that are to be learned; some others are left."""
    found = matched(settings.learn, tasks, config)
    if len(found) == len(tasks):
        raise InputError(
            "watch.learn: all tasks are to be learned",
            expected="a task besides, which is to be kept",
            do="add one to watch.tasks",
        )
    return found


def matched(patterns: Sequence[str], tasks: Collection[str], config: RunConfig) -> list[str]:
    """The tasks that names or patterns stand for, of tasks or of groups of them.

    Parameters
    ----------
    patterns : sequence of str
    tasks : collection of str
        As they are in a log, with `,FILTER` behind the name where a task has several.
    config : RunConfig
        With the groups.

    Raises
    ------
    InputError
        If a pattern stands for none of the tasks.

    Examples
    --------
    >>> matched(["law_*", "sums"], ["law_a", "plus", "minus"], RunConfig(groups={"sums": ["plus", "minus"]}))
    ['law_a', 'plus', 'minus']
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        names = [name for name in tasks if fnmatchcase(name.partition(",")[0], pattern)]
        for group in config.groups:
            if fnmatchcase(group, pattern):
                below = leaf_tasks(group, config.groups)
                names += [name for name in tasks if name.partition(",")[0] in below]
        if not names:
            raise InputError(
                f"watch.learn: {pattern!r} is none of the tasks",
                expected=f"one of {', '.join(sorted(tasks))}, or a pattern",
            )
        found |= dict.fromkeys(names)
    return [name for name in tasks if name in found]


def _notes(comparison: Comparison, step: int, *, own: bool) -> Iterator[str]:
    """What a reader of a step must know first; of favoured letters the figures themselves speak.

    A baseline of its own may hold more questions than are watched.
    """
    left_out = PairingReport.pooled([section.pairing for section in comparison.by_task.values()]).dropped
    for reason, dropped in left_out.items():
        if own or reason != ONLY_FIRST:
            why = {ONLY_FIRST: "not asked at this step", ONLY_SECOND: "not in the baseline"}.get(reason, reason)
            yield f"step {step}: {counted(dropped.count, 'question')} left out: {why}"
    undefined = 0 if comparison.overall is None else comparison.overall.estimates["same_top"].undefined
    if undefined:
        yield (
            f"step {step}: {counted(undefined, 'question', 'have')} no KL and no ranking: log-probabilities that are not "
            "numbers, or all of them minus infinity"
        )
    yield from (item.to_text() for item in comparison.unpaired)
    yield from comparison.names.to_lines()
    yield from (item.to_text() for item in comparison.clusters)
    yield from (item.to_text() for item in comparison.settings)
    # What is missing stands above.
    yield from (item.to_text() for item in comparison.warnings if not isinstance(item, SelectionBias | Doubt))


def _section(comparison: Comparison, scope: str, tasks: Sequence[str]) -> Section | None:
    """What changed in some tasks with options; of a single task without options what changed in it."""
    found = comparison.by_scope.get(scope)
    return comparison.by_task[tasks[0]] if found is None and len(tasks) == 1 else found


def _without_numbers(section: Section | None) -> float:
    """The share of the questions with options whose log-probabilities are no numbers."""
    found = None if section is None else section.estimates.get("same_top")
    return found.undefined / max(found.n + found.undefined, 1) if found is not None else 0.0


def _turned(comparison: Comparison, tasks: Sequence[str]) -> tuple[dict[str, list[int]], dict[str, list[int]], int]:
    """By task the doc_id of answers that turned to wrong and to right, and the number of questions with known answers."""
    lost, won, asked = {}, {}, 0
    for name in tasks:
        columns = comparison.items[name]
        before, after, doc_id = (columns[column] for column in ("correct_before", "correct_after", "doc_id"))
        asked += int(np.isfinite(before + after).sum())
        lost[name] = doc_id[(before == 1) & (after == 0)].tolist()
        won[name] = doc_id[(before == 0) & (after == 1)].tolist()
    return lost, won, asked


def _counts(row: DriftRow, section: Section | None, condition: str) -> Turned:
    """The answers that turned, and how many independent questions say as much where questions share passages."""
    estimate = (
        None
        if section is None
        else section.estimates.get("delta_accuracy" if condition == "margin" else "harmful_flips")
    )
    lost, won = (sum(map(len, turned.values())) for turned in (row.lost, row.won))
    effective = df = None
    if estimate is not None and estimate.effective_n is not None and estimate.n:
        effective, df = estimate.effective_n / estimate.n * row.asked, estimate.df
    return Turned(lost, won, row.asked, effective, df)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
