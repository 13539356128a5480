"""The command compare: two runs, many runs against one, or several runs a side."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consistency.errors import InputError
from consistency.support.lazy_modules import UNUSED_OF_NUMPY, load_when_used
from consistency.support.streams import say_sentences, show, tell

if TYPE_CHECKING:
    from consistency.logs.runs import Run


class Format(StrEnum):
    """How a comparison is printed."""

    TEXT = "text"
    GITHUB = "github"
    MARKDOWN = "markdown"
    JSON = "json"


def _explain(term: str | None) -> None:
    if term is not None:
        from consistency.report.glossary import explain as explained

        show(explained(term).to_text())
        raise typer.Exit


# Rows of the printed table.
MOST_TASKS = 10


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
    json: Annotated[Path | None, typer.Option(help="Write the result as JSON; - for standard output.")] = None,
    margin: Annotated[float, typer.Option(help="Largest change of accuracy that counts as none.")] = 0.01,
    score: Annotated[str, typer.Option(help="raw, acc_norm, acc_bytes or acc_mutual_info.")] = "raw",
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
            help="Logs of two runs of the same model: the change beside what they differ by.", show_default=False
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
    term: Annotated[
        str | None,
        typer.Option(
            "--explain", help="Say what a word of the output means, and exit.", callback=_explain, is_eager=True
        ),
    ] = None,
) -> None:
    """Compare two evaluations of the same questions, or many with the first; `consistency explain` says what the words mean."""
    # What only some comparisons need is imported where it is used: the first answer is to come at once.
    load_when_used(*UNUSED_OF_NUMPY)
    if single_file and out is None:
        raise InputError("--single-file: no report is written", do="name its folder with --out")
    # What is for two runs alone.
    unused = {
        "--run": run,
        "--policy": policy,
        "--noise": noise,
        "--by": by,
        f"--format {form.value}": form not in (Format.TEXT, Format.JSON),
    }
    place = Path("-") if form is Format.JSON else json
    if runs_before or runs_after:
        if before is not None or after or label or not (runs_before and runs_after):
            raise typer.BadParameter("give BEFORE and AFTER, or --before and --after, each with its logs")
        if len(runs_before) > 1 or len(runs_after) > 1:
            from consistency.cli.sides import compare_several

            _refuse({**unused, "--order": order}, "not with several runs a side")
            compare_several(
                runs_before,
                runs_after,
                conditions=fail_if or [],
                json=place,
                out=out,
                single_file=single_file,
                most=None if every else MOST_TASKS,
                scopes=None if scopes is None else partial(_find_scopes, scopes, experiment),
                margin=margin,
                score=score,
                filter_name=filter_name,
                task_sampling=tasks.value,
                cluster=cluster,
            )
            return
        before, after = runs_before[0], runs_after
    if before is None:
        raise typer.BadParameter("give two logs, BEFORE and AFTER, or several of each with --before and --after")
    from consistency.cli.many import compare_many, named_runs

    reference, several = named_runs(before, after or (), label or ())
    if len(several) > 1:
        sampled = {"--tasks sampled": tasks is TaskSampling.SAMPLED, "--scopes": scopes, "--experiment": experiment}
        _refuse({**unused, **sampled}, f"for two runs, and these are {len(several) + 1}")
        compare_many(
            before,
            reference,
            several,
            order=order,
            fail_if=fail_if or (),
            json=place,
            out=out,
            single_file=single_file,
            margin=margin,
            score=score,
            cluster=cluster,
            filter_name=filter_name,
            every=every,
        )
        return
    if not several:
        raise typer.BadParameter("Missing argument 'AFTER': a second run, or several")
    if order is not None:
        raise typer.BadParameter("--order is for several runs: give BEFORE and two or more others")
    (other,) = several
    from consistency.cli.gate import ending
    from consistency.comparison.compare import compare as compare_runs
    from consistency.comparison.result import SameRun
    from consistency.comparison.runs import read_both
    from consistency.support.files import Outputs
    from consistency.support.json_files import pretty_json
    from consistency.support.progress_line import progress_line
    from consistency.support.terminal import columns, is_terminal, shows_colours

    conditions, asked = [], None
    if fail_if:
        from consistency.comparison.conditions import check, read_condition

        conditions = [read_condition(text) for text in fail_if]
    if policy is not None:
        from consistency.comparison.decision import judge
        from consistency.comparison.policy import read_policy

        asked = read_policy(policy)
    with progress_line() as progress:
        read = list(read_both(before, other, run or (), progress))
        found = None if scopes is None else _find_scopes(scopes, experiment, read[0])
        # Handed over: what a comparison does not need of them would take as much memory again until its end.
        comparison = compare_runs(
            read.pop(0),
            read.pop(0),
            margin=margin,
            score=score,
            scopes=found,
            filter_name=filter_name,
            task_sampling=tasks.value,
            cluster=cluster,
            by=by or (),
            progress=progress,
        )
        runs = None
        if noise is not None:
            runs = compare_runs(*noise, margin=margin, score=score, filter_name=filter_name, progress=progress)
    checks = check(conditions, comparison) if conditions else ()
    if runs is not None and any(isinstance(item, SameRun) for item in runs.warnings):
        raise InputError(
            "--noise: one run, given twice", expected="two runs of the same model", path=noise and noise[0]
        )
    beside = None
    if runs is not None:
        from consistency.comparison.noise import beside_noise

        beside = beside_noise(comparison, runs)
    with Outputs() as outputs:
        drafted = None
        if out is not None:
            # The page and the figures are not loaded for a comparison that is only printed.
            from consistency.report.gate import gate_of
            from consistency.report.pair.report import draft_comparison

            with progress_line() as progress:
                drafted = draft_comparison(comparison, out, outputs, progress)
        written = None if json in (None, Path("-")) else outputs.file(json)
        # Last of what can be refused: a check that ends in an error spends nothing of a budget.
        decision = None if asked is None else judge(asked, comparison, beside, noise_runs=runs)
        gate: dict[str, object] = {} if beside is None else {"noise": beside.to_dict()}
        gate |= {} if decision is None else {"policy": decision.to_dict()}
        gate |= {"conditions": [item.to_text() for item in checks]} if checks else {}
        if drafted is not None:
            if gate:
                (drafted.folder / "gate.json").write_text(pretty_json(gate), encoding="utf-8")
            noises = [] if beside is None else beside.to_lines(comparison)
            drafted.write(gate_of(checks, decision, noises), single_file=single_file)
        stored = ""
        if json is not None or form is Format.JSON:
            stored = pretty_json(
                comparison.to_dict() | {name: gate[name] for name in ("noise", "policy") if name in gate}
            )
        if written is not None:
            written.write(stored.encode())
    if json == Path("-") or form is Format.JSON:
        show(stored)
    elif form is Format.TEXT:
        noises = [] if beside is None else beside.to_lines(comparison)
        decided = [] if decision is None else decision.to_lines()
        text = comparison.to_text(None if every else MOST_TASKS, columns=columns(), styles=shows_colours())
        show(text, styles=True)
        say_sentences(*noises, *(item.to_text() for item in checks), *decided)
    else:
        from consistency.report.pair.github import to_markdown

        show(to_markdown(comparison, checks, decision, beside, folded=form is Format.GITHUB))
    code, why = ending(checks, decision)
    # Where the output goes into a file, the job's log says why it ended.
    if not is_terminal():
        tell(*(f"consistency: {line}" for line in why))
    if code:
        raise typer.Exit(code)


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
