"""`consistency compare` of two runs: its arguments in, calls out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.cli.asked import Asked
from consistency.cli.formats import Format
from consistency.errors import InputError
from consistency.support.streams import show, tell

if TYPE_CHECKING:
    from consistency.comparison.conditions import Condition
    from consistency.comparison.result import Comparison
    from consistency.comparison.section import TaskSampling
    from consistency.logs.runs import Run
    from consistency.support.progress_line import Tell


def compare_pair(
    logs: tuple[Path, Path],
    asked: Asked,
    *,
    run: Sequence[str],
    find: Callable[[Run], Mapping[str, Sequence[str]]] | None,
    by: Sequence[str],
    policy: Path | None,
    noise: tuple[Path, Path] | None,
    form: Format,
    records: Path | None,
    task_sampling: TaskSampling,
) -> None:
    """Compare two runs, print and write what was found; the exit code is that of the conditions and the policy.

    Parameters
    ----------
    logs : tuple of Path
        Of the run before and of the run after.
    asked : Asked
    run : sequence of str
        Dates of the runs to read.
    find : callable or None
        From the first run to the tasks of each scope.
    records : Path or None
        The folder of records of every_eval_ever.
    by, policy, noise, form, task_sampling
        As the command takes them.
    """
    from consistency.cli.exports import export_to
    from consistency.cli.gate import end
    from consistency.comparison.compare import compare as compare_runs
    from consistency.comparison.gaps import check_not_itself
    from consistency.comparison.runs import read_both
    from consistency.support.files import Outputs
    from consistency.support.json_files import pretty_json
    from consistency.support.progress_line import progress_line

    conditions: list[Condition] = []
    rules = None
    if asked.conditions:
        from consistency.comparison.conditions import check, read_condition

        conditions = [read_condition(text) for text in asked.conditions]
    if policy is not None:
        from consistency.comparison.decision import judge
        from consistency.comparison.policy import read_policy

        rules = read_policy(policy)
    with progress_line() as progress:
        read = list(read_both(*logs, run, progress))
        found = None if find is None else find(read[0])
        # Handed over: what a comparison does not need of them would take as much memory again until its end.
        comparison = compare_runs(
            read.pop(0),
            read.pop(0),
            scopes=found,
            task_sampling=task_sampling,
            by=by,
            progress=progress,
            **asked.how,
        )
        if conditions or rules is not None:
            check_not_itself(comparison.warnings, logs[1])
        checked = asked.checked(check(conditions, comparison) if conditions else [], comparison)
        runs = None if noise is None else _of_one_model(noise, asked, progress)
    beside = None
    if runs is not None:
        from consistency.comparison.noise import beside_noise

        beside = beside_noise(comparison, runs)
    with Outputs() as outputs:
        drafted = None
        if asked.out is not None:
            # The page and the figures are not loaded for a comparison that is only printed.
            from consistency.report.folder import draft_report
            from consistency.report.gate import gate_of
            from consistency.report.pair.report import noise_section, pair_content

            with progress_line() as progress:
                drafted = draft_report(partial(pair_content, comparison, progress=progress), asked.out, outputs)
        if records is not None:
            from consistency.report.exports.records import draft_records
            from consistency.support.text import shortened

            left_out = draft_records(comparison, records, outputs)
            if left_out:
                tell(f"--records: the log does not say which way is better: {shortened(left_out)} (left out)")
        written = None if asked.json in (None, Path("-")) else outputs.file(asked.json)
        # Last of what can be refused: a check that ends in an error spends nothing of a budget.
        decision = None if rules is None else judge(rules, comparison, beside, noise_runs=runs)
        judged = {} if beside is None else {"noise": beside.to_dict()}
        judged |= {} if decision is None else {"policy": decision.to_dict()}
        judged |= checked.to_dict()
        if drafted is not None:
            further = [] if beside is None else [noise_section(beside, comparison)]
            drafted.write(gate_of(checked, decision), judged, further=further, single_file=asked.single_file)
        content: dict[str, Any] = {}
        if asked.json is not None or form is Format.JSON or asked.trackers:
            content = comparison.to_dict() | judged
        if written is not None:
            written.write(pretty_json(content).encode())
    if asked.json == Path("-") or form is Format.JSON:
        show(pretty_json(content))
    elif form is Format.TEXT:
        noted = [] if beside is None else beside.to_lines(comparison)
        ruled = [] if decision is None else decision.to_lines()
        asked.show(comparison, (*noted, *checked.to_lines(), *ruled, *checked.doubt))
    else:
        from consistency.report.pair.github import to_markdown

        show(to_markdown(comparison, checked, decision, beside, folded=form is Format.GITHUB))
    if asked.trackers:
        export_to(asked.trackers, content, checked, decision, out=asked.out)
    end(checked, decision)


def _of_one_model(noise: tuple[Path, Path], asked: Asked, progress: Tell) -> Comparison:
    """The comparison of two runs of one model, whose difference is noise."""
    from consistency.comparison.compare import compare
    from consistency.comparison.gaps import SameRun

    how = asked.how
    found = compare(*noise, margin=how["margin"], score=how["score"], filter_name=how["filter_name"], progress=progress)
    if any(isinstance(item, SameRun) for item in found.warnings):
        raise InputError("--noise: one run, given twice", expected="two runs of the same model", path=noise[0])
    return found
