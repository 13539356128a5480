"""The state of a grid, from the files below its root: what is done, running, waiting or failed, and how long the rest takes."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from consistency.errors import InputError
from consistency.experiment.failures import find_reason
from consistency.experiment.grid import Experiment, needs_contexts
from consistency.experiment.plan import plan
from consistency.experiment.program_log import is_locked, read_attempt, writers
from consistency.experiment.progress import STEPS, Progress, read_progress
from consistency.support.text import joined, padded, visible, width

State = Literal["done", "running", "waiting", "failed"]
STATES: tuple[State, ...] = ("done", "running", "waiting", "failed")
STAGES = ("probe", "base", "explain", "context", "groups", "train", "evaluate", "report")
# What takes seconds wherever it runs, for which no estimate waits.
_SHORT = {"groups": 5.0, "report": 60.0}
# What follows a program's bar, as a multiple of what came before it: a tuned model is saved, and loaded again to be checked; the
# answers of an evaluation are summed up and saved. As measured by scripts/measure_progress.py.
_CHECKING = 1.0
_SAVING = 0.2
# A program on another host whose lock cannot be seen here runs if its log is younger than this.
_SILENCE = 600.0


@dataclass(frozen=True)
class Job:
    """One step of a grid.

    Attributes
    ----------
    stage : str
        One of `STAGES`.
    name : str
        What it is of: model, domain, seed, group.
    output : pathlib.Path
        What exists once it is done.
    log : pathlib.Path
        The log of its program.
    state : {"done", "running", "waiting", "failed"}
        A program that was stopped together with the grid waits to start over.
    since : datetime.datetime or None
        When its program last began.
    seconds : float or None
        How long its program has run, or ran.
    progress : Progress or None
        How far a running program has come.
    left : float or None
        How many seconds it takes until it is done; None where nothing tells.
    reason : str or None
        Why it failed, and what to do.
    processes : tuple of int
        The processes on this host that write its log.
    host : str or None
        Where its program last began.
    alive : bool
        Whether a process is seen from here that is at work on it.
    """

    stage: str
    name: str
    output: Path
    log: Path
    state: State
    since: datetime | None = None
    seconds: float | None = None
    progress: Progress | None = None
    left: float | None = None
    reason: str | None = None
    processes: tuple[int, ...] = ()
    host: str | None = None
    alive: bool = False

    def to_text(self) -> str:
        """The job in one line."""
        text = f"{self.stage} {self.name}: "
        if self.state == "failed":
            return f"{text}{self.reason}; log: {self.log}"
        if self.state != "running":
            return text + self.state
        parts = [self.progress.to_text() if self.progress else "starting"]
        parts += [f"running for {_duration(self.seconds)}"] if self.seconds is not None else []
        parts += [f"{_duration(self.left)} left"] if self.left is not None else []
        return text + ", ".join(parts)


@dataclass(frozen=True)
class Status:
    """The state of a grid.

    Attributes
    ----------
    name, root : str, pathlib.Path
        The experiment and the folder of its artefacts.
    head : str or None
        The Snakemake that makes the grid now: its process, its host and when it began.
    jobs : tuple of Job
        All steps, stage by stage.
    hours : float or None
        How long the rest takes with as many programs at a time as run now, or one; None where nothing tells.
    basis : str
        Where `hours` comes from.
    """

    name: str
    root: Path
    head: str | None
    jobs: tuple[Job, ...]
    hours: float | None
    basis: str

    def counts(self) -> dict[str, dict[State, int]]:
        """The number of jobs by stage and state; stages without jobs are left out."""
        found: dict[str, dict[State, int]] = {}
        for job in self.jobs:
            found.setdefault(job.stage, dict.fromkeys(STATES, 0))[job.state] += 1
        return found

    def to_dict(self) -> dict[str, Any]:
        """The state as JSON-ready values."""
        values = asdict(self)
        values["root"] = str(self.root)
        for job in values["jobs"]:
            job |= {key: str(job[key]) for key in ("output", "log")}
            job["since"] = job["since"] and job["since"].isoformat()
        return values | {"counts": self.counts()}

    def lines(self) -> list[str]:
        """A line for each running job, then one for each that failed."""
        return [job.to_text() for state in ("running", "failed") for job in self.jobs if job.state == state]

    def to_text(self) -> str:
        """A table of the stages, the running jobs, those that failed, and the hours left."""
        rows: list[tuple[str, ...]] = [(visible(self.name), *STATES)]
        rows += [(stage, *(str(n) if n else "-" for n in counts.values())) for stage, counts in self.counts().items()]
        widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(
                padded(cell, columns, right=place > 0)
                for place, (cell, columns) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        return joined([*table, *self.lines(), self.summary()])

    def summary(self) -> str:
        """In one line who makes the grid, and how long the rest takes."""
        if all(job.state == "done" for job in self.jobs):
            return "all done"
        running = [job for job in self.jobs if job.state == "running"]
        head = self.head or f"no Snakemake is {'seen from' if running else 'running'} here"
        done = sum(job.state == "done" for job in self.jobs)
        left = "hours left: unknown" if self.hours is None else f"{_duration(3600 * self.hours)} left"
        return f"{head}; {done} of {len(self.jobs)} done; {left} ({self.basis})"


def read_status(experiment: Experiment) -> Status:
    """The state of a grid.

    Parameters
    ----------
    experiment : Experiment
        The experiment; the state is read from the files below its root, and from nothing else.

    Returns
    -------
    Status
    """
    jobs = [_read_job(*place) for place in _places(experiment)]
    seconds, basis = _durations(experiment, jobs)
    jobs = [_estimated(job, seconds.get(job.stage)) for job in jobs]
    left = [job.left for job in jobs if job.state in ("running", "waiting", "failed")]
    known = [each for each in left if each is not None]
    abreast = max(1, sum(job.state == "running" for job in jobs))
    hours = None
    if len(known) == len(left):
        # The rest cannot be done before the longest of its jobs is.
        hours = max(sum(known) / abreast, max(known, default=0.0)) / 3600
        basis += f", {abreast} at a time" if known else ""
    return Status(experiment.name, experiment.root, _head(experiment.root), tuple(jobs), hours, basis)


def follow(experiment: Experiment, seconds: float) -> Iterator[str]:
    """What is new in a grid, line by line, until all is done or the process that started this one has ended.

    Parameters
    ----------
    experiment : Experiment
        The experiment.
    seconds : float
        How long to wait before each look.

    Yields
    ------
    str
        A running job that has moved, a job that has failed, and the summary once a job has begun or ended.
    """
    parent = os.getppid()
    known: dict[Path, object] = {}
    counts: dict[str, dict[State, int]] = {}
    while True:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if os.getppid() != parent:
                return
            time.sleep(min(1.0, seconds))
        found = read_status(experiment)
        for job in found.jobs:
            place = job.state, job.since, job.progress and (job.progress.stage, job.progress.done)
            if job.state in ("running", "failed") and known.get(job.output) != place:
                yield job.to_text()
            known[job.output] = place
        if counts != (counts := found.counts()):
            yield found.summary()
        if all(job.state == "done" for job in found.jobs):
            return


def _places(experiment: Experiment) -> Iterator[tuple[str, str, Path, Path]]:
    """Stage, name, output and log of each job of a grid, stage by stage."""
    explained, in_context = bool(experiment.explained), any(map(needs_contexts, experiment.groups))
    for stage, style, needed in (
        ("probe", "icl", True),
        ("base", "ift", True),
        ("explain", "explain", explained),
        ("context", "context", in_context),
    ):
        for model in dict.fromkeys(experiment.recipe(model).base for model in experiment.models) if needed else ():
            logs = experiment.base_logs(model, style)
            yield stage, model, logs, logs.with_name(f"{logs.name}.log")
    runs = [(run, f"{run.model}, {run.domain}, seed {run.seed}: {run.group}") for run in experiment.runs()]
    for run, name in runs:
        yield "groups", name, run.rows, run.rows.with_suffix(".log")
    for run, name in runs:
        checked = run.config.with_suffix(".checked.txt")
        yield "train", name, checked, run.logs.with_name(f"{run.logs.name}.train.log")
    # All runs of a model and a group have one config.
    last = {
        (model, group): math.ceil(experiment.config(model, group).values["num_epochs"])
        for model in experiment.models
        for group in experiment.groups
        if experiment.every_epoch
    }
    for run, name in runs:
        epochs = range(1, last.get((run.model, run.group), 1))
        for ending, what in [*((f".epoch-{epoch}", f" after epoch {epoch}") for epoch in epochs), ("", "")]:
            logs = run.logs.with_name(f"{run.logs.name}{ending}")
            yield "evaluate", name + what, logs, logs.with_name(f"{logs.name}.evaluate.log")
    yield "report", experiment.name, experiment.root / "report", experiment.root / "report.log"


def _read_job(stage: str, name: str, output: Path, log: Path) -> Job:
    attempt, locked, done = read_attempt(log), is_locked(log), output.exists()
    if attempt is None:
        return Job(stage, name, output, log, "done" if done else "waiting")
    begun = attempt.since.timestamp() if attempt.since else None
    if done and not locked:
        # One that was found finished, and not run again, says nothing of how long it takes.
        ran = attempt.changed - begun if begun is not None and attempt.text.strip() else None
        return Job(stage, name, output, log, "done", attempt.since, ran, host=attempt.host)
    if attempt.exit_code is not None and not locked:
        return Job(stage, name, output, log, "failed", attempt.since, reason=find_reason(log), host=attempt.host)
    here = attempt.host == socket.gethostname()
    # A process that has closed the lock may still write. Where another host's locks are not seen, the age of the log tells.
    processes = writers(log) if here or locked else ()
    alive = locked or bool(processes)
    silent = time.time() - attempt.changed
    if not alive and (here or silent > _SILENCE):
        return Job(stage, name, output, log, "waiting", attempt.since, host=attempt.host)
    progress = read_progress(attempt.text)
    ran = time.time() - begun if begun is not None else None
    left = _left(progress, ran, silent) if progress else None
    return Job(
        stage, name, output, log, "running", attempt.since, ran, progress, left, None, processes, attempt.host, alive
    )


def _left(progress: Progress, ran: float | None, silent: float) -> float | None:
    """The seconds that a running program still takes, by its bar, which moved `silent` seconds ago."""
    if progress.seconds is None or progress.elapsed is None:
        return None
    started = max(0.0, ran - silent - progress.elapsed) if ran is not None else 0.0
    return max(0.0, progress.seconds - silent) + (_CHECKING if progress.stage == STEPS else _SAVING) * started


def _head(root: Path) -> str | None:
    path = root / ".lock"
    if not is_locked(path):
        return None
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        return f"Snakemake (PID {head['pid']} on {head['host']}) since {head['since']}"
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _durations(experiment: Experiment, jobs: Iterable[Job]) -> tuple[dict[str, float], str]:
    """Seconds that a job of each stage takes, and where they come from."""
    ended: dict[str, list[float]] = {}
    running: dict[str, list[float]] = {}
    for job in jobs:
        if job.state == "done" and job.seconds is not None:
            ended.setdefault(job.stage, []).append(job.seconds)
        elif job.left is not None:
            running.setdefault(job.stage, []).append((job.seconds or 0.0) + job.left)
    found = {stage: sum(values) / len(values) for stage, values in (running | ended).items()}
    # They ask the same questions, or are about as long.
    for stage, like in (("base", "evaluate"), ("base", "probe"), ("evaluate", "base")):
        if stage not in found and like in found:
            found[stage] = found[like]
    found = _SHORT | found
    missing = [stage for stage in STAGES if any(job.stage == stage and job.state != "done" for job in jobs)]
    missing = [stage for stage in missing if stage not in found]
    if not missing:
        return found, "by what has run"
    # The plan leaves out starting up, which takes longer than the rest on a small model.
    if experiment.device.startswith("cuda"):
        with suppress(InputError):
            return _planned(experiment) | found, "by what has run, else by the plan"
    return found, f"nothing tells yet how long {', '.join(missing)} takes"


def _planned(experiment: Experiment) -> dict[str, float]:
    """Seconds that a job of each stage takes by the plan."""
    models = plan(experiment).models
    runs, bases = sum(model.runs for model in models), len(experiment.sources)
    asked = sum(model.evaluations for model in models) + 2 * bases
    evaluation = 3600 * sum(model.evaluation_hours for model in models) / asked
    written = 3600 * sum(model.generation_hours for model in models) / bases
    return {
        "probe": evaluation,
        "base": evaluation,
        "evaluate": evaluation,
        "explain": written,
        "context": written,
        "train": 3600 * sum(model.training_hours for model in models) / runs,
    }


def _estimated(job: Job, seconds: float | None) -> Job:
    """The job with the seconds that it still takes, where its own progress does not tell them."""
    if job.state == "done" or job.left is not None or seconds is None:
        return job
    ran = (job.seconds or 0.0) if job.state == "running" else 0.0
    return replace(job, left=max(0.0, seconds - ran))


def _duration(seconds: float | None) -> str:
    """A duration to be read at a glance.

    Examples
    --------
    >>> [_duration(seconds) for seconds in (7, 75, 600, 5400, 200_000)]
    ['7 s', '1 min 15 s', '10 min', '1.5 h', '56 h']
    """
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 300:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.2g} h"
