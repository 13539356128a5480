"""`consistency compare` of more than two runs: its arguments in, calls out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from consistency.cli.asked import Asked
from consistency.cli.formats import Format
from consistency.errors import InputError


def named_runs(before: Path, after: Sequence[Path], label: Sequence[str]) -> tuple[str | None, dict[Path, str | None]]:
    """The names that were given to the reference and to each run, in order; None for those without.

    Parameters
    ----------
    before : Path
    after : sequence of Path
    label : sequence of str
        `NAME=PATH`: the name of a log that was given, or a further run with its name.

    Raises
    ------
    InputError
        If a label has another form, or a name or a path is given twice.
    """
    runs: dict[Path, str | None] = {}
    for path in after:
        if path in runs:
            raise InputError("one log, given twice", do="give each run once", path=path)
        runs[path] = None
    reference, used = None, set()
    for text in label:
        name, equals, place = text.partition("=")
        name = name.strip()
        if not (equals and name and place):
            raise InputError(f"--label {text}", expected="NAME=PATH, such as --label q8=logs/q8")
        if name in used:
            raise InputError(f"--label {text}: two runs are called {name}", expected="a name of its own for each")
        used.add(name)
        path = Path(place)
        if (reference if path == before else runs.get(path)) is not None:
            raise InputError(f"--label {text}: a log with two names", expected="one name for each", path=path)
        if path == before:
            reference = name
        else:
            runs[path] = name
    return reference, runs


def compare_many(
    before: Path, reference: str | None, runs: dict[Path, str | None], asked: Asked, order: str | None
) -> None:
    """Compare many runs with one reference, print and write the result; exit code 1 if a condition holds."""
    from consistency.comparison.gaps import check_not_itself
    from consistency.comparison.many.compare import compare_many as compare
    from consistency.comparison.many.labels import labels_of
    from consistency.support.progress_line import progress_line

    conditions = []
    if asked.conditions:
        from consistency.comparison.conditions import read_condition
        from consistency.comparison.many.gate import check_many

        conditions = [read_condition(text) for text in asked.conditions]
    found = labels_of([before, *runs])
    name = reference or found[0]
    labels = [given or own for given, own in zip(runs.values(), found[1:], strict=True)]
    for label in (name, *labels):
        if [name, *labels].count(label) > 1:
            raise InputError(f"two runs are called {label}", do="name them: --label NAME=PATH")
    with progress_line() as progress:
        compared = compare(
            before, dict(zip(labels, runs, strict=True)), name=name, order=order, progress=progress, **asked.how
        )
        if conditions:
            for run in compared.runs:
                check_not_itself(run.warnings, run.path)
        checked = asked.checked(check_many(conditions, compared) if conditions else [], compared)
        content = None
        if asked.out is not None:
            from consistency.report.many.report import many_content

            progress("writing the report", 0, 1)
            content = partial(many_content, compared)
        asked.write(compared, content, checked)

    def markdown() -> str:
        from consistency.report.many.github import to_markdown

        return to_markdown(compared, checked, folded=asked.form is Format.GITHUB)

    asked.finish(compared, checked, markdown)
