"""`consistency compare --before A1 A2 --after B1 B2`: several runs a side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from typer.core import TyperCommand

from consistency.cli.asked import Asked
from consistency.cli.formats import Format

if TYPE_CHECKING:
    import click

    from consistency.comparison.section import TaskSampling
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
    asked: Asked,
    scopes: Callable[[Run], Mapping[str, Sequence[str]]] | None,
    task_sampling: TaskSampling,
) -> None:
    """Compare two sides of several runs, print and write what was found; with a condition that holds exit code 1.

    Parameters
    ----------
    before, after : sequence of Path
        The logs.
    asked : Asked
    scopes : callable or None
        From the first run to the tasks of each scope.
    task_sampling
        As `compare_sides` takes it.
    """
    from consistency.comparison.conditions import check, read_condition
    from consistency.comparison.sides.compare import compare_sides
    from consistency.logs.runs import read_run
    from consistency.support.progress_line import progress_line

    conditions = [read_condition(text) for text in asked.conditions]
    logs: list[Path | Run] = list(before)
    found = None
    if scopes is not None:
        logs[0] = first = read_run(before[0], skip_unreadable=True)
        found = scopes(first)
    with progress_line() as progress:
        comparison = compare_sides(
            logs, after, scopes=found, task_sampling=task_sampling, progress=progress, **asked.how
        )
    checked = asked.checked(check(conditions, comparison.changes), comparison)
    content = None
    if asked.out is not None:
        from consistency.report.sides.report import sides_content

        content = partial(sides_content, comparison)
    asked.write(comparison, content, checked)

    def markdown() -> str:
        from consistency.report.sides.github import to_markdown

        return to_markdown(comparison, checked, folded=asked.form is Format.GITHUB)

    asked.finish(comparison, checked, markdown)
