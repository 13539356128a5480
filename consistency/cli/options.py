"""The options that are given before a command."""

from __future__ import annotations

from typing import Annotated

import typer

from consistency.support.streams import say

# Of a program: its commands have the same.
HELP = {"help_option_names": ["-h", "--help"]}


def _print_version(wanted: bool) -> None:
    if wanted:
        from consistency.support.version import VERSION

        say(f"consistency {VERSION}")
        raise typer.Exit


def options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Read the options that are given before a command."""
