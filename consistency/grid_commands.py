"""Commands that the grid calls while it runs: arguments in, calls out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def checkpoint(
    folder: Annotated[list[Path], typer.Argument(help="Folder of a saved model or adapter; may be several.")],
    load: Annotated[
        bool, typer.Option("--load", help="Let transformers match weights and architecture, too; takes some seconds.")
    ] = False,
) -> None:
    """Check that a saved model is whole: config, finite weights, tokenizer, chat template."""
    from consistency.checkpoint import check_checkpoint

    for item in folder:
        typer.echo(check_checkpoint(item, load=load).to_text())


def failures(log: Annotated[Path, typer.Argument(help="Snakemake's log: .snakemake/log/*.log")]) -> None:
    """Say which runs of a grid failed, why, and where their logs are."""
    from consistency.failures import read_failures

    for failure in read_failures(log):
        typer.echo(failure.to_text())
