"""The command watch: what a watched training has kept and learned so far, in the terminal, as JSON or as a page."""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from consistency.support.streams import say, say_sentences, show, tell

if TYPE_CHECKING:
    from consistency.watch.record import WatchRecord


def watch(
    folder: Annotated[Path, typer.Argument(help="Folder of a watched training: OUTPUT_DIR, or OUTPUT_DIR/watch.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Print each step as it comes, until the training ends.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the page, its tables and figures.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the record as JSON; - for standard output.")] = None,
    fail_on_alarm: Annotated[
        bool, typer.Option("--fail-on-alarm", help="Exit code 1 if the alarm was raised.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(help="With --follow: how often the folder is read.", min=0.1, max=3600)
    ] = 5.0,
) -> None:
    """Show what a watched training has kept and learned so far, and whether the alarm was raised.

    FOLDER is the training's output folder, or the folder of the watch (by default OUTPUT_DIR/watch).
    """
    if math.isnan(seconds):
        raise typer.BadParameter("--seconds: nan is no time")
    from consistency.support.files import Outputs
    from consistency.support.json_files import pretty_json
    from consistency.support.terminal import columns
    from consistency.watch.record import find_record, read_record, refuse_over_record
    from consistency.watch.terminal import outcome_lines, plane_lines, to_lines

    to_output = json == Path("-")
    for name, place in (("--out", out), ("--json", None if to_output else json)):
        if place is not None:
            refuse_over_record(find_record(folder), name, place)
    record = _followed(folder, seconds, quiet=to_output) if follow else read_record(folder)
    with Outputs() as outputs:
        if out is not None:
            from consistency.report.folder import draft_report
            from consistency.report.watch.report import watch_content

            draft_report(partial(watch_content, record), out, outputs).write()
        if json is not None and not to_output:
            outputs.file(json).write(pretty_json(record.to_dict()).encode())
    if to_output:
        show(pretty_json(record.to_dict()))
    else:
        say_sentences(*((*plane_lines(record), *outcome_lines(record)) if follow else to_lines(record, columns())))
        if out is not None:
            say(out / "report.html")
    if fail_on_alarm and record.alarm is not None:
        raise typer.Exit(1)


def _followed(folder: Path, seconds: float, *, quiet: bool) -> WatchRecord:
    """The record at the end of the training, each step printed as it comes; an interruption ends the command."""
    from consistency.support.terminal import columns
    from consistency.watch.record import find_record, read_record
    from consistency.watch.rows import DRIFT
    from consistency.watch.terminal import REACH, about_lines, head_lines, step_line

    last, wide = -1, columns()
    if not (find_record(folder) / DRIFT).exists():
        tell(f"{folder}: no {DRIFT} yet: waiting for a watched training that writes here (Ctrl-C ends this)")
    while not (find_record(folder) / DRIFT).exists():
        time.sleep(seconds)
    while True:
        record = read_record(folder)
        if not quiet:
            if last < 0:
                say_sentences(*about_lines(record), *head_lines(wide, REACH))
            say_sentences(*(step_line(row, wide, REACH) for row in record.rows if row.step > last))
        # A training that went back to a checkpoint takes its later steps anew.
        last = record.rows[-1].step
        if record.is_over:
            return record
        time.sleep(seconds)
