"""Commands about an experiment, before and while it runs: arguments in, calls out."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from consistency.experiment.grid import Experiment

app = typer.Typer(help="What an experiment would run.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="Experiment file.")]
Root = Annotated[Path | None, typer.Option(help="Folder of its artefacts. Default: runs/NAME.", show_default=False)]
Preset = Annotated[
    list[str] | None, typer.Option(help="Preset over the configs, instead of the experiment's; may be repeated.")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE, instead of the experiment's, as YAML; may be repeated.")
]
Devices = Annotated[int | None, typer.Option(min=1, help="Devices that train one model, instead of the experiment's.")]


def read_settings(given: list[str] | None) -> dict[str, Any]:
    """What --set says, by key."""
    import yaml

    from consistency.errors import InputError

    found = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        try:
            found[key] = yaml.safe_load(value) if value else ""
        except (yaml.YAMLError, ValueError):  # what looks like a date, and is none
            equals = ""
        if not equals:
            raise InputError(f"--set {text}", expected="KEY=VALUE, the value in YAML")
    return found


def _read(
    file: Path, root: Path | None, settings: list[str] | None, preset: list[str] | None, devices: int | None
) -> Experiment:
    from consistency.experiment.grid import read_experiment

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
    root: Root = None,
    settings: Set = None,
    preset: Preset = None,
    devices: Devices = None,
    full: Annotated[
        bool, typer.Option("--full", help="Also let Axolotl judge each config, and check each model's tokenizer.")
    ] = False,
) -> None:
    """Check an experiment before it runs; exit code 1 if it has problems."""
    from consistency.experiment.validation import validate as check

    experiment = _read(file, root, settings, preset, devices)
    found = check(experiment, full=full)
    # To standard error where there is something wrong: it is what a caller shows.
    typer.echo(found.to_text(), err=bool(found.problems))
    if found.problems:
        raise typer.Exit(1)
    typer.echo(f"{file}: {len(list(experiment.runs()))} models to fine-tune and evaluate on {experiment.device}")


@app.command()
def plan(
    file: File,
    root: Root = None,
    settings: Set = None,
    preset: Preset = None,
    devices: Devices = None,
    peak_tflops: Annotated[float, typer.Option(help="Peak of a device in bfloat16; 989 is an H100's.")] = 989,
    utilisation: Annotated[float, typer.Option(help="Share of the peak that is reached.")] = 0.3,
    parameters: Annotated[list[str] | None, typer.Option(help="MODEL=NUMBER; may be repeated.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate runs, rows, tokens, steps, hours of a device and disk."""
    from consistency.errors import InputError
    from consistency.experiment.plan import plan as estimate
    from consistency.support.json_files import pretty_json

    sizes = {}
    for given in parameters or ():
        model, _, number = given.partition("=")
        try:
            sizes[model] = float(number)
        except ValueError:
            raise InputError(f"--parameters {given}", expected="MODEL=NUMBER") from None
    experiment = _read(file, root, settings, preset, devices)
    found = estimate(experiment, peak_tflops=peak_tflops, utilisation=utilisation, parameters=sizes)
    if json:
        sys.stdout.write(pretty_json(found.to_dict()))
    else:
        typer.echo(found.to_text())


@app.command()
def config(
    group: Annotated[str, typer.Argument(help="Intervention group.")],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: standard output.")] = None,
    experiment: Annotated[Path | None, typer.Option(help="Experiment file, for presets, devices and model.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of one of its models. Default: the only one.")] = None,
    settings: Set = None,
    preset: Preset = None,
    devices: Devices = None,
    base_model: Annotated[str | None, typer.Option(help="Folder or name of the model.")] = None,
    rows: Annotated[Path | None, typer.Option(help="The group's rows. Default: groups/GROUP.jsonl.")] = None,
    output_dir: Annotated[str | None, typer.Option(help="Where the model goes. Default: tuned/GROUP.")] = None,
    micro_batch_size: Annotated[int | None, typer.Option(min=1, help="Examples that a device takes at once.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the order of the examples.")] = None,
) -> None:
    """Write the training config of a group with presets laid over it, which `axolotl train` runs as it is."""
    from consistency.errors import InputError
    from consistency.experiment.packing import packed
    from consistency.experiment.training_config import resolve
    from consistency.support.files import write_atomically
    from consistency.world.model import BASE_MODEL

    presets, count = tuple(preset or ()), devices or 1
    flags = {
        "base_model": base_model,
        "output_dir": output_dir,
        "micro_batch_size": micro_batch_size,
        "seed": seed,
    }
    for option, value in (("--set", settings), ("--model", model)):
        if experiment is None and value:
            raise InputError(f"{option} is about an experiment", expected="--experiment FILE")
    if base_model == "":
        raise InputError("--base-model has no value", expected="a folder or a name")
    if rows is not None and rows.is_dir():
        raise InputError("is a folder", expected="the file with the group's rows", path=rows)
    if experiment is not None:
        read = _read(experiment, None, settings, preset, devices)
        name = model or read.models[0]
        if name not in read.models or (model is None and len(read.models) > 1):
            problem = "has several models" if model is None else f"has no model {model}"
            raise InputError(problem, expected=f"--model, one of {', '.join(read.models)}", path=experiment)
        presets, count = read.presets.get(name, ()), read.devices
        if base_model is None:
            flags["base_model"] = str(BASE_MODEL) if read.sources[name] == "embedded" else read.sources[name]
    given = {key: value for key, value in flags.items() if value is not None}
    rows = rows or Path("groups", f"{group}.jsonl")
    found = resolve(group, presets, count, given, rows)
    if found.values["sample_packing"] and rows.is_file():
        found = packed(found, rows)
    text = found.to_yaml()
    if out is None:
        sys.stdout.write(text)
    else:
        write_atomically(out, text)


def checkpoint(
    folder: Annotated[list[Path], typer.Argument(help="Folder of a saved model or adapter; may be several.")],
    load: Annotated[
        bool, typer.Option("--load", help="Let transformers match weights and architecture, too; takes some seconds.")
    ] = False,
) -> None:
    """Check that a saved model is whole: config, finite weights, tokenizer, chat template."""
    from consistency.experiment.checkpoint import check_checkpoint

    for item in folder:
        typer.echo(check_checkpoint(item, load=load).to_text())


def failures(log: Annotated[Path, typer.Argument(help="Snakemake's log: .snakemake/log/*.log")]) -> None:
    """Say which runs of a grid failed, why, and where their logs are."""
    from consistency.experiment.failures import read_failures

    for failure in read_failures(log):
        typer.echo(failure.to_text())
