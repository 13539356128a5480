"""A comparison for other programs: what `compare --export` and `consistency card` do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from consistency.support.streams import show, tell

if TYPE_CHECKING:
    from consistency.comparison.checked import Checked
    from consistency.comparison.decision import PolicyOutcome


def export_to(
    trackers: Sequence[str],
    content: Mapping[str, Any],
    checked: Checked,
    decision: PolicyOutcome | None = None,
    *,
    out: Path | None,
) -> None:
    """Write a comparison as a run of each tracker, and say on standard error where it is.

    Parameters
    ----------
    trackers : sequence of str
        As `read_trackers` gives them.
    content : mapping
        The comparison as JSON.
    checked, decision
        What its conditions and its policy decided.
    out : Path or None
        The folder of its report.
    """
    from consistency.report.exports.trackers import export
    from consistency.report.gate import gate_of

    page = None if out is None else out / "report.html"
    for line in export(trackers, content, gate_of(checked, decision), page):
        tell(line)


def card(
    before: Annotated[
        Path,
        typer.Argument(help="Log of the base model; or alone, what compare --json or --out wrote.", show_default=False),
    ],
    after: Annotated[
        Path | None, typer.Argument(help="Log of the model that the card is of.", show_default=False)
    ] = None,
    into: Annotated[
        Path | None, typer.Option(help="README.md that gets the section, or in which it is replaced; all else stays.")
    ] = None,
    badge: Annotated[Path | None, typer.Option(help="SVG file for a badge, which the section shows.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the model in the metadata. Default: that of the log.")
    ] = None,
    metadata: Annotated[
        bool, typer.Option("--metadata/--no-metadata", help="Whether the front matter gets the scores as model-index.")
    ] = True,
) -> None:
    """Write what a comparison found as a section of a model card for the Hugging Face Hub; without --into, print the card."""
    import os

    from consistency.comparison.compare import compare
    from consistency.report.exports import card as cards
    from consistency.report.exports.badge import badge as drawn
    from consistency.report.exports.readme import card_text, with_section
    from consistency.support.files import Outputs
    from consistency.support.progress_line import progress_line

    if after is None:
        found = cards.read_card(before, name)
    else:
        with progress_line() as progress:
            found = cards.card_of(compare(before, after, progress=progress), name)
    place = None if badge is None else Path(os.path.relpath(badge, into.parent if into else ".")).as_posix()
    section, matter = cards.section(found, place), cards.metadata(found) if metadata else ""
    with Outputs() as outputs:
        if badge is not None:
            outputs.file(badge).write(drawn(found).encode())
        if into is not None:
            draft = outputs.file(into)
            readme = into.read_bytes() if into.exists() else b""
            draft.write(with_section(readme, matter, section, into))
    if into is None:
        show(card_text(matter, section))
