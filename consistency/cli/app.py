"""The command line: arguments in, calls out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from consistency.cli import domain, evaluate, training_data
from consistency.cli.after import after
from consistency.cli.compare import add_compare
from consistency.cli.experiment import Set, checkpoint, failures, read_settings, status
from consistency.cli.experiment import app as experiments
from consistency.cli.exports import card
from consistency.cli.options import HELP, options
from consistency.cli.plan_eval import plan_eval
from consistency.cli.watch import watch
from consistency.errors import not_one_of
from consistency.support.streams import say, show

app = typer.Typer(
    help="Did fine-tuning teach a model something, or break what it knew? Reads logs of lm_eval --log_samples.",
    no_args_is_help=True,
    context_settings=HELP,
    pretty_exceptions_enable=False,
)

app.add_typer(experiments, name="experiment")
app.add_typer(domain.app, name="domain")


app.callback()(options)
add_compare(app)
app.command("requests")(training_data.requests)
app.command("rounds")(training_data.rounds)
app.command("groups")(training_data.groups)
app.command("map")(training_data.knowledge_map)
app.command("audit")(training_data.audit)
app.command("leakage")(training_data.leakage)
app.command("eval", context_settings=evaluate.PASS_THROUGH)(evaluate.evaluate)
app.command("after", context_settings=evaluate.PASS_THROUGH)(after)
app.command("card")(card)
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
            help="Instead of an experiment: folders of two reports that are to be compared.",
            metavar="A B",
            show_default=False,
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
