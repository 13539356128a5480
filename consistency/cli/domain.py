"""The commands of ``consistency domain``: a new domain of the user's own, and its check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from consistency.cli.experiment import File, Set, read_settings
from consistency.support.streams import say, show

app = typer.Typer(help="Begin an experiment on a domain of your own, and check its questions.", no_args_is_help=True)


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the domain.")],
    out: Annotated[Path, typer.Option(help="Folder for the experiment file and the questions.")],
    source: Annotated[
        str | None,
        typer.Option("--from", help="Table of questions to split: CSV, JSON, JSONL, Parquet or hub:ORG/NAME@REVISION."),
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="KEY=COLUMN, such as answer=key; choices=a,b,c,d. May be repeated.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Split of a data set of the hub. Default: train.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the split into pool, test set and few-shot examples.")] = 0,
    test_share: Annotated[float, typer.Option(help="Share of the test set.")] = 0.25,
) -> None:
    """Write a commented experiment file, and split a table of questions into its files."""
    from consistency.errors import InputError
    from consistency.tasks.question_tables import QuestionSource, read_columns
    from consistency.training_data.domain_files import write_domain

    if source is None and (column or split):
        raise InputError("--column and --split are about a table", expected="--from TABLE")
    columns: dict[str, Any] = {}
    for text in column or ():
        key, _, value = text.partition("=")
        columns[key] = value.split(",") if key == "choices" and "," in value else value
    table = None
    if source is not None:
        table = QuestionSource(source, read_columns(columns, "--column") if columns else None, split)
    file, found = write_domain(name, out, table, seed, test_share)
    say(f"{file}: the experiment, with every key explained")
    if found is not None:
        show(found.to_text())
    say(f"then: consistency domain check {file}")


@app.command()
def check(file: File, settings: Set = None) -> None:
    """Check the own domains of an experiment: questions, options, duplicates, scopes; exit code 1 if there are problems."""
    from consistency.errors import InputError
    from consistency.experiment.reading import read_experiment
    from consistency.training_data.domain_check import check_domains

    experiment = read_experiment(file, "runs", read_settings(settings))
    if not experiment.own_domains:
        raise InputError("has no own domain", expected="domains: {NAME: {pool: …, test: …, dev: …}}", path=file)
    found = check_domains(experiment)
    for item in found:
        show(item.to_text())
    if any(item.problems for item in found):
        raise typer.Exit(1)
