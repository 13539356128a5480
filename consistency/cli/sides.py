"""`consistency compare --before A1 A2 --after B1 B2`: several runs a side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

from consistency.support.streams import say_sentences, show

if TYPE_CHECKING:
    import click

    from consistency.logs.runs import Run

_SEVERAL = ("--before", "--after")


class SeveralValues(TyperCommand):
    """A command whose options --before and --after take all values up to the next option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """The arguments that no parameter took."""
        return super().parse_args(ctx, spread(args))


def spread(arguments: Sequence[str]) -> list[str]:
    """Arguments with --before or --after in front of each of its values.

    Examples
    --------
    >>> spread(["--before", "A1", "A2", "--after=B1", "B2", "--json", "-"])
    ['--before', 'A1', '--before', 'A2', '--after=B1', '--after', 'B2', '--json', '-']
    """
    found: list[str] = []
    option, first = "", False
    for place, argument in enumerate(arguments):
        if argument == "--":
            return [*found, *arguments[place:]]
        if argument.startswith("-") and argument != "-":
            name, given, _ = argument.partition("=")
            option, first = (name if name in _SEVERAL else ""), not given
        elif option and not first:
            found.append(option)
        else:
            first = False
        found.append(argument)
    return found


def compare_several(
    before: Sequence[Path],
    after: Sequence[Path],
    *,
    conditions: Sequence[str],
    json: Path | None,
    out: Path | None,
    single_file: bool,
    trackers: Sequence[str],
    most: int | None,
    scopes: Callable[[Run], Mapping[str, Sequence[str]]] | None,
    **how: Any,
) -> None:
    """Compare two sides of several runs, print and write what was found; with a condition that holds exit code 1.

    Parameters
    ----------
    before, after : sequence of Path
        The logs.
    conditions : sequence of str
        Of --fail-if.
    json : Path or None
        Where the result goes as JSON; `-` is standard output.
    out : Path or None
        The folder of the report.
    single_file : bool
        Whether its page holds what else it offers.
    trackers : sequence of str
        Where the comparison goes as a run.
    most : int or None
        Of more tasks only so many are printed.
    scopes : callable or None
        From the first run to the tasks of each scope.
    how
        As `compare_sides` takes it.
    """
    from consistency.cli.exports import export_to
    from consistency.cli.gate import end, where
    from consistency.comparison.conditions import check, read_condition
    from consistency.comparison.sides.compare import compare_sides
    from consistency.logs.runs import read_run
    from consistency.support.files import Outputs
    from consistency.support.json_files import pretty_json
    from consistency.support.progress_line import progress_line
    from consistency.support.terminal import columns, shows_colours

    asked = [read_condition(text) for text in conditions]
    logs: list[Path | Run] = list(before)
    found = None
    if scopes is not None:
        logs[0] = first = read_run(before[0], skip_unreadable=True)
        found = scopes(first)
    with progress_line() as progress:
        comparison = compare_sides(logs, after, scopes=found, progress=progress, **how)
    checks = check(asked, comparison.changes) if asked else []
    lines = [item.to_text() for item in checks]
    decided = {"conditions": lines} if lines else {}
    stored = pretty_json(comparison.to_dict() | decided) if json is not None else ""
    with Outputs() as outputs:
        if out is not None:
            from consistency.report.folder import draft_report
            from consistency.report.gate import gate_of
            from consistency.report.sides.report import sides_content

            drafted = draft_report(partial(sides_content, comparison), out, outputs)
            drafted.write(gate_of(checks), decided, single_file=single_file)
        if json is not None and json != Path("-"):
            outputs.file(json).write(stored.encode())
    if json == Path("-"):
        show(stored)
    else:
        show(comparison.to_text(most, columns(), styles=shows_colours()), styles=True)
        say_sentences(*where(out), *lines)
    export_to(trackers, comparison.to_dict(), checks, out=out)
    end(checks)
