"""What every comparison of `consistency compare` is asked for: how to compare, and where the result goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from consistency.cli.formats import Format
from consistency.support.streams import say_sentences, show

if TYPE_CHECKING:
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

    def missing(self, comparison: Comparison | ManyComparison | SideComparison) -> tuple[str, ...]:
        """What was not compared and may break a condition, in sentences; empty where that is to be ignored."""
        return comparison.missing if self.conditions and not self.ignores_missing else ()

    def decided(
        self, comparison: Comparison | ManyComparison | SideComparison, checks: Sequence[Check]
    ) -> dict[str, Any]:
        """What the conditions decided and what is missing that may break one, as plain data; empty without conditions."""
        if not checks:
            return {}
        missing = self.missing(comparison)
        return {"conditions": [item.to_text() for item in checks], **({"missing": list(missing)} if missing else {})}

    def write(
        self,
        comparison: ManyComparison | SideComparison,
        content: Callable[[Path], Report] | None,
        checks: Sequence[Check],
    ) -> None:
        """Write the report, whose content is None where no folder was asked for, and the JSON file."""
        from consistency.support.files import Outputs
        from consistency.support.json_files import pretty_json

        with Outputs() as outputs:
            if self.out is not None and content is not None:
                from consistency.report.folder import draft_report
                from consistency.report.gate import gate_of

                drafted = draft_report(content, self.out, outputs)
                gate = gate_of(checks, missing=self.missing(comparison))
                drafted.write(gate, self.decided(comparison, checks), single_file=self.single_file)
            if self.json is not None and self.json != Path("-"):
                found = comparison.to_dict() | self.decided(comparison, checks)
                outputs.file(self.json).write(pretty_json(found).encode())

    def finish(
        self,
        comparison: ManyComparison | SideComparison,
        checks: Sequence[Check],
        markdown: Callable[[], str],
    ) -> None:
        """Print what was found and hand it to the trackers; with a condition that holds the end is exit code 1.

        Where Markdown is asked for, it is what `markdown` gives.
        """
        from consistency.cli.exports import export_to
        from consistency.cli.gate import end
        from consistency.support.json_files import pretty_json

        missing = self.missing(comparison)
        if self.json == Path("-"):
            show(pretty_json(comparison.to_dict() | self.decided(comparison, checks)))
        elif self.form in (Format.GITHUB, Format.MARKDOWN):
            show(markdown())
        else:
            self.show(comparison, [item.to_text() for item in checks], missing)
        if self.trackers:
            export_to(self.trackers, comparison.to_dict(), checks, missing=missing, out=self.out)
        end(checks, missing=missing)

    def show(
        self,
        comparison: Comparison | ManyComparison | SideComparison,
        lines: Sequence[str],
        missing: Sequence[str],
    ) -> None:
        """Print what was found, where the report is, further lines, and what is missing."""
        from consistency.cli.gate import where
        from consistency.comparison.gaps import incomplete
        from consistency.support.terminal import columns, shows_colours

        show(comparison.to_text(self.most, columns=columns(), styles=shows_colours()), styles=True)
        say_sentences(*where(self.out), *lines, *([str(incomplete(missing))] if missing else []))
