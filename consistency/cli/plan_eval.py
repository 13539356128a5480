"""`consistency plan-eval`: how many questions a comparison needs, before anyone pays for a run."""

from __future__ import annotations

from typing import Annotated

import typer

from consistency.errors import InputError


def plan_eval(
    change: Annotated[float, typer.Option(help="Change of accuracy that matters, in points.")] = 1.0,
    flips: Annotated[
        float,
        typer.Option(help="Answers that turn without any change of accuracy, in %; two runs of one model show them."),
    ] = 5.0,
    power: Annotated[float, typer.Option(help="How often it is to be found, as a share of such comparisons.")] = 0.8,
    questions: Annotated[
        list[int] | None,
        typer.Option(help="Also what so many questions can show; may be repeated.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how many questions show that accuracy changed, or that it did not."""
    from consistency.statistics.paired_shares import power_of_equivalence
    from consistency.statistics.power import fewest_questions, power_of_flips
    from consistency.support.json_files import pretty_json

    share, idle = change / 100, flips / 100
    if not 0 < share < 0.5:
        raise InputError(f"--change {change:g}", expected="points between 0 and 50, such as 1")
    if not 0 <= idle <= 1 - share:
        raise InputError(f"--flips {flips:g}", expected=f"per cent between 0 and {100 * (1 - share):g}, such as 5")
    if not 0.05 < power < 1:
        raise InputError(f"--power {power:g}", expected="a share between 0.05 and 1, such as 0.8")
    for n in questions or ():
        if n < 1:
            raise InputError(f"--questions {n}", expected="a positive number")
    needed = {
        "find_change": fewest_questions(lambda n: power_of_flips(n, idle, share), power),
        "show_no_change": fewest_questions(lambda n: power_of_equivalence(n, idle, share), power),
    }
    rows = [
        {
            "questions": n,
            "find_change": power_of_flips(n, idle, share),
            "show_no_change": power_of_equivalence(n, idle, share),
        }
        for n in questions or ()
    ]
    if json:
        given = {"change": share, "flips": idle, "power": power}
        typer.echo(pretty_json({**given, "needed": needed, "questions": rows}), nl=False)
        return
    of = f"with {100 * power:g} % probability, where {flips:g} % of the answers turn anyway"
    typer.echo(f"to find a change of {change:g} points {of}: {_count(needed['find_change'])} questions")
    typer.echo(f"to show that nothing changes by as much {of}: {_count(needed['show_no_change'])} questions")
    for row in rows:
        typer.echo(
            f"{row['questions']:,} questions: a change of {change:g} points is found with {100 * row['find_change']:.1f} % "
            f"probability, and the absence of one is shown with {100 * row['show_no_change']:.1f} %"
        )
    typer.echo(
        "McNemar's exact test, and two one-sided score tests (Tango 1998), at 5 %; questions are drawn one by one"
    )


def _count(n: int | None) -> str:
    return "more than 10,000,000" if n is None else f"{n:,}"
