"""`consistency compare` of more than two runs: its arguments in, calls out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from consistency.errors import InputError
from consistency.support.streams import say_sentences, show


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
    before: Path,
    reference: str | None,
    runs: dict[Path, str | None],
    *,
    order: str | None,
    fail_if: Sequence[str],
    json: Path | None,
    out: Path | None,
    single_file: bool,
    trackers: Sequence[str],
    margin: float,
    score: str,
    cluster: str,
    filter_name: str | None,
    most: int | None,
) -> None:
    """Compare many runs with one reference, print and write the result; exit code 1 if a condition holds."""
    from consistency.cli.exports import export_to
    from consistency.cli.gate import end, where
    from consistency.comparison.many.compare import compare_many as compare
    from consistency.comparison.many.labels import labels_of
    from consistency.support.files import Outputs
    from consistency.support.json_files import pretty_json
    from consistency.support.progress_line import progress_line
    from consistency.support.terminal import columns, shows_colours

    conditions = []
    if fail_if:
        from consistency.comparison.conditions import read_condition
        from consistency.comparison.many.gate import check_many

        conditions = [read_condition(text) for text in fail_if]
    found = labels_of([before, *runs])
    name = reference or found[0]
    labels = [given or own for given, own in zip(runs.values(), found[1:], strict=True)]
    for label in (name, *labels):
        if [name, *labels].count(label) > 1:
            raise InputError(f"two runs are called {label}", do="name them: --label NAME=PATH")
    with progress_line() as progress, Outputs() as outputs:
        compared = compare(
            before,
            dict(zip(labels, runs, strict=True)),
            name=name,
            order=order,
            margin=margin,
            score=score,
            cluster=cluster,
            filter_name=filter_name,
            progress=progress,
        )
        checks = check_many(conditions, compared) if conditions else []
        told = [item.to_text() for item in checks]
        decided = {"conditions": told} if told else {}
        if out is not None:
            from consistency.report.folder import draft_report
            from consistency.report.gate import gate_of
            from consistency.report.many.report import many_content

            progress("writing the report", 0, 1)
            drafted = draft_report(partial(many_content, compared), out, outputs)
            drafted.write(gate_of(checks), decided, single_file=single_file)
        stored = pretty_json(compared.to_dict() | decided)
        if json not in (None, Path("-")):
            assert json is not None
            outputs.file(json).write(stored.encode())
    if json == Path("-"):
        show(stored)
    else:
        show(compared.to_text(most, columns(), styles=shows_colours()), styles=True)
        say_sentences(*where(out), *told)
    export_to(trackers, compared.to_dict(), checks, out=out)
    end(checks)
