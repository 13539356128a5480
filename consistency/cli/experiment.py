"""The commands of ``consistency experiment``, and those about the checkpoints and failures of its runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consistency.cli.exit_codes import MISTAKE
from consistency.support.streams import say, show, tell

if TYPE_CHECKING:
    from consistency.experiment.grid import Experiment

app = typer.Typer(help="Check, plan and resolve an experiment before it runs.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="Experiment file.")]
Root = Annotated[Path | None, typer.Option(help="Folder of its artefacts. Default: runs/NAME.", show_default=False)]
Preset = Annotated[
    list[str] | None, typer.Option(help="Preset over the configs, instead of the experiment's; may be repeated.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE, instead of the experiment's, as YAML; may be repeated.")
]
Template = Annotated[
    str,
    typer.Option(help="Chat template: vicuna, chatml, a file that ends in .jinja, or model for the tokenizer's own."),
]
Devices = Annotated[int | None, typer.Option(min=1, help="Devices that train one model, instead of the experiment's.")]


def read_settings(given: list[str] | None) -> dict[str, Any]:
    """The values of ``--set KEY=VALUE``, by key."""
    from consistency.errors import InputError
    from consistency.support.yaml_files import parse_yaml

    found = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        try:
            found[key] = parse_yaml(value, "a value in YAML") if value else ""
        except InputError as error:
            raise InputError(f"--set {key}: {error.problem}", expected="KEY=VALUE, the value in YAML") from error
        if not equals:
            raise InputError(f"--set {text}", expected="KEY=VALUE, the value in YAML")
    return found


def _read(
    file: Path, root: Path | None, settings: list[str] | None, preset: list[str] | None, devices: int | None
) -> Experiment:
    from consistency.experiment.reading import read_experiment

    given = read_settings(settings)
    if preset:
        given["preset"] = preset
    if devices:
        given["devices"] = devices
    found = read_experiment(file, "runs", given)
    return replace(found, root=root or found.root / found.name)


@app.command()
def validate(
    file: File,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Also let Axolotl and lm_eval check their settings, check tokenizers, and look for the device and its memory.",
        ),
    ] = False,
    elsewhere: Annotated[
        bool,
        typer.Option("--elsewhere", help="The runs will be on other hosts (Slurm): do not look for the device here."),
    ] = False,
    root: Root = None,
    settings: Set = None,
    preset: Preset = None,
    devices: Devices = None,
) -> None:
    """Check an experiment before it runs; exit code 2 if it has problems."""
    experiment = _read(file, root, settings, preset, devices)
    say(*_validated(file, experiment, settings, full, elsewhere))


@app.command()
def grid(file: File, root: Root = None, settings: Set = None) -> None:
    """Check an experiment as `validate` does, and print as JSON what the grid's workflow, scripts/Snakefile, reads of it."""
    import json
    import os

    from consistency.errors import InputError
    from consistency.experiment.workflow import workflow
    from consistency.support.json_files import pretty_json
    from consistency.tasks.sources import VARIABLE

    experiment = _read(file, root, settings, None, None)
    tell(*_validated(file, experiment, settings))
    data = os.environ.get(VARIABLE, "")
    found = workflow(experiment, os.environ.get("CUDA_VISIBLE_DEVICES"), data)
    text = pretty_json(found)
    # Where a path is not UTF-8, JSON has another one.
    if json.loads(text) != json.loads(json.dumps(found)):
        raise InputError("names a path that is not UTF-8", do="rename the folder, or give another --root", path=file)
    show(text)


@app.command()
def tasks(
    file: File,
    root: Root = None,
    settings: Set = None,
    domain: Annotated[
        str | None, typer.Option(help="One own domain. Default: all of them.", show_default=False)
    ] = None,
) -> None:
    """Write the tasks and questions of own domains to ROOT/tasks/DOMAIN; what has not changed stays untouched."""
    from consistency.errors import not_one_of
    from consistency.tasks.own_tasks import write_own_tasks

    experiment = _read(file, root, settings, None, None)
    if domain is not None and domain not in experiment.own_domains:
        raise not_one_of("own domain", domain, experiment.own_domains, path=file)
    for name in experiment.own_domains if domain is None else (domain,):
        say(write_own_tasks(experiment.own_domains[name], experiment.own_tasks(name)).to_text())
    if not experiment.own_domains:
        say(f"{file}: no own domain")


def _validated(
    file: Path, experiment: Experiment, settings: list[str] | None, full: bool = False, elsewhere: bool = False
) -> list[str]:
    """The notes on an experiment; where it has problems, these are printed to standard error, and the exit code is 2."""
    import os

    from consistency.experiment.reading import key_line, key_of_error
    from consistency.experiment.validation import validate as check
    from consistency.tasks.sources import VARIABLE
    from consistency.training_data.pools import pool_problems
    from consistency.watch.settings import read_settings as read_watch

    given = read_settings(settings)
    with key_of_error(file, given):
        if experiment.watch is not None:
            for domain in experiment.domains:
                # How many steps a training has is not known yet.
                read_watch(experiment.watched(domain), planned_steps=1000)
        found = check(experiment, full=full, elsewhere=elsewhere)
    left = tuple(pool_problems(experiment, os.environ.get(VARIABLE, "")))
    found = replace(found, problems=found.problems + left)
    if found.problems:
        for problem in found.problems:
            line = key_line(file, problem, given)
            tell(f"problem: {file}:{f'{line}:' if line else ''} {problem}")
        tell(*(found.notes if full else ()))
        raise typer.Exit(MISTAKE)
    runs = len(list(experiment.runs()))
    return [*found.notes, f"{file}: {runs} models to fine-tune and evaluate on {experiment.device}"]


@app.command()
def plan(
    file: File,
    root: Root = None,
    settings: Set = None,
    preset: Preset = None,
    devices: Devices = None,
    peak_tflops: Annotated[
        float | None,
        typer.Option(help="Peak of a device. Default: 989 (an H100) on cuda, 0.1 for each core of this CPU."),
    ] = None,
    utilisation: Annotated[
        float | None, typer.Option(help="Share of the peak that is reached. Default: 0.3, on a CPU 0.5.")
    ] = None,
    parameters: Annotated[list[str] | None, typer.Option(help="MODEL=NUMBER; may be repeated.")] = None,
    change: Annotated[
        float,
        typer.Option(help="Difference of two groups' accuracies that matters, in points: how many seeds find it?"),
    ] = 5.0,
    report: Annotated[
        Path | None,
        typer.Option(help="Report of a grid with several seeds, whose spread is taken. Default: an assumed one."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate runs, rows, tokens, steps, hours of a device, disk and fetches, and how many seeds a claim needs."""
    from consistency.errors import InputError
    from consistency.experiment.plan import plan as estimate
    from consistency.report.grid.seed_spread import read_spread
    from consistency.support.json_files import pretty_json

    sizes = {}
    for given in parameters or ():
        model, _, number = given.partition("=")
        try:
            sizes[model] = float(number)
        except ValueError:
            raise InputError(f"--parameters {given}", expected="MODEL=NUMBER") from None
    experiment = _read(file, root, settings, preset, devices)
    found = estimate(
        experiment,
        peak_tflops=peak_tflops,
        utilisation=utilisation,
        parameters=sizes,
        change=change / 100,
        spread=None if report is None else read_spread(report),
        measured_in="" if report is None else str(report),
    )
    if json:
        show(pretty_json(found.to_dict()))
    else:
        show(found.to_text())


@app.command()
def config(
    group: Annotated[str, typer.Argument(help="Intervention group.")],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None,
    experiment: Annotated[
        Path | None, typer.Option(help="Experiment file, for presets, devices, flags and model.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of one of its models. Default: the only one.")] = None,
    domain: Annotated[str | None, typer.Option(help="One of its domains, where its trainings are watched.")] = None,
    settings: Set = None,
    preset: Preset = None,
    devices: Devices = None,
    base_model: Annotated[str | None, typer.Option(help="Folder or name of the model.")] = None,
    rows: Annotated[Path | None, typer.Option(help="The group's rows. Default: groups/GROUP.jsonl.")] = None,
    output_dir: Annotated[str | None, typer.Option(help="Where the model goes. Default: tuned/GROUP.")] = None,
    micro_batch_size: Annotated[int | None, typer.Option(min=1, help="Examples that a device takes at once.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the order of the examples.")] = None,
    template: Annotated[
        str | None, typer.Option(help="Chat template, as in an experiment. Default: the experiment's, or vicuna.")
    ] = None,
) -> None:
    """Write the training config of a group with presets and flags in it, which `axolotl train` runs as it is."""
    from consistency.errors import InputError
    from consistency.experiment.packing import packed
    from consistency.experiment.training_config import resolve
    from consistency.support.files import write_atomically

    options = {
        "base_model": base_model,
        "output_dir": output_dir,
        "micro_batch_size": micro_batch_size,
        "seed": seed,
    }
    given = {key: value for key, value in options.items() if value is not None}
    if base_model == "":
        raise InputError("--base-model has no value", expected="a folder or a name")
    rows = rows or Path("groups", f"{group}.jsonl")
    if experiment is not None:
        read = _read(experiment, None, settings, preset, devices)
        found = replace(read, template=template or read.template).config(model, group, given, rows, domain)
    else:
        for option, value in (("--set", settings), ("--model", model), ("--domain", domain)):
            if value:
                raise InputError(f"{option} is about an experiment", expected="--experiment FILE")
        found = resolve(group, preset or (), devices or 1, given, rows, template=template)
    text = packed(found, rows).to_yaml()
    if out is None:
        show(text, exact=True)
    else:
        write_atomically(out, text)


@app.command()
def host(
    gpus: Annotated[int, typer.Option(min=0, help="How many of the visible GPUs are used; 0: all.")] = 0,
) -> None:
    """Print as JSON what runs here would be trained on: hardware, versions, and the commit of the working directory."""
    from consistency.support.host import describe_host
    from consistency.support.json_files import pretty_json

    show(pretty_json(describe_host(gpus)))


@app.command()
def tokenizer(
    model: Annotated[str, typer.Argument(help="Folder or name of a model.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    template: Template = "vicuna",
) -> None:
    """Save a model's tokenizer with a chat template, for lm_eval's --model_args pretrained=MODEL,tokenizer=FOLDER."""
    from consistency.tasks.tokenizers import save_tokenizer

    save_tokenizer(model, template, out)
    say(out)


def checkpoint(
    folder: Annotated[list[Path], typer.Argument(help="Folder of a saved model or adapter; may be several.")],
    load: Annotated[
        bool, typer.Option("--load", help="Let transformers match weights and architecture, too; takes some seconds.")
    ] = False,
    template: Annotated[
        str | None, typer.Option(help="The chat template that it is to have: see `experiment tokenizer`. Default: any.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="The model that it was trained from. Default: the one that the training noted.")
    ] = None,
) -> None:
    """Check that a saved model is complete and trained: config, finite weights, others than the base's, tokenizer, template."""
    from consistency.experiment.checkpoint import check_checkpoint

    for item in folder:
        say(check_checkpoint(item, load=load, template=template, base=base).to_text())


def failures(log: Annotated[Path, typer.Argument(help="Snakemake's log: .snakemake/log/*.log")]) -> None:
    """Print which runs of a grid failed, why, and where their logs are."""
    from consistency.experiment.failures import read_failures

    for failure in read_failures(log):
        say(failure.to_text())


def status(
    file: File,
    root: Root = None,
    settings: Set = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    follow: Annotated[
        float | None,
        typer.Option(
            min=1,
            metavar="SECONDS",
            help="Look again after so many seconds, and print what is new, until all is done or the calling program ends.",
        ),
    ] = None,
) -> None:
    """Show a grid from another terminal: what is done, running, waiting and failed, and how long the rest takes."""
    from consistency.experiment.status import follow as follow_status
    from consistency.experiment.status import read_status
    from consistency.support.json_files import pretty_json

    experiment = _read(file, root, settings, None, None)
    if follow is not None:
        for line in follow_status(experiment, follow):
            tell(line)
    elif json:
        show(pretty_json(read_status(experiment).to_dict()))
    else:
        show(read_status(experiment).to_text())
