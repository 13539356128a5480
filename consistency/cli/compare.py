"""The command compare: two runs, many runs against one, or several runs a side."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consistency.cli.asked import Asked
from consistency.cli.formats import Format
from consistency.cli.sides import SeveralValues
from consistency.errors import InputError
from consistency.support.lazy_modules import load_when_used
from consistency.support.streams import show

if TYPE_CHECKING:
    from consistency.logs.runs import Run


def _explain(term: str | None) -> None:
    if term is not None:
        from consistency.report.glossary import explain as explained

        show(explained(term).to_text())
        raise typer.Exit


# Rows of the printed table.
MOST_TASKS = 10
# What may stand behind a number of points.
_POINTS = re.compile(r"(?P<number>[\d.]+) ?(?:pp|%|(?:percentage )?points?)")


def read_margin(given: str | float) -> float:
    """A change of accuracy as a fraction, from one or from points.

    Examples
    --------
    >>> read_margin("0.01"), read_margin("1 point"), read_margin("0.5 pp")
    (0.01, 0.01, 0.005)
    """
    text = str(given).strip()
    points = _POINTS.fullmatch(text)
    try:
        return float(points["number"]) / 100 if points else float(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a change of accuracy: give a fraction such as 0.01, or points such as '1 point'"
        ) from None


class Missing(StrEnum):
    """What `--fail-if` does where something was not compared: exit code 2, or judge the rest."""

    ERROR = "error"
    IGNORE = "ignore"


class TaskSampling(StrEnum):
    """What the intervals are about."""

    FIXED = "fixed"
    SAMPLED = "sampled"


def compare(
    before: Annotated[
        Path | None,
        typer.Argument(help="Log folder, its .zip, a samples or a results file of the first run.", show_default=False),
    ] = None,
    after: Annotated[
        list[Path] | None,
        typer.Argument(
            help="The same of the second run; of several, each is compared with the first.", show_default=False
        ),
    ] = None,
    runs_before: Annotated[
        list[Path] | None,
        typer.Option(
            "--before",
            help="Instead of BEFORE and AFTER: logs of several runs, such as training seeds: --before A1 A2 --after B1 B2.",
            show_default=False,
        ),
    ] = None,
    runs_after: Annotated[
        list[Path] | None, typer.Option("--after", help="The same of the runs after.", show_default=False)
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="What is printed; github is Markdown for a job's summary or a comment.")
    ] = Format.TEXT,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(help="Condition such as 'harmful flips > 2 %'; if it holds, exit code 1. May be repeated."),
    ] = None,
    missing: Annotated[
        Missing,
        typer.Option(
            help="With --fail-if, where tasks or questions of BEFORE were not compared, or samples could not be read: end with "
            "exit code 2 (error), or judge what was compared (ignore). A policy has a key of this name."
        ),
    ] = Missing.ERROR,
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON; - for standard output.")] = None,
    margin: Annotated[
        float,
        typer.Option(
            help="Largest change of accuracy that counts as none: 0.01 or '1 point'.",
            parser=read_margin,
            metavar="CHANGE",
        ),
    ] = 0.01,
    score: Annotated[str, typer.Option(help="raw (or acc, the same), acc_norm, acc_bytes or acc_mutual_info.")] = "raw",
    tasks: Annotated[
        TaskSampling,
        typer.Option(help="Intervals for other questions of the same tasks, or for other tasks of the kind."),
    ] = TaskSampling.FIXED,
    cluster: Annotated[
        str,
        typer.Option(
            help="Field of the documents whose equal values make questions clusters, such as passage_id; auto finds passages, "
            "repeated questions and translations; none."
        ),
    ] = "auto",
    run: Annotated[
        list[str] | None,
        typer.Option(
            help="Date of the run to read; twice: of BEFORE, then of AFTER. Default: the newest of each task."
        ),
    ] = None,
    filter_name: Annotated[
        str | None,
        typer.Option(
            "--filter", help="Filter that counts in tasks with several. Default: the first.", show_default=False
        ),
    ] = None,
    scopes: Annotated[str | None, typer.Option(help="Domain: also HOMO, ID and OOD.", show_default=False)] = None,
    experiment: Annotated[
        Path | None, typer.Option(help="Experiment file that has an own domain of --scopes.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the page, JSON, tables and every question.")] = None,
    single_file: Annotated[
        bool, typer.Option("--single-file", help="With --out: report.html holds its downloads, to be sent alone.")
    ] = False,
    policy: Annotated[
        Path | None,
        typer.Option(help="YAML file of what must be kept: exit code 1 if it fails, 3 if it is inconclusive."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="NAME=PATH: a name for a log, or a further run with its name. May be repeated."),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Of several runs, makes them a series: auto sorts them by the number in their names, or positions such as "
            "100,200,300.",
            show_default=False,
        ),
    ] = None,
    noise: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Logs of two runs of the same model: the change beside what they differ by.",
            metavar="A B",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            help="Field of the documents, such as subject or metadata.level, whose values make slices; or task, group, tag. "
            "May be repeated."
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option(
            "--all",
            help=f"Print all tasks and slices in the terminal's tables; by default the {MOST_TASKS} largest changes.",
        ),
    ] = False,
    export: Annotated[
        list[str] | None,
        typer.Option(
            help="wandb, trackio or mlflow, or several with commas: all numbers with their intervals as a run there, on this "
            "machine unless your settings say otherwise."
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the scores with their intervals and the answers of both runs as records of every_eval_ever."
        ),
    ] = None,
    term: Annotated[
        str | None,
        typer.Option(
            "--explain", help="Say what a word of the output means, and exit.", callback=_explain, is_eager=True
        ),
    ] = None,
) -> None:
    """Compare two evaluations of the same questions, or many with the first; `consistency explain` says what the words mean."""
    # What only some comparisons need is imported where it is used: the first answer is to come at once.
    load_when_used("scipy.special", "_ufuncs")
    if single_file and out is None:
        raise InputError("--single-file: no report is written", do="name its folder with --out")
    # What is for two runs alone.
    unused = {
        "--run": run,
        "--policy": policy,
        "--noise": noise,
        "--by": by,
        "--records": records,
    }
    trackers: tuple[str, ...] = ()
    if export:
        from consistency.report.exports.trackers import read_trackers

        # Before anything is read: what is missing is known at once.
        trackers = read_trackers(export)
    asked = Asked(
        {"margin": margin, "score": "raw" if score == "acc" else score, "filter_name": filter_name, "cluster": cluster},
        conditions=tuple(fail_if or ()),
        json=Path("-") if form is Format.JSON else json,
        out=out,
        single_file=single_file,
        trackers=trackers,
        most=None if every else MOST_TASKS,
        form=form,
        ignores_missing=missing is Missing.IGNORE,
    )
    find = None if scopes is None else partial(_find_scopes, scopes, experiment)
    if runs_before or runs_after:
        if before is not None or after or label or not (runs_before and runs_after):
            raise typer.BadParameter("give BEFORE and AFTER, or --before and --after, each with its logs")
        if len(runs_before) > 1 or len(runs_after) > 1:
            from consistency.cli.sides import compare_several

            _refuse({**unused, "--order": order}, "not with several runs a side")
            compare_several(runs_before, runs_after, asked, find, tasks.value)
            return
        before, after = runs_before[0], runs_after
    if before is None:
        raise typer.BadParameter("give two logs, BEFORE and AFTER, or several of each with --before and --after")
    from consistency.cli.many import compare_many, named_runs

    reference, several = named_runs(before, after or (), label or ())
    if len(several) > 1:
        sampled = {"--tasks sampled": tasks is TaskSampling.SAMPLED, "--scopes": scopes, "--experiment": experiment}
        _refuse({**unused, **sampled}, f"for two runs, and these are {len(several) + 1}")
        compare_many(before, reference, several, asked, order)
        return
    if not several:
        raise typer.BadParameter("Missing argument 'AFTER': a second run, or several")
    if reference is not None or any(several[path] for path in after or ()):
        raise typer.BadParameter("--label is for several runs: two are called before and after")
    if order is not None:
        raise typer.BadParameter("--order is for several runs: give BEFORE and two or more others")
    (other,) = several
    from consistency.cli.pair import compare_pair

    compare_pair(
        (before, other),
        replace(asked, json=json),
        run=run or (),
        find=find,
        by=by or (),
        policy=policy,
        noise=noise,
        form=form,
        records=records,
        task_sampling=tasks.value,
    )


def _refuse(given: Mapping[str, object], why: str) -> None:
    """Refuse options that have no meaning for what is compared."""
    names = [name for name, value in given.items() if value]
    if names:
        raise typer.BadParameter(f"{' and '.join(names)}: {why}")


def _find_scopes(domain: str, experiment: Path | None, run: Run) -> dict[str, list[str]]:
    """The scopes of a domain in a run; an own domain is that of an experiment file."""
    from consistency.experiment.reading import read_experiment
    from consistency.tasks.scopes import find_scopes

    own = None if experiment is None else read_experiment(experiment, "runs").own_domains.get(domain)
    return find_scopes(domain, run.tasks) if own is None else own.find_scopes(run.tasks, run.config.groups)


def add_compare(app: typer.Typer) -> None:
    """Add the command to a program."""
    app.command(cls=SeveralValues)(compare)
