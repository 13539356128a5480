"""The command line: arguments in, calls out."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consistency.cli import domain, evaluate, training_data
from consistency.cli.experiment import Set, checkpoint, failures, read_settings, status
from consistency.cli.experiment import app as experiments
from consistency.cli.plan_eval import plan_eval
from consistency.cli.watch import watch
from consistency.errors import InputError, not_one_of
from consistency.support.lazy_modules import UNUSED_OF_NUMPY, load_when_used
from consistency.support.streams import say, show, tell

if TYPE_CHECKING:
    from consistency.logs.runs import Run

app = typer.Typer(
    help="Did fine-tuning teach a model something, or break what it knew? Reads logs of lm_eval --log_samples.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

app.add_typer(experiments, name="experiment")
app.add_typer(domain.app, name="domain")


def _print_version(wanted: bool) -> None:
    if wanted:
        from consistency.support.version import own_version

        say(f"consistency {own_version()}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Read the options that are given before a command."""


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


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="Log folder, its .zip, a samples or a results file of the first run.")],
    after: Annotated[Path, typer.Argument(help="The same of the second run.")],
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
    out: Annotated[Path | None, typer.Option(help="Folder for JSON, tables and every question.")] = None,
    policy: Annotated[
        Path | None,
        typer.Option(help="YAML file of what must be kept: exit code 1 if it fails, 3 if it is inconclusive."),
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
    """Compare two evaluations of the same questions; `consistency explain` says what the words of the output mean."""
    # What only some comparisons need is imported where it is used: the first answer is to come at once.
    load_when_used(*UNUSED_OF_NUMPY)
    from consistency.comparison.compare import compare as compare_runs
    from consistency.comparison.result import SameRun
    from consistency.comparison.runs import read_both
    from consistency.support.files import Outputs
    from consistency.support.json_files import pretty_json
    from consistency.support.progress_line import progress_line
    from consistency.support.terminal import columns, shows_colours, wrapped
    from consistency.support.text import visible

    conditions, asked = [], None
    if fail_if:
        from consistency.comparison.conditions import check, read_condition

        conditions = [read_condition(text) for text in fail_if]
    if policy is not None:
        from consistency.comparison.decision import judge
        from consistency.comparison.policy import read_policy

        asked = read_policy(policy)
    with progress_line() as progress:
        read = list(read_both(before, after, run or (), progress))
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
        folder = None
        if out is not None:
            # The page and the figures are not loaded for a comparison that is only printed.
            from consistency.report.pair.report import draft_comparison

            with progress_line() as progress:
                folder = draft_comparison(comparison, out, outputs, progress)
        written = None if json in (None, Path("-")) else outputs.file(json)
        # Last of what can be refused: a check that ends in an error spends nothing of a budget.
        decision = None if asked is None else judge(asked, comparison, beside, noise_runs=runs)
        gate: dict[str, object] = {} if beside is None else {"noise": beside.to_dict()}
        gate |= {} if decision is None else {"policy": decision.to_dict()}
        gate |= {"conditions": [item.to_text() for item in checks]} if checks else {}
        if folder is not None and gate:
            (folder / "gate.json").write_text(pretty_json(gate), encoding="utf-8")
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
        wide = columns()
        text = comparison.to_text(None if every else MOST_TASKS, columns=wide, styles=shows_colours())
        judged = [*noises, *(item.to_text() for item in checks), *decided]
        # In a pipe or a file each is one line, for programs that look for it.
        most = wide if sys.stdout is not None and sys.stdout.isatty() else None
        lines = [line for sentence in judged for line in wrapped(visible(sentence), most, "  ")]
        show("\n".join([text, *lines]), styles=True)
    else:
        from consistency.report.pair.github import to_markdown

        show(to_markdown(comparison, checks, decision, beside, folded=form is Format.GITHUB))
    # Where the output goes into a file, the job's log says why it ended.
    closed = [item.to_text() for item in checks if item.failed]
    if decision is not None and decision.outcome:
        closed += decision.to_lines()
    if not sys.stdout.isatty():
        tell(*(f"consistency: {line}" for line in closed))
    code = decision.outcome.exit_code if decision is not None else 0
    if any(item.failed for item in checks):
        code = 1
    if code:
        raise typer.Exit(code)


def _find_scopes(domain: str, experiment: Path | None, run: Run) -> dict[str, list[str]]:
    """The scopes of a domain in a run; an own domain is that of an experiment file."""
    from consistency.experiment.reading import read_experiment
    from consistency.tasks.scopes import find_scopes

    own = None if experiment is None else read_experiment(experiment, "runs").own_domains.get(domain)
    return find_scopes(domain, run.tasks) if own is None else own.find_scopes(run.tasks, run.config.groups)


app.command("requests")(training_data.requests)
app.command("rounds")(training_data.rounds)
app.command("groups")(training_data.groups)
app.command("map")(training_data.knowledge_map)
app.command("audit")(training_data.audit)
app.command("leakage")(training_data.leakage)
app.command("eval", context_settings=evaluate.PASS_THROUGH)(evaluate.evaluate)
app.command("checkpoint")(checkpoint)
app.command("failures")(failures)
app.command("status")(status)
app.command("plan-eval")(plan_eval)
app.command("watch")(watch)


@app.command()
def report(
    experiment: Annotated[Path | None, typer.Argument(help="Experiment file.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the experiment's artefacts.")] = None,
    settings: Set = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Instead of an experiment: folders of two reports that are to be compared.", show_default=False
        ),
    ] = None,
) -> None:
    """Write the report of a finished experiment, or compare two reports."""
    if compare is not None:
        if experiment is not None or root is not None or settings:
            raise typer.BadParameter("--compare is for two reports: give no experiment, no --root and no --set")
        _compare_reports(compare, out)
        return
    if experiment is None or root is None or out is None:
        raise typer.BadParameter("give EXPERIMENT, --root and --out, or --compare and the folders of two reports")
    from consistency.experiment.reading import read_experiment
    from consistency.report.grid.report import write_report
    from consistency.support.progress_line import progress_line

    grid = read_experiment(experiment, root, read_settings(settings))
    with progress_line() as progress:
        page = write_report(grid, out, progress)
    say(page)


def _compare_reports(folders: tuple[Path, Path], out: Path | None) -> None:
    from consistency.report.differences.matching import compare_reports
    from consistency.report.differences.report import write_differences

    found = compare_reports(*folders)
    if out is not None:
        write_differences(found, out)
    show(found.to_text())


@app.command()
def rotations(
    logs: Annotated[Path, typer.Argument(help="Log folder of tasks whose name has _cyclic.")],
    task: Annotated[list[str] | None, typer.Option(help="Task; may be repeated. Default: all of them.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON; - for standard output.")] = None,
) -> None:
    """Fold the rotations of each question into one answer; report the selection bias, and what corrects it without rotations."""
    from consistency.knowledge.rotation_report import describe_rotations
    from consistency.logs.rotations import fold_rotations
    from consistency.logs.runs import read_run
    from consistency.support.files import write_atomically
    from consistency.support.json_files import pretty_json

    found = read_run(logs).tasks
    names = list(dict.fromkeys(task or [name for name in found if "_cyclic" in name]))
    _require(names or ["…_cyclic"], found, logs)
    described = describe_rotations([fold_rotations(found[name]) for name in names])
    text = pretty_json([item.to_dict() for item in described])
    if json == Path("-"):
        show(text)
        return
    if json is not None:
        write_atomically(json, text)
    for item in described:
        show(item.to_text())


@app.command()
def convert(
    raw: Annotated[
        Path, typer.Argument(help="Raw records: JSON lines or a JSON array; of cmmlu and ceval the folder.")
    ],
    out: Annotated[Path, typer.Argument(help="JSONL file of questions to write; of cmmlu and ceval the data folder.")],
    form: Annotated[str, typer.Option("--from", help="xiezhi, medmcqa, cmmlu or ceval.", show_default=False)],
    first_option: Annotated[int | None, typer.Option(help="MedMCQA: number of the first option, 0 or 1.")] = None,
) -> None:
    """Convert raw Xiezhi, MedMCQA, CMMLU or C-Eval records to the tasks' question files."""
    from consistency.tasks.conversion import EXAMS, convert_exams, convert_file

    if form in EXAMS:
        exam = convert_exams(raw, out, form)
        say(f"{out / form}: {sum(exam.files.values())} questions in {len(exam.files)} files")
        for reason, count in sorted(Counter(exam.skipped.values()).items()):
            first = next(path for path, why in exam.skipped.items() if why == reason)
            say(f"skipped: {count} files, such as {first} ({reason})")
        dropped = exam.dropped
    else:
        written, dropped = convert_file(raw, out, form, first_option)
        say(f"{out}: {written} questions")
    for reason, count in sorted(dropped.items()):
        say(f"dropped: {count} ({reason})")


@app.command()
def check_tokenizer(
    model: Annotated[str, typer.Argument(help="Folder or name of a model.")],
    options: Annotated[int, typer.Option(help="Number of option letters.")] = 4,
    template: Annotated[
        str,
        typer.Option(
            help="Chat template that the model is asked in: vicuna, chatml, a .jinja file, or model for its own."
        ),
    ] = "model",
    language: Annotated[str, typer.Option(help="Of the prompts: en, or zh for CMMLU and C-Eval.")] = "en",
) -> None:
    """Say before a long run whether a model's tokenizer lets option letters be scored; exit code 1 if not."""
    from consistency.tasks.tokenizers import check_tokenizer as check
    from consistency.tasks.tokenizers import load_tokenizer

    checks = check(load_tokenizer(model), options, template, language)
    for item in checks:
        show(item.to_text())
    if any(item.problems for item in checks):
        raise typer.Exit(1)


@app.command()
def tasks(
    names: Annotated[bool, typer.Option("--list", help="Print the tasks and groups instead.")] = False,
) -> None:
    """Print the folder for lm_eval --include_path."""
    from consistency.support.resources import shipped
    from consistency.tasks.task_files import shipped_tasks

    show("\n".join(shipped_tasks()) if names else str(shipped("lm_eval_tasks")), exact=True)


@app.command()
def explain(
    term: Annotated[list[str] | None, typer.Argument(help="A word of the output, such as equivalence.")] = None,
) -> None:
    """Say in plain words what a term of the output means; without one, list all terms."""
    from consistency.report.glossary import explain as explained
    from consistency.report.glossary import glossary

    if term:
        show(explained(" ".join(term)).to_text())
    else:
        say(*sorted({item.name for item in glossary()}, key=str.lower))


@app.command()
def world_model(out: Annotated[Path, typer.Argument(help="Folder to write.")]) -> None:
    """Copy the embedded world's base model to a folder of its own."""
    from consistency.world.model import copy_base_model

    copy_base_model(out)
    say(out)


def _require(names: list[str], tasks: Mapping[str, object], path: Path) -> None:
    for name in names:
        if name not in tasks:
            raise not_one_of("task", name, sorted(tasks), path=path)


def only(name: str) -> typer.Typer:
    """The program with one of its commands, since to build them all takes longer than to read a log; all, if it has no such."""
    asked = [
        command
        for command in app.registered_commands
        if name == (command.name or getattr(command.callback, "__name__", None))
    ]
    if not asked:
        return app
    program = typer.Typer(pretty_exceptions_enable=False)
    program.registered_callback, program.registered_commands = app.registered_callback, asked
    return program
