"""What every comparison of `consistency compare` is asked for: how to compare, and where the result goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from consistency.cli.formats import Format
from consistency.support.streams import say_sentences, show

if TYPE_CHECKING:
    from consistency.comparison.checked import Checked, Lacking
    from consistency.comparison.conditions import Check
    from consistency.comparison.many.result import ManyComparison
    from consistency.comparison.result import Comparison
    from consistency.comparison.sides.result import SideComparison
    from consistency.report.content import Report


class How(TypedDict):
    """How to compare, as all functions that compare take it."""

    margin: float
    score: str
    filter_name: str | None
    cluster: str


@dataclass(frozen=True)
class Asked:
    """What is asked for besides the logs.

    Attributes
    ----------
    how : How
    conditions : tuple of str
        Of --fail-if.
    json : Path or None
        Where the result goes as JSON; `-` is standard output.
    out : Path or None
        The folder of the report.
    single_file : bool
        Whether its page holds what else it offers.
    trackers : tuple of str
        Where the comparison goes as a run.
    most : int or None
        Of more tasks only so many are printed.
    form : Format
        How it is printed.
    ignores_missing : bool
        Whether conditions are judged although something was not compared.
    """

    how: How
    conditions: tuple[str, ...]
    json: Path | None
    out: Path | None
    single_file: bool
    trackers: tuple[str, ...]
    most: int | None
    form: Format
    ignores_missing: bool

    def checked(self, checks: Sequence[Check], comparison: Lacking) -> Checked:
        """The checks with what the comparison lacks, unless that is to be ignored."""
        from consistency.comparison.checked import Checked

        return Checked.of(checks, comparison, ignores_missing=self.ignores_missing)

    def write(
        self,
        comparison: ManyComparison | SideComparison,
        content: Callable[[Path], Report] | None,
        checked: Checked,
    ) -> None:
        """Write the report, whose content is None where no folder was asked for, and the JSON file."""
        from consistency.support.files import Outputs
        from consistency.support.json_files import pretty_json

        with Outputs() as outputs:
            if self.out is not None and content is not None:
                from consistency.report.folder import draft_report
                from consistency.report.gate import gate_of

                drafted = draft_report(content, self.out, outputs)
                drafted.write(gate_of(checked), checked.to_dict(), single_file=self.single_file)
            if self.json is not None and self.json != Path("-"):
                outputs.file(self.json).write(pretty_json(comparison.to_dict() | checked.to_dict()).encode())

    def finish(
        self,
        comparison: ManyComparison | SideComparison,
        checked: Checked,
        markdown: Callable[[], str],
    ) -> None:
        """Print what was found and hand it to the trackers; with a condition that holds the end is exit code 1.

        Where Markdown is asked for, it is what `markdown` gives.
        """
        from consistency.cli.exports import export_to
        from consistency.cli.gate import end
        from consistency.support.json_files import pretty_json

        if self.json == Path("-"):
            show(pretty_json(comparison.to_dict() | checked.to_dict()))
        elif self.form in (Format.GITHUB, Format.MARKDOWN):
            show(markdown())
        else:
            self.show(comparison, (*checked.to_lines(), *checked.doubt))
        if self.trackers:
            export_to(self.trackers, comparison.to_dict(), checked, out=self.out)
        end(checked)

    def show(self, comparison: Comparison | ManyComparison | SideComparison, lines: Sequence[str]) -> None:
        """Print what was found, where the report is, and further lines."""
        from consistency.cli.gate import where
        from consistency.support.terminal import columns, shows_colours

        show(comparison.to_text(self.most, columns=columns(), styles=shows_colours()), styles=True)
        say_sentences(*where(self.out), *lines)
