"""`consistency compare` of two runs: its arguments in, calls out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from consistency.cli.formats import Format
from consistency.errors import InputError
from consistency.support.streams import say_sentences, show, tell

if TYPE_CHECKING:
    from consistency.comparison.conditions import Condition
    from consistency.comparison.section import TaskSampling
    from consistency.logs.runs import Run


def compare_pair(
    logs: tuple[Path, Path],
    *,
    run: Sequence[str],
    find: Callable[[Run], Mapping[str, Sequence[str]]] | None,
    by: Sequence[str],
    conditions: Sequence[str],
    policy: Path | None,
    noise: tuple[Path, Path] | None,
    form: Format,
    json: Path | None,
    out: Path | None,
    single_file: bool,
    records: Path | None,
    trackers: Sequence[str],
    most: int | None,
    margin: float,
    score: str,
    filter_name: str | None,
    task_sampling: TaskSampling,
    cluster: str,
) -> None:
    """Compare two runs, print and write what was found; the exit code is that of the conditions and the policy.

    Parameters
    ----------
    logs : tuple of Path
        Of the run before and of the run after.
    run : sequence of str
        Dates of the runs to read.
    find : callable or None
        From the first run to the tasks of each scope.
    most : int or None
        Of more tasks only so many are printed.
    records : Path or None
        The folder of records of every_eval_ever.
    trackers : sequence of str
        Where the comparison goes as a run.
    by, conditions, policy, noise, form, json, out, single_file, margin, score, filter_name, task_sampling, cluster
        As the command takes them.
    """
    from consistency.cli.exports import export_to
    from consistency.cli.gate import end, where
    from consistency.comparison.compare import compare as compare_runs
    from consistency.comparison.result import SameRun
    from consistency.comparison.runs import read_both
    from consistency.support.files import Outputs
    from consistency.support.json_files import pretty_json
    from consistency.support.progress_line import progress_line
    from consistency.support.terminal import columns, shows_colours

    asked: list[Condition] = []
    rules = None
    if conditions:
        from consistency.comparison.conditions import check, read_condition

        asked = [read_condition(text) for text in conditions]
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
            margin=margin,
            score=score,
            scopes=found,
            filter_name=filter_name,
            task_sampling=task_sampling,
            cluster=cluster,
            by=by,
            progress=progress,
        )
        runs = None
        if noise is not None:
            runs = compare_runs(*noise, margin=margin, score=score, filter_name=filter_name, progress=progress)
    checks = check(asked, comparison) if asked else []
    if runs is not None and any(isinstance(item, SameRun) for item in runs.warnings):
        raise InputError(
            "--noise: one run, given twice", expected="two runs of the same model", path=noise and noise[0]
        )
    beside = None
    if runs is not None:
        from consistency.comparison.noise import beside_noise

        beside = beside_noise(comparison, runs)
    with Outputs() as outputs:
        drafted = None
        if out is not None:
            # The page and the figures are not loaded for a comparison that is only printed.
            from consistency.report.folder import draft_report
            from consistency.report.gate import gate_of
            from consistency.report.pair.report import pair_content

            with progress_line() as progress:
                drafted = draft_report(partial(pair_content, comparison, progress=progress), out, outputs)
        if records is not None:
            from consistency.report.exports.records import draft_records
            from consistency.support.text import shortened

            left_out = draft_records(comparison, records, outputs)
            if left_out:
                tell(f"--records: the log does not say which way is better: {shortened(left_out)} (left out)")
        written = None if json in (None, Path("-")) else outputs.file(json)
        # Last of what can be refused: a check that ends in an error spends nothing of a budget.
        decision = None if rules is None else judge(rules, comparison, beside, noise_runs=runs)
        gate: dict[str, object] = {} if beside is None else {"noise": beside.to_dict()}
        gate |= {} if decision is None else {"policy": decision.to_dict()}
        gate |= {"conditions": [item.to_text() for item in checks]} if checks else {}
        if drafted is not None:
            noises = [] if beside is None else beside.to_lines(comparison)
            drafted.write(gate_of(checks, decision, noises), gate, single_file=single_file)
        content: dict[str, Any] = {}
        if json is not None or form is Format.JSON or trackers:
            content = comparison.to_dict() | {name: gate[name] for name in ("noise", "policy") if name in gate}
        stored = pretty_json(content) if json is not None or form is Format.JSON else ""
        if written is not None:
            written.write(stored.encode())
    if json == Path("-") or form is Format.JSON:
        show(stored)
    elif form is Format.TEXT:
        noises = [] if beside is None else beside.to_lines(comparison)
        decided = [] if decision is None else decision.to_lines()
        text = comparison.to_text(most, columns=columns(), styles=shows_colours())
        show(text, styles=True)
        say_sentences(*where(out), *noises, *(item.to_text() for item in checks), *decided)
    else:
        from consistency.report.pair.github import to_markdown

        show(to_markdown(comparison, checks, decision, beside, folded=form is Format.GITHUB))
    export_to(trackers, content, checks, decision, out=out)
    end(checks, decision)
